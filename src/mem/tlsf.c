/* tlsf.c: two-level segregated fit, after Masmano, Ripoll, Crespo and Real, "TLSF: a New Dynamic Memory
 * Allocator for Real-Time Systems" (ECRTS 2004) and "A constant-time dynamic storage allocator for real-time
 * systems" (Real-Time Systems 40, 2008). How blocks are laid out, the look at a request's own list, several
 * areas and the levels of checks are ours.
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
 * apart; above, each doubling has TLSF_ROW lists. A bit each says whether it has a block: a word holds those of
 * a doubling (a row), and `rows` has a bit for each row, so counting zeros twice finds the next list.
 *
 * A request first looks at the front of the list that its own size falls in: it may be long enough. Else it
 * takes the front of the next list that has anything, where everything is long enough. What is longer than needed
 * by a whole block is cut off behind. A release joins with both neighbours at once.
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
 * - One set of lists for several areas, links being offsets from a common base: areas of one program lie
 *   further apart than 4 GB (stack, heap, mappings). With the number of the area in each link there could be few
 *   areas, and each step along a list would look one up.
 * - Lists closed to rings through their heads, which spares a branch in unlinking: the heads would have to lie
 *   in the area.
 * - Cutting areas of 4 GB silently: bytes that nobody is told of are lost. They are refused.
 * - Looking at 4 blocks of the request's own list instead of 1: footprint 1.052 instead of 1.053 (16 B to 8 KB,
 *   2,000 live), and 3 more looks in the worst case. */
#include "mem/tlsf_heap.h"

#include "weir/policy.h"

/* The block b, size bytes long and in no list, is in use with need of them; what is a whole block more is cut
 * off. flags: of its head. The head behind says that the block before it is free. Returns its size. */
static TLSF_SHARED size_t cut(struct weir_tlsf_area *a, tlsf_word *b, size_t size, size_t need,
                              uint32_t flags)
{
    size_t rest = size - need;
    if (rest < TLSF_MIN) {
        b[TLSF_SIZE] = (uint32_t)size | flags;
        tlsf_step(b, size)[TLSF_SIZE] -= TLSF_PREV_FREE;
        return size;
    }
    a->divisions++;
    b[TLSF_SIZE] = (uint32_t)need | flags;
    tlsf_link(a, tlsf_step(b, need), (uint32_t)rest);
    return need;
}

static inline void *handed(struct weir_tlsf_area *a, tlsf_word *b, size_t size, size_t *got)
{
    a->live++;
    a->live_bytes += (uint32_t)size;
    *got = size - TLSF_HEAD;
    return (void *)b;
}

/* *c: the list whose front serves need, a size for which there is a list; false: none does. */
static inline bool fitting(const struct weir_tlsf_area *a, size_t need, size_t *c)
{
    *c = tlsf_class((uint32_t)need);
    size_t link = tlsf_front(a, *c);
    return (link != 0 && tlsf_to(a, link)[TLSF_SIZE] >= need) || tlsf_above(a, c);
}

/* Level 1 and 2: nobody has written to b, which is to be handed out, since it became free. */
static bool untouched(const struct weir_tlsf *s, const struct weir_tlsf_area *a, const tlsf_word *b)
{
    size_t size = b[TLSF_SIZE] - TLSF_FREE;
    return (size & ~s->mask) == 0 && size <= a->span - tlsf_at(a, b) &&
           weir_tlsf_tied(s, a, b, (uint32_t)size);
}

/* At level 2 a block in use has its bit. */
static void *known(const struct weir_tlsf *s, const struct weir_tlsf_area *a, void *p)
{
    if (s->level < 2) return p;
    uint8_t bit, *byte = tlsf_bit(s, a, p, &bit);
    *byte |= bit;
    return p;
}

/* A free block of a with need bytes behind an aligned place; NULL: none. The search is for the worst gap; when
 * it finds nothing, the block that the largest request would get is tried as it lies. */
static tlsf_word *choose(const struct weir_tlsf *s, const struct weir_tlsf_area *a, size_t need, size_t align)
{
    size_t worst = align > s->align ? need + align + TLSF_MIN - s->align : need;
    if (worst <= s->area_bytes) {
        size_t c;
        if (fitting(a, worst, &c)) return tlsf_to(a, tlsf_front(a, c));
    }
    tlsf_word *top = tlsf_top(a);
    if (top == NULL) return NULL;
    size_t gap = tlsf_gap(top, align), size = top[TLSF_SIZE] - TLSF_FREE;
    return gap < size && size - gap >= need ? top : NULL;
}

/* From this area, any alignment, any level. What is in front of the aligned place becomes a free block of its own. */
static inline void *take_from(const struct weir_tlsf *s, struct weir_tlsf_area *a, size_t need, size_t align,
                              size_t *got)
{
    tlsf_word *b = choose(s, a, need, align);
    if (b == NULL || (s->level > 0 && !untouched(s, a, b))) return NULL;
    size_t size = b[TLSF_SIZE] - TLSF_FREE, gap = tlsf_gap(b, align);
    uint32_t flags = 0;
    tlsf_unlink(a, b);
    if (gap != 0) {
        tlsf_link(a, b, (uint32_t)gap);
        a->divisions++;
        flags = TLSF_PREV_FREE;
        b = tlsf_step(b, gap);
    }
    return known(s, a, handed(a, b, cut(a, b, size - gap, need, flags), got));
}

/* Any alignment, any area, any level. */
static WEIR_APART void *general(const struct weir_tlsf *s, size_t size, size_t align, size_t *got)
{
    size_t need = tlsf_need(s, size);
    if (size > s->area_bytes || need > s->area_bytes || align > s->area_bytes || (align & (align - 1)) != 0)
        return NULL;
    if (align < s->align) align = s->align;
    void *p = NULL;
    for (uint32_t i = 0; i < s->count && p == NULL; i++)
        p = take_from(s, tlsf_area(s, i), need, align, got);
    return p;
}

#ifndef __OPTIMIZE_SIZE__

/* The block b, in no list, is handed out, and what it is longer is cut off. The order of the arguments, here and
 * below, is the one that leaves each where it is: c counts shifts, which takes the fourth. */
static WEIR_APART void *divide(struct weir_tlsf_area *a, size_t need, tlsf_word *b, size_t rest, size_t *got)
{
    a->divisions++;
    b[TLSF_SIZE] = (uint32_t)need;
    a->live++;
    a->live_bytes += (uint32_t)need;
    *got = need - TLSF_HEAD;
    tlsf_link(a, tlsf_step(b, need), (uint32_t)rest);
    return (void *)b;
}

/* Takes the block b out, the front of list c. */
static inline void take_front(struct weir_tlsf_area *a, tlsf_word *b, size_t c)
{
    uint32_t next = b[TLSF_NEXT];
    *tlsf_list(a, c) = next;
    if (next != 0)
        tlsf_to(a, next)[TLSF_PREV] = (uint32_t)c * 4 + TLSF_LIST;
    else
        tlsf_clear_list(a, c);
}

/* Takes the block b, the front of list c and long enough. */
void *weir_tlsf_take(struct weir_tlsf_area *a, size_t need, tlsf_word *b, size_t c, size_t *got)
{
    take_front(a, b, c);
    uint32_t size = b[TLSF_SIZE] - TLSF_FREE;
    if (size - need >= TLSF_MIN) return divide(a, need, b, size - need, got);
    b[TLSF_SIZE] = size;
    tlsf_step(b, size)[TLSF_SIZE] -= TLSF_PREV_FREE;
    return handed(a, b, size, got);
}

/* Something is odd about what the first area has for a request: general looks once more, and further. */
static TLSF_AS_IS void *refuse_odd(struct weir_tlsf_area *a, size_t need, tlsf_word *b, size_t c, size_t *got)
{
    (void)b, (void)c;
    return general(tlsf_state(a), need - TLSF_HEAD, 0, got);
}

/* As take, for level 1 and the first area: nobody has written to b since it became free. The same as untouched and
 * weir_tlsf_tied say it of the front of a list. */
void *weir_tlsf_take_checked(struct weir_tlsf_area *a, size_t need, tlsf_word *b, size_t c, size_t *got)
{
    uint32_t head = b[TLSF_SIZE], size = head - TLSF_FREE;
    if (size < need || (size & tlsf_state(a)->low) != 0 || size > a->span - tlsf_at(a, b) ||
        tlsf_step(b, size)[TLSF_FOOT] != head || b[TLSF_PREV] != (uint32_t)c * 4 + TLSF_LIST)
        return refuse_odd(a, need, b, c, got);
    uint32_t next = b[TLSF_NEXT];
    if (next != 0 && (!tlsf_inside(a, next) || tlsf_to(a, next)[TLSF_PREV] != tlsf_link_of(a, b)))
        return refuse_odd(a, need, b, c, got);
    return weir_tlsf_take(a, need, b, c, got);
}

#endif

/* The front of list c is none, or too short. */
static WEIR_APART void *take_above(struct weir_tlsf_area *a, size_t need, const struct weir_tlsf *s, size_t c,
                                   size_t *got)
{
    if (need < TLSF_MIN) need = TLSF_MIN;
    if (tlsf_above(a, &c)) return s->take(a, need, tlsf_to(a, tlsf_front(a, c)), c, got);
    return s->count > 1 ? general(s, need - TLSF_HEAD, 0, got) : NULL;
}

/* The way of most requests, levels 0 and 1 and the first area: the search. It is short enough to save no register;
 * functions of their own take over the rest. */
static void *tlsf_alloc(void *state, size_t size, size_t align, size_t *got)
{
    const struct weir_tlsf *s = state;
    struct weir_tlsf_area *a = tlsf_first(s);
    if (!TLSF_SHORT_WAYS || size >= s->quick_size || align > s->align) return general(s, size, align, got);
    /* Below the smallest block there are lists, but never a block on them. */
    size_t need = (size + s->round) & s->mask, c = tlsf_class((uint32_t)need);
    uint32_t link = tlsf_front(a, c);
    if (link == 0) return take_above(a, need, s, c, got);
    tlsf_word *b = tlsf_to(a, link);
    if (b[TLSF_SIZE] < need) return take_above(a, need, s, c, got);
    return s->take(a, need, b, c, got);
}

static ptrdiff_t tlsf_usable(const void *state, const void *block)
{
    int err;
    (void)weir_tlsf_find(state, (uintptr_t)block, &err);
    return err < 0 ? err : (ptrdiff_t)tlsf_size(((tlsf_word *)block)) - TLSF_HEAD;
}

static inline void one_less(struct weir_tlsf_area *a, uint32_t size)
{
    a->live--;
    a->live_bytes -= size;
}

/* The block b, in use until now, is free and has a free neighbour or two. */
static WEIR_APART ptrdiff_t join(struct weir_tlsf_area *a, tlsf_word *b, uint32_t size)
{
    ptrdiff_t usable = (ptrdiff_t)size - TLSF_HEAD;
    tlsf_word *behind = tlsf_step(b, size);
    uint32_t flags = behind[TLSF_SIZE];
    one_less(a, size);
    if (flags & TLSF_FREE) {
        size += flags - TLSF_FREE;
        behind[TLSF_SIZE] = TLSF_ERASED;
        a->merges++;
        tlsf_unlink(a, behind);
    } else {
        behind[TLSF_SIZE] = flags | TLSF_PREV_FREE;
    }
    if (b[TLSF_SIZE] & TLSF_PREV_FREE) {
        uint32_t before = b[TLSF_FOOT] - TLSF_FREE;
        b[TLSF_SIZE] = TLSF_ERASED;
        b = tlsf_back(b, before);
        size += before;
        a->merges++;
        tlsf_unlink(a, b);
    }
    tlsf_link(a, b, size);
    return usable;
}

/* The block b, in use until now, is free and has no free neighbour. */
static inline ptrdiff_t lone(struct weir_tlsf_area *a, tlsf_word *b, uint32_t size)
{
    one_less(a, size);
    tlsf_step(b, size)[TLSF_SIZE] |= TLSF_PREV_FREE;
    tlsf_link(a, b, size);
    return (ptrdiff_t)size - TLSF_HEAD;
}

/* The block b, in use until now, is free. Returns its usable bytes. Most have no free neighbour: the way without
 * needs few registers, and saves none. */
static inline ptrdiff_t give_back(struct weir_tlsf_area *a, tlsf_word *b)
{
    uint32_t head = b[TLSF_SIZE], size = head & ~(uint32_t)TLSF_FLAGS;
    if (!TLSF_SHORT_WAYS || (head & TLSF_PREV_FREE) || (tlsf_step(b, size)[TLSF_SIZE] & TLSF_FREE))
        return join(a, b, size);
    return lone(a, b, size);
}

void weir_tlsf_give(struct weir_tlsf_area *a, tlsf_word *b)
{
    (void)give_back(a, b);
}

/* What a release does when no shorter way is sure of it: every check of the level, any area. */
static WEIR_APART ptrdiff_t release_vetted(const struct weir_tlsf *s, uintptr_t p)
{
    int err;
    struct weir_tlsf_area *a = weir_tlsf_find(s, p, &err);
    if (err < 0) return err;
    tlsf_word *b = ((tlsf_word *)p);
    if (s->level >= 2) {
        uint8_t bit, *byte = tlsf_bit(s, a, b, &bit);
        *byte &= (uint8_t)~bit;
    }
    return give_back(a, b);
}

/* The head behind a block in use, with left bytes from there to the end mark, is one of a block in use. */
static inline bool used_behind(const struct weir_tlsf *s, uint32_t head, uint32_t left)
{
    return (head & s->low) == 0 && head <= left && (head >= TLSF_MIN || left == 0);
}

/* Level 1: b has a free neighbour or two. left: bytes from the block behind it to the end mark. */
static WEIR_APART ptrdiff_t join_checked(const struct weir_tlsf *s, tlsf_word *b, struct weir_tlsf_area *a,
                                         uint32_t size, uint32_t left)
{
    const tlsf_word *behind = tlsf_step(b, size), *before;
    uint32_t head = behind[TLSF_SIZE];
    if (head & TLSF_FREE) {
        uint32_t more = head - TLSF_FREE;
        if ((more & s->low) != 0 || more > left || more < TLSF_MIN) goto odd;
        if (tlsf_step(behind, more)[TLSF_FOOT] != head || !tlsf_linked(s, a, behind)) goto odd;
    } else if (!used_behind(s, head, left)) {
        goto odd;
    }
    if (b[TLSF_SIZE] & TLSF_PREV_FREE) {
        uint32_t foot = b[TLSF_FOOT], more = foot - TLSF_FREE;
        if ((more & s->low) != 0 || more > tlsf_link_of(a, b) - TLSF_FIRST || more < TLSF_MIN) goto odd;
        before = tlsf_back(b, more);
        if (before[TLSF_SIZE] != foot || !tlsf_linked(s, a, before)) goto odd;
    }
    return join(a, b, size);
odd:
    return release_vetted(s, (uintptr_t)b);
}

/* The way of most releases at level 1: what weir_tlsf_find looks at, in line and without telling errors apart. What
 * is odd in any way is release_vetted's. most: bytes from p to the end mark,
 * without TLSF_MIN of them, which must be there. */
WEIR_TEMPLATE ptrdiff_t release_in(const struct weir_tlsf *s, struct weir_tlsf_area *a, uintptr_t p,
                                   uint32_t most)
{
    if ((p & s->low) != 0) return release_vetted(s, p);
    tlsf_word *b = ((tlsf_word *)p);
    uint32_t head = b[TLSF_SIZE], size = head & ~(uint32_t)TLSF_PREV_FREE;
    if ((size & s->low) != 0 || size - TLSF_MIN > most) return release_vetted(s, p);
    uint32_t left = most - (size - TLSF_MIN);
    if (head & TLSF_PREV_FREE) return join_checked(s, b, a, size, left);
    uint32_t behind = tlsf_step(b, size)[TLSF_SIZE];
    if (behind & TLSF_FREE) return join_checked(s, b, a, size, left);
    return used_behind(s, behind, left) ? lone(a, b, size) : release_vetted(s, p);
}

/* The first area is not p's, or the level not 1. */
static WEIR_APART ptrdiff_t release_further(const struct weir_tlsf *s, uintptr_t p)
{
    for (uint32_t i = 1; i < s->count && s->level == 1; i++) {
        struct weir_tlsf_area *a = tlsf_area(s, i);
        size_t at = p - a->base - TLSF_FIRST;
        if (at < a->room) return release_in(s, a, p, a->room + ~(uint32_t)at);
    }
    return release_vetted(s, p);
}

static WEIR_APART ptrdiff_t release_checked(const struct weir_tlsf *s, uintptr_t p)
{
    struct weir_tlsf_area *a = tlsf_first(s);
    size_t at = p - a->base - TLSF_FIRST;
    if (at >= a->room) return release_further(s, p);
    return release_in(s, a, p, a->room + ~(uint32_t)at);
}

static ptrdiff_t tlsf_release(void *state, void *block)
{
    struct weir_tlsf_area *a = tlsf_first(state);
    if (!TLSF_SHORT_WAYS) return release_vetted(state, (uintptr_t)block);
    if ((uintptr_t)block - a->base >= a->quick) return release_checked(state, (uintptr_t)block);
    return give_back(a, ((tlsf_word *)block));
}

static ptrdiff_t tlsf_resize(void *state, void *block, size_t size)
{
    struct weir_tlsf *s = state;
    int err;
    struct weir_tlsf_area *a = weir_tlsf_find(s, (uintptr_t)block, &err);
    if (err < 0) return err;
    if (size > s->area_bytes) return WEIR_ENOMEM;
    tlsf_word *b = ((tlsf_word *)block);
    size_t need = tlsf_need(s, size), have = tlsf_size(b), room = have;
    tlsf_word *behind = tlsf_step(b, have);
    if (behind[TLSF_SIZE] & TLSF_FREE) room += behind[TLSF_SIZE] - TLSF_FREE;
    if (need > room) return WEIR_ENOMEM;
    if (need == have || (room == have && have - need < TLSF_MIN)) return (ptrdiff_t)have - TLSF_HEAD;
    if (room != have) {
        tlsf_unlink(a, behind);
        behind[TLSF_SIZE] = TLSF_ERASED;
        a->merges++;
    } else {
        behind[TLSF_SIZE] |= TLSF_PREV_FREE;
    }
    size_t now = cut(a, b, room, need, b[TLSF_SIZE] & TLSF_PREV_FREE);
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
