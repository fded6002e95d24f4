/* zkeeper.c: a stack's memory as a range of weir_mem: zbufs are released, measured and walked by address
 * among everything else that Weir hands out. */
#include "stack/stack.h"
#include "weir/mem.h"

static int keeper_free(void *obj, void *block)
{
    return weir_zfree(obj, block);
}

static ptrdiff_t keeper_usable(const void *obj, const void *block)
{
    const struct weir *w = obj;
    struct weir_zhead *h = NULL;
    int err = weir_zpool_find(&w->z, block, &h);
    return err < 0 ? err : (ptrdiff_t)weir_zsize(w, block);
}

/* A zbuf stays as long as its class. */
static ptrdiff_t keeper_resize(void *obj, void *block, size_t size)
{
    ptrdiff_t usable = keeper_usable(obj, block);
    return usable < 0 || size <= (size_t)usable ? usable : WEIR_ENOMEM;
}

/* The region begins with the largest class; within a class numbers ascend with addresses (zcarve.c). */
static int keeper_walk(const void *obj, const void *base, size_t bytes, weir_walk_fn fn, void *arg)
{
    const struct weir_zpool *z = &((const struct weir *)obj)->z;
    (void)base; /* the stack's memory is one range as a rule: what lies elsewhere is left out by the caller */
    (void)bytes;
    for (unsigned c = z->classes; c-- > 0;) {
        for (uint32_t i = 0; i < z->cls[c].count; i++) {
            const struct weir_zhead *h = weir_zpool_by_number(z, z->cls[c].first_head + i);
            struct weir_block b = {.start = weir_zpool_first(z, h),
                                   .bytes = weir_zpool_bytes(z, h),
                                   .state = h->state == WEIR_Z_FREE ? WEIR_BLOCK_FREE : WEIR_BLOCK_USED};
            int end = fn(arg, &b);
            if (end != 0) return end;
        }
    }
    return 0;
}

static uint64_t keeper_live(const void *obj)
{
    return ((const struct weir *)obj)->z.live;
}

const struct weir_keeper weir_zbuf_keeper = {.name = "zbuf",
                                             .free = keeper_free,
                                             .usable = keeper_usable,
                                             .resize = keeper_resize,
                                             .walk = keeper_walk,
                                             .live = keeper_live};
