/* pool_grow.c: the life of a pool: its tables, the blocks that come and go. The theory is at the head of pool.c.
 *
 * Memory of the tables, in this order: blocks (entry 0 is none), bits (a row a block), directory. A block's row of
 * bits is all zero whenever no cell of the block is in use, so neither growing nor trimming clears one, and both hold
 * the lock for a constant time. */
#include <string.h>

#include "mem/pool_parts.h"

/* 2^w / 1.618... of a machine with words of w bits. */
#define GOLDEN ((uintptr_t)(UINT64_C(0x9e3779b97f4a7c15) >> (64 - 8 * sizeof(uintptr_t))))

/* What a configuration comes to. */
struct layout {
    uint32_t stride, cells, span, words, slots;
    size_t blocks_bytes, bits_bytes, table_bytes;
};

static uint32_t align_of(const struct weir_pool_conf *c)
{
    return weir_max_u32(c->align_bytes, sizeof(void *));
}

static bool conf_sane(const struct weir_pool_conf *c)
{
    return c->cell_bytes >= 1 && c->cell_bytes <= 1u << 24 &&
           (c->align_bytes == 0 || (weir_is_pow2(c->align_bytes) && c->align_bytes <= 1u << 16)) &&
           c->cells_per_block >= 1 && c->cells_per_block <= WEIR_POOL_CELLS_MAX && c->max_blocks >= 1 &&
           c->max_blocks <= WEIR_POOL_BLOCKS_MAX && c->level <= 2 && c->auto_trim <= 1 &&
           (c->auto_grow_blocks == 0 || c->source.take != NULL) &&
           (c->source.take == NULL) == (c->source.give == NULL) && (c->hook_events == 0 || c->hook != NULL);
}

/* Many blocks: as many cells as begin in the span, so that blocks of the source's waste none of it. */
static bool lay_out(const struct weir_pool_conf *c, struct layout *l)
{
    if (!conf_sane(c)) return false;
    l->stride = (uint32_t)weir_align_up(weir_max_u32(c->cell_bytes, sizeof(void *)), align_of(c));
    uint64_t bytes = (uint64_t)c->cells_per_block * l->stride;
    if (bytes > 1u << 31) return false;
    uint32_t most = c->cells_per_block; /* cells of one block of the caller's */
    l->cells = most;
    l->span = (uint32_t)bytes;
    l->slots = 0;
    if (c->max_blocks > 1) {
        l->span = weir_pow2_ceil((uint32_t)bytes);
        l->cells = l->span / l->stride;
        most = (l->span - 1) / l->stride + 1;
        l->slots = weir_pow2_ceil(4 * c->max_blocks);
        l->blocks_bytes = (c->max_blocks + 1u) * sizeof(struct weir_pool_block);
    } else {
        l->blocks_bytes = 0;
    }
    if ((uint64_t)most * c->max_blocks > WEIR_POOL_CELLS_MAX) return false;
    l->words = c->level > 0 ? (most + 31) / 32 : 0;
    l->bits_bytes = (size_t)c->max_blocks * l->words * 4;
    l->table_bytes = l->blocks_bytes + (size_t)weir_align_up(l->bits_bytes, sizeof(void *)) +
                     (size_t)weir_align_up(l->slots * sizeof(uint16_t), sizeof(void *));
    return true;
}

size_t weir_pool_bytes(const struct weir_pool_conf *conf, size_t cells)
{
    struct layout l;
    if (conf == NULL || !lay_out(conf, &l)) return 0;
    if (cells == 0) return l.table_bytes;
    size_t head = (size_t)weir_align_up(l.table_bytes, align_of(conf));
    if (cells > (SIZE_MAX - head) / l.stride) return 0;
    return head + cells * l.stride;
}

/* ---- the directory ---- */

static bool enter_directory(struct weir_pool *p, struct weir_pool_block *b)
{
    uint16_t *slot = weir_pool_slot(p, b->base);
    uint32_t steps = 1;
    for (uint16_t ref = *slot; ref != 0; ref = weir_pool_at(p, ref)->chain)
        steps++;
    if (steps > WEIR_POOL_CHAIN_MAX) return false;
    b->chain = *slot;
    *slot = weir_pool_ref(p, b);
    p->longest = weir_max_u32(p->longest, steps);
    return true;
}

static void leave_directory(struct weir_pool *p, struct weir_pool_block *b)
{
    uint16_t *link = weir_pool_slot(p, b->base), ref = weir_pool_ref(p, b);
    while (*link != ref)
        link = &weir_pool_at(p, *link)->chain;
    *link = b->chain;
}

/* ---- blocks come and go; the lock is held ---- */

static struct weir_pool_block *entry(struct weir_pool *p)
{
    if (p->blocks == p->conf.max_blocks) return NULL;
    if (p->spare == 0) return weir_pool_nth(p, ++p->fresh_blocks);
    struct weir_pool_block *b = weir_pool_at(p, p->spare);
    p->spare = b->next;
    return b;
}

static void forget_entry(struct weir_pool *p, struct weir_pool_block *b)
{
    b->base = 0;
    b->free = NULL;
    b->fresh = b->cells = 0;
    b->chain = 0;
    b->where = WEIR_POOL_SPARE;
    b->next = (uint16_t)p->spare;
    p->spare = weir_pool_ref(p, b);
}

/* A block at base. 0, WEIR_EMFILE: no entry, or its chain would be too long. */
static int place(struct weir_pool *p, void *base, uint32_t cells, enum weir_pool_whose whose)
{
    struct weir_pool_block *b = entry(p);
    if (b == NULL) return WEIR_EMFILE;
    b->base = (uintptr_t)base;
    b->cells = cells;
    b->more = -1;
    b->borrowed = (uint8_t)whose;
    if (weir_pool_single(p)) {
        b->where = WEIR_POOL_NOW;
        p->now = b;
    } else if (enter_directory(p, b)) {
        weir_pool_append(p, whose == WEIR_POOL_CALLERS ? WEIR_POOL_PARTIAL : WEIR_POOL_EMPTY, b);
    } else {
        forget_entry(p, b);
        return WEIR_EMFILE;
    }
    p->blocks++;
    p->bytes += (uint64_t)cells * p->stride;
    if (whose != WEIR_POOL_CALLERS) p->grown++;
    if (whose == WEIR_POOL_AUTO) p->auto_blocks++;
    weir_pool_count(p, p->total + cells, weir_pool_live(p));
    return WEIR_OK;
}

/* An empty block on a list, or the single one, is no more. */
static void unplace(struct weir_pool *p, struct weir_pool_block *b)
{
    if (!weir_pool_single(p)) {
        weir_pool_unlink(p, b);
        leave_directory(p, b);
    }
    p->blocks--;
    p->bytes -= (uint64_t)b->cells * p->stride;
    if (b->borrowed != WEIR_POOL_CALLERS) p->grown--;
    if (b->borrowed == WEIR_POOL_AUTO) p->auto_blocks--;
    weir_pool_count(p, p->total - b->cells, weir_pool_live(p));
    forget_entry(p, b);
}

/* ---- opening ---- */

static void set_division(struct weir_pool *p, uint32_t stride)
{
    p->stride = stride;
    p->rotate = (uint32_t)__builtin_ctz(stride);
    uintptr_t odd = stride >> p->rotate, inverse = (3 * odd) ^ 2; /* right in its last 5 bits */
    for (unsigned bits = 5; bits < sizeof inverse * 8; bits *= 2)
        inverse *= 2 - odd * inverse; /* Newton: twice as many */
    p->inverse = inverse;
}

static void set_directory(struct weir_pool *p, const struct layout *l, uint16_t *slots)
{
    uint32_t shift = weir_log2(l->span);
    p->slots = slots;
    p->mask = ~(uintptr_t)0 << shift;
    p->mul = GOLDEN >> shift | 1;
    p->slot_shift = (uint32_t)sizeof(uintptr_t) * 8 - weir_log2(l->slots);
}

static void set_tables(struct weir_pool *p, const struct layout *l, uint8_t *mem)
{
    p->block = p->own;
    if (l->slots > 0) p->block = (struct weir_pool_block *)(void *)mem;
    uint8_t *bits = mem + l->blocks_bytes;
    for (uint32_t n = 1; n <= p->conf.max_blocks && l->words > 0; n++)
        p->block[n].bits = (uint32_t *)(void *)(bits + (size_t)(n - 1) * l->words * 4);
    p->now = p->block;
    p->block->more = -1;
    if (l->slots > 0)
        set_directory(p, l, (uint16_t *)(void *)(bits + weir_align_up(l->bits_bytes, sizeof(void *))));
}

/* A lock, a hook for each call, level 2: the long way looks after all of them. */
static bool wants_long_way(const struct weir_pool_conf *c)
{
    return c->lock.kind != WEIR_LOCK_NONE || c->level >= 2 ||
           (c->hook_events & (WEIR_POOL_GET | WEIR_POOL_PUT)) != 0 ||
           (c->auto_trim != 0 && c->max_blocks == 1);
}

static void set_ways(struct weir_pool *p)
{
    bool one = weir_pool_single(p);
    if (wants_long_way(&p->conf)) {
        p->get = weir_pool_get_slow;
        p->put = weir_pool_put_slow;
    } else if (p->conf.level == 0) {
        p->get = one ? weir_pool_get_one0 : weir_pool_get_far0;
        p->put = one ? weir_pool_put_one0 : weir_pool_put_far0;
    } else {
        p->get = one ? weir_pool_get_one1 : weir_pool_get_far1;
        p->put = one ? weir_pool_put_one1 : weir_pool_put_far1;
    }
}

int weir_pool_open(struct weir_pool *p, const struct weir_pool_conf *conf, void *mem, size_t bytes)
{
    struct layout l;
    if (p == NULL || conf == NULL || !lay_out(conf, &l)) return WEIR_EINVAL;
    if ((uintptr_t)mem % sizeof(void *) != 0 || bytes < l.table_bytes || (mem == NULL && bytes > 0))
        return WEIR_EINVAL;
    int err = weir_lock_check(&conf->lock);
    if (err != 0) return err;
    memset(p, 0, sizeof *p);
    if (l.table_bytes > 0) memset(mem, 0, l.table_bytes);
    p->conf = *conf;
    p->cells_per_block = l.cells;
    p->span = l.span;
    p->table_bytes = l.table_bytes;
    set_division(p, l.stride);
    set_tables(p, &l, mem);
    set_ways(p);
    weir_pool_count(p, 0, 0);
    p->state = WEIR_POOL_OPEN_;
    if (bytes - l.table_bytes >= l.stride)
        err = weir_pool_add(p, (uint8_t *)mem + l.table_bytes, bytes - l.table_bytes);
    if (err >= 0 || err == WEIR_EINVAL) return WEIR_OK; /* EINVAL: alignment left no room for a cell */
    p->state = 0;
    return err;
}

/* ---- the caller's memory ---- */

static bool overlaps(const struct weir_pool *p, uintptr_t base, uintptr_t bytes)
{
    for (uint32_t n = 1; n <= p->fresh_blocks; n++) {
        const struct weir_pool_block *b = weir_pool_nth(p, n);
        uintptr_t own = (uintptr_t)b->cells * p->stride;
        if (own > 0 && base < b->base + own && b->base < base + bytes) return true;
    }
    return false;
}

/* Cells of [base, end) that begin in the stretch of base; all, where there is one block. */
static uint32_t cells_here(const struct weir_pool *p, uintptr_t base, uintptr_t end)
{
    uintptr_t fit = (end - base) / p->stride;
    if (weir_pool_single(p)) return (uint32_t)(fit < p->cells_per_block ? fit : p->cells_per_block);
    uintptr_t begin = (p->span - 1 - (base & (p->span - 1))) / p->stride + 1;
    return (uint32_t)(fit < begin ? fit : begin);
}

static int place_locked(struct weir_pool *p, void *base, uint32_t cells, enum weir_pool_whose whose)
{
    uintptr_t before = weir_lock_enter(&p->conf.lock);
    int err = place(p, base, cells, whose);
    weir_lock_leave(&p->conf.lock, before);
    return err;
}

/* Takes the last n blocks of the caller's away again. Nobody could get a cell of them: they are last on their
 * list, and gets come from threads only while weir_pool_add has none. */
static void take_back(struct weir_pool *p, uint32_t n)
{
    while (n-- > 0) {
        uintptr_t before = weir_lock_enter(&p->conf.lock);
        unplace(p, weir_pool_at(p, p->list[WEIR_POOL_PARTIAL][1]));
        weir_lock_leave(&p->conf.lock, before);
    }
}

int weir_pool_add(struct weir_pool *p, void *mem, size_t bytes)
{
    if (p->state != WEIR_POOL_OPEN_) return WEIR_ESTALE;
    uintptr_t base = (uintptr_t)weir_align_up((uintptr_t)mem, align_of(&p->conf)),
              end = (uintptr_t)mem + bytes;
    if (mem == NULL || end < (uintptr_t)mem || base > end || end - base < p->stride) return WEIR_EINVAL;
    if (end - base > (uintptr_t)WEIR_POOL_CELLS_MAX * p->stride) return WEIR_EINVAL;
    if (overlaps(p, base, end - base)) return WEIR_EINVAL;
    uint32_t added = 0, blocks = 0;
    do {
        uint32_t cells = cells_here(p, base, end);
        int err = place_locked(p, (uint8_t *)mem + (base - (uintptr_t)mem), cells, WEIR_POOL_CALLERS);
        if (err != 0) {
            take_back(p, blocks);
            p->why = WEIR_WHY_LIMIT;
            return err;
        }
        added += cells;
        blocks++;
        base += (uintptr_t)cells * p->stride;
    } while (!weir_pool_single(p) && end - base >= p->stride);
    return (int)added;
}

/* ---- the source's ---- */

int weir_pool_grow_one(struct weir_pool *p, enum weir_pool_whose whose)
{
    const struct weir_source *s = &p->conf.source;
    if (s->take == NULL) return WEIR_ENOTSUP;
    p->why = WEIR_WHY_LIMIT;
    if (p->blocks == p->conf.max_blocks) return WEIR_EMFILE;
    size_t bytes = (size_t)p->cells_per_block * p->stride;
    size_t align = weir_pool_single(p) ? align_of(&p->conf) : p->span;
    void *base = s->take(s->ctx, bytes, align);
    p->why = WEIR_WHY_SOURCE;
    if (base == NULL) return WEIR_ENOMEM;
    p->takes++;
    int err = (uintptr_t)base % align != 0 ? WEIR_EINVAL : place_locked(p, base, p->cells_per_block, whose);
    if (err == 0) {
        p->why = WEIR_WHY_NONE;
        weir_pool_tell(p, WEIR_POOL_GROWN, base);
        return WEIR_OK;
    }
    if (err == WEIR_EMFILE) p->why = WEIR_WHY_LIMIT;
    s->give(s->ctx, base, bytes);
    p->gives++;
    return err;
}

int weir_pool_grow(struct weir_pool *p, uint32_t blocks)
{
    if (p->state != WEIR_POOL_OPEN_) return WEIR_ESTALE;
    int err = blocks == 0 ? WEIR_EINVAL : WEIR_OK;
    uint32_t n = 0;
    while (n < blocks && (err = weir_pool_grow_one(p, WEIR_POOL_GROWN_BLOCK)) == 0)
        n++;
    return n > 0 ? (int)n : err;
}

static bool may_go(const struct weir_pool *p, const struct weir_pool_block *b)
{
    return p->total - b->cells >= weir_pool_live(p) + p->conf.low_water;
}

/* The empty block that goes next, or NULL. */
static struct weir_pool_block *surplus(struct weir_pool *p)
{
    struct weir_pool_block *b = &p->own[1];
    if (!weir_pool_single(p)) {
        if (p->empty <= p->conf.keep_blocks) return NULL;
        b = weir_pool_at(p, p->list[WEIR_POOL_EMPTY][1]);
    } else if (p->grown <= p->conf.keep_blocks || weir_pool_live(p) > 0) {
        return NULL;
    }
    return may_go(p, b) ? b : NULL;
}

bool weir_pool_trim_one(struct weir_pool *p)
{
    uintptr_t before = weir_lock_enter(&p->conf.lock), base = 0;
    struct weir_pool_block *b = surplus(p);
    size_t bytes = 0;
    if (b != NULL) {
        base = b->base;
        bytes = (size_t)b->cells * p->stride;
        unplace(p, b);
    }
    weir_lock_leave(&p->conf.lock, before);
    if (b == NULL) return false;
    p->gives++;
    weir_pool_tell(p, WEIR_POOL_TRIM, (void *)base);
    p->conf.source.give(p->conf.source.ctx, (void *)base, bytes);
    return true;
}

/* The block that gets take from goes back to the lists where none of its cells is in use. */
static void set_aside(struct weir_pool *p)
{
    uintptr_t before = weir_lock_enter(&p->conf.lock);
    struct weir_pool_block *b = p->now;
    if (!weir_pool_single(p) && b != p->block && b->more < 0) {
        weir_pool_append(p, b->borrowed == WEIR_POOL_CALLERS ? WEIR_POOL_PARTIAL : WEIR_POOL_EMPTY, b);
        p->now = p->block;
    }
    weir_lock_leave(&p->conf.lock, before);
}

int weir_pool_trim(struct weir_pool *p)
{
    if (p->state != WEIR_POOL_OPEN_) return WEIR_ESTALE;
    set_aside(p);
    int n = 0;
    while (weir_pool_trim_one(p))
        n++;
    return n;
}

/* ---- the end ---- */

int weir_pool_clear(struct weir_pool *p)
{
    if (p->state != WEIR_POOL_OPEN_) return WEIR_ESTALE;
    uintptr_t before = weir_lock_enter(&p->conf.lock);
    uint32_t live = weir_pool_live(p);
    memset(p->list, 0, sizeof p->list);
    p->empty = 0;
    for (uint32_t n = 1; n <= p->fresh_blocks; n++) {
        struct weir_pool_block *b = weir_pool_nth(p, n);
        if (b->where == WEIR_POOL_SPARE) continue;
        if (b->bits != NULL) memset(b->bits, 0, ((size_t)b->cells + 31) / 32 * 4);
        b->free = NULL;
        b->fresh = 0;
        b->more = -1;
        if (!weir_pool_single(p))
            weir_pool_append(p, b->borrowed == WEIR_POOL_CALLERS ? WEIR_POOL_PARTIAL : WEIR_POOL_EMPTY, b);
    }
    if (!weir_pool_single(p)) p->now = p->block;
    weir_pool_count(p, p->total, 0);
    weir_lock_leave(&p->conf.lock, before);
    return (int)live;
}

int weir_pool_close(struct weir_pool *p)
{
    if (p->state != WEIR_POOL_OPEN_) return WEIR_ESTALE;
    if (weir_pool_live(p) > 0) return WEIR_EBUSY;
    set_aside(p);
    p->conf.keep_blocks = p->conf.low_water = 0;
    while (weir_pool_trim_one(p))
        continue;
    memset(p, 0, sizeof *p);
    p->get = weir_pool_get_slow;
    p->put = weir_pool_put_slow;
    p->now = p->block = p->own;
    p->why = WEIR_WHY_STALE;
    return WEIR_OK;
}
