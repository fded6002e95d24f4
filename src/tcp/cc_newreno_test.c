/* cc_newreno_test.c: the initial window of RFC 6928, slow start by bytes, one segment a window in congestion
 * avoidance, and what losses, time-outs and pauses do to it (RFC 5681). */
#include "tcp/tcp_fixture.h"

static struct weir_conn *conn_at(uint32_t cwnd, uint32_t ssthresh)
{
    struct weir_conn *c = fx_conn(1000);
    c->cwnd = cwnd;
    c->ssthresh = ssthresh;
    return c;
}

/* min (10 MSS, max (2 MSS, 14600)) */
static void initial_window(void **state)
{
    static const struct {
        uint32_t mss, window;
    } table[] = {{52, 520},     {64, 640},     {536, 5360},   {1000, 10000}, {1448, 14480}, {1460, 14600},
                 {1461, 14600}, {4380, 14600}, {7300, 14600}, {7301, 14602}, {8960, 17920}, {65495, 130990}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(weir_cc_initial(table[i].mss), table[i].window);
}

static void opens_by_what_segments_carry(void **state)
{
    (void)state;
    struct weir_conn *c = conn_at(1, 1);
    c->mss = 1460;
    c->cc.acked = 77;
    weir_cc_newreno.open(c);
    assert_int_equal(c->cwnd, 14600);
    assert_true(c->ssthresh >= 0x3fffffff);
    assert_int_equal(c->cc.acked, 0);
    c->flags |= WEIR_C_TS; /* 12 bytes less in each */
    weir_cc_newreno.open(c);
    assert_int_equal(c->cwnd, 14480);
}

static void slow_start_counts_bytes(void **state)
{
    (void)state;
    struct weir_conn *c = conn_at(10000, 0x3fffffff);
    weir_cc_newreno.acked(c, 1, 1);
    assert_int_equal(c->cwnd, 10001);
    weir_cc_newreno.acked(c, 9999, 1);
    assert_int_equal(c->cwnd, 20000);
    weir_cc_newreno.acked(c, 20000, 0); /* not cwnd held the sender back: RFC 7661 */
    assert_int_equal(c->cwnd, 20000);
    c->cwnd = 0x3ffffff0;
    weir_cc_newreno.acked(c, 0x3fffffff, 1);
    assert_int_equal(c->cwnd, 0x3fffffff);
    weir_cc_newreno.acked(c, 0x3fffffff, 1);
    assert_int_equal(c->cwnd, 0x3fffffff);
}

/* Slow start ends at ssthresh, also within one large acknowledgement; its rest counts for avoidance. */
static void slow_start_ends_at_ssthresh(void **state)
{
    (void)state;
    struct weir_conn *c = conn_at(10000, 12000);
    weir_cc_newreno.acked(c, 2000, 1);
    assert_int_equal(c->cwnd, 12000);
    assert_int_equal(c->cc.acked, 0);
    c = conn_at(10000, 12000);
    weir_cc_newreno.acked(c, 9000, 1);
    assert_int_equal(c->cwnd, 12000);
    assert_int_equal(c->cc.acked, 7000);
    weir_cc_newreno.acked(c, 5000, 1);
    assert_int_equal(c->cwnd, 13000);
}

static void avoidance_adds_a_segment_a_window(void **state)
{
    (void)state;
    struct weir_conn *c = conn_at(10000, 10000);
    for (unsigned i = 0; i < 9; i++)
        weir_cc_newreno.acked(c, 1000, 1);
    assert_int_equal(c->cwnd, 10000);
    weir_cc_newreno.acked(c, 999, 0); /* does not count */
    weir_cc_newreno.acked(c, 999, 1);
    assert_int_equal(c->cwnd, 10000);
    weir_cc_newreno.acked(c, 1001, 1); /* 1,000 over */
    assert_int_equal(c->cwnd, 11000);
    weir_cc_newreno.acked(c, 9999, 1);
    assert_int_equal(c->cwnd, 11000);
    weir_cc_newreno.acked(c, 1, 1);
    assert_int_equal(c->cwnd, 12000);
    weir_cc_newreno.acked(c, 12000, 1);
    assert_int_equal(c->cwnd, 13000);
}

/* However a window is acknowledged, it grows by one segment; in slow start by itself. */
static void any_acknowledgements(void **state)
{
    (void)state;
    struct weir_sim sim = test_seed("any_acknowledgements");
    for (unsigned run = 0; run < 200; run++) {
        uint32_t cwnd = 2000 + test_below(&sim, 200000);
        bool slow = run % 2 == 0;
        struct weir_conn *c = conn_at(cwnd, slow ? 0x3fffffff : cwnd);
        for (uint32_t left = cwnd; left > 0;) {
            uint32_t n = 1 + test_below(&sim, weir_min_u32(left, 1u << test_below(&sim, 17)));
            assert_true(c->cwnd == cwnd || slow);
            weir_cc_newreno.acked(c, n, 1);
            left -= n;
        }
        assert_int_equal(c->cwnd, slow ? 2 * cwnd : cwnd + FX_MSS);
        weir_conn_free(&fx.t, c);
    }
}

/* Half of what was out, not of cwnd; at least two segments (RFC 5681, equation 4). */
static void loss_halves(void **state)
{
    static const struct {
        uint32_t flight, ssthresh;
    } table[] = {{20000, 10000}, {4001, 2000}, {4000, 2000},
                 {3999, 2000},   {1, 2000},    {0x7fffffff, 0x3fffffff}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct weir_conn *c = conn_at(50000, 0x3fffffff);
        c->cc.acked = 77;
        weir_cc_newreno.lost(c, table[i].flight);
        assert_int_equal(c->ssthresh, table[i].ssthresh);
        assert_int_equal(c->cwnd, table[i].ssthresh);
        assert_int_equal(c->cc.acked, 0);
        weir_conn_free(&fx.t, c);
    }
}

static void timeout_begins_with_one_segment(void **state)
{
    (void)state;
    struct weir_conn *c = conn_at(50000, 0x3fffffff);
    c->cc.acked = 77;
    weir_cc_newreno.timeout(c, 20000, 1);
    assert_int_equal(c->ssthresh, 10000);
    assert_int_equal(c->cwnd, FX_MSS);
    assert_int_equal(c->cc.acked, 0);
    weir_cc_newreno.timeout(c, 1000, 0); /* again for the same data: ssthresh stays */
    assert_int_equal(c->ssthresh, 10000);
    assert_int_equal(c->cwnd, FX_MSS);
    weir_cc_newreno.timeout(c, 1000, 1);
    assert_int_equal(c->ssthresh, 2 * FX_MSS);
    c->flags |= WEIR_C_TS;
    weir_cc_newreno.timeout(c, 1000, 1);
    assert_int_equal(c->ssthresh, 2 * (FX_MSS - 12));
    assert_int_equal(c->cwnd, FX_MSS - 12);
}

/* RFC 5681 4.1: the restart window is the smaller of cwnd and the initial window. */
static void idle_restarts(void **state)
{
    (void)state;
    struct weir_conn *c = conn_at(50000, 40000);
    weir_cc_newreno.idle(c);
    assert_int_equal(c->cwnd, 10000);
    assert_int_equal(c->ssthresh, 40000);
    c->cwnd = 3000;
    weir_cc_newreno.idle(c);
    assert_int_equal(c->cwnd, 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(initial_window, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(opens_by_what_segments_carry, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(slow_start_counts_bytes, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(slow_start_ends_at_ssthresh, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(avoidance_adds_a_segment_a_window, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(any_acknowledgements, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(loss_halves, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(timeout_begins_with_one_segment, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(idle_restarts, fx_open, fx_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
