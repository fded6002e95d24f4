/* timewait_test.c: TIME-WAIT: its bound, its order, its expiry, and any sequence of operations against a
 * naive list. */
#include "tcp/tcp_fixture.h"

#define WAIT_MS 2000u /* 2 MSL of the fixture */

/* A connection whose tuple a number below 2^16 tells. */
static void tuple(struct weir_conn *c, uint32_t number)
{
    *c = (struct weir_conn){.laddr = RIG_OUR_IP2 + (number >> 12),
                            .raddr = RIG_PEER2 + (number >> 8 & 15),
                            .lport = (uint16_t)(80 + (number >> 4 & 15)),
                            .rport = (uint16_t)(1000 + (number & 15))};
}

static void add(uint32_t number)
{
    struct weir_conn c;
    tuple(&c, number);
    weir_tw_add(&fx.t, &c);
}

static struct weir_tw *find(uint32_t number)
{
    struct weir_conn c;
    tuple(&c, number);
    return weir_tw_lookup(&fx.t, c.laddr, c.lport, c.raddr, c.rport);
}

static void keeps_what_its_answers_need(void **state)
{
    (void)state;
    struct weir_conn *c = fx_established(1000);
    c->flags |= WEIR_C_TS;
    c->ts_recent = 11;
    c->ts_offset = 22;
    c->rcv_wscale = 3;
    c->rcv_adv = c->rcv_nxt + 4711;
    weir_tw_add(&fx.t, c);
    struct weir_tw *w = weir_tw_lookup(&fx.t, c->laddr, c->lport, c->raddr, c->rport);
    assert_non_null(w);
    assert_int_equal(w->snd_nxt, c->tx.nxt);
    assert_int_equal(w->rcv_nxt, c->rcv_nxt);
    assert_int_equal(w->ts, 1);
    assert_int_equal(w->ts_recent, 11);
    assert_int_equal(w->ts_offset, 22);
    assert_int_equal(w->rcv_wscale, 3);
    assert_int_equal(w->rcv_wnd, 4711);
    assert_int_equal(w->next_hop, c->next_hop);
    assert_int_equal(w->ifc, FX_IFC);
    assert_int_equal(w->expire_ms, fx.t.now_ms + WAIT_MS);
}

static void each_part_of_the_tuple_counts(void **state)
{
    (void)state;
    assert_null(find(0x1111));
    add(0x1111);
    assert_non_null(find(0x1111));
    assert_null(find(0x1110));
    assert_null(find(0x1101));
    assert_null(find(0x1011));
    assert_null(find(0x0111));
}

static void oldest_makes_room(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++)
        add(i);
    assert_int_equal(fx.t.tw_live, 8);
    weir_tw_restart(&fx.t, find(0)); /* it heard a FIN again: 1 is the oldest now */
    add(8);
    assert_int_equal(fx.t.tw_live, 8);
    assert_null(find(1));
    assert_non_null(find(0));
    add(9);
    assert_null(find(2));
    weir_tw_drop(&fx.t, find(5));
    assert_null(find(5));
    add(10); /* in the place of 5 */
    assert_non_null(find(3));
    assert_int_equal(fx.t.tw_live, 8);
}

static void expires_in_order_and_not_early(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        add(i);
        fx_pass_ms(100);
    }
    fx_pass_ms(WAIT_MS - 401); /* a millisecond before the first */
    weir_tw_expire(&fx.t, 100);
    assert_int_equal(fx.t.tw_live, 4);
    fx_pass_ms(1);
    weir_tw_expire(&fx.t, 100);
    assert_null(find(0));
    assert_int_equal(fx.t.tw_live, 3);
    weir_tw_restart(&fx.t, find(1));
    fx_pass_ms(300); /* past 1, 2 and 3 as they were */
    weir_tw_expire(&fx.t, 0);
    assert_int_equal(fx.t.tw_live, 3);
    weir_tw_expire(&fx.t, 1);
    assert_null(find(2));
    assert_non_null(find(3));
    weir_tw_expire(&fx.t, 100);
    assert_null(find(3));
    assert_non_null(find(1));
    fx_pass_ms(WAIT_MS - 300);
    weir_tw_expire(&fx.t, 100);
    assert_int_equal(fx.t.tw_live, 0);
    assert_int_equal(fx.t.tw_first, 0);
    assert_int_equal(fx.t.tw_last, 0);
}

static void no_table_keeps_nothing(void **state)
{
    struct weir_config conf = fx_config();
    (void)state;
    conf.timewait = 0;
    fx_reopen(&conf);
    add(1);
    assert_null(find(1));
    weir_tw_expire(&fx.t, 100);
    uint32_t when;
    assert_false(weir_tcp_next(&fx.t, &when));
}

static void table_of_one(void **state)
{
    struct weir_config conf = fx_config();
    (void)state;
    conf.timewait = 1;
    fx_reopen(&conf);
    for (uint32_t i = 0; i < 10; i++) {
        add(i);
        assert_non_null(find(i));
        if (i) assert_null(find(i - 1));
        assert_int_equal(fx.t.tw_live, 1);
    }
    weir_tw_restart(&fx.t, find(9));
    assert_non_null(find(9));
}

/* ---- against a naive list, oldest first ---- */

#define BOUND 13u

static struct model {
    uint32_t number[BOUND], expire_ms[BOUND];
    uint32_t n;
} m;

static void model_drop(uint32_t i)
{
    for (m.n--; i < m.n; i++) {
        m.number[i] = m.number[i + 1];
        m.expire_ms[i] = m.expire_ms[i + 1];
    }
}

static void model_append(uint32_t number)
{
    m.number[m.n] = number;
    m.expire_ms[m.n++] = fx.t.now_ms + WAIT_MS;
}

static bool model_has(uint32_t number)
{
    for (uint32_t i = 0; i < m.n; i++)
        if (m.number[i] == number) return true;
    return false;
}

static void model_expire(uint32_t budget)
{
    while (budget-- && m.n && (int32_t)(fx.t.now_ms - m.expire_ms[0]) >= 0)
        model_drop(0);
}

static void same_as_model(void)
{
    uint32_t prev = 0, at = fx.t.tw_first;
    assert_int_equal(fx.t.tw_live, m.n);
    for (uint32_t i = 0; i < m.n; i++) {
        assert_int_not_equal(at, 0);
        struct weir_tw *w = &fx.t.tw[at - 1];
        assert_int_equal(w->used, 1);
        assert_int_equal(w->prev, prev);
        assert_int_equal(w->expire_ms, m.expire_ms[i]);
        assert_ptr_equal(find(m.number[i]), w);
        prev = at;
        at = w->next;
    }
    assert_int_equal(at, 0);
    assert_int_equal(fx.t.tw_last, prev);
}

static void step(struct weir_sim *sim)
{
    uint32_t number = test_below(sim, 64) * 0x0413 & 0xffff, i = m.n ? test_below(sim, m.n) : 0, budget;
    switch (test_below(sim, 8)) {
    case 0:
        if (!m.n) break;
        weir_tw_drop(&fx.t, find(m.number[i]));
        model_drop(i);
        break;
    case 1:
        if (!m.n) break;
        number = m.number[i];
        weir_tw_restart(&fx.t, find(number));
        model_drop(i);
        model_append(number);
        break;
    case 2:
        fx_pass_ms(test_below(sim, 1000));
        break;
    case 3:
        budget = test_below(sim, 4);
        weir_tw_expire(&fx.t, budget);
        model_expire(budget);
        break;
    default:
        assert_int_equal(find(number) != NULL, model_has(number));
        if (model_has(number)) break;
        if (m.n == BOUND) model_drop(0);
        add(number);
        model_append(number);
    }
}

static void any_operations(void **state)
{
    struct weir_config conf = fx_config();
    (void)state;
    conf.timewait = BOUND;
    fx_reopen(&conf);
    memset(&m, 0, sizeof m);
    struct weir_sim sim = test_seed("any_operations");
    for (unsigned i = 0; i < 20000; i++) {
        step(&sim);
        same_as_model();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_what_its_answers_need, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(each_part_of_the_tuple_counts, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(oldest_makes_room, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(expires_in_order_and_not_early, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(no_table_keeps_nothing, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(table_of_one, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(any_operations, fx_open, fx_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
