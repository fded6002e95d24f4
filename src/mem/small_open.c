/* small_open.c: the small-object manager begins and ends: its classes, and how an arena is cut into tables and runs.
 * The theory is at the head of small.c. */
#include <string.h>

#include "mem/small_parts.h"

#define STEP       ((uint32_t)sizeof(void *)) /* of class_of */
#define LINEAR     8u                         /* classes that are multiples of align_bytes */
#define RUNS_MAX   (1u << 20)                 /* their grains have 32-bit numbers */
#define ARENA_MOST ((size_t)1 << (8 * sizeof(size_t) - 2))

/* The configuration with its defaults, checked. */
static bool settle(const struct weir_small_conf *conf, struct weir_small_conf *c)
{
    *c = conf != NULL ? *conf : (struct weir_small_conf){0};
    if (c->run_bytes == 0) c->run_bytes = WEIR_SMALL_RUN;
    if (!weir_is_pow2(c->run_bytes) || c->run_bytes < WEIR_SMALL_RUN_MIN || c->run_bytes > WEIR_SMALL_RUN_MAX)
        return false;
    if (c->largest == 0) c->largest = c->run_bytes / 8;
    if (c->align_bytes == 0) c->align_bytes = STEP;
    return weir_is_pow2(c->align_bytes) && c->align_bytes >= STEP && c->align_bytes <= 16 &&
           c->largest <= c->run_bytes / 8;
}

/* The size of the class after one of so many bytes. */
static uint32_t next_class(uint32_t bytes, uint32_t align)
{
    return bytes < LINEAR * align ? bytes + align : bytes + (1u << weir_log2(bytes)) / 4;
}

static uint32_t largest_class(const struct weir_small_conf *c)
{
    uint32_t bytes = c->align_bytes;
    while (bytes < c->largest)
        bytes = next_class(bytes, c->align_bytes);
    return bytes;
}

/* Of run 0, so that objects of a power of two are aligned to it. */
static uint32_t base_align(const struct weir_small_conf *c)
{
    return 1u << weir_log2(largest_class(c));
}

static uint32_t bits_of_run(const struct weir_small_conf *c)
{
    return (c->run_bytes / c->align_bytes + 31) / 32 * 4;
}

size_t weir_small_bytes(const struct weir_small_conf *conf, uint32_t runs)
{
    struct weir_small_conf c;
    if (!settle(conf, &c) || runs == 0 || runs > RUNS_MAX) return 0;
    uint64_t each = c.run_bytes + sizeof(struct weir_small_run) + bits_of_run(&c);
    uint64_t sum = runs * each + _Alignof(struct weir_small_run) + base_align(&c);
    return sum > ARENA_MOST ? 0 : (size_t)sum;
}

/* Where run 0 begins when the arena has so many runs. */
static uintptr_t first_run(const struct weir_small_conf *c, uintptr_t arena, uintptr_t runs)
{
    uintptr_t at = (uintptr_t)weir_align_up(arena, _Alignof(struct weir_small_run));
    at += runs * (sizeof(struct weir_small_run) + bits_of_run(c));
    return (uintptr_t)weir_align_up(at, base_align(c));
}

/* As many runs as fit. What one run needs bounds the number from above; alignment costs one more at most. */
static uint32_t count_runs(const struct weir_small_conf *c, uintptr_t arena, size_t bytes)
{
    size_t runs = bytes / (c->run_bytes + sizeof(struct weir_small_run) + bits_of_run(c));
    if (runs > RUNS_MAX) runs = RUNS_MAX;
    while (runs > 0 && first_run(c, arena, runs) + runs * c->run_bytes > arena + bytes)
        runs--;
    return (uint32_t)runs;
}

static void set_classes(struct weir_small *s, const struct weir_small_conf *c)
{
    uint32_t bytes = c->align_bytes, size = 0;
    for (;; bytes = next_class(bytes, c->align_bytes)) {
        struct weir_small_class *cls = &s->cls[s->classes];
        *cls = (struct weir_small_class){.cur = &s->none, .stride = bytes, .cells = c->run_bytes / bytes};
        for (; size <= bytes; size += STEP)
            s->class_of[size / STEP] = (uint8_t)(s->classes * sizeof *cls / 8);
        s->classes++;
        if (bytes >= c->largest) break;
    }
    s->largest = bytes;
}

int weir_small_open(struct weir_small *s, const struct weir_small_conf *conf, void *mem, size_t bytes)
{
    struct weir_small_conf c;
    if (s == NULL || mem == NULL || !settle(conf, &c)) return WEIR_EINVAL;
    if (bytes > ARENA_MOST || (uintptr_t)mem + bytes < (uintptr_t)mem) return WEIR_EINVAL;
    uint32_t runs = count_runs(&c, (uintptr_t)mem, bytes);
    if (runs == 0) return WEIR_EINVAL;
    memset(s, 0, sizeof *s);
    uint8_t *arena = mem;
    size_t gap = (size_t)weir_align_up((uintptr_t)mem, _Alignof(struct weir_small_run)) - (uintptr_t)mem;
    s->run = (struct weir_small_run *)(void *)(arena + gap);
    s->bits = (uint32_t *)(void *)(s->run + runs);
    s->base = first_run(&c, (uintptr_t)mem, runs);
    memset(s->run, 0, runs * (sizeof(struct weir_small_run) + bits_of_run(&c)));
    s->grain_shift = weir_log2(c.align_bytes);
    s->run_shift = weir_log2(c.run_bytes) - s->grain_shift;
    s->grains = (uintptr_t)runs << s->run_shift;
    s->run_grains = (uintptr_t)1 << s->run_shift;
    s->runs = runs;
    s->run_bytes = c.run_bytes;
    s->arena = arena;
    s->arena_bytes = bytes;
    s->none.more = -1;
    for (uint32_t n = 0; n < runs; n++)
        s->run[n] = (struct weir_small_run){.more = -1, .first = n << s->run_shift};
    set_classes(s, &c);
    s->state = WEIR_SMALL_OPEN;
    return WEIR_OK;
}

int weir_small_close(struct weir_small *s)
{
    if (s->state != WEIR_SMALL_OPEN) return WEIR_ESTALE;
    if (weir_small_live(s) > 0) return WEIR_EBUSY;
    memset(s, 0, sizeof *s);
    for (uint32_t n = 0; n < WEIR_SMALL_CLASSES; n++)
        s->cls[n].cur = &s->none; /* a size of 0 still looks for one */
    s->why = WEIR_WHY_STALE;
    return WEIR_OK;
}
