/* neigh_test.c: who is asked when, what is learnt from whom, ageing, replacement, and the datagrams that
 * wait. */
#include "link/neigh_rig.h"

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

/* Its answer to somebody else shows its address, not that it hears us. */
static void an_answer_to_others_makes_stale(void **state)
{
    (void)state;
    resolve(PEER);
    assert_int_equal(input_own(WEIR_ARP_REPLY, PEER, PEER + 4), WEIR_V_DONE);
    assert_int_equal(state_of(PEER), WEIR_NEIGH_STALE);
    assert_int_equal(r.n.resolved, 1);
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
    assert_int_equal(input_own(WEIR_ARP_REQUEST, 0x0a0900ff, OUR_IP), WEIR_V_DROP); /* broadcast */
    assert_int_equal(input_own(WEIR_ARP_REQUEST, 0x0a090000, OUR_IP), WEIR_V_DROP); /* the network's own */
    assert_int_equal(input(WEIR_ARP_REQUEST, PEER, group, OUR_IP), WEIR_V_DROP);
    assert_int_equal(input(WEIR_ARP_REQUEST, PEER, mac_all, OUR_IP), WEIR_V_DROP);
    assert_int_equal(input(WEIR_ARP_REQUEST, PEER, zero, OUR_IP), WEIR_V_DROP);
    assert_int_equal(input(WEIR_ARP_REQUEST, PEER, our_mac, OUR_IP), WEIR_V_DROP);
    assert_int_equal(drops(WEIR_DROP_ARP_BAD), 12);
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
    r.d.room = 1000; /* and on the next tick, at once */
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
    assert_true(tick(&next));
    assert_int_equal(sent(), 1);
}

/* The tick that a stalled pass makes must not look like work to whoever counts refused takes, and asks for no
 * more than its bound once there is room. */
static void those_put_off_are_asked_in_bounds(void **state)
{
    (void)state;
    uint32_t next;
    r.d.room = 0;
    r.room_lacked = true;
    for (uint32_t i = 0; i < BIG; i++)
        assert_int_equal(resolve(0x0a090100 + i), WEIR_SEND_WAIT_NEIGH);
    uint64_t pressure = r.f.stats.pressure;
    for (uint32_t i = 0; i < 100; i++)
        assert_true(tick(&next));
    assert_int_equal(r.f.stats.pressure, pressure);
    assert_int_equal(next, r.now + WEIR_NEIGH_ROOM_MS); /* else a sleeper would not sleep */
    r.d.room = 1000;
    assert_true(tick(&next));
    assert_int_equal(sent(), WEIR_NEIGH_TICK_MAX);
    assert_true(tick(&next));
    assert_int_equal(sent(), BIG);
    assert_int_equal(next, r.now + WEIR_NEIGH_RETRY_MS);
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
    r.now += WEIR_NEIGH_KEEP_MS;
    make_reachable(PEER);
}

/* More than there are places for, all of which answer, and all ask again and again: each gets its turn, and
 * the requests are few. */
static void those_asked_keep_their_place_for_the_answer(void **state)
{
    (void)state;
    bool known[2 * ENTRIES] = {false};
    unsigned left = 2 * ENTRIES;
    for (uint32_t i = 0; i < ENTRIES; i++)
        assert_int_equal(resolve(0x0a090200 + i), WEIR_SEND_WAIT_NEIGH); /* never answer */
    sent();
    for (unsigned round = 0; round < 4 * ENTRIES && left > 0; round++) {
        r.now += WEIR_NEIGH_KEEP_MS / 2;
        for (uint32_t i = 0; i < 2 * ENTRIES; i++)
            if (!known[i]) (void)resolve(0x0a090100 + i);
        sent();
        for (uint32_t i = 0; i < 2 * ENTRIES; i++) {
            if (known[i] || state_of(0x0a090100 + i) != WEIR_NEIGH_INCOMPLETE) continue;
            input_own(WEIR_ARP_REPLY, 0x0a090100 + i, OUR_IP);
            known[i] = resolve(0x0a090100 + i) == WEIR_SEND_OK;
            left -= known[i];
        }
    }
    assert_int_equal(left, 0);
    assert_int_equal(sent(), 3 * ENTRIES); /* one request for each */
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
        SMALL(an_answer_to_others_makes_stale),
        SMALL(progress_confirms),
        SMALL(gratuitous_changes_only_the_known),
        SMALL(a_flood_for_others_makes_no_entries),
        SMALL(refuses_the_malformed),
        SMALL(refuses_impossible_senders),
        SMALL(answers_an_address_probe),
        SMALL(without_room_asks_soon_again),
        SMALL(without_a_block_asks_soon_again),
        LARGE(those_put_off_are_asked_in_bounds),
        SMALL(replaces_the_oldest_unused),
        SMALL(replaces_stale_before_reachable),
        SMALL(the_unanswered_take_half_the_table),
        SMALL(those_asked_keep_their_place_for_the_answer),
        LARGE(delivers_in_order_what_waited),
        LARGE(sends_at_once_to_the_known),
        LARGE(drops_what_waited_for_one_that_fails),
        LARGE(all_places_taken_the_oldest_of_all_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
