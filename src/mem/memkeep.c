/* memkeep.c: keepers (mem.h) of the schemes of this room. */
#include "weir/err.h"
#include "weir/mem.h"
#include "weir/part.h"
#include "weir/pool.h"
#include "weir/small.h"

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

/* ---- managers of small objects ---- */

static int small_free(void *obj, void *block)
{
    ptrdiff_t freed = weir_small_free(obj, block);
    return freed < 0 ? (int)freed : 0;
}

static ptrdiff_t small_usable(const void *obj, const void *block)
{
    return weir_small_usable(obj, block);
}

static ptrdiff_t small_resize(void *obj, void *block, size_t size)
{
    ptrdiff_t usable = small_usable(obj, block);
    return usable < 0 || size <= (size_t)usable ? usable : WEIR_ENOMEM;
}

static int small_walk(const void *obj, const void *base, size_t bytes, weir_walk_fn fn, void *arg)
{
    (void)base;
    (void)bytes;
    return weir_small_walk(obj, fn, arg);
}

static uint64_t small_live(const void *obj)
{
    struct weir_mem_stat st;
    weir_small_info(obj, &st);
    return st.live;
}

const struct weir_keeper weir_small_keeper = {.name = "small",
                                              .free = small_free,
                                              .usable = small_usable,
                                              .resize = small_resize,
                                              .walk = small_walk,
                                              .live = small_live};

/* ---- pools ---- */

static int pool_free(void *obj, void *block)
{
    return weir_pool_put(obj, block);
}

static ptrdiff_t pool_usable(const void *obj, const void *block)
{
    return weir_pool_usable((struct weir_pool *)obj, block);
}

static ptrdiff_t pool_resize(void *obj, void *block, size_t size)
{
    ptrdiff_t usable = pool_usable(obj, block);
    return usable < 0 || size <= (size_t)usable ? usable : WEIR_ENOMEM;
}

static int pool_walk(const void *obj, const void *base, size_t bytes, weir_walk_fn fn, void *arg)
{
    (void)base;
    (void)bytes;
    return weir_pool_walk(obj, fn, arg);
}

static uint64_t pool_live(const void *obj)
{
    struct weir_pool_info info;
    weir_pool_info(obj, &info);
    return info.stat.live;
}

const struct weir_keeper weir_pool_keeper = {.name = "pool",
                                             .free = pool_free,
                                             .usable = pool_usable,
                                             .resize = pool_resize,
                                             .walk = pool_walk,
                                             .live = pool_live};
