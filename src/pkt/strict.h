/* strict.h: with strict windows, what receiving may still claim is kept free (config.window).
 *
 * Each connection may pin so many bytes of segments with what it has received, in order, out of order or lent
 * (recvq.h); limit_bytes is the sum of these limits, and the plan has it. So as long as
 *
 *     free - what devices had posted when they were attached and have not now
 *          >= limit_bytes - (pinned_bytes - passed_bytes)
 *
 * every connection can receive what its window promised, whatever the others do. Whoever takes segments for
 * something else asks first. Segments that were lent and are written on (passed) are pinned by a send queue when
 * the application lets go of them, and then its connection may claim others for them: they count as gone at once.
 *
 * What is lent outlives its connection, and is counted no more then: for so long no connection is opened in its
 * place (syn.c), so that those that are open can still receive all that they were promised.
 *
 * Header blocks are not asked: what acknowledges must go on. Those that find their own class used up take from the
 * other, and a device that completes later keeps them for so long; so there must be enough of them for what it holds.
 *
 * Strict windows want one class of segments beside the header blocks, so that bytes are all alike. */
#ifndef WEIR_STRICT_H
#define WEIR_STRICT_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/zpool.h"

struct weir_strict {
    uint64_t limit_bytes;  /* 0: windows are not strict */
    uint64_t pinned_bytes; /* segments of receive queues and lent ones, as recvq.h counts them */
    uint64_t passed_bytes; /* of lent segments that were written on */
    uint32_t posts;        /* segments that devices posted when they were attached */
};

/* Whether receiving could still claim all that it may if so many bytes more were gone. Always, without strict
 * windows. */
static inline bool weir_strict_ok(const struct weir_strict *s, const struct weir_zpool *z, uint32_t more)
{
    if (s->limit_bytes == 0) return true;
    const struct weir_zpool_class *c = &z->cls[z->classes - 1];
    uint32_t unposted = s->posts > z->posted ? s->posts - z->posted : 0;
    uint32_t keep = c->floor[WEIR_TAKE_INORDER] + unposted;
    uint64_t free = c->free > keep ? (uint64_t)(c->free - keep) * c->bytes : 0;
    uint64_t holds = s->pinned_bytes > s->passed_bytes ? s->pinned_bytes - s->passed_bytes : 0;
    return holds >= s->limit_bytes + more || free >= s->limit_bytes + more - holds;
}

#endif
