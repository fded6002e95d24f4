/* pool.c: cells in and out; growing is pool_grow.c, looking pool_look.c.
 *
 * Theory of operation
 *
 *   struct weir_pool        tables (the caller's)                        blocks
 *   now ---------------+    directory: slot -> block                     +------+------+------+------+
 *   directory -------->|    0 | 0 | 2 | 0 | 1 | 0 | 0 | 0  (16 bits)     | used | free | used |      |
 *   lists of blocks    |    block 0 (none: no cell)                      +------+--|---+------+------+
 *                      +--> block 1  base free bits fresh used cells --->            +-> next free   ^ fresh
 *                           block 2 ...                                   nothing but the user's bytes
 *                           bits: 1 0 1 0   one a cell, out of line       in a cell in use
 *
 * A block's cells are handed out from its free list, and from the untouched ones behind `fresh` when that is
 * empty, so memory is touched as late as possible. Gets take from one block, `now`, until it is full; then from
 * the block that has had free cells for longest (it has had time to get more), and only then from an empty one.
 *
 * The block of an address. A pool of many blocks thinks of the address space in stretches of `span` bytes, the
 * power of two that holds a block; blocks of the source's are aligned to it, the caller's areas are cut so that
 * all cells of a block begin in one stretch. A stretch is hashed by the golden ratio into 4 slots a block or more.
 * n stretches one behind the other never share a slot: the multiples of the golden ratio modulo 1 keep a
 * distance of 0.38 / n (Swierczkowski's three-distance theorem), a slot is 0.25 / n wide. Others may; a chain
 * of more than WEIR_POOL_CHAIN_MAX is refused when the block comes, so a put has a bound.
 *
 * Counts that cost one instruction. `room` counts down with each get and up with each put; when it goes below 0
 * the number of live cells has passed `mark`, the smaller of the peak and the low-water mark, and the long way looks
 * which. So live = mark - room at any time, and no get compares with two bounds.
 *
 * Ways. A pool has one get and one put, chosen when it is opened: for one block or many, with level 0 or 1,
 * each without a branch on what is fixed; or the long way, which knows locks, hooks and level 2. The short ways do
 * what needs no list and no event, and hand everything else to the long way before they have changed
 * anything.
 *
 * Invariants (weir_pool_check returns the number)
 *   1  live = mark - room = the sum of used = the number of bits (levels 1 and 2)
 *   2  total = the sum of cells;  used <= fresh <= cells;  blocks = the entries in use
 *      used = more + 1, of a FULL block cells (then more = 0); of a single block live
 *   3  length(free list) = fresh - used, each link a cell below fresh whose bit is 0
 *   4  now and FULL blocks are on no list; FULL iff used = cells; EMPTY iff used = 0, of the source's, not now
 *   5  each block is in the chain of its slot, and no chain is longer than `longest`
 *   6  mark = min(peak, low_mark), live <= peak
 *
 * Rejected: a list of free cells for the whole pool (two instructions less, but then no block ever knows that it is
 * empty); numbers instead of addresses as links (a multiplication more a get, one less to check); a bit map as the
 * free list (a search); searching a sorted array of blocks (ten steps at 1,024 blocks, 45 instructions); a head
 * in each block found by masking (reads memory that may not be there when the address is wrong). */
#include <string.h>

#include "mem/pool_parts.h"

/* ---- counts ---- */

/* Room went below 0 with `more` gets. Whether the low-water mark was passed. */
static bool rise(struct weir_pool *p, uint32_t more)
{
    uint32_t live = weir_pool_live(p);
    bool low = live > p->low_mark && live - more <= p->low_mark;
    if (low) p->lows++;
    if (live > p->peak) p->peak = live;
    weir_pool_count(p, p->total, live);
    return low;
}

void *weir_pool_marked(struct weir_pool *p, void *cell)
{
    if (rise(p, 1)) weir_pool_tell(p, WEIR_POOL_LOW, cell);
    return cell;
}

/* ---- checks ---- */

static bool bit_of(const struct weir_pool_block *b, uintptr_t i)
{
    return b->bits[i / 32] >> (i & 31) & 1;
}

/* Whether the head of the free list is a free cell; empty, whether it should be. */
static bool head_sound(const struct weir_pool *p, const struct weir_pool_block *b)
{
    if (b->free == NULL) return b->fresh == weir_pool_used(p, b);
    uintptr_t i = weir_pool_number(p, b, b->free);
    return i < b->fresh && !bit_of(b, i);
}

/* The free list again, from the bits: its links were overwritten by a user of a cell that was put back. */
static void mend(struct weir_pool *p, struct weir_pool_block *b)
{
    p->corrupt++;
    b->free = NULL;
    for (uintptr_t i = b->fresh; i-- > 0;) {
        if (bit_of(b, i)) continue;
        void *cell = (void *)(b->base + i * p->stride);
        memcpy(cell, &b->free, sizeof b->free);
        b->free = cell;
    }
}

/* Level 2: the bytes behind the link. */
static void fill(const struct weir_pool *p, void *cell)
{
    memset((uint8_t *)cell + sizeof(void *), WEIR_POOL_FILL, p->stride - sizeof(void *));
}

static bool filled(const struct weir_pool *p, const void *cell)
{
    const uint8_t *byte = cell;
    for (uint32_t i = sizeof(void *); i < p->stride; i++)
        if (byte[i] != WEIR_POOL_FILL) return false;
    return true;
}

/* ---- out ---- */

static bool has_cell(struct weir_pool *p, struct weir_pool_block *b, unsigned *events)
{
    if (b->bits != NULL && !head_sound(p, b)) {
        *events |= WEIR_POOL_BAD;
        mend(p, b);
    }
    return b->free != NULL || b->fresh < b->cells;
}

/* Every cell of `now` is in use. */
static void leave_now(struct weir_pool *p)
{
    struct weir_pool_block *b = p->now;
    if (b == p->block) return;
    b->where = WEIR_POOL_FULL;
    b->more = 0;
}

/* A block of a list becomes `now`. */
static struct weir_pool_block *take_block(struct weir_pool *p, uint16_t ref)
{
    struct weir_pool_block *b = weir_pool_at(p, ref);
    weir_pool_unlink(p, b);
    b->where = WEIR_POOL_NOW;
    return p->now = b;
}

/* Every cell in use, and no list was cut short. Of a pool of many blocks. */
static bool full(const struct weir_pool_block *b)
{
    return b->free == NULL && b->fresh == b->cells && (uint32_t)(b->more + 1) == b->cells;
}

/* A block with a cell to hand out, or NULL. Constant but for mending: a block on a list has a free cell. */
static struct weir_pool_block *ready(struct weir_pool *p, unsigned *events)
{
    struct weir_pool_block *b = p->now;
    if (has_cell(p, b, events)) return b;
    if (weir_pool_single(p)) return NULL;
    leave_now(p);
    uint16_t ref = p->list[WEIR_POOL_PARTIAL][0];
    if (ref == 0) ref = p->list[WEIR_POOL_EMPTY][0];
    p->now = p->block;
    if (ref == 0) return NULL;
    b = take_block(p, ref);
    return has_cell(p, b, events) ? b : NULL;
}

static void *pop(struct weir_pool *p, struct weir_pool_block *b, uintptr_t *number, unsigned *events)
{
    void *cell = b->free;
    if (cell == NULL) {
        *number = b->fresh;
        return (void *)(b->base + b->fresh++ * p->stride);
    }
    *number = weir_pool_number(p, b, cell);
    memcpy(&b->free, cell, sizeof b->free);
    if (p->conf.level >= 2 && !filled(p, cell)) {
        p->corrupt++;
        *events |= WEIR_POOL_BAD;
    }
    return cell;
}

/* One cell. The lock is held. */
static void *take(struct weir_pool *p, unsigned *events)
{
    struct weir_pool_block *b = ready(p, events);
    if (b == NULL) return NULL;
    uintptr_t i;
    void *cell = pop(p, b, &i, events);
    if (b->bits != NULL) b->bits[i / 32] |= (uint32_t)1 << (i & 31);
    b->more++;
    p->allocs++;
    p->room--;
    if (p->room < 0 && rise(p, 1)) *events |= WEIR_POOL_LOW;
    return cell;
}

/* What the hook is to be told of a get, after the lock. */
static void tell_get(struct weir_pool *p, unsigned events, void *cell)
{
    if ((events & WEIR_POOL_BAD) != 0) weir_pool_tell(p, WEIR_POOL_BAD, cell);
    if (cell != NULL) weir_pool_tell(p, WEIR_POOL_GET, cell);
    if ((events & WEIR_POOL_LOW) != 0) weir_pool_tell(p, WEIR_POOL_LOW, cell);
}

/* Nothing was free: whether a block came, else why not. */
static bool grew(struct weir_pool *p)
{
    p->why = WEIR_WHY_FULL;
    if (p->conf.auto_grow_blocks == 0) return false;
    p->why = WEIR_WHY_LIMIT;
    if (p->auto_blocks >= p->conf.auto_grow_blocks) return false;
    return weir_pool_grow_one(p, WEIR_POOL_AUTO) == 0;
}

static bool tells_all(const struct weir_pool *p)
{
    return (p->conf.hook_events & WEIR_POOL_GET) != 0;
}

WEIR_APART void *weir_pool_get_slow(struct weir_pool *p)
{
    if (p->state != WEIR_POOL_OPEN_) return NULL;
    unsigned events = 0;
    void *cell;
    do {
        uintptr_t before = weir_lock_enter(&p->conf.lock);
        cell = take(p, &events);
        weir_lock_leave(&p->conf.lock, before);
    } while (cell == NULL && grew(p));
    if (cell == NULL) p->failures++;
    if (events != 0 || tells_all(p)) tell_get(p, events, cell);
    return cell;
}

/* The bit of a cell changes. What it was; it was not `was`: nothing changes. Written for one comparison: the word
 * grows iff the bit was 0. */
WEIR_POOL_TEMPLATE bool flip(struct weir_pool_block *b, uintptr_t i, bool was)
{
    uint32_t before = b->bits[i / 32], after = before ^ (uint32_t)1 << ((uint32_t)i & 31);
    if ((after < before) != was) return false;
    b->bits[i / 32] = after;
    return true;
}

WEIR_POOL_TEMPLATE void *take_head(struct weir_pool *p, struct weir_pool_block *b, bool one, bool checked)
{
    void *cell = b->free;
    if (checked) {
        uintptr_t i = weir_pool_number(p, b, cell);
        if (i >= b->fresh || !flip(b, i, false)) return weir_pool_get_slow(p);
    }
    memcpy(&b->free, cell, sizeof b->free);
    if (!one) b->more++;
    p->allocs++;
    if (--p->room < 0) return weir_pool_marked(p, cell);
    return cell;
}

/* `now` has no cell that came back: the usual case, that it is full and another block has one. */
WEIR_POOL_TEMPLATE void *get_next(struct weir_pool *p, bool checked)
{
    uint16_t ref = p->list[WEIR_POOL_PARTIAL][0];
    if (ref == 0 || !full(p->now)) return weir_pool_get_slow(p);
    leave_now(p);
    struct weir_pool_block *b = take_block(p, ref);
    return b->free == NULL ? weir_pool_get_slow(p) : take_head(p, b, false, checked);
}

static WEIR_APART void *get_next0(struct weir_pool *p)
{
    return get_next(p, false);
}
static WEIR_APART void *get_next1(struct weir_pool *p)
{
    return get_next(p, true);
}

WEIR_POOL_TEMPLATE void *get(struct weir_pool *p, bool one, bool checked)
{
    struct weir_pool_block *b = one ? &p->own[1] : p->now;
    if (b->free != NULL) return take_head(p, b, one, checked);
    if (one) return weir_pool_get_slow(p);
    return checked ? get_next1(p) : get_next0(p);
}

void *weir_pool_get_one0(struct weir_pool *p)
{
    return get(p, true, false);
}
void *weir_pool_get_one1(struct weir_pool *p)
{
    return get(p, true, true);
}
void *weir_pool_get_far0(struct weir_pool *p)
{
    return get(p, false, false);
}
void *weir_pool_get_far1(struct weir_pool *p)
{
    return get(p, false, true);
}

/* Up to n cells from the free list of the present block: counts are kept once for all of them. */
static uint32_t take_run(struct weir_pool *p, void **out, uint32_t n, unsigned *events)
{
    struct weir_pool_block *b = p->now;
    uint32_t got = 0;
    for (; got < n && b->free != NULL && p->conf.level < 2; got++) {
        void *cell = b->free;
        if (b->bits != NULL) {
            uintptr_t i = weir_pool_number(p, b, cell);
            if (i >= b->fresh || bit_of(b, i)) break;
            b->bits[i / 32] |= (uint32_t)1 << (i & 31);
        }
        memcpy(&b->free, cell, sizeof b->free);
        out[got] = cell;
    }
    b->more += (int32_t)got;
    p->allocs += got;
    p->room -= (int32_t)got;
    if (p->room < 0 && rise(p, got)) *events |= WEIR_POOL_LOW;
    return got;
}

static uint32_t take_batch(struct weir_pool *p, void **out, uint32_t n, unsigned *events)
{
    uint32_t got = take_run(p, out, n, events);
    if (got == 0 && (out[0] = take(p, events)) != NULL) got = 1;
    return got;
}

uint32_t weir_pool_get_many(struct weir_pool *p, void **out, uint32_t n)
{
    uint32_t got = 0;
    while (got < n && p->state == WEIR_POOL_OPEN_) {
        unsigned events = 0;
        uintptr_t before = weir_lock_enter(&p->conf.lock);
        uint32_t more = take_batch(p, out + got, weir_min_u32(n - got, WEIR_POOL_BATCH), &events);
        weir_lock_leave(&p->conf.lock, before);
        if (more == 0) { /* a single get grows, or says why not */
            if ((out[got] = weir_pool_get_slow(p)) == NULL) break;
            got++;
            continue;
        }
        for (uint32_t i = 0; i < more && (events != 0 || tells_all(p)); i++)
            tell_get(p, i + 1 == more ? events : 0, out[got + i]);
        got += more;
    }
    return got;
}

/* ---- in ---- */

/* An address that is no start of a cell in use: which error. The last cell of a stretch may reach into the next. */
static int refuse(const struct weir_pool *p, const struct weir_pool_block *b, uintptr_t addr)
{
    uintptr_t stretch = addr & p->mask;
    if (b == p->block && !weir_pool_single(p) && stretch > 0) {
        b = weir_pool_find(p, stretch - 1);
    }
    if (!weir_pool_in(p, b, addr)) return WEIR_EFOREIGN;
    return (addr - b->base) % p->stride != 0 ? WEIR_EINTERIOR : WEIR_EFREE;
}

int weir_pool_locate(const struct weir_pool *p, const void *cell, struct weir_pool_block **block,
                     uint32_t *number)
{
    struct weir_pool_block *b = weir_pool_find(p, (uintptr_t)cell);
    uintptr_t i = weir_pool_number(p, b, cell);
    if (i >= b->fresh || (b->bits != NULL && !bit_of(b, i))) return refuse(p, b, (uintptr_t)cell);
    if (weir_pool_used(p, b) == 0) return b->bits != NULL ? WEIR_ECORRUPT : WEIR_EFREE;
    *block = b;
    *number = (uint32_t)i;
    return WEIR_OK;
}

/* A put left `more` below 0: the block was full, or is empty. */
static void relist(struct weir_pool *p, struct weir_pool_block *b)
{
    if (b->where == WEIR_POOL_FULL) {
        b->more = (int32_t)b->cells - 2;
        if (full(p->now)) {
            leave_now(p); /* the next get finds this cell at once */
            b->where = WEIR_POOL_NOW;
            p->now = b;
            return;
        }
        weir_pool_append(p, WEIR_POOL_PARTIAL, b);
    }
    if (b->more >= 0 || b->where != WEIR_POOL_PARTIAL || b->borrowed == WEIR_POOL_CALLERS) return;
    weir_pool_unlink(p, b);
    weir_pool_append(p, WEIR_POOL_EMPTY, b);
}

/* One cell back. The lock is held. */
static int give(struct weir_pool *p, void *cell)
{
    struct weir_pool_block *b;
    uint32_t i;
    int err = weir_pool_locate(p, cell, &b, &i);
    if (err != 0) {
        p->bad++;
        return err;
    }
    if (b->bits != NULL) b->bits[i / 32] &= ~((uint32_t)1 << (i & 31));
    memcpy(cell, &b->free, sizeof b->free);
    b->free = cell;
    if (p->conf.level >= 2) fill(p, cell);
    p->room++;
    if (--b->more < 0 && !weir_pool_single(p)) relist(p, b);
    return WEIR_OK;
}

WEIR_APART int weir_pool_put_slow(struct weir_pool *p, void *cell)
{
    if (p->state != WEIR_POOL_OPEN_) return WEIR_ESTALE;
    if ((p->conf.hook_events & WEIR_POOL_PUT) != 0) weir_pool_tell(p, WEIR_POOL_PUT, cell);
    uintptr_t before = weir_lock_enter(&p->conf.lock);
    int err = give(p, cell);
    weir_lock_leave(&p->conf.lock, before);
    if (err != 0) weir_pool_tell(p, WEIR_POOL_BAD, cell);
    if (err == 0 && p->conf.auto_trim != 0) (void)weir_pool_trim_one(p);
    return err;
}

/* A put left `more` below 0. `wild`: no cell was in use before it, so a wild write changed bits or count, and
 * the cell's bit is set again. */
static WEIR_APART int changed(struct weir_pool *p, struct weir_pool_block *b, void *cell)
{
    bool wild = b->more < -1;
    if (wild) {
        memcpy(&b->free, cell, sizeof b->free);
        if (b->bits != NULL) (void)flip(b, weir_pool_number(p, b, cell), false);
        b->more = -1;
        p->room--;
        p->bad++;
        weir_pool_tell(p, WEIR_POOL_BAD, cell);
        return b->bits != NULL ? WEIR_ECORRUPT : WEIR_EFREE;
    }
    relist(p, b);
    if (p->conf.auto_trim != 0) (void)weir_pool_trim_one(p);
    return WEIR_OK;
}

WEIR_POOL_TEMPLATE int put_one(struct weir_pool *p, void *cell, bool checked)
{
    struct weir_pool_block *b = &p->own[1];
    if (checked) {
        uintptr_t i = weir_pool_number(p, b, cell);
        if (i >= b->fresh || !flip(b, i, true)) return weir_pool_put_slow(p, cell);
    }
    memcpy(cell, &b->free, sizeof b->free);
    b->free = cell;
    p->room++;
    return WEIR_OK;
}

WEIR_POOL_TEMPLATE int put_far(struct weir_pool *p, void *cell, bool checked)
{
    struct weir_pool_block *b = weir_pool_at(p, *weir_pool_slot(p, (uintptr_t)cell));
    uintptr_t i = weir_pool_number(p, b, cell);
    while (__builtin_expect(i >= b->fresh, 0)) {
        if (b->chain == 0) return weir_pool_put_slow(p, cell);
        b = weir_pool_at(p, b->chain);
        i = weir_pool_number(p, b, cell);
    }
    if (checked && !flip(b, i, true)) return weir_pool_put_slow(p, cell);
    memcpy(cell, &b->free, sizeof b->free);
    b->free = cell;
    p->room++;
    if (__builtin_expect(--b->more < 0, 0)) return changed(p, b, cell);
    return WEIR_OK;
}

int weir_pool_put_one0(struct weir_pool *p, void *cell)
{
    return put_one(p, cell, false);
}
int weir_pool_put_one1(struct weir_pool *p, void *cell)
{
    return put_one(p, cell, true);
}
int weir_pool_put_far0(struct weir_pool *p, void *cell)
{
    return put_far(p, cell, false);
}
int weir_pool_put_far1(struct weir_pool *p, void *cell)
{
    return put_far(p, cell, true);
}

int weir_pool_put_many(struct weir_pool *p, void *const *cells, uint32_t n)
{
    int first = WEIR_OK;
    for (uint32_t i = 0; i < n; i++) {
        int err = weir_pool_put(p, cells[i]);
        if (err != 0 && first == 0) first = err;
    }
    return first;
}
