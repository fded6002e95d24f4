/* The two worked uses of pools (mission row M5), as docs/memory/pool.md tells them: the tables of a switch and a
 * routing tree, each against a naive model, over one fixed amount of memory that can be traded between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>

#include "base/test_seed.h"
#include "weir/pool.h"

/* ---- the memory of both: so many blocks of 1,024 bytes and no more ---- */

#define BLOCK  1024u
#define BLOCKS 8u

static _Alignas(BLOCK) uint8_t memory[BLOCKS][BLOCK];
static uint32_t taken;

static void *take(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    assert_true(bytes <= BLOCK && align <= BLOCK);
    for (uint32_t i = 0; i < BLOCKS; i++)
        if ((taken >> i & 1) == 0) {
            taken |= 1u << i;
            return memory[i];
        }
    return NULL;
}

static void give(void *ctx, void *block, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    taken &= ~(1u << (((uint8_t *)block - memory[0]) / BLOCK));
}

static _Alignas(8) uint8_t tables[5][4096];

static void open_pool(struct weir_pool *p, unsigned n, const char *name, uint32_t cell_bytes)
{
    struct weir_pool_conf c = {.name = name,
                               .cell_bytes = cell_bytes,
                               .cells_per_block = BLOCK / cell_bytes,
                               .max_blocks = BLOCKS,
                               .level = 1,
                               .auto_grow_blocks = BLOCKS,
                               .source = {NULL, take, give}};
    assert_true(weir_pool_bytes(&c, 0) <= sizeof tables[n]);
    assert_int_equal(weir_pool_open(p, &c, tables[n], weir_pool_bytes(&c, 0)), 0);
}

/* ---- the tables of a switch ---- */

/* One entry of each: learned addresses, static unicast and multicast are alike but for their ports; a VLAN has the
 * set of its ports. */
struct mac {
    uint64_t key; /* VLAN << 48 | address */
    struct mac *next, *younger, *older;
    uint32_t ports;
};

struct vlan {
    uint16_t id;
    uint16_t spare;
    uint32_t ports;
    struct vlan *next;
};

enum { LEARNED, UNICAST, MULTICAST, MACS };
#define BUCKETS 64u

struct table {
    struct weir_pool pool;
    struct mac *bucket[BUCKETS];
    struct mac *youngest, *oldest;
};

struct vlans {
    struct weir_pool pool;
    struct vlan *first;
};

static struct mac **find(struct table *t, uint64_t key)
{
    struct mac **link = &t->bucket[(key * 0x9e3779b97f4a7c15u) >> 58];
    while (*link != NULL && (*link)->key != key)
        link = &(*link)->next;
    return link;
}

static void drop(struct table *t, uint64_t key)
{
    struct mac **link = find(t, key), *m = *link;
    if (m == NULL) return;
    *link = m->next;
    *(m->younger ? &m->younger->older : &t->youngest) = m->older;
    *(m->older ? &m->older->younger : &t->oldest) = m->younger;
    assert_int_equal(weir_pool_put(&t->pool, m), 0);
}

/* The oldest entry makes room when there is none: a learned address may always be learned. */
static struct mac *learn(struct table *t, uint64_t key, uint32_t ports)
{
    struct mac *m = *find(t, key);
    if (m == NULL) {
        m = weir_pool_get(&t->pool);
        if (m == NULL && t->oldest != NULL) {
            drop(t, t->oldest->key);
            m = weir_pool_get(&t->pool);
        }
        if (m == NULL) return NULL;
        struct mac **link = find(t, key);
        *m = (struct mac){.key = key, .next = *link, .older = t->youngest};
        *link = m;
        *(t->youngest ? &t->youngest->younger : &t->oldest) = m;
        t->youngest = m;
    }
    m->ports = ports;
    return m;
}

#define KEYS 600u

static void a_switch_learns_and_forgets(void **state)
{
    (void)state;
    static struct table table[MACS];
    static uint32_t model[MACS][KEYS]; /* ports, 0: not there */
    struct weir_sim sim = test_seed("pool_uses_test switch");
    static const char *const names[MACS] = {"learned", "unicast", "multicast"};
    taken = 0;
    for (unsigned i = 0; i < MACS; i++)
        open_pool(&table[i].pool, i, names[i], sizeof(struct mac));
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = test_below(&sim, MACS), key = test_below(&sim, KEYS);
        struct table *t = &table[i];
        uint64_t mac = (uint64_t)(key % 7) << 48 | key;
        if (test_below(&sim, 100) < (step / 1000 % 2 ? 25u : 70u)) {
            struct weir_pool_info before, after;
            weir_pool_info(&t->pool, &before);
            const struct mac *oldest = t->oldest;
            uint64_t old = oldest != NULL ? oldest->key & 0xffff : 0;
            bool had = model[i][key] != 0;
            struct mac *m = learn(t, mac, key + 1);
            assert_true(m != NULL || oldest == NULL);
            weir_pool_info(&t->pool, &after);
            if (!had && m != NULL && after.stat.live == before.stat.live) model[i][old] = 0;
            if (m != NULL) model[i][key] = key + 1;
        } else {
            drop(t, mac);
            model[i][key] = 0;
            if (test_below(&sim, 20) == 0) (void)weir_pool_trim(&t->pool);
        }
        uint32_t probe = test_below(&sim, KEYS);
        const struct mac *m = *find(t, (uint64_t)(probe % 7) << 48 | probe);
        assert_int_equal(m != NULL ? m->ports : 0, model[i][probe]);
    }
    for (unsigned i = 0; i < MACS; i++) {
        while (table[i].oldest != NULL)
            drop(&table[i], table[i].oldest->key);
        assert_int_equal(weir_pool_check(&table[i].pool), 0);
        assert_int_equal(weir_pool_close(&table[i].pool), 0);
    }
    assert_int_equal(taken, 0);
}

/* ---- a routing tree: a binary trie of prefixes, longest match ---- */

struct node {
    struct node *child[2];
    uint32_t hop; /* 0: no route ends here */
};

struct tree {
    struct weir_pool pool;
    struct node root;
};

static unsigned bit_at(uint32_t addr, unsigned n)
{
    return addr >> (31 - n) & 1;
}

/* Nodes without child and route go back, from the last of a path upwards. */
static void prune(struct tree *t, struct node **path, uint32_t addr, unsigned depth)
{
    for (; depth > 0; depth--) {
        struct node *n = path[depth];
        if (n->hop != 0 || n->child[0] != NULL || n->child[1] != NULL) return;
        path[depth - 1]->child[bit_at(addr, depth - 1)] = NULL;
        assert_int_equal(weir_pool_put(&t->pool, n), 0);
    }
}

/* hop 0 takes the route away. False: no memory, and nothing is left half-way. */
static bool route(struct tree *t, uint32_t addr, unsigned len, uint32_t hop)
{
    struct node *path[33] = {&t->root};
    unsigned d = 0;
    for (; d < len; d++) {
        struct node **child = &path[d]->child[bit_at(addr, d)];
        if (*child == NULL && hop != 0 && (*child = weir_pool_get(&t->pool)) != NULL)
            memset(*child, 0, sizeof **child);
        if (*child == NULL) break;
        path[d + 1] = *child;
    }
    if (d == len) path[d]->hop = hop;
    prune(t, path, addr, d);
    return d == len;
}

static uint32_t match(const struct tree *t, uint32_t addr)
{
    uint32_t hop = 0;
    const struct node *n = &t->root;
    for (unsigned d = 0; n != NULL; d++) {
        if (n->hop != 0) hop = n->hop;
        n = d < 32 ? n->child[bit_at(addr, d)] : NULL;
    }
    return hop;
}

#define ROUTES 64u

struct prefix {
    uint32_t addr, hop;
    unsigned len;
};

static uint32_t naive_match(const struct prefix *r, uint32_t addr)
{
    const struct prefix *best = NULL;
    for (unsigned i = 0; i < ROUTES; i++) {
        uint32_t mask = r[i].len == 0 ? 0 : ~0u << (32 - r[i].len);
        if (r[i].hop != 0 && ((addr ^ r[i].addr) & mask) == 0 && (best == NULL || r[i].len > best->len))
            best = &r[i];
    }
    return best != NULL ? best->hop : 0;
}

/* Few bits vary near the top, so that prefixes lie in one another. False: another route has this one. */
static bool new_prefix(struct weir_sim *sim, const struct prefix *all, struct prefix *r)
{
    r->len = 4 + test_below(sim, 29);
    r->addr = (test_u32(sim) & 0x500fffffu) & (~0u << (32 - r->len));
    for (unsigned i = 0; i < ROUTES; i++)
        if (&all[i] != r && all[i].hop != 0 && all[i].len == r->len && all[i].addr == r->addr) return false;
    return true;
}

static void a_routing_tree_finds_the_longest_prefix(void **state)
{
    (void)state;
    static struct tree t;
    struct prefix routes[ROUTES] = {{0}};
    struct weir_sim sim = test_seed("pool_uses_test routes");
    taken = 0;
    unsigned refused = 0;
    open_pool(&t.pool, 3, "routes", sizeof(struct node));
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = test_below(&sim, ROUTES);
        struct prefix *r = &routes[i];
        if (r->hop != 0) {
            assert_true(route(&t, r->addr, r->len, 0));
            r->hop = 0;
        } else if (new_prefix(&sim, routes, r)) {
            if (route(&t, r->addr, r->len, i + 1))
                r->hop = i + 1;
            else
                refused++;
        }
        uint32_t addr = routes[test_below(&sim, ROUTES)].addr ^ (1u << test_below(&sim, 32));
        assert_int_equal(match(&t, addr), naive_match(routes, addr));
        if (test_below(&sim, 50) == 0) (void)weir_pool_trim(&t.pool);
    }
    assert_true(refused > 0); /* the bound was met, and each time nothing was left half-way */
    for (unsigned i = 0; i < ROUTES; i++)
        if (routes[i].hop != 0) assert_true(route(&t, routes[i].addr, routes[i].len, 0));
    assert_int_equal(weir_pool_check(&t.pool), 0);
    assert_int_equal(weir_pool_close(&t.pool), 0);
    assert_int_equal(taken, 0);
}

/* Capacity is traded within fixed bytes: fewer VLANs, more routes. */
static void vlans_make_room_for_routes(void **state)
{
    (void)state;
    static struct vlans v;
    static struct tree t;
    taken = 0;
    open_pool(&v.pool, 0, "vlans", sizeof(struct vlan));
    open_pool(&t.pool, 3, "routes", sizeof(struct node));
    uint32_t vlans = 0;
    for (struct vlan *one; (one = weir_pool_get(&v.pool)) != NULL; vlans++) {
        *one = (struct vlan){.id = (uint16_t)vlans, .ports = 3, .next = v.first};
        v.first = one;
    }
    assert_int_equal(vlans, BLOCKS * (BLOCK / sizeof(struct vlan)));
    assert_false(route(&t, 0x0a000000, 8, 1));
    assert_int_equal(weir_pool_why(&t.pool), WEIR_WHY_SOURCE);
    for (uint32_t n = 0; n < vlans / 2; n++) {
        struct vlan *one = v.first;
        v.first = one->next;
        assert_int_equal(weir_pool_put(&v.pool, one), 0);
    }
    assert_int_equal(weir_pool_trim(&v.pool), BLOCKS / 2);
    assert_true(route(&t, 0x0a000000, 8, 1));
    assert_int_equal(match(&t, 0x0a010203), 1);
    assert_true(route(&t, 0x0a000000, 8, 0));
    (void)weir_pool_clear(&v.pool);
    assert_int_equal(weir_pool_close(&v.pool), 0);
    assert_int_equal(weir_pool_close(&t.pool), 0);
    assert_int_equal(taken, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_switch_learns_and_forgets),
        cmocka_unit_test(a_routing_tree_finds_the_longest_prefix),
        cmocka_unit_test(vlans_make_room_for_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
