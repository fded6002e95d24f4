/* zpool.c: lives of segments: taken, referred to, given back. The picture is in zpool.h, the making in
 * zcarve.c, releases from other threads in zgive.c.
 *
 *                        take                         app + stk = 0, remote = 0
 *     FREE (on its class's list) ------> LIVE ------------------------------------> FREE
 *                                          |  app + stk = 0, remote > 0              ^
 *                                          +----------------------------> LIMBO -----+ weir_zpool_given_next
 *
 * A release from another thread that comes when app is 0 is one too many. Were the segment handed out again
 * before the owner sees it, it would fall on its next life's reference; so the segment waits in LIMBO, on no
 * list, for the owner's next look.
 *
 * Invariants, in the order of weir_zpool_check's numbers:
 *     1  total = sum of count;  bytes = sum of count << shift;  bytes is a multiple of 1 << slab_shift
 *     2  low <= free <= count, for each class
 *     3  floor[k] <= floor[k + 1] <= count, for each class
 *     4  number(by_number(i)) = i;  head(first) = by_number(number);  the head's class is its slab's
 *     5  state = LIVE iff app + stk > 0
 *     6  count - free = heads of the class in LIVE or LIMBO
 *     7  free = length of the class's list; on it are heads of that class in state FREE
 *     8  live = sum of (count - free)
 *     9  posted <= sum of stk
 *    10  remote > 0 for each head in LIMBO
 *
 * Heads are found, taken and given back in constant time; a take looks at most at every class once. */
#include "mem/zpool.h"

#include "base/bits.h"
#include "weir/err.h"

/* A broken promise of the caller, who is the stack: an assertion in debug builds, nothing in release. */
static inline void must(bool kept)
{
#ifndef NDEBUG
    if (!kept) __builtin_trap();
#else
    (void)kept;
#endif
}

static inline struct weir_zhead *head_of(const struct weir_zpool_class *c, uint32_t number)
{
    return (struct weir_zhead *)(c->bias + ((uintptr_t)number << c->hshift));
}

struct weir_zhead *weir_zpool_by_number(const struct weir_zpool *z, uint32_t number)
{
    unsigned i = z->classes - 1;
    while (i > 0 && number >= z->cls[i - 1].first_head)
        i--;
    return head_of(&z->cls[i], number);
}

uint32_t weir_zpool_number(const struct weir_zpool *z, const struct weir_zhead *h)
{
    /* From what never changes, so that givers may call it: the head's class shares a byte with its state. */
    if (z->heads) return (uint32_t)(((uintptr_t)h - (uintptr_t)z->heads) / WEIR_ZHEAD_BYTES);
    uint64_t off = (uint64_t)((uintptr_t)h - (uintptr_t)z->base);
    const struct weir_zpool_class *c = &z->cls[z->slab[off >> z->slab_shift].cls];
    return (uint32_t)(((uintptr_t)h - c->bias) >> c->hshift);
}

int weir_zpool_find(const struct weir_zpool *z, const void *addr, struct weir_zhead **head)
{
    struct weir_zhead *h = weir_zpool_head(z, addr);
    if (!h) return WEIR_EFOREIGN;
    /* Wraps to a large number for an address before the first byte, in the head. */
    uintptr_t at = (uintptr_t)addr - (uintptr_t)weir_zpool_first(z, h);
    if (at >= weir_zpool_bytes(z, h)) return WEIR_EFAULT;
    if (h->state != WEIR_Z_LIVE) return WEIR_ENOTHELD;
    *head = h;
    return 0;
}

static inline unsigned class_for(const struct weir_zpool *z, uint32_t bytes)
{
    if (bytes - 1 >= WEIR_ZCLASS_MAX) return z->classes;
    unsigned i = z->class_of[weir_log2((bytes - 1) | 1) + 1];
    /* bytes <= 2^k, and class_of gave the first class above 2^(k - 1). One more is enough: strides at least
     * double, so the next one's usable bytes, 64 less at most, are above 2^k. */
    return i < z->classes && z->cls[i].bytes < bytes ? i + 1 : i;
}

unsigned weir_zpool_class_for(const struct weir_zpool *z, uint32_t bytes)
{
    return class_for(z, bytes);
}

static void note_peak(const struct weir_zpool *z)
{
    uint32_t in_use = z->live - z->posted;
    if (z->stats && in_use > z->stats->zbuf_peak) z->stats->zbuf_peak = in_use;
}

static struct weir_zhead *begin_life(struct weir_zpool *z, struct weir_zpool_class *c, enum weir_take kind)
{
    struct weir_zhead *h = head_of(c, c->free_head - 1);
    c->free_head = h->u.next_free;
    if (--c->free < c->low) c->low = c->free;
    z->live++;
    h->app = kind == WEIR_TAKE_APP;
    h->stk = kind != WEIR_TAKE_APP;
    h->state = WEIR_Z_LIVE;
    h->gen++;
    h->tag = 0;
    h->lent_id = h->lent_bytes = 0;
    h->u.birth_ms = z->now_ms;
    z->posted += weir_take_posts(kind);
    if (z->stats) {
        z->stats->zbuf_allocs++;
        note_peak(z);
    }
    return h;
}

struct weir_zhead *weir_zpool_take(struct weir_zpool *z, uint32_t bytes, enum weir_take kind)
{
    unsigned best = class_for(z, bytes);
    for (unsigned i = best; i < z->classes; i++) {
        struct weir_zpool_class *c = &z->cls[i];
        if (c->free <= c->floor[kind]) continue;
        if (i != best && z->stats) z->stats->fallthroughs++;
        struct weir_zhead *h = begin_life(z, c, kind);
        if (weir_take_posts(kind)) h->asked_bytes = bytes;
        return h;
    }
    if (best < z->classes && z->stats) z->stats->pressure++;
    return NULL;
}

bool weir_zpool_can(const struct weir_zpool *z, unsigned cls, enum weir_take kind, uint32_t n)
{
    uint64_t sum = 0;
    for (unsigned i = cls; i < z->classes; i++) {
        const struct weir_zpool_class *c = &z->cls[i];
        if (c->free > c->floor[kind]) sum += c->free - c->floor[kind];
    }
    return sum >= n;
}

void weir_zpool_recycle(struct weir_zpool *z, struct weir_zhead *h)
{
    struct weir_zpool_class *c = &z->cls[h->cls];
    h->state = WEIR_Z_FREE;
    h->u.next_free = c->free_head;
    c->free_head = (uint32_t)(((uintptr_t)h - c->bias) >> c->hshift) + 1;
    c->free++;
    z->live--;
    if (z->stats) z->stats->zbuf_frees++;
}

/* After app or stk went down: true iff nothing refers to the segment and it is on its list again. */
static bool end_life(struct weir_zpool *z, struct weir_zhead *h)
{
    if ((h->app | h->stk) != 0) return false;
    if (atomic_load_explicit(&h->remote, memory_order_relaxed) != 0) {
        h->state = WEIR_Z_LIMBO;
        return false;
    }
    weir_zpool_recycle(z, h);
    return true;
}

bool weir_zpool_ref(struct weir_zpool *z, struct weir_zhead *h, enum weir_owner owner)
{
    must(h->state == WEIR_Z_LIVE && owner != WEIR_OWNER_APP);
    if (h->stk == UINT16_MAX) return false;
    h->stk++;
    if (owner == WEIR_OWNER_POSTED) z->posted++;
    return true;
}

bool weir_zpool_unref(struct weir_zpool *z, struct weir_zhead *h, enum weir_owner owner)
{
    must(h->stk > 0 && owner != WEIR_OWNER_APP);
    h->stk--;
    if (owner == WEIR_OWNER_POSTED) z->posted--;
    bool freed = end_life(z, h);
    if (owner == WEIR_OWNER_POSTED) note_peak(z);
    return freed;
}

void weir_zpool_move(struct weir_zpool *z, struct weir_zhead *h, enum weir_owner from, enum weir_owner to)
{
    must(h->stk > 0 && from != WEIR_OWNER_APP && to != WEIR_OWNER_APP);
    (void)h;
    if (from == WEIR_OWNER_POSTED) z->posted--;
    if (to == WEIR_OWNER_POSTED) z->posted++;
    note_peak(z);
}

int weir_zpool_app_ref(struct weir_zpool *z, struct weir_zhead *h)
{
    (void)z;
    must(h->state == WEIR_Z_LIVE);
    if (h->app == UINT16_MAX) return WEIR_EOVERFLOW;
    h->app++;
    return 0;
}

int weir_zpool_app_unref(struct weir_zpool *z, struct weir_zhead *h, uint32_t n)
{
    if (n > h->app) return WEIR_ENOTHELD;
    if (n == 0) return 0;
    h->app = (uint16_t)(h->app - n);
    (void)end_life(z, h);
    return h->app == 0;
}

/* ---- the check ---- */

static int check_class(const struct weir_zpool_class *c)
{
    if (c->low > c->free || c->free > c->count) return 2;
    for (unsigned k = 0; k < WEIR_TAKES; k++)
        if (c->floor[k] > c->count || (k > 0 && c->floor[k] < c->floor[k - 1])) return 3;
    return 0;
}

static int check_head(const struct weir_zpool *z, unsigned cls, uint32_t number)
{
    const struct weir_zpool_class *c = &z->cls[cls];
    const struct weir_zhead *h = weir_zpool_by_number(z, number);
    uint64_t off = c->start + ((uint64_t)(number - c->first_head) << c->shift);
    if (h->cls != cls || z->slab[off >> z->slab_shift].cls != cls) return 4;
    if (weir_zpool_number(z, h) != number || weir_zpool_head(z, weir_zpool_first(z, h)) != h) return 4;
    if (weir_zpool_first(z, h) + c->bytes != z->base + off + ((uint64_t)1 << c->shift)) return 4;
    if ((h->state == WEIR_Z_LIVE) != (h->app + h->stk > 0)) return 5;
    if (h->state == WEIR_Z_LIMBO && atomic_load_explicit(&h->remote, memory_order_relaxed) == 0) return 10;
    return 0;
}

static int check_heads(const struct weir_zpool *z, unsigned cls, uint64_t *stk)
{
    const struct weir_zpool_class *c = &z->cls[cls];
    uint32_t held = 0;
    for (uint32_t k = 0; k < c->count; k++) {
        const struct weir_zhead *h = weir_zpool_by_number(z, c->first_head + k);
        int broken = check_head(z, cls, c->first_head + k);
        if (broken != 0) return broken;
        held += h->state != WEIR_Z_FREE;
        *stk += h->stk;
    }
    return c->count - c->free == held ? 0 : 6;
}

/* A list with a circle, or with a head twice, is longer than free. */
static int check_list(const struct weir_zpool *z, unsigned cls)
{
    const struct weir_zpool_class *c = &z->cls[cls];
    uint32_t n = 0;
    for (uint32_t link = c->free_head; link != 0; n++) {
        if (n == c->free || link - 1 - c->first_head >= c->count) return 7;
        const struct weir_zhead *h = weir_zpool_by_number(z, link - 1);
        if (h->cls != cls || h->state != WEIR_Z_FREE) return 7;
        link = h->u.next_free;
    }
    return n == c->free ? 0 : 7;
}

int weir_zpool_check(const struct weir_zpool *z)
{
    uint64_t total = 0, bytes = 0, live = 0, stk = 0;
    for (unsigned i = 0; i < z->classes; i++) {
        const struct weir_zpool_class *c = &z->cls[i];
        int broken = check_class(c);
        if (broken == 0) broken = check_heads(z, i, &stk);
        if (broken == 0) broken = check_list(z, i);
        if (broken != 0) return broken;
        total += c->count;
        bytes += (uint64_t)c->count << c->shift;
        live += c->count - c->free;
    }
    if (total != z->total || bytes != z->bytes) return 1;
    if ((z->bytes & (((uint64_t)1 << z->slab_shift) - 1)) != 0) return 1;
    if (live != z->live) return 8;
    return z->posted <= stk ? 0 : 9;
}
