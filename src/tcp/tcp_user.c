/* tcp_user.c: the application's calls on connections (RFC 9293 3.10.1 to 3.10.6). What a call owes to the
 * network is done in the next burst; nothing is sent from here. Reading and writing stand in tcp_io.c, events
 * in events.c. */
#include "tcp/tcp.h"

#include <string.h>

#include "base/bits.h"

#define BUF_MIN 2048
#define BUF_MAX 0x3fffffff

/* The plan has what strict windows promise. */
static uint32_t rcvbuf_max(const struct weir_tcp *t)
{
    return t->conf->window == WEIR_WINDOW_STRICT ? t->conf->rcvbuf_bytes : BUF_MAX;
}

static bool opts_ok(const struct weir_tcp *t, const struct weir_opts *o)
{
    return !o || ((!o->rcvbuf_bytes || (o->rcvbuf_bytes >= BUF_MIN && o->rcvbuf_bytes <= rcvbuf_max(t))) &&
                  (!o->sndbuf_bytes || (o->sndbuf_bytes >= BUF_MIN && o->sndbuf_bytes <= BUF_MAX)));
}

int weir_tcp_listen(struct weir_tcp *t, uint32_t addr, uint16_t port, const struct weir_opts *o, weir_id *id)
{
    struct weir_listener *l = NULL;
    if (!id || port == 0 || !opts_ok(t, o)) return WEIR_EINVAL;
    if (addr && !weir_ip4_local(t->ip, addr)) return WEIR_EADDRNOTAVAIL;
    for (uint32_t i = 0; i < t->n_lis; i++) {
        struct weir_listener *x = &t->lis[i];
        if (x->id && x->port == port && (x->addr == addr || x->addr == 0 || addr == 0))
            return WEIR_EADDRINUSE;
        if (!x->id && !l) l = x;
    }
    if (!l) return WEIR_EMFILE;
    uint16_t gen = (uint16_t)(l->next_gen + 1);
    if (gen > WEIR_ID_GEN_MASK) gen = 1;
    memset(l, 0, sizeof *l);
    l->next_gen = gen;
    l->id = WEIR_ID_LISTENER | (uint32_t)gen << WEIR_ID_INDEX_BITS | (uint32_t)(l - t->lis);
    l->addr = addr;
    l->port = port;
    l->backlog = o && o->backlog ? o->backlog : 128;
    l->rcvbuf = o && o->rcvbuf_bytes ? o->rcvbuf_bytes : t->conf->rcvbuf_bytes;
    l->sndbuf = o && o->sndbuf_bytes ? o->sndbuf_bytes : t->conf->sndbuf_bytes;
    l->user = o ? o->user : 0;
    l->nodelay = o ? o->nodelay : 0;
    l->keepalive = o ? o->keepalive : 0;
    *id = l->id;
    return 0;
}

int weir_tcp_connect(struct weir_tcp *t, uint32_t raddr, uint16_t rport, const struct weir_opts *o,
                     weir_id *id)
{
    uint32_t next_hop;
    if (!id || rport == 0 || !opts_ok(t, o)) return WEIR_EINVAL;
    if (raddr == 0 || raddr >= 0xe0000000u || raddr >> 24 == 127 || weir_ip4_local(t->ip, raddr))
        return WEIR_EINVAL;
    struct weir_ifc *ifc = weir_ip4_route(t->ip, raddr, &next_hop);
    if (!ifc) return WEIR_ENETUNREACH;
    if (!weir_strict_ok(&t->mem.strict, t->mem.z, 0)) return WEIR_ENOMEM;
    uint16_t lport = weir_tcp_port(t, ifc->addr, raddr, rport);
    if (!lport) return WEIR_EADDRNOTAVAIL;
    struct weir_conn *c = weir_conn_new(t);
    if (!c) return WEIR_EMFILE;
    c->ifc = (uint8_t)(ifc - t->ip->ifc);
    c->next_hop = next_hop;
    c->laddr = ifc->addr;
    c->raddr = raddr;
    c->lport = lport;
    c->rport = rport;
    weir_tcp_set_mss(t, c, weir_tcp_mss_for(t, c, WEIR_TCP_MSS_DEFAULT));
    if (o) {
        c->user = o->user;
        if (o->rcvbuf_bytes) c->rcvbuf = o->rcvbuf_bytes;
        if (o->sndbuf_bytes) c->sndbuf = o->sndbuf_bytes;
        c->flags |= (o->nodelay ? WEIR_C_NODELAY : 0) | (o->keepalive ? WEIR_C_KEEPALIVE : 0);
    }
    weir_tcp_begin(t, c, weir_tcp_isn(t, c->laddr, c->lport, raddr, rport), 0);
    c->rcv_nxt = c->rcv_adv = 0;
    c->state = WEIR_TCP_SYN_SENT;
    weir_conn_hash(t, c);
    weir_conn_dirty(t, c);
    *id = c->id;
    return 0;
}

static void addr_out(struct weir_addr *a, uint32_t ip, uint16_t port)
{
    memset(a, 0, sizeof *a);
    a->family = WEIR_IP4;
    a->port = port;
    a->ip[0] = (uint8_t)(ip >> 24);
    a->ip[1] = (uint8_t)(ip >> 16);
    a->ip[2] = (uint8_t)(ip >> 8);
    a->ip[3] = (uint8_t)ip;
}

int weir_tcp_accept(struct weir_tcp *t, weir_id lid, weir_id *id, struct weir_addr *peer)
{
    struct weir_listener *l = weir_listener_by_id(t, lid);
    if (!l) return WEIR_ESTALE;
    if (!id) return WEIR_EINVAL;
    if (!l->accept_first) return WEIR_EAGAIN;
    struct weir_conn *c = &t->conn[l->accept_first - 1];
    l->accept_first = c->accept_next;
    if (!l->accept_first) l->accept_last = 0;
    l->queued--;
    c->flags &= ~(uint32_t)WEIR_C_QUEUED;
    c->listener = 0;
    if (c->events) weir_conn_event(t, c, 0); /* what happened while nobody had its id */
    *id = c->id;
    if (peer) addr_out(peer, c->raddr, c->rport);
    return 0;
}

/* A FIN goes behind what is queued. */
static void finish_sending(struct weir_tcp *t, struct weir_conn *c)
{
    if (c->sq.closed) return;
    c->sq.closed = true;
    c->flags |= WEIR_C_SENT_DUE;
    if (c->state == WEIR_TCP_ESTABLISHED) c->state = WEIR_TCP_FIN_WAIT_1;
    if (c->state == WEIR_TCP_CLOSE_WAIT) c->state = WEIR_TCP_LAST_ACK;
    weir_conn_dirty(t, c);
}

int weir_tcp_shutdown(struct weir_tcp *t, weir_id id)
{
    if (weir_listener_by_id(t, id)) return WEIR_EISLISTEN;
    struct weir_conn *c = weir_conn_by_id(t, id);
    if (!c) return WEIR_ESTALE;
    if (c->error < 0 && c->state == WEIR_TCP_CLOSED) return c->error;
    if (c->state < WEIR_TCP_ESTABLISHED) return WEIR_ENOTCONN;
    finish_sending(t, c);
    return 0;
}

static void close_listener(struct weir_tcp *t, struct weir_listener *l)
{
    uint32_t me = (uint32_t)(l - t->lis) + 1;
    /* Half-open connections and those that wait to be accepted are reset; few, or the table would have
     * refused them. */
    for (uint32_t i = 0; i < t->fresh_conn && (l->half_open || l->queued); i++) {
        struct weir_conn *c = &t->conn[i];
        if (!c->id || c->listener != me) continue;
        c->flags |= WEIR_C_DETACHED;
        weir_conn_abort(t, c, WEIR_ECONNABORTED);
    }
    if (l->ready) {
        uint32_t *link = &t->lis_ready;
        while (*link && *link != me)
            link = &t->lis[*link - 1].ready_next;
        if (*link) *link = l->ready_next;
    }
    l->id = 0;
}

int weir_tcp_close(struct weir_tcp *t, weir_id id, enum weir_close_how how)
{
    struct weir_listener *l = weir_listener_by_id(t, id);
    if (l) {
        close_listener(t, l);
        return 0;
    }
    struct weir_conn *c = weir_conn_by_id(t, id);
    if (!c) return WEIR_ESTALE;
    c->flags |= WEIR_C_DETACHED;
    c->events = 0;
    bool unread = c->rq.bytes > 0 || c->rq.ooo_bytes > 0;
    switch (c->state) {
    case WEIR_TCP_CLOSED:
    case WEIR_TCP_SYN_SENT:
        weir_conn_dead(t, c, 0);
        return 0;
    case WEIR_TCP_TIME_WAIT:
        weir_conn_timewait(t, c);
        return 0;
    default:
        break;
    }
    /* A FIN can't be queued behind a SYN that is not acknowledged: both ends opened at once, and this one
     * gave up. */
    if (how == WEIR_CLOSE_ABORT || unread || c->state == WEIR_TCP_SYN_RECEIVED) {
        weir_conn_abort(t, c, WEIR_ECONNABORTED);
        return 0;
    }
    finish_sending(t, c);
    c->flags &= ~(uint32_t)WEIR_C_CORK;
    if (c->state == WEIR_TCP_FIN_WAIT_2) weir_tcp_keep_start(t, c, 2 * t->conf->msl_ms);
    weir_conn_dirty(t, c);
    return 0;
}

static void set_flag(struct weir_conn *c, uint32_t flag, intptr_t on)
{
    c->flags = on ? c->flags | flag : c->flags & ~flag;
}

int weir_tcp_set(struct weir_tcp *t, weir_id id, enum weir_opt opt, intptr_t value)
{
    struct weir_listener *l = weir_listener_by_id(t, id);
    if (l) {
        if (opt != WEIR_OPT_USER) return WEIR_EINVAL;
        l->user = (uint64_t)value;
        return 0;
    }
    struct weir_conn *c = weir_conn_by_id(t, id);
    if (!c) return WEIR_ESTALE;
    if (opt == WEIR_OPT_USER) {
        c->user = (uint64_t)value;
        return 0;
    }
    if (opt == WEIR_OPT_RCVBUF || opt == WEIR_OPT_SNDBUF) {
        if (value < BUF_MIN || value > (opt == WEIR_OPT_RCVBUF ? (intptr_t)rcvbuf_max(t) : BUF_MAX))
            return WEIR_EINVAL;
        *(opt == WEIR_OPT_RCVBUF ? &c->rcvbuf : &c->sndbuf) = (uint32_t)value;
        c->rq.may_pin_bytes = c->rcvbuf;
        weir_tcp_maybe_update(t, c); /* what has grown is told: nothing else may come that would */
        weir_conn_writable(t, c);
        return 0;
    }
    if (value != 0 && value != 1) return WEIR_EINVAL;
    switch (opt) {
    case WEIR_OPT_NODELAY:
        set_flag(c, WEIR_C_NODELAY, value);
        break;
    case WEIR_OPT_CORK:
        set_flag(c, WEIR_C_CORK, value);
        break;
    case WEIR_OPT_KEEPALIVE:
        set_flag(c, WEIR_C_KEEPALIVE, value);
        if (value && weir_tcp_synchronised(c) && c->state != WEIR_TCP_TIME_WAIT)
            weir_tcp_keep_start(t, c, t->conf->keepalive_ms);
        break;
    default:
        return WEIR_EINVAL;
    }
    weir_conn_dirty(t, c); /* what was held back may go now */
    return 0;
}

int weir_tcp_info(const struct weir_tcp *t, weir_id id, struct weir_conn_info *out)
{
    const struct weir_listener *l = weir_listener_by_id(t, id);
    memset(out, 0, sizeof *out);
    if (l) {
        addr_out(&out->local, l->addr, l->port);
        out->state = WEIR_TCP_LISTEN;
        return 0;
    }
    const struct weir_conn *c = weir_conn_by_id(t, id);
    if (!c) return WEIR_ESTALE;
    addr_out(&out->local, c->laddr, c->lport);
    addr_out(&out->peer, c->raddr, c->rport);
    out->state = (enum weir_tcp_state)c->state;
    out->error = c->state == WEIR_TCP_CLOSED ? c->error : 0;
    out->mss = weir_tcp_eff_mss(c);
    out->cwnd = c->cwnd;
    out->ssthresh = c->ssthresh;
    out->snd_wnd = c->snd_wnd;
    out->rcv_wnd = c->rcv_adv - c->rcv_nxt;
    out->srtt_us = c->srtt_us;
    out->rttvar_us = c->rttvar_us;
    out->rto_us = c->rto_us;
    out->queued_bytes = c->sq.end - c->sq.una;
    out->unsent_bytes =
        weir_seq_lt(c->tx.nxt, c->sq.end) ? c->sq.end - weir_seq_max(c->tx.nxt, c->sq.una) : 0;
    out->readable_bytes = c->rq.bytes;
    out->ooo_bytes = c->rq.ooo_bytes;
    out->lent_bytes = c->lent;
    out->retransmits = c->retransmits;
    out->timeouts = c->timeouts;
    out->tx_bytes_ref = c->tx_bytes_ref;
    out->tx_bytes_copied = c->tx_bytes_copied;
    out->rx_bytes = c->rx_bytes;
    return 0;
}
