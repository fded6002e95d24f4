/* rtt_test.c: RFC 6298: the arithmetic with worked numbers, its limits, and any sequence of samples against
 * the same formulas in real numbers. */
#include "tcp/tcp_fixture.h"

static void expect(const struct weir_conn *c, uint32_t srtt_us, uint32_t rttvar_us, uint32_t rto_us)
{
    assert_int_equal(c->srtt_us, srtt_us);
    assert_int_equal(c->rttvar_us, rttvar_us);
    assert_int_equal(c->rto_us, rto_us);
}

static struct weir_conn *conn_with_limits(uint32_t rto_min_us, uint32_t rto_max_us)
{
    fx.conf.rto_min_us = rto_min_us;
    fx.conf.rto_max_us = rto_max_us;
    return fx_conn(1000);
}

static void before_the_first_sample_a_second(void **state)
{
    (void)state;
    expect(conn_with_limits(1000, 60000000), 0, 0, 1000000);
    expect(conn_with_limits(1000000, 1000000), 0, 0, 1000000);
}

static void worked_example(void **state)
{
    (void)state;
    struct weir_conn *c = conn_with_limits(1000, 60000000);
    weir_tcp_rtt(&fx.t, c, 100000); /* SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR */
    expect(c, 100000, 50000, 300000);
    weir_tcp_rtt(&fx.t, c, 200000); /* RTTVAR = 3/4 50 + 1/4 100, SRTT = 7/8 100 + 1/8 200 */
    expect(c, 112500, 62500, 362500);
    weir_tcp_rtt(&fx.t, c, 12500); /* below SRTT: the error counts by its size */
    expect(c, 100000, 71875, 387500);
    weir_tcp_rtt(&fx.t, c, 100000);
    expect(c, 100000, 53906, 315624);
}

/* RTTVAR is updated with the SRTT from before the sample (2.3). */
static void variance_comes_before_the_mean(void **state)
{
    (void)state;
    struct weir_conn *c = conn_with_limits(1000, 60000000);
    weir_tcp_rtt(&fx.t, c, 8000);
    weir_tcp_rtt(&fx.t, c, 16000);
    expect(c, 9000, 5000, 29000);
}

static void steady_samples_end_at_the_granularity(void **state)
{
    (void)state;
    struct weir_conn *c = conn_with_limits(1000, 60000000);
    for (unsigned i = 0; i < 100; i++)
        weir_tcp_rtt(&fx.t, c, 50000);
    expect(c, 50000, 0, 51000);
}

static void clamps(void **state)
{
    (void)state;
    struct weir_conn *c = conn_with_limits(200000, 60000000);
    weir_tcp_rtt(&fx.t, c, 66666);
    expect(c, 66666, 33333, 200000); /* 199,998 */
    c = conn_with_limits(200000, 60000000);
    weir_tcp_rtt(&fx.t, c, 66668);
    expect(c, 66668, 33334, 200004);
    c = conn_with_limits(200000, 1000000);
    weir_tcp_rtt(&fx.t, c, 333333);
    expect(c, 333333, 166666, 999997);
    c = conn_with_limits(200000, 1000000);
    weir_tcp_rtt(&fx.t, c, 333336);
    expect(c, 333336, 166668, 1000000);
}

static void extremes(void **state)
{
    (void)state;
    struct weir_conn *c = conn_with_limits(1000, 240000000);
    weir_tcp_rtt(&fx.t, c, 0); /* faster than the clock: still a sample */
    expect(c, 1, 0, 1001);
    weir_tcp_rtt(&fx.t, c, 0);
    assert_true(c->srtt_us > 0); /* 0 would say that there is none */
    c = conn_with_limits(1000, 240000000);
    weir_tcp_rtt(&fx.t, c, UINT32_MAX); /* a sample is at most the longest time-out */
    expect(c, 240000000, 120000000, 240000000);
    for (unsigned i = 0; i < 200; i++) {
        weir_tcp_rtt(&fx.t, c, i % 2 ? UINT32_MAX : 0);
        assert_int_equal(c->rto_us, 240000000);
        assert_true(c->srtt_us <= 240000000);
        assert_true(c->rttvar_us <= 240000000);
    }
}

/* Samples of every size, one kind of size for a while. */
static uint32_t draw(struct weir_sim *sim, unsigned kind)
{
    static const uint32_t below[] = {100, 5000, 100000, 3000000, 240000000};
    return 1 + test_below(sim, below[kind]);
}

static double real_abs(double x)
{
    return x < 0 ? -x : x;
}

/* Whole numbers are below the real ones, by at most 8 for SRTT (1 a step, 7/8 of it kept) and 12 for RTTVAR
 * (3/4 kept, and a quarter of SRTT's). */
static void any_samples(void **state)
{
    (void)state;
    struct weir_sim sim = test_seed("any_samples");
    for (unsigned run = 0; run < 50; run++) {
        struct weir_conn *c = conn_with_limits(1000 + test_below(&sim, 999001), 240000000);
        double srtt = 0, rttvar = 0;
        unsigned kind = 0;
        for (unsigned i = 0; i < 500; i++) {
            if (i % 50 == 0) kind = test_below(&sim, 5);
            uint32_t r = draw(&sim, kind);
            rttvar = i == 0 ? r / 2.0 : 0.75 * rttvar + 0.25 * real_abs(srtt - r);
            srtt = i == 0 ? r : 0.875 * srtt + 0.125 * r;
            weir_tcp_rtt(&fx.t, c, r);
            assert_true(real_abs(srtt - c->srtt_us) <= 8);
            assert_true(real_abs(rttvar - c->rttvar_us) <= 12);
            double rto = srtt + (4 * rttvar > 1000 ? 4 * rttvar : 1000);
            if (rto < fx.conf.rto_min_us) rto = fx.conf.rto_min_us;
            if (rto > 240000000) rto = 240000000;
            assert_true(real_abs(rto - c->rto_us) <= 8 + 48);
        }
        weir_conn_free(&fx.t, c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(before_the_first_sample_a_second, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(worked_example, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(variance_comes_before_the_mean, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(steady_samples_end_at_the_granularity, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(clamps, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(extremes, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(any_samples, fx_open, fx_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
