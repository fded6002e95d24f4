/* drift.c: whether a scheme's footprint grows over time under a load that keeps shifting.
 *
 *     drift SCHEME OPERATIONS     `leaky`: a scheme that loses a block now and then, which must be found out
 *
 * The load goes through eight phases of sizes and numbers of live blocks, ten to a hundred times; at each change what is
 * too many is released in random order, and the rest stays between the new blocks. WEIR_LONG set in the
 * environment makes it ten times as many operations.
 *
 * Each tenth of the run is the same load, from the same seed: what differs between two of them is only what the
 * earlier ones left behind. The footprint of a tenth is the highest end of any block in it, from the start of the
 * area: for a scheme that cuts one area, what of the area was needed. The first tenth is warm-up. The last may not need more
 * than the second, but for one block of the load's largest size: how well a state is packed is told by its last block's end
 * no better than that. (Another load each tenth, as it was at first, makes their footprints differ by 1 %.)
 *
 * Exit status: 0 no drift, 1 drift, 2 wrong usage. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_mem_schemes.h"
#include "weir/plat.h"

#define AREA_BYTES  (64u << 20)
#define LIVE_MAX    4000u
#define CYCLES_MAX  100u
#define CYCLE_LEAST 100000u /* operations: shorter ones would not reach the numbers of the phases */
#define TENTHS      10u
#define BLOCK_MOST  8192u /* the load's largest */
#define LEAKS       1000u /* of the canary, in the whole run */
#define LONG_FACTOR 10u
#define SEED        1u

static const struct phase {
    uint32_t least, most, live;
} phases[] = {{16, 512, 4000}, {16, BLOCK_MOST, 2000},  {64, 64, 3000},    {1024, BLOCK_MOST, 1000},
              {16, 128, 4000}, {4096, BLOCK_MOST, 500}, {256, 2048, 2000}, {16, BLOCK_MOST, 1000}};
#define PHASES (sizeof phases / sizeof phases[0])

static struct run {
    const struct mem_scheme *s;
    struct weir_sim random;
    char *base;
    unsigned cycles;
    uint64_t a_phase; /* operations */
    uint32_t n;
    void *block[LIVE_MAX];
    uint32_t size[LIVE_MAX];
    size_t extent; /* of this cycle */
    uint64_t puts, leak_one_in;
    bool leaky;
    size_t cycle[CYCLES_MAX];
} run;

/* ---- one operation ---- */

static uint32_t random32(void)
{
    return (uint32_t)(weir_sim_random(&run.random) >> 32);
}

/* One in [0, n), without a division. */
static uint32_t below(uint32_t n)
{
    return (uint32_t)(((uint64_t)random32() * n) >> 32);
}

/* Each power of two between the bounds equally often. */
static uint32_t any_size(const struct phase *p)
{
    uint32_t octaves = 0;
    while ((p->least << (octaves + 1)) <= p->most)
        octaves++;
    if (octaves == 0) return p->least;
    uint32_t low = p->least << below(octaves);
    uint32_t size = low + below(low);
    return size < p->most ? size : p->most;
}

static bool get(const struct phase *p)
{
    const struct mem_scheme *s = run.s;
    uint32_t size = s->cells ? (uint32_t)s->most : any_size(p);
    if (size > s->most) size = (uint32_t)s->most;
    char *block = s->get(size);
    if (block == NULL) return false;
    size_t end = (size_t)(block - run.base) + size;
    if (end > run.extent) run.extent = end;
    memcpy(block, &size, sizeof size);
    run.block[run.n] = block;
    run.size[run.n++] = size;
    return true;
}

/* A random one; false: it was written over, though it was in use. */
static bool put(void)
{
    uint32_t at = below(run.n), told;
    memcpy(&told, run.block[at], sizeof told);
    if (told != run.size[at]) return false;
    bool lost = run.leaky && ++run.puts % run.leak_one_in == 0;
    if (!lost) run.s->put(run.block[at], run.size[at]);
    run.n--;
    run.block[at] = run.block[run.n];
    run.size[at] = run.size[run.n];
    return true;
}

static bool do_phase(const struct phase *p)
{
    for (uint64_t i = 0; i < run.a_phase; i++) {
        bool more = run.n < p->live && (i % 2 == 0 || run.n + 1 < p->live);
        if (!(more ? get(p) : put())) return false;
    }
    return true;
}

/* ---- the run ---- */

static bool do_cycles(void)
{
    for (unsigned c = 0; c < run.cycles; c++) {
        run.extent = 0;
        if (c % (run.cycles / TENTHS) == 0) weir_sim_init(&run.random, SEED); /* the same load again */
        for (unsigned p = 0; p < PHASES; p++) {
            if (do_phase(&phases[p])) continue;
            printf("failed: %s: nothing was got in cycle %u, phase %u, or a block was written over\n",
                   run.s->name, c, p);
            return false;
        }
        run.cycle[c] = run.extent;
    }
    return true;
}

static size_t tenth(unsigned n)
{
    unsigned cycles = run.cycles / TENTHS;
    size_t most = 0;
    for (unsigned c = n * cycles; c < (n + 1) * cycles; c++)
        if (run.cycle[c] > most) most = run.cycle[c];
    return most;
}

static bool judge(void)
{
    size_t of[TENTHS];
    printf("%s: bytes by tenth:", run.s->name);
    for (unsigned i = 0; i < TENTHS; i++)
        printf(" %zu", of[i] = tenth(i));
    bool drifts = of[TENTHS - 1] > of[1] + BLOCK_MOST;
    printf("\n%s: %s%s: %+.2f %%\n", drifts == run.leaky ? "ok" : "failed", run.s->name,
           run.leaky ? ", canary: it leaks, so it must drift" : "",
           100.0 * ((double)of[TENTHS - 1] / (double)of[1] - 1));
    return drifts == run.leaky;
}

/* At least one cycle a tenth, at most ten. */
static void set_length(uint64_t operations)
{
    uint64_t a_tenth = operations / TENTHS / CYCLE_LEAST;
    run.cycles = TENTHS * (unsigned)(a_tenth < 1                     ? 1
                                     : a_tenth > CYCLES_MAX / TENTHS ? CYCLES_MAX / TENTHS
                                                                     : a_tenth);
    run.a_phase = operations / (run.cycles * PHASES);
    run.leak_one_in = operations / 2 / LEAKS + 1;
}

int main(int argc, char **argv)
{
    static _Alignas(4096) char area[AREA_BYTES];
    if (argc != 3 && argc != 4) {
        fputs("usage: drift SCHEME OPERATIONS [leaky]\n", stderr);
        return 2;
    }
    uint64_t operations = strtoull(argv[2], NULL, 10) * (getenv("WEIR_LONG") != NULL ? LONG_FACTOR : 1);
    run.s = mem_scheme_find(argv[1]);
    run.base = area;
    run.leaky = argc == 4;
    set_length(operations);
    weir_sim_init(&run.random, SEED);
    if (run.s == NULL || !run.s->open(run.s, area, sizeof area, run.s->most)) {
        printf("failed: %s: no such scheme, or it can't be opened\n", argv[1]);
        return 1;
    }
    printf("%s: %llu operations, seed %u\n", run.s->name, (unsigned long long)operations, SEED);
    return do_cycles() && judge() ? 0 : 1;
}
