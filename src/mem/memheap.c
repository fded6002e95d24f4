/* memheap.c: the standard calls over weir_mem. See malloc.h.
 *
 *     request     small        -> the manager of small objects, whose blocks are ranges of the weir_mem
 *                 else         -> the system partition, over the rest or over ranges of the weir_mem
 *     release     any address  -> the owner map -> its keeper
 *
 * Growth. When the partition has no room it takes as much again as it has, so that a heap of n bytes has
 * log2(n / grow_bytes) ranges: each is one more for its policy to look at. The least is the request with
 * SLACK for the policy's heads and its search rounding, the most conf.area_bytes.
 *
 * Invariants: part_bytes = sum of the ranges that the map says are the partition's; a block of the partition
 * lies in one of them. */
#include "mem/memheap.h"

#include <string.h>

#include "base/bits.h"
#include "mem/lock.h"
#include "mem/ownermap.h"

#define HEAP_OPEN 0x48454150u

/* What an area must have beyond one block: 1/16 for a search that rounds sizes up to its lists, heads. */
static size_t with_slack(size_t size, size_t align)
{
    size_t slack = size / 16 + align + 1024;
    return size > SIZE_MAX / 2 - align - 1024 - SIZE_MAX / 32 ? SIZE_MAX : size + slack;
}

static uint32_t align_of(const struct weir_heap_conf *conf)
{
    return conf->align_bytes != 0 ? conf->align_bytes : (uint32_t)(2 * sizeof(void *));
}

static int set_conf(struct weir_heap *h, struct weir_mem *mem, const struct weir_heap_conf *conf)
{
    const uint32_t alloc_options = WEIR_PART_ALLOC_LOG | WEIR_PART_ALLOC_SUSPEND | WEIR_PART_ALLOC_ABORT;
    if (!h || !mem || !conf) return WEIR_EINVAL;
    memset(h, 0, sizeof *h);
    h->mem = mem;
    h->conf = *conf;
    h->conf.align_bytes = align_of(conf);
    if (!h->conf.policy) h->conf.policy = &weir_tlsf;
    if (h->conf.areas == 0) h->conf.areas = WEIR_MEM_AREAS_MAX;
    if (h->conf.align_bytes != 8 && h->conf.align_bytes != 16) return WEIR_EINVAL;
    /* A partition that grows is refused first and served then: that is nothing to report. */
    if (conf->grow_bytes > 0 && (conf->options & alloc_options) != 0) return WEIR_EINVAL;
    if (conf->small_bytes > 0) {
        h->small_largest = weir_heap_small_largest(&h->conf);
        if (h->small_largest == 0) return WEIR_EINVAL;
    }
    int err = weir_lock_check(&conf->mem_lock);
    return err < 0 ? err : weir_lock_check(&conf->lock);
}

static int open_part(struct weir_heap *h, void *base, size_t bytes)
{
    const struct weir_heap_conf *c = &h->conf;
    struct weir_part_conf conf = {.name = "system",
                                  .policy = c->policy,
                                  .cut = {.area_bytes = c->area_bytes > bytes ? c->area_bytes : bytes,
                                          .align_bytes = c->align_bytes,
                                          .areas = c->areas,
                                          .level = c->level},
                                  .lock = c->lock,
                                  .options = c->options,
                                  .hooks = c->hooks};
    int err = weir_part_open(&h->part, &conf, base, bytes);
    if (err < 0) return err;
    h->part_bytes = bytes;
    h->first_range = base;
    h->state = HEAP_OPEN;
    return 0;
}

/* One range of the rest; the first opens the partition. A range too short for a block, or one too many, is
 * left unused. */
static int open_rest(void *obj, void *base, size_t bytes)
{
    struct weir_heap *h = obj;
    if (h->state != HEAP_OPEN) return open_part(h, base, bytes);
    int err = weir_part_add(&h->part, base, bytes);
    if (err == 0) h->part_bytes += bytes;
    return err == WEIR_EINVAL || err == WEIR_EMFILE ? 0 : err;
}

int weir_heap_rest(struct weir_heap *h, struct weir_mem *mem, const struct weir_heap_conf *conf,
                   size_t least_bytes, struct weir_mem_item *out)
{
    int err = out ? set_conf(h, mem, conf) : WEIR_EINVAL;
    if (err < 0) return err;
    *out = (struct weir_mem_item){.name = "system",
                                  .what = "the system partition",
                                  .count = least_bytes,
                                  .each_bytes = 1,
                                  .keeper = &weir_part_keeper,
                                  .obj = h,
                                  .open = open_rest};
    return 0;
}

int weir_heap_open(struct weir_heap *h, struct weir_mem *mem, const struct weir_heap_conf *conf)
{
    int err = set_conf(h, mem, conf);
    if (err < 0) return err;
    if (conf->grow_bytes == 0) return WEIR_EINVAL;
    uintptr_t before = weir_lock_enter(&conf->mem_lock);
    void *base = weir_mem_take(mem, conf->grow_bytes, 0, &weir_part_keeper, h, "system");
    weir_lock_leave(&conf->mem_lock, before);
    if (!base) return WEIR_ENOMEM;
    err = open_part(h, base, conf->grow_bytes);
    if (err == 0) return 0;
    before = weir_lock_enter(&conf->mem_lock);
    (void)weir_mem_give(mem, base);
    weir_lock_leave(&conf->mem_lock, before);
    return err;
}

/* Small objects that still live keep their managers' ranges from being trimmed: those are dropped whole. */
int weir_heap_close(struct weir_heap *h)
{
    struct weir_mem_stat st;
    if (!h || h->state != HEAP_OPEN) return WEIR_ESTALE;
    memset(&st, 0, sizeof st);
    weir_heap_small_info(h, &st);
    int live = weir_part_close(&h->part);
    if (live < 0) return live;
    uintptr_t before = weir_lock_enter(&h->conf.mem_lock);
    weir_heap_small_drop(h);
    weir_mem_drop(h->mem, h);
    weir_lock_leave(&h->conf.mem_lock, before);
    h->state = 0;
    return live + (int)st.live;
}

/* ---- requests ---- */

/* A range of at least `least` bytes, better of `bytes`. mem_lock is held. */
static void *range(struct weir_heap *h, size_t *bytes, size_t least)
{
    for (;; *bytes = *bytes / 2 < least ? least : *bytes / 2) {
        void *base = weir_mem_take(h->mem, *bytes, 0, &weir_part_keeper, h, "system");
        if (base || *bytes == least) return base;
    }
}

/* More memory for one request. false: there is none, or the partition can't have another range. */
static bool grow(struct weir_heap *h, size_t size, size_t align)
{
    const struct weir_heap_conf *c = &h->conf;
    size_t least = with_slack(size, align), most = c->area_bytes > 0 ? c->area_bytes : c->grow_bytes;
    if (c->grow_bytes == 0 || least > most) return false;
    uintptr_t before = weir_lock_enter(&c->mem_lock);
    size_t bytes = h->part_bytes > c->grow_bytes ? h->part_bytes : c->grow_bytes;
    if (bytes > most) bytes = most;
    if (bytes < least) bytes = least;
    void *base = range(h, &bytes, least);
    int err = base ? weir_part_add(&h->part, base, bytes) : WEIR_ENOMEM;
    if (err < 0 && base) (void)weir_mem_give(h->mem, base);
    if (err == 0) h->part_bytes += bytes;
    weir_lock_leave(&c->mem_lock, before);
    return err == 0;
}

static void *refused(struct weir_heap *h)
{
    uintptr_t before = weir_lock_enter(&h->conf.lock);
    h->failures++;
    weir_lock_leave(&h->conf.lock, before);
    return NULL;
}

static void *take(struct weir_heap *h, size_t size, size_t align)
{
    void *p = weir_part_alloc(&h->part, size, align);
    if (!p && h->conf.grow_bytes > 0 && grow(h, size, align)) p = weir_part_alloc(&h->part, size, align);
    return p ? p : refused(h);
}

void *weir_malloc(struct weir_heap *h, size_t size)
{
    if (size - 1 < h->small_largest) { /* 1 or more */
        void *p = weir_heap_small_take(h, size);
        if (p) return p;
    }
    return take(h, size, 0);
}

void *weir_aligned_alloc(struct weir_heap *h, size_t align, size_t size)
{
    return align <= h->conf.align_bytes && weir_is_pow2(align) ? weir_malloc(h, size) : take(h, size, align);
}

void *weir_calloc(struct weir_heap *h, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
    void *p = weir_malloc(h, bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

int weir_free(struct weir_heap *h, void *block)
{
    int err = weir_mem_free(h->mem, block);
    if (err < 0) h->last_err = err;
    return err;
}

size_t weir_usable(const struct weir_heap *h, const void *block)
{
    ptrdiff_t usable = block ? weir_mem_usable(h->mem, block) : 0;
    return usable > 0 ? (size_t)usable : 0;
}

/* To another place. */
static void *move(struct weir_heap *h, void *block, size_t size)
{
    ptrdiff_t old = weir_mem_usable(h->mem, block);
    if (old < 0) h->last_err = (int)old;
    void *p = old >= 0 ? weir_malloc(h, size) : NULL;
    if (!p) return NULL;
    memcpy(p, block, (size_t)old < size ? (size_t)old : size);
    (void)weir_mem_free(h->mem, block);
    return p;
}

void *weir_realloc(struct weir_heap *h, void *block, size_t size)
{
    struct weir_holder at;
    if (!block) return weir_malloc(h, size);
    if (size == 0) {
        (void)weir_free(h, block);
        return NULL;
    }
    int err = weir_mem_owner(h->mem, block, &at);
    if (err == 0 && at.keeper == &weir_part_keeper) {
        /* The partition may grow the block where it is, give back what is too much, or move it itself. */
        void *p = weir_part_realloc(at.obj, block, size, 0);
        return p ? p : move(h, block, size);
    }
    ptrdiff_t usable = err < 0 ? err : weir_mem_resize(h->mem, block, size);
    if (usable >= 0) return block;
    if (usable == WEIR_ENOMEM) return move(h, block, size);
    h->last_err = (int)usable;
    return NULL;
}

/* ---- looking ---- */

enum weir_why weir_heap_why(const struct weir_heap *h)
{
    return weir_part_why(&h->part);
}

int weir_heap_err(const struct weir_heap *h)
{
    return h->last_err;
}

/* The partition's ranges in which nothing lives. */
static size_t trim_part(struct weir_heap *h)
{
    struct weir_mem *m = h->mem;
    size_t sum = 0;
    for (uint32_t i = 1; i <= m->fresh; i++) {
        const struct weir_mem_slab *s = &m->slab[i];
        void *base = (void *)s->base;
        size_t bytes = s->bytes;
        if (bytes == 0 || s->obj != h || base == h->first_range) continue;
        if (weir_part_remove(&h->part, base) != 0) continue;
        (void)weir_mem_give(m, base);
        h->part_bytes -= bytes;
        sum += bytes;
    }
    return sum;
}

size_t weir_heap_trim(struct weir_heap *h)
{
    uintptr_t before = weir_lock_enter(&h->conf.mem_lock);
    size_t sum = weir_heap_small_trim(h) + trim_part(h);
    weir_lock_leave(&h->conf.mem_lock, before);
    return sum;
}

int weir_heap_walk(struct weir_heap *h, weir_walk_fn fn, void *arg)
{
    int end = weir_part_walk(&h->part, fn, arg);
    if (end != 0) return end;
    uintptr_t before = weir_lock_enter(&h->conf.lock);
    end = weir_heap_small_walk(h, fn, arg);
    weir_lock_leave(&h->conf.lock, before);
    return end;
}

void weir_heap_add(struct weir_mem_stat *sum, const struct weir_mem_stat *st)
{
    sum->allocs += st->allocs;
    sum->frees += st->frees;
    sum->bad_frees += st->bad_frees;
    sum->live_bytes += st->live_bytes;
    sum->peak_bytes += st->peak_bytes;
    sum->live += st->live;
    sum->peak += st->peak;
    sum->alloc_bytes += st->alloc_bytes;
    sum->asked_bytes += st->asked_bytes;
    sum->configured_bytes += st->configured_bytes;
    sum->overhead_bytes += st->overhead_bytes;
    sum->free_bytes += st->free_bytes;
}

void weir_heap_info(struct weir_heap *h, struct weir_mem_stat *out)
{
    struct weir_part_info info;
    memset(out, 0, sizeof *out);
    if (weir_part_info(&h->part, &info) == 0) *out = info.stat;
    uintptr_t before = weir_lock_enter(&h->conf.lock);
    weir_heap_small_info(h, out);
    out->failures = h->failures;
    weir_lock_leave(&h->conf.lock, before);
}
