/* small.h: the manager of small objects (mission row M10): many small requests of mixed sizes out of one arena,
 * without a head on any of them.
 *
 * The arena is cut in runs of equal size; a run serves one class of sizes at a time, and a table with one entry a
 * run tells from any address whose it is. A run in which nothing lives serves any class again. It is not for
 * objects above an eighth of a run: those belong to a partition (part.h).
 *
 * Memory: the caller owns struct weir_small and the arena, in which the tables lie too. Nothing is ever asked of
 * anybody. Threads: one at a time, no interrupt handler. docs/memory/small.md has layout, overhead and figures. */
#ifndef WEIR_SMALL_H
#define WEIR_SMALL_H

#include <stddef.h>
#include <stdint.h>

#include "weir/block.h"
#include "weir/err.h"
#include "weir/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_SMALL_CLASSES 48u  /* most that a configuration has */
#define WEIR_SMALL_RUN_MIN 512u /* bytes of a run */
#define WEIR_SMALL_RUN_MAX 32768u
#define WEIR_SMALL_RUN     4096u
#define WEIR_SMALL_ALIGNS  13u /* powers of two up to WEIR_SMALL_RUN_MAX / 8 */
#define WEIR_SMALL_STEPS   (WEIR_SMALL_RUN_MAX / 8 / sizeof(void *) + 1) /* entries from sizes to classes */

struct weir_small_conf {
    uint32_t run_bytes; /* a power of two, WEIR_SMALL_RUN_MIN to _MAX; 0: WEIR_SMALL_RUN */
    uint32_t largest; /* size that is served, up to run_bytes / 8, rounded up to a class; 0: run_bytes / 8 */
    uint32_t
        align_bytes; /* of every object, a pointer's size to 16; 0: a pointer's size. Sizes are rounded up to
                             it: 16 serves all that malloc must, 8 wastes less on 24 or 40 bytes */
};

/* Members from here on are private to src/mem; the types are complete so that callers own them. */
struct weir_small_run {
    void *free; /* objects that came back, linked through their first bytes */
    uint32_t next,
        prev;       /* bytes of the run table up to the entry's end, on its class's list; next also on that
                            of idle runs */
    int16_t more;   /* releases until a list changes: objects in use, less one; 0 when all are */
    uint16_t fresh; /* objects [0, fresh) were handed out at least once */
    uint16_t cells, stride;
    uint8_t cls, where;
    uint32_t first; /* its first grain's number */
};

struct weir_small_class {
    uint64_t allocs;
    struct weir_small_run *cur; /* has a free object, allocations take from it; `none`: no run has one */
    uint32_t stride;
    uint16_t cells, number; /* of a run; of the class */
    uint32_t head, tail;    /* other runs with a free object, named like next */
    uint32_t kept;          /* a run in which nothing lives, named like next; 0: none */
    uint32_t runs;
#if UINTPTR_MAX <= 0xffffffffu
    uint32_t gap; /* class_of counts in units of 8 bytes, also where 64 bits are aligned to 4 */
#endif
};

struct weir_small {
    uintptr_t base;   /* of run 0 */
    uintptr_t grains; /* align_bytes each, of all runs */
    uintptr_t run_grains;
    uint32_t *bits; /* one a grain: an object in use begins here */
    struct weir_small_run *run;
    uint32_t grain_shift, run_shift; /* run number = grain >> run_shift */
    size_t largest;
    int32_t room;       /* allocations until the peak: live = peak - room */
    int64_t room_bytes; /* the same in bytes */
    uint64_t asked;
    struct weir_small_class cls[WEIR_SMALL_CLASSES];
    uint8_t
        class_of[WEIR_SMALL_STEPS]; /* by size in steps of a pointer's: distance of cls in units of 8 bytes */

    uint64_t able, keeping; /* one bit a class: its cur has an object; it keeps an empty run */
    uint64_t
        multiples[WEIR_SMALL_ALIGNS]; /* by log2 of an alignment: classes whose size is a multiple of it */

    uint32_t state; /* a mark while open */
    uint32_t classes, runs, fresh_runs, idle, idle_runs, run_bytes, peak;
    uint8_t why;
    uint64_t peak_bytes, failures, bad, corrupt, cuts, joins;
    uint8_t *arena;
    size_t arena_bytes;
    struct weir_small_run none;
};

/* Bytes of arena that hold `runs` runs with their tables wherever the arena is aligned; 0 iff the configuration is
 * refused or the sum overflows. Pure. */
size_t weir_small_bytes(const struct weir_small_conf *, uint32_t runs);

/* Begins a manager over [mem, mem + bytes): tables first, then as many whole runs as fit. *conf is copied, NULL:
 * all defaults. 0; WEIR_EINVAL: conf refused, or not one run fits. Time: the tables. */
int weir_small_open(struct weir_small *, const struct weir_small_conf *, void *mem, size_t bytes);

/* The arena is the caller's again. 0; WEIR_EBUSY while an object lives; WEIR_ESTALE. */
int weir_small_close(struct weir_small *);

/* size bytes (0 counts as 1), aligned to align_bytes, contents undefined; NULL iff no run of its class or of a
 * larger one has room and none is empty (WEIR_WHY_FULL), or it is above `largest` (WEIR_WHY_SIZE). Constant
 * time, without a loop over classes or runs; where a free object's link was overwritten, one run's objects. */
void *weir_small_alloc(struct weir_small *, size_t size);

/* The same aligned to align (a power of two or 0), as long as size rounded up to it is at most `largest`, else
 * NULL and WEIR_WHY_ALIGN. */
void *weir_small_alloc_aligned(struct weir_small *, size_t size, size_t align);

/* What an allocation returned comes back: its usable bytes. Or, and nothing changed but the count:
 * WEIR_EFOREIGN: not in the runs; WEIR_EINTERIOR: not the start of an object; WEIR_EFREE: not in use;
 * WEIR_ECORRUPT: the run's count disagrees with the bits; WEIR_ESTALE. Constant time. */
ptrdiff_t weir_small_free(struct weir_small *, void *object);

/* Usable bytes of an object in use, or an error as weir_small_free. Constant time. */
ptrdiff_t weir_small_usable(const struct weir_small *, const void *object);

/* Why the last allocation got NULL. */
enum weir_why weir_small_why(const struct weir_small *);

/* Free objects' links that were found overwritten, for all time: their run's list was made again. Constant time. */
uint64_t weir_small_corrupt(const struct weir_small *);

/* Objects that live. Constant time. */
uint32_t weir_small_live(const struct weir_small *);

/* Counts. largest_free is that of the largest class that can serve now; free_bytes counts an empty run whole.
 * Time: classes and runs. */
void weir_small_info(const struct weir_small *, struct weir_mem_stat *);

/* The peaks become what is live now. */
void weir_small_peak_reset(struct weir_small *);

/* One class: what it costs, and how it fares. */
struct weir_small_class_info {
    uint32_t bytes;       /* of an object */
    uint32_t sizes_from;  /* smallest size that it serves */
    uint32_t run_cells;   /* objects of a run */
    uint32_t tail_bytes;  /* of a run that no object can use */
    uint32_t run_table;   /* bytes of table for a run: its entry and its bits */
    uint32_t milli_bytes; /* what an object costs in full runs, tables and tails included, in 1/1000 bytes */
    uint32_t runs;        /* now */
    uint64_t live, allocs;
};

/* Fills in class n, 0 to the number of classes - 1, ascending by size. That number, or WEIR_EINVAL: no class n, or
 * WEIR_ESTALE. Time: the runs. */
int weir_small_class(const struct weir_small *, uint32_t n, struct weir_small_class_info *);

/* The number of the class that serves size, or WEIR_EINVAL: it is above `largest`. Constant time. */
int weir_small_class_of(const struct weir_small *, size_t size);

/* Every object in use and every free one of each run, empty runs as one block, runs in the order of addresses. What
 * walk returned; 0; WEIR_ESTALE. */
int weir_small_walk(const struct weir_small *, weir_walk_fn, void *arg);

/* For tests and debug builds: 0, or the number of a broken invariant (src/mem/small.c). */
int weir_small_check(const struct weir_small *);

/* The manager as a policy of a partition, over one area: WEIR_POLICY_CONSTANT, _ALIGN, _REMOVE, _CHECKS at every
 * level. `extra` is a struct weir_small_conf of which run_bytes and largest count. Sizes above `largest` get
 * NULL. */
extern const struct weir_policy weir_small_policy;

#ifdef __cplusplus
}
#endif
#endif
