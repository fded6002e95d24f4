/* neigh_table.c: the entries of a neighbour table.
 *
 * Theory. An entry is in the free list (state NONE), or in one hash chain and in the list of its state.
 * Within a state all times are the same distance ahead, so appending keeps each list in the order of when_ms,
 * and what is due next is at the front of one of five lists: no wheel, no walk over the table, and ageing
 * costs what it does.
 *
 *     bucket[hash(ip)] -> e3 -> e9              chains: next
 *     list[REACHABLE]  first e9 <-> e1 last     lists: before, behind; when_ms rises
 *     free             -> e2 -> e4
 *
 * Invariants: free + sum(list[s].n) = entries; an entry's queued = waiting datagrams that name it; a state's
 * list is sorted but for entries that were put off (no block or room for their requests), which are at its
 * front.
 *
 * The hash is keyed, because peers choose their addresses. Who may fill the table: our own attempts to send,
 * which spoofed requests cause, too. So unanswered entries replace one another as soon as they are half of
 * the table, and neighbours in use stay. Rejected: one list of all entries by last use, from which a flood
 * pushes out whoever paused. */
#include "link/neigh_table.h"

#include <string.h>

#include "base/bits.h"

static uint32_t *bucket_of(const struct weir_neigh *n, uint32_t ip)
{
    return &n->bucket[(uint32_t)weir_siphash_tuple(&n->key, ip, 0, 0, 0, 0) & n->hash_mask];
}

static void free_put(struct weir_neigh *n, struct weir_neigh_entry *e)
{
    memset(e, 0, sizeof(*e));
    e->next = n->free;
    n->free = weir_neigh_number(n, e);
}

void weir_neigh_init(struct weir_neigh *n, struct weir_txq *txq, struct weir_zpool *z,
                     struct weir_stats *stats, const struct weir_sipkey *key, struct weir_neigh_entry *entry,
                     uint32_t entries, uint32_t *bucket, struct weir_neigh_wait *wait, uint32_t queue_max,
                     const uint8_t mac[6], uint32_t ip, uint32_t mask)
{
    memset(n, 0, sizeof(*n));
    n->txq = txq;
    n->z = z;
    n->stats = stats;
    n->key = *key;
    n->entry = entry;
    n->entries = entries;
    n->bucket = bucket;
    n->hash_mask = weir_pow2_ceil(entries) - 1;
    n->wait = wait;
    n->queue_max = queue_max;
    n->waits = WEIR_NEIGH_WAITS(queue_max);
    n->ip = ip;
    n->mask = mask;
    memcpy(n->mac, mac, sizeof(n->mac));
    memset(bucket, 0, ((size_t)n->hash_mask + 1) * sizeof(*bucket));
    for (uint32_t i = 0; i < n->waits; i++)
        wait[i].entry = 0;
    for (uint32_t i = entries; i > 0; i--)
        free_put(n, &entry[i - 1]);
}

struct weir_neigh_entry *weir_neigh_find(struct weir_neigh *n, uint32_t ip)
{
    /* Most frames of a burst go to the neighbour of the one before. */
    if (n->hit != NULL && n->hit->state != WEIR_NEIGH_NONE && n->hit->ip == ip) return n->hit;
    for (uint32_t at = *bucket_of(n, ip); at != 0; at = weir_neigh_at(n, at)->next) {
        if (weir_neigh_at(n, at)->ip == ip) {
            n->hit = weir_neigh_at(n, at);
            return n->hit;
        }
    }
    return NULL;
}

static void changed(struct weir_neigh *n)
{
    n->next_known = false;
    if (n->watch) *n->watch = false;
}

static void list_remove(struct weir_neigh *n, struct weir_neigh_entry *e)
{
    if (e->state == WEIR_NEIGH_NONE) return;
    struct weir_neigh_list *l = &n->list[e->state];
    changed(n);
    if (e->before != 0)
        weir_neigh_at(n, e->before)->behind = e->behind;
    else
        l->first = e->behind;
    if (e->behind != 0)
        weir_neigh_at(n, e->behind)->before = e->before;
    else
        l->last = e->before;
    l->n--;
    e->before = e->behind = 0;
}

void weir_neigh_move(struct weir_neigh *n, struct weir_neigh_entry *e, enum weir_neigh_state state,
                     uint32_t when_ms)
{
    list_remove(n, e);
    struct weir_neigh_list *l = &n->list[state];
    uint32_t number = weir_neigh_number(n, e);
    changed(n);
    e->state = (uint8_t)state;
    e->put_off = 0;
    e->when_ms = when_ms;
    e->before = l->last;
    if (l->last != 0)
        weir_neigh_at(n, l->last)->behind = number;
    else
        l->first = number;
    l->last = number;
    l->n++;
}

void weir_neigh_put_off(struct weir_neigh *n, struct weir_neigh_entry *e, uint32_t when_ms)
{
    struct weir_neigh_list *l = &n->list[e->state];
    uint32_t number = weir_neigh_number(n, e);
    list_remove(n, e);
    e->put_off = 1;
    changed(n);
    e->when_ms = when_ms;
    e->behind = l->first;
    if (l->first != 0)
        weir_neigh_at(n, l->first)->before = number;
    else
        l->last = number;
    l->first = number;
    l->n++;
}

void weir_neigh_forget(struct weir_neigh *n, struct weir_neigh_entry *e, enum weir_drop why)
{
    weir_neigh_discard(n, e, why);
    list_remove(n, e);
    uint32_t number = weir_neigh_number(n, e);
    uint32_t *link = bucket_of(n, e->ip);
    while (*link != number)
        link = &weir_neigh_at(n, *link)->next;
    *link = e->next;
    free_put(n, e);
}

/* Whether a should go rather than b. */
static bool goes_first(const struct weir_neigh_entry *a, const struct weir_neigh_entry *b)
{
    if ((a->queued == 0) != (b->queued == 0)) return a->queued == 0;
    return weir_seq_lt(a->used_ms, b->used_ms);
}

/* The entry to replace among the oldest of a state. The number looked at is more than the datagrams that can
 * wait, so one without is found if there is one. */
static struct weir_neigh_entry *oldest(const struct weir_neigh *n, enum weir_neigh_state state)
{
    struct weir_neigh_entry *best = NULL;
    uint32_t at = n->list[state].first;
    for (uint32_t looked = 0; at != 0 && looked <= WEIR_NEIGH_LOOK_MAX; looked++) {
        struct weir_neigh_entry *e = weir_neigh_at(n, at);
        if (best == NULL || goes_first(e, best)) best = e;
        at = e->behind;
    }
    return best;
}

/* Called only when the table is full, so one of the lists is not empty. */
static struct weir_neigh_entry *victim(const struct weir_neigh *n)
{
    static const uint8_t order[] = {WEIR_NEIGH_FAILED, WEIR_NEIGH_STALE, WEIR_NEIGH_REACHABLE,
                                    WEIR_NEIGH_INCOMPLETE, WEIR_NEIGH_PROBE};
    if (n->list[WEIR_NEIGH_FAILED].n == 0 && n->list[WEIR_NEIGH_INCOMPLETE].n > n->entries / 2)
        return oldest(n, WEIR_NEIGH_INCOMPLETE);
    for (uint32_t i = 0; i < sizeof(order); i++) {
        if (n->list[order[i]].n > 0) return oldest(n, (enum weir_neigh_state)order[i]);
    }
    return NULL;
}

bool weir_neigh_crowded(const struct weir_neigh *n, uint32_t now_ms)
{
    if (n->free != 0) return false;
    const struct weir_neigh_entry *e = victim(n);
    if (e->state != WEIR_NEIGH_INCOMPLETE || e->tries == 0) return false;
    uint32_t asked_ms = e->when_ms - WEIR_NEIGH_RETRY_MS;
    return weir_seq_lt(now_ms, asked_ms + WEIR_NEIGH_KEEP_MS);
}

struct weir_neigh_entry *weir_neigh_make(struct weir_neigh *n, uint32_t ip, uint32_t now_ms)
{
    if (n->free == 0) {
        weir_neigh_forget(n, victim(n), WEIR_DROP_NEIGH_QUEUE);
        n->resolved++; /* whoever waits for the one replaced has to ask again */
    }
    struct weir_neigh_entry *e = weir_neigh_at(n, n->free);
    n->free = e->next;
    uint32_t *bucket = bucket_of(n, ip);
    e->ip = ip;
    e->used_ms = now_ms;
    e->next = *bucket;
    *bucket = weir_neigh_number(n, e);
    return e;
}
