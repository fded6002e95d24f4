/* echo.c: a TCP echo server without a copy. What was received is lent by weir_read, written as it is, and
 * freed. echo --dev tap:weir0 --addr 10.9.0.2/24 --host 10.9.0.1/24 [--port 7]
 * [--fault loss=0.02,...] */
#include "example.h"

static struct conn { /* found by the number that its events carry */
    weir_id id;
    struct weir_iov rest; /* what was lent and is not yet written to its end */
} conn[EXAMPLE_CONNS + 1];

static void drop(struct weir *w, struct conn *c, enum weir_close_how how)
{
    if (c->rest.len > 0) weir_zfree(w, c->rest.base);
    weir_close(w, c->id, how);
    *c = (struct conn){0};
}

/* Sends back what there is to read. `rest` is what was borrowed and not yet written. */
static int echo(struct weir *w, weir_id id, struct weir_iov *rest)
{
    for (;;) {
        if (rest->len == 0) {
            int pieces = weir_read(w, id, rest, 1);
            if (pieces == 0) return weir_shutdown(w, id); /* the peer has said all */
            if (pieces < 0) return pieces;                /* WEIR_EAGAIN: a READ event follows */
        }
        ptrdiff_t taken = weir_write(w, id, rest->base, rest->len);
        if (taken < 0) return (int)taken;                          /* WEIR_EAGAIN: a WRITE event follows */
        if ((size_t)taken == rest->len) weir_zfree(w, rest->base); /* fine while in flight */
        rest->base = (char *)rest->base + taken;
        rest->len -= (size_t)taken;
    }
}

static void serve(struct weir *w, struct conn *c)
{
    int r = echo(w, c->id, &c->rest);
    if (r == WEIR_EAGAIN || r == WEIR_ENOMEM) return; /* an event follows */
    drop(w, c,
         r < 0 ? WEIR_CLOSE_ABORT
               : WEIR_CLOSE_GRACEFUL); /* the peer has ended, and so do we when all is sent */
}

static void accept_all(struct weir *w, weir_id listener)
{
    int i = 1;
    for (weir_id id; weir_accept(w, listener, &id, NULL) == 0;) {
        while (i < EXAMPLE_CONNS && conn[i].id != 0)
            i++;
        conn[i].id = id; /* the place is free: the instance has no more connections than there are places */
        weir_set(w, id, WEIR_OPT_USER, i);
        serve(w, &conn[i]);
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
                serve(w, c);
        }
    }
    for (int i = 1; i <= EXAMPLE_CONNS; i++)
        if (conn[i].id != 0) drop(w, &conn[i], WEIR_CLOSE_ABORT);
    return example_end();
}
