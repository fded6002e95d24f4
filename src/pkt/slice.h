/* slice.h: small slices are copied out of the large segments that they pin, while memory is short (the
 * ladder's rung COPY).
 *
 * Only bytes that nobody but their queue refers to are moved: what the application or a device holds keeps
 * its address. A slice goes behind the one before it where that has room, and its descriptor with it;
 * otherwise to the front of a smaller zbuf with place for the small ones that follow. */
#ifndef WEIR_SLICE_H
#define WEIR_SLICE_H

#include "pkt/pbuf.h"

/* What may still be done, over one queue or several. The descriptors are looked at at most once each: nothing
 * is tried again that was refused. */
struct weir_slicing {
    uint32_t bytes;   /* to copy, about */
    uint32_t pbufs;   /* descriptors to look at */
    uint32_t refused; /* takes that were: none is tried any more after the first; slices still join */
};

struct weir_sliced {
    uint32_t joined;      /* descriptors that went */
    uint32_t freed_bytes; /* usable bytes of segments, each descriptor counted, that are pinned no more */
    uint32_t last;        /* the queue's last descriptor now */
};

/* Walks a queue of descriptors of this owner, contiguous in sequence numbers, and moves small slices until
 * the budget is used up. Descriptors after the first may go. Cost: the descriptors looked at, and the bytes
 * copied. */
struct weir_sliced weir_slice_queue(struct weir_pktmem *, uint32_t first, uint32_t last, enum weir_owner,
                                    struct weir_slicing *);

#endif
