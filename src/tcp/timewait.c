/* timewait.c: TIME-WAIT in 64 bytes a connection (RFC 9293 3.6.1).
 *
 * Every entry waits equally long, so their age is their order: one list, oldest first, and expiry looks at
 * its front only. An entry that hears a FIN again starts anew at the back. When the table is full the oldest
 * makes room: a bound on memory is kept, a little safety against old duplicates is given up. */
#include "tcp/tcp.h"

#include "base/bits.h"

static uint32_t *bucket_for(const struct weir_tcp *t, uint32_t laddr, uint16_t lport, uint32_t raddr,
                            uint16_t rport)
{
    return &t->tw_bucket[(uint32_t)weir_siphash_tuple(&t->key_table, laddr, raddr, lport, rport, 1) &
                         t->tw_mask];
}

struct weir_tw *weir_tw_lookup(const struct weir_tcp *t, uint32_t laddr, uint16_t lport, uint32_t raddr,
                               uint16_t rport)
{
    if (!t->tw_live) return NULL;
    for (uint32_t at = *bucket_for(t, laddr, lport, raddr, rport); at; at = t->tw[at - 1].hash_next) {
        struct weir_tw *w = &t->tw[at - 1];
        if (w->rport == rport && w->lport == lport && w->raddr == raddr && w->laddr == laddr) return w;
    }
    return NULL;
}

static void unlink_age(struct weir_tcp *t, struct weir_tw *w)
{
    if (w->prev)
        t->tw[w->prev - 1].next = w->next;
    else
        t->tw_first = w->next;
    if (w->next)
        t->tw[w->next - 1].prev = w->prev;
    else
        t->tw_last = w->prev;
}

static void append_age(struct weir_tcp *t, struct weir_tw *w)
{
    uint32_t me = (uint32_t)(w - t->tw) + 1;
    w->prev = t->tw_last;
    w->next = 0;
    if (t->tw_last)
        t->tw[t->tw_last - 1].next = me;
    else
        t->tw_first = me, t->next_known = false;
    t->tw_last = me;
    w->expire_ms = t->now_ms + 2 * t->conf->msl_ms;
}

void weir_tw_drop(struct weir_tcp *t, struct weir_tw *w)
{
    uint32_t me = (uint32_t)(w - t->tw) + 1;
    uint32_t *link = bucket_for(t, w->laddr, w->lport, w->raddr, w->rport);
    while (*link && *link != me)
        link = &t->tw[*link - 1].hash_next;
    if (*link) *link = w->hash_next;
    unlink_age(t, w);
    w->used = 0;
    w->hash_next = t->tw_free;
    t->tw_free = me;
    t->tw_live--;
}

void weir_tw_add(struct weir_tcp *t, const struct weir_conn *c)
{
    if (!t->n_tw) return;
    if (!t->tw_free && t->tw_fresh == t->n_tw) weir_tw_drop(t, &t->tw[t->tw_first - 1]);
    struct weir_tw *w;
    if (t->tw_free) {
        w = &t->tw[t->tw_free - 1];
        t->tw_free = w->hash_next;
    } else {
        w = &t->tw[t->tw_fresh++];
    }
    *w = (struct weir_tw){.laddr = c->laddr,
                          .raddr = c->raddr,
                          .lport = c->lport,
                          .rport = c->rport,
                          .snd_nxt = c->tx.nxt,
                          .rcv_nxt = c->rcv_nxt,
                          .ts_recent = c->ts_recent,
                          .ts_offset = c->ts_offset,
                          .next_hop = c->next_hop,
                          .ifc = c->ifc,
                          .ts = (c->flags & WEIR_C_TS) != 0,
                          .used = 1,
                          .rcv_wscale = c->rcv_wscale,
                          .rcv_wnd = c->rcv_adv - c->rcv_nxt};
    uint32_t *b = bucket_for(t, w->laddr, w->lport, w->raddr, w->rport);
    w->hash_next = *b;
    *b = (uint32_t)(w - t->tw) + 1;
    append_age(t, w);
    t->tw_live++;
}

void weir_tw_restart(struct weir_tcp *t, struct weir_tw *w)
{
    unlink_age(t, w);
    append_age(t, w);
}

void weir_tw_expire(struct weir_tcp *t, unsigned budget)
{
    while (budget-- && t->tw_first) {
        struct weir_tw *w = &t->tw[t->tw_first - 1];
        if (weir_seq_lt(t->now_ms, w->expire_ms)) return;
        weir_tw_drop(t, w);
    }
}
