/* neigh_test.c: who is asked when, what is learnt from whom, ageing, replacement, and the datagrams that
 * wait. */
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
static void open_rig(uint32_t entries)
{
    static const uint32_t counts[] = {64, 64, 0};
    static const struct weir_sipkey key = {1, 2};
    struct weir_config conf = zfixture_config(WEIR_ZLAYOUT_DENSE, counts);
    memset(&r, 0, sizeof(r));
    zfixture_open(&r.f, &conf);
    rig_dev_init(&r.d);
    weir_txq_init(&r.q, &r.d.dev, &r.f.z, &r.f.stats, r.arrays.frame, r.arrays.piece, RIG_BURST);
    weir_neigh_init(&r.n, &r.q, &r.f.z, &r.f.stats, &key, r.entry, entries, r.bucket, r.wait, QUEUE, our_mac,
                    OUR_IP);
    r.now = UINT32_MAX - 5000;
}

static int setup(void **state)
{
    (void)state;
    open_rig(ENTRIES);
    return 0;
}

static int setup_big(void **state)
{
    (void)state;
    open_rig(BIG);
    return 0;
}

/* Whatever a test did, at the end nothing is held. */
static int teardown(void **state)
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

static uint64_t drops(enum weir_drop why)
{
    return r.f.stats.drops[why];
}

static uint32_t sent(void)
{
    weir_txq_flush(&r.q);
    return r.d.n;
}

static void check_list(enum weir_neigh_state s, uint32_t *seen, uint32_t *queued)
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
static void check(void)
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

static void mac_of(uint32_t ip, uint8_t mac[6])
{
    mac[0] = mac[1] = 2;
    weir_put_be32(mac + 2, ip);
}

static enum weir_verdict input(uint16_t op, uint32_t spa, const uint8_t *sha, uint32_t tpa)
{
    uint8_t p[WEIR_ARP_BYTES];
    struct weir_arp a = {.op = op, .spa = spa, .tpa = tpa};
    memcpy(a.sha, sha, 6);
    weir_arp_emit(p, &a);
    enum weir_verdict v = weir_neigh_input(&r.n, p, sizeof(p), r.now);
    check();
    return v;
}

static enum weir_verdict input_own(uint16_t op, uint32_t spa, uint32_t tpa)
{
    uint8_t mac[6];
    mac_of(spa, mac);
    return input(op, spa, mac, tpa);
}

static enum weir_send resolve(uint32_t ip)
{
    uint8_t mac[6] = {0}, want[6];
    enum weir_send s = weir_neigh_resolve(&r.n, ip, r.now, mac);
    mac_of(ip, want);
    if (s == WEIR_SEND_OK) assert_memory_equal(mac, want, 6);
    check();
    return s;
}

static enum weir_neigh_state state_of(uint32_t ip)
{
    struct weir_neigh_entry *e = weir_neigh_find(&r.n, ip);
    return e == NULL ? WEIR_NEIGH_NONE : (enum weir_neigh_state)e->state;
}

static void make_reachable(uint32_t ip)
{
    assert_int_equal(resolve(ip), WEIR_SEND_WAIT_NEIGH);
    assert_int_equal(input_own(WEIR_ARP_REPLY, ip, OUR_IP), WEIR_V_DONE);
    assert_int_equal(state_of(ip), WEIR_NEIGH_REACHABLE);
}

static bool tick(uint32_t *next)
{
    bool more = weir_neigh_tick(&r.n, r.now, next);
    check();
    return more;
}

/* Moves time on as the stack does, from one time that tick names to the next. */
static void pass(uint32_t ms)
{
    uint32_t end = r.now + ms, next;
    while (tick(&next) && weir_seq_leq(next, end))
        r.now = weir_seq_max(next, r.now);
    r.now = end;
}

static void assert_arp(uint32_t back, uint16_t op, const uint8_t *to, uint32_t tpa)
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
static void queue(uint32_t ip, struct weir_zhead *payload, uint8_t mark)
{
    struct weir_zhead *h = weir_zpool_take(&r.f.z, WEIR_ZCLASS_MIN, WEIR_TAKE_CONTROL);
    assert_non_null(h);
    struct weir_piece p[2] = {{weir_zpool_first(&r.f.z, h), 34}, {weir_zpool_first(&r.f.z, payload), 10}};
    struct weir_frame f = {.pieces = p, .bytes = 44, .n_pieces = 2};
    memset(p[0].addr, mark, 34);
    weir_neigh_queue(&r.n, ip, &f, r.now);
    check();
}

static struct weir_zhead *payload_new(void)
{
    struct weir_zhead *h = weir_zpool_take(&r.f.z, 1000, WEIR_TAKE_POST);
    assert_non_null(h);
    memset(weir_zpool_first(&r.f.z, h), 0x77, 10);
    return h;
}

static void payload_done(struct weir_zhead *h)
{
    sent();
    assert_int_equal(h->stk, 1);
    weir_zpool_unref(&r.f.z, h, WEIR_OWNER_POSTED);
}

static void asks_once_and_learns(void **state)
{
    (void)state;
    uint32_t before = r.n.resolved;
    assert_int_equal(resolve(PEER), WEIR_SEND_WAIT_NEIGH);
    assert_int_equal(resolve(PEER), WEIR_SEND_WAIT_NEIGH);
    assert_int_equal(sent(), 1);
    assert_arp(0, WEIR_ARP_REQUEST, mac_all, PEER);
    assert_int_equal(r.n.resolved, before);
    assert_int_equal(input_own(WEIR_ARP_REPLY, PEER, OUR_IP), WEIR_V_DONE);
    assert_int_equal(r.n.resolved, before + 1);
    assert_int_equal(resolve(PEER), WEIR_SEND_OK);
    assert_int_equal(sent(), 1);
}

static void asks_three_times_a_second_apart(void **state)
{
    (void)state;
    uint32_t start = r.now, next;
    resolve(PEER);
    for (uint32_t i = 1; i <= WEIR_NEIGH_TRIES; i++) {
        assert_int_equal(sent(), i);
        assert_true(tick(&next));
        assert_int_equal(next, start + i * WEIR_NEIGH_RETRY_MS);
        r.now = next - 1;
        tick(&next);
        assert_int_equal(sent(), i);
        r.now = next;
        tick(&next);
    }
    assert_int_equal(sent(), WEIR_NEIGH_TRIES);
    assert_int_equal(resolve(PEER), WEIR_SEND_NO_NEIGH);
    assert_int_equal(r.n.resolved, 1);
    pass(WEIR_NEIGH_FAILED_MS - 1);
    assert_int_equal(resolve(PEER), WEIR_SEND_NO_NEIGH);
    assert_int_equal(sent(), WEIR_NEIGH_TRIES);
    pass(1);
    assert_false(tick(&next));
    assert_int_equal(state_of(PEER), WEIR_NEIGH_NONE);
    assert_int_equal(resolve(PEER), WEIR_SEND_WAIT_NEIGH);
    assert_int_equal(sent(), WEIR_NEIGH_TRIES + 1);
}

static void a_failed_one_that_speaks_is_known(void **state)
{
    (void)state;
    resolve(PEER);
    pass(3 * WEIR_NEIGH_RETRY_MS);
    uint32_t next;
    tick(&next);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_FAILED);
    assert_int_equal(input_own(WEIR_ARP_REQUEST, PEER, OUR_IP), WEIR_V_DONE);
    assert_int_equal(resolve(PEER), WEIR_SEND_OK);
    assert_int_equal(r.n.resolved, 2);
}

static void never_asks_for_what_is_no_neighbour(void **state)
{
    (void)state;
    assert_int_equal(resolve(OUR_IP), WEIR_SEND_NO_NEIGH);
    assert_int_equal(resolve(0), WEIR_SEND_NO_NEIGH);
    assert_int_equal(resolve(0xe0000001), WEIR_SEND_NO_NEIGH);
    assert_int_equal(resolve(0xffffffff), WEIR_SEND_NO_NEIGH);
    assert_int_equal(sent(), 0);
}

static void answers_requests_for_us(void **state)
{
    (void)state;
    uint8_t peer[6];
    mac_of(PEER, peer);
    assert_int_equal(input_own(WEIR_ARP_REQUEST, PEER, OUR_IP), WEIR_V_DONE);
    assert_int_equal(sent(), 1);
    assert_arp(0, WEIR_ARP_REPLY, peer, PEER);
    assert_memory_equal(rig_sent(&r.d, 0)->bytes + WEIR_ETH_BYTES + 18, peer, 6);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_STALE);
}

static void probes_a_stale_one_when_used(void **state)
{
    (void)state;
    uint8_t peer[6];
    mac_of(PEER, peer);
    input_own(WEIR_ARP_REQUEST, PEER, OUR_IP);
    assert_int_equal(resolve(PEER), WEIR_SEND_OK);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_PROBE);
    assert_int_equal(sent(), 2);
    assert_arp(0, WEIR_ARP_REQUEST, peer, PEER);
    pass(2 * WEIR_NEIGH_RETRY_MS);
    uint32_t next;
    assert_true(tick(&next));
    assert_int_equal(resolve(PEER), WEIR_SEND_OK);
    assert_int_equal(sent(), 1 + WEIR_NEIGH_TRIES);
    assert_arp(0, WEIR_ARP_REQUEST, peer, PEER);
    pass(WEIR_NEIGH_RETRY_MS);
    assert_false(tick(&next));
    assert_int_equal(state_of(PEER), WEIR_NEIGH_NONE);
}

static void ages_from_reachable_to_nothing(void **state)
{
    (void)state;
    uint32_t next;
    make_reachable(PEER);
    assert_true(tick(&next));
    assert_int_equal(next, r.now + WEIR_NEIGH_REACHABLE_MS);
    pass(WEIR_NEIGH_REACHABLE_MS);
    tick(&next);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_STALE);
    assert_int_equal(next, r.now + WEIR_NEIGH_STALE_MS);
    pass(WEIR_NEIGH_STALE_MS);
    assert_false(tick(&next));
    assert_int_equal(state_of(PEER), WEIR_NEIGH_NONE);
    assert_int_equal(sent(), 1);
}

static void an_answered_probe_makes_reachable(void **state)
{
    (void)state;
    input_own(WEIR_ARP_REQUEST, PEER, OUR_IP);
    resolve(PEER);
    input_own(WEIR_ARP_REPLY, PEER, OUR_IP);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_REACHABLE);
}

static void progress_confirms(void **state)
{
    (void)state;
    weir_neigh_confirm(&r.n, PEER, r.now);
    resolve(PEER);
    weir_neigh_confirm(&r.n, PEER, r.now);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_INCOMPLETE);
    input_own(WEIR_ARP_REQUEST, PEER, OUR_IP);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_STALE);
    weir_neigh_confirm(&r.n, PEER, r.now);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_REACHABLE);
    for (int i = 0; i < 5; i++) {
        pass(WEIR_NEIGH_REACHABLE_MS - 1);
        weir_neigh_confirm(&r.n, PEER, r.now);
        check();
        assert_int_equal(state_of(PEER), WEIR_NEIGH_REACHABLE);
    }
}

static void gratuitous_changes_only_the_known(void **state)
{
    (void)state;
    static const uint8_t other[6] = {2, 9, 9, 9, 9, 9};
    uint8_t mac[6];
    assert_int_equal(input_own(WEIR_ARP_REQUEST, PEER, PEER), WEIR_V_DROP);
    assert_int_equal(input_own(WEIR_ARP_REPLY, PEER, OUR_IP), WEIR_V_DROP);
    assert_int_equal(drops(WEIR_DROP_ARP_NOT_MINE), 2);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_NONE);
    make_reachable(PEER);
    assert_int_equal(input_own(WEIR_ARP_REQUEST, PEER, PEER), WEIR_V_DONE);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_REACHABLE);
    assert_int_equal(input(WEIR_ARP_REPLY, PEER, other, PEER), WEIR_V_DONE);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_STALE);
    assert_int_equal(weir_neigh_resolve(&r.n, PEER, r.now, mac), WEIR_SEND_OK);
    assert_memory_equal(mac, other, 6);
    assert_int_equal(sent(), 2);
}

static void a_flood_for_others_makes_no_entries(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 500; i++)
        assert_int_equal(input_own(WEIR_ARP_REQUEST, 0x0a090100 + i, 0x0a090003), WEIR_V_DROP);
    assert_int_equal(drops(WEIR_DROP_ARP_NOT_MINE), 500);
    assert_int_equal(sent(), 0);
    uint32_t next;
    assert_false(tick(&next));
}

static void refuses_the_malformed(void **state)
{
    (void)state;
    uint8_t p[WEIR_ARP_BYTES];
    struct weir_arp a = {.op = WEIR_ARP_REQUEST, .spa = PEER, .tpa = OUR_IP};
    mac_of(PEER, a.sha);
    weir_arp_emit(p, &a);
    for (uint32_t n = 0; n < WEIR_ARP_BYTES; n++)
        assert_int_equal(weir_neigh_input(&r.n, p, n, r.now), WEIR_V_DROP);
    for (uint32_t i = 0; i < 8; i++) {
        p[i] ^= 0x40;
        assert_int_equal(weir_neigh_input(&r.n, p, sizeof(p), r.now), WEIR_V_DROP);
        p[i] ^= 0x40;
    }
    assert_int_equal(drops(WEIR_DROP_ARP_BAD), WEIR_ARP_BYTES + 8);
    assert_int_equal(sent(), 0);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_NONE);
}

static void refuses_impossible_senders(void **state)
{
    (void)state;
    static const uint8_t group[6] = {1, 0, 0x5e, 0, 0, 1}, zero[6] = {0};
    assert_int_equal(input_own(WEIR_ARP_REQUEST, OUR_IP, OUR_IP), WEIR_V_DROP);
    assert_int_equal(input_own(WEIR_ARP_REPLY, OUR_IP, PEER), WEIR_V_DROP);
    assert_int_equal(input_own(WEIR_ARP_REQUEST, 0xe0000001, OUR_IP), WEIR_V_DROP);
    assert_int_equal(input_own(WEIR_ARP_REQUEST, 0xffffffff, OUR_IP), WEIR_V_DROP);
    assert_int_equal(input_own(WEIR_ARP_REPLY, 0, OUR_IP), WEIR_V_DROP);
    assert_int_equal(input_own(WEIR_ARP_REQUEST, 0, PEER), WEIR_V_DROP);
    assert_int_equal(input(WEIR_ARP_REQUEST, PEER, group, OUR_IP), WEIR_V_DROP);
    assert_int_equal(input(WEIR_ARP_REQUEST, PEER, mac_all, OUR_IP), WEIR_V_DROP);
    assert_int_equal(input(WEIR_ARP_REQUEST, PEER, zero, OUR_IP), WEIR_V_DROP);
    assert_int_equal(input(WEIR_ARP_REQUEST, PEER, our_mac, OUR_IP), WEIR_V_DROP);
    assert_int_equal(drops(WEIR_DROP_ARP_BAD), 10);
    assert_int_equal(sent(), 0);
}

static void answers_an_address_probe(void **state)
{
    (void)state;
    uint8_t mac[6];
    uint32_t next;
    mac_of(0, mac);
    assert_int_equal(input_own(WEIR_ARP_REQUEST, 0, OUR_IP), WEIR_V_DONE);
    assert_int_equal(sent(), 1);
    assert_arp(0, WEIR_ARP_REPLY, mac, 0);
    assert_false(tick(&next));
}

static void without_room_asks_soon_again(void **state)
{
    (void)state;
    uint32_t next;
    r.d.room = 0;
    r.room_lacked = true;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(resolve(PEER + 2 + i), WEIR_SEND_WAIT_NEIGH);
    assert_int_equal(sent(), 0);
    pass(5000);
    assert_int_equal(state_of(PEER + 2), WEIR_NEIGH_INCOMPLETE);
    assert_int_equal(input_own(WEIR_ARP_REQUEST, PEER, OUR_IP), WEIR_V_DONE);
    assert_int_equal(drops(WEIR_DROP_TX_REFUSED), 1);
    r.d.room = 1000;
    r.now += WEIR_NEIGH_ROOM_MS;
    assert_true(tick(&next));
    assert_int_equal(sent(), 3);
    assert_int_equal(next, r.now + WEIR_NEIGH_RETRY_MS);
}

static void without_a_block_asks_soon_again(void **state)
{
    (void)state;
    static struct weir_zhead *all[4096];
    uint32_t n = 0, next;
    r.room_lacked = true;
    while (n < 4096 && (all[n] = weir_zpool_take(&r.f.z, WEIR_ZCLASS_MIN, WEIR_TAKE_CONTROL)) != NULL)
        n++;
    assert_int_equal(resolve(PEER), WEIR_SEND_WAIT_NEIGH);
    assert_int_equal(input_own(WEIR_ARP_REQUEST, PEER + 5, OUR_IP), WEIR_V_DONE);
    assert_int_equal(drops(WEIR_DROP_NO_HEADER), 1);
    assert_int_equal(sent(), 0);
    while (n > 0)
        weir_zpool_unref(&r.f.z, all[--n], WEIR_OWNER_TXWAIT);
    r.now += WEIR_NEIGH_ROOM_MS;
    assert_true(tick(&next));
    assert_int_equal(sent(), 1);
}

static void replaces_the_oldest_unused(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= ENTRIES; i++) {
        r.now++;
        make_reachable(0x0a090100 + i);
    }
    r.now++;
    for (uint32_t i = 1; i <= ENTRIES; i++) {
        if (i != 5) assert_int_equal(resolve(0x0a090100 + i), WEIR_SEND_OK);
    }
    uint32_t before = r.n.resolved;
    resolve(PEER);
    assert_int_equal(r.n.resolved, before + 1);
    for (uint32_t i = 1; i <= ENTRIES; i++)
        assert_int_equal(state_of(0x0a090100 + i), i == 5 ? WEIR_NEIGH_NONE : WEIR_NEIGH_REACHABLE);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_INCOMPLETE);
}

static void replaces_stale_before_reachable(void **state)
{
    (void)state;
    make_reachable(PEER + 2);
    for (uint32_t i = 0; i < ENTRIES - 1; i++)
        input_own(WEIR_ARP_REQUEST, 0x0a090100 + i, OUR_IP);
    r.now += 100;
    resolve(PEER + 3);
    assert_int_equal(state_of(PEER + 2), WEIR_NEIGH_REACHABLE);
    assert_int_equal(state_of(0x0a090100), WEIR_NEIGH_NONE);
}

static void the_unanswered_take_half_the_table(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < ENTRIES; i++)
        make_reachable(0x0a090100 + i);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(resolve(0x0a090200 + i), WEIR_SEND_WAIT_NEIGH);
        sent();
    }
    assert_int_equal(r.n.list[WEIR_NEIGH_INCOMPLETE].n, ENTRIES / 2 + 1);
    assert_int_equal(r.n.list[WEIR_NEIGH_REACHABLE].n, ENTRIES / 2 - 1);
    /* One that asks in the midst of a flood still gets its answer. */
    make_reachable(PEER);
}

static void delivers_in_order_what_waited(void **state)
{
    (void)state;
    uint8_t peer[6];
    struct weir_zhead *payload = payload_new();
    resolve(PEER);
    for (uint8_t i = 0; i < QUEUE + 2; i++)
        queue(PEER, payload, i);
    assert_int_equal(drops(WEIR_DROP_NEIGH_QUEUE), 2);
    assert_int_equal(payload->stk, 1 + QUEUE);
    input_own(WEIR_ARP_REPLY, PEER, OUR_IP);
    assert_int_equal(sent(), 1 + QUEUE);
    mac_of(PEER, peer);
    for (uint32_t i = 0; i < QUEUE; i++) {
        const struct rig_frame *f = rig_sent(&r.d, QUEUE - 1 - i);
        assert_int_equal(f->len, 44);
        assert_memory_equal(f->bytes, peer, 6);
        assert_memory_equal(f->bytes + 6, our_mac, 6);
        assert_int_equal(weir_be16(f->bytes + 12), WEIR_ETHERTYPE_IP4);
        assert_int_equal(f->bytes[14], 2 + i);
        assert_int_equal(f->bytes[43], 0x77);
    }
    payload_done(payload);
}

static void sends_at_once_to_the_known(void **state)
{
    (void)state;
    struct weir_zhead *payload = payload_new();
    make_reachable(PEER);
    queue(PEER, payload, 1);
    assert_int_equal(sent(), 2);
    payload_done(payload);
}

static void drops_what_waited_for_one_that_fails(void **state)
{
    (void)state;
    struct weir_zhead *payload = payload_new();
    resolve(PEER);
    queue(PEER, payload, 1);
    queue(PEER, payload, 2);
    queue(PEER + 7, payload, 3); /* never asked for */
    assert_int_equal(drops(WEIR_DROP_NEIGH_QUEUE), 1);
    pass(3 * WEIR_NEIGH_RETRY_MS);
    uint32_t next;
    tick(&next);
    assert_int_equal(drops(WEIR_DROP_NEIGH_FAILED), 2);
    assert_int_equal(sent(), WEIR_NEIGH_TRIES);
    payload_done(payload);
}

static void all_places_taken_the_oldest_of_all_goes(void **state)
{
    (void)state;
    struct weir_zhead *payload = payload_new();
    for (uint32_t i = 0; i < 5; i++) {
        resolve(0x0a090100 + i);
        for (uint32_t k = 0; k < QUEUE; k++)
            queue(0x0a090100 + i, payload, (uint8_t)(i * QUEUE + k));
    }
    assert_int_equal(drops(WEIR_DROP_NEIGH_QUEUE), QUEUE);
    assert_int_equal(weir_neigh_find(&r.n, 0x0a090100)->queued, 0);
    assert_int_equal(weir_neigh_find(&r.n, 0x0a090104)->queued, QUEUE);
    r.d.room = 5;
    sent();
    r.d.room = 0;
    input_own(WEIR_ARP_REPLY, 0x0a090104, OUR_IP);
    assert_int_equal(drops(WEIR_DROP_TX_REFUSED), QUEUE);
    weir_neigh_close(&r.n);
    check();
    payload_done(payload);
}

/* The model: the table of neigh_arp.c written down again, without lists, hash or bounds. */
static struct model {
    uint8_t state, tries;
    uint32_t when;
} model[BIG];

static void model_set(struct model *m, enum weir_neigh_state s, uint32_t ms)
{
    m->state = (uint8_t)s;
    m->when = r.now + ms;
}

static void model_ask(struct model *m, enum weir_neigh_state s)
{
    m->tries = 1;
    model_set(m, s, WEIR_NEIGH_RETRY_MS);
}

static void model_due(struct model *m)
{
    if (m->state == WEIR_NEIGH_NONE || weir_seq_lt(r.now, m->when)) return;
    bool asking = m->state == WEIR_NEIGH_INCOMPLETE || m->state == WEIR_NEIGH_PROBE;
    if (asking && m->tries < WEIR_NEIGH_TRIES) {
        m->tries++;
        m->when = r.now + WEIR_NEIGH_RETRY_MS;
    } else if (m->state == WEIR_NEIGH_INCOMPLETE) {
        model_set(m, WEIR_NEIGH_FAILED, WEIR_NEIGH_FAILED_MS);
    } else if (m->state == WEIR_NEIGH_REACHABLE) {
        model_set(m, WEIR_NEIGH_STALE, WEIR_NEIGH_STALE_MS);
    } else {
        m->state = WEIR_NEIGH_NONE;
    }
}

static void model_heard(struct model *m, bool answer, bool to_us)
{
    if (answer && (m->state == WEIR_NEIGH_INCOMPLETE || m->state == WEIR_NEIGH_PROBE))
        model_set(m, WEIR_NEIGH_REACHABLE, WEIR_NEIGH_REACHABLE_MS);
    else if (m->state == WEIR_NEIGH_INCOMPLETE || m->state == WEIR_NEIGH_FAILED ||
             (m->state == WEIR_NEIGH_NONE && to_us))
        model_set(m, WEIR_NEIGH_STALE, WEIR_NEIGH_STALE_MS);
}

static void step_resolve(uint32_t ip, struct model *m)
{
    enum weir_send want = WEIR_SEND_OK;
    if (m->state == WEIR_NEIGH_NONE || m->state == WEIR_NEIGH_INCOMPLETE) want = WEIR_SEND_WAIT_NEIGH;
    if (m->state == WEIR_NEIGH_FAILED) want = WEIR_SEND_NO_NEIGH;
    if (m->state == WEIR_NEIGH_NONE) model_ask(m, WEIR_NEIGH_INCOMPLETE);
    if (m->state == WEIR_NEIGH_STALE) model_ask(m, WEIR_NEIGH_PROBE);
    assert_int_equal(resolve(ip), want);
}

static void step_tick(uint64_t *seed)
{
    uint32_t most = zfixture_random(seed, 4) == 0 ? 100000 : 1500;
    uint32_t next;
    r.now += zfixture_random(seed, most);
    for (uint32_t i = 0; i < BIG / 2; i++)
        model_due(&model[i]);
    while (tick(&next) && weir_seq_leq(next, r.now))
        ;
}

static void step(uint64_t *seed, struct weir_zhead *payload)
{
    uint32_t i = zfixture_random(seed, BIG / 2);
    uint32_t ip = 0x0a090100 + i;
    struct model *m = &model[i];
    switch (zfixture_random(seed, 7)) {
    case 0:
    case 1:
        step_resolve(ip, m);
        break;
    case 2:
        if (m->state == WEIR_NEIGH_INCOMPLETE) queue(ip, payload, (uint8_t)i);
        break;
    case 3:
        model_heard(m, true, false);
        input_own(WEIR_ARP_REPLY, ip, OUR_IP);
        break;
    case 4:
        model_heard(m, false, true);
        input_own(WEIR_ARP_REQUEST, ip, OUR_IP);
        break;
    case 5:
        if (m->state == WEIR_NEIGH_STALE || m->state == WEIR_NEIGH_REACHABLE || m->state == WEIR_NEIGH_PROBE)
            model_set(m, WEIR_NEIGH_REACHABLE, WEIR_NEIGH_REACHABLE_MS);
        weir_neigh_confirm(&r.n, ip, r.now);
        break;
    default:
        step_tick(seed);
        break;
    }
}

static void behaves_like_the_model(void **state)
{
    (void)state;
    uint64_t seed = zfixture_seed();
    struct weir_zhead *payload = payload_new();
    memset(model, 0, sizeof(model));
    for (int i = 0; i < 20000; i++) {
        step(&seed, payload);
        for (uint32_t k = 0; k < BIG / 2; k++)
            assert_int_equal(state_of(0x0a090100 + k), model[k].state);
    }
    weir_neigh_close(&r.n);
    payload_done(payload);
}

/* Under pressure, from all sides: nothing but the invariants. */
static void survives_a_full_table(void **state)
{
    (void)state;
    uint64_t seed = zfixture_seed();
    struct weir_zhead *payload = payload_new();
    r.room_lacked = true;
    for (int i = 0; i < 20000; i++) {
        uint32_t ip = 0x0a090100 + zfixture_random(&seed, 40), next;
        r.d.room = zfixture_random(&seed, 10) == 0 ? 0 : 1000;
        switch (zfixture_random(&seed, 5)) {
        case 0:
            resolve(ip);
            break;
        case 1:
            if (resolve(ip) == WEIR_SEND_WAIT_NEIGH) queue(ip, payload, 1);
            break;
        case 2:
            input_own(WEIR_ARP_REPLY, ip, OUR_IP);
            break;
        case 3:
            input_own(WEIR_ARP_REQUEST, ip, OUR_IP);
            break;
        default:
            r.now += zfixture_random(&seed, 2000);
            tick(&next);
            break;
        }
        if (i % 16 == 0) sent();
    }
    r.d.room = 1000;
    weir_neigh_close(&r.n);
    payload_done(payload);
}

#define SMALL(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define LARGE(f) cmocka_unit_test_setup_teardown(f, setup_big, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SMALL(asks_once_and_learns),
        SMALL(asks_three_times_a_second_apart),
        SMALL(a_failed_one_that_speaks_is_known),
        SMALL(never_asks_for_what_is_no_neighbour),
        SMALL(answers_requests_for_us),
        SMALL(probes_a_stale_one_when_used),
        SMALL(ages_from_reachable_to_nothing),
        SMALL(an_answered_probe_makes_reachable),
        SMALL(progress_confirms),
        SMALL(gratuitous_changes_only_the_known),
        SMALL(a_flood_for_others_makes_no_entries),
        SMALL(refuses_the_malformed),
        SMALL(refuses_impossible_senders),
        SMALL(answers_an_address_probe),
        SMALL(without_room_asks_soon_again),
        SMALL(without_a_block_asks_soon_again),
        SMALL(replaces_the_oldest_unused),
        SMALL(replaces_stale_before_reachable),
        SMALL(the_unanswered_take_half_the_table),
        LARGE(delivers_in_order_what_waited),
        LARGE(sends_at_once_to_the_known),
        LARGE(drops_what_waited_for_one_that_fails),
        LARGE(all_places_taken_the_oldest_of_all_goes),
        LARGE(behaves_like_the_model),
        SMALL(survives_a_full_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
