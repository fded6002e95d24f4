/* recvq_prop_test.c: segments in random order, with overlaps, duplicates and contradicting copies, delivered
 * in posted zbufs of small classes to two queues that share one pool; random lending, copying and freeing;
 * every limit is hit.
 *
 * The model has for each sequence number whether it was received, and its first copy. After each delivery:
 * what is held is what was held and a prefix of what arrived; rcv_nxt is the first number not held; every
 * held byte is its first copy; each zbuf that was kept could be replaced; and each zbuf's references equal
 * the sum over their owners. */
#include "queues_fixture.h"
#include "tcp/recvq.h"

#define QUEUES  2u
#define RING    16384u
#define REACH   4000u /* how far past rcv_nxt segments begin */
#define UNREAD  3000u /* in-order bytes that wait, about */
#define ZBUFS   96u
#define PIECES  4u
#define MAX_OOO 6u
#define HELD    24u
#define STEPS   100000u /* for each layout */

struct mqueue {
    struct weir_recvq q;
    uint32_t read, rcv_nxt; /* in order and unread: [read, rcv_nxt) */
    uint8_t held[RING];     /* number seq at seq % RING: was received and is in the queue */
    uint8_t first[RING];    /* its first copy */
};

struct loan {
    const uint8_t *addr;
    uint32_t bytes, sum;
};

struct seen {
    uint32_t kept[2], result[5], dropped_ooo, cut_short, packed, lent, lent_cut, lent_part, copied, cleared,
        drained;
};

struct segment {
    struct weir_piece piece[PIECES];
    unsigned n_pieces;
    uint32_t seq, n, classes; /* classes: the largest that a piece lies in */
};

struct world {
    struct queues mem;
    struct rng r;
    struct mqueue mq[QUEUES];
    struct loan loan[HELD];
    uint32_t loans;
    uint32_t app[ZBUFS];
    struct seen seen;
};

static uint32_t number_of(const struct world *w, const uint8_t *addr)
{
    return weir_zpool_number(&w->mem.z, weir_zpool_head(&w->mem.z, addr));
}

/* ---- what must hold ---- */

/* Every byte of a list is the first copy of its number. */
static void check_list(const struct world *w, const struct mqueue *mq, uint32_t at, uint32_t *stk)
{
    while (at != 0) {
        const struct weir_pbuf *p = weir_pbuf_at(&w->mem.m, at);
        uint32_t from = p->seq % RING, part = weir_min_u32(p->bytes, RING - from);
        assert_memory_equal(p->addr, mq->first + from, part);
        assert_memory_equal(p->addr + part, mq->first, p->bytes - part);
        stk[number_of(w, p->addr)]++;
        at = p->next;
    }
}

static void check_world(const struct world *w)
{
    uint32_t stk[ZBUFS] = {0};
    assert_int_equal(weir_zpool_check(&w->mem.z), 0);
    for (uint32_t i = 0; i < QUEUES; i++) {
        const struct mqueue *mq = &w->mq[i];
        assert_int_equal(weir_recvq_check(&mq->q, &w->mem.m, mq->rcv_nxt), 0);
        assert_int_equal(mq->q.bytes, mq->rcv_nxt - mq->read);
        check_list(w, mq, mq->q.first, stk);
        check_list(w, mq, mq->q.ooo_first, stk);
    }
    for (uint32_t i = 0; i < w->mem.z.total; i++) {
        const struct weir_zhead *h = weir_zpool_by_number(&w->mem.z, i);
        assert_int_equal(h->stk, stk[i]);
        assert_int_equal(h->app, w->app[i]);
    }
}

/* ---- delivery ---- */

static uint8_t byte_of(const struct segment *s, uint32_t salt, uint32_t i)
{
    return (uint8_t)((s->seq + i) * 7 + salt);
}

/* Zbufs of random classes with the payload somewhere behind a header; what can't be had is left out. */
static void make_segment(struct world *w, struct mqueue *mq, struct segment *s, uint32_t salt)
{
    uint32_t what = below(&w->r, 10), pieces = 1 + (chance(&w->r, 30) ? below(&w->r, PIECES) : 0);
    s->seq = what < 5 ? mq->rcv_nxt : mq->rcv_nxt + below(&w->r, REACH + 300) - 300;
    s->n = s->n_pieces = s->classes = 0;
    for (uint32_t i = 0; i < pieces; i++) {
        uint32_t cls = below(&w->r, 3), head = below(&w->r, 60);
        struct weir_zhead *h = weir_zpool_take(&w->mem.z, w->mem.z.cls[cls].bytes, WEIR_TAKE_POST);
        if (h == NULL) break;
        uint32_t room = weir_zpool_bytes(&w->mem.z, h) - head;
        uint32_t n = 1 + below(&w->r, chance(&w->r, 40) ? 20 : room);
        uint8_t *addr = weir_zpool_first(&w->mem.z, h) + head;
        for (uint32_t k = 0; k < n; k++)
            addr[k] = byte_of(s, salt, s->n + k);
        s->piece[s->n_pieces++] = (struct weir_piece){.addr = addr, .bytes = n};
        s->n += n;
        s->classes = weir_max_u32(s->classes, h->cls);
    }
    if (s->n > 1 && chance(&w->r, 10)) s->n -= below(&w->r, s->n - 1); /* cut to the window: pieces go on */
}

/* Takes what would replace the kept ones, largest class first, all at once, and gives it back. */
static void replace_kept(struct world *w, const struct segment *s, enum weir_take kind)
{
    struct weir_zhead *got[PIECES];
    unsigned n = 0;
    for (unsigned cls = 3; cls-- > 0;)
        for (unsigned i = 0; i < s->n_pieces; i++) {
            const struct weir_zhead *h = weir_zpool_head(&w->mem.z, s->piece[i].addr);
            if (weir_zpool_class_for(&w->mem.z, h->asked_bytes) != cls || h->stk == 1) continue;
            got[n] = weir_zpool_take(&w->mem.z, h->asked_bytes, kind);
            assert_non_null(got[n]);
            n++;
        }
    while (n > 0)
        weir_zpool_unref(&w->mem.z, got[--n], WEIR_OWNER_POSTED);
}

/* What the queue holds now, by its descriptors: which numbers, and their bytes. */
static void held_in(const struct world *w, uint32_t at, uint8_t *now, uint8_t *bytes)
{
    while (at != 0) {
        const struct weir_pbuf *p = weir_pbuf_at(&w->mem.m, at);
        for (uint32_t k = 0; k < p->bytes; k++) {
            now[(p->seq + k) % RING] = 1;
            bytes[(p->seq + k) % RING] = p->addr[k];
        }
        at = p->next;
    }
}

/* Out-of-order data may be dropped for data in order and its numbers be taken from this very segment then. */
static bool taken_anew(struct mqueue *mq, const struct segment *s, uint32_t salt, uint32_t i, uint8_t byte)
{
    uint32_t at = (s->seq + i) % RING;
    if (mq->first[at] == byte) return false;
    assert_int_equal(byte, byte_of(s, salt, i));
    mq->first[at] = byte;
    return true;
}

/* Whether nothing can be short for this segment: then all of it must be kept. */
static bool plenty(const struct world *w, const struct mqueue *mq, const struct segment *s)
{
    bool in_order = weir_seq_leq(s->seq, mq->rcv_nxt);
    if (weir_cells_left(&w->mem.m.pbufs) < s->n_pieces + mq->q.n_ooo) return false;
    if (!in_order && mq->q.n_ooo + s->n_pieces + mq->q.n_ooo > MAX_OOO) return false;
    return weir_zpool_can(&w->mem.z, s->classes, in_order ? WEIR_TAKE_INORDER : WEIR_TAKE_OOO, s->n_pieces);
}

/* The model after a delivery, and whether the queue agrees. old: rcv_nxt before. */
static void learn(struct world *w, struct mqueue *mq, const struct segment *s, uint32_t salt, uint32_t old,
                  bool all)
{
    static uint8_t now[RING], bytes[RING];
    uint32_t k = 0, news = 0;
    bool dropped = false;
    memset(now, 0, RING);
    held_in(w, mq->q.first, now, bytes);
    held_in(w, mq->q.ooo_first, now, bytes);
    for (uint32_t i = 0; mq->q.n_ooo == 0 && !dropped && i < RING; i++)
        dropped = mq->held[i] > now[i];
    for (uint32_t i = weir_seq_lt(s->seq, old) ? old - s->seq : 0; i < s->n; i++) {
        uint32_t at = (s->seq + i) % RING;
        if (mq->held[at] && now[at] && taken_anew(mq, s, salt, i, bytes[at])) dropped = true;
    }
    if (dropped) {
        assert_true(weir_seq_leq(s->seq, old) && mq->q.n_ooo == 0 && !all);
        w->seen.dropped_ooo++;
    }
    uint32_t skipped = weir_seq_lt(s->seq, mq->read) ? mq->read - s->seq : 0; /* read already */
    for (k = skipped; k < s->n && now[(s->seq + k) % RING]; k++) {
    }
    if (all && s->n > skipped) assert_int_equal(k, s->n);
    w->seen.cut_short += s->n > skipped && k < s->n;
    for (uint32_t i = skipped; i < s->n; i++) {
        uint32_t at = (s->seq + i) % RING;
        if (!now[at] || mq->held[at]) continue;
        assert_true(i < k);
        mq->first[at] = byte_of(s, salt, i);
        mq->held[at] = 1;
        news++;
    }
    for (uint32_t i = 0; dropped && i < RING; i++)
        mq->held[i] &= now[i];
    assert_memory_equal(mq->held, now, RING); /* nothing is held that neither was held nor arrived */
    assert_false(now[mq->rcv_nxt % RING]);
    w->seen.kept[weir_seq_leq(s->seq, old)] += news > 0;
}

static void deliver(struct world *w, struct mqueue *mq)
{
    struct segment s;
    uint32_t salt = chance(&w->r, 20) ? rnd(&w->r) : 0, old = mq->rcv_nxt;
    uint64_t copied = w->mem.stats.rx_bytes_copied;
    if (mq->q.bytes > UNREAD) return;
    make_segment(w, mq, &s, salt);
    if (s.n_pieces > 0) {
        bool in_order = weir_seq_leq(s.seq, old), all = plenty(w, mq, &s);
        enum weir_recvq_result x =
            weir_recvq_insert(&mq->q, &w->mem.m, &mq->rcv_nxt, s.seq, s.piece, s.n_pieces, s.n);
        replace_kept(w, &s, in_order ? WEIR_TAKE_INORDER : WEIR_TAKE_OOO);
        w->seen.result[x]++;
        w->seen.packed += w->mem.stats.rx_bytes_copied > copied;
        if (!in_order) assert_int_equal(mq->rcv_nxt, old);
        uint32_t news = w->seen.kept[in_order];
        learn(w, mq, &s, salt, old, all);
        assert_int_equal(x == WEIR_RECVQ_KEPT, w->seen.kept[in_order] > news);
        if (all) assert_true(x == WEIR_RECVQ_KEPT || x == WEIR_RECVQ_DUPLICATE);
        if (x == WEIR_RECVQ_OOO_LIMIT) assert_int_equal(mq->q.n_ooo, MAX_OOO);
        if (x == WEIR_RECVQ_NO_PBUF) assert_int_equal(weir_cells_left(&w->mem.m.pbufs), 0);
    }
    for (unsigned i = 0; i < s.n_pieces; i++)
        weir_zpool_unref(&w->mem.z, weir_zpool_head(&w->mem.z, s.piece[i].addr), WEIR_OWNER_POSTED);
}

/* ---- reading ---- */

static uint32_t sum_of(const uint8_t *p, uint32_t n)
{
    uint32_t sum = 1;
    while (n-- > 0)
        sum = sum * 31 + *p++;
    return sum;
}

static void consumed(struct mqueue *mq, const uint8_t *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, mq->read++) {
        assert_int_equal(bytes[i], mq->first[mq->read % RING]);
        mq->held[mq->read % RING] = 0;
    }
}

static void lend(struct world *w, struct mqueue *mq)
{
    struct weir_iov out[4];
    uint32_t n = weir_min_u32(1 + below(&w->r, 4), HELD - w->loans), bytes, sum = 0, had = mq->q.bytes;
    uint32_t max = chance(&w->r, 50) ? 100000 : below(&w->r, 700);
    uint32_t first = mq->q.first != 0 ? weir_pbuf_at(&w->mem.m, mq->q.first)->bytes : 0;
    unsigned got = weir_recvq_lend(&mq->q, &w->mem.m, 77, out, n, max, &bytes);
    assert_true(got <= n && bytes <= max);
    if (n > 0 && max > 0 && had > 0) assert_true(got > 0);
    if (got > 0 && first > max) assert_int_equal(got, 1);
    for (unsigned i = 0; i < got; i++) {
        const uint8_t *addr = out[i].base;
        struct weir_zhead *h = NULL;
        assert_int_equal(weir_zpool_find(&w->mem.z, addr, &h), 0);
        assert_true(h && h->lent_id == 77 && h->lent_bytes >= out[i].len);
        w->app[weir_zpool_number(&w->mem.z, h)]++;
        consumed(mq, addr, (uint32_t)out[i].len);
        w->loan[w->loans++] = (struct loan){addr, (uint32_t)out[i].len, sum_of(addr, (uint32_t)out[i].len)};
        sum += (uint32_t)out[i].len;
    }
    assert_int_equal(sum, bytes);
    w->seen.lent += got > 0;
    w->seen.lent_cut += got > 0 && first > max;
    w->seen.lent_part += got > 0 && got < n && mq->q.bytes > 0;
}

/* A loan is as it was when it was lent. */
static void zfree(struct world *w)
{
    if (w->loans == 0) return;
    uint32_t i = below(&w->r, w->loans);
    struct loan x = w->loan[i];
    w->loan[i] = w->loan[--w->loans];
    assert_int_equal(sum_of(x.addr, x.bytes), x.sum);
    struct weir_zhead *h = weir_zpool_head(&w->mem.z, x.addr);
    w->app[weir_zpool_number(&w->mem.z, h)]--;
    assert_true(weir_zpool_app_unref(&w->mem.z, h, 1) >= 0);
}

static void copy(struct world *w, struct mqueue *mq)
{
    uint8_t out[2000];
    uint32_t n = 1 + below(&w->r, sizeof out), had = mq->q.bytes;
    uint32_t got = weir_recvq_copy(&mq->q, &w->mem.m, out, n);
    assert_int_equal(got, weir_min_u32(n, had));
    consumed(mq, out, got);
    w->seen.copied += got > 0;
    w->seen.drained += got > 0 && got == had;
}

static void clear(struct world *w, struct mqueue *mq)
{
    weir_recvq_clear(&mq->q, &w->mem.m);
    assert_int_equal(mq->q.bytes + mq->q.ooo_bytes + mq->q.seg_bytes, 0);
    mq->read = mq->rcv_nxt = chance(&w->r, 50) ? rnd(&w->r) : 0u - below(&w->r, 20000);
    memset(mq->held, 0, RING);
    weir_recvq_init(&mq->q, MAX_OOO, 0, 0);
    w->seen.cleared++;
}

static void step(struct world *w)
{
    struct mqueue *mq = &w->mq[below(&w->r, QUEUES)];
    uint32_t what = below(&w->r, 1000);
    if (what < 600)
        deliver(w, mq);
    else if (what < 740)
        lend(w, mq);
    else if (what < 930)
        zfree(w);
    else if (what < 997)
        copy(w, mq);
    else
        clear(w, mq);
}

static void every_case_was_seen(const struct seen *s)
{
    const uint32_t *count = (const uint32_t *)s;
    for (size_t i = 0; i < sizeof *s / sizeof *count; i++)
        if (count[i] == 0) fail_msg("case %zu of struct seen never happened", i);
}

static void run(enum weir_zlayout layout)
{
    static struct world w;
    uint32_t less = layout == WEIR_ZLAYOUT_INSIDE ? 64 : 0, steps = steps_for(STEPS);
    struct pool_shape s = {.layout = layout,
                           .classes = 3,
                           .cls = {{256 - less, 16}, {512 - less, 16}, {2048 - less, 12}},
                           .pbufs = 24,
                           .txrecs = 1};
    memset(&w, 0, sizeof w);
    w.r.s = seed_for(layout == WEIR_ZLAYOUT_DENSE ? "recvq dense" : "recvq inside", 99);
    queues_open(&w.mem, &s);
    assert_true(w.mem.z.total <= ZBUFS);
    for (unsigned c = 0; c < 3; c++) {
        const uint32_t floor[WEIR_TAKES] = {0, 0, 1, 2, 2, 4};
        weir_zpool_floor(&w.mem.z, c, floor);
    }
    for (uint32_t i = 0; i < QUEUES; i++)
        clear(&w, &w.mq[i]);
    for (uint32_t i = 0; i < steps; i++) {
        step(&w);
        check_world(&w);
    }
    for (uint32_t i = 0; i < QUEUES; i++)
        clear(&w, &w.mq[i]);
    while (w.loans > 0)
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
