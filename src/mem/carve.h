/* carve.h: the plan's carver. The same calls, made once without a base and once with one, first count the
 * bytes of a configuration and then place them; so plan and start cannot disagree.
 *
 * Invariant: for equal call sequences, the sum of the rows' bytes equals total_bytes, whatever the base. */
#ifndef WEIR_CARVE_H
#define WEIR_CARVE_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/plan.h"

struct weir_carve {
    struct weir_plan *plan;       /* filled in by both runs */
    const struct weir_area *area; /* NULL: only count */
    unsigned n_areas;
    size_t used[WEIR_AREA_KINDS + 1]; /* of the areas that are placed in, see carve.c */
    bool failed;                      /* an area was too small, or a size overflowed */
};

/* area NULL and n 0 to count. Clears *plan. */
void weir_carve_init(struct weir_carve *, struct weir_plan *plan, const struct weir_area *area, unsigned n);

/* count cells of each bytes, aligned to align (a power of two), as a new row of the plan. Returns the place,
 * NULL while counting or after a failure. The memory is not cleared. */
void *weir_carve(struct weir_carve *, const char *name, const char *what, uint64_t count, uint32_t each_bytes,
                 uint32_t align_bytes, enum weir_area_kind kind);

#endif
