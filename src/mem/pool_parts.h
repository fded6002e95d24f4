/* pool_parts.h: what the files of the pool share: its lists of blocks, its counts, its directory. The theory of
 * operation is at the head of pool.c. */
#ifndef WEIR_POOL_PARTS_H
#define WEIR_POOL_PARTS_H

#include <stdbool.h>

#include "base/bits.h"
#include "mem/lock.h"
#include "weir/pool.h"

/* On which list a block stands. PARTIAL and EMPTY are indices of weir_pool.list. */
enum weir_pool_where {
    WEIR_POOL_PARTIAL = 0, /* a cell may be got, or none is in use and the block is the caller's */
    WEIR_POOL_EMPTY = 1,   /* of the source, no cell in use: may go back */
    WEIR_POOL_NOW = 2,     /* gets take from it: on no list */
    WEIR_POOL_FULL = 3,    /* every cell in use: on no list */
    WEIR_POOL_SPARE = 4    /* an entry without a block */
};

/* Whose memory a block is: weir_pool_block.borrowed. */
enum weir_pool_whose { WEIR_POOL_GROWN_BLOCK, WEIR_POOL_CALLERS, WEIR_POOL_AUTO };

/* One way for all kinds of pool where bytes of code count, one compiled for each where instructions do. */
#ifdef __OPTIMIZE_SIZE__
#define WEIR_POOL_TEMPLATE static
#else
#define WEIR_POOL_TEMPLATE WEIR_TEMPLATE
#endif

#define WEIR_POOL_REF_SHIFT 3 /* blocks are named by their distance from block 0 in units of 8 bytes */
#define WEIR_POOL_FILL      0xdb

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

/* The ways of get and put that pool.h does not name. */
void *weir_pool_get_far0(struct weir_pool *);
void *weir_pool_get_far1(struct weir_pool *);
int weir_pool_put_far0(struct weir_pool *, void *cell);
int weir_pool_put_far1(struct weir_pool *, void *cell);
int weir_pool_put_slow(struct weir_pool *, void *cell);

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

#endif
