/* part_counts.h: the counts of a partition as its files change them: one writer at a time, readers anywhere.
 *
 * A sequence counter, `turn`: odd while a change is under way. Every count is stored atomically, after `turn`
 * became odd and before it becomes even, so a reader that saw the same even turn before and after saw one
 * moment. The writer reads its own counts as ordinary memory.
 *
 * Release stores instead of a fence: they cost nothing on x86-64, ThreadSanitizer knows them, and on a
 * processor with one core, where a reader can only be an interrupt handler, a compiler barrier does. */
#ifndef WEIR_PART_COUNTS_H
#define WEIR_PART_COUNTS_H

#include <stdbool.h>

#include "weir/part.h"

#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
#define WEIR_COUNT_STORE(place, value)                                                                       \
    (__atomic_signal_fence(__ATOMIC_ACQ_REL), __atomic_store_n(place, value, __ATOMIC_RELAXED))
#else
#define WEIR_COUNT_STORE(place, value) __atomic_store_n(place, value, __ATOMIC_RELEASE)
#endif

static inline uint64_t weir_count_own(const struct weir_part_count *c)
{
#if UINTPTR_MAX > 0xffffffffu
    return c->all;
#else
    return c->low | (uint64_t)c->high << 32;
#endif
}

static inline void weir_count_set(struct weir_part_count *c, uint64_t value)
{
#if UINTPTR_MAX > 0xffffffffu
    WEIR_COUNT_STORE(&c->all, value);
#else
    WEIR_COUNT_STORE(&c->low, (uint32_t)value);
    WEIR_COUNT_STORE(&c->high, (uint32_t)(value >> 32));
#endif
}

/* For readers; may be torn on 32-bit machines, which `turn` then tells. */
static inline uint64_t weir_count_get(const struct weir_part_count *c)
{
#if UINTPTR_MAX > 0xffffffffu
    return __atomic_load_n(&c->all, __ATOMIC_ACQUIRE);
#else
    uint64_t low = __atomic_load_n(&c->low, __ATOMIC_ACQUIRE);
    return low | (uint64_t)__atomic_load_n(&c->high, __ATOMIC_ACQUIRE) << 32;
#endif
}

static inline uint64_t weir_count_add(struct weir_part_count *c, uint64_t n)
{
    uint64_t value = weir_count_own(c) + n;
    weir_count_set(c, value);
    return value;
}

static inline uint32_t weir_counts_begin(struct weir_part_counts *c)
{
    uint32_t turn = c->turn;
    __atomic_store_n(&c->turn, turn + 1, __ATOMIC_RELAXED);
    return turn + 2;
}

static inline void weir_counts_end(struct weir_part_counts *c, uint32_t turn)
{
    WEIR_COUNT_STORE(&c->turn, turn);
}

/* got bytes were handed out for asked. */
static inline void weir_counts_out(struct weir_part_counts *c, size_t asked, size_t got)
{
    weir_count_add(&c->asked_bytes, asked);
    weir_count_add(&c->alloc_bytes, got);
}

/* What lives now comes down: the last moment at which it could be a peak, or the end of a time below the
 * low-water mark. */
void weir_part_crest(struct weir_part *part, uint64_t live_bytes, size_t fewer);

/* bytes came back, of which `fewer` stay so. A peak ends with a release, so that is when it is looked at, and
 * nobody who reads misses it: what lives now is compared as well. */
static inline void weir_counts_back(struct weir_part *part, size_t bytes, size_t fewer)
{
    struct weir_part_counts *c = &part->counts;
    uint64_t freed = weir_count_own(&c->freed_bytes), live = weir_count_own(&c->alloc_bytes) - freed;
    if (__builtin_expect(live > part->alarm_bytes, 0)) weir_part_crest(part, live, fewer);
    weir_count_set(&c->freed_bytes, freed + bytes);
}

static inline void weir_counts_block_back(struct weir_part_counts *c)
{
    uint64_t frees = weir_count_own(&c->frees), live = weir_count_own(&c->allocs) - frees;
    if (__builtin_expect(live > weir_count_own(&c->peak), 0)) weir_count_set(&c->peak, live);
    weir_count_set(&c->frees, frees + 1);
}

static inline bool weir_part_open_now(const struct weir_part *part)
{
    return part != NULL && (part->self & ~(uintptr_t)3) == (uintptr_t)part;
}

/* part.c, for part_ext.c: nothing could be handed out, under the lock: counted, and *report says why. */
void weir_part_refused(struct weir_part *part, size_t size, size_t align, struct weir_part_report *report);
/* A bad block, under the lock. */
void weir_part_bad_block(struct weir_part *part, const void *block, int err, struct weir_part_report *report);
/* Without the lock: log, suspend, abort, as the options say. */
void weir_part_tell(struct weir_part *part, const struct weir_part_report *report);
/* The policy's areas are others than they were at `before`. */
void weir_part_areas_changed(struct weir_part *part, const struct weir_policy_stat *before);
/* Whether each flag has its hook. */
bool weir_part_hooked(uint32_t options, const struct weir_part_hooks *hooks);

#endif
