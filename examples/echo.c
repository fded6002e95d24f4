/* echo.c: a TCP echo server without a copy. What was received is lent by weir_read, written as it is, and freed.
 *   echo --dev tap:weir0 --addr 10.9.0.2/24 --host 10.9.0.1/24 [--port 7] */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir/tap.h>
#include <weir/weir.h>

#define CONNS 1024

static struct conn { /* found by the number that its events carry; 0 is the listener's */
    weir_id id;
    struct weir_iov piece; /* lent and not yet written to its end */
} conn[CONNS + 1];
static struct weir *stack;
static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
    weir_wake(stack);
}

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "echo: %s: %s\n", what, why);
    exit(1);
}

static void drop(struct conn *c, enum weir_close_how how)
{
    if (c->piece.len > 0)
        weir_zfree(stack, c->piece.base);
    weir_close(stack, c->id, how);
    *c = (struct conn){0};
}

/* Echoes as far as it gets; an event follows wherever it stops, but for WEIR_ENOMEM of weir_read: returned as 1. */
static int echo(struct conn *c)
{
    for (;;) {
        int n = c->piece.len > 0 ? 1 : weir_read(stack, c->id, &c->piece, 1);
        ptrdiff_t sent = n > 0 ? weir_write(stack, c->id, c->piece.base, c->piece.len) : n;
        if (n == 0) /* the peer has ended, and so do we, when all is sent */
            drop(c, WEIR_CLOSE_GRACEFUL);
        else if (sent < 0 && sent != WEIR_EAGAIN && sent != WEIR_ENOMEM)
            drop(c, WEIR_CLOSE_ABORT);
        if (sent <= 0)
            return n == WEIR_ENOMEM;
        if ((size_t)sent == c->piece.len) /* the stack holds what is in flight by itself */
            weir_zfree(stack, c->piece.base);
        c->piece.base = (uint8_t *)c->piece.base + sent;
        c->piece.len -= (size_t)sent;
    }
}

static void accept_all(weir_id listener)
{
    uint64_t i = 1;
    for (weir_id id; weir_accept(stack, listener, &id, NULL) == 0; echo(&conn[i])) {
        while (i < CONNS && conn[i].id != 0)
            i++;
        conn[i].id = id; /* there is a place: the instance has no more connections than we */
        weir_set(stack, id, WEIR_OPT_USER, (intptr_t)i);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"dev", 1, 0, 'd'}, {"addr", 1, 0, 'a'}, {"host", 1, 0, 'h'}, {"port", 1, 0, 'p'}, {0}};
    const char *dev = "", *host = NULL;
    struct weir_ifaddr ifaddr = {0};
    struct weir_addr any = {.family = WEIR_IP4, .port = 7};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    }
    (void)dev; (void)host; (void)ifaddr; (void)any;
    return 0;
}
