/* zgive.c: releases from other threads: a list without locks, many push, the owner takes all of it.
 *
 *     giver   remote += 1 (acq_rel)
 *             saw 0: next_remote = given; given = own number + 1 (release), until it holds
 *     owner   list = exchange(given, 0) (acquire)
 *             for each head: next = next_remote; n = exchange(remote, 0) (acq_rel)
 *
 * Invariants:
 *     a head is on the list, or about to be pushed by exactly one giver, iff remote > 0; hence at most once
 *     releases carried out + sum of remote = calls of weir_zpool_give
 *
 * Why the orders are what they are. The owner reads next_remote before its exchange, and that exchange is a
 * release: the next giver that sees 0 (acquire) writes next_remote after. The giver's addition is a release,
 * so what the giver did with the bytes comes before the owner's exchange, and before the segment's next life.
 *
 * A giver touches nothing of the head but remote and next_remote, and of the pool but what never changes
 * after start, and `given`. */
#include "mem/zpool.h"

bool weir_zpool_give(struct weir_zpool *z, struct weir_zhead *h)
{
    if (atomic_fetch_add_explicit(&h->remote, 1, memory_order_acq_rel) != 0) return false;
    uint32_t own = weir_zpool_number(z, h) + 1;
    uint32_t old = atomic_load_explicit(&z->given, memory_order_relaxed);
    do
        h->next_remote = old;
    while (!atomic_compare_exchange_weak_explicit(&z->given, &old, own, memory_order_release,
                                                  memory_order_relaxed));
    return old == 0;
}

uint32_t weir_zpool_given(struct weir_zpool *z)
{
    if (atomic_load_explicit(&z->given, memory_order_relaxed) == 0) return 0;
    return atomic_exchange_explicit(&z->given, 0, memory_order_acquire);
}

struct weir_zhead *weir_zpool_given_next(struct weir_zpool *z, uint32_t *link, uint32_t *n)
{
    if (*link == 0) return NULL;
    struct weir_zhead *h = weir_zpool_by_number(z, *link - 1);
    *link = h->next_remote;
    *n = atomic_exchange_explicit(&h->remote, 0, memory_order_acq_rel);
    if (z->stats) z->stats->gives += *n;
    if (h->state == WEIR_Z_LIMBO) weir_zpool_recycle(z, h);
    return h;
}
