/* small_parts.h: what the files of the small-object manager share. The theory of operation is at the head of
 * small.c. */
#ifndef WEIR_SMALL_PARTS_H
#define WEIR_SMALL_PARTS_H

#include <stdbool.h>

#include "base/bits.h"
#include "weir/small.h"

#define WEIR_SMALL_OPEN 0x57534d4cu

enum weir_small_where {
    WEIR_SMALL_IDLE, /* serves no class: on the list of idle runs, or never used */
    WEIR_SMALL_BUSY, /* an object is free: its class's cur, or on its list and another object in use */
    WEIR_SMALL_FULL, /* on no list */
    WEIR_SMALL_KEPT  /* its class's kept: nothing lives in it */
};

_Static_assert(WEIR_SMALL_CLASSES <= 64, "one bit a class");
_Static_assert(sizeof(struct weir_small_class) % 8 == 0, "class_of tells classes apart in units of 8 bytes");
_Static_assert((WEIR_SMALL_CLASSES - 1) * sizeof(struct weir_small_class) / 8 <= UINT8_MAX,
               "class_of has 8 bits");

/* The number of the grain at an address: at least `grains` for one outside, or not at the start of a grain. */
static inline uintptr_t weir_small_grain(const struct weir_small *s, const void *at)
{
    uintptr_t x = (uintptr_t)at - s->base;
    return x >> s->grain_shift | x << ((0u - s->grain_shift) & (8u * (uint32_t)sizeof x - 1u));
}

static inline bool weir_small_bit(const struct weir_small *s, uintptr_t grain)
{
    return s->bits[grain / 32] >> (grain & 31) & 1;
}

static inline uintptr_t weir_small_run_base(const struct weir_small *s, const struct weir_small_run *r)
{
    return s->base + (uintptr_t)(r - s->run) * s->run_bytes;
}

static inline void *weir_small_object(const struct weir_small *s, const struct weir_small_run *r, uint32_t i)
{
    return (void *)(weir_small_run_base(s, r) + (uintptr_t)i * r->stride);
}

static inline bool weir_small_in_use(const struct weir_small *s, const struct weir_small_run *r, uint32_t i)
{
    return weir_small_bit(s, weir_small_grain(s, weir_small_object(s, r, i)));
}

static inline uint32_t weir_small_used(const struct weir_small_run *r)
{
    return r->where == WEIR_SMALL_FULL ? r->cells : (uint32_t)(r->more + 1);
}

/* The run and error of an address: 0 when an object in use begins there. */
static inline int weir_small_locate(const struct weir_small *s, const void *object,
                                    struct weir_small_run **run)
{
    uintptr_t off = (uintptr_t)object - s->base;
    if (off >= s->grains << s->grain_shift) return WEIR_EFOREIGN;
    struct weir_small_run *r = &s->run[off / s->run_bytes];
    *run = r;
    if ((off & ((1u << s->grain_shift) - 1)) != 0) return WEIR_EINTERIOR;
    if (weir_small_bit(s, off >> s->grain_shift)) return weir_small_used(r) > 0 ? WEIR_OK : WEIR_ECORRUPT;
    return r->where != WEIR_SMALL_IDLE && off % s->run_bytes % r->stride != 0 ? WEIR_EINTERIOR : WEIR_EFREE;
}

/* A run's name in lists: the bytes of the table up to its entry's end, so that 0 is none. */
static inline uint32_t weir_small_ref(const struct weir_small *s, const struct weir_small_run *r)
{
    return (uint32_t)((const uint8_t *)(r + 1) - (const uint8_t *)s->run);
}

static inline struct weir_small_run *weir_small_run_at(const struct weir_small *s, uint32_t ref)
{
    return (struct weir_small_run *)(void *)((uint8_t *)s->run + ref) - 1;
}

/* The lowest bit's number; bits > 0. */
static inline uint32_t weir_small_lowest(uint64_t bits)
{
    uint32_t low = (uint32_t)bits;
    return (uint32_t)(low != 0 ? __builtin_ctz(low) : 32 + __builtin_ctz((uint32_t)(bits >> 32)));
}

/* Whether the class could serve one more object now. */
static inline bool weir_small_can(const struct weir_small *s, const struct weir_small_class *c)
{
    return c->cur != &s->none || s->keeping != 0 || s->idle_runs > 0 || s->fresh_runs < s->runs;
}

#endif
