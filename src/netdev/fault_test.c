/* fault_test.c: faults by the numbers, over a synchronous pair in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "weir/err.h"
#include "weir/fault.h"
#include "weir/pair.h"

#define FRAMES 20000u
#define BYTES  200u

static struct weir_sim sim;
static struct weir_pair pair;
static struct weir_fault fault;
static struct weir_netdev *dev, *peer;
static void *memory;
static uint8_t dev_posts[64][2048], peer_posts[64][2048];
static unsigned at_post;

static void begin(const struct weir_fault_conf *conf)
{
    weir_sim_init(&sim, 3);
    struct weir_pair_conf c = {
        .plat = &sim.plat, .queue = 16, .max_frame = 1514, .mtu = 1500, .offloads = 15};
    memory = malloc(weir_pair_bytes(&c));
    assert_int_equal(weir_pair_init(&pair, &c, memory, weir_pair_bytes(&c)), 0);
    weir_fault_init(&fault, &pair.end[0].dev, conf);
    dev = &fault.dev;
    peer = &pair.end[1].dev;
    struct weir_netdev_env env = {
        .plat = &sim.plat, .zbuf_bytes = {2048}, .n_zbuf_bytes = 1, .rx_frames = 32, .offloads = 15};
    assert_int_equal(peer->ops->open(peer, &env),
                     0); /* opened first: must not send with offloads all the same */
    assert_int_equal(peer->caps.offloads & 3, 0);
    assert_int_equal(dev->ops->open(dev, &env), 0);
}

static void finish(void)
{
    dev->ops->close(dev);
    peer->ops->close(peer);
    free(memory);
}

static void post(struct weir_netdev *d, uint8_t posts[64][2048])
{
    while (d->ops->rx_want(d))
        assert_int_equal(d->ops->rx_post(d, posts[at_post++ % 64], 2048), 0);
}

/* Frame `seq`: type and number, then bytes that follow from the number. */
static void make(uint8_t *p, uint32_t seq, uint16_t type)
{
    memset(p, (int)(seq & 0xff), BYTES);
    p[12] = (uint8_t)(type >> 8);
    p[13] = (uint8_t)type;
    memcpy(p, &seq, sizeof seq); /* in place of an Ethernet address, where no bit is flipped */
}

static uint32_t seq_of(const uint8_t *p)
{
    uint32_t seq;
    memcpy(&seq, p, sizeof seq);
    return seq;
}

static unsigned send(struct weir_netdev *d, uint32_t seq, uint16_t type)
{
    static uint8_t bytes[BYTES], before[BYTES];
    struct weir_piece p[2] = {{bytes, 31}, {bytes + 31, BYTES - 31}};
    struct weir_frame f = {.pieces = p, .bytes = BYTES, .n_pieces = 2};
    make(bytes, seq, type);
    memcpy(before, bytes, BYTES);
    unsigned n = d->ops->tx_burst(d, &f, 1);
    assert_memory_equal(bytes, before, BYTES); /* faults are for copies */
    return n;
}

static unsigned bits_wrong(const uint8_t *p, uint16_t type)
{
    uint8_t want[BYTES];
    unsigned n = 0;
    make(want, seq_of(p), type);
    for (unsigned i = 0; i < BYTES; i++)
        n += (unsigned)__builtin_popcount((unsigned)(want[i] ^ p[i]));
    return n;
}

static void check_lane(const struct weir_fault_lane *l)
{
    unsigned states[4] = {0};
    for (unsigned i = 0; i < WEIR_FAULT_FRAMES; i++)
        states[l->slot[i].state]++;
    assert_int_equal(states[0], l->n_free);
    assert_int_equal(states[2], l->n_ready);
    assert_int_equal(states[3], l->n_held);
    assert_true(l->n_held <= WEIR_FAULT_HELD);
    for (unsigned i = 0; i < l->n_ready; i++)
        assert_int_equal(l->slot[l->ready[(l->head + i) % WEIR_FAULT_FRAMES]].state, 2);
}

struct seen {
    uint32_t got, corrupted, late, twice;
    uint32_t highest;
    uint64_t order; /* a hash over what came, in order */
    uint8_t times[FRAMES];
};

static void drain(struct weir_netdev *d, uint8_t posts[64][2048], struct seen *s, uint16_t type)
{
    struct weir_frame f[8];
    unsigned n;
    do {
        post(d, posts);
        n = d->ops->rx_burst(d, f, 8);
        for (unsigned i = 0; i < n; i++) {
            const uint8_t *p = f[i].pieces[0].addr;
            uint32_t seq = seq_of(p);
            assert_int_equal(f[i].bytes, BYTES);
            assert_true(seq < FRAMES);
            unsigned wrong = bits_wrong(p, type);
            assert_true(wrong <= 1);
            s->corrupted += wrong;
            s->got++;
            s->late += seq < s->highest;
            s->twice += s->times[seq]++ > 0;
            s->highest = seq > s->highest ? seq : s->highest;
            s->order = s->order * 1099511628211u + seq * 8 + wrong;
        }
        check_lane(&fault.tx);
        check_lane(&fault.rx);
    } while (n > 0);
}

/* All frames from one side to the other; time moves a little now and then, and on to the end. */
static void run(struct weir_netdev *from, struct weir_netdev *to, struct seen *s, uint16_t type)
{
    memset(s, 0, sizeof *s);
    for (uint32_t seq = 0; seq < FRAMES; seq++) {
        while (send(from, seq, type) == 0)
            drain(to, to == dev ? dev_posts : peer_posts, s, type);
        if (seq % 5 == 0) drain(to, to == dev ? dev_posts : peer_posts, s, type);
        if (seq % 7 == 0) sim.now_us += 100;
    }
    for (unsigned i = 0; i < 4; i++) {
        sim.now_us += WEIR_FAULT_HOLD_US;
        dev->ops->reap(dev, NULL, 0);
        drain(to, to == dev ? dev_posts : peer_posts, s, type);
    }
    assert_int_equal(fault.tx.n_held + fault.tx.n_ready + fault.rx.n_held + fault.rx.n_ready, 0);
}

/* Within five standard deviations of the expected number (at most sqrt(n p)). */
static void near(uint64_t n, double p)
{
    double want = FRAMES * p, off = (double)n > want ? (double)n - want : want - (double)n;
    assert_true(off * off <= 25 * want);
}

static const struct weir_fault_conf SOME = {
    .loss_ppm = 20000, .reorder_ppm = 30000, .dup_ppm = 10000, .corrupt_ppm = 5000, .seed = 7};

static struct seen seen, again;

static void check_run(void)
{
    near(fault.lost, 0.02);
    near(fault.reordered, 0.03);
    near(fault.doubled, 0.01);
    near(fault.corrupted, 0.005);
    assert_int_equal(seen.got, FRAMES - fault.lost + fault.doubled);
    assert_int_equal(seen.twice, fault.doubled);
    assert_in_range(seen.corrupted, fault.corrupted,
                    fault.corrupted + 10); /* a twin has the same wrong bit */
    assert_in_range(seen.late, FRAMES * 2 / 100, FRAMES * 6 / 100);
}

static void test_transmitted_frames_suffer(void **state)
{
    (void)state;
    begin(&SOME);
    run(dev, peer, &seen, 0x0800);
    check_run();
    finish();
}

static void test_received_frames_suffer(void **state)
{
    (void)state;
    begin(&SOME);
    run(peer, dev, &seen, 0x0800);
    check_run();
    finish();
}

static void test_a_seed_repeats_itself(void **state)
{
    (void)state;
    begin(&SOME);
    run(dev, peer, &seen, 0x0800);
    finish();
    begin(&SOME);
    run(dev, peer, &again, 0x0800);
    finish();
    assert_true(seen.order == again.order);
    struct weir_fault_conf other = SOME;
    other.seed = 8;
    begin(&other);
    run(dev, peer, &again, 0x0800);
    finish();
    assert_true(seen.order != again.order);
}

static void test_arp_is_not_corrupted(void **state)
{
    (void)state;
    const struct weir_fault_conf all = {.corrupt_ppm = 1000000};
    begin(&all);
    run(dev, peer, &seen, 0x0806);
    assert_int_equal(fault.corrupted + seen.corrupted, 0);
    run(dev, peer, &seen, 0x0800);
    assert_int_equal(seen.corrupted, FRAMES);
    finish();
}

static void test_total_loss(void **state)
{
    (void)state;
    const struct weir_fault_conf all = {.loss_ppm = 1000000};
    begin(&all);
    run(dev, peer, &seen, 0x0800);
    assert_int_equal(seen.got, 0);
    assert_int_equal(fault.lost, FRAMES);
    finish();
}

static void hold_one(int receiving)
{
    const struct weir_fault_conf all = {.reorder_ppm = 1000000};
    begin(&all);
    struct weir_netdev *from = receiving ? peer : dev, *to = receiving ? dev : peer;
    uint8_t(*posts)[2048] = receiving ? dev_posts : peer_posts;
    memset(&seen, 0, sizeof seen);
    assert_int_equal(send(from, 1, 0x0800), 1);
    drain(to, posts, &seen, 0x0800);
    assert_int_equal(seen.got, 0);
    assert_int_equal(dev->ops->next_us(dev), sim.now_us + WEIR_FAULT_HOLD_US);
    sim.now_us = dev->ops->next_us(dev);
    dev->ops->reap(dev, NULL, 0);
    drain(to, posts, &seen, 0x0800);
    assert_int_equal(seen.got, 1);
    assert_true(dev->ops->next_us(dev) == UINT64_MAX);
    finish();
}

static void test_held_frames_go_on_without_traffic(void **state)
{
    (void)state;
    hold_one(0);
    hold_one(1);
}

static void test_a_full_lower_device_is_back_pressure(void **state)
{
    (void)state;
    const struct weir_fault_conf none = {.seed = 1};
    begin(&none);
    uint32_t sent = 0;
    while (dev->ops->tx_room(dev) > 0)
        assert_int_equal(send(dev, sent++, 0x0800), 1);
    assert_in_range(sent, 16, 16 + WEIR_FAULT_FRAMES);
    memset(&seen, 0, sizeof seen);
    for (unsigned i = 0; i < 4; i++) {
        drain(peer, peer_posts, &seen, 0x0800);
        dev->ops->reap(dev, NULL, 0);
    }
    assert_int_equal(seen.got, sent);
    assert_int_equal(seen.late, 0);
    finish();
}

static void test_doubling_keeps_its_room(void **state)
{
    (void)state;
    const struct weir_fault_conf all = {.dup_ppm = 1000000};
    begin(&all);
    uint32_t sent = 0;
    while (send(dev, sent, 0x0800) == 1)
        sent++;
    assert_true(sent > 8);
    assert_int_equal(fault.doubled, sent);
    finish();
}

static void test_frames_that_break_the_caps_are_lost(void **state)
{
    (void)state;
    const struct weir_fault_conf none = {.seed = 1};
    begin(&none);
    static uint8_t large[4096];
    struct weir_piece p[2] = {{large, 2000}, {large, 60}};
    struct weir_frame f = {.pieces = p, .bytes = 2060, .n_pieces = 2};
    assert_int_equal(dev->ops->tx_burst(dev, &f, 1), 1);
    assert_int_equal(fault.lost, 1);
    p[1].bytes = UINT32_MAX - 100;
    assert_int_equal(dev->ops->tx_burst(dev, &f, 1), 1);
    assert_int_equal(fault.lost, 2);
    finish();
}

static void test_parse(void **state)
{
    (void)state;
    struct weir_fault_conf c;
    char why[240];
    assert_int_equal(
        weir_fault_parse(&c, "loss=0.02,reorder=1,dup=0.000001,corrupt=0.5,seed=77", why, sizeof why), 0);
    assert_int_equal(c.loss_ppm, 20000);
    assert_int_equal(c.reorder_ppm, 1000000);
    assert_int_equal(c.dup_ppm, 1);
    assert_int_equal(c.corrupt_ppm, 500000);
    assert_int_equal(c.seed, 77);
    assert_string_equal(why, "");
    assert_int_equal(weir_fault_parse(&c, "", why, sizeof why), 0);
    assert_int_equal(c.loss_ppm, 0);
    static const char *const BAD[] = {
        "loss",           "loss=", "loss=2",  "loss=1.000001", "loss=-1",   "loss=0.1,",        "lost=0.1",
        "loss=0.0000001", "seed=", "seed=1x", "loss=0.1;x",    ",loss=0.1", "loss=0.1,,dup=0.1"};
    for (unsigned i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        assert_int_equal(weir_fault_parse(&c, BAD[i], why, sizeof why), WEIR_EINVAL);
        assert_non_null(strstr(why, "loss, reorder, dup and corrupt"));
    }
    assert_int_equal(weir_fault_parse(&c, "loss=0.1,bogus=3", why, sizeof why), WEIR_EINVAL);
    assert_non_null(strstr(why, "from: bogus=3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transmitted_frames_suffer),
        cmocka_unit_test(test_received_frames_suffer),
        cmocka_unit_test(test_a_seed_repeats_itself),
        cmocka_unit_test(test_arp_is_not_corrupted),
        cmocka_unit_test(test_total_loss),
        cmocka_unit_test(test_held_frames_go_on_without_traffic),
        cmocka_unit_test(test_a_full_lower_device_is_back_pressure),
        cmocka_unit_test(test_doubling_keeps_its_room),
        cmocka_unit_test(test_frames_that_break_the_caps_are_lost),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
