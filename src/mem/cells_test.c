/* Tests of cells.c against a table of what is in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bits.h"
#include "mem/cells.h"
#include "mem/zfixture.h"

#define CELLS 37
#define BYTES 12

/* used + length(free list) + (count - fresh) = count; nothing in use is on the list. */
static void check(const struct weir_cells *c, const bool in_use[CELLS + 1])
{
    uint32_t on_list = 0, link = c->free;
    for (; link != 0; on_list++) {
        assert_true(on_list < c->count && link <= c->fresh);
        assert_false(in_use[link]);
        memcpy(&link, weir_cells_at(c, link), sizeof link);
    }
    assert_int_equal(c->used + on_list + (c->count - c->fresh), c->count);
    assert_int_equal(weir_cells_left(c), c->count - c->used);
    assert_true(c->peak >= c->used && c->peak <= c->count);
}

static void random_use_matches_the_model(void **state)
{
    (void)state;
    uint64_t seed = zfixture_seed();
    static _Alignas(4) uint8_t mem[CELLS * BYTES];
    bool in_use[CELLS + 1] = {false};
    uint32_t used = 0, peak = 0;
    struct weir_cells c;
    weir_cells_init(&c, mem, CELLS, BYTES);
    for (unsigned step = 0; step < 20000; step++) {
        /* Phases that fill and phases that drain, so that both ends are met. */
        if (zfixture_random(&seed, 100) < ((step / 200) % 2 ? 35 : 65)) {
            uint32_t n = weir_cells_get(&c);
            assert_int_equal(n == 0, used == CELLS);
            if (n == 0) continue;
            assert_true(n <= CELLS && !in_use[n]);
            in_use[n] = true;
            used++;
            peak = weir_max_u32(peak, used);
            memset(weir_cells_at(&c, n), (int)n, BYTES);
        } else {
            uint32_t n = 1 + zfixture_random(&seed, CELLS);
            if (!in_use[n]) continue;
            for (unsigned i = 0; i < BYTES; i++)
                assert_int_equal(((uint8_t *)weir_cells_at(&c, n))[i], n);
            weir_cells_put(&c, n);
            in_use[n] = false;
            used--;
        }
        assert_int_equal(c.used, used);
        assert_int_equal(c.peak, peak);
        check(&c, in_use);
    }
    assert_int_equal(peak, CELLS);
}

static void memory_is_touched_as_late_as_possible(void **state)
{
    (void)state;
    static _Alignas(4) uint8_t mem[4 * BYTES];
    struct weir_cells c;
    memset(mem, 0x5a, sizeof mem);
    weir_cells_init(&c, mem, 4, BYTES);
    assert_int_equal(weir_cells_get(&c), 1);
    assert_int_equal(weir_cells_get(&c), 2);
    weir_cells_put(&c, 1);
    assert_int_equal(weir_cells_get(&c), 1); /* a used one before a fresh one */
    for (unsigned i = BYTES; i < sizeof mem; i++)
        assert_int_equal(mem[i], 0x5a);
}

static void cells_of_the_smallest_size_and_none_at_all(void **state)
{
    (void)state;
    uint32_t mem[2];
    struct weir_cells c;
    weir_cells_init(&c, mem, 2, 4);
    assert_ptr_equal(weir_cells_at(&c, weir_cells_get(&c)), &mem[0]);
    assert_ptr_equal(weir_cells_at(&c, weir_cells_get(&c)), &mem[1]);
    assert_int_equal(weir_cells_get(&c), 0);
    weir_cells_init(&c, NULL, 0, 4);
    assert_int_equal(weir_cells_get(&c), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_matches_the_model),
        cmocka_unit_test(memory_is_touched_as_late_as_possible),
        cmocka_unit_test(cells_of_the_smallest_size_and_none_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
