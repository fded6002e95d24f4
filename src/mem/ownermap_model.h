/* ownermap_model.h: for tests: weir_mem against a naive list of ranges. Plain C, so that the same source runs
 * as a 32-bit program where no 32-bit cmocka is. What goes wrong ends the program with a line that says so. */
#ifndef WEIR_OWNERMAP_MODEL_H
#define WEIR_OWNERMAP_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test_seed.h"
#include "mem/ownermap.h"

#define MODEL_RANGES 400
#define MODEL_BYTES  (4u << 20)

#define model_must(what)                                                                                     \
    do {                                                                                                     \
        if (!(what)) {                                                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                                       \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct model_range {
    uintptr_t base;
    size_t bytes;
    uint32_t stride, skip;
};

struct model {
    struct weir_mem mem;
    uint8_t *block; /* MODEL_BYTES, in which the areas lie with foreign memory between them */
    struct weir_area area[WEIR_MEM_AREAS_MAX];
    unsigned areas;
    struct model_range range[MODEL_RANGES];
    unsigned ranges;
    uint64_t asked;
    uint64_t in_hand; /* bytes, by what the hooks told */
};

static inline int model_taken(void *ctx, void *base, size_t bytes)
{
    (void)base;
    ((struct model *)ctx)->in_hand += bytes;
    return 0;
}
static inline void model_given(void *ctx, void *base, size_t bytes)
{
    (void)base;
    ((struct model *)ctx)->in_hand -= bytes;
}

static const struct weir_keeper model_keeper = {.name = "model"};

/* Areas at random places, apart or end to end, given in random order; none overlaps another. */
static inline void model_areas(struct model *x, struct weir_sim *sim, size_t align)
{
    unsigned wanted = 1 + test_below(sim, WEIR_MEM_AREAS_MAX);
    size_t each = MODEL_BYTES / wanted;
    for (unsigned i = 0; i < wanted; i++) {
        size_t off = test_below(sim, 2) ? 0 : test_below(sim, (uint32_t)(each / 4));
        uintptr_t base = ((uintptr_t)x->block + i * each + off + align - 1) & ~(uintptr_t)(align - 1);
        size_t left = (uintptr_t)x->block + (i + 1) * each - base;
        x->area[i].base = (void *)base;
        x->area[i].bytes = test_below(sim, 2) ? left : left - test_below(sim, (uint32_t)(left / 2));
        x->area[i].kind = (enum weir_area_kind)test_below(sim, WEIR_AREA_KINDS);
    }
    x->areas = wanted;
    for (unsigned i = 0; i < wanted; i++) {
        unsigned j = test_below(sim, wanted);
        struct weir_area swap = x->area[i];
        x->area[i] = x->area[j];
        x->area[j] = swap;
    }
}

static inline const struct model_range *model_find(const struct model *x, uintptr_t addr)
{
    for (unsigned i = 0; i < x->ranges; i++)
        if (addr >= x->range[i].base && addr - x->range[i].base < x->range[i].bytes) return &x->range[i];
    return NULL;
}

static inline bool model_in_area(const struct model *x, uintptr_t addr)
{
    for (unsigned i = 0; i < x->areas; i++)
        if (addr >= (uintptr_t)x->area[i].base && addr - (uintptr_t)x->area[i].base < x->area[i].bytes)
            return true;
    return false;
}

static inline void model_check_cell(const struct model_range *r, uintptr_t addr, const struct weir_holder *h)
{
    const void *cell = NULL;
    if (r->stride > 0 && addr >= r->base + r->skip) {
        uintptr_t at = (addr - r->base - r->skip) / r->stride * r->stride + r->skip;
        if (at + r->stride <= r->bytes) cell = (const void *)(r->base + at);
    }
    model_must(h->cell == cell);
    model_must(!cell || h->cell_bytes == r->stride);
}

static inline void model_ask(struct model *x, uintptr_t addr)
{
    struct weir_holder h;
    int err = weir_mem_owner(&x->mem, (const void *)addr, &h);
    const struct model_range *r = model_find(x, addr);
    x->asked++;
    if (r) {
        model_must(err == 0 && (uintptr_t)h.base == r->base && h.bytes == r->bytes);
        model_must(h.obj == (void *)r->base && h.keeper == &model_keeper);
        model_check_cell(r, addr, &h);
    } else if (!model_in_area(x, addr)) {
        model_must(err == WEIR_EFOREIGN);
    } else {
        model_must(err == WEIR_EFREE || err == WEIR_EINTERIOR);
        size_t whole = 0;
        for (unsigned i = 0; i < x->mem.areas; i++) {
            const struct weir_mem_area *a = &x->mem.area[i];
            if (addr >= a->origin && addr - a->origin < a->managed) whole++;
        }
        model_must((err == WEIR_EFREE) == (whole == 1));
    }
}

/* The edges of a range, or of an area, and places anywhere in the block and around it. */
static inline void model_ask_around(struct model *x, struct weir_sim *sim, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uintptr_t addr = (uintptr_t)x->block + test_below(sim, MODEL_BYTES + 8192) - 4096;
        if (x->ranges > 0 && test_below(sim, 2)) {
            const struct model_range *r = &x->range[test_below(sim, x->ranges)];
            addr = r->base + (test_below(sim, 2) ? r->bytes : test_below(sim, (uint32_t)r->bytes)) +
                   test_below(sim, 3) - 1;
        } else if (test_below(sim, 8) == 0) {
            const struct weir_area *a = &x->area[test_below(sim, x->areas)];
            addr = (uintptr_t)a->base + (test_below(sim, 2) ? a->bytes : 0) + test_below(sim, 3) - 1;
        } else if (test_below(sim, 64) == 0) {
            addr = (uintptr_t)weir_sim_random(sim);
        }
        model_ask(x, addr);
    }
}

static inline void model_take(struct model *x, struct weir_sim *sim)
{
    size_t bytes = 1 + test_below(sim, test_below(sim, 8) ? 8192 : 262144);
    size_t align = (size_t)1 << test_below(sim, 17);
    /* obj is the range's own base, which is not known before: keep sets it. */
    void *p = weir_mem_take(&x->mem, bytes, align, NULL, NULL, "range");
    if (!p) {
        model_must(weir_mem_why(&x->mem) != WEIR_WHY_NONE);
        return;
    }
    struct weir_holder h;
    struct model_range r = {.base = (uintptr_t)p};
    model_must(((uintptr_t)p & (align - 1)) == 0);
    model_must(weir_mem_owner(&x->mem, p, &h) == 0 && h.base == p && h.bytes >= bytes);
    r.bytes = h.bytes;
    if (test_below(sim, 2)) {
        r.skip = test_below(sim, (uint32_t)(r.bytes / 4));
        r.stride = 4 + test_below(sim, (uint32_t)(r.bytes - r.skip) / (1 + test_below(sim, 100)) + 1);
        if (r.stride > r.bytes - r.skip) r.stride = 4;
    }
    model_must(weir_mem_keep(&x->mem, p, &model_keeper, p, r.stride, r.skip) == 0);
    for (unsigned i = 0; i < x->ranges; i++)
        model_must(r.base + r.bytes <= x->range[i].base || x->range[i].base + x->range[i].bytes <= r.base);
    x->range[x->ranges++] = r;
}

static inline void model_give(struct model *x, struct weir_sim *sim)
{
    unsigned i = test_below(sim, x->ranges);
    model_must(weir_mem_give(&x->mem, (void *)x->range[i].base) == 0);
    x->range[i] = x->range[--x->ranges];
}

static inline void model_stretch(struct model *x, struct weir_sim *sim)
{
    struct model_range *r = &x->range[test_below(sim, x->ranges)];
    size_t granule = (size_t)1 << x->mem.shift;
    size_t bytes = (1 + test_below(sim, (uint32_t)(r->bytes * 2)) + granule - 1) & ~(granule - 1);
    int err = weir_mem_stretch(&x->mem, (void *)r->base, bytes);
    model_must(err == 0 || (err == WEIR_ENOMEM && bytes > r->bytes));
    if (err < 0) {
        bool taken = false; /* what it asked for is somebody's, or beyond the area */
        for (uintptr_t at = r->base + r->bytes; at < r->base + bytes; at += granule) {
            struct weir_holder h;
            taken = taken || weir_mem_owner(&x->mem, (const void *)(at + granule - 1), &h) != WEIR_EFREE;
        }
        model_must(taken);
        return;
    }
    for (unsigned i = 0; i < x->ranges; i++)
        model_must(&x->range[i] == r || r->base + bytes <= x->range[i].base ||
                   x->range[i].base + x->range[i].bytes <= r->base);
    r->bytes = bytes;
    if (r->stride > 0 && (r->skip > bytes || r->stride > bytes - r->skip)) {
        r->stride = r->skip = 0;
        model_must(weir_mem_keep(&x->mem, (void *)r->base, &model_keeper, (void *)r->base, 0, 0) == 0);
    }
}

/* One life: random areas and granules, then ranges come and go while addresses are asked for. */
static inline uint64_t model_life(struct weir_sim *sim, uint8_t *block, unsigned steps)
{
    static struct model x;
    struct weir_mem_conf conf;
    memset(&x, 0, sizeof x);
    memset(&conf, 0, sizeof conf);
    x.block = block;
    conf.granule_bytes = WEIR_MEM_GRANULE_MIN << test_below(sim, 8);
    conf.hooks = (struct weir_mem_hooks){.ctx = &x, .taken = model_taken, .given = model_given};
    conf.slabs = test_below(sim, 2) ? 255 : 8 + test_below(sim, 1000);
    do
        model_areas(&x, sim, conf.granule_bytes < 16 ? 16 : conf.granule_bytes);
    while (weir_mem_open(&x.mem, x.area, x.areas, &conf) != 0);
    uint64_t whole = x.mem.free_bytes;
    for (unsigned i = 0; i < steps; i++) {
        if (x.ranges == 0 || (x.ranges < MODEL_RANGES && test_below(sim, 5) < 3))
            model_take(&x, sim);
        else if (test_below(sim, 2))
            model_give(&x, sim);
        else
            model_stretch(&x, sim);
        model_ask_around(&x, sim, 64);
        if (i % 16 == 0) model_must(weir_ownermap_check(&x.mem) == 0);
        model_must(x.in_hand + x.mem.free_bytes == whole);
    }
    while (x.ranges > 0)
        model_give(&x, sim);
    model_must(weir_ownermap_check(&x.mem) == 0 && x.mem.ranges == 0);
    return x.asked;
}

/* Every quotient near a multiple, for many strides. */
static inline void model_divide(struct weir_sim *sim, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        uint32_t stride = 2 + (test_u32(sim) >> test_below(sim, 31)) % (UINT32_MAX - 2);
        uint32_t rec = weir_ownermap_reciprocal(stride), off = test_u32(sim) >> test_below(sim, 31);
        uint32_t multiple = off / stride * stride;
        const uint32_t at[] = {off, multiple, multiple - 1, multiple + stride - 1, UINT32_MAX, 0};
        for (unsigned k = 0; k < sizeof at / sizeof *at; k++)
            model_must(weir_ownermap_divide(at[k], stride, rec) == at[k] / stride);
    }
}

static inline void model_all(const char *name, unsigned lives)
{
    struct weir_sim sim = test_seed(name);
    uint8_t *block = malloc(MODEL_BYTES);
    uint64_t asked = 0;
    model_must(block != NULL);
    for (unsigned i = 0; i < lives; i++)
        asked += model_life(&sim, block, 400);
    model_divide(&sim, 200000);
    printf("%s: %llu addresses asked for\n", name, (unsigned long long)asked);
    free(block);
}

#endif
