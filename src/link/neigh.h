/* neigh.h: neighbours of one Ethernet interface: address resolution (RFC 826, RFC 1122 2.3.2) with ageing in
 * the manner of RFC 4861 (reachable, stale, probe), and the bounded queue of datagrams that wait for an
 * answer.
 *
 * neigh_table.c keeps the entries, neigh_arp.c speaks the protocol, neigh_queue.c keeps the datagrams.
 *
 * Sends complete frames itself (wire/, txq). TCP never queues here: it asks weir_neigh_resolve and waits. Not
 * thread-safe; time is an argument. */
#ifndef WEIR_NEIGH_H
#define WEIR_NEIGH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"
#include "base/siphash.h"
#include "base/verdict.h"
#include "mem/zpool.h"
#include "netdev/txq.h"

#define WEIR_NEIGH_RETRY_MS     1000u /* between two requests (RFC 1122 2.3.2.1: at most one a second) */
#define WEIR_NEIGH_TRIES        3u
#define WEIR_NEIGH_KEEP_MS      100u    /* for so long nobody takes the place of one that was just asked */
#define WEIR_NEIGH_REACHABLE_MS 30000u  /* after confirmation */
#define WEIR_NEIGH_STALE_MS     600000u /* unused for so long: forgotten */
#define WEIR_NEIGH_FAILED_MS    1000u   /* how long a failure is remembered */
#define WEIR_NEIGH_ROOM_MS                                                                                   \
    10u /* after which a sleeper tries again when the device or the pool had no room for a request */
#define WEIR_NEIGH_TICK_MAX 32u /* entries that one tick handles */
#define WEIR_NEIGH_LOOK_MAX 64u /* entries of a state that are compared to find the one to replace */

enum weir_neigh_state {
    WEIR_NEIGH_NONE,
    WEIR_NEIGH_INCOMPLETE, /* asked, no answer yet; datagrams may wait */
    WEIR_NEIGH_REACHABLE,
    WEIR_NEIGH_STALE,  /* known, not confirmed lately; used, and probed when used */
    WEIR_NEIGH_PROBE,  /* known, used, unicast requests are out; unanswered, the entry goes */
    WEIR_NEIGH_FAILED, /* it did not answer; not asked again for a while */
    WEIR_NEIGH_STATES
};

struct weir_neigh_entry {
    uint32_t ip;             /* number */
    uint32_t next;           /* in its hash chain or the free list, entry + 1 */
    uint32_t before, behind; /* in its state's list, entry + 1 */
    uint32_t when_ms;        /* what happens next in this state, happens then */
    uint32_t used_ms;        /* last use */
    uint8_t mac[6];
    uint8_t state, tries;
    uint8_t queued;  /* datagrams waiting */
    uint8_t put_off; /* 1: its request had no header block or room, and is to go out when there is some */
};

/* Entries of one state in the order of when_ms. */
struct weir_neigh_list {
    uint32_t first, last, n; /* entry + 1 */
};

/* A datagram that waits: one frame whose pieces hold references of owner DATAGRAM. */
struct weir_neigh_wait {
    uint32_t entry; /* entry + 1, 0: free */
    uint32_t order; /* smaller is older */
    struct weir_frame frame;
    struct weir_piece piece[4];
};

struct weir_neigh {
    struct weir_txq *txq;
    struct weir_zpool *z;
    struct weir_stats *stats;
    struct weir_sipkey key;
    struct weir_neigh_entry *entry;
    uint32_t *bucket; /* entry + 1; hash_mask + 1 of them */
    struct weir_neigh_wait *wait;
    uint32_t entries, hash_mask, waits, queue_max;
    uint32_t free; /* entry + 1 */
    uint32_t order;
    struct weir_neigh_entry *hit; /* the one that was found last, or NULL */
    uint32_t
        next_ms; /* with next_known: the earliest when_ms of all lists, none of which has changed since */
    bool next_known;
    bool *watch; /* NULL, or set to false whenever next_known is: somebody keeps what he made of it */
    struct weir_neigh_list list[WEIR_NEIGH_STATES];
    uint32_t ip, mask; /* our own address and its subnet's mask, numbers */
    uint8_t mac[6];
    uint32_t resolved; /* grows whenever an entry becomes usable or fails: those who wait try again */
};

/* How many datagrams wait in all, for the plan: entries that matter are few. */
#define WEIR_NEIGH_WAITS(queue_max) ((queue_max)*4u)

/* entries a power of two or not; bucket has weir_pow2_ceil(entries) cells; wait has
 * WEIR_NEIGH_WAITS(queue_max). */
void weir_neigh_init(struct weir_neigh *, struct weir_txq *, struct weir_zpool *, struct weir_stats *,
                     const struct weir_sipkey *, struct weir_neigh_entry *, uint32_t entries,
                     uint32_t *bucket, struct weir_neigh_wait *, uint32_t queue_max, const uint8_t mac[6],
                     uint32_t ip, uint32_t mask);

/* The entry found last, if it is this neighbour's and in REACHABLE, which is how it is for most frames. */
static inline struct weir_neigh_entry *weir_neigh_hit(struct weir_neigh *n, uint32_t ip)
{
    struct weir_neigh_entry *e = n->hit;
    return e && e->ip == ip && e->state == WEIR_NEIGH_REACHABLE ? e : NULL;
}

/* weir_neigh_resolve for all others. */
enum weir_send weir_neigh_ask(struct weir_neigh *, uint32_t ip, uint32_t now_ms, uint8_t mac[6]);

/* The Ethernet address of a neighbour on this link. OK and mac[6]; WAIT_NEIGH: a request is out (sent now if
 * none was lately; without a header block or room it goes out on the first tick that finds both); NO_NEIGH:
 * it did not answer lately. When the table is full an old entry is replaced (weir_neigh_make says which), but
 * not one that was asked less than WEIR_NEIGH_KEEP_MS ago: WAIT_NEIGH then, without a request. Constant time.
 */
static inline enum weir_send weir_neigh_resolve(struct weir_neigh *n, uint32_t ip, uint32_t now_ms,
                                                uint8_t mac[6])
{
    struct weir_neigh_entry *e = weir_neigh_hit(n, ip);
    if (!e) return weir_neigh_ask(n, ip, now_ms, mac);
    e->used_ms = now_ms;
    memcpy(mac, e->mac, 6);
    return WEIR_SEND_OK;
}

/* Keeps a datagram (at most 4 pieces; the Ethernet header's place is in front and unfilled) until ip answers.
 * Takes over one reference (TXWAIT) of piece 0 and adds one for each other piece; owner DATAGRAM while it
 * waits. When the queue is full the oldest datagram of that neighbour is dropped (RFC 1122 2.3.2.2), counted
 * as NEIGH_QUEUE. */
void weir_neigh_queue(struct weir_neigh *, uint32_t ip, const struct weir_frame *, uint32_t now_ms);

/* An ARP packet that arrived: p[0..n) behind the Ethernet header. Answers requests for our address. The
 * answer that we asked for makes the neighbour reachable; another packet from a known neighbour makes it
 * stale if it brings a new address; a request to us makes a new, stale entry (RFC 826); anything else makes
 * none. Malformed packets and such whose sender is a group address, our own, 0, a broadcast, or the subnet's
 * own address are dropped and counted; but a probe of our address (sender 0, RFC 5227) is answered, and
 * nothing learnt. */
enum weir_verdict weir_neigh_input(struct weir_neigh *, const uint8_t *p, uint32_t n, uint32_t now_ms);

/* TCP made progress with this neighbour: it is reachable (RFC 4861 7.3.1). */
void weir_neigh_reached(struct weir_neigh *, uint32_t ip, uint32_t now_ms);
static inline void weir_neigh_confirm(struct weir_neigh *n, uint32_t ip, uint32_t now_ms)
{
    const struct weir_neigh_entry *e = weir_neigh_hit(n, ip);
    if (e && e->when_ms == now_ms + WEIR_NEIGH_REACHABLE_MS) return; /* it was in this millisecond */
    weir_neigh_reached(n, ip, now_ms);
}

/* Ages and asks again, first for those whose request found no header block or room, if there is some now:
 * handles at most WEIR_NEIGH_TICK_MAX entries of either; call it on every poll, it returns at once
 * when nothing is due. Returns the time of the next call that is needed, false: none. */
bool weir_neigh_age(struct weir_neigh *, uint32_t now_ms, uint32_t *next_ms);
static inline bool weir_neigh_tick(struct weir_neigh *n, uint32_t now_ms, uint32_t *next_ms)
{
    if (!n->next_known || weir_seq_leq(n->next_ms, now_ms)) return weir_neigh_age(n, now_ms, next_ms);
    *next_ms = n->next_ms;
    return true;
}

/* Drops every waiting datagram. */
void weir_neigh_close(struct weir_neigh *);

#endif
