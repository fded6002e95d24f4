/* recvq.h: the receive queue of a connection: descriptors of received bytes in order and, apart, out of
 * order. The bytes stay in the zbufs that the device wrote them to; reading lends them to the application or
 * copies.
 *
 *     in order       [ ][ ][ ] -> rcv_nxt          (owner RECVQ)
 *     out of order        [ ][ ]      [ ]          (owner OOO), ascending, never overlapping
 *
 * When the zbufs of a queue would hold more than twice its payload with what arrives (tiny segments that pin
 * large buffers), or no zbuf or descriptor can be had, payload that arrives in order is copied behind the
 * last in-order descriptor's bytes, into the same zbuf, as far as there is room and nobody but that
 * descriptor refers to the zbuf (stk = 1, app = 0); counted in stats.rx_bytes_copied, as weir_recvq_copy's
 * bytes are. The descriptor grows.
 *
 * Invariants (weir_recvq_check): bytes = sum of the in-order descriptors; ooo_bytes likewise; in-order seqs
 * are contiguous and end at rcv_nxt; out-of-order ones are ascending, disjoint and after rcv_nxt. */
#ifndef WEIR_RECVQ_H
#define WEIR_RECVQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkt/pbuf.h"
#include "pkt/slice.h"
#include "weir/weir.h"

struct weir_recvq {
    uint32_t first, last; /* in order, descriptor numbers */
    uint32_t ooo_first, ooo_last;
    uint32_t bytes, ooo_bytes; /* payload */
    uint32_t seg_bytes; /* usable bytes of the zbufs that in-order descriptors pin, each descriptor counted */
    uint32_t ooo_seg_bytes;  /* likewise for those out of order */
    uint32_t lent_seg_bytes; /* usable bytes of the zbufs in which the application holds lent pieces */
    uint32_t max_seg_bytes;  /* limit of the sum of these three (strict windows), 0: none */
    uint32_t may_pin_bytes;  /* in-order segments are not packed below that, whatever they waste */
    uint16_t n, n_ooo, max_ooo;
};

enum weir_recvq_result {
    WEIR_RECVQ_KEPT = 0,  /* some of it is new and was kept (by reference or by copy) */
    WEIR_RECVQ_DUPLICATE, /* nothing new in it */
    WEIR_RECVQ_NO_ZBUF,   /* no zbuf to replace the posted one */
    WEIR_RECVQ_NO_PBUF,   /* no descriptor */
    WEIR_RECVQ_OOO_LIMIT, /* out of order, beyond the limit */
    WEIR_RECVQ_OWN_LIMIT, /* it would pin more than max_seg_bytes */
    WEIR_RECVQ_OOO_SHORT  /* out of order, while memory is short (rung OOO) */
};

void weir_recvq_init(struct weir_recvq *, uint16_t max_ooo, uint32_t max_seg_bytes, uint32_t may_pin_bytes);

/* Payload [seq, seq + n) in n_pieces pieces, already cut to the window by the caller; *rcv_nxt moves on over
 * it and over out-of-order bytes that it reaches. Pieces lie in posted zbufs: one is kept by reference only
 * if a segment of the size that the device asked for could be taken to replace it (weir_zpool_can: INORDER or
 * OOO), all that one call keeps together. The caller holds the reference for POSTED throughout, gives it back
 * for those that were kept (stk > 1) and takes their replacements before the next call. In-order data that
 * finds no zbuf or descriptor first drops this queue's out-of-order data. Numbers received before keep their
 * first copy. All or nothing is not promised: what is kept is a prefix, and rcv_nxt says so. Cost: the pieces
 * and the out-of-order descriptors before the segment's end; constant behind the last of them. */
enum weir_recvq_result weir_recvq_insert(struct weir_recvq *, struct weir_pktmem *, uint32_t *rcv_nxt,
                                         uint32_t seq, const struct weir_piece *pieces, unsigned n_pieces,
                                         uint32_t n);

/* weir_recvq_insert's plain case inline: an empty queue takes n bytes that lie together in the zbuf h, in
 * order, by reference. The caller moves rcv_nxt on. false: it can't, or there is more to think about; nothing
 * changed.
 */
static inline bool weir_recvq_alone(struct weir_recvq *q, struct weir_pktmem *m, struct weir_zhead *h,
                                    uint8_t *addr, uint32_t n, uint32_t seq)
{
    if ((q->first | q->ooo_first | q->max_seg_bytes) != 0) return false;
    if (h->stk == 1 && h->app == 0 && !weir_zpool_can_replace(m->z, h, WEIR_TAKE_INORDER)) return false;
    uint32_t number = weir_pbuf_new_in(m, h, addr, n, seq, WEIR_OWNER_RECVQ);
    if (number == 0) return false;
    q->first = q->last = number;
    q->n = 1;
    q->bytes = n;
    q->seg_bytes = weir_zpool_bytes(m->z, h);
    m->strict.pinned_bytes += q->seg_bytes;
    return true;
}

/* Lends up to n in-order pieces, at most max_bytes in all (a piece that would pass it is not lent, but for
 * the first, when it is cut): the application gets one reference for each. lent_id goes into the heads, and
 * lent_bytes there grows by the piece (from 0 when the application held nothing). *bytes gets the payload
 * lent. Returns the number of pieces, fewer when a count is at its limit. */
unsigned weir_recvq_lend(struct weir_recvq *, struct weir_pktmem *, uint32_t lent_id, struct weir_iov *,
                         unsigned n, uint32_t max_bytes, uint32_t *bytes);

/* weir_recvq_lend's plain case inline: all that is queued is one piece, and of its zbuf the application holds
 * nothing. false: it is another case; nothing changed. What the queue pinned the loan pins from now on, so the
 * sum of pinned bytes stays. */
static inline bool weir_recvq_lend_only(struct weir_recvq *q, struct weir_pktmem *m, uint32_t lent_id,
                                        struct weir_iov *out, uint32_t max_bytes, uint32_t *bytes)
{
    const struct weir_pbuf *p = weir_pbuf_at(m, q->first);
    if (q->n != 1 || p->bytes > max_bytes) return false;
    struct weir_zhead *h = weir_zpool_head(m->z, p->addr);
    if (h->app != 0) return false;
    (void)weir_zpool_app_ref(m->z, h);
    h->lent_id = lent_id;
    h->lent_bytes = *bytes = p->bytes;
    *out = (struct weir_iov){.base = p->addr, .len = p->bytes};
    q->lent_seg_bytes += q->seg_bytes;
    (void)weir_pbuf_drop_in(m, h, q->first, WEIR_OWNER_RECVQ);
    q->first = q->last = q->n = 0;
    q->bytes = q->seg_bytes = 0;
    return true;
}

/* Copies up to n bytes out and frees them. Returns how many. */
uint32_t weir_recvq_copy(struct weir_recvq *, struct weir_pktmem *, void *out, uint32_t n);

/* Memory is short: small slices in order leave the large segments that they pin (slice.h), within a
 * budget. */
void weir_recvq_compact(struct weir_recvq *, struct weir_pktmem *, struct weir_slicing *);

/* Drops all out-of-order data. Returns the bytes. */
uint32_t weir_recvq_drop_ooo(struct weir_recvq *, struct weir_pktmem *);

void weir_recvq_clear(struct weir_recvq *, struct weir_pktmem *);

/* 0, or the number of a broken invariant; rcv_nxt as the connection has it. */
int weir_recvq_check(const struct weir_recvq *, const struct weir_pktmem *, uint32_t rcv_nxt);

#endif
