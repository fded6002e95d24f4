/* bench_cells.c: the pool of fixed cells. It has no public interface, so it is counted where it works: inside
 * a server that sends, call by call, by the names of its two functions. Beside it, in the same section and
 * by the same rule: malloc and free of 64 bytes, one at a time, and lwIP's cells. */
#include <stdlib.h>

#include "bench.h"
#include "bench_serve.h"

#define BYTES      (4u << 20)
#define WARM       (1u << 16)
#define PAIRS      1000u
#define CELL_BYTES 64u

static volatile size_t cell_bytes = CELL_BYTES; /* so that the pair of calls is not optimised away */

static void malloc_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        void *volatile p = malloc(cell_bytes);
        free(p);
    }
}

static void lwip_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        bench_lwip_cell();
}

/* The bytes are sent: the peers are counted in the same section. */
static void finish(const struct serve_case *k, double units)
{
    static const struct bench_call call[] = {
        {"pool-get", "weir", "weir_cells_get"},     {"pool-put", "weir", "weir_cells_put"},
        {"pool-get", "glibc-malloc", "malloc"},     {"pool-put", "glibc-malloc", "free"},
        {"pool-get", "lwip-malloc", "memp_malloc"}, {"pool-put", "lwip-malloc", "memp_free"},
    };
    (void)k, (void)units;
    bench_begin();
    malloc_pairs(PAIRS);
    lwip_pairs(PAIRS);
    bench_end_calls(call, bench_has_lwip() ? 6 : 4);
}

void bench_cells_counted(const struct bench_options *o)
{
    struct serve_case k = {{.does = PEER_TAKE, .conns = 1, .warm_units = WARM, .count_units = BYTES},
                           SERVE_SOURCE,
                           "pool",
                           "weir",
                           "",
                           0};
    if (!o->wanted[BENCH_POOL]) return;
    malloc_pairs(2); /* binds the names before anything is counted */
    lwip_pairs(2);
    serve_run_weir(&k, finish);
}
