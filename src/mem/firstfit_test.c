/* Tests of firstfit.c: what it is by name, first fit in the order of addresses, heads as it says, and each of
 * the errors that level 1 can tell apart. What every policy must do is in tests/mem/contract*. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "weir/err.h"
#include "weir/policy.h"

static _Alignas(16) uint8_t state[512], mem[4096];
static const struct weir_policy *const ff = &weir_firstfit_list;

static void begin(uint32_t align, uint32_t level)
{
    struct weir_policy_conf conf = {.align_bytes = align, .level = level};
    assert_in_range(ff->state_bytes(&conf), 1, sizeof state);
    assert_int_equal(ff->init(state, &conf), 0);
    assert_int_equal(ff->add(state, mem, sizeof mem), 0);
}

static uint8_t *take(size_t size)
{
    size_t got;
    return ff->alloc(state, size, 0, &got);
}

static void the_first_that_fits_by_address(void **unused)
{
    (void)unused;
    begin(8, 1);
    uint8_t *block[6];
    for (unsigned i = 0; i < 6; i++)
        block[i] = take(i < 2 ? 50 : 200);
    assert_int_equal(ff->release(state, block[4]),
                     200); /* later first: the list is by address all the same */
    assert_int_equal(ff->release(state, block[2]), 200);
    assert_int_equal(ff->release(state, block[0]), 56);
    assert_ptr_equal(take(100), block[2]); /* not the smallest that fits, nor the last released: the first */
    assert_ptr_equal(take(20), block[0]);
    assert_ptr_equal(take(190), block[4]);
    assert_int_equal(ff->check(state), 0);
}

static void neighbours_join_at_once(void **unused)
{
    (void)unused;
    begin(8, 1);
    struct weir_policy_stat s;
    uint8_t *block[3];
    for (unsigned i = 0; i < 3; i++)
        block[i] = take(56);
    assert_int_equal(ff->release(state, block[0]), 56);
    assert_int_equal(ff->release(state, block[2]), 56);
    ff->stat(state, &s);
    assert_int_equal(s.free_blocks, 2);
    assert_int_equal(ff->release(state, block[1]), 56);
    ff->stat(state, &s);
    assert_int_equal(s.free_blocks, 1);
    assert_int_equal(s.merges, 3);
    assert_int_equal(s.largest_free, sizeof mem - 16);
    assert_int_equal(s.overhead_bytes, 16);
}

/* 8 bytes of head at every alignment, and no more where sizes are such. */
static void bytes_that_a_block_takes(void **unused)
{
    (void)unused;
    static const struct {
        uint32_t align;
        size_t size, takes;
    } rows[] = {{4, 8, 16},  {4, 12, 20},   {4, 16, 24}, {4, 100, 108}, {8, 8, 16},   {8, 16, 24},
                {8, 24, 32}, {8, 100, 112}, {16, 8, 16}, {16, 16, 32},  {16, 24, 32}, {16, 100, 112}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin(rows[i].align, 1);
        uint8_t *a = take(rows[i].size), *b = take(rows[i].size);
        assert_int_equal((uintptr_t)a % rows[i].align, 0);
        assert_int_equal(b - a, rows[i].takes);
    }
}

static void each_error_is_told_apart(void **unused)
{
    (void)unused;
    begin(8, 1);
    uint8_t *a = take(64), *b = take(64), *c = take(64), saved[8];
    assert_int_equal(ff->release(state, state), WEIR_EFOREIGN);
    assert_int_equal(ff->release(state, (void *)4), WEIR_EFOREIGN);
    assert_int_equal(ff->release(state, mem + sizeof mem), WEIR_EFOREIGN);
    assert_int_equal(ff->release(state, b + 16), WEIR_EINTERIOR);
    assert_int_equal(ff->release(state, b + 3), WEIR_EINTERIOR);
    assert_int_equal(ff->release(state, a), 64);
    assert_int_equal(ff->release(state, a), WEIR_EFREE);
    assert_int_equal(ff->release(state, a + 16), WEIR_EFREE);
    memcpy(saved, b - 8, 8);
    memset(b - 8, 0, 4); /* only the word that says how long the one in front is */
    assert_int_equal(ff->release(state, b), WEIR_ECORRUPT);
    assert_int_equal(ff->usable(state, b), WEIR_ECORRUPT);
    memcpy(b - 8, saved, 8);
    memset(b - 4, 0x7f, 4); /* only its own length */
    assert_int_equal(ff->release(state, b), WEIR_ECORRUPT);
    memcpy(b - 8, saved, 8);
    memset(c - 8, 1, 4); /* an overrun of b */
    assert_int_equal(ff->release(state, b), WEIR_ECORRUPT);
    assert_int_equal(ff->check(state), 2);
}

static void configurations_that_it_cannot_serve(void **unused)
{
    (void)unused;
    struct weir_policy_conf conf = {.level = 3};
    assert_int_equal(ff->state_bytes(&conf), 0);
    assert_int_equal(ff->init(state, &conf), WEIR_EINVAL);
    conf = (struct weir_policy_conf){.areas = 5000};
    assert_int_equal(ff->state_bytes(&conf), 0);
    conf = (struct weir_policy_conf){.area_bytes = 2048};
    assert_int_equal(ff->init(state, &conf), 0);
    assert_int_equal(ff->add(state, mem, 2049), WEIR_EINVAL);
    assert_int_equal(ff->add(state, NULL, 2048), WEIR_EINVAL);
    assert_int_equal(ff->add(state, mem, 2048), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_that_fits_by_address),
        cmocka_unit_test(neighbours_join_at_once),
        cmocka_unit_test(bytes_that_a_block_takes),
        cmocka_unit_test(each_error_is_told_apart),
        cmocka_unit_test(configurations_that_it_cannot_serve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
