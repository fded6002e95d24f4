/* queues_fixture.h: a pool with descriptors and records for the tests of the queues, and their seeded random
 * numbers. Only for tests: takes memory from the C library. */
#ifndef WEIR_QUEUES_FIXTURE_H
#define WEIR_QUEUES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "pkt/pbuf.h"
#include "tcp/txrec.h"
#include "weir/err.h"

/* xorshift64*: small, seeded, the same everywhere. */
struct rng {
    uint64_t s;
};

static inline uint32_t rnd(struct rng *r)
{
    r->s ^= r->s >> 12;
    r->s ^= r->s << 25;
    r->s ^= r->s >> 27;
    return (uint32_t)((r->s * 0x2545F4914F6CDD1Du) >> 32);
}

/* 0 .. n - 1 */
static inline uint32_t below(struct rng *r, uint32_t n)
{
    return (uint32_t)(((uint64_t)rnd(r) * n) >> 32);
}

static inline bool chance(struct rng *r, uint32_t percent)
{
    return below(r, 100) < percent;
}

/* WEIR_SEED, or the one given; printed. */
static inline uint64_t seed_for(const char *test, uint64_t otherwise)
{
    const char *text = getenv("WEIR_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : otherwise;
    printf("%s: WEIR_SEED=%llu\n", test, (unsigned long long)seed);
    return seed != 0 ? seed : 1;
}

static inline uint32_t steps_for(uint32_t otherwise)
{
    const char *text = getenv("WEIR_STEPS");
    return text != NULL ? (uint32_t)strtoul(text, NULL, 0) : otherwise;
}

struct queues {
    struct weir_zpool z;
    struct weir_plan plan;
    struct weir_stats stats;
    struct weir_pktmem m;
    void *area, *pbufs, *txrecs;
};

struct pool_shape {
    enum weir_zlayout layout;
    struct weir_zclass cls[WEIR_ZCLASSES_MAX];
    uint32_t classes;
    uint32_t pbufs, txrecs;
};

static inline void *cells_open(struct weir_cells *c, uint32_t count, uint32_t cell_bytes)
{
    void *base = calloc(count > 0 ? count : 1, cell_bytes);
    assert_non_null(base);
    weir_cells_init(c, base, count, cell_bytes);
    return base;
}

static inline void queues_open(struct queues *q, const struct pool_shape *shape)
{
    struct weir_config conf = {.zlayout = shape->layout, .zclasses = shape->classes};
    struct weir_carve carve;
    memset(q, 0, sizeof *q);
    memcpy(conf.zclass, shape->cls, sizeof conf.zclass);
    weir_carve_init(&carve, &q->plan, NULL, 0);
    if (!weir_zpool_carve(&q->z, &carve, &conf)) fail_msg("%s", q->plan.why);
    size_t bytes = (size_t)weir_align_up(q->plan.total_bytes, q->plan.align_bytes);
    q->area = aligned_alloc(q->plan.align_bytes, bytes);
    assert_non_null(q->area);
    struct weir_area area = {.base = q->area, .bytes = bytes};
    weir_carve_init(&carve, &q->plan, &area, 1);
    assert_true(weir_zpool_carve(&q->z, &carve, &conf));
    q->z.stats = &q->stats;
    q->m.z = &q->z;
    q->m.stats = &q->stats;
    q->pbufs = cells_open(&q->m.pbufs, shape->pbufs, sizeof(struct weir_pbuf));
    q->txrecs = cells_open(&q->m.txrecs, shape->txrecs, sizeof(struct weir_txrec));
}

/* Everything must have come back. */
static inline void queues_close(struct queues *q)
{
    assert_int_equal(weir_zpool_check(&q->z), 0);
    assert_int_equal(q->z.live, 0);
    assert_int_equal(q->m.pbufs.used, 0);
    assert_int_equal(q->m.txrecs.used, 0);
    assert_int_equal(q->stats.zbuf_allocs, q->stats.zbuf_frees);
    free(q->area);
    free(q->pbufs);
    free(q->txrecs);
}

/* What the source calls the count of a zbuf. */
static inline unsigned count_of(const struct weir_zpool *z, const uint8_t *addr)
{
    const struct weir_zhead *h = weir_zpool_head(z, addr);
    return (unsigned)h->app + h->stk;
}

#endif
