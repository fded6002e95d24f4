/* tcp_fast.c: header prediction (Van Jacobson, 1988) across the layers: the frame that brings an established
 * connection's next segment, as it is expected, is taken in at once, without the questions whose answers are
 * known.
 *
 * Expected is: one piece; for our Ethernet address and not from it or a group; IPv4 without options, no
 * fragment, a right header; TCP between addresses and ports of a connection that is established; no flag but
 * ACK and PSH; timestamps in the usual place if they were agreed on, else no options; in order, inside the
 * window; an acknowledgement of something that is out, or of nothing new but with payload; nothing lost, no
 * window shut, no FIN seen, the application there.
 *
 * Whether these addresses may be and are ours is not asked. A connection is established by a segment from its
 * peer that came the full way (tcp_input.c, syn.c, cookie.c), where both were checked, against the one
 * interface that there was and is: with several this file always answers no. So do raw bytes of the addresses
 * suffice, and an interface that is attached later can't make them wrong.
 *
 * Invariant: what is taken leaves, bit for bit, the state and the debts that rx.c, ip4_in.c, tcp_input.c,
 * tcp_ack.c and tcp_data.c would have left; what is not taken is not touched. So this file may always answer
 * no: weir_tcp.full_path makes it, and predict_test.c feeds two instances the same frames, one with and one
 * without, and compares them. */
#include "tcp/tcp.h"

#include "base/bits.h"
#include "base/csum.h"
#include "base/order.h"
#include "wire/eth.h"

#define TS_WORD 0x0101080au /* NOP, NOP, TS, 10 bytes */
#define HEADERS (WEIR_IP4_BYTES + WEIR_TCP_BYTES)

/* With one of these the full path has more to do. */
#define UNUSUAL                                                                                              \
    (WEIR_C_DETACHED | WEIR_C_RECOVERY | WEIR_C_RTO | WEIR_C_PERSIST | WEIR_C_FORCE | WEIR_C_FIN_SEEN)

/* Four bytes of a header under a mask, both written as the header has them from left to right. */
static inline bool reads(const uint8_t *p, uint32_t mask, uint32_t as)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return (v & WEIR_NET32(mask)) == WEIR_NET32(as);
}

/* What was read of the segment. */
struct expected {
    uint32_t hdr_bytes, bytes; /* of the TCP header; of payload */
    uint32_t seq, ack, wnd;
    uint32_t tsval, tsecr; /* where timestamps were agreed on */
};

/* The IPv4 packet in the frame's one piece, NULL: it is another kind of frame. *room gets the bytes from there
 * on. */
static inline const uint8_t *packet(const struct weir_ifc *ifc, const struct weir_frame *f, uint32_t *room)
{
    const uint8_t *p = f->pieces[0].addr;
    *room = f->pieces[0].bytes;
    if (!ifc->ether) return *room >= HEADERS && p[0] == 0x45 ? p : NULL;
    if (*room < WEIR_ETH_BYTES + HEADERS) return NULL;
    *room -= WEIR_ETH_BYTES;
    if (weir_mac_word(p) != ifc->mac_word || weir_mac_word(p + 6) == ifc->mac_word) return NULL;
    if (weir_mac_is_group(p + 6)) return NULL;
    /* Type, version, header length: side by side. */
    return reads(p + 12, 0xffffff00u, WEIR_ETHERTYPE_IP4 << 16 | 0x4500u) ? p + WEIR_ETH_BYTES : NULL;
}

/* The rest of the IPv4 header: its length in all, or 0. */
static inline uint32_t packet_bytes(const uint8_t *p, uint32_t room)
{
    uint32_t total = weir_be16(p + 2);
    if (total - HEADERS > room - HEADERS) return 0;           /* too large where it is less than HEADERS */
    if (!reads(p + 6, 0x3fff00ffu, WEIR_PROTO_TCP)) return 0; /* no more fragments, no offset, the protocol */
    return weir_csum_fold(weir_csum_20(p)) == 0xffff ? total : 0;
}

/* Reads the TCP header; false: it is not of the expected form. */
static inline bool read_header(struct expected *e, const uint8_t *p, uint32_t l4_bytes, bool ts)
{
    const uint32_t form = 0xfff70000u; /* length and flags, but for PSH */
    uint32_t hdr_bytes = ts ? WEIR_TCP_BYTES + WEIR_TCP_TS_BYTES : WEIR_TCP_BYTES;
    if (l4_bytes < hdr_bytes || !reads(p + 12, form, hdr_bytes << 26 | WEIR_TCP_ACK << 16)) return false;
    e->tsval = e->tsecr = 0;
    if (ts) {
        if (!reads(p + WEIR_TCP_BYTES, 0xffffffffu, TS_WORD)) return false;
        e->tsval = weir_be32(p + WEIR_TCP_BYTES + 4);
        e->tsecr = weir_be32(p + WEIR_TCP_BYTES + 8);
    }
    e->hdr_bytes = hdr_bytes;
    e->bytes = l4_bytes - hdr_bytes;
    e->seq = weir_be32(p + 4);
    e->ack = weir_be32(p + 8);
    e->wnd = weir_be16(p + 14);
    return true;
}

static inline bool is_expected(const struct weir_conn *c, const struct expected *e)
{
    if (e->seq != c->rcv_nxt || e->bytes > c->rcv_adv - c->rcv_nxt) return false;
    if (e->ack - c->tx.una > c->tx.nxt - c->tx.una) return false;
    if (e->bytes == 0 && e->ack == c->tx.una) return false;
    if ((c->flags & WEIR_C_TS) && weir_seq_lt(e->tsval, c->ts_recent)) return false;
    if (c->tx.lost != 0 || c->snd_wnd == 0) return false;
    return e->wnd != 0;
}

/* Summed here, where the device has not. */
static WEIR_APART bool sum_good(const struct weir_conn *c, const uint8_t *l4, uint32_t bytes)
{
    uint64_t sum = weir_csum_pseudo4(c->raddr, c->laddr, WEIR_PROTO_TCP, bytes);
    return weir_csum_fold(weir_csum_add(sum, l4, bytes, 0)) == 0xffff;
}

/* What each acknowledgement of something new says. */
static inline void note_ack(struct weir_tcp *t, struct weir_conn *c, struct weir_ifc *ifc, uint32_t acked,
                            uint32_t flight)
{
    c->retries = 0;
    c->error = 0;
    if (ifc->ether) weir_neigh_confirm(&ifc->neigh, c->next_hop, t->now_ms);
    c->limited = 0;
    c->dupacks = 0;
    weir_cc_newreno_acked(c, acked, flight + c->seg_max > c->cwnd);
}

/* tcp_ack.c's new_ack. */
static WEIR_APART void take_ack_full(struct weir_tcp *t, struct weir_conn *c, struct weir_ifc *ifc,
                                     uint32_t ack, uint32_t tsecr)
{
    uint32_t flight = c->tx.nxt - c->tx.una;
    struct weir_txack ta = weir_txlist_ack(&c->tx, &t->mem, ack);
    if (weir_seq_lt(c->sq.una, ack)) (void)weir_sendq_ack(&c->sq, &t->mem, ack);
    weir_tcp_ack_rtt(t, c, &ta, tsecr);
    note_ack(t, c, ifc, ta.acked, flight);
    if (c->tx.una == c->tx.nxt)
        weir_tcp_all_acked(t, c);
    else
        weir_tcp_rexmt_start(t, c);
    weir_conn_writable(t, c);
    if (c->sq.end != c->tx.nxt) weir_conn_dirty(t, c);
}

/* The same for all that was written, in one piece and one record: an answer has arrived. */
static inline void take_ack(struct weir_tcp *t, struct weir_conn *c, struct weir_ifc *ifc, uint32_t ack,
                            uint32_t tsecr)
{
    bool whole = c->sq.n == 1 && ack == c->sq.end && !c->sq.closed;
    if (!whole || !weir_txlist_is_plain(&c->tx, &t->mem, ack)) {
        take_ack_full(t, c, ifc, ack, tsecr);
        return;
    }
    uint32_t acked = ack - c->tx.una, sent_us = weir_txlist_ack_plain(&c->tx, &t->mem);
    weir_sendq_ack_plain(&c->sq, &t->mem);
    weir_tcp_rtt(t, c, (uint32_t)t->now_us - sent_us);
    note_ack(t, c, ifc, acked, acked);
    weir_tcp_all_acked(t, c);
    if (c->flags & WEIR_C_ARM_WRITE) weir_conn_writable(t, c);
}

/* tcp_ack.c's window_update, with a window that is open before and after. */
static inline void take_window(struct weir_tcp *t, struct weir_conn *c, const struct expected *e)
{
    c->snd_wnd = e->wnd;
    c->snd_wl1 = e->seq;
    c->snd_wl2 = e->ack;
    if (e->wnd > c->max_snd_wnd) c->max_snd_wnd = e->wnd;
    c->probes = 0;
    if (c->sq.end != c->tx.nxt) weir_conn_dirty(t, c);
}

/* Payload that the queue must think about. */
static WEIR_APART void take_data_full(struct weir_tcp *t, struct weir_conn *c, const struct weir_frame *f,
                                      const uint8_t *data, uint32_t bytes)
{
    struct weir_rxpkt pkt = {.frame = f, .l4_at = (uint32_t)(data - f->pieces[0].addr)};
    struct weir_seg s = {.pkt = &pkt, .seq = c->rcv_nxt, .bytes = bytes};
    (void)weir_tcp_data_input(t, c, &s); /* as if the header had no bytes: data begins at l4_at */
}

static inline void take_data(struct weir_tcp *t, struct weir_conn *c, const struct weir_frame *f,
                             struct weir_zhead *h, const uint8_t *data, uint32_t bytes)
{
    if (!weir_recvq_alone(&c->rq, &t->mem, h, (uint8_t *)(uintptr_t)data, bytes, c->rcv_nxt)) {
        take_data_full(t, c, f, data, bytes);
        return;
    }
    c->rcv_nxt += bytes;
    t->stats->rx_bytes += bytes;
    c->rx_bytes += bytes;
    weir_conn_readable(t, c);
    weir_tcp_choose_ack(t, c, bytes, false);
}

/* All but its payload. */
static inline void take_header(struct weir_tcp *t, struct weir_conn *c, struct weir_ifc *ifc,
                               const struct expected *e)
{
    bool told = weir_tcp_tells_window(c, e->seq, e->ack), acks = e->ack != c->tx.una;
    t->stats->rx_segments++;
    if (acks) take_ack(t, c, ifc, e->ack, e->tsecr);
    if (told) take_window(t, c, e);
    if ((c->flags & WEIR_C_TS) && !weir_seq_lt(c->last_ack_sent, e->seq)) {
        c->ts_recent = e->tsval;
        c->ts_recent_ms = t->now_ms;
    }
    c->heard_ms = t->now_ms;
    c->keep_probes = 0;
}

static WEIR_APART struct weir_conn *look_up(struct weir_tcp *t, uint64_t addrs, uint32_t ports)
{
    return weir_conn_hinted(t, (uint32_t)addrs, (uint16_t)ports, (uint32_t)(addrs >> 32),
                            (uint16_t)(ports >> 16));
}

/* The connection of these addresses and ports, the remote ones in front, or NULL. */
static inline struct weir_conn *find(struct weir_tcp *t, uint64_t addrs, uint32_t ports)
{
    struct weir_conn *c = t->hint[weir_conn_hint((uint32_t)(addrs >> 32), ports >> 16)];
    if (!c || ((uint32_t)c->rport << 16 | c->lport) != ports) return look_up(t, addrs, ports);
    if (((uint64_t)c->raddr << 32 | c->laddr) != addrs) return look_up(t, addrs, ports);
    return c;
}

bool weir_tcp_fast_frame(struct weir_tcp *t, struct weir_ifc *ifc, const struct weir_frame *f,
                         struct weir_zhead *h)
{
    struct expected e;
    uint32_t room, total;
    if (t->ip->n_ifc != 1 || t->full_path) return false;
    const uint8_t *p = packet(ifc, f, &room);
    if (!p || !(total = packet_bytes(p, room))) return false;
    struct weir_conn *c = find(t, weir_be64(p + 12), weir_be32(p + WEIR_IP4_BYTES));
    if (!c || c->state != WEIR_TCP_ESTABLISHED) return false;
    if ((c->flags & (UNUSUAL | WEIR_C_HASHED)) != WEIR_C_HASHED)
        return false; /* else it is a stale hint, too */
    p += WEIR_IP4_BYTES;
    total -= WEIR_IP4_BYTES;
    if (!read_header(&e, p, total, (c->flags & WEIR_C_TS) != 0)) return false;
    e.wnd <<= c->snd_wscale;
    if (!is_expected(c, &e)) return false;
    if (!(f->flags & (WEIR_FRAME_CSUM_GOOD | WEIR_FRAME_CSUM_NEEDED)) && !sum_good(c, p, total)) return false;
    take_header(t, c, ifc, &e);
    if (e.bytes) take_data(t, c, f, h, p + e.hdr_bytes, e.bytes);
    return true;
}
