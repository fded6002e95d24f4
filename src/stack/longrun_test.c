/* longrun_test.c: what only shows after hours, weeks, or 4 GiB: keep-alive, a window that stays shut, the
 * wrap of the millisecond clock and of sequence numbers. In virtual time. */
#include "simnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE_US (60 * (uint64_t)SECOND_US)
#define HOUR_US   (60 * MINUTE_US)
#define DAY_US    (24 * HOUR_US)
#define WRAP_US   (((uint64_t)1 << 32) * 1000) /* of milliseconds in 32 bits */

static const struct weir_opts keep = {.keepalive = 1};
static const struct weir_fault_conf hardly_any = {.loss_ppm = 1, .seed = 3};
static const struct weir_fault_conf some = {
    .loss_ppm = 20000, .reorder_ppm = 20000, .dup_ppm = 10000, .corrupt_ppm = 1000, .seed = 9};

static struct simnet *open_at(uint64_t start_us, const struct weir_fault_conf *fault)
{
    struct simnet_conf c = simnet_defaults();
    c.start_us = start_us;
    c.check = true;
    c.stack[0].msl_ms = c.stack[1].msl_ms = 30000;
    if (fault) c.fault = *fault;
    return simnet_open(&c);
}

static void close_both(struct simnet *n, struct simend *a, struct simend *b)
{
    simend_close(a);
    simend_close(b);
    simnet_run(n, 20 * MINUTE_US);
    simnet_empty(n);
    simnet_close(n, NULL);
}

/* More bytes on a connection that stays open; the flows go on where they were. */
static void exchange(struct simnet *n, struct simend *a, struct simend *b, uint64_t a_to_b, uint64_t b_to_a)
{
    struct simend *both[2] = {a, b};
    a->keep_open = b->keep_open = true;
    a->out.total = b->in.total += a_to_b;
    b->out.total = a->in.total += b_to_a;
    a->ready |= WEIR_EV_WRITE; /* the last write was not cut short: there is no event to wait for */
    b->ready |= WEIR_EV_WRITE;
    simnet_transfer(n, both, 2, HOUR_US);
}

static void prepare(struct simend *a, struct simend *b)
{
    simend_plan(a, b, 1, 0, 0);
    a->keep_open = b->keep_open = true;
    a->how = b->how = WRITE_MIXED;
}

/* ---- idle ---- */

static void keepalive_holds_a_living_peer(void **state)
{
    (void)state;
    struct simend a, b;
    struct simnet *n = open_at(0, NULL);
    simnet_listen(n, 1, &keep);
    simnet_join(n, 0, &keep, &a, &b);
    prepare(&a, &b);
    exchange(n, &a, &b, 1000, 1000);
    uint64_t frames = simnet_stats(n, 0).tx_frames;
    simnet_run(n, 24 * HOUR_US);
    struct weir_stats s = simnet_stats(n, 0);
    assert_in_range(s.keepalives, 11, 12);
    assert_in_range(s.tx_frames - frames, 10, 2000); /* nobody chatters */
    assert_int_equal(simend_info(&a).state, WEIR_TCP_ESTABLISHED);
    assert_int_equal(simend_info(&b).state, WEIR_TCP_ESTABLISHED);
    exchange(n, &a, &b, 30000, 30000);
    close_both(n, &a, &b);
}

/* The neighbour is forgotten between two probes, and asking for it is no probe: one probe is enough for a
 * peer that lives. */
static void one_probe_is_enough(void **state)
{
    (void)state;
    struct simend a, b;
    struct simnet_conf c = simnet_defaults();
    c.check = true;
    c.stack[0].keepalive_probes = c.stack[1].keepalive_probes = 1;
    struct simnet *n = simnet_open(&c);
    simnet_join(n, 0, &keep, &a, &b);
    prepare(&a, &b);
    simnet_run(n, 24 * HOUR_US);
    assert_int_equal(simend_info(&a).error, 0);
    assert_int_equal(simend_info(&a).state, WEIR_TCP_ESTABLISHED);
    assert_in_range(simnet_stats(n, 0).keepalives, 11, 12);
    exchange(n, &a, &b, 1000, 1000);
    close_both(n, &a, &b);
}

/* The peer hears of an abort also when its neighbour must be asked for first. */
static void a_reset_after_a_long_silence(void **state)
{
    (void)state;
    for (uint8_t async = 0; async < 2; async++) {
        struct simend a, b;
        struct simnet_conf c = simnet_defaults();
        c.check = true;
        c.async = async;
        struct simnet *n = simnet_open(&c);
        simnet_join(n, 0, NULL, &a, &b);
        prepare(&a, &b);
        exchange(n, &a, &b, 1000, 1000);
        simnet_run(n, 3 * HOUR_US);
        assert_int_equal(weir_close(a.w, a.id, WEIR_CLOSE_ABORT), 0);
        simend_leave(&a);
        simnet_run(n, SECOND_US);
        assert_true(b.ready & WEIR_EV_ERROR);
        assert_int_equal(simend_info(&b).error, WEIR_ECONNRESET);
        simend_close(&b);
        simnet_run(n, HOUR_US);
        simnet_empty(n);
        simnet_close(n, NULL);
    }
}

static void keepalive_finds_a_dead_peer(void **state)
{
    (void)state;
    struct simend a, b;
    struct simnet *n = open_at(0, &hardly_any);
    simnet_join(n, 0, &keep, &a, &b);
    prepare(&a, &b);
    exchange(n, &a, &b, 1000, 1000);
    simnet_run(n, SECOND_US);
    n->fault.conf.loss_ppm = 1000000; /* the cable is cut */
    uint64_t cut = n->sim.now_us;
    while (!(a.ready & WEIR_EV_ERROR))
        assert_true(simnet_step(n, cut + 24 * HOUR_US));
    uint64_t after_ms = (n->sim.now_us - cut) / 1000;
    const struct weir_config *c = &n->conf.stack[0];
    uint64_t exact_ms = c->keepalive_ms + (uint64_t)c->keepalive_interval_ms * c->keepalive_probes;
    /* Each probe asks for its neighbour first, which takes a few seconds. */
    assert_in_range(after_ms, exact_ms - 5000, exact_ms + 5000 * c->keepalive_probes);
    assert_int_equal(simend_info(&a).error, WEIR_ETIMEDOUT);
    assert_int_equal(simend_info(&b).state, WEIR_TCP_ESTABLISHED); /* it did not ask */
    simend_close(&a);
    simend_close(&b); /* its FIN finds nobody */
    simnet_run(n, 24 * HOUR_US);
    simnet_empty(n);
    simnet_close(n, NULL);
}

/* Also when no poll is made for so long that 32-bit clocks lose count. */
static void weeks_of_silence(void **state)
{
    (void)state;
    static const uint32_t hours[] = {1, 100, 480, 590, 600, 1000, 1190, 1193, 1194, 1200, 2000};
    for (unsigned i = 0; i < sizeof hours / sizeof hours[0]; i++)
        for (int daily = 0; daily < 2; daily++) {
            struct simend a, b;
            struct simnet *n = open_at(12345, NULL);
            simnet_join(n, 0, NULL, &a, &b);
            prepare(&a, &b);
            exchange(n, &a, &b, 5000, 5000);
            uint64_t until = n->sim.now_us + hours[i] * HOUR_US;
            while (daily && n->sim.now_us + DAY_US < until)
                simnet_run(n, DAY_US);
            simnet_run(n, until - n->sim.now_us);
            if (getenv("DBG")) printf("%u %d\n", hours[i], daily);
            exchange(n, &a, &b, 50000, 50000);
            struct weir_conn_info info = simend_info(&a);
            assert_int_equal(info.timeouts, 0);
            assert_true(info.srtt_us < SECOND_US);
            simnet_proof(n, 2, 5000);
            close_both(n, &a, &b);
        }
}

static void hours_with_a_shut_window(void **state)
{
    (void)state;
    struct simend a, b;
    struct simnet *n = open_at(0, NULL);
    simnet_listen(n, 1, &(struct weir_opts){.rcvbuf_bytes = 4096});
    simnet_join(n, 0, NULL, &a, &b);
    prepare(&a, &b);
    a.out.total = b.in.total = 30000;
    simend_pump(&a);
    simnet_run(n, 10 * HOUR_US);
    struct weir_stats s = simnet_stats(n, 0);
    assert_in_range(s.zwin_probes, 10 * 60 - 60, 10 * 60 + 60); /* one a minute, after the first few */
    assert_int_equal(simend_info(&a).state, WEIR_TCP_ESTABLISHED);
    b.ready |= WEIR_EV_READ;
    exchange(n, &a, &b, 1000, 1000);
    close_both(n, &a, &b);
}

/* ---- the clock wraps ---- */

/* Traffic every now and then from an hour before to an hour after, over a cable that loses. */
static void busy_across(uint64_t moment_us)
{
    struct simend a, b;
    struct simnet *n = open_at(moment_us - HOUR_US, &some);
    simnet_listen(n, 1, &keep);
    simnet_join(n, 0, &keep, &a, &b);
    prepare(&a, &b);
    while (n->sim.now_us < moment_us + HOUR_US) {
        exchange(n, &a, &b, 20000, 3000);
        simnet_run(n, 97 * (uint64_t)SECOND_US);
    }
    close_both(n, &a, &b);
}

/* One of everything is under way when it wraps: a retransmission, a delayed acknowledgement, a shut window,
 * TIME-WAIT, a neighbour that does not answer. */
static void under_way_across(uint64_t moment_us, uint64_t before_us)
{
    struct simend a, b, shut[2], done[2], *both[2] = {&done[0], &done[1]};
    struct simnet *n = open_at(moment_us - before_us - 2 * SECOND_US, &hardly_any);
    struct weir_addr nobody = {.family = WEIR_IP4, .port = 9, .ip = {10, 0, 0, 77}};
    weir_id id;
    simnet_join(n, 0, NULL, &a, &b);
    simnet_listen(n, 0, &(struct weir_opts){.rcvbuf_bytes = 2048});
    simnet_join(n, 1, NULL, &shut[0], &shut[1]);
    simnet_join(n, 0, NULL, &done[0], &done[1]);
    simend_plan(&done[0], &done[1], 7, 1000, 1000);
    simnet_transfer(n, both, 2, SECOND_US);
    simend_close(&done[0]);
    simend_close(&done[1]);
    prepare(&a, &b);
    prepare(&shut[0], &shut[1]);
    shut[0].out.total = shut[1].in.total = 10000;
    simend_pump(&shut[0]);
    if (n->sim.now_us < moment_us - before_us) simnet_run(n, moment_us - before_us - n->sim.now_us);
    assert_int_equal(weir_connect(n->w[0], &nobody, NULL, &id), 0);
    n->fault.conf.loss_ppm = 1000000;
    a.out.total = b.in.total = 3000;
    a.ready |= WEIR_EV_WRITE;
    simend_pump(&a);
    simnet_run(n, before_us + 2 * SECOND_US);
    n->fault.conf.loss_ppm = 0;
    shut[1].ready |= WEIR_EV_READ;
    exchange(n, &shut[0], &shut[1], 1000, 1000);
    exchange(n, &a, &b, 1000, 1000);
    simnet_run(n, 20 * MINUTE_US);
    assert_int_equal(simnet_stats(n, 0).timewait_live + simnet_stats(n, 1).timewait_live, 0);
    struct weir_conn_info info;
    assert_int_equal(weir_info(n->w[0], id, &info), 0);
    assert_int_equal(info.state, WEIR_TCP_CLOSED);
    assert_int_equal(weir_close(n->w[0], id, WEIR_CLOSE_GRACEFUL), 0);
    simend_close(&shut[0]);
    simend_close(&shut[1]);
    close_both(n, &a, &b);
}

static void across(uint64_t moment_us)
{
    static const uint32_t before_ms[] = {0, 1, 10, 39, 100, 199, 201, 500, 999, 3000, 30000, 59000};
    busy_across(moment_us);
    for (unsigned i = 0; i < sizeof before_ms / sizeof before_ms[0]; i++)
        under_way_across(moment_us, 1000ull * before_ms[i]);
}

static void milliseconds_wrap(void **state)
{
    (void)state;
    across(WRAP_US);
    across(3 * WRAP_US);
}

static void milliseconds_turn_negative(void **state)
{
    (void)state;
    across(WRAP_US / 2);
}

/* Microseconds in 32 bits are kept for round trips: every 71 minutes. */
static void microseconds_wrap(void **state)
{
    (void)state;
    across((uint64_t)1 << 32);
    across((uint64_t)3 << 31);
}

/* ---- sequence numbers wrap ---- */

#define BEFORE 100000u /* bytes before the wrap */

/* The first sequence number of one end of the first connection of an instance that starts at this time. */
static uint32_t first_seq(const struct simend *e)
{
    return e->net->w[e->side]->tcp.conn[e->id & ((1u << WEIR_ID_INDEX_BITS) - 1)].iss;
}

static uint64_t start_for(int side, uint32_t wanted)
{
    struct simend e[2];
    const uint64_t start = 1000000;
    struct simnet *n = open_at(start, NULL);
    simnet_join(n, 0, NULL, &e[0], &e[1]);
    uint32_t is = first_seq(&e[side]);
    close_both(n, &e[0], &e[1]);
    return start + 4 * (uint64_t)(wanted - is); /* RFC 6528: they go up by one every 4 microseconds */
}

static void across_seq(int side, uint32_t edge, const struct weir_fault_conf *fault)
{
    struct simend e[2], *both[2] = {&e[0], &e[1]};
    struct simnet *n = open_at(start_for(side, edge - BEFORE), NULL);
    if (fault) { /* the same start, or the numbers would be others */
        struct simnet_conf c = n->conf;
        simnet_close(n, NULL);
        c.fault = *fault;
        n = simnet_open(&c);
    }
    simnet_join(n, 0, NULL, &e[0], &e[1]);
    uint32_t left = edge - first_seq(&e[side]);
    if (!fault) assert_in_range(left, BEFORE - 1000, BEFORE + 1000);
    simend_plan(&e[0], &e[1], 1, 300000, 300000);
    simnet_transfer(n, both, 2, HOUR_US);
    close_both(n, &e[0], &e[1]);
}

static void sequence_numbers_wrap(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        across_seq(side, 0, NULL);
        across_seq(side, 0, &some);
        across_seq(side, 0x80000000u, &some);
    }
}

/* At every offset near the wrap, with a FIN there too. */
static void the_wrap_at_every_byte(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        uint64_t start = start_for(side, 0u - 40);
        for (uint32_t i = 0; i < 80; i++) {
            struct simend e[2], *both[2] = {&e[0], &e[1]};
            struct simnet *n = open_at(start + 4 * i, NULL);
            simnet_join(n, 0, NULL, &e[0], &e[1]);
            assert_in_range(first_seq(&e[side]) + 100, 0, 300);
            simend_plan(&e[0], &e[1], 1, i % 40, (i + 20) % 40);
            simnet_transfer(n, both, 2, HOUR_US);
            close_both(n, &e[0], &e[1]);
        }
    }
}

/* ---- much ---- */

/* 5 GB in large segments, so that a count of 32 bits and the sequence numbers wrap by sheer use. */
static void more_than_4_gib(void **state)
{
    (void)state;
    const uint64_t bytes = (5ull << 30) + 12345;
    struct simend a, b;
    struct simnet_conf c = simnet_defaults();
    for (int side = 0; side < 2; side++)
        assert_int_equal(weir_config_size(&c.stack[side], 32u << 20), 0);
    c.async = 1;
    c.offloads = WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM | WEIR_OFF_RX_MERGE4;
    c.bits_per_s = 0;
    struct simnet *n = simnet_open(&c);
    simnet_join(n, 0, NULL, &a, &b);
    uint8_t *p = weir_zalloc(a.w, 65536);
    memset(p, 1, 65536);
    uint64_t sent = 0, got = 0;
    while (got < bytes) {
        ptrdiff_t r;
        while (sent < bytes &&
               (r = weir_write(a.w, a.id, p, bytes - sent < 65536 ? (size_t)(bytes - sent) : 65536)) > 0)
            sent += (uint64_t)r;
        assert_true(simnet_step(n, HOUR_US));
        struct weir_iov iov[16];
        int k;
        while ((k = weir_read(b.w, b.id, iov, 16)) > 0)
            for (int i = 0; i < k; i++) {
                got += iov[i].len;
                assert_int_equal(weir_zfree(b.w, iov[i].base), 0);
            }
    }
    assert_true(got == bytes);
    simnet_run(n, SECOND_US);
    assert_true(simend_info(&a).tx_bytes_ref == bytes && simend_info(&b).rx_bytes == bytes);
    assert_int_equal(simend_info(&a).retransmits, 0);
    assert_int_equal(weir_zfree(a.w, p), 0);
    simend_close(&a);
    simend_close(&b);
    simnet_run(n, 10 * MINUTE_US);
    simnet_empty(n);
    simnet_close(n, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keepalive_holds_a_living_peer),
        cmocka_unit_test(one_probe_is_enough),
        cmocka_unit_test(a_reset_after_a_long_silence),
        cmocka_unit_test(keepalive_finds_a_dead_peer),
        cmocka_unit_test(weeks_of_silence),
        cmocka_unit_test(hours_with_a_shut_window),
        cmocka_unit_test(milliseconds_wrap),
        cmocka_unit_test(milliseconds_turn_negative),
        cmocka_unit_test(microseconds_wrap),
        cmocka_unit_test(sequence_numbers_wrap),
        cmocka_unit_test(the_wrap_at_every_byte),
        cmocka_unit_test(more_than_4_gib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
