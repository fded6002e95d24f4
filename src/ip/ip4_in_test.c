/* ip4_in_test.c: what an IPv4 packet must be to get in, and sums over pieces of any length. */
#include "ip/ip_rig.h"

#include "wire/tcphdr.h"

static struct rig_in in;

/* A UDP-like packet of n payload bytes. */
static void make(uint32_t src, uint32_t dst, uint8_t proto, uint32_t n)
{
    rig_in_init(&in, src, dst, proto, NULL, 0);
    for (uint32_t i = 0; i < n; i++)
        in.bytes[in.n++] = (uint8_t)(i * 7 + 1);
    if (proto == WEIR_PROTO_TCP && n >= WEIR_TCP_BYTES) in.bytes[in.l4_at + 12] = 0x50;
    rig_in_finish(&in);
}

static void assert_dropped(enum weir_drop why)
{
    uint64_t before = rig_drops(why), all = rig_drops_all();
    assert_int_equal(rig_receive(&in), WEIR_V_DROP);
    assert_int_equal(rig_drops(why), before + 1);
    assert_int_equal(rig_drops_all(), all + 1);
}

static void fills_in_the_packet(void **state)
{
    (void)state;
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 100);
    assert_int_equal(rig_receive(&in), WEIR_V_PASS);
    assert_int_equal(g.pkt.ip.src, RIG_PEER);
    assert_int_equal(g.pkt.ip.dst, RIG_OUR_IP);
    assert_int_equal(g.pkt.ip.proto, WEIR_PROTO_TCP);
    assert_int_equal(g.pkt.l4_at, 34);
    assert_ptr_equal(g.pkt.l4, g.piece[0].addr + 34);
    assert_int_equal(g.pkt.l4_here, 100);
    assert_int_equal(g.pkt.l4_bytes, 100);
    make(RIG_PEER, RIG_OUR_IP2, WEIR_PROTO_TCP, 100);
    assert_int_equal(rig_receive(&in), WEIR_V_PASS);
}

static void ignores_padding(void **state)
{
    (void)state;
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 20);
    in.bytes[in.n] = 0x99;
    in.n = 60;
    assert_int_equal(rig_receive(&in), WEIR_V_PASS);
    assert_int_equal(g.pkt.l4_bytes, 20);
    assert_int_equal(g.pkt.l4_here, 20);
    struct weir_piece p[2];
    assert_int_equal(weir_ip4_slices(&g.pkt, 0, p, 2), 1);
    assert_int_equal(p[0].bytes, 20);
}

static void refuses_impossible_sources(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0,          0x00000001, 0x7f000001, 0x7fffffff, 0xe0000001,
                                   0xefffffff, 0xf0000001, 0xffffffff, 0x0a0900ff, 0x0a090000,
                                   0x0a090080, RIG_OUR_IP, RIG_OUR_IP2};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        make(bad[i], RIG_OUR_IP, WEIR_PROTO_TCP, 40);
        assert_dropped(WEIR_DROP_IP_SRC);
    }
    assert_int_equal(rig_count(0) + rig_count(1), 0);
}

static void refuses_what_is_for_others(void **state)
{
    (void)state;
    static const uint32_t bad[] = {RIG_PEER, 0x0a0900ff, 0x0a090000, 0xffffffff, 0xe0000001, 0x7f000001, 0};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        make(0x0a090005, bad[i], WEIR_PROTO_ICMP, 40);
        assert_dropped(WEIR_DROP_IP_NOT_MINE);
    }
    g.ip.ifc[1].up = 0;
    make(RIG_PEER, RIG_OUR_IP2, WEIR_PROTO_TCP, 40);
    assert_dropped(WEIR_DROP_IP_NOT_MINE);
}

static void refuses_fragments(void **state)
{
    (void)state;
    static const uint16_t frag[] = {0x2000, 0x0001, 0x1fff, 0x6000};
    for (unsigned i = 0; i < 4; i++) {
        make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 40);
        weir_put_be16(in.bytes + WEIR_ETH_BYTES + 6, frag[i]);
        rig_in_header_csum(&in);
        assert_dropped(WEIR_DROP_IP_FRAGMENT);
    }
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 40);
    weir_put_be16(in.bytes + WEIR_ETH_BYTES + 6, 0x4000);
    rig_in_header_csum(&in);
    assert_int_equal(rig_receive(&in), WEIR_V_PASS);
}

static void refuses_wrong_headers(void **state)
{
    (void)state;
    uint8_t *h = in.bytes + WEIR_ETH_BYTES;
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 40);
    h[8] ^= 1;
    assert_dropped(WEIR_DROP_IP_CSUM);
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 40);
    h[0] = 0x65;
    assert_dropped(WEIR_DROP_IP_VERSION);
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 40);
    h[0] = 0x44;
    assert_dropped(WEIR_DROP_IP_HEADER);
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 40);
    in.n--;
    assert_dropped(WEIR_DROP_IP_LENGTH);
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 0);
    weir_put_be16(h + 2, 19);
    rig_in_header_csum(&in);
    assert_dropped(WEIR_DROP_IP_LENGTH);
    static const uint8_t source_route[8] = {131, 7, 4, 10, 9, 0, 1, 0};
    rig_in_init(&in, RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, source_route, 8);
    rig_in_finish(&in);
    assert_dropped(WEIR_DROP_IP_OPTIONS);
}

static void refuses_every_truncation(void **state)
{
    (void)state;
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 40);
    uint32_t n = in.n;
    for (in.n = 0; in.n < n; in.n++)
        assert_dropped(in.n < 34 ? WEIR_DROP_IP_SHORT : WEIR_DROP_IP_LENGTH);
}

static void skips_options(void **state)
{
    (void)state;
    static const uint8_t options[12] = {1, 7, 7, 4, 0, 0, 0, 0, 0, 0, 0, 0};
    rig_in_init(&in, RIG_PEER, RIG_OUR_IP, WEIR_PROTO_UDP, options, 12);
    rig_in_add(&in, "\1\2\3\4\0\10\0\0", 8);
    rig_in_finish(&in);
    assert_int_equal(rig_receive(&in), WEIR_V_PASS);
    assert_int_equal(g.pkt.l4_at, 46);
    assert_int_equal(g.pkt.l4_bytes, 8);
}

static void tells_that_a_protocol_is_unknown(void **state)
{
    (void)state;
    rig_know_peer();
    make(RIG_PEER, RIG_OUR_IP, 132, 40);
    assert_dropped(WEIR_DROP_IP_PROTO);
    assert_int_equal(rig_count(0), 1);
    const uint8_t *icmp = rig_sent(&g.d[0], 0)->bytes + 34;
    assert_int_equal(icmp[0], WEIR_ICMP_UNREACHABLE);
    assert_int_equal(icmp[1], WEIR_ICMP_PROTO_UNREACHABLE);
}

static enum weir_verdict receive_cut(const uint32_t *cuts, unsigned n)
{
    rig_frame_in(in.bytes, in.n, cuts, n);
    return weir_ip4_input(&g.ip, &g.pkt, WEIR_ETH_BYTES);
}

static void wants_headers_in_the_first_piece(void **state)
{
    (void)state;
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 100);
    in.bytes[in.l4_at + 12] = 0x80; /* 32 bytes */
    for (uint32_t cut = 1; cut < in.n; cut++) {
        uint64_t before = rig_drops(WEIR_DROP_FRAME_PIECES);
        bool whole = cut >= 34 + 32;
        assert_int_equal(receive_cut(&cut, 1), whole ? WEIR_V_PASS : WEIR_V_DROP);
        assert_int_equal(rig_drops(WEIR_DROP_FRAME_PIECES), before + !whole);
    }
    assert_int_equal(g.pkt.l4_here, 99);
    assert_int_equal(g.pkt.l4_bytes, 100);
    /* A header that says it is longer than the segment is the next stage's to refuse. */
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 24);
    in.bytes[in.l4_at + 12] = 0xf0;
    assert_int_equal(rig_receive(&in), WEIR_V_PASS);
}

static void takes_the_largest_packet(void **state)
{
    (void)state;
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 65515);
    static const uint32_t cuts[] = {300};
    assert_int_equal(receive_cut(cuts, 1), WEIR_V_PASS);
    assert_int_equal(g.pkt.l4_bytes, 65515);
    assert_int_equal(g.pkt.l4_here, 300 - 34);
}

static void slices_from_any_byte(void **state)
{
    (void)state;
    struct weir_piece p[4];
    static const uint32_t cuts[] = {60, 61, 100};
    make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, 100);
    in.n += 20; /* padding, in its own piece and before */
    assert_int_equal(receive_cut(cuts, 3), WEIR_V_PASS);
    for (uint32_t from = 0; from <= 100; from++) {
        uint32_t n = weir_ip4_slices(&g.pkt, from, p, 4), at = from;
        for (uint32_t i = 0; i < n; i++) {
            assert_memory_equal(p[i].addr, in.bytes + 34 + at, p[i].bytes);
            at += p[i].bytes;
        }
        assert_int_equal(at, 100);
    }
    assert_int_equal(weir_ip4_slices(&g.pkt, 0, p, 3), 4);
    assert_int_equal(weir_ip4_slices(&g.pkt, 0, p, 4), 4);
    assert_int_equal(weir_ip4_slices(&g.pkt, 26, p, 3), 3);
    assert_int_equal(weir_ip4_slices(&g.pkt, 100, p, 0), 0);
}

/* Sums by the book: pairs of bytes. */
static uint16_t naive_csum(uint32_t src, uint32_t dst, uint8_t proto, const uint8_t *p, uint32_t n)
{
    uint64_t sum = (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff) + proto + n;
    for (uint32_t i = 0; i < n; i++)
        sum += i % 2 == 0 ? (uint64_t)p[i] << 8 : p[i];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static unsigned random_cuts(uint64_t *seed, uint32_t cuts[8])
{
    unsigned n = zfixture_random(seed, 9);
    uint32_t at = 34 + 20;
    for (unsigned i = 0; i < n; i++) {
        at += zfixture_random(seed, (in.n - at) / 2 + 1);
        cuts[i] = at;
    }
    return n;
}

static void sums_pieces_of_any_length(void **state)
{
    (void)state;
    uint64_t seed = zfixture_seed();
    for (int i = 0; i < 500; i++) {
        uint32_t n = 20 + zfixture_random(&seed, 3000), cuts[8];
        make(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, n);
        uint8_t *t = in.bytes + 34;
        weir_put_be16(t + 16, 0);
        weir_put_be16(t + 16, naive_csum(RIG_PEER, RIG_OUR_IP, WEIR_PROTO_TCP, t, n));
        in.n += zfixture_random(&seed, 30); /* padding that is not to be summed */
        memset(in.bytes + 34 + n, 0x5a, 30);
        assert_int_equal(receive_cut(cuts, random_cuts(&seed, cuts)), WEIR_V_PASS);
        assert_true(weir_ip4_csum_ok(&g.pkt));
        uint32_t at = zfixture_random(&seed, n);
        struct weir_piece p[WEIR_FRAME_PIECES_MAX];
        assert_true(weir_ip4_slices(&g.pkt, at, p, WEIR_FRAME_PIECES_MAX) > 0);
        p[0].addr[0] ^= 0x10;
        assert_false(weir_ip4_csum_ok(&g.pkt));
        g.frame.flags = WEIR_FRAME_CSUM_GOOD;
        assert_true(weir_ip4_csum_ok(&g.pkt));
        g.frame.flags = WEIR_FRAME_CSUM_NEEDED;
        assert_true(weir_ip4_csum_ok(&g.pkt));
    }
}

/* Bytes of packets turned at random, and cut at random: counted once or passed with members that lie in the
 * frame. */
static void survives_noise(void **state)
{
    (void)state;
    uint64_t seed = zfixture_seed();
    g.ip.error_tokens = 0; /* time stands still: replies end in RATE alone */
    for (int i = 0; i < 20000; i++) {
        uint32_t cuts[2] = {1 + zfixture_random(&seed, 80)};
        make(RIG_PEER, RIG_OUR_IP, (uint8_t)(zfixture_random(&seed, 2) ? WEIR_PROTO_TCP : WEIR_PROTO_ICMP),
             zfixture_random(&seed, 60));
        for (uint32_t k = zfixture_random(&seed, 4); k > 0; k--)
            in.bytes[14 + zfixture_random(&seed, 40)] = (uint8_t)zfixture_random(&seed, 256);
        if (zfixture_random(&seed, 4) != 0) rig_in_header_csum(&in);
        in.n = zfixture_random(&seed, 4) == 0 ? zfixture_random(&seed, in.n) : in.n;
        cuts[0] = cuts[0] < in.n ? cuts[0] : in.n;
        uint64_t all = rig_drops_all() - rig_drops(WEIR_DROP_RATE);
        enum weir_verdict v = receive_cut(cuts, zfixture_random(&seed, 2));
        assert_int_equal(rig_drops_all() - rig_drops(WEIR_DROP_RATE), all + (v == WEIR_V_DROP));
        if (v != WEIR_V_PASS) continue;
        assert_true(g.pkt.l4_at + g.pkt.l4_bytes <= g.frame.bytes);
        assert_true(g.pkt.l4_at + g.pkt.l4_here <= g.piece[0].bytes);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fills_in_the_packet),
        TEST(ignores_padding),
        TEST(refuses_impossible_sources),
        TEST(refuses_what_is_for_others),
        TEST(refuses_fragments),
        TEST(refuses_wrong_headers),
        TEST(refuses_every_truncation),
        TEST(skips_options),
        TEST(tells_that_a_protocol_is_unknown),
        TEST(wants_headers_in_the_first_piece),
        TEST(takes_the_largest_packet),
        TEST(slices_from_any_byte),
        TEST(sums_pieces_of_any_length),
        TEST(survives_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
