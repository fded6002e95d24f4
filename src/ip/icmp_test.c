/* icmp_test.c: echo, errors about our segments, errors of our own and their rate. */
#include "ip/ip_rig.h"

#include "wire/tcphdr.h"

static struct rig_in in;
static struct weir_icmp_note note;

static void make_echo(uint32_t payload)
{
    static const uint8_t head[8] = {8, 0, 0, 0, 0x12, 0x34, 0x00, 0x07};
    rig_in_init(&in, RIG_PEER, RIG_OUR_IP, WEIR_PROTO_ICMP, NULL, 0);
    in.bytes[WEIR_ETH_BYTES + 1] = 0x10;
    rig_in_add(&in, head, 8);
    for (uint32_t i = 0; i < payload; i++)
        in.bytes[in.n++] = (uint8_t)(i * 31 + 7);
    rig_in_icmp_csum(&in);
    rig_in_finish(&in);
}

static enum weir_verdict take_cut(const uint32_t *cuts, unsigned n)
{
    rig_frame_in(in.bytes, in.n, cuts, n);
    assert_int_equal(weir_ip4_input(&g.ip, &g.pkt, WEIR_ETH_BYTES), WEIR_V_PASS);
    return weir_icmp_input(&g.ip, &g.pkt, &note);
}

static enum weir_verdict take(void)
{
    return take_cut(NULL, 0);
}

static void assert_reply(uint32_t payload)
{
    struct weir_ip4hdr h;
    enum weir_drop why;
    rig_count(0);
    const struct rig_frame *f = rig_sent(&g.d[0], 0);
    const uint8_t *m = f->bytes + 34;
    assert_int_equal(f->len, 42 + payload);
    assert_memory_equal(f->bytes, rig_peer_mac, 6);
    assert_true(weir_ip4hdr_parse(&h, f->bytes + 14, f->len - 14, f->len - 14, &why));
    assert_int_equal(h.src, RIG_OUR_IP);
    assert_int_equal(h.dst, RIG_PEER);
    assert_int_equal(h.tos, 0x10);
    assert_int_equal(h.proto, WEIR_PROTO_ICMP);
    assert_int_equal(m[0], WEIR_ICMP_ECHO_REPLY);
    assert_int_equal(m[1], 0);
    assert_memory_equal(m + 4, "\x12\x34\x00\x07", 4);
    assert_memory_equal(m + 8, in.bytes + 42, payload);
    assert_int_equal(weir_csum_done(weir_csum_add(0, m, 8 + payload, 0)), 0);
}

static void answers_echo_by_reference(void **state)
{
    (void)state;
    rig_know_peer();
    for (uint32_t n = 0; n <= 1472; n += n < 70 ? 1 : 467) {
        make_echo(n);
        assert_int_equal(take(), WEIR_V_DONE);
        assert_reply(n);
        if (n > 0) assert_ptr_equal(rig_sent(&g.d[0], 0)->piece[1].addr, g.piece[0].addr + 42);
    }
    assert_int_equal(rig_drops_all(), 0);
}

/* Whatever the old checksum is, also where one's complement has two zeros. */
static void every_checksum_carries_over(void **state)
{
    (void)state;
    rig_know_peer();
    for (uint32_t x = 0; x < 65536; x += x % 256 == 255 || x < 300 || x > 65200 ? 1 : 51) {
        make_echo(2);
        weir_put_be16(in.bytes + 42, (uint16_t)x);
        rig_in_icmp_csum(&in);
        assert_int_equal(take(), WEIR_V_DONE);
        assert_reply(2);
    }
}

/* Nothing but zeros in the reply: its checksum is 0xffff, since 0 would not add up. */
static void echo_of_zeros(void **state)
{
    (void)state;
    static const uint8_t head[8] = {8};
    rig_know_peer();
    rig_in_init(&in, RIG_PEER, RIG_OUR_IP, WEIR_PROTO_ICMP, NULL, 0);
    rig_in_add(&in, head, 8);
    rig_in_icmp_csum(&in);
    rig_in_finish(&in);
    assert_int_equal(take(), WEIR_V_DONE);
    rig_count(0);
    const uint8_t *m = rig_sent(&g.d[0], 0)->bytes + 34;
    assert_int_equal(m[0], WEIR_ICMP_ECHO_REPLY);
    assert_int_equal(weir_csum_fold(weir_csum_add(0, m, 8, 0)), 0xffff);
}

static void echo_leaves_padding_out(void **state)
{
    (void)state;
    rig_know_peer();
    make_echo(1);
    memset(in.bytes + in.n, 0xee, 20);
    in.n = 60;
    assert_int_equal(take(), WEIR_V_DONE);
    assert_reply(1);
}

static void echo_in_pieces(void **state)
{
    (void)state;
    static const uint32_t cuts[] = {43, 44, 61};
    rig_know_peer();
    make_echo(100);
    assert_int_equal(take_cut(cuts + 1, 2), WEIR_V_DONE);
    assert_reply(100);
    assert_int_equal(take_cut(cuts, 3), WEIR_V_DROP);
    assert_int_equal(rig_drops(WEIR_DROP_FRAME_PIECES), 1);
    static const uint32_t behind_header[] = {42};
    assert_int_equal(take_cut(behind_header, 1), WEIR_V_DONE);
    assert_reply(100);
}

/* The received zbuf is the reply's until the neighbour has answered and the device has it. */
static void echo_waits_for_the_neighbour(void **state)
{
    (void)state;
    make_echo(40);
    assert_int_equal(take(), WEIR_V_DONE);
    struct weir_zhead *h = weir_zpool_head(&g.f.z, g.piece[0].addr);
    assert_int_equal(h->stk, 2);
    assert_int_equal(rig_count(0), 1);
    rig_peer_answers();
    assert_reply(40);
    assert_int_equal(h->stk, 1);
}

static void echo_that_cannot_be_answered_is_counted(void **state)
{
    (void)state;
    static uint8_t *all[4096];
    uint32_t n = 0;
    make_echo(1473);
    rig_know_peer();
    take();
    assert_int_equal(rig_drops(WEIR_DROP_TX_REFUSED), 1);
    make_echo(10);
    in.bytes[WEIR_ETH_BYTES + 12] = 8; /* 8.9.0.1: by the gateway */
    rig_in_finish(&in);
    g.ip.ifc[0].gateway = 0;
    assert_int_equal(take(), WEIR_V_DROP);
    assert_int_equal(rig_drops(WEIR_DROP_NO_ROUTE), 1);
    make_echo(10);
    rig_frame_in(in.bytes, in.n, NULL, 0);
    assert_int_equal(weir_ip4_input(&g.ip, &g.pkt, WEIR_ETH_BYTES), WEIR_V_PASS);
    while (n < 4096 && (all[n] = weir_ip4_block(&g.ip, &g.ip.ifc[0])) != NULL)
        n++;
    assert_int_equal(weir_icmp_input(&g.ip, &g.pkt, &note), WEIR_V_DROP);
    assert_int_equal(rig_drops(WEIR_DROP_NO_HEADER), 1);
    while (n > 0)
        weir_ip4_block_drop(&g.ip, all[--n]);
    assert_int_equal(rig_count(0), 0);
}

/* What is answered by reference is not taken from what strict windows have promised. */
static void echo_leaves_what_is_promised(void **state)
{
    (void)state;
    struct weir_strict promised = {.limit_bytes = (uint64_t)1 << 40};
    rig_know_peer();
    make_echo(100);
    g.ip.strict = &promised;
    assert_int_equal(take(), WEIR_V_DROP);
    assert_int_equal(rig_drops(WEIR_DROP_NO_ZBUF), 1);
    assert_int_equal(rig_count(0), 0);
    promised.limit_bytes = 0;
    assert_int_equal(take(), WEIR_V_DONE);
    g.ip.strict = NULL;
}

static void refuses_bad_messages(void **state)
{
    (void)state;
    rig_know_peer();
    for (uint32_t n = 0; n < 8; n++) {
        rig_in_init(&in, RIG_PEER, RIG_OUR_IP, WEIR_PROTO_ICMP, NULL, 0);
        rig_in_add(&in, "\10\0\367\377\0\0\0\0", n);
        rig_in_finish(&in);
        assert_int_equal(take(), WEIR_V_DROP);
    }
    assert_int_equal(rig_drops(WEIR_DROP_ICMP_SHORT), 8);
    make_echo(33);
    for (uint32_t i = 34; i < in.n; i++) {
        in.bytes[i] ^= 4;
        assert_int_equal(take(), WEIR_V_DROP);
        in.bytes[i] ^= 4;
    }
    assert_int_equal(rig_drops(WEIR_DROP_ICMP_CSUM), 41);
    g.frame.flags = WEIR_FRAME_CSUM_GOOD; /* a device's word is for TCP and UDP */
    assert_int_equal(weir_icmp_input(&g.ip, &g.pkt, &note), WEIR_V_DROP);
    static const uint8_t ignored[] = {0, 1, 2, 4, 5, 7, 9, 10, 13, 14, 15, 17, 18, 30, 255};
    for (unsigned i = 0; i < sizeof(ignored); i++) {
        make_echo(40);
        in.bytes[34] = ignored[i];
        rig_in_icmp_csum(&in);
        assert_int_equal(take(), WEIR_V_DROP);
    }
    assert_int_equal(rig_drops(WEIR_DROP_ICMP_TYPE), sizeof(ignored));
    assert_int_equal(rig_count(0), 0);
}

/* An error of type and code that quotes a TCP segment of ours, with this many bytes of IP options. */
static void make_error(uint8_t type, uint8_t code, uint32_t rest, uint32_t option_bytes)
{
    uint8_t quote[60] = {0}, tcp[8], head[8] = {type, code};
    struct weir_ip4hdr h = {.src = RIG_OUR_IP,
                            .dst = 0x08080808,
                            .total_bytes = 1500,
                            .ttl = 1,
                            .proto = WEIR_PROTO_TCP,
                            .frag = WEIR_IP4_DF};
    weir_ip4hdr_emit(quote, &h);
    quote[0] = (uint8_t)(0x40 | (20 + option_bytes) / 4);
    weir_put_be32(head + 4, rest);
    weir_put_be16(tcp, 40000);
    weir_put_be16(tcp + 2, 80);
    weir_put_be32(tcp + 4, 0xdeadbeef);
    rig_in_init(&in, RIG_PEER, RIG_OUR_IP, WEIR_PROTO_ICMP, NULL, 0);
    rig_in_add(&in, head, 8);
    rig_in_add(&in, quote, 20 + option_bytes);
    rig_in_add(&in, tcp, 8);
    rig_in_icmp_csum(&in);
    rig_in_finish(&in);
}

static void assert_note(uint8_t type, uint8_t code, uint16_t mtu)
{
    memset(&note, 0x55, sizeof(note));
    assert_int_equal(take(), WEIR_V_PASS);
    assert_int_equal(note.src, RIG_OUR_IP);
    assert_int_equal(note.dst, 0x08080808);
    assert_int_equal(note.sport, 40000);
    assert_int_equal(note.dport, 80);
    assert_int_equal(note.seq, 0xdeadbeef);
    assert_int_equal(note.type, type);
    assert_int_equal(note.code, code);
    assert_int_equal(note.mtu, mtu);
}

static void notes_errors_about_our_segments(void **state)
{
    (void)state;
    make_error(WEIR_ICMP_UNREACHABLE, 1, 0, 0);
    assert_note(WEIR_ICMP_UNREACHABLE, 1, 0);
    make_error(WEIR_ICMP_UNREACHABLE, WEIR_ICMP_FRAG_NEEDED, 0x00001234, 0);
    assert_note(WEIR_ICMP_UNREACHABLE, WEIR_ICMP_FRAG_NEEDED, 0x1234);
    make_error(WEIR_ICMP_UNREACHABLE, WEIR_ICMP_PORT_UNREACHABLE, 0x00001234, 0);
    assert_note(WEIR_ICMP_UNREACHABLE, WEIR_ICMP_PORT_UNREACHABLE, 0);
    make_error(WEIR_ICMP_TIME_EXCEEDED, 0, 0, 40);
    assert_note(WEIR_ICMP_TIME_EXCEEDED, 0, 0);
    make_error(WEIR_ICMP_PARAMETER, 0, 0x14000000, 4);
    assert_note(WEIR_ICMP_PARAMETER, 0, 0);
    assert_int_equal(rig_drops_all(), 0);
}

static void ignores_codes_that_do_not_exist(void **state)
{
    (void)state;
    make_error(WEIR_ICMP_UNREACHABLE, 16, 0, 0);
    assert_int_equal(take(), WEIR_V_DROP);
    make_error(WEIR_ICMP_TIME_EXCEEDED, 2, 0, 0);
    assert_int_equal(take(), WEIR_V_DROP);
    make_error(WEIR_ICMP_PARAMETER, 3, 0, 0);
    assert_int_equal(take(), WEIR_V_DROP);
    make_error(WEIR_ICMP_QUENCH, 0, 0, 0);
    assert_int_equal(take(), WEIR_V_DROP);
    make_error(WEIR_ICMP_REDIRECT, 0, RIG_PEER, 0);
    assert_int_equal(take(), WEIR_V_DROP);
    assert_int_equal(rig_drops(WEIR_DROP_ICMP_TYPE), 5);
}

static void assert_bad_quote(void)
{
    uint64_t before = rig_drops(WEIR_DROP_ICMP_QUOTE);
    rig_in_icmp_csum(&in);
    rig_in_finish(&in);
    assert_int_equal(take(), WEIR_V_DROP);
    assert_int_equal(rig_drops(WEIR_DROP_ICMP_QUOTE), before + 1);
}

static void refuses_bad_quotes(void **state)
{
    (void)state;
    static const struct {
        uint32_t at;
        uint8_t value;
    } bad[] = {{0, 0x65},        {0, 0x44}, {0, 0x46},           {0, 0x4f},
               {6, 0x00 | 0x01}, {7, 1},    {9, WEIR_PROTO_UDP}, {15, 9}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        make_error(WEIR_ICMP_UNREACHABLE, 1, 0, 0);
        in.bytes[42 + bad[i].at] = bad[i].value;
        assert_bad_quote();
    }
    make_error(WEIR_ICMP_UNREACHABLE, 1, 0, 0);
    uint32_t n = in.n;
    for (in.n = 42; in.n < n; in.n++)
        assert_bad_quote();
    assert_int_equal(rig_count(0), 0);
}

static void wants_the_quote_in_the_first_piece(void **state)
{
    (void)state;
    make_error(WEIR_ICMP_UNREACHABLE, 1, 0, 12);
    rig_in_add(&in, "more of the segment", 19);
    rig_in_icmp_csum(&in);
    rig_in_finish(&in);
    for (uint32_t cut = 42; cut < in.n; cut++) {
        uint64_t before = rig_drops(WEIR_DROP_FRAME_PIECES);
        bool whole = cut >= 42 + 32 + 8;
        assert_int_equal(take_cut(&cut, 1), whole ? WEIR_V_PASS : WEIR_V_DROP);
        assert_int_equal(rig_drops(WEIR_DROP_FRAME_PIECES), before + !whole);
    }
}

static void make_udp(uint32_t l4_bytes, const uint8_t *options, uint32_t option_bytes)
{
    static const uint8_t udp[16] = {1, 2, 3, 4, 0, 16, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2};
    rig_in_init(&in, RIG_PEER, RIG_OUR_IP, WEIR_PROTO_UDP, options, option_bytes);
    rig_in_add(&in, udp, l4_bytes);
    rig_in_finish(&in);
    assert_int_equal(rig_receive(&in), WEIR_V_PASS);
}

static void assert_error_sent(uint32_t option_bytes, uint32_t quoted)
{
    uint32_t want = 8 + 20 + option_bytes + quoted;
    rig_count(0);
    const struct rig_frame *f = rig_sent(&g.d[0], 0);
    assert_int_equal(f->len, 34 + want);
    assert_int_equal(f->bytes[34], WEIR_ICMP_UNREACHABLE);
    assert_int_equal(f->bytes[35], WEIR_ICMP_PORT_UNREACHABLE);
    assert_int_equal(weir_be32(f->bytes + 38), 0);
    assert_int_equal(weir_csum_done(weir_csum_add(0, f->bytes + 34, want, 0)), 0);
    assert_memory_equal(f->bytes + 42, in.bytes + 14, 20 + option_bytes + quoted);
}

static void quotes_header_and_eight_bytes(void **state)
{
    (void)state;
    static const uint8_t options[40] = {1, 1, 1, 1};
    rig_know_peer();
    make_udp(16, NULL, 0);
    weir_icmp_unreachable(&g.ip, &g.pkt, WEIR_ICMP_PORT_UNREACHABLE);
    assert_error_sent(0, 8);
    make_udp(16, options, 40);
    weir_icmp_unreachable(&g.ip, &g.pkt, WEIR_ICMP_PORT_UNREACHABLE);
    assert_error_sent(40, 8);
    make_udp(3, NULL, 0);
    weir_icmp_unreachable(&g.ip, &g.pkt, WEIR_ICMP_PORT_UNREACHABLE);
    assert_error_sent(0, 3);
}

static void tells_no_error_where_none_is_due(void **state)
{
    (void)state;
    rig_know_peer();
    make_echo(10);
    rig_receive(&in);
    weir_icmp_unreachable(&g.ip, &g.pkt, 3);
    make_udp(16, NULL, 0);
    g.pkt.ip.dst = 0x0a0900ff;
    weir_icmp_unreachable(&g.ip, &g.pkt, 3);
    g.pkt.ip.dst = RIG_OUR_IP;
    g.pkt.ip.src = 0xe0000001;
    weir_icmp_unreachable(&g.ip, &g.pkt, 3);
    g.pkt.ip.src = RIG_PEER;
    g.pkt.ip.frag = 5;
    weir_icmp_unreachable(&g.ip, &g.pkt, 3);
    make_udp(16, NULL, 0);
    g.pkt.frame->pieces[0].addr[0] |= 1; /* a broadcast frame with our own IP address in it */
    weir_icmp_unreachable(&g.ip, &g.pkt, 3);
    assert_int_equal(g.ip.error_tokens, RIG_RATE);
    assert_int_equal(rig_count(0), 0);
}

static void keeps_to_the_rate(void **state)
{
    (void)state;
    rig_know_peer();
    make_udp(16, NULL, 0);
    for (uint32_t i = 0; i < 3 * RIG_RATE; i++)
        weir_icmp_unreachable(&g.ip, &g.pkt, 3);
    assert_int_equal(rig_count(0), RIG_RATE);
    assert_int_equal(rig_drops(WEIR_DROP_RATE), 2 * RIG_RATE);
}

static uint32_t allowed_in(uint32_t ms, uint32_t step)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < ms; t += step) {
        g.ip.now_ms += step;
        n += weir_ip4_may_err(&g.ip);
    }
    return n;
}

static void the_rate_loses_no_fractions(void **state)
{
    (void)state;
    g.ip.now_ms = g.ip.error_ms = UINT32_MAX - 2000; /* across the wrap of the clock */
    g.ip.error_tokens = 0;
    assert_int_equal(allowed_in(10000, 1), 10 * RIG_RATE);
    assert_int_equal(allowed_in(9800, 7), 98);
    g.ip.errors_per_s = 3;
    g.ip.error_tokens = 0;
    g.ip.error_ms = g.ip.now_ms;
    assert_in_range(allowed_in(100000, 1), 299, 300);
    g.ip.now_ms += 3600000; /* however long it was quiet, the burst is one second's */
    uint32_t n = 0;
    while (weir_ip4_may_err(&g.ip))
        n++;
    assert_int_equal(n, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_echo_by_reference),
        TEST(every_checksum_carries_over),
        TEST(echo_of_zeros),
        TEST(echo_leaves_padding_out),
        TEST(echo_in_pieces),
        TEST(echo_waits_for_the_neighbour),
        TEST(echo_that_cannot_be_answered_is_counted),
        TEST(echo_leaves_what_is_promised),
        TEST(refuses_bad_messages),
        TEST(notes_errors_about_our_segments),
        TEST(ignores_codes_that_do_not_exist),
        TEST(refuses_bad_quotes),
        TEST(wants_the_quote_in_the_first_piece),
        TEST(quotes_header_and_eight_bytes),
        TEST(tells_no_error_where_none_is_due),
        TEST(keeps_to_the_rate),
        TEST(the_rate_loses_no_fractions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
