/* bench_mem_schemes.c: Weir's schemes behind one pair of calls. */
#include "bench_mem_schemes.h"

#include <stdatomic.h>
#include <string.h>

#include "weir/part.h"
#include "weir/pool.h"
#include "weir/small.h"

#define SIZE_MAX_SERVED (1u << 30)

void *mem_hollow_get(size_t size)
{
    (void)size;
    return NULL;
}

void mem_hollow_put(void *block, size_t size)
{
    (void)block, (void)size;
#ifdef __x86_64__
    __asm__ volatile("xor %%eax, %%eax" ::: "eax"); /* with the return MEM_HOLLOW instructions */
#endif
}

const struct mem_scheme mem_empty = {
    .name = "empty", .what = "nothing", .get = mem_hollow_get, .put = mem_hollow_put};

/* ---- bare policies ---- */

static struct {
    void *state;
    void *(*alloc)(void *state, size_t size, size_t align, size_t *got);
    ptrdiff_t (*release)(void *state, void *block);
} bare;

bool mem_policy_open(const struct mem_scheme *s, void *base, size_t bytes, size_t cell)
{
    struct weir_policy_conf conf = {.area_bytes = bytes, .align_bytes = s->align_bytes, .level = s->level};
    (void)cell;
    size_t state = s->policy->state_bytes(&conf);
    if (state == 0 || state >= bytes || s->policy->init(base, &conf) != 0) return false;
    bare.state = base;
    bare.alloc = s->policy->alloc;
    bare.release = s->policy->release;
    return s->policy->add(base, (char *)base + state, bytes - state) == 0;
}

void *mem_policy_get(size_t size)
{
    size_t got;
    return bare.alloc(bare.state, size, 0, &got);
}

void mem_policy_put(void *block, size_t size)
{
    (void)size;
    (void)bare.release(bare.state, block);
}

void *mem_policy_get_aligned(size_t size, size_t align)
{
    size_t got;
    return bare.alloc(bare.state, size, align, &got);
}

static void *hollow_alloc(void *state, size_t size, size_t align, size_t *got)
{
    (void)state, (void)size, (void)align, (void)got;
    return NULL;
}

static ptrdiff_t hollow_release(void *state, void *block)
{
    (void)state, (void)block;
    return 0;
}

void mem_policy_hollow(void)
{
    bare.alloc = hollow_alloc;
    bare.release = hollow_release;
}

#define BARE(policy_, name_, what_, level_)                                                                  \
    {                                                                                                        \
        .name = name_, .what = what_, .policy = &policy_, .align_bytes = 8, .level = level_, .least = 1,     \
        .most = SIZE_MAX_SERVED, .open = mem_policy_open, .get = mem_policy_get, .put = mem_policy_put,      \
        .get_aligned = mem_policy_get_aligned, .hollow = mem_policy_hollow                                   \
    }

static const struct mem_scheme tlsf = BARE(weir_tlsf, "tlsf", "TLSF, no checks", 0);
static const struct mem_scheme tlsf_1 =
    BARE(weir_tlsf, "tlsf-level1", "TLSF, heads and neighbours checked", 1);
static const struct mem_scheme firstfit = BARE(weir_firstfit_list, "firstfit", "first fit, no checks", 0);

/* ---- partitions, with a lock hook that is a spin lock ---- */

static struct weir_part part;
static atomic_flag held = ATOMIC_FLAG_INIT;
static void *(*part_alloc)(struct weir_part *, size_t size, size_t align);
static int (*part_free)(struct weir_part *, void *block);

static uintptr_t spin_enter(void *ctx)
{
    (void)ctx;
    while (atomic_flag_test_and_set_explicit(&held, memory_order_acquire)) {
    }
    return 0;
}

static void spin_leave(void *ctx, uintptr_t before)
{
    (void)ctx, (void)before;
    atomic_flag_clear_explicit(&held, memory_order_release);
}

static bool part_scheme_open(const struct mem_scheme *s, void *base, size_t bytes, size_t cell)
{
    struct weir_part_conf conf = {.name = s->name,
                                  .policy = s->policy,
                                  .cut = {.align_bytes = s->align_bytes, .level = s->level},
                                  .lock = {WEIR_LOCK_HOOK, NULL, spin_enter, spin_leave}};
    (void)cell;
    part_alloc = weir_part_alloc;
    part_free = weir_part_free;
    memset(&part, 0, sizeof part);
    return weir_part_open(&part, &conf, base, bytes) == 0;
}

static void *part_get(size_t size)
{
    return part_alloc(&part, size, 0);
}

static void *part_get_aligned(size_t size, size_t align)
{
    return part_alloc(&part, size, align);
}

static void part_put(void *block, size_t size)
{
    (void)size;
    (void)part_free(&part, block);
}

static void *hollow_part_alloc(struct weir_part *p, size_t size, size_t align)
{
    (void)p, (void)size, (void)align;
    return NULL;
}

static int hollow_part_free(struct weir_part *p, void *block)
{
    (void)p, (void)block;
    return 0;
}

static void part_hollow(void)
{
    part_alloc = hollow_part_alloc;
    part_free = hollow_part_free;
}

#define PART(policy_, name_, what_)                                                                          \
    {                                                                                                        \
        .name = name_, .what = what_, .policy = &policy_, .align_bytes = 8, .level = 1, .least = 1,          \
        .most = SIZE_MAX_SERVED, .shared = true, .open = part_scheme_open, .get = part_get, .put = part_put, \
        .get_aligned = part_get_aligned, .hollow = part_hollow                                               \
    }

static const struct mem_scheme part_tlsf =
    PART(weir_tlsf, "part-tlsf", "a partition over TLSF: level 1, counts, lock");
static const struct mem_scheme part_firstfit =
    PART(weir_firstfit_list, "part-firstfit", "a partition over first fit: level 1, counts, lock");

/* ---- pools ---- */

#define BLOCK_CELLS 1024u
#define GROW_BYTES  4096u
#define KEEP_BLOCKS 2u

static struct weir_pool pool;
static void *(*pool_take)(struct weir_pool *);
static int (*pool_give)(struct weir_pool *, void *cell);

/* Cells of one block that fit into so many bytes with their tables. */
static uint32_t cells_in(struct weir_pool_conf *conf, size_t bytes)
{
    uint32_t fit = 0, step = 1u << 26;
    for (; step > 0; step /= 2) {
        conf->cells_per_block = fit + step;
        size_t needs = weir_pool_bytes(conf, fit + step);
        if (needs > 0 && needs <= bytes) fit += step;
    }
    return fit;
}

/* A source that gives the lowest of its free blocks; the blocks are as large as the first that was asked for. */
static struct {
    char *base;
    size_t bytes, block_bytes;
    uint32_t lowest; /* below it none is free */
    uint8_t taken[WEIR_POOL_BLOCKS_MAX];
} source;

static void *source_take(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    if (source.block_bytes == 0) {
        size_t skip = (size_t)(-(uintptr_t)source.base & (align - 1));
        source.base += skip;
        source.bytes -= skip;
        source.block_bytes = (bytes + align - 1) / align * align;
    }
    uint32_t n = (uint32_t)(source.bytes / source.block_bytes), i = source.lowest;
    while (i < n && i < WEIR_POOL_BLOCKS_MAX && source.taken[i])
        i++;
    if (i >= n || i == WEIR_POOL_BLOCKS_MAX) return NULL;
    source.taken[i] = 1;
    source.lowest = i + 1;
    return source.base + i * source.block_bytes;
}

static void source_give(void *ctx, void *block, size_t bytes)
{
    (void)ctx, (void)bytes;
    uint32_t i = (uint32_t)((size_t)((char *)block - source.base) / source.block_bytes);
    source.taken[i] = 0;
    if (i < source.lowest) source.lowest = i;
}

static bool open_pool(const struct mem_scheme *s, void *base, size_t bytes, size_t cell, bool blocks)
{
    struct weir_pool_conf conf = {
        .name = s->name, .cell_bytes = (uint32_t)cell, .max_blocks = 1, .level = s->level};
    if (s->shared) conf.lock = (struct weir_lock){WEIR_LOCK_HOOK, NULL, spin_enter, spin_leave};
    pool_take = weir_pool_get;
    pool_give = weir_pool_put;
    memset(&pool, 0, sizeof pool);
    if (blocks) {
        conf.cells_per_block = BLOCK_CELLS < bytes / cell / 4 ? BLOCK_CELLS : (uint32_t)(bytes / cell / 4);
        conf.max_blocks = (uint32_t)(bytes / cell / conf.cells_per_block) + 2;
    } else {
        conf.cells_per_block = cells_in(&conf, bytes);
        bytes = weir_pool_bytes(&conf, conf.cells_per_block);
    }
    return conf.cells_per_block > 0 && weir_pool_open(&pool, &conf, base, bytes) == 0;
}

static bool pool_open(const struct mem_scheme *s, void *base, size_t bytes, size_t cell)
{
    return open_pool(s, base, bytes, cell, false);
}

static bool blocks_open(const struct mem_scheme *s, void *base, size_t bytes, size_t cell)
{
    return open_pool(s, base, bytes, cell, true);
}

static bool grow_open(const struct mem_scheme *s, void *base, size_t bytes, size_t cell)
{
    struct weir_pool_conf conf = {.name = s->name,
                                  .cell_bytes = (uint32_t)cell,
                                  .cells_per_block = (uint32_t)(GROW_BYTES / cell),
                                  .max_blocks = (uint32_t)(bytes / GROW_BYTES) + 1,
                                  .level = s->level,
                                  .auto_grow_blocks = WEIR_POOL_BLOCKS_MAX,
                                  .auto_trim = 1,
                                  .keep_blocks = KEEP_BLOCKS,
                                  .source = {NULL, source_take, source_give}};
    if (conf.max_blocks > WEIR_POOL_BLOCKS_MAX) conf.max_blocks = WEIR_POOL_BLOCKS_MAX;
    size_t tables = weir_pool_bytes(&conf, 0);
    if (tables == 0 || tables >= bytes) return false;
    memset(&source, 0, sizeof source);
    source.base = (char *)base + tables;
    source.bytes = bytes - tables;
    pool_take = weir_pool_get;
    pool_give = weir_pool_put;
    memset(&pool, 0, sizeof pool);
    return weir_pool_open(&pool, &conf, base, tables) == 0;
}

static void *pool_get(size_t size)
{
    (void)size;
    return pool_take(&pool);
}

static void pool_put(void *block, size_t size)
{
    (void)size;
    (void)pool_give(&pool, block);
}

static void *hollow_take(struct weir_pool *p)
{
    (void)p;
    return NULL;
}

static int hollow_give(struct weir_pool *p, void *cell)
{
    (void)p, (void)cell;
    return 0;
}

static void pool_hollow(void)
{
    pool_take = hollow_take;
    pool_give = hollow_give;
}

/* The short ways, inlined: nothing is around them. */
static void *bare_get(size_t size)
{
    (void)size;
    return weir_pool_get_bare(&pool);
}

static void bare_put(void *block, size_t size)
{
    (void)size;
    weir_pool_put_bare(&pool, block);
}

#define POOL(name_, what_, level_, shared_, open_)                                                           \
    {                                                                                                        \
        .name = name_, .what = what_, .level = level_, .least = 1, .most = 64, .cells = true,                \
        .shared = shared_, .open = open_, .get = pool_get, .put = pool_put, .hollow = pool_hollow            \
    }

static const struct mem_scheme pool_one = POOL("pool", "one block, level 1, counts", 1, false, pool_open);
static const struct mem_scheme pool_blocks =
    POOL("pool-blocks", "many blocks, level 1, counts", 1, false, blocks_open);
static const struct mem_scheme pool_grow =
    POOL("pool-grow", "grows and trims by itself, level 1", 1, false, grow_open);
static const struct mem_scheme pool_locked =
    POOL("pool-locked", "one block, level 1, counts, lock", 1, true, pool_open);
static const struct mem_scheme pool_bare = {.name = "pool-bare",
                                            .what = "one block, no checks, inlined",
                                            .least = 1,
                                            .most = 64,
                                            .cells = true,
                                            .open = pool_open,
                                            .get = bare_get,
                                            .put = bare_put};

/* ---- small objects ---- */

#define SMALL_LARGEST 512u

static struct weir_small small;
static void *(*small_take)(struct weir_small *, size_t size);
static void *(*small_take_aligned)(struct weir_small *, size_t size, size_t align);
static ptrdiff_t (*small_give)(struct weir_small *, void *object);

static bool small_open(const struct mem_scheme *s, void *base, size_t bytes, size_t cell)
{
    struct weir_small_conf conf = {.largest = SMALL_LARGEST, .align_bytes = s->align_bytes};
    (void)cell;
    small_take = weir_small_alloc;
    small_take_aligned = weir_small_alloc_aligned;
    small_give = weir_small_free;
    memset(&small, 0, sizeof small);
    return weir_small_open(&small, &conf, base, bytes) == 0;
}

static void *small_get(size_t size)
{
    return small_take(&small, size);
}

static void *small_get_aligned(size_t size, size_t align)
{
    return small_take_aligned(&small, size, align);
}

static void small_put(void *block, size_t size)
{
    (void)size;
    (void)small_give(&small, block);
}

static void *hollow_small_take(struct weir_small *m, size_t size)
{
    (void)m, (void)size;
    return NULL;
}

static void *hollow_small_take_aligned(struct weir_small *m, size_t size, size_t align)
{
    (void)m, (void)size, (void)align;
    return NULL;
}

static ptrdiff_t hollow_small_give(struct weir_small *m, void *object)
{
    (void)m, (void)object;
    return 0;
}

static void small_hollow(void)
{
    small_take = hollow_small_take;
    small_take_aligned = hollow_small_take_aligned;
    small_give = hollow_small_give;
}

static const struct mem_scheme small_objects = {.name = "small",
                                                .what = "small objects without heads, checked, counts",
                                                .align_bytes = 8,
                                                .least = 1,
                                                .most = SMALL_LARGEST,
                                                .open = small_open,
                                                .get = small_get,
                                                .put = small_put,
                                                .get_aligned = small_get_aligned,
                                                .hollow = small_hollow};

/* ---- all of them ---- */

static const struct mem_scheme *const schemes[] = {&pool_bare,   &pool_one,      &pool_blocks,  &pool_grow,
                                                   &pool_locked, &small_objects, &tlsf,         &tlsf_1,
                                                   &part_tlsf,   &firstfit,      &part_firstfit};

const struct mem_scheme *mem_scheme_at(unsigned n)
{
    return n < sizeof schemes / sizeof schemes[0] ? schemes[n] : NULL;
}

const struct mem_scheme *mem_scheme_find(const char *name)
{
    for (unsigned i = 0; mem_scheme_at(i) != NULL; i++)
        if (strcmp(schemes[i]->name, name) == 0) return schemes[i];
    return NULL;
}
