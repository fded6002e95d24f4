/* filecache.h: pieces of files in zbufs, shared by all connections that serve them.
 *
 * Belongs to one instance and the thread that uses it. Its tables are taken at open and never grow. */
#ifndef WEIR_TOOLS_FILECACHE_H
#define WEIR_TOOLS_FILECACHE_H

#include "docroot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weir/weir.h>

#define WEIR_FILECACHE_RUN 64 /* pieces that one call reads at most */

struct weir_chunk {
    struct weir_file_key key;
    uint64_t offset; /* in the file, a multiple of the cache's chunk_bytes */
    uint8_t *data;   /* the zbuf; NULL: this place is empty */
    uint32_t bytes;
    uint32_t pins;         /* connections that hold it */
    bool shared;           /* found by others: it lies in a bucket */
    uint32_t hash_next;    /* of its bucket; of the list of empty places */
    uint32_t older, newer; /* of the list of those that nobody holds */
};

struct weir_filecache {
    struct weir *w;
    uint32_t chunk_bytes;
    uint32_t slots, buckets; /* buckets: a power of two */
    struct weir_chunk *slot;
    uint32_t *bucket;
    uint32_t empty;          /* first empty place */
    uint32_t oldest, newest; /* of those that nobody holds */
    uint64_t hits, misses;   /* pieces */
    uint64_t reads, calls;   /* preadv calls; system calls in all */
    uint64_t bytes_read;
    uint64_t evictions;
};

/* 0, or -1: no memory for the tables. chunk_bytes and slots are at least 1. */
int weir_filecache_open(struct weir_filecache *, struct weir *, uint32_t chunk_bytes, uint32_t slots);

/* Frees every piece, held or not, and the tables. Bytes in flight stay the stack's. */
void weir_filecache_close(struct weir_filecache *);

/* Pieces of a file from the one in which `offset` lies, without a gap, up to `end` (at most the file's size
 * at its opening) and up to n (1 to WEIR_FILECACHE_RUN). They are held until weir_filecache_put. Pieces that
 * are missing are read in one call as far as there are zbufs. Returns how many (> 0), or WEIR_ENOMEM  no zbuf
 * now: every piece is held, or in flight; those in flight that nobody holds were given up, so that they come
 * back when they are acknowledged, and an event was asked for (weir_zalloc_wait) WEIR_EIO     the file can't
 * be read, or has become shorter A file that has grown or changed since it was opened is read on as it is;
 * its key is renewed, so that old and new bytes are never mixed up under one key. now_ns: the system's clock,
 * to tell a file so young that a change might not show. */
int weir_filecache_take(struct weir_filecache *, struct weir_file *, uint64_t offset, uint64_t end,
                        int64_t now_ns, struct weir_chunk **out, int n);

/* Gives a piece back. One that nobody else holds stays until its place is needed. */
void weir_filecache_put(struct weir_filecache *, struct weir_chunk *);

/* Whether the lists and buckets are whole; for tests. Cost: all places. */
bool weir_filecache_check(const struct weir_filecache *);

#endif
