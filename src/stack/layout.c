/* layout.c: where everything lies. The one list of what an instance is made of, walked twice by the carver:
 * without a base by weir_plan, with one by weir_start. Each room names its own rows; their order here is
 * their order in memory. */
#include <string.h>

#include "base/bits.h"
#include "base/text.h"
#include "stack/stack.h"

static void carve_ifaces(struct weir *w, struct weir_carve *cv, const struct weir_config *conf)
{
    uint32_t n = conf->ifaces;
    uint32_t pieces = WEIR_TXQ_PIECES(conf->tx_burst);
    uint32_t buckets = weir_pow2_ceil(conf->neighbours);
    uint32_t waits = WEIR_NEIGH_WAITS(conf->neigh_queue);
    struct weir_frame *frame = weir_carve(cv, "tx_frames", "bursts being built", (uint64_t)n * conf->tx_burst,
                                          sizeof(struct weir_frame), 64, WEIR_AREA_FAST);
    struct weir_piece *piece = weir_carve(cv, "tx_pieces", "pieces of the bursts", (uint64_t)n * pieces,
                                          sizeof(struct weir_piece), 64, WEIR_AREA_FAST);
    struct weir_neigh_entry *entry =
        weir_carve(cv, "neighbours", "address resolution", (uint64_t)n * conf->neighbours,
                   sizeof(struct weir_neigh_entry), 8, WEIR_AREA_FAST);
    uint32_t *bucket = weir_carve(cv, "neigh_table", "table of neighbours", (uint64_t)n * buckets,
                                  sizeof(uint32_t), 64, WEIR_AREA_FAST);
    struct weir_neigh_wait *wait =
        weir_carve(cv, "neigh_queue", "datagrams that wait for a neighbour", (uint64_t)n * waits,
                   sizeof(struct weir_neigh_wait), _Alignof(struct weir_neigh_wait), WEIR_AREA_SLOW);
    w->rx = weir_carve(cv, "rx_frames", "a received burst", conf->rx_burst, sizeof(struct weir_frame), 64,
                       WEIR_AREA_FAST);
    if (!frame) return;
    for (uint32_t i = 0; i < n; i++)
        w->mem[i] = (struct weir_ifc_memory){.tx_frame = frame + i * conf->tx_burst,
                                             .tx_piece = piece + i * pieces,
                                             .neigh = entry + i * conf->neighbours,
                                             .neigh_bucket = bucket + i * buckets,
                                             .neigh_wait = wait ? wait + i * waits : NULL};
}

struct weir *weir_layout(struct weir *scratch, struct weir_carve *cv, const struct weir_config *conf)
{
    struct weir *placed =
        weir_carve(cv, "instance", "state and counters", 1, sizeof(struct weir), 64, WEIR_AREA_FAST);
    struct weir *w = placed ? placed : scratch;
    memset(w, 0, sizeof *w);
    weir_tcp_carve(&w->tcp, cv, conf);
    carve_ifaces(w, cv, conf);
    if (!weir_zpool_carve(&w->z, cv, conf)) return NULL;
    return cv->failed ? NULL : placed;
}

int weir_plan(const struct weir_config *conf, struct weir_plan *out)
{
    struct weir scratch;
    struct weir_carve cv;
    weir_carve_init(&cv, out, NULL, 0);
    if (!weir_check_config(conf, out)) return WEIR_EPLAN;
    (void)weir_layout(&scratch, &cv, conf);
    if (out->option) return WEIR_EPLAN;
    if (!cv.failed && out->total_bytes <= SIZE_MAX) return 0;
    struct weir_text text;
    weir_text_init(&text, out->why, sizeof out->why);
    weir_text_str(
        &text,
        "The configuration needs more bytes than this machine can address; fewer zbufs or conns would do.");
    out->option = "zclass";
    return WEIR_EPLAN;
}
