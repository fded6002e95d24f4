#include "segdev.h"

#include <string.h>

#include "weir/err.h"

static struct segdev *self(struct weir_netdev *dev)
{
    return (struct segdev *)(void *)dev; /* its first member */
}

static int segdev_open(struct weir_netdev *dev, const struct weir_netdev_env *env)
{
    struct segdev *d = self(dev);
    d->want_bytes = 0;
    for (unsigned i = 0; i < env->n_zbuf_bytes && d->want_bytes == 0; i++)
        if (env->zbuf_bytes[i] >= SEGDEV_FRAME_BYTES) d->want_bytes = env->zbuf_bytes[i];
    return d->want_bytes == 0 ? WEIR_EINVAL : 0;
}

static uint32_t segdev_rx_want(struct weir_netdev *dev)
{
    return self(dev)->n_post < SEGDEV_POSTS ? self(dev)->want_bytes : 0;
}

static int segdev_rx_post(struct weir_netdev *dev, void *addr, uint32_t bytes)
{
    struct segdev *d = self(dev);
    if (d->n_post == SEGDEV_POSTS) return WEIR_EAGAIN;
    if (bytes < d->want_bytes) return WEIR_EINVAL;
    d->post[d->n_post++] = (struct weir_piece){.addr = addr, .bytes = bytes};
    return 0;
}

static unsigned segdev_rx_burst(struct weir_netdev *dev, struct weir_frame *out, unsigned n)
{
    struct segdev *d = self(dev);
    unsigned got = 0;
    while (got < n && got < d->n_post && d->in_n > 0) {
        const struct segdev_frame *f = &d->in[d->in_head];
        d->piece[got] = (struct weir_piece){.addr = d->post[got].addr, .bytes = f->n};
        memcpy(d->piece[got].addr, f->bytes, f->n);
        out[got] = (struct weir_frame){.pieces = &d->piece[got], .bytes = f->n, .n_pieces = 1};
        d->in_head = (d->in_head + 1) % SEGDEV_INJECTED;
        d->in_n--;
        got++;
    }
    memmove(d->post, d->post + got, (d->n_post - got) * sizeof d->post[0]);
    d->n_post -= got;
    return got;
}

static unsigned segdev_tx_room(struct weir_netdev *dev)
{
    return self(dev)->room;
}

static unsigned segdev_tx_burst(struct weir_netdev *dev, const struct weir_frame *frames, unsigned n)
{
    struct segdev *d = self(dev);
    unsigned done = 0;
    for (; done < n && done < d->room; done++) {
        uint8_t flat[SEGDEV_FRAME_BYTES];
        uint32_t at = 0;
        for (unsigned p = 0; p < frames[done].n_pieces; p++) {
            const struct weir_piece *piece = &frames[done].pieces[p];
            if (piece->bytes > sizeof flat - at) {
                dev->tx_dropped++;
                break;
            }
            memcpy(flat + at, piece->addr, piece->bytes);
            at += piece->bytes;
        }
        d->sink(d->ctx, flat, at);
    }
    return done;
}

static unsigned segdev_reap(struct weir_netdev *dev, void **addr, unsigned n)
{
    (void)dev, (void)addr, (void)n;
    return 0;
}

static unsigned segdev_rx_unpost(struct weir_netdev *dev, void **addr, unsigned n)
{
    struct segdev *d = self(dev);
    unsigned got = 0;
    while (got < n && d->n_post > 0)
        addr[got++] = d->post[--d->n_post].addr;
    return got;
}

static int segdev_wait_handle(struct weir_netdev *dev)
{
    (void)dev;
    return -1;
}

static uint64_t segdev_next_us(struct weir_netdev *dev)
{
    return self(dev)->in_n > 0 ? 0 : UINT64_MAX;
}

static void segdev_close(struct weir_netdev *dev)
{
    self(dev)->n_post = 0;
}

static const struct weir_netdev_ops segdev_ops = {
    .open = segdev_open,
    .rx_want = segdev_rx_want,
    .rx_post = segdev_rx_post,
    .rx_burst = segdev_rx_burst,
    .tx_room = segdev_tx_room,
    .tx_burst = segdev_tx_burst,
    .reap = segdev_reap,
    .rx_unpost = segdev_rx_unpost,
    .wait_handle = segdev_wait_handle,
    .next_us = segdev_next_us,
    .close = segdev_close,
};

void segdev_init(struct segdev *d, const uint8_t mac[6], uint16_t mtu, segdev_sink sink, void *ctx)
{
    memset(d, 0, sizeof *d);
    d->dev.ops = &segdev_ops;
    d->dev.name = "segdev";
    d->dev.caps = (struct weir_netdev_caps){.max_pieces = WEIR_FRAME_PIECES_MAX,
                                            .mtu = mtu,
                                            .max_piece_bytes = 65535,
                                            .max_frame = (uint32_t)mtu + 14u,
                                            .base_align = 1,
                                            .link = WEIR_LINK_ETHER};
    memcpy(d->dev.caps.mac, mac, 6);
    d->room = SEGDEV_ROOM;
    d->sink = sink;
    d->ctx = ctx;
}

bool segdev_inject(struct segdev *d, const uint8_t *frame, uint32_t n)
{
    if (n > SEGDEV_FRAME_BYTES || d->in_n == SEGDEV_INJECTED) return false;
    struct segdev_frame *f = &d->in[(d->in_head + d->in_n) % SEGDEV_INJECTED];
    memcpy(f->bytes, frame, n);
    f->n = n;
    d->in_n++;
    return true;
}
