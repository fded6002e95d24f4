/* warm.c: the segment that copied writes are packed into.
 *
 * Theory of operation. One segment an instance; every connection's copied bytes go behind each other into it,
 * so that a thousand small writes cost a segment's worth of memory and not a thousand segments. The instance
 * holds one reference of its own (owner WARM), each descriptor that points into it one more.
 *
 *     first            at            first + usable bytes
 *     [ copied bytes   | left ...... ]
 *
 * When everything that was copied into it has been acknowledged only WARM's own reference is left, and
 * writing begins at the front again: a request-and-answer server lives in the same few cache lines for ever.
 * A segment that is full is let go at once, so at = NULL iff left = 0, and `at` always lies inside the
 * segment that it belongs to. */
#include "tcp/sendq.h"

void weir_warm_drop(struct weir_warm *w, struct weir_pktmem *m)
{
    if (w->at != NULL) weir_zpool_unref(m->z, weir_zpool_head(m->z, w->at), WEIR_OWNER_WARM);
    w->at = NULL;
    w->left = 0;
}

static void start_at_front(struct weir_warm *w, const struct weir_pktmem *m, const struct weir_zhead *h)
{
    w->at = weir_zpool_first(m->z, h);
    w->left = weir_zpool_bytes(m->z, h);
}

bool weir_warm_ready(struct weir_warm *w, struct weir_pktmem *m)
{
    struct weir_zhead *h;
    if (w->at != NULL) {
        h = weir_zpool_head(m->z, w->at);
        if (h->stk == 1) start_at_front(w, m, h);
        /* A large class under one-byte writes can reach the limit of its count before it is full. */
        if (h->stk != UINT16_MAX) return true;
        weir_warm_drop(w, m);
    }
    h = weir_zpool_take(m->z, w->zbuf_bytes, WEIR_TAKE_COPY);
    if (h == NULL) return false;
    if (!weir_strict_ok(&m->strict, m->z, 0)) { /* it is set aside for receiving */
        (void)weir_zpool_unref(m->z, h, WEIR_OWNER_WARM);
        return false;
    }
    start_at_front(w, m, h);
    return true;
}

void weir_warm_used(struct weir_warm *w, struct weir_pktmem *m, uint32_t n)
{
    w->left -= n;
    if (w->left == 0)
        weir_warm_drop(w, m);
    else
        w->at += n;
}
