/* filecache_test.c: the cache over real files and a pool of the test's own, in which each zbuf can be in
 * flight and allocation fails when it is used up. The model is the content that each file had when a piece
 * was read. */
#include <weir/weir.h>

static void *pool_alloc(struct weir *w, size_t len);
static int pool_wait(struct weir *w, size_t len);
static int pool_free(struct weir *w, const void *data);
static int pool_busy(const struct weir *w, const void *data);

#define weir_zalloc      pool_alloc
#define weir_zalloc_wait pool_wait
#define weir_zfree       pool_free
#define weir_zbusy       pool_busy
#include "filecache.c" /* NOLINT(bugprone-suspicious-include): over a pool of the test's */

#include "base/test_seed.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define CHUNK     4096u
#define POOL      24
#define SLOTS     16
#define FILES     3
#define HELD      12
#define STEPS     20000
#define NOW_NS    (INT64_C(2000000000) * 1000000000)
#define OLD_S     1000000000
#define BYTES_MAX (10u * CHUNK)

/* ---- the pool ---- */

static uint8_t memory[POOL][CHUNK];
static bool owned[POOL], busy[POOL];
static unsigned waits;

static int place(const void *data)
{
    ptrdiff_t at = (const uint8_t *)data - &memory[0][0];
    assert_true(at >= 0 && at < (ptrdiff_t)sizeof(memory) && at % CHUNK == 0);
    return (int)(at / CHUNK);
}

static void *pool_alloc(struct weir *w, size_t len)
{
    (void)w;
    assert_int_equal(len, CHUNK);
    for (int i = 0; i < POOL; i++) {
        if (owned[i] || busy[i]) continue;
        owned[i] = true;
        memset(memory[i], 0xee, CHUNK);
        return memory[i];
    }
    return NULL;
}

static int pool_wait(struct weir *w, size_t len)
{
    (void)w;
    (void)len;
    waits++;
    return 0;
}

static int pool_free(struct weir *w, const void *data)
{
    int i = place(data);
    (void)w;
    assert_true(owned[i]);
    owned[i] = false;
    return 0;
}

static int pool_busy(const struct weir *w, const void *data)
{
    (void)w;
    return busy[place(data)];
}

/* ---- the files ---- */

struct testfile {
    struct weir_file f;
    uint32_t bytes, version;
};

struct holding {
    struct weir_chunk *k;
    uint32_t file, version;
};

struct world {
    struct weir_sim sim;
    struct weir_filecache c;
    struct testfile file[FILES];
    struct holding held[HELD];
    uint32_t seen_got, seen_full, seen_short, seen_mixed, seen_flight;
};

static uint8_t content(uint32_t file, uint32_t version, uint64_t at)
{
    uint64_t x = (at + 1) * 0x9e3779b97f4a7c15u ^ ((uint64_t)version << 32 | file);
    x *= 0xd6e8feb86659fd93u;
    return (uint8_t)(x >> 56);
}

/* A new version of a file under a new time; young ones are of this very moment. */
static void rewrite(struct world *w, uint32_t i, uint32_t bytes, bool young)
{
    static uint8_t text[BYTES_MAX];
    struct testfile *t = &w->file[i];
    t->version++;
    t->bytes = bytes;
    for (uint32_t at = 0; at < bytes; at++)
        text[at] = content(i, t->version, at);
    struct timespec when = {.tv_sec = young ? (time_t)(NOW_NS / 1000000000) : OLD_S + (time_t)t->version};
    const struct timespec times[2] = {when, when};
    assert_int_equal(ftruncate(t->f.fd, 0), 0);
    assert_int_equal(pwrite(t->f.fd, text, bytes, 0), (ssize_t)bytes);
    assert_int_equal(futimens(t->f.fd, times), 0);
}

static void look(struct testfile *t)
{
    struct stat st;
    assert_int_equal(fstat(t->f.fd, &st), 0);
    t->f.key = weir_file_key_of(&st);
}

static int set_up(void **state)
{
    static struct world w;
    memset(&w, 0, sizeof(w));
    memset(owned, 0, sizeof(owned));
    memset(busy, 0, sizeof(busy));
    waits = 0;
    w.sim = test_seed("filecache");
    for (uint32_t i = 0; i < FILES; i++) {
        char name[] = "/tmp/weir-filecache-XXXXXX";
        w.file[i].f.fd = mkstemp(name);
        if (w.file[i].f.fd < 0 || unlink(name) != 0) return -1;
        rewrite(&w, i, BYTES_MAX - i * 1000, false);
        look(&w.file[i]);
    }
    *state = &w;
    return weir_filecache_open(&w.c, NULL, CHUNK, SLOTS);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    weir_filecache_close(&w->c);
    for (uint32_t i = 0; i < FILES; i++)
        close(w->file[i].f.fd);
    for (int i = 0; i < POOL; i++)
        assert_false(owned[i]); /* whatever was held */
    return 0;
}

static void check_content(const struct weir_chunk *k, uint32_t file, uint32_t version)
{
    for (uint32_t at = 0; at < k->bytes; at++) {
        if (k->data[at] != content(file, version, k->offset + at))
            fail_msg("file %u, byte %llu differs from version %u", file, (unsigned long long)(k->offset + at),
                     version);
    }
}

/* ---- the property test ---- */

/* What a piece was read as: its key says which version, or its bytes do when the key was renewed meanwhile.
 */
static void hold(struct world *w, struct weir_chunk *k, uint32_t i)
{
    struct testfile *t = &w->file[i];
    uint32_t version = t->version;
    if (k->key.mtime_ns < NOW_NS - INT64_C(3000000000) && k->shared)
        version = (uint32_t)(k->key.mtime_ns / 1000000000 - OLD_S);
    w->seen_mixed += version != t->version;
    check_content(k, i, version);
    for (int h = 0; h < HELD; h++) {
        if (w->held[h].k != NULL) continue;
        w->held[h] = (struct holding){k, i, version};
        return;
    }
    weir_filecache_put(&w->c, k);
}

static void take(struct world *w)
{
    struct weir_chunk *out[WEIR_FILECACHE_RUN];
    uint32_t i = test_below(&w->sim, FILES);
    struct testfile *t = &w->file[i];
    uint64_t old_size = t->f.key.size;
    uint64_t end = 1 + test_below(&w->sim, (uint32_t)old_size), offset = test_below(&w->sim, (uint32_t)end);
    unsigned waited = waits;
    int got = weir_filecache_take(&w->c, &t->f, offset, end, NOW_NS, out, 1 + (int)test_below(&w->sim, 6));
    if (got == WEIR_EIO) {
        assert_true(t->bytes < old_size);
        w->seen_short++;
        look(t);
    } else if (got == WEIR_ENOMEM) {
        assert_true(waits == waited + 1 && w->c.oldest == NONE);
        w->seen_full++;
    }
    for (int j = 0; j < got; j++) {
        assert_int_equal(out[j]->offset, offset / CHUNK * CHUNK + (uint32_t)j * CHUNK);
        assert_true(j == 0 || out[j]->offset < end);
        hold(w, out[j], i);
        w->seen_got++;
    }
}

static void put(struct world *w)
{
    struct holding *h = &w->held[test_below(&w->sim, HELD)];
    if (h->k == NULL) return;
    check_content(h->k, h->file, h->version); /* nobody has touched it */
    if (test_below(&w->sim, 2) == 0) busy[place(h->k->data)] = true;
    weir_filecache_put(&w->c, h->k);
    h->k = NULL;
}

static void acknowledge(struct world *w)
{
    for (int i = 0; i < POOL; i++) {
        if (test_below(&w->sim, 3) == 0) {
            w->seen_flight += busy[i] && !owned[i];
            busy[i] = false;
        }
    }
}

static void change(struct world *w)
{
    uint32_t i = test_below(&w->sim, FILES);
    rewrite(w, i, 1 + test_below(&w->sim, BYTES_MAX), test_below(&w->sim, 3) == 0);
    if (test_below(&w->sim, 2) == 0) look(&w->file[i]); /* as by a connection that opens it anew */
}

static void step(struct world *w)
{
    uint32_t dice = test_below(&w->sim, 100);
    if (dice < 50)
        take(w);
    else if (dice < 90)
        put(w);
    else if (dice < 97)
        acknowledge(w);
    else
        change(w);
}

static void check_world(const struct world *w)
{
    uint32_t places = 0, zbufs = 0;
    assert_true(weir_filecache_check(&w->c));
    for (uint32_t i = 0; i < SLOTS; i++)
        places += w->c.slot[i].data != NULL;
    for (int i = 0; i < POOL; i++)
        zbufs += owned[i];
    assert_int_equal(places, zbufs);
}

static void random_use(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < STEPS; i++) {
        step(w);
        check_world(w);
    }
    assert_true(w->seen_got > STEPS / 10 && w->seen_full > 10 && w->seen_short > 10);
    assert_true(w->seen_mixed > 10 && w->seen_flight > 10);
    assert_true(w->c.hits > 1000 && w->c.misses > 1000 && w->c.evictions > 1000);
}

/* ---- single cases ---- */

static void one_buffer_for_many(void **state)
{
    struct world *w = *state;
    struct weir_file *f = &w->file[0].f;
    struct weir_chunk *a[4], *b[4];
    assert_int_equal(weir_filecache_take(&w->c, f, 0, 4 * CHUNK, NOW_NS, a, 4), 4);
    assert_int_equal(w->c.reads, 1);
    assert_int_equal(weir_filecache_take(&w->c, f, 0, 4 * CHUNK, NOW_NS, b, 4), 4);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(a[i], b[i]);
    assert_true(w->c.reads == 1 && w->c.hits == 4 && a[0]->pins == 2);
    for (int i = 0; i < 4; i++) {
        weir_filecache_put(&w->c, a[i]);
        weir_filecache_put(&w->c, b[i]);
    }
    assert_int_equal(weir_filecache_take(&w->c, f, 5, 6, NOW_NS, a, 4), 1);
    assert_int_equal(w->c.reads, 1);
    weir_filecache_put(&w->c, a[0]);
}

static void oldest_goes_first(void **state)
{
    struct world *w = *state;
    struct weir_chunk *k[WEIR_FILECACHE_RUN];
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct weir_file *f = &w->file[i / 8].f;
        assert_int_equal(weir_filecache_take(&w->c, f, (uint64_t)(i % 8) * CHUNK, f->key.size, NOW_NS, k, 1),
                         1);
        weir_filecache_put(&w->c, k[0]);
    }
    busy[place(w->c.slot[w->c.oldest].data)] = true; /* the oldest is in flight: the second goes */
    assert_int_equal(weir_filecache_take(&w->c, &w->file[2].f, 0, CHUNK, NOW_NS, k, 1), 1);
    weir_filecache_put(&w->c, k[0]);
    assert_non_null(find(&w->c, &w->file[0].f.key, 0));
    assert_null(find(&w->c, &w->file[0].f.key, CHUNK));
    assert_int_equal(w->c.evictions, 1);
}

static void shrunk(void **state)
{
    struct world *w = *state;
    struct weir_file f = w->file[0].f;
    struct weir_chunk *k[4];
    uint64_t end = f.key.size;
    rewrite(w, 0, CHUNK / 2, false);
    assert_int_equal(weir_filecache_take(&w->c, &f, 2 * CHUNK, end, NOW_NS, k, 4), WEIR_EIO);
    assert_int_equal(weir_filecache_take(&w->c, &f, 2 * CHUNK, end, NOW_NS, k, 4), WEIR_EIO);
    check_world(w);
}

static void young_is_not_shared(void **state)
{
    struct world *w = *state;
    struct weir_chunk *k[1] = {NULL};
    rewrite(w, 0, 100, true);
    look(&w->file[0]);
    assert_int_equal(weir_filecache_take(&w->c, &w->file[0].f, 0, 100, NOW_NS, k, 1), 1);
    if (k[0] == NULL) {
        fail_msg("no chunk, though one was told");
        return;
    }
    assert_false(k[0]->shared);
    weir_filecache_put(&w->c, k[0]);
    assert_null(find(&w->c, &w->file[0].f.key, 0));
    check_world(w);
}

/* Other bytes under the old time, as by a program that puts the time back. */
static void same_time_is_not_same(void **state)
{
    struct world *w = *state;
    struct testfile *t = &w->file[0];
    struct weir_file_key old = t->f.key;
    struct weir_chunk *k[1] = {NULL};
    assert_int_equal(weir_filecache_take(&w->c, &t->f, 0, CHUNK, NOW_NS, k, 1), 1);
    if (k[0] == NULL) {
        fail_msg("no chunk, though one was told");
        return;
    }
    assert_true(k[0]->shared);
    weir_filecache_put(&w->c, k[0]);
    do { /* until the system's clock for files has moved on */
        t->version--;
        rewrite(w, 0, t->bytes, false);
        look(t);
    } while (t->f.key.ctime_ns == old.ctime_ns);
    assert_true(t->f.key.mtime_ns == old.mtime_ns && t->f.key.size == old.size);
    assert_int_equal(weir_filecache_take(&w->c, &t->f, 0, CHUNK, NOW_NS, k, 1), 1);
    assert_int_equal(w->c.reads, 2);
    weir_filecache_put(&w->c, k[0]);
    check_world(w);
}

/* The pool gives 0, 1, 2 ... zbufs to one call. */
static void every_shortage(void **state)
{
    struct world *w = *state;
    for (int given = 0; given <= 6; given++) {
        struct weir_chunk *k[6];
        for (int i = 0; i < POOL; i++)
            busy[i] = i >= given;
        int got = weir_filecache_take(&w->c, &w->file[0].f, 0, 6 * CHUNK, NOW_NS, k, 6);
        assert_int_equal(got, given == 0 ? WEIR_ENOMEM : given);
        for (int i = 0; i < got; i++)
            weir_filecache_put(&w->c, k[i]);
        check_world(w);
        while (w->c.oldest != NONE)
            evict(&w->c, &w->c.slot[w->c.oldest]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_buffer_for_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(oldest_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shrunk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(young_is_not_shared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(same_time_is_not_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_shortage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_use, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
