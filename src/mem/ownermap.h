/* ownermap.h: from an address to the range that it lies in, in constant time.
 *
 *     area[a]   base        origin                                         base + bytes
 *               | tables,gap | granule 0 | granule 1 | ... | last, maybe short |
 *     map                      first       first + 1
 *
 * A number in the map is a slab's index; 0 is a free granule, and slab 0 has no bytes. It is one byte wide for up to 255 slabs,
 * else two.
 *
 * Invariants, for weir_ownermap_check:
 *   1  areas ascend, do not overlap, and base <= origin, managed <= base + bytes - origin
 *   2  first of area a + 1 = first of area a + granules of area a; the sum is m->granules
 *   3  each number in the map names a slab in use, and exactly the granules of a slab have its number
 *   4  slabs in use + entries on the free list = entries ever used; ranges counts the former
 *   5  free_bytes = whole granules with number 0, and none lies before its area's hint
 *
 * Rejected: a sorted list of ranges (log n steps, and an insertion moves it); a hash of pages (a miss costs as
 * much as a hit, and memory that is nobody's is the common wrong address); heads in front of blocks (4 to 16
 * bytes a block, and a foreign address would be read to find out that it is foreign). */
#ifndef WEIR_OWNERMAP_H
#define WEIR_OWNERMAP_H

#include <stdbool.h>

#include "weir/err.h"
#include "weir/mem.h"

#define WEIR_MEM_OPEN 0x4d454d31u

static inline size_t weir_ownermap_granules(const struct weir_mem *m, const struct weir_mem_area *a)
{
    return (a->managed >> m->shift) + ((a->managed & (((size_t)1 << m->shift) - 1)) != 0);
}

/* The only area that an address may lie in. Halves at most three times. */
static inline const struct weir_mem_area *weir_ownermap_near(const struct weir_mem *m, uintptr_t addr)
{
    const struct weir_mem_area *a = m->area;
    for (uint32_t n = m->areas; n > 1;) {
        uint32_t half = n / 2;
        if (a[half].base <= addr) a += half;
        n -= half;
    }
    return a;
}

/* The area that an address lies in, NULL: none. */
static inline const struct weir_mem_area *weir_ownermap_area(const struct weir_mem *m, uintptr_t addr)
{
    const struct weir_mem_area *a = weir_ownermap_near(m, addr);
    return addr - a->base < a->bytes ? a : NULL;
}

static inline uint32_t weir_ownermap_number(const struct weir_mem *m, size_t granule)
{
    return m->wide ? ((const uint16_t *)m->map)[granule] : ((const uint8_t *)m->map)[granule];
}

/* Why no slab was found. */
int weir_ownermap_missed(const struct weir_mem *, uintptr_t addr);

/* The slab that an address lies in. NULL and *err iff none, as weir_mem_owner says. The short way has two
 * comparisons: an area that ends before the address, its tables, a free granule (slab 0, of no bytes), and the
 * bytes behind a short range all fail one of them. */
static inline struct weir_mem_slab *weir_ownermap_find(const struct weir_mem *m, uintptr_t addr, int *err)
{
    const struct weir_mem_area *a = weir_ownermap_near(m, addr);
    uintptr_t at = addr - a->origin;
    if (__builtin_expect(at < a->managed, 1)) {
        struct weir_mem_slab *s = &m->slab[weir_ownermap_number(m, a->first + (at >> m->shift))];
        if (__builtin_expect(addr - s->base < s->bytes, 1)) return s;
    }
    *err = weir_ownermap_missed(m, addr);
    return NULL;
}

/* off / stride, exactly, for off < 2^32 and stride >= 2. The product is at most one too large, since what
 * rounding the reciprocal up adds is off * (stride - 1) / (2^32 * stride) < 1. */
static inline uint32_t weir_ownermap_divide(uint32_t off, uint32_t stride, uint32_t reciprocal)
{
    uint32_t q = (uint32_t)((uint64_t)off * reciprocal >> 32);
    return q - ((uint64_t)q * stride > off);
}
static inline uint32_t weir_ownermap_reciprocal(uint32_t stride)
{
    return (uint32_t)((((uint64_t)1 << 32) + stride - 1) / stride);
}

/* A new slab for [base, base + bytes), which begins at a granule's start in managed memory and is free. NULL
 * iff all entries are in use. */
struct weir_mem_slab *weir_ownermap_add(struct weir_mem *, uintptr_t base, size_t bytes);

/* The slab's granules are free. */
void weir_ownermap_drop(struct weir_mem *, struct weir_mem_slab *);

/* The slab, of whole granules, ends after bytes, whole granules too. false: those behind it are not free. */
bool weir_ownermap_stretch(struct weir_mem *, struct weir_mem_slab *, size_t bytes);

/* The first free whole granules for bytes at this alignment, 0: none. */
uintptr_t weir_ownermap_fit(struct weir_mem *, size_t bytes, size_t align);

/* Bytes of the longest stretch of free whole granules. */
size_t weir_ownermap_longest(const struct weir_mem *);

/* For tests and debug builds: 0, or the number of a broken invariant. */
int weir_ownermap_check(const struct weir_mem *);

#endif
