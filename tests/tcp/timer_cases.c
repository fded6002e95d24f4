/* Timers: delayed acknowledgements, keep-alive, the deadline that weir_next tells, clocks that wrap. RFC
 * 9293 3.8.4 and 3.8.6.3, RFC 5681 4.2. */
#include "script.h"

CASE(ack_is_delayed)
{
    START(.delack_us = 100000);
    passive_open("<mss 1460>");
    advance_ms(1000);
    inject("P. 1:101 ack 1");
    expect_after(50, 105, ". 1:1 ack 101");
    read_bytes(100);
    silent(1000);
}

CASE(ack_is_not_delayed_when_told_so)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 5; i++) {
        inject("P. %u:%u ack 1", 1 + i * 10, 11 + i * 10);
        expect(". 1:1 ack %u", 11 + i * 10);
    }
    read_bytes(50);
    silent(1000);
}

CASE(every_second_full_segment_is_acked_at_once)
{
    START();
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 10; i += 2) {
        inject("P. %u:%u ack 1", 1 + i * 1460, 1461 + i * 1460);
        bool early = drain_acks() > 0; /* each one is allowed too */
        inject("P. %u:%u ack 1", 1461 + i * 1460, 2921 + i * 1460);
        if (!early) expect(". 1:1 ack %u", 2921 + i * 1460);
        drain_acks();
        read_bytes(2920);
        drain_acks();
    }
}

CASE(out_of_order_segment_is_acked_at_once)
{
    START();
    passive_open("<mss 1460>");
    inject("P. 101:201 ack 1");
    expect(". 1:1 ack 1");
    inject("P. 301:401 ack 1");
    expect(". 1:1 ack 1");
    inject("P. 1:101 ack 1"); /* fills a gap, RFC 5681 4.2 */
    expect(". 1:1 ack 201");
    inject("P. 201:301 ack 1");
    expect(". 1:1 ack 401");
    read_bytes(400);
    silent(1000);
}

CASE(ack_rides_on_data)
{
    START();
    passive_open("<mss 1460>");
    inject("P. 1:101 ack 1");
    read_bytes(100);
    check_eq(pending(), 0);
    write_bytes(50);
    expect(". 1:51 ack 101");
    inject(". 101:101 ack 51");
    silent(1000);
}

CASE(ack_rides_on_a_fin)
{
    START();
    passive_open("<mss 1460>");
    inject("P. 1:101 ack 1");
    read_bytes(100);
    check_eq(pending(), 0);
    close_conn();
    expect("F. 1:1 ack 101");
    inject("F. 101:101 ack 2");
    expect(". 2:2 ack 102");
}

CASE(pure_acks_are_never_acked)
{
    START();
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 20; i++)
        inject(". 1:1 ack 1 win %u", 10000 + i);
    silent(5000);
}

/* ---- keep-alive ---- */

CASE(idle_connection_is_left_alone)
{
    START();
    passive_open("<mss 1460>");
    silent(3ull * 3600 * 1000);
    expect_state(WEIR_TCP_ESTABLISHED);
}

static void expect_probe(uint64_t low, uint64_t high)
{
    uint64_t gap = await_segment(high);
    const struct seg *s = take();
    check_in(gap, low, high);
    check_eq(s->flags & ~SEG_PSH, SEG_ACK);
    check_eq(s->seq, here()->seen_end - 1); /* just below what is expected */
    check_in(s->bytes, 0, 1);
}

CASE(keepalive_probes_and_gives_up)
{
    START();
    passive_open("<mss 1460>");
    set_opt(WEIR_OPT_KEEPALIVE, 1);
    expect_probe(9900, 11100);
    expect_probe(900, 1200);
    expect_probe(900, 1200);
    expect_no_event(WEIR_EV_ERROR);
    advance_ms(5000);
    drain(); /* a reset is allowed */
    expect_error(WEIR_ETIMEDOUT);
    check_eq(stats().keepalives, 3);
}

CASE(keepalive_answered_goes_on)
{
    START();
    passive_open("<mss 1460>");
    set_opt(WEIR_OPT_KEEPALIVE, 1);
    for (unsigned i = 0; i < 5; i++) {
        expect_probe(8900, 11100);
        expect_probe(900, 1200);
        inject(". 1:1 ack 1");
    }
    expect_state(WEIR_TCP_ESTABLISHED);
    inject("P. 1:11 ack 1");
    expect_acked(11, 45);
    read_bytes(10);
    expect_probe(8900, 11100);
    inject("R 11:11");
    expect_error(WEIR_ECONNRESET);
}

CASE(traffic_puts_keepalive_off)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    set_opt(WEIR_OPT_KEEPALIVE, 1);
    for (unsigned i = 0; i < 10; i++) {
        silent(8000);
        inject("P. %u:%u ack 1", 1 + i, 2 + i);
        expect(". 1:1 ack %u", 2 + i);
        read_bytes(1);
    }
    set_opt(WEIR_OPT_KEEPALIVE, 0);
    silent(100000);
}

CASE(keepalive_of_the_peer_is_answered)
{
    START();
    passive_open("<mss 1460>");
    inject(". 0:0 ack 1");
    expect(". 1:1 ack 1");
    inject("P. 0:1 ack 1"); /* with a byte of garbage */
    expect(". 1:1 ack 1");
    read_nothing();
    silent(1000);
}

CASE(keepalive_is_inherited_from_the_listener)
{
    START();
    listen_with(80, &(const struct weir_opts){.keepalive = 1});
    passive_open("<mss 1460>");
    expect_probe(9000, 11100);
    inject(". 1:1 ack 1");
}

/* ---- orphans ---- */

/* A connection that the application gave up and whose peer never closes does not stay for ever. */
CASE(orphan_in_fin_wait_2_goes)
{
    START();
    passive_open("<mss 1460>");
    close_conn();
    expect("F. 1:1 ack 1");
    inject(". 1:1 ack 2");
    advance_ms(1000000);
    drain();
    check_eq(stats().conns_live, 0);
}

/* ---- the deadline ---- */

CASE(next_tells_the_retransmission)
{
    START();
    passive_open("<mss 1460>");
    int64_t next;
    write_bytes(10);
    expect(". 1:11 ack 1");
    check_eq(weir_next(stack(), &next), 0); /* no device to watch */
    check_in(next, (int64_t)now_ms() * 1000, (int64_t)now_ms() * 1000 + info().rto_us + 5000);
    inject(". 1:1 ack 11");
}

CASE(next_tells_the_delayed_ack)
{
    START();
    passive_open("<mss 1460>");
    int64_t next;
    inject("P. 1:11 ack 1");
    check_eq(pending(), 0);
    weir_next(stack(), &next);
    check_in(next, (int64_t)now_ms() * 1000, (int64_t)now_ms() * 1000 + 45000);
    expect_acked(11, 45);
    read_bytes(10);
}

/* An idle instance is woken by nothing but the ageing of its neighbours. */
CASE(idle_instance_sleeps)
{
    START();
    passive_open("<mss 1460>");
    advance_ms(3600u * 1000);
    uint64_t polls = stats().polls;
    advance_ms(600u * 1000);
    check_in(stats().polls - polls, 0, 200);
}

/* ---- clocks that wrap ---- */

static void timers_work(void)
{
    passive_open("<mss 1460>");
    write_bytes(100);
    expect(". 1:101 ack 1");
    expect_after(190, 1100, ". 1:101 ack 1");
    expect_after(380, 2200, ". 1:101 ack 1");
    inject(". 1:1 ack 101");
    inject("P. 1:11 ack 101");
    expect_after(1, 45, ". 101:101 ack 11");
    read_bytes(10);
    silent(2000);
    write_bytes(100);
    expect(". 101:201 ack 11");
    advance_ms(20);
    inject(". 11:11 ack 201");
    check_in(info().srtt_us, 5000, 25000);
    close_conn();
    expect("F. 201:201 ack 11");
    inject("F. 11:11 ack 202");
    expect(". 202:202 ack 12");
    advance_ms(2100);
    check_eq(stats().timewait_live, 0);
}

CASE(timers_over_the_end_of_32_bits_of_milliseconds)
{
    START(.now_us = 4294967296ull * 1000 - 150000);
    timers_work();
}

CASE(timers_over_half_of_32_bits_of_milliseconds)
{
    START(.now_us = 2147483648ull * 1000 - 150000);
    timers_work();
}

CASE(timers_over_the_end_of_32_bits_of_microseconds)
{
    START(.now_us = 4294967296ull - 150000);
    timers_work();
}

CASE(timers_after_a_hundred_days)
{
    START(.now_us = 100ull * 24 * 3600 * 1000000);
    timers_work();
}

/* A connection that sleeps for longer than 32 bits of milliseconds can tell, then works on. */
CASE(connection_wakes_after_sixty_days)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    write_bytes(10);
    expect(". 1:11 ack 1");
    inject(". 1:1 ack 11");
    silent(60ull * 24 * 3600 * 1000);
    write_bytes(10);
    expect(". 11:21 ack 1");
    expect_after(100, 1200, ". 11:21 ack 1");
    inject(". 1:1 ack 21");
    inject("P. 1:11 ack 21");
    expect(". 21:21 ack 11");
    read_bytes(10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(ack_is_delayed),
        T(ack_is_not_delayed_when_told_so),
        T(every_second_full_segment_is_acked_at_once),
        T(out_of_order_segment_is_acked_at_once),
        T(ack_rides_on_data),
        T(ack_rides_on_a_fin),
        T(pure_acks_are_never_acked),
        T(idle_connection_is_left_alone),
        T(keepalive_probes_and_gives_up),
        T(keepalive_answered_goes_on),
        T(traffic_puts_keepalive_off),
        T(keepalive_of_the_peer_is_answered),
        T(keepalive_is_inherited_from_the_listener),
        T(orphan_in_fin_wait_2_goes),
        T(next_tells_the_retransmission),
        T(next_tells_the_delayed_ack),
        T(idle_instance_sleeps),
        T(timers_over_the_end_of_32_bits_of_milliseconds),
        T(timers_over_half_of_32_bits_of_milliseconds),
        T(timers_over_the_end_of_32_bits_of_microseconds),
        T(timers_after_a_hundred_days),
        T(connection_wakes_after_sixty_days),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
