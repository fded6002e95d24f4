/* attach_test.c: what a device that is attached posts, and what is left then: floors and rungs go by it, a device
 * that leaves too little is refused, and one that is refused leaves no trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "stack/stack.h"
#include "tcp/segdev.h"

#define HANDLE 7

/* A segdev that wants so many posted. */
static struct {
    struct weir_netdev_ops ops;
    struct segdev dev;
    unsigned posts;
    int handle;
} greedy;

static uint32_t greedy_want(struct weir_netdev *dev)
{
    (void)dev;
    return greedy.dev.n_post < greedy.posts ? greedy.dev.want_bytes : 0;
}

static int greedy_handle(struct weir_netdev *dev)
{
    (void)dev;
    return greedy.handle;
}

static int no_watch(void *ctx, int handle, int on)
{
    (void)ctx;
    return on && handle == HANDLE ? WEIR_EIO : 0;
}

static void sink(void *ctx, const uint8_t *frame, uint32_t n)
{
    (void)ctx, (void)frame, (void)n;
}

static struct weir_sim sim;
static struct weir_plat plat;
static void *memory;
static struct weir *w;

static void make(unsigned posts, int handle)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 2};
    segdev_init(&greedy.dev, mac, 1500, sink, NULL);
    greedy.ops = *greedy.dev.dev.ops;
    greedy.ops.rx_want = greedy_want;
    greedy.ops.wait_handle = greedy_handle;
    greedy.dev.dev.ops = &greedy.ops;
    greedy.posts = posts;
    greedy.handle = handle;
}

/* So many segments to receive into; strict: the least that keeps such windows. */
static void begin(uint32_t segments, enum weir_window window)
{
    struct weir_config wish, c;
    struct weir_plan plan;
    weir_sim_init(&sim, 1);
    plat = sim.plat;
    plat.watch = no_watch;
    assert_int_equal(weir_config_size(&wish, 2u << 20), 0);
    wish.plat = &plat;
    wish.conns = 4;
    wish.timewait = 4;
    wish.rcvbuf_bytes = wish.sndbuf_bytes = 4096;
    wish.window = window;
    wish.zclasses = 2;
    assert_int_equal(weir_plan_least(&wish, &c, &plan), 0);
    if (segments) c.zclass[1].count = segments;
    assert_int_equal(weir_plan(&c, &plan), 0);
    memory = aligned_alloc(plan.align_bytes, weir_align_up(plan.total_bytes, plan.align_bytes));
    struct weir_area area = {.base = memory, .bytes = plan.total_bytes};
    assert_int_equal(weir_start(&w, &c, &area, 1), 0);
}

static int attach(void)
{
    static const struct weir_ifaddr addr = {.family = WEIR_IP4, .prefix = 24, .ip = {10, 9, 0, 2}};
    return weir_attach(w, &greedy.dev.dev, &addr);
}

static unsigned rung(void)
{
    struct weir_stats s;
    (void)weir_poll(w, NULL, 0, 0);
    weir_stats(w, &s);
    return s.rung;
}

static void finish(void)
{
    assert_int_equal(weir_stack_check(w), 0);
    assert_int_equal(weir_stop(w), 0);
    assert_int_equal(w->z.live, 0);
    free(memory);
}

/* Fails, and leaves nothing: then one that posts little is attached as if nothing had been. */
static void refused(int why)
{
    static struct weir_zpool_class cls;
    struct weir_press before = w->tcp.mem.press;
    cls = w->z.cls[1];
    assert_int_equal(attach(), why);
    assert_memory_equal(&w->tcp.mem.press, &before, sizeof before);
    assert_memory_equal(w->z.cls[1].floor, cls.floor, sizeof cls.floor);
    assert_int_equal(w->z.posted, 0);
    make(1, -1);
    assert_int_equal(attach(), 0);
    assert_int_equal(rung(), WEIR_RUNG_NONE);
    for (unsigned i = 0; i < w->z.classes; i++)
        assert_int_equal(w->tcp.mem.press.posted[i], i == 1);
    finish();
}

static void one_that_can_not_be_watched(void **state)
{
    (void)state;
    begin(20, WEIR_WINDOW_SHARED);
    make(8, HANDLE);
    refused(WEIR_EIO);
}

static void one_that_finds_too_little(void **state)
{
    (void)state;
    begin(20, WEIR_WINDOW_SHARED);
    make(24, -1);
    refused(WEIR_ENOMEM);
}

static void one_that_breaks_the_promise(void **state)
{
    (void)state;
    begin(0, WEIR_WINDOW_STRICT);
    make(16, -1);
    refused(WEIR_ENOMEM);
}

/* Whatever it posts of a small pool: either no rung is trodden, an application can have a zbuf and a copy its own, or
 * it is refused, and that only when it leaves less than four. */
static void what_is_left_is_enough_or_refused(void **state)
{
    (void)state;
    for (unsigned segments = 8; segments <= 32; segments += 3)
        for (unsigned posts = 1; posts <= segments; posts++) {
            begin(segments, WEIR_WINDOW_SHARED);
            make(posts, -1);
            if (segments - posts < 4) {
                refused(WEIR_ENOMEM);
                continue;
            }
            assert_int_equal(attach(), 0);
            assert_int_equal(rung(), WEIR_RUNG_NONE);
            assert_true(weir_zpool_can(&w->z, 1, WEIR_TAKE_OOO, 1));
            void *mine = weir_zalloc(w, 1900);
            assert_non_null(mine);
            assert_true(weir_zpool_can(&w->z, 1, WEIR_TAKE_COPY, 1));
            assert_int_equal(weir_zfree(w, mine), 0);
            assert_int_equal(rung(), WEIR_RUNG_NONE);
            finish();
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_can_not_be_watched),
        cmocka_unit_test(one_that_finds_too_little),
        cmocka_unit_test(one_that_breaks_the_promise),
        cmocka_unit_test(what_is_left_is_enough_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
