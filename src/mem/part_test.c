/* Tests of part.c: opening, handles, requests and releases, both errors with every combination of flags, and
 * what of it is counted. */
#include "mem/part_rig.h"

static struct part_rig rig;

/* ---- opening and closing ---- */

static void one_array_makes_a_partition(void **state)
{
    (void)state;
    part_rig_open(&rig);
    uint8_t *p = weir_part_alloc(&rig.part, 100, 0);
    assert_non_null(p);
    assert_true(p >= rig.mem && p + 100 <= rig.mem + sizeof rig.mem);
    assert_int_equal((uintptr_t)p % 8, 0);
    assert_int_equal(weir_part_check(&rig.part), 0);
    assert_int_equal(weir_part_free(&rig.part, p), 0);
    assert_int_equal(weir_part_close(&rig.part), 0);
}

static void closing_tells_how_many_blocks_were_in_use(void **state)
{
    (void)state;
    part_rig_open(&rig);
    for (unsigned i = 0; i < 3; i++)
        assert_non_null(weir_part_alloc(&rig.part, 10, 0));
    assert_int_equal(weir_part_close(&rig.part), 3);
}

static void the_state_may_lie_elsewhere(void **state)
{
    (void)state;
    struct weir_part_conf conf = part_rig_conf(&rig);
    static _Alignas(16) uint8_t own[512];
    conf.state = own;
    conf.state_bytes = weir_part_state_bytes(&conf, sizeof rig.mem);
    assert_in_range(conf.state_bytes, 1, sizeof own);
    assert_int_equal(weir_part_open(&rig.part, &conf, NULL, 0), 0); /* and no area yet */
    assert_null(weir_part_alloc(&rig.part, 1, 0));
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_SIZE);
    assert_int_equal(weir_part_add(&rig.part, rig.mem, sizeof rig.mem), 0);
    assert_int_equal(weir_part_find_max(&rig.part, 0), sizeof rig.mem - 16);
    conf.state_bytes--;
    assert_int_equal(weir_part_open(&rig.part, &conf, rig.mem, sizeof rig.mem), WEIR_EINVAL);
    conf.state_bytes++;
    conf.state = own + 1;
    assert_int_equal(weir_part_open(&rig.part, &conf, rig.mem, sizeof rig.mem - 1), WEIR_EINVAL);
}

static void what_is_not_consistent_is_refused(void **state)
{
    (void)state;
    struct weir_part_conf good = part_rig_conf(&rig), bad = good;
    bad.policy = NULL;
    assert_int_equal(weir_part_open(&rig.part, &bad, rig.mem, sizeof rig.mem), WEIR_EINVAL);
    bad = good;
    bad.cut.align_bytes = 6;
    assert_int_equal(weir_part_open(&rig.part, &bad, rig.mem, sizeof rig.mem), WEIR_EINVAL);
    bad = good;
    bad.options = WEIR_PART_BLOCK_LOG;
    bad.hooks.log = NULL;
    assert_int_equal(weir_part_open(&rig.part, &bad, rig.mem, sizeof rig.mem), WEIR_EINVAL);
    bad = good;
    bad.options = WEIR_PART_OPTIONS + 1;
    assert_int_equal(weir_part_open(&rig.part, &bad, rig.mem, sizeof rig.mem), WEIR_EINVAL);
    bad = good;
    bad.lock.kind = WEIR_LOCK_HOOK;
    assert_int_equal(weir_part_open(&rig.part, &bad, rig.mem, sizeof rig.mem), WEIR_EINVAL);
    bad.lock.kind = WEIR_LOCK_MASK; /* first fit is not of constant time */
    assert_int_equal(weir_part_open(&rig.part, &bad, rig.mem, sizeof rig.mem), WEIR_EINVAL);
    struct weir_policy constant = weir_firstfit_list;
    constant.caps |= WEIR_POLICY_CONSTANT;
    bad.policy = &constant;
    assert_int_equal(weir_part_open(&rig.part, &bad, rig.mem, sizeof rig.mem), WEIR_ENOTSUP);
    assert_int_equal(weir_part_open(&rig.part, &good, rig.mem, 64), WEIR_EINVAL);
    assert_int_equal(weir_part_open(&rig.part, &good, NULL, 0), WEIR_EINVAL);
}

static void a_stale_handle_is_refused_everywhere(void **state)
{
    (void)state;
    struct weir_part copy, garbage;
    struct weir_part_info info;
    struct weir_mem_stat stat;
    part_rig_open(&rig);
    memcpy(&copy, &rig.part, sizeof copy);
    memset(&garbage, 0xa5, sizeof garbage);
    assert_int_equal(weir_part_close(&rig.part), 0);
    struct weir_part *const stale[] = {NULL, &rig.part, &copy, &garbage};
    for (size_t i = 0; i < sizeof stale / sizeof stale[0]; i++) {
        struct weir_part *p = stale[i];
        assert_null(weir_part_alloc(p, 1, 0));
        assert_int_equal(weir_part_why(p), WEIR_WHY_STALE);
        assert_null(weir_part_realloc(p, rig.mem, 1, 0));
        assert_int_equal(weir_part_free(p, rig.mem), WEIR_ESTALE);
        assert_int_equal(weir_part_usable(p, rig.mem), WEIR_ESTALE);
        assert_int_equal(weir_part_add(p, rig.mem, 100), WEIR_ESTALE);
        assert_int_equal(weir_part_remove(p, rig.mem), WEIR_ESTALE);
        assert_int_equal(weir_part_info(p, &info), WEIR_ESTALE);
        assert_int_equal(weir_part_stat(p, &stat), WEIR_ESTALE);
        assert_int_equal(weir_part_check(p), WEIR_ESTALE);
        assert_int_equal(weir_part_walk(p, NULL, NULL), WEIR_ESTALE);
        assert_int_equal(weir_part_options(p, 0, NULL), WEIR_ESTALE);
        assert_int_equal(weir_part_reset_peak(p), WEIR_ESTALE);
        assert_int_equal(weir_part_find_max(p, 0), 0);
        assert_int_equal(weir_part_close(p), WEIR_ESTALE);
        struct weir_part child;
        struct weir_part_conf conf = part_rig_conf(&rig);
        assert_int_equal(weir_part_nest(&child, &conf, p, 1000), WEIR_ESTALE);
        struct weir_source source = weir_part_source(p);
        assert_null(source.take(source.ctx, 8, 8));
    }
}

/* ---- why ---- */

static void each_reason_is_told(void **state)
{
    (void)state;
    part_rig_open(&rig);
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_NONE);
    assert_null(weir_part_alloc(&rig.part, sizeof rig.mem, 0));
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_SIZE);
    assert_null(weir_part_alloc(&rig.part, SIZE_MAX, 0));
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_SIZE);
    assert_null(weir_part_alloc(&rig.part, 8, 24));
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_ALIGN);
    void *block[8];
    for (unsigned i = 0; i < 8; i++)
        assert_non_null(block[i] = weir_part_alloc(&rig.part, 900, 0));
    assert_null(weir_part_alloc(&rig.part, 2000, 0));
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_FULL);
    for (unsigned i = 0; i < 8; i += 2)
        assert_int_equal(weir_part_free(&rig.part, block[i]), 0);
    assert_null(weir_part_alloc(&rig.part, 2000, 0));
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_SCATTERED);
    assert_int_equal(part_rig_stat(&rig.part).failures, 5);
    assert_int_equal(part_rig_stat(&rig.part).largest_free, weir_part_find_max(&rig.part, 0));
}

static void an_alignment_that_the_policy_has_not_got(void **state)
{
    (void)state;
    struct weir_part_conf conf = part_rig_conf(&rig);
    struct weir_policy flat = weir_firstfit_list;
    flat.caps &= ~(uint32_t)WEIR_POLICY_ALIGN;
    conf.policy = &flat;
    part_rig_open_as(&rig, &conf);
    assert_null(weir_part_alloc(&rig.part, SIZE_MAX, 64));
    assert_int_equal(weir_part_why(&rig.part), WEIR_WHY_ALIGN);
}

/* ---- the two errors ---- */

static void no_such_block(struct part_rig *r)
{
    assert_int_equal(weir_part_free(&r->part, r->more), WEIR_EFOREIGN);
}

static void no_such_request(struct part_rig *r)
{
    assert_null(weir_part_alloc(&r->part, sizeof r->mem + 1, 0));
}

/* Log and suspend in all combinations, for both errors at once: each hears its own flags only, and the error
 * is returned every time. */
static void every_combination_of_flags(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags < 64; flags++) {
        if ((flags & (WEIR_PART_ALLOC_ABORT | WEIR_PART_BLOCK_ABORT)) != 0) continue;
        unsigned alloc_order = (flags & WEIR_PART_ALLOC_LOG) != 0;
        unsigned block_order = (flags & WEIR_PART_BLOCK_LOG) != 0;
        if ((flags & WEIR_PART_ALLOC_SUSPEND) != 0) alloc_order = alloc_order * 10 + 2;
        if ((flags & WEIR_PART_BLOCK_SUSPEND) != 0) block_order = block_order * 10 + 2;
        part_rig_open(&rig);
        assert_int_equal(weir_part_options(&rig.part, flags, NULL), 0);
        no_such_request(&rig);
        assert_int_equal(rig.heard.order, alloc_order);
        if (alloc_order != 0) {
            assert_int_equal(rig.heard.last.fault, WEIR_PART_ALLOC);
            assert_int_equal(rig.heard.last.err, WEIR_ENOMEM);
            assert_int_equal(rig.heard.last.why, WEIR_WHY_SIZE);
            assert_int_equal(rig.heard.last.size, sizeof rig.mem + 1);
        }
        rig.heard.order = 0;
        no_such_block(&rig);
        assert_int_equal(rig.heard.order, block_order);
        if (block_order != 0) {
            assert_int_equal(rig.heard.last.fault, WEIR_PART_BLOCK);
            assert_int_equal(rig.heard.last.err, WEIR_EFOREIGN);
            assert_ptr_equal(rig.heard.last.block, rig.more);
            assert_ptr_equal(rig.heard.last.part, &rig.part);
            assert_string_equal(rig.heard.last.name, "rig");
        }
        struct weir_mem_stat stat = part_rig_stat(&rig.part);
        assert_int_equal(stat.failures, 1);
        assert_int_equal(stat.bad_frees, 1);
        assert_int_equal(weir_part_close(&rig.part), 0);
    }
}

static void abort_comes_last_and_is_each_errors_own(void **state)
{
    (void)state;
    jmp_buf out;
    part_rig_open(&rig);
    rig.heard.out = &out;
    uint32_t alloc = WEIR_PART_ALLOC_LOG | WEIR_PART_ALLOC_SUSPEND | WEIR_PART_ALLOC_ABORT;
    assert_int_equal(weir_part_options(&rig.part, alloc, NULL), 0);
    no_such_block(&rig);
    assert_int_equal(rig.heard.order, 0);
    if (setjmp(out) == 0) {
        no_such_request(&rig);
        fail();
    }
    assert_int_equal(rig.heard.order, 123);
    rig.heard.order = 0;
    assert_int_equal(weir_part_options(&rig.part, alloc * 8, NULL), 0);
    no_such_request(&rig);
    assert_int_equal(rig.heard.order, 0);
    if (setjmp(out) == 0) {
        no_such_block(&rig);
        fail();
    }
    assert_int_equal(rig.heard.order, 123);
}

static void options_want_their_hooks(void **state)
{
    (void)state;
    part_rig_open(&rig);
    struct weir_part_hooks none = {0};
    assert_int_equal(weir_part_options(&rig.part, WEIR_PART_ALLOC_LOG, &none), WEIR_EINVAL);
    assert_int_equal(weir_part_options(&rig.part, WEIR_PART_BLOCK_SUSPEND, &none), WEIR_EINVAL);
    assert_int_equal(weir_part_options(&rig.part, 64, NULL), WEIR_EINVAL);
    assert_int_equal(weir_part_options(&rig.part, WEIR_PART_ALLOC_LOG, NULL), 0); /* the old ones stand */
    no_such_request(&rig);
    assert_int_equal(rig.heard.logs, 1);
    assert_int_equal(weir_part_options(&rig.part, WEIR_PART_BLOCK_ABORT, &none), 0); /* traps by itself */
}

/* ---- requests ---- */

static void small_requests_are_served_as_the_least(void **state)
{
    (void)state;
    struct weir_part_conf conf = part_rig_conf(&rig);
    conf.least_bytes = 200;
    part_rig_open_as(&rig, &conf);
    uint8_t *p = weir_part_alloc(&rig.part, 1, 0), *q = weir_part_alloc(&rig.part, 300, 0);
    assert_in_range(weir_part_usable(&rig.part, p), 200, 207);
    assert_ptr_equal(weir_part_realloc(&rig.part, q, 10, 0), q);
    assert_in_range(weir_part_usable(&rig.part, q), 200, 207);
    assert_int_equal(part_rig_stat(&rig.part).asked_bytes, 311);
}

static void nothing_is_released_without_complaint(void **state)
{
    (void)state;
    part_rig_open(&rig);
    assert_int_equal(weir_part_free(&rig.part, NULL), 0);
    assert_int_equal(part_rig_stat(&rig.part).frees, 0);
    assert_int_equal(part_rig_stat(&rig.part).bad_frees, 0);
}

static void a_bad_block_changes_nothing(void **state)
{
    (void)state;
    part_rig_open(&rig);
    uint8_t *p = weir_part_alloc(&rig.part, 64, 0), *q = weir_part_alloc(&rig.part, 64, 0);
    assert_int_equal(weir_part_free(&rig.part, p + 8), WEIR_EINTERIOR);
    assert_int_equal(weir_part_free(&rig.part, p + 1), WEIR_EINTERIOR);
    assert_int_equal(weir_part_free(&rig.part, p), 0);
    assert_int_equal(weir_part_free(&rig.part, p), WEIR_EFREE);
    memset(q - 8, 0xff, 8); /* its head */
    assert_int_equal(weir_part_free(&rig.part, q), WEIR_ECORRUPT);
    struct weir_mem_stat stat = part_rig_stat(&rig.part);
    assert_int_equal(stat.bad_frees, 4);
    assert_int_equal(stat.live, 1);
    struct weir_part_info info;
    assert_int_equal(weir_part_info(&rig.part, &info), 0);
    assert_int_equal(info.last_err, WEIR_ECORRUPT);
}

/* ---- locks ---- */

struct hooked {
    unsigned entered, inside;
    bool wrong;
};

static uintptr_t enter(void *ctx)
{
    struct hooked *h = ctx;
    h->wrong |= h->inside++ != 0;
    return ++h->entered;
}

static void leave(void *ctx, uintptr_t before)
{
    struct hooked *h = ctx;
    h->wrong |= --h->inside != 0 || before != h->entered;
}

static void check_outside(void *ctx, const struct weir_part_report *report)
{
    (void)report;
    struct hooked *h = ctx;
    h->wrong |= h->inside != 0;
}

static void hooks_stand_around_each_operation(void **state)
{
    (void)state;
    struct hooked h = {0};
    struct weir_part_conf conf = part_rig_conf(&rig);
    conf.lock = (struct weir_lock){.kind = WEIR_LOCK_HOOK, .ctx = &h, .enter = enter, .leave = leave};
    conf.hooks = (struct weir_part_hooks){.ctx = &h, .log = check_outside};
    conf.options = WEIR_PART_ALLOC_LOG | WEIR_PART_BLOCK_LOG;
    part_rig_open_as(&rig, &conf);
    unsigned before = h.entered;
    void *p = weir_part_alloc(&rig.part, 10, 0);
    no_such_request(&rig);
    assert_ptr_equal(weir_part_realloc(&rig.part, p, 20, 0), p);
    assert_int_equal(weir_part_free(&rig.part, p), 0);
    no_such_block(&rig);
    assert_int_equal(h.entered - before, 5);
    before = h.entered;
    (void)part_rig_stat(&rig.part);
    assert_int_equal(h.entered - before, 0); /* the counts need none */
    assert_int_equal(weir_part_check(&rig.part), 0);
    assert_int_equal(weir_part_close(&rig.part), 0);
    assert_false(h.wrong);
    assert_int_equal(h.inside, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_array_makes_a_partition),
        cmocka_unit_test(closing_tells_how_many_blocks_were_in_use),
        cmocka_unit_test(the_state_may_lie_elsewhere),
        cmocka_unit_test(what_is_not_consistent_is_refused),
        cmocka_unit_test(a_stale_handle_is_refused_everywhere),
        cmocka_unit_test(each_reason_is_told),
        cmocka_unit_test(an_alignment_that_the_policy_has_not_got),
        cmocka_unit_test(every_combination_of_flags),
        cmocka_unit_test(abort_comes_last_and_is_each_errors_own),
        cmocka_unit_test(options_want_their_hooks),
        cmocka_unit_test(small_requests_are_served_as_the_least),
        cmocka_unit_test(nothing_is_released_without_complaint),
        cmocka_unit_test(a_bad_block_changes_nothing),
        cmocka_unit_test(hooks_stand_around_each_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
