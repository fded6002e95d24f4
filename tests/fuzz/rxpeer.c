/* rxpeer.c: the peers' operations: segments with numbers near the plausible ones, and everything else that a
 * network can bring. What the next frame will be like beyond its operation (options, bytes changed, pieces,
 * length, checksums) is prepared by operations of its own, so each kind of frame can have each kind of
 * fault. */
#include <string.h>

#include "base/order.h"
#include "rxworld.h"
#include "tcp/segwire.h"

#define PAYLOAD_MAX  12000u
#define ETH_BYTES    14u
#define IP_BYTES     20u
#define LISTEN_PORT  80u
#define LISTEN_PORT2 81u

static const uint8_t stack_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 1};

static const uint32_t deltas[64] = {
    0,     0,          0,           0,           1,           -1u,        2,          -2u,
    3,     -3u,        5,           -5u,         10,          -10u,       100,        -100u,
    200,   -200u,      500,         -500u,       536,         -536u,      1000,       -1000u,
    1448,  -1448u,     1460,        -1460u,      1461,        2000,       -2000u,     2048,
    2896,  -2896u,     2920,        4000,        -4000u,      4096,       -4096u,     5000,
    8000,  -8000u,     10000,       16384,       32768,       65535,      -65535u,    65536,
    90000, 100000,     -100000u,    0x3fffffffu, 0x40000000u, 0x7fffffff, 0x7ffffffe, 0x80000000u,
    150,   0x80000001, 0xc0000000u, 250,         300,         400,        -300u,      -400u};
static const uint16_t lengths[16] = {0,   1,   2,    3,    10,   100,  200,  500,
                                     536, 700, 1000, 1448, 1460, 1472, 4000, PAYLOAD_MAX};
static const uint16_t windows[16] = {65535, 0,    1,    2,    10,   100,  535,   536,
                                     1000,  1460, 2920, 4096, 8192, 8760, 32768, 65534};

static uint32_t delta(uint8_t b)
{
    return deltas[b & 63];
}

/* ---- the parts of a frame ---- */

static uint32_t eth_bytes(void)
{
    return rx.dev.dev.caps.link == WEIR_LINK_ETHER ? ETH_BYTES : 0;
}

static void put_eth(struct fuzzdev_frame *f, uint16_t type)
{
    if (eth_bytes() == 0) return;
    memcpy(f->bytes, stack_mac, 6);
    if (rx.prep.group) memset(f->bytes, 0xff, 6);
    memcpy(f->bytes + 6, peer_mac, 6);
    weir_put_be16(f->bytes + 12, type);
}

/* Where the transport's bytes begin, once the prepared IP options are known. */
static uint8_t *l4_of(struct fuzzdev_frame *f)
{
    return f->bytes + eth_bytes() + IP_BYTES + rx.prep.n_ip_opts;
}

static void put_ip(struct fuzzdev_frame *f, uint32_t from, uint32_t to, uint8_t proto, uint32_t l4_bytes)
{
    uint8_t *ip = f->bytes + eth_bytes();
    uint32_t hdr = IP_BYTES + rx.prep.n_ip_opts;
    put_eth(f, 0x0800);
    memset(ip, 0, IP_BYTES);
    ip[0] = (uint8_t)(0x40 | hdr / 4);
    weir_put_be16(ip + 2, (uint16_t)(hdr + l4_bytes));
    weir_put_be16(ip + 6, rx.prep.frag != 0 ? rx.prep.frag : 0x4000);
    ip[8] = 64;
    ip[9] = proto;
    weir_put_be32(ip + 12, from);
    weir_put_be32(ip + 16, to);
    memcpy(ip + IP_BYTES, rx.prep.ip_opts, rx.prep.n_ip_opts);
    f->n = eth_bytes() + hdr + l4_bytes;
}

/* Bytes changed anywhere; where data may be among them, what is read proves nothing any more. */
static void patch(struct fuzzdev_frame *f)
{
    for (unsigned i = 0; i < rx.prep.n_patch; i++) {
        const struct rx_patch *p = &rx.prep.patch[i];
        uint8_t *at = f->bytes + p->at % f->n;
        *at = (uint8_t)(p->how == 0 ? p->value : p->how == 1 ? *at ^ p->value : *at + p->value);
        rx.foreign = true;
    }
}

static bool lengths_hold(const uint8_t *ip, uint32_t n)
{
    uint32_t hdr = (ip[0] & 15u) * 4;
    return n >= IP_BYTES && hdr >= IP_BYTES && weir_be16(ip + 2) >= hdr && weir_be16(ip + 2) <= n;
}

/* The transport's checksum, or with CSUM_NEEDED the sum that its sender left to a device. */
static void seal_l4(struct fuzzdev_frame *f, uint8_t *ip)
{
    uint32_t hdr = (ip[0] & 15u) * 4, n = weir_be16(ip + 2) - hdr;
    uint32_t field = ip[9] == 6 ? 16 : ip[9] == 17 ? 6 : 2;
    uint8_t *l4 = ip + hdr;
    uint32_t pseudo = ip[9] == 1 ? 0 : (uint32_t)seg_sum(0, ip + 12, 8) + ip[9] + n;
    if (n < field + 2) return;
    weir_put_be16(l4 + field, 0);
    uint16_t sum = (uint16_t)~seg_sum(pseudo, l4, n);
    if (f->flags & WEIR_FRAME_CSUM_NEEDED) {
        sum = seg_sum(pseudo, l4, 0);
        f->csum_start = (uint16_t)(l4 - f->bytes);
        f->csum_field = (uint16_t)field;
    }
    weir_put_be16(l4 + field, (uint16_t)(rx.prep.csum_bad ? sum + 1 : sum));
}

static void seal(struct fuzzdev_frame *f)
{
    uint8_t *ip = f->bytes + eth_bytes();
    uint32_t n = f->n - eth_bytes();
    if (f->n < eth_bytes() || (eth_bytes() != 0 && weir_be16(f->bytes + 12) != 0x0800)) return;
    if (!lengths_hold(ip, n)) return;
    seal_l4(f, ip);
    weir_put_be16(ip + 10, 0);
    weir_put_be16(ip + 10, (uint16_t)(~seg_sum(0, ip, (ip[0] & 15u) * 4) + rx.prep.ip_csum_bad));
}

/* Cut short or made longer at its end, whatever its headers say. */
static void stretch(struct fuzzdev_frame *f)
{
    int64_t n = (int64_t)f->n + rx.prep.longer;
    if (n < 1) n = 1;
    if (n > (int64_t)FUZZDEV_FRAME_BYTES) n = FUZZDEV_FRAME_BYTES;
    if ((uint32_t)n > f->n) memset(f->bytes + f->n, 0x5a, (uint32_t)n - f->n);
    f->n = (uint32_t)n;
}

/* A frame that is built goes its way, with all that was prepared for it. */
static void send_frame(struct fuzzdev_frame *f)
{
    f->flags = rx.prep.flags;
    f->gso_bytes = (uint16_t)(rx.prep.gso * 8u);
    f->hdr_bytes = (uint16_t)(eth_bytes() + 40);
    memcpy(f->cut, rx.prep.cut, sizeof f->cut);
    if (f->n > 0) {
        patch(f);
        seal(f);
        stretch(f);
        if (rx.prep.csum_bad && f->flags != 0) rx.foreign = true;
        fuzzdev_queue(&rx.dev);
    }
    memset(&rx.prep, 0, sizeof rx.prep);
}

/* ---- flows ---- */

uint8_t rx_byte(uint32_t seq)
{
    uint32_t x = seq * 2654435761u;
    return (uint8_t)(x >> 24 ^ x >> 13);
}

void rx_flows_init(uint8_t isn)
{
    static const uint32_t ip[RX_FLOWS] = {0x0a000001u, 0x0a000001u, 0x0a000001u, 0x0a000009u,
                                          0x0a000001u, 0x0a000007u, 0xc0a80505u, 0xc0a80506u};
    static const uint32_t isns[4] = {1000, 0xfffffc00u, 0x7ffffe00u, 0xffffffffu};
    for (unsigned i = 0; i < RX_FLOWS; i++) {
        struct rx_flow *f = &rx.flow[i];
        memset(f, 0, sizeof *f);
        f->ip = ip[i];
        f->port = (uint16_t)(40000 + i);
        f->lport = i == 3 ? LISTEN_PORT2 : LISTEN_PORT;
        f->active = i == 4 || i == 5 || i == 7;
        f->nxt = isns[isn % 4] + i * 65536u;
        f->tsval = isn & 4 ? 0xffffff00u : 1;
    }
}

/* ---- segments ---- */

struct segment {
    struct rx_flow *f;
    uint32_t seq, ack, bytes, tsval, tsecr;
    uint16_t win, mss, urgent;
    uint8_t flags, wscale;
    bool ts, with_mss, with_scale, sack_ok, lies; /* lies: the payload is not the stream's */
    unsigned sacks;
};

static uint32_t put_options(uint8_t *p, const struct segment *s)
{
    uint32_t n = 0;
    if (s->with_mss) {
        memcpy(p, (const uint8_t[4]){2, 4, (uint8_t)(s->mss >> 8), (uint8_t)s->mss}, 4);
        n += 4;
    }
    if (s->with_scale) {
        memcpy(p + n, (const uint8_t[4]){1, 3, 3, s->wscale}, 4);
        n += 4;
    }
    if (s->sack_ok) {
        memcpy(p + n, (const uint8_t[4]){1, 1, 4, 2}, 4);
        n += 4;
    }
    if (s->ts) {
        memcpy(p + n, (const uint8_t[4]){1, 1, 8, 10}, 4);
        weir_put_be32(p + n + 4, s->tsval);
        weir_put_be32(p + n + 8, s->tsecr);
        n += 12;
    }
    for (unsigned i = 0; i < s->sacks && n + 12 <= RX_OPTS_MAX; i++, n += 12) {
        memcpy(p + n, (const uint8_t[4]){1, 1, 5, 10}, 4);
        weir_put_be32(p + n + 4, s->f->seen_end - 1000 * i);
        weir_put_be32(p + n + 8, s->f->seen_end - 1000 * i + 500);
    }
    for (unsigned i = 0; i < rx.prep.n_opts && n < RX_OPTS_MAX; i++)
        p[n++] = rx.prep.opts[i];
    while (n % 4 != 0)
        p[n++] = 0;
    return n;
}

/* The stack can't tell lies, but for a merged frame's MTU nothing limits a segment here. */
static void send_segment(const struct segment *s)
{
    struct fuzzdev_frame *f = fuzzdev_next(&rx.dev);
    if (f == NULL) return;
    uint8_t *tcp = l4_of(f);
    memset(tcp, 0, IP_BYTES);
    weir_put_be16(tcp, s->f->port);
    weir_put_be16(tcp + 2, s->f->lport);
    weir_put_be32(tcp + 4, s->seq);
    weir_put_be32(tcp + 8, s->ack);
    uint32_t hdr = 20 + put_options(tcp + 20, s);
    tcp[12] = (uint8_t)(hdr / 4 << 4);
    tcp[13] = s->flags;
    weir_put_be16(tcp + 14, s->win);
    weir_put_be16(tcp + 18, s->urgent);
    uint32_t first = s->seq + ((s->flags & SEG_SYN) != 0);
    for (uint32_t i = 0; i < s->bytes; i++)
        tcp[hdr + i] = (uint8_t)(rx_byte(first + i) ^ s->lies);
    if (s->lies) rx.foreign = true;
    put_ip(f, s->f->ip, RX_IP, 6, hdr + s->bytes);
    send_frame(f);
}

/* A segment as an honest peer would make it. */
static struct segment honest(struct rx_flow *f, uint8_t flags, uint32_t bytes)
{
    struct segment s = {.f = f, .seq = f->nxt, .flags = flags, .bytes = bytes, .win = 65535, .mss = 1460};
    uint32_t now = (uint32_t)(rx.sim.now_us / 1000);
    s.ack = flags & SEG_ACK ? f->seen_end : 0;
    s.ts = f->ts || (flags & SEG_SYN);
    s.tsval = f->tsval + now;
    s.tsecr = f->echo;
    return s;
}

static void advance(struct rx_flow *f, const struct segment *s)
{
    if (s->seq != f->nxt) return;
    f->nxt += s->bytes + ((s->flags & SEG_SYN) != 0) + ((s->flags & SEG_FIN) != 0);
}

/* r: flags, seq, ack, win and length, options, misc, tsval */
void rx_op_segment(const struct rx_op *op)
{
    struct rx_flow *f = &rx.flow[op->n];
    const uint8_t *r = op->r;
    const uint32_t seq[4] = {f->nxt, f->last_ack, f->edge, (uint32_t)r[5] << 24};
    const uint32_t ack[4] = {f->seen_end, f->iss + 1, f->seen_end, (uint32_t)r[5] << 24};
    struct segment s = honest(f, r[0], lengths[r[3] >> 4]);
    s.seq = seq[r[1] >> 6] + delta(r[1]);
    s.ack = ack[r[2] >> 6] + delta(r[2]);
    s.win = windows[r[3] & 15];
    s.with_mss = (r[4] & 1) != 0;
    s.with_scale = (r[4] & 2) != 0;
    s.ts = s.ts != ((r[4] & 4) != 0);
    s.sack_ok = (r[4] & 8) != 0;
    s.sacks = r[4] >> 4 & 3;
    s.lies = (r[4] & 64) != 0;
    s.urgent = r[4] & 128 ? (uint16_t)(r[5] * 257u) : 0;
    s.mss = (uint16_t)(r[5] & 16 ? lengths[r[5] & 15] : 1460);
    s.wscale = r[5] & 15;
    s.tsval += delta(r[6]);
    if (r[6] & 128) s.tsecr += delta(r[5]);
    if ((r[0] & SEG_SYN) && !(r[0] & SEG_RST)) f->ts = s.ts;
    advance(f, &s);
    send_segment(&s);
}

/* A run of data, some of it lost or late. r: count, length, lost mask, late mask, flags, merged */
void rx_op_data(const struct rx_op *op)
{
    struct rx_flow *f = &rx.flow[op->n];
    const uint8_t *r = op->r;
    struct segment late[8];
    unsigned n_late = 0;
    for (unsigned i = 0; i < (r[0] & 7) + 1u; i++) {
        struct segment s = honest(f, (uint8_t)(SEG_ACK | (r[4] & (SEG_PSH | SEG_FIN))), lengths[r[1] & 15]);
        if (r[5] & 1) s.bytes = r[5] * 40u;
        if (i < (r[0] & 7)) s.flags &= (uint8_t)~SEG_FIN;
        advance(f, &s);
        if (r[2] >> i & 1) continue;
        if (r[3] >> i & 1)
            late[n_late++] = s;
        else
            send_segment(&s);
    }
    while (n_late > 0)
        send_segment(&late[--n_late]);
}

/* r: count, ack delta, win, sacks */
void rx_op_ack(const struct rx_op *op)
{
    const uint8_t *r = op->r;
    for (unsigned i = 0; i < (r[0] & 7) + 1u; i++) {
        struct segment s = honest(&rx.flow[op->n], SEG_ACK, 0);
        s.ack += delta(r[1]);
        s.win = windows[r[2] & 15];
        s.sacks = r[3] & 3;
        send_segment(&s);
    }
}

static void shake_passive(struct rx_flow *f, uint8_t how)
{
    struct segment s = honest(f, SEG_SYN, 0);
    s.with_mss = true;
    s.with_scale = (how & 1) != 0;
    s.wscale = how >> 4;
    s.ts = f->ts = (how & 2) != 0;
    if (how & 4) s.mss = 536;
    advance(f, &s);
    send_segment(&s);
    rx_poll();
    rx_poll();
    s = honest(f, SEG_ACK, 0);
    send_segment(&s);
    rx_poll();
}

/* The stack's SYN is answered. */
static void shake_active(struct rx_flow *f, uint8_t how)
{
    struct segment s = honest(f, SEG_SYN | SEG_ACK, 0);
    s.with_mss = true;
    s.with_scale = (how & 1) != 0;
    s.ts = f->ts = (how & 2) != 0;
    advance(f, &s);
    send_segment(&s);
    rx_poll();
}

void rx_shake(struct rx_flow *f)
{
    if (f->active) {
        (void)rx_connect_to(f);
        rx_poll();
        rx_poll();
        shake_active(f, 3);
    } else {
        shake_passive(f, 3);
    }
}

/* r: how */
void rx_op_shake(const struct rx_op *op)
{
    struct rx_flow *f = &rx.flow[op->n];
    if (f->active)
        shake_active(f, op->r[0]);
    else
        shake_passive(f, op->r[0]);
}

/* ---- what is prepared ---- */

static void append(uint8_t *to, unsigned *n, const uint8_t *bytes, unsigned k)
{
    for (unsigned i = 0; i < k && *n < RX_OPTS_MAX; i++)
        to[(*n)++] = bytes[i];
}

void rx_op_tcp_options(const struct rx_op *op)
{
    append(rx.prep.opts, &rx.prep.n_opts, op->r, op->n);
}

/* In fours, as the header's length counts them. */
void rx_op_ip_options(const struct rx_op *op)
{
    append(rx.prep.ip_opts, &rx.prep.n_ip_opts, op->r, op->n < 4 ? 4 : 7);
    while (rx.prep.n_ip_opts % 4 != 0)
        rx.prep.ip_opts[rx.prep.n_ip_opts++] = 0;
}

/* n: how. r: two places and values */
void rx_op_patch(const struct rx_op *op)
{
    for (unsigned i = 0; i < 2 && rx.prep.n_patch < RX_PATCHES; i++) {
        const uint8_t *r = op->r + 3 * i;
        if (i > 0 && r[2] == 0) break;
        rx.prep.patch[rx.prep.n_patch++] =
            (struct rx_patch){.at = (uint16_t)(r[0] | (r[1] & 3) << 8), .value = r[2], .how = op->n % 3};
    }
}

/* r: lengths of pieces; n: in bytes or in units */
void rx_op_cuts(const struct rx_op *op)
{
    static const uint16_t unit[4] = {1, 8, 54, 256};
    for (unsigned i = 0; i < FUZZDEV_CUTS; i++)
        rx.prep.cut[i] = (uint16_t)(op->r[i] * unit[op->n % 4]);
}

/* r: frame flags, gso, longer (2), fragment word (2), bad checksums */
void rx_op_frame(const struct rx_op *op)
{
    const uint8_t *r = op->r;
    rx.prep.flags = r[0] & (WEIR_FRAME_CSUM_NEEDED | WEIR_FRAME_CSUM_GOOD | WEIR_FRAME_TSO4);
    rx.prep.gso = r[1];
    rx.prep.longer = (int16_t)(r[2] | r[3] << 8) >> 3;
    rx.prep.frag = (uint16_t)(r[4] | r[5] << 8);
    rx.prep.csum_bad = (r[6] & 1) != 0;
    rx.prep.ip_csum_bad = (r[6] & 2) != 0;
    rx.prep.group = (r[6] & 4) != 0;
}

/* ---- other protocols ---- */

/* n: bits of what is odd. r: operation, sender and target (flows, or ours), last byte of the sender */
void rx_op_arp(const struct rx_op *op)
{
    const uint8_t *r = op->r;
    struct fuzzdev_frame *f = fuzzdev_next(&rx.dev);
    if (f == NULL || eth_bytes() == 0) return;
    uint8_t *a = f->bytes + ETH_BYTES;
    memset(f->bytes, 0, SEG_FRAME_MIN);
    put_eth(f, 0x0806);
    if (r[0] & 4) memset(f->bytes, 0xff, 6);
    memcpy(a, (const uint8_t[8]){0, 1, 8, 0, 6, 4, 0, r[0] & 3}, 8);
    memcpy(a + 8, op->n & 1 ? stack_mac : peer_mac, 6);
    a[13] ^= r[3];
    if (op->n & 2) a[8] = r[4];
    weir_put_be32(a + 14, r[1] & 8 ? 0x0a000000u + r[4] : rx.flow[r[1] & 7].ip);
    if (op->n & 4) weir_put_be32(a + 14, 0);
    memcpy(a + 18, stack_mac, 6);
    weir_put_be32(a + 24, r[2] & 8 ? 0x0a000000u + r[5] : RX_IP);
    f->n = SEG_FRAME_MIN;
    send_frame(f);
}

static uint32_t put_quote(uint8_t *p, const struct rx_flow *f, uint8_t where, uint8_t how)
{
    memset(p, 0, 40);
    p[0] = how & 1 ? 0x46 : 0x45;
    weir_put_be16(p + 2, 40);
    p[8] = 1;
    p[9] = how & 2 ? 17 : 6;
    weir_put_be32(p + 12, RX_IP);
    weir_put_be32(p + 16, f->ip);
    uint8_t *tcp = p + (p[0] & 15) * 4;
    weir_put_be16(tcp, f->lport);
    weir_put_be16(tcp + 2, f->port);
    weir_put_be32(tcp + 4, f->seen_end + delta(where) - 1);
    return (uint32_t)(tcp - p) + (how & 4 ? 4 : 8);
}

/* n: the flow that is quoted. r: type, code, where in its stream, mtu (2), how, length of an echo */
void rx_op_icmp(const struct rx_op *op)
{
    static const uint8_t types[8] = {3, 3, 8, 11, 12, 0, 4, 5};
    const uint8_t *r = op->r;
    struct fuzzdev_frame *f = fuzzdev_next(&rx.dev);
    if (f == NULL) return;
    uint8_t *icmp = l4_of(f);
    uint32_t n = 8;
    memset(icmp, 0, 8);
    icmp[0] = r[0] & 8 ? r[0] : types[r[0] & 7];
    icmp[1] = r[1] & 16 ? 4 : r[1] & 15;
    icmp[6] = r[3];
    icmp[7] = r[4];
    if (icmp[0] == 8) {
        n += lengths[r[6] & 15];
        memset(icmp + 8, r[2], n - 8);
    } else {
        n += put_quote(icmp + 8, &rx.flow[op->n], r[2], r[5]);
    }
    put_ip(f, rx.flow[r[6] >> 5].ip, RX_IP, 1, n);
    send_frame(f);
}

/* n: from whom. r: port, length, what the header says of it */
void rx_op_udp(const struct rx_op *op)
{
    const uint8_t *r = op->r;
    struct fuzzdev_frame *f = fuzzdev_next(&rx.dev);
    if (f == NULL) return;
    uint8_t *udp = l4_of(f);
    uint32_t n = 8u + lengths[r[1] & 15];
    memset(udp, r[3], n);
    weir_put_be16(udp, 53);
    weir_put_be16(udp + 2, r[0]);
    weir_put_be16(udp + 4, (uint16_t)(n + delta(r[2])));
    put_ip(f, rx.flow[op->n].ip, RX_IP, 17, n);
    send_frame(f);
}

/* n: 0 the whole frame, 1 behind the Ethernet header, 2 behind a right IP header of protocol r[1]. */
void rx_op_raw(const struct rx_op *op, const uint8_t *bytes, uint32_t n)
{
    struct fuzzdev_frame *f = fuzzdev_next(&rx.dev);
    if (f == NULL) return;
    rx.foreign = true;
    if (op->n % 4 >= 2) {
        memcpy(l4_of(f), bytes, n);
        put_ip(f, rx.flow[op->r[2] & 7].ip, RX_IP, op->r[1], n);
    } else if (op->n % 4 == 1 && eth_bytes() != 0) {
        put_eth(f, op->r[1] & 1 ? 0x0806 : 0x0800);
        memcpy(f->bytes + ETH_BYTES, bytes, n);
        f->n = ETH_BYTES + n;
    } else {
        memcpy(f->bytes, bytes, n);
        f->n = n;
    }
    send_frame(f);
}
