/* pair.h: two devices joined by a simulated cable, in one process, in the time of their plat (virtual or real).
 *
 * Each direction has a fixed delay, a rate and a bounded queue, so tests and examples need no operating system.
 * Synchronous ends copy a frame as it is sent; asynchronous ends hold its pieces until it was delivered and report
 * them by address, in an order that is not the order of sending. */
#ifndef WEIR_PAIR_H
#define WEIR_PAIR_H

#include "weir/netdev.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_PAIR_FRAMES 64 /* frames in flight in one direction */
#define WEIR_PAIR_POSTS  64 /* receive buffers posted at one end */

struct weir_pair_conf {
    const struct weir_plat *plat;
    uint64_t delay_us;    /* one way */
    uint64_t bits_per_s;  /* 0: unlimited */
    uint32_t queue;       /* frames in flight in one direction, 1 to WEIR_PAIR_FRAMES */
    uint32_t max_frame;   /* bytes with all headers, 60 to 65,549 */
    uint16_t mtu;         /* 68 to 65,535 */
    uint16_t offloads;    /* enum weir_offload: the cable carries large segments and leaves checksums undone */
    uint8_t async;        /* both ends */
    uint8_t link;         /* enum weir_link; 0 means WEIR_LINK_ETHER */
    uint16_t max_pieces;  /* 0 means WEIR_FRAME_PIECES_MAX */
    uint32_t max_piece_bytes; /* 0: no limit */
    uint32_t boundary;        /* 0: none */
    uint32_t base_align;      /* 0 means 1 */
};

struct weir_pair;

struct weir_pair_slot { /* one frame in flight; private */
    uint64_t due_us;
    struct weir_frame frame;
    struct weir_piece pieces[WEIR_FRAME_PIECES_MAX];
    uint8_t *copy; /* synchronous: the frame's bytes in the pair's memory */
};

struct weir_pair_end {
    struct weir_netdev dev;
    struct weir_pair *pair;
    struct weir_pair_slot slot[WEIR_PAIR_FRAMES]; /* what this end has sent and the other has not yet received */
    unsigned head, used;
    uint64_t line_free_us; /* when the last frame's last bit has left */
    struct weir_piece post[WEIR_PAIR_POSTS];
    unsigned n_post;
    struct weir_piece rx_pieces[WEIR_PAIR_POSTS];
    void *done[WEIR_PAIR_FRAMES * WEIR_FRAME_PIECES_MAX]; /* asynchronous: to be reaped */
    unsigned n_done;
    uint32_t want_bytes;
    uint32_t want_posts;
    uint8_t open;
};

struct weir_pair {
    struct weir_pair_conf conf;
    struct weir_pair_end end[2];
    uint8_t *memory;
};

/* Bytes of memory that a pair with this configuration needs for frames in flight; 0 for an invalid one. */
size_t weir_pair_bytes(const struct weir_pair_conf *);

/* Prepares both ends over the caller's memory (weir_pair_bytes, any alignment), which stays the caller's.
 * 0, or WEIR_EINVAL: a member is out of its range. */
int weir_pair_init(struct weir_pair *, const struct weir_pair_conf *, void *memory, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
