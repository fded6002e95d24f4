/* txrec.h: transmit records: what was sent, when, and what became of it. They tile [snd_una, snd_nxt) of a
 * connection apart from the data descriptors, which say where the bytes live; recovery reads and writes only
 * these.
 *
 *     seq ->   una                                             nxt
 *     records   [ lost ][ sent again    ][ sent              ]      (FIN takes one number, the last)
 *
 * One record a burst; split on demand; bounded by a pool and by a limit a connection. When no record can be
 * had, a new burst joins the last record (its time becomes the later one) and a split is not made: the
 * coarser record is treated as a whole, which costs precision and never correctness.
 *
 * Invariants, checked by weir_txlist_check: first.seq = una; each end = next.seq; last.end = nxt; seq < end;
 * pipe = sum of (end - seq) over records that are neither lost nor sacked; neighbours of equal state and time
 * are one. */
#ifndef WEIR_TXREC_H
#define WEIR_TXREC_H

#include <stdbool.h>
#include <stdint.h>

#include "pkt/pbuf.h"

enum weir_txrec_flag {
    WEIR_TXREC_LOST = 1,   /* to be sent again; not in flight */
    WEIR_TXREC_RESENT = 2, /* was sent more than once: no RTT sample without timestamps (Karn) */
    WEIR_TXREC_SACKED = 4  /* the peer holds it */
};

struct weir_txrec {
    uint32_t seq, end;
    uint32_t sent_us; /* low 32 bits of the clock at the last transmission */
    uint32_t next;    /* record number, 0: last */
    uint8_t flags;
    uint8_t times; /* transmissions, saturating; the most of any number in it */
};

static inline struct weir_txrec *weir_txrec_at(const struct weir_pktmem *m, uint32_t number)
{
    return (struct weir_txrec *)(void *)m->txrecs.base + (number - 1);
}

struct weir_txlist {
    uint32_t first, last; /* record numbers, 0: empty */
    uint32_t una, nxt;    /* what the records tile; equal iff empty */
    uint32_t pipe;        /* sequence numbers in flight */
    uint32_t lost;        /* sequence numbers marked lost, not yet sent again */
    uint16_t n, max;
};

/* What an acknowledgement removed. */
struct weir_txack {
    uint32_t acked; /* sequence numbers */
    uint32_t
        sent_us; /* of the latest sent record that was removed as a whole or in part and never sent twice */
    bool sample; /* sent_us is valid */
    bool resent; /* something that was sent twice was acknowledged */
};

void weir_txlist_init(struct weir_txlist *, uint32_t seq, uint16_t max);

/* Whether weir_txlist_sent would succeed now: always but for an empty list with an empty pool. */
#ifdef WEIR_WRAP_DECISIONS
bool weir_txlist_room(const struct weir_txlist *, const struct weir_pktmem *);
#endif
static inline bool WEIR_DECISION(weir_txlist_room)(const struct weir_txlist *l, const struct weir_pktmem *m)
{
    return l->last != 0 || (l->max > 0 && weir_cells_left(&m->txrecs) > 0);
}

/* [nxt, end) was sent for the first time. false iff the list is empty and no record can be had; nothing
 * changed then. */
bool weir_txlist_sent_more(struct weir_txlist *, struct weir_pktmem *, uint32_t end, uint32_t now_us);
/* Its plain case: the list is empty, and weir_txlist_room said yes. */
static inline bool weir_txlist_sent_first(struct weir_txlist *l, struct weir_pktmem *m, uint32_t end,
                                          uint32_t now_us)
{
    void *cell;
    uint32_t number = weir_cells_get_here(&m->txrecs, sizeof(struct weir_txrec), &cell);
    if (number == 0) return false;
    struct weir_txrec *r = cell;
    r->seq = l->nxt;
    r->end = end;
    r->sent_us = now_us;
    r->next = 0;
    r->flags = 0;
    r->times = 1;
    l->first = l->last = number;
    l->n = 1;
    m->txlists_used++;
    l->pipe += end - l->nxt;
    l->nxt = end;
    return true;
}
static inline bool weir_txlist_sent(struct weir_txlist *l, struct weir_pktmem *m, uint32_t end,
                                    uint32_t now_us)
{
    if (l->first != 0 || l->max == 0) return weir_txlist_sent_more(l, m, end, now_us);
    return weir_txlist_sent_first(l, m, end, now_us); /* the record that is kept for it */
}

/* Everything before una (una <= nxt, > the list's una) is acknowledged. */
struct weir_txack weir_txlist_ack_some(struct weir_txlist *, struct weir_pktmem *, uint32_t una);
/* Its plain case: una is nxt, and all that is out lies in one record, which was sent once. */
static inline bool weir_txlist_is_plain(const struct weir_txlist *l, const struct weir_pktmem *m,
                                        uint32_t una)
{
    return l->n == 1 && una == l->nxt && weir_txrec_at(m, l->first)->flags == 0;
}
/* Returns when it was sent. */
static inline uint32_t weir_txlist_ack_plain(struct weir_txlist *l, struct weir_pktmem *m)
{
    uint32_t sent_us = weir_txrec_at(m, l->first)->sent_us;
    weir_cells_put_here(&m->txrecs, sizeof(struct weir_txrec), l->first);
    m->txlists_used--;
    l->first = l->last = l->pipe = l->n = 0;
    l->una = l->nxt;
    return sent_us;
}
static inline struct weir_txack weir_txlist_ack(struct weir_txlist *l, struct weir_pktmem *m, uint32_t una)
{
    if (!weir_txlist_is_plain(l, m, una)) return weir_txlist_ack_some(l, m, una);
    struct weir_txack a = {.acked = una - l->una, .sample = true};
    a.sent_us = weir_txlist_ack_plain(l, m);
    return a;
}

/* Marks [from, to) lost, as far as it is neither sacked nor lost already. Splits at the borders where records
 * allow. Returns the sequence numbers newly marked. Cost: the records from una to `to`. */
uint32_t weir_txlist_lose(struct weir_txlist *, struct weir_pktmem *, uint32_t from, uint32_t to);

/* The first stretch marked lost: false if none. */
void weir_txlist_find_lost(const struct weir_txlist *, const struct weir_pktmem *, uint32_t *seq,
                           uint32_t *end); /* only where lost > 0 */
static inline bool weir_txlist_next_lost(const struct weir_txlist *l, const struct weir_pktmem *m,
                                         uint32_t *seq, uint32_t *end)
{
    if (l->lost == 0) return false;
    weir_txlist_find_lost(l, m, seq, end);
    return true;
}

/* [seq, end), part of one stretch from weir_txlist_next_lost beginning with it, was sent again. Returns the
 * end of what is now in flight again (later than end when no record could be had for a split). */
uint32_t weir_txlist_resent(struct weir_txlist *, struct weir_pktmem *, uint32_t seq, uint32_t end,
                            uint32_t now_us);

/* Takes every loss mark back that was not sent again (for an undo). */
void weir_txlist_unlose(struct weir_txlist *, struct weir_pktmem *);

/* Gives every record back. */
void weir_txlist_clear(struct weir_txlist *, struct weir_pktmem *);

/* 0, or the number of a broken invariant. */
int weir_txlist_check(const struct weir_txlist *, const struct weir_pktmem *);

#endif
