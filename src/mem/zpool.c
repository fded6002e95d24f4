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

struct weir_zhead *weir_zpool_take_larger(struct weir_zpool *z, uint32_t bytes, unsigned best,
                                          enum weir_take kind)
{
    for (unsigned i = best; i < z->classes; i++) {
        struct weir_zpool_class *c = &z->cls[i];
        if (c->free <= c->floor[kind]) continue;
        if (z->stats) z->stats->fallthroughs++;
        struct weir_zhead *h = weir_zpool_begin_life(z, c, kind);
        if (weir_take_posts(kind)) h->asked_bytes = bytes;
        return h;
    }
    if (best < z->classes && z->stats) z->stats->pressure++;
    return NULL;
}

bool weir_zpool_can_larger(const struct weir_zpool *z, unsigned cls, enum weir_take kind, uint32_t n)
{
    uint64_t sum = 0;
    for (unsigned i = cls; i < z->classes; i++) {
        const struct weir_zpool_class *c = &z->cls[i];
        if (c->free > c->floor[kind]) sum += c->free - c->floor[kind];
    }
    return sum >= n;
}

#ifdef WEIR_WRAP_DECISIONS
struct weir_zhead *weir_zpool_take(struct weir_zpool *z, uint32_t bytes, enum weir_take kind)
{
    return weir_zpool_take_inline(z, bytes, kind);
}

bool weir_zpool_can(const struct weir_zpool *z, unsigned cls, enum weir_take kind, uint32_t n)
{
    return weir_zpool_can_inline(z, cls, kind, n);
}
#endif

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
