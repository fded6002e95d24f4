/* events_test.c: one entry a connection, masks that accumulate, batches of any size, and the arming of READ
 * and WRITE. */
#include "tcp/tcp_fixture.h"

static struct weir_event ev[8];

static struct weir_conn *quiet(uint16_t rport)
{
    struct weir_conn *c = fx_established(rport);
    c->flags &= ~(uint32_t)(WEIR_C_ARM_READ | WEIR_C_ARM_WRITE);
    c->user = rport;
    return c;
}

static void is(const struct weir_event *e, const struct weir_conn *c, uint32_t mask)
{
    assert_int_equal(e->id, c->id);
    assert_int_equal(e->mask, mask);
    assert_int_equal(e->user, c->user);
}

static void mask_accumulates_in_one_entry(void **state)
{
    (void)state;
    struct weir_conn *c = quiet(1), *d = quiet(2);
    assert_false(weir_tcp_has_events(&fx.t));
    weir_conn_event(&fx.t, c, WEIR_EV_OPEN);
    weir_conn_event(&fx.t, d, WEIR_EV_SENT);
    weir_conn_event(&fx.t, c, WEIR_EV_SENT);
    weir_conn_event(&fx.t, c, WEIR_EV_SENT);
    assert_true(weir_tcp_has_events(&fx.t));
    assert_int_equal(weir_tcp_events(&fx.t, ev, 8), 2);
    is(&ev[0], c, WEIR_EV_OPEN | WEIR_EV_SENT); /* in the order of what happened first */
    is(&ev[1], d, WEIR_EV_SENT);
    assert_false(weir_tcp_has_events(&fx.t));
    assert_int_equal(weir_tcp_events(&fx.t, ev, 8), 0);
    weir_conn_event(&fx.t, c, WEIR_EV_CLOSED); /* told again, without what was told */
    assert_int_equal(weir_tcp_events(&fx.t, ev, 8), 1);
    is(&ev[0], c, WEIR_EV_CLOSED);
}

static void batch_of_one(void **state)
{
    (void)state;
    struct weir_conn *c[4];
    for (unsigned i = 0; i < 4; i++)
        weir_conn_event(&fx.t, c[i] = quiet((uint16_t)i), WEIR_EV_SENT);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 0), 0);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 1), 1);
    is(&ev[0], c[0], WEIR_EV_SENT);
    weir_conn_event(&fx.t, c[0], WEIR_EV_CLOSED); /* behind those that wait already */
    weir_conn_event(&fx.t, c[2], WEIR_EV_CLOSED); /* keeps its place */
    for (unsigned i = 1; i < 4; i++) {
        assert_true(weir_tcp_has_events(&fx.t));
        assert_int_equal(weir_tcp_events(&fx.t, ev, 1), 1);
        is(&ev[0], c[i], i == 2 ? WEIR_EV_SENT | WEIR_EV_CLOSED : WEIR_EV_SENT);
    }
    assert_int_equal(weir_tcp_events(&fx.t, ev, 1), 1);
    is(&ev[0], c[0], WEIR_EV_CLOSED);
    assert_false(weir_tcp_has_events(&fx.t));
}

/* One that was given up or has died takes no place in a batch. */
static void the_gone_are_not_told(void **state)
{
    (void)state;
    struct weir_conn *c[4];
    for (unsigned i = 0; i < 4; i++)
        weir_conn_event(&fx.t, c[i] = quiet((uint16_t)i), WEIR_EV_SENT);
    c[0]->flags |= WEIR_C_DETACHED;
    weir_conn_free(&fx.t, c[1]);
    c[2]->events = 0; /* as weir_close leaves it */
    assert_int_equal(weir_tcp_events(&fx.t, ev, 1), 1);
    is(&ev[0], c[3], WEIR_EV_SENT);
    weir_conn_event(&fx.t, c[0], WEIR_EV_SENT);
    assert_false(weir_tcp_has_events(&fx.t));
    assert_int_equal(c[0]->events & WEIR_EV_CLOSED, 0);
}

static void read_fires_once_an_arming(void **state)
{
    (void)state;
    struct weir_conn *c = quiet(1);
    struct weir_iov iov;
    weir_conn_readable(&fx.t, c);
    assert_false(weir_tcp_has_events(&fx.t));
    assert_int_equal(weir_tcp_read(&fx.t, c->id, &iov, 1), WEIR_EAGAIN); /* arms it */
    for (unsigned i = 0; i < 3; i++)
        weir_conn_readable(&fx.t, c);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 8), 1);
    is(&ev[0], c, WEIR_EV_READ);
    weir_conn_readable(&fx.t, c);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 8), 0);
    uint8_t byte;
    assert_int_equal(weir_tcp_recv(&fx.t, c->id, &byte, 1), WEIR_EAGAIN);
    weir_conn_readable(&fx.t, c);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 8), 1);
    is(&ev[0], c, WEIR_EV_READ);
}

/* WRITE waits until a write is worthwhile: a quarter of the buffer. */
static void write_fires_once_an_arming(void **state)
{
    (void)state;
    struct weir_conn *c = quiet(1);
    c->sndbuf = 4000;
    weir_conn_writable(&fx.t, c);
    assert_false(weir_tcp_has_events(&fx.t));
    assert_int_equal(fx_write(c, 5000), 4000); /* cut short: armed */
    weir_conn_writable(&fx.t, c);
    assert_false(weir_tcp_has_events(&fx.t));
    assert_int_equal(fx_write(c, 1), WEIR_EAGAIN);
    (void)weir_sendq_ack(&c->sq, &fx.t.mem, c->sq.una + 999);
    weir_conn_writable(&fx.t, c);
    assert_false(weir_tcp_has_events(&fx.t));
    (void)weir_sendq_ack(&c->sq, &fx.t.mem, c->sq.una + 1);
    weir_conn_writable(&fx.t, c);
    weir_conn_writable(&fx.t, c);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 8), 1);
    is(&ev[0], c, WEIR_EV_WRITE);
    weir_conn_writable(&fx.t, c);
    assert_false(weir_tcp_has_events(&fx.t));
    fx_queue(c, 10); /* all taken: not armed */
    weir_conn_writable(&fx.t, c);
    assert_false(weir_tcp_has_events(&fx.t));
}

/* Nobody has its id before it is accepted; then all that happened is told. The listener comes once, and not
 * when nobody is there any more. */
static void accept_comes_before_the_rest(void **state)
{
    (void)state;
    weir_id lid, id;
    struct weir_opts opts = {.user = 4711};
    struct weir_conn *c[2];
    assert_int_equal(weir_tcp_listen(&fx.t, 0, 80, &opts, &lid), 0);
    for (unsigned i = 0; i < 2; i++) {
        c[i] = quiet((uint16_t)(1 + i));
        c[i]->listener = 1;
        c[i]->flags |= WEIR_C_HALF_OPEN;
        fx.t.lis[0].half_open++;
        weir_conn_established(&fx.t, c[i]);
        weir_conn_event(&fx.t, c[i], WEIR_EV_READ);
    }
    assert_int_equal(weir_tcp_ready(&fx.t, lid), WEIR_EV_ACCEPT);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 8), 1);
    assert_int_equal(ev[0].id, lid);
    assert_int_equal(ev[0].mask, WEIR_EV_ACCEPT);
    assert_int_equal(ev[0].user, 4711);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(weir_tcp_accept(&fx.t, lid, &id, NULL), 0);
        assert_int_equal(id, c[i]->id);
        assert_int_equal(weir_tcp_events(&fx.t, ev, 8), 1);
        is(&ev[0], c[i], WEIR_EV_READ);
    }
    assert_int_equal(weir_tcp_accept(&fx.t, lid, &id, NULL), WEIR_EAGAIN);
    assert_int_equal(weir_tcp_ready(&fx.t, lid), 0);
    weir_listener_event(&fx.t, &fx.t.lis[0]);
    weir_listener_event(&fx.t, &fx.t.lis[0]);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 8), 0);
    assert_int_equal(fx.t.lis_ready, 0);
}

static void listeners_leave_their_list(void **state)
{
    (void)state;
    weir_id id[4];
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(weir_tcp_listen(&fx.t, 0, (uint16_t)(80 + i), NULL, &id[i]), 0);
        weir_listener_event(&fx.t, &fx.t.lis[i]);
        fx.t.lis[i].accept_first = 1; /* as if somebody waited */
    }
    fx.t.lis[2].accept_first = 0;
    assert_int_equal(weir_tcp_close(&fx.t, id[2], WEIR_CLOSE_GRACEFUL), 0);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 1), 1);
    assert_int_equal(weir_tcp_events(&fx.t, ev + 1, 8), 2);
    uint32_t seen = 0;
    for (unsigned i = 0; i < 3; i++)
        seen |= 1u << (ev[i].id & 7);
    assert_int_equal(seen, 0xb);
    for (unsigned i = 0; i < 4; i++)
        fx.t.lis[i].accept_first = 0;
}

static void levels(void **state)
{
    (void)state;
    struct weir_conn *c = quiet(1);
    assert_int_equal(weir_tcp_ready(&fx.t, 0), 0);
    assert_int_equal(weir_tcp_ready(&fx.t, c->id), WEIR_EV_WRITE);
    c->flags |= WEIR_C_FIN_READ;
    c->state = WEIR_TCP_CLOSE_WAIT;
    assert_int_equal(weir_tcp_ready(&fx.t, c->id), WEIR_EV_READ | WEIR_EV_WRITE);
    c->sndbuf = 2048;
    fx_queue(c, 2048);
    assert_int_equal(weir_tcp_ready(&fx.t, c->id), WEIR_EV_READ);
    weir_id id = c->id;
    weir_conn_dead(&fx.t, c, WEIR_ECONNRESET);
    assert_int_equal(weir_tcp_ready(&fx.t, id), WEIR_EV_READ | WEIR_EV_ERROR | WEIR_EV_CLOSED);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 8), 1);
    assert_int_equal(ev[0].mask, WEIR_EV_ERROR); /* READ was not armed */
    assert_int_equal(weir_tcp_close(&fx.t, id, WEIR_CLOSE_GRACEFUL), 0);
    assert_int_equal(weir_tcp_ready(&fx.t, id), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mask_accumulates_in_one_entry, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(batch_of_one, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(the_gone_are_not_told, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(read_fires_once_an_arming, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(write_fires_once_an_arming, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(accept_comes_before_the_rest, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(listeners_leave_their_list, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(levels, fx_open, fx_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
