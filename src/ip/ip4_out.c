/* ip4_out.c: the way out: header blocks, IPv4 and Ethernet headers in front of the transport's, checksums,
 * the burst.
 *
 * A header block is a zbuf of the smallest class. Headers lie in it back to front, so that one piece has them
 * all and the frame begins where the device wants it to:
 *
 *     block  | gap | Ethernet 14 | IPv4 20 | transport header ........ |
 *                  ^ frame: at 2 (IPv4 4-byte aligned), at 0 where base_align > 2
 *                                          ^ l4: at 36, or 34; without Ethernet at 36, or as base_align wants
 * it */
#include <string.h>

#include "base/bits.h"
#include "base/csum.h"
#include "base/order.h"
#include "ip/ip4.h"
#include "wire/eth.h"

#define L3_BYTES_MAX 65535u

_Static_assert(WEIR_L4_AT + 60 <= WEIR_ZCLASS_MIN, "a header block holds a TCP header with all options");

void weir_ip4_note_ifc(struct weir_ifc *ifc)
{
    const struct weir_netdev_caps *caps = &ifc->dev->caps;
    uint32_t lower = weir_ip4_lower(ifc), base_mask = caps->base_align - 1u;
    uint8_t word[8] = {0};
    memcpy(word, ifc->mac, sizeof ifc->mac);
    ifc->mac_word = weir_mac_word(word);
    ifc->l4_at = ((WEIR_L4_AT - lower) & ~base_mask) + lower;
    ifc->piece_max = caps->boundary != 0          ? 0
                     : caps->max_piece_bytes != 0 ? caps->max_piece_bytes
                                                  : UINT32_MAX;
}

void weir_ip4_block_drop(struct weir_ip *ip, uint8_t *l4)
{
    weir_zpool_unref(ip->z, weir_zpool_head(ip->z, l4), WEIR_OWNER_TXWAIT);
}

enum weir_send weir_ip4_ready(struct weir_ip *ip, struct weir_ifc *ifc, uint32_t next_hop, uint32_t pieces,
                              uint8_t mac[6])
{
    if (!ifc->up) return WEIR_SEND_NO_ROUTE;
    if (ifc->ether) {
        enum weir_send s = weir_neigh_resolve(&ifc->neigh, next_hop, ip->now_ms, mac);
        if (s != WEIR_SEND_OK) return s;
    }
    return weir_txq_room(&ifc->txq, pieces) ? WEIR_SEND_OK : WEIR_SEND_WAIT_ROOM;
}

static uint32_t l4_total(const struct weir_outpkt *o)
{
    return o->l4_bytes + o->payload_bytes;
}

/* The checksum over header and payload; its field holds 0. */
static uint16_t sum_all(const struct weir_outpkt *o, uint64_t pseudo)
{
    uint64_t sum = weir_csum_add(pseudo, o->l4, o->l4_bytes, 0);
    uint32_t done = o->l4_bytes;
    for (uint32_t i = 0; i < o->n_pieces; i++) {
        sum = weir_csum_add(sum, o->piece[i].addr, o->piece[i].bytes, done & 1);
        done += o->piece[i].bytes;
    }
    uint16_t csum = weir_csum_done(sum);
    /* In UDP 0 means that there is none (RFC 768). */
    return csum == 0 && o->proto == WEIR_PROTO_UDP ? 0xffff : csum;
}

static void put_csum(const struct weir_ifc *ifc, const struct weir_outpkt *o, struct weir_frame *f)
{
    uint64_t pseudo = weir_csum_pseudo4(o->src, o->dst, o->proto, l4_total(o));
    uint8_t *field = o->l4 + o->csum_field;
    weir_put_be16(field, 0);
    if ((ifc->dev->caps.offloads & WEIR_OFF_TX_CSUM) == 0) {
        weir_put_be16(field, sum_all(o, pseudo));
        return;
    }
    weir_put_be16(field, weir_csum_fold(pseudo));
    f->flags |= WEIR_FRAME_CSUM_NEEDED;
    f->csum_start = (uint16_t)weir_ip4_lower(ifc);
    f->csum_field = o->csum_field;
}

static void put_gso(const struct weir_ifc *ifc, const struct weir_outpkt *o, struct weir_frame *f)
{
    if (o->gso_bytes == 0 || o->payload_bytes <= o->gso_bytes) return;
    f->flags |= WEIR_FRAME_TSO4;
    f->gso_bytes = o->gso_bytes;
    f->hdr_bytes = (uint16_t)(weir_ip4_lower(ifc) + o->l4_bytes);
}

/* The frame but for its Ethernet header; f->pieces has 1 + n_pieces places. */
static void build(struct weir_ifc *ifc, const struct weir_outpkt *o, struct weir_frame *f)
{
    uint32_t lower = weir_ip4_lower(ifc);
    struct weir_ip4hdr h = {
        .src = o->src,
        .dst = o->dst,
        .total_bytes = (uint16_t)(WEIR_IP4_BYTES + l4_total(o)),
        .id = ifc->ip_id++,
        .frag = WEIR_IP4_DF,
        .tos = o->tos,
        .ttl = o->ttl != 0 ? o->ttl : (uint8_t)WEIR_IP4_TTL,
        .proto = o->proto,
    };
    weir_ip4hdr_emit(o->l4 - WEIR_IP4_BYTES, &h);
    f->pieces[0] = (struct weir_piece){o->l4 - lower, lower + o->l4_bytes};
    if (o->n_pieces > 0) memcpy(&f->pieces[1], o->piece, o->n_pieces * sizeof(o->piece[0]));
    f->n_pieces = (uint16_t)(1 + o->n_pieces);
    f->bytes = lower + l4_total(o);
    if (o->csum) put_csum(ifc, o, f);
    put_gso(ifc, o, f);
}

static void push(struct weir_ifc *ifc, const uint8_t mac[6], struct weir_frame *f)
{
    if (ifc->ether) {
        struct weir_eth eth = {.type = WEIR_ETHERTYPE_IP4};
        memcpy(eth.dst, mac, sizeof(eth.dst));
        memcpy(eth.src, ifc->mac, sizeof(eth.src));
        weir_eth_emit(f->pieces[0].addr, &eth);
    }
    weir_txq_push(&ifc->txq, f);
}

void weir_ip4_send(struct weir_ip *ip, struct weir_ifc *ifc, const uint8_t mac[6],
                   const struct weir_outpkt *o)
{
    struct weir_piece piece[WEIR_FRAME_PIECES_MAX];
    struct weir_frame f = {.pieces = piece};
    if (o->n_pieces >= WEIR_FRAME_PIECES_MAX || l4_total(o) > L3_BYTES_MAX - WEIR_IP4_BYTES) {
        if (!ifc->txq.bare_next) weir_ip4_block_drop(ip, o->l4); /* else the flush brings it back */
        ifc->txq.bare_next = false;
        ip->stats->drops[WEIR_DROP_TX_REFUSED]++;
        return;
    }
    build(ifc, o, &f);
    push(ifc, mac, &f);
}

/* The bytes from p on that may be one piece of this device. */
static uint32_t cut_at(const struct weir_netdev_caps *caps, const uint8_t *p, uint32_t bytes)
{
    if (caps->boundary != 0) {
        uint32_t to_boundary = caps->boundary - (uint32_t)((uintptr_t)p & (caps->boundary - 1));
        bytes = weir_min_u32(bytes, to_boundary);
    }
    return caps->max_piece_bytes != 0 ? weir_min_u32(bytes, caps->max_piece_bytes) : bytes;
}

/* The payload in pieces that the device takes; more than WEIR_DATAGRAM_PIECES: they are too many. */
static uint32_t cut(const struct weir_netdev_caps *caps, const struct weir_outpkt *o,
                    struct weir_piece out[WEIR_DATAGRAM_PIECES])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n_pieces; i++) {
        struct weir_piece rest = o->piece[i];
        while (rest.bytes > 0) {
            if (n == WEIR_DATAGRAM_PIECES) return n + 1;
            out[n] = (struct weir_piece){rest.addr, cut_at(caps, rest.addr, rest.bytes)};
            rest.addr += out[n].bytes;
            rest.bytes -= out[n++].bytes;
        }
    }
    return n;
}

/* Whether the device takes a frame of this header block and so many pieces and bytes. */
static bool fits(const struct weir_ifc *ifc, const struct weir_outpkt *o)
{
    uintptr_t start = (uintptr_t)o->l4 - weir_ip4_lower(ifc);
    return o->n_pieces <= WEIR_DATAGRAM_PIECES && 1 + o->n_pieces <= ifc->dev->caps.max_pieces &&
           WEIR_IP4_BYTES + l4_total(o) <= ifc->mtu && (start & (ifc->dev->caps.base_align - 1u)) == 0;
}

static void give_up(struct weir_ip *ip, const struct weir_outpkt *o, enum weir_drop why)
{
    weir_ip4_block_drop(ip, o->l4);
    ip->stats->drops[why]++;
}

static void queue(struct weir_ip *ip, struct weir_ifc *ifc, uint32_t next_hop, const struct weir_outpkt *o)
{
    struct weir_piece piece[1 + WEIR_DATAGRAM_PIECES];
    struct weir_frame f = {.pieces = piece};
    build(ifc, o, &f);
    weir_neigh_queue(&ifc->neigh, next_hop, &f, ip->now_ms);
}

void weir_ip4_datagram(struct weir_ip *ip, const struct weir_outpkt *o)
{
    uint32_t next_hop = 0;
    uint8_t mac[6] = {0};
    struct weir_piece piece[WEIR_DATAGRAM_PIECES];
    struct weir_ifc *ifc = weir_ip4_route(ip, o->dst, &next_hop);
    if (ifc == NULL) {
        give_up(ip, o, WEIR_DROP_NO_ROUTE);
        return;
    }
    struct weir_outpkt d = *o;
    d.n_pieces = cut(&ifc->dev->caps, o, piece);
    d.piece = piece;
    if (!fits(ifc, &d)) {
        give_up(ip, &d, WEIR_DROP_TX_REFUSED);
        return;
    }
    switch (weir_ip4_ready(ip, ifc, next_hop, 1 + d.n_pieces, mac)) {
    case WEIR_SEND_OK:
        weir_ip4_send(ip, ifc, mac, &d);
        break;
    case WEIR_SEND_WAIT_NEIGH:
        queue(ip, ifc, next_hop, &d);
        break;
    case WEIR_SEND_NO_NEIGH:
        give_up(ip, &d, WEIR_DROP_NEIGH_FAILED);
        break;
    default:
        give_up(ip, &d, WEIR_DROP_TX_REFUSED);
        break;
    }
}
