/* tapns.c: unshare, as root or in a user namespace. */
#include "tapns.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static void no_ipv6(void)
{
    FILE *f = fopen("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w");
    if (!f) return;
    fputs("1", f);
    fclose(f);
}

static const char *enter(void)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0) return "/dev/net/tun cannot be opened";
    close(fd);
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return "no right to make a network namespace";
    no_ipv6();
    return NULL;
}

const char *tapns_enter(void)
{
    static bool asked;
    static const char *why;
    if (!asked) why = enter();
    asked = true;
    return why;
}
