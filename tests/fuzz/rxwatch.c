/* rxwatch.c: what the stack sends. Each frame must be well formed, carry only what was written, and keep the
 * promises of the frames before it; peers learn from it the numbers that make their next segments
 * plausible. */
#include <string.h>

#include "base/order.h"
#include "rxworld.h"
#include "tcp/segwire.h"

struct sent_tcp {
    uint32_t src, dst, seq, ack, bytes;
    uint16_t sport, dport, win;
    uint8_t flags;
    const uint8_t *opts, *payload;
    uint32_t opt_bytes;
};

struct rx_flow *rx_flow_of(uint32_t ip, uint16_t port)
{
    for (unsigned i = 0; i < RX_FLOWS; i++)
        if (rx.flow[i].ip == ip && rx.flow[i].port == port) return &rx.flow[i];
    return NULL;
}

static struct rx_tcb *tcb_of(const struct weir_conn *c)
{
    struct rx_tcb *b = &rx.tcb[weir_conn_index(&rx.w->tcp, c)];
    if (b->id == c->id) return b;
    b->id = c->id;
    b->told = false;
    b->written = 0;
    return b;
}

void rx_written(const struct weir_conn *c, const uint8_t *bytes, uint32_t n)
{
    struct rx_tcb *b = tcb_of(c);
    for (uint32_t i = 0; i < n; i++)
        b->shadow[(b->written + i) % RX_SHADOW_BYTES] = bytes[i];
    b->written += n;
}

/* ---- ARP ---- */

static void answer_arp(const uint8_t *frame, uint32_t n)
{
    FUZZ_CHECK(n == 42 && weir_be16(frame + 20) >= 1 && weir_be16(frame + 20) <= 2);
    FUZZ_CHECK(weir_be32(frame + 28) == RX_IP);
    if (weir_be16(frame + 20) != 1 || rx.mute) return;
    struct fuzzdev_frame *f = fuzzdev_next(&rx.dev);
    if (f == NULL) return;
    memset(f->bytes, 0, SEG_FRAME_MIN);
    memcpy(f->bytes, frame + 6, 6);
    memcpy(f->bytes + 6, (const uint8_t[6]){2, 0, 0, 0, 0, 1}, 6);
    memcpy(f->bytes + 12, frame + 12, 8);
    weir_put_be16(f->bytes + 20, 2);
    memcpy(f->bytes + 22, f->bytes + 6, 6);
    memcpy(f->bytes + 28, frame + 38, 4);
    memcpy(f->bytes + 32, frame + 22, 10);
    f->n = SEG_FRAME_MIN;
    fuzzdev_queue(&rx.dev);
}

/* ---- TCP ---- */

static uint32_t option(const struct sent_tcp *s, uint8_t kind, uint32_t at_byte, uint32_t bytes, bool *there)
{
    *there = false;
    for (uint32_t at = 0; at < s->opt_bytes && s->opts[at] != 0;) {
        if (s->opts[at] == 1) {
            at++;
            continue;
        }
        FUZZ_CHECK(s->opt_bytes - at >= 2 && s->opts[at + 1] >= 2 && s->opts[at + 1] <= s->opt_bytes - at);
        if (s->opts[at] == kind) {
            const uint8_t *p = s->opts + at + at_byte;
            *there = true;
            return bytes == 1 ? p[0] : weir_be32(p);
        }
        at += s->opts[at + 1];
    }
    return 0;
}

static void check_payload(const struct rx_tcb *b, const struct weir_conn *c, const struct sent_tcp *s)
{
    uint32_t from = s->seq - c->iss - 1;
    FUZZ_CHECK(from <= b->written && s->bytes <= b->written - from);
    if (rx.careless) return;
    for (uint32_t i = 0; i < s->bytes; i++)
        FUZZ_CHECK(s->payload[i] == b->shadow[(from + i) % RX_SHADOW_BYTES]);
}

/* Neither the acknowledgement nor the right edge goes back, but for the rounding of a scaled window, for a
 * SYN that is sent again, whose window can't be scaled, and for a window that the ladder has cut: less is
 * told then, but what was promised is still taken. */
static void check_promises(struct rx_tcb *b, const struct weir_conn *c, const struct sent_tcp *s,
                           unsigned shift)
{
    bool syn = (s->flags & SEG_SYN) != 0;
    uint32_t edge = s->ack + ((uint32_t)s->win << shift);
    if (b->told) {
        FUZZ_CHECK((int32_t)(s->ack - b->last_ack) >= 0);
        bool cut = (c->flags & WEIR_C_CUT) != 0;
        FUZZ_CHECK(syn || cut || (int32_t)(edge - b->edge) >= 0 || (b->edge - edge) >> shift == 0);
        FUZZ_CHECK((int32_t)(c->rcv_adv - b->edge) >= 0);
    }
    if (!b->told || (int32_t)(edge - b->edge) > 0) b->edge = edge;
    b->last_ack = s->ack;
    b->told = true;
}

static void check_conn(const struct weir_conn *c, const struct sent_tcp *s)
{
    struct rx_tcb *b = tcb_of(c);
    bool scaled, syn = (s->flags & SEG_SYN) != 0;
    uint32_t scale = option(s, 3, 2, 1, &scaled);
    FUZZ_CHECK(!scaled || (syn && scale <= 14));
    FUZZ_CHECK(!syn || (s->seq == c->iss && s->bytes == 0));
    if (s->bytes > 0) check_payload(b, c, s);
    if (s->flags & SEG_ACK) check_promises(b, c, s, syn ? 0 : c->rcv_wscale);
}

static void learn(struct rx_flow *f, const struct sent_tcp *s, unsigned shift)
{
    bool there, syn = (s->flags & SEG_SYN) != 0;
    uint32_t end = s->seq + s->bytes + syn + ((s->flags & SEG_FIN) != 0);
    uint32_t ts = option(s, 8, 2, 4, &there);
    if (there) f->echo = ts;
    if (syn) {
        f->iss = f->seen_end = s->seq;
        f->lport = s->sport;
    }
    if ((int32_t)(end - f->seen_end) > 0) f->seen_end = end;
    if ((s->flags & SEG_ACK) == 0) return;
    f->last_ack = s->ack;
    f->edge = s->ack + ((uint32_t)s->win << shift);
}

/* Without a connection it is from TIME-WAIT's table, the last word of one that is gone, or a cookie, whose
 * numbers the peer must know to answer it. */
static void tcp_sent(const struct sent_tcp *s)
{
    struct rx_flow *f = rx_flow_of(s->dst, s->dport);
    const struct weir_conn *c = weir_conn_lookup(&rx.w->tcp, s->src, s->sport, s->dst, s->dport);
    if (c == NULL && f != NULL && (s->flags & (SEG_SYN | SEG_ACK)) == (SEG_SYN | SEG_ACK)) learn(f, s, 0);
    if (c == NULL || (s->flags & SEG_RST)) return;
    /* The last word of the connection before, whose TIME-WAIT a SYN of the same burst has ended. */
    if ((int32_t)(s->seq - c->iss) < 0) return;
    check_conn(c, s);
    if (f != NULL) learn(f, s, s->flags & SEG_SYN ? 0 : c->rcv_wscale);
}

static void check_sum(const uint8_t *ip, const uint8_t *l4, uint32_t n, uint32_t field,
                      const struct weir_frame *f)
{
    uint32_t pseudo = (uint32_t)seg_sum(0, ip + 12, 8) + ip[9] + n;
    if (f->flags & WEIR_FRAME_CSUM_NEEDED) {
        FUZZ_CHECK(l4 == ip - (rx.dev.dev.caps.link == WEIR_LINK_ETHER ? 14 : 0) + f->csum_start);
        FUZZ_CHECK(f->csum_field == field);
        FUZZ_CHECK(weir_be16(l4 + field) == seg_sum(pseudo, l4, 0));
    } else {
        FUZZ_CHECK(seg_sum(pseudo, l4, n) == 0xffff);
    }
}

static void parse_tcp(const uint8_t *ip, const uint8_t *l4, uint32_t n, const struct weir_frame *f)
{
    uint32_t hdr = (uint32_t)(l4[12] >> 4) * 4;
    FUZZ_CHECK(n >= 20 && hdr >= 20 && hdr <= n);
    check_sum(ip, l4, n, 16, f);
    struct sent_tcp s = {.src = weir_be32(ip + 12),
                         .dst = weir_be32(ip + 16),
                         .seq = weir_be32(l4 + 4),
                         .ack = weir_be32(l4 + 8),
                         .bytes = n - hdr,
                         .sport = weir_be16(l4),
                         .dport = weir_be16(l4 + 2),
                         .win = weir_be16(l4 + 14),
                         .flags = l4[13],
                         .opts = l4 + 20,
                         .payload = l4 + hdr,
                         .opt_bytes = hdr - 20};
    tcp_sent(&s);
}

static void ip_sent(const uint8_t *ip, uint32_t n, const struct weir_frame *f)
{
    uint32_t total = weir_be16(ip + 2);
    FUZZ_CHECK(n >= 28 && ip[0] == 0x45 && total == n && ip[8] >= 32);
    FUZZ_CHECK(seg_sum(0, ip, 20) == 0xffff);
    FUZZ_CHECK(weir_be32(ip + 12) == RX_IP && weir_be32(ip + 16) != RX_IP);
    if (ip[9] == 6)
        parse_tcp(ip, ip + 20, n - 20, f);
    else
        FUZZ_CHECK(ip[9] == 1 && seg_sum(0, ip + 20, n - 20) == 0xffff);
}

void rx_sent(void *ctx, const uint8_t *bytes, const struct weir_frame *f)
{
    (void)ctx;
    if (rx.dev.dev.caps.link == WEIR_LINK_RAW_IP) {
        ip_sent(bytes, f->bytes, f);
        return;
    }
    FUZZ_CHECK(f->bytes >= 34);
    if (weir_be16(bytes + 12) == 0x0806) {
        answer_arp(bytes, f->bytes);
        return;
    }
    FUZZ_CHECK(weir_be16(bytes + 12) == 0x0800);
    ip_sent(bytes + 14, f->bytes - 14, f);
}
