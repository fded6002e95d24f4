/* tcp_output_test.c: a sender against a naive receiver over a network that loses: whatever is written, lost
 * and held back, all of it arrives, nothing goes beyond the window, and no other byte is ever sent. What a
 * connection does when it can't send; the themes of sending are scripts in tests/tcp. */
#include "tcp/tcp_fixture.h"

/* ---- nothing is queued below ---- */

static void no_room_blocks(void **state)
{
    (void)state;
    struct weir_conn *c = fx_established(1000);
    g.d[FX_IFC].room = 0;
    fx_queue(c, 2500);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(c->flags & (WEIR_C_BLOCKED | WEIR_C_DIRTY | WEIR_C_TIMING), WEIR_C_BLOCKED);
    assert_int_equal(c->tx.nxt, FX_ISS + 1);
    assert_int_equal(fx.t.mem.txrecs.used, 0);
    g.d[FX_IFC].room = 1000;
    weir_tcp_unblock(&fx.t);
    assert_int_equal(c->flags & (WEIR_C_BLOCKED | WEIR_C_DIRTY), WEIR_C_DIRTY);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(fx_sent(), 2); /* Nagle holds the rest */
    assert_int_equal(c->flags & (WEIR_C_BLOCKED | WEIR_C_TIMING), WEIR_C_TIMING);
    fx_expect(c, 1, FX_ISS + 1, 1000);
    fx_expect(c, 0, FX_ISS + 1001, 1000);
    fx_check(c);
}

/* A device that has room for one frame at a time: who had it goes behind those that had none. */
static void room_goes_round(void **state)
{
    (void)state;
    struct weir_conn *c[3];
    for (unsigned i = 0; i < 3; i++) {
        c[i] = fx_established((uint16_t)(1000 + i));
        fx_queue(c[i], 5000);
    }
    for (unsigned turn = 0; turn < 9; turn++) {
        (void)fx_sent();
        g.d[FX_IFC].room = 1;
        weir_tcp_unblock(&fx.t);
        weir_tcp_output_all(&fx.t);
        (void)fx_sent();
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(c[i]->tx.nxt - (FX_ISS + 1), 1000 * (turn / 3 + (i <= turn % 3)));
    }
    g.d[FX_IFC].room = 1000;
}

static void no_record_blocks(void **state)
{
    (void)state;
    struct weir_conn *c = fx_established(1000);
    static uint32_t taken[65];
    unsigned n = 0;
    while ((taken[n] = weir_cells_get(&fx.t.mem.txrecs)) != 0)
        n++;
    fx_queue(c, 1000);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(fx_sent(), 0);
    assert_int_equal(c->flags & WEIR_C_BLOCKED, WEIR_C_BLOCKED);
    while (n)
        weir_cells_put(&fx.t.mem.txrecs, taken[--n]);
    weir_tcp_unblock(&fx.t);
    weir_tcp_output_all(&fx.t);
    fx_expect(c, 0, FX_ISS + 1, 1000);
}

/* An acknowledgement that is owed is not forgotten. */
static void blocked_acknowledgement_goes_later(void **state)
{
    struct weir_tcphdr h;
    (void)state;
    struct weir_conn *c = fx_established(1000);
    g.d[FX_IFC].room = 0;
    c->flags |= WEIR_C_ACK_NOW;
    weir_conn_dirty(&fx.t, c);
    weir_tcp_output_all(&fx.t);
    g.d[FX_IFC].room = 1000;
    weir_tcp_unblock(&fx.t);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(fx_sent(), 1);
    assert_int_equal(fx_segment(0, &h, NULL), 0);
    assert_int_equal(h.flags, WEIR_TCP_ACK);
    weir_tcp_output_all(&fx.t);
    weir_conn_dirty(&fx.t, c);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(fx_sent(), 1);
}

/* What does not fit the device's pieces is cut, and the FIN waits for the last byte. */
static void fin_follows_the_last_byte(void **state)
{
    struct weir_tcphdr h;
    uint32_t end = FX_ISS + 1;
    (void)state;
    struct weir_conn *c = fx_established(1000);
    g.d[FX_IFC].dev.caps.offloads = WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4;
    g.d[FX_IFC].dev.caps.max_pieces = 3;
    c->cwnd = 20000;
    fx_queue(c, 9999); /* in zbufs of 4,096 */
    assert_int_equal(weir_tcp_shutdown(&fx.t, c->id), 0);
    weir_tcp_output_all(&fx.t);
    uint32_t n = fx_sent();
    assert_true(n > 1);
    while (n--) {
        uint32_t bytes = fx_segment(n, &h, NULL);
        fx_expect(c, n, end, bytes);
        end += bytes;
        assert_int_equal(h.flags & WEIR_TCP_FIN, n == 0 ? WEIR_TCP_FIN : 0);
    }
    assert_int_equal(end, FX_ISS + 1 + 9999);
    assert_int_equal(c->tx.nxt, end + 1);
    fx_check(c);
}

/* The data is lost, the FIN behind it is out still: it does not go again. */
static void fin_in_flight_stays_there(void **state)
{
    struct weir_tcphdr h;
    (void)state;
    struct weir_conn *c = fx_established(1000);
    fx_queue(c, 1000);
    weir_tcp_output_all(&fx.t);
    fx_pass_ms(1);
    assert_int_equal(weir_tcp_shutdown(&fx.t, c->id), 0);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(fx_sent(), 2);
    assert_int_equal(c->tx.n, 2);
    assert_int_equal(weir_txlist_lose(&c->tx, &fx.t.mem, FX_ISS + 1, FX_ISS + 1001), 1000);
    weir_conn_dirty(&fx.t, c);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(fx_sent(), 3);
    fx_expect(c, 0, FX_ISS + 1, 1000);
    (void)fx_segment(0, &h, NULL);
    assert_int_equal(h.flags & WEIR_TCP_FIN, 0);
    fx_check(c);
}

static void every_dirty_one_is_visited_in_order(void **state)
{
    struct weir_tcphdr h;
    (void)state;
    for (uint16_t i = 0; i < 5; i++)
        fx_queue(fx_established((uint16_t)(1000 + i)), 10);
    weir_tcp_output_all(&fx.t);
    assert_int_equal(fx_sent(), 5);
    for (uint16_t i = 0; i < 5; i++) {
        (void)fx_segment(4u - i, &h, NULL);
        assert_int_equal(h.dport, 1000 + i);
    }
    assert_int_equal(fx.t.dirty_first, 0);
    assert_int_equal(fx.t.dirty_last, 0);
}

/* ---- the naive receiver ---- */

#define STREAM 60000u
#define WINDOW 20000u

static struct peer {
    uint8_t got[STREAM];
    bool fin;
    uint32_t next;  /* offset of the first byte that is missing; STREAM + 1: the FIN is there */
    uint32_t edge;  /* offset beyond which it takes nothing */
    uint32_t heard; /* the largest edge that the sender was told */
    uint32_t seen;  /* segments looked at */
} peer;

static struct weir_conn *flow;

/* A segment that has arrived. */
static void peer_takes(const struct weir_tcphdr *h, uint32_t from, uint32_t n)
{
    for (uint32_t i = from; i < from + n && i < peer.edge; i++)
        peer.got[i] = 1;
    if ((h->flags & WEIR_TCP_FIN) && from + n == STREAM) peer.fin = true;
    while (peer.next < STREAM && peer.got[peer.next])
        peer.next++;
    if (peer.next == STREAM && peer.fin) peer.next++;
}

/* Every segment must be a part of the stream within what the receiver allows, but for the single byte or FIN
 * of a probe. How many have arrived. */
static uint32_t peer_looks(struct weir_sim *sim, uint32_t loss)
{
    uint32_t sent = fx_sent(), arrived = 0;
    assert_true(sent - peer.seen <= RIG_LOG);
    for (; peer.seen < sent; peer.seen++) {
        struct weir_tcphdr h;
        const uint8_t *p;
        uint32_t n = fx_segment(sent - 1 - peer.seen, &h, &p), from = h.seq - (FX_ISS + 1);
        uint32_t fin = (h.flags & WEIR_TCP_FIN) != 0;
        if (n + fin == 0) continue;
        assert_true(from + n <= STREAM);
        assert_true(!fin || from + n == STREAM);
        assert_true(from + n + fin <= peer.heard || n + fin == 1);
        for (uint32_t i = 0; i < n; i++)
            assert_int_equal(p[i], fx_byte(from + i));
        if (test_below(sim, 100) < loss) continue;
        peer_takes(&h, from, n);
        arrived++;
    }
    return arrived;
}

/* The window opens now and then, by any step, and never moves left; whether it did. */
static bool peer_opens(struct weir_sim *sim)
{
    uint32_t open = peer.next + WINDOW;
    if (peer.edge >= open || test_below(sim, 3)) return false;
    peer.edge = test_below(sim, 2) ? open : peer.edge + 1 + test_below(sim, open - peer.edge);
    return true;
}

/* What it has, told to the sender. */
static void peer_acks(struct weir_sim *sim, uint32_t loss)
{
    if (test_below(sim, 100) < loss) return;
    uint32_t taken = weir_min_u32(peer.next, STREAM);
    uint32_t wnd = peer.edge > taken ? peer.edge - taken : 0;
    struct weir_seg s = {.h = {.ack = FX_ISS + 1 + peer.next, .wnd = (uint16_t)wnd, .flags = WEIR_TCP_ACK},
                         .seq = flow->rcv_nxt,
                         .wnd = wnd};
    if (peer.heard < peer.next + wnd) peer.heard = peer.next + wnd;
    (void)weir_tcp_ack_input(&fx.t, flow, &s);
}

static void application_writes(struct weir_sim *sim)
{
    uint32_t written = flow->sq.end - (FX_ISS + 1);
    if (flow->sq.closed) return;
    if (written == STREAM) {
        assert_int_equal(weir_tcp_shutdown(&fx.t, flow->id), 0);
        return;
    }
    ptrdiff_t r = fx_write(flow, 1 + test_below(sim, weir_min_u32(STREAM - written, 5000)));
    assert_true(r > 0 || r == WEIR_EAGAIN || r == WEIR_ENOMEM);
    if (test_below(sim, 8) == 0)
        (void)weir_tcp_set(&fx.t, flow->id, WEIR_OPT_NODELAY, (intptr_t)test_below(sim, 2));
}

/* Some time, or all of it until the next timer. */
static void time_passes(struct weir_sim *sim, bool idle)
{
    uint32_t when;
    fx_pass_ms(test_below(sim, 5));
    if (idle && weir_tcp_next(&fx.t, &when) && weir_seq_lt(fx.t.now_ms, when)) fx_pass_ms(when - fx.t.now_ms);
    weir_tcp_timers(&fx.t, 100);
}

static void transfer(struct weir_sim *sim, uint32_t loss)
{
    memset(&peer, 0, sizeof peer);
    peer.edge = peer.heard = 5000;
    peer.seen = fx_sent();
    flow = fx_established(1000);
    flow->snd_wnd = flow->max_snd_wnd = 5000;
    unsigned steps = 0;
    while (flow->state != WEIR_TCP_FIN_WAIT_2) {
        assert_true(++steps < 20000);
        uint32_t sent = peer.seen;
        if (test_below(sim, 2)) application_writes(sim);
        if (test_below(sim, 16) == 0) g.d[FX_IFC].room = 0; /* the device is full for once */
        weir_tcp_output_all(&fx.t);
        fx_check(flow);
        uint32_t acks =
            peer_looks(sim, loss) + peer_opens(sim); /* silent else: only a probe makes it speak */
        g.d[FX_IFC].room = 1000000;
        weir_tcp_unblock(&fx.t);
        while (acks--)
            peer_acks(sim, loss);
        fx_check(flow);
        time_passes(sim, peer.seen == sent);
        weir_tcp_memory(&fx.t);
        assert_int_not_equal(flow->state, WEIR_TCP_CLOSED);
    }
    assert_int_equal(peer.next, STREAM + 1);
    assert_int_equal(flow->tx.una, FX_ISS + 1 + STREAM + 1);
    assert_int_equal(flow->tx.pipe + flow->tx.lost, 0);
    weir_conn_free(&fx.t, flow);
}

static void everything_arrives(void **state)
{
    static const uint32_t loss[] = {0, 1, 10, 30};
    (void)state;
    fx.conf.data_retries = 32;
    fx.conf.rto_max_us = 1000000;
    struct weir_sim sim = test_seed("everything_arrives");
    for (unsigned run = 0; run < 24; run++) {
        struct weir_netdev_caps *caps = &g.d[FX_IFC].dev.caps;
        caps->offloads = run % 2 ? WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 : 0;
        caps->max_pieces = run % 3 ? WEIR_FRAME_PIECES_MAX : 3;
        transfer(&sim, loss[run / 2 % 4]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_room_blocks, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(room_goes_round, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(no_record_blocks, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(blocked_acknowledgement_goes_later, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(fin_follows_the_last_byte, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(fin_in_flight_stays_there, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(every_dirty_one_is_visited_in_order, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(everything_arrives, fx_open, fx_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
