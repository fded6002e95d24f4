/* bench_sockets.c: the measured server over the kernel's sockets: one thread, one epoll, no copy saved
 * (MSG_ZEROCOPY is for others to measure). */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "bench_serve.h"

#define EVENTS     64
#define CHUNK      262144u
#define LISTENING  ((uint64_t)1 << 40) /* in an event's data, beside what << 32 and the descriptor */
#define DATA(w, f) ((uint64_t)(w) << 32 | (uint32_t)(f))

static uint8_t chunk[CHUNK];

static void watch(int epoll, int fd, uint64_t data, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.u64 = data};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0) bench_die("epoll: %s", strerror(errno));
}

static void listen_on(int epoll, enum serve_what what)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)what)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 128) != 0)
        bench_die("sockets: %s", strerror(errno));
    watch(epoll, fd, LISTENING | DATA(what, fd), EPOLLIN);
}

static void accept_one(int epoll, int listener, enum serve_what what)
{
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (what == SERVE_ECHO) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(epoll, fd, DATA(what, fd), what == SERVE_SOURCE ? EPOLLOUT : EPOLLIN);
}

/* Level-triggered: one call of each kind an event. */
static void serve_socket(int fd, enum serve_what what)
{
    ssize_t n =
        what == SERVE_SOURCE ? send(fd, chunk, sizeof chunk, MSG_NOSIGNAL) : recv(fd, chunk, sizeof chunk, 0);
    if (what == SERVE_ECHO && n > 0) n = send(fd, chunk, (size_t)n, MSG_NOSIGNAL);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) close(fd);
}

_Noreturn void serve_sockets(void (*ready)(void *ctx), void *ctx)
{
    struct epoll_event event[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    memset(chunk, 'x', sizeof chunk);
    listen_on(epoll, SERVE_ECHO);
    listen_on(epoll, SERVE_SINK);
    listen_on(epoll, SERVE_SOURCE);
    ready(ctx);
    for (;;) {
        int n = epoll_wait(epoll, event, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            uint64_t data = event[i].data.u64;
            enum serve_what what = (enum serve_what)(data >> 32 & 0xff);
            if (data & LISTENING)
                accept_one(epoll, (int)(uint32_t)data, what);
            else
                serve_socket((int)(uint32_t)data, what);
        }
    }
}
