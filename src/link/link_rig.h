/* link_rig.h: for tests: a device that writes down what it is given, with a zbuf pool and a burst above it.
 */
#ifndef WEIR_LINK_RIG_H
#define WEIR_LINK_RIG_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/order.h"
#include "mem/zfixture.h"
#include "netdev/txq.h"

#define RIG_LOG   64u
#define RIG_BYTES 66000u
#define RIG_BURST 8u

struct rig_frame {
    uint8_t bytes[RIG_BYTES];
    uint32_t len;
    struct weir_frame meta; /* its pieces are in `piece` */
    struct weir_piece piece[WEIR_FRAME_PIECES_MAX];
};

struct rig_dev {
    struct weir_netdev dev;
    unsigned room; /* frames that it still takes */
    uint32_t n;    /* frames sent so far; the last RIG_LOG are in the log */
    struct rig_frame log[RIG_LOG];
};

static inline unsigned rig_room(struct weir_netdev *d)
{
    return ((struct rig_dev *)d)->room;
}

static inline void rig_keep(struct rig_frame *l, const struct weir_frame *f)
{
    l->len = 0;
    l->meta = *f;
    l->meta.pieces = l->piece;
    for (unsigned i = 0; i < f->n_pieces; i++) {
        l->piece[i] = f->pieces[i];
        memcpy(l->bytes + l->len, f->pieces[i].addr, f->pieces[i].bytes);
        l->len += f->pieces[i].bytes;
    }
    if (l->len != f->bytes) zfixture_die("a frame's bytes are not the sum of its pieces'");
}

static inline unsigned rig_burst(struct weir_netdev *dev, const struct weir_frame *f, unsigned n)
{
    struct rig_dev *d = (struct rig_dev *)dev;
    unsigned taken = n < d->room ? n : d->room;
    for (unsigned i = 0; i < taken; i++)
        rig_keep(&d->log[d->n++ % RIG_LOG], &f[i]);
    d->room -= taken;
    return taken;
}

static inline unsigned rig_reap(struct weir_netdev *d, void **addr, unsigned n)
{
    (void)d;
    (void)addr;
    (void)n;
    return 0;
}

static inline void rig_dev_init(struct rig_dev *d)
{
    static const struct weir_netdev_ops ops = {.tx_room = rig_room, .tx_burst = rig_burst, .reap = rig_reap};
    memset(d, 0, sizeof(*d));
    d->dev.ops = &ops;
    d->dev.name = "rig";
    d->dev.caps.max_pieces = WEIR_FRAME_PIECES_MAX;
    d->dev.caps.mtu = 1500;
    d->dev.caps.max_frame = 65549;
    d->dev.caps.base_align = 1;
    d->dev.caps.link = WEIR_LINK_ETHER;
    d->room = 1000000;
}

struct rig_queue {
    struct weir_frame frame[RIG_BURST];
    struct weir_piece piece[WEIR_TXQ_PIECES(RIG_BURST)];
};

/* The frame that was sent `back` frames ago, 0: the last. */
static inline const struct rig_frame *rig_sent(const struct rig_dev *d, uint32_t back)
{
    if (back >= d->n || back >= RIG_LOG) zfixture_die("no such frame was sent");
    return &d->log[(d->n - 1 - back) % RIG_LOG];
}

#endif
