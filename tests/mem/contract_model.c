/* contract_model.c: operations at random against a naive model: a plain list of what is live.
 *
 * Of each block the model knows where it is, what was asked, how much it may use, and the byte that fills it.
 * Held at each step: no two live blocks share a byte, each lies in an area and is aligned, contents are as
 * written, a request succeeds iff find_max says so. Every few steps: the statistics, to the byte; a walk that
 * meets exactly the live blocks; the policy's own invariants. In the end nothing lives and all is as at first. */
#include "contract_heap.h"
#include "contract_policies.h"

#define LIVE_MAX 160

struct live {
    uint8_t *at;
    size_t bytes; /* usable */
    uint8_t fill;
    uint8_t area;
};

struct model {
    struct heap *h;
    uint64_t rnd;
    const uint8_t *input; /* NULL: chance */
    size_t left;
    struct live live[LIVE_MAX];
    uint32_t n;
    bool present[HEAP_AREAS];
    size_t area_bytes[HEAP_AREAS];
    uint64_t allocs, frees, failures, bad_frees, asked, alloc_bytes, live_bytes, peak, peak_bytes, low_events;
    uint64_t capacity;
};

/* Below n: by chance, or as many bytes of the input as n takes, zeros behind its end. */
static uint32_t below(struct model *m, uint32_t n)
{
    uint32_t value = 0;
    if (m->input == NULL) return heap_below(&m->rnd, n);
    for (uint32_t most = n - 1; most > 0 && m->left > 0; most >>= 8, m->left--)
        value = value << 8 | *m->input++;
    return value % n;
}

static bool can(const struct model *m, uint32_t caps)
{
    return (m->h->subject.policy->caps & caps) == caps;
}

/* ---- the model's counts ---- */

/* Live bytes are now so many; a rise over the mark is an event. */
static void lives(struct model *m, uint64_t bytes)
{
    uint64_t limit = m->capacity > CONTRACT_PART_LOW ? m->capacity - CONTRACT_PART_LOW : 0;
    if (bytes > limit && m->live_bytes <= limit) m->low_events++;
    m->live_bytes = bytes;
    if (bytes > m->peak_bytes) m->peak_bytes = bytes;
    if (m->n > m->peak) m->peak = m->n;
}

/* The mark moves with the areas. */
static void measure(struct model *m)
{
    struct weir_policy_stat now;
    m->h->policy->stat(m->h->state, &now);
    m->live_bytes = now.live_bytes; /* as checked before */
}

static void check_part(struct model *m)
{
    struct weir_mem_stat s;
    struct heap *h = m->h;
    HEAP_CHECK(h, weir_part_stat(h->part, &s) == 0);
    HEAP_CHECK(h, s.allocs == m->allocs && s.frees == m->frees);
    HEAP_CHECK(h, s.failures == m->failures);
    HEAP_CHECK(h, s.bad_frees == m->bad_frees);
    HEAP_CHECK(h, s.asked_bytes == m->asked && s.alloc_bytes == m->alloc_bytes);
    HEAP_CHECK(h, s.live == m->n && s.live_bytes == m->live_bytes);
    HEAP_CHECK(h, s.peak == m->peak && s.peak_bytes == m->peak_bytes);
    HEAP_CHECK(h, s.low_events == m->low_events);
    HEAP_CHECK(h, s.configured_bytes == s.live_bytes + s.free_bytes + s.overhead_bytes);
}

static void check_stat(struct model *m)
{
    struct weir_policy_stat s;
    struct heap *h = m->h;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < HEAP_AREAS; i++)
        bytes += m->present[i] ? m->area_bytes[i] : 0;
    h->policy->stat(h->state, &s);
    HEAP_CHECK(h, s.live == m->n);
    HEAP_CHECK(h, s.live_bytes == m->live_bytes);
    HEAP_CHECK(h, s.area_bytes == bytes);
    HEAP_CHECK(h, s.area_bytes == s.live_bytes + s.free_bytes + s.overhead_bytes);
    HEAP_CHECK(h, s.largest_free <= h->policy->find_max(h->state, 0) && s.largest_free <= s.free_bytes);
    HEAP_CHECK(h, (s.free_blocks == 0) == (s.free_bytes == 0));
    if (h->part != NULL) check_part(m);
}

/* ---- the walk ---- */

struct walked {
    struct model *m;
    uint64_t used, used_bytes, free_bytes;
    const uint8_t *last;
};

static int one_walked(void *arg, const struct weir_block *b)
{
    struct walked *w = arg;
    if (b->state == WEIR_BLOCK_META) return 0;
    w->used += b->state == WEIR_BLOCK_USED;
    w->used_bytes += b->state == WEIR_BLOCK_USED ? b->bytes : 0;
    w->free_bytes += b->state == WEIR_BLOCK_FREE ? b->bytes : 0;
    for (uint32_t i = 0; b->state == WEIR_BLOCK_USED && i < w->m->n; i++)
        if (w->m->live[i].at == b->start) return w->m->live[i].bytes == b->bytes ? 0 : -1;
    return b->state == WEIR_BLOCK_FREE ? 0 : -2;
}

static void check_walk(struct model *m)
{
    struct walked w = {.m = m};
    struct weir_policy_stat s;
    int ended = m->h->policy->walk(m->h->state, one_walked, &w);
    if (ended == WEIR_ENOTSUP && m->h->subject.level == 0) return; /* knows not what is in use */
    HEAP_CHECK(m->h, ended == 0);
    m->h->policy->stat(m->h->state, &s);
    HEAP_CHECK(m->h, w.used == m->n && w.used_bytes == m->live_bytes);
    HEAP_CHECK(m->h, w.free_bytes == s.free_bytes);
}

/* ---- contents and places ---- */

static void check_fill(struct model *m, const uint8_t *at, size_t bytes, uint8_t fill)
{
    if (bytes == 0) return;
    HEAP_CHECK(m->h, at[0] == fill && memcmp(at, at + 1, bytes - 1) == 0);
}

/* In which area; no byte of it is anybody else's. */
static uint8_t check_place(struct model *m, const uint8_t *at, size_t bytes, const struct live *but)
{
    uint8_t area = HEAP_AREAS;
    for (uint8_t i = 0; i < HEAP_AREAS; i++)
        if (m->present[i] && at >= m->h->base[i] && at < m->h->base[i] + m->area_bytes[i]) area = i;
    HEAP_CHECK(m->h, area < HEAP_AREAS && bytes <= (size_t)(m->h->base[area] + m->area_bytes[area] - at));
    for (const struct live *l = m->live; l < m->live + m->n; l++)
        HEAP_CHECK(m->h, l == but || at + bytes <= l->at || l->at + l->bytes <= at);
    return area;
}

/* ---- operations ---- */

static size_t some_size(struct model *m)
{
    uint32_t kind = below(m, 256);
    if (kind == 0) return SIZE_MAX - below(m, 64);
    if (kind == 1) return SIZE_MAX / 2 + 1 - below(m, 64);
    if (kind < 8) return below(m, HEAP_AREA_BYTES + 100);
    if (kind < 64) return below(m, 2000);
    return below(m, 200);
}

static size_t some_align(struct model *m)
{
    if (!can(m, WEIR_POLICY_ALIGN) || below(m, 8) != 0) return below(m, 2) != 0 ? m->h->conf.align_bytes : 0;
    return (size_t)1 << below(m, 12);
}

static void check_aligned(struct model *m, const void *at, size_t align)
{
    size_t least = align > m->h->conf.align_bytes ? align : m->h->conf.align_bytes;
    HEAP_CHECK(m->h, ((uintptr_t)at & (least - 1)) == 0);
}

static void born(struct model *m, uint8_t *at, size_t asked, size_t align, size_t got)
{
    HEAP_CHECK(m->h, got >= asked && got >= 1);
    check_aligned(m, at, align);
    struct live l = {.at = at, .bytes = got, .fill = (uint8_t)below(m, 256)};
    l.area = check_place(m, at, got, NULL);
    memset(at, l.fill, got);
    m->live[m->n++] = l;
    m->allocs++;
    m->asked += asked;
    m->alloc_bytes += got;
    lives(m, m->live_bytes + got);
}

static void do_alloc(struct model *m)
{
    struct heap *h = m->h;
    size_t size = some_size(m), align = some_align(m), got = 0;
    bool asked_before = below(m, 16) == 0;
    size_t most = asked_before ? h->policy->find_max(h->state, align) : 0;
    uint8_t *at = h->policy->alloc(h->state, size, align, &got);
    size_t want = size == 0 ? 1 : size;
    if (at == NULL) {
        m->failures++;
        HEAP_CHECK(h, want > h->policy->find_max(h->state, align));
        HEAP_CHECK(h, h->part == NULL || weir_part_why(h->part) != WEIR_WHY_NONE);
        return;
    }
    HEAP_CHECK(h, !asked_before || want <= most);
    born(m, at, size, align, got);
}

static void dies(struct model *m, uint32_t i)
{
    m->frees++;
    uint64_t bytes = m->live[i].bytes;
    m->live[i] = m->live[--m->n];
    lives(m, m->live_bytes - bytes);
}

static void do_free(struct model *m)
{
    if (m->n == 0) return;
    uint32_t i = below(m, m->n);
    struct live l = m->live[i];
    check_fill(m, l.at, l.bytes, l.fill);
    if (below(m, 16) == 0) HEAP_CHECK(m->h, m->h->policy->usable(m->h->state, l.at) == (ptrdiff_t)l.bytes);
    HEAP_CHECK(m->h, m->h->policy->release(m->h->state, l.at) == (ptrdiff_t)l.bytes);
    dies(m, i);
}

/* The block is where it was, with `got` bytes of which the old ones are as they were. */
static void resized(struct model *m, struct live *l, size_t got)
{
    size_t kept = got < l->bytes ? got : l->bytes;
    check_fill(m, l->at, kept, l->fill);
    (void)check_place(m, l->at, got, l);
    m->alloc_bytes += got;
    uint64_t now = m->live_bytes - l->bytes + got;
    l->bytes = got;
    memset(l->at, l->fill, got);
    lives(m, now);
}

static void do_resize(struct model *m)
{
    struct heap *h = m->h;
    if (m->n == 0) return;
    struct live *l = &m->live[below(m, m->n)];
    size_t size = below(m, 4) == 0 ? some_size(m) : l->bytes / 2 + below(m, 64);
    ptrdiff_t got = h->policy->resize(h->state, l->at, size);
    if (got == WEIR_ENOMEM) {
        HEAP_CHECK(h, size > l->bytes && h->policy->usable(h->state, l->at) == (ptrdiff_t)l->bytes);
        return;
    }
    HEAP_CHECK(h, got >= 1 && (size_t)got >= size);
    resized(m, l, (size_t)got);
}

static void moved(struct model *m, uint32_t i, uint8_t *at, size_t size, size_t align)
{
    struct live old = m->live[i];
    size_t got = (size_t)weir_part_usable(m->h->part, at), kept = old.bytes < size ? old.bytes : size;
    check_fill(m, at, kept, old.fill);
    born(m, at, size, align, got);
    dies(m, i);
}

static void do_realloc(struct model *m)
{
    struct heap *h = m->h;
    if (m->n == 0 || m->n == LIVE_MAX) return;
    uint32_t i = below(m, m->n);
    struct live *l = &m->live[i];
    size_t size = below(m, 4) == 0 ? some_size(m) : l->bytes / 2 + below(m, 64), align = some_align(m);
    uint8_t *at = weir_part_realloc(h->part, l->at, size, align);
    if (at == NULL) {
        m->failures++;
        check_fill(m, l->at, l->bytes, l->fill);
        HEAP_CHECK(h, weir_part_usable(h->part, l->at) == (ptrdiff_t)l->bytes);
        return;
    }
    if (at != l->at) {
        moved(m, i, at, size, align);
        return;
    }
    check_aligned(m, at, align);
    m->asked += size;
    resized(m, l, (size_t)weir_part_usable(h->part, at));
    HEAP_CHECK(h, l->bytes >= size);
}

static bool is_refusal(ptrdiff_t got)
{
    return got == WEIR_EFOREIGN || got == WEIR_EINTERIOR || got == WEIR_EFREE || got == WEIR_ECORRUPT;
}

/* Addresses that nobody was given: inside a live block, and what was released just now. */
static void do_bad(struct model *m)
{
    struct heap *h = m->h;
    if (m->n == 0 || h->subject.level == 0 || !can(m, WEIR_POLICY_CHECKS)) return;
    uint32_t i = below(m, m->n);
    struct live l = m->live[i];
    size_t off = 1 + below(m, (uint32_t)l.bytes);
    if (off < l.bytes) {
        m->bad_frees++;
        HEAP_CHECK(h, is_refusal(h->policy->release(h->state, l.at + off)));
    }
    check_fill(m, l.at, l.bytes, l.fill);
    HEAP_CHECK(h, h->policy->release(h->state, l.at) == (ptrdiff_t)l.bytes);
    dies(m, i);
    m->bad_frees++;
    HEAP_CHECK(h, is_refusal(h->policy->release(h->state, l.at)));
}

/* Areas come and go. A full one can't be taken away. */
static void do_area(struct model *m)
{
    struct heap *h = m->h;
    uint8_t i = (uint8_t)below(m, HEAP_AREAS);
    if (!can(m, WEIR_POLICY_AREAS)) return;
    struct weir_policy_stat before, after;
    h->policy->stat(h->state, &before);
    if (!m->present[i]) {
        m->area_bytes[i] = HEAP_AREA_BYTES / 4 + below(m, 3 * HEAP_AREA_BYTES / 4);
        HEAP_CHECK(h, h->policy->add(h->state, h->base[i], m->area_bytes[i]) == 0);
        m->present[i] = true;
    } else if (can(m, WEIR_POLICY_REMOVE)) {
        uint32_t in = 0;
        for (uint32_t k = 0; k < m->n; k++)
            in += m->live[k].area == i;
        int err = h->policy->remove(h->state, h->base[i]);
        HEAP_CHECK(h, err == (in > 0 ? WEIR_EBUSY : 0));
        if (err == 0) m->present[i] = false;
    }
    h->policy->stat(h->state, &after);
    uint64_t old = m->capacity;
    m->capacity += after.free_bytes - before.free_bytes;
    uint64_t was = old > CONTRACT_PART_LOW ? old - CONTRACT_PART_LOW : 0;
    uint64_t is = m->capacity > CONTRACT_PART_LOW ? m->capacity - CONTRACT_PART_LOW : 0;
    if (m->live_bytes <= was && m->live_bytes > is) m->low_events++;
    measure(m);
}

/* Phases that fill and phases that drain, so that both ends are met. */
static void do_something(struct model *m, uint32_t step)
{
    uint32_t kind = below(m, 1024);
    bool fills = (step / 300) % 2 == 0;
    if (kind == 0) {
        do_area(m);
    } else if (kind < 16) {
        do_bad(m);
    } else if (kind < 160 && can(m, WEIR_POLICY_RESIZE)) {
        if (m->h->part != NULL)
            do_realloc(m);
        else
            do_resize(m);
    } else if (m->n < LIVE_MAX && below(m, 100) < (fills ? 70u : 35u)) {
        do_alloc(m);
    } else {
        do_free(m);
    }
}

static void check_some(struct model *m, uint32_t step)
{
    if (step % 32 == 0) check_stat(m);
    if (step % 512 == 0) {
        heap_check(m->h);
        check_walk(m);
        heap_check_guards(m->h);
    }
}

/* Everything goes back, and the heap is as it was when it was new. */
static void end(struct model *m)
{
    struct heap *h = m->h;
    struct weir_policy_stat s;
    while (m->n > 0)
        do_free(m);
    check_stat(m);
    heap_check(h);
    heap_check_guards(h);
    h->policy->stat(h->state, &s);
    bool classes =
        (h->subject.traits & HEAP_CLASSES) != 0; /* a run's end that its class can't use is not free */
    HEAP_CHECK(h, classes ? s.free_bytes <= m->capacity : s.free_bytes == m->capacity);
    for (uint32_t i = 0; i < HEAP_AREAS && can(m, WEIR_POLICY_REMOVE); i++)
        if (m->present[i]) HEAP_CHECK(h, h->policy->remove(h->state, h->base[i]) == 0);
    if (h->part != NULL) HEAP_CHECK(h, weir_part_close(h->part) == 0);
}

static struct model *begin(struct heap *h, const struct heap_subject *subject, uint64_t seed)
{
    static const uint32_t aligns[] = {8, 16, 4};
    static struct model m;
    struct weir_policy_stat first;
    h->seed = seed;
    h->step = 0;
    heap_open(h, subject, aligns[seed % 3], 1, HEAP_AREA_BYTES, (uint32_t)(seed % 5) * 3);
    h->policy->stat(h->state, &first);
    memset(&m, 0, sizeof m);
    m.h = h;
    m.rnd = seed;
    m.present[0] = true;
    m.area_bytes[0] = HEAP_AREA_BYTES;
    m.capacity = first.free_bytes;
    return &m;
}

void heap_property(struct heap *h, const struct heap_subject *subject, uint64_t seed, uint32_t steps)
{
    struct model *m = begin(h, subject, seed);
    for (uint32_t step = 0; step < steps; step++) {
        h->step = step;
        do_something(m, step);
        check_some(m, step);
    }
    end(m);
}

void heap_property_of(struct heap *h, const struct heap_subject *subject, const uint8_t *input, size_t n)
{
    if (n == 0) return;
    struct model *m = begin(h, subject, input[0]);
    m->input = input + 1;
    m->left = n - 1;
    for (uint32_t step = 0; m->left > 0; step++) {
        h->step = step;
        do_something(m, step);
        check_stat(m);
        check_some(m, step);
    }
    end(m);
}
