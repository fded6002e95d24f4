/* Closing connections: RFC 9293 3.6, 3.10.4, 3.10.7.4, RFC 1122 4.2.2.13. */
#include "script.h"

CASE(close_by_the_application)
{
    START();
    passive_open("<mss 1460>");
    close_conn();
    expect("F. 1:1 ack 1");
    advance_ms(10);
    inject(". 1:1 ack 2");
    inject("F. 1:1 ack 2");
    expect(". 2:2 ack 2");
    check_eq(stats().timewait_live, 1);
    check_eq(stats().conns_live, 0);
    silent(1500);
}

CASE(close_by_the_peer)
{
    START();
    passive_open("<mss 1460>");
    inject("F. 1:1 ack 1");
    expect_acked(2, 45);
    expect_event(WEIR_EV_READ);
    read_end();
    expect_state(WEIR_TCP_CLOSE_WAIT);
    close_conn();
    expect("F. 1:1 ack 2");
    inject(". 2:2 ack 2");
    check_eq(stats().conns_live, 0);
    check_eq(stats().timewait_live, 0);
    silent(5000);
}

CASE(half_close_by_the_application)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    shut();
    expect("F. 1:1 ack 1");
    inject(". 1:1 ack 2");
    expect_state(WEIR_TCP_FIN_WAIT_2);
    for (unsigned i = 0; i < 5; i++) {
        inject("P. %u:%u ack 2", 1 + i * 1000, 1001 + i * 1000);
        expect(". 2:2 ack %u", 1001 + i * 1000);
        read_bytes(1000);
    }
    check_eq(weir_write(stack(), here()->id, "x", 1), WEIR_EPIPE);
    advance_ms(60000);
    check_eq(pending(), 0);
    inject("F. 5001:5001 ack 2");
    expect(". 2:2 ack 5002");
    read_end();
    expect_event(WEIR_EV_CLOSED);
}

CASE(half_close_by_the_peer)
{
    START();
    passive_open("<mss 1460>");
    inject("F. 1:1 ack 1");
    expect_acked(2, 45);
    read_end();
    for (unsigned i = 0; i < 5; i++) {
        write_bytes(1000);
        expect(". %u:%u ack 2", 1 + i * 1000, 1001 + i * 1000);
        inject(". 2:2 ack %u", 1001 + i * 1000);
    }
    expect_state(WEIR_TCP_CLOSE_WAIT);
    shut();
    expect("F. 5001:5001 ack 2");
    inject(". 2:2 ack 5002");
    expect_event(WEIR_EV_CLOSED);
    expect_event(WEIR_EV_SENT);
}

CASE(simultaneous_close)
{
    START();
    passive_open("<mss 1460>");
    shut();
    expect("F. 1:1 ack 1");
    inject("F. 1:1 ack 1");
    expect(". 2:2 ack 2");
    expect_state(WEIR_TCP_CLOSING);
    inject(". 2:2 ack 2");
    expect_event(WEIR_EV_CLOSED);
    close_conn();
    check_eq(stats().timewait_live, 1);
    silent(1500);
}

CASE(fin_and_ack_of_fin_in_one_segment)
{
    START();
    passive_open("<mss 1460>");
    close_conn();
    expect("F. 1:1 ack 1");
    inject("F. 1:1 ack 2");
    expect(". 2:2 ack 2");
    check_eq(stats().timewait_live, 1);
}

CASE(fin_goes_with_or_after_the_data)
{
    START();
    passive_open("<mss 1460>");
    set_opt(WEIR_OPT_CORK, 1);
    write_bytes(3000);
    expect_stream(1, 2921);
    shut(); /* uncorks */
    expect_stream_fin(2921, 3001);
    inject(". 1:1 ack 3002");
    expect_event(WEIR_EV_SENT);
    expect_state(WEIR_TCP_FIN_WAIT_2);
}

CASE(close_sends_what_is_queued)
{
    START();
    flow(0)->win = 1000;
    passive_open("<mss 1460>");
    write_bytes(3000);
    close_conn();
    uint32_t acked = 1;
    for (unsigned i = 0; i < 10 && acked < 3002;
         i++) { /* however cut, and repeated while the window is small */
        await_segment(1200);
        drain();
        acked = here()->seen_end - here()->iss;
        inject(". 1:1 ack %u", acked);
    }
    check_eq(acked, 3002);
    inject("F. 1:1 ack 3002");
    expect(". 3002:3002 ack 2");
    check_eq(stats().timewait_live, 1);
}

CASE(fin_waits_for_the_window)
{
    START();
    passive_open("<mss 1460>");
    inject(". 1:1 ack 1 win 0");
    write_bytes(500);
    check_eq(pending(), 0);
    close_conn();
    check_eq(pending(), 0);
    inject(". 1:1 ack 1 win 10000");
    expect_stream_fin(1, 501);
    inject(". 1:1 ack 502");
}

CASE(fin_with_data_from_the_peer)
{
    START();
    passive_open("<mss 1460>");
    inject("FP. 1:101 ack 1");
    expect_acked(102, 45);
    read_bytes(100);
    read_end();
    read_end();
    expect_state(WEIR_TCP_CLOSE_WAIT);
}

CASE(fin_before_its_data)
{
    START();
    passive_open("<mss 1460>");
    inject("F. 101:101 ack 1");
    expect(". 1:1 ack 1");
    expect_state(WEIR_TCP_ESTABLISHED);
    inject("P. 1:101 ack 1");
    /* the FIN may have been kept or not */
    if (expect_either(". 1:1 ack 102", ". 1:1 ack 101") == 1) {
        inject("F. 101:101 ack 1");
        expect_acked(102, 45);
    }
    read_bytes(100);
    read_end();
}

CASE(fin_with_data_before_a_gap_is_filled)
{
    START();
    passive_open("<mss 1460>");
    inject("FP. 101:201 ack 1");
    expect(". 1:1 ack 1");
    read_nothing();
    inject("P. 1:101 ack 1");
    if (expect_either(". 1:1 ack 202", ". 1:1 ack 201") == 1) {
        inject("FP. 101:201 ack 1");
        expect_acked(202, 45);
    }
    read_bytes(200);
    read_end();
}

CASE(fin_counts_once)
{
    START();
    passive_open("<mss 1460>");
    inject("F. 1:1 ack 1");
    expect_acked(2, 45);
    for (unsigned i = 0; i < 3; i++) {
        inject("F. 1:1 ack 1");
        expect(". 1:1 ack 2");
    }
    expect_state(WEIR_TCP_CLOSE_WAIT);
}

CASE(data_behind_a_fin_is_ignored)
{
    START();
    passive_open("<mss 1460>");
    inject("F. 1:1 ack 1");
    expect_acked(2, 45);
    inject("P. 2:102 ack 1");
    advance_ms(50);
    while (pending() > 0) /* whatever is said, only the FIN is acknowledged */
        expect(". 1:1 ack 2");
    read_end();
}

CASE(fin_is_sent_again)
{
    START();
    passive_open("<mss 1460>");
    close_conn();
    expect("F. 1:1 ack 1");
    expect_after(190, 1100, "F. 1:1 ack 1");
    expect_after(390, 2200, "F. 1:1 ack 1");
    inject(". 1:1 ack 2");
    silent(500);
    inject("F. 1:1 ack 2");
    expect(". 2:2 ack 2");
}

CASE(fin_is_given_up)
{
    START(.data_retries = 3);
    passive_open("<mss 1460>");
    close_conn();
    advance_ms(60000);
    check_in(pending(), 3, 6);
    drain();
    check_eq(stats().conns_live, 0);
}

CASE(last_ack_is_sent_again)
{
    START();
    passive_open("<mss 1460>");
    inject("F. 1:1 ack 1");
    expect_acked(2, 45);
    close_conn();
    expect("F. 1:1 ack 2");
    inject("F. 1:1 ack 1"); /* our ACK was lost */
    expect_either(". 2:2 ack 2", "F. 1:1 ack 2");
    expect_after(100, 1100, "F. 1:1 ack 2");
    inject(". 2:2 ack 2");
    check_eq(stats().conns_live, 0);
}

CASE(fin_in_closing_is_acked_again)
{
    START();
    passive_open("<mss 1460>");
    close_conn();
    expect("F. 1:1 ack 1");
    inject("F. 1:1 ack 1");
    expect(". 2:2 ack 2");
    inject("F. 1:1 ack 1");
    expect(". 2:2 ack 2");
    inject(". 2:2 ack 2");
    check_eq(stats().timewait_live, 1);
}

/* To TIME-WAIT, closed by the stack at the present time. */
static void to_time_wait(void)
{
    close_conn();
    expect("F. 1:1 ack 1");
    inject("F. 1:1 ack 2");
    expect(". 2:2 ack 2");
    check_eq(stats().timewait_live, 1);
}

CASE(time_wait_acks_a_fin_and_starts_again)
{
    START(.msl_ms = 1000);
    passive_open("<mss 1460>");
    to_time_wait();
    advance_ms(1900);
    inject("F. 1:1 ack 2");
    expect(". 2:2 ack 2");
    advance_ms(1900);
    check_eq(stats().timewait_live, 1);
    advance_ms(200);
    check_eq(stats().timewait_live, 0);
}

CASE(time_wait_lasts_two_msl)
{
    START(.msl_ms = 1000);
    passive_open("<mss 1460>");
    to_time_wait();
    advance_ms(1950);
    check_eq(stats().timewait_live, 1);
    advance_ms(150);
    check_eq(stats().timewait_live, 0);
    inject(". 2:2 ack 2");
    expect("R 2:2");
}

CASE(time_wait_acks_stray_data)
{
    START();
    passive_open("<mss 1460>");
    to_time_wait();
    inject("P. 1:1 ack 1");
    drain_acks();
    inject("P. 2:102 ack 2");
    expect_either(". 2:2 ack 2", "R 2:2");
    check_eq(pending(), 0);
}

CASE(time_wait_opens_for_a_newer_syn)
{
    START();
    passive_open("<mss 1460>");
    to_time_wait();
    uint32_t old = here()->iss;
    reincarnate(here()->peer_iss + 100000);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    check_in(here()->iss - old, 3, 0x7fffffff); /* above every number of the old one */
    inject(". 1:1 ack 1");
    accept_conn();
    check_eq(stats().timewait_live, 0);
    write_bytes(100);
    expect(". 1:101 ack 1");
    inject(". 1:1 ack 101");
}

CASE(time_wait_does_not_open_for_an_older_syn)
{
    START();
    passive_open("<mss 1460>");
    to_time_wait();
    inject("S -5000:-5000 <mss 1460>");
    expect(". 2:2 ack 2");
    check_eq(stats().timewait_live, 1);
    accept_none();
}

CASE(time_wait_without_listener_does_not_open)
{
    START();
    active_open("<mss 1460>");
    to_time_wait();
    inject("S 100000:100000 <mss 1460>");
    expect_either(". 2:2 ack 2", "R. =0:=0 ack 100001");
}

/* RFC 1337: a reset does not end TIME-WAIT; RFC 9293 lets it. Nothing is said in either case. */
CASE(time_wait_is_silent_at_a_reset)
{
    START();
    passive_open("<mss 1460>");
    to_time_wait();
    inject("R 2:2");
    silent(500);
}

CASE(time_wait_table_is_bounded)
{
    START(.timewait = 2);
    listen_on(80);
    for (unsigned i = 0; i < 4; i++) {
        flow(i);
        passive_open("<mss 1460>");
        close_conn();
        expect("F. 1:1 ack 1");
        inject("F. 1:1 ack 2");
        expect(". 2:2 ack 2");
    }
    check_in(stats().timewait_live, 1, 2);
    check_eq(stats().conns_live, 0);
    flow(0); /* the oldest went */
    inject("F. 1:1 ack 2");
    expect("R 2:2");
    flow(3);
    inject("F. 1:1 ack 2");
    expect(". 2:2 ack 2");
}

CASE(close_with_unread_bytes_resets)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    inject("P. 1:101 ack 1");
    expect(". 1:1 ack 101");
    close_conn();
    expect_either("R. 1:1 ack 101", "R 1:1");
    check_eq(stats().conns_live, 0);
    inject("P. 101:201 ack 1");
    expect("R 1:1");
}

CASE(close_with_everything_read_does_not_reset)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    inject("P. 1:101 ack 1");
    expect(". 1:1 ack 101");
    read_bytes(100);
    close_conn();
    expect("F. 1:1 ack 101");
}

/* RFC 1122 4.2.2.13: bytes that nobody can read any more are answered with a reset. */
CASE(data_after_close_resets)
{
    START();
    passive_open("<mss 1460>");
    close_conn();
    expect("F. 1:1 ack 1");
    inject(". 1:1 ack 2");
    inject("P. 1:101 ack 2");
    expect_either("R 2:2", "R. 2:2 ack *");
    check_eq(stats().conns_live, 0);
    check(stats().drops[WEIR_DROP_TCP_AFTER_CLOSE] >= 1);
}

CASE(data_after_half_close_does_not_reset)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    shut();
    expect("F. 1:1 ack 1");
    inject("P. 1:101 ack 1"); /* in FIN-WAIT-1 */
    expect(". 2:2 ack 101");
    inject("P. 101:201 ack 2");
    expect(". 2:2 ack 201");
    read_bytes(200);
}

CASE(abort_resets)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(100);
    expect(". 1:101 ack 1");
    abort_conn();
    expect_either("R 101:101", "R. 101:101 ack 1");
    check_eq(stats().conns_live, 0);
    inject("P. 1:11 ack 101");
    expect("R 101:101");
}

CASE(write_after_shutdown_is_refused)
{
    START();
    passive_open("<mss 1460>");
    shut();
    expect("F. 1:1 ack 1");
    check_eq(weir_write(stack(), here()->id, "x", 1), WEIR_EPIPE);
    inject(". 1:1 ack 2");
    check_eq(weir_write(stack(), here()->id, "x", 1), WEIR_EPIPE);
}

CASE(closed_id_is_stale)
{
    START();
    passive_open("<mss 1460>");
    weir_id id = here()->id;
    struct weir_iov iov;
    struct weir_conn_info i;
    uint8_t byte;
    close_conn();
    expect("F. 1:1 ack 1");
    check_eq(weir_write(stack(), id, "x", 1), WEIR_ESTALE);
    check_eq(weir_recv(stack(), id, &byte, 1), WEIR_ESTALE);
    check_eq(weir_read(stack(), id, &iov, 1), WEIR_ESTALE);
    check_eq(weir_shutdown(stack(), id), WEIR_ESTALE);
    check_eq(weir_close(stack(), id, WEIR_CLOSE_GRACEFUL), WEIR_ESTALE);
    check_eq(weir_info(stack(), id, &i), WEIR_ESTALE);
    check_eq(weir_set(stack(), id, WEIR_OPT_NODELAY, 1), WEIR_ESTALE);
    check_eq(weir_ready(stack(), id), 0);
}

CASE(id_is_valid_until_closed)
{
    START();
    passive_open("<mss 1460>");
    shut();
    expect("F. 1:1 ack 1");
    inject("F. 1:1 ack 2");
    expect(". 2:2 ack 2");
    read_end();
    expect_event(WEIR_EV_CLOSED);
    check(weir_ready(stack(), here()->id) & WEIR_EV_CLOSED);
    advance_ms(5000); /* longer than TIME-WAIT */
    read_end();
    close_conn();
    check_eq(pending(), 0);
}

CASE(two_connections_are_aborted_apart)
{
    START();
    passive_open("<mss 1460>");
    flow(1);
    passive_open("<mss 1460>");
    check_eq(stats().conns_live, 2);
    flow(0);
    abort_conn();
    expect_either("R 1:1", "R. 1:1 ack 1");
    flow(1);
    abort_conn();
    expect_either("R 1:1", "R. 1:1 ack 1");
}

CASE(stop_resets_every_connection)
{
    START(.delack_off = true);
    flow(1);
    passive_open("<mss 1460>");
    inject("P. 1:101 ack 1");
    expect(". 1:1 ack 101");
    flow(2);
    passive_open("<mss 1460>");
    write_ref(1000);
    expect(". 1:1001 ack 1");
    void *z = weir_zalloc(stack(), 100);
    check(z != NULL);
    stop(1); /* what the application still holds is told */
    check_eq(pending(), 2);
    while (pending() > 0)
        check((take()->flags & SEG_RST) != 0);
}

/* Two ends in TIME-WAIT must not answer each other's acknowledgements for ever. */
CASE(time_wait_is_silent_at_acks)
{
    START();
    passive_open("<mss 1460>");
    to_time_wait();
    inject(". 2:2 ack 2");
    silent(100);
    flow(1);
    passive_open("<mss 1460>");
    shut(); /* the same while the application still holds the id */
    expect("F. 1:1 ack 1");
    inject("F. 1:1 ack 2");
    expect(". 2:2 ack 2");
    inject(". 2:2 ack 2");
    silent(100);
}

/* A soft error while it was opened does not turn an orderly end into a failure. */
CASE(soft_error_before_opening_is_forgotten_at_the_end)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    inject_icmp(3, 1, 0, 0);
    inject("S. 0:0 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
    inject("F. 1:1 ack 1");
    expect_acked(2, 45);
    shut();
    expect("F. 1:1 ack 2");
    inject(". 2:2 ack 2");
    expect_no_event(WEIR_EV_ERROR);
    expect_event(WEIR_EV_CLOSED);
    read_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(close_by_the_application),
        T(close_by_the_peer),
        T(half_close_by_the_application),
        T(half_close_by_the_peer),
        T(simultaneous_close),
        T(fin_and_ack_of_fin_in_one_segment),
        T(fin_goes_with_or_after_the_data),
        T(close_sends_what_is_queued),
        T(fin_waits_for_the_window),
        T(fin_with_data_from_the_peer),
        T(fin_before_its_data),
        T(fin_with_data_before_a_gap_is_filled),
        T(fin_counts_once),
        T(data_behind_a_fin_is_ignored),
        T(fin_is_sent_again),
        T(fin_is_given_up),
        T(last_ack_is_sent_again),
        T(fin_in_closing_is_acked_again),
        T(time_wait_acks_a_fin_and_starts_again),
        T(time_wait_lasts_two_msl),
        T(time_wait_acks_stray_data),
        T(time_wait_opens_for_a_newer_syn),
        T(time_wait_does_not_open_for_an_older_syn),
        T(time_wait_without_listener_does_not_open),
        T(time_wait_is_silent_at_a_reset),
        T(time_wait_table_is_bounded),
        T(close_with_unread_bytes_resets),
        T(close_with_everything_read_does_not_reset),
        T(data_after_close_resets),
        T(data_after_half_close_does_not_reset),
        T(abort_resets),
        T(write_after_shutdown_is_refused),
        T(closed_id_is_stale),
        T(id_is_valid_until_closed),
        T(two_connections_are_aborted_apart),
        T(stop_resets_every_connection),
        T(time_wait_is_silent_at_acks),
        T(soft_error_before_opening_is_forgotten_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
