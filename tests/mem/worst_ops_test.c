/* worst_ops_test.c: sequences of operations are read, written and run as they say; the counter counts. */
#include "worst_ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "bench_step.h"
#include "worst_toy.h"

static struct worst_seq q;
static struct worst_live live;

static void text_to_ops_and_back(void **state)
{
    static const char text[] = "a100 n64 f7 a65536";
    char again[64];
    (void)state;
    assert_true(worst_read(&q, text));
    assert_int_equal(q.n, 4);
    assert_int_equal(q.op[1].kind, 'n');
    assert_int_equal(q.op[3].arg, 65536);
    worst_write(&q, again, sizeof again);
    assert_string_equal(again, text);
    assert_true(worst_read(&q, " \n"));
    assert_int_equal(q.n, 0);
}

static void what_is_no_op_is_refused(void **state)
{
    static const char *const bad[] = {"b1", "a", "a-1", "a65537", "a1 x", "f99999999999999999999"};
    static char many[3 * WORST_OPS_MAX + 4];
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(worst_read(&q, bad[i]));
    for (unsigned i = 0; i <= WORST_OPS_MAX; i++)
        memcpy(many + 3 * i, " a1", 3);
    assert_false(worst_read(&q, many));
    many[3 * WORST_OPS_MAX] = '\0';
    assert_true(worst_read(&q, many));
}

static void a_release_counts_round_and_the_last_takes_its_place(void **state)
{
    (void)state;
    live.n = 0;
    assert_true(worst_open(&worst_toy));
    assert_int_equal(worst_do(&worst_toy, &live, (struct worst_op){'f', 3}), WORST_NOTHING);
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(worst_do(&worst_toy, &live, (struct worst_op){'a', i}), WORST_GET);
    assert_int_equal(worst_do(&worst_toy, &live, (struct worst_op){'f', 4}),
                     WORST_PUT); /* the second of three */
    assert_int_equal(live.n, 2);
    assert_int_equal(live.size[0], 1);
    assert_int_equal(live.size[1], 3);
}

static void *get_nothing(size_t size)
{
    (void)size;
    return NULL;
}

/* Not optimised away, and not the same for every size. */
static void *get_after_turns(size_t size)
{
    for (size_t i = 0; i < size; i++)
        __asm__ volatile("nop");
    return NULL;
}

static void steps_are_exact(void **state)
{
    const char *why = NULL;
    void *got = &got;
    (void)state;
    if (!bench_step_open(&why)) {
        print_message("skipped: %s\n", why);
        skip();
    }
    uint64_t least = bench_step_get(get_nothing, 1, &got);
    assert_null(got);
    assert_true(least >= 1 && least < 20);
    uint64_t ten = bench_step_get(get_after_turns, 10, &got),
             twenty = bench_step_get(get_after_turns, 20, &got);
    uint64_t thirty = bench_step_get(get_after_turns, 30, &got);
    assert_true(twenty - ten >= 20); /* at least the nop and a jump */
    assert_int_equal(twenty - ten, thirty - twenty);
    assert_int_equal(bench_step_get(get_after_turns, 10, &got), ten);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_to_ops_and_back),
        cmocka_unit_test(what_is_no_op_is_refused),
        cmocka_unit_test(a_release_counts_round_and_the_last_takes_its_place),
        cmocka_unit_test(steps_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
