/* bench_mem.h: what the parts of the section `mem` share. The section's theory is in bench_mem.c. */
#ifndef BENCH_MEM_H
#define BENCH_MEM_H

#include "bench.h"
#include "bench_mem_schemes.h"

#define MEM_LIVE_MAX   2000u
#define MEM_AREA_BYTES ((size_t)64 << 20)
#define MEM_CELL       64u

/* ---- loads (bench_mem_load.c) ---- */

/* One call between resume and pause; not inlined, so that what is counted around it is the same everywhere. */
void *mem_counted_get(const struct mem_scheme *, size_t size);
void mem_counted_put(const struct mem_scheme *, void *block, size_t size);

/* Blocks that are replaced one by one in random order; each power of two between the bounds as often as any. */
struct mem_load {
    const char *name;
    uint32_t least, most;
};
enum mem_load_name { MEM_MIXED, MEM_FIXED, MEM_SMALL, MEM_LOADS };
extern const struct mem_load mem_loads[MEM_LOADS];

struct mem_turn {
    uint32_t slot, size;
};

/* The blocks in use and the turns to come; the same seed gives the same turns. */
struct mem_run {
    const struct mem_scheme *s;
    const struct mem_load *load;
    uint64_t random;
    void *block[MEM_LIVE_MAX];
    uint32_t size[MEM_LIVE_MAX];
    uint64_t live_bytes, peak_bytes;
};

bool mem_serves(const struct mem_scheme *, const struct mem_load *);
void mem_run_begin(struct mem_run *, const struct mem_scheme *, const struct mem_load *);
struct mem_turn mem_run_next(struct mem_run *);
void mem_run_took(struct mem_run *, struct mem_turn, void *block);
void mem_run_end(struct mem_run *); /* puts all blocks back */
uint32_t mem_random(uint64_t *state, uint32_t below);

/* The memory that schemes with an area get, 4,096-aligned. */
void *mem_area(void);
/* Opens it in `bytes` bytes of the area for a load; a scheme of the process's only forgets its hollow. */
bool mem_open(const struct mem_scheme *, size_t bytes, size_t cell);
/* The area for a load of so many blocks of at most so many bytes: four times what could live. */
static inline size_t mem_ample(size_t blocks, size_t most)
{
    return 4 * blocks * most < MEM_AREA_BYTES ? 4 * blocks * most : MEM_AREA_BYTES;
}
/* What to call for what lies around get and put; holds until mem_open. */
const struct mem_scheme *mem_hollow(const struct mem_scheme *);

/* ---- peers (bench_mem_peers.c) ---- */

/* The process's malloc and free, whoever's they are. */
extern const struct mem_scheme mem_process;
/* One loaded from a shared object with mem_beside_open(base, bytes), _get(size), _put(block), or NULL. */
const struct mem_scheme *mem_beside(const char *path);

/* ---- the parts: each writes its figures with mem_figure ---- */

void mem_figure(const char *name, const char *metric, double value, const char *unit);
void mem_loads_counted(const struct mem_scheme *, const char *variant, bool quick); /* under callgrind */
void mem_trees_counted(const struct mem_scheme *, const char *variant, bool quick);
void mem_trees_timed(const struct mem_scheme *, bool quick);
void mem_worst(const struct mem_scheme *, bool quick);
void mem_footprint(const struct mem_scheme *, bool quick);
void mem_bytes(const struct mem_scheme *);
void mem_threads(const struct mem_scheme *, bool quick);

#endif
