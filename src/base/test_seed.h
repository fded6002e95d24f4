/* test_seed.h: for tests only. A printed seed, the same in every run unless WEIR_SEED sets another, what
 * property tests draw from it, and inputs in blocks of exactly their size. */
#ifndef WEIR_TEST_SEED_H
#define WEIR_TEST_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/plat.h"

static inline struct weir_sim test_seed(const char *what)
{
    const char *text = getenv("WEIR_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 1;
    struct weir_sim sim;
    weir_sim_init(&sim, seed);
    printf("%s: WEIR_SEED=%llu\n", what, (unsigned long long)seed);
    return sim;
}

/* A number below n > 0. */
static inline uint32_t test_below(struct weir_sim *sim, uint32_t n)
{
    return (uint32_t)(weir_sim_random(sim) % n);
}

static inline uint32_t test_u32(struct weir_sim *sim)
{
    return (uint32_t)(weir_sim_random(sim) >> 32);
}

static inline void test_fill(struct weir_sim *sim, void *out, size_t n)
{
    (void)sim->plat.entropy(sim, out, n);
}

/* A copy of p[0..n) that ends where its block ends, at an odd address, so that ASan sees a read behind it and
 * UBSan one that wants alignment. *block is to be freed. */
static inline uint8_t *test_copy(const void *p, size_t n, uint8_t **block)
{
    *block = (uint8_t *)malloc(n + 1);
    if (*block == NULL) abort();
    if (n > 0) memcpy(*block + 1, p, n);
    return *block + 1;
}

#endif
