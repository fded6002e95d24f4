/* fault.h: a wrapper around any device that loses, doubles, reorders and corrupts frames, by a seed.
 *
 * It works on private copies, so that the application's bytes are never touched, and for that clears the
 * offloads and the asynchronous mode of what it shows upward. Faults apply to both directions.
 *
 * Corrupting flips one bit behind the Ethernet header, which every Internet checksum notices; ARP is spared,
 * since nothing in it would tell. A reordered frame is held until some frames have passed it, or for
 * WEIR_FAULT_HOLD_US when none come. */
#ifndef WEIR_FAULT_H
#define WEIR_FAULT_H

#include "weir/netdev.h"
#include "weir/posts.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_FAULT_FRAME_BYTES 2048 /* largest frame that passes: without offloads a frame fits the MTU */
#define WEIR_FAULT_FRAMES      32   /* private frames of each direction */
#define WEIR_FAULT_HELD        8    /* of them held back for reordering at most */
#define WEIR_FAULT_PASS        4    /* frames that pass one that is held back, at most */
#define WEIR_FAULT_HOLD_US     3000u

/* Probabilities are parts per million, 0 to 1,000,000. */
struct weir_fault_conf {
    uint32_t loss_ppm, reorder_ppm, dup_ppm, corrupt_ppm;
    uint64_t seed;
};

struct weir_fault_slot { /* one private frame; private, as all that follows */
    uint64_t due_us;
    uint32_t bytes;
    uint8_t state;
    uint8_t after; /* frames that still pass it */
};

struct weir_fault_lane { /* one direction */
    struct weir_fault_slot slot[WEIR_FAULT_FRAMES];
    uint8_t ready[WEIR_FAULT_FRAMES]; /* a ring of slots, in the order in which they go on */
    uint8_t head, n_ready, n_free, n_held;
    uint8_t *bytes; /* the slots' frames */
};

struct weir_fault {
    struct weir_netdev dev;
    uint64_t lost, reordered, doubled, corrupted; /* frames so far, both directions; may be read */
    struct weir_netdev *lower;
    struct weir_fault_conf conf;
    const struct weir_plat *plat;
    uint64_t rng;
    struct weir_fault_lane tx, rx;
    struct weir_posts posts;
    struct weir_piece rx_pieces[WEIR_POSTS_MAX];
    uint32_t unit;    /* bytes of a piece handed to the lower device, a power of two */
    uint64_t misfits; /* received frames that lay in more than one slot */
    uint8_t open;
    uint8_t memory[(2 * WEIR_FAULT_FRAMES + 1) * WEIR_FAULT_FRAME_BYTES];
};

/* Reads "loss=0.02,reorder=0.02,dup=0.01,corrupt=0.001,seed=7" (each optional, fractions 0 to 1 of up to six
 * decimals) into conf. 0, or WEIR_EINVAL with a sentence in why[0..bytes), bytes >= 1. */
int weir_fault_parse(struct weir_fault_conf *, const char *text, char *why, size_t bytes);

/* Wraps `lower`, which must not be open yet and must outlive the wrapper, and clears its offloads. */
void weir_fault_init(struct weir_fault *, struct weir_netdev *lower, const struct weir_fault_conf *);

#ifdef __cplusplus
}
#endif
#endif
