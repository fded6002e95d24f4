/* neigh_arp.c: address resolution: who is asked when, what is learnt from whom, and how neighbours age.
 *
 * Theory. The states and what moves an entry between them (u: a use, a: the answer to our request, n: a
 * packet of this neighbour that brings another address, c: TCP made progress; the others are times):
 *
 *     (none)      u -> INCOMPLETE, asked       request to us -> STALE
 *     INCOMPLETE  a -> REACHABLE               n -> STALE            1 s -> asked again; after 3 -> FAILED
 *     REACHABLE   30 s -> STALE                n -> STALE            c -> 30 s more
 *     STALE       u -> PROBE, asked            n -> STALE            c -> REACHABLE   600 s -> (none)
 *     PROBE       a, c -> REACHABLE            n -> STALE            1 s -> asked again; after 3 -> (none)
 *     FAILED      n -> STALE                   1 s -> (none)
 *
 * An entry is used in REACHABLE, STALE and PROBE. Requests go to everybody in INCOMPLETE and to the known
 * address in PROBE (RFC 1122 2.3.2.1, unicast poll), at most one a second. A packet that we did not ask for
 * shows that the neighbour speaks, not that it hears us: hence STALE and not REACHABLE (RFC 4861 7.2.5). */
#include <string.h>

#include "base/bits.h"
#include "link/neigh_table.h"
#include "wire/arp.h"
#include "wire/eth.h"

#define GROUPS_FROM 0xe0000000u /* 224.0.0.0 and up: groups, reserved, broadcast */

static const uint8_t mac_none[6];
static const uint8_t mac_all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* One ARP frame to a station. It begins where the block does, which is aligned enough for any device. */
static enum weir_send send_arp(struct weir_neigh *n, const struct weir_arp *a, const uint8_t to[6])
{
    if (!weir_txq_room(n->txq, 1)) return WEIR_SEND_WAIT_ROOM;
    struct weir_zhead *h = weir_zpool_take(n->z, WEIR_ZCLASS_MIN, WEIR_TAKE_CONTROL);
    if (h == NULL) return WEIR_SEND_WAIT_HEADER;
    struct weir_piece piece = {weir_zpool_first(n->z, h), WEIR_ETH_BYTES + WEIR_ARP_BYTES};
    struct weir_frame frame = {.pieces = &piece, .bytes = piece.bytes, .n_pieces = 1};
    struct weir_eth eth = {.type = WEIR_ETHERTYPE_ARP};
    memcpy(eth.dst, to, sizeof(eth.dst));
    memcpy(eth.src, n->mac, sizeof(eth.src));
    weir_eth_emit(piece.addr, &eth);
    weir_arp_emit(piece.addr + WEIR_ETH_BYTES, a);
    weir_txq_push(n->txq, &frame);
    return WEIR_SEND_OK;
}

/* Asks for an entry in INCOMPLETE or PROBE; where there is no block or room, as soon as there is. */
static void ask(struct weir_neigh *n, struct weir_neigh_entry *e, uint32_t now_ms)
{
    struct weir_arp a = {.op = WEIR_ARP_REQUEST, .spa = n->ip, .tpa = e->ip};
    memcpy(a.sha, n->mac, sizeof(a.sha));
    const uint8_t *to = e->state == WEIR_NEIGH_PROBE ? e->mac : mac_all;
    if (send_arp(n, &a, to) != WEIR_SEND_OK) {
        weir_neigh_put_off(n, e, now_ms + WEIR_NEIGH_ROOM_MS);
        return;
    }
    e->tries++;
    weir_neigh_move(n, e, (enum weir_neigh_state)e->state, now_ms + WEIR_NEIGH_RETRY_MS);
}

static void begin_asking(struct weir_neigh *n, struct weir_neigh_entry *e, enum weir_neigh_state state,
                         uint32_t now_ms)
{
    e->tries = 0;
    weir_neigh_move(n, e, state, now_ms + WEIR_NEIGH_RETRY_MS);
    ask(n, e, now_ms);
}

enum weir_send weir_neigh_ask(struct weir_neigh *n, uint32_t ip, uint32_t now_ms, uint8_t mac[6])
{
    if (ip == n->ip || ip == 0 || ip >= GROUPS_FROM) return WEIR_SEND_NO_NEIGH;
    struct weir_neigh_entry *e = weir_neigh_find(n, ip);
    if (e == NULL) {
        /* More that are asked for than there are places would push each other out before any answer came. */
        if (weir_neigh_crowded(n, now_ms)) return WEIR_SEND_WAIT_NEIGH;
        begin_asking(n, weir_neigh_make(n, ip, now_ms), WEIR_NEIGH_INCOMPLETE, now_ms);
        return WEIR_SEND_WAIT_NEIGH;
    }
    e->used_ms = now_ms;
    if (e->state == WEIR_NEIGH_FAILED) return WEIR_SEND_NO_NEIGH;
    if (e->state == WEIR_NEIGH_INCOMPLETE) return WEIR_SEND_WAIT_NEIGH;
    memcpy(mac, e->mac, sizeof(e->mac));
    if (e->state == WEIR_NEIGH_STALE) begin_asking(n, e, WEIR_NEIGH_PROBE, now_ms);
    return WEIR_SEND_OK;
}

void weir_neigh_reached(struct weir_neigh *n, uint32_t ip, uint32_t now_ms)
{
    struct weir_neigh_entry *e = weir_neigh_find(n, ip);
    uint32_t until_ms = now_ms + WEIR_NEIGH_REACHABLE_MS;
    if (e == NULL || !weir_neigh_known(e)) return;
    if (e->state == WEIR_NEIGH_REACHABLE && e->when_ms == until_ms)
        return; /* confirmed in this millisecond */
    weir_neigh_move(n, e, WEIR_NEIGH_REACHABLE, until_ms);
}

/* What a packet of a known neighbour says of its address. */
static void learn(struct weir_neigh *n, struct weir_neigh_entry *e, const struct weir_arp *a, uint32_t now_ms)
{
    bool known = weir_neigh_known(e);
    bool asked = e->state == WEIR_NEIGH_INCOMPLETE || e->state == WEIR_NEIGH_PROBE;
    bool other = !known || memcmp(e->mac, a->sha, sizeof(e->mac)) != 0;
    memcpy(e->mac, a->sha, sizeof(e->mac));
    if (asked && a->op == WEIR_ARP_REPLY && a->tpa == n->ip)
        weir_neigh_move(n, e, WEIR_NEIGH_REACHABLE, now_ms + WEIR_NEIGH_REACHABLE_MS);
    else if (other)
        weir_neigh_move(n, e, WEIR_NEIGH_STALE, now_ms + WEIR_NEIGH_STALE_MS);
    if (known) return;
    weir_neigh_deliver(n, e);
    n->resolved++;
}

static void learn_new(struct weir_neigh *n, const struct weir_arp *a, uint32_t now_ms)
{
    struct weir_neigh_entry *e = weir_neigh_make(n, a->spa, now_ms);
    memcpy(e->mac, a->sha, sizeof(e->mac));
    weir_neigh_move(n, e, WEIR_NEIGH_STALE, now_ms + WEIR_NEIGH_STALE_MS);
}

static void reply(struct weir_neigh *n, const struct weir_arp *to)
{
    struct weir_arp a = {.op = WEIR_ARP_REPLY, .spa = n->ip, .tpa = to->spa};
    memcpy(a.sha, n->mac, sizeof(a.sha));
    memcpy(a.tha, to->sha, sizeof(a.tha));
    enum weir_send sent = send_arp(n, &a, to->sha);
    if (sent == WEIR_SEND_WAIT_ROOM) n->stats->drops[WEIR_DROP_TX_REFUSED]++;
    if (sent == WEIR_SEND_WAIT_HEADER) n->stats->drops[WEIR_DROP_NO_HEADER]++;
}

static enum weir_verdict dropped(struct weir_neigh *n, enum weir_drop why)
{
    n->stats->drops[why]++;
    return WEIR_V_DROP;
}

/* The subnet's own address and its broadcast: a neighbour of that name would draw what is meant for all. */
static bool no_host(const struct weir_neigh *n, uint32_t ip)
{
    uint32_t host = ip & ~n->mask;
    return ((ip ^ n->ip) & n->mask) == 0 && (host == 0 || host == ~n->mask);
}

/* Whether no station could have sent this. Somebody else with our address is here, too: the conflict shows in
 * the count. */
static bool sender_bad(const struct weir_neigh *n, const struct weir_arp *a)
{
    if (weir_mac_is_group(a->sha) || memcmp(a->sha, mac_none, sizeof(a->sha)) == 0) return true;
    if (memcmp(a->sha, n->mac, sizeof(a->sha)) == 0) return true;
    return a->spa == n->ip || a->spa >= GROUPS_FROM || no_host(n, a->spa);
}

enum weir_verdict weir_neigh_input(struct weir_neigh *n, const uint8_t *p, uint32_t bytes, uint32_t now_ms)
{
    struct weir_arp a;
    if (!weir_arp_parse(&a, p, bytes) || sender_bad(n, &a)) return dropped(n, WEIR_DROP_ARP_BAD);
    bool to_us = a.op == WEIR_ARP_REQUEST && a.tpa == n->ip;
    if (a.spa == 0) {
        if (!to_us) return dropped(n, WEIR_DROP_ARP_BAD);
    } else {
        struct weir_neigh_entry *e = weir_neigh_find(n, a.spa);
        if (e != NULL)
            learn(n, e, &a, now_ms);
        else if (to_us)
            learn_new(n, &a, now_ms);
        else
            return dropped(n, WEIR_DROP_ARP_NOT_MINE);
    }
    if (to_us) reply(n, &a);
    return WEIR_V_DONE;
}

static void fail(struct weir_neigh *n, struct weir_neigh_entry *e, uint32_t now_ms)
{
    weir_neigh_discard(n, e, WEIR_DROP_NEIGH_FAILED);
    weir_neigh_move(n, e, WEIR_NEIGH_FAILED, now_ms + WEIR_NEIGH_FAILED_MS);
    n->resolved++;
}

static void expire(struct weir_neigh *n, struct weir_neigh_entry *e, uint32_t now_ms)
{
    bool asking = e->state == WEIR_NEIGH_INCOMPLETE || e->state == WEIR_NEIGH_PROBE;
    if (asking && e->tries < WEIR_NEIGH_TRIES)
        ask(n, e, now_ms);
    else if (e->state == WEIR_NEIGH_INCOMPLETE)
        fail(n, e, now_ms);
    else if (e->state == WEIR_NEIGH_REACHABLE)
        weir_neigh_move(n, e, WEIR_NEIGH_STALE, now_ms + WEIR_NEIGH_STALE_MS);
    else
        weir_neigh_forget(n, e, WEIR_DROP_NEIGH_FAILED);
}

/* The entry whose time comes first, NULL: the table is empty. */
static struct weir_neigh_entry *soonest(const struct weir_neigh *n)
{
    struct weir_neigh_entry *best = NULL;
    for (uint32_t s = WEIR_NEIGH_NONE + 1; s < WEIR_NEIGH_STATES; s++) {
        if (n->list[s].first == 0) continue;
        struct weir_neigh_entry *e = weir_neigh_at(n, n->list[s].first);
        if (best == NULL || weir_seq_lt(e->when_ms, best->when_ms)) best = e;
    }
    return best;
}

static bool can_ask(const struct weir_neigh *n)
{
    return weir_txq_room(n->txq, 1) && weir_zpool_can(n->z, 0, WEIR_TAKE_CONTROL, 1);
}

static const uint8_t asking[] = {WEIR_NEIGH_INCOMPLETE, WEIR_NEIGH_PROBE};

static bool any_put_off(const struct weir_neigh *n)
{
    for (uint32_t i = 0; i < sizeof(asking); i++) {
        uint32_t first = n->list[asking[i]].first;
        if (first != 0 && weir_neigh_at(n, first)->put_off) return true;
    }
    return false;
}

/* Requests that found no block or room, which stand at the front of their lists: now, if there is some. */
static void ask_put_off(struct weir_neigh *n, uint32_t now_ms)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < sizeof(asking); i++) {
        const struct weir_neigh_list *l = &n->list[asking[i]];
        for (; l->first != 0 && done < WEIR_NEIGH_TICK_MAX; done++) {
            struct weir_neigh_entry *e = weir_neigh_at(n, l->first);
            if (!e->put_off || !can_ask(n)) break;
            ask(n, e, now_ms);
        }
    }
}

bool weir_neigh_age(struct weir_neigh *n, uint32_t now_ms, uint32_t *next_ms)
{
    ask_put_off(n, now_ms);
    struct weir_neigh_entry *e = soonest(n);
    for (uint32_t done = 0; e != NULL && weir_seq_leq(e->when_ms, now_ms) && done < WEIR_NEIGH_TICK_MAX;
         done++) {
        expire(n, e, now_ms);
        e = soonest(n);
    }
    if (e == NULL) return false;
    n->next_known = !any_put_off(n); /* those are asked for as soon as there is room */
    *next_ms = n->next_ms = e->when_ms;
    return true;
}
