/* owner.c: the names of those who hold references, from their one table. */
#include "weir/zbuf.h"

const char *weir_owner_name(enum weir_owner owner)
{
    static const char *const name[] = {
#define WEIR_OWNER_TEXT(id, text, what) [WEIR_OWNER_##id] = text,
        WEIR_OWNER_MAP(WEIR_OWNER_TEXT)
#undef WEIR_OWNER_TEXT
    };
    return (unsigned)owner < WEIR_OWNERS ? name[owner] : "?";
}
