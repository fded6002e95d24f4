/* options_test.c: what the command line takes and refuses. */
#include "options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 24

/* Parses "--dev tap:x --json": words are parted by one blank. */
static int parse(struct weir_options *o, const char *line, bool device_needed)
{
    static char text[300];
    char *argv[WORDS_MAX] = {"serve"};
    int argc = 1;
    assert_true(strlen(line) < sizeof(text));
    memcpy(text, line, strlen(line) + 1);
    for (char *word = strtok(text, " "); word != NULL && argc < WORDS_MAX - 1; word = strtok(NULL, " "))
        argv[argc++] = word;
    return weir_options_parse(o, argc, argv, "doc", device_needed,
                              ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP);
}

static void whole_line(void **state)
{
    struct weir_options o;
    (void)state;
    assert_int_equal(
        parse(&o,
              "--dev tap:weir0 --addr 10.9.0.2/16 --host 10.9.0.1/16 --port 8080 --root /srv --mem 1g "
              "--zbuf 16k:10,2k:20 --trace t.pcap --fault loss=0.5,seed=7 --seconds 9 --json",
              true),
        0);
    assert_string_equal(o.ifname, "weir0");
    assert_int_equal(o.addr.prefix, 16);
    assert_memory_equal(o.addr.ip, ((uint8_t[]){10, 9, 0, 2}), 4);
    assert_string_equal(o.host_cidr, "10.9.0.1/16");
    assert_int_equal(o.port, 8080);
    assert_string_equal(o.root, "/srv");
    assert_int_equal(o.mem_bytes, UINT64_C(1) << 30);
    assert_true(o.zclasses == 2 && o.zclass[0].bytes == 2048 && o.zclass[0].count == 20);
    assert_true(o.zclass[1].bytes == 16384 && o.zclass[1].count == 10);
    assert_string_equal(o.trace, "t.pcap");
    assert_true(o.has_fault && o.fault.loss_ppm == 500000 && o.fault.seed == 7);
    assert_true(o.seconds == 9 && o.json);
}

static void defaults(void **state)
{
    struct weir_options o;
    (void)state;
    assert_int_equal(parse(&o, "--dev tap:x --addr 10.9.0.2", true), 0);
    assert_true(o.port == 80 && o.addr.prefix == 24 && o.host_cidr == NULL && o.trace == NULL &&
                !o.has_fault);
    assert_true(o.mem_bytes == WEIR_OPTIONS_MEM_DEFAULT && o.zclasses == 0 && o.seconds == 0 && !o.json);
    assert_string_equal(o.root, ".");
    assert_int_equal(parse(&o, "", false), 0);
}

static void refused(void **state)
{
    static const char *const lines[] = {
        "",
        "--dev tap:x",
        "--addr 10.9.0.2/24",
        "--dev tap: --addr 10.9.0.2/24",
        "--dev eth0 --addr 10.9.0.2/24",
        "--dev tap:name-of-16-bytes --addr 10.9.0.2/24",
        "--dev tap:a/b --addr 10.9.0.2/24",
        "--dev tap:x --addr 10.9.0",
        "--dev tap:x --addr 10.9.0.2/24 --host x",
        "--dev tap:x --addr 10.9.0.2/24 --port 0",
        "--dev tap:x --addr 10.9.0.2/24 --port 65536",
        "--dev tap:x --addr 10.9.0.2/24 --port 80x",
        "--dev tap:x --addr 10.9.0.2/24 --mem 5x",
        "--dev tap:x --addr 10.9.0.2/24 --zbuf 2k",
        "--dev tap:x --addr 10.9.0.2/24 --fault lots",
        "--dev tap:x --addr 10.9.0.2/24 --seconds 0",
        "--dev tap:x --addr 10.9.0.2/24 stray",
        "--dev tap:x --addr 10.9.0.0/24",
        "--dev tap:x --addr 10.9.0.255/24",
        "--dev tap:x --addr 127.0.0.1/24",
        "--dev tap:x --addr 224.0.0.1/24",
        "--dev tap:x --addr 10.9.0.2/24 --host 10.9.0.0/24",
        "--dev tap:x --addr 10.9.0.2/24 --host 10.9.0.2/24",
        "--dev tap:x --addr 10.9.0.2/24 --nonsense",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct weir_options o;
        if (parse(&o, lines[i], true) == 0) fail_msg("%s: taken", lines[i]);
    }
}

static void sizes(void **state)
{
    static const char *const wrong[] = {
        "",   "k", "0", "1kk", "-1", "1.5m", "18446744073709551616", "99999999999999999999g", "17179869184g",
        "1t", " 1"};
    uint64_t v;
    (void)state;
    assert_true(weir_options_size("16384", &v) && v == 16384);
    assert_true(weir_options_size("2k", &v) && v == 2048);
    assert_true(weir_options_size("3M", &v) && v == 3 << 20);
    assert_true(weir_options_size("17179869183g", &v) && v == UINT64_C(17179869183) << 30);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (weir_options_size(wrong[i], &v)) fail_msg("%s: taken", wrong[i]);
    }
}

static void zbufs(void **state)
{
    static const char *const wrong[] = {"",
                                        ",",
                                        "2k:1,",
                                        "2k:0",
                                        "64:1",
                                        "256k:1",
                                        "2k:1,2048:2",
                                        "2k:x",
                                        ":1",
                                        "2k:1:1",
                                        "1k:1,2k:1,4k:1,8k:1,16k:1,32k:1,64k:1,128k:1,256:1"};
    struct weir_zclass c[WEIR_ZCLASSES_MAX];
    uint32_t n;
    (void)state;
    assert_null(weir_options_zbuf("128k:1,64k:2,32k:3,16k:4,8k:5,4k:6,2k:7,1k:8", c, &n));
    assert_int_equal(n, 8);
    for (uint32_t i = 0; i < 8; i++)
        assert_true(c[i].bytes == 1024u << i && c[i].count == 8 - i);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (weir_options_zbuf(wrong[i], c, &n) == NULL) fail_msg("%s: taken", wrong[i]);
    }
}

static void configuration(void **state)
{
    struct weir_options o;
    struct weir_config conf;
    char why[200];
    (void)state;
    assert_int_equal(parse(&o, "--mem 4m --zbuf 256:1000,2k:500", false), 0);
    assert_int_equal(weir_options_config(&o, &conf, why, sizeof(why)), 0);
    assert_true(conf.zclasses == 2 && conf.zclass[1].bytes == 2048 && conf.zclass[2].bytes == 0);
    assert_int_equal(parse(&o, "--mem 1m", false), 0);
    assert_int_equal(weir_options_config(&o, &conf, why, sizeof(why)), WEIR_EINVAL);
    assert_string_equal(why, "--mem: 1048576 bytes are too few, 2m is the least");
}

/* What is refused names the option to change, and what it advises is taken. */
static void plans(void **state)
{
    struct weir_options o;
    struct weir_config conf;
    struct weir_plan plan;
    char why[300], advised[80];
    unsigned mib = 0;
    (void)state;
    assert_int_equal(parse(&o, "--mem 64m", false), 0);
    assert_int_equal(weir_options_plan(&o, &conf, &plan, why, sizeof(why)), 0);
    assert_int_equal(parse(&o, "--zbuf 2k:4", false), 0);
    assert_int_equal(weir_options_plan(&o, &conf, &plan, why, sizeof(why)), WEIR_EPLAN);
    assert_int_equal(strncmp(why, "--zbuf: zclass", 14), 0);
    assert_int_equal(parse(&o, "--mem 64m --zbuf 2k:4000,64k:4000", false), 0);
    assert_int_equal(weir_options_plan(&o, &conf, &plan, why, sizeof(why)), WEIR_EPLAN);
    assert_int_equal(strncmp(why, "--zbuf: ", 8), 0);
    const char *at = strstr(why, "; --mem ");
    assert_non_null(at);
    mib = (unsigned)strtoul(at + 8, NULL, 10);
    snprintf(advised, sizeof(advised), "--mem %um --zbuf 2k:4000,64k:4000", mib);
    assert_int_equal(parse(&o, advised, false), 0);
    assert_int_equal(weir_options_plan(&o, &conf, &plan, why, sizeof(why)), 0);
    snprintf(advised, sizeof(advised), "--mem %um --zbuf 2k:4000,64k:4000", mib - 1);
    assert_int_equal(parse(&o, advised, false), 0);
    assert_int_equal(weir_options_plan(&o, &conf, &plan, why, sizeof(why)), WEIR_EPLAN);
}

/* Connections by number, and the least for them. */
static void least(void **state)
{
    struct weir_options o;
    struct weir_config conf;
    struct weir_plan usual, plan;
    char why[300];
    (void)state;
    assert_int_equal(parse(&o, "--mem 64m --conns 64", false), 0);
    assert_int_equal(weir_options_plan(&o, &conf, &usual, why, sizeof(why)), 0);
    assert_int_equal(conf.conns, 64);
    assert_int_equal(parse(&o, "--mem 64m --conns 64 --least", false), 0);
    assert_int_equal(weir_options_plan(&o, &conf, &plan, why, sizeof(why)), 0);
    assert_int_equal(conf.conns, 64);
    assert_int_equal(conf.pbufs, 64);
    assert_true(plan.total_bytes < usual.total_bytes / 10);
    conf.pbufs--;
    assert_int_equal(weir_plan(&conf, &plan), WEIR_EPLAN);
    assert_string_equal(plan.option, "pbufs");
    assert_int_not_equal(parse(&o, "--dev tap:t0 --addr 10.9.0.2/24 --least", true), 0);
    assert_int_not_equal(parse(&o, "--conns 0", false), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(least),         cmocka_unit_test(whole_line),
                                       cmocka_unit_test(defaults),      cmocka_unit_test(refused),
                                       cmocka_unit_test(sizes),         cmocka_unit_test(zbufs),
                                       cmocka_unit_test(configuration), cmocka_unit_test(plans)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
