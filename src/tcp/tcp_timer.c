/* tcp_timer.c: what happens when time passes. Three deadlines a connection, one wheel entry that stands at or
 * before the nearest: moving a deadline later only stores it, and an entry that fires early is set again.
 *
 *     rexmt_ms   TIMING      retransmission (RFC 6298), or with PERSIST the zero-window probe (RFC 9293 3.8.6.1)
 *     delack_ms  ACK_LATER   the acknowledgement that was put off (RFC 9293 3.8.6.3)
 *     keep_ms    KEEPING     by state: keep-alive (3.8.4), FIN-WAIT-2 of a connection that was given up,
 *                            TIME-WAIT */
#include "tcp/tcp.h"

#include "base/bits.h"

#define PERSIST_MAX_US 60000000u
#define KEEP_AGAIN_MS  500u /* after a probe for which there was no neighbour, room or header block */

void weir_conn_timers(struct weir_tcp *t, struct weir_conn *c)
{
    bool any = false;
    uint32_t when = 0;
#define CONSIDER(flag, at)                                                                                   \
    if ((c->flags & (flag)) && (!any || weir_seq_lt((at), when))) {                                          \
        when = (at);                                                                                         \
        any = true;                                                                                          \
    }
    CONSIDER(WEIR_C_TIMING, c->rexmt_ms)
    CONSIDER(WEIR_C_ACK_LATER, c->delack_ms)
    CONSIDER(WEIR_C_KEEPING, c->keep_ms)
#undef CONSIDER
    uint32_t i = weir_conn_index(t, c);
    if (!any) return;
    if (weir_wheel_pending(&t->wheel, i) && weir_seq_leq(t->node[i].when_ms, when)) return;
    weir_wheel_set(&t->wheel, i, when);
}

void weir_tcp_rexmt_stop(struct weir_tcp *t, struct weir_conn *c)
{
    (void)t;
    c->flags &= ~(uint32_t)(WEIR_C_TIMING | WEIR_C_PERSIST);
}

static uint32_t backed_off(const struct weir_tcp *t, const struct weir_conn *c)
{
    uint64_t us = (uint64_t)c->rto_us << weir_min_u32(c->probes, 16);
    return us > t->conf->rto_max_us ? t->conf->rto_max_us : (uint32_t)us;
}

void weir_tcp_persist_start(struct weir_tcp *t, struct weir_conn *c)
{
    c->flags |= WEIR_C_PERSIST;
    weir_tcp_rexmt_at(t, c, weir_min_u32(backed_off(t, c), PERSIST_MAX_US));
}

void weir_tcp_keep_start(struct weir_tcp *t, struct weir_conn *c, uint32_t after_ms)
{
    c->keep_ms = t->now_ms + after_ms;
    c->flags |= WEIR_C_KEEPING;
    weir_conn_timer_at(t, c, c->keep_ms);
}

/* false: given up, c may be gone. */
static bool count_retry(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t limit = weir_tcp_synchronised(c) ? t->conf->data_retries : t->conf->syn_retries;
    if (c->retries < limit) {
        c->retries++;
        return true;
    }
    weir_conn_dead(t, c, c->error < 0 ? c->error : WEIR_ETIMEDOUT);
    return false;
}

/* A probe carries one byte (or the FIN) beyond the window: new, or the one that was sent before. */
static void persist_fired(struct weir_tcp *t, struct weir_conn *c)
{
    if (!count_retry(t, c)) return;
    t->stats->zwin_probes++;
    if (c->probes < 255) c->probes++;
    if (c->tx.una != c->tx.nxt) (void)weir_txlist_lose(&c->tx, &t->mem, c->tx.una, c->tx.nxt);
    c->flags |= WEIR_C_FORCE;
    weir_tcp_persist_start(t, c); /* before the output, which would start the other timer */
    weir_conn_dirty(t, c);
}

/* false: c may be gone. */
static bool rexmt_fired(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t i = weir_conn_index(t, c);
    uint32_t id = c->id;
    c->flags &= ~(uint32_t)WEIR_C_TIMING;
    if (c->flags & WEIR_C_PERSIST)
        persist_fired(t, c);
    else if (count_retry(t, c))
        weir_tcp_timeout(t, c);
    return t->conn[i].id == id && t->conn[i].state != WEIR_TCP_CLOSED;
}

/* RFC 9293 3.8.4: a segment just below the window, which must be answered. */
static void keepalive_fired(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t idle = t->now_ms - c->heard_ms;
    if (c->tx.una != c->tx.nxt || c->sq.end != c->sq.una) { /* data is on its way: the other timer watches */
        weir_tcp_keep_start(t, c, t->conf->keepalive_ms);
        return;
    }
    if (idle < t->conf->keepalive_ms) {
        weir_tcp_keep_start(t, c, t->conf->keepalive_ms - idle);
        return;
    }
    if (c->keep_probes >= t->conf->keepalive_probes) {
        weir_conn_abort(t, c, WEIR_ETIMEDOUT);
        return;
    }
    uint32_t none = 0;
    enum weir_send r = weir_tcp_segment(t, c, c->tx.una - 1, &none, WEIR_TCP_ACK);
    if (r == WEIR_SEND_WAIT_NEIGH || r == WEIR_SEND_WAIT_ROOM || r == WEIR_SEND_WAIT_HEADER) {
        weir_tcp_keep_start(t, c, KEEP_AGAIN_MS); /* not sent, so it can't be missed */
        return;
    }
    c->keep_probes++;
    t->stats->keepalives++;
    weir_tcp_keep_start(t, c, t->conf->keepalive_interval_ms);
}

static void keep_fired(struct weir_tcp *t, struct weir_conn *c)
{
    c->flags &= ~(uint32_t)WEIR_C_KEEPING;
    switch (c->state) {
    case WEIR_TCP_TIME_WAIT:
        weir_conn_unhash(t, c);
        c->state = WEIR_TCP_CLOSED;
        if (c->flags & WEIR_C_DETACHED) weir_conn_free(t, c);
        break;
    case WEIR_TCP_FIN_WAIT_2:
        if (c->flags & WEIR_C_DETACHED)
            weir_conn_dead(t, c, 0);
        else if (c->flags & WEIR_C_KEEPALIVE)
            keepalive_fired(t, c);
        break;
    case WEIR_TCP_ESTABLISHED:
    case WEIR_TCP_CLOSE_WAIT:
        if (c->flags & WEIR_C_KEEPALIVE) keepalive_fired(t, c);
        break;
    default:
        break;
    }
}

static bool due(const struct weir_tcp *t, uint32_t when_ms)
{
    return weir_seq_leq(when_ms, t->now_ms);
}

void weir_tcp_timers(struct weir_tcp *t, unsigned budget)
{
    uint32_t i;
    while (budget-- && weir_wheel_pop(&t->wheel, t->now_ms, &i)) {
        struct weir_conn *c = &t->conn[i];
        uint32_t id = c->id;
        if (!id) continue;
        if ((c->flags & WEIR_C_TIMING) && due(t, c->rexmt_ms) && !rexmt_fired(t, c)) continue;
        if ((c->flags & WEIR_C_ACK_LATER) && due(t, c->delack_ms)) {
            c->flags = (c->flags & ~(uint32_t)WEIR_C_ACK_LATER) | WEIR_C_ACK_NOW;
            weir_conn_dirty(t, c);
        }
        if ((c->flags & WEIR_C_KEEPING) && due(t, c->keep_ms)) keep_fired(t, c);
        if (c->id == id) weir_conn_timers(t, c);
    }
    weir_tw_expire(t, 64);
}
