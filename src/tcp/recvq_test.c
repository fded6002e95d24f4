/* recvq_test.c: the receive queue by cases: gaps, the replacement rule, what is dropped first, packing and
 * what it bounds, lending. Random order is recvq_prop_test.c's. */
#include "queues_fixture.h"
#include "tcp/recvq.h"

static const struct pool_shape SHAPE = {.layout = WEIR_ZLAYOUT_DENSE,
                                        .classes = 3,
                                        .cls = {{256, 256}, {2048, 64}, {65536, 8}},
                                        .pbufs = 200,
                                        .txrecs = 1};

struct bench {
    struct queues mem;
    struct weir_recvq q;
    uint32_t rcv_nxt, start;
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    queues_open(&b->mem, &SHAPE);
    weir_recvq_init(&b->q, 4, 0, 0);
    b->rcv_nxt = b->start = UINT32_MAX - 100;
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    weir_recvq_clear(&b->q, &b->mem.m);
    queues_close(&b->mem);
    free(b);
    return 0;
}

static void sound(const struct bench *b)
{
    assert_int_equal(weir_recvq_check(&b->q, &b->mem.m, b->rcv_nxt), 0);
}

static uint8_t byte_at(uint32_t i)
{
    return (uint8_t)(i * 5 + (i >> 8));
}

static void make_piece(struct bench *b, struct weir_piece *p, uint32_t cls, uint32_t head, uint32_t at,
                       uint32_t n)
{
    struct weir_zhead *h = weir_zpool_take(&b->mem.z, b->mem.z.cls[cls].bytes, WEIR_TAKE_POST);
    assert_non_null(h);
    *p = (struct weir_piece){.addr = weir_zpool_first(&b->mem.z, h) + head, .bytes = n};
    for (uint32_t i = 0; i < n; i++)
        p->addr[i] = byte_at(at + i);
}

static void unpost(struct bench *b, const struct weir_piece *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        weir_zpool_unref(&b->mem.z, weir_zpool_head(&b->mem.z, p[i].addr), WEIR_OWNER_POSTED);
    sound(b);
}

/* n bytes of the stream from `at` on, in one posted zbuf of a class, behind a header. */
static enum weir_recvq_result arrive(struct bench *b, uint32_t cls, uint32_t head, uint32_t at, uint32_t n)
{
    struct weir_piece p;
    make_piece(b, &p, cls, head, at, n);
    enum weir_recvq_result x = weir_recvq_insert(&b->q, &b->mem.m, &b->rcv_nxt, b->start + at, &p, 1, n);
    unpost(b, &p, 1);
    return x;
}

static uint32_t got(const struct bench *b)
{
    return b->rcv_nxt - b->start;
}

/* Reads all and compares with the stream from `at` on. */
static void read_all(struct bench *b, uint32_t at)
{
    uint8_t out[4096];
    for (uint32_t n; (n = weir_recvq_copy(&b->q, &b->mem.m, out, sizeof out)) > 0;)
        for (uint32_t i = 0; i < n; i++, at++)
            assert_int_equal(out[i], byte_at(at));
    assert_int_equal(at, got(b));
}

static void floors(struct bench *b, uint32_t in_order, uint32_t ooo)
{
    for (unsigned c = 0; c < 3; c++) {
        uint32_t all = b->mem.z.cls[c].count;
        const uint32_t floor[WEIR_TAKES] = {0,
                                            0,
                                            weir_min_u32(in_order, all),
                                            weir_min_u32(in_order, all),
                                            weir_min_u32(in_order, all),
                                            weir_min_u32(ooo, all)};
        weir_zpool_floor(&b->mem.z, c, floor);
    }
}

static void in_order_and_duplicates(void **state)
{
    struct bench *b = *state;
    assert_int_equal(arrive(b, 1, 54, 0, 1460), WEIR_RECVQ_KEPT);
    assert_int_equal(arrive(b, 1, 54, 0, 1460), WEIR_RECVQ_DUPLICATE);
    assert_int_equal(arrive(b, 1, 54, 1000, 1460), WEIR_RECVQ_KEPT);
    assert_int_equal(got(b), 2460);
    assert_int_equal(b->q.n, 2);
    assert_int_equal(b->q.seg_bytes, 4096);
    assert_int_equal(b->mem.z.live, 2);
    struct weir_piece p;
    make_piece(b, &p, 1, 0, 0, 10);
    assert_int_equal(weir_recvq_insert(&b->q, &b->mem.m, &b->rcv_nxt, b->rcv_nxt, &p, 1, 0),
                     WEIR_RECVQ_DUPLICATE);
    assert_int_equal(weir_recvq_insert(&b->q, &b->mem.m, &b->rcv_nxt, b->rcv_nxt, &p, 0, 5),
                     WEIR_RECVQ_DUPLICATE);
    unpost(b, &p, 1);
    read_all(b, 0);
    assert_int_equal(b->mem.z.live, 0);
}

/* A segment that spans two out-of-order stretches fills the gaps and leaves the stretches. */
static void gaps(void **state)
{
    struct bench *b = *state;
    assert_int_equal(arrive(b, 1, 0, 1000, 500), WEIR_RECVQ_KEPT);
    assert_int_equal(arrive(b, 1, 0, 2000, 500), WEIR_RECVQ_KEPT);
    assert_int_equal(arrive(b, 1, 0, 1200, 100), WEIR_RECVQ_DUPLICATE);
    assert_int_equal(arrive(b, 1, 0, 800, 1000), WEIR_RECVQ_KEPT);
    assert_int_equal(b->q.n_ooo, 4);
    assert_int_equal(b->q.ooo_bytes, 1500);
    assert_int_equal(got(b), 0);
    assert_int_equal(arrive(b, 1, 0, 5000, 100), WEIR_RECVQ_OOO_LIMIT);
    assert_int_equal(arrive(b, 2, 0, 0, 4000), WEIR_RECVQ_KEPT);
    assert_int_equal(got(b), 4000);
    assert_int_equal(b->q.n_ooo, 0);
    assert_int_equal(b->q.n, 7);
    read_all(b, 0);
}

/* What was received first stays, whatever a later copy says. */
static void first_copy_stays(void **state)
{
    struct bench *b = *state;
    struct weir_piece p;
    assert_int_equal(arrive(b, 1, 0, 1000, 1000), WEIR_RECVQ_KEPT);
    make_piece(b, &p, 2, 0, 0, 3000);
    memset(p.addr + 1000, 0xAA, 1000);
    assert_int_equal(weir_recvq_insert(&b->q, &b->mem.m, &b->rcv_nxt, b->start, &p, 1, 3000),
                     WEIR_RECVQ_KEPT);
    unpost(b, &p, 1);
    assert_int_equal(got(b), 3000);
    read_all(b, 0);
}

/* A zbuf is kept only if one could replace it, all that one segment lies in together. */
static void replacement_rule(void **state)
{
    struct bench *b = *state;
    struct weir_piece p[3];
    for (uint32_t i = 0; i < 3; i++)
        make_piece(b, &p[i], 1, 0, 1000 * i, 1000);
    for (unsigned c = 0; c < 3; c++) {
        uint32_t left = c == 1 ? b->mem.z.cls[c].free - 2 : b->mem.z.cls[c].count;
        const uint32_t floor[WEIR_TAKES] = {0, 0, left, left, left, left};
        weir_zpool_floor(&b->mem.z, c, floor);
    }
    assert_int_equal(weir_recvq_insert(&b->q, &b->mem.m, &b->rcv_nxt, b->start + 1, p, 3, 3000),
                     WEIR_RECVQ_KEPT);
    assert_int_equal(b->q.ooo_bytes, 2000);
    assert_int_equal(weir_recvq_drop_ooo(&b->q, &b->mem.m), 2000);
    assert_int_equal(weir_recvq_insert(&b->q, &b->mem.m, &b->rcv_nxt, b->start, p, 3, 3000), WEIR_RECVQ_KEPT);
    assert_int_equal(got(b), 2000);
    floors(b, 1000, 1000);
    assert_int_equal(weir_recvq_insert(&b->q, &b->mem.m, &b->rcv_nxt, b->start + 2000, p + 2, 1, 1000),
                     WEIR_RECVQ_NO_ZBUF);
    assert_int_equal(weir_recvq_insert(&b->q, &b->mem.m, &b->rcv_nxt, b->start + 2001, p + 2, 1, 999),
                     WEIR_RECVQ_NO_ZBUF);
    unpost(b, p, 3);
    read_all(b, 0);
}

/* Data in order drives out what is out of order; and uses the room behind its last byte before. */
static void in_order_goes_first(void **state)
{
    struct bench *b = *state;
    assert_int_equal(arrive(b, 1, 0, 0, 1500), WEIR_RECVQ_KEPT);
    for (uint32_t i = 1; i < 4; i++)
        assert_int_equal(arrive(b, 1, 0, 4000 * i, 1500), WEIR_RECVQ_KEPT);
    uint32_t floor = b->mem.z.cls[1].free - 1;
    for (unsigned c = 0; c < 3; c++) {
        uint32_t left = c == 1 ? floor : b->mem.z.cls[c].count;
        const uint32_t f[WEIR_TAKES] = {0, 0, left, left, left, left};
        weir_zpool_floor(&b->mem.z, c, f);
    }
    assert_int_equal(arrive(b, 1, 0, 1500, 500), WEIR_RECVQ_KEPT);
    assert_int_equal(b->mem.stats.rx_bytes_copied, 500);
    assert_int_equal(b->q.n_ooo, 3);
    assert_int_equal(arrive(b, 1, 0, 2000, 1000),
                     WEIR_RECVQ_KEPT); /* 48 fit behind, the rest needs the zbuf */
    assert_int_equal(b->mem.stats.rx_bytes_copied, 548);
    assert_int_equal(b->q.n_ooo, 0);
    assert_int_equal(b->mem.stats.ooo_dropped, 4500);
    assert_int_equal(got(b), 3000);
    read_all(b, 0);
}

/* No descriptor: packed behind the last bytes if they have room, else what is out of order goes, else
 * refused. */
static void no_descriptor(void **state)
{
    struct bench *b = *state;
    struct weir_cells all = b->mem.m.pbufs;
    b->mem.m.pbufs.count = 2;
    assert_int_equal(arrive(b, 1, 48, 0, 1900), WEIR_RECVQ_KEPT);
    assert_int_equal(arrive(b, 1, 0, 5000, 1500), WEIR_RECVQ_KEPT);
    assert_int_equal(arrive(b, 1, 0, 8000, 1500), WEIR_RECVQ_NO_PBUF);
    assert_int_equal(arrive(b, 1, 0, 1900, 100), WEIR_RECVQ_KEPT);
    assert_int_equal(b->q.n_ooo, 1);
    assert_int_equal(got(b), 2000);
    assert_int_equal(arrive(b, 1, 0, 2000, 2000), WEIR_RECVQ_KEPT);
    assert_int_equal(b->q.n_ooo, 0);
    assert_int_equal(b->q.n, 2);
    assert_int_equal(got(b), 4000);
    assert_int_equal(arrive(b, 1, 0, 4000, 48), WEIR_RECVQ_KEPT);
    assert_int_equal(b->q.n, 2);
    assert_int_equal(arrive(b, 1, 0, 4048, 48), WEIR_RECVQ_NO_PBUF);
    read_all(b, 0);
    b->mem.m.pbufs.count = all.count;
}

/* 20,000 bytes, one a segment: they pin a handful of zbufs, not 20,000. */
static void tiny_segments_pin_little(void **state)
{
    struct bench *b = *state;
    for (uint32_t i = 0; i < 20000; i++) {
        assert_int_equal(arrive(b, 1, 66, i, 1), WEIR_RECVQ_KEPT);
        assert_true(b->q.seg_bytes <= 2 * b->q.bytes + 2048);
    }
    assert_true(b->mem.z.live <= 20);
    read_all(b, 0);
}

/* Whatever the sizes, as long as zbufs can be filled: twice the payload, and the last frame's. */
static void random_segments_pin_at_most_twice(void **state)
{
    struct bench *b = *state;
    struct rng r = {seed_for("recvq packing", 5)};
    for (uint32_t round = 0, at = 0; round < 200; round++) {
        while (b->q.bytes < 60000) {
            uint32_t cls = below(&r, 3), head = below(&r, 60);
            uint32_t n =
                1 + below(&r, chance(&r, 70) ? 30 : weir_min_u32(b->mem.z.cls[cls].bytes - head, 20000));
            assert_int_equal(arrive(b, cls, cls == 0 ? 0 : head, got(b), n), WEIR_RECVQ_KEPT);
            assert_true(b->q.seg_bytes <= 2 * b->q.bytes + 65536 + 2048);
        }
        read_all(b, at);
        at = got(b);
    }
}

/* A short message before a bulk stream does not make it be copied. */
static void bulk_behind_a_header_is_not_copied(void **state)
{
    struct bench *b = *state;
    assert_int_equal(arrive(b, 1, 66, 0, 90), WEIR_RECVQ_KEPT);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(arrive(b, 2, 0, 90 + 60000 * i, 60000), WEIR_RECVQ_KEPT);
    assert_int_equal(b->mem.stats.rx_bytes_copied, 0);
    read_all(b, 0);
}

/* Nor does a rest of a large zbuf, of which most was lent. */
static void bulk_behind_a_rest_is_not_copied(void **state)
{
    struct bench *b = *state;
    struct weir_iov out;
    uint32_t bytes;
    assert_int_equal(arrive(b, 2, 0, 0, 60000), WEIR_RECVQ_KEPT);
    assert_int_equal(weir_recvq_lend(&b->q, &b->mem.m, 3, &out, 1, 59000, &bytes), 1);
    assert_int_equal(arrive(b, 1, 66, 60000, 100), WEIR_RECVQ_KEPT);
    assert_int_equal(arrive(b, 1, 66, 60100, 1982), WEIR_RECVQ_KEPT);
    assert_int_equal(b->mem.stats.rx_bytes_copied, 0);
    read_all(b, 59000);
    assert_int_equal(weir_zpool_app_unref(&b->mem.z, weir_zpool_head(&b->mem.z, out.base), 1), 1);
}

/* Nothing is written behind bytes in a zbuf that the application or another descriptor refers to. */
static void shared_zbufs_are_not_packed_into(void **state)
{
    struct bench *b = *state;
    struct weir_iov out;
    uint32_t bytes;
    assert_int_equal(arrive(b, 1, 0, 0, 100), WEIR_RECVQ_KEPT);
    assert_int_equal(weir_recvq_lend(&b->q, &b->mem.m, 3, &out, 1, 40, &bytes), 1);
    assert_int_equal(bytes, 40);
    const uint8_t *lent = out.base;
    assert_int_equal(arrive(b, 1, 0, 100, 10), WEIR_RECVQ_KEPT);
    assert_int_equal(b->q.n, 2);
    assert_int_equal(b->mem.stats.rx_bytes_copied, 0);
    assert_int_equal(arrive(b, 1, 0, 110, 10), WEIR_RECVQ_KEPT);
    assert_int_equal(b->mem.stats.rx_bytes_copied, 10);
    read_all(b, 40);
    struct weir_zhead *h = weir_zpool_head(&b->mem.z, lent);
    assert_int_equal(h->app, 1);
    assert_int_equal(h->stk, 0);
    assert_int_equal(weir_zpool_app_unref(&b->mem.z, h, 1), 1);
}

static void lending(void **state)
{
    struct bench *b = *state;
    struct weir_iov out[8];
    uint32_t bytes;
    for (uint32_t i = 0; i < 3; i++)
        arrive(b, 1, 0, 1500 * i, 1500);
    assert_int_equal(weir_recvq_lend(&b->q, &b->mem.m, 9, out, 8, 0, &bytes), 0);
    assert_int_equal(weir_recvq_lend(&b->q, &b->mem.m, 9, out, 0, 100, &bytes), 0);
    assert_int_equal(weir_recvq_lend(&b->q, &b->mem.m, 9, out, 8, 500, &bytes), 1);
    struct weir_zhead *h = weir_zpool_head(&b->mem.z, out[0].base);
    assert_true(h->app == 1 && h->stk == 1 && h->lent_id == 9 && h->lent_bytes == 500);
    assert_int_equal(weir_recvq_lend(&b->q, &b->mem.m, 9, out + 1, 7, 2600, &bytes), 2);
    assert_int_equal(bytes, 2500);
    assert_true(h->app == 2 && h->stk == 0 && h->lent_bytes == 1500);
    sound(b);
    assert_int_equal(b->q.bytes, 1500);
    for (uint32_t i = 0, at = 0; i < 3; i++) {
        for (size_t k = 0; k < out[i].len; k++, at++)
            assert_int_equal(((uint8_t *)out[i].base)[k], byte_at(at));
        weir_zpool_app_unref(&b->mem.z, weir_zpool_head(&b->mem.z, out[i].base), 1);
    }
    assert_int_equal(b->mem.z.live, 1);
    read_all(b, 3000);
}

/* lent_bytes starts anew once everything lent before was freed. */
static void lending_again(void **state)
{
    struct bench *b = *state;
    struct weir_iov out;
    uint32_t bytes;
    arrive(b, 1, 0, 0, 1500);
    assert_int_equal(weir_recvq_lend(&b->q, &b->mem.m, 9, &out, 1, 500, &bytes), 1);
    struct weir_zhead *h = weir_zpool_head(&b->mem.z, out.base);
    assert_int_equal(weir_zpool_app_unref(&b->mem.z, h, 1), 1);
    assert_int_equal(weir_recvq_lend(&b->q, &b->mem.m, 8, &out, 1, 300, &bytes), 1);
    assert_true(h->lent_id == 8 && h->lent_bytes == 300);
    assert_int_equal(weir_zpool_app_unref(&b->mem.z, h, 1), 1);
    read_all(b, 800);
}

/* At the limit of the application's count nothing more is lent. */
static void lending_at_the_limit(void **state)
{
    struct bench *b = *state;
    struct weir_iov out;
    uint32_t bytes;
    arrive(b, 1, 0, 0, 1500);
    struct weir_zhead *h = weir_zpool_head(&b->mem.z, weir_pbuf_at(&b->mem.m, b->q.first)->addr);
    h->app = UINT16_MAX;
    assert_int_equal(weir_recvq_lend(&b->q, &b->mem.m, 9, &out, 1, 5000, &bytes), 0);
    assert_int_equal(bytes, 0);
    h->app = 0;
    read_all(b, 0);
}

static void check_can_fail(void **state)
{
    struct bench *b = *state;
    for (uint32_t i = 0; i < 2; i++)
        arrive(b, 1, 0, 1500 * i, 1500);
    for (uint32_t i = 2; i < 4; i++)
        arrive(b, 1, 0, 2000 * i, 1500);
    struct weir_recvq sane = b->q;
    struct weir_pbuf *in = weir_pbuf_at(&b->mem.m, b->q.last), kept_in = *in;
    struct weir_pbuf *ooo = weir_pbuf_at(&b->mem.m, b->q.ooo_first), kept_ooo = *ooo;
    const struct weir_pktmem *m = &b->mem.m;
    b->q.n = 1;
    assert_int_equal(weir_recvq_check(&b->q, m, b->rcv_nxt), 1);
    b->q = sane;
    in->bytes = 2049;
    assert_int_equal(weir_recvq_check(&b->q, m, b->rcv_nxt), 2);
    *in = kept_in;
    assert_int_equal(weir_recvq_check(&b->q, m, b->rcv_nxt + 1), 3);
    in->bytes--;
    assert_int_equal(weir_recvq_check(&b->q, m, b->rcv_nxt), 4);
    *in = kept_in;
    b->q.seg_bytes++;
    assert_int_equal(weir_recvq_check(&b->q, m, b->rcv_nxt), 5);
    b->q = sane;
    b->q.max_ooo = 1;
    assert_int_equal(weir_recvq_check(&b->q, m, b->rcv_nxt), 6);
    b->q = sane;
    ooo->bytes = 0;
    assert_int_equal(weir_recvq_check(&b->q, m, b->rcv_nxt), 7);
    *ooo = kept_ooo;
    ooo->seq = b->rcv_nxt;
    assert_int_equal(weir_recvq_check(&b->q, m, b->rcv_nxt), 8);
    *ooo = kept_ooo;
    b->q.ooo_bytes++;
    assert_int_equal(weir_recvq_check(&b->q, m, b->rcv_nxt), 9);
    b->q = sane;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(in_order_and_duplicates),
        CASE(gaps),
        CASE(first_copy_stays),
        CASE(replacement_rule),
        CASE(in_order_goes_first),
        CASE(no_descriptor),
        CASE(tiny_segments_pin_little),
        CASE(random_segments_pin_at_most_twice),
        CASE(bulk_behind_a_header_is_not_copied),
        CASE(bulk_behind_a_rest_is_not_copied),
        CASE(shared_zbufs_are_not_packed_into),
        CASE(lending),
        CASE(lending_again),
        CASE(lending_at_the_limit),
        CASE(check_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
