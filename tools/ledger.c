#include "ledger.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

struct row {
    const char *name, *text;
    uint64_t value;
};

enum {
#define COUNT(name, text) ROW_##name,
    WEIR_LEDGER_MAP(COUNT) WEIR_STATS_MAP(COUNT)
#undef COUNT
        ROWS
};

static void fill(struct row *row, const struct weir_ledger *l)
{
#define ROW(field, words) row[ROW_##field] = (struct row){#field, words, l->field};
    WEIR_LEDGER_MAP(ROW)
#undef ROW
#define ROW(field, words) row[ROW_##field] = (struct row){#field, words, l->stats.field};
    WEIR_STATS_MAP(ROW)
#undef ROW
}

uint64_t weir_ledger_mean_frame(const struct weir_ledger *l)
{
    return l->stats.tx_frames > 0 ? l->stats.tx_bytes_wire / l->stats.tx_frames : 0;
}

static json_t *number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *drops(const struct weir_stats *s)
{
    json_t *o = json_object();
    for (int i = 0; i < WEIR_DROPS; i++) {
        if (s->drops[i] > 0) json_object_set_new(o, weir_drop_name((enum weir_drop)i), number(s->drops[i]));
    }
    return o;
}

static json_t *classes(const struct weir_stats *s)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < s->zclasses && i < WEIR_ZCLASSES_MAX; i++)
        json_array_append_new(a,
                              json_pack("{s:I,s:I,s:I,s:I}", "bytes", (json_int_t)s->zclass[i].bytes, "count",
                                        (json_int_t)s->zclass[i].count, "free", (json_int_t)s->zclass[i].free,
                                        "low", (json_int_t)s->zclass[i].low));
    return a;
}

json_t *weir_ledger_json(const struct weir_ledger *l)
{
    struct row row[ROWS];
    json_t *o = json_object();
    fill(row, l);
    for (int i = 0; i < ROWS; i++)
        json_object_set_new(o, row[i].name, number(row[i].value));
    json_object_set_new(o, "frames", number(l->stats.tx_frames));
    json_object_set_new(o, "mean_frame_bytes", number(weir_ledger_mean_frame(l)));
    json_object_set_new(o, "drops", drops(&l->stats));
    json_object_set_new(o, "zclasses", classes(&l->stats));
    return o;
}

/* Rows that are told even when nothing happened. */
static bool always(const char *name)
{
    static const char *const names[] = {
        "tx_bytes_ref", "tx_bytes_copied", "rx_bytes", "rx_bytes_copied", "zbuf_allocs",      "zbuf_peak",
        "zbuf_live",    "fallthroughs",    "pressure", "retransmits",     "file_bytes_copied"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) return true;
    }
    return false;
}

void weir_ledger_print(FILE *out, const struct weir_ledger *l)
{
    struct row row[ROWS];
    fill(row, l);
    for (int i = 0; i < ROWS; i++) {
        if (row[i].value > 0 || always(row[i].name))
            fprintf(out, "%-22s %16" PRIu64 "  %s\n", row[i].name, row[i].value, row[i].text);
    }
    fprintf(out, "%-22s %16" PRIu64 "  %s\n", "mean_frame_bytes", weir_ledger_mean_frame(l),
            "bytes of a mean frame sent, with headers");
    for (int i = 0; i < WEIR_DROPS; i++) {
        if (l->stats.drops[i] > 0)
            fprintf(out, "drop %-17s %16" PRIu64 "  %s\n", weir_drop_name((enum weir_drop)i),
                    l->stats.drops[i], weir_drop_text((enum weir_drop)i));
    }
}

int weir_json_print(FILE *out, json_t *o)
{
    int e =
        o == NULL || json_dumpf(o, out, JSON_INDENT(2)) != 0 || fputc('\n', out) == EOF || fflush(out) != 0;
    json_decref(o);
    return e ? -1 : 0;
}
