/* take_fail_test.c: every take of memory failing in turn. One session (open, transfer both ways by reference
 * and by copy, half-close, close) is run again and again between two instances, each time with another
 * decision about memory answered by no: the first, the second, and so on until none is left to fail; then
 * several in a row, and all for a time.
 *
 * The linker puts this file between the stack and its pools (--wrap), so nothing in the library knows of it.
 * Seven calls decide about memory: weir_zpool_take and weir_zpool_can for zbufs, weir_cells_get for
 * descriptors and records, weir_pbuf_room and weir_txlist_room, which look before, weir_conn_new for a
 * connection's cell at either end, weir_neigh_crowded for a neighbour's entry. (A listener's cell is taken by
 * weir_listen alone, whose caller is told at once.) A room that was granted is kept: the cell that a granted
 * weir_txlist_room speaks of is not refused, since no real pool would.
 *
 * After each step the whole instance is checked; nothing stalls longer than one retransmission time-out once
 * memory is back; every byte arrives, no call fails with anything but "not now", and at the end nothing is
 * left. */
#include "simnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define KIB      1024u
#define SLACK_US 45000u    /* the longest delay of an acknowledgement, and a few round trips */
#define SYN_US   SECOND_US /* RFC 6298's first time-out; an ARP request is asked again after as long */
#define FOREVER  UINT64_MAX
#define AGAIN_US 1000u

#define RUNS_MAX      100000u
#define DECISIONS_MIN 50u    /* a session with fewer has lost what it is for */
#define BUSY_US       20000u /* a session's bytes are through then */
#define FROM_STEP_US  500u

/* ---- between the stack and its pools ---- */

enum decision { TAKE, CAN, CELL, PBUF, RECORD, CONN, NEIGHBOUR, DECISIONS };

static uint64_t refused[DECISIONS]; /* in all runs so far */

static struct {
    const struct weir_sim *sim; /* NULL: nothing is counted and nothing fails */
    uint64_t seen;              /* decisions so far */
    uint64_t first, count;      /* those that fail: first <= number < first + count, from 1 */
    uint64_t from_us, until_us; /* and all in this time */
    uint64_t fired, last_us;
    bool granted; /* the next cell was promised by weir_txlist_room */
    bool asking;  /* inside weir_next */
    struct simnet *net;
} inject;

static bool in_time(void)
{
    return inject.sim->now_us >= inject.from_us && inject.sim->now_us < inject.until_us;
}

static bool fails(enum decision which)
{
    if (!inject.sim) return false;
    bool by_number = !inject.asking && ++inject.seen - inject.first < inject.count;
    if (!by_number && !in_time()) return false;
    inject.fired++;
    refused[which]++;
    inject.last_us = inject.sim->now_us;
    return true;
}

/* Memory never comes back unseen: somebody's call or a poll returns it, and weir_next is asked after that. So
 * its own decisions are not failed by number, and it is asked again when a time without memory is over. */
int __real_weir_next(struct weir *, int64_t *);
int __wrap_weir_next(struct weir *, int64_t *);
int __wrap_weir_next(struct weir *w, int64_t *next_us)
{
    inject.asking = true;
    int handles = __real_weir_next(w, next_us);
    inject.asking = false;
    if (inject.sim && in_time() && *next_us > (int64_t)inject.until_us) *next_us = (int64_t)inject.until_us;
    return handles;
}

struct weir_zhead *__real_weir_zpool_take(struct weir_zpool *, uint32_t, enum weir_take);
struct weir_zhead *__wrap_weir_zpool_take(struct weir_zpool *, uint32_t, enum weir_take);
struct weir_zhead *__wrap_weir_zpool_take(struct weir_zpool *z, uint32_t bytes, enum weir_take kind)
{
    return fails(TAKE) ? NULL : __real_weir_zpool_take(z, bytes, kind);
}

bool __real_weir_zpool_can(const struct weir_zpool *, unsigned, enum weir_take, uint32_t);
bool __wrap_weir_zpool_can(const struct weir_zpool *, unsigned, enum weir_take, uint32_t);
bool __wrap_weir_zpool_can(const struct weir_zpool *z, unsigned cls, enum weir_take kind, uint32_t n)
{
    return !fails(CAN) && __real_weir_zpool_can(z, cls, kind, n);
}

uint32_t __real_weir_cells_get(struct weir_cells *);
uint32_t __wrap_weir_cells_get(struct weir_cells *);
uint32_t __wrap_weir_cells_get(struct weir_cells *c)
{
    bool promised = inject.granted;
    inject.granted = false;
    return !promised && fails(CELL) ? 0 : __real_weir_cells_get(c);
}

bool __real_weir_pbuf_room(const struct weir_pktmem *, enum weir_owner);
bool __wrap_weir_pbuf_room(const struct weir_pktmem *, enum weir_owner);
bool __wrap_weir_pbuf_room(const struct weir_pktmem *m, enum weir_owner owner)
{
    return !fails(PBUF) && __real_weir_pbuf_room(m, owner);
}

bool __real_weir_txlist_room(const struct weir_txlist *, const struct weir_pktmem *);
bool __wrap_weir_txlist_room(const struct weir_txlist *, const struct weir_pktmem *);
bool __wrap_weir_txlist_room(const struct weir_txlist *l, const struct weir_pktmem *m)
{
    bool room = __real_weir_txlist_room(l, m);
    if (room && l->last == 0 && fails(RECORD)) return false; /* with one in the list it asks no pool */
    inject.granted = room && l->last == 0;
    return room;
}

struct weir_conn *__real_weir_conn_new(struct weir_tcp *);
struct weir_conn *__wrap_weir_conn_new(struct weir_tcp *);
struct weir_conn *__wrap_weir_conn_new(struct weir_tcp *t)
{
    return fails(CONN) ? NULL : __real_weir_conn_new(t);
}

bool __real_weir_neigh_crowded(const struct weir_neigh *, uint32_t);
bool __wrap_weir_neigh_crowded(const struct weir_neigh *, uint32_t);
bool __wrap_weir_neigh_crowded(const struct weir_neigh *n, uint32_t now_ms)
{
    return fails(NEIGHBOUR) || __real_weir_neigh_crowded(n, now_ms);
}

/* An application that is told that there is no cell for a connection tries again soon. */
int __real_weir_connect(struct weir *, const struct weir_addr *, const struct weir_opts *, weir_id *);
int __wrap_weir_connect(struct weir *, const struct weir_addr *, const struct weir_opts *, weir_id *);
int __wrap_weir_connect(struct weir *w, const struct weir_addr *to, const struct weir_opts *o, weir_id *id)
{
    int r;
    while ((r = __real_weir_connect(w, to, o, id)) == WEIR_EMFILE && inject.sim) {
        assert_int_equal(weir_stack_check(w), 0);
        simnet_run(inject.net, AGAIN_US);
    }
    return r;
}

/* ---- the session ---- */

struct outcome {
    uint64_t decisions, fired;
    uint64_t stall_us; /* longest time without progress, from the last failure on */
};

struct watch {
    struct simnet *net;
    struct outcome *out;
    uint64_t moved, moved_us; /* progress so far, and when there was some last */
    uint64_t fired;
    uint32_t rto_us; /* when memory was refused last */
};

static void fail_here(const struct watch *w, const char *what)
{
    fail_msg("%s at %llu us, decisions %llu, first %llu count %llu, time %llu to %llu, fired %llu, last %llu",
             what, (unsigned long long)w->net->sim.now_us, (unsigned long long)inject.seen,
             (unsigned long long)inject.first, (unsigned long long)inject.count,
             (unsigned long long)inject.from_us, (unsigned long long)inject.until_us,
             (unsigned long long)inject.fired, (unsigned long long)inject.last_us);
}

/* The time since something moved or memory was refused may not be longer than the time-out then. */
static void look(struct watch *w, uint64_t moved, uint32_t rto_us)
{
    uint64_t now = w->net->sim.now_us;
    uint64_t since = inject.last_us > w->moved_us ? inject.last_us : w->moved_us;
    if (w->fired != inject.fired) w->rto_us = rto_us;
    w->fired = inject.fired;
    if (now - since > w->out->stall_us) w->out->stall_us = now - since;
    if (now - since > w->rto_us + SLACK_US) fail_here(w, "stalled");
    if (moved == w->moved) return;
    w->moved = moved;
    w->moved_us = now;
}

static uint32_t longer_rto(const struct simend *a, const struct simend *b)
{
    uint32_t x = simend_info(a).rto_us, y = simend_info(b).rto_us;
    return x > y ? x : y;
}

static void pump_until(struct watch *w, struct simend *a, struct simend *b, const bool *reached)
{
    while (!*reached) {
        if (!simnet_step(w->net, FOREVER)) fail_here(w, "nothing to wait for");
        simend_pump(a);
        simend_pump(b);
        if (a->error || b->error) fail_here(w, "an end failed");
        look(w, a->in.done + b->in.done + a->eof + b->eof, longer_rto(a, b));
    }
}

static void open_session(struct watch *w, struct simend *a, struct simend *b)
{
    simnet_join(w->net, 0, NULL, a, b);
    uint32_t tries = simend_info(a).timeouts;
    look(w, 1, SYN_US << tries);
}

static void close_session(struct watch *w, struct simend *a, struct simend *b)
{
    struct simnet *n = w->net;
    simend_close(a);
    simend_close(b);
    while (simnet_stats(n, 0).conns_live + simnet_stats(n, 1).conns_live) {
        if (!simnet_step(n, FOREVER)) fail_here(w, "a connection stays");
        look(w, w->moved, w->rto_us);
    }
    simnet_run(n, 2000ull * n->conf.stack[0].msl_ms + 10000);
    simnet_empty(n);
}

/* a sends and ends its direction; b sends a part at once, and the rest when it has read a's end. */
static void session(struct simnet *n, struct outcome *out)
{
    struct simend a, b;
    struct watch w = {.net = n, .out = out, .rto_us = SYN_US};
    *out = (struct outcome){.decisions = 0};
    inject.seen = inject.fired = inject.last_us = 0;
    inject.sim = &n->sim;
    inject.net = n;
    open_session(&w, &a, &b);
    simend_plan(&a, &b, 1, 24 * KIB, 10 * KIB);
    a.how = b.how = WRITE_MIXED;
    a.chunk = 1800;
    b.chunk = 2500;
    a.by_recv = true;
    b.keep_open = true;
    pump_until(&w, &a, &b, &b.eof);
    a.in.total = b.out.total += 6 * KIB;
    b.keep_open = false;
    b.ready |= WEIR_EV_WRITE;
    pump_until(&w, &a, &b, &a.eof);
    close_session(&w, &a, &b);
    assert_int_equal(b.in.done, 24 * KIB);
    assert_int_equal(a.in.done, 16 * KIB);
    out->decisions = inject.seen;
    out->fired = inject.fired;
    inject.sim = NULL;
}

static const struct kind {
    const char *name;
    uint16_t offloads;
    uint8_t async;
    uint32_t reorder_ppm;
} kinds[] = {
    {"plain", 0, 0, 0},
    {"asynchronous", 0, 1, 0},
    {"large segments", WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM | WEIR_OFF_RX_MERGE4, 1, 0},
    {"reordered", 0, 0, 250000},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static void fresh_session(const struct kind *k, struct outcome *out)
{
    struct simnet_conf c = simnet_defaults();
    /* What a device posts for large frames is more than all that the least instance has. */
    void (*size)(struct weir_config *, enum weir_zlayout) = k->offloads ? simnet_config : simnet_tiny;
    size(&c.stack[0], WEIR_ZLAYOUT_DENSE);
    size(&c.stack[1], WEIR_ZLAYOUT_INSIDE);
    c.bits_per_s = 20000000;
    c.async = k->async;
    c.offloads = k->offloads;
    c.fault = (struct weir_fault_conf){.reorder_ppm = k->reorder_ppm, .seed = 3};
    c.check = true;
    struct simnet *n = simnet_open(&c);
    simnet_listen(n, 1, NULL);
    session(n, out);
    simnet_close(n, NULL);
}

static int calm(void **state)
{
    (void)state;
    memset(&inject, 0, sizeof inject);
    return 0;
}

/* Runs until a session has met none of the failures; each run lets the next `step` decisions be. */
static void in_turn(const struct kind *k, uint64_t count, uint64_t step)
{
    struct outcome o;
    uint64_t runs = 0, worst = 0, fired = 1;
    for (uint64_t first = 1; fired; first += step, runs++) {
        inject.first = first;
        inject.count = count;
        fresh_session(k, &o);
        fired = o.fired;
        if (o.stall_us > worst) worst = o.stall_us;
        assert_true(runs < RUNS_MAX);
    }
    printf("%s, %llu in a row: %llu runs, %llu decisions in the last, longest stall %llu us\n", k->name,
           (unsigned long long)count, (unsigned long long)runs, (unsigned long long)o.decisions,
           (unsigned long long)worst);
    assert_true(o.decisions >= DECISIONS_MIN);
}

static void each_in_turn(void **state)
{
    (void)state;
    memset(refused, 0, sizeof refused);
    for (size_t i = 0; i < KINDS; i++)
        in_turn(&kinds[i], 1, 1);
    for (unsigned i = 0; i < DECISIONS; i++)
        assert_true(refused[i] >= 2); /* none of them has gone out of use unseen */
}

static void some_in_a_row(void **state)
{
    static const uint64_t row[] = {2, 3, 5, 8, 21, 55, 144};
    (void)state;
    for (size_t i = 0; i < KINDS; i++)
        for (size_t k = 0; k < sizeof row / sizeof row[0]; k++)
            in_turn(&kinds[i], row[k], 1 + row[k] / 2);
}

/* Nothing can be had for a time, beginning everywhere in the busy part of the session. */
static void all_for_a_time(void **state)
{
    static const uint64_t for_us[] = {2000, 60000, 300000, 1500000};
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        for (size_t k = 0; k < sizeof for_us / sizeof for_us[0]; k++) {
            struct outcome o;
            uint64_t worst = 0, met = 0;
            for (uint64_t from = 0; from < BUSY_US; from += FROM_STEP_US) {
                inject.from_us = from;
                inject.until_us = from + for_us[k];
                fresh_session(&kinds[i], &o);
                met += o.fired > 0;
                if (o.stall_us > worst) worst = o.stall_us;
            }
            printf("%s, %llu us without memory: met %llu times, longest stall %llu us\n", kinds[i].name,
                   (unsigned long long)for_us[k], (unsigned long long)met, (unsigned long long)worst);
            assert_true(met >= BUSY_US / FROM_STEP_US / 4);
        }
    }
}

/* A device that can't be given its buffers is refused, nothing stays with it, and it can be tried again. */
static void attach_fails_whole(void **state)
{
    (void)state;
    struct weir_sim sim;
    struct weir_pair pair;
    struct weir *w;
    struct weir_plan plan;
    struct weir_ifaddr addr;
    struct weir_config conf;
    weir_sim_init(&sim, 1);
    simnet_tiny(&conf, WEIR_ZLAYOUT_DENSE);
    conf.plat = &sim.plat;
    assert_int_equal(weir_plan(&conf, &plan), 0);
    void *base = aligned_alloc(plan.align_bytes, weir_align_up(plan.total_bytes, plan.align_bytes));
    struct weir_area area = {.base = base, .bytes = plan.total_bytes};
    assert_int_equal(weir_start(&w, &conf, &area, 1), 0);
    struct weir_pair_conf pc = {.plat = &sim.plat, .delay_us = 1, .queue = 4, .max_frame = 1514, .mtu = 1500};
    size_t bytes = weir_pair_bytes(&pc);
    void *memory = malloc(bytes);
    assert_int_equal(weir_pair_init(&pair, &pc, memory, bytes), 0);
    assert_int_equal(weir_ifaddr_parse(&addr, "10.0.0.1/24"), 0);
    uint64_t first = 0;
    int r = WEIR_ENOMEM;
    while (r == WEIR_ENOMEM) {
        inject.sim = &sim;
        inject.seen = 0;
        inject.first = ++first;
        inject.count = 1;
        r = weir_attach(w, &pair.end[0].dev, &addr);
        inject.sim = NULL;
        assert_int_equal(weir_stack_check(w), 0);
        if (r == WEIR_ENOMEM) assert_int_equal(w->z.live, 0);
    }
    assert_int_equal(r, 0);
    assert_int_equal(first, conf.rx_burst + 1);
    assert_int_equal(weir_stop(w), 0);
    free(memory);
    free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(attach_fails_whole, calm),
        cmocka_unit_test_setup(each_in_turn, calm),
        cmocka_unit_test_setup(some_in_a_row, calm),
        cmocka_unit_test_setup(all_for_a_time, calm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
