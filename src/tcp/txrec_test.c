/* txrec_test.c: transmit records by cases, and random operations against a model that keeps state and time of
 * every sequence number by itself. With records in plenty the list must be exact and as short as can be; with
 * few it may be coarser, and then the sums and what each call promises are checked. */
#include "queues_fixture.h"
#include "tcp/txrec.h"

#define WINDOW 300u
#define STEPS  200000u

/* ---- cases ---- */

struct bench {
    struct weir_pktmem m;
    struct weir_txlist l;
    void *cells;
};

static void open_bench(struct bench *b, uint32_t seq, uint32_t records, uint16_t max)
{
    memset(b, 0, sizeof *b);
    b->cells = cells_open(&b->m.txrecs, records, sizeof(struct weir_txrec));
    weir_txlist_init(&b->l, seq, max);
}

static void close_bench(struct bench *b)
{
    weir_txlist_clear(&b->l, &b->m);
    assert_int_equal(weir_txlist_check(&b->l, &b->m), 0);
    assert_int_equal(b->l.n, 0);
    assert_int_equal(b->m.txrecs.used, 0);
    free(b->cells);
}

static void sound(const struct bench *b, uint32_t n, uint32_t pipe, uint32_t lost)
{
    assert_int_equal(weir_txlist_check(&b->l, &b->m), 0);
    assert_int_equal(b->l.n, n);
    assert_int_equal(b->l.pipe, pipe);
    assert_int_equal(b->l.lost, lost);
}

static void sent(struct bench *b, uint32_t end, uint32_t now_us)
{
    assert_true(weir_txlist_sent(&b->l, &b->m, end, now_us));
}

static struct weir_txrec *record(const struct bench *b, uint32_t i)
{
    uint32_t at = b->l.first;
    while (i-- > 0)
        at = ((struct weir_txrec *)weir_cells_at(&b->m.txrecs, at))->next;
    return weir_cells_at(&b->m.txrecs, at);
}

static void bursts_and_samples(void **state)
{
    struct bench b;
    (void)state;
    open_bench(&b, UINT32_MAX - 99, 8, 8);
    sent(&b, 0, 10);
    sent(&b, 50, 10);
    sound(&b, 1, 150, 0);
    sent(&b, 100, 20);
    sent(&b, 200, 30);
    sound(&b, 3, 300, 0);
    struct weir_txack a = weir_txlist_ack(&b.l, &b.m, UINT32_MAX - 49);
    assert_true(a.sample && !a.resent);
    assert_int_equal(a.acked, 50);
    assert_int_equal(a.sent_us, 10);
    sound(&b, 3, 250, 0);
    a = weir_txlist_ack(&b.l, &b.m, 60);
    assert_int_equal(a.acked, 110);
    assert_int_equal(a.sent_us, 20);
    sound(&b, 2, 140, 0);
    a = weir_txlist_ack(&b.l, &b.m, 200);
    assert_int_equal(a.sent_us, 30);
    sound(&b, 0, 0, 0);
    close_bench(&b);
}

/* Three bursts; the middle of them is lost, sent again in two parts, and acknowledged. */
static void lost_and_sent_again(void **state)
{
    struct bench b;
    uint32_t seq = 0, end = 0;
    (void)state;
    open_bench(&b, 1000, 16, 16);
    for (uint32_t i = 1; i <= 3; i++)
        sent(&b, 1000 + 100 * i, 10 * i);
    assert_false(weir_txlist_next_lost(&b.l, &b.m, &seq, &end));
    assert_int_equal(weir_txlist_lose(&b.l, &b.m, 1050, 1150), 100);
    sound(&b, 5, 200, 100);
    assert_int_equal(weir_txlist_lose(&b.l, &b.m, 1000, 1150), 50);
    assert_int_equal(weir_txlist_lose(&b.l, &b.m, 1000, 1150), 0);
    sound(&b, 4, 150, 150);
    assert_true(weir_txlist_next_lost(&b.l, &b.m, &seq, &end));
    assert_int_equal(seq, 1000);
    assert_int_equal(end, 1150); /* across two times */
    assert_int_equal(weir_txlist_resent(&b.l, &b.m, 1000, 1120, 40), 1120);
    sound(&b, 4, 270, 30);
    assert_true(weir_txlist_next_lost(&b.l, &b.m, &seq, &end));
    assert_int_equal(seq, 1120);
    assert_int_equal(weir_txlist_resent(&b.l, &b.m, 1120, 1150, 40), 1150);
    sound(&b, 3, 300, 0);
    struct weir_txack a = weir_txlist_ack(&b.l, &b.m, 1150);
    assert_true(a.resent && !a.sample);
    a = weir_txlist_ack(&b.l, &b.m, 1250);
    assert_true(!a.resent && a.sample);
    assert_int_equal(a.sent_us, 30);
    close_bench(&b);
}

/* Joined records keep the larger number of transmissions, whichever comes first. */
static void times_of_joined_records(void **state)
{
    struct bench b;
    (void)state;
    for (uint32_t more = 0; more < 200; more += 100) {
        open_bench(&b, 0, 4, 4);
        sent(&b, 200, 1);
        for (uint32_t now = 2; now < 5; now++) {
            weir_txlist_lose(&b.l, &b.m, more, more + 100);
            weir_txlist_resent(&b.l, &b.m, more, more + 100, now);
        }
        weir_txlist_lose(&b.l, &b.m, 0, 200);
        weir_txlist_resent(&b.l, &b.m, 0, 200, 9);
        sound(&b, 1, 200, 0);
        assert_int_equal(record(&b, 0)->times, 5);
        close_bench(&b);
    }
}

static void undo(void **state)
{
    struct bench b;
    (void)state;
    open_bench(&b, 0, 16, 16);
    sent(&b, 100, 1);
    sent(&b, 200, 2);
    weir_txlist_lose(&b.l, &b.m, 50, 150);
    weir_txlist_resent(&b.l, &b.m, 50, 60, 9);
    sound(&b, 5, 110, 90);
    weir_txlist_unlose(&b.l, &b.m);
    sound(&b, 4, 200, 0); /* what was sent again stays apart */
    close_bench(&b);
}

static void limits_of_lose(void **state)
{
    struct bench b;
    (void)state;
    open_bench(&b, 500, 4, 4);
    assert_int_equal(weir_txlist_lose(&b.l, &b.m, 400, 700), 0);
    sent(&b, 600, 1);
    assert_int_equal(weir_txlist_lose(&b.l, &b.m, 400, 500), 0);
    assert_int_equal(weir_txlist_lose(&b.l, &b.m, 600, 700), 0);
    assert_int_equal(weir_txlist_lose(&b.l, &b.m, 550, 550), 0);
    sound(&b, 1, 100, 0);
    assert_int_equal(weir_txlist_lose(&b.l, &b.m, 400, 700), 100);
    sound(&b, 1, 0, 100);
    close_bench(&b);
}

/* One record in all: bursts join it, cuts are not made, and nothing is forgotten. */
static void one_record(void **state)
{
    struct bench b;
    struct weir_txlist other;
    (void)state;
    open_bench(&b, 0, 1, 8);
    weir_txlist_init(&other, 7, 8);
    assert_true(weir_txlist_room(&other, &b.m));
    sent(&b, 100, 1);
    assert_false(weir_txlist_room(&other, &b.m));
    assert_false(weir_txlist_sent(&other, &b.m, 8, 1));
    assert_int_equal(other.nxt, 7);
    assert_true(weir_txlist_room(&b.l, &b.m));
    sent(&b, 200, 2);
    sound(&b, 1, 200, 0);
    assert_int_equal(record(&b, 0)->sent_us, 2);
    assert_int_equal(weir_txlist_lose(&b.l, &b.m, 50, 60), 200);
    sent(&b, 250, 3);
    sound(&b, 1, 0, 250);
    assert_int_equal(weir_txlist_resent(&b.l, &b.m, 0, 10, 4), 250);
    sound(&b, 1, 250, 0);
    assert_true(weir_txlist_ack(&b.l, &b.m, 250).resent);
    close_bench(&b);
}

/* Behind a record that was sent again, a burst without one of its own may come to equal the record before. */
static void joined_burst_meets_its_equal(void **state)
{
    struct bench b;
    (void)state;
    open_bench(&b, 0, 2, 2);
    sent(&b, 100, 1);
    sent(&b, 200, 2);
    weir_txlist_lose(&b.l, &b.m, 0, 200);
    weir_txlist_resent(&b.l, &b.m, 0, 100, 9);
    weir_txlist_resent(&b.l, &b.m, 100, 200, 8);
    sound(&b, 2, 200, 0);
    sent(&b, 300, 9);
    sound(&b, 1, 300, 0);
    close_bench(&b);
}

/* What a scoreboard will set. */
static void sacked_is_left_alone(void **state)
{
    struct bench b;
    uint32_t seq = 0, end = 0;
    (void)state;
    open_bench(&b, 0, 3, 3);
    for (uint32_t i = 1; i <= 3; i++)
        sent(&b, 100 * i, i);
    for (uint32_t i = 1; i < 3; i++)
        record(&b, i)->flags |= WEIR_TXREC_SACKED;
    b.l.pipe = 100;
    sound(&b, 3, 100, 0);
    assert_int_equal(weir_txlist_lose(&b.l, &b.m, 0, 300), 100);
    assert_true(weir_txlist_next_lost(&b.l, &b.m, &seq, &end));
    assert_int_equal(end, 100);
    weir_txlist_unlose(&b.l, &b.m);
    sound(&b, 3, 100, 0);
    sent(&b, 350, 4);
    sound(&b, 3, 250, 0); /* joined, so the whole of it is in flight */
    struct weir_txack a = weir_txlist_ack(&b.l, &b.m, 200);
    assert_true(a.sample);
    assert_int_equal(a.sent_us, 1);
    sound(&b, 1, 150, 0);
    close_bench(&b);
}

static void check_can_fail(void **state)
{
    struct bench b;
    (void)state;
    open_bench(&b, 0, 4, 4);
    sent(&b, 100, 1);
    sent(&b, 200, 2);
    struct weir_txlist sane = b.l;
    struct weir_txrec *r = record(&b, 0), kept = *r;
    b.l.n = 1;
    assert_int_equal(weir_txlist_check(&b.l, &b.m), 1);
    b.l = sane;
    b.l.nxt = 201;
    assert_int_equal(weir_txlist_check(&b.l, &b.m), 2);
    b.l = sane;
    r->end = 0;
    assert_int_equal(weir_txlist_check(&b.l, &b.m), 3);
    *r = kept;
    b.l.pipe++;
    assert_int_equal(weir_txlist_check(&b.l, &b.m), 4);
    b.l = sane;
    b.l.lost++;
    assert_int_equal(weir_txlist_check(&b.l, &b.m), 5);
    b.l = sane;
    r->sent_us = 2;
    assert_int_equal(weir_txlist_check(&b.l, &b.m), 6);
    *r = kept;
    b.l.max = 1;
    assert_int_equal(weir_txlist_check(&b.l, &b.m), 7);
    b.l = sane;
    r->times = 2;
    assert_int_equal(weir_txlist_check(&b.l, &b.m), 8);
    *r = kept;
    close_bench(&b);
}

/* ---- random operations ---- */

struct number {
    uint32_t sent_us;
    bool lost, resent;
};

struct model {
    struct rng r;
    struct bench b;
    struct number at[WINDOW]; /* at[i] is number una + i */
    uint32_t una, nxt, now_us;
    bool exact; /* records in plenty */
};

static uint32_t count(const struct model *o)
{
    return o->nxt - o->una;
}

static bool same(const struct number *a, const struct number *b)
{
    return a->sent_us == b->sent_us && a->lost == b->lost && a->resent == b->resent;
}

/* The list tells of each number what the model does, in as few records as that takes. */
static void compare_exactly(const struct model *o)
{
    uint32_t runs = 0, lost = 0, at = o->b.l.first;
    for (uint32_t i = 0; i < count(o); i++) {
        const struct number *x = &o->at[i];
        const struct weir_txrec *r = weir_cells_at(&o->b.m.txrecs, at);
        runs += i == 0 || !same(x, x - 1);
        lost += x->lost;
        assert_int_equal((r->flags & WEIR_TXREC_LOST) != 0, x->lost);
        assert_int_equal((r->flags & WEIR_TXREC_RESENT) != 0, x->resent);
        assert_int_equal(r->sent_us, x->sent_us);
        if (o->una + i + 1 == r->end) at = r->next;
    }
    assert_int_equal(o->b.l.n, runs);
    assert_int_equal(o->b.l.lost, lost);
    assert_int_equal(o->b.l.pipe, count(o) - lost);
}

/* A coarser list may differ from the model in what a number's record covers besides; the model follows it. */
static void follow(struct model *o)
{
    uint32_t at = o->b.l.first;
    for (uint32_t i = 0; i < count(o); i++) {
        const struct weir_txrec *r = weir_cells_at(&o->b.m.txrecs, at);
        o->at[i] = (struct number){.sent_us = r->sent_us,
                                   .lost = (r->flags & WEIR_TXREC_LOST) != 0,
                                   .resent = (r->flags & WEIR_TXREC_RESENT) != 0};
        if (o->una + i + 1 == r->end) at = r->next;
    }
}

static void check_model(struct model *o)
{
    const struct weir_txlist *l = &o->b.l;
    assert_int_equal(weir_txlist_check(l, &o->b.m), 0);
    assert_int_equal(l->una, o->una);
    assert_int_equal(l->nxt, o->nxt);
    assert_int_equal(l->pipe + l->lost, count(o));
    if (o->exact)
        compare_exactly(o);
    else
        follow(o);
}

static void do_sent(struct model *o)
{
    uint32_t n = weir_min_u32(1 + below(&o->r, 60), WINDOW - count(o));
    if (n == 0) return;
    bool room = weir_txlist_room(&o->b.l, &o->b.m);
    assert_int_equal(weir_txlist_sent(&o->b.l, &o->b.m, o->nxt + n, o->now_us), room);
    if (o->exact) assert_true(room);
    if (!room) return;
    for (uint32_t i = count(o); n > 0; i++, n--, o->nxt++)
        o->at[i] = (struct number){.sent_us = o->now_us};
}

static void do_ack(struct model *o)
{
    uint32_t n = count(o);
    if (n == 0) return;
    n = chance(&o->r, 20) ? n : 1 + below(&o->r, n);
    bool resent = false, sample = false;
    uint32_t latest = 0;
    for (uint32_t i = 0; i < n; i++) {
        resent = resent || o->at[i].resent;
        if (o->at[i].resent) continue;
        if (!sample || weir_seq_lt(latest, o->at[i].sent_us)) latest = o->at[i].sent_us;
        sample = true;
    }
    struct weir_txack a = weir_txlist_ack(&o->b.l, &o->b.m, o->una + n);
    assert_int_equal(a.acked, n);
    assert_int_equal(a.resent, resent);
    assert_int_equal(a.sample, sample);
    if (sample) assert_int_equal(a.sent_us, latest);
    o->una += n;
    memmove(o->at, o->at + n, count(o) * sizeof o->at[0]);
}

static void do_lose(struct model *o)
{
    uint32_t from = below(&o->r, WINDOW), to = from + below(&o->r, WINDOW - from + 1), marked = 0;
    uint32_t before = o->b.l.lost, lead = below(&o->r, 3) == 0 ? 5 : 0;
    uint32_t got = weir_txlist_lose(&o->b.l, &o->b.m, o->una + from - (from == 0 ? lead : 0), o->una + to);
    assert_int_equal(o->b.l.lost, before + got);
    for (uint32_t i = from; i < weir_min_u32(to, count(o)); i++) {
        marked += !o->at[i].lost;
        o->at[i].lost = true;
    }
    if (o->exact) {
        assert_int_equal(got, marked);
        return;
    }
    assert_true(got >= marked);
    follow(o);
    for (uint32_t i = from; i < weir_min_u32(to, count(o)); i++)
        assert_true(o->at[i].lost);
}

static void do_resent(struct model *o)
{
    uint32_t seq, end, i = 0, k;
    bool any = weir_txlist_next_lost(&o->b.l, &o->b.m, &seq, &end);
    while (i < count(o) && !o->at[i].lost)
        i++;
    assert_int_equal(any, i < count(o));
    if (!any) return;
    for (k = i; k < count(o) && o->at[k].lost; k++) {
    }
    assert_int_equal(seq, o->una + i);
    assert_int_equal(end, o->una + k);
    k = i + 1 + below(&o->r, k - i);
    uint32_t reached = weir_txlist_resent(&o->b.l, &o->b.m, seq, o->una + k, o->now_us);
    if (o->exact) assert_int_equal(reached, o->una + k);
    assert_true(weir_seq_leq(o->una + k, reached) && weir_seq_leq(reached, end));
    for (; i < reached - o->una; i++)
        o->at[i] = (struct number){.sent_us = o->now_us, .resent = true};
    if (!o->exact) compare_exactly(o);
}

static void do_unlose(struct model *o)
{
    weir_txlist_unlose(&o->b.l, &o->b.m);
    for (uint32_t i = 0; i < count(o); i++)
        o->at[i].lost = false;
    assert_int_equal(o->b.l.lost, 0);
}

static void do_clear(struct model *o)
{
    weir_txlist_clear(&o->b.l, &o->b.m);
    assert_int_equal(o->b.l.una, o->nxt);
    assert_int_equal(o->b.m.txrecs.used, 0);
    o->una = o->nxt = chance(&o->r, 50) ? rnd(&o->r) : 0u - below(&o->r, 2 * WINDOW);
    weir_txlist_init(&o->b.l, o->una, o->b.l.max);
    if (chance(&o->r, 50)) o->now_us = 0u - below(&o->r, 100);
}

static void step(struct model *o)
{
    uint32_t what = below(&o->r, 1000);
    o->now_us += below(&o->r, 3);
    if (what < 350)
        do_sent(o);
    else if (what < 550)
        do_ack(o);
    else if (what < 750)
        do_lose(o);
    else if (what < 980)
        do_resent(o);
    else if (what < 995)
        do_unlose(o);
    else
        do_clear(o);
}

static void run(const char *name, uint32_t records, uint16_t max, bool exact)
{
    struct model o = {.exact = exact};
    o.r.s = seed_for(name, 4711);
    o.now_us = UINT32_MAX - 500;
    open_bench(&o.b, UINT32_MAX - 700, records, max);
    o.una = o.nxt = UINT32_MAX - 700;
    for (uint32_t i = steps_for(STEPS / 2); i > 0; i--) {
        step(&o);
        check_model(&o);
    }
    close_bench(&o.b);
}

static void plenty(void **state)
{
    (void)state;
    run("txrec plenty", WINDOW + 1, UINT16_MAX, true);
}

static void few_in_the_pool(void **state)
{
    (void)state;
    run("txrec few in the pool", 4, UINT16_MAX, false);
}

static void few_by_the_limit(void **state)
{
    (void)state;
    run("txrec few by the limit", WINDOW, 3, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bursts_and_samples),
        cmocka_unit_test(lost_and_sent_again),
        cmocka_unit_test(times_of_joined_records),
        cmocka_unit_test(undo),
        cmocka_unit_test(limits_of_lose),
        cmocka_unit_test(one_record),
        cmocka_unit_test(joined_burst_meets_its_equal),
        cmocka_unit_test(sacked_is_left_alone),
        cmocka_unit_test(check_can_fail),
        cmocka_unit_test(plenty),
        cmocka_unit_test(few_in_the_pool),
        cmocka_unit_test(few_by_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
