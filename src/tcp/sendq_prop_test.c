/* sendq_prop_test.c: random writes by reference and by copy, retries, frees, foreign releases,
 * acknowledgements, losses and resets on several queues that share one small pool, against a naive model, in
 * both layouts.
 *
 * The model has for each queue a list of (address, bytes) and the bytes themselves, and for each zbuf the
 * application's references. After each step: every descriptor equals the model's; every zbuf's stk equals the
 * sum over the owners found by walking all queues and the warm segment; app equals the model's; all checks of
 * the structures hold. */
#include "queues_fixture.h"
#include "tcp/sendq.h"

#define QUEUES 4u
#define CHUNKS 10u /* descriptors of one queue */
#define RING   65536u
#define ROOM   30000u /* bytes a queue may hold */
#define ZBUFS  64u
#define PIECES 8u
#define STEPS  100000u /* for each layout */

struct chunk {
    uint8_t *addr;
    uint32_t bytes;
};

struct mqueue {
    struct weir_sendq q;
    struct weir_txlist tx;
    struct chunk chunk[CHUNKS];
    uint32_t n;
    uint32_t una, end;
    bool closed;
    uint8_t ring[RING]; /* byte seq lies at seq % RING */
};

/* How often what happened: each must. */
struct seen {
    uint32_t grown, grown_empty, made, copied, cut_short, eagain, enomem, copy_eagain, copy_enomem, closed,
        freed_busy, gives, resets, lost, resent, no_record, no_zbuf;
};

struct world {
    struct queues mem;
    struct weir_warm warm;
    struct rng r;
    struct mqueue mq[QUEUES];
    uint32_t app[ZBUFS], given[ZBUFS]; /* the application's references, and those on their way */
    uint32_t at[ZBUFS];                /* where the last write from this zbuf ended */
    uint32_t now_us;
    struct seen seen;
};

static uint32_t number_of(const struct world *w, const uint8_t *addr)
{
    return weir_zpool_number(&w->mem.z, weir_zpool_head(&w->mem.z, addr));
}

/* ---- what must hold after each step ---- */

static void check_queue(const struct world *w, const struct mqueue *mq, uint32_t *stk)
{
    assert_int_equal(weir_sendq_check(&mq->q, &w->mem.m), 0);
    assert_int_equal(weir_txlist_check(&mq->tx, &w->mem.m), 0);
    assert_int_equal(mq->q.n, mq->n);
    assert_int_equal(mq->q.una, mq->una);
    assert_int_equal(mq->q.end, mq->end);
    assert_int_equal(mq->tx.una, mq->una);
    uint32_t i = 0;
    for (uint32_t at = mq->q.first; at != 0; i++) {
        const struct weir_pbuf *p = weir_pbuf_at(&w->mem.m, at);
        assert_ptr_equal(p->addr, mq->chunk[i].addr);
        assert_int_equal(p->bytes, mq->chunk[i].bytes);
        stk[number_of(w, p->addr)]++;
        at = p->next;
    }
}

static void check_world(const struct world *w)
{
    uint32_t stk[ZBUFS] = {0};
    assert_int_equal(weir_zpool_check(&w->mem.z), 0);
    for (uint32_t i = 0; i < QUEUES; i++)
        check_queue(w, &w->mq[i], stk);
    if (w->warm.at != NULL) stk[number_of(w, w->warm.at)]++;
    assert_int_equal(w->warm.at == NULL, w->warm.left == 0);
    for (uint32_t i = 0; i < w->mem.z.total; i++) {
        const struct weir_zhead *h = weir_zpool_by_number(&w->mem.z, i);
        assert_int_equal(h->stk, stk[i]);
        assert_int_equal(h->app, w->app[i]);
    }
}

/* [seq, seq + n) through slice equals the model's bytes; pieces keep to their limits. */
static void check_bytes(struct world *w, struct mqueue *mq, uint32_t seq, uint32_t n)
{
    struct weir_piece piece[PIECES];
    uint32_t max_bytes = chance(&w->r, 50) ? 0 : 1 + below(&w->r, 700);
    uint32_t boundary = chance(&w->r, 50) ? 0 : 64u << below(&w->r, 6);
    uint32_t got, max = 1 + below(&w->r, PIECES);
    unsigned used = weir_sendq_slice(&mq->q, &w->mem.m, seq, n, piece, max, max_bytes, boundary, &got);
    assert_true(used <= max && got <= n && (got == n || used == max));
    for (unsigned i = 0; i < used; i++) {
        const struct weir_piece *p = &piece[i];
        assert_true(p->bytes > 0 && p->bytes <= got);
        if (max_bytes != 0) assert_true(p->bytes <= max_bytes);
        if (boundary != 0)
            assert_true((uintptr_t)p->addr / boundary == ((uintptr_t)p->addr + p->bytes - 1) / boundary);
        uint32_t from = seq % RING, first = weir_min_u32(p->bytes, RING - from);
        assert_memory_equal(p->addr, mq->ring + from, first);
        assert_memory_equal(p->addr + first, mq->ring, p->bytes - first);
        seq += p->bytes;
        got -= p->bytes;
    }
    assert_int_equal(got, 0);
}

/* ---- steps of the application ---- */

static void zalloc(struct world *w)
{
    static const uint32_t size[] = {100, 900, 4000};
    struct weir_zhead *h = weir_zpool_take(&w->mem.z, size[below(&w->r, 3)], WEIR_TAKE_APP);
    if (h == NULL) {
        w->seen.no_zbuf++;
        return;
    }
    uint32_t i = weir_zpool_number(&w->mem.z, h), n = weir_zpool_bytes(&w->mem.z, h), x = rnd(&w->r);
    uint8_t *first = weir_zpool_first(&w->mem.z, h);
    for (uint32_t k = 0; k < n; k++)
        first[k] = (uint8_t)(x + k * 5);
    assert_int_equal(w->app[i], 0);
    w->app[i] = 1;
    w->given[i] = 0;
    w->at[i] = 0;
}

/* A zbuf that the application holds, or holds beyond what it gave; ZBUFS: none. */
static uint32_t pick_held(struct world *w, bool beyond_given)
{
    uint32_t total = w->mem.z.total, start = below(&w->r, total);
    for (uint32_t k = 0; k < total; k++) {
        uint32_t i = (start + k) % total;
        if (w->app[i] > (beyond_given ? w->given[i] : 0)) return i;
    }
    return ZBUFS;
}

static void zfree(struct world *w)
{
    uint32_t i = pick_held(w, true);
    if (i == ZBUFS) return;
    struct weir_zhead *h = weir_zpool_by_number(&w->mem.z, i);
    w->seen.freed_busy += h->stk > 0;
    w->app[i]--;
    assert_int_equal(weir_zpool_app_unref(&w->mem.z, h, 1), w->app[i] == 0);
    if (w->app[i] == 0) assert_int_equal(weir_zpool_app_unref(&w->mem.z, h, 1), WEIR_ENOTHELD);
}

static void zref(struct world *w)
{
    uint32_t i = pick_held(w, false);
    if (i == ZBUFS || w->app[i] > 3) return;
    assert_int_equal(weir_zpool_app_ref(&w->mem.z, weir_zpool_by_number(&w->mem.z, i)), 0);
    w->app[i]++;
}

static void zgive(struct world *w)
{
    uint32_t i = pick_held(w, true);
    if (i == ZBUFS) return;
    (void)weir_zpool_give(&w->mem.z, weir_zpool_by_number(&w->mem.z, i));
    w->given[i]++;
}

static void drain_given(struct world *w)
{
    uint32_t link = weir_zpool_given(&w->mem.z), n;
    for (struct weir_zhead *h; (h = weir_zpool_given_next(&w->mem.z, &link, &n)) != NULL;) {
        uint32_t i = weir_zpool_number(&w->mem.z, h);
        assert_int_equal(n, w->given[i]);
        assert_true(weir_zpool_app_unref(&w->mem.z, h, n) >= 0);
        w->app[i] -= n;
        w->given[i] = 0;
        w->seen.gives++;
    }
    for (uint32_t i = 0; i < w->mem.z.total; i++)
        assert_int_equal(w->given[i], 0);
}

/* ---- writes ---- */

static void remember(struct mqueue *mq, const uint8_t *bytes, uint32_t n)
{
    uint32_t from = mq->end % RING, first = weir_min_u32(n, RING - from);
    memcpy(mq->ring + from, bytes, first);
    memcpy(mq->ring, bytes + first, n - first);
    mq->end += n;
}

static bool model_grows(const struct world *w, const struct mqueue *mq, const uint8_t *addr)
{
    if (mq->n == 0) return false;
    const struct chunk *c = &mq->chunk[mq->n - 1];
    return c->addr + c->bytes == addr && number_of(w, c->addr) == number_of(w, addr);
}

static void model_write(struct world *w, struct mqueue *mq, uint8_t *addr, uint32_t n)
{
    if (model_grows(w, mq, addr))
        mq->chunk[mq->n - 1].bytes += n;
    else
        mq->chunk[mq->n++] = (struct chunk){.addr = addr, .bytes = n};
    remember(mq, addr, n);
}

static ptrdiff_t expected_ref(struct world *w, const struct mqueue *mq, const uint8_t *addr, uint32_t n)
{
    bool empty = weir_cells_left(&w->mem.m.pbufs) == 0;
    if (mq->closed) return WEIR_EPIPE;
    if (model_grows(w, mq, addr)) {
        w->seen.grown++;
        w->seen.grown_empty += empty;
        return n;
    }
    if (mq->n == CHUNKS) {
        w->seen.eagain++;
        return WEIR_EAGAIN;
    }
    w->seen.enomem += empty;
    w->seen.made += !empty;
    return empty ? WEIR_ENOMEM : (ptrdiff_t)n;
}

/* By reference, usually from where the last write out of this zbuf ended (a retry). */
static void write_ref(struct world *w, struct mqueue *mq)
{
    uint32_t i = pick_held(w, false);
    if (i == ZBUFS) return;
    const struct weir_zhead *h = weir_zpool_by_number(&w->mem.z, i);
    uint32_t size = weir_zpool_bytes(&w->mem.z, h);
    uint32_t from = chance(&w->r, 70) && w->at[i] < size ? w->at[i] : below(&w->r, size);
    uint8_t *addr = weir_zpool_first(&w->mem.z, h) + from;
    uint32_t n = weir_min_u32(1 + below(&w->r, size - from), ROOM - (mq->end - mq->una));
    if (n == 0) return;
    ptrdiff_t want = expected_ref(w, mq, addr, n);
    assert_int_equal(weir_sendq_ref(&mq->q, &w->mem.m, addr, n), want);
    if (want <= 0) return;
    model_write(w, mq, addr, n);
    w->at[i] = from + n;
}

/* What a copied write made: where is the queue's choice, so the model takes it from there and checks the
 * bytes. */
static void adopt_copy(struct world *w, struct mqueue *mq, const uint8_t *src, uint32_t n)
{
    uint32_t at = mq->q.first, left = n;
    for (uint32_t i = 1; i < mq->n; i++)
        at = weir_pbuf_at(&w->mem.m, at)->next;
    uint32_t had = mq->n > 0 ? mq->chunk[mq->n - 1].bytes : 0;
    for (; at != 0; had = 0) {
        const struct weir_pbuf *p = weir_pbuf_at(&w->mem.m, at);
        uint32_t k = p->bytes - had;
        assert_true(k <= left);
        if (k > 0) {
            assert_memory_equal(p->addr + had, src + (n - left), k);
            assert_int_equal(w->app[number_of(w, p->addr)], 0);
            model_write(w, mq, p->addr + had, k);
            left -= k;
        }
        at = p->next;
    }
    assert_int_equal(left, 0);
}

static void write_copy(struct world *w, struct mqueue *mq)
{
    uint8_t src[1500];
    uint32_t n = 1 + below(&w->r, chance(&w->r, 70) ? 60 : sizeof src), x = rnd(&w->r);
    n = weir_min_u32(n, ROOM - (mq->end - mq->una));
    if (n == 0) return;
    for (uint32_t i = 0; i < n; i++)
        src[i] = (uint8_t)(x + i * 3);
    ptrdiff_t k = weir_sendq_copy(&mq->q, &w->mem.m, &w->warm, src, n);
    if (mq->closed) {
        assert_int_equal(k, WEIR_EPIPE);
    } else if (k == WEIR_EAGAIN) {
        assert_int_equal(mq->n, CHUNKS);
        w->seen.copy_eagain++;
    } else if (k == WEIR_ENOMEM) {
        unsigned cls = weir_zpool_class_for(&w->mem.z, w->warm.zbuf_bytes);
        assert_true(weir_cells_left(&w->mem.m.pbufs) == 0 ||
                    !weir_zpool_can(&w->mem.z, cls, WEIR_TAKE_COPY, 1));
        w->seen.copy_enomem++;
    } else {
        assert_true(k > 0 && k <= (ptrdiff_t)n);
        w->seen.copied++;
        w->seen.cut_short += k < (ptrdiff_t)n;
        adopt_copy(w, mq, src, (uint32_t)k);
    }
}

/* ---- steps of the stack ---- */

static void send_new(struct world *w, struct mqueue *mq)
{
    uint32_t n = mq->end - mq->tx.nxt;
    if (n == 0) return;
    n = 1 + below(&w->r, n);
    check_bytes(w, mq, mq->tx.nxt, n);
    bool room = weir_txlist_room(&mq->tx, &w->mem.m);
    w->seen.no_record += !room;
    assert_int_equal(weir_txlist_sent(&mq->tx, &w->mem.m, mq->tx.nxt + n, w->now_us), room);
}

static void lose(struct world *w, struct mqueue *mq)
{
    uint32_t n = mq->tx.nxt - mq->una;
    if (n == 0) return;
    uint32_t from = below(&w->r, n), lost = mq->tx.lost;
    uint32_t marked =
        weir_txlist_lose(&mq->tx, &w->mem.m, mq->una + from, mq->una + from + below(&w->r, n - from + 1));
    assert_int_equal(mq->tx.lost, lost + marked);
    w->seen.lost += marked > 0;
}

static void send_again(struct world *w, struct mqueue *mq)
{
    uint32_t seq, end;
    if (!weir_txlist_next_lost(&mq->tx, &w->mem.m, &seq, &end)) return;
    end = seq + 1 + below(&w->r, end - seq);
    check_bytes(w, mq, seq, end - seq);
    uint32_t reached = weir_txlist_resent(&mq->tx, &w->mem.m, seq, end, w->now_us);
    assert_true(weir_seq_leq(end, reached));
    w->seen.resent++;
}

static void ack(struct world *w, struct mqueue *mq)
{
    uint32_t n = mq->tx.nxt - mq->una;
    if (n == 0) return;
    n = chance(&w->r, 30) ? n : 1 + below(&w->r, n);
    mq->una += n;
    assert_int_equal(weir_txlist_ack(&mq->tx, &w->mem.m, mq->una).acked, n);
    uint32_t went = 0;
    while (went < mq->n && n >= mq->chunk[went].bytes)
        n -= mq->chunk[went++].bytes;
    mq->n -= went;
    memmove(mq->chunk, mq->chunk + went, mq->n * sizeof mq->chunk[0]);
    if (mq->n > 0) {
        mq->chunk[0].addr += n;
        mq->chunk[0].bytes -= n;
    }
    assert_int_equal(weir_sendq_ack(&mq->q, &w->mem.m, mq->una), went);
}

static void reset(struct world *w, struct mqueue *mq)
{
    weir_sendq_clear(&mq->q, &w->mem.m);
    weir_txlist_clear(&mq->tx, &w->mem.m);
    assert_int_equal(mq->q.una, mq->end);
    mq->una = mq->end = rnd(&w->r);
    mq->n = 0;
    mq->closed = false;
    weir_sendq_init(&mq->q, mq->una, CHUNKS);
    weir_txlist_init(&mq->tx, mq->una, 5);
    w->seen.resets++;
}

static void step(struct world *w)
{
    struct mqueue *mq = &w->mq[below(&w->r, QUEUES)];
    uint32_t what = below(&w->r, 100);
    w->now_us += below(&w->r, 3);
    if (what < 12)
        zalloc(w);
    else if (what < 36)
        write_ref(w, mq);
    else if (what < 46)
        write_copy(w, mq);
    else if (what < 60)
        send_new(w, mq);
    else if (what < 74)
        ack(w, mq);
    else if (what < 80)
        zfree(w);
    else if (what < 82)
        zref(w);
    else if (what < 88)
        zgive(w);
    else if (what < 91)
        drain_given(w);
    else if (what < 94)
        lose(w, mq);
    else if (what < 98)
        send_again(w, mq);
    else if (what < 99)
        mq->closed = mq->q.closed = chance(&w->r, 30);
    else if (chance(&w->r, 20))
        reset(w, mq);
    w->seen.closed += mq->closed;
}

static void every_case_was_seen(const struct seen *s)
{
    const uint32_t *count = (const uint32_t *)s;
    for (size_t i = 0; i < sizeof *s / sizeof *count; i++)
        if (count[i] == 0) fail_msg("case %zu of struct seen never happened", i);
}

static struct pool_shape shape(enum weir_zlayout layout)
{
    uint32_t less = layout == WEIR_ZLAYOUT_INSIDE ? 64 : 0;
    return (struct pool_shape){.layout = layout,
                               .classes = 3,
                               .cls = {{256 - less, 16}, {1024 - less, 8}, {4096 - less, 4}},
                               .pbufs = 26,
                               .txrecs = 12};
}

static void run(enum weir_zlayout layout)
{
    static struct world w;
    struct pool_shape s = shape(layout);
    uint32_t steps = steps_for(STEPS);
    memset(&w, 0, sizeof w);
    w.r.s = seed_for(layout == WEIR_ZLAYOUT_DENSE ? "sendq dense" : "sendq inside", 20240607);
    queues_open(&w.mem, &s);
    assert_true(w.mem.z.total <= ZBUFS);
    for (unsigned c = 0; c < 3; c++) {
        const uint32_t floor[WEIR_TAKES] = {0, 0, 0, 0, c < 2 ? 2 : 1, c < 2 ? 2 : 1};
        weir_zpool_floor(&w.mem.z, c, floor);
    }
    w.warm.zbuf_bytes = s.cls[1].bytes;
    for (uint32_t i = 0; i < QUEUES; i++)
        reset(&w, &w.mq[i]);
    for (uint32_t i = 0; i < steps; i++) {
        step(&w);
        check_world(&w);
    }
    for (uint32_t i = 0; i < QUEUES; i++)
        reset(&w, &w.mq[i]);
    weir_warm_drop(&w.warm, &w.mem.m);
    drain_given(&w);
    while (pick_held(&w, false) != ZBUFS)
        zfree(&w);
    check_world(&w);
    if (steps >= STEPS) every_case_was_seen(&w.seen);
    queues_close(&w.mem);
}

static void dense_heads(void **state)
{
    (void)state;
    run(WEIR_ZLAYOUT_DENSE);
}

static void heads_inside(void **state)
{
    (void)state;
    run(WEIR_ZLAYOUT_INSIDE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(dense_heads), cmocka_unit_test(heads_inside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
