/* contract_pool.c: a pool of one block in the shape of a policy, so that the suite holds it to the same. It serves
 * one size: a larger request is refused, a smaller one gets a whole cell. */
#include "contract_heap.h"
#include "weir/pool.h"

#define CELL_BYTES 64u

struct adapter {
    struct weir_pool pool;
    struct weir_pool_conf conf;
    uint8_t *area; /* NULL: none yet */
    size_t bytes;
};

static bool serves(const struct weir_policy_conf *conf)
{
    uint32_t align = conf->align_bytes;
    return (align == 0 || align == 4 || align == 8 || align == 16) && conf->level <= 2;
}

static size_t state_bytes(const struct weir_policy_conf *conf)
{
    return serves(conf) ? sizeof(struct adapter) : 0;
}

static int init(void *state, const struct weir_policy_conf *conf)
{
    struct adapter *a = state;
    if (!serves(conf)) return WEIR_EINVAL;
    memset(a, 0, sizeof *a);
    a->conf = (struct weir_pool_conf){.name = "contract",
                                      .cell_bytes = CELL_BYTES,
                                      .align_bytes = conf->align_bytes,
                                      .cells_per_block = HEAP_AREA_BYTES / CELL_BYTES,
                                      .max_blocks = 1,
                                      .level = conf->level};
    return WEIR_OK;
}

/* The tables' place has to be aligned, and at least one cell behind them. */
static int add(void *state, void *base, size_t bytes)
{
    struct adapter *a = state;
    size_t gap = (size_t)(0 - (uintptr_t)base) & 15, least = weir_pool_bytes(&a->conf, 1);
    if (a->area != NULL || bytes < gap + least) return WEIR_EINVAL;
    int err = weir_pool_open(&a->pool, &a->conf, (uint8_t *)base + gap, bytes - gap);
    if (err != 0) return err;
    struct weir_pool_info info;
    weir_pool_info(&a->pool, &info);
    if (info.cells == 0) return weir_pool_close(&a->pool) == 0 ? WEIR_EINVAL : WEIR_EIO;
    a->area = base;
    a->bytes = bytes;
    return WEIR_OK;
}

static void *alloc(void *state, size_t size, size_t align, size_t *got)
{
    struct adapter *a = state;
    if (size > CELL_BYTES || align > a->conf.align_bytes || a->area == NULL) return NULL;
    *got = CELL_BYTES;
    return weir_pool_get(&a->pool);
}

static ptrdiff_t release(void *state, void *block)
{
    struct adapter *a = state;
    int err = weir_pool_put(&a->pool, block);
    return err != 0 ? err : (ptrdiff_t)CELL_BYTES;
}

static ptrdiff_t usable(const void *state, const void *block)
{
    const struct adapter *a = state;
    return weir_pool_usable(&a->pool, block);
}

static void stat(const void *state, struct weir_policy_stat *out)
{
    const struct adapter *a = state;
    struct weir_pool_info info;
    weir_pool_info(&a->pool, &info);
    *out = (struct weir_policy_stat){.area_bytes = a->bytes,
                                     .free_bytes = info.stat.free_bytes,
                                     .free_blocks = info.stat.free_bytes / CELL_BYTES,
                                     .largest_free = info.stat.largest_free,
                                     .live = info.stat.live,
                                     .live_bytes = info.stat.live_bytes};
    out->overhead_bytes = a->bytes - out->free_bytes - out->live_bytes;
}

static size_t find_max(const void *state, size_t align)
{
    const struct adapter *a = state;
    struct weir_policy_stat now;
    stat(state, &now);
    return now.free_blocks > 0 && align <= a->conf.align_bytes ? CELL_BYTES : 0;
}

static int walk(const void *state, weir_walk_fn fn, void *arg)
{
    const struct adapter *a = state;
    return weir_pool_walk(&a->pool, fn, arg);
}

/* Before the first area there is no pool to look at. */
static int check(const void *state)
{
    const struct adapter *a = state;
    return a->area != NULL ? weir_pool_check(&a->pool) : 0;
}

const struct weir_policy contract_pool = {
    .name = "pool",
    .what = "cells of 64 bytes",
    .caps = WEIR_POLICY_CONSTANT | WEIR_POLICY_CHECKS,
    .state_bytes = state_bytes,
    .init = init,
    .add = add,
    .alloc = alloc,
    .release = release,
    .usable = usable,
    .stat = stat,
    .find_max = find_max,
    .walk = walk,
    .check = check,
};
