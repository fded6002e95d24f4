/* malloc_shim.h: the parts of libweir-malloc.so and what each offers the others. The library's theory of
 * operation is at the head of malloc_arena.c. */
#ifndef MALLOC_SHIM_H
#define MALLOC_SHIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/malloc.h"

#define SHIM_ARENAS_MAX  16
#define SHIM_ALIGN       ((size_t)(2 * sizeof(void *)))
#define SHIM_LARGE_BYTES ((size_t)256 << 10) /* from here on a request has a range of its own */

/* ---- malloc_lock.c ---- */

struct shim_lock {
    _Atomic uint32_t state; /* 0 free, 1 held, 2 held and waited for */
};

/* No atomics while the process has one thread. What enter returns is for leave. */
uintptr_t shim_lock_enter(void *lock);
void shim_lock_leave(void *lock, uintptr_t before);
struct weir_lock shim_lock_hooks(struct shim_lock *);

/* The calling thread holds all locks from now on, or no longer: until then it may enter them once more. */
void shim_lock_forking(bool now);

/* false: it stays held, as when a handler of a signal that interrupted its holder asks. */
bool shim_lock_soon(struct shim_lock *);

/* ---- malloc_options.c ---- */

struct shim_options {
    uint64_t bytes;  /* of the reserve at most */
    uint32_t arenas; /* 0: one a processor */
    bool abort, stats;
    const char *bad;     /* a variable that says nothing sensible; NULL: none */
    const char *bad_why; /* and what to do about it */
};

void shim_options_read(struct shim_options *);

/* ---- malloc_arena.c ---- */

struct shim_arena {
    struct weir_heap heap;
    struct shim_lock lock;
    _Atomic uint32_t open;
} __attribute__((aligned(64)));

struct shim {
    _Atomic uint32_t ready;
    struct shim_lock starting;
    struct shim_lock mem_lock; /* the weir_mem and the large ranges; never taken inside an arena's lock */
    struct weir_mem mem;
    struct shim_arena arena[SHIM_ARENAS_MAX];
    uint32_t arenas;
    _Atomic uint32_t threads; /* that ever allocated: the next one's arena */
    _Atomic uint64_t bad;     /* wrong addresses */
    char *base;               /* of the reserve */
    uint64_t reserve_bytes;
    size_t page_bytes; /* of the system, a power of two */
    struct shim_options options;
};
extern struct shim shim;

/* The calling thread's arena, which is open; NULL: it has none yet. */
extern __thread struct shim_arena *shim_mine __attribute__((tls_model("initial-exec")));

/* The same, opened when it is used the first time; one that is not open iff there is no memory at all. */
struct shim_arena *shim_arena(void);

/* From the calling thread's arena, and when that can't, from another. NULL: ENOMEM. align: a power of two or 0. */
void *shim_take(size_t size, size_t align);

/* Ranges in which nothing lives leave their arenas. Bytes. */
size_t shim_trim(void);

/* ---- malloc_large.c ---- */

extern const struct weir_keeper shim_large_keeper;

/* The first so many bytes of the reserve can be used. false: the system refuses it. */
bool shim_large_begin(size_t bytes);

/* For the weir_mem: which pages are whose. */
extern const struct weir_mem_hooks shim_large_hooks;

/* A range of its own; *zero: its bytes are zeros. NULL: ENOMEM. */
void *shim_large_take(size_t size, size_t align, bool *zero);

/* The large block with size bytes, in place or with its pages moved. NULL: ENOMEM, and it is as it was. */
void *shim_large_resize(void *block, size_t old, size_t size);

/* Pages that were kept for the next large request go back to the system. Bytes. */
size_t shim_large_trim(void);

/* Of blocks in use: how many, bytes; the most bytes at a time; requests for all time. */
struct shim_large_stat {
    uint64_t allocs, frees, live_bytes, peak_bytes, kept_bytes;
};
void shim_large_info(struct shim_large_stat *);

/* ---- malloc_report.c ---- */

/* A release or change of size of a wrong address: a line on stderr, and abort where that was chosen. */
void shim_bad(const char *call, const void *block, int err);

/* A variable that isn't understood, when there is one: a line on stderr. */
void shim_tell_options(void);

/* For stderr as it is now, which some programs close or give to something else before they exit. */
void shim_stats_begin(void);

/* At exit. */
void shim_stats(void);

#endif
