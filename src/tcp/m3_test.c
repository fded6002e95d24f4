/* m3_test.c: the story of mission row M3 with its numbers: partial writes, retries, acknowledgements and the
 * application's free, in both layouts of the heads, with the application freeing first and last. */
#include "queues_fixture.h"
#include "tcp/sendq.h"

#define ZBUF    16384u
#define PATTERN 7u

struct story {
    struct queues mem;
    struct weir_sendq q;
    struct weir_txlist tx;
    uint8_t *zbuf, *other;
    uint32_t iss;
};

static struct pool_shape shape(enum weir_zlayout layout, uint32_t pbufs)
{
    struct pool_shape s = {.layout = layout, .classes = 2, .pbufs = pbufs, .txrecs = 8};
    bool inside = layout == WEIR_ZLAYOUT_INSIDE;
    s.cls[0] = (struct weir_zclass){.bytes = inside ? 1984 : 2048, .count = 16};
    s.cls[1] = (struct weir_zclass){.bytes = inside ? 32704 : 16384, .count = 4};
    return s;
}

static uint8_t pattern(uint32_t i)
{
    return (uint8_t)(i * PATTERN + (i >> 8));
}

static uint8_t *zalloc(struct story *s, uint32_t bytes)
{
    struct weir_zhead *h = weir_zpool_take(&s->mem.z, bytes, WEIR_TAKE_APP);
    assert_non_null(h);
    assert_true(weir_zpool_bytes(&s->mem.z, h) >= bytes);
    return weir_zpool_first(&s->mem.z, h);
}

static void zfree(struct story *s, const uint8_t *addr)
{
    struct weir_zhead *h = NULL;
    assert_int_equal(weir_zpool_find(&s->mem.z, addr, &h), 0);
    assert_true(h && weir_zpool_app_unref(&s->mem.z, h, 1) >= 0);
}

/* The write call's part of the work: of what is offered, as much as there is room for. */
static uint32_t write_upto(struct story *s, uint8_t *addr, uint32_t offered, uint32_t room)
{
    uint32_t n = weir_min_u32(offered, room);
    assert_int_equal(weir_sendq_ref(&s->q, &s->mem.m, addr, n), n);
    assert_int_equal(weir_sendq_check(&s->q, &s->mem.m), 0);
    return n;
}

static unsigned ack(struct story *s, uint32_t upto)
{
    unsigned went = weir_sendq_ack(&s->q, &s->mem.m, s->iss + upto);
    assert_int_equal(weir_sendq_check(&s->q, &s->mem.m), 0);
    if (s->tx.una != s->tx.nxt) (void)weir_txlist_ack(&s->tx, &s->mem.m, s->iss + upto);
    assert_int_equal(weir_txlist_check(&s->tx, &s->mem.m), 0);
    return went;
}

static unsigned count(const struct story *s)
{
    return count_of(&s->mem.z, s->zbuf);
}

static void send_upto(struct story *s, uint32_t upto)
{
    assert_true(weir_txlist_sent(&s->tx, &s->mem.m, s->iss + upto, 1000 + upto));
    assert_int_equal(weir_txlist_check(&s->tx, &s->mem.m), 0);
}

/* The stack reads bytes [from, to) of the story's zbuf, which lie at seq. */
static void readable(struct story *s, uint32_t seq, uint32_t from, uint32_t to)
{
    struct weir_piece piece[4];
    uint32_t got;
    unsigned n = weir_sendq_slice(&s->q, &s->mem.m, s->iss + seq, to - from, piece, 4, 0, 0, &got);
    assert_int_equal(got, to - from);
    for (unsigned i = 0; i < n; i++)
        for (uint32_t k = 0; k < piece[i].bytes; k++, from++)
            assert_int_equal(piece[i].addr[k], pattern(from));
    assert_int_equal(from, to);
}

static void begin(struct story *s, enum weir_zlayout layout, uint32_t pbufs)
{
    struct pool_shape sh = shape(layout, pbufs);
    memset(s, 0, sizeof *s);
    queues_open(&s->mem, &sh);
    s->iss = 0xFFFFF000u; /* the numbers pass 2^32 on the way */
    weir_sendq_init(&s->q, s->iss, 16);
    weir_txlist_init(&s->tx, s->iss, 8);
    s->zbuf = zalloc(s, ZBUF);
    for (uint32_t i = 0; i < ZBUF; i++)
        s->zbuf[i] = pattern(i);
    assert_int_equal(count(s), 1);
}

/* Up to the second retry: 1, 2, 2, 3. */
static void write_all(struct story *s, uint32_t between)
{
    assert_int_equal(write_upto(s, s->zbuf, ZBUF, 6000), 6000);
    assert_int_equal(count(s), 2);
    send_upto(s, 3000);
    assert_int_equal(s->tx.pipe, 3000);

    assert_int_equal(write_upto(s, s->zbuf + 6000, ZBUF - 6000, 4000), 4000);
    assert_int_equal(count(s), 2);
    assert_int_equal(s->q.n, 1);
    const struct weir_pbuf *a = weir_pbuf_at(&s->mem.m, s->q.first);
    assert_ptr_equal(a->addr, s->zbuf);
    assert_int_equal(a->bytes, 10000);

    if (between > 0) {
        s->other = zalloc(s, between);
        memset(s->other, 0xEE, between);
        assert_int_equal(write_upto(s, s->other, between, between), between);
        assert_int_equal(count_of(&s->mem.z, s->other), 2);
        assert_int_equal(count(s), 2);
    }
    assert_int_equal(write_upto(s, s->zbuf + 10000, ZBUF - 10000, 10000), 6384);
}

static void finish(struct story *s)
{
    if (s->other != NULL) zfree(s, s->other);
    weir_sendq_clear(&s->q, &s->mem.m);
    weir_txlist_clear(&s->tx, &s->mem.m);
    queues_close(&s->mem);
}

static void separate_free_first(enum weir_zlayout layout)
{
    struct story s;
    begin(&s, layout, 16);
    write_all(&s, 500);
    assert_int_equal(count(&s), 3);
    assert_int_equal(s.q.n, 3);
    const struct weir_pbuf *c = weir_pbuf_at(&s.mem.m, s.q.last);
    assert_ptr_equal(c->addr, s.zbuf + 10000);
    assert_int_equal(c->bytes, 6384);

    zfree(&s, s.zbuf);
    assert_int_equal(count(&s), 2);
    assert_int_equal(weir_zpool_head(&s.mem.z, s.zbuf)->app, 0);
    readable(&s, 0, 0, 10000);
    readable(&s, 10500, 10000, ZBUF);
    send_upto(&s, 16884);

    assert_int_equal(ack(&s, 9999), 0);
    assert_int_equal(count(&s), 2);
    assert_int_equal(ack(&s, 10000), 1);
    assert_int_equal(count(&s), 1);
    assert_int_equal(ack(&s, 10500 + 3192), 1); /* the other buffer's, and half of C */
    assert_int_equal(count(&s), 1);
    assert_int_equal(weir_pbuf_at(&s.mem.m, s.q.first)->bytes, 3192);
    readable(&s, 10500 + 3192, 10000 + 3192, ZBUF);
    assert_int_equal(s.mem.z.live, 2);
    assert_int_equal(ack(&s, 16884), 1);
    assert_int_equal(count(&s), 0);
    assert_int_equal(s.mem.z.live, 1);
    assert_int_equal(s.tx.n, 0);
    finish(&s);
}

static void separate_free_last(enum weir_zlayout layout)
{
    struct story s;
    begin(&s, layout, 16);
    write_all(&s, 500);
    assert_int_equal(count(&s), 3);
    send_upto(&s, 16884);
    ack(&s, 10000);
    assert_int_equal(count(&s), 2);
    ack(&s, 10500 + 3192);
    assert_int_equal(count(&s), 2);
    ack(&s, 16884);
    assert_int_equal(count(&s), 1);
    assert_int_equal(weir_zpool_head(&s.mem.z, s.zbuf)->stk, 0);
    assert_int_equal(s.mem.z.live, 2);
    zfree(&s, s.zbuf);
    assert_int_equal(count(&s), 0);
    assert_int_equal(s.mem.z.live, 1);
    finish(&s);
}

/* Nothing between the writes: one descriptor to the end, whether freed first or last. */
static void contiguous(enum weir_zlayout layout, bool free_first)
{
    struct story s;
    begin(&s, layout, 16);
    write_all(&s, 0);
    assert_int_equal(count(&s), 2);
    assert_int_equal(s.q.n, 1);
    if (free_first) zfree(&s, s.zbuf);
    readable(&s, 0, 0, ZBUF);
    send_upto(&s, ZBUF);
    unsigned app = free_first ? 0 : 1;
    assert_int_equal(ack(&s, 10000), 0);
    assert_int_equal(count(&s), 1 + app);
    readable(&s, 10000, 10000, ZBUF);
    assert_int_equal(ack(&s, ZBUF), 1);
    assert_int_equal(count(&s), app);
    if (!free_first) zfree(&s, s.zbuf);
    assert_int_equal(s.mem.z.live, 0);
    finish(&s);
}

/* The pool has one descriptor: A takes it and still grows, before and after an acknowledgement trims it. */
static void grows_with_empty_pool(enum weir_zlayout layout)
{
    struct story s;
    begin(&s, layout, 1);
    assert_int_equal(write_upto(&s, s.zbuf, ZBUF, 6000), 6000);
    assert_int_equal(weir_cells_left(&s.mem.m.pbufs), 0);
    assert_int_equal(write_upto(&s, s.zbuf + 6000, ZBUF - 6000, 4000), 4000);
    send_upto(&s, 10000);
    ack(&s, 9000);
    assert_int_equal(weir_sendq_ref(&s.q, &s.mem.m, s.zbuf, 10), WEIR_ENOMEM);
    assert_int_equal(count(&s), 2);
    assert_int_equal(write_upto(&s, s.zbuf + 10000, ZBUF - 10000, ZBUF), 6384);
    assert_int_equal(s.q.n, 1);
    assert_int_equal(count(&s), 2);
    readable(&s, 9000, 9000, ZBUF);
    zfree(&s, s.zbuf);
    send_upto(&s, ZBUF);
    ack(&s, ZBUF);
    assert_int_equal(s.mem.z.live, 0);
    finish(&s);
}

/* A free beyond the application's own is refused and takes nothing from the descriptors. */
static void free_beyond_own(enum weir_zlayout layout)
{
    struct story s;
    begin(&s, layout, 16);
    write_all(&s, 0);
    zfree(&s, s.zbuf);
    struct weir_zhead *h = weir_zpool_head(&s.mem.z, s.zbuf);
    assert_true(h && weir_zpool_app_unref(&s.mem.z, h, 1) == WEIR_ENOTHELD);
    assert_int_equal(count(&s), 1);
    readable(&s, 0, 0, ZBUF);
    finish(&s);
}

static enum weir_zlayout layout_of(void **state)
{
    return *(const enum weir_zlayout *)*state;
}

static void separate_free_first_test(void **state)
{
    separate_free_first(layout_of(state));
}
static void separate_free_last_test(void **state)
{
    separate_free_last(layout_of(state));
}
static void contiguous_free_first_test(void **state)
{
    contiguous(layout_of(state), true);
}
static void contiguous_free_last_test(void **state)
{
    contiguous(layout_of(state), false);
}
static void empty_pool_test(void **state)
{
    grows_with_empty_pool(layout_of(state));
}
static void free_beyond_own_test(void **state)
{
    free_beyond_own(layout_of(state));
}

static enum weir_zlayout dense = WEIR_ZLAYOUT_DENSE, inside = WEIR_ZLAYOUT_INSIDE;

#define BOTH(f) cmocka_unit_test_prestate(f, &dense), cmocka_unit_test_prestate(f, &inside)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(separate_free_first_test),  BOTH(separate_free_last_test), BOTH(contiguous_free_first_test),
        BOTH(contiguous_free_last_test), BOTH(empty_pool_test),         BOTH(free_beyond_own_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
