/* sim.c: virtual time and seeded randomness. */
#include "weir/plat.h"

/* SplitMix64 (Steele, Lea, Flood 2014): one word of state, any seed will do. */
uint64_t weir_sim_random(struct weir_sim *s)
{
    uint64_t z = s->rng += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t sim_now_us(void *ctx)
{
    const struct weir_sim *s = ctx;
    return s->now_us;
}

static int sim_entropy(void *ctx, void *out, size_t n)
{
    struct weir_sim *s = ctx;
    uint8_t *p = out;
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++, bits >>= 8) {
        if (i % 8 == 0) bits = weir_sim_random(s);
        p[i] = (uint8_t)bits;
    }
    return 0;
}

static int sim_watch(void *ctx, int handle, int on)
{
    (void)ctx;
    (void)handle;
    (void)on;
    return 0;
}

static void sim_wait(void *ctx, int64_t timeout_us)
{
    struct weir_sim *s = ctx;
    if (__atomic_exchange_n(&s->woken, 0, __ATOMIC_ACQUIRE) != 0) return;
    if (timeout_us > 0) s->now_us += (uint64_t)timeout_us;
}

static void sim_wake(void *ctx)
{
    struct weir_sim *s = ctx;
    __atomic_fetch_add(&s->wakes, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&s->woken, 1, __ATOMIC_RELEASE);
}

static void sim_log(void *ctx, const char *line)
{
    (void)ctx;
    (void)line;
}

void weir_sim_init(struct weir_sim *s, uint64_t seed)
{
    *s = (struct weir_sim){
        .plat = {.ctx = s,
                 .now_us = sim_now_us,
                 .entropy = sim_entropy,
                 .watch = sim_watch,
                 .wait = sim_wait,
                 .wake = sim_wake,
                 .log = sim_log},
        .rng = seed,
    };
}
