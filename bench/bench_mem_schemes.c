/* bench_mem_schemes.c: Weir's schemes behind one pair of calls. */
#include "bench_mem_schemes.h"

#include <string.h>

void *mem_hollow_get(size_t size)
{
    (void)size;
    return NULL;
}

void mem_hollow_put(void *block, size_t size)
{
    (void)block, (void)size;
}

/* ---- bare policies ---- */

static struct {
    void *state;
    void *(*alloc)(void *state, size_t size, size_t align, size_t *got);
    ptrdiff_t (*release)(void *state, void *block);
} bare;

bool mem_policy_open(const struct mem_scheme *s, void *base, size_t bytes, size_t cell)
{
    struct weir_policy_conf conf = {.area_bytes = bytes, .align_bytes = s->align_bytes, .level = s->level};
    (void)cell;
    size_t state = s->policy->state_bytes(&conf);
    if (state == 0 || state >= bytes || s->policy->init(base, &conf) != 0) return false;
    bare.state = base;
    bare.alloc = s->policy->alloc;
    bare.release = s->policy->release;
    return s->policy->add(base, (char *)base + state, bytes - state) == 0;
}

void *mem_policy_get(size_t size)
{
    size_t got;
    return bare.alloc(bare.state, size, 0, &got);
}

void mem_policy_put(void *block, size_t size)
{
    (void)size;
    (void)bare.release(bare.state, block);
}

void *mem_policy_get_aligned(size_t size, size_t align)
{
    size_t got;
    return bare.alloc(bare.state, size, align, &got);
}

static void *hollow_alloc(void *state, size_t size, size_t align, size_t *got)
{
    (void)state, (void)size, (void)align, (void)got;
    return NULL;
}

static ptrdiff_t hollow_release(void *state, void *block)
{
    (void)state, (void)block;
    return 0;
}

void mem_policy_hollow(void)
{
    bare.alloc = hollow_alloc;
    bare.release = hollow_release;
}

#define BARE                                                                                                 \
    .open = mem_policy_open, .get = mem_policy_get, .put = mem_policy_put,                                   \
    .get_aligned = mem_policy_get_aligned, .hollow = mem_policy_hollow

/* ---- all of them ---- */

static const struct mem_scheme *const schemes[] = {NULL};

const struct mem_scheme *mem_scheme_at(unsigned n)
{
    return n < sizeof schemes / sizeof schemes[0] ? schemes[n] : NULL;
}

const struct mem_scheme *mem_scheme_find(const char *name)
{
    for (unsigned i = 0; mem_scheme_at(i) != NULL; i++)
        if (strcmp(schemes[i]->name, name) == 0) return schemes[i];
    return NULL;
}
