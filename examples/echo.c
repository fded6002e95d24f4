/* echo.c: a TCP echo server without a copy. What was received is lent by weir_read, written as it is, and
 * freed. echo --dev tap:weir0 --addr 10.9.0.2/24 --host 10.9.0.1/24 [--port 7]
 * [--fault loss=0.02,...] */
#include "example.h"

static struct conn { /* found by the number that its events carry */
    weir_id id;
    struct weir_iov piece; /* lent, and not yet written to its end */
} conn[EXAMPLE_CONNS + 1];

static void drop(struct weir *w, struct conn *c, enum weir_close_how how)
{
    if (c->piece.len > 0) weir_zfree(w, c->piece.base);
    weir_close(w, c->id, how);
    *c = (struct conn){0};
}

/* Sends back as much as there is and as there is room for. */
static void echo(struct weir *w, struct conn *c)
{
    for (;;) {
        ptrdiff_t n = c->piece.len > 0 ? 1 : weir_read(w, c->id, &c->piece, 1);
        if (n > 0) n = weir_write(w, c->id, c->piece.base, c->piece.len);
        if (n == WEIR_EAGAIN || n == WEIR_ENOMEM) return; /* an event follows */
        if (n <= 0) { /* the peer has ended, and so do we when all is sent; or the connection has failed */
            drop(w, c, n == 0 ? WEIR_CLOSE_GRACEFUL : WEIR_CLOSE_ABORT);
            return;
        }
        if ((size_t)n == c->piece.len)
            weir_zfree(w, c->piece.base); /* in flight it is the stack's: the last acknowledgement frees it */
        c->piece.base = (uint8_t *)c->piece.base + n;
        c->piece.len -= (size_t)n;
    }
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
