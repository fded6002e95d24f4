/* Tests of TLSF by hand: what blocks cost, areas, alignment, resizing, what each level finds, and that check finds
 * each invariant broken. tlsf_prop_test.c does the same operations at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "weir/err.h"
#include "weir/tlsf.h"
#include "mem/tlsf_heap.h"

#define AREA 65536

static _Alignas(AREA) uint8_t memory[2 * AREA + 4096];
static _Alignas(max_align_t) uint8_t state[WEIR_TLSF_STATE_BYTES(AREA, 4, 3, 2)];

static void begin(uint32_t align, uint32_t areas, uint32_t level)
{
    struct weir_policy_conf conf = {.area_bytes = AREA, .align_bytes = align, .areas = areas, .level = level};
    assert_true(weir_tlsf.state_bytes(&conf) <= sizeof state);
    memset(state, 0xa5, sizeof state);
    assert_int_equal(weir_tlsf.init(state, &conf), 0);
}

static uint8_t *take(size_t size)
{
    size_t got = 0;
    uint8_t *p = weir_tlsf.alloc(state, size, 0, &got);
    if (p != NULL) assert_int_equal(weir_tlsf.usable(state, p), got);
    return p;
}

static struct weir_policy_stat stat_now(void)
{
    struct weir_policy_stat stat;
    weir_tlsf.stat(state, &stat);
    assert_int_equal(weir_tlsf.check(state), 0);
    return stat;
}

/* An area of n bytes at its natural alignment loses one alignment (a pad and the first head; the end mark takes what
 * would be the last block's remainder): what is left holds exactly so many blocks. */
static void costs(uint32_t align, size_t size, size_t cost)
{
    begin(align, 1, 0);
    assert_int_equal(weir_tlsf.add(state, memory, 8192), 0);
    size_t n = 0;
    for (uint8_t *p, *last = NULL; (p = take(size)) != NULL; last = p, n++)
        if (last != NULL) assert_int_equal(p - last, cost);
    assert_int_equal(n, (8192 - align) / cost);
    assert_true(stat_now().free_bytes < cost);
}

static void blocks_cost_what_the_arithmetic_says(void **arg)
{
    (void)arg;
    costs(8, 0, 16);
    costs(8, 12, 16);
    costs(8, 13, 24);
    costs(8, 16, 24);
    costs(8, 24, 32);
    costs(8, 64, 72);
    costs(4, 12, 16);
    costs(4, 16, 20);
    costs(4, 24, 28);
    costs(4, 64, 68);
    costs(16, 12, 16);
    costs(16, 16, 32);
    costs(16, 24, 32);
    costs(16, 28, 32);
    costs(16, 64, 80);
}

static void the_state_is_as_large_as_the_macro_says(void **arg)
{
    (void)arg;
    static const uint32_t areas[] = {1,    24,    511,     512,      513,
                                     4095, 65536, 1000000, 1u << 24, WEIR_TLSF_AREA_MAX};
    for (unsigned i = 0; i < sizeof areas / sizeof areas[0]; i++)
        for (uint32_t align = 4; align <= 16; align *= 2)
            for (uint32_t n = 1; n <= 4; n += 3)
                for (uint32_t level = 0; level <= 2; level++) {
                    struct weir_policy_conf conf = {
                        .area_bytes = areas[i], .align_bytes = align, .areas = n, .level = level};
                    assert_int_equal(weir_tlsf.state_bytes(&conf),
                                     WEIR_TLSF_STATE_BYTES(areas[i], align, n, level));
                }
    struct weir_policy_conf small = {.area_bytes = 4096}, large = {.area_bytes = 1u << 30}, none = {0};
    assert_true(weir_tlsf.state_bytes(&small) < weir_tlsf.state_bytes(&large));
    assert_int_equal(weir_tlsf.state_bytes(&none),
                     WEIR_TLSF_STATE_BYTES(WEIR_TLSF_AREA_MAX, sizeof(void *), 1, 0));
}

static void refused(struct weir_policy_conf conf)
{
    assert_int_equal(weir_tlsf.state_bytes(&conf), 0);
    assert_int_equal(weir_tlsf.init(state, &conf), WEIR_EINVAL);
}

static void configurations_that_cannot_be_served_are_refused(void **arg)
{
    (void)arg;
    refused((struct weir_policy_conf){.area_bytes = (size_t)WEIR_TLSF_AREA_MAX + 1});
    refused((struct weir_policy_conf){.area_bytes = SIZE_MAX});
    refused((struct weir_policy_conf){.area_bytes = AREA, .align_bytes = 2});
    refused((struct weir_policy_conf){.area_bytes = AREA, .align_bytes = 12});
    refused((struct weir_policy_conf){.area_bytes = AREA, .align_bytes = 32});
    refused((struct weir_policy_conf){.area_bytes = AREA, .areas = WEIR_TLSF_AREAS_MAX + 1});
    refused((struct weir_policy_conf){.area_bytes = AREA, .level = 3});
}

static void areas_too_small_too_large_or_over_the_end(void **arg)
{
    (void)arg;
    begin(8, 2, 0);
    assert_int_equal(weir_tlsf.add(state, memory, 0), WEIR_EINVAL);
    assert_int_equal(weir_tlsf.add(state, memory, 23), WEIR_EINVAL);
    assert_int_equal(weir_tlsf.add(state, memory, AREA + 1), WEIR_EINVAL);
    assert_int_equal(weir_tlsf.add(state, (void *)(UINTPTR_MAX - 100), 4096), WEIR_EINVAL);
    assert_null(take(1));
    assert_int_equal(weir_tlsf.find_max(state, 0), 0);
    assert_int_equal(weir_tlsf.release(state, memory), WEIR_EFOREIGN);
    assert_int_equal(weir_tlsf.add(state, memory, 24), 0); /* one block of 16 */
    assert_int_equal(weir_tlsf.find_max(state, 0), 12);
    assert_null(take(13));
    assert_non_null(take(12));
    assert_null(take(1));
    assert_int_equal(weir_tlsf.remove(state, memory), WEIR_EBUSY);
    assert_int_equal(stat_now().overhead_bytes, 12);
}

static int first_seen(void *arg, const struct weir_block *b)
{
    *(const void **)arg = b->start;
    return 7;
}

static void several_areas_serve_and_go_in_any_order(void **arg)
{
    (void)arg;
    for (uint32_t level = 0; level <= 2; level++) {
        begin(8, 3, level);
        assert_int_equal(weir_tlsf.add(state, memory + AREA, 1024), 0);
        assert_int_equal(weir_tlsf.add(state, memory, 4096), 0);
        assert_int_equal(weir_tlsf.add(state, memory + 2 * AREA, 2048), 0);
        assert_int_equal(weir_tlsf.add(state, memory + 8192, 64), WEIR_EMFILE);
        uint8_t *first = take(1000), *large = take(3000), *third = take(2000);
        assert_true(first > memory + AREA && large < memory + 4096 && third > memory + 2 * AREA);
        assert_null(take(1500));
        assert_int_equal(weir_tlsf.remove(state, memory + AREA), WEIR_EBUSY);
        assert_int_equal(weir_tlsf.release(state, first), 1012);
        assert_int_equal(weir_tlsf.remove(state, memory + AREA), 0);
        assert_int_equal(weir_tlsf.remove(state, memory + AREA), WEIR_EFOREIGN);
        assert_int_equal(weir_tlsf.release(state, first), WEIR_EFOREIGN);
        const void *seen = NULL;
        assert_int_equal(weir_tlsf.walk(state, first_seen, &seen), 7);
        assert_ptr_equal(seen, large);
        assert_true(weir_tlsf.release(state, third) >= 2000 && weir_tlsf.release(state, large) >= 3000);
        struct weir_policy_stat stat = stat_now();
        assert_int_equal(stat.area_bytes, 4096 + 2048);
        assert_int_equal(stat.free_blocks, 2);
        assert_int_equal(stat.divisions, stat.merges); /* the removed area's are still counted */
        assert_true(stat.divisions >= 1);
    }
}

static void alignments_up_to_the_area(void **arg)
{
    (void)arg;
    begin(8, 1, 1);
    assert_int_equal(weir_tlsf.add(state, memory + 8, AREA - 8), 0);
    size_t got = 0;
    assert_int_equal(weir_tlsf.find_max(state, 32768), AREA - 32768 - 4);
    uint8_t *p = weir_tlsf.alloc(state, AREA - 32768 - 4, 32768, &got);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 32768, 0);
    assert_int_equal(stat_now().free_blocks, 1); /* the gap in front */
    assert_non_null(weir_tlsf.alloc(state, 16000, 4096, &got));
    assert_null(weir_tlsf.alloc(state, 1, 24, &got));
    assert_null(weir_tlsf.alloc(state, 1, (size_t)1 << 31, &got));
    assert_int_equal(weir_tlsf.find_max(state, 24), 0);
    assert_true(weir_tlsf.release(state, p) > 0);
    assert_int_equal(stat_now().live, 1);
}

static void resizing_stays_where_it_is(void **arg)
{
    (void)arg;
    begin(8, 1, 1);
    assert_int_equal(weir_tlsf.add(state, memory, 4096), 0);
    size_t got;
    uint8_t *a = weir_tlsf.alloc(state, 100, 256, &got), *b, *c;
    b = take(200);
    c = take(300);
    assert_true(a < b || b < c);
    memset(a, 0, 100);
    memset(c, 0x77, 300);
    assert_int_equal(weir_tlsf.resize(state, c, 1000), 1004);
    assert_int_equal(weir_tlsf.resize(state, c, 5000), WEIR_ENOMEM);
    assert_int_equal(weir_tlsf.resize(state, c, SIZE_MAX), WEIR_ENOMEM);
    assert_int_equal(weir_tlsf.usable(state, c), 1004);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(c[i], 0x77);
    assert_int_equal(weir_tlsf.resize(state, c, 0), 12);
    assert_int_equal(weir_tlsf.resize(state, c, 13), 20);
    assert_int_equal(c[11], 0x77);
    uint64_t free_bytes = stat_now().free_bytes;
    assert_int_equal(weir_tlsf.resize(state, a, 12), 12);
    assert_int_equal((uintptr_t)a % 256, 0);
    assert_true(stat_now().free_bytes > free_bytes);
    assert_int_equal(weir_tlsf.resize(state, a + 8, 12), WEIR_EINTERIOR);
}

static void a_release_is_refused_for_what_is_wrong_with_it(void **arg)
{
    (void)arg;
    for (uint32_t level = 1; level <= 2; level++) {
        begin(8, 1, level);
        assert_int_equal(weir_tlsf.add(state, memory, 4096), 0);
        uint8_t *a = take(40), *b = take(40), *c = take(40), *d = take(40);
        memset(b, 0, 40);
        assert_int_equal(weir_tlsf.release(state, NULL), WEIR_EFOREIGN);
        assert_int_equal(weir_tlsf.release(state, memory + 4096), WEIR_EFOREIGN);
        assert_int_equal(weir_tlsf.release(state, memory), WEIR_EINTERIOR);
        assert_int_equal(weir_tlsf.release(state, memory + 4095), WEIR_EINTERIOR);
        assert_int_equal(weir_tlsf.release(state, b + 8), WEIR_EINTERIOR);
        assert_int_equal(weir_tlsf.release(state, b + 1), WEIR_EINTERIOR);
        assert_int_equal(weir_tlsf.release(state, b), 44);
        assert_int_equal(weir_tlsf.release(state, b), WEIR_EFREE);
        assert_int_equal(weir_tlsf.release(state, c), 44); /* joins b */
        assert_int_equal(weir_tlsf.release(state, c), WEIR_EFREE);
        assert_int_equal(weir_tlsf.resize(state, c, 4), WEIR_EFREE);
        assert_int_equal(weir_tlsf.usable(state, c), WEIR_EFREE);
        assert_int_equal(weir_tlsf.release(state, a), 44);
        assert_int_equal(weir_tlsf.release(state, b), WEIR_EFREE);
        assert_int_equal(weir_tlsf.release(state, d), 44);
        assert_int_equal(weir_tlsf.release(state, d), WEIR_EFREE);
        assert_int_equal(stat_now().free_blocks, 1);
    }
}

/* Each kind of overwritten word is found by the release that would use it, which changes nothing. */
static void overwritten(uint8_t *freed, ptrdiff_t at, uint8_t *released, int wanted)
{
    uint32_t good, bad = 0x41414141;
    memcpy(&good, freed + at, 4);
    memcpy(freed + at, &bad, 4);
    ptrdiff_t err = weir_tlsf.release(state, released);
    assert_int_equal(err, wanted);
    assert_int_equal(weir_tlsf.usable(state, released), wanted);
    memcpy(freed + at, &good, 4);
    assert_int_equal(weir_tlsf.check(state), 0);
}

static void overwritten_heads_and_links_are_found(void **arg)
{
    (void)arg;
    for (uint32_t level = 1; level <= 2; level++) {
        begin(8, 1, level);
        assert_int_equal(weir_tlsf.add(state, memory, 4096), 0);
        uint8_t *p[7];
        for (unsigned i = 0; i < 7; i++)
            p[i] = take(40);
        assert_true(weir_tlsf.release(state, p[1]) > 0 && weir_tlsf.release(state, p[3]) > 0 &&
                    weir_tlsf.release(state, p[5]) > 0);
        overwritten(p[1], -4, p[0], WEIR_ECORRUPT); /* its head, from in front */
        overwritten(p[1], 0, p[0], WEIR_ECORRUPT);  /* links */
        overwritten(p[1], 4, p[0], WEIR_ECORRUPT);
        overwritten(p[3], 0, p[2], WEIR_ECORRUPT);
        overwritten(p[3], 4, p[2], WEIR_ECORRUPT);
        overwritten(p[5], 4, p[4], WEIR_ECORRUPT);
        overwritten(p[5], 0, p[4], WEIR_ECORRUPT);
        overwritten(p[3], 40, p[2], WEIR_ECORRUPT); /* foot, from in front */
        overwritten(p[3], 40, p[4], WEIR_ECORRUPT); /* and from behind */
        overwritten(p[3], -4, p[4], WEIR_ECORRUPT);
        overwritten(p[4], -4, p[4], level == 2 ? WEIR_ECORRUPT : WEIR_EFREE); /* its own */
    }
}

static void a_block_written_to_after_its_release_is_not_handed_out(void **arg)
{
    (void)arg;
    for (uint32_t level = 1; level <= 2; level++) {
        begin(8, 1, level);
        assert_int_equal(weir_tlsf.add(state, memory, 4096), 0);
        uint8_t *p = take(40);
        (void)take(40);
        assert_true(weir_tlsf.release(state, p) > 0);
        uint8_t kept[8];
        memcpy(kept, p, 8);
        memset(p, 0x42, 8);
        assert_null(take(40));
        assert_int_equal(weir_tlsf.check(state), 5);
        memcpy(p, kept, 8);
        assert_ptr_equal(take(40), p);
    }
}

/* Breaks a word and wants check to say so. */
static void broken(void *word, uint32_t value, int wanted)
{
    uint32_t good;
    memcpy(&good, word, 4);
    memcpy(word, &value, 4);
    assert_int_equal(weir_tlsf.check(state), wanted);
    memcpy(word, &good, 4);
    assert_int_equal(weir_tlsf.check(state), 0);
}

static void check_names_the_invariant(void **arg)
{
    (void)arg;
    begin(8, 1, 2);
    assert_int_equal(weir_tlsf.add(state, memory, 4096), 0);
    uint8_t *a = take(40), *b = take(40), *c = take(40);
    assert_int_equal(weir_tlsf.release(state, b), 44);
    struct weir_tlsf *s = (struct weir_tlsf *)(void *)state;
    struct weir_tlsf_area *area = tlsf_first(s);
    broken(a - 4, 8, 1);
    broken(a - 4, 52, 1);
    broken(a - 4, 8192, 1);
    broken(a - 4, 48 | TLSF_PREV_FREE, 2);
    broken(c - 4, 48, 2);
    broken(b + 40, 48, 3);
    broken(b, 33, 5);
    broken(b + 4, 33, 5);
    size_t list = tlsf_class(48) - ((size_t)TLSF_ROW_LEAST << WEIR_TLSF_ROW_LOG2);
    broken(&area->list[list], 0, 5);
    broken(&area->list[list + 1], area->list[list], 7);
    broken(&area->live, 3, 8);
    broken(&area->live_bytes, 0, 8);
    area->divisions++;
    assert_int_equal(weir_tlsf.check(state), 9);
    area->divisions--;
    uint8_t *map = (uint8_t *)area + s->bits_at;
    map[0] ^= 1; /* a's */
    assert_int_equal(weir_tlsf.check(state), 10);
    map[0] ^= 1 | 2; /* nobody's */
    assert_int_equal(weir_tlsf.check(state), 10);
    map[0] ^= 2;
    area->rows ^= (size_t)1 << TLSF_ROW_LEAST;
    assert_int_equal(weir_tlsf.check(state), 7);
    area->rows ^= (size_t)1 << TLSF_ROW_LEAST;
    s->count = 2;
    assert_int_equal(weir_tlsf.check(state), 11);
    s->count = 1;
    assert_int_equal(weir_tlsf.check(state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_cost_what_the_arithmetic_says),
        cmocka_unit_test(the_state_is_as_large_as_the_macro_says),
        cmocka_unit_test(configurations_that_cannot_be_served_are_refused),
        cmocka_unit_test(areas_too_small_too_large_or_over_the_end),
        cmocka_unit_test(several_areas_serve_and_go_in_any_order),
        cmocka_unit_test(alignments_up_to_the_area),
        cmocka_unit_test(resizing_stays_where_it_is),
        cmocka_unit_test(a_release_is_refused_for_what_is_wrong_with_it),
        cmocka_unit_test(overwritten_heads_and_links_are_found),
        cmocka_unit_test(a_block_written_to_after_its_release_is_not_handed_out),
        cmocka_unit_test(check_names_the_invariant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
