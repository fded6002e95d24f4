/* Tests of slice.c: small slices leave large segments, and nothing else moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mem/zfixture.h"
#include "pkt/slice.h"

#define PBUFS 64

struct bench {
    struct zfixture f;
    struct weir_pktmem m;
    struct weir_pbuf cell[PBUFS];
    uint32_t first, last, n, seq;
    uint8_t want[PBUFS * 4096];
};

/* Strides 256, 1024, 4096. */
static int open_bench(void **state)
{
    static struct bench b;
    memset(&b, 0, sizeof b);
    struct weir_config conf = zfixture_config(WEIR_ZLAYOUT_DENSE, (const uint32_t[]){32, 32, 32, 0});
    zfixture_open(&b.f, &conf);
    b.m = (struct weir_pktmem){.z = &b.f.z, .stats = &b.f.stats};
    weir_cells_init(&b.m.pbufs, b.cell, PBUFS, sizeof *b.cell);
    *state = &b;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *b = *state;
    while (b->first)
        b->first = weir_pbuf_drop(&b->m, b->first, WEIR_OWNER_RECVQ);
    int broken = weir_zpool_check(&b->f.z);
    if (b->f.z.live != 0) broken = 99;
    zfixture_close(&b->f);
    return broken;
}

/* Appends bytes of a segment of its own, at an offset. */
static struct weir_pbuf *put(struct bench *b, uint32_t seg_bytes, uint32_t off, uint32_t n)
{
    struct weir_zhead *h = weir_zpool_take(&b->f.z, seg_bytes, WEIR_TAKE_COPY);
    assert_non_null(h);
    uint8_t *at = weir_zpool_first(&b->f.z, h) + off;
    for (uint32_t i = 0; i < n; i++)
        at[i] = b->want[b->seq + i] = (uint8_t)(7 * (b->seq + i) + (b->seq >> 8));
    uint32_t number = weir_pbuf_new(&b->m, at, n, b->seq, WEIR_OWNER_RECVQ);
    assert_int_not_equal(number, 0);
    (void)weir_zpool_unref(&b->f.z, h, WEIR_OWNER_WARM);
    if (b->last) weir_pbuf_at(&b->m, b->last)->next = number;
    if (!b->first) b->first = number;
    b->last = number;
    b->n++;
    b->seq += n;
    return weir_pbuf_at(&b->m, number);
}

static uint32_t pins(const struct bench *b)
{
    uint32_t sum = 0;
    for (uint32_t at = b->first; at; at = weir_pbuf_at(&b->m, at)->next)
        sum += weir_zpool_bytes(&b->f.z, weir_zpool_head(&b->f.z, weir_pbuf_at(&b->m, at)->addr));
    return sum;
}

struct ran {
    uint32_t copied, joined, freed_bytes;
};

/* Runs it, and checks that the queue says what it said before. */
static struct ran run_within(struct bench *b, struct weir_slicing *may)
{
    uint32_t before = pins(b), seq = 0, n = 0, last = 0;
    uint64_t copied = b->f.stats.slices_copied;
    struct weir_sliced done = weir_slice_queue(&b->m, b->first, b->last, WEIR_OWNER_RECVQ, may);
    for (uint32_t at = b->first; at; at = weir_pbuf_at(&b->m, at)->next) {
        const struct weir_pbuf *p = weir_pbuf_at(&b->m, at);
        assert_int_equal(p->seq, seq);
        assert_memory_equal(p->addr, b->want + seq, p->bytes);
        seq += p->bytes;
        last = at;
        n++;
    }
    assert_int_equal(seq, b->seq);
    assert_int_equal(done.last, last);
    assert_int_equal(b->n - n, done.joined);
    assert_int_equal(before - pins(b), done.freed_bytes);
    assert_int_equal(b->m.pbufs.used, n);
    b->n = n;
    b->last = last;
    return (struct ran){(uint32_t)(b->f.stats.slices_copied - copied), done.joined, done.freed_bytes};
}

static struct ran run(struct bench *b, uint32_t max_bytes)
{
    struct weir_slicing may = {.bytes = max_bytes, .pbufs = PBUFS};
    return run_within(b, &may);
}

static void an_empty_queue(void **state)
{
    struct bench *b = *state;
    assert_int_equal(run(b, 1000).copied, 0);
}

static void small_ones_share_a_smaller_segment(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 10; i++)
        put(b, 4096, 100, 50);
    struct ran done = run(b, 100000);
    assert_int_equal(done.copied, 500);
    assert_int_equal(done.joined, 9);
    assert_int_equal(pins(b), 1024);
}

static void well_filled_ones_stay(void **state)
{
    struct bench *b = *state;
    const uint8_t *at = put(b, 4096, 0, 2048)->addr;
    put(b, 1024, 0, 512);
    put(b, 256, 0, 200);
    assert_int_equal(run(b, 100000).copied, 0);
    assert_ptr_equal(weir_pbuf_at(&b->m, b->first)->addr, at);
}

static void behind_the_one_before_it(void **state)
{
    struct bench *b = *state;
    put(b, 1024, 0, 900);
    put(b, 4096, 0, 100);
    put(b, 4096, 0, 100); /* no more room there */
    struct ran done = run(b, 100000);
    assert_int_equal(done.joined, 1);
    assert_int_equal(done.copied, 200);
    assert_int_equal(pins(b), 1024 + 256);
}

static void bytes_move_to_the_front_for_it(void **state)
{
    struct bench *b = *state;
    put(b, 1024, 424, 600);
    put(b, 4096, 0, 300);
    struct ran done = run(b, 100000);
    assert_int_equal(done.joined, 1);
    assert_int_equal(pins(b), 1024);
}

static void what_others_hold_stays(void **state)
{
    struct bench *b = *state;
    struct weir_pbuf *p = put(b, 4096, 0, 50);
    struct weir_zhead *lent = weir_zpool_head(&b->f.z, p->addr);
    assert_int_equal(weir_zpool_app_ref(&b->f.z, lent), 0);
    struct weir_pbuf *q = put(b, 4096, 0, 50);
    struct weir_zhead *device = weir_zpool_head(&b->f.z, q->addr);
    assert_true(weir_zpool_ref(&b->f.z, device, WEIR_OWNER_TXDEV));
    assert_int_equal(run(b, 100000).copied, 0);
    assert_int_equal(weir_zpool_app_unref(&b->f.z, lent, 1), 1);
    (void)weir_zpool_unref(&b->f.z, device, WEIR_OWNER_TXDEV);
    assert_int_equal(run(b, 100000).copied, 100);
}

static void no_smaller_segment(void **state)
{
    struct bench *b = *state;
    struct weir_zhead *held[64];
    unsigned n = 0;
    put(b, 4096, 0, 50);
    for (unsigned c = 0; c < 2; c++)
        while (b->f.z.cls[c].free > 0)
            held[n++] = weir_zpool_take(&b->f.z, b->f.z.cls[c].bytes, WEIR_TAKE_APP);
    uint32_t live = b->f.z.live;
    assert_int_equal(run(b, 100000).copied, 0);
    assert_int_equal(b->f.z.live, live);
    while (n > 0)
        (void)weir_zpool_app_unref(&b->f.z, held[--n], 1);
}

/* A take that was refused is not tried for each of the slices behind, whose run would be looked at each time;
 * those that need none go on. The next budget tries again. */
static void a_refused_take_is_not_repeated(void **state)
{
    struct bench *b = *state;
    struct weir_zhead *held[64];
    unsigned n = 0;
    for (int i = 0; i < 10; i++) {
        put(b, 4096, 0, 4090); /* none can join it */
        put(b, 4096, 0, 50);
    }
    put(b, 4096, 0, 50); /* joins the one before it */
    for (unsigned c = 0; c < 2; c++)
        while (b->f.z.cls[c].free > 0)
            held[n++] = weir_zpool_take(&b->f.z, b->f.z.cls[c].bytes, WEIR_TAKE_APP);
    struct weir_slicing may = {.bytes = 100000, .pbufs = 1000};
    struct ran done = run_within(b, &may);
    assert_int_equal(may.refused, 1);
    assert_int_equal(1000 - may.pbufs, 21); /* each once */
    assert_int_equal(done.copied, 50);
    assert_int_equal(done.joined, 1);
    (void)weir_zpool_app_unref(&b->f.z, held[--n], 1);
    assert_int_equal(run_within(b, &may).copied, 0);
    assert_in_range(run(b, 100000).copied, 50, 100); /* into the one that came back */
    while (n > 0)
        (void)weir_zpool_app_unref(&b->f.z, held[--n], 1);
}

static void at_most_so_many_descriptors(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 20; i++)
        put(b, 4096, 0, i % 5 ? 4090 : 50);
    struct weir_slicing may = {.bytes = 100000, .pbufs = 6};
    assert_int_equal(run_within(b, &may).copied, 100);
    assert_int_equal(may.pbufs, 0);
    assert_int_equal(run(b, 100000).copied, 100);
}

static void at_most_so_many_bytes(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 20; i++)
        put(b, 1024, 0, 100);
    assert_in_range(run(b, 300).copied, 300, 400);
    while (run(b, 300).copied > 0) {
    }
    assert_in_range(pins(b), 2000, 3 * 1024 + 256);
}

static void any_queue(void **state)
{
    struct bench *b = *state;
    uint64_t seed = zfixture_seed();
    for (int round = 0; round < 400; round++) {
        unsigned k = 1 + zfixture_random(&seed, 20);
        for (unsigned i = 0; i < k; i++) {
            uint32_t seg = 256u << 2 * zfixture_random(&seed, 3);
            uint32_t n = 1 + zfixture_random(&seed, zfixture_random(&seed, 2) ? seg : seg / 4);
            put(b, seg, zfixture_random(&seed, seg - n + 1), n);
        }
        uint32_t before = pins(b);
        for (int i = 0; i < 4; i++)
            (void)run(b, 1 + zfixture_random(&seed, 4000));
        assert_true(pins(b) <= before);
        assert_int_equal(weir_zpool_check(&b->f.z), 0);
        while (b->first)
            b->first = weir_pbuf_drop(&b->m, b->first, WEIR_OWNER_RECVQ);
        b->last = b->n = b->seq = 0;
        assert_int_equal(b->f.z.live, 0);
    }
}

#define BENCH_TEST(f) cmocka_unit_test_setup_teardown(f, open_bench, close_bench)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(an_empty_queue),
        BENCH_TEST(small_ones_share_a_smaller_segment),
        BENCH_TEST(well_filled_ones_stay),
        BENCH_TEST(behind_the_one_before_it),
        BENCH_TEST(bytes_move_to_the_front_for_it),
        BENCH_TEST(what_others_hold_stays),
        BENCH_TEST(no_smaller_segment),
        BENCH_TEST(a_refused_take_is_not_repeated),
        BENCH_TEST(at_most_so_many_descriptors),
        BENCH_TEST(at_most_so_many_bytes),
        BENCH_TEST(any_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
