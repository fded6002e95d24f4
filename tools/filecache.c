/* filecache.c
 *
 * Theory of operation. A file is served in pieces of chunk_bytes, each in a zbuf of its own, each in one
 * place of a fixed table:
 *
 *   empty  --take (read)-->  held  --last put-->  idle  --evict-->  empty
 *                             ^------take (hit)----'
 *
 *   empty places hang on one list; idle ones on another, the oldest first; held ones on none.
 *   slots = empty + idle + held;  pins > 0 iff held;  data != NULL iff not empty;  in a bucket iff shared.
 *
 * The cache has one application reference to each zbuf, for as long as the place isn't empty. A connection
 * that has written a piece needs no reference of its own: the stack has taken one. To evict is to free; the
 * bytes in flight stay, and the place gets a new zbuf at its next use. Nothing is ever read into a zbuf a
 * second time, so bytes that were handed to the stack can't change under it.
 *
 * When zbufs run short the oldest idle piece that isn't in flight makes room. If all are in flight, freeing
 * one gives nothing back now but later, when it is acknowledged; then a whole run is freed, so that the
 * memory event comes although the pool waits for more than one zbuf before it tells, and the caller waits.
 *
 * Identity. A piece is found by (dev, inode, mtime, ctime, size, offset). It is shared only if the file looks
 * the same after it was read as it did before, and if it's old enough that a change would show in mtime.
 * Rejected: a checksum per piece (reads every byte once more), inotify (a watch for each file, and late). */
#include "filecache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define NONE        UINT32_MAX
#define YOUNG_NS    2000000000 /* the coarsest mtime that file systems keep: FAT's two seconds */
#define IDLE_LOOKS  32         /* idle pieces looked at for one that is not in flight */
#define SHORT_READS 8          /* calls for one run: a read may be cut by a signal, not for ever */

int weir_filecache_open(struct weir_filecache *c, struct weir *w, uint32_t chunk_bytes, uint32_t slots)
{
    memset(c, 0, sizeof(*c));
    c->w = w;
    c->chunk_bytes = chunk_bytes;
    c->slots = slots;
    for (c->buckets = 1; c->buckets < slots && c->buckets < (UINT32_MAX >> 1);)
        c->buckets <<= 1;
    c->slot = calloc(slots, sizeof(*c->slot));
    c->bucket = calloc(c->buckets, sizeof(*c->bucket));
    if (c->slot == NULL || c->bucket == NULL) {
        weir_filecache_close(c);
        return -1;
    }
    memset(c->bucket, 0xff, (size_t)c->buckets * sizeof(*c->bucket));
    for (uint32_t i = 0; i < slots; i++)
        c->slot[i].hash_next = i + 1 < slots ? i + 1 : NONE;
    c->oldest = c->newest = NONE;
    return 0;
}

void weir_filecache_close(struct weir_filecache *c)
{
    for (uint32_t i = 0; c->slot != NULL && i < c->slots; i++) {
        if (c->slot[i].data != NULL) weir_zfree(c->w, c->slot[i].data);
    }
    free(c->slot);
    free(c->bucket);
    c->slot = NULL;
    c->bucket = NULL;
    c->slots = 0;
}

/* ---- lists ---- */

static uint32_t index_of(const struct weir_filecache *c, const struct weir_chunk *k)
{
    return (uint32_t)(k - c->slot);
}

static uint32_t bucket_of(const struct weir_filecache *c, const struct weir_file_key *key, uint64_t offset)
{
    uint64_t h = offset / c->chunk_bytes;
    const uint64_t part[] = {key->ino, key->dev, (uint64_t)key->mtime_ns, key->size};
    for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
        h = (h ^ part[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return (uint32_t)h & (c->buckets - 1);
}

static void idle_add(struct weir_filecache *c, struct weir_chunk *k)
{
    k->older = c->newest;
    k->newer = NONE;
    *(c->newest == NONE ? &c->oldest : &c->slot[c->newest].newer) = index_of(c, k);
    c->newest = index_of(c, k);
}

static void idle_remove(struct weir_filecache *c, struct weir_chunk *k)
{
    *(k->older == NONE ? &c->oldest : &c->slot[k->older].newer) = k->newer;
    *(k->newer == NONE ? &c->newest : &c->slot[k->newer].older) = k->older;
}

static void share(struct weir_filecache *c, struct weir_chunk *k)
{
    uint32_t *head = &c->bucket[bucket_of(c, &k->key, k->offset)];
    k->hash_next = *head;
    *head = index_of(c, k);
    k->shared = true;
}

static void unshare(struct weir_filecache *c, struct weir_chunk *k)
{
    uint32_t *link = &c->bucket[bucket_of(c, &k->key, k->offset)];
    while (*link != index_of(c, k))
        link = &c->slot[*link].hash_next;
    *link = k->hash_next;
    k->shared = false;
}

static struct weir_chunk *find(const struct weir_filecache *c, const struct weir_file_key *key,
                               uint64_t offset)
{
    for (uint32_t i = c->bucket[bucket_of(c, key, offset)]; i != NONE; i = c->slot[i].hash_next) {
        if (c->slot[i].offset == offset && weir_file_key_same(&c->slot[i].key, key)) return &c->slot[i];
    }
    return NULL;
}

/* A place that is on no list becomes empty; its zbuf goes back, once the stack has no need of it either. */
static void drop(struct weir_filecache *c, struct weir_chunk *k)
{
    if (k->shared) unshare(c, k);
    weir_zfree(c->w, k->data);
    k->data = NULL;
    k->pins = 0;
    k->hash_next = c->empty;
    c->empty = index_of(c, k);
}

static void evict(struct weir_filecache *c, struct weir_chunk *k)
{
    idle_remove(c, k);
    drop(c, k);
    c->evictions++;
}

/* ---- room ---- */

static bool evict_at_rest(struct weir_filecache *c)
{
    uint32_t i = c->oldest;
    for (int looks = 0; i != NONE && looks < IDLE_LOOKS; looks++, i = c->slot[i].newer) {
        if (weir_zbusy(c->w, c->slot[i].data) == 0) {
            evict(c, &c->slot[i]);
            return true;
        }
    }
    return false;
}

static void *new_zbuf(struct weir_filecache *c)
{
    void *data = weir_zalloc(c->w, c->chunk_bytes);
    if (data == NULL && evict_at_rest(c)) data = weir_zalloc(c->w, c->chunk_bytes);
    return data;
}

/* A held place with a zbuf of its own, or NULL. */
static struct weir_chunk *new_chunk(struct weir_filecache *c)
{
    if (c->empty == NONE && !evict_at_rest(c) && c->oldest != NONE) evict(c, &c->slot[c->oldest]);
    if (c->empty == NONE) return NULL;
    void *data = new_zbuf(c);
    if (data == NULL) return NULL;
    struct weir_chunk *k = &c->slot[c->empty];
    c->empty = k->hash_next;
    k->data = data;
    k->pins = 1;
    k->shared = false;
    return k;
}

static int wait_for_room(struct weir_filecache *c)
{
    for (int i = 0; i < WEIR_FILECACHE_RUN && c->oldest != NONE; i++)
        evict(c, &c->slot[c->oldest]);
    weir_zalloc_wait(c->w, c->chunk_bytes);
    return WEIR_ENOMEM;
}

/* ---- reading ---- */

/* Held places for the pieces from `offset` on that nobody has read yet. Returns how many. */
static int make_run(struct weir_filecache *c, const struct weir_file *f, uint64_t offset, uint64_t end,
                    struct weir_chunk **out, int n)
{
    int got = 0;
    for (; got < n && offset < end; got++, offset += c->chunk_bytes) {
        if (got > 0 && find(c, &f->key, offset) != NULL) break;
        struct weir_chunk *k = new_chunk(c);
        if (k == NULL) break;
        uint64_t left = f->key.size - offset;
        k->key = f->key;
        k->offset = offset;
        k->bytes = left < c->chunk_bytes ? (uint32_t)left : c->chunk_bytes;
        out[got] = k;
    }
    return got;
}

/* The pieces from byte `skip` of the run on. */
static int run_iov(struct weir_chunk *const *run, int n, uint64_t skip, struct iovec *iov)
{
    int pieces = 0;
    for (int i = 0; i < n; i++) {
        if (skip < run[i]->bytes) {
            iov[pieces].iov_base = run[i]->data + skip;
            iov[pieces++].iov_len = run[i]->bytes - (size_t)skip;
            skip = 0;
        } else {
            skip -= run[i]->bytes;
        }
    }
    return pieces;
}

/* Fills a run; false: the file gave less. */
static bool read_run(struct weir_filecache *c, int fd, struct weir_chunk *const *run, int n)
{
    struct iovec iov[WEIR_FILECACHE_RUN];
    uint64_t done = 0, want = 0;
    for (int i = 0; i < n; i++)
        want += run[i]->bytes;
    for (int tries = 0; done < want && tries < SHORT_READS; tries++) {
        int pieces = run_iov(run, n, done, iov);
        ssize_t got = preadv(fd, iov, pieces, (off_t)(run[0]->offset + done));
        c->calls++;
        c->reads++;
        if (got == 0 || (got < 0 && errno != EINTR)) return false;
        done += got > 0 ? (uint64_t)got : 0;
    }
    c->bytes_read += done;
    return done == want;
}

/* Looks at the file again after it was read. True: what was read is what the key says. */
static bool unchanged(struct weir_filecache *c, struct weir_file *f, int64_t now_ns)
{
    struct stat st;
    c->calls++;
    if (fstat(f->fd, &st) != 0) return false;
    struct weir_file_key now = weir_file_key_of(&st);
    bool same = weir_file_key_same(&now, &f->key);
    f->key = now;
    return same && now_ns - now.mtime_ns >= YOUNG_NS;
}

static int read_missing(struct weir_filecache *c, struct weir_file *f, uint64_t offset, uint64_t end,
                        int64_t now_ns, struct weir_chunk **out, int n)
{
    int got = make_run(c, f, offset, end, out, n);
    if (got == 0) return wait_for_room(c);
    bool filled = read_run(c, f->fd, out, got);
    bool may_share = unchanged(c, f, now_ns);
    if (!filled || f->key.size < end) {
        for (int i = 0; i < got; i++)
            drop(c, out[i]);
        return WEIR_EIO;
    }
    for (int i = 0; may_share && i < got; i++)
        share(c, out[i]);
    c->misses += (uint64_t)got;
    return got;
}

int weir_filecache_take(struct weir_filecache *c, struct weir_file *f, uint64_t offset, uint64_t end,
                        int64_t now_ns, struct weir_chunk **out, int n)
{
    int got = 0;
    if (offset >= end || end > f->key.size || n < 1) return WEIR_EIO;
    n = n < WEIR_FILECACHE_RUN ? n : WEIR_FILECACHE_RUN;
    offset -= offset % c->chunk_bytes;
    for (; got < n && offset < end; got++, offset += c->chunk_bytes) {
        struct weir_chunk *k = find(c, &f->key, offset);
        if (k == NULL) break;
        if (k->pins++ == 0) idle_remove(c, k);
        out[got] = k;
    }
    c->hits += (uint64_t)got;
    return got > 0 ? got : read_missing(c, f, offset, end, now_ns, out, n);
}

void weir_filecache_put(struct weir_filecache *c, struct weir_chunk *k)
{
    if (--k->pins > 0) return;
    if (k->shared)
        idle_add(c, k);
    else
        drop(c, k); /* nobody would find it */
}

bool weir_filecache_check(const struct weir_filecache *c)
{
    uint32_t empty = 0, idle = 0, held = 0, shared = 0, found = 0;
    for (uint32_t i = c->empty; i != NONE && empty <= c->slots; i = c->slot[i].hash_next)
        empty += c->slot[i].data == NULL ? 1 : c->slots + 1;
    for (uint32_t i = c->oldest; i != NONE && idle <= c->slots; i = c->slot[i].newer)
        idle += c->slot[i].data != NULL && c->slot[i].pins == 0 ? 1 : c->slots + 1;
    for (uint32_t i = 0; i < c->slots; i++) {
        held += c->slot[i].data != NULL && c->slot[i].pins > 0;
        shared += c->slot[i].data != NULL && c->slot[i].shared;
        found += c->slot[i].data != NULL && c->slot[i].shared &&
                 find(c, &c->slot[i].key, c->slot[i].offset) == &c->slot[i];
    }
    return empty + idle + held == c->slots && shared == found;
}
