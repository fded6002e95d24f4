/* held_test.c: what the application holds, and what becomes of it: lent bytes keep the window shut and open
 * it again when they are freed, by whichever way; they may be written on as they are; limits tell and the
 * events follow. And what happens when memory is short: it comes back, and everybody goes on. */
#include "simnet.h"

#include <stdio.h>
#include <stdlib.h>

#define KIB     1024u
#define MINUTES (60 * (uint64_t)SECOND_US)
#define LOANS   64

static struct simnet *net;
static struct weir_iov loan[LOANS];
static int loans;

static struct simnet *open_small_window(uint32_t rcvbuf, struct simend *a, struct simend *b)
{
    struct simnet_conf c = simnet_defaults();
    c.check = true;
    struct simnet *n = simnet_open(&c);
    simnet_listen(n, 1, &(struct weir_opts){.rcvbuf_bytes = rcvbuf});
    simnet_join(n, 0, NULL, a, b);
    return n;
}

/* Borrows all that there is. */
static uint32_t borrow(const struct simend *e)
{
    uint32_t bytes = 0;
    int r;
    while ((r = weir_read(e->w, e->id, loan + loans, LOANS - loans)) > 0)
        for (; r > 0; r--)
            bytes += (uint32_t)loan[loans++].len;
    assert_int_equal(r, WEIR_EAGAIN);
    return bytes;
}

static void give_back(struct weir *w, int (*how)(struct weir *, const void *))
{
    while (loans > 0)
        assert_int_equal(how(w, loan[--loans].base), 0);
}

static void write_all(struct simend *e, uint32_t bytes)
{
    e->out = (struct simflow){.tag = e->out.tag, .total = bytes};
    e->keep_open = true;
    e->chunk = bytes < 16000 ? bytes : 16000;
    simend_pump(e);
    assert_int_equal(e->out.done, bytes);
}

static void drop(struct simend *a, struct simend *b)
{
    simend_close(a);
    assert_int_equal(weir_close(b->w, b->id, WEIR_CLOSE_ABORT), 0);
    simend_leave(b);
}

static void finish(struct simend *a, struct simend *b)
{
    drop(a, b);
    simnet_run(net, 10 * SECOND_US);
    simnet_empty(net);
    simnet_close(net, NULL);
}

/* ---- the window ---- */

static void window_opens_by(int (*how)(struct weir *, const void *))
{
    struct simend a, b;
    net = open_small_window(4096, &a, &b);
    write_all(&a, 16 * KIB);
    simnet_run(net, 2 * SECOND_US); /* the last, small part of a window waits for a timer */
    assert_int_equal(simend_info(&b).rcv_wnd, 0);
    assert_int_equal(borrow(&b), 4096);
    simnet_run(net, 100000); /* borrowed is not freed */
    assert_int_equal(simend_info(&b).lent_bytes, 4096);
    assert_int_equal(simend_info(&b).rcv_wnd, 0);
    assert_int_equal(simend_info(&a).snd_wnd, 0);
    assert_int_equal(simend_info(&a).queued_bytes, 12 * KIB);
    give_back(b.w, how);
    simnet_run(net, 2000); /* no timer runs out as early as that */
    assert_int_equal(simend_info(&b).lent_bytes, 0);
    assert_true(simend_info(&b).readable_bytes > 0);
    assert_true(borrow(&b) > 0);
    give_back(b.w, how);
    finish(&a, &b);
}

static void freeing_opens_the_window(void **state)
{
    (void)state;
    window_opens_by(weir_zfree);
}

static void giving_opens_the_window(void **state)
{
    (void)state;
    window_opens_by(weir_zgive);
}

/* Pieces in one zbuf are counted together; the window opens in worthwhile steps whatever the order. */
static void any_order_of_freeing(void **state)
{
    (void)state;
    struct simend a, b;
    net = open_small_window(8192, &a, &b);
    write_all(&a, 20 * KIB);
    simnet_run(net, 2 * SECOND_US);
    assert_int_equal(borrow(&b), 8192);
    assert_true(loans >= 4);
    for (int i = 0; i < loans; i += 2)
        assert_int_equal(weir_zfree(b.w, loan[i].base), 0);
    simnet_run(net, 2000);
    struct weir_conn_info info = simend_info(&b);
    assert_true(info.lent_bytes + info.readable_bytes + info.rcv_wnd <= 8192);
    assert_true(info.readable_bytes > 0);
    for (int i = 1; i < loans; i += 2)
        assert_int_equal(weir_zfree(b.w, loan[i].base), 0);
    loans = 0;
    simnet_run(net, 2000);
    assert_int_equal(simend_info(&b).lent_bytes, 0);
    (void)borrow(&b);
    give_back(b.w, weir_zfree);
    finish(&a, &b);
}

/* ---- limits ---- */

static void no_more_is_lent_than_app_hold(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    struct simend a[2], b[2];
    c.check = true;
    c.stack[1].rcvbuf_bytes = c.stack[1].app_hold_bytes = 8192;
    net = simnet_open(&c);
    for (unsigned i = 0; i < 2; i++) {
        simnet_join(net, 0, NULL, &a[i], &b[i]);
        write_all(&a[i], 8192);
    }
    simnet_run(net, 100000);
    assert_int_equal(borrow(&b[0]), 8192);
    b[1].ready = 0;
    assert_int_equal(weir_read(b[1].w, b[1].id, loan + loans, 1), WEIR_ENOMEM);
    simnet_run(net, 100000);
    assert_false(b[1].ready & WEIR_EV_READ);
    uint8_t few[10];
    assert_int_equal(weir_recv(b[1].w, b[1].id, few, sizeof few), sizeof few); /* a copy is not held */
    assert_int_equal(weir_read(b[1].w, b[1].id, loan + loans, 1), WEIR_ENOMEM);
    give_back(b[0].w, weir_zfree);
    simnet_run(net, 1000);
    assert_true(b[1].ready & WEIR_EV_READ);
    assert_int_equal(borrow(&b[1]), 8192 - sizeof few);
    b[0].ready = 0;
    give_back(b[1].w, weir_zgive);
    simnet_run(net, 1000);
    drop(&a[1], &b[1]);
    finish(&a[0], &b[0]);
}

/* A read that the limit has cut short does not lose the rest: READ comes when something is back. */
static void a_read_cut_by_app_hold_is_told(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    struct simend a[2], b[2];
    c.check = true;
    c.stack[1].rcvbuf_bytes = c.stack[1].app_hold_bytes = 8192;
    net = simnet_open(&c);
    for (unsigned i = 0; i < 2; i++) {
        simnet_join(net, 0, NULL, &a[i], &b[i]);
        write_all(&a[i], i ? 8192 : 4000);
    }
    simnet_run(net, 100000);
    assert_int_equal(borrow(&b[0]), 4000);
    struct weir_iov part[LOANS];
    int n = weir_read(b[1].w, b[1].id, part, LOANS);
    assert_in_range(n, 1, LOANS - 1);
    uint32_t left = simend_info(&b[1]).readable_bytes;
    assert_true(left > 0);
    b[1].ready = 0;
    simnet_run(net, 100000);
    assert_false(b[1].ready & WEIR_EV_READ);
    give_back(b[0].w, weir_zfree);
    simnet_run(net, 1000);
    assert_true(b[1].ready & WEIR_EV_READ);
    assert_int_equal(borrow(&b[1]), left);
    give_back(b[1].w, weir_zfree);
    while (n > 0)
        assert_int_equal(weir_zfree(b[1].w, part[--n].base), 0);
    simnet_run(net, 1000);
    drop(&a[1], &b[1]);
    finish(&a[0], &b[0]);
}

/* The next event that is not about the ladder. */
static int poll_one(struct weir *w, struct weir_event *ev)
{
    int n;
    while ((n = weir_poll(w, ev, 1, 0)) == 1 && ev->mask == WEIR_EV_PRESSURE)
        assert_int_equal(ev->id, 0);
    return n;
}

static void memory_event(struct weir *w, size_t bytes, int (*how)(struct weir *, const void *))
{
    static uint8_t *got[4096];
    unsigned n = 0, told = 0;
    struct weir_event ev;
    while (n < 4096 && (got[n] = weir_zalloc(w, bytes)) != NULL)
        n++;
    assert_in_range(n, 2, 4095);
    assert_int_equal(poll_one(w, &ev), 0);
    assert_int_equal(weir_zalloc_wait(w, bytes), 0);
    assert_int_equal(poll_one(w, &ev), 0);
    while (n > 0) {
        assert_int_equal(how(w, got[--n]), 0);
        if (poll_one(w, &ev) == 0) continue;
        assert_int_equal(ev.id, 0);
        assert_int_equal(ev.mask, WEIR_EV_MEMORY);
        void *p = weir_zalloc(w, bytes);
        assert_non_null(p);
        assert_int_equal(weir_zfree(w, p), 0);
        told++;
    }
    assert_int_equal(told, 1);
    assert_int_equal(weir_zalloc_wait(w, bytes), 0); /* there is memory: at once */
    assert_int_equal(poll_one(w, &ev), 1);
    assert_int_equal(ev.mask, WEIR_EV_MEMORY);
}

static void memory_is_told_once_an_asking(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        struct simnet_conf c = simnet_defaults();
        simnet_config(&c.stack[0], (enum weir_zlayout)layout);
        net = simnet_open(&c);
        static const size_t bytes[] = {1, 192, 300, 1900, 2000, 16000};
        for (unsigned i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
            memory_event(net->w[0], bytes[i], weir_zfree);
            memory_event(net->w[0], bytes[i], weir_zgive);
        }
        simnet_close(net, NULL);
    }
}

/* ---- what outlives its connection ---- */

static void loans_outlive_their_connection(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct simend a, b;
        net = open_small_window(16384, &a, &b);
        write_all(&a, 5000);
        simnet_run(net, 100000);
        assert_int_equal(borrow(&b), 5000);
        if (how == 0) assert_int_equal(weir_close(a.w, a.id, WEIR_CLOSE_ABORT), 0);
        if (how == 1) assert_int_equal(weir_close(b.w, b.id, WEIR_CLOSE_GRACEFUL), 0);
        if (how == 2) assert_int_equal(weir_close(b.w, b.id, WEIR_CLOSE_ABORT), 0);
        simnet_run(net, 10 * SECOND_US);
        uint64_t at = 0;
        for (int i = 0; i < loans; at += loan[i++].len)
            simflow_check(&a.out, at, loan[i].base, loan[i].len);
        if (how == 1) { /* and instances, where that is told */
            int held[2];
            simnet_close(net, held);
            assert_int_equal(held[0], 0);
            assert_int_equal(held[1], loans);
            loans = 0;
            continue;
        }
        give_back(b.w, weir_zfree);
        (void)weir_close(a.w, a.id, WEIR_CLOSE_ABORT);
        (void)weir_close(b.w, b.id, WEIR_CLOSE_ABORT);
        simnet_run(net, 10 * SECOND_US);
        simnet_empty(net);
        simnet_close(net, NULL);
    }
}

/* ---- the proxy ---- */

/* What e lends is written to the other end as it is, and given back at once. What could not be written waits.
 */
struct pipe {
    struct simend *from, *to;
    struct weir_iov iov[8];
    int n, at;
    bool over;
};

static void pump_pipe(struct pipe *p)
{
    while (!p->over) {
        if (p->at == p->n) {
            p->n = weir_read(p->from->w, p->from->id, p->iov, 8);
            p->at = 0;
            if (p->n < 0) {
                assert_true(p->n == WEIR_EAGAIN || p->n == WEIR_ENOMEM);
                p->n = 0;
                return;
            }
            p->over = p->n == 0;
            if (p->over) assert_int_equal(weir_shutdown(p->to->w, p->to->id), 0);
            continue;
        }
        struct weir_iov *v = &p->iov[p->at];
        ptrdiff_t r = weir_write(p->to->w, p->to->id, v->base, v->len);
        if (r == WEIR_EAGAIN || r == WEIR_ENOMEM) return;
        assert_true(r > 0);
        if ((size_t)r == v->len) {
            assert_int_equal(weir_zfree(p->to->w, v->base), 0);
            p->at++;
            continue;
        }
        v->base = (uint8_t *)v->base + r;
        v->len -= (size_t)r;
    }
}

/* Instance 0 sends to the proxy on instance 1, which sends on to instance 0, and the same backwards. */
static void proxy(enum weir_zlayout layout, uint8_t async, uint16_t offloads, bool tiny, uint64_t bytes)
{
    struct simnet_conf c = simnet_defaults();
    for (int side = 0; side < 2; side++)
        (tiny ? simnet_tiny : simnet_config)(&c.stack[side], layout);
    c.async = async;
    c.offloads = offloads;
    c.check = true;
    net = simnet_open(&c);
    struct simend client, in, out, server;
    simnet_join(net, 0, NULL, &client, &in);
    simnet_join(net, 1, NULL, &out, &server);
    simend_plan(&client, &server, 5, bytes, bytes / 2);
    client.chunk = server.chunk = tiny ? 1900 : 9000;
    struct pipe there = {.from = &in, .to = &out}, back = {.from = &out, .to = &in};
    uint64_t until = net->sim.now_us + 10 * MINUTES;
    while (!simend_done(&client) || !simend_done(&server)) {
        assert_true(simnet_step(net, until));
        simend_pump(&client);
        simend_pump(&server);
        pump_pipe(&there);
        pump_pipe(&back);
    }
    struct weir_stats s = simnet_stats(net, 1);
    assert_int_equal(s.tx_bytes_copied, 0);
    if (!tiny) assert_int_equal(s.rx_bytes_copied, 0);
    assert_true(s.tx_bytes_ref == bytes + bytes / 2);
    struct simend *all[] = {&client, &in, &out, &server};
    for (unsigned i = 0; i < 4; i++)
        simend_close(all[i]);
    simnet_run(net, 10 * SECOND_US);
    simnet_empty(net);
    simnet_close(net, NULL);
}

static void lent_pieces_are_written_on_as_they_are(void **state)
{
    (void)state;
    const uint16_t all = WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM | WEIR_OFF_RX_MERGE4;
    for (int layout = 0; layout < 2; layout++)
        for (uint8_t async = 0; async < 2; async++) {
            proxy((enum weir_zlayout)layout, async, 0, false, 300 * KIB);
            proxy((enum weir_zlayout)layout, async, all, false, 300 * KIB);
            proxy((enum weir_zlayout)layout, async, 0, true, 60 * KIB);
        }
}

/* ---- memory is short for a while ---- */

/* Buffers that were posted while their class was used up came from the next larger one. When that one is used
 * up and their own has segments again, receiving goes on. */
static void posted_from_a_larger_class(void **state)
{
    (void)state;
    static uint8_t *small[64], *large[64];
    unsigned n_small = 0, n_large = 0;
    struct simend a, b, *both[2] = {&a, &b};
    struct simnet_conf c = simnet_defaults();
    simnet_tiny(&c.stack[1], WEIR_ZLAYOUT_DENSE);
    c.check = true;
    net = simnet_open(&c);
    simnet_join(net, 0, NULL, &a, &b);
    write_all(&a, 8192); /* the posted ones are used up by data that is not read */
    while (n_small < 64 && (small[n_small] = weir_zalloc(b.w, 2048)) != NULL)
        n_small++;
    simnet_run(net, SECOND_US);
    for (unsigned i = 0; i < n_small; i++)
        if (weir_zsize(b.w, small[i]) == 2048) assert_int_equal(weir_zfree(b.w, small[i]), 0);
    while (n_large < 64 && (large[n_large] = weir_zalloc(b.w, 4096)) != NULL)
        n_large++;
    a.keep_open = false;
    simend_plan(&a, &b, 0, 100 * KIB, 100);
    a.out.done = 8192;
    a.chunk = 4096;
    simnet_transfer(net, both, 2, MINUTES);
    simend_close(&a);
    simend_close(&b);
    for (unsigned i = 0; i < n_small; i++)
        if (weir_zsize(b.w, small[i]) == 4096) assert_int_equal(weir_zfree(b.w, small[i]), 0);
    for (unsigned i = 0; i < n_large; i++)
        assert_int_equal(weir_zfree(b.w, large[i]), 0);
    simnet_run(net, 10 * SECOND_US);
    simnet_empty(net);
    simnet_close(net, NULL);
}

#define LINKS 8

/* Writes what was borrowed to another connection, or gives up on it; and new bytes besides. */
static void reflect(struct simend *e, unsigned k)
{
    static const uint8_t fresh[300];
    for (unsigned i = 0; i < k; i++) {
        struct weir_iov iov[4];
        const struct simend *to = &e[(i + 1) % k];
        int n = weir_read(e[i].w, e[i].id, iov, 4);
        for (int j = 0; j < n; j++) {
            (void)weir_write(to->w, to->id, iov[j].base, iov[j].len);
            assert_int_equal(weir_zfree(to->w, iov[j].base), 0);
        }
        (void)weir_write(e[i].w, e[i].id, fresh, sizeof fresh);
    }
}

static uint32_t drain(struct simend *e, unsigned k)
{
    uint32_t queued = 0;
    for (unsigned i = 0; i < k; i++) {
        struct weir_iov iov[4];
        int n;
        while ((n = weir_read(e[i].w, e[i].id, iov, 4)) > 0)
            while (n > 0)
                assert_int_equal(weir_zfree(e[i].w, iov[--n].base), 0);
        assert_int_equal(n, WEIR_EAGAIN);
        queued += simend_info(&e[i]).queued_bytes;
    }
    return queued;
}

/* Both ends fill their pools with bytes that they received and sent on. Once they only read, everything moves
 * again: what waits to be sent never takes the last room to receive. */
static void forwarded_bytes_leave_room_to_receive(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct simend e[2][LINKS];
        struct simnet_conf c = simnet_defaults();
        for (int side = 0; side < 2; side++) {
            simnet_tiny(&c.stack[side], (enum weir_zlayout)(kind % 2));
            c.stack[side].pbufs = 400; /* zbufs are what is short */
            c.stack[side].pbufs_conn = 50;
        }
        c.async = (uint8_t)(kind / 2);
        c.check = true;
        net = simnet_open(&c);
        for (unsigned i = 0; i < LINKS; i++)
            simnet_join(net, 0, NULL, &e[0][i], &e[1][i]);
        uint64_t pressed = 0;
        for (unsigned round = 0; round < 3000; round++) {
            reflect(e[0], LINKS);
            if (round % 3) reflect(e[1], LINKS);
            (void)simnet_step(net, net->sim.now_us + 20000);
        }
        for (int side = 0; side < 2; side++)
            pressed += simnet_stats(net, side).pressure + simnet_stats(net, side).drops[WEIR_DROP_NO_ZBUF];
        assert_true(pressed > 100);
        uint64_t until = net->sim.now_us + 60 * (uint64_t)SECOND_US;
        while (drain(e[0], LINKS) + drain(e[1], LINKS) > 0)
            if (!simnet_step(net, until)) fail_msg("kind %d: stuck", kind);
        for (unsigned i = 0; i < LINKS; i++) {
            simend_close(&e[0][i]);
            simend_close(&e[1][i]);
        }
        simnet_run(net, MINUTES);
        simnet_empty(net);
        simnet_close(net, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freeing_opens_the_window),
        cmocka_unit_test(giving_opens_the_window),
        cmocka_unit_test(any_order_of_freeing),
        cmocka_unit_test(no_more_is_lent_than_app_hold),
        cmocka_unit_test(a_read_cut_by_app_hold_is_told),
        cmocka_unit_test(memory_is_told_once_an_asking),
        cmocka_unit_test(loans_outlive_their_connection),
        cmocka_unit_test(lent_pieces_are_written_on_as_they_are),
        cmocka_unit_test(posted_from_a_larger_class),
        cmocka_unit_test(forwarded_bytes_leave_room_to_receive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
