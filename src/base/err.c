/* err.c: texts and errno values of enum weir_err, from its one table. */
#include "weir/err.h"

#if defined(__STDC_HOSTED__) && __STDC_HOSTED__
#include <errno.h>
#define WEIR_ERRNO(eno) eno
#else
#define WEIR_ERRNO(eno) 0
#endif

const char *weir_strerror(int err)
{
    if (err >= 0) return "success";
    switch (err) {
#define WEIR_ERR_TEXT(name, value, eno, text)                                                                \
    case -(value):                                                                                           \
        return text;
        WEIR_ERR_MAP(WEIR_ERR_TEXT)
#undef WEIR_ERR_TEXT
    default:
        return "unknown error";
    }
}

int weir_errno(int err)
{
    if (err >= 0) return 0;
    switch (err) {
#define WEIR_ERR_ERRNO(name, value, eno, text)                                                               \
    case -(value):                                                                                           \
        return WEIR_ERRNO(eno);
        WEIR_ERR_MAP(WEIR_ERR_ERRNO)
#undef WEIR_ERR_ERRNO
    default:
        return WEIR_ERRNO(EINVAL);
    }
}
