/* Opening connections: RFC 9293 3.5 and 3.10.7, RFC 6298 section 5, RFC 1122 4.2.3.5. */
#include "script.h"

CASE(passive_open_by_handshake)
{
    START();
    listen_on(80);
    inject("S 0:0 win 65535 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    accept_none();
    advance_ms(10);
    inject(". 1:1 ack 1");
    check(had_event(listener(), WEIR_EV_ACCEPT));
    accept_conn();
    expect_state(WEIR_TCP_ESTABLISHED);
    check_eq(info().peer.port, 40000);
    accept_none();
    silent(5000);
}

CASE(synack_is_sent_again_with_backoff)
{
    START();
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    expect_after(950, 1100, "S. 0:0 ack 1 <mss 1460>");
    expect_after(1950, 2200, "S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1");
    accept_conn();
    silent(5000);
}

CASE(synack_is_given_up)
{
    START(.syn_retries = 2);
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    for (unsigned i = 0; i < 2; i++) {
        expect("S. 0:0 ack 1 <mss 1460>");
        advance_ms(1100u << i);
    }
    expect("S. 0:0 ack 1 <mss 1460>");
    advance_ms(10000);
    if (pending() > 0) /* a reset on giving up is allowed */
        expect_either("R 1:1", "R. 1:1 ack 1");
    check_eq(stats().conns_live, 0);
    accept_none();
    reincarnate(5000);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
}

CASE(duplicate_syn_is_answered_again)
{
    START();
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject("S 0:0 <mss 1460>");
    if (expect_either("S. 0:0 ack 1 <mss 1460>", ". 1:1 ack 1") == 1) drain_acks();
    inject(". 1:1 ack 1");
    accept_conn();
    accept_none();
}

CASE(reset_in_syn_received_goes_back_to_listening)
{
    START();
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject("R 1:1");
    check_eq(stats().conns_live, 0);
    silent(3000);
    reincarnate(777);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1");
    accept_conn();
}

/* RFC 9293 figure 9: the listener answers an old SYN, is told, and opens for the new one. */
CASE(old_duplicate_syn_is_recovered_from)
{
    START();
    listen_on(80);
    reincarnate(90);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject("R 1:1");
    silent(100);
    reincarnate(100000);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1");
    accept_conn();
}

/* RFC 9293 figure 10: the peer has crashed and opens again. */
CASE(half_open_connection_is_discovered)
{
    START();
    passive_open("<mss 1460>");
    uint32_t theirs = here()->last_ack;
    inject("S 500000:500000 <mss 1460>");
    expect(". 1:1 ack 1");
    inject("R =%u:=%u", theirs, theirs);
    expect_error(WEIR_ECONNRESET);
    close_conn();
    reincarnate(1500000);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1");
    accept_conn();
}

CASE(wrong_ack_in_syn_received_is_reset)
{
    START();
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 100");
    expect("R 100:100");
    inject(". 1:1 ack 0");
    expect("R 0:0");
    inject(". 1:1 ack 1");
    accept_conn();
}

CASE(data_with_the_last_ack_of_the_handshake)
{
    START();
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject("P. 1:101 ack 1");
    accept_conn();
    expect_acked(101, 45);
    read_bytes(100);
}

CASE(fin_with_the_last_ack_of_the_handshake)
{
    START();
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject("F. 1:1 ack 1");
    accept_conn();
    expect_acked(2, 45);
    read_end();
    expect_state(WEIR_TCP_CLOSE_WAIT);
}

/* The ACK of the handshake is lost; the first data completes it. */
CASE(data_completes_a_handshake_whose_ack_was_lost)
{
    START();
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject("P. 101:201 ack 1");
    accept_conn();
    expect(". 1:1 ack 1");
    inject("P. 1:101 ack 1");
    expect(". 1:1 ack 201");
    read_bytes(200);
}

/* Data in a SYN may be kept or left to be sent again, but is never delivered before the handshake is over. */
CASE(syn_with_data)
{
    START();
    listen_on(80);
    inject("S 0:100 <mss 1460>");
    bool kept = expect_either("S. 0:0 ack 1 <mss 1460>", "S. 0:0 ack 101 <mss 1460>") == 1;
    accept_none();
    inject(". %d:%d ack 1", kept ? 101 : 1, kept ? 101 : 1);
    accept_conn();
    if (!kept) {
        read_nothing();
        inject("P. 1:101 ack 1");
        expect_acked(101, 45);
    }
    read_bytes(100);
    drain_acks();
}

CASE(active_open_by_handshake)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    expect_state(WEIR_TCP_SYN_SENT);
    advance_ms(10);
    inject("S. 0:0 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
    expect_event(WEIR_EV_OPEN);
    expect_state(WEIR_TCP_ESTABLISHED);
    silent(5000);
}

CASE(syn_offers_scale_and_timestamps)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,wscale *,ts * 0,...>");
    abort_conn();
    drain();
}

CASE(syn_is_sent_again_and_given_up)
{
    START(.syn_retries = 3);
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    expect_after(950, 1100, "S 0:0 <mss 1460,...>");
    expect_after(1900, 2200, "S 0:0 <mss 1460,...>");
    expect_after(3800, 4400, "S 0:0 <mss 1460,...>");
    expect_no_event(WEIR_EV_ERROR);
    silent(20000);
    expect_error(WEIR_ETIMEDOUT);
    read_fails(WEIR_ETIMEDOUT);
}

CASE(syn_answered_late_opens)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    expect_after(950, 1100, "S 0:0 <mss 1460,...>");
    advance_ms(500);
    inject("S. 0:0 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
    expect_event(WEIR_EV_OPEN);
    silent(5000);
}

CASE(syn_is_refused)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    inject("R. 0:0 ack 1");
    expect_error(WEIR_ECONNREFUSED);
    silent(5000);
    close_conn();
    check_eq(stats().conns_live, 0);
}

CASE(reset_without_ack_does_not_refuse)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    inject("R 0:0");
    expect_no_event(WEIR_EV_ERROR);
    inject("R. 0:0 ack 5");
    inject("R. 0:0 ack 0");
    expect_no_event(WEIR_EV_ERROR);
    inject("S. 0:0 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
    expect_event(WEIR_EV_OPEN);
}

CASE(synack_of_another_syn_is_reset)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    inject("S. 0:0 ack 1000 <mss 1460>");
    expect("R 1000:1000");
    inject("S. 0:0 ack 0 <mss 1460>");
    expect("R 0:0");
    inject(". 1:1 ack 2");
    expect("R 2:2");
    expect_state(WEIR_TCP_SYN_SENT);
    inject("S. 0:0 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
}

CASE(ack_alone_does_not_open)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    inject(". 1:1 ack 1");
    inject("F 0:0");
    inject("P. 1:11 ack 1");
    expect_state(WEIR_TCP_SYN_SENT);
    expect_no_event(WEIR_EV_OPEN);
    inject("S. 0:0 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
}

/* RFC 9293 figure 8. The SYN-ACKs that cross may be answered with an ACK or not. */
CASE(simultaneous_open)
{
    START(.delack_off = true);
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    expect_state(WEIR_TCP_SYN_RECEIVED);
    inject("S. 0:0 ack 1 <mss 1460>");
    drain_acks();
    inject(". 1:1 ack 1");
    drain_acks();
    expect_state(WEIR_TCP_ESTABLISHED);
    expect_event(WEIR_EV_OPEN);
    inject("P. 1:11 ack 1");
    expect(". 1:1 ack 11");
    read_bytes(10);
    write_bytes(10);
    expect(". 1:11 ack 11");
    inject(". 11:11 ack 11");
}

CASE(simultaneous_open_ends_with_an_ack)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1");
    expect_event(WEIR_EV_OPEN);
    expect_state(WEIR_TCP_ESTABLISHED);
    silent(3000);
}

CASE(simultaneous_open_is_sent_again)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    expect_after(700, 2200, "S. 0:0 ack 1 <mss 1460>");
    inject("R. 1:1 ack 1");
    expect_event(WEIR_EV_ERROR);
}

CASE(synack_with_data)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    inject("S. 0:50 ack 1 <mss 1460>");
    if (expect_either(". 1:1 ack 1", ". 1:1 ack 51") == 0) {
        advance_ms(45);
        if (pending() == 0) inject("P. 1:51 ack 1");
        expect_acked(51, 45);
    }
    expect_event(WEIR_EV_OPEN);
    read_bytes(50);
}

CASE(synack_lost_and_sent_again_is_acked_again)
{
    START();
    active_open("<mss 1460>");
    inject("S. 0:0 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
    expect_state(WEIR_TCP_ESTABLISHED);
}

CASE(close_while_opening_is_silent_or_reset)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    close_conn();
    silent(2000);
    inject("S. 0:0 ack 1 <mss 1460>");
    expect_either("R 1:1", "R. 1:1 ack 1");
    check_eq(stats().conns_live, 0);
}

CASE(write_before_open_is_refused)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    check_eq(weir_write(stack(), here()->id, "x", 1), WEIR_ENOTCONN);
    read_fails(WEIR_ENOTCONN);
    check_eq(weir_shutdown(stack(), here()->id), WEIR_ENOTCONN);
    abort_conn();
    drain();
}

CASE(backlog_is_a_bound)
{
    START();
    listen_with(80, &(const struct weir_opts){.backlog = 2});
    for (unsigned i = 0; i < 2; i++) {
        flow(i);
        inject("S 0:0 <mss 1460>");
        expect("S. 0:0 ack 1 <mss 1460>");
        inject(". 1:1 ack 1");
    }
    flow(2);
    inject("S 0:0 <mss 1460>");
    check_eq(pending(), 0);
    expect_drops(WEIR_DROP_TCP_BACKLOG, 1);
    flow(0);
    accept_conn();
    flow(2);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1");
    flow(1);
    accept_conn();
    flow(2);
    accept_conn();
}

CASE(half_open_connections_are_bounded)
{
    START();
    listen_with(80, &(const struct weir_opts){.backlog = 3});
    for (unsigned i = 0; i < 10; i++) {
        flow(i);
        inject("S 0:0 <mss 1460>");
        expect("S. 0:0 ack 1 <mss 1460>"); /* a cookie from the fourth on, see cookie_cases.c */
    }
    check_eq(stats().conns_live, 3);
    check_eq(stats().syn_cookies_sent, 7);
}

CASE(full_table_drops_connection_requests)
{
    START(.conns = 4);
    listen_on(80);
    for (unsigned i = 0; i < 4; i++) {
        flow(i);
        inject("S 0:0 <mss 1460>");
        expect("S. 0:0 ack 1 <mss 1460>");
        inject(". 1:1 ack 1");
        accept_conn();
    }
    flow(4);
    inject("S 0:0 <mss 1460>");
    drain(); /* silence, or a reset */
    expect_drops(WEIR_DROP_TCP_CONNS, 1);
    flow(5);
    struct weir_addr a = {.family = WEIR_IP4, .port = 9, .ip = {10, 9, 0, 1}};
    weir_id id;
    check_eq(weir_connect(stack(), &a, NULL, &id), WEIR_EMFILE);
    flow(1);
    abort_conn();
    drain();
    flow(4);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
}

CASE(closed_listener_resets_what_was_not_accepted)
{
    START();
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1");
    close_listener();
    expect_either("R. 1:1 ack 1", "R 1:1");
    check_eq(stats().conns_live, 0);
    flow(1);
    inject("S 0:0 <mss 1460>");
    expect("R. =0:=0 ack 1");
}

CASE(same_port_can_be_listened_on_again)
{
    START();
    listen_on(80);
    struct weir_addr a = {.family = WEIR_IP4, .port = 80};
    weir_id id;
    check_eq(weir_listen(stack(), &a, NULL, &id), WEIR_EADDRINUSE);
    close_listener();
    passive_open("<mss 1460>");
}

CASE(sequence_numbers_and_ports_differ)
{
    START();
    uint16_t port[8];
    uint32_t iss[8];
    for (unsigned i = 0; i < 8; i++) {
        flow(i);
        connect_out(NULL);
        expect("S 0:0 <mss 1460,...>");
        port[i] = here()->port;
        iss[i] = here()->iss;
        for (unsigned k = 0; k < i; k++)
            check(iss[k] != iss[i]);
        check(port[i] >= 1024);
    }
    unsigned apart = 0;
    for (unsigned i = 1; i < 8; i++)
        apart += port[i] != port[i - 1] + 1 && iss[i] - iss[i - 1] > 1000;
    check(apart > 3); /* not to be guessed from the last one (RFC 6056, RFC 6528) */
}

/* RFC 6528: a later connection between the same ports begins above the earlier one's numbers, within a few
 * minutes. */
CASE(sequence_numbers_grow_with_time)
{
    START();
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    uint32_t first = here()->iss;
    inject("R 1:1");
    advance_ms(1000);
    reincarnate(2000);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    check_in(here()->iss - first, 1, 2000000000);
}

CASE(connection_over_the_end_of_sequence_numbers)
{
    START(.delack_off = true);
    reincarnate(0xffffff00u);
    passive_open("<mss 1460>");
    inject("P. 1:1001 ack 1");
    expect(". 1:1 ack 1001");
    read_bytes(1000);
    inject("P. 1101:1201 ack 1");
    expect(". 1:1 ack 1001");
    inject("P. 1001:1101 ack 1");
    expect(". 1:1 ack 1201");
    read_bytes(200);
    inject("F. 1201:1201 ack 1");
    expect(". 1:1 ack 1202");
    read_end();
}

CASE(host_that_does_not_answer_arp)
{
    START(.no_arp = true);
    connect_out(NULL);
    advance_ms(30000);
    expect_event(WEIR_EV_ERROR);
    check(info().error == WEIR_EHOSTUNREACH || info().error == WEIR_ETIMEDOUT);
    check_eq(pending(), 0);
}

CASE(no_route_to_the_network)
{
    START();
    struct weir_addr a = {.family = WEIR_IP4, .port = 80, .ip = {192, 0, 2, 1}};
    weir_id id;
    check_eq(weir_connect(stack(), &a, NULL, &id), WEIR_ENETUNREACH);
}

CASE(event_tells_the_users_number)
{
    START();
    struct weir_event ev[4];
    listen_with(80, &(const struct weir_opts){.user = 0x1122334455667788u});
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1");
    accept_conn();
    inject_burst("P. 1:11 ack 1");
    int n = weir_poll(stack(), ev, 4, 0);
    check_eq(n, 1);
    check(ev[0].id == here()->id && (ev[0].mask & WEIR_EV_READ) != 0 && ev[0].user == 0x1122334455667788u);
    expect_acked(11, 45);
    read_bytes(10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(passive_open_by_handshake),
        T(synack_is_sent_again_with_backoff),
        T(synack_is_given_up),
        T(duplicate_syn_is_answered_again),
        T(reset_in_syn_received_goes_back_to_listening),
        T(old_duplicate_syn_is_recovered_from),
        T(half_open_connection_is_discovered),
        T(wrong_ack_in_syn_received_is_reset),
        T(data_with_the_last_ack_of_the_handshake),
        T(fin_with_the_last_ack_of_the_handshake),
        T(data_completes_a_handshake_whose_ack_was_lost),
        T(syn_with_data),
        T(active_open_by_handshake),
        T(syn_offers_scale_and_timestamps),
        T(syn_is_sent_again_and_given_up),
        T(syn_answered_late_opens),
        T(syn_is_refused),
        T(reset_without_ack_does_not_refuse),
        T(synack_of_another_syn_is_reset),
        T(ack_alone_does_not_open),
        T(simultaneous_open),
        T(simultaneous_open_ends_with_an_ack),
        T(simultaneous_open_is_sent_again),
        T(synack_with_data),
        T(synack_lost_and_sent_again_is_acked_again),
        T(close_while_opening_is_silent_or_reset),
        T(write_before_open_is_refused),
        T(backlog_is_a_bound),
        T(half_open_connections_are_bounded),
        T(full_table_drops_connection_requests),
        T(closed_listener_resets_what_was_not_accepted),
        T(same_port_can_be_listened_on_again),
        T(sequence_numbers_and_ports_differ),
        T(sequence_numbers_grow_with_time),
        T(connection_over_the_end_of_sequence_numbers),
        T(host_that_does_not_answer_arp),
        T(no_route_to_the_network),
        T(event_tells_the_users_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
