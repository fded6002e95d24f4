/* Options: MSS (RFC 9293 3.7.1, RFC 6691), window scale, timestamps and PAWS (RFC 7323). */
#include "script.h"

#include <stdio.h>

CASE(mss_of_the_peer_is_kept)
{
    START();
    passive_open("<mss 500>");
    write_bytes(2000);
    for (unsigned i = 0; i < 4; i++)
        expect(". %u:%u ack 1", 1 + i * 500, 501 + i * 500);
    inject(". 1:1 ack 2001");
    check_eq(info().mss, 500);
}

CASE(missing_mss_means_536)
{
    START();
    passive_open("");
    write_bytes(1072);
    expect(". 1:537 ack 1");
    expect(". 537:1073 ack 1");
    inject(". 1:1 ack 1073");
}

CASE(missing_mss_in_a_synack_means_536)
{
    START();
    active_open("");
    write_bytes(1072);
    expect(". 1:537 ack 1");
    expect(". 537:1073 ack 1");
    inject(". 1:1 ack 1073");
}

/* Nothing useful fits an MSS of 0 or 8: the stack has a floor, and does not send a byte a segment for ever.
 */
CASE(tiny_mss_has_a_floor)
{
    static const unsigned mss[] = {0, 1, 8, 40};
    START();
    listen_on(80);
    for (unsigned i = 0; i < 4; i++) {
        flow(i);
        char opts[32];
        snprintf(opts, sizeof opts, "<mss %u>", mss[i]);
        passive_open(opts);
        write_bytes(200);
        check(pending() >= 1);
        check_in(peek()->bytes, 1, 64);
        drain();
        abort_conn();
        drain();
    }
}

CASE(huge_mss_is_cut_to_the_link)
{
    START();
    passive_open("<mss 65535>");
    write_bytes(4000);
    expect(". 1:1461 ack 1");
    expect(". 1461:2921 ack 1");
    inject(". 1:1 ack 2921");
    expect(". 2921:4001 ack 1");
    inject(". 1:1 ack 4001");
}

CASE(own_mss_is_that_of_the_link)
{
    START(.mtu = 1000);
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 960>");
    inject(". 1:1 ack 1");
    accept_conn();
    write_bytes(1920);
    expect(". 1:961 ack 1");
    expect(". 961:1921 ack 1");
    inject(". 1:1 ack 1921");
}

/* Timestamps take room from each segment (RFC 6691). */
CASE(options_count_for_the_segment_size)
{
    START();
    passive_open("<mss 1460,ts 100 0>");
    write_bytes(1448 * 2);
    expect(". 1:1449 ack 1");
    expect(". 1449:2897 ack 1");
    inject(". 1:1 ack 2897");
}

CASE(no_option_is_answered_that_was_not_offered)
{
    START();
    listen_on(80);
    inject("S 0:0");
    expect("S. 0:0 ack 1 <mss 1460>");
    flow(1);
    inject("S 0:0 <mss 1460,wscale 3>");
    expect("S. 0:0 ack 1 <mss 1460,wscale *>");
    flow(2);
    inject("S 0:0 <mss 1460,ts 55 0>");
    expect("S. 0:0 ack 1 <mss 1460,ts * 55>");
}

CASE(unknown_options_are_skipped)
{
    START();
    listen_on(80);
    inject("S 0:0 <mss 1000,raw fd0401020101fe02>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1 <raw 010101fd05112233>");
    accept_conn();
    write_bytes(1000);
    expect(". 1:1001 ack 1");
    inject(". 1:1 ack 1001 <raw 0000ffff>"); /* junk behind the end of options */
    check_eq(info().queued_bytes, 0);
}

/* ---- window scale ---- */

CASE(scaled_window_of_the_peer)
{
    START();
    flow(0)->win = 10;
    passive_open("<mss 1000,wscale 7>");
    write_bytes(5000);
    expect(". 1:1001 ack 1");
    drain();
    check_in(here()->seen_end - here()->iss, 1001, 1281);
    inject(". 1:1 ack %u win 100", here()->seen_end - here()->iss);
    check(pending() >= 3);
    drain();
    check_eq(info().snd_wnd, 12800);
    abort_conn();
    drain();
}

CASE(window_of_a_syn_is_not_scaled)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,wscale *,...>");
    inject("S. 0:0 ack 1 win 2000 <mss 1000,wscale 10>");
    expect(". 1:1 ack 1");
    write_bytes(5000);
    check_in(here()->seen_end - here()->iss, 1001, 2001);
    drain();
    abort_conn();
    drain();
}

CASE(scale_that_the_peer_does_not_offer_is_not_used)
{
    START(.rcvbuf = 1048576);
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 win 65535 <mss 1460>");
    inject(". 1:1 ack 1");
    accept_conn();
    write_bytes(10);
    expect(". 1:11 ack 1 win 65535");
    inject(". 1:1 ack 11 win 100");
    check_eq(info().snd_wnd, 100);
}

CASE(own_window_is_scaled)
{
    START(.rcvbuf = 1048576);
    listen_on(80);
    inject("S 0:0 <mss 1460,wscale 0>");
    expect("S. 0:0 ack 1 <mss 1460,wscale *>");
    check_in(here()->scale, 5, 14);
    inject(". 1:1 ack 1");
    accept_conn();
    write_bytes(10);
    expect(". 1:11 ack 1");
    check_in(here()->edge_seen - here()->last_ack, 1048576 - (1 << 14), 1048576 + (1 << 14));
    inject(". 1:1 ack 11");
}

/* The right edge never goes back through rounding: checked for each segment by the runner. */
CASE(scaled_window_moves_smoothly)
{
    START(.rcvbuf = 1000000, .delack_off = true);
    passive_open("<mss 1460,wscale 7>");
    uint32_t at = 1;
    for (unsigned i = 1; i < 400; i++) {
        inject("P. %u:%u ack 1", at, at + i);
        drain_acks();
        at += i;
        if (i % 3 == 0) {
            read_bytes(i);
            drain_acks();
        }
    }
    check_eq(here()->last_ack - here()->peer_iss, at);
    read_bytes(info().readable_bytes);
    drain_acks();
}

CASE(scale_above_14_counts_as_14)
{
    START();
    flow(0)->win = 1;
    passive_open("<mss 1460,wscale 255>");
    check_eq(info().snd_wnd, 16384);
}

CASE(scale_that_the_synack_lacks_is_not_used)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,wscale *,ts * 0,...>");
    inject("S. 0:0 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
    inject(". 1:1 ack 1 win 100");
    check_eq(info().snd_wnd, 100);
}

/* ---- timestamps ---- */

CASE(timestamps_are_echoed)
{
    START(.delack_off = true);
    passive_open("<mss 1460,ts 100 0>");
    inject("P. 1:11 ack 1 <ts 110 e>");
    expect(". 1:1 ack 11 <ts * 110>");
    inject("P. 11:21 ack 1 <ts 120 e>");
    expect(". 1:1 ack 21 <ts * 120>");
    read_bytes(20);
    uint32_t then = here()->ts_latest;
    advance_ms(1000);
    write_bytes(10);
    expect(". 1:11 ack 21 <ts * 120>");
    check_in(here()->ts_latest - then, 1, 1000000); /* it is a clock */
    inject(". 21:21 ack 11 <ts 2000 e>");
}

CASE(timestamps_of_an_active_open)
{
    START(.delack_off = true);
    connect_out(NULL);
    expect("S 0:0 <mss 1460,ts * 0,...>");
    inject("S. 0:0 ack 1 <mss 1460,ts 500 e>");
    expect(". 1:1 ack 1 <ts * 500>");
    inject("P. 1:11 ack 1 <ts 510 e>");
    expect(". 1:1 ack 11 <ts * 510>");
    read_bytes(10);
}

/* RFC 7323 4.3 (A): with acknowledgements put off, the echo is of the first segment that one acknowledges. */
CASE(delayed_ack_echoes_the_earliest)
{
    START();
    passive_open("<mss 1460,ts 100 0>");
    inject("P. 1:11 ack 1 <ts 200 e>");
    check_eq(pending(), 0);
    inject("P. 11:21 ack 1 <ts 210 e>");
    await_segment(45);
    expect(". 1:1 ack 21 <ts * 200>");
    read_bytes(20);
}

/* (B): a segment that leaves a hole is acknowledged with the last echo; (C): what fills the hole brings its
 * own. */
CASE(hole_keeps_the_echo)
{
    START(.delack_off = true);
    passive_open("<mss 1460,ts 100 0>");
    inject("P. 1:11 ack 1 <ts 200 e>");
    expect(". 1:1 ack 11 <ts * 200>");
    inject("P. 21:31 ack 1 <ts 220 e>");
    expect(". 1:1 ack 11 <ts * 200>");
    inject("P. 11:21 ack 1 <ts 210 e>");
    expect(". 1:1 ack 31 <ts * 210>");
    read_bytes(30);
}

CASE(paws_drops_the_past)
{
    START(.delack_off = true);
    passive_open("<mss 1460,ts 1000 0>");
    inject("P. 1:11 ack 1 <ts 1010 e>");
    expect(". 1:1 ack 11 <ts * 1010>");
    inject("P. 11:21 ack 1 <ts 1005 e>"); /* in sequence, but from another life */
    expect(". 1:1 ack 11 <ts * 1010>");
    expect_drops(WEIR_DROP_TCP_PAWS, 1);
    check_eq(info().readable_bytes, 10);
    inject("P. 11:21 ack 1 <ts 1010 e>"); /* equal is not older */
    expect(". 1:1 ack 21 <ts * 1010>");
    read_bytes(20);
}

CASE(paws_does_not_hold_for_resets)
{
    START();
    passive_open("<mss 1460,ts 1000 0>");
    inject("R 1:1 <ts 5 0>");
    expect_error(WEIR_ECONNRESET);
    flow(1);
    passive_open("<mss 1460,ts 1000 0>");
    inject("R 1:1 <>");
    expect_error(WEIR_ECONNRESET);
}

CASE(paws_over_the_end_of_the_clock)
{
    START(.delack_off = true);
    passive_open("<mss 1460,ts 4294967290 0>");
    inject("P. 1:11 ack 1 <ts 4294967295 e>");
    expect(". 1:1 ack 11 <ts * 4294967295>");
    inject("P. 11:21 ack 1 <ts 5 e>");
    expect(". 1:1 ack 21 <ts * 5>");
    inject("P. 21:31 ack 1 <ts 4294967295 e>");
    expect(". 1:1 ack 21 <ts * 5>");
    expect_drops(WEIR_DROP_TCP_PAWS, 1);
    read_bytes(20);
}

/* RFC 7323 5.5: after 24 days of silence the peer's clock may stand anywhere. */
CASE(paws_forgets_after_24_days)
{
    START(.delack_off = true);
    passive_open("<mss 1460,ts 1000 0>");
    inject("P. 1:11 ack 1 <ts 1010 e>");
    expect(". 1:1 ack 11 <ts * 1010>");
    advance_ms(25ull * 24 * 3600 * 1000);
    inject("P. 11:21 ack 1 <ts 900 e>");
    expect(". 1:1 ack 21 <ts * 900>");
    read_bytes(20);
}

/* RFC 7323 3.2: a segment without the agreed option should be dropped; nothing worse may happen. */
CASE(missing_timestamp_does_no_harm)
{
    START(.delack_off = true);
    passive_open("<mss 1460,ts 1000 0>");
    inject("P. 1:11 ack 1 <>");
    drain_acks();
    inject("P. 1:11 ack 1 <ts 1100 e>");
    expect(". 1:1 ack 11");
    read_bytes(10);
    read_nothing();
}

/* The echo tells which transmission an acknowledgement answers: a retransmission can be measured (RFC
 * 7323 4.1). */
CASE(round_trip_by_timestamps)
{
    START();
    passive_open("<mss 1460,ts 1000 0>");
    write_bytes(10);
    expect(". 1:11 ack 1");
    expect_after(100, 1100, ". 1:11 ack 1");
    advance_ms(30);
    inject(". 1:1 ack 11 <ts 1500 e>");
    check_in(info().srtt_us, 5000, 60000);
    check_in(info().rto_us, 200000, 450000);
}

/* An echo from nowhere must not spoil the estimate. */
CASE(nonsense_echo_does_no_harm)
{
    START();
    passive_open("<mss 1460,ts 1000 0>");
    for (unsigned i = 0; i < 5; i++) {
        static const char *const echo[] = {"0", "=4294967295", "e+100000", "e-2000000000", "1"};
        write_bytes(10);
        expect(". %u:%u ack 1", 1 + i * 10, 11 + i * 10);
        inject(". 1:1 ack %u <ts %u %s>", 11 + i * 10, 1100 + i, echo[i]);
    }
    check_in(info().rto_us, 200000, 3000000);
    check_eq(info().queued_bytes, 0);
}

CASE(timestamps_do_not_begin_in_the_middle)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    inject("P. 1:11 ack 1 <ts 5 5>");
    expect(". 1:1 ack 11 <>");
    inject("P. 11:21 ack 1 <ts 1 5>");
    expect(". 1:1 ack 21 <>");
    read_bytes(20);
}

CASE(syn_is_repeated_with_its_options)
{
    START();
    listen_on(80);
    inject("S 0:0 <mss 1460,sackOK,ts 100 0,wscale 7>");
    expect("S. 0:0 ack 1 <mss 1460,ts * 100,wscale *,...>");
    expect_after(900, 1200, "S. 0:0 ack 1 <mss 1460,ts * 100,wscale *,...>");
    inject(". 1:1 ack 1 <ts 101 e>");
    accept_conn();
    write_bytes(10);
    expect(". 1:11 ack 1 <ts * 101>");
    inject(". 1:1 ack 11 <ts 102 e>");
}

/* To TIME-WAIT at the peer's timestamp 1,000; then a new connection between the same ports. */
static void again_after_time_wait(uint32_t iss)
{
    START();
    passive_open("<mss 1460,ts 1000 0>");
    close_conn();
    expect("F. 1:1 ack 1");
    inject("F. 1:1 ack 2");
    expect(". 2:2 ack 2");
    check_eq(stats().timewait_live, 1);
    reincarnate(SCRIPT_PEER_ISS + iss);
}

/* RFC 6191: where there are timestamps they tell whether a SYN is newer, and the sequence number where they
 * are equal. */
CASE(time_wait_opens_for_a_newer_timestamp)
{
    again_after_time_wait(0u - 100000u);
    inject("S 0:0 <mss 1460,ts 1001 0>");
    expect("S. 0:0 ack 1 <mss 1460,ts * 1001>");
    inject(". 1:1 ack 1");
    accept_conn();
}

CASE(time_wait_opens_for_an_equal_timestamp_and_newer_number)
{
    again_after_time_wait(100000);
    inject("S 0:0 <mss 1460,ts 1000 0>");
    expect("S. 0:0 ack 1 <mss 1460,ts * 1000>");
}

CASE(time_wait_does_not_open_for_an_older_timestamp)
{
    again_after_time_wait(0u - 100000u);
    uint32_t numbers = here()->peer_iss;
    reincarnate(SCRIPT_PEER_ISS);
    inject("S =%u:=%u <mss 1460,ts 999 0>", numbers, numbers);
    check(pending() == 1 && (peek()->flags & (SEG_SYN | SEG_RST)) == 0);
    drain();
    check_eq(stats().timewait_live, 1);
    accept_none();
}

/* SACK blocks, agreed or not, true or not, never break anything. */
CASE(sack_blocks_do_no_harm)
{
    START();
    passive_open("<mss 1460,sackOK>");
    write_bytes(14600);
    expect_stream(1, 14601);
    inject(". 1:1 ack 1 <sack 1461:2921>");
    inject(". 1:1 ack 1 <sack 5000:4000,sack 100000:200000>");
    drain();
    inject(". 1:1 ack 1 <sack 1:14601>");
    drain();
    advance_ms(1500);
    drain();
    inject(". 1:1 ack 14601");
    check_eq(info().queued_bytes, 0);
    flow(1);
    passive_open("<mss 1460>");
    inject(". 1:1 ack 1 <sack 1:100>");
    check_eq(pending(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(mss_of_the_peer_is_kept),
        T(missing_mss_means_536),
        T(missing_mss_in_a_synack_means_536),
        T(tiny_mss_has_a_floor),
        T(huge_mss_is_cut_to_the_link),
        T(own_mss_is_that_of_the_link),
        T(options_count_for_the_segment_size),
        T(no_option_is_answered_that_was_not_offered),
        T(unknown_options_are_skipped),
        T(scaled_window_of_the_peer),
        T(window_of_a_syn_is_not_scaled),
        T(scale_that_the_peer_does_not_offer_is_not_used),
        T(own_window_is_scaled),
        T(scaled_window_moves_smoothly),
        T(scale_above_14_counts_as_14),
        T(scale_that_the_synack_lacks_is_not_used),
        T(timestamps_are_echoed),
        T(timestamps_of_an_active_open),
        T(delayed_ack_echoes_the_earliest),
        T(hole_keeps_the_echo),
        T(paws_drops_the_past),
        T(paws_does_not_hold_for_resets),
        T(paws_over_the_end_of_the_clock),
        T(paws_forgets_after_24_days),
        T(missing_timestamp_does_no_harm),
        T(round_trip_by_timestamps),
        T(nonsense_echo_does_no_harm),
        T(timestamps_do_not_begin_in_the_middle),
        T(syn_is_repeated_with_its_options),
        T(time_wait_opens_for_a_newer_timestamp),
        T(time_wait_opens_for_an_equal_timestamp_and_newer_number),
        T(time_wait_does_not_open_for_an_older_timestamp),
        T(sack_blocks_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
