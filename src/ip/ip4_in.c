/* ip4_in.c: the checks on a received IPv4 packet, and sums over its transport segment. */
#include "base/bits.h"
#include "base/csum.h"
#include "base/order.h"
#include "ip/ip4.h"
#include "ip/ip4class.h"
#include "wire/tcphdr.h"
#include "wire/udphdr.h"

#define FRAG_OFFSET 0x1fffu

static enum weir_verdict dropped(struct weir_ip *ip, enum weir_drop why)
{
    ip->stats->drops[why]++;
    return WEIR_V_DROP;
}

/* Nobody sends from a group, a broadcast or loopback, and only an impostor or a loop from our own address
 * (LAND). */
static bool source_bad(struct weir_ip *ip, uint32_t src)
{
    if (!weir_ip4_is_host(src) || weir_ip4_local(ip, src) != NULL) return true;
    for (uint32_t i = 0; i < ip->n_ifc; i++) {
        if (ip->ifc[i].up && weir_ip4_is_directed(src, ip->ifc[i].addr, ip->ifc[i].mask)) return true;
    }
    return false;
}

/* Whether here contiguous bytes of total are enough for a header that begins there: all of it, or all that
 * there is. */
static bool header_here(const uint8_t *p, uint32_t here, uint32_t total, uint8_t proto)
{
    uint32_t want = proto == WEIR_PROTO_UDP ? WEIR_UDP_BYTES : WEIR_ICMP_BYTES;
    if (proto == WEIR_PROTO_TCP) {
        want = WEIR_TCP_BYTES;
        if (here >= WEIR_TCP_BYTES) want = weir_max_u32(want, (uint32_t)(p[12] >> 4) * 4);
    }
    return here >= weir_min_u32(want, total);
}

/* The same for the IP header. */
static bool ip_header_here(const uint8_t *p, uint32_t here, uint32_t total)
{
    if (here < WEIR_IP4_BYTES) return here == total;
    return here >= weir_min_u32((uint32_t)(p[0] & 15) * 4, total);
}

static void find_l4(struct weir_rxpkt *pkt, uint32_t at)
{
    const struct weir_piece *first = &pkt->frame->pieces[0];
    pkt->l4_at = at + pkt->ip.hdr_bytes;
    pkt->l4 = first->addr + pkt->l4_at;
    pkt->l4_bytes = (uint32_t)pkt->ip.total_bytes - pkt->ip.hdr_bytes;
    pkt->l4_here = weir_min_u32(first->bytes - pkt->l4_at, pkt->l4_bytes);
}

static bool proto_handled(uint8_t proto)
{
    return proto == WEIR_PROTO_TCP || proto == WEIR_PROTO_UDP || proto == WEIR_PROTO_ICMP;
}

/* The usual packet, taken in with loads of fixed size: no options, no fragment, the checksum right, TCP, all
 * of it in one piece. False: it is another one, or wrong, and the long way says what. */
static bool plain_input(struct weir_rxpkt *pkt, uint32_t at)
{
    const struct weir_frame *f = pkt->frame;
    const struct weir_piece *first = &f->pieces[0];
    const uint8_t *p = first->addr + at;
    if (f->n_pieces != 1 || first->bytes < at + WEIR_IP4_BYTES + WEIR_TCP_BYTES) return false;
    uint32_t total = weir_be16(p + 2), frag = weir_be16(p + 6);
    if (p[0] != 0x45 || p[9] != WEIR_PROTO_TCP || (frag & (WEIR_IP4_MF | FRAG_OFFSET)) != 0) return false;
    if (total < WEIR_IP4_BYTES + WEIR_TCP_BYTES || total > first->bytes - at) return false;
    if (weir_csum_fold(weir_csum_20(p)) != 0xffff) return false;
    pkt->ip = (struct weir_ip4hdr){.src = weir_be32(p + 12),
                                   .dst = weir_be32(p + 16),
                                   .total_bytes = (uint16_t)total,
                                   .id = weir_be16(p + 4),
                                   .frag = (uint16_t)frag,
                                   .hdr_bytes = WEIR_IP4_BYTES,
                                   .tos = p[1],
                                   .ttl = p[8],
                                   .proto = WEIR_PROTO_TCP};
    pkt->l4_at = at + WEIR_IP4_BYTES;
    pkt->l4 = p + WEIR_IP4_BYTES;
    pkt->l4_bytes = pkt->l4_here = total - WEIR_IP4_BYTES;
    return pkt->l4_here >= (uint32_t)(pkt->l4[12] >> 4) * 4;
}

/* Between an address of this interface, the only one, and a host: no more need be looked at. */
static bool plain_hosts(const struct weir_ip *ip, const struct weir_rxpkt *pkt)
{
    const struct weir_ifc *ifc = pkt->ifc;
    uint32_t src = pkt->ip.src;
    return ip->n_ifc == 1 && ifc->up && pkt->ip.dst == ifc->addr && src != ifc->addr &&
           weir_ip4_is_host(src) && !weir_ip4_is_directed(src, ifc->addr, ifc->mask);
}

static WEIR_APART enum weir_verdict full_input(struct weir_ip *ip, struct weir_rxpkt *pkt, uint32_t at)
{
    const struct weir_frame *f = pkt->frame;
    if (f->n_pieces == 0 || f->bytes < at + WEIR_IP4_BYTES) return dropped(ip, WEIR_DROP_IP_SHORT);
    if (f->pieces[0].bytes <= at) return dropped(ip, WEIR_DROP_FRAME_PIECES);
    const uint8_t *p = f->pieces[0].addr + at;
    uint32_t here = f->pieces[0].bytes - at;
    uint32_t total = f->bytes - at;
    if (!ip_header_here(p, here, total)) return dropped(ip, WEIR_DROP_FRAME_PIECES);
    enum weir_drop why;
    if (!weir_ip4hdr_parse(&pkt->ip, p, here, total, &why)) return dropped(ip, why);
    if (source_bad(ip, pkt->ip.src)) return dropped(ip, WEIR_DROP_IP_SRC);
    if (weir_ip4_local(ip, pkt->ip.dst) == NULL) return dropped(ip, WEIR_DROP_IP_NOT_MINE);
    if ((pkt->ip.frag & (WEIR_IP4_MF | FRAG_OFFSET)) != 0) return dropped(ip, WEIR_DROP_IP_FRAGMENT);
    find_l4(pkt, at);
    if (!proto_handled(pkt->ip.proto)) {
        weir_icmp_unreachable(ip, pkt, WEIR_ICMP_PROTO_UNREACHABLE);
        return dropped(ip, WEIR_DROP_IP_PROTO);
    }
    if (!header_here(pkt->l4, pkt->l4_here, pkt->l4_bytes, pkt->ip.proto))
        return dropped(ip, WEIR_DROP_FRAME_PIECES);
    return WEIR_V_PASS;
}

enum weir_verdict weir_ip4_input(struct weir_ip *ip, struct weir_rxpkt *pkt, uint32_t at)
{
    if (plain_input(pkt, at) && plain_hosts(ip, pkt)) return WEIR_V_PASS;
    return full_input(ip, pkt, at);
}

uint32_t weir_ip4_slices(const struct weir_rxpkt *pkt, uint32_t from, struct weir_piece *out, uint32_t max)
{
    uint32_t skip = pkt->l4_at + from;
    uint32_t left = pkt->l4_bytes - from;
    uint32_t n = 0;
    for (uint32_t i = 0; i < pkt->frame->n_pieces && left > 0; i++) {
        const struct weir_piece *p = &pkt->frame->pieces[i];
        if (skip >= p->bytes) {
            skip -= p->bytes;
            continue;
        }
        if (n == max) return max + 1;
        uint32_t bytes = weir_min_u32(p->bytes - skip, left);
        out[n++] = (struct weir_piece){p->addr + skip, bytes};
        left -= bytes;
        skip = 0;
    }
    return n;
}

uint64_t weir_ip4_l4_sum(const struct weir_rxpkt *pkt)
{
    struct weir_piece part[WEIR_FRAME_PIECES_MAX];
    uint32_t n = weir_min_u32(weir_ip4_slices(pkt, 0, part, WEIR_FRAME_PIECES_MAX), WEIR_FRAME_PIECES_MAX);
    uint64_t sum = weir_csum_pseudo4(pkt->ip.src, pkt->ip.dst, pkt->ip.proto, pkt->l4_bytes);
    uint32_t done = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum = weir_csum_add(sum, part[i].addr, part[i].bytes, done & 1);
        done += part[i].bytes;
    }
    return sum;
}

bool weir_ip4_csum_good(const struct weir_rxpkt *pkt)
{
    return weir_csum_fold(weir_ip4_l4_sum(pkt)) == 0xffff;
}
