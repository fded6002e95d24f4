/* tlsf_look.c: what TLSF's blocks look like from outside: counts, the largest request, a walk, the invariants
 * (numbered in tlsf.c). Nothing here writes. */
#include <string.h>

#include "mem/tlsf_heap.h"

#include "weir/policy.h"

/* Usable bytes of the largest block that a can hand out at this alignment. */
static size_t largest(const struct weir_tlsf *s, const struct weir_tlsf_area *a, size_t align)
{
    const tlsf_word *top = tlsf_top(a);
    if (top == NULL) return 0;
    size_t size = top[TLSF_SIZE] - TLSF_FREE;
    size_t gap = align > s->align ? tlsf_gap(top, align) : 0;
    return size < gap + TLSF_MIN ? 0 : size - gap - TLSF_HEAD;
}

size_t weir_tlsf_find_max(const void *state, size_t align)
{
    const struct weir_tlsf *s = state;
    size_t most = 0;
    if (align > WEIR_TLSF_AREA_MAX || (align & (align - 1)) != 0) return 0;
    for (uint32_t i = 0; i < s->count; i++) {
        size_t here = largest(s, tlsf_area(s, i), align);
        if (here > most) most = here;
    }
    return most;
}

void weir_tlsf_stat(const void *state, struct weir_policy_stat *out)
{
    const struct weir_tlsf *s = state;
    memset(out, 0, sizeof *out);
    out->divisions = s->divisions;
    out->merges = s->merges;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct weir_tlsf_area *a = tlsf_area(s, i);
        uint32_t free_blocks = 1 + (uint32_t)a->divisions - (uint32_t)a->merges - a->live; /* < 2^28 */
        uint32_t free_bytes = a->span - a->live_bytes - TLSF_HEAD * free_blocks;
        uint32_t live_bytes = a->live_bytes - TLSF_HEAD * a->live;
        out->area_bytes += a->bytes;
        out->overhead_bytes += a->bytes - free_bytes - live_bytes;
        out->free_blocks += free_blocks;
        out->free_bytes += free_bytes;
        out->live += a->live;
        out->live_bytes += live_bytes;
        out->divisions += a->divisions;
        out->merges += a->merges;
    }
    out->largest_free = weir_tlsf_find_max(state, 0);
}

int weir_tlsf_walk(const void *state, weir_walk_fn see, void *arg)
{
    const struct weir_tlsf *s = state;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct weir_tlsf_area *a = tlsf_area(s, i);
        for (const tlsf_word *b = tlsf_begin(a); b != tlsf_end(a); b = tlsf_step(b, tlsf_size(b))) {
            size_t size = tlsf_size(b);
            struct weir_block block = {.start = b,
                                       .bytes = size - TLSF_HEAD,
                                       .state = b[TLSF_SIZE] & TLSF_FREE ? WEIR_BLOCK_FREE : WEIR_BLOCK_USED};
            if (size < TLSF_MIN || size > a->span - tlsf_at(a, b)) return WEIR_ECORRUPT;
            int stop = see(arg, &block);
            if (stop != 0) return stop;
        }
    }
    return 0;
}

/* What a pass over the blocks of an area counts. */
struct census {
    uint64_t live, live_bytes, free;
};

/* A free block is in the list of its size, and its neighbours there know it. */
static bool listed(const struct weir_tlsf *s, const struct weir_tlsf_area *a, const tlsf_word *b, size_t c)
{
    if (!weir_tlsf_tied(s, a, b, b[TLSF_SIZE] - TLSF_FREE) || tlsf_class(b[TLSF_SIZE] - TLSF_FREE) != c)
        return false;
    return (b[TLSF_PREV] & TLSF_MARK) == 0 || b[TLSF_PREV] >> 2 == c;
}

/* Of one block, head included; prev: the head of the one before. The number of the invariant that is broken. */
static int check_block(const struct weir_tlsf *s, const struct weir_tlsf_area *a, const tlsf_word *b,
                       uint32_t prev, struct census *seen)
{
    uint32_t head = b[TLSF_SIZE];
    size_t size = tlsf_size(b);
    uint8_t bit;
    if (size < TLSF_MIN || (size & ~s->mask) != 0 || size > a->span - tlsf_at(a, b)) return 1;
    if (((head & TLSF_PREV_FREE) != 0) != ((prev & TLSF_FREE) != 0)) return 2;
    if (s->level >= 2 && ((*tlsf_bit(s, a, b, &bit) & bit) != 0) != ((head & TLSF_FREE) == 0)) return 10;
    if ((head & TLSF_FREE) == 0) {
        seen->live++;
        seen->live_bytes += size;
        return 0;
    }
    seen->free++;
    if (tlsf_step(b, size)[TLSF_FOOT] != head) return 3;
    if (prev & TLSF_FREE) return 4;
    return listed(s, a, b, tlsf_class((uint32_t)size)) ? 0 : 5;
}

/* Every list's blocks are of its size, and all of them together as many as there are free blocks. */
static int check_lists(const struct weir_tlsf *s, const struct weir_tlsf_area *a, uint64_t free)
{
    for (size_t c = TLSF_LIST_LEAST; c < TLSF_LIST_LEAST + s->lists; c++) {
        size_t r = c >> WEIR_TLSF_ROW_LOG2, row = tlsf_row_bits(a, r);
        bool bit = (row >> (c & (TLSF_ROW - 1)) & 1) != 0;
        if (bit != (tlsf_front(a, c) != 0) || (a->rows >> r & 1) != (row != 0)) return 7;
        for (uint32_t link = tlsf_front(a, c); link != 0; link = tlsf_to(a, link)[TLSF_NEXT]) {
            if (free-- == 0) return 6;
            if (!listed(s, a, tlsf_to(a, link), c)) return 5;
        }
    }
    return free == 0 ? 0 : 6;
}

/* At level 2 no bit but those of the blocks is set. */
static int check_map(const struct weir_tlsf *s, const struct weir_tlsf_area *a, uint64_t live)
{
    if (s->level < 2) return 0;
    const uint8_t *map = (const uint8_t *)((uintptr_t)a + s->bits_at);
    for (size_t i = 0; i < s->area_bytes / s->align / 8 + 1; i++)
        for (unsigned byte = map[i]; byte != 0; byte &= byte - 1)
            if (live-- == 0) return 10;
    return live == 0 ? 0 : 10;
}

static int check_area(const struct weir_tlsf *s, const struct weir_tlsf_area *a)
{
    struct census seen = {0};
    uint32_t prev = 0;
    for (const tlsf_word *b = tlsf_begin(a); b != tlsf_end(a); b = tlsf_step(b, tlsf_size(b))) {
        int broken = check_block(s, a, b, prev, &seen);
        if (broken != 0) return broken;
        prev = b[TLSF_SIZE];
    }
    uint32_t mark = tlsf_end(a)[TLSF_SIZE];
    if ((mark & ~(uint32_t)TLSF_PREV_FREE) != 0) return 1;
    if ((mark != 0) != ((prev & TLSF_FREE) != 0)) return 2;
    int broken = check_lists(s, a, seen.free);
    if (broken != 0) return broken;
    if (seen.live != a->live || seen.live_bytes != a->live_bytes) return 8;
    if (seen.live + seen.free != 1 + a->divisions - a->merges) return 9;
    return check_map(s, a, seen.live);
}

int weir_tlsf_check(const void *state)
{
    const struct weir_tlsf *s = state;
    if (s->count > s->areas) return 11;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct weir_tlsf_area *a = tlsf_area(s, i);
        for (uint32_t j = 0; j < i; j++) {
            const struct weir_tlsf_area *o = tlsf_area(s, j);
            if (a->mem - o->mem < o->bytes || o->mem - a->mem < a->bytes) return 11;
        }
        int broken = check_area(s, a);
        if (broken != 0) return broken;
    }
    return 0;
}
