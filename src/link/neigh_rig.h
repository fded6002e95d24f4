/* neigh_rig.h: for tests: a neighbour table over a device that writes down what it is given, its invariants,
 * and short words for what happens to it. */
#ifndef WEIR_NEIGH_RIG_H
#define WEIR_NEIGH_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bits.h"
#include "link/link_rig.h"
#include "link/neigh_table.h"
#include "wire/arp.h"
#include "wire/eth.h"

#define OUR_IP  0x0a090002u
#define PEER    0x0a090001u
#define ENTRIES 8u
#define BIG     64u /* entries of the table in tests that do not fill it */
#define QUEUE   3u

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t mac_all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct rig {
    struct zfixture f;
    struct rig_dev d;
    struct weir_txq q;
    struct rig_queue arrays;
    struct weir_neigh n;
    struct weir_neigh_entry entry[BIG];
    uint32_t bucket[BIG];
    struct weir_neigh_wait wait[WEIR_NEIGH_WAITS(QUEUE)];
    uint32_t now;
    bool room_lacked; /* then lists begin with what was put off, in no order */
} r;

/* Starts shortly before the clock wraps, so that all tests cross it. */
static inline void open_rig(uint32_t entries)
{
    static const uint32_t counts[] = {64, 64, 0};
    static const struct weir_sipkey key = {1, 2};
    struct weir_config conf = zfixture_config(WEIR_ZLAYOUT_DENSE, counts);
    memset(&r, 0, sizeof(r));
    zfixture_open(&r.f, &conf);
    rig_dev_init(&r.d);
    weir_txq_init(&r.q, &r.d.dev, &r.f.z, &r.f.stats, r.arrays.frame, r.arrays.piece, RIG_BURST);
    weir_neigh_init(&r.n, &r.q, &r.f.z, &r.f.stats, &key, r.entry, entries, r.bucket, r.wait, QUEUE, our_mac,
                    OUR_IP, 0xffffff00);
    r.now = UINT32_MAX - 5000;
}

static inline int setup(void **state)
{
    (void)state;
    open_rig(ENTRIES);
    return 0;
}

static inline int setup_big(void **state)
{
    (void)state;
    open_rig(BIG);
    return 0;
}

/* Whatever a test did, at the end nothing is held. */
static inline int teardown(void **state)
{
    (void)state;
    weir_neigh_close(&r.n);
    weir_txq_flush(&r.q);
    int left = (int)r.f.z.live;
    int broken = weir_zpool_check(&r.f.z);
    zfixture_close(&r.f);
    if (left || broken) fprintf(stderr, "zbufs left: %d, pool check: %d\n", left, broken);
    return left != 0 || broken != 0;
}

static inline uint64_t drops(enum weir_drop why)
{
    return r.f.stats.drops[why];
}

static inline uint32_t sent(void)
{
    weir_txq_flush(&r.q);
    return r.d.n;
}

static inline void check_list(enum weir_neigh_state s, uint32_t *seen, uint32_t *queued)
{
    uint32_t before = 0, n = 0;
    for (uint32_t at = r.n.list[s].first; at != 0; at = weir_neigh_at(&r.n, at)->behind, n++) {
        struct weir_neigh_entry *e = weir_neigh_at(&r.n, at);
        assert_int_equal(e->state, s);
        assert_int_equal(e->before, before);
        assert_ptr_equal(weir_neigh_find(&r.n, e->ip), e);
        if (before != 0 && !r.room_lacked)
            assert_true(weir_seq_leq(weir_neigh_at(&r.n, before)->when_ms, e->when_ms));
        *queued += e->queued;
        before = at;
    }
    assert_int_equal(r.n.list[s].last, before);
    assert_int_equal(r.n.list[s].n, n);
    *seen += n;
}

/* The invariants of neigh_table.c. */
static inline void check(void)
{
    uint32_t seen = 0, queued = 0, waiting = 0;
    for (uint32_t s = WEIR_NEIGH_INCOMPLETE; s < WEIR_NEIGH_STATES; s++)
        check_list((enum weir_neigh_state)s, &seen, &queued);
    for (uint32_t at = r.n.free; at != 0; at = weir_neigh_at(&r.n, at)->next, seen++)
        assert_int_equal(weir_neigh_at(&r.n, at)->state, WEIR_NEIGH_NONE);
    assert_int_equal(seen, r.n.entries);
    for (uint32_t i = 0; i < r.n.waits; i++)
        waiting += r.wait[i].entry != 0;
    assert_int_equal(waiting, queued);
    assert_int_equal(weir_zpool_check(&r.f.z), 0);
}

static inline void mac_of(uint32_t ip, uint8_t mac[6])
{
    mac[0] = mac[1] = 2;
    weir_put_be32(mac + 2, ip);
}

static inline enum weir_verdict input(uint16_t op, uint32_t spa, const uint8_t *sha, uint32_t tpa)
{
    uint8_t p[WEIR_ARP_BYTES];
    struct weir_arp a = {.op = op, .spa = spa, .tpa = tpa};
    memcpy(a.sha, sha, 6);
    weir_arp_emit(p, &a);
    enum weir_verdict v = weir_neigh_input(&r.n, p, sizeof(p), r.now);
    check();
    return v;
}

static inline enum weir_verdict input_own(uint16_t op, uint32_t spa, uint32_t tpa)
{
    uint8_t mac[6];
    mac_of(spa, mac);
    return input(op, spa, mac, tpa);
}

static inline enum weir_send resolve(uint32_t ip)
{
    uint8_t mac[6] = {0}, want[6];
    enum weir_send s = weir_neigh_resolve(&r.n, ip, r.now, mac);
    mac_of(ip, want);
    if (s == WEIR_SEND_OK) assert_memory_equal(mac, want, 6);
    check();
    return s;
}

static inline enum weir_neigh_state state_of(uint32_t ip)
{
    struct weir_neigh_entry *e = weir_neigh_find(&r.n, ip);
    return e == NULL ? WEIR_NEIGH_NONE : (enum weir_neigh_state)e->state;
}

static inline void make_reachable(uint32_t ip)
{
    assert_int_equal(resolve(ip), WEIR_SEND_WAIT_NEIGH);
    assert_int_equal(input_own(WEIR_ARP_REPLY, ip, OUR_IP), WEIR_V_DONE);
    assert_int_equal(state_of(ip), WEIR_NEIGH_REACHABLE);
}

static inline bool tick(uint32_t *next)
{
    bool more = weir_neigh_tick(&r.n, r.now, next);
    check();
    return more;
}

/* Moves time on as the stack does, from one time that tick names to the next. */
static inline void pass(uint32_t ms)
{
    uint32_t end = r.now + ms, next;
    while (tick(&next) && weir_seq_leq(next, end))
        r.now = weir_seq_max(next, r.now);
    r.now = end;
}

static inline void assert_arp(uint32_t back, uint16_t op, const uint8_t *to, uint32_t tpa)
{
    const struct rig_frame *f = rig_sent(&r.d, back);
    struct weir_eth eth;
    struct weir_arp a;
    assert_int_equal(f->len, WEIR_ETH_BYTES + WEIR_ARP_BYTES);
    assert_true(weir_eth_parse(&eth, f->bytes, f->len));
    assert_true(weir_arp_parse(&a, f->bytes + WEIR_ETH_BYTES, WEIR_ARP_BYTES));
    assert_int_equal(eth.type, WEIR_ETHERTYPE_ARP);
    assert_memory_equal(eth.dst, to, 6);
    assert_memory_equal(eth.src, our_mac, 6);
    assert_memory_equal(a.sha, our_mac, 6);
    assert_int_equal(a.op, op);
    assert_int_equal(a.spa, OUR_IP);
    assert_int_equal(a.tpa, tpa);
}

/* A datagram of one header block and one payload piece whose byte tells it from others; the payload's zbuf is
 * the test's. */
static inline void queue(uint32_t ip, struct weir_zhead *payload, uint8_t mark)
{
    struct weir_zhead *h = weir_zpool_take(&r.f.z, WEIR_ZCLASS_MIN, WEIR_TAKE_CONTROL);
    assert_non_null(h);
    struct weir_piece p[2] = {{weir_zpool_first(&r.f.z, h), 34}, {weir_zpool_first(&r.f.z, payload), 10}};
    struct weir_frame f = {.pieces = p, .bytes = 44, .n_pieces = 2};
    memset(p[0].addr, mark, 34);
    weir_neigh_queue(&r.n, ip, &f, r.now);
    check();
}

static inline struct weir_zhead *payload_new(void)
{
    struct weir_zhead *h = weir_zpool_take(&r.f.z, 1000, WEIR_TAKE_POST);
    assert_non_null(h);
    memset(weir_zpool_first(&r.f.z, h), 0x77, 10);
    return h;
}

static inline void payload_done(struct weir_zhead *h)
{
    sent();
    assert_int_equal(h->stk, 1);
    weir_zpool_unref(&r.f.z, h, WEIR_OWNER_POSTED);
}

#define SMALL(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define LARGE(f) cmocka_unit_test_setup_teardown(f, setup_big, teardown)

#endif
