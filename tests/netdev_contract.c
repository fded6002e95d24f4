/* netdev_contract.c: the suite. It plays the stack: a few posted buffers with guards behind them, frames cut
 * into pieces at random within the device's capabilities, and a model that knows which address belongs to
 * whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "netdev_contract.h"
#include "weir/err.h"

#define ETHER_BYTES 14u
#define RX_BUFFERS  192u
#define RX_BYTES    16384u
#define GUARD_BYTES 64u
#define RX_STRIDE   (RX_BYTES + GUARD_BYTES)
#define GUARD       0xA5
#define TX_PIECES   4096u
#define TX_STRIDE   2048u
#define FRAME_MAX   2048u
#define BURST       16u
#define SETTLES     50u /* times that the wire is given a chance before something counts as missing */

static struct contract_rig *rig;
static struct weir_netdev *dev;
static struct weir_netdev_env env;
static uint64_t rng;

/* Posted buffers: owner 0 ours, 1 the device's. */
static struct {
    uint8_t *addr;
    uint32_t bytes;
    uint8_t posted;
} rx[RX_BUFFERS];

/* Memory of transmitted pieces: 1 while the device holds what begins at `addr`. */
static struct {
    uint8_t *addr;
    uint8_t held;
} tx[TX_PIECES];
static unsigned tx_at, tx_held;

static uint8_t *area;
static const size_t AREA_BYTES = (size_t)RX_BUFFERS * RX_STRIDE + 4096 + (size_t)TX_PIECES * TX_STRIDE;

static uint32_t below(uint32_t n)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng >> 33) % n;
}

/* ---- frames ---- */

/* Frame number `seq`; its bytes follow from number and length, so that a model needs to keep only these. */
static void make_frame(uint8_t *p, uint32_t bytes, uint32_t seq)
{
    static const uint8_t HEAD[12] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x77};
    memcpy(p, HEAD, sizeof HEAD);
    p[12] = CONTRACT_ETHERTYPE >> 8;
    p[13] = CONTRACT_ETHERTYPE & 0xff;
    for (uint32_t i = ETHER_BYTES; i < bytes; i++)
        p[i] = (uint8_t)((seq * 31 + bytes * 7 + i * (1 + seq % 13)) >> (i % 3));
    p[14] = (uint8_t)(seq >> 8);
    p[15] = (uint8_t)seq;
}

static void check_frame(const uint8_t *p, uint32_t bytes, uint32_t want_bytes, uint32_t seq)
{
    static uint8_t want[FRAME_MAX];
    assert_int_equal(bytes, want_bytes);
    make_frame(want, bytes, seq);
    assert_memory_equal(p, want, bytes);
}

/* The largest frame that a device takes without large segments. */
static uint32_t plain_max(void)
{
    const struct weir_netdev_caps *c = &dev->caps;
    uint32_t n = c->mtu + ETHER_BYTES, piece = c->max_piece_bytes;
    if (c->boundary && c->boundary < piece) piece = c->boundary;
    if (n > c->max_frame) n = c->max_frame;
    if (n > FRAME_MAX) n = FRAME_MAX;
    if (piece < FRAME_MAX && n > c->max_pieces * piece) n = c->max_pieces * piece;
    return n;
}

static uint32_t rx_max(void)
{
    uint32_t n = dev->caps.mtu + ETHER_BYTES;
    if (n > dev->caps.max_frame) n = dev->caps.max_frame;
    return n < FRAME_MAX ? n : FRAME_MAX;
}

static void settle(void)
{
    if (rig->settle) rig->settle(rig);
}

/* ---- receive side ---- */

static unsigned post(unsigned most)
{
    unsigned n = 0;
    for (unsigned i = 0; i < RX_BUFFERS && n < most; i++) {
        if (rx[i].posted) continue;
        uint32_t want = dev->ops->rx_want(dev);
        if (want == 0) break;
        bool known = false;
        for (unsigned k = 0; k < env.n_zbuf_bytes; k++)
            known = known || env.zbuf_bytes[k] == want;
        assert_true(known);
        assert_int_equal(dev->ops->rx_post(dev, rx[i].addr, want), 0);
        rx[i].bytes = want;
        rx[i].posted = 1;
        memset(rx[i].addr + want, GUARD, GUARD_BYTES);
        n++;
    }
    return n;
}

static unsigned index_of_rx(const void *addr)
{
    for (unsigned i = 0; i < RX_BUFFERS; i++)
        if (rx[i].addr == addr) return i;
    fail_msg("an address that was never posted");
    return 0;
}

/* Takes a posted buffer back, however it came. */
static void ours_again(void *addr, uint32_t bytes)
{
    unsigned i = index_of_rx(addr);
    assert_int_equal(rx[i].posted, 1);
    assert_true(bytes <= rx[i].bytes);
    for (unsigned k = 0; k < GUARD_BYTES; k++)
        assert_int_equal(rx[i].addr[rx[i].bytes + k], GUARD);
    rx[i].posted = 0;
}

/* Gathers a received frame, whose buffers are ours again. False: not one of the suite's. */
static bool take_frame(const struct weir_frame *f, uint8_t *out)
{
    uint32_t sum = 0;
    assert_in_range(f->n_pieces, 1, WEIR_FRAME_PIECES_MAX);
    for (unsigned i = 0; i < f->n_pieces; i++) {
        const struct weir_piece *p = &f->pieces[i];
        assert_true(p->bytes > 0 && sum + p->bytes <= f->bytes);
        if (sum + p->bytes <= FRAME_MAX) memcpy(out + sum, p->addr, p->bytes);
        sum += p->bytes;
        ours_again(p->addr, p->bytes);
    }
    assert_int_equal(sum, f->bytes);
    return sum <= FRAME_MAX && sum > 16 && out[12] == CONTRACT_ETHERTYPE >> 8 &&
           out[13] == (CONTRACT_ETHERTYPE & 0xff);
}

static void unpost_all(void)
{
    void *addr[7];
    unsigned n;
    while ((n = dev->ops->rx_unpost(dev, addr, 7)) > 0)
        for (unsigned i = 0; i < n; i++)
            ours_again(addr[i], 0);
    for (unsigned i = 0; i < RX_BUFFERS; i++)
        assert_int_equal(rx[i].posted, 0);
}

/* Receives one frame of the suite; bytes, 0 when none came. */
static uint32_t receive(uint8_t *out)
{
    for (unsigned tries = 0; tries < SETTLES; tries++) {
        struct weir_frame f;
        if (dev->ops->rx_burst(dev, &f, 1) == 1) {
            if (take_frame(&f, out)) return f.bytes;
            continue;
        }
        post(RX_BUFFERS);
        settle();
    }
    return 0;
}

/* ---- transmit side ---- */

/* A place for a piece that keeps to the capabilities; first: the frame's first piece. */
static uint8_t *piece_place(uint32_t bytes, bool first)
{
    const struct weir_netdev_caps *c = &dev->caps;
    unsigned i = tx_at++ % TX_PIECES;
    while (tx[i].held)
        i = tx_at++ % TX_PIECES;
    uint8_t *page = area + (size_t)RX_BUFFERS * RX_STRIDE;
    page += (4096 - (uintptr_t)page % 4096) % 4096;
    uint32_t off = below(TX_STRIDE - bytes + 1);
    if (c->boundary && off / c->boundary != (off + bytes - 1) / c->boundary)
        off = off / c->boundary * c->boundary;
    if (first) off -= off % c->base_align;
    tx[i].addr = page + (size_t)i * TX_STRIDE + off;
    tx[i].held = 1;
    tx_held++;
    return tx[i].addr;
}

/* Cuts a frame into pieces at random within the capabilities. */
static void cut_frame(struct weir_frame *f, struct weir_piece *p, const uint8_t *bytes, uint32_t n)
{
    const struct weir_netdev_caps *c = &dev->caps;
    uint32_t most = c->max_piece_bytes < TX_STRIDE ? c->max_piece_bytes : TX_STRIDE;
    if (c->boundary && c->boundary < most) most = c->boundary;
    *f = (struct weir_frame){.pieces = p, .bytes = n};
    while (n > 0) {
        uint32_t after = (uint32_t)(c->max_pieces - f->n_pieces - 1) * most; /* what later pieces can take */
        uint32_t least = n > after ? n - after : 1;
        uint32_t high = n < most ? n : most;
        uint32_t take = f->n_pieces + 1 == c->max_pieces ? n : least + below(high - least + 1);
        if (below(4) == 0) take = high;
        p[f->n_pieces] = (struct weir_piece){piece_place(take, f->n_pieces == 0), take};
        memcpy(p[f->n_pieces++].addr, bytes, take);
        bytes += take;
        n -= take;
    }
}

static void ours_after_tx(const void *addr)
{
    for (unsigned i = 0; i < TX_PIECES; i++) {
        if (!tx[i].held || tx[i].addr != addr) continue;
        tx[i].held = 0;
        tx_held--;
        memset(tx[i].addr, 0xEE, 1); /* a device that still reads it will show */
        return;
    }
    fail_msg("an address was reported that is not held");
}

static unsigned reap(unsigned budget)
{
    void *addr[64];
    unsigned n = dev->ops->reap(dev, addr, budget);
    assert_true(n <= budget);
    if (!dev->caps.async) assert_int_equal(n, 0);
    for (unsigned i = 0; i < n; i++)
        ours_after_tx(addr[i]);
    return n;
}

/* Transmits frame `seq`, if there is room. */
static bool transmit(uint32_t bytes, uint32_t seq)
{
    uint8_t frame[FRAME_MAX];
    struct weir_piece p[WEIR_FRAME_PIECES_MAX];
    struct weir_frame f;
    if (dev->ops->tx_room(dev) == 0) return false;
    make_frame(frame, bytes, seq);
    cut_frame(&f, p, frame, bytes);
    assert_int_equal(dev->ops->tx_burst(dev, &f, 1), 1);
    for (unsigned i = 0; !dev->caps.async && i < f.n_pieces; i++)
        ours_after_tx(p[i].addr);
    return true;
}

static uint32_t peer_receive(uint8_t *out)
{
    for (unsigned tries = 0; tries < SETTLES; tries++) {
        uint32_t n = rig->peer_recv(rig, out, FRAME_MAX);
        if (n > 0) return n;
        settle();
        reap(64);
    }
    return 0;
}

/* ---- set-up ---- */

static void forget(void)
{
    memset(area, 0, AREA_BYTES);
    for (unsigned i = 0; i < RX_BUFFERS; i++) {
        rx[i].addr = area + (size_t)i * RX_STRIDE;
        rx[i].posted = 0;
    }
    memset(tx, 0, sizeof tx);
    tx_at = tx_held = 0;
}

static int build(void **state)
{
    const char *seed = getenv("WEIR_SEED");
    (void)state;
    rng = seed ? strtoull(seed, NULL, 0) : 99;
    area = malloc(AREA_BYTES);
    assert_non_null(area);
    forget();
    const char *why = rig->build(rig);
    if (why) {
        print_message("skipped: %s\n", why);
        free(area);
        area = NULL;
        return 0;
    }
    dev = rig->dev;
    env = (struct weir_netdev_env){.area = area,
                                   .area_bytes = AREA_BYTES,
                                   .plat = rig->plat,
                                   .zbuf_bytes = {256, 2048, RX_BYTES},
                                   .n_zbuf_bytes = 3,
                                   .rx_frames = BURST,
                                   .offloads = rig->offloads};
    return 0;
}

static int destroy(void **state)
{
    (void)state;
    if (!area) return 0;
    dev->ops->close(dev);
    rig->destroy(rig);
    free(area);
    return 0;
}

static void open_device(void)
{
    if (!area) skip();
    int err = dev->ops->open(dev, &env);
    if (err) print_message("%s\n", dev->error);
    assert_int_equal(err, 0);
    assert_string_equal(dev->error, "");
    if (rig->opened) rig->opened(rig);
}

/* ---- the contract ---- */

static void check_caps(const struct weir_netdev_caps *c)
{
    assert_in_range(c->max_pieces, 1, WEIR_FRAME_PIECES_MAX);
    assert_true(c->max_piece_bytes >= 1 && c->mtu >= 68 && c->max_frame >= 60);
    assert_true(c->base_align > 0 && (c->base_align & (c->base_align - 1)) == 0);
    assert_true((c->boundary & (c->boundary - 1)) == 0);
    assert_true(c->link == WEIR_LINK_ETHER || c->link == WEIR_LINK_RAW_IP);
    assert_true(c->async <= 1);
}

static void test_open_only_narrows(void **state)
{
    (void)state;
    if (!area) skip();
    struct weir_netdev_caps was = dev->caps;
    check_caps(&was);
    open_device();
    const struct weir_netdev_caps *c = &dev->caps;
    check_caps(c);
    assert_true(c->max_pieces <= was.max_pieces && c->max_piece_bytes <= was.max_piece_bytes);
    assert_true(c->mtu <= was.mtu && c->max_frame <= was.max_frame);
    assert_int_equal(c->async, was.async);
    assert_int_equal(c->offloads & ~(was.offloads & env.offloads), 0);
    assert_non_null(dev->name);
}

static void test_open_without_offloads(void **state)
{
    (void)state;
    if (!area) skip();
    uint16_t before = dev->caps.offloads;
    env.offloads = 0;
    open_device();
    assert_int_equal(dev->caps.offloads, 0);
    dev->ops->close(dev);
    assert_int_equal(dev->caps.offloads, before); /* for the next who opens it */
}

static void test_open_refuses_useless_buffers(void **state)
{
    (void)state;
    if (!area) skip();
    struct weir_netdev_env tiny = env;
    tiny.zbuf_bytes[0] = 16;
    tiny.n_zbuf_bytes = 1;
    assert_int_equal(dev->ops->open(dev, &tiny), WEIR_EINVAL);
    assert_true(dev->error[0] != 0);
    assert_true(strlen(dev->error) < sizeof dev->error - 1); /* not cut */
    open_device();
}

static void test_posting(void **state)
{
    (void)state;
    open_device();
    uint32_t want = dev->ops->rx_want(dev);
    assert_true(want > 0);
    assert_int_equal(dev->ops->rx_post(dev, rx[0].addr, want - 1), WEIR_EINVAL);
    unsigned n = post(RX_BUFFERS);
    assert_in_range(n, 1, RX_BUFFERS - 1);
    assert_int_equal(dev->ops->rx_want(dev), 0);
    assert_int_equal(dev->ops->rx_post(dev, rx[n].addr, RX_BYTES), WEIR_EAGAIN);
    unpost_all();
    assert_true(dev->ops->rx_want(dev) > 0);
    assert_int_equal(post(RX_BUFFERS), n);
    unpost_all();
}

static void test_closed_device_does_nothing(void **state)
{
    (void)state;
    open_device();
    post(3);
    dev->ops->close(dev);
    void *addr[4];
    struct weir_frame f;
    assert_int_equal(dev->ops->rx_want(dev), 0);
    assert_int_equal(dev->ops->rx_burst(dev, &f, 1), 0);
    assert_int_equal(dev->ops->tx_room(dev), 0);
    assert_int_equal(dev->ops->reap(dev, addr, 4), 0);
    assert_int_equal(dev->ops->rx_unpost(dev, addr, 4), 0);
    dev->ops->close(dev);
}

static void test_a_frame_waits_for_buffers(void **state)
{
    (void)state;
    open_device();
    uint8_t frame[FRAME_MAX];
    struct weir_frame f;
    make_frame(frame, rx_max(), 5);
    assert_int_equal(rig->peer_send(rig, frame, rx_max()), 1);
    settle();
    assert_int_equal(dev->ops->rx_burst(dev, &f, 1), 0);
    check_frame(frame, receive(frame), rx_max(), 5);
    unpost_all();
}

static void test_receive_every_size(void **state)
{
    (void)state;
    open_device();
    uint8_t frame[FRAME_MAX];
    uint32_t seq = 0;
    for (uint32_t bytes = 60; bytes <= rx_max(); bytes += bytes + 40 > rx_max() ? 1 : 17) {
        make_frame(frame, bytes, ++seq);
        assert_int_equal(rig->peer_send(rig, frame, bytes), 1);
        memset(frame, 0, sizeof frame);
        check_frame(frame, receive(frame), bytes, seq);
    }
    unpost_all();
}

static void test_receive_a_burst(void **state)
{
    (void)state;
    open_device();
    uint8_t frame[FRAME_MAX];
    struct weir_frame f[BURST];
    post(RX_BUFFERS);
    for (uint32_t i = 0; i < 6; i++) {
        make_frame(frame, 100 + i, i);
        assert_int_equal(rig->peer_send(rig, frame, 100 + i), 1);
    }
    uint32_t got = 0;
    for (unsigned tries = 0; got < 6 && tries < SETTLES; tries++) {
        settle();
        unsigned n = dev->ops->rx_burst(dev, f, 4);
        assert_true(n <= 4);
        for (unsigned i = 0; i < n; i++)
            if (take_frame(&f[i], frame)) check_frame(frame, f[i].bytes, 100 + got, got), got++;
        post(RX_BUFFERS);
    }
    assert_int_equal(got, 6);
    unpost_all();
}

static void test_work_shows_when_to_look(void **state)
{
    (void)state;
    open_device();
    uint8_t frame[FRAME_MAX];
    post(RX_BUFFERS);
    make_frame(frame, 100, 1);
    assert_int_equal(rig->peer_send(rig, frame, 100), 1);
    uint64_t next = dev->ops->next_us ? dev->ops->next_us(dev) : UINT64_MAX;
    struct pollfd p = {.fd = dev->ops->wait_handle(dev), .events = POLLIN};
    assert_true(p.fd >= 0 || next != UINT64_MAX);
    if (p.fd >= 0) assert_int_equal(poll(&p, 1, 1000), 1);
    if (next != UINT64_MAX) {
        uint64_t now = rig->plat->now_us(rig->plat->ctx);
        if (next > now) rig->plat->wait(rig->plat->ctx, (int64_t)(next - now));
        struct weir_frame f;
        assert_int_equal(dev->ops->rx_burst(dev, &f, 1), 1);
        assert_true(take_frame(&f, frame));
    }
    unpost_all();
}

static void test_transmit_every_size(void **state)
{
    (void)state;
    open_device();
    uint8_t frame[FRAME_MAX];
    uint32_t seq = 0;
    for (uint32_t bytes = 60; bytes <= plain_max(); bytes += bytes + 40 > plain_max() ? 1 : 13) {
        assert_true(transmit(bytes, ++seq));
        check_frame(frame, peer_receive(frame), bytes, seq);
        settle();
        reap(64);
    }
    assert_int_equal(dev->tx_dropped, 0);
}

static void test_pieces_come_back_once(void **state)
{
    (void)state;
    open_device();
    uint8_t frame[FRAME_MAX];
    for (uint32_t seq = 0; seq < 4; seq++)
        assert_true(transmit(plain_max(), seq));
    if (!dev->caps.async) assert_int_equal(tx_held, 0);
    for (uint32_t seq = 0; seq < 4; seq++)
        check_frame(frame, peer_receive(frame), plain_max(), seq);
    for (unsigned tries = 0; tx_held > 0 && tries < SETTLES; tries++) {
        settle();
        reap(3);
    }
    assert_int_equal(tx_held, 0);
    assert_int_equal(reap(64), 0);
}

static void test_room_is_kept(void **state)
{
    (void)state;
    open_device();
    uint8_t bytes[FRAME_MAX];
    struct weir_piece p[BURST][WEIR_FRAME_PIECES_MAX];
    struct weir_frame f[BURST];
    for (uint32_t sent = 0, got = 0; sent < 200;) {
        unsigned room = dev->ops->tx_room(dev), n = 1 + below(BURST);
        for (unsigned i = 0; i < n; i++) {
            make_frame(bytes, 60, sent + i);
            cut_frame(&f[i], p[i], bytes, 60);
        }
        unsigned taken = dev->ops->tx_burst(dev, f, n);
        assert_true(taken <= n && taken >= (room < n ? room : n));
        for (unsigned i = 0; i < n; i++)
            for (unsigned k = 0; (i >= taken || !dev->caps.async) && k < f[i].n_pieces; k++)
                ours_after_tx(p[i][k].addr);
        sent += taken;
        for (uint32_t upto = taken ? sent - below(3) : sent; got < upto && got < sent; got++)
            check_frame(bytes, peer_receive(bytes), 60, got);
        settle();
        reap(64);
    }
}

/* ---- random operations against a model: two lists of frames, in order ---- */

struct lane {
    uint32_t bytes[1024];
    uint32_t sent, got;
};

static void step_peer_sends(struct lane *l)
{
    uint8_t frame[FRAME_MAX];
    uint32_t bytes = 60 + below(rx_max() - 59);
    if (l->sent - l->got > 30 || l->sent == 1024) return;
    make_frame(frame, bytes, l->sent);
    if (rig->peer_send(rig, frame, bytes)) l->bytes[l->sent++] = bytes;
}

static void step_receive(struct lane *l)
{
    uint8_t frame[FRAME_MAX];
    struct weir_frame f[BURST];
    unsigned n = dev->ops->rx_burst(dev, f, 1 + below(BURST));
    for (unsigned i = 0; i < n; i++) {
        if (!take_frame(&f[i], frame)) continue;
        assert_true(l->got < l->sent);
        check_frame(frame, f[i].bytes, l->bytes[l->got], l->got);
        l->got++;
    }
}

static void step_transmit(struct lane *l)
{
    uint32_t bytes = 60 + below(plain_max() - 59);
    if (l->sent - l->got > 30 || l->sent == 1024) return;
    if (transmit(bytes, l->sent)) l->bytes[l->sent++] = bytes;
}

static void step_peer_receives(struct lane *l)
{
    uint8_t frame[FRAME_MAX];
    uint32_t n = rig->peer_recv(rig, frame, FRAME_MAX);
    if (n == 0) return;
    assert_true(l->got < l->sent);
    check_frame(frame, n, l->bytes[l->got], l->got);
    l->got++;
}

static void test_random_operations(void **state)
{
    (void)state;
    static struct lane in, out;
    memset(&in, 0, sizeof in);
    memset(&out, 0, sizeof out);
    open_device();
    for (unsigned step = 0; step < 6000; step++) {
        switch (below(7)) {
        case 0:
            step_peer_sends(&in);
            break;
        case 1:
            step_receive(&in);
            break;
        case 2:
            post(1 + below(8));
            break;
        case 3:
            step_transmit(&out);
            break;
        case 4:
            step_peer_receives(&out);
            break;
        case 5:
            reap(1 + below(9));
            break;
        default:
            settle();
            break;
        }
    }
    for (unsigned tries = 0; tries < SETTLES && (in.got < in.sent || out.got < out.sent); tries++) {
        for (unsigned i = 0; i < 40; i++) {
            post(RX_BUFFERS);
            step_receive(&in);
            step_peer_receives(&out);
        }
        reap(64);
        settle();
    }
    assert_int_equal(in.got, in.sent);
    assert_int_equal(out.got, out.sent);
    assert_true(in.sent > 200 && out.sent > 200);
    unpost_all();
}

static void test_reopen(void **state)
{
    (void)state;
    open_device();
    post(5);
    assert_true(transmit(60, 1));
    dev->ops->close(dev);
    forget();
    open_device();
    uint8_t frame[FRAME_MAX];
    for (unsigned i = 0; i < 5; i++) { /* what was on the wire may still arrive */
        settle();
        rig->peer_recv(rig, frame, FRAME_MAX);
    }
    assert_true(transmit(70, 2));
    check_frame(frame, peer_receive(frame), 70, 2);
    make_frame(frame, 80, 3);
    assert_int_equal(rig->peer_send(rig, frame, 80), 1);
    check_frame(frame, receive(frame), 80, 3);
    unpost_all();
}

#define CONTRACT_TEST(f) cmocka_unit_test_setup_teardown(f, build, destroy)

int weir_contract_run(struct contract_rig *r)
{
    rig = r;
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(test_open_only_narrows),
        CONTRACT_TEST(test_open_without_offloads),
        CONTRACT_TEST(test_open_refuses_useless_buffers),
        CONTRACT_TEST(test_posting),
        CONTRACT_TEST(test_closed_device_does_nothing),
        CONTRACT_TEST(test_a_frame_waits_for_buffers),
        CONTRACT_TEST(test_receive_every_size),
        CONTRACT_TEST(test_receive_a_burst),
        CONTRACT_TEST(test_work_shows_when_to_look),
        CONTRACT_TEST(test_transmit_every_size),
        CONTRACT_TEST(test_pieces_come_back_once),
        CONTRACT_TEST(test_room_is_kept),
        CONTRACT_TEST(test_random_operations),
        CONTRACT_TEST(test_reopen),
    };
    return cmocka_run_group_tests_name(r->name, tests, NULL, NULL);
}
