/* recovery_test.c: loss found by duplicate acknowledgements and by time-outs, on the records directly: what
 * is marked, what cwnd and ssthresh become, what goes out at once. */
#include "tcp/tcp_fixture.h"

#define MSS FX_MSS

/* Offset in the stream -> sequence number. */
static uint32_t at(uint32_t offset)
{
    return FX_ISS + 1 + offset;
}

/* A connection with n segments out and `more` bytes queued behind them, cwnd 10 segments. */
static struct weir_conn *flying(uint32_t n, uint32_t more)
{
    struct weir_conn *c = fx_established(1000);
    if (n * MSS + more) fx_queue(c, n * MSS + more);
    if (n) assert_true(weir_txlist_sent(&c->tx, &fx.t.mem, at(n * MSS), (uint32_t)fx.t.now_us));
    return c;
}

static void dupacks(struct weir_conn *c, unsigned n)
{
    while (n--) {
        weir_tcp_dupack(&fx.t, c);
        fx_check(c);
    }
}

/* Everything before the offset is acknowledged, as tcp_ack.c does it. */
static void ack(struct weir_conn *c, uint32_t upto)
{
    uint32_t flight = c->tx.nxt - c->tx.una, acked = at(upto) - c->tx.una;
    (void)weir_txlist_ack(&c->tx, &fx.t.mem, at(upto));
    (void)weir_sendq_ack(&c->sq, &fx.t.mem, at(upto));
    weir_tcp_newack(&fx.t, c, acked, flight);
    fx_check(c);
}

/* The first stretch marked lost. */
static void lost_is(const struct weir_conn *c, uint32_t from, uint32_t to)
{
    uint32_t seq = 0, end = 0;
    assert_int_equal(c->tx.lost, to - from);
    if (from == to) return;
    assert_true(weir_txlist_next_lost(&c->tx, &fx.t.mem, &seq, &end));
    assert_int_equal(seq, at(from));
    assert_int_equal(end, at(to));
}

static void three_dupacks_begin_recovery(void **state)
{
    (void)state;
    struct weir_conn *c = flying(10, 0);
    dupacks(c, 2);
    assert_int_equal(c->flags & (WEIR_C_RECOVERY | WEIR_C_FORCE), 0);
    assert_int_equal(c->cwnd, 10 * MSS);
    lost_is(c, 0, 0);
    dupacks(c, 1);
    assert_int_equal(c->flags & (WEIR_C_RECOVERY | WEIR_C_FORCE | WEIR_C_DIRTY | WEIR_C_TIMING),
                     WEIR_C_RECOVERY | WEIR_C_FORCE | WEIR_C_DIRTY | WEIR_C_TIMING);
    assert_int_equal(c->ssthresh, 5 * MSS);
    assert_int_equal(c->cwnd, 8 * MSS); /* and the three that have left */
    assert_int_equal(c->recover, at(10 * MSS) - 1);
    lost_is(c, 0, MSS);
    assert_int_equal(c->tx.pipe, 9 * MSS);
    assert_int_equal(fx_sent(), 0);
    weir_tcp_output_all(&fx.t); /* though the pipe is fuller than cwnd */
    assert_int_equal(fx_sent(), 1);
    fx_expect(c, 0, at(0), MSS);
    lost_is(c, 0, 0);
    dupacks(c, 2); /* each one more has left */
    assert_int_equal(c->cwnd, 10 * MSS);
    assert_int_equal(c->ssthresh, 5 * MSS);
    assert_int_equal(fx.t.stats->dup_acks, 5);
    assert_int_equal(fx.t.stats->fast_recoveries, 1);
}

/* Less than a segment is out: that much is lost, and ssthresh has its floor. */
static void small_flight(void **state)
{
    (void)state;
    struct weir_conn *c = flying(0, 300);
    assert_true(weir_txlist_sent(&c->tx, &fx.t.mem, at(300), 1));
    dupacks(c, 3);
    lost_is(c, 0, 300);
    assert_int_equal(c->ssthresh, 2 * MSS);
    assert_int_equal(c->cwnd, 5 * MSS);
}

/* RFC 3042: one new segment for each of the first two, beyond cwnd, which stays; what they put out does not
 * count for ssthresh (RFC 5681 3.2 step 2). */
static void limited_transmit(void **state)
{
    (void)state;
    struct weir_conn *c = flying(10, 5 * MSS);
    for (uint32_t i = 0; i < 2; i++) {
        dupacks(c, 1);
        assert_int_equal(fx_sent(), i + 1);
        fx_expect(c, 0, at((10 + i) * MSS), MSS);
        assert_int_equal(c->cwnd, 10 * MSS);
        assert_int_equal(c->tx.pipe, (11 + i) * MSS);
    }
    dupacks(c, 1);
    assert_int_equal(fx_sent(), 2);
    lost_is(c, 0, MSS);
    assert_int_equal(c->ssthresh, 5 * MSS);
    assert_int_equal(c->cwnd, 8 * MSS);
    assert_int_equal(c->recover, at(12 * MSS) - 1);
}

static void limited_transmit_keeps_to_the_window(void **state)
{
    (void)state;
    struct weir_conn *c = flying(10, 5 * MSS);
    c->snd_wnd = 11 * MSS;
    dupacks(c, 2);
    assert_int_equal(fx_sent(), 1);
    assert_int_equal(c->cwnd, 10 * MSS);
    c = flying(10, 0); /* nothing new to send */
    dupacks(c, 2);
    assert_int_equal(fx_sent(), 1);
}

/* What limited transmit put out is forgotten when its dupacks were a reordering. */
static void reordering_leaves_no_trace(void **state)
{
    (void)state;
    struct weir_conn *c = flying(10, 2 * MSS);
    dupacks(c, 2);
    ack(c, 2 * MSS);
    assert_int_equal(c->dupacks, 0);
    assert_int_equal(c->flags & WEIR_C_RECOVERY, 0);
    assert_int_equal(c->cwnd, 12 * MSS);
    dupacks(c, 3);
    assert_int_equal(c->ssthresh, 5 * MSS); /* of the 10 that are out */
    lost_is(c, 2 * MSS, 3 * MSS);
}

/* RFC 6582 3.2 step 2: a window is recovered once; what is out again when it is all acknowledged is another.
 * A loss 2 GiB after the last one is found too: `recover` is not compared then. */
static void one_recovery_a_window(void **state)
{
    (void)state;
    struct weir_conn *c = flying(10, 0);
    dupacks(c, 20);
    assert_int_equal(fx.t.stats->fast_recoveries, 1);
    ack(c, 10 * MSS - 1);
    dupacks(c, 5);
    assert_int_equal(fx.t.stats->fast_recoveries, 1);
    ack(c, 10 * MSS);
    fx_queue(c, 5 * MSS);
    assert_true(weir_txlist_sent(&c->tx, &fx.t.mem, at(15 * MSS), 7));
    c->recover = c->tx.una + 0x80000001u;
    dupacks(c, 3);
    assert_int_equal(fx.t.stats->fast_recoveries, 2);
    assert_int_equal(c->recover, at(15 * MSS) - 1);
}

static void partial_ack_loses_the_next_hole(void **state)
{
    (void)state;
    struct weir_conn *c = flying(10, 0);
    dupacks(c, 3);
    weir_tcp_output_all(&fx.t);
    ack(c, 3 * MSS); /* deflated by what it covers, one segment back (RFC 6582 3.2 step 3) */
    assert_int_equal(c->flags & WEIR_C_RECOVERY, WEIR_C_RECOVERY);
    assert_int_equal(c->cwnd, 6 * MSS);
    assert_int_equal(c->ssthresh, 5 * MSS);
    lost_is(c, 3 * MSS, 4 * MSS);
    weir_tcp_output_all(&fx.t);
    fx_expect(c, 0, at(3 * MSS), MSS);
    ack(c, 3 * MSS + 500); /* less than a segment: nothing back */
    assert_int_equal(c->cwnd, 5 * MSS + 500);
    ack(c, 9 * MSS); /* more than cwnd */
    assert_int_equal(c->cwnd, 2 * MSS);
    assert_int_equal(c->flags & WEIR_C_RECOVERY, WEIR_C_RECOVERY);
    ack(c, 10 * MSS - 1);
    assert_int_equal(c->flags & WEIR_C_RECOVERY, WEIR_C_RECOVERY);
}

/* min (ssthresh, max (flight, MSS) + MSS): no burst. */
static void full_ack_ends_recovery(void **state)
{
    (void)state;
    for (uint32_t left = 0; left < 10; left++) {
        struct weir_conn *c = flying(10, left * MSS);
        c->cwnd = 8 * MSS; /* no limited transmit */
        dupacks(c, 3);
        assert_int_equal(fx_sent(), 0);
        if (left) assert_true(weir_txlist_sent(&c->tx, &fx.t.mem, at((10 + left) * MSS), 7));
        ack(c, 10 * MSS);
        assert_int_equal(c->flags & WEIR_C_RECOVERY, 0);
        assert_int_equal(c->dupacks, 0);
        assert_int_equal(c->cwnd, weir_min_u32(c->ssthresh, weir_max_u32(left, 1) * MSS + MSS));
        weir_conn_free(&fx.t, c);
    }
}

/* cwnd grows only where it held the sender back. */
static void ack_outside_recovery(void **state)
{
    (void)state;
    struct weir_conn *c = flying(10, 0);
    c->dupacks = 2;
    ack(c, 2 * MSS);
    assert_int_equal(c->dupacks, 0);
    assert_int_equal(c->cwnd, 12 * MSS);
    ack(c, 4 * MSS); /* 8 were out, 12 could have been */
    assert_int_equal(c->cwnd, 12 * MSS);
}

static void timeout_loses_everything(void **state)
{
    (void)state;
    struct weir_conn *c = flying(10, 0);
    dupacks(c, 2);
    c->retries = 1; /* the timer has counted it */
    weir_tcp_timeout(&fx.t, c);
    fx_check(c);
    lost_is(c, 0, 10 * MSS);
    assert_int_equal(c->tx.pipe, 0);
    assert_int_equal(c->cwnd, MSS);
    assert_int_equal(c->ssthresh, 5 * MSS);
    assert_int_equal(c->recover, at(10 * MSS) - 1);
    assert_int_equal(c->rto_us, 2000000);
    assert_int_equal(c->rexmt_ms, fx.t.now_ms + 2001);
    assert_int_equal(c->timeouts, 1);
    assert_int_equal(c->flags & WEIR_C_RTO, WEIR_C_RTO);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(fx_sent(), 1);
    fx_expect(c, 0, at(0), MSS);
    lost_is(c, MSS, 10 * MSS);
    dupacks(c, 5); /* echoes of what was sent again */
    assert_int_equal(c->dupacks, 0);
    assert_int_equal(c->cwnd, MSS);
    assert_int_equal(c->flags & WEIR_C_RECOVERY, 0);
}

/* Slow start over what was lost, until all that was out then is acknowledged. */
static void slow_start_after_a_timeout(void **state)
{
    (void)state;
    struct weir_conn *c = flying(10, 0);
    weir_tcp_timeout(&fx.t, c);
    weir_tcp_output_all(&fx.t);
    ack(c, MSS);
    assert_int_equal(c->cwnd, 2 * MSS);
    weir_conn_dirty(&fx.t, c);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(c->tx.pipe, 2 * MSS);
    lost_is(c, 3 * MSS, 10 * MSS);
    assert_int_equal(c->flags & WEIR_C_RTO, WEIR_C_RTO);
    ack(c, 10 * MSS - 1);
    assert_int_equal(c->flags & WEIR_C_RTO, WEIR_C_RTO);
    ack(c, 10 * MSS);
    assert_int_equal(c->flags & WEIR_C_RTO, 0);
}

/* RFC 5681 equation 4 holds for the first time-out of a segment; the time doubles up to its limit. */
static void timeouts_in_a_row(void **state)
{
    (void)state;
    struct weir_conn *c = flying(10, 0);
    uint32_t rto_us = 1000000;
    for (unsigned i = 1; i < 12; i++) {
        c->retries = (uint8_t)i;
        weir_tcp_timeout(&fx.t, c);
        rto_us = weir_min_u32(2 * rto_us, 60000000);
        assert_int_equal(c->rto_us, rto_us);
        assert_int_equal(c->ssthresh, i == 1 ? 5 * MSS : 7 * MSS);
        c->ssthresh = 7 * MSS;
        assert_int_equal(c->cwnd, MSS);
        lost_is(c, 0, 10 * MSS);
        weir_tcp_output_all(&fx.t);
        lost_is(c, MSS, 10 * MSS);
    }
    assert_int_equal(fx.t.stats->timeouts, 11);
}

static void timeout_ends_fast_recovery(void **state)
{
    (void)state;
    struct weir_conn *c = flying(10, 0);
    dupacks(c, 5);
    c->retries = 1;
    weir_tcp_timeout(&fx.t, c);
    assert_int_equal(c->flags & (WEIR_C_RECOVERY | WEIR_C_RTO), WEIR_C_RTO);
    assert_int_equal(c->cwnd, MSS);
    ack(c, 2 * MSS); /* no partial acknowledgement */
    assert_int_equal(c->cwnd, 3 * MSS);
}

/* Of a SYN: no cwnd there yet; and with nothing out only the time doubles. */
static void timeout_of_a_syn(void **state)
{
    (void)state;
    struct weir_conn *c = fx_conn(1000);
    weir_tcp_begin(&fx.t, c, FX_ISS, 0);
    c->state = WEIR_TCP_SYN_SENT;
    weir_tcp_timeout(&fx.t, c);
    assert_int_equal(c->tx.lost, 0);
    assert_int_equal(c->rto_us, 2000000);
    assert_true(weir_txlist_sent(&c->tx, &fx.t.mem, c->iss + 1, 1));
    weir_tcp_timeout(&fx.t, c);
    assert_int_equal(c->tx.lost, 1);
    assert_int_equal(c->cwnd, 0);
    assert_int_equal(c->ssthresh, 0);
    assert_int_equal(c->rto_us, 4000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(three_dupacks_begin_recovery, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(small_flight, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(limited_transmit, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(limited_transmit_keeps_to_the_window, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(reordering_leaves_no_trace, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(one_recovery_a_window, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(partial_ack_loses_the_next_hole, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(full_ack_ends_recovery, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(ack_outside_recovery, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(timeout_loses_everything, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(slow_start_after_a_timeout, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(timeouts_in_a_row, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(timeout_ends_fast_recovery, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(timeout_of_a_syn, fx_open, fx_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
