/* udphdr_test.c: the UDP header, there and back, cut short, and with every length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/order.h"
#include "base/test_seed.h"
#include "wire/udphdr.h"

static bool parse(struct weir_udphdr *h, const uint8_t *p, uint32_t n, uint32_t total)
{
    uint8_t *block;
    bool ok = weir_udphdr_parse(h, test_copy(p, n, &block), n, total);
    free(block);
    return ok;
}

static void there_and_back(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 2000; i++) {
        struct weir_udphdr h = {(uint16_t)test_u32(&sim), (uint16_t)test_u32(&sim),
                                (uint16_t)(WEIR_UDP_BYTES + test_below(&sim, 65536 - WEIR_UDP_BYTES)),
                                (uint16_t)test_u32(&sim)};
        struct weir_udphdr back = {0, 0, 0, 0};
        uint8_t p[WEIR_UDP_BYTES];
        weir_udphdr_emit(p, &h);
        assert_true(parse(&back, p, sizeof p, h.bytes));
        assert_memory_equal(&back, &h, sizeof h);
        assert_int_equal(weir_be16(p + 4), h.bytes);
    }
}

static void cut_short_at_every_byte(void **state)
{
    static const uint8_t p[WEIR_UDP_BYTES] = {0, 53, 0, 53, 0, 8, 0, 0};
    struct weir_udphdr h;
    (void)state;
    assert_true(parse(&h, p, WEIR_UDP_BYTES, WEIR_UDP_BYTES));
    for (uint32_t n = 0; n < WEIR_UDP_BYTES; n++)
        assert_false(parse(&h, p, n, WEIR_UDP_BYTES));
}

static void every_length_against_every_total(void **state)
{
    uint8_t p[WEIR_UDP_BYTES] = {0};
    struct weir_udphdr h;
    (void)state;
    for (uint32_t bytes = 0; bytes < 40; bytes++) {
        weir_put_be16(p + 4, (uint16_t)bytes);
        for (uint32_t total = WEIR_UDP_BYTES; total < 40; total++)
            assert_int_equal(parse(&h, p, sizeof p, total), bytes >= WEIR_UDP_BYTES && bytes <= total);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(cut_short_at_every_byte),
        cmocka_unit_test(every_length_against_every_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
