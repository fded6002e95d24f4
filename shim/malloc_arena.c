/* malloc_arena.c: libweir-malloc.so: the standard calls of unmodified programs over Weir's memory.
 *
 *     reserve   one mapping, of WEIR_MALLOC_BYTES, without swap reserved for it: pages come when touched
 *       weir_mem   tables | granules of 64 KB, each in the owner map
 *         arenas     weir_heap, one a few threads: small objects and a TLSF partition that grows by ranges
 *         large      from SHIM_LARGE_BYTES on: a range of its own, whose pages go back when it is freed
 *
 * Start. The first request makes everything, whoever asks: it may be the dynamic linker before any constructor
 * has run, so nothing here needs one. The constructor only registers the handlers of fork, and the destructor
 * prints the counts.
 *
 * Threads. A thread keeps the arena that it got with its first request, in turn; a block is freed into the
 * arena that the owner map says, by whatever thread. Locks: starting > mem > arena, and a fork takes them in that
 * order. Reading the owner map takes none: an entry changes only while nobody has a valid address of its range.
 *
 * Bound. Everything lies in the reserve, so the process never uses more than WEIR_MALLOC_BYTES of heap, and what
 * doesn't fit is refused with ENOMEM. Where the system refuses the mapping (a limit on address space), half of it
 * is tried, and so on.
 *
 * Rejected. A mapping a large block, found by a hash of addresses: two system calls and a kernel's structure a
 * block, memory outside of the bound, and a foreign address would cost a search. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "malloc_shim.h"

#define GRANULE     ((size_t)65536)
#define GROW_BYTES  (sizeof(void *) == 8 ? (size_t)64 << 20 : (size_t)4 << 20)
#define AREA_BYTES  (sizeof(void *) == 8 ? (size_t)2 << 30 : (size_t)256 << 20)
#define AREAS       40
#define SMALL_BYTES ((size_t)256 << 10)
#define SMALL_MOST  ((size_t)64 << 20)
#define ARENAS_AUTO 8

struct shim shim;
__thread struct shim_arena *shim_mine __attribute__((tls_model("initial-exec")));

/* ---- start ---- */

/* The mapping, aligned to granules and without access, and in *bytes what was had. */
static void *reserve(size_t *bytes)
{
    for (; *bytes >= 4 * GRANULE; *bytes /= 2) {
        char *p = mmap(NULL, *bytes + GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) continue;
        size_t gap = (size_t)(0 - (uintptr_t)p) & (GRANULE - 1);
        if (gap > 0) munmap(p, gap);
        if (gap < GRANULE) munmap(p + gap + *bytes, GRANULE - gap);
        return p + gap;
    }
    return NULL;
}

static uint32_t processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    uint32_t n = (uint32_t)CPU_COUNT(&set);
    return n < 1 ? 1 : n > ARENAS_AUTO ? ARENAS_AUTO : n;
}

static void start(void)
{
    shim_options_read(&shim.options);
    long page = sysconf(_SC_PAGESIZE);
    shim.page_bytes = page > 0 ? (size_t)page : 4096;
    shim.arenas = shim.options.arenas > 0 ? shim.options.arenas : processors();
    size_t bytes = (size_t)(shim.options.bytes / GRANULE * GRANULE);
    void *base = reserve(&bytes);
    struct weir_area area = {.base = base, .bytes = bytes};
    struct weir_mem_conf conf = {
        .granule_bytes = GRANULE, .slabs = WEIR_MEM_SLABS_MAX, .zeroed = 1, .hooks = shim_large_hooks};
    size_t tables =
        (WEIR_MEM_SLABS_MAX + 1) * sizeof(struct weir_mem_slab) + bytes / GRANULE * 2 + 2 * GRANULE;
    shim.base = base;
    shim.reserve_bytes = bytes;
    bool opened = base && shim_large_begin(tables < bytes ? tables / GRANULE * GRANULE : bytes) &&
                  weir_mem_open(&shim.mem, &area, 1, &conf) == 0;
    if (!opened) shim.reserve_bytes = 0;
    atomic_store_explicit(&shim.ready, 1, memory_order_release);
}

static void start_once(void)
{
    uintptr_t before = shim_lock_enter(&shim.starting);
    if (!atomic_load_explicit(&shim.ready, memory_order_relaxed)) start();
    shim_lock_leave(&shim.starting, before);
}

static bool open_arena(struct shim_arena *a)
{
    /* A small reserve is not given away to the first arena. */
    size_t grow = GROW_BYTES;
    while (grow > 2 * GRANULE && grow > shim.reserve_bytes / 4 / shim.arenas)
        grow /= 2;
    struct weir_heap_conf conf = {.level = 1,
                                  .areas = AREAS,
                                  .area_bytes = AREA_BYTES,
                                  .grow_bytes = grow,
                                  .small_bytes = SMALL_BYTES,
                                  .small_most = SMALL_MOST,
                                  .lock = shim_lock_hooks(&a->lock),
                                  .mem_lock = shim_lock_hooks(&shim.mem_lock)};
    uintptr_t before = shim_lock_enter(&shim.starting);
    bool open = atomic_load_explicit(&a->open, memory_order_relaxed) != 0 ||
                weir_heap_open(&a->heap, &shim.mem, &conf) == 0;
    if (open) atomic_store_explicit(&a->open, 1, memory_order_release);
    shim_lock_leave(&shim.starting, before);
    return open;
}

/* ---- requests ---- */

static bool is_open(struct shim_arena *a)
{
    return atomic_load_explicit(&a->open, memory_order_acquire) != 0;
}

struct shim_arena *shim_arena(void)
{
    if (shim_mine) return shim_mine;
    if (!atomic_load_explicit(&shim.ready, memory_order_acquire)) start_once();
    uint32_t turn = atomic_fetch_add_explicit(&shim.threads, 1, memory_order_relaxed) % shim.arenas;
    struct shim_arena *a = &shim.arena[turn];
    if (!is_open(a) && !open_arena(a)) a = &shim.arena[0]; /* its memory may do for all */
    if (is_open(a)) shim_mine = a;
    return a;
}

size_t shim_trim(void)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < shim.arenas; i++)
        if (is_open(&shim.arena[i])) sum += weir_heap_trim(&shim.arena[i].heap);
    return sum;
}

/* From any arena, the own one first. */
static void *from_all(struct shim_arena *own, size_t size, size_t align)
{
    void *p =
        align <= SHIM_ALIGN ? weir_malloc(&own->heap, size) : weir_aligned_alloc(&own->heap, align, size);
    for (uint32_t i = 0; !p && i < shim.arenas; i++) {
        struct shim_arena *a = &shim.arena[i];
        if (a != own && is_open(a)) p = weir_aligned_alloc(&a->heap, align ? align : 1, size);
    }
    return p;
}

/* What is empty in one arena may be what another one lacks. */
void *shim_take(size_t size, size_t align)
{
    struct shim_arena *a = shim_arena();
    void *p = is_open(a) ? from_all(a, size, align) : NULL;
    if (!p && is_open(a) && shim_trim() > 0) p = from_all(a, size, align);
    if (!p) errno = ENOMEM;
    return p;
}

/* ---- fork, begin and end ---- */

static uintptr_t fork_before[2 + SHIM_ARENAS_MAX];

static void fork_prepare(void)
{
    fork_before[0] = shim_lock_enter(&shim.starting);
    fork_before[1] = shim_lock_enter(&shim.mem_lock);
    for (uint32_t i = 0; i < SHIM_ARENAS_MAX; i++)
        fork_before[2 + i] = shim_lock_enter(&shim.arena[i].lock);
    shim_lock_forking(true);
}

static void fork_parent(void)
{
    shim_lock_forking(false);
    for (uint32_t i = SHIM_ARENAS_MAX; i-- > 0;)
        shim_lock_leave(&shim.arena[i].lock, fork_before[2 + i]);
    shim_lock_leave(&shim.mem_lock, fork_before[1]);
    shim_lock_leave(&shim.starting, fork_before[0]);
}

/* Whoever waited does not exist here. */
static void fork_child(void)
{
    for (uint32_t i = 0; i < SHIM_ARENAS_MAX; i++)
        atomic_store(&shim.arena[i].lock.state, 0);
    atomic_store(&shim.mem_lock.state, 0);
    atomic_store(&shim.starting.state, 0);
    shim_lock_forking(false);
}

__attribute__((constructor)) static void begin(void)
{
    (void)shim_arena();
    (void)pthread_atfork(fork_prepare, fork_parent, fork_child);
    if (shim.options.bad) shim_tell_options();
    if (shim.options.stats) shim_stats_begin();
}

__attribute__((destructor)) static void end(void)
{
    if (shim.options.stats) shim_stats();
}
