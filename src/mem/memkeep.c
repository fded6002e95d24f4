/* memkeep.c: keepers (mem.h) of the schemes of this room. */
#include "weir/err.h"
#include "weir/mem.h"
#include "weir/part.h"

/* ---- partitions ---- */

static int part_free(void *obj, void *block)
{
    return weir_part_free(obj, block);
}

static ptrdiff_t part_usable(const void *obj, const void *block)
{
    return weir_part_usable((struct weir_part *)obj, block);
}

/* In place means here: no call of the policy's, so that a failure is not counted as a request's. */
static ptrdiff_t part_resize(void *obj, void *block, size_t size)
{
    ptrdiff_t usable = part_usable(obj, block);
    return usable < 0 || size <= (size_t)usable ? usable : WEIR_ENOMEM;
}

static int part_walk(const void *obj, const void *base, size_t bytes, weir_walk_fn fn, void *arg)
{
    (void)base; /* blocks of its other ranges are left out by the caller */
    (void)bytes;
    return weir_part_walk((struct weir_part *)obj, fn, arg);
}

static uint64_t part_live(const void *obj)
{
    struct weir_mem_stat st;
    return weir_part_stat(obj, &st) == 0 ? st.live : 0;
}

const struct weir_keeper weir_part_keeper = {.name = "part",
                                             .free = part_free,
                                             .usable = part_usable,
                                             .resize = part_resize,
                                             .walk = part_walk,
                                             .live = part_live};
