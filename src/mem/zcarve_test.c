/* Tests of zcarve.c: what is refused and with which words, and that the region is as the picture in zpool.h
 * says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mem/zfixture.h"

static struct weir_config good(enum weir_zlayout layout)
{
    return zfixture_config(layout, (const uint32_t[]){16, 8, 4, 2});
}

/* The number before "would do". */
static uint64_t suggested(const char *why)
{
    const char *at = strrchr(why, ':');
    uint64_t v = 0;
    assert_non_null(at);
    for (; *at; at++)
        if (*at >= '0' && *at <= '9') v = 10 * v + (uint64_t)(*at - '0');
    return v;
}

static bool plan_it(const struct weir_config *conf, struct weir_plan *plan)
{
    static struct weir_zpool z;
    struct weir_carve c;
    weir_carve_init(&c, plan, NULL, 0);
    return weir_zpool_carve(&z, &c, conf);
}

static void expect_refused(const struct weir_config *conf, const char *name)
{
    struct weir_plan plan;
    assert_false(plan_it(conf, &plan));
    assert_string_equal(plan.option, name);
    assert_ptr_equal(strstr(plan.why, name), plan.why);
    assert_non_null(strstr(plan.why, "would do"));
    assert_int_equal(plan.rows, 0);
}

/* The option is refused, and the value told in the refusal is accepted. */
static void expect_cured(struct weir_config *conf, const char *name, uint32_t *option)
{
    struct weir_plan plan;
    expect_refused(conf, name);
    assert_false(plan_it(conf, &plan));
    *option = (uint32_t)suggested(plan.why);
    if (!plan_it(conf, &plan)) fail_msg("still refused: %s", plan.why);
}

static void both(void (*test)(enum weir_zlayout))
{
    test(WEIR_ZLAYOUT_DENSE);
    test(WEIR_ZLAYOUT_INSIDE);
}

static void number_of_classes_of(enum weir_zlayout layout)
{
    struct weir_config conf = good(layout);
    conf.zclasses = 0;
    expect_cured(&conf, "zclasses", &conf.zclasses);
    conf = good(layout);
    conf.zclasses = WEIR_ZCLASSES_MAX + 1;
    expect_refused(&conf, "zclasses");
    conf.zclasses = WEIR_ZCLASSES_MAX;
    for (unsigned i = 0; i < WEIR_ZCLASSES_MAX; i++)
        conf.zclass[i] = (struct weir_zclass){zfixture_bytes(layout, 1024u << i), 1};
    struct weir_plan plan;
    assert_true(plan_it(&conf, &plan));
    /* Nothing can follow the largest possible class. */
    conf = good(layout);
    conf.zclass[1].bytes = zfixture_bytes(layout, WEIR_ZCLASS_MAX);
    expect_cured(&conf, "zclasses", &conf.zclasses);
    assert_int_equal(conf.zclasses, 2);
}

static void number_of_classes(void **state)
{
    (void)state;
    both(number_of_classes_of);
}

static void layout_outside_its_enum(void **state)
{
    (void)state;
    struct weir_config conf = good(WEIR_ZLAYOUT_DENSE);
    conf.zlayout = (enum weir_zlayout)2;
    expect_refused(&conf, "zlayout");
}

static void try_bytes(enum weir_zlayout layout, unsigned i, uint32_t bytes, uint32_t want)
{
    static const char *const name[] = {"zclass[0].bytes", "zclass[1].bytes", "zclass[2].bytes",
                                       "zclass[3].bytes"};
    struct weir_config conf = good(layout);
    conf.zclass[i].bytes = bytes;
    expect_cured(&conf, name[i], &conf.zclass[i].bytes);
    assert_int_equal(conf.zclass[i].bytes, want);
}

static void sizes_dense(void **state)
{
    (void)state;
    try_bytes(WEIR_ZLAYOUT_DENSE, 0, 0, 128);
    try_bytes(WEIR_ZLAYOUT_DENSE, 0, 64, 128);
    try_bytes(WEIR_ZLAYOUT_DENSE, 0, 127, 128);
    try_bytes(WEIR_ZLAYOUT_DENSE, 0, 129, 256);
    try_bytes(WEIR_ZLAYOUT_DENSE, 2, 3000, 4096);
    try_bytes(WEIR_ZLAYOUT_DENSE, 2, 1024, 2048); /* not above its neighbour */
    try_bytes(WEIR_ZLAYOUT_DENSE, 3, 131073, 131072);
    try_bytes(WEIR_ZLAYOUT_DENSE, 3, 262144, 131072);
    try_bytes(WEIR_ZLAYOUT_DENSE, 3, UINT32_MAX, 131072);
    try_bytes(WEIR_ZLAYOUT_DENSE, 3, 16384 - 64, 16384);
}

static void sizes_inside(void **state)
{
    (void)state;
    try_bytes(WEIR_ZLAYOUT_INSIDE, 0, 0, 192);
    try_bytes(WEIR_ZLAYOUT_INSIDE, 0, 64, 192); /* 128 - 64: below the least */
    try_bytes(WEIR_ZLAYOUT_INSIDE, 0, 128, 192);
    try_bytes(WEIR_ZLAYOUT_INSIDE, 0, 256, 448);
    try_bytes(WEIR_ZLAYOUT_INSIDE, 2, 960, 1984);
    try_bytes(WEIR_ZLAYOUT_INSIDE, 3, 131072, 131008);
    try_bytes(WEIR_ZLAYOUT_INSIDE, 3, UINT32_MAX - 63, 131008); /* plus 64 would wrap to 0 */
    try_bytes(WEIR_ZLAYOUT_INSIDE, 3, 16384, 32704);
}

static void counts_of(enum weir_zlayout layout)
{
    struct weir_config conf = good(layout);
    struct weir_plan plan;
    conf.zclass[1].count = 0;
    expect_cured(&conf, "zclass[1].count", &conf.zclass[1].count);

    /* One class too many, the rest small: the largest count that does is told. */
    conf = good(layout);
    conf.zclass[3].count = UINT32_MAX;
    expect_cured(&conf, "zclass[3].count", &conf.zclass[3].count);
    conf.zclass[3].count++;
    assert_false(plan_it(&conf, &plan));

    /* All too many: following the advice ends within as many steps as there are classes. */
    for (unsigned i = 0; i < conf.zclasses; i++)
        conf.zclass[i].count = UINT32_MAX;
    for (unsigned step = 0; step < conf.zclasses && !plan_it(&conf, &plan); step++)
        for (unsigned i = 0; i < conf.zclasses; i++)
            if (plan.option[7] == (char)('0' + i)) conf.zclass[i].count = (uint32_t)suggested(plan.why);
    assert_true(plan_it(&conf, &plan));
}

static void counts(void **state)
{
    (void)state;
    both(counts_of);
}

static void classes_fill_whole_slabs_of(enum weir_zlayout layout)
{
    struct zfixture f;
    struct weir_config conf = zfixture_config(layout, (const uint32_t[]){65, 1, 5, 3});
    zfixture_open(&f, &conf);
    /* Strides 256, 1,024, 4,096, 16,384; slabs of 16,384. */
    assert_int_equal(f.z.cls[0].count, 128);
    assert_int_equal(f.z.cls[1].count, 16);
    assert_int_equal(f.z.cls[2].count, 8);
    assert_int_equal(f.z.cls[3].count, 3);
    assert_int_equal(f.z.total, 128 + 16 + 8 + 3);
    assert_int_equal(f.z.bytes, (2 + 1 + 2 + 3) * 16384);
    assert_int_equal((uintptr_t)f.z.base % 4096, 0);
    uint64_t data = 0;
    for (unsigned i = 0; i < f.plan.rows; i++)
        if (strcmp(f.plan.row[i].name, "zbuf_data") == 0) data += f.plan.row[i].bytes;
    assert_int_equal(data, f.z.bytes);
    assert_int_equal(f.plan.rows, layout == WEIR_ZLAYOUT_DENSE ? 6 : 5);
    assert_int_equal(f.plan.row[0].count, 3); /* the largest first, with the counts that came out */
    assert_int_equal(f.plan.row[0].each_bytes, 16384);
    assert_int_equal(f.plan.row[3].count, 128);
    assert_int_equal(weir_zpool_check(&f.z), 0);
    zfixture_close(&f);
}

static void classes_fill_whole_slabs(void **state)
{
    (void)state;
    both(classes_fill_whole_slabs_of);
}

/* Every segment once: aligned, apart from all others, on no cache line with a head. */
static void segments_tile_the_region_of(enum weir_zlayout layout)
{
    struct zfixture f;
    struct weir_config conf = good(layout);
    zfixture_open(&f, &conf);
    uint32_t inside = layout == WEIR_ZLAYOUT_INSIDE ? 64 : 0;
    const uint8_t *next = f.z.base;
    for (uint32_t n = 0; n < f.z.total; n++) {
        const struct weir_zhead *h = weir_zpool_by_number(&f.z, n);
        const uint8_t *first = weir_zpool_first(&f.z, h);
        uint32_t stride = weir_zpool_bytes(&f.z, h) + inside;
        assert_ptr_equal(first, next + inside);
        assert_int_equal((uintptr_t)next % (stride < 4096 ? stride : 4096), 0);
        if (inside) assert_ptr_equal(h, next);
        next += stride;
    }
    assert_ptr_equal(next, f.z.base + f.z.bytes);
    if (!inside) {
        assert_int_equal((uintptr_t)f.z.heads % 64, 0);
        assert_true(f.z.heads >= next);
    }
    zfixture_close(&f);
}

static void segments_tile_the_region(void **state)
{
    (void)state;
    both(segments_tile_the_region_of);
}

static void a_small_region_asks_for_less_alignment(void **state)
{
    (void)state;
    struct weir_config conf = {.zclass = {{128, 3}, {512, 2}}, .zclasses = 2};
    struct zfixture f;
    zfixture_open(&f, &conf);
    assert_int_equal(f.plan.align_bytes, 512);
    assert_int_equal(weir_zpool_check(&f.z), 0);
    zfixture_close(&f);
}

static void one_byte_too_few_fails(void **state)
{
    (void)state;
    struct weir_config conf = good(WEIR_ZLAYOUT_DENSE);
    struct weir_plan plan;
    struct weir_carve c;
    struct zfixture f;
    zfixture_open(&f, &conf);
    f.area.bytes--;
    weir_carve_init(&c, &plan, &f.area, 1);
    assert_false(weir_zpool_carve(&f.z, &c, &conf));
    assert_null(plan.option); /* the area is at fault, not an option */
    zfixture_close(&f);
}

static void largest_region_is_addressed(void **state)
{
    (void)state;
    struct weir_config conf = {.zclass = {{131072, (1u << 21) - 1}}, .zclasses = 1};
    struct weir_plan plan;
    assert_true(plan_it(&conf, &plan));
    assert_int_equal(plan.row[0].bytes, ((uint64_t)1 << 38) - 131072);
    conf.zclass[0].count++;
    expect_cured(&conf, "zclass[0].count", &conf.zclass[0].count);
    assert_int_equal(conf.zclass[0].count, (1u << 21) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(number_of_classes),
        cmocka_unit_test(layout_outside_its_enum),
        cmocka_unit_test(sizes_dense),
        cmocka_unit_test(sizes_inside),
        cmocka_unit_test(counts),
        cmocka_unit_test(classes_fill_whole_slabs),
        cmocka_unit_test(segments_tile_the_region),
        cmocka_unit_test(a_small_region_asks_for_less_alignment),
        cmocka_unit_test(one_byte_too_few_fails),
        cmocka_unit_test(largest_region_is_addressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
