/* pair_test.c: what is the pair's own: time, rate, queue, offloads, loss. What every device must do is tested
 * by the contract suite. Ends with random operations against a naive model; WEIR_SEED chooses another run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/err.h"
#include "weir/pair.h"
#include "weir/plat.h"

static struct weir_sim sim;
static struct weir_pair pair;
static struct weir_netdev *A, *B;
static uint8_t *memory;

static struct weir_pair_conf plain(void)
{
    return (struct weir_pair_conf){.plat = &sim.plat, .queue = 8, .max_frame = 1514, .mtu = 1500};
}

static void build(const struct weir_pair_conf *c)
{
    size_t n = weir_pair_bytes(c);
    assert_true(n > 0);
    memory = malloc(n);
    assert_non_null(memory);
    assert_int_equal(weir_pair_init(&pair, c, memory, n), 0);
    A = &pair.end[0].dev;
    B = &pair.end[1].dev;
}

static struct weir_netdev_env env_of(uint16_t offloads)
{
    return (struct weir_netdev_env){.plat = &sim.plat,
                                    .zbuf_bytes = {256, 2048, 16384},
                                    .n_zbuf_bytes = 3,
                                    .rx_frames = 8,
                                    .offloads = offloads};
}

static void open_both(uint16_t offloads)
{
    struct weir_netdev_env env = env_of(offloads);
    assert_int_equal(A->ops->open(A, &env), 0);
    assert_int_equal(B->ops->open(B, &env), 0);
}

static void finish(void)
{
    A->ops->close(A);
    B->ops->close(B);
    free(memory);
    memory = NULL;
}

static int reset(void **state)
{
    (void)state;
    weir_sim_init(&sim, 1);
    return 0;
}

static uint8_t posts[64][2048];

static void post_all(struct weir_netdev *d)
{
    for (unsigned i = 0; i < 64 && d->ops->rx_want(d); i++)
        assert_int_equal(d->ops->rx_post(d, posts[i], sizeof posts[i]), 0);
}

static unsigned send(struct weir_netdev *d, uint8_t *p, uint32_t n, uint16_t flags)
{
    struct weir_piece piece = {p, n};
    struct weir_frame f = {.pieces = &piece, .bytes = n, .n_pieces = 1, .flags = flags};
    f.csum_start = 34;
    f.csum_field = 16;
    f.hdr_bytes = 54;
    f.gso_bytes = flags & WEIR_FRAME_TSO4 ? 1460 : 0;
    return d->ops->tx_burst(d, &f, 1);
}

static unsigned recv_count(struct weir_netdev *d)
{
    struct weir_frame f[64];
    return d->ops->rx_burst(d, f, 64);
}

static void test_configuration_is_checked(void **state)
{
    (void)state;
    struct weir_pair_conf c = plain();
    assert_int_equal(weir_pair_bytes(&c), 2 * 8 * 1514);
    assert_int_equal(weir_pair_init(&pair, &c, posts, 2 * 8 * 1514 - 1), WEIR_EINVAL);
    struct weir_pair_conf bad[10];
    for (unsigned i = 0; i < 10; i++)
        bad[i] = c;
    bad[0].plat = NULL;
    bad[1].queue = 0;
    bad[2].queue = WEIR_PAIR_FRAMES + 1;
    bad[3].max_frame = 59;
    bad[4].max_frame = WEIR_PAIR_FRAME_MAX + 1;
    bad[5].mtu = 67;
    bad[6].boundary = 48;
    bad[7].base_align = 3;
    bad[8].max_pieces = WEIR_FRAME_PIECES_MAX + 1;
    bad[9].delay_us = UINT64_MAX;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(weir_pair_bytes(&bad[i]), 0);
    c.async = 1;
    assert_int_equal(weir_pair_bytes(&c), 1);
}

static void test_delay_and_rate(void **state)
{
    (void)state;
    struct weir_pair_conf c = plain();
    c.delay_us = 100;
    c.bits_per_s = 8000000; /* a byte a microsecond */
    build(&c);
    open_both(0);
    post_all(B);
    uint8_t frame[1000] = {0};
    assert_int_equal(send(A, frame, 1000, 0), 1);
    assert_int_equal(send(A, frame, 500, 0), 1);
    assert_int_equal(B->ops->next_us(B), sim.now_us + 1100);
    assert_true(A->ops->next_us(A) == UINT64_MAX);
    sim.now_us += 1099;
    assert_int_equal(recv_count(B), 0);
    sim.now_us += 1;
    assert_int_equal(recv_count(B), 1);
    assert_int_equal(B->ops->next_us(B), sim.now_us + 500);
    sim.now_us += 500;
    assert_int_equal(recv_count(B), 1);
    assert_true(B->ops->next_us(B) == UINT64_MAX);
    finish();
}

/* 10 Gbit/s: 1.2 us a frame must not be rounded up for each. */
static void test_rate_keeps_fractions(void **state)
{
    (void)state;
    struct weir_pair_conf c = plain();
    c.bits_per_s = 10000000000u;
    build(&c);
    open_both(0);
    post_all(B);
    uint8_t frame[1500] = {0};
    uint64_t start = sim.now_us;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(send(A, frame, 1500, 0), 1);
    sim.now_us = start + 6;
    assert_int_equal(recv_count(B), 5);
    finish();
}

static void test_full_queue_is_back_pressure(void **state)
{
    (void)state;
    struct weir_pair_conf c = plain();
    c.queue = 3;
    build(&c);
    open_both(0);
    uint8_t frame[100] = {0};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(A->ops->tx_room(A), 3 - i);
        assert_int_equal(send(A, frame, 100, 0), 1);
    }
    assert_int_equal(A->ops->tx_room(A), 0);
    assert_int_equal(send(A, frame, 100, 0), 0);
    post_all(B);
    assert_int_equal(recv_count(B), 3);
    assert_int_equal(A->ops->tx_room(A), 3);
    assert_int_equal(A->tx_dropped, 0);
    finish();
}

static void test_async_completes_in_another_order(void **state)
{
    (void)state;
    struct weir_pair_conf c = plain();
    c.async = 1;
    build(&c);
    open_both(0);
    uint8_t bytes[3][100];
    for (unsigned i = 0; i < 3; i++) {
        memset(bytes[i], (int)i, 100);
        assert_int_equal(send(A, bytes[i], 100, 0), 1);
    }
    void *done[8];
    assert_int_equal(A->ops->reap(A, done, 8), 0);
    memset(bytes[1], 77, 100); /* read only on delivery */
    post_all(B);
    struct weir_frame f[8];
    assert_int_equal(B->ops->rx_burst(B, f, 8), 3);
    assert_int_equal(f[1].pieces[0].addr[99], 77);
    assert_int_equal(A->ops->next_us(A), sim.now_us);
    assert_int_equal(A->ops->reap(A, done, 8), 3);
    assert_ptr_equal(done[0], bytes[2]);
    assert_ptr_equal(done[2], bytes[0]);
    finish();
}

static void test_closed_other_end_loses(void **state)
{
    (void)state;
    struct weir_pair_conf c = plain();
    c.async = 1;
    build(&c);
    struct weir_netdev_env env = env_of(0);
    assert_int_equal(A->ops->open(A, &env), 0);
    uint8_t frame[100] = {0};
    void *done[4];
    assert_int_equal(send(A, frame, 100, 0), 1);
    assert_int_equal(A->tx_dropped, 1);
    assert_int_equal(A->ops->reap(A, done, 4), 1);
    assert_int_equal(B->ops->open(B, &env), 0);
    assert_int_equal(B->ops->open(B, &env), WEIR_EBUSY);
    assert_true(B->error[0] != 0);
    assert_int_equal(send(A, frame, 100, 0), 1);
    B->ops->close(B);
    assert_int_equal(B->rx_dropped, 1);
    assert_int_equal(A->ops->reap(A, done, 4), 1);
    finish();
}

static void test_copies_survive_their_senders_close(void **state)
{
    (void)state;
    struct weir_pair_conf c = plain();
    build(&c);
    open_both(0);
    uint8_t frame[100];
    memset(frame, 5, 100);
    assert_int_equal(send(A, frame, 100, 0), 1);
    A->ops->close(A);
    post_all(B);
    assert_int_equal(recv_count(B), 1);
    assert_int_equal(posts[0][99], 5);
    finish();
}

#define ALL (WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM | WEIR_OFF_RX_MERGE4)

static void test_offloads_are_agreed(void **state)
{
    (void)state;
    static uint8_t large[60000];
    struct weir_pair_conf c = plain();
    c.max_frame = WEIR_PAIR_FRAME_MAX;
    c.offloads = ALL;
    build(&c);
    open_both(ALL);
    assert_int_equal(A->caps.offloads, ALL);
    post_all(B);
    assert_int_equal(send(A, large, sizeof large, WEIR_FRAME_TSO4 | WEIR_FRAME_CSUM_NEEDED), 1);
    struct weir_frame f;
    assert_int_equal(B->ops->rx_burst(B, &f, 1), 1);
    assert_int_equal(f.flags, WEIR_FRAME_TSO4 | WEIR_FRAME_CSUM_NEEDED);
    assert_int_equal(f.gso_bytes, 1460);
    assert_int_equal(f.n_pieces, 30);
    finish();
}

static void test_offloads_follow_the_weaker_end(void **state)
{
    (void)state;
    struct weir_pair_conf c = plain();
    c.offloads = ALL;
    build(&c);
    struct weir_netdev_env all = env_of(ALL), csum = env_of(WEIR_OFF_RX_CSUM), none = env_of(0);
    assert_int_equal(B->ops->open(B, &csum), 0);
    assert_int_equal(A->ops->open(A, &all), 0);
    assert_int_equal(A->caps.offloads, ALL & ~WEIR_OFF_TX_TSO4);
    assert_int_equal(B->caps.offloads, WEIR_OFF_RX_CSUM);
    B->ops->close(B);
    assert_int_equal(B->caps.offloads, ALL);
    assert_int_equal(B->ops->open(B, &none), WEIR_EINVAL);
    assert_true(B->error[0] != 0);
    A->ops->close(A);
    assert_int_equal(B->ops->open(B, &none), 0);
    assert_int_equal(A->ops->open(A, &all), 0);
    assert_int_equal(A->caps.offloads, ALL & ~(WEIR_OFF_TX_TSO4 | WEIR_OFF_TX_CSUM));
    finish();
}

static void test_what_breaks_the_caps_is_lost(void **state)
{
    (void)state;
    struct weir_pair_conf c = plain();
    c.max_piece_bytes = 512;
    c.boundary = 4096;
    c.base_align = 64;
    c.max_pieces = 2;
    build(&c);
    open_both(0);
    static _Alignas(4096) uint8_t page[8192];
    uint64_t lost = 0;
    assert_int_equal(send(A, page, 512, 0), 1);
    assert_int_equal(A->tx_dropped, lost);
    assert_int_equal(send(A, page, 513, 0), 1);
    assert_int_equal(A->tx_dropped, ++lost);
    assert_int_equal(send(A, page + 4032, 65, 0), 1);
    assert_int_equal(A->tx_dropped, ++lost);
    assert_int_equal(send(A, page + 32, 60, 0), 1);
    assert_int_equal(A->tx_dropped, ++lost);
    assert_int_equal(send(A, page, 60, WEIR_FRAME_CSUM_NEEDED), 1);
    assert_int_equal(A->tx_dropped, ++lost);
    struct weir_piece three[3] = {{page, 60}, {page + 100, 60}, {page + 200, 60}};
    struct weir_frame f = {.pieces = three, .bytes = 180, .n_pieces = 3};
    assert_int_equal(A->ops->tx_burst(A, &f, 1), 1);
    assert_int_equal(A->tx_dropped, ++lost);
    f.n_pieces = 2;
    assert_int_equal(A->ops->tx_burst(A, &f, 1), 1); /* its sum is not its bytes */
    assert_int_equal(A->tx_dropped, ++lost);
    finish();
}

static void test_zbufs_too_small_are_refused(void **state)
{
    (void)state;
    struct weir_pair_conf c = plain();
    c.max_frame = 65000;
    c.offloads = ALL;
    build(&c);
    struct weir_netdev_env env = env_of(ALL);
    env.n_zbuf_bytes = 1;
    assert_int_equal(A->ops->open(A, &env), WEIR_EINVAL);
    assert_string_equal(
        A->error, "frames of 65,000 bytes do not fit into 48 of the zbufs: add a class of 2,048 bytes or "
                  "more.");
    finish();
}

/* ---- random operations against a naive model ---- */

#define MODEL_MAX 4096
struct model { /* one direction: everything ever sent, and what of it has arrived */
    uint64_t due[MODEL_MAX];
    uint32_t bytes[MODEL_MAX];
    uint8_t fill[MODEL_MAX];
    unsigned sent, got;
    uint64_t line_free_us;
};

static uint64_t seed_of(void)
{
    const char *s = getenv("WEIR_SEED");
    return s ? strtoull(s, NULL, 0) : 20240607u;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(weir_sim_random(&sim) % n);
}

static void model_send(struct model *m, const struct weir_pair_conf *c, uint32_t bytes, uint8_t fill)
{
    uint64_t start = m->line_free_us > sim.now_us ? m->line_free_us : sim.now_us;
    m->line_free_us = start + bytes; /* a byte a microsecond */
    m->due[m->sent] = m->line_free_us + c->delay_us;
    m->bytes[m->sent] = bytes;
    m->fill[m->sent++] = fill;
}

static void check_end(const struct weir_pair_end *e)
{
    unsigned flying = 0;
    for (unsigned i = 0; i < e->used; i++)
        flying += e->slot[(e->head + i) % pair.conf.queue].frame.n_pieces;
    assert_int_equal(e->n_flying, e->dev.caps.async ? flying : 0);
    assert_true(e->n_flying + e->n_done <= WEIR_PAIR_DONE);
    assert_true(e->used <= pair.conf.queue && e->posts.n <= e->posts.want);
}

static uint8_t fills[256][1514]; /* frames never change: an asynchronous device reads late */

static void step_send(struct weir_netdev *d, struct model *m, uint64_t *pieces)
{
    struct weir_piece p[4];
    struct weir_frame f = {.pieces = p, .n_pieces = (uint16_t)(1 + below(4))};
    uint8_t fill = (uint8_t)below(256);
    for (unsigned i = 0; i < f.n_pieces; i++) {
        p[i] = (struct weir_piece){fills[fill], 1 + below(370)};
        f.bytes += p[i].bytes;
    }
    unsigned room = d->ops->tx_room(d);
    assert_int_equal(room, pair.conf.queue - (m->sent - m->got));
    assert_int_equal(d->ops->tx_burst(d, &f, 1), room > 0);
    if (room == 0) return;
    model_send(m, &pair.conf, f.bytes, fill);
    *pieces += f.n_pieces;
}

static void step_receive(struct weir_netdev *d, struct model *m)
{
    struct weir_frame f[4];
    unsigned n = d->ops->rx_burst(d, f, 1 + below(4));
    for (unsigned i = 0; i < n; i++, m->got++) {
        assert_true(m->got < m->sent);
        assert_true(m->due[m->got] <= sim.now_us);
        assert_int_equal(f[i].bytes, m->bytes[m->got]);
        assert_int_equal(f[i].pieces[0].addr[0], m->fill[m->got]);
    }
    if (n == 0 && m->got < m->sent && m->due[m->got] <= sim.now_us) assert_true(d->ops->rx_want(d) != 0);
}

static void run_random(uint8_t async)
{
    static struct model m[2];
    static uint8_t space[2][64][256];
    memset(m, 0, sizeof m);
    for (unsigned i = 0; i < 256; i++)
        memset(fills[i], (int)i, sizeof fills[i]);
    struct weir_pair_conf c = plain();
    c.async = async;
    c.bits_per_s = 8000000;
    c.delay_us = 700;
    build(&c);
    struct weir_netdev_env env = env_of(0);
    env.n_zbuf_bytes = 1; /* 256: frames span several */
    assert_int_equal(A->ops->open(A, &env), 0);
    assert_int_equal(B->ops->open(B, &env), 0);
    uint64_t pieces = 0, reaped = 0;
    unsigned at[2] = {0, 0};
    for (unsigned step = 0; step < 12000 && m[0].sent < MODEL_MAX && m[1].sent < MODEL_MAX; step++) {
        unsigned i = below(2);
        struct weir_netdev *d = i ? B : A;
        void *done[16];
        switch (below(5)) {
        case 0:
            step_send(d, &m[i], &pieces);
            break;
        case 1:
            step_receive(d, &m[!i]);
            break;
        case 2:
            if (d->ops->rx_want(d)) assert_int_equal(d->ops->rx_post(d, space[i][at[i]++ % 64], 256), 0);
            break;
        case 3:
            reaped += d->ops->reap(d, done, 1 + below(16));
            break;
        default:
            sim.now_us += below(600);
            break;
        }
        check_end(&pair.end[0]);
        check_end(&pair.end[1]);
        assert_true(reaped <= pieces);
    }
    assert_true(m[0].got > 100 && m[1].got > 100);
    uint64_t held = pair.end[0].n_flying + pair.end[0].n_done + pair.end[1].n_flying + pair.end[1].n_done;
    assert_int_equal(async ? pieces : 0, reaped + held);
    finish();
}

static void test_random_operations(void **state)
{
    (void)state;
    uint64_t seed = seed_of();
    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint8_t async = 0; async < 2; async++) {
        weir_sim_init(&sim, seed);
        run_random(async);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_configuration_is_checked, reset),
        cmocka_unit_test_setup(test_delay_and_rate, reset),
        cmocka_unit_test_setup(test_rate_keeps_fractions, reset),
        cmocka_unit_test_setup(test_full_queue_is_back_pressure, reset),
        cmocka_unit_test_setup(test_async_completes_in_another_order, reset),
        cmocka_unit_test_setup(test_closed_other_end_loses, reset),
        cmocka_unit_test_setup(test_copies_survive_their_senders_close, reset),
        cmocka_unit_test_setup(test_offloads_are_agreed, reset),
        cmocka_unit_test_setup(test_offloads_follow_the_weaker_end, reset),
        cmocka_unit_test_setup(test_what_breaks_the_caps_is_lost, reset),
        cmocka_unit_test_setup(test_zbufs_too_small_are_refused, reset),
        cmocka_unit_test_setup(test_random_operations, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
