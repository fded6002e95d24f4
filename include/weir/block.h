/* block.h: what every scheme of memory shares: a block as a walk shows it, where new memory comes from, what
 * guards a control structure, why a request was refused, and the counts that all of them keep.
 *
 * It is not an allocator: pools are in pool.h, partitions in part.h, the owner map in mem.h. */
#ifndef WEIR_BLOCK_H
#define WEIR_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- walking ---- */

enum weir_block_state {
    WEIR_BLOCK_USED = 0, /* somebody's */
    WEIR_BLOCK_FREE = 1, /* may be handed out */
    WEIR_BLOCK_META = 2  /* the scheme's own: heads, tables, alignment gaps */
};

struct weir_block {
    const void *start; /* what the caller was given, for one in use */
    size_t bytes;      /* usable by the caller; of a free block, what could be handed out of it at least */
    enum weir_block_state state;
};

/* Called for each block in the order of addresses. A value other than 0 ends the walk, which returns it. The
 * function must not allocate from or release to what is walked. */
typedef int (*weir_walk_fn)(void *arg, const struct weir_block *);

/* ---- where blocks come from ---- */

/* take: bytes aligned to align (a power of two), or NULL; give: what take returned, with the same bytes. Both
 * are called from inside the growing and trimming calls only, never while a lock of weir_lock is held with
 * interrupts masked. Partitions and weir_mem offer themselves as sources. */
struct weir_source {
    void *ctx;
    void *(*take)(void *ctx, size_t bytes, size_t align);
    void (*give)(void *ctx, void *block, size_t bytes);
};

/* ---- locks ---- */

enum weir_lock_kind {
    WEIR_LOCK_NONE = 0, /* one thread at a time, no interrupt handler */
    WEIR_LOCK_MASK = 1, /* interrupts masked meanwhile: short bounded sections only. WEIR_ENOTSUP where the
                           processor has no mask that a program may set */
    WEIR_LOCK_HOOK = 2  /* enter and leave are called around each operation */
};

struct weir_lock {
    enum weir_lock_kind kind;
    void *ctx;
    uintptr_t (*enter)(void *ctx);              /* HOOK only; the result is handed to leave */
    void (*leave)(void *ctx, uintptr_t before); /* HOOK only */
};

/* ---- why a request got nothing ---- */

/* X(name, word, text) */
#define WEIR_WHY_MAP(X)                                                                                      \
    X(NONE, "none", "nothing was refused")                                                                   \
    X(SIZE, "size", "no area could ever hold a block of this size")                                          \
    X(ALIGN, "align", "the alignment is not a power of two, or larger than the scheme can give")             \
    X(FULL, "full", "fewer free bytes than were asked for")                                                  \
    X(SCATTERED, "scattered", "enough free bytes, but no stretch of them is long enough")                    \
    X(LIMIT, "limit", "a configured bound is reached: blocks, growth, or a domain's budget")                 \
    X(SOURCE, "source", "the source that memory grows from had none")                                        \
    X(SEALED, "sealed", "the memory is sealed: nothing is handed out any more")                              \
    X(STALE, "stale", "the handle is closed or was never opened")                                            \
    X(BLOCK, "block", "the block that was to be resized is not one in use")
enum weir_why {
#define WEIR_WHY_ENUM(name, word, text) WEIR_WHY_##name,
    WEIR_WHY_MAP(WEIR_WHY_ENUM)
#undef WEIR_WHY_ENUM
        WEIR_WHYS
};

/* ---- counts ---- */

/* Always kept, each in constant time per operation. Bytes are those of the blocks as the scheme cuts them
 * without its heads; `asked` are the callers' own. 64 bits: never wraps in practice, so differences of two
 * readings are rates. */
struct weir_mem_stat {
    uint64_t allocs, frees; /* for all time: blocks handed out, blocks given back */
    uint64_t failures;      /* requests that got nothing */
    uint64_t bad_frees;     /* releases that were refused */
    uint64_t live_bytes;    /* now, in blocks in use */
    uint64_t peak_bytes;    /* largest live_bytes since the last reset of the peak */
    uint64_t live, peak;    /* the same in blocks */
    uint64_t alloc_bytes;   /* for all time, in blocks */
    uint64_t asked_bytes;   /* for all time, as asked: alloc_bytes - asked_bytes is internal waste */
    uint64_t source_takes;  /* calls to the source that were made: allocs - source_takes were saved */
    uint64_t source_gives;
    uint64_t low_events;       /* times that free bytes fell below the low-water mark */
    uint64_t configured_bytes; /* all memory in hand, heads and tables included */
    uint64_t overhead_bytes;   /* of that: heads, tables, gaps */
    uint64_t free_bytes;       /* of that: may be handed out */
    uint64_t largest_free;     /* usable bytes of the largest block that would succeed now, or a lower bound
                                   of it where the scheme's page says so: 1 - largest_free / free_bytes is
                                   external waste */
};

#ifdef __cplusplus
}
#endif
#endif
