/* pool_look.c: a pool looked at: counts, walk, invariants. Nothing here changes a pool but the reset of its peak. */
#include <string.h>

#include "mem/pool_parts.h"

enum weir_why weir_pool_why(const struct weir_pool *p)
{
    return p->state == WEIR_POOL_OPEN_ ? (enum weir_why)p->why : WEIR_WHY_STALE;
}

ptrdiff_t weir_pool_usable(const struct weir_pool *p, const void *cell)
{
    if (p->state != WEIR_POOL_OPEN_) return WEIR_ESTALE;
    struct weir_pool_block *b;
    uint32_t number;
    uintptr_t before = weir_lock_enter(&p->conf.lock);
    int err = weir_pool_locate(p, cell, &b, &number);
    weir_lock_leave(&p->conf.lock, before);
    return err != 0 ? err : (ptrdiff_t)p->stride;
}

static void fill_stat(const struct weir_pool *p, struct weir_mem_stat *s)
{
    uint64_t live = weir_pool_live(p), stride = p->stride;
    *s = (struct weir_mem_stat){.allocs = p->allocs,
                                .frees = p->allocs - live,
                                .failures = p->failures,
                                .bad_frees = p->bad,
                                .live_bytes = live * stride,
                                .peak_bytes = p->peak * stride,
                                .live = live,
                                .peak = p->peak,
                                .alloc_bytes = p->allocs * stride,
                                .asked_bytes = p->allocs * p->conf.cell_bytes,
                                .source_takes = p->takes,
                                .source_gives = p->gives,
                                .low_events = p->lows,
                                .configured_bytes = p->bytes + p->table_bytes + sizeof *p,
                                .overhead_bytes = p->table_bytes + sizeof *p,
                                .free_bytes = (p->total - live) * stride,
                                .largest_free = p->total > live ? stride : 0};
}

void weir_pool_info(const struct weir_pool *p, struct weir_pool_info *info)
{
    *info = (struct weir_pool_info){0};
    if (p->state != WEIR_POOL_OPEN_) return;
    uintptr_t before = weir_lock_enter(&p->conf.lock);
    fill_stat(p, &info->stat);
    info->name = p->conf.name;
    info->cell_bytes = p->stride;
    info->cells_per_block = p->cells_per_block;
    info->block_bytes = p->cells_per_block * p->stride;
    info->cells = p->total;
    info->blocks = p->blocks;
    info->blocks_max = p->conf.max_blocks;
    info->blocks_grown = p->grown;
    info->blocks_empty = p->empty;
    info->chain_longest = p->longest;
    info->saved = info->stat.allocs - (p->takes < p->allocs ? p->takes : p->allocs);
    info->corrupt = p->corrupt;
    weir_lock_leave(&p->conf.lock, before);
}

void weir_pool_peak_reset(struct weir_pool *p)
{
    if (p->state != WEIR_POOL_OPEN_) return;
    uintptr_t before = weir_lock_enter(&p->conf.lock);
    uint32_t live = weir_pool_live(p);
    p->peak = live;
    weir_pool_count(p, p->total, live);
    weir_lock_leave(&p->conf.lock, before);
}

/* ---- walking ---- */

/* The block behind `after` in the order of addresses, or NULL. */
static const struct weir_pool_block *following(const struct weir_pool *p, uintptr_t after)
{
    const struct weir_pool_block *best = NULL;
    for (uint32_t n = 1; n <= p->fresh_blocks; n++) {
        const struct weir_pool_block *b = weir_pool_nth(p, n);
        if (b->cells > 0 && b->base > after && (best == NULL || b->base < best->base)) best = b;
    }
    return best;
}

static bool in_use(const struct weir_pool_block *b, uint32_t i)
{
    return b->bits[i / 32] >> (i & 31) & 1;
}

int weir_pool_walk(const struct weir_pool *p, weir_walk_fn walk, void *arg)
{
    if (p->state != WEIR_POOL_OPEN_) return WEIR_ESTALE;
    if (p->conf.level == 0) return WEIR_ENOTSUP;
    const struct weir_pool_block *b = NULL;
    while ((b = following(p, b == NULL ? 0 : b->base)) != NULL)
        for (uint32_t i = 0; i < b->cells; i++) {
            struct weir_block cell = {(const void *)(b->base + (uintptr_t)i * p->stride), p->stride,
                                      in_use(b, i) ? WEIR_BLOCK_USED : WEIR_BLOCK_FREE};
            int stop = walk(arg, &cell);
            if (stop != 0) return stop;
        }
    return 0;
}

/* ---- invariants; the numbers are those of pool.c ---- */

static uint32_t bits_set(const struct weir_pool_block *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->cells; i++)
        n += in_use(b, i);
    return n;
}

static bool list_sound(const struct weir_pool *p, const struct weir_pool_block *b)
{
    uintptr_t n = 0, most = b->fresh - weir_pool_used(p, b);
    for (void *cell = b->free; cell != NULL; n++) {
        uintptr_t i = weir_pool_number(p, b, cell);
        if (n == most || i >= b->fresh || (b->bits != NULL && in_use(b, (uint32_t)i))) return false;
        memcpy(&cell, cell, sizeof cell);
    }
    return n == most;
}

static bool where_sound(const struct weir_pool *p, const struct weir_pool_block *b)
{
    uint32_t used = weir_pool_used(p, b);
    switch ((enum weir_pool_where)b->where) {
    case WEIR_POOL_NOW:
        return p->now == b;
    case WEIR_POOL_FULL:
        return b->more == 0;
    case WEIR_POOL_EMPTY:
        return used == 0 && b->borrowed != WEIR_POOL_CALLERS;
    case WEIR_POOL_PARTIAL:
        return used < b->cells && (used > 0 || b->borrowed == WEIR_POOL_CALLERS);
    case WEIR_POOL_SPARE:
        break;
    }
    return false;
}

static bool directory_sound(const struct weir_pool *p, const struct weir_pool_block *b)
{
    uint32_t steps = 1;
    const struct weir_pool_block *at = weir_pool_at(p, *weir_pool_slot(p, b->base));
    for (; at != b && at != p->block && steps <= p->longest; steps++)
        at = weir_pool_at(p, at->chain);
    return at == b && steps <= p->longest;
}

static uint32_t list_length(const struct weir_pool *p, enum weir_pool_where list)
{
    uint32_t n = 0;
    uint16_t before = 0;
    for (uint16_t ref = p->list[list][0]; ref != 0; ref = weir_pool_at(p, ref)->next) {
        const struct weir_pool_block *b = weir_pool_at(p, ref);
        if (b->prev != before || b->where != list || n++ > p->blocks) return UINT32_MAX;
        before = ref;
    }
    return p->list[list][1] == before ? n : UINT32_MAX;
}

static bool lists_sound(const struct weir_pool *p, const uint32_t listed[2])
{
    return list_length(p, WEIR_POOL_PARTIAL) == listed[0] && list_length(p, WEIR_POOL_EMPTY) == listed[1] &&
           p->empty == listed[1];
}

static int block_check(const struct weir_pool *p, const struct weir_pool_block *b)
{
    uint32_t used = weir_pool_used(p, b);
    if (b->bits != NULL && bits_set(b) != used) return 1;
    if (used > b->fresh || b->fresh > b->cells) return 2;
    if (!list_sound(p, b)) return 3;
    if (weir_pool_single(p)) return 0;
    if (!where_sound(p, b)) return 4;
    return directory_sound(p, b) ? 0 : 5;
}

int weir_pool_check(const struct weir_pool *p)
{
    if (p->state != WEIR_POOL_OPEN_) return 0;
    uint32_t blocks = 0, listed[2] = {0, 0};
    uint64_t total = 0, used = 0;
    for (uint32_t n = 1; n <= p->fresh_blocks; n++) {
        const struct weir_pool_block *b = weir_pool_nth(p, n);
        if (b->cells == 0) continue;
        int broken = block_check(p, b);
        if (broken != 0) return broken;
        blocks++;
        total += b->cells;
        used += weir_pool_used(p, b);
        if (b->where <= WEIR_POOL_EMPTY) listed[b->where]++;
    }
    if (used != weir_pool_live(p)) return 1;
    if (blocks != p->blocks || total != p->total) return 2;
    if (!weir_pool_single(p) && !lists_sound(p, listed)) return 4;
    if (p->mark != weir_min_u32(p->peak, p->low_mark) || weir_pool_live(p) > p->peak) return 6;
    return 0;
}
