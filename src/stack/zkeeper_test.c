/* zkeeper_test.c: a stack in a range of weir_mem: one free for its zbufs too, typed errors, a walk over every
 * byte with every segment in it. */
#include "simnet.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "weir/mem.h"

struct both {
    struct weir_mem mem;
    struct weir_sim sim;
    struct weir *w;
    void *block;
    struct weir_mem_item item;
    void *place;
    size_t bytes;
};

static int note_place(void *obj, void *base, size_t bytes)
{
    struct both *b = obj;
    b->place = base;
    b->bytes = bytes;
    return 0;
}

static void open_both(struct both *b, enum weir_zlayout layout)
{
    struct weir_config c;
    struct weir_plan plan, whole;
    memset(b, 0, sizeof *b);
    simnet_tiny(&c, layout);
    weir_sim_init(&b->sim, 1);
    c.plat = &b->sim.plat;
    assert_int_equal(weir_plan(&c, &plan), 0);
    b->item = (struct weir_mem_item){.name = "stack",
                                     .what = "an instance",
                                     .count = plan.total_bytes,
                                     .each_bytes = 1,
                                     .align_bytes = plan.align_bytes,
                                     .obj = b,
                                     .open = note_place};
    struct weir_mem_conf conf = {.granule_bytes = 512, .slabs = 16, .item = &b->item, .items = 1};
    conf.grow_bytes = 4096;
    assert_int_equal(weir_mem_plan(&conf, &whole), 0);
    size_t bytes = (size_t)weir_align_up(whole.total_bytes, whole.align_bytes);
    b->block = aligned_alloc(whole.align_bytes, bytes);
    assert_non_null(b->block);
    struct weir_area area = {.base = b->block, .bytes = (size_t)whole.total_bytes};
    assert_int_equal(weir_mem_open(&b->mem, &area, 1, &conf), 0);
    struct weir_area inner = {.base = b->place, .bytes = b->bytes};
    assert_int_equal(weir_start(&b->w, &c, &inner, 1), 0);
    assert_int_equal(weir_mem_keep(&b->mem, b->place, &weir_zbuf_keeper, b->w, 0, 0), 0);
}

struct seen {
    uint64_t used, free, bytes;
    const struct both *b;
    uintptr_t at;
};

static int see(void *arg, const struct weir_block *block)
{
    struct seen *s = arg;
    assert_int_equal((uintptr_t)block->start, s->at);
    s->at += block->bytes;
    s->bytes += block->bytes;
    bool inside = (uintptr_t)block->start - (uintptr_t)s->b->place < s->b->bytes;
    s->used += inside && block->state == WEIR_BLOCK_USED;
    s->free += inside && block->state == WEIR_BLOCK_FREE;
    return 0;
}

static void check_walk(const struct both *b, uint64_t used)
{
    struct seen s = {.b = b, .at = (uintptr_t)b->block};
    assert_int_equal(weir_mem_walk(&b->mem, see, &s), 0);
    assert_int_equal(s.bytes, b->mem.area[0].bytes);
    assert_int_equal(s.used, used);
    assert_int_equal(s.used + s.free, b->w->z.total);
}

static void try_layout(enum weir_zlayout layout)
{
    struct both b;
    open_both(&b, layout);
    check_walk(&b, b.w->z.live);
    uint64_t before = b.w->z.live;
    uint8_t *p = weir_zalloc(b.w, 2000), *q = weir_zalloc(b.w, 10);
    assert_non_null(p);
    assert_non_null(q);
    check_walk(&b, before + 2);
    assert_int_equal(weir_mem_close(&b.mem), WEIR_EBUSY);
    struct weir_holder h;
    assert_int_equal(weir_mem_owner(&b.mem, p + 700, &h), 0);
    assert_ptr_equal(h.keeper, &weir_zbuf_keeper);
    assert_ptr_equal(h.obj, b.w);
    assert_int_equal(weir_mem_usable(&b.mem, p), weir_zsize(b.w, p));
    assert_true(weir_mem_resize(&b.mem, p, 2000) >= 2000);
    assert_int_equal(weir_mem_resize(&b.mem, p, 1u << 20), WEIR_ENOMEM);
    assert_int_equal(weir_mem_free(&b.mem, p + 700), 0);
    assert_int_equal(weir_mem_free(&b.mem, p), WEIR_ENOTHELD);
    assert_int_equal(weir_mem_usable(&b.mem, p), WEIR_ENOTHELD);
    assert_int_equal(weir_mem_resize(&b.mem, p, 1), WEIR_ENOTHELD);
    assert_int_equal(weir_mem_free(&b.mem, b.w), WEIR_EFAULT); /* the instance's own tables */
    assert_int_equal(weir_mem_free(&b.mem, q), 0);
    check_walk(&b, before);
    assert_int_equal(weir_stack_check(b.w), 0);
    assert_int_equal(weir_stop(b.w), 0);
    free(b.block);
}

static void zbufs_among_everything_else(void **state)
{
    (void)state;
    try_layout(WEIR_ZLAYOUT_DENSE);
    try_layout(WEIR_ZLAYOUT_INSIDE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(zbufs_among_everything_else)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
