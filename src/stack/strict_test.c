/* strict_test.c: with strict windows nothing that a window promised is ever dropped for want of memory, however
 * peers cut what they send and whatever the application takes, holds and passes on. */
#include "simnet.h"

#include <string.h>

#include "base/bits.h"

#define LINKS  8u
#define SPARE  6u
#define KIB    1024u
#define MINUTE (60 * (uint64_t)SECOND_US)

static struct simnet *net;
static struct simend a[LINKS], b[LINKS];
static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
    uint64_t x = seed += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    return (uint32_t)((x >> 33) % below);
}

static void follow(struct weir_config *c)
{
    struct weir_plan p;
    while (weir_plan(c, &p) != 0) {
        uint64_t n = 0;
        const char *end = strstr(p.why, " would do"), *at;
        assert_non_null(end);
        for (at = end; at[-1] >= '0' && at[-1] <= '9'; at--) {
        }
        for (; at < end; at++)
            n = n * 10 + (uint64_t)(*at - '0');
        if (strcmp(p.option, "pbufs") == 0)
            c->pbufs = (uint32_t)n;
        else if (strcmp(p.option, "zclass[last].count") == 0)
            c->zclass[c->zclasses - 1].count = (uint32_t)n;
        else
            fail_msg("%s", p.why);
    }
}

/* Side 1 has strict windows and just what they need. */
static void strict(struct weir_config *c, enum weir_zlayout layout)
{
    simnet_tiny(c, layout);
    c->window = WEIR_WINDOW_STRICT;
    c->conns = LINKS;
    c->timewait = LINKS;
    c->zclasses = 2;
    c->rcvbuf_bytes = 4096;
    c->app_hold_bytes = LINKS * 4096;
    c->ooo_conn = 8;
    follow(c);
    c->zclass[1].count += SPARE; /* for the application, and to pass on */
}

static void open_net(enum weir_zlayout layout, uint32_t window)
{
    static const struct weir_opts nodelay = {.nodelay = 1};
    struct simnet_conf c = simnet_defaults();
    strict(&c.stack[1], layout);
    c.stack[1].window = window;
    c.check = true;
    net = simnet_open(&c);
    for (unsigned i = 0; i < LINKS; i++) {
        simnet_join(net, 0, &nodelay, &a[i], &b[i]);
        simend_plan(&a[i], &b[i], i + 1, 0, 0);
        a[i].out.total = b[i].in.total = 1 << 30;
    }
}

static void write_some(unsigned i, uint32_t n)
{
    uint8_t bytes[2048];
    simflow_fill(&a[i].out, a[i].out.done, bytes, n);
    ptrdiff_t took = weir_write(a[i].w, a[i].id, bytes, n);
    if (took > 0) a[i].out.done += (uint64_t)took;
}

static uint64_t dropped(void)
{
    struct weir_stats s = simnet_stats(net, 1);
    return s.drops[WEIR_DROP_NO_ZBUF] + s.drops[WEIR_DROP_NO_PBUF];
}

static bool read_piece(unsigned i)
{
    struct weir_iov iov;
    if (weir_read(b[i].w, b[i].id, &iov, 1) != 1) return false;
    simflow_check(&b[i].in, b[i].in.done, iov.base, iov.len);
    b[i].in.done += iov.len;
    assert_int_equal(weir_zfree(b[i].w, iov.base), 0);
    return true;
}

static void finish(void)
{
    uint64_t until = net->sim.now_us + 10 * MINUTE;
    for (bool all = false; !all;) {
        all = true;
        for (unsigned i = 0; i < LINKS; i++) {
            while (read_piece(i)) {
            }
            all = all && b[i].in.done == a[i].out.done;
        }
        if (!all && !simnet_step(net, until)) fail_msg("bytes do not come");
    }
    for (unsigned i = 0; i < LINKS; i++) {
        simend_close(&a[i]);
        simend_close(&b[i]);
    }
    simnet_run(net, 5 * MINUTE);
    simnet_empty(net);
    simnet_close(net, NULL);
}

/* The application takes all it can get, and every peer fills the window, one by small segments. */
static uint64_t fill_all(uint32_t (*size)(unsigned link))
{
    uint8_t *taken[512];
    unsigned n = 0;
    while (n < 512 && (taken[n] = weir_zalloc(net->w[1], 1900)) != NULL)
        n++;
    for (unsigned round = 0; round < 5000; round++) {
        for (unsigned i = 0; i < LINKS; i++)
            if (a[i].out.done < 4096) write_some(i, weir_min_u32(size(i), 4096 - (uint32_t)a[i].out.done));
        (void)simnet_step(net, net->sim.now_us + 2000);
    }
    simnet_run(net, MINUTE);
    uint64_t unread = 0;
    for (unsigned i = 0; i < LINKS; i++)
        unread += simend_info(&b[i]).readable_bytes;
    while (n > 0)
        assert_int_equal(weir_zfree(net->w[1], taken[--n]), 0);
    return unread;
}

static uint32_t any_size(unsigned link)
{
    return link % 2 ? 1 + rnd(1448) : 1 + rnd(30);
}

static void every_window_can_be_filled_at_once(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        seed = 7;
        open_net((enum weir_zlayout)layout, WEIR_WINDOW_STRICT);
        assert_true(fill_all(any_size) >= LINKS * 4000);
        assert_int_equal(dropped(), 0);
        assert_int_equal(simnet_stats(net, 1).windows_cut, 0);
        finish();
    }
}

/* The same memory with shared windows: the application may take what windows promised. */
static void shared_windows_promise_more(void **state)
{
    (void)state;
    seed = 7;
    open_net(WEIR_ZLAYOUT_DENSE, WEIR_WINDOW_SHARED);
    (void)fill_all(any_size);
    assert_true(dropped() + simnet_stats(net, 1).windows_cut > 0);
    finish();
}

/* Anything goes, at random: small and full segments, reads that are held for long, pieces passed on to other
 * connections, zbufs of the application. */
static void nothing_promised_is_dropped(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        struct weir_iov held[64];
        unsigned n_held = 0;
        uint64_t passed = 0;
        seed = 11;
        open_net((enum weir_zlayout)layout, WEIR_WINDOW_STRICT);
        for (unsigned round = 0; round < 20000; round++) {
            unsigned i = rnd(LINKS);
            if (rnd(3)) write_some(i, any_size(rnd(2)));
            if (rnd(2) && n_held < 64 && weir_read(b[i].w, b[i].id, &held[n_held], 1) == 1) {
                simflow_check(&b[i].in, b[i].in.done, held[n_held].base, held[n_held].len);
                b[i].in.done += held[n_held++].len;
            }
            if (n_held > 0 && rnd(4) == 0) {
                unsigned k = rnd(n_held), to = rnd(LINKS);
                ptrdiff_t r = weir_write(b[to].w, b[to].id, held[k].base, held[k].len);
                if (r > 0) passed += (uint64_t)r;
            }
            if (n_held > 40) /* those that were passed on, and some that were not, all at once */
                while (n_held > 10)
                    assert_int_equal(weir_zfree(b[0].w, held[--n_held].base), 0);
            struct weir_iov back; /* what is passed on comes to the peers, who throw it away, but seldom */
            if (round % 4000 > 3500 && weir_read(a[i].w, a[i].id, &back, 1) == 1)
                assert_int_equal(weir_zfree(a[i].w, back.base), 0);
            (void)simnet_step(net, net->sim.now_us + 300);
            assert_true(weir_strict_ok(&net->w[1]->tcp.mem.strict, &net->w[1]->z, 0));
        }
        assert_int_equal(dropped(), 0);
        assert_true(passed > 20 * KIB);
        while (n_held > 0)
            assert_int_equal(weir_zfree(b[0].w, held[--n_held].base), 0);
        for (unsigned i = 0; i < LINKS; i++) {
            struct weir_iov back;
            for (unsigned k = 0; k < 2000; k++) {
                while (weir_read(a[i].w, a[i].id, &back, 1) == 1)
                    assert_int_equal(weir_zfree(a[i].w, back.base), 0);
                (void)simnet_step(net, net->sim.now_us + 1000);
            }
        }
        finish();
    }
}

/* What is written on is a send queue's as soon as the application lets go of it: no more of it is taken than there
 * are segments besides. */
static void what_is_passed_on_leaves_the_promise(void **state)
{
    (void)state;
    struct weir_iov held[2 * LINKS];
    unsigned n = 0, passed = 0;
    open_net(WEIR_ZLAYOUT_DENSE, WEIR_WINDOW_STRICT);
    for (unsigned i = 0; i < LINKS; i++)
        for (unsigned k = 0; k < 2; k++) {
            write_some(i, 1448);
            simnet_run(net, 1000);
            assert_int_equal(weir_read(b[i].w, b[i].id, &held[n], 1), 1);
            b[i].in.done += held[n++].len;
        }
    for (unsigned k = 0; k < n; k++) {
        ptrdiff_t r = weir_write(b[k / 2].w, b[k / 2].id, held[k].base, held[k].len);
        assert_true(r == WEIR_ENOMEM || r == (ptrdiff_t)held[k].len);
        passed += r > 0;
    }
    assert_in_range(passed, SPARE, 2 * LINKS - 1);
    for (unsigned k = 0; k < n; k++)
        assert_int_equal(weir_zfree(b[0].w, held[k].base), 0);
    assert_true(weir_strict_ok(&net->w[1]->tcp.mem.strict, &net->w[1]->z, 0));
    simnet_run(net, SECOND_US);
    for (unsigned i = 0; i < LINKS; i++) {
        struct weir_iov back;
        while (weir_read(a[i].w, a[i].id, &back, 1) == 1)
            assert_int_equal(weir_zfree(a[i].w, back.base), 0);
    }
    finish();
}

/* What is lent outlives its connection: nobody gets its place before there is memory for what that would be
 * promised. Peers come, leave a few tiny segments in the application's hands and go. */
static void lent_pieces_of_the_dead_leave_the_promise(void **state)
{
    (void)state;
    static const struct weir_opts nodelay = {.nodelay = 1};
    struct weir_iov held[512];
    unsigned n = 0, came = 0;
    struct weir_addr to;
    open_net(WEIR_ZLAYOUT_DENSE, WEIR_WINDOW_STRICT);
    simend_close(&a[0]);
    simend_close(&b[0]);
    simnet_run(net, MINUTE);
    simnet_addr(&to, 1, SIMNET_PORT);
    weir_id from, at;
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(weir_connect(net->w[0], &to, &nodelay, &from), 0);
        simnet_run(net, 10000);
        if (weir_accept(net->w[1], net->listener[1], &at, NULL) == 0) {
            came++;
            for (unsigned k = 0; k < 5 && n < 512; k++) {
                (void)weir_write(net->w[0], from, "tiny", 4);
                simnet_run(net, 10000);
                if (weir_read(net->w[1], at, &held[n], 1) == 1) n++;
            }
            assert_int_equal(weir_close(net->w[1], at, WEIR_CLOSE_ABORT), 0);
            simnet_run(net, 10000);
        }
        assert_int_equal(weir_close(net->w[0], from, WEIR_CLOSE_ABORT), 0);
        simnet_run(net, 10000);
    }
    for (unsigned i = 1; i < LINKS; i++)
        for (unsigned k = 0; k < 2; k++) {
            write_some(i, 1448);
            simnet_run(net, 10000);
        }
    assert_int_equal(dropped(), 0);
    assert_in_range(came, 1, 39);
    while (n > 0)
        assert_int_equal(weir_zfree(net->w[1], held[--n].base), 0);
    simnet_join(net, 0, &nodelay, &a[0], &b[0]);
    simend_plan(&a[0], &b[0], 1, 0, 0);
    a[0].out.total = b[0].in.total = 1 << 30;
    finish();
}

static void larger_buffers_than_planned_are_refused(void **state)
{
    (void)state;
    struct weir_opts o = {.rcvbuf_bytes = 4097};
    struct weir_addr at;
    weir_id id;
    open_net(WEIR_ZLAYOUT_DENSE, WEIR_WINDOW_STRICT);
    simnet_addr(&at, 1, 77);
    assert_int_equal(weir_listen(net->w[1], &at, &o, &id), WEIR_EINVAL);
    simnet_addr(&at, 0, 77);
    assert_int_equal(weir_connect(net->w[1], &at, &o, &id), WEIR_EINVAL);
    assert_int_equal(weir_set(b[0].w, b[0].id, WEIR_OPT_RCVBUF, 4097), WEIR_EINVAL);
    assert_int_equal(weir_set(b[0].w, b[0].id, WEIR_OPT_RCVBUF, 4096), 0);
    finish();
}

static void the_plan_refuses_what_could_not_be_kept(void **state)
{
    (void)state;
    struct weir_config c;
    struct weir_plan p;
    strict(&c, WEIR_ZLAYOUT_DENSE);
    c.zclass[1].count -= SPARE;
    assert_int_equal(weir_plan(&c, &p), 0);
    c.zclass[1].count--;
    assert_int_equal(weir_plan(&c, &p), WEIR_EPLAN);
    assert_string_equal(p.option, "zclass[last].count");
    c.zclass[1].count++;
    c.pbufs--;
    assert_int_equal(weir_plan(&c, &p), WEIR_EPLAN);
    assert_string_equal(p.option, "pbufs");
    c.pbufs++;
    c.zclass[2] = (struct weir_zclass){4096, 64};
    c.zclasses = 3;
    assert_int_equal(weir_plan(&c, &p), WEIR_EPLAN);
    assert_string_equal(p.option, "zclasses");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_window_can_be_filled_at_once),
        cmocka_unit_test(shared_windows_promise_more),
        cmocka_unit_test(nothing_promised_is_dropped),
        cmocka_unit_test(what_is_passed_on_leaves_the_promise),
        cmocka_unit_test(lent_pieces_of_the_dead_leave_the_promise),
        cmocka_unit_test(larger_buffers_than_planned_are_refused),
        cmocka_unit_test(the_plan_refuses_what_could_not_be_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
