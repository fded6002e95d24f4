/* tlsf_area.c: TLSF's state, and areas that come and go. */
#include <string.h>

#include "mem/tlsf_heap.h"

#include "weir/policy.h"

/* The conf with its defaults in place; false: it can't be served. */
static bool settle(const struct weir_policy_conf *conf, struct weir_policy_conf *out)
{
    *out = *conf;
    if (out->area_bytes == 0) out->area_bytes = WEIR_TLSF_AREA_MAX;
    if (out->align_bytes == 0) out->align_bytes = sizeof(void *) > 4 ? 8 : 4;
    if (out->areas == 0) out->areas = 1;
    return out->area_bytes <= WEIR_TLSF_AREA_MAX && out->areas <= WEIR_TLSF_AREAS_MAX && out->level <= 2 &&
           (out->align_bytes == 4 || out->align_bytes == 8 || out->align_bytes == 16);
}

/* Rows of lists for areas of so many bytes, as WEIR_TLSF_ROWS_OF. */
static uint32_t rows_of(size_t area_bytes)
{
    return tlsf_log2((uint32_t)area_bytes | 1u << WEIR_TLSF_EXACT_LOG2) - WEIR_TLSF_EXACT_LOG2 + 2;
}

/* Bytes of one area's structure, as WEIR_TLSF_SLOT_BYTES. */
static size_t slot_of(const struct weir_policy_conf *c)
{
    size_t lists = ((size_t)rows_of(c->area_bytes) << WEIR_TLSF_ROW_LOG2) * sizeof(uint32_t);
    size_t map = c->level < 2 ? 0 : c->area_bytes / c->align_bytes / 8 + 1;
    return (WEIR_TLSF_AREA_HEAD + lists + map + 15) & ~(size_t)15;
}

size_t weir_tlsf_state_bytes(const struct weir_policy_conf *conf)
{
    struct weir_policy_conf c;
    if (!settle(conf, &c)) return 0;
    size_t slot = slot_of(&c);
    return slot <= SIZE_MAX / 2 / c.areas ? WEIR_TLSF_STATE_HEAD + c.areas * slot : 0;
}

int weir_tlsf_init(void *state, const struct weir_policy_conf *conf)
{
    struct weir_policy_conf c;
    if (weir_tlsf_state_bytes(conf) == 0) return WEIR_EINVAL;
    (void)settle(conf, &c);
    struct weir_tlsf *s = state;
    memset(s, 0, sizeof *s);
    s->align = c.align_bytes;
    s->round = c.align_bytes + TLSF_HEAD - 1;
    s->mask = -(size_t)c.align_bytes;
    s->stride = slot_of(&c);
    s->area_bytes = c.area_bytes;
    s->low = c.align_bytes - 1;
    s->level = (uint8_t)c.level;
    s->areas = (uint8_t)c.areas;
    s->lists = rows_of(c.area_bytes) << WEIR_TLSF_ROW_LOG2;
    if (c.level >= 2) s->bits_at = WEIR_TLSF_AREA_HEAD + (rows_of(c.area_bytes) << WEIR_TLSF_ROW_LOG2) * 4;
    /* Below it the list of each request exists, however its rounding turns out. */
    if (TLSF_SHORT_WAYS && c.level < 2 && c.area_bytes > TLSF_MIN) {
        s->quick_size = c.area_bytes - TLSF_MIN;
        s->take = c.level == 0 ? weir_tlsf_take : weir_tlsf_take_checked;
    }
    memset(tlsf_first(s), 0, s->stride);
    return 0;
}

/* Where the blocks of bytes at mem begin and end; false: not even one fits. */
static bool measure(const struct weir_tlsf *s, uintptr_t mem, size_t bytes, uintptr_t *first, uintptr_t *end)
{
    *first = (mem + s->round) & s->mask;
    *end = (mem + bytes) & s->mask;
    return *first > mem && *end > *first && *end - *first >= TLSF_MIN;
}

int weir_tlsf_add(void *state, void *base, size_t bytes)
{
    struct weir_tlsf *s = state;
    uintptr_t mem = (uintptr_t)base, first, end;
    if (bytes > s->area_bytes || bytes - 1 > UINTPTR_MAX - mem || !measure(s, mem, bytes, &first, &end))
        return WEIR_EINVAL;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct weir_tlsf_area *a = tlsf_area(s, i);
        if (mem - a->mem < a->bytes || a->mem - mem < bytes) return WEIR_EINVAL;
    }
    if (s->count == s->areas) return WEIR_EMFILE;
    struct weir_tlsf_area *a = tlsf_area(s, s->count++);
    memset(a, 0, s->stride);
    a->base = first - TLSF_FIRST;
    a->span = (uint32_t)(end - first);
    a->words = a->span / 4;
    a->quick = s->level == 0 ? end - a->base : 0;
    a->mem = mem;
    a->bytes = bytes;
    a->room = s->level == 1 ? a->span - TLSF_MIN + 1 : 0;
    a->live = 1; /* all of it, for a moment */
    a->live_bytes = a->span;
    tlsf_begin(a)[TLSF_SIZE] = a->span;
    tlsf_end(a)[TLSF_SIZE] = 0;
    weir_tlsf_give(a, tlsf_begin(a));
    return 0;
}

int weir_tlsf_remove(void *state, void *base)
{
    struct weir_tlsf *s = state;
    uint32_t i = 0;
    while (i < s->count && tlsf_area(s, i)->mem != (uintptr_t)base)
        i++;
    if (i == s->count) return WEIR_EFOREIGN;
    struct weir_tlsf_area *a = tlsf_area(s, i);
    if (a->live != 0) return WEIR_EBUSY;
    s->divisions += a->divisions;
    s->merges += a->merges;
    s->count--;
    memmove(a, tlsf_area(s, i + 1), (s->count - i) * s->stride);
    memset(tlsf_area(s, s->count), 0, s->stride);
    return 0;
}
