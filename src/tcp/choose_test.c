/* choose_test.c: initial sequence numbers (RFC 6528), ports (RFC 6056, algorithm 3) and timestamp offsets. */
#include "tcp/tcp_fixture.h"

#define PORT_FIRST 49152u
#define PORT_COUNT 16384u
#define US         0x0a090082u /* RIG_OUR_IP2 */

static uint32_t isn(void)
{
    return weir_tcp_isn(&fx.t, US, 80, RIG_PEER2, 1000);
}

static void isn_depends_on_each_part_of_the_tuple(void **state)
{
    (void)state;
    uint32_t base = isn();
    assert_int_equal(isn(), base);
    for (unsigned bit = 0; bit < 32; bit++) {
        assert_int_not_equal(weir_tcp_isn(&fx.t, US ^ 1u << bit, 80, RIG_PEER2, 1000), base);
        assert_int_not_equal(weir_tcp_isn(&fx.t, US, 80, RIG_PEER2 ^ 1u << bit, 1000), base);
    }
    for (unsigned bit = 0; bit < 16; bit++) {
        assert_int_not_equal(weir_tcp_isn(&fx.t, US, (uint16_t)(80 ^ 1u << bit), RIG_PEER2, 1000), base);
        assert_int_not_equal(weir_tcp_isn(&fx.t, US, 80, RIG_PEER2, (uint16_t)(1000 ^ 1u << bit)), base);
    }
    assert_int_not_equal(weir_tcp_isn(&fx.t, RIG_PEER2, 1000, US, 80), base);
}

/* One every 4 microseconds, over the wrap of its 32 bits, for every tuple alike. */
static void isn_advances_with_the_clock(void **state)
{
    (void)state;
    uint64_t start = 0x3fffffff0u;
    fx_time_us(start);
    uint32_t base = isn();
    for (uint64_t us = 0; us < 1000; us++) {
        fx_time_us(start + us);
        assert_int_equal(isn() - base, us / 4);
    }
    fx_time_us(start + 4000000);
    assert_int_equal(isn() - base, 1000000);
    fx_time_us(start + 4ull * 0x100000000u); /* 4.77 hours later it is the same again */
    assert_int_equal(isn(), base);
}

static void isn_and_offsets_need_the_secret(void **state)
{
    (void)state;
    uint32_t base = isn(), ts = weir_tcp_ts_offset(&fx.t, US, RIG_PEER2);
    fx.t.key_port.k0++;
    fx.t.key_table.k0++;
    assert_int_equal(isn(), base); /* each has a secret of its own */
    assert_int_equal(weir_tcp_ts_offset(&fx.t, US, RIG_PEER2), ts);
    fx.t.key_isn.k0++;
    assert_int_not_equal(isn(), base);
    fx.t.key_isn.k0--;
    fx.t.key_isn.k1++;
    assert_int_not_equal(isn(), base);
    fx.t.key_ts.k1++;
    assert_int_not_equal(weir_tcp_ts_offset(&fx.t, US, RIG_PEER2), ts);
}

/* One for a pair of hosts, so that timestamps grow over all their connections. */
static void ts_offset_differs_by_hosts(void **state)
{
    (void)state;
    uint32_t base = weir_tcp_ts_offset(&fx.t, US, RIG_PEER2);
    assert_int_equal(weir_tcp_ts_offset(&fx.t, US, RIG_PEER2), base);
    fx_pass_ms(1000);
    assert_int_equal(weir_tcp_ts_offset(&fx.t, US, RIG_PEER2), base);
    for (unsigned bit = 0; bit < 32; bit++) {
        assert_int_not_equal(weir_tcp_ts_offset(&fx.t, US ^ 1u << bit, RIG_PEER2), base);
        assert_int_not_equal(weir_tcp_ts_offset(&fx.t, US, RIG_PEER2 ^ 1u << bit), base);
    }
}

static void port_sequence_covers_them_all(void **state)
{
    static uint8_t seen[PORT_COUNT];
    (void)state;
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < PORT_COUNT; i++) {
        uint16_t port = weir_tcp_port(&fx.t, US, RIG_PEER2, 80);
        assert_in_range(port, PORT_FIRST, PORT_FIRST + PORT_COUNT - 1);
        assert_int_equal(seen[port - PORT_FIRST]++, 0);
    }
    fx.t.port_next = UINT32_MAX - 1; /* the counter wraps without leaving the range */
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(weir_tcp_port(&fx.t, US, RIG_PEER2, 80), PORT_FIRST, PORT_FIRST + PORT_COUNT - 1);
}

/* The port that a destination would get first. */
static uint16_t first_port(uint32_t laddr, uint32_t raddr, uint16_t rport)
{
    fx.t.port_next = 0;
    return weir_tcp_port(&fx.t, laddr, raddr, rport);
}

static unsigned distinct(const uint16_t *port, unsigned n)
{
    unsigned k = 0;
    for (unsigned i = 0; i < n; i++) {
        unsigned j = 0;
        while (j < i && port[j] != port[i])
            j++;
        k += j == i;
    }
    return k;
}

/* 64 draws out of 16,384: the fixed key gives at most one pair. */
static void offsets_differ_by_destination(void **state)
{
    uint16_t port[3][64];
    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        port[0][i] = first_port(US, RIG_PEER2 + i, 80);
        port[1][i] = first_port(US, RIG_PEER2, (uint16_t)(80 + i));
        port[2][i] = first_port(US + i, RIG_PEER2, 80);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_true(distinct(port[i], 64) >= 63);
    fx.t.key_port.k0++;
    unsigned same = 0;
    for (unsigned i = 0; i < 64; i++)
        same += port[0][i] == first_port(US, RIG_PEER2 + i, 80);
    assert_true(same <= 1);
}

/* A connection, an entry in TIME-WAIT or a listener on the port: the next one is chosen. */
static void port_in_use_is_passed_over(void **state)
{
    (void)state;
    uint16_t port = first_port(US, RIG_PEER2, 80);
    struct weir_conn *c = fx_conn(80);
    c->lport = port;
    weir_conn_hash(&fx.t, c);
    uint16_t next = (uint16_t)(PORT_FIRST + (port - PORT_FIRST + 1) % PORT_COUNT);
    assert_int_equal(first_port(US, RIG_PEER2, 80), next);

    struct weir_conn *w = fx_conn(80);
    w->lport = next;
    weir_tw_add(&fx.t, w);
    uint16_t third = (uint16_t)(PORT_FIRST + (port - PORT_FIRST + 2) % PORT_COUNT);
    assert_int_equal(first_port(US, RIG_PEER2, 80), third);

    weir_id id;
    assert_int_equal(weir_tcp_listen(&fx.t, 0, third, NULL, &id), 0);
    uint16_t fourth = (uint16_t)(PORT_FIRST + (port - PORT_FIRST + 3) % PORT_COUNT);
    assert_int_equal(first_port(US, RIG_PEER2, 80), fourth);

    assert_int_equal(weir_tcp_close(&fx.t, id, WEIR_CLOSE_ABORT), 0);
    assert_int_equal(first_port(US, RIG_PEER2, 80), third);
    weir_conn_unhash(&fx.t, c);
    assert_int_equal(first_port(US, RIG_PEER2, 80), port);
}

/* Every port is taken, then one is free again, wherever the search begins. */
static void none_left(void **state)
{
    struct weir_config conf = fx_config();
    (void)state;
    conf.timewait = PORT_COUNT;
    fx_reopen(&conf);
    struct weir_sim sim = test_seed("none_left");
    struct weir_conn *c = fx_conn(80);
    for (uint32_t i = 0; i < PORT_COUNT; i++) {
        c->lport = weir_tcp_port(&fx.t, US, RIG_PEER2, 80);
        assert_null(weir_tw_lookup(&fx.t, US, c->lport, RIG_PEER2, 80));
        weir_tw_add(&fx.t, c);
    }
    assert_int_equal(weir_tcp_port(&fx.t, US, RIG_PEER2, 80), 0);
    assert_int_not_equal(weir_tcp_port(&fx.t, US, RIG_PEER2, 81), 0);
    assert_int_not_equal(weir_tcp_port(&fx.t, US, RIG_PEER2 + 1, 80), 0);
    for (unsigned i = 0; i < 20; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + test_below(&sim, PORT_COUNT));
        struct weir_tw *w = weir_tw_lookup(&fx.t, US, port, RIG_PEER2, 80);
        assert_non_null(w);
        weir_tw_drop(&fx.t, w);
        fx.t.port_next = test_u32(&sim);
        assert_int_equal(weir_tcp_port(&fx.t, US, RIG_PEER2, 80), port);
        assert_int_equal(weir_tcp_port(&fx.t, US, RIG_PEER2, 80),
                         port); /* from the one behind it: all the way */
        c->lport = port;
        weir_tw_add(&fx.t, c);
        assert_int_equal(weir_tcp_port(&fx.t, US, RIG_PEER2, 80), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(isn_depends_on_each_part_of_the_tuple, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(isn_advances_with_the_clock, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(isn_and_offsets_need_the_secret, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(ts_offset_differs_by_hosts, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(port_sequence_covers_them_all, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(offsets_differ_by_destination, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(port_in_use_is_passed_over, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(none_left, fx_open, fx_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
