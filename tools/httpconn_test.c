/* httpconn_test.c: the file server over the simulated cable, in virtual time: replies byte for byte, many
 * clients in little memory, files that change, and peers that don't do their part. */
#include "httpconn.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir/pair.h>

#include <cmocka.h>

#define SERVER_MEM ((uint64_t)2 << 20)
#define CLIENT_MEM ((uint64_t)16 << 20)
#define CLIENTS    12
#define BIG_BYTES  600001u
#define OUT_MAX    (BIG_BYTES * 2 + 4096)
#define PATIENCE   200000 /* rounds */

struct client {
    weir_id id;
    const char *request; /* what is left to send */
    uint8_t *out;
    size_t out_bytes;
    bool slow;        /* reads nothing */
    size_t drip;      /* > 0: reads so many bytes a second */
    uint64_t drip_us; /* when next */
    bool ended;       /* the server has ended the stream */
    int error;
};

struct host {
    struct weir *w;
    struct weir_config conf;
    void *memory;
};

static struct world {
    struct weir_sim sim;
    struct weir_pair pair;
    void *pair_memory;
    struct host server, visitor;
    struct weir_site site;
    int root;
    uint64_t sweep_us;
    struct client client[CLIENTS];
    char folder[40];
} world;

static uint8_t *big; /* the content of big.bin */

/* ---- set-up ---- */

static void open_host(struct host *h, uint64_t mem, struct weir_netdev *dev, const char *cidr)
{
    struct weir_plan plan;
    struct weir_ifaddr addr;
    struct weir_area area = {.kind = WEIR_AREA_ANY};
    assert_int_equal(weir_config_size(&h->conf, mem), 0);
    h->conf.plat = &world.sim.plat;
    assert_int_equal(weir_plan(&h->conf, &plan), 0);
    assert_int_equal(posix_memalign(&h->memory, plan.align_bytes, (size_t)plan.total_bytes), 0);
    area.base = h->memory;
    area.bytes = (size_t)plan.total_bytes;
    assert_int_equal(weir_start(&h->w, &h->conf, &area, 1), 0);
    assert_int_equal(weir_ifaddr_parse(&addr, cidr), 0);
    assert_int_equal(weir_attach(h->w, dev, &addr), 0);
}

static void open_pair(void)
{
    const struct weir_pair_conf conf = {
        .plat = &world.sim.plat, .delay_us = 100, .queue = 32, .max_frame = 1514, .mtu = 1500};
    size_t bytes = weir_pair_bytes(&conf);
    world.pair_memory = malloc(bytes);
    assert_non_null(world.pair_memory);
    assert_int_equal(weir_pair_init(&world.pair, &conf, world.pair_memory, bytes), 0);
}

static void put_file(const char *name, const void *bytes, size_t n)
{
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    int fd = openat(world.root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    assert_int_equal(futimens(fd, old), 0);
    close(fd);
}

static int set_up(void **state)
{
    struct weir_addr at = {.family = WEIR_IP4, .port = 80};
    char why[100];
    (void)state;
    memset(&world, 0, sizeof(world));
    memcpy(world.folder, "/tmp/weir-httpconn-XXXXXX", sizeof("/tmp/weir-httpconn-XXXXXX"));
    if (mkdtemp(world.folder) == NULL) return -1;
    world.root = weir_docroot_open(world.folder, why, sizeof(why));
    if (world.root < 0) return -1;
    put_file("big.bin", big, BIG_BYTES);
    put_file("other.bin", big, BIG_BYTES);
    put_file("a.txt", "hello", 5);
    weir_sim_init(&world.sim, 1);
    open_pair();
    open_host(&world.server, SERVER_MEM, &world.pair.end[0].dev, "10.9.0.2/24");
    open_host(&world.visitor, CLIENT_MEM, &world.pair.end[1].dev, "10.9.0.1/24");
    assert_int_equal(weir_site_open(&world.site, world.server.w, &world.server.conf, world.root), 0);
    return weir_listen(world.server.w, &at, NULL, &world.site.listener);
}

static int tear_down(void **state)
{
    char command[80];
    (void)state;
    weir_site_close(&world.site);
    assert_int_equal(weir_stop(world.server.w), 0); /* no zbuf is held, whatever happened */
    weir_stop(world.visitor.w);
    free(world.server.memory);
    free(world.visitor.memory);
    free(world.pair_memory);
    for (int i = 0; i < CLIENTS; i++)
        free(world.client[i].out);
    close(world.root);
    snprintf(command, sizeof(command), "rm -rf '%s'", world.folder);
    return system(command); /* NOLINT(cert-env33-c): a folder of our own making */
}

/* ---- both sides ---- */

static void serve_round(void)
{
    struct weir_event event[16];
    int n = weir_poll(world.server.w, event, 16, 0);
    world.site.now_us = world.sim.now_us;
    world.site.wall_ns = INT64_C(2000000000) * 1000000000;
    weir_site_resume(&world.site);
    for (int i = 0; i < n; i++)
        weir_site_event(&world.site, &event[i]);
    weir_site_retry(&world.site);
    if (world.sim.now_us >= world.sweep_us) {
        weir_site_sweep(&world.site);
        world.sweep_us = world.sim.now_us + 1000000;
    }
}

/* How many bytes the client wants now. */
static size_t appetite(struct client *c)
{
    size_t room = OUT_MAX - c->out_bytes;
    if (c->slow || c->ended) return 0;
    if (c->drip == 0) return room;
    if (world.sim.now_us < c->drip_us) return 0;
    c->drip_us = world.sim.now_us + 1000000;
    return c->drip < room ? c->drip : room;
}

static void visit(struct client *c)
{
    struct weir_conn_info info;
    if (c->id == 0 || c->error != 0) return;
    while (*c->request != '\0') {
        ptrdiff_t n = weir_write(world.visitor.w, c->id, c->request, strlen(c->request));
        if (n <= 0) break;
        c->request += n;
    }
    for (size_t want; (want = appetite(c)) > 0;) {
        ptrdiff_t n = weir_recv(world.visitor.w, c->id, c->out + c->out_bytes, want);
        c->ended = n == 0;
        if (n <= 0) break;
        c->out_bytes += (size_t)n;
    }
    if (weir_info(world.visitor.w, c->id, &info) == 0) c->error = info.error;
}

/* One round; the clock goes on to what is due next, in steps of at most a second. */
static void turn(void)
{
    int64_t a, b;
    struct weir_event unread[16]; /* the visitors look at their connections, not at events */
    serve_round();
    weir_poll(world.visitor.w, unread, 16, 0);
    for (int i = 0; i < CLIENTS; i++)
        visit(&world.client[i]);
    weir_flush(world.visitor.w);
    weir_flush(world.server.w);
    weir_next(world.server.w, &a);
    weir_next(world.visitor.w, &b);
    uint64_t next = (uint64_t)(a < b ? a : b);
    if (weir_site_busy(&world.site)) next = world.sim.now_us + 50; /* a round takes time */
    uint64_t most = world.sim.now_us + 1000000;
    next = next < most ? next : most;
    if (next > world.sim.now_us) world.sim.now_us = next;
}

static struct client *ask(int i, const char *request)
{
    struct weir_addr at;
    struct client *c = &world.client[i];
    assert_int_equal(weir_addr_parse(&at, "10.9.0.2:80"), 0);
    assert_int_equal(weir_connect(world.visitor.w, &at, NULL, &c->id), 0);
    c->request = request;
    c->out = malloc(OUT_MAX);
    assert_non_null(c->out);
    return c;
}

static void until_ended(struct client *c)
{
    for (int i = 0; i < PATIENCE && !c->ended && c->error == 0; i++)
        turn();
    assert_true(c->ended || c->error != 0);
}

/* The reply at c->out[at]: checks its status line and body; where the next one begins. */
static size_t expect(const struct client *c, size_t at, const char *status, const void *body, size_t n)
{
    const uint8_t *reply = c->out + at;
    const uint8_t *end = memmem(reply, c->out_bytes - at, "\r\n\r\n", 4);
    assert_non_null(end);
    assert_memory_equal(reply, "HTTP/1.1 ", 9);
    assert_memory_equal(reply + 9, status, strlen(status));
    size_t head = (size_t)(end - reply) + 4;
    assert_true(c->out_bytes - at - head >= n);
    assert_memory_equal(end + 4, body, n);
    return at + head + n;
}

/* ---- tests ---- */

static void pipelined(void **state)
{
    (void)state;
    struct client *c = ask(
        0, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"
           "HEAD /a.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /big.bin HTTP/1.1\r\nHost: a\r\n"
           "Range: bytes=70000-70009\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /");
    until_ended(c);
    size_t at = expect(c, 0, "200", "hello", 5);
    at = expect(c, at, "200", big, BIG_BYTES);
    at = expect(c, at, "200", "", 0);
    at = expect(c, at, "206", big + 70000, 10);
    at = expect(c, at, "404", "404 Not Found\n", 14);
    assert_int_equal(at, c->out_bytes);
    assert_int_equal(world.site.requests, 5);
    assert_int_equal(world.site.file_bytes_ref, 5 + BIG_BYTES + 10);
    assert_int_equal(world.site.file_bytes_copied, 0);
    weir_close(world.visitor.w, c->id, WEIR_CLOSE_GRACEFUL);
    c->id = 0;
    for (int i = 0; i < 1000 && world.site.live > 0; i++)
        turn();
    assert_int_equal(world.site.live, 0);
}

/* Requests that lie in the queue by the hundred are answered in turns, and another client has its own between
 * them. */
static void takes_turns(void **state)
{
    static const char one[] = "GET /none HTTP/1.1\r\nHost: a\r\n\r\n";
    enum { REQUESTS = 300 };
    static char many[REQUESTS * sizeof(one)];
    uint64_t before = 0;
    (void)state;
    for (size_t i = 0; i < REQUESTS; i++)
        memcpy(many + i * (sizeof(one) - 1), one, sizeof(one));
    struct client *c = ask(0, many);
    struct client *other = ask(1, "GET /a.txt HTTP/1.0\r\n\r\n");
    for (int i = 0; i < PATIENCE && other->out_bytes == 0; i++) {
        turn();
        assert_in_range(world.site.requests - before, 0, WEIR_HTTPCONN_TURN + 1);
        before = world.site.requests;
    }
    assert_in_range(before, 1, REQUESTS / 2);
    until_ended(other);
    expect(other, 0, "200", "hello", 5);
    for (int i = 0; i < PATIENCE && world.site.requests < REQUESTS + 1; i++)
        turn();
    for (int i = 0; i < 100; i++)
        turn();
    size_t at = 0;
    for (int i = 0; i < REQUESTS; i++)
        at = expect(c, at, "404", "404 Not Found\n", 14);
    assert_int_equal(at, c->out_bytes);
}

/* One whose turn is over goes while it stands in the queue. */
static void yielded_and_gone(void **state)
{
    static char many[100 * 31 + 1];
    (void)state;
    for (size_t i = 0; i < 100; i++)
        memcpy(many + i * 31, "GET /n HTTP/1.1\r\nHost: abcd\r\n\r\n", 32);
    ask(0, many);
    for (int i = 0; i < PATIENCE && !weir_site_busy(&world.site); i++)
        turn();
    assert_true(weir_site_busy(&world.site));
    weir_site_close(&world.site);
    assert_false(weir_site_busy(&world.site));
    assert_int_equal(weir_site_open(&world.site, world.server.w, &world.server.conf, world.root), 0);
}

/* Two thirds of the server's buffers are less than one file: some of the twelve must starve, and all get
 * theirs. */
static void many_in_little_memory(void **state)
{
    (void)state;
    for (int i = 0; i < CLIENTS; i++)
        ask(i, i % 2 == 0 ? "GET /big.bin HTTP/1.0\r\n\r\n" : "GET /other.bin HTTP/1.0\r\n\r\n");
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &world.client[i];
        until_ended(c);
        assert_int_equal(c->error, 0);
        assert_int_equal(expect(c, 0, "200", big, BIG_BYTES), c->out_bytes);
    }
    assert_true(world.site.cache.evictions > 0 && world.site.cache.hits > 0);
    assert_int_equal(world.site.file_bytes_copied, 0);
    assert_true(weir_filecache_check(&world.site.cache));
}

/* The test holds every buffer that files can be read into: connections wait, in order, and go on when it lets
 * go. */
static void starved(void **state)
{
    static void *held[1024];
    uint32_t n = 0;
    (void)state;
    while (n < 1024 && (held[n] = weir_zalloc(world.server.w, world.site.cache.chunk_bytes)) != NULL)
        n++;
    assert_in_range(n, 1, 1023);
    for (int i = 0; i < 3; i++)
        ask(i, "GET /big.bin HTTP/1.0\r\n\r\n");
    while (world.sim.now_us < 2 * WEIR_HTTPCONN_STALL_US)
        turn();
    for (int i = 0; i < 3; i++)
        assert_true(world.site.conn[i].queue == WEIR_HTTPCONN_STARVED && world.site.conn[i].n_ahead == 0);
    while (n > 0)
        assert_int_equal(weir_zfree(world.server.w, held[--n]), 0);
    for (int i = 0; i < 3; i++) {
        until_ended(&world.client[i]);
        assert_int_equal(expect(&world.client[i], 0, "200", big, BIG_BYTES), world.client[i].out_bytes);
    }
    assert_false(weir_site_starved(&world.site));
}

/* One that reads nothing holds what it has, and is reset when nothing has moved for a minute. The others go
 * on. */
static void stalled(void **state)
{
    (void)state;
    struct client *slow = ask(0, "GET /big.bin HTTP/1.0\r\n\r\n");
    slow->slow = true;
    struct client *c = ask(1, "GET /big.bin HTTP/1.0\r\n\r\n");
    until_ended(c);
    expect(c, 0, "200", big, BIG_BYTES);
    assert_int_equal(slow->error, 0);
    for (int i = 0; i < PATIENCE && world.site.live > 0; i++)
        turn();
    slow->slow =
        false; /* a reset may lie outside a closed window; what the client sends next is answered with one */
    until_ended(slow);
    assert_int_equal(slow->error, WEIR_ECONNRESET);
    assert_true(world.sim.now_us >= WEIR_HTTPCONN_STALL_US);
}

/* Slow, but never still: the reply is whole, though its last bytes lie in the stack's queue for longer than a
 * peer has that says nothing, and though a minute passes between two writes. */
static void slow_but_moving(void **state)
{
    static const size_t bytes_a_second[] = {20000, 250};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct client *c = ask(i, "GET /big.bin HTTP/1.0\r\n\r\n");
        c->drip = bytes_a_second[i];
        until_ended(c);
        assert_int_equal(c->error, 0);
        assert_int_equal(expect(c, 0, "200", big, BIG_BYTES), c->out_bytes);
    }
}

/* All is there, but the peer doesn't end its side: it is given little time. */
static void never_ends(void **state)
{
    (void)state;
    struct client *c = ask(0, "GET /a.txt HTTP/1.0\r\n\r\n");
    until_ended(c);
    for (int i = 0; i < PATIENCE && world.site.live > 0; i++)
        turn();
    assert_true(world.sim.now_us < WEIR_HTTPCONN_LINGER_US + 3000000);
}

static void shrinks(void **state)
{
    (void)state;
    struct client *c = ask(0, "GET /big.bin HTTP/1.0\r\n\r\n");
    c->slow = true;
    for (int i = 0; i < 200; i++)
        turn();
    put_file("big.bin", big, 1000);
    c->slow = false;
    until_ended(c);
    assert_int_equal(c->error, WEIR_ECONNRESET); /* not ended in order: the client must see that it's cut */
    assert_true(c->out_bytes < BIG_BYTES);
}

static void half_a_request(void **state)
{
    (void)state;
    struct client *c = ask(0, "GET /a.txt HT");
    until_ended(c);
    expect(c, 0, "408", "408 Request Timeout\n", 20);
    assert_true(world.sim.now_us >= WEIR_HTTPCONN_REQUEST_US && world.sim.now_us < WEIR_HTTPCONN_IDLE_US);
}

static void idle(void **state)
{
    (void)state;
    struct client *c = ask(0, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    until_ended(c);
    assert_int_equal(expect(c, 0, "200", "hello", 5), c->out_bytes);
    assert_true(world.sim.now_us >= WEIR_HTTPCONN_IDLE_US);
}

/* A client that ends its side first still gets its reply. */
static void half_closed(void **state)
{
    (void)state;
    struct client *c = ask(0, "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 100 && *c->request != '\0'; i++)
        turn();
    assert_int_equal(weir_shutdown(world.visitor.w, c->id), 0);
    until_ended(c);
    assert_int_equal(expect(c, 0, "200", big, BIG_BYTES), c->out_bytes);
}

/* A client that vanishes in the middle leaves nothing behind. */
static void reset(void **state)
{
    (void)state;
    struct client *c = ask(0, "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < PATIENCE && c->out_bytes < 10000; i++)
        turn();
    weir_close(world.visitor.w, c->id, WEIR_CLOSE_ABORT);
    c->id = 0;
    for (int i = 0; i < 1000 && world.site.live > 0; i++)
        turn();
    assert_int_equal(world.site.live, 0);
    for (uint32_t i = 0; i < world.site.cache.slots; i++)
        assert_int_equal(world.site.cache.slot[i].pins, 0);
}

int main(void)
{
    static uint8_t content[BIG_BYTES];
    for (uint32_t i = 0; i < BIG_BYTES; i++)
        content[i] = (uint8_t)((i * 2654435761u) >> 24);
    big = content;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pipelined, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(yielded_and_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_in_little_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(starved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stalled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slow_but_moving, set_up, tear_down),
        cmocka_unit_test_setup_teardown(never_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shrinks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_a_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(idle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reset, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
