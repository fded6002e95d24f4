/* tcp_plain.c: the segment that is sent most: an acknowledgement, with or without payload that fits one
 * segment and lies in one piece. Its headers go into the block word by word, from numbers that are at hand.
 *
 * Invariant: the frame, and everything that it leaves behind, is bit for bit what tcp_segment.c would make;
 * what is not plain is left to it, untouched. weir_tcp.full_path turns this file off; predict_test.c
 * compares. */
#include "base/csum.h"
#include "base/order.h"
#include "tcp/tcp.h"
#include "wire/eth.h"

#define TS_WORD 0x0101080au /* NOP, NOP, TS, 10 bytes */

struct plain {
    struct weir_piece data;
    struct weir_zhead *head; /* of data's zbuf; NULL: there is no payload */
    uint32_t seq, l4_bytes;
    uint32_t wnd; /* as it goes into the header */
    uint8_t flags;
    const uint8_t *mac;
};

/* Whether the bytes lie in the send queue's last descriptor, and in a form that the device takes as one
 * piece. */
static bool one_piece(const struct weir_tcp *t, const struct weir_conn *c,
                      const struct weir_netdev_caps *caps, struct plain *s)
{
    if (c->sq.last == 0) return false;
    const struct weir_pbuf *p = weir_pbuf_at(&t->mem, c->sq.last);
    if (weir_seq_lt(s->seq, p->seq)) return false;
    s->data.addr = p->addr + (s->seq - p->seq);
    if (caps->max_piece_bytes != 0 && s->data.bytes > caps->max_piece_bytes) return false;
    if (caps->boundary != 0 &&
        s->data.bytes > caps->boundary - (uint32_t)((uintptr_t)s->data.addr & (caps->boundary - 1)))
        return false;
    s->head = weir_zpool_head(t->mem.z, p->addr);
    return s->head->stk != UINT16_MAX;
}

/* The one's complement sum, in 16 bits, of a sum of a few 32-bit words: a number plus itself with its halves
 * swapped has their sum in the upper half, its carry added in. */
static inline uint32_t folded(uint64_t sum)
{
    uint32_t x = (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);
    return (x + (x << 16 | x >> 16)) >> 16;
}

static void put_ip(uint8_t *p, const struct weir_conn *c, uint32_t l4_bytes, uint16_t id, uint64_t addrs)
{
    uint32_t first = 0x45000000u | (WEIR_IP4_BYTES + l4_bytes), second = (uint32_t)id << 16 | WEIR_IP4_DF;
    uint32_t third = WEIR_IP4_TTL << 24 | (uint32_t)WEIR_PROTO_TCP << 16;
    weir_put_be32(p, first);
    weir_put_be32(p + 4, second);
    weir_put_be32(p + 8, third | (folded(addrs + first + second + third) ^ 0xffff));
    weir_put_be32(p + 12, c->laddr);
    weir_put_be32(p + 16, c->raddr);
}

/* Header and options; the checksum field gets `csum`. */
WEIR_TEMPLATE void put_tcp(uint8_t *p, const struct weir_tcp *t, const struct weir_conn *c,
                           const struct plain *s, uint32_t hdr_bytes, uint32_t csum)
{
    weir_put_be32(p, (uint32_t)c->lport << 16 | c->rport);
    weir_put_be32(p + 4, s->seq);
    weir_put_be32(p + 8, c->rcv_nxt);
    weir_put_be32(p + 12, hdr_bytes << 26 | (uint32_t)s->flags << 16 | s->wnd);
    weir_put_be32(p + 16, csum << 16);
    if (hdr_bytes == WEIR_TCP_BYTES) return;
    weir_put_be32(p + 20, TS_WORD);
    weir_put_be32(p + 24, t->now_ms + c->ts_offset);
    weir_put_be32(p + 28, c->ts_recent);
}

/* Without the device's help. The field holds the pseudo-header's sum, which is where it has to be added. */
static void finish_csum(uint8_t *l4, uint32_t hdr_bytes, const struct weir_piece *data)
{
    uint64_t sum = weir_csum_add(0, l4, hdr_bytes, 0);
    if (data->bytes) sum = weir_csum_add(sum, data->addr, data->bytes, 0);
    weir_put_be16(l4 + WEIR_TCP_CSUM_AT, weir_csum_done(sum));
}

/* All headers but what the device does not do; hdr_bytes: of the TCP header; lower: of those in front of it. */
WEIR_TEMPLATE void put_headers(const struct weir_tcp *t, const struct weir_conn *c, struct weir_ifc *ifc,
                               const struct plain *s, uint8_t *l4, uint32_t hdr_bytes, uint32_t lower)
{
    uint32_t l4_bytes = hdr_bytes + s->data.bytes;
    uint64_t addrs = (uint64_t)c->laddr + c->raddr;
    put_tcp(l4, t, c, s, hdr_bytes, folded(addrs + WEIR_PROTO_TCP + l4_bytes));
    put_ip(l4 - WEIR_IP4_BYTES, c, l4_bytes, ifc->ip_id++, addrs);
    if (lower > WEIR_IP4_BYTES) weir_eth_put(l4 - lower, s->mac, ifc->mac, WEIR_ETHERTYPE_IP4);
}

/* The checksum, and who finishes it. */
static inline void put_csum(const struct weir_ifc *ifc, struct weir_frame *f, const struct plain *s,
                            uint8_t *l4, uint32_t hdr_bytes, uint32_t lower)
{
    bool device = (ifc->dev->caps.offloads & WEIR_OFF_TX_CSUM) != 0;
    f->flags = device ? WEIR_FRAME_CSUM_NEEDED : 0;
    f->csum_start = (uint16_t)(device ? lower : 0);
    f->csum_field = device ? WEIR_TCP_CSUM_AT : 0;
    if (!device) finish_csum(l4, hdr_bytes, &s->data);
}

static void build(struct weir_tcp *t, struct weir_conn *c, struct weir_ifc *ifc, const struct plain *s,
                  uint8_t *l4, uint32_t hdr_bytes, uint32_t lower)
{
    put_headers(t, c, ifc, s, l4, hdr_bytes, lower);
    bool bare = ifc->txq.bare_next;
    ifc->txq.bare_next = false;
    if (bare) ifc->txq.bare |= (uint64_t)1 << ifc->txq.n;
    struct weir_frame *f = weir_txq_place(&ifc->txq, lower + hdr_bytes + s->data.bytes);
    put_csum(ifc, f, s, l4, hdr_bytes, lower);
    weir_txq_piece(&ifc->txq, f, l4 - lower, lower + hdr_bytes);
    if (!s->head) return;
    (void)weir_zpool_ref(t->mem.z, s->head, WEIR_OWNER_TXWAIT);
    weir_txq_piece(&ifc->txq, f, s->data.addr, s->data.bytes);
}

/* Whether the frame could leave at once. */
static bool ready(const struct weir_tcp *t, const struct weir_conn *c, struct weir_ifc *ifc, struct plain *s)
{
    if (!ifc->up || !weir_txq_has_place(&ifc->txq, 2)) return false;
    if (!ifc->ether) return true;
    struct weir_neigh_entry *e = weir_neigh_hit(&ifc->neigh, c->next_hop);
    if (!e) return false;
    e->used_ms = t->now_ms;
    s->mac = e->mac;
    return true;
}

static bool plain(struct weir_tcp *t, struct weir_conn *c, uint32_t seq, uint32_t bytes, uint8_t flags,
                  enum weir_send *sent)
{
    struct weir_ifc *ifc = &t->ip->ifc[c->ifc];
    struct plain s;
    s.seq = seq;
    s.flags = flags;
    s.data = (struct weir_piece){NULL, bytes};
    s.head = NULL;
    s.mac = ifc->mac; /* of nobody, without Ethernet */
    if (bytes && !one_piece(t, c, &ifc->dev->caps, &s)) return false;
    if (!ready(t, c, ifc, &s)) return false;
    if (bytes) c->sq.cur = c->sq.last;
    uint8_t *l4 = weir_ip4_block_now(t->ip, ifc);
    *sent = l4 ? WEIR_SEND_OK : WEIR_SEND_WAIT_HEADER;
    if (!l4) return true;
    s.wnd = weir_tcp_window(t, c);
    build(t, c, ifc, &s, l4, WEIR_TCP_BYTES + (c->flags & WEIR_C_TS ? WEIR_TCP_TS_BYTES : 0),
          weir_ip4_lower(ifc));
    weir_tcp_note_sent(t, c, flags, bytes);
    return true;
}

bool weir_tcp_plain(struct weir_tcp *t, struct weir_conn *c, uint32_t seq, uint32_t bytes, uint8_t flags,
                    enum weir_send *sent)
{
    if ((flags & ~(unsigned)WEIR_TCP_PSH) != WEIR_TCP_ACK || bytes > weir_tcp_eff_mss(c)) return false;
    return plain(t, c, seq, bytes, flags, sent);
}

/* Idle for longer than the time-out (RFC 5681 4.1). */
static inline bool was_idle(const struct weir_tcp *t, const struct weir_conn *c)
{
    uint32_t ms = t->now_ms - c->heard_ms;
    return ms != 0 && ms > c->rto_us / 1000;
}

/* weir_tcp_window, where the edge that is told certainly stays where it is; 0: it has to be asked. */
static inline uint32_t window_as_before(const struct weir_tcp *t, const struct weir_conn *c)
{
    uint32_t most = c->rcv_nxt + c->rcvbuf - c->rcv_adv;
    if (most >= c->mss || most >= c->rcvbuf / 2) return 0; /* the least step of the edge */
    if (t->mem.press.rung != WEIR_RUNG_NONE || (c->flags & (WEIR_C_CUT | WEIR_C_SHUT))) return 0;
    uint32_t wnd = (c->rcv_adv - c->rcv_nxt) >> c->rcv_wscale;
    weir_must(wnd <= 65535); /* it was told so before */
    return wnd;
}

/* The most frequent of plain segments: over Ethernet, with timestamps, in the output phase of a synchronous device,
 * which needs no references. weir_txq_ask was called. false: nothing was done. */
static inline bool lean(struct weir_tcp *t, struct weir_conn *c, struct weir_ifc *ifc, uint32_t seq,
                        uint32_t bytes)
{
    enum { HDR = WEIR_TCP_BYTES + WEIR_TCP_TS_BYTES, LOWER = WEIR_ETH_BYTES + WEIR_IP4_BYTES };
    struct weir_txq *q = &ifc->txq;
    const struct weir_pbuf *p =
        weir_pbuf_at(&t->mem, c->sq.last); /* the queue is not empty: there are bytes */
    struct weir_neigh_entry *e =
        weir_neigh_hit(&ifc->neigh, c->next_hop); /* only with Ethernet is there one */
    if (!t->ip->at_once || !e || !(c->flags & WEIR_C_TS)) return false;
    if (weir_seq_lt(seq, p->seq) || bytes > ifc->piece_max) return false;
    if (q->n >= q->room || q->n != q->lean || q->pieces + 2 > q->max_pieces) return false;
    struct plain s = {.seq = seq, .flags = WEIR_TCP_ACK | WEIR_TCP_PSH, .wnd = window_as_before(t, c)};
    const struct weir_zhead *h = s.wnd ? weir_txq_borrow(q) : NULL;
    if (!h) return false;
    uint8_t *l4 = weir_zpool_first(q->z, h) + ifc->l4_at;
    WEIR_KEEP(l4);
    e->used_ms = t->now_ms;
    s.mac = e->mac;
    s.data = (struct weir_piece){p->addr + (seq - p->seq), bytes};
    c->sq.cur = c->sq.last;
    put_headers(t, c, ifc, &s, l4, HDR, LOWER);
    struct weir_frame *f = weir_txq_place_lean(q, LOWER + HDR + bytes, 2);
    f->pieces[0] = (struct weir_piece){l4 - LOWER, LOWER + HDR};
    f->pieces[1] = s.data;
    put_csum(ifc, f, &s, l4, HDR, LOWER);
    weir_tcp_note_sent(t, c, WEIR_TCP_ACK, bytes);
    return true;
}

static WEIR_APART int answer_plain(struct weir_tcp *t, struct weir_conn *c, uint32_t seq, uint32_t bytes)
{
    enum weir_send sent;
    if (!plain(t, c, seq, bytes, WEIR_TCP_ACK | WEIR_TCP_PSH, &sent)) return WEIR_NO_ANSWER;
    if (sent != WEIR_SEND_OK) return (int)sent;
    (void)weir_txlist_sent(&c->tx, &t->mem, seq + bytes, (uint32_t)t->now_us);
    if (!(c->flags & WEIR_C_TIMING)) weir_tcp_rexmt_start(t, c);
    return WEIR_SEND_OK;
}

int weir_tcp_answer(struct weir_tcp *t, struct weir_conn *c)
{
    const uint32_t special = WEIR_C_FORCE | WEIR_C_CORK;
    struct weir_ifc *ifc = &t->ip->ifc[c->ifc];
    WEIR_KEEP(ifc);
    weir_txq_ask(&ifc->txq);
    uint32_t seq = c->tx.nxt, bytes = c->sq.end - seq;
    if (c->state != WEIR_TCP_ESTABLISHED || (c->flags & special) || c->tx.lost || c->sq.closed)
        return WEIR_NO_ANSWER;
    if (bytes - 1 >= c->eff_mss || bytes > c->tx.una + c->snd_wnd - seq)
        return WEIR_NO_ANSWER;                                           /* wraps to too much, */
    if (weir_seq_lt(c->tx.una + c->snd_wnd, seq)) return WEIR_NO_ANSWER; /* or is seen here */
    if (c->cwnd < c->tx.pipe + bytes || was_idle(t, c)) return WEIR_NO_ANSWER;
    if (!(c->flags & WEIR_C_NODELAY) && c->tx.una != seq) return WEIR_NO_ANSWER;
    if (!weir_txlist_room(&c->tx, &t->mem)) return WEIR_NO_ANSWER;
    if (c->tx.first != 0 || !lean(t, c, ifc, seq, bytes)) return answer_plain(t, c, seq, bytes);
    weir_txlist_sent_first(&c->tx, &t->mem, seq + bytes, (uint32_t)t->now_us);
    if (!(c->flags & WEIR_C_TIMING)) weir_tcp_rexmt_start(t, c);
    return WEIR_SEND_OK;
}
