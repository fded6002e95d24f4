/* Receiving: order, overlaps, the window that the stack offers. RFC 9293 3.8.6 and 3.10.7.4. */
#include "script.h"

CASE(overlapping_old_bytes_are_trimmed)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    inject("P. 1:101 ack 1");
    expect(". 1:1 ack 101");
    inject("P. 51:201 ack 1");
    expect(". 1:1 ack 201");
    read_bytes(200);
    inject("P. 1:301 ack 1");
    expect(". 1:1 ack 301");
    read_bytes(100);
}

CASE(old_bytes_are_acked_at_once_and_dropped)
{
    START();
    passive_open("<mss 1460>");
    inject("P. 1:101 ack 1");
    expect_acked(101, 45);
    inject("P. 1:101 ack 1");
    expect(". 1:1 ack 101");
    inject("P. 51:101 ack 1");
    expect(". 1:1 ack 101");
    read_bytes(100);
    read_nothing();
}

/* All 24 orders of four segments, with a FIN behind them. */
CASE(four_segments_in_every_order)
{
    START(.delack_off = true);
    listen_on(80);
    for (unsigned order = 0; order < 24; order++) {
        unsigned left[4] = {0, 1, 2, 3}, n = 4, rest = order;
        flow(order);
        passive_open("<mss 1460>");
        for (; n > 0; n--) {
            unsigned k = rest % n, piece = left[k];
            rest /= n;
            left[k] = left[n - 1];
            inject("P. %u:%u ack 1", 1 + piece * 100, 101 + piece * 100);
            check(drain_acks() > 0);
            check_eq(pending(), 0);
        }
        check_eq(here()->last_ack - here()->peer_iss, 401);
        read_bytes(400);
        inject("F. 401:401 ack 1");
        expect(". 1:1 ack 402");
        read_end();
    }
}

/* Each piece beyond the gap is acknowledged with what is missing; filling it acknowledges all. */
CASE(gap_is_told_and_its_filling)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    inject("P. 201:301 ack 1");
    expect(". 1:1 ack 1");
    inject("P. 101:201 ack 1");
    expect(". 1:1 ack 1");
    inject("P. 401:501 ack 1");
    expect(". 1:1 ack 1");
    check_eq(info().ooo_bytes, 300);
    read_nothing();
    inject("P. 1:101 ack 1");
    expect(". 1:1 ack 301");
    check_eq(info().ooo_bytes, 100);
    inject("P. 301:401 ack 1");
    expect(". 1:1 ack 501");
    read_bytes(500);
}

CASE(pieces_that_overlap_in_every_way)
{
    static const unsigned piece[][2] = {{301, 501}, {401, 601},  {251, 351}, {301, 501}, {201, 701},
                                        {901, 902}, {801, 1001}, {851, 951}, {651, 851}, {101, 150}};
    START(.delack_off = true);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < sizeof piece / sizeof piece[0]; i++) {
        inject("P. %u:%u ack 1", piece[i][0], piece[i][1]);
        expect(". 1:1 ack 1");
    }
    inject("P. 1:251 ack 1");
    expect(". 1:1 ack 1001");
    read_bytes(1000);
}

CASE(random_pieces_of_a_stream)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    struct weir_sim dice;
    weir_sim_init(&dice, 42);
    unsigned got = 0;
    for (unsigned i = 0; i < 3000 && got < 20000; i++) {
        unsigned from = 1 + got + (unsigned)(weir_sim_random(&dice) % 4000),
                 n = 1 + (unsigned)(weir_sim_random(&dice) % 1400);
        from = from > 600 ? from - 600 : 1;
        inject("P. %u:%u ack 1", from, from + n);
        drain_acks();
        got = here()->last_ack - here()->peer_iss - 1;
        check(got == here()->read + info().readable_bytes);
        if (weir_sim_random(&dice) % 4 == 0 && info().readable_bytes > 0) read_bytes(info().readable_bytes);
        drain_acks();
    }
    check(got >= 20000);
    read_bytes(info().readable_bytes);
    drain_acks();
}

CASE(out_of_order_data_is_bounded)
{
    START(.delack_off = true, .ooo_conn = 4);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 12; i++) {
        inject("P. %u:%u ack 1", 101 + i * 200, 201 + i * 200);
        expect(". 1:1 ack 1");
    }
    check(stats().drops[WEIR_DROP_TCP_OOO_LIMIT] >= 8);
    check_in(info().ooo_bytes, 1, 400);
    for (unsigned i = 0; i < 25; i++) { /* the peer sends everything again */
        inject("P. %u:%u ack 1", 1 + i * 100, 101 + i * 100);
        drain_acks();
    }
    check_eq(here()->last_ack - here()->peer_iss, 2501);
    read_bytes(2500);
}

CASE(out_of_order_data_is_dropped_with_its_connection)
{
    START();
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 10; i++) {
        inject("P. %u:%u ack 1", 101 + i * 200, 201 + i * 200);
        expect(". 1:1 ack 1");
    }
    abort_conn();
    drain();
    advance_ms(10);
    check_eq(stats().zbuf_live, 0);
}

CASE(data_beyond_the_window_is_dropped)
{
    START();
    passive_open("<mss 1460>");
    inject("P. 70000:70100 ack 1");
    expect(". 1:1 ack 1");
    inject("P. 1000000000:1000000100 ack 1");
    expect(". 1:1 ack 1");
    inject("P. -100:0 ack 1");
    expect(". 1:1 ack 1");
    check_eq(info().ooo_bytes, 0);
    check(stats().drops[WEIR_DROP_TCP_SEQ] >= 2);
}

/* Fills the window in segments of 1,024; returns the position behind. */
static uint32_t fill_window(void)
{
    uint32_t at = 1;
    for (unsigned i = 0; i < 100; i++) {
        uint32_t room = here()->edge_seen - (here()->peer_iss + at);
        if (room == 0) return at;
        uint32_t n = room < 1024 ? room : 1024;
        inject("P. %u:%u ack 1", at, at + n);
        drain_acks();
        at += n;
    }
    return 0;
}

/* Nobody reads: the window closes, and opens when somebody does. */
CASE(window_closes_and_opens)
{
    START(.rcvbuf = 8192);
    passive_open("<mss 1460>");
    check_in(here()->edge_seen - here()->peer_iss, 8192, 8193);
    uint32_t at = fill_window();
    advance_ms(50);
    drain_acks();
    check_in(at, 8000, 8193);
    check_eq(here()->last_ack, here()->peer_iss + at);
    check_eq(here()->edge_seen, here()->last_ack);
    check_eq(info().rcv_wnd, 0);
    check(stats().window_shut >= 1);
    inject("P. %u:%u ack 1", at, at + 1); /* a probe */
    expect(". 1:1 ack %u win 0", at);
    inject("P. %u:%u ack 1", at, at + 100);
    expect(". 1:1 ack %u win 0", at);
    read_bytes(at - 1);
    expect(". 1:1 ack %u win >4000", at);
    inject("P. %u:%u ack 1", at, at + 100);
    expect_acked(at + 100, 45);
    read_bytes(100);
}

/* RFC 9293 3.8.6.2.2: the window opens by no less than a segment or half of the buffer. */
CASE(receiver_avoids_silly_windows)
{
    START(.rcvbuf = 8192);
    passive_open("<mss 1460>");
    uint32_t at = fill_window();
    advance_ms(50);
    drain_acks();
    unsigned read = 0;
    while (pending() == 0 && read < 4096) {
        read_bytes(100);
        read += 100;
    }
    check_in(read, 1400, 4196);
    expect(". 1:1 ack %u win >1400", at);
    read_bytes(at - 1 - read);
    drain_acks();
}

CASE(probe_of_a_shut_window_is_answered_without_moving)
{
    START(.rcvbuf = 4096);
    passive_open("<mss 1460>");
    uint32_t at = fill_window();
    advance_ms(50);
    drain_acks();
    for (unsigned i = 0; i < 5; i++) {
        inject("P. %u:%u ack 1", at, at + 1);
        expect(". 1:1 ack %u win 0", at);
        inject(". %u:%u ack 1", at - 1, at - 1);
        expect(". 1:1 ack %u win 0", at);
        advance_ms(1000);
    }
    read_bytes(at - 1);
    drain_acks();
}

CASE(ack_in_a_shut_window_is_taken)
{
    START(.rcvbuf = 4096);
    passive_open("<mss 1460>");
    uint32_t at = fill_window();
    advance_ms(50);
    drain_acks();
    write_bytes(100);
    expect(". 1:101 ack %u win 0", at);
    inject(". %u:%u ack 101", at, at);
    expect_event(WEIR_EV_SENT);
    check_eq(info().queued_bytes, 0);
    read_bytes(at - 1);
    drain_acks();
}

CASE(fin_at_a_shut_window)
{
    START(.rcvbuf = 4096);
    passive_open("<mss 1460>");
    uint32_t at = fill_window();
    advance_ms(50);
    drain_acks();
    inject("F. %u:%u ack 1", at, at);
    drain_acks();
    read_bytes(at - 1);
    drain_acks();
    if (here()->last_ack == here()->peer_iss + at) { /* it was left to be sent again */
        inject("F. %u:%u ack 1", at, at);
        expect_acked(at + 1, 45);
    }
    read_end();
}

/* A segment that runs past the edge: what fits may be kept, no more is acknowledged. */
CASE(segment_over_the_edge)
{
    START(.rcvbuf = 4096, .delack_off = true);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 3; i++) {
        inject("P. %u:%u ack 1", 1 + i * 1024, 1025 + i * 1024);
        drain_acks();
    }
    uint32_t edge = here()->edge_seen - here()->peer_iss;
    inject("P. 3073:%u ack 1", edge + 300);
    drain_acks();
    uint32_t got = here()->last_ack - here()->peer_iss;
    check_in(got, 3073, edge);
    read_bytes(got - 1);
    drain_acks();
    inject("P. %u:%u ack 1", got, got + 1000);
    expect(". 1:1 ack %u", got + 1000);
    read_bytes(1000);
}

/* Lent bytes hold the window until they are given back. */
CASE(lent_bytes_reopen_the_window_when_freed)
{
    START(.rcvbuf = 8192);
    passive_open("<mss 1460>");
    struct weir_iov iov[64];
    uint32_t at = fill_window();
    advance_ms(50);
    drain_acks();
    int n = weir_read(stack(), here()->id, iov, 64);
    check(n > 0);
    uint32_t lent = 0;
    for (int i = 0; i < n; i++)
        lent += (uint32_t)iov[i].len;
    check_eq(lent, at - 1);
    check_eq(info().lent_bytes, lent);
    settle();
    check_eq(pending(), 0);
    for (int i = n - 1; i >= 0; i--) /* any order */
        check_eq(weir_zfree(stack(), iov[i].base), 0);
    settle();
    check(pending() >= 1);
    while (pending() > 0)
        expect(". 1:1 ack %u win >1400", at);
    check_in(here()->edge_seen - here()->last_ack, 8000, 8192);
    check_eq(info().lent_bytes, 0);
}

CASE(lent_bytes_outlive_the_connection)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    struct weir_iov iov;
    inject("P. 1:101 ack 1");
    expect(". 1:1 ack 101");
    check_eq(weir_read(stack(), here()->id, &iov, 1), 1);
    inject("R 101:101");
    expect_error(WEIR_ECONNRESET);
    close_conn();
    advance_ms(5000);
    check_eq(iov.len, 100);
    for (uint32_t i = 0; i < 100; i++)
        check_eq(((const uint8_t *)iov.base)[i], seg_byte(1, 1 + i));
    check_eq(weir_zfree(stack(), iov.base), 0);
    int err = weir_zfree(stack(), iov.base);
    check(err == WEIR_ENOTHELD || err == WEIR_EFAULT);
}

CASE(lent_bytes_can_be_written_to_another_connection)
{
    START(.delack_off = true);
    struct weir_iov iov;
    flow(1);
    passive_open("<mss 1460>");
    flow(0);
    passive_open("<mss 1460>");
    inject("P. 1:101 ack 1");
    expect(". 1:1 ack 101");
    check_eq(weir_read(stack(), here()->id, &iov, 1), 1);
    uint64_t copied = stats().tx_bytes_copied;
    flow(1)->foreign_bytes = true;
    here()->written = 100;
    check_eq(weir_write(stack(), here()->id, iov.base, iov.len), 100);
    check_eq(weir_zfree(stack(), iov.base), 0);
    settle();
    const struct seg *s = take();
    check(s->bytes == 100 && s->dport == here()->peer_port);
    for (uint32_t i = 0; i < 100; i++)
        check_eq(s->payload[i], seg_byte(1, 1 + i));
    check_eq(stats().tx_bytes_copied, copied);
    inject(". 1:1 ack 101");
}

CASE(bytes_are_read_by_lending_and_by_copying)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 20; i++) {
        inject("P. %u:%u ack 1", 1 + i * 1000, 1001 + i * 1000);
        expect(". 1:1 ack %u", 1001 + i * 1000);
        if (i % 2 == 0)
            read_lent(1000);
        else
            read_bytes(1000);
        drain_acks();
    }
    read_nothing();
}

/* Many tiny segments pin no more memory than there is, and come out right. */
CASE(tiny_segments)
{
    START(.delack_off = true, .rcvbuf = 16384);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 3000; i++) {
        inject("P. %u:%u ack 1", 1 + i, 2 + i);
        drain_acks();
    }
    check_eq(here()->last_ack - here()->peer_iss, 3001);
    check_in(stats().zbuf_live, 1, 1000);
    read_bytes(3000);
    drain_acks();
}

CASE(read_event_comes_once_an_arming)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    read_nothing(); /* arms */
    inject("P. 1:11 ack 1");
    expect(". 1:1 ack 11");
    expect_event(WEIR_EV_READ);
    inject("P. 11:21 ack 1");
    expect(". 1:1 ack 21");
    expect_no_event(WEIR_EV_READ);
    read_bytes(20);
    read_nothing();
    inject("P. 21:31 ack 1");
    expect(". 1:1 ack 31");
    expect_event(WEIR_EV_READ);
    read_bytes(10);
}

CASE(smaller_receive_buffer_takes_nothing_back)
{
    START(.rcvbuf = 32768, .delack_off = true);
    passive_open("<mss 1460>");
    set_opt(WEIR_OPT_RCVBUF, 4096); /* the promise of 32,768 stands: checked for each segment */
    for (unsigned i = 0; i < 20; i++) {
        inject("P. %u:%u ack 1", 1 + i * 1024, 1025 + i * 1024);
        drain_acks();
    }
    check_eq(here()->last_ack - here()->peer_iss, 20481);
    read_bytes(20480);
    drain_acks();
    for (unsigned i = 20; i < 40; i++) {
        inject("P. %u:%u ack 1", 1 + i * 1024, 1025 + i * 1024);
        drain_acks();
        read_bytes(1024);
        drain_acks();
    }
    check_in(here()->edge_seen - here()->last_ack, 1, 4096);
}

CASE(unaccepted_connection_is_bounded_by_its_window)
{
    START(.rcvbuf = 8192, .delack_off = true);
    listen_on(80);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1");
    uint32_t at = fill_window();
    check_in(at, 8000, 8193);
    accept_conn();
    read_bytes(at - 1);
    drain_acks();
}

/* Data with the urgent pointer set is delivered in line. */
CASE(urgent_data_stays_in_the_stream)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    inject("PU. 1:11 ack 1 urg 5");
    expect(". 1:1 ack 11");
    inject("PU. 11:21 ack 1 urg 60000");
    expect(". 1:1 ack 21");
    read_bytes(20);
}

CASE(many_segments_in_one_burst)
{
    START();
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 20; i++)
        inject_burst("P. %u:%u ack 1", 1 + i * 1460, 1461 + i * 1460);
    settle();
    check(pending() >= 1);
    drain_acks();
    advance_ms(45);
    drain_acks();
    check_eq(here()->last_ack - here()->peer_iss, 29201);
    read_bytes(29200);
    drain_acks();
}

CASE(burst_in_reverse_order)
{
    START();
    passive_open("<mss 1460>");
    for (unsigned i = 20; i > 0; i--)
        inject_burst("P. %u:%u ack 1", 1 + (i - 1) * 1460, 1 + i * 1460);
    settle();
    check(pending() >= 1);
    drain_acks();
    check_eq(here()->last_ack - here()->peer_iss, 29201);
    read_bytes(29200);
    drain_acks();
}

/* RFC 9293 3.10.7.4: a shut window takes no bytes, but the acknowledgement that comes with a probe. */
CASE(ack_of_a_probe_at_a_shut_window_is_taken)
{
    START(.rcvbuf = 4096);
    passive_open("<mss 1460>");
    uint32_t at = fill_window();
    advance_ms(50);
    drain_acks();
    write_bytes(100);
    expect(". 1:101 ack %u win 0", at);
    inject("P. %u:%u ack 101", at, at + 1);
    expect(". 101:101 ack %u win 0", at);
    expect_event(WEIR_EV_SENT);
    silent(5000);
    read_bytes(at - 1);
    drain_acks();
}

/* What all connections lend is bounded; the rest waits until something is given back. */
CASE(lent_bytes_are_bounded)
{
    START(.rcvbuf = 8192, .app_hold = 8192, .delack_off = true);
    struct weir_iov iov[64], more;
    flow(1);
    passive_open("<mss 1460>");
    inject("P. 1:1001 ack 1");
    expect(". 1:1 ack 1001");
    flow(0);
    passive_open("<mss 1460>");
    uint32_t at = fill_window();
    int n = weir_read(stack(), here()->id, iov, 64);
    check(n > 0);
    check_in(at, 8000, 8193);
    flow(1);
    int err = weir_read(stack(), here()->id, &more, 1);
    if (at == 8193) check_eq(err, WEIR_ENOMEM);
    if (err == 1) check_eq(weir_zfree(stack(), more.base), 0);
    for (int i = 0; i < n; i++)
        check_eq(weir_zfree(stack(), iov[i].base), 0);
    settle();
    drain_acks();
    if (err == WEIR_ENOMEM) read_lent(1000);
    drain_acks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(overlapping_old_bytes_are_trimmed),
        T(old_bytes_are_acked_at_once_and_dropped),
        T(four_segments_in_every_order),
        T(gap_is_told_and_its_filling),
        T(pieces_that_overlap_in_every_way),
        T(random_pieces_of_a_stream),
        T(out_of_order_data_is_bounded),
        T(out_of_order_data_is_dropped_with_its_connection),
        T(data_beyond_the_window_is_dropped),
        T(window_closes_and_opens),
        T(receiver_avoids_silly_windows),
        T(probe_of_a_shut_window_is_answered_without_moving),
        T(ack_in_a_shut_window_is_taken),
        T(fin_at_a_shut_window),
        T(segment_over_the_edge),
        T(lent_bytes_reopen_the_window_when_freed),
        T(lent_bytes_outlive_the_connection),
        T(lent_bytes_can_be_written_to_another_connection),
        T(bytes_are_read_by_lending_and_by_copying),
        T(tiny_segments),
        T(read_event_comes_once_an_arming),
        T(smaller_receive_buffer_takes_nothing_back),
        T(unaccepted_connection_is_bounded_by_its_window),
        T(urgent_data_stays_in_the_stream),
        T(many_segments_in_one_burst),
        T(burst_in_reverse_order),
        T(ack_of_a_probe_at_a_shut_window_is_taken),
        T(lent_bytes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
