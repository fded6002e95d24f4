/* Tests of the small-object manager: properties against a naive model for random configurations (prints its seed),
 * every error, exhaustion, overwritten links, and the manager as a policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bits.h"
#include "base/test_seed.h"
#include "weir/small.h"

#define OBJECTS 3000
#define ARENA   (128u * 1024)

static _Alignas(4096) uint8_t arena[ARENA];

/* ---- the model ---- */

struct model {
    struct weir_small small;
    struct weir_small_conf conf;
    struct weir_sim sim;
    uint8_t *at[OBJECTS];
    uint32_t size[OBJECTS], usable[OBJECTS];
    uint8_t tag[OBJECTS];
    uint32_t live, peak, align;
    uint64_t allocs, live_bytes, peak_bytes, alloc_bytes, asked, failures, bad;
    uint8_t *mem;
    size_t bytes;
};

static void admit(struct model *m, uint8_t *at, uint32_t size, uint32_t align)
{
    ptrdiff_t usable = weir_small_usable(&m->small, at);
    assert_true(usable >= (ptrdiff_t)size && usable > 0);
    assert_int_equal((uintptr_t)at % weir_max_u32(align, m->align), 0);
    assert_true(at >= m->mem && at + usable <= m->mem + m->bytes);
    for (uint32_t i = 0; i < m->live; i++)
        assert_true(at >= m->at[i] + m->usable[i] || at + usable <= m->at[i]);
    uint32_t n = m->live++;
    m->at[n] = at;
    m->size[n] = size;
    m->usable[n] = (uint32_t)usable;
    m->tag[n] = (uint8_t)test_u32(&m->sim);
    memset(at, m->tag[n], (size_t)usable);
    m->allocs++;
    m->asked += size;
    m->alloc_bytes += (uint64_t)usable;
    m->live_bytes += (uint64_t)usable;
    m->peak = weir_max_u32(m->peak, m->live);
    if (m->live_bytes > m->peak_bytes) m->peak_bytes = m->live_bytes;
}

static uint8_t *forget(struct model *m, uint32_t i)
{
    uint8_t *at = m->at[i];
    for (uint32_t k = 0; k < m->usable[i]; k++)
        assert_int_equal(at[k], m->tag[i]);
    m->live_bytes -= m->usable[i];
    m->live--;
    m->at[i] = m->at[m->live];
    m->size[i] = m->size[m->live];
    m->usable[i] = m->usable[m->live];
    m->tag[i] = m->tag[m->live];
    return at;
}

static void compare(struct model *m)
{
    struct weir_mem_stat s;
    weir_small_info(&m->small, &s);
    assert_int_equal(s.allocs, m->allocs);
    assert_int_equal(s.frees, m->allocs - m->live);
    assert_int_equal(s.live, m->live);
    assert_int_equal(s.live_bytes, m->live_bytes);
    assert_int_equal(s.peak, m->peak);
    assert_int_equal(s.peak_bytes, m->peak_bytes);
    assert_int_equal(s.alloc_bytes, m->alloc_bytes);
    assert_int_equal(s.asked_bytes, m->asked);
    assert_int_equal(s.failures, m->failures);
    assert_int_equal(s.bad_frees, m->bad);
    assert_int_equal(s.configured_bytes - s.overhead_bytes, s.free_bytes + s.live_bytes);
}

static void alloc_one(struct model *m)
{
    if (m->live == OBJECTS) return;
    struct weir_mem_stat s;
    weir_small_info(&m->small, &s);
    uint32_t size = test_below(&m->sim, (uint32_t)m->small.largest + 1), align = 0;
    if (test_below(&m->sim, 8) == 0) align = 1u << test_below(&m->sim, 10);
    uint8_t *at =
        align != 0 ? weir_small_alloc_aligned(&m->small, size, align) : weir_small_alloc(&m->small, size);
    if (at != NULL) {
        admit(m, at, size, align);
        return;
    }
    m->failures++;
    if (align <= 1) assert_true((size == 0 ? 1 : size) > s.largest_free);
    if (align <= 1) assert_int_equal(weir_small_why(&m->small), WEIR_WHY_FULL);
}

static void free_one(struct model *m)
{
    if (m->live == 0) return;
    uint32_t i = test_below(&m->sim, m->live), usable = m->usable[i];
    assert_int_equal(weir_small_free(&m->small, forget(m, i)), usable);
}

static void free_wrong(struct model *m)
{
    if (m->live == 0) return;
    uint32_t i = test_below(&m->sim, m->live), usable = m->usable[i];
    uint8_t *at = m->at[i];
    assert_int_equal(weir_small_free(&m->small, at + 1 + test_below(&m->sim, usable - 1)), WEIR_EINTERIOR);
    assert_int_equal(weir_small_free(&m->small, m), WEIR_EFOREIGN);
    assert_int_equal(weir_small_free(&m->small, m->mem - 1), WEIR_EFOREIGN);
    (void)forget(m, i);
    assert_int_equal(weir_small_free(&m->small, at), usable);
    assert_int_equal(weir_small_free(&m->small, at), WEIR_EFREE);
    assert_int_equal(weir_small_usable(&m->small, at), WEIR_EFREE);
    m->bad += 4;
}

struct seen {
    uintptr_t end;
    uint64_t used, bytes;
};

static int count(void *arg, const struct weir_block *b)
{
    struct seen *seen = arg;
    assert_true((uintptr_t)b->start >= seen->end);
    if (seen->end != 0) assert_int_equal((uintptr_t)b->start, seen->end); /* no byte is left out */
    seen->end = (uintptr_t)b->start + b->bytes;
    seen->used += b->state == WEIR_BLOCK_USED;
    seen->bytes += b->bytes;
    return 0;
}

static void look(struct model *m)
{
    assert_int_equal(weir_small_check(&m->small), 0);
    assert_int_equal(weir_small_corrupt(&m->small), 0);
    struct seen seen = {0, 0, 0};
    assert_int_equal(weir_small_walk(&m->small, count, &seen), 0);
    assert_int_equal(seen.used, m->live);
    assert_int_equal(seen.bytes, m->bytes);
    uint64_t live = 0;
    struct weir_small_class_info info;
    for (uint32_t n = 0; weir_small_class(&m->small, n, &info) == (int)n; n++)
        live += info.live;
    assert_int_equal(live, m->live);
    if (test_below(&m->sim, 2) != 0) return;
    weir_small_peak_reset(&m->small);
    m->peak = m->live;
    m->peak_bytes = m->live_bytes;
}

static void begin(struct model *m)
{
    static const uint32_t runs[] = {0, 512, 1024, 4096, 32768}, aligns[] = {0, 4, 8, 16};
    m->conf.run_bytes = runs[test_below(&m->sim, 5)];
    do
        m->conf.align_bytes = aligns[test_below(&m->sim, 4)];
    while (m->conf.align_bytes != 0 && m->conf.align_bytes < sizeof(void *));
    if (test_below(&m->sim, 2) != 0) m->conf.largest = 17 + test_below(&m->sim, 40);
    m->align = m->conf.align_bytes != 0 ? m->conf.align_bytes : sizeof(void *);
    size_t skip = test_below(&m->sim, 100), least = weir_small_bytes(&m->conf, 1);
    assert_true(least > 0);
    m->bytes = least + test_below(&m->sim, ARENA - 100 - (uint32_t)least);
    m->mem = arena + skip;
    memset(arena, 0xee, sizeof arena);
    assert_int_equal(weir_small_open(&m->small, &m->conf, m->mem, m->bytes), 0);
}

static void end(struct model *m)
{
    if (m->live > 0) assert_int_equal(weir_small_close(&m->small), WEIR_EBUSY);
    while (m->live > 0)
        free_one(m);
    look(m);
    compare(m);
    assert_int_equal(weir_small_close(&m->small), 0);
    for (uint8_t *p = arena; p < arena + ARENA; p++) /* nothing outside was touched */
        if (p < m->mem || p >= m->mem + m->bytes) assert_int_equal(*p, 0xee);
}

static void random_use_matches_the_model(void **state)
{
    (void)state;
    static struct model m;
    struct weir_sim sim = test_seed("small_test");
    for (unsigned round = 0; round < 60; round++) {
        m = (struct model){.sim = sim};
        begin(&m);
        for (unsigned i = 0; i < 1500; i++) {
            uint32_t dice = test_below(&m.sim, 100);
            if (dice < ((i / 300) % 2 == 0 ? 70u : 30u))
                alloc_one(&m);
            else if (dice < 96)
                free_one(&m);
            else if (dice < 98)
                free_wrong(&m);
            else
                look(&m);
            compare(&m);
        }
        end(&m);
        sim = m.sim;
    }
}

/* ---- cases ---- */

static void wrong_configurations_are_refused(void **state)
{
    (void)state;
    static const struct weir_small_conf bad[] = {
        {.run_bytes = 256}, {.run_bytes = 3000}, {.run_bytes = 65536}, {.largest = 513},
        {.align_bytes = 2}, {.align_bytes = 12}, {.align_bytes = 32},  {.run_bytes = 512, .largest = 65},
    };
    struct weir_small s;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(weir_small_bytes(&bad[i], 1), 0);
        assert_int_equal(weir_small_open(&s, &bad[i], arena, ARENA), WEIR_EINVAL);
    }
    assert_int_equal(weir_small_bytes(NULL, 0), 0);
    assert_int_equal(weir_small_bytes(NULL, UINT32_MAX), 0);
    assert_int_equal(weir_small_open(&s, NULL, arena, 4096), WEIR_EINVAL);
    assert_int_equal(weir_small_open(&s, NULL, NULL, ARENA), WEIR_EINVAL);
    assert_int_equal(weir_small_open(&s, NULL, arena, SIZE_MAX), WEIR_EINVAL);
}

/* What weir_small_bytes says is enough wherever the arena lies. */
static void the_bytes_hold_the_runs(void **state)
{
    (void)state;
    struct weir_small s;
    for (uint32_t runs = 1; runs < 20; runs += 3)
        for (uint32_t skip = 0; skip < 600; skip += 37) {
            assert_int_equal(weir_small_open(&s, NULL, arena + skip, weir_small_bytes(NULL, runs)), 0);
            assert_true(s.runs >= runs);
        }
}

static void classes_waste_less_than_is_said(void **state)
{
    (void)state;
    for (uint32_t align = sizeof(void *); align <= 16; align *= 2)
        for (uint32_t run = 512; run <= 32768; run *= 2) {
            struct weir_small_conf c = {.run_bytes = run, .align_bytes = align};
            struct weir_small s;
            struct weir_small_class_info info;
            assert_int_equal(weir_small_open(&s, &c, arena, ARENA), 0);
            for (uint32_t size = 0; size <= run / 8; size++) {
                int n = weir_small_class_of(&s, size);
                assert_int_equal(weir_small_class(&s, (uint32_t)n, &info), n);
                assert_true(size <= info.bytes && (size >= info.sizes_from || size == 0));
                assert_int_equal(info.bytes % align, 0);
                uint32_t waste = info.bytes - size;
                if (size > 0) assert_true(waste < align || 4 * waste < size);
                assert_true(info.tail_bytes < info.bytes);
            }
            assert_int_equal(weir_small_class_of(&s, run / 8 + 1), WEIR_EINVAL);
        }
}

static void what_an_object_costs(void **state)
{
    (void)state;
    static const struct {
        uint32_t align, size, milli;
    } table[] = {{8, 16, 16375},  {8, 24, 24658},  {8, 64, 65500},
                 {16, 16, 16250}, {16, 24, 32500}, {16, 64, 65000}};
    if (sizeof(void *) != 8) skip();
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct weir_small_conf c = {.align_bytes = table[i].align};
        struct weir_small s;
        struct weir_small_class_info info;
        assert_int_equal(weir_small_open(&s, &c, arena, ARENA), 0);
        (void)weir_small_class(&s, (uint32_t)weir_small_class_of(&s, table[i].size), &info);
        assert_int_equal(info.milli_bytes, table[i].milli);
    }
}

/* A class takes every run, gives them all back, and another takes them: nothing is lost between classes. */
static void empty_runs_serve_any_class(void **state)
{
    (void)state;
    static void *object[ARENA / 8];
    struct weir_small s;
    assert_int_equal(weir_small_open(&s, NULL, arena, ARENA), 0);
    for (size_t size = s.largest; size >= 8; size -= 8) {
        uint32_t n = 0;
        struct weir_small_class_info info;
        (void)weir_small_class(&s, (uint32_t)weir_small_class_of(&s, size), &info);
        while ((object[n] = weir_small_alloc(&s, size)) != NULL)
            n++;
        assert_int_equal(n, info.run_cells * s.runs);
        assert_int_equal(weir_small_why(&s), WEIR_WHY_FULL);
        while (n > 0)
            assert_int_equal(weir_small_free(&s, object[--n]), info.bytes);
        assert_int_equal(weir_small_check(&s), 0);
    }
    assert_true(s.cuts > 0 && s.cuts - s.joins <= s.classes); /* each class may keep one */
    assert_null(weir_small_alloc(&s, s.largest + 1));
    assert_int_equal(weir_small_why(&s), WEIR_WHY_SIZE);
    assert_null(weir_small_alloc(&s, SIZE_MAX));
    assert_null(weir_small_alloc_aligned(&s, 8, 1024));
    assert_int_equal(weir_small_why(&s), WEIR_WHY_ALIGN);
    assert_null(weir_small_alloc_aligned(&s, 8, 24));
    assert_int_equal(weir_small_close(&s), 0);
}

/* When no run is to be had, a larger class serves. */
static void a_larger_class_serves_at_the_end(void **state)
{
    (void)state;
    struct weir_small s;
    assert_int_equal(weir_small_open(&s, NULL, arena, weir_small_bytes(NULL, 2)), 0);
    uint32_t runs = s.runs;
    void *big = weir_small_alloc(&s, 512);
    assert_non_null(big);
    for (uint32_t i = 1; i < runs; i++)
        for (unsigned k = 0; k < 512; k++)
            assert_non_null(weir_small_alloc(&s, 8));
    uint8_t *small = weir_small_alloc(&s, 8);
    assert_ptr_equal(small, (uint8_t *)big + 512);
    assert_int_equal(weir_small_usable(&s, small), 512);
    assert_int_equal(weir_small_check(&s), 0);
}

/* A load that swings by one object around a full run cuts no run each time. */
static void a_swing_cuts_no_runs(void **state)
{
    (void)state;
    struct weir_small s;
    assert_int_equal(weir_small_open(&s, NULL, arena, ARENA), 0);
    for (unsigned i = 0; i < 64; i++)
        assert_non_null(weir_small_alloc(&s, 64));
    for (unsigned i = 0; i < 100; i++) {
        void *object = weir_small_alloc(&s, 64);
        assert_non_null(object);
        assert_int_equal(weir_small_free(&s, object), 64);
    }
    assert_int_equal(s.cuts, 2);
    assert_int_equal(s.joins, 0);
}

static void links_that_were_overwritten_are_made_again(void **state)
{
    (void)state;
    struct weir_small s;
    for (unsigned kind = 0; kind < 5; kind++) {
        assert_int_equal(weir_small_open(&s, NULL, arena, ARENA), 0);
        void *object[64], *other[4], *again[64];
        for (unsigned i = 0; i < 64; i++)
            assert_non_null(object[i] = weir_small_alloc(&s, 64));
        for (unsigned i = 0; i < 4; i++)
            assert_non_null(other[i] = weir_small_alloc(&s, 32));
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(weir_small_free(&s, object[i]), 64);
        assert_int_equal(weir_small_free(&s, other[0]), 32);
        const void *const junk[] = {NULL, (void *)8, (void *)UINTPTR_MAX, object[20] /* in use */,
                                    other[0] /* free, another run's */};
        memcpy(object[9], &junk[kind], sizeof(void *));
        for (unsigned i = 0; i < 10; i++) {
            assert_non_null(again[i] = weir_small_alloc(&s, 64));
            assert_true(again[i] >= object[0] && again[i] <= object[9]);
        }
        assert_int_equal(weir_small_corrupt(&s), 1);
        assert_int_equal(weir_small_check(&s), 0);
    }
}

static void a_count_that_disagrees_is_told(void **state)
{
    (void)state;
    struct weir_small s;
    assert_int_equal(weir_small_open(&s, NULL, arena, ARENA), 0);
    void *object = weir_small_alloc(&s, 64);
    assert_non_null(object);
    s.run[0].more = -1; /* as a wild write would */
    assert_int_equal(weir_small_usable(&s, object), WEIR_ECORRUPT);
    assert_int_equal(weir_small_free(&s, object), WEIR_ECORRUPT);
    s.run[0].more = 0;
    assert_int_equal(weir_small_free(&s, object), 64);
    assert_int_equal(weir_small_check(&s), 0);
}

static void a_closed_manager_says_so(void **state)
{
    (void)state;
    struct weir_small s;
    struct weir_mem_stat stat;
    assert_int_equal(weir_small_open(&s, NULL, arena, ARENA), 0);
    assert_int_equal(weir_small_close(&s), 0);
    assert_null(weir_small_alloc(&s, 0));
    assert_null(weir_small_alloc(&s, 8));
    assert_int_equal(weir_small_why(&s), WEIR_WHY_STALE);
    assert_int_equal(weir_small_free(&s, arena), WEIR_ESTALE);
    assert_int_equal(weir_small_usable(&s, arena), WEIR_ESTALE);
    assert_int_equal(weir_small_walk(&s, NULL, NULL), WEIR_ESTALE);
    assert_int_equal(weir_small_close(&s), WEIR_ESTALE);
    assert_int_equal(weir_small_check(&s), 0);
    weir_small_info(&s, &stat);
    assert_int_equal(stat.configured_bytes, 0);
}

/* ---- as a policy ---- */

static void the_policy_serves(void **state)
{
    (void)state;
    const struct weir_policy *p = &weir_small_policy;
    struct weir_policy_conf conf = {.align_bytes = 16, .level = 1};
    assert_int_equal(p->state_bytes(&(struct weir_policy_conf){.areas = 2}), 0);
    void *memory = malloc(p->state_bytes(&conf));
    assert_non_null(memory);
    size_t got = 0;
    assert_int_equal(p->init(memory, &conf), 0);
    assert_null(p->alloc(memory, 8, 0, &got));
    assert_int_equal(p->release(memory, arena), WEIR_EFOREIGN);
    assert_int_equal(p->find_max(memory, 0), 0);
    assert_int_equal(p->add(memory, arena, 100), WEIR_EINVAL);
    assert_int_equal(p->add(memory, arena + 1, ARENA - 1), 0);
    assert_int_equal(p->add(memory, arena, ARENA), WEIR_EMFILE);
    void *a = p->alloc(memory, 24, 0, &got);
    assert_non_null(a);
    assert_int_equal(got, 32);
    void *b = p->alloc(memory, 100, 128, &got);
    assert_int_equal((uintptr_t)b % 128, 0);
    assert_int_equal(p->usable(memory, b), got);
    struct weir_policy_stat s;
    p->stat(memory, &s);
    assert_int_equal(s.live, 2);
    assert_int_equal(s.live_bytes, 32 + got);
    assert_int_equal(s.area_bytes, s.overhead_bytes + s.free_bytes + s.live_bytes);
    assert_int_equal(p->find_max(memory, 0), 512);
    assert_int_equal(p->remove(memory, arena + 1), WEIR_EBUSY);
    assert_int_equal(p->release(memory, a), 32);
    assert_int_equal(p->release(memory, a), WEIR_EFREE);
    assert_int_equal(p->release(memory, b), got);
    assert_int_equal(p->check(memory), 0);
    assert_int_equal(p->remove(memory, arena), WEIR_EFOREIGN);
    assert_int_equal(p->remove(memory, arena + 1), 0);
    assert_int_equal(p->add(memory, arena, ARENA), 0); /* and again */
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_matches_the_model),
        cmocka_unit_test(wrong_configurations_are_refused),
        cmocka_unit_test(the_bytes_hold_the_runs),
        cmocka_unit_test(classes_waste_less_than_is_said),
        cmocka_unit_test(what_an_object_costs),
        cmocka_unit_test(empty_runs_serve_any_class),
        cmocka_unit_test(a_larger_class_serves_at_the_end),
        cmocka_unit_test(a_swing_cuts_no_runs),
        cmocka_unit_test(links_that_were_overwritten_are_made_again),
        cmocka_unit_test(a_count_that_disagrees_is_told),
        cmocka_unit_test(a_closed_manager_says_so),
        cmocka_unit_test(the_policy_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
