/* tlsf_vet.c: whether an address is a block of TLSF's, by what the heads around it say (level 1) and by a map
 * with a bit for each place where a block can begin (level 2). Nothing here writes.
 *
 * Level 1 reads only inside the area, whatever the words there are: each size and link is held against the
 * area's bounds before it is followed. It believes an address inside somebody's block if the bytes in front of it
 * imitate a head and a head fits where that one ends; level 2 doesn't. */
#include "mem/tlsf_heap.h"

/* Each in a function of its own: what most releases need of them fits the registers that a call may spoil. */
WEIR_APART bool weir_tlsf_tied(const struct weir_tlsf *s, const struct weir_tlsf_area *a, const tlsf_word *b,
                               uint32_t size)
{
    return tlsf_step(b, size)[TLSF_FOOT] == size + TLSF_FREE && tlsf_linked(s, a, b);
}

/* A block of size bytes with head could begin at link, which lies before the end. */
static inline bool fits(const struct weir_tlsf *s, const struct weir_tlsf_area *a, uint32_t link,
                        uint32_t size)
{
    return size <= a->span - (link - TLSF_FIRST) && size >= TLSF_MIN && (size & ~(uint32_t)s->mask) == 0;
}

/* What stands behind a block in use agrees that it is in use, and with itself. */
static WEIR_APART bool behind_agrees(const struct weir_tlsf *s, const struct weir_tlsf_area *a,
                                     const tlsf_word *b)
{
    uint32_t head = b[TLSF_SIZE], link = tlsf_link_of(a, b);
    if (link - TLSF_FIRST == a->span) return head == 0;
    if ((head & TLSF_FREE) == 0) return fits(s, a, link, head); /* a multiple of 4: no flag */
    return fits(s, a, link, head - TLSF_FREE) && weir_tlsf_tied(s, a, b, head - TLSF_FREE);
}

/* The free block that b's head says ends before it. */
static WEIR_APART bool before_agrees(const struct weir_tlsf *s, const struct weir_tlsf_area *a,
                                     const tlsf_word *b)
{
    if (b == tlsf_begin(a)) return false;
    uint32_t size = b[TLSF_FOOT] - TLSF_FREE;
    if (size > tlsf_link_of(a, b) - TLSF_FIRST || (size & ~(uint32_t)s->mask) != 0 || size == 0) return false;
    const tlsf_word *before = tlsf_back(b, size);
    return before[TLSF_SIZE] == size + TLSF_FREE && weir_tlsf_tied(s, a, before, size);
}

static WEIR_APART int vet(const struct weir_tlsf *s, const struct weir_tlsf_area *a, const tlsf_word *b)
{
    if ((uintptr_t)b - a->base - TLSF_FIRST >= a->span || ((uintptr_t)b & ~s->mask) != 0)
        return WEIR_EINTERIOR;
    uint32_t head = b[TLSF_SIZE], size = head & ~(uint32_t)TLSF_FLAGS;
    if (s->level >= 2) {
        uint8_t bit;
        if (!(*tlsf_bit(s, a, b, &bit) & bit)) return head & TLSF_FREE ? WEIR_EFREE : WEIR_EINTERIOR;
        if (head & TLSF_FREE) return WEIR_ECORRUPT;
    }
    if (head & TLSF_FREE) return WEIR_EFREE;
    if (!fits(s, a, tlsf_link_of(a, b), size)) return s->level >= 2 ? WEIR_ECORRUPT : WEIR_EINTERIOR;
    if (!behind_agrees(s, a, tlsf_step(b, size))) return WEIR_ECORRUPT;
    return (head & TLSF_PREV_FREE) && !before_agrees(s, a, b) ? WEIR_ECORRUPT : 0;
}

struct weir_tlsf_area *weir_tlsf_find(const struct weir_tlsf *s, uintptr_t p, int *err)
{
    struct weir_tlsf_area *a = tlsf_first(s);
    for (uint32_t i = 0; i < s->count; i++, a = (struct weir_tlsf_area *)((uintptr_t)a + s->stride)) {
        if (p - a->mem >= a->bytes) continue;
        *err = s->level == 0 ? 0 : vet(s, a, ((tlsf_word *)p));
        return a;
    }
    *err = WEIR_EFOREIGN;
    return NULL;
}
