/* plan.h: memory that is handed over, and the plan that says how much of it a configuration takes.
 *
 * It is not an allocator. One carver runs twice, first without a base to count and then with a base to place,
 * so that what weir_plan prints and what weir_start takes cannot differ. */
#ifndef WEIR_PLAN_H
#define WEIR_PLAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What memory is good for. A plan has bytes of each kind; a kind for which no area is given goes to the first
 * area. */
enum weir_area_kind {
    WEIR_AREA_ANY = 0, /* in a plan's row: no wish */
    WEIR_AREA_FAST,    /* control structures: tightly coupled memory on a microcontroller */
    WEIR_AREA_DMA,     /* bytes that devices read and write */
    WEIR_AREA_SLOW,    /* rarely touched tables */
    WEIR_AREA_KINDS
};

/* One stretch of memory, owned by the caller, who keeps it until the instance is stopped. */
struct weir_area {
    void *base;
    size_t bytes;
    enum weir_area_kind kind;
};

#define WEIR_PLAN_ROWS_MAX  32
#define WEIR_PLAN_WHY_BYTES 240

/* One row of the plan: what the bytes are for. bytes = count * each + the gap that aligns the row's start. */
struct weir_plan_row {
    const char *name; /* static, one word, stable: scripts rely on it */
    const char *what; /* static, a few words */
    uint64_t count;
    uint64_t bytes;
    uint32_t each_bytes;
    uint32_t align_bytes;
    enum weir_area_kind kind;
};

struct weir_plan {
    uint64_t total_bytes;                 /* of one area that serves every kind */
    uint64_t kind_bytes[WEIR_AREA_KINDS]; /* the same, where areas are given by kind */
    uint32_t align_bytes;                 /* of each area's base */
    uint32_t rows;
    struct weir_plan_row row[WEIR_PLAN_ROWS_MAX];
    const char *option;            /* the option that is refused, or NULL */
    uint64_t would;                /* with it: a value that would do, which for a minimum is the least */
    char why[WEIR_PLAN_WHY_BYTES]; /* one sentence that names the option and a value that would do, or "" */
};

#ifdef __cplusplus
}
#endif
#endif
