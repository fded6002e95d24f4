/* bench_wire.c: times. Each server runs in a process of its own, all at once, in a network namespace that
 * goes away with the program:
 *
 *     clients: the kernel's sockets, in this process
 *       |                |                 |
 *     TAP, vnet header  TAP, plain        veth
 *       |                |                 |
 *     Weir              lwIP              the kernel, in a second namespace
 *
 * A round measures each of them once, so that whatever else the machine does hits all alike; the figure is
 * the median over the rounds. lwIP's TAP device has no vnet header, since lwIP can't use one. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "bench.h"
#include "bench_serve.h"

#define ROUNDS       7u
#define ROUNDS_QUICK 1u
#define MEASURE_S    0.4
#define WARM_S       0.1
#define CHUNK        262144u
#define CONNS        16u
#define CLIENT_S     5 /* a client that waits longer has lost its server */
#define GIGABIT      1e9
#define MANY         16u

extern char **environ;

static struct server {
    const char *variant, *addr;
    void (*run)(void (*ready)(void *ctx), void *ctx);
    pid_t pid;
} servers[] = {
    {"weir", SERVE_ADDR_WEIR, serve_tap_weir, 0},
    {"lwip", SERVE_ADDR_LWIP, serve_tap_lwip, 0},
    {"linux", SERVE_ADDR_VETH, serve_sockets, 0},
};
#define SERVERS (sizeof servers / sizeof servers[0])
enum { WEIR, LWIP, LINUX };

/* ---- the namespace and its interfaces ---- */

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return good;
}

/* As root, or as the root of a user namespace. */
static bool enter_namespace(void)
{
    char map[64];
    if (access("/dev/net/tun", R_OK | W_OK) != 0) return false;
    if (unshare(CLONE_NEWNET) == 0) return true;
    snprintf(map, sizeof map, "0 %u 1", (unsigned)getuid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 && write_file("/proc/self/uid_map", map);
}

/* `ip` with these words, divided at blanks. */
static bool ip(const char *words)
{
    char text[200], *rest = text, *argv[24] = {"ip"};
    pid_t pid;
    int status;
    snprintf(text, sizeof text, "%s", words);
    for (unsigned n = 1; n + 1 < sizeof argv / sizeof argv[0] && (argv[n] = strsep(&rest, " ")) != NULL;)
        n++;
    if (posix_spawnp(&pid, "ip", NULL, NULL, argv, environ) != 0) return false;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool make_veth(pid_t server)
{
    char words[200];
    snprintf(words, sizeof words, "link add wbhost type veth peer name wbserver netns %ld", (long)server);
    return ip(words) && ip("addr add " SERVE_HOST_VETH " dev wbhost") && ip("link set wbhost up");
}

/* ---- servers ---- */

static void tell_ready(void *ctx)
{
    char byte = 1;
    if (write(*(int *)ctx, &byte, 1) != 1) exit(1);
}

static bool wait_ready(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 1;
}

/* What the child does before it serves. The one over sockets has a namespace of its own, and its end of the
 * veth from the parent, who says so through `go`. */
static void prepare(const struct server *s, int ready, int go)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (s != &servers[LINUX]) return;
    if (unshare(CLONE_NEWNET) != 0) exit(1);
    tell_ready(&ready);
    if (!wait_ready(go)) exit(1);
    if (!ip("addr add " SERVE_ADDR_VETH "/24 dev wbserver") || !ip("link set wbserver up")) exit(1);
}

static bool connect_veth(const struct server *s, int ready, int go)
{
    if (s != &servers[LINUX]) return true;
    if (!wait_ready(ready) || !make_veth(s->pid)) return false;
    tell_ready(&go);
    return true;
}

static bool set_up_host(const struct server *s)
{
    if (s != &servers[LWIP]) return true;
    return ip("addr add " SERVE_HOST_LWIP " dev " SERVE_TAP_LWIP) && ip("link set " SERVE_TAP_LWIP " up");
}

static bool start_server(struct server *s)
{
    int ready[2], go[2];
    if (pipe(ready) != 0 || pipe(go) != 0) return false;
    s->pid = fork();
    if (s->pid == 0) {
        close(ready[0]);
        close(go[1]);
        prepare(s, ready[1], go[0]);
        s->run(tell_ready, &ready[1]);
        exit(1);
    }
    close(ready[1]);
    close(go[0]);
    bool good = s->pid > 0 && connect_veth(s, ready[0], go[1]) && wait_ready(ready[0]) && set_up_host(s);
    close(ready[0]);
    close(go[1]);
    return good;
}

static void stop_server(struct server *s)
{
    if (s->pid <= 0) return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

/* ---- clients ---- */

static int dial(const struct server *s, enum serve_what what)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)what)};
    struct timeval patience = {.tv_sec = CLIENT_S};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, s->addr, &a.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static bool ask_all(const int *fd, unsigned n)
{
    char byte = 'x';
    for (unsigned i = 0; i < n; i++)
        if (send(fd[i], &byte, 1, MSG_NOSIGNAL) != 1) return false;
    for (unsigned i = 0; i < n; i++)
        if (recv(fd[i], &byte, 1, 0) != 1 || byte != 'x') return false;
    return true;
}

/* Echoes a second over n connections, each with one byte under way. 0: failed. */
static double measure_echo(const struct server *s, unsigned n)
{
    int fd[CONNS];
    double start, begin = 0, now = 0, echoes = 0;
    bool good = true;
    for (unsigned i = 0; i < n; i++)
        good = (fd[i] = dial(s, SERVE_ECHO)) >= 0 && good;
    start = now = bench_seconds();
    while (good && (begin == 0 || now - begin < MEASURE_S)) {
        if (begin == 0 && now - start >= WARM_S) begin = now;
        good = ask_all(fd, n);
        if (begin > 0) echoes += n;
        now = bench_seconds();
    }
    for (unsigned i = 0; i < n; i++)
        if (fd[i] >= 0) close(fd[i]);
    return good ? echoes / (now - begin) : 0;
}

static ssize_t move_chunk(int fd, enum serve_what what)
{
    static uint8_t chunk[CHUNK];
    return what == SERVE_SOURCE ? recv(fd, chunk, sizeof chunk, 0)
                                : send(fd, chunk, sizeof chunk, MSG_NOSIGNAL);
}

/* Bytes that were sent and are not yet acknowledged. */
static double under_way(int fd)
{
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

/* Bits a second from the source, or into the sink. 0: failed. */
static double measure_bulk(const struct server *s, enum serve_what what)
{
    int fd = dial(s, what);
    double start = bench_seconds(), begin = 0, now = start, bytes = 0;
    bool good = fd >= 0;
    while (good && (begin == 0 || now - begin < MEASURE_S)) {
        if (begin == 0 && now - start >= WARM_S) {
            begin = now;
            bytes = what == SERVE_SINK ? under_way(fd) : 0; /* queued before, and still to come */
        }
        ssize_t n = move_chunk(fd, what);
        good = n > 0;
        bytes += (double)n;
        now = bench_seconds();
    }
    if (good && what == SERVE_SINK) bytes -= under_way(fd);
    if (fd >= 0) close(fd);
    return good ? bytes * 8 / (now - begin) : 0;
}

/* ---- rounds ---- */

static double echo_one(const struct server *s)
{
    return measure_echo(s, 1);
}

static double echo_many(const struct server *s)
{
    return measure_echo(s, MANY);
}

static double bulk_send(const struct server *s)
{
    return measure_bulk(s, SERVE_SOURCE) / GIGABIT;
}

static double bulk_receive(const struct server *s)
{
    return measure_bulk(s, SERVE_SINK) / GIGABIT;
}

static const struct wire {
    enum bench_name bench;
    const char *name, *metric, *unit;
    double (*measure)(const struct server *);
} wires[] = {
    {BENCH_ECHO, "echo-1", "rate", "echoes/s", echo_one},
    {BENCH_ECHO, "echo-16", "rate", "echoes/s", echo_many},
    {BENCH_SEND, "send", "throughput", "Gbit/s", bulk_send},
    {BENCH_RECEIVE, "receive", "throughput", "Gbit/s", bulk_receive},
};

static void run_wire(const struct wire *w, unsigned rounds)
{
    double value[SERVERS][ROUNDS];
    for (unsigned r = 0; r < rounds; r++) {
        bench_progress("%s, times, round %u of %u", w->name, r + 1, rounds);
        for (unsigned i = 0; i < SERVERS; i++) {
            if (servers[i].pid <= 0) continue;
            value[i][r] = w->measure(&servers[i]);
            if (value[i][r] > 0) continue;
            bench_note("%s, %s: left out, a connection failed", w->name, servers[i].variant);
            stop_server(&servers[i]);
        }
    }
    for (unsigned i = 0; i < SERVERS; i++)
        if (servers[i].pid > 0)
            bench_emit(w->name, servers[i].variant, w->metric, bench_median(value[i], rounds), w->unit);
}

static void start_servers(void)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        if (i == LWIP && !bench_has_lwip()) continue;
        if (start_server(&servers[i])) continue;
        bench_note("no times for %s: its server did not start", servers[i].variant);
        stop_server(&servers[i]);
    }
}

void bench_traffic_timed(const struct bench_options *o)
{
    if (!o->wanted[BENCH_ECHO] && !o->wanted[BENCH_SEND] && !o->wanted[BENCH_RECEIVE]) return;
    if (!bench_has_lwip()) bench_note("lwIP is left out: built without it (liblwip-dev)");
    if (!enter_namespace()) {
        bench_note("no times of connections: no network namespace or TAP device can be had here");
        return;
    }
    start_servers();
    for (const struct wire *w = wires; w < wires + sizeof wires / sizeof wires[0]; w++)
        if (o->wanted[w->bench]) run_wire(w, o->quick ? ROUNDS_QUICK : ROUNDS);
    for (unsigned i = 0; i < SERVERS; i++)
        stop_server(&servers[i]);
}
