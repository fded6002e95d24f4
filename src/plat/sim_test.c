/* sim_test.c: virtual time and seeded randomness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "weir/plat.h"

static void waiting_moves_the_clock(void **state)
{
    struct weir_sim s;
    (void)state;
    weir_sim_init(&s, 1);
    const struct weir_plat *p = &s.plat;
    assert_true(p->now_us(p->ctx) == 0);
    p->wait(p->ctx, 1500);
    assert_true(p->now_us(p->ctx) == 1500);
    p->wait(p->ctx, 0);
    p->wait(p->ctx, -1);
    assert_true(p->now_us(p->ctx) == 1500);
    s.now_us = 9000000;
    assert_true(p->now_us(p->ctx) == 9000000);
}

static void a_wake_ends_one_wait(void **state)
{
    struct weir_sim s;
    (void)state;
    weir_sim_init(&s, 1);
    const struct weir_plat *p = &s.plat;
    p->wake(p->ctx);
    p->wake(p->ctx);
    p->wait(p->ctx, 100);
    assert_true(s.now_us == 0);
    p->wait(p->ctx, 100);
    assert_true(s.now_us == 100);
    assert_int_equal(s.wakes, 2);
}

/* SplitMix64 from state 0, as published with it. */
static void known_sequence(void **state)
{
    struct weir_sim s;
    (void)state;
    weir_sim_init(&s, 0);
    assert_true(weir_sim_random(&s) == 0xe220a8397b1dcdafu);
    assert_true(weir_sim_random(&s) == 0x6e789e6aa1b965f4u);
    assert_true(weir_sim_random(&s) == 0x06c45d188009454fu);
}

static void entropy_is_the_generator_in_little_endian(void **state)
{
    static const uint8_t want[] = {0xaf, 0xcd, 0x1d, 0x7b, 0x39, 0xa8, 0x20, 0xe2, 0xf4, 0x65, 0xb9, 0};
    uint8_t got[12] = {0};
    struct weir_sim s;
    (void)state;
    weir_sim_init(&s, 0);
    assert_int_equal(s.plat.entropy(s.plat.ctx, got, 11), 0);
    assert_memory_equal(got, want, sizeof want);
}

static void all_members_are_set(void **state)
{
    struct weir_sim s;
    (void)state;
    weir_sim_init(&s, 1);
    assert_int_equal(s.plat.watch(s.plat.ctx, 3, 1), 0);
    assert_int_equal(s.plat.watch(s.plat.ctx, 3, 0), 0);
    s.plat.log(s.plat.ctx, "nobody reads this");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_moves_the_clock),
        cmocka_unit_test(a_wake_ends_one_wait),
        cmocka_unit_test(known_sequence),
        cmocka_unit_test(entropy_is_the_generator_in_little_endian),
        cmocka_unit_test(all_members_are_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
