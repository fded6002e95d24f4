/* malloc_large.c: requests that have a range of the weir_mem of their own.
 *
 * A freed range, one of an arena too, may be somebody else's at once, but its pages are kept for a while, since a
 * program that frees a large block often asks for the next one: up to KEEP_BYTES in KEPT stretches, the oldest
 * go back to the system first. A range that takes kept pages over is not zero, and calloc clears it.
 *
 * Invariants, under mem_lock: kept stretches are disjoint and lie in free granules; kept_bytes is their sum; pages
 * of free granules that are not kept are zeros; what lies from ready_end on was never taken and has no access.
 *
 * Memory gets its access when it is first taken, READY_BYTES ahead: mlockall makes all resident that a program
 * may read or write, which would be the whole reserve, and a system that counts mappings against its memory counts
 * these.
 *
 * A block that grows takes the granules behind it, where they are free; else its pages move to a range of
 * their own by mremap: nothing is copied. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "malloc_shim.h"
#include "weir/err.h"

#define KEPT       16u
#define KEEP_BYTES ((size_t)16 << 20)
#define KEEP_MOST  ((size_t)4 << 20) /* of one stretch */

#define READY_BYTES ((size_t)4 << 20)

static char *ready_end;

static struct stretch {
    char *base;
    size_t bytes;
} kept[KEPT];
static uint32_t kept_n;
static bool last_was_kept; /* of the range that was taken last: some of its pages */
static struct shim_large_stat stat;

static void purge(char *base, size_t bytes)
{
    if (bytes > 0) (void)madvise(base, bytes, MADV_DONTNEED);
}

static void forget(uint32_t i)
{
    stat.kept_bytes -= kept[i].bytes;
    memmove(&kept[i], &kept[i + 1], (--kept_n - i) * sizeof kept[0]);
}

static void keep(char *base, size_t bytes)
{
    if (bytes > KEEP_MOST) {
        purge(base, bytes);
        return;
    }
    while (kept_n == KEPT || stat.kept_bytes + bytes > KEEP_BYTES) {
        purge(kept[0].base, kept[0].bytes);
        forget(0);
    }
    kept[kept_n++] = (struct stretch){base, bytes};
    stat.kept_bytes += bytes;
}

static bool access_up_to(char *end)
{
    if (mprotect(ready_end, (size_t)(end - ready_end), PROT_READ | PROT_WRITE) != 0) return false;
    ready_end = end;
    return true;
}

/* false: the system refuses it. */
static bool make_ready(char *end)
{
    int saved = errno;
    char *reserve_end = shim.base + shim.reserve_bytes;
    if (end <= ready_end) return true;
    size_t left = (size_t)(reserve_end - end);
    bool ready = access_up_to(left > READY_BYTES ? end + READY_BYTES : reserve_end) || access_up_to(end);
    errno = saved;
    return ready;
}

bool shim_large_begin(size_t bytes)
{
    ready_end = shim.base;
    return access_up_to(ready_end + bytes);
}

/* The range is in use: kept pages of it are its own, and what is kept beside it goes back. */
static int on_taken(void *ctx, void *range, size_t bytes)
{
    char *base = range;
    (void)ctx;
    if (!make_ready(base + bytes)) return WEIR_ENOMEM;
    last_was_kept = false;
    for (uint32_t i = kept_n; i-- > 0;) {
        struct stretch s = kept[i];
        if (s.base >= base + bytes || base >= s.base + s.bytes) continue;
        if (s.base < base) purge(s.base, (size_t)(base - s.base));
        if (s.base + s.bytes > base + bytes) purge(base + bytes, (size_t)(s.base + s.bytes - base) - bytes);
        forget(i);
        last_was_kept = true;
    }
    return 0;
}

static void on_given(void *ctx, void *range, size_t bytes)
{
    (void)ctx;
    keep(range, bytes);
}

const struct weir_mem_hooks shim_large_hooks = {.taken = on_taken, .given = on_given};

static void count(uint64_t more, uint64_t less)
{
    stat.live_bytes += more - less;
    if (stat.live_bytes > stat.peak_bytes) stat.peak_bytes = stat.live_bytes;
}

static size_t range_of(const void *block)
{
    struct weir_holder h;
    if (weir_mem_owner(&shim.mem, block, &h) < 0 || h.keeper != &shim_large_keeper) return 0;
    return h.base == block ? h.bytes : 0;
}

static void *take(size_t size, size_t align, bool *zero)
{
    uintptr_t before = shim_lock_enter(&shim.mem_lock);
    char *p = weir_mem_take(&shim.mem, size, align, &shim_large_keeper, &shim, "large");
    if (p) {
        size_t bytes = range_of(p);
        *zero = !last_was_kept;
        count(bytes, 0);
        stat.allocs++;
    }
    shim_lock_leave(&shim.mem_lock, before);
    return p;
}

void *shim_large_take(size_t size, size_t align, bool *zero)
{
    void *p = take(size, align, zero);
    if (!p && shim_trim() > 0) p = take(size, align, zero);
    if (!p) errno = ENOMEM;
    return p;
}

static int release(void *obj, void *block)
{
    (void)obj;
    int saved = errno;
    uintptr_t before = shim_lock_enter(&shim.mem_lock);
    size_t bytes = range_of(block);
    int err = bytes > 0 ? weir_mem_give(&shim.mem, block) : WEIR_EINTERIOR;
    if (err == 0) {
        count(0, bytes);
        stat.frees++;
    }
    shim_lock_leave(&shim.mem_lock, before);
    errno = saved;
    return err;
}

/* Moves the pages; their old place stays mapped, and empty. false: nothing has moved (a kernel before 5.7, a
 * range of several mappings, a limit).
 *
 * In two steps: a move to a fixed place unmaps what is there before it looks at what it moves, and when it
 * refuses that, as kernels before 6.17 do where an earlier move has left a border of two mappings within, it
 * leaves a hole in the reserve. The first step has nothing to lose, and the second moves one whole mapping.
 * Should that be refused for want of memory, a hole is closed. */
static bool move_pages(char *to, char *from, size_t bytes)
{
#ifdef MREMAP_DONTUNMAP
    int saved = errno;
    char *between = mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    bool moved = between != MAP_FAILED;
    if (moved && mremap(between, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
        (void)mmap(to, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        memcpy(to, between, bytes);
        (void)munmap(between, bytes);
    }
    errno = saved;
    return moved;
#else
    (void)to;
    (void)from;
    (void)bytes;
    return false;
#endif
}

/* Longer or shorter in place; under the lock. */
static bool stretch(char *block, size_t old, size_t size)
{
    if (weir_mem_stretch(&shim.mem, block, size) < 0) return false;
    size_t now = range_of(block);
    count(now, old);
    return true;
}

void *shim_large_resize(void *block, size_t old, size_t size)
{
    bool zero;
    uintptr_t before = shim_lock_enter(&shim.mem_lock);
    bool stays = stretch(block, old, size);
    shim_lock_leave(&shim.mem_lock, before);
    if (stays) return block;
    char *p = shim_large_take(size > old + old / 8 ? size : old + old / 8, 0, &zero);
    if (!p) p = shim_large_take(size, 0, &zero);
    if (!p) return NULL;
    if (!move_pages(p, block, old)) memcpy(p, block, old);
    (void)release(NULL, block);
    return p;
}

size_t shim_large_trim(void)
{
    uintptr_t before = shim_lock_enter(&shim.mem_lock);
    size_t bytes = stat.kept_bytes;
    while (kept_n > 0) {
        purge(kept[0].base, kept[0].bytes);
        forget(0);
    }
    shim_lock_leave(&shim.mem_lock, before);
    return bytes;
}

void shim_large_info(struct shim_large_stat *out)
{
    uintptr_t before = shim_lock_enter(&shim.mem_lock);
    *out = stat;
    shim_lock_leave(&shim.mem_lock, before);
}

static ptrdiff_t usable(const void *obj, const void *block)
{
    (void)obj;
    size_t bytes = range_of(block);
    return bytes > 0 ? (ptrdiff_t)bytes : WEIR_EINTERIOR;
}

const struct weir_keeper shim_large_keeper = {.name = "large", .free = release, .usable = usable};
