/* blind_cases.c: what somebody sends who can't see the connection, or can and means it ill: guessed numbers,
 * frames of impossible lengths, urgent pointers out of range, sizes of segments that would cost more than
 * they carry. Nothing of it may be believed, and what it takes of memory has a bound. RFC 5961, RFC 6691, RFC
 * 894. */
#include "script.h"

#include <string.h>

#include "base/order.h"

#define GUESSES 3000u

#define TCP_AT(f) ((f).b + SEG_L4_AT)

/* Numbers all over the space, none of them within `near` of 0. */
static int32_t guess(struct weir_sim *dice, uint32_t near)
{
    int32_t n;
    do
        n = (int32_t)weir_sim_random(dice);
    while (n > -(int64_t)near && n < (int64_t)near);
    return n;
}

/* Turns to somebody else who sends in the name of flow 0, knows its numbers as they are now, and is not
 * believed: what he sends doesn't count as sent by the peer. back() turns to the peer itself again. */
static void spoof(void)
{
    const struct flow *peer = flow(0);
    struct flow *liar = flow(SCRIPT_FLOWS - 1);
    *liar = *peer;
    liar->id = 0;
}

static void back(void)
{
    here()->used = false;
    flow(0);
}

/* RFC 5961 5.2: with the right sequence number, but an acknowledgement that nobody owes. */
CASE(data_with_a_guessed_ack_is_not_taken)
{
    struct weir_sim dice;
    unsigned answers = 0;
    START(.challenge_acks = 10);
    passive_open("<mss 1460>");
    weir_sim_init(&dice, 3);
    for (unsigned i = 0; i < GUESSES; i++) {
        inject("P. 1:11 ack %d", guess(&dice, 70000));
        answers += drain_acks();
        check_eq(pending(), 0);
    }
    read_nothing();
    check_in(answers, 1, 11); /* one second: the rate of challenges */
    expect_drops(WEIR_DROP_TCP_ACK, GUESSES);
    inject("P. 1:11 ack 1");
    expect_acked(11, 45);
    read_bytes(10);
}

CASE(data_with_a_guessed_number_is_not_taken)
{
    struct weir_sim dice;
    START();
    passive_open("<mss 1460>");
    weir_sim_init(&dice, 4);
    spoof();
    for (unsigned i = 0; i < GUESSES; i++) {
        int32_t n = guess(&dice, 70000);
        inject("P. %d:%d ack 1", n, n + 10);
        check_in(drain_acks(), 0, 1);
        check_eq(pending(), 0);
    }
    back();
    check_eq(info().ooo_bytes, 0);
    read_nothing();
    expect_state(WEIR_TCP_ESTABLISHED);
}

/* RFC 5961 4: whatever its number, a SYN gets a challenge at most. */
CASE(guessed_syns_do_not_hit)
{
    struct weir_sim dice;
    unsigned answers = 0;
    START(.challenge_acks = 10);
    passive_open("<mss 1460>");
    weir_sim_init(&dice, 5);
    spoof();
    for (unsigned i = 0; i < GUESSES; i++) {
        int32_t n = i % 2 == 0 ? (int32_t)(i * 11) : guess(&dice, 70000);
        inject("S %d:%d", n, n);
        answers += drain_acks();
        check_eq(pending(), 0);
    }
    back();
    check_in(answers, 1, 11);
    expect_state(WEIR_TCP_ESTABLISHED);
    inject("P. 1:11 ack 1");
    expect_acked(11, 45);
    read_bytes(10);
}

/* Neither a guessed FIN nor one with a guessed acknowledgement closes. */
CASE(guessed_fins_do_not_close)
{
    struct weir_sim dice;
    START();
    passive_open("<mss 1460>");
    weir_sim_init(&dice, 6);
    spoof();
    for (unsigned i = 0; i < GUESSES; i++) {
        int32_t n = guess(&dice, 70000);
        if (i % 2 == 0)
            inject("F. %d:%d ack 1", n, n);
        else
            inject("F. 1:1 ack %d", n);
        drain_acks();
        check_eq(pending(), 0);
    }
    back();
    expect_state(WEIR_TCP_ESTABLISHED);
    read_nothing();
}

/* A SYN-SENT connection takes only an answer to its own SYN. */
CASE(guessed_answers_do_not_open)
{
    struct weir_sim dice;
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    weir_sim_init(&dice, 7);
    spoof();
    for (unsigned i = 0; i < 500; i++) {
        int32_t n = guess(&dice, 2);
        inject("%s 0:0 ack %d <>", i % 2 == 0 ? "S." : "R.", n);
        drain(); /* resets, within their rate */
    }
    back();
    expect_state(WEIR_TCP_SYN_SENT);
    expect_no_event(WEIR_EV_ERROR);
    inject("S. 0:0 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
}

/* ---- frames ---- */

/* What a virtual device hands over without padding: 54 bytes for a bare segment. */
static void inject_unpadded(const struct script_frame *padded)
{
    struct script_frame f = *padded;
    f.n = SEG_L3_AT + weir_be16(f.b + SEG_L3_AT + 2);
    inject_frame(&f);
}

CASE(unpadded_frames_are_taken)
{
    struct script_frame f;
    START(.delack_off = true);
    listen_on(80);
    build(&f, "S 0:0 <>");
    inject_unpadded(&f);
    expect("S. 0:0 ack 1 <mss 1460>");
    build(&f, ". 1:1 ack 1");
    check_eq(f.n, SEG_FRAME_MIN);
    inject_unpadded(&f);
    accept_conn();
    build(&f, "P. 1:2 ack 1");
    inject_unpadded(&f);
    expect(". 1:1 ack 2");
    read_bytes(1);
    build(&f, "F. 2:2 ack 1");
    inject_unpadded(&f);
    expect(". 1:1 ack 3");
    read_end();
}

/* Padding that is not zero is not payload. */
CASE(junk_in_the_padding_is_not_read)
{
    struct script_frame f;
    START(.delack_off = true);
    passive_open("<mss 1460>");
    build(&f, "P. 1:2 ack 1");
    memset(f.b + 55, 0xee, f.n - 55);
    inject_frame(&f);
    expect(". 1:1 ack 2");
    read_bytes(1);
    read_nothing();
}

/* Of 0 to 53 bytes, and of every Ethernet type that is looked at. */
CASE(runts_are_dropped)
{
    static const uint16_t types[] = {0x0800, 0x0806, 0x86dd, 0x8100, 0, 46, 0xffff};
    struct script_frame f;
    START();
    passive_open("<mss 1460>");
    for (unsigned t = 0; t < sizeof types / sizeof types[0]; t++)
        for (uint32_t n = 0; n < 54; n++) {
            build(&f, ". 1:1 ack 1");
            weir_put_be16(f.b + 12, types[t]);
            f.n = n;
            inject_frame(&f);
            check_eq(pending(), 0);
        }
    check_in(stats().drops[WEIR_DROP_ETH_SHORT], 1, 14 * 7);
    expect_state(WEIR_TCP_ESTABLISHED);
}

/* ---- what a segment says of itself ---- */

/* Urgent data is delivered in line (RFC 9293 3.8.5), so a pointer can't point anywhere that matters. */
CASE(urgent_pointers_out_of_range)
{
    static const unsigned urg[] = {0, 1, 10, 11, 1460, 32767, 32768, 65535};
    uint32_t at = 1;
    START(.delack_off = true, .rcvbuf = 4096);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < sizeof urg / sizeof urg[0]; i++) {
        inject("PU. %u:%u ack 1 urg %u", at, at + 10, urg[i]); /* in order */
        expect(". 1:1 ack %u", at += 10);
        inject("U. %u:%u ack 1 urg %u", at, at, urg[i]); /* without data */
        check_eq(pending(), 0);
        inject("PU. %u:%u ack 1 urg %u", at + 100, at + 110, urg[i]); /* behind a gap */
        expect(". 1:1 ack %u", at);
        inject("PU. %u:%u ack 1 urg %u", at - 10, at, urg[i]); /* once more */
        expect(". 1:1 ack %u", at);
        inject("PU. %u:%u ack 1 urg %u", at, at + 100, urg[i]);
        expect(". 1:1 ack %u", at += 110);
        read_bytes(120);
    }
    inject("FU. %u:%u ack 1 urg 65535", at, at);
    expect(". 1:1 ack %u", at + 1);
    read_end();
}

CASE(urgent_without_a_connection)
{
    START();
    listen_on(80);
    inject("SU 0:0 urg 65535 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject("U. 1:1 ack 1 urg 65535");
    accept_conn();
    flow(1);
    inject("U. 1:1 ack 1 urg 9");
    expect("R 1:1");
}

/* With an MSS of 0 or 1, and options that would be larger than it: bytes go out all the same, several to a
 * segment, and the stack does not turn in a circle. */
CASE(tiny_mss_with_timestamps)
{
    static const char *const opts[] = {"<mss 0,ts 5 0>", "<mss 1,ts 5 0>", "<mss 12,ts 5 0>",
                                       "<mss 0,wscale 14,ts 5 0>"};
    START();
    for (unsigned i = 0; i < sizeof opts / sizeof opts[0]; i++) {
        flow(2 * i);
        passive_open(opts[i]);
        write_bytes(2000);
        check_in(pending(), 1, 64);
        check_in(peek()->bytes, 16, 64);
        drain();
        abort_conn();
        drain();
        flow(2 * i + 1);
        connect_out(NULL);
        drain();
        inject("S. 0:0 ack 1 %s", opts[i]);
        drain_acks();
        write_bytes(200);
        check_in(peek()->bytes, 16, 64);
        drain();
        abort_conn();
        drain();
    }
}

/* ---- memory ---- */

/* Bytes of the zbufs that received data holds. */
static uint64_t pinned(void)
{
    struct weir_zinfo z[32];
    uint32_t cursor = 0;
    uint64_t bytes = 0;
    int got;
    while ((got = weir_census(stack(), &cursor, z, 32)) > 0)
        for (int i = 0; i < got; i++)
            if (z[i].owners & (1u << WEIR_OWNER_RECVQ | 1u << WEIR_OWNER_OOO)) bytes += z[i].bytes;
    return bytes;
}

#define ZBUF_LARGEST 16384u /* what copies are packed into */
#define FRAME_ZBUF   2048u

/* A byte a segment: they are copied together (docs/architecture.md), so that 12,000 of them don't pin 12,000
 * received frames. */
CASE(tiny_segments_pin_no_large_buffers)
{
    uint64_t most = 0;
    START(.delack_off = true, .rcvbuf = 16384);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 12000; i++) {
        inject("P. %u:%u ack 1", 1 + i, 2 + i);
        drain_acks();
        if (i % 100 == 0 && pinned() > most) most = pinned();
    }
    check_in(most, 1, 2 * 12000 + 2 * ZBUF_LARGEST);
    read_bytes(12000);
    drain_acks();
    check_in(pinned(), 0, ZBUF_LARGEST);
}

/* The same with gaps between: each keeps its frame, up to the bound of one connection. */
CASE(tiny_segments_out_of_order_are_bounded)
{
    uint64_t most = 0;
    START(.delack_off = true, .ooo_conn = 32);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 12000; i++) {
        inject("P. %u:%u ack 1", 3 + 2 * i, 4 + 2 * i);
        drain_acks();
        if (i % 16 == 0 && pinned() > most) most = pinned();
    }
    check_in(most, 1, 32 * FRAME_ZBUF);
    check_in(info().ooo_bytes, 1, 32);
    expect_state(WEIR_TCP_ESTABLISHED);
    for (uint32_t at = 1; at < 25001; at += 1000) {
        inject("P. %u:%u ack 1", at, at + 1000);
        drain_acks();
    }
    read_bytes(25000);
    drain_acks();
}

/* 500 connections through a table of four: it stays full, and each of them opens and closes in order. */
CASE(time_wait_that_is_full_refuses_nobody)
{
    START(.timewait = 4, .conns = 8);
    listen_on(80);
    for (unsigned i = 0; i < 500; i++) {
        flow(0);
        reincarnate(SCRIPT_PEER_ISS + i * 100000);
        set_peer(SCRIPT_PEER_IP, (uint16_t)(2000 + i));
        passive_open("<mss 1460>");
        inject("P. 1:11 ack 1");
        read_bytes(10);
        close_conn();
        expect("F. 1:1 ack 11");
        inject("F. 11:11 ack 2");
        expect(". 2:2 ack 12");
        check_in(stats().timewait_live, 1, 4);
        check_eq(stats().conns_live, 0);
    }
}

/* The same peer and port again and again, faster than TIME-WAIT ends. */
CASE(time_wait_is_reused_without_end)
{
    START(.timewait = 4, .conns = 4, .msl_ms = 30000);
    listen_on(80);
    for (unsigned i = 0; i < 500; i++) {
        flow(0);
        reincarnate(SCRIPT_PEER_ISS + i * 100000);
        passive_open("<mss 1460>");
        close_conn();
        expect("F. 1:1 ack 1");
        inject("F. 1:1 ack 2");
        expect(". 2:2 ack 2");
        check_in(stats().timewait_live, 1, 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(data_with_a_guessed_ack_is_not_taken),
        T(data_with_a_guessed_number_is_not_taken),
        T(guessed_syns_do_not_hit),
        T(guessed_fins_do_not_close),
        T(guessed_answers_do_not_open),
        T(unpadded_frames_are_taken),
        T(junk_in_the_padding_is_not_read),
        T(runts_are_dropped),
        T(urgent_pointers_out_of_range),
        T(urgent_without_a_connection),
        T(tiny_mss_with_timestamps),
        T(tiny_segments_pin_no_large_buffers),
        T(tiny_segments_out_of_order_are_bounded),
        T(time_wait_that_is_full_refuses_nobody),
        T(time_wait_is_reused_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
