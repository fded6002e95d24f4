/* syn.c: the beginning of a connection: segments that reach a listener (RFC 9293 3.10.7.2) or SYN-SENT
 * (3.10.7.3), and what a SYN's options settle for the rest of its life. */
#include "tcp/tcp.h"

#include "base/bits.h"

static enum weir_verdict drop(struct weir_tcp *t, enum weir_drop why)
{
    t->stats->drops[why]++;
    return WEIR_V_DROP;
}

uint16_t weir_tcp_mss_for(const struct weir_tcp *t, const struct weir_conn *c, uint16_t peer_mss)
{
    uint32_t ours = t->ip->ifc[c->ifc].mtu - WEIR_IP4_BYTES - WEIR_TCP_BYTES;
    return (uint16_t)weir_min_u32(ours, weir_max_u32(peer_mss, WEIR_TCP_MSS_MIN));
}

uint8_t weir_tcp_wscale(uint32_t rcvbuf)
{
    uint8_t scale = 0;
    while (scale < 14 && (65535u << scale) < rcvbuf)
        scale++;
    return scale;
}

void weir_tcp_syn_options(struct weir_tcp *t, struct weir_conn *c, const struct weir_tcphdr *syn)
{
    c->syn_opts = syn->opts;
    if (syn->opts & WEIR_TCPOPT_WSCALE) {
        c->snd_wscale = syn->wscale;
    } else {
        c->snd_wscale = 0;
        c->rcv_wscale = 0;
    }
    if (syn->opts & WEIR_TCPOPT_TS) {
        c->flags |= WEIR_C_TS;
        c->ts_recent = syn->tsval;
        c->ts_recent_ms = t->now_ms;
    }
    weir_tcp_set_mss(t, c,
                     weir_tcp_mss_for(t, c, syn->opts & WEIR_TCPOPT_MSS ? syn->mss : WEIR_TCP_MSS_DEFAULT));
}

void weir_tcp_begin(struct weir_tcp *t, struct weir_conn *c, uint32_t iss, uint32_t irs)
{
    c->iss = iss;
    c->recover = c->iss;
    c->ts_offset = weir_tcp_ts_offset(t, c->laddr, c->raddr);
    c->irs = irs;
    c->rcv_nxt = c->rcv_adv = irs + 1;
    c->last_ack_sent = c->rcv_nxt;
    c->heard_ms = t->now_ms;
    weir_txlist_init(&c->tx, c->iss, (uint16_t)t->conf->txrecs_conn);
    weir_sendq_init(&c->sq, c->iss + 1, (uint16_t)t->conf->pbufs_conn);
    c->rcv_wscale = weir_tcp_wscale(c->rcvbuf);
    c->rq.may_pin_bytes = c->rcvbuf;
}

/* A connection for a SYN, or for the acknowledgement of a cookie; counted as half open. NULL: the table is
 * full. */
static struct weir_conn *open_passive(struct weir_tcp *t, struct weir_listener *l, const struct weir_seg *s,
                                      const struct weir_tcphdr *syn, uint32_t iss, uint32_t irs)
{
    const struct weir_rxpkt *pkt = s->pkt;
    struct weir_conn *c = weir_conn_new(t);
    if (!c) return NULL;
    uint32_t next_hop = pkt->ip.src;
    const struct weir_ifc *ifc = weir_ip4_route(t->ip, pkt->ip.src, &next_hop);
    c->ifc = (uint8_t)((ifc ? ifc : pkt->ifc) - t->ip->ifc);
    c->next_hop = next_hop;
    c->laddr = pkt->ip.dst;
    c->raddr = pkt->ip.src;
    c->lport = s->h.dport;
    c->rport = s->h.sport;
    c->rcvbuf = l->rcvbuf;
    c->sndbuf = l->sndbuf;
    c->user = l->user;
    c->flags |= WEIR_C_PASSIVE | WEIR_C_HALF_OPEN | (l->nodelay ? WEIR_C_NODELAY : 0) |
                (l->keepalive ? WEIR_C_KEEPALIVE : 0);
    c->listener = (uint32_t)(l - t->lis) + 1;
    weir_tcp_begin(t, c, iss, irs);
    weir_tcp_syn_options(t, c, syn);
    c->state = WEIR_TCP_SYN_RECEIVED;
    l->half_open++;
    weir_conn_hash(t, c);
    return c;
}

/* Half-open connections take at most half of the table, whatever the backlog: the other half is for those
 * that are real. */
static bool half_open_full(const struct weir_tcp *t, const struct weir_listener *l)
{
    return l->half_open >= weir_min_u32(l->backlog, (t->n_conn + 1) / 2);
}

/* The ladder's last rung, or with strict windows no memory for what one more would be promised: what was lent by
 * connections that are gone is still held. Who asks again later may find room. */
static bool short_of_memory(struct weir_tcp *t)
{
    bool strict = t->conf->window == WEIR_WINDOW_STRICT;
    if (strict ? weir_strict_ok(&t->mem.strict, t->mem.z, 0) : t->mem.press.rung < WEIR_RUNG_REFUSE)
        return false;
    (void)drop(t, WEIR_DROP_TCP_REFUSED);
    return true;
}

/* The acknowledgement of a cookie opens the connection at once. false: it is none. */
static bool cookie_acked(struct weir_tcp *t, struct weir_listener *l, struct weir_seg *s)
{
    struct weir_tcphdr syn;
    if (!weir_cookie_check(t, l, s, &syn)) return false;
    if (short_of_memory(t)) return true;
    if (l->queued >= l->backlog) { /* the peer sends again, and its data says so until there is room */
        (void)drop(t, WEIR_DROP_TCP_BACKLOG);
        return true;
    }
    struct weir_conn *c = open_passive(t, l, s, &syn, s->h.ack - 1, s->h.seq - 1);
    if (!c) {
        (void)drop(t, WEIR_DROP_TCP_CONNS);
        return true;
    }
    t->stats->syn_cookies_taken++;
    weir_txlist_init(&c->tx, c->iss + 1, (uint16_t)t->conf->txrecs_conn);
    c->rcv_adv = c->rcv_nxt + weir_min_u32(c->rcvbuf, 65535); /* what the SYN-ACK promised */
    c->snd_wnd = c->max_snd_wnd = (uint32_t)s->h.wnd << c->snd_wscale;
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->h.ack;
    weir_conn_established(t, c);
    if (s->bytes > c->rcv_adv - c->rcv_nxt) {
        s->bytes = c->rcv_adv - c->rcv_nxt;
        s->fin = false;
    }
    if (s->bytes || s->fin) (void)weir_tcp_data_input(t, c, s);
    return true;
}

enum weir_verdict weir_tcp_listen_input(struct weir_tcp *t, struct weir_listener *l, struct weir_seg *s)
{
    if (s->h.flags & WEIR_TCP_RST) return drop(t, WEIR_DROP_TCP_RST);
    if (s->h.flags & WEIR_TCP_ACK) {
        if (!(s->h.flags & WEIR_TCP_SYN) && cookie_acked(t, l, s)) return WEIR_V_DONE;
        weir_tcp_reset_reply(t, s);
        return drop(t, WEIR_DROP_TCP_FLAGS);
    }
    if (!(s->h.flags & WEIR_TCP_SYN) || (s->h.flags & WEIR_TCP_FIN)) return drop(t, WEIR_DROP_TCP_FLAGS);
    if (short_of_memory(t)) return WEIR_V_DROP;
    if (l->queued >= l->backlog) return drop(t, WEIR_DROP_TCP_BACKLOG);
    if (half_open_full(t, l)) {
        weir_tcp_cookie_reply(t, l, s);
        return WEIR_V_DONE;
    }
    uint32_t iss = weir_tcp_isn(t, s->pkt->ip.dst, s->h.dport, s->pkt->ip.src, s->h.sport);
    if (s->reopens) iss = weir_seq_max(iss, s->after); /* RFC 9293 3.6.1 */
    struct weir_conn *c = open_passive(t, l, s, &s->h, iss, s->seq);
    if (!c) return drop(t, WEIR_DROP_TCP_CONNS);
    c->snd_wnd = c->max_snd_wnd = s->h.wnd;
    c->snd_wl1 = s->seq;
    c->snd_wl2 = c->iss;
    weir_conn_dirty(t, c); /* data on the SYN is not taken: the peer sends it again after the handshake */
    return WEIR_V_DONE;
}

/* Both ends opened at once (RFC 9293 3.5 figure 8): our SYN goes out again, now with an ACK. */
static void simultaneous(struct weir_tcp *t, struct weir_conn *c)
{
    c->state = WEIR_TCP_SYN_RECEIVED;
    (void)weir_txlist_lose(&c->tx, &t->mem, c->tx.una, c->tx.nxt);
    c->flags |= WEIR_C_FORCE;
    weir_conn_dirty(t, c);
}

enum weir_verdict weir_tcp_synsent_input(struct weir_tcp *t, struct weir_conn *c, struct weir_seg *s)
{
    bool ack = (s->h.flags & WEIR_TCP_ACK) != 0;
    if (ack && (weir_seq_leq(s->h.ack, c->iss) || weir_seq_lt(c->tx.nxt, s->h.ack))) {
        weir_tcp_reset_reply(t, s);
        return drop(t, WEIR_DROP_TCP_ACK);
    }
    if (s->h.flags & WEIR_TCP_RST) {
        if (!ack) return drop(t, WEIR_DROP_TCP_RST);
        t->stats->resets_received++;
        weir_conn_dead(t, c, WEIR_ECONNREFUSED);
        return WEIR_V_DONE;
    }
    if (!(s->h.flags & WEIR_TCP_SYN)) return drop(t, WEIR_DROP_TCP_FLAGS);

    c->irs = s->seq;
    c->rcv_nxt = s->seq + 1;
    c->rcv_adv = c->rcv_nxt + weir_min_u32(c->rcvbuf, 65535); /* what our SYN promised */
    c->last_ack_sent = c->rcv_nxt;
    c->heard_ms = t->now_ms;
    weir_tcp_syn_options(t, c, &s->h);
    c->snd_wnd = c->max_snd_wnd = s->h.wnd;
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->h.ack;
    if (!ack) {
        simultaneous(t, c);
        return WEIR_V_DONE;
    }
    struct weir_txack ta = weir_txlist_ack(&c->tx, &t->mem, s->h.ack);
    if (ta.sample) weir_tcp_rtt(t, c, (uint32_t)t->now_us - ta.sent_us);
    weir_tcp_rexmt_stop(t, c);
    weir_conn_established(t, c);
    c->flags |= WEIR_C_ACK_NOW;
    weir_conn_dirty(t, c);
    if (!s->bytes && !s->fin) return WEIR_V_DONE;
    s->seq++; /* data behind the SYN */
    if (s->bytes > c->rcv_adv - c->rcv_nxt) {
        s->bytes = c->rcv_adv - c->rcv_nxt;
        s->fin = false;
    }
    return weir_tcp_data_input(t, c, s);
}
