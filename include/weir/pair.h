/* pair.h: two devices joined by a simulated cable, in one process, in the time of their plat (virtual or
 * real).
 *
 * Each direction has a fixed delay, a rate and a bounded queue, so tests and examples need no operating
 * system. Synchronous ends copy a frame as it is sent; asynchronous ends hold its pieces until it was
 * delivered and report them by address, in an order that is not the order of sending.
 *
 * Both ends and everything that is stacked on them belong to one thread. */
#ifndef WEIR_PAIR_H
#define WEIR_PAIR_H

#include "weir/netdev.h"
#include "weir/posts.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_PAIR_FRAMES       64 /* frames in flight in one direction */
#define WEIR_PAIR_DONE         (WEIR_PAIR_FRAMES * WEIR_FRAME_PIECES_MAX) /* pieces of an end not yet reaped */
#define WEIR_PAIR_FRAME_MIN    60u
#define WEIR_PAIR_FRAME_MAX    65549u
#define WEIR_PAIR_DELAY_MAX_US 3600000000u /* an hour */

/* Offloads. An end offers to transmit only what the other end can receive at that moment: TX_CSUM wants the
 * other's RX_CSUM, TX_TSO4 wants RX_CSUM and RX_MERGE4. A wrapper that can't take such frames therefore
 * clears them in its lower device's caps before either end opens. */
struct weir_pair_conf {
    const struct weir_plat *plat;
    uint64_t delay_us;   /* one way, up to WEIR_PAIR_DELAY_MAX_US */
    uint64_t bits_per_s; /* 0: unlimited */
    uint32_t queue;      /* frames in flight in one direction, 1 to WEIR_PAIR_FRAMES */
    uint32_t max_frame;  /* bytes with all headers, WEIR_PAIR_FRAME_MIN to WEIR_PAIR_FRAME_MAX */
    uint16_t mtu;        /* 68 to 65,535 */
    uint16_t offloads;   /* enum weir_offload: the cable carries large segments and leaves checksums undone */
    uint8_t async;       /* both ends */
    uint8_t link;        /* enum weir_link; 0 means WEIR_LINK_ETHER */
    uint16_t max_pieces; /* 0 means WEIR_FRAME_PIECES_MAX */
    uint32_t max_piece_bytes; /* 0: no limit */
    uint32_t boundary;        /* a power of two; 0: none */
    uint32_t base_align;      /* a power of two; 0 means 1 */
};

struct weir_pair;

struct weir_pair_slot { /* one frame in flight; private */
    uint64_t due_us;
    struct weir_frame frame;
    struct weir_piece pieces[WEIR_FRAME_PIECES_MAX]; /* the sender's, or the one in the pair's memory */
};

/* Members are private but for `dev`. */
struct weir_pair_end {
    struct weir_netdev dev;
    struct weir_pair *pair;
    struct weir_pair_slot
        slot[WEIR_PAIR_FRAMES]; /* what this end has sent and the other has not yet received */
    unsigned head, used;
    uint8_t *copies;       /* synchronous: max_frame bytes for each slot */
    uint64_t line_free_ns; /* when the last frame's last bit has left */
    struct weir_posts posts;
    struct weir_piece rx_pieces[WEIR_POSTS_MAX];
    void *done[WEIR_PAIR_DONE]; /* asynchronous: to be reaped, last in first out */
    unsigned n_done;
    unsigned n_flying; /* asynchronous: pieces of the frames in flight */
    uint32_t rx_frame; /* the largest frame that can be received */
    uint16_t offered;  /* caps.offloads before open, for the next open */
    uint8_t open;
};

struct weir_pair {
    struct weir_pair_conf conf;
    struct weir_pair_end end[2];
};

/* Bytes of memory that a pair with this configuration needs for frames in flight (an asynchronous pair copies
 * nothing: 1); 0 for an invalid one. */
size_t weir_pair_bytes(const struct weir_pair_conf *);

/* Prepares both ends over the caller's memory (weir_pair_bytes, any alignment), which stays the caller's.
 * 0, or WEIR_EINVAL: a member is out of its range, or the memory is too small.
 *
 * An end whose other end is closed loses what it transmits (tx_dropped), and so are frames that break the
 * capabilities. Opening fails with WEIR_EBUSY if the end is open, and with WEIR_EINVAL if the buffers are too
 * small or the other end is open and transmits what env->offloads says cannot be received here. */
int weir_pair_init(struct weir_pair *, const struct weir_pair_conf *, void *memory, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
