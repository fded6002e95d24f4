/* serve.c: `weir serve`, a server of files over one TAP device. One thread, one loop around weir_poll. */
#include "bringup.h"
#include "commands.h"
#include "httpconn.h"
#include "ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define EVENTS      64
#define SWEEP_US    1000000u
#define STARVED_US  10000 /* how long those that wait for zbufs sleep at most */
#define DRAIN_POLLS 64    /* at the end, for the resets to get out */

static const char doc[] = "Serves the files of a folder over HTTP from Weir's own TCP on a TAP device, "
                          "without a copy of a file's byte. "
                          "Ends at SIGINT or SIGTERM and prints the ledger.";

static volatile sig_atomic_t stopping;
static struct weir *volatile to_wake; /* by the signal handler; NULL while there's no instance */

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
    if (to_wake != NULL) weir_wake(to_wake);
}

static void catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* One descriptor a connection, for its file. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

struct server {
    struct weir_options options;
    struct weir_bringup b;
    struct weir_site site;
    int root;
    uint64_t end_us; /* UINT64_MAX: until a signal */
    char why[384];
};

static void look_at_clocks(struct server *v)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    v->site.wall_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    v->site.now_us = v->b.lin.plat.now_us(v->b.lin.plat.ctx);
}

static int listen_on(struct server *v)
{
    struct weir_addr a = {.family = v->options.addr.family, .port = v->options.port};
    struct weir_opts opts = {.nodelay = 1};
    memcpy(a.ip, v->options.addr.ip, sizeof(a.ip));
    int e = weir_listen(v->b.w, &a, &opts, &v->site.listener);
    if (e == 0) return 0;
    v->site.listener = 0;
    snprintf(v->why, sizeof(v->why), "--port %u: %s", v->options.port, weir_strerror(e));
    return -1;
}

static int open_site(struct server *v)
{
    if (weir_site_open(&v->site, v->b.w, &v->b.conf, v->root) != 0) {
        snprintf(v->why, sizeof(v->why), "no memory for the tables of %" PRIu32 " connections",
                 v->b.conf.conns);
        return -1;
    }
    if (listen_on(v) == 0) return 0;
    weir_site_close(&v->site);
    return -1;
}

static int open_server(struct server *v)
{
    v->root = weir_docroot_open(v->options.root, v->why, sizeof(v->why));
    if (v->root < 0) return -1;
    if (weir_bringup_open(&v->b, &v->options) != 0) {
        snprintf(v->why, sizeof(v->why), "%s", v->b.why);
        close(v->root);
        return -1;
    }
    if (open_site(v) == 0) return 0;
    weir_bringup_close(&v->b);
    close(v->root);
    return -1;
}

static void tell_ready(const struct server *v)
{
    const uint8_t *ip = v->options.addr.ip;
    fprintf(stderr, "listening on http://%u.%u.%u.%u:%u/ (device %s, host %s)\n", ip[0], ip[1], ip[2], ip[3],
            v->options.port, v->options.ifname,
            v->options.host_cidr != NULL ? v->options.host_cidr : "not set");
}

static int64_t nearest(const struct server *v, uint64_t sweep_us)
{
    uint64_t at = v->end_us < sweep_us ? v->end_us : sweep_us;
    if (weir_site_busy(&v->site)) return 0;
    if (weir_site_starved(&v->site) && v->site.now_us + STARVED_US < at) at = v->site.now_us + STARVED_US;
    return at > v->site.now_us ? (int64_t)(at - v->site.now_us) : 0;
}

/* Until a signal, the end of time, or an error of the instance or its device, which is returned. */
static int loop(struct server *v)
{
    struct weir_event event[EVENTS];
    uint64_t sweep_us = 0;
    look_at_clocks(v);
    v->end_us = v->options.seconds > 0 ? v->site.now_us + v->options.seconds * 1000000u : UINT64_MAX;
    while (!stopping && v->site.now_us < v->end_us) {
        int n = weir_poll(v->b.w, event, EVENTS, nearest(v, sweep_us));
        look_at_clocks(v);
        if (n < 0) return n;
        if (v->b.tap.dev.error[0] != '\0') return WEIR_ENODEV;
        weir_site_resume(&v->site);
        for (int i = 0; i < n; i++)
            weir_site_event(&v->site, &event[i]);
        weir_site_retry(&v->site);
        if (v->site.now_us >= sweep_us) {
            weir_site_sweep(&v->site);
            sweep_us = v->site.now_us + SWEEP_US;
        }
    }
    return 0;
}

static void fill_ledger(const struct server *v, struct weir_ledger *l)
{
    const struct weir_site *s = &v->site;
    weir_stats(v->b.w, &l->stats);
    l->zbuf_live_before_stop = l->stats.zbuf_live;
    l->file_bytes_ref = s->file_bytes_ref;
    l->file_bytes_copied = s->file_bytes_copied;
    l->requests = s->requests;
    l->chunk_hits = s->cache.hits;
    l->chunk_misses = s->cache.misses;
    l->file_calls = s->calls + s->cache.calls;
    l->device_calls = v->b.tap.dev.calls_in + v->b.tap.dev.calls_out;
    l->system_calls = l->file_calls + l->device_calls + l->stats.waits;
    l->fault_lost = v->b.fault.lost;
    l->fault_reordered = v->b.fault.reordered;
    l->fault_duplicated = v->b.fault.doubled;
    l->fault_corrupted = v->b.fault.corrupted;
}

static void close_server(struct server *v, struct weir_ledger *l)
{
    weir_site_close(&v->site);
    for (int i = 0; i < DRAIN_POLLS; i++)
        weir_poll(v->b.w, NULL, 0, 0);
    fill_ledger(v, l);
    to_wake = NULL;
    l->zbuf_live = (uint64_t)weir_bringup_close(&v->b);
    close(v->root);
}

static int report(const struct server *v, const struct weir_ledger *l)
{
    if (v->options.json) return weir_json_print(stdout, weir_ledger_json(l)) != 0;
    weir_ledger_print(stdout, l);
    return fflush(stdout) != 0;
}

int weir_cmd_serve(int argc, char **argv)
{
    static struct server server; /* large: the fault wrapper holds frames */
    static struct weir_ledger ledger;
    struct server *v = &server;
    weir_options_parse(&v->options, argc, argv, doc, true, 0);
    tzset();
    catch_signals();
    raise_descriptors();
    if (open_server(v) != 0) {
        fprintf(stderr, "weir serve: %s\n", v->why);
        return 1;
    }
    to_wake = v->b.w;
    tell_ready(v);
    int e = loop(v);
    close_server(v, &ledger);
    bool whole = v->b.trace_error == 0;
    if (e != 0) fprintf(stderr, "weir serve: %s\n", e == WEIR_ENODEV ? v->b.tap.dev.error : weir_strerror(e));
    return report(v, &ledger) != 0 || e != 0 || !whole;
}
