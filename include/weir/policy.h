/* policy.h: the contract between a partition and the scheme that cuts its bytes. TLSF, first fit, bins and
 * the others are each one table of functions; a partition adds names, handles, locks, error flags and
 * statistics around any of them, and a benchmark or a firmware may call one bare.
 *
 * A policy keeps its state in memory of the caller's (state_bytes) and in the areas that it is given; it
 * never asks anybody for more, holds no lock, and is used by one thread at a time. */
#ifndef WEIR_POLICY_H
#define WEIR_POLICY_H

#include "weir/block.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a policy can do beyond the least. The contract suite skips, and lists, what a policy has not got. */
enum weir_policy_caps {
    WEIR_POLICY_ALIGN = 1,     /* alloc serves alignments above the natural one */
    WEIR_POLICY_RESIZE = 2,    /* resize in place, both ways */
    WEIR_POLICY_AREAS = 4,     /* more than one area, at any time */
    WEIR_POLICY_REMOVE = 8,    /* an area in which nothing lives can be taken away again */
    WEIR_POLICY_CONSTANT = 16, /* alloc and release in constant time */
    WEIR_POLICY_CHECKS = 32    /* release refuses addresses that it never handed out (level 1) */
};

struct weir_policy_conf {
    size_t area_bytes;    /* the largest area that will be added; 0: as large as the policy can serve */
    uint32_t align_bytes; /* natural alignment of every block: 4, 8 or 16; 0: 8 (4 on 32-bit machines) */
    uint32_t areas;       /* at most so many areas at a time; 0: 1 */
    uint32_t level;       /* 0: no checks, 1: heads and neighbours must agree, 2: exact. See docs/memory */
    const void *extra;    /* the policy's own options, NULL: its defaults */
};

/* What a policy knows without being told. */
struct weir_policy_stat {
    uint64_t area_bytes;     /* of all areas */
    uint64_t overhead_bytes; /* of them: heads, gaps, what alignment of the areas cut off */
    uint64_t free_bytes;     /* usable bytes of all free blocks */
    uint64_t free_blocks;
    uint64_t largest_free; /* see weir_mem_stat */
    uint64_t live;         /* blocks in use */
    uint64_t live_bytes;   /* their usable bytes */
    uint64_t divisions;    /* for all time: blocks that were cut in two */
    uint64_t merges;       /* for all time: blocks that were joined to a neighbour */
};

struct weir_policy {
    const char *name;    /* one word */
    const char *what;    /* a few words */
    uint32_t caps;       /* enum weir_policy_caps */
    uint32_t head_bytes; /* in front of each block, at natural alignment */

    /* Bytes of state for this configuration, aligned as max_align_t; 0 iff the policy can't serve it. Pure. */
    size_t (*state_bytes)(const struct weir_policy_conf *);

    /* Begins with no area. 0, or WEIR_EINVAL where state_bytes says 0. */
    int (*init)(void *state, const struct weir_policy_conf *);

    /* bytes at base (any alignment) become free memory. 0; WEIR_EINVAL when they are too few for one block or
     * overlap an area; WEIR_EMFILE when there are `areas` of them. */
    int (*add)(void *state, void *base, size_t bytes);

    /* The area at base is the caller's again. 0; WEIR_EBUSY while anything in it lives; WEIR_EFOREIGN. NULL
     * without WEIR_POLICY_REMOVE. */
    int (*remove)(void *state, void *base);

    /* size bytes (0 counts as 1), aligned to the larger of align (a power of two or 0) and the natural
     * alignment. *got: usable bytes of the block, >= size. NULL iff there is no fit, or align is beyond the
     * policy's caps. */
    void *(*alloc)(void *state, size_t size, size_t align, size_t *got);

    /* What alloc returned. The usable bytes of the block, or, and nothing changed: WEIR_EFOREIGN (in no area),
     * WEIR_EINTERIOR (not the start of a block), WEIR_EFREE (free already), WEIR_ECORRUPT (heads disagree).
     * Which of them a level finds is in docs/memory. */
    ptrdiff_t (*release)(void *state, void *block);

    /* The block, still where it is, gets at least size usable bytes: the usable bytes then, WEIR_ENOMEM when
     * it can't grow here (nothing changed), or an error as release's. Grows and shrinks; what it gives back
     * is free at once. NULL without WEIR_POLICY_RESIZE. */
    ptrdiff_t (*resize)(void *state, void *block, size_t size);

    /* Usable bytes of a block in use, or an error as release's. */
    ptrdiff_t (*usable)(const void *state, const void *block);

    /* Constant time but for largest_free, which may take a bounded search. */
    void (*stat)(const void *state, struct weir_policy_stat *);

    /* The largest size for which alloc(size, align) succeeds now; 0: none. */
    size_t (*find_max)(const void *state, size_t align);

    /* Every block of every area, areas in the order in which they were added. */
    int (*walk)(const void *state, weir_walk_fn, void *arg);

    /* For tests and debug builds: 0, or the number of a broken invariant (the policy's file lists them).
     * Linear in blocks. */
    int (*check)(const void *state);
};

/* TLSF: constant time, 4-byte heads (docs/memory/tlsf.md). */
extern const struct weir_policy weir_tlsf;

/* First fit over one list in the order of addresses, 8-byte heads, time linear in free blocks: the baseline
 * that the others are measured against (docs/memory/firstfit.md). */
extern const struct weir_policy weir_firstfit_list;

#ifdef __cplusplus
}
#endif
#endif
