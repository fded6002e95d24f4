/* malloc_calls.c: the standard calls, and those beside them that programs use. What the C library's malloc says
 * of each holds here: errno is ENOMEM on failure, free keeps errno, realloc to 0 bytes frees. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "malloc_shim.h"

#define EXPORT __attribute__((visibility("default")))
#define APART  ((size_t)4096) /* blocks of a larger alignment have a range of their own */

static bool is_pow2(size_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

static void *none(int err)
{
    errno = err;
    return NULL;
}

/* align: a power of two. *zero: the bytes are zeros already. */
static inline void *take(size_t size, size_t align, bool *zero)
{
    *zero = false;
    if (size < SHIM_LARGE_BYTES && align <= APART) return shim_take(size, align);
    if (size > PTRDIFF_MAX || align > PTRDIFF_MAX) return none(ENOMEM);
    (void)shim_arena(); /* has begun, then */
    return shim_large_take(size, align, zero);
}

EXPORT void *malloc(size_t size)
{
    bool zero;
    if (size < SHIM_LARGE_BYTES && shim_mine) {
        void *p = weir_malloc(&shim_mine->heap, size);
        if (p) return p;
    }
    return take(size, 0, &zero);
}

EXPORT void free(void *block)
{
    if (!block) return;
    int err = weir_mem_free(&shim.mem, block);
    if (__builtin_expect(err < 0, 0)) shim_bad("free", block, err);
}

EXPORT void *calloc(size_t count, size_t size)
{
    size_t bytes;
    bool zero;
    if (__builtin_mul_overflow(count, size, &bytes)) return none(ENOMEM);
    void *p = take(bytes, 0, &zero);
    return p && !zero ? memset(p, 0, bytes) : p;
}

/* To another place. */
static void *move(void *block, size_t old, size_t size)
{
    bool zero;
    void *p = take(size, 0, &zero);
    if (!p) return NULL;
    memcpy(p, block, old < size ? old : size);
    (void)weir_mem_free(&shim.mem, block);
    return p;
}

EXPORT void *realloc(void *block, size_t size)
{
    struct weir_holder at;
    if (!block) return malloc(size);
    if (size == 0) {
        free(block);
        return NULL;
    }
    if (size > PTRDIFF_MAX) return none(ENOMEM);
    ptrdiff_t old = weir_mem_usable(&shim.mem, block);
    if (old < 0) {
        shim_bad("realloc", block, (int)old);
        return none(ENOMEM);
    }
    (void)weir_mem_owner(&shim.mem, block, &at);
    bool was_large = at.keeper == &shim_large_keeper, is_large = size >= SHIM_LARGE_BYTES;
    if (was_large && is_large) return shim_large_resize(block, (size_t)old, size);
    if (was_large || is_large) return move(block, (size_t)old, size);
    void *p = weir_realloc(&shim_arena()->heap, block, size);
    return p ? p : move(block, (size_t)old, size);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return none(ENOMEM);
    return realloc(block, bytes);
}

static void *aligned(size_t align, size_t size)
{
    bool zero;
    return take(size, align, &zero);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
    return is_pow2(align) ? aligned(align, size) : none(EINVAL);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
    if (!is_pow2(align) || align % sizeof(void *) != 0) return EINVAL;
    int saved = errno;
    void *p = aligned(align, size);
    errno = saved;
    if (!p) return ENOMEM;
    *out = p;
    return 0;
}

EXPORT void *memalign(size_t align, size_t size)
{
    size_t up = SHIM_ALIGN;
    while (up < align && up <= PTRDIFF_MAX / 2)
        up *= 2;
    return up >= align ? aligned(up, size) : none(EINVAL);
}

/* Before the first request the page's size isn't known. */
static size_t page(void)
{
    (void)shim_arena();
    return shim.page_bytes;
}

EXPORT void *valloc(size_t size)
{
    return aligned(page(), size);
}

EXPORT void *pvalloc(size_t size)
{
    if (size > PTRDIFF_MAX) return none(ENOMEM);
    return aligned(page(), (size + page() - 1) & ~(page() - 1));
}

EXPORT size_t malloc_usable_size(void *block)
{
    ptrdiff_t usable = block ? weir_mem_usable(&shim.mem, block) : 0;
    return usable > 0 ? (size_t)usable : 0;
}

/* ---- pages back to the system ---- */

/* The pages inside a free block, apart from what its scheme may keep at its begin and end. Whole pages of the
 * system: it rounds a length up. */
static int purge_block(void *arg, const struct weir_block *b)
{
    size_t *sum = arg, bytes = shim.page_bytes;
    if (b->state != WEIR_BLOCK_FREE || b->bytes < 3 * bytes) return 0;
    uintptr_t from = ((uintptr_t)b->start + 256 + bytes - 1) & ~(uintptr_t)(bytes - 1);
    uintptr_t to = ((uintptr_t)b->start + b->bytes - 256) & ~(uintptr_t)(bytes - 1);
    if (to > from && madvise((void *)from, to - from, MADV_DONTNEED) == 0) *sum += to - from;
    return 0;
}

/* pad is of no use here: 1 when anything may have been given back. */
EXPORT int malloc_trim(size_t pad)
{
    (void)pad;
    int saved = errno;
    size_t sum = shim_trim() + shim_large_trim();
    for (uint32_t i = 0; i < shim.arenas; i++) {
        struct shim_arena *a = &shim.arena[i];
        if (!atomic_load_explicit(&a->open, memory_order_acquire)) continue;
        (void)weir_heap_walk(&a->heap, purge_block, &sum);
    }
    errno = saved;
    return sum > 0;
}
