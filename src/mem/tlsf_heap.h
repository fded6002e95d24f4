/* tlsf_heap.h: TLSF's state and the primitives on blocks and lists that its files share. Private to
 * src/mem/tlsf*.c; the theory of operation is in tlsf.c. */
#ifndef WEIR_TLSF_HEAP_H
#define WEIR_TLSF_HEAP_H

#include "base/bits.h"
#include "weir/err.h"
#include "weir/tlsf.h"

enum {
    TLSF_HEAD = 4,      /* bytes of a head */
    TLSF_MIN = 16,      /* smallest block, with its head */
    TLSF_FIRST = 17,    /* link of an area's first block */
    TLSF_FREE = 1,      /* in a head: this block is free */
    TLSF_PREV_FREE = 2, /* in a head: the block before it is free, and ends with its foot */
    TLSF_FLAGS = 3,
    TLSF_ERASED = 3, /* a head that was swallowed when blocks were joined: both flags, size 0 */
    TLSF_MARK = 2,   /* in a link: no block's, but the list's, before its first block */
    TLSF_LIST = 3,   /* number of the list * 4 + this */
    TLSF_ROW = 1 << WEIR_TLSF_ROW_LOG2
};

/* Heads and links lie between the caller's own bytes, of whatever type those are. */
typedef uint32_t __attribute__((may_alias)) tlsf_u32;

/* One area. */
struct weir_tlsf_area {
    uintptr_t base;               /* a block's link is its address - base; odd, so that every link is */
    size_t quick;                 /* level 0: end; else 0, so that no address passes unchecked */
    size_t rows;                  /* bit r: row[r] != 0 */
    uint32_t live_bytes;          /* of the blocks in use, with their heads */
    uint32_t end;                 /* the link that the end mark, a head without a block, would have */
    uint32_t live;                /* blocks in use */
    uint32_t bits_at;             /* level 2: of the map of blocks in use, from this structure; else 0 */
    uint64_t divisions, merges;   /* since the area was added */
    uintptr_t mem;                /* as the caller gave it */
    size_t bytes;                 /* as the caller gave it */
    size_t row[WEIR_TLSF_ROWS];   /* bit i of row r: list r * TLSF_ROW + i is not empty */
    _Alignas(16) uint32_t list[]; /* link to the first block of each; as many as the conf's area needs */
};

struct weir_tlsf {
    size_t quick_size;            /* level 0: larger requests take the long way; else 0: all do */
    size_t align;                 /* natural alignment: 4, 8 or 16 */
    size_t round, mask;           /* align + TLSF_HEAD - 1; -align */
    size_t stride, area_bytes;    /* bytes of one area's structure; of the largest area */
    uint32_t level, areas, count; /* count of areas <= areas */
    uint32_t lists;               /* of each area */
    uint64_t divisions, merges;   /* in areas that were removed */
};

_Static_assert(sizeof(struct weir_tlsf) <= WEIR_TLSF_STATE_HEAD, "tlsf.h counts the state");
_Static_assert(sizeof(struct weir_tlsf_area) == WEIR_TLSF_AREA_HEAD, "tlsf.h counts an area");
_Static_assert(WEIR_TLSF_ROW_LOG2 == (sizeof(size_t) == 8 ? 6 : 5), "a row is a word");

static inline struct weir_tlsf_area *tlsf_area(const struct weir_tlsf *s, uint32_t i)
{
    return (struct weir_tlsf_area *)((uintptr_t)s + WEIR_TLSF_STATE_HEAD + i * s->stride);
}

/* The first area's place; all zero, and so without a free block, when there is none. */
static inline struct weir_tlsf_area *tlsf_first(const struct weir_tlsf *s)
{
    return (struct weir_tlsf_area *)((uintptr_t)s + WEIR_TLSF_STATE_HEAD);
}

/* A block is named by the address of its first usable byte. */
static inline tlsf_u32 *tlsf_head(uintptr_t p)
{
    return (tlsf_u32 *)(p - TLSF_HEAD);
}
/* The last word before p's head: a copy of the head of the free block that ends there. */
static inline tlsf_u32 *tlsf_foot(uintptr_t p)
{
    return (tlsf_u32 *)(p - 2 * TLSF_HEAD);
}
/* Of a free block. */
static inline tlsf_u32 *tlsf_next(uintptr_t p)
{
    return (tlsf_u32 *)p;
}
static inline tlsf_u32 *tlsf_prev(uintptr_t p)
{
    return (tlsf_u32 *)(p + 4);
}

static inline uintptr_t tlsf_begin(const struct weir_tlsf_area *a)
{
    return a->base + TLSF_FIRST;
}
static inline uintptr_t tlsf_end(const struct weir_tlsf_area *a)
{
    return a->base + a->end;
}

/* floor(log2(x)), x > 0; in this form one instruction where the processor counts from the other end. */
static inline uint32_t tlsf_log2(uint32_t x)
{
    return 31u ^ (uint32_t)__builtin_clz(x);
}

/* The list of blocks of size bytes; size < 2^32. Sizes up to 2^EXACT_LOG2 fall into rows 0 and 1. */
static inline size_t tlsf_class(size_t size)
{
    uint32_t e = tlsf_log2((uint32_t)size | 1u << WEIR_TLSF_EXACT_LOG2);
    return ((size_t)(e - WEIR_TLSF_EXACT_LOG2) << WEIR_TLSF_ROW_LOG2) +
           ((uint32_t)size >> (e - WEIR_TLSF_ROW_LOG2));
}

static inline unsigned tlsf_lowest(size_t bits)
{
    return (unsigned)(sizeof bits == sizeof(long long) ? __builtin_ctzll(bits) : __builtin_ctzl(bits));
}
static inline unsigned tlsf_highest(size_t bits)
{
    return (unsigned)(sizeof bits == sizeof(long long) ? 63 - __builtin_clzll(bits)
                                                       : 31 - __builtin_clzl(bits));
}

/* A list has its first block. */
static inline void tlsf_mark_list(struct weir_tlsf_area *a, size_t c)
{
    a->row[c >> WEIR_TLSF_ROW_LOG2] |= (size_t)1 << (c & (TLSF_ROW - 1));
    a->rows |= (size_t)1 << (c >> WEIR_TLSF_ROW_LOG2);
}

/* A list has lost its last block. */
static inline void tlsf_clear_list(struct weir_tlsf_area *a, size_t c)
{
    size_t row = a->row[c >> WEIR_TLSF_ROW_LOG2] & ~((size_t)1 << (c & (TLSF_ROW - 1)));
    a->row[c >> WEIR_TLSF_ROW_LOG2] = row;
    if (row == 0) a->rows &= ~((size_t)1 << (c >> WEIR_TLSF_ROW_LOG2));
}

/* The block at p, size bytes with its head, becomes free: head, foot, front of its list. The head behind it
 * is the caller's to change. */
static inline void tlsf_link(struct weir_tlsf_area *a, uintptr_t p, size_t size)
{
    size_t c = tlsf_class(size), first = a->list[c];
    uint32_t link = (uint32_t)(p - a->base), head = (uint32_t)size + TLSF_FREE;
    *tlsf_head(p) = head;
    *tlsf_foot(p + size) = head;
    *tlsf_next(p) = (uint32_t)first;
    *tlsf_prev(p) = (uint32_t)c * 4 + TLSF_LIST;
    a->list[c] = link;
    if (first != 0)
        *tlsf_prev(a->base + first) = link;
    else
        tlsf_mark_list(a, c);
}

/* The free block at p leaves its list; its head stays. */
static inline void tlsf_unlink(struct weir_tlsf_area *a, uintptr_t p)
{
    size_t next = *tlsf_next(p), prev = *tlsf_prev(p);
    if (next != 0) *tlsf_prev(a->base + next) = (uint32_t)prev;
    if ((prev & TLSF_MARK) == 0) {
        *tlsf_next(a->base + prev) = (uint32_t)next;
        return;
    }
    a->list[prev >> 2] = (uint32_t)next;
    if (next == 0) tlsf_clear_list(a, prev >> 2);
}

/* The first list above c that has a block, 0 iff none has: list 0 is for sizes below the smallest block. */
static inline size_t tlsf_above(const struct weir_tlsf_area *a, size_t c)
{
    size_t r = c >> WEIR_TLSF_ROW_LOG2;
    size_t row = a->row[r] & (size_t)-2 << (c & (TLSF_ROW - 1));
    if (row == 0) {
        size_t rows = a->rows & (size_t)-2 << r;
        if (rows == 0) return 0;
        r = tlsf_lowest(rows);
        row = a->row[r];
    }
    return (r << WEIR_TLSF_ROW_LOG2) + tlsf_lowest(row);
}

/* The first block of the highest list, the one that the largest request gets; 0: nothing is free. */
static inline uintptr_t tlsf_top(const struct weir_tlsf_area *a)
{
    if (a->rows == 0) return 0;
    unsigned r = tlsf_highest(a->rows);
    return a->base + a->list[((size_t)r << WEIR_TLSF_ROW_LOG2) + tlsf_highest(a->row[r])];
}

/* Bytes of a block with head that serves size <= WEIR_TLSF_AREA_MAX. */
static inline size_t tlsf_need(const struct weir_tlsf *s, size_t size)
{
    size_t need = (size + s->round) & s->mask;
    return need < TLSF_MIN ? TLSF_MIN : need;
}

/* Bytes from the free block at p to the first place in it that is aligned to align and leaves in front
 * nothing, or a whole block. */
static inline size_t tlsf_gap(uintptr_t p, size_t align)
{
    size_t gap = (size_t)(-p & (align - 1));
    if (gap != 0 && gap < TLSF_MIN) gap += (TLSF_MIN - gap + align - 1) & ~(align - 1);
    return gap;
}

/* The map of level 2: its byte and bit for a block at p. */
static inline uint8_t *tlsf_bit(const struct weir_tlsf *s, const struct weir_tlsf_area *a, uintptr_t p,
                                uint8_t *bit)
{
    size_t g = (p - tlsf_begin(a)) / s->align;
    *bit = (uint8_t)(1u << (g % 8));
    return (uint8_t *)((uintptr_t)a + a->bits_at + g / 8);
}

/* ---- tlsf_vet.c ---- */

/* The area of p, and in *err 0 or WEIR_EFOREIGN; at level 1 and 2 the block's heads, neighbours and links are
 * compared as well: WEIR_EINTERIOR, WEIR_EFREE, WEIR_ECORRUPT. Reads only; constant time for a bounded number of
 * areas. */
struct weir_tlsf_area *weir_tlsf_find(const struct weir_tlsf *, uintptr_t p, int *err);

/* Level 1 and 2: head, foot, list and links of the free block at p agree. */
bool weir_tlsf_sound(const struct weir_tlsf *, const struct weir_tlsf_area *, uintptr_t p);

/* ---- tlsf_area.c ---- */

size_t weir_tlsf_state_bytes(const struct weir_policy_conf *);
int weir_tlsf_init(void *state, const struct weir_policy_conf *);
int weir_tlsf_add(void *state, void *base, size_t bytes);
int weir_tlsf_remove(void *state, void *base);

/* ---- tlsf_look.c ---- */

void weir_tlsf_stat(const void *state, struct weir_policy_stat *);
size_t weir_tlsf_find_max(const void *state, size_t align);
int weir_tlsf_walk(const void *state, weir_walk_fn, void *arg);
int weir_tlsf_check(const void *state);

#endif
