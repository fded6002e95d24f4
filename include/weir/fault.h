/* fault.h: a wrapper around any device that loses, doubles, reorders and corrupts frames, by a seed.
 *
 * It works on private copies, so that the application's bytes are never touched, and for that clears the offloads
 * and the asynchronous mode of what it shows upward. Faults apply to both directions. */
#ifndef WEIR_FAULT_H
#define WEIR_FAULT_H

#include "weir/netdev.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_FAULT_FRAME_BYTES 2048 /* largest frame that passes: without offloads a frame fits the MTU */
#define WEIR_FAULT_HELD        16   /* frames held back for reordering, each direction */

/* Probabilities are parts per million, 0 to 1,000,000. */
struct weir_fault_conf {
    uint32_t loss_ppm, reorder_ppm, dup_ppm, corrupt_ppm;
    uint64_t seed;
};

struct weir_fault_held { /* private */
    uint8_t bytes[WEIR_FAULT_FRAME_BYTES];
    uint32_t len;
    uint32_t after; /* frames that still pass it */
};

struct weir_fault {
    struct weir_netdev dev;
    struct weir_netdev *lower;
    struct weir_fault_conf conf;
    uint64_t rng;
    struct weir_fault_held tx[WEIR_FAULT_HELD], rx[WEIR_FAULT_HELD];
    unsigned n_tx, n_rx;
    uint64_t lost, reordered, doubled, corrupted; /* so far, both directions */
    struct weir_piece rx_piece[WEIR_FAULT_HELD];
    struct weir_piece own_post[WEIR_FAULT_HELD];  /* buffers kept back from the lower device for held frames */
    unsigned n_own;
};

/* Reads "loss=0.02,reorder=0.02,dup=0.01,corrupt=0.001,seed=7" (each optional, fractions 0 to 1) into conf.
 * 0, or WEIR_EINVAL with a sentence in why[0..bytes). */
int weir_fault_parse(struct weir_fault_conf *, const char *text, char *why, size_t bytes);

/* Wraps `lower`, which must not be open yet and must outlive the wrapper. */
void weir_fault_init(struct weir_fault *, struct weir_netdev *lower, const struct weir_fault_conf *);

#ifdef __cplusplus
}
#endif
#endif
