/* sendq.h: the send queue of a connection: data descriptors that say where the queued bytes live (mission
 * rows M2 and M3). They tile [una, end); what was sent of them is txrec.h's story.
 *
 *     seq ->     una                         cur                     end
 *     pbufs       [ A: zbuf 1 .............. ][ B: zbuf 2 ][ C: zbuf 1 ]
 *                                      the output walks on from cur
 *
 * A write that continues the last descriptor's bytes in the same zbuf makes it grow and adds no reference;
 * that works with an empty descriptor pool too. Otherwise a new descriptor is made with one more stack
 * reference (owner SENDQ). Each descriptor whose last byte is acknowledged gives its reference back.
 *
 * Bytes from ordinary memory are copied, packed tightly into the instance's warm segment, which many
 * connections share.
 *
 * Invariants (weir_sendq_check): first.seq = una; each seq + bytes = next.seq; last.seq + bytes = end; n
 * counts them; every address lies in a live zbuf and the bytes do not pass its end; no two neighbours could
 * be one. */
#ifndef WEIR_SENDQ_H
#define WEIR_SENDQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkt/pbuf.h"
#include "pkt/slice.h"

struct weir_sendq {
    uint32_t first, last; /* descriptor numbers, 0: empty */
    uint32_t una, end;    /* sequence numbers: what the descriptors tile */
    uint32_t cur;         /* the descriptor that holds cur_seq or one before it, 0: start at first */
    uint16_t n, max;      /* descriptors, and their limit */
    bool closed;          /* a FIN follows `end`: nothing grows or is added any more */
};

/* The segment that copied writes are packed into. One an instance. Holds one reference (owner WARM). Zeroed
 * but for zbuf_bytes it is ready for use. */
struct weir_warm {
    uint8_t *at; /* where the next byte goes, NULL iff left is 0: no segment */
    uint32_t left;
    uint32_t zbuf_bytes; /* the size to take */
};

void weir_sendq_init(struct weir_sendq *, uint32_t seq, uint16_t max);

/* Queues n > 0 bytes at addr, which lie in the live zbuf of this head, by reference. Returns n, or
 * WEIR_ENOMEM (no descriptor, or the zbuf's count is at its limit), WEIR_EAGAIN (the limit of descriptors),
 * WEIR_EPIPE (closed); nothing is queued then. The caller bounds end - una (below 2^31) and counts the bytes.
 * Constant time. */
ptrdiff_t weir_sendq_ref_more(struct weir_sendq *, struct weir_pktmem *, struct weir_zhead *, uint8_t *addr,
                              uint32_t n);
/* Its plain case: the queue is empty and not closed, so there is no piece that this could continue, and a
 * descriptor is kept for it. WEIR_ENOMEM: nothing is queued. */
static inline ptrdiff_t weir_sendq_ref_alone(struct weir_sendq *q, struct weir_pktmem *m,
                                             struct weir_zhead *h, uint8_t *addr, uint32_t n)
{
    uint32_t number = weir_pbuf_new_in(m, h, addr, n, q->end, WEIR_OWNER_SENDQ);
    if (number == 0) return WEIR_ENOMEM;
    m->senders++;
    q->first = q->last = number;
    q->n = 1;
    q->end += n;
    return (ptrdiff_t)n;
}
static inline ptrdiff_t weir_sendq_ref_in(struct weir_sendq *q, struct weir_pktmem *m, struct weir_zhead *h,
                                          uint8_t *addr, uint32_t n)
{
    if (q->n != 0 || q->max == 0 || q->closed) return weir_sendq_ref_more(q, m, h, addr, n);
    return weir_sendq_ref_alone(q, m, h, addr, n);
}
/* The same, where the zbuf's head is not known. */
static inline ptrdiff_t weir_sendq_ref(struct weir_sendq *q, struct weir_pktmem *m, uint8_t *addr, uint32_t n)
{
    return weir_sendq_ref_in(q, m, weir_zpool_head(m->z, addr), addr, n);
}

/* Whether bytes at this address of a live zbuf continue the last descriptor: then they need no other one. */
bool weir_sendq_continues(const struct weir_sendq *, const struct weir_pktmem *, const uint8_t *addr);

/* Queues up to n > 0 bytes from ordinary memory by copying. Returns how many (> 0), or WEIR_ENOMEM,
 * WEIR_EAGAIN when not one could be, WEIR_EPIPE (closed). Cost: the bytes, and one take for each segment that
 * they fill. */
ptrdiff_t weir_sendq_copy(struct weir_sendq *, struct weir_pktmem *, struct weir_warm *, const void *src,
                          uint32_t n);

/* Where bytes [seq, seq + n) live, una <= seq, seq + n <= end, as at most max pieces; moves the cursor.
 * Pieces are cut to max_piece_bytes (0: no limit) and at multiples of boundary (a power of two, 0: none).
 * Returns the number of pieces and in *got the bytes that they cover (less than n when max was too small).
 * Cost: the pieces, and the descriptors between the cursor and seq. */
unsigned weir_sendq_slice(struct weir_sendq *, const struct weir_pktmem *, uint32_t seq, uint32_t n,
                          struct weir_piece *out, unsigned max, uint32_t max_piece_bytes, uint32_t boundary,
                          uint32_t *got);

/* Everything before una (old una <= una <= end) is acknowledged: descriptors go or are trimmed. Returns how
 * many went. */
unsigned weir_sendq_ack_some(struct weir_sendq *, struct weir_pktmem *, uint32_t una);
/* Its plain case: all there is, in one piece. */
static inline void weir_sendq_ack_plain(struct weir_sendq *q, struct weir_pktmem *m)
{
    (void)weir_pbuf_drop(m, q->first, WEIR_OWNER_SENDQ);
    q->first = q->last = q->cur = q->n = 0;
    m->senders--;
    q->una = q->end;
}
static inline unsigned weir_sendq_ack(struct weir_sendq *q, struct weir_pktmem *m, uint32_t una)
{
    if (q->n != 1 || una != q->end) return weir_sendq_ack_some(q, m, una);
    weir_sendq_ack_plain(q, m);
    return 1;
}

/* Memory is short: small slices leave the large segments that they pin (slice.h), within a
 * budget. */
void weir_sendq_compact(struct weir_sendq *, struct weir_pktmem *, struct weir_slicing *);

/* Drops everything; una and end stay as they are, equal to `end`. */
void weir_sendq_clear(struct weir_sendq *, struct weir_pktmem *);

/* Whether there is a descriptor for one more piece, as far as all queues together are concerned. */
bool weir_sendq_room(const struct weir_sendq *, const struct weir_pktmem *);

/* Makes sure that there is a warm segment with room (at != NULL): begins the present one again when nobody
 * else refers to it, takes another when there is none. false iff none can be had. Constant time. */
bool weir_warm_ready(struct weir_warm *, struct weir_pktmem *);

/* n bytes (1 to left) were put at w->at and have a reference of their own; a full segment is let go. */
void weir_warm_used(struct weir_warm *, struct weir_pktmem *, uint32_t n);

/* Gives the warm segment's reference back. */
void weir_warm_drop(struct weir_warm *, struct weir_pktmem *);

/* 0, or the number of a broken invariant. Cost: every descriptor. */
int weir_sendq_check(const struct weir_sendq *, const struct weir_pktmem *);

#endif
