/* Loss and its repair, and the congestion window: RFC 6298, RFC 5681, RFC 6582, RFC 6928. */
#include "script.h"

#define MSS 1460u

/* A burst of full segments, expected one by one; they begin at `from`. */
static void burst(uint32_t from, unsigned n)
{
    write_bytes(n * MSS);
    for (unsigned i = 0; i < n; i++)
        expect(". %u:%u ack 1", from + i * MSS, from + (i + 1) * MSS);
}

/* The stream's position behind n full segments. */
static uint32_t after(unsigned n)
{
    return 1 + n * MSS;
}

CASE(timeout_sends_again_and_doubles)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(100);
    expect(". 1:101 ack 1");
    uint64_t t = now_ms();
    expect_after(190, 1100, ". 1:101 ack 1");
    uint64_t rto = now_ms() - t;
    for (unsigned i = 0; i < 3; i++) {
        rto *= 2;
        expect_after(rto * 9 / 10, rto * 11 / 10 + 5, ". 1:101 ack 1");
    }
    inject(". 1:1 ack 101");
    check_eq(stats().timeouts, 4);
    check_eq(stats().retransmits, 4);
    expect_event(WEIR_EV_SENT);
    silent(10000);
}

CASE(timeouts_give_up)
{
    START(.data_retries = 4);
    passive_open("<mss 1460>");
    write_bytes(100);
    expect(". 1:101 ack 1");
    unsigned n = 0;
    while (!had_event(here()->id, WEIR_EV_ERROR)) {
        check(n < 6);
        advance_ms(1000);
        n += drain();
    }
    check_eq(info().error, WEIR_ETIMEDOUT);
    check_in(n, 3, 6); /* the retransmissions, and perhaps a reset */
    silent(60000);
}

CASE(progress_forgives_timeouts)
{
    START(.data_retries = 3);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 6; i++) {
        write_bytes(100);
        expect(". %u:%u ack 1", 1 + i * 100, 101 + i * 100);
        expect_after(100, 8000, ". %u:%u ack 1", 1 + i * 100, 101 + i * 100);
        inject(". 1:1 ack %u", 101 + i * 100);
    }
    expect_no_event(WEIR_EV_ERROR);
}

CASE(timeout_is_bounded_above)
{
    START(.rto_max_us = 1000000, .data_retries = 12);
    passive_open("<mss 1460>");
    write_bytes(100);
    expect(". 1:101 ack 1");
    for (unsigned i = 0; i < 8; i++)
        expect_after(1, 1100, ". 1:101 ack 1");
    inject(". 1:1 ack 101");
}

/* RFC 6298 2.2 and 2.3 from whatever the handshake left. */
CASE(round_trip_is_measured_by_formula)
{
    static const uint32_t rtt_ms[] = {100, 150, 60, 190, 120, 180};
    START();
    passive_open("<mss 1460>");
    for (uint32_t i = 0; i < 6; i++) {
        struct weir_conn_info was = info();
        uint32_t r = rtt_ms[i] * 1000, off = was.srtt_us > r ? was.srtt_us - r : r - was.srtt_us;
        bool first = was.srtt_us == 0;
        uint32_t var = first ? r / 2 : was.rttvar_us - was.rttvar_us / 4 + off / 4;
        uint32_t srtt = first ? r : was.srtt_us - was.srtt_us / 8 + r / 8;
        uint32_t rto = srtt + 4 * var < 200000 ? 200000 : srtt + 4 * var;
        write_bytes(10);
        expect(". %u:%u ack 1", 1 + i * 10, 11 + i * 10);
        advance_ms(rtt_ms[i]);
        inject(". 1:1 ack %u", 11 + i * 10);
        check_in(info().srtt_us, srtt - 2500, srtt + 2500);
        check_in(info().rttvar_us, var - 2500, var + 2500);
        check_in(info().rto_us, rto - 12500, rto + 12500);
    }
}

CASE(steady_round_trip_sets_the_timeout)
{
    START();
    passive_open("<mss 1460>");
    uint32_t pos = 1;
    for (unsigned i = 0; i < 60; i++) {
        write_bytes(10);
        expect(". %u:%u ack 1", pos, pos + 10);
        pos += 10;
        advance_ms(300);
        drain();
        inject(". 1:1 ack %u", pos);
    }
    check_in(info().srtt_us, 290000, 310000);
    check_in(info().rto_us, 300000, 500000);
    write_bytes(10);
    expect(". %u:%u ack 1", pos, pos + 10);
    expect_after(300, 520, ". %u:%u ack 1", pos, pos + 10);
    inject(". 1:1 ack %u", pos + 10);
}

/* Karn: an acknowledgement of what was sent twice measures nothing (without timestamps). */
CASE(ack_of_a_retransmission_measures_nothing)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(10);
    expect(". 1:11 ack 1");
    advance_ms(10);
    inject(". 1:1 ack 11");
    uint32_t srtt = info().srtt_us;
    write_bytes(10);
    expect(". 11:21 ack 1");
    expect_after(100, 1100, ". 11:21 ack 1");
    advance_ms(150);
    inject(". 1:1 ack 21");
    check_eq(info().srtt_us, srtt);
}

CASE(timer_starts_again_when_data_is_acknowledged)
{
    START();
    passive_open("<mss 1460>");
    set_opt(WEIR_OPT_NODELAY, 1);
    write_bytes(10);
    expect(". 1:11 ack 1");
    advance_ms(100);
    write_bytes(10);
    expect(". 11:21 ack 1");
    advance_ms(50);
    uint64_t rto = info().rto_us / 1000;
    inject(". 1:1 ack 11"); /* RFC 6298 5.3 */
    rto = info().rto_us / 1000 < rto ? info().rto_us / 1000 : rto;
    expect_after(rto - 5, rto + 1200, ". 11:21 ack 1");
    inject(". 1:1 ack 21");
    silent(10000);
}

CASE(two_duplicate_acks_do_not_send_again)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 4);
    inject(". 1:1 ack 1");
    inject(". 1:1 ack 1");
    silent(100);
    inject(". 1:1 ack %u", after(4));
    check_eq(stats().retransmits, 0);
}

CASE(third_duplicate_ack_sends_again)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 5);
    inject(". 1:1 ack 1");
    inject(". 1:1 ack 1");
    inject(". 1:1 ack 1");
    expect(". 1:1461 ack 1");
    check_eq(stats().fast_recoveries, 1);
    check_eq(stats().timeouts, 0);
    inject(". 1:1 ack 1");
    drain_acks();
    check_eq(pending(), 0); /* once */
    inject(". 1:1 ack %u", after(5));
    silent(5000);
    check_eq(stats().retransmits, 1);
}

CASE(ack_with_data_is_no_duplicate)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    burst(1, 5);
    for (unsigned i = 0; i < 6; i++) {
        inject("P. %u:%u ack 1", 1 + i * 10, 11 + i * 10);
        expect(". %u:%u ack %u", after(5), after(5), 11 + i * 10);
    }
    read_bytes(60);
    check_eq(stats().retransmits, 0);
    inject(". 61:61 ack %u", after(5));
}

CASE(ack_with_another_window_is_no_duplicate)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 5);
    for (unsigned i = 0; i < 6; i++)
        inject(". 1:1 ack 1 win %u", 60000 - i * 100);
    check_eq(stats().retransmits, 0);
    inject(". 1:1 ack %u", after(5));
}

CASE(duplicate_acks_with_nothing_outstanding)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 2);
    inject(". 1:1 ack %u", after(2));
    for (unsigned i = 0; i < 8; i++)
        inject(". 1:1 ack %u", after(2));
    silent(1000);
    check_eq(stats().fast_recoveries, 0);
    burst(after(2), 2);
    inject(". 1:1 ack %u", after(4));
}

CASE(older_acks_are_no_duplicates)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 3);
    inject(". 1:1 ack %u", after(2));
    for (unsigned i = 0; i < 5; i++)
        inject(". 1:1 ack %u", after(1));
    check_eq(stats().retransmits, 0);
    inject(". 1:1 ack %u", after(3));
}

CASE(initial_window_is_ten_segments)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(40 * MSS);
    check_eq(expect_stream(1, after(10)), 10);
    check_eq(pending(), 0);
    silent(100);
    abort_conn();
    drain();
}

/* RFC 5681 3.1: at most one segment more for each acknowledgement, RFC 3465 allows two. */
CASE(slow_start_grows_by_acknowledged_segments)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(100 * MSS);
    expect_stream(1, after(10));
    uint32_t sent = 10;
    for (unsigned acked = 1; acked <= 10; acked++) {
        inject(". 1:1 ack %u", after(acked));
        check_eq(pending(), 2);
        expect_stream(after(sent), after(sent + 2));
        sent += 2;
    }
    inject(". 1:1 ack %u", after(12));
    check_in(pending(), 3, 4);
    drain();
    abort_conn();
    drain();
}

CASE(slow_start_is_not_fooled_by_split_acks)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(100 * MSS);
    expect_stream(1, after(10));
    for (unsigned i = 1; i <= 10; i++) { /* ten acknowledgements for one segment */
        inject(". 1:1 ack %u", 1 + i * 146);
        drain();
    }
    check_in(here()->seen_end - here()->iss, after(11), after(12) + MSS / 2);
    abort_conn();
    drain();
}

CASE(timeout_begins_with_one_segment)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 8);
    expect_after(100, 1100, ". 1:1461 ack 1");
    silent(100);
    check_in(info().cwnd, MSS, 2 * MSS - 1);
    check_in(info().ssthresh, 2 * MSS, 4 * MSS);
    inject(". 1:1 ack %u", after(1));
    check_in(pending(), 1, 2);
    drain();
    inject(". 1:1 ack %u", after(8));
    silent(5000);
}

/* The whole flight is lost and comes again in order, faster with each acknowledgement. */
CASE(whole_flight_is_lost)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 10);
    expect_after(100, 1100, ". 1:1461 ack 1");
    uint32_t acked = 1;
    for (unsigned rounds = 0; acked < after(10); rounds++) {
        check(rounds < 10);
        acked += MSS;
        while (pending() > 0) {
            const struct seg *s = take();
            uint32_t end = s->seq + s->bytes - here()->iss;
            acked = end > acked ? end : acked;
        }
        inject(". 1:1 ack %u", acked);
    }
    silent(5000);
    check_eq(stats().timeouts, 1);
}

CASE(second_timeout_keeps_the_threshold)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 8);
    expect_after(100, 1100, ". 1:1461 ack 1");
    uint32_t ssthresh = info().ssthresh;
    expect_after(200, 2200, ". 1:1461 ack 1");
    check_in(info().ssthresh, 2 * MSS,
             ssthresh); /* RFC 5681 (4), and held for a segment that times out again */
    inject(". 1:1 ack %u", after(8));
}

/* RFC 6582: segments 1 and 4 of 10 are lost. */
CASE(partial_ack_sends_the_next_hole)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 10);
    for (unsigned i = 0; i < 3; i++)
        inject(". 1:1 ack 1");
    expect(". 1:1461 ack 1");
    for (unsigned i = 0; i < 5; i++)
        inject(". 1:1 ack 1");
    check_eq(pending(), 0);
    inject(". 1:1 ack %u", after(3));
    expect(". %u:%u ack 1", after(3), after(4));
    check_eq(pending(), 0);
    inject(". 1:1 ack %u", after(10));
    check_eq(stats().fast_recoveries, 1);
    check_eq(stats().timeouts, 0);
    check_eq(stats().retransmits, 2);
    silent(5000);
}

CASE(three_holes_are_repaired_in_one_recovery)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 10);
    for (unsigned i = 0; i < 7; i++) {
        inject(". 1:1 ack 1");
        if (i == 2) expect(". 1:1461 ack 1");
    }
    inject(". 1:1 ack %u", after(1));
    expect(". %u:%u ack 1", after(1), after(2));
    inject(". 1:1 ack %u", after(5));
    expect(". %u:%u ack 1", after(5), after(6));
    inject(". 1:1 ack %u", after(10));
    check_eq(stats().fast_recoveries, 1);
    check_eq(stats().timeouts, 0);
}

CASE(recovery_halves_the_window)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 10);
    for (unsigned i = 0; i < 3; i++)
        inject(". 1:1 ack 1");
    expect(". 1:1461 ack 1");
    check_in(info().ssthresh, 4 * MSS, 6 * MSS);
    inject(". 1:1 ack %u", after(10));
    check_in(info().cwnd, MSS, 6 * MSS); /* deflated */
    write_bytes(20 * MSS);
    check_in(pending(), 1, 6);
    drain();
    abort_conn();
    drain();
}

/* Each further duplicate says that a segment has left: new data follows once enough have. */
CASE(duplicate_acks_in_recovery_let_new_data_out)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(60 * MSS);
    expect_stream(1, after(10));
    unsigned fresh = 0;
    for (unsigned i = 0; i < 9; i++) {
        inject(". 1:1 ack 1");
        for (; pending() > 0; fresh++)
            if (take()->seq - here()->iss == 1) fresh--;
    }
    check_in(fresh, 1, 6); /* limited transmit (RFC 3042) may add two to the four of RFC 5681 */
    inject(". 1:1 ack %u", after(10 + fresh));
    drain();
    abort_conn();
    drain();
}

CASE(duplicates_after_recovery_begin_anew_only_beyond_it)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 10);
    for (unsigned i = 0; i < 3; i++)
        inject(". 1:1 ack 1");
    expect(". 1:1461 ack 1");
    inject(". 1:1 ack %u", after(10));
    burst(after(10), 2); /* RFC 6582 3.2 step 3 (1) leaves no more than two segments */
    for (unsigned i = 0; i < 3; i++)
        inject(". 1:1 ack %u", after(10));
    expect(". %u:%u ack 1", after(10), after(11));
    check_eq(stats().fast_recoveries, 2);
    inject(". 1:1 ack %u", after(12));
}

CASE(lost_retransmission_is_repaired_by_timeout)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 6);
    for (unsigned i = 0; i < 5; i++) {
        inject(". 1:1 ack 1");
        if (i == 2) expect(". 1:1461 ack 1");
    }
    expect_after(100, 1100, ". 1:1461 ack 1");
    check_eq(stats().timeouts, 1);
    inject(". 1:1 ack %u", after(6));
    silent(5000);
}

CASE(ack_inside_a_segment_sends_the_rest)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 1);
    inject(". 1:1 ack 701");
    expect_after(100, 1200, ". 701:1461 ack 1");
    inject(". 1:1 ack 1461");
    silent(5000);
}

/* A late acknowledgement of everything after a time-out: nothing more is sent. */
CASE(spurious_timeout_sends_nothing_more)
{
    START();
    passive_open("<mss 1460>");
    burst(1, 3);
    expect_after(100, 1100, ". 1:1461 ack 1");
    inject(". 1:1 ack %u", after(3));
    silent(5000);
    check_eq(info().queued_bytes, 0);
}

CASE(small_segments_are_repaired_within_the_mss)
{
    START();
    passive_open("<mss 1460>");
    set_opt(WEIR_OPT_NODELAY, 1);
    for (unsigned i = 0; i < 8; i++) {
        write_bytes(100);
        expect(". %u:%u ack 1", 1 + i * 100, 101 + i * 100);
    }
    advance_ms(1100);
    check(pending() >= 1);
    check_eq(peek()->seq - here()->iss, 1); /* alone or with those behind it */
    drain();
    inject(". 1:1 ack 801");
    silent(5000);
}

CASE(congestion_avoidance_is_linear)
{
    START(.sndbuf = 1000000);
    passive_open("<mss 1460>");
    burst(1, 10);
    for (unsigned i = 0; i < 3; i++)
        inject(". 1:1 ack 1");
    expect(". 1:1461 ack 1");
    inject(". 1:1 ack %u", after(10)); /* cwnd is at the threshold, about 5 segments */
    write_bytes(200 * MSS);
    uint32_t cwnd = info().cwnd, acked = after(10);
    for (unsigned round = 0; round < 5; round++) {
        uint32_t end = here()->seen_end - here()->iss;
        drain();
        while (acked < end) {
            acked += MSS;
            inject(". 1:1 ack %u", acked);
            drain();
        }
    }
    check_in(info().cwnd, cwnd + 2 * MSS, cwnd + 8 * MSS);
    abort_conn();
    drain();
}

/* RFC 5681 4.1: after a long silence the old window is no licence. */
CASE(idle_connection_starts_slowly_again)
{
    START(.sndbuf = 1000000);
    passive_open("<mss 1460>");
    write_bytes(40 * MSS);
    uint32_t acked = 1;
    while (acked < after(40)) {
        uint32_t end = here()->seen_end - here()->iss;
        drain();
        for (; acked < end; acked += MSS) {
            inject(". 1:1 ack %u", acked + MSS);
            drain();
        }
    }
    check(info().cwnd > 20 * MSS);
    advance_ms(30000);
    write_bytes(40 * MSS);
    check_in(pending(), 2, 10);
    drain();
    abort_conn();
    drain();
}

/* What is lost goes alone: the FIN behind it is still on its way. */
CASE(fin_on_its_way_is_not_sent_again)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(MSS);
    expect(". 1:1461 ack 1");
    check_eq(weir_shutdown(stack(), here()->id), 0);
    settle();
    expect("F. 1461:1461 ack 1");
    for (unsigned i = 0; i < 3; i++)
        inject(". 1:1 ack 1");
    expect(". 1:1461 ack 1");
    inject(". 1:1 ack 1462");
    check_eq(info().state, WEIR_TCP_FIN_WAIT_2);
    inject("F. 1:1 ack 1462");
    expect(". 1462:1462 ack 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(timeout_sends_again_and_doubles),
        T(timeouts_give_up),
        T(progress_forgives_timeouts),
        T(timeout_is_bounded_above),
        T(round_trip_is_measured_by_formula),
        T(steady_round_trip_sets_the_timeout),
        T(ack_of_a_retransmission_measures_nothing),
        T(timer_starts_again_when_data_is_acknowledged),
        T(two_duplicate_acks_do_not_send_again),
        T(third_duplicate_ack_sends_again),
        T(ack_with_data_is_no_duplicate),
        T(ack_with_another_window_is_no_duplicate),
        T(duplicate_acks_with_nothing_outstanding),
        T(older_acks_are_no_duplicates),
        T(initial_window_is_ten_segments),
        T(slow_start_grows_by_acknowledged_segments),
        T(slow_start_is_not_fooled_by_split_acks),
        T(timeout_begins_with_one_segment),
        T(whole_flight_is_lost),
        T(second_timeout_keeps_the_threshold),
        T(partial_ack_sends_the_next_hole),
        T(three_holes_are_repaired_in_one_recovery),
        T(recovery_halves_the_window),
        T(duplicate_acks_in_recovery_let_new_data_out),
        T(duplicates_after_recovery_begin_anew_only_beyond_it),
        T(lost_retransmission_is_repaired_by_timeout),
        T(ack_inside_a_segment_sends_the_rest),
        T(spurious_timeout_sends_nothing_more),
        T(small_segments_are_repaired_within_the_mss),
        T(congestion_avoidance_is_linear),
        T(idle_connection_starts_slowly_again),
        T(fin_on_its_way_is_not_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
