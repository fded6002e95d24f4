/* pool.c: cells in and out; what needs one block only is pool_one.c, growing pool_grow.c, looking pool_look.c.
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
 * the block in use that has had free cells for longest (it has had time to get more). An empty one comes when no block in
 * use has a free cell: the caller's, those that were used before first, then the source's; and one of the caller's when of
 * the cells in blocks in use fewer are free than an eighth of those that live (SLACK), since in blocks that are filled
 * to the last cell nearly every get and put changes a list. So of blocks of equal size no more are ever touched than the peak
 * of live cells and an eighth fill, and one.
 *
 * `now` is left when its last cell goes out: so whether a block in use has a free cell is whether `now` is block 0, and
 * neither a get nor a put looks at a block that turns out to be full. Such blocks are a ring through block 0, which is
 * linked without a branch.
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
 * what needs no event, and hand everything else to the long way before they have changed anything. The short ways of one
 * block reach their long way by a pointer, so that a static pool links pool_one.c alone.
 *
 * Invariants (weir_pool_check returns the number)
 *   1  live = mark - room = the sum of used = the number of bits (levels 1 and 2)
 *   2  total = the sum of cells;  used <= fresh <= cells;  blocks = the entries in use
 *      used = more + 1, of a FULL block cells (then more = 0); of a single block live
 *   3  length(free list) = fresh - used, each link a cell below fresh whose bit is 0
 *   4  now and FULL blocks are on no list; FULL iff used = cells; IDLE, EMPTY iff used = 0, not now, the caller's or
 *      the source's; BUSY: now, or in the ring, which is empty where now is block 0; busy = the cells of BUSY and FULL
 *   5  each block is in the chain of its slot, and no chain is longer than `longest`
 *   6  mark = min(peak, low_mark), live <= peak
 *
 * Rejected: taking blocks in the order of their lists whether touched or not (4,000 live cells of 64 bytes went through
 * 60 MB); no slack (put 54, get 44 at any occupancy); a list of free cells for the whole pool (two instructions less, but then no block ever knows that it is
 * empty); numbers instead of addresses as links (a multiplication more a get, one less to check); a bit map as the
 * free list (a search); searching a sorted array of blocks (ten steps at 1,024 blocks, 45 instructions); a head
 * in each block found by masking (reads memory that may not be there when the address is wrong). */
#include <string.h>

#include "mem/pool_parts.h"

/* ---- level 2 ---- */

/* The bytes behind the link. */
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

/* The ring: blocks with a free cell that are not `now`, through block 0. */
static inline void ring_append(struct weir_pool *p, struct weir_pool_block *b)
{
    struct weir_pool_block *zero = p->block;
    uint16_t ref = weir_pool_ref(p, b), tail = zero->prev;
    b->next = 0;
    b->prev = tail;
    weir_pool_at(p, tail)->next = ref;
    zero->prev = ref;
}

static void ring_unlink(struct weir_pool *p, struct weir_pool_block *b)
{
    weir_pool_at(p, b->prev)->next = b->next;
    weir_pool_at(p, b->next)->prev = b->prev;
}

/* An empty block, the caller's first, becomes `now`; NULL: there is none. */
static WEIR_APART struct weir_pool_block *take_empty(struct weir_pool *p)
{
    uint16_t ref = p->list[WEIR_POOL_IDLE][0];
    if (ref == 0) ref = p->list[WEIR_POOL_EMPTY][0];
    if (ref == 0) return NULL;
    struct weir_pool_block *b = weir_pool_at(p, ref);
    weir_pool_unlink(p, b);
    b->where = WEIR_POOL_BUSY;
    p->busy += b->cells;
    return p->now = b;
}

/* Whether the blocks in use are nearly full, so that one of the caller's empty ones shall come: of blocks that are, each
 * get and put would change the lists. */
static inline bool crowded(const struct weir_pool *p)
{
    uint32_t live = weir_pool_live(p);
    return p->busy - live < live >> WEIR_POOL_SLACK;
}

/* The first block of the ring becomes `now`, or block 0: there is none. */
WEIR_POOL_TEMPLATE void next_now(struct weir_pool *p)
{
    struct weir_pool_block *zero = p->block, *b = weir_pool_at(p, zero->next);
    p->now = b;
    if (b == zero) return;
    zero->next = b->next;
    weir_pool_at(p, b->next)->prev = 0;
}

void weir_pool_next_now(struct weir_pool *p)
{
    next_now(p);
}

/* Every cell of `now` is in use. */
WEIR_POOL_TEMPLATE void leave_now(struct weir_pool *p)
{
    p->now->where = WEIR_POOL_FULL;
    p->now->more = 0;
    if (p->list[WEIR_POOL_IDLE][0] != 0 && crowded(p))
        (void)take_empty(p);
    else
        next_now(p);
}

WEIR_POOL_TEMPLATE bool full(const struct weir_pool_block *b)
{
    return (uint32_t)(b->more + 1) == b->cells;
}

/* A block with a cell to hand out, or NULL. Constant but for mending: `now` and a block on a list have a free cell,
 * unless level 0 lost it to a link that was overwritten. */
static struct weir_pool_block *ready(struct weir_pool *p, unsigned *events)
{
    if (weir_pool_single(p)) return weir_pool_has_cell(p, p->now, events) ? p->now : NULL;
    for (; p->now != p->block; leave_now(p))
        if (weir_pool_has_cell(p, p->now, events)) return p->now;
    return take_empty(p);
}

/* One cell. The lock is held. */
static void *take(struct weir_pool *p, unsigned *events)
{
    struct weir_pool_block *b = ready(p, events);
    if (b == NULL) return NULL;
    bool came_back = b->free != NULL;
    void *cell = weir_pool_pop(p, b, events);
    if (p->conf.level >= 2 && came_back && !filled(p, cell)) {
        p->corrupt++;
        *events |= WEIR_POOL_BAD;
    }
    if (!weir_pool_single(p) && full(b)) leave_now(p);
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

/* The list of `now` came to its end: usually it is full. */
static WEIR_APART void *last(struct weir_pool *p, void *cell)
{
    if (full(p->now)) leave_now(p);
    return cell;
}

static WEIR_APART void *marked(struct weir_pool *p, void *cell)
{
    if (weir_pool_rise(p, 1)) weir_pool_tell(p, WEIR_POOL_LOW, cell);
    return p->now->free == NULL ? last(p, cell) : cell;
}

/* Without a cell that came back the head is NULL, which is no cell's address: the check finds it too. */
WEIR_POOL_TEMPLATE void *get_far(struct weir_pool *p, bool checked)
{
    struct weir_pool_block *b = p->now;
    void *cell = b->free, *next;
    if (checked) {
        uintptr_t i = weir_pool_number(p, b, cell);
        if (i >= b->fresh || !weir_pool_flip(b, i, false)) return weir_pool_get_slow(p);
    } else if (cell == NULL) {
        return weir_pool_get_slow(p);
    }
    memcpy(&next, cell, sizeof next);
    b->free = next;
    b->more++;
    p->allocs++;
    if (--p->room < 0) return marked(p, cell);
    return __builtin_expect(next == NULL, 0) ? last(p, cell) : cell;
}

void *weir_pool_get_far0(struct weir_pool *p)
{
    return get_far(p, false);
}
void *weir_pool_get_far1(struct weir_pool *p)
{
    return get_far(p, true);
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
            if (i >= b->fresh || weir_pool_bit(b, i)) break;
            b->bits[i / 32] |= (uint32_t)1 << (i & 31);
        }
        memcpy(&b->free, cell, sizeof b->free);
        out[got] = cell;
    }
    b->more += (int32_t)got;
    if (got > 0 && !weir_pool_single(p) && full(b)) leave_now(p);
    p->allocs += got;
    p->room -= (int32_t)got;
    if (p->room < 0 && weir_pool_rise(p, got)) *events |= WEIR_POOL_LOW;
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

/* The last cell of a stretch may reach into the next. */
int weir_pool_locate(const struct weir_pool *p, const void *cell, struct weir_pool_block **block,
                     uint32_t *number)
{
    struct weir_pool_block *b = weir_pool_find(p, (uintptr_t)cell);
    uintptr_t stretch = (uintptr_t)cell & p->mask;
    if (b == p->block && !weir_pool_single(p) && stretch > 0) b = weir_pool_find(p, stretch - 1);
    *block = b;
    return weir_pool_judge(p, b, cell, number);
}

/* A put into a full block: it has a free cell again. */
WEIR_POOL_TEMPLATE void opened(struct weir_pool *p, struct weir_pool_block *b)
{
    b->where = WEIR_POOL_BUSY;
    b->more = (int32_t)b->cells - 2;
    if (p->now == p->block)
        p->now = b; /* the next get finds this cell at once */
    else
        ring_append(p, b);
}

/* A put left `more` below 0: the block was full, or is empty; or both, with one cell. */
static void relist(struct weir_pool *p, struct weir_pool_block *b)
{
    if (b->where == WEIR_POOL_FULL) opened(p, b);
    if (b->more >= 0 || b == p->now) return;
    ring_unlink(p, b);
    p->busy -= b->cells;
    if (b->borrowed == WEIR_POOL_CALLERS)
        weir_pool_prepend(p, WEIR_POOL_IDLE, b); /* before those that were never touched */
    else
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

/* Nothing was in use before a put: a wild write changed bits or count. The cell's bit is set again. */
static WEIR_APART int undo(struct weir_pool *p, struct weir_pool_block *b, void *cell)
{
    memcpy(&b->free, cell, sizeof b->free);
    if (b->bits != NULL) (void)weir_pool_flip(b, weir_pool_number(p, b, cell), false);
    b->more = -1;
    p->room--;
    p->bad++;
    weir_pool_tell(p, WEIR_POOL_BAD, cell);
    return b->bits != NULL ? WEIR_ECORRUPT : WEIR_EFREE;
}

static WEIR_APART int emptied(struct weir_pool *p, struct weir_pool_block *b, void *cell)
{
    if (b->more < -1) return undo(p, b, cell);
    relist(p, b);
    if (p->conf.auto_trim != 0) (void)weir_pool_trim_one(p);
    return WEIR_OK;
}

/* A put left `more` below 0: usually the block was full. */
static WEIR_APART int changed(struct weir_pool *p, struct weir_pool_block *b, void *cell)
{
    if (b->where != WEIR_POOL_FULL || p->conf.auto_trim != 0 || b->cells == 1) return emptied(p, b, cell);
    opened(p, b);
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
    if (checked && !weir_pool_flip(b, i, true)) return weir_pool_put_slow(p, cell);
    memcpy(cell, &b->free, sizeof b->free);
    b->free = cell;
    p->room++;
    if (__builtin_expect(--b->more < 0, 0)) return changed(p, b, cell);
    return WEIR_OK;
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
