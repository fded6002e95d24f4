/* sendq.c: the send queue of a connection.
 *
 * Theory of operation. The queue is a singly linked list of descriptors that tile [una, end). Bytes enter at
 * the tail, leave at the head, and are looked at from a cursor in between; nothing ever looks backwards.
 *
 *     write    The tail grows iff the new bytes lie right behind its last one and both have the same head. The
 *              address alone doesn't tell: in the dense layout the next segment begins where this one ends. A
 *              growing tail needs neither a descriptor nor a reference, so it can't fail.
 *     output   slice() starts at the cursor, at the tail, or at the head, whichever is nearest before seq, and
 *              leaves the cursor on the last descriptor that it used: bulk output costs its pieces.
 *     ack      Descriptors go from the head; the one that una cuts is trimmed in front. Its end stays where it
 *              is, so trimming never makes two neighbours into one, and a trimmed tail still grows.
 *
 *     cur = 0 or a descriptor of the queue; when the ack takes it, the head takes its place.
 *
 * Rejected: a cursor that never goes back. It spares new data the walk after a retransmission, but makes a
 * recovery of k bursts walk from the head k times; with this one a recovery walks its stretch once and the
 * tail is found at once. */
#include "tcp/sendq.h"

#include <string.h>

#include "base/bits.h"
#include "weir/err.h"

void weir_sendq_init(struct weir_sendq *q, uint32_t seq, uint16_t max)
{
    *q = (struct weir_sendq){.una = seq, .end = seq, .max = max};
}

bool weir_sendq_room(const struct weir_sendq *q, const struct weir_pktmem *m)
{
    return weir_pbuf_room(m, WEIR_OWNER_SENDQ) && (q->n == 0 || weir_pbuf_spare(m));
}

bool weir_sendq_continues(const struct weir_sendq *q, const struct weir_pktmem *m, const uint8_t *addr)
{
    if (q->last == 0) return false;
    const struct weir_pbuf *p = weir_pbuf_at(m, q->last);
    return p->addr + p->bytes == addr && weir_zpool_head(m->z, p->addr) == weir_zpool_head(m->z, addr);
}

static void grow_last(struct weir_sendq *q, struct weir_pktmem *m, uint32_t n)
{
    weir_pbuf_at(m, q->last)->bytes += n;
    q->end += n;
}

static void link_last(struct weir_sendq *q, struct weir_pktmem *m, uint32_t number, uint32_t n)
{
    m->senders += q->n == 0;
    if (q->last == 0)
        q->first = number;
    else
        weir_pbuf_at(m, q->last)->next = number;
    q->last = number;
    q->n++;
    q->end += n;
}

ptrdiff_t weir_sendq_ref_more(struct weir_sendq *q, struct weir_pktmem *m, struct weir_zhead *h,
                              uint8_t *addr, uint32_t n)
{
    if (q->closed) return WEIR_EPIPE;
    if (weir_sendq_continues(q, m, addr)) {
        grow_last(q, m, n);
        return (ptrdiff_t)n;
    }
    if (q->n >= q->max) return WEIR_EAGAIN;
    if (q->n > 0 && !weir_pbuf_spare(m)) return WEIR_ENOMEM;
    uint32_t number = weir_pbuf_new_in(m, h, addr, n, q->end, WEIR_OWNER_SENDQ);
    if (number == 0) return WEIR_ENOMEM;
    link_last(q, m, number, n);
    return (ptrdiff_t)n;
}

/* One step of a copied write: as many of the n bytes as the warm segment takes, or why not one. */
static ptrdiff_t copy_some(struct weir_sendq *q, struct weir_pktmem *m, struct weir_warm *w,
                           const uint8_t *src, uint32_t n)
{
    bool grows = w->at != NULL && weir_sendq_continues(q, m, w->at);
    if (!grows) {
        if (q->n >= q->max) return WEIR_EAGAIN;
        if (!weir_sendq_room(q, m) || !weir_warm_ready(w, m)) return WEIR_ENOMEM;
    }
    uint32_t k = weir_min_u32(n, w->left);
    if (grows) {
        grow_last(q, m, k);
    } else {
        uint32_t number = weir_pbuf_new(m, w->at, k, q->end, WEIR_OWNER_SENDQ);
        if (number == 0) return WEIR_ENOMEM;
        link_last(q, m, number, k);
    }
    memcpy(w->at, src, k);
    weir_warm_used(w, m, k);
    return (ptrdiff_t)k;
}

ptrdiff_t weir_sendq_copy(struct weir_sendq *q, struct weir_pktmem *m, struct weir_warm *w, const void *src,
                          uint32_t n)
{
    if (q->closed) return WEIR_EPIPE;
    uint32_t done = 0;
    while (done < n) {
        ptrdiff_t k = copy_some(q, m, w, (const uint8_t *)src + done, n - done);
        if (k < 0) return done > 0 ? (ptrdiff_t)done : k;
        done += (uint32_t)k;
    }
    return (ptrdiff_t)done;
}

/* The descriptor that holds seq, una <= seq < end. */
static uint32_t find(const struct weir_sendq *q, const struct weir_pktmem *m, uint32_t seq)
{
    if (weir_seq_leq(weir_pbuf_at(m, q->last)->seq, seq)) return q->last;
    uint32_t at = q->cur != 0 && weir_seq_leq(weir_pbuf_at(m, q->cur)->seq, seq) ? q->cur : q->first;
    for (;;) {
        const struct weir_pbuf *p = weir_pbuf_at(m, at);
        if (seq - p->seq < p->bytes) return at;
        at = p->next;
    }
}

/* How many of n bytes at addr one piece may hold. */
static uint32_t piece_bytes(const uint8_t *addr, uint32_t n, uint32_t max_piece_bytes, uint32_t boundary)
{
    if (max_piece_bytes != 0) n = weir_min_u32(n, max_piece_bytes);
    if (boundary != 0) n = weir_min_u32(n, boundary - (uint32_t)((uintptr_t)addr & (boundary - 1)));
    return n;
}

unsigned weir_sendq_slice(struct weir_sendq *q, const struct weir_pktmem *m, uint32_t seq, uint32_t n,
                          struct weir_piece *out, unsigned max, uint32_t max_piece_bytes, uint32_t boundary,
                          uint32_t *got)
{
    uint32_t left = n;
    unsigned used = 0;
    *got = 0;
    if (n == 0 || max == 0) return 0;
    uint32_t at = find(q, m, seq);
    for (;;) {
        const struct weir_pbuf *p = weir_pbuf_at(m, at);
        uint8_t *addr = p->addr + (seq - p->seq);
        uint32_t here = weir_min_u32(left, p->bytes - (seq - p->seq));
        left -= here;
        seq += here;
        while (here > 0 && used < max) {
            uint32_t k = piece_bytes(addr, here, max_piece_bytes, boundary);
            out[used++] = (struct weir_piece){.addr = addr, .bytes = k};
            addr += k;
            here -= k;
        }
        left += here;
        if (left == 0 || used == max) break;
        at = p->next;
    }
    q->cur = at;
    *got = n - left;
    return used;
}

static void drop_first(struct weir_sendq *q, struct weir_pktmem *m)
{
    uint32_t next = weir_pbuf_drop(m, q->first, WEIR_OWNER_SENDQ);
    if (q->cur == q->first) q->cur = next;
    q->first = next;
    if (next == 0) q->last = 0;
    q->n--;
    m->senders -= q->n == 0;
}

unsigned weir_sendq_ack_some(struct weir_sendq *q, struct weir_pktmem *m, uint32_t una)
{
    unsigned went = 0;
    while (q->first != 0) {
        struct weir_pbuf *p = weir_pbuf_at(m, q->first);
        uint32_t passed = una - p->seq;
        if (passed < p->bytes) {
            p->addr += passed;
            p->bytes -= passed;
            p->seq = una;
            break;
        }
        drop_first(q, m);
        went++;
    }
    q->una = una;
    return went;
}

void weir_sendq_compact(struct weir_sendq *q, struct weir_pktmem *m, struct weir_slicing *may)
{
    struct weir_sliced done = weir_slice_queue(m, q->first, q->last, WEIR_OWNER_SENDQ, may);
    q->last = done.last;
    q->n = (uint16_t)(q->n - done.joined);
    if (done.joined > 0) q->cur = 0; /* it may be one of those that went */
}

void weir_sendq_clear(struct weir_sendq *q, struct weir_pktmem *m)
{
    while (q->first != 0)
        drop_first(q, m);
    q->una = q->end;
}

/* One descriptor against its zbuf. */
static int check_place(const struct weir_pktmem *m, const struct weir_pbuf *p)
{
    struct weir_zhead *h;
    if (p->bytes == 0) return 3;
    if (weir_zpool_find(m->z, p->addr, &h) != 0 || h->stk == 0) return 4;
    uint64_t passed = (uint64_t)(p->addr - weir_zpool_first(m->z, h));
    return passed + p->bytes > weir_zpool_bytes(m->z, h) ? 5 : 0;
}

/* Invariants by number: 1 the ends and the count agree, 2 sequence numbers tile [una, end), 3 no descriptor
 * is empty, 4 it lies in a live zbuf that the stack holds, 5 and not past its end, 6 no two neighbours could
 * be one, 7 the cursor is one of the queue's, 8 at most max descriptors. */
int weir_sendq_check(const struct weir_sendq *q, const struct weir_pktmem *m)
{
    uint32_t seq = q->una, seen = 0, before = 0;
    bool cur_seen = q->cur == 0;
    if (q->n > q->max) return 8;
    for (uint32_t at = q->first; at != 0; before = at, at = weir_pbuf_at(m, at)->next) {
        const struct weir_pbuf *p = weir_pbuf_at(m, at);
        if (++seen > q->n) return 1;
        if (p->seq != seq) return 2;
        int broken = check_place(m, p);
        if (broken != 0) return broken;
        const struct weir_pbuf *b = before != 0 ? weir_pbuf_at(m, before) : NULL;
        if (b != NULL && b->addr + b->bytes == p->addr &&
            weir_zpool_head(m->z, b->addr) == weir_zpool_head(m->z, p->addr))
            return 6;
        seq += p->bytes;
        cur_seen = cur_seen || at == q->cur;
    }
    if (seen != q->n || before != q->last) return 1;
    if (seq != q->end) return 2;
    return cur_seen ? 0 : 7;
}
