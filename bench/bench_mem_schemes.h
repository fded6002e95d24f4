/* bench_mem_schemes.h: every scheme of memory behind one pair of calls, for what measures them: the section `mem`
 * of weir-bench, the search for worst cases and the runs for drift.
 *
 * One scheme is open at a time in a process; single-threaded but where it says otherwise. */
#ifndef BENCH_MEM_SCHEMES_H
#define BENCH_MEM_SCHEMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/policy.h"

struct mem_scheme {
    const char *name, *what;
    const struct weir_policy *policy; /* what a scheme over policies is made of; the others have NULL */
    uint32_t align_bytes, level;      /* of a policy */
    size_t least, most;               /* sizes that it serves */
    bool process;                     /* it has the whole process's memory and no area */
    bool shared;                      /* two threads may call it, under its lock */
    bool cells;                       /* all blocks have the size that open was told */

    /* Takes bytes at base, 4,096-aligned, for its state and for the blocks; forgets what it had. cell: the largest
     * size that will be asked for. False: they are too few. A scheme of the process
     * needs no base. */
    bool (*open)(const struct mem_scheme *, void *base, size_t bytes, size_t cell);
    void *(*get)(size_t size);
    void (*put)(void *block, size_t size);
    void *(*get_aligned)(size_t size, size_t align); /* NULL: it can't */

    /* From now until the next open, get and put do what they do around the scheme and call an empty function of
     * MEM_HOLLOW instructions in its place: what a counter has to subtract. NULL: get and put are
     * the scheme inlined, and nothing is around it. */
    void (*hollow)(void);
};

#define MEM_HOLLOW 2u /* xor, ret: a function that answers 0 */

/* Empty functions for schemes without `hollow`, and a scheme of them. */
extern const struct mem_scheme mem_empty;
void *mem_hollow_get(size_t size);
void mem_hollow_put(void *block, size_t size);

/* The n-th of Weir's schemes, NULL behind the last. */
const struct mem_scheme *mem_scheme_at(unsigned n);

/* By its name, or NULL. */
const struct mem_scheme *mem_scheme_find(const char *name);

/* open, get, put, get_aligned and hollow of any scheme that is a bare policy. */
bool mem_policy_open(const struct mem_scheme *, void *base, size_t bytes, size_t cell);
void *mem_policy_get(size_t size);
void mem_policy_put(void *block, size_t size);
void *mem_policy_get_aligned(size_t size, size_t align);
void mem_policy_hollow(void);

#endif
