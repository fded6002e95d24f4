/* small_look.c: the small-object manager looked at, and its table as a policy. The theory is at the head of
 * small.c. */
#include <string.h>

#include "mem/small_parts.h"

int weir_small_class_of(const struct weir_small *s, size_t size)
{
    if (size > s->largest || s->state != WEIR_SMALL_OPEN) return WEIR_EINVAL;
    return (int)(s->class_of[(size + sizeof(void *) - 1) / sizeof(void *)] * 8u /
                 sizeof(struct weir_small_class));
}

enum weir_why weir_small_why(const struct weir_small *s)
{
    return s->state == WEIR_SMALL_OPEN ? (enum weir_why)s->why : WEIR_WHY_STALE;
}

uint32_t weir_small_live(const struct weir_small *s)
{
    return s->peak - (uint32_t)s->room;
}

uint64_t weir_small_corrupt(const struct weir_small *s)
{
    return s->corrupt;
}

static uint64_t live_bytes(const struct weir_small *s)
{
    return s->peak_bytes - (uint64_t)s->room_bytes;
}

ptrdiff_t weir_small_usable(const struct weir_small *s, const void *object)
{
    if (s->state != WEIR_SMALL_OPEN) return WEIR_ESTALE;
    struct weir_small_run *r;
    int err = weir_small_locate(s, object, &r);
    return err != 0 ? err : r->stride;
}

void weir_small_peak_reset(struct weir_small *s)
{
    s->peak = weir_small_live(s);
    s->peak_bytes = live_bytes(s);
    s->room = 0;
    s->room_bytes = 0;
}

/* ---- counts ---- */

static bool run_free(const struct weir_small_run *r)
{
    return r->where != WEIR_SMALL_IDLE && weir_small_used(r) < r->cells;
}

bool weir_small_can(const struct weir_small *s, const struct weir_small_class *c)
{
    if (c->head != 0 || s->idle_runs > 0 || s->fresh_runs < s->runs) return true;
    if (c->cur != &s->none && run_free(c->cur)) return true;
    for (uint32_t n = 0; n < s->classes; n++)
        if (s->cls[n].cur != &s->none && s->cls[n].cur->more < 0) return true;
    return false;
}

static size_t find_max(const struct weir_small *s, size_t align)
{
    for (uint32_t n = s->classes; n-- > 0;)
        if (s->cls[n].stride % align == 0 && weir_small_can(s, &s->cls[n])) return s->cls[n].stride;
    return 0;
}

/* Bytes of runs that serve a class: free, and in no object. */
static void sum_runs(const struct weir_small *s, uint64_t *free_bytes, uint64_t *free_blocks, uint64_t *tails)
{
    *free_bytes = *free_blocks = *tails = 0;
    for (uint32_t n = 0; n < s->runs; n++) {
        const struct weir_small_run *r = &s->run[n];
        uint32_t cells = r->cells - weir_small_used(r);
        if (r->where == WEIR_SMALL_IDLE) {
            *free_bytes += s->run_bytes;
            ++*free_blocks;
            continue;
        }
        *free_bytes += (uint64_t)cells * r->stride;
        *free_blocks += cells;
        *tails += s->run_bytes - (uint32_t)r->cells * r->stride;
    }
}

void weir_small_info(const struct weir_small *s, struct weir_mem_stat *stat)
{
    *stat = (struct weir_mem_stat){0};
    if (s->state != WEIR_SMALL_OPEN) return;
    uint64_t blocks, tails;
    for (uint32_t n = 0; n < s->classes; n++) {
        stat->allocs += s->cls[n].allocs;
        stat->alloc_bytes += s->cls[n].allocs * s->cls[n].stride;
    }
    sum_runs(s, &stat->free_bytes, &blocks, &tails);
    stat->live = weir_small_live(s);
    stat->live_bytes = live_bytes(s);
    stat->frees = stat->allocs - stat->live;
    stat->peak = s->peak;
    stat->peak_bytes = s->peak_bytes;
    stat->failures = s->failures;
    stat->bad_frees = s->bad;
    stat->asked_bytes = s->asked;
    stat->configured_bytes = s->arena_bytes + sizeof *s;
    stat->overhead_bytes = s->arena_bytes - (uint64_t)s->runs * s->run_bytes + tails + sizeof *s;
    stat->largest_free = find_max(s, 1);
}

int weir_small_class(const struct weir_small *s, uint32_t n, struct weir_small_class_info *info)
{
    if (s->state != WEIR_SMALL_OPEN) return WEIR_ESTALE;
    if (n >= s->classes) return WEIR_EINVAL;
    const struct weir_small_class *c = &s->cls[n];
    uint32_t grains = s->run_bytes >> s->grain_shift;
    *info = (struct weir_small_class_info){.bytes = c->stride,
                                           .sizes_from = n == 0 ? 1 : s->cls[n - 1].stride + 1,
                                           .run_cells = c->cells,
                                           .tail_bytes = s->run_bytes - c->cells * c->stride,
                                           .run_table = (uint32_t)sizeof *s->run + (grains + 31) / 32 * 4,
                                           .runs = c->runs,
                                           .allocs = c->allocs};
    info->milli_bytes = (uint32_t)((uint64_t)(s->run_bytes + info->run_table) * 1000 / c->cells);
    for (uint32_t i = 0; i < s->fresh_runs; i++)
        if (s->run[i].where != WEIR_SMALL_IDLE && s->run[i].cls == n)
            info->live += weir_small_used(&s->run[i]);
    return (int)n;
}

/* ---- walking ---- */

static int show(weir_walk_fn walk, void *arg, uintptr_t at, size_t bytes, enum weir_block_state state)
{
    struct weir_block b = {(const void *)at, bytes, state};
    return bytes == 0 ? 0 : walk(arg, &b);
}

static int walk_run(const struct weir_small *s, const struct weir_small_run *r, weir_walk_fn walk, void *arg)
{
    uintptr_t at = weir_small_run_base(s, r);
    if (r->where == WEIR_SMALL_IDLE) return show(walk, arg, at, s->run_bytes, WEIR_BLOCK_FREE);
    int stop = 0;
    for (uint32_t i = 0; i < r->cells && stop == 0; i++, at += r->stride)
        stop = show(walk, arg, at, r->stride, weir_small_in_use(s, r, i) ? WEIR_BLOCK_USED : WEIR_BLOCK_FREE);
    size_t tail = s->run_bytes - (size_t)r->cells * r->stride;
    return stop != 0 ? stop : show(walk, arg, at, tail, WEIR_BLOCK_META);
}

int weir_small_walk(const struct weir_small *s, weir_walk_fn walk, void *arg)
{
    if (s->state != WEIR_SMALL_OPEN) return WEIR_ESTALE;
    uintptr_t arena = (uintptr_t)s->arena, end = s->base + (uintptr_t)s->runs * s->run_bytes;
    int stop = show(walk, arg, arena, s->base - arena, WEIR_BLOCK_META);
    for (uint32_t n = 0; n < s->runs && stop == 0; n++)
        stop = walk_run(s, &s->run[n], walk, arg);
    return stop != 0 ? stop : show(walk, arg, end, arena + s->arena_bytes - end, WEIR_BLOCK_META);
}

/* ---- invariants; the numbers are those of small.c ---- */

static bool list_sound(const struct weir_small *s, const struct weir_small_run *r)
{
    uint32_t n = 0, most = r->fresh - weir_small_used(r);
    for (void *object = r->free; object != NULL; n++) {
        uintptr_t off = (uintptr_t)object - weir_small_run_base(s, r);
        if (n == most || off % r->stride != 0 || off / r->stride >= r->fresh) return false;
        if (weir_small_in_use(s, r, (uint32_t)(off / r->stride))) return false;
        memcpy(&object, object, sizeof object);
    }
    return n == most;
}

static uint32_t bits_of(const struct weir_small *s, const struct weir_small_run *r)
{
    uintptr_t first = (uintptr_t)(r - s->run) << s->run_shift;
    uint32_t n = 0;
    for (uintptr_t i = 0; i < (uintptr_t)1 << s->run_shift; i++)
        n += weir_small_bit(s, first + i);
    return n;
}

static int run_check(const struct weir_small *s, const struct weir_small_run *r)
{
    uint32_t used = weir_small_used(r);
    const struct weir_small_class *c = &s->cls[r->cls];
    if (r->where == WEIR_SMALL_IDLE) return r->stride == 0 && r->more == -1 && bits_of(s, r) == 0 ? 0 : 4;
    if (bits_of(s, r) != used) return 1;
    if (used > r->fresh || r->fresh > r->cells || (r->where == WEIR_SMALL_FULL && r->more != 0)) return 2;
    if (!list_sound(s, r)) return 3;
    if ((c->cur == r) != (r->where == WEIR_SMALL_NOW) || r->stride != c->stride) return 4;
    return r->where == WEIR_SMALL_PARTIAL && (used == 0 || used == r->cells) ? 5 : 0;
}

static bool class_sound(const struct weir_small *s, uint32_t n)
{
    const struct weir_small_class *c = &s->cls[n];
    uint32_t runs = 0, listed = 0, on_list = 0, before = 0;
    for (uint32_t i = 0; i < s->runs; i++) {
        bool ours = s->run[i].where != WEIR_SMALL_IDLE && s->run[i].cls == n;
        runs += ours;
        listed += ours && s->run[i].where == WEIR_SMALL_PARTIAL;
    }
    for (uint32_t at = c->head; at != 0; before = at, at = s->run[at - 1].next)
        if (s->run[at - 1].prev != before || s->run[at - 1].cls != n || on_list++ == listed) return false;
    return runs == c->runs && on_list == listed && c->tail == before;
}

int weir_small_check(const struct weir_small *s)
{
    if (s->state != WEIR_SMALL_OPEN) return 0;
    uint64_t used = 0, bytes = 0;
    uint32_t idle = 0;
    for (uint32_t n = 0; n < s->runs; n++) {
        const struct weir_small_run *r = &s->run[n];
        int broken = run_check(s, r);
        if (broken != 0) return broken;
        used += weir_small_used(r);
        bytes += (uint64_t)weir_small_used(r) * r->stride;
        if (n < s->fresh_runs && r->where == WEIR_SMALL_IDLE) idle++;
    }
    if (used != weir_small_live(s) || bytes != live_bytes(s) || s->room < 0 || s->room_bytes < 0) return 1;
    for (uint32_t at = s->idle; at != 0; at = s->run[at - 1].next)
        if (s->run[at - 1].where != WEIR_SMALL_IDLE || idle-- == 0) return 4;
    if (idle != 0) return 4;
    for (uint32_t n = 0; n < s->classes; n++)
        if (!class_sound(s, n)) return 5;
    return 0;
}

/* ---- as a policy ---- */

struct policy_state {
    struct weir_small small;
    struct weir_small_conf conf;
};

static struct weir_small_conf conf_of(const struct weir_policy_conf *conf)
{
    struct weir_small_conf c = {0};
    if (conf->extra != NULL) c = *(const struct weir_small_conf *)conf->extra;
    if (conf->align_bytes != 0) c.align_bytes = weir_max_u32(conf->align_bytes, sizeof(void *));
    return c;
}

static size_t policy_state_bytes(const struct weir_policy_conf *conf)
{
    struct weir_small_conf c = conf_of(conf);
    uint32_t align = conf->align_bytes; /* conf_of raises it, also one that is none */
    if ((align & (align - 1)) != 0 || align > 16) return 0;
    if (conf->areas > 1 || conf->level > 2 || weir_small_bytes(&c, 1) == 0) return 0;
    return sizeof(struct policy_state);
}

static int policy_init(void *state, const struct weir_policy_conf *conf)
{
    if (policy_state_bytes(conf) == 0) return WEIR_EINVAL;
    struct policy_state *p = state;
    memset(p, 0, sizeof *p);
    for (uint32_t n = 0; n < WEIR_SMALL_CLASSES; n++)
        p->small.cls[n].cur = &p->small.none;
    p->conf = conf_of(conf);
    return WEIR_OK;
}

static int policy_add(void *state, void *base, size_t bytes)
{
    struct policy_state *p = state;
    if (p->small.state == WEIR_SMALL_OPEN) return WEIR_EMFILE;
    return weir_small_open(&p->small, &p->conf, base, bytes);
}

static int policy_remove(void *state, void *base)
{
    struct policy_state *p = state;
    if (p->small.state != WEIR_SMALL_OPEN || base != p->small.arena) return WEIR_EFOREIGN;
    return weir_small_close(&p->small);
}

static void *policy_alloc(void *state, size_t size, size_t align, size_t *got)
{
    struct weir_small *s = &((struct policy_state *)state)->small;
    void *object = align == 0 ? weir_small_alloc(s, size) : weir_small_alloc_aligned(s, size, align);
    if (object != NULL) *got = s->run[((uintptr_t)object - s->base) / s->run_bytes].stride;
    return object;
}

static ptrdiff_t policy_release(void *state, void *block)
{
    struct weir_small *s = &((struct policy_state *)state)->small;
    return s->state == WEIR_SMALL_OPEN ? weir_small_free(s, block) : WEIR_EFOREIGN;
}

static ptrdiff_t policy_usable(const void *state, const void *block)
{
    const struct weir_small *s = &((const struct policy_state *)state)->small;
    return s->state == WEIR_SMALL_OPEN ? weir_small_usable(s, block) : WEIR_EFOREIGN;
}

static void policy_stat(const void *state, struct weir_policy_stat *stat)
{
    const struct weir_small *s = &((const struct policy_state *)state)->small;
    uint64_t tails;
    *stat = (struct weir_policy_stat){.divisions = s->cuts, .merges = s->joins};
    if (s->state != WEIR_SMALL_OPEN) return;
    sum_runs(s, &stat->free_bytes, &stat->free_blocks, &tails);
    stat->area_bytes = s->arena_bytes;
    stat->overhead_bytes = s->arena_bytes - (uint64_t)s->runs * s->run_bytes + tails;
    stat->largest_free = find_max(s, 1);
    stat->live = weir_small_live(s);
    stat->live_bytes = live_bytes(s);
}

static size_t policy_find_max(const void *state, size_t align)
{
    const struct weir_small *s = &((const struct policy_state *)state)->small;
    if (s->state != WEIR_SMALL_OPEN || (align & (align - 1)) != 0 || align > s->largest) return 0;
    return find_max(s, align == 0 ? 1 : align);
}

static int policy_walk(const void *state, weir_walk_fn walk, void *arg)
{
    const struct weir_small *s = &((const struct policy_state *)state)->small;
    return s->state == WEIR_SMALL_OPEN ? weir_small_walk(s, walk, arg) : 0;
}

static int policy_check(const void *state)
{
    return weir_small_check(&((const struct policy_state *)state)->small);
}

const struct weir_policy weir_small_policy = {
    .name = "small",
    .what = "runs of size classes, owner from the address, no heads",
    .caps = WEIR_POLICY_ALIGN | WEIR_POLICY_REMOVE | WEIR_POLICY_CONSTANT | WEIR_POLICY_CHECKS,
    .head_bytes = 0,
    .state_bytes = policy_state_bytes,
    .init = policy_init,
    .add = policy_add,
    .remove = policy_remove,
    .alloc = policy_alloc,
    .release = policy_release,
    .usable = policy_usable,
    .stat = policy_stat,
    .find_max = policy_find_max,
    .walk = policy_walk,
    .check = policy_check,
};
