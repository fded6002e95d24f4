/* refs.c: who holds what. One walk over every queue of an instance serves the census and the check that each
 * zbuf's count equals the sum over its owners. References that devices hold are known only by number: POSTED
 * by the pool, TXDEV as what is left. */
#include <string.h>

#include "stack/stack.h"

static void walk_pbufs(const struct weir *w, uint32_t at, enum weir_owner owner, weir_ref_fn fn, void *ctx)
{
    while (at) {
        const struct weir_pbuf *p = weir_pbuf_at(&w->tcp.mem, at);
        fn(ctx, owner, p->addr, p->bytes);
        at = p->next;
    }
}

static void walk_pieces(const struct weir_piece *p, unsigned n, enum weir_owner owner, weir_ref_fn fn,
                        void *ctx)
{
    for (unsigned i = 0; i < n; i++)
        fn(ctx, owner, p[i].addr, p[i].bytes);
}

static void walk_ifc(const struct weir *w, uint32_t i, weir_ref_fn fn, void *ctx)
{
    const struct weir_ifc *ifc = &w->ip.ifc[i];
    for (uint32_t k = 0; k < ifc->txq.n; k++)
        walk_pieces(ifc->txq.frame[k].pieces, ifc->txq.frame[k].n_pieces, WEIR_OWNER_TXWAIT, fn, ctx);
    if (!ifc->ether) return;
    for (uint32_t k = 0; k < ifc->neigh.waits; k++) {
        const struct weir_neigh_wait *q = &ifc->neigh.wait[k];
        if (q->entry) walk_pieces(q->piece, q->frame.n_pieces, WEIR_OWNER_DATAGRAM, fn, ctx);
    }
}

void weir_refs_walk(const struct weir *w, weir_ref_fn fn, void *ctx)
{
    for (uint32_t i = 0; i < w->tcp.fresh_conn; i++) {
        const struct weir_conn *c = &w->tcp.conn[i];
        if (!c->id) continue;
        walk_pbufs(w, c->sq.first, WEIR_OWNER_SENDQ, fn, ctx);
        walk_pbufs(w, c->rq.first, WEIR_OWNER_RECVQ, fn, ctx);
        walk_pbufs(w, c->rq.ooo_first, WEIR_OWNER_OOO, fn, ctx);
    }
    if (w->tcp.warm.at) fn(ctx, WEIR_OWNER_WARM, w->tcp.warm.at, 0);
    for (uint32_t i = 0; i < w->ip.n_ifc; i++)
        walk_ifc(w, i, fn, ctx);
}

/* ---- census ---- */

struct batch {
    const struct weir_zpool *z;
    struct weir_zinfo *info;
    int n;
};

static int index_of(const struct batch *b, const uint8_t *first)
{
    for (int i = 0; i < b->n; i++)
        if (b->info[i].first == first) return i;
    return -1;
}

static void add_ref(void *ctx, enum weir_owner owner, const uint8_t *addr, uint32_t bytes)
{
    struct batch *b = ctx;
    const struct weir_zhead *h = weir_zpool_head(b->z, addr);
    if (!h) return;
    int i = index_of(b, weir_zpool_first(b->z, h));
    if (i < 0) return;
    b->info[i].owners |= 1u << owner;
    b->info[i].pinned_bytes += bytes;
}

int weir_census(const struct weir *w, uint32_t *cursor, struct weir_zinfo *out, int n)
{
    struct batch b = {.z = &w->z, .info = out};
    for (; *cursor < w->z.total && b.n < n; ++*cursor) {
        const struct weir_zhead *h = weir_zpool_by_number(&w->z, *cursor);
        if (h->app + h->stk == 0) continue;
        out[b.n++] = (struct weir_zinfo){.first = weir_zpool_first(&w->z, h),
                                         .bytes = weir_zpool_bytes(&w->z, h),
                                         .app = h->app,
                                         .stk = h->stk,
                                         .owners = h->app ? 1u << WEIR_OWNER_APP : 0,
                                         .age_ms = w->z.now_ms - h->u.birth_ms,
                                         .tag = h->tag};
    }
    if (b.n == 0) return 0;
    weir_refs_walk(w, add_ref, &b);
    /* What no queue holds is a device's: a buffer that it may receive into, or bytes on their way out of an
     * asynchronous one. */
    for (int i = 0; i < b.n; i++)
        if (out[i].stk && !(out[i].owners & ~(1u << WEIR_OWNER_APP)))
            out[i].owners |= 1u << WEIR_OWNER_POSTED;
    return b.n;
}

/* ---- the check ---- */

struct tally {
    const struct weir_zpool *z;
    uint64_t refs;
    bool broken;
};

static void count_ref(void *ctx, enum weir_owner owner, const uint8_t *addr, uint32_t bytes)
{
    struct tally *t = ctx;
    const struct weir_zhead *h = weir_zpool_head(t->z, addr);
    (void)owner;
    (void)bytes;
    t->refs++;
    if (!h || h->stk == 0) t->broken = true;
}

static int check_conn(const struct weir *w, const struct weir_conn *c)
{
    if (c->state == WEIR_TCP_CLOSED) return 0;
    if (weir_sendq_check(&c->sq, &w->tcp.mem)) return 2;
    if (weir_txlist_check(&c->tx, &w->tcp.mem)) return 3;
    uint32_t in_order = c->rcv_nxt - ((c->flags & WEIR_C_FIN_READ) != 0);
    return weir_recvq_check(&c->rq, &w->tcp.mem, in_order) ? 4 : 0;
}

int weir_stack_check(const struct weir *w)
{
    uint64_t pinned = 0;
    if (weir_zpool_check(&w->z)) return 1;
    for (uint32_t i = 0; i < w->tcp.fresh_conn; i++) {
        int r = w->tcp.conn[i].id ? check_conn(w, &w->tcp.conn[i]) : 0;
        if (r) return r;
        const struct weir_recvq *q = &w->tcp.conn[i].rq;
        if (w->tcp.conn[i].id) pinned += (uint64_t)q->seg_bytes + q->ooo_seg_bytes + q->lent_seg_bytes;
    }
    if (pinned != w->tcp.mem.strict.pinned_bytes) return 20;
    struct tally t = {.z = &w->z};
    weir_refs_walk(w, count_ref, &t);
    uint64_t stk = 0;
    bool async = false;
    for (uint32_t i = 0; i < w->z.total; i++)
        stk += weir_zpool_by_number(&w->z, i)->stk;
    for (uint32_t i = 0; i < w->ip.n_ifc; i++)
        async = async || w->ip.ifc[i].dev->caps.async;
    uint64_t known = t.refs + w->z.posted;
    if (t.broken || (async ? stk < known : stk != known)) return 5;
    int tables = weir_tcp_check(&w->tcp);
    return tables ? 5 + tables : 0;
}
