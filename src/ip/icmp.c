/* icmp.c: ICMP for IPv4 (RFC 792, RFC 1122 3.2.2): echo answered by reference to the received bytes, errors
 * about our TCP segments turned into notes for their connections, errors of our own within a rate.
 *
 * The rate is a bucket of errors_per_s tokens, filled as time passes. error_ms moves on only by the time that
 * the added tokens stand for, so that polling often loses no fractions. */
#include <string.h>

#include "base/bits.h"
#include "base/csum.h"
#include "base/order.h"
#include "ip/ip4.h"
#include "ip/ip4class.h"
#include "pkt/strict.h"
#include "wire/eth.h"

#define QUOTE_BYTES        8u /* of the transport header (RFC 792): TCP's ports and sequence number */
#define UNREACHABLE_LAST   15u
#define TIME_EXCEEDED_LAST 1u
#define PARAMETER_LAST     2u
#define FRAG_OFFSET        0x1fffu

_Static_assert(WEIR_L4_AT + WEIR_ICMP_BYTES + 60 + QUOTE_BYTES <= WEIR_ZCLASS_MIN,
               "an error fits a header block");

static enum weir_verdict dropped(struct weir_ip *ip, enum weir_drop why)
{
    ip->stats->drops[why]++;
    return WEIR_V_DROP;
}

bool weir_ip4_may_err(struct weir_ip *ip)
{
    uint64_t elapsed_ms = ip->now_ms - ip->error_ms;
    uint64_t add = elapsed_ms * ip->errors_per_s / 1000;
    if (add >= ip->errors_per_s - weir_min_u32(ip->error_tokens, ip->errors_per_s)) {
        ip->error_tokens = ip->errors_per_s;
        ip->error_ms = ip->now_ms;
    } else if (add > 0) {
        ip->error_tokens += (uint32_t)add;
        ip->error_ms += (uint32_t)(add * 1000 / ip->errors_per_s);
    }
    if (ip->error_tokens == 0) {
        ip->stats->drops[WEIR_DROP_RATE]++;
        return false;
    }
    ip->error_tokens--;
    return true;
}

/* A header block for the way to dst; NULL, and counted: there is none. */
static uint8_t *block_to(struct weir_ip *ip, uint32_t dst)
{
    uint32_t next_hop;
    const struct weir_ifc *ifc = weir_ip4_route(ip, dst, &next_hop);
    uint8_t *l4 = ifc != NULL ? weir_ip4_block(ip, ifc) : NULL;
    if (l4 == NULL) ip->stats->drops[ifc != NULL ? WEIR_DROP_NO_HEADER : WEIR_DROP_NO_ROUTE]++;
    return l4;
}

/* The message's sum without a pseudo-header: weir_ip4_l4_sum adds one, so its complement is added, which
 * makes 0. */
static bool csum_ok(const struct weir_rxpkt *pkt)
{
    uint64_t sum = weir_ip4_l4_sum(pkt);
    uint16_t pseudo =
        weir_csum_fold(weir_csum_pseudo4(pkt->ip.src, pkt->ip.dst, pkt->ip.proto, pkt->l4_bytes));
    return weir_csum_done(weir_csum_add16(sum, (uint16_t)~pseudo)) == 0;
}

/* The reply is the request with type 0 for 8 and the same payload, so its checksum follows from the old one
 * (RFC 1624). That can't tell 0 from 0xffff; 0xffff is right for either, 0 not where all the rest is 0 too.
 */
static uint16_t reply_csum(uint16_t csum)
{
    uint64_t sum = weir_csum_add16(0, (uint16_t)~csum);
    uint16_t reply = weir_csum_done(weir_csum_add16(sum, (uint16_t) ~(WEIR_ICMP_ECHO << 8)));
    return reply == 0 ? 0xffff : reply;
}

/* What is answered by reference stays taken until the device, or the queue for a neighbour, lets go of it: not from
 * below what received data must leave, nor from what strict windows have promised. */
static bool may_keep(const struct weir_ip *ip, const struct weir_piece *piece, uint32_t n)
{
    const struct weir_zhead *h = n > 0 ? weir_zpool_head(ip->z, piece->addr) : NULL;
    if (h == NULL) return true;
    return weir_zpool_can(ip->z, weir_zpool_class_asked(ip->z, h), WEIR_TAKE_INORDER, n) &&
           (ip->strict == NULL || weir_strict_ok(ip->strict, ip->z, n * weir_zpool_bytes(ip->z, h)));
}

static enum weir_verdict echo(struct weir_ip *ip, const struct weir_rxpkt *pkt, const struct weir_icmphdr *h)
{
    struct weir_piece payload[WEIR_DATAGRAM_PIECES];
    uint32_t n = weir_ip4_slices(pkt, WEIR_ICMP_BYTES, payload, WEIR_DATAGRAM_PIECES);
    if (n > WEIR_DATAGRAM_PIECES) return dropped(ip, WEIR_DROP_FRAME_PIECES);
    uint8_t *l4 = block_to(ip, pkt->ip.src);
    if (l4 == NULL) return WEIR_V_DROP;
    if (!may_keep(ip, payload, n)) {
        weir_ip4_block_drop(ip, l4);
        return dropped(ip, WEIR_DROP_NO_ZBUF);
    }
    struct weir_icmphdr reply = {
        .type = WEIR_ICMP_ECHO_REPLY, .code = h->code, .csum = reply_csum(h->csum), .rest = h->rest};
    weir_icmphdr_emit(l4, &reply);
    struct weir_outpkt o = {
        .l4 = l4,
        .l4_bytes = WEIR_ICMP_BYTES,
        .piece = payload,
        .n_pieces = n,
        .payload_bytes = pkt->l4_bytes - WEIR_ICMP_BYTES,
        .src = pkt->ip.dst,
        .dst = pkt->ip.src,
        .proto = WEIR_PROTO_ICMP,
        .tos = pkt->ip.tos,
    };
    weir_ip4_datagram(ip, &o);
    return WEIR_V_DONE;
}

/* Reads the quoted packet by hand: routers on its way have changed it, so its checksum and length prove
 * nothing. */
static bool read_quote(struct weir_ip *ip, const uint8_t *q, uint32_t n, struct weir_icmp_note *note)
{
    if (n < WEIR_IP4_BYTES) return false;
    uint32_t hdr = (uint32_t)(q[0] & 15) * 4;
    if (q[0] >> 4 != 4 || hdr < WEIR_IP4_BYTES || n < hdr + QUOTE_BYTES) return false;
    if (q[9] != WEIR_PROTO_TCP || (weir_be16(q + 6) & FRAG_OFFSET) != 0) return false;
    note->src = weir_be32(q + 12);
    note->dst = weir_be32(q + 16);
    note->sport = weir_be16(q + hdr);
    note->dport = weir_be16(q + hdr + 2);
    note->seq = weir_be32(q + hdr + 4);
    return weir_ip4_local(ip, note->src) != NULL;
}

static enum weir_verdict error(struct weir_ip *ip, const struct weir_rxpkt *pkt, const struct weir_icmphdr *h,
                               struct weir_icmp_note *note)
{
    const uint8_t *q = pkt->l4 + WEIR_ICMP_BYTES;
    uint32_t n = pkt->l4_here - WEIR_ICMP_BYTES;
    uint32_t header = n > 0 ? (uint32_t)(q[0] & 15) * 4 : 0;
    uint32_t wanted = WEIR_ICMP_BYTES + weir_max_u32(header, WEIR_IP4_BYTES) + QUOTE_BYTES;
    if (pkt->l4_here < weir_min_u32(wanted, pkt->l4_bytes)) return dropped(ip, WEIR_DROP_FRAME_PIECES);
    memset(note, 0, sizeof(*note));
    if (!read_quote(ip, q, n, note)) return dropped(ip, WEIR_DROP_ICMP_QUOTE);
    note->type = h->type;
    note->code = h->code;
    if (h->type == WEIR_ICMP_UNREACHABLE && h->code == WEIR_ICMP_FRAG_NEEDED) note->mtu = (uint16_t)h->rest;
    return WEIR_V_PASS;
}

/* Source quench (RFC 6633) and redirects are ignored: both let anybody on the way steer us. */
static bool is_error(const struct weir_icmphdr *h)
{
    switch (h->type) {
    case WEIR_ICMP_UNREACHABLE:
        return h->code <= UNREACHABLE_LAST;
    case WEIR_ICMP_TIME_EXCEEDED:
        return h->code <= TIME_EXCEEDED_LAST;
    case WEIR_ICMP_PARAMETER:
        return h->code <= PARAMETER_LAST;
    default:
        return false;
    }
}

enum weir_verdict weir_icmp_input(struct weir_ip *ip, const struct weir_rxpkt *pkt,
                                  struct weir_icmp_note *note)
{
    struct weir_icmphdr h;
    if (!weir_icmphdr_parse(&h, pkt->l4, pkt->l4_here)) return dropped(ip, WEIR_DROP_ICMP_SHORT);
    if (!csum_ok(pkt)) return dropped(ip, WEIR_DROP_ICMP_CSUM);
    if (h.type == WEIR_ICMP_ECHO) return echo(ip, pkt, &h);
    if (is_error(&h)) return error(ip, pkt, &h, note);
    return dropped(ip, WEIR_DROP_ICMP_TYPE);
}

/* Whether the frame went to many stations. */
static bool to_group(const struct weir_rxpkt *pkt)
{
    return pkt->ifc->ether && weir_mac_is_group(pkt->frame->pieces[0].addr);
}

/* Errors are told only of a first fragment, to one host, about what was sent to us alone, by its IP address
 * and by its frame (else one broadcast makes everybody answer), and never about ICMP. */
static bool may_tell(struct weir_ip *ip, const struct weir_rxpkt *pkt)
{
    return !to_group(pkt) && pkt->ip.proto != WEIR_PROTO_ICMP && (pkt->ip.frag & FRAG_OFFSET) == 0 &&
           weir_ip4_is_host(pkt->ip.src) && weir_ip4_local(ip, pkt->ip.dst) != NULL;
}

void weir_icmp_unreachable(struct weir_ip *ip, const struct weir_rxpkt *pkt, uint8_t code)
{
    if (!may_tell(ip, pkt) || !weir_ip4_may_err(ip)) return;
    uint8_t *l4 = block_to(ip, pkt->ip.src);
    if (l4 == NULL) return;
    uint32_t quote = pkt->ip.hdr_bytes + weir_min_u32(pkt->l4_here, QUOTE_BYTES);
    struct weir_icmphdr h = {.type = WEIR_ICMP_UNREACHABLE, .code = code};
    weir_icmphdr_emit(l4, &h);
    memcpy(l4 + WEIR_ICMP_BYTES, pkt->l4 - pkt->ip.hdr_bytes, quote);
    h.csum = weir_csum_done(weir_csum_add(0, l4, WEIR_ICMP_BYTES + quote, 0));
    weir_icmphdr_emit(l4, &h);
    struct weir_outpkt o = {
        .l4 = l4,
        .l4_bytes = WEIR_ICMP_BYTES + quote,
        .src = pkt->ip.dst,
        .dst = pkt->ip.src,
        .proto = WEIR_PROTO_ICMP,
    };
    weir_ip4_datagram(ip, &o);
}
