/* simnet.c: two instances over a pair in virtual time, and ends that send and check numbered bytes. */
#include "simnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define STANDING_MAX 20000u /* steps without the clock moving: somebody spins */
#define CANARY_BYTE  0xa5

/* ---- configurations ---- */

static void fit_layout(struct weir_config *c, enum weir_zlayout layout)
{
    c->zlayout = layout;
    if (layout == WEIR_ZLAYOUT_INSIDE)
        for (uint32_t i = 0; i < c->zclasses; i++)
            c->zclass[i].bytes -= WEIR_ZINSIDE_BYTES;
}

void simnet_config(struct weir_config *c, enum weir_zlayout layout)
{
    assert_int_equal(weir_config_size(c, 2u << 20), 0);
    c->reset_after_ms = 0; /* tests leave memory short for hours */
    c->msl_ms = 1000;
    fit_layout(c, layout);
}

void simnet_tiny(struct weir_config *c, enum weir_zlayout layout)
{
    simnet_config(c, WEIR_ZLAYOUT_DENSE);
    c->zclasses = 3;
    c->zclass[0] = (struct weir_zclass){256, 16};
    c->zclass[1] = (struct weir_zclass){2048, 24};
    c->zclass[2] = (struct weir_zclass){4096, 6};
    c->rx_burst = c->tx_burst = 4;
    c->rcvbuf_bytes = 8192;
    c->sndbuf_bytes = 8192;
    c->app_hold_bytes = 8192;
    c->conns = 8;
    c->pbufs = 48;
    c->txrecs = 24;
    c->pbufs_conn = 12;
    c->txrecs_conn = 8;
    c->ooo_conn = 6;
    c->timewait = 4;
    c->listeners = 2;
    fit_layout(c, layout);
}

struct simnet_conf simnet_defaults(void)
{
    struct simnet_conf c = {.seed = 1, .delay_us = 50, .bits_per_s = 1000000000u, .queue = WEIR_PAIR_FRAMES};
    simnet_config(&c.stack[0], WEIR_ZLAYOUT_DENSE);
    simnet_config(&c.stack[1], WEIR_ZLAYOUT_DENSE);
    return c;
}

/* ---- life ---- */

static void open_cable(struct simnet *n)
{
    const struct simnet_conf *c = &n->conf;
    struct weir_pair_conf pc = {.plat = &n->sim.plat,
                                .delay_us = c->delay_us,
                                .bits_per_s = c->bits_per_s,
                                .queue = c->queue,
                                .max_frame = c->offloads & WEIR_OFF_TX_TSO4 ? WEIR_PAIR_FRAME_MAX : 1514,
                                .mtu = 1500,
                                .offloads = c->offloads,
                                .async = c->async};
    size_t bytes = weir_pair_bytes(&pc);
    n->pair_memory = malloc(bytes);
    assert_non_null(n->pair_memory);
    assert_int_equal(weir_pair_init(&n->pair, &pc, n->pair_memory, bytes), 0);
}

static void open_stack(struct simnet *n, int side)
{
    struct weir_config *conf = &n->conf.stack[side];
    struct weir_plan plan;
    conf->plat = &n->sim.plat;
    if (weir_plan(conf, &plan) != 0) fail_msg("%s", plan.why);
    size_t bytes = (size_t)plan.total_bytes;
    n->area_bytes[side] = bytes;
    n->area[side] = aligned_alloc(plan.align_bytes, weir_align_up(bytes + SIMNET_CANARY, plan.align_bytes));
    assert_non_null(n->area[side]);
    memset(n->area[side] + bytes, CANARY_BYTE, SIMNET_CANARY);
    struct weir_area area = {.base = n->area[side], .bytes = bytes};
    assert_int_equal(weir_start(&n->w[side], conf, &area, 1), 0);
}

static void attach(struct simnet *n, int side, struct weir_netdev *dev)
{
    struct weir_ifaddr a;
    assert_int_equal(weir_ifaddr_parse(&a, side ? "10.0.0.2/24" : "10.0.0.1/24"), 0);
    if (n->conf.gateway && side == 1) memcpy(a.gateway, (const uint8_t[4]){10, 0, 0, 1}, 4);
    int r = weir_attach(n->w[side], dev, &a);
    if (r < 0) fail_msg("attach: %s; %s", weir_strerror(r), dev->error);
}

struct simnet *simnet_open(const struct simnet_conf *conf)
{
    struct simnet *n = calloc(1, sizeof *n);
    assert_non_null(n);
    n->conf = *conf;
    weir_sim_init(&n->sim, conf->seed);
    n->sim.now_us = conf->start_us;
    open_cable(n);
    const struct weir_fault_conf *f = &conf->fault;
    bool faulty = (f->loss_ppm | f->reorder_ppm | f->dup_ppm | f->corrupt_ppm) != 0;
    struct weir_netdev *first = &n->pair.end[0].dev;
    if (faulty) {
        weir_fault_init(&n->fault, first, f);
        first = &n->fault.dev;
    }
    for (int side = 0; side < 2; side++)
        open_stack(n, side);
    attach(n, 0, first);
    attach(n, 1, &n->pair.end[1].dev);
    return n;
}

void simnet_close(struct simnet *n, int held[2])
{
    simnet_check(n);
    for (int side = 0; side < 2; side++) {
        int r = weir_stop(n->w[side]);
        if (held)
            held[side] = r;
        else
            assert_int_equal(r, 0);
        for (size_t i = 0; i < SIMNET_CANARY; i++)
            assert_int_equal(n->area[side][n->area_bytes[side] + i], CANARY_BYTE);
        free(n->area[side]);
    }
    free(n->pair_memory);
    free(n);
}

/* ---- time ---- */

void simnet_check(const struct simnet *n)
{
    for (int side = 0; side < 2; side++) {
        int broken = weir_stack_check(n->w[side]);
        if (broken)
            fail_msg("side %d: invariant %d broken at %llu us", side, broken,
                     (unsigned long long)n->sim.now_us);
    }
}

static struct simend *end_for(const struct simnet *n, int side, weir_id id)
{
    for (unsigned i = 0; i < SIMNET_ENDS; i++)
        if (n->end[i] && n->end[i]->side == side && n->end[i]->id == id) return n->end[i];
    return NULL;
}

static void tell(const struct simnet *n, int side, const struct weir_event *ev)
{
    if (ev->mask & WEIR_EV_MEMORY) {
        assert_int_equal(ev->id, 0);
        for (unsigned i = 0; i < SIMNET_ENDS; i++)
            if (n->end[i] && n->end[i]->side == side) n->end[i]->ready |= WEIR_EV_WRITE;
        return;
    }
    struct simend *e = end_for(n, side, ev->id);
    if (!e) return;
    e->ready |= ev->mask;
    e->seen |= ev->mask;
}

static int64_t next_work(const struct simnet *n)
{
    int64_t a, b;
    (void)weir_next(n->w[0], &a);
    (void)weir_next(n->w[1], &b);
    return a < b ? a : b;
}

static void poll_side(struct simnet *n, int side)
{
    int batch = n->conf.batch ? n->conf.batch : SIMNET_EVENTS;
    n->n_ev[side] = weir_poll(n->w[side], n->ev[side], batch, 0);
    assert_in_range(n->n_ev[side], 0, batch);
    for (int i = 0; i < n->n_ev[side]; i++)
        tell(n, side, &n->ev[side][i]);
}

bool simnet_step(struct simnet *n, uint64_t until_us)
{
    int64_t next = next_work(n);
    if (next > (int64_t)n->sim.now_us) {
        if (n->sim.now_us >= until_us) return false;
        n->sim.now_us = (uint64_t)next < until_us ? (uint64_t)next : until_us;
        n->standing = 0;
    } else if (++n->standing > STANDING_MAX) {
        fail_msg("the clock stands at %llu us", (unsigned long long)n->sim.now_us);
    }
    poll_side(n, 0);
    poll_side(n, 1);
    if (n->conf.check) simnet_check(n);
    return true;
}

void simnet_run(struct simnet *n, uint64_t us)
{
    uint64_t until = n->sim.now_us + us;
    while (simnet_step(n, until)) {
    }
}

/* ---- connections ---- */

void simnet_addr(struct weir_addr *a, int side, uint16_t port)
{
    memset(a, 0, sizeof *a);
    *a = (struct weir_addr){.family = WEIR_IP4, .port = port, .ip = {10, 0, 0, (uint8_t)(side + 1)}};
}

void simnet_listen(struct simnet *n, int side, const struct weir_opts *o)
{
    struct weir_addr any = {.family = WEIR_IP4, .port = SIMNET_PORT};
    assert_int_equal(weir_listen(n->w[side], &any, o, &n->listener[side]), 0);
}

static void enlist(struct simnet *n, int side, weir_id id, struct simend *e)
{
    *e = (struct simend){.net = n, .w = n->w[side], .id = id, .side = side, .chunk = 8192};
    for (unsigned i = 0; i < SIMNET_ENDS; i++) {
        if (n->end[i]) continue;
        n->end[i] = e;
        return;
    }
    fail_msg("more than %u ends", SIMNET_ENDS);
}

void simnet_join(struct simnet *n, int from, const struct weir_opts *o, struct simend *client,
                 struct simend *server)
{
    struct weir_addr to, peer = {0};
    weir_id id = 0;
    uint64_t until = n->sim.now_us + 120 * (uint64_t)SECOND_US;
    int r = WEIR_EAGAIN;
    if (!n->listener[!from]) simnet_listen(n, !from, NULL);
    simnet_addr(&to, !from, SIMNET_PORT);
    assert_int_equal(weir_connect(n->w[from], &to, o, &id), 0);
    enlist(n, from, id, client);
    while (r == WEIR_EAGAIN && simnet_step(n, until))
        r = weir_accept(n->w[!from], n->listener[!from], &id, &peer);
    assert_int_equal(r, 0);
    enlist(n, !from, id, server);
    struct weir_conn_info info = simend_info(client);
    assert_int_equal(peer.port, info.local.port);
    while (!(client->seen & WEIR_EV_OPEN))
        assert_true(simnet_step(n, until));
}

void simend_leave(struct simend *e)
{
    for (unsigned i = 0; i < SIMNET_ENDS; i++)
        if (e->net->end[i] == e) e->net->end[i] = NULL;
    if (e->piece) {
        assert_int_equal(weir_zfree(e->w, e->piece), 0);
        e->net->in_hand--;
        e->piece = NULL;
    }
}

void simend_close(struct simend *e)
{
    assert_int_equal(weir_close(e->w, e->id, WEIR_CLOSE_GRACEFUL), 0);
    simend_leave(e);
}

/* ---- numbered bytes ---- */

static uint64_t word(uint32_t tag, uint64_t at)
{
    uint64_t z = ((uint64_t)tag << 44) + at / 8 * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    return z ^ z >> 29;
}

void simflow_fill(const struct simflow *f, uint64_t at, uint8_t *out, size_t n)
{
    uint64_t w = word(f->tag, at) >> at % 8 * 8;
    for (size_t i = 0; i < n; i++, at++, w >>= 8) {
        if (at % 8 == 0) w = word(f->tag, at);
        out[i] = (uint8_t)w;
    }
}

void simflow_check(const struct simflow *f, uint64_t at, const uint8_t *p, size_t n)
{
    uint64_t w = word(f->tag, at) >> at % 8 * 8;
    for (size_t i = 0; i < n; i++, at++, w >>= 8) {
        if (at % 8 == 0) w = word(f->tag, at);
        if (p[i] != (uint8_t)w)
            fail_msg("flow %u: byte %llu is %02x, not %02x", f->tag, (unsigned long long)at, p[i],
                     (uint8_t)w & 0xff);
    }
}

/* ---- ends ---- */

void simend_plan(struct simend *a, struct simend *b, uint32_t tag, uint64_t a_to_b, uint64_t b_to_a)
{
    a->out = b->in = (struct simflow){.tag = 2 * tag, .total = a_to_b};
    b->out = a->in = (struct simflow){.tag = 2 * tag + 1, .total = b_to_a};
}

static bool failed(struct simend *e, ptrdiff_t r, unsigned ev)
{
    if (r >= 0) return false;
    e->ready &= ~ev;
    if (r != WEIR_EAGAIN && r != WEIR_ENOMEM) e->error = (int)r;
    return true;
}

static uint32_t next_bytes(const struct simend *e)
{
    uint64_t left = e->out.total - e->out.done;
    return left < e->chunk ? (uint32_t)left : e->chunk;
}

/* Ordinary memory, spoilt as soon as the call is back. */
static ptrdiff_t write_copy(struct simend *e)
{
    uint32_t n = next_bytes(e);
    if (n > SIMNET_SCRATCH) n = SIMNET_SCRATCH;
    simflow_fill(&e->out, e->out.done, e->net->scratch, n);
    ptrdiff_t r = weir_write(e->w, e->id, e->net->scratch, n);
    memset(e->net->scratch, 0xee, n);
    return r;
}

static bool fill_piece(struct simend *e)
{
    if (e->piece) return true;
    e->left = next_bytes(e);
    e->piece = weir_zalloc(e->w, e->left);
    if (!e->piece) {
        e->ready &= ~(unsigned)WEIR_EV_WRITE;
        assert_int_equal(weir_zalloc_wait(e->w, e->left), 0);
        return false;
    }
    e->net->in_hand++;
    e->at = 0;
    simflow_fill(&e->out, e->out.done, e->piece, e->left);
    return true;
}

static ptrdiff_t write_ref(struct simend *e)
{
    ptrdiff_t r = weir_write(e->w, e->id, e->piece + e->at, e->left);
    if (r <= 0) return r;
    assert_true((uint32_t)r <= e->left);
    e->at += (uint32_t)r;
    e->left -= (uint32_t)r;
    if (e->left == 0) {
        assert_int_equal(weir_zfree(e->w, e->piece), 0);
        e->net->in_hand--;
        e->piece = NULL;
    }
    return r;
}

static void pump_write(struct simend *e)
{
    while ((e->ready & WEIR_EV_WRITE) && !e->shut && !e->error) {
        if (e->out.done == e->out.total) {
            if (e->keep_open) return;
            e->error = weir_shutdown(e->w, e->id);
            e->shut = true;
            return;
        }
        bool copy = e->how == WRITE_COPY || (e->how == WRITE_MIXED && !e->piece && e->out.done / 1000 % 2);
        if (!copy && !fill_piece(e)) return;
        ptrdiff_t r = copy ? write_copy(e) : write_ref(e);
        if (failed(e, r, WEIR_EV_WRITE)) return;
        assert_true(r > 0);
        e->out.done += (uint64_t)r;
    }
}

static void read_pieces(struct simend *e)
{
    struct weir_iov iov[8];
    int n = weir_read(e->w, e->id, iov, 8);
    if (failed(e, n, WEIR_EV_READ)) return;
    e->eof = n == 0;
    for (int i = 0; i < n; i++) {
        simflow_check(&e->in, e->in.done, iov[i].base, iov[i].len);
        e->in.done += iov[i].len;
        assert_int_equal(weir_zfree(e->w, iov[i].base), 0);
    }
}

static void read_copy(struct simend *e)
{
    ptrdiff_t n = weir_recv(e->w, e->id, e->net->scratch, SIMNET_SCRATCH);
    if (failed(e, n, WEIR_EV_READ)) return;
    e->eof = n == 0;
    simflow_check(&e->in, e->in.done, e->net->scratch, (size_t)n);
    e->in.done += (uint64_t)n;
}

static void pump_read(struct simend *e)
{
    while ((e->ready & WEIR_EV_READ) && !e->eof && !e->error) {
        if (e->by_recv)
            read_copy(e);
        else
            read_pieces(e);
        assert_true(e->in.done <= e->in.total);
    }
}

void simend_pump(struct simend *e)
{
    pump_read(e);
    pump_write(e);
    if (e->eof) assert_true(e->in.done == e->in.total);
}

bool simend_done(const struct simend *e)
{
    if (e->out.done < e->out.total || e->in.done < e->in.total) return false;
    return e->keep_open || (e->shut && e->eof);
}

void simnet_transfer(struct simnet *n, struct simend *const *end, unsigned k, uint64_t within_us)
{
    uint64_t until = n->sim.now_us + within_us;
    bool going = true, done = false;
    for (;;) {
        done = true;
        for (unsigned i = 0; i < k; i++) {
            simend_pump(end[i]);
            assert_int_equal(end[i]->error, 0);
            done = done && simend_done(end[i]);
        }
        if (done || !going) break;
        going = simnet_step(n, until);
    }
    for (unsigned i = 0; i < k && !done; i++)
        if (!simend_done(end[i]))
            fail_msg("end %u stopped: %llu of %llu written, %llu of %llu read", i,
                     (unsigned long long)end[i]->out.done, (unsigned long long)end[i]->out.total,
                     (unsigned long long)end[i]->in.done, (unsigned long long)end[i]->in.total);
}

void simnet_proof(struct simnet *n, uint32_t tag, uint64_t bytes)
{
    struct simend a, b, *both[2] = {&a, &b};
    simnet_join(n, 0, NULL, &a, &b);
    simend_plan(&a, &b, tag, bytes, bytes);
    a.how = b.how = WRITE_MIXED;
    a.chunk = b.chunk = 1500;
    simnet_transfer(n, both, 2, 600 * (uint64_t)SECOND_US);
    simend_close(&a);
    simend_close(&b);
}

struct weir_stats simnet_stats(const struct simnet *n, int side)
{
    struct weir_stats s;
    weir_stats(n->w[side], &s);
    return s;
}

struct weir_conn_info simend_info(const struct simend *e)
{
    struct weir_conn_info info;
    assert_int_equal(weir_info(e->w, e->id, &info), 0);
    return info;
}

void simnet_empty(struct simnet *n)
{
    simnet_check(n);
    assert_int_equal(n->in_hand, 0);
    for (int side = 0; side < 2; side++) {
        struct weir_stats s = simnet_stats(n, side);
        uint32_t warm = n->w[side]->tcp.warm.at != NULL;
        assert_int_equal(s.conns_live, 0);
        assert_int_equal(s.timewait_live, 0);
        assert_int_equal(s.pbufs_live, 0);
        assert_int_equal(s.txrecs_live, 0);
        assert_int_equal(s.zbuf_live, warm);
        assert_true(s.zbuf_allocs - s.zbuf_frees == warm + s.zbuf_posted);
    }
}
