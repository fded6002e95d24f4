/* bench_cells.c: the pool of fixed cells. It has no public interface, so it is counted where it works: inside
 * a server that echoes, call by call, by the names of its two functions. */
#include <stdlib.h>

#include "bench.h"
