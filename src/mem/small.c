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
 * longest, then from the empty run that it keeps, then an idle run, then a run that another class keeps. A run in which
 * nothing lives goes back to the idle ones at once, but for one that was cur, which its class keeps: so a load that
 * swings by an object cuts no run each time. When no run is to be had, the next larger class that has an object serves.
 *
 * The bound. cur is left when its last object goes out, not when the next is asked for: so whether a class has an object is
 * one bit of `able`, whether it keeps an empty run one of `keeping`, and each choice above is a test or one
 * find-first-set. An allocation makes at most one of each: take a kept run or an idle one, cut it, pop, leave cur for
 * the list's next. A release makes one change of list. Nothing counts classes or runs; only mending a list that was
 * overwritten looks at the objects of one run.
 *
 * Counts: live = peak - room, live bytes = peak_bytes - room_bytes; either going below 0 is a new peak.
 *
 * Invariants (weir_small_check returns the number)
 *   1  live = sum of used = number of bits;  live bytes = sum of used * stride
 *   2  used <= fresh <= cells;  used = more + 1, of a FULL run cells (then more = 0)
 *   3  length(free list) = fresh - used, each link an object of the run whose bit is 0
 *   4  IDLE: stride 0, no bit, on the idle list iff below fresh_runs;  BUSY: its class's cur or on its list, used <
 *      cells;  FULL iff used = cells;  KEPT: its class's kept, used = 0
 *   5  on its class's list: used > 0;  each class's `runs` are those with its number
 *   6  bit n of able iff cur of class n is a run, which is so when its list has one;  of keeping iff it keeps one
 *
 * Our reading: the sources say "small objects, no bookkeeping per object, owner from the address" and no more; runs,
 * bits by grain, the four classes a doubling and the empty run that a class keeps are ours.
 *
 * Rejected: a bit an object (needs a division or a reciprocal by class to find it; saves nothing, since a run that may
 * serve the smallest class must have that class's bits anyway); bits inside the run (63 instead of 64 objects of 64
 * bytes); keeping more empty runs by class (memory that
 * others must search for); finding out that cur is full when the next object is asked for (no test of the link, but
 * a full arena then asks every class: 4,038 instructions); a bound on the search instead (refuses what could be served). */
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

/* ---- lists of runs ---- */

static uint64_t bit(const struct weir_small_class *c)
{
    return (uint64_t)1 << c->number;
}

static void set_cur(struct weir_small *s, struct weir_small_class *c, struct weir_small_run *r)
{
    r->where = WEIR_SMALL_BUSY;
    c->cur = r;
    s->able |= bit(c);
}

/* The prev of a list's first run is not looked at. */
static void append(struct weir_small *s, struct weir_small_class *c, struct weir_small_run *r)
{
    uint32_t ref = weir_small_ref(s, r), tail = c->tail;
    r->where = WEIR_SMALL_BUSY;
    r->next = 0;
    r->prev = tail;
    c->tail = ref;
    if (tail != 0)
        weir_small_run_at(s, tail)->next = ref;
    else
        c->head = ref;
}

static void unlink_run(struct weir_small *s, struct weir_small_class *c, struct weir_small_run *r)
{
    bool first = c->head == weir_small_ref(s, r);
    if (first)
        c->head = r->next;
    else
        weir_small_run_at(s, r->prev)->next = r->next;
    if (r->next != 0)
        weir_small_run_at(s, r->next)->prev = r->prev;
    else
        c->tail = first ? 0 : r->prev;
}

/* The class takes from cur no more: the first run of its list comes, or none is there. */
static inline void next_cur(struct weir_small *s, struct weir_small_class *c)
{
    if (c->head == 0) {
        c->cur = &s->none;
        s->able &= ~bit(c);
        return;
    }
    struct weir_small_run *r = weir_small_run_at(s, c->head);
    c->cur = r;
    c->head = r->next;
    if (r->next == 0) c->tail = 0;
}

/* Every object of cur is in use. */
static inline void leave_cur(struct weir_small *s, struct weir_small_class *c)
{
    c->cur->where = WEIR_SMALL_FULL;
    c->cur->more = 0;
    next_cur(s, c);
}

/* A run in which nothing lives, on no list, serves no class any more. */
static void retire(struct weir_small *s, struct weir_small_run *r)
{
    s->cls[r->cls].runs--;
    s->joins++;
    *r = (struct weir_small_run){.next = s->idle, .more = -1, .where = WEIR_SMALL_IDLE, .first = r->first};
    s->idle = weir_small_ref(s, r);
    s->idle_runs++;
}

/* Nothing lives in cur: the class keeps it apart, one at a time. */
static void keep_cur(struct weir_small *s, struct weir_small_class *c)
{
    struct weir_small_run *r = c->cur;
    next_cur(s, c);
    if (c->kept != 0) {
        retire(s, r);
        return;
    }
    r->where = WEIR_SMALL_KEPT;
    c->kept = weir_small_ref(s, r);
    s->keeping |= bit(c);
}

static struct weir_small_run *take_kept(struct weir_small *s, struct weir_small_class *c)
{
    struct weir_small_run *r = weir_small_run_at(s, c->kept);
    c->kept = 0;
    s->keeping &= ~bit(c);
    return r;
}

/* An idle run, or one that another class keeps. NULL: none. */
static struct weir_small_run *idle_run(struct weir_small *s)
{
    if (s->idle_runs == 0) {
        if (s->fresh_runs < s->runs) return &s->run[s->fresh_runs++];
        if (s->keeping == 0) return NULL;
        retire(s, take_kept(s, &s->cls[weir_small_lowest(s->keeping)]));
    }
    struct weir_small_run *r = weir_small_run_at(s, s->idle);
    s->idle = r->next;
    s->idle_runs--;
    return r;
}

static void cut(struct weir_small *s, struct weir_small_class *c, struct weir_small_run *r)
{
    *r = (struct weir_small_run){.more = -1,
                                 .cells = c->cells,
                                 .stride = (uint16_t)c->stride,
                                 .cls = (uint8_t)c->number,
                                 .first = r->first};
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
    if (!head_sound(s, r)) mend(s, r);
    return r->free != NULL || r->fresh < r->cells;
}

/* cur's list came to its end, and it is not full: it has objects that were never handed out, or was cut short. */
static WEIR_APART void *ended(struct weir_small *s, struct weir_small_run *r, void *object)
{
    if (r->fresh != weir_small_used(r)) mend(s, r);
    return object;
}

/* cur gave the last of its list, which is counted: usually it is full. */
static WEIR_APART void *last(struct weir_small *s, struct weir_small_class *c, void *object)
{
    struct weir_small_run *r = c->cur;
    if (r->more + 1 != r->cells) return ended(s, r, object);
    leave_cur(s, c);
    return object;
}

/* More objects, or more bytes, live than ever. */
static WEIR_APART void *more_bytes(struct weir_small *s, struct weir_small_class *c, void *object)
{
    s->peak_bytes -= (uint64_t)s->room_bytes;
    s->room_bytes = 0;
    return c->cur->free == NULL ? last(s, c, object) : object;
}

static WEIR_APART void *more_objects(struct weir_small *s, struct weir_small_class *c, void *object)
{
    s->peak -= (uint32_t)s->room;
    s->room = 0;
    s->room_bytes -= c->stride;
    if (s->room_bytes < 0) return more_bytes(s, c, object);
    return c->cur->free == NULL ? last(s, c, object) : object;
}

/* The counts of an object of cur that goes out; next is the head of what is left of its list. */
WEIR_TEMPLATE void *counted(struct weir_small *s, struct weir_small_class *c, size_t size, void *object,
                            const void *next)
{
    c->allocs++;
    s->asked += size;
    if (__builtin_expect(--s->room < 0, 0)) return more_objects(s, c, object);
    if (__builtin_expect((s->room_bytes -= c->stride) < 0, 0)) return more_bytes(s, c, object);
    return __builtin_expect(next == NULL, 0) ? last(s, c, object) : object;
}

/* An object of cur, whose head is sound. */
static void *pop(struct weir_small *s, struct weir_small_class *c, size_t size)
{
    struct weir_small_run *r = c->cur;
    void *object = r->free;
    if (object != NULL)
        memcpy(&r->free, object, sizeof r->free);
    else
        object = weir_small_object(s, r, r->fresh++);
    (void)flip(s, weir_small_grain(s, object), false);
    r->more++;
    return counted(s, c, size, object, r->free);
}

static void *refused(struct weir_small *s, enum weir_why why)
{
    if (s->state == WEIR_SMALL_OPEN) {
        s->why = (uint8_t)why;
        s->failures++;
    }
    return NULL;
}

/* A class without an object gets a run, if there is one. */
static void refill(struct weir_small *s, struct weir_small_class *c)
{
    struct weir_small_run *r;
    if (c->kept != 0)
        r = take_kept(s, c);
    else if ((r = idle_run(s)) != NULL)
        cut(s, c, r);
    if (r != NULL) set_cur(s, c, r);
}

/* From class n, which gets a run if it needs one, or a larger one that has an object; of those whose objects are
 * aligned. A second turn is for tables that were overwritten. */
static void *alloc_from(struct weir_small *s, uint32_t n, size_t size, size_t align)
{
    uint64_t fit = s->multiples[weir_log2((uint32_t)align)] & ~(uint64_t)0 << n;
    if (fit == 0) return refused(s, WEIR_WHY_FULL);
    struct weir_small_class *c = &s->cls[weir_small_lowest(fit)];
    if (c->cur == &s->none) refill(s, c);
    while ((fit & s->able) != 0) {
        c = &s->cls[weir_small_lowest(fit & s->able)];
        if (run_has(s, c->cur)) return pop(s, c, size);
        leave_cur(s, c);
    }
    return refused(s, WEIR_WHY_FULL);
}

static WEIR_APART void *alloc_slow(struct weir_small *s, size_t size)
{
    int n = weir_small_class_of(s, size);
    if (n < 0) return refused(s, WEIR_WHY_SIZE);
    return alloc_from(s, (uint32_t)n, size, 1);
}

/* Without a released object the head is NULL, which is the address of no grain of the run. */
void *weir_small_alloc(struct weir_small *s, size_t size)
{
    if (size > s->largest) return alloc_slow(s, size);
    size_t unit = s->class_of[(size + sizeof(void *) - 1) / sizeof(void *)];
    struct weir_small_class *c = (struct weir_small_class *)(void *)((uint8_t *)s->cls + unit * 8);
    struct weir_small_run *r = c->cur;
    void *object = r->free, *next;
    uintptr_t grain = weir_small_grain(s, object);
    if ((grain ^ r->first) >= s->run_grains || !flip(s, grain, false)) return alloc_slow(s, size);
    memcpy(&next, object, sizeof next);
    r->free = next;
    r->more++;
    return counted(s, c, size, object, next);
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

/* A release from a full run: its class has an object again. */
static void opened(struct weir_small *s, struct weir_small_class *c, struct weir_small_run *r)
{
    r->more = (int16_t)(r->cells - 2);
    if (c->cur == &s->none)
        set_cur(s, c, r);
    else
        append(s, c, r);
}

/* Nothing was in use before a release: a wild write changed bits or count. It is undone. */
static WEIR_APART ptrdiff_t undo(struct weir_small *s, struct weir_small_run *r, void *object)
{
    memcpy(&r->free, object, sizeof r->free);
    (void)flip(s, weir_small_grain(s, object), false);
    r->more = -1;
    s->room--;
    s->room_bytes -= r->stride;
    s->bad++;
    return WEIR_ECORRUPT;
}

/* Nothing lives in a run any more. */
static WEIR_APART ptrdiff_t emptied(struct weir_small *s, struct weir_small_run *r, void *object)
{
    struct weir_small_class *c = &s->cls[r->cls];
    ptrdiff_t stride = r->stride;
    if (r->more < -1) return undo(s, r, object);
    if (c->cur == r) {
        keep_cur(s, c);
    } else {
        unlink_run(s, c, r);
        retire(s, r);
    }
    return stride;
}

/* A release left `more` below 0: the run was full, or is empty. */
static WEIR_APART ptrdiff_t changed(struct weir_small *s, struct weir_small_run *r, void *object)
{
    if (r->where != WEIR_SMALL_FULL) return emptied(s, r, object);
    opened(s, &s->cls[r->cls], r);
    return r->stride;
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
