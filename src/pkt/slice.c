/* slice.c: moving small slices together. */
#include "pkt/slice.h"

#include <string.h>

#include "base/bits.h"

static struct weir_zhead *head_of(const struct weir_pktmem *m, const struct weir_pbuf *p)
{
    return weir_zpool_head(m->z, p->addr);
}

static bool alone(const struct weir_zhead *h)
{
    return h->stk == 1 && h->app == 0;
}

/* Less than half of the segment, which is nobody else's. */
static bool small(const struct weir_pktmem *m, const struct weir_pbuf *p)
{
    const struct weir_zhead *h = head_of(m, p);
    return alone(h) && 2ull * p->bytes < weir_zpool_bytes(m->z, h);
}

/* Behind the bytes of the one before, which may be moved to the front of their segment for it. */
static bool join(const struct weir_pktmem *m, struct weir_pbuf *before, const struct weir_pbuf *p)
{
    const struct weir_zhead *h = head_of(m, before);
    uint8_t *first = weir_zpool_first(m->z, h);
    uint32_t bytes = weir_zpool_bytes(m->z, h);
    if (!alone(h) || before->bytes > bytes - weir_min_u32(p->bytes, bytes)) return false;
    if ((uint64_t)(before->addr - first) + before->bytes + p->bytes > bytes) {
        memmove(first, before->addr, before->bytes);
        before->addr = first;
    }
    memcpy(before->addr + before->bytes, p->addr, p->bytes);
    before->bytes += p->bytes;
    return true;
}

/* Bytes of this slice and of the small ones that follow it, at most a quarter of its segment or its own. */
static uint32_t run_bytes(const struct weir_pktmem *m, const struct weir_pbuf *p)
{
    uint32_t most = weir_max_u32(p->bytes, weir_zpool_bytes(m->z, head_of(m, p)) / 4), sum = p->bytes;
    while (sum < most && p->next != 0) {
        p = weir_pbuf_at(m, p->next);
        if (!small(m, p)) break;
        sum += p->bytes;
    }
    return weir_min_u32(sum, most);
}

/* Whether a copy may take one of the classes from cls on, below another. */
static bool any_smaller(const struct weir_zpool *z, unsigned cls, unsigned below)
{
    while (cls < below && z->cls[cls].free <= z->cls[cls].floor[WEIR_TAKE_COPY])
        cls++;
    return cls < below;
}

/* To the front of a zbuf of a smaller class. */
static bool move(struct weir_pktmem *m, struct weir_pbuf *p, enum weir_owner owner, uint32_t *refused)
{
    struct weir_zhead *from = head_of(m, p);
    if (*refused > 0) return false; /* before the run is looked at: it may be long */
    uint32_t want = run_bytes(m, p);
    unsigned cls = weir_zpool_class_for(m->z, want);
    if (cls >= from->cls) return false;
    struct weir_zhead *to =
        any_smaller(m->z, cls, from->cls) ? weir_zpool_take(m->z, want, WEIR_TAKE_COPY) : NULL;
    if (to == NULL) {
        ++*refused;
        return false;
    }
    uint8_t *at = weir_zpool_first(m->z, to);
    memcpy(at, p->addr, p->bytes);
    weir_zpool_move(m->z, to, WEIR_OWNER_WARM, owner);
    (void)weir_zpool_unref(m->z, from, owner);
    p->addr = at;
    return true;
}

static void copied(struct weir_pktmem *m, struct weir_slicing *may, uint32_t bytes)
{
    m->stats->slices_copied += bytes;
    may->bytes -= weir_min_u32(bytes, may->bytes);
}

struct weir_sliced weir_slice_queue(struct weir_pktmem *m, uint32_t first, uint32_t last,
                                    enum weir_owner owner, struct weir_slicing *may)
{
    struct weir_sliced done = {.last = last};
    uint32_t before = 0;
    for (uint32_t at = first; at != 0 && may->bytes > 0 && may->pbufs > 0; may->pbufs--) {
        struct weir_pbuf *p = weir_pbuf_at(m, at), *b = before != 0 ? weir_pbuf_at(m, before) : NULL;
        uint32_t bytes = p->bytes, had = weir_zpool_bytes(m->z, head_of(m, p));
        if (small(m, p) && b != NULL && join(m, b, p)) {
            copied(m, may, bytes);
            done.freed_bytes += had;
            done.joined++;
            if (at == last) done.last = before;
            at = b->next = weir_pbuf_drop(m, at, owner);
            continue;
        }
        if (small(m, p) && move(m, p, owner, &may->refused)) {
            copied(m, may, bytes);
            done.freed_bytes += had - weir_zpool_bytes(m->z, head_of(m, p));
        }
        before = at;
        at = p->next;
    }
    return done;
}
