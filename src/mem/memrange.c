/* memrange.c: ranges that come and go after weir_mem_open, and from an address to its keeper. */
#include "weir/mem.h"

#include <string.h>

#include "base/bits.h"
#include "mem/ownermap.h"

static void *got_none(struct weir_mem *m, enum weir_why why)
{
    m->why = (uint8_t)why;
    m->failures++;
    return NULL;
}

/* false: it is refused. */
static bool tell_taken(const struct weir_mem *m, uintptr_t base, size_t bytes)
{
    return !m->hooks.taken || m->hooks.taken(m->hooks.ctx, (void *)base, bytes) >= 0;
}

static void tell_given(const struct weir_mem *m, uintptr_t base, size_t bytes)
{
    if (m->hooks.given) m->hooks.given(m->hooks.ctx, (void *)base, bytes);
}

static void drop(struct weir_mem *m, struct weir_mem_slab *s)
{
    uintptr_t base = s->base;
    size_t bytes = s->bytes;
    weir_ownermap_drop(m, s);
    m->gives++;
    tell_given(m, base, bytes);
}

/* Why no range of these bytes was found. */
static enum weir_why why_none(const struct weir_mem *m, size_t bytes)
{
    size_t largest = 0;
    for (uint32_t i = 0; i < m->areas; i++)
        if (m->area[i].managed >> m->shift << m->shift > largest)
            largest = m->area[i].managed >> m->shift << m->shift;
    if (bytes > largest) return WEIR_WHY_SIZE;
    return m->free_bytes < bytes ? WEIR_WHY_FULL : WEIR_WHY_SCATTERED;
}

void *weir_mem_take(struct weir_mem *m, size_t bytes, size_t align, const struct weir_keeper *keeper,
                    void *obj, const char *name)
{
    if (m->state != WEIR_MEM_OPEN) return got_none(m, WEIR_WHY_STALE);
    if (m->sealed) return got_none(m, WEIR_WHY_SEALED);
    if (align != 0 && !weir_is_pow2(align)) return got_none(m, WEIR_WHY_ALIGN);
    size_t granule = (size_t)1 << m->shift;
    if (bytes > SIZE_MAX / 2) return got_none(m, WEIR_WHY_SIZE);
    bytes = (size_t)weir_align_up(bytes > 0 ? bytes : 1, granule);
    uintptr_t base = weir_ownermap_fit(m, bytes, align > granule ? align : granule);
    if (base == 0) return got_none(m, why_none(m, bytes));
    struct weir_mem_slab *s = weir_ownermap_add(m, base, bytes);
    if (!s) return got_none(m, WEIR_WHY_LIMIT);
    if (!tell_taken(m, base, bytes)) {
        weir_ownermap_drop(m, s);
        return got_none(m, WEIR_WHY_FULL);
    }
    s->keeper = keeper;
    s->obj = obj;
    s->name = name;
    m->takes++;
    return (void *)base;
}

/* The slab that begins exactly here. */
static int slab_at(const struct weir_mem *m, const void *base, struct weir_mem_slab **slab)
{
    int err = 0;
    if (m->state != WEIR_MEM_OPEN) return WEIR_ESTALE;
    *slab = weir_ownermap_find(m, (uintptr_t)base, &err);
    if (!*slab) return err;
    return (*slab)->base == (uintptr_t)base ? 0 : WEIR_EINTERIOR;
}

int weir_mem_give(struct weir_mem *m, void *base)
{
    struct weir_mem_slab *s;
    int err = slab_at(m, base, &s);
    if (err < 0) {
        m->bad_frees++;
        return err;
    }
    drop(m, s);
    return 0;
}

int weir_mem_stretch(struct weir_mem *m, void *base, size_t bytes)
{
    struct weir_mem_slab *s;
    int err = slab_at(m, base, &s);
    if (err < 0) return err;
    if (bytes > SIZE_MAX / 2) return WEIR_ENOMEM;
    bytes = (size_t)weir_align_up(bytes > 0 ? bytes : 1, (size_t)1 << m->shift);
    if (bytes > s->bytes && m->sealed) return WEIR_ESEALED;
    size_t was = s->bytes;
    if (!weir_ownermap_stretch(m, s, bytes)) return WEIR_ENOMEM;
    if (bytes > was && !tell_taken(m, s->base + was, bytes - was)) {
        (void)weir_ownermap_stretch(m, s, was); /* shorter: always */
        return WEIR_ENOMEM;
    }
    if (bytes < was) tell_given(m, s->base + bytes, was - bytes);
    return 0;
}

void weir_mem_drop(struct weir_mem *m, const void *obj)
{
    for (uint32_t i = 1; m->state == WEIR_MEM_OPEN && i <= m->fresh; i++)
        if (m->slab[i].bytes > 0 && m->slab[i].obj == obj) drop(m, &m->slab[i]);
}

int weir_mem_keep(struct weir_mem *m, const void *base, const struct weir_keeper *keeper, void *obj,
                  uint32_t stride, uint32_t skip)
{
    struct weir_mem_slab *s;
    int err = slab_at(m, base, &s);
    if (err < 0) return err;
    if (m->sealed) return WEIR_ESEALED;
    if (stride > 0 && (stride < 4 || skip > s->bytes || stride > s->bytes - skip)) return WEIR_EINVAL;
    s->keeper = keeper;
    s->obj = obj;
    s->stride = stride;
    s->skip = skip;
    s->reciprocal = stride > 0 ? weir_ownermap_reciprocal(stride) : 0;
    return 0;
}

/* ---- a source ---- */

static void *source_take(void *ctx, size_t bytes, size_t align)
{
    struct weir_mem_source *s = ctx;
    return weir_mem_take(s->mem, bytes, align, s->keeper, s->obj, s->name);
}

static void source_give(void *ctx, void *block, size_t bytes)
{
    struct weir_mem_source *s = ctx;
    (void)bytes;
    (void)weir_mem_give(s->mem, block);
}

void weir_mem_source(struct weir_mem_source *out, struct weir_mem *m, const struct weir_keeper *keeper,
                     void *obj, const char *name)
{
    out->source = (struct weir_source){.ctx = out, .take = source_take, .give = source_give};
    out->mem = m;
    out->keeper = keeper;
    out->obj = obj;
    out->name = name;
}

/* ---- from an address ---- */

static void find_cell(const struct weir_mem_slab *s, uintptr_t addr, struct weir_holder *out)
{
    uintptr_t cells = s->base + s->skip, off = addr - cells;
    if (s->stride == 0 || addr < cells || off > UINT32_MAX) return;
    uintptr_t at = (uintptr_t)weir_ownermap_divide((uint32_t)off, s->stride, s->reciprocal) * s->stride;
    if (s->bytes - s->skip - at < s->stride) return; /* the tail in which no whole cell fits */
    out->cell = (const void *)(cells + at);
    out->cell_bytes = s->stride;
}

int weir_mem_owner(const struct weir_mem *m, const void *addr, struct weir_holder *out)
{
    int err = 0;
    if (m->state != WEIR_MEM_OPEN) return WEIR_ESTALE;
    const struct weir_mem_slab *s = weir_ownermap_find(m, (uintptr_t)addr, &err);
    if (!s) return err;
    *out = (struct weir_holder){.keeper = s->keeper,
                                .obj = s->obj,
                                .name = s->name,
                                .base = (const void *)s->base,
                                .bytes = s->bytes};
    find_cell(s, (uintptr_t)addr, out);
    return 0;
}

/* The slab of an address, if its keeper can do what is asked for. */
static const struct weir_mem_slab *keeper_for(const struct weir_mem *m, const void *block, int *err)
{
    if (m->state != WEIR_MEM_OPEN) {
        *err = WEIR_ESTALE;
        return NULL;
    }
    const struct weir_mem_slab *s = weir_ownermap_find(m, (uintptr_t)block, err);
    if (s && s->keeper) return s;
    if (s) *err = WEIR_ENOTSUP;
    return NULL;
}

int weir_mem_free(struct weir_mem *m, void *block)
{
    int err = 0;
    if (!block) return 0;
    const struct weir_mem_slab *s = keeper_for(m, block, &err);
    if (s) err = s->keeper->free ? s->keeper->free(s->obj, block) : WEIR_ENOTSUP;
    if (err < 0) m->bad_frees++;
    return err;
}

ptrdiff_t weir_mem_usable(const struct weir_mem *m, const void *block)
{
    int err = 0;
    const struct weir_mem_slab *s = keeper_for(m, block, &err);
    if (!s) return err;
    return s->keeper->usable ? s->keeper->usable(s->obj, block) : WEIR_ENOTSUP;
}

ptrdiff_t weir_mem_resize(struct weir_mem *m, void *block, size_t size)
{
    int err = 0;
    const struct weir_mem_slab *s = keeper_for(m, block, &err);
    if (!s) return err;
    return s->keeper->resize ? s->keeper->resize(s->obj, block, size) : WEIR_ENOTSUP;
}
