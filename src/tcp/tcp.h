/* tcp.h: what the stack calls in TCP: segments and ICMP notes in, timers, output after the burst, and the
 * application's calls.
 *
 * Stages return verdicts; nothing here calls upward. Not thread-safe. */
#ifndef WEIR_TCP_H
#define WEIR_TCP_H

#include "base/bits.h"
#include "tcp/conn.h"
#include "tcp/rtt.h"
#include "wire/tcphdr.h"

/* MSS that a peer may ask for at least: below it headers outweigh payload and small-segment attacks pay (RFC
 * 9293 says 536 by default and sets no minimum). */
#define WEIR_TCP_MSS_MIN     64u
#define WEIR_TCP_MSS_DEFAULT 536u

#define WEIR_TCP_TS_BYTES 12u /* of the timestamps option with its two NOPs */

/* A segment after its header was parsed. */
struct weir_seg {
    struct weir_tcphdr h;
    const struct weir_rxpkt *pkt;
    uint32_t seq;   /* of the first thing that is left of it */
    uint32_t bytes; /* payload left */
    uint32_t skip;  /* payload bytes cut off in front */
    bool fin;       /* a FIN is left */
    uint32_t wnd;   /* scaled */
    bool reopens;   /* a SYN that ended a connection in TIME-WAIT */
    uint32_t after; /* with it: what that connection had not used yet */
};

/* MSS less the options that every segment carries. */
static inline uint32_t weir_tcp_eff_mss(const struct weir_conn *c)
{
    uint32_t options = c->flags & WEIR_C_TS ? WEIR_TCP_TS_BYTES : 0;
    return weir_max_u32(c->mss, WEIR_TCP_MSS_MIN) - options;
}
/* ---- tcp_timer.c: retransmission ---- */
/* The retransmission or persist timer ends in so many microseconds. */
static inline void weir_tcp_rexmt_at(struct weir_tcp *t, struct weir_conn *c, uint32_t us)
{
    /* Rounded up, and the clock may be anywhere inside its millisecond: never early. rto_max_us bounds us. */
    c->rexmt_ms = t->now_ms + (us + 999) / 1000 + 1;
    c->flags |= WEIR_C_TIMING;
    weir_conn_timer_at(t, c, c->rexmt_ms);
}
static inline void weir_tcp_rexmt_start(struct weir_tcp *t, struct weir_conn *c)
{
    c->flags &= ~(uint32_t)WEIR_C_PERSIST;
    weir_tcp_rexmt_at(t, c, c->rto_us);
}
/* ---- tcp_plain.c ---- */
/* weir_tcp_segment for an acknowledgement with at most one segment's payload in one piece. false: it is more
 * than that or can't leave now, and nothing was done. */
bool weir_tcp_plain(struct weir_tcp *, struct weir_conn *, uint32_t seq, uint32_t bytes, uint8_t flags,
                    enum weir_send *sent);
/* The usual debt of a connection on which nothing is amiss: all that was written, and it fits one segment. Sends it:
 * WEIR_SEND_OK, or why it can't leave now; nothing is left to find for the whole of weir_tcp_output then. It has to
 * look after WEIR_NO_ANSWER; nothing was done. */
#define WEIR_NO_ANSWER (-1)
int weir_tcp_answer(struct weir_tcp *, struct weir_conn *);
/* A segment was built: what it told the peer is owed no longer. */
static inline void weir_tcp_note_sent(struct weir_tcp *t, struct weir_conn *c, uint8_t flags, uint32_t bytes)
{
    if (bytes)
        t->stats->tx_segments++;
    else
        t->stats->tx_acks++;
    if (flags & WEIR_TCP_RST) t->stats->resets_sent++;
    if (!(flags & WEIR_TCP_ACK)) return;
    c->flags &= ~(uint32_t)(WEIR_C_ACK_NOW | WEIR_C_ACK_LATER);
    c->unacked = 0;
    c->last_ack_sent = c->rcv_nxt;
}
/* Bytes that one weir_tcp_segment may carry, a multiple of the effective MSS (or the MSS itself). */
static inline uint32_t weir_tcp_segment_max(const struct weir_tcp *t, const struct weir_conn *c)
{
    const struct weir_netdev_caps *caps = &t->ip->ifc[c->ifc].dev->caps;
    uint32_t mss = weir_tcp_eff_mss(c);
    if (!(caps->offloads & WEIR_OFF_TX_TSO4)) return mss;
    uint32_t l3 = weir_min_u32(65535, caps->max_frame - 14);
    uint32_t room = l3 - WEIR_IP4_BYTES - WEIR_TCP_BYTES_MAX;
    return room < 2 * mss ? mss : room - room % mss;
}
/* Sets the MSS and the two numbers above that follow from it. The interface and whether there are timestamps
 * must be known. */
static inline void weir_tcp_set_mss(const struct weir_tcp *t, struct weir_conn *c, uint32_t mss)
{
    c->mss = (uint16_t)mss;
    c->eff_mss = (uint16_t)weir_tcp_eff_mss(c);
    c->seg_max = (uint16_t)weir_tcp_segment_max(t, c);
}

/* ---- tcp_input.c ---- */
/* Any TCP packet for one of our addresses. */
enum weir_verdict weir_tcp_full_input(struct weir_tcp *, const struct weir_rxpkt *);
/* ---- tcp_fast.c ---- */
/* Takes a frame of one piece in, from its first byte on, if it brings the segment that an established connection
 * expects next; false: it is another one, and nothing was done. h: the head of the piece's zbuf. */
bool weir_tcp_fast_frame(struct weir_tcp *, struct weir_ifc *, const struct weir_frame *,
                         struct weir_zhead *h);
/* ---- syn.c: segments to listeners and in SYN-SENT ---- */
enum weir_verdict weir_tcp_listen_input(struct weir_tcp *, struct weir_listener *, struct weir_seg *);
enum weir_verdict weir_tcp_synsent_input(struct weir_tcp *, struct weir_conn *, struct weir_seg *);
/* Sequence numbers and queues of a new connection, once addresses and ports are known. */
void weir_tcp_begin(struct weir_tcp *, struct weir_conn *, uint32_t iss, uint32_t irs);
/* MSS, window scale, timestamps of the peer's SYN. */
void weir_tcp_syn_options(struct weir_tcp *, struct weir_conn *, const struct weir_tcphdr *syn);
/* The smallest shift with which 16 bits tell a window of rcvbuf bytes (RFC 7323 2.3). */
uint8_t weir_tcp_wscale(uint32_t rcvbuf);
/* Payload bytes of a full segment on this connection's interface. */
uint16_t weir_tcp_mss_for(const struct weir_tcp *, const struct weir_conn *, uint16_t peer_mss);
/* ---- cookie.c: SYN cookies ---- */
/* The initial sequence number that carries what we must remember of a SYN. */
uint32_t weir_cookie_iss(const struct weir_tcp *, const struct weir_seg *syn);
/* A timestamp at or a little before `now` (as it goes on the wire) whose low bits carry the SYN's window
 * scale. */
uint32_t weir_cookie_tsval(uint32_t now, const struct weir_tcphdr *syn);
/* Whether the acknowledgement is one of a cookie that this listener gave out lately; *syn gets what the SYN
 * offered. */
bool weir_cookie_check(const struct weir_tcp *, const struct weir_listener *, const struct weir_seg *,
                       struct weir_tcphdr *syn);
/* ---- cc_newreno.c ---- */
/* weir_cc_newreno.acked. */
static inline void weir_cc_newreno_acked(struct weir_conn *c, uint32_t acked, bool limited)
{
    if (!limited || c->cwnd >= WEIR_CWND_MAX) return;
    uint32_t grown = c->cwnd + acked;
    if (grown <= c->ssthresh && grown <= WEIR_CWND_MAX) {
        c->cwnd = grown;
        return;
    }
    if (c->cwnd < c->ssthresh) {
        uint32_t grow = weir_min_u32(acked, weir_min_u32(c->ssthresh, WEIR_CWND_MAX) - c->cwnd);
        c->cwnd += grow;
        acked -= grow; /* the rest counts for avoidance */
        if (acked == 0) return;
    }
    c->cc.acked += acked;
    if (c->cc.acked >= c->cwnd) {
        c->cc.acked -= c->cwnd;
        c->cwnd += weir_tcp_eff_mss(c);
    }
}
/* ---- tcp_ack.c: the ACK field ---- */
/* false: the segment ends here (c may be gone). */
bool weir_tcp_ack_input(struct weir_tcp *, struct weir_conn *, struct weir_seg *);
/* From the echoed timestamp, 0: none. */
void weir_tcp_ack_rtt_again(struct weir_tcp *, struct weir_conn *, uint32_t tsecr);
/* What it measures: from when what it covers was sent, or from the echoed timestamp if some of that was sent
 * twice. */
static inline void weir_tcp_ack_rtt(struct weir_tcp *t, struct weir_conn *c, const struct weir_txack *ta,
                                    uint32_t tsecr)
{
    if (ta->sample && !ta->resent)
        weir_tcp_rtt(t, c, (uint32_t)t->now_us - ta->sent_us);
    else if (tsecr)
        weir_tcp_ack_rtt_again(t, c, tsecr);
}
static inline bool weir_tcp_fin_acked(const struct weir_conn *c)
{
    return c->sq.closed && c->tx.una == c->sq.end + 1;
}
/* Nothing is out any more. */
static inline void weir_tcp_all_acked(struct weir_tcp *t, struct weir_conn *c)
{
    c->flags &= ~(uint32_t)(WEIR_C_TIMING | WEIR_C_PERSIST); /* as weir_tcp_rexmt_stop */
    if (!(c->flags & WEIR_C_SENT_DUE) || c->sq.una != c->sq.end) return;
    if (c->sq.closed && !weir_tcp_fin_acked(c)) return;
    c->flags &= ~(uint32_t)WEIR_C_SENT_DUE;
    weir_conn_event(t, c, WEIR_EV_SENT);
}
/* Whether a segment is as new as the one that told the window last. RFC 9293 3.10.7.4 looks at the sequence
 * number first; but what a peer sends again, or from an edge that was taken back (window.c), has an old one
 * and tells of now. Acknowledgements never go back. */
static inline bool weir_tcp_tells_window(const struct weir_conn *c, uint32_t seq, uint32_t ack)
{
    return weir_seq_lt(c->snd_wl2, ack) || (c->snd_wl2 == ack && weir_seq_leq(c->snd_wl1, seq));
}
/* The neighbour is reached: what we sent was acknowledged. */
static inline void weir_tcp_confirm(struct weir_tcp *t, const struct weir_conn *c)
{
    struct weir_ifc *ifc = &t->ip->ifc[c->ifc];
    if (ifc->ether) weir_neigh_confirm(&ifc->neigh, c->next_hop, t->now_ms);
}
/* ---- tcp_data.c: payload and FIN ---- */
/* c may be gone afterwards. */
enum weir_verdict weir_tcp_data_input(struct weir_tcp *, struct weir_conn *, struct weir_seg *);
static inline void weir_tcp_ack_later(struct weir_tcp *t, struct weir_conn *c)
{
    if (c->flags & (WEIR_C_ACK_NOW | WEIR_C_ACK_LATER)) return;
    c->flags |= WEIR_C_ACK_LATER;
    c->delack_ms = t->now_ms + t->delack_ms;
    weir_conn_timer_at(t, c, c->delack_ms);
}
static inline void weir_tcp_ack_now(struct weir_tcp *t, struct weir_conn *c)
{
    c->flags |= WEIR_C_ACK_NOW;
    weir_conn_dirty(t, c);
}
/* Payload was taken in: acknowledges it now or later (RFC 5681 4.2): at least every second full segment; at
 * once when something is out of order or fills a hole. */
static inline void weir_tcp_choose_ack(struct weir_tcp *t, struct weir_conn *c, uint32_t delivered,
                                       bool disorder)
{
    c->unacked += delivered;
    if (disorder || delivered == 0 || c->unacked >= 2u * c->eff_mss || t->delack_ms == 0)
        weir_tcp_ack_now(t, c);
    else
        weir_tcp_ack_later(t, c);
}
/* ---- tcp_icmp.c ---- */
void weir_tcp_icmp(struct weir_tcp *, const struct weir_icmp_note *);

/* ---- recovery.c: loss, by records ---- */
void weir_tcp_dupack(struct weir_tcp *, struct weir_conn *);
/* acked new sequence numbers arrived; called after the records were trimmed. flight: what was out before. */
void weir_tcp_newack(struct weir_tcp *, struct weir_conn *, uint32_t acked, uint32_t flight);
void weir_tcp_timeout(struct weir_tcp *, struct weir_conn *);
/* ---- tcp_output.c ---- */
/* Sends what the connection may and owes. */
void weir_tcp_output(struct weir_tcp *, struct weir_conn *);
/* Visits every dirty connection once. */
void weir_tcp_output_all(struct weir_tcp *);
/* ---- tcp_segment.c: building ---- */
/* One segment [seq, seq + bytes) with flags; FIN or SYN in flags take their number. OK, or why not. */
enum weir_send weir_tcp_segment(struct weir_tcp *, struct weir_conn *, uint32_t seq, uint32_t *bytes,
                                uint8_t flags);
/* The number for a segment without payload: SND.NXT, or the window's edge when a probe or a window that was
 * taken back put SND.NXT behind it. What lies behind the edge a peer does not accept. */
uint32_t weir_tcp_bare_seq(const struct weir_conn *);
/* A reset for a connection. */
void weir_tcp_reset(struct weir_tcp *, struct weir_conn *);
/* A reset in answer to a segment that belongs to nobody (RFC 9293 3.5.2), within the rate. */
void weir_tcp_reset_reply(struct weir_tcp *, const struct weir_seg *);
/* A SYN-ACK that nothing here remembers (cookie.c). No rate: one small answer for each SYN. */
void weir_tcp_cookie_reply(struct weir_tcp *, struct weir_listener *, const struct weir_seg *syn);
/* A challenge or duplicate acknowledgement, within the instance's rate. */
void weir_tcp_challenge(struct weir_tcp *, struct weir_conn *);
/* TIME-WAIT's acknowledgement. */
void weir_tcp_tw_ack(struct weir_tcp *, const struct weir_tw *);

/* ---- window.c: the receive window ---- */
/* The window to tell now: moves rcv_adv, never left. */
uint16_t weir_tcp_window(struct weir_tcp *, struct weir_conn *);
/* Whether the window has opened enough to tell the peer (RFC 9293 3.8.6.2.2). */
bool weir_tcp_window_opened(const struct weir_tcp *, const struct weir_conn *);
/* That it has not, for a few compares; false: weir_tcp_window_opened must be asked. An edge that moves lies at
 * rcv_nxt + rcvbuf at most, and must move by 2 MSS or half the buffer at least. */
static inline bool weir_tcp_window_stays(const struct weir_tcp *t, const struct weir_conn *c)
{
    uint32_t most = c->rcv_nxt + c->rcvbuf - c->rcv_adv;
    if (t->full_path || (c->flags & WEIR_C_CUT)) return false;
    return most < 2u * c->mss && most < c->rcvbuf / 2;
}
/* Bytes of segments that a connection with this receive buffer may pin, 0: no limit (shared windows). */
uint32_t weir_tcp_seg_limit(const struct weir_tcp *, uint32_t rcvbuf);
/* The same with strict windows, which is what the plan reckons with: twice the payload, and what cannot be
 * packed at both ends of the queue. */
static inline uint32_t weir_tcp_strict_bytes(const struct weir_config *conf, uint32_t rcvbuf)
{
    uint64_t bytes = 2ull * rcvbuf + 2ull * conf->zclass[conf->zclasses - 1].bytes;
    return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}
/* Descriptors that all connections together may have in their receive queues with it. */
static inline uint64_t weir_tcp_strict_pbufs(const struct weir_config *conf)
{
    uint32_t seg_bytes = conf->zclass[conf->zclasses - 1].bytes;
    return conf->conns * (weir_tcp_strict_bytes(conf, conf->rcvbuf_bytes) / seg_bytes + 1ull);
}

/* ---- ladder.c: memory is short ---- */
/* One pass's share of what the ladder's rung demands of what is held already. Returns whether more is left to
 * do at once. */
bool weir_tcp_ladder_pass(struct weir_tcp *);
/* Memory is not short, and was not when it was looked at last. */
static inline bool weir_tcp_ladder_idle(const struct weir_tcp *t)
{
    return (t->mem.press.rung | t->ladder.rung | t->ladder.left) == 0;
}
static inline bool weir_tcp_ladder(struct weir_tcp *t)
{
    return !weir_tcp_ladder_idle(t) && weir_tcp_ladder_pass(t);
}
/* Whether the ladder has something to do at once: memory came or went since its last pass. */
bool weir_tcp_ladder_due(const struct weir_tcp *);
/* Milliseconds at which the ladder wants a pass: a round is repeated, or the last rung resets somebody; false:
 * for none of both. */
bool weir_tcp_ladder_deadline(const struct weir_tcp *, uint32_t *when_ms);
static inline bool weir_tcp_ladder_next(const struct weir_tcp *t, uint32_t *when_ms)
{
    return t->ladder.rung >= WEIR_RUNG_COPY && weir_tcp_ladder_deadline(t, when_ms);
}

/* ---- tcp_timer.c ---- */
/* Runs at most budget expired timers. */
void weir_tcp_timers(struct weir_tcp *, unsigned budget);
void weir_tcp_rexmt_stop(struct weir_tcp *, struct weir_conn *);
void weir_tcp_persist_start(struct weir_tcp *, struct weir_conn *);
void weir_tcp_keep_start(struct weir_tcp *, struct weir_conn *, uint32_t after_ms);
/* Milliseconds of the next deadline; false: none. */
static inline bool weir_tcp_next(struct weir_tcp *t, uint32_t *when_ms)
{
    bool any = weir_wheel_next(&t->wheel, when_ms);
    if (!t->tw_first) return any;
    uint32_t tw = t->tw[t->tw_first - 1].expire_ms;
    if (!any || weir_seq_lt(tw, *when_ms)) *when_ms = tw;
    return true;
}
/* Whether weir_tcp_timers would find nothing to do, for a few compares; false: it has to look. */
static inline bool weir_tcp_timers_quiet(const struct weir_tcp *t)
{
    bool tw_due = t->tw_first && weir_seq_leq(t->tw[t->tw_first - 1].expire_ms, t->now_ms);
    return weir_wheel_quiet(&t->wheel, t->now_ms) && !tw_due;
}

/* ---- tcp_user.c and tcp_io.c: RFC 9293 3.10.1 to 3.10.6; errors as in weir.h ---- */
int weir_tcp_listen(struct weir_tcp *, uint32_t addr, uint16_t port, const struct weir_opts *, weir_id *);
int weir_tcp_connect(struct weir_tcp *, uint32_t raddr, uint16_t rport, const struct weir_opts *, weir_id *);
int weir_tcp_accept(struct weir_tcp *, weir_id, weir_id *, struct weir_addr *peer);
ptrdiff_t weir_tcp_write(struct weir_tcp *, weir_id, const void *, size_t);
int weir_tcp_read(struct weir_tcp *, weir_id, struct weir_iov *, int n);
ptrdiff_t weir_tcp_recv(struct weir_tcp *, weir_id, void *, size_t);
int weir_tcp_shutdown(struct weir_tcp *, weir_id);
int weir_tcp_close(struct weir_tcp *, weir_id, enum weir_close_how);
int weir_tcp_set(struct weir_tcp *, weir_id, enum weir_opt, intptr_t);
int weir_tcp_info(const struct weir_tcp *, weir_id, struct weir_conn_info *);
unsigned weir_tcp_ready(const struct weir_tcp *, weir_id);
/* Bytes have left the queue: tells the peer when its window has opened by a worthwhile step. */
void weir_tcp_update(struct weir_tcp *, struct weir_conn *);
static inline void weir_tcp_maybe_update(struct weir_tcp *t, struct weir_conn *c)
{
    if (!weir_tcp_window_stays(t, c)) weir_tcp_update(t, c);
}
void weir_tcp_wake_held(struct weir_tcp *);
/* The application's last reference to a zbuf of seg_bytes in which bytes of this connection were lent went:
 * the window reopens. */
static inline void weir_tcp_returned(struct weir_tcp *t, uint32_t lent_id, uint32_t bytes, uint32_t seg_bytes)
{
    uint32_t i = lent_id & ((1u << WEIR_ID_INDEX_BITS) - 1);
    t->lent = t->lent > bytes ? t->lent - bytes : 0;
    struct weir_conn *c = &t->conn[i];
    if (c->id == lent_id) { /* it lives still: the id is from a head of ours, so there is such a cell */
        c->lent = c->lent > bytes ? c->lent - bytes : 0;
        seg_bytes = weir_min_u32(seg_bytes, c->rq.lent_seg_bytes);
        c->rq.lent_seg_bytes -= seg_bytes;
        t->mem.strict.pinned_bytes -= seg_bytes;
        weir_tcp_maybe_update(t, c);
    }
    if (t->hold_wait) weir_tcp_wake_held(t);
}
/* ---- events.c ---- */
/* Up to n events off the ready lists. */
int weir_tcp_events(struct weir_tcp *, struct weir_event *, int n);
static inline bool weir_tcp_has_events(const struct weir_tcp *t)
{
    return t->lis_ready || t->ready_first;
}
/* ---- tcp_check.c ---- */
/* For tests and debug builds: 0, or what is broken: 1 the cells and their table, 2 a list, 3 a listener's
 * counts, 4 TIME-WAIT. Cost: everything. */
int weir_tcp_check(const struct weir_tcp *);

#endif
