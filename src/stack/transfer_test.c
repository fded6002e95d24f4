/* transfer_test.c: whole transfers between two instances: every kind of device and layout, both directions at
 * once, half-close, and every piece of memory back at the end. What becomes of memory while it lasts is
 * held_test.c's, and of events told_test.c's. */
#include "simnet.h"

#include <stdio.h>
#include <stdlib.h>

#define KIB     1024u
#define MINUTES (60 * (uint64_t)SECOND_US)

static const uint16_t offloads[] = {0, WEIR_OFF_TX_CSUM | WEIR_OFF_RX_CSUM,
                                    WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM |
                                        WEIR_OFF_RX_MERGE4};

/* Both closed: TIME-WAIT passes and nothing is left. */
static void let_end(struct simnet *n)
{
    uint32_t msl_ms = n->conf.stack[0].msl_ms;
    simnet_run(n, 2000ull * msl_ms + SECOND_US);
    simnet_empty(n);
}

/* k connections, bytes each way, ends that write and read in different ways. */
static void transfer(struct simnet *n, unsigned k, uint64_t bytes)
{
    struct simend end[2 * 8];
    struct simend *all[2 * 8];
    assert_in_range(k, 1, 8);
    for (unsigned i = 0; i < k; i++) {
        struct simend *a = &end[2 * i], *b = &end[2 * i + 1];
        simnet_join(n, i % 2 != 0, NULL, a, b);
        simend_plan(a, b, i + 1, bytes + i, bytes / 2 + 7 * i);
        a->how = (enum simnet_write)(i % 3);
        b->how = (enum simnet_write)((i + 1) % 3);
        b->by_recv = i % 2 != 0;
        a->chunk = 1 + 5000 * (i % 4);
        if (i == 0) a->chunk = 16000;
        all[2 * i] = a;
        all[2 * i + 1] = b;
    }
    simnet_transfer(n, all, 2 * k, 10 * MINUTES);
    simnet_run(n, MINUTES); /* the last acknowledgements */
    for (unsigned i = 0; i < 2 * k; i++) {
        struct weir_conn_info info = simend_info(&end[i]);
        assert_int_equal(info.queued_bytes, 0);
        assert_int_equal(info.lent_bytes, 0);
        assert_true(info.rx_bytes == end[i].in.total);
        assert_true(info.tx_bytes_ref + info.tx_bytes_copied == end[i].out.total);
        simend_close(&end[i]);
    }
}

static void one_kind(enum weir_zlayout layout, uint8_t async, uint16_t offload)
{
    struct simnet_conf c = simnet_defaults();
    simnet_config(&c.stack[0], layout);
    simnet_config(&c.stack[1], layout);
    c.async = async;
    c.offloads = offload;
    c.check = true;
    struct simnet *n = simnet_open(&c);
    transfer(n, 4, 96 * KIB);
    let_end(n);
    simnet_close(n, NULL);
}

static void every_kind_of_device_and_layout(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++)
        for (uint8_t async = 0; async < 2; async++)
            for (unsigned o = 0; o < 3; o++)
                one_kind((enum weir_zlayout)layout, async, offloads[o]);
}

static void different_layouts_understand_each_other(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    simnet_config(&c.stack[1], WEIR_ZLAYOUT_INSIDE);
    c.offloads = offloads[2];
    struct simnet *n = simnet_open(&c);
    transfer(n, 8, 200 * KIB);
    let_end(n);
    simnet_close(n, NULL);
}

static void a_few_dozen_zbufs_suffice(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct simnet_conf c = simnet_defaults();
        simnet_tiny(&c.stack[0], (enum weir_zlayout)(kind % 2));
        simnet_tiny(&c.stack[1], (enum weir_zlayout)(kind % 2));
        c.async = (uint8_t)(kind / 2);
        c.check = true;
        struct simnet *n = simnet_open(&c);
        struct simend e[4], *all[4] = {&e[0], &e[1], &e[2], &e[3]};
        for (unsigned i = 0; i < 4; i += 2) {
            simnet_join(n, i != 0, NULL, &e[i], &e[i + 1]);
            simend_plan(&e[i], &e[i + 1], i, 50 * KIB, 50 * KIB);
            e[i].how = e[i + 1].how = WRITE_MIXED;
            e[i].chunk = 900;
            e[i + 1].chunk = 1900;
        }
        simnet_transfer(n, all, 4, 30 * MINUTES);
        for (unsigned i = 0; i < 4; i++)
            simend_close(&e[i]);
        let_end(n);
        simnet_close(n, NULL);
    }
}

static void a_slow_cable_with_a_short_queue(void **state)
{
    (void)state;
    for (uint8_t async = 0; async < 2; async++) {
        struct simnet_conf c = simnet_defaults();
        c.bits_per_s = 2000000;
        c.delay_us = 40000;
        c.queue = 3;
        c.async = async;
        c.check = true;
        struct simnet *n = simnet_open(&c);
        transfer(n, 3, 100 * KIB);
        let_end(n);
        simnet_close(n, NULL);
    }
}

static void a_cable_that_loses_and_reorders(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    c.check = true;
    c.fault = (struct weir_fault_conf){
        .loss_ppm = 20000, .reorder_ppm = 20000, .dup_ppm = 10000, .corrupt_ppm = 1000, .seed = 5};
    struct simnet *n = simnet_open(&c);
    transfer(n, 4, 300 * KIB);
    struct weir_stats s = simnet_stats(n, 0);
    assert_true(s.retransmits > 0);
    assert_true(s.fast_recoveries > 0);
    simnet_run(n, 5 * MINUTES);
    simnet_empty(n);
    simnet_close(n, NULL);
}

/* One direction ends while the other goes on. */
static void half_close(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    struct simnet *n = simnet_open(&c);
    struct simend a, b, *both[2] = {&a, &b};
    simnet_join(n, 0, NULL, &a, &b);
    simend_plan(&a, &b, 3, 0, 100 * KIB);
    while (!a.shut || !b.eof) {
        assert_true(simnet_step(n, SECOND_US));
        simend_pump(&a);
        if (b.ready & WEIR_EV_READ) {
            struct weir_iov iov;
            b.eof = weir_read(b.w, b.id, &iov, 1) == 0;
        }
    }
    assert_int_equal(simend_info(&b).state, WEIR_TCP_CLOSE_WAIT);
    simnet_run(n, SECOND_US);
    assert_int_equal(simend_info(&a).state, WEIR_TCP_FIN_WAIT_2);
    simnet_transfer(n, both, 2, MINUTES);
    simnet_run(n, SECOND_US / 10);
    assert_true(a.seen & WEIR_EV_CLOSED);
    assert_true(b.seen & WEIR_EV_CLOSED);
    assert_int_equal(simend_info(&a).state, WEIR_TCP_TIME_WAIT);
    assert_int_equal(simend_info(&b).state, WEIR_TCP_CLOSED);
    simend_close(&a);
    assert_int_equal(simnet_stats(n, 0).timewait_live, 1);
    assert_int_equal(simnet_stats(n, 0).conns_live, 0);
    simend_close(&b);
    let_end(n);
    simnet_close(n, NULL);
}

/* Closed at once after the last write: all that was queued arrives, also from zbufs that were freed. */
static void close_sends_what_is_queued(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    c.bits_per_s = 10000000;
    struct simnet *n = simnet_open(&c);
    struct simend a, b;
    simnet_join(n, 0, NULL, &a, &b);
    simend_plan(&a, &b, 9, 40000, 0);
    uint8_t *p = weir_zalloc(a.w, 16384);
    simflow_fill(&a.out, 0, p, 16384);
    assert_int_equal(weir_write(a.w, a.id, p, 16384), 16384);
    assert_int_equal(weir_zfree(a.w, p), 0);
    simflow_fill(&a.out, 16384, n->scratch, 40000 - 16384);
    assert_int_equal(weir_write(a.w, a.id, n->scratch, 40000 - 16384), 40000 - 16384);
    simend_close(&a);
    while (!b.eof) {
        assert_true(simnet_step(n, 10 * MINUTES));
        simend_pump(&b);
    }
    assert_int_equal(b.in.done, 40000);
    simend_close(&b);
    let_end(n);
    simnet_close(n, NULL);
}

/* The table of TIME-WAIT is a bound: when it is full the oldest goes, and everything still works. */
static void timewait_full(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    c.stack[0].timewait = 3;
    c.stack[1].timewait = 0;
    struct simnet *n = simnet_open(&c);
    for (uint32_t i = 0; i < 8; i++) {
        struct simend a, b, *both[2] = {&a, &b};
        simnet_join(n, 0, NULL, &a, &b);
        simend_plan(&a, &b, i, 500, 500);
        simnet_transfer(n, both, 2, MINUTES);
        simend_close(i % 2 ? &a : &b);
        simend_close(i % 2 ? &b : &a);
        simnet_run(n, 1000);
        assert_true(simnet_stats(n, 0).timewait_live <= 3);
        assert_int_equal(simnet_stats(n, 1).timewait_live, 0);
    }
    let_end(n);
    simnet_close(n, NULL);
}

/* Both ends open at once to each other's listener, crossing on the cable; and thousands of short connections
 * through few cells. */
static void many_short_connections(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    c.stack[0].msl_ms = c.stack[1].msl_ms = 50;
    struct simnet *n = simnet_open(&c);
    for (uint32_t i = 0; i < 600; i++) {
        struct simend a, b, x, y, *all[4] = {&a, &b, &x, &y};
        simnet_join(n, 0, NULL, &a, &b);
        simnet_join(n, 1, NULL, &x, &y);
        simend_plan(&a, &b, i, i % 700, 3 * i % 900);
        simend_plan(&x, &y, i + 1, i % 800, 5 * i % 300);
        simnet_transfer(n, all, 4, MINUTES);
        for (unsigned k = 0; k < 4; k++)
            simend_close(all[(k + i) % 4]);
    }
    assert_true(n->w[0]->tcp.fresh_conn <= n->conf.stack[0].conns);
    let_end(n);
    assert_true(simnet_stats(n, 0).conns_opened == 1200);
    simnet_close(n, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_device_and_layout),
        cmocka_unit_test(different_layouts_understand_each_other),
        cmocka_unit_test(a_few_dozen_zbufs_suffice),
        cmocka_unit_test(a_slow_cable_with_a_short_queue),
        cmocka_unit_test(a_cable_that_loses_and_reorders),
        cmocka_unit_test(half_close),
        cmocka_unit_test(close_sends_what_is_queued),
        cmocka_unit_test(timewait_full),
        cmocka_unit_test(many_short_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
