/* bench_zbuf.c: buffers through the public interface, beside malloc and lwIP's packet buffers.
 *
 * An operation is a loop of calls, each on a buffer of its own. All are allocated, then looked at, then freed
 * in the order of allocation. So malloc's thread cache, which serves seven of a size, plays little part; its
 * heap is kept, or the time would be that of the kernel's fresh pages.
 *
 * From instructions, what the loop takes without a call is subtracted. Not from times: a processor that
 * works on several turns at once overlaps loop and call, and the difference comes out impossibly small
 * (tried: 30 instructions a nanosecond). So a time is that of a turn, and the empty turn's is told too. The
 * calls do not wait for each other: it is throughput, not latency. */
#include <malloc.h>
#include <stdlib.h>

#include "bench.h"
#include "bench_serve.h"

#define CALLS     1000u
#define BYTES     2048u
#define ROUNDS    21u
#define INSIDE    777u /* an address somewhere inside */
#define CLASS     1u   /* of BYTES in the default configuration */
#define HELD_MAX  65536u
#define HEAP_KEPT (64 << 20)
#define PER_SEC   1e9

static struct serve serve;
static void *slot[CALLS];
static volatile size_t sizes; /* so that what is only looked up is not optimised away */

static void turn_empty(unsigned i)
{
    slot[i] = &slot[i];
}

static void weir_get(unsigned i)
{
    slot[i] = weir_zalloc(serve.w, BYTES);
}

static void weir_look(unsigned i)
{
    sizes = weir_zsize(serve.w, (uint8_t *)slot[i] + INSIDE);
}

static void weir_ref(unsigned i)
{
    (void)weir_zref(serve.w, slot[i]);
}

static void weir_put(unsigned i)
{
    (void)weir_zfree(serve.w, slot[i]);
}

static void glibc_get(unsigned i)
{
    slot[i] = malloc(BYTES);
}

static void glibc_put(unsigned i)
{
    free(slot[i]);
}

static void lwip_get(unsigned i)
{
    slot[i] = bench_lwip_pbuf(BYTES);
}

static void lwip_put(unsigned i)
{
    bench_lwip_pbuf_free(slot[i]);
}

/* In this order: what one leaves in the slots the next one takes. */
static const struct step {
    const char *name, *variant;
    void (*turn)(unsigned i);
    bool lwip;
} steps[] = {
    {"", "", turn_empty, false},
    {"zbuf-alloc", "weir", weir_get, false},
    {"zbuf-head", "weir", weir_look, false},
    {"zbuf-ref", "weir", weir_ref, false},
    {"zbuf-unref", "weir", weir_put, false},
    {"zbuf-free", "weir", weir_put, false},
    {"zbuf-alloc", "glibc-malloc", glibc_get, false},
    {"zbuf-free", "glibc-malloc", glibc_put, false},
    {"zbuf-alloc", "lwip-pbuf", lwip_get, true},
    {"zbuf-free", "lwip-pbuf", lwip_put, true},
};
#define STEPS (sizeof steps / sizeof steps[0])

static bool can(const struct step *s)
{
    return !s->lwip || bench_has_lwip();
}

static void run(void (*turn)(unsigned i))
{
    for (unsigned i = 0; i < CALLS; i++)
        turn(i);
}

static void count(const struct step *s)
{
    bench_begin();
    run(s->turn);
    bench_end_loop(s->name, s->variant, CALLS);
}

static uint32_t class_free(void)
{
    struct weir_stats stats;
    weir_stats(serve.w, &stats);
    return stats.zclass[CLASS].free;
}

/* Takes what the class will give, so that the next allocations come from a larger one. */
static void count_fallthrough(void)
{
    static void *held[HELD_MAX];
    static const struct step step = {"zbuf-fallthrough", "weir", weir_get, false};
    unsigned n = 0;
    for (uint32_t before = 1, after = 0; n < HELD_MAX && after != before; n++) {
        before = class_free();
        held[n] = weir_zalloc(serve.w, BYTES);
        after = class_free();
    }
    count(&step);
    run(weir_put);
    while (n > 0)
        (void)weir_zfree(serve.w, held[--n]);
}

static void open_instance(void)
{
    static struct weir_sim sim;
    weir_sim_init(&sim, 1);
    serve_start(&serve, &sim.plat);
}

static void warm_up(void)
{
    for (const struct step *s = steps; s < steps + STEPS; s++)
        if (can(s)) run(s->turn);
}

void bench_zbuf_counted(const struct bench_options *o)
{
    if (!o->wanted[BENCH_ZBUF]) return;
    open_instance();
    warm_up();
    for (const struct step *s = steps; s < steps + STEPS; s++)
        if (can(s)) count(s);
    count_fallthrough();
    serve_close(&serve);
}

void bench_zbuf_timed(const struct bench_options *o)
{
    double took[STEPS][ROUNDS];
    if (!o->wanted[BENCH_ZBUF]) return;
    bench_progress("zbuf, times");
    open_instance();
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
    (void)mallopt(M_TOP_PAD, HEAP_KEPT);
    warm_up();
    for (unsigned r = 0; r < ROUNDS; r++) {
        for (unsigned i = 0; i < STEPS; i++) {
            double begin = bench_seconds();
            if (can(&steps[i])) run(steps[i].turn);
            took[i][r] = bench_seconds() - begin;
        }
    }
    for (unsigned i = 0; i < STEPS; i++) {
        double ns = bench_median(took[i], ROUNDS) / CALLS * PER_SEC;
        if (steps[i].name[0] == '\0')
            bench_emit("zbuf-empty-turn", "loop", "time", ns, "ns/turn");
        else if (can(&steps[i]))
            bench_emit(steps[i].name, steps[i].variant, "time", ns, "ns/turn");
    }
    serve_close(&serve);
}
