/* events.c: what the application is told. One entry a connection on the ready list, its mask accumulates;
 * READ and WRITE are armed at birth and by the call that found nothing to do, and fire once an arming. What
 * does not fit in a batch stays listed. */
#include "tcp/tcp.h"

static WEIR_APART int listener_events(struct weir_tcp *t, struct weir_event *out, int n)
{
    int k = 0;
    while (k < n && t->lis_ready) {
        struct weir_listener *l = &t->lis[t->lis_ready - 1];
        t->lis_ready = l->ready_next;
        l->ready = 0;
        if (!l->accept_first) continue;
        out[k++] = (struct weir_event){.id = l->id, .mask = WEIR_EV_ACCEPT, .user = l->user};
    }
    return k;
}

/* Behind the first k. */
static inline int conn_events(struct weir_tcp *t, struct weir_event *out, int k, int n)
{
    uint32_t at = t->ready_first;
    while (k < n && at) {
        struct weir_conn *c = &t->conn[at - 1];
        uint32_t mask = c->events;
        at = c->ready_next;
        c->flags &= ~(uint32_t)WEIR_C_READY;
        if (!mask || (c->flags & WEIR_C_DETACHED)) continue;
        struct weir_event *e = &out[k++];
        c->events = 0;
        e->id = c->id;
        e->mask = mask;
        e->user = c->user;
    }
    t->ready_first = at;
    if (!at) t->ready_last = 0;
    return k;
}

static WEIR_APART int all_events(struct weir_tcp *t, struct weir_event *out, int n)
{
    return conn_events(t, out, listener_events(t, out, n), n);
}

int weir_tcp_events(struct weir_tcp *t, struct weir_event *out, int n)
{
    return t->lis_ready ? all_events(t, out, n) : conn_events(t, out, 0, n);
}

unsigned weir_tcp_ready(const struct weir_tcp *t, weir_id id)
{
    const struct weir_listener *l = weir_listener_by_id(t, id);
    if (l) return l->accept_first ? WEIR_EV_ACCEPT : 0;
    const struct weir_conn *c = weir_conn_by_id(t, id);
    if (!c) return 0;
    unsigned mask = 0;
    bool over = c->state == WEIR_TCP_CLOSED;
    if (c->rq.bytes || (c->flags & WEIR_C_FIN_READ) || over) mask |= WEIR_EV_READ;
    if (weir_conn_can_write(t, c)) mask |= WEIR_EV_WRITE;
    if (c->error < 0 && over) mask |= WEIR_EV_ERROR;
    if (over || c->state == WEIR_TCP_TIME_WAIT) mask |= WEIR_EV_CLOSED;
    return mask;
}
