/* icmphdr_test.c: the first eight bytes of ICMP, there and back, and cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/test_seed.h"
#include "wire/icmphdr.h"

static bool parse(struct weir_icmphdr *h, const uint8_t *p, uint32_t n)
{
    uint8_t *block;
    bool ok = weir_icmphdr_parse(h, test_copy(p, n, &block), n);
    free(block);
    return ok;
}

/* Fragmentation needed, next hop takes 1,400. */
static void known_bytes(void **state)
{
    static const uint8_t p[] = {3, 4, 0xf6, 0x83, 0, 0, 0x05, 0x78};
    struct weir_icmphdr h;
    (void)state;
    assert_true(parse(&h, p, sizeof p));
    assert_int_equal(h.type, WEIR_ICMP_UNREACHABLE);
    assert_int_equal(h.code, WEIR_ICMP_FRAG_NEEDED);
    assert_int_equal(h.csum, 0xf683);
    assert_int_equal(h.rest, 1400);
}

static void there_and_back(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 2000; i++) {
        uint8_t p[WEIR_ICMP_BYTES], again[WEIR_ICMP_BYTES];
        struct weir_icmphdr h;
        test_fill(&sim, p, sizeof p);
        assert_true(parse(&h, p, sizeof p));
        weir_icmphdr_emit(again, &h);
        assert_memory_equal(again, p, sizeof p);
    }
}

static void cut_short_at_every_byte(void **state)
{
    static const uint8_t p[WEIR_ICMP_BYTES];
    struct weir_icmphdr h;
    (void)state;
    for (uint32_t n = 0; n < WEIR_ICMP_BYTES; n++)
        assert_false(parse(&h, p, n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_bytes),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(cut_short_at_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
