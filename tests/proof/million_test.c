/* million_test.c: a million established connections in one process, both ends of each: two instances over the
 * pair, in virtual time. What rests costs no buffer and no work, and each of them still answers.
 *
 * Connections are reached by keyed tables and numbers only, so a million of them is a matter of memory: the test
 * takes what the plan says, about 0.6 GB for each of the two instances. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/test_seed.h"
#include "simnet.h"

#define CONNS       1000000u
#define PORTS       64u /* listeners: a port of the client's is good once for each of them */
#define BATCH       256u
#define TALKERS     2000u
#define TALK_BYTES  100u
#define IDLE_US     (60 * (uint64_t)SECOND_US)
#define IDLE_STEPS  200u
#define WITHIN_US   (10 * (uint64_t)SECOND_US)
#define SPARE_BYTES ((uint64_t)1 << 30)

struct crowd {
    struct simnet *net;
    uint64_t plan_bytes;
    weir_id *client, *server; /* CONNS of each, in the same order */
    weir_id listener[PORTS];
    unsigned opened, accepted;
};

static void configure(struct weir_config *c)
{
    assert_int_equal(weir_config_size(c, (uint64_t)64 << 20), 0);
    c->conns = CONNS;
    c->pbufs = CONNS + 65536;
    c->txrecs = CONNS + 65536;
    c->timewait = 1024;
    c->listeners = PORTS;
    c->reset_after_ms = 0;
}

/* Bytes of one instance, or 0: the machine has not the memory for two. */
static uint64_t fits(const struct weir_config *c)
{
    struct weir_plan plan;
    uint64_t free_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    if (weir_plan(c, &plan) != 0) fail_msg("%s", plan.why);
    return 2 * plan.total_bytes + SPARE_BYTES < free_bytes ? plan.total_bytes : 0;
}

static void listen_all(struct crowd *k)
{
    struct weir_opts opts = {.backlog = 2 * BATCH, .nodelay = 1};
    for (unsigned i = 0; i < PORTS; i++) {
        struct weir_addr any = {.family = WEIR_IP4, .port = (uint16_t)(SIMNET_PORT + i)};
        assert_int_equal(weir_listen(k->net->w[1], &any, &opts, &k->listener[i]), 0);
    }
}

/* Counts what opened, and takes in whoever waits at the listeners. */
static void take_events(struct crowd *k)
{
    for (int i = 0; i < k->net->n_ev[0]; i++)
        if (k->net->ev[0][i].mask & WEIR_EV_OPEN) k->opened++;
    for (int i = 0; i < k->net->n_ev[1]; i++) {
        weir_id id;
        if (!(k->net->ev[1][i].mask & WEIR_EV_ACCEPT)) continue;
        while (weir_accept(k->net->w[1], k->net->ev[1][i].id, &id, NULL) == 0)
            k->server[k->accepted++] = id;
    }
}

static void open_batch(struct crowd *k, unsigned from, unsigned n)
{
    struct weir_addr to;
    struct weir_opts opts = {.nodelay = 1};
    uint64_t until = k->net->sim.now_us + WITHIN_US;
    for (unsigned i = from; i < from + n; i++) {
        simnet_addr(&to, 1, (uint16_t)(SIMNET_PORT + i % PORTS));
        opts.user = i;
        assert_int_equal(weir_connect(k->net->w[0], &to, &opts, &k->client[i]), 0);
    }
    while (k->opened < from + n || k->accepted < from + n) {
        assert_true(simnet_step(k->net, until));
        take_events(k);
    }
}

static void open_all(struct crowd *k)
{
    for (unsigned i = 0; i < CONNS; i += BATCH)
        open_batch(k, i, CONNS - i < BATCH ? CONNS - i : BATCH);
    assert_int_equal(k->opened, CONNS);
    assert_int_equal(k->accepted, CONNS);
}

static uint32_t zbufs_in_use(const struct weir *w)
{
    return w->z.live - w->z.posted;
}

/* Nothing is due while all of them rest. */
static void rest(struct crowd *k)
{
    unsigned steps = 0;
    simnet_run(k->net, SECOND_US); /* the last acknowledgements */
    uint64_t until = k->net->sim.now_us + IDLE_US;
    while (simnet_step(k->net, until))
        steps++;
    printf("%u steps in %u s of rest\n", steps, (unsigned)(IDLE_US / SECOND_US));
    assert_in_range(steps, 0, IDLE_STEPS);
    for (int side = 0; side < 2; side++)
        assert_int_equal(zbufs_in_use(k->net->w[side]), 0);
}

/* What side reads on id must be n bytes of this value. */
static void expect(struct crowd *k, int side, weir_id id, uint8_t value, size_t n)
{
    uint8_t got[2 * TALK_BYTES];
    size_t have = 0;
    uint64_t until = k->net->sim.now_us + WITHIN_US;
    while (have < n) {
        ptrdiff_t r = weir_recv(k->net->w[side], id, got + have, sizeof got - have);
        if (r > 0) have += (size_t)r;
        if (r == WEIR_EAGAIN) assert_true(simnet_step(k->net, until));
        assert_true(r > 0 || r == WEIR_EAGAIN);
    }
    assert_int_equal(have, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(got[i], value);
}

/* Writes TALK_BYTES bytes of this value; a queue may take them in parts, since descriptors are kept for all others. */
static void say(struct crowd *k, int side, weir_id id, uint8_t value)
{
    uint8_t bytes[TALK_BYTES];
    size_t done = 0;
    uint64_t until = k->net->sim.now_us + WITHIN_US;
    memset(bytes, value, sizeof bytes);
    while (done < sizeof bytes) {
        ptrdiff_t r = weir_write(k->net->w[side], id, bytes + done, sizeof bytes - done);
        if (r > 0) done += (size_t)r;
        if (r <= 0) assert_true(simnet_step(k->net, until));
        assert_true(r > 0 || r == WEIR_EAGAIN || r == WEIR_ENOMEM);
    }
}

/* A client says something, and the server's end answers. */
static void talk(struct crowd *k, const weir_id *peer_of, unsigned i, uint8_t value)
{
    say(k, 0, k->client[i], value);
    expect(k, 1, peer_of[i], value, TALK_BYTES);
    say(k, 1, peer_of[i], value ^ 0xff);
    expect(k, 0, k->client[i], value ^ 0xff, TALK_BYTES);
}

static uint32_t ports_of(const struct weir *w, weir_id id, bool local_first)
{
    struct weir_conn_info info;
    assert_int_equal(weir_info(w, id, &info), 0);
    uint32_t a = local_first ? info.local.port : info.peer.port;
    uint32_t b = local_first ? info.peer.port : info.local.port;
    return a << 16 | b;
}

struct named {
    uint32_t ports, i;
};

static int by_ports(const void *a, const void *b)
{
    uint32_t x = ((const struct named *)a)->ports, y = ((const struct named *)b)->ports;
    return x < y ? -1 : x > y;
}

static struct named *sorted(const struct weir *w, const weir_id *id, bool client)
{
    struct named *list = malloc(CONNS * sizeof *list);
    assert_non_null(list);
    for (uint32_t i = 0; i < CONNS; i++)
        list[i] = (struct named){ports_of(w, id[i], client), i};
    qsort(list, CONNS, sizeof *list, by_ports);
    return list;
}

/* The server's end of each client's connection; no two have the same ports. */
static weir_id *pair_up(const struct crowd *k)
{
    weir_id *peer_of = malloc(CONNS * sizeof *peer_of);
    struct named *c = sorted(k->net->w[0], k->client, true), *s = sorted(k->net->w[1], k->server, false);
    assert_non_null(peer_of);
    for (uint32_t i = 0; i < CONNS; i++) {
        assert_int_equal(c[i].ports, s[i].ports);
        assert_true(i == 0 || c[i].ports != c[i - 1].ports);
        peer_of[c[i].i] = k->server[s[i].i];
    }
    free(c);
    free(s);
    return peer_of;
}

static void talk_with_some(struct crowd *k)
{
    struct weir_sim random = test_seed("who talks");
    weir_id *peer_of = pair_up(k);
    for (unsigned n = 0; n < TALKERS; n++)
        talk(k, peer_of, test_below(&random, CONNS), (uint8_t)n);
    free(peer_of);
}

/* Resets from the client's end; the server is told of each and gives the ids up. */
static void close_all(struct crowd *k)
{
    for (unsigned i = 0; i < CONNS; i++) {
        assert_int_equal(weir_close(k->net->w[0], k->client[i], WEIR_CLOSE_ABORT), 0);
        if (i % BATCH == BATCH - 1) simnet_run(k->net, 1000);
    }
    simnet_run(k->net, SECOND_US);
    for (unsigned i = 0; i < CONNS; i++)
        assert_int_equal(weir_close(k->net->w[1], k->server[i], WEIR_CLOSE_ABORT), 0);
    for (unsigned i = 0; i < PORTS; i++)
        assert_int_equal(weir_close(k->net->w[1], k->listener[i], WEIR_CLOSE_ABORT), 0);
    simnet_run(k->net, SECOND_US);
    simnet_empty(k->net);
}

static void test_a_million(void **state)
{
    (void)state;
    struct simnet_conf conf = simnet_defaults();
    struct crowd k = {0};
    configure(&conf.stack[0]);
    configure(&conf.stack[1]);
    conf.delay_us = 10;
    conf.bits_per_s = 0;
    k.plan_bytes = fits(&conf.stack[0]);
    if (k.plan_bytes == 0) {
        print_message("skipped: less memory than two such instances take\n");
        skip();
    }
    k.client = malloc(2 * CONNS * sizeof *k.client);
    assert_non_null(k.client);
    k.server = k.client + CONNS;
    k.net = simnet_open(&conf);
    listen_all(&k);
    open_all(&k);
    printf("%u connections: %" PRIu64 " bytes planned for each end, of which %zu are the connection's\n",
           CONNS, k.plan_bytes, sizeof(struct weir_conn));
    simnet_check(k.net);
    rest(&k);
    talk_with_some(&k);
    close_all(&k);
    simnet_close(k.net, NULL);
    free(k.client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_million)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
