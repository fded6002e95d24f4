/* Property tests of TLSF: operations at random against a naive model, in every alignment, level and number of
 * areas. After each step: the invariants, the statistics by hand, the largest request tried out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/bits.h"
#include "base/test_seed.h"
#include "weir/err.h"
#include "weir/tlsf.h"

#define MOST_LIVE  96
#define MOST_AREAS 3
#define AREA_BYTES 12288

struct piece {
    uint8_t *at;
    size_t size, got; /* asked for; usable */
    uint8_t fill;
};

struct world {
    struct weir_sim sim;
    struct weir_policy_conf conf;
    void *state;
    uint8_t *mem[MOST_AREAS]; /* NULL: not added */
    size_t bytes[MOST_AREAS];
    uint8_t *room[MOST_AREAS]; /* what the areas are cut from */
    struct piece live[MOST_LIVE];
    uint32_t count;
};

static size_t natural(const struct world *w)
{
    return w->conf.align_bytes;
}

/* An area at an odd address, of an odd length. */
static void area_in(struct world *w, unsigned i)
{
    size_t skew = test_below(&w->sim, 16);
    w->bytes[i] = AREA_BYTES / 2 + test_below(&w->sim, AREA_BYTES / 2);
    w->mem[i] = w->room[i] + skew;
    assert_int_equal(weir_tlsf.add(w->state, w->mem[i], w->bytes[i]), 0);
    assert_int_equal(weir_tlsf.add(w->state, w->mem[i] + 64, 256), WEIR_EINVAL);
}

static void world_open(struct world *w, const struct weir_policy_conf *conf)
{
    memset(w, 0, sizeof *w);
    w->sim = test_seed("tlsf");
    w->conf = *conf;
    w->state = malloc(weir_tlsf.state_bytes(conf));
    assert_int_equal(weir_tlsf.init(w->state, conf), 0);
    for (unsigned i = 0; i < conf->areas; i++) {
        w->room[i] = malloc(AREA_BYTES + 16);
        area_in(w, i);
    }
    assert_int_equal(weir_tlsf.add(w->state, w, sizeof *w), WEIR_EMFILE);
}

static void world_close(struct world *w)
{
    for (unsigned i = 0; i < w->conf.areas; i++)
        free(w->room[i]);
    free(w->state);
}

/* ---- the model ---- */

static unsigned area_of(const struct world *w, const uint8_t *p, size_t bytes)
{
    for (unsigned i = 0; i < w->conf.areas; i++)
        if (w->mem[i] != NULL && p >= w->mem[i] && p + bytes <= w->mem[i] + w->bytes[i]) return i;
    fail_msg("outside every area");
    return 0;
}

static void new_piece(struct world *w, uint8_t *p, size_t size, size_t align, size_t got)
{
    assert_true(got >= size);
    assert_int_equal((uintptr_t)p % (align > natural(w) ? align : natural(w)), 0);
    (void)area_of(w, p, got);
    for (uint32_t i = 0; i < w->count; i++)
        assert_true(p >= w->live[i].at + w->live[i].got + 4 || p + got + 4 <= w->live[i].at);
    struct piece *n = &w->live[w->count++];
    *n = (struct piece){p, size, got, (uint8_t)test_u32(&w->sim)};
    memset(p, n->fill, got);
}

static void intact(const struct piece *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(p->at[i], p->fill);
}

struct seen {
    const struct world *w;
    uint64_t used, used_bytes, free, free_bytes;
    const void *last; /* of the block before, when that was free */
    const uint8_t *end;
};

static int see(void *arg, const struct weir_block *b)
{
    struct seen *s = arg;
    assert_int_equal((uintptr_t)b->start % natural(s->w), 0);
    if (b->state == WEIR_BLOCK_FREE) {
        assert_ptr_not_equal(s->end, (const uint8_t *)b->start - 4); /* joined at once */
        s->end = (const uint8_t *)b->start + b->bytes;
        s->free++;
        s->free_bytes += b->bytes;
        return 0;
    }
    s->used++;
    s->used_bytes += b->bytes;
    for (uint32_t i = 0; i < s->w->count; i++)
        if (s->w->live[i].at == b->start) {
            assert_int_equal(s->w->live[i].got, b->bytes);
            return 0;
        }
    fail_msg("a block that nobody has");
    return 1;
}

static void compare(const struct world *w)
{
    assert_int_equal(weir_tlsf.check(w->state), 0);
    struct weir_policy_stat stat;
    weir_tlsf.stat(w->state, &stat);
    struct seen seen = {.w = w};
    assert_int_equal(weir_tlsf.walk(w->state, see, &seen), 0);
    uint64_t got = 0, bytes = 0;
    for (uint32_t i = 0; i < w->count; i++)
        got += w->live[i].got;
    for (unsigned i = 0; i < w->conf.areas; i++)
        bytes += w->mem[i] != NULL ? w->bytes[i] : 0;
    assert_int_equal(stat.live, w->count);
    assert_int_equal(stat.live, seen.used);
    assert_int_equal(stat.live_bytes, got);
    assert_int_equal(stat.live_bytes, seen.used_bytes);
    assert_int_equal(stat.free_blocks, seen.free);
    assert_int_equal(stat.free_bytes, seen.free_bytes);
    assert_int_equal(stat.area_bytes, bytes);
    assert_int_equal(stat.overhead_bytes, bytes - got - seen.free_bytes);
    assert_int_equal(stat.largest_free, weir_tlsf.find_max(w->state, 0));
    assert_true(stat.largest_free <= stat.free_bytes);
}

/* ---- operations ---- */

static size_t some_size(struct world *w)
{
    switch (test_below(&w->sim, 8)) {
    case 0:
        return test_below(&w->sim, 4000);
    case 1:
        return test_below(&w->sim, 1000);
    case 2:
        return test_below(&w->sim, 2) ? 0 : SIZE_MAX - test_below(&w->sim, 100);
    default:
        return test_below(&w->sim, 200);
    }
}

static void do_alloc(struct world *w)
{
    if (w->count == MOST_LIVE) return;
    size_t got = 0, size = some_size(w);
    size_t align = test_below(&w->sim, 4) ? 0 : (size_t)1 << test_below(&w->sim, 12);
    size_t most = weir_tlsf.find_max(w->state, align);
    uint8_t *p = weir_tlsf.alloc(w->state, size, align, &got);
    if (p == NULL)
        assert_true(size > most || most == 0);
    else
        new_piece(w, p, size, align, got);
}

/* find_max is what succeeds, and one byte more does not. */
static void do_largest(struct world *w)
{
    if (w->count == MOST_LIVE) return;
    size_t got, align = test_below(&w->sim, 2) ? 0 : (size_t)1 << test_below(&w->sim, 12);
    size_t most = weir_tlsf.find_max(w->state, align);
    assert_null(weir_tlsf.alloc(w->state, most + 1, align, &got));
    if (most == 0) return;
    uint8_t *p = weir_tlsf.alloc(w->state, most, align, &got);
    assert_non_null(p);
    new_piece(w, p, most, align, got);
}

static void do_release(struct world *w)
{
    if (w->count == 0) return;
    struct piece *p = &w->live[test_below(&w->sim, w->count)];
    intact(p, p->got);
    assert_int_equal(weir_tlsf.usable(w->state, p->at), p->got);
    assert_int_equal(weir_tlsf.release(w->state, p->at), p->got);
    *p = w->live[--w->count];
}

static void do_resize(struct world *w)
{
    if (w->count == 0) return;
    struct piece *p = &w->live[test_below(&w->sim, w->count)];
    size_t size = some_size(w);
    ptrdiff_t got = weir_tlsf.resize(w->state, p->at, size);
    intact(p, size < p->got ? size : p->got);
    if (got < 0) {
        assert_int_equal(got, WEIR_ENOMEM);
        assert_true(size > p->got);
        return;
    }
    assert_true((size_t)got >= size);
    assert_true((size_t)got < (size > 12 ? size : 12) + natural(w) + 16); /* what is a block more goes back */
    struct piece changed = *p;
    *p = w->live[--w->count];
    new_piece(w, changed.at, size, 0, (size_t)got);
}

static void do_area(struct world *w)
{
    unsigned i = test_below(&w->sim, w->conf.areas);
    if (w->mem[i] == NULL) {
        area_in(w, i);
        return;
    }
    bool lives = false;
    for (uint32_t k = 0; k < w->count; k++)
        lives |= area_of(w, w->live[k].at, 1) == i;
    assert_int_equal(weir_tlsf.remove(w->state, w->mem[i] + 1), WEIR_EFOREIGN);
    assert_int_equal(weir_tlsf.remove(w->state, w->mem[i]), lives ? WEIR_EBUSY : 0);
    if (!lives) w->mem[i] = NULL;
}

/* An address that is nobody's block: refused, and nothing changed. Level 1 is asked only with bytes that don't
 * imitate heads: the fills, which repeat one byte. */
static void do_wild(struct world *w)
{
    unsigned i = test_below(&w->sim, w->conf.areas);
    if (w->conf.level == 0 || w->mem[i] == NULL) return;
    uint8_t *p = w->mem[i] + test_below(&w->sim, (uint32_t)w->bytes[i]);
    if (test_below(&w->sim, 2)) p = (uint8_t *)((uintptr_t)p & -(uintptr_t)natural(w));
    if (p < w->mem[i]) p += natural(w);
    for (uint32_t k = 0; k < w->count; k++)
        if (w->live[k].at == p) return;
    ptrdiff_t err = weir_tlsf.release(w->state, p);
    assert_true(err == WEIR_EINTERIOR || err == WEIR_EFREE || (w->conf.level < 2 && err == WEIR_ECORRUPT));
    if ((uintptr_t)p % natural(w) != 0) assert_int_equal(err, WEIR_EINTERIOR);
    assert_true(weir_tlsf.usable(w->state, p) < 0);
    assert_true(weir_tlsf.resize(w->state, p, 8) < 0);
    assert_int_equal(weir_tlsf.release(w->state, w), WEIR_EFOREIGN);
}

static void step(struct world *w, unsigned n)
{
    unsigned filling = (n / 150) % 2 == 0 ? 50 : 25; /* phases, so that both ends are met */
    unsigned what = test_below(&w->sim, 100);
    if (what < filling)
        do_alloc(w);
    else if (what < 78)
        do_release(w);
    else if (what < 90)
        do_resize(w);
    else if (what < 94)
        do_wild(w);
    else if (what < 97)
        do_area(w);
    else
        do_largest(w);
}

static void run(uint32_t align, uint32_t areas, uint32_t level, unsigned steps)
{
    struct weir_policy_conf conf = {
        .area_bytes = AREA_BYTES, .align_bytes = align, .areas = areas, .level = level};
    static struct world w;
    world_open(&w, &conf);
    for (unsigned n = 0; n < steps; n++) {
        step(&w, n);
        compare(&w);
    }
    while (w.count > 0)
        do_release(&w);
    compare(&w);
    struct weir_policy_stat stat;
    weir_tlsf.stat(w.state, &stat);
    unsigned there = 0;
    for (unsigned i = 0; i < areas; i++)
        there += w.mem[i] != NULL;
    assert_int_equal(stat.free_blocks, there); /* all is one again */
    assert_int_equal(stat.divisions, stat.merges);
    world_close(&w);
}

static void random_use_matches_the_model(void **state)
{
    (void)state;
    for (uint32_t align = 4; align <= 16; align *= 2)
        for (uint32_t areas = 1; areas <= MOST_AREAS; areas += 2)
            for (uint32_t level = 0; level <= 2; level++)
                run(align, areas, level, 1200);
}

/* Bytes of any value in the blocks: at level 2 no wild release gets through, whatever they imitate. */
static void at_level_2_every_wild_release_is_refused(void **state)
{
    (void)state;
    struct weir_policy_conf conf = {.area_bytes = AREA_BYTES, .align_bytes = 8, .areas = 1, .level = 2};
    static struct world w;
    world_open(&w, &conf);
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned n = 0; n < 200 && w.count < 40; n++)
            do_alloc(&w);
        for (uint32_t k = 0; k < w.count; k++) { /* every word of a block imitates a head that fits */
            size_t words = w.live[k].got / 4;
            for (size_t i = 0; i < words; i++) {
                uint32_t left = (uint32_t)(words - i) * 4;
                memcpy(w.live[k].at + 4 * i, &left, 4);
            }
        }
        uint32_t refused = 0;
        for (uint8_t *p = w.mem[0]; p < w.mem[0] + w.bytes[0]; p++) {
            bool start = false;
            for (uint32_t k = 0; k < w.count; k++)
                start |= w.live[k].at == p;
            if (start) continue;
            ptrdiff_t err = weir_tlsf.release(w.state, p);
            assert_true(err == WEIR_EINTERIOR || err == WEIR_EFREE);
            refused++;
        }
        assert_int_equal(refused + w.count, w.bytes[0]);
        assert_int_equal(weir_tlsf.check(w.state), 0);
        for (unsigned n = 0; n < 20 && w.count > 0; n++) {
            uint32_t k = test_below(&w.sim, w.count);
            assert_true(weir_tlsf.release(w.state, w.live[k].at) > 0);
            assert_int_equal(weir_tlsf.release(w.state, w.live[k].at), WEIR_EFREE);
            w.live[k] = w.live[--w.count];
        }
    }
    world_close(&w);
}

/* Level 1 with random bytes all over: whatever a wild call answers, it neither reads nor writes outside, and a
 * refusal changes nothing. */
static void at_level_1_a_refusal_changes_nothing(void **state)
{
    (void)state;
    struct weir_policy_conf conf = {.area_bytes = AREA_BYTES, .align_bytes = 4, .areas = 1, .level = 1};
    static struct world w;
    world_open(&w, &conf);
    static uint8_t before[AREA_BYTES];
    for (unsigned round = 0; round < 400; round++) {
        size_t got = 0;
        (void)weir_tlsf.alloc(w.state, test_below(&w.sim, 300), 0, &got);
        uint32_t junk = test_below(&w.sim, 2) ? test_u32(&w.sim) : test_u32(&w.sim) & 0x3ffc;
        size_t at = test_below(&w.sim, (uint32_t)w.bytes[0] - 4);
        memcpy(w.mem[0] + at, &junk, 4); /* also over heads and links */
        memcpy(before, w.mem[0], w.bytes[0]);
        for (uint8_t *p = w.mem[0]; p < w.mem[0] + w.bytes[0]; p += 1 + test_below(&w.sim, 8)) {
            if (weir_tlsf.usable(w.state, p) >= 0) continue;
            assert_true(weir_tlsf.release(w.state, p) < 0);
            assert_true(weir_tlsf.resize(w.state, p, 40) < 0);
        }
        assert_memory_equal(before, w.mem[0], w.bytes[0]);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_matches_the_model),
        cmocka_unit_test(at_level_2_every_wild_release_is_refused),
        cmocka_unit_test(at_level_1_a_refusal_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
