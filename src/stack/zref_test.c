/* zref_test.c: bytes in a zbuf are sent from where the application put them, others are copied; shown by what
 * arrives and not by what is counted. The peer's window is closed, so most of what was written waits in the
 * send queue. A byte that is changed there now arrives changed iff nobody made a copy of it. (An application
 * must not do this: it is how the test looks inside.) */
#include "simnet.h"

#include <string.h>

#define BYTES  12000u /* queued; the window takes a third of it */
#define WINDOW 4096u
#define LATE   9000u /* the byte that is changed */

struct kind {
    enum weir_zlayout layout;
    uint8_t async;
    uint16_t offloads;
};

static struct simnet *open_kind(const struct kind *k, struct simend *a, struct simend *b)
{
    struct simnet_conf c = simnet_defaults();
    simnet_config(&c.stack[0], k->layout);
    simnet_config(&c.stack[1], k->layout);
    c.async = k->async;
    c.offloads = k->offloads;
    c.check = true;
    struct simnet *n = simnet_open(&c);
    simnet_listen(n, 1, &(struct weir_opts){.rcvbuf_bytes = WINDOW});
    simnet_join(n, 0, NULL, a, b);
    return n;
}

/* Reads everything at the other end into out. */
static void receive(struct simnet *n, const struct simend *b, uint8_t *out)
{
    uint32_t done = 0;
    uint64_t until = n->sim.now_us + 100 * (uint64_t)SECOND_US;
    while (done < BYTES) {
        ptrdiff_t r = weir_recv(b->w, b->id, out + done, BYTES - done);
        if (r > 0) done += (uint32_t)r;
        assert_true(r > 0 || r == WEIR_EAGAIN);
        assert_true(simnet_step(n, until));
    }
}

static void end(struct simnet *n, struct simend *a, struct simend *b)
{
    simend_close(a);
    simend_close(b);
    simnet_run(n, 10 * SECOND_US);
    simnet_empty(n);
    simnet_close(n, NULL);
}

static void write_change_and_compare(uint8_t *mine, struct simnet *n, struct simend *a, struct simend *b,
                                     bool by_reference)
{
    static uint8_t wanted[BYTES], got[BYTES];
    for (uint32_t i = 0; i < BYTES; i++)
        wanted[i] = mine[i] = (uint8_t)(i * 7 + i / 256);
    assert_int_equal(weir_write(a->w, a->id, mine, BYTES), BYTES);
    simnet_run(n, 2 * SECOND_US);
    struct weir_conn_info info = simend_info(a);
    assert_int_equal(info.snd_wnd, 0);
    assert_true(info.unsent_bytes >= BYTES - WINDOW - 1 && info.unsent_bytes < BYTES);
    mine[LATE] ^= 0xff;
    if (by_reference) wanted[LATE] ^= 0xff;
    receive(n, b, got);
    assert_memory_equal(got, wanted, BYTES);
}

static void for_each_kind(void (*test)(const struct kind *))
{
    const uint16_t all = WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM | WEIR_OFF_RX_MERGE4;
    const uint16_t offloads[] = {0, WEIR_OFF_TX_CSUM | WEIR_OFF_RX_CSUM, all};
    for (int layout = 0; layout < 2; layout++)
        for (uint8_t async = 0; async < 2; async++)
            for (unsigned o = 0; o < 3; o++)
                test(&(struct kind){(enum weir_zlayout)layout, async, offloads[o]});
}

static void zbuf(const struct kind *k)
{
    struct simend a, b;
    struct simnet *n = open_kind(k, &a, &b);
    uint8_t *p = weir_zalloc(a.w, BYTES);
    assert_non_null(p);
    write_change_and_compare(p, n, &a, &b, true);
    assert_int_equal(weir_zfree(a.w, p), 0);
    end(n, &a, &b);
}

static void a_byte_changed_in_a_zbuf_arrives_changed(void **state)
{
    (void)state;
    for_each_kind(zbuf);
}

static void ordinary(const struct kind *k)
{
    static uint8_t mine[BYTES];
    struct simend a, b;
    struct simnet *n = open_kind(k, &a, &b);
    write_change_and_compare(mine, n, &a, &b, false);
    end(n, &a, &b);
}

static void a_byte_changed_in_ordinary_memory_does_not(void **state)
{
    (void)state;
    for_each_kind(ordinary);
}

/* Another instance's zbuf is ordinary memory to this one. */
static void foreign(const struct kind *k)
{
    struct simend a, b;
    struct simnet *n = open_kind(k, &a, &b);
    uint8_t *p = weir_zalloc(b.w, BYTES);
    assert_non_null(p);
    write_change_and_compare(p, n, &a, &b, false);
    assert_int_equal(weir_zfree(b.w, p), 0);
    end(n, &a, &b);
}

static void another_instances_zbuf_is_copied(void **state)
{
    (void)state;
    for_each_kind(foreign);
}

/* From the middle, in any order of address, the same bytes twice; freed by the application while they wait.
 */
static void pieces(const struct kind *k)
{
    static const struct {
        uint32_t at, bytes;
    } part[] = {{4000, 1000}, {0, 2500}, {4000, 1000}, {11999, 1}, {2500, 1500}, {5000, 5999}};
    static uint8_t wanted[BYTES], got[BYTES];
    struct simend a, b;
    struct simnet *n = open_kind(k, &a, &b);
    uint8_t *p = weir_zalloc(a.w, BYTES);
    assert_non_null(p);
    for (uint32_t i = 0; i < BYTES; i++)
        p[i] = (uint8_t)(i * 5 + i / 256);
    uint32_t sum = 0;
    for (unsigned i = 0; i < sizeof part / sizeof part[0]; i++) {
        assert_int_equal(weir_write(a.w, a.id, p + part[i].at, part[i].bytes), part[i].bytes);
        memcpy(wanted + sum, p + part[i].at, part[i].bytes);
        sum += part[i].bytes;
    }
    assert_int_equal(sum, BYTES);
    assert_int_equal(weir_zfree(a.w, p), 0);
    assert_int_equal(weir_zfree(a.w, p), WEIR_ENOTHELD);
    assert_int_equal(weir_zbusy(a.w, p), 1);
    receive(n, &b, got);
    assert_memory_equal(got, wanted, BYTES);
    simnet_run(n, SECOND_US);
    assert_int_equal(weir_zbusy(a.w, p), WEIR_ENOTHELD); /* back in its pool */
    end(n, &a, &b);
}

static void pieces_in_any_order_outlive_the_free(void **state)
{
    (void)state;
    for_each_kind(pieces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_changed_in_a_zbuf_arrives_changed),
        cmocka_unit_test(a_byte_changed_in_ordinary_memory_does_not),
        cmocka_unit_test(another_instances_zbuf_is_copied),
        cmocka_unit_test(pieces_in_any_order_outlive_the_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
