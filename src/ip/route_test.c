/* route_test.c: interface and next hop. */
#include "ip/ip_rig.h"

static void assert_route(uint32_t dst, int ifc, uint32_t want_hop)
{
    uint32_t hop = 0;
    struct weir_ifc *c = weir_ip4_route(&g.ip, dst, &hop);
    if (ifc < 0) {
        assert_null(c);
        return;
    }
    assert_ptr_equal(c, &g.ip.ifc[ifc]);
    assert_int_equal(hop, want_hop);
}

static void longest_prefix_then_gateway(void **state)
{
    (void)state;
    assert_route(RIG_PEER, 0, RIG_PEER);
    assert_route(0x0a09007f, 0, 0x0a09007f);
    assert_route(RIG_PEER2, 1, RIG_PEER2);
    assert_route(0x08080808, 0, RIG_PEER);
    assert_route(0x0a090101, 0, RIG_PEER);
}

static void no_route_to_what_is_no_host(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0,          0x00000001,  0x7f000001, 0xe0000001, 0xf0000001, 0xffffffff,
                                   RIG_OUR_IP, RIG_OUR_IP2, 0x0a090000, 0x0a0900ff, 0x0a090080};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_route(bad[i], -1, 0);
}

static void interfaces_that_are_down_do_not_count(void **state)
{
    (void)state;
    g.ip.ifc[1].up = 0;
    assert_route(RIG_PEER2, 0, RIG_PEER2);
    assert_route(RIG_OUR_IP2, 0, RIG_OUR_IP2);
    assert_null(weir_ip4_local(&g.ip, RIG_OUR_IP2));
    g.ip.ifc[0].up = 0;
    assert_route(RIG_PEER, -1, 0);
    assert_route(0x08080808, -1, 0);
}

static void the_first_gateway_serves(void **state)
{
    (void)state;
    g.ip.ifc[1].gateway = RIG_PEER2;
    assert_route(0x08080808, 0, RIG_PEER);
    g.ip.ifc[0].gateway = 0;
    assert_route(0x08080808, 1, RIG_PEER2);
    g.ip.ifc[1].gateway = 0;
    assert_route(0x08080808, -1, 0);
}

static void knows_its_own_addresses(void **state)
{
    (void)state;
    assert_ptr_equal(weir_ip4_local(&g.ip, RIG_OUR_IP), &g.ip.ifc[0]);
    assert_ptr_equal(weir_ip4_local(&g.ip, RIG_OUR_IP2), &g.ip.ifc[1]);
    assert_null(weir_ip4_local(&g.ip, RIG_PEER));
    assert_null(weir_ip4_local(&g.ip, 0));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(longest_prefix_then_gateway),
        TEST(no_route_to_what_is_no_host),
        TEST(interfaces_that_are_down_do_not_count),
        TEST(the_first_gateway_serves),
        TEST(knows_its_own_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
