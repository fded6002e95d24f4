/* pool_one.c: cells in and out of one block, and all of a pool that is one block without lock, hook or source: so a
 * program with static pools links this file alone. The theory is at the head of pool.c.
 *
 * What a pool needs beyond is reached through its pointers get, put and get_long, which weir_pool_open sets and
 * WEIR_POOL_STATIC sets to functions of this file. Nothing here refers to pool.c, pool_grow.c or pool_look.c. */
#include <string.h>

#include "mem/pool_parts.h"

/* ---- counts ---- */

void *weir_pool_marked(struct weir_pool *p, void *cell)
{
    if (weir_pool_rise(p, 1)) weir_pool_tell(p, WEIR_POOL_LOW, cell);
    return cell;
}

/* ---- checks ---- */

WEIR_APART void weir_pool_mend(struct weir_pool *p, struct weir_pool_block *b)
{
    p->corrupt++;
    b->free = NULL;
    for (uintptr_t i = b->fresh; i-- > 0;) {
        if (weir_pool_bit(b, i)) continue;
        void *cell = (void *)(b->base + i * p->stride);
        memcpy(cell, &b->free, sizeof b->free);
        b->free = cell;
    }
}

int weir_pool_judge(const struct weir_pool *p, const struct weir_pool_block *b, const void *cell,
                    uint32_t *number)
{
    uintptr_t i = weir_pool_number(p, b, cell), addr = (uintptr_t)cell;
    if (i >= b->fresh || (b->bits != NULL && !weir_pool_bit(b, i))) {
        if (!weir_pool_in(p, b, addr)) return WEIR_EFOREIGN;
        return (addr - b->base) % p->stride != 0 ? WEIR_EINTERIOR : WEIR_EFREE;
    }
    if (weir_pool_used(p, b) == 0) return b->bits != NULL ? WEIR_ECORRUPT : WEIR_EFREE;
    *number = (uint32_t)i;
    return WEIR_OK;
}

/* ---- cells ---- */

WEIR_APART void *weir_pool_get_end(struct weir_pool *p)
{
    unsigned events = 0;
    if (weir_pool_has_cell(p, &p->own[1], &events)) return weir_pool_pop(p, &p->own[1], &events);
    p->why = WEIR_WHY_FULL;
    p->failures++;
    return NULL;
}

WEIR_POOL_TEMPLATE void *get_one(struct weir_pool *p, bool checked)
{
    struct weir_pool_block *b = &p->own[1];
    void *cell = b->free;
    if (cell == NULL) return p->get_long(p);
    if (checked) {
        uintptr_t i = weir_pool_number(p, b, cell);
        if (i >= b->fresh || !weir_pool_flip(b, i, false)) return p->get_long(p);
    }
    memcpy(&b->free, cell, sizeof b->free);
    p->allocs++;
    return __builtin_expect(--p->room < 0, 0) ? weir_pool_marked(p, cell) : cell;
}

/* An address that is no start of a cell in use. */
static WEIR_APART int refused(struct weir_pool *p, void *cell)
{
    uint32_t number;
    p->bad++;
    weir_pool_tell(p, WEIR_POOL_BAD, cell);
    return weir_pool_judge(p, &p->own[1], cell, &number);
}

WEIR_POOL_TEMPLATE int put_one(struct weir_pool *p, void *cell, bool checked)
{
    struct weir_pool_block *b = &p->own[1];
    if (checked) {
        uintptr_t i = weir_pool_number(p, b, cell);
        if (i >= b->fresh || !weir_pool_flip(b, i, true)) return refused(p, cell);
    }
    memcpy(cell, &b->free, sizeof b->free);
    b->free = cell;
    p->room++;
    return WEIR_OK;
}

void *weir_pool_get_one0(struct weir_pool *p)
{
    return get_one(p, false);
}
void *weir_pool_get_one1(struct weir_pool *p)
{
    return get_one(p, true);
}
int weir_pool_put_one0(struct weir_pool *p, void *cell)
{
    return put_one(p, cell, false);
}
int weir_pool_put_one1(struct weir_pool *p, void *cell)
{
    return put_one(p, cell, true);
}

/* ---- looking ---- */

enum weir_why weir_pool_why(const struct weir_pool *p)
{
    return p->state == WEIR_POOL_OPEN_ ? (enum weir_why)p->why : WEIR_WHY_STALE;
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
