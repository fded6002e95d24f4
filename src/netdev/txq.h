/* txq.h: the burst that is being built for one device, and the references that it holds.
 *
 * Each pushed piece carries one stack reference of its zbuf (owner TXWAIT). A synchronous device has read
 * everything when tx_burst returns, so the references go then; an asynchronous one takes them over (owner
 * TXDEV) and they go when reap reports the piece's address. A frame that the device refuses after it promised
 * room is dropped and counted: TCP finds out by its own timers, nothing is queued here across a flush.
 *
 * Not thread-safe. */
#ifndef WEIR_TXQ_H
#define WEIR_TXQ_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/zpool.h"
#include "weir/netdev.h"

struct weir_txq {
    struct weir_netdev *dev;
    struct weir_zpool *z;
    struct weir_stats *stats;
    struct weir_frame *frame; /* max of them */
    struct weir_piece *piece; /* max_pieces of them, used from the front */
    uint32_t n, max;
    uint32_t pieces, max_pieces;
};

/* Bytes of the arrays, for the plan: max frames and max * 8 + WEIR_FRAME_PIECES_MAX pieces. */
#define WEIR_TXQ_PIECES(max) ((max)*8u + WEIR_FRAME_PIECES_MAX)

/* frames[max] and pieces[WEIR_TXQ_PIECES(max)] are the instance's memory. */
void weir_txq_init(struct weir_txq *, struct weir_netdev *, struct weir_zpool *, struct weir_stats *,
                   struct weir_frame *frames, struct weir_piece *pieces, uint32_t max);

/* Whether a frame of so many pieces can be pushed now; flushes first if the burst is full. False: the device
 * has no room, and the caller waits for the next reap or poll. */
bool weir_txq_room(struct weir_txq *, uint32_t pieces);

/* The same without flushing, for a compare: false means only that weir_txq_room must be asked. */
static inline bool weir_txq_has_place(const struct weir_txq *q, uint32_t pieces)
{
    return q->n < q->max && q->pieces + pieces <= q->max_pieces && q->dev->ops->tx_room(q->dev) > q->n;
}

/* weir_txq_push in its parts, for a frame that is built where it will lie: a place for a frame of `bytes`,
 * then its pieces, each with a TXWAIT reference that is the caller's to take. The place's other members are
 * as an earlier frame left them, but for gso_bytes and hdr_bytes, which are 0: the caller sets flags,
 * csum_start and csum_field. */
static inline struct weir_frame *weir_txq_place(struct weir_txq *q, uint32_t bytes)
{
    struct weir_frame *f = &q->frame[q->n++];
    f->pieces = &q->piece[q->pieces];
    f->bytes = bytes;
    f->n_pieces = 0;
    f->gso_bytes = f->hdr_bytes = 0;
    return f;
}
static inline void weir_txq_piece(struct weir_txq *q, struct weir_frame *f, uint8_t *addr, uint32_t bytes)
{
    f->pieces[f->n_pieces++] = (struct weir_piece){addr, bytes};
    q->pieces++;
}

/* Adds a frame (pieces are copied into the burst's array, bytes are not). Takes over one TXWAIT reference of
 * piece 0 (the header block, taken with stk = 1) and adds one for each other piece. Only after weir_txq_room
 * said true. */
void weir_txq_push(struct weir_txq *, const struct weir_frame *);

/* Hands the burst to the device. */
void weir_txq_flush(struct weir_txq *);

/* Releases what an asynchronous device has finished with, at most budget pieces. Returns how many. */
unsigned weir_txq_reap(struct weir_txq *, unsigned budget);

#endif
