/* wake_test.c: releases and wakes from other threads reach an owner that sleeps in weir_poll, and none is
 * lost. The owner sleeps with a limit so long that reaching it is a failure; nothing here waits for time to
 * pass. */
#include "simnet.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define LIMIT_US ((int64_t)30 * SECOND_US)
#define ROUNDS   1000u
#define GIVERS   4u
#define QUEUE    256u
#define BYTES    2048u

/* ---- an instance on the real platform, without a device ---- */

struct owner {
    struct weir_linux plat;
    struct weir *w;
    void *area;
};

static void own(struct owner *o)
{
    struct weir_config c;
    struct weir_plan plan;
    simnet_tiny(&c, WEIR_ZLAYOUT_DENSE);
    assert_int_equal(weir_linux_open(&o->plat), 0);
    c.plat = &o->plat.plat;
    assert_int_equal(weir_plan(&c, &plan), 0);
    size_t bytes = (size_t)weir_align_up(plan.total_bytes, plan.align_bytes);
    o->area = aligned_alloc(plan.align_bytes, bytes);
    assert_non_null(o->area);
    struct weir_area area = {.base = o->area, .bytes = bytes};
    assert_int_equal(weir_start(&o->w, &c, &area, 1), 0);
}

static void disown(struct owner *o)
{
    assert_int_equal(weir_stack_check(o->w), 0);
    assert_int_equal(weir_stop(o->w), 0);
    weir_linux_close(&o->plat);
    free(o->area);
}

/* Sleeps until there is something to tell; not for as long as the limit. */
static int sleep_once(struct owner *o, struct weir_event *ev)
{
    uint64_t before = o->plat.plat.now_us(o->plat.plat.ctx);
    int n = weir_poll(o->w, ev, 1, LIMIT_US);
    assert_true(o->plat.plat.now_us(o->plat.plat.ctx) - before < (uint64_t)LIMIT_US / 2);
    return n;
}

/* ---- jobs for other threads ---- */

struct job {
    uint8_t *data;
    uint32_t bytes;
    uint32_t tag; /* which numbered bytes lie there, from `at` on */
    uint64_t at;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t more, done;
    struct job job[QUEUE];
    unsigned head, n;
    unsigned running; /* taken and not yet done */
    bool over;
    struct weir *w;
    atomic_uint wrong; /* bytes that were not what they should be */
    pthread_t thread[GIVERS];
    unsigned threads;
};

static bool take_job(struct queue *q, struct job *j)
{
    pthread_mutex_lock(&q->lock);
    while (q->n == 0 && !q->over)
        pthread_cond_wait(&q->more, &q->lock);
    bool some = q->n > 0;
    if (some) {
        *j = q->job[q->head];
        q->head = (q->head + 1) % QUEUE;
        q->n--;
        q->running++;
    }
    pthread_mutex_unlock(&q->lock);
    return some;
}

static void job_done(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->running--;
    pthread_cond_signal(&q->done);
    pthread_mutex_unlock(&q->lock);
}

/* Looks at the bytes, so that giving and the segment's next life must be in order, and gives them. */
static void *giver(void *arg)
{
    struct queue *q = arg;
    struct job j;
    uint8_t expected[BYTES];
    while (take_job(q, &j)) {
        struct simflow flow = {.tag = j.tag};
        for (uint32_t i = 0; i < j.bytes; i += BYTES) {
            uint32_t n = weir_min_u32(BYTES, j.bytes - i);
            simflow_fill(&flow, j.at + i, expected, n);
            if (memcmp(expected, j.data + i, n) != 0) atomic_fetch_add(&q->wrong, 1);
        }
        if (weir_zgive(q->w, j.data + j.bytes - 1) != 0) atomic_fetch_add(&q->wrong, 1);
        job_done(q);
    }
    return NULL;
}

static void queue_open(struct queue *q, struct weir *w, unsigned threads)
{
    memset(q, 0, sizeof *q);
    q->w = w;
    q->threads = threads;
    assert_int_equal(pthread_mutex_init(&q->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&q->more, NULL), 0);
    assert_int_equal(pthread_cond_init(&q->done, NULL), 0);
    for (unsigned i = 0; i < threads; i++)
        assert_int_equal(pthread_create(&q->thread[i], NULL, giver, q), 0);
}

static void queue_put(struct queue *q, const struct job *j)
{
    pthread_mutex_lock(&q->lock);
    assert_true(q->n < QUEUE);
    q->job[(q->head + q->n++) % QUEUE] = *j;
    pthread_cond_signal(&q->more);
    pthread_mutex_unlock(&q->lock);
}

/* Until fewer than `most` jobs are left. */
static void queue_wait(struct queue *q, unsigned most)
{
    pthread_mutex_lock(&q->lock);
    while (q->n + q->running >= most)
        pthread_cond_wait(&q->done, &q->lock);
    pthread_mutex_unlock(&q->lock);
}

static void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->over = true;
    pthread_cond_broadcast(&q->more);
    pthread_mutex_unlock(&q->lock);
    for (unsigned i = 0; i < q->threads; i++)
        assert_int_equal(pthread_join(q->thread[i], NULL), 0);
    assert_int_equal(q->wrong, 0);
    pthread_cond_destroy(&q->done);
    pthread_cond_destroy(&q->more);
    pthread_mutex_destroy(&q->lock);
}

/* ---- the sleeping owner ---- */

/* All zbufs of the largest class are out; the owner asks for one and sleeps; another thread gives one. */
static void a_release_wakes_the_owner(void **state)
{
    (void)state;
    struct owner o;
    struct queue q;
    struct weir_event ev;
    void *held[16];
    unsigned n = 0;
    own(&o);
    queue_open(&q, o.w, 1);
    while (n < 16 && (held[n] = weir_zalloc(o.w, 4096)) != NULL)
        n++;
    assert_in_range(n, 2, 15);
    for (unsigned i = 0; n > 0 && i < ROUNDS; i++) {
        struct job j = {.data = held[i % n], .bytes = 100, .tag = i};
        simflow_fill(&(struct simflow){.tag = i}, 0, j.data, j.bytes);
        assert_int_equal(weir_zalloc_wait(o.w, 4096), 0);
        queue_put(&q, &j);
        assert_int_equal(sleep_once(&o, &ev), 1);
        assert_int_equal(ev.mask, WEIR_EV_MEMORY);
        held[i % n] = weir_zalloc(o.w, 4096);
        assert_ptr_equal(held[i % n], j.data);
    }
    queue_close(&q);
    while (n > 0)
        assert_int_equal(weir_zfree(o.w, held[--n]), 0);
    struct weir_stats s;
    weir_stats(o.w, &s);
    assert_true(s.gives == ROUNDS && s.gives_excess == 0);
    disown(&o);
}

/* One zbuf with many references, given by all threads at the same time. */
static void many_give_the_same(void **state)
{
    (void)state;
    struct owner o;
    struct queue q;
    struct weir_event ev;
    void *held[16];
    unsigned n = 0;
    own(&o);
    queue_open(&q, o.w, GIVERS);
    while (n < 16 && (held[n] = weir_zalloc(o.w, 4096)) != NULL)
        n++;
    for (unsigned i = 0; i < ROUNDS / 4; i++) {
        struct job j = {.data = held[0], .bytes = 100, .tag = i};
        simflow_fill(&(struct simflow){.tag = i}, 0, j.data, j.bytes);
        for (unsigned k = 1; k < 3 * GIVERS; k++)
            assert_int_equal(weir_zref(o.w, j.data), 0);
        assert_int_equal(weir_zalloc_wait(o.w, 4096), 0);
        for (unsigned k = 0; k < 3 * GIVERS; k++)
            queue_put(&q, &j);
        assert_int_equal(sleep_once(&o, &ev), 1);
        assert_int_equal(ev.mask, WEIR_EV_MEMORY);
        held[0] = weir_zalloc(o.w, 4096);
        assert_ptr_equal(held[0], j.data);
    }
    queue_close(&q);
    while (n > 0)
        assert_int_equal(weir_zfree(o.w, held[--n]), 0);
    struct weir_stats s;
    weir_stats(o.w, &s);
    assert_true(s.gives == ROUNDS / 4 * 3 * GIVERS && s.gives_excess == 0);
    disown(&o);
}

/* ---- the owner that sleeps in a loop of its own ---- */

static bool readable(const struct owner *o, int timeout_ms)
{
    struct pollfd p = {.fd = o->plat.epoll_fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

/* What a foreign loop does: whether it may sleep, and then until its handle is readable. */
static int foreign_round(struct owner *o, struct weir_event *ev)
{
    int64_t next;
    (void)weir_next(o->w, &next);
    if (next > (int64_t)o->plat.plat.now_us(o->plat.plat.ctx))
        assert_true(readable(o, (int)(LIMIT_US / 1000)));
    return weir_poll(o->w, ev, 1, 0);
}

/* A release and a wake between weir_next and the loop's own sleep end that sleep, and only that one. */
static void a_foreign_loop_is_woken(void **state)
{
    (void)state;
    struct owner o;
    struct queue q;
    struct weir_event ev;
    int64_t next;
    own(&o);
    queue_open(&q, o.w, 1);
    for (unsigned i = 0; i < 20; i++) {
        struct job j = {.data = weir_zalloc(o.w, 4096), .bytes = 100, .tag = i};
        simflow_fill(&(struct simflow){.tag = i}, 0, j.data, j.bytes);
        (void)weir_next(o.w, &next);
        assert_int_equal(next, INT64_MAX);
        assert_false(readable(&o, 0));
        queue_put(&q, &j);
        queue_wait(&q, 1);
        assert_true(readable(&o, 0));
        assert_int_equal(weir_poll(o.w, &ev, 1, 0), 0);
        assert_int_equal(weir_zsize(o.w, j.data), 0);
        assert_false(readable(&o, 0));
        (void)weir_next(o.w, &next);
        weir_wake(o.w);
        assert_true(readable(&o, 0));
        assert_int_equal(weir_poll(o.w, &ev, 1, 0), 0);
        assert_false(readable(&o, 0));
    }
    queue_close(&q);
    disown(&o);
}

/* A release that comes at any time whatever. */
static void a_foreign_loop_misses_no_release(void **state)
{
    (void)state;
    struct owner o;
    struct queue q;
    struct weir_event ev;
    void *held[16];
    unsigned n = 0;
    own(&o);
    queue_open(&q, o.w, 1);
    while (n < 16 && (held[n] = weir_zalloc(o.w, 4096)) != NULL)
        n++;
    assert_in_range(n, 2, 15);
    for (unsigned i = 0; n > 0 && i < ROUNDS; i++) {
        struct job j = {.data = held[i % n], .bytes = 100, .tag = i};
        simflow_fill(&(struct simflow){.tag = i}, 0, j.data, j.bytes);
        assert_int_equal(weir_zalloc_wait(o.w, 4096), 0);
        queue_put(&q, &j);
        while (foreign_round(&o, &ev) == 0) {
        }
        assert_int_equal(ev.mask, WEIR_EV_MEMORY);
        held[i % n] = weir_zalloc(o.w, 4096);
        assert_ptr_equal(held[i % n], j.data);
    }
    queue_close(&q);
    while (n > 0)
        assert_int_equal(weir_zfree(o.w, held[--n]), 0);
    disown(&o);
}

struct waker {
    struct weir *w;
    atomic_uint wanted; /* rounds begun */
    atomic_uint woken;  /* rounds in which weir_wake was called */
};

static void *waker(void *arg)
{
    struct waker *k = arg;
    for (unsigned done = 0; done < ROUNDS;) {
        if (atomic_load(&k->wanted) == done) {
            sched_yield();
            continue;
        }
        atomic_store(&k->woken, ++done);
        weir_wake(k->w);
    }
    return NULL;
}

static void a_wake_ends_the_sleep(void **state)
{
    (void)state;
    struct owner o;
    struct waker k = {0};
    struct weir_event ev;
    pthread_t thread;
    own(&o);
    k.w = o.w;
    assert_int_equal(pthread_create(&thread, NULL, waker, &k), 0);
    for (unsigned i = 1; i <= ROUNDS; i++) {
        atomic_store(&k.wanted, i);
        do
            assert_int_equal(sleep_once(&o, &ev), 0);
        while (atomic_load(&k.woken) < i); /* the wake of the round before may have come late */
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    weir_wake(o.w); /* before the sleep */
    assert_int_equal(sleep_once(&o, &ev), 0);
    disown(&o);
}

/* ---- a transfer whose bytes are read and given back by other threads ---- */

struct reader {
    struct queue q;
    struct simend *e;
};

static void read_for_givers(struct reader *r)
{
    struct simend *e = r->e;
    struct weir_iov iov[8];
    while ((e->ready & WEIR_EV_READ) && !e->eof) {
        int n = weir_read(e->w, e->id, iov, 8);
        if (n < 0) {
            assert_true(n == WEIR_EAGAIN || n == WEIR_ENOMEM);
            e->ready &= ~(unsigned)WEIR_EV_READ;
            return;
        }
        e->eof = n == 0;
        for (int i = 0; i < n; i++) {
            struct job j = {
                .data = iov[i].base, .bytes = (uint32_t)iov[i].len, .tag = e->in.tag, .at = e->in.done};
            e->in.done += iov[i].len;
            queue_wait(&r->q, QUEUE - 16);
            queue_put(&r->q, &j);
        }
    }
}

static void transfer_to_givers(enum weir_zlayout layout, uint8_t async)
{
    struct simnet_conf c = simnet_defaults();
    struct simend a, b;
    struct reader r = {.e = &b};
    simnet_config(&c.stack[1], layout);
    c.async = async;
    struct simnet *n = simnet_open(&c);
    simnet_join(n, 0, NULL, &a, &b);
    simend_plan(&a, &b, 8, 2000000, 0);
    queue_open(&r.q, b.w, GIVERS);
    uint64_t until = n->sim.now_us + 1000 * (uint64_t)SECOND_US;
    while (!b.eof) {
        simend_pump(&a);
        read_for_givers(&r);
        /* Virtual time must not run ahead of the givers when the window is shut. */
        if (simend_info(&b).rcv_wnd < 4096) queue_wait(&r.q, 1);
        assert_true(simnet_step(n, until));
    }
    assert_true(b.in.done == b.in.total);
    queue_close(&r.q);
    simend_close(&a);
    simend_close(&b);
    simnet_run(n, 10 * SECOND_US);
    assert_true(simnet_stats(n, 1).gives > 1000);
    assert_int_equal(simnet_stats(n, 1).gives_excess, 0);
    simnet_empty(n);
    simnet_close(n, NULL);
}

static void others_give_what_is_read(void **state)
{
    (void)state;
    transfer_to_givers(WEIR_ZLAYOUT_DENSE, 0);
    transfer_to_givers(WEIR_ZLAYOUT_INSIDE, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_release_wakes_the_owner), cmocka_unit_test(many_give_the_same),
        cmocka_unit_test(a_foreign_loop_is_woken),   cmocka_unit_test(a_foreign_loop_misses_no_release),
        cmocka_unit_test(a_wake_ends_the_sleep),     cmocka_unit_test(others_give_what_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
