/* unequal_test.c: fifteen connections that do not move beside one that does, in the configuration that
 * weir_config_size makes of 4 MiB, whose queues together may be larger than all zbufs are. Peers that read nothing
 * fill send queues, an application that reads nothing fills receive queues; the one that moves must keep half of
 * the goodput that it has alone, each way, and all the time: nobody is reset for it, and whatever the fifteen were
 * first with they can't come to have it all. */
#include "simnet.h"

#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "tcp/fair.h"

#define STALLED 15u
#define SETTLE  (SECOND_US / 10)
#define LONGER                                                                                               \
    (SECOND_US / 2) /* where both kinds share what is left, and it takes a while until it is settled */
#define MEASURE (SECOND_US / 20)
#define ENDLESS (1ull << 40)
#define LEAST   50u /* per cent */

enum who { PEERS_READ_NOTHING = 1, WE_READ_NOTHING = 2, BOTH = 3 };

struct way {
    const char *name;
    enum simnet_write how;
    uint32_t chunk;
};

static const struct way ways[] = {
    {"copied", WRITE_COPY, 8000},
    {"by reference, 16,000 at a time", WRITE_REF, 16000},
    {"by reference, 1,900 at a time", WRITE_REF, 1900},
    {"both", WRITE_MIXED, 1900},
};
#define WAYS (sizeof ways / sizeof ways[0])

static struct simnet *net;
static struct simend far[STALLED + 1], near[STALLED + 1]; /* near: side 1, which has 4 MiB */

static void open_net(void)
{
    struct simnet_conf c = simnet_defaults();
    assert_int_equal(weir_config_size(&c.stack[1], 4u << 20), 0);
    assert_int_equal(weir_config_size(&c.stack[0], 64u << 20), 0);
    c.stack[0].rcvbuf_bytes = c.stack[1].rcvbuf_bytes;
    c.stack[0].sndbuf_bytes = c.stack[1].sndbuf_bytes;
    net = simnet_open(&c);
    memset(far, 0, sizeof far);
    memset(near, 0, sizeof near);
}

static void join(unsigned i, const struct way *way)
{
    simnet_join(net, 0, NULL, &far[i], &near[i]);
    simend_plan(&far[i], &near[i], i + 1, ENDLESS, ENDLESS);
    far[i].how = near[i].how = way->how;
    far[i].chunk = near[i].chunk = way->chunk;
}

static void pump_writes(struct simend *e)
{
    unsigned read = e->ready & WEIR_EV_READ;
    e->ready &= ~(unsigned)WEIR_EV_READ;
    simend_pump(e);
    e->ready |= read;
}

/* The first is the one that moves, in the direction that is measured; the others write and read nothing. */
static void pump(unsigned stalled, unsigned who)
{
    for (unsigned i = 1; i <= stalled; i++) {
        if (who & PEERS_READ_NOTHING) pump_writes(&near[i]);
        if (who & WE_READ_NOTHING) pump_writes(&far[i]);
        assert_int_equal(near[i].error, 0);
        assert_int_equal(far[i].error, 0);
    }
}

static void run(unsigned stalled, unsigned who, bool to_us, uint64_t us)
{
    struct simend *from = to_us ? &far[0] : &near[0], *to = to_us ? &near[0] : &far[0];
    uint64_t until = net->sim.now_us + us;
    do {
        pump(stalled, who);
        pump_writes(from);
        unsigned write = to->ready & WEIR_EV_WRITE;
        to->ready &= ~(unsigned)WEIR_EV_WRITE;
        simend_pump(to);
        to->ready |= write;
        assert_int_equal(from->error, 0);
    } while (simnet_step(net, until));
}

static void end_all(unsigned links)
{
    for (unsigned i = 0; i < links; i++) {
        (void)weir_close(near[i].w, near[i].id, WEIR_CLOSE_ABORT);
        (void)weir_close(far[i].w, far[i].id, WEIR_CLOSE_ABORT);
        simend_leave(&near[i]);
        simend_leave(&far[i]);
    }
    simnet_run(net, SECOND_US);
    simnet_empty(net);
    simnet_close(net, NULL);
}

/* Bytes that the one that moves brings over in MEASURE, beside so many that do not. late: it begins when they stand
 * still already. */
static uint64_t goodput(const struct way *way, unsigned stalled, unsigned who, bool to_us, bool late)
{
    open_net();
    if (!late) join(0, way);
    for (unsigned i = 1; i <= stalled; i++)
        join(i, way);
    if (late) {
        uint64_t until = net->sim.now_us + SETTLE;
        do
            pump(stalled, who);
        while (simnet_step(net, until));
        join(0, way);
    }
    run(stalled, who, to_us, who == BOTH ? LONGER : SETTLE);
    struct simend *to = to_us ? &near[0] : &far[0];
    uint64_t before = to->in.done;
    run(stalled, who, to_us, MEASURE);
    uint64_t moved = to->in.done - before;
    assert_int_equal(weir_stack_check(net->w[1]), 0);
    assert_int_equal(simnet_stats(net, 1).ladder_resets, 0);
    end_all(stalled + 1);
    return moved;
}

static uint64_t alone[WAYS][2];

static void beside(unsigned who)
{
    for (unsigned k = 0; k < 4 * WAYS; k++) {
        const struct way *way = &ways[k / 4];
        bool to_us = k % 2, late = k / 2 % 2;
        uint64_t now = goodput(way, STALLED, who, to_us, late), of = alone[k / 4][to_us];
        printf("%s, %s us, %s: %llu of %llu bytes, %llu %%\n", way->name, to_us ? "to" : "from",
               late ? "when they stand" : "from the start", (unsigned long long)now, (unsigned long long)of,
               (unsigned long long)(now * 100 / of));
        if (now * 100 < of * LEAST) fail_msg("less than %u %%", LEAST);
    }
}

static int measure_alone(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2 * WAYS; k++)
        alone[k / 2][k % 2] = goodput(&ways[k / 2], 0, 0, k % 2, false);
    return 0;
}

static void peers_that_read_nothing(void **state)
{
    (void)state;
    beside(PEERS_READ_NOTHING);
}

static void we_read_nothing(void **state)
{
    (void)state;
    beside(WE_READ_NOTHING);
}

static void neither_reads(void **state)
{
    (void)state;
    beside(BOTH);
}

/* ---- the rule by itself ---- */

static uint32_t left_to_copy(void)
{
    const struct weir_zpool_class *c = &net->w[1]->z.cls[net->w[1]->z.classes - 1];
    return c->free - c->floor[WEIR_TAKE_COPY];
}

/* One after the other they take what they can get, the first ones most: still each leaves its share. */
static void in_whatever_order_a_share_is_left(void **state)
{
    (void)state;
    open_net();
    join(0, &ways[0]);
    uint32_t seg = net->w[1]->z.cls[2].bytes, all = left_to_copy() * seg;
    for (unsigned i = 0; i < STALLED; i++) {
        if (i > 0) join(i, &ways[0]);
        assert_int_equal(weir_set(near[i].w, near[i].id, WEIR_OPT_SNDBUF, 256 * 1024), 0);
        for (unsigned round = 0; round < 200; round++) { /* until the peer's window is shut, too */
            static const uint8_t bytes[8000];
            while (weir_write(near[i].w, near[i].id, bytes, sizeof bytes) > 0) {
            }
            simnet_run(net, SETTLE / 50);
        }
        assert_in_range(simend_info(&near[i]).snd_wnd, 0, 4095);
        uint64_t left = (uint64_t)left_to_copy() * seg;
        assert_true(left >= all / (i + 2));
    }
    static const uint8_t bytes[WEIR_FAIR_LEAST];
    join(STALLED, &ways[0]);
    assert_int_equal(weir_write(near[STALLED].w, near[STALLED].id, bytes, sizeof bytes), sizeof bytes);
    end_all(STALLED + 1);
}

/* A corked queue gets no acknowledgement that would ask again: nothing of it is refused before it fills a segment. */
static void a_cork_is_not_waited_for(void **state)
{
    static const uint8_t word[100];
    (void)state;
    open_net();
    for (unsigned i = 0; i <= STALLED; i++)
        join(i, &ways[1]);
    uint64_t until = net->sim.now_us + SETTLE;
    do
        pump(STALLED, PEERS_READ_NOTHING);
    while (simnet_step(net, until));
    assert_int_equal(weir_set(near[0].w, near[0].id, WEIR_OPT_CORK, 1), 0);
    for (unsigned k = 0; k < 14; k++) {
        uint8_t *z = weir_zalloc(net->w[1], 16000);
        if (z == NULL) break;
        memcpy(z, word, sizeof word);
        assert_int_equal(weir_write(near[0].w, near[0].id, z, sizeof word), sizeof word);
        assert_int_equal(weir_zfree(net->w[1], z), 0);
    }
    assert_true(simend_info(&near[0]).queued_bytes >= 8 * sizeof word);
    assert_int_equal(weir_set(near[0].w, near[0].id, WEIR_OPT_CORK, 0), 0);
    simnet_run(net, SECOND_US);
    assert_int_equal(simend_info(&near[0]).queued_bytes, 0);
    end_all(STALLED + 1);
}

/* An application that has taken all zbufs that it may from the beginning can fill its peer's window with them. */
static void who_holds_them_already_may_write_them(void **state)
{
    (void)state;
    uint8_t *z[128] = {NULL};
    unsigned n = 0, wrote = 0;
    open_net();
    join(0, &ways[1]);
    while (n < 128 && (z[n] = weir_zalloc(net->w[1], 16000)) != NULL)
        n++;
    assert_true(n > 64 && n < 128);
    for (unsigned k = 0; k < 4; k++)
        wrote += weir_write(near[0].w, near[0].id, z[k], 16000) == 16000;
    assert_int_equal(wrote, 4);
    simnet_run(net, SECOND_US);
    for (unsigned k = 0; k < n; k++)
        assert_int_equal(weir_zfree(net->w[1], z[k]), 0);
    end_all(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_whatever_order_a_share_is_left),
        cmocka_unit_test(a_cork_is_not_waited_for),
        cmocka_unit_test(who_holds_them_already_may_write_them),
        cmocka_unit_test(peers_that_read_nothing),
        cmocka_unit_test(we_read_nothing),
        cmocka_unit_test(neither_reads),
    };
    return cmocka_run_group_tests(tests, measure_alone, NULL);
}
