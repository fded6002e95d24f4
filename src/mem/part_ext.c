/* part_ext.c: what a partition can do beyond part.c: give areas back, resize, nest, be a source, and be looked
 * at. Invariants and picture are part.c's.
 *
 * The copy of a move is made without the lock: both blocks are the caller's meanwhile, so nobody else may
 * touch them, and interrupts are not masked for as long as a copy takes. */
#include <string.h>

#include "base/bits.h"
#include "mem/lock.h"
#include "mem/part_counts.h"

/* ---- areas ---- */

static int remove_area(struct weir_part *part, void *base)
{
    struct weir_policy_stat before;
    if (base != NULL && base == part->held) return WEIR_EBUSY;
    if (part->policy->remove == NULL) return WEIR_ENOTSUP;
    part->policy->stat(part->state, &before);
    int err = part->policy->remove(part->state, base);
    if (err != WEIR_OK) return err;
    part->areas--;
    weir_part_areas_changed(part, &before);
    return WEIR_OK;
}

int weir_part_remove(struct weir_part *part, void *base)
{
    if (!weir_part_open_now(part)) return WEIR_ESTALE;
    uintptr_t before = weir_lock_enter(&part->lock);
    int err = remove_area(part, base);
    weir_lock_leave(&part->lock, before);
    return err;
}

/* A child is counted before its block is taken, so that the parent can't be closed in between. */
static int lease(struct weir_part *parent, int by)
{
    if (!weir_part_open_now(parent)) return WEIR_ESTALE;
    uintptr_t before = weir_lock_enter(&parent->lock);
    parent->children = (uint32_t)((int)parent->children + by);
    weir_lock_leave(&parent->lock, before);
    return WEIR_OK;
}

int weir_part_nest(struct weir_part *child, const struct weir_part_conf *conf, struct weir_part *parent,
                   size_t bytes)
{
    memset(child, 0, sizeof *child);
    int err = lease(parent, 1);
    if (err != WEIR_OK) return err;
    if (bytes == 0) bytes = weir_part_find_max(parent, 0);
    void *block = weir_part_alloc(parent, bytes, 0);
    err = block != NULL ? weir_part_open(child, conf, block, bytes) : WEIR_ENOMEM;
    if (err != WEIR_OK) {
        (void)weir_part_free(parent, block);
        (void)lease(parent, -1);
        return err;
    }
    child->parent = parent;
    child->lease = block;
    uint32_t turn = weir_counts_begin(&child->counts);
    weir_count_add(&child->counts.source_takes, 1);
    weir_counts_end(&child->counts, turn);
    return WEIR_OK;
}

static void *source_take(void *ctx, size_t bytes, size_t align)
{
    return weir_part_alloc(ctx, bytes, align);
}

static void source_give(void *ctx, void *block, size_t bytes)
{
    (void)bytes;
    (void)weir_part_free(ctx, block);
}

struct weir_source weir_part_source(struct weir_part *part)
{
    return (struct weir_source){.ctx = part, .take = source_take, .give = source_give};
}

/* ---- changing the size ---- */

/* Usable bytes where the block is, WEIR_ENOMEM: it has to move, or what is wrong with it. *old: before. */
static ptrdiff_t resize_here(struct weir_part *part, void *block, size_t size, size_t align, size_t *old)
{
    const struct weir_policy *policy = part->policy;
    ptrdiff_t usable = policy->usable(part->state, block);
    if (usable < 0) return usable;
    *old = (size_t)usable;
    bool sound = (align & (align - 1)) == 0; /* else the request for another place is refused */
    if (!sound || (align != 0 && ((uintptr_t)block & (align - 1)) != 0)) return WEIR_ENOMEM;
    size_t want = size < part->least_bytes ? part->least_bytes : size;
    if (policy->resize == NULL) return want <= *old ? usable : WEIR_ENOMEM;
    return policy->resize(part->state, block, want);
}

static void count_resize(struct weir_part *part, size_t size, size_t old, size_t got)
{
    uint32_t turn = weir_counts_begin(&part->counts);
    weir_counts_back(part, old, old > got ? old - got : 0);
    weir_counts_out(&part->counts, size, got);
    weir_counts_end(&part->counts, turn);
}

static void *move(struct weir_part *part, void *block, size_t old, size_t size, size_t align)
{
    void *to = weir_part_alloc(part, size, align);
    if (to == NULL) return NULL;
    memcpy(to, block, old < size ? old : size);
    (void)weir_part_free(part, block);
    return to;
}

void *weir_part_realloc(struct weir_part *part, void *block, size_t size, size_t align)
{
    struct weir_part_report report;
    size_t old = 0;
    if (!weir_part_open_now(part)) return NULL;
    if (block == NULL) return weir_part_alloc(part, size, align);
    uintptr_t before = weir_lock_enter(&part->lock);
    ptrdiff_t got = resize_here(part, block, size, align, &old);
    if (got >= 0) {
        count_resize(part, size, old, (size_t)got);
    } else if (got != WEIR_ENOMEM) {
        weir_part_bad_block(part, block, (int)got, &report);
        part->why = WEIR_WHY_BLOCK;
    }
    weir_lock_leave(&part->lock, before);
    if (got >= 0) return block;
    if (got == WEIR_ENOMEM) return move(part, block, old, size, align);
    weir_part_tell(part, &report);
    return NULL;
}

ptrdiff_t weir_part_usable(struct weir_part *part, const void *block)
{
    if (!weir_part_open_now(part)) return WEIR_ESTALE;
    uintptr_t before = weir_lock_enter(&part->lock);
    ptrdiff_t bytes = part->policy->usable(part->state, block);
    weir_lock_leave(&part->lock, before);
    return bytes;
}

/* ---- looking ---- */

/* Enters for calls that may be long: the hooks, but no mask. */
static uintptr_t look(struct weir_part *part)
{
    return part->lock.kind == WEIR_LOCK_HOOK ? weir_lock_enter(&part->lock) : 0;
}

static void looked(struct weir_part *part, uintptr_t before)
{
    if (part->lock.kind == WEIR_LOCK_HOOK) weir_lock_leave(&part->lock, before);
}

static void fill_stat(const struct weir_part_counts *c, struct weir_mem_stat *out)
{
    uint64_t capacity = weir_count_get(&c->capacity);
    *out = (struct weir_mem_stat){.allocs = weir_count_get(&c->allocs),
                                  .frees = weir_count_get(&c->frees),
                                  .failures = weir_count_get(&c->failures),
                                  .bad_frees = weir_count_get(&c->bad_frees),
                                  .alloc_bytes = weir_count_get(&c->alloc_bytes),
                                  .asked_bytes = weir_count_get(&c->asked_bytes),
                                  .peak = weir_count_get(&c->peak),
                                  .peak_bytes = weir_count_get(&c->peak_bytes),
                                  .low_events = weir_count_get(&c->low_events),
                                  .source_takes = weir_count_get(&c->source_takes),
                                  .source_gives = weir_count_get(&c->source_gives),
                                  .configured_bytes = weir_count_get(&c->configured),
                                  .largest_free = weir_count_get(&c->largest)};
    out->live = out->allocs - out->frees;
    out->live_bytes = out->alloc_bytes - weir_count_get(&c->freed_bytes);
    if (out->live > out->peak) out->peak = out->live;
    if (out->live_bytes > out->peak_bytes) out->peak_bytes = out->live_bytes;
    if (out->live_bytes > weir_count_get(&c->low_limit)) out->low_events++;
    out->free_bytes = capacity > out->live_bytes ? capacity - out->live_bytes : 0;
    out->overhead_bytes = out->configured_bytes - out->free_bytes - out->live_bytes;
}

int weir_part_stat(const struct weir_part *part, struct weir_mem_stat *out)
{
    if (!weir_part_open_now(part)) return WEIR_ESTALE;
    for (unsigned i = 0; i < WEIR_PART_STAT_TRIES; i++) {
        uint32_t turn = __atomic_load_n(&part->counts.turn, __ATOMIC_ACQUIRE);
        if ((turn & 1) != 0) continue;
        fill_stat(&part->counts, out);
        if (__atomic_load_n(&part->counts.turn, __ATOMIC_RELAXED) == turn) return WEIR_OK;
    }
    return WEIR_EAGAIN;
}

static void publish_largest(struct weir_part *part, uint64_t largest)
{
    uint32_t turn = weir_counts_begin(&part->counts);
    weir_count_set(&part->counts.largest, largest);
    weir_counts_end(&part->counts, turn);
}

int weir_part_info(struct weir_part *part, struct weir_part_info *out)
{
    struct weir_policy_stat now;
    if (!weir_part_open_now(part)) return WEIR_ESTALE;
    uintptr_t before = look(part);
    part->policy->stat(part->state, &now);
    publish_largest(part, now.largest_free);
    *out = (struct weir_part_info){.name = part->name,
                                   .policy = part->policy,
                                   .divisions = now.divisions,
                                   .merges = now.merges,
                                   .free_blocks = now.free_blocks,
                                   .areas = part->areas,
                                   .children = part->children,
                                   .options = part->options,
                                   .level = part->level,
                                   .align_bytes = part->align_bytes,
                                   .parent = part->parent,
                                   .why = part->why,
                                   .last_err = part->last_err};
    fill_stat(&part->counts, &out->stat);
    looked(part, before);
    out->stat.free_bytes = now.free_bytes;
    out->stat.overhead_bytes = out->stat.configured_bytes - now.free_bytes - out->stat.live_bytes;
    return WEIR_OK;
}

int weir_part_reset_peak(struct weir_part *part)
{
    if (!weir_part_open_now(part)) return WEIR_ESTALE;
    uintptr_t before = weir_lock_enter(&part->lock);
    uint32_t turn = weir_counts_begin(&part->counts);
    weir_count_set(&part->counts.peak, 0);
    weir_count_set(&part->counts.peak_bytes, 0);
    part->alarm_bytes = 0;
    weir_counts_end(&part->counts, turn);
    weir_lock_leave(&part->lock, before);
    return WEIR_OK;
}

int weir_part_options(struct weir_part *part, uint32_t options, const struct weir_part_hooks *hooks)
{
    if (!weir_part_open_now(part)) return WEIR_ESTALE;
    uintptr_t before = weir_lock_enter(&part->lock);
    struct weir_part_hooks wanted = hooks != NULL ? *hooks : part->hooks;
    bool good = weir_part_hooked(options, &wanted);
    if (good) {
        part->hooks = wanted;
        part->options = options;
    }
    weir_lock_leave(&part->lock, before);
    return good ? WEIR_OK : WEIR_EINVAL;
}

size_t weir_part_find_max(struct weir_part *part, size_t align)
{
    if (!weir_part_open_now(part) || (align & (align - 1)) != 0) return 0;
    uintptr_t before = look(part);
    size_t most = part->policy->find_max(part->state, align);
    looked(part, before);
    return most >= part->least_bytes ? most : 0;
}

int weir_part_walk(struct weir_part *part, weir_walk_fn fn, void *arg)
{
    if (!weir_part_open_now(part)) return WEIR_ESTALE;
    uintptr_t before = look(part);
    int ended = part->policy->walk(part->state, fn, arg);
    looked(part, before);
    return ended;
}

int weir_part_check(struct weir_part *part)
{
    struct weir_policy_stat now;
    struct weir_mem_stat own;
    if (!weir_part_open_now(part)) return WEIR_ESTALE;
    uintptr_t before = look(part);
    int broken = part->policy->check(part->state);
    part->policy->stat(part->state, &now);
    fill_stat(&part->counts, &own);
    looked(part, before);
    if (broken != 0) return broken;
    return own.live == now.live && own.live_bytes == now.live_bytes ? 0 : WEIR_ECORRUPT;
}
