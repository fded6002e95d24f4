/* plan_test.c: weir_plan says what weir_start takes, to the byte; what it refuses it refuses with a sentence
 * that names the option and a value that would do, and that value does. */
#include "simnet.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/test_seed.h"

#define MIB         (1024u * 1024)
#define GUARD       256 /* bytes around an area that must stay as they are */
#define GUARD_BYTE  0x5a
#define CONFIGS     60
#define ADVICES_MAX 40 /* refusals in a row until everything fits together */

static struct weir_sim rng;

static uint32_t below(uint32_t n)
{
    return test_below(&rng, n);
}

/* ---- areas with guards ---- */

struct guarded {
    uint8_t *block, *base;
    size_t bytes;
};

static struct guarded guard(uint64_t bytes, uint32_t align)
{
    struct guarded g = {.bytes = (size_t)bytes};
    uint32_t front = align > GUARD ? align : GUARD;
    g.block = aligned_alloc(front, weir_align_up(front + bytes + GUARD, front));
    assert_non_null(g.block);
    g.base = g.block + front;
    memset(g.block, GUARD_BYTE, front);
    memset(g.base, 0xc3, (size_t)bytes); /* nothing may rely on cleared memory */
    memset(g.base + bytes, GUARD_BYTE, GUARD);
    return g;
}

static void unguard(struct guarded *g)
{
    for (unsigned i = 0; i < GUARD; i++) {
        assert_int_equal(g->base[g->bytes + i], GUARD_BYTE);
        assert_int_equal(*(g->base - 1 - i), GUARD_BYTE);
    }
    free(g->block);
}

/* ---- what a started instance does with its memory ---- */

/* Fills every byte of every zbuf that can be had, and gives them back. */
static void use_zbufs(struct weir *w)
{
    static void *got[200000];
    unsigned n = 0;
    for (uint32_t c = 0; c < w->conf.zclasses; c++)
        while (n < 200000 && (got[n] = weir_zalloc(w, w->conf.zclass[c].bytes)) != NULL) {
            memset(got[n], 0x11, weir_zsize(w, got[n]));
            n++;
        }
    assert_true(n > 0);
    assert_int_equal(weir_stack_check(w), 0);
    while (n > 0)
        assert_int_equal(weir_zfree(w, got[--n]), 0);
}

/* Every listener and every connection cell, to the last. */
static void use_tables(struct weir *w, struct weir_sim *sim)
{
    struct weir_pair *pair = calloc(1, sizeof *pair);
    struct weir_pair_conf pc = {.plat = &sim->plat, .queue = 4, .max_frame = 1514, .mtu = 1500};
    size_t bytes = weir_pair_bytes(&pc);
    void *memory = malloc(bytes);
    struct weir_ifaddr me;
    struct weir_addr to;
    struct weir_event ev[4];
    weir_id id;
    assert_int_equal(weir_pair_init(pair, &pc, memory, bytes), 0);
    assert_int_equal(weir_ifaddr_parse(&me, "10.0.0.1/24"), 0);
    assert_int_equal(weir_attach(w, &pair->end[0].dev, &me), 0);
    for (uint32_t i = 0; i < w->conf.listeners; i++) {
        struct weir_addr any = {.family = WEIR_IP4, .port = (uint16_t)(i + 1)};
        assert_int_equal(weir_listen(w, &any, NULL, &id), 0);
    }
    simnet_addr(&to, 1, 80);
    for (uint32_t i = 0; i < w->conf.conns; i++) {
        to.ip[3] = (uint8_t)(2 + i % 250);
        assert_int_equal(weir_connect(w, &to, NULL, &id), 0);
        if (i % 16 == 0) assert_true(weir_poll(w, ev, 4, 0) >= 0);
    }
    assert_int_equal(weir_connect(w, &to, NULL, &id), WEIR_EMFILE);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(weir_poll(w, ev, 4, 0) >= 0);
        sim->now_us += 500000;
    }
    assert_int_equal(weir_stack_check(w), 0);
    assert_int_equal(weir_stop(w), 0);
    free(memory);
    free(pair);
}

/* ---- configurations ---- */

static struct weir_zclass random_class(enum weir_zlayout layout, uint32_t log2, uint32_t most_bytes)
{
    uint32_t stride = 1u << log2, room = layout == WEIR_ZLAYOUT_INSIDE ? WEIR_ZINSIDE_BYTES : 0;
    return (struct weir_zclass){stride - room, 1 + below(most_bytes / stride + 1)};
}

/* One that the rules allow, small in most things and odd in all. */
static struct weir_config random_config(const struct weir_plat *plat)
{
    struct weir_config c;
    assert_int_equal(weir_config_size(&c, 2 * MIB), 0);
    c.plat = plat;
    c.zlayout = (enum weir_zlayout)below(2);
    c.rx_burst = 1 + below(16);
    c.tx_burst = 1 + below(32);
    c.zclasses = 2 + below(4);
    uint32_t log2 = 8;
    for (uint32_t i = 0; i < c.zclasses; i++, log2 += 1 + below(2))
        c.zclass[i] = random_class(c.zlayout, i == 0 ? 8 : i == 1 ? (log2 = 11) : log2, 200000);
    c.zclass[0].count += 2 * c.tx_burst + 60;
    c.zclass[1].count += c.rx_burst + 64 + 30;
    c.rcvbuf_bytes = 2048 + below(20000);
    c.sndbuf_bytes = 2048 + below(20000);
    c.app_hold_bytes = c.rcvbuf_bytes + below(10000);
    c.conns = 1 + below(100);
    c.listeners = below(20);
    c.timewait = below(50);
    c.pbufs = 16 + c.conns + below(500);
    c.txrecs = 4 + c.conns + below(500);
    c.ifaces = 1 + below(WEIR_IFACES_MAX);
    c.neighbours = 2 + below(100);
    c.neigh_queue = below(5);
    return c;
}

static struct weir_plan planned(const struct weir_config *c)
{
    struct weir_plan plan;
    int r = weir_plan(c, &plan);
    if (r < 0) fail_msg("%s", plan.why);
    assert_null(plan.option);
    assert_string_equal(plan.why, "");
    return plan;
}

/* Rows and sums agree. */
static void check_rows(const struct weir_plan *p)
{
    uint64_t sum = 0;
    assert_in_range(p->rows, 1, WEIR_PLAN_ROWS_MAX);
    for (uint32_t i = 0; i < p->rows; i++) {
        const struct weir_plan_row *r = &p->row[i];
        sum += r->bytes;
        assert_true(r->bytes >= r->count * r->each_bytes);
        assert_true(r->bytes < r->count * r->each_bytes + r->align_bytes);
        assert_true(r->align_bytes <= p->align_bytes);
        assert_true(r->kind < WEIR_AREA_KINDS && strlen(r->name) > 0 && strlen(r->what) > 0);
        assert_null(strchr(r->name, ' '));
    }
    assert_true(sum == p->total_bytes);
    uint64_t kinds = 0;
    for (unsigned k = 0; k < WEIR_AREA_KINDS; k++)
        kinds += p->kind_bytes[k];
    assert_true(kinds <= p->total_bytes);
}

static void one_area_of_exactly_the_total(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONFIGS; i++) {
        struct weir_sim sim;
        struct weir *w;
        weir_sim_init(&sim, i);
        struct weir_config c = random_config(&sim.plat);
        struct weir_plan p = planned(&c);
        check_rows(&p);
        struct guarded g = guard(p.total_bytes, p.align_bytes);
        struct weir_area area = {.base = g.base, .bytes = g.bytes - 1};
        assert_int_equal(weir_start(&w, &c, &area, 1), WEIR_EINVAL);
        area.bytes = g.bytes;
        assert_int_equal(weir_start(&w, &c, &area, 1), 0);
        assert_int_equal(weir_stack_check(w), 0);
        use_zbufs(w);
        use_tables(w, &sim);
        unguard(&g);
    }
}

/* An area for each kind, in any order, each of exactly its kind's bytes. */
static void areas_by_kind(void **state)
{
    (void)state;
    static const enum weir_area_kind kinds[] = {WEIR_AREA_FAST, WEIR_AREA_DMA, WEIR_AREA_SLOW};
    for (unsigned i = 0; i < CONFIGS; i++) {
        struct weir_sim sim;
        struct weir *w;
        struct guarded g[3];
        struct weir_area area[3];
        weir_sim_init(&sim, i);
        struct weir_config c = random_config(&sim.plat);
        struct weir_plan p = planned(&c);
        assert_true(p.kind_bytes[WEIR_AREA_ANY] == 0);
        for (unsigned k = 0; k < 3; k++) {
            enum weir_area_kind kind = kinds[(k + i) % 3];
            g[k] = guard(p.kind_bytes[kind], p.align_bytes);
            area[k] = (struct weir_area){.base = g[k].base, .bytes = g[k].bytes, .kind = kind};
        }
        for (unsigned k = 0; k < 3; k++) {
            if (area[k].bytes == 0) continue;
            area[k].bytes--;
            assert_int_equal(weir_start(&w, &c, area, 3), WEIR_EINVAL);
            area[k].bytes++;
        }
        assert_int_equal(weir_start(&w, &c, area, 3), 0);
        use_zbufs(w);
        use_tables(w, &sim);
        for (unsigned k = 0; k < 3; k++)
            unguard(&g[k]);
    }
}

/* A kind without an area goes to the first, which needs the total at most. */
static void kinds_without_an_area(void **state)
{
    (void)state;
    struct weir_sim sim;
    struct weir *w;
    weir_sim_init(&sim, 1);
    struct weir_config c = random_config(&sim.plat);
    struct weir_plan p = planned(&c);
    struct guarded first = guard(p.total_bytes, p.align_bytes);
    struct guarded dma = guard(p.kind_bytes[WEIR_AREA_DMA], p.align_bytes);
    struct weir_area area[2] = {{.base = first.base, .bytes = first.bytes, .kind = WEIR_AREA_FAST},
                                {.base = dma.base, .bytes = dma.bytes, .kind = WEIR_AREA_DMA}};
    assert_int_equal(weir_start(&w, &c, area, 2), 0);
    uint8_t *z = weir_zalloc(w, 100);
    assert_in_range((uintptr_t)z, (uintptr_t)dma.base, (uintptr_t)dma.base + dma.bytes - 1);
    assert_int_equal(weir_zfree(w, z), 0);
    use_zbufs(w);
    use_tables(w, &sim);
    unguard(&first);
    unguard(&dma);
}

static void bad_areas(void **state)
{
    (void)state;
    struct weir_sim sim;
    struct weir *w;
    weir_sim_init(&sim, 1);
    struct weir_config c = random_config(&sim.plat);
    struct weir_plan p = planned(&c);
    struct guarded g = guard(p.total_bytes + 64, p.align_bytes);
    struct weir_area area[WEIR_AREAS_MAX + 1] = {{.base = g.base, .bytes = g.bytes}};
    assert_int_equal(weir_start(NULL, &c, area, 1), WEIR_EINVAL);
    assert_int_equal(weir_start(&w, NULL, area, 1), WEIR_EINVAL);
    assert_int_equal(weir_start(&w, &c, NULL, 1), WEIR_EINVAL);
    assert_int_equal(weir_start(&w, &c, area, 0), WEIR_EINVAL);
    assert_int_equal(weir_start(&w, &c, area, WEIR_AREAS_MAX + 1), WEIR_EINVAL);
    area[0].base = g.base + p.align_bytes / 2;
    assert_int_equal(weir_start(&w, &c, area, 1), WEIR_EINVAL);
    area[0].base = NULL;
    assert_int_equal(weir_start(&w, &c, area, 1), WEIR_EINVAL);
    area[0].base = g.base;
    c.plat = NULL;
    assert_int_equal(weir_start(&w, &c, area, 1), WEIR_EINVAL);
    c.plat = &sim.plat;
    c.conns = 0;
    assert_int_equal(weir_start(&w, &c, area, 1), WEIR_EPLAN);
    for (size_t i = 0; i < g.bytes; i++)
        assert_int_equal(g.base[i], 0xc3); /* a refused start writes nothing */
    unguard(&g);
}

/* ---- refusals ---- */

/* As config.h says, written down a second time. */
static const struct option {
    const char *name;
    size_t at;
    uint32_t min, max;
} options[] = {
#define OPTION(name, min, max)                                                                               \
    {                                                                                                        \
#name, offsetof(struct weir_config, name), min, max                                                  \
    }
    OPTION(zclasses, 1, 8),
    OPTION(pbufs, 16, 16777216),
    OPTION(txrecs, 4, 16777216),
    OPTION(conns, 1, 1048576),
    OPTION(listeners, 0, 4096),
    OPTION(timewait, 0, 1048576),
    OPTION(rcvbuf_bytes, 2048, 1073741823),
    OPTION(sndbuf_bytes, 2048, 1073741823),
    OPTION(pbufs_conn, 4, 65535),
    OPTION(txrecs_conn, 2, 65535),
    OPTION(ooo_conn, 0, 65535),
    OPTION(window, 0, 1),
    OPTION(reset_after_ms, 0, 86400000),
    OPTION(ifaces, 1, 4),
    OPTION(neighbours, 2, 65536),
    OPTION(neigh_queue, 0, 16),
    OPTION(rx_burst, 1, 64),
    OPTION(tx_burst, 1, 64),
    OPTION(msl_ms, 1, 240000),
    OPTION(rto_min_us, 1000, 1000000),
    OPTION(rto_max_us, 1000000, 240000000),
    OPTION(delack_us, 0, 500000),
    OPTION(syn_retries, 0, 16),
    OPTION(data_retries, 1, 32),
    OPTION(keepalive_ms, 1000, 86400000),
    OPTION(keepalive_interval_ms, 1000, 86400000),
    OPTION(keepalive_probes, 1, 64),
    OPTION(challenge_acks, 1, 100000),
    OPTION(icmp_errors, 1, 100000),
    OPTION(app_hold_bytes, 2048, UINT32_MAX),
#undef OPTION
};
#define OPTIONS (sizeof options / sizeof options[0])

static void set(struct weir_config *c, const struct option *o, uint32_t value)
{
    memcpy((char *)c + o->at, &value, sizeof value);
}

/* A member by the name that a refusal gave it. */
static void set_by_name(struct weir_config *c, const char *name, uint32_t value)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (strcmp(options[i].name, name) == 0) {
            set(c, &options[i], value);
            return;
        }
    if (strcmp(name, "zlayout") == 0) {
        c->zlayout = (enum weir_zlayout)value;
        return;
    }
    unsigned i = c->zclasses - 1;
    if (strncmp(name, "zclass[last]", 12) != 0) {
        if (strncmp(name, "zclass[", 7) != 0 || !isdigit((unsigned char)name[7]))
            fail_msg("no option is called %s", name);
        i = (unsigned)strtoul(name + 7, NULL, 10);
    }
    assert_true(i < WEIR_ZCLASSES_MAX);
    *(strstr(name, ".bytes") ? &c->zclass[i].bytes : &c->zclass[i].count) = value;
}

/* One sentence that begins with the option, and the number in "N would do". */
static uint32_t advice(const struct weir_plan *p)
{
    const char *end = strstr(p->why, " would do");
    assert_non_null(p->option);
    assert_int_equal(strncmp(p->why, p->option, strlen(p->option)), 0);
    assert_true(strlen(p->why) < WEIR_PLAN_WHY_BYTES - 1); /* not cut */
    assert_string_equal(p->why + strlen(p->why) - 1, ".");
    assert_null(strstr(p->why, ". "));
    assert_non_null(end);
    unsigned long long n = 0, unit = 1;
    assert_true(isdigit((unsigned char)end[-1]));
    for (; isdigit((unsigned char)end[-1]) || end[-1] == ','; end--) { /* 1,024 */
        if (end[-1] == ',') continue;
        n += unit * (unsigned)(end[-1] - '0');
        unit *= 10;
    }
    assert_true(n <= UINT32_MAX);
    return (uint32_t)n;
}

/* Takes the advice until there is none; the same option is not refused for its own new value. */
static void follow(struct weir_config *c)
{
    struct weir_plan p;
    char last[64] = "";
    for (unsigned i = 0; weir_plan(c, &p) != 0; i++) {
        uint32_t value = advice(&p);
        if (strcmp(last, p.option) == 0) fail_msg("advised against its own advice: %s", p.why);
        if (i == ADVICES_MAX) fail_msg("no end of advice: %s", p.why);
        snprintf(last, sizeof last, "%s", p.option);
        set_by_name(c, p.option, value);
    }
}

static void refused(struct weir_config c, const char *option)
{
    struct weir_plan p;
    assert_int_equal(weir_plan(&c, &p), WEIR_EPLAN);
    if (strcmp(p.option, option) != 0) fail_msg("expected %s: %s", option, p.why);
    follow(&c);
}

static struct weir_config good_config(void)
{
    struct weir_config c;
    assert_int_equal(weir_config_size(&c, 64 * MIB), 0);
    return c;
}

static void every_option_has_its_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *o = &options[i];
        struct weir_config c = good_config();
        if (o->min > 0) {
            set(&c, o, o->min - 1);
            refused(c, o->name);
            set(&c, o, 0);
            refused(c, o->name);
        }
        if (o->max < UINT32_MAX) {
            set(&c, o, o->max + 1);
            refused(c, o->name);
            set(&c, o, UINT32_MAX);
            refused(c, o->name);
        }
    }
}

/* Each bound itself is taken, perhaps with others changed as advised; it is never the bound that is refused.
 */
static void bounds_are_inclusive(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTIONS; i++) {
        const uint32_t bounds[2] = {options[i].min, options[i].max};
        for (unsigned k = 0; k < 2; k++) {
            struct weir_config c = good_config();
            struct weir_plan p;
            set(&c, &options[i], bounds[k]);
            if (weir_plan(&c, &p) == 0) continue;
            assert_null(strstr(p.why, "its minimum"));
            assert_null(strstr(p.why, "its maximum"));
            if (strcmp(options[i].name, "zclasses") != 0) follow(&c);
        }
    }
}

static void options_that_do_not_go_together(void **state)
{
    (void)state;
    struct weir_config c = good_config();
    c.txrecs = c.conns - 1;
    refused(c, "txrecs");
    c = good_config();
    c.pbufs = c.conns - 1;
    refused(c, "pbufs");
    c = good_config();
    c.app_hold_bytes = c.rcvbuf_bytes - 1;
    refused(c, "app_hold_bytes");
    c = good_config();
    c.zclass[0].count = 2 * c.tx_burst - 1;
    refused(c, "zclass[0].count");
    c = good_config();
    for (uint32_t i = 1; i < c.zclasses; i++)
        c.zclass[i].count = 1;
    refused(c, "zclass[last].count");
    c = good_config();
    c.zclasses = 1;
    refused(c, "zclass[last].bytes");
}

/* What strict windows ask is asked only of classes that can be. */
static void strict_windows_of_classes_that_can_not_be(void **state)
{
    (void)state;
    static const struct weir_zclass bad[] = {{0, 0}, {0, 1}, {2048, 0}, {16, 0}};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct weir_config c = good_config();
        struct weir_plan p;
        c.window = WEIR_WINDOW_STRICT;
        c.zclasses = 2;
        c.zclass[1] = bad[i];
        assert_int_equal(weir_plan(&c, &p), WEIR_EPLAN);
        assert_int_equal(strncmp(p.option, "zclass[", 7), 0);
    }
}

static void classes_that_can_not_be(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 1, 127, 200, 3000, 65535, 131073, UINT32_MAX};
    for (int layout = 0; layout < 2; layout++)
        for (uint32_t i = 0; i < 4; i++)
            for (unsigned k = 0; k < sizeof bad / sizeof bad[0]; k++) {
                struct weir_config c = good_config();
                simnet_config(&c, (enum weir_zlayout)layout);
                if (i >= c.zclasses) continue;
                c.zclass[i].bytes = bad[k];
                struct weir_plan p;
                assert_int_equal(weir_plan(&c, &p), WEIR_EPLAN);
                follow(&c);
            }
    for (uint32_t i = 1; i < 4; i++) {
        struct weir_config c = good_config();
        c.zclass[i].count = 0;
        refused(c, i == 3 ? "zclass[3].count" : i == 2 ? "zclass[2].count" : "zclass[1].count");
        c = good_config();
        c.zclass[i].bytes = c.zclass[i - 1].bytes; /* not ascending */
        refused(c, i == 3 ? "zclass[3].bytes" : i == 2 ? "zclass[2].bytes" : "zclass[1].bytes");
    }
    struct weir_config c = good_config();
    c.zlayout = (enum weir_zlayout)2;
    refused(c, "zlayout");
    c = good_config();
    c.zclass[3].count = UINT32_MAX; /* 256 TiB */
    refused(c, "zclass[3].count");
}

/* Anything at all: an answer with advice that leads somewhere, or a plan that starts. */
static void random_nonsense(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        struct weir_config c = good_config();
        struct weir_plan p;
        for (unsigned k = 1 + below(6); k > 0; k--) {
            const struct option *o = &options[below(OPTIONS)];
            set(&c, o, below(2) ? test_u32(&rng) >> below(32) : o->min + below(3));
        }
        for (unsigned k = below(3); k > 0; k--) {
            struct weir_zclass *z = &c.zclass[below(WEIR_ZCLASSES_MAX)];
            *(below(2) ? &z->bytes : &z->count) = test_u32(&rng) >> below(32);
        }
        if (weir_plan(&c, &p) == 0)
            check_rows(&p);
        else
            (void)advice(&p);
    }
}

/* ---- the least ---- */

/* One less of whatever weir_plan_least has chosen is refused, by name. */
static unsigned each_is_needed(const struct weir_config *least)
{
    static const char *const names[] = {"pbufs",    "txrecs",        "pbufs_conn",  "txrecs_conn",
                                        "ooo_conn", "neighbours",    "neigh_queue", "rx_burst",
                                        "tx_burst", "app_hold_bytes"};
    unsigned refused_by_name = 0;
    struct weir_plan p;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t k = 0;
        while (strcmp(options[k].name, names[i]) != 0)
            k++;
        struct weir_config c = *least;
        uint32_t v;
        memcpy(&v, (char *)&c + options[k].at, sizeof v);
        if (v == 0) continue;
        set(&c, &options[k], v - 1);
        assert_int_equal(weir_plan(&c, &p), WEIR_EPLAN);
        assert_string_equal(p.option, names[i]);
        assert_int_equal(p.would, v);
        refused_by_name++;
    }
    for (unsigned i = 0; i < least->zclasses; i++) {
        struct weir_config c = *least;
        char name[32];
        c.zclass[i].count--;
        assert_int_equal(weir_plan(&c, &p), WEIR_EPLAN);
        snprintf(name, sizeof name, "zclass[%u].count", i);
        if (strcmp(p.option, name) != 0) {
            assert_int_equal(i, least->zclasses - 1);
            assert_string_equal(p.option, "zclass[last].count");
        }
        refused_by_name++;
    }
    return refused_by_name;
}

static void the_least_is_the_least(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (unsigned round = 0; round < 400; round++) {
        struct weir_config wish = good_config(), least;
        struct weir_plan p;
        uint32_t x = (uint32_t)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 33);
        wish.conns = 1 + x % 5000;
        wish.rcvbuf_bytes = 2048 + (x >> 8) % 70000;
        wish.zclasses = 1 + (x >> 16) % 4;
        wish.zlayout = WEIR_ZLAYOUT_DENSE;
        if (wish.zclasses == 1) wish.zclass[0].bytes = 2048;
        wish.window = wish.zclasses == 2 ? (x >> 18) % 2 : 0;
        assert_int_equal(weir_plan_least(&wish, &least, &p), 0);
        assert_int_equal(least.conns, wish.conns);
        assert_int_equal(least.rcvbuf_bytes, wish.rcvbuf_bytes);
        assert_true(each_is_needed(&least) >= 8 + wish.zclasses);
        struct weir_plan full;
        if (weir_plan(&wish, &full) == 0) assert_true(p.total_bytes <= full.total_bytes);
    }
}

static void what_the_least_cannot_mend_is_refused(void **state)
{
    (void)state;
    struct weir_config wish = good_config(), least;
    struct weir_plan p;
    wish.rcvbuf_bytes = 1;
    assert_int_equal(weir_plan_least(&wish, &least, &p), WEIR_EPLAN);
    assert_string_equal(p.option, "rcvbuf_bytes");
    wish = good_config();
    wish.zclasses = 0;
    assert_int_equal(weir_plan_least(&wish, &least, &p), WEIR_EPLAN);
    wish = good_config();
    wish.zclass[1].bytes = wish.zclass[0].bytes;
    assert_int_equal(weir_plan_least(&wish, &least, &p), WEIR_EPLAN);
}

/* ---- weir_config_size ---- */

static void sized(uint64_t mem)
{
    struct weir_config c;
    assert_int_equal(weir_config_size(&c, mem), 0);
    struct weir_plan p = planned(&c);
    if (p.total_bytes > mem || p.total_bytes < mem / 100 * 85)
        fail_msg("of %llu bytes %llu are used", (unsigned long long)mem, (unsigned long long)p.total_bytes);
}

static void sizes_are_used_well(void **state)
{
    (void)state;
    for (uint64_t mem = 2 * MIB; mem <= 1024ull * MIB; mem += mem / 50 + below(1000))
        sized(mem);
    for (uint32_t mib = 2; mib <= 1024; mib++)
        sized((uint64_t)mib * MIB);
}

static void too_small_a_size(void **state)
{
    (void)state;
    struct weir_config least, c;
    assert_int_equal(weir_config_size(&least, 2 * MIB), 0);
    const uint64_t sizes[] = {0, 1, MIB, 2 * MIB - 1};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(weir_config_size(&c, sizes[i]), WEIR_EINVAL);
        assert_memory_equal(&c, &least, sizeof c);
    }
}

/* What sizes give starts and works. */
static void sizes_start(void **state)
{
    (void)state;
    const uint32_t mib[] = {2, 3, 9, 16, 17, 40};
    for (unsigned i = 0; i < sizeof mib / sizeof mib[0]; i++) {
        struct simnet_conf c = simnet_defaults();
        assert_int_equal(weir_config_size(&c.stack[0], (uint64_t)mib[i] * MIB), 0);
        c.stack[0].msl_ms = 100;
        struct simnet *n = simnet_open(&c);
        simnet_proof(n, 1, 100000);
        simnet_run(n, 10 * SECOND_US);
        simnet_empty(n);
        simnet_close(n, NULL);
    }
}

static int seed(void **state)
{
    (void)state;
    rng = test_seed("plan_test");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_area_of_exactly_the_total),
        cmocka_unit_test(areas_by_kind),
        cmocka_unit_test(kinds_without_an_area),
        cmocka_unit_test(bad_areas),
        cmocka_unit_test(every_option_has_its_bounds),
        cmocka_unit_test(the_least_is_the_least),
        cmocka_unit_test(what_the_least_cannot_mend_is_refused),
        cmocka_unit_test(bounds_are_inclusive),
        cmocka_unit_test(options_that_do_not_go_together),
        cmocka_unit_test(strict_windows_of_classes_that_can_not_be),
        cmocka_unit_test(classes_that_can_not_be),
        cmocka_unit_test(random_nonsense),
        cmocka_unit_test(sizes_are_used_well),
        cmocka_unit_test(too_small_a_size),
        cmocka_unit_test(sizes_start),
    };
    return cmocka_run_group_tests(tests, seed, NULL);
}
