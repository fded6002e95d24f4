/* zpool.h: the zbuf pool (mission row M1): one contiguous region cut beforehand into aligned segments of
 * several sizes, each with a fixed head, found in constant time from any address inside.
 *
 *     region   [ largest class ....... | next class ....... | ... | smallest class ... ]
 *               slab 0   slab 1   ...     every class fills whole slabs; a slab has the largest stride's size
 *
 *     off  = address - base                          slab = off >> slab_shift
 *     head = slab.bias + ((off >> slab.shift) << slab.hshift)
 *
 * Dense layout: hshift = 5, heads lie in an array of 32 bytes each (their own row of the plan). Inside
 * layout: hshift = shift, the head is the first 32 bytes of its segment and data begins at byte 64. One code
 * path, two biases.
 *
 * References. app counts the application's, stk the stack's; a segment is free iff app + stk = 0 (limbo
 * apart, see enum weir_zstate). stk is the sum over the stack's owners (enum weir_owner), which each call
 * names; the pool itself keeps account of POSTED only.
 *
 * Release from another thread. weir_zpool_give adds 1 to head.remote; only the caller that saw 0 pushes the
 * head on the pool's list. The owner takes the whole list, reads each next, then exchanges remote with 0 and
 * lowers app by it. Rejected: pushing on every call, which puts a head on the list twice and makes a circle.
 *
 * Floors. weir_zpool_take(kind) may use a class only while its free segments are more than
 * floor[class][kind]; floors rise in the order of enum weir_take, so what frees memory goes on when what uses
 * it must wait. */
#ifndef WEIR_ZPOOL_H
#define WEIR_ZPOOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"
#include "mem/carve.h"
#include "weir/config.h"
#include "weir/err.h"
#include "weir/stats.h"
#include "weir/zbuf.h"

/* What devices are usually given to receive into: 2 KB, less a head inside. */
#define WEIR_RX_ZBUF_BYTES 1984u

/* Decisions about memory are made inline. take_fail_test stands between them and their callers, by the
 * linker; so its library is compiled with WEIR_WRAP_DECISIONS and has them out of line. */
#ifdef WEIR_WRAP_DECISIONS
#define WEIR_DECISION(name) name##_inline
#else
#define WEIR_DECISION(name) name
#endif

enum weir_take {
    WEIR_TAKE_CONTROL, /* header blocks: acknowledgements, resets, window updates, ARP */
    WEIR_TAKE_POST,    /* to be posted to a device */
    WEIR_TAKE_INORDER, /* to replace a posted buffer whose payload is kept, in order */
    WEIR_TAKE_COPY,    /* copied writes */
    WEIR_TAKE_APP,     /* weir_zalloc */
    WEIR_TAKE_OOO,     /* to replace a posted buffer whose payload is kept, out of order */
    WEIR_TAKES
};

enum weir_zstate {
    WEIR_Z_FREE = 0, /* on its class's list; app = stk = 0 */
    WEIR_Z_LIVE = 1, /* app + stk > 0 */
    WEIR_Z_LIMBO =
        2 /* app = stk = 0, but releases from other threads, beyond what was held, are on their way: not
             handed out before the owner has seen them, so that they can't hit the segment's next life */
};

#define WEIR_LENT_PASSED 0x80000000u

struct weir_zhead {
    uint16_t app, stk;
    _Atomic uint32_t remote; /* releases from other threads not yet carried out */
    uint32_t next_remote;    /* head number + 1 on the list of such heads */
    union {
        uint32_t next_free; /* free: head number + 1 */
        uint32_t birth_ms;  /* live */
    } u;
    uint32_t lent_id; /* the connection whose received bytes the application holds here, 0: none */
    union {
        uint32_t lent_bytes;  /* with WEIR_LENT_PASSED: written on already (strict.h) */
        uint32_t asked_bytes; /* taken to be posted: so many were asked for; its class may be a larger one */
    };
    uint32_t first; /* offset of the first data byte from the region's base, in units of 64 bytes */
    uint16_t tag;
    uint8_t gen;                /* counts the segment's lives */
    uint8_t cls : 4, state : 4; /* index of the class; enum weir_zstate */
};
_Static_assert(sizeof(struct weir_zhead) == WEIR_ZHEAD_BYTES, "a head is 32 bytes");

struct weir_zslab {
    uintptr_t bias;
    uint8_t shift, hshift;
    uint8_t cls;
};

struct weir_zpool_class {
    uint32_t bytes; /* usable */
    uint32_t count, free, low;
    uint32_t free_head;  /* head number + 1, last in first out */
    uint32_t first_head; /* number of its first head */
    uint64_t start;      /* offset of its first segment */
    uintptr_t bias;      /* head = bias + (number << hshift) */
    uint8_t shift;       /* log2 of the stride */
    uint8_t hshift;      /* log2 of the distance between heads */
    uint32_t floor[WEIR_TAKES];
};

struct weir_zpool {
    uint8_t *base;
    uint64_t bytes; /* of the region */
    struct weir_zslab *slab;
    uint8_t *heads; /* dense: the array; inside: NULL */
    uint32_t slab_shift;
    uint32_t classes; /* ascending by size */
    uint32_t total;   /* segments */
    uint32_t live;    /* not free */
    uint32_t posted;  /* held by the POSTED owner */
    enum weir_zlayout layout;
    uint32_t now_ms; /* set by the stack before each burst; the birth time of what is taken */
    struct weir_zpool_class cls[WEIR_ZCLASSES_MAX];
    struct weir_stats *stats; /* allocs, frees, peak, fallthroughs, pressure, gives */
    _Atomic uint32_t given;   /* list of heads with remote > 0, head number + 1 */
    uint8_t class_of[18];     /* first class to try by ceil(log2(bytes)), see zpool.c */
};

/* Called by plan and by start with the same configuration: rows "zbuf_data", one a class, largest first,
 * which together are the region; "zbuf_slabs"; and in the dense layout "zbuf_heads". Fills in *z: floors are
 * 0, stats NULL; when placing, segments are made free. Returns false after a refusal (plan->option, plan->why
 * are set) or when the carver failed. */
bool weir_zpool_carve(struct weir_zpool *z, struct weir_carve *, const struct weir_config *);

/* Sets the floors of one class, ascending in kind; checked against its count by the caller. */
void weir_zpool_floor(struct weir_zpool *, unsigned cls, const uint32_t floor[WEIR_TAKES]);

/* The head for an address, NULL iff it is outside the region. The address may lie in the head itself (inside
 * layout) and the segment may be free: see weir_zpool_find. At most 10 instructions inlined. */
static inline struct weir_zhead *weir_zpool_head(const struct weir_zpool *z, const void *addr)
{
    uint64_t off = (uint64_t)((uintptr_t)addr - (uintptr_t)z->base);
    if (off >= z->bytes) return NULL;
    const struct weir_zslab *s = &z->slab[off >> z->slab_shift];
    return (struct weir_zhead *)(s->bias + (uintptr_t)((off >> s->shift) << s->hshift));
}

/* The segment's first data byte, and its usable bytes. */
static inline uint8_t *weir_zpool_first(const struct weir_zpool *z, const struct weir_zhead *h)
{
    return z->base + (uint64_t)h->first * 64;
}
static inline uint32_t weir_zpool_bytes(const struct weir_zpool *z, const struct weir_zhead *h)
{
    return z->cls[h->cls].bytes;
}

/* 0 and *head for an address among the data bytes of a live segment; WEIR_EFOREIGN outside the region,
 * WEIR_EFAULT on a head or behind the usable bytes, WEIR_ENOTHELD in a segment that nobody holds. */
static inline int weir_zpool_find(const struct weir_zpool *z, const void *addr, struct weir_zhead **head)
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

/* The head for an address among the data bytes of a segment that the application holds, and how many bytes of it
 * there are from there on; NULL: anything else. */
static inline struct weir_zhead *weir_zpool_held(const struct weir_zpool *z, const void *addr, uint32_t *left)
{
    struct weir_zhead *h = weir_zpool_head(z, addr);
    if (!h) return NULL;
    uintptr_t at = (uintptr_t)addr - (uintptr_t)weir_zpool_first(z, h);
    uint32_t bytes = weir_zpool_bytes(z, h);
    if (at >= bytes || h->app == 0) return NULL; /* with an app it is live */
    *left = bytes - (uint32_t)at;
    return h;
}

/* The smallest class that fits bytes, or classes when none does. Constant time. */
static inline unsigned weir_zpool_class_for(const struct weir_zpool *z, uint32_t bytes)
{
    if (bytes - 1 >= WEIR_ZCLASS_MAX) return z->classes;
    unsigned i = z->class_of[weir_log2((bytes - 1) | 1) + 1];
    /* bytes <= 2^k, and class_of gave the first class above 2^(k - 1). One more is enough: strides at least
     * double, so the next one's usable bytes, 64 less at most, are above 2^k. */
    return i < z->classes && z->cls[i].bytes < bytes ? i + 1 : i;
}

/* weir_zpool_class_for what a posted segment's device asked for. It is the segment's own class unless the next
 * smaller one would have done. */
static inline unsigned weir_zpool_class_asked(const struct weir_zpool *z, const struct weir_zhead *h)
{
    if (h->cls == 0 || z->cls[h->cls - 1].bytes < h->asked_bytes) return h->cls;
    return weir_zpool_class_for(z, h->asked_bytes);
}

/* Whose the reference of a taken segment is. */
static inline bool weir_take_posts(enum weir_take kind)
{
    return (1u << kind & (1u << WEIR_TAKE_POST | 1u << WEIR_TAKE_INORDER | 1u << WEIR_TAKE_OOO)) != 0;
}
static inline enum weir_owner weir_take_owner(enum weir_take kind)
{
    if (weir_take_posts(kind)) return WEIR_OWNER_POSTED;
    if (kind == WEIR_TAKE_APP) return WEIR_OWNER_APP;
    return kind == WEIR_TAKE_COPY ? WEIR_OWNER_WARM : WEIR_OWNER_TXWAIT;
}

static inline void weir_zpool_note_peak(const struct weir_zpool *z)
{
    uint32_t in_use = z->live - z->posted;
    if (z->stats && in_use > z->stats->zbuf_peak) z->stats->zbuf_peak = in_use;
}

/* The first free segment of a class that has one, with its first reference. */
static inline struct weir_zhead *weir_zpool_begin_life(struct weir_zpool *z, struct weir_zpool_class *c,
                                                       enum weir_take kind)
{
    struct weir_zhead *h = (struct weir_zhead *)(c->bias + ((uintptr_t)(c->free_head - 1) << c->hshift));
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
    if (z->stats) z->stats->zbuf_allocs++;
    if (!weir_take_posts(kind)) weir_zpool_note_peak(z); /* live and posted have both grown else */
    return h;
}

/* The rest of weir_zpool_take, where the best class can't give: the larger ones, or none. */
struct weir_zhead *weir_zpool_take_larger(struct weir_zpool *, uint32_t bytes, unsigned best, enum weir_take);

#ifdef WEIR_WRAP_DECISIONS
struct weir_zhead *weir_zpool_take(struct weir_zpool *, uint32_t bytes, enum weir_take kind);
bool weir_zpool_can(const struct weir_zpool *, unsigned cls, enum weir_take kind, uint32_t n);
#endif

/* Takes a segment of at least bytes: the best class above its floor for this kind, then larger ones. The head
 * has app = 1 for WEIR_TAKE_APP, else stk = 1, which is weir_take_owner(kind)'s. NULL iff bytes is 0, no
 * class fits, or all that fit are at their floors (then counted as pressure, and nothing else happened). */
static inline struct weir_zhead *WEIR_DECISION(weir_zpool_take)(struct weir_zpool *z, uint32_t bytes,
                                                                enum weir_take kind)
{
    unsigned best = weir_zpool_class_for(z, bytes);
    if (best == z->classes || z->cls[best].free <= z->cls[best].floor[kind])
        return weir_zpool_take_larger(z, bytes, best, kind);
    struct weir_zhead *h = weir_zpool_begin_life(z, &z->cls[best], kind);
    if (weir_take_posts(kind)) h->asked_bytes = bytes;
    return h;
}

/* Whether n segments of exactly this class or larger ones could be taken now for this kind. */
bool weir_zpool_can_larger(const struct weir_zpool *, unsigned cls, enum weir_take kind, uint32_t n);
static inline bool WEIR_DECISION(weir_zpool_can)(const struct weir_zpool *z, unsigned cls,
                                                 enum weir_take kind, uint32_t n)
{
    if (cls < z->classes && (uint64_t)z->cls[cls].free >= (uint64_t)z->cls[cls].floor[kind] + n) return true;
    return weir_zpool_can_larger(z, cls, kind, n);
}

/* The same for one segment of what a posted segment's device asked for: what keeping it will cost. */
static inline bool weir_zpool_can_replace(const struct weir_zpool *z, const struct weir_zhead *h,
                                          enum weir_take kind)
{
#ifndef WEIR_WRAP_DECISIONS
    const struct weir_zpool_class *c = &z->cls[h->cls];
    if (h->cls != 0 && c[-1].bytes < h->asked_bytes && c->free > c->floor[kind]) return true;
#endif
    return weir_zpool_can(z, weir_zpool_class_asked(z, h), kind, 1);
}

/* One more reference of the stack for this owner. false iff the count is at its limit; nothing changed then.
 */
static inline bool weir_zpool_ref(struct weir_zpool *z, struct weir_zhead *h, enum weir_owner owner)
{
    weir_must(h->state == WEIR_Z_LIVE && owner != WEIR_OWNER_APP);
    if (h->stk == UINT16_MAX) return false;
    h->stk++;
    if (owner == WEIR_OWNER_POSTED) z->posted++;
    return true;
}

/* Puts a segment without references on its class's list; for this file, zpool.c and zgive.c only. */
static inline void weir_zpool_recycle(struct weir_zpool *z, struct weir_zhead *h)
{
    struct weir_zpool_class *c = &z->cls[h->cls];
    h->state = WEIR_Z_FREE;
    h->u.next_free = c->free_head;
    c->free_head = (uint32_t)(((uintptr_t)h - c->bias) >> c->hshift) + 1;
    c->free++;
    z->live--;
    if (z->stats) z->stats->zbuf_frees++;
}

/* After app or stk went down: true iff nothing refers to the segment and it is on its list again. For this
 * file only. */
static inline bool weir_zpool_end_life(struct weir_zpool *z, struct weir_zhead *h)
{
    if ((h->app | h->stk) != 0) return false;
    if (atomic_load_explicit(&h->remote, memory_order_relaxed) != 0) {
        h->state = WEIR_Z_LIMBO;
        return false;
    }
    weir_zpool_recycle(z, h);
    return true;
}

/* One less; at app + stk = 0 the segment returns to its class. true iff it did. */
static inline bool weir_zpool_unref(struct weir_zpool *z, struct weir_zhead *h, enum weir_owner owner)
{
    weir_must(h->stk > 0 && owner != WEIR_OWNER_APP);
    h->stk--;
    if (owner != WEIR_OWNER_POSTED) return weir_zpool_end_life(z, h);
    z->posted--;
    bool freed = weir_zpool_end_life(z, h);
    if (!freed) weir_zpool_note_peak(z); /* it counts as in use from now on */
    return freed;
}

/* A posted segment was kept by somebody else: its reference for POSTED goes, and a segment for what the device
 * asked for takes its place. The same as weir_zpool_unref and weir_zpool_take. */
static inline struct weir_zhead *weir_zpool_replace(struct weir_zpool *z, struct weir_zhead *h)
{
    uint32_t bytes = h->asked_bytes;
#ifndef WEIR_WRAP_DECISIONS
    struct weir_zpool_class *c = &z->cls[h->cls];
    if (h->stk > 1 && h->cls != 0 && c[-1].bytes < bytes && c->free > c->floor[WEIR_TAKE_POST]) {
        h->stk--;
        h = weir_zpool_begin_life(z, c, WEIR_TAKE_POST);
        z->posted--; /* one went and one came, and those in use are one more */
        weir_zpool_note_peak(z);
        h->asked_bytes = bytes;
        return h;
    }
#endif
    (void)weir_zpool_unref(z, h, WEIR_OWNER_POSTED);
    return weir_zpool_take(z, bytes, WEIR_TAKE_POST);
}

/* Segments of one class that are used for a moment without a life of their own: off their list, but FREE, with
 * no reference, no account and no number in any count but `free` and `low`. Whoever borrows gives all back at
 * once, before anybody else looks at the pool. */
struct weir_zborrow {
    struct weir_zhead *last;
    uint32_t first; /* head number + 1; linked by next_free */
    uint32_t n;
};

/* One more, NULL iff the class is at the floor of control. Constant time. */
static inline struct weir_zhead *weir_zpool_borrow(struct weir_zpool *z, struct weir_zborrow *b, unsigned cls)
{
#ifdef WEIR_WRAP_DECISIONS
    return NULL; /* so that weir_zpool_take is asked, whose answers are tested */
#endif
    struct weir_zpool_class *c = &z->cls[cls];
    if (c->free <= c->floor[WEIR_TAKE_CONTROL]) return NULL;
    uint32_t number = c->free_head;
    struct weir_zhead *h = (struct weir_zhead *)(c->bias + ((uintptr_t)(number - 1) << c->hshift));
    c->free_head = h->u.next_free;
    if (--c->free < c->low) c->low = c->free;
    if (b->n++ == 0)
        b->first = number;
    else
        b->last->u.next_free = number;
    b->last = h;
    return h;
}

static inline void weir_zpool_bring_back(struct weir_zpool *z, struct weir_zborrow *b, unsigned cls)
{
    struct weir_zpool_class *c = &z->cls[cls];
    if (b->n == 0) return;
    b->last->u.next_free = c->free_head;
    c->free_head = b->first;
    c->free += b->n;
    b->n = 0;
}

/* The same reference now belongs to another owner of the stack. */
static inline void weir_zpool_move(struct weir_zpool *z, struct weir_zhead *h, enum weir_owner from,
                                   enum weir_owner to)
{
    weir_must(h->stk > 0 && from != WEIR_OWNER_APP && to != WEIR_OWNER_APP);
    (void)h;
    z->posted += (to == WEIR_OWNER_POSTED) - (uint32_t)(from == WEIR_OWNER_POSTED);
    if (from == WEIR_OWNER_POSTED) weir_zpool_note_peak(z);
}

/* The application's references: one more (WEIR_EOVERFLOW at the limit), n less (WEIR_ENOTHELD if there are
 * fewer; nothing changed then). Returns 0, or 1 when the application's last reference went. */
static inline int weir_zpool_app_ref(struct weir_zpool *z, struct weir_zhead *h)
{
    (void)z;
    weir_must(h->state == WEIR_Z_LIVE);
    if (h->app == UINT16_MAX) return WEIR_EOVERFLOW;
    h->app++;
    return 0;
}
static inline int weir_zpool_app_unref(struct weir_zpool *z, struct weir_zhead *h, uint32_t n)
{
    if (n > h->app) return WEIR_ENOTHELD;
    if (n == 0) return 0;
    h->app = (uint16_t)(h->app - n);
    (void)weir_zpool_end_life(z, h);
    return h->app == 0;
}

/* (any thread) One release for the owner to carry out. true: the list was empty and the owner should be woken
 * if it sleeps. */
bool weir_zpool_give(struct weir_zpool *, struct weir_zhead *);

/* (owner) Takes the whole list of given heads: the first one's number + 1, or 0. */
uint32_t weir_zpool_given(struct weir_zpool *);

/* (owner) One step along that list: *link moves on, *n gets the releases to carry out on the returned head,
 * counted in stats.gives; a segment in limbo becomes free here. NULL at the end, which must be reached. The
 * caller calls weir_zpool_app_unref with min(*n, app) and counts the rest as excess. */
struct weir_zhead *weir_zpool_given_next(struct weir_zpool *, uint32_t *link, uint32_t *n);

/* By number, 0 .. total - 1, for the census; numbers run through all classes. The second may be
 * called from any thread. */
struct weir_zhead *weir_zpool_by_number(const struct weir_zpool *, uint32_t number);
uint32_t weir_zpool_number(const struct weir_zpool *, const struct weir_zhead *);

/* For tests and debug builds: 0, or the number of a broken invariant (zpool.c lists them). Cost: every
 * segment. */
int weir_zpool_check(const struct weir_zpool *);

#endif
