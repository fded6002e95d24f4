/* wheel_test.c: the wheel against a plain list of deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "base/test_seed.h"
#include "base/wheel.h"

#define OWNERS   200
#define STEPS    40000
#define SLOT_DUE (WEIR_WHEEL_LEVELS * WEIR_WHEEL_SLOTS + 1)

/* The wheel, and beside it what it should hold. */
struct bench {
    struct weir_wheel wheel;
    struct weir_wheel_node node[OWNERS];
    uint32_t told_ms;
    bool set[OWNERS];
    uint32_t when_ms[OWNERS];
};

static void bench_init(struct bench *b, uint32_t now_ms)
{
    memset(b, 0, sizeof *b);
    memset(b->node, 0xa5, sizeof b->node);
    weir_wheel_init(&b->wheel, b->node, OWNERS, now_ms);
    b->told_ms = now_ms;
}

static void bench_set(struct bench *b, uint32_t owner, uint32_t when_ms)
{
    weir_wheel_set(&b->wheel, owner, when_ms);
    b->set[owner] = true;
    b->when_ms[owner] = when_ms;
}

/* The nodes of one list lie where their slot number says; returns how many. */
static uint32_t check_list(const struct weir_wheel *w, uint32_t head, uint32_t slot)
{
    uint32_t n = 0, prev = 0;
    for (uint32_t at = head; at != 0; at = w->node[at - 1].next) {
        const struct weir_wheel_node *node = &w->node[at - 1];
        assert_int_equal(node->slot, slot);
        assert_int_equal(node->prev, prev);
        assert_true(++n <= OWNERS);
        prev = at;
    }
    return n;
}

/* The first ms of a slot is not after any of its entries, nor before the wheel's time. */
static void check_slot_time(const struct weir_wheel *w, uint32_t level, uint32_t slot)
{
    uint32_t unit = 6 * level, cur = w->now_ms >> unit & 63;
    uint32_t start = ((w->now_ms >> unit) + ((slot - cur) & 63)) << unit;
    for (uint32_t at = w->head[level][slot]; at != 0; at = w->node[at - 1].next) {
        assert_true(weir_seq_leq(w->now_ms, start));
        assert_true(weir_seq_leq(start, w->node[at - 1].when_ms));
        if (level == 0) assert_int_equal(start, w->node[at - 1].when_ms);
    }
}

static void check(const struct bench *b)
{
    const struct weir_wheel *w = &b->wheel;
    uint32_t n = check_list(w, w->due, SLOT_DUE), want = 0;
    for (uint32_t l = 0; l < WEIR_WHEEL_LEVELS; l++) {
        for (uint32_t s = 0; s < WEIR_WHEEL_SLOTS; s++) {
            assert_int_equal(w->busy[l] >> s & 1, w->head[l][s] != 0);
            if (w->head[l][s] == 0) continue;
            n += check_list(w, w->head[l][s], l * WEIR_WHEEL_SLOTS + s + 1);
            check_slot_time(w, l, s);
        }
    }
    for (uint32_t i = 0; i < OWNERS; i++) {
        assert_int_equal(weir_wheel_pending(w, i), b->set[i]);
        if (b->set[i]) assert_int_equal(w->node[i].when_ms, b->when_ms[i]);
        want += b->set[i];
    }
    assert_int_equal(n, want);
    assert_int_equal(w->pending, want);
}

/* The earliest deadline by the plain list. */
static bool earliest(const struct bench *b, uint32_t *when_ms)
{
    bool any = false;
    for (uint32_t i = 0; i < OWNERS; i++) {
        if (!b->set[i]) continue;
        if (!any || weir_seq_lt(b->when_ms[i], *when_ms)) *when_ms = b->when_ms[i];
        any = true;
    }
    return any;
}

static void check_next(struct bench *b)
{
    uint32_t want = 0, got = 0;
    assert_int_equal(weir_wheel_next(&b->wheel, &got), earliest(b, &want));
    if (b->wheel.pending == 0) return;
    if (weir_seq_leq(want, b->told_ms))
        assert_true(weir_seq_leq(got, b->told_ms));
    else
        assert_true(weir_seq_leq(got, want));
}

/* Takes one pop and checks what it yields. */
static bool pop_one(struct bench *b, uint32_t now_ms)
{
    uint32_t owner;
    bool quiet = weir_wheel_quiet(&b->wheel, now_ms);
    b->told_ms = now_ms;
    if (!weir_wheel_pop(&b->wheel, now_ms, &owner)) return false;
    assert_false(quiet);
    assert_in_range(owner, 0, OWNERS - 1);
    assert_true(b->set[owner]);
    assert_true(weir_seq_leq(b->when_ms[owner], now_ms));
    assert_false(weir_wheel_pending(&b->wheel, owner));
    b->set[owner] = false;
    return true;
}

/* Pops until the wheel says that the next time is to come. Then nothing may be left that was due. */
static void drain(struct bench *b, uint32_t now_ms)
{
    uint32_t next, pops = 0;
    do {
        while (pop_one(b, now_ms))
            check_next(b);
        assert_true(++pops < 10 * OWNERS);
    } while (weir_wheel_next(&b->wheel, &next) && weir_seq_leq(next, now_ms));
    for (uint32_t i = 0; i < OWNERS; i++)
        assert_false(b->set[i] && weir_seq_leq(b->when_ms[i], now_ms));
}

/* A distance near one of the wheel's borders, or anywhere up to 2^30. */
static uint32_t distance(struct weir_sim *sim)
{
    uint32_t bits = test_below(sim, 31);
    switch (test_below(sim, 4)) {
    case 0:
        return test_u32(sim) & ((1u << bits) - 1);
    case 1:
        return (1u << bits) - test_below(sim, bits < 2 ? 1 : 2);
    case 2:
        return test_below(sim, 300);
    default:
        return (1u << 6 * test_below(sim, 5)) + test_below(sim, 3) - 1;
    }
}

static uint32_t clock_step(struct weir_sim *sim, struct bench *b)
{
    uint32_t next;
    switch (test_below(sim, 8)) {
    case 0:
        return b->told_ms;
    case 1:
        return b->told_ms + weir_min_u32(distance(sim), 1u << 30);
    case 2:
        return b->told_ms + (1u << 6 * (1 + test_below(sim, 4)));
    case 3:
    case 4:
        if (weir_wheel_next(&b->wheel, &next) && weir_seq_lt(b->told_ms, next)) return next;
        return b->told_ms + 1;
    default:
        return b->told_ms + test_below(sim, 40);
    }
}

static void step(struct weir_sim *sim, struct bench *b)
{
    uint32_t owner = test_below(sim, OWNERS);
    switch (test_below(sim, 8)) {
    case 0:
    case 1:
    case 2:
        bench_set(b, owner, b->told_ms + weir_min_u32(distance(sim), 1u << 30));
        break;
    case 3:
        bench_set(b, owner, b->told_ms - test_below(sim, 1000));
        break;
    case 4:
        weir_wheel_cancel(&b->wheel, owner);
        b->set[owner] = false;
        break;
    case 5:
        pop_one(b, clock_step(sim, b));
        break;
    default:
        drain(b, clock_step(sim, b));
        break;
    }
    check(b);
    check_next(b);
}

static void random_operations_match_a_list(void **state)
{
    static const uint32_t starts[] = {0, 0xffffff00, 0x7ffffff0, 0x00ffffc0};
    struct weir_sim sim = test_seed(__func__);
    static struct bench b;
    (void)state;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        bench_init(&b, starts[i]);
        for (int n = 0; n < STEPS / 4; n++)
            step(&sim, &b);
    }
}

/* Each entry alone, woken only when next says so: fires exactly in time, after few wakes. */
static void following_next_is_punctual(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    static struct bench b;
    (void)state;
    for (int i = 0; i < 5000; i++) {
        bench_init(&b, test_u32(&sim));
        uint32_t ahead = weir_min_u32(distance(&sim), 1u << 30), when = b.told_ms + ahead, next, wakes = 0;
        uint32_t laps = ahead >> 23; /* an entry far away is filed again after 63/64 of a lap */
        bench_set(&b, 7, when);
        while (b.set[7]) {
            assert_true(weir_wheel_next(&b.wheel, &next));
            assert_true(weir_seq_leq(next, when));
            assert_true(weir_seq_leq(b.told_ms, next));
            drain(&b, next);
            check(&b);
            assert_true(++wakes <= laps + WEIR_WHEEL_LEVELS);
        }
        assert_int_equal(b.told_ms, when);
    }
}

/* A slot of the second level is filed again in bounded portions, and the clock does not run on meanwhile. */
static void filing_again_is_bounded(void **state)
{
    static struct bench b;
    uint32_t owner, next;
    (void)state;
    bench_init(&b, 0);
    for (uint32_t i = 0; i < OWNERS; i++)
        bench_set(&b, i, 100);
    assert_true(weir_wheel_next(&b.wheel, &next));
    assert_int_equal(next, 64);
    assert_false(weir_wheel_pop(&b.wheel, 99, &owner));
    assert_int_equal(check_list(&b.wheel, b.wheel.head[1][1], 64 + 2), OWNERS - WEIR_WHEEL_REFILE);
    assert_true(weir_wheel_next(&b.wheel, &next));
    assert_true(weir_seq_leq(next, 99));
    assert_false(weir_wheel_pop(&b.wheel, 99, &owner));
    assert_true(weir_wheel_next(&b.wheel, &next));
    assert_int_equal(next, 100);
    drain(&b, 100);
    assert_int_equal(b.wheel.pending, 0);
}

static void empty_wheel_follows_any_clock(void **state)
{
    static struct bench b;
    uint32_t owner, next;
    (void)state;
    bench_init(&b, 10);
    assert_false(weir_wheel_next(&b.wheel, &next));
    assert_false(weir_wheel_pop(&b.wheel, 10 + 0xc0000000u, &owner));
    b.told_ms = 10 + 0xc0000000u;
    bench_set(&b, 3, b.told_ms + 5);
    drain(&b, b.told_ms + 4);
    assert_true(b.set[3]);
    drain(&b, b.told_ms + 1);
    assert_false(b.set[3]);
    weir_wheel_cancel(&b.wheel, 3);
    check(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_match_a_list),
        cmocka_unit_test(following_next_is_punctual),
        cmocka_unit_test(filing_again_is_bounded),
        cmocka_unit_test(empty_wheel_follows_any_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
