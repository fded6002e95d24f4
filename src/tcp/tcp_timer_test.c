/* tcp_timer_test.c: one entry of the wheel for all timers of a connection, never early, within budgets; and
 * what each timer does when its time has come. */
#include "tcp/tcp_fixture.h"

static uint32_t entry_ms(const struct weir_conn *c)
{
    assert_true(weir_wheel_pending(&fx.t.wheel, weir_conn_index(&fx.t, c)));
    return fx.t.node[weir_conn_index(&fx.t, c)].when_ms;
}

static void ack_in(struct weir_conn *c, uint32_t ms)
{
    c->flags |= WEIR_C_ACK_LATER;
    c->delack_ms = fx.t.now_ms + ms;
    weir_conn_timers(&fx.t, c);
}

static void run(void)
{
    weir_tcp_timers(&fx.t, 1000);
}

/* Data is out, and its timer runs. */
static struct weir_conn *waiting(uint16_t rport)
{
    struct weir_conn *c = fx_established(rport);
    fx_queue(c, 1000);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(c->flags & (WEIR_C_TIMING | WEIR_C_PERSIST), WEIR_C_TIMING);
    return c;
}

/* ---- the entry ---- */

static void later_only_stores_and_earlier_moves(void **state)
{
    (void)state;
    struct weir_conn *c = fx_established(1000);
    uint32_t start = fx.t.now_ms;
    weir_tcp_rexmt_start(&fx.t, c);
    assert_int_equal(c->rexmt_ms, start + 1001);
    assert_int_equal(entry_ms(c), start + 1001);
    fx_pass_ms(600);
    weir_tcp_rexmt_start(&fx.t, c); /* as each acknowledgement does */
    assert_int_equal(c->rexmt_ms, start + 1601);
    assert_int_equal(entry_ms(c), start + 1001);
    weir_tcp_keep_start(&fx.t, c, 5000);
    assert_int_equal(entry_ms(c), start + 1001);
    ack_in(c, 40);
    assert_int_equal(entry_ms(c), start + 640);
    assert_int_equal(fx.t.wheel.pending, 1);

    fx_pass_ms(40);
    run(); /* one of them was due, the entry is for the next one then */
    assert_int_equal(c->flags & (WEIR_C_ACK_NOW | WEIR_C_ACK_LATER), WEIR_C_ACK_NOW);
    assert_int_equal(entry_ms(c), start + 1601);
    assert_int_equal(c->timeouts, 0);
}

static void early_entry_is_set_again(void **state)
{
    (void)state;
    struct weir_conn *c = waiting(1000);
    uint32_t start = fx.t.now_ms;
    fx_pass_ms(500);
    weir_tcp_rexmt_start(&fx.t, c);
    fx_pass_ms(501);
    run();
    assert_int_equal(c->timeouts, 0);
    assert_int_equal(entry_ms(c), start + 1501);
    fx_pass_ms(499);
    run();
    assert_int_equal(c->timeouts, 0);
    fx_pass_ms(1);
    run();
    assert_int_equal(c->timeouts, 1);
    assert_int_equal(c->retries, 1);
}

static void stopped_timer_does_nothing(void **state)
{
    (void)state;
    struct weir_conn *c = waiting(1000);
    weir_tcp_rexmt_stop(&fx.t, c);
    fx_pass_ms(2000);
    run();
    assert_int_equal(c->timeouts, 0);
    assert_int_equal(fx.t.wheel.pending, 0);
}

/* Whatever the fraction of a millisecond: not before the time-out, and at most two milliseconds after it. */
static void never_early(void **state)
{
    struct weir_sim sim = test_seed("never_early");
    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        fx_time_us(fx.t.now_us + test_below(&sim, 5000));
        struct weir_conn *c = waiting(1000);
        uint64_t start = fx.t.now_us;
        c->rto_us = 1000 + test_below(&sim, 20000);
        weir_tcp_rexmt_stop(&fx.t, c);
        weir_wheel_cancel(&fx.t.wheel, weir_conn_index(&fx.t, c));
        weir_tcp_rexmt_start(&fx.t, c);
        uint32_t rto_us = c->rto_us;
        while (c->timeouts == 0) {
            fx_time_us(fx.t.now_us + 1 + test_below(&sim, 300));
            run();
        }
        assert_true(fx.t.now_us - start >= rto_us);
        assert_true(fx.t.now_us - start <= rto_us + 2000 + 300);
        weir_conn_free(&fx.t, c);
    }
}

static void budget_is_kept(void **state)
{
    (void)state;
    struct weir_conn *c[8];
    for (unsigned i = 0; i < 8; i++)
        ack_in(c[i] = fx_established((uint16_t)(1000 + i)), 10 + i);
    fx_pass_ms(100);
    for (unsigned done = 0; done < 8;) {
        weir_tcp_timers(&fx.t, 3);
        done = weir_min_u32(done + 3, 8);
        unsigned fired = 0;
        for (unsigned i = 0; i < 8; i++)
            fired += (c[i]->flags & WEIR_C_ACK_NOW) != 0;
        assert_int_equal(fired, done);
        assert_int_equal(fx.t.wheel.pending, 8 - done);
    }
    weir_tcp_timers(&fx.t, 0);
}

static void time_wait_has_a_budget_of_its_own(void **state)
{
    struct weir_config conf = fx_config();
    (void)state;
    conf.timewait = 100;
    fx_reopen(&conf);
    struct weir_conn c = {.laddr = 1, .raddr = 2, .lport = 3};
    for (c.rport = 1; c.rport <= 100; c.rport++)
        weir_tw_add(&fx.t, &c);
    fx_pass_ms(2000);
    weir_tcp_timers(&fx.t, 0);
    assert_int_equal(fx.t.tw_live, 36);
    weir_tcp_timers(&fx.t, 0);
    assert_int_equal(fx.t.tw_live, 0);
}

static void next_is_the_nearest(void **state)
{
    (void)state;
    uint32_t when;
    assert_false(weir_tcp_next(&fx.t, &when));
    struct weir_conn *c = fx_established(1000);
    weir_tw_add(&fx.t, c); /* 2 seconds */
    assert_true(weir_tcp_next(&fx.t, &when));
    assert_int_equal(when, fx.t.now_ms + 2000);
    ack_in(c, 20);
    assert_true(weir_tcp_next(&fx.t, &when));
    assert_int_equal(when, fx.t.now_ms + 20);
    fx_pass_ms(20);
    run();
    assert_true(weir_tcp_next(&fx.t, &when));
    assert_int_equal(when, fx.t.now_ms + 1980);
}

/* ---- any arming, against deadlines in an array ---- */

static uint32_t deadline[8]; /* 0: none */

static void deadline_step(struct weir_sim *sim, struct weir_conn *c[8])
{
    uint32_t i = test_below(sim, 8), ms = 1 + test_below(sim, 1u << test_below(sim, 14));
    switch (test_below(sim, 4)) {
    case 0:
        fx_pass_ms(ms);
        run();
        for (unsigned k = 0; k < 8; k++)
            if (deadline[k] && (int32_t)(fx.t.now_ms - deadline[k]) >= 0) deadline[k] = 0;
        break;
    case 1: /* acknowledged on the way of something else */
        c[i]->flags &= ~(uint32_t)WEIR_C_ACK_LATER;
        deadline[i] = 0;
        break;
    default:
        ack_in(c[i], ms);
        deadline[i] = c[i]->delack_ms ? c[i]->delack_ms : 1;
    }
}

static void any_arming(void **state)
{
    struct weir_conn *c[8];
    uint32_t when;
    (void)state;
    memset(deadline, 0, sizeof deadline);
    for (unsigned i = 0; i < 8; i++)
        c[i] = fx_established((uint16_t)(1000 + i));
    struct weir_sim sim = test_seed("any_arming");
    for (unsigned n = 0; n < 50000; n++) {
        deadline_step(&sim, c);
        for (unsigned i = 0; i < 8; i++) {
            assert_int_equal((c[i]->flags & WEIR_C_ACK_LATER) != 0, deadline[i] != 0);
            if (!deadline[i]) continue;
            assert_true((int32_t)(deadline[i] - entry_ms(c[i])) >= 0);
            assert_true(weir_tcp_next(&fx.t, &when));
            assert_true((int32_t)(deadline[i] - when) >= 0);
        }
    }
}

/* ---- what they do ---- */

/* Runs every timer until the connection has come to its end; how many milliseconds that took. */
static uint32_t until_closed(const struct weir_conn *c)
{
    uint32_t start = fx.t.now_ms, when;
    while (c->id && c->state != WEIR_TCP_CLOSED) {
        assert_true(weir_tcp_next(&fx.t, &when));
        if (weir_seq_lt(fx.t.now_ms, when)) fx_pass_ms(when - fx.t.now_ms);
        run();
        weir_tcp_output_all(&fx.t);
    }
    return fx.t.now_ms - start;
}

/* 5 retransmissions after 1, 2, 4, 8, 16 seconds, the end after 32 more. */
static void data_is_given_up(void **state)
{
    (void)state;
    struct weir_conn *c = waiting(1000);
    uint32_t ms = until_closed(c);
    assert_in_range(ms, 63000, 63006);
    assert_int_equal(fx_sent(), 6);
    assert_int_equal(c->error, WEIR_ETIMEDOUT);
    assert_int_equal(c->timeouts, 5);
    for (unsigned i = 0; i < 6; i++)
        fx_expect(c, i, FX_ISS + 1, 1000);
    assert_int_equal(fx.t.mem.txrecs.used, 0);
}

/* 3 for a SYN, and the reason that was met on the way is the one that is told. */
static void syn_is_given_up(void **state)
{
    (void)state;
    for (unsigned soft = 0; soft < 2; soft++) {
        weir_id id;
        uint32_t before = fx_sent();
        assert_int_equal(weir_tcp_connect(&fx.t, RIG_PEER2, 80, NULL, &id), 0);
        struct weir_conn *c = weir_conn_by_id(&fx.t, id);
        weir_tcp_output_all(&fx.t);
        if (soft) c->error = WEIR_EHOSTUNREACH;
        assert_in_range(until_closed(c), 15000, 15004);
        assert_int_equal(fx_sent() - before, 4);
        assert_int_equal(c->error, soft ? WEIR_EHOSTUNREACH : WEIR_ETIMEDOUT);
    }
}

/* One byte at a time, at doubling intervals that end at a minute. */
static void shut_window_is_probed(void **state)
{
    static const uint32_t seconds[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    struct weir_tcphdr h;
    (void)state;
    fx.conf.data_retries = 32;
    fx.conf.rto_max_us = 240000000;
    struct weir_conn *c = fx_established(1000);
    c->snd_wnd = 0;
    fx_queue(c, 1000);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(fx_sent(), 0);
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(c->flags & (WEIR_C_TIMING | WEIR_C_PERSIST), WEIR_C_TIMING | WEIR_C_PERSIST);
        fx_pass_ms(1000 * seconds[i]);
        run();
        weir_tcp_output_all(&fx.t);
        assert_int_equal(fx_sent(), i);
        fx_pass_ms(1);
        run();
        weir_tcp_output_all(&fx.t);
        assert_int_equal(fx_sent(), i + 1);
        fx_expect(c, 0, FX_ISS + 1, 1);
        fx_check(c);
    }
    assert_int_equal(fx.t.stats->zwin_probes, 9);
    assert_int_equal(c->cwnd, 10000); /* no sign of congestion */
    struct weir_seg s = {.h = {.ack = FX_ISS + 2, .wnd = 5000}, .seq = c->rcv_nxt, .wnd = 5000};
    assert_true(weir_tcp_ack_input(&fx.t, c, &s)); /* open: the rest goes */
    weir_tcp_output_all(&fx.t);
    assert_int_equal(fx_segment(0, &h, NULL), 999);
    assert_int_equal(h.seq, FX_ISS + 2);
    assert_int_equal(c->flags & WEIR_C_PERSIST, 0);
    assert_int_equal(c->probes, 0);
}

static void probes_without_answer_end(void **state)
{
    (void)state;
    struct weir_conn *c = fx_established(1000);
    c->snd_wnd = 0;
    fx_queue(c, 1000);
    weir_tcp_output_all(&fx.t);
    (void)until_closed(c);
    assert_int_equal(c->error, WEIR_ETIMEDOUT);
    assert_int_equal(fx.t.stats->zwin_probes, 5);
}

/* 10 s of silence, then a probe each second: below the window, so that it must be answered. */
static void silent_peer_is_probed_and_reset(void **state)
{
    struct weir_tcphdr h;
    (void)state;
    struct weir_conn *c = fx_established(1000);
    c->flags |= WEIR_C_KEEPALIVE;
    c->heard_ms = fx.t.now_ms;
    weir_tcp_keep_start(&fx.t, c, 10000);
    fx_pass_ms(4000);
    c->heard_ms = fx.t.now_ms; /* so it is not silent for 10 s yet when the timer comes */
    fx_pass_ms(9999);
    run();
    assert_int_equal(fx_sent(), 0);
    fx_pass_ms(1);
    run();
    assert_int_equal(fx_segment(0, &h, NULL), 0);
    assert_int_equal(h.seq, FX_ISS);
    assert_int_equal(h.flags, WEIR_TCP_ACK);
    assert_in_range(until_closed(c), 3000, 3000);
    assert_int_equal(fx_sent(), 4);
    (void)fx_segment(0, &h, NULL);
    assert_int_equal(h.flags, WEIR_TCP_RST | WEIR_TCP_ACK);
    assert_int_equal(c->error, WEIR_ETIMEDOUT);
    assert_int_equal(fx.t.stats->keepalives, 3);
}

/* The end of FIN-WAIT-2 for one that was given up, and of TIME-WAIT for one that was not. */
static void long_waits_end(void **state)
{
    (void)state;
    struct weir_conn *c = fx_established(1000), *d = fx_established(1001), *e = fx_established(1002);
    c->state = d->state = WEIR_TCP_FIN_WAIT_2;
    c->flags |= WEIR_C_DETACHED;
    e->state = WEIR_TCP_TIME_WAIT;
    weir_tcp_keep_start(&fx.t, c, 2000);
    weir_tcp_keep_start(&fx.t, d, 2000);
    weir_tcp_keep_start(&fx.t, e, 2000);
    fx_pass_ms(1999);
    run();
    assert_int_equal(fx.t.live, 3);
    assert_int_equal(e->state, WEIR_TCP_TIME_WAIT);
    fx_pass_ms(1);
    run();
    assert_int_equal(c->id, 0);
    assert_int_equal(d->state, WEIR_TCP_FIN_WAIT_2); /* its application may still read */
    assert_int_equal(e->state, WEIR_TCP_CLOSED);
    assert_null(weir_conn_lookup(&fx.t, e->laddr, e->lport, e->raddr, e->rport));
    assert_int_equal(fx.t.live, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(later_only_stores_and_earlier_moves, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(early_entry_is_set_again, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(stopped_timer_does_nothing, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(never_early, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(budget_is_kept, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(time_wait_has_a_budget_of_its_own, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(next_is_the_nearest, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(any_arming, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(data_is_given_up, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(syn_is_given_up, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(shut_window_is_probed, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(probes_without_answer_end, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(silent_peer_is_probed_and_reset, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(long_waits_end, fx_open, fx_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
