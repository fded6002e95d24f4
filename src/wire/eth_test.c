/* eth_test.c: the Ethernet header, there and back, and cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/test_seed.h"
#include "wire/eth.h"

static bool parse(struct weir_eth *h, const uint8_t *p, uint32_t n)
{
    uint8_t *block;
    bool ok = weir_eth_parse(h, test_copy(p, n, &block), n);
    free(block);
    return ok;
}

static void known_bytes(void **state)
{
    static const uint8_t p[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
                                0x00, 0x5e, 0x10, 0x00, 0x01, 0x08, 0x06};
    static const uint8_t src[] = {0x02, 0x00, 0x5e, 0x10, 0x00, 0x01};
    struct weir_eth h;
    (void)state;
    assert_true(parse(&h, p, sizeof p));
    assert_int_equal(h.type, WEIR_ETHERTYPE_ARP);
    assert_memory_equal(h.src, src, 6);
    assert_true(weir_mac_is_group(h.dst));
    assert_false(weir_mac_is_group(h.src));
}

static void there_and_back(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 2000; i++) {
        uint8_t p[WEIR_ETH_BYTES], again[WEIR_ETH_BYTES];
        struct weir_eth h;
        test_fill(&sim, p, sizeof p);
        assert_true(parse(&h, p, sizeof p));
        weir_eth_emit(again, &h);
        assert_memory_equal(again, p, sizeof p);
    }
}

static void cut_short_at_every_byte(void **state)
{
    static const uint8_t p[WEIR_ETH_BYTES];
    struct weir_eth h;
    (void)state;
    for (uint32_t n = 0; n < WEIR_ETH_BYTES; n++)
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
