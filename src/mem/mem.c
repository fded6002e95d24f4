/* mem.c: laying a configuration out in areas, sealing, closing. The picture of an area is in ownermap.h.
 *
 * The order of rows is mem_slabs, mem_map, the items, mem_grow, mem_rest. Tables come first, so that every
 * later row, which is aligned to granules, lies in granules of its own.
 *
 * How large is the map? It has a number for each granule behind the tables, and the tables' length depends on
 * it. The plan needs no circle: items begin and end at granules, so their granules are the sum of each one's.
 * Areas may be larger than planned; what is left over is told by a run of the carver that places and writes
 * nothing, and the map gets a number for each granule of it. With areas of exactly the plan's bytes nothing is
 * left over, and plan and open agree row for row. */
#include "weir/mem.h"

#include <string.h>

#include "base/bits.h"
#include "base/text.h"
#include "mem/carve.h"
#include "mem/ownermap.h"

#define SLABS_DEFAULT 255u
#define TABLE_ALIGN   16u

/* The result of one run of the carver. */
struct placed {
    struct weir_plan plan;
    struct weir_carve carve;
    void *slab, *map;
    uintptr_t item[WEIR_MEM_ITEMS_MAX];
    uintptr_t rest;
};

static uint32_t granule_of(const struct weir_mem_conf *conf)
{
    return conf->granule_bytes != 0 ? conf->granule_bytes : WEIR_MEM_GRANULE;
}
static uint32_t slabs_of(const struct weir_mem_conf *conf)
{
    return conf->slabs != 0 ? conf->slabs : SLABS_DEFAULT;
}
static bool has_rest(const struct weir_mem_conf *conf)
{
    return conf->rest.keeper != NULL || conf->rest.open != NULL;
}

/* ---- what is refused ---- */

static bool refuse(struct weir_plan *plan, const char *option, uint64_t got, const char *rule, uint64_t value)
{
    struct weir_text t;
    plan->option = option;
    plan->would = value;
    weir_text_init(&t, plan->why, sizeof plan->why);
    weir_text_str(&t, option);
    weir_text_str(&t, " is ");
    weir_text_u64(&t, got);
    weir_text_str(&t, rule);
    weir_text_str(&t, ": ");
    weir_text_u64(&t, value);
    weir_text_str(&t, " would do.");
    return false;
}

static bool check_item(struct weir_plan *plan, const struct weir_mem_item *it)
{
    if (it->align_bytes != 0 && !weir_is_pow2(it->align_bytes))
        return refuse(plan, "align_bytes", it->align_bytes, ", not a power of two", 16);
    if ((unsigned)it->kind >= WEIR_AREA_KINDS)
        return refuse(plan, "kind", (uint64_t)it->kind, ", not in its enum", WEIR_AREA_ANY);
    if (it->stride_bytes != 0 && it->stride_bytes < 4)
        return refuse(plan, "stride_bytes", it->stride_bytes, ", too small for a cell", 4);
    return true;
}

static bool check_conf(struct weir_plan *plan, const struct weir_mem_conf *conf)
{
    uint32_t granule = granule_of(conf), slabs = slabs_of(conf);
    if (!weir_is_pow2(granule) || granule < WEIR_MEM_GRANULE_MIN || granule > WEIR_MEM_GRANULE_MAX)
        return refuse(plan, "granule_bytes", granule, ", not a power of two from 64 to 16777216",
                      WEIR_MEM_GRANULE);
    if (conf->items > WEIR_MEM_ITEMS_MAX)
        return refuse(plan, "items", conf->items, ", more than fit in a plan", WEIR_MEM_ITEMS_MAX);
    uint32_t least = conf->items + (has_rest(conf) ? WEIR_MEM_AREAS_MAX : 1);
    if (slabs < least || slabs > WEIR_MEM_SLABS_MAX)
        return refuse(plan, "slabs", slabs, ", not a range for each item and area, or more than 65535",
                      slabs < least ? least : WEIR_MEM_SLABS_MAX);
    for (unsigned i = 0; i < conf->items; i++) {
        const struct weir_mem_item *it = &conf->item[i];
        if (!check_item(plan, it)) return false;
        if (it->count == 0 || it->each_bytes == 0)
            return refuse(plan, it->name, it->count * it->each_bytes, " bytes, at least 1 is needed", 1);
        if ((uint64_t)it->skip_bytes + it->stride_bytes > it->count * it->each_bytes)
            return refuse(plan, "skip_bytes", it->skip_bytes, ", so that no cell fits in the item", 0);
    }
    return check_item(plan, &conf->rest);
}
_Static_assert(WEIR_MEM_GRANULE_MIN == 64 && WEIR_MEM_GRANULE_MAX == 16777216, "said in check_conf's text");
_Static_assert(WEIR_MEM_ITEMS_MAX + 4 <= WEIR_PLAN_ROWS_MAX, "a row each");

/* ---- one run of the carver ---- */

/* Granules of one item, with those that its alignment may leave empty before it. Sums stay below 2^64: a size
 * that large is refused by the carver, which counts the same items. */
static uint64_t granules_for(const struct weir_mem_conf *conf, const struct weir_mem_item *it)
{
    uint64_t granule = granule_of(conf);
    if (it->each_bytes == 0 || it->count > (uint64_t)PTRDIFF_MAX / it->each_bytes) return 0;
    uint64_t gap = it->align_bytes > granule ? it->align_bytes / granule - 1 : 0;
    return weir_align_up(it->count * it->each_bytes, granule) / granule + gap;
}

static uint64_t planned_granules(const struct weir_mem_conf *conf)
{
    uint64_t granule = granule_of(conf);
    uint64_t sum = conf->grow_bytes < (uint64_t)PTRDIFF_MAX ? (conf->grow_bytes + granule - 1) / granule : 0;
    for (unsigned i = 0; i < conf->items; i++)
        sum += granules_for(conf, &conf->item[i]);
    return sum + granules_for(conf, &conf->rest);
}

static uintptr_t carve_item(struct placed *p, const struct weir_mem_conf *conf,
                            const struct weir_mem_item *it)
{
    uint32_t align = weir_max_u32(granule_of(conf), it->align_bytes);
    return (uintptr_t)weir_carve(&p->carve, it->name, it->what, it->count, it->each_bytes, align, it->kind);
}

static void lay_out(struct placed *p, const struct weir_mem_conf *conf, const struct weir_area *area,
                    unsigned n, uint64_t granules)
{
    uint32_t granule = granule_of(conf), slabs = slabs_of(conf);
    weir_carve_init(&p->carve, &p->plan, area, n);
    p->slab = weir_carve(&p->carve, "mem_slabs", "which keeper has which range", (uint64_t)slabs + 1,
                         (uint32_t)sizeof(struct weir_mem_slab), TABLE_ALIGN, WEIR_AREA_FAST);
    p->map = weir_carve(&p->carve, "mem_map", "which range lies where", granules, slabs > 255 ? 2 : 1, 2,
                        WEIR_AREA_FAST);
    for (unsigned i = 0; i < conf->items; i++)
        p->item[i] = carve_item(p, conf, &conf->item[i]);
    uint64_t grow = (conf->grow_bytes / granule + (conf->grow_bytes % granule != 0));
    if (grow > 0)
        (void)weir_carve(&p->carve, "mem_grow", "left free to grow in", grow, granule, granule,
                         WEIR_AREA_ANY);
    p->rest = 0;
    if (!has_rest(conf)) return;
    struct weir_mem_item rest = conf->rest;
    if (!rest.name) rest.name = "mem_rest";
    if (!rest.what) rest.what = "the system partition, and whatever is left";
    p->rest = carve_item(p, conf, &rest);
}

static int plan_into(struct placed *p, const struct weir_mem_conf *conf)
{
    memset(&p->plan, 0, sizeof p->plan);
    if (!check_conf(&p->plan, conf)) return WEIR_EPLAN;
    lay_out(p, conf, NULL, 0, planned_granules(conf));
    return p->carve.failed ? WEIR_EPLAN : 0;
}

int weir_mem_plan(const struct weir_mem_conf *conf, struct weir_plan *out)
{
    if (!conf || !out || (conf->items > 0 && !conf->item)) return WEIR_EINVAL;
    struct placed p;
    int err = plan_into(&p, conf);
    *out = p.plan;
    return err;
}

/* ---- areas ---- */

/* The bytes of an area that a placing run used: by carve.h the first area's are the last slot's. */
static size_t used_of(const struct placed *p, const struct weir_area *area, unsigned i)
{
    if (i == 0) return p->carve.used[WEIR_AREA_KINDS];
    for (unsigned j = 0; j < i; j++)
        if (area[j].kind == area[i].kind) return 0; /* only the first of a kind is placed in */
    return p->carve.used[area[i].kind];
}

/* The area in which the tables lie. */
static unsigned tables_area(const struct weir_area *area, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (area[i].kind == WEIR_AREA_FAST) return i;
    return 0;
}

/* Granules beyond the planned ones that n areas hold, when their numbers too have to be stored. */
static uint64_t spare_granules(const struct placed *p, const struct weir_mem_conf *conf,
                               const struct weir_area *area, unsigned n)
{
    uint64_t granule = granule_of(conf), width = slabs_of(conf) > 255 ? 2 : 1, sum = 0;
    unsigned home = tables_area(area, n);
    for (unsigned i = 0; i < n; i++)
        if (i != home) sum += (area[i].bytes - used_of(p, area, i)) / granule;
    uint64_t left = area[home].bytes - used_of(p, area, home), cost = sum * width + granule;
    if (left <= cost) return left >= sum * width ? sum : left / width;
    return sum + (left - cost) / (granule + width);
}

static int check_areas(const struct weir_area *area, unsigned n)
{
    if (!area || n < 1 || n > WEIR_MEM_AREAS_MAX) return WEIR_EINVAL;
    for (unsigned i = 0; i < n; i++) {
        uintptr_t base = (uintptr_t)area[i].base;
        if (base == 0 || (unsigned)area[i].kind >= WEIR_AREA_KINDS) return WEIR_EINVAL;
        if (area[i].bytes > UINTPTR_MAX - base) return WEIR_EINVAL;
        for (unsigned j = 0; j < i; j++) {
            uintptr_t other = (uintptr_t)area[j].base;
            if (base < other + area[j].bytes && other < base + area[i].bytes) return WEIR_EINVAL;
        }
    }
    return 0;
}

/* WEIR_EINVAL for a base that the plan's alignment rules out, WEIR_ENOMEM else. */
static int why_failed(const struct placed *p, const struct weir_area *area, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        bool needed = i == 0 || p->plan.kind_bytes[area[i].kind] > 0;
        if (needed && ((uintptr_t)area[i].base & (p->plan.align_bytes - 1)) != 0) return WEIR_EINVAL;
    }
    return WEIR_ENOMEM;
}

static void sort_areas(struct weir_mem *m)
{
    for (uint32_t i = 1; i < m->areas; i++)
        for (uint32_t j = i; j > 0 && m->area[j].base < m->area[j - 1].base; j--) {
            struct weir_mem_area swap = m->area[j];
            m->area[j] = m->area[j - 1];
            m->area[j - 1] = swap;
        }
}

/* An area's granules. Those that something was placed in have a number for certain, by planned_granules; of
 * *spare, the map's other numbers, it takes as many as it can use, and what has none is not managed. */
static struct weir_mem_area manage(const struct weir_mem *m, const struct weir_area *area, uintptr_t start,
                                   size_t used, uint64_t *spare)
{
    uintptr_t granule = (uintptr_t)1 << m->shift, base = (uintptr_t)area->base;
    struct weir_mem_area a = {.base = base, .bytes = area->bytes};
    uintptr_t gap = (0 - start) & (granule - 1);
    a.origin = gap < base + a.bytes - start ? start + gap : base + a.bytes;
    a.managed = a.bytes - (a.origin - base);
    size_t placed = base + used > a.origin ? used - (a.origin - base) : 0;
    size_t need = (placed + granule - 1) >> m->shift, more = weir_ownermap_granules(m, &a) - need;
    if (more > *spare) {
        more = (size_t)*spare;
        a.managed = (need + more) << m->shift;
    }
    *spare -= more;
    return a;
}

/* Where the granules of each area begin, and which of the map's numbers they get. planned: how many are for
 * what was placed. */
static void number_granules(struct weir_mem *m, const struct placed *p, const struct weir_area *area,
                            unsigned n, uint64_t planned)
{
    uint64_t spare = p->plan.row[1].count - planned;
    unsigned home = tables_area(area, n);
    m->areas = n;
    for (unsigned i = 0; i < n; i++) {
        uintptr_t start = (uintptr_t)area[i].base;
        if (i == home) start = (uintptr_t)p->map + (uintptr_t)(p->plan.row[1].count << m->wide);
        m->area[i] = manage(m, &area[i], start, used_of(p, area, i), &spare);
    }
    sort_areas(m);
    for (uint32_t i = 0; i < m->areas; i++) {
        m->area[i].first = m->granules;
        m->granules += weir_ownermap_granules(m, &m->area[i]);
        m->free_bytes += m->area[i].managed >> m->shift << m->shift;
    }
}

/* ---- opening ---- */

static int begin(struct weir_mem *m, const struct weir_mem_item *it, uintptr_t base, size_t bytes)
{
    struct weir_mem_slab *s = weir_ownermap_add(m, base, bytes);
    if (!s) return WEIR_ENOMEM;
    s->keeper = it->keeper;
    s->obj = it->obj;
    s->name = it->name;
    if (it->stride_bytes > 0) {
        s->stride = it->stride_bytes;
        s->skip = it->skip_bytes;
        s->reciprocal = weir_ownermap_reciprocal(s->stride);
    }
    return it->open ? it->open(it->obj, (void *)base, bytes) : 0;
}

/* The rest begins where it was placed, and in other areas behind the last item, by whole granules. */
static int begin_rest_in(struct weir_mem *m, const struct weir_mem_item *rest, const struct placed *p,
                         const struct weir_mem_area *a, size_t used)
{
    uintptr_t granule = (uintptr_t)1 << m->shift, from = a->base + used;
    bool here = p->rest - a->base < a->bytes && rest->count > 0;
    if (here) from = p->rest;
    if (from < a->origin) from = a->origin;
    size_t off = (size_t)weir_align_up(from - a->origin, granule);
    if (off >= a->managed || (!here && a->managed - off < granule)) return 0;
    return begin(m, rest, a->origin + off, a->managed - off);
}

static int begin_rest(struct weir_mem *m, const struct weir_mem_conf *conf, const struct placed *p,
                      const struct weir_area *area, unsigned n)
{
    struct weir_mem_item rest = conf->rest;
    if (!rest.name) rest.name = "mem_rest";
    for (unsigned i = 0; i < n; i++) {
        const struct weir_mem_area *a = weir_ownermap_area(m, (uintptr_t)area[i].base);
        int err = a ? begin_rest_in(m, &rest, p, a, used_of(p, area, i)) : 0; /* none: it has 0 bytes */
        if (err < 0) return err;
    }
    return 0;
}

static int begin_all(struct weir_mem *m, const struct weir_mem_conf *conf, const struct placed *p,
                     const struct weir_area *area, unsigned n)
{
    for (unsigned i = 0; i < conf->items; i++) {
        const struct weir_mem_item *it = &conf->item[i];
        int err = begin(m, it, p->item[i], (size_t)(it->count * it->each_bytes));
        if (err < 0) return err;
    }
    return has_rest(conf) ? begin_rest(m, conf, p, area, n) : 0;
}

int weir_mem_open(struct weir_mem *m, const struct weir_area *area, unsigned n,
                  const struct weir_mem_conf *conf)
{
    if (!m || !conf || (conf->items > 0 && !conf->item)) return WEIR_EINVAL;
    memset(m, 0, sizeof *m);
    struct placed p;
    int err = check_areas(area, n);
    if (err == 0) err = plan_into(&p, conf);
    if (err < 0) return err;
    uint64_t granules = planned_granules(conf);
    lay_out(&p, conf, area, n, granules);
    if (p.carve.failed) return why_failed(&p, area, n);
    lay_out(&p, conf, area, n, granules + spare_granules(&p, conf, area, n));
    if (p.carve.failed) lay_out(&p, conf, area, n, granules); /* the longer map has pushed a row too far */

    m->shift = (uint8_t)weir_log2(granule_of(conf));
    m->slabs = slabs_of(conf);
    m->wide = m->slabs > 255;
    m->slab = p.slab;
    m->map = p.map;
    memset(m->slab, 0, sizeof *m->slab);
    number_granules(m, &p, area, n, granules);
    if (!conf->zeroed) memset(m->map, 0, m->granules << m->wide);
    m->state = WEIR_MEM_OPEN; /* items may take ranges when they begin */
    m->hooks = conf->hooks;
    err = begin_all(m, conf, &p, area, n);
    if (err < 0) m->state = 0;
    return err < 0 ? err : 0;
}

int weir_mem_seal(struct weir_mem *m)
{
    if (!m || m->state != WEIR_MEM_OPEN) return WEIR_ESTALE;
    m->sealed = 1;
    return 0;
}

int weir_mem_close(struct weir_mem *m)
{
    if (!m || m->state != WEIR_MEM_OPEN) return WEIR_ESTALE;
    for (uint32_t i = 1; i <= m->fresh; i++) {
        const struct weir_mem_slab *s = &m->slab[i];
        if (s->bytes > 0 && s->keeper && s->keeper->live && s->keeper->live(s->obj) > 0) return WEIR_EBUSY;
    }
    m->state = 0;
    return 0;
}
