/* errors_test.c: a caller's mistakes get the error that the headers promise, always, and nothing else
 * happens: after each group every invariant holds and a transfer works. */
#include "simnet.h"

#include <stdlib.h>
#include <string.h>

static struct simnet *net;
static struct simend a, b;

static void begin(enum weir_zlayout layout)
{
    struct simnet_conf c = simnet_defaults();
    simnet_config(&c.stack[0], layout);
    simnet_config(&c.stack[1], layout);
    c.check = true;
    c.stack[0].conns = c.stack[0].timewait = 8;
    c.stack[0].listeners = 3;
    net = simnet_open(&c);
    simnet_listen(net, 0, NULL);
    simnet_join(net, 0, NULL, &a, &b);
}

/* Nothing was corrupted. */
static void end(void)
{
    simnet_check(net);
    (void)weir_close(a.w, a.id, WEIR_CLOSE_ABORT);
    (void)weir_close(b.w, b.id, WEIR_CLOSE_ABORT);
    simend_leave(&a);
    simend_leave(&b);
    simnet_proof(net, 77, 30000);
    simnet_run(net, 20 * SECOND_US);
    simnet_empty(net);
    simnet_close(net, NULL);
}

static void in_both_layouts(void (*test)(void))
{
    for (int layout = 0; layout < 2; layout++) {
        begin((enum weir_zlayout)layout);
        test();
        end();
    }
}

/* ---- zbufs ---- */

/* Every call that takes an address, with one that it refuses. */
static void refused(const void *p, int err)
{
    struct weir *w = net->w[0];
    assert_int_equal(weir_zfree(w, p), err);
    assert_int_equal(weir_zref(w, p), err);
    assert_int_equal(weir_ztag(w, p, 1), err);
    assert_int_equal(weir_zsize(w, p), 0);
    assert_int_equal(weir_zbusy(w, p), err);
    simnet_check(net);
}

static void bad_addresses(void)
{
    struct weir *w = net->w[0];
    uint8_t ordinary[8];
    uint8_t *foreign = weir_zalloc(net->w[1], 100), *p = weir_zalloc(w, 16000), *first = p, *q;
    size_t size = weir_zsize(w, p);
    refused(ordinary, WEIR_EFOREIGN);
    refused(NULL, WEIR_EFOREIGN);
    refused(foreign, WEIR_EFOREIGN);
    assert_int_equal(weir_zgive(w, ordinary), WEIR_EFOREIGN);
    assert_int_equal(weir_zgive(w, NULL), WEIR_EFOREIGN);
    assert_int_equal(weir_zgive(w, foreign), WEIR_EFOREIGN);
    /* In the instance's memory, but in no zbuf: its tables. */
    refused(w, WEIR_EFAULT);
    refused(&w->tcp, WEIR_EFAULT);
    refused(w->tcp.conn, WEIR_EFAULT);
    assert_int_equal(weir_zgive(w, w), WEIR_EFAULT);
    assert_int_equal(weir_write(w, a.id, w, 100), WEIR_EFAULT);
    assert_int_equal(weir_write(w, a.id, w->tcp.conn, 100), WEIR_EFAULT);
    /* The last byte stands for the zbuf, the next does not: a head, or a neighbour that is free. */
    assert_int_equal(weir_zsize(w, p + size - 1), 1);
    assert_int_equal(weir_zref(w, p + size - 1), 0);
    assert_int_equal(weir_zfree(w, p + size - 1), 0);
    while ((q = weir_zalloc(w, 16000)) == p + 16384) /* one whose neighbour is free */
        p = q;
    if (q) assert_int_equal(weir_zfree(w, q), 0);
    if (net->conf.stack[0].zlayout == WEIR_ZLAYOUT_INSIDE) {
        refused(p + size, WEIR_EFAULT);
        assert_int_equal(weir_zgive(w, p + size), WEIR_EFAULT);
        refused(p - 1, WEIR_EFAULT);
        assert_int_equal(weir_write(w, a.id, p + size, 1), WEIR_EFAULT);
    } else {
        refused(p + size, WEIR_ENOTHELD);
        assert_int_equal(weir_write(w, a.id, p + size, 1), WEIR_ENOTHELD);
    }
    for (q = first; q != p; q += 16384)
        assert_int_equal(weir_zfree(w, q), 0);
    assert_int_equal(weir_zfree(w, p), 0);
    refused(p, WEIR_ENOTHELD);
    assert_int_equal(weir_write(w, a.id, p, 1), WEIR_ENOTHELD);
    assert_int_equal(weir_zfree(net->w[1], foreign), 0);
}

static void addresses(void **state)
{
    (void)state;
    in_both_layouts(bad_addresses);
}

static void free_beyond(void)
{
    struct weir *w = net->w[0];
    uint8_t *p = weir_zalloc(w, 5000);
    memset(p, 3, 5000);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(weir_zref(w, p + i), 0);
    assert_int_equal(weir_write(w, a.id, p, 5000), 5000);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(weir_zfree(w, p + 4999 - i), 0);
    /* The stack's references are not the application's to give. */
    assert_int_equal(weir_zfree(w, p), WEIR_ENOTHELD);
    assert_int_equal(weir_zref(w, p), WEIR_ENOTHELD);
    assert_int_equal(weir_ztag(w, p, 9), WEIR_ENOTHELD);
    assert_int_equal(weir_write(w, a.id, p, 1), WEIR_ENOTHELD);
    assert_int_equal(weir_zbusy(w, p), 1);
    assert_int_equal(weir_zsize(w, p), weir_zsize(w, p + 1) + 1);
    uint64_t excess = simnet_stats(net, 0).gives_excess;
    assert_int_equal(weir_zgive(w, p), 0); /* seen only by the owner, counted and ignored */
    assert_int_equal(weir_zgive(w, p), 0);
    simnet_run(net, 1000);
    assert_int_equal(simnet_stats(net, 0).gives_excess, excess + 2);
    simnet_run(net, SECOND_US);
    uint8_t got[6000];
    assert_int_equal(weir_recv(b.w, b.id, got, sizeof got), 5000);
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(got[i], 3);
    simnet_run(net, SECOND_US);
    refused(p, WEIR_ENOTHELD);
}

static void more_frees_than_references(void **state)
{
    (void)state;
    in_both_layouts(free_beyond);
}

/* A release too many, given before the owner looks, does not fall on the segment's next life. */
static void give_beyond(void)
{
    struct weir *w = net->w[0];
    uint8_t *p = weir_zalloc(w, 16000);
    assert_int_equal(weir_zgive(w, p), 0);
    assert_int_equal(weir_zgive(w, p), 0);
    assert_int_equal(weir_zfree(w, p), 0);
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *q = weir_zalloc(w, 16000);
        assert_ptr_not_equal(q, p);
        assert_int_equal(weir_zfree(w, q), 0);
    }
    simnet_run(net, 1000);
    assert_int_equal(simnet_stats(net, 0).gives_excess, 2);
    assert_int_equal(weir_zfree(w, p), WEIR_ENOTHELD);
}

static void more_gives_than_references(void **state)
{
    (void)state;
    in_both_layouts(give_beyond);
}

static void counts_and_sizes(void)
{
    struct weir *w = net->w[0];
    uint8_t *p = weir_zalloc(w, 100);
    assert_null(weir_zalloc(w, 0));
    assert_null(weir_zalloc(w, WEIR_ZCLASS_MAX + 1));
    assert_null(weir_zalloc(w, SIZE_MAX));
    assert_null(weir_zalloc(w, 16385));
    assert_int_equal(weir_zalloc_wait(w, 0), WEIR_EINVAL);
    assert_int_equal(weir_zalloc_wait(w, 16385), WEIR_EINVAL);
    assert_int_equal(weir_zalloc_wait(w, SIZE_MAX), WEIR_EINVAL);
    for (unsigned i = 1; i < 65535; i++)
        assert_int_equal(weir_zref(w, p), 0);
    assert_int_equal(weir_zref(w, p), WEIR_EOVERFLOW);
    for (unsigned i = 0; i < 65535; i++)
        assert_int_equal(weir_zfree(w, p), 0);
    assert_int_equal(weir_zfree(w, p), WEIR_ENOTHELD);
}

static void limits_of_counts_and_sizes(void **state)
{
    (void)state;
    in_both_layouts(counts_and_sizes);
}

/* ---- writing ---- */

static void bad_writes(void)
{
    struct weir *w = net->w[0];
    uint8_t *p = weir_zalloc(w, 16000), byte = 0;
    size_t size = weir_zsize(w, p);
    assert_int_equal(weir_write(w, a.id, p, size + 1), WEIR_ERANGE);
    assert_int_equal(weir_write(w, a.id, p + size - 1, 2), WEIR_ERANGE);
    assert_int_equal(weir_write(w, a.id, p + 1, SIZE_MAX / 2), WEIR_ERANGE);
    assert_int_equal(weir_write(w, a.id, p, 0), WEIR_EINVAL);
    assert_int_equal(weir_write(w, a.id, p, SIZE_MAX), WEIR_EINVAL);
    assert_int_equal(weir_write(w, a.id, NULL, 1), WEIR_EINVAL);
    struct weir_iov iov[2] = {{p, 10}, {p + size - 1, 2}};
    assert_int_equal(weir_writev(w, a.id, NULL, 1), WEIR_EINVAL);
    assert_int_equal(weir_writev(w, a.id, iov, 0), WEIR_EINVAL);
    assert_int_equal(weir_writev(w, a.id, iov, -1), WEIR_EINVAL);
    assert_int_equal(weir_writev(w, a.id, iov, 1025), WEIR_EINVAL);
    assert_int_equal(weir_writev(w, a.id, iov, 2), 10); /* up to the first that fails */
    assert_int_equal(weir_writev(w, a.id, iov + 1, 1), WEIR_ERANGE);
    assert_int_equal(simend_info(&a).queued_bytes, 10);
    assert_int_equal(weir_write(w, net->listener[0], &byte, 1), WEIR_EISLISTEN);
    assert_int_equal(weir_shutdown(w, a.id), 0);
    assert_int_equal(weir_write(w, a.id, p, 10), WEIR_EPIPE);
    assert_int_equal(weir_write(w, a.id, &byte, 1), WEIR_EPIPE);
    assert_int_equal(weir_shutdown(w, a.id), 0);
    simnet_run(net, SECOND_US);
    assert_int_equal(weir_write(w, a.id, &byte, 1), WEIR_EPIPE);
    assert_int_equal(weir_zfree(w, p), 0);
}

static void writes(void **state)
{
    (void)state;
    in_both_layouts(bad_writes);
}

/* ---- ids ---- */

static void stale(struct weir *w, weir_id id)
{
    struct weir_iov iov;
    struct weir_conn_info info;
    weir_id other;
    uint8_t byte = 0;
    assert_int_equal(weir_close(w, id, WEIR_CLOSE_GRACEFUL), WEIR_ESTALE);
    assert_int_equal(weir_close(w, id, WEIR_CLOSE_ABORT), WEIR_ESTALE);
    assert_int_equal(weir_write(w, id, &byte, 1), WEIR_ESTALE);
    assert_int_equal(weir_read(w, id, &iov, 1), WEIR_ESTALE);
    assert_int_equal(weir_recv(w, id, &byte, 1), WEIR_ESTALE);
    assert_int_equal(weir_shutdown(w, id), WEIR_ESTALE);
    assert_int_equal(weir_accept(w, id, &other, NULL), WEIR_ESTALE);
    assert_int_equal(weir_set(w, id, WEIR_OPT_NODELAY, 1), WEIR_ESTALE);
    assert_int_equal(weir_info(w, id, &info), WEIR_ESTALE);
    assert_int_equal(weir_ready(w, id), 0);
}

static void ids(void **state)
{
    (void)state;
    static const weir_id never[] = {0,           1,           0xffffffffu, 0x7fffffffu, 0x80000000u,
                                    0x800fffffu, 0x000fffffu, 0x00100fffu, 0x80100002u};
    begin(WEIR_ZLAYOUT_DENSE);
    for (unsigned i = 0; i < sizeof never / sizeof never[0]; i++)
        stale(net->w[0], never[i]);
    /* Given up while data is on its way, and each later life of the same cell. */
    weir_id past[40];
    for (unsigned i = 0; i < 40; i++) {
        past[i] = a.id;
        assert_int_equal(weir_write(a.w, a.id, "x", 1), 1);
        simend_close(i % 2 ? &b : &a);
        for (unsigned k = 0; k <= i; k++)
            if (i % 2 == 0 || k < i) stale(net->w[0], past[k]);
        simend_close(i % 2 ? &a : &b);
        simnet_run(net, 5 * SECOND_US);
        stale(net->w[0], past[i]);
        simnet_join(net, 0, NULL, &a, &b);
    }
    weir_id listener = net->listener[0];
    assert_int_equal(weir_close(net->w[0], listener, WEIR_CLOSE_GRACEFUL), 0);
    stale(net->w[0], listener);
    simnet_listen(net, 0, NULL);
    assert_int_not_equal(net->listener[0], listener);
    stale(net->w[0], listener);
    end();
}

/* ---- names and limits ---- */

static void bad_names(void **state)
{
    (void)state;
    begin(WEIR_ZLAYOUT_DENSE);
    struct weir *w = net->w[0];
    struct weir_addr at;
    weir_id id = 0;
    simnet_addr(&at, 0, SIMNET_PORT);
    assert_int_equal(weir_connect(w, &at, NULL, &id), WEIR_EINVAL); /* to ourselves */
    assert_int_equal(weir_listen(w, &at, NULL, &id), WEIR_EADDRINUSE);
    simnet_addr(&at, 1, 80);
    assert_int_equal(weir_listen(w, &at, NULL, &id), WEIR_EADDRNOTAVAIL);
    at.port = 0;
    assert_int_equal(weir_connect(w, &at, NULL, &id), WEIR_EINVAL);
    assert_int_equal(weir_listen(w, &at, NULL, &id), WEIR_EINVAL);
    assert_int_equal(weir_listen(w, NULL, NULL, &id), WEIR_EINVAL);
    assert_int_equal(weir_connect(w, NULL, NULL, &id), WEIR_EINVAL);
    simnet_addr(&at, 1, 80);
    at.family = 6;
    assert_int_equal(weir_connect(w, &at, NULL, &id), WEIR_EINVAL);
    assert_int_equal(weir_listen(w, &at, NULL, &id), WEIR_EINVAL);
    simnet_addr(&at, 1, 80);
    assert_int_equal(weir_connect(w, &at, NULL, NULL), WEIR_EINVAL);
    assert_int_equal(weir_connect(w, &at, &(struct weir_opts){.rcvbuf_bytes = 2047}, &id), WEIR_EINVAL);
    assert_int_equal(weir_connect(w, &at, &(struct weir_opts){.sndbuf_bytes = 1u << 30}, &id), WEIR_EINVAL);
    static const uint8_t nowhere[][4] = {{0, 0, 0, 0}, {127, 0, 0, 1}, {224, 0, 0, 1}, {255, 255, 255, 255}};
    for (unsigned i = 0; i < 4; i++) {
        memcpy(at.ip, nowhere[i], 4);
        assert_int_equal(weir_connect(w, &at, NULL, &id), WEIR_EINVAL);
    }
    memcpy(at.ip, (uint8_t[4]){8, 8, 8, 8}, 4);
    assert_int_equal(weir_connect(w, &at, NULL, &id), WEIR_ENETUNREACH); /* no gateway */
    end();
}

static void bad_arguments(void **state)
{
    (void)state;
    begin(WEIR_ZLAYOUT_DENSE);
    struct weir *w = net->w[0];
    struct weir_iov iov;
    weir_id id, listener = net->listener[0];
    uint8_t byte = 0;
    assert_int_equal(weir_read(w, a.id, NULL, 1), WEIR_EINVAL);
    assert_int_equal(weir_read(w, a.id, &iov, 0), WEIR_EINVAL);
    assert_int_equal(weir_read(w, a.id, &iov, -1), WEIR_EINVAL);
    assert_int_equal(weir_recv(w, a.id, NULL, 1), WEIR_EINVAL);
    assert_int_equal(weir_recv(w, a.id, &byte, 0), WEIR_EINVAL);
    assert_int_equal(weir_read(w, listener, &iov, 1), WEIR_EISLISTEN);
    assert_int_equal(weir_recv(w, listener, &byte, 1), WEIR_EISLISTEN);
    assert_int_equal(weir_shutdown(w, listener), WEIR_EISLISTEN);
    assert_int_equal(weir_set(w, listener, WEIR_OPT_NODELAY, 1), WEIR_EINVAL);
    assert_int_equal(weir_accept(w, a.id, &id, NULL), WEIR_ESTALE);
    assert_int_equal(weir_accept(w, listener, NULL, NULL), WEIR_EINVAL);
    assert_int_equal(weir_accept(w, listener, &id, NULL), WEIR_EAGAIN);
    assert_int_equal(weir_set(w, a.id, WEIR_OPT_NODELAY, 2), WEIR_EINVAL);
    assert_int_equal(weir_set(w, a.id, WEIR_OPT_CORK, -1), WEIR_EINVAL);
    assert_int_equal(weir_set(w, a.id, WEIR_OPT_RCVBUF, 2047), WEIR_EINVAL);
    assert_int_equal(weir_set(w, a.id, WEIR_OPT_SNDBUF, 1 << 30), WEIR_EINVAL);
    assert_int_equal(weir_set(w, a.id, (enum weir_opt)99, 1), WEIR_EINVAL);
    struct weir_event ev;
    assert_int_equal(weir_poll(w, &ev, -1, 0), WEIR_EINVAL);
    assert_int_equal(weir_poll(w, NULL, 1, 0), WEIR_EINVAL);
    assert_in_range(weir_poll(w, NULL, 0, 0), 0, 0);
    assert_int_equal(weir_attach(w, &net->pair.end[0].dev, NULL), WEIR_EINVAL);
    assert_int_equal(weir_attach(w, NULL, &(struct weir_ifaddr){.family = WEIR_IP4}), WEIR_EINVAL);
    struct weir_ifaddr other;
    assert_int_equal(weir_ifaddr_parse(&other, "10.1.0.1/24"), 0);
    assert_int_equal(weir_attach(w, &net->pair.end[0].dev, &other), WEIR_EBUSY);
    end();
}

static void before_the_handshake(void **state)
{
    (void)state;
    begin(WEIR_ZLAYOUT_DENSE);
    struct weir *w = net->w[0];
    struct weir_addr at;
    struct weir_iov iov;
    weir_id id;
    simnet_addr(&at, 1, SIMNET_PORT);
    assert_int_equal(weir_connect(w, &at, NULL, &id), 0);
    assert_int_equal(weir_write(w, id, "x", 1), WEIR_ENOTCONN);
    assert_int_equal(weir_read(w, id, &iov, 1), WEIR_ENOTCONN);
    assert_int_equal(weir_shutdown(w, id), WEIR_ENOTCONN);
    assert_int_equal(weir_close(w, id, WEIR_CLOSE_GRACEFUL), 0);
    assert_int_equal(weir_write(w, id, "x", 1), WEIR_ESTALE);
    simnet_run(net, SECOND_US);
    /* Nobody listens there. */
    at.port = 9;
    assert_int_equal(weir_connect(w, &at, NULL, &id), 0);
    simnet_run(net, SECOND_US);
    assert_int_equal(weir_write(w, id, "x", 1), WEIR_ECONNREFUSED);
    assert_int_equal(weir_read(w, id, &iov, 1), WEIR_ECONNREFUSED);
    assert_int_equal(weir_shutdown(w, id), WEIR_ECONNREFUSED);
    assert_true(weir_ready(w, id) & WEIR_EV_ERROR);
    assert_int_equal(weir_close(w, id, WEIR_CLOSE_GRACEFUL), 0);
    /* Nobody is there. */
    memcpy(at.ip, (uint8_t[4]){10, 0, 0, 99}, 4);
    assert_int_equal(weir_connect(w, &at, NULL, &id), 0);
    simnet_run(net, 1000 * (uint64_t)SECOND_US);
    int r = (int)weir_write(w, id, "x", 1);
    assert_true(r == WEIR_ETIMEDOUT || r == WEIR_EHOSTUNREACH);
    assert_int_equal(weir_close(w, id, WEIR_CLOSE_GRACEFUL), 0);
    end();
}

static void full_tables(void **state)
{
    (void)state;
    begin(WEIR_ZLAYOUT_DENSE);
    struct weir *w = net->w[0];
    struct weir_addr at, any = {.family = WEIR_IP4};
    weir_id id[16], extra;
    unsigned n = 0;
    simnet_addr(&at, 1, SIMNET_PORT);
    while (n < 16 && weir_connect(w, &at, NULL, &id[n]) == 0)
        n++;
    assert_int_equal(n, 7); /* with the one that is open */
    assert_int_equal(weir_connect(w, &at, NULL, &extra), WEIR_EMFILE);
    simnet_run(net, SECOND_US);
    assert_int_equal(weir_connect(w, &at, NULL, &extra), WEIR_EMFILE);
    simnet_addr(&at, 0, SIMNET_PORT); /* the peer's attempt finds the table full and goes on trying */
    assert_int_equal(weir_connect(net->w[1], &at, NULL, &extra), 0);
    simnet_run(net, SECOND_US / 2);
    assert_true(simnet_stats(net, 0).drops[WEIR_DROP_TCP_CONNS] > 0);
    while (n > 0)
        assert_int_equal(weir_close(w, id[--n], WEIR_CLOSE_ABORT), 0);
    simnet_run(net, 100 * (uint64_t)SECOND_US);
    assert_int_equal(weir_accept(w, net->listener[0], &id[0], NULL), 0);
    assert_int_equal(weir_close(w, id[0], WEIR_CLOSE_ABORT), 0);
    assert_int_equal(weir_close(net->w[1], extra, WEIR_CLOSE_ABORT), 0);
    while (weir_accept(net->w[1], net->listener[1], &id[0], NULL) == 0)
        assert_int_equal(weir_close(net->w[1], id[0], WEIR_CLOSE_ABORT), 0);

    for (any.port = 1; any.port <= 2; any.port++)
        assert_int_equal(weir_listen(w, &any, NULL, &id[any.port]), 0);
    assert_int_equal(weir_listen(w, &any, NULL, &extra), WEIR_EMFILE);
    assert_int_equal(weir_close(w, id[1], WEIR_CLOSE_GRACEFUL), 0);
    assert_int_equal(weir_listen(w, &any, NULL, &id[1]), 0);
    any.port = SIMNET_PORT;
    assert_int_equal(weir_listen(w, &any, NULL, &extra), WEIR_EADDRINUSE);
    end();
}

/* Without room for it a connection can't even be listened for. */
static void no_listeners(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    c.stack[0].listeners = 0;
    net = simnet_open(&c);
    struct weir_addr any = {.family = WEIR_IP4, .port = 80};
    weir_id id;
    assert_int_equal(weir_listen(net->w[0], &any, NULL, &id), WEIR_EMFILE);
    simnet_proof(net, 1, 1000);
    simnet_close(net, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(more_frees_than_references),
        cmocka_unit_test(more_gives_than_references),
        cmocka_unit_test(limits_of_counts_and_sizes),
        cmocka_unit_test(writes),
        cmocka_unit_test(ids),
        cmocka_unit_test(bad_names),
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(before_the_handshake),
        cmocka_unit_test(full_tables),
        cmocka_unit_test(no_listeners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
