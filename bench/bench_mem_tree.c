/* bench_mem_tree.c: search trees as a switch keeps them: learned addresses that are entered in random order,
 * looked up, and age out in another random order. 16 to 16,384 nodes; small trees are made again until as many
 * nodes were made as in the largest.
 *
 * Counted are gets and puts alone; a time is of the whole, in which it shows how close together the nodes lie. */
#include <stdio.h>
#include <sys/wait.h>

#include "bench_mem.h"

#define NODES  16384u
#define ROUNDS 5u
#define SEED   2463534242u
#define PER_NS 1e9

struct node {
    struct node *left, *right;
    uint64_t address;
    uint32_t vlan, port;
    uint64_t seen, packets;
};

static const unsigned trees[] = {16, 256, 4096, NODES};
#define TREES (sizeof trees / sizeof trees[0])

static const struct mem_scheme *scheme;
static uint64_t address[NODES];

/* Outside of counted sections these count nothing. */
static void *(*const take)(const struct mem_scheme *, size_t size) = mem_counted_get;
static void (*const give)(const struct mem_scheme *, void *block, size_t size) = mem_counted_put;

static struct node **find(struct node **root, uint64_t wanted)
{
    while (*root != NULL && (*root)->address != wanted)
        root = wanted < (*root)->address ? &(*root)->left : &(*root)->right;
    return root;
}

static void enter(struct node **root, uint64_t wanted)
{
    struct node **at = find(root, wanted);
    if (*at != NULL) return;
    struct node *n = take(scheme, sizeof *n);
    if (n == NULL) bench_die("%s has no memory for a tree", scheme->name);
    *n = (struct node){.address = wanted};
    *at = n;
}

/* The place of a node with two children is taken by the next larger one. */
static void leave(struct node **root, uint64_t wanted)
{
    struct node **at = find(root, wanted), *n = *at;
    if (n == NULL) return;
    if (n->left != NULL && n->right != NULL) {
        struct node **next = &n->right;
        while ((*next)->left != NULL)
            next = &(*next)->left;
        struct node *up = *next;
        *next = up->right;
        up->left = n->left;
        up->right = n->right;
        *at = up;
    } else
        *at = n->left != NULL ? n->left : n->right;
    give(scheme, n, sizeof *n);
}

static void shuffle(unsigned n, uint64_t *random)
{
    for (unsigned i = n; i > 1; i--) {
        unsigned k = mem_random(random, i);
        uint64_t kept = address[i - 1];
        address[i - 1] = address[k];
        address[k] = kept;
    }
}

static void one_tree(unsigned n, uint64_t *random)
{
    struct node *root = NULL;
    for (unsigned i = 0; i < n; i++)
        enter(&root, address[i]);
    for (unsigned i = 0; i < n; i++) {
        struct node *found = *find(&root, address[i]);
        if (found == NULL) __builtin_unreachable(); /* it was entered */
        found->packets++;
    }
    shuffle(n, random);
    for (unsigned i = 0; i < n; i++)
        leave(&root, address[i]);
}

static void make_trees(unsigned n, unsigned nodes)
{
    uint64_t random = SEED;
    for (unsigned i = 0; i < NODES; i++)
        address[i] = (uint64_t)i * 2654435761u % 4294967291u; /* a permutation of distinct addresses */
    shuffle(n, &random);
    for (unsigned made = 0; made < nodes; made += n)
        one_tree(n, &random);
}

static bool serves(const struct mem_scheme *s)
{
    return s->least <= sizeof(struct node) && sizeof(struct node) <= s->most;
}

static bool open_for_trees(const struct mem_scheme *s)
{
    scheme = s;
    return mem_open(s, mem_ample(NODES, sizeof(struct node)), sizeof(struct node));
}

/* Around a node lie one get and one put. */
static void count_around(void)
{
    static char nowhere;
    const struct mem_scheme *s = mem_hollow(scheme);
    bench_begin();
    bench_pause();
    for (unsigned i = 0; i < NODES; i++) {
        (void)take(s, sizeof(struct node));
        give(s, &nowhere, sizeof(struct node));
    }
    bench_end_hollow(2 * MEM_HOLLOW, NODES);
}

void mem_trees_counted(const struct mem_scheme *s, const char *variant, bool quick)
{
    char name[40];
    if (!serves(s) || !open_for_trees(s)) return;
    for (unsigned i = 0; i < TREES; i++) {
        if (quick && trees[i] > 256) continue;
        count_around();
        (void)open_for_trees(s);
        make_trees(trees[i], NODES);
        snprintf(name, sizeof name, "mem-tree-%u", trees[i]);
        bench_begin();
        bench_pause();
        make_trees(trees[i], NODES);
        bench_end_turns(name, variant, "instructions/node", NODES);
    }
}

void mem_trees_timed(const struct mem_scheme *s, bool quick)
{
    char name[40];
    if (!serves(s) || !open_for_trees(s)) return;
    for (unsigned i = 0; i < TREES; i++) {
        double took[ROUNDS];
        for (unsigned r = 0; r < ROUNDS; r++) {
            unsigned nodes = quick ? NODES : 8 * NODES;
            double began = bench_seconds();
            make_trees(trees[i], nodes);
            took[r] = (bench_seconds() - began) / nodes * PER_NS;
        }
        snprintf(name, sizeof name, "mem-tree-%u", trees[i]);
        mem_figure(name, "time", bench_median(took, ROUNDS), "ns/node");
    }
}
