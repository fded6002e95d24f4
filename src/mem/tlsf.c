/* tlsf.c: two-level segregated fit, after Masmano, Ripoll, Crespo and Real, "TLSF: a New Dynamic Memory
 * Allocator for Real-Time Systems" (ECRTS 2004) and "A constant-time dynamic storage allocator for real-time
 * systems" (Real-Time Systems 40, 2008): what a request and a release cost. The bytes in which blocks differ from the papers'
 * are ours.
 *
 * THEORY OF OPERATION
 *
 * An area is a row of blocks without gaps, and an end mark:
 *
 *     mem     base + 17                                                        base + end
 *      |pad|head|  used ...         |head|next|prev| free ...    |foot|head| used ... |head|
 *           ^--- size of this block ---^                                               end mark, size 0
 *
 *     head, 32 bits:   size with head, a multiple of the alignment (4, 8, 16) | 2: the block before is free
 *                                                                             | 1: this one is free
 *     link, 32 bits:   0 none | address of the block - base, 4 n + 1 | list * 4 + 3, before the first
 *     foot = the head of the free block that ends with it. Only a free block has one: in a block in use the
 *            bytes are the caller's, and bit 2 of the head behind it says which of the two holds.
 *
 * Links count from base and take 32 bits, which bounds an area to less than 4 GB and makes the smallest block
 * 16 bytes on every machine. A used block costs its 4 bytes of head.
 *
 * A free block is on the list of its size. Below 2^EXACT_LOG2 bytes the lists are one machine word's bytes
 * apart; above, each doubling has TLSF_ROW lists. A bit each says whether it is empty: a word holds a doubling's bits
 * (a row), and `rows` has a bit for each row, so two instructions that count zeros find the next list.
 *
 * A request first looks at the front of the list that its own size falls in: it may be long enough. Else it takes the
 * front of the next list that has anything, where everything is long enough. What is longer than needed by a
 * whole block is cut off behind. A release joins with both neighbours at once.
 *
 * Each area has lists of its own. The first that can serve a request does.
 *
 * Invariants; weir_tlsf.check returns the number of the first that doesn't hold:
 *  1. The blocks of an area tile [base + TLSF_FIRST, base + end): sizes >= TLSF_MIN, multiples of the
 *     alignment, and the end mark has size 0 and is not free.
 *  2. TLSF_PREV_FREE in a head iff the block before is free.
 *  3. The foot of a free block equals its head.
 *  4. No two neighbours are both free.
 *  5. A free block is on the list of its size; prev of next and next of prev are itself.
 *  6. The number of blocks on the lists = the number of free blocks.
 *  7. Bit c of the rows iff list c has a block; bit r of `rows` iff row[r] != 0.
 *  8. live and live_bytes = number and sizes of the blocks in use.
 *  9. Blocks = 1 + divisions - merges.
 * 10. At level 2: bit g of the map iff a block in use begins at granule g.
 * 11. Areas don't overlap, and are at most as many as configured.
 *
 * Each word that is written into free memory (foot, links, erased heads) has bit 1 set, so that none of them
 * looks like the head of a block in use to a wild release.
 *
 * Rejected:
 * - One set of lists for several areas, links being offsets from a common base: areas of one program lie further
 *   apart than 4 GB (stack, heap, mappings), and with the number of the area in a link each step costs 3 more instructions.
 * - Lists closed to rings through their heads, which spares a branch in unlinking: the heads would have to lie in
 *   the area.
 * - Cutting areas of 4 GB silently: bytes that nobody is told of are lost. They are refused.
 * - Looking at 4 blocks of the request's own list instead of 1: 0.001 less footprint, and 15 instructions. */
#include "mem/tlsf_heap.h"

#include "weir/policy.h"

/* The block at p, size bytes long and in no list, is in use with need of them; what is a whole block more is
 * cut off. flags: of its head. The head behind says that the block before it is free. Returns its size. */
static inline size_t cut(struct weir_tlsf_area *a, uintptr_t p, size_t size, size_t need, uint32_t flags)
{
    size_t rest = size - need;
    if (rest < TLSF_MIN) {
        *tlsf_head(p) = (uint32_t)size | flags;
        *tlsf_head(p + size) -= TLSF_PREV_FREE;
        return size;
    }
    a->divisions++;
    *tlsf_head(p) = (uint32_t)need | flags;
    tlsf_link(a, p + need, rest);
    return need;
}

static inline void *handed(struct weir_tlsf_area *a, uintptr_t p, size_t size, size_t *got)
{
    a->live++;
    a->live_bytes += (uint32_t)size;
    *got = size - TLSF_HEAD;
    return (void *)p;
}

/* A free block of a with need bytes behind an aligned place; 0: none. The search is for the worst gap; when
 * it finds nothing, the block that the largest request would get is tried as it lies. */
static uintptr_t choose(const struct weir_tlsf *s, const struct weir_tlsf_area *a, size_t need, size_t align)
{
    size_t slack = align > s->align ? align + TLSF_MIN - s->align : 0;
    if (need <= WEIR_TLSF_AREA_MAX - slack) {
        size_t c = tlsf_class(need + slack);
        if (c < s->lists) {
            uint32_t link = a->list[c];
            if (link != 0 && *tlsf_head(a->base + link) >= need + slack) return a->base + link;
            c = tlsf_above(a, c);
            if (c != 0) return a->base + a->list[c];
        }
    }
    uintptr_t top = tlsf_top(a);
    if (slack == 0 || top == 0) return 0;
    size_t gap = tlsf_gap(top, align), size = *tlsf_head(top) - TLSF_FREE;
    return gap < size && size - gap >= need ? top : 0;
}

/* Takes the free block at p out and cuts gap bytes off in front, a free block of their own. */
static void *carve(const struct weir_tlsf *s, struct weir_tlsf_area *a, uintptr_t p, size_t gap, size_t need,
                   size_t *got)
{
    size_t size = *tlsf_head(p) - TLSF_FREE;
    uint32_t flags = 0;
    tlsf_unlink(a, p);
    if (gap != 0) {
        tlsf_link(a, p, gap);
        a->divisions++;
        flags = TLSF_PREV_FREE;
        p += gap;
        size -= gap;
    }
    size = cut(a, p, size, need, flags);
    if (s->level >= 2) {
        uint8_t bit, *byte = tlsf_bit(s, a, p, &bit);
        *byte |= bit;
    }
    return handed(a, p, size, got);
}

/* Any alignment, any area, any level. */
static WEIR_APART void *general(struct weir_tlsf *s, size_t size, size_t align, size_t *got)
{
    if (size > WEIR_TLSF_AREA_MAX || align > WEIR_TLSF_AREA_MAX || (align & (align - 1)) != 0) return NULL;
    size_t need = tlsf_need(s, size);
    if (align < s->align) align = s->align;
    for (uint32_t i = 0; i < s->count; i++) {
        struct weir_tlsf_area *a = tlsf_area(s, i);
        uintptr_t p = choose(s, a, need, align);
        if (p == 0 || (s->level > 0 && !weir_tlsf_sound(s, a, p))) continue;
        return carve(s, a, p, tlsf_gap(p, align), need, got);
    }
    return NULL;
}

static void *tlsf_alloc(void *state, size_t size, size_t align, size_t *got)
{
    struct weir_tlsf *s = state;
    struct weir_tlsf_area *a = tlsf_first(s);
    if (size >= s->quick_size || align > s->align) return general(s, size, align, got);
    size_t need = tlsf_need(s, size), c = tlsf_class(need), link = a->list[c];
    if (link == 0 || *tlsf_head(a->base + link) < need) {
        c = tlsf_above(a, c);
        if (c == 0) return general(s, size, align, got);
        link = a->list[c];
    }
    uintptr_t p = a->base + link;
    size_t next = *tlsf_next(p);
    a->list[c] = (uint32_t)next;
    if (next != 0)
        *tlsf_prev(a->base + next) = (uint32_t)c * 4 + TLSF_LIST;
    else
        tlsf_clear_list(a, c);
    return handed(a, p, cut(a, p, *tlsf_head(p) - TLSF_FREE, need, 0), got);
}

static ptrdiff_t tlsf_usable(const void *state, const void *block)
{
    int err;
    (void)weir_tlsf_find(state, (uintptr_t)block, &err);
    if (err < 0) return err;
    return (ptrdiff_t)(*tlsf_head((uintptr_t)block) & ~(uint32_t)TLSF_FLAGS) - TLSF_HEAD;
}

/* The block at p, in use until now, is free. Returns its usable bytes. */
static inline ptrdiff_t give_back(struct weir_tlsf_area *a, uintptr_t p)
{
    uint32_t head = *tlsf_head(p);
    size_t size = head & ~(uint32_t)TLSF_FLAGS;
    ptrdiff_t usable = (ptrdiff_t)size - TLSF_HEAD;
    a->live_bytes -= (uint32_t)size;
    a->live--;
    uintptr_t behind = p + size;
    uint32_t flags = *tlsf_head(behind);
    if (flags & TLSF_FREE) {
        size += flags - TLSF_FREE;
        *tlsf_head(behind) = TLSF_ERASED;
        a->merges++;
        tlsf_unlink(a, behind);
    } else {
        *tlsf_head(behind) = flags | TLSF_PREV_FREE;
    }
    if (head & TLSF_PREV_FREE) {
        size_t before = *tlsf_foot(p) - TLSF_FREE;
        *tlsf_head(p) = TLSF_ERASED;
        p -= before;
        size += before;
        a->merges++;
        tlsf_unlink(a, p);
    }
    tlsf_link(a, p, size);
    return usable;
}

/* What a release does where not every address passes: several areas, levels 1 and 2. */
static WEIR_APART ptrdiff_t release_checked(const struct weir_tlsf *s, uintptr_t p)
{
    int err;
    struct weir_tlsf_area *a = weir_tlsf_find(s, p, &err);
    if (err < 0) return err;
    if (s->level >= 2) {
        uint8_t bit, *byte = tlsf_bit(s, a, p, &bit);
        *byte &= (uint8_t)~bit;
    }
    return give_back(a, p);
}

static ptrdiff_t tlsf_release(void *state, void *block)
{
    struct weir_tlsf_area *a = tlsf_first(state);
    if ((uintptr_t)block - a->base >= a->quick) return release_checked(state, (uintptr_t)block);
    return give_back(a, (uintptr_t)block);
}

static ptrdiff_t tlsf_resize(void *state, void *block, size_t size)
{
    struct weir_tlsf *s = state;
    uintptr_t p = (uintptr_t)block;
    int err;
    struct weir_tlsf_area *a = weir_tlsf_find(s, p, &err);
    if (err < 0) return err;
    if (size > WEIR_TLSF_AREA_MAX) return WEIR_ENOMEM;
    uint32_t head = *tlsf_head(p);
    size_t need = tlsf_need(s, size), have = head & ~(uint32_t)TLSF_FLAGS, room = have;
    uint32_t flags = *tlsf_head(p + have);
    if (flags & TLSF_FREE) room += flags - TLSF_FREE;
    if (need > room) return WEIR_ENOMEM;
    if (need == have || (room == have && have - need < TLSF_MIN)) return (ptrdiff_t)have - TLSF_HEAD;
    if (room != have) {
        tlsf_unlink(a, p + have);
        *tlsf_head(p + have) = TLSF_ERASED;
        a->merges++;
    } else {
        *tlsf_head(p + have) = flags | TLSF_PREV_FREE;
    }
    size_t now = cut(a, p, room, need, head & TLSF_PREV_FREE);
    a->live_bytes += (uint32_t)(now - have);
    return (ptrdiff_t)now - TLSF_HEAD;
}

const struct weir_policy weir_tlsf = {
    .name = "tlsf",
    .what = "two-level segregated fit: constant time, 4-byte heads",
    .caps = WEIR_POLICY_ALIGN | WEIR_POLICY_RESIZE | WEIR_POLICY_AREAS | WEIR_POLICY_REMOVE |
            WEIR_POLICY_CONSTANT | WEIR_POLICY_CHECKS,
    .head_bytes = TLSF_HEAD,
    .state_bytes = weir_tlsf_state_bytes,
    .init = weir_tlsf_init,
    .add = weir_tlsf_add,
    .remove = weir_tlsf_remove,
    .alloc = tlsf_alloc,
    .release = tlsf_release,
    .resize = tlsf_resize,
    .usable = tlsf_usable,
    .stat = weir_tlsf_stat,
    .find_max = weir_tlsf_find_max,
    .walk = weir_tlsf_walk,
    .check = weir_tlsf_check,
};
