/* worst_toy.c: the scheme with a known worst case. */
#include "worst_toy.h"

#include <string.h>

#define CELLS      60u
#define CELL_BYTES 1024u
#define SLOW_LIVE  5u
#define SLOW_LEAST 777u
#define SLOW_MOST  799u

unsigned worst_toy_spins = 100;

static struct {
    char *base;
    unsigned free[CELLS], n;
    unsigned last; /* the cell that was put last */
    volatile unsigned spun;
} toy;

static bool toy_open(const struct mem_scheme *s, void *base, size_t bytes, size_t cell)
{
    (void)s, (void)cell;
    if (bytes < (size_t)CELLS * CELL_BYTES) return false;
    toy.base = base;
    toy.last = 0;
    toy.n = CELLS;
    for (unsigned i = 0; i < CELLS; i++)
        toy.free[i] = i;
    return true;
}

static void *toy_get(size_t size)
{
    if (toy.n == 0) return NULL;
    if (size >= SLOW_LEAST && size <= SLOW_MOST && CELLS - toy.n == SLOW_LIVE && toy.last % 2 == 1)
        for (unsigned i = 0; i < worst_toy_spins; i++)
            toy.spun++;
    return toy.base + (size_t)toy.free[--toy.n] * CELL_BYTES;
}

static void toy_put(void *block, size_t size)
{
    (void)size;
    toy.last = (unsigned)((size_t)((char *)block - toy.base) / CELL_BYTES);
    toy.free[toy.n++] = toy.last;
}

const struct mem_scheme worst_toy = {.name = "toy",
                                     .what = "a scheme with a known worst case",
                                     .least = 1,
                                     .most = CELL_BYTES,
                                     .open = toy_open,
                                     .get = toy_get,
                                     .put = toy_put};

const struct mem_scheme *worst_scheme(const char *name)
{
    return strcmp(name, worst_toy.name) == 0 ? &worst_toy : mem_scheme_find(name);
}
