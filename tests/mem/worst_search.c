/* worst_search.c: looks for the state and the call that cost most, in every scheme.
 *
 * Theory of operation. This program is built with a copy of the library in which the compiler calls
 * __sanitizer_cov_trace_pc at the start of each basic block, so that a call's path through the code is known at
 * nearly full speed: how many blocks it ran, and a hash over them in order. Two calls of the same path take the
 * same instructions. A genetic search over sequences of operations maximises the blocks of one call; a table
 * keeps, for each different path that was ever seen, the shortest sequence that reaches it. What is printed at
 * the end are the longest paths; worst_gate counts their instructions in the ordinary build and keeps the
 * dearest.
 *
 * Bounded by a number of evaluations, not by time: the same seed finds the same.
 *
 * Rejected: counting instructions in the search itself. Stopping after each instruction takes 2 to 12 us, a
 * hundred times what the blocks take, and the search would see a hundred times fewer states. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/plat.h"
#include "worst_ops.h"
#include "worst_toy.h"

#define POPULATION   64u
#define STALE_MAX    4000u /* evaluations without a gain, then all but the best begin anew */
#define PATHS        4096u /* a power of two */
#define PATHS_MAX    3000u
#define KEEP_DEFAULT 12u
#define PALETTE_MAX  6u
#define PUTS         42u /* of a hundred operations */
#define FEW_PUTS     4u
#define LINEAR_PART  10u
#define LINE_BYTES   (WORST_OPS_MAX * 8u)
#define HASH_FACTOR  0x9E3779B97F4A7C15u

/* ---- the path of a call ---- */

static uint64_t path_hash;
static uint32_t path_blocks;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    path_blocks++;
    path_hash = (path_hash ^ (uint64_t)(uintptr_t)__builtin_return_address(0)) * HASH_FACTOR;
}

/* ---- what was found ---- */

struct member {
    struct worst_seq q;
    uint32_t blocks;
};

static struct path {
    uint64_t hash; /* 0: free */
    struct member m;
} paths[PATHS];
static unsigned n_paths;

static struct search {
    const struct mem_scheme *s;
    enum worst_goal goal;
    struct weir_sim random;
    struct member population[POPULATION];
} search;

static uint32_t below(uint32_t n)
{
    return (uint32_t)(weir_sim_random(&search.random) % n);
}

static struct path *path_of(uint64_t hash)
{
    unsigned at = (unsigned)hash % PATHS;
    while (paths[at].hash != 0 && paths[at].hash != hash)
        at = (at + 1) % PATHS;
    return &paths[at];
}

static int by_blocks(const void *a, const void *b)
{
    const struct path *x = a, *y = b;
    if (x->m.blocks != y->m.blocks) return x->m.blocks < y->m.blocks ? 1 : -1;
    return (x->m.q.n > y->m.q.n) - (x->m.q.n < y->m.q.n);
}

/* Of a full table the longer half stays. A scheme whose time is linear in something has more paths than any. */
static void thin_paths(void)
{
    static struct path kept[PATHS];
    memcpy(kept, paths, sizeof kept);
    memset(paths, 0, sizeof paths);
    qsort(kept, PATHS, sizeof kept[0], by_blocks);
    n_paths /= 2;
    for (unsigned i = 0; i < n_paths; i++)
        *path_of(kept[i].hash) = kept[i];
}

/* Keeps the first n ops as the way to this path, if it is new or they are fewer. */
static void note_path(const struct worst_seq *q, unsigned n)
{
    if (n_paths == PATHS_MAX) thin_paths();
    struct path *p = path_of(path_hash | 1);
    if (p->hash != 0 && p->m.q.n <= n) return;
    n_paths += p->hash == 0;
    p->hash = path_hash | 1;
    p->m.blocks = path_blocks;
    memcpy(p->m.q.op, q->op, n * sizeof q->op[0]);
    p->m.q.n = n;
}

/* The most blocks that a call of the goal ran; *at: how many ops lead to it, itself included. */
static uint32_t evaluate(const struct worst_seq *q, unsigned *at)
{
    static struct worst_live live;
    uint32_t most = 0;
    *at = 0;
    live.n = 0;
    if (!worst_open(search.s)) return 0;
    for (unsigned i = 0; i < q->n; i++) {
        path_blocks = 0;
        path_hash = HASH_FACTOR;
        if (worst_do(search.s, &live, q->op[i]) != search.goal) continue;
        note_path(q, i + 1);
        if (path_blocks > most) {
            most = path_blocks;
            *at = i + 1;
        }
    }
    return most;
}

/* ---- making and changing sequences ---- */

/* A size: near a power of two, or anywhere between, small ones more often. */
static uint32_t any_size(void)
{
    const struct mem_scheme *s = search.s;
    uint64_t size = 1u << below(17);
    if (below(2) == 0)
        size += below(17);
    else
        size += below((uint32_t)size);
    size -= size > 8 && below(4) == 0 ? 8 : 0;
    if (size < s->least) size = s->least;
    if (size > s->most) size = s->most;
    return (uint32_t)(size < WORST_SIZE_MAX ? size : WORST_SIZE_MAX);
}

static struct worst_op any_op(const uint32_t *palette, unsigned n, uint32_t puts_percent)
{
    struct worst_op op = {'a', 0};
    uint32_t kind = below(100);
    if (kind < puts_percent)
        op.kind = 'f';
    else if (kind < puts_percent + 8 && search.s->get_aligned != NULL)
        op.kind = 'n';
    op.arg = op.kind == 'f' ? below(64) : palette[below(n)];
    return op;
}

static void begin_anew(struct worst_seq *q)
{
    uint32_t palette[PALETTE_MAX];
    unsigned n = 1 + below(PALETTE_MAX);
    for (unsigned i = 0; i < n; i++)
        palette[i] = any_size();
    uint32_t puts_percent = below(4) == 0 ? FEW_PUTS : PUTS; /* few: until nothing is left */
    q->n = 4 + below(below(2) == 0 ? 40 : WORST_OPS_MAX - 4);
    for (unsigned i = 0; i < q->n; i++)
        q->op[i] = any_op(palette, n, puts_percent);
}

static void cut(struct worst_seq *q, unsigned from, unsigned n)
{
    memmove(q->op + from, q->op + from + n, (q->n - from - n) * sizeof q->op[0]);
    q->n -= n;
}

/* n ops, which may lie in q itself, are put in at `to`. */
static void paste(struct worst_seq *q, unsigned to, const struct worst_op *op, unsigned n)
{
    struct worst_op copy[WORST_OPS_MAX];
    if (n > WORST_OPS_MAX - q->n) n = WORST_OPS_MAX - q->n;
    memcpy(copy, op, n * sizeof copy[0]);
    memmove(q->op + to + n, q->op + to, (q->n - to) * sizeof q->op[0]);
    memcpy(q->op + to, copy, n * sizeof copy[0]);
    q->n += n;
}

static void change_one(struct worst_seq *q)
{
    struct worst_op *op = &q->op[below(q->n)];
    if (op->kind == 'f')
        op->arg = below(64);
    else if (below(2) == 0)
        op->arg = any_size();
    else {
        uint32_t step = 1u << below(8);
        op->arg = below(2) == 0 && op->arg > step + search.s->least ? op->arg - step : op->arg + step;
        if (op->arg > search.s->most) op->arg = (uint32_t)search.s->most;
        if (op->arg > WORST_SIZE_MAX) op->arg = WORST_SIZE_MAX;
    }
}

static void mutate(struct worst_seq *q)
{
    uint32_t size = any_size(), from, n;
    struct worst_op one = any_op(&size, 1, PUTS);
    const struct worst_seq *other = &search.population[below(POPULATION)].q;
    switch (q->n == 0 ? 1 : below(6)) {
    case 0:
        change_one(q);
        break;
    case 1:
        paste(q, below(q->n + 1), &one, 1);
        break;
    case 2:
        cut(q, below(q->n), 1);
        break;
    case 3:
        from = below(q->n);
        n = 1 + below(q->n - from);
        cut(q, from, n < 16 ? n : 16);
        break;
    case 4: /* again what was once */
        from = below(q->n);
        n = 1 + below(q->n - from);
        paste(q, below(q->n + 1), q->op + from, n);
        break;
    default: /* a part of another */
        if (other->n == 0) break;
        from = below(other->n);
        paste(q, below(q->n + 1), other->op + from, 1 + below(other->n - from));
        break;
    }
}

/* ---- the search ---- */

static const struct member *choose(void)
{
    const struct member *best = &search.population[below(POPULATION)];
    for (unsigned i = 0; i < 2; i++) {
        const struct member *m = &search.population[below(POPULATION)];
        if (m->blocks > best->blocks) best = m;
    }
    return best;
}

/* A newcomer takes the place of one that is no better; among equals the shorter one lives. */
static bool enter(const struct member *m)
{
    struct member *worst = &search.population[below(POPULATION)];
    for (unsigned i = 0; i < 3; i++) {
        struct member *other = &search.population[below(POPULATION)];
        if (other->blocks < worst->blocks) worst = other;
    }
    bool gain = m->blocks > worst->blocks || (m->blocks == worst->blocks && m->q.n <= worst->q.n);
    if (gain) *worst = *m;
    return gain;
}

static uint32_t best_blocks(void)
{
    uint32_t best = 0;
    for (unsigned i = 0; i < POPULATION; i++)
        if (search.population[i].blocks > best) best = search.population[i].blocks;
    return best;
}

static void start(struct member *m)
{
    unsigned at;
    begin_anew(&m->q);
    m->blocks = evaluate(&m->q, &at);
    m->q.n = at;
}

static void look(uint32_t evaluations)
{
    static struct member m;
    uint32_t best = 0, stale = 0;
    memset(paths, 0, sizeof paths);
    n_paths = 0;
    for (unsigned i = 0; i < POPULATION; i++)
        start(&search.population[i]);
    for (uint32_t i = POPULATION; i < evaluations; i++) {
        unsigned at;
        m = *choose();
        for (unsigned n = 1 + below(4); n > 0; n--)
            mutate(&m.q);
        m.blocks = evaluate(&m.q, &at);
        m.q.n = at;
        if (m.blocks > 0) (void)enter(&m);
        if (best_blocks() > best) {
            best = best_blocks();
            stale = 0;
        } else if (++stale == STALE_MAX) { /* what was found stays in the table of paths */
            for (unsigned k = 0; k < POPULATION; k++)
                start(&search.population[k]);
            best = best_blocks();
            stale = 0;
        }
    }
}

/* Takes out what the last call's path does not need. */
static void shorten(struct member *m)
{
    for (unsigned n = 64; n > 0; n /= 2) {
        for (unsigned from = 0; from + n < m->q.n;) {
            struct member less = *m;
            unsigned at;
            cut(&less.q, from, n);
            if (evaluate(&less.q, &at) >= m->blocks && at == less.q.n)
                *m = less;
            else
                from++;
        }
    }
}

static uint32_t report(unsigned keep)
{
    static char line[LINE_BYTES];
    static struct path kept[PATHS];
    memcpy(kept, paths, sizeof kept);
    qsort(kept, PATHS, sizeof kept[0], by_blocks);
    fprintf(stderr, "%s %s: %u paths, longest %u blocks\n", search.s->name, worst_goal_name[search.goal],
            n_paths, kept[0].m.blocks);
    for (unsigned i = 0; i < keep && kept[i].hash != 0; i++) {
        shorten(&kept[i].m);
        worst_write(&kept[i].m.q, line, sizeof line);
        printf("%s %s %u %s\n", search.s->name, worst_goal_name[search.goal], kept[i].m.blocks, line);
    }
    return kept[0].m.blocks;
}

/* Its worst case is the longest list that fits into the area: known without a search, and slow to look at. */
static bool is_linear(const struct mem_scheme *s)
{
    return s->policy != NULL && (s->policy->caps & WEIR_POLICY_CONSTANT) == 0;
}

/* Whether every goal could be searched; *longest: the most blocks of a get. */
static bool search_one(const struct mem_scheme *s, uint64_t seed, uint32_t evaluations, unsigned keep,
                       uint32_t *longest)
{
    for (int goal = 0; goal < WORST_GOALS; goal++) {
        if (goal == WORST_GET_ALIGNED && s->get_aligned == NULL) continue;
        search.s = s;
        search.goal = (enum worst_goal)goal;
        weir_sim_init(&search.random, seed + (uint64_t)goal);
        look(is_linear(s) ? evaluations / LINEAR_PART : evaluations);
        if (n_paths == 0 && goal == WORST_REFUSED) continue; /* there was always room */
        if (n_paths == 0) return false;
        uint32_t most = report(keep);
        if (goal == WORST_GET) *longest = most;
    }
    return true;
}

static uint64_t seed = 1;
static uint32_t evaluations = 100000, least;
static unsigned keep = KEEP_DEFAULT;

static bool read_options(int argc, char **argv)
{
    static const struct option table[] = {{"seed", 1, NULL, 's'},
                                          {"evaluations", 1, NULL, 'e'},
                                          {"keep", 1, NULL, 'k'},
                                          {"least", 1, NULL, 'l'},
                                          {0}};
    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (c == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (c == 'e')
            evaluations = (uint32_t)strtoul(optarg, NULL, 0);
        else if (c == 'k')
            keep = (unsigned)strtoul(optarg, NULL, 0);
        else if (c == 'l')
            least = (uint32_t)strtoul(optarg, NULL, 0);
        else
            return false;
    }
    return true;
}

static bool search_named(const char *name)
{
    const struct mem_scheme *s = worst_scheme(name);
    uint32_t longest = 0;
    if (s == NULL || !search_one(s, seed, evaluations, keep, &longest)) {
        fprintf(stderr, "worst_search: %s: no such scheme, or it can't be opened\n", name);
        return false;
    }
    if (longest >= least) return true;
    printf("failed: %s: the longest path has %u blocks, %u are known\n", name, longest, least);
    return false;
}

int main(int argc, char **argv)
{
    if (!read_options(argc, argv)) {
        fputs("usage: worst_search [--seed N] [--evaluations N] [--keep N] [--least BLOCKS] [SCHEME...]\n",
              stderr);
        return 2;
    }
    fprintf(stderr, "seed %llu, %u evaluations a goal\n", (unsigned long long)seed, evaluations);
    for (int i = optind; i < argc; i++)
        if (!search_named(argv[i])) return 1;
    for (unsigned i = 0; optind == argc && mem_scheme_at(i) != NULL; i++)
        if (!search_named(mem_scheme_at(i)->name)) return 1;
    return fflush(stdout) == 0 ? 0 : 1;
}
