/* Resets, and what is answered with one: RFC 9293 3.5.2 and 3.10.7, RFC 5961 sections 3, 4 and 7. */
#include "script.h"

CASE(exact_reset_ends_the_connection)
{
    START();
    passive_open("<mss 1460>");
    inject("R 1:1");
    expect_error(WEIR_ECONNRESET);
    read_fails(WEIR_ECONNRESET);
    check_eq(weir_write(stack(), here()->id, "x", 1), WEIR_ECONNRESET);
    check_eq(stats().resets_received, 1);
    silent(5000);
}

CASE(exact_reset_with_unsent_and_unacked_data)
{
    START();
    flow(0)->win = 2000;
    passive_open("<mss 1460>");
    write_ref(10000);
    drain();
    inject("R. 1:1 ack 1");
    expect_error(WEIR_ECONNRESET);
    silent(5000);
}

CASE(reset_in_the_window_is_challenged)
{
    START();
    passive_open("<mss 1460>");
    for (unsigned i = 1; i < 6; i++) {
        inject("R %u:%u", 1 + i * 1000, 1 + i * 1000);
        expect(". 1:1 ack 1");
    }
    check(stats().challenge_acks >= 5);
    expect_drops(WEIR_DROP_TCP_RST, 5);
    expect_state(WEIR_TCP_ESTABLISHED);
    expect_no_event(WEIR_EV_ERROR);
    inject("R 1:1"); /* a peer that is really gone answers the challenge exactly */
    expect_error(WEIR_ECONNRESET);
}

CASE(reset_outside_the_window_is_ignored)
{
    START();
    passive_open("<mss 1460>");
    inject("R 0:0");
    inject("R -1000:-1000");
    inject("R 70000:70000");
    inject("R 2000000000:2000000000");
    expect_state(WEIR_TCP_ESTABLISHED);
    expect_no_event(WEIR_EV_ERROR);
    silent(1000);
}

CASE(reset_behind_out_of_order_data_is_not_exact)
{
    START();
    passive_open("<mss 1460>");
    inject("P. 101:201 ack 1");
    expect(". 1:1 ack 1");
    inject("R 201:201");
    expect(". 1:1 ack 1");
    expect_state(WEIR_TCP_ESTABLISHED);
}

CASE(reset_at_a_shut_window)
{
    START(.rcvbuf = 4096, .delack_off = true);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 4; i++) {
        inject("P. %u:%u ack 1", 1 + i * 1024, 1 + (i + 1) * 1024);
        drain_acks();
    }
    inject("R 4098:4098"); /* one too far */
    drain_acks();
    expect_state(WEIR_TCP_ESTABLISHED);
    inject("R 4097:4097");
    expect_error(WEIR_ECONNRESET);
}

CASE(syn_in_a_connection_is_challenged)
{
    START();
    passive_open("<mss 1460>");
    inject("S 0:0 <mss 1460>"); /* the one that opened it */
    expect(". 1:1 ack 1");
    inject("S 1:1 <mss 1460>"); /* in the window, exactly */
    expect(". 1:1 ack 1");
    inject("S 5000:5000 <mss 1460>");
    expect(". 1:1 ack 1");
    inject("S 1000000000:1000000000 <mss 1460>");
    expect(". 1:1 ack 1");
    inject("S. 5000:5000 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
    expect_state(WEIR_TCP_ESTABLISHED);
    check_in(stats().drops[WEIR_DROP_TCP_SYN], 3, 5); /* those outside the window may be counted as such */
    check_eq(stats().drops[WEIR_DROP_TCP_SYN] + stats().drops[WEIR_DROP_TCP_SEQ], 5);
    accept_none();
}

CASE(challenges_are_limited)
{
    START(.challenge_acks = 10);
    passive_open("<mss 1460>");
    unsigned n = 0;
    for (unsigned i = 0; i < 50; i++) {
        inject("R %u:%u", 100 + i, 100 + i);
        n += drain_acks();
    }
    check_in(n, 1, 10);
    advance_ms(1100);
    n = 0;
    for (unsigned i = 0; i < 50; i++) {
        inject("S %u:%u", 100 + i, 100 + i);
        n += drain_acks();
    }
    check_in(n, 1, 11);
    expect_state(WEIR_TCP_ESTABLISHED);
}

CASE(challenge_limit_is_for_the_whole_instance)
{
    START(.challenge_acks = 10);
    unsigned n = 0;
    for (unsigned c = 0; c < 4; c++) {
        flow(c);
        passive_open("<mss 1460>");
    }
    advance_ms(2000);
    for (unsigned i = 0; i < 40; i++) {
        flow(i % 4);
        inject("R %u:%u", 100 + i, 100 + i);
        n += drain_acks();
    }
    check_in(n, 1, 11);
}

CASE(reset_in_fin_wait_1)
{
    START();
    passive_open("<mss 1460>");
    shut();
    expect("F. 1:1 ack 1");
    inject("R 50:50");
    expect(". 2:2 ack 1");
    inject("R 1:1");
    expect_error(WEIR_ECONNRESET);
    silent(5000);
}

CASE(reset_in_fin_wait_2)
{
    START();
    passive_open("<mss 1460>");
    shut();
    expect("F. 1:1 ack 1");
    inject(". 1:1 ack 2");
    inject("R 50:50");
    expect(". 2:2 ack 1");
    inject("R 1:1");
    expect_error(WEIR_ECONNRESET);
}

CASE(reset_in_close_wait)
{
    START();
    passive_open("<mss 1460>");
    inject("F. 1:1 ack 1");
    expect_acked(2, 45);
    inject("R 50:50");
    expect(". 1:1 ack 2");
    inject("R 2:2");
    expect_error(WEIR_ECONNRESET);
}

CASE(reset_in_closing_and_last_ack)
{
    START();
    passive_open("<mss 1460>");
    close_conn();
    expect("F. 1:1 ack 1");
    inject("F. 1:1 ack 1");
    expect(". 2:2 ack 2");
    inject("R 2:2");
    check_eq(stats().conns_live, 0);
    flow(1);
    passive_open("<mss 1460>");
    inject("F. 1:1 ack 1");
    expect_acked(2, 45);
    close_conn();
    expect("F. 1:1 ack 2");
    inject("R 2:2");
    check_eq(stats().conns_live, 0);
    silent(5000);
}

CASE(syn_to_a_closed_port)
{
    START();
    inject("S 0:0 <mss 1460>");
    expect("R. =0:=0 ack 1");
    inject("S 0:10 <mss 1460>");
    expect("R. =0:=0 ack 11");
    expect_drops(WEIR_DROP_TCP_PORT, 2);
    check_eq(stats().resets_sent, 2);
}

CASE(segment_with_ack_to_a_closed_port)
{
    START();
    inject(". 1:1 ack 77");
    expect("R 77:77");
    inject("P. 1:11 ack 78");
    expect("R 78:78");
    inject("F. 1:1 ack 79");
    expect("R 79:79");
    inject("S. 1:1 ack 80");
    expect("R 80:80");
}

CASE(segment_without_ack_to_a_closed_port)
{
    START();
    inject("F 5:5");
    expect("R. =0:=0 ack 6");
    inject("P 5:15");
    expect("R. =0:=0 ack 15");
    inject("- 5:5");
    expect("R. =0:=0 ack 5");
}

CASE(reset_is_never_answered)
{
    START();
    inject("R 0:0");
    inject("R. 0:0 ack 1");
    inject("RS 0:0");
    inject("RF. 0:0 ack 5");
    listen_on(80);
    inject("R 0:0");
    inject("R. 0:0 ack 1");
    inject("SR 0:0 <mss 1460>");
    check_eq(stats().conns_live, 0);
    silent(1000);
}

CASE(ack_to_a_listener_is_reset)
{
    START();
    listen_on(80);
    inject(". 1:1 ack 500");
    expect("R 500:500");
    inject("S. 1:1 ack 501");
    expect("R 501:501");
    check_eq(stats().conns_live, 0);
    inject("F 1:1");
    inject("P 1:5");
    inject("- 1:1");
    silent(100);
}

CASE(resets_to_nobody_are_limited)
{
    START(.icmp_errors = 5);
    unsigned n = 0;
    for (unsigned i = 0; i < 50; i++) {
        inject("S %u:%u", i, i);
        n += drain();
    }
    check_in(n, 1, 5);
    check(stats().drops[WEIR_DROP_RATE] >= 45);
    advance_ms(1100);
    inject("S 0:0");
    expect("R. =0:=0 ack 1");
}

/* RFC 9293 3.10.7.4: an ACK of what was never sent gets an ACK and is dropped with its data. */
CASE(ack_of_the_future_is_answered_and_dropped)
{
    START();
    passive_open("<mss 1460>");
    inject("P. 1:11 ack 1000");
    expect(". 1:1 ack 1");
    read_nothing();
    expect_drops(WEIR_DROP_TCP_ACK, 1);
    write_bytes(100);
    expect(". 1:101 ack 1");
    inject("P. 1:11 ack 102");
    expect(". 101:101 ack 1");
    inject("P. 1:11 ack 101");
    expect_acked(11, 45);
    read_bytes(10);
}

/* RFC 5961 5.2: data with an acknowledgement far in the past is a blind guess. */
CASE(ack_of_the_far_past_is_dropped)
{
    START();
    passive_open("<mss 1460>");
    inject("P. 1:11 ack -2000000000");
    expect(". 1:1 ack 1");
    inject("P. 1:11 ack -100000");
    expect(". 1:1 ack 1");
    read_nothing();
    inject("P. 1:11 ack 1");
    expect_acked(11, 45);
    read_bytes(10);
}

CASE(old_ack_within_the_window_is_harmless)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    write_bytes(1000);
    expect(". 1:1001 ack 1");
    inject(". 1:1 ack 1001");
    inject("P. 1:11 ack 501");
    expect(". 1001:1001 ack 11"); /* an older ACK that comes late brings its data all the same */
    read_bytes(10);
    check_eq(info().queued_bytes, 0);
}

CASE(segment_without_ack_in_a_connection_is_dropped)
{
    START();
    passive_open("<mss 1460>");
    inject("P 1:11");
    inject("F 1:1");
    inject("- 1:1");
    inject("- 1:101");
    advance_ms(50);
    read_nothing();
    expect_state(WEIR_TCP_ESTABLISHED);
    drain_acks();
}

CASE(other_connections_live_on)
{
    START();
    flow(1);
    passive_open("<mss 1460>");
    flow(0);
    passive_open("<mss 1460>");
    inject("R 1:1");
    expect_error(WEIR_ECONNRESET);
    close_conn();
    flow(1);
    expect_no_event(WEIR_EV_ERROR);
    inject("P. 1:11 ack 1");
    expect_acked(11, 45);
    read_bytes(10);
}

CASE(failed_id_is_valid_until_closed)
{
    START();
    passive_open("<mss 1460>");
    weir_id id = here()->id;
    inject("R 1:1");
    expect_error(WEIR_ECONNRESET);
    check(weir_ready(stack(), id) & WEIR_EV_ERROR);
    advance_ms(100000);
    check_eq(info().error, WEIR_ECONNRESET);
    check_eq(weir_shutdown(stack(), id) < 0, 1);
    close_conn();
    check_eq(weir_ready(stack(), id), 0);
    check_eq(pending(), 0);
}

/* The last sequence number of the window is inside, the next one is not. */
CASE(edges_of_the_window_are_exact)
{
    START();
    passive_open("<mss 1460>");
    unsigned edge = here()->edge_seen - here()->peer_iss;
    inject("R %u:%u", edge - 1, edge - 1);
    expect(". 1:1 ack 1");
    inject("R %u:%u", edge, edge);
    check_eq(pending(), 0);
    inject("P. %u:%u ack 1", edge - 10, edge);
    expect(". 1:1 ack 1");
    check_eq(info().ooo_bytes, 10);
    inject("P. %u:%u ack 1", edge, edge + 10);
    expect(". 1:1 ack 1");
    check_eq(info().ooo_bytes, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(exact_reset_ends_the_connection),
        T(exact_reset_with_unsent_and_unacked_data),
        T(reset_in_the_window_is_challenged),
        T(reset_outside_the_window_is_ignored),
        T(reset_behind_out_of_order_data_is_not_exact),
        T(reset_at_a_shut_window),
        T(syn_in_a_connection_is_challenged),
        T(challenges_are_limited),
        T(challenge_limit_is_for_the_whole_instance),
        T(reset_in_fin_wait_1),
        T(reset_in_fin_wait_2),
        T(reset_in_close_wait),
        T(reset_in_closing_and_last_ack),
        T(syn_to_a_closed_port),
        T(segment_with_ack_to_a_closed_port),
        T(segment_without_ack_to_a_closed_port),
        T(reset_is_never_answered),
        T(ack_to_a_listener_is_reset),
        T(resets_to_nobody_are_limited),
        T(ack_of_the_future_is_answered_and_dropped),
        T(ack_of_the_far_past_is_dropped),
        T(old_ack_within_the_window_is_harmless),
        T(segment_without_ack_in_a_connection_is_dropped),
        T(other_connections_live_on),
        T(failed_id_is_valid_until_closed),
        T(edges_of_the_window_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
