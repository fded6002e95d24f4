/* txq.h: the burst that is being built for one device, and the references that it holds.
 *
 * Each pushed piece carries one stack reference of its zbuf (owner TXWAIT). A synchronous device has read
 * everything when tx_burst returns, so the references go then; an asynchronous one takes them over (owner
 * TXDEV) and they go when reap reports the piece's address. A frame that the device refuses after it promised
 * room is dropped and counted: TCP finds out by its own timers, nothing is queued here across a flush.
 *
 * What the output phase builds (weir_tcp_output_all, which is followed by a flush before anything else can
 * happen) for a synchronous device needs no references: nothing can let go of its pieces before the device has
 * read them. Such frames are lean, or bare where only the header block is without. Their header blocks are
 * borrowed from the pool and brought back together by the flush.
 *
 *     frame      header block    other pieces
 *     (most)     TXWAIT          TXWAIT
 *     bare       borrowed        TXWAIT
 *     lean       borrowed        no reference of the burst's
 *
 * Not thread-safe. */
#ifndef WEIR_TXQ_H
#define WEIR_TXQ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
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
    uint32_t room;  /* frames that the device promised to take of this burst, 0: not asked yet */
    uint8_t cls;    /* of header blocks that are borrowed */
    bool sync;      /* the device is synchronous */
    bool bare_next; /* a block was borrowed for the frame that is pushed next */
    uint32_t lean;  /* the burst's first frames, so many, are lean */
    uint64_t bytes; /* of the burst */
    uint64_t bare;  /* a bit for each frame */
    struct weir_zborrow blocks;
};
#define WEIR_TXQ_MAX 64u /* by the bits */

/* Bytes of the arrays, for the plan: max frames and max * 8 + WEIR_FRAME_PIECES_MAX pieces. */
#define WEIR_TXQ_PIECES(max) ((max)*8u + WEIR_FRAME_PIECES_MAX)

/* frames[max] and pieces[WEIR_TXQ_PIECES(max)] are the instance's memory. */
void weir_txq_init(struct weir_txq *, struct weir_netdev *, struct weir_zpool *, struct weir_stats *,
                   struct weir_frame *frames, struct weir_piece *pieces, uint32_t max);

/* Whether a frame of so many pieces can be pushed now; flushes first if the burst is full. False: the device
 * has no room, and the caller waits for the next reap or poll. */
bool weir_txq_room(struct weir_txq *, uint32_t pieces);

/* The same without flushing, for a compare: false means only that weir_txq_room must be asked. The device is
 * asked once a burst: what it promised it keeps until it is given frames. */
static inline void weir_txq_ask(struct weir_txq *q)
{
    if (q->room != 0) return;
    uint32_t room = q->dev->ops->tx_room(q->dev);
    q->room = q->max;
    if (room < q->max) q->room = room;
}
static inline bool weir_txq_has_place(struct weir_txq *q, uint32_t pieces)
{
    weir_txq_ask(q);
    return q->n < q->room && q->pieces + pieces <= q->max_pieces;
}

/* In the output phase: a header block for the frame that is pushed next, without a reference. NULL if the device
 * is asynchronous or the pool has none. */
static inline struct weir_zhead *weir_txq_borrow(struct weir_txq *q)
{
    return q->sync ? weir_zpool_borrow(q->z, &q->blocks, q->cls) : NULL;
}

/* Whether a flush has anything to do, and be it to forget what the device promised. */
static inline bool weir_txq_pending(const struct weir_txq *q)
{
    return (q->n | q->blocks.n | q->room) != 0;
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
    q->bytes += bytes;
    f->n_pieces = 0;
    f->gso_bytes = f->hdr_bytes = 0;
    return f;
}
static inline void weir_txq_piece(struct weir_txq *q, struct weir_frame *f, uint8_t *addr, uint32_t bytes)
{
    f->pieces[f->n_pieces++] = (struct weir_piece){addr, bytes};
    q->pieces++;
}

/* A lean frame of n_pieces, with a borrowed header block, where all before it are lean (lean = n): what weir_txq_place says, but that its pieces are the
 * caller's to fill in and have no references. */
static inline struct weir_frame *weir_txq_place_lean(struct weir_txq *q, uint32_t bytes, uint32_t n_pieces)
{
    struct weir_frame *f = weir_txq_place(q, bytes);
    q->lean = q->n;
    f->n_pieces = (uint16_t)n_pieces;
    q->pieces += n_pieces;
    return f;
}

/* Adds a frame (pieces are copied into the burst's array, bytes are not). Takes over one TXWAIT reference of
 * piece 0 (the header block, taken with stk = 1; or with bare_next none of a borrowed one) and adds one for each other piece. Only after weir_txq_room
 * said true. */
void weir_txq_push(struct weir_txq *, const struct weir_frame *);

/* Hands the burst to the device. */
void weir_txq_flush(struct weir_txq *);

/* Releases what an asynchronous device has finished with, at most budget pieces. Returns how many. */
unsigned weir_txq_reap(struct weir_txq *, unsigned budget);

#endif
