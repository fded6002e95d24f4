/* mockdev.h: a device that watches whoever uses it. It wraps another device (a pair's end, mostly) and fails
 * the running cmocka test when a transmitted frame breaks the capabilities, a buffer is posted twice or too
 * small, or transmitted bytes lie where the device may write. What an asynchronous lower device has finished
 * with comes back in random order.
 *
 * With mockdev_hostile_pair the capabilities are as small and odd as real cards have them. */
#ifndef WEIR_MOCKDEV_H
#define WEIR_MOCKDEV_H

#include "weir/pair.h"

#define MOCKDEV_POSTS 256
#define MOCKDEV_HELD  4096

struct mockdev {
    struct weir_netdev dev;
    struct weir_netdev *lower;
    struct weir_netdev_env env;
    uint64_t rng;
    uint32_t stingy; /* 1 in so many calls of tx_room answers 0, and reap keeps something back; 0: never */
    struct weir_piece post[MOCKDEV_POSTS];
    unsigned n_post; /* posted now */
    void *held[MOCKDEV_HELD];
    unsigned n_held; /* transmitted pieces not yet reported */
    void *done[MOCKDEV_HELD];
    unsigned n_done; /* of these, finished by the lower device */
    uint64_t tx_frames, rx_frames, tx_pieces;
    uint32_t most_pieces, most_bytes; /* of one transmitted frame */
    const char *broken;               /* with `record` set: the first misuse, instead of failing the test */
    uint8_t record;
};

/* A pair whose ends take two pieces of 600 bytes at most, that cross no 4,096-byte boundary, the first
 * aligned to 64 bytes, and hold them until delivery. */
struct weir_pair_conf mockdev_hostile_pair(const struct weir_plat *);

void mockdev_init(struct mockdev *, struct weir_netdev *lower, uint64_t seed);

#endif
