/* Sending: the peer's window, probes, silly windows, Nagle, partial writes, by reference and by copy. RFC
 * 9293 3.7.4 and 3.8.6, mission rows M2 and M3. */
#include "script.h"

#include <string.h>

CASE(window_of_the_peer_is_kept)
{
    START();
    flow(0)->win = 4096;
    passive_open("<mss 1000>");
    write_bytes(20000);
    unsigned at = 1;
    for (unsigned i = 0; i < 4; i++, at += 1000)
        expect(". %u:%u ack 1", at, at + 1000);
    drain(); /* the 96 bytes that are left may go or not */
    inject(". 1:1 ack 2001");
    check_in(here()->seen_end - here()->iss, 6001, 6097);
    drain();
    abort_conn();
    drain();
}

CASE(shut_window_stops_and_an_update_goes_on)
{
    START();
    passive_open("<mss 1460>");
    inject(". 1:1 ack 1 win 0");
    write_bytes(1000);
    silent(100);
    inject(". 1:1 ack 1 win 2000");
    expect(". 1:1001 ack 1");
    inject(". 1:1 ack 1001 win 2000");
    silent(5000);
}

/* A peer whose window was taken back sends from its edge again (window.c does): its numbers go back, while
 * what it acknowledges says that it speaks later. */
CASE(window_from_behind_is_believed_with_a_later_ack)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    inject(". 1:1 ack 1 win 1460");
    write_bytes(3000);
    expect(". 1:1461 ack 1");
    inject("P. 1001:1101 ack 1 win 1460");
    expect(". 1461:1461 ack 1");
    inject(". 1:1 ack 1461 win 1460");
    expect(". 1461:2921 ack 1");
    inject(". 1:1 ack 2921 win 0");
    silent(100);
    inject("P. 1:1001 ack 2921 win 1460");
    read_bytes(1100);
    drain();
    abort_conn();
    drain();
}

/* One byte beyond the window, or an old byte, or none: a probe is whatever makes the peer answer. */
static bool is_probe(uint32_t una)
{
    const struct seg *s = take();
    uint32_t rel = s->seq - here()->iss;
    return s->flags != 0 && (s->flags & (SEG_SYN | SEG_RST | SEG_FIN)) == 0 && s->bytes <= 1 &&
           (rel == una || rel == una - 1);
}

static uint32_t end_of(const struct seg *s)
{
    return s->seq + s->bytes - here()->iss;
}

/* The window has opened: everything arrives, in one segment or the probe's byte first. Ends acknowledged. */
static void goes_on(uint32_t from, uint32_t to)
{
    for (unsigned i = 0; i < 3 && from < to; i++) {
        check(pending() >= 1);
        while (pending() > 0)
            from = end_of(take());
        inject(". 1:1 ack %u win 65535", from);
    }
    check_eq(from, to);
}

CASE(shut_window_is_probed_with_backoff)
{
    START();
    passive_open("<mss 1460>");
    inject(". 1:1 ack 1 win 0");
    write_bytes(1000);
    uint64_t last = 0;
    for (unsigned i = 0; i < 12; i++) {
        uint64_t gap = await_segment(70000);
        check(pending() == 1 && is_probe(1));
        check_in(gap, i == 0 ? 150 : last, i == 0 ? 5100 : last * 2 + last / 5 + 50);
        last = gap;
        inject(". 1:1 ack 1 win 0"); /* the peer lives: the connection may stay for ever */
    }
    check(last >= 10000);
    check_in(stats().zwin_probes, 12, 13);
    check_eq(stats().fast_recoveries, 0);
    expect_no_event(WEIR_EV_ERROR);
    inject(". 1:1 ack 1 win 65535");
    goes_on(1, 1001);
}

CASE(unanswered_probes_give_up)
{
    START(.data_retries = 4);
    passive_open("<mss 1460>");
    inject(". 1:1 ack 1 win 0");
    write_bytes(1000);
    for (unsigned i = 0; i < 600 && !had_event(here()->id, WEIR_EV_ERROR); i++) {
        advance_ms(1000);
        drain();
    }
    check_eq(info().error, WEIR_ETIMEDOUT);
}

CASE(probing_byte_that_the_peer_takes)
{
    START();
    passive_open("<mss 1460>");
    inject(". 1:1 ack 1 win 0");
    write_bytes(1000);
    advance_ms(5100);
    check(pending() >= 1);
    drain();
    uint32_t took = here()->seen_end - here()->iss;
    inject(". 1:1 ack %u win 10000", took);
    goes_on(took, 1001);
    silent(5000);
}

CASE(lost_window_update_is_found_by_a_probe)
{
    START();
    passive_open("<mss 1460>");
    inject(". 1:1 ack 1 win 0");
    write_bytes(100);
    for (unsigned i = 0; i < 500 && pending() == 0; i++)
        advance_ms(10);
    check(is_probe(1));
    inject(". 1:1 ack 1 win 65535"); /* the answer to the probe tells it */
    goes_on(1, 101);
}

CASE(window_shrinks_before_the_data_is_sent)
{
    START();
    passive_open("<mss 1460>");
    inject(". 1:1 ack 1 win 1500");
    write_bytes(5000);
    expect(". 1:1461 ack 1");
    drain();
    inject(". 1:1 ack 1461 win 1460");
    drain();
    check_in(here()->seen_end - here()->iss, 2921, 2921 + 40);
    abort_conn();
    drain();
}

/* The peer takes its window back with data in flight: what is out is repaired, nothing new is sent. */
CASE(window_shrinks_below_what_is_in_flight)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(14600);
    expect_stream(1, 14601);
    inject(". 1:1 ack 1461 win 1000");
    write_bytes(1000);
    for (unsigned i = 0; i < 20; i++) {
        advance_ms(100);
        while (pending() > 0)
            check(take()->seq - here()->iss < 14601);
    }
    inject(". 1:1 ack 14601 win 65535");
    drain();
    advance_ms(3000);
    drain();
    check_eq(here()->seen_end - here()->iss, 15601);
    inject(". 1:1 ack 15601");
}

/* RFC 9293 3.10.7.4: the window is taken only from segments that are no older than the last one it was taken
 * from. */
CASE(old_segment_does_not_change_the_window)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    inject("P. 1:11 ack 1 win 30000");
    expect(". 1:1 ack 11");
    inject("P. 1:11 ack 1 win 0"); /* a duplicate from before */
    expect(". 1:1 ack 11");
    write_bytes(100);
    expect(". 1:101 ack 11");
    inject(". 11:11 ack 101 win 30000");
    inject(". 11:11 ack 1 win 0"); /* an older acknowledgement */
    write_bytes(100);
    expect(". 101:201 ack 11");
    inject(". 11:11 ack 201 win 30000");
    read_bytes(10);
}

/* RFC 9293 3.8.6.2.1: a window that opens a little is not used at once, but within a second. */
CASE(sender_avoids_silly_windows)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(1460);
    expect(". 1:1461 ack 1");
    inject(". 1:1 ack 1461 win 100");
    write_bytes(5000);
    silent(80);
    advance_ms(1500);
    check(pending() >= 1);
    check_in(peek()->bytes, 1, 100);
    drain();
    inject(". 1:1 ack 1461 win 5000");
    check(pending() >= 1);
    drain();
    abort_conn();
    drain();
}

CASE(half_of_the_largest_window_is_enough)
{
    START();
    flow(0)->win = 1000; /* never more: less than a segment, so segments of its window's size */
    passive_open("<mss 1460>");
    write_bytes(3000);
    uint32_t acked = 1;
    for (unsigned i = 0; i < 8 && acked < 3001; i++) {
        if (pending() == 0) advance_ms(1000);
        while (pending() > 0) {
            const struct seg *s = take();
            check(s->bytes >= 500 || s->seq + s->bytes - here()->iss == 3001);
            acked = s->seq + s->bytes - here()->iss;
        }
        inject(". 1:1 ack %u", acked);
    }
    check_eq(acked, 3001);
}

CASE(nagle_holds_the_second_small_segment)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(10);
    expect(". 1:11 ack 1");
    write_bytes(10);
    write_bytes(10);
    check_eq(pending(), 0);
    advance_ms(10);
    inject(". 1:1 ack 11");
    expect(". 11:31 ack 1");
    inject(". 1:1 ack 31");
}

CASE(nagle_lets_full_segments_go)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(10);
    expect(". 1:11 ack 1");
    write_bytes(1460);
    expect(". 11:1471 ack 1");
    write_bytes(1500);
    expect(". 1471:2931 ack 1");
    check_eq(pending(), 0);
    inject(". 1:1 ack 2931");
    expect(". 2931:2971 ack 1");
    inject(". 1:1 ack 2971");
}

CASE(nodelay_sends_small_segments)
{
    START();
    passive_open("<mss 1460>");
    set_opt(WEIR_OPT_NODELAY, 1);
    for (unsigned i = 0; i < 5; i++) {
        write_bytes(10);
        expect(". %u:%u ack 1", 1 + i * 10, 11 + i * 10);
    }
    inject(". 1:1 ack 51");
}

CASE(switching_nagle_off_lets_the_rest_go)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(10);
    expect(". 1:11 ack 1");
    write_bytes(10);
    check_eq(pending(), 0);
    set_opt(WEIR_OPT_NODELAY, 1);
    expect(". 11:21 ack 1");
    inject(". 1:1 ack 21");
}

CASE(nodelay_is_inherited_from_the_listener)
{
    START();
    listen_with(80, &(const struct weir_opts){.nodelay = 1});
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 3; i++) {
        write_bytes(10);
        expect(". %u:%u ack 1", 1 + i * 10, 11 + i * 10);
    }
    inject(". 1:1 ack 31");
}

CASE(cork_holds_the_partial_segment)
{
    START();
    passive_open("<mss 1460>");
    set_opt(WEIR_OPT_CORK, 1);
    write_bytes(100);
    check_eq(pending(), 0);
    advance_ms(100);
    check_eq(pending(), 0);
    write_bytes(1500);
    expect(". 1:1461 ack 1");
    check_eq(pending(), 0);
    inject(". 1:1 ack 1461");
    check_eq(pending(), 0);
    set_opt(WEIR_OPT_CORK, 0);
    expect(". 1461:1601 ack 1");
    inject(". 1:1 ack 1601");
}

CASE(cork_ends_with_the_connection)
{
    START();
    passive_open("<mss 1460>");
    set_opt(WEIR_OPT_CORK, 1);
    write_bytes(100);
    check_eq(pending(), 0);
    close_conn();
    expect_stream_fin(1, 101);
    inject("F. 1:1 ack 102");
    expect(". 102:102 ack 2");
}

/* By reference, proved without counters: the window is closed, a byte changes, the change arrives. */
CASE(zbuf_is_sent_from_where_it_lies)
{
    START();
    passive_open("<mss 1460>");
    here()->foreign_bytes = true;
    here()->written = 1000;
    inject(". 1:1 ack 1 win 0");
    uint8_t *z = weir_zalloc(stack(), 1000);
    check(z != NULL);
    memset(z, 'a', 1000);
    check_eq(weir_write(stack(), here()->id, z, 1000), 1000);
    settle();
    check_eq(weir_zbusy(stack(), z), 1);
    z[777] = 'b';
    inject(". 1:1 ack 1 win 5000");
    const struct seg *s = take();
    check_eq(s->bytes, 1000);
    for (unsigned i = 0; i < 1000; i++)
        check_eq(s->payload[i], i == 777 ? 'b' : 'a');
    inject(". 1:1 ack 1001 win 5000");
    check_eq(weir_zbusy(stack(), z), 0);
    check_eq(weir_zfree(stack(), z), 0);
    check_eq(stats().tx_bytes_ref, 1000);
    check_eq(stats().tx_bytes_copied, 0);
}

CASE(ordinary_memory_is_copied)
{
    START();
    passive_open("<mss 1460>");
    here()->foreign_bytes = true;
    here()->written = 1000;
    inject(". 1:1 ack 1 win 0");
    static uint8_t mine[1000];
    memset(mine, 'a', sizeof mine);
    check_eq(weir_write(stack(), here()->id, mine, sizeof mine), 1000);
    settle();
    mine[777] = 'b';
    inject(". 1:1 ack 1 win 5000");
    const struct seg *s = take();
    check_eq(s->bytes, 1000);
    for (unsigned i = 0; i < 1000; i++)
        check_eq(s->payload[i], 'a');
    inject(". 1:1 ack 1001 win 5000");
    check_eq(stats().tx_bytes_copied, 1000);
}

/* Mission M3: freed while in flight, the bytes stay until the last one is acknowledged, and go then. */
CASE(freed_zbuf_lives_until_acknowledged)
{
    START();
    passive_open("<mss 1460>");
    write_ref(1000);
    expect(". 1:1001 ack 1");
    check_eq(stats().zbuf_live, 1);
    inject(". 1:1 ack 501");
    check_eq(stats().zbuf_live, 1);
    expect_after(100, 1100, ". 501:1001 ack 1"); /* its bytes can still be sent */
    inject(". 1:1 ack 1001");
    check_eq(stats().zbuf_live, 0);
}

CASE(pieces_of_several_zbufs_share_a_segment)
{
    START();
    passive_open("<mss 1460>");
    set_opt(WEIR_OPT_CORK, 1);
    write_ref(500);
    write_bytes(500);
    write_ref(500);
    expect(". 1:1461 ack 1");
    set_opt(WEIR_OPT_CORK, 0);
    drain();
    inject(". 1:1 ack 1461"); /* Nagle may have waited for it */
    drain();
    inject(". 1:1 ack 1501");
    check_in(stats().zbuf_live, 0, 1);
    check_eq(stats().tx_bytes_ref, 1000);
    check_eq(stats().tx_bytes_copied, 500);
}

CASE(write_is_cut_short_and_goes_on)
{
    START(.sndbuf = 8192);
    passive_open("<mss 1460>");
    check_eq(write_some(20000), 8192);
    expect_stream(1, 7301);
    drain();
    had_event(here()->id, WEIR_EV_WRITE); /* armed at birth */
    check_eq(write_some(20000), WEIR_EAGAIN);
    expect_no_event(WEIR_EV_WRITE);
    inject(". 1:1 ack %u", here()->seen_end - here()->iss);
    drain();
    settle();
    expect_event(WEIR_EV_WRITE);
    ptrdiff_t took = write_some(20000);
    check_in(took, 1, 8192);
    drain();
    abort_conn();
    drain();
}

/* Room is the send limit less what is queued and unacknowledged, whatever the peer's window. */
CASE(room_does_not_depend_on_the_window)
{
    START(.sndbuf = 8192);
    passive_open("<mss 1460>");
    inject(". 1:1 ack 1 win 0");
    check_eq(write_some(20000), 8192);
    check_eq(info().unsent_bytes, 8192);
    check_eq(pending(), 0);
    abort_conn();
    drain();
}

CASE(write_event_comes_after_refusal_only)
{
    START(.sndbuf = 8192);
    passive_open("<mss 1460>");
    settle();
    had_event(here()->id, WEIR_EV_WRITE); /* armed at birth */
    write_bytes(1000);
    expect(". 1:1001 ack 1");
    inject(". 1:1 ack 1001");
    expect_no_event(WEIR_EV_WRITE);
    expect_event(WEIR_EV_SENT);
}

CASE(wrong_addresses_and_lengths_are_refused)
{
    START();
    passive_open("<mss 1460>");
    uint8_t *z = weir_zalloc(stack(), 1000);
    check(z != NULL);
    size_t left = weir_zsize(stack(), z);
    check(left >= 1000);
    check_eq(weir_write(stack(), here()->id, z, 0), WEIR_EINVAL);
    check_eq(weir_write(stack(), here()->id, z, left + 1), WEIR_ERANGE);
    check_eq(weir_write(stack(), here()->id, z + 10, left - 9), WEIR_ERANGE);
    check_eq(weir_write(stack(), listener(), z, 10), WEIR_EISLISTEN);
    check_eq(weir_zfree(stack(), z), 0);
    ptrdiff_t err = weir_write(stack(), here()->id, z, 10);
    check(err == WEIR_ENOTHELD || err == WEIR_EFAULT);
    check_eq(pending(), 0);
}

CASE(device_that_refuses_frames_loses_nothing)
{
    START();
    passive_open("<mss 1460>");
    script_device()->room = 0;
    write_bytes(5000);
    check_eq(pending(), 0);
    script_device()->room = SEGDEV_ROOM;
    advance_ms(1200);
    check(pending() >= 1);
    expect_stream(1, 5001 - 5000 % 1460);
    drain();
    inject(". 1:1 ack %u", here()->seen_end - here()->iss);
    drain();
    inject(". 1:1 ack 5001");
    check_eq(info().queued_bytes, 0);
}

CASE(device_that_takes_one_frame_at_a_time)
{
    START();
    passive_open("<mss 1460>");
    script_device()->room = 1;
    write_bytes(7300);
    for (unsigned i = 0; i < 50 && here()->seen_end - here()->iss < 7301; i++)
        advance_ms(50);
    drain();
    check_eq(here()->seen_end - here()->iss, 7301);
    inject(". 1:1 ack 7301");
    drain();
    script_device()->room = SEGDEV_ROOM;
}

CASE(large_stream_by_reference)
{
    START();
    passive_open("<mss 1460>");
    uint32_t acked = 1;
    for (unsigned i = 0; i < 200; i++) {
        write_ref(4096);
        uint32_t end = here()->seen_end - here()->iss;
        drain();
        if (end > acked) inject(". 1:1 ack %u", acked = end);
    }
    for (unsigned i = 0; i < 100 && acked < 1 + 200 * 4096; i++) {
        acked = here()->seen_end - here()->iss;
        drain();
        inject(". 1:1 ack %u", acked);
    }
    check_eq(acked, 1 + 200 * 4096);
    check_eq(stats().zbuf_live, 0);
    check_eq(stats().tx_bytes_copied, 0);
    check_eq(stats().retransmits, 0);
}

/* Two ends whose windows are both shut: a probing byte is out that the peer did not take. Acknowledgements
 * must not stand behind it, for a shut window takes a segment only at its very edge (RFC 9293 3.10.7.4). */
CASE(ack_while_probing_stays_inside_the_window)
{
    START(.delack_off = true);
    passive_open("<mss 1460>");
    inject(". 1:1 ack 1 win 0");
    write_bytes(100);
    await_segment(5100);
    check(is_probe(1));
    inject(". 1:1 ack 1 win 0");
    inject("P. 1:11 ack 1 win 0");
    expect_either(". 1:1 ack 11", ". 0:0 ack 11");
    read_bytes(10);
    inject(". 11:11 ack 1 win 65535");
    expect("P. 1:101 ack 11");
    inject(". 11:11 ack 101 win 65535");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(window_of_the_peer_is_kept),
        T(shut_window_stops_and_an_update_goes_on),
        T(window_from_behind_is_believed_with_a_later_ack),
        T(shut_window_is_probed_with_backoff),
        T(unanswered_probes_give_up),
        T(probing_byte_that_the_peer_takes),
        T(lost_window_update_is_found_by_a_probe),
        T(window_shrinks_before_the_data_is_sent),
        T(window_shrinks_below_what_is_in_flight),
        T(old_segment_does_not_change_the_window),
        T(sender_avoids_silly_windows),
        T(half_of_the_largest_window_is_enough),
        T(nagle_holds_the_second_small_segment),
        T(nagle_lets_full_segments_go),
        T(nodelay_sends_small_segments),
        T(switching_nagle_off_lets_the_rest_go),
        T(nodelay_is_inherited_from_the_listener),
        T(cork_holds_the_partial_segment),
        T(cork_ends_with_the_connection),
        T(zbuf_is_sent_from_where_it_lies),
        T(ordinary_memory_is_copied),
        T(freed_zbuf_lives_until_acknowledged),
        T(pieces_of_several_zbufs_share_a_segment),
        T(write_is_cut_short_and_goes_on),
        T(room_does_not_depend_on_the_window),
        T(write_event_comes_after_refusal_only),
        T(wrong_addresses_and_lengths_are_refused),
        T(device_that_refuses_frames_loses_nothing),
        T(device_that_takes_one_frame_at_a_time),
        T(large_stream_by_reference),
        T(ack_while_probing_stays_inside_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
