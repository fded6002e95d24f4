/* ledger_test.c: what scripts read. */
#include "ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct weir_ledger sample(void)
{
    struct weir_ledger l;
    memset(&l, 0, sizeof(l));
    l.stats.tx_bytes_ref = UINT64_C(1) << 40;
    l.stats.tx_frames = 3;
    l.stats.tx_bytes_wire = 100;
    l.stats.drops[WEIR_DROP_TCP_CSUM] = 7;
    l.stats.zclasses = 1;
    l.stats.zclass[0] = (struct weir_zclass_stats){.bytes = 2048, .count = 10, .free = 9, .low = 3};
    l.file_bytes_copied = 5;
    l.fault_lost = 4;
    l.fault_duplicated = 6;
    return l;
}

static int64_t value(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v)) fail_msg("%s is missing", key);
    return json_integer_value(v);
}

static void json(void **state)
{
    static const char *const zero[] = {"tx_bytes_copied", "rx_bytes",     "rx_bytes_copied", "zbuf_allocs",
                                       "zbuf_peak",       "zbuf_live",    "fallthroughs",    "pressure",
                                       "retransmits",     "device_calls", "system_calls"};
    struct weir_ledger l = sample();
    (void)state;
    json_t *o = weir_ledger_json(&l);
    assert_int_equal(value(o, "tx_bytes_ref"), INT64_C(1) << 40);
    assert_int_equal(value(o, "file_bytes_copied"), 5);
    assert_int_equal(value(o, "fault_lost"), 4);
    assert_int_equal(value(o, "fault_reordered"), 0);
    assert_int_equal(value(o, "fault_duplicated"), 6);
    assert_int_equal(value(o, "fault_corrupted"), 0);
    assert_int_equal(value(o, "frames"), 3);
    assert_int_equal(value(o, "mean_frame_bytes"), 33);
    for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
        assert_int_equal(value(o, zero[i]), 0);
    const json_t *drops = json_object_get(o, "drops");
    assert_int_equal(json_object_size(drops), 1);
    assert_int_equal(value(drops, weir_drop_name(WEIR_DROP_TCP_CSUM)), 7);
    assert_int_equal(value(json_array_get(json_object_get(o, "zclasses"), 0), "low"), 3);
    json_decref(o);
}

static void table(void **state)
{
    char *text = NULL;
    size_t n = 0;
    struct weir_ledger l = sample();
    (void)state;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    weir_ledger_print(f, &l);
    fclose(f);
    assert_non_null(strstr(text, "tx_bytes_ref              1099511627776  "));
    assert_non_null(strstr(text, "retransmits "));
    assert_null(strstr(text, "keepalives "));
    assert_non_null(strstr(text, "fault_lost                            4  "));
    assert_null(strstr(text, "fault_reordered "));
    assert_non_null(strstr(text, weir_drop_text(WEIR_DROP_TCP_CSUM)));
    free(text);
}

static void printed(void **state)
{
    char *text = NULL;
    size_t n = 0;
    (void)state;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    assert_int_equal(weir_json_print(f, json_pack("{s:i}", "a", 1)), 0);
    assert_int_equal(weir_json_print(f, NULL), -1);
    fclose(f);
    assert_string_equal(text, "{\n  \"a\": 1\n}\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(json), cmocka_unit_test(table),
                                       cmocka_unit_test(printed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
