/* linux.c: the platform under Linux. Sleeping is epoll over the devices' handles and one eventfd for wakes.
 *
 * The eventfd is edge-triggered and never read: each write is a new edge, an edge that nobody waited for
 * stays in epoll's ready list, so a wake before the wait is kept and costs no call to clear. Its counter
 * would be full after 2^64 - 2 wakes. */
#include "weir/plat.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "weir/err.h"

#define EVENTS_A_WAIT 8 /* which handle it was is not asked, so a few are enough */

static uint64_t linux_now_us(void *ctx)
{
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static int linux_entropy(void *ctx, void *out, size_t n)
{
    uint8_t *p = out;
    (void)ctx;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return WEIR_EIO;
        p += got;
        n -= (size_t)got;
    }
    return 0;
}

static int watch_error(int eno)
{
    switch (eno) {
    case EEXIST:
        return WEIR_EBUSY;
    case EPERM:
        return WEIR_ENOTSUP;
    case ENOMEM:
    case ENOSPC:
        return WEIR_ENOMEM;
    default:
        return WEIR_EINVAL;
    }
}

static int linux_watch(void *ctx, int handle, int on)
{
    const struct weir_linux *l = ctx;
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = handle};
    if (epoll_ctl(l->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, handle, &ev) == 0) return 0;
    return watch_error(errno);
}

/* For kernels before 5.11: milliseconds, rounded up so that a wait is never a spin. */
static void wait_ms(int epoll_fd, struct epoll_event *ev, int64_t timeout_us)
{
    int64_t ms = timeout_us < 0 ? -1 : timeout_us / 1000 + (timeout_us % 1000 != 0);
    epoll_wait(epoll_fd, ev, EVENTS_A_WAIT, ms > INT_MAX ? INT_MAX : (int)ms);
}

static void linux_wait(void *ctx, int64_t timeout_us)
{
    const struct weir_linux *l = ctx;
    struct epoll_event ev[EVENTS_A_WAIT];
    struct timespec t = {0};
    if (timeout_us > 0) {
        t.tv_sec = (time_t)(timeout_us / 1000000);
        t.tv_nsec = (long)(timeout_us % 1000000) * 1000;
    }
    int n = epoll_pwait2(l->epoll_fd, ev, EVENTS_A_WAIT, timeout_us < 0 ? NULL : &t, NULL);
    if (n < 0 && errno == ENOSYS) wait_ms(l->epoll_fd, ev, timeout_us);
}

static void linux_wake(void *ctx)
{
    const struct weir_linux *l = ctx;
    const uint64_t one = 1;
    int saved = errno; /* may run in a signal handler */
    ssize_t done = write(l->event_fd, &one, sizeof one);
    (void)done;
    errno = saved;
}

static void linux_log(void *ctx, const char *line)
{
    char newline = '\n';
    struct iovec iov[2] = {{(void *)(uintptr_t)line, strlen(line)}, {&newline, 1}};
    (void)ctx;
    ssize_t done = writev(STDERR_FILENO, iov, 2);
    (void)done;
}

static int open_error(void)
{
    return errno == EPERM || errno == EACCES ? WEIR_EPERM : WEIR_EIO;
}

int weir_linux_open(struct weir_linux *l)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
    int err;
    *l = (struct weir_linux){
        .plat = {.ctx = l,
                 .now_us = linux_now_us,
                 .entropy = linux_entropy,
                 .watch = linux_watch,
                 .wait = linux_wait,
                 .wake = linux_wake,
                 .log = linux_log},
        .epoll_fd = -1,
        .event_fd = -1,
    };
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0) goto out;
    l->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->event_fd < 0) goto out;
    ev.data.fd = l->event_fd;
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->event_fd, &ev) == 0) return 0;
out:
    err = open_error();
    weir_linux_close(l);
    return err;
}

void weir_linux_close(struct weir_linux *l)
{
    if (l->event_fd >= 0) close(l->event_fd);
    if (l->epoll_fd >= 0) close(l->epoll_fd);
    l->event_fd = -1;
    l->epoll_fd = -1;
}
