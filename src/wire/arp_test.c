/* arp_test.c: ARP packets, there and back, cut short, and of other kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/test_seed.h"
#include "wire/arp.h"

static bool parse(struct weir_arp *a, const uint8_t *p, uint32_t n)
{
    uint8_t *block;
    bool ok = weir_arp_parse(a, test_copy(p, n, &block), n);
    free(block);
    return ok;
}

/* Who has 10.9.0.1? Tell 10.9.0.2. */
static const uint8_t request[WEIR_ARP_BYTES] = {0,  1, 8, 0, 6, 4, 0, 1, 2, 0, 0x5e, 0x10, 0, 1,
                                                10, 9, 0, 2, 0, 0, 0, 0, 0, 0, 10,   9,    0, 1};

static void known_bytes(void **state)
{
    static const uint8_t sha[] = {2, 0, 0x5e, 0x10, 0, 1}, none[6];
    uint8_t again[WEIR_ARP_BYTES];
    struct weir_arp a;
    (void)state;
    assert_true(parse(&a, request, sizeof request));
    assert_int_equal(a.op, WEIR_ARP_REQUEST);
    assert_int_equal(a.spa, 0x0a090002);
    assert_int_equal(a.tpa, 0x0a090001);
    assert_memory_equal(a.sha, sha, 6);
    assert_memory_equal(a.tha, none, 6);
    weir_arp_emit(again, &a);
    assert_memory_equal(again, request, sizeof request);
}

static void there_and_back(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 2000; i++) {
        struct weir_arp a, b;
        uint8_t p[WEIR_ARP_BYTES];
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        a.op = test_below(&sim, 2) == 0 ? WEIR_ARP_REQUEST : WEIR_ARP_REPLY;
        a.spa = test_u32(&sim);
        a.tpa = test_u32(&sim);
        test_fill(&sim, a.sha, 6);
        test_fill(&sim, a.tha, 6);
        weir_arp_emit(p, &a);
        assert_true(parse(&b, p, sizeof p));
        assert_memory_equal(&a, &b, sizeof a);
    }
}

static void cut_short_at_every_byte(void **state)
{
    struct weir_arp a;
    (void)state;
    for (uint32_t n = 0; n < WEIR_ARP_BYTES; n++)
        assert_false(parse(&a, request, n));
}

/* Any other value in the first eight bytes is refused, but for the operation's 2. */
static void other_kinds_are_refused(void **state)
{
    (void)state;
    for (uint32_t at = 0; at < 8; at++) {
        for (unsigned v = 0; v < 256; v++) {
            uint8_t p[WEIR_ARP_BYTES];
            struct weir_arp a;
            memcpy(p, request, sizeof p);
            p[at] = (uint8_t)v;
            bool same = v == request[at], reply = at == 7 && v == 2;
            assert_int_equal(parse(&a, p, sizeof p), same || reply);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_bytes),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(cut_short_at_every_byte),
        cmocka_unit_test(other_kinds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
