/* Tests of zpool.c, one body for both head layouts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mem/zfixture.h"
#include "weir/err.h"

/* Strides 256, 1,024, 4,096, 16,384; counts come out as 64, 16, 4, 2. */
enum { SMALL = 64, MEDIUM = 16, LARGE = 4, HUGE = 2 };

static const enum weir_zlayout dense = WEIR_ZLAYOUT_DENSE, inside = WEIR_ZLAYOUT_INSIDE;

struct bench {
    struct zfixture f;
    struct weir_zpool *z;
    uint32_t size[4]; /* usable bytes */
};

static int open_bench(void **state)
{
    static struct bench b;
    enum weir_zlayout layout = *(const enum weir_zlayout *)*state;
    struct weir_config conf = zfixture_config(layout, (const uint32_t[]){SMALL, MEDIUM, LARGE, HUGE});
    zfixture_open(&b.f, &conf);
    b.z = &b.f.z;
    for (unsigned i = 0; i < 4; i++)
        b.size[i] = conf.zclass[i].bytes;
    *state = &b;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *b = *state;
    int broken = weir_zpool_check(b->z);
    zfixture_close(&b->f);
    return broken;
}

static void check(const struct bench *b)
{
    assert_int_equal(weir_zpool_check(b->z), 0);
    assert_int_equal(b->f.stats.zbuf_allocs - b->f.stats.zbuf_frees, b->z->live);
}

static struct weir_zhead *app(struct bench *b, uint32_t bytes)
{
    struct weir_zhead *h = weir_zpool_take(b->z, bytes, WEIR_TAKE_APP);
    assert_non_null(h);
    return h;
}

/* ---- best fit and fall-through ---- */

static void the_best_class_is_found_for_every_size(void **state)
{
    struct bench *b = *state;
    for (uint32_t bytes = 1; bytes <= b->size[3] + 2; bytes++) {
        unsigned want = 0;
        while (want < 4 && b->size[want] < bytes)
            want++;
        assert_int_equal(weir_zpool_class_for(b->z, bytes), want);
    }
    assert_int_equal(weir_zpool_class_for(b->z, 0), 4);
    assert_int_equal(weir_zpool_class_for(b->z, WEIR_ZCLASS_MAX), 4);
    assert_int_equal(weir_zpool_class_for(b->z, WEIR_ZCLASS_MAX + 1), 4);
    assert_int_equal(weir_zpool_class_for(b->z, UINT32_MAX), 4);
}

static void sizes_that_no_class_fits_are_refused_without_pressure(void **state)
{
    struct bench *b = *state;
    assert_null(weir_zpool_take(b->z, 0, WEIR_TAKE_APP));
    assert_null(weir_zpool_take(b->z, b->size[3] + 1, WEIR_TAKE_APP));
    assert_null(weir_zpool_take(b->z, UINT32_MAX, WEIR_TAKE_APP));
    assert_int_equal(b->f.stats.pressure, 0);
    check(b);
}

static void a_used_up_class_falls_through_to_larger_ones(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < MEDIUM; i++)
        assert_int_equal(app(b, 1000 - 100)->cls, 1);
    assert_int_equal(b->f.stats.fallthroughs, 0);
    for (unsigned i = 0; i < LARGE; i++)
        assert_int_equal(app(b, 900)->cls, 2);
    for (unsigned i = 0; i < HUGE; i++)
        assert_int_equal(app(b, 900)->cls, 3);
    assert_int_equal(b->f.stats.fallthroughs, LARGE + HUGE);
    assert_int_equal(b->f.stats.pressure, 0);
    assert_null(weir_zpool_take(b->z, 900, WEIR_TAKE_APP)); /* never to a smaller one */
    assert_int_equal(b->f.stats.pressure, 1);
    assert_int_equal(b->z->cls[0].free, SMALL);
    assert_int_equal(b->z->cls[1].low, 0);
    check(b);
}

/* ---- floors ---- */

static void each_kind_stops_at_its_floor(void **state)
{
    struct bench *b = *state;
    const uint32_t floor[WEIR_TAKES] = {0, 2, 5, 7, 11, 13}, none[WEIR_TAKES] = {0};
    const uint32_t shut[WEIR_TAKES] = {HUGE, HUGE, HUGE, HUGE, HUGE, HUGE};
    weir_zpool_floor(b->z, 1, floor);
    weir_zpool_floor(b->z, 2, (const uint32_t[WEIR_TAKES]){LARGE, LARGE, LARGE, LARGE, LARGE, LARGE});
    weir_zpool_floor(b->z, 3, shut);
    /* From the most to the least restricted, each kind takes exactly down to its floor. */
    for (unsigned kind = WEIR_TAKES; kind-- > 0;) {
        while (b->z->cls[1].free > floor[kind]) {
            assert_true(weir_zpool_can(b->z, 1, (enum weir_take)kind, 1));
            struct weir_zhead *h = weir_zpool_take(b->z, 900, (enum weir_take)kind);
            assert_non_null(h);
            assert_int_equal(h->app, kind == WEIR_TAKE_APP);
            assert_int_equal(h->stk, kind != WEIR_TAKE_APP);
        }
        uint64_t pressure = b->f.stats.pressure;
        assert_false(weir_zpool_can(b->z, 1, (enum weir_take)kind, 1));
        assert_null(weir_zpool_take(b->z, 900, (enum weir_take)kind));
        assert_int_equal(b->f.stats.pressure, pressure + 1);
        assert_int_equal(b->z->cls[1].free, floor[kind]);
        check(b);
    }
    /* The next class serves a kind that its own floor allows, though the best one is at its floor. */
    weir_zpool_floor(b->z, 2, none);
    assert_int_equal(weir_zpool_take(b->z, 900, WEIR_TAKE_OOO)->cls, 2);
}

static void can_counts_what_is_above_the_floors(void **state)
{
    struct bench *b = *state;
    weir_zpool_floor(b->z, 2, (const uint32_t[WEIR_TAKES]){0, 1, 2, 3, 4, 4});
    weir_zpool_floor(b->z, 3, (const uint32_t[WEIR_TAKES]){0, 0, 0, 0, 0, 1});
    assert_true(weir_zpool_can(b->z, 2, WEIR_TAKE_CONTROL, LARGE + HUGE));
    assert_false(weir_zpool_can(b->z, 2, WEIR_TAKE_CONTROL, LARGE + HUGE + 1));
    assert_true(weir_zpool_can(b->z, 2, WEIR_TAKE_INORDER, 4));
    assert_false(weir_zpool_can(b->z, 2, WEIR_TAKE_INORDER, 5));
    assert_true(weir_zpool_can(b->z, 2, WEIR_TAKE_OOO, 1));
    assert_false(weir_zpool_can(b->z, 2, WEIR_TAKE_OOO, 2));
    assert_true(weir_zpool_can(b->z, 3, WEIR_TAKE_APP, 0));
    assert_false(weir_zpool_can(b->z, 4, WEIR_TAKE_CONTROL, 1));
    assert_true(weir_zpool_can(b->z, 4, WEIR_TAKE_CONTROL, 0));
}

/* ---- heads from addresses ---- */

static int find(struct bench *b, const uint8_t *addr, struct weir_zhead **h)
{
    *h = NULL;
    return weir_zpool_find(b->z, addr, h);
}

static void the_head_is_found_from_each_byte(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 4; i++) {
        struct weir_zhead *h = app(b, b->size[i]), *got;
        uint8_t *first = weir_zpool_first(b->z, h);
        for (uint32_t at = 0; at < b->size[i]; at++) {
            assert_ptr_equal(weir_zpool_head(b->z, first + at), h);
            assert_int_equal(find(b, first + at, &got), 0);
            assert_ptr_equal(got, h);
        }
    }
}

static void one_past_the_end_is_not_inside(void **state)
{
    struct bench *b = *state;
    struct weir_zhead *h = app(b, b->size[0]), *got;
    const uint8_t *past = weir_zpool_first(b->z, h) + b->size[0];
    assert_ptr_not_equal(weir_zpool_head(b->z, past), h);
    /* the next one's data, which is free, or its head */
    assert_int_equal(find(b, past, &got), b->z->layout == WEIR_ZLAYOUT_DENSE ? WEIR_ENOTHELD : WEIR_EFAULT);
    struct weir_zhead *next = app(b, b->size[0]);
    if (b->z->layout == WEIR_ZLAYOUT_DENSE) {
        assert_int_equal(find(b, past, &got), 0);
        assert_ptr_equal(got, next);
    } else {
        assert_int_equal(find(b, past, &got), WEIR_EFAULT);
        assert_ptr_equal(past, next);
    }
}

static void an_address_in_a_head_is_a_fault(void **state)
{
    struct bench *b = *state;
    struct weir_zhead *h = app(b, 1), *got;
    if (b->z->layout == WEIR_ZLAYOUT_DENSE) {
        assert_int_equal(find(b, (uint8_t *)h, &got), WEIR_EFOREIGN);
        return;
    }
    for (uint32_t at = 0; at < WEIR_ZINSIDE_BYTES; at++) {
        assert_int_equal(find(b, (uint8_t *)h + at, &got), WEIR_EFAULT);
        assert_ptr_equal(weir_zpool_head(b->z, (uint8_t *)h + at), h);
    }
    assert_int_equal(find(b, (uint8_t *)h + WEIR_ZINSIDE_BYTES, &got), 0);
}

static void outside_the_region_is_foreign(void **state)
{
    struct bench *b = *state;
    struct weir_zhead *got;
    for (unsigned i = 0; i < 4; i++) /* everything live, so that nothing is refused for being free */
        while (b->z->cls[i].free > 0)
            app(b, b->size[i]);
    const uint8_t *end = b->z->base + b->z->bytes;
    assert_int_equal(find(b, end - 1, &got), 0);
    assert_int_equal(find(b, end, &got), WEIR_EFOREIGN);
    assert_null(weir_zpool_head(b->z, end));
    const uint8_t *before = (const uint8_t *)((uintptr_t)b->z->base - 1);
    assert_int_equal(find(b, before, &got), WEIR_EFOREIGN);
    assert_null(weir_zpool_head(b->z, before));
    assert_int_equal(find(b, NULL, &got), WEIR_EFOREIGN);
    assert_int_equal(find(b, (const uint8_t *)UINTPTR_MAX, &got), WEIR_EFOREIGN);
    assert_int_equal(find(b, (const uint8_t *)&got, &got), WEIR_EFOREIGN);
    assert_int_equal(find(b, b->z->base, &got), b->z->layout == WEIR_ZLAYOUT_DENSE ? 0 : WEIR_EFAULT);
}

static void a_free_segment_is_held_by_nobody(void **state)
{
    struct bench *b = *state;
    struct weir_zhead *h = app(b, 500), *got;
    const uint8_t *first = weir_zpool_first(b->z, h);
    assert_int_equal(find(b, first + 17, &got), 0);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 1), 1);
    assert_int_equal(find(b, first + 17, &got), WEIR_ENOTHELD);
    assert_null(got);
    assert_ptr_equal(weir_zpool_head(b->z, first), h);
}

/* ---- references ---- */

static void counts_of_application_and_stack_are_apart(void **state)
{
    struct bench *b = *state;
    struct weir_zhead *h = app(b, 100);
    assert_int_equal(h->app, 1);
    assert_int_equal(h->stk, 0);
    assert_true(weir_zpool_ref(b->z, h, WEIR_OWNER_SENDQ));
    assert_true(weir_zpool_ref(b->z, h, WEIR_OWNER_TXWAIT));
    assert_int_equal(weir_zpool_app_ref(b->z, h), 0);
    assert_int_equal(h->app, 2);
    assert_int_equal(h->stk, 2);
    /* The application frees what it has, not a descriptor's reference. */
    assert_int_equal(weir_zpool_app_unref(b->z, h, 1), 0);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 2), WEIR_ENOTHELD);
    assert_int_equal(h->app, 1);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 0), 0);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 1), 1);
    assert_int_equal(h->state, WEIR_Z_LIVE);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 1), WEIR_ENOTHELD);
    assert_int_equal(h->stk, 2);
    check(b);
    assert_false(weir_zpool_unref(b->z, h, WEIR_OWNER_SENDQ));
    assert_int_equal(b->z->live, 1);
    assert_true(weir_zpool_unref(b->z, h, WEIR_OWNER_TXWAIT));
    assert_int_equal(b->z->live, 0);
    assert_int_equal(h->state, WEIR_Z_FREE);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 1), WEIR_ENOTHELD);
    assert_int_equal(b->f.stats.zbuf_frees, 1);
    check(b);
}

static void several_releases_at_once(void **state)
{
    struct bench *b = *state;
    struct weir_zhead *h = app(b, 100);
    for (unsigned i = 0; i < 4; i++)
        weir_zpool_app_ref(b->z, h);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 6), WEIR_ENOTHELD);
    assert_int_equal(weir_zpool_app_unref(b->z, h, UINT32_MAX), WEIR_ENOTHELD);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 65536 + 1), WEIR_ENOTHELD);
    assert_int_equal(h->app, 5);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 4), 0);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 1), 1);
    assert_int_equal(b->z->live, 0);
}

static void counts_stop_at_their_limit(void **state)
{
    struct bench *b = *state;
    struct weir_zhead *h = app(b, 100);
    while (h->app < UINT16_MAX)
        assert_int_equal(weir_zpool_app_ref(b->z, h), 0);
    assert_int_equal(weir_zpool_app_ref(b->z, h), WEIR_EOVERFLOW);
    assert_int_equal(h->app, 65535);
    while (h->stk < UINT16_MAX)
        assert_true(weir_zpool_ref(b->z, h, WEIR_OWNER_SENDQ));
    assert_false(weir_zpool_ref(b->z, h, WEIR_OWNER_SENDQ));
    assert_false(weir_zpool_ref(b->z, h, WEIR_OWNER_POSTED));
    assert_int_equal(h->stk, 65535);
    assert_int_equal(b->z->posted, 0);
    check(b);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 65535), 1);
    for (unsigned i = 1; i < UINT16_MAX; i++)
        assert_false(weir_zpool_unref(b->z, h, WEIR_OWNER_SENDQ));
    assert_true(weir_zpool_unref(b->z, h, WEIR_OWNER_SENDQ));
    check(b);
}

static void each_life_begins_anew(void **state)
{
    struct bench *b = *state;
    b->z->now_ms = 1000;
    struct weir_zhead *h = app(b, b->size[3]), *again;
    uint8_t gen = h->gen;
    h->tag = 7;
    h->lent_id = 9;
    h->lent_bytes = 10;
    assert_int_equal(h->u.birth_ms, 1000);
    assert_int_equal(weir_zpool_app_unref(b->z, h, 1), 1);
    assert_int_equal(h->lent_id, 9); /* what was lent can still be told after the last release */
    b->z->now_ms = 2000;
    again = app(b, b->size[3]);
    assert_ptr_equal(again, h); /* last in, first out */
    assert_int_equal(h->gen, (uint8_t)(gen + 1));
    assert_int_equal(h->u.birth_ms, 2000);
    assert_int_equal(h->tag, 0);
    assert_int_equal(h->lent_id, 0);
    assert_int_equal(h->lent_bytes, 0);
    for (unsigned i = 1; i < 256; i++) {
        weir_zpool_app_unref(b->z, h, 1);
        app(b, b->size[3]);
    }
    assert_int_equal(h->gen, gen); /* eight bits */
}

/* ---- owners, and the peak without posted buffers ---- */

static void owners_of_taken_segments(void **state)
{
    struct bench *b = *state;
    static const unsigned posted[WEIR_TAKES] = {
        [WEIR_TAKE_POST] = 1, [WEIR_TAKE_INORDER] = 1, [WEIR_TAKE_OOO] = 1};
    for (unsigned kind = 0; kind < WEIR_TAKES; kind++) {
        uint32_t before = b->z->posted;
        assert_non_null(weir_zpool_take(b->z, 1, (enum weir_take)kind));
        assert_int_equal(b->z->posted, before + posted[kind]);
        assert_int_equal(weir_take_owner((enum weir_take)kind) == WEIR_OWNER_POSTED, posted[kind]);
    }
    check(b);
}

static void the_peak_leaves_posted_buffers_out(void **state)
{
    struct bench *b = *state;
    struct weir_zhead *h[4];
    for (unsigned i = 0; i < 4; i++)
        h[i] = weir_zpool_take(b->z, 500, WEIR_TAKE_POST);
    assert_int_equal(b->z->posted, 4);
    assert_int_equal(b->z->live, 4);
    assert_int_equal(b->f.stats.zbuf_peak, 0);
    weir_zpool_move(b->z, h[0], WEIR_OWNER_POSTED, WEIR_OWNER_RECVQ);
    assert_int_equal(b->z->posted, 3);
    assert_int_equal(b->f.stats.zbuf_peak, 1);
    /* A reference beside the posted one, then the posted one goes: in use again by others alone. */
    assert_true(weir_zpool_ref(b->z, h[1], WEIR_OWNER_OOO));
    assert_false(weir_zpool_unref(b->z, h[1], WEIR_OWNER_POSTED));
    assert_int_equal(b->f.stats.zbuf_peak, 2);
    assert_true(weir_zpool_unref(b->z, h[2], WEIR_OWNER_POSTED)); /* was never used: no peak */
    assert_int_equal(b->f.stats.zbuf_peak, 2);
    weir_zpool_move(b->z, h[0], WEIR_OWNER_RECVQ, WEIR_OWNER_POSTED);
    assert_int_equal(b->z->posted, 2);
    app(b, 1);
    assert_int_equal(b->f.stats.zbuf_peak, 2);
    app(b, 1);
    assert_int_equal(b->f.stats.zbuf_peak, 3);
    check(b);
}

static void owners_have_names(void **state)
{
    (void)state;
    assert_string_equal(weir_owner_name(WEIR_OWNER_APP), "application");
    assert_string_equal(weir_owner_name(WEIR_OWNER_WARM), "warm");
    assert_string_equal(weir_owner_name(WEIR_OWNERS), "?");
    assert_string_equal(weir_owner_name((enum weir_owner) - 1), "?");
    for (unsigned i = 0; i < WEIR_OWNERS; i++)
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(weir_owner_name((enum weir_owner)i), weir_owner_name((enum weir_owner)j));
}

static void it_works_without_statistics(void **state)
{
    struct bench *b = *state;
    b->z->stats = NULL;
    const uint32_t shut[WEIR_TAKES] = {SMALL, SMALL, SMALL, SMALL, SMALL, SMALL};
    struct weir_zhead *h = app(b, 1), *again;
    uint32_t link, n;
    weir_zpool_floor(b->z, 0, shut);
    again = app(b, 1); /* falls through */
    assert_int_equal(again->cls, 1);
    assert_null(weir_zpool_take(b->z, 1 << 20, WEIR_TAKE_APP));
    assert_true(weir_zpool_give(b->z, h));
    link = weir_zpool_given(b->z);
    assert_ptr_equal(weir_zpool_given_next(b->z, &link, &n), h);
    assert_int_equal(weir_zpool_app_unref(b->z, h, n), 1);
    assert_int_equal(weir_zpool_app_unref(b->z, again, 1), 1);
    assert_int_equal(b->f.stats.zbuf_allocs, 0);
    b->z->stats = &b->f.stats;
}

/* ---- the check can fail ---- */

static void the_check_sees_what_is_broken(void **state)
{
    struct bench *b = *state;
    struct weir_zhead *h = app(b, 1);
    struct weir_zpool_class *c = &b->z->cls[0];
#define EXPECT_BROKEN(number, ...)                                                                           \
    do {                                                                                                     \
        struct weir_zpool pool = *b->z;                                                                      \
        struct weir_zhead head = *h;                                                                         \
        (void)(__VA_ARGS__);                                                                                 \
        assert_int_equal(weir_zpool_check(b->z), number);                                                    \
        *b->z = pool;                                                                                        \
        *h = head;                                                                                           \
        assert_int_equal(weir_zpool_check(b->z), 0);                                                         \
    } while (0)
    EXPECT_BROKEN(1, b->z->total = 3);
    EXPECT_BROKEN(2, c->low = c->free + 1);
    EXPECT_BROKEN(2, c->free = c->count + 1);
    EXPECT_BROKEN(3, c->floor[0] = 1);
    EXPECT_BROKEN(3, c->floor[WEIR_TAKES - 1] = c->count + 1);
    EXPECT_BROKEN(4, h->cls = 1);
    EXPECT_BROKEN(4, h->first = h->first + 1);
    EXPECT_BROKEN(5, h->app = 0);
    EXPECT_BROKEN(5, h->state = WEIR_Z_FREE);
    EXPECT_BROKEN(6, h->app = 0, h->state = WEIR_Z_FREE);
    EXPECT_BROKEN(10, h->app = 0, h->state = WEIR_Z_LIMBO);
    EXPECT_BROKEN(7, c->free_head = 0);
    EXPECT_BROKEN(7, c->free_head = weir_zpool_number(b->z, h) + 1);
    EXPECT_BROKEN(7, c->free_head = UINT32_MAX);
    EXPECT_BROKEN(8, b->z->live = 2);
    EXPECT_BROKEN(9, b->z->posted = 1);
#undef EXPECT_BROKEN
}

#define BOTH(test)                                                                                           \
    {#test " (dense)", test, open_bench, close_bench, (void *)(uintptr_t)&dense},                            \
    {                                                                                                        \
#test " (inside)", test, open_bench, close_bench, (void *)(uintptr_t)&inside                         \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_best_class_is_found_for_every_size),
        BOTH(sizes_that_no_class_fits_are_refused_without_pressure),
        BOTH(a_used_up_class_falls_through_to_larger_ones),
        BOTH(each_kind_stops_at_its_floor),
        BOTH(can_counts_what_is_above_the_floors),
        BOTH(the_head_is_found_from_each_byte),
        BOTH(one_past_the_end_is_not_inside),
        BOTH(an_address_in_a_head_is_a_fault),
        BOTH(outside_the_region_is_foreign),
        BOTH(a_free_segment_is_held_by_nobody),
        BOTH(counts_of_application_and_stack_are_apart),
        BOTH(several_releases_at_once),
        BOTH(counts_stop_at_their_limit),
        BOTH(each_life_begins_anew),
        BOTH(owners_of_taken_segments),
        BOTH(the_peak_leaves_posted_buffers_out),
        BOTH(owners_have_names),
        BOTH(it_works_without_statistics),
        BOTH(the_check_sees_what_is_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
