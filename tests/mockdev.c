/* mockdev.c: the watching device. Every check names what was broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "mockdev.h"

#define ETHER_BYTES 14u

static void check(struct mockdev *m, bool kept, const char *what)
{
    if (kept) return;
    if (!m->record) fail_msg("a device was misused: %s", what);
    if (!m->broken) m->broken = what;
}

static struct mockdev *mock_of(struct weir_netdev *dev)
{
    return (struct mockdev *)(void *)dev;
}

static uint32_t below(struct mockdev *m, uint32_t n)
{
    m->rng = m->rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(m->rng >> 33) % n;
}

static bool inside_area(const struct mockdev *m, const uint8_t *p, uint32_t bytes)
{
    uintptr_t at = (uintptr_t)p - (uintptr_t)m->env.area;
    return !m->env.area || (at < m->env.area_bytes && bytes <= m->env.area_bytes - at);
}

static void mirror(struct mockdev *m)
{
    m->dev.tx_dropped = m->lower->tx_dropped;
    m->dev.rx_dropped = m->lower->rx_dropped;
}

/* ---- transmit ---- */

static void check_piece(struct mockdev *m, const struct weir_piece *p)
{
    const struct weir_netdev_caps *c = &m->dev.caps;
    check(m, p->bytes > 0, "an empty piece");
    check(m, p->bytes <= c->max_piece_bytes, "a piece above max_piece_bytes");
    check(m,
          c->boundary == 0 ||
              (uintptr_t)p->addr / c->boundary == ((uintptr_t)p->addr + p->bytes - 1) / c->boundary,
          "a piece crosses a boundary");
    check(m, inside_area(m, p->addr, p->bytes), "a piece outside the area");
    for (unsigned i = 0; i < m->n_post; i++)
        check(m, p->addr + p->bytes <= m->post[i].addr || m->post[i].addr + m->post[i].bytes <= p->addr,
              "a piece in a posted buffer");
}

static void check_flags(struct mockdev *m, const struct weir_frame *f)
{
    const struct weir_netdev_caps *c = &m->dev.caps;
    uint32_t plain = c->mtu + (c->link == WEIR_LINK_ETHER ? ETHER_BYTES : 0);
    check(m, (f->flags & ~(WEIR_FRAME_CSUM_NEEDED | WEIR_FRAME_TSO4)) == 0,
          "a flag that is not for transmitting");
    if (f->flags & WEIR_FRAME_CSUM_NEEDED) {
        check(m, c->offloads & WEIR_OFF_TX_CSUM, "a checksum left to a device that makes none");
        check(m, (uint32_t)f->csum_start + f->csum_field + 2 <= f->bytes,
              "a checksum field outside the frame");
    }
    if (f->flags & WEIR_FRAME_TSO4) {
        check(m, c->offloads & WEIR_OFF_TX_TSO4, "a large segment for a device that cuts none");
        check(m, f->flags & WEIR_FRAME_CSUM_NEEDED, "a large segment with its checksum done");
        check(m, f->gso_bytes > 0 && f->hdr_bytes > 0 && f->hdr_bytes < f->bytes, "a large segment's sizes");
        check(m, (uint32_t)f->hdr_bytes + f->gso_bytes <= plain, "segments that would be above the MTU");
    } else {
        check(m, f->bytes <= plain, "a frame above the MTU");
    }
}

static void check_frame(struct mockdev *m, const struct weir_frame *f)
{
    const struct weir_netdev_caps *c = &m->dev.caps;
    uint64_t sum = 0;
    check(m, f->n_pieces >= 1 && f->n_pieces <= c->max_pieces, "the number of pieces");
    check(m, ((uintptr_t)f->pieces[0].addr & (c->base_align - 1)) == 0, "the alignment of the first byte");
    for (unsigned i = 0; i < f->n_pieces; i++) {
        check_piece(m, &f->pieces[i]);
        sum += f->pieces[i].bytes;
    }
    check(m, sum == f->bytes, "a frame's bytes are not its pieces'");
    check(m, f->bytes <= c->max_frame, "a frame above max_frame");
    check_flags(m, f);
}

static void note_sent(struct mockdev *m, const struct weir_frame *f)
{
    m->tx_frames++;
    m->tx_pieces += f->n_pieces;
    if (f->n_pieces > m->most_pieces) m->most_pieces = f->n_pieces;
    if (f->bytes > m->most_bytes) m->most_bytes = f->bytes;
    for (unsigned i = 0; m->dev.caps.async && i < f->n_pieces; i++) {
        check(m, m->n_held < MOCKDEV_HELD, "more pieces in flight than the mock can count");
        m->held[m->n_held++] = f->pieces[i].addr;
    }
}

static unsigned mock_tx_room(struct weir_netdev *dev)
{
    struct mockdev *m = mock_of(dev);
    if (m->stingy && below(m, m->stingy) == 0) return 0;
    return m->lower->ops->tx_room(m->lower);
}

static unsigned mock_tx_burst(struct weir_netdev *dev, const struct weir_frame *frames, unsigned n)
{
    struct mockdev *m = mock_of(dev);
    for (unsigned i = 0; i < n; i++)
        check_frame(m, &frames[i]);
    unsigned taken = m->lower->ops->tx_burst(m->lower, frames, n);
    for (unsigned i = 0; i < taken; i++)
        note_sent(m, &frames[i]);
    mirror(m);
    return taken;
}

static void let_go(struct mockdev *m, const void *addr)
{
    for (unsigned i = 0; i < m->n_held; i++) {
        if (m->held[i] != addr) continue;
        m->held[i] = m->held[--m->n_held];
        return;
    }
    check(m, false, "the lower device reported an address that it does not hold");
}

static unsigned mock_reap(struct weir_netdev *dev, void **addr, unsigned n)
{
    struct mockdev *m = mock_of(dev);
    unsigned more = m->lower->ops->reap(m->lower, m->done + m->n_done, MOCKDEV_HELD - m->n_done), got = 0;
    for (unsigned i = 0; i < more; i++)
        let_go(m, m->done[m->n_done + i]);
    m->n_done += more;
    while (got < n && m->n_done > 0 && !(m->stingy && below(m, m->stingy) == 0)) {
        unsigned i = below(m, m->n_done);
        addr[got++] = m->done[i];
        m->done[i] = m->done[--m->n_done];
    }
    return got;
}

/* ---- receive ---- */

static uint32_t mock_rx_want(struct weir_netdev *dev)
{
    struct weir_netdev *lower = mock_of(dev)->lower;
    return lower->ops->rx_want(lower);
}

static int mock_rx_post(struct weir_netdev *dev, void *addr, uint32_t bytes)
{
    struct mockdev *m = mock_of(dev);
    const uint8_t *p = addr;
    check(m, inside_area(m, p, bytes), "a posted buffer outside the area");
    for (unsigned i = 0; i < m->n_post; i++)
        check(m, p + bytes <= m->post[i].addr || m->post[i].addr + m->post[i].bytes <= p,
              "posted buffers overlap");
    int err = m->lower->ops->rx_post(m->lower, addr, bytes);
    if (err) return err;
    check(m, m->n_post < MOCKDEV_POSTS, "more posted buffers than the mock can count");
    m->post[m->n_post++] = (struct weir_piece){addr, bytes};
    return 0;
}

static void unpost(struct mockdev *m, const struct weir_piece *p)
{
    for (unsigned i = 0; i < m->n_post; i++) {
        if (m->post[i].addr != p->addr) continue;
        check(m, p->bytes <= m->post[i].bytes, "the lower device wrote past a posted buffer");
        m->post[i] = m->post[--m->n_post];
        return;
    }
    check(m, false, "the lower device delivered into a buffer that is not posted");
}

static unsigned mock_rx_burst(struct weir_netdev *dev, struct weir_frame *out, unsigned n)
{
    struct mockdev *m = mock_of(dev);
    unsigned got = m->lower->ops->rx_burst(m->lower, out, n);
    for (unsigned i = 0; i < got; i++)
        for (unsigned k = 0; k < out[i].n_pieces; k++)
            unpost(m, &out[i].pieces[k]);
    m->rx_frames += got;
    mirror(m);
    return got;
}

static unsigned mock_rx_unpost(struct weir_netdev *dev, void **addr, unsigned n)
{
    struct mockdev *m = mock_of(dev);
    unsigned got = m->lower->ops->rx_unpost(m->lower, addr, n);
    for (unsigned i = 0; i < got; i++)
        unpost(m, &(struct weir_piece){addr[i], 0});
    return got;
}

/* ---- the rest ---- */

static int mock_open(struct weir_netdev *dev, const struct weir_netdev_env *env)
{
    struct mockdev *m = mock_of(dev);
    m->lower->caps.offloads &= dev->caps.offloads;
    int err = m->lower->ops->open(m->lower, env);
    memcpy(dev->error, m->lower->error, sizeof dev->error);
    if (err) return err;
    dev->caps = m->lower->caps;
    m->env = *env;
    return 0;
}

static void mock_close(struct weir_netdev *dev)
{
    struct mockdev *m = mock_of(dev);
    m->lower->ops->close(m->lower);
    dev->caps = m->lower->caps;
    m->n_post = m->n_held = m->n_done = 0;
    mirror(m);
}

static int mock_wait_handle(struct weir_netdev *dev)
{
    struct weir_netdev *lower = mock_of(dev)->lower;
    return lower->ops->wait_handle(lower);
}

static uint64_t mock_next_us(struct weir_netdev *dev)
{
    struct mockdev *m = mock_of(dev);
    if (m->n_done > 0) return m->env.plat->now_us(m->env.plat->ctx);
    return m->lower->ops->next_us ? m->lower->ops->next_us(m->lower) : UINT64_MAX;
}

static const struct weir_netdev_ops MOCK_OPS = {
    .open = mock_open,
    .rx_want = mock_rx_want,
    .rx_post = mock_rx_post,
    .rx_burst = mock_rx_burst,
    .tx_room = mock_tx_room,
    .tx_burst = mock_tx_burst,
    .reap = mock_reap,
    .rx_unpost = mock_rx_unpost,
    .wait_handle = mock_wait_handle,
    .next_us = mock_next_us,
    .close = mock_close,
};

struct weir_pair_conf mockdev_hostile_pair(const struct weir_plat *plat)
{
    return (struct weir_pair_conf){.plat = plat,
                                   .delay_us = 200,
                                   .queue = 40,
                                   .max_frame = 1200,
                                   .mtu = 1186,
                                   .async = 1,
                                   .max_pieces = 2,
                                   .max_piece_bytes = 600,
                                   .boundary = 4096,
                                   .base_align = 64};
}

void mockdev_init(struct mockdev *m, struct weir_netdev *lower, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    m->dev.ops = &MOCK_OPS;
    m->dev.name = lower->name;
    m->dev.caps = lower->caps;
    m->lower = lower;
    m->rng = seed;
}
