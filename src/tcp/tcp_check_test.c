/* tcp_check_test.c: the check of TCP's tables is silent where nothing is wrong, and sees each thing that it
 * is there for when that is broken by hand. */
#include "tcp/tcp_fixture.h"

enum { CELLS = 1, LISTS, LISTENERS, TIMEWAIT };

static int verdict(void)
{
    return weir_tcp_check(&fx.t);
}

/* A broken value, and the right one again. */
#define BROKEN(member, value, as)                                                                            \
    do {                                                                                                     \
        __typeof__(member) kept_ = (member);                                                                 \
        (member) = (value);                                                                                  \
        assert_int_equal(verdict(), as);                                                                     \
        (member) = kept_;                                                                                    \
        assert_int_equal(verdict(), 0);                                                                      \
    } while (0)

static void cells(void **state)
{
    (void)state;
    assert_int_equal(verdict(), 0);
    struct weir_conn *a = fx_established(1), *b = fx_established(2);
    weir_conn_free(&fx.t, fx_conn(3));
    BROKEN(fx.t.live, 1, CELLS);
    BROKEN(fx.t.free_conn, 0, CELLS); /* a cell is lost */
    BROKEN(fx.t.free_conn, weir_conn_index(&fx.t, b) + 1, CELLS);
    BROKEN(a->rport, 9, CELLS);               /* not found by its addresses */
    BROKEN(b->rport, 1, CELLS);               /* twice */
    BROKEN(fx.t.conn[2].hash_next, 3, CELLS); /* a circle */
}

static void lists(void **state)
{
    (void)state;
    struct weir_conn *a = fx_established(1), *b = fx_established(2);
    uint32_t other = weir_conn_index(&fx.t, b) + 1;
    static const uint32_t flags[] = {WEIR_C_DIRTY, WEIR_C_READY, WEIR_C_BLOCKED, WEIR_C_MEMWAIT};
    weir_conn_dirty(&fx.t, a);
    weir_conn_event(&fx.t, a, WEIR_EV_SENT);
    weir_conn_block(&fx.t, a);
    weir_conn_memwait(&fx.t, a, false);
    for (unsigned i = 0; i < 4; i++) {
        BROKEN(a->flags, a->flags & ~flags[i], LISTS);
        BROKEN(b->flags, b->flags | flags[i], LISTS);
    }
    BROKEN(a->dirty_next, weir_conn_index(&fx.t, a) + 1, LISTS); /* a circle */
    BROKEN(fx.t.ready_last, other, LISTS);
    BROKEN(fx.t.blocked_first, 0, LISTS);
    BROKEN(fx.t.memwait_last, 0, LISTS);
}

static void listeners(void **state)
{
    (void)state;
    weir_id id;
    assert_int_equal(weir_tcp_listen(&fx.t, 0, 80, NULL, &id), 0);
    struct weir_listener *l = weir_listener_by_id(&fx.t, id);
    struct weir_conn *half = fx_established(1), *whole = fx_established(2);
    for (unsigned i = 0; i < 2; i++) {
        struct weir_conn *c = i ? whole : half;
        c->listener = 1;
        c->flags |= WEIR_C_HALF_OPEN | WEIR_C_PASSIVE;
        l->half_open++;
    }
    weir_conn_established(&fx.t, whole);
    assert_int_equal(verdict(), 0);
    BROKEN(l->half_open, 0, LISTENERS);
    BROKEN(l->queued, 2, LISTENERS);
    BROKEN(l->accept_first, 0, LISTENERS);
    BROKEN(half->flags, half->flags & ~(uint32_t)WEIR_C_HALF_OPEN, LISTENERS);
    BROKEN(whole->accept_next, weir_conn_index(&fx.t, whole) + 1, LISTENERS);
    BROKEN(whole->listener, 2, LISTENERS);
    BROKEN(l->backlog, 0, LISTENERS);
}

static void timewait(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < 3; i++)
        weir_tw_add(&fx.t, fx_established(i));
    assert_int_equal(verdict(), 0);
    BROKEN(fx.t.tw_live, 2, TIMEWAIT);
    BROKEN(fx.t.tw[1].used, 0, TIMEWAIT);
    BROKEN(fx.t.tw[1].rport, 9, TIMEWAIT);
    BROKEN(fx.t.tw[1].prev, 3, TIMEWAIT);
    BROKEN(fx.t.tw[2].next, 1, TIMEWAIT);
    BROKEN(fx.t.tw_last, 1, TIMEWAIT);
    while (fx.t.tw_first)
        weir_tw_drop(&fx.t, &fx.t.tw[fx.t.tw_first - 1]);
    assert_int_equal(verdict(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cells, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(lists, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(listeners, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(timewait, fx_open, fx_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
