/* small.c: small objects without heads, in and out; opening is small_open.c, looking small_look.c.
 *
 * Theory of operation
 *
 *   arena  [ run table | bits | gap | run 0 | run 1 | run 2 | ... | rest ]
 *
 *          run table: one entry of 32 bytes a run    bits: one a grain of align_bytes
 *          0: class 24, free -> ...                  1 where an object in use begins
 *          1: idle                                   0 anywhere else
 *          2: class 64, ...
 *
 *   run 0  | 24 | 24 | 24 | ...                             | 24 | tail |      nothing but the user's bytes
 *
 * From an address: grain = (address - base) / align_bytes, rotated so that misaligned and foreign ones come out too
 * large for the one comparison; bit = bits[grain]; run = grain >> run_shift. The bit is set at starts of objects in
 * use only, so testing it finds the inside of an object and a second release alike, without dividing by the size.
 *
 * Classes: multiples of align_bytes up to eight of them, then four to each doubling. So a size wastes less than
 * align_bytes, or less than a quarter of itself.
 *
 * A class takes from one run, `cur`, until that is full, then from the run on its list that has had free objects for
 * longest, then an idle run, then a cur of another class in which nothing lives. A run in which nothing lives goes
 * back to the idle ones at once, unless it is its class's cur: so a load that swings by an object cuts no run each
 * time. When no run is to be had, a larger class serves: every loop is over classes.
 *
 * Counts: live = peak - room, live bytes = peak_bytes - room_bytes; either going below 0 is a new peak.
 *
 * Invariants (weir_small_check returns the number)
 *   1  live = sum of used = number of bits;  live bytes = sum of used * stride
 *   2  used <= fresh <= cells;  used = more + 1, of a FULL run cells (then more = 0)
 *   3  length(free list) = fresh - used, each link an object of the run whose bit is 0
 *   4  IDLE: stride 0, no bit, on the idle list iff below fresh_runs;  NOW: its class's cur;  FULL iff used = cells
 *   5  PARTIAL: on its class's list, 0 < used < cells;  each class's `runs` are those with its number
 *
 * Our reading: the sources say "small objects, no bookkeeping per object, owner from the address" and no more; runs,
 * bits by grain, the four classes a doubling and the cur that stays are ours.
 *
 * Rejected: a bit an object (needs a division or a reciprocal by class to find it; saves nothing, since a run that may
 * serve the smallest class must have that class's bits anyway); bits inside the run (63 instead of 64 objects of 64
 * bytes); keeping empty runs by class (memory that others can't have). */
#include <string.h>

#include "mem/small_parts.h"

/* ---- bits and counts ---- */

/* The bit of a grain changes from `was`; false and no change when it was not. */
WEIR_TEMPLATE bool flip(struct weir_small *s, uintptr_t grain, bool was)
{
    uint32_t before = s->bits[grain / 32], after = before ^ (uint32_t)1 << ((uint32_t)grain & 31);
    if ((after < before) != was) return false;
    __atomic_store_n(&s->bits[grain / 32], after, __ATOMIC_RELAXED); /* memsmall.c reads it without a lock */
    return true;
}

/* More objects, or more bytes, live than ever. */
static WEIR_APART void *more_bytes(struct weir_small *s, void *object)
{
    s->peak_bytes -= (uint64_t)s->room_bytes;
    s->room_bytes = 0;
    return object;
}

static WEIR_APART void *more_objects(struct weir_small *s, const struct weir_small_class *c, void *object)
{
    s->peak -= (uint32_t)s->room;
    s->room = 0;
    s->room_bytes -= c->stride;
    return s->room_bytes < 0 ? more_bytes(s, object) : object;
}

WEIR_TEMPLATE void *counted(struct weir_small *s, struct weir_small_class *c, struct weir_small_run *r,
                            size_t size, void *object)
{
    r->more++;
    c->allocs++;
    s->asked += size;
    if (__builtin_expect(--s->room < 0, 0)) return more_objects(s, c, object);
    if (__builtin_expect((s->room_bytes -= c->stride) < 0, 0)) return more_bytes(s, object);
    return object;
}

/* ---- lists of runs ---- */

static uint32_t number(const struct weir_small *s, const struct weir_small_run *r)
{
    return (uint32_t)(r - s->run) + 1;
}

static void append(struct weir_small *s, struct weir_small_class *c, struct weir_small_run *r)
{
    r->where = WEIR_SMALL_PARTIAL;
    r->next = 0;
    r->prev = c->tail;
    if (c->tail != 0)
        s->run[c->tail - 1].next = number(s, r);
    else
        c->head = number(s, r);
    c->tail = number(s, r);
}

static void unlink_run(struct weir_small *s, struct weir_small_class *c, struct weir_small_run *r)
{
    if (r->prev != 0)
        s->run[r->prev - 1].next = r->next;
    else
        c->head = r->next;
    if (r->next != 0)
        s->run[r->next - 1].prev = r->prev;
    else
        c->tail = r->prev;
}

/* A run in which nothing lives, on no list, serves no class any more. */
static void retire(struct weir_small *s, struct weir_small_run *r)
{
    s->cls[r->cls].runs--;
    s->joins++;
    *r = (struct weir_small_run){.next = s->idle, .more = -1, .where = WEIR_SMALL_IDLE, .first = r->first};
    s->idle = number(s, r);
    s->idle_runs++;
}

/* An idle run, or a cur of another class that is empty. NULL: none. */
static struct weir_small_run *idle_run(struct weir_small *s)
{
    for (uint32_t n = 0; s->idle_runs == 0 && s->fresh_runs == s->runs; n++) {
        if (n == s->classes) return NULL;
        struct weir_small_run *r = s->cls[n].cur;
        if (r == &s->none || r->more >= 0) continue;
        s->cls[n].cur = &s->none;
        retire(s, r);
    }
    if (s->idle_runs == 0) return &s->run[s->fresh_runs++];
    struct weir_small_run *r = &s->run[s->idle - 1];
    s->idle = r->next;
    s->idle_runs--;
    return r;
}

static void cut(struct weir_small *s, struct weir_small_class *c, struct weir_small_run *r)
{
    *r = (struct weir_small_run){.more = -1,
                                 .cells = (uint16_t)c->cells,
                                 .stride = (uint16_t)c->stride,
                                 .cls = (uint8_t)(c - s->cls),
                                 .where = WEIR_SMALL_NOW,
                                 .first = r->first};
    c->cur = r;
    c->runs++;
    s->cuts++;
}

/* ---- out ---- */

static bool head_sound(const struct weir_small *s, const struct weir_small_run *r)
{
    if (r->free == NULL) return r->fresh == weir_small_used(r);
    uintptr_t off = (uintptr_t)r->free - weir_small_run_base(s, r);
    return off % r->stride == 0 && off / r->stride < r->fresh &&
           !weir_small_bit(s, weir_small_grain(s, r->free));
}

/* The free list again, from the bits: its links were overwritten by a user of an object that was released. */
static void mend(struct weir_small *s, struct weir_small_run *r)
{
    s->corrupt++;
    r->free = NULL;
    for (uint32_t i = r->fresh; i-- > 0;) {
        if (weir_small_in_use(s, r, i)) continue;
        void *object = weir_small_object(s, r, i);
        memcpy(object, &r->free, sizeof r->free);
        r->free = object;
    }
}

static bool run_has(struct weir_small *s, struct weir_small_run *r)
{
    if (r == &s->none) return false;
    if (!head_sound(s, r)) mend(s, r);
    return r->free != NULL || r->fresh < r->cells;
}

/* Every object of cur is in use. */
static void leave_cur(struct weir_small *s, struct weir_small_class *c)
{
    if (c->cur == &s->none) return;
    c->cur->where = WEIR_SMALL_FULL;
    c->cur->more = 0;
    c->cur = &s->none;
}

/* The first run of the class's list becomes cur. */
static struct weir_small_run *take_run(struct weir_small *s, struct weir_small_class *c)
{
    struct weir_small_run *r = &s->run[c->head - 1];
    c->head = r->next;
    if (r->next != 0)
        s->run[r->next - 1].prev = 0;
    else
        c->tail = 0;
    r->where = WEIR_SMALL_NOW;
    return c->cur = r;
}

/* Every object in use, and no list was cut short. */
static bool full(const struct weir_small_run *r)
{
    return r->free == NULL && r->fresh == r->cells && r->more + 1 == r->cells;
}

/* Whether the class's cur has an object now; `idle`: an idle run may be had. */
static bool ready(struct weir_small *s, struct weir_small_class *c, bool idle)
{
    if (run_has(s, c->cur)) return true;
    leave_cur(s, c);
    struct weir_small_run *r;
    if (c->head != 0)
        (void)take_run(s, c);
    else if (idle && (r = idle_run(s)) != NULL)
        cut(s, c, r);
    return run_has(s, c->cur);
}

static void *pop(struct weir_small *s, struct weir_small_class *c, size_t size)
{
    struct weir_small_run *r = c->cur;
    void *object = r->free;
    if (object != NULL)
        memcpy(&r->free, object, sizeof r->free);
    else
        object = weir_small_object(s, r, r->fresh++);
    (void)flip(s, weir_small_grain(s, object), false);
    return counted(s, c, r, size, object);
}

static void *refused(struct weir_small *s, enum weir_why why)
{
    if (s->state == WEIR_SMALL_OPEN) {
        s->why = (uint8_t)why;
        s->failures++;
    }
    return NULL;
}

/* From class n or a larger one whose objects are aligned. What the first can't have of idle runs none can. */
static void *alloc_from(struct weir_small *s, uint32_t n, size_t size, size_t align)
{
    bool idle = true;
    for (; n < s->classes; n++) {
        struct weir_small_class *c = &s->cls[n];
        if ((c->stride & (align - 1)) != 0) continue;
        if (ready(s, c, idle)) return pop(s, c, size);
        idle = false;
    }
    return refused(s, WEIR_WHY_FULL);
}

static WEIR_APART void *alloc_slow(struct weir_small *s, size_t size)
{
    int n = weir_small_class_of(s, size);
    if (n < 0) return refused(s, WEIR_WHY_SIZE);
    return alloc_from(s, (uint32_t)n, size, 1);
}

/* The head of the run's list, checked. */
WEIR_TEMPLATE void *take_head(struct weir_small *s, struct weir_small_class *c, struct weir_small_run *r,
                              size_t size)
{
    void *object = r->free;
    uintptr_t grain = weir_small_grain(s, object);
    if (grain - r->first >= s->run_grains || !flip(s, grain, false)) return alloc_slow(s, size);
    memcpy(&r->free, object, sizeof r->free);
    return counted(s, c, r, size, object);
}

/* cur has no released object: the usual case, that it is full and another run of the class has one. */
static WEIR_APART void *alloc_next(struct weir_small *s, struct weir_small_class *c, size_t size)
{
    if (c->head == 0 || !full(c->cur)) return alloc_slow(s, size);
    leave_cur(s, c);
    struct weir_small_run *r = take_run(s, c);
    return r->free == NULL ? alloc_slow(s, size) : take_head(s, c, r, size);
}

void *weir_small_alloc(struct weir_small *s, size_t size)
{
    if (size > s->largest) return alloc_slow(s, size);
    size_t unit = s->class_of[(size + sizeof(void *) - 1) / sizeof(void *)];
    struct weir_small_class *c = (struct weir_small_class *)(void *)((uint8_t *)s->cls + unit * 8);
    struct weir_small_run *r = c->cur;
    if (r->free == NULL) return alloc_next(s, c, size);
    return take_head(s, c, r, size);
}

void *weir_small_alloc_aligned(struct weir_small *s, size_t size, size_t align)
{
    if (align <= (size_t)1 << s->grain_shift && (align & (align - 1)) == 0) return weir_small_alloc(s, size);
    if (size > s->largest) return refused(s, WEIR_WHY_SIZE);
    if (!weir_is_pow2(align) || align > s->largest) return refused(s, WEIR_WHY_ALIGN);
    size_t up = (size_t)weir_align_up(size == 0 ? 1 : size, align);
    int n = weir_small_class_of(s, up);
    /* A power of two up to `largest` is always a class, but the larger half of the last doubling may hold none. */
    return n < 0 ? refused(s, WEIR_WHY_ALIGN) : alloc_from(s, (uint32_t)n, size, align);
}

/* ---- in ---- */

static WEIR_APART ptrdiff_t free_slow(struct weir_small *s, const void *object)
{
    if (s->state != WEIR_SMALL_OPEN) return WEIR_ESTALE;
    struct weir_small_run *r;
    s->bad++;
    return weir_small_locate(s, object, &r);
}

/* A release left `more` below 0: the run was full, or is empty. `more` below -1: nothing was in use before it, so a
 * wild write changed bits or count, and the release is undone. */
static WEIR_APART ptrdiff_t changed(struct weir_small *s, struct weir_small_run *r, void *object)
{
    struct weir_small_class *c = &s->cls[r->cls];
    if (r->more < -1) {
        memcpy(&r->free, object, sizeof r->free);
        (void)flip(s, weir_small_grain(s, object), false);
        r->more = -1;
        s->room--;
        s->room_bytes -= r->stride;
        s->bad++;
        return WEIR_ECORRUPT;
    }
    ptrdiff_t stride = r->stride;
    if (r->where == WEIR_SMALL_FULL) {
        r->more = (int16_t)(r->cells - 2);
        if (full(c->cur)) {
            leave_cur(s, c); /* the next allocation finds this object at once */
            r->where = WEIR_SMALL_NOW;
            c->cur = r;
        } else {
            append(s, c, r);
        }
    }
    if (r->more < 0 && r->where == WEIR_SMALL_PARTIAL) {
        unlink_run(s, c, r);
        retire(s, r);
    }
    return stride;
}

ptrdiff_t weir_small_free(struct weir_small *s, void *object)
{
    uintptr_t grain = weir_small_grain(s, object);
    if (grain >= s->grains || !flip(s, grain, true)) return free_slow(s, object);
    struct weir_small_run *r = &s->run[grain >> s->run_shift];
    memcpy(object, &r->free, sizeof r->free);
    r->free = object;
    s->room++;
    s->room_bytes += r->stride;
    if (__builtin_expect(--r->more < 0, 0)) return changed(s, r, object);
    return r->stride;
}
