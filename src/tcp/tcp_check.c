/* tcp_check.c: the invariants of TCP's tables, for tests and debug builds.
 *
 *     live            = cells with an id;  used cells = live + free list;  a free cell is DETACHED
 *     eff_mss, seg_max = what mss, timestamps and interface say
 *     a list's length = cells with its flag       (dirty, ready, blocked, memwait, accept)
 *     half_open       = cells of the listener with HALF_OPEN
 *     tw_live         = entries by age = entries marked used;  each is found by its addresses
 *
 * Cost: everything, so no part of a running instance calls it. */
#include "tcp/tcp.h"

/* The cells of a list: -1 when it is longer than there are cells, or one lacks the flag or is free. */
#define LENGTH(t, first, last, member, flag, out)                                                            \
    do {                                                                                                     \
        int64_t n_ = 0;                                                                                      \
        uint32_t end_ = 0;                                                                                   \
        for (uint32_t at_ = (first); at_ && n_ >= 0; at_ = (t)->conn[at_ - 1].member) {                      \
            const struct weir_conn *c_ = &(t)->conn[at_ - 1];                                                \
            n_ = c_->id && (c_->flags & (flag)) && n_ < (t)->n_conn ? n_ + 1 : -1;                           \
            end_ = at_;                                                                                      \
        }                                                                                                    \
        (out) = n_ >= 0 && end_ != (last) ? -1 : n_;                                                         \
    } while (0)

static bool sizes_ok(const struct weir_tcp *t, const struct weir_conn *c)
{
    return c->state < WEIR_TCP_ESTABLISHED ||
           (c->eff_mss == weir_tcp_eff_mss(c) && c->seg_max == weir_tcp_segment_max(t, c));
}

static bool cells_ok(const struct weir_tcp *t)
{
    uint32_t live = 0, idle = 0;
    for (uint32_t i = 0; i < t->fresh_conn; i++) {
        const struct weir_conn *c = &t->conn[i];
        if (!c->id) continue;
        live++;
        if (!sizes_ok(t, c)) return false;
        if ((c->flags & WEIR_C_HASHED) && weir_conn_lookup(t, c->laddr, c->lport, c->raddr, c->rport) != c)
            return false;
    }
    for (uint32_t at = t->free_conn; at && idle <= t->n_conn; at = t->conn[at - 1].hash_next, idle++)
        if (t->conn[at - 1].id || !(t->conn[at - 1].flags & WEIR_C_DETACHED)) return false;
    return live == t->live && live + idle == t->fresh_conn && t->fresh_conn <= t->n_conn;
}

static int64_t flagged(const struct weir_tcp *t, uint32_t flag)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < t->fresh_conn; i++)
        n += t->conn[i].id && (t->conn[i].flags & flag);
    return n;
}

static bool lists_ok(const struct weir_tcp *t)
{
    int64_t dirty, ready, blocked, memwait;
    LENGTH(t, t->dirty_first, t->dirty_last, dirty_next, WEIR_C_DIRTY, dirty);
    LENGTH(t, t->ready_first, t->ready_last, ready_next, WEIR_C_READY, ready);
    LENGTH(t, t->blocked_first, t->blocked_last, blocked_next, WEIR_C_BLOCKED, blocked);
    LENGTH(t, t->memwait_first, t->memwait_last, memwait_next, WEIR_C_MEMWAIT, memwait);
    return dirty == flagged(t, WEIR_C_DIRTY) && ready == flagged(t, WEIR_C_READY) &&
           blocked == flagged(t, WEIR_C_BLOCKED) && memwait == flagged(t, WEIR_C_MEMWAIT);
}

/* How many of a listener's connections have the flag; only = 0: of any listener. */
static int64_t of_listener(const struct weir_tcp *t, uint32_t only, uint32_t flag)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < t->fresh_conn; i++) {
        const struct weir_conn *c = &t->conn[i];
        n += c->id && (c->flags & flag) && c->listener && (!only || c->listener == only);
    }
    return n;
}

static bool listeners_ok(const struct weir_tcp *t)
{
    int64_t half_open = 0, queued = 0;
    for (uint32_t i = 0; i < t->n_lis; i++) {
        const struct weir_listener *l = &t->lis[i];
        int64_t waiting;
        if (!l->id) continue;
        LENGTH(t, l->accept_first, l->accept_last, accept_next, WEIR_C_QUEUED, waiting);
        if (waiting != l->queued || waiting != of_listener(t, i + 1, WEIR_C_QUEUED)) return false;
        if (l->queued > l->backlog || l->half_open != of_listener(t, i + 1, WEIR_C_HALF_OPEN)) return false;
        half_open += l->half_open;
        queued += l->queued;
    }
    return flagged(t, WEIR_C_HALF_OPEN) == half_open && flagged(t, WEIR_C_QUEUED) == queued;
}

static bool timewait_ok(const struct weir_tcp *t)
{
    uint32_t n = 0, used = 0, before = 0;
    for (uint32_t at = t->tw_first; at; at = t->tw[at - 1].next) {
        const struct weir_tw *w = &t->tw[at - 1];
        if (++n > t->n_tw || !w->used || w->prev != before) return false;
        if (weir_tw_lookup(t, w->laddr, w->lport, w->raddr, w->rport) != w) return false;
        before = at;
    }
    for (uint32_t i = 0; i < t->tw_fresh; i++)
        used += t->tw[i].used;
    return n == t->tw_live && used == n && before == t->tw_last;
}

int weir_tcp_check(const struct weir_tcp *t)
{
    if (!cells_ok(t)) return 1;
    if (!lists_ok(t)) return 2;
    if (!listeners_ok(t)) return 3;
    return timewait_ok(t) ? 0 : 4;
}
