/* tcp_output.c: which segments a connection may and must send now (RFC 9293 3.8.6, RFC 5681).
 *
 * Everything sent lies in records (txrec.h). First what is marked lost, then new data, then an
 * acknowledgement if one is still owed. Three limits hold each segment back: the peer's window, cwnd - pipe,
 * and silly-window avoidance with Nagle. TCP is never queued below: when neighbour, room or header block are
 * missing nothing is built, the connection goes on the list of the blocked, and the stack makes it dirty
 * again. */
#include "tcp/tcp.h"

#include "base/bits.h"

enum sent { SENT, NOTHING, BLOCKED };

static void wait_for(struct weir_tcp *t, struct weir_conn *c, enum weir_send why)
{
    if (why != WEIR_SEND_WAIT_NEIGH) t->blocked_room = true;
    weir_conn_block(t, c);
}

/* Whatever is sent lies in a record, and other connections may hold them all. */
static enum sent no_record(struct weir_tcp *t, struct weir_conn *c)
{
    t->blocked_record = true;
    weir_conn_block(t, c);
    return BLOCKED;
}

/* What weir_tcp_segment's refusal means for the connection. */
static enum sent refused(struct weir_tcp *t, struct weir_conn *c, enum weir_send why)
{
    if (why == WEIR_SEND_NO_ROUTE || why == WEIR_SEND_NO_NEIGH) {
        /* Soft (RFC 9293 3.9.2.2): the timer goes on counting and gives up in the end, with this reason. */
        c->error = why == WEIR_SEND_NO_ROUTE ? WEIR_ENETUNREACH : WEIR_EHOSTUNREACH;
        if (!(c->flags & WEIR_C_TIMING)) weir_tcp_rexmt_start(t, c);
        return NOTHING;
    }
    /* The neighbour may never get a place in a table that others fill: then the timer must end it, too. */
    if (why == WEIR_SEND_WAIT_NEIGH && !(c->flags & WEIR_C_TIMING)) weir_tcp_rexmt_start(t, c);
    wait_for(t, c, why);
    return BLOCKED;
}

static uint8_t flags_of(const struct weir_conn *c)
{
    return c->state == WEIR_TCP_SYN_SENT ? 0 : WEIR_TCP_ACK;
}

/* Bytes that the peer's window leaves from seq on. */
static uint32_t window_left(const struct weir_conn *c, uint32_t seq)
{
    uint32_t edge = c->tx.una + c->snd_wnd;
    return weir_seq_lt(seq, edge) ? edge - seq : 0;
}

/* mss is never 0, which an analyser of this file alone can't see. */
static uint32_t whole_segments(uint32_t bytes, uint32_t mss)
{
    return mss ? bytes - bytes % mss : bytes;
}

static enum sent send_syn(struct weir_tcp *t, struct weir_conn *c, bool again)
{
    uint32_t none = 0;
    if (!again && !weir_txlist_room(&c->tx, &t->mem)) return no_record(t, c);
    enum weir_send r = weir_tcp_segment(t, c, c->iss, &none, (uint8_t)(WEIR_TCP_SYN | flags_of(c)));
    if (r != WEIR_SEND_OK) return refused(t, c, r);
    if (again) {
        (void)weir_txlist_resent(&c->tx, &t->mem, c->iss, c->iss + 1, (uint32_t)t->now_us);
        t->stats->retransmits++;
        c->retransmits++;
    } else {
        (void)weir_txlist_sent(&c->tx, &t->mem, c->iss + 1, (uint32_t)t->now_us);
    }
    c->flags &= ~(uint32_t)WEIR_C_FORCE;
    if (!(c->flags & WEIR_C_TIMING)) weir_tcp_rexmt_start(t, c);
    return SENT;
}

/* What was lost goes first; when it is the last that was sent, new data fills the segment up. */
static enum sent send_lost(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t seq, end;
    if (!weir_txlist_next_lost(&c->tx, &t->mem, &seq, &end)) return NOTHING;
    if (seq == c->iss && c->state <= WEIR_TCP_SYN_RECEIVED) return send_syn(t, c, true);
    bool force = (c->flags & WEIR_C_FORCE) != 0, last = end == c->tx.nxt;
    uint32_t mss = weir_tcp_eff_mss(c);
    uint32_t until = last ? c->sq.end : weir_seq_min(end, c->sq.end);
    uint32_t data = weir_seq_lt(seq, until) ? until - seq : 0;
    uint32_t room = c->cwnd > c->tx.pipe ? c->cwnd - c->tx.pipe : 0;
    uint32_t wnd = window_left(c, seq);
    if (force) {
        room = weir_max_u32(room, mss);
        wnd = weir_max_u32(wnd, c->flags & WEIR_C_PERSIST ? 1 : weir_min_u32(end - seq, mss));
    }
    if (wnd == 0 || room < weir_min_u32(end - seq, mss)) return NOTHING;
    uint32_t bytes = weir_min_u32(weir_min_u32(data, room), weir_min_u32(wnd, weir_tcp_segment_max(t, c)));
    if (bytes > mss && bytes < data) bytes = whole_segments(bytes, mss);
    /* The FIN goes along when it was lost too, or for the first time behind the last that was sent. */
    bool fin_due = weir_seq_lt(c->sq.end, end) || (last && wnd > bytes);
    bool fin = bytes == data && c->sq.closed && until == c->sq.end && fin_due;
    uint32_t asked = bytes;
    uint8_t flags = (uint8_t)(WEIR_TCP_ACK | (fin ? WEIR_TCP_FIN : 0) | (data ? WEIR_TCP_PSH : 0));
    enum weir_send r = weir_tcp_segment(t, c, seq, &bytes, flags);
    if (r != WEIR_SEND_OK) return refused(t, c, r);
    if (bytes < asked) fin = false;
    uint32_t sent = seq + bytes + fin;
    (void)weir_txlist_resent(&c->tx, &t->mem, seq, weir_seq_min(sent, end), (uint32_t)t->now_us);
    if (weir_seq_lt(end, sent)) (void)weir_txlist_sent(&c->tx, &t->mem, sent, (uint32_t)t->now_us);
    c->flags &= ~(uint32_t)WEIR_C_FORCE;
    c->retransmits++;
    t->stats->retransmits++;
    t->stats->retransmit_bytes += weir_min_u32(bytes, end - seq);
    if (!(c->flags & WEIR_C_TIMING)) weir_tcp_rexmt_start(t, c);
    return SENT;
}

/* Silly-window avoidance and Nagle (RFC 9293 3.8.6.2.1, 3.7.4): may a segment of so many bytes out of avail
 * go? */
static bool worthwhile(const struct weir_conn *c, uint32_t bytes, uint32_t avail)
{
    if (bytes >= weir_tcp_eff_mss(c) || (c->flags & WEIR_C_FORCE)) return true;
    if (bytes == avail) {
        if (c->sq.closed) return true;
        if (c->flags & WEIR_C_CORK) return false;
        if ((c->flags & WEIR_C_NODELAY) || c->tx.una == c->tx.nxt) return true;
    }
    return bytes > 0 && bytes >= c->max_snd_wnd / 2;
}

/* Whether a last segment that is not full must wait behind the full ones of the same large segment. */
static bool tail_waits(const struct weir_conn *c)
{
    if (c->sq.closed) return false;
    return (c->flags & WEIR_C_CORK) || (!(c->flags & WEIR_C_NODELAY) && c->tx.una != c->tx.nxt);
}

static bool fin_sent(const struct weir_conn *c)
{
    return c->sq.closed && c->tx.nxt == c->sq.end + 1;
}

/* How many bytes of what was never sent may go now; *fin: with a FIN behind them. false: nothing may. */
static bool choose_new(struct weir_tcp *t, const struct weir_conn *c, uint32_t *bytes, bool *fin)
{
    uint32_t seq = c->tx.nxt;
    uint32_t avail = c->sq.end - seq;
    uint32_t wnd = window_left(c, seq);
    uint32_t room = c->cwnd > c->tx.pipe ? c->cwnd - c->tx.pipe : 0;
    uint32_t mss = weir_tcp_eff_mss(c);
    if (c->flags & WEIR_C_FORCE) {
        wnd = weir_max_u32(wnd, 1);
        room = weir_max_u32(room, mss);
    }
    uint32_t n = weir_min_u32(weir_min_u32(avail, wnd), weir_min_u32(room, weir_tcp_segment_max(t, c)));
    if (n > mss && (n < avail || tail_waits(c))) n = whole_segments(n, mss);
    *bytes = n;
    *fin = c->sq.closed && n == avail && wnd > n;
    if (n == 0 && !*fin) return false;
    return *fin || worthwhile(c, n, avail);
}

static enum sent send_new(struct weir_tcp *t, struct weir_conn *c)
{
    if (c->tx.nxt == c->iss && c->state <= WEIR_TCP_SYN_RECEIVED) return send_syn(t, c, false);
    if (!weir_tcp_synchronised(c) || fin_sent(c)) return NOTHING;
    if (c->sq.end == c->tx.nxt && !c->sq.closed) return NOTHING;
    if (c->tx.una == c->tx.nxt && t->now_ms - c->heard_ms > c->rto_us / 1000) weir_cc_newreno.idle(c);
    uint32_t bytes;
    bool fin;
    if (!choose_new(t, c, &bytes, &fin)) return NOTHING;
    if (!weir_txlist_room(&c->tx, &t->mem)) return no_record(t, c);
    uint32_t seq = c->tx.nxt, asked = bytes;
    uint8_t flags = (uint8_t)(WEIR_TCP_ACK | (fin ? WEIR_TCP_FIN : 0));
    if (bytes && seq + bytes == c->sq.end) flags |= WEIR_TCP_PSH;
    enum weir_send r = weir_tcp_segment(t, c, seq, &bytes, flags);
    if (r != WEIR_SEND_OK) return refused(t, c, r);
    if (bytes < asked) fin = false;
    (void)weir_txlist_sent(&c->tx, &t->mem, seq + bytes + fin, (uint32_t)t->now_us);
    c->flags &= ~(uint32_t)WEIR_C_FORCE;
    if (!(c->flags & WEIR_C_TIMING)) weir_tcp_rexmt_start(t, c);
    return SENT;
}

/* With nothing in flight nobody will tell us when to go on: the persist timer must (RFC 9293 3.8.6.1). */
static void maybe_persist(struct weir_tcp *t, struct weir_conn *c)
{
    if ((c->flags & (WEIR_C_TIMING | WEIR_C_BLOCKED)) || !weir_tcp_synchronised(c)) return;
    bool waiting = c->tx.lost > 0 || (c->sq.closed ? !fin_sent(c) : c->sq.end != c->tx.nxt);
    if (!waiting) return;
    bool corked =
        (c->flags & WEIR_C_CORK) && !c->sq.closed && window_left(c, c->tx.nxt) >= c->sq.end - c->tx.nxt;
    if (!corked) weir_tcp_persist_start(t, c);
}

static WEIR_APART void output_full(struct weir_tcp *t, struct weir_conn *c)
{
    enum sent r = NOTHING;
    if (c->state == WEIR_TCP_CLOSED) return;
    if (c->state != WEIR_TCP_TIME_WAIT && c->state != WEIR_TCP_FIN_WAIT_2) {
        while ((r = send_lost(t, c)) == SENT) {
        }
        if (r != BLOCKED)
            while ((r = send_new(t, c)) == SENT) {
            }
    }
    if (r != BLOCKED && (c->flags & WEIR_C_ACK_NOW) && c->state >= WEIR_TCP_SYN_RECEIVED) {
        uint32_t none = 0;
        enum weir_send s = weir_tcp_segment(t, c, weir_tcp_bare_seq(c), &none, WEIR_TCP_ACK);
        /* Nobody answers an acknowledgement, so no timer counts: the peer's next segment asks for it again.
         */
        if (s != WEIR_SEND_OK && s != WEIR_SEND_NO_ROUTE && s != WEIR_SEND_NO_NEIGH) wait_for(t, c, s);
    }
    if (r != BLOCKED) c->flags &= ~(uint32_t)WEIR_C_FORCE;
    maybe_persist(t, c);
    weir_conn_timers(t, c);
}

void weir_tcp_output(struct weir_tcp *t, struct weir_conn *c)
{
    int sent = t->full_path ? WEIR_NO_ANSWER : weir_tcp_answer(t, c);
    if (sent == WEIR_NO_ANSWER)
        output_full(t, c);
    else if (sent != WEIR_SEND_OK)
        (void)refused(t, c, (enum weir_send)sent);
}

/* Who sent until there was no more room is the first to be blocked, and would be the first again when there
 * is room for a frame: a device that is full all the time would serve one connection only. So it waits behind
 * those that came after it and sent nothing. */
void weir_tcp_output_all(struct weir_tcp *t)
{
    struct weir_conn *served = NULL;
    t->ip->at_once = true;
    while (t->dirty_first) {
        struct weir_conn *c = &t->conn[t->dirty_first - 1];
        uint64_t sent = t->stats->tx_segments;
        t->dirty_first = c->dirty_next;
        if (!t->dirty_first) t->dirty_last = 0;
        c->flags &= ~(uint32_t)WEIR_C_DIRTY;
        weir_tcp_output(t, c);
        if ((c->flags & WEIR_C_BLOCKED) && t->stats->tx_segments != sent) served = c;
    }
    t->ip->at_once = false;
    if (served) weir_conn_block_last(t, served);
}
