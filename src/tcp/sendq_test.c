/* sendq_test.c: the send queue by cases: growth, slices and their limits, the cursor, copying into the warm
 * segment, every refusal. Random operations are sendq_prop_test.c's. */
#include "queues_fixture.h"
#include "tcp/sendq.h"

static const struct pool_shape SMALL = {
    .layout = WEIR_ZLAYOUT_DENSE, .classes = 2, .cls = {{256, 16}, {4096, 4}}, .pbufs = 8, .txrecs = 1};

struct bench {
    struct queues mem;
    struct weir_sendq q;
    struct weir_warm warm;
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    queues_open(&b->mem, &SMALL);
    weir_sendq_init(&b->q, 1000, 6);
    b->warm.zbuf_bytes = 256;
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    weir_sendq_clear(&b->q, &b->mem.m);
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 0);
    weir_warm_drop(&b->warm, &b->mem.m);
    queues_close(&b->mem);
    free(b);
    return 0;
}

/* A zbuf that only the queue will hold: the application's reference goes at once after the writes by drop().
 */
static uint8_t *take(struct bench *b, uint32_t bytes)
{
    struct weir_zhead *h = weir_zpool_take(&b->mem.z, bytes, WEIR_TAKE_APP);
    assert_non_null(h);
    return weir_zpool_first(&b->mem.z, h);
}

static void drop(struct bench *b, const uint8_t *addr)
{
    assert_true(weir_zpool_app_unref(&b->mem.z, weir_zpool_head(&b->mem.z, addr), 1) >= 0);
}

static void ref(struct bench *b, uint8_t *addr, uint32_t n)
{
    assert_int_equal(weir_sendq_ref(&b->q, &b->mem.m, addr, n), n);
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 0);
}

static unsigned slice(struct bench *b, uint32_t seq, uint32_t n, struct weir_piece *out, unsigned max,
                      uint32_t *got)
{
    unsigned used = weir_sendq_slice(&b->q, &b->mem.m, seq, n, out, max, 0, 0, got);
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 0);
    return used;
}

/* In the dense layout the next segment begins where this one ends: adjacent addresses, two zbufs. */
static void neighbours_in_memory_stay_apart(void **state)
{
    struct bench *b = *state;
    uint8_t *z[3];
    for (int i = 0; i < 3; i++)
        z[i] = take(b, 256);
    int lower = -1;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            if (z[i] + 256 == z[k]) lower = i;
    assert_true(lower >= 0);
    ref(b, z[lower], 256);
    ref(b, z[lower] + 256, 256);
    assert_int_equal(b->q.n, 2);
    assert_int_equal(count_of(&b->mem.z, z[lower] + 256), 2);
    for (int i = 0; i < 3; i++)
        drop(b, z[i]);
}

static void refusals(void **state)
{
    struct bench *b = *state;
    uint8_t *z = take(b, 4096);
    for (uint32_t i = 0; i < 6; i++)
        ref(b, z + i * 20, 10);
    assert_int_equal(weir_sendq_ref(&b->q, &b->mem.m, z + 500, 10), WEIR_EAGAIN);
    assert_int_equal(weir_sendq_copy(&b->q, &b->mem.m, &b->warm, "x", 1), WEIR_EAGAIN);
    assert_int_equal(b->q.end, 1060);
    ref(b, z + 110, 5);
    assert_int_equal(b->q.n, 6);

    struct weir_sendq other;
    weir_sendq_init(&other, 5, 6);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(weir_sendq_ref(&other, &b->mem.m, z + 20 * i, 5), 5);
    assert_int_equal(weir_sendq_ref(&other, &b->mem.m, z, 5), WEIR_ENOMEM);
    assert_int_equal(weir_sendq_copy(&other, &b->mem.m, &b->warm, "x", 1), WEIR_ENOMEM);
    assert_int_equal(weir_sendq_ref(&other, &b->mem.m, z + 25, 7), 7);
    other.closed = true;
    assert_int_equal(weir_sendq_ref(&other, &b->mem.m, z + 32, 7), WEIR_EPIPE);
    assert_int_equal(weir_sendq_copy(&other, &b->mem.m, &b->warm, "x", 1), WEIR_EPIPE);
    assert_int_equal(other.end, 22);
    weir_sendq_clear(&other, &b->mem.m);
    assert_int_equal(other.una, 22);
    drop(b, z);
}

/* Of 8 descriptors a queue gets only those that the other 3 connections don't need to have one each. */
static void empty_queues_are_kept_one_each(void **state)
{
    struct bench *b = *state;
    struct weir_pktmem *m = &b->mem.m;
    struct weir_sendq other[4];
    uint8_t *z = take(b, 4096);
    m->conns = 4;
    for (uint32_t i = 0; i < 5; i++)
        ref(b, z + i * 20, 10);
    assert_false(weir_sendq_room(&b->q, m));
    assert_int_equal(weir_sendq_ref(&b->q, m, z + 500, 10), WEIR_ENOMEM);
    assert_int_equal(weir_sendq_copy(&b->q, m, &b->warm, "x", 1), WEIR_ENOMEM);
    ref(b, z + 90, 5);
    for (uint32_t i = 0; i < 4; i++)
        weir_sendq_init(&other[i], 0, 6);
    assert_true(weir_sendq_room(&other[0], m));
    assert_int_equal(weir_sendq_ref(&other[0], m, z, 5), 5);
    assert_int_equal(weir_sendq_ref(&other[0], m, z + 10, 5), WEIR_ENOMEM);
    assert_int_equal(weir_sendq_copy(&other[1], m, &b->warm, "x", 1), 1);
    assert_int_equal(weir_sendq_ref(&other[2], m, z, 5), 5);
    assert_int_equal(weir_sendq_ref(&other[3], m, z, 5), WEIR_ENOMEM);
    assert_int_equal(m->senders, 4);
    weir_sendq_ack(&other[0], m, 5); /* what it gives back is kept for it */
    assert_int_equal(m->senders, 3);
    assert_false(weir_sendq_room(&b->q, m));
    assert_int_equal(weir_sendq_ref(&other[0], m, z, 5), 5);
    weir_sendq_ack(&b->q, m, 1020); /* two of five */
    ref(b, z + 500, 10);
    for (uint32_t i = 0; i < 4; i++)
        weir_sendq_clear(&other[i], m);
    weir_sendq_clear(&b->q, m);
    assert_int_equal(m->senders, 0);
    drop(b, z);
}

/* A zbuf whose count is at its limit takes no further descriptor, but the last one still grows. */
static void count_at_its_limit(void **state)
{
    struct bench *b = *state;
    uint8_t *z = take(b, 4096);
    struct weir_zhead *h = weir_zpool_head(&b->mem.z, z);
    ref(b, z, 10);
    h->stk = UINT16_MAX;
    assert_int_equal(weir_sendq_ref(&b->q, &b->mem.m, z + 20, 10), WEIR_ENOMEM);
    assert_int_equal(b->mem.m.pbufs.used, 1);
    ref(b, z + 10, 10);
    h->stk = 1;
    drop(b, z);
}

static void slices(void **state)
{
    struct bench *b = *state;
    struct weir_piece p[8];
    uint32_t got;
    uint8_t *y = take(b, 4096), *z = take(b, 256);
    ref(b, y, 100);
    ref(b, z, 50);
    ref(b, y + 100, 1000);
    drop(b, y);
    drop(b, z);

    assert_int_equal(slice(b, 1000, 1150, p, 8, &got), 3);
    assert_int_equal(got, 1150);
    assert_ptr_equal(p[1].addr, z);
    assert_int_equal(p[2].bytes, 1000);

    assert_int_equal(slice(b, 1090, 15, p, 8, &got), 2);
    assert_ptr_equal(p[0].addr, y + 90);
    assert_int_equal(p[0].bytes, 10);
    assert_int_equal(p[1].bytes, 5);

    assert_int_equal(slice(b, 1000, 1150, p, 2, &got), 2);
    assert_int_equal(got, 150);
    assert_int_equal(slice(b, 1000, 0, p, 2, &got), 0);
    assert_int_equal(slice(b, 1000, 5, p, 0, &got), 0);
    assert_int_equal(got, 0);
}

/* y is aligned to its class's size, so boundaries of 256 are known. */
static void slices_with_limits(void **state)
{
    struct bench *b = *state;
    struct weir_piece p[8];
    uint32_t got;
    uint8_t *y = take(b, 4096);
    assert_int_equal((uintptr_t)y % 4096, 0);
    ref(b, y + 200, 600);
    drop(b, y);

    assert_int_equal(weir_sendq_slice(&b->q, &b->mem.m, 1000, 600, p, 8, 0, 256, &got), 4);
    assert_int_equal(p[0].bytes, 56);
    assert_int_equal(p[1].bytes, 256);
    assert_int_equal(p[3].bytes, 32);
    assert_int_equal(weir_sendq_slice(&b->q, &b->mem.m, 1000, 600, p, 8, 100, 256, &got), 8);
    assert_int_equal(got, 56 + 100 + 100 + 56 + 100 + 100 + 56 + 32);
    assert_int_equal(weir_sendq_slice(&b->q, &b->mem.m, 1010, 590, p, 3, 100, 0, &got), 3);
    assert_int_equal(got, 300);
    assert_ptr_equal(p[2].addr, y + 410);
}

/* The cursor follows the output, goes back for a retransmission, and survives the loss of its descriptor. */
static void cursor(void **state)
{
    struct bench *b = *state;
    struct weir_piece p[8];
    uint32_t got;
    uint8_t *y = take(b, 4096);
    for (uint32_t i = 0; i < 5; i++)
        ref(b, y + i * 200, 100);
    slice(b, 1000, 250, p, 8, &got);
    assert_int_equal(weir_pbuf_at(&b->mem.m, b->q.cur)->seq, 1200);
    slice(b, 1250, 100, p, 8, &got);
    assert_int_equal(weir_pbuf_at(&b->mem.m, b->q.cur)->seq, 1300);
    slice(b, 1100, 10, p, 8, &got);
    assert_ptr_equal(p[0].addr, y + 200);
    assert_int_equal(weir_sendq_ack(&b->q, &b->mem.m, 1250), 2);
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 0);
    assert_int_equal(b->q.cur, b->q.first);
    slice(b, 1499, 1, p, 8, &got);
    assert_ptr_equal(p[0].addr, y + 899);
    assert_int_equal(weir_sendq_ack(&b->q, &b->mem.m, 1500), 3);
    assert_int_equal(b->q.cur, 0);
    ref(b, y + 3000, 10);
    slice(b, 1500, 10, p, 8, &got);
    assert_ptr_equal(p[0].addr, y + 3000);
    drop(b, y);
}

static void copies_are_packed(void **state)
{
    struct bench *b = *state;
    uint8_t bytes[700];
    struct weir_piece p[8];
    uint32_t got, at = 0;
    for (uint32_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 3);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(weir_sendq_copy(&b->q, &b->mem.m, &b->warm, bytes + 10 * i, 10), 10);
    assert_int_equal(b->q.n, 1);
    assert_int_equal(b->mem.z.live, 1);
    assert_int_equal(weir_sendq_copy(&b->q, &b->mem.m, &b->warm, bytes + 100, 600), 600);
    assert_int_equal(b->mem.z.live, 3);
    assert_int_equal(b->q.n, 3);
    memset(bytes, 0, 10);
    unsigned n = slice(b, 1000, 700, p, 8, &got);
    assert_int_equal(got, 700);
    for (unsigned i = 0; i < n; i++)
        for (uint32_t k = 0; k < p[i].bytes; k++, at++)
            assert_int_equal(p[i].addr[k], (uint8_t)(at * 3));
}

/* Two queues share the segment; when both are done it begins again at its front. */
static void warm_is_shared_and_begun_again(void **state)
{
    struct bench *b = *state;
    struct weir_sendq other;
    weir_sendq_init(&other, 0, 6);
    assert_int_equal(weir_sendq_copy(&b->q, &b->mem.m, &b->warm, "abc", 3), 3);
    uint8_t *front = b->warm.at - 3;
    assert_int_equal(weir_sendq_copy(&other, &b->mem.m, &b->warm, "defg", 4), 4);
    assert_int_equal(b->mem.z.live, 1);
    assert_int_equal(weir_zpool_head(&b->mem.z, front)->stk, 3);
    assert_int_equal(weir_sendq_ack(&b->q, &b->mem.m, 1003), 1);
    assert_int_equal(weir_sendq_copy(&b->q, &b->mem.m, &b->warm, "h", 1), 1);
    assert_ptr_equal(b->warm.at, front + 8);
    weir_sendq_ack(&b->q, &b->mem.m, 1004);
    weir_sendq_ack(&other, &b->mem.m, 4);
    assert_int_equal(weir_sendq_copy(&b->q, &b->mem.m, &b->warm, "i", 1), 1);
    assert_ptr_equal(b->warm.at, front + 1);
    assert_memory_equal(front, "i", 1);
}

/* A full segment is let go at once: only the queue holds it. */
static void full_warm_is_let_go(void **state)
{
    struct bench *b = *state;
    uint8_t bytes[256] = {0};
    assert_int_equal(weir_sendq_copy(&b->q, &b->mem.m, &b->warm, bytes, 256), 256);
    assert_null(b->warm.at);
    weir_sendq_ack(&b->q, &b->mem.m, 1256);
    assert_int_equal(b->mem.z.live, 0);
}

/* The pool gives no second segment: what was copied is told, and the next write gets ENOMEM. */
static void copy_is_cut_short(void **state)
{
    struct bench *b = *state;
    uint8_t bytes[300] = {0};
    uint32_t floor[WEIR_TAKES];
    for (unsigned c = 0; c < 2; c++) {
        uint32_t all = c == 0 ? b->mem.z.cls[c].count - 1 : b->mem.z.cls[c].count;
        for (unsigned k = 0; k < WEIR_TAKES; k++)
            floor[k] = k >= WEIR_TAKE_COPY ? all : 0;
        weir_zpool_floor(&b->mem.z, c, floor);
    }
    assert_int_equal(weir_sendq_copy(&b->q, &b->mem.m, &b->warm, bytes, 300), 256);
    assert_int_equal(weir_sendq_copy(&b->q, &b->mem.m, &b->warm, bytes, 44), WEIR_ENOMEM);
    assert_int_equal(b->q.end, 1256);
}

/* A warm segment whose count is at its limit is left for another. */
static void warm_at_its_limit(void **state)
{
    struct bench *b = *state;
    struct weir_sendq other;
    weir_sendq_init(&other, 0, 6);
    assert_int_equal(weir_sendq_copy(&b->q, &b->mem.m, &b->warm, "abc", 3), 3);
    struct weir_zhead *h = weir_zpool_head(&b->mem.z, b->warm.at);
    h->stk = UINT16_MAX;
    assert_int_equal(weir_sendq_copy(&b->q, &b->mem.m, &b->warm, "d", 1), 1);
    assert_int_equal(b->q.n, 1);
    assert_int_equal(weir_sendq_copy(&other, &b->mem.m, &b->warm, "e", 1), 1);
    assert_ptr_not_equal(weir_zpool_head(&b->mem.z, b->warm.at), h);
    assert_int_equal(h->stk, UINT16_MAX - 1);
    h->stk = 1;
    weir_sendq_clear(&other, &b->mem.m);
}

/* The check finds what it is there to find. */
static void check_can_fail(void **state)
{
    struct bench *b = *state;
    uint8_t *y = take(b, 4096), *z = take(b, 256);
    ref(b, y, 100);
    ref(b, z, 50);
    ref(b, y + 500, 10);
    struct weir_sendq sane = b->q;
    struct weir_pbuf *first = weir_pbuf_at(&b->mem.m, b->q.first), kept = *first;
    struct weir_pbuf *last = weir_pbuf_at(&b->mem.m, b->q.last), kept_last = *last;
    b->q.n = 2;
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 1);
    b->q = sane;
    b->q.end++;
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 2);
    b->q = sane;
    first->bytes = 0;
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 3);
    *first = kept;
    last->addr = z + 256;
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 4);
    last->addr = y + 4090;
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 5);
    last->addr = z + 50;
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 6);
    *last = kept_last;
    b->q.cur = 8;
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 7);
    b->q = sane;
    b->q.max = 2;
    assert_int_equal(weir_sendq_check(&b->q, &b->mem.m), 8);
    b->q = sane;
    drop(b, y);
    drop(b, z);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(neighbours_in_memory_stay_apart),
        CASE(refusals),
        CASE(empty_queues_are_kept_one_each),
        CASE(count_at_its_limit),
        CASE(slices),
        CASE(slices_with_limits),
        CASE(cursor),
        CASE(copies_are_packed),
        CASE(warm_is_shared_and_begun_again),
        CASE(full_warm_is_let_go),
        CASE(copy_is_cut_short),
        CASE(warm_at_its_limit),
        CASE(check_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
