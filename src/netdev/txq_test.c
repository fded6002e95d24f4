/* txq_test.c: references of a burst, over a device that promises and accepts as the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "netdev/txq.h"
#include "weir/plat.h"

#define MAX   8
#define SEGS  64
#define HELD  512
#define STEPS 20000

/* ---- the device ---- */

static struct {
    struct weir_netdev dev;
    unsigned room, accept; /* what it promises, and what it takes of a burst */
    unsigned bursts, frames;
    void *held[HELD];
    unsigned n_held;
} fake;

static unsigned fake_room(struct weir_netdev *d)
{
    (void)d;
    return fake.room;
}

static unsigned fake_burst(struct weir_netdev *d, const struct weir_frame *f, unsigned n)
{
    unsigned take = n < fake.accept ? n : fake.accept;
    fake.bursts++;
    fake.frames += take;
    for (unsigned i = 0; d->caps.async && i < take; i++)
        for (unsigned j = 0; j < f[i].n_pieces; j++)
            fake.held[fake.n_held++] = f[i].pieces[j].addr;
    fake.room -= fake.room < take ? fake.room : take;
    return take;
}

static unsigned fake_reap(struct weir_netdev *d, void **addr, unsigned n)
{
    unsigned i;
    (void)d;
    for (i = 0; i < n && fake.n_held > 0; i++)
        addr[i] = fake.held[--fake.n_held];
    return i;
}

static const struct weir_netdev_ops FAKE_OPS = {
    .tx_room = fake_room, .tx_burst = fake_burst, .reap = fake_reap};

/* ---- the pool and the burst ---- */

static struct weir_zpool z;
static struct weir_stats stats;
static struct weir_txq q;
static struct weir_frame frames[MAX];
static struct weir_piece pieces[WEIR_TXQ_PIECES(MAX)];
static _Alignas(4096) uint8_t memory[1 << 19];

static void begin(uint8_t async)
{
    struct weir_config conf = {.zclass = {{256, SEGS}, {2048, SEGS}}, .zclasses = 2};
    struct weir_area area = {memory, sizeof memory, WEIR_AREA_ANY};
    struct weir_plan plan;
    struct weir_carve carve;
    weir_carve_init(&carve, &plan, &area, 1);
    assert_true(weir_zpool_carve(&z, &carve, &conf));
    memset(&stats, 0, sizeof stats);
    memset(&fake, 0, sizeof fake);
    fake.dev.ops = &FAKE_OPS;
    fake.dev.caps.async = async;
    fake.room = fake.accept = 1000;
    weir_txq_init(&q, &fake.dev, &z, &stats, frames, pieces, MAX);
}

/* A frame of a header block of its own and n - 1 pieces of `data`. */
static void push(struct weir_zhead *data, unsigned n)
{
    struct weir_piece p[WEIR_FRAME_PIECES_MAX];
    struct weir_zhead *hdr = weir_zpool_take(&z, 64, WEIR_TAKE_CONTROL);
    assert_non_null(hdr);
    p[0] = (struct weir_piece){weir_zpool_first(&z, hdr) + 20, 54};
    for (unsigned i = 1; i < n; i++)
        p[i] = (struct weir_piece){weir_zpool_first(&z, data) + i, 10};
    struct weir_frame f = {.pieces = p, .bytes = 54 + (n - 1) * 10, .n_pieces = (uint16_t)n};
    assert_true(weir_txq_room(&q, n));
    weir_txq_push(&q, &f);
}

static struct weir_zhead *data_block(void)
{
    struct weir_zhead *h = weir_zpool_take(&z, 2048, WEIR_TAKE_APP);
    assert_non_null(h);
    return h;
}

static void test_synchronous_releases_at_flush(void **state)
{
    (void)state;
    begin(0);
    struct weir_zhead *d = data_block();
    push(d, 3);
    push(d, 1);
    assert_int_equal(d->stk, 2);
    assert_int_equal(z.live, 3);
    weir_txq_flush(&q);
    assert_int_equal(d->stk, 0);
    assert_int_equal(z.live, 1);
    assert_int_equal(fake.bursts, 1);
    assert_int_equal(stats.tx_frames, 2);
    assert_int_equal(stats.tx_bytes_wire, 54 + 20 + 54);
    weir_txq_flush(&q);
    assert_int_equal(fake.bursts, 1); /* nothing to hand over */
    assert_int_equal(weir_txq_reap(&q, 100), 0);
}

/* One whose header block is borrowed and whose data nobody refers to. */
static void push_lean(struct weir_zhead *data)
{
    struct weir_zhead *hdr = weir_txq_borrow(&q);
    assert_non_null(hdr);
    assert_true(weir_txq_has_place(&q, 2));
    struct weir_frame *f = weir_txq_place_lean(&q, 64, 2);
    f->pieces[0] = (struct weir_piece){weir_zpool_first(&z, hdr) + 20, 54};
    f->pieces[1] = (struct weir_piece){weir_zpool_first(&z, data), 10};
}

/* One whose header block is borrowed. */
static void push_bare(struct weir_zhead *data)
{
    struct weir_zhead *hdr = weir_txq_borrow(&q);
    assert_non_null(hdr);
    struct weir_piece p[2] = {{weir_zpool_first(&z, hdr) + 20, 54}, {weir_zpool_first(&z, data), 10}};
    struct weir_frame f = {.pieces = p, .bytes = 64, .n_pieces = 2};
    q.bare_next = true;
    weir_txq_push(&q, &f);
    assert_false(q.bare_next);
}

static void test_borrowed_blocks_come_back(void **state)
{
    (void)state;
    begin(0);
    struct weir_zhead *d = data_block();
    for (unsigned round = 0; round < 3; round++) {
        fake.accept = round == 1 ? 1 : 1000;
        push_lean(d);
        struct weir_zhead *between = weir_zpool_take(&z, 64, WEIR_TAKE_CONTROL);
        push_lean(d);
        push_bare(d);
        push(d, 2); /* its references are all there */
        weir_zpool_unref(&z, between, WEIR_OWNER_TXWAIT);
        assert_int_equal(d->stk, 2);
        assert_int_equal(z.live, 2);
        assert_int_equal(z.cls[0].free, SEGS - 4);
        weir_txq_flush(&q);
        assert_int_equal(d->stk, 0);
        assert_int_equal(z.live, 1);
        assert_int_equal(z.cls[0].free, SEGS);
        assert_int_equal(weir_zpool_check(&z), 0);
        assert_false(weir_txq_pending(&q));
    }
    assert_int_equal(stats.tx_frames, 9);
    assert_int_equal(stats.tx_bytes_wire, 9 * 64);
    assert_int_equal(stats.drops[WEIR_DROP_TX_REFUSED], 3);
}

static void test_borrowing_ends_at_the_floor(void **state)
{
    (void)state;
    static const uint32_t floor[WEIR_TAKES] = {3, 3, 3, 3, 3, 3};
    begin(0);
    weir_zpool_floor(&z, 0, floor);
    unsigned n = 0;
    while (weir_txq_borrow(&q))
        n++;
    assert_int_equal(n, SEGS - 3);
    assert_int_equal(z.cls[0].low, 3);
    assert_true(weir_txq_pending(&q)); /* also without a frame */
    weir_txq_flush(&q);
    assert_int_equal(z.cls[0].free, SEGS);
    assert_int_equal(weir_zpool_check(&z), 0);
    begin(1);
    assert_null(weir_txq_borrow(&q)); /* an asynchronous device keeps what it is given */
}

static void test_asynchronous_releases_at_reap(void **state)
{
    (void)state;
    begin(1);
    struct weir_zhead *d = data_block();
    push(d, 3);
    push(d, 2);
    weir_txq_flush(&q);
    assert_int_equal(d->stk, 3);
    weir_zpool_app_unref(&z, d, 1); /* the application has freed; the device still holds it */
    assert_int_equal(z.live, 3);
    assert_int_equal(weir_txq_reap(&q, 2), 2);
    assert_int_equal(z.live, 2);
    assert_int_equal(weir_txq_reap(&q, 100), 3);
    assert_int_equal(z.live, 0);
}

static void test_refused_frames_are_dropped_and_counted(void **state)
{
    (void)state;
    begin(1);
    struct weir_zhead *d = data_block();
    for (unsigned i = 0; i < 3; i++)
        push(d, 2);
    fake.accept = 1;
    weir_txq_flush(&q);
    assert_int_equal(stats.drops[WEIR_DROP_TX_REFUSED], 2);
    assert_int_equal(stats.tx_frames, 1);
    assert_int_equal(d->stk, 1);
    assert_int_equal(z.live, 2);
    assert_int_equal(q.n + q.pieces, 0);
}

static void test_room_counts_what_waits_already(void **state)
{
    (void)state;
    begin(0);
    fake.room = 2;
    push(data_block(), 1);
    push(data_block(), 1);
    assert_false(weir_txq_room(&q, 1)); /* flushed, and the device is full now */
    assert_int_equal(fake.frames, 2);
    fake.room = 1;
    assert_true(weir_txq_room(&q, 1));
    assert_int_equal(stats.drops[WEIR_DROP_TX_REFUSED], 0);
}

static void test_full_burst_is_flushed_for_room(void **state)
{
    (void)state;
    begin(0);
    struct weir_zhead *d = data_block();
    for (unsigned i = 0; i < MAX; i++)
        push(d, 1);
    assert_int_equal(fake.bursts, 0);
    push(d, 1);
    assert_int_equal(fake.bursts, 1);
    weir_txq_flush(&q);
    push(d, WEIR_FRAME_PIECES_MAX);
    push(d, WEIR_FRAME_PIECES_MAX);
    assert_int_equal(fake.bursts, 2);
    push(d, WEIR_FRAME_PIECES_MAX); /* the pieces' array is full before the frames' */
    assert_int_equal(fake.bursts, 3);
}

static void test_reference_limit_drops_the_frame(void **state)
{
    (void)state;
    begin(0);
    struct weir_zhead *d = data_block();
    for (unsigned i = 0; i < UINT16_MAX - 1; i++)
        assert_true(weir_zpool_ref(&z, d, WEIR_OWNER_SENDQ));
    push(d, 3); /* one more fits, the second does not */
    assert_int_equal(q.n, 0);
    assert_int_equal(d->stk, UINT16_MAX - 1);
    assert_int_equal(z.live, 1);
    assert_int_equal(stats.drops[WEIR_DROP_TX_REFUSED], 1);
}

/* The sum over all heads equals what the burst and the device hold. */
static void check_sums(void)
{
    uint32_t stk = 0;
    for (uint32_t i = 0; i < z.total; i++)
        stk += weir_zpool_by_number(&z, i)->stk;
    assert_int_equal(stk, q.pieces + fake.n_held);
    assert_int_equal(weir_zpool_check(&z), 0);
}

static void test_random_operations(void **state)
{
    (void)state;
    const char *text = getenv("WEIR_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 4711;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct weir_sim sim;
    weir_sim_init(&sim, seed);
    begin(1);
    struct weir_zhead *d = data_block();
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t r = weir_sim_random(&sim);
        unsigned n = 1 + (unsigned)(r >> 8) % 12;
        fake.room = (unsigned)(r >> 16) % 12;
        fake.accept = r & 128 ? 1000 : (unsigned)(r >> 24) % 4;
        if (fake.n_held > 40) fake.room = 0;
        switch (r % 4) {
        case 0:
        case 1:
            if (weir_txq_room(&q, n) && z.cls[0].free > 0) push(d, n);
            break;
        case 2:
            weir_txq_flush(&q);
            break;
        default:
            weir_txq_reap(&q, n);
            break;
        }
        check_sums();
    }
    fake.accept = 1000;
    weir_txq_flush(&q);
    weir_txq_reap(&q, HELD);
    assert_int_equal(z.live, 1);
    assert_true(stats.tx_frames > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synchronous_releases_at_flush),
        cmocka_unit_test(test_borrowed_blocks_come_back),
        cmocka_unit_test(test_borrowing_ends_at_the_floor),
        cmocka_unit_test(test_asynchronous_releases_at_reap),
        cmocka_unit_test(test_refused_frames_are_dropped_and_counted),
        cmocka_unit_test(test_room_counts_what_waits_already),
        cmocka_unit_test(test_full_burst_is_flushed_for_room),
        cmocka_unit_test(test_reference_limit_drops_the_frame),
        cmocka_unit_test(test_random_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
