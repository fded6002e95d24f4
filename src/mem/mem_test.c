/* Tests of mem.c, memrange.c and memwalk.c: plan equals open byte for byte, refusals, sealing, typed errors,
 * one free for every kind, and a walk over every byte once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/test_seed.h"
#include "mem/ownermap.h"

/* ---- a keeper that can be watched ---- */

struct toy {
    uint8_t *base[WEIR_MEM_AREAS_MAX + 1];
    size_t bytes[WEIR_MEM_AREAS_MAX + 1];
    unsigned opens, live;
    int answer;        /* of open */
    const void *freed; /* the last block */
    bool backwards;    /* walk lies */
};

static int toy_open(void *obj, void *base, size_t bytes)
{
    struct toy *t = obj;
    if (t->answer < 0) return t->answer;
    t->base[t->opens] = base;
    t->bytes[t->opens++] = bytes;
    memset(base, 0xa5, bytes);
    return 0;
}
static int toy_free(void *obj, void *block)
{
    struct toy *t = obj;
    t->freed = block;
    return ((uintptr_t)block & 15) == 0 ? 0 : WEIR_EINTERIOR;
}
static ptrdiff_t toy_usable(const void *obj, const void *block)
{
    (void)obj;
    (void)block;
    return 48;
}
static ptrdiff_t toy_resize(void *obj, void *block, size_t size)
{
    (void)obj;
    (void)block;
    return size <= 48 ? 48 : WEIR_ENOMEM;
}
/* Blocks of 48 bytes behind heads of 16, in use and free in turns. */
static int toy_walk(const void *obj, const void *base, size_t bytes, weir_walk_fn fn, void *arg)
{
    const struct toy *t = obj;
    for (size_t off = 16, i = 0; off + 48 <= bytes; off += 64, i++) {
        struct weir_block b = {(const uint8_t *)base + off, 48, i & 1 ? WEIR_BLOCK_FREE : WEIR_BLOCK_USED};
        if (t->backwards) b.start = (const uint8_t *)base + 16;
        int end = fn(arg, &b);
        if (end != 0) return end;
    }
    return 0;
}
static uint64_t toy_live(const void *obj)
{
    return ((const struct toy *)obj)->live;
}
static const struct weir_keeper toy_keeper = {"toy", toy_free, toy_usable, toy_resize, toy_walk, toy_live};
static const struct weir_keeper mute_keeper = {.name = "mute"};

/* ---- random configurations ---- */

#define ITEMS 10

struct world {
    struct weir_mem mem;
    struct weir_mem_conf conf;
    struct weir_mem_item item[ITEMS];
    struct toy toy[ITEMS + 1];
    struct weir_area area[WEIR_MEM_AREAS_MAX];
    void *block[WEIR_MEM_AREAS_MAX];
    unsigned areas;
};

static void random_item(struct weir_sim *sim, struct weir_mem_item *it, struct toy *t)
{
    memset(it, 0, sizeof *it);
    it->name = "item";
    it->what = "an item";
    it->count = 1 + test_below(sim, 40);
    it->each_bytes = 1 + test_below(sim, 400);
    it->align_bytes = test_below(sim, 3) ? 0 : 1u << test_below(sim, 13);
    it->kind = (enum weir_area_kind)test_below(sim, WEIR_AREA_KINDS);
    it->keeper = &toy_keeper;
    it->obj = t;
    it->open = toy_open;
}

static void random_conf(struct world *w, struct weir_sim *sim)
{
    memset(w, 0, sizeof *w);
    w->conf.granule_bytes = WEIR_MEM_GRANULE_MIN << test_below(sim, 7);
    w->conf.slabs = test_below(sim, 2) ? 255 : 300;
    w->conf.items = test_below(sim, ITEMS + 1);
    w->conf.item = w->item;
    w->conf.grow_bytes = test_below(sim, 2) ? test_below(sim, 20000) : 0;
    for (unsigned i = 0; i < w->conf.items; i++)
        random_item(sim, &w->item[i], &w->toy[i]);
    if (test_below(sim, 2)) random_item(sim, &w->conf.rest, &w->toy[ITEMS]);
}

static void *aligned_block(size_t align, size_t bytes)
{
    void *p = NULL;
    if (align < sizeof(void *)) align = sizeof(void *);
    assert_int_equal(posix_memalign(&p, align, bytes > 0 ? bytes : 1), 0);
    return p;
}

/* One area of total_bytes, or one a kind, each with `more` bytes beyond the plan. */
static void give_areas(struct world *w, const struct weir_plan *plan, bool by_kind, size_t more)
{
    w->areas = by_kind ? WEIR_AREA_KINDS : 1;
    for (unsigned i = 0; i < w->areas; i++) {
        uint64_t bytes = (by_kind ? plan->kind_bytes[i] : plan->total_bytes) + more;
        w->block[i] = aligned_block(plan->align_bytes, (size_t)bytes);
        w->area[i] = (struct weir_area){w->block[i], (size_t)bytes, (enum weir_area_kind)i};
    }
}

static void release_areas(struct world *w)
{
    for (unsigned i = 0; i < w->areas; i++)
        free(w->block[i]);
}

/* Every item lies where its kind's area is, aligned, disjoint (their filling is intact), and is the map's. */
static void check_items(struct world *w, bool by_kind)
{
    for (unsigned i = 0; i < w->conf.items; i++) {
        const struct weir_mem_item *it = &w->item[i];
        const struct toy *t = &w->toy[i];
        struct weir_holder h;
        assert_int_equal(t->opens, 1);
        assert_int_equal(t->bytes[0], it->count * it->each_bytes);
        uint32_t align = weir_max_u32(w->conf.granule_bytes, it->align_bytes);
        assert_int_equal((uintptr_t)t->base[0] & (align - 1), 0);
        const struct weir_area *a = &w->area[by_kind ? (unsigned)it->kind : 0];
        assert_true(t->base[0] >= (uint8_t *)a->base &&
                    t->base[0] + t->bytes[0] <= (uint8_t *)a->base + a->bytes);
        assert_int_equal(weir_mem_owner(&w->mem, t->base[0], &h), 0);
        assert_ptr_equal(h.obj, t);
        assert_int_equal(weir_mem_owner(&w->mem, t->base[0] + t->bytes[0] - 1, &h), 0);
        assert_ptr_equal(h.obj, t);
        for (size_t k = 0; k < t->bytes[0]; k++)
            assert_int_equal(t->base[0][k], 0xa5);
    }
}

static void plans_equal(const struct weir_mem_conf *conf, const struct weir_plan *plan)
{
    struct weir_plan again;
    assert_int_equal(weir_mem_plan(conf, &again), 0);
    assert_memory_equal(plan, &again, sizeof again);
    uint64_t sum = 0;
    for (unsigned i = 0; i < plan->rows; i++)
        sum += plan->row[i].bytes;
    assert_int_equal(sum, plan->total_bytes);
}

static uint64_t rest_bytes(const struct world *w)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < w->toy[ITEMS].opens; i++)
        sum += w->toy[ITEMS].bytes[i];
    return sum;
}

static void try_open(struct world *w, const struct weir_plan *plan, bool by_kind, size_t more)
{
    struct weir_mem_stat st;
    give_areas(w, plan, by_kind, more);
    assert_int_equal(weir_mem_open(&w->mem, w->area, w->areas, &w->conf), 0);
    assert_int_equal(weir_ownermap_check(&w->mem), 0);
    check_items(w, by_kind);
    weir_mem_info(&w->mem, &st);
    if (w->conf.rest.open) {
        assert_true(rest_bytes(w) >= w->conf.rest.count * w->conf.rest.each_bytes);
    } else {
        assert_true(st.free_bytes >= w->conf.grow_bytes);
    }
    assert_int_equal(weir_mem_close(&w->mem), 0);
    release_areas(w);
    memset(w->toy, 0, sizeof w->toy);
}

/* Exactly the plan's bytes open; a byte less in any area that is needed does not. */
static void plan_equals_open(void **state)
{
    (void)state;
    struct weir_sim sim = test_seed("mem_test");
    for (unsigned round = 0; round < 400; round++) {
        struct world w;
        struct weir_plan plan;
        random_conf(&w, &sim);
        assert_int_equal(weir_mem_plan(&w.conf, &plan), 0);
        plans_equal(&w.conf, &plan);
        for (unsigned by_kind = 0; by_kind < 2; by_kind++) {
            try_open(&w, &plan, by_kind, 0);
            try_open(&w, &plan, by_kind, 1 + test_below(&sim, 100000));
            give_areas(&w, &plan, by_kind, 0);
            for (unsigned i = 0; i < w.areas; i++) {
                if (w.area[i].bytes == 0) continue;
                w.area[i].bytes--;
                assert_int_equal(weir_mem_open(&w.mem, w.area, w.areas, &w.conf), WEIR_ENOMEM);
                w.area[i].bytes++;
            }
            release_areas(&w);
            memset(w.toy, 0, sizeof w.toy);
        }
    }
}

/* Of an area far larger than the plan, all but tables, gaps and less than two granules is the rest's. */
static void the_rest_takes_all_that_is_left(void **state)
{
    (void)state;
    static _Alignas(4096) uint8_t ram[3][65536];
    struct toy item = {0}, rest = {0};
    struct weir_mem_item it = {.name = "one",
                               .what = "one",
                               .count = 100,
                               .each_bytes = 10,
                               .keeper = &toy_keeper,
                               .obj = &item,
                               .open = toy_open};
    struct weir_mem_conf conf = {
        .granule_bytes = 512,
        .slabs = 32,
        .item = &it,
        .items = 1,
        .grow_bytes = 5000,
        .rest = {.count = 1, .each_bytes = 4096, .keeper = &toy_keeper, .obj = &rest, .open = toy_open}};
    struct weir_area area[3] = {
        {ram[2], 65536, WEIR_AREA_ANY}, {ram[0], 65536, WEIR_AREA_DMA}, {ram[1], 30001, WEIR_AREA_DMA}};
    struct weir_mem m;
    struct weir_mem_stat st;
    assert_int_equal(weir_mem_open(&m, area, 3, &conf), 0);
    assert_int_equal(weir_ownermap_check(&m), 0);
    assert_int_equal(rest.opens, 3);
    uint64_t sum = rest.bytes[0] + rest.bytes[1] + rest.bytes[2];
    weir_mem_info(&m, &st);
    assert_int_equal(st.configured_bytes, 65536 * 2 + 30001);
    assert_int_equal(st.free_bytes, 5120);
    assert_int_equal(st.largest_free, 5120);
    assert_int_equal(st.live_bytes, sum + 1000);
    assert_int_equal(st.configured_bytes, st.live_bytes + st.free_bytes + st.overhead_bytes);
    size_t tables = 32 * sizeof(struct weir_mem_slab) + st.configured_bytes / 512;
    assert_true(st.overhead_bytes < tables + 3 * 1024);
    assert_int_equal(weir_mem_close(&m), 0);
}

static void refusals_name_a_value_that_would_do(void **state)
{
    (void)state;
    struct weir_plan plan;
    struct weir_mem_item it = {.name = "pool_a", .what = "a", .count = 4, .each_bytes = 64};
    struct weir_mem_conf good = {.granule_bytes = 512, .slabs = 16, .item = &it, .items = 1}, conf = good;
    assert_int_equal(weir_mem_plan(NULL, &plan), WEIR_EINVAL);
    assert_int_equal(weir_mem_plan(&conf, NULL), WEIR_EINVAL);
    conf.item = NULL;
    assert_int_equal(weir_mem_plan(&conf, &plan), WEIR_EINVAL);
    conf = good;
    assert_int_equal(weir_mem_plan(&conf, &plan), 0);
    conf.granule_bytes = 500;
    assert_int_equal(weir_mem_plan(&conf, &plan), WEIR_EPLAN);
    assert_string_equal(plan.option, "granule_bytes");
    conf.granule_bytes = (uint32_t)plan.would;
    assert_int_equal(weir_mem_plan(&conf, &plan), 0);
    conf.slabs = 1;
    assert_int_equal(weir_mem_plan(&conf, &plan), WEIR_EPLAN);
    assert_string_equal(plan.option, "slabs");
    conf.slabs = (uint32_t)plan.would;
    assert_int_equal(weir_mem_plan(&conf, &plan), 0);
    conf.slabs = 70000;
    assert_int_equal(weir_mem_plan(&conf, &plan), WEIR_EPLAN);
    conf = good;
    conf.items = WEIR_MEM_ITEMS_MAX + 1;
    assert_int_equal(weir_mem_plan(&conf, &plan), WEIR_EPLAN);
    assert_string_equal(plan.option, "items");
    conf = good;
    it.align_bytes = 3;
    assert_int_equal(weir_mem_plan(&conf, &plan), WEIR_EPLAN);
    assert_string_equal(plan.option, "align_bytes");
    it.align_bytes = 0;
    it.stride_bytes = 3;
    assert_int_equal(weir_mem_plan(&conf, &plan), WEIR_EPLAN);
    assert_string_equal(plan.option, "stride_bytes");
    it.stride_bytes = 64;
    it.skip_bytes = 193;
    assert_int_equal(weir_mem_plan(&conf, &plan), WEIR_EPLAN);
    assert_string_equal(plan.option, "skip_bytes");
    it.skip_bytes = 192;
    assert_int_equal(weir_mem_plan(&conf, &plan), 0);
    it.count = 0;
    assert_int_equal(weir_mem_plan(&conf, &plan), WEIR_EPLAN);
    assert_string_equal(plan.option, "pool_a");
    it.count = UINT64_MAX / 2;
    assert_int_equal(weir_mem_plan(&conf, &plan), WEIR_EPLAN);
    assert_string_equal(plan.option, "pool_a");
    it.count = 4;
    conf.grow_bytes = UINT64_MAX;
    assert_int_equal(weir_mem_plan(&conf, &plan), WEIR_EPLAN);
    assert_string_equal(plan.option, "mem_grow");
}

static void areas_that_cannot_be(void **state)
{
    (void)state;
    static _Alignas(4096) uint8_t ram[32768];
    struct weir_mem m;
    struct weir_mem_conf conf = {.granule_bytes = 1024, .slabs = 16, .grow_bytes = 4096};
    struct weir_area two[2] = {{ram, 16384, WEIR_AREA_ANY}, {ram + 16383, 8192, WEIR_AREA_DMA}};
    struct weir_area many[9];
    assert_int_equal(weir_mem_open(&m, two, 2, &conf), WEIR_EINVAL);
    two[1].base = ram + 16384;
    assert_int_equal(weir_mem_open(&m, two, 2, &conf), 0);
    two[0].base = ram + 16; /* the tables' and the items' area wants its alignment */
    two[0].bytes -= 16;
    assert_int_equal(weir_mem_open(&m, two, 2, &conf), WEIR_EINVAL);
    two[0].base = NULL;
    assert_int_equal(weir_mem_open(&m, two, 2, &conf), WEIR_EINVAL);
    two[0] = (struct weir_area){ram, SIZE_MAX, WEIR_AREA_ANY};
    assert_int_equal(weir_mem_open(&m, two, 2, &conf), WEIR_EINVAL);
    two[0] = (struct weir_area){ram, 16384, WEIR_AREA_KINDS};
    assert_int_equal(weir_mem_open(&m, two, 2, &conf), WEIR_EINVAL);
    for (unsigned i = 0; i < 9; i++)
        many[i] = (struct weir_area){ram + 3072 * i, i == 0 ? 3072 * 2 : 3072, WEIR_AREA_ANY};
    many[0].bytes = 3072;
    conf.grow_bytes = 0;
    assert_int_equal(weir_mem_open(&m, many, 9, &conf), WEIR_EINVAL);
    assert_int_equal(weir_mem_open(&m, many, 8, &conf), 0);
    assert_int_equal(weir_mem_open(&m, many, 0, &conf), WEIR_EINVAL);
    assert_int_equal(weir_mem_open(&m, NULL, 1, &conf), WEIR_EINVAL);
    assert_int_equal(weir_mem_open(NULL, many, 1, &conf), WEIR_EINVAL);
    assert_int_equal(weir_mem_open(&m, many, 1, NULL), WEIR_EINVAL);
}

/* ---- one memory for the tests below ---- */

static _Alignas(4096) uint8_t ram[65536];

static void open_one(struct weir_mem *m)
{
    struct weir_area area = {ram, sizeof ram, WEIR_AREA_ANY};
    struct weir_mem_conf conf = {.granule_bytes = 512, .slabs = 64};
    assert_int_equal(weir_mem_open(m, &area, 1, &conf), 0);
}

static void an_item_that_fails_to_open_ends_it(void **state)
{
    (void)state;
    struct toy t = {.answer = WEIR_EINVAL};
    struct weir_area area = {ram, sizeof ram, WEIR_AREA_ANY};
    struct weir_mem_item it = {
        .name = "a", .what = "a", .count = 1, .each_bytes = 64, .obj = &t, .open = toy_open};
    struct weir_mem_conf conf = {.granule_bytes = 512, .slabs = 64, .item = &it, .items = 1};
    struct weir_mem m;
    struct weir_holder h;
    assert_int_equal(weir_mem_open(&m, &area, 1, &conf), WEIR_EINVAL);
    assert_int_equal(weir_mem_owner(&m, ram, &h), WEIR_ESTALE);
    assert_int_equal(weir_mem_close(&m), WEIR_ESTALE);
}

static void errors_are_typed(void **state)
{
    (void)state;
    struct weir_mem m;
    struct toy t = {0};
    struct weir_mem_stat st;
    uint64_t elsewhere = 0;
    open_one(&m);
    uint8_t *kept = weir_mem_take(&m, 1000, 0, &toy_keeper, &t, "kept");
    uint8_t *raw = weir_mem_take(&m, 512, 0, NULL, NULL, "raw");
    uint8_t *mute = weir_mem_take(&m, 512, 0, &mute_keeper, NULL, "mute");
    assert_non_null(mute);
    assert_int_equal(weir_mem_free(&m, NULL), 0);
    assert_int_equal(weir_mem_free(&m, &elsewhere), WEIR_EFOREIGN);
    assert_int_equal(weir_mem_free(&m, (void *)((uintptr_t)ram - 1)), WEIR_EFOREIGN);
    assert_int_equal(weir_mem_free(&m, ram + sizeof ram), WEIR_EFOREIGN);
    assert_int_equal(weir_mem_free(&m, m.slab), WEIR_EINTERIOR);
    assert_int_equal(weir_mem_free(&m, mute + 512), WEIR_EFREE);
    assert_int_equal(weir_mem_free(&m, raw), WEIR_ENOTSUP);
    assert_int_equal(weir_mem_free(&m, mute), WEIR_ENOTSUP);
    assert_int_equal(weir_mem_free(&m, kept + 17), WEIR_EINTERIOR);
    assert_int_equal(weir_mem_free(&m, kept + 32), 0);
    assert_ptr_equal(t.freed, kept + 32);
    assert_int_equal(weir_mem_usable(&m, kept), 48);
    assert_int_equal(weir_mem_usable(&m, mute), WEIR_ENOTSUP);
    assert_int_equal(weir_mem_usable(&m, &elsewhere), WEIR_EFOREIGN);
    assert_int_equal(weir_mem_resize(&m, kept, 40), 48);
    assert_int_equal(weir_mem_resize(&m, kept, 49), WEIR_ENOMEM);
    assert_int_equal(weir_mem_resize(&m, mute, 4), WEIR_ENOTSUP);
    assert_int_equal(weir_mem_resize(&m, raw, 4), WEIR_ENOTSUP);
    assert_int_equal(weir_mem_give(&m, kept + 512), WEIR_EINTERIOR);
    assert_int_equal(weir_mem_give(&m, &elsewhere), WEIR_EFOREIGN);
    assert_int_equal(weir_mem_keep(&m, raw, &toy_keeper, &t, 3, 0), WEIR_EINVAL);
    assert_int_equal(weir_mem_keep(&m, raw, &toy_keeper, &t, 512, 1), WEIR_EINVAL);
    assert_int_equal(weir_mem_keep(&m, raw + 1, &toy_keeper, &t, 0, 0), WEIR_EINTERIOR);
    assert_int_equal(weir_mem_keep(&m, raw, &toy_keeper, &t, 512, 0), 0);
    assert_int_equal(weir_mem_free(&m, raw), 0);
    weir_mem_info(&m, &st);
    assert_int_equal(st.bad_frees, 10);
    assert_int_equal(weir_mem_close(&m), 0);
    assert_int_equal(weir_mem_free(&m, kept), WEIR_ESTALE);
}

static void why_nothing_was_had(void **state)
{
    (void)state;
    struct weir_mem m;
    open_one(&m);
    assert_int_equal(weir_mem_why(&m), WEIR_WHY_NONE);
    assert_null(weir_mem_take(&m, 512, 24, NULL, NULL, "a"));
    assert_int_equal(weir_mem_why(&m), WEIR_WHY_ALIGN);
    assert_null(weir_mem_take(&m, sizeof ram, 0, NULL, NULL, "a"));
    assert_int_equal(weir_mem_why(&m), WEIR_WHY_SIZE);
    assert_null(weir_mem_take(&m, SIZE_MAX, 0, NULL, NULL, "a"));
    assert_int_equal(weir_mem_why(&m), WEIR_WHY_SIZE);
    for (unsigned i = 0; i < 64; i++)
        assert_non_null(weir_mem_take(&m, 0, 0, NULL, NULL, "a"));
    assert_null(weir_mem_take(&m, 1, 0, NULL, NULL, "a"));
    assert_int_equal(weir_mem_why(&m), WEIR_WHY_LIMIT);
    assert_int_equal(weir_ownermap_check(&m), 0);
    assert_string_equal(weir_why_name(WEIR_WHY_SCATTERED), "scattered");
    assert_string_equal(weir_why_text(WEIR_WHY_NONE), "nothing was refused");
    assert_string_equal(weir_why_name(WEIR_WHYS), "?");
    assert_string_equal(weir_why_text(WEIR_WHYS), "?");
}

static void sealed_memory_hands_out_nothing(void **state)
{
    (void)state;
    struct weir_mem m;
    struct toy t = {0};
    struct weir_mem_source source;
    open_one(&m);
    weir_mem_source(&source, &m, &toy_keeper, &t, "grown");
    uint8_t *p = source.source.take(source.source.ctx, 700, 64);
    struct weir_holder h;
    assert_non_null(p);
    assert_int_equal(weir_mem_owner(&m, p + 1023, &h), 0);
    assert_string_equal(h.name, "grown");
    assert_int_equal(weir_mem_seal(&m), 0);
    assert_null(source.source.take(source.source.ctx, 700, 64));
    assert_int_equal(weir_mem_why(&m), WEIR_WHY_SEALED);
    assert_int_equal(weir_mem_keep(&m, p, &toy_keeper, &t, 16, 0), WEIR_ESEALED);
    assert_int_equal(weir_mem_free(&m, p), 0); /* keepers work on */
    source.source.give(source.source.ctx, p, 700);
    assert_int_equal(weir_mem_owner(&m, p, &h), WEIR_EFREE);
    assert_null(weir_mem_take(&m, 1, 0, NULL, NULL, "a"));
    assert_int_equal(weir_ownermap_check(&m), 0);
    assert_int_equal(weir_mem_close(&m), 0);
    assert_int_equal(weir_mem_seal(&m), WEIR_ESTALE);
    assert_null(weir_mem_take(&m, 1, 0, NULL, NULL, "a"));
    assert_int_equal(weir_mem_why(&m), WEIR_WHY_STALE);
    assert_int_equal(weir_mem_give(&m, p), WEIR_ESTALE);
}

static void close_waits_for_the_last_block(void **state)
{
    (void)state;
    struct weir_mem m;
    struct toy t = {.live = 1};
    open_one(&m);
    assert_non_null(weir_mem_take(&m, 512, 0, &toy_keeper, &t, "toy"));
    assert_int_equal(weir_mem_close(&m), WEIR_EBUSY);
    t.live = 0;
    assert_int_equal(weir_mem_close(&m), 0);
}

/* ---- walking ---- */

struct watch {
    const struct weir_mem *m;
    uintptr_t at; /* the next byte that must be told of */
    uint32_t area;
    uint64_t bytes[3], blocks;
    uint64_t stop_after;
};

static int watch(void *arg, const struct weir_block *b)
{
    struct watch *w = arg;
    uintptr_t start = (uintptr_t)b->start;
    if (w->at != start) { /* only from an area's end to the next one's begin */
        assert_int_equal(w->at, w->m->area[w->area].base + w->m->area[w->area].bytes);
        w->area++;
        while (w->m->area[w->area].bytes == 0)
            w->area++;
        assert_int_equal(start, w->m->area[w->area].base);
    }
    assert_true(b->bytes > 0);
    w->at = start + b->bytes;
    assert_true(w->at <= w->m->area[w->area].base + w->m->area[w->area].bytes);
    w->bytes[b->state] += b->bytes;
    return ++w->blocks == w->stop_after ? 7 : 0;
}

static void check_walk(const struct weir_mem *m)
{
    struct weir_mem_stat st;
    struct watch w = {.m = m};
    while (m->area[w.area].bytes == 0)
        w.area++;
    w.at = m->area[w.area].base;
    assert_int_equal(weir_mem_walk(m, watch, &w), 0);
    weir_mem_info(m, &st);
    assert_int_equal(w.bytes[0] + w.bytes[1] + w.bytes[2], st.configured_bytes);
    struct watch early = {.m = m, .stop_after = 1 + w.blocks / 2};
    early.at = m->area[0].base;
    while (m->area[early.area].bytes == 0)
        early.at = m->area[++early.area].base;
    assert_int_equal(weir_mem_walk(m, watch, &early), 7);
    assert_int_equal(early.blocks, early.stop_after);
}

static void a_walk_tells_of_every_byte_once(void **state)
{
    (void)state;
    struct weir_sim sim = test_seed("mem_test walk");
    for (unsigned round = 0; round < 300; round++) {
        struct world w;
        struct weir_plan plan;
        random_conf(&w, &sim);
        assert_int_equal(weir_mem_plan(&w.conf, &plan), 0);
        give_areas(&w, &plan, round & 1, test_below(&sim, 50000));
        assert_int_equal(weir_mem_open(&w.mem, w.area, w.areas, &w.conf), 0);
        void *p = weir_mem_take(&w.mem, 1 + test_below(&sim, 3000), 0, &toy_keeper, &w.toy[0], "one");
        (void)weir_mem_take(&w.mem, 1 + test_below(&sim, 3000), 0, &mute_keeper, NULL, "two");
        if (p && test_below(&sim, 2)) (void)weir_mem_give(&w.mem, p);
        check_walk(&w.mem);
        release_areas(&w);
    }
}

static void a_keeper_that_tells_nonsense_is_found(void **state)
{
    (void)state;
    struct weir_mem m;
    struct toy t = {.backwards = true};
    struct watch w = {.m = &m, .at = (uintptr_t)ram};
    open_one(&m);
    uint8_t *p = weir_mem_take(&m, 512, 0, &toy_keeper, &t, "toy");
    assert_non_null(p);
    assert_int_equal(weir_mem_walk(&m, watch, &w), WEIR_ECORRUPT);
    assert_ptr_equal(w.at, p + 64);
    assert_int_equal(weir_mem_close(&m), 0);
    assert_int_equal(weir_mem_walk(&m, watch, &w), WEIR_ESTALE);
}

/* A system that gives no more: the range is nobody's, and a block keeps its length. */
static int refuse_from(void *ctx, void *base, size_t bytes)
{
    return (uintptr_t)base + bytes > *(uintptr_t *)ctx ? WEIR_ENOMEM : 0;
}

static void a_hook_can_refuse(void **state)
{
    (void)state;
    static _Alignas(4096) uint8_t area[1 << 16];
    static const struct weir_keeper keeper = {.name = "k"};
    uintptr_t limit = (uintptr_t)area + sizeof area / 2;
    struct weir_mem m;
    struct weir_area a = {.base = area, .bytes = sizeof area};
    struct weir_mem_conf conf = {
        .granule_bytes = 1024, .slabs = 20, .hooks = {.ctx = &limit, .taken = refuse_from}};
    assert_int_equal(weir_mem_open(&m, &a, 1, &conf), 0);
    uint64_t whole = m.free_bytes;
    void *p = weir_mem_take(&m, 4096, 0, &keeper, NULL, "p");
    assert_non_null(p);
    assert_null(weir_mem_take(&m, sizeof area / 2, 0, &keeper, NULL, "q"));
    assert_int_equal(weir_mem_stretch(&m, p, sizeof area / 2), WEIR_ENOMEM);
    assert_int_equal(whole - m.free_bytes, 4096);
    assert_int_equal(m.ranges, 1);
    assert_int_equal(weir_ownermap_check(&m), 0);
    assert_int_equal(weir_mem_stretch(&m, p, 8192), 0);
    assert_int_equal(weir_mem_give(&m, p), 0);
    assert_int_equal(m.free_bytes, whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_equals_open),
        cmocka_unit_test(the_rest_takes_all_that_is_left),
        cmocka_unit_test(refusals_name_a_value_that_would_do),
        cmocka_unit_test(areas_that_cannot_be),
        cmocka_unit_test(an_item_that_fails_to_open_ends_it),
        cmocka_unit_test(errors_are_typed),
        cmocka_unit_test(why_nothing_was_had),
        cmocka_unit_test(sealed_memory_hands_out_nothing),
        cmocka_unit_test(a_hook_can_refuse),
        cmocka_unit_test(close_waits_for_the_last_block),
        cmocka_unit_test(a_walk_tells_of_every_byte_once),
        cmocka_unit_test(a_keeper_that_tells_nonsense_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
