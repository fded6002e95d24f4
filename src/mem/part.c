/* part.c: the compact core of partitions: open, add, alloc, free, close. The rest, which a small image can
 * leave out, is part_ext.c.
 *
 * A partition adds to its policy, in the order of a request:
 *
 *     handle     self = its own address + the way that calls go, or the call ends
 *     lock       nothing when there is none; else enter ... leave around policy and counts
 *     policy     cuts or joins; its level of checks is its own
 *     counts     three stores between two of the sequence counter (part_counts.h)
 *     report     only when it was refused: under the lock the reason, then, without it, log, suspend, abort
 *
 * Invariants, for an open partition between two operations:
 *     allocs - frees           = blocks in use, as the policy counts them
 *     alloc_bytes - freed_bytes = their usable bytes, as the policy counts them
 *     the peaks                = the larger of the members peak, peak_bytes and what is live
 *     low-water events         = the member low_events, and one more while live bytes > low_limit
 *     configured               = bytes of all areas + the policy's state
 *     children                 = partitions that were opened inside and are not closed
 *
 * Where the policy's state lies. The caller may bring memory for it. Without, it takes the front of the first
 * area, so one array makes a partition; that area then stays until the end.
 *
 *     base | gap | policy's state | gap | area as the policy sees it ... |
 *
 * Rejected. Gauges of free bytes and of the largest free block, kept up to date with each request, so that any
 * thread could read them: two more calls of the policy each time. Instead weir_part_stat derives what it can,
 * and weir_part_info asks under the lock. A magic word as proof of the handle: a copy of the structure has it
 * as well; its own address costs the same comparison. */
#include <string.h>

#include "base/bits.h"
#include "mem/lock.h"
#include "mem/part_counts.h"

/* ---- opening ---- */

#define STATE_ALIGN ((size_t)16) /* of max_align_t, on every processor that has one of 16 bytes or less */
_Static_assert(_Alignof(max_align_t) <= 16, "the policy's state is aligned to 16 bytes");

bool weir_part_hooked(uint32_t options, const struct weir_part_hooks *hooks)
{
    uint32_t logs = WEIR_PART_ALLOC_LOG | WEIR_PART_BLOCK_LOG;
    uint32_t suspends = WEIR_PART_ALLOC_SUSPEND | WEIR_PART_BLOCK_SUSPEND;
    if ((options & ~(uint32_t)WEIR_PART_OPTIONS) != 0) return false;
    if ((options & logs) != 0 && hooks->log == NULL) return false;
    return (options & suspends) == 0 || hooks->suspend != NULL;
}

static struct weir_policy_conf cut_of(const struct weir_part_conf *conf, size_t first_area_bytes)
{
    struct weir_policy_conf cut = conf->cut;
    if (cut.area_bytes == 0) cut.area_bytes = first_area_bytes;
    return cut;
}

size_t weir_part_state_bytes(const struct weir_part_conf *conf, size_t first_area_bytes)
{
    struct weir_policy_conf cut = cut_of(conf, first_area_bytes);
    return conf->policy->state_bytes(&cut);
}

static int check_conf(const struct weir_part_conf *conf)
{
    if (conf->policy == NULL || !weir_part_hooked(conf->options, &conf->hooks)) return WEIR_EINVAL;
    bool constant = (conf->policy->caps & WEIR_POLICY_CONSTANT) != 0;
    if (conf->lock.kind == WEIR_LOCK_MASK && !constant) return WEIR_EINVAL;
    return weir_lock_check(&conf->lock);
}

/* Bytes at the front of an area that the policy's state takes: 0 where there is no room. */
static size_t state_front(const void *base, size_t bytes, size_t need)
{
    size_t gap = (size_t)(0 - (uintptr_t)base) & (STATE_ALIGN - 1);
    if (base == NULL || bytes < gap || bytes - gap < need) return 0;
    return gap + need;
}

/* Finds the place of the state. *front: bytes of the area that it takes. */
static int place_state(struct weir_part *part, const struct weir_part_conf *conf, void *base, size_t bytes,
                       size_t *front)
{
    size_t need = weir_part_state_bytes(conf, bytes);
    *front = 0;
    if (need == 0) return WEIR_EINVAL;
    part->held_bytes = need;
    if (conf->state != NULL) {
        bool fits = conf->state_bytes >= need && ((uintptr_t)conf->state & (_Alignof(max_align_t) - 1)) == 0;
        part->state = conf->state;
        return fits ? WEIR_OK : WEIR_EINVAL;
    }
    *front = state_front(base, bytes, need);
    if (*front == 0) return WEIR_EINVAL;
    part->state = (uint8_t *)base + (*front - need);
    part->held_bytes = *front;
    part->held = base;
    return WEIR_OK;
}

/* The counts are being changed. A time below the mark also ends when the mark moves. */
static void set_alarm(struct weir_part *part)
{
    struct weir_part_counts *c = &part->counts;
    uint64_t capacity = weir_count_own(&c->capacity), limit = UINT64_MAX;
    if (part->low_bytes != 0) limit = capacity > part->low_bytes ? capacity - part->low_bytes : 0;
    uint64_t live_bytes = weir_count_own(&c->alloc_bytes) - weir_count_own(&c->freed_bytes);
    if (live_bytes > weir_count_own(&c->low_limit) && live_bytes <= limit) weir_count_add(&c->low_events, 1);
    weir_count_set(&c->low_limit, limit);
    uint64_t peak = weir_count_own(&c->peak_bytes);
    part->alarm_bytes = peak < limit ? peak : limit;
}

void weir_part_crest(struct weir_part *part, uint64_t live_bytes, size_t fewer)
{
    struct weir_part_counts *c = &part->counts;
    uint64_t limit = weir_count_own(&c->low_limit);
    if (live_bytes > limit && live_bytes - fewer <= limit) weir_count_add(&c->low_events, 1);
    if (live_bytes > weir_count_own(&c->peak_bytes)) weir_count_set(&c->peak_bytes, live_bytes);
    set_alarm(part);
}

/* The policy's areas are others than before. */
void weir_part_areas_changed(struct weir_part *part, const struct weir_policy_stat *before)
{
    struct weir_part_counts *c = &part->counts;
    struct weir_policy_stat now;
    part->policy->stat(part->state, &now);
    size_t most = part->policy->find_max(part->state, 0);
    if (most > part->most_bytes) part->most_bytes = most;
    uint32_t turn = weir_counts_begin(c);
    weir_count_add(&c->configured, now.area_bytes - before->area_bytes);
    weir_count_add(&c->capacity, now.free_bytes - before->free_bytes);
    weir_count_set(&c->largest, now.largest_free);
    set_alarm(part);
    weir_counts_end(c, turn);
}

static int add_area(struct weir_part *part, void *base, size_t bytes)
{
    struct weir_policy_stat before;
    part->policy->stat(part->state, &before);
    int err = part->policy->add(part->state, base, bytes);
    if (err != WEIR_OK) return err;
    part->areas++;
    weir_part_areas_changed(part, &before);
    return WEIR_OK;
}

/* Which way requests and releases go, in the two bits that an address leaves free: one comparison then proves
 * the handle and finds the way. */
enum way { PLAIN = 0, HOOKED = 1, LONG = 2 };
/* Built for size, everything goes the long way: a quarter less code. */
#ifdef __OPTIMIZE_SIZE__
enum { SHORT_WAYS = 0 };
#else
enum { SHORT_WAYS = 1 };
#endif
_Static_assert(_Alignof(struct weir_part) >= 4, "two bits are free");

static enum way way_of(const struct weir_part_conf *conf)
{
    if (!SHORT_WAYS || conf->least_bytes != 0 || conf->lock.kind == WEIR_LOCK_MASK) return LONG;
    return conf->lock.kind == WEIR_LOCK_HOOK ? HOOKED : PLAIN;
}

static void fill_in(struct weir_part *part, const struct weir_part_conf *conf)
{
    part->policy = conf->policy;
    part->alloc = conf->policy->alloc;
    part->release = conf->policy->release;
    part->name = conf->name != NULL ? conf->name : "";
    part->least_bytes = conf->least_bytes;
    part->low_bytes = conf->low_bytes;
    part->lock = conf->lock;
    part->hooks = conf->hooks;
    part->options = conf->options;
    part->level = conf->cut.level;
    part->align_bytes = conf->cut.align_bytes != 0 ? conf->cut.align_bytes : (uint32_t)sizeof(void *);
}

int weir_part_open(struct weir_part *part, const struct weir_part_conf *conf, void *base, size_t bytes)
{
    size_t front;
    memset(part, 0, sizeof *part);
    int err = check_conf(conf);
    if (err == WEIR_OK) err = place_state(part, conf, base, bytes, &front);
    if (err != WEIR_OK) return err;
    struct weir_policy_conf cut = cut_of(conf, bytes);
    fill_in(part, conf);
    err = part->policy->init(part->state, &cut);
    if (err != WEIR_OK) return err;
    weir_count_set(&part->counts.configured, part->held_bytes);
    set_alarm(part);
    if (base != NULL) err = add_area(part, (uint8_t *)base + front, bytes - front);
    if (err == WEIR_OK) part->self = (uintptr_t)part + way_of(conf);
    return err;
}

int weir_part_add(struct weir_part *part, void *base, size_t bytes)
{
    if (!weir_part_open_now(part)) return WEIR_ESTALE;
    uintptr_t before = weir_lock_enter(&part->lock);
    int err = add_area(part, base, bytes);
    weir_lock_leave(&part->lock, before);
    return err;
}

static void end_lease(struct weir_part *parent, void *lease)
{
    (void)weir_part_free(parent, lease);
    uintptr_t before = weir_lock_enter(&parent->lock);
    parent->children--;
    weir_lock_leave(&parent->lock, before);
}

int weir_part_close(struct weir_part *part)
{
    if (!weir_part_open_now(part)) return WEIR_ESTALE;
    uintptr_t before = weir_lock_enter(&part->lock);
    bool busy = part->children > 0;
    uint64_t live = weir_count_own(&part->counts.allocs) - weir_count_own(&part->counts.frees);
    if (!busy) part->self = 0;
    weir_lock_leave(&part->lock, before);
    if (busy) return WEIR_EBUSY;
    if (part->parent != NULL) end_lease(part->parent, part->lease);
    return live > INT32_MAX ? INT32_MAX : (int)live;
}

/* ---- what was refused ---- */

static enum weir_why reason(const struct weir_part *part, size_t size, size_t align,
                            const struct weir_policy_stat *now)
{
    bool aligns = (part->policy->caps & WEIR_POLICY_ALIGN) != 0;
    if ((align & (align - 1)) != 0 || (!aligns && align > part->align_bytes)) return WEIR_WHY_ALIGN;
    if (size > part->most_bytes) return WEIR_WHY_SIZE;
    return size > now->free_bytes ? WEIR_WHY_FULL : WEIR_WHY_SCATTERED;
}

void weir_part_refused(struct weir_part *part, size_t size, size_t align, struct weir_part_report *report)
{
    struct weir_policy_stat now;
    part->policy->stat(part->state, &now);
    part->why = reason(part, size > part->least_bytes ? size : part->least_bytes, align, &now);
    uint32_t turn = weir_counts_begin(&part->counts);
    weir_count_add(&part->counts.failures, 1);
    weir_count_set(&part->counts.largest, now.largest_free);
    weir_counts_end(&part->counts, turn);
    *report = (struct weir_part_report){.part = part,
                                        .name = part->name,
                                        .fault = WEIR_PART_ALLOC,
                                        .err = part->why == WEIR_WHY_ALIGN ? WEIR_EINVAL : WEIR_ENOMEM,
                                        .why = part->why,
                                        .size = size,
                                        .align = align};
}

void weir_part_bad_block(struct weir_part *part, const void *block, int err, struct weir_part_report *report)
{
    part->last_err = err;
    uint32_t turn = weir_counts_begin(&part->counts);
    weir_count_add(&part->counts.bad_frees, 1);
    weir_counts_end(&part->counts, turn);
    *report = (struct weir_part_report){
        .part = part, .name = part->name, .fault = WEIR_PART_BLOCK, .err = err, .block = block};
}

void weir_part_tell(struct weir_part *part, const struct weir_part_report *report)
{
    struct weir_part_hooks hooks = part->hooks;
    uint32_t flags = part->options;
    if (report->fault == WEIR_PART_BLOCK) flags /= WEIR_PART_BLOCK_LOG;
    if ((flags & WEIR_PART_ALLOC_LOG) != 0) hooks.log(hooks.ctx, report);
    if ((flags & WEIR_PART_ALLOC_SUSPEND) != 0) hooks.suspend(hooks.ctx, report);
    if ((flags & WEIR_PART_ALLOC_ABORT) == 0) return;
    if (hooks.abort != NULL) hooks.abort(hooks.ctx, report);
    __builtin_trap();
}

enum weir_why weir_part_why(const struct weir_part *part)
{
    return weir_part_open_now(part) ? part->why : WEIR_WHY_STALE;
}

/* ---- blocks ---- */

/* What a refusal must tell. In memory because `got` has to be: so no register is kept across the policy's call
 * for what is hardly ever needed after it. */
struct request {
    size_t got, size, align;
    uintptr_t before;
};

WEIR_TEMPLATE void *take(struct weir_part *part, struct request *r, size_t size)
{
    if (__builtin_expect(r->align != 0, 0) && (r->align & (r->align - 1)) != 0) return NULL;
    void *block = part->alloc(part->state, size, r->align, &r->got);
    if (__builtin_expect(block == NULL, 0)) return NULL;
    uint32_t turn = weir_counts_begin(&part->counts);
    weir_count_add(&part->counts.allocs, 1);
    weir_counts_out(&part->counts, r->size, r->got);
    weir_counts_end(&part->counts, turn);
    return block;
}

static WEIR_APART void *refuse(struct weir_part *part, const struct request *r)
{
    struct weir_part_report report;
    weir_part_refused(part, r->size, r->align, &report);
    weir_part_tell(part, &report);
    return NULL;
}

static WEIR_APART void *refuse_inside(struct weir_part *part, const struct request *r, uintptr_t before)
{
    struct weir_part_report report;
    weir_part_refused(part, r->size, r->align, &report);
    weir_lock_leave(&part->lock, before);
    weir_part_tell(part, &report);
    return NULL;
}

static WEIR_APART void *alloc_plain(struct weir_part *part, size_t size, size_t align)
{
    struct request r;
    r.size = size;
    r.align = align;
    void *block = take(part, &r, size);
    return __builtin_expect(block != NULL, 1) ? block : refuse(part, &r);
}

static WEIR_APART void *alloc_hooked(struct weir_part *part, size_t size, size_t align)
{
    struct request r;
    r.size = size;
    r.align = align;
    r.before = part->lock.enter(part->lock.ctx);
    void *block = take(part, &r, r.size);
    if (__builtin_expect(block == NULL, 0)) return refuse_inside(part, &r, r.before);
    part->lock.leave(part->lock.ctx, r.before);
    return block;
}

/* A mask, or a least size, or no partition at all. */
static WEIR_APART void *alloc_long(struct weir_part *part, size_t size, size_t align)
{
    struct request r;
    if (!weir_part_open_now(part)) return NULL;
    r.size = size;
    r.align = align;
    uintptr_t before = weir_lock_enter(&part->lock);
    void *block = take(part, &r, size < part->least_bytes ? part->least_bytes : size);
    if (__builtin_expect(block == NULL, 0)) return refuse_inside(part, &r, before);
    weir_lock_leave(&part->lock, before);
    return block;
}

void *weir_part_alloc(struct weir_part *part, size_t size, size_t align)
{
    if (part == NULL) return NULL;
    if (!SHORT_WAYS) return alloc_long(part, size, align);
    uintptr_t way = part->self - (uintptr_t)part;
    if (way == HOOKED) return alloc_hooked(part, size, align);
    return way == PLAIN ? alloc_plain(part, size, align) : alloc_long(part, size, align);
}

WEIR_TEMPLATE ptrdiff_t give(struct weir_part *part, void *block)
{
    part->leaving = block;
    ptrdiff_t bytes = part->release(part->state, block);
    if (__builtin_expect(bytes < 0, 0)) return bytes;
    uint32_t turn = weir_counts_begin(&part->counts);
    weir_counts_block_back(&part->counts);
    weir_counts_back(part, (size_t)bytes, (size_t)bytes);
    weir_counts_end(&part->counts, turn);
    return WEIR_OK;
}

static WEIR_APART int refuse_block(struct weir_part *part, int err)
{
    struct weir_part_report report;
    weir_part_bad_block(part, part->leaving, err, &report);
    weir_part_tell(part, &report);
    return err;
}

static WEIR_APART int refuse_block_inside(struct weir_part *part, int err, uintptr_t before)
{
    struct weir_part_report report;
    weir_part_bad_block(part, part->leaving, err, &report);
    weir_lock_leave(&part->lock, before);
    weir_part_tell(part, &report);
    return err;
}

static WEIR_APART int free_plain(struct weir_part *part, void *block)
{
    ptrdiff_t err = give(part, block);
    return __builtin_expect(err == WEIR_OK, 1) ? WEIR_OK : refuse_block(part, (int)err);
}

static WEIR_APART int free_hooked(struct weir_part *part, void *block)
{
    uintptr_t before = part->lock.enter(part->lock.ctx);
    ptrdiff_t err = give(part, block);
    if (__builtin_expect(err != WEIR_OK, 0)) return refuse_block_inside(part, (int)err, before);
    part->lock.leave(part->lock.ctx, before);
    return WEIR_OK;
}

static WEIR_APART int free_long(struct weir_part *part, void *block)
{
    if (!weir_part_open_now(part)) return WEIR_ESTALE;
    if (block == NULL) return WEIR_OK;
    uintptr_t before = weir_lock_enter(&part->lock);
    ptrdiff_t err = give(part, block);
    if (__builtin_expect(err != WEIR_OK, 0)) return refuse_block_inside(part, (int)err, before);
    weir_lock_leave(&part->lock, before);
    return WEIR_OK;
}

int weir_part_free(struct weir_part *part, void *block)
{
    if (!SHORT_WAYS || part == NULL || block == NULL) return free_long(part, block);
    uintptr_t way = part->self - (uintptr_t)part;
    if (way == HOOKED) return free_hooked(part, block);
    return way == PLAIN ? free_plain(part, block) : free_long(part, block);
}
