/* Properties of pools against a naive model: random geometries, levels, ways and operations. After each step the
 * counts are compared, and the pool's own invariants now and then. Prints its seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bits.h"
#include "base/test_seed.h"
#include "mem/pool_rig.h"

#define CELLS   4096
#define AREA    32768
#define BATCHES 40

struct model {
    struct weir_pool pool;
    struct weir_pool_conf conf;
    struct pool_rig rig;
    struct weir_sim sim;
    uint8_t *area;
    void *tables;
    uint8_t *cell[CELLS]; /* in use */
    uint8_t tag[CELLS];
    uint32_t live, stride;
    uint64_t allocs, frees, failures, bad, lows;
    uint32_t peak;
};

static void tag(struct model *m, uint32_t i)
{
    m->tag[i] = (uint8_t)test_u32(&m->sim);
    memset(m->cell[i], m->tag[i], m->conf.cell_bytes);
}

/* A new cell is aligned, overlaps none in use, and lies in memory that the pool was given. */
static void admit(struct model *m, void *cell)
{
    uint8_t *at = cell;
    assert_true(m->live < CELLS);
    assert_int_equal((uintptr_t)at % weir_max_u32(m->conf.align_bytes, sizeof(void *)), 0);
    for (uint32_t i = 0; i < m->live; i++)
        assert_true(at >= m->cell[i] + m->stride || at + m->stride <= m->cell[i]);
    bool inside = at >= m->area && at + m->stride <= m->area + AREA;
    for (unsigned i = 0; i < m->rig.out && !inside; i++) {
        const uint8_t *block = m->rig.lent[i];
        inside = at >= block && at + m->stride <= block + m->rig.bytes[i];
    }
    assert_true(inside);
    struct weir_pool_info info;
    weir_pool_info(&m->pool, &info);
    m->cell[m->live] = at;
    tag(m, m->live++);
    m->allocs++;
    m->peak = weir_max_u32(m->peak, m->live);
    uint32_t low = m->conf.low_water;
    if (low > 0 && info.cells >= low && m->live == info.cells - low + 1) m->lows++;
}

static void *forget(struct model *m, uint32_t i)
{
    void *cell = m->cell[i];
    for (uint32_t k = 0; k < m->conf.cell_bytes; k++)
        assert_int_equal(m->cell[i][k], m->tag[i]);
    m->live--;
    m->cell[i] = m->cell[m->live];
    m->tag[i] = m->tag[m->live];
    m->frees++;
    return cell;
}

static void compare(struct model *m)
{
    struct weir_pool_info info;
    weir_pool_info(&m->pool, &info);
    const struct weir_mem_stat *s = &info.stat;
    assert_int_equal(s->allocs, m->allocs);
    assert_int_equal(s->frees, m->frees);
    assert_int_equal(s->failures, m->failures);
    assert_int_equal(s->bad_frees, m->bad);
    assert_int_equal(s->live, m->live);
    assert_int_equal(s->peak, m->peak);
    assert_int_equal(s->live_bytes, (uint64_t)m->live * m->stride);
    assert_int_equal(s->peak_bytes, (uint64_t)m->peak * m->stride);
    assert_int_equal(s->asked_bytes, m->allocs * m->conf.cell_bytes);
    assert_int_equal(s->free_bytes, (uint64_t)(info.cells - m->live) * m->stride);
    assert_int_equal(s->configured_bytes - s->overhead_bytes, (uint64_t)info.cells * m->stride);
    assert_int_equal(s->source_takes, m->rig.takes);
    assert_int_equal(s->source_gives, m->rig.gives);
    assert_int_equal(s->low_events, m->lows);
    assert_int_equal(info.saved, m->allocs - weir_min_u32((uint32_t)m->allocs, m->rig.takes));
    assert_int_equal(info.blocks_grown, m->rig.out);
    assert_true(info.blocks <= m->conf.max_blocks && info.chain_longest <= WEIR_POOL_CHAIN_MAX);
    assert_int_equal(info.corrupt, 0);
    assert_int_equal(m->rig.wrong, 0);
    assert_int_equal(m->rig.entered, m->rig.left);
}

/* ---- operations ---- */

static void get_one(struct model *m)
{
    if (m->live == CELLS) return;
    struct weir_pool_info info;
    weir_pool_info(&m->pool, &info);
    void *cell = weir_pool_get(&m->pool);
    if (cell != NULL) {
        admit(m, cell);
        return;
    }
    assert_int_equal(info.cells, m->live); /* N cells hold N */
    m->failures++;
}

static void get_several(struct model *m)
{
    /* The model can't tell at which cell of a batch the pool grew, so when the mark moved. */
    if (m->conf.auto_grow_blocks > 0 && m->conf.low_water > 0) return;
    void *out[BATCHES];
    uint32_t n = weir_min_u32(1 + test_below(&m->sim, BATCHES), CELLS - m->live);
    uint32_t got = weir_pool_get_many(&m->pool, out, n);
    if (got < n) {
        struct weir_pool_info now;
        weir_pool_info(&m->pool, &now);
        assert_int_equal(now.stat.live, now.cells);
        m->failures++;
    }
    for (uint32_t i = 0; i < got; i++)
        admit(m, out[i]);
}

static void put_one(struct model *m)
{
    if (m->live == 0) return;
    assert_int_equal(weir_pool_put(&m->pool, forget(m, test_below(&m->sim, m->live))), 0);
}

static void put_several(struct model *m)
{
    void *cells[BATCHES];
    uint32_t n = weir_min_u32(1 + test_below(&m->sim, BATCHES), m->live);
    for (uint32_t i = 0; i < n; i++)
        cells[i] = forget(m, test_below(&m->sim, m->live));
    assert_int_equal(weir_pool_put_many(&m->pool, cells, n), 0);
}

static int err_of(struct model *m, uint8_t *at)
{
    for (uint32_t i = 0; i < m->live; i++)
        if (at > m->cell[i] && at < m->cell[i] + m->stride) return WEIR_EINTERIOR;
    return 0;
}

/* Wrong addresses are refused and change nothing. */
static void put_wrong(struct model *m)
{
    if (m->conf.level == 0 || m->live == 0) return;
    uint8_t *cell = m->cell[test_below(&m->sim, m->live)];
    uint8_t *inside = cell + 1 + test_below(&m->sim, m->stride - 1);
    assert_int_equal(weir_pool_put(&m->pool, inside), err_of(m, inside));
    assert_int_equal(weir_pool_put(&m->pool, m), WEIR_EFOREIGN);
    m->bad += 2;
    assert_int_equal(weir_pool_usable(&m->pool, cell), m->stride);
}

static void put_twice(struct model *m)
{
    if (m->conf.level == 0 || m->live == 0 || m->conf.auto_trim != 0) return;
    void *cell = forget(m, test_below(&m->sim, m->live));
    assert_int_equal(weir_pool_put(&m->pool, cell), 0);
    assert_int_equal(weir_pool_put(&m->pool, cell), WEIR_EFREE);
    assert_int_equal(weir_pool_usable(&m->pool, cell), WEIR_EFREE);
    m->bad++;
}

static void grow(struct model *m)
{
    if (test_below(&m->sim, 4) == 0) m->rig.fail_at = 1 + test_below(&m->sim, 2);
    struct weir_pool_info before, after;
    weir_pool_info(&m->pool, &before);
    uint32_t want = 1 + test_below(&m->sim, 3), left = m->conf.max_blocks - before.blocks;
    int n = weir_pool_grow(&m->pool, want);
    weir_pool_info(&m->pool, &after);
    if (n == WEIR_EMFILE) assert_int_equal(left, 0);
    if (n < 0) {
        assert_true(n == WEIR_EMFILE || n == WEIR_ENOMEM);
        assert_int_equal(weir_pool_why(&m->pool), n == WEIR_EMFILE ? WEIR_WHY_LIMIT : WEIR_WHY_SOURCE);
        n = 0;
    }
    assert_int_equal(after.cells - before.cells, (uint32_t)n * before.cells_per_block);
    m->rig.fail_at = 0;
}

static void trim(struct model *m)
{
    unsigned gives = m->rig.gives;
    int n = weir_pool_trim(&m->pool);
    assert_true(n >= 0 && m->rig.gives - gives == (unsigned)n);
    struct weir_pool_info info;
    weir_pool_info(&m->pool, &info);
    if (n > 0) assert_true(info.cells - m->live >= m->conf.low_water);
    if (m->conf.low_water == 0 && m->conf.max_blocks > 1)
        assert_true(info.blocks_empty <= m->conf.keep_blocks);
}

static int count_used(void *arg, const struct weir_block *b)
{
    struct {
        const void *last;
        uint32_t used;
    } *seen = arg;
    assert_true((const uint8_t *)b->start > (const uint8_t *)seen->last);
    seen->last = b->start;
    seen->used += b->state == WEIR_BLOCK_USED;
    return 0;
}

static void look(struct model *m)
{
    assert_int_equal(weir_pool_check(&m->pool), 0);
    struct {
        const void *last;
        uint32_t used;
    } seen = {NULL, 0};
    int err = weir_pool_walk(&m->pool, count_used, &seen);
    assert_int_equal(err, m->conf.level == 0 ? WEIR_ENOTSUP : 0);
    if (err == 0) assert_int_equal(seen.used, m->live);
    if (test_below(&m->sim, 3) != 0) return;
    weir_pool_peak_reset(&m->pool);
    m->peak = m->live;
}

static void step(struct model *m, bool filling)
{
    uint32_t dice = test_below(&m->sim, 100);
    if (dice < (filling ? 55u : 25u))
        get_one(m);
    else if (dice < 80)
        put_one(m);
    else if (dice < (filling ? 87u : 84u))
        get_several(m);
    else if (dice < 91)
        put_several(m);
    else if (dice < 93)
        put_wrong(m);
    else if (dice < 95)
        put_twice(m);
    else if (dice < 97)
        grow(m);
    else if (dice < 98)
        trim(m);
    else
        look(m);
    compare(m);
}

/* ---- geometries ---- */

static struct weir_pool_conf random_conf(struct model *m)
{
    static const uint32_t cells[] = {1, 4, 8, 12, 16, 24, 40, 64, 96, 100, 200};
    static const uint32_t aligns[] = {0, 1, 4, 8, 16, 32, 64};
    struct weir_sim *sim = &m->sim;
    struct weir_pool_conf c = {.name = "model",
                               .cell_bytes = cells[test_below(sim, 11)],
                               .align_bytes = aligns[test_below(sim, 7)],
                               .cells_per_block = 1 + test_below(sim, 70),
                               .max_blocks = test_below(sim, 3) == 0 ? 1 : 2 + test_below(sim, 60),
                               .level = test_below(sim, 4) == 0 ? 0 : 1 + test_below(sim, 8) / 7,
                               .keep_blocks = test_below(sim, 3),
                               .auto_trim = test_below(sim, 2),
                               .source = rig_source(&m->rig)};
    if (test_below(sim, 2) != 0) c.auto_grow_blocks = 1 + test_below(sim, c.max_blocks);
    if (test_below(sim, 3) == 0) c.low_water = 1 + test_below(sim, 30);
    if (test_below(sim, 4) == 0) c.lock = rig_lock(&m->rig);
    if (test_below(sim, 4) == 0) {
        c.hook = rig_hook;
        c.hook_ctx = &m->rig;
        c.hook_events = test_below(sim, 64);
    }
    return c;
}

/* Half of the pools begin with caller's memory at an odd place. */
static void begin(struct model *m)
{
    m->conf = random_conf(m);
    size_t bytes = weir_pool_bytes(&m->conf, 0);
    m->tables = malloc(bytes + 1);
    assert_non_null(m->tables);
    assert_int_equal(weir_pool_open(&m->pool, &m->conf, m->tables, bytes), 0);
    struct weir_pool_info info;
    weir_pool_info(&m->pool, &info);
    m->stride = info.cell_bytes;
    assert_true(m->stride >= m->conf.cell_bytes && info.cells_per_block >= m->conf.cells_per_block);
    if (test_below(&m->sim, 2) == 0) return;
    size_t skip = test_below(&m->sim, 300), most = test_below(&m->sim, AREA - 300);
    int n = weir_pool_add(&m->pool, m->area + skip, most);
    assert_true(n > 0 || n == WEIR_EINVAL || n == WEIR_EMFILE);
    uint32_t align = weir_max_u32(m->conf.align_bytes, sizeof(void *));
    size_t gap = weir_align_up((uintptr_t)m->area + skip, align) - ((uintptr_t)m->area + skip);
    size_t fit = most > gap ? (most - gap) / m->stride : 0;
    if (m->conf.max_blocks == 1) fit = weir_min_u32((uint32_t)fit, info.cells_per_block);
    if (n > 0) assert_int_equal(n, fit);
    if (n == WEIR_EINVAL) assert_int_equal(fit, 0);
}

static void end(struct model *m)
{
    if (m->live > 0) assert_int_equal(weir_pool_close(&m->pool), WEIR_EBUSY);
    if (test_below(&m->sim, 2) == 0) {
        assert_int_equal(weir_pool_clear(&m->pool), m->live);
        m->frees += m->live;
        m->live = 0;
        compare(m);
        assert_int_equal(weir_pool_check(&m->pool), 0);
    }
    while (m->live > 0)
        put_one(m);
    compare(m);
    assert_int_equal(weir_pool_check(&m->pool), 0);
    assert_int_equal(weir_pool_close(&m->pool), 0);
    assert_int_equal(m->rig.out, 0);
    assert_int_equal(m->rig.wrong, 0);
    free(m->tables);
}

static void random_use_matches_the_model(void **state)
{
    (void)state;
    static struct model m;
    struct weir_sim sim = test_seed("pool_model_test");
    for (unsigned round = 0; round < 400; round++) {
        m = (struct model){.sim = sim};
        m.area = malloc(AREA);
        assert_non_null(m.area);
        begin(&m);
        for (unsigned i = 0; i < 400; i++)
            step(&m, (i / 100) % 2 == 0);
        end(&m);
        free(m.area);
        sim = m.sim;
    }
}

/* Hysteresis: between two calls of the source in opposite directions the load changed by keep_blocks blocks. */
static void a_swing_below_the_reserve_never_calls_the_source(void **state)
{
    (void)state;
    struct weir_sim sim = test_seed("pool_model_test swing");
    for (unsigned round = 0; round < 60; round++) {
        struct pool_rig rig = {0};
        struct weir_pool_conf c = {.cell_bytes = 64,
                                   .cells_per_block = 16,
                                   .max_blocks = 64,
                                   .level = 1,
                                   .auto_grow_blocks = 64,
                                   .keep_blocks = 1 + test_below(&sim, 3),
                                   .auto_trim = 1,
                                   .source = rig_source(&rig)};
        void *tables = malloc(weir_pool_bytes(&c, 0)), *cell[1024] = {NULL};
        struct weir_pool p;
        assert_int_equal(weir_pool_open(&p, &c, tables, weir_pool_bytes(&c, 0)), 0);
        uint32_t live = 0, base = test_below(&sim, 500), swing = c.keep_blocks * 16;
        for (; live < base; live++)
            assert_non_null(cell[live] = weir_pool_get(&p));
        unsigned calls = 0, warm = 0, phase = 0;
        for (unsigned i = 0; i < 4000; i++) {
            if (i == 2 * swing) warm = 1;
            if (warm != 0 && calls == 0) calls = rig.takes + rig.gives + 1;
            bool up = phase < swing;
            phase = phase + 1 == 2 * swing ? 0 : phase + 1;
            if (up) {
                assert_non_null(cell[live] = weir_pool_get(&p));
                live++;
            } else {
                assert_int_equal(weir_pool_put(&p, cell[--live]), 0);
            }
        }
        assert_int_equal(rig.takes + rig.gives + 1, calls);
        while (live > 0)
            assert_int_equal(weir_pool_put(&p, cell[--live]), 0);
        assert_true(rig.out <= c.keep_blocks + 1);
        assert_int_equal(weir_pool_close(&p), 0);
        assert_int_equal(rig.out, 0);
        free(tables);
    }
}

/* The directory: blocks one behind the other never share a slot, whatever their number and place. */
static void neighbours_share_no_slot(void **state)
{
    (void)state;
    struct weir_sim sim = test_seed("pool_model_test slots");
    for (unsigned round = 0; round < 40; round++) {
        struct weir_pool_conf c = {.cell_bytes = 64,
                                   .cells_per_block = 1u << test_below(&sim, 3),
                                   .max_blocks = 2 + test_below(&sim, 2000)};
        void *tables = malloc(weir_pool_bytes(&c, 0));
        size_t span = (size_t)c.cells_per_block * 64, bytes = span * (c.max_blocks - 1);
        uint8_t *area = malloc(bytes);
        assert_non_null(area);
        struct weir_pool p;
        assert_int_equal(weir_pool_open(&p, &c, tables, weir_pool_bytes(&c, 0)), 0);
        assert_int_equal(weir_pool_add(&p, area, bytes), c.cells_per_block * (c.max_blocks - 1));
        struct weir_pool_info info;
        weir_pool_info(&p, &info);
        assert_int_equal(info.chain_longest, 1);
        assert_int_equal(weir_pool_check(&p), 0);
        assert_int_equal(weir_pool_close(&p), 0);
        free(area);
        free(tables);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_matches_the_model),
        cmocka_unit_test(a_swing_below_the_reserve_never_calls_the_source),
        cmocka_unit_test(neighbours_share_no_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
