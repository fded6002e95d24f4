/* mem.h: memory as a whole: the areas that were handed over, what lies where in them, and whose an address is.
 *
 * It cuts areas into ranges of whole granules and remembers in a map which keeper each range belongs to: a
 * pool, a manager of small objects, a partition, a stack's zbufs. From any address the keeper is found in
 * constant time, so one call releases whatever Weir handed out and a wrong address gets a typed error.
 * It hands out no small blocks itself: keepers do.
 *
 * Memory: struct weir_mem and the areas are the caller's, until weir_mem_close. The tables (a slab a range,
 * one or two bytes a granule) lie in the areas; the plan counts them. Nothing is ever asked of a system.
 * Threads: one at a time. After weir_mem_seal the map no longer changes but by trimming, and weir_mem_owner,
 * _free, _usable and _resize are as free of threads as the keeper that they lead to. No interrupt handlers,
 * but weir_mem_owner on sealed memory. Time: see each call. */
#ifndef WEIR_MEM_H
#define WEIR_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "weir/block.h"
#include "weir/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_MEM_AREAS_MAX 8
#define WEIR_MEM_ITEMS_MAX 24    /* configured items: rows of the plan, less those of the tables */
#define WEIR_MEM_SLABS_MAX 65535 /* ranges at a time */

/* Granules: powers of two. */
#define WEIR_MEM_GRANULE_MIN 64u
#define WEIR_MEM_GRANULE_MAX (1u << 24)
#if UINTPTR_MAX > 0xffffffffu
#define WEIR_MEM_GRANULE 65536u
#else
#define WEIR_MEM_GRANULE 512u
#endif

/* What looks after a range. `obj` is what was registered with it. Functions may be NULL where noted. */
struct weir_keeper {
    const char *name; /* one word: "pool", "part", ... */

    /* Takes back block: 0, or a negative weir_err and nothing changed. NULL: nothing in the range can be
     * released (weir_mem_free: WEIR_ENOTSUP). */
    int (*free)(void *obj, void *block);

    /* Usable bytes of a block in use, or a negative weir_err. NULL: WEIR_ENOTSUP. */
    ptrdiff_t (*usable)(const void *obj, const void *block);

    /* The block gets at least size usable bytes where it lies: its usable bytes, or WEIR_ENOMEM (nothing
     * changed) or another weir_err. NULL: WEIR_ENOTSUP. */
    ptrdiff_t (*resize)(void *obj, void *block, size_t size);

    /* Every block of [base, base + bytes) in the order of addresses; blocks elsewhere are left out by the
     * caller. NULL: the range is one block in use. */
    int (*walk)(const void *obj, const void *base, size_t bytes, weir_walk_fn, void *arg);

    /* Blocks in use. NULL: none is ever counted. */
    uint64_t (*live)(const void *obj);
};

/* Keepers of what Weir has; obj beside each. A stack's is for the memory that it was started in: any address inside a
 * zbuf stands for it there, and a free is weir_zfree. */
extern const struct weir_keeper weir_part_keeper;  /* struct weir_part * */
extern const struct weir_keeper weir_small_keeper; /* struct weir_small * */
extern const struct weir_keeper weir_pool_keeper;  /* struct weir_pool *, level 1 or above */
extern const struct weir_keeper weir_zbuf_keeper;  /* struct weir * */

/* One thing that weir_mem_open lays out. */
struct weir_mem_item {
    const char *name; /* static, one word: the plan's row */
    const char *what; /* static, a few words */
    uint64_t count;   /* bytes = count * each_bytes, rounded up to granules */
    uint32_t each_bytes;
    uint32_t align_bytes; /* of its start, a power of two; granules are aligned anyway. 0: 1 */
    enum weir_area_kind kind;
    const struct weir_keeper *keeper; /* NULL: raw, until weir_mem_keep */
    void *obj;
    uint32_t stride_bytes; /* > 0: cells at base + skip_bytes + i * stride: weir_mem_owner tells the cell */
    uint32_t skip_bytes;

    /* Begins obj in its memory, NULL: nothing to do. Called once, in the order of the items; for `rest` once
     * a range. A negative result ends weir_mem_open with it. */
    int (*open)(void *obj, void *base, size_t bytes);
};

/* Told of memory that changes hands after weir_mem_open, whole granules, in the caller's context: where pages can
 * go back to a system. Must not call the weir_mem. */
struct weir_mem_hooks {
    void *ctx;
    int (*taken)(void *ctx, void *base,
                 size_t bytes); /* is a keeper's from now on, unless < 0 is returned: then the
                                                          range is refused; NULL: not told */
    void (*given)(void *ctx, void *base, size_t bytes); /* is nobody's from now on; NULL: not told */
};

struct weir_mem_conf {
    uint32_t granule_bytes; /* a power of two, WEIR_MEM_GRANULE_MIN to _MAX; 0: WEIR_MEM_GRANULE */
    uint32_t slabs;         /* ranges at a time: items, ranges of the rest, and growth. 1 to 255: one byte a
                               granule, above: two. 0: 255, at most WEIR_MEM_SLABS_MAX */
    const struct weir_mem_item *item;
    unsigned items;
    uint64_t grow_bytes; /* left free for weir_mem_take, in whole granules */
    uint32_t zeroed;     /* 1: the areas are all zeros, as a fresh mapping is: the map is not cleared, so
                                  that only what is used of it is ever touched */
    struct weir_mem_hooks hooks;
    struct weir_mem_item rest; /* the system partition: at least count * each_bytes, and all that is left.
                                  keeper and open NULL: what is left is left for weir_mem_take */
};

/* One range, complete so that callers can own the control structure; members are for src/mem. */
struct weir_mem_slab {
    uintptr_t base;
    size_t bytes; /* whole granules, but for the last of an area; 0: this entry is free */
    const struct weir_keeper *keeper;
    void *obj;
    const char *name;
    uint32_t stride, skip;
    uint32_t reciprocal; /* ceil(2^32 / stride) */
    uint32_t next;       /* next free entry */
};

struct weir_mem_area {
    uintptr_t base;   /* of the caller's area */
    size_t bytes;     /* of it */
    uintptr_t origin; /* first granule: the bytes before it are tables and gaps */
    size_t managed;   /* bytes from origin on that the map tells about */
    size_t first;     /* number of the first granule in the map */
    size_t hint;      /* no free granule lies before this one, counted from the area's first */
};

struct weir_mem {
    uint32_t state; /* a mark while open */
    uint8_t sealed, wide, shift;
    uint8_t why; /* enum weir_why of the last NULL */
    uint32_t areas;
    struct weir_mem_area area[WEIR_MEM_AREAS_MAX]; /* ascending by base */
    void *map;                                     /* slab's number by granule, 0: free */
    struct weir_mem_slab *slab;
    uint32_t slabs, fresh, spare; /* bound; entries ever used; first free entry, 0: none */
    uint32_t ranges;              /* entries in use */
    size_t granules;              /* of all areas */
    uint64_t free_bytes;          /* whole granules that weir_mem_take may hand out */
    uint64_t takes, gives, failures, bad_frees;
    struct weir_mem_hooks hooks;
};

/* ---- laying out ---- */

/* What a configuration needs, with a row for each item and each table. 0; WEIR_EPLAN: refused, plan->option
 * and ->why say why; WEIR_EINVAL: a NULL. Pure. */
int weir_mem_plan(const struct weir_mem_conf *, struct weir_plan *out);

/* Lays the configuration out in n areas (1 to WEIR_MEM_AREAS_MAX; by kind as plan.h says) that do not overlap,
 * and opens each item. Memory beyond the plan goes to the rest, areas that no item asked for too.
 * 0; WEIR_EINVAL: NULL, areas overlap or are too many, or one that is needed is not aligned as the plan says;
 * WEIR_EPLAN as weir_mem_plan; WEIR_ENOMEM: an area is smaller than planned; or what an item's open returned:
 * then items opened before it stay open, and the areas are the caller's again.
 * Cost: the map is cleared (conf->zeroed: not), and what the items' open take. */
int weir_mem_open(struct weir_mem *, const struct weir_area *, unsigned n, const struct weir_mem_conf *);

/* From now on nothing is laid out, registered or handed out any more; keepers work on with what they have.
 * 0; WEIR_ESTALE: not open. */
int weir_mem_seal(struct weir_mem *);

/* The areas are the caller's again. 0; WEIR_EBUSY while any keeper has a block in use (nothing changed);
 * WEIR_ESTALE. Cost: the ranges. */
int weir_mem_close(struct weir_mem *);

/* ---- ranges ---- */

/* A range of at least bytes, rounded up to granules, aligned to align (a power of two; granules are), which
 * from now on is keeper's. NULL iff none; weir_mem_why says why: SIZE, ALIGN, FULL, SCATTERED, LIMIT (slabs),
 * SEALED, STALE. First fit; cost: at most one step a range and one a granule that is looked at. */
void *weir_mem_take(struct weir_mem *, size_t bytes, size_t align, const struct weir_keeper *, void *obj,
                    const char *name);

/* The range that begins at base is free again, whatever lives in it: the keeper asks for this. 0; or
 * WEIR_EFOREIGN, WEIR_EINTERIOR, WEIR_EFREE, WEIR_ESTALE. On sealed memory too: its bytes are then not handed
 * out again. Cost: one write a granule. */
int weir_mem_give(struct weir_mem *, void *base);

/* The range that begins at base ends after bytes, rounded up to granules: earlier, or later where the granules
 * behind it are free. 0; WEIR_ENOMEM: they are not (nothing changed); WEIR_ESEALED: longer, on sealed memory;
 * errors as weir_mem_give. Cost: one write a granule that changes hands. */
int weir_mem_stretch(struct weir_mem *, void *base, size_t bytes);

/* Every range of this obj is free again, as by weir_mem_give. Cost: the ranges, one write a granule of obj's. */
void weir_mem_drop(struct weir_mem *, const void *obj);

/* The range that begins at base is this keeper's from now on, cut in cells as stride and skip say (0: not).
 * For raw items whose keeper begins later, as a stack in its memory does. 0; WEIR_EFOREIGN, WEIR_EINTERIOR,
 * WEIR_EFREE, WEIR_EINVAL (stride 1 to 3, or not within the range), WEIR_ESEALED, WEIR_ESTALE. */
int weir_mem_keep(struct weir_mem *, const void *base, const struct weir_keeper *, void *obj, uint32_t stride,
                  uint32_t skip);

/* A source (block.h) that takes ranges and gives them back in the name of one keeper. *out is complete then
 * and the caller's; `source.ctx` points to it. */
struct weir_mem_source {
    struct weir_source source;
    struct weir_mem *mem;
    const struct weir_keeper *keeper;
    void *obj;
    const char *name;
};
void weir_mem_source(struct weir_mem_source *out, struct weir_mem *, const struct weir_keeper *, void *obj,
                     const char *name);

/* ---- from an address ---- */

struct weir_holder {
    const struct weir_keeper *keeper; /* NULL: raw */
    void *obj;
    const char *name;
    const void *base; /* of the range */
    size_t bytes;
    const void *cell; /* where the range is cut in cells: the one that the address lies in, else NULL */
    uint32_t cell_bytes;
};

/* Whose an address is; it may lie anywhere inside. 0; WEIR_EFOREIGN: in no area; WEIR_EINTERIOR: in an area,
 * but in its tables or gaps; WEIR_EFREE: in memory that is nobody's; WEIR_ESTALE. Constant time: three
 * comparisons for the area, one read of the map. */
int weir_mem_owner(const struct weir_mem *, const void *addr, struct weir_holder *);

/* Releases whatever Weir handed out from this memory. 0, also for NULL; an error of weir_mem_owner;
 * WEIR_ENOTSUP in a range whose keeper releases nothing; or the keeper's. Nothing is changed by an error,
 * which is counted. Constant time, and the keeper's. */
int weir_mem_free(struct weir_mem *, void *block);

/* Usable bytes of a block in use; errors as weir_mem_free. */
ptrdiff_t weir_mem_usable(const struct weir_mem *, const void *block);

/* See struct weir_keeper; errors as weir_mem_free. */
ptrdiff_t weir_mem_resize(struct weir_mem *, void *block, size_t size);

/* ---- looking ---- */

/* Every byte of every area once, in the order of addresses: blocks in use and free ones as their keepers tell
 * them, free granules, and whatever lies between as WEIR_BLOCK_META. Ends with the first value other than 0
 * that fn returns; WEIR_ECORRUPT: a keeper told of a block out of order; WEIR_ESTALE. */
int weir_mem_walk(const struct weir_mem *, weir_walk_fn, void *arg);

/* Why the last weir_mem_take got NULL. */
enum weir_why weir_mem_why(const struct weir_mem *);

/* Ranges: allocs are takes, live_bytes what is in ranges, overhead_bytes the tables and gaps. largest_free
 * is found by a walk over the map. asked_bytes, alloc_bytes and peak are not kept: 0. */
void weir_mem_info(const struct weir_mem *, struct weir_mem_stat *);

/* Short text of a reason, "?" beyond the table; and a few words. Any context. */
const char *weir_why_name(enum weir_why);
const char *weir_why_text(enum weir_why);

#ifdef __cplusplus
}
#endif
#endif
