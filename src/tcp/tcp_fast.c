/* tcp_fast.c: header prediction (Van Jacobson, 1988): an established connection's next segment, as it is
 * expected, is taken in without the questions whose answers it knows.
 *
 * Expected is: no flag but ACK and PSH; timestamps in the usual place if they were agreed on, else no
 * options; in order, inside the window, in one piece; an acknowledgement of something that is out, or of
 * nothing new but with payload; nothing lost, no window shut, no FIN seen, the application there.
 *
 * Invariant: what is taken leaves, bit for bit, the state and the debts that tcp_input.c, tcp_ack.c and
 * tcp_data.c would have left; what is not taken is not touched. So this file may always answer no:
 * weir_tcp.full_path makes it, and predict_test.c feeds two instances the same segments, one with and one
 * without, and compares them. */
#include "tcp/tcp.h"

#include "base/bits.h"
#include "base/order.h"

#define TS_BYTES 12u
#define TS_WORD  0x0101080au /* NOP, NOP, TS, 10 bytes */

#define FORM(hdr_bytes) ((hdr_bytes) << 10 | WEIR_TCP_ACK) /* header length and flags, but for PSH */

/* With one of these the full path has more to do. */
#define UNUSUAL                                                                                              \
    (WEIR_C_DETACHED | WEIR_C_RECOVERY | WEIR_C_RTO | WEIR_C_PERSIST | WEIR_C_FORCE | WEIR_C_FIN_SEEN)

/* What was read of the segment. */
struct expected {
    const uint8_t *data;
    uint32_t hdr_bytes, bytes;
    uint32_t seq, ack, wnd;
    uint32_t tsval, tsecr; /* where timestamps were agreed on */
};

/* Reads the header; false: it is not of the expected form. */
static bool read_header(struct expected *e, const struct weir_rxpkt *pkt, bool ts)
{
    const uint8_t *p = pkt->l4;
    uint32_t form = weir_be16(p + 12) & ~(uint32_t)WEIR_TCP_PSH;
    if (pkt->l4_here != pkt->l4_bytes) return false;
    e->seq = weir_be32(p + 4);
    e->ack = weir_be32(p + 8);
    e->wnd = weir_be16(p + 14);
    if (ts) {
        e->hdr_bytes = WEIR_TCP_BYTES + TS_BYTES;
        if (form != FORM(WEIR_TCP_BYTES + TS_BYTES) || pkt->l4_here < WEIR_TCP_BYTES + TS_BYTES) return false;
        if (weir_be32(p + WEIR_TCP_BYTES) != TS_WORD) return false;
        e->tsval = weir_be32(p + WEIR_TCP_BYTES + 4);
        e->tsecr = weir_be32(p + WEIR_TCP_BYTES + 8);
    } else {
        e->hdr_bytes = WEIR_TCP_BYTES;
        if (form != FORM(WEIR_TCP_BYTES)) return false;
        e->tsval = e->tsecr = 0;
    }
    e->bytes = pkt->l4_bytes - e->hdr_bytes;
    e->data = p + e->hdr_bytes;
    return true;
}

static bool is_expected(const struct weir_conn *c, const struct expected *e)
{
    if (e->seq != c->rcv_nxt || e->bytes > c->rcv_adv - c->rcv_nxt) return false;
    if (e->ack - c->tx.una > c->tx.nxt - c->tx.una) return false;
    if (e->bytes == 0 && e->ack == c->tx.una) return false;
    if ((c->flags & WEIR_C_TS) && weir_seq_lt(e->tsval, c->ts_recent)) return false;
    return c->tx.lost == 0 && c->snd_wnd != 0 && e->wnd != 0;
}

/* tcp_ack.c's new_ack. */
static void take_ack(struct weir_tcp *t, struct weir_conn *c, uint32_t ack, uint32_t tsecr)
{
    uint32_t flight = c->tx.nxt - c->tx.una;
    struct weir_txack ta = weir_txlist_ack(&c->tx, &t->mem, ack);
    if (weir_seq_lt(c->sq.una, ack)) (void)weir_sendq_ack(&c->sq, &t->mem, ack);
    weir_tcp_ack_rtt(t, c, &ta, tsecr);
    c->retries = 0;
    c->error = 0;
    weir_tcp_confirm(t, c);
    c->limited = 0;
    c->dupacks = 0;
    weir_cc_newreno.acked(c, ta.acked, flight + weir_tcp_segment_max(t, c) > c->cwnd);
    if (c->tx.una == c->tx.nxt)
        weir_tcp_all_acked(t, c);
    else
        weir_tcp_rexmt_start(t, c);
    if (c->flags & WEIR_C_ARM_WRITE) weir_conn_writable(t, c);
    if (c->sq.end != c->tx.nxt) weir_conn_dirty(t, c);
}

/* tcp_ack.c's window_update, with a window that is open before and after. */
static void take_window(struct weir_tcp *t, struct weir_conn *c, const struct expected *e)
{
    if (!weir_tcp_tells_window(c, e->seq, e->ack)) return;
    c->snd_wnd = e->wnd;
    c->snd_wl1 = e->seq;
    c->snd_wl2 = e->ack;
    c->max_snd_wnd = weir_max_u32(c->max_snd_wnd, e->wnd);
    c->probes = 0;
    if (c->sq.end != c->tx.nxt) weir_conn_dirty(t, c);
}

/* Payload that the queue must think about. */
static WEIR_APART void take_data_full(struct weir_tcp *t, struct weir_conn *c, const struct weir_rxpkt *pkt,
                                      const struct expected *e)
{
    struct weir_seg s = {.pkt = pkt, .seq = e->seq, .bytes = e->bytes};
    s.h.hdr_bytes = (uint8_t)e->hdr_bytes;
    (void)weir_tcp_data_input(t, c, &s);
}

static void take_data(struct weir_tcp *t, struct weir_conn *c, const struct weir_rxpkt *pkt,
                      const struct expected *e)
{
    uint8_t *data = (uint8_t *)(uintptr_t)e->data;
    if (!weir_recvq_alone(&c->rq, &t->mem, pkt->head, data, e->bytes, e->seq)) {
        take_data_full(t, c, pkt, e);
        return;
    }
    c->rcv_nxt += e->bytes;
    t->stats->rx_bytes += e->bytes;
    c->rx_bytes += e->bytes;
    weir_conn_readable(t, c);
    weir_tcp_choose_ack(t, c, e->bytes, false);
}

bool weir_tcp_fast_input(struct weir_tcp *t, const struct weir_rxpkt *pkt)
{
    struct expected e;
    const uint8_t *p = pkt->l4;
    if (pkt->l4_here < WEIR_TCP_BYTES) return false;
    struct weir_conn *c = weir_conn_hinted(t, pkt->ip.dst, weir_be16(p + 2), pkt->ip.src, weir_be16(p));
    if (!c || c->state != WEIR_TCP_ESTABLISHED || (c->flags & UNUSUAL)) return false;
    if (!read_header(&e, pkt, (c->flags & WEIR_C_TS) != 0)) return false;
    e.wnd <<= c->snd_wscale;
    if (!is_expected(c, &e) || !weir_ip4_csum_ok(pkt)) return false;
    t->stats->rx_segments++;
    if (e.ack != c->tx.una) take_ack(t, c, e.ack, e.tsecr);
    take_window(t, c, &e);
    if ((c->flags & WEIR_C_TS) && !weir_seq_lt(c->last_ack_sent, e.seq)) {
        c->ts_recent = e.tsval;
        c->ts_recent_ms = t->now_ms;
    }
    c->heard_ms = t->now_ms;
    c->keep_probes = 0;
    if (e.bytes) take_data(t, c, pkt, &e);
    return true;
}
