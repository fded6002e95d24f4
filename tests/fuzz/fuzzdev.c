/* fuzzdev.c: see fuzzdev.h. */
#include "fuzzdev.h"

#include <string.h>

#include "fuzz.h"
#include "weir/err.h"

#define POST_BYTES 1536u /* the least of a posted buffer: a frame of MTU 1,500 in one piece */

static struct fuzzdev *self(struct weir_netdev *dev)
{
    return (struct fuzzdev *)(void *)dev; /* its first member */
}

static uint32_t sum_of(const uint8_t *p, uint32_t n)
{
    uint32_t sum = 2166136261u; /* FNV-1a */
    for (uint32_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 16777619u;
    return sum;
}

static int fuzzdev_open(struct weir_netdev *dev, const struct weir_netdev_env *env)
{
    struct fuzzdev *d = self(dev);
    d->want_bytes = 0;
    for (unsigned i = 0; i < env->n_zbuf_bytes && d->want_bytes == 0; i++)
        if (env->zbuf_bytes[i] >= POST_BYTES) d->want_bytes = env->zbuf_bytes[i];
    d->area = env->area;
    d->area_bytes = env->area_bytes;
    return d->want_bytes == 0 ? WEIR_EINVAL : 0;
}

/* ---- receiving ---- */

static uint32_t fuzzdev_rx_want(struct weir_netdev *dev)
{
    return self(dev)->n_post < self(dev)->want ? self(dev)->want_bytes : 0;
}

static int fuzzdev_rx_post(struct weir_netdev *dev, void *addr, uint32_t bytes)
{
    struct fuzzdev *d = self(dev);
    if (d->n_post >= d->want) return WEIR_EAGAIN;
    FUZZ_CHECK(bytes >= d->want_bytes);
    d->post[d->n_post++] = (struct weir_piece){.addr = addr, .bytes = bytes};
    return 0;
}

/* The pieces that a frame gets of the posted buffers from `used` on; how many, 0: they don't suffice. */
static unsigned cut(const struct fuzzdev *d, const struct fuzzdev_frame *f, unsigned used,
                    struct weir_piece *out)
{
    unsigned k = 0;
    for (uint32_t at = 0; at < f->n; k++) {
        if (used + k == d->n_post) return 0;
        const struct weir_piece *to = &d->post[used + k];
        uint32_t n = k < FUZZDEV_CUTS && f->cut[k] != 0 ? f->cut[k] : to->bytes;
        if (n > to->bytes) n = to->bytes;
        if (n > f->n - at) n = f->n - at;
        out[k] = (struct weir_piece){.addr = to->addr, .bytes = n};
        at += n;
    }
    return k;
}

static void fill(const struct fuzzdev_frame *f, const struct weir_piece *p, unsigned k)
{
    uint32_t at = 0;
    for (unsigned i = 0; i < k; at += p[i++].bytes)
        memcpy(p[i].addr, f->bytes + at, p[i].bytes);
}

/* A frame that waits for more buffers, not one for which there are never enough. */
static bool waits(const struct fuzzdev *d, unsigned pieces, unsigned used)
{
    return pieces == 0 && (used > 0 || d->n_post < d->want);
}

static unsigned fuzzdev_rx_burst(struct weir_netdev *dev, struct weir_frame *out, unsigned n)
{
    struct fuzzdev *d = self(dev);
    unsigned got = 0, used = 0;
    while (got < n && d->in_n > 0) {
        const struct fuzzdev_frame *f = &d->in[d->in_head];
        unsigned k = cut(d, f, used, &d->piece[used]);
        if (waits(d, k, used)) break;
        d->in_head = (d->in_head + 1) % FUZZDEV_INJECTED;
        d->in_n--;
        if (k == 0) { /* all that it ever has is not enough */
            dev->rx_dropped++;
            continue;
        }
        fill(f, &d->piece[used], k);
        out[got++] = (struct weir_frame){.pieces = &d->piece[used],
                                         .bytes = f->n,
                                         .n_pieces = (uint16_t)k,
                                         .flags = f->flags,
                                         .csum_start = f->csum_start,
                                         .csum_field = f->csum_field,
                                         .gso_bytes = f->gso_bytes,
                                         .hdr_bytes = f->hdr_bytes};
        used += k;
    }
    memmove(d->post, d->post + used, (d->n_post - used) * sizeof d->post[0]);
    d->n_post -= used;
    return got;
}

static unsigned fuzzdev_rx_unpost(struct weir_netdev *dev, void **addr, unsigned n)
{
    struct fuzzdev *d = self(dev);
    unsigned got = 0;
    while (got < n && d->n_post > 0)
        addr[got++] = d->post[--d->n_post].addr;
    return got;
}

struct fuzzdev_frame *fuzzdev_next(struct fuzzdev *d)
{
    if (d->in_n == FUZZDEV_INJECTED) return NULL;
    struct fuzzdev_frame *f = &d->in[(d->in_head + d->in_n) % FUZZDEV_INJECTED];
    f->n = 0;
    f->flags = f->csum_start = f->csum_field = f->gso_bytes = f->hdr_bytes = 0;
    memset(f->cut, 0, sizeof f->cut);
    return f;
}

void fuzzdev_queue(struct fuzzdev *d)
{
    struct fuzzdev_frame *f = &d->in[(d->in_head + d->in_n) % FUZZDEV_INJECTED];
    if (f->n > 0) d->in_n++;
}

/* ---- transmitting ---- */

static unsigned fuzzdev_tx_room(struct weir_netdev *dev)
{
    const struct fuzzdev *d = self(dev);
    if (!dev->caps.async) return d->room;
    unsigned fit = (FUZZDEV_HELD - d->n_held) / dev->caps.max_pieces;
    return fit < d->room ? fit : d->room;
}

static void check_piece(const struct fuzzdev *d, const struct weir_piece *p)
{
    const struct weir_netdev_caps *caps = &d->dev.caps;
    size_t at = (size_t)(p->addr - d->area);
    FUZZ_CHECK(p->bytes > 0 && at < d->area_bytes && p->bytes <= d->area_bytes - at);
    FUZZ_CHECK(caps->max_piece_bytes == 0 || p->bytes <= caps->max_piece_bytes);
    if (caps->boundary != 0)
        FUZZ_CHECK(((uintptr_t)p->addr & (caps->boundary - 1)) + p->bytes <= caps->boundary);
}

static void check_frame(const struct fuzzdev *d, const struct weir_frame *f)
{
    const struct weir_netdev_caps *caps = &d->dev.caps;
    uint32_t link = caps->link == WEIR_LINK_ETHER ? 14 : 0;
    bool large = (f->flags & WEIR_FRAME_TSO4) != 0;
    FUZZ_CHECK(f->n_pieces >= 1 && f->n_pieces <= caps->max_pieces);
    FUZZ_CHECK(f->bytes <= (large ? caps->max_frame : caps->mtu + link));
    FUZZ_CHECK(((uintptr_t)f->pieces[0].addr & (caps->base_align - 1)) == 0);
    FUZZ_CHECK(!large || ((caps->offloads & WEIR_OFF_TX_TSO4) && f->gso_bytes > 0));
    FUZZ_CHECK(!large || f->hdr_bytes + f->gso_bytes <= caps->mtu + link);
    FUZZ_CHECK(!(f->flags & WEIR_FRAME_CSUM_NEEDED) || (caps->offloads & WEIR_OFF_TX_CSUM));
}

static void send(struct fuzzdev *d, const struct weir_frame *f)
{
    uint32_t at = 0;
    check_frame(d, f);
    for (unsigned i = 0; i < f->n_pieces; i++) {
        const struct weir_piece *p = &f->pieces[i];
        check_piece(d, p);
        FUZZ_CHECK(p->bytes <= sizeof d->flat - at);
        memcpy(d->flat + at, p->addr, p->bytes);
        at += p->bytes;
        if (d->dev.caps.async)
            d->held[d->n_held++] = (struct fuzzdev_held){p->addr, p->bytes, sum_of(p->addr, p->bytes)};
    }
    FUZZ_CHECK(at == f->bytes);
    d->sink(d->ctx, d->flat, f);
}

static unsigned fuzzdev_tx_burst(struct weir_netdev *dev, const struct weir_frame *frames, unsigned n)
{
    struct fuzzdev *d = self(dev);
    unsigned room = fuzzdev_tx_room(dev), done = 0;
    for (; done < n && done < room; done++)
        send(d, &frames[done]);
    return done;
}

static unsigned fuzzdev_reap(struct weir_netdev *dev, void **addr, unsigned n)
{
    struct fuzzdev *d = self(dev);
    unsigned got = 0;
    while (got < n && d->n_held > 0 && d->give > 0) {
        unsigned i = d->give % 2 ? d->n_held - 1 : 0; /* in no order that anybody could rely on */
        FUZZ_CHECK(sum_of(d->held[i].addr, d->held[i].bytes) == d->held[i].sum);
        addr[got++] = d->held[i].addr;
        d->held[i] = d->held[--d->n_held];
        d->give--;
    }
    return got;
}

/* ---- the rest ---- */

static int fuzzdev_wait_handle(struct weir_netdev *dev)
{
    (void)dev;
    return -1;
}

static uint64_t fuzzdev_next_us(struct weir_netdev *dev)
{
    const struct fuzzdev *d = self(dev);
    struct weir_piece piece[FUZZDEV_POSTS];
    if (d->n_held > 0 && d->give > 0) return 0;
    return d->in_n == 0 || waits(d, cut(d, &d->in[d->in_head], 0, piece), 0) ? UINT64_MAX : 0;
}

static void fuzzdev_close(struct weir_netdev *dev)
{
    self(dev)->n_post = 0;
    self(dev)->n_held = 0;
}

static const struct weir_netdev_ops fuzzdev_ops = {
    .open = fuzzdev_open,
    .rx_want = fuzzdev_rx_want,
    .rx_post = fuzzdev_rx_post,
    .rx_burst = fuzzdev_rx_burst,
    .tx_room = fuzzdev_tx_room,
    .tx_burst = fuzzdev_tx_burst,
    .reap = fuzzdev_reap,
    .rx_unpost = fuzzdev_rx_unpost,
    .wait_handle = fuzzdev_wait_handle,
    .next_us = fuzzdev_next_us,
    .close = fuzzdev_close,
};

void fuzzdev_init(struct fuzzdev *d, const struct weir_netdev_caps *caps, fuzzdev_sink sink, void *ctx)
{
    memset(&d->dev, 0, sizeof d->dev);
    d->dev.ops = &fuzzdev_ops;
    d->dev.name = "fuzzdev";
    d->dev.caps = *caps;
    d->sink = sink;
    d->ctx = ctx;
    d->want = FUZZDEV_POSTS / 2;
    d->room = 64;
    d->give = ~0u;
    d->in_head = d->in_n = d->n_post = d->n_held = 0;
}
