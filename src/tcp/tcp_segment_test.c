/* tcp_segment_test.c: the arithmetic of the receive window, how large segments may be, and what a built
 * segment says. */
#include "tcp/tcp_fixture.h"

/* ---- the window that is told ---- */

static uint32_t buffer_end(const struct weir_conn *c)
{
    uint32_t held = c->rq.bytes + c->lent;
    return c->rcv_nxt + (c->rcvbuf > held ? c->rcvbuf - held : 0);
}

/* A connection whose receive queue is only numbers: bytes arrive and are consumed without buffers. */
static struct weir_conn *receiver(uint32_t rcvbuf)
{
    struct weir_conn *c = fx_conn(1000);
    c->rcvbuf = rcvbuf;
    weir_tcp_begin(&fx.t, c, FX_ISS, FX_IRS);
    c->rcv_adv = c->rcv_nxt + weir_min_u32(rcvbuf, 65535); /* what the SYN said */
    return c;
}

static void arrive(struct weir_conn *c, uint32_t n)
{
    c->rcv_nxt += n;
    c->rq.bytes += n;
}

static void let_go(struct weir_conn *c)
{
    c->rq.bytes = c->lent = 0;
    weir_conn_free(&fx.t, c);
}

static void window_follows_the_buffer(void **state)
{
    (void)state;
    struct weir_conn *c = receiver(10000);
    assert_int_equal(weir_tcp_window(&fx.t, c), 10000);
    arrive(c, 4000);
    assert_int_equal(weir_tcp_window(&fx.t, c), 6000);
    c->rq.bytes -= 999; /* less than a segment: not worth telling */
    assert_int_equal(weir_tcp_window(&fx.t, c), 6000);
    c->rq.bytes -= 1;
    assert_int_equal(weir_tcp_window(&fx.t, c), 7000);
    c->rq.bytes -= 2000;
    c->lent += 2000; /* lent bytes are held all the same */
    assert_int_equal(weir_tcp_window(&fx.t, c), 7000);
    c->lent = 0;
    assert_int_equal(weir_tcp_window(&fx.t, c), 9000);
    arrive(c, 9000);
    assert_int_equal(weir_tcp_window(&fx.t, c), 0);
    assert_int_equal(fx.t.stats->window_shut, 1);
    assert_int_equal(weir_tcp_window(&fx.t, c), 0);
    assert_int_equal(fx.t.stats->window_shut, 1); /* counted when it shuts, not when it is told */
    c->rq.bytes = 0;
    assert_int_equal(weir_tcp_window(&fx.t, c), 10000);
    assert_int_equal(c->flags & WEIR_C_SHUT, 0);
    c->rcvbuf = 5000; /* what was promised stands */
    assert_int_equal(weir_tcp_window(&fx.t, c), 10000);
    let_go(c);
}

/* A small buffer moves by halves of itself. */
static void opens_by_worthwhile_steps(void **state)
{
    static const struct {
        uint32_t rcvbuf, told_from, opened_from;
    } table[] = {{32768, 1000, 2000}, {2048, 1000, 1024}, {1500, 750, 750}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct weir_conn *c = receiver(table[i].rcvbuf);
        arrive(c, table[i].rcvbuf);
        assert_int_equal(weir_tcp_window(&fx.t, c), 0);
        assert_false(weir_tcp_window_opened(&fx.t, c));
        c->rq.bytes = table[i].rcvbuf - table[i].told_from + 1;
        assert_int_equal(weir_tcp_window(&fx.t, c), 0);
        c->rq.bytes = table[i].rcvbuf - table[i].opened_from + 1;
        assert_false(weir_tcp_window_opened(&fx.t, c));
        c->rq.bytes--;
        assert_true(weir_tcp_window_opened(&fx.t, c));
        assert_int_equal(weir_tcp_window(&fx.t, c), table[i].opened_from);
        assert_false(weir_tcp_window_opened(&fx.t, c)); /* told */
        let_go(c);
    }
}

static void scale_covers_the_buffer(void **state)
{
    static const struct {
        uint32_t rcvbuf;
        uint8_t scale;
    } table[] = {{2048, 0},   {65535, 0},    {65536, 1},      {131070, 1},
                 {131071, 2}, {1u << 20, 5}, {0x3fffffff, 14}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct weir_conn *c = receiver(table[i].rcvbuf);
        assert_int_equal(c->rcv_wscale, table[i].scale);
        let_go(c);
    }
}

/* One byte a segment against a scaled window and a reader that never reads: the window must shut when the
 * buffer is full, or a peer could fill all memory by small segments. */
static void small_segments_fill_the_buffer_and_no_more(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 1500; n += n < 70 ? 1 : 143) {
        struct weir_conn *c = receiver(200000);
        uint32_t unit = 1u << c->rcv_wscale, wnd = 0;
        assert_true(unit > 1);
        while ((wnd = (uint32_t)weir_tcp_window(&fx.t, c) << c->rcv_wscale) > 0) {
            arrive(c, weir_min_u32(n, wnd));
            assert_true(c->rq.bytes <= 200000);
        }
        assert_true(c->rq.bytes > 200000 - 2 * unit);
        let_go(c);
    }
}

static void one_window_step(struct weir_sim *sim, struct weir_conn *c, uint32_t unit)
{
    uint32_t adv = c->rcv_adv, room = adv - c->rcv_nxt, mss = FX_MSS;
    uint32_t most = test_below(sim, 4) ? weir_min_u32(room, 3 * mss) : room;
    if (test_below(sim, 3))
        arrive(c, most ? test_below(sim, most + 1) : 0);
    else if (test_below(sim, 2))
        c->rq.bytes -= test_below(sim, c->rq.bytes + 1);
    else
        c->rq.bytes = 0;
    if (test_below(sim, 4) == 0) return; /* not every change is told */
    bool opened = weir_tcp_window_opened(&fx.t, c);
    uint32_t told = c->rcv_nxt + ((uint32_t)weir_tcp_window(&fx.t, c) << c->rcv_wscale);
    assert_false(weir_seq_lt(c->rcv_adv, adv));           /* what was promised once is taken */
    assert_true(!opened || weir_seq_lt(adv, told));       /* an update says something */
    assert_false(weir_seq_lt(c->rcv_adv, told));          /* and what is told is promised */
    assert_true(c->rcv_adv - told < unit);                /* but for less than one unit, by rounding */
    assert_false(weir_seq_lt(buffer_end(c), c->rcv_adv)); /* and there is room for all of it */
}

/* Over random arrivals and reads, at every scale. */
static void right_edge_never_moves_left(void **state)
{
    struct weir_sim sim = test_seed("right_edge_never_moves_left");
    (void)state;
    for (unsigned scale = 0; scale <= 14; scale++)
        for (unsigned run = 0; run < 20; run++) {
            uint32_t least = scale ? (65535u << (scale - 1)) + 1 : 2048;
            uint32_t most = scale < 14 ? 65535u << scale : 0x3fffffff;
            struct weir_conn *c = receiver(least + test_below(&sim, most - least + 1));
            assert_int_equal(c->rcv_wscale, scale);
            for (unsigned i = 0; i < 400; i++)
                one_window_step(&sim, c, 1u << scale);
            let_go(c);
        }
}

/* ---- how large segments may be ---- */

static void largest_segment(void **state)
{
    struct weir_netdev_caps *caps = &g.d[FX_IFC].dev.caps;
    static const uint32_t frames[] = {590, 1514, 9014, 65549, 0xffffffff};
    struct weir_conn *c = fx_conn(1000);
    (void)state;
    for (uint32_t mss = 64; mss <= 1460; mss++)
        for (unsigned ts = 0; ts < 2; ts++) {
            uint32_t eff = mss - 12 * ts;
            c->mss = (uint16_t)mss;
            c->flags = ts ? WEIR_C_TS : 0;
            assert_int_equal(weir_tcp_eff_mss(c), eff);
            caps->offloads = WEIR_OFF_TX_CSUM;
            assert_int_equal(weir_tcp_segment_max(&fx.t, c), eff);
            caps->offloads |= WEIR_OFF_TX_TSO4;
            for (unsigned i = 0; i < 5; i++) {
                caps->max_frame = frames[i];
                uint32_t most = weir_tcp_segment_max(&fx.t, c), l3 = weir_min_u32(frames[i] - 14, 65535);
                assert_int_equal(most % eff, 0);
                if (most == eff) continue;
                assert_true(most + 80 <= l3);
                assert_true(most + eff + 80 > l3); /* no whole segment more would fit */
            }
            caps->max_frame = 65549;
            assert_int_equal(weir_tcp_segment_max(&fx.t, c), (65535 - 80) / eff * eff);
        }
}

/* What a peer may not ask for does no harm: 12 bytes of options leave something in any case. */
static void tiny_mss_is_lifted(void **state)
{
    (void)state;
    struct weir_conn *c = fx_conn(1000);
    c->flags |= WEIR_C_TS;
    for (uint16_t mss = 0; mss <= 64; mss++) {
        c->mss = mss;
        assert_int_equal(weir_tcp_eff_mss(c), 52);
    }
    assert_int_equal(weir_tcp_mss_for(&fx.t, c, 0), 64);
    assert_int_equal(weir_tcp_mss_for(&fx.t, c, 536), 536);
    assert_int_equal(weir_tcp_mss_for(&fx.t, c, 65535), 1460);
}

/* ---- built segments ---- */

static void segment_says_what_the_connection_knows(void **state)
{
    struct weir_tcphdr h;
    (void)state;
    struct weir_conn *c = fx_established(1000);
    c->flags |= WEIR_C_TS | WEIR_C_ACK_NOW | WEIR_C_ACK_LATER;
    c->ts_recent = 4711;
    c->unacked = 99;
    fx_queue(c, 500);
    uint32_t n = 300;
    assert_int_equal(weir_tcp_segment(&fx.t, c, c->tx.una, &n, WEIR_TCP_ACK | WEIR_TCP_PSH), WEIR_SEND_OK);
    assert_int_equal(n, 300);
    fx_expect(c, 0, FX_ISS + 1, 300);
    (void)fx_segment(0, &h, NULL);
    assert_int_equal(h.sport, 80);
    assert_int_equal(h.dport, 1000);
    assert_int_equal(h.flags, WEIR_TCP_ACK | WEIR_TCP_PSH);
    assert_int_equal(h.ack, c->rcv_nxt);
    assert_int_equal(h.wnd, 32768);
    assert_int_equal(h.opts, WEIR_TCPOPT_TS);
    assert_int_equal(h.tsval, fx.t.now_ms + c->ts_offset);
    assert_int_equal(h.tsecr, 4711);
    assert_int_equal(c->flags & (WEIR_C_ACK_NOW | WEIR_C_ACK_LATER), 0);
    assert_int_equal(c->unacked, 0);
    assert_int_equal(c->last_ack_sent, c->rcv_nxt);
    assert_int_equal(fx.t.stats->tx_segments, 1);
    assert_int_equal(fx.t.stats->tx_acks, 0);
}

static void syn_offers_and_answers(void **state)
{
    struct weir_tcphdr h;
    uint32_t none = 0;
    (void)state;
    struct weir_conn *c = receiver(1u << 20);
    c->rcv_adv = c->rcv_nxt;
    assert_int_equal(weir_tcp_segment(&fx.t, c, c->iss, &none, WEIR_TCP_SYN), WEIR_SEND_OK);
    (void)fx_segment(0, &h, NULL);
    assert_int_equal(h.opts, WEIR_TCPOPT_MSS | WEIR_TCPOPT_WSCALE | WEIR_TCPOPT_TS);
    assert_int_equal(h.mss, 1460);
    assert_int_equal(h.wscale, 5);
    assert_int_equal(h.wnd, 65535); /* not scaled */
    assert_int_equal(h.ack, 0);
    assert_int_equal(h.tsecr, 0);
    assert_int_equal(c->rcv_adv - c->rcv_nxt, 65535);
    for (unsigned offered = 0; offered < 8; offered++) { /* an answer has only what the peer offered */
        c->syn_opts = (uint8_t)offered;
        (void)weir_tcp_segment(&fx.t, c, c->iss, &none, WEIR_TCP_SYN | WEIR_TCP_ACK);
        (void)fx_segment(0, &h, NULL);
        assert_int_equal(h.opts, WEIR_TCPOPT_MSS | offered);
    }
}

/* Bytes in more pieces than the device takes: whole segments go, and what would follow the cut does not. */
static void few_pieces_cut_the_segment(void **state)
{
    struct weir_tcphdr h;
    (void)state;
    struct weir_conn *c = fx_established(1000);
    g.d[FX_IFC].dev.caps.offloads = WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4;
    g.d[FX_IFC].dev.caps.max_pieces = 3;
    g.d[FX_IFC].dev.caps.max_piece_bytes = 1700;
    fx_queue(c, 4000); /* 1,700 + 1,700 are what two pieces reach */
    uint32_t n = 4000;
    uint8_t flags = WEIR_TCP_ACK | WEIR_TCP_PSH | WEIR_TCP_FIN;
    assert_int_equal(weir_tcp_segment(&fx.t, c, c->tx.una, &n, flags), WEIR_SEND_OK);
    assert_int_equal(n, 3000);
    fx_expect(c, 0, FX_ISS + 1, 3000);
    (void)fx_segment(0, &h, NULL);
    assert_int_equal(h.flags, WEIR_TCP_ACK);
    assert_int_equal(rig_sent(&g.d[FX_IFC], 0)->meta.gso_bytes, 1000);
    n = 900; /* of less than a segment all goes */
    assert_int_equal(weir_tcp_segment(&fx.t, c, c->tx.una, &n, flags), WEIR_SEND_OK);
    assert_int_equal(n, 900);
    (void)fx_segment(0, &h, NULL);
    assert_int_equal(h.flags, flags);
}

/* Nothing is built, and nothing changes, where it can't go. */
static void refusals_change_nothing(void **state)
{
    (void)state;
    struct weir_conn *c = fx_established(1000);
    uint32_t none = 0, live = g.f.z.live;
    c->flags |= WEIR_C_ACK_NOW;
    g.ip.ifc[FX_IFC].up = 0;
    assert_int_equal(weir_tcp_segment(&fx.t, c, c->tx.nxt, &none, WEIR_TCP_ACK), WEIR_SEND_NO_ROUTE);
    g.ip.ifc[FX_IFC].up = 1;
    g.d[FX_IFC].room = 0;
    uint32_t before = fx_sent();
    assert_int_equal(weir_tcp_segment(&fx.t, c, c->tx.nxt, &none, WEIR_TCP_ACK), WEIR_SEND_WAIT_ROOM);
    g.d[FX_IFC].room = 1000;
    static struct weir_zhead *taken[256];
    unsigned n = 0;
    while ((taken[n] = weir_zpool_take(&g.f.z, 1, WEIR_TAKE_CONTROL)) != NULL)
        n++;
    assert_int_equal(weir_tcp_segment(&fx.t, c, c->tx.nxt, &none, WEIR_TCP_ACK), WEIR_SEND_WAIT_HEADER);
    while (n)
        weir_zpool_unref(&g.f.z, taken[--n], WEIR_OWNER_TXWAIT);
    assert_int_equal(fx_sent(), before);
    assert_int_equal(g.f.z.live, live);
    assert_int_not_equal(c->flags & WEIR_C_ACK_NOW, 0);
    assert_int_equal(fx.t.stats->tx_acks, 0);
    assert_int_equal(weir_tcp_segment(&fx.t, c, c->tx.nxt, &none, WEIR_TCP_ACK), WEIR_SEND_OK);
    assert_int_equal(fx_sent(), before + 1);
}

/* RFC 5961 section 7: at most so many a second, whoever provokes them, at least half, and not always as many.
 */
static void challenges_are_limited(void **state)
{
    (void)state;
    struct weir_conn *c = fx_established(1000);
    unsigned sum = 0, most = 0, least = 10;
    for (unsigned second = 0; second < 50; second++) {
        unsigned answered = 0;
        for (unsigned i = 0; i < 25; i++) {
            c->flags &= ~(uint32_t)WEIR_C_ACK_NOW;
            weir_tcp_challenge(&fx.t, c);
            bool now = (c->flags & WEIR_C_ACK_NOW) != 0;
            assert_true(!now || i == answered); /* once refused, refused for the rest of the second */
            answered += now;
        }
        assert_in_range(answered, 5, 10);
        sum += answered;
        most = answered > most ? answered : most;
        least = answered < least ? answered : least;
        assert_int_equal(fx.t.stats->challenge_acks, sum);
        assert_int_equal(rig_drops(WEIR_DROP_RATE), 25 * (second + 1) - sum);
        fx_pass_ms(999);
        weir_tcp_challenge(&fx.t, c);
        assert_int_equal(fx.t.stats->challenge_acks, sum);
        g.f.stats.drops[WEIR_DROP_RATE]--;
        fx_pass_ms(1);
    }
    assert_true(least < most);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(window_follows_the_buffer, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(opens_by_worthwhile_steps, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(scale_covers_the_buffer, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(small_segments_fill_the_buffer_and_no_more, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(right_edge_never_moves_left, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(largest_segment, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(tiny_mss_is_lifted, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(segment_says_what_the_connection_knows, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(syn_offers_and_answers, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(few_pieces_cut_the_segment, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(refusals_change_nothing, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(challenges_are_limited, fx_open, fx_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
