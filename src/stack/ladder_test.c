/* ladder_test.c: memory runs short on one side of a pair, rung by rung, and comes back. Each rung is reached
 * by taking away what the application or unread data may take, and is seen in the events, in the counters and
 * in what the peer is told. */
#include "simnet.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define KIB     1024u
#define LINKS   8u
#define MINUTE  (60 * (uint64_t)SECOND_US)
#define RESET_S 5u
#define HEARD   256u

static struct simnet *net;
static struct simend a[LINKS + 1], b[LINKS + 1];
static uint8_t *taken[64];
static unsigned n_taken;
static unsigned heard[HEARD], n_heard; /* rungs as side 1's events told them */

/* Side 1 has few zbufs. */
static void open_net(uint32_t reset_after_ms)
{
    struct simnet_conf c = simnet_defaults();
    simnet_tiny(&c.stack[1], WEIR_ZLAYOUT_DENSE);
    c.stack[1].reset_after_ms = reset_after_ms;
    c.stack[1].conns = 16;
    c.stack[1].txrecs = 64;
    c.stack[1].pbufs = 400;
    c.stack[1].pbufs_conn = 50;
    c.stack[1].rcvbuf_bytes = 8192;
    c.stack[1].app_hold_bytes = 65536;
    c.check = true;
    net = simnet_open(&c);
    n_taken = n_heard = 0;
    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
}

static bool step(uint64_t until)
{
    if (!simnet_step(net, until)) return false;
    for (int i = 0; i < net->n_ev[1]; i++)
        if (net->ev[1][i].mask & WEIR_EV_PRESSURE) {
            assert_int_equal(net->ev[1][i].id, 0);
            heard[n_heard++ % HEARD] = (unsigned)net->ev[1][i].user;
        }
    return true;
}

static void steps(uint64_t us)
{
    uint64_t until = net->sim.now_us + us;
    while (step(until)) {
    }
}

static void join_all(unsigned k)
{
    static const struct weir_opts nodelay = {.nodelay = 1};
    for (unsigned i = 0; i < k; i++) {
        simnet_join(net, 0, &nodelay, &a[i], &b[i]);
        simend_plan(&a[i], &b[i], i + 1, 0, 0);
        a[i].out.total = b[i].in.total = 1 << 20;
    }
}

/* The peer writes n numbered bytes that nobody reads for now. */
static void write_some(unsigned i, uint32_t n)
{
    uint8_t bytes[8192];
    simflow_fill(&a[i].out, a[i].out.done, bytes, n);
    ptrdiff_t took = weir_write(a[i].w, a[i].id, bytes, n);
    if (took > 0) a[i].out.done += (uint64_t)took;
}

/* false: nothing to read now. */
static bool read_piece(unsigned i)
{
    struct weir_iov iov;
    int r = weir_read(b[i].w, b[i].id, &iov, 1);
    if (r != 1) {
        assert_true(r == WEIR_EAGAIN || r == WEIR_ENOMEM);
        return false;
    }
    simflow_check(&b[i].in, b[i].in.done, iov.base, iov.len);
    b[i].in.done += iov.len;
    assert_int_equal(weir_zfree(b[i].w, iov.base), 0);
    return true;
}

/* Everything that was written on those that are open is read and compared. */
static void read_all(unsigned k)
{
    uint64_t until = net->sim.now_us + 10 * MINUTE;
    for (;;) {
        bool all = true;
        for (unsigned i = 0; i < k; i++) {
            if (b[i].id == 0) continue;
            while (read_piece(i)) {
            }
            all = all && b[i].in.done == a[i].out.done;
        }
        if (all) return;
        if (!step(until)) fail_msg("bytes do not come");
    }
}

static unsigned rung(void)
{
    return simnet_stats(net, 1).rung;
}

static void take_all(size_t bytes)
{
    while (n_taken < 64 && (taken[n_taken] = weir_zalloc(net->w[1], bytes)) != NULL)
        n_taken++;
}

static void give_all(void)
{
    while (n_taken > 0)
        assert_int_equal(weir_zfree(net->w[1], taken[--n_taken]), 0);
}

/* All that is left to say is said, read and closed, and nothing is left. */
static void finish(unsigned k)
{
    give_all();
    read_all(k);
    for (unsigned i = 0; i < k; i++) {
        if (b[i].id == 0) continue;
        simend_close(&a[i]);
        simend_close(&b[i]);
    }
    steps(5 * MINUTE);
    assert_int_equal(rung(), WEIR_RUNG_NONE);
    simnet_empty(net);
    simnet_close(net, NULL);
}

/* ---- rung by rung ---- */

static void windows_are_cut_and_opened_again(void **state)
{
    (void)state;
    open_net(0);
    join_all(2);
    write_some(0, 100);
    steps(SECOND_US);
    uint32_t before = simend_info(&a[0]).snd_wnd;
    assert_in_range(before, 6000, 8192);
    take_all(1900);
    steps(1000);
    assert_in_range(rung(), WEIR_RUNG_WINDOWS, WEIR_RUNG_OOO);
    assert_int_equal(n_heard, 1);
    assert_int_equal(heard[0], rung());
    write_some(0, 100);
    steps(SECOND_US);
    uint32_t cut = simend_info(&a[0]).snd_wnd;
    assert_in_range(cut, 2 * 1448, before / 2);
    assert_true(simnet_stats(net, 1).windows_cut > 0);
    assert_int_equal(simnet_stats(net, 1).rungs[WEIR_RUNG_WINDOWS], 1);
    /* Nothing is written, and the peer is told all the same. */
    give_all();
    steps(SECOND_US);
    assert_int_equal(rung(), WEIR_RUNG_NONE);
    assert_int_equal(heard[(n_heard - 1) % HEARD], WEIR_RUNG_NONE);
    assert_in_range(simend_info(&a[0]).snd_wnd, before - 200, before);
    finish(2);
}

/* A little from each peer lies in a segment of its own. */
static void slices_leave_large_segments(void **state)
{
    (void)state;
    open_net(0);
    join_all(LINKS);
    for (unsigned i = 0; i < LINKS; i++)
        write_some(i, 100);
    steps(SECOND_US);
    struct weir_stats s = simnet_stats(net, 1);
    uint32_t pinned = s.zclass[1].count - s.zclass[1].free;
    assert_int_equal(s.slices_copied, 0);
    take_all(1900);
    for (unsigned i = 0; i < LINKS && rung() < WEIR_RUNG_COPY; i++) {
        write_some(i, 8000);
        steps(SECOND_US);
    }
    assert_true(simnet_stats(net, 1).rungs[WEIR_RUNG_COPY] > 0);
    steps(SECOND_US);
    s = simnet_stats(net, 1);
    assert_true(s.slices_copied >= 100);
    assert_true(pinned >= LINKS);
    finish(LINKS);
}

/* Also those of connections that are over and whose last bytes nobody has read yet. */
static void slices_of_the_closed_leave_as_well(void **state)
{
    (void)state;
    open_net(0);
    join_all(LINKS);
    for (unsigned i = 0; i < 4; i++) {
        write_some(i, 100);
        steps(SECOND_US);
        assert_int_equal(weir_shutdown(a[i].w, a[i].id), 0);
        steps(SECOND_US);
        assert_int_equal(weir_shutdown(b[i].w, b[i].id), 0);
    }
    steps(SECOND_US);
    assert_int_equal(simend_info(&b[0]).state, WEIR_TCP_CLOSED);
    assert_int_equal(simend_info(&b[0]).readable_bytes, 100);
    take_all(1900);
    for (unsigned i = 4; i < LINKS && rung() < WEIR_RUNG_COPY; i++) {
        write_some(i, 5 * 1448);
        steps(SECOND_US);
    }
    assert_true(rung() >= WEIR_RUNG_COPY);
    steps(SECOND_US);
    assert_true(simnet_stats(net, 1).slices_copied >= 100);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(read_piece(i));
        assert_int_equal(b[i].in.done, 100);
        simend_close(&a[i]);
        simend_close(&b[i]);
        b[i].id = 0;
    }
    finish(LINKS);
}

/* The application has all it may, and the rest is unread. */
static void to_the_bottom(unsigned links)
{
    take_all(1900);
    take_all(4000);
    for (unsigned round = 0; round < 40 && rung() < WEIR_RUNG_REFUSE; round++)
        for (unsigned i = 0; i < links; i++) {
            write_some(i, 1448);
            steps(50000);
        }
    assert_int_equal(rung(), WEIR_RUNG_REFUSE);
}

static void new_connections_are_refused_until_memory_is_back(void **state)
{
    (void)state;
    struct weir_addr to;
    open_net(0);
    join_all(LINKS);
    to_the_bottom(LINKS);
    simnet_addr(&to, 1, SIMNET_PORT);
    weir_id late;
    assert_int_equal(weir_connect(net->w[0], &to, NULL, &late), 0);
    steps(2 * SECOND_US);
    struct weir_conn_info info;
    assert_int_equal(weir_info(net->w[0], late, &info), 0);
    assert_int_equal(info.state, WEIR_TCP_SYN_SENT);
    assert_true(simnet_stats(net, 1).drops[WEIR_DROP_TCP_REFUSED] > 0);
    /* Connections that are open are not touched. */
    assert_int_equal(simnet_stats(net, 1).resets_sent, 0);
    give_all();
    read_all(LINKS);
    steps(MINUTE); /* the SYN comes again */
    assert_int_equal(weir_info(net->w[0], late, &info), 0);
    assert_int_equal(info.state, WEIR_TCP_ESTABLISHED);
    weir_id other;
    assert_int_equal(weir_accept(net->w[1], net->listener[1], &other, NULL), 0);
    assert_int_equal(weir_close(net->w[1], other, WEIR_CLOSE_GRACEFUL), 0);
    assert_int_equal(weir_close(net->w[0], late, WEIR_CLOSE_GRACEFUL), 0);
    finish(LINKS);
}

/* Told on the way down and up, each rung at most once a way; every rung that was passed is counted. */
static void events_tell_the_way(void **state)
{
    (void)state;
    open_net(0);
    join_all(LINKS);
    to_the_bottom(LINKS);
    assert_true(n_heard >= 1);
    for (unsigned i = 1; i < n_heard; i++)
        assert_int_not_equal(heard[i], heard[i - 1]);
    assert_int_equal(heard[n_heard - 1], WEIR_RUNG_REFUSE);
    for (unsigned r = WEIR_RUNG_WINDOWS; r < WEIR_RUNGS; r++)
        assert_true(simnet_stats(net, 1).rungs[r] >= 1);
    unsigned down = n_heard;
    give_all();
    read_all(LINKS);
    steps(SECOND_US);
    assert_true(n_heard > down);
    assert_int_equal(heard[n_heard - 1], WEIR_RUNG_NONE);
    finish(LINKS);
}

/* ---- rounds ---- */

/* Side 1 alone goes on: its peer is not heard. Until a time, or until it would sleep without end; how often it
 * was awake. */
static unsigned alone_until(uint64_t until)
{
    unsigned polls = 0;
    int64_t next;
    while (weir_next(net->w[1], &next) >= 0 && next <= (int64_t)until) {
        struct weir_event ev[SIMNET_EVENTS];
        if (next > (int64_t)net->sim.now_us) net->sim.now_us = (uint64_t)next;
        (void)weir_poll(net->w[1], ev, SIMNET_EVENTS, 0);
        if (++polls > 10000) fail_msg("it does not sleep");
    }
    net->sim.now_us = until;
    return polls;
}

/* Down to COPY, and as far away from the rungs beside it as the next small takes reach. */
static void to_copy(unsigned links)
{
    take_all(1900);
    take_all(4000);
    for (unsigned round = 0; round < 40 && rung() < WEIR_RUNG_COPY; round++)
        for (unsigned i = 1; i < links && rung() < WEIR_RUNG_COPY; i++) {
            write_some(i, 1448);
            steps(50000);
        }
    assert_int_equal(rung(), WEIR_RUNG_COPY);
}

/* A slice whose segment the application still has stays; once it has let go nobody need come by for it to be
 * moved: the instance wakes, once, and sleeps on until its retransmission is due. */
static void a_sleeper_wakes_for_slices_that_came_free(void **state)
{
    (void)state;
    open_net(0);
    join_all(LINKS);
    uint8_t *large = weir_zalloc(net->w[1], 4000);
    assert_non_null(large);
    simflow_fill(&b[0].out, 0, large, 100);
    to_copy(LINKS);
    steps(5 * (uint64_t)SECOND_US);
    assert_int_equal(weir_write(b[0].w, b[0].id, large, 100), 100);
    uint64_t from = net->sim.now_us, copied = simnet_stats(net, 1).slices_copied;
    (void)alone_until(from + 20000);
    assert_int_equal(simnet_stats(net, 1).slices_copied, copied);
    assert_int_equal(weir_zfree(net->w[1], large), 0);
    (void)alone_until(from + 150000);
    assert_int_equal(simnet_stats(net, 1).slices_copied, copied + 100);
    assert_int_equal(simnet_stats(net, 1).retransmits, 0);
    assert_int_equal(alone_until(from + 190000), 0);
    a[0].in.total = 100;
    a[0].ready |= WEIR_EV_READ;
    steps(SECOND_US);
    simend_pump(&a[0]);
    assert_int_equal(a[0].in.done, 100);
    finish(LINKS);
}

/* Short of memory for an hour in which nothing happens: nothing to wake for but the neighbour, which ages. */
static void nothing_to_move_is_no_reason_to_wake(void **state)
{
    (void)state;
    open_net(0);
    join_all(LINKS);
    to_copy(LINKS);
    steps(5 * (uint64_t)SECOND_US);
    assert_int_equal(rung(), WEIR_RUNG_COPY);
    (void)alone_until(net->sim.now_us + SECOND_US);
    assert_in_range(alone_until(net->sim.now_us + 60 * MINUTE), 0, 2);
    finish(LINKS);
}

/* So many cells that a round takes longer than the rest between two: it ends all the same, and the rest is as
 * long as it was. */
static void a_long_round_ends_and_rests(void **state)
{
    (void)state;
    enum { CELLS = 16384, PASSES = CELLS / 64 };
    struct simnet_conf c = simnet_defaults();
    c.stack[1].conns = CELLS;
    c.stack[1].pbufs = c.stack[1].txrecs = 2 * CELLS;
    net = simnet_open(&c);
    struct weir_tcp *t = &net->w[1]->tcp;
    memset(t->conn, 0, CELLS * sizeof *t->conn);
    t->fresh_conn = CELLS;
    t->mem.press.rung = WEIR_RUNG_COPY;
    uint32_t from = t->now_ms, when;
    for (unsigned i = 0; i < PASSES; i++, t->now_ms++) {
        t->ladder.let_go++;
        assert_int_equal(weir_tcp_ladder_pass(t), i < PASSES - 1);
    }
    assert_true(weir_tcp_ladder_next(t, &when));
    assert_int_equal(when - from, 2 * (PASSES - 1));
    for (; t->now_ms != when; t->now_ms++)
        assert_false(weir_tcp_ladder_pass(t));
    for (unsigned i = 0; i < PASSES; i++)
        assert_int_equal(weir_tcp_ladder_pass(t), i < PASSES - 1);
    assert_false(weir_tcp_ladder_next(t, &when)); /* nothing has happened since that round began */
    t->ladder.let_go++;
    assert_true(weir_tcp_ladder_next(t, &when));
    assert_int_equal(when - t->now_ms, 64);
    t->mem.press.rung = WEIR_RUNG_NONE;
    while (weir_tcp_ladder_pass(t)) {
    }
    t->fresh_conn = 0;
    simnet_close(net, NULL);
}

/* ---- the last resort ---- */

static unsigned reset_among(unsigned k, unsigned *which)
{
    unsigned n = 0;
    for (unsigned i = 0; i < k; i++) {
        if (b[i].id == 0 || simend_info(&b[i]).state != WEIR_TCP_CLOSED) continue;
        assert_int_equal(simend_info(&b[i]).error, WEIR_ENOMEM);
        *which = i;
        n++;
    }
    return n;
}

static void nobody_is_reset_unless_asked(void **state)
{
    (void)state;
    open_net(0);
    join_all(LINKS);
    to_the_bottom(LINKS);
    steps(30 * MINUTE);
    unsigned which = 0;
    assert_int_equal(reset_among(LINKS, &which), 0);
    assert_int_equal(simnet_stats(net, 1).ladder_resets, 0);
    finish(LINKS);
}

static unsigned await_reset(void)
{
    uint64_t from = net->sim.now_us;
    unsigned which = 99;
    while (reset_among(LINKS, &which) == 0) {
        assert_in_range(net->sim.now_us - from, 0, 2 * RESET_S * (uint64_t)SECOND_US);
        steps(100000);
    }
    assert_in_range(net->sim.now_us - from, (RESET_S - 2) * (uint64_t)SECOND_US,
                    (RESET_S + 1) * (uint64_t)SECOND_US);
    return which;
}

static void remove_link(unsigned i)
{
    (void)weir_close(b[i].w, b[i].id, WEIR_CLOSE_ABORT);
    (void)weir_close(a[i].w, a[i].id, WEIR_CLOSE_ABORT);
    simend_leave(&a[i]);
    simend_leave(&b[i]);
    b[i].id = 0;
}

static void the_stuck_one_that_pins_most_is_reset(void **state)
{
    (void)state;
    open_net(RESET_S * 1000);
    join_all(LINKS);
    write_some(3, 6000);
    steps(SECOND_US);
    to_the_bottom(LINKS);
    uint64_t most = 0;
    for (unsigned i = 0; i < LINKS; i++)
        most = simend_info(&b[i]).readable_bytes > most ? simend_info(&b[i]).readable_bytes : most;
    assert_int_equal(simend_info(&b[3]).readable_bytes, most);
    assert_int_equal(await_reset(), 3);
    assert_int_equal(simnet_stats(net, 1).ladder_resets, 1);
    assert_true(b[3].seen & WEIR_EV_ERROR);
    remove_link(3);
    finish(LINKS);
}

/* What counts is memory, on the send side as well: not the 4,900 bytes that lie in a segment that others use, too, but
 * the 4,400 that have four to themselves. */
static void what_counts_is_memory(void **state)
{
    static const struct weir_opts deaf = {.nodelay = 1, .rcvbuf_bytes = 2048};
    (void)state;
    open_net(RESET_S * 1000);
    join_all(LINKS - 2);
    uint8_t bytes[4900] = {0}, *z;
    for (unsigned i = LINKS - 2; i < LINKS; i++) {
        simnet_join(net, 0, &deaf, &a[i], &b[i]);
        assert_int_equal(weir_write(b[i].w, b[i].id, bytes, 2048), 2048);
        steps(SECOND_US);
        assert_int_equal(simend_info(&b[i]).snd_wnd, 0);
    }
    for (unsigned k = 0; k < 4; k++) {
        assert_non_null(z = weir_zalloc(net->w[1], 1900));
        assert_int_equal(weir_write(b[LINKS - 2].w, b[LINKS - 2].id, z, 1100), 1100);
        assert_int_equal(weir_zfree(net->w[1], z), 0);
    }
    assert_int_equal(weir_write(b[LINKS - 1].w, b[LINKS - 1].id, bytes, 4900), 4900);
    to_the_bottom(LINKS - 2);
    assert_int_equal(await_reset(), LINKS - 2);
    remove_link(LINKS - 2);
    remove_link(LINKS - 1);
    finish(LINKS - 2);
}

/* While something moves on a connection it is not the one, whatever it pins; and while memory comes back by
 * itself nobody is. */
static void who_moves_is_spared(void **state)
{
    (void)state;
    open_net(RESET_S * 1000);
    join_all(LINKS);
    write_some(3, 6000);
    steps(SECOND_US);
    to_the_bottom(LINKS);
    uint64_t until = net->sim.now_us + 3 * RESET_S * (uint64_t)SECOND_US;
    unsigned which = 99;
    while (net->sim.now_us < until && reset_among(LINKS, &which) == 0) {
        uint8_t byte[4];
        assert_true(weir_recv(b[3].w, b[3].id, byte, 1) == 1);
        b[3].in.done++;
        steps(500000);
    }
    assert_int_not_equal(which, 99);
    assert_int_not_equal(which, 3);
    remove_link(which);
    finish(LINKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_cut_and_opened_again),
        cmocka_unit_test(slices_leave_large_segments),
        cmocka_unit_test(slices_of_the_closed_leave_as_well),
        cmocka_unit_test(new_connections_are_refused_until_memory_is_back),
        cmocka_unit_test(events_tell_the_way),
        cmocka_unit_test(a_sleeper_wakes_for_slices_that_came_free),
        cmocka_unit_test(nothing_to_move_is_no_reason_to_wake),
        cmocka_unit_test(a_long_round_ends_and_rests),
        cmocka_unit_test(nobody_is_reset_unless_asked),
        cmocka_unit_test(the_stuck_one_that_pins_most_is_reset),
        cmocka_unit_test(what_counts_is_memory),
        cmocka_unit_test(who_moves_is_spared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
