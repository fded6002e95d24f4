/* flood_test.c: floods beside flows. Eight established connections, four each way, fill a cable of 100 Mbit/s
 * for a second of virtual time; then once more while somebody on the same cable sends 12,800 frames in that
 * second to side 1 (100 times the listener's backlog). What arrives, each way, must be at least 90 % of what
 * arrived without the flood. The flood's own frames take 6 % of the cable and answers to them as much of the
 * other direction, so this leaves 3 to 4 % for whatever else a flood might do to a flow.
 *
 * Meanwhile no invariant may break and no table outgrow its bound; afterwards a new connection opens at once,
 * and when all have gone nothing is left. Slow and stalled peers beside fast ones are held to the same. */
#include "simnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcp/segwire.h"

#define FLOWS        8u
#define BACKLOG      128u
#define FRAMES       (100 * BACKLOG)
#define FLOW_BYTES   (1ull << 40) /* more than a test lasts */
#define WARM_US      300000u
#define CALM_LEAST   11000000u /* bytes a second: nearly all of the cable */
#define OWN_BUFFER   32768u
#define LEAST        90u /* per cent */
#define SHARED_LEAST 30u /* where stalled ones may hold all but a share */
#define CHECK_EACH   512u
#define AGAIN_US     20u /* until a full queue is tried again */
#define VICTIM_IP    0x0a000002u
#define CLIENT_IP    0x0a000001u
#define UNKNOWN_IP   0xac100000u /* 172.16.0.0/12, behind the gateway */

static const uint8_t client_mac[6] = {2, 'w', 'e', 'i', 'r', 0};
static const uint8_t victim_mac[6] = {2, 'w', 'e', 'i', 'r', 1};

/* What one end or the other has read of all flows, by direction: 0 to the victim, 1 from it. */
struct goodput {
    uint64_t bytes[2], least; /* least: of the flow that got least */
};

struct arena {
    struct simnet *n;
    struct simend client[FLOWS], server[FLOWS];
    uint16_t port[FLOWS]; /* of the clients */
    struct weir_sim dice;
    uint64_t due_us, sent;
    unsigned steps;
    uint8_t frame[SEG_FRAME_MAX];
};

/* Puts the next frame of a flood into a->frame; its length. */
typedef uint32_t (*flood_fn)(struct arena *);

static uint32_t rnd(struct arena *a)
{
    return (uint32_t)weir_sim_random(&a->dice);
}

/* ---- the flows ---- */

/* buffer: bytes of each connection's queues, 0: the configuration's. */
static void open_arena(struct arena *a, uint32_t buffer)
{
    struct simnet_conf c = simnet_defaults();
    memset(a, 0, sizeof *a);
    for (int side = 0; side < 2; side++) {
        struct weir_config *conf = &c.stack[side];
        assert_int_equal(weir_config_size(conf, 8u << 20), 0);
        conf->conns = 300;
        conf->txrecs = 1500;
        conf->msl_ms = 1000;
        if (buffer) conf->rcvbuf_bytes = conf->sndbuf_bytes = buffer;
    }
    c.bits_per_s = 100000000;
    c.delay_us = 200;
    c.gateway = true;
    a->n = simnet_open(&c);
    weir_sim_init(&a->dice, 11);
    simnet_listen(a->n, 1, &(struct weir_opts){.backlog = BACKLOG});
    for (unsigned i = 0; i < FLOWS; i++) {
        simnet_join(a->n, 0, NULL, &a->client[i], &a->server[i]);
        bool up = i % 2 == 0;
        simend_plan(&a->client[i], &a->server[i], i + 1, up ? FLOW_BYTES : 0, up ? 0 : FLOW_BYTES);
        a->client[i].keep_open = a->server[i].keep_open = true;
        a->port[i] = simend_info(&a->client[i]).local.port;
    }
}

static void pump(struct arena *a)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        simend_pump(&a->client[i]);
        simend_pump(&a->server[i]);
        assert_int_equal(a->client[i].error, 0);
        assert_int_equal(a->server[i].error, 0);
    }
}

static uint64_t arrived(const struct arena *a, unsigned i)
{
    return a->client[i].in.done + a->server[i].in.done;
}

static void inside_the_plan(const struct arena *a)
{
    const struct weir_config *c = &a->n->conf.stack[1];
    struct weir_stats s = simnet_stats(a->n, 1);
    assert_in_range(s.conns_live, 0, c->conns);
    assert_in_range(s.timewait_live, 0, c->timewait);
    assert_in_range(s.pbufs_live, 0, c->pbufs);
    assert_in_range(s.txrecs_live, 0, c->txrecs);
    simnet_check(a->n);
}

/* Frames of the flood that are due by now, as far as the cable takes them. */
static void inject(struct arena *a, flood_fn next, uint64_t each_us)
{
    struct weir_netdev *dev = &a->n->pair.end[0].dev;
    for (; next && a->due_us <= a->n->sim.now_us; a->due_us += each_us) {
        struct weir_piece piece = {a->frame, next(a)};
        struct weir_frame f = {.pieces = &piece, .bytes = piece.bytes, .n_pieces = 1};
        if (dev->ops->tx_burst(dev, &f, 1) == 0) return; /* the queue is full: soon again */
        a->sent++;
    }
}

static void run(struct arena *a, uint64_t us, flood_fn next)
{
    uint64_t until = a->n->sim.now_us + us, each_us = SECOND_US / FRAMES;
    a->due_us = a->n->sim.now_us;
    while (a->n->sim.now_us < until) {
        inject(a, next, each_us);
        uint64_t soon = a->due_us > a->n->sim.now_us ? a->due_us : a->n->sim.now_us + AGAIN_US;
        (void)simnet_step(a->n, next && soon < until ? soon : until);
        pump(a);
        if (++a->steps % CHECK_EACH == 0) inside_the_plan(a);
    }
}

static void count(struct goodput *g, unsigned flow, uint64_t bytes)
{
    g->bytes[flow % 2] += bytes;
    if (bytes < g->least) g->least = bytes;
}

static struct goodput measure(struct arena *a, flood_fn next)
{
    uint64_t before[FLOWS];
    struct goodput g = {.least = UINT64_MAX};
    for (unsigned i = 0; i < FLOWS; i++)
        before[i] = arrived(a, i);
    run(a, SECOND_US, next);
    for (unsigned i = 0; i < FLOWS; i++)
        count(&g, i, arrived(a, i) - before[i]);
    return g;
}

static void close_arena(struct arena *a)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        (void)weir_close(a->client[i].w, a->client[i].id, WEIR_CLOSE_ABORT);
        simend_leave(&a->client[i]);
        (void)weir_close(a->server[i].w, a->server[i].id, WEIR_CLOSE_ABORT);
        simend_leave(&a->server[i]);
    }
    simnet_run(a->n, 300 * (uint64_t)SECOND_US); /* half-open ones give up */
    simnet_empty(a->n);
    simnet_close(a->n, NULL);
}

/* ---- the floods ---- */

struct from {
    uint32_t ip;
    uint16_t port, to;
};

static struct from stranger(struct arena *a)
{
    return (struct from){UNKNOWN_IP | (rnd(a) & 0xfffff), (uint16_t)(1024 + rnd(a) % 60000), SIMNET_PORT};
}

/* In the name of one of the flows. */
static struct from flow_client(struct arena *a)
{
    return (struct from){CLIENT_IP, a->port[rnd(a) % FLOWS], SIMNET_PORT};
}

static uint32_t tcp_frame(struct arena *a, struct from f, uint8_t flags, uint32_t bytes)
{
    static struct seg s;
    memset(&s, 0, sizeof s - sizeof s.payload);
    s.src = f.ip;
    s.dst = VICTIM_IP;
    s.sport = f.port;
    s.dport = f.to;
    s.seq = rnd(a);
    s.ack = flags & SEG_ACK ? rnd(a) : 0;
    s.flags = flags;
    s.win = (uint16_t)rnd(a);
    s.opts = flags == SEG_SYN ? SEG_MSS : 0;
    s.mss = 1460;
    s.bytes = bytes;
    return seg_encode(a->frame, &s, victim_mac, client_mac);
}

static uint32_t syn_flood(struct arena *a)
{
    return tcp_frame(a, stranger(a), SEG_SYN, 0);
}

/* From addresses of the link, which nobody answers ARP for. */
static uint32_t syn_flood_of_neighbours(struct arena *a)
{
    struct from f = stranger(a);
    f.ip = 0x0a000003u + rnd(a) % 250;
    return tcp_frame(a, f, SEG_SYN, 0);
}

static uint32_t ack_flood(struct arena *a)
{
    return tcp_frame(a, rnd(a) % 2 ? stranger(a) : flow_client(a), SEG_ACK, 0);
}

static uint32_t rst_flood(struct arena *a)
{
    return tcp_frame(a, rnd(a) % 4 ? flow_client(a) : stranger(a), rnd(a) % 2 ? SEG_RST : SEG_RST | SEG_ACK,
                     0);
}

static uint32_t blind_syn_flood(struct arena *a)
{
    return tcp_frame(a, flow_client(a), rnd(a) % 2 ? SEG_SYN : SEG_SYN | SEG_ACK, 0);
}

static uint32_t blind_data_flood(struct arena *a)
{
    return tcp_frame(a, flow_client(a), SEG_ACK | (rnd(a) % 4 ? 0 : SEG_FIN), 1 + rnd(a) % 6);
}

static uint32_t closed_port_flood(struct arena *a)
{
    struct from f = stranger(a);
    f.to = 9;
    return tcp_frame(a, f, rnd(a) % 2 ? SEG_SYN : SEG_ACK, 0);
}

static uint32_t land_flood(struct arena *a)
{
    return tcp_frame(a, (struct from){VICTIM_IP, SIMNET_PORT, SIMNET_PORT}, SEG_SYN, 0);
}

/* 1: ICMP, 17: UDP; 18 bytes behind the IP header's first 28, so that the frame has 60. */
static uint32_t datagram(struct arena *a, uint8_t proto)
{
    uint8_t *l4 = a->frame + SEG_L4_AT;
    for (unsigned i = 0; i < 26; i++)
        l4[i] = (uint8_t)rnd(a);
    if (proto == 1) {
        l4[0] = 8;
        l4[1] = l4[2] = l4[3] = 0;
        uint16_t sum = (uint16_t)~seg_sum(0, l4, 26);
        l4[2] = (uint8_t)(sum >> 8);
        l4[3] = (uint8_t)sum;
    } else {
        l4[4] = l4[6] = l4[7] = 0; /* no checksum */
        l4[5] = 26;
    }
    return seg_wrap_ip(a->frame, stranger(a).ip, VICTIM_IP, proto, 26, victim_mac, client_mac);
}

static uint32_t ping_flood(struct arena *a)
{
    return datagram(a, 1);
}

static uint32_t udp_flood(struct arena *a)
{
    return datagram(a, 17);
}

static uint32_t fragment_flood(struct arena *a)
{
    uint32_t n = datagram(a, 17);
    a->frame[SEG_L3_AT + 6] = 0x20;
    a->frame[SEG_L3_AT + 7] = (uint8_t)rnd(a);
    seg_fix_ip(a->frame);
    return n;
}

/* Requests for the victim's address, each from another one of the link: each is answered and learnt. */
static uint32_t arp_flood(struct arena *a)
{
    static const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, 1};
    uint8_t *p = a->frame + 14;
    uint8_t mac[6] = {2, (uint8_t)rnd(a), (uint8_t)rnd(a), (uint8_t)rnd(a), 9, 9};
    memset(a->frame, 0, SEG_FRAME_MIN);
    memset(a->frame, 0xff, 6);
    memcpy(a->frame + 6, mac, 6);
    a->frame[12] = 8;
    a->frame[13] = 6;
    memcpy(p, head, 8);
    if (rnd(a) % 4 == 0) p[7] = 2; /* an answer that nobody asked for */
    memcpy(p + 8, mac, 6);
    memcpy(p + 14, (const uint8_t[4]){10, 0, 0, (uint8_t)(3 + rnd(a) % 250)}, 4);
    memcpy(p + 24, (const uint8_t[4]){10, 0, 0, 2}, 4);
    return SEG_FRAME_MIN;
}

static uint32_t rubbish_flood(struct arena *a)
{
    uint32_t n = 14 + rnd(a) % 47;
    memcpy(a->frame, victim_mac, 6);
    for (uint32_t i = 6; i < n; i++)
        a->frame[i] = (uint8_t)rnd(a);
    a->frame[6] &= 0xfe;
    a->frame[12] = 8;
    a->frame[13] = rnd(a) % 4 ? 0 : 6;
    return n;
}

/* ---- measuring ---- */

static struct arena arena;
static struct goodput calm, calm_own; /* without any flood, with the usual buffers and with OWN_BUFFER */

static bool measure_calm(struct goodput *g, uint32_t buffer)
{
    open_arena(&arena, buffer);
    run(&arena, WARM_US, NULL);
    *g = measure(&arena, NULL);
    printf("calm, buffers of %u: %llu bytes to the victim, %llu from it, the least flow %llu\n",
           arena.n->conf.stack[1].rcvbuf_bytes, (unsigned long long)g->bytes[0],
           (unsigned long long)g->bytes[1], (unsigned long long)g->least);
    close_arena(&arena);
    return g->bytes[0] >= CALM_LEAST && g->bytes[1] >= CALM_LEAST;
}

static int measure_both(void **state)
{
    (void)state;
    return measure_calm(&calm, 0) && measure_calm(&calm_own, OWN_BUFFER) ? 0 : 1;
}

static void hold(const char *name, const struct goodput *g, const struct goodput *than)
{
    unsigned percent[2];
    for (unsigned way = 0; way < 2; way++)
        percent[way] = (unsigned)(g->bytes[way] * 1000 / than->bytes[way]);
    printf("%s: %u.%u %% to the victim, %u.%u %% from it, the least flow %llu bytes\n", name, percent[0] / 10,
           percent[0] % 10, percent[1] / 10, percent[1] % 10, (unsigned long long)g->least);
    assert_true(percent[0] >= LEAST * 10 && percent[1] >= LEAST * 10);
    assert_true(g->least * 100 >= than->least * LEAST);
}

/* The flood, and after it a connection that opens and carries a little. */
static struct weir_stats under(const char *name, flood_fn next)
{
    struct simend a, b, *both[2] = {&a, &b};
    open_arena(&arena, 0);
    run(&arena, WARM_US, NULL);
    struct goodput g = measure(&arena, next);
    assert_in_range(arena.sent, FRAMES - FRAMES / 100, FRAMES + FRAMES / 100);
    hold(name, &g, &calm);
    inside_the_plan(&arena);
    struct weir_stats s = simnet_stats(arena.n, 1);
    simnet_join(arena.n, 0, NULL, &a, &b);
    simend_plan(&a, &b, 99, 5000, 5000);
    simnet_transfer(arena.n, both, 2, 10 * (uint64_t)SECOND_US);
    simend_close(&a);
    simend_close(&b);
    close_arena(&arena);
    return s;
}

static void of_syns(void **state)
{
    (void)state;
    struct weir_stats s = under("SYN flood", syn_flood);
    assert_true(s.syn_cookies_sent >= FRAMES - 2 * BACKLOG);
    assert_in_range(s.conns_live, BACKLOG, BACKLOG + FLOWS);
}

static void of_syns_from_the_link(void **state)
{
    (void)state;
    (void)under("SYN flood from addresses of the link", syn_flood_of_neighbours);
}

static void of_acks(void **state)
{
    (void)state;
    (void)under("ACK flood", ack_flood);
}

static void of_resets(void **state)
{
    (void)state;
    struct weir_stats s = under("RST flood", rst_flood);
    assert_int_equal(s.resets_received, 0);
}

static void of_blind_syns(void **state)
{
    (void)state;
    struct weir_stats s = under("SYN flood on the flows", blind_syn_flood);
    assert_in_range(s.challenge_acks, 1, 2200);
}

static void of_blind_data(void **state)
{
    (void)state;
    (void)under("data flood on the flows", blind_data_flood);
}

static void of_closed_ports(void **state)
{
    (void)state;
    struct weir_stats s = under("flood of closed ports", closed_port_flood);
    assert_in_range(s.resets_sent, 1, 2200);
}

static void of_land(void **state)
{
    (void)state;
    struct weir_stats s = under("LAND", land_flood);
    assert_in_range(s.drops[WEIR_DROP_IP_SRC], FRAMES - FRAMES / 100, FRAMES + FRAMES / 100);
}

static void of_pings(void **state)
{
    (void)state;
    (void)under("ping flood", ping_flood);
}

static void of_udp(void **state)
{
    (void)state;
    (void)under("UDP flood", udp_flood);
}

static void of_fragments(void **state)
{
    (void)state;
    (void)under("flood of fragments", fragment_flood);
}

static void of_arp(void **state)
{
    (void)state;
    (void)under("ARP flood", arp_flood);
}

static void of_rubbish(void **state)
{
    (void)state;
    (void)under("rubbish", rubbish_flood);
}

/* ---- peers that stall, and readers that do ---- */

#define SLOW       48u
#define SIP        64u /* bytes that a slow reader takes */
#define SIP_US     10000u
#define PERSIST_US 5000000u /* some probes of a shut window */

enum stall {
    PEERS_READ_NOTHING = 1,   /* the victim's send queues fill up */
    VICTIM_READS_NOTHING = 2, /* and its receive queues */
    BOTH_SIP = 4
};

static struct simend slow[2][SLOW]; /* client, server */

static void sip(const struct simend *e)
{
    uint8_t bytes[SIP];
    ptrdiff_t r = weir_recv(e->w, e->id, bytes, sizeof bytes);
    assert_true(r > 0 || r == WEIR_EAGAIN);
}

static void sips(void)
{
    for (unsigned i = 0; i < SLOW; i++) {
        sip(&slow[0][i]);
        sip(&slow[1][i]);
    }
}

/* Fills what can be filled, from ordinary memory; nobody reads. */
static void stuff(struct simend *e)
{
    static const uint8_t bytes[8192];
    while (weir_write(e->w, e->id, bytes, sizeof bytes) > 0) {
    }
}

static void add_slow(struct arena *a, enum stall how)
{
    for (unsigned i = 0; i < SLOW; i++)
        simnet_join(a->n, 0, NULL, &slow[0][i], &slow[1][i]);
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned i = 0; i < SLOW; i++) {
            if (how & (PEERS_READ_NOTHING | BOTH_SIP)) stuff(&slow[1][i]);
            if (how & (VICTIM_READS_NOTHING | BOTH_SIP)) stuff(&slow[0][i]);
        }
        run(a, 20000, NULL);
    }
}

static void end_slow(void)
{
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < SLOW; i++) {
            struct simend *e = &slow[side][i];
            assert_int_equal(weir_ready(e->w, e->id) & WEIR_EV_ERROR, 0); /* slow is no reason to be reset */
            assert_int_equal(weir_close(e->w, e->id, WEIR_CLOSE_ABORT), 0);
            simend_leave(e);
        }
}

static struct goodput measure_sipping(struct arena *a, enum stall how)
{
    struct goodput sum = {.least = UINT64_MAX};
    uint64_t before[FLOWS];
    for (unsigned i = 0; i < FLOWS; i++)
        before[i] = arrived(a, i);
    for (unsigned k = 0; k < SECOND_US / SIP_US; k++) {
        if (how & BOTH_SIP) sips();
        run(a, SIP_US, NULL);
    }
    for (unsigned i = 0; i < FLOWS; i++)
        count(&sum, i, arrived(a, i) - before[i]);
    return sum;
}

/* With buffers of which the pools hold one a connection each way, stalled ones take nothing from the others.
 */
static void beside(const char *name, enum stall how, uint64_t later_us)
{
    open_arena(&arena, OWN_BUFFER);
    add_slow(&arena, how);
    run(&arena, WARM_US + later_us, NULL); /* later: shut windows are probed seldom */
    struct goodput g = measure_sipping(&arena, how);
    hold(name, &g, &calm_own);
    inside_the_plan(&arena);
    end_slow();
    close_arena(&arena);
}

static void peers_with_shut_windows(void **state)
{
    (void)state;
    beside("48 peers that read nothing", PEERS_READ_NOTHING, 0);
    beside("48 peers that read nothing, later", PEERS_READ_NOTHING, PERSIST_US);
}

static void connections_nobody_reads(void **state)
{
    (void)state;
    beside("48 connections that nobody reads", VICTIM_READS_NOTHING, 0);
}

static void slow_readers_both_ways(void **state)
{
    (void)state;
    beside("48 slow readers each way", BOTH_SIP, 0);
}

/* With large buffers, whose sum is more than there is, stalled connections may hold all but an equal share (fair.h).
 * Nothing breaks then, the flows go on with that, and have all back as soon as the others have gone. */
static void stalled_ones_that_hold_everything(void **state)
{
    static const enum stall hows[] = {PEERS_READ_NOTHING, VICTIM_READS_NOTHING, BOTH_SIP};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        open_arena(&arena, 0);
        add_slow(&arena, hows[i]);
        struct goodput during = measure_sipping(&arena, hows[i]);
        printf("beside stalled ones that may hold everything: %llu bytes to the victim, %llu from it\n",
               (unsigned long long)during.bytes[0], (unsigned long long)during.bytes[1]);
        for (unsigned way = 0; way < 2; way++)
            assert_true(during.bytes[way] * 100 >= calm.bytes[way] * SHARED_LEAST);
        inside_the_plan(&arena);
        end_slow();
        run(&arena, WARM_US, NULL);
        struct goodput g = measure(&arena, NULL);
        hold("after stalled ones that held everything", &g, &calm);
        close_arena(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_with_shut_windows),
        cmocka_unit_test(connections_nobody_reads),
        cmocka_unit_test(slow_readers_both_ways),
        cmocka_unit_test(stalled_ones_that_hold_everything),
        cmocka_unit_test(of_syns),
        cmocka_unit_test(of_syns_from_the_link),
        cmocka_unit_test(of_acks),
        cmocka_unit_test(of_resets),
        cmocka_unit_test(of_blind_syns),
        cmocka_unit_test(of_blind_data),
        cmocka_unit_test(of_closed_ports),
        cmocka_unit_test(of_land),
        cmocka_unit_test(of_pings),
        cmocka_unit_test(of_udp),
        cmocka_unit_test(of_fragments),
        cmocka_unit_test(of_arp),
        cmocka_unit_test(of_rubbish),
    };
    return cmocka_run_group_tests(tests, measure_both, NULL);
}
