/* memheap.h: the part of a heap (malloc.h) that serves small requests, for memheap.c. */
#ifndef WEIR_MEMHEAP_H
#define WEIR_MEMHEAP_H

#include "weir/malloc.h"

/* size: 1 .. h->small_largest. NULL: no manager has room, and no other one can begin. */
void *weir_heap_small_take(struct weir_heap *, size_t size);

/* mem_lock is held. Of the empty ones; of all. */
size_t weir_heap_small_trim(struct weir_heap *);
void weir_heap_small_drop(struct weir_heap *);

void weir_heap_small_info(const struct weir_heap *, struct weir_mem_stat *sum);
int weir_heap_small_walk(const struct weir_heap *, weir_walk_fn, void *arg);

/* Adds st's counts to sum. */
void weir_heap_add(struct weir_mem_stat *sum, const struct weir_mem_stat *st);

/* The largest request that a manager with this configuration serves; 0: refused. */
size_t weir_heap_small_largest(const struct weir_heap_conf *);

#endif
