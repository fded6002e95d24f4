/* fair.c: how much of the memory that is left one connection may take for itself.
 *
 * Theory of operation. Buffers may be larger together than all zbufs, as not all connections need them at once. But
 * a peer that reads nothing gives nothing back, nor does an application that reads nothing; a few such connections,
 * each within its own buffer size, could hold everything, and what they hold can't be taken from them. So nobody
 * may take the last of it: a queue grows only while it is smaller than an equal share of what is left,
 *
 *     pinned + more <= left / n                  (n queues that hold something, its own with them)
 *
 * which is the dynamic threshold of Choudhury and Hahne (1998) with 1/n for their alpha. In whatever order n
 * queues of such a kind fill up, the k-th takes at most left / (k + 1) of what it finds, so that
 *
 *     left >= all / (n + 1)
 *
 * and the next one that comes has as much as each of them. A queue that drains is soon below the threshold again
 * and goes on with its share. While there is plenty nothing of this is felt: left / n is more than the buffer.
 *
 * What the peer's window takes at once does not stay: as far as it goes a queue may be four times its share, so that
 * bulk has its window full while much is left. A peer that opens its window and acknowledges nothing is given up by
 * retransmission; one that shuts it has taken what was in it.
 *
 * To send. n is the queues that hold descriptors. Copied bytes are packed, so they pin what they are, and half a
 * segment for the ends of the queue; what is left are the segments above the floor of copies that are large enough.
 * Bytes by reference pin their zbufs: as if all descriptors of the queue pinned such a zbuf as the one that is written
 * now, which is exact for who writes from one size. On the ladder's rungs a slice of less than half a zbuf is copied
 * instead of refused, as slice.h does with those that are queued already; not what was lent, which may wait where it
 * is. Left are those above the application's floor and, since they are in its hands and need not be taken any more,
 * those that it holds: live, not posted, and beyond those that descriptors can account for. Who is refused is told
 * WEIR_EAGAIN, as if the send buffer were full; it has bytes out, and their acknowledgement asks again. So it is never
 * asked of an empty queue, nor of one that a cork keeps back.
 *
 * To receive. The ladder's WINDOWS and what is below it (window.c): a window is told as far as the share leaves
 * room. n is all connections, since nobody counts those that have unread bytes; twice the share, since few have.
 *
 * Rejected: a fixed alpha. k queues, one after the other, leave (1 / (1 + alpha))^k of all, which with 1/8 and
 * sixty-three of them is a seventeen-hundredth. Rejected: a reserve for each connection (all / connections): it
 * can't be overdrawn, but halves what the others may use while most connections are idle. */
#include "tcp/fair.h"

#include "base/bits.h"
#include "tcp/tcp.h"

/* So many zbufs each queue may always have by reference, and twice as many for two full segments: one is on its way
 * while the other is acknowledged, and a peer that delays acknowledgements is not waited for. */
#define FEW 2u

/* A queue may be so many times larger than its share as far as the peer's window goes: that will leave. */
#define GOES 4u

/* What weir_conn.fair says: what was refused. */
#define COPIES 255u

/* Bytes of this class and larger ones that this kind of user may take. */
static uint64_t left_for(const struct weir_zpool *z, unsigned cls, enum weir_take kind)
{
    uint64_t sum = 0;
    for (unsigned i = cls; i < z->classes; i++) {
        const struct weir_zpool_class *c = &z->cls[i];
        if (c->free > c->floor[kind]) sum += (uint64_t)(c->free - c->floor[kind]) * c->bytes;
    }
    return sum;
}

/* Segments in the application's hands alone, at least. Header blocks are not. */
static uint32_t in_hand(const struct weir_pktmem *m)
{
    const struct weir_zpool *z = m->z;
    uint32_t headers = z->classes > 1 ? z->cls[0].count - z->cls[0].free : 0;
    uint32_t others = z->posted + m->pbufs.used + headers;
    return z->live > others ? z->live - others : 0;
}

static uint32_t share(const struct weir_tcp *t, const struct weir_conn *c, uint64_t left)
{
    uint64_t each = left / (t->mem.senders + (c->sq.n == 0));
    return each < UINT32_MAX ? (uint32_t)each : UINT32_MAX;
}

static uint32_t queued(const struct weir_conn *c)
{
    return c->sq.end - c->sq.una;
}

/* Times the share, for what the peer's window takes in at once. */
static uint32_t goes(uint32_t each)
{
    return each < UINT32_MAX / GOES ? each * GOES : UINT32_MAX;
}

static uint32_t copy_limit(const struct weir_tcp *t, const struct weir_conn *c)
{
    unsigned cls = weir_zpool_class_for(t->mem.z, t->warm.zbuf_bytes);
    uint32_t each = share(t, c, left_for(t->mem.z, cls, WEIR_TAKE_COPY));
    uint32_t ends = weir_min_u32(each, t->warm.zbuf_bytes / 2); /* pinned beyond its bytes */
    return weir_max_u32(weir_max_u32(each - ends, WEIR_FAIR_LEAST), weir_min_u32(goes(each), c->snd_wnd));
}

/* Whether one more zbuf of this class may be pinned, for n more bytes. */
static bool may_pin(const struct weir_tcp *t, const struct weir_conn *c, unsigned cls, uint32_t n)
{
    uint32_t bytes = t->mem.z->cls[cls].bytes;
    if (c->sq.n < FEW || (c->sq.n < 2 * FEW && queued(c) < 2u * c->mss)) return true;
    uint64_t left = left_for(t->mem.z, cls, WEIR_TAKE_APP) + (uint64_t)in_hand(&t->mem) * bytes;
    uint64_t pins = weir_max_u32(queued(c), c->sq.n * bytes);
    uint32_t each = share(t, c, left), most = (uint64_t)queued(c) + n <= c->snd_wnd ? goes(each) : each;
    return pins + bytes <= weir_max_u32(most, WEIR_FAIR_LEAST);
}

/* Copied, n bytes or a first part of them. */
static uint32_t may_copy(const struct weir_tcp *t, struct weir_conn *c, uint32_t n)
{
    uint32_t limit = copy_limit(t, c), room = limit > queued(c) ? limit - queued(c) : 0;
    if (n > room) c->fair = COPIES;
    return weir_min_u32(n, room);
}

uint32_t weir_fair_send(const struct weir_tcp *t, struct weir_conn *c, const struct weir_zhead *h,
                        const uint8_t *at, uint32_t n, bool *copies)
{
    c->fair = 0;
    if ((c->flags & WEIR_C_CORK) && queued(c) < c->mss) return n;
    if (*copies) return may_copy(t, c, n);
    if (weir_sendq_continues(&c->sq, &t->mem, at) || may_pin(t, c, h->cls, n)) return n;
    bool small = 2ull * n < weir_zpool_bytes(t->mem.z, h) && h->lent_id == 0;
    if (small && t->mem.press.rung >= WEIR_RUNG_WINDOWS) {
        *copies = true;
        return may_copy(t, c, n);
    }
    c->fair = (uint8_t)(h->cls + 1);
    return 0;
}

bool weir_fair_again(const struct weir_tcp *t, const struct weir_conn *c)
{
    if (c->fair == 0 || c->sq.n == 0) return true;
    if (c->fair != COPIES) return may_pin(t, c, c->fair - 1u, 1);
    uint32_t limit = copy_limit(t, c);
    return queued(c) <= limit - limit / 4;
}

uint32_t weir_fair_pins(const struct weir_tcp *t)
{
    const struct weir_zpool *z = t->mem.z;
    uint64_t left = left_for(z, t->mem.press.first, WEIR_TAKE_INORDER);
    uint64_t each = 2 * left / weir_max_u32(t->live, 2);
    return each < UINT32_MAX ? weir_max_u32((uint32_t)each, z->cls[z->classes - 1].bytes) : UINT32_MAX;
}
