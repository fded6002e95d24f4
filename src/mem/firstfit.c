/* firstfit.c: first fit with immediate coalescing over one list of free blocks in the order of addresses. The
 * oldest of the schemes (Knuth, The Art of Computer Programming 1, 2.5, algorithms A and B), kept to be
 * measured against: what the others win in time and lose in space is told beside it.
 *
 * An area, aligned so that every payload is (A: natural alignment, one unit):
 *
 *     base                                                                      base + bytes
 *      | gap | head | payload ... | head | payload ... |  ...  | head |  (gap)  |
 *            ^ first              ^ each block is a multiple of A      ^ end: a head of size 0, in use
 *
 *     head   | before: units of the block in front, 0 for the first | units of this one, top bit: in use |
 *     free   | head | address of the next free block | ... old bytes ... |
 *
 * Invariants, by the numbers that check() returns:
 *     1  blocks of an area tile [first, end]: each begins where the one in front ends
 *     2  `before` of each block is the units of the one in front
 *     3  no two free blocks touch
 *     4  the free list holds exactly the free blocks, in the order of addresses
 *     5  every block has at least `least` units
 *     6  counts: free_blocks, free_units, live and live_units are those of the blocks
 *
 * Checks. Level 1 looks at the head and at both neighbours: all must agree, which a word inside a payload does
 * by chance only. Only when they disagree are the blocks of the area gone through, to say exactly why. Level 2
 * goes through them on each release, so that no contents of a payload can deceive it. No head that was taken
 * into a larger block keeps its in-use bit: releasing a block twice is found, whatever it was merged with.
 *
 * Rejected: a 4-byte head without `before`. It saves 4 bytes a block, but level 1 could then ask one
 * neighbour only, and this scheme is here to be compared with those of the books, whose heads have two words. */
#include <stdbool.h>
#include <string.h>

#include "base/bits.h"
#include "weir/err.h"
#include "weir/policy.h"

#define HEAD_BYTES 8u
#define IN_USE     0x80000000u
#define UNITS_MAX  (IN_USE - 1)
#define AREAS_MAX  4096u /* bounds the linear look at the areas */

struct area {
    uint8_t *base;
    size_t bytes;
    uint8_t *first, *end; /* heads: of the first block, and of the end */
};

struct state {
    uint8_t *free; /* head of the free block with the least address, or NULL */
    uint32_t shift, least, level;
    uint32_t areas, areas_max;
    size_t area_bytes_max; /* 0: any */
    uint64_t area_bytes, free_blocks, free_units, live, live_units, divisions, merges;
    struct area area[];
};

/* ---- heads ---- */

static uint32_t word(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void put_word(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

static uint32_t before_of(const uint8_t *head)
{
    return word(head);
}

static uint32_t units_of(const uint8_t *head)
{
    return word(head + 4) & UNITS_MAX;
}

static bool in_use(const uint8_t *head)
{
    return (word(head + 4) & IN_USE) != 0;
}

static uint8_t *next_free(const uint8_t *head)
{
    uint8_t *next;
    memcpy(&next, head + HEAD_BYTES, sizeof next);
    return next;
}

/* Makes `to` the one behind `from` in the list; from NULL: the first. */
static void link_free(struct state *s, uint8_t *from, uint8_t *to)
{
    if (from == NULL)
        s->free = to;
    else
        memcpy(from + HEAD_BYTES, &to, sizeof to);
}

static size_t bytes_of(const struct state *s, uint32_t units)
{
    return ((size_t)units << s->shift) - HEAD_BYTES;
}

static uint8_t *behind(const struct state *s, uint8_t *head)
{
    return head + ((size_t)units_of(head) << s->shift);
}

/* The block is `units` long now, and the one behind it knows. */
static void set_units(const struct state *s, uint8_t *head, uint32_t units, uint32_t used)
{
    put_word(head + 4, units | used);
    put_word(behind(s, head), units);
}

/* Units for size bytes and the head; 0 iff there is no such block. */
static uint32_t units_for(const struct state *s, size_t size)
{
    size_t unit = (size_t)1 << s->shift;
    if (size > SIZE_MAX - HEAD_BYTES - unit) return 0;
    size_t units = (size + HEAD_BYTES + unit - 1) >> s->shift;
    if (units > UNITS_MAX) return 0;
    return units < s->least ? s->least : (uint32_t)units;
}

/* ---- configuration and areas ---- */

static uint32_t align_of(const struct weir_policy_conf *conf)
{
    return conf->align_bytes != 0 ? conf->align_bytes : (uint32_t)sizeof(void *);
}

static size_t state_bytes(const struct weir_policy_conf *conf)
{
    uint32_t align = align_of(conf), areas = conf->areas != 0 ? conf->areas : 1;
    if (align != 4 && align != 8 && align != 16) return 0;
    if (areas > AREAS_MAX || conf->level > 2) return 0;
    if ((conf->area_bytes / align) > UNITS_MAX) return 0;
    return sizeof(struct state) + areas * sizeof(struct area);
}

static int init(void *state, const struct weir_policy_conf *conf)
{
    struct state *s = state;
    size_t bytes = state_bytes(conf);
    if (bytes == 0) return WEIR_EINVAL;
    memset(s, 0, bytes);
    uint32_t align = align_of(conf);
    s->shift = weir_log2(align);
    s->least = (uint32_t)((HEAD_BYTES + sizeof(void *) + align - 1) >> s->shift);
    s->level = conf->level;
    s->areas_max = conf->areas != 0 ? conf->areas : 1;
    s->area_bytes_max = conf->area_bytes;
    return WEIR_OK;
}

/* Where the heads of an area lie. False iff there is no room for one block, or for more than can be counted. */
static bool lay_out(const struct state *s, struct area *a)
{
    uintptr_t unit = (uintptr_t)1 << s->shift, base = (uintptr_t)a->base;
    if (a->bytes > UINTPTR_MAX - base || a->bytes < 2 * HEAD_BYTES + unit) return false;
    size_t skip = (size_t)(((base + HEAD_BYTES + unit - 1) & ~(unit - 1)) - HEAD_BYTES - base);
    size_t units = (a->bytes - skip - HEAD_BYTES) >> s->shift;
    if (units < s->least || units > UNITS_MAX) return false;
    a->first = a->base + skip;
    a->end = a->first + (units << s->shift);
    return true;
}

static bool overlaps(const struct state *s, const struct area *a)
{
    for (uint32_t i = 0; i < s->areas; i++)
        if ((uintptr_t)a->base < (uintptr_t)s->area[i].base + s->area[i].bytes &&
            (uintptr_t)s->area[i].base < (uintptr_t)a->base + a->bytes)
            return true;
    return false;
}

/* The free block with the largest address below `head`, NULL: none. Linear in free blocks. */
static uint8_t *free_before(const struct state *s, const uint8_t *head)
{
    uint8_t *found = NULL;
    for (uint8_t *f = s->free; f != NULL && (uintptr_t)f < (uintptr_t)head; f = next_free(f))
        found = f;
    return found;
}

static uint8_t *first_after(const struct state *s, const uint8_t *previous)
{
    return previous == NULL ? s->free : next_free(previous);
}

static int add(void *state, void *base, size_t bytes)
{
    struct state *s = state;
    struct area a = {.base = base, .bytes = bytes};
    if (base == NULL || (s->area_bytes_max != 0 && bytes > s->area_bytes_max)) return WEIR_EINVAL;
    if (!lay_out(s, &a) || overlaps(s, &a)) return WEIR_EINVAL;
    if (s->areas == s->areas_max) return WEIR_EMFILE;
    uint32_t units = (uint32_t)((size_t)(a.end - a.first) >> s->shift);
    put_word(a.first, 0);
    set_units(s, a.first, units, 0);
    put_word(a.end + 4, IN_USE);
    uint8_t *previous = free_before(s, a.first);
    link_free(s, a.first, first_after(s, previous));
    link_free(s, previous, a.first);
    s->area[s->areas++] = a;
    s->area_bytes += bytes;
    s->free_units += units;
    s->free_blocks++;
    return WEIR_OK;
}

static int take_away(void *state, void *base)
{
    struct state *s = state;
    uint32_t i = 0;
    while (i < s->areas && s->area[i].base != base)
        i++;
    if (i == s->areas) return WEIR_EFOREIGN;
    struct area a = s->area[i];
    if (in_use(a.first) || behind(s, a.first) != a.end) return WEIR_EBUSY;
    link_free(s, free_before(s, a.first), next_free(a.first));
    s->free_blocks--;
    s->free_units -= units_of(a.first);
    s->area_bytes -= a.bytes;
    memmove(&s->area[i], &s->area[i + 1], (--s->areas - i) * sizeof s->area[0]);
    return WEIR_OK;
}

/* ---- taking ---- */

/* Bytes to leave in front so that the payload is aligned: none, or enough for a free block. */
static size_t gap_for(const struct state *s, const uint8_t *head, size_t align)
{
    size_t least = (size_t)s->least << s->shift;
    size_t gap = (size_t)(0 - ((uintptr_t)head + HEAD_BYTES)) & (align - 1);
    if (gap == 0 || gap >= least) return gap;
    return gap + ((least - gap + align - 1) & ~(align - 1));
}

/* Cuts the first `units` off a block; what is behind them is a block of its own, not yet in any list. */
static uint8_t *divide(struct state *s, uint8_t *head, uint32_t units)
{
    uint32_t rest = units_of(head) - units;
    uint8_t *tail = head + ((size_t)units << s->shift);
    set_units(s, head, units, 0);
    set_units(s, tail, rest, 0);
    s->divisions++;
    return tail;
}

/* The free block behind `previous` in the list becomes used, but for what need not go: a gap in front and
 * what is left behind. */
static uint8_t *take(struct state *s, uint8_t *previous, uint8_t *head, uint32_t gap, uint32_t units)
{
    s->free_units -= units_of(head) - gap;
    if (gap > 0) {
        uint8_t *front = head, *next = next_free(head);
        head = divide(s, front, gap);
        link_free(s, head, next);
        previous = front;
        s->free_blocks++;
    }
    uint8_t *next = next_free(head);
    if (units_of(head) - units >= s->least) {
        uint8_t *tail = divide(s, head, units);
        s->free_units += units_of(tail);
        link_free(s, tail, next);
        next = tail;
        s->free_blocks++;
    }
    link_free(s, previous, next);
    s->free_blocks--;
    put_word(head + 4, units_of(head) | IN_USE);
    s->live++;
    s->live_units += units_of(head);
    return head;
}

static void *alloc(void *state, size_t size, size_t align, size_t *got)
{
    struct state *s = state;
    uint32_t units = units_for(s, size);
    size_t unit = (size_t)1 << s->shift;
    if (units == 0) return NULL;
    uint8_t *previous = NULL;
    for (uint8_t *head = s->free; head != NULL; previous = head, head = next_free(head)) {
        if (units_of(head) < units) continue;
        size_t gap = align > unit ? gap_for(s, head, align) >> s->shift : 0;
        if (gap > units_of(head) - units) continue;
        head = take(s, previous, head, (uint32_t)gap, units);
        *got = bytes_of(s, units_of(head));
        return head + HEAD_BYTES;
    }
    return NULL;
}

/* ---- is it a block ---- */

static const struct area *area_of(const struct state *s, const uint8_t *head)
{
    for (uint32_t i = 0; i < s->areas; i++)
        if ((uintptr_t)head >= (uintptr_t)s->area[i].first && (uintptr_t)head < (uintptr_t)s->area[i].end)
            return &s->area[i];
    return NULL;
}

/* The block's length fits its area and the one behind it says the same. */
static bool forward_agrees(const struct state *s, const struct area *a, const uint8_t *head)
{
    size_t room = (size_t)(a->end - head) >> s->shift;
    uint32_t units = units_of(head);
    return units >= s->least && units <= room && before_of(head + ((size_t)units << s->shift)) == units;
}

static bool backward_agrees(const struct state *s, const struct area *a, const uint8_t *head)
{
    uint32_t before = before_of(head);
    if (before == 0 || head == a->first) return before == 0 && head == a->first;
    size_t room = (size_t)(head - a->first) >> s->shift;
    return before >= s->least && before <= room && units_of(head - ((size_t)before << s->shift)) == before;
}

/* Goes through the blocks of the area. WEIR_OK: head begins one in use. Linear. */
static int search(const struct state *s, const struct area *a, const uint8_t *head)
{
    const uint8_t *at = a->first;
    uint32_t before = 0;
    for (;;) {
        if (before_of(at) != before || !forward_agrees(s, a, at)) return WEIR_ECORRUPT;
        const uint8_t *next = at + ((size_t)units_of(at) << s->shift);
        if (next > head) break;
        before = units_of(at);
        at = next;
    }
    if (!in_use(at)) return WEIR_EFREE;
    return at == head ? WEIR_OK : WEIR_EINTERIOR;
}

/* WEIR_OK, or why this is no block in use, as far as the level looks. */
static int vet(const struct state *s, const void *block)
{
    if (s->level == 0) return WEIR_OK;
    if ((uintptr_t)block < HEAD_BYTES) return WEIR_EFOREIGN;
    const uint8_t *head = (const uint8_t *)block - HEAD_BYTES;
    const struct area *a = area_of(s, head);
    if (a == NULL) return WEIR_EFOREIGN;
    bool aligned = ((uintptr_t)block & (((uintptr_t)1 << s->shift) - 1)) == 0;
    if (s->level == 1 && aligned && in_use(head) && forward_agrees(s, a, head) && backward_agrees(s, a, head))
        return WEIR_OK;
    return search(s, a, head);
}

static uint8_t *head_of(const void *block)
{
    return (uint8_t *)(uintptr_t)block - HEAD_BYTES;
}

static ptrdiff_t usable(const void *state, const void *block)
{
    const struct state *s = state;
    int err = vet(s, block);
    return err != WEIR_OK ? err : (ptrdiff_t)bytes_of(s, units_of(head_of(block)));
}

/* ---- giving back ---- */

/* `head` takes in the free block behind it, which is in no list any more. */
static void merge(struct state *s, uint8_t *head, uint32_t used)
{
    set_units(s, head, units_of(head) + units_of(behind(s, head)), used);
    s->free_blocks--;
    s->merges++;
}

/* A block that is in no list becomes free. Linear in free blocks. */
static void insert(struct state *s, uint8_t *head)
{
    uint8_t *previous = free_before(s, head), *next = first_after(s, previous);
    put_word(head + 4, units_of(head));
    s->free_units += units_of(head);
    s->free_blocks++;
    if (next == behind(s, head)) {
        uint8_t *after = next_free(next);
        merge(s, head, 0);
        next = after;
    }
    if (previous != NULL && behind(s, previous) == head) {
        merge(s, previous, 0);
        head = previous;
    } else {
        link_free(s, previous, head);
    }
    link_free(s, head, next);
}

static ptrdiff_t release(void *state, void *block)
{
    struct state *s = state;
    int err = vet(s, block);
    if (err != WEIR_OK) return err;
    uint8_t *head = head_of(block);
    uint32_t units = units_of(head);
    s->live--;
    s->live_units -= units;
    insert(s, head);
    return (ptrdiff_t)bytes_of(s, units);
}

/* The block takes in all of the free one behind it. */
static void swallow(struct state *s, uint8_t *head)
{
    uint8_t *next = behind(s, head);
    link_free(s, free_before(s, next), next_free(next));
    s->free_units -= units_of(next);
    s->live_units += units_of(next);
    merge(s, head, IN_USE);
}

static ptrdiff_t resize(void *state, void *block, size_t size)
{
    struct state *s = state;
    int err = vet(s, block);
    if (err != WEIR_OK) return err;
    uint8_t *head = head_of(block), *next = behind(s, head);
    uint32_t units = units_for(s, size), has = units_of(head);
    if (units == 0) return WEIR_ENOMEM;
    if (units > has) {
        if (in_use(next) || units_of(next) < units - has) return WEIR_ENOMEM;
        swallow(s, head);
    }
    if (units_of(head) - units >= s->least) {
        s->live_units -= units_of(head) - units;
        uint8_t *tail = divide(s, head, units);
        put_word(head + 4, units | IN_USE);
        insert(s, tail);
    }
    return (ptrdiff_t)bytes_of(s, units_of(head));
}

/* ---- what it knows ---- */

static size_t find_max(const void *state, size_t align)
{
    const struct state *s = state;
    size_t most = 0;
    for (const uint8_t *f = s->free; f != NULL; f = next_free(f)) {
        size_t gap = align > (size_t)1 << s->shift ? gap_for(s, f, align) : 0;
        size_t bytes = bytes_of(s, units_of(f)), least = bytes_of(s, s->least);
        if (bytes >= least && gap <= bytes - least && bytes - gap > most) most = bytes - gap;
    }
    return most;
}

static void stat(const void *state, struct weir_policy_stat *out)
{
    const struct state *s = state;
    uint64_t heads = s->free_blocks * HEAD_BYTES;
    *out = (struct weir_policy_stat){.area_bytes = s->area_bytes,
                                     .free_bytes = (s->free_units << s->shift) - heads,
                                     .free_blocks = s->free_blocks,
                                     .largest_free = find_max(s, 0),
                                     .live = s->live,
                                     .live_bytes = (s->live_units << s->shift) - s->live * HEAD_BYTES,
                                     .divisions = s->divisions,
                                     .merges = s->merges};
    out->overhead_bytes = out->area_bytes - out->free_bytes - out->live_bytes;
}

static int walk(const void *state, weir_walk_fn fn, void *arg)
{
    const struct state *s = state;
    for (uint32_t i = 0; i < s->areas; i++) {
        for (uint8_t *at = s->area[i].first; at != s->area[i].end; at = behind(s, at)) {
            struct weir_block block = {.start = at + HEAD_BYTES,
                                       .bytes = bytes_of(s, units_of(at)),
                                       .state = in_use(at) ? WEIR_BLOCK_USED : WEIR_BLOCK_FREE};
            int stop = fn(arg, &block);
            if (stop != 0) return stop;
        }
    }
    return 0;
}

/* ---- invariants ---- */

struct tally {
    uint64_t free_blocks, free_units, live, live_units;
};

static int check_area(const struct state *s, const struct area *a, struct tally *sum)
{
    uint32_t before = 0;
    bool free_in_front = false;
    const uint8_t *at = a->first;
    while (at != a->end) {
        uint32_t units = units_of(at);
        if (before_of(at) != before) return 2;
        if (units > (size_t)(a->end - at) >> s->shift) return 1;
        if (units < s->least) return 5;
        if (!in_use(at) && free_in_front) return 3;
        free_in_front = !in_use(at);
        sum->free_blocks += free_in_front;
        sum->free_units += free_in_front ? units : 0;
        sum->live += !free_in_front;
        sum->live_units += free_in_front ? 0 : units;
        before = units;
        at += (size_t)units << s->shift;
    }
    return before_of(at) == before && word(at + 4) == IN_USE ? 0 : 2;
}

static int check_list(const struct state *s, uint64_t free_blocks)
{
    uint64_t seen = 0;
    for (const uint8_t *f = s->free; f != NULL; f = next_free(f)) {
        const uint8_t *next = next_free(f);
        if (area_of(s, f) == NULL || in_use(f) || ++seen > free_blocks) return 4;
        if (next != NULL && (uintptr_t)next <= (uintptr_t)f) return 4;
    }
    return seen == free_blocks ? 0 : 4;
}

static int check(const void *state)
{
    const struct state *s = state;
    struct tally sum = {0};
    for (uint32_t i = 0; i < s->areas; i++) {
        int broken = check_area(s, &s->area[i], &sum);
        if (broken != 0) return broken;
    }
    if (sum.free_blocks != s->free_blocks || sum.free_units != s->free_units) return 6;
    if (sum.live != s->live || sum.live_units != s->live_units) return 6;
    return check_list(s, sum.free_blocks);
}

const struct weir_policy weir_firstfit_list = {
    .name = "firstfit",
    .what = "first fit over one list in the order of addresses",
    .caps =
        WEIR_POLICY_ALIGN | WEIR_POLICY_RESIZE | WEIR_POLICY_AREAS | WEIR_POLICY_REMOVE | WEIR_POLICY_CHECKS,
    .head_bytes = HEAD_BYTES,
    .state_bytes = state_bytes,
    .init = init,
    .add = add,
    .remove = take_away,
    .alloc = alloc,
    .release = release,
    .resize = resize,
    .usable = usable,
    .stat = stat,
    .find_max = find_max,
    .walk = walk,
    .check = check,
};
