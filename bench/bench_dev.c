/* bench_dev.c: see bench_dev.h. */
#include "bench_dev.h"

#include <string.h>

#include "bench.h"
#include "weir/err.h"

#define MTU         1500u
#define ETHER_BYTES 14u
#define SMALL_BYTES 1536u

static struct bench_dev *self(struct weir_netdev *dev)
{
    return (struct bench_dev *)(void *)dev; /* its first member */
}

static int dev_open(struct weir_netdev *dev, const struct weir_netdev_env *env)
{
    struct bench_dev *d = self(dev);
    d->want_bytes = 0;
    for (unsigned i = 0; i < env->n_zbuf_bytes && d->want_bytes == 0; i++)
        if (env->zbuf_bytes[i] >= d->least_bytes) d->want_bytes = env->zbuf_bytes[i];
    dev->caps.offloads &= env->offloads;
    return d->want_bytes == 0 ? WEIR_EINVAL : 0;
}

static uint32_t dev_rx_want(struct weir_netdev *dev)
{
    return self(dev)->posted < self(dev)->posts_max ? self(dev)->want_bytes : 0;
}

static int dev_rx_post(struct weir_netdev *dev, void *addr, uint32_t bytes)
{
    struct bench_dev *d = self(dev);
    if (d->posted == BENCH_POSTS) return WEIR_EAGAIN;
    d->post[(d->head + d->posted++) % BENCH_POSTS] = (struct weir_piece){addr, bytes};
    return 0;
}

static unsigned dev_rx_burst(struct weir_netdev *dev, struct weir_frame *out, unsigned n)
{
    struct bench_dev *d = self(dev);
    unsigned got = 0;
    bench_pause();
    for (; got < n && d->filled > 0; got++, d->filled--, d->posted--, d->head++) {
        unsigned at = d->head % BENCH_POSTS;
        out[got] = d->frame[at];
        d->piece[got] = (struct weir_piece){d->post[at].addr, out[got].bytes};
        out[got].pieces = &d->piece[got];
    }
    bench_resume();
    return got;
}

static unsigned dev_tx_room(struct weir_netdev *dev)
{
    (void)dev;
    return BENCH_POSTS;
}

static unsigned dev_tx_burst(struct weir_netdev *dev, const struct weir_frame *f, unsigned n)
{
    bench_pause();
    for (unsigned i = 0; i < n; i++)
        peer_take(self(dev)->peer, f[i].pieces[0].addr, f[i].pieces[0].bytes, f[i].bytes);
    bench_resume();
    return n;
}

static unsigned dev_reap(struct weir_netdev *dev, void **addr, unsigned n)
{
    (void)dev, (void)addr, (void)n;
    return 0;
}

static unsigned dev_rx_unpost(struct weir_netdev *dev, void **addr, unsigned n)
{
    struct bench_dev *d = self(dev);
    unsigned got = 0;
    while (got < n && d->posted > 0)
        addr[got++] = d->post[(d->head + --d->posted) % BENCH_POSTS].addr;
    d->filled = 0;
    return got;
}

static int dev_wait_handle(struct weir_netdev *dev)
{
    (void)dev;
    return 0; /* the wait of the counted platform ends when there are frames */
}

static void dev_close(struct weir_netdev *dev)
{
    self(dev)->posted = self(dev)->filled = 0;
}

static const struct weir_netdev_ops ops = {
    .open = dev_open,
    .rx_want = dev_rx_want,
    .rx_post = dev_rx_post,
    .rx_burst = dev_rx_burst,
    .tx_room = dev_tx_room,
    .tx_burst = dev_tx_burst,
    .reap = dev_reap,
    .rx_unpost = dev_rx_unpost,
    .wait_handle = dev_wait_handle,
    .close = dev_close,
};

void bench_dev_init(struct bench_dev *d, struct peer *peer, uint16_t offloads)
{
    bool merge = (offloads & WEIR_OFF_RX_MERGE4) != 0, large = merge || (offloads & WEIR_OFF_TX_TSO4) != 0;
    memset(d, 0, sizeof *d);
    d->dev.ops = &ops;
    d->dev.name = "bench";
    d->dev.caps = (struct weir_netdev_caps){.max_pieces = WEIR_FRAME_PIECES_MAX,
                                            .mtu = MTU,
                                            .max_piece_bytes = PEER_FRAME_BYTES,
                                            .max_frame = (large ? 65535u : MTU) + ETHER_BYTES,
                                            .base_align = 1,
                                            .link = WEIR_LINK_ETHER,
                                            .offloads = offloads};
    memcpy(d->dev.caps.mac, peer_server_mac, 6);
    d->peer = peer;
    d->least_bytes = merge ? PEER_FRAME_BYTES : SMALL_BYTES;
    d->posts_max = merge ? BENCH_POSTS / 4 : BENCH_POSTS;
}

void bench_dev_fill(struct bench_dev *d)
{
    while (d->filled < d->posted && peer_next(d->peer)) {
        unsigned at = (d->head + d->filled++) % BENCH_POSTS;
        struct weir_frame f = {.bytes = d->peer->frame_bytes, .n_pieces = 1};
        if (d->dev.caps.offloads & WEIR_OFF_RX_CSUM) f.flags = WEIR_FRAME_CSUM_GOOD;
        if (d->peer->gso_bytes > 0) {
            f.flags |= WEIR_FRAME_TSO4;
            f.gso_bytes = d->peer->gso_bytes;
            f.hdr_bytes = d->peer->hdr_bytes;
        }
        memcpy(d->post[at].addr, d->peer->frame, f.bytes);
        d->frame[at] = f;
    }
}
