/* check.c: what a configuration may say. Every option stands once in the table with its range and the option
 * that it must reach, if there is one; what the zbufs must satisfy follows. A refusal is one sentence that
 * names the option and a value that would do. */
#include <string.h>

#include "base/bits.h"
#include "base/text.h"
#include "stack/stack.h"

struct range {
    const char *name;
    uint32_t min, max;
    size_t offset;
    size_t reach; /* offset of an option that this one may not be below; that of this one: none */
    const char *because;
};

/* clang-format off */
#define AT(name) offsetof(struct weir_config, name)
#define OPTION(name, min, max) {#name, min, max, AT(name), AT(name), ""}
#define OPTION_REACHES(name, min, max, other, because) {#name, min, max, AT(name), AT(other), because}
/* clang-format on */
/* What is to be reached stands before what must reach it. */
static const struct range ranges[] = {
    OPTION(conns, 1, 1u << 20),
    OPTION_REACHES(pbufs, 16, 1u << 24, conns, "below conns, so some connections could never carry data"),
    OPTION_REACHES(txrecs, 4, 1u << 24, conns, "below conns, so a connection could not even send its SYN"),
    OPTION(listeners, 0, 4096),
    OPTION(timewait, 0, 1u << 20),
    OPTION(rcvbuf_bytes, 2048, 0x3fffffff),
    OPTION(sndbuf_bytes, 2048, 0x3fffffff),
    OPTION(pbufs_conn, 4, 65535),
    OPTION(txrecs_conn, 2, 65535),
    OPTION(ooo_conn, 0, 65535),
    OPTION_REACHES(app_hold_bytes, 2048, 0xffffffff, rcvbuf_bytes,
                   "below rcvbuf_bytes, so one full receive buffer could not be lent"),
    OPTION(window, WEIR_WINDOW_SHARED, WEIR_WINDOW_STRICT),
    OPTION(reset_after_ms, 0, 86400000),
    OPTION(ifaces, 1, WEIR_IFACES_MAX),
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
};

static const struct range *range_at(size_t offset)
{
    const struct range *r = ranges;
    while (r->offset != offset)
        r++;
    return r;
}

static uint32_t value_at(const struct weir_config *conf, size_t offset)
{
    uint32_t v;
    memcpy(&v, (const char *)conf + offset, sizeof v);
    return v;
}

/* Options that are known by their names' addresses, as those of the table are. */
static const char first_count[] = "zclass[0].count", last_count[] = "zclass[last].count";

/* "NAME is V, BELOW/ABOVE what ...: N would do." */
static bool refuse(struct weir_plan *plan, const char *name, uint64_t is, const char *because, uint64_t would)
{
    struct weir_text text;
    weir_text_init(&text, plan->why, sizeof plan->why);
    weir_text_str(&text, name);
    weir_text_str(&text, " is ");
    weir_text_u64(&text, is);
    weir_text_str(&text, ", ");
    weir_text_str(&text, because);
    weir_text_str(&text, "; ");
    weir_text_u64(&text, would);
    weir_text_str(&text, " would do.");
    plan->would = would;
    plan->option = name;
    return false;
}

#define FRAME_BYTES                                                                                          \
    1514u /* of usual size; a device that posts for larger ones is refused when it is attached */

/* Frames are received into the first class that holds one, or into pieces of the largest. A burst is posted;
 * beside it one frame may be kept, one zbuf is copied into and stays so, another may be wanted for that, and
 * one is the application's (set_floors). */
static uint64_t missing_frames(const struct weir_config *conf)
{
    const struct weir_zclass *last = &conf->zclass[conf->zclasses - 1];
    uint32_t pieces = (FRAME_BYTES - 1) / last->bytes + 1;
    uint64_t have = 0, need = (uint64_t)(conf->rx_burst + 1) * pieces + 3;
    for (uint32_t i = conf->zclasses > 1; i < conf->zclasses; i++)
        if (conf->zclass[i].bytes >= FRAME_BYTES || i == conf->zclasses - 1) have += conf->zclass[i].count;
    return have < need ? need - have : 0;
}

/* How many more of the largest class hold what a burst posts and one receive buffer. */
static uint64_t missing_bytes(const struct weir_config *conf)
{
    const struct weir_zclass *last = &conf->zclass[conf->zclasses - 1];
    uint64_t have = 0, need = (uint64_t)conf->rx_burst * FRAME_BYTES + conf->rcvbuf_bytes;
    for (uint32_t i = conf->zclasses > 1; i < conf->zclasses; i++)
        have += (uint64_t)conf->zclass[i].bytes * conf->zclass[i].count;
    return have < need ? (need - have + last->bytes - 1) / last->bytes : 0;
}

/* zcarve.c refuses an empty class by its name. */
static bool any_empty(const struct weir_config *conf)
{
    for (uint32_t i = 0; i < conf->zclasses; i++)
        if (conf->zclass[i].count == 0) return true;
    return false;
}

/* The largest class must take a received frame's worth: TCP needs a full segment in few pieces. */
static bool check_zbufs(const struct weir_config *conf, struct weir_plan *plan)
{
    if (conf->zclasses == 0 || conf->zclasses > WEIR_ZCLASSES_MAX)
        return refuse(plan, "zclasses", conf->zclasses, "outside 1 to 8", 4);
    if (any_empty(conf)) return true;
    uint64_t headers = conf->zclass[0].count;
    uint64_t need = 2ull * conf->tx_burst;
    if (headers < need)
        return refuse(plan, first_count, headers,
                      "below two bursts of header blocks, so acknowledgements could starve", need);
    const struct weir_zclass *last = &conf->zclass[conf->zclasses - 1];
    if (last->bytes < 512)
        return refuse(plan, "zclass[last].bytes", last->bytes, "too small to receive a frame in few pieces",
                      2048);
    uint64_t frames = missing_frames(conf), bytes = missing_bytes(conf);
    if (frames == 0 && bytes == 0) return true;
    return refuse(
        plan, last_count, last->count,
        bytes ? "so the zbufs can't hold what a burst posts and one receive buffer, and receiving could stop"
              : "so a burst that is posted leaves no zbufs to keep, to copy and to write with",
        last->count + (frames > bytes ? frames : bytes)); /* one advice that serves both */
}

/* ---- strict windows ---- */

/* Segments that n of a class must have so that `need` can be had by received data: a floor of a thirty-second is
 * kept (start.c). */
static uint64_t with_floor(uint64_t need)
{
    return need + need / 31 + 1;
}

/* Every receive buffer filled in the worst way, what a burst posts, and one segment each to copy into and for the
 * application. */
static uint64_t strict_segments(const struct weir_config *conf, uint32_t bytes)
{
    uint64_t each = weir_tcp_strict_bytes(conf, conf->rcvbuf_bytes);
    uint64_t posted = (uint64_t)(conf->rx_burst + 1) * ((FRAME_BYTES - 1) / bytes + 1);
    return with_floor((conf->conns * each + bytes - 1) / bytes + posted + 2);
}

/* Each of those segments may be pinned by a descriptor of its own. Beside them each connection keeps one to send
 * with, and receiving leaves an eighth to sending (conn.c). */
static uint64_t strict_pbufs(const struct weir_config *conf)
{
    uint64_t need = weir_tcp_strict_pbufs(conf), eighth = need / 7 + 8;
    return need + (eighth > conf->conns ? eighth : conf->conns);
}

static bool check_strict(const struct weir_config *conf, struct weir_plan *plan)
{
    const struct weir_zclass *last = &conf->zclass[conf->zclasses - 1];
    if (conf->window != WEIR_WINDOW_STRICT || any_empty(conf)) return true;
    if (conf->zclasses != 2)
        return refuse(plan, "zclasses", conf->zclasses,
                      "but strict windows want header blocks and one class to receive into", 2);
    uint64_t segments = strict_segments(conf, last->bytes), pbufs = strict_pbufs(conf);
    if (conf->pbufs < pbufs)
        return refuse(plan, range_at(AT(pbufs))->name, conf->pbufs,
                      "so strict windows could promise more than there are descriptors for", pbufs);
    return last->count >= segments ||
           refuse(plan, last_count, last->count,
                  "so strict windows could promise more than there are zbufs for", segments);
}

static bool check_range(const struct weir_config *conf, const struct range *r, struct weir_plan *plan)
{
    uint32_t v = value_at(conf, r->offset), least = r->min, other = value_at(conf, r->reach);
    if (r->reach != r->offset) least = weir_max_u32(least, other);
    if (v < r->min) return refuse(plan, r->name, v, "below its minimum", least);
    if (v > r->max) return refuse(plan, r->name, v, "above its maximum", r->max);
    return v >= least || refuse(plan, r->name, v, r->because, least);
}

bool weir_check_config(const struct weir_config *conf, struct weir_plan *plan)
{
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (!check_range(conf, &ranges[i], plan)) return false;
    return check_zbufs(conf, plan) && check_strict(conf, plan);
}

/* ---- the least ---- */

/* Options that are of use to none of the connections beyond what the checks demand: they trade memory for speed. */
static const size_t least_of[] = {
    AT(pbufs),          AT(txrecs),     AT(pbufs_conn),  AT(txrecs_conn), AT(ooo_conn),
    AT(app_hold_bytes), AT(neighbours), AT(neigh_queue), AT(rx_burst),    AT(tx_burst),
};

static void set_at(struct weir_config *conf, size_t offset, uint32_t v)
{
    memcpy((char *)conf + offset, &v, sizeof v);
}

/* Gives the refused option the value that would do. false: it is none of those that have a least. */
static bool raise(struct weir_config *conf, const struct weir_plan *plan)
{
    if (plan->would > UINT32_MAX) return false;
    if (plan->option == first_count) {
        conf->zclass[0].count = (uint32_t)plan->would;
        return true;
    }
    if (plan->option == last_count) {
        conf->zclass[conf->zclasses - 1].count = (uint32_t)plan->would;
        return true;
    }
    for (size_t i = 0; i < sizeof least_of / sizeof least_of[0]; i++) {
        const struct range *r = range_at(least_of[i]);
        if (plan->option != r->name || value_at(conf, r->offset) >= plan->would) continue;
        set_at(conf, r->offset, (uint32_t)plan->would);
        return true;
    }
    return false;
}

int weir_plan_least(const struct weir_config *wish, struct weir_config *out, struct weir_plan *plan)
{
    *out = *wish;
    for (size_t i = 0; i < sizeof least_of / sizeof least_of[0]; i++)
        set_at(out, least_of[i], range_at(least_of[i])->min);
    for (uint32_t i = 0; i < out->zclasses && i < WEIR_ZCLASSES_MAX; i++)
        out->zclass[i].count = 1;
    int r;
    while ((r = weir_plan(out, plan)) != 0 && raise(out, plan)) {
    }
    return r;
}
