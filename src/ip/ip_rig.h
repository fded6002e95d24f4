/* ip_rig.h: for tests: an instance's IP half over two devices that write down what they are given, and
 * packets made by hand in posted zbufs.
 *
 *     interface 0: Ethernet, 10.9.0.2/24, gateway 10.9.0.1
 *     interface 1: raw IP, 10.9.0.130/25 (a longer prefix inside the first), no gateway */
#ifndef WEIR_IP_RIG_H
#define WEIR_IP_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/csum.h"
#include "ip/ip4.h"
#include "link/link_rig.h"
#include "wire/arp.h"
#include "wire/eth.h"

#define RIG_OUR_IP  0x0a090002u
#define RIG_OUR_IP2 0x0a090082u
#define RIG_PEER    0x0a090001u
#define RIG_PEER2   0x0a090083u
#define RIG_ENTRIES 8u
#define RIG_QUEUE   2u
#define RIG_RATE    10u

static const uint8_t rig_peer_mac[6] = {2, 0, 0, 0, 0, 1};

static struct ip_rig {
    struct zfixture f;
    struct weir_ip ip;
    struct rig_dev d[2];
    struct rig_queue arrays[2];
    struct weir_neigh_entry entry[RIG_ENTRIES];
    uint32_t bucket[RIG_ENTRIES];
    struct weir_neigh_wait wait[WEIR_NEIGH_WAITS(RIG_QUEUE)];
    struct weir_frame frame; /* the packet that rig_packet made */
    struct weir_piece piece[WEIR_FRAME_PIECES_MAX];
    struct weir_rxpkt pkt;
} g;

static inline void rig_ifc(unsigned i, uint32_t addr, uint32_t mask, uint32_t gateway)
{
    struct weir_ifc *c = &g.ip.ifc[i];
    rig_dev_init(&g.d[i]);
    c->dev = &g.d[i].dev;
    c->addr = addr;
    c->mask = mask;
    c->gateway = gateway;
    c->mtu = 1500;
    c->up = 1;
    weir_txq_init(&c->txq, c->dev, &g.f.z, &g.f.stats, g.arrays[i].frame, g.arrays[i].piece, RIG_BURST);
}

static inline int rig_open(void **state)
{
    static const uint32_t counts[] = {64, 64, 16, 0};
    static const struct weir_sipkey key = {1, 2};
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 2};
    struct weir_config conf = zfixture_config(WEIR_ZLAYOUT_DENSE, counts);
    (void)state;
    memset(&g, 0, sizeof(g));
    zfixture_open(&g.f, &conf);
    g.ip.z = &g.f.z;
    g.ip.stats = &g.f.stats;
    g.ip.errors_per_s = g.ip.error_tokens = RIG_RATE;
    g.ip.n_ifc = 2;
    rig_ifc(0, RIG_OUR_IP, 0xffffff00, RIG_PEER);
    rig_ifc(1, RIG_OUR_IP2, 0xffffff80, 0);
    g.ip.ifc[0].ether = 1;
    g.d[1].dev.caps.link = WEIR_LINK_RAW_IP;
    memcpy(g.ip.ifc[0].mac, mac, 6);
    weir_ip4_note_ifc(&g.ip.ifc[0]);
    weir_ip4_note_ifc(&g.ip.ifc[1]);
    weir_neigh_init(&g.ip.ifc[0].neigh, &g.ip.ifc[0].txq, &g.f.z, &g.f.stats, &key, g.entry, RIG_ENTRIES,
                    g.bucket, g.wait, RIG_QUEUE, mac, RIG_OUR_IP, 0xffffff00);
    return 0;
}

static inline uint64_t rig_drops(enum weir_drop why)
{
    return g.f.stats.drops[why];
}

static inline uint64_t rig_drops_all(void)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < WEIR_DROPS; i++)
        n += g.f.stats.drops[i];
    return n;
}

/* Frames that device i has been given. */
static inline uint32_t rig_count(unsigned i)
{
    weir_txq_flush(&g.ip.ifc[i].txq);
    return g.d[i].n;
}

static inline void rig_free(struct weir_piece *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        weir_zpool_unref(&g.f.z, weir_zpool_head(&g.f.z, p[i].addr), WEIR_OWNER_POSTED);
}

/* Takes the packet back, as the stack does after a burst. */
static inline void rig_packet_done(void)
{
    rig_free(g.piece, g.frame.n_pieces);
    g.frame.n_pieces = 0;
}

/* At the end nothing is held by anybody. */
static inline int rig_close(void **state)
{
    (void)state;
    rig_packet_done();
    weir_neigh_close(&g.ip.ifc[0].neigh);
    rig_count(0);
    rig_count(1);
    int left = (int)g.f.z.live, broken = weir_zpool_check(&g.f.z);
    zfixture_close(&g.f);
    if (left || broken) fprintf(stderr, "zbufs left: %d, pool check: %d\n", left, broken);
    return left != 0 || broken != 0;
}

/* bytes[0..n) as a received frame in posted zbufs, cut after each of cuts[0..n_cuts); a zbuf holds at most
 * 4,096. */
static inline void rig_frame_in(const uint8_t *bytes, uint32_t n, const uint32_t *cuts, unsigned n_cuts)
{
    uint32_t at = 0;
    rig_packet_done();
    for (unsigned i = 0; at < n || i == 0; i++) {
        uint32_t end = i < n_cuts ? cuts[i] : n;
        if (end - at > 4096) end = at + 4096;
        struct weir_zhead *h = weir_zpool_take(&g.f.z, end - at > 0 ? end - at : 1, WEIR_TAKE_POST);
        if (h == NULL) zfixture_die("no zbuf for a frame");
        g.piece[i] = (struct weir_piece){weir_zpool_first(&g.f.z, h), end - at};
        memcpy(g.piece[i].addr, bytes + at, end - at);
        g.frame.n_pieces = (uint16_t)(i + 1);
        at = end;
    }
    g.frame.pieces = g.piece;
    g.frame.bytes = n;
    g.frame.flags = 0;
    memset(&g.pkt, 0, sizeof(g.pkt));
    g.pkt.frame = &g.frame;
    g.pkt.ifc = &g.ip.ifc[0];
}

/* A packet to be received, before it is cut. */
struct rig_in {
    uint8_t bytes[70000];
    uint32_t n; /* so far, with an Ethernet header of zeros in front */
    uint32_t l4_at;
};

static inline void rig_in_init(struct rig_in *in, uint32_t src, uint32_t dst, uint8_t proto,
                               const uint8_t *options, uint32_t option_bytes)
{
    struct weir_ip4hdr h = {.src = src, .dst = dst, .ttl = 64, .proto = proto};
    memset(in, 0, sizeof(*in));
    weir_ip4hdr_emit(in->bytes + WEIR_ETH_BYTES, &h);
    if (option_bytes > 0) memcpy(in->bytes + WEIR_ETH_BYTES + WEIR_IP4_BYTES, options, option_bytes);
    in->bytes[WEIR_ETH_BYTES] = (uint8_t)(0x40 | (WEIR_IP4_BYTES + option_bytes) / 4);
    in->l4_at = in->n = WEIR_ETH_BYTES + WEIR_IP4_BYTES + option_bytes;
}

static inline void rig_in_add(struct rig_in *in, const void *p, uint32_t n)
{
    memcpy(in->bytes + in->n, p, n);
    in->n += n;
}

static inline void rig_in_header_csum(struct rig_in *in)
{
    uint8_t *h = in->bytes + WEIR_ETH_BYTES;
    weir_put_be16(h + 10, 0);
    weir_put_be16(h + 10, weir_csum_done(weir_csum_add(0, h, in->l4_at - WEIR_ETH_BYTES, 0)));
}

/* Length and checksum of the IP header, once everything is there. */
static inline void rig_in_finish(struct rig_in *in)
{
    weir_put_be16(in->bytes + WEIR_ETH_BYTES + 2, (uint16_t)(in->n - WEIR_ETH_BYTES));
    rig_in_header_csum(in);
}

/* Makes the checksum at `field` of an ICMP message right. */
static inline void rig_in_icmp_csum(struct rig_in *in)
{
    uint8_t *m = in->bytes + in->l4_at;
    weir_put_be16(m + 2, 0);
    weir_put_be16(m + 2, weir_csum_done(weir_csum_add(0, m, in->n - in->l4_at, 0)));
}

static inline enum weir_verdict rig_receive(struct rig_in *in)
{
    rig_frame_in(in->bytes, in->n, NULL, 0);
    return weir_ip4_input(&g.ip, &g.pkt, WEIR_ETH_BYTES);
}

/* The peer answers the request that is out. */
static inline void rig_peer_answers(void)
{
    uint8_t p[WEIR_ARP_BYTES];
    struct weir_arp a = {.op = WEIR_ARP_REPLY, .spa = RIG_PEER, .tpa = RIG_OUR_IP};
    memcpy(a.sha, rig_peer_mac, 6);
    weir_arp_emit(p, &a);
    assert_int_equal(weir_neigh_input(&g.ip.ifc[0].neigh, p, sizeof(p), g.ip.now_ms), WEIR_V_DONE);
}

/* The peer is known from here on; no frames of that remain counted. */
static inline void rig_know_peer(void)
{
    uint8_t mac[6];
    weir_neigh_resolve(&g.ip.ifc[0].neigh, RIG_PEER, g.ip.now_ms, mac);
    rig_peer_answers();
    rig_count(0);
    g.d[0].n = 0;
}

#endif
