/* netdev.h: the driver's contract. A device reads frames out of the pieces it is handed and writes received
 * frames into the buffers that were posted to it. It never allocates a zbuf and never calls the stack.
 *
 * Threads: a device is used by the thread that uses its instance. Time and memory: a device's own state lies
 * in its caller's memory (complete types in tap.h, pair.h, fault.h, trace.h). Wrappers hold a lower device
 * and narrow its capabilities before it opens. */
#ifndef WEIR_NETDEV_H
#define WEIR_NETDEV_H

#include <stddef.h>
#include <stdint.h>

#include "weir/plat.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_FRAME_PIECES_MAX                                                                                \
    48                           /* pieces of one frame, either way; a device's max_pieces is at most this   \
                                  */
#define WEIR_NETDEV_ZSIZES_MAX 8 /* sizes of zbufs that a device can be offered */

/* Bytes that lie together. */
struct weir_piece {
    uint8_t *addr;
    uint32_t bytes;
};

/* What a device can do with a frame (capabilities), and what open asks of it. */
enum weir_offload {
    WEIR_OFF_TX_CSUM = 1,  /* finishes the transport checksum on the way out */
    WEIR_OFF_TX_TSO4 = 2,  /* cuts a large TCP/IPv4 segment; implies WEIR_OFF_TX_CSUM */
    WEIR_OFF_RX_CSUM = 4,  /* says which received frames have a good transport checksum */
    WEIR_OFF_RX_MERGE4 = 8 /* may deliver merged TCP/IPv4 segments up to max_frame */
};

enum weir_frame_flag {
    WEIR_FRAME_CSUM_NEEDED =
        1, /* the transport checksum field holds the pseudo-header's sum; tx: the device finishes
              it; rx: the sender left it to its device, the contents are to be trusted */
    WEIR_FRAME_CSUM_GOOD = 2, /* rx: the device has verified the transport checksum */
    WEIR_FRAME_TSO4 = 4       /* tx: cut into segments of gso_bytes payload; rx: was merged from such */
};

/* One frame, in pieces. On transmit the array and the bytes belong to the caller; on receive the array
 * belongs to the device until its next rx_burst and the bytes to whoever posted them. */
struct weir_frame {
    struct weir_piece *pieces;
    uint32_t bytes; /* sum over the pieces */
    uint16_t n_pieces;
    uint16_t flags; /* enum weir_frame_flag */
    uint16_t
        csum_start; /* with CSUM_NEEDED: offset in the frame where the sum starts (the transport header) */
    uint16_t csum_field; /* with CSUM_NEEDED: offset of the checksum field from csum_start */
    uint16_t gso_bytes;  /* with TSO4: payload bytes of each segment */
    uint16_t hdr_bytes;  /* with TSO4: all headers, from the frame's first byte */
};

enum weir_link { WEIR_LINK_ETHER = 1, WEIR_LINK_RAW_IP = 2 };

/* Known before open; open may only narrow them, and close puts back what open took of the offloads. */
struct weir_netdev_caps {
    uint16_t max_pieces;      /* of one transmitted frame, 1 to WEIR_FRAME_PIECES_MAX */
    uint16_t mtu;             /* bytes of an IP packet that is not cut by the device */
    uint32_t max_piece_bytes; /* of a transmitted piece */
    uint32_t boundary;        /* a transmitted piece crosses no multiple of this power of two; 0: none */
    uint32_t max_frame;       /* bytes of the largest frame with all headers, either way */
    uint32_t rx_unit;    /* > 0: every posted buffer is at least this large and a piece is never larger */
    uint32_t base_align; /* alignment of a transmitted frame's first byte, a power of two, 1: any */
    uint8_t link;        /* enum weir_link */
    uint8_t async;       /* 1: holds transmitted pieces until reap reports their addresses */
    uint16_t offloads;   /* enum weir_offload */
    uint8_t mac[6];      /* of this end; all zero: the stack chooses one */
};

/* What open is told. */
struct weir_netdev_env {
    void *area; /* all memory from which pieces and posted buffers will come */
    size_t area_bytes;
    const struct weir_plat *plat;
    uint32_t zbuf_bytes[WEIR_NETDEV_ZSIZES_MAX]; /* sizes of zbufs that can be posted, ascending */
    unsigned n_zbuf_bytes;
    unsigned rx_frames; /* frames a burst that the stack would like to receive, >= 1 */
    uint16_t offloads;  /* what the stack can use; the device offers at most these */
};

struct weir_netdev;

struct weir_netdev_ops {
    /* Takes whatever the device needs of the system. 0, or WEIR_ENODEV, WEIR_EPERM, WEIR_EBUSY, WEIR_EIO,
     * WEIR_EINVAL (env can't satisfy the device: its zbufs are too small); nothing is left behind then. */
    int (*open)(struct weir_netdev *, const struct weir_netdev_env *);

    /* How many bytes the next posted buffer should have (one of env's sizes), 0: nothing more is wanted now.
     */
    uint32_t (*rx_want)(struct weir_netdev *);

    /* Gives a buffer of at least the wanted bytes to the device. 0, or WEIR_EAGAIN if it has no place for it
     * and WEIR_EINVAL if the buffer breaks the device's rules; the buffer stays the caller's then. */
    int (*rx_post)(struct weir_netdev *, void *addr, uint32_t bytes);

    /* Up to n received frames. The posted buffers that they lie in are no longer the device's: pieces begin
     * at the address that was posted, in any order of posting. A device whose posted buffers could cut a
     * frame receives none until enough are posted. Never blocks. */
    unsigned (*rx_burst)(struct weir_netdev *, struct weir_frame *out, unsigned n);

    /* Frames that tx_burst would accept now. */
    unsigned (*tx_room)(struct weir_netdev *);

    /* Transmits frames in order; how many were accepted. A synchronous device holds nothing after it returns;
     * an asynchronous one holds each piece of the accepted frames until reap. Never blocks. */
    unsigned (*tx_burst)(struct weir_netdev *, const struct weir_frame *frames, unsigned n);

    /* Up to n addresses of pieces (as they were transmitted, once a piece) that the device holds no longer,
     * in any order. Synchronous devices return 0. */
    unsigned (*reap)(struct weir_netdev *, void **addr, unsigned n);

    /* Takes posted buffers back, for closing: up to n addresses. 0 when none is left. */
    unsigned (*rx_unpost)(struct weir_netdev *, void **addr, unsigned n);

    /* A handle for weir_plat.watch, readable when rx_burst or reap has work; negative: none. */
    int (*wait_handle)(struct weir_netdev *);

    /* When the device has work at a known time (simulated devices): that time in microseconds of
     * weir_plat.now_us, UINT64_MAX: not known. May be NULL, which means not known. */
    uint64_t (*next_us)(struct weir_netdev *);

    /* Gives everything back to the system. Pieces and posted buffers that it still held are its caller's
     * again. */
    void (*close)(struct weir_netdev *);
};

/* First member of every device. */
struct weir_netdev {
    const struct weir_netdev_ops *ops;
    struct weir_netdev_caps caps;
    const char *name;    /* for messages and statistics */
    uint64_t tx_dropped; /* frames that were accepted and then lost by the device itself */
    uint64_t rx_dropped; /* frames that arrived and were lost before rx_burst */
    uint64_t calls_in;   /* calls into the operating system to receive */
    uint64_t calls_out;  /* the same to transmit */
    char error[160];     /* after a failed open, or when the device has gone for good since: one sentence with
                            the remedy, or "" */
};

#ifdef __cplusplus
}
#endif
#endif
