/* ownermap.c: writing the owner map, and finding room in it. See ownermap.h for the picture and the
 * invariants.
 *
 * Free granules are on no list: a search steps from range to range by the slabs' own lengths and over free
 * granules one by one, beginning at the area's hint. Growth happens a few times in a program's life; a list
 * would cost a write into memory that nobody has touched yet, which on Linux makes the page resident. */
#include "mem/ownermap.h"

#include <string.h>

#include "base/bits.h"

static void write_numbers(struct weir_mem *m, size_t from, size_t n, uint32_t number)
{
    if (!m->wide) {
        memset((uint8_t *)m->map + from, (int)number, n);
        return;
    }
    uint16_t *map = m->map;
    for (size_t i = from; i < from + n; i++)
        map[i] = (uint16_t)number;
}

/* Granules that a range touches, and of these the whole ones, which count as free without it. */
static size_t touched(const struct weir_mem *m, size_t bytes)
{
    size_t granule = (size_t)1 << m->shift;
    return (bytes >> m->shift) + ((bytes & (granule - 1)) != 0);
}

static size_t whole_bytes(const struct weir_mem *m, const struct weir_mem_area *a, uintptr_t base, size_t n)
{
    size_t left = (a->managed - (base - a->origin)) >> m->shift;
    return (n < left ? n : left) << m->shift;
}

int weir_ownermap_missed(const struct weir_mem *m, uintptr_t addr)
{
    const struct weir_mem_area *a = weir_ownermap_area(m, addr);
    if (!a) return WEIR_EFOREIGN;
    uintptr_t at = addr - a->origin; /* wraps in the tables before the origin */
    if (at >= a->managed) return WEIR_EINTERIOR;
    bool taken = weir_ownermap_number(m, a->first + (at >> m->shift)) != 0;
    return taken ? WEIR_EINTERIOR : WEIR_EFREE; /* in a short range's last granule, behind its end */
}

struct weir_mem_slab *weir_ownermap_add(struct weir_mem *m, uintptr_t base, size_t bytes)
{
    struct weir_mem_area *a = (struct weir_mem_area *)weir_ownermap_area(m, base);
    uint32_t number = m->spare;
    if (number > 0)
        m->spare = m->slab[number].next;
    else if (m->fresh < m->slabs)
        number = ++m->fresh;
    else
        return NULL;
    struct weir_mem_slab *s = &m->slab[number];
    memset(s, 0, sizeof *s);
    s->base = base;
    s->bytes = bytes;
    size_t at = (base - a->origin) >> m->shift, n = touched(m, bytes);
    write_numbers(m, a->first + at, n, number);
    m->free_bytes -= whole_bytes(m, a, base, n);
    if (at == a->hint) a->hint = at + n;
    m->ranges++;
    return s;
}

void weir_ownermap_drop(struct weir_mem *m, struct weir_mem_slab *s)
{
    struct weir_mem_area *a = (struct weir_mem_area *)weir_ownermap_area(m, s->base);
    size_t at = (s->base - a->origin) >> m->shift, n = touched(m, s->bytes);
    write_numbers(m, a->first + at, n, 0);
    m->free_bytes += whole_bytes(m, a, s->base, n);
    if (at < a->hint) a->hint = at;
    s->bytes = 0;
    s->next = m->spare;
    m->spare = (uint32_t)(s - m->slab);
    m->ranges--;
}

/* From n granules to more, all of which must be free. */
static bool lengthen(struct weir_mem *m, struct weir_mem_area *a, struct weir_mem_slab *s, size_t n,
                     size_t more)
{
    size_t at = (s->base - a->origin) >> m->shift, end = a->managed >> m->shift;
    if (at + n > end || more > end - at - n) return false;
    for (size_t i = 0; i < more; i++)
        if (weir_ownermap_number(m, a->first + at + n + i) != 0) return false;
    write_numbers(m, a->first + at + n, more, (uint32_t)(s - m->slab));
    m->free_bytes -= (uint64_t)more << m->shift;
    if (a->hint == at + n) a->hint += more;
    return true;
}

bool weir_ownermap_stretch(struct weir_mem *m, struct weir_mem_slab *s, size_t bytes)
{
    struct weir_mem_area *a = (struct weir_mem_area *)weir_ownermap_area(m, s->base);
    size_t was = touched(m, s->bytes), n = touched(m, bytes), at = (s->base - a->origin) >> m->shift;
    if (n > was && !lengthen(m, a, s, was, n - was)) return false;
    if (n < was) {
        write_numbers(m, a->first + at + n, was - n, 0);
        m->free_bytes += whole_bytes(m, a, s->base + (n << m->shift), was - n);
        if (at + n < a->hint) a->hint = at + n;
    }
    s->bytes = bytes;
    return true;
}

/* ---- finding room ---- */

/* Granules from `at` on that are free, counted up to `enough`; or, none, *skip: those of the range there. */
static size_t run_at(const struct weir_mem *m, const struct weir_mem_area *a, size_t at, size_t end,
                     size_t enough, size_t *skip)
{
    uint32_t number = weir_ownermap_number(m, a->first + at);
    if (number != 0) {
        const struct weir_mem_slab *s = &m->slab[number];
        *skip = ((s->base - a->origin) >> m->shift) + touched(m, s->bytes) - at;
        return 0;
    }
    size_t n = 1;
    while (n < enough && at + n < end && weir_ownermap_number(m, a->first + at + n) == 0)
        n++;
    return n;
}

static uintptr_t fit_in(const struct weir_mem *m, struct weir_mem_area *a, size_t n, size_t align)
{
    size_t end = a->managed >> m->shift, granule = (size_t)1 << m->shift, skip = 0;
    bool first = true;
    for (size_t at = a->hint; at < end;) {
        uintptr_t here = a->origin + (at << m->shift);
        size_t gap = (size_t)((0 - here) & (align - 1)) >> m->shift;
        size_t run = run_at(m, a, at, end, gap + n, &skip);
        if (run > 0 && first) {
            a->hint = at;
            first = false;
        }
        if (run >= gap + n) return here + gap * granule;
        at += run > 0 ? run : skip;
    }
    if (first) a->hint = end;
    return 0;
}

uintptr_t weir_ownermap_fit(struct weir_mem *m, size_t bytes, size_t align)
{
    size_t n = touched(m, bytes);
    for (uint32_t i = 0; i < m->areas; i++) {
        uintptr_t found = n <= m->area[i].managed >> m->shift ? fit_in(m, &m->area[i], n, align) : 0;
        if (found) return found;
    }
    return 0;
}

size_t weir_ownermap_longest(const struct weir_mem *m)
{
    size_t longest = 0, skip = 0;
    for (uint32_t i = 0; i < m->areas; i++) {
        const struct weir_mem_area *a = &m->area[i];
        size_t end = a->managed >> m->shift;
        for (size_t at = a->hint; at < end;) {
            size_t run = run_at(m, a, at, end, end, &skip);
            if (run > longest) longest = run;
            at += run > 0 ? run : skip;
        }
    }
    return longest << m->shift;
}

/* ---- invariants ---- */

static int check_areas(const struct weir_mem *m)
{
    size_t first = 0;
    for (uint32_t i = 0; i < m->areas; i++) {
        const struct weir_mem_area *a = &m->area[i];
        if (i > 0 && (a->base < a[-1].base || a->base - a[-1].base < a[-1].bytes)) return 1;
        if (a->origin < a->base || a->origin - a->base > a->bytes) return 1;
        if (a->managed > a->bytes - (a->origin - a->base)) return 1;
        if (a->first != first) return 2;
        first += weir_ownermap_granules(m, a);
    }
    return first == m->granules ? 0 : 2;
}

/* Every granule's number is that of a slab around it; *taken: granules that have one. */
static int check_numbers(const struct weir_mem *m, size_t *taken, uint64_t *free_bytes)
{
    size_t granule = (size_t)1 << m->shift;
    for (uint32_t i = 0; i < m->areas; i++) {
        const struct weir_mem_area *a = &m->area[i];
        for (size_t at = 0; at < weir_ownermap_granules(m, a); at++) {
            uint32_t number = weir_ownermap_number(m, a->first + at);
            bool whole = (at + 1) << m->shift <= a->managed;
            if (number == 0 && whole && at < a->hint) return 5;
            if (number == 0) *free_bytes += whole ? granule : 0;
            if (number == 0) continue;
            if (number > m->fresh) return 3;
            const struct weir_mem_slab *s = &m->slab[number];
            uintptr_t from = a->origin + (at << m->shift);
            if (from - s->base >= s->bytes) return 3;
            ++*taken;
        }
    }
    return 0;
}

int weir_ownermap_check(const struct weir_mem *m)
{
    size_t taken = 0, used = 0, spare = 0, of_slabs = 0;
    uint64_t free_bytes = 0;
    int broken = check_areas(m);
    if (broken == 0) broken = check_numbers(m, &taken, &free_bytes);
    if (broken != 0) return broken;
    for (uint32_t i = 1; i <= m->fresh; i++) {
        used += m->slab[i].bytes > 0;
        of_slabs += touched(m, m->slab[i].bytes);
    }
    for (uint32_t n = m->spare; n > 0 && spare <= m->fresh; n = m->slab[n].next)
        spare++;
    if (taken != of_slabs) return 3;
    if (used != m->ranges || used + spare != m->fresh) return 4;
    return free_bytes == m->free_bytes ? 0 : 5;
}
