/* stack_prop_test.c: random operations on two instances with small pools, several connections between them,
 * against a model of their byte streams.
 *
 * Operations: writes by reference and by copy, retries of what was cut short, frees before and after
 * acknowledgement, releases as another thread makes them, reading by lending and by copying, pieces given
 * back late and in any order, lent pieces written to other connections, half-close, close, abort, and steps
 * of time over a cable that loses, doubles and reorders. After each step every invariant of both instances
 * holds: above all, each count equals the sum over its owners. At the end of an episode everything is closed
 * and given back, and nothing is left.
 *
 * The model. A stream is numbered bytes, so what arrives is compared with nothing but its offset. Bytes that
 * were lent on one connection and written to another are a stream of their own: each write of them notes
 * which flow and offset it began at (a run), and what arrives is compared run by run. */
#include "simnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test_seed.h"

#define CONNS    6
#define HELD_MAX 24   /* zbufs that the application of one side holds */
#define RUNS_MAX 4096 /* writes of one direction of one connection */
#define EPISODES 60
#define STEPS    1000 /* of an episode */

struct run {
    uint32_t tag;
    uint64_t from, bytes;
};

/* One direction: what was written, as runs of numbered bytes, and how far it was read. */
struct way {
    struct run run[RUNS_MAX];
    unsigned n_run, at_run;
    uint64_t at, written, read;
    bool shut, eof;
};

struct link {
    weir_id id[2];     /* 0: this end has given up */
    bool open[2];      /* the application has it */
    bool spoilt;       /* aborted: what was on its way may be lost */
    struct way way[2]; /* way[s]: written by side s */
    uint64_t next;     /* offset of the next fresh bytes, both ways */
};

/* A zbuf, or a lent piece, that the application holds. */
struct held {
    uint8_t *addr;
    uint32_t bytes;
    uint32_t at; /* already written */
    uint32_t refs;
    uint32_t tag;
    uint64_t from; /* what lies in it */
    int link;      /* it was offered to this one and is to be retried there; -1: none */
};

static struct weir_sim rng;
static struct simnet *net;
static struct link links[CONNS];
static struct held held[2][HELD_MAX];
static weir_id listener[2];
static uint32_t next_tag;
static struct weir_stats sum; /* over all episodes, both sides */

static uint32_t below(uint32_t n)
{
    return test_below(&rng, n);
}

static bool chance(uint32_t percent)
{
    return below(100) < percent;
}

/* ---- the model ---- */

static void note_written(struct link *l, int side, uint32_t tag, uint64_t from, uint64_t bytes)
{
    struct way *y = &l->way[side];
    struct run *last =
        y->at_run < y->n_run ? &y->run[y->n_run - 1] : NULL; /* one that is read up does not grow */
    y->written += bytes;
    if (last && last->tag == tag && last->from + last->bytes == from) {
        last->bytes += bytes;
        return;
    }
    assert_true(y->n_run < RUNS_MAX);
    y->run[y->n_run++] = (struct run){tag, from, bytes};
}

/* Compares, and says which numbered byte the first one was. */
static struct run compare(struct way *y, const uint8_t *p, size_t n)
{
    struct run first = {0};
    assert_true(y->read + n <= y->written);
    for (size_t done = 0; done < n;) {
        assert_true(y->at_run < y->n_run);
        const struct run *r = &y->run[y->at_run];
        struct simflow flow = {.tag = r->tag};
        uint64_t left = r->bytes - y->at;
        size_t k = n - done < left ? n - done : (size_t)left;
        if (done == 0) first = (struct run){r->tag, r->from + y->at, k};
        simflow_check(&flow, r->from + y->at, p + done, k);
        y->at += k;
        done += k;
        if (y->at == r->bytes) y->at_run++, y->at = 0;
    }
    y->read += n;
    return first;
}

/* ---- what the application holds ---- */

static struct held *slot_for(int side)
{
    for (unsigned i = 0; i < HELD_MAX; i++)
        if (held[side][i].refs == 0) return &held[side][i];
    return NULL;
}

static struct held *any_held(int side)
{
    unsigned from = below(HELD_MAX);
    for (unsigned i = 0; i < HELD_MAX; i++)
        if (held[side][(from + i) % HELD_MAX].refs) return &held[side][(from + i) % HELD_MAX];
    return NULL;
}

/* One of our references goes: at once, or as another thread would do it. Any address inside will do. */
static void let_go(int side, struct held *h)
{
    const uint8_t *inside = h->addr + below(h->bytes);
    int r = chance(30) ? weir_zgive(net->w[side], inside) : weir_zfree(net->w[side], inside);
    assert_int_equal(r, 0);
    h->refs--;
}

/* ---- operations ---- */

static void op_alloc(int side)
{
    struct held *h = slot_for(side);
    if (!h) return;
    uint32_t bytes = 1 + below(chance(20) ? 4000 : 900);
    uint8_t *p = weir_zalloc(net->w[side], bytes);
    if (!p) return;
    assert_true(weir_zsize(net->w[side], p) >= bytes);
    *h = (struct held){.addr = p, .bytes = bytes, .refs = 1, .tag = next_tag++, .link = -1};
    simflow_fill(&(struct simflow){.tag = h->tag}, 0, p, bytes);
}

/* A fresh part of a zbuf, or the rest of what was cut short. */
static void op_write_ref(int side)
{
    struct held *h = any_held(side);
    if (!h || h->at == h->bytes) return;
    int i = h->link >= 0 && links[h->link].open[side] ? h->link : (int)below(CONNS);
    struct link *l = &links[i];
    if (!l->open[side]) return;
    uint32_t n = 1 + below(h->bytes - h->at);
    ptrdiff_t r = weir_write(net->w[side], l->id[side], h->addr + h->at, n);
    if (r < 0) {
        if (l->way[side].shut && !l->spoilt) assert_int_equal(r, WEIR_EPIPE);
        return;
    }
    assert_in_range(r, 1, n);
    assert_false(l->way[side].shut);
    note_written(l, side, h->tag, h->from + h->at, (uint64_t)r);
    h->at += (uint32_t)r;
    h->link = (uint32_t)r < n ? i : -1;
    if (chance(10)) h->at = 0; /* the same bytes again, perhaps elsewhere */
}

static void op_write_copy(int side)
{
    struct link *l = &links[below(CONNS)];
    if (!l->open[side]) return;
    uint8_t mine[3000];
    uint32_t n = 1 + below(chance(30) ? 40 : sizeof mine), tag = next_tag++;
    simflow_fill(&(struct simflow){.tag = tag}, 0, mine, n);
    ptrdiff_t r = weir_write(net->w[side], l->id[side], mine, n);
    memset(mine, 0xdd, n);
    if (r < 0) return;
    assert_in_range(r, 1, n);
    note_written(l, side, tag, 0, (uint64_t)r);
}

static void reached_end(struct link *l, int side)
{
    struct way *y = &l->way[!side];
    y->eof = true;
    if (l->spoilt) return;
    assert_true(y->shut);
    assert_true(y->read == y->written);
}

static void op_read(int side)
{
    struct link *l = &links[below(CONNS)];
    struct weir_iov iov[4];
    if (!l->open[side]) return;
    int most = 1 + (int)below(4);
    int n = weir_read(net->w[side], l->id[side], iov, most);
    if (n == 0) reached_end(l, side);
    assert_true(n <= most);
    for (int i = 0; i < n; i++) {
        struct run first = compare(&l->way[!side], iov[i].base, iov[i].len);
        struct held *h = slot_for(side);
        if (h)
            *h = (struct held){.addr = iov[i].base,
                               .bytes = (uint32_t)first.bytes,
                               .refs = 1,
                               .tag = first.tag,
                               .from = first.from,
                               .link = -1};
        else
            assert_int_equal(weir_zfree(net->w[side], iov[i].base), 0);
    }
}

static void op_recv(int side)
{
    struct link *l = &links[below(CONNS)];
    uint8_t mine[1000];
    if (!l->open[side]) return;
    ptrdiff_t n = weir_recv(net->w[side], l->id[side], mine, 1 + below(sizeof mine));
    if (n == 0) reached_end(l, side);
    if (n > 0) (void)compare(&l->way[!side], mine, (size_t)n);
}

static void op_free(int side)
{
    struct held *h = any_held(side);
    if (h) let_go(side, h);
}

static void op_ref(int side)
{
    struct held *h = any_held(side);
    if (!h || h->refs > 3) return;
    assert_int_equal(weir_zref(net->w[side], h->addr + h->bytes - 1), 0);
    h->refs++;
}

static void op_shutdown(int side)
{
    struct link *l = &links[below(CONNS)];
    if (!l->open[side] || !chance(6)) return;
    if (weir_shutdown(net->w[side], l->id[side]) == 0) l->way[side].shut = true;
}

/* A side that has read all and written all may close; some abort whatever there is. */
static void op_close(int side)
{
    struct link *l = &links[below(CONNS)];
    if (!l->open[side]) return;
    bool orderly = l->way[!side].eof && l->way[side].shut;
    bool abort = !orderly && chance(3);
    if (!orderly && !abort) return;
    if (abort) l->spoilt = true;
    assert_int_equal(weir_close(net->w[side], l->id[side], abort ? WEIR_CLOSE_ABORT : WEIR_CLOSE_GRACEFUL),
                     0);
    assert_int_equal(weir_close(net->w[side], l->id[side], WEIR_CLOSE_GRACEFUL), WEIR_ESTALE);
    l->open[side] = false;
}

static void op_flush(int side)
{
    assert_int_equal(weir_flush(net->w[side]), 0);
}

static void op_set(int side)
{
    static const enum weir_opt flags[] = {WEIR_OPT_NODELAY, WEIR_OPT_CORK, WEIR_OPT_KEEPALIVE};
    struct link *l = &links[below(CONNS)];
    if (!l->open[side]) return;
    if (chance(50))
        assert_int_equal(weir_set(net->w[side], l->id[side], flags[below(3)], (intptr_t)below(2)), 0);
    else
        assert_int_equal(weir_set(net->w[side], l->id[side], chance(50) ? WEIR_OPT_RCVBUF : WEIR_OPT_SNDBUF,
                                  2048 + (intptr_t)below(8192)),
                         0);
}

/* A free cell of the table gets a connection; both of its ends are known once it is accepted. */
static void op_connect(int side)
{
    struct link *l = &links[below(CONNS)];
    struct weir_addr to;
    if (l->open[0] || l->open[1]) return;
    memset(l, 0, sizeof *l);
    simnet_addr(&to, !side, SIMNET_PORT);
    weir_id id, found;
    int r = weir_connect(net->w[side], &to, &(struct weir_opts){.nodelay = (uint8_t)below(2)}, &id);
    if (r < 0) return;
    struct weir_addr peer;
    uint64_t until = net->sim.now_us + 100 * (uint64_t)SECOND_US;
    r = WEIR_EAGAIN;
    while (r == WEIR_EAGAIN && !(weir_ready(net->w[side], id) & WEIR_EV_ERROR) && simnet_step(net, until))
        r = weir_accept(net->w[!side], listener[!side], &found, &peer);
    if (r < 0) { /* the peer's table is full, or all was lost */
        assert_int_equal(weir_close(net->w[side], id, WEIR_CLOSE_ABORT), 0);
        return;
    }
    l->id[side] = id;
    l->id[!side] = found;
    l->open[0] = l->open[1] = true;
}

/* ---- failures that the model must know ---- */

/* An end that failed without our abort: only the peer's early close does that here. */
static void note_errors(void)
{
    for (unsigned i = 0; i < CONNS; i++) {
        struct link *l = &links[i];
        for (int side = 0; side < 2; side++) {
            if (!l->open[side]) continue;
            struct weir_conn_info info;
            assert_int_equal(weir_info(net->w[side], l->id[side], &info), 0);
            if (info.error == 0) continue;
            assert_true(l->spoilt);
            assert_int_equal(info.error, WEIR_ECONNRESET);
            assert_int_equal(weir_close(net->w[side], l->id[side], WEIR_CLOSE_GRACEFUL), 0);
            l->open[side] = false;
        }
    }
}

/* ---- episodes ---- */

static void operation(void)
{
    static void (*const op[])(int) = {op_alloc,     op_alloc,     op_alloc,      op_write_ref,  op_write_ref,
                                      op_write_ref, op_write_ref, op_write_copy, op_write_copy, op_read,
                                      op_read,      op_read,      op_recv,       op_free,       op_free,
                                      op_free,      op_ref,       op_shutdown,   op_close,      op_flush,
                                      op_set,       op_connect};
    op[below(sizeof op / sizeof op[0])]((int)below(2));
    simnet_check(net);
}

static void give_all_back(int side)
{
    for (unsigned i = 0; i < HELD_MAX; i++)
        while (held[side][i].refs)
            let_go(side, &held[side][i]);
}

static void fail_stuck(void)
{
    for (unsigned i = 0; i < CONNS; i++) {
        const struct link *l = &links[i];
        for (int side = 0; side < 2; side++)
            if (l->open[side])
                print_error("link %u: side %d wrote %llu, of which %llu were read\n", i, side,
                            (unsigned long long)l->way[side].written, (unsigned long long)l->way[side].read);
    }
    fail_msg("stuck");
}

/* Everything that was written arrives, then everything is closed. */
static void wind_up(void)
{
    uint64_t until = net->sim.now_us + 3000 * (uint64_t)SECOND_US;
    bool open = true;
    while (open) {
        open = false;
        for (int side = 0; side < 2; side++) {
            give_all_back(side);
            for (unsigned i = 0; i < CONNS; i++) {
                struct link *l = &links[i];
                if (!l->open[side]) continue;
                if (l->spoilt) { /* the reset may be lost, and then nothing comes any more */
                    assert_int_equal(weir_close(net->w[side], l->id[side], WEIR_CLOSE_ABORT), 0);
                    l->open[side] = false;
                    continue;
                }
                open = true;
                if (!l->way[side].shut && weir_shutdown(net->w[side], l->id[side]) == 0)
                    l->way[side].shut = true;
                uint8_t mine[512];
                ptrdiff_t n;
                while ((n = weir_recv(net->w[side], l->id[side], mine, sizeof mine)) > 0)
                    (void)compare(&l->way[!side], mine, (size_t)n);
                if (n != 0) continue;
                reached_end(l, side);
                assert_int_equal(weir_close(net->w[side], l->id[side], WEIR_CLOSE_GRACEFUL), 0);
                l->open[side] = false;
            }
        }
        if (!simnet_step(net, until)) fail_stuck();
        note_errors();
    }
    simnet_run(net, 600 * (uint64_t)SECOND_US);
}

static struct simnet_conf random_conf(void)
{
    struct simnet_conf c = simnet_defaults();
    for (int side = 0; side < 2; side++) {
        struct weir_config *s = &c.stack[side];
        simnet_tiny(s, (enum weir_zlayout)below(2));
        s->zclass[1].count += below(60);
        s->rcvbuf_bytes += below(10000);
        s->sndbuf_bytes += below(30000);
        s->app_hold_bytes = s->rcvbuf_bytes + below(10000);
        s->ooo_conn = 1 + below(6);
    }
    c.seed = weir_sim_random(&rng);
    c.start_us = weir_sim_random(&rng) % (1ull << 43);
    c.async = (uint8_t)below(2);
    c.queue = 1 + below(WEIR_PAIR_FRAMES);
    c.delay_us = below(5000);
    c.bits_per_s = chance(50) ? 0 : 1000000u + below(100000000);
    c.check = true;
    c.batch = 1 + (int)below(SIMNET_EVENTS);
    if (chance(70))
        c.fault = (struct weir_fault_conf){.loss_ppm = below(60000),
                                           .reorder_ppm = below(60000),
                                           .dup_ppm = below(40000),
                                           .corrupt_ppm = below(10000),
                                           .seed = weir_sim_random(&rng)};
    return c;
}

static void add_up(void)
{
    for (int side = 0; side < 2; side++) {
        struct weir_stats s = simnet_stats(net, side);
#define ADD(name, text) sum.name += s.name;
        WEIR_STATS_MAP(ADD)
#undef ADD
        for (unsigned i = 0; i < WEIR_DROPS; i++)
            sum.drops[i] += s.drops[i];
    }
}

/* What this test is for did happen. */
static void check_reach(void)
{
    if (getenv("WEIR_SEED")) return; /* promised for the default run only */
    assert_true(sum.tx_bytes_ref > 500000 && sum.tx_bytes_copied > 500000 && sum.rx_bytes > 1000000);
    assert_true(sum.gives > 1000 && sum.gives_excess == 0);
    assert_true(sum.retransmits > 100 && sum.ooo_segments > 50 && sum.timeouts > 50);
    assert_true(sum.fast_recoveries > 0 && sum.zwin_probes > 0 && sum.window_shut > 10);
    assert_true(sum.resets_sent > 20 && sum.resets_received > 10 && sum.conns_opened > 200);
    assert_true(sum.pressure > 100 && sum.fallthroughs > 50 && sum.drops[WEIR_DROP_NO_ZBUF] > 0);
    assert_true(sum.drops[WEIR_DROP_TCP_OOO_LIMIT] > 0 && sum.drops[WEIR_DROP_TCP_CSUM] > 0);
}

/* Mostly so short that much stays under way. */
static void pass_time(void)
{
    static const uint32_t spell_us[] = {100, 1000, 1000, 10000, 10000, 10000, 300000, 3000000};
    uint64_t until = net->sim.now_us + below(spell_us[below(8)]);
    unsigned polls = 1 + below(8);
    while (polls-- && simnet_step(net, until)) {
    }
    note_errors();
}

static void episode(void)
{
    struct simnet_conf c = random_conf();
    net = simnet_open(&c);
    memset(links, 0, sizeof links);
    simnet_listen(net, 0, NULL);
    simnet_listen(net, 1, NULL);
    listener[0] = net->listener[0];
    listener[1] = net->listener[1];
    for (unsigned i = 0; i < STEPS; i++) {
        operation();
        if (chance(40)) pass_time();
    }
    wind_up();
    simnet_empty(net);
    add_up();
    simnet_close(net, NULL);
}

static void random_operations(void **state)
{
    (void)state;
    rng = test_seed("stack_prop_test");
    next_tag = 1;
    for (unsigned i = 0; i < EPISODES; i++)
        episode();
    check_reach();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_operations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
