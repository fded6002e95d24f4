/* worst_ops.h: a sequence of allocations and releases as data: what the search for worst cases changes, what its
 * finds are kept as, what the gate replays.
 *
 *     a100   100 bytes           n100   100 bytes, aligned to 64
 *     f7     the 7th of those that live is released, counted round; nothing where none lives
 *
 * The list of those that live is kept so that a sequence means something also after any part of it was taken
 * out: a new block goes to its end, a released one's place is taken by the last. */
#ifndef WEIR_WORST_OPS_H
#define WEIR_WORST_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench_mem_schemes.h"

#define WORST_OPS_MAX  400u
#define WORST_ALIGN    64u
#define WORST_SIZE_MAX 65536u
#define WORST_AREA     (64u << 10) /* what each scheme gets in a search */
#define WORST_CELLS    8192u       /* the same for cells, so that they can all be taken */

struct worst_op {
    char kind; /* 'a', 'n', 'f' */
    uint32_t arg;
};

struct worst_seq {
    unsigned n;
    struct worst_op op[WORST_OPS_MAX];
};

/* What an op turned out to be: a block, none, a release; or no call, since none lived. */
enum worst_goal {
    WORST_GET,
    WORST_GET_ALIGNED,
    WORST_REFUSED,
    WORST_PUT,
    WORST_GOALS,
    WORST_NOTHING = WORST_GOALS
};

extern const char *const worst_goal_name[WORST_GOALS];

/* The blocks that live. */
struct worst_live {
    unsigned n;
    void *block[WORST_OPS_MAX];
    size_t size[WORST_OPS_MAX];
};

/* Which one an `f` releases; live->n > 0. worst_forget takes it off the list. */
static inline unsigned worst_pick(const struct worst_live *live, uint32_t arg)
{
    return arg % live->n;
}
void worst_forget(struct worst_live *, unsigned at);
void worst_keep(struct worst_live *, void *block, size_t size);

/* Opens the scheme anew in WORST_AREA or WORST_CELLS bytes of its own. */
bool worst_open(const struct mem_scheme *);

/* Does one op, uncounted. */
enum worst_goal worst_do(const struct mem_scheme *, struct worst_live *, struct worst_op);

/* Instructions of the last op of the sequence, in a scheme opened anew; what is before it runs as it is.
 * bench_step_open came first. 0: the last op makes no call. */
uint64_t worst_count(const struct mem_scheme *, const struct worst_seq *);

/* Reads ops from text until its end. False: not ops, or too many. */
bool worst_read(struct worst_seq *, const char *text);

/* Into text[0..bytes), which must have room for 8 characters an op. */
void worst_write(const struct worst_seq *, char *text, size_t bytes);

#endif
