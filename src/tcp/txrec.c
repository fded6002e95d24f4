/* txrec.c: transmit records.
 *
 * Theory of operation. A singly linked list of records tiles [una, nxt). Each number in it is in one of four
 * states:
 *
 *     sent ----------- lose ---> LOST ------- resent ---> sent, RESENT
 *       ^                          |
 *       +-------- unlose ----------+          (SACKED is set by the scoreboard, and stays until acknowledged)
 *
 * A record covers neighbours of one state and one time. Each operation first cuts records at its borders,
 * then changes whole records, then joins equal neighbours, all in one walk with the predecessor at hand. When
 * a cut finds no record, the whole one is changed; the caller is told by what is returned. `times` of joined
 * records is the larger one, so it is a bound, and RESENT is set iff it is more than 1.
 *
 *     pipe = sum (end - seq) with neither LOST nor SACKED
 *     lost = sum (end - seq) with LOST and not SACKED
 *
 * Records are shared, but for one a list (m->txlists of them): a few connections whose peers fell silent hold
 * theirs until they are given up, and nobody else could open or send meanwhile.
 *
 * What a burst joins when no record can be had: behind a LOST record the new numbers count as lost and will
 * be sent once more; behind a SACKED one the whole counts as in flight. Rejected: keeping such a record's
 * state and counting the new numbers with it, which would never send a lost number again if it lay behind a
 * SACKED one.
 *
 * Cost: sent and ack are constant, amortised over the records that they make; next_lost is constant while
 * nothing is lost; the others walk from the head to where they end. */
#include "tcp/txrec.h"

#include "base/bits.h"

static struct weir_txrec *rec_at(const struct weir_pktmem *m, uint32_t number)
{
    return (struct weir_txrec *)weir_cells_at(&m->txrecs, number);
}

static bool in_flight(const struct weir_txrec *r)
{
    return (r->flags & (WEIR_TXREC_LOST | WEIR_TXREC_SACKED)) == 0;
}

static bool to_resend(const struct weir_txrec *r)
{
    return (r->flags & (WEIR_TXREC_LOST | WEIR_TXREC_SACKED)) == WEIR_TXREC_LOST;
}

/* Takes n numbers of a record's state out of the sums, and puts them in. */
static void discount(struct weir_txlist *l, const struct weir_txrec *r, uint32_t n)
{
    if (in_flight(r)) l->pipe -= n;
    if (to_resend(r)) l->lost -= n;
}

static void recount(struct weir_txlist *l, const struct weir_txrec *r, uint32_t n)
{
    if (in_flight(r)) l->pipe += n;
    if (to_resend(r)) l->lost += n;
}

static bool equal(const struct weir_txrec *a, const struct weir_txrec *b)
{
    return a->flags == b->flags && a->sent_us == b->sent_us;
}

void weir_txlist_init(struct weir_txlist *l, uint32_t seq, uint16_t max)
{
    *l = (struct weir_txlist){.una = seq, .nxt = seq, .max = max};
}

/* A record from the pool, within this list's limit; 0 iff there is none. Every list's first one is kept for
 * it: further ones come from what is left over then. */
static uint32_t rec_get(struct weir_txlist *l, struct weir_pktmem *m)
{
    if (l->n >= l->max) return 0;
    if (l->n > 0 && weir_cells_left(&m->txrecs) + m->txlists_used <= m->txlists) return 0;
    uint32_t number = weir_cells_get(&m->txrecs);
    if (number != 0) m->txlists_used += l->n++ == 0;
    return number;
}

static void rec_put(struct weir_txlist *l, struct weir_pktmem *m, uint32_t number)
{
    weir_cells_put(&m->txrecs, number);
    m->txlists_used -= --l->n == 0;
}

/* Cuts a record at seq, inside it; false iff no record can be had. The sums stay. */
static bool cut(struct weir_txlist *l, struct weir_pktmem *m, uint32_t number, uint32_t seq)
{
    uint32_t rest = rec_get(l, m);
    if (rest == 0) return false;
    struct weir_txrec *r = rec_at(m, number);
    *rec_at(m, rest) = *r;
    rec_at(m, rest)->seq = seq;
    r->end = seq;
    r->next = rest;
    if (l->last == number) l->last = rest;
    return true;
}

/* Makes a record and its successor one if they are equal; whether it did. */
static bool join_next(struct weir_txlist *l, struct weir_pktmem *m, uint32_t number)
{
    struct weir_txrec *r = rec_at(m, number);
    uint32_t next = r->next;
    if (next == 0 || !equal(r, rec_at(m, next))) return false;
    const struct weir_txrec *s = rec_at(m, next);
    r->end = s->end;
    r->next = s->next;
    if (s->times > r->times) r->times = s->times;
    if (l->last == next) l->last = number;
    rec_put(l, m, next);
    return true;
}

#ifdef WEIR_WRAP_DECISIONS
bool weir_txlist_room(const struct weir_txlist *l, const struct weir_pktmem *m)
{
    return weir_txlist_room_inline(l, m);
}
#endif

static void extend_last(struct weir_txlist *l, struct weir_txrec *r, uint32_t end)
{
    recount(l, r, end - r->end);
    r->end = end;
    l->nxt = end;
}

/* A burst without a record of its own. */
static void join_last(struct weir_txlist *l, struct weir_pktmem *m, uint32_t end, uint32_t now_us)
{
    struct weir_txrec *r = rec_at(m, l->last);
    if ((r->flags & WEIR_TXREC_SACKED) != 0) {
        discount(l, r, r->end - r->seq);
        r->flags &= (uint8_t)~WEIR_TXREC_SACKED;
        recount(l, r, r->end - r->seq);
    }
    r->sent_us = now_us;
    extend_last(l, r, end);
    /* First transmissions have ascending times, so only one that was sent again can now equal its
     * predecessor. */
    uint32_t at = r->flags != 0 && l->n > 1 ? l->first : 0;
    while (at != 0 && rec_at(m, at)->next != l->last)
        at = rec_at(m, at)->next;
    if (at != 0) join_next(l, m, at);
}

bool weir_txlist_sent_more(struct weir_txlist *l, struct weir_pktmem *m, uint32_t end, uint32_t now_us)
{
    struct weir_txrec *last = l->last != 0 ? rec_at(m, l->last) : NULL;
    if (last != NULL && last->flags == 0 && last->sent_us == now_us) {
        extend_last(l, last, end);
        return true;
    }
    uint32_t number = rec_get(l, m);
    if (number == 0) {
        if (last == NULL) return false;
        join_last(l, m, end, now_us);
        return true;
    }
    *rec_at(m, number) = (struct weir_txrec){.seq = l->nxt, .end = end, .sent_us = now_us, .times = 1};
    if (last == NULL)
        l->first = number;
    else
        last->next = number;
    l->last = number;
    l->pipe += end - l->nxt;
    l->nxt = end;
    return true;
}

/* What the acknowledgement of (part of) a record tells. A sacked one was told of before: it says nothing
 * about now. */
static void learn(struct weir_txack *a, const struct weir_txrec *r)
{
    if ((r->flags & WEIR_TXREC_RESENT) != 0) {
        a->resent = true;
        return;
    }
    if ((r->flags & WEIR_TXREC_SACKED) != 0) return;
    if (!a->sample || weir_seq_lt(a->sent_us, r->sent_us)) a->sent_us = r->sent_us;
    a->sample = true;
}

struct weir_txack weir_txlist_ack_some(struct weir_txlist *l, struct weir_pktmem *m, uint32_t una)
{
    struct weir_txack a = {.acked = una - l->una};
    while (l->first != 0) {
        uint32_t number = l->first;
        struct weir_txrec *r = rec_at(m, number);
        if (r->seq == una) break;
        learn(&a, r);
        if (weir_seq_lt(una, r->end)) {
            discount(l, r, una - r->seq);
            r->seq = una;
            break;
        }
        discount(l, r, r->end - r->seq);
        l->first = r->next;
        rec_put(l, m, number);
    }
    if (l->first == 0) l->last = 0;
    l->una = una;
    return a;
}

/* Marks one record lost, cut to [from, to) as far as records allow. Returns the numbers marked. *number moves
 * on to the record that was marked. */
static uint32_t lose_one(struct weir_txlist *l, struct weir_pktmem *m, uint32_t *number, uint32_t from,
                         uint32_t to)
{
    struct weir_txrec *r = rec_at(m, *number);
    if (weir_seq_lt(r->seq, from) && cut(l, m, *number, from)) {
        *number = r->next;
        r = rec_at(m, *number);
    }
    if (weir_seq_lt(to, r->end)) cut(l, m, *number, to);
    uint32_t n = r->end - r->seq;
    discount(l, r, n);
    r->flags |= WEIR_TXREC_LOST;
    recount(l, r, n);
    return n;
}

uint32_t weir_txlist_lose(struct weir_txlist *l, struct weir_pktmem *m, uint32_t from, uint32_t to)
{
    uint32_t marked = 0, before = 0;
    from = weir_seq_max(from, l->una);
    to = weir_seq_min(to, l->nxt);
    if (!weir_seq_lt(from, to)) return 0;
    for (uint32_t at = l->first; at != 0; at = rec_at(m, at)->next) {
        if (weir_seq_leq(to, rec_at(m, at)->seq)) break;
        if (weir_seq_lt(from, rec_at(m, at)->end) && in_flight(rec_at(m, at)))
            marked += lose_one(l, m, &at, from, to);
        if (before != 0 && join_next(l, m, before)) at = before;
        before = at;
    }
    if (before != 0) join_next(l, m, before);
    return marked;
}

/* The first stretch marked lost may span records of several times: it is sent again as one. */
void weir_txlist_find_lost(const struct weir_txlist *l, const struct weir_pktmem *m, uint32_t *seq,
                           uint32_t *end)
{
    const struct weir_txrec *r = rec_at(m, l->first);
    while (!to_resend(r))
        r = rec_at(m, r->next);
    *seq = r->seq;
    while (r->next != 0 && to_resend(rec_at(m, r->next)))
        r = rec_at(m, r->next);
    *end = r->end;
}

static void resend_one(struct weir_txlist *l, struct weir_txrec *r, uint32_t now_us)
{
    discount(l, r, r->end - r->seq);
    r->flags = (uint8_t)((r->flags & ~WEIR_TXREC_LOST) | WEIR_TXREC_RESENT);
    r->sent_us = now_us;
    if (r->times < UINT8_MAX) r->times++;
    recount(l, r, r->end - r->seq);
}

uint32_t weir_txlist_resent(struct weir_txlist *l, struct weir_pktmem *m, uint32_t seq, uint32_t end,
                            uint32_t now_us)
{
    uint32_t before = 0, at = l->first, reached = end;
    while (at != 0 && weir_seq_lt(rec_at(m, at)->seq, seq)) {
        before = at;
        at = rec_at(m, at)->next;
    }
    for (; at != 0; at = rec_at(m, at)->next) {
        struct weir_txrec *r = rec_at(m, at);
        if (weir_seq_leq(end, r->seq) || !to_resend(r)) break;
        if (weir_seq_lt(end, r->end)) cut(l, m, at, end);
        reached = r->end;
        resend_one(l, r, now_us);
        if (before != 0 && join_next(l, m, before)) at = before;
        before = at;
    }
    if (before != 0) join_next(l, m, before);
    return reached;
}

void weir_txlist_unlose(struct weir_txlist *l, struct weir_pktmem *m)
{
    if (l->lost == 0) return;
    for (uint32_t at = l->first; at != 0; at = rec_at(m, at)->next) {
        struct weir_txrec *r = rec_at(m, at);
        discount(l, r, r->end - r->seq);
        r->flags &= (uint8_t)~WEIR_TXREC_LOST;
        recount(l, r, r->end - r->seq);
    }
    for (uint32_t at = l->first; at != 0; at = rec_at(m, at)->next)
        while (join_next(l, m, at)) {
        }
}

void weir_txlist_clear(struct weir_txlist *l, struct weir_pktmem *m)
{
    while (l->first != 0) {
        uint32_t next = rec_at(m, l->first)->next;
        rec_put(l, m, l->first);
        l->first = next;
    }
    l->last = 0;
    l->una = l->nxt;
    l->pipe = l->lost = 0;
}

/* Invariants by number: 1 the ends and the count agree, 2 records tile [una, nxt), 3 none is empty, 4 pipe, 5
 * lost, 6 no equal neighbours, 7 at most max records, 8 RESENT iff sent more than once. */
int weir_txlist_check(const struct weir_txlist *l, const struct weir_pktmem *m)
{
    uint32_t seq = l->una, seen = 0, before = 0, pipe = 0, lost = 0;
    if (l->n > l->max) return 7;
    for (uint32_t at = l->first; at != 0; before = at, at = rec_at(m, at)->next) {
        const struct weir_txrec *r = rec_at(m, at);
        if (++seen > l->n) return 1;
        if (r->seq != seq) return 2;
        if (!weir_seq_lt(r->seq, r->end)) return 3;
        if (before != 0 && equal(rec_at(m, before), r)) return 6;
        if (r->times == 0 || ((r->flags & WEIR_TXREC_RESENT) != 0) != (r->times > 1)) return 8;
        if (in_flight(r)) pipe += r->end - r->seq;
        if (to_resend(r)) lost += r->end - r->seq;
        seq = r->end;
    }
    if (seen != l->n || before != l->last) return 1;
    if (seq != l->nxt) return 2;
    if (pipe != l->pipe) return 4;
    return lost == l->lost ? 0 : 5;
}
