/* pool_parts.h: what the files of the pool share: its lists of blocks, its counts, its directory. The theory of
 * operation is at the head of pool.c. */
#ifndef WEIR_POOL_PARTS_H
#define WEIR_POOL_PARTS_H

#include <stdbool.h>

#include "base/bits.h"
#include "mem/lock.h"
#include "weir/pool.h"

/* On which list a block stands. IDLE and EMPTY are indices of weir_pool.list. */
enum weir_pool_where {
    WEIR_POOL_IDLE = 0,  /* the caller's, no cell in use */
    WEIR_POOL_EMPTY = 1, /* of the source, no cell in use: may go back */
    WEIR_POOL_BUSY = 2,  /* a cell is free: `now`, or in the ring through block 0 and another cell in use */
    WEIR_POOL_FULL = 3,  /* every cell in use: on no list */
    WEIR_POOL_SPARE = 4  /* an entry without a block */
};

/* Whose memory a block is: weir_pool_block.borrowed. */
enum weir_pool_whose { WEIR_POOL_GROWN_BLOCK, WEIR_POOL_CALLERS, WEIR_POOL_AUTO };

/* One way for all kinds of pool where bytes of code count, one compiled for each where instructions do. */
#ifdef __OPTIMIZE_SIZE__
#define WEIR_POOL_TEMPLATE static inline
#else
#define WEIR_POOL_TEMPLATE WEIR_TEMPLATE
#endif

#define WEIR_POOL_REF_SHIFT 3 /* blocks are named by their distance from block 0 in units of 8 bytes */
#define WEIR_POOL_FILL      0xdb
#define WEIR_POOL_SLACK     3 /* blocks in use may have one cell in 2^3 free before gets fill them up */

_Static_assert(sizeof(struct weir_pool_block) % (1u << WEIR_POOL_REF_SHIFT) == 0, "blocks lie on units");
_Static_assert((WEIR_POOL_BLOCKS_MAX + 1) * sizeof(struct weir_pool_block) >> WEIR_POOL_REF_SHIFT <=
                   UINT16_MAX,
               "a reference has 16 bits");

static inline struct weir_pool_block *weir_pool_at(const struct weir_pool *p, uint32_t ref)
{
    return (struct weir_pool_block *)(void *)((uint8_t *)p->block + ((size_t)ref << WEIR_POOL_REF_SHIFT));
}

static inline uint16_t weir_pool_ref(const struct weir_pool *p, const struct weir_pool_block *b)
{
    return (uint16_t)(((uintptr_t)b - (uintptr_t)p->block) >> WEIR_POOL_REF_SHIFT);
}

static inline struct weir_pool_block *weir_pool_nth(const struct weir_pool *p, uint32_t n)
{
    return &p->block[n];
}

static inline bool weir_pool_single(const struct weir_pool *p)
{
    return p->conf.max_blocks == 1;
}

static inline uint32_t weir_pool_live(const struct weir_pool *p)
{
    return p->mark - (uint32_t)p->room;
}

/* Cells in use of a block. The bare calls do not count them in it, so a single block's are the pool's. */
static inline uint32_t weir_pool_used(const struct weir_pool *p, const struct weir_pool_block *b)
{
    if (weir_pool_single(p)) return weir_pool_live(p);
    return b->where == WEIR_POOL_FULL ? b->cells : (uint32_t)(b->more + 1);
}

static inline bool weir_pool_in(const struct weir_pool *p, const struct weir_pool_block *b, uintptr_t addr)
{
    return addr - b->base < (uintptr_t)b->cells * p->stride;
}

/* The list of empty blocks on which this one belongs. */
static inline enum weir_pool_where weir_pool_empties(const struct weir_pool_block *b)
{
    return b->borrowed == WEIR_POOL_CALLERS ? WEIR_POOL_IDLE : WEIR_POOL_EMPTY;
}

/* At the end of a list of empty blocks. */
static inline void weir_pool_append(struct weir_pool *p, enum weir_pool_where list, struct weir_pool_block *b)
{
    uint16_t ref = weir_pool_ref(p, b), tail = p->list[list][1];
    b->where = (uint8_t)list;
    b->next = 0;
    b->prev = tail;
    if (tail != 0)
        weir_pool_at(p, tail)->next = ref;
    else
        p->list[list][0] = ref;
    p->list[list][1] = ref;
    if (list == WEIR_POOL_EMPTY) p->empty++;
}

/* At its beginning. */
static inline void weir_pool_prepend(struct weir_pool *p, enum weir_pool_where list,
                                     struct weir_pool_block *b)
{
    uint16_t ref = weir_pool_ref(p, b), head = p->list[list][0];
    b->where = (uint8_t)list;
    b->next = head;
    b->prev = 0;
    if (head != 0)
        weir_pool_at(p, head)->prev = ref;
    else
        p->list[list][1] = ref;
    p->list[list][0] = ref;
    if (list == WEIR_POOL_EMPTY) p->empty++;
}

static inline void weir_pool_unlink(struct weir_pool *p, struct weir_pool_block *b)
{
    uint16_t *ends = p->list[b->where];
    if (b->prev != 0)
        weir_pool_at(p, b->prev)->next = b->next;
    else
        ends[0] = b->next;
    if (b->next != 0)
        weir_pool_at(p, b->next)->prev = b->prev;
    else
        ends[1] = b->prev;
    if (b->where == WEIR_POOL_EMPTY) p->empty--;
}

/* The cells of all blocks are `total`, `live` of them in use: where room ends. */
static inline void weir_pool_count(struct weir_pool *p, uint32_t total, uint32_t live)
{
    uint32_t low = p->conf.low_water;
    p->total = total;
    p->low_mark = low > 0 && total >= low ? total - low : UINT32_MAX;
    p->mark = weir_min_u32(p->peak, p->low_mark);
    p->room = (int32_t)(p->mark - live);
}

static inline uint16_t *weir_pool_slot(const struct weir_pool *p, uintptr_t addr)
{
    return &p->slots[((addr & p->mask) * p->mul) >> p->slot_shift];
}

/* Block 0 or the one whose cells begin in the stretch of addr (interior addresses of its last cell may lie
 * behind it). At most WEIR_POOL_CHAIN_MAX steps. */
static inline struct weir_pool_block *weir_pool_find(const struct weir_pool *p, uintptr_t addr)
{
    if (weir_pool_single(p)) return weir_pool_nth(p, weir_pool_in(p, &p->block[1], addr) ? 1 : 0);
    struct weir_pool_block *b = weir_pool_at(p, *weir_pool_slot(p, addr));
    while (b != p->block && !weir_pool_in(p, b, addr))
        b = weir_pool_at(p, b->chain);
    return b;
}

/* The number of a cell in its block; anything that is not the start of one gives at least as many as the
 * block can have. Exact division by the odd part's inverse: offset = n * odd << rotate has one solution modulo
 * the machine's word, and whatever is no multiple comes out above (2^w - 1) / stride (Granlund and Montgomery,
 * Division by Invariant Integers using Multiplication, 1994, section 9). One multiplication so checks range
 * and boundary together. */
static inline uintptr_t weir_pool_number(const struct weir_pool *p, const struct weir_pool_block *b,
                                         const void *cell)
{
    uintptr_t x = ((uintptr_t)cell - b->base) * p->inverse;
    return x >> p->rotate | x << ((0u - p->rotate) & (8u * (uint32_t)sizeof x - 1u));
}

static inline bool weir_pool_bit(const struct weir_pool_block *b, uintptr_t i)
{
    return b->bits[i / 32] >> (i & 31) & 1;
}

/* The bit of a cell changes. What it was; it was not `was`: nothing changes. Written for one comparison: the word
 * grows iff the bit was 0. */
WEIR_POOL_TEMPLATE bool weir_pool_flip(struct weir_pool_block *b, uintptr_t i, bool was)
{
    uint32_t before = b->bits[i / 32], after = before ^ (uint32_t)1 << ((uint32_t)i & 31);
    if ((after < before) != was) return false;
    b->bits[i / 32] = after;
    return true;
}

/* ---- pool_one.c: within one block ---- */

/* The free list again, from the bits: its links were overwritten by a user of a cell that was put back. */
void weir_pool_mend(struct weir_pool *, struct weir_pool_block *);

/* The number of a cell in use of this block, or the error that weir_pool_put has for the address. */
int weir_pool_judge(const struct weir_pool *, const struct weir_pool_block *, const void *cell,
                    uint32_t *number);

/* ---- pool.c ---- */

/* The ways of get and put that pool.h does not name. */
void *weir_pool_get_slow(struct weir_pool *);
void *weir_pool_get_far0(struct weir_pool *);
void *weir_pool_get_far1(struct weir_pool *);
int weir_pool_put_far0(struct weir_pool *, void *cell);
int weir_pool_put_far1(struct weir_pool *, void *cell);
int weir_pool_put_slow(struct weir_pool *, void *cell);

/* `now` is no more: the first block of the ring comes, or none is there. */
void weir_pool_next_now(struct weir_pool *);

/* The block and number of a cell in use, or the error that weir_pool_put has for it. */
int weir_pool_locate(const struct weir_pool *, const void *cell, struct weir_pool_block **, uint32_t *number);

/* Takes one block from the source for `whose`. 0, WEIR_ENOMEM, WEIR_EMFILE, WEIR_ENOTSUP, WEIR_EINVAL. Not
 * with the lock held. */
int weir_pool_grow_one(struct weir_pool *, enum weir_pool_whose);

/* Gives one empty block back if there are more than keep_blocks. Whether it did. Not with the lock held. */
bool weir_pool_trim_one(struct weir_pool *);

static inline void weir_pool_tell(struct weir_pool *p, enum weir_pool_event event, void *cell)
{
    if ((p->conf.hook_events & event) != 0) p->conf.hook(p->conf.hook_ctx, p, event, cell);
}

/* Room went below 0 with `more` gets. Whether the low-water mark was passed. */
WEIR_POOL_TEMPLATE bool weir_pool_rise(struct weir_pool *p, uint32_t more)
{
    uint32_t live = weir_pool_live(p);
    bool low = live > p->low_mark && live - more <= p->low_mark;
    if (low) p->lows++;
    if (live > p->peak) p->peak = live;
    weir_pool_count(p, p->total, live);
    return low;
}

/* Whether the head of the free list is a free cell; empty, whether it should be. */
WEIR_POOL_TEMPLATE bool weir_pool_head_sound(const struct weir_pool *p, const struct weir_pool_block *b)
{
    if (b->free == NULL) return b->fresh == weir_pool_used(p, b);
    uintptr_t i = weir_pool_number(p, b, b->free);
    return i < b->fresh && !weir_pool_bit(b, i);
}

/* Whether the block has a free cell; a list that was overwritten is made again, and BAD set in *events. */
WEIR_POOL_TEMPLATE bool weir_pool_has_cell(struct weir_pool *p, struct weir_pool_block *b, unsigned *events)
{
    if (b->bits != NULL && !weir_pool_head_sound(p, b)) {
        *events |= WEIR_POOL_BAD;
        weir_pool_mend(p, b);
    }
    return b->free != NULL || b->fresh < b->cells;
}

/* A cell of a block that has one, counted. LOW may come into *events. */
WEIR_POOL_TEMPLATE void *weir_pool_pop(struct weir_pool *p, struct weir_pool_block *b, unsigned *events)
{
    void *cell = b->free;
    uintptr_t i = b->fresh;
    if (cell == NULL) {
        cell = (void *)(b->base + i * p->stride);
        b->fresh++;
    } else {
        i = weir_pool_number(p, b, cell);
        memcpy(&b->free, cell, sizeof b->free);
    }
    if (b->bits != NULL) b->bits[i / 32] |= (uint32_t)1 << (i & 31);
    b->more++;
    p->allocs++;
    p->room--;
    if (p->room < 0 && weir_pool_rise(p, 1)) *events |= WEIR_POOL_LOW;
    return cell;
}

#endif
