/* text_test.c: short lines of text: what is written, where it is cut, what is read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/test_seed.h"
#include "base/text.h"

static void a_line_of_all_kinds(void **state)
{
    char buf[80];
    struct weir_text t;
    (void)state;
    weir_text_init(&t, buf, sizeof buf);
    assert_string_equal(buf, "");
    weir_text_str(&t, "zclass of ");
    weir_text_u64(&t, 16384);
    weir_text_str(&t, " at ");
    weir_text_ip4(&t, 0x0a090002);
    assert_string_equal(buf, "zclass of 16,384 at 10.9.0.2");
    assert_int_equal(t.len, strlen(buf));
}

static void numbers_and_addresses(void **state)
{
    static const struct {
        uint64_t v;
        const char *text;
    } cases[] = {{0, "0"},
                 {7, "7"},
                 {999, "999"},
                 {1000, "1,000"},
                 {999999, "999,999"},
                 {1000000, "1,000,000"},
                 {1073741823, "1,073,741,823"},
                 {UINT64_MAX, "18,446,744,073,709,551,615"}};
    static const struct {
        uint32_t v;
        const char *text;
    } addrs[] = {{0, "0.0.0.0"},
                 {0xffffffff, "255.255.255.255"},
                 {0x7f000001, "127.0.0.1"},
                 {0xc0a8640a, "192.168.100.10"}};
    char buf[40];
    struct weir_text t;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weir_text_init(&t, buf, sizeof buf);
        weir_text_u64(&t, cases[i].v);
        assert_string_equal(buf, cases[i].text);
    }
    for (size_t i = 0; i < sizeof addrs / sizeof addrs[0]; i++) {
        weir_text_init(&t, buf, sizeof buf);
        weir_text_ip4(&t, addrs[i].v);
        assert_string_equal(buf, addrs[i].text);
    }
}

static void cut_at_every_length(void **state)
{
    static const char whole[] = "x 1,234,567 10.9.0.2!";
    (void)state;
    for (size_t cap = 1; cap <= sizeof whole + 2; cap++) {
        char *buf = malloc(cap);
        struct weir_text t;
        size_t want = cap - 1 < sizeof whole - 1 ? cap - 1 : sizeof whole - 1;
        assert_non_null(buf);
        weir_text_init(&t, buf, cap);
        weir_text_str(&t, "x ");
        weir_text_u64(&t, 1234567);
        weir_text_str(&t, " ");
        weir_text_ip4(&t, 0x0a090002);
        weir_text_str(&t, "!");
        assert_int_equal(t.len, want);
        assert_int_equal(buf[want], 0);
        assert_memory_equal(buf, whole, want);
        free(buf);
    }
}

static void reads_a_number_and_stops_behind_it(void **state)
{
    const char *p = "0042/24";
    uint64_t v = 99;
    (void)state;
    assert_int_equal(weir_text_read(&p, 42, &v), 0);
    assert_true(v == 42);
    assert_string_equal(p, "/24");
}

static void refuses_what_is_no_number_or_too_large(void **state)
{
    static const struct {
        const char *text;
        uint64_t max;
    } bad[] = {{"", 9},
               {"-1", 9},
               {" 1", 9},
               {"+1", 9},
               {"x", 9},
               {"10", 9},
               {"256", 255},
               {"1", 0},
               {"9", 8},
               {"18446744073709551616", UINT64_MAX},
               {"99999999999999999999999999", UINT64_MAX}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *p = bad[i].text;
        uint64_t v = 5;
        assert_int_equal(weir_text_read(&p, bad[i].max, &v), -1);
        assert_ptr_equal(p, bad[i].text);
        assert_true(v == 5);
    }
}

static void reads_up_to_its_maximum(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint64_t v = weir_sim_random(&sim) >> test_below(&sim, 64);
        uint64_t max = test_below(&sim, 2) == 0 ? v : weir_sim_random(&sim) >> test_below(&sim, 64);
        char text[24];
        const char *p = text;
        uint64_t got = 0;
        snprintf(text, sizeof text, "%llu", (unsigned long long)v);
        assert_int_equal(weir_text_read(&p, max, &got), v <= max ? 0 : -1);
        if (v <= max) assert_true(got == v && *p == '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_all_kinds),
        cmocka_unit_test(numbers_and_addresses),
        cmocka_unit_test(cut_at_every_length),
        cmocka_unit_test(reads_a_number_and_stops_behind_it),
        cmocka_unit_test(refuses_what_is_no_number_or_too_large),
        cmocka_unit_test(reads_up_to_its_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
