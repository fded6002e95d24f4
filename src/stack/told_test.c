/* told_test.c: what the application is told, and when: one entry a connection, READ and WRITE once an
 * arming, nothing lost in small batches, nothing told of an id that was given up. */
#include "simnet.h"

#include <string.h>

#define KIB 1024u

static struct simnet *net;
static struct simend a, b;

static void begin(const struct weir_opts *listening)
{
    struct simnet_conf c = simnet_defaults();
    c.check = true;
    net = simnet_open(&c);
    if (listening) simnet_listen(net, 1, listening);
    simnet_join(net, 0, NULL, &a, &b);
    simnet_run(net, SECOND_US);
}

static void end(void)
{
    (void)weir_close(a.w, a.id, WEIR_CLOSE_ABORT);
    (void)weir_close(b.w, b.id, WEIR_CLOSE_ABORT);
    simend_leave(&a);
    simend_leave(&b);
    simnet_run(net, 10 * SECOND_US);
    simnet_empty(net);
    simnet_close(net, NULL);
}

/* Writes so many numbered bytes, all of which are taken. */
static void put(struct simend *e, uint32_t n)
{
    memset(net->scratch, 1, n);
    assert_int_equal(weir_write(e->w, e->id, net->scratch, n), n);
}

/* Runs for so long and counts the events with one of these bits for an end. */
static unsigned told(const struct simend *e, unsigned mask, uint64_t us)
{
    uint64_t until = net->sim.now_us + us;
    unsigned n = 0;
    while (simnet_step(net, until))
        for (int i = 0; i < net->n_ev[e->side]; i++)
            n += net->ev[e->side][i].id == e->id && (net->ev[e->side][i].mask & mask);
    return n;
}

static uint32_t take(const struct simend *e, uint32_t n)
{
    static uint8_t out[65536];
    ptrdiff_t r = weir_recv(e->w, e->id, out, n);
    assert_true(r > 0 || r == WEIR_EAGAIN);
    return r > 0 ? (uint32_t)r : 0;
}

static void read_once_an_arming(void **state)
{
    (void)state;
    begin(NULL);
    put(&a, 1000);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 1); /* armed at birth */
    put(&a, 1000);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 0); /* not armed again */
    assert_int_equal(take(&b, 500), 500);
    put(&a, 1000);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 0); /* there was something left */
    assert_true(weir_ready(b.w, b.id) & WEIR_EV_READ);
    assert_int_equal(take(&b, 65536), 2500);
    put(&a, 10);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 1); /* less than there was room for: that was all */
    put(&a, 10);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 0);
    assert_int_equal(take(&b, 20), 20);
    put(&a, 10);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 0); /* emptied, but there may have been more */
    assert_int_equal(take(&b, 65536), 10);
    assert_int_equal(take(&b, 65536), 0);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 0);
    assert_false(weir_ready(b.w, b.id) & WEIR_EV_READ);
    put(&a, 10);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 1);
    assert_int_equal(take(&b, 65536), 10);
    assert_int_equal(take(&b, 65536), 0);
    assert_int_equal(take(&b, 65536), 0); /* twice is as good as once */
    assert_int_equal(weir_shutdown(a.w, a.id), 0);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 1); /* the end of the stream */
    end();
}

/* One read for each event is enough: what comes behind a short one is told, be it the end. */
static void a_short_read_arms(void **state)
{
    (void)state;
    struct weir_iov piece[8];
    begin(NULL);
    put(&a, 700);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(weir_read(b.w, b.id, piece, 8), 1);
        assert_int_equal(weir_zfree(b.w, piece[0].base), 0);
        assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 0);
        put(&a, 700);
        assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 1);
    }
    assert_int_equal(weir_read(b.w, b.id, piece, 1), 1); /* all it had room for */
    assert_int_equal(weir_zfree(b.w, piece[0].base), 0);
    put(&a, 700);
    assert_int_equal(weir_shutdown(a.w, a.id), 0);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 0);
    assert_int_equal(weir_read(b.w, b.id, piece, 8), 1); /* short, and the end is behind it */
    assert_int_equal(weir_zfree(b.w, piece[0].base), 0);
    assert_int_equal(told(&b, WEIR_EV_READ, SECOND_US), 1);
    assert_int_equal(weir_read(b.w, b.id, piece, 8), 0);
    end();
}

static void write_once_an_arming(void **state)
{
    (void)state;
    static uint8_t much[200000];
    begin(&(struct weir_opts){.rcvbuf_bytes = 8192});
    assert_true(a.seen & WEIR_EV_WRITE); /* armed at birth */
    put(&a, 1000);
    assert_int_equal(told(&a, WEIR_EV_WRITE, SECOND_US), 0);
    ptrdiff_t r = weir_write(a.w, a.id, much, sizeof much);
    assert_in_range(r, 1, sizeof much - 1);
    assert_int_equal(weir_write(a.w, a.id, much, 1), WEIR_EAGAIN);
    assert_false(weir_ready(a.w, a.id) & WEIR_EV_WRITE);
    assert_int_equal(told(&a, WEIR_EV_WRITE, SECOND_US), 0); /* the window is shut */
    unsigned n = 0;
    for (uint32_t got = 0; got < 1000 + (uint32_t)r;) {
        got += take(&b, 65536);
        n += told(&a, WEIR_EV_WRITE, SECOND_US);
        if (n == 0) assert_false(weir_ready(a.w, a.id) & WEIR_EV_WRITE);
    }
    assert_int_equal(n, 1);
    put(&a, 1);
    assert_int_equal(told(&a, WEIR_EV_WRITE, SECOND_US), 0);
    end();
}

/* The write that was cut short has armed it, without a second try. */
static void a_cut_write_arms(void **state)
{
    (void)state;
    static uint8_t much[200000];
    begin(&(struct weir_opts){.rcvbuf_bytes = 8192});
    uint32_t left = (uint32_t)weir_write(a.w, a.id, much, sizeof much);
    unsigned n = 0;
    while (left > 0) {
        left -= take(&b, 65536);
        n += told(&a, WEIR_EV_WRITE, SECOND_US);
    }
    assert_int_equal(n, 1);
    end();
}

/* Descriptors are short: whoever was refused is told when they are back. */
static void write_after_enomem(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    struct simend e[6];
    c.stack[0].pbufs = 60;
    c.stack[0].conns = 8;
    c.stack[0].txrecs = 100;
    c.check = true;
    net = simnet_open(&c);
    for (unsigned i = 0; i < 6; i += 2)
        simnet_join(net, 0, NULL, &e[i], &e[i + 1]);
    simnet_run(net, SECOND_US);
    uint8_t *p = weir_zalloc(net->w[0], 16000);
    ptrdiff_t r = 0;
    uint32_t n = 0;
    while ((r = weir_write(e[0].w, e[0].id, p + 100 * n, 50)) == 50)
        n++;
    assert_int_equal(r, WEIR_ENOMEM);
    assert_in_range(n, 8, 60);            /* some stay for receiving */
    for (unsigned i = 2; i < 6; i += 2) { /* one is kept for each */
        assert_int_equal(weir_write(e[i].w, e[i].id, p, 50), 50);
        assert_int_equal(weir_write(e[i].w, e[i].id, p + 1000, 50), WEIR_ENOMEM);
    }
    e[0].ready = e[2].ready = e[4].ready = 0;
    simnet_run(net, SECOND_US);
    for (unsigned i = 0; i < 6; i += 2) {
        assert_true(e[i].ready & WEIR_EV_WRITE);
        assert_int_equal(weir_write(e[i].w, e[i].id, p, 50), 50);
    }
    assert_int_equal(weir_zfree(net->w[0], p), 0);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(weir_close(e[i].w, e[i].id, WEIR_CLOSE_ABORT), 0);
        simend_leave(&e[i]);
    }
    simnet_run(net, 10 * SECOND_US);
    simnet_empty(net);
    simnet_close(net, NULL);
}

static void sent_when_all_is_acknowledged(void **state)
{
    (void)state;
    begin(&(struct weir_opts){.rcvbuf_bytes = 4096});
    put(&a, 1000);
    assert_int_equal(told(&a, WEIR_EV_SENT, SECOND_US), 1);
    assert_int_equal(simend_info(&a).queued_bytes, 0);
    put(&a, 10000);
    assert_int_equal(told(&a, WEIR_EV_SENT, SECOND_US), 0);
    for (uint32_t got = 0; got < 11000;) {
        got += take(&b, 65536);
        simnet_run(net, SECOND_US);
    }
    assert_true(a.ready & WEIR_EV_SENT);
    assert_int_equal(told(&a, WEIR_EV_SENT, SECOND_US), 0);
    assert_int_equal(weir_shutdown(a.w, a.id), 0);
    assert_int_equal(told(&a, WEIR_EV_SENT, SECOND_US), 1); /* the FIN */
    assert_int_equal(weir_shutdown(b.w, b.id), 0);
    simnet_run(net, SECOND_US);
    assert_true((a.seen & WEIR_EV_CLOSED) && (b.seen & WEIR_EV_CLOSED));
    assert_false((a.seen | b.seen) & WEIR_EV_ERROR);
    end();
}

static void error_of_a_reset(void **state)
{
    (void)state;
    begin(NULL);
    put(&a, 1000);
    simnet_run(net, SECOND_US);
    assert_int_equal(weir_close(b.w, b.id, WEIR_CLOSE_ABORT), 0);
    a.ready = b.ready = 0;
    simnet_run(net, SECOND_US);
    assert_true(a.ready & WEIR_EV_ERROR);
    assert_false(a.ready & WEIR_EV_CLOSED);
    assert_int_equal(b.ready, 0); /* its id is given up */
    assert_int_equal(simend_info(&a).error, WEIR_ECONNRESET);
    assert_int_equal(weir_write(a.w, a.id, "x", 1), WEIR_ECONNRESET);
    struct weir_iov iov;
    assert_int_equal(weir_read(a.w, a.id, &iov, 1), WEIR_ECONNRESET);
    assert_int_equal(told(&a, ~0u, SECOND_US), 0);
    end();
}

/* What happens before the application has the id is told once it has. */
static void events_wait_for_accept(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    net = simnet_open(&c);
    simnet_listen(net, 1, &(struct weir_opts){.user = 42});
    struct weir_addr to;
    struct weir_event ev[4];
    weir_id id, got;
    simnet_addr(&to, 1, SIMNET_PORT);
    assert_int_equal(weir_connect(net->w[0], &to, &(struct weir_opts){.user = 7}, &id), 0);
    unsigned accepts = 0, opens = 0;
    while (simnet_step(net, SECOND_US)) {
        for (int i = 0; i < net->n_ev[1]; i++) {
            assert_int_equal(net->ev[1][i].id, net->listener[1]);
            assert_int_equal(net->ev[1][i].mask, WEIR_EV_ACCEPT);
            assert_int_equal(net->ev[1][i].user, 42);
            accepts++;
        }
        for (int i = 0; i < net->n_ev[0]; i++) {
            assert_int_equal(net->ev[0][i].id, id);
            assert_int_equal(net->ev[0][i].user, 7);
            if (net->ev[0][i].mask & WEIR_EV_OPEN) {
                assert_int_equal(weir_write(net->w[0], id, "hello", 5), 5);
                opens++;
            }
        }
    }
    assert_int_equal(accepts, 1);
    assert_int_equal(opens, 1);
    assert_int_equal(weir_ready(net->w[1], net->listener[1]), WEIR_EV_ACCEPT);
    assert_int_equal(weir_accept(net->w[1], net->listener[1], &got, NULL), 0);
    assert_int_equal(weir_ready(net->w[1], net->listener[1]), 0);
    assert_int_equal(weir_poll(net->w[1], ev, 4, 0), 1);
    assert_int_equal(ev[0].id, got);
    assert_int_equal(ev[0].user, 42); /* its listener's, until it has its own */
    assert_int_equal(ev[0].mask, WEIR_EV_READ | WEIR_EV_WRITE);
    assert_int_equal(weir_set(net->w[1], got, WEIR_OPT_USER, 43), 0);
    assert_int_equal(weir_close(net->w[0], id, WEIR_CLOSE_ABORT), 0);
    simnet_run(net, 1000);
    assert_int_equal(weir_poll(net->w[1], ev, 4, 0), 0); /* the step has told it */
    assert_int_equal(net->ev[1][0].user, 43);
    assert_int_equal(weir_close(net->w[1], got, WEIR_CLOSE_GRACEFUL), 0);
    simnet_run(net, 10 * SECOND_US);
    simnet_empty(net);
    simnet_close(net, NULL);
}

/* Many at once through batches of one: each is told everything once, and a foreign loop hears that there is
 * more. */
static void small_batches_lose_nothing(void **state)
{
    (void)state;
    struct simend client[20], server[20];
    struct simnet_conf c = simnet_defaults();
    net = simnet_open(&c);
    for (unsigned i = 0; i < 20; i++)
        simnet_join(net, 0, NULL, &client[i], &server[i]);
    simnet_run(net, SECOND_US);
    net->conf.batch = 1;
    for (unsigned i = 0; i < 20; i++) {
        client[i].ready = server[i].ready = 0;
        put(&client[i], 10 + i);
        put(&server[i], 20 + i);
    }
    unsigned reads[2] = {0};
    uint64_t until = net->sim.now_us + SECOND_US;
    while (simnet_step(net, until))
        for (int side = 0; side < 2; side++)
            for (int i = 0; i < net->n_ev[side]; i++)
                reads[side] += (net->ev[side][i].mask & WEIR_EV_READ) != 0;
    assert_int_equal(reads[0], 20);
    assert_int_equal(reads[1], 20);
    for (unsigned i = 0; i < 20; i++) {
        assert_true((client[i].ready & WEIR_EV_READ) && (server[i].ready & WEIR_EV_READ));
        assert_true((client[i].ready & WEIR_EV_SENT) && (server[i].ready & WEIR_EV_SENT));
        assert_int_equal(take(&server[i], 100), 10 + i);
        assert_int_equal(take(&client[i], 100), 20 + i);
        assert_int_equal(weir_close(client[i].w, client[i].id, WEIR_CLOSE_GRACEFUL), 0);
        assert_int_equal(weir_close(server[i].w, server[i].id, WEIR_CLOSE_GRACEFUL), 0);
        simend_leave(&client[i]);
        simend_leave(&server[i]);
    }
    simnet_run(net, 20 * SECOND_US);
    simnet_empty(net);
    simnet_close(net, NULL);
}

/* What is due at once for a loop that is not weir_poll's own. */
static void next_tells_what_waits(void **state)
{
    (void)state;
    int64_t next;
    struct weir_event ev;
    begin(NULL);
    simnet_run(net, 100 * (uint64_t)SECOND_US);
    (void)weir_next(a.w, &next);
    assert_true(next > (int64_t)net->sim.now_us);
    put(&a, 1); /* something to send */
    (void)weir_next(a.w, &next);
    assert_true(next <= (int64_t)net->sim.now_us);
    simnet_run(net, 100 * (uint64_t)SECOND_US);
    put(&a, 1);
    put(&b, 1);
    for (unsigned i = 0; i < 20; i++) { /* no room for the event: it stays */
        assert_int_equal(weir_poll(a.w, NULL, 0, 0), 0);
        assert_int_equal(weir_poll(b.w, NULL, 0, 0), 0);
        net->sim.now_us += 10;
    }
    (void)weir_next(a.w, &next);
    assert_true(next <= (int64_t)net->sim.now_us);
    assert_int_equal(weir_poll(a.w, &ev, 1, 0), 1);
    assert_true(ev.mask & WEIR_EV_READ);
    simnet_run(net, 100 * (uint64_t)SECOND_US);
    void *p = weir_zalloc(a.w, 100), *q = weir_zalloc(a.w, 100);
    (void)weir_next(a.w, &next);
    assert_true(next > (int64_t)net->sim.now_us);
    assert_int_equal(weir_zgive(a.w, p), 0); /* a release to carry out */
    (void)weir_next(a.w, &next);
    assert_true(next <= (int64_t)net->sim.now_us);
    simnet_run(net, SECOND_US);
    assert_int_equal(weir_zalloc_wait(a.w, 100), 0); /* memory that is there already */
    (void)weir_next(a.w, &next);
    assert_true(next <= (int64_t)net->sim.now_us);
    simnet_run(net, SECOND_US);
    weir_wake(a.w);
    (void)weir_next(a.w, &next);
    assert_true(next <= (int64_t)net->sim.now_us);
    assert_int_equal(weir_zfree(a.w, q), 0);
    simnet_run(net, 100 * (uint64_t)SECOND_US);
    assert_int_equal(weir_close(a.w, a.id, WEIR_CLOSE_ABORT), 0); /* a reset to send */
    (void)weir_next(a.w, &next);
    assert_true(next <= (int64_t)net->sim.now_us);
    end();
}

/* A poll that has no room for an event neither tells it nor sleeps nor spins. */
static void no_room_for_events(void **state)
{
    (void)state;
    begin(NULL);
    simnet_run(net, 100 * (uint64_t)SECOND_US);
    assert_int_equal(weir_close(b.w, b.id, WEIR_CLOSE_ABORT), 0);
    assert_int_equal(weir_poll(b.w, NULL, 0, 0), 0);
    net->sim.now_us += 10000;
    uint64_t waits = simnet_stats(net, 0).waits, before = net->sim.now_us;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(weir_poll(a.w, NULL, 0, -1), 0); /* the reset: an event is listed */
    assert_int_equal(net->sim.now_us, before);
    assert_int_equal(simnet_stats(net, 0).waits, waits);
    a.ready = 0;
    simnet_run(net, 1);
    assert_true(a.ready & WEIR_EV_ERROR);
    assert_int_equal(weir_poll(a.w, NULL, 0, SECOND_US), 0); /* now it sleeps */
    assert_true(net->sim.now_us >= before + SECOND_US);
    end();
}

/* weir_poll sleeps until there is something to tell or the time is over, and not longer. */
static void poll_sleeps_by_the_clock(void **state)
{
    (void)state;
    struct weir_event ev;
    begin(NULL);
    simnet_run(net, 100 * (uint64_t)SECOND_US);
    uint64_t before = net->sim.now_us;
    assert_int_equal(weir_poll(a.w, &ev, 1, 1234567), 0);
    assert_int_equal(net->sim.now_us - before, 1234567);
    assert_int_equal(weir_poll(a.w, &ev, 1, 0), 0);
    assert_int_equal(net->sim.now_us - before, 1234567);
    weir_wake(a.w);
    assert_int_equal(weir_poll(a.w, &ev, 1, -1), 0);
    assert_int_equal(net->sim.now_us - before, 1234567);
    put(&b, 100);
    assert_int_equal(weir_flush(b.w), 0);
    assert_int_equal(weir_poll(a.w, &ev, 1, 10 * SECOND_US), 1); /* after 50 us on the cable */
    assert_in_range(net->sim.now_us - before, 1234567 + 50, 1234567 + 60);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_once_an_arming),        cmocka_unit_test(a_short_read_arms),
        cmocka_unit_test(write_once_an_arming),       cmocka_unit_test(a_cut_write_arms),
        cmocka_unit_test(write_after_enomem),         cmocka_unit_test(sent_when_all_is_acknowledged),
        cmocka_unit_test(error_of_a_reset),           cmocka_unit_test(events_wait_for_accept),
        cmocka_unit_test(small_batches_lose_nothing), cmocka_unit_test(next_tells_what_waits),
        cmocka_unit_test(no_room_for_events),         cmocka_unit_test(poll_sleeps_by_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
