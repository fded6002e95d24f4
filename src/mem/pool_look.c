/* pool_look.c: a pool looked at: usable bytes, walk, invariants; counts are in pool_one.c. Nothing here changes a pool but the reset of its peak. */
#include <string.h>

#include "mem/pool_parts.h"

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

int weir_pool_walk(const struct weir_pool *p, weir_walk_fn walk, void *arg)
{
    if (p->state != WEIR_POOL_OPEN_) return WEIR_ESTALE;
    if (p->conf.level == 0) return WEIR_ENOTSUP;
    const struct weir_pool_block *b = NULL;
    while ((b = following(p, b == NULL ? 0 : b->base)) != NULL)
        for (uint32_t i = 0; i < b->cells; i++) {
            struct weir_block cell = {(const void *)(b->base + (uintptr_t)i * p->stride), p->stride,
                                      weir_pool_bit(b, i) ? WEIR_BLOCK_USED : WEIR_BLOCK_FREE};
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
        n += weir_pool_bit(b, i);
    return n;
}

static bool list_sound(const struct weir_pool *p, const struct weir_pool_block *b)
{
    uintptr_t n = 0, most = b->fresh - weir_pool_used(p, b);
    for (void *cell = b->free; cell != NULL; n++) {
        uintptr_t i = weir_pool_number(p, b, cell);
        if (n == most || i >= b->fresh || (b->bits != NULL && weir_pool_bit(b, i))) return false;
        memcpy(&cell, cell, sizeof cell);
    }
    return n == most;
}

static bool where_sound(const struct weir_pool *p, const struct weir_pool_block *b)
{
    uint32_t used = weir_pool_used(p, b);
    bool callers = b->borrowed == WEIR_POOL_CALLERS;
    switch ((enum weir_pool_where)b->where) {
    case WEIR_POOL_BUSY:
        return used < b->cells && (used > 0 || p->now == b);
    case WEIR_POOL_FULL:
        return used == b->cells && b->more == 0 && p->now != b;
    case WEIR_POOL_EMPTY:
        return used == 0 && !callers && p->now != b;
    case WEIR_POOL_IDLE:
        return used == 0 && callers && p->now != b;
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

/* Blocks in the ring; UINT32_MAX: it is broken. */
static uint32_t ring_length(const struct weir_pool *p)
{
    uint32_t n = 0;
    uint16_t before = 0;
    for (uint16_t ref = p->block->next; ref != 0; ref = weir_pool_at(p, ref)->next) {
        const struct weir_pool_block *b = weir_pool_at(p, ref);
        if (b->prev != before || b->where != WEIR_POOL_BUSY || b == p->now || n++ > p->blocks)
            return UINT32_MAX;
        before = ref;
    }
    return p->block->prev == before ? n : UINT32_MAX;
}

static bool lists_sound(const struct weir_pool *p, const uint32_t listed[3])
{
    bool any = p->now != p->block;
    return list_length(p, WEIR_POOL_IDLE) == listed[0] && list_length(p, WEIR_POOL_EMPTY) == listed[1] &&
           p->empty == listed[1] && ring_length(p) == listed[2] - any && (any || listed[2] == 0);
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
    uint32_t blocks = 0, listed[3] = {0, 0, 0};
    uint64_t total = 0, used = 0, busy = 0;
    for (uint32_t n = 1; n <= p->fresh_blocks; n++) {
        const struct weir_pool_block *b = weir_pool_nth(p, n);
        if (b->cells == 0) continue;
        int broken = block_check(p, b);
        if (broken != 0) return broken;
        blocks++;
        total += b->cells;
        used += weir_pool_used(p, b);
        if (b->where == WEIR_POOL_BUSY || b->where == WEIR_POOL_FULL) busy += b->cells;
        if (b->where <= WEIR_POOL_BUSY) listed[b->where]++;
    }
    if (used != weir_pool_live(p)) return 1;
    if (blocks != p->blocks || total != p->total) return 2;
    if (!weir_pool_single(p) && (busy != p->busy || !lists_sound(p, listed))) return 4;
    if (p->mark != weir_min_u32(p->peak, p->low_mark) || weir_pool_live(p) > p->peak) return 6;
    return 0;
}
