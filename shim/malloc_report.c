/* malloc_report.c: lines on stderr, made without stdio, which could ask for memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "malloc_shim.h"
#include "weir/err.h"

struct line {
    char text[512];
    size_t n;
};

static void add(struct line *l, const char *s)
{
    size_t n = strlen(s), room = sizeof l->text - l->n;
    if (n > room) n = room;
    memcpy(l->text + l->n, s, n);
    l->n += n;
}

static void add_number(struct line *l, uint64_t value, unsigned base)
{
    char digits[24], *at = digits + sizeof digits - 1;
    *at = 0;
    do
        *--at = "0123456789abcdef"[value % base];
    while ((value /= base) > 0);
    add(l, at);
}

static void add_count(struct line *l, const char *name, uint64_t value)
{
    add(l, " ");
    add(l, name);
    add(l, "=");
    add_number(l, value, 10);
}

static void put(struct line *l, int fd)
{
    int saved = errno;
    add(l, "\n");
    for (size_t at = 0; at < l->n;) {
        ssize_t n = write(fd, l->text + at, l->n - at);
        if (n == 0 || (n < 0 && errno != EINTR)) break;
        if (n > 0) at += (size_t)n;
    }
    errno = saved;
}

void shim_bad(const char *call, const void *block, int err)
{
    struct line l = {.n = 0};
    atomic_fetch_add_explicit(&shim.bad, 1, memory_order_relaxed);
    add(&l, "libweir-malloc: ");
    add(&l, call);
    add(&l, " of 0x");
    add_number(&l, (uintptr_t)block, 16);
    add(&l, ": ");
    add(&l, weir_strerror(err));
    put(&l, STDERR_FILENO);
    if (shim.options.abort) abort();
}

/* ---- options ---- */

void shim_tell_options(void)
{
    struct line l = {.n = 0};
    add(&l, "libweir-malloc: ");
    add(&l, shim.options.bad);
    add(&l, shim.options.bad_why);
    put(&l, STDERR_FILENO);
}

/* ---- counts ---- */

#define STATS_FD 700 /* or above, where that is allowed: where a program looks for no descriptor of its own */

static struct {
    int fd; /* a copy of stderr; 0: none */
    dev_t device;
    ino_t file;
} out;

void shim_stats_begin(void)
{
    struct rlimit limit;
    struct stat now;
    int from = STATS_FD;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= STATS_FD) from = (int)limit.rlim_cur - 1;
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, from);
    if (fd <= 0 || fstat(fd, &now) != 0) return;
    out.fd = fd;
    out.device = now.st_dev;
    out.file = now.st_ino;
}

/* The copy is still what it was: a program may have closed all descriptors, and opened a file of its own. */
static bool can_tell(void)
{
    struct stat now;
    return out.fd > 0 && fstat(out.fd, &now) == 0 && now.st_dev == out.device && now.st_ino == out.file;
}

/* Exit may have been called by a handler of a signal that came while this very thread held a lock. */
static bool can_look(void)
{
    bool can = shim_lock_soon(&shim.mem_lock);
    for (uint32_t i = 0; i < shim.arenas && can; i++)
        can = shim_lock_soon(&shim.arena[i].lock);
    return can;
}

static void add_stat(struct weir_mem_stat *sum, const struct weir_mem_stat *st)
{
    sum->allocs += st->allocs;
    sum->frees += st->frees;
    sum->failures += st->failures;
    sum->bad_frees += st->bad_frees;
    sum->live_bytes += st->live_bytes;
    sum->peak_bytes += st->peak_bytes;
    sum->alloc_bytes += st->alloc_bytes;
    sum->asked_bytes += st->asked_bytes;
    sum->configured_bytes += st->configured_bytes;
}

void shim_stats(void)
{
    struct weir_mem_stat sum = {0}, st;
    struct shim_large_stat large;
    struct line l = {.n = 0};
    uint32_t open = 0;
    if (!can_tell()) return;
    if (!can_look()) {
        add(&l, "libweir-malloc: no counts, the program ended in the midst of a request");
        put(&l, out.fd);
        return;
    }
    for (uint32_t i = 0; i < shim.arenas; i++) {
        if (!atomic_load_explicit(&shim.arena[i].open, memory_order_acquire)) continue;
        weir_heap_info(&shim.arena[i].heap, &st);
        add_stat(&sum, &st);
        open++;
    }
    shim_large_info(&large);
    add(&l, "libweir-malloc:");
    add_count(&l, "allocs", sum.allocs + large.allocs);
    add_count(&l, "frees", sum.frees + large.frees);
    add_count(&l, "failures", sum.failures);
    add_count(&l, "bad_frees", atomic_load(&shim.bad));
    add_count(&l, "live_bytes", sum.live_bytes + large.live_bytes);
    add_count(&l, "peak_bytes", sum.peak_bytes + large.peak_bytes);
    add_count(&l, "asked_bytes", sum.asked_bytes);
    add_count(&l, "alloc_bytes", sum.alloc_bytes);
    put(&l, out.fd);
    l.n = 0;
    add(&l, "libweir-malloc:");
    add_count(&l, "arenas", open);
    add_count(&l, "heap_bytes", sum.configured_bytes);
    add_count(&l, "large_allocs", large.allocs);
    add_count(&l, "large_peak_bytes", large.peak_bytes);
    add_count(&l, "ranges", shim.mem.ranges);
    add_count(&l, "reserve_bytes", shim.reserve_bytes);
    put(&l, out.fd);
}
