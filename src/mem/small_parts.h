/* small_parts.h: what the files of the small-object manager share. The theory of operation is at the head of
 * small.c. */
#ifndef WEIR_SMALL_PARTS_H
#define WEIR_SMALL_PARTS_H

#include <stdbool.h>

#include "base/bits.h"
#include "weir/small.h"

#define WEIR_SMALL_OPEN 0x57534d4cu

enum weir_small_where {
    WEIR_SMALL_IDLE,    /* serves no class: on the list of idle runs, or never used */
    WEIR_SMALL_NOW,     /* its class's cur */
    WEIR_SMALL_PARTIAL, /* on its class's list: an object is free, another in use */
    WEIR_SMALL_FULL     /* on no list */
};

_Static_assert(sizeof(struct weir_small_class) % 8 == 0, "class_of counts in units of 8 bytes");
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

/* Whether class n could serve one more object now. */
bool weir_small_can(const struct weir_small *, const struct weir_small_class *);

#endif
