/* stall_test.c: progress under exhaustion. Each scenario drives two instances to where nothing moves any
 * more, proves that it is there, takes the cause away and measures, in virtual time, how long it takes until
 * every connection has moved: at most so many retransmission time-outs, stated with each. Afterwards
 * everything is transferred, compared byte by byte, and nothing is left. */
#include "simnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define KIB        1024u
#define MINUTE     (60 * (uint64_t)SECOND_US)
#define ENDS_MAX   128u
#define LOSSY_RTOS 10u /* the same with frames lost */
#define LEAST_RTOS 30u /* at the plan's minimum, where connections take turns at a few zbufs */

static void close_all(struct simnet *n, struct simend *end, unsigned k)
{
    for (unsigned i = 0; i < k; i++)
        simend_close(&end[i]);
    simnet_run(n, 5 * MINUTE);
    simnet_empty(n);
    simnet_close(n, NULL);
}

/* ---- how long until all have moved ---- */

/* Bytes received in order, whether read or not. */
static uint64_t got(const struct simend *e)
{
    return simend_info(e).rx_bytes;
}

static uint32_t longest_rto(const struct simend *end, unsigned k)
{
    uint32_t rto = 0;
    for (unsigned i = 0; i < k; i++)
        rto = weir_max_u32(rto, simend_info(&end[i]).rto_us);
    return rto;
}

static bool all_moved(const struct simend *end, unsigned k, const uint64_t *before)
{
    for (unsigned i = 0; i < k; i++)
        if (got(&end[i]) == before[i] && got(&end[i]) < end[i].in.total) return false;
    return true;
}

static void pump_all(struct simend *end, unsigned k)
{
    for (unsigned i = 0; i < k; i++) {
        simend_pump(&end[i]);
        assert_int_equal(end[i].error, 0);
    }
}

/* The cause is gone: everybody who waits for bytes has some more within so many time-outs, as they stand now,
 * and all of them in the end. */
static void recovers(const char *what, struct simnet *n, struct simend *end, unsigned k, unsigned rtos)
{
    uint64_t before[ENDS_MAX], from = n->sim.now_us;
    struct simend *all[ENDS_MAX];
    uint32_t rto = longest_rto(end, k);
    uint64_t until = from + (uint64_t)rtos * rto;
    for (unsigned i = 0; i < k; i++) {
        before[i] = got(&end[i]);
        all[i] = &end[i];
    }
    pump_all(end, k);
    while (!all_moved(end, k, before)) {
        if (!simnet_step(n, until))
            fail_msg("%s: not all have moved within %u time-outs of %u us", what, rtos, rto);
        pump_all(end, k);
    }
    uint64_t moved = n->sim.now_us - from;
    simnet_transfer(n, all, k, 10 * MINUTE);
    printf("%s: all moved after %llu us, done after %llu us; the longest time-out was %u us\n", what,
           (unsigned long long)moved, (unsigned long long)(n->sim.now_us - from), rto);
}

/* Writes what can be written; what has come stays unread. */
static void pump_writes(struct simend *e)
{
    unsigned read = e->ready & WEIR_EV_READ;
    e->ready &= ~(unsigned)WEIR_EV_READ;
    simend_pump(e);
    e->ready |= read;
}

static void write_only_for(struct simnet *n, struct simend *end, unsigned k, uint64_t us)
{
    uint64_t until = n->sim.now_us + us;
    do {
        for (unsigned i = 0; i < k; i++)
            pump_writes(&end[i]);
    } while (simnet_step(n, until));
}

/* Both sides have few zbufs, or only side 1. */
static struct simnet *tiny_net(int first, void (*change)(struct weir_config *))
{
    struct simnet_conf c = simnet_defaults();
    for (int side = first; side < 2; side++) {
        simnet_tiny(&c.stack[side], side ? WEIR_ZLAYOUT_INSIDE : WEIR_ZLAYOUT_DENSE);
        if (change) change(&c.stack[side]);
    }
    c.check = true;
    return simnet_open(&c);
}

/* k connections from side 0, so many bytes there and back; ends 2 i and 2 i + 1. */
static void join_some(struct simnet *n, struct simend *end, unsigned k, uint64_t there, uint64_t back)
{
    for (unsigned i = 0; i < k; i++) {
        simnet_join(n, 0, NULL, &end[2 * i], &end[2 * i + 1]);
        simend_plan(&end[2 * i], &end[2 * i + 1], i + 1, there, back);
        end[2 * i].chunk = end[2 * i + 1].chunk = 1900;
    }
}

/* ---- all zbufs in send queues ---- */

static void large_sndbuf(struct weir_config *c)
{
    c->sndbuf_bytes = 65536;
    c->pbufs_conn = 40;
    c->pbufs = 200;
}

static void send_queues_hold_all(enum simnet_write how, const char *what)
{
    struct simend end[12];
    struct simnet *n = tiny_net(0, large_sndbuf);
    join_some(n, end, 6, 200 * KIB, 150 * KIB);
    for (unsigned i = 0; i < 12; i++)
        end[i].how = how;
    write_only_for(n, end, 12, 20 * (uint64_t)SECOND_US);
    for (int side = 0; side < 2; side++) {
        /* Copies are packed into the largest class. */
        assert_null(weir_zalloc(n->w[side], how == WRITE_COPY ? 4000 : 1900));
        assert_true(simnet_stats(n, side).pressure > 0);
        assert_int_equal(n->w[side]->z.cls[2].free, 0);
    }
    uint32_t queued[2] = {0, 0}, unread = 0;
    for (unsigned i = 0; i < 12; i++) {
        queued[i % 2] += simend_info(&end[i]).queued_bytes;
        unread += simend_info(&end[i]).readable_bytes;
    }
    /* Copies have 24 KiB for everything, and a queue stops at its share (fair.h) before it is all packed. */
    uint32_t least = how == WRITE_COPY ? 16 * KIB : 20 * KIB;
    assert_true(queued[0] >= least && queued[1] >= least && unread > 0);
    recovers(what, n, end, 12, 1);
    close_all(n, end, 12);
}

static void all_in_send_queues(void **state)
{
    (void)state;
    send_queues_hold_all(WRITE_REF, "all zbufs in send queues, by reference");
    send_queues_hold_all(WRITE_COPY, "all zbufs in send queues, by copy");
    send_queues_hold_all(WRITE_MIXED, "all zbufs in send queues, both");
}

/* ---- all out of order ---- */

/* Side 0's device loses, while `on`, the first bytes that each connection sent in that time, every time. */
static struct {
    struct weir_netdev_ops ops;
    const struct weir_netdev_ops *real;
    bool on, frozen; /* frozen: no other connection loses anything from now on */
    uint16_t spared; /* the port of a connection that loses nothing */
    unsigned n;
    struct {
        uint32_t port, seq;
    } hole[16];
} lossy;

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool loses(const struct weir_frame *f)
{
    const uint8_t *p = f->pieces[0].addr;
    if (!lossy.on || p[12] != 8 || p[13] != 0 || p[23] != 6) return false;
    uint32_t total = (uint32_t)p[16] << 8 | p[17], headers = 20 + (p[46] >> 4) * 4u;
    uint32_t port = (uint32_t)p[34] << 8 | p[35], seq = be32(p + 38);
    if (total <= headers || port == lossy.spared) return false;
    for (unsigned i = 0; i < lossy.n; i++)
        if (lossy.hole[i].port == port) return lossy.hole[i].seq == seq;
    if (lossy.frozen) return false;
    assert_in_range(lossy.n, 0, 15);
    lossy.hole[lossy.n].port = port;
    lossy.hole[lossy.n++].seq = seq;
    return true;
}

static unsigned lossy_tx(struct weir_netdev *dev, const struct weir_frame *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!loses(&f[i]) && lossy.real->tx_burst(dev, &f[i], 1) == 0) return i;
    return n;
}

static void make_lossy(struct simnet *n)
{
    struct weir_netdev *dev = &n->pair.end[0].dev;
    memset(&lossy, 0, sizeof lossy);
    lossy.real = dev->ops;
    lossy.ops = *dev->ops;
    lossy.ops.tx_burst = lossy_tx;
    dev->ops = &lossy.ops;
}

static uint32_t ooo_bytes(const struct simend *end, unsigned k)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < k; i++)
        sum += simend_info(&end[i]).ooo_bytes;
    return sum;
}

static void large_rcvbuf(struct weir_config *c)
{
    c->rcvbuf_bytes = c->app_hold_bytes = 12288;
    c->ooo_conn = 8;
}

static void all_out_of_order(void **state)
{
    (void)state;
    struct simend end[14], *spared[2] = {&end[12], &end[13]};
    struct simnet *n = tiny_net(1, large_rcvbuf);
    make_lossy(n);
    join_some(n, end, 7, 60 * KIB, 0);
    lossy.on = true;
    lossy.spared = simend_info(&end[12]).local.port;
    write_only_for(n, end, 12, SECOND_US / 2);
    assert_int_equal(lossy.n, 6);
    assert_true(ooo_bytes(end, 12) >= 16 * KIB);
    assert_true(simnet_stats(n, 1).windows_cut > 0);
    /* The application takes all it may, so that the ladder gives up what is out of order and keeps no more.
     */
    uint8_t *taken[64];
    unsigned n_taken = 0;
    while (n_taken < 64 && (taken[n_taken] = weir_zalloc(n->w[1], 1900)) != NULL)
        n_taken++;
    write_only_for(n, end, 12, 2 * SECOND_US);
    assert_int_equal(ooo_bytes(end, 12), 0);
    assert_true(simnet_stats(n, 1).ooo_dropped >= 16 * KIB);
    assert_true(simnet_stats(n, 1).rungs[WEIR_RUNG_OOO] > 0);
    /* Who has no hole goes on meanwhile. */
    uint64_t from = n->sim.now_us;
    simnet_transfer(n, spared, 2, 2 * SECOND_US);
    printf("beside zbufs out of order: 60 KiB in %llu us\n", (unsigned long long)(n->sim.now_us - from));
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(got(&end[i]), 0);
    lossy.on = false;
    recovers("all zbufs out of order", n, end, 12, 1);
    while (n_taken > 0)
        assert_int_equal(weir_zfree(n->w[1], taken[--n_taken]), 0);
    close_all(n, end, 14);
}

/* ---- all transmit records with connections whose peers are gone ---- */

/* Each connection has a record of its own: those whose bytes nobody acknowledges can't keep others from
 * opening and sending. */
static void records_with_dead_peers(void **state)
{
    (void)state;
    enum { DEAD = 3, SHARED = 4 };
    struct simnet_conf c = simnet_defaults();
    c.stack[0].conns = 8;
    c.stack[0].txrecs = 8 + SHARED;
    c.stack[0].txrecs_conn = 8;
    c.check = true;
    struct simnet *n = simnet_open(&c);
    struct simend end[2 * DEAD + 2];
    const struct weir_opts nodelay = {.nodelay = 1};
    make_lossy(n);
    for (unsigned i = 0; i < 2 * DEAD; i += 2)
        simnet_join(n, 0, &nodelay, &end[i], &end[i + 1]);
    lossy.on = true;
    for (unsigned k = 0; k < 9; k++) {
        for (unsigned i = 0; i < 2 * DEAD; i += 2)
            assert_int_equal(weir_write(end[i].w, end[i].id, n->scratch, 1400), 1400);
        simnet_run(n, 1000);
    }
    assert_int_equal(simnet_stats(n, 0).txrecs_live, DEAD + SHARED);
    lossy.frozen = true;
    uint64_t from = n->sim.now_us;
    struct simend *a = &end[2 * DEAD], *b = &end[2 * DEAD + 1], *both[2] = {a, b};
    simnet_join(n, 0, NULL, a, b);
    assert_in_range(n->sim.now_us - from, 0, 200000);
    simend_plan(a, b, 1, 60 * KIB, 60 * KIB);
    simnet_transfer(n, both, 2, SECOND_US);
    printf("beside dead peers' records: opened and 120 KiB in %llu us\n",
           (unsigned long long)(n->sim.now_us - from));
    for (unsigned i = 0; i < 2 * DEAD; i++)
        assert_int_equal(weir_close(end[i].w, end[i].id, WEIR_CLOSE_ABORT), 0);
    for (unsigned i = 0; i < 2 * DEAD; i++)
        simend_leave(&end[i]);
    close_all(n, a, 2);
}

/* ---- the application holds all it may ---- */

struct hoard {
    struct simend *end;
    uint8_t *held[64];
    unsigned n;
};

static void hoard_more(struct hoard *h)
{
    struct simend *e = h->end;
    struct weir_iov iov;
    while (e->ready & WEIR_EV_READ) {
        int r = weir_read(e->w, e->id, &iov, 1);
        if (r != 1) {
            assert_true(r == WEIR_EAGAIN || r == WEIR_ENOMEM);
            e->ready &= ~(unsigned)WEIR_EV_READ;
            return;
        }
        assert_in_range(h->n, 0, 63);
        simflow_check(&e->in, e->in.done, iov.base, iov.len);
        e->in.done += iov.len;
        h->held[h->n++] = iov.base;
    }
}

static void application_holds_all(void **state)
{
    (void)state;
    struct simend end[8];
    struct hoard hoard[4];
    struct simnet *n = tiny_net(0, NULL);
    join_some(n, end, 4, 60 * KIB, 0);
    for (unsigned i = 0; i < 4; i++)
        hoard[i] = (struct hoard){.end = &end[2 * i + 1]};
    uint64_t until = n->sim.now_us + 20 * (uint64_t)SECOND_US;
    do {
        for (unsigned i = 0; i < 4; i++) {
            pump_writes(&end[2 * i]);
            hoard_more(&hoard[i]);
        }
    } while (simnet_step(n, until));
    uint32_t lent = 0;
    for (unsigned i = 0; i < 4; i++)
        lent += simend_info(hoard[i].end).lent_bytes;
    assert_int_equal(lent, n->conf.stack[1].app_hold_bytes);
    for (unsigned i = 0; i < 4; i++) /* nobody's sender can go on */
        assert_int_equal(simend_info(&end[2 * i]).snd_wnd, 0);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < hoard[i].n; k++)
            assert_int_equal(weir_zfree(n->w[1], hoard[i].held[k]), 0);
    recovers("the application held all it may", n, end, 8, 1);
    close_all(n, end, 8);
}

/* ---- a proxy with a peer at zero window ---- */

struct relay {
    struct simend in, out; /* both on the proxy's side */
    struct weir_iov held[4];
    uint8_t *first[4]; /* where they began */
    int n, at;
};

static bool relay_reads(struct relay *r)
{
    struct simend *e = &r->in;
    if (!(e->ready & WEIR_EV_READ)) return false;
    r->at = 0;
    r->n = weir_read(e->w, e->id, r->held, 4);
    if (r->n <= 0) {
        assert_true(r->n == WEIR_EAGAIN || r->n == WEIR_ENOMEM);
        e->ready &= ~(unsigned)WEIR_EV_READ;
        r->n = 0;
        return false;
    }
    for (int i = 0; i < r->n; i++)
        r->first[i] = r->held[i].base;
    return true;
}

/* What was lent is written on as it is; what is not taken stays lent, and reading waits for it. */
static void relay_pump(struct relay *r)
{
    while (r->at < r->n || relay_reads(r)) {
        struct weir_iov *v = &r->held[r->at];
        if (!(r->out.ready & WEIR_EV_WRITE)) return;
        ptrdiff_t took = weir_write(r->out.w, r->out.id, v->base, v->len);
        if (took < 0) {
            assert_true(took == WEIR_EAGAIN || took == WEIR_ENOMEM);
            r->out.ready &= ~(unsigned)WEIR_EV_WRITE;
            return;
        }
        v->base = (uint8_t *)v->base + took;
        v->len -= (size_t)took;
        if (v->len == 0) assert_int_equal(weir_zfree(r->in.w, r->first[r->at++]), 0);
    }
}

struct proxied {
    struct simend source, sink; /* both on side 0 */
    struct relay relay;
};

static void proxied_join(struct simnet *n, struct proxied *p, uint32_t tag, uint64_t bytes)
{
    memset(p, 0, sizeof *p);
    simnet_join(n, 0, NULL, &p->source, &p->relay.in);
    simnet_join(n, 1, NULL, &p->relay.out, &p->sink);
    simend_plan(&p->source, &p->sink, tag, bytes, 0);
    p->source.keep_open = p->sink.keep_open = true;
    p->source.chunk = 1900;
}

static void proxied_pump(struct proxied *p, bool reads)
{
    pump_writes(&p->source);
    relay_pump(&p->relay);
    if (reads) simend_pump(&p->sink);
    assert_int_equal(p->source.error, 0);
    assert_int_equal(p->sink.error, 0);
}

static void proxy_with_a_stuck_peer(void **state)
{
    (void)state;
    enum { PAIRS = 3 }; /* the first is stuck */
    struct proxied p[PAIRS];
    struct simnet *n = tiny_net(0, NULL);
    for (unsigned i = 0; i < PAIRS; i++)
        proxied_join(n, &p[i], i + 1, i ? 200 * KIB : 100 * KIB);
    uint64_t from = n->sim.now_us, until = from + MINUTE;
    while (!simend_done(&p[1].sink) || !simend_done(&p[2].sink)) {
        if (!simnet_step(n, until)) fail_msg("the others do not go on beside the stuck one");
        for (unsigned i = 0; i < PAIRS; i++)
            proxied_pump(&p[i], i > 0);
    }
    printf("beside a peer at zero window: 400 KiB in %llu us\n", (unsigned long long)(n->sim.now_us - from));
    simnet_run(n, 10 * (uint64_t)SECOND_US);
    assert_int_equal(simend_info(&p[0].relay.out).snd_wnd, 0);
    assert_int_equal(simend_info(&p[0].source).snd_wnd, 0);
    from = n->sim.now_us;
    uint32_t rto = weir_max_u32(simend_info(&p[0].relay.out).rto_us, simend_info(&p[0].source).rto_us);
    uint64_t before = got(&p[0].relay.in);
    until = from + rto;
    proxied_pump(&p[0], true);
    while (got(&p[0].relay.in) == before) { /* from the source through both connections */
        if (!simnet_step(n, until)) fail_msg("the stuck one does not move within a time-out of %u us", rto);
        proxied_pump(&p[0], true);
    }
    printf("a proxy's peer at zero window: source moved after %llu us, ",
           (unsigned long long)(n->sim.now_us - from));
    while (!simend_done(&p[0].sink)) {
        assert_true(simnet_step(n, from + MINUTE));
        proxied_pump(&p[0], true);
    }
    printf("done after %llu us; the longest time-out was %u us\n", (unsigned long long)(n->sim.now_us - from),
           rto);
    for (unsigned i = 0; i < PAIRS; i++) {
        simend_close(&p[i].source);
        simend_close(&p[i].relay.in);
        simend_close(&p[i].relay.out);
        simend_close(&p[i].sink);
    }
    simnet_run(n, 5 * MINUTE);
    simnet_empty(n);
    simnet_close(n, NULL);
}

/* ---- 64 connections at the plan's minimum ---- */

#define CONNS 64u

/* The least for so many connections. */
static void smallest(struct weir_config *c, enum weir_zlayout layout)
{
    struct weir_config wish;
    struct weir_plan plan;
    simnet_tiny(&wish, layout);
    wish.conns = CONNS;
    wish.timewait = CONNS;
    wish.listeners = 1;
    wish.rcvbuf_bytes = wish.sndbuf_bytes = 2048;
    wish.zclasses = 2;
    assert_int_equal(weir_plan_least(&wish, c, &plan), 0);
}

static void least_plan(bool both_ways, uint8_t layout, uint32_t loss_ppm, unsigned rtos)
{
    struct simnet_conf c = simnet_defaults();
    struct simend end[2 * CONNS];
    struct weir_plan plan;
    for (int side = 0; side < 2; side++)
        smallest(&c.stack[side], (enum weir_zlayout)layout);
    assert_int_equal(weir_plan(&c.stack[0], &plan), 0);
    printf("least plan for %u connections: %llu bytes, %u descriptors, %u records, zbufs %u and %u\n", CONNS,
           (unsigned long long)plan.total_bytes, c.stack[0].pbufs, c.stack[0].txrecs,
           c.stack[0].zclass[0].count, c.stack[0].zclass[1].count);
    c.fault = (struct weir_fault_conf){.loss_ppm = loss_ppm, .seed = 11};
    c.check = true;
    struct simnet *n = simnet_open(&c);
    join_some(n, end, CONNS, 4 * KIB, both_ways ? 3 * KIB : 0);
    for (unsigned i = 0; i < 2 * CONNS; i++) {
        end[i].how = (enum simnet_write)(i % 3);
        end[i].chunk = 700;
        end[i].by_recv = i % 2 == 0;
    }
    recovers(both_ways ? "64 connections, both ways" : "64 connections, one way", n, end, 2 * CONNS, rtos);
    close_all(n, end, 2 * CONNS);
}

static void many_connections_at_the_least_plan(void **state)
{
    (void)state;
    for (uint8_t layout = 0; layout < 2; layout++) {
        least_plan(false, layout, 0, LEAST_RTOS);
        least_plan(true, layout, 0, LEAST_RTOS);
    }
    least_plan(true, 0, 10000, LOSSY_RTOS); /* one record a connection: recovery must do with it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_in_send_queues),      cmocka_unit_test(all_out_of_order),
        cmocka_unit_test(application_holds_all),   cmocka_unit_test(records_with_dead_peers),
        cmocka_unit_test(proxy_with_a_stuck_peer), cmocka_unit_test(many_connections_at_the_least_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
