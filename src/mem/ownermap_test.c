/* Tests of ownermap.c: millions of addresses against a naive list, what the check finds, and no step lost in
 * a search. The same model runs as a 32-bit program: ownermap_m32.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mem/ownermap_model.h"

static void against_a_naive_list(void **state)
{
    (void)state;
    model_all("ownermap_test", 120);
}

static void a_broken_map_is_found(void **state)
{
    (void)state;
    static _Alignas(4096) uint8_t ram[65536];
    struct weir_area area = {ram, sizeof ram, WEIR_AREA_ANY};
    struct weir_mem_conf conf = {.granule_bytes = 1024, .slabs = 16};
    struct weir_mem m;
    assert_int_equal(weir_mem_open(&m, &area, 1, &conf), 0);
    uint8_t *p = weir_mem_take(&m, 3000, 0, NULL, NULL, "a");
    assert_non_null(p);
    assert_int_equal(weir_ownermap_check(&m), 0);
    uint8_t *map = m.map;
    size_t at = ((uintptr_t)p - m.area[0].origin) >> m.shift;
    map[at + 1] = 0; /* a hole in a range */
    assert_int_equal(weir_ownermap_check(&m), 5);
    map[at + 1] = 1;
    map[at + 3] = 1; /* a granule too many */
    assert_int_equal(weir_ownermap_check(&m), 3);
    map[at + 3] = 9; /* nobody's number */
    assert_int_equal(weir_ownermap_check(&m), 3);
    map[at + 3] = 0;
    m.ranges++;
    assert_int_equal(weir_ownermap_check(&m), 4);
    m.ranges--;
    m.free_bytes -= 1024;
    assert_int_equal(weir_ownermap_check(&m), 5);
    m.free_bytes += 1024;
    m.area[0].hint += 4;
    assert_int_equal(weir_ownermap_check(&m), 5);
    m.area[0].hint -= 4;
    m.area[0].first++;
    assert_int_equal(weir_ownermap_check(&m), 2);
    m.area[0].first--;
    m.area[0].managed += 65536;
    assert_int_equal(weir_ownermap_check(&m), 1);
}

static void what_is_given_back_is_found_again(void **state)
{
    (void)state;
    static _Alignas(4096) uint8_t ram[65536];
    struct weir_area area = {ram, sizeof ram, WEIR_AREA_ANY};
    struct weir_mem_conf conf = {.granule_bytes = 512, .slabs = 255};
    struct weir_mem m;
    void *p[128] = {NULL};
    unsigned n = 0;
    assert_int_equal(weir_mem_open(&m, &area, 1, &conf), 0);
    while (n < 128 && (p[n] = weir_mem_take(&m, 512, 0, NULL, NULL, "a")) != NULL)
        n++;
    assert_int_equal(weir_mem_why(&m), WEIR_WHY_FULL);
    assert_true(n > 90);
    assert_int_equal(weir_mem_give(&m, p[10]), 0);
    assert_int_equal(weir_mem_give(&m, p[12]), 0);
    assert_null(weir_mem_take(&m, 1024, 0, NULL, NULL, "b"));
    assert_int_equal(weir_mem_why(&m), WEIR_WHY_SCATTERED);
    assert_int_equal(weir_mem_give(&m, p[11]), 0);
    assert_ptr_equal(weir_mem_take(&m, 1536, 0, NULL, NULL, "b"), p[10]);
    assert_int_equal(weir_ownermap_check(&m), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_a_naive_list),
        cmocka_unit_test(a_broken_map_is_found),
        cmocka_unit_test(what_is_given_back_is_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
