/* Tests of zgive.c: what weir_zpool_give returns, and, with real threads, that no release is lost or doubled
 * and that its return value is enough to wake a sleeping owner. Under ThreadSanitizer it shows that the bytes
 * are handed over, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "mem/zfixture.h"
#include "weir/err.h"

#define GIVERS 3
#define RING   64
#define ROUNDS 20000

static void both(void (*test)(struct zfixture *))
{
    for (unsigned layout = WEIR_ZLAYOUT_DENSE; layout <= WEIR_ZLAYOUT_INSIDE; layout++) {
        static struct zfixture f;
        struct weir_config conf = zfixture_config((enum weir_zlayout)layout, (const uint32_t[]){16, 4, 1, 0});
        zfixture_open(&f, &conf);
        test(&f);
        assert_int_equal(weir_zpool_check(&f.z), 0);
        zfixture_close(&f);
    }
}

static struct weir_zhead *app(struct zfixture *f, uint32_t bytes)
{
    struct weir_zhead *h = weir_zpool_take(&f->z, bytes, WEIR_TAKE_APP);
    assert_non_null(h);
    return h;
}

/* ---- one thread ---- */

static void only_a_push_on_an_empty_list_tells_to_wake_in(struct zfixture *f)
{
    struct weir_zhead *a = app(f, 1), *b = app(f, 1000), *c = app(f, 1);
    uint32_t link, n;
    assert_int_equal(weir_zpool_app_ref(&f->z, a), 0);
    assert_int_equal(weir_zpool_given(&f->z), 0);
    assert_true(weir_zpool_give(&f->z, a));
    assert_false(weir_zpool_give(&f->z, b));
    assert_false(weir_zpool_give(&f->z, a)); /* on the list already: counted, not pushed */
    link = weir_zpool_given(&f->z);
    assert_true(weir_zpool_give(&f->z, c)); /* the owner has the old list, the new one was empty */

    assert_ptr_equal(weir_zpool_given_next(&f->z, &link, &n), b);
    assert_int_equal(n, 1);
    assert_int_equal(weir_zpool_app_unref(&f->z, b, n), 1);
    assert_ptr_equal(weir_zpool_given_next(&f->z, &link, &n), a);
    assert_int_equal(n, 2);
    assert_int_equal(weir_zpool_app_unref(&f->z, a, n), 1);
    assert_null(weir_zpool_given_next(&f->z, &link, &n));
    assert_null(weir_zpool_given_next(&f->z, &link, &n));

    link = weir_zpool_given(&f->z);
    assert_ptr_equal(weir_zpool_given_next(&f->z, &link, &n), c);
    assert_int_equal(weir_zpool_app_unref(&f->z, c, n), 1);
    assert_int_equal(weir_zpool_given(&f->z), 0);
    assert_int_equal(f->stats.gives, 4);
    assert_int_equal(f->z.live, 0);
}

static void only_a_push_on_an_empty_list_tells_to_wake(void **state)
{
    (void)state;
    both(only_a_push_on_an_empty_list_tells_to_wake_in);
}

/* A head that is given between the owner's look at the list and its step to the head is counted in that step;
 * one that is given after it is pushed anew. Neither way is it on a list twice. */
static void gives_while_the_owner_walks_in(struct zfixture *f)
{
    struct weir_zhead *a = app(f, 1);
    uint32_t link, n;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(weir_zpool_app_ref(&f->z, a), 0);
    assert_true(weir_zpool_give(&f->z, a));
    link = weir_zpool_given(&f->z);
    assert_false(weir_zpool_give(&f->z, a));
    assert_int_equal(weir_zpool_given(&f->z), 0);
    assert_ptr_equal(weir_zpool_given_next(&f->z, &link, &n), a);
    assert_int_equal(n, 2);
    assert_int_equal(link, 0);
    assert_true(weir_zpool_give(&f->z, a));
    assert_int_equal(weir_zpool_app_unref(&f->z, a, n), 0);
    link = weir_zpool_given(&f->z);
    assert_ptr_equal(weir_zpool_given_next(&f->z, &link, &n), a);
    assert_int_equal(n, 1);
    assert_int_equal(weir_zpool_app_unref(&f->z, a, n), 0);
    assert_int_equal(weir_zpool_app_unref(&f->z, a, 1), 1);
}

static void gives_while_the_owner_walks(void **state)
{
    (void)state;
    both(gives_while_the_owner_walks_in);
}

/* A release too many waits for the owner; the segment is not handed out meanwhile, so its next life keeps its
 * reference. */
static void an_excess_release_spares_the_next_life_in(struct zfixture *f)
{
    struct weir_zhead *h = app(f, zfixture_bytes(f->z.layout, 4096)), *got;
    uint32_t link, n;
    assert_true(weir_zpool_give(&f->z, h));
    assert_int_equal(weir_zpool_app_unref(&f->z, h, 1), 1);
    assert_int_equal(h->state, WEIR_Z_LIMBO);
    assert_int_equal(weir_zpool_find(&f->z, weir_zpool_first(&f->z, h), &got), WEIR_ENOTHELD);
    assert_null(weir_zpool_take(&f->z, f->z.cls[2].bytes, WEIR_TAKE_CONTROL));
    assert_int_equal(weir_zpool_app_unref(&f->z, h, 1), WEIR_ENOTHELD);
    assert_int_equal(weir_zpool_check(&f->z), 0);

    link = weir_zpool_given(&f->z);
    assert_ptr_equal(weir_zpool_given_next(&f->z, &link, &n), h);
    assert_int_equal(n, 1);
    assert_int_equal(h->app, 0); /* so that the caller counts it as excess */
    assert_int_equal(weir_zpool_app_unref(&f->z, h, 0), 0);
    assert_int_equal(h->state, WEIR_Z_FREE);
    assert_int_equal(f->stats.zbuf_frees, 1);
    assert_ptr_equal(app(f, f->z.cls[2].bytes), h);
    assert_int_equal(h->app, 1);
    assert_int_equal(weir_zpool_app_unref(&f->z, h, 1), 1);
}

static void an_excess_release_spares_the_next_life(void **state)
{
    (void)state;
    both(an_excess_release_spares_the_next_life_in);
}

/* The same when the stack's reference is the last to go. */
static void limbo_after_the_stacks_reference_in(struct zfixture *f)
{
    struct weir_zhead *h = weir_zpool_take(&f->z, 1, WEIR_TAKE_COPY);
    uint32_t link, n;
    assert_true(weir_zpool_give(&f->z, h));
    assert_false(weir_zpool_unref(&f->z, h, WEIR_OWNER_WARM));
    assert_int_equal(h->state, WEIR_Z_LIMBO);
    link = weir_zpool_given(&f->z);
    assert_ptr_equal(weir_zpool_given_next(&f->z, &link, &n), h);
    assert_int_equal(h->state, WEIR_Z_FREE);
    assert_int_equal(f->z.live, 0);
}

static void limbo_after_the_stacks_reference(void **state)
{
    (void)state;
    both(limbo_after_the_stacks_reference_in);
}

/* ---- threads ---- */

/* References on their way from the owner to one giver. NULL: nothing more comes. */
struct ring {
    struct weir_zhead *slot[RING];
    _Atomic unsigned put, got;
};

struct world;

struct giver {
    pthread_t thread;
    struct world *world;
    struct ring ring;
    uint64_t given, spoiled, wakes;
};

struct world {
    struct zfixture *f;
    struct giver giver[GIVERS];
    sem_t wake;
    _Atomic unsigned sleeping;
    uint64_t seed, handed, carried, slept;
};

static struct weir_zhead *ring_get(struct ring *r)
{
    unsigned got = atomic_load_explicit(&r->got, memory_order_relaxed);
    while (atomic_load_explicit(&r->put, memory_order_acquire) == got)
        sched_yield();
    struct weir_zhead *h = r->slot[got % RING];
    atomic_store_explicit(&r->got, got + 1, memory_order_release);
    return h;
}

static bool ring_put(struct ring *r, struct weir_zhead *h)
{
    unsigned put = atomic_load_explicit(&r->put, memory_order_relaxed);
    if (put - atomic_load_explicit(&r->got, memory_order_acquire) == RING) return false;
    r->slot[put % RING] = h;
    atomic_store_explicit(&r->put, put + 1, memory_order_release);
    return true;
}

/* Reads the bytes, gives, and wakes the owner as weir_zgive does. The read-modify-write of `sleeping` on both
 * sides stands for a fence, which ThreadSanitizer does not know. */
static void *giver_main(void *arg)
{
    struct giver *g = arg;
    struct world *w = g->world;
    struct weir_zhead *h;
    while ((h = ring_get(&g->ring)) != NULL) {
        const uint8_t *first = weir_zpool_first(&w->f->z, h);
        g->spoiled += first[0] != first[100];
        g->given++;
        if (!weir_zpool_give(&w->f->z, h)) continue;
        if (atomic_fetch_or(&w->sleeping, 0) == 0) continue;
        g->wakes++;
        sem_post(&w->wake);
    }
    return NULL;
}

static void carry_out(struct world *w, uint32_t link)
{
    struct weir_zpool *z = &w->f->z;
    struct weir_zhead *h;
    uint32_t n;
    while ((h = weir_zpool_given_next(z, &link, &n)) != NULL) {
        if (n == 0 || n > h->app) fail_msg("%u releases of %u references", n, h->app);
        w->carried += n;
        assert_true(weir_zpool_app_unref(z, h, n) >= 0);
    }
}

/* The owner has nothing to do but to wait for releases. A wake that is lost would hang here. */
static void sleep_for_gives(struct world *w)
{
    atomic_exchange(&w->sleeping, 1);
    uint32_t link = weir_zpool_given(&w->f->z);
    if (link == 0) {
        w->slept++;
        while (sem_wait(&w->wake) != 0) {
        }
        link = weir_zpool_given(&w->f->z);
    }
    atomic_exchange(&w->sleeping, 0);
    carry_out(w, link);
}

static void hand(struct world *w, unsigned giver, struct weir_zhead *h)
{
    while (!ring_put(&w->giver[giver].ring, h)) {
        carry_out(w, weir_zpool_given(&w->f->z));
        sched_yield();
    }
    w->handed += h != NULL;
}

static void round_of(struct world *w)
{
    struct weir_zpool *z = &w->f->z;
    struct weir_zhead *h;
    while ((h = weir_zpool_take(z, 1 + zfixture_random(&w->seed, 900), WEIR_TAKE_APP)) == NULL)
        sleep_for_gives(w);
    uint32_t refs = 1 + zfixture_random(&w->seed, 2 * GIVERS);
    memset(weir_zpool_first(z, h), (int)(w->handed & 0xff), 101);
    for (uint32_t i = 1; i < refs; i++)
        assert_int_equal(weir_zpool_app_ref(z, h), 0);
    for (uint32_t i = 0; i < refs; i++)
        hand(w, zfixture_random(&w->seed, GIVERS), h);
    if (zfixture_random(&w->seed, 3) == 0) carry_out(w, weir_zpool_given(z));
}

static void many_givers_one_owner_in(struct zfixture *f)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    w.f = f;
    w.seed = zfixture_seed();
    assert_int_equal(sem_init(&w.wake, 0, 0), 0);
    for (unsigned i = 0; i < GIVERS; i++) {
        w.giver[i].world = &w;
        assert_int_equal(pthread_create(&w.giver[i].thread, NULL, giver_main, &w.giver[i]), 0);
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        round_of(&w);
    while (f->z.live > 0)
        sleep_for_gives(&w);
    uint64_t given = 0, spoiled = 0;
    for (unsigned i = 0; i < GIVERS; i++) {
        hand(&w, i, NULL);
        pthread_join(w.giver[i].thread, NULL);
        given += w.giver[i].given;
        spoiled += w.giver[i].spoiled;
    }
    printf("%llu references handed out, owner slept %llu times\n", (unsigned long long)w.handed,
           (unsigned long long)w.slept);
    sem_destroy(&w.wake);
    assert_int_equal(given, w.handed);
    assert_int_equal(w.carried, w.handed);
    assert_int_equal(f->stats.gives, w.handed);
    assert_int_equal(f->stats.zbuf_frees, ROUNDS);
    assert_int_equal(spoiled, 0);
    assert_int_equal(weir_zpool_given(&f->z), 0);
}

static void many_givers_one_owner(void **state)
{
    (void)state;
    both(many_givers_one_owner_in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_push_on_an_empty_list_tells_to_wake),
        cmocka_unit_test(gives_while_the_owner_walks),
        cmocka_unit_test(an_excess_release_spares_the_next_life),
        cmocka_unit_test(limbo_after_the_stacks_reference),
        cmocka_unit_test(many_givers_one_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
