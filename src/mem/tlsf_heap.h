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
    TLSF_ROW = 1 << WEIR_TLSF_ROW_LOG2,
    TLSF_ROW_LEAST = WEIR_TLSF_EXACT_LOG2 - WEIR_TLSF_ROW_LOG2, /* number of the first row */
    TLSF_LIST_LEAST = TLSF_ROW_LEAST << WEIR_TLSF_ROW_LOG2      /* number of the first list */
};

/* A function that is called with all its arguments where they are, also those that it doesn't need: ways that end
 * in it move nothing. */
#if defined(__GNUC__) && !defined(__clang__)
#define TLSF_AS_IS __attribute__((noinline, noclone))
#else
#define TLSF_AS_IS __attribute__((noinline))
#endif

/* Built for size, every call goes the general way, and what two of them need is there once. */
#ifdef __OPTIMIZE_SIZE__
enum { TLSF_SHORT_WAYS = 0 };
#define TLSF_SHARED WEIR_APART
#else
enum { TLSF_SHORT_WAYS = 1 };
#define TLSF_SHARED inline
#endif

/* The words of a block, which lies between the caller's own bytes, of whatever type those are. A block is named
 * by the address of its first usable byte; its head is the word in front. */
typedef uint32_t __attribute__((may_alias)) tlsf_word;
enum {
    TLSF_FOOT = -2, /* in front of the head, when the block before is free: a copy of that one's head */
    TLSF_SIZE = -1, /* the head: size with head | TLSF_PREV_FREE | TLSF_FREE */
    TLSF_NEXT = 0,  /* of a free block: links */
    TLSF_PREV = 1
};

/* One area. */
struct weir_tlsf_area {
    uintptr_t base;      /* a block's link is its address - base; odd, so that every link is */
    size_t quick;        /* level 0: end and a block's 8 bytes; else 0: no address passes unchecked */
    size_t rows;         /* bit r: row r is not 0 */
    uint32_t live_bytes; /* of the blocks in use, with their heads */
    uint32_t words;      /* span / 4 */
    uint32_t live;       /* blocks in use */
    uint32_t span;       /* bytes of all blocks: from TLSF_FIRST to the link that the end mark would have */
    uint32_t room;       /* level 1: a block's link - TLSF_FIRST is below it; else 0 */
    uint64_t divisions, merges; /* since the area was added */
    uintptr_t mem;              /* as the caller gave it */
    size_t bytes;               /* as the caller gave it */
    size_t
        row[WEIR_TLSF_ROWS]; /* from TLSF_ROW_LEAST on; bit i of row r: list r * TLSF_ROW + i has a block */
    _Alignas(16) uint32_t list[]; /* link to the first block of each */
};

struct weir_tlsf {
    size_t quick_size; /* level 0 and 1: requests from here on take the long way; else 0: all do */
    /* Level 0 and 1: takes b, the front of the first area's list c and long enough for need. */
    void *(*take)(struct weir_tlsf_area *, size_t need, tlsf_word *b, size_t c, size_t *got);
    size_t align;                /* natural alignment: 4, 8 or 16 */
    size_t round, mask;          /* align + TLSF_HEAD - 1; -align */
    size_t stride, area_bytes;   /* bytes of one area's structure; of the largest area */
    uint8_t level, areas, count; /* count of areas <= areas */
    uint32_t low;                /* align - 1 */
    uint32_t lists;              /* how many each area has */
    uint32_t bits_at;            /* level 2: of the map of blocks in use, from an area's structure */
    uint64_t divisions, merges;  /* in areas that were removed */
};

_Static_assert(sizeof(struct weir_tlsf) <= WEIR_TLSF_STATE_HEAD, "tlsf.h counts the state");
_Static_assert(sizeof(struct weir_tlsf_area) == WEIR_TLSF_AREA_HEAD, "tlsf.h counts an area");
_Static_assert(WEIR_TLSF_AREAS_MAX <= UINT8_MAX, "areas are counted in a byte");
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

/* The state that the first area is in. */
static inline struct weir_tlsf *tlsf_state(const struct weir_tlsf_area *first)
{
    return (struct weir_tlsf *)((uintptr_t)first - WEIR_TLSF_STATE_HEAD);
}

static inline tlsf_word *tlsf_step(const tlsf_word *b, size_t bytes)
{
    return (tlsf_word *)((uintptr_t)b + bytes);
}
static inline tlsf_word *tlsf_back(const tlsf_word *b, size_t bytes)
{
    return (tlsf_word *)((uintptr_t)b - bytes);
}
static inline tlsf_word *tlsf_to(const struct weir_tlsf_area *a, size_t link)
{
    return (tlsf_word *)(a->base + link);
}
/* link, whatever it is, leads to a place in a where a word can be. Both questions are one comparison: a remainder
 * becomes the highest bits. */
static inline bool tlsf_inside(const struct weir_tlsf_area *a, uint32_t link)
{
    link -= TLSF_FIRST;
    return (link >> 2 | link << 30) < a->words;
}
static inline uint32_t tlsf_link_of(const struct weir_tlsf_area *a, const tlsf_word *b)
{
    return (uint32_t)((uintptr_t)b - a->base);
}
/* Bytes from the first block to b. */
static inline uint32_t tlsf_at(const struct weir_tlsf_area *a, const tlsf_word *b)
{
    return tlsf_link_of(a, b) - TLSF_FIRST;
}
static inline size_t tlsf_size(const tlsf_word *b)
{
    return b[TLSF_SIZE] & ~(uint32_t)TLSF_FLAGS;
}
static inline tlsf_word *tlsf_begin(const struct weir_tlsf_area *a)
{
    return tlsf_to(a, TLSF_FIRST);
}
static inline tlsf_word *tlsf_end(const struct weir_tlsf_area *a)
{
    return tlsf_to(a, (size_t)a->span + TLSF_FIRST);
}

/* floor(log2(x)), x > 0; in this form one instruction where the processor counts from the other end. */
static inline uint32_t tlsf_log2(uint32_t x)
{
    return 31u ^ (uint32_t)__builtin_clz(x);
}

/* The number of the list for blocks of size bytes, size < 2^32: rows are numbered by how far sizes are shifted
 * for them. Sizes up to 2^EXACT_LOG2 fall into the first two. */
static inline uint32_t tlsf_class(uint32_t size)
{
    uint32_t shift = tlsf_log2(size >> WEIR_TLSF_ROW_LOG2 | 1u << TLSF_ROW_LEAST);
    return (shift << WEIR_TLSF_ROW_LOG2) + (size >> shift);
}
static inline uint32_t *tlsf_list(struct weir_tlsf_area *a, size_t c)
{
    return &a->list[c - TLSF_LIST_LEAST];
}
static inline uint32_t tlsf_front(const struct weir_tlsf_area *a, size_t c)
{
    return a->list[c - TLSF_LIST_LEAST];
}
static inline size_t *tlsf_row(struct weir_tlsf_area *a, size_t r)
{
    return &a->row[r - TLSF_ROW_LEAST];
}
static inline size_t tlsf_row_bits(const struct weir_tlsf_area *a, size_t r)
{
    return a->row[r - TLSF_ROW_LEAST];
}

static inline size_t tlsf_lowest(size_t bits)
{
    return (size_t)(sizeof bits == sizeof(long long) ? __builtin_ctzll(bits) : __builtin_ctzl(bits));
}
static inline size_t tlsf_highest(size_t bits)
{
    return (size_t)(sizeof bits == sizeof(long long) ? 63 - __builtin_clzll(bits)
                                                     : 31 - __builtin_clzl(bits));
}

/* A list has its first block. */
static inline void tlsf_mark_list(struct weir_tlsf_area *a, size_t c)
{
    size_t r = c >> WEIR_TLSF_ROW_LOG2;
    size_t row = tlsf_row_bits(a, r), rows = a->rows; /* in registers, where one instruction sets a bit */
    row |= (size_t)1 << (c & (TLSF_ROW - 1));
    rows |= (size_t)1 << r;
    *tlsf_row(a, r) = row;
    a->rows = rows;
}

/* All bits but bit i % TLSF_ROW, in the form that compilers know as one rotation. */
static inline size_t tlsf_all_but(size_t i)
{
    return (size_t)-2 << (i & (TLSF_ROW - 1)) | (size_t)-2 >> (-i & (TLSF_ROW - 1));
}

/* A list has lost its last block. */
static inline void tlsf_clear_list(struct weir_tlsf_area *a, size_t c)
{
    size_t r = c >> WEIR_TLSF_ROW_LOG2;
    if ((*tlsf_row(a, r) &= tlsf_all_but(c)) == 0) a->rows &= tlsf_all_but(r);
}

/* The block b becomes free, size bytes with its head: head, foot, front of its list. The head behind it is the
 * caller's to change. */
static inline void tlsf_link(struct weir_tlsf_area *a, tlsf_word *b, uint32_t size)
{
    b[TLSF_SIZE] = size + TLSF_FREE;
    tlsf_step(b, size)[TLSF_FOOT] = size + TLSF_FREE;
    uint32_t c = tlsf_class(size);
    uint32_t *list = tlsf_list(a, c), first = *list, link = tlsf_link_of(a, b);
    *list = link;
    b[TLSF_NEXT] = first;
    b[TLSF_PREV] = c * 4 + TLSF_LIST;
    if (first != 0)
        tlsf_to(a, first)[TLSF_PREV] = link;
    else
        tlsf_mark_list(a, c);
}

/* The free block b leaves its list; its head stays. */
static inline void tlsf_unlink(struct weir_tlsf_area *a, const tlsf_word *b)
{
    uint32_t next = b[TLSF_NEXT], prev = b[TLSF_PREV];
    if (next != 0) tlsf_to(a, next)[TLSF_PREV] = prev;
    if ((prev & TLSF_MARK) == 0) {
        tlsf_to(a, prev)[TLSF_NEXT] = next;
        return;
    }
    prev >>= 2;
    *tlsf_list(a, prev) = next;
    if (next == 0) tlsf_clear_list(a, prev);
}

/* Level 1 and 2: the links of the free block b lead to what leads to b. Whatever they are, nothing outside the area
 * is read. */
static inline bool tlsf_linked(const struct weir_tlsf *s, const struct weir_tlsf_area *a, const tlsf_word *b)
{
    uint32_t link = tlsf_link_of(a, b), next = b[TLSF_NEXT], prev = b[TLSF_PREV];
    if (next != 0 && (!tlsf_inside(a, next) || tlsf_to(a, next)[TLSF_PREV] != link)) return false;
    if (prev & TLSF_MARK) return (prev >> 2) - TLSF_LIST_LEAST < s->lists && tlsf_front(a, prev >> 2) == link;
    return tlsf_inside(a, prev) && tlsf_to(a, prev)[TLSF_NEXT] == link;
}

/* Moves *c to the first list above it that has a block; false: none has. */
static inline bool tlsf_above(const struct weir_tlsf_area *a, size_t *c)
{
    size_t r = *c >> WEIR_TLSF_ROW_LOG2;
    size_t row = tlsf_row_bits(a, r) & (size_t)-2 << (*c & (TLSF_ROW - 1));
    if (row == 0) {
        size_t rows = a->rows & (size_t)-2 << r;
        if (rows == 0) return false;
        r = tlsf_lowest(rows);
        row = tlsf_row_bits(a, r);
    }
    *c = (r << WEIR_TLSF_ROW_LOG2) + tlsf_lowest(row);
    return true;
}

/* The first block of the highest list, the one that the largest request gets; NULL: nothing is free. */
static inline tlsf_word *tlsf_top(const struct weir_tlsf_area *a)
{
    if (a->rows == 0) return NULL;
    size_t r = tlsf_highest(a->rows);
    return tlsf_to(a, tlsf_front(a, (r << WEIR_TLSF_ROW_LOG2) + tlsf_highest(tlsf_row_bits(a, r))));
}

/* Bytes of a block with head that serves size <= WEIR_TLSF_AREA_MAX. */
static inline size_t tlsf_need(const struct weir_tlsf *s, size_t size)
{
    size_t need = (size + s->round) & s->mask;
    if (__builtin_expect(need < TLSF_MIN, 0)) need = TLSF_MIN;
    return need;
}

/* Bytes from the free block b to the first place in it that is aligned to align and leaves in front nothing,
 * or a whole block. */
static inline size_t tlsf_gap(const tlsf_word *b, size_t align)
{
    size_t gap = (size_t)(-(uintptr_t)b & (align - 1));
    if (gap != 0 && gap < TLSF_MIN) gap += (TLSF_MIN - gap + align - 1) & ~(align - 1);
    return gap;
}

/* The map of level 2: the byte, and in it the bit, for a block at b. */
static inline uint8_t *tlsf_bit(const struct weir_tlsf *s, const struct weir_tlsf_area *a, const tlsf_word *b,
                                uint8_t *bit)
{
    size_t g = ((uintptr_t)b - (uintptr_t)tlsf_begin(a)) / s->align;
    *bit = (uint8_t)(1u << (g % 8));
    return (uint8_t *)((uintptr_t)a + s->bits_at + g / 8);
}

/* ---- tlsf_vet.c ---- */

/* Level 1 and 2: the foot of the free block b, and what its links lead to, agree with it. Whatever its words are,
 * nothing outside the area is read. size: of b's head; b + size lies in the area. */
bool weir_tlsf_tied(const struct weir_tlsf *, const struct weir_tlsf_area *, const tlsf_word *b,
                    uint32_t size);

/* The area of p, and in *err 0 or WEIR_EFOREIGN; at level 1 and 2 the block's head and its neighbours' are compared
 * as well, and the links of those that are free: WEIR_EINTERIOR, WEIR_EFREE, WEIR_ECORRUPT. Reads only; constant
 * time for a bounded number of areas. */
struct weir_tlsf_area *weir_tlsf_find(const struct weir_tlsf *, uintptr_t p, int *err);

/* ---- tlsf.c ---- */

/* The block b, in use until now, is free. */
void weir_tlsf_give(struct weir_tlsf_area *, tlsf_word *b);

/* For the state's `take`: level 0, and 1. Not there when built for size. */
void *weir_tlsf_take(struct weir_tlsf_area *, size_t need, tlsf_word *b, size_t c, size_t *got);
void *weir_tlsf_take_checked(struct weir_tlsf_area *, size_t need, tlsf_word *b, size_t c, size_t *got);

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
