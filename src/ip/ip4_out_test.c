/* ip4_out_test.c: header blocks, headers, checksums and large segments on their way out, and datagrams that
 * wait. */
#include "ip/ip_rig.h"

#include "wire/tcphdr.h"

static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 1};
static struct weir_zhead *held[4]; /* payload zbufs of a test */
static struct weir_piece payload[4];

/* n payload pieces of these lengths; returns the bytes. */
static uint32_t make_payload(const uint32_t *len, unsigned n)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < n; i++) {
        held[i] = weir_zpool_take(&g.f.z, len[i], WEIR_TAKE_POST);
        assert_non_null(held[i]);
        payload[i] = (struct weir_piece){weir_zpool_first(&g.f.z, held[i]), len[i]};
        for (uint32_t k = 0; k < len[i]; k++)
            payload[i].addr[k] = (uint8_t)(sum++ * 13 + 5);
    }
    return sum;
}

/* Everything was sent or dropped: the test's own references are the only ones left. */
static void done_payload(unsigned n)
{
    rig_count(0);
    rig_count(1);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(held[i]->stk, 1);
        weir_zpool_unref(&g.f.z, held[i], WEIR_OWNER_POSTED);
    }
}

static struct weir_outpkt packet(unsigned ifc, uint32_t l4_bytes, unsigned n_pieces, uint32_t payload_bytes)
{
    struct weir_outpkt o = {.l4 = weir_ip4_block(&g.ip, &g.ip.ifc[ifc])};
    assert_non_null(o.l4);
    if (!o.l4) abort(); /* for analysers, which do not know that the line above ends the test */
    memset(o.l4, 0x3c, l4_bytes);
    o.l4_bytes = l4_bytes;
    o.piece = payload;
    o.n_pieces = n_pieces;
    o.payload_bytes = payload_bytes;
    o.src = ifc == 0 ? RIG_OUR_IP : RIG_OUR_IP2;
    o.dst = ifc == 0 ? RIG_PEER : RIG_PEER2;
    o.proto = WEIR_PROTO_TCP;
    return o;
}

/* The IPv4 packet of the last frame, checked against the frame's length. */
static const uint8_t *last_ip(unsigned ifc, struct weir_ip4hdr *h)
{
    uint32_t link = ifc == 0 ? WEIR_ETH_BYTES : 0;
    enum weir_drop why;
    assert_true(rig_count(ifc) > 0);
    const struct rig_frame *f = rig_sent(&g.d[ifc], 0);
    assert_true(weir_ip4hdr_parse(h, f->bytes + link, f->len - link, f->len - link, &why));
    assert_int_equal(h->total_bytes, f->len - link);
    return f->bytes + link;
}

static void writes_both_headers(void **state)
{
    (void)state;
    static const uint32_t len[] = {100, 33};
    struct weir_ip4hdr h;
    struct weir_eth eth;
    uint32_t n = make_payload(len, 2);
    struct weir_outpkt o = packet(0, 20, 2, n);
    o.tos = 0x28;
    g.ip.ifc[0].mac[5] = 0x42;
    weir_ip4_send(&g.ip, &g.ip.ifc[0], peer_mac, &o);
    const uint8_t *p = last_ip(0, &h);
    const struct rig_frame *f = rig_sent(&g.d[0], 0);
    assert_true(weir_eth_parse(&eth, f->bytes, f->len));
    assert_memory_equal(eth.dst, peer_mac, 6);
    assert_memory_equal(eth.src, g.ip.ifc[0].mac, 6);
    assert_int_equal(eth.type, WEIR_ETHERTYPE_IP4);
    assert_int_equal(h.src, RIG_OUR_IP);
    assert_int_equal(h.dst, RIG_PEER);
    assert_int_equal(h.proto, WEIR_PROTO_TCP);
    assert_int_equal(h.tos, 0x28);
    assert_int_equal(h.ttl, 64);
    assert_int_equal(h.frag, WEIR_IP4_DF);
    assert_int_equal(p[20], 0x3c);
    assert_memory_equal(p + 40, payload[0].addr, 100);
    assert_memory_equal(p + 140, payload[1].addr, 33);
    assert_ptr_equal(f->piece[1].addr, payload[0].addr);
    assert_int_equal(f->meta.flags, 0);
    done_payload(2);
}

static void counts_ids_and_takes_a_ttl(void **state)
{
    (void)state;
    struct weir_ip4hdr h;
    for (uint16_t i = 0; i < 3; i++) {
        struct weir_outpkt o = packet(0, 20, 0, 0);
        o.ttl = 1;
        weir_ip4_send(&g.ip, &g.ip.ifc[0], peer_mac, &o);
        last_ip(0, &h);
        assert_int_equal(h.id, i);
        assert_int_equal(h.ttl, 1);
    }
}

/* What the receiver's check says of the last frame. */
static bool good_csum(unsigned ifc)
{
    struct weir_ip4hdr h;
    const uint8_t *p = last_ip(ifc, &h);
    uint64_t sum = weir_csum_pseudo4(h.src, h.dst, h.proto, h.total_bytes - 20u);
    return weir_csum_done(weir_csum_add(sum, p + 20, h.total_bytes - 20u, 0)) == 0;
}

static void sums_over_odd_pieces(void **state)
{
    (void)state;
    for (uint32_t a = 0; a < 4; a++) {
        for (uint32_t b = 1; b < 4; b++) {
            const uint32_t len[] = {100 + a, b, 77};
            struct weir_outpkt o = packet(0, 20 + 4 * b, 3, make_payload(len, 3));
            o.csum = true;
            o.csum_field = WEIR_TCP_CSUM_AT;
            weir_ip4_send(&g.ip, &g.ip.ifc[0], peer_mac, &o);
            assert_true(good_csum(0));
            assert_int_equal(rig_sent(&g.d[0], 0)->meta.flags, 0);
            done_payload(3);
        }
    }
}

/* A UDP checksum that comes out as 0 is sent as 0xffff. */
static void udp_never_sends_a_sum_of_zero(void **state)
{
    (void)state;
    struct weir_outpkt o = packet(0, 8, 0, 0);
    memset(o.l4, 0, 8);
    o.proto = WEIR_PROTO_UDP;
    o.csum = true;
    o.csum_field = 6;
    uint64_t pseudo = weir_csum_pseudo4(o.src, o.dst, o.proto, 8);
    weir_put_be16(o.l4, (uint16_t)~weir_csum_fold(pseudo));
    weir_ip4_send(&g.ip, &g.ip.ifc[0], peer_mac, &o);
    struct weir_ip4hdr h;
    assert_int_equal(weir_be16(last_ip(0, &h) + 26), 0xffff);
}

static void leaves_the_checksum_to_the_device(void **state)
{
    (void)state;
    for (unsigned ifc = 0; ifc < 2; ifc++) {
        const uint32_t len[] = {999};
        struct weir_ip4hdr h;
        g.d[ifc].dev.caps.offloads = WEIR_OFF_TX_CSUM;
        struct weir_outpkt o = packet(ifc, 32, 1, make_payload(len, 1));
        o.csum = true;
        o.csum_field = WEIR_TCP_CSUM_AT;
        weir_ip4_send(&g.ip, &g.ip.ifc[ifc], peer_mac, &o);
        const uint8_t *p = last_ip(ifc, &h);
        const struct weir_frame *f = &rig_sent(&g.d[ifc], 0)->meta;
        assert_int_equal(f->flags, WEIR_FRAME_CSUM_NEEDED);
        assert_int_equal(f->csum_start, ifc == 0 ? 34 : 20);
        assert_int_equal(f->csum_field, WEIR_TCP_CSUM_AT);
        assert_int_equal(weir_be16(p + 36),
                         weir_csum_fold(weir_csum_pseudo4(o.src, o.dst, o.proto, 32 + 999)));
        /* What the device does with it: sum from csum_start on, over what the field holds. */
        uint16_t sum = weir_csum_done(weir_csum_add(0, p + 20, 32 + 999, 0));
        weir_put_be16((uint8_t *)(uintptr_t)(p + 36), sum);
        uint64_t all = weir_csum_add(weir_csum_pseudo4(o.src, o.dst, o.proto, 32 + 999), p + 20, 32 + 999, 0);
        assert_int_equal(weir_csum_done(all), 0);
        done_payload(1);
    }
}

static void asks_for_cutting_only_beyond_one_segment(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1448, 1449, 4000};
    g.d[0].dev.caps.offloads = WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4;
    for (unsigned i = 0; i < 3; i++) {
        struct weir_outpkt o = packet(0, 32, 1, make_payload(&sizes[i], 1));
        o.csum = true;
        o.csum_field = WEIR_TCP_CSUM_AT;
        o.gso_bytes = 1448;
        weir_ip4_send(&g.ip, &g.ip.ifc[0], peer_mac, &o);
        rig_count(0);
        const struct weir_frame *f = &rig_sent(&g.d[0], 0)->meta;
        bool cut = sizes[i] > 1448;
        assert_int_equal(f->flags, WEIR_FRAME_CSUM_NEEDED | (cut ? WEIR_FRAME_TSO4 : 0));
        assert_int_equal(f->gso_bytes, cut ? 1448 : 0);
        assert_int_equal(f->hdr_bytes, cut ? 66 : 0);
        done_payload(1);
    }
}

static void begins_frames_on_the_alignment(void **state)
{
    (void)state;
    for (unsigned ifc = 0; ifc < 2; ifc++) {
        for (uint32_t align = 1; align <= WEIR_BASE_ALIGN; align *= 2) {
            g.d[ifc].dev.caps.base_align = align;
            weir_ip4_note_ifc(&g.ip.ifc[ifc]);
            struct weir_outpkt o = packet(ifc, WEIR_TCP_BYTES_MAX, 0, 0);
            uint8_t *first = weir_zpool_first(&g.f.z, weir_zpool_head(&g.f.z, o.l4));
            assert_true(o.l4 + WEIR_TCP_BYTES_MAX <= first + WEIR_ZCLASS_MIN);
            if (align <= 2) assert_ptr_equal(o.l4, first + WEIR_L4_AT);
            weir_ip4_send(&g.ip, &g.ip.ifc[ifc], peer_mac, &o);
            rig_count(ifc);
            const uint8_t *start = rig_sent(&g.d[ifc], 0)->piece[0].addr;
            assert_true(start >= first);
            assert_int_equal((uintptr_t)start & (align - 1), 0);
        }
    }
}

static void gives_blocks_back(void **state)
{
    (void)state;
    uint32_t live = g.f.z.live;
    uint8_t *l4 = weir_ip4_block(&g.ip, &g.ip.ifc[0]);
    assert_int_equal(g.f.z.live, live + 1);
    weir_ip4_block_drop(&g.ip, l4);
    assert_int_equal(g.f.z.live, live);
    static uint8_t *all[4096];
    uint32_t n = 0;
    while (n < 4096 && (all[n] = weir_ip4_block(&g.ip, &g.ip.ifc[1])) != NULL)
        n++;
    assert_true(n > 0 && n < 4096);
    while (n > 0)
        weir_ip4_block_drop(&g.ip, all[--n]);
}

static void tells_whether_it_could_go(void **state)
{
    (void)state;
    uint8_t mac[6];
    struct weir_ifc *c = &g.ip.ifc[0];
    assert_int_equal(weir_ip4_ready(&g.ip, c, RIG_PEER, 3, mac), WEIR_SEND_WAIT_NEIGH);
    rig_know_peer();
    assert_int_equal(weir_ip4_ready(&g.ip, c, RIG_PEER, 3, mac), WEIR_SEND_OK);
    assert_memory_equal(mac, rig_peer_mac, 6);
    g.d[0].room = 0;
    for (unsigned i = 0; i < 2 * RIG_BURST; i++) { /* what is pushed fills the burst and then the device */
        if (weir_ip4_ready(&g.ip, c, RIG_PEER, 3, mac) != WEIR_SEND_OK) break;
        struct weir_outpkt o = packet(0, 20, 0, 0);
        weir_ip4_send(&g.ip, c, mac, &o);
    }
    assert_int_equal(weir_ip4_ready(&g.ip, c, RIG_PEER, 3, mac), WEIR_SEND_WAIT_ROOM);
    c->up = 0;
    assert_int_equal(weir_ip4_ready(&g.ip, c, RIG_PEER, 3, mac), WEIR_SEND_NO_ROUTE);
    assert_int_equal(weir_ip4_ready(&g.ip, &g.ip.ifc[1], RIG_PEER2, 3, mac), WEIR_SEND_OK);
}

static void refuses_what_is_too_long(void **state)
{
    (void)state;
    struct weir_outpkt o = packet(0, 20, 0, 65536 - 40);
    weir_ip4_send(&g.ip, &g.ip.ifc[0], peer_mac, &o);
    o = packet(0, 20, WEIR_FRAME_PIECES_MAX, 48);
    weir_ip4_send(&g.ip, &g.ip.ifc[0], peer_mac, &o);
    assert_int_equal(rig_drops(WEIR_DROP_TX_REFUSED), 2);
    assert_int_equal(rig_count(0), 0);
}

static void datagrams_wait_for_their_neighbour(void **state)
{
    (void)state;
    static const uint32_t len[] = {10, 20, 30};
    struct weir_ip4hdr h;
    struct weir_outpkt o = packet(0, 8, 3, make_payload(len, 3));
    o.dst = 0x08080808; /* by the gateway, which is the peer */
    weir_ip4_datagram(&g.ip, &o);
    assert_int_equal(rig_count(0), 1); /* the request */
    assert_int_equal(held[0]->stk, 2);
    rig_peer_answers();
    assert_int_equal(rig_count(0), 2);
    const uint8_t *p = last_ip(0, &h);
    assert_int_equal(h.dst, 0x08080808);
    assert_memory_equal(p - 14, rig_peer_mac, 6);
    assert_memory_equal(p + 28, payload[0].addr, 10);
    assert_memory_equal(p + 58, payload[2].addr, 30);
    assert_int_equal(rig_drops_all(), 0);
    done_payload(3);
}

static void datagrams_that_cannot_go_are_counted(void **state)
{
    (void)state;
    uint32_t next;
    struct weir_outpkt o = packet(0, 8, 0, 0);
    o.dst = 0xffffffff;
    weir_ip4_datagram(&g.ip, &o);
    assert_int_equal(rig_drops(WEIR_DROP_NO_ROUTE), 1);
    o = packet(0, 8, 0, 0);
    weir_ip4_datagram(&g.ip, &o);
    for (int i = 0; i < 3; i++) {
        g.ip.now_ms += WEIR_NEIGH_RETRY_MS;
        weir_neigh_tick(&g.ip.ifc[0].neigh, g.ip.now_ms, &next);
    }
    assert_int_equal(rig_drops(WEIR_DROP_NEIGH_FAILED), 1);
    o = packet(0, 8, 0, 0);
    weir_ip4_datagram(&g.ip, &o);
    assert_int_equal(rig_drops(WEIR_DROP_NEIGH_FAILED), 2);
    static const uint32_t len[] = {1473};
    o = packet(0, 8, 1, make_payload(len, 1));
    weir_ip4_datagram(&g.ip, &o);
    assert_int_equal(rig_drops(WEIR_DROP_TX_REFUSED), 1);
    done_payload(1);
    g.d[1].room = 0;
    o = packet(1, 8, 0, 0);
    weir_ip4_datagram(&g.ip, &o);
    rig_count(1);
    assert_int_equal(rig_drops(WEIR_DROP_TX_REFUSED), 2);
    assert_int_equal(rig_drops_all(), 5);
}

/* A block made for an interface of other needs is not sent on this one. */
static void datagrams_keep_the_alignment(void **state)
{
    (void)state;
    struct weir_outpkt o = packet(1, 8, 0, 0);
    rig_know_peer();
    g.d[0].dev.caps.base_align = 64;
    o.dst = RIG_PEER;
    weir_ip4_datagram(&g.ip, &o);
    assert_int_equal(rig_drops(WEIR_DROP_TX_REFUSED), 1);
    assert_int_equal(rig_count(0), 0);
}

static void datagrams_are_cut_to_what_the_device_takes(void **state)
{
    (void)state;
    static const uint32_t len[] = {1000};
    rig_know_peer();
    uint32_t n = make_payload(len, 1);
    g.d[0].dev.caps.max_piece_bytes = 400;
    struct weir_outpkt o = packet(0, 8, 1, n);
    weir_ip4_datagram(&g.ip, &o);
    assert_int_equal(rig_count(0), 1);
    assert_int_equal(rig_sent(&g.d[0], 0)->meta.n_pieces, 4);
    assert_memory_equal(rig_sent(&g.d[0], 0)->bytes + 42, payload[0].addr, n);
    g.d[0].dev.caps.max_pieces = 3;
    o = packet(0, 8, 1, n);
    weir_ip4_datagram(&g.ip, &o);
    assert_int_equal(rig_drops(WEIR_DROP_TX_REFUSED), 1);
    g.d[0].dev.caps.max_pieces = 8;
    g.d[0].dev.caps.max_piece_bytes = 300;
    o = packet(0, 8, 1, n);
    weir_ip4_datagram(&g.ip, &o);
    assert_int_equal(rig_drops(WEIR_DROP_TX_REFUSED), 2);
    g.d[0].dev.caps.max_piece_bytes = 0;
    g.d[0].dev.caps.boundary = 512;
    o = packet(0, 8, 1, n);
    weir_ip4_datagram(&g.ip, &o);
    assert_int_equal(rig_count(0), 2);
    for (uint32_t i = 0; i < rig_sent(&g.d[0], 0)->meta.n_pieces; i++) {
        const struct weir_piece *p = &rig_sent(&g.d[0], 0)->piece[i];
        assert_int_equal((uintptr_t)p->addr / 512, ((uintptr_t)p->addr + p->bytes - 1) / 512);
    }
    done_payload(1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(writes_both_headers),
        TEST(counts_ids_and_takes_a_ttl),
        TEST(sums_over_odd_pieces),
        TEST(udp_never_sends_a_sum_of_zero),
        TEST(leaves_the_checksum_to_the_device),
        TEST(asks_for_cutting_only_beyond_one_segment),
        TEST(begins_frames_on_the_alignment),
        TEST(gives_blocks_back),
        TEST(tells_whether_it_could_go),
        TEST(refuses_what_is_too_long),
        TEST(datagrams_wait_for_their_neighbour),
        TEST(datagrams_that_cannot_go_are_counted),
        TEST(datagrams_keep_the_alignment),
        TEST(datagrams_are_cut_to_what_the_device_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
