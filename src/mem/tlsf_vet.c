/* tlsf_vet.c: whether an address is a block of TLSF's, by what the heads around it say (level 1) and by a map
 * with a bit for each place where a block can begin (level 2). Nothing here writes.
 *
 * Level 1 reads only inside the area, whatever the words there are: each size and link is held against the
 * area's bounds before it is followed. It believes an address inside somebody's block if the bytes in front of it
 * imitate a head and a head fits where that one ends; level 2 doesn't. */
#include "mem/tlsf_heap.h"

/* A block of size bytes with head could begin at p, which lies before the end. */
static bool fits(const struct weir_tlsf *s, const struct weir_tlsf_area *a, uintptr_t p, size_t size)
{
    return size >= TLSF_MIN && (size & ~s->mask) == 0 && size <= tlsf_end(a) - p;
}

/* A free block could begin where the link says. */
static bool leads(const struct weir_tlsf *s, const struct weir_tlsf_area *a, size_t link)
{
    return link - TLSF_FIRST <= a->end - TLSF_FIRST - TLSF_MIN && ((link - TLSF_FIRST) & ~s->mask) == 0;
}

bool weir_tlsf_sound(const struct weir_tlsf *s, const struct weir_tlsf_area *a, uintptr_t p)
{
    uint32_t head = *tlsf_head(p), link = (uint32_t)(p - a->base);
    size_t size = head & ~(uint32_t)TLSF_FLAGS;
    if ((head & TLSF_FLAGS) != TLSF_FREE || !fits(s, a, p, size)) return false;
    if (*tlsf_foot(p + size) != head || !(*tlsf_head(p + size) & TLSF_PREV_FREE)) return false;
    uint32_t next = *tlsf_next(p), prev = *tlsf_prev(p);
    if (next != 0 && (!leads(s, a, next) || *tlsf_prev(a->base + next) != link)) return false;
    size_t c = tlsf_class(size);
    if (prev == c * 4 + TLSF_LIST) return a->list[c] == link;
    return leads(s, a, prev) && *tlsf_next(a->base + prev) == link;
}

/* The word in front of an address where no block in use begins: was one freed there? */
static int gone(uint32_t head)
{
    return head & TLSF_FREE ? WEIR_EFREE : WEIR_EINTERIOR;
}

/* What stands behind a block in use, at p, agrees that it is in use, and with itself. */
static bool behind_agrees(const struct weir_tlsf *s, const struct weir_tlsf_area *a, uintptr_t p)
{
    uint32_t head = *tlsf_head(p);
    if (p == tlsf_end(a)) return head == 0;
    if (head & TLSF_PREV_FREE) return false;
    return head & TLSF_FREE ? weir_tlsf_sound(s, a, p) : fits(s, a, p, head);
}

/* The free block that p's head says ends before it. */
static bool before_agrees(const struct weir_tlsf *s, const struct weir_tlsf_area *a, uintptr_t p)
{
    size_t room = p - tlsf_begin(a);
    if (room < TLSF_MIN) return false;
    uint32_t foot = *tlsf_foot(p);
    size_t size = foot & ~(uint32_t)TLSF_FLAGS;
    return size <= room && (size & ~s->mask) == 0 && *tlsf_head(p - size) == foot &&
           weir_tlsf_sound(s, a, p - size);
}

static int vet(const struct weir_tlsf *s, const struct weir_tlsf_area *a, uintptr_t p)
{
    if (p - tlsf_begin(a) >= a->end - TLSF_FIRST || (p & ~s->mask) != 0) return WEIR_EINTERIOR;
    uint32_t head = *tlsf_head(p);
    size_t size = head & ~(uint32_t)TLSF_FLAGS;
    if (s->level >= 2) {
        uint8_t bit;
        if (!(*tlsf_bit(s, a, p, &bit) & bit)) return gone(head);
    } else if (head & TLSF_FREE) {
        return WEIR_EFREE;
    }
    if (!fits(s, a, p, size)) return s->level >= 2 ? WEIR_ECORRUPT : WEIR_EINTERIOR;
    if ((head & TLSF_FREE) || !behind_agrees(s, a, p + size)) return WEIR_ECORRUPT;
    return (head & TLSF_PREV_FREE) && !before_agrees(s, a, p) ? WEIR_ECORRUPT : 0;
}

struct weir_tlsf_area *weir_tlsf_find(const struct weir_tlsf *s, uintptr_t p, int *err)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct weir_tlsf_area *a = tlsf_area(s, i);
        if (p - a->mem >= a->bytes) continue;
        *err = s->level == 0 ? 0 : vet(s, a, p);
        return a;
    }
    *err = WEIR_EFOREIGN;
    return NULL;
}
