/* What comes from liars, the broken and the blind: malformed frames, impossible addresses, ICMP, floods,
 * noise. Each frame that is dropped is counted under its reason. RFC 1122 3.2.1.3, RFC 5927, RFC 5961, RFC
 * 1191. */
#include "script.h"

#include <string.h>

#include "base/order.h"

#define IP_AT(f)  ((f).b + SEG_L3_AT)
#define TCP_AT(f) ((f).b + SEG_L4_AT)

/* Sends a spoilt frame; nothing may come of it but one drop for this reason. */
static void dropped_as(const struct script_frame *f, enum weir_drop reason)
{
    uint64_t was = stats().drops[reason];
    inject_frame(f);
    if (pending() != 0 || stats().drops[reason] != was + 1)
        failed("not dropped as %s", weir_drop_name(reason));
}

CASE(wrong_tcp_checksum)
{
    struct script_frame f;
    START();
    passive_open("<mss 1460>");
    build(&f, "P. 1:11 ack 1");
    TCP_AT(f)[25] ^= 1;
    dropped_as(&f, WEIR_DROP_TCP_CSUM);
    TCP_AT(f)[25] ^= 1;
    TCP_AT(f)[17] ^= 0x80;
    dropped_as(&f, WEIR_DROP_TCP_CSUM);
    weir_put_be16(TCP_AT(f) + 16, 0);
    dropped_as(&f, WEIR_DROP_TCP_CSUM);
    read_nothing();
}

CASE(truncated_tcp_header)
{
    struct script_frame f;
    START();
    listen_on(80);
    for (uint16_t n = 0; n < 20; n++) {
        build(&f, "S 0:0");
        weir_put_be16(IP_AT(f) + 2, (uint16_t)(20 + n));
        seg_fix_ip(f.b);
        dropped_as(&f, WEIR_DROP_TCP_SHORT);
    }
}

CASE(wrong_data_offset)
{
    struct script_frame f;
    START();
    listen_on(80);
    for (uint8_t words = 0; words < 16; words++) {
        if (words == 5) continue;
        build(&f, "S 0:0");
        TCP_AT(f)[12] = (uint8_t)(words << 4);
        seg_fix_tcp(f.b);
        dropped_as(&f, WEIR_DROP_TCP_HEADER);
    }
    check_eq(stats().conns_live, 0);
}

CASE(wrong_option_lengths)
{
    static const char *const opts[] = {
        "<raw fd00>",                     /* length 0: would turn in a circle */
        "<raw fd01>",                     /* 1 */
        "<raw 010101fd>",                 /* no length at all */
        "<raw fd08>",                     /* past the header */
        "<raw 020305b4>",                 /* MSS that is not 4 */
        "<raw 0206000005b40000>",         /* the same */
        "<raw 0302>",                     /* window scale that is not 3 */
        "<raw 080900000000000000000000>", /* timestamps that are not 10 */
        "<raw 0403000000>",               /* SACK permitted that is not 2 */
    };
    struct script_frame f;
    START();
    listen_on(80);
    for (unsigned i = 0; i < sizeof opts / sizeof opts[0]; i++) {
        build(&f, "S 0:0 %s", opts[i]);
        dropped_as(&f, WEIR_DROP_TCP_OPTIONS);
    }
    check_eq(stats().conns_live, 0);
    passive_open("<mss 1460>");
    build(&f, "P. 1:11 ack 1 <raw 0500>");
    dropped_as(&f, WEIR_DROP_TCP_OPTIONS);
}

CASE(wrong_ip_headers)
{
    struct script_frame f, g;
    START();
    listen_on(80);
    build(&f, "S 0:0 <mss 1460>");
    g = f;
    IP_AT(g)[10] ^= 1;
    dropped_as(&g, WEIR_DROP_IP_CSUM);
    g = f;
    IP_AT(g)[0] = 0x65;
    dropped_as(&g, WEIR_DROP_IP_VERSION);
    g = f;
    IP_AT(g)[0] = 0x44;
    dropped_as(&g, WEIR_DROP_IP_HEADER);
    g = f;
    weir_put_be16(IP_AT(g) + 2, 1400);
    seg_fix_ip(g.b);
    dropped_as(&g, WEIR_DROP_IP_LENGTH);
    g = f;
    weir_put_be16(IP_AT(g) + 2, 19);
    seg_fix_ip(g.b);
    dropped_as(&g, WEIR_DROP_IP_LENGTH);
    g = f;
    weir_put_be16(IP_AT(g) + 6, 0x2000); /* the first of several fragments */
    seg_fix_ip(g.b);
    dropped_as(&g, WEIR_DROP_IP_FRAGMENT);
    g = f;
    weir_put_be16(IP_AT(g) + 6, 0x0010); /* a later one */
    seg_fix_ip(g.b);
    dropped_as(&g, WEIR_DROP_IP_FRAGMENT);
    check_eq(stats().conns_live, 0);
}

/* Sends f with other IP addresses, everything else right. */
static void readdress(struct script_frame *f, uint32_t src, uint32_t dst)
{
    weir_put_be32(IP_AT(*f) + 12, src);
    weir_put_be32(IP_AT(*f) + 16, dst);
    seg_fix_ip(f->b);
    seg_fix_tcp(f->b);
}

CASE(impossible_sources)
{
    static const uint32_t src[] = {
        SCRIPT_WEIR_IP, /* LAND */
        0xffffffff,     /* broadcast */
        0x0a0900ff,     /* broadcast of the network */
        0xe0000001,     /* multicast */
        0x7f000001,     /* loopback */
        0x00000000,     0xf0000001,
    };
    struct script_frame f;
    START();
    listen_on(80);
    for (unsigned i = 0; i < sizeof src / sizeof src[0]; i++) {
        build(&f, "S 0:0 <mss 1460>");
        readdress(&f, src[i], SCRIPT_WEIR_IP);
        dropped_as(&f, WEIR_DROP_IP_SRC);
    }
    build(&f, "S 0:0 <mss 1460>");
    weir_put_be16(TCP_AT(f), 80); /* LAND in full: ports too */
    readdress(&f, SCRIPT_WEIR_IP, SCRIPT_WEIR_IP);
    dropped_as(&f, WEIR_DROP_IP_SRC);
    check_eq(stats().conns_live, 0);
}

CASE(destinations_that_are_not_ours)
{
    static const uint32_t dst[] = {0x0a090003, 0x0a0900ff, 0xffffffff, 0xe0000001, 0x7f000001, 0x08080808};
    struct script_frame f;
    START();
    listen_on(80);
    for (unsigned i = 0; i < sizeof dst / sizeof dst[0]; i++) {
        build(&f, "S 0:0 <mss 1460>");
        readdress(&f, SCRIPT_PEER_IP, dst[i]);
        inject_frame(&f);
        check_eq(pending(), 0);
    }
    check_eq(stats().conns_live, 0);
    check_eq(icmp_seen(), 0);
}

CASE(frame_for_another_host)
{
    struct script_frame f;
    START();
    listen_on(80);
    build(&f, "S 0:0 <mss 1460>");
    f.b[5] ^= 0x40;
    dropped_as(&f, WEIR_DROP_ETH_NOT_MINE);
}

CASE(frame_cut_anywhere)
{
    struct script_frame f;
    START();
    passive_open("<mss 1460>");
    build(&f, "P. 1:101 ack 1");
    for (uint32_t n = 0; n < f.n; n++) {
        struct script_frame g = f;
        g.n = n;
        inject_frame(&g);
        drain_acks();
        check_eq(info().readable_bytes, 0);
    }
    inject_frame(&f);
    expect_acked(101, 45);
    read_bytes(100);
}

CASE(junk_behind_the_packet_is_ignored)
{
    struct script_frame f;
    START(.delack_off = true);
    passive_open("<mss 1460>");
    build(&f, "P. 1:11 ack 1");
    memset(f.b + f.n, 0xee, 100);
    f.n += 100;
    inject_frame(&f);
    expect(". 1:1 ack 11");
    read_bytes(10);
    read_nothing();
}

CASE(ip_options_are_skipped)
{
    struct script_frame f, g;
    START(.delack_off = true);
    passive_open("<mss 1460>");
    build(&f, "P. 1:11 ack 1");
    g = f;
    memmove(IP_AT(g) + 24, IP_AT(f) + 20, f.n - SEG_L4_AT);
    memcpy(IP_AT(g) + 20, "\x01\x01\x01\x00", 4);
    g.n = f.n + 4;
    IP_AT(g)[0] = 0x46;
    weir_put_be16(IP_AT(g) + 2, (uint16_t)(weir_be16(IP_AT(f) + 2) + 4));
    seg_fix_ip(g.b);
    inject_frame(&g);
    expect(". 1:1 ack 11");
    read_bytes(10);
}

CASE(source_route_is_refused)
{
    struct script_frame f, g;
    START();
    listen_on(80);
    build(&f, "S 0:0 <mss 1460>");
    g = f;
    memmove(IP_AT(g) + 28, IP_AT(f) + 20, f.n - SEG_L4_AT);
    memcpy(IP_AT(g) + 20, "\x83\x07\x04\x0a\x09\x00\x02\x00", 8);
    g.n = f.n + 8;
    IP_AT(g)[0] = 0x47;
    weir_put_be16(IP_AT(g) + 2, (uint16_t)(weir_be16(IP_AT(f) + 2) + 8));
    seg_fix_ip(g.b);
    dropped_as(&g, WEIR_DROP_IP_OPTIONS);
}

/* ---- flags that make no sense ---- */

CASE(every_combination_of_flags_at_a_listener)
{
    static const char letters[] = "FSRP.U";
    START();
    listen_on(80);
    for (unsigned mask = 0; mask < 64; mask++) {
        char flags[8] = "-", *p = flags;
        for (unsigned b = 0; b < 6; b++)
            if (mask & 1u << b) *p++ = letters[b];
        flow(mask % SCRIPT_FLOWS);
        inject("%s 0:0 <mss 1460>", flags);
        bool rst = mask & 4, ack = mask & 16, syn = mask & 2;
        if (rst) check_eq(pending(), 0);
        if (ack && !rst) check(pending() == 1 && (peek()->flags & SEG_RST) != 0);
        if (!syn) check(pending() == 0 || (peek()->flags & SEG_RST) != 0);
        drain();
    }
    accept_none();
}

CASE(every_combination_of_flags_in_a_connection)
{
    static const char letters[] = "FSRP.U";
    START();
    listen_on(80);
    for (unsigned mask = 0; mask < 64; mask++) {
        char flags[8] = "-", *p = flags;
        for (unsigned b = 0; b < 6; b++)
            if (mask & 1u << b) *p++ = letters[b];
        flow(mask);
        if ((mask & 7) != 0 && (mask & 7) != 2) continue; /* FIN and RST do what they should */
        passive_open("<mss 1460>");
        inject("%s 100:110 ack 1", flags);
        drain_acks();
        check_eq(pending(), 0);
        expect_state(WEIR_TCP_ESTABLISHED);
        read_nothing();
        abort_conn();
        drain();
    }
}

/* ---- ICMP ---- */

CASE(hard_error_ends_an_opening)
{
    static const uint8_t code[] = {2, 3};
    START();
    for (unsigned i = 0; i < 2; i++) {
        flow(i);
        connect_out(NULL);
        expect("S 0:0 <mss 1460,...>");
        inject_icmp(3, code[i], 0, 0);
        expect_event(WEIR_EV_ERROR);
        check(info().error == WEIR_ECONNREFUSED || info().error == WEIR_EHOSTUNREACH);
        silent(3000);
    }
}

CASE(soft_error_does_not_end_an_opening)
{
    static const uint8_t code[] = {0, 1, 5, 11, 12};
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    for (unsigned i = 0; i < sizeof code; i++)
        inject_icmp(3, code[i], 0, 0);
    inject_icmp(11, 0, 0, 0);
    expect_no_event(WEIR_EV_ERROR);
    expect_after(900, 1200, "S 0:0 <mss 1460,...>");
    inject("S. 0:0 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
    expect_event(WEIR_EV_OPEN);
    check_eq(info().error, 0); /* and is forgotten when it opens after all */
    write_bytes(10);
    expect(". 1:11 ack 1");
    inject(". 1:1 ack 11");
    read_nothing();
}

CASE(error_for_another_syn_is_ignored)
{
    START();
    connect_out(NULL);
    expect("S 0:0 <mss 1460,...>");
    inject_icmp(3, 3, 0, 1000);
    inject_icmp(3, 3, 0, 0xffffff00u);
    expect_no_event(WEIR_EV_ERROR);
    expect_drops(WEIR_DROP_ICMP_QUOTE, 2);
    inject("S. 0:0 ack 1 <mss 1460>");
    expect(". 1:1 ack 1");
}

/* RFC 5927: no ICMP message ends a connection that is established. */
CASE(no_icmp_ends_an_established_connection)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(100);
    expect(". 1:101 ack 1");
    for (uint8_t code = 0; code < 16; code++)
        if (code != 4) inject_icmp(3, code, 0, 1);
    inject_icmp(11, 0, 0, 1);
    inject_icmp(12, 0, 0, 1);
    inject_icmp(4, 0, 0, 1); /* source quench, RFC 6633 */
    expect_no_event(WEIR_EV_ERROR);
    check_eq(pending(), 0);
    check_eq(info().cwnd >= 10 * 1460, 1);
    inject(". 1:1 ack 101");
    expect_state(WEIR_TCP_ESTABLISHED);
}

CASE(frag_needed_lowers_the_segment_size)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(2920);
    expect(". 1:1461 ack 1");
    expect(". 1461:2921 ack 1");
    inject_icmp(3, 4, 1000, 1);
    if (pending() == 0) await_segment(1200);
    check_in(take()->bytes, 900, 960); /* again at once, or at the time-out, in pieces that fit */
    drain();
    check_eq(info().mss, 960);
    inject(". 1:1 ack 2921");
    write_bytes(1920);
    while (pending() > 0)
        check_in(take()->bytes, 1, 960);
    inject(". 1:1 ack %u", here()->seen_end - here()->iss);
    drain();
    inject(". 1:1 ack 4841");
    check_eq(info().queued_bytes, 0);
}

CASE(frag_needed_with_a_wrong_sequence_number_is_ignored)
{
    START();
    passive_open("<mss 1460>");
    write_bytes(1460);
    expect(". 1:1461 ack 1");
    inject_icmp(3, 4, 600, 5000);
    inject_icmp(3, 4, 600, 0x80000000u);
    inject_icmp(3, 4, 600, 0);
    check_eq(info().mss, 1460);
    inject(". 1:1 ack 1461");
    inject_icmp(3, 4, 600, 1); /* acknowledged: it can't have been too large */
    check_eq(info().mss, 1460);
    check(stats().drops[WEIR_DROP_ICMP_QUOTE] >= 3);
}

CASE(frag_needed_has_a_floor_and_never_raises)
{
    START();
    passive_open("<mss 1000>");
    write_bytes(1000);
    expect(". 1:1001 ack 1");
    inject_icmp(3, 4, 9000, 1);
    check_eq(info().mss, 1000);
    drain();
    inject_icmp(3, 4, 0, 1); /* an old router that does not tell */
    drain();
    inject_icmp(3, 4, 8, 1);
    drain();
    inject_icmp(3, 4, 68, 1);
    drain();
    advance_ms(2000);
    drain();
    check_in(info().mss, 48, 1000);
    inject(". 1:1 ack 1001");
}

CASE(icmp_cut_or_spoilt_is_dropped)
{
    struct script_frame f;
    START();
    passive_open("<mss 1460>");
    write_bytes(100);
    expect(". 1:101 ack 1");
    memset(&f, 0, sizeof f);
    for (uint32_t n = 0; n < 36; n++) {
        build(&f, "- 1:1");
        uint8_t icmp[36] = {3, 3};
        icmp[8] = 0x45;
        memcpy(f.b + SEG_L4_AT, icmp, n);
        if (n >= 4) weir_put_be16(f.b + SEG_L4_AT + 2, (uint16_t)~seg_sum(0, icmp, n));
        f.n = SEG_L4_AT + n;
        IP_AT(f)[9] = 1;
        weir_put_be16(IP_AT(f) + 2, (uint16_t)(20 + n));
        seg_fix_ip(f.b);
        inject_frame(&f);
        check_eq(pending(), 0);
    }
    expect_state(WEIR_TCP_ESTABLISHED);
    inject(". 1:1 ack 101");
}

CASE(icmp_is_never_answered_for_tcp)
{
    struct script_frame f;
    START();
    inject("S 0:0");
    expect("R. =0:=0 ack 1");
    build(&f, "S 0:0");
    TCP_AT(f)[17] ^= 1;
    inject_frame(&f);
    check_eq(icmp_seen(), 0);
}

/* ---- floods ---- */

CASE(syn_flood_leaves_connections_alone)
{
    START(.conns = 16);
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 500; i++) {
        flow(1);
        reincarnate(i * 1000);
        set_peer(SCRIPT_PEER_IP, (uint16_t)(1024 + i));
        inject("S 0:0 <mss 1460>");
        drain();
    }
    check_in(stats().conns_live, 1, 16);
    flow(0);
    inject("P. 1:11 ack 1");
    expect_acked(11, 45);
    read_bytes(10);
    advance_ms(60000); /* the half-open ones give up */
    drain();
    check_eq(stats().conns_live, 1);
    flow(2);
    inject("S 0:0 <mss 1460>");
    expect("S. 0:0 ack 1 <mss 1460>");
    inject(". 1:1 ack 1");
    accept_conn();
}

CASE(flood_of_old_segments_is_answered_one_by_one_at_most)
{
    START();
    passive_open("<mss 1460>");
    for (unsigned i = 0; i < 300; i++) {
        inject("P. %d:%d ack 1", -2000 + (int)i, -1000 + (int)i);
        check_in(drain_acks(), 0, 1);
        check_eq(pending(), 0);
    }
    expect_state(WEIR_TCP_ESTABLISHED);
}

CASE(resets_all_over_the_window_do_not_hit)
{
    START(.challenge_acks = 100);
    passive_open("<mss 1460>");
    for (unsigned i = 1; i < 2000; i++) {
        inject("R %u:%u", 1 + i * 37, 1 + i * 37);
        drain_acks();
    }
    expect_state(WEIR_TCP_ESTABLISHED);
}

/* Frames of a live conversation with bytes changed, checksums made right again for three out of four. */
static void spoil(struct script_frame *f, struct weir_sim *dice)
{
    unsigned hits = 1 + (unsigned)(weir_sim_random(dice) % 4);
    for (unsigned i = 0; i < hits; i++)
        f->b[12 + weir_sim_random(dice) % (f->n - 12)] = (uint8_t)weir_sim_random(dice);
    uint32_t ip_bytes = weir_be16(IP_AT(*f) + 2), hdr = (IP_AT(*f)[0] & 15u) * 4u;
    if (weir_sim_random(dice) % 4 == 0 || ip_bytes + SEG_L3_AT > f->n || hdr < 20 || hdr + 20 > ip_bytes)
        return;
    seg_fix_ip(f->b);
    seg_fix_tcp(f->b);
}

CASE(noise)
{
    static const char *const texts[] = {
        "S 0:0 <mss 1460,sackOK,ts 100 0,wscale 7>",
        ". 1:1 ack 1",
        "P. 1:101 ack 1",
        "P. 101:1101 ack 1",
        "F. 101:101 ack 1",
        "R 1:1",
        "R 50:50",
        "S. 0:0 ack 1 <mss 536>",
        ". 1:1 ack 1 <sack 1:100>",
        "PU. 1:11 ack 1 urg 7",
    };
    struct script_frame f;
    struct weir_sim dice;
    weir_id id;
    START();
    listen_on(80);
    weir_sim_init(&dice, 1);
    for (unsigned i = 0; i < 20000; i++) {
        set_peer(SCRIPT_PEER_IP, 40000);
        build(&f, "%s", texts[weir_sim_random(&dice) % (sizeof texts / sizeof texts[0])]);
        spoil(&f, &dice);
        set_peer(0, 0); /* what the stack answers is its own affair */
        inject_frame(&f);
        drain();
        if (weir_accept(stack(), listener(), &id, NULL) == 0)
            check_eq(weir_close(stack(), id, WEIR_CLOSE_ABORT), 0);
        if (i % 100 == 0) advance_ms(500);
        drain();
    }
    advance_ms(200000);
    drain();
    check_eq(stats().conns_live, 0);
    flow(1);
    passive_open("<mss 1460>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(wrong_tcp_checksum),
        T(truncated_tcp_header),
        T(wrong_data_offset),
        T(wrong_option_lengths),
        T(wrong_ip_headers),
        T(impossible_sources),
        T(destinations_that_are_not_ours),
        T(frame_for_another_host),
        T(frame_cut_anywhere),
        T(junk_behind_the_packet_is_ignored),
        T(ip_options_are_skipped),
        T(source_route_is_refused),
        T(every_combination_of_flags_at_a_listener),
        T(every_combination_of_flags_in_a_connection),
        T(hard_error_ends_an_opening),
        T(soft_error_does_not_end_an_opening),
        T(error_for_another_syn_is_ignored),
        T(no_icmp_ends_an_established_connection),
        T(frag_needed_lowers_the_segment_size),
        T(frag_needed_with_a_wrong_sequence_number_is_ignored),
        T(frag_needed_has_a_floor_and_never_raises),
        T(icmp_cut_or_spoilt_is_dropped),
        T(icmp_is_never_answered_for_tcp),
        T(syn_flood_leaves_connections_alone),
        T(flood_of_old_segments_is_answered_one_by_one_at_most),
        T(resets_all_over_the_window_do_not_hit),
        T(noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
