/* fuzzdev.h: a network device whose every freedom is a fuzzer's: where received frames are cut into pieces,
 * what offloads it claims, how much room it has, when it gives transmitted pieces back. tests/tcp/segdev.h is
 * the plain one: frames in one piece of at most an MTU.
 *
 * It holds the stack to its side of netdev.h: transmitted pieces lie in the instance's memory and keep the
 * device's limits, a burst fits the room that was told, and what an asynchronous device holds is not changed
 * before it is given back. All state lies in the struct. Single-threaded. */
#ifndef WEIR_FUZZDEV_H
#define WEIR_FUZZDEV_H

#include <stdbool.h>

#include "weir/netdev.h"

#define FUZZDEV_FRAME_BYTES 16384u /* largest frame, either way */
#define FUZZDEV_INJECTED    24u    /* frames that wait to be received */
#define FUZZDEV_POSTS       16u
#define FUZZDEV_CUTS        6u   /* pieces of one received frame whose length is chosen */
#define FUZZDEV_HELD        512u /* transmitted pieces that an asynchronous device holds */

/* A frame to be received. */
struct fuzzdev_frame {
    uint8_t bytes[FUZZDEV_FRAME_BYTES];
    uint32_t n;
    uint16_t flags, csum_start, csum_field, gso_bytes, hdr_bytes; /* as in struct weir_frame */
    uint16_t cut[FUZZDEV_CUTS]; /* bytes of the first pieces, 0: as many as the posted buffer takes */
};

/* Called for each transmitted frame, inside tx_burst, with its bytes in one piece: it must not call the
 * stack. */
typedef void (*fuzzdev_sink)(void *ctx, const uint8_t *bytes, const struct weir_frame *frame);

struct fuzzdev_held {
    uint8_t *addr;
    uint32_t bytes, sum;
};

struct fuzzdev {
    struct weir_netdev dev;
    fuzzdev_sink sink;
    void *ctx;
    const uint8_t *area; /* what pieces must lie in */
    size_t area_bytes;
    uint32_t want_bytes;
    unsigned want; /* posted buffers that it asks for, up to FUZZDEV_POSTS */
    unsigned room; /* frames that a burst may have */
    unsigned give; /* pieces that reap may report, of the held ones */

    struct fuzzdev_frame in[FUZZDEV_INJECTED];
    unsigned in_head, in_n;
    struct weir_piece post[FUZZDEV_POSTS];
    unsigned n_post;
    struct weir_piece piece[FUZZDEV_POSTS]; /* of the frames last received */
    struct fuzzdev_held held[FUZZDEV_HELD];
    unsigned n_held;
    uint8_t flat[FUZZDEV_FRAME_BYTES];
};

/* caps as of struct weir_netdev; the rest is generous until somebody lowers it. */
void fuzzdev_init(struct fuzzdev *, const struct weir_netdev_caps *, fuzzdev_sink, void *ctx);

/* The place of the next frame to be received, empty; NULL: too many wait. It is queued by fuzzdev_queue. */
struct fuzzdev_frame *fuzzdev_next(struct fuzzdev *);
void fuzzdev_queue(struct fuzzdev *);

#endif
