/* test_seed.h: for tests only. A printed seed, the same in every run unless WEIR_SEED sets another, and what property
 * tests draw from it. */
#ifndef WEIR_TEST_SEED_H
#define WEIR_TEST_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

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
static inline uint32_t test_below(struct weir_sim *sim, uint32_t n) { return (uint32_t)(weir_sim_random(sim) % n); }

static inline uint32_t test_u32(struct weir_sim *sim) { return (uint32_t)(weir_sim_random(sim) >> 32); }

#endif
