/* openat2_lend.c: preloaded into `weir serve` under a valgrind that doesn't know openat2 (before 3.22) and
 * answers ENOSYS. It lends plain openat instead, so what keeps a path within the root is not there: for
 * measuring only. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The one call that the command makes by its number. */
long syscall(long number, ...)
{
    va_list args;
    if (number != SYS_openat2) {
        errno = ENOSYS;
        return -1;
    }
    va_start(args, number);
    int at = va_arg(args, int);
    const char *path = va_arg(args, const char *);
    const struct open_how *how = va_arg(args, const struct open_how *);
    va_end(args);
    return openat(at, path, (int)how->flags);
}
