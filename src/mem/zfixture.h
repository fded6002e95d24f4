/* zfixture.h: for tests: a zbuf pool over memory of its own, planned and placed as the stack does it. */
#ifndef WEIR_ZFIXTURE_H
#define WEIR_ZFIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/zpool.h"

struct zfixture {
    struct weir_zpool z;
    struct weir_stats stats;
    struct weir_plan plan;
    struct weir_area area; /* exactly the plan's bytes */
};

/* One class of an x-byte stride in either layout. */
static inline uint32_t zfixture_bytes(enum weir_zlayout layout, uint32_t stride)
{
    return layout == WEIR_ZLAYOUT_INSIDE ? stride - WEIR_ZINSIDE_BYTES : stride;
}

/* Classes of stride 256 << 2i, with these counts; a count of 0 ends the list. */
static inline struct weir_config zfixture_config(enum weir_zlayout layout, const uint32_t counts[])
{
    struct weir_config conf;
    memset(&conf, 0, sizeof conf);
    conf.zlayout = layout;
    for (unsigned i = 0; i < 4 && counts[i] > 0; i++) {
        conf.zclass[i].bytes = zfixture_bytes(layout, 256u << (2 * i));
        conf.zclass[i].count = counts[i];
        conf.zclasses++;
    }
    return conf;
}

static inline void zfixture_die(const char *what)
{
    fprintf(stderr, "fixture: %s\n", what);
    abort();
}

static inline void zfixture_open(struct zfixture *f, const struct weir_config *conf)
{
    struct weir_carve carve;
    memset(f, 0, sizeof *f);
    weir_carve_init(&carve, &f->plan, NULL, 0);
    if (!weir_zpool_carve(&f->z, &carve, conf)) zfixture_die(f->plan.why);
    size_t align = f->plan.align_bytes, bytes = (size_t)f->plan.total_bytes;
    f->area.bytes = bytes;
    f->area.base = aligned_alloc(align, (bytes + align - 1) / align * align);
    if (!f->area.base) zfixture_die("no memory");
    memset(f->area.base, 0xa5, bytes);
    weir_carve_init(&carve, &f->plan, &f->area, 1);
    if (!weir_zpool_carve(&f->z, &carve, conf)) zfixture_die("placing failed");
    f->z.stats = &f->stats;
}

static inline void zfixture_close(struct zfixture *f)
{
    free(f->area.base);
}

/* A seed to print: WEIR_SEED or a fixed one. */
static inline uint64_t zfixture_seed(void)
{
    const char *text = getenv("WEIR_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 20240607;
    printf("WEIR_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* splitmix64, public domain by its author's word: the next number of a sequence. */
static inline uint32_t zfixture_random(uint64_t *state, uint32_t below)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((x >> 32) % below);
}

#endif
