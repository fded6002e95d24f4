/* memwalk.c: every byte of every area once, and the counts.
 *
 * Keepers tell of blocks and leave their heads and gaps out, each as its scheme sees fit. The cursor below
 * fills in what lies between, so that the walk covers an area whoever keeps it. */
#include "weir/mem.h"

#include <string.h>

#include "mem/ownermap.h"

struct cursor {
    uintptr_t at;         /* everything before it in this area was told */
    uintptr_t begin, end; /* of the range that is being walked */
    weir_walk_fn fn;
    void *arg;
};

static int tell(struct cursor *c, uintptr_t end, enum weir_block_state state)
{
    if (end == c->at) return 0;
    struct weir_block b = {.start = (const void *)c->at, .bytes = end - c->at, .state = state};
    c->at = end;
    return c->fn(c->arg, &b);
}

/* A block that its keeper tells of. */
static int told(void *arg, const struct weir_block *b)
{
    struct cursor *c = arg;
    uintptr_t start = (uintptr_t)b->start;
    if (start >= c->end || start + b->bytes <= c->begin || b->bytes == 0) return 0; /* of another range */
    if (start < c->at || b->bytes > c->end - start) return WEIR_ECORRUPT;
    int end = tell(c, start, WEIR_BLOCK_META);
    if (end != 0) return end;
    c->at = start + b->bytes;
    return c->fn(c->arg, b);
}

static int walk_slab(struct cursor *c, const struct weir_mem_slab *s)
{
    c->begin = s->base;
    c->end = s->base + s->bytes;
    if (!s->keeper || !s->keeper->walk) return tell(c, c->end, WEIR_BLOCK_USED);
    int end = s->keeper->walk(s->obj, (const void *)s->base, s->bytes, told, c);
    return end != 0 ? end : tell(c, c->end, WEIR_BLOCK_META);
}

/* The end of the free granules that begin at `at`. */
static uintptr_t free_end(const struct weir_mem *m, const struct weir_mem_area *a, uintptr_t at)
{
    size_t i = (at - a->origin) >> m->shift, end = a->managed >> m->shift;
    while (i < end && weir_ownermap_number(m, a->first + i) == 0)
        i++;
    return a->origin + (i << m->shift);
}

static int walk_granules(const struct weir_mem *m, const struct weir_mem_area *a, struct cursor *c)
{
    uintptr_t granule = (uintptr_t)1 << m->shift, stop = a->origin + a->managed;
    int end = 0;
    while (end == 0 && c->at < stop) {
        uint32_t number = weir_ownermap_number(m, a->first + ((c->at - a->origin) >> m->shift));
        if (number != 0)
            end = walk_slab(c, &m->slab[number]);
        else if (stop - c->at >= granule)
            end = tell(c, free_end(m, a, c->at), WEIR_BLOCK_FREE);
        else
            end = tell(c, stop, WEIR_BLOCK_META); /* too short for a granule */
        uintptr_t rest = (0 - (c->at - a->origin)) & (granule - 1);
        if (end == 0 && rest > 0) end = tell(c, rest < stop - c->at ? c->at + rest : stop, WEIR_BLOCK_META);
    }
    return end;
}

int weir_mem_walk(const struct weir_mem *m, weir_walk_fn fn, void *arg)
{
    struct cursor c = {.fn = fn, .arg = arg};
    int end = 0;
    if (m->state != WEIR_MEM_OPEN) return WEIR_ESTALE;
    for (uint32_t i = 0; end == 0 && i < m->areas; i++) {
        const struct weir_mem_area *a = &m->area[i];
        c.at = a->base;
        end = tell(&c, a->origin, WEIR_BLOCK_META);
        if (end == 0) end = walk_granules(m, a, &c);
        if (end == 0) end = tell(&c, a->base + a->bytes, WEIR_BLOCK_META);
    }
    return end;
}

enum weir_why weir_mem_why(const struct weir_mem *m)
{
    return (enum weir_why)m->why;
}

void weir_mem_info(const struct weir_mem *m, struct weir_mem_stat *out)
{
    memset(out, 0, sizeof *out);
    if (m->state != WEIR_MEM_OPEN) return;
    out->allocs = m->takes;
    out->frees = m->gives;
    out->failures = m->failures;
    out->bad_frees = m->bad_frees;
    out->live = m->ranges;
    for (uint32_t i = 0; i < m->areas; i++)
        out->configured_bytes += m->area[i].bytes;
    for (uint32_t i = 1; i <= m->fresh; i++)
        out->live_bytes += m->slab[i].bytes;
    out->free_bytes = m->free_bytes;
    out->overhead_bytes = out->configured_bytes - out->live_bytes - out->free_bytes;
    out->largest_free = weir_ownermap_longest(m);
}

static const char *const why_name[] = {
#define WEIR_WHY_WORD(name, word, text) [WEIR_WHY_##name] = word,
    WEIR_WHY_MAP(WEIR_WHY_WORD)
#undef WEIR_WHY_WORD
};
static const char *const why_text[] = {
#define WEIR_WHY_TEXT(name, word, text) [WEIR_WHY_##name] = text,
    WEIR_WHY_MAP(WEIR_WHY_TEXT)
#undef WEIR_WHY_TEXT
};

const char *weir_why_name(enum weir_why why)
{
    return (unsigned)why < WEIR_WHYS ? why_name[why] : "?";
}

const char *weir_why_text(enum weir_why why)
{
    return (unsigned)why < WEIR_WHYS ? why_text[why] : "?";
}
