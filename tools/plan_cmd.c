/* plan_cmd.c: `weir plan`, the bytes that `weir serve` takes with the same options. */
#include "commands.h"
#include "ledger.h"
#include "options.h"

#include <inttypes.h>
#include <stdio.h>

static const char doc[] =
    "Prints how many bytes an instance takes, and for what. Options are those of `weir serve`; "
    "nothing is started. With --least it prints the least that --conns connections can do with.";

static const char *kind_name(enum weir_area_kind kind)
{
    static const char *const names[WEIR_AREA_KINDS] = {"any", "fast", "dma", "slow"};
    return (unsigned)kind < WEIR_AREA_KINDS ? names[kind] : "?";
}

/* The options that say how much there is of what. */
static json_t *options_json(const struct weir_config *c)
{
    json_t *zbufs = json_array();
    for (uint32_t i = 0; i < c->zclasses; i++)
        json_array_append_new(zbufs, json_pack("{s:I,s:I}", "bytes", (json_int_t)c->zclass[i].bytes, "count",
                                               (json_int_t)c->zclass[i].count));
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "conns", (json_int_t)c->conns, "pbufs",
                     (json_int_t)c->pbufs, "txrecs", (json_int_t)c->txrecs, "rcvbuf_bytes",
                     (json_int_t)c->rcvbuf_bytes, "sndbuf_bytes", (json_int_t)c->sndbuf_bytes,
                     "app_hold_bytes", (json_int_t)c->app_hold_bytes, "rx_burst", (json_int_t)c->rx_burst,
                     "tx_burst", (json_int_t)c->tx_burst, "zclass", zbufs);
}

static json_t *to_json(const struct weir_plan *p, const struct weir_config *conf)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < p->rows; i++) {
        const struct weir_plan_row *r = &p->row[i];
        json_array_append_new(rows, json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:s}", "name", r->name, "what",
                                              r->what, "count", (json_int_t)r->count, "each_bytes",
                                              (json_int_t)r->each_bytes, "bytes", (json_int_t)r->bytes,
                                              "align_bytes", (json_int_t)r->align_bytes, "kind",
                                              kind_name(r->kind)));
    }
    return json_pack("{s:I,s:I,s:o,s:o}", "total_bytes", (json_int_t)p->total_bytes, "align_bytes",
                     (json_int_t)p->align_bytes, "rows", rows, "options", options_json(conf));
}

static void print_table(const struct weir_plan *p)
{
    printf("%-16s %10s %10s %14s  %s\n", "row", "count", "each", "bytes", "what");
    for (uint32_t i = 0; i < p->rows; i++) {
        const struct weir_plan_row *r = &p->row[i];
        printf("%-16s %10" PRIu64 " %10" PRIu32 " %14" PRIu64 "  %s\n", r->name, r->count, r->each_bytes,
               r->bytes, r->what);
    }
    printf("%-16s %10s %10s %14" PRIu64 "  aligned to %" PRIu32 "\n", "total", "", "", p->total_bytes,
           p->align_bytes);
}

int weir_cmd_plan(int argc, char **argv)
{
    struct weir_options o;
    struct weir_config conf;
    struct weir_plan plan;
    char why[300];
    weir_options_parse(&o, argc, argv, doc, false, 0);
    if (weir_options_plan(&o, &conf, &plan, why, sizeof(why)) != 0) {
        fprintf(stderr, "weir plan: %s\n", why);
        return 1;
    }
    if (o.json) return weir_json_print(stdout, to_json(&plan, &conf)) != 0;
    print_table(&plan);
    if (o.least)
        printf("The least for %" PRIu32 " connections with receive buffers of %" PRIu32
               " bytes and a device that "
               "posts one frame of 1,514 bytes at a time.\n",
               conf.conns, conf.rcvbuf_bytes);
    return fflush(stdout) != 0;
}
