/* bench_dev.h: the network card of the counted part. Like one that writes received frames into memory by
 * itself: bytes are copied outside of the counted sections, and so is everything that the peer does.
 * Synchronous; no operating system. */
#ifndef WEIR_BENCH_DEV_H
#define WEIR_BENCH_DEV_H

#include "bench_peer.h"
#include "weir/netdev.h"

#define BENCH_POSTS 64u

struct bench_dev {
    struct weir_netdev dev;
    struct peer *peer;
    struct weir_piece post[BENCH_POSTS]; /* a ring; the first `filled` hold frames */
    struct weir_frame frame[BENCH_POSTS];
    struct weir_piece piece[BENCH_POSTS]; /* of the frames handed over last */
    unsigned head, posted, filled, posts_max;
    uint32_t least_bytes; /* of a posted buffer */
    uint32_t want_bytes;
};

/* offloads: enum weir_offload. Frames may have up to 64 KB with WEIR_OFF_TX_TSO4 or WEIR_OFF_RX_MERGE4. */
void bench_dev_init(struct bench_dev *, struct peer *, uint16_t offloads);
/* Fills posted buffers with what the peer has to say. Not counted. */
void bench_dev_fill(struct bench_dev *);

#endif
