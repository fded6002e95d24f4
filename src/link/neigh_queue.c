/* neigh_queue.c: datagrams that wait until their neighbour answers.
 *
 * Theory. There are WEIR_NEIGH_WAITS places for all neighbours together, few enough to be walked. A place in
 * use names its entry and has an order number, the smaller the older. A neighbour keeps its latest queue_max
 * datagrams (RFC 1122 2.3.2.2); when all places are taken, the oldest of all goes.
 *
 * References. While a datagram waits each of its pieces holds one of owner DATAGRAM. When it goes out, the
 * header block's becomes TXWAIT and is the burst's; the burst takes its own for the others, so theirs are
 * given back. */
#include <string.h>

#include "base/bits.h"
#include "link/neigh_table.h"
#include "wire/eth.h"

static struct weir_zhead *head_of(const struct weir_neigh *n, const struct weir_piece *p)
{
    return weir_zpool_head(n->z, p->addr);
}

static void unref_from(struct weir_neigh *n, const struct weir_piece *p, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        weir_zpool_unref(n->z, head_of(n, &p[i]), WEIR_OWNER_DATAGRAM);
}

static void wait_free(struct weir_neigh *n, struct weir_neigh_wait *w)
{
    weir_neigh_at(n, w->entry)->queued--;
    w->entry = 0;
}

static void wait_drop(struct weir_neigh *n, struct weir_neigh_wait *w, enum weir_drop why)
{
    unref_from(n, w->piece, 0, w->frame.n_pieces);
    wait_free(n, w);
    n->stats->drops[why]++;
}

/* The oldest datagram of an entry's number, 0: of all; NULL: there is none. */
static struct weir_neigh_wait *wait_oldest(const struct weir_neigh *n, uint32_t number)
{
    struct weir_neigh_wait *best = NULL;
    for (uint32_t i = 0; i < n->waits; i++) {
        struct weir_neigh_wait *w = &n->wait[i];
        if (w->entry == 0 || (number != 0 && w->entry != number)) continue;
        if (best == NULL || weir_seq_lt(w->order, best->order)) best = w;
    }
    return best;
}

static struct weir_neigh_wait *wait_unused(const struct weir_neigh *n)
{
    for (uint32_t i = 0; i < n->waits; i++) {
        if (n->wait[i].entry == 0) return &n->wait[i];
    }
    return NULL;
}

/* A place for one more datagram of this entry; there is at least one place. */
static struct weir_neigh_wait *wait_place(struct weir_neigh *n, const struct weir_neigh_entry *e)
{
    if (e->queued >= n->queue_max)
        wait_drop(n, wait_oldest(n, weir_neigh_number(n, e)), WEIR_DROP_NEIGH_QUEUE);
    struct weir_neigh_wait *w = wait_unused(n);
    if (w != NULL) return w;
    w = wait_oldest(n, 0);
    wait_drop(n, w, WEIR_DROP_NEIGH_QUEUE);
    return w;
}

/* References of owner DATAGRAM for pieces 1 and up; false, with none taken: a count is at its limit. */
static bool ref_payload(struct weir_neigh *n, const struct weir_frame *f)
{
    for (uint32_t i = 1; i < f->n_pieces; i++) {
        if (weir_zpool_ref(n->z, head_of(n, &f->pieces[i]), WEIR_OWNER_DATAGRAM)) continue;
        unref_from(n, f->pieces, 1, i);
        return false;
    }
    return true;
}

static void wait_fill(struct weir_neigh *n, struct weir_neigh_wait *w, struct weir_neigh_entry *e,
                      const struct weir_frame *f)
{
    w->entry = weir_neigh_number(n, e);
    w->order = n->order++;
    w->frame = *f;
    w->frame.pieces = w->piece;
    memcpy(w->piece, f->pieces, f->n_pieces * sizeof(w->piece[0]));
    e->queued++;
}

void weir_neigh_queue(struct weir_neigh *n, uint32_t ip, const struct weir_frame *f, uint32_t now_ms)
{
    struct weir_neigh_entry *e = weir_neigh_find(n, ip);
    struct weir_zhead *block = head_of(n, &f->pieces[0]);
    const uint32_t fits = sizeof(n->wait[0].piece) / sizeof(n->wait[0].piece[0]);
    if (e == NULL || n->waits == 0 || f->n_pieces > fits || !ref_payload(n, f)) {
        weir_zpool_unref(n->z, block, WEIR_OWNER_TXWAIT);
        n->stats->drops[WEIR_DROP_NEIGH_QUEUE]++;
        return;
    }
    weir_zpool_move(n->z, block, WEIR_OWNER_TXWAIT, WEIR_OWNER_DATAGRAM);
    wait_fill(n, wait_place(n, e), e, f);
    e->used_ms = now_ms;
    if (weir_neigh_known(e)) weir_neigh_deliver(n, e);
}

static void wait_send(struct weir_neigh *n, struct weir_neigh_wait *w)
{
    struct weir_eth eth = {.type = WEIR_ETHERTYPE_IP4};
    if (!weir_txq_room(n->txq, w->frame.n_pieces)) {
        wait_drop(n, w, WEIR_DROP_TX_REFUSED);
        return;
    }
    memcpy(eth.dst, weir_neigh_at(n, w->entry)->mac, sizeof(eth.dst));
    memcpy(eth.src, n->mac, sizeof(eth.src));
    weir_eth_emit(w->piece[0].addr, &eth);
    weir_zpool_move(n->z, head_of(n, &w->piece[0]), WEIR_OWNER_DATAGRAM, WEIR_OWNER_TXWAIT);
    weir_txq_push(n->txq, &w->frame);
    unref_from(n, w->piece, 1, w->frame.n_pieces);
    wait_free(n, w);
}

void weir_neigh_deliver(struct weir_neigh *n, struct weir_neigh_entry *e)
{
    while (e->queued > 0)
        wait_send(n, wait_oldest(n, weir_neigh_number(n, e)));
}

void weir_neigh_discard(struct weir_neigh *n, struct weir_neigh_entry *e, enum weir_drop why)
{
    while (e->queued > 0)
        wait_drop(n, wait_oldest(n, weir_neigh_number(n, e)), why);
}

void weir_neigh_close(struct weir_neigh *n)
{
    for (uint32_t i = 0; i < n->waits; i++) {
        if (n->wait[i].entry != 0) wait_drop(n, &n->wait[i], WEIR_DROP_NEIGH_QUEUE);
    }
}
