/* echo.c: a TCP echo server without a copy. What was received is lent by weir_read, written as it is, and
 * freed. echo --dev tap:weir0 --addr 10.9.0.2/24 --host 10.9.0.1/24 [--port 7]
 * [--fault loss=0.02,...] */
#include "example.h"

#define PIECES 8

static struct conn { /* found by the number that its events carry */
    weir_id id;
    int n, at; /* pieces that were lent last; from `at` on they are not yet written to their end */
    struct weir_iov piece[PIECES];
} conn[EXAMPLE_CONNS + 1];

static void drop(struct weir *w, struct conn *c, enum weir_close_how how)
{
    while (c->at < c->n)
        weir_zfree(w, c->piece[c->at++].base);
    weir_close(w, c->id, how);
    *c = (struct conn){0};
}

static bool comes_later(ptrdiff_t n)
{
    return n == WEIR_EAGAIN || n == WEIR_ENOMEM; /* an event follows */
}

/* Sends what is lent, as far as there is room. Whether that was all. */
static bool write_rest(struct weir *w, struct conn *c)
{
    while (c->at < c->n) {
        struct weir_iov *p = &c->piece[c->at];
        ptrdiff_t n = weir_write(w, c->id, p->base, p->len);
        if (n < 0) {
            if (!comes_later(n)) drop(w, c, WEIR_CLOSE_ABORT);
            return false;
        }
        if ((size_t)n == p->len) {
            weir_zfree(w, p->base); /* in flight it is the stack's: the last acknowledgement frees it */
            c->at++;
        } else {
            *p = (struct weir_iov){(uint8_t *)p->base + n, p->len - (size_t)n};
        }
    }
    return true;
}

/* Sends back as much as there is. A read that lends fewer pieces than it may has found them all. */
static void echo(struct weir *w, struct conn *c)
{
    do {
        if (!write_rest(w, c)) return;
        int n = weir_read(w, c->id, c->piece, PIECES);
        if (comes_later(n)) return;
        c->n = n > 0 ? n : 0;
        c->at = 0;
        if (n <= 0) { /* the peer has ended, and so do we when all is sent; or the connection has failed */
            drop(w, c, n == 0 ? WEIR_CLOSE_GRACEFUL : WEIR_CLOSE_ABORT);
            return;
        }
    } while (write_rest(w, c) && c->n == PIECES);
}

static void accept_all(struct weir *w, weir_id listener)
{
    int i = 1;
    for (weir_id id; weir_accept(w, listener, &id, NULL) == 0;) {
        while (i < EXAMPLE_CONNS && conn[i].id != 0)
            i++;
        conn[i].id = id; /* the place is free: the instance has no more connections than there are places */
        weir_set(w, id, WEIR_OPT_USER, i);
        echo(w, &conn[i]);
    }
}

int main(int argc, char **argv)
{
    struct weir_event event[64];
    weir_id listener;
    struct weir *w = example_start(argc, argv, "7", NULL, &listener);
    for (int n = 0; example_goes_on(n);) {
        n = weir_poll(w, event, 64, EXAMPLE_LOOK_US);
        for (int i = 0; i < n; i++) {
            struct conn *c = &conn[event[i].user];
            if (event[i].id == listener)
                accept_all(w, listener);
            else if (event[i].user != 0 && c->id == event[i].id)
                echo(w, c);
        }
    }
    for (int i = 1; i <= EXAMPLE_CONNS; i++)
        if (conn[i].id != 0) drop(w, &conn[i], WEIR_CLOSE_ABORT);
    return example_end();
}
