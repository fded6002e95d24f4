/* addr_test.c: addresses as people write them, and as they mistype them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "weir/weir.h"

static void reads_interface_addresses(void **state)
{
    static const struct {
        const char *text;
        uint8_t ip[4], prefix;
    } good[] = {
        {"10.9.0.2/24", {10, 9, 0, 2}, 24},
        {"10.9.0.2", {10, 9, 0, 2}, 24},
        {"255.255.255.255/30", {255, 255, 255, 255}, 30},
        {"0.0.0.0/1", {0, 0, 0, 0}, 1},
        {"192.168.1.10/9", {192, 168, 1, 10}, 9},
    };
    static const uint8_t zero[16];
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct weir_ifaddr a;
        memset(&a, 0x55, sizeof(a));
        assert_int_equal(weir_ifaddr_parse(&a, good[i].text), 0);
        assert_int_equal(a.family, WEIR_IP4);
        assert_int_equal(a.prefix, good[i].prefix);
        assert_memory_equal(a.ip, good[i].ip, 4);
        assert_memory_equal(a.ip + 4, zero, 12);
        assert_memory_equal(a.gateway, zero, 16);
    }
}

static void refuses_other_interface_addresses(void **state)
{
    static const char *const bad[] = {
        "",
        "10",
        "10.9.0",
        "10.9.0.",
        "10.9.0.2/",
        "10.9.0.2/0",
        "10.9.0.2/31",
        "10.9.0.2/a",
        "10.9.0.256",
        "10.9.0.2.3",
        "10..0.2",
        " 10.9.0.2",
        "10.9.0.2 ",
        "10.9.0.2/24 ",
        "10.9.0.-2",
        "10.9.0.+2",
        "010.9.0.2",
        "10.9.00.2",
        "10,9,0,2",
        "0x0a.9.0.2",
        "10.9.0.2/024",
        "a.b.c.d",
        "10.9.0.2:80",
        "10.9.0.2/4294967320",
        "4294967306.9.0.2",
        "10.9.0.2/24/24",
        ".10.9.0.2",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct weir_ifaddr a, before;
        memset(&a, 0x55, sizeof(a));
        before = a;
        assert_int_equal(weir_ifaddr_parse(&a, bad[i]), WEIR_EINVAL);
        assert_memory_equal(&a, &before, sizeof(a));
    }
}

static void reads_addresses_with_ports(void **state)
{
    static const uint8_t ip[16] = {10, 9, 0, 1};
    struct weir_addr a;
    (void)state;
    memset(&a, 0x55, sizeof(a));
    assert_int_equal(weir_addr_parse(&a, "10.9.0.1:80"), 0);
    assert_int_equal(a.family, WEIR_IP4);
    assert_int_equal(a.port, 80);
    assert_memory_equal(a.ip, ip, 16);
    assert_int_equal(weir_addr_parse(&a, "10.9.0.1:65535"), 0);
    assert_int_equal(a.port, 65535);
    assert_int_equal(weir_addr_parse(&a, "0.0.0.0:1"), 0);
}

static void refuses_other_addresses_with_ports(void **state)
{
    static const char *const bad[] = {
        "",
        "10.9.0.1",
        "10.9.0.1:",
        "10.9.0.1:0",
        "10.9.0.1:65536",
        "10.9.0.1:080",
        ":80",
        "10.9.0.1:80 ",
        "10.9.0.1/24:80",
        "10.9.0.1:-1",
        "10.9.0.1::80",
        "10.9.0:80",
        "10.9.0.1:8o",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct weir_addr a;
        assert_int_equal(weir_addr_parse(&a, bad[i]), WEIR_EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_interface_addresses),
        cmocka_unit_test(refuses_other_interface_addresses),
        cmocka_unit_test(reads_addresses_with_ports),
        cmocka_unit_test(refuses_other_addresses_with_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
