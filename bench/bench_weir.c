/* bench_weir.c: the measured server over Weir.
 *
 * Counted: the platform's `wait` is where the peer has its turn. So the loop is that of a server which sleeps
 * when there is nothing to do: events, the application, a pass that sends, one that finds nothing, the
 * sleep. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_dev.h"
#include "bench_serve.h"
#include "weir/tap.h"

#define MEM_BYTES  ((uint64_t)64 << 20)
#define EVENTS     64
#define READ_IOVS  16
#define TURN_US    20u
#define TURNS_MAX  2000000u /* more: the stack is stuck */
#define SIM_ADDR   "10.77.0.2/24"
#define USER_OF(x) ((uint64_t)(x))

static void check(int e, const char *what)
{
    if (e != 0) bench_die("%s: %s", what, weir_strerror(e));
}

void serve_start(struct serve *s, const struct weir_plat *plat)
{
    struct weir_config conf;
    struct weir_plan plan;
    struct weir_area area = {.kind = WEIR_AREA_ANY};
    memset(s, 0, sizeof *s);
    check(weir_config_size(&conf, MEM_BYTES), "configuration");
    conf.plat = plat;
    if (weir_plan(&conf, &plan) != 0) bench_die("%s", plan.why);
    area.bytes = (size_t)plan.total_bytes;
    if (posix_memalign(&area.base, plan.align_bytes, area.bytes) != 0) check(WEIR_ENOMEM, "memory");
    s->memory = area.base;
    check(weir_start(&s->w, &conf, &area, 1), "start");
}

void serve_open(struct serve *s, const struct weir_plat *plat, struct weir_netdev *dev, const char *addr)
{
    struct weir_ifaddr ifaddr;
    serve_start(s, plat);
    check(weir_ifaddr_parse(&ifaddr, addr), "address");
    int e = weir_attach(s->w, dev, &ifaddr);
    if (e != 0) bench_die("%s", dev->error[0] != '\0' ? dev->error : weir_strerror(e));
    for (unsigned i = 0; i < SERVE_PAGES; i++) {
        s->page[i] = weir_zalloc(s->w, SERVE_PAGE_BYTES);
        if (s->page[i] == NULL) check(WEIR_ENOMEM, "pages");
        memset(s->page[i], 'x', SERVE_PAGE_BYTES);
    }
}

void serve_listen(struct serve *s, enum serve_what what, uint16_t port)
{
    struct weir_addr any = {.family = WEIR_IP4, .port = port};
    struct weir_opts opts = {.user = USER_OF(what), .nodelay = what == SERVE_ECHO};
    weir_id id;
    check(weir_listen(s->w, &any, &opts, &id), "listen");
}

void serve_close(struct serve *s)
{
    (void)weir_stop(s->w);
    free(s->memory);
}

/* A read that lends fewer pieces than it could has found all there was: READ follows. */
static int echo(struct weir *w, weir_id id)
{
    struct weir_iov piece[READ_IOVS];
    int n;
    do {
        n = weir_read(w, id, piece, READ_IOVS);
        for (int i = 0; i < n; i++) {
            ptrdiff_t sent = weir_write(w, id, piece[i].base, piece[i].len);
            weir_zfree(w, piece[i].base);
            if (sent != (ptrdiff_t)piece[i].len) return WEIR_EPIPE; /* clients ask one byte at a time */
        }
    } while (n == READ_IOVS);
    return n;
}

static int sink(struct weir *w, weir_id id)
{
    struct weir_iov piece[READ_IOVS];
    int n;
    do {
        n = weir_read(w, id, piece, READ_IOVS);
        for (int i = 0; i < n; i++)
            weir_zfree(w, piece[i].base);
    } while (n == READ_IOVS);
    return n;
}

static int source(struct serve *s, weir_id id)
{
    for (;;) {
        ptrdiff_t n = weir_write(s->w, id, s->page[s->turn % SERVE_PAGES], SERVE_PAGE_BYTES);
        if (n < 0) return (int)n;
        s->turn++;
    }
}

static void serve_one(struct serve *s, weir_id id, uint64_t what, uint32_t mask)
{
    int n = WEIR_EAGAIN;
    if (what == SERVE_ECHO) n = echo(s->w, id);
    if (what == SERVE_SINK) n = sink(s->w, id);
    if (what == SERVE_SOURCE) {
        char end;
        n = source(s, id);
        if ((mask & WEIR_EV_READ) != 0 && weir_recv(s->w, id, &end, 1) == 0) n = 0;
    }
    if (n > 0 || n == WEIR_EAGAIN || n == WEIR_ENOMEM) return;
    weir_close(s->w, id, n == 0 && what != SERVE_SOURCE ? WEIR_CLOSE_GRACEFUL : WEIR_CLOSE_ABORT);
}

void serve_events(struct serve *s, const struct weir_event *e, int n)
{
    for (int i = 0; i < n; i++) {
        if ((e[i].mask & WEIR_EV_ACCEPT) == 0) {
            serve_one(s, e[i].id, e[i].user, e[i].mask);
            continue;
        }
        for (weir_id id; weir_accept(s->w, e[i].id, &id, NULL) == 0;)
            serve_one(s, id, e[i].user, 0);
    }
}

/* ---- counted, in virtual time ---- */

struct counted {
    struct weir_plat plat;
    struct bench_dev dev;
    struct peer peer;
    struct serve serve;
    uint64_t now_us;
    unsigned turns;
    bool begun;
};

static uint64_t counted_now(void *ctx)
{
    return ((struct counted *)ctx)->now_us;
}

static int counted_entropy(void *ctx, void *out, size_t n)
{
    (void)ctx;
    memset(out, 0x5a, n); /* the same keys each run: the same figures */
    return 0;
}

static int counted_watch(void *ctx, int handle, int on)
{
    (void)ctx, (void)handle, (void)on;
    return 0;
}

static void counted_wait(void *ctx, int64_t timeout_us)
{
    struct counted *c = ctx;
    (void)timeout_us;
    bench_pause();
    c->now_us += TURN_US;
    peer_turn(&c->peer);
    if (c->turns++ == TURNS_MAX) bench_die("the connection over Weir makes no progress");
    if (c->peer.over) {
        bench_stop();
        weir_wake(c->serve.w);
        return;
    }
    bench_dev_fill(&c->dev);
    if (c->peer.counting && !c->begun) {
        c->begun = true;
        bench_begin();
    } else
        bench_resume();
}

static void counted_wake(void *ctx)
{
    (void)ctx;
}

static void counted_log(void *ctx, const char *line)
{
    (void)ctx;
    bench_note("%s", line);
}

void serve_run_weir(const struct serve_case *k, void (*finish)(const struct serve_case *, double units))
{
    static struct counted c;
    struct weir_event event[EVENTS];
    memset(&c, 0, sizeof c);
    c.now_us = 1000000;
    c.plat = (struct weir_plat){.ctx = &c,
                                .now_us = counted_now,
                                .entropy = counted_entropy,
                                .watch = counted_watch,
                                .wait = counted_wait,
                                .wake = counted_wake,
                                .log = counted_log};
    peer_init(&c.peer, &k->conf, 10000);
    bench_dev_init(&c.dev, &c.peer, k->offloads);
    serve_open(&c.serve, &c.plat, &c.dev.dev, SIM_ADDR);
    serve_listen(&c.serve, k->what, PEER_PORT);
    while (!c.peer.over)
        serve_events(&c.serve, event, weir_poll(c.serve.w, event, EVENTS, -1));
    if (c.peer.odd > 0)
        bench_note("%s, %s: left out, %llu frames were not as expected", k->name, k->variant,
                   (unsigned long long)c.peer.odd);
    else
        finish(k, (double)peer_counted(&c.peer));
    serve_close(&c.serve);
}

static void end_sum(const struct serve_case *k, double units)
{
    bench_end(k->name, k->variant, k->unit, units);
}

void serve_count_weir(const struct serve_case *k)
{
    serve_run_weir(k, end_sum);
}

/* ---- over a TAP device ---- */

_Noreturn void serve_tap_weir(void (*ready)(void *ctx), void *ctx)
{
    static struct weir_linux lin;
    static struct weir_tap tap;
    static struct serve s;
    struct weir_event event[EVENTS];
    check(weir_linux_open(&lin), "descriptors");
    check(weir_tap_init(&tap, SERVE_TAP_WEIR, SERVE_HOST_WEIR, 1), "TAP device");
    serve_open(&s, &lin.plat, &tap.dev, SERVE_ADDR_WEIR "/24");
    serve_listen(&s, SERVE_ECHO, SERVE_ECHO);
    serve_listen(&s, SERVE_SINK, SERVE_SINK);
    serve_listen(&s, SERVE_SOURCE, SERVE_SOURCE);
    ready(ctx);
    for (;;)
        serve_events(&s, event, weir_poll(s.w, event, EVENTS, -1));
}
