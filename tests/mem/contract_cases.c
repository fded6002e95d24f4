/* contract_cases.c: what a policy must do with configurations, sizes, alignments, areas and addresses that are
 * at an edge or beyond it. */
#include "contract_heap.h"
#include "contract_policies.h"

static void *take(struct heap *h, size_t size, size_t align)
{
    size_t got = 0;
    return h->policy->alloc(h->state, size, align, &got);
}

static uint64_t live(struct heap *h)
{
    struct weir_policy_stat s;
    h->policy->stat(h->state, &s);
    return s.live;
}

static void open_default(struct heap *h, const struct heap_subject *subject)
{
    heap_open(h, subject, 8, 1, HEAP_AREA_BYTES, 0);
}

static void configurations(struct heap *h, const struct heap_subject *subject)
{
    static const uint32_t aligns[] = {0, 4, 8, 16};
    for (size_t i = 0; i < sizeof aligns / sizeof aligns[0]; i++) {
        heap_open(h, subject, aligns[i], 1, HEAP_AREA_BYTES, 1);
        uint32_t natural = aligns[i] != 0 ? aligns[i] : (uint32_t)sizeof(void *);
        size_t served = 0; /* of classes, fewer than there are sizes may have a run */
        for (size_t size = 0; size < 40; size++) {
            void *block = take(h, size, 0);
            HEAP_CHECK(h, (uintptr_t)block % natural == 0);
            served += block != NULL;
        }
        HEAP_CHECK(h, live(h) == served);
        HEAP_CHECK(h, served == 40 || (subject->traits & HEAP_CLASSES) != 0);
        heap_check(h);
    }
    struct weir_policy_conf bad = h->conf;
    bad.align_bytes = 6;
    HEAP_CHECK(h, h->policy->state_bytes(&bad) == 0);
    HEAP_CHECK(h, h->policy->init(h->state, &bad) == WEIR_EINVAL);
}

static void sizes_that_nobody_has(struct heap *h, const struct heap_subject *subject)
{
    open_default(h, subject);
    struct weir_policy_stat before, after;
    h->policy->stat(h->state, &before);
    for (size_t i = 0; i < 70; i++) {
        HEAP_CHECK(h, take(h, SIZE_MAX - i, 0) == NULL);
        HEAP_CHECK(h, take(h, SIZE_MAX / 2 + 35 - i, 0) == NULL);
        HEAP_CHECK(h, take(h, HEAP_AREA_BYTES + i, 0) == NULL);
    }
    h->policy->stat(h->state, &after);
    HEAP_CHECK(h, before.free_bytes == after.free_bytes && after.live == 0);
    size_t most = h->policy->find_max(h->state, 0);
    HEAP_CHECK(h, most > 0 && take(h, most + 1, 0) == NULL);
    void *all = take(h, most, 0);
    HEAP_CHECK(h, all != NULL);
    HEAP_CHECK(h, h->policy->release(h->state, all) >= (ptrdiff_t)most);
    HEAP_CHECK(h, h->policy->find_max(h->state, 0) == most);
    void *nothing = take(h, 0, 0);
    HEAP_CHECK(h, nothing != NULL && h->policy->usable(h->state, nothing) >= 1);
}

static void every_alignment(struct heap *h, const struct heap_subject *subject)
{
    open_default(h, subject);
    bool classes = (subject->traits & HEAP_CLASSES) != 0;
    for (size_t align = 1; align <= 4096; align *= 2) {
        if (classes && h->policy->find_max(h->state, align) < 100) break;
        uint8_t *small = take(h, 3, 0), *block = take(h, 100, align);
        HEAP_CHECK(h, block != NULL && (uintptr_t)block % align == 0);
        memset(block, 0xaa, 100);
        heap_check(h);
        HEAP_CHECK(h, h->policy->release(h->state, block) >= 100);
        HEAP_CHECK(h, h->policy->release(h->state, small) >= 3);
    }
    for (size_t align = SIZE_MAX / 2 + 1; align > HEAP_AREA_BYTES; align /= 2) {
        uintptr_t last = (uintptr_t)h->base[0] + HEAP_AREA_BYTES;
        bool has_none = ((uintptr_t)h->base[0] - 1) / align == last / align; /* no multiple lies inside */
        HEAP_CHECK(h, !has_none || take(h, 8, align) == NULL);
    }
    HEAP_CHECK(h, live(h) == 0);
}

static void no_alignment_beyond_the_natural(struct heap *h, const struct heap_subject *subject)
{
    if ((subject->policy->caps & WEIR_POLICY_ALIGN) != 0) return;
    open_default(h, subject);
    HEAP_CHECK(h, take(h, 8, 8) != NULL);
    HEAP_CHECK(h, take(h, 8, 64) == NULL);
    HEAP_CHECK(h, h->policy->find_max(h->state, 64) == 0);
}

/* How many blocks of the size fit, one by one. */
static size_t fits(struct heap *h, size_t size)
{
    size_t n = 0;
    while (take(h, size, 0) != NULL)
        n++;
    return n;
}

/* Each cell's bytes less hold one cell less, and no fewer. */
static void an_area_of_n_cells_holds_n(struct heap *h, const struct heap_subject *subject)
{
    open_default(h, subject);
    size_t cell = h->policy->find_max(h->state, 0), all = fits(h, cell);
    size_t bytes = HEAP_AREA_BYTES; /* comes down to the least that holds so many */
    for (size_t n = all; n == all; bytes -= n == all ? 8 : 0) {
        heap_open(h, subject, 8, 1, bytes - 8, 0);
        n = fits(h, cell);
    }
    for (size_t n = all; n > all - 16; n--) {
        heap_open(h, subject, 8, 1, bytes - (all - n) * cell, 0);
        HEAP_CHECK(h, fits(h, cell) >= n);
    }
}

/* Bytes for exactly n blocks of this size, by what one block takes and what the area takes, hold n. */
static void an_area_of_n_holds_n(struct heap *h, const struct heap_subject *subject)
{
    static const size_t sizes[] = {1, 24, 64, 100, 512};
    if ((subject->traits & HEAP_ONE_SIZE) != 0) {
        an_area_of_n_cells_holds_n(h, subject);
        return;
    }
    if ((subject->traits & HEAP_CLASSES) != 0) return; /* runs, not blocks, tile it */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        open_default(h, subject);
        size_t whole = h->policy->find_max(h->state, 0), n = 20;
        uint8_t *a = take(h, sizes[i], 0), *b = take(h, sizes[i], 0);
        size_t stride = (size_t)(a < b ? b - a : a - b), head = subject->policy->head_bytes;
        size_t apart = HEAP_AREA_BYTES - whole - head; /* of the area, whatever is in it */
        size_t rounding = apart % 16;
        heap_open(h, subject, 8, 1, apart - rounding + n * stride + rounding, 0);
        for (size_t k = 0; k < n; k++)
            HEAP_CHECK(h, take(h, sizes[i], 0) != NULL);
        HEAP_CHECK(h, live(h) == n && take(h, sizes[i], 0) == NULL);
    }
}

/* Every small size of area: refused, or used without a byte beside it. */
static void areas_of_every_small_size(struct heap *h, const struct heap_subject *subject)
{
    for (size_t bytes = 0; bytes < 300; bytes++) {
        heap_open(h, subject, 8, 0, 0, (uint32_t)(bytes % 9));
        uint8_t *end = h->base[0] + bytes;
        memset(end, 0x77, 64);
        int err = h->policy->add(h->state, h->base[0], bytes);
        HEAP_CHECK(h, err == 0 || err == WEIR_EINVAL);
        HEAP_CHECK(h, bytes > 0 || err == WEIR_EINVAL);
        HEAP_CHECK(h, bytes < 256 || err == 0 || (subject->traits & HEAP_CLASSES) != 0);
        uint8_t *p = take(h, 1, 0);
        HEAP_CHECK(h, (p != NULL) == (err == 0));
        for (; p != NULL; p = take(h, 1, 0)) {
            size_t usable = (size_t)h->policy->usable(h->state, p);
            HEAP_CHECK(h, p >= h->base[0] && p + usable <= end);
            memset(p, 0x55, usable);
        }
        heap_check(h);
        for (size_t i = 0; i < 64; i++)
            HEAP_CHECK(h, end[i] == 0x77);
        heap_check_guards(h);
    }
}

static void too_many_areas_and_the_same_twice(struct heap *h, const struct heap_subject *subject)
{
    open_default(h, subject);
    HEAP_CHECK(h, h->policy->add(h->state, h->base[0], HEAP_AREA_BYTES) == WEIR_EINVAL);
    HEAP_CHECK(h, h->policy->add(h->state, h->base[0] + 4096, 4096) == WEIR_EINVAL);
    for (uint32_t i = 1; i < HEAP_AREAS; i++)
        HEAP_CHECK(h, h->policy->add(h->state, h->base[i], HEAP_AREA_BYTES / 2) == 0);
    HEAP_CHECK(h,
               h->policy->add(h->state, h->base[HEAP_AREAS - 1] + HEAP_AREA_BYTES / 2, 4096) == WEIR_EMFILE);
    struct weir_policy_stat s;
    h->policy->stat(h->state, &s);
    HEAP_CHECK(h, s.area_bytes == HEAP_AREA_BYTES + (HEAP_AREAS - 1) * (HEAP_AREA_BYTES / 2));
    heap_check(h);
}

/* Neighbours in memory stay two areas: nothing is joined across them. */
static void areas_side_by_side_stay_apart(struct heap *h, const struct heap_subject *subject)
{
    heap_open(h, subject, 8, 1, 4096, 0);
    size_t most = h->policy->find_max(h->state, 0);
    HEAP_CHECK(h, h->policy->add(h->state, h->base[0] + 4096, 4096) == 0);
    HEAP_CHECK(h, h->policy->find_max(h->state, 0) <= most + 16);
    void *a = take(h, most - 64, 0), *b = take(h, most - 64, 0);
    HEAP_CHECK(h, a != NULL && b != NULL);
    HEAP_CHECK(h, h->policy->release(h->state, a) >= 0 && h->policy->release(h->state, b) >= 0);
    HEAP_CHECK(h, h->policy->find_max(h->state, 0) <= most + 16);
    heap_check(h);
}

static void an_area_with_something_in_it_stays(struct heap *h, const struct heap_subject *subject)
{
    heap_open(h, subject, 8, 2, HEAP_AREA_BYTES, 0);
    void *first = take(h, HEAP_AREA_BYTES * 3 / 4, 0), *second = take(h, HEAP_AREA_BYTES * 3 / 4, 0);
    bool in_zero = (uint8_t *)first < h->base[0] + HEAP_AREA_BYTES && (uint8_t *)first >= h->base[0];
    uint8_t *base = h->base[in_zero ? 0 : 1];
    HEAP_CHECK(h, first != NULL && second != NULL);
    HEAP_CHECK(h, h->policy->remove(h->state, base) == WEIR_EBUSY);
    HEAP_CHECK(h, h->policy->remove(h->state, base + 8) == WEIR_EFOREIGN);
    HEAP_CHECK(h, h->policy->release(h->state, first) >= 0);
    HEAP_CHECK(h, h->policy->remove(h->state, base) == 0);
    HEAP_CHECK(h, h->policy->remove(h->state, base) == WEIR_EFOREIGN);
    memset(base, 0x99, HEAP_AREA_BYTES); /* it is ours again */
    heap_check(h);
    HEAP_CHECK(h, h->policy->usable(h->state, second) >= HEAP_AREA_BYTES * 3 / 4);
    HEAP_CHECK(h, h->policy->add(h->state, base, HEAP_AREA_BYTES) == 0);
    HEAP_CHECK(h, take(h, HEAP_AREA_BYTES * 3 / 4, 0) != NULL);
}

static bool refused(ptrdiff_t got)
{
    return got == WEIR_EINTERIOR || got == WEIR_EFREE || got == WEIR_ECORRUPT || got == WEIR_EFOREIGN;
}

static void addresses_that_nobody_was_given(struct heap *h, const struct heap_subject *subject)
{
    open_default(h, subject);
    uint8_t outside[32], *block[8];
    size_t bytes = h->policy->find_max(h->state, 0) < 100 ? 64 : 100;
    for (unsigned i = 0; i < 8; i++) {
        block[i] = take(h, bytes, 0);
        memset(block[i], (int)(0x30 + i), bytes);
    }
    HEAP_CHECK(h, h->policy->release(h->state, outside + 8) == WEIR_EFOREIGN);
    HEAP_CHECK(h, h->policy->release(h->state, h->base[0] - 32) == WEIR_EFOREIGN);
    HEAP_CHECK(h, h->policy->release(h->state, h->base[0] + HEAP_AREA_BYTES + 32) == WEIR_EFOREIGN);
    HEAP_CHECK(h, h->policy->release(h->state, NULL) == WEIR_EFOREIGN);
    for (size_t off = 1; off < bytes; off++)
        HEAP_CHECK(h, refused(h->policy->release(h->state, block[3] + off)));
    HEAP_CHECK(h, refused(h->policy->usable(h->state, block[3] + 8)));
    HEAP_CHECK(h, h->part != NULL || h->policy->resize == NULL ||
                      refused(h->policy->resize(h->state, block[3] + 8, 10)));
    for (unsigned i = 1; i < 8; i += 2) { /* alone, then between free neighbours */
        HEAP_CHECK(h, h->policy->release(h->state, block[i]) >= (ptrdiff_t)bytes);
        HEAP_CHECK(h, refused(h->policy->release(h->state, block[i])));
    }
    for (unsigned i = 0; i < 8; i += 2) {
        HEAP_CHECK(h, h->policy->release(h->state, block[i]) >= (ptrdiff_t)bytes);
        HEAP_CHECK(h, refused(h->policy->release(h->state, block[i])));
    }
    HEAP_CHECK(h, live(h) == 0);
    heap_check(h);
}

/* A payload that holds copies of true heads deceives no exact check. */
static void forged_heads(struct heap *h, const struct heap_subject *subject)
{
    open_default(h, subject);
    size_t bytes = (subject->traits & HEAP_ONE_SIZE) != 0 ? 64 : 256;
    uint8_t *real = take(h, 64, 0), *forged = take(h, bytes, 0), *after = take(h, 64, 0);
    for (size_t off = 16; off + 16 < bytes; off += 8) {
        for (size_t at = 0; at + 16 <= bytes; at += 16)
            memcpy(forged + at, real - 16 >= h->base[0] ? real - 16 : real, 16);
        memcpy(forged + off - 16, forged - 16, 16);
        HEAP_CHECK(h, refused(h->policy->release(h->state, forged + off)));
    }
    HEAP_CHECK(h, h->policy->release(h->state, forged) >= (ptrdiff_t)bytes);
    HEAP_CHECK(h, h->policy->release(h->state, real) >= 64 && h->policy->release(h->state, after) >= 64);
    heap_check(h);
}

static int stop_at_second(void *arg, const struct weir_block *b)
{
    unsigned *seen = arg;
    (void)b;
    return ++*seen == 2 ? 42 : 0;
}

static void a_walk_ends_when_told(struct heap *h, const struct heap_subject *subject)
{
    unsigned seen = 0;
    open_default(h, subject);
    for (unsigned i = 0; i < 5; i++)
        HEAP_CHECK(h, take(h, 50, 0) != NULL);
    int ended = h->policy->walk(h->state, stop_at_second, &seen);
    HEAP_CHECK(h, ended == WEIR_ENOTSUP ? subject->level == 0 : ended == 42 && seen == 2);
}

static void growing_and_shrinking_in_place(struct heap *h, const struct heap_subject *subject)
{
    open_default(h, subject);
    if (h->part != NULL) return; /* contract_model.c does it by weir_part_realloc */
    uint8_t *a = take(h, 100, 0);
    memset(a, 0x42, 100);
    HEAP_CHECK(h, h->policy->resize(h->state, a, 5000) >= 5000);
    memset(a + 100, 0x42, 4900);
    uint8_t *wall = take(h, 100, 0);
    HEAP_CHECK(h, h->policy->resize(h->state, a, HEAP_AREA_BYTES) == WEIR_ENOMEM);
    HEAP_CHECK(h, h->policy->resize(h->state, a, SIZE_MAX) == WEIR_ENOMEM);
    ptrdiff_t small = h->policy->resize(h->state, a, 10);
    HEAP_CHECK(h, small >= 10 && small < 5000);
    for (ptrdiff_t i = 0; i < small; i++)
        HEAP_CHECK(h, a[i] == 0x42);
    HEAP_CHECK(h, h->policy->resize(h->state, a, 4000) >= 4000);
    HEAP_CHECK(h, h->policy->release(h->state, a) >= 4000 && h->policy->release(h->state, wall) >= 100);
    heap_check(h);
}

const struct heap_case heap_cases[] = {
    {"configurations", 0, 0, configurations},
    {"sizes_that_nobody_has", 0, 0, sizes_that_nobody_has},
    {"every_alignment", WEIR_POLICY_ALIGN, 0, every_alignment},
    {"no_alignment_beyond_the_natural", 0, 0, no_alignment_beyond_the_natural},
    {"an_area_of_n_holds_n", 0, 0, an_area_of_n_holds_n},
    {"areas_of_every_small_size", 0, 0, areas_of_every_small_size},
    {"too_many_areas_and_the_same_twice", WEIR_POLICY_AREAS, 0, too_many_areas_and_the_same_twice},
    {"areas_side_by_side_stay_apart", WEIR_POLICY_AREAS, 0, areas_side_by_side_stay_apart},
    {"an_area_with_something_in_it_stays", WEIR_POLICY_AREAS | WEIR_POLICY_REMOVE, 0,
     an_area_with_something_in_it_stays},
    {"addresses_that_nobody_was_given", WEIR_POLICY_CHECKS, 1, addresses_that_nobody_was_given},
    {"forged_heads", WEIR_POLICY_CHECKS, 2, forged_heads},
    {"a_walk_ends_when_told", 0, 0, a_walk_ends_when_told},
    {"growing_and_shrinking_in_place", WEIR_POLICY_RESIZE, 0, growing_and_shrinking_in_place},
};
const size_t heap_cases_n = sizeof heap_cases / sizeof heap_cases[0];
