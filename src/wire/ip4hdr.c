/* ip4hdr.c: the IPv4 header and its options. */
#include "wire/ip4hdr.h"

#include "base/csum.h"
#include "base/order.h"

enum { OPT_END = 0, OPT_NOP = 1, OPT_LOOSE_ROUTE = 131, OPT_STRICT_ROUTE = 137 };

/* p[at..end) are the options. Each step moves on by at least one byte. */
static bool options_ok(const uint8_t *p, uint32_t at, uint32_t end)
{
    while (at < end) {
        uint8_t kind = p[at];
        if (kind == OPT_END) return true;
        if (kind == OPT_NOP) {
            at++;
            continue;
        }
        if (kind == OPT_LOOSE_ROUTE || kind == OPT_STRICT_ROUTE) return false;
        if (end - at < 2) return false;
        uint8_t bytes = p[at + 1];
        if (bytes < 2 || bytes > end - at) return false;
        at += bytes;
    }
    return true;
}

static uint64_t header_sum(const uint8_t *p, uint32_t hdr_bytes)
{
    return hdr_bytes == WEIR_IP4_BYTES ? weir_csum_20(p) : weir_csum_add(0, p, hdr_bytes, 0);
}

static bool refuse(enum weir_drop *why, enum weir_drop reason)
{
    *why = reason;
    return false;
}

bool weir_ip4hdr_parse(struct weir_ip4hdr *h, const uint8_t *p, uint32_t n, uint32_t total,
                       enum weir_drop *why)
{
    if (n < WEIR_IP4_BYTES) return refuse(why, WEIR_DROP_IP_SHORT);
    if (p[0] >> 4 != 4) return refuse(why, WEIR_DROP_IP_VERSION);
    h->hdr_bytes = (uint8_t)((p[0] & 0xf) * 4);
    if (h->hdr_bytes < WEIR_IP4_BYTES || h->hdr_bytes > total) return refuse(why, WEIR_DROP_IP_HEADER);
    if (h->hdr_bytes > n) return refuse(why, WEIR_DROP_IP_SHORT);
    h->total_bytes = weir_be16(p + 2);
    if (h->total_bytes < h->hdr_bytes || h->total_bytes > total) return refuse(why, WEIR_DROP_IP_LENGTH);
    if (weir_csum_done(header_sum(p, h->hdr_bytes)) != 0) return refuse(why, WEIR_DROP_IP_CSUM);
    if (!options_ok(p, WEIR_IP4_BYTES, h->hdr_bytes)) return refuse(why, WEIR_DROP_IP_OPTIONS);
    h->tos = p[1];
    h->id = weir_be16(p + 4);
    h->frag = weir_be16(p + 6);
    h->ttl = p[8];
    h->proto = p[9];
    h->src = weir_be32(p + 12);
    h->dst = weir_be32(p + 16);
    return true;
}

void weir_ip4hdr_emit(uint8_t *p, const struct weir_ip4hdr *h)
{
    p[0] = 0x45;
    p[1] = h->tos;
    weir_put_be16(p + 2, h->total_bytes);
    weir_put_be16(p + 4, h->id);
    weir_put_be16(p + 6, h->frag);
    p[8] = h->ttl;
    p[9] = h->proto;
    weir_put_be16(p + 10, 0);
    weir_put_be32(p + 12, h->src);
    weir_put_be32(p + 16, h->dst);
    weir_put_be16(p + 10, weir_csum_done(weir_csum_20(p)));
}
