/* txq.c: the burst for one device, and its references. The life of a piece's reference:
 *
 *     push             flush, synchronous or refused
 *     ----> TXWAIT ----------------------------------> gone
 *             |
 *             | flush, accepted by an asynchronous device      reap
 *             +----------------------------------------> TXDEV ----> gone
 *
 * Invariants
 *     pieces = sum of n_pieces over frame[0 .. n)      n <= max      pieces <= max_pieces
 *     TXWAIT references = pieces, but for those of lean frames and the header blocks of bare ones
 *     TXDEV references = pieces that the device has not reported
 *     the first `lean` frames are lean; with an asynchronous device none is, and none is bare
 *     blocks.n >= lean + bare frames, and 0 after a flush */
#include "netdev/txq.h"

#include "base/bits.h"

#define REAP_AT_ONCE 32u

/* A broken promise of the caller, who is the stack. */
static inline void must(bool kept)
{
#ifndef NDEBUG
    if (!kept) __builtin_trap();
#else
    (void)kept;
#endif
}

void weir_txq_init(struct weir_txq *q, struct weir_netdev *dev, struct weir_zpool *z,
                   struct weir_stats *stats, struct weir_frame *frames, struct weir_piece *pieces,
                   uint32_t max)
{
    must(max <= WEIR_TXQ_MAX);
    *q = (struct weir_txq){.dev = dev,
                           .sync = !dev->caps.async,
                           .cls = (uint8_t)weir_zpool_class_for(z, WEIR_ZCLASS_MIN),
                           .z = z,
                           .stats = stats,
                           .frame = frames,
                           .piece = pieces,
                           .max = max,
                           .max_pieces = WEIR_TXQ_PIECES(max)};
}

bool weir_txq_room(struct weir_txq *q, uint32_t pieces)
{
    must(pieces >= 1 && pieces <= WEIR_FRAME_PIECES_MAX);
    if (q->n == q->max || q->pieces + pieces > q->max_pieces) weir_txq_flush(q);
    if (q->dev->ops->tx_room(q->dev) > q->n) return true;
    if (q->n == 0) return false;
    weir_txq_flush(q);
    return q->dev->ops->tx_room(q->dev) > 0;
}

static void release(struct weir_txq *q, const void *addr, enum weir_owner owner)
{
    struct weir_zhead *h = weir_zpool_head(q->z, addr);
    must(h != NULL);
    if (h) weir_zpool_unref(q->z, h, owner);
}

/* Pieces from to n - 1. */
static void release_pieces(struct weir_txq *q, const struct weir_piece *p, uint32_t from, uint32_t n)
{
    for (uint32_t i = from; i < n; i++)
        release(q, p[i].addr, WEIR_OWNER_TXWAIT);
}

/* The references of the burst's frame i. */
static void release_frame(struct weir_txq *q, uint32_t i)
{
    const struct weir_frame *f = &q->frame[i];
    if (i >= q->lean) release_pieces(q, f->pieces, q->bare >> i & 1, f->n_pieces);
}

/* References for pieces 1 to n - 1; how many pieces have one then, n unless a count is at its limit. */
static uint32_t refer(struct weir_txq *q, const struct weir_piece *p, uint32_t n)
{
    uint32_t i;
    for (i = 1; i < n; i++) {
        struct weir_zhead *h = weir_zpool_head(q->z, p[i].addr);
        must(h != NULL);
        if (!h || !weir_zpool_ref(q->z, h, WEIR_OWNER_TXWAIT)) break;
    }
    return i;
}

void weir_txq_push(struct weir_txq *q, const struct weir_frame *f)
{
    must(f->n_pieces >= 1 && q->n < q->max && q->pieces + f->n_pieces <= q->max_pieces);
    uint32_t got = refer(q, f->pieces, f->n_pieces), bare = q->bare_next;
    q->bare_next = false;
    if (got < f->n_pieces) {
        release_pieces(q, f->pieces, bare, got);
        q->stats->drops[WEIR_DROP_TX_REFUSED]++;
        return;
    }
    q->bare |= (uint64_t)bare << q->n;
    q->bytes += f->bytes;
    struct weir_frame *to = &q->frame[q->n++];
    *to = *f;
    to->pieces = &q->piece[q->pieces];
    for (uint32_t i = 0; i < f->n_pieces; i++)
        to->pieces[i] = f->pieces[i];
    q->pieces += f->n_pieces;
}

/* The device has taken frame k. */
static void accepted(struct weir_txq *q, uint32_t k)
{
    const struct weir_frame *f = &q->frame[k];
    if (!q->dev->caps.async) {
        release_frame(q, k);
        return;
    }
    for (uint32_t i = 0; i < f->n_pieces; i++)
        weir_zpool_move(q->z, weir_zpool_head(q->z, f->pieces[i].addr), WEIR_OWNER_TXWAIT, WEIR_OWNER_TXDEV);
}

/* Some frame has references, or was refused. */
static WEIR_APART void settle(struct weir_txq *q, uint32_t taken)
{
    for (uint32_t i = 0; i < taken; i++)
        accepted(q, i);
    for (uint32_t i = taken; i < q->n; i++) {
        release_frame(q, i);
        q->bytes -= q->frame[i].bytes;
        q->stats->drops[WEIR_DROP_TX_REFUSED]++;
    }
}

void weir_txq_flush(struct weir_txq *q)
{
    uint32_t taken = 0;
    if (q->n > 0) {
        taken = weir_min_u32(q->dev->ops->tx_burst(q->dev, q->frame, q->n), q->n);
        if (taken < q->n || q->lean < q->n) settle(q, taken);
    }
    weir_zpool_bring_back(q->z, &q->blocks, q->cls);
    q->stats->tx_frames += taken;
    q->stats->tx_bytes_wire += q->bytes;
    q->n = q->pieces = q->room = q->lean = 0;
    q->bytes = q->bare = 0;
}

unsigned weir_txq_reap(struct weir_txq *q, unsigned budget)
{
    unsigned sum = 0;
    while (q->dev->caps.async && sum < budget) {
        void *addr[REAP_AT_ONCE];
        unsigned n = q->dev->ops->reap(q->dev, addr, weir_min_u32(budget - sum, REAP_AT_ONCE));
        if (n == 0) break;
        for (unsigned i = 0; i < n; i++)
            release(q, addr[i], WEIR_OWNER_TXDEV);
        sum += n;
    }
    return sum;
}
