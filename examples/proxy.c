/* proxy.c: a TCP proxy without a copy: bytes lent by one connection are written to the other as they are.
 * Each direction ends by itself (half-close). proxy --dev tap:weir0 --addr 10.9.0.2/24 --host 10.9.0.1/24
 * [--port 8080] [--fault loss=0.02,...] --to 10.9.0.1:80 */
#include "example.h"

static struct pair { /* 0: the client, 1: the server; events carry 2 * (place + 1) + side */
    weir_id id[2];
    struct weir_iov piece[2]; /* lent by this side, and not yet written to the other */
    int ended[2];             /* this side has said all, and the other was told */
} pair[EXAMPLE_CONNS];

static void drop(struct weir *w, struct pair *p, enum weir_close_how how)
{
    for (int side = 0; side < 2; side++) {
        if (p->piece[side].len > 0) weir_zfree(w, p->piece[side].base);
        weir_close(w, p->id[side], how);
    }
    *p = (struct pair){0};
}

/* Moves what it can from a side to the other. 0: an event follows, or the direction has ended; else an error.
 */
static int flow(struct weir *w, struct pair *p, int from)
{
    struct weir_iov *piece = &p->piece[from];
    while (!p->ended[from]) {
        ptrdiff_t n = piece->len > 0 ? 1 : weir_read(w, p->id[from], piece, 1);
        if (n == 0) {
            n = weir_shutdown(w, p->id[!from]);
            p->ended[from] = n == 0;
        } else if (n > 0) {
            n = weir_write(w, p->id[!from], piece->base, piece->len);
        }
        if (n < 0) /* not connected: the server has yet to answer */
            return n == WEIR_EAGAIN || n == WEIR_ENOMEM || n == WEIR_ENOTCONN ? 0 : (int)n;
        if (n > 0 && (size_t)n == piece->len) weir_zfree(w, piece->base);
        piece->base = (uint8_t *)piece->base + n;
        piece->len -= (size_t)n;
    }
    return 0;
}

static void run(struct weir *w, struct pair *p)
{
    if (flow(w, p, 0) != 0 || flow(w, p, 1) != 0)
        drop(w, p, WEIR_CLOSE_ABORT);
    else if (p->ended[0] && p->ended[1])
        drop(w, p, WEIR_CLOSE_GRACEFUL);
}

static void accept_all(struct weir *w, weir_id listener, const struct weir_addr *to)
{
    weir_id client, server;
    while (weir_accept(w, listener, &client, NULL) == 0) {
        unsigned i = 0;
        while (i < EXAMPLE_CONNS - 1 && pair[i].id[0] != 0)
            i++;
        struct weir_opts opts = {.user = 2 * (i + 1) + 1};
        if (pair[i].id[0] != 0 || weir_connect(w, to, &opts, &server) != 0) {
            weir_close(w, client, WEIR_CLOSE_ABORT);
            continue;
        }
        pair[i].id[0] = client;
        pair[i].id[1] = server;
        weir_set(w, client, WEIR_OPT_USER, 2 * ((intptr_t)i + 1));
        run(w, &pair[i]);
    }
}

int main(int argc, char **argv)
{
    struct weir_event event[64];
    struct weir_addr to;
    weir_id listener;
    struct weir *w = example_start(argc, argv, "8080", &to, &listener);
    for (int n = 0; example_goes_on(n);) {
        n = weir_poll(w, event, 64, EXAMPLE_LOOK_US);
        for (int i = 0; i < n; i++) {
            struct pair *p = &pair[event[i].user >= 2 ? event[i].user / 2 - 1 : 0];
            if (event[i].id == listener)
                accept_all(w, listener, &to);
            else if (event[i].user < 2 || p->id[event[i].user % 2] != event[i].id)
                continue;
            else if ((event[i].mask & WEIR_EV_ERROR) != 0)
                drop(w, p, WEIR_CLOSE_ABORT);
            else
                run(w, p);
        }
    }
    for (int i = 0; i < EXAMPLE_CONNS; i++)
        if (pair[i].id[0] != 0) drop(w, &pair[i], WEIR_CLOSE_ABORT);
    return example_end();
}
