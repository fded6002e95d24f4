/* tcp_ack.c: the ACK field of a segment (RFC 9293 3.10.7.4, fifth check; RFC 5961 5): what it frees, what it
 * measures, what it says about the peer's window, and the states that it moves. */
#include "tcp/tcp.h"

#include "base/bits.h"

void weir_tcp_ack_rtt_again(struct weir_tcp *t, struct weir_conn *c, uint32_t tsecr)
{
    /* Some of it was sent twice: the rest waited for that, and only the echoed timestamp tells what this
     * answers. */
    uint32_t ms = t->now_ms - (tsecr - c->ts_offset);
    if (ms < t->conf->rto_max_us / 1000) weir_tcp_rtt(t, c, ms * 1000 + 500);
}

static void window_update(struct weir_tcp *t, struct weir_conn *c, const struct weir_seg *s)
{
    if (!weir_tcp_tells_window(c, s->seq, s->h.ack)) return;
    bool was_shut = c->snd_wnd == 0;
    c->snd_wnd = s->wnd;
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->h.ack;
    c->max_snd_wnd = weir_max_u32(c->max_snd_wnd, c->snd_wnd);
    if (c->snd_wnd) c->probes = 0; /* also where the probe's own acknowledgement has ended the timer */
    if (c->snd_wnd && (c->flags & WEIR_C_PERSIST)) {
        weir_tcp_rexmt_stop(t, c);
        /* A probe that the closed window refused must go again. */
        if (c->tx.una != c->tx.nxt) (void)weir_txlist_lose(&c->tx, &t->mem, c->tx.una, c->tx.nxt);
    }
    if (was_shut || c->sq.end != c->tx.nxt || c->tx.lost) weir_conn_dirty(t, c);
}

/* SYN-RECEIVED: the acknowledgement that completes the handshake. false: the segment ends here. */
static bool syn_acked(struct weir_tcp *t, struct weir_conn *c, const struct weir_seg *s)
{
    if (weir_seq_leq(s->h.ack, c->tx.una) || weir_seq_lt(c->tx.nxt, s->h.ack)) {
        weir_tcp_reset_reply(t, s);
        t->stats->drops[WEIR_DROP_TCP_ACK]++;
        return false;
    }
    if (c->listener && t->lis[c->listener - 1].queued >= t->lis[c->listener - 1].backlog) {
        /* Nobody accepts: as if the acknowledgement had been lost. Our SYN goes again, and its answer may
         * find room. */
        t->stats->drops[WEIR_DROP_TCP_BACKLOG]++;
        return false;
    }
    c->snd_wnd = c->max_snd_wnd = s->wnd;
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->h.ack;
    weir_conn_established(t, c);
    return true;
}

static void new_ack(struct weir_tcp *t, struct weir_conn *c, const struct weir_seg *s)
{
    uint32_t flight = c->tx.nxt - c->tx.una;
    uint32_t acked = s->h.ack - c->tx.una;
    bool first_partial = !(c->flags & WEIR_C_RECOVERY) || c->dupacks;
    struct weir_txack ta = weir_txlist_ack(&c->tx, &t->mem, s->h.ack);
    if (weir_seq_lt(c->sq.una, s->h.ack))
        (void)weir_sendq_ack(&c->sq, &t->mem, weir_seq_min(s->h.ack, c->sq.end));
    bool ts = (c->flags & WEIR_C_TS) && (s->h.opts & WEIR_TCPOPT_TS);
    weir_tcp_ack_rtt(t, c, &ta, ts ? s->h.tsecr : 0);
    c->retries = 0;
    c->error = 0; /* the peer is reached again */
    weir_tcp_confirm(t, c);
    bool recovering = (c->flags & WEIR_C_RECOVERY) != 0;
    weir_tcp_newack(t, c, acked, flight);
    if (c->tx.una == c->tx.nxt)
        weir_tcp_all_acked(t, c);
    else if (!recovering ||
             first_partial) /* RFC 6582 3.2 step 3: only the first partial one restarts the timer */
        weir_tcp_rexmt_start(t, c);
    if (recovering) c->dupacks = 0;
    weir_conn_writable(t, c);
    if (c->sq.end != c->tx.nxt || c->tx.lost || (c->sq.closed && !weir_tcp_fin_acked(c)))
        weir_conn_dirty(t, c);
}

static bool is_dupack(const struct weir_conn *c, const struct weir_seg *s)
{
    return s->h.ack == c->tx.una && s->bytes == 0 && !s->fin && s->wnd == c->snd_wnd &&
           c->tx.una != c->tx.nxt && !(c->flags & WEIR_C_PERSIST);
}

/* States that end with our FIN acknowledged. false: c may be gone. */
static bool fin_transitions(struct weir_tcp *t, struct weir_conn *c)
{
    if (!weir_tcp_fin_acked(c)) return true;
    switch (c->state) {
    case WEIR_TCP_FIN_WAIT_1:
        c->state = WEIR_TCP_FIN_WAIT_2;
        if (c->flags & WEIR_C_DETACHED) weir_tcp_keep_start(t, c, 2 * t->conf->msl_ms);
        return true;
    case WEIR_TCP_CLOSING:
        weir_conn_timewait(t, c);
        return false;
    case WEIR_TCP_LAST_ACK:
        weir_conn_dead(t, c, 0);
        return false;
    default:
        return true;
    }
}

bool weir_tcp_ack_input(struct weir_tcp *t, struct weir_conn *c, struct weir_seg *s)
{
    if (c->state == WEIR_TCP_SYN_RECEIVED) {
        if (!syn_acked(t, c, s)) return false;
    } else if (weir_seq_lt(c->tx.nxt, s->h.ack) || weir_seq_lt(s->h.ack, c->tx.una - c->max_snd_wnd)) {
        /* RFC 5961 5.2: what was never sent, or too far back to be an honest old acknowledgement. */
        weir_tcp_challenge(t, c);
        t->stats->drops[WEIR_DROP_TCP_ACK]++;
        return false;
    }
    /* An answer, even with the window shut: the peer lives (RFC 9293 3.8.6.1). Where nobody waits any more
     * its patience ends: a peer could hold our memory for ever. */
    if (((c->flags & WEIR_C_PERSIST) || s->wnd == 0) && !(c->flags & WEIR_C_DETACHED)) c->retries = 0;
    if (weir_seq_lt(c->tx.una, s->h.ack)) {
        new_ack(t, c, s);
        window_update(t, c, s);
        return fin_transitions(t, c);
    }
    if (is_dupack(c, s))
        weir_tcp_dupack(t, c);
    else
        window_update(t, c, s);
    return true;
}
