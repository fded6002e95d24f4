/* pair.c: two devices joined by a simulated cable.
 *
 * Theory of operation. Each end owns the frames that it has sent and that the other end has not yet received:
 * a ring of slots, `head` the oldest. A frame is stamped with the time at which its last bit arrives,
 *
 *     line_free = max(now, line_free) + bits / rate          due = line_free + delay
 *
 * so due times never fall along the ring and only the oldest frame needs to be looked at. Receiving is what
 * moves bytes: rx_burst copies the due frames out of the other end's slots into the posted buffers.
 *
 *     end 0 slots [....]  --- copied by end 1's rx_burst --->  end 1 posts [....]   and the other way round
 *
 * Synchronous: tx_burst copies a frame into the slot's part of the pair's memory. Asynchronous: the slot
 * keeps the sender's pieces; delivery puts their addresses on `done`, a stack, so that the last comes back
 * first and nobody can rely on an order. A full queue is back pressure (tx_room says so), never loss.
 *
 * A frame for which the posted buffers do not suffice waits, and all behind it.
 *
 * Invariants
 *     used <= conf.queue
 *     n_flying = sum of n_pieces over the used slots (asynchronous; else 0)
 *     n_flying + n_done <= WEIR_PAIR_DONE, so delivery always finds room for the addresses */
#include <stdbool.h>
#include <string.h>

#include "base/bits.h"
#include "base/text.h"
#include "netdev/rxposts.h"
#include "weir/err.h"
#include "weir/pair.h"

#define ETHER_BYTES 14u

static const uint16_t ALL_OFFLOADS =
    WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM | WEIR_OFF_RX_MERGE4;

static struct weir_pair_end *end_of(struct weir_netdev *dev)
{
    return (struct weir_pair_end *)(void *)dev;
}

static struct weir_pair_end *other_of(const struct weir_pair_end *e)
{
    return &e->pair->end[e == &e->pair->end[0]];
}

static uint64_t now_us(const struct weir_pair_end *e)
{
    const struct weir_plat *plat = e->pair->conf.plat;
    return plat->now_us(plat->ctx);
}

/* The largest frame that is not a large segment. */
static uint32_t plain_frame(const struct weir_netdev_caps *c)
{
    return weir_min_u32(c->max_frame, c->mtu + (c->link == WEIR_LINK_ETHER ? ETHER_BYTES : 0));
}

/* ---- offloads ---- */

/* What may be sent to an end that can receive rx. */
static uint16_t tx_for(uint16_t rx)
{
    if (!(rx & WEIR_OFF_RX_CSUM)) return 0;
    return rx & WEIR_OFF_RX_MERGE4 ? WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 : WEIR_OFF_TX_CSUM;
}

static const uint16_t TX_OFFLOADS = WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4;

/* What this end offers when the stack can use `wanted`; large segments leave their checksums undone. */
static uint16_t agree(const struct weir_pair_end *e, uint16_t wanted)
{
    uint16_t mine = (uint16_t)(e->dev.caps.offloads & wanted);
    uint16_t tx = mine & TX_OFFLOADS & tx_for(other_of(e)->dev.caps.offloads);
    if (!(tx & WEIR_OFF_TX_CSUM)) tx = 0;
    return (uint16_t)((mine & ~TX_OFFLOADS) | tx);
}

/* ---- open and close ---- */

static int refuse(struct weir_pair_end *e, int err, const char *why)
{
    struct weir_text t;
    weir_text_init(&t, e->dev.error, sizeof e->dev.error);
    weir_text_str(&t, why);
    return err;
}

static int pair_open(struct weir_netdev *dev, const struct weir_netdev_env *env)
{
    struct weir_pair_end *e = end_of(dev), *other = other_of(e);
    dev->error[0] = 0;
    if (e->open) return refuse(e, WEIR_EBUSY, "this end of the pair is open already: close it first.");
    uint16_t offloads = agree(e, env->offloads);
    if (other->open && (other->dev.caps.offloads & TX_OFFLOADS & ~tx_for(offloads)))
        return refuse(
            e, WEIR_EINVAL,
            "the other end sends with offloads that this end lacks: open both alike, or none in conf.");
    uint32_t frame = offloads & WEIR_OFF_RX_MERGE4 ? dev->caps.max_frame : plain_frame(&dev->caps);
    int err = weir_posts_plan(&e->posts, env, frame, dev->error, sizeof dev->error);
    if (err) return err;
    e->rx_frame = frame;
    e->offered = dev->caps.offloads;
    dev->caps.offloads = offloads;
    e->open = 1;
    return 0;
}

/* The oldest frame is out of the cable, delivered or lost. */
static void retire(struct weir_pair_end *e)
{
    const struct weir_pair_slot *s = &e->slot[e->head];
    if (e->dev.caps.async) {
        for (unsigned i = 0; i < s->frame.n_pieces; i++)
            e->done[e->n_done++] = s->pieces[i].addr;
        e->n_flying -= s->frame.n_pieces;
    }
    e->head = (e->head + 1) % e->pair->conf.queue;
    e->used--;
}

static void pair_close(struct weir_netdev *dev)
{
    struct weir_pair_end *e = end_of(dev), *other = other_of(e);
    if (!e->open) return;
    dev->rx_dropped += other->used;
    while (other->used)
        retire(other);
    if (dev->caps.async) { /* the pieces are the caller's again; copies may still arrive */
        dev->tx_dropped += e->used;
        e->used = e->n_flying = e->n_done = 0;
    }
    e->posts.n = 0;
    dev->caps.offloads = e->offered;
    e->open = 0;
}

/* ---- transmit ---- */

static bool piece_ok(const struct weir_netdev_caps *c, const struct weir_piece *p)
{
    if (p->bytes == 0 || p->bytes > c->max_piece_bytes) return false;
    if (c->boundary == 0) return true;
    return ((uintptr_t)p->addr & (c->boundary - 1)) + p->bytes <= c->boundary;
}

static bool flags_ok(const struct weir_netdev_caps *c, const struct weir_frame *f)
{
    if (f->flags & WEIR_FRAME_TSO4) {
        if (!(c->offloads & WEIR_OFF_TX_TSO4) || !(f->flags & WEIR_FRAME_CSUM_NEEDED)) return false;
        if (f->gso_bytes == 0 || f->hdr_bytes >= f->bytes) return false;
    } else if (f->bytes > plain_frame(c)) {
        return false;
    }
    if (!(f->flags & WEIR_FRAME_CSUM_NEEDED)) return true;
    return (c->offloads & WEIR_OFF_TX_CSUM) && (uint32_t)f->csum_start + f->csum_field + 2 <= f->bytes;
}

/* Whether a frame keeps to the capabilities. */
static bool frame_ok(const struct weir_netdev_caps *c, const struct weir_frame *f)
{
    if (f->n_pieces == 0 || f->n_pieces > c->max_pieces || f->bytes > c->max_frame) return false;
    if ((uintptr_t)f->pieces[0].addr & (c->base_align - 1)) return false;
    uint64_t sum = 0;
    for (unsigned i = 0; i < f->n_pieces; i++) {
        if (!piece_ok(c, &f->pieces[i])) return false;
        sum += f->pieces[i].bytes;
    }
    return sum == f->bytes && flags_ok(c, f);
}

static uint64_t due_us(struct weir_pair_end *e, uint32_t bytes)
{
    const struct weir_pair_conf *c = &e->pair->conf;
    uint64_t start = now_us(e) * 1000;
    if (start < e->line_free_ns) start = e->line_free_ns;
    if (c->bits_per_s) start += ((uint64_t)bytes * 8 * 1000000000u + c->bits_per_s - 1) / c->bits_per_s;
    e->line_free_ns = start;
    return (start + 999) / 1000 + c->delay_us;
}

static void copy_in(struct weir_pair_slot *s, uint8_t *to, const struct weir_frame *f)
{
    s->pieces[0] = (struct weir_piece){to, f->bytes};
    s->frame.n_pieces = 1;
    for (unsigned i = 0; i < f->n_pieces; i++) {
        memcpy(to, f->pieces[i].addr, f->pieces[i].bytes);
        to += f->pieces[i].bytes;
    }
}

static void launch(struct weir_pair_end *e, const struct weir_frame *f)
{
    unsigned at = (e->head + e->used++) % e->pair->conf.queue;
    struct weir_pair_slot *s = &e->slot[at];
    s->due_us = due_us(e, f->bytes);
    s->frame = *f;
    s->frame.flags &= (uint16_t)~WEIR_FRAME_CSUM_GOOD;
    s->frame.pieces = s->pieces;
    if (!e->dev.caps.async) {
        copy_in(s, e->copies + (size_t)at * e->pair->conf.max_frame, f);
        return;
    }
    memcpy(s->pieces, f->pieces, f->n_pieces * sizeof s->pieces[0]);
    e->n_flying += f->n_pieces;
}

/* Accepted and lost. */
static void lose(struct weir_pair_end *e, const struct weir_frame *f)
{
    e->dev.tx_dropped++;
    if (!e->dev.caps.async) return;
    for (unsigned i = 0; i < f->n_pieces && i < WEIR_FRAME_PIECES_MAX; i++)
        e->done[e->n_done++] = f->pieces[i].addr;
}

static unsigned pair_tx_room(struct weir_netdev *dev)
{
    struct weir_pair_end *e = end_of(dev);
    if (!e->open) return 0;
    unsigned slots = e->pair->conf.queue - e->used;
    if (!dev->caps.async) return slots;
    return weir_min_u32(slots, (WEIR_PAIR_DONE - e->n_done - e->n_flying) / WEIR_FRAME_PIECES_MAX);
}

static unsigned pair_tx_burst(struct weir_netdev *dev, const struct weir_frame *frames, unsigned n)
{
    struct weir_pair_end *e = end_of(dev);
    const struct weir_pair_end *other = other_of(e);
    unsigned i;
    for (i = 0; i < n && pair_tx_room(dev) > 0; i++) {
        if (other->open && frames[i].bytes <= other->rx_frame && frame_ok(&dev->caps, &frames[i]))
            launch(e, &frames[i]);
        else
            lose(e, &frames[i]);
    }
    return i;
}

static unsigned pair_reap(struct weir_netdev *dev, void **addr, unsigned n)
{
    struct weir_pair_end *e = end_of(dev);
    unsigned i;
    for (i = 0; i < n && e->n_done > 0; i++)
        addr[i] = e->done[--e->n_done];
    return i;
}

/* ---- receive ---- */

static uint32_t pair_rx_want(struct weir_netdev *dev)
{
    struct weir_pair_end *e = end_of(dev);
    return e->open ? weir_posts_want(&e->posts) : 0;
}

static int pair_rx_post(struct weir_netdev *dev, void *addr, uint32_t bytes)
{
    struct weir_pair_end *e = end_of(dev);
    return e->open ? weir_posts_add(&e->posts, addr, bytes) : WEIR_EINVAL;
}

static unsigned pair_rx_unpost(struct weir_netdev *dev, void **addr, unsigned n)
{
    return weir_posts_take_back(&end_of(dev)->posts, addr, n);
}

static unsigned pair_rx_burst(struct weir_netdev *dev, struct weir_frame *out, unsigned n)
{
    struct weir_pair_end *e = end_of(dev), *from = other_of(e);
    struct weir_piece *pieces = e->rx_pieces;
    uint64_t now = now_us(e);
    unsigned got;
    for (got = 0; got < n && from->used > 0 && e->open; got++) {
        const struct weir_pair_slot *s = &from->slot[from->head];
        unsigned k = s->due_us <= now ? weir_posts_for(&e->posts, s->frame.bytes) : 0;
        if (k == 0) break;
        weir_posts_fill(&e->posts, &s->frame, pieces, k);
        out[got] = s->frame;
        out[got].pieces = pieces;
        out[got].n_pieces = (uint16_t)k;
        pieces += k;
        retire(from);
    }
    return got;
}

static int pair_wait_handle(struct weir_netdev *dev)
{
    (void)dev;
    return -1;
}

/* A due frame that waits for buffers is no work until they are posted. */
static uint64_t pair_next_us(struct weir_netdev *dev)
{
    struct weir_pair_end *e = end_of(dev), *from = other_of(e);
    if (!e->open) return UINT64_MAX;
    if (e->n_done > 0) return now_us(e);
    if (from->used == 0) return UINT64_MAX;
    const struct weir_pair_slot *s = &from->slot[from->head];
    return weir_posts_for(&e->posts, s->frame.bytes) ? s->due_us : UINT64_MAX;
}

static const struct weir_netdev_ops PAIR_OPS = {
    .open = pair_open,
    .rx_want = pair_rx_want,
    .rx_post = pair_rx_post,
    .rx_burst = pair_rx_burst,
    .tx_room = pair_tx_room,
    .tx_burst = pair_tx_burst,
    .reap = pair_reap,
    .rx_unpost = pair_rx_unpost,
    .wait_handle = pair_wait_handle,
    .next_us = pair_next_us,
    .close = pair_close,
};

/* ---- configuration ---- */

static bool pow2_or_0(uint32_t x)
{
    return x == 0 || weir_is_pow2(x);
}

static bool conf_ok(const struct weir_pair_conf *c)
{
    if (!c->plat || c->delay_us > WEIR_PAIR_DELAY_MAX_US || c->queue < 1 || c->queue > WEIR_PAIR_FRAMES)
        return false;
    if (c->max_frame < WEIR_PAIR_FRAME_MIN || c->max_frame > WEIR_PAIR_FRAME_MAX || c->mtu < 68) return false;
    if ((c->offloads & ~ALL_OFFLOADS) || c->async > 1 || c->link > WEIR_LINK_RAW_IP) return false;
    return c->max_pieces <= WEIR_FRAME_PIECES_MAX && pow2_or_0(c->boundary) && pow2_or_0(c->base_align);
}

size_t weir_pair_bytes(const struct weir_pair_conf *c)
{
    if (!conf_ok(c)) return 0;
    return c->async ? 1 : (size_t)2 * c->queue * c->max_frame;
}

static void init_end(struct weir_pair *p, unsigned i, uint8_t *memory)
{
    static const char *const NAMES[2] = {"pair:0", "pair:1"};
    const struct weir_pair_conf *c = &p->conf;
    struct weir_pair_end *e = &p->end[i];
    e->pair = p;
    e->copies = c->async ? NULL : memory + (size_t)i * c->queue * c->max_frame;
    e->dev.ops = &PAIR_OPS;
    e->dev.name = NAMES[i];
    e->dev.caps = (struct weir_netdev_caps){
        .max_pieces = c->max_pieces ? c->max_pieces : WEIR_FRAME_PIECES_MAX,
        .mtu = c->mtu,
        .max_piece_bytes = c->max_piece_bytes ? c->max_piece_bytes : UINT32_MAX,
        .boundary = c->boundary,
        .max_frame = c->max_frame,
        .base_align = c->base_align ? c->base_align : 1,
        .link = c->link ? c->link : WEIR_LINK_ETHER,
        .async = c->async,
        .offloads = c->offloads,
    };
    if (e->dev.caps.link != WEIR_LINK_ETHER) return;
    const uint8_t mac[6] = {0x02, 'w', 'e', 'i', 'r', (uint8_t)i};
    memcpy(e->dev.caps.mac, mac, sizeof mac);
}

int weir_pair_init(struct weir_pair *p, const struct weir_pair_conf *c, void *memory, size_t bytes)
{
    size_t need = weir_pair_bytes(c);
    if (need == 0 || bytes < need) return WEIR_EINVAL;
    memset(p, 0, sizeof *p);
    p->conf = *c;
    for (unsigned i = 0; i < 2; i++)
        init_end(p, i, memory);
    return 0;
}
