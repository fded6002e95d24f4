/* malloc.h: the standard calls (malloc, calloc, realloc, aligned_alloc, free) over memory that weir_mem has:
 * small requests through a manager of small objects, the others through the system partition.
 *
 * It is not the preloadable library, which is libweir-malloc.so and made of this (docs/memory/malloc.md); and
 * it defines no standard name, so that it lives beside a C library's own malloc.
 *
 * Memory: struct weir_heap is the caller's; everything else lies in the weir_mem. Several heaps may stand on
 * one weir_mem, and a block of any of them is freed through any. Threads and interrupts: what conf.lock makes
 * of it, for one heap; conf.mem_lock guards the weir_mem, which heaps share, while one of them grows. Blocks
 * are aligned as max_align_t at least, 16 bytes on 64-bit machines. */
#ifndef WEIR_MALLOC_H
#define WEIR_MALLOC_H

#include <stddef.h>
#include <stdint.h>

#include "weir/mem.h"
#include "weir/part.h"
#include "weir/small.h"

#ifdef __cplusplus
extern "C" {
#endif

struct weir_heap_conf {
    const struct weir_policy *policy; /* of the system partition; NULL: weir_tlsf */
    uint32_t align_bytes;             /* 8 or 16; 0: 16 on 64-bit machines, else 8 */
    uint32_t level;                   /* checks of the partition, see policy.h */
    uint32_t areas;                   /* ranges that the partition may have; 0: WEIR_MEM_AREAS_MAX */
    size_t area_bytes;                /* the longest of them; 0: that of the first one */
    size_t
        grow_bytes; /* the least that the partition takes from the weir_mem when it has no room: this, or as
                            much as it has already, up to area_bytes. 0: it never grows */
    size_t
        small_bytes; /* > 0: small requests go to managers of small objects, each in a range of the weir_mem;
                            this is the first one's, and each further one is as large as all before it */
    size_t small_most;            /* the longest such range; 0: small_bytes */
    struct weir_small_conf small; /* align_bytes is set by the heap */
    uint32_t options;             /* enum weir_part_option; of those for ALLOC none in a heap that grows */
    struct weir_part_hooks hooks;
    struct weir_lock lock;     /* around each operation of this heap */
    struct weir_lock mem_lock; /* around what changes the weir_mem; taken with no other lock held */
};

#define WEIR_HEAP_STEP  16u /* small sizes are told apart by this many bytes */
#define WEIR_HEAP_STEPS (WEIR_SMALL_RUN_MAX / 8 / WEIR_HEAP_STEP + 1)

struct weir_heap_chunk;

struct weir_heap {
    struct weir_part part; /* the system partition; first, so that its address is the heap's */
    struct weir_mem *mem;
    struct weir_heap_conf conf;
    size_t small_largest;                 /* requests of 1 to so many bytes are small; 0: none is */
    struct weir_heap_chunk *first, *last; /* managers of small objects in the order in which they began */
    size_t small_bytes;                   /* in their ranges */
    size_t part_bytes;                    /* in the partition's ranges */
    void *first_range;                    /* of these: it has the policy's state and stays */
    uint64_t failures;
    uint32_t state;                               /* a mark while open */
    int last_err;                                 /* of the last release or change of size that was refused */
    struct weir_heap_chunk *now[WEIR_HEAP_STEPS]; /* where a size was served from last */
};

/* Opens a heap whose partition takes its first range of conf->grow_bytes from mem, which is open and not
 * sealed. 0; WEIR_EINVAL: conf, or grow_bytes 0; WEIR_ENOMEM: mem has no such range (weir_mem_why). */
int weir_heap_open(struct weir_heap *, struct weir_mem *, const struct weir_heap_conf *);

/* The first manager of small objects begins now, instead of with the first small request: for memory that is to
 * be sealed. 0; WEIR_ENOMEM: no such range; WEIR_EINVAL: conf.small_bytes is 0 or conf.small refused. */
int weir_heap_small(struct weir_heap *);

/* For a heap that is laid out with its weir_mem instead: the item to be configured as `rest`, so that the
 * partition gets all that is left of every area; least_bytes of it are planned for. Heap and mem are the ones
 * that weir_mem_open is called with afterwards. *conf is copied. WEIR_EINVAL as above, else 0. */
int weir_heap_rest(struct weir_heap *, struct weir_mem *, const struct weir_heap_conf *, size_t least_bytes,
                   struct weir_mem_item *out);

/* size bytes, 0 as 1; not cleared. The caller's until weir_free. NULL iff there is no room: weir_heap_why. */
void *weir_malloc(struct weir_heap *, size_t size);

/* count * size bytes of zeros. NULL as weir_malloc, and when the product overflows. */
void *weir_calloc(struct weir_heap *, size_t count, size_t size);

/* The block, of this heap or another one of its weir_mem, with size bytes and its contents up to the smaller
 * size: where it is or elsewhere. NULL block: weir_malloc. Size 0: freed, and NULL. NULL else: the block is as
 * it was; weir_heap_why, or WEIR_WHY_BLOCK when it is no block (weir_heap_err). */
void *weir_realloc(struct weir_heap *, void *block, size_t size);

/* As weir_malloc, aligned to align, a power of two (else NULL and WEIR_WHY_ALIGN). */
void *weir_aligned_alloc(struct weir_heap *, size_t align, size_t size);

/* weir_mem_free: whatever was handed out of the weir_mem. 0, also for NULL, or a typed error. */
int weir_free(struct weir_heap *, void *block);

/* Bytes that the caller may use of a block, 0 for NULL and for what is no block in use. */
size_t weir_usable(const struct weir_heap *, const void *block);

/* Why the last request got NULL, and the error of the last refused release or change of size. */
enum weir_why weir_heap_why(const struct weir_heap *);
int weir_heap_err(const struct weir_heap *);

/* Gives ranges back to the weir_mem in which nothing lives: the partition's but for its first, where the policy
 * can part with areas, and managers of small objects. Bytes. Time: the ranges. Not from an interrupt handler. */
size_t weir_heap_trim(struct weir_heap *);

/* Every block, in use and free, of the partition and the managers of small objects. As weir_part_walk. */
int weir_heap_walk(struct weir_heap *, weir_walk_fn, void *arg);

/* Counts of both parts together; largest_free is the partition's. Time: the policy's stat and the managers'. */
void weir_heap_info(struct weir_heap *, struct weir_mem_stat *out);

/* The ranges are the weir_mem's again; blocks that were still in use are gone. Their number, or WEIR_ESTALE,
 * WEIR_EBUSY (partitions nested in the system partition). */
int weir_heap_close(struct weir_heap *);

#ifdef __cplusplus
}
#endif
#endif
