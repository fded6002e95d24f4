/* Tests of press.c: at which level each rung is reached and left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bits.h"
#include "mem/zfixture.h"
#include "pkt/press.h"

/* ---- levels ---- */

static void levels_fall_from_rung_to_rung(void **state)
{
    (void)state;
    uint64_t seed = zfixture_seed();
    for (int i = 0; i < 20000; i++) {
        uint32_t at[5];
        at[0] = zfixture_random(&seed, 4) ? zfixture_random(&seed, 20) : 0;
        for (int k = 1; k < 5; k++)
            at[k] = at[k - 1] + zfixture_random(&seed, i % 2 ? 3 : 1000);
        struct weir_press_levels l;
        weir_press_levels(&l, at[0], at[1], at[2], at[3], at[4]);
        for (int r = WEIR_RUNG_WINDOWS; r < WEIR_RUNGS; r++) {
            assert_true(l.enter[r] <= l.leave[r]);
            if (r == WEIR_RUNG_WINDOWS) continue;
            assert_true(l.enter[r] <= l.enter[r - 1]);
            assert_true(l.leave[r] <= l.leave[r - 1]);
        }
        /* What each kind may use up alone does not lead to the rungs below it. */
        if (at[2] > at[1] + 1) assert_true(l.leave[WEIR_RUNG_COPY] < at[2]);
        if (at[1] > at[0] + 1) assert_true(l.leave[WEIR_RUNG_REFUSE] < at[1]);
        assert_int_equal(l.bottom, at[0]);
    }
}

/* The amounts are in units of 64 bytes: as many as fit. */
static void levels_of_the_largest_pool(void **state)
{
    (void)state;
    struct weir_press_levels l;
    weir_press_levels(&l, 0, UINT32_MAX / 16, UINT32_MAX / 8, UINT32_MAX / 4, UINT32_MAX);
    for (int r = WEIR_RUNG_WINDOWS; r < WEIR_RUNGS; r++)
        assert_true(l.enter[r] <= l.leave[r]);
    assert_true(l.leave[WEIR_RUNG_WINDOWS] > l.leave[WEIR_RUNG_OOO]);
}

/* ---- a pool ---- */

#define SEGMENTS 257u /* one is posted */

struct bench {
    struct zfixture f;
    struct weir_press p;
    struct weir_cells pbufs;
    uint32_t cell[64];
    struct weir_zhead *held[SEGMENTS];
    unsigned n;
};

/* Header blocks, and one class of 1,024 bytes with the floors of an instance. */
static int open_bench(void **state)
{
    static struct bench b;
    struct weir_config conf = zfixture_config(WEIR_ZLAYOUT_DENSE, (const uint32_t[]){16, SEGMENTS, 0, 0});
    const uint32_t floor[WEIR_TAKES] = {0, 0, 8, 16, 32, 64};
    memset(&b, 0, sizeof b);
    zfixture_open(&b.f, &conf);
    weir_zpool_floor(&b.f.z, 1, floor);
    weir_cells_init(&b.pbufs, b.cell, 64, sizeof b.cell[0]);
    weir_press_init(&b.p, &b.pbufs);
    *state = &b;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *b = *state;
    zfixture_close(&b->f);
    return 0;
}

static void attach(struct bench *b, unsigned posts)
{
    uint32_t before[WEIR_ZCLASSES_MAX] = {b->f.z.cls[0].free, b->f.z.cls[1].free};
    for (unsigned i = 0; i < posts; i++)
        assert_non_null(weir_zpool_take(&b->f.z, 1024, WEIR_TAKE_POST));
    weir_press_asked(&b->p, &b->f.z, before);
    assert_int_equal(weir_press_relevel(&b->p, &b->f.z), posts < SEGMENTS - 64);
}

/* Takes or gives back until n segments are free, looking after each; returns how often the rung changed. */
static unsigned until_free(struct bench *b, uint32_t n)
{
    unsigned changes = 0;
    while (b->f.z.cls[1].free != n) {
        if (b->f.z.cls[1].free > n)
            b->held[b->n++] = weir_zpool_take(&b->f.z, 1024, WEIR_TAKE_POST);
        else
            (void)weir_zpool_unref(&b->f.z, b->held[--b->n], WEIR_OWNER_POSTED);
        changes += weir_press_update(&b->p, &b->f.z, &b->pbufs);
    }
    return changes;
}

static void expect(struct bench *b, uint32_t free, enum weir_rung rung)
{
    (void)until_free(b, free);
    if (b->p.rung != rung)
        fail_msg("at %u free: %s, not %s", free, weir_rung_name(b->p.rung), weir_rung_name(rung));
}

static void each_rung_has_its_level(void **state)
{
    struct bench *b = *state;
    attach(b, 1);
    assert_false(weir_press_update(&b->p, &b->f.z, &b->pbufs));
    /* above the floor of 64 there are 192: WINDOWS at 64 + 48 */
    expect(b, 113, WEIR_RUNG_NONE);
    expect(b, 112, WEIR_RUNG_WINDOWS);
    expect(b, 65, WEIR_RUNG_WINDOWS);
    expect(b, 64, WEIR_RUNG_OOO);
    expect(b, 25, WEIR_RUNG_OOO);
    expect(b, 24, WEIR_RUNG_COPY);
    expect(b, 13, WEIR_RUNG_COPY);
    expect(b, 12, WEIR_RUNG_REFUSE);
    expect(b, 0, WEIR_RUNG_REFUSE);
    /* and on the way back, each later */
    expect(b, 15, WEIR_RUNG_REFUSE);
    expect(b, 16, WEIR_RUNG_COPY);
    expect(b, 31, WEIR_RUNG_COPY);
    expect(b, 32, WEIR_RUNG_OOO);
    expect(b, 88, WEIR_RUNG_OOO);
    expect(b, 89, WEIR_RUNG_WINDOWS);
    expect(b, 136, WEIR_RUNG_WINDOWS);
    expect(b, 137, WEIR_RUNG_NONE);
    assert_int_equal(until_free(b, 0), 4);
    assert_int_equal(until_free(b, 256), 4);
}

static void a_level_that_swings_changes_nothing(void **state)
{
    struct bench *b = *state;
    attach(b, 1);
    expect(b, 112, WEIR_RUNG_WINDOWS);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(until_free(b, 136), 0);
        assert_int_equal(until_free(b, 65), 0);
    }
}

static void posted_segments_are_nobodys_need(void **state)
{
    struct bench *b = *state;
    attach(b, 101);
    assert_false(weir_press_update(&b->p, &b->f.z, &b->pbufs));
    /* all is 156: WINDOWS at 64 + 92 / 4 */
    expect(b, 88, WEIR_RUNG_NONE);
    expect(b, 87, WEIR_RUNG_WINDOWS);
}

/* All that a device leaves lies below a floor: told when it is attached. */
static void a_device_may_take_too_much(void **state)
{
    struct bench *b = *state;
    const uint32_t floor[WEIR_TAKES] = {0, 0, 1, 2, 4, 8};
    attach(b, SEGMENTS - 64);
    (void)weir_press_update(&b->p, &b->f.z, &b->pbufs);
    assert_int_not_equal(b->p.rung, WEIR_RUNG_NONE);
    weir_zpool_floor(&b->f.z, 1, floor);
    assert_true(weir_press_relevel(&b->p, &b->f.z));
    (void)weir_press_update(&b->p, &b->f.z, &b->pbufs);
    assert_int_equal(b->p.rung, WEIR_RUNG_NONE);
}

static void windows_shrink_with_what_is_left(void **state)
{
    struct bench *b = *state;
    uint32_t before = 65536;
    attach(b, 1);
    assert_int_equal(weir_press_window(&b->p, 65536, 2920), 65536);
    for (uint32_t free = 112; free > 12; free--) {
        (void)until_free(b, free);
        uint32_t now = weir_press_window(&b->p, 65536, 2920);
        assert_true(now <= before && now >= 2920);
        before = now;
    }
    assert_int_equal(before, 2920);
    assert_int_equal(weir_press_window(&b->p, 1000, 2920), 1000);
    assert_int_equal(weir_press_window(&b->p, 0, 2920), 0);
    (void)until_free(b, 12); /* the last rung shuts them */
    assert_int_equal(weir_press_window(&b->p, 65536, 2920), 0);
    (void)until_free(b, 256);
    assert_int_equal(weir_press_window(&b->p, 65536, 2920), 65536);
}

static void descriptors_count_as_well(void **state)
{
    struct bench *b = *state;
    uint32_t got[64], n = 0;
    attach(b, 1);
    /* 64: the floor of data out of order is 16, and above it 48: WINDOWS at 16 + 12 */
    const struct {
        uint32_t left;
        enum weir_rung rung;
    } want[] = {{29, WEIR_RUNG_NONE},
                {28, WEIR_RUNG_WINDOWS},
                {16, WEIR_RUNG_OOO},
                {6, WEIR_RUNG_COPY},
                {2, WEIR_RUNG_REFUSE}};
    for (unsigned i = 0; i < sizeof want / sizeof want[0]; i++) {
        while (weir_cells_left(&b->pbufs) > want[i].left)
            got[n++] = weir_cells_get(&b->pbufs);
        (void)weir_press_update(&b->p, &b->f.z, &b->pbufs);
        assert_int_equal(b->p.rung, want[i].rung);
    }
    while (n > 0)
        weir_cells_put(&b->pbufs, got[--n]);
    assert_true(weir_press_update(&b->p, &b->f.z, &b->pbufs));
    assert_int_equal(b->p.rung, WEIR_RUNG_NONE);
    assert_int_equal(b->p.share, 256);
}

/* A class that no device asks for may be used up; one that is asked for counts with those above it. */
static void only_what_devices_ask_for_counts(void **state)
{
    (void)state;
    struct zfixture f;
    struct weir_press p;
    struct weir_cells pbufs;
    uint32_t cell[16];
    struct weir_config conf = zfixture_config(WEIR_ZLAYOUT_DENSE, (const uint32_t[]){64, 64, 16, 0});
    zfixture_open(&f, &conf);
    weir_cells_init(&pbufs, cell, 16, sizeof cell[0]);
    weir_press_init(&p, &pbufs);
    uint32_t before[WEIR_ZCLASSES_MAX] = {f.z.cls[0].free, f.z.cls[1].free, f.z.cls[2].free};
    assert_non_null(weir_zpool_take(&f.z, 1024, WEIR_TAKE_POST));
    weir_press_asked(&p, &f.z, before);
    assert_true(weir_press_relevel(&p, &f.z));
    while (f.z.cls[2].free > 0)
        assert_non_null(weir_zpool_take(&f.z, 4096, WEIR_TAKE_APP));
    (void)weir_press_update(&p, &f.z, &pbufs);
    assert_int_equal(p.rung, WEIR_RUNG_NONE); /* 63 of 127 units are left */
    while (f.z.cls[1].free > 8)
        assert_non_null(weir_zpool_take(&f.z, 1024, WEIR_TAKE_APP));
    (void)weir_press_update(&p, &f.z, &pbufs);
    assert_int_not_equal(p.rung, WEIR_RUNG_NONE);
    zfixture_close(&f);
}

#define BENCH_TEST(f) cmocka_unit_test_setup_teardown(f, open_bench, close_bench)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_fall_from_rung_to_rung),
        cmocka_unit_test(levels_of_the_largest_pool),
        BENCH_TEST(each_rung_has_its_level),
        BENCH_TEST(a_level_that_swings_changes_nothing),
        BENCH_TEST(posted_segments_are_nobodys_need),
        BENCH_TEST(a_device_may_take_too_much),
        BENCH_TEST(windows_shrink_with_what_is_left),
        BENCH_TEST(descriptors_count_as_well),
        cmocka_unit_test(only_what_devices_ask_for_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
