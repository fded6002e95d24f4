/* worst_toy.h: a scheme with a known worst case, to see that the search finds it and that the gate can fail.
 *
 * 60 cells of 1,024 bytes on a list. A get is slow (`worst_toy_spins` turns of a loop) iff 777 to 799 bytes are
 * asked for, five blocks live, and the cell put last has an odd number: three things that chance alone seldom
 * brings together. A put is always the same. */
#ifndef WEIR_WORST_TOY_H
#define WEIR_WORST_TOY_H

#include "bench_mem_schemes.h"

extern const struct mem_scheme worst_toy;
extern unsigned worst_toy_spins; /* 100; a test makes it dearer */

/* The toy, or one of Weir's schemes by its name; NULL: there is none. */
const struct mem_scheme *worst_scheme(const char *name);

#endif
