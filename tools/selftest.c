/* selftest.c: `weir selftest`, a transfer between two instances over the simulated cable, in virtual time:
 * what can be shown on a machine that has no TAP devices. The digest is SHA-256 of libmd, the smallest
 * library of Debian's that has it. */
#include "bringup.h"
#include "commands.h"
#include "ledger.h"

#include <inttypes.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <weir/pair.h>

#define EVENTS      16
#define PIECES      16
#define PIECE_BYTES 65536u
#define PORT        9
#define SIDE_MEM    ((uint64_t)32 << 20)
#define LIMIT_US    (UINT64_C(86400) * 1000000) /* of virtual time: a day */
#define LIMIT_IDLE  100000                      /* rounds in which neither the clock nor a byte moves */

static const char doc[] =
    "Transfers bytes by reference from one instance to another over a simulated cable, in virtual "
    "time, compares their digests and prints the ledger of the sender and of the receiver.";

static const struct argp_option option_table[] = {
    {"bytes", 'b', "SIZE", 0, "how many (64m)", 0},
    {"fault", 'f', "LIST", 0, "loss=F,reorder=F,dup=F,corrupt=F,seed=N: spoil frames", 0},
    {"json", 'j', NULL, 0, "report as one JSON object", 0},
    {0},
};

struct side {
    struct weir *w;
    struct weir_config conf;
    struct weir_plan plan;
    struct weir_mapping mapping;
    weir_id listener, id;
    uint64_t bytes; /* written; read */
    bool done;
    SHA2_CTX hash;
    struct weir_ledger ledger;
};

struct selftest {
    uint64_t total;
    bool json, has_fault;
    struct weir_fault_conf fault_conf;
    struct weir_sim sim;
    struct weir_pair pair;
    struct weir_fault fault;
    void *pair_memory;
    struct side tx, rx;
    uint64_t rng;
    uint8_t *zbuf; /* that is being written */
    uint32_t zbuf_off, zbuf_len, zbuf_bytes;
    char why[256];
};

static error_t on_option(int key, char *arg, struct argp_state *state)
{
    struct selftest *t = state->input;
    char why[160] = "";
    switch (key) {
    case 'b':
        if (!weir_options_size(arg, &t->total))
            argp_error(state, "--bytes %s: a size such as 64m is needed", arg);
        return 0;
    case 'f':
        if (weir_fault_parse(&t->fault_conf, arg, why, sizeof(why)) != 0)
            argp_error(state, "--fault %s: %s", arg, why);
        t->has_fault = true;
        return 0;
    case 'j':
        t->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: no such argument", arg);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int fail(struct selftest *t, const char *what, int e)
{
    if (t->why[0] == '\0') snprintf(t->why, sizeof(t->why), "%s: %s", what, weir_strerror(e));
    return -1;
}

/* ---- set-up ---- */

static int open_pair(struct selftest *t)
{
    const struct weir_pair_conf conf = {
        .plat = &t->sim.plat,
        .delay_us = 50,
        .bits_per_s = UINT64_C(10000000000),
        .queue = WEIR_PAIR_FRAMES,
        .max_frame = 65549,
        .mtu = 1500,
        .offloads = WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM | WEIR_OFF_RX_MERGE4,
    };
    size_t bytes = weir_pair_bytes(&conf);
    t->pair_memory = bytes > 0 ? malloc(bytes) : NULL;
    if (t->pair_memory == NULL) return fail(t, "the cable", WEIR_ENOMEM);
    int e = weir_pair_init(&t->pair, &conf, t->pair_memory, bytes);
    return e == 0 ? 0 : fail(t, "the cable", e);
}

static int open_side(struct selftest *t, struct side *s, struct weir_netdev *dev, const char *cidr)
{
    struct weir_ifaddr addr;
    int e = weir_config_size(&s->conf, SIDE_MEM);
    s->conf.plat = &t->sim.plat;
    if (e == 0) e = weir_plan(&s->conf, &s->plan);
    if (e != 0) return fail(t, s->plan.why[0] != '\0' ? s->plan.why : "the plan", e);
    if (weir_mapping_open(&s->mapping, s->plan.total_bytes, s->plan.align_bytes) != 0)
        return fail(t, "memory", WEIR_ENOMEM);
    e = weir_start(&s->w, &s->conf, &s->mapping.area, 1);
    if (e != 0) {
        s->w = NULL;
        return fail(t, "start", e);
    }
    e = weir_ifaddr_parse(&addr, cidr);
    if (e == 0) e = weir_attach(s->w, dev, &addr);
    SHA256Init(&s->hash);
    return e == 0 ? 0 : fail(t, "attach", e);
}

static int connect_sides(struct selftest *t)
{
    struct weir_addr addr;
    int e = weir_addr_parse(&addr, "10.9.0.1:9");
    if (e == 0) e = weir_listen(t->rx.w, &addr, NULL, &t->rx.listener);
    if (e == 0) e = weir_connect(t->tx.w, &addr, NULL, &t->tx.id);
    return e == 0 ? 0 : fail(t, "connect", e);
}

static int set_up(struct selftest *t)
{
    weir_sim_init(&t->sim, 1);
    t->rng = 0x9e3779b97f4a7c15u;
    if (open_pair(t) != 0) return -1;
    struct weir_netdev *tx_dev = &t->pair.end[0].dev;
    if (t->has_fault) {
        weir_fault_init(&t->fault, tx_dev, &t->fault_conf);
        tx_dev = &t->fault.dev;
    }
    if (open_side(t, &t->tx, tx_dev, "10.9.0.2/24") != 0 ||
        open_side(t, &t->rx, &t->pair.end[1].dev, "10.9.0.1/24") != 0)
        return -1;
    t->zbuf_bytes = t->tx.conf.zclass[t->tx.conf.zclasses - 1].bytes;
    t->zbuf_bytes = t->zbuf_bytes < PIECE_BYTES ? t->zbuf_bytes : PIECE_BYTES;
    return connect_sides(t);
}

static void end_side(struct side *s)
{
    if (s->w != NULL) {
        weir_stats(s->w, &s->ledger.stats);
        s->ledger.zbuf_live_before_stop = s->ledger.stats.zbuf_live;
        s->ledger.zbuf_live = (uint64_t)weir_stop(s->w);
    }
    s->w = NULL;
    weir_mapping_close(&s->mapping);
}

/* ---- transfer ---- */

static void fill(struct selftest *t)
{
    for (uint32_t at = 0; at < t->zbuf_len; at += 8) {
        t->rng ^= t->rng << 13;
        t->rng ^= t->rng >> 7;
        t->rng ^= t->rng << 17;
        memcpy(t->zbuf + at, &t->rng, t->zbuf_len - at < 8 ? t->zbuf_len - at : 8);
    }
    SHA256Update(&t->tx.hash, t->zbuf, t->zbuf_len);
}

/* The next zbuf, filled. False: none can be had now, or nothing is left. */
static bool next_zbuf(struct selftest *t, uint64_t offered)
{
    uint64_t left = t->total - offered;
    if (left == 0) return false;
    t->zbuf_len = left < t->zbuf_bytes ? (uint32_t)left : t->zbuf_bytes;
    t->zbuf_off = 0;
    t->zbuf = weir_zalloc(t->tx.w, t->zbuf_len);
    if (t->zbuf == NULL) {
        weir_zalloc_wait(t->tx.w, t->zbuf_len);
        return false;
    }
    fill(t);
    return true;
}

static int send_some(struct selftest *t)
{
    struct side *s = &t->tx;
    while (!s->done) {
        if (s->bytes == t->total) {
            s->done = true;
            return weir_shutdown(s->w, s->id);
        }
        if (t->zbuf == NULL && !next_zbuf(t, s->bytes)) return 0;
        ptrdiff_t n = weir_write(s->w, s->id, t->zbuf + t->zbuf_off, t->zbuf_len - t->zbuf_off);
        if (n < 0) return n == WEIR_EAGAIN || n == WEIR_ENOMEM || n == WEIR_ENOTCONN ? 0 : (int)n;
        s->bytes += (uint64_t)n;
        t->zbuf_off += (uint32_t)n;
        if (t->zbuf_off == t->zbuf_len) {
            weir_zfree(s->w, t->zbuf);
            t->zbuf = NULL;
        }
    }
    return 0;
}

static int receive_some(struct selftest *t)
{
    struct side *s = &t->rx;
    struct weir_iov piece[PIECES];
    if (s->id == 0 && weir_accept(s->w, s->listener, &s->id, NULL) != 0) return 0;
    while (!s->done) {
        int n = weir_read(s->w, s->id, piece, PIECES);
        if (n < 0) return n == WEIR_EAGAIN || n == WEIR_ENOMEM ? 0 : n;
        s->done = n == 0;
        for (int i = 0; i < n; i++) {
            SHA256Update(&s->hash, piece[i].base, piece[i].len);
            s->bytes += piece[i].len;
            weir_zfree(s->w, piece[i].base);
        }
    }
    return 0;
}

static int poll_side(struct side *s)
{
    struct weir_event event[EVENTS];
    int n = weir_poll(s->w, event, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        struct weir_conn_info info;
        if ((event[i].mask & WEIR_EV_ERROR) != 0)
            return weir_info(s->w, event[i].id, &info) == 0 && info.error != 0 ? info.error : WEIR_EIO;
    }
    return n < 0 ? n : 0;
}

/* One poll of each side; the clock then goes on to when the first of them has something to do. */
static int round_trip(struct selftest *t)
{
    int64_t tx_next, rx_next;
    int e = send_some(t);
    e = e == 0 ? poll_side(&t->tx) : e;
    e = e == 0 ? poll_side(&t->rx) : e;
    e = e == 0 ? receive_some(t) : e;
    weir_next(t->tx.w, &tx_next);
    weir_next(t->rx.w, &rx_next);
    int64_t next = tx_next < rx_next ? tx_next : rx_next;
    if (next != INT64_MAX && next > 0 && (uint64_t)next > t->sim.now_us) t->sim.now_us = (uint64_t)next;
    return e;
}

static int transfer(struct selftest *t)
{
    uint64_t last_us = 0, last_bytes = 0;
    for (int idle = 0; !t->rx.done; idle++) {
        int e = round_trip(t);
        if (e != 0) return fail(t, "the transfer", e);
        if (t->sim.now_us != last_us || t->rx.bytes != last_bytes) idle = 0;
        last_us = t->sim.now_us;
        last_bytes = t->rx.bytes;
        if (idle > LIMIT_IDLE || t->sim.now_us > LIMIT_US) {
            snprintf(t->why, sizeof(t->why), "the transfer stands still at %" PRIu64 " of %" PRIu64 " bytes",
                     t->rx.bytes, t->total);
            return -1;
        }
    }
    return 0;
}

/* Both ends close, and the last acknowledgements cross. */
static void part(struct selftest *t)
{
    if (t->zbuf != NULL) weir_zfree(t->tx.w, t->zbuf);
    t->zbuf = NULL;
    weir_close(t->rx.w, t->rx.id, WEIR_CLOSE_GRACEFUL);
    weir_close(t->rx.w, t->rx.listener, WEIR_CLOSE_GRACEFUL);
    weir_close(t->tx.w, t->tx.id, WEIR_CLOSE_GRACEFUL);
    for (int i = 0; i < 64; i++) {
        weir_poll(t->tx.w, NULL, 0, 0);
        weir_poll(t->rx.w, NULL, 0, 0);
        t->sim.now_us += 1000;
    }
}

/* ---- report ---- */

static void digest_text(SHA2_CTX *hash, char text[SHA256_DIGEST_STRING_LENGTH])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256Final(digest, hash);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

static int report_json(const struct selftest *t, const char *digest, bool equal)
{
    json_t *o = weir_ledger_json(&t->tx.ledger);
    json_object_set_new(o, "bytes", json_integer((json_int_t)t->rx.bytes));
    json_object_set_new(o, "sha256", json_string(digest));
    json_object_set_new(o, "equal", json_boolean(equal));
    json_object_set_new(o, "virtual_us", json_integer((json_int_t)t->sim.now_us));
    json_object_set_new(o, "receiver", weir_ledger_json(&t->rx.ledger));
    return weir_json_print(stdout, o);
}

static int report(struct selftest *t)
{
    char sent[SHA256_DIGEST_STRING_LENGTH], got[SHA256_DIGEST_STRING_LENGTH];
    digest_text(&t->tx.hash, sent);
    digest_text(&t->rx.hash, got);
    bool equal = strcmp(sent, got) == 0 && t->rx.bytes == t->total;
    if (t->json) return report_json(t, got, equal) != 0 || !equal;
    printf("%" PRIu64 " bytes between two instances in %" PRIu64 " us of virtual time\nsha256 sent     %s\n"
           "sha256 received %s (%s)\n\nThe sender\n",
           t->rx.bytes, t->sim.now_us, sent, got, equal ? "equal" : "DIFFERENT");
    weir_ledger_print(stdout, &t->tx.ledger);
    printf("\nThe receiver\n");
    weir_ledger_print(stdout, &t->rx.ledger);
    return fflush(stdout) != 0 || !equal;
}

int weir_cmd_selftest(int argc, char **argv)
{
    static struct selftest selftest; /* large: the pair's and the fault wrapper's frames */
    struct selftest *t = &selftest;
    const struct argp parser = {.options = option_table, .parser = on_option, .doc = doc};
    t->total = (uint64_t)64 << 20;
    argp_parse(&parser, argc, argv, 0, NULL, t);
    int e = set_up(t);
    if (e == 0) e = transfer(t);
    if (e == 0) part(t);
    end_side(&t->tx);
    end_side(&t->rx);
    free(t->pair_memory);
    if (e == 0) return report(t);
    fprintf(stderr, "weir selftest: %s\n", t->why);
    return 1;
}
