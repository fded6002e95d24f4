/* names_test.c: names of drop reasons and TCP states. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "weir/stats.h"
#include "weir/weir.h"

static const char *const upper[] = {
#define UPPER(name, lower, text) #name,
    WEIR_DROP_MAP(UPPER)
#undef UPPER
};

/* The table writes each name twice; the second must be the first in lower case. */
static void lower_case_is_the_same_name(void **state)
{
    (void)state;
    for (int i = 0; i < WEIR_DROPS; i++) {
        const char *name = weir_drop_name((enum weir_drop)i);
        assert_int_equal(strlen(name), strlen(upper[i]));
        for (size_t c = 0; name[c] != '\0'; c++)
            assert_int_equal(name[c], tolower((unsigned char)upper[i][c]));
        assert_true(strlen(weir_drop_text((enum weir_drop)i)) > 10);
    }
    assert_string_equal(weir_drop_name(WEIR_DROP_TCP_CSUM), "tcp_csum");
    assert_string_equal(weir_drop_text(WEIR_DROP_TCP_CSUM), "TCP checksum wrong");
}

static void states_by_their_names_in_the_rfc(void **state)
{
    (void)state;
    assert_string_equal(weir_tcp_state_name(WEIR_TCP_CLOSED), "CLOSED");
    assert_string_equal(weir_tcp_state_name(WEIR_TCP_ESTABLISHED), "ESTABLISHED");
    assert_string_equal(weir_tcp_state_name(WEIR_TCP_TIME_WAIT), "TIME_WAIT");
}

static void beyond_the_tables(void **state)
{
    (void)state;
    assert_string_equal(weir_drop_name(WEIR_DROPS), "?");
    assert_string_equal(weir_drop_text(WEIR_DROPS), "?");
    assert_string_equal(weir_drop_name((enum weir_drop) - 1), "?");
    assert_string_equal(weir_tcp_state_name((enum weir_tcp_state)(WEIR_TCP_TIME_WAIT + 1)), "?");
    assert_string_equal(weir_tcp_state_name((enum weir_tcp_state) - 1), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lower_case_is_the_same_name),
        cmocka_unit_test(states_by_their_names_in_the_rfc),
        cmocka_unit_test(beyond_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
