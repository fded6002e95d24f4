/* Tests of pools, case by case: every error, static pools, growth, locks, hooks, overwritten links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bits.h"
#include "mem/pool_rig.h"

struct conn {
    uint64_t id;
    char name[20];
};

WEIR_POOL_STATIC(conns, struct conn, 10);
WEIR_POOL_STATIC_BARE(bytes_pool, char, 5);

static struct weir_pool_info info_of(const struct weir_pool *p)
{
    struct weir_pool_info info;
    weir_pool_info(p, &info);
    return info;
}

/* ---- static ---- */

static void a_static_pool_is_ready(void **state)
{
    (void)state;
    void *cell[10];
    assert_int_equal(weir_pool_check(&conns), 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_non_null(cell[i] = weir_pool_get(&conns));
        assert_int_equal((uintptr_t)cell[i] % _Alignof(struct conn), 0);
        memset(cell[i], (int)i, sizeof(struct conn));
    }
    assert_null(weir_pool_get(&conns));
    assert_int_equal(weir_pool_why(&conns), WEIR_WHY_FULL);
    assert_int_equal(weir_pool_grow(&conns, 1), WEIR_ENOTSUP);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(*(uint8_t *)cell[i], i);
    assert_int_equal(weir_pool_put(&conns, (char *)cell[3] + 1), WEIR_EINTERIOR);
    assert_int_equal(weir_pool_put(&conns, &state), WEIR_EFOREIGN);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(weir_pool_put(&conns, cell[i]), 0);
    assert_int_equal(weir_pool_put(&conns, cell[3]), WEIR_EFREE);
    struct weir_pool_info info = info_of(&conns);
    assert_string_equal(info.name, "conns");
    assert_int_equal(info.cells, 10);
    assert_int_equal(info.cell_bytes, 32);
    assert_int_equal(info.stat.allocs, 10);
    assert_int_equal(info.stat.failures, 1);
    assert_int_equal(info.stat.bad_frees, 3);
    assert_int_equal(info.stat.peak, 10);
    assert_int_equal(weir_pool_check(&conns), 0);
}

static void bare_calls_keep_the_counts(void **state)
{
    (void)state;
    void *cell[5];
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 5; i++) /* mixed with the others */
            assert_non_null(cell[i] = i % 2 ? weir_pool_get(&bytes_pool) : weir_pool_get_bare(&bytes_pool));
        assert_null(weir_pool_get_bare(&bytes_pool));
        assert_int_equal(weir_pool_check(&bytes_pool), 0);
        for (unsigned i = 0; i < 5; i++)
            if (i % 2 == round % 2)
                weir_pool_put_bare(&bytes_pool, cell[i]);
            else
                assert_int_equal(weir_pool_put(&bytes_pool, cell[i]), 0);
    }
    struct weir_pool_info info = info_of(&bytes_pool);
    assert_int_equal(info.stat.allocs, 15);
    assert_int_equal(info.stat.frees, 15);
    assert_int_equal(info.stat.peak, 5);
    assert_int_equal(info.stat.failures, 3);
    assert_int_equal(weir_pool_walk(&bytes_pool, NULL, NULL), WEIR_ENOTSUP);
}

/* ---- opening ---- */

static void wrong_configurations_are_refused(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    const struct weir_pool_conf good = {.cell_bytes = 8, .cells_per_block = 4, .max_blocks = 1, .level = 1};
    struct weir_pool_conf bad[14];
    for (unsigned i = 0; i < 14; i++)
        bad[i] = good;
    bad[0].cell_bytes = 0;
    bad[1].cell_bytes = (1u << 24) + 1;
    bad[2].align_bytes = 3;
    bad[3].align_bytes = 1u << 17;
    bad[4].cells_per_block = 0;
    bad[5].max_blocks = 0;
    bad[6].max_blocks = WEIR_POOL_BLOCKS_MAX + 1;
    bad[7].level = 3;
    bad[8].auto_trim = 2;
    bad[9].auto_grow_blocks = 1; /* without a source */
    bad[10].hook_events = WEIR_POOL_GET;
    bad[11].cells_per_block = WEIR_POOL_CELLS_MAX; /* times 8: 8 GiB */
    bad[12].source.take = rig_take;
    bad[13].max_blocks = WEIR_POOL_BLOCKS_MAX, bad[13].cells_per_block = 1u << 20;
    uintptr_t mem[64];
    struct weir_pool p;
    for (unsigned i = 0; i < 14; i++) {
        assert_int_equal(weir_pool_bytes(&bad[i], 0), 0);
        assert_int_equal(weir_pool_open(&p, &bad[i], mem, sizeof mem), WEIR_EINVAL);
    }
    assert_int_equal(weir_pool_bytes(NULL, 0), 0);
    assert_int_equal(weir_pool_bytes(&good, SIZE_MAX / 4), 0);
    assert_int_equal(weir_pool_open(&p, &good, (char *)mem + 1, 32), WEIR_EINVAL);
    assert_int_equal(weir_pool_open(&p, &good, mem, weir_pool_bytes(&good, 0) - 1), WEIR_EINVAL);
    struct weir_pool_conf locked = good;
    locked.lock.kind = WEIR_LOCK_MASK;
    assert_int_equal(weir_pool_open(&p, &locked, mem, sizeof mem), WEIR_ENOTSUP);
    locked.lock.kind = WEIR_LOCK_HOOK;
    assert_int_equal(weir_pool_open(&p, &locked, mem, sizeof mem), WEIR_EINVAL);
    assert_int_equal(rig.takes, 0);
}

#define CELL  24
#define ALIGN 16
#define COUNT 77
static _Alignas(ALIGN) uint8_t constant_memory[WEIR_POOL_BYTES(CELL, ALIGN, COUNT)];

static void the_constant_and_the_function_agree(void **state)
{
    (void)state;
    static const uint32_t aligns[] = {1, 4, 8, 16, 64};
    for (uint32_t cell = 1; cell < 100; cell += 7)
        for (unsigned a = 0; a < 5; a++)
            for (uint32_t n = 1; n < 200; n += 31) {
                struct weir_pool_conf c = {.cell_bytes = cell,
                                           .align_bytes = aligns[a],
                                           .cells_per_block = n,
                                           .max_blocks = 1,
                                           .level = 1};
                assert_int_equal(weir_pool_bytes(&c, n), WEIR_POOL_BYTES(cell, aligns[a], n));
            }
    struct weir_pool_conf c = {
        .cell_bytes = CELL, .align_bytes = ALIGN, .cells_per_block = COUNT, .max_blocks = 1, .level = 1};
    struct weir_pool p;
    assert_int_equal(weir_pool_open(&p, &c, constant_memory, sizeof constant_memory), 0);
    assert_int_equal(info_of(&p).cells, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        assert_non_null(weir_pool_get(&p));
    assert_null(weir_pool_get(&p));
    assert_int_equal(weir_pool_clear(&p), COUNT);
    assert_int_equal(weir_pool_close(&p), 0);
}

static void a_closed_pool_says_so(void **state)
{
    (void)state;
    uintptr_t mem[16] = {0};
    struct weir_pool_conf c = {.cell_bytes = 8, .cells_per_block = 8, .max_blocks = 1, .level = 1};
    struct weir_pool p;
    assert_int_equal(weir_pool_open(&p, &c, mem, sizeof mem), 0);
    void *cell = weir_pool_get(&p), *out[2];
    assert_non_null(cell);
    assert_int_equal(weir_pool_close(&p), WEIR_EBUSY);
    assert_int_equal(weir_pool_put(&p, cell), 0);
    assert_int_equal(weir_pool_close(&p), 0);
    assert_null(weir_pool_get(&p));
    assert_int_equal(weir_pool_why(&p), WEIR_WHY_STALE);
    assert_int_equal(weir_pool_put(&p, cell), WEIR_ESTALE);
    assert_int_equal(weir_pool_close(&p), WEIR_ESTALE);
    assert_int_equal(weir_pool_add(&p, mem, sizeof mem), WEIR_ESTALE);
    assert_int_equal(weir_pool_grow(&p, 1), WEIR_ESTALE);
    assert_int_equal(weir_pool_trim(&p), WEIR_ESTALE);
    assert_int_equal(weir_pool_clear(&p), WEIR_ESTALE);
    assert_int_equal(weir_pool_usable(&p, cell), WEIR_ESTALE);
    assert_int_equal(weir_pool_walk(&p, NULL, NULL), WEIR_ESTALE);
    assert_int_equal(weir_pool_get_many(&p, out, 2), 0);
    assert_int_equal(weir_pool_put_many(&p, out, 0), 0);
    assert_int_equal(weir_pool_check(&p), 0);
    weir_pool_peak_reset(&p);
    assert_int_equal(info_of(&p).stat.configured_bytes, 0);
}

/* ---- memory of both kinds ---- */

static _Alignas(4096) uint8_t arena[16384];
static uintptr_t tables[512];

static struct weir_pool_conf many(struct pool_rig *rig, uint32_t blocks)
{
    return (struct weir_pool_conf){.name = "many",
                                   .cell_bytes = 64,
                                   .cells_per_block = 16,
                                   .max_blocks = blocks,
                                   .level = 1,
                                   .source = rig_source(rig)};
}

static void open_many(struct weir_pool *p, const struct weir_pool_conf *c)
{
    assert_true(weir_pool_bytes(c, 0) <= sizeof tables);
    assert_int_equal(weir_pool_open(p, c, tables, weir_pool_bytes(c, 0)), 0);
}

static void memory_that_does_not_fit_is_refused_whole(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 3);
    struct weir_pool p;
    open_many(&p, &c);
    assert_int_equal(weir_pool_add(&p, NULL, 1024), WEIR_EINVAL);
    assert_int_equal(weir_pool_add(&p, arena, 63), WEIR_EINVAL);
    assert_int_equal(weir_pool_add(&p, arena + 1, 70), WEIR_EINVAL); /* 64 from the next multiple of 8 on */
    assert_int_equal(weir_pool_add(&p, arena, SIZE_MAX), WEIR_EINVAL);
    assert_int_equal(weir_pool_add(&p, arena, 4 * 1024), WEIR_EMFILE); /* four blocks */
    assert_int_equal(weir_pool_why(&p), WEIR_WHY_LIMIT);
    assert_int_equal(info_of(&p).cells, 0);
    assert_int_equal(weir_pool_check(&p), 0);
    assert_int_equal(weir_pool_add(&p, arena + 512, 2048), 32); /* not aligned to 1,024: three blocks */
    assert_int_equal(info_of(&p).blocks, 3);
    assert_int_equal(weir_pool_add(&p, arena + 2000, 1024), WEIR_EINVAL); /* overlaps */
    assert_int_equal(weir_pool_grow(&p, 1), WEIR_EMFILE);
    assert_int_equal(rig.takes, 0);
    assert_int_equal(weir_pool_close(&p), 0);
    assert_int_equal(rig.gives, 0); /* the caller's memory is left alone */
}

static void too_many_areas_in_one_stretch_are_refused(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 20);
    struct weir_pool p;
    open_many(&p, &c);
    for (unsigned i = 0; i < WEIR_POOL_CHAIN_MAX; i++)
        assert_int_equal(weir_pool_add(&p, arena + 128 * i, 64), 1);
    assert_int_equal(weir_pool_add(&p, arena + 1024 - 64, 1024), WEIR_EMFILE);
    assert_int_equal(info_of(&p).blocks, WEIR_POOL_CHAIN_MAX);
    assert_int_equal(info_of(&p).chain_longest, WEIR_POOL_CHAIN_MAX);
    assert_int_equal(weir_pool_check(&p), 0);
    void *cell[WEIR_POOL_CHAIN_MAX];
    for (unsigned i = 0; i < WEIR_POOL_CHAIN_MAX; i++)
        assert_non_null(cell[i] = weir_pool_get(&p));
    assert_null(weir_pool_get(&p));
    assert_int_equal(weir_pool_put(&p, arena + 64), WEIR_EFOREIGN);
    for (unsigned i = 0; i < WEIR_POOL_CHAIN_MAX; i++)
        assert_int_equal(weir_pool_put(&p, cell[i]), 0);
    assert_int_equal(weir_pool_close(&p), 0);
}

/* The last cell of a stretch reaches into the next: its inside is interior, not foreign. */
static void the_inside_of_a_cell_across_stretches_is_interior(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 4);
    struct weir_pool p;
    open_many(&p, &c);
    assert_int_equal(weir_pool_add(&p, arena + 1024 - 8, 64), 1);
    assert_ptr_equal(weir_pool_get(&p), arena + 1024 - 8);
    for (unsigned i = 1; i < 64; i++)
        assert_int_equal(weir_pool_put(&p, arena + 1024 - 8 + i), WEIR_EINTERIOR);
    assert_int_equal(weir_pool_put(&p, arena + 1024 - 8 + 64), WEIR_EFOREIGN);
    assert_int_equal(weir_pool_put(&p, arena + 1024 - 9), WEIR_EFOREIGN);
    assert_int_equal(weir_pool_put(&p, arena + 1024 - 8), 0);
    assert_int_equal(weir_pool_put(&p, NULL), WEIR_EFOREIGN);
    assert_int_equal(weir_pool_put(&p, (void *)UINTPTR_MAX), WEIR_EFOREIGN);
    assert_int_equal(weir_pool_close(&p), 0);
}

static void a_mixed_pool_gives_back_the_sources_blocks_only(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 8);
    struct weir_pool p;
    void *cell[48];
    open_many(&p, &c);
    assert_int_equal(weir_pool_add(&p, arena, 1024), 16);
    assert_int_equal(weir_pool_grow(&p, 0), WEIR_EINVAL);
    assert_int_equal(weir_pool_grow(&p, 2), 2);
    for (unsigned i = 0; i < 48; i++) {
        assert_non_null(cell[i] = weir_pool_get(&p));
        assert_int_equal((uint8_t *)cell[i] >= arena && (uint8_t *)cell[i] < arena + 1024, i < 16);
    }
    assert_null(weir_pool_get(&p));
    assert_int_equal(weir_pool_trim(&p), 0);
    assert_int_equal(weir_pool_put_many(&p, cell, 48), 0);
    assert_int_equal(info_of(&p).blocks_empty, 2);
    assert_int_equal(weir_pool_trim(&p), 2);
    assert_int_equal(rig.out, 0);
    assert_int_equal(info_of(&p).cells, 16);
    assert_int_equal(info_of(&p).saved, 48 - 2);
    assert_int_equal(weir_pool_close(&p), 0);
    assert_int_equal(rig.wrong, 0);
}

static void automatic_growth_has_its_own_bound(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 8);
    c.auto_grow_blocks = 2;
    c.auto_trim = 1;
    struct weir_pool p;
    void *cell[64];
    open_many(&p, &c);
    assert_int_equal(weir_pool_get_many(&p, cell, 64), 32);
    assert_int_equal(weir_pool_why(&p), WEIR_WHY_LIMIT);
    assert_int_equal(weir_pool_grow(&p, 1), 1); /* by hand there may be more */
    assert_int_equal(weir_pool_get_many(&p, cell + 32, 32), 16);
    assert_int_equal(weir_pool_put_many(&p, cell, 48), 0);
    assert_true(rig.out <= 1); /* keep_blocks is 0; gets may still be taking from one */
    assert_int_equal(weir_pool_get_many(&p, cell, 32), 32); /* the bound is on those there are */
    assert_int_equal(weir_pool_put_many(&p, cell, 32), 0);
    rig.dry = true;
    assert_true(weir_pool_get_many(&p, cell, 64) <= 16);
    assert_int_equal(weir_pool_why(&p), WEIR_WHY_SOURCE);
    assert_int_equal(rig.wrong, 0);
    (void)weir_pool_clear(&p);
    assert_int_equal(weir_pool_close(&p), 0);
    assert_int_equal(rig.out, 0);
}

/* Every take fails in its turn; nothing is lost and the rest goes on. */
static void a_source_may_fail_at_any_take(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 6; n++) {
        struct pool_rig rig = {.fail_at = n};
        struct weir_pool_conf c = many(&rig, 6);
        c.auto_grow_blocks = 6;
        struct weir_pool p;
        void *cell[96];
        uint32_t got = 0, failed = 0;
        open_many(&p, &c);
        while (got < 96) {
            cell[got] = weir_pool_get(&p);
            if (cell[got] != NULL) {
                got++;
                continue;
            }
            assert_int_equal(weir_pool_why(&p), WEIR_WHY_SOURCE);
            assert_int_equal(got, (n - 1) * 16);
            assert_int_equal(weir_pool_check(&p), 0);
            failed++;
        }
        assert_int_equal(failed, 1);
        assert_int_equal(info_of(&p).stat.failures, 1);
        assert_int_equal(rig.takes, 6);
        assert_int_equal(weir_pool_put_many(&p, cell, 96), 0);
        assert_int_equal(weir_pool_close(&p), 0);
        assert_int_equal(rig.out, 0);
    }
}

static void *take_askew(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    (void)bytes;
    (void)align;
    return arena + 8;
}

static void give_askew(void *ctx, void *block, size_t bytes)
{
    assert_ptr_equal(block, arena + 8);
    assert_int_equal(bytes, 1024);
    ++*(unsigned *)ctx;
}

static void a_block_that_is_not_aligned_goes_back(void **state)
{
    (void)state;
    unsigned given = 0;
    struct weir_pool_conf c = many(NULL, 4);
    c.source = (struct weir_source){&given, take_askew, give_askew};
    struct weir_pool p;
    open_many(&p, &c);
    assert_int_equal(weir_pool_grow(&p, 1), WEIR_EINVAL);
    assert_int_equal(given, 1);
    assert_int_equal(info_of(&p).cells, 0);
    assert_int_equal(weir_pool_close(&p), 0);
}

static void one_block_grows_and_goes_back(void **state)
{
    (void)state;
    for (unsigned level = 0; level <= 2; level++) {
        struct pool_rig rig = {0};
        struct weir_pool_conf c = many(&rig, 1);
        c.level = level;
        c.cells_per_block = 10;
        c.cell_bytes = 10;
        c.auto_grow_blocks = 1;
        c.auto_trim = 1;
        struct weir_pool p;
        open_many(&p, &c);
        for (unsigned round = 0; round < 3; round++) {
            void *cell[11];
            assert_int_equal(weir_pool_get_many(&p, cell, 11), 10);
            assert_int_equal(rig.out, 1);
            assert_int_equal(weir_pool_put_many(&p, cell, 10), 0);
            assert_int_equal(rig.out, 0);
        }
        assert_int_equal(weir_pool_check(&p), 0);
        assert_int_equal(weir_pool_close(&p), 0);
        assert_int_equal(rig.wrong, 0);
    }
}

/* ---- bulk ---- */

/* The same operations in bulk and one by one leave two pools the same. */
static void bulk_equals_singles(void **state)
{
    (void)state;
    static uintptr_t other[512];
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 6);
    c.low_water = 5;
    struct weir_pool a, b;
    open_many(&a, &c);
    assert_int_equal(weir_pool_open(&b, &c, other, weir_pool_bytes(&c, 0)), 0);
    assert_int_equal(weir_pool_add(&a, arena, 4096), 64);
    assert_int_equal(weir_pool_add(&b, arena + 8192, 4096), 64);
    void *many_cells[80] = {NULL}, *cell[80] = {NULL};
    uint32_t n = weir_pool_get_many(&a, many_cells, 80), k = 0;
    while (k < 80 && (cell[k] = weir_pool_get(&b)) != NULL)
        k++;
    assert_int_equal(n, 64);
    assert_int_equal(k, 64);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal((uint8_t *)many_cells[i] - arena, (uint8_t *)cell[i] - arena - 8192);
    many_cells[7] = many_cells[8]; /* put twice: refused once, the others go back */
    assert_int_equal(weir_pool_put_many(&a, many_cells, 64), WEIR_EFREE);
    cell[7] = cell[8];
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(weir_pool_put(&b, cell[i]), i == 8 ? WEIR_EFREE : 0);
    struct weir_pool_info x = info_of(&a), y = info_of(&b);
    assert_memory_equal(&x.stat, &y.stat, sizeof x.stat);
    assert_int_equal(x.stat.live, 1);
    assert_int_equal(x.stat.low_events, 1);
    assert_int_equal(weir_pool_check(&a), 0);
    assert_int_equal(weir_pool_clear(&a), 1);
    assert_int_equal(weir_pool_close(&a), 0);
}

/* ---- locks and hooks ---- */

static void the_lock_is_held_briefly_and_in_pairs(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 8);
    c.lock = rig_lock(&rig);
    c.auto_grow_blocks = 8;
    c.auto_trim = 1;
    struct weir_pool p;
    void *cell[128];
    open_many(&p, &c);
    unsigned before = rig.entered;
    assert_non_null(cell[0] = weir_pool_get(&p));
    assert_int_equal(rig.entered - before, 3); /* none, the new block, the cell */
    before = rig.entered;
    assert_non_null(cell[1] = weir_pool_get(&p));
    assert_int_equal(rig.entered - before, 1);
    assert_int_equal(weir_pool_get_many(&p, cell + 2, 126), 126);
    before = rig.entered;
    assert_int_equal(weir_pool_put_many(&p, cell, 128), 0);
    assert_true(rig.entered - before >= 128);
    before = rig.entered;
    assert_int_equal(weir_pool_put(&p, &rig), WEIR_EFOREIGN);
    assert_int_equal(rig.entered - before, 1);
    assert_int_equal(weir_pool_close(&p), 0);
    assert_int_equal(rig.entered, rig.left);
    assert_int_equal(rig.wrong, 0);
    assert_int_equal(rig.out, 0);
}

static void hooks_tell_what_happens(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 8);
    c.hook = rig_hook;
    c.hook_ctx = &rig;
    c.hook_events = 63;
    c.low_water = 4;
    struct weir_pool p;
    void *cell[32];
    open_many(&p, &c);
    assert_int_equal(weir_pool_grow(&p, 2), 2);
    assert_int_equal(weir_pool_get_many(&p, cell, 30), 30);
    assert_int_equal(weir_pool_put(&p, cell[0]), 0);
    assert_int_equal(weir_pool_put(&p, cell[0]), WEIR_EFREE);
    assert_int_equal(weir_pool_put_many(&p, cell + 1, 29), 0);
    assert_int_equal(weir_pool_trim(&p), 1); /* low_water keeps the other */
    assert_int_equal(rig.events[WEIR_POOL_GET], 30);
    assert_int_equal(rig.events[WEIR_POOL_PUT], 31);
    assert_int_equal(rig.events[WEIR_POOL_GROWN], 2);
    assert_int_equal(rig.events[WEIR_POOL_TRIM], 1);
    assert_int_equal(rig.events[WEIR_POOL_LOW], 1);
    assert_int_equal(rig.events[WEIR_POOL_BAD], 1);
    assert_int_equal(weir_pool_close(&p), 0);
}

/* Each time that free cells fall below the mark counts, and no get below it. */
static void low_water_counts_crossings(void **state)
{
    (void)state;
    uintptr_t mem[24] = {0};
    struct weir_pool_conf c = {
        .cell_bytes = 8, .cells_per_block = 16, .max_blocks = 1, .level = 1, .low_water = 4};
    struct weir_pool p;
    assert_int_equal(weir_pool_open(&p, &c, mem, weir_pool_bytes(&c, 16)), 0);
    void *cell[16];
    assert_int_equal(weir_pool_get_many(&p, cell, 12), 12);
    assert_int_equal(info_of(&p).stat.low_events, 0);
    for (unsigned round = 1; round <= 3; round++) {
        assert_int_equal(weir_pool_get_many(&p, cell + 12, 4), 4);
        assert_int_equal(info_of(&p).stat.low_events, round);
        assert_int_equal(weir_pool_put_many(&p, cell + 12, 4), 0);
        weir_pool_peak_reset(&p);
        assert_int_equal(info_of(&p).stat.peak, 12);
    }
    assert_int_equal(weir_pool_check(&p), 0);
}

/* ---- overwritten memory ---- */

static void links_that_were_overwritten_are_made_again(void **state)
{
    (void)state;
    static const uintptr_t junk[] = {0, 1, 0x4141414141414141u & UINTPTR_MAX, UINTPTR_MAX};
    for (unsigned blocks = 1; blocks <= 4; blocks += 3)
        for (unsigned j = 0; j < 5; j++) {
            struct pool_rig rig = {0};
            struct weir_pool_conf c = many(&rig, blocks);
            c.hook = rig_hook;
            c.hook_ctx = &rig;
            c.hook_events = WEIR_POOL_BAD;
            struct weir_pool p;
            void *cell[16];
            open_many(&p, &c);
            assert_int_equal(weir_pool_add(&p, arena, 1024), 16);
            assert_int_equal(weir_pool_get_many(&p, cell, 16), 16);
            for (unsigned i = 0; i < 8; i++)
                assert_int_equal(weir_pool_put(&p, cell[i]), 0);
            uintptr_t value = j < 4 ? junk[j] : (uintptr_t)cell[12]; /* or a cell in use */
            memcpy(cell[7], &value, sizeof value);                   /* used after it was put */
            assert_true(weir_pool_check(&p) != 0);
            for (unsigned i = 0; i < 8; i++) {
                void *again = weir_pool_get(&p);
                assert_true((uint8_t *)again >= arena && (uint8_t *)again < arena + 512);
            }
            assert_null(weir_pool_get(&p));
            assert_int_equal(info_of(&p).corrupt, 1);
            assert_int_equal(rig.events[WEIR_POOL_BAD], 1);
            assert_int_equal(weir_pool_check(&p), 0);
            assert_int_equal(weir_pool_clear(&p), 16);
            assert_int_equal(weir_pool_close(&p), 0);
        }
}

static void level_two_sees_writes_behind_the_link(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 4);
    c.level = 2;
    struct weir_pool p;
    open_many(&p, &c);
    assert_int_equal(weir_pool_add(&p, arena, 1024), 16);
    uint8_t *cell = weir_pool_get(&p);
    assert_non_null(cell);
    assert_int_equal(weir_pool_put(&p, cell), 0);
    assert_ptr_equal(weir_pool_get(&p), cell);
    assert_int_equal(info_of(&p).corrupt, 0);
    assert_int_equal(weir_pool_put(&p, cell), 0);
    cell[63] = 0;
    assert_ptr_equal(weir_pool_get(&p), cell);
    assert_int_equal(info_of(&p).corrupt, 1);
    assert_int_equal(weir_pool_put(&p, cell), 0);
    assert_int_equal(weir_pool_close(&p), 0);
}

static void counts_that_disagree_with_the_bits_are_told(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 4);
    struct weir_pool p;
    open_many(&p, &c);
    assert_int_equal(weir_pool_add(&p, arena, 1024), 16);
    void *cell = weir_pool_get(&p);
    assert_non_null(cell);
    p.now->more = -1; /* as a wild write would */
    assert_int_equal(weir_pool_put(&p, cell), WEIR_ECORRUPT);
    p.now->more = 0;
    assert_int_equal(weir_pool_put(&p, cell), 0);
    assert_int_equal(weir_pool_close(&p), 0);
}

/* ---- laziness and walking ---- */

static void memory_is_touched_as_late_as_possible(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 4);
    struct weir_pool p;
    memset(arena, 0x5a, sizeof arena);
    open_many(&p, &c);
    assert_int_equal(weir_pool_add(&p, arena, 2048), 32);
    assert_ptr_equal(weir_pool_get(&p), arena);
    assert_ptr_equal(weir_pool_get(&p), arena + 64);
    assert_int_equal(weir_pool_put(&p, arena), 0);
    assert_ptr_equal(weir_pool_get(&p), arena); /* a used one before an untouched one */
    assert_int_equal(weir_pool_put(&p, arena + 64), 0);
    for (unsigned i = 0; i < 2048; i++)
        if (i >= 64 + sizeof(void *)) assert_int_equal(arena[i], 0x5a);
    assert_int_equal(weir_pool_put(&p, arena + 256), WEIR_EFREE);
    assert_int_equal(weir_pool_clear(&p), 1);
    assert_int_equal(weir_pool_close(&p), 0);
}

static int stop_at_third(void *arg, const struct weir_block *b)
{
    assert_int_equal(b->bytes, 64);
    return ++*(int *)arg == 3 ? 77 : 0;
}

static void a_walk_can_be_stopped(void **state)
{
    (void)state;
    struct pool_rig rig = {0};
    struct weir_pool_conf c = many(&rig, 4);
    struct weir_pool p;
    int seen = 0;
    open_many(&p, &c);
    assert_int_equal(weir_pool_add(&p, arena, 1024), 16);
    assert_int_equal(weir_pool_walk(&p, stop_at_third, &seen), 77);
    assert_int_equal(seen, 3);
    assert_int_equal(weir_pool_close(&p), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_static_pool_is_ready),
        cmocka_unit_test(bare_calls_keep_the_counts),
        cmocka_unit_test(wrong_configurations_are_refused),
        cmocka_unit_test(the_constant_and_the_function_agree),
        cmocka_unit_test(a_closed_pool_says_so),
        cmocka_unit_test(memory_that_does_not_fit_is_refused_whole),
        cmocka_unit_test(too_many_areas_in_one_stretch_are_refused),
        cmocka_unit_test(the_inside_of_a_cell_across_stretches_is_interior),
        cmocka_unit_test(a_mixed_pool_gives_back_the_sources_blocks_only),
        cmocka_unit_test(automatic_growth_has_its_own_bound),
        cmocka_unit_test(a_source_may_fail_at_any_take),
        cmocka_unit_test(a_block_that_is_not_aligned_goes_back),
        cmocka_unit_test(one_block_grows_and_goes_back),
        cmocka_unit_test(bulk_equals_singles),
        cmocka_unit_test(the_lock_is_held_briefly_and_in_pairs),
        cmocka_unit_test(hooks_tell_what_happens),
        cmocka_unit_test(low_water_counts_crossings),
        cmocka_unit_test(links_that_were_overwritten_are_made_again),
        cmocka_unit_test(level_two_sees_writes_behind_the_link),
        cmocka_unit_test(counts_that_disagree_with_the_bits_are_told),
        cmocka_unit_test(memory_is_touched_as_late_as_possible),
        cmocka_unit_test(a_walk_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
