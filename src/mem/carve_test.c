/* Tests of carve.c: counting and placing agree, whatever the areas; nothing overlaps; nothing wraps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bits.h"
#include "mem/carve.h"
#include "mem/zfixture.h"

#define ROWS 12

struct row {
    uint64_t count;
    uint32_t each, align;
    enum weir_area_kind kind;
};

static void random_rows(uint64_t *seed, struct row row[ROWS])
{
    for (unsigned i = 0; i < ROWS; i++)
        row[i] = (struct row){.count = zfixture_random(seed, 40),
                              .each = zfixture_random(seed, 300),
                              .align = 1u << zfixture_random(seed, 9),
                              .kind = (enum weir_area_kind)zfixture_random(seed, WEIR_AREA_KINDS)};
}

static bool run(const struct row row[ROWS], struct weir_plan *plan, const struct weir_area *area, unsigned n,
                uint8_t *place[ROWS])
{
    struct weir_carve c;
    weir_carve_init(&c, plan, area, n);
    for (unsigned i = 0; i < ROWS; i++)
        place[i] = weir_carve(&c, "row", "a row", row[i].count, row[i].each, row[i].align, row[i].kind);
    return !c.failed;
}

static void check_places(const struct row row[ROWS], uint8_t *const place[ROWS], const struct weir_area *area,
                         unsigned n)
{
    for (unsigned i = 0; i < ROWS; i++) {
        uint64_t bytes = row[i].count * row[i].each;
        unsigned in = 0;
        assert_non_null(place[i]);
        assert_int_equal((uintptr_t)place[i] % row[i].align, 0);
        for (unsigned a = 0; a < n; a++)
            in += place[i] >= (uint8_t *)area[a].base &&
                  place[i] + bytes <= (uint8_t *)area[a].base + area[a].bytes;
        assert_true(in >= 1);
        for (unsigned j = 0; j < i; j++)
            assert_true(place[j] + row[j].count * row[j].each <= place[i] || place[i] + bytes <= place[j]);
    }
}

static void check_sums(const struct row row[ROWS], const struct weir_plan *plan)
{
    uint64_t sum = 0;
    uint32_t align = 1;
    assert_int_equal(plan->rows, ROWS);
    for (unsigned i = 0; i < plan->rows; i++) {
        assert_int_equal(plan->row[i].count, row[i].count);
        assert_true(plan->row[i].bytes >= row[i].count * row[i].each);
        assert_true(plan->row[i].bytes < row[i].count * row[i].each + row[i].align);
        sum += plan->row[i].bytes;
        align = weir_max_u32(align, row[i].align);
    }
    assert_int_equal(sum, plan->total_bytes);
    assert_int_equal(plan->align_bytes, align);
}

/* Areas of exactly the planned bytes, then one byte too few in one of them. */
static void try_areas(const struct row row[ROWS], const struct weir_plan *count, struct weir_area *area,
                      unsigned n, bool exact)
{
    struct weir_plan plan;
    uint8_t *place[ROWS];
    for (unsigned a = 0; a < n; a++) {
        area[a].base = aligned_alloc(256, area[a].bytes / 256 * 256 + 256);
        assert_non_null(area[a].base);
    }
    assert_true(run(row, &plan, area, n, place));
    check_sums(row, &plan);
    assert_int_equal(plan.total_bytes, count->total_bytes);
    assert_memory_equal(plan.kind_bytes, count->kind_bytes, sizeof plan.kind_bytes);
    check_places(row, place, area, n);
    for (unsigned a = 0; exact && a < n; a++) {
        if (area[a].bytes == 0) continue;
        area[a].bytes--;
        assert_false(run(row, &plan, area, n, place));
        area[a].bytes++;
    }
    for (unsigned a = 0; a < n; a++)
        free(area[a].base);
}

static void count_and_place_agree(void **state)
{
    (void)state;
    uint64_t seed = zfixture_seed();
    for (unsigned round = 0; round < 300; round++) {
        struct row row[ROWS];
        struct weir_plan count;
        uint8_t *place[ROWS];
        random_rows(&seed, row);
        assert_true(run(row, &count, NULL, 0, place));
        for (unsigned i = 0; i < ROWS; i++)
            assert_null(place[i]);
        check_sums(row, &count);

        struct weir_area one = {.bytes = (size_t)count.total_bytes, .kind = WEIR_AREA_DMA};
        try_areas(row, &count, &one, 1, true);

        struct weir_area all[WEIR_AREA_KINDS];
        for (unsigned k = 0; k < WEIR_AREA_KINDS; k++)
            all[k] = (struct weir_area){.bytes = (size_t)count.kind_bytes[k], .kind = (enum weir_area_kind)k};
        try_areas(row, &count, all, WEIR_AREA_KINDS, true);

        /* Only some kinds have an area: the first, of total_bytes, always holds the rest. */
        struct weir_area some[2] = {
            {.bytes = (size_t)count.total_bytes, .kind = WEIR_AREA_SLOW},
            {.bytes = (size_t)count.kind_bytes[WEIR_AREA_DMA], .kind = WEIR_AREA_DMA}};
        try_areas(row, &count, some, 2, false);
    }
}

static void rows_go_where_their_kind_says(void **state)
{
    (void)state;
    static _Alignas(64) uint8_t first[256], dma[256];
    struct weir_area area[2] = {{first, sizeof first, WEIR_AREA_FAST}, {dma, sizeof dma, WEIR_AREA_DMA}};
    struct weir_plan plan;
    struct weir_carve c;
    weir_carve_init(&c, &plan, area, 2);
    assert_ptr_equal(weir_carve(&c, "a", "", 1, 10, 1, WEIR_AREA_DMA), dma);
    assert_ptr_equal(weir_carve(&c, "b", "", 1, 10, 1, WEIR_AREA_SLOW), first);
    assert_ptr_equal(weir_carve(&c, "c", "", 1, 10, 1, WEIR_AREA_ANY), first + 10);
    assert_ptr_equal(weir_carve(&c, "d", "", 1, 10, 32, WEIR_AREA_FAST), first + 32);
    assert_ptr_equal(weir_carve(&c, "e", "", 2, 10, 1, WEIR_AREA_DMA), dma + 10);
    assert_false(c.failed);
}

static void a_misaligned_area_fails(void **state)
{
    (void)state;
    static _Alignas(64) uint8_t mem[256];
    struct weir_area area = {mem + 8, 128, WEIR_AREA_ANY};
    struct weir_plan plan;
    struct weir_carve c;
    weir_carve_init(&c, &plan, &area, 1);
    assert_non_null(weir_carve(&c, "a", "", 1, 8, 8, WEIR_AREA_ANY));
    assert_null(weir_carve(&c, "b", "", 1, 8, 16, WEIR_AREA_ANY));
    assert_true(c.failed);
    assert_null(weir_carve(&c, "c", "", 1, 1, 1, WEIR_AREA_ANY));
}

static void expect_too_large(uint64_t before, uint64_t count, uint32_t each)
{
    struct weir_plan plan;
    struct weir_carve c;
    weir_carve_init(&c, &plan, NULL, 0);
    weir_carve(&c, "small", "", before, 1, 1, WEIR_AREA_ANY);
    assert_false(c.failed);
    assert_null(weir_carve(&c, "huge", "", count, each, 64, WEIR_AREA_SLOW));
    assert_true(c.failed);
    assert_string_equal(plan.option, "huge");
    assert_non_null(strstr(plan.why, "huge"));
    assert_non_null(strstr(plan.why, "would do"));
    assert_int_equal(plan.rows, 1);
    assert_int_equal(plan.total_bytes, before);
    assert_null(weir_carve(&c, "later", "", 1, 1, 1, WEIR_AREA_ANY));
    assert_int_equal(plan.rows, 1);
}

static void sizes_that_overflow_fail(void **state)
{
    (void)state;
    uint64_t limit = PTRDIFF_MAX;
    expect_too_large(1, limit / 8 + 1, 8); /* the product */
    expect_too_large(1, UINT64_MAX, 4);    /* the product wraps to a small number */
    expect_too_large(1, UINT64_MAX / 2 + 2, 2);
    expect_too_large(100, limit - 100, 1); /* the sum, by the gap alone */
    expect_too_large(limit, 1, 1);
    expect_too_large(limit, 0, 1); /* only the gap does not fit */
}

static void more_rows_than_the_plan_has_fail(void **state)
{
    (void)state;
    struct weir_plan plan;
    struct weir_carve c;
    weir_carve_init(&c, &plan, NULL, 0);
    for (unsigned i = 0; i < WEIR_PLAN_ROWS_MAX; i++)
        weir_carve(&c, "row", "", 1, 1, 1, WEIR_AREA_ANY);
    assert_false(c.failed);
    weir_carve(&c, "row", "", 1, 1, 1, WEIR_AREA_ANY);
    assert_true(c.failed);
    assert_int_equal(plan.rows, WEIR_PLAN_ROWS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(count_and_place_agree),
        cmocka_unit_test(rows_go_where_their_kind_says),
        cmocka_unit_test(a_misaligned_area_fails),
        cmocka_unit_test(sizes_that_overflow_fail),
        cmocka_unit_test(more_rows_than_the_plan_has_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
