/* fault.c: a wrapper that loses, doubles, reorders and corrupts frames, by a seed.
 *
 * Theory of operation. Each direction is a lane of private frames, "slots". Transmitting, a frame is copied
 * into a slot; receiving, the slots themselves are what is posted to the lower device, and going on means
 * copying into the stack's buffers. In between lies the same for both:
 *
 *                     +--> lost
 *      FREE -- LOWER -+--> READY (a ring, in order) -----------------------> next station, FREE again
 *       (rx: posted)  +--> HELD --- after some frames or WEIR_FAULT_HOLD_US --^
 *                     (corrupted, doubled on the way)
 *
 *      next station, tx: the lower device; asynchronous: LOWER until reap reports the slot's address
 *                    rx: the stack's posted buffers, as soon as there are enough
 *
 * What one frame suffers is drawn once, four draws a frame whatever happens, so that a seed gives the same
 * faults to the same sequence of frames. Nothing waits for traffic that doesn't come: next_us tells when a
 * held frame is due.
 *
 * The lower device sees an area of its own, this wrapper's memory, with one size of buffer. Towards it a
 * private frame is cut into pieces of `unit` bytes, the largest power of two within its limits; the slots are
 * aligned so that these cross no boundary, and the stack is told unit as its max_piece_bytes, so that the
 * pieces are never too many.
 *
 * Invariants, for each lane
 *     n_free, n_held = slots in state FREE, HELD        ready[head .. head + n_ready) = the slots in state
 * READY tx: a frame is taken only while n_free >= 2, since it may be doubled
 *
 * Rejected: faults on the stack's own buffers (a first design), which kept some of them back from the lower
 * device for held frames; a copy is simpler and can corrupt without asking who else reads the bytes. */
#include "weir/fault.h"

#include <stdbool.h>
#include <string.h>

#include "base/bits.h"
#include "base/order.h"
#include "base/text.h"
#include "netdev/rxposts.h"
#include "weir/err.h"

#define ETHER_BYTES   14u
#define ETHERTYPE_ARP 0x0806u
#define MILLION       1000000u
#define BURST         16u                      /* frames handed down or up at once */
#define RX_POSTED     (WEIR_FAULT_FRAMES / 2u) /* the rest is for held and doubled frames */
#define FRAME_BYTES   WEIR_FAULT_FRAME_BYTES

enum { FREE, LOWER, READY, HELD };

static struct weir_fault *fault_of(struct weir_netdev *dev)
{
    return (struct weir_fault *)(void *)dev;
}

static uint64_t now_us(const struct weir_fault *f)
{
    return f->plat->now_us(f->plat->ctx);
}

/* ---- slots ---- */

static uint8_t *slot_bytes(const struct weir_fault_lane *l, unsigned i)
{
    return l->bytes + (size_t)i * FRAME_BYTES;
}

/* The slot that an address lies in; WEIR_FAULT_FRAMES for none. */
static unsigned slot_at(const struct weir_fault_lane *l, const void *addr)
{
    uintptr_t i = ((uintptr_t)addr - (uintptr_t)l->bytes) / FRAME_BYTES;
    return i < WEIR_FAULT_FRAMES ? (unsigned)i : WEIR_FAULT_FRAMES;
}

static void lane_init(struct weir_fault_lane *l, uint8_t *bytes)
{
    memset(l, 0, sizeof *l);
    l->n_free = WEIR_FAULT_FRAMES;
    l->bytes = bytes;
}

static unsigned take_free(struct weir_fault_lane *l)
{
    unsigned i = 0;
    while (l->slot[i].state != FREE)
        i++;
    l->slot[i].state = LOWER;
    l->n_free--;
    return i;
}

static void set_free(struct weir_fault_lane *l, unsigned i)
{
    l->slot[i].state = FREE;
    l->n_free++;
}

static void set_ready(struct weir_fault_lane *l, unsigned i)
{
    l->slot[i].state = READY;
    l->ready[(l->head + l->n_ready++) % WEIR_FAULT_FRAMES] = (uint8_t)i;
}

static unsigned pop_ready(struct weir_fault_lane *l)
{
    unsigned i = l->ready[l->head];
    l->head = (uint8_t)((l->head + 1) % WEIR_FAULT_FRAMES);
    l->n_ready--;
    return i;
}

/* ---- faults ---- */

/* splitmix64 (Steele, Lea, Flood, 2014). */
static uint64_t draw(struct weir_fault *f)
{
    uint64_t z = f->rng += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static bool hit(uint64_t random, uint32_t ppm)
{
    return (random >> 32) % MILLION < ppm;
}

static bool corrupt(const struct weir_fault *f, uint8_t *p, uint32_t bytes, uint64_t random)
{
    uint32_t skip = f->dev.caps.link == WEIR_LINK_ETHER ? ETHER_BYTES : 0;
    if (bytes <= skip || (skip && weir_be16(p + 12) == ETHERTYPE_ARP)) return false;
    uint32_t bit = (uint32_t)random % ((bytes - skip) * 8);
    p[skip + bit / 8] ^= (uint8_t)(1u << bit % 8);
    return true;
}

/* A frame has gone by, or time has: who was held long enough goes on. */
static void age(struct weir_fault_lane *l, unsigned passed, uint64_t now)
{
    if (l->n_held == 0) return;
    for (unsigned i = 0; i < WEIR_FAULT_FRAMES; i++) {
        struct weir_fault_slot *s = &l->slot[i];
        if (s->state != HELD) continue;
        s->after = (uint8_t)(s->after - weir_min_u32(s->after, passed));
        if (s->after > 0 && s->due_us > now) continue;
        l->n_held--;
        set_ready(l, i);
    }
}

static void pass(struct weir_fault_lane *l, unsigned i, uint64_t now)
{
    set_ready(l, i);
    age(l, 1, now);
}

static void double_frame(struct weir_fault *f, struct weir_fault_lane *l, unsigned i, uint64_t now)
{
    if (l->n_free == 0) return;
    unsigned twin = take_free(l);
    memcpy(slot_bytes(l, twin), slot_bytes(l, i), l->slot[i].bytes);
    l->slot[twin].bytes = l->slot[i].bytes;
    f->doubled++;
    pass(l, twin, now);
}

/* A frame has come into slot i: decides what becomes of it. */
static void suffer(struct weir_fault *f, struct weir_fault_lane *l, unsigned i)
{
    uint64_t r[4], now = now_us(f);
    struct weir_fault_slot *s = &l->slot[i];
    for (unsigned k = 0; k < 4; k++)
        r[k] = draw(f);
    if (hit(r[0], f->conf.loss_ppm)) {
        f->lost++;
        set_free(l, i);
        return;
    }
    if (hit(r[1], f->conf.corrupt_ppm) && corrupt(f, slot_bytes(l, i), s->bytes, r[1])) f->corrupted++;
    if (hit(r[2], f->conf.dup_ppm)) double_frame(f, l, i, now);
    if (!hit(r[3], f->conf.reorder_ppm) || l->n_held == WEIR_FAULT_HELD) {
        pass(l, i, now);
        return;
    }
    f->reordered++;
    s->state = HELD;
    s->after = (uint8_t)(1 + r[3] % WEIR_FAULT_PASS);
    s->due_us = now + WEIR_FAULT_HOLD_US;
    l->n_held++;
}

/* ---- towards the lower device ---- */

static void mirror(struct weir_fault *f)
{
    f->dev.calls_in = f->lower->calls_in;
    f->dev.calls_out = f->lower->calls_out;
    f->dev.tx_dropped = f->lower->tx_dropped;
    f->dev.rx_dropped = f->lower->rx_dropped + f->misfits;
}

static void reap_lower(struct weir_fault *f)
{
    void *addr[BURST];
    unsigned n;
    while (f->lower->caps.async && (n = f->lower->ops->reap(f->lower, addr, BURST)) > 0) {
        for (unsigned k = 0; k < n; k++) {
            unsigned i = slot_at(&f->tx, addr[k]);
            if (i == WEIR_FAULT_FRAMES || f->tx.slot[i].state != LOWER) continue;
            if (--f->tx.slot[i].after == 0) set_free(&f->tx, i);
        }
    }
}

/* Cuts slot i into pieces; `after` counts the ones that an asynchronous device will report. */
static void cut(struct weir_fault *f, unsigned i, struct weir_frame *out, struct weir_piece *p)
{
    struct weir_fault_slot *s = &f->tx.slot[i];
    uint8_t *from = slot_bytes(&f->tx, i);
    *out = (struct weir_frame){.pieces = p, .bytes = s->bytes};
    for (uint32_t at = 0; at < s->bytes; at += f->unit)
        p[out->n_pieces++] = (struct weir_piece){from + at, weir_min_u32(f->unit, s->bytes - at)};
    s->state = LOWER;
    s->after = (uint8_t)out->n_pieces;
}

static void send_ready(struct weir_fault *f)
{
    while (f->tx.n_ready > 0 && f->lower->ops->tx_room(f->lower) > 0) {
        struct weir_frame frame;
        struct weir_piece pieces[WEIR_FRAME_PIECES_MAX];
        unsigned i = f->tx.ready[f->tx.head];
        cut(f, i, &frame, pieces);
        if (f->lower->ops->tx_burst(f->lower, &frame, 1) == 0) {
            f->tx.slot[i].state = READY;
            return;
        }
        pop_ready(&f->tx);
        if (!f->lower->caps.async) set_free(&f->tx, i);
    }
}

static void pump_tx(struct weir_fault *f)
{
    age(&f->tx, 0, now_us(f));
    reap_lower(f);
    send_ready(f);
    mirror(f);
}

static void post_lower(struct weir_fault *f)
{
    unsigned posted = 0;
    for (unsigned i = 0; i < WEIR_FAULT_FRAMES; i++)
        posted += f->rx.slot[i].state == LOWER;
    while (posted < RX_POSTED && f->rx.n_free > 0 && f->lower->ops->rx_want(f->lower) > 0) {
        unsigned i = take_free(&f->rx);
        if (f->lower->ops->rx_post(f->lower, slot_bytes(&f->rx, i), FRAME_BYTES) != 0) {
            set_free(&f->rx, i);
            return;
        }
        posted++;
    }
}

/* A frame from below. It lies in one slot, since slots are larger than any frame; what doesn't is lost. */
static void arrive(struct weir_fault *f, const struct weir_frame *frame)
{
    unsigned i = slot_at(&f->rx, frame->pieces[0].addr);
    if (frame->n_pieces == 1 && i < WEIR_FAULT_FRAMES) {
        f->rx.slot[i].bytes = frame->bytes;
        suffer(f, &f->rx, i);
        return;
    }
    f->misfits++;
    for (unsigned k = 0; k < frame->n_pieces; k++) {
        i = slot_at(&f->rx, frame->pieces[k].addr);
        if (i < WEIR_FAULT_FRAMES) set_free(&f->rx, i);
    }
}

static void pump_rx(struct weir_fault *f)
{
    struct weir_frame frames[BURST];
    age(&f->rx, 0, now_us(f));
    post_lower(f);
    unsigned n = f->lower->ops->rx_burst(f->lower, frames, weir_min_u32(BURST, f->rx.n_free));
    for (unsigned i = 0; i < n; i++)
        arrive(f, &frames[i]);
    if (n > 0) post_lower(f);
    mirror(f);
}

/* ---- the device ---- */

/* What is shown upward, from what the lower device shows. */
static void narrow(struct weir_fault *f)
{
    struct weir_netdev_caps *c = &f->dev.caps;
    *c = f->lower->caps;
    uint32_t unit = weir_min_u32(c->max_piece_bytes, FRAME_BYTES);
    if (c->boundary) unit = weir_min_u32(unit, c->boundary);
    f->unit = 1u << weir_log2(unit);
    c->max_piece_bytes = f->unit;
    c->mtu = (uint16_t)weir_min_u32(c->mtu, FRAME_BYTES - ETHER_BYTES);
    c->max_frame = weir_min_u32(c->max_frame, FRAME_BYTES);
    c->async = 0;
    c->rx_unit = 0;
    c->offloads = 0;
}

static int refuse(struct weir_fault *f, int err, const char *why)
{
    struct weir_text t;
    weir_text_init(&t, f->dev.error, sizeof f->dev.error);
    weir_text_str(&t, why);
    return err;
}

static int fault_open(struct weir_netdev *dev, const struct weir_netdev_env *env)
{
    struct weir_fault *f = fault_of(dev);
    uint8_t *base = f->memory + (FRAME_BYTES - (uintptr_t)f->memory % FRAME_BYTES) % FRAME_BYTES;
    struct weir_netdev_env below = *env;
    dev->error[0] = 0;
    if (f->open) return refuse(f, WEIR_EBUSY, "the device is open already: close it first.");
    if (dev->caps.base_align > FRAME_BYTES)
        return refuse(f, WEIR_EINVAL,
                      "the device needs a larger alignment than faults can give: go without them.");
    int err = weir_posts_plan(&f->posts, env, weir_min_u32(dev->caps.max_frame, dev->caps.mtu + ETHER_BYTES),
                              dev->error, sizeof dev->error);
    if (err) return err;
    below.area = base;
    below.area_bytes = 2u * WEIR_FAULT_FRAMES * FRAME_BYTES;
    below.zbuf_bytes[0] = FRAME_BYTES;
    below.n_zbuf_bytes = 1;
    below.rx_frames = weir_min_u32(env->rx_frames, RX_POSTED);
    below.offloads = 0;
    err = f->lower->ops->open(f->lower, &below);
    memcpy(dev->error, f->lower->error, sizeof dev->error);
    if (err) return err;
    narrow(f);
    f->plat = env->plat;
    lane_init(&f->tx, base);
    lane_init(&f->rx, base + (size_t)WEIR_FAULT_FRAMES * FRAME_BYTES);
    f->open = 1;
    post_lower(f);
    return 0;
}

static void fault_close(struct weir_netdev *dev)
{
    struct weir_fault *f = fault_of(dev);
    if (!f->open) return;
    pump_tx(f);
    f->lower->ops->close(f->lower);
    mirror(f);
    f->posts.n = 0;
    f->open = 0;
}

static uint32_t fault_rx_want(struct weir_netdev *dev)
{
    struct weir_fault *f = fault_of(dev);
    return f->open ? weir_posts_want(&f->posts) : 0;
}

static int fault_rx_post(struct weir_netdev *dev, void *addr, uint32_t bytes)
{
    struct weir_fault *f = fault_of(dev);
    return f->open ? weir_posts_add(&f->posts, addr, bytes) : WEIR_EINVAL;
}

static unsigned fault_rx_unpost(struct weir_netdev *dev, void **addr, unsigned n)
{
    return weir_posts_take_back(&fault_of(dev)->posts, addr, n);
}

/* How many of the stack's buffers the next frame takes, 0: there is none, or they don't suffice. */
static unsigned next_posts(const struct weir_fault *f)
{
    if (f->rx.n_ready == 0) return 0;
    return weir_posts_for(&f->posts, f->rx.slot[f->rx.ready[f->rx.head]].bytes);
}

static unsigned fault_rx_burst(struct weir_netdev *dev, struct weir_frame *out, unsigned n)
{
    struct weir_fault *f = fault_of(dev);
    struct weir_piece *pieces = f->rx_pieces;
    unsigned got, k;
    if (!f->open) return 0;
    pump_tx(f);
    pump_rx(f);
    for (got = 0; got < n && (k = next_posts(f)) > 0; got++) {
        unsigned i = pop_ready(&f->rx);
        struct weir_piece whole = {slot_bytes(&f->rx, i), f->rx.slot[i].bytes};
        struct weir_frame frame = {.pieces = &whole, .bytes = whole.bytes, .n_pieces = 1};
        weir_posts_fill(&f->posts, &frame, pieces, k);
        out[got] = (struct weir_frame){.pieces = pieces, .bytes = whole.bytes, .n_pieces = (uint16_t)k};
        pieces += k;
        set_free(&f->rx, i);
    }
    post_lower(f);
    return got;
}

static unsigned fault_tx_room(struct weir_netdev *dev)
{
    struct weir_fault *f = fault_of(dev);
    if (!f->open) return 0;
    pump_tx(f);
    return f->tx.n_free / 2u;
}

static bool copy_in(struct weir_fault *f, const struct weir_frame *frame)
{
    uint32_t sum = 0;
    for (unsigned k = 0; k < frame->n_pieces; k++)
        if (frame->pieces[k].bytes > FRAME_BYTES - sum || (sum += frame->pieces[k].bytes) > frame->bytes)
            return false;
    if (sum == 0 || sum > f->dev.caps.max_frame || (sum - 1) / f->unit >= f->dev.caps.max_pieces)
        return false;
    unsigned i = take_free(&f->tx);
    uint8_t *to = slot_bytes(&f->tx, i);
    for (unsigned k = 0; k < frame->n_pieces; to += frame->pieces[k++].bytes)
        memcpy(to, frame->pieces[k].addr, frame->pieces[k].bytes);
    f->tx.slot[i].bytes = sum;
    suffer(f, &f->tx, i);
    return true;
}

static unsigned fault_tx_burst(struct weir_netdev *dev, const struct weir_frame *frames, unsigned n)
{
    struct weir_fault *f = fault_of(dev);
    unsigned i;
    if (!f->open) return 0;
    for (i = 0; i < n; i++) {
        if (f->tx.n_free < 2) pump_tx(f);
        if (f->tx.n_free < 2) break;
        if (!copy_in(f, &frames[i])) f->lost++; /* breaks the capabilities */
    }
    pump_tx(f);
    return i;
}

static unsigned fault_reap(struct weir_netdev *dev, void **addr, unsigned n)
{
    (void)addr, (void)n;
    if (fault_of(dev)->open) pump_tx(fault_of(dev));
    return 0;
}

static int fault_wait_handle(struct weir_netdev *dev)
{
    struct weir_netdev *lower = fault_of(dev)->lower;
    return lower->ops->wait_handle(lower);
}

static uint64_t first_due(const struct weir_fault_lane *l)
{
    uint64_t due = UINT64_MAX;
    for (unsigned i = 0; i < WEIR_FAULT_FRAMES; i++)
        if (l->slot[i].state == HELD && l->slot[i].due_us < due) due = l->slot[i].due_us;
    return due;
}

static uint64_t fault_next_us(struct weir_netdev *dev)
{
    struct weir_fault *f = fault_of(dev);
    if (!f->open) return UINT64_MAX;
    if (next_posts(f) > 0) return now_us(f);
    uint64_t next = f->lower->ops->next_us ? f->lower->ops->next_us(f->lower) : UINT64_MAX;
    uint64_t tx = first_due(&f->tx), rx = first_due(&f->rx);
    if (tx < next) next = tx;
    return rx < next ? rx : next;
}

static const struct weir_netdev_ops FAULT_OPS = {
    .open = fault_open,
    .rx_want = fault_rx_want,
    .rx_post = fault_rx_post,
    .rx_burst = fault_rx_burst,
    .tx_room = fault_tx_room,
    .tx_burst = fault_tx_burst,
    .reap = fault_reap,
    .rx_unpost = fault_rx_unpost,
    .wait_handle = fault_wait_handle,
    .next_us = fault_next_us,
    .close = fault_close,
};

void weir_fault_init(struct weir_fault *f, struct weir_netdev *lower, const struct weir_fault_conf *conf)
{
    memset(f, 0, sizeof *f);
    lower->caps.offloads = 0;
    f->dev.ops = &FAULT_OPS;
    f->dev.name = lower->name;
    f->lower = lower;
    f->conf = *conf;
    f->rng = conf->seed;
    narrow(f);
}

/* ---- text ---- */

/* A fraction 0 to 1 in parts per million. */
static int read_ppm(const char **p, uint32_t *ppm)
{
    uint64_t whole, part = 0;
    if (weir_text_read(p, 1, &whole) != 0) return -1;
    if (**p == '.') {
        uint32_t worth = MILLION / 10;
        for (++*p; **p >= '0' && **p <= '9'; ++*p, worth /= 10) {
            if (worth == 0) return -1;
            part += (uint64_t)(**p - '0') * worth;
        }
    }
    if (whole * MILLION + part > MILLION) return -1;
    *ppm = (uint32_t)(whole * MILLION + part);
    return 0;
}

/* Whether the text goes on with this word and '='; moves behind it. */
static bool word(const char **p, const char *w)
{
    const char *at = *p;
    while (*w && *at == *w)
        at++, w++;
    if (*w || *at != '=') return false;
    *p = at + 1;
    return true;
}

static int read_one(struct weir_fault_conf *c, const char **p)
{
    if (word(p, "loss")) return read_ppm(p, &c->loss_ppm);
    if (word(p, "reorder")) return read_ppm(p, &c->reorder_ppm);
    if (word(p, "dup")) return read_ppm(p, &c->dup_ppm);
    if (word(p, "corrupt")) return read_ppm(p, &c->corrupt_ppm);
    if (word(p, "seed")) return weir_text_read(p, UINT64_MAX, &c->seed);
    return -1;
}

int weir_fault_parse(struct weir_fault_conf *c, const char *text, char *why, size_t bytes)
{
    struct weir_text t;
    weir_text_init(&t, why, bytes);
    memset(c, 0, sizeof *c);
    for (const char *p = text; *p;) {
        const char *from = p;
        if (read_one(c, &p) == 0 && (*p == 0 || (*p == ',' && p[1] != 0))) {
            if (*p == ',') p++;
            continue;
        }
        weir_text_str(
            &t,
            "faults are loss, reorder, dup and corrupt, each =0 to 1 with up to six decimals, and seed=N, "
            "with commas between; not understood from: ");
        weir_text_str(&t, from);
        return WEIR_EINVAL;
    }
    return 0;
}
