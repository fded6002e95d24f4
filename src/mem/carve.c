/* carve.c: counting and placing by one code.
 *
 * Two sums are kept in the plan, in both runs: total_bytes as if one area held every row in the order of the
 * calls, and kind_bytes as if each kind had an area of its own. Placing keeps offsets besides, one an area
 * that is placed in:
 *
 *     used[kind]              the area given for that kind, unless it is the first of all
 *     used[WEIR_AREA_KINDS]   the first area, which also takes every kind for which none is given
 *
 * One area:            used[WEIR_AREA_KINDS] = total_bytes at the end.
 * An area a kind:      each offset = kind_bytes of its kind.
 * Something between:   the first area takes a part of the rows in the same order. Leaving a row out never
 * moves a later one up, so it needs at most total_bytes.
 *
 * A size is refused above PTRDIFF_MAX, so that sums of two never wrap and pointers into an area can be
 * subtracted. */
#include "mem/carve.h"

#include <string.h>

#include "base/bits.h"
#include "base/text.h"

#define SIZE_LIMIT ((uint64_t)PTRDIFF_MAX)

void weir_carve_init(struct weir_carve *c, struct weir_plan *plan, const struct weir_area *area, unsigned n)
{
    memset(c, 0, sizeof *c);
    memset(plan, 0, sizeof *plan);
    plan->align_bytes = 1;
    c->plan = plan;
    c->area = n > 0 ? area : NULL;
    c->n_areas = n;
}

/* Where a sum goes on after bytes at this alignment; false iff that is above the limit. */
static bool extend(uint64_t sum, uint64_t bytes, uint32_t align, uint64_t *out)
{
    uint64_t at = weir_align_up(sum, align);
    if (at > SIZE_LIMIT || bytes > SIZE_LIMIT - at) return false;
    *out = at + bytes;
    return true;
}

static void *too_large(struct weir_carve *c, const char *name, uint32_t each)
{
    struct weir_plan *plan = c->plan;
    struct weir_text t;
    c->failed = true;
    if (plan->option) return NULL;
    plan->option = name;
    weir_text_init(&t, plan->why, sizeof plan->why);
    weir_text_str(&t, name);
    weir_text_str(&t, " takes more bytes than this machine can address; a count of ");
    weir_text_u64(&t, (SIZE_LIMIT - plan->total_bytes) / (2 * (uint64_t)each));
    weir_text_str(&t, " would do.");
    return NULL;
}

/* The area for a kind, and in *slot which offset counts for it. */
static const struct weir_area *area_for(const struct weir_carve *c, enum weir_area_kind kind, unsigned *slot)
{
    *slot = WEIR_AREA_KINDS;
    for (unsigned i = 0; i < c->n_areas; i++) {
        if (c->area[i].kind != kind) continue;
        if (i > 0) *slot = kind;
        return &c->area[i];
    }
    return &c->area[0];
}

static void *place(struct weir_carve *c, uint64_t bytes, uint32_t align, enum weir_area_kind kind)
{
    unsigned slot;
    const struct weir_area *a = area_for(c, kind, &slot);
    uint64_t end;
    if (!extend(c->used[slot], bytes, align, &end) || end > a->bytes) {
        c->failed = true;
        return NULL;
    }
    uint8_t *p = (uint8_t *)a->base + (size_t)(end - bytes);
    if (((uintptr_t)p & (align - 1)) != 0) {
        c->failed = true;
        return NULL;
    }
    c->used[slot] = (size_t)end;
    return p;
}

void *weir_carve(struct weir_carve *c, const char *name, const char *what, uint64_t count,
                 uint32_t each_bytes, uint32_t align_bytes, enum weir_area_kind kind)
{
    struct weir_plan *plan = c->plan;
    if (c->failed || plan->rows == WEIR_PLAN_ROWS_MAX) {
        c->failed = true;
        return NULL;
    }
    if (each_bytes > 0 && count > SIZE_LIMIT / each_bytes) return too_large(c, name, each_bytes);
    uint64_t bytes = count * each_bytes, total, of_kind;
    if (!extend(plan->total_bytes, bytes, align_bytes, &total) ||
        !extend(plan->kind_bytes[kind], bytes, align_bytes, &of_kind))
        return too_large(c, name, each_bytes > 0 ? each_bytes : 1);

    plan->row[plan->rows++] = (struct weir_plan_row){.name = name,
                                                     .what = what,
                                                     .count = count,
                                                     .bytes = total - plan->total_bytes,
                                                     .each_bytes = each_bytes,
                                                     .align_bytes = align_bytes,
                                                     .kind = kind};
    plan->total_bytes = total;
    plan->kind_bytes[kind] = of_kind;
    plan->align_bytes = weir_max_u32(plan->align_bytes, align_bytes);
    return c->area ? place(c, bytes, align_bytes, kind) : NULL;
}
