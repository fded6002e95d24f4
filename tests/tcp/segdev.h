/* segdev.h: a synchronous network device for scripts: frames that the script injects are received, frames
 * that the stack transmits are handed to the script at once. It is not a cable: there is no delay, no rate
 * and no other end.
 *
 * All state lies in the struct, which holds the injected frames too. Single-threaded. */
#ifndef WEIR_TEST_SEGDEV_H
#define WEIR_TEST_SEGDEV_H

#include <stdbool.h>

#include "weir/netdev.h"

#define SEGDEV_FRAME_BYTES 1536u /* an Ethernet frame of MTU 1,500 with room for junk behind it */
#define SEGDEV_INJECTED    128u  /* frames that wait to be received */
#define SEGDEV_POSTS       32u
#define SEGDEV_ROOM        64u

struct segdev_frame {
    uint8_t bytes[SEGDEV_FRAME_BYTES];
    uint32_t n;
};

/* Called for each transmitted frame, inside tx_burst: it must not call the stack. */
typedef void (*segdev_sink)(void *ctx, const uint8_t *frame, uint32_t n);

struct segdev {
    struct weir_netdev dev;
    segdev_sink sink;
    void *ctx;
    struct segdev_frame in[SEGDEV_INJECTED];
    unsigned in_head, in_n;
    struct weir_piece post[SEGDEV_POSTS];
    unsigned n_post;
    struct weir_piece piece[SEGDEV_POSTS]; /* of the frames last received */
    uint32_t want_bytes;
    unsigned room; /* frames that a burst may have; a script lowers it to make the device refuse */
};

void segdev_init(struct segdev *, const uint8_t mac[6], uint16_t mtu, segdev_sink, void *ctx);

/* Queues a frame for rx_burst. false: too long, or SEGDEV_INJECTED frames wait already. */
bool segdev_inject(struct segdev *, const uint8_t *frame, uint32_t n);

#endif
