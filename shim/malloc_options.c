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

extern char **environ;

/* 64m, 8G, 1000000. 0 iff it is no number. */
static uint64_t number(const char *s)
{
    uint64_t n = 0;
    if (*s < '0' || *s > '9') return 0;
    for (; *s >= '0' && *s <= '9' && n < (uint64_t)1 << 50; s++)
        n = n * 10 + (uint64_t)(*s - '0');
    switch (*s | 0x20) {
    case 'k':
        return n << 10;
    case 'm':
        return n << 20;
    case 'g':
        return n << 30;
    default:
        return n;
    }
}

static void set(struct shim_options *o, const char *var)
{
    static const char prefix[] = "WEIR_MALLOC_";
    if (strncmp(var, prefix, sizeof prefix - 1) != 0) return;
    var += sizeof prefix - 1;
    if (strncmp(var, "BYTES=", 6) == 0 && number(var + 6) > 0) o->bytes = number(var + 6);
    if (strncmp(var, "ARENAS=", 7) == 0) o->arenas = (uint32_t)number(var + 7);
    if (strncmp(var, "STATS=", 6) == 0) o->stats = var[6] == '1';
    if (strncmp(var, "ON_ERROR=", 9) == 0) o->abort = strcmp(var + 9, "abort") == 0;
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
    if (o->bytes < LEAST_BYTES) o->bytes = LEAST_BYTES;
    if (o->arenas > SHIM_ARENAS_MAX) o->arenas = SHIM_ARENAS_MAX;
}
