/* err_test.c: the table of errors: values for ever, texts, errno values. */
#include <setjmp.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "weir/err.h"

/* Programs were compiled with these: a change here breaks them. */
_Static_assert(WEIR_OK == 0 && WEIR_EINVAL == -1 && WEIR_ENOMEM == -2 && WEIR_EAGAIN == -3,
               "values are for ever");
_Static_assert(WEIR_EFOREIGN == -4 && WEIR_EFAULT == -5 && WEIR_ERANGE == -6 && WEIR_ENOTHELD == -7,
               "values are for ever");
_Static_assert(WEIR_ENOTSUP == -27, "values are for ever");
_Static_assert(WEIR_ESEALED == -31, "values are for ever");

static const int codes[] = {
#define CODE(name, value, eno, text) WEIR_##name,
    WEIR_ERR_MAP(CODE)
#undef CODE
};
#define CODES ((int)(sizeof codes / sizeof codes[0]))

static void values_count_on_without_gaps(void **state)
{
    (void)state;
    for (int i = 0; i < CODES; i++)
        assert_int_equal(codes[i], -(i + 1));
}

static void each_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < CODES; i++) {
        const char *text = weir_strerror(codes[i]);
        assert_true(strlen(text) > 0);
        assert_int_not_equal(text[strlen(text) - 1], '.');
        assert_string_not_equal(text, "unknown error");
        for (int j = 0; j < i; j++)
            assert_string_not_equal(text, weir_strerror(codes[j]));
    }
}

static void errno_stands_beside(void **state)
{
    (void)state;
    assert_int_equal(weir_errno(WEIR_EFOREIGN), EFAULT);
    assert_int_equal(weir_errno(WEIR_ECONNRESET), ECONNRESET);
    assert_int_equal(weir_errno(WEIR_EISLISTEN), EOPNOTSUPP);
    for (int i = 0; i < CODES; i++)
        assert_true(weir_errno(codes[i]) > 0);
}

static void values_outside_the_table(void **state)
{
    static const int success[] = {0, 1, 4096, INT_MAX}, unknown[] = {-CODES - 1, -1000, INT_MIN + 1};
    (void)state;
    for (size_t i = 0; i < sizeof success / sizeof success[0]; i++) {
        assert_string_equal(weir_strerror(success[i]), "success");
        assert_int_equal(weir_errno(success[i]), 0);
    }
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_string_equal(weir_strerror(unknown[i]), "unknown error");
        assert_int_equal(weir_errno(unknown[i]), EINVAL);
    }
}

/* Its negation is no int. */
static void the_smallest_int_is_unknown_too(void **state)
{
    (void)state;
    assert_string_equal(weir_strerror(INT_MIN), "unknown error");
    assert_int_equal(weir_errno(INT_MIN), EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_count_on_without_gaps),
        cmocka_unit_test(each_has_a_text_of_its_own),
        cmocka_unit_test(errno_stands_beside),
        cmocka_unit_test(values_outside_the_table),
        cmocka_unit_test(the_smallest_int_is_unknown_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
