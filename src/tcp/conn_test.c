/* conn_test.c: the table of connections: ids, the hash over addresses, and the lists threaded through it. */
#include "tcp/tcp_fixture.h"

static uint32_t gen_of(weir_id id)
{
    return id >> WEIR_ID_INDEX_BITS & WEIR_ID_GEN_MASK;
}

/* ---- ids ---- */

static void fresh_connection_has_defaults(void **state)
{
    (void)state;
    struct weir_conn *c = weir_conn_new(&fx.t);
    assert_int_equal(c->state, WEIR_TCP_CLOSED);
    assert_int_equal(c->rto_us, 1000000);
    assert_int_equal(c->mss, WEIR_TCP_MSS_DEFAULT);
    assert_int_equal(c->rcvbuf, fx.conf.rcvbuf_bytes);
    assert_int_equal(c->sndbuf, fx.conf.sndbuf_bytes);
    assert_int_equal(c->flags, WEIR_C_ARM_READ | WEIR_C_ARM_WRITE);
    assert_int_equal(c->events, 0);
    assert_ptr_equal(weir_conn_by_id(&fx.t, c->id), c);
    c->flags |= WEIR_C_DETACHED; /* the application has given it up */
    assert_null(weir_conn_by_id(&fx.t, c->id));
}

/* 3 laps of a cell's generations: 1 to 2,047, never 0; what was an id before is stale. */
static void generations(void **state)
{
    (void)state;
    weir_id before = 0;
    for (uint32_t i = 0; i < 3 * WEIR_ID_GEN_MASK; i++) {
        struct weir_conn *c = weir_conn_new(&fx.t);
        assert_ptr_equal(c, fx.t.conn);
        assert_int_not_equal(c->id, 0);
        assert_int_equal(c->id & WEIR_ID_LISTENER, 0);
        assert_int_equal(gen_of(c->id), i % WEIR_ID_GEN_MASK + 1);
        assert_null(weir_conn_by_id(&fx.t, before));
        before = c->id;
        assert_ptr_equal(weir_conn_by_id(&fx.t, before), c);
        c->lport = 0; /* where a free cell keeps its generation */
        weir_conn_free(&fx.t, c);
        assert_null(weir_conn_by_id(&fx.t, before));
    }
}

static void listener_generations(void **state)
{
    (void)state;
    weir_id before = WEIR_ID_LISTENER, id;
    for (uint32_t i = 0; i < 2 * WEIR_ID_GEN_MASK; i++) {
        assert_int_equal(weir_tcp_listen(&fx.t, 0, 80, NULL, &id), 0);
        assert_int_equal(gen_of(id), i % WEIR_ID_GEN_MASK + 1);
        assert_null(weir_listener_by_id(&fx.t, before));
        assert_non_null(weir_listener_by_id(&fx.t, id));
        assert_null(weir_conn_by_id(&fx.t, id));
        assert_int_equal(weir_tcp_close(&fx.t, id, WEIR_CLOSE_GRACEFUL), 0);
        before = id;
    }
}

static void ids_that_never_were(void **state)
{
    (void)state;
    struct weir_conn *c = weir_conn_new(&fx.t);
    assert_null(weir_conn_by_id(&fx.t, 0));
    assert_null(weir_conn_by_id(&fx.t, c->id + 1));                          /* a cell not used yet */
    assert_null(weir_conn_by_id(&fx.t, c->id | 0xfffff));                    /* beyond the table */
    assert_null(weir_conn_by_id(&fx.t, c->id + (1u << WEIR_ID_INDEX_BITS))); /* its next life */
    assert_null(weir_conn_by_id(&fx.t, c->id | WEIR_ID_LISTENER));
    assert_null(weir_listener_by_id(&fx.t, c->id));
    assert_null(weir_listener_by_id(&fx.t, c->id | WEIR_ID_LISTENER));
    assert_null(weir_listener_by_id(&fx.t, UINT32_MAX));
    weir_conn_free(&fx.t, c);
    assert_null(weir_conn_by_id(&fx.t, 0));
}

static void table_full(void **state)
{
    struct weir_conn *c[8];
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        assert_non_null(c[i] = weir_conn_new(&fx.t));
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(c[i]->id, c[k]->id);
    }
    assert_int_equal(fx.t.live, 8);
    assert_null(weir_conn_new(&fx.t));
    weir_conn_free(&fx.t, c[5]);
    weir_conn_free(&fx.t, c[2]);
    assert_ptr_equal(weir_conn_new(&fx.t), c[2]);
    assert_ptr_equal(weir_conn_new(&fx.t), c[5]);
    assert_null(weir_conn_new(&fx.t));
    assert_int_equal(fx.t.live, 8);
}

/* ---- the table of addresses and ports, against a naive map ---- */

#define CELLS 32u

static void tuple(struct weir_conn *c, uint32_t number)
{
    c->laddr = RIG_OUR_IP2 + (number & 3);
    c->raddr = RIG_PEER2 + (number >> 2 & 3);
    c->lport = (uint16_t)(80 + (number >> 4 & 3));
    c->rport = (uint16_t)(1000 + (number >> 6 & 3));
}

static struct weir_conn *lookup(uint32_t number)
{
    struct weir_conn k;
    tuple(&k, number);
    return weir_conn_lookup(&fx.t, k.laddr, k.lport, k.raddr, k.rport);
}

/* The new one takes a tuple that no other has, or none. */
static void map_insert(struct weir_sim *sim, struct weir_conn *map[256])
{
    uint32_t number = test_below(sim, 256);
    struct weir_conn *c = weir_conn_new(&fx.t);
    if (c == NULL) return;
    if (map[number]) {
        weir_conn_free(&fx.t, c); /* never was in the table */
        return;
    }
    tuple(c, number);
    weir_conn_hash(&fx.t, c);
    map[number] = c;
}

/* Leaves the table and dies, at once or in two steps. */
static void map_remove(struct weir_sim *sim, struct weir_conn *map[256])
{
    uint32_t number = test_below(sim, 256);
    struct weir_conn *c = map[number];
    if (c == NULL) return;
    map[number] = NULL;
    if (test_below(sim, 2)) {
        weir_conn_unhash(&fx.t, c);
        assert_null(lookup(number));
        weir_conn_unhash(&fx.t, c); /* nothing happens */
    }
    weir_conn_free(&fx.t, c);
}

static void hash_is_a_map(void **state)
{
    static struct weir_conn *map[256];
    struct weir_config conf = fx_config();
    (void)state;
    memset(map, 0, sizeof map);
    conf.conns = CELLS;
    fx_reopen(&conf);
    struct weir_sim sim = test_seed("hash_is_a_map");
    for (unsigned i = 0; i < 5000; i++) {
        if (test_below(&sim, 2))
            map_insert(&sim, map);
        else
            for (unsigned k = 0; k < 8; k++)
                map_remove(&sim, map);
        for (uint32_t number = 0; number < 256; number++)
            assert_ptr_equal(lookup(number), map[number]);
    }
}

static void listener_lookup_prefers_the_address(void **state)
{
    (void)state;
    weir_id any, own;
    assert_int_equal(weir_tcp_listen(&fx.t, 0, 80, NULL, &any), 0);
    assert_int_equal(weir_tcp_listen(&fx.t, RIG_OUR_IP2, 81, NULL, &own), 0);
    assert_int_equal(weir_listener_lookup(&fx.t, RIG_OUR_IP, 80)->id, any);
    assert_int_equal(weir_listener_lookup(&fx.t, RIG_OUR_IP2, 81)->id, own);
    assert_null(weir_listener_lookup(&fx.t, RIG_OUR_IP, 81));
    assert_null(weir_listener_lookup(&fx.t, RIG_OUR_IP, 82));
    assert_int_equal(weir_tcp_close(&fx.t, any, WEIR_CLOSE_GRACEFUL), 0);
    assert_null(weir_listener_lookup(&fx.t, RIG_OUR_IP, 80));
}

/* ---- lists ---- */

enum list { DIRTY, READY, BLOCKED, MEMWAIT, ACCEPT, LISTS };

static const uint32_t list_flag[LISTS] = {WEIR_C_DIRTY, WEIR_C_READY, WEIR_C_BLOCKED, WEIR_C_MEMWAIT,
                                          WEIR_C_QUEUED};

static void put(struct weir_conn *c, enum list which)
{
    switch (which) {
    case DIRTY:
        weir_conn_dirty(&fx.t, c);
        break;
    case READY:
        weir_conn_event(&fx.t, c, WEIR_EV_SENT);
        break;
    case BLOCKED:
        weir_conn_block(&fx.t, c);
        break;
    case MEMWAIT:
        weir_conn_memwait(&fx.t, c, false);
        break;
    default:
        c->listener = 1;
        c->flags |= WEIR_C_HALF_OPEN;
        fx.t.lis[0].half_open++;
        weir_conn_established(&fx.t, c);
    }
}

static uint32_t next_of(const struct weir_conn *c, enum list which)
{
    const uint32_t next[LISTS] = {c->dirty_next, c->ready_next, c->blocked_next, c->memwait_next,
                                  c->accept_next};
    return next[which];
}

static uint32_t first_of(enum list which)
{
    const uint32_t first[LISTS] = {fx.t.dirty_first, fx.t.ready_first, fx.t.blocked_first, fx.t.memwait_first,
                                   fx.t.lis[0].accept_first};
    return first[which];
}

/* The list is exactly these, in this order (blocked: the other way round), and nobody else has its flag. */
static void list_is(enum list which, struct weir_conn *const want[], unsigned n)
{
    uint32_t at = first_of(which), last = 0, flagged = 0;
    for (unsigned i = 0; i < n; i++) {
        assert_int_not_equal(at, 0);
        struct weir_conn *c = &fx.t.conn[at - 1];
        assert_ptr_equal(c, want[i]);
        assert_int_not_equal(c->id, 0);
        assert_int_not_equal(c->flags & list_flag[which], 0);
        last = at;
        at = next_of(c, which);
    }
    assert_int_equal(at, 0);
    const uint32_t tail[LISTS] = {fx.t.dirty_last, fx.t.ready_last, last, fx.t.memwait_last,
                                  fx.t.lis[0].accept_last};
    assert_int_equal(tail[which], last);
    for (uint32_t i = 0; i < fx.t.fresh_conn; i++)
        flagged += fx.t.conn[i].id && (fx.t.conn[i].flags & list_flag[which]);
    assert_int_equal(flagged, n);
}

static void listen_first(void)
{
    weir_id id;
    assert_int_equal(weir_tcp_listen(&fx.t, 0, 80, NULL, &id), 0);
    assert_ptr_equal(weir_listener_by_id(&fx.t, id), fx.t.lis);
}

/* Of n connections, all on every list, the one at `place` is on the lists of `mask` only, and dies. Events
 * wait until a connection is accepted, so being ready comes first. */
static void dies_on(uint32_t mask, unsigned n, unsigned place)
{
    struct weir_conn *c[5], *left[5];
    unsigned k = 0;
    listen_first();
    for (unsigned i = 0; i < n; i++)
        c[i] = fx_conn((uint16_t)(1000 + i));
    for (enum list which = 0; which < LISTS; which++)
        for (unsigned i = 0; i < n; i++)
            if (i != place || (mask >> which & 1)) put(c[i], which);
    for (unsigned i = 0; i < n; i++)
        if (i != place) left[k++] = c[i];
    weir_conn_free(&fx.t, c[place]);
    for (enum list which = 0; which < LISTS; which++)
        list_is(which, left, k);
    assert_int_equal(fx.t.lis[0].queued, k);
    assert_int_equal(fx.t.lis[0].half_open, 0);

    struct weir_conn *again = fx_conn(2000); /* the next life of the cell begins on no list */
    assert_ptr_equal(again, c[place]);
    for (enum list which = 0; which < LISTS; which++)
        list_is(which, left, k);
    left[k++] = again;
    for (enum list which = 0; which < LISTS; which++) {
        put(again, which); /* the tails are right */
        list_is(which, left, k);
    }
}

static void death_leaves_every_list(void **state)
{
    (void)state;
    for (uint32_t mask = 0; mask < 1u << LISTS; mask++)
        for (unsigned n = 1; n <= 4; n++)
            for (unsigned place = 0; place < n; place++) {
                struct weir_config conf = fx_config();
                for (uint32_t i = 0; i < fx.t.fresh_conn; i++)
                    if (fx.t.conn[i].id) weir_conn_free(&fx.t, &fx.t.conn[i]);
                fx_reopen(&conf);
                dies_on(mask, n, place);
            }
}

static void half_open_death_is_counted(void **state)
{
    (void)state;
    listen_first();
    struct weir_conn *c = fx_conn(1000);
    c->listener = 1;
    c->flags |= WEIR_C_HALF_OPEN;
    fx.t.lis[0].half_open = 1;
    weir_conn_free(&fx.t, c);
    assert_int_equal(fx.t.lis[0].half_open, 0);
    assert_int_equal(fx.t.lis[0].queued, 0);
}

static void twice_is_once(void **state)
{
    (void)state;
    struct weir_conn *c = fx_conn(1000), *d = fx_conn(1001), *both[] = {c, d};
    for (enum list which = 0; which < ACCEPT; which++) {
        put(c, which);
        put(d, which);
        put(c, which);
        list_is(which, both, 2);
    }
}

static void unblock_makes_dirty(void **state)
{
    (void)state;
    struct weir_conn *c[3];
    for (unsigned i = 0; i < 3; i++)
        weir_conn_block(&fx.t, c[i] = fx_conn((uint16_t)(1000 + i)));
    weir_conn_dirty(&fx.t, c[1]);
    weir_tcp_unblock(&fx.t);
    list_is(BLOCKED, c, 0);
    struct weir_conn *order[] = {c[1], c[0], c[2]};
    list_is(DIRTY, order, 3);
}

/* First come, first served, and only while memory is there. */
static void memory_wakes_in_order(void **state)
{
    struct weir_event ev[4];
    struct weir_conn *c[3];
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        c[i] = fx_established((uint16_t)(1000 + i));
        c[i]->flags &= ~(uint32_t)WEIR_C_ARM_WRITE;
        weir_conn_memwait(&fx.t, c[i], false);
    }
    uint32_t used = fx.t.mem.pbufs.used;
    fx.t.mem.pbufs.used = fx.t.mem.pbufs.count - fx.t.mem.pbufs.count / 16;
    weir_tcp_memory(&fx.t);
    list_is(MEMWAIT, c, 3);
    fx.t.mem.pbufs.used--;
    weir_tcp_memory(&fx.t);
    fx.t.mem.pbufs.used = used;
    list_is(MEMWAIT, c, 0);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 4), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ev[i].id, c[i]->id);
        assert_int_equal(ev[i].mask, WEIR_EV_WRITE);
    }
}

/* Whose queue has emptied takes the descriptor that is kept for it, whatever the others wait for. */
static void empty_queue_waits_for_nobody(void **state)
{
    struct weir_event ev[4];
    struct weir_conn *c[2];
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        c[i] = fx_established((uint16_t)(1000 + i));
        c[i]->sq.n = 1;
        weir_conn_memwait(&fx.t, c[i], false);
    }
    uint32_t used = fx.t.mem.pbufs.used;
    fx.t.mem.pbufs.used = fx.t.mem.pbufs.count - fx.conf.conns; /* what is left is kept */
    weir_conn_writable(&fx.t, c[0]);
    weir_tcp_memory(&fx.t);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 4), 0);
    c[0]->sq.n = 0;
    weir_conn_writable(&fx.t, c[0]);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 4), 1);
    assert_int_equal(ev[0].id, c[0]->id);
    weir_conn_memwait(&fx.t, c[0], true); /* for a segment to copy into, say */
    weir_tcp_memory(&fx.t);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 4), 1);
    assert_int_equal(ev[0].id, c[0]->id);
    list_is(MEMWAIT, &c[1], 1);
    fx.t.mem.pbufs.used = used;
    c[1]->sq.n = 0;
    weir_tcp_memory(&fx.t);
    assert_int_equal(weir_tcp_events(&fx.t, ev, 4), 1);
}

/* ---- any sequence of additions, deaths and emptyings, against naive arrays ---- */

static struct naive {
    struct weir_conn *c[CELLS];
    unsigned n;
} naive[LISTS], alive;

static bool naive_has(const struct naive *l, const struct weir_conn *c)
{
    for (unsigned i = 0; i < l->n; i++)
        if (l->c[i] == c) return true;
    return false;
}

static void naive_add(struct naive *l, struct weir_conn *c)
{
    if (!naive_has(l, c)) l->c[l->n++] = c;
}

static void naive_drop(struct naive *l, const struct weir_conn *c)
{
    unsigned k = 0;
    for (unsigned i = 0; i < l->n; i++)
        if (l->c[i] != c) l->c[k++] = l->c[i];
    l->n = k;
}

static void birth(void)
{
    struct weir_conn *c = weir_conn_new(&fx.t);
    assert_int_equal(c == NULL, alive.n == CELLS);
    if (c) naive_add(&alive, c);
}

static void death(struct weir_conn *c)
{
    weir_conn_free(&fx.t, c);
    naive_drop(&alive, c);
    for (enum list which = 0; which < LISTS; which++)
        naive_drop(&naive[which], c);
}

static void put_both(struct weir_conn *c, enum list which)
{
    if (which == ACCEPT && (c->state != WEIR_TCP_CLOSED || c->listener)) return;
    if (which == READY && c->listener) return;
    put(c, which);
    naive_add(&naive[which], c);
}

static void accept_one(void)
{
    weir_id id;
    struct weir_conn *c = naive[ACCEPT].n ? naive[ACCEPT].c[0] : NULL;
    bool told = c && c->events; /* something happened while nobody had its id */
    assert_int_equal(weir_tcp_accept(&fx.t, fx.t.lis[0].id, &id, NULL), c ? 0 : WEIR_EAGAIN);
    if (!c) return;
    assert_int_equal(id, c->id);
    naive_drop(&naive[ACCEPT], c);
    if (told) naive_add(&naive[READY], c);
}

static void unblock_all(void)
{
    weir_tcp_unblock(&fx.t);
    while (naive[BLOCKED].n) {
        struct weir_conn *c = naive[BLOCKED].c[0];
        naive_drop(&naive[BLOCKED], c);
        naive_add(&naive[DIRTY], c);
    }
}

static void events_some(struct weir_sim *sim)
{
    struct weir_event ev[CELLS];
    int n = weir_tcp_events(&fx.t, ev, 1 + (int)test_below(sim, 4));
    for (int i = 0; i < n; i++) {
        if (ev[i].id & WEIR_ID_LISTENER) continue;
        assert_int_equal(ev[i].id, naive[READY].c[0]->id);
        naive_drop(&naive[READY], naive[READY].c[0]);
    }
}

static void list_step(struct weir_sim *sim)
{
    uint32_t what = test_below(sim, 100);
    if (what < 15 || alive.n == 0)
        birth();
    else if (what < 25)
        death(alive.c[test_below(sim, alive.n)]);
    else if (what < 28)
        unblock_all();
    else if (what < 35)
        accept_one();
    else if (what < 40)
        events_some(sim);
    else
        put_both(alive.c[test_below(sim, alive.n)], (enum list)test_below(sim, LISTS));
}

static void any_list_operations(void **state)
{
    struct weir_config conf = fx_config();
    (void)state;
    memset(naive, 0, sizeof naive);
    memset(&alive, 0, sizeof alive);
    conf.conns = CELLS;
    fx_reopen(&conf);
    listen_first();
    struct weir_sim sim = test_seed("any_list_operations");
    for (unsigned i = 0; i < 20000; i++) {
        list_step(&sim);
        for (enum list which = 0; which < LISTS; which++)
            list_is(which, naive[which].c, naive[which].n);
        assert_int_equal(fx.t.live, alive.n);
        assert_int_equal(fx.t.lis[0].queued, naive[ACCEPT].n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fresh_connection_has_defaults, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(generations, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(listener_generations, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(ids_that_never_were, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(table_full, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(hash_is_a_map, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(listener_lookup_prefers_the_address, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(death_leaves_every_list, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(half_open_death_is_counted, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(twice_is_once, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(unblock_makes_dirty, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(memory_wakes_in_order, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(empty_queue_waits_for_nobody, fx_open, fx_close),
        cmocka_unit_test_setup_teardown(any_list_operations, fx_open, fx_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
