/* tcphdr.c: the TCP header and its options. */
#include "wire/tcphdr.h"

#include "base/bits.h"
#include "base/order.h"

enum {
    KIND_END = 0,
    KIND_NOP = 1,
    KIND_MSS = 2,
    KIND_WSCALE = 3,
    KIND_SACK_OK = 4,
    KIND_SACK = 5,
    KIND_TS = 8
};

/* Lengths with kind and length byte; SACK has 8 more for each block. */
enum { LEN_MSS = 4, LEN_WSCALE = 3, LEN_SACK_OK = 2, LEN_TS = 10, LEN_SACK = 2, LEN_SACK_BLOCK = 8 };

#define OPTS_BYTES_MAX (WEIR_TCP_BYTES_MAX - WEIR_TCP_BYTES)
#define TS_BYTES       12u         /* NOP, NOP, TS */
#define TS_FIRST_WORD  0x0101080au /* the same, up to the values */
#define WSCALE_MAX     14u

static bool read_sack(struct weir_tcphdr *h, const uint8_t *p, uint32_t bytes)
{
    uint32_t n = (bytes - LEN_SACK) / LEN_SACK_BLOCK;
    if (n == 0 || n > WEIR_TCP_SACK_MAX || bytes != LEN_SACK + n * LEN_SACK_BLOCK) return false;
    for (uint32_t i = 0; i < n; i++) {
        h->sack[i].from = weir_be32(p + LEN_SACK + i * LEN_SACK_BLOCK);
        h->sack[i].to = weir_be32(p + LEN_SACK + i * LEN_SACK_BLOCK + 4);
    }
    h->n_sack = (uint8_t)n;
    h->opts |= WEIR_TCPOPT_SACK;
    return true;
}

static void read_ts(struct weir_tcphdr *h, const uint8_t *values)
{
    h->tsval = weir_be32(values);
    h->tsecr = weir_be32(values + 4);
    h->opts |= WEIR_TCPOPT_TS;
}

/* One option of `bytes` bytes, at least 2 and all inside the header. */
static bool read_option(struct weir_tcphdr *h, const uint8_t *p, uint32_t bytes)
{
    switch (p[0]) {
    case KIND_MSS:
        if (bytes != LEN_MSS) return false;
        h->mss = weir_be16(p + 2);
        h->opts |= WEIR_TCPOPT_MSS;
        return true;
    case KIND_WSCALE:
        if (bytes != LEN_WSCALE) return false;
        h->wscale = (uint8_t)weir_min_u32(p[2], WSCALE_MAX);
        h->opts |= WEIR_TCPOPT_WSCALE;
        return true;
    case KIND_SACK_OK:
        if (bytes != LEN_SACK_OK) return false;
        h->opts |= WEIR_TCPOPT_SACK_OK;
        return true;
    case KIND_SACK:
        return read_sack(h, p, bytes);
    case KIND_TS:
        if (bytes != LEN_TS) return false;
        read_ts(h, p + 2);
        return true;
    default:
        return true;
    }
}

/* p[at..end) are the options. Each step moves on by at least one byte. */
static bool read_options(struct weir_tcphdr *h, const uint8_t *p, uint32_t at, uint32_t end)
{
    while (at < end) {
        if (p[at] == KIND_END) return true;
        if (p[at] == KIND_NOP) {
            at++;
            continue;
        }
        if (end - at < 2) return false;
        uint8_t bytes = p[at + 1];
        if (bytes < 2 || bytes > end - at || !read_option(h, p + at, bytes)) return false;
        at += bytes;
    }
    return true;
}

/* The fields of the first 20 bytes, and no option. */
static void read_fixed(struct weir_tcphdr *h, const uint8_t *p)
{
    h->sport = weir_be16(p);
    h->dport = weir_be16(p + 2);
    h->seq = weir_be32(p + 4);
    h->ack = weir_be32(p + 8);
    h->hdr_bytes = (uint8_t)((p[12] >> 4) * 4);
    h->flags = p[13];
    h->wnd = weir_be16(p + 14);
    h->urg = weir_be16(p + 18);
    h->opts = 0;
    h->wscale = 0;
    h->mss = 0;
    h->tsval = 0;
    h->tsecr = 0;
    h->n_sack = 0;
}

static bool refuse(enum weir_drop *why, enum weir_drop reason)
{
    *why = reason;
    return false;
}

bool weir_tcphdr_parse(struct weir_tcphdr *h, const uint8_t *p, uint32_t n, uint32_t total,
                       enum weir_drop *why)
{
    if (n < WEIR_TCP_BYTES) return refuse(why, WEIR_DROP_TCP_SHORT);
    read_fixed(h, p);
    if (h->hdr_bytes < WEIR_TCP_BYTES || h->hdr_bytes > total) return refuse(why, WEIR_DROP_TCP_HEADER);
    if (h->hdr_bytes > n) return refuse(why, WEIR_DROP_TCP_SHORT);
    if (h->hdr_bytes == WEIR_TCP_BYTES) return true;
    if (h->hdr_bytes == WEIR_TCP_BYTES + TS_BYTES && weir_be32(p + WEIR_TCP_BYTES) == TS_FIRST_WORD) {
        read_ts(h, p + WEIR_TCP_BYTES + 4);
        return true;
    }
    if (!read_options(h, p, WEIR_TCP_BYTES, h->hdr_bytes)) return refuse(why, WEIR_DROP_TCP_OPTIONS);
    return true;
}

/* Bytes of all options but SACK, each group filled up to four with NOPs. SACK_OK stands where TS would have
 * its two NOPs. */
static uint32_t plain_bytes(unsigned opts)
{
    uint32_t n = 0;
    if (opts & WEIR_TCPOPT_MSS) n += LEN_MSS;
    if (opts & WEIR_TCPOPT_TS)
        n += TS_BYTES;
    else if (opts & WEIR_TCPOPT_SACK_OK)
        n += 2 + LEN_SACK_OK;
    if (opts & WEIR_TCPOPT_WSCALE) n += 1 + LEN_WSCALE;
    return n;
}

/* How many SACK blocks fit behind `plain` bytes of other options. */
static uint32_t sack_blocks(const struct weir_tcphdr *h, uint32_t plain)
{
    if (!(h->opts & WEIR_TCPOPT_SACK)) return 0;
    return weir_min_u32(h->n_sack, (OPTS_BYTES_MAX - plain - 2 - LEN_SACK) / LEN_SACK_BLOCK);
}

uint32_t weir_tcphdr_bytes(const struct weir_tcphdr *h)
{
    uint32_t plain = plain_bytes(h->opts);
    uint32_t blocks = sack_blocks(h, plain);
    return WEIR_TCP_BYTES + plain + (blocks > 0 ? 2 + LEN_SACK + blocks * LEN_SACK_BLOCK : 0);
}

/* Two bytes ahead of TS, or a group of four of its own. */
static uint8_t *emit_sack_ok(uint8_t *p, unsigned opts)
{
    bool sack_ok = (opts & WEIR_TCPOPT_SACK_OK) != 0;
    if (!(opts & (WEIR_TCPOPT_TS | WEIR_TCPOPT_SACK_OK))) return p;
    if (!(opts & WEIR_TCPOPT_TS)) {
        *p++ = KIND_NOP;
        *p++ = KIND_NOP;
    }
    *p++ = sack_ok ? KIND_SACK_OK : KIND_NOP;
    *p++ = sack_ok ? LEN_SACK_OK : KIND_NOP;
    return p;
}

static uint8_t *emit_plain(uint8_t *p, const struct weir_tcphdr *h)
{
    if (h->opts & WEIR_TCPOPT_MSS) {
        p[0] = KIND_MSS;
        p[1] = LEN_MSS;
        weir_put_be16(p + 2, h->mss);
        p += LEN_MSS;
    }
    p = emit_sack_ok(p, h->opts);
    if (h->opts & WEIR_TCPOPT_TS) {
        p[0] = KIND_TS;
        p[1] = LEN_TS;
        weir_put_be32(p + 2, h->tsval);
        weir_put_be32(p + 6, h->tsecr);
        p += LEN_TS;
    }
    if (h->opts & WEIR_TCPOPT_WSCALE) {
        p[0] = KIND_NOP;
        p[1] = KIND_WSCALE;
        p[2] = LEN_WSCALE;
        p[3] = h->wscale;
        p += 1 + LEN_WSCALE;
    }
    return p;
}

static void emit_sack(uint8_t *p, const struct weir_tcphdr *h, uint32_t blocks)
{
    p[0] = KIND_NOP;
    p[1] = KIND_NOP;
    p[2] = KIND_SACK;
    p[3] = (uint8_t)(LEN_SACK + blocks * LEN_SACK_BLOCK);
    p += 2 + LEN_SACK;
    for (uint32_t i = 0; i < blocks; i++, p += LEN_SACK_BLOCK) {
        weir_put_be32(p, h->sack[i].from);
        weir_put_be32(p + 4, h->sack[i].to);
    }
}

uint32_t weir_tcphdr_emit(uint8_t *p, const struct weir_tcphdr *h)
{
    uint32_t bytes = weir_tcphdr_bytes(h);
    uint32_t blocks = sack_blocks(h, plain_bytes(h->opts));
    weir_put_be16(p, h->sport);
    weir_put_be16(p + 2, h->dport);
    weir_put_be32(p + 4, h->seq);
    weir_put_be32(p + 8, h->ack);
    p[12] = (uint8_t)(bytes / 4 << 4);
    p[13] = h->flags;
    weir_put_be16(p + 14, h->wnd);
    weir_put_be16(p + WEIR_TCP_CSUM_AT, 0);
    weir_put_be16(p + 18, h->urg);
    uint8_t *after = emit_plain(p + WEIR_TCP_BYTES, h);
    if (blocks > 0) emit_sack(after, h, blocks);
    return bytes;
}
