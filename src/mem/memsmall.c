/* memsmall.c: a heap's managers of small objects, each in a range of the weir_mem that begins with its own
 * control structure:
 *
 *     | struct weir_heap_chunk | tables of the weir_small | run | run | ...            range of whole granules
 *
 * A manager's arena does not grow, so another one begins when none has room, as large as all before it: their
 * number is the logarithm of the bytes until small_most is reached, and the tables of one that is new, which are
 * cleared, are never more than those already there.
 *
 * now[step] is the manager that served this size last. Only when that has no room the others are asked, oldest
 * first, so that objects gather in old ranges and young ones become empty and can be given back.
 *
 * Invariants, under the heap's lock: each chunk's range is registered for it; small_bytes is the sum of their
 * bytes; now[] holds NULL or a chunk of the list.
 *
 * The usable bytes of an object in use are read without a lock: while it lives, its bit stays set, other bits of
 * that word change by whole stores, and its run keeps its class. Programs that ask with each request and release
 * (redis-server does) would take the lock twice as often.
 *
 * Locks: mem_lock is taken before the heap's, never inside it. A range is therefore taken with no lock of the
 * heap held, and two threads may both add one: then there is one more. */
#include <string.h>

#include "base/bits.h"
#include "mem/lock.h"
#include "mem/memheap.h"
#include "mem/small_parts.h"

struct weir_heap_chunk {
    struct weir_small small;
    struct weir_heap *heap;
    struct weir_heap_chunk *next;
    size_t bytes; /* of the range */
};

static struct weir_small_conf small_conf(const struct weir_heap_conf *conf)
{
    struct weir_small_conf c = conf->small;
    c.align_bytes = conf->align_bytes;
    return c;
}

size_t weir_heap_small_largest(const struct weir_heap_conf *conf)
{
    struct weir_small_conf c = small_conf(conf);
    if (weir_small_bytes(&c, 1) == 0) return 0;
    size_t run = c.run_bytes != 0 ? c.run_bytes : WEIR_SMALL_RUN;
    return c.largest != 0 ? c.largest : run / 8;
}

/* ---- the keeper ---- */

static int chunk_free(void *obj, void *block)
{
    struct weir_heap_chunk *c = obj;
    uintptr_t before = weir_lock_enter(&c->heap->conf.lock);
    ptrdiff_t freed = weir_small_free(&c->small, block);
    weir_lock_leave(&c->heap->conf.lock, before);
    return freed < 0 ? (int)freed : 0;
}

/* What is wrong with an address, which takes a look at its neighbours. */
static WEIR_APART ptrdiff_t chunk_why(const struct weir_heap_chunk *c, const void *block)
{
    uintptr_t before = weir_lock_enter(&c->heap->conf.lock);
    ptrdiff_t usable = weir_small_usable(&c->small, block);
    weir_lock_leave(&c->heap->conf.lock, before);
    return usable;
}

static ptrdiff_t chunk_usable(const void *obj, const void *block)
{
    const struct weir_heap_chunk *c = obj;
    const struct weir_small *s = &c->small;
    uintptr_t grain = weir_small_grain(s, block);
    if (grain >= s->grains) return chunk_why(c, block);
    uint32_t bits = __atomic_load_n(&s->bits[grain / 32], __ATOMIC_RELAXED);
    if ((bits >> (grain & 31) & 1) == 0) return chunk_why(c, block);
    return s->run[grain >> s->run_shift].stride;
}

static ptrdiff_t chunk_resize(void *obj, void *block, size_t size)
{
    ptrdiff_t usable = chunk_usable(obj, block);
    return usable < 0 || size <= (size_t)usable ? usable : WEIR_ENOMEM;
}

static int chunk_walk(const void *obj, const void *base, size_t bytes, weir_walk_fn fn, void *arg)
{
    return weir_small_keeper.walk(&((const struct weir_heap_chunk *)obj)->small, base, bytes, fn, arg);
}

static uint64_t chunk_live(const void *obj)
{
    return weir_small_keeper.live(&((const struct weir_heap_chunk *)obj)->small);
}

static const struct weir_keeper chunk_keeper = {.name = "small",
                                                .free = chunk_free,
                                                .usable = chunk_usable,
                                                .resize = chunk_resize,
                                                .walk = chunk_walk,
                                                .live = chunk_live};

/* ---- beginning ---- */

/* A range for one more manager; mem_lock is held. */
static struct weir_heap_chunk *new_chunk(struct weir_heap *h)
{
    const struct weir_heap_conf *c = &h->conf;
    size_t most = c->small_most > c->small_bytes ? c->small_most : c->small_bytes;
    size_t bytes = h->small_bytes > c->small_bytes ? h->small_bytes : c->small_bytes;
    void *base = NULL;
    if (bytes > most) bytes = most;
    for (; !base && bytes >= c->small_bytes; bytes = base ? bytes : bytes / 2)
        base = weir_mem_take(h->mem, bytes, 0, &chunk_keeper, NULL, "small");
    if (!base) return NULL;
    struct weir_heap_chunk *chunk = base;
    struct weir_small_conf conf = small_conf(c);
    size_t front = (size_t)weir_align_up(sizeof *chunk, 64);
    if (bytes <= front || weir_small_open(&chunk->small, &conf, (uint8_t *)base + front, bytes - front) < 0) {
        (void)weir_mem_give(h->mem, base);
        return NULL;
    }
    (void)weir_mem_keep(h->mem, base, &chunk_keeper, chunk, 0, 0);
    chunk->heap = h;
    chunk->next = NULL;
    chunk->bytes = bytes;
    return chunk;
}

/* One more manager. false: there is no range for it. */
static bool grow(struct weir_heap *h)
{
    uintptr_t mem_before = weir_lock_enter(&h->conf.mem_lock);
    struct weir_heap_chunk *c = new_chunk(h);
    if (c) {
        uintptr_t before = weir_lock_enter(&h->conf.lock);
        if (h->last)
            h->last->next = c;
        else
            h->first = c;
        h->last = c;
        h->small_bytes += c->bytes;
        weir_lock_leave(&h->conf.lock, before);
    }
    weir_lock_leave(&h->conf.mem_lock, mem_before);
    return c != NULL;
}

int weir_heap_small(struct weir_heap *h)
{
    if (h->small_largest == 0) return WEIR_EINVAL;
    return h->first || grow(h) ? 0 : WEIR_ENOMEM;
}

/* ---- requests ---- */

/* From the first manager that has room; under the lock. */
static void *from_any(struct weir_heap *h, size_t size, unsigned step)
{
    for (struct weir_heap_chunk *c = h->first; c; c = c->next) {
        void *p = weir_small_alloc(&c->small, size);
        if (!p) continue;
        h->now[step] = c;
        return p;
    }
    return NULL;
}

static WEIR_APART void *from_others(struct weir_heap *h, size_t size, unsigned step)
{
    uintptr_t before = weir_lock_enter(&h->conf.lock);
    void *p = from_any(h, size, step);
    weir_lock_leave(&h->conf.lock, before);
    if (p || !grow(h)) return p;
    before = weir_lock_enter(&h->conf.lock);
    p = from_any(h, size, step);
    weir_lock_leave(&h->conf.lock, before);
    return p;
}

void *weir_heap_small_take(struct weir_heap *h, size_t size)
{
    unsigned step = (unsigned)((size + WEIR_HEAP_STEP - 1) / WEIR_HEAP_STEP);
    uintptr_t before = weir_lock_enter(&h->conf.lock);
    struct weir_heap_chunk *now = h->now[step];
    void *p = now ? weir_small_alloc(&now->small, size) : NULL;
    weir_lock_leave(&h->conf.lock, before);
    return p ? p : from_others(h, size, step);
}

/* ---- giving back, looking ---- */

/* Takes one empty manager off the list; both locks are held. */
static struct weir_heap_chunk *unlink_empty(struct weir_heap *h)
{
    struct weir_heap_chunk *before = NULL;
    for (struct weir_heap_chunk *c = h->first; c; before = c, c = c->next) {
        if (weir_small_close(&c->small) != 0) continue; /* something lives */
        if (before)
            before->next = c->next;
        else
            h->first = c->next;
        if (h->last == c) h->last = before;
        for (unsigned i = 0; i < WEIR_HEAP_STEPS; i++)
            if (h->now[i] == c) h->now[i] = NULL;
        h->small_bytes -= c->bytes;
        return c;
    }
    return NULL;
}

size_t weir_heap_small_trim(struct weir_heap *h)
{
    size_t sum = 0;
    for (;;) {
        uintptr_t before = weir_lock_enter(&h->conf.lock);
        struct weir_heap_chunk *c = unlink_empty(h);
        weir_lock_leave(&h->conf.lock, before);
        if (!c) return sum;
        sum += c->bytes;
        (void)weir_mem_give(h->mem, c);
    }
}

void weir_heap_small_drop(struct weir_heap *h)
{
    while (h->first) {
        struct weir_heap_chunk *c = h->first;
        h->first = c->next;
        (void)weir_mem_give(h->mem, c);
    }
}

void weir_heap_small_info(const struct weir_heap *h, struct weir_mem_stat *sum)
{
    struct weir_mem_stat st;
    for (const struct weir_heap_chunk *c = h->first; c; c = c->next) {
        weir_small_info(&c->small, &st);
        weir_heap_add(sum, &st);
    }
}

int weir_heap_small_walk(const struct weir_heap *h, weir_walk_fn fn, void *arg)
{
    int end = 0;
    for (const struct weir_heap_chunk *c = h->first; c && end == 0; c = c->next)
        end = weir_small_walk(&c->small, fn, arg);
    return end;
}
