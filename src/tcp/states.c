/* states.c: how connections begin and end, whoever caused it: the transitions of RFC 9293 3.3.2 that move a
 * connection into ESTABLISHED, TIME-WAIT and CLOSED. */
#include "tcp/tcp.h"

#include "base/bits.h"

/* Everything it holds goes back to the pools at once, also while the application keeps the id. */
static void let_go(struct weir_tcp *t, struct weir_conn *c)
{
    weir_conn_unhash(t, c);
    weir_wheel_cancel(&t->wheel, weir_conn_index(t, c));
    c->flags &= ~(uint32_t)(WEIR_C_TIMING | WEIR_C_KEEPING | WEIR_C_ACK_NOW | WEIR_C_ACK_LATER |
                            WEIR_C_SENT_DUE | WEIR_C_PERSIST | WEIR_C_FORCE);
    weir_sendq_clear(&c->sq, &t->mem);
    weir_txlist_clear(&c->tx, &t->mem);
}

void weir_conn_dead(struct weir_tcp *t, struct weir_conn *c, int error)
{
    struct weir_listener *l = c->listener ? &t->lis[c->listener - 1] : NULL;
    let_go(t, c);
    c->state = WEIR_TCP_CLOSED;
    if ((c->flags & WEIR_C_DETACHED) || (l && !(c->flags & WEIR_C_QUEUED))) {
        weir_conn_free(t, c);
        return;
    }
    c->error = error;
    if (error < 0) {
        weir_recvq_clear(&c->rq, &t->mem);
        weir_conn_event(t, c, WEIR_EV_ERROR);
    } else {
        weir_conn_event(t, c, WEIR_EV_CLOSED);
    }
    weir_conn_readable(t, c); /* a reader learns of the end or the error */
}

void weir_conn_abort(struct weir_tcp *t, struct weir_conn *c, int error)
{
    if (c->state >= WEIR_TCP_SYN_RECEIVED && c->state != WEIR_TCP_TIME_WAIT) weir_tcp_reset(t, c);
    weir_conn_dead(t, c, error);
}

void weir_conn_established(struct weir_tcp *t, struct weir_conn *c)
{
    c->state = WEIR_TCP_ESTABLISHED;
    c->error = 0; /* what an attempt met on its way does not matter any more */
    c->retries = 0;
    weir_cc_newreno.open(c);
    if (c->timeouts) c->cwnd = weir_tcp_eff_mss(c); /* RFC 5681 3.1: the SYN was lost */
    t->stats->conns_opened++;
    if (c->flags & WEIR_C_KEEPALIVE) weir_tcp_keep_start(t, c, t->conf->keepalive_ms);
    if (c->listener) {
        struct weir_listener *l = &t->lis[c->listener - 1];
        uint32_t me = weir_conn_index(t, c) + 1;
        l->half_open--;
        l->queued++;
        c->flags = (c->flags & ~(uint32_t)WEIR_C_HALF_OPEN) | WEIR_C_QUEUED;
        c->accept_next = 0;
        if (l->accept_last)
            t->conn[l->accept_last - 1].accept_next = me;
        else
            l->accept_first = me;
        l->accept_last = me;
        weir_listener_event(t, l);
    } else {
        weir_conn_event(t, c, WEIR_EV_OPEN);
    }
    weir_conn_writable(t, c);
}

void weir_conn_timewait(struct weir_tcp *t, struct weir_conn *c)
{
    c->state = WEIR_TCP_TIME_WAIT;
    if (c->flags & WEIR_C_DETACHED) {
        /* The acknowledgement that is owed goes out first, from the connection. */
        if (c->flags & (WEIR_C_ACK_NOW | WEIR_C_ACK_LATER)) {
            uint32_t none = 0;
            (void)weir_tcp_segment(t, c, weir_tcp_bare_seq(c), &none, WEIR_TCP_ACK);
        }
        weir_tw_add(t, c);
        weir_conn_dead(t, c, 0);
        return;
    }
    weir_tcp_rexmt_stop(t, c);
    weir_tcp_keep_start(t, c, 2 * t->conf->msl_ms);
    weir_conn_event(t, c, WEIR_EV_CLOSED);
}
