/* Tests of part_ext.c: areas, resizing, nesting, sources, telemetry, and memory failing at every place in turn. */
#include "mem/part_rig.h"

static struct part_rig rig;

/* ---- areas ---- */

static void memory_is_added_and_taken_away(void **state)
{
    (void)state;
    part_rig_open(&rig);
    uint64_t before = part_rig_stat(&rig.part).configured_bytes;
    assert_int_equal(weir_part_add(&rig.part, rig.more, sizeof rig.more), 0);
    assert_int_equal(part_rig_stat(&rig.part).configured_bytes, before + sizeof rig.more);
    assert_int_equal(weir_part_add(&rig.part, rig.more, sizeof rig.more), WEIR_EINVAL);
    void *big = weir_part_alloc(&rig.part, 7900, 0), *other = weir_part_alloc(&rig.part, 7900, 0);
    assert_non_null(big);
    assert_non_null(other);
    assert_int_equal(weir_part_remove(&rig.part, rig.more), WEIR_EBUSY);
    assert_int_equal(weir_part_free(&rig.part, big), 0);
    assert_int_equal(weir_part_free(&rig.part, other), 0);
    assert_int_equal(weir_part_remove(&rig.part, rig.more + 8), WEIR_EFOREIGN);
    assert_int_equal(weir_part_remove(&rig.part, rig.mem), WEIR_EBUSY); /* the state lies in it */
    assert_int_equal(weir_part_remove(&rig.part, rig.more), 0);
    assert_int_equal(part_rig_stat(&rig.part).configured_bytes, before);
    assert_int_equal(part_rig_stat(&rig.part).largest_free, weir_part_find_max(&rig.part, 0));
}

static void a_policy_that_keeps_its_areas(void **state)
{
    (void)state;
    struct weir_part_conf conf = part_rig_conf(&rig);
    struct weir_policy keeps = weir_firstfit_list;
    keeps.remove = NULL;
    conf.policy = &keeps;
    part_rig_open_as(&rig, &conf);
    assert_int_equal(weir_part_remove(&rig.part, rig.more), WEIR_ENOTSUP);
}

/* ---- resizing ---- */

static void in_place_first_else_elsewhere(void **state)
{
    (void)state;
    part_rig_open(&rig);
    uint8_t *p = weir_part_realloc(&rig.part, NULL, 100, 64);
    assert_int_equal((uintptr_t)p % 64, 0);
    memset(p, 0x61, 100);
    assert_ptr_equal(weir_part_realloc(&rig.part, p, 500, 64), p);
    assert_int_equal(part_rig_stat(&rig.part).allocs, 1);
    uint8_t *wall = weir_part_alloc(&rig.part, 200, 0); /* not in the gap in front */
    uint8_t *q = weir_part_realloc(&rig.part, p, 1000, 64);
    assert_ptr_not_equal(q, p);
    assert_int_equal((uintptr_t)q % 64, 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(q[i], 0x61);
    assert_int_equal(part_rig_stat(&rig.part).allocs, 3);
    assert_int_equal(part_rig_stat(&rig.part).frees, 1);
    assert_ptr_equal(weir_part_realloc(&rig.part, q, 1, 64), q);
    assert_in_range(weir_part_usable(&rig.part, q), 1, 24);
    assert_int_equal(weir_part_free(&rig.part, wall), 0);
    uint8_t *r = weir_part_realloc(&rig.part, q, 1, 1024); /* not aligned so: it moves */
    assert_int_equal((uintptr_t)r % 1024, 0);
    assert_int_equal(r[0], 0x61);
    assert_int_equal(weir_part_check(&rig.part), 0);
}

static void what_cannot_be_resized_stays(void **state)
{
    (void)state;
    part_rig_open(&rig);
    uint8_t *p = weir_part_alloc(&rig.part, 100, 0);
    memset(p, 0x62, 100);
    assert_null(weir_part_realloc(&rig.part, p, sizeof rig.mem, 0));
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_SIZE);
    assert_null(weir_part_realloc(&rig.part, p, SIZE_MAX, 0));
    assert_null(weir_part_realloc(&rig.part, p, 5000, 3));
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_ALIGN);
    assert_int_equal(part_rig_stat(&rig.part).failures, 3);
    assert_null(weir_part_realloc(&rig.part, p + 8, 10, 0));
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_BLOCK);
    assert_int_equal(part_rig_stat(&rig.part).bad_frees, 1);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(p[i], 0x62);
    assert_int_equal(weir_part_usable(&rig.part, p), 104);
    assert_int_equal(weir_part_usable(&rig.part, p + 8), WEIR_EINTERIOR);
    assert_int_equal(part_rig_stat(&rig.part).bad_frees, 1); /* asking is no error */
}

/* A policy that can't resize: what fits stays, what does not moves. */
static void without_resizing_a_block_moves_when_it_must(void **state)
{
    (void)state;
    struct weir_part_conf conf = part_rig_conf(&rig);
    struct weir_policy fixed = weir_firstfit_list;
    fixed.resize = NULL;
    conf.policy = &fixed;
    part_rig_open_as(&rig, &conf);
    uint8_t *p = weir_part_alloc(&rig.part, 100, 0);
    assert_ptr_equal(weir_part_realloc(&rig.part, p, 10, 0), p);
    assert_int_equal(weir_part_usable(&rig.part, p), 104);
    assert_ptr_equal(weir_part_realloc(&rig.part, p, 104, 0), p);
    assert_ptr_not_equal(weir_part_realloc(&rig.part, p, 105, 0), p);
    assert_int_equal(weir_part_check(&rig.part), 0);
}

/* ---- nesting ---- */

static void a_child_lies_in_a_block_of_its_parent(void **state)
{
    (void)state;
    struct weir_part child, grandchild;
    struct weir_part_conf conf = part_rig_conf(&rig);
    struct weir_part_info info;
    part_rig_open(&rig);
    assert_int_equal(weir_part_nest(&child, &conf, &rig.part, 4000), 0);
    assert_int_equal(weir_part_nest(&grandchild, &conf, &child, 1000), 0);
    assert_int_equal(part_rig_stat(&child).source_takes, 1);
    assert_int_equal(part_rig_stat(&rig.part).live, 1);
    uint8_t *p = weir_part_alloc(&grandchild, 500, 0);
    assert_true(p >= rig.mem && p < rig.mem + sizeof rig.mem);
    assert_int_equal(weir_part_info(&child, &info), 0);
    assert_ptr_equal(info.parent, &rig.part);
    assert_int_equal(info.children, 1);
    assert_int_equal(weir_part_close(&rig.part), WEIR_EBUSY);
    assert_int_equal(weir_part_close(&child), WEIR_EBUSY);
    assert_int_equal(weir_part_close(&grandchild), 1);
    assert_int_equal(weir_part_free(&grandchild, p), WEIR_ESTALE);
    assert_int_equal(part_rig_stat(&child).live, 0);
    assert_int_equal(weir_part_close(&child), 0);
    assert_int_equal(part_rig_stat(&rig.part).live, 0);
    assert_int_equal(weir_part_check(&rig.part), 0);
    assert_int_equal(weir_part_close(&rig.part), 0);
}

static void a_child_that_cannot_be_leaves_nothing(void **state)
{
    (void)state;
    struct weir_part child;
    struct weir_part_conf conf = part_rig_conf(&rig);
    part_rig_open(&rig);
    assert_int_equal(weir_part_nest(&child, &conf, &rig.part, sizeof rig.mem), WEIR_ENOMEM);
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_SIZE);
    assert_int_equal(weir_part_nest(&child, &conf, &rig.part, 50), WEIR_EINVAL);
    conf.cut.align_bytes = 5;
    assert_int_equal(weir_part_nest(&child, &conf, &rig.part, 1000), WEIR_EINVAL);
    assert_int_equal(part_rig_stat(&rig.part).live, 0);
    assert_null(weir_part_alloc(&child, 1, 0));
    assert_int_equal(weir_part_close(&rig.part), 0);
}

static void the_system_partition_takes_what_is_left(void **state)
{
    (void)state;
    struct weir_part one, system;
    struct weir_part_conf conf = part_rig_conf(&rig);
    part_rig_open(&rig);
    assert_int_equal(weir_part_nest(&one, &conf, &rig.part, 2000), 0);
    size_t left = weir_part_find_max(&rig.part, 0);
    assert_int_equal(weir_part_nest(&system, &conf, &rig.part, 0), 0);
    assert_int_equal(part_rig_stat(&system).configured_bytes, left);
    struct weir_part_info info;
    assert_int_equal(weir_part_info(&rig.part, &info), 0);
    assert_int_equal(info.stat.free_bytes, 0);
    assert_int_equal(weir_part_nest(&one, &conf, &rig.part, 0), WEIR_ENOMEM);
}

static void a_partition_is_a_source(void **state)
{
    (void)state;
    part_rig_open(&rig);
    struct weir_source source = weir_part_source(&rig.part);
    uint8_t *p = source.take(source.ctx, 600, 128);
    assert_int_equal((uintptr_t)p % 128, 0);
    assert_int_equal(part_rig_stat(&rig.part).live, 1);
    assert_null(source.take(source.ctx, sizeof rig.mem, 8));
    source.give(source.ctx, p, 600);
    assert_int_equal(part_rig_stat(&rig.part).live, 0);
}

/* ---- telemetry ---- */

static void every_count_is_exact(void **state)
{
    (void)state;
    part_rig_open(&rig);
    struct weir_mem_stat s = part_rig_stat(&rig.part);
    uint64_t capacity = s.free_bytes;
    assert_int_equal(s.configured_bytes, sizeof rig.mem);
    assert_int_equal(s.free_bytes, weir_part_find_max(&rig.part, 0));
    assert_int_equal(s.overhead_bytes, s.configured_bytes - capacity);
    void *a = weir_part_alloc(&rig.part, 10, 0), *b = weir_part_alloc(&rig.part, 20, 0);
    assert_int_equal(weir_part_free(&rig.part, a), 0);
    s = part_rig_stat(&rig.part);
    assert_int_equal(s.allocs, 2);
    assert_int_equal(s.frees, 1);
    assert_int_equal(s.live, 1);
    assert_int_equal(s.live_bytes, 24);
    assert_int_equal(s.peak, 2);
    assert_int_equal(s.peak_bytes, 16 + 24);
    assert_int_equal(s.alloc_bytes, 40);
    assert_int_equal(s.asked_bytes, 30); /* 10 bytes of internal waste */
    assert_int_equal(s.free_bytes, capacity - 24);
    assert_int_equal(weir_part_reset_peak(&rig.part), 0);
    s = part_rig_stat(&rig.part);
    assert_int_equal(s.peak, 1);
    assert_int_equal(s.peak_bytes, 24);
    assert_int_equal(weir_part_free(&rig.part, b), 0);
    assert_int_equal(part_rig_stat(&rig.part).peak_bytes, 24);
    struct weir_part_info info;
    assert_int_equal(weir_part_info(&rig.part, &info), 0);
    assert_string_equal(info.name, "rig");
    assert_ptr_equal(info.policy, &weir_firstfit_list);
    assert_int_equal(info.areas, 1);
    assert_int_equal(info.stat.free_bytes, capacity);
    assert_int_equal(info.stat.configured_bytes, info.stat.free_bytes + info.stat.overhead_bytes);
    assert_int_equal(info.divisions, 2);
    assert_int_equal(info.merges, 2);
}

static void a_change_under_way_is_not_read(void **state)
{
    (void)state;
    struct weir_mem_stat s;
    part_rig_open(&rig);
    rig.part.counts.turn++; /* as a reader sees it that interrupted the owner */
    assert_int_equal(weir_part_stat(&rig.part, &s), WEIR_EAGAIN);
    rig.part.counts.turn++;
    assert_int_equal(weir_part_stat(&rig.part, &s), 0);
}

static void low_water_is_counted_once_each_time(void **state)
{
    (void)state;
    struct weir_part_conf conf = part_rig_conf(&rig);
    conf.low_bytes = 2000;
    part_rig_open_as(&rig, &conf);
    uint64_t capacity = part_rig_stat(&rig.part).free_bytes;
    void *base = weir_part_alloc(&rig.part, (size_t)capacity - 2100, 0);
    assert_int_equal(part_rig_stat(&rig.part).low_events, 0);
    for (unsigned i = 1; i <= 3; i++) {
        void *over = weir_part_alloc(&rig.part, 200, 0), *more = weir_part_alloc(&rig.part, 200, 0);
        assert_int_equal(part_rig_stat(&rig.part).low_events, i);
        over = weir_part_realloc(&rig.part, over, 180, 0); /* still below */
        assert_int_equal(part_rig_stat(&rig.part).low_events, i);
        assert_int_equal(weir_part_free(&rig.part, more), 0);
        assert_int_equal(part_rig_stat(&rig.part).low_events, i);
        assert_int_equal(weir_part_free(&rig.part, over), 0);
        assert_int_equal(part_rig_stat(&rig.part).low_events, i);
    }
    void *over = weir_part_alloc(&rig.part, 200, 0);
    assert_int_equal(weir_part_add(&rig.part, rig.more, sizeof rig.more), 0); /* no longer low */
    assert_int_equal(part_rig_stat(&rig.part).low_events, 4);
    assert_int_equal(weir_part_remove(&rig.part, rig.more), 0); /* low again */
    assert_int_equal(part_rig_stat(&rig.part).low_events, 5);
    assert_int_equal(weir_part_free(&rig.part, over), 0);
    assert_int_equal(weir_part_free(&rig.part, base), 0);
    assert_int_equal(part_rig_stat(&rig.part).low_events, 5);
}

static int count_used(void *arg, const struct weir_block *b)
{
    unsigned *used = arg;
    *used += b->state == WEIR_BLOCK_USED;
    return *used == 3 ? 7 : 0;
}

static void a_walk_meets_every_block(void **state)
{
    (void)state;
    unsigned used = 0;
    part_rig_open(&rig);
    for (unsigned i = 0; i < 2; i++)
        assert_non_null(weir_part_alloc(&rig.part, 10, 0));
    assert_int_equal(weir_part_walk(&rig.part, count_used, &used), 0);
    assert_int_equal(used, 2);
    assert_non_null(weir_part_alloc(&rig.part, 10, 0));
    used = 0;
    assert_int_equal(weir_part_walk(&rig.part, count_used, &used), 7);
}

/* ---- failure at every place in turn ---- */

static unsigned fail_at, asked;

static void *failing_alloc(void *policy_state, size_t size, size_t align, size_t *got)
{
    return ++asked == fail_at ? NULL : weir_firstfit_list.alloc(policy_state, size, align, got);
}

/* Ten requests of all kinds. What got nothing must have left nothing. */
static unsigned scenario(struct part_rig *r, const struct weir_part_conf *conf)
{
    struct weir_part child;
    unsigned failed = 0;
    uint8_t *p = weir_part_alloc(&r->part, 100, 0);
    failed += p == NULL;
    uint8_t *wall = weir_part_alloc(&r->part, 10, 32);
    failed += wall == NULL;
    uint8_t *q = p == NULL ? NULL : weir_part_realloc(&r->part, p, 400, 0);
    if (q != NULL) p = q;
    failed += p != NULL && q == NULL;
    struct weir_part_conf inside = *conf;
    inside.policy = &weir_firstfit_list;
    bool nested = weir_part_nest(&child, &inside, &r->part, 1000) == 0;
    failed += !nested;
    uint8_t *big = weir_part_realloc(&r->part, NULL, 900, 0);
    failed += big == NULL;
    struct weir_source source = weir_part_source(&r->part);
    void *taken = source.take(source.ctx, 200, 64);
    failed += taken == NULL;
    if (taken != NULL) source.give(source.ctx, taken, 200);
    if (nested) assert_int_equal(weir_part_close(&child), 0);
    assert_int_equal(weir_part_free(&r->part, p), 0);
    assert_int_equal(weir_part_free(&r->part, wall), 0);
    assert_int_equal(weir_part_free(&r->part, big), 0);
    return failed;
}

static void memory_fails_at_every_place_in_turn(void **state)
{
    (void)state;
    struct weir_part_conf conf = part_rig_conf(&rig);
    struct weir_policy failing = weir_firstfit_list;
    failing.alloc = failing_alloc;
    conf.policy = &failing;
    unsigned failed = 1;
    for (fail_at = 1; failed > 0; fail_at++) {
        asked = 0;
        part_rig_open_as(&rig, &conf);
        failed = scenario(&rig, &conf);
        struct weir_mem_stat s = part_rig_stat(&rig.part);
        assert_int_equal(s.failures, failed);
        assert_int_equal(s.live, 0);
        assert_int_equal(weir_part_check(&rig.part), 0);
        assert_int_equal(s.free_bytes, weir_part_find_max(&rig.part, 0));
        assert_int_equal(weir_part_close(&rig.part), 0);
    }
    assert_int_equal(fail_at, 8); /* six requests, each once, and none */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_added_and_taken_away),
        cmocka_unit_test(a_policy_that_keeps_its_areas),
        cmocka_unit_test(in_place_first_else_elsewhere),
        cmocka_unit_test(what_cannot_be_resized_stays),
        cmocka_unit_test(without_resizing_a_block_moves_when_it_must),
        cmocka_unit_test(a_child_lies_in_a_block_of_its_parent),
        cmocka_unit_test(a_child_that_cannot_be_leaves_nothing),
        cmocka_unit_test(the_system_partition_takes_what_is_left),
        cmocka_unit_test(a_partition_is_a_source),
        cmocka_unit_test(every_count_is_exact),
        cmocka_unit_test(a_change_under_way_is_not_read),
        cmocka_unit_test(low_water_is_counted_once_each_time),
        cmocka_unit_test(a_walk_meets_every_block),
        cmocka_unit_test(memory_fails_at_every_place_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
