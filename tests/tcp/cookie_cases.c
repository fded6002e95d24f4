/* cookie_cases.c: what happens to connection requests when the half-open connections have reached their bound
 * (RFC 4987), and when nobody accepts. */
#include "script.h"

/* A listener with a backlog of 1 and one connection that stays half open. */
static void one_half_open(void)
{
    listen_with(80, &(const struct weir_opts){.backlog = 1});
    flow(60);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    check_eq(stats().syn_cookies_sent, 0);
    flow(0);
}

CASE(cookie_opens_a_connection)
{
    START(.delack_off = true);
    one_half_open();
    inject("S 0:0 <mss 1000>");
    expect("S. 0:0 ack 1 win 65535 <mss 1460>");
    check_eq(stats().syn_cookies_sent, 1);
    check_eq(stats().conns_live, 1);
    inject(". 1:1 ack 1");
    check_eq(stats().syn_cookies_taken, 1);
    accept_conn();
    check_eq(info().mss, 1000);
    inject("P. 1:101 ack 1");
    expect(". 1:1 ack 101");
    read_bytes(100);
    write_bytes(1500);
    expect(". 1:1001 ack 101");
    inject(". 101:101 ack 1001");
    expect("P. 1001:1501 ack 101");
    inject(". 101:101 ack 1501");
}

CASE(cookie_is_not_sent_again)
{
    START();
    one_half_open();
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    flow(60);
    inject(". 1:1 ack 1"); /* now nothing is half open */
    silent(60000);
    accept_conn();
}

CASE(cookie_keeps_the_window_scale_in_the_timestamp)
{
    START(.rcvbuf = 1000000);
    one_half_open();
    advance_ms(1234);
    drain();
    inject("S 0:0 <mss 1460,ts 100 0,wscale 9>");
    expect("S. 0:0 ack 1 win 65535 <mss 1460,ts * 100,wscale 4>");
    inject(". 1:1 ack 1 win 1000 <ts 110 e>");
    accept_conn();
    check_eq(info().snd_wnd, 1000 << 9);
    check_eq(info().mss, 1460 - 12);
    inject("P. 1:101 ack 1 <ts 120 e>");
    expect_acked(101, 45);
    read_bytes(100);
}

CASE(cookie_tells_no_scale_from_scale_zero)
{
    START(.rcvbuf = 1000000);
    one_half_open();
    inject("S 0:0 <mss 1460,ts 100 0>");
    expect("S. 0:0 ack 1 win 65535 <mss 1460,ts * 100>");
    inject(". 1:1 ack 1 win 1000 <ts 110 e>");
    accept_conn();
    check_eq(info().snd_wnd, 1000);
    flow(1);
    inject("S 0:0 <mss 1460,ts 100 0,wscale 0>");
    expect("S. 0:0 ack 1 win 65535 <mss 1460,ts * 100,wscale 4>");
    inject(". 1:1 ack 1 win 1000 <ts 110 e>");
    accept_conn();
    check_eq(info().snd_wnd, 1000);
}

CASE(without_timestamps_nobody_scales)
{
    START(.rcvbuf = 1000000);
    one_half_open();
    inject("S 0:0 <mss 1460,wscale 7>");
    expect("S. 0:0 ack 1 win 65535 <mss 1460>");
    inject(". 1:1 ack 1 win 1000");
    accept_conn();
    check_eq(info().snd_wnd, 1000);
}

CASE(cookie_with_data_behind_the_acknowledgement)
{
    START(.delack_off = true);
    one_half_open();
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject("P. 1:51 ack 1"); /* the bare acknowledgement was lost */
    expect(". 1:1 ack 51");
    accept_conn();
    read_bytes(50);
}

CASE(wrong_cookie_is_reset)
{
    START();
    one_half_open();
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 2");
    expect("R 2:2");
    inject(". 2:2 ack 1"); /* right cookie, wrong number of its own */
    expect("R 1:1");
    set_peer(SCRIPT_PEER_IP, 4711);
    inject(". 1:1 ack 1"); /* of another port */
    expect("R 1:1");
    check_eq(stats().syn_cookies_taken, 0);
    check_eq(stats().conns_live, 1);
}

CASE(cookie_grows_old)
{
    START(.syn_retries = 16, .rto_max_us = 1000000);
    one_half_open();
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    advance_ms(131072); /* two periods */
    drain();
    inject(". 1:1 ack 1");
    expect("R 1:1");
    check_eq(stats().syn_cookies_taken, 0);
}

CASE(no_cookie_is_taken_where_none_was_given)
{
    START();
    listen_on(80);
    inject(". 1:1 ack =12345");
    expect("R =12345:=12345");
    check_eq(stats().conns_live, 0);
}

CASE(full_accept_queue_ignores_a_cookie)
{
    START();
    one_half_open();
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    flow(60);
    inject(". 1:1 ack 1"); /* the half-open one fills the accept queue */
    flow(0);
    inject(". 1:1 ack 1");
    check_eq(pending(), 0);
    check_eq(stats().drops[WEIR_DROP_TCP_BACKLOG], 1);
    flow(60);
    accept_conn();
    flow(0);
    inject("P. 1:11 ack 1"); /* the peer believes that it is connected, and its data opens it */
    accept_conn();
    expect_acked(11, 45);
    read_bytes(10);
}

/* As Linux does it: the acknowledgement is ignored, our SYN goes again, and its answer finds room. */
CASE(full_accept_queue_ignores_the_acknowledgement)
{
    START();
    listen_with(80, &(const struct weir_opts){.backlog = 2});
    for (unsigned i = 0; i < 2; i++) {
        flow(i);
        inject("S 0:0 <mss 1460>");
        expect("S. 0:0 ack 1 <mss 1460>");
    }
    flow(0);
    inject(". 1:1 ack 1");
    flow(2);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1"); /* two are queued now */
    flow(1);
    inject(". 1:1 ack 1");
    check_eq(stats().drops[WEIR_DROP_TCP_BACKLOG], 1);
    expect_after(900, 1200, "S. 0:0 ack 1 <mss 1460>");
    flow(0);
    accept_conn();
    flow(1);
    inject(". 1:1 ack 1");
    flow(2);
    accept_conn();
    flow(1);
    accept_conn();
}

/* A flood of a hundred times the backlog: who answers gets in, and the table keeps room. */
CASE(flood_leaves_the_door_open)
{
    START(.conns = 16, .delack_off = true);
    listen_with(80, &(const struct weir_opts){.backlog = 4});
    flow(0);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1");
    accept_conn();
    for (unsigned i = 0; i < 400; i++) {
        flow(1);
        reincarnate(i * 1000);
        set_peer(SCRIPT_PEER_IP, (uint16_t)(1024 + i));
        inject("S 0:0 <mss 1460>");
        drain();
    }
    check_eq(stats().conns_live, 5);
    check_eq(stats().syn_cookies_sent, 396);
    for (unsigned i = 2; i < 6; i++) {
        flow(i);
        inject("S 0:0 <mss 1460>");
        expect("S. 0:0 ack 1 <mss 1460>");
        inject(". 1:1 ack 1");
        accept_conn();
    }
    check_eq(stats().syn_cookies_taken, 4);
    flow(0);
    inject("P. 1:11 ack 1");
    expect(". 1:1 ack 11");
    read_bytes(10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(cookie_opens_a_connection),
        T(cookie_is_not_sent_again),
        T(cookie_keeps_the_window_scale_in_the_timestamp),
        T(cookie_tells_no_scale_from_scale_zero),
        T(without_timestamps_nobody_scales),
        T(cookie_with_data_behind_the_acknowledgement),
        T(wrong_cookie_is_reset),
        T(cookie_grows_old),
        T(no_cookie_is_taken_where_none_was_given),
        T(full_accept_queue_ignores_a_cookie),
        T(full_accept_queue_ignores_the_acknowledgement),
        T(flood_leaves_the_door_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
