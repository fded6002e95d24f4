/* tcp_input.c: a segment arrives (RFC 9293 3.10.7): whose is it, and may it come in?
 *
 * The checks stand in the order of the RFC, with RFC 7323's PAWS in front and RFC 5961's answers to what an
 * attacker could have sent. What passes goes to tcp_ack.c and then to tcp_data.c. A segment is parsed once;
 * from then on only struct weir_seg is used. */
#include "tcp/tcp.h"

#include "base/bits.h"

#define PAWS_IDLE_MS 2073600000u /* 24 days: an older TS.Recent is not believed (RFC 7323 5.5) */

static enum weir_verdict drop(struct weir_tcp *t, enum weir_drop why)
{
    t->stats->drops[why]++;
    return WEIR_V_DROP;
}

static uint32_t seg_len(const struct weir_seg *s)
{
    return s->bytes + ((s->h.flags & WEIR_TCP_SYN) != 0) + ((s->h.flags & WEIR_TCP_FIN) != 0);
}

/* PAWS, RFC 7323 5.3 R1. A reset is exempt. */
static bool paws_ok(const struct weir_tcp *t, const struct weir_conn *c, const struct weir_seg *s)
{
    return !weir_seq_lt(s->h.tsval, c->ts_recent) || t->now_ms - c->ts_recent_ms > PAWS_IDLE_MS;
}

/* Timestamps were agreed on: false if they keep the segment out. */
static bool ts_input(struct weir_tcp *t, struct weir_conn *c, const struct weir_seg *s)
{
    if (!(c->flags & WEIR_C_TS) || (s->h.flags & WEIR_TCP_RST)) return true;
    if (!(s->h.opts & WEIR_TCPOPT_TS)) {
        /* RFC 7323 3.2: dropped silently. But a SYN is challenged (RFC 5961 4), or a peer that begins anew
         * without timestamps would never get through. */
        if (s->h.flags & WEIR_TCP_SYN) return true;
    } else if (paws_ok(t, c, s)) {
        return true;
    } else if (seg_len(s)) {
        c->flags |= WEIR_C_ACK_NOW;
        weir_conn_dirty(t, c);
    } else {
        weir_tcp_challenge(t, c); /* limited: two ends must not answer each other for ever */
    }
    return false;
}

/* The four cases of RFC 9293 3.10.7.4's table. A bare acknowledgement is let in at the edge itself, too: a
 * peer that has filled the window sends it from there, also while the first of what it sent is lost. Were it
 * dropped, two ends in that state would both wait for a time-out. */
static bool acceptable(const struct weir_conn *c, const struct weir_seg *s)
{
    uint32_t wnd = c->rcv_adv - c->rcv_nxt, seq = s->seq, len = seg_len(s);
    if (len == 0 && !(s->h.flags & WEIR_TCP_RST)) return seq - c->rcv_nxt <= wnd;
    if (len == 0 && wnd == 0) return seq == c->rcv_nxt;
    bool first_in = wnd > 0 && seq - c->rcv_nxt < wnd;
    if (len == 0) return first_in;
    bool last_in = wnd > 0 && seq + len - 1 - c->rcv_nxt < wnd;
    /* A segment that begins before the window and ends behind it also has news. */
    bool covers = wnd > 0 && weir_seq_lt(seq, c->rcv_nxt) && weir_seq_lt(c->rcv_adv, seq + len);
    return first_in || last_in || covers;
}

/* A reset that passed no other check yet: RFC 5961 3.2. */
static enum weir_verdict reset_arrived(struct weir_tcp *t, struct weir_conn *c, const struct weir_seg *s)
{
    if (s->seq != c->rcv_nxt) {
        weir_tcp_challenge(t, c);
        return drop(t, WEIR_DROP_TCP_RST);
    }
    t->stats->resets_received++;
    bool refused = c->state == WEIR_TCP_SYN_RECEIVED && !(c->flags & WEIR_C_PASSIVE);
    bool orderly =
        c->state == WEIR_TCP_CLOSING || c->state == WEIR_TCP_LAST_ACK || c->state == WEIR_TCP_TIME_WAIT;
    weir_conn_dead(t, c, orderly ? 0 : refused ? WEIR_ECONNREFUSED : WEIR_ECONNRESET);
    return WEIR_V_DONE;
}

/* What to answer to a segment outside the window. */
static enum weir_verdict unacceptable(struct weir_tcp *t, struct weir_conn *c, const struct weir_seg *s)
{
    if (s->h.flags & WEIR_TCP_RST) return drop(t, WEIR_DROP_TCP_RST);
    if (seg_len(s) && !(s->h.flags & WEIR_TCP_SYN)) {
        /* Most likely sent again because our acknowledgement was lost. A FIN starts TIME-WAIT anew. */
        if (c->state == WEIR_TCP_TIME_WAIT && s->fin) weir_tcp_keep_start(t, c, 2 * t->conf->msl_ms);
        c->flags |= WEIR_C_ACK_NOW;
        weir_conn_dirty(t, c);
    } else {
        weir_tcp_challenge(t, c); /* limited: two ends must not answer each other for ever */
    }
    return drop(t, s->h.flags & WEIR_TCP_SYN ? WEIR_DROP_TCP_SYN : WEIR_DROP_TCP_SEQ);
}

/* What is wholly old is answered and dropped, but what it acknowledges is taken if it is old by a window at
 * most. A peer whose window was taken back (window.c) sends from the edge that it was told, which may lie
 * behind what we have from it; two such ends would never hear each other again. RFC 5961 5 guards the number
 * itself. */
static bool old_with_ack(const struct weir_conn *c, const struct weir_seg *s)
{
    if ((s->h.flags & (WEIR_TCP_ACK | WEIR_TCP_SYN | WEIR_TCP_RST)) != WEIR_TCP_ACK) return false;
    /* Where it would end the connection the answer to a FIN that is sent again must come first. */
    if (c->state < WEIR_TCP_ESTABLISHED || c->state > WEIR_TCP_CLOSE_WAIT) return false;
    return weir_seq_lt(c->tx.una, s->h.ack) && c->rcv_nxt - (s->seq + seg_len(s)) <= c->rcvbuf;
}

static void update_ts_recent(struct weir_tcp *t, struct weir_conn *c, const struct weir_seg *s)
{
    if (!(c->flags & WEIR_C_TS) || !(s->h.opts & WEIR_TCPOPT_TS)) return;
    if (weir_seq_lt(c->last_ack_sent, s->seq)) return;
    /* It has passed PAWS: it is later, or the one before is too old to be believed. */
    c->ts_recent = s->h.tsval;
    c->ts_recent_ms = t->now_ms;
}

/* The SYN that began this connection, again: our answer was lost. */
static bool syn_again(struct weir_tcp *t, struct weir_conn *c, const struct weir_seg *s)
{
    if (c->state != WEIR_TCP_SYN_RECEIVED || s->seq != c->irs) return false;
    if ((s->h.flags & (WEIR_TCP_SYN | WEIR_TCP_RST | WEIR_TCP_ACK)) != WEIR_TCP_SYN) return false;
    (void)weir_txlist_lose(&c->tx, &t->mem, c->tx.una, c->tx.nxt);
    c->flags |= WEIR_C_FORCE;
    weir_conn_dirty(t, c);
    return true;
}

/* Cuts off what lies outside the window. */
static void trim(struct weir_conn *c, struct weir_seg *s)
{
    if (weir_seq_lt(s->seq, c->rcv_nxt)) {
        uint32_t old = weir_min_u32(c->rcv_nxt - s->seq, s->bytes);
        if (s->fin && weir_seq_lt(s->seq + s->bytes, c->rcv_nxt)) s->fin = false;
        s->seq += old;
        s->skip += old;
        s->bytes -= old;
    }
    uint32_t room = weir_seq_lt(s->seq, c->rcv_adv) ? c->rcv_adv - s->seq : 0;
    if (s->bytes > room) {
        s->bytes = room;
        s->fin = false;
    }
}

static enum weir_verdict conn_input(struct weir_tcp *t, struct weir_conn *c, struct weir_seg *s)
{
    if (c->state == WEIR_TCP_SYN_SENT) return weir_tcp_synsent_input(t, c, s);
    s->wnd = (uint32_t)s->h.wnd << (s->h.flags & WEIR_TCP_SYN ? 0 : c->snd_wscale);
    if (syn_again(t, c, s)) return WEIR_V_DONE;
    if (!ts_input(t, c, s)) return drop(t, WEIR_DROP_TCP_PAWS);
    uint32_t old_bytes = s->bytes;
    bool probe = c->rcv_adv == c->rcv_nxt && s->seq == c->rcv_nxt && seg_len(s) > 0;
    if (probe) {
        /* RFC 9293 3.10.7.4: with a closed window still take valid ACKs and resets; the payload is answered,
         * not taken. */
        c->flags |= WEIR_C_ACK_NOW;
        weir_conn_dirty(t, c);
    } else if (!acceptable(c, s)) {
        enum weir_verdict v = unacceptable(t, c, s);
        if (old_with_ack(c, s)) (void)weir_tcp_ack_input(t, c, s);
        return v;
    }
    if (s->h.flags & WEIR_TCP_RST) return reset_arrived(t, c, s);
    if (s->h.flags & WEIR_TCP_SYN) {
        weir_tcp_challenge(t, c); /* RFC 5961 4.2 */
        return drop(t, WEIR_DROP_TCP_SYN);
    }
    if (!(s->h.flags & WEIR_TCP_ACK)) return drop(t, WEIR_DROP_TCP_FLAGS);
    if (!weir_tcp_ack_input(t, c, s)) return WEIR_V_DONE;
    update_ts_recent(t, c, s);
    c->heard_ms = t->now_ms;
    c->keep_probes = 0;
    trim(c, s);
    if (old_bytes && !s->bytes) { /* nothing new: the sender must learn what we have */
        c->flags |= WEIR_C_ACK_NOW;
        weir_conn_dirty(t, c);
        if (!probe) t->stats->drops[WEIR_DROP_TCP_DUPLICATE]++;
    }
    if (!s->bytes && !s->fin) return WEIR_V_DONE;
    return weir_tcp_data_input(t, c, s);
}

/* RFC 9293 3.6.1 and 3.10.7.4, TIME-WAIT: a FIN sent again starts the time anew; a new SYN that is later by
 * sequence number or timestamp may open the connection again (RFC 6191). true: go on to the listener. */
static bool tw_input(struct weir_tcp *t, struct weir_tw *w, struct weir_seg *s)
{
    if (s->h.flags & WEIR_TCP_RST) {
        if (s->seq == w->rcv_nxt) return false; /* RFC 1337: a reset does not end TIME-WAIT */
        t->stats->drops[WEIR_DROP_TCP_RST]++;
        return false;
    }
    bool syn = (s->h.flags & (WEIR_TCP_SYN | WEIR_TCP_ACK)) == WEIR_TCP_SYN;
    if (syn) {
        bool by_ts = w->ts && (s->h.opts & WEIR_TCPOPT_TS) && s->h.tsval != w->ts_recent;
        bool later = by_ts ? weir_seq_lt(w->ts_recent, s->h.tsval) : weir_seq_lt(w->rcv_nxt, s->seq);
        if (later && weir_listener_lookup(t, w->laddr, w->lport)) {
            s->reopens = true;
            s->after = w->snd_nxt + 1;
            weir_tw_drop(t, w);
            return true;
        }
    }
    if ((s->h.flags & WEIR_TCP_FIN) && s->seq + s->bytes + 1 == w->rcv_nxt) weir_tw_restart(t, w);
    if (seg_len(s) || s->seq != w->rcv_nxt) {
        if (weir_ip4_may_err(t->ip)) weir_tcp_tw_ack(t, w);
    }
    return false;
}

enum weir_verdict weir_tcp_full_input(struct weir_tcp *t, const struct weir_rxpkt *pkt)
{
    struct weir_seg s = {.pkt = pkt};
    enum weir_drop why;
    if (!weir_tcphdr_parse(&s.h, pkt->l4, pkt->l4_here, pkt->l4_bytes, &why)) return drop(t, why);
    if (!weir_ip4_csum_ok(pkt)) return drop(t, WEIR_DROP_TCP_CSUM);
    t->stats->rx_segments++;
    s.seq = s.h.seq;
    s.bytes = pkt->l4_bytes - s.h.hdr_bytes;
    s.fin = (s.h.flags & WEIR_TCP_FIN) != 0;
    s.wnd = s.h.wnd;

    struct weir_conn *c = weir_conn_hinted(t, pkt->ip.dst, s.h.dport, pkt->ip.src, s.h.sport);
    if (c) return conn_input(t, c, &s);
    struct weir_tw *w = weir_tw_lookup(t, pkt->ip.dst, s.h.dport, pkt->ip.src, s.h.sport);
    if (w && !tw_input(t, w, &s)) return WEIR_V_DONE;
    struct weir_listener *l = weir_listener_lookup(t, pkt->ip.dst, s.h.dport);
    if (l) return weir_tcp_listen_input(t, l, &s);
    weir_tcp_reset_reply(t, &s);
    return drop(t, WEIR_DROP_TCP_PORT);
}
