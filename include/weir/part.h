/* part.h: partitions (docs/memory/partition.md): a name, a validated handle, a lock, two kinds of error with
 * flags of their own, and statistics, around any policy of policy.h, over memory of the caller's.
 *
 * It is not an allocator: what cuts the bytes is the policy that it was opened with. Its memory is what
 * open and add are given, and what nest takes from a parent; it asks nobody for more.
 *
 * Threads: with WEIR_LOCK_NONE a partition is used by one thread at a time and by no interrupt handler. With
 * WEIR_LOCK_HOOK the caller's hooks stand around each operation on the policy and the counts, also on those
 * that only look; never around a copy of contents nor around a hook of `struct weir_part_hooks`. With
 * WEIR_LOCK_MASK (processors that have a mask, and policies of constant time only) interrupts are masked for
 * one operation of the policy and about twenty stores; weir_part_info, _walk, _check and _find_max are longer
 * and do not mask: whoever calls them sees to it that nobody else is inside. weir_part_stat takes no lock in
 * any case and may be called from any thread.
 *
 * Functions that take a partition return WEIR_ESTALE (or NULL with why WEIR_WHY_STALE) for a handle that is
 * NULL, was closed, was never opened (filled with zeros or with anything that is not its own address), or is a
 * copy of an open one. */
#ifndef WEIR_PART_H
#define WEIR_PART_H

#include "weir/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

struct weir_part;

/* ---- the two errors ---- */

enum weir_part_fault {
    WEIR_PART_ALLOC = 0, /* a request got nothing: too large, or no such alignment */
    WEIR_PART_BLOCK = 1  /* a release or a change of size of what is no block in use */
};

/* Each kind has flags of its own, in any combination. Whatever they are, the call returns its error as well:
 * after the log, and after a suspended task goes on. Abort is last and never returns. */
enum weir_part_option {
    WEIR_PART_ALLOC_LOG = 1,
    WEIR_PART_ALLOC_SUSPEND = 2,
    WEIR_PART_ALLOC_ABORT = 4,
    WEIR_PART_BLOCK_LOG = 8,
    WEIR_PART_BLOCK_SUSPEND = 16,
    WEIR_PART_BLOCK_ABORT = 32,
    WEIR_PART_OPTIONS = 63 /* all of them */
};

struct weir_part_report {
    struct weir_part *part;
    const char *name;
    enum weir_part_fault fault;
    int err;           /* what the call returns: WEIR_ENOMEM for a request that got nothing */
    enum weir_why why; /* of a request */
    size_t size, align;
    const void *block; /* of a release */
};

/* Called without any lock held, in the caller's context, and free to use this partition and others. A suspend
 * that returns has let the task go on. An abort that is NULL, or returns, traps. */
struct weir_part_hooks {
    void *ctx;
    void (*log)(void *ctx, const struct weir_part_report *);
    void (*suspend)(void *ctx, const struct weir_part_report *);
    void (*abort)(void *ctx, const struct weir_part_report *);
};

/* ---- opening ---- */

struct weir_part_conf {
    const char *name; /* not copied; NULL: "" */
    const struct weir_policy *policy;
    struct weir_policy_conf cut; /* area_bytes 0: the bytes of the first area */
    void *state;                 /* the policy's, aligned as max_align_t; NULL: the front of the first area */
    size_t state_bytes;          /* of state, >= policy->state_bytes(&cut) */
    size_t least_bytes;          /* smaller requests are served as this many; 0: as the policy does */
    size_t low_bytes;            /* low-water mark, see low_events; 0: none */
    struct weir_lock lock;
    uint32_t options; /* enum weir_part_option */
    struct weir_part_hooks hooks;
};

/* One count, readable in halves where the machine has no 64-bit store. */
struct weir_part_count {
#if UINTPTR_MAX > 0xffffffffu
    uint64_t all;
#else
    uint32_t low, high;
#endif
};

/* The partition's own; to be read through weir_part_stat. */
struct weir_part_counts {
    uint32_t turn; /* odd while a change is under way */
    struct weir_part_count allocs, frees, failures, bad_frees;
    struct weir_part_count alloc_bytes, freed_bytes, asked_bytes;
    struct weir_part_count peak, peak_bytes, low_events; /* before the blocks that are live now */
    struct weir_part_count source_takes, source_gives;
    struct weir_part_count configured, capacity, largest;
    struct weir_part_count low_limit; /* live bytes beyond this are a low-water event */
};

/* The caller's memory; its members are the partition's. */
struct weir_part {
    uintptr_t self; /* the handle's proof: its own address iff it is open, plus which way calls go */
    void *state;
    void *(*alloc)(void *state, size_t size, size_t align, size_t *got);
    ptrdiff_t (*release)(void *state, void *block);
    const void *leaving;  /* the block of the release under way, for its report */
    uint64_t alarm_bytes; /* the lesser of peak_bytes and low_limit */
    struct weir_part_counts counts;
    struct weir_lock lock;
    size_t least_bytes;
    const struct weir_policy *policy;
    const char *name;
    struct weir_part_hooks hooks;
    uint32_t options;
    uint32_t children;
    uint32_t areas;
    uint32_t level, align_bytes;
    enum weir_why why;
    int last_err;
    size_t low_bytes;
    size_t most_bytes; /* the largest block that there could ever be */
    void *held;        /* the area whose front is the policy's state, NULL: none */
    size_t held_bytes; /* of that state */
    struct weir_part *parent;
    void *lease; /* the parent's block that this one lies in */
};

/* Opens a partition over bytes at base (NULL and 0 with conf->state: none yet). *part is overwritten and must
 * not be an open one; it and the memory stay the caller's and must outlive the partition.
 * 0; WEIR_EINVAL: conf is not consistent: no policy, sizes that the policy can't serve, an alignment that is
 * neither 4, 8, 16 nor 0, a flag without its hook (log, suspend), an area too small for the state and one block,
 * WEIR_LOCK_MASK over a policy that is not of constant time; WEIR_ENOTSUP: WEIR_LOCK_MASK on a processor without.
 * Time: the policy's init and add. Not from an interrupt handler. */
int weir_part_open(struct weir_part *part, const struct weir_part_conf *conf, void *base, size_t bytes);

/* Bytes that conf needs in state, or takes from the front of the first area; 0 iff the policy can't serve it. */
size_t weir_part_state_bytes(const struct weir_part_conf *conf, size_t first_area_bytes);

/* Opens child over a block of parent: `bytes` bytes, which are the child's until it is closed; 0: the largest
 * block that it has now, which makes a system partition of all that the others have left. Errors as
 * weir_part_open's, of the parent WEIR_ESTALE, and WEIR_ENOMEM when it has no such block (the request counts and
 * is reported there as any other). */
int weir_part_nest(struct weir_part *child, const struct weir_part_conf *conf, struct weir_part *parent,
                   size_t bytes);

/* The memory is the caller's again, or a child's block the parent's; blocks that were still in use are gone.
 * Returns their number; WEIR_EBUSY, and nothing changed, while partitions opened inside this one are open. */
int weir_part_close(struct weir_part *part);

/* bytes at base become memory of the partition. 0, or what the policy says: WEIR_EINVAL, WEIR_EMFILE. */
int weir_part_add(struct weir_part *part, void *base, size_t bytes);

/* The area at base is the caller's again. 0; WEIR_EBUSY while anything in it lives, or when the policy's state
 * lies in it; WEIR_EFOREIGN: not an area; WEIR_ENOTSUP: the policy can't. */
int weir_part_remove(struct weir_part *part, void *base);

/* ---- blocks ---- */

/* size bytes (0 counts as 1), aligned to the larger of align (a power of two, or 0) and the partition's
 * alignment; the contents are not cleared. The caller's until weir_part_free. NULL iff it can't be had:
 * weir_part_why says why, the request is counted, and the options of WEIR_PART_ALLOC are carried out.
 * Time: the policy's alloc, and a constant (docs/memory/partition.md). */
void *weir_part_alloc(struct weir_part *part, size_t size, size_t align);

/* Gives a block back. 0, also for NULL. What the policy's level finds wrong is refused, counted and reported as
 * WEIR_PART_BLOCK: WEIR_EFOREIGN, WEIR_EINTERIOR, WEIR_EFREE, WEIR_ECORRUPT. Nothing has changed then. */
int weir_part_free(struct weir_part *part, void *block);

/* The block with at least size usable bytes (0 counts as 1), aligned to align as for weir_part_alloc: where it
 * is, when the policy can do that and it is so aligned; else in another place, with its contents up to the
 * smaller of old usable bytes and size, and the old place given back. NULL: the old block is as it was;
 * weir_part_why says WEIR_WHY_BLOCK for what is no block. block NULL: weir_part_alloc.
 * Counted, when it stays, as bytes handed out and given back, not as blocks. */
void *weir_part_realloc(struct weir_part *part, void *block, size_t size, size_t align);

/* Usable bytes of a block in use, or an error as weir_part_free's, which is neither counted nor reported. */
ptrdiff_t weir_part_usable(struct weir_part *part, const void *block);

/* Why the last request got NULL; WEIR_WHY_NONE when none did. WEIR_WHY_SIZE is told by the largest area that
 * the partition has had. */
enum weir_why weir_part_why(const struct weir_part *part);

/* The largest size for which weir_part_alloc(part, size, align) would succeed now; 0: none, or ESTALE. */
size_t weir_part_find_max(struct weir_part *part, size_t align);

/* ---- looking ---- */

/* Counts that belong together: those between two operations, never from the middle of one. From any thread,
 * while the owner works; reads again while it is disturbed, so a reader with a higher priority than the owner,
 * on one processor, must not wait here: after WEIR_PART_STAT_TRIES attempts it returns WEIR_EAGAIN.
 * free_bytes is what blocks in use do not take (heads of blocks in use not subtracted); largest_free is as
 * the last weir_part_info, _add, _remove or refused request found it; overhead_bytes is what can never be
 * handed out. low_events: times that live bytes came within low_bytes of all that can be handed out. */
#define WEIR_PART_STAT_TRIES 1000
int weir_part_stat(const struct weir_part *part, struct weir_mem_stat *out);

struct weir_part_info {
    const char *name;
    const struct weir_policy *policy;
    struct weir_mem_stat stat; /* free, overhead and largest_free are exact here */
    uint64_t divisions, merges, free_blocks;
    uint32_t areas, children, options, level, align_bytes;
    struct weir_part *parent; /* NULL: not nested */
    enum weir_why why;        /* of the last request that got nothing */
    int last_err;             /* of the last refused release, 0: none */
};

/* Everything, exactly. Time: the policy's stat. configured = live + free + overhead, in bytes. */
int weir_part_info(struct weir_part *part, struct weir_part_info *out);

/* The peaks become what is live now. */
int weir_part_reset_peak(struct weir_part *part);

/* Replaces the options and, unless hooks is NULL, the hooks. 0; WEIR_EINVAL: unknown flags, or a flag whose
 * hook is missing (an abort without one traps). */
int weir_part_options(struct weir_part *part, uint32_t options, const struct weir_part_hooks *hooks);

/* Every block, as the policy walks them. Returns what fn ended with, or 0. fn must not use the partition. */
int weir_part_walk(struct weir_part *part, weir_walk_fn fn, void *arg);

/* For tests and debug builds: 0; the number of the policy's broken invariant; WEIR_ECORRUPT when the counts are
 * not those of the policy. */
int weir_part_check(struct weir_part *part);

/* The partition as a source for pools and others: what they take are blocks of it. */
struct weir_source weir_part_source(struct weir_part *part);

#ifdef __cplusplus
}
#endif
#endif
