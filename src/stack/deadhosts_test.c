/* deadhosts_test.c: more hosts that never answer ARP than the table of neighbours has places for. Whoever
 * connects to one is told so in time, however often the instance is polled, and requests stay few. */
#include "weir/weir.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tcp/segdev.h"

#define HOSTS      20u
#define NEIGHBOURS 8u
#define SECONDS    30u
#define AREA_BYTES (4u << 20)

static struct weir_sim sim;
static struct segdev dev;
static unsigned frames;

static void count(void *ctx, const uint8_t *frame, uint32_t n)
{
    (void)ctx, (void)frame, (void)n;
    frames++;
}

static struct weir *open_instance(void *memory)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 2};
    static const struct weir_ifaddr addr = {.family = WEIR_IP4, .prefix = 24, .ip = {10, 9, 0, 2}};
    struct weir_config c;
    struct weir *w;
    weir_sim_init(&sim, 1);
    frames = 0;
    assert_int_equal(weir_config_size(&c, AREA_BYTES), 0);
    c.plat = &sim.plat;
    c.neighbours = NEIGHBOURS;
    c.syn_retries = 2;
    struct weir_area area = {.base = memory, .bytes = AREA_BYTES};
    assert_int_equal(weir_start(&w, &c, &area, 1), 0);
    segdev_init(&dev, mac, 1500, count, NULL);
    assert_int_equal(weir_attach(w, &dev.dev, &addr), 0);
    return w;
}

static unsigned failed(struct weir *w)
{
    struct weir_event ev[HOSTS];
    unsigned sum = 0;
    int n = weir_poll(w, ev, HOSTS, 0);
    for (int i = 0; i < n; i++)
        sum += (ev[i].mask & WEIR_EV_ERROR) != 0;
    return sum;
}

/* From deadline to deadline, as an idle instance is polled, or each millisecond. */
static void all_are_told(bool often)
{
    void *memory = aligned_alloc(4096, AREA_BYTES);
    struct weir *w = open_instance(memory);
    unsigned told = 0;
    for (unsigned i = 0; i < HOSTS; i++) {
        struct weir_addr to = {.family = WEIR_IP4, .port = 80, .ip = {10, 9, 0, (uint8_t)(10 + i)}};
        weir_id id;
        assert_int_equal(weir_connect(w, &to, NULL, &id), 0);
    }
    while (sim.now_us < SECONDS * 1000000u && told < HOSTS) {
        int64_t next;
        told += failed(w);
        (void)weir_next(w, &next);
        bool jump = !often && next > (int64_t)sim.now_us;
        sim.now_us = jump ? (uint64_t)next : sim.now_us + 1000;
    }
    assert_int_equal(told, HOSTS);
    assert_true(frames <= SECONDS * 10 * (NEIGHBOURS / 2 + 1)); /* each place is kept for 100 ms */
    assert_int_equal(weir_stop(w), 0);
    free(memory);
}

static void idle(void **state)
{
    (void)state;
    all_are_told(false);
}

static void busy(void **state)
{
    (void)state;
    all_are_told(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(idle), cmocka_unit_test(busy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
