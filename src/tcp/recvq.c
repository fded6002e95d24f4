/* recvq.c: the receive queue of a connection.
 *
 * Theory of operation. Two lists of descriptors into the zbufs that the device wrote to. Both are fed by one
 * walk over an arriving segment, which knows at each byte whether it is a gap or was received before:
 *
 *     segment        [=======================)
 *     in order  ...........] rcv_nxt
 *     out of order           [====]    [===]  [=====]
 *     kept                  []      [==]    []
 *
 * In order (seq <= rcv_nxt): what lies before rcv_nxt is skipped, the gap up to the first out-of-order descriptor is
 * appended, that descriptor moves over, its stretch of the segment is skipped, and so on.
 *
 * Nothing that was received once is replaced: a later copy that differs is the mark of an attack on whoever
 * looked at the first one. A segment that spans descriptors is kept in as many parts as there are gaps.
 *
 * What keeping costs. A part kept by reference takes one descriptor, and its zbuf from the device, so a
 * segment of the size that the device asked for must be there to be posted in its place. A zbuf to which
 * anybody else refers already was replaced (or reckoned with) before. `owed` counts the replacements that one
 * insert has used up, since they are taken only after it.
 *
 * What is pinned. A queue may pin may_pin_bytes, its connection's receive buffer, in any way: that much is meant for
 * it. Beyond that seg_bytes is compared with twice the payload, as both would be with the arriving segment kept by
 * reference, so that a stream of well-filled buffers is never copied because of one small segment at its beginning.
 * Packing goes on behind the last in-order byte as far as its zbuf reaches. Segments may begin late in their zbuf but
 * fill it then. The rest of a zbuf whose front was lent counts on neither side. So, after an insert,
 *
 *     seg_bytes <= max(may_pin_bytes, 2 * payload) + what the frame and the last zbuf hold
 *                                                  + zbufs that could not be filled
 *
 * The same copy is the first way out when neither zbuf nor descriptor can be had: it needs neither. Dropping
 * out-of-order data is the second, refusing the rest the third.
 *
 * Rejected: packing whenever the present queue is over, whatever arrives: it copied up to a zbuf's worth of
 * each bulk stream that begins with a short header. */
#include "tcp/recvq.h"

#include <string.h>

#include "base/bits.h"

/* What of the arriving segment has not been dealt with: [seq, seq + left), which begins off bytes into
 * piece[0]. */
struct arriving {
    const struct weir_piece *piece;
    unsigned pieces;
    uint32_t off;
    uint32_t seq;
    uint32_t left;
    uint32_t owed; /* zbufs kept so far that the device will miss */
};

static struct weir_pbuf *pbuf(const struct weir_pktmem *m, uint32_t number)
{
    return weir_pbuf_at(m, number);
}

static uint32_t zbuf_bytes(const struct weir_pktmem *m, const uint8_t *addr)
{
    return weir_zpool_bytes(m->z, weir_zpool_head(m->z, addr));
}

void weir_recvq_init(struct weir_recvq *q, uint16_t max_ooo, uint32_t max_seg_bytes, uint32_t may_pin_bytes)
{
    *q = (struct weir_recvq){
        .max_ooo = max_ooo, .max_seg_bytes = max_seg_bytes, .may_pin_bytes = may_pin_bytes};
}

static void skip(struct arriving *a, uint32_t n)
{
    n = weir_min_u32(n, a->left);
    a->seq += n;
    a->left -= n;
    a->off += n;
    while (a->pieces > 0 && a->off >= a->piece->bytes) {
        a->off -= a->piece->bytes;
        a->piece++;
        a->pieces--;
    }
    if (a->pieces == 0) a->left = 0;
}

/* Bytes of [a->seq, ...) that lie together, at most n. */
static uint32_t together(const struct arriving *a, uint32_t n)
{
    return weir_min_u32(weir_min_u32(a->left, n), a->piece->bytes - a->off);
}

/* Whether the queue may pin one more segment, as far as its own limit goes. With a limit a segment is kept once, or
 * the sums would tell more than is held. */
static bool within_limit(const struct weir_recvq *q, const struct weir_pktmem *m, const struct weir_zhead *h)
{
    if (q->max_seg_bytes != 0 && h->stk + h->app > 1) return false;
    uint64_t held = (uint64_t)q->seg_bytes + q->ooo_seg_bytes + q->lent_seg_bytes;
    return q->max_seg_bytes == 0 || held + weir_zpool_bytes(m->z, h) <= q->max_seg_bytes;
}

/* Whether the zbuf at addr may be kept, and its share of what the device will miss. */
static bool may_keep(const struct weir_pktmem *m, const struct arriving *a, const struct weir_zhead *h,
                     enum weir_take kind)
{
    if (h->stk + h->app > 1) return true;
    return weir_zpool_can(m->z, weir_zpool_class_asked(m->z, h), kind, a->owed + 1);
}

/* A descriptor for the next n bytes, 0 with *why when there is none. */
static uint32_t keep(const struct weir_recvq *q, struct weir_pktmem *m, struct arriving *a, uint32_t n,
                     enum weir_owner owner, enum weir_recvq_result *why)
{
    uint8_t *addr = a->piece->addr + a->off;
    const struct weir_zhead *h = weir_zpool_head(m->z, addr);
    *why = WEIR_RECVQ_OWN_LIMIT;
    if (!within_limit(q, m, h)) return 0;
    *why = WEIR_RECVQ_NO_ZBUF;
    if (!may_keep(m, a, h, owner == WEIR_OWNER_OOO ? WEIR_TAKE_OOO : WEIR_TAKE_INORDER)) return 0;
    uint32_t missed = h->stk + h->app > 1 ? 0 : 1;
    *why = WEIR_RECVQ_NO_PBUF;
    if ((uint32_t)q->n + q->n_ooo >= UINT16_MAX) return 0;
    uint32_t number = weir_pbuf_new(m, addr, n, a->seq, owner);
    if (number != 0) a->owed += missed;
    return number;
}

/* ---- in order ---- */

static void link_last(struct weir_recvq *q, struct weir_pktmem *m, uint32_t number)
{
    struct weir_pbuf *p = pbuf(m, number);
    p->next = 0;
    if (q->last == 0)
        q->first = number;
    else
        pbuf(m, q->last)->next = number;
    q->last = number;
    q->n++;
    q->bytes += p->bytes;
    q->seg_bytes += zbuf_bytes(m, p->addr);
    m->strict.pinned_bytes += zbuf_bytes(m, p->addr);
}

/* Moves what rcv_nxt has reached from out of order to in order. */
static void take_reached(struct weir_recvq *q, struct weir_pktmem *m, uint32_t *rcv_nxt)
{
    while (q->ooo_first != 0 && pbuf(m, q->ooo_first)->seq == *rcv_nxt) {
        uint32_t number = q->ooo_first;
        struct weir_pbuf *p = pbuf(m, number);
        q->ooo_first = p->next;
        if (q->ooo_first == 0) q->ooo_last = 0;
        q->n_ooo--;
        q->ooo_bytes -= p->bytes;
        q->ooo_seg_bytes -= zbuf_bytes(m, p->addr);
        m->strict.pinned_bytes -= zbuf_bytes(m, p->addr); /* link_last adds it */
        weir_zpool_move(m->z, weir_zpool_head(m->z, p->addr), WEIR_OWNER_OOO, WEIR_OWNER_RECVQ);
        link_last(q, m, number);
        *rcv_nxt += p->bytes;
    }
}

/* Copies up to n of the next bytes behind the last descriptor's. Returns how many. */
static uint32_t pack(struct weir_recvq *q, struct weir_pktmem *m, const struct arriving *a, uint32_t n)
{
    if (q->last == 0) return 0;
    struct weir_pbuf *p = pbuf(m, q->last);
    const struct weir_zhead *h = weir_zpool_head(m->z, p->addr);
    if (h->stk != 1 || h->app != 0) return 0;
    uint8_t *at = p->addr + p->bytes;
    uint32_t room = weir_zpool_bytes(m->z, h) - (uint32_t)(at - weir_zpool_first(m->z, h));
    n = weir_min_u32(n, room);
    memcpy(at, a->piece->addr + a->off, n);
    p->bytes += n;
    q->bytes += n;
    m->stats->rx_bytes_copied += n;
    return n;
}

/* The rest of a zbuf whose front was lent: the application, or a send queue that it was written to, pins it
 * whatever is done with what arrives. */
static const struct weir_pbuf *lent_rest(const struct weir_recvq *q, const struct weir_pktmem *m)
{
    const struct weir_pbuf *p = pbuf(m, q->first);
    const struct weir_zhead *h = weir_zpool_head(m->z, p->addr);
    return h->app != 0 || h->stk > 1 ? p : NULL;
}

/* Whether the zbufs would hold more than the queue may in any case, and more than twice the payload, if all that
 * arrives were kept by reference. The queue is not empty. */
static bool pins_too_much(const struct weir_recvq *q, const struct weir_pktmem *m, const struct arriving *a)
{
    const struct weir_pbuf *rest = lent_rest(q, m);
    uint64_t held = q->seg_bytes, bytes = (uint64_t)q->bytes + a->left;
    uint32_t left = a->left, off = a->off;
    if (rest != NULL) {
        held -= zbuf_bytes(m, rest->addr);
        bytes -= rest->bytes;
    }
    for (unsigned i = 0; i < a->pieces && left > 0; i++, off = 0) {
        held += zbuf_bytes(m, a->piece[i].addr);
        left -= weir_min_u32(left, a->piece[i].bytes - off);
    }
    return held > q->may_pin_bytes && held > 2 * bytes;
}

/* Appends n bytes that lie together, or a first part of them. Returns how many, 0 with *why. */
static uint32_t append(struct weir_recvq *q, struct weir_pktmem *m, struct arriving *a, uint32_t n,
                       bool packs, enum weir_recvq_result *why)
{
    uint32_t packed = packs ? pack(q, m, a, n) : 0;
    if (packed > 0) return packed;
    uint32_t number = keep(q, m, a, n, WEIR_OWNER_RECVQ, why);
    if (number == 0) {
        packed = pack(q, m, a, n);
        if (packed > 0) return packed;
        uint32_t dropped = weir_recvq_drop_ooo(q, m);
        m->stats->ooo_dropped += dropped;
        if (dropped > 0) number = keep(q, m, a, n, WEIR_OWNER_RECVQ, why);
    }
    if (number == 0) return 0;
    link_last(q, m, number);
    return n;
}

static enum weir_recvq_result insert_in_order(struct weir_recvq *q, struct weir_pktmem *m, uint32_t *rcv_nxt,
                                              struct arriving *a)
{
    enum weir_recvq_result why = WEIR_RECVQ_DUPLICATE;
    bool packs = q->last != 0 && (m->press.rung >= WEIR_RUNG_COPY || pins_too_much(q, m, a));
    bool kept = false;
    while (a->left > 0) {
        uint32_t gap = q->ooo_first != 0 ? pbuf(m, q->ooo_first)->seq - *rcv_nxt : UINT32_MAX;
        uint32_t n = append(q, m, a, together(a, gap), packs, &why);
        if (n == 0) break;
        kept = true;
        *rcv_nxt += n;
        take_reached(q, m, rcv_nxt);
        skip(a, *rcv_nxt - a->seq);
    }
    return kept ? WEIR_RECVQ_KEPT : why;
}

/* ---- out of order ---- */

static void link_ooo(struct weir_recvq *q, struct weir_pktmem *m, uint32_t before, uint32_t number)
{
    struct weir_pbuf *p = pbuf(m, number);
    uint32_t *link = before != 0 ? &pbuf(m, before)->next : &q->ooo_first;
    p->next = *link;
    *link = number;
    if (p->next == 0) q->ooo_last = number;
    q->n_ooo++;
    q->ooo_bytes += p->bytes;
    q->ooo_seg_bytes += zbuf_bytes(m, p->addr);
    m->strict.pinned_bytes += zbuf_bytes(m, p->addr);
}

static bool ends_before(const struct weir_pktmem *m, uint32_t number, uint32_t seq)
{
    const struct weir_pbuf *p = pbuf(m, number);
    return weir_seq_leq(p->seq + p->bytes, seq);
}

static enum weir_recvq_result insert_ooo(struct weir_recvq *q, struct weir_pktmem *m, struct arriving *a)
{
    enum weir_recvq_result why = WEIR_RECVQ_DUPLICATE;
    bool kept = false;
    uint32_t before = q->ooo_last != 0 && ends_before(m, q->ooo_last, a->seq) ? q->ooo_last : 0;
    while (a->left > 0) {
        uint32_t next = before != 0 ? pbuf(m, before)->next : q->ooo_first;
        while (next != 0 && ends_before(m, next, a->seq)) {
            before = next;
            next = pbuf(m, next)->next;
        }
        const struct weir_pbuf *p = next != 0 ? pbuf(m, next) : NULL;
        if (p != NULL && weir_seq_leq(p->seq, a->seq)) {
            skip(a, p->seq + p->bytes - a->seq);
            continue;
        }
        if (m->press.rung >= WEIR_RUNG_OOO || q->n_ooo >= q->max_ooo) {
            why = m->press.rung >= WEIR_RUNG_OOO ? WEIR_RECVQ_OOO_SHORT : WEIR_RECVQ_OOO_LIMIT;
            break;
        }
        uint32_t n = together(a, p != NULL ? p->seq - a->seq : UINT32_MAX);
        uint32_t number = keep(q, m, a, n, WEIR_OWNER_OOO, &why);
        if (number == 0) break;
        link_ooo(q, m, before, number);
        before = number;
        kept = true;
        skip(a, n);
    }
    return kept ? WEIR_RECVQ_KEPT : why;
}

enum weir_recvq_result weir_recvq_insert(struct weir_recvq *q, struct weir_pktmem *m, uint32_t *rcv_nxt,
                                         uint32_t seq, const struct weir_piece *pieces, unsigned n_pieces,
                                         uint32_t n)
{
    struct arriving a = {.piece = pieces, .pieces = n_pieces, .seq = seq, .left = n};
    uint32_t old = *rcv_nxt - seq;
    skip(&a, (int32_t)old > 0 ? old : 0);
    if (a.left == 0) return WEIR_RECVQ_DUPLICATE;
    return a.seq == *rcv_nxt ? insert_in_order(q, m, rcv_nxt, &a) : insert_ooo(q, m, &a);
}

/* ---- reading ---- */

static inline void drop_first(struct weir_recvq *q, struct weir_pktmem *m, struct weir_zhead *h)
{
    const struct weir_pbuf *p = pbuf(m, q->first);
    q->bytes -= p->bytes;
    q->seg_bytes -= weir_zpool_bytes(m->z, h);
    m->strict.pinned_bytes -= weir_zpool_bytes(m->z, h);
    q->n--;
    q->first = weir_pbuf_drop_in(m, h, q->first, WEIR_OWNER_RECVQ);
    if (q->first == 0) q->last = 0;
}

static struct weir_zhead *head_of_first(const struct weir_recvq *q, const struct weir_pktmem *m)
{
    return weir_zpool_head(m->z, pbuf(m, q->first)->addr);
}

/* Takes n bytes from the front of the first descriptor, 0 < n <= its bytes. */
static inline void consume(struct weir_recvq *q, struct weir_pktmem *m, struct weir_zhead *h, uint32_t n)
{
    struct weir_pbuf *p = pbuf(m, q->first);
    if (n == p->bytes) {
        drop_first(q, m, h);
        return;
    }
    p->addr += n;
    p->bytes -= n;
    p->seq += n;
    q->bytes -= n;
}

unsigned weir_recvq_lend(struct weir_recvq *q, struct weir_pktmem *m, uint32_t lent_id, struct weir_iov *out,
                         unsigned n, uint32_t max_bytes, uint32_t *bytes)
{
    unsigned lent = 0;
    *bytes = 0;
    while (lent < n && q->first != 0 && *bytes < max_bytes) {
        struct weir_pbuf *p = pbuf(m, q->first);
        uint32_t k = p->bytes;
        if (k > max_bytes - *bytes) {
            if (lent > 0 || q->max_seg_bytes != 0)
                break; /* with a limit, for the same reason, not in parts */
            k = max_bytes;
        }
        struct weir_zhead *h = weir_zpool_head(m->z, p->addr);
        uint32_t before = h->app != 0 ? h->lent_bytes : 0;
        if (weir_zpool_app_ref(m->z, h) < 0) break;
        if (h->app == 1) {
            q->lent_seg_bytes += weir_zpool_bytes(m->z, h);
            m->strict.pinned_bytes += weir_zpool_bytes(m->z, h);
        }
        h->lent_id = lent_id;
        h->lent_bytes = before + k;
        out[lent++] = (struct weir_iov){.base = p->addr, .len = k};
        *bytes += k;
        consume(q, m, h, k);
    }
    return lent;
}

uint32_t weir_recvq_copy(struct weir_recvq *q, struct weir_pktmem *m, void *out, uint32_t n)
{
    uint32_t done = 0;
    while (done < n && q->first != 0) {
        const struct weir_pbuf *p = pbuf(m, q->first);
        uint32_t k = weir_min_u32(n - done, p->bytes);
        memcpy((uint8_t *)out + done, p->addr, k);
        consume(q, m, head_of_first(q, m), k);
        done += k;
    }
    m->stats->rx_bytes_copied += done;
    return done;
}

void weir_recvq_compact(struct weir_recvq *q, struct weir_pktmem *m, struct weir_slicing *may)
{
    struct weir_sliced done = weir_slice_queue(m, q->first, q->last, WEIR_OWNER_RECVQ, may);
    q->last = done.last;
    q->n = (uint16_t)(q->n - done.joined);
    q->seg_bytes -= done.freed_bytes;
    m->strict.pinned_bytes -= done.freed_bytes;
}

uint32_t weir_recvq_drop_ooo(struct weir_recvq *q, struct weir_pktmem *m)
{
    uint32_t bytes = q->ooo_bytes;
    while (q->ooo_first != 0)
        q->ooo_first = weir_pbuf_drop(m, q->ooo_first, WEIR_OWNER_OOO);
    q->ooo_last = 0;
    m->strict.pinned_bytes -= q->ooo_seg_bytes;
    q->ooo_bytes = q->ooo_seg_bytes = 0;
    q->n_ooo = 0;
    return bytes;
}

void weir_recvq_clear(struct weir_recvq *q, struct weir_pktmem *m)
{
    weir_recvq_drop_ooo(q, m);
    while (q->first != 0)
        drop_first(q, m, head_of_first(q, m));
    m->strict.pinned_bytes -=
        q->lent_seg_bytes; /* what is lent outlives the connection, its limit does not */
    q->lent_seg_bytes = 0;
}

/* ---- checking ---- */

/* One descriptor against its zbuf. */
static bool misplaced(const struct weir_pktmem *m, const struct weir_pbuf *p)
{
    struct weir_zhead *h;
    if (p->bytes == 0 || weir_zpool_find(m->z, p->addr, &h) != 0 || h->stk == 0) return true;
    uint64_t passed = (uint64_t)(p->addr - weir_zpool_first(m->z, h));
    return passed + p->bytes > weir_zpool_bytes(m->z, h);
}

static int check_in_order(const struct weir_recvq *q, const struct weir_pktmem *m, uint32_t rcv_nxt)
{
    uint32_t seen = 0, before = 0, bytes = 0, held = 0, seq = rcv_nxt - q->bytes;
    for (uint32_t at = q->first; at != 0; before = at, at = pbuf(m, at)->next) {
        const struct weir_pbuf *p = pbuf(m, at);
        if (++seen > q->n) return 1;
        if (misplaced(m, p)) return 2;
        if (p->seq != seq) return 3;
        seq += p->bytes;
        bytes += p->bytes;
        held += zbuf_bytes(m, p->addr);
    }
    if (seen != q->n || before != q->last) return 1;
    if (bytes != q->bytes) return 4;
    return held == q->seg_bytes ? 0 : 5;
}

static int check_ooo(const struct weir_recvq *q, const struct weir_pktmem *m, uint32_t rcv_nxt)
{
    uint32_t seen = 0, before = 0, bytes = 0, held = 0, seq = rcv_nxt + 1;
    for (uint32_t at = q->ooo_first; at != 0; before = at, at = pbuf(m, at)->next) {
        const struct weir_pbuf *p = pbuf(m, at);
        if (++seen > q->n_ooo) return 6;
        if (misplaced(m, p)) return 7;
        if (weir_seq_lt(p->seq, seq)) return 8;
        seq = p->seq + p->bytes;
        bytes += p->bytes;
        held += zbuf_bytes(m, p->addr);
    }
    if (seen != q->n_ooo || before != q->ooo_last || seen > q->max_ooo) return 6;
    if (bytes != q->ooo_bytes) return 9;
    return held == q->ooo_seg_bytes ? 0 : 10;
}

/* Invariants by number. In order: 1 the ends and the count agree, 2 each descriptor lies in a live zbuf that
 * the stack holds, 3 they are contiguous and end at rcv_nxt, 4 bytes, 5 seg_bytes. Out of order: 6 ends,
 * count and limit, 7 as 2, 8 ascending, disjoint, after rcv_nxt, 9 ooo_bytes, 10 ooo_seg_bytes. */
int weir_recvq_check(const struct weir_recvq *q, const struct weir_pktmem *m, uint32_t rcv_nxt)
{
    int broken = check_in_order(q, m, rcv_nxt);
    return broken != 0 ? broken : check_ooo(q, m, rcv_nxt);
}
