/* neigh_table.h: the inside of the neighbour table, between neigh_table.c, neigh_arp.c and neigh_queue.c. For
 * nobody else but their tests. */
#ifndef WEIR_NEIGH_TABLE_H
#define WEIR_NEIGH_TABLE_H

#include "link/neigh.h"

static inline bool weir_neigh_known(const struct weir_neigh_entry *e)
{
    return e->state == WEIR_NEIGH_REACHABLE || e->state == WEIR_NEIGH_STALE || e->state == WEIR_NEIGH_PROBE;
}

/* The entry of an address, NULL: none. */
struct weir_neigh_entry *weir_neigh_find(struct weir_neigh *, uint32_t ip);

/* A new entry for an address that has none, in the hash but in no list: the caller moves it to a state at
 * once. In a full table it replaces the one least recently used of the first of these that there are: failed;
 * unanswered, when they are more than half of the table; stale; reachable; unanswered; probed. Those for
 * which a datagram waits come last. */
struct weir_neigh_entry *weir_neigh_make(struct weir_neigh *, uint32_t ip, uint32_t now_ms);

/* Whether a new entry would push out one that waits for its answer since less than WEIR_NEIGH_KEEP_MS. */
bool weir_neigh_crowded(const struct weir_neigh *, uint32_t now_ms);

/* To the end of a state's list. when_ms is not before that of any entry in the list. */
void weir_neigh_move(struct weir_neigh *, struct weir_neigh_entry *, enum weir_neigh_state, uint32_t when_ms);

/* To the front of its own list, whatever the others' times: they wait until this one's. */
void weir_neigh_put_off(struct weir_neigh *, struct weir_neigh_entry *, uint32_t when_ms);

/* The entry is gone, and its datagrams (counted as `why`). */
void weir_neigh_forget(struct weir_neigh *, struct weir_neigh_entry *, enum weir_drop why);

/* Sends the entry's datagrams, oldest first. */
void weir_neigh_deliver(struct weir_neigh *, struct weir_neigh_entry *);

/* Drops the entry's datagrams. */
void weir_neigh_discard(struct weir_neigh *, struct weir_neigh_entry *, enum weir_drop why);

static inline struct weir_neigh_entry *weir_neigh_at(const struct weir_neigh *n, uint32_t number)
{
    return &n->entry[number - 1];
}
static inline uint32_t weir_neigh_number(const struct weir_neigh *n, const struct weir_neigh_entry *e)
{
    return (uint32_t)(e - n->entry) + 1;
}

#endif
