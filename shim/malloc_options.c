/* malloc_options.c: what the environment says. The first request of a process may come before libc has set
 * environ, from the dynamic linker; then the kernel's own copy is read. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "malloc_shim.h"

#define COPY_BYTES 65536

#if UINTPTR_MAX > 0xffffffffu
#define DEFAULT_BYTES ((uint64_t)64 << 30)
#else
#define DEFAULT_BYTES ((uint64_t)1 << 30)
#endif
#define LEAST_BYTES ((uint64_t)16 << 20)
#define MOST_BYTES  ((uint64_t)(SIZE_MAX / 4 + 1))

extern char **environ;

static unsigned shift_of(char unit)
{
    switch (unit | 0x20) {
    case 'k':
        return 10;
    case 'm':
        return 20;
    case 'g':
        return 30;
    default:
        return 0;
    }
}

/* 64m, 8G, 1000000: up to MOST_BYTES. 0 iff it is no number, or anything follows. */
static uint64_t number(const char *s)
{
    uint64_t n = 0;
    if (*s < '0' || *s > '9') return 0;
    for (; *s >= '0' && *s <= '9'; s++)
        n = n < MOST_BYTES / 10 ? n * 10 + (uint64_t)(*s - '0') : MOST_BYTES;
    unsigned shift = shift_of(*s);
    if (s[shift > 0] != 0) return 0;
    return n > MOST_BYTES >> shift ? MOST_BYTES : n << shift;
}

static void bad(struct shim_options *o, const char *variable, const char *why)
{
    o->bad = variable;
    o->bad_why = why;
}

static void set_bytes(struct shim_options *o, const char *value)
{
    uint64_t n = number(value);
    if (n == 0) {
        bad(o, "WEIR_MALLOC_BYTES",
            " is no size, and the default is used: set a number, with k, m or g if you like.");
        return;
    }
    if (n < LEAST_BYTES)
        bad(o, "WEIR_MALLOC_BYTES", " is less than works, and 16m is used: set that or more.");
    o->bytes = n < LEAST_BYTES ? LEAST_BYTES : n;
}

static void set_arenas(struct shim_options *o, const char *value)
{
    uint64_t n = number(value);
    if (n < 1 || n > SHIM_ARENAS_MAX) {
        bad(o, "WEIR_MALLOC_ARENAS", " is not from 1 to 16, and the default is used: set one of these.");
        return;
    }
    o->arenas = (uint32_t)n;
}

static void set_stats(struct shim_options *o, const char *value)
{
    o->stats = strcmp(value, "1") == 0;
    if (!o->stats && strcmp(value, "0") != 0)
        bad(o, "WEIR_MALLOC_STATS", " is neither 0 nor 1, and 0 is used.");
}

static void set_on_error(struct shim_options *o, const char *value)
{
    o->abort = strcmp(value, "abort") == 0;
    if (!o->abort && strcmp(value, "log") != 0)
        bad(o, "WEIR_MALLOC_ON_ERROR", " is neither log nor abort, and log is used.");
}

static void set(struct shim_options *o, const char *var)
{
    static const char prefix[] = "WEIR_MALLOC_";
    if (strncmp(var, prefix, sizeof prefix - 1) != 0) return;
    var += sizeof prefix - 1;
    if (strncmp(var, "BYTES=", 6) == 0) set_bytes(o, var + 6);
    if (strncmp(var, "ARENAS=", 7) == 0) set_arenas(o, var + 7);
    if (strncmp(var, "STATS=", 6) == 0) set_stats(o, var + 6);
    if (strncmp(var, "ON_ERROR=", 9) == 0) set_on_error(o, var + 9);
}

static void read_kernels_copy(struct shim_options *o)
{
    static char text[COPY_BYTES]; /* touched only here */
    int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    size_t have = 0;
    for (ssize_t n; have < sizeof text - 1 && (n = read(fd, text + have, sizeof text - 1 - have)) > 0;)
        have += (size_t)n;
    close(fd);
    text[have] = 0;
    for (size_t at = 0; at < have; at += strlen(text + at) + 1)
        set(o, text + at);
}

void shim_options_read(struct shim_options *o)
{
    *o = (struct shim_options){.bytes = DEFAULT_BYTES};
    if (!environ) read_kernels_copy(o);
    for (char **e = environ; e && *e; e++)
        set(o, *e);
}
