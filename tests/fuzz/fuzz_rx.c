/* fuzz_rx.c: a fuzz target for the whole receive path, with live connections, small pools and an application.
 *
 * The input (rxworld.h says how it is read) chooses a world and then operations: of peers whose segments have
 * plausible numbers and right checksums unless they are to have wrong ones, of the application, of the device
 * and of time. After each the instance is polled and every invariant checked (weir_stack_check); what the
 * stack sends and what the application reads is compared with what was written.
 *
 * At the end the application gives everything up and the peers fall silent. Then every connection must end by
 * its own timers within END_POLLS deadlines and every zbuf, descriptor and record be back; weir_stop must
 * find nothing held, and the bytes behind the plan's be as they were. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "rxworld.h"

#define CANARY_BYTES  256u
#define CANARY        0xc5
#define DIRT          0xa5 /* what the memory holds when the instance gets it */
#define TIME_STEPS    16u  /* deadlines of one operation */
#define END_POLLS     2000u
#define HALF_POLLS    1000u
#define BLOCKED_US    20000u /* a poll each millisecond where there is no header block to send with */
#define EVENTS        16
#define RX_AREA_BYTES (1u << 20)

struct rx_world rx;

/* ---- worlds ---- */

enum rx_mode {
    RX_INSIDE = 1,     /* heads inside their segments */
    RX_ASYNC = 2,      /* the device holds what it transmits */
    RX_OFFLOADS = 4,   /* checksums and large segments are the device's */
    RX_RAW_IP = 8,     /* no Ethernet */
    RX_ROOMY = 16,     /* buffers large enough for scaled windows; else everything is soon used up */
    RX_HOSTILE = 32,   /* the device takes short pieces that cross no boundary */
    RX_BARE = 64,      /* no TIME-WAIT table, no out-of-order queue, no queue for neighbours */
    RX_NO_DELACK = 128 /* acknowledgements are never put off */
};

/* In the byte behind those: of memory. */
enum rx_more {
    RX_STRICT = 1,    /* strict windows */
    RX_LEAST = 2,     /* the least plan for the connections and buffers of this world */
    RX_ONE_CLASS = 4, /* headers and bytes share one class; not with RX_STRICT */
    RX_MORE = 7
};

static void times(struct weir_config *c, uint8_t mode)
{
    c->msl_ms = 1000;
    c->rto_min_us = 200000;
    c->rto_max_us = 2000000;
    c->delack_us = mode & RX_NO_DELACK ? 0 : 40000;
    c->syn_retries = 2;
    c->data_retries = 3;
    c->keepalive_ms = 5000;
    c->keepalive_interval_ms = 1000;
    c->keepalive_probes = 2;
    c->challenge_acks = 10;
    c->icmp_errors = 5;
}

static void tight(struct weir_config *c)
{
    c->conns = 5;
    c->pbufs = 16;
    c->txrecs = 6;
    c->rcvbuf_bytes = c->sndbuf_bytes = c->app_hold_bytes = 4096;
    c->pbufs_conn = 6;
    c->txrecs_conn = 2;
    c->rx_burst = c->tx_burst = 4;
    c->zclass[0].count = 16;
    c->zclass[1].count = 18;
    c->zclasses = 2;
}

static void roomy(struct weir_config *c)
{
    c->conns = RX_CONNS_MAX;
    c->pbufs = 96;
    c->txrecs = 32;
    c->rcvbuf_bytes = c->app_hold_bytes = 100000;
    c->sndbuf_bytes = 60000;
    c->pbufs_conn = 32;
    c->txrecs_conn = 12;
    c->rx_burst = c->tx_burst = 8;
    c->zclass[0].count = 32;
    c->zclass[1].count = 56;
    c->zclass[2].count = 6;
    c->zclasses = 3;
}

/* Buffers that the area holds as often as there are connections, and the zbufs for it. */
static void strict(struct weir_config *c)
{
    struct weir_plan plan;
    c->window = WEIR_WINDOW_STRICT;
    c->zclasses = 2;
    c->rcvbuf_bytes = weir_min_u32(c->rcvbuf_bytes, 16384);
    while (weir_plan(c, &plan) == WEIR_EPLAN && plan.would <= UINT16_MAX)
        *(strcmp(plan.option, "pbufs") == 0 ? &c->pbufs : &c->zclass[1].count) = (uint32_t)plan.would;
}

static void least(struct weir_config *c)
{
    struct weir_config wish = *c;
    struct weir_plan plan;
    FUZZ_CHECK(weir_plan_least(&wish, c, &plan) == 0);
}

static void one_class(struct weir_config *c)
{
    c->zclass[0] = c->zclass[1];
    c->zclass[0].count += 2 * c->tx_burst;
    c->zclasses = 1;
}

/* Header blocks for all that a device may hold: they would take what strict windows have promised. */
#define RX_HEADERS (FUZZDEV_HELD + 64u)

/* A device may post more than a plan reckons with: with strict windows there is that beside, and no more later than at
 * first; with the least it may not. */
static void choose_memory(struct weir_config *c, uint8_t more)
{
    if (more & RX_STRICT)
        strict(c);
    else if (more & RX_ONE_CLASS)
        one_class(c);
    if (more & RX_LEAST)
        least(c);
    else if (more & RX_STRICT)
        c->zclass[1].count += FUZZDEV_POSTS / 2;
    if (more & RX_STRICT) c->zclass[0].count = RX_HEADERS;
    rx.posts = more & RX_LEAST ? c->rx_burst : more & RX_STRICT ? FUZZDEV_POSTS / 2 : FUZZDEV_POSTS;
}

static void configure(struct weir_config *c, uint8_t mode, uint8_t more)
{
    uint32_t inside = mode & RX_INSIDE ? WEIR_ZINSIDE_BYTES : 0;
    memset(c, 0, sizeof *c);
    times(c, mode);
    if (mode & RX_ROOMY)
        roomy(c);
    else
        tight(c);
    for (unsigned i = 0; i < c->zclasses; i++)
        c->zclass[i].bytes = (256u << (i * 3)) - inside;
    c->zlayout = mode & RX_INSIDE ? WEIR_ZLAYOUT_INSIDE : WEIR_ZLAYOUT_DENSE;
    c->listeners = 2;
    c->timewait = mode & RX_BARE ? 0 : 2;
    c->ooo_conn = mode & RX_BARE ? 0 : 4;
    c->neigh_queue = mode & RX_BARE ? 0 : 2;
    c->neighbours = 3;
    c->ifaces = 1;
    c->plat = &rx.sim.plat;
    choose_memory(c, more);
}

static struct weir_netdev_caps device(uint8_t mode, uint8_t mtu)
{
    static const uint16_t mtus[4] = {1500, 1500, 576, 9000};
    struct weir_netdev_caps caps = {.max_pieces = WEIR_FRAME_PIECES_MAX,
                                    .mtu = mtus[mtu & 3],
                                    .max_piece_bytes = 65535,
                                    .base_align = 1,
                                    .link = mode & RX_RAW_IP ? WEIR_LINK_RAW_IP : WEIR_LINK_ETHER,
                                    .async = (mode & RX_ASYNC) != 0,
                                    .mac = {2, 0, 0, 0, 0, 2}};
    caps.max_frame = caps.mtu + 14u;
    if (mode & RX_OFFLOADS) {
        caps.offloads = WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM | WEIR_OFF_RX_MERGE4;
        caps.max_frame = FUZZDEV_FRAME_BYTES;
    }
    if (mode & RX_HOSTILE) {
        caps.max_pieces = 4;
        caps.max_piece_bytes = 700;
        caps.boundary = 1024;
        caps.base_align = 4;
    }
    return caps;
}

/* ---- what must hold ---- */

static void check(void)
{
    FUZZ_CHECK(weir_stack_check(rx.w) == 0);
    FUZZ_CHECK(weir_strict_ok(&rx.w->tcp.mem.strict, &rx.w->z, 0));
    for (unsigned i = 0; i < CANARY_BYTES; i++)
        FUZZ_CHECK(rx.memory[rx.bytes + i] == CANARY);
}

static void poll_for(int64_t us)
{
    struct weir_event ev[EVENTS];
    int n = weir_poll(rx.w, ev, rx.events, us);
    FUZZ_CHECK(n >= 0 && n <= rx.events);
    rx_events(ev, n);
    check();
}

void rx_poll(void)
{
    poll_for(0);
}

/* To the next deadline, or a little further if it is past: what a program's loop does. false: there is
 * none. */
static bool next_deadline(void)
{
    int64_t next;
    (void)weir_next(rx.w, &next);
    if (next == INT64_MAX) return false;
    rx.sim.now_us = next > (int64_t)rx.sim.now_us ? (uint64_t)next : rx.sim.now_us + 1000;
    rx_poll();
    return true;
}

/* ---- operations that are nobody's ---- */

/* n: unit, or 0 to deadlines, 1 asleep. r: how much */
static void op_time(const struct rx_op *op)
{
    static const uint32_t unit_us[8] = {0, 0, 1, 1000, 10000, 100000, 1000000, 16000000};
    uint32_t us = op->r[0] * unit_us[op->n];
    if (op->n >= 2) {
        rx.sim.now_us += us;
        return;
    }
    if (op->n == 1) {
        poll_for(op->r[0] * 10000);
        return;
    }
    for (unsigned i = 0; i <= op->r[0] % TIME_STEPS; i++)
        if (!next_deadline()) return;
}

/* r: room, posted buffers wanted, pieces to give back */
static void op_device(const struct rx_op *op)
{
    rx.dev.room = op->n & 1 ? op->r[0] % 5 : 64;
    rx.dev.want = weir_min_u32(op->n & 2 ? op->r[1] % FUZZDEV_POSTS : FUZZDEV_POSTS / 2, rx.posts);
    rx.dev.give = op->n & 4 ? op->r[2] % 8 : ~0u;
}

/* r: operations without a poll, events a poll takes; n: who answers ARP */
static void op_loop(const struct rx_op *op)
{
    rx.hold = op->r[0] & 7;
    rx.events = op->r[1] & 8 ? op->r[1] & 7 : EVENTS;
    rx.mute = (op->n & 1) != 0;
    if (op->n & 2) FUZZ_CHECK(weir_flush(rx.w) == 0);
    if (op->n & 4) weir_wake(rx.w);
}

static void (*const ops[32])(const struct rx_op *) = {
    rx_op_segment,   rx_op_segment,    rx_op_segment, rx_op_segment, rx_op_data,        rx_op_data,
    rx_op_data,      rx_op_ack,        rx_op_ack,     rx_op_shake,   rx_op_tcp_options, rx_op_ip_options,
    rx_op_patch,     rx_op_cuts,       rx_op_frame,   rx_op_arp,     rx_op_icmp,        rx_op_udp,
    op_time,         op_time,          op_device,     op_loop,       rx_op_accept,      rx_op_connect,
    rx_op_listen,    rx_op_close,      rx_op_recv,    rx_op_read,    rx_op_free,        rx_op_zalloc,
    rx_op_write_ref, rx_op_write_copy,
};

/* Operations that prepare say nothing to the stack. Two rare ones share a code with them by their n. */
static bool run_rare(const struct rx_op *op, unsigned code)
{
    if (code == 20 && op->r[6] == 1)
        rx_op_set(op);
    else if (code == 21 && op->r[6] == 1)
        rx_op_look(op);
    else
        return false;
    return true;
}

/* Returns how many records it took. */
static uint32_t run_record(const uint8_t *p, uint32_t left)
{
    struct rx_op op = {.n = p[0] >> 5, .r = p + 1};
    unsigned code = p[0] & 31;
    uint32_t took = 1;
    if (code == 17 && (op.n & 4)) { /* bytes as they are */
        uint32_t more = op.r[0] % 12 + 1u;
        if (more > left - 1) more = left - 1;
        rx_op_raw(&op, p + RX_RECORD, more * RX_RECORD);
        took += more;
    } else if (!run_rare(&op, code)) {
        ops[code](&op);
    }
    if (rx.hold > 0)
        rx.hold--;
    else
        rx_poll();
    return took;
}

/* ---- begin and end ---- */

/* How an input ends. */
enum rx_end {
    RX_ABORT = 1,    /* connections are aborted, not closed */
    RX_STOP = 2,     /* the instance is stopped as it is */
    RX_STOP_HELD = 4 /* and the application still has its pieces */
};

#define RX_ALONE 8  /* in the same byte: no gateway */
#define RX_RESET 16 /* and: the ladder's last resort, soon */
#define RESET_MS 2000u

/* r: mode, MTU and initial numbers, clock, what is there already, seed, end, memory */
static void begin(const uint8_t *r)
{
    static const uint64_t clocks_ms[4] = {1, 0xffffff00u, 0x7fffff00u, 0xfffffff00000u};
    struct weir_ifaddr addr = {.family = WEIR_IP4, .prefix = 24, .ip = {10, 0, 0, 2}};
    struct weir_plan plan;
    struct weir_netdev_caps caps = device(r[0], r[1]);
    rx.alone = (r[5] & RX_ALONE) != 0;
    if (!rx.alone) memcpy(addr.gateway, (const uint8_t[4]){10, 0, 0, 1}, 4);
    weir_sim_init(&rx.sim, r[4]);
    rx.sim.now_us = clocks_ms[r[2] & 3] * 1000;
    configure(&rx.conf, r[0], r[6] & RX_MORE);
    if (r[5] & RX_RESET) rx.conf.reset_after_ms = RESET_MS;
    FUZZ_CHECK(weir_plan(&rx.conf, &plan) == 0 && plan.total_bytes <= RX_AREA_BYTES);
    if (rx.memory == NULL) rx.memory = aligned_alloc(4096, RX_AREA_BYTES + 4096);
    FUZZ_CHECK(rx.memory != NULL && plan.align_bytes <= 4096);
    rx.bytes = (size_t)plan.total_bytes;
    memset(rx.memory, DIRT, rx.bytes);
    memset(rx.memory + rx.bytes, CANARY, CANARY_BYTES);
    struct weir_area area = {.base = rx.memory, .bytes = rx.bytes};
    FUZZ_CHECK(weir_start(&rx.w, &rx.conf, &area, 1) == 0);
    fuzzdev_init(&rx.dev, &caps, rx_sent, NULL);
    rx.dev.want = weir_min_u32(rx.dev.want, rx.posts);
    FUZZ_CHECK(weir_attach(rx.w, &rx.dev.dev, &addr) == 0);
    rx_flows_init(r[1] >> 2);
}

static void forget(void)
{
    memset(rx.conn, 0, sizeof rx.conn);
    memset(rx.piece, 0, sizeof rx.piece);
    memset(rx.listener, 0, sizeof rx.listener);
    memset(&rx.prep, 0, sizeof rx.prep);
    for (unsigned i = 0; i < RX_CONNS_MAX; i++)
        rx.tcb[i].id = 0;
    rx.mute = rx.foreign = rx.careless = false;
    rx.hold = 0;
    rx.events = EVENTS;
}

/* A listener, a connection each way, and data waiting to be sent. */
static void furnish(uint8_t how)
{
    static const uint8_t write[4][7] = {{0, 12, 1}, {1, 11, 2}, {0, 15, 3}, {1, 7, 4}};
    static const uint8_t listen[7] = {0, 3};
    struct rx_op op = {.n = 0, .r = listen};
    rx_op_listen(&op);
    rx_poll();
    if (how & 1) rx_shake(&rx.flow[0]);
    rx_accept_all();
    if (how & 2) rx_shake(&rx.flow[4]);
    for (unsigned i = 0; i < 4; i++) {
        op.r = write[i];
        if (how >> (4 + i) & 1) rx_op_write_copy(&op);
    }
    rx_poll();
}

static bool all_back(void)
{
    const struct weir_tcp *t = &rx.w->tcp;
    uint32_t warm = t->warm.at != NULL;
    uint32_t held = rx.w->z.live - rx.w->z.posted;
    return t->live == 0 && t->tw_live == 0 && t->mem.pbufs.used == 0 && t->mem.txrecs.used == 0 &&
           held == warm;
}

/* Nobody answers any more. First the neighbours still do, so that what was queued for them can go. */
static void fade_out(bool abort)
{
    rx_app_end(abort);
    rx_poll();
    for (unsigned i = 0; i < END_POLLS && !all_back(); i++) {
        if (i == HALF_POLLS) rx.mute = true;
        if (rx.w->tcp.blocked_room) rx.sim.now_us += BLOCKED_US;
        if (!next_deadline()) break;
    }
    FUZZ_CHECK(all_back());
}

static void end(uint8_t how)
{
    rx.events = EVENTS;
    rx.dev.room = 64;
    rx.dev.want = weir_min_u32(FUZZDEV_POSTS / 2, rx.posts);
    rx.dev.give = ~0u;
    rx_poll();
    if ((how & (RX_STOP | RX_STOP_HELD)) == 0) fade_out((how & RX_ABORT) != 0);
    if (how & RX_STOP) rx_app_free();
    int held = weir_stop(rx.w);
    FUZZ_CHECK(how & RX_STOP_HELD ? held >= 0 && held <= (int)RX_PIECES : held == 0);
    FUZZ_CHECK(rx.w->z.live == (uint32_t)held && rx.w->tcp.live == 0 && rx.w->z.posted == 0);
    check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint32_t records = n / RX_RECORD < RX_RECORDS_MAX ? (uint32_t)(n / RX_RECORD) : RX_RECORDS_MAX;
    if (records == 0) return 0;
    forget();
    begin(data);
    furnish(data[3]);
    for (uint32_t at = 1; at < records;)
        at += run_record(data + at * RX_RECORD, records - at);
    end(data[5]);
    return 0;
}
