/* Tests of memheap.c, memsmall.c and memkeep.c: one free for pools, small objects and partitions; random calls
 * against a model until memory runs out and back; what is given back; locks in their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/test_seed.h"
#include "mem/memheap.h"
#include "mem/ownermap.h"
#include "weir/err.h"
#include "weir/pool.h"

#define GRANULE 1024u
#define RAM     (512u << 10)

static _Alignas(65536) uint8_t ram[RAM];

/* ---- locks that watch their order ---- */

struct watched {
    unsigned entered, depth;
    struct watched *never_inside; /* held when this one is entered: a deadlock some day */
};

static uintptr_t watch_enter(void *ctx)
{
    struct watched *w = ctx;
    assert_int_equal(w->depth, 0);
    if (w->never_inside) assert_int_equal(w->never_inside->depth, 0);
    w->entered++;
    w->depth++;
    return 42;
}

static void watch_leave(void *ctx, uintptr_t before)
{
    struct watched *w = ctx;
    assert_int_equal(before, 42);
    assert_int_equal(w->depth, 1);
    w->depth--;
}

static struct watched heap_lock, mem_lock;

static struct weir_lock hooks(struct watched *w)
{
    return (struct weir_lock){.kind = WEIR_LOCK_HOOK, .ctx = w, .enter = watch_enter, .leave = watch_leave};
}

static struct weir_heap_conf growing(void)
{
    heap_lock = (struct watched){0};
    mem_lock = (struct watched){.never_inside = &heap_lock};
    return (struct weir_heap_conf){.level = 1,
                                   .areas = 8,
                                   .area_bytes = 256u << 10,
                                   .grow_bytes = 32u << 10,
                                   .small_bytes = 16u << 10,
                                   .small_most = 64u << 10,
                                   .small = {.run_bytes = 1024},
                                   .lock = hooks(&heap_lock),
                                   .mem_lock = hooks(&mem_lock)};
}

static void open_mem(struct weir_mem *m, size_t bytes)
{
    struct weir_area area = {ram, bytes, WEIR_AREA_ANY};
    struct weir_mem_conf conf = {.granule_bytes = GRANULE, .slabs = 64};
    assert_int_equal(weir_mem_open(m, &area, 1, &conf), 0);
}

/* ---- every kind in one memory ---- */

struct kinds {
    struct weir_mem mem;
    struct weir_heap heap;
    struct weir_pool pool;
    struct weir_pool_conf pool_conf;
};

static int open_pool(void *obj, void *base, size_t bytes)
{
    struct kinds *k = (struct kinds *)(void *)((uint8_t *)obj - offsetof(struct kinds, pool));
    return weir_pool_open(&k->pool, &k->pool_conf, base, bytes);
}

static void open_kinds(struct kinds *k)
{
    memset(k, 0, sizeof *k);
    k->pool_conf = (struct weir_pool_conf){
        .name = "cells", .cell_bytes = 48, .cells_per_block = 50, .max_blocks = 1, .level = 1};
    struct weir_mem_item item = {.name = "cells",
                                 .what = "a pool",
                                 .count = weir_pool_bytes(&k->pool_conf, 50),
                                 .each_bytes = 1,
                                 .keeper = &weir_pool_keeper,
                                 .obj = &k->pool,
                                 .open = open_pool};
    struct weir_heap_conf heap = {.level = 1, .small_bytes = 16384, .small = {.run_bytes = 1024}, .areas = 8};
    struct weir_mem_conf conf = {
        .granule_bytes = GRANULE, .slabs = 32, .item = &item, .items = 1, .grow_bytes = 16384};
    struct weir_area area = {ram, 128u << 10, WEIR_AREA_ANY};
    assert_int_equal(weir_heap_rest(&k->heap, &k->mem, &heap, 32768, &conf.rest), 0);
    assert_int_equal(weir_mem_open(&k->mem, &area, 1, &conf), 0);
    assert_int_equal(weir_heap_small(&k->heap), 0);
    assert_int_equal(weir_mem_seal(&k->mem), 0);
}

struct seen {
    uintptr_t at;
    uint64_t used, used_bytes;
};

static int see(void *arg, const struct weir_block *b)
{
    struct seen *s = arg;
    assert_int_equal((uintptr_t)b->start, s->at);
    s->at += b->bytes;
    s->used += b->state == WEIR_BLOCK_USED;
    s->used_bytes += b->state == WEIR_BLOCK_USED ? b->bytes : 0;
    return 0;
}

static uint64_t walked(const struct weir_mem *m, uint64_t *bytes)
{
    struct seen s = {.at = (uintptr_t)ram};
    assert_int_equal(weir_mem_walk(m, see, &s), 0);
    assert_int_equal(s.at, (uintptr_t)ram + m->area[0].bytes);
    if (bytes) *bytes = s.used_bytes;
    return s.used;
}

static const char *keeper_of(const struct weir_mem *m, const void *p)
{
    struct weir_holder h;
    assert_int_equal(weir_mem_owner(m, p, &h), 0);
    return h.keeper->name;
}

static void one_free_for_every_kind(void **state)
{
    (void)state;
    struct kinds k;
    uint8_t *p[3];
    open_kinds(&k);
    p[0] = weir_pool_get(&k.pool);
    p[1] = weir_malloc(&k.heap, 40);
    p[2] = weir_malloc(&k.heap, 4000);
    const char *const names[] = {"pool", "small", "part"};
    for (unsigned i = 0; i < 3; i++) {
        assert_non_null(p[i]);
        assert_string_equal(keeper_of(&k.mem, p[i]), names[i]);
        assert_true(weir_mem_usable(&k.mem, p[i]) >= 40);
    }
    assert_int_equal(walked(&k.mem, NULL), 3);
    assert_int_equal(weir_mem_close(&k.mem), WEIR_EBUSY);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(weir_mem_free(&k.mem, p[i] + 8), WEIR_EINTERIOR);
        assert_true(weir_mem_resize(&k.mem, p[i], 10) >= 10);
        assert_int_equal(weir_mem_resize(&k.mem, p[i], 60000), WEIR_ENOMEM);
        assert_int_equal(weir_mem_free(&k.mem, p[i]), 0);
        assert_int_equal(weir_mem_free(&k.mem, p[i]), WEIR_EFREE);
        assert_int_equal(weir_mem_usable(&k.mem, p[i]), WEIR_EFREE);
        assert_int_equal(weir_mem_resize(&k.mem, p[i], 10), WEIR_EFREE);
        assert_int_equal(walked(&k.mem, NULL), 2 - i);
    }
    assert_int_equal(weir_free(&k.heap, &k), WEIR_EFOREIGN);
    assert_int_equal(weir_heap_err(&k.heap), WEIR_EFOREIGN);
    assert_int_equal(weir_mem_close(&k.mem), 0);
}

static void sealed_memory_is_used_up_and_no_more(void **state)
{
    (void)state;
    struct kinds k;
    void *p[2000];
    unsigned n = 0;
    open_kinds(&k);
    uint32_t ranges = k.mem.ranges;
    while (n < 2000 && (p[n] = weir_malloc(&k.heap, n % 2 ? 24 : 600)) != NULL)
        n++;
    assert_true(n > 100 && n < 2000);
    assert_int_equal(weir_heap_why(&k.heap) != WEIR_WHY_NONE, 1);
    assert_int_equal(k.mem.ranges, ranges);
    while (n > 0)
        assert_int_equal(weir_free(&k.heap, p[--n]), 0);
    assert_int_equal(weir_mem_close(&k.mem), 0);
}

/* ---- random calls ---- */

#define SLOTS 400u

struct slot {
    uint8_t *p;
    size_t size;
    uint8_t tag;
};

static void fill(struct slot *x, struct weir_sim *sim)
{
    x->tag = (uint8_t)test_u32(sim);
    memset(x->p, x->tag, x->size);
}

static void check(const struct slot *x, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(x->p[i], x->tag);
}

static size_t some_size(struct weir_sim *sim)
{
    return test_below(sim, 10) == 0 ? test_below(sim, 30000) : test_below(sim, 260);
}

static bool get(struct weir_heap *h, struct slot *x, struct weir_sim *sim)
{
    size_t align = 2 * sizeof(void *);
    x->size = some_size(sim);
    switch (test_below(sim, 4)) {
    case 0:
        x->p = weir_calloc(h, x->size, 1);
        for (size_t i = 0; x->p && i < x->size; i++)
            assert_int_equal(x->p[i], 0);
        break;
    case 1:
        align = (size_t)1 << test_below(sim, 11);
        x->p = weir_aligned_alloc(h, align, x->size);
        break;
    default:
        x->p = weir_malloc(h, x->size);
    }
    if (!x->p) return false;
    assert_int_equal((uintptr_t)x->p & (align - 1), 0);
    assert_true(weir_usable(h, x->p) >= x->size);
    fill(x, sim);
    return true;
}

static void resize(struct weir_heap *h, struct slot *x, struct weir_sim *sim)
{
    size_t size = 1 + some_size(sim), kept = size < x->size ? size : x->size;
    uint8_t *p = weir_realloc(h, x->p, size);
    if (!p) { /* nothing has changed */
        check(x, x->size);
        return;
    }
    x->p = p;
    check(x, kept);
    x->size = size;
    fill(x, sim);
}

static void check_heap(const struct weir_mem *m, struct weir_heap *h, const struct slot slot[SLOTS])
{
    struct weir_mem_stat st;
    uint64_t live = 0, bytes = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        live += slot[i].p != NULL;
    assert_int_equal(weir_ownermap_check(m), 0);
    assert_int_equal(walked(m, &bytes), live);
    weir_heap_info(h, &st);
    assert_int_equal(st.live, live);
    assert_int_equal(st.live_bytes, bytes);
    assert_int_equal(st.allocs - st.frees, live);
    assert_int_equal(weir_part_check(&h->part), 0);
}

static void random_life(struct weir_sim *sim, size_t mem_bytes, unsigned *refused)
{
    static struct slot slot[SLOTS];
    struct weir_mem m;
    struct weir_heap h;
    struct weir_heap_conf conf = growing();
    memset(slot, 0, sizeof slot);
    open_mem(&m, mem_bytes);
    assert_int_equal(weir_heap_open(&h, &m, &conf), 0);
    uint64_t before = m.free_bytes;
    for (unsigned i = 0; i < 4000; i++) {
        struct slot *x = &slot[test_below(sim, SLOTS)];
        if (!x->p) {
            *refused += !get(&h, x, sim);
        } else if (test_below(sim, 3) == 0) {
            resize(&h, x, sim);
        } else {
            check(x, x->size);
            assert_int_equal(weir_free(&h, x->p), 0);
            x->p = NULL;
        }
        if (i % 64 == 0) check_heap(&m, &h, slot);
        if (i % 1000 == 999) (void)weir_heap_trim(&h);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        assert_int_equal(weir_free(&h, slot[i].p), 0);
    memset(slot, 0, sizeof slot);
    check_heap(&m, &h, slot);
    (void)weir_heap_trim(&h);
    assert_int_equal(m.free_bytes, before); /* all but the partition's first range */
    assert_int_equal(weir_heap_close(&h), 0);
    assert_int_equal(m.ranges, 0);
    assert_int_equal(heap_lock.depth + mem_lock.depth, 0);
    assert_true(heap_lock.entered > 0 && mem_lock.entered > 0);
}

static void random_calls_against_a_model(void **state)
{
    (void)state;
    struct weir_sim sim = test_seed("memheap_test");
    unsigned refused = 0;
    for (unsigned i = 0; i < 6; i++)
        random_life(&sim, RAM, &refused);
    unsigned roomy = refused;
    for (unsigned i = 0; i < 6; i++)
        random_life(&sim, 160u << 10, &refused);
    printf("memheap_test: %u requests refused in small memories\n", refused - roomy);
    assert_true(refused - roomy > 100);
}

/* ---- edges ---- */

static void edges_of_the_calls(void **state)
{
    (void)state;
    struct weir_mem m;
    struct weir_heap h;
    struct weir_heap_conf conf = growing();
    open_mem(&m, RAM);
    assert_int_equal(weir_heap_open(&h, &m, &conf), 0);
    uint8_t *p = weir_malloc(&h, 0), *q = weir_malloc(&h, 0);
    assert_non_null(p);
    assert_true(p != q && weir_usable(&h, p) >= 1);
    assert_int_equal(weir_free(&h, p), 0);
    assert_int_equal(weir_free(&h, q), 0);
    assert_int_equal(weir_free(&h, NULL), 0);
    assert_int_equal(weir_usable(&h, NULL), 0);
    assert_int_equal(weir_usable(&h, &m), 0);
    assert_null(weir_calloc(&h, SIZE_MAX / 2, 3));
    assert_null(weir_malloc(&h, SIZE_MAX));
    assert_null(weir_malloc(&h, RAM));
    assert_null(weir_aligned_alloc(&h, 24, 100));
    assert_int_equal(weir_heap_why(&h), WEIR_WHY_ALIGN);
    p = weir_realloc(&h, NULL, 100);
    assert_non_null(p);
    memset(p, 5, 100);
    assert_null(weir_realloc(&h, p, SIZE_MAX));
    assert_int_equal(p[99], 5);
    q = weir_realloc(&h, p, 90000);
    assert_non_null(q);
    assert_int_equal(q[99], 5);
    assert_null(weir_realloc(&h, q, 0));
    assert_null(weir_realloc(&h, (uint8_t *)&m, 10));
    assert_int_equal(weir_heap_err(&h), WEIR_EFOREIGN);
    p = weir_malloc(&h, 50);
    q = weir_malloc(&h, 5000);
    assert_int_equal(weir_heap_close(&h), 2);
    assert_int_equal(weir_heap_close(&h), WEIR_ESTALE);
    assert_int_equal(weir_mem_free(&m, p), WEIR_EFREE);
    assert_int_equal(weir_mem_free(&m, q), WEIR_EFREE);
}

static void refused_configurations(void **state)
{
    (void)state;
    struct weir_mem m;
    struct weir_heap h;
    struct weir_mem_item item;
    struct weir_heap_conf conf = growing();
    open_mem(&m, 96u << 10);
    assert_int_equal(weir_heap_open(NULL, &m, &conf), WEIR_EINVAL);
    assert_int_equal(weir_heap_open(&h, NULL, &conf), WEIR_EINVAL);
    assert_int_equal(weir_heap_open(&h, &m, NULL), WEIR_EINVAL);
    assert_int_equal(weir_heap_rest(&h, &m, &conf, 1, NULL), WEIR_EINVAL);
    conf.align_bytes = 4;
    assert_int_equal(weir_heap_open(&h, &m, &conf), WEIR_EINVAL);
    conf = growing();
    conf.small.run_bytes = 1000;
    assert_int_equal(weir_heap_open(&h, &m, &conf), WEIR_EINVAL);
    conf = growing();
    conf.options = WEIR_PART_ALLOC_ABORT;
    assert_int_equal(weir_heap_open(&h, &m, &conf), WEIR_EINVAL);
    conf.grow_bytes = 0;
    assert_int_equal(weir_heap_rest(&h, &m, &conf, 1, &item), 0);
    conf = growing();
    conf.grow_bytes = 0;
    assert_int_equal(weir_heap_open(&h, &m, &conf), WEIR_EINVAL);
    conf = growing();
    conf.lock.leave = NULL;
    assert_int_equal(weir_heap_open(&h, &m, &conf), WEIR_EINVAL);
    conf = growing();
    conf.grow_bytes = RAM;
    assert_int_equal(weir_heap_open(&h, &m, &conf), WEIR_ENOMEM);
    conf = growing();
    conf.grow_bytes = 64; /* less than the policy's state */
    assert_true(weir_heap_open(&h, &m, &conf) < 0);
    assert_int_equal(m.ranges, 0);
    conf = growing();
    conf.small_bytes = 0;
    assert_int_equal(weir_heap_open(&h, &m, &conf), 0);
    assert_int_equal(weir_heap_small(&h), WEIR_EINVAL);
    void *p = weir_malloc(&h, 8);
    assert_string_equal(keeper_of(&m, p), "part");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_free_for_every_kind),
        cmocka_unit_test(sealed_memory_is_used_up_and_no_more),
        cmocka_unit_test(random_calls_against_a_model),
        cmocka_unit_test(edges_of_the_calls),
        cmocka_unit_test(refused_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
