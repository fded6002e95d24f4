#include "segwire.h"

#include <string.h>

#include "base/order.h"

uint32_t seg_len(const struct seg *s)
{
    return s->bytes + ((s->flags & SEG_SYN) != 0) + ((s->flags & SEG_FIN) != 0);
}

uint8_t seg_byte(unsigned to_weir, uint32_t rel)
{
    uint32_t x = (rel + to_weir * 0x5bd1e995u) * 2654435761u;
    return (uint8_t)((x >> 24) ^ (x >> 13));
}

uint16_t seg_sum(uint32_t start, const uint8_t *p, uint32_t n)
{
    uint32_t sum = start;
    for (uint32_t i = 0; i < n; i++) {
        sum += (i & 1) ? p[i] : (uint32_t)p[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static uint32_t pseudo_sum(const uint8_t *ip, uint32_t l4_bytes)
{
    return (uint32_t)seg_sum(0, ip + 12, 8) + ip[9] + l4_bytes;
}

void seg_fix_ip(uint8_t *frame)
{
    uint8_t *ip = frame + SEG_L3_AT;
    weir_put_be16(ip + 10, 0);
    weir_put_be16(ip + 10, (uint16_t)~seg_sum(0, ip, (ip[0] & 15u) * 4u));
}

void seg_fix_tcp(uint8_t *frame)
{
    uint8_t *ip = frame + SEG_L3_AT;
    uint32_t hdr = (ip[0] & 15u) * 4u;
    uint8_t *tcp = ip + hdr;
    uint32_t n = weir_be16(ip + 2) - hdr;
    weir_put_be16(tcp + 16, 0);
    weir_put_be16(tcp + 16, (uint16_t)~seg_sum(pseudo_sum(ip, n), tcp, n));
}

uint32_t seg_wrap_ip(uint8_t *frame, uint32_t from, uint32_t to, uint8_t proto, uint32_t l4_bytes,
                     const uint8_t dst[6], const uint8_t src[6])
{
    uint8_t *ip = frame + SEG_L3_AT;
    memcpy(frame, dst, 6);
    memcpy(frame + 6, src, 6);
    weir_put_be16(frame + 12, 0x0800);
    memset(ip, 0, 20);
    ip[0] = 0x45;
    weir_put_be16(ip + 2, (uint16_t)(20 + l4_bytes));
    weir_put_be16(ip + 6, 0x4000);
    ip[8] = 64;
    ip[9] = proto;
    weir_put_be32(ip + 12, from);
    weir_put_be32(ip + 16, to);
    seg_fix_ip(frame);
    uint32_t n = SEG_L4_AT + l4_bytes;
    if (n < SEG_FRAME_MIN) {
        memset(frame + n, 0, SEG_FRAME_MIN - n);
        n = SEG_FRAME_MIN;
    }
    return n;
}

static uint32_t put_opts(uint8_t *p, const struct seg *s)
{
    uint8_t *at = p;
    if (s->opts & SEG_MSS) {
        *at++ = 2, *at++ = 4;
        weir_put_be16(at, s->mss);
        at += 2;
    }
    if (s->opts & SEG_SACK_OK) *at++ = 4, *at++ = 2;
    if (s->opts & SEG_TS) {
        *at++ = 8, *at++ = 10;
        weir_put_be32(at, s->tsval);
        weir_put_be32(at + 4, s->tsecr);
        at += 8;
    }
    if (s->opts & SEG_WSCALE) *at++ = 1, *at++ = 3, *at++ = 3, *at++ = s->wscale;
    if (s->opts & SEG_SACK) {
        *at++ = 5, *at++ = (uint8_t)(2 + 8 * s->n_sack);
        for (unsigned i = 0; i < s->n_sack; i++, at += 8) {
            weir_put_be32(at, s->sack[i].from);
            weir_put_be32(at + 4, s->sack[i].to);
        }
    }
    memcpy(at, s->raw, s->n_raw);
    at += s->n_raw;
    while ((at - p) % 4 != 0)
        *at++ = 0;
    return (uint32_t)(at - p);
}

uint32_t seg_encode(uint8_t *frame, const struct seg *s, const uint8_t dst[6], const uint8_t src[6])
{
    uint8_t *tcp = frame + SEG_L4_AT;
    uint8_t opts[SEG_OPTS_MAX * 2 + 8];
    uint32_t n_opts = put_opts(opts, s);
    if (n_opts > SEG_OPTS_MAX) n_opts = SEG_OPTS_MAX;
    weir_put_be16(tcp, s->sport);
    weir_put_be16(tcp + 2, s->dport);
    weir_put_be32(tcp + 4, s->seq);
    weir_put_be32(tcp + 8, s->ack);
    tcp[12] = (uint8_t)((20 + n_opts) / 4 << 4);
    tcp[13] = s->flags;
    weir_put_be16(tcp + 14, s->win);
    weir_put_be16(tcp + 16, 0);
    weir_put_be16(tcp + 18, s->urg);
    memcpy(tcp + 20, opts, n_opts);
    memcpy(tcp + 20 + n_opts, s->payload, s->bytes);
    uint32_t n = seg_wrap_ip(frame, s->src, s->dst, 6, 20 + n_opts + s->bytes, dst, src);
    seg_fix_tcp(frame);
    return n;
}

static void get_opt(struct seg *s, const uint8_t *p, uint32_t n)
{
    if (p[0] == 2 && n == 4) {
        s->opts |= SEG_MSS;
        s->mss = weir_be16(p + 2);
    } else if (p[0] == 3 && n == 3) {
        s->opts |= SEG_WSCALE;
        s->wscale = p[2];
    } else if (p[0] == 4 && n == 2) {
        s->opts |= SEG_SACK_OK;
    } else if (p[0] == 8 && n == 10) {
        s->opts |= SEG_TS;
        s->tsval = weir_be32(p + 2);
        s->tsecr = weir_be32(p + 6);
    } else if (p[0] == 5 && n >= 10 && (n - 2) % 8 == 0 && n <= 34) {
        s->opts |= SEG_SACK;
        for (s->n_sack = 0; s->n_sack < (n - 2) / 8; s->n_sack++) {
            s->sack[s->n_sack].from = weir_be32(p + 2 + 8 * s->n_sack);
            s->sack[s->n_sack].to = weir_be32(p + 6 + 8 * s->n_sack);
        }
    } else {
        s->opts |= SEG_OTHER;
    }
}

static const char *get_opts(struct seg *s, const uint8_t *p, uint32_t n)
{
    uint32_t at = 0;
    while (at < n && p[at] != 0) {
        if (p[at] == 1) {
            at++;
            continue;
        }
        if (n - at < 2 || p[at + 1] < 2 || p[at + 1] > n - at) return "an option's length is wrong";
        get_opt(s, p + at, p[at + 1]);
        at += p[at + 1];
    }
    return (void *)0;
}

static const char *decode_tcp(struct seg *s, const uint8_t *ip, const uint8_t *tcp, uint32_t n)
{
    if (n < 20) return "no room for a TCP header";
    uint32_t hdr = (uint32_t)(tcp[12] >> 4) * 4;
    if (hdr < 20 || hdr > n) return "the TCP data offset is wrong";
    if (seg_sum(pseudo_sum(ip, n), tcp, n) != 0xffff) return "the TCP checksum is wrong";
    s->sport = weir_be16(tcp);
    s->dport = weir_be16(tcp + 2);
    s->seq = weir_be32(tcp + 4);
    s->ack = weir_be32(tcp + 8);
    s->flags = tcp[13];
    s->win = weir_be16(tcp + 14);
    s->urg = weir_be16(tcp + 18);
    s->opt_bytes = hdr - 20;
    s->bytes = n - hdr;
    if (s->bytes > SEG_PAYLOAD_MAX) return "more payload than a frame can have";
    memcpy(s->payload, tcp + hdr, s->bytes);
    return get_opts(s, tcp + 20, hdr - 20);
}

const char *seg_decode(struct seg *s, const uint8_t *frame, uint32_t n)
{
    const uint8_t *ip = frame + SEG_L3_AT;
    memset(s, 0, sizeof *s);
    if (n < SEG_L4_AT || weir_be16(frame + 12) != 0x0800 || ip[0] >> 4 != 4) return "not IPv4";
    uint32_t hdr = (ip[0] & 15u) * 4u, total = weir_be16(ip + 2);
    if (hdr < 20 || total < hdr || total > n - SEG_L3_AT) return "the IPv4 lengths are wrong";
    if (seg_sum(0, ip, hdr) != 0xffff) return "the IPv4 checksum is wrong";
    if ((weir_be16(ip + 6) & 0x3fff) != 0) return "a fragment";
    if (ip[8] < 32 || ip[9] != 6) return "a TTL below 32, or not TCP";
    s->src = weir_be32(ip + 12);
    s->dst = weir_be32(ip + 16);
    return decode_tcp(s, ip, ip + hdr, total - hdr);
}
