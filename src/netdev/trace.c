/* trace.c: a wrapper that writes every frame to a pcap file.
 *
 * The format: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html, in the machine's byte order,
 * with the magic number of nanosecond stamps. Received frames are written when rx_burst returns them,
 * transmitted ones when the lower device has accepted them (their bytes are still the caller's or the
 * device's, so they are unchanged).
 *
 * A checksum left undone would make every reader complain, so it is summed over the pieces and written in its
 * place:
 *
 *      bytes of the frame:   [0 .. field)   field, field + 1   (field + 2 .. end)
 *      written:               from pieces    the checksum       from pieces
 *
 * All state is counters; the capabilities are the lower device's, copied after its open. */
#include "weir/trace.h"

#include <stdbool.h>
#include <string.h>

#include "base/bits.h"
#include "base/csum.h"
#include "base/order.h"
#include "weir/err.h"

#define MAGIC_NS       0xA1B23C4Du
#define SNAP_MAX       262144u
#define LINKTYPE_ETHER 1u
#define LINKTYPE_RAW   101u
#define UDP_FIELD      6u /* where UDP's checksum lies */

struct file_header {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t reserved[2];
    uint32_t snap_bytes;
    uint32_t linktype;
};

struct frame_header {
    uint32_t s, ns;
    uint32_t written, bytes;
};

static struct weir_trace *trace_of(struct weir_netdev *dev)
{
    return (struct weir_trace *)(void *)dev;
}

/* ---- the file ---- */

static void put(struct weir_trace *t, const void *bytes, size_t n)
{
    if (t->failed || n == 0) return;
    int err = t->sink(t->sink_ctx, bytes, n);
    if (err < 0) t->failed = err;
}

static uint32_t snap(const struct weir_trace *t)
{
    return t->snap_bytes && t->snap_bytes < SNAP_MAX ? t->snap_bytes : SNAP_MAX;
}

static void begin(struct weir_trace *t)
{
    if (t->begun) return;
    struct file_header h = {.magic = MAGIC_NS,
                            .major = 2,
                            .minor = 4,
                            .snap_bytes = snap(t),
                            .linktype = t->dev.caps.link == WEIR_LINK_ETHER ? LINKTYPE_ETHER : LINKTYPE_RAW};
    put(t, &h, sizeof h);
    t->begun = 1;
}

/* Writes bytes [from, to) of a frame. */
static void put_range(struct weir_trace *t, const struct weir_frame *f, uint32_t from, uint32_t to)
{
    uint32_t at = 0;
    for (unsigned i = 0; i < f->n_pieces && at < to; i++) {
        const struct weir_piece *p = &f->pieces[i];
        uint32_t a = weir_max_u32(from, at), b = weir_min_u32(to, at + p->bytes);
        if (a < b) put(t, p->addr + (a - at), b - a);
        at += p->bytes;
    }
}

/* The checksum of everything from `from` on. Its field holds the pseudo-header's sum, so nothing is to be
 * added. */
static uint16_t sum_from(const struct weir_frame *f, uint32_t from)
{
    uint64_t sum = 0;
    uint32_t at = 0;
    for (unsigned i = 0; i < f->n_pieces; i++) {
        const struct weir_piece *p = &f->pieces[i];
        uint32_t a = weir_max_u32(from, at), b = at + p->bytes;
        if (a < b) sum = weir_csum_add(sum, p->addr + (a - at), b - a, (a - from) & 1);
        at += p->bytes;
    }
    uint16_t csum = weir_csum_done(sum);
    return csum == 0 && f->csum_field == UDP_FIELD ? 0xFFFF : csum; /* RFC 768: 0 means that there is none */
}

static void put_bytes(struct weir_trace *t, const struct weir_frame *f, uint32_t n)
{
    uint32_t field = (uint32_t)f->csum_start + f->csum_field;
    if (!(f->flags & WEIR_FRAME_CSUM_NEEDED) || field + 2 > f->bytes) {
        put_range(t, f, 0, n);
        return;
    }
    uint8_t csum[2];
    weir_put_be16(csum, sum_from(f, f->csum_start));
    put_range(t, f, 0, weir_min_u32(field, n));
    if (n > field) put(t, csum, weir_min_u32(n - field, 2));
    put_range(t, f, field + 2, n);
}

static void put_frame(struct weir_trace *t, const struct weir_frame *f)
{
    if (t->failed) return;
    uint64_t now = t->plat->now_us(t->plat->ctx);
    uint32_t n = weir_min_u32(f->bytes, snap(t));
    struct frame_header h = {(uint32_t)(now / 1000000), (uint32_t)(now % 1000000) * 1000, n, f->bytes};
    put(t, &h, sizeof h);
    put_bytes(t, f, n);
    if (!t->failed) t->frames++;
}

/* ---- the device ---- */

static void mirror(struct weir_trace *t)
{
    t->dev.calls_in = t->lower->calls_in;
    t->dev.calls_out = t->lower->calls_out;
    t->dev.tx_dropped = t->lower->tx_dropped;
    t->dev.rx_dropped = t->lower->rx_dropped;
}

static int trace_open(struct weir_netdev *dev, const struct weir_netdev_env *env)
{
    struct weir_trace *t = trace_of(dev);
    t->lower->caps.offloads &= dev->caps.offloads; /* what a wrapper above has cleared */
    int err = t->lower->ops->open(t->lower, env);
    memcpy(dev->error, t->lower->error, sizeof dev->error);
    if (err) return err;
    dev->caps = t->lower->caps;
    begin(t);
    return 0;
}

static void trace_close(struct weir_netdev *dev)
{
    struct weir_trace *t = trace_of(dev);
    t->lower->ops->close(t->lower);
    dev->caps = t->lower->caps;
    mirror(t);
}

static uint32_t trace_rx_want(struct weir_netdev *dev)
{
    struct weir_netdev *lower = trace_of(dev)->lower;
    return lower->ops->rx_want(lower);
}

static int trace_rx_post(struct weir_netdev *dev, void *addr, uint32_t bytes)
{
    struct weir_netdev *lower = trace_of(dev)->lower;
    return lower->ops->rx_post(lower, addr, bytes);
}

static unsigned trace_rx_unpost(struct weir_netdev *dev, void **addr, unsigned n)
{
    struct weir_netdev *lower = trace_of(dev)->lower;
    return lower->ops->rx_unpost(lower, addr, n);
}

static unsigned trace_rx_burst(struct weir_netdev *dev, struct weir_frame *out, unsigned n)
{
    struct weir_trace *t = trace_of(dev);
    unsigned got = t->lower->ops->rx_burst(t->lower, out, n);
    for (unsigned i = 0; i < got; i++)
        put_frame(t, &out[i]);
    mirror(t);
    return got;
}

static unsigned trace_tx_room(struct weir_netdev *dev)
{
    struct weir_netdev *lower = trace_of(dev)->lower;
    return lower->ops->tx_room(lower);
}

static unsigned trace_tx_burst(struct weir_netdev *dev, const struct weir_frame *frames, unsigned n)
{
    struct weir_trace *t = trace_of(dev);
    unsigned taken = t->lower->ops->tx_burst(t->lower, frames, n);
    for (unsigned i = 0; i < taken; i++)
        put_frame(t, &frames[i]);
    mirror(t);
    return taken;
}

static unsigned trace_reap(struct weir_netdev *dev, void **addr, unsigned n)
{
    struct weir_netdev *lower = trace_of(dev)->lower;
    return lower->ops->reap(lower, addr, n);
}

static int trace_wait_handle(struct weir_netdev *dev)
{
    struct weir_netdev *lower = trace_of(dev)->lower;
    return lower->ops->wait_handle(lower);
}

static uint64_t trace_next_us(struct weir_netdev *dev)
{
    struct weir_netdev *lower = trace_of(dev)->lower;
    return lower->ops->next_us ? lower->ops->next_us(lower) : UINT64_MAX;
}

static const struct weir_netdev_ops TRACE_OPS = {
    .open = trace_open,
    .rx_want = trace_rx_want,
    .rx_post = trace_rx_post,
    .rx_burst = trace_rx_burst,
    .tx_room = trace_tx_room,
    .tx_burst = trace_tx_burst,
    .reap = trace_reap,
    .rx_unpost = trace_rx_unpost,
    .wait_handle = trace_wait_handle,
    .next_us = trace_next_us,
    .close = trace_close,
};

void weir_trace_init(struct weir_trace *t, struct weir_netdev *lower, const struct weir_plat *plat,
                     weir_trace_sink sink, void *sink_ctx)
{
    memset(t, 0, sizeof *t);
    t->dev.ops = &TRACE_OPS;
    t->dev.name = lower->name;
    t->dev.caps = lower->caps;
    t->lower = lower;
    t->plat = plat;
    t->sink = sink;
    t->sink_ctx = sink_ctx;
}
