/* Threads on a partition: a reader of the counts while the owner works, and two owners behind a lock hook. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "mem/part_rig.h"

#define READS  200u /* that saw something new */
#define ROUNDS 5000u

static struct part_rig rig;

/* ---- a reader beside the owner ---- */

static unsigned enough; /* atomic: the reader has seen enough */

/* Requests and releases until the reader has seen enough; returns how many requests. */
static void *work(void *arg)
{
    void *held[8] = {NULL};
    uint64_t *served = arg;
    unsigned i = 0;
    for (; __atomic_load_n(&enough, __ATOMIC_ACQUIRE) == 0; i++) {
        unsigned k = i % 8;
        (void)weir_part_free(&rig.part, held[k]);
        held[k] = weir_part_alloc(&rig.part, 8 + i % 16 * 16, 0);
    }
    for (unsigned k = 0; k < 8; k++)
        (void)weir_part_free(&rig.part, held[k]);
    *served = i;
    return NULL;
}

/* What holds between any two operations of work(), and in the middle of hardly any: at alignment 16 a block of
 * 16 n + 8 bytes has no byte to spare. */
static bool belongs_together(const struct weir_mem_stat *s)
{
    return s->live <= 8 && s->allocs - s->frees == s->live && s->asked_bytes == s->alloc_bytes &&
           s->live_bytes % 16 == 8 * s->live % 16 && s->live_bytes >= 8 * s->live &&
           s->peak_bytes >= s->live_bytes &&
           s->free_bytes + s->live_bytes + s->overhead_bytes == s->configured_bytes;
}

static void a_reader_sees_counts_that_belong_together(void **state)
{
    (void)state;
    pthread_t worker;
    uint64_t wrong = 0, back = 0, last = 0, served = 0;
    struct weir_part_conf conf = part_rig_conf(&rig);
    conf.cut.align_bytes = 16;
    part_rig_open_as(&rig, &conf);
    enough = 0;
    assert_int_equal(pthread_create(&worker, NULL, work, &served), 0);
    for (unsigned fresh = 0; fresh < READS;) {
        struct weir_mem_stat s;
        if (weir_part_stat(&rig.part, &s) != 0 || s.allocs == last) {
            (void)sched_yield(); /* on one processor the worker's turn must end somewhere in its work */
            continue;
        }
        wrong += !belongs_together(&s);
        back += s.allocs < last;
        last = s.allocs;
        fresh++;
    }
    __atomic_store_n(&enough, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(worker, NULL), 0);
    printf("%u new readings while %llu requests were served\n", READS, (unsigned long long)served);
    assert_int_equal(wrong, 0);
    assert_int_equal(back, 0);
    assert_int_equal(part_rig_stat(&rig.part).allocs, served);
    assert_int_equal(weir_part_check(&rig.part), 0);
}

/* ---- two owners ---- */

static uintptr_t enter(void *ctx)
{
    (void)pthread_mutex_lock(ctx);
    return 0;
}

static void leave(void *ctx, uintptr_t before)
{
    (void)before;
    (void)pthread_mutex_unlock(ctx);
}

static void *owner(void *arg)
{
    uint8_t fill = *(const uint8_t *)arg;
    uintptr_t spoilt = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t *p = weir_part_alloc(&rig.part, 1 + i % 100, 0);
        if (p == NULL) continue;
        memset(p, fill, 1 + i % 100);
        uint8_t *q = weir_part_realloc(&rig.part, p, 150, 0);
        p = q != NULL ? q : p;
        for (unsigned k = 0; k < 1 + i % 100; k++)
            spoilt += p[k] != fill;
        (void)weir_part_free(&rig.part, p);
    }
    return (void *)spoilt;
}

static void two_owners_behind_a_hook(void **state)
{
    (void)state;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    struct weir_part_conf conf = part_rig_conf(&rig);
    conf.lock = (struct weir_lock){.kind = WEIR_LOCK_HOOK, .ctx = &mutex, .enter = enter, .leave = leave};
    part_rig_open_as(&rig, &conf);
    pthread_t thread[2];
    uint8_t fill[2] = {0x11, 0x22};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, owner, &fill[i]), 0);
    for (unsigned i = 0; i < 2; i++) {
        void *spoilt;
        assert_int_equal(pthread_join(thread[i], &spoilt), 0);
        assert_null(spoilt);
    }
    struct weir_mem_stat s = part_rig_stat(&rig.part);
    assert_int_equal(s.live, 0);
    assert_int_equal(s.bad_frees, 0);
    assert_int_equal(weir_part_check(&rig.part), 0);
    assert_int_equal(weir_part_close(&rig.part), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_sees_counts_that_belong_together),
        cmocka_unit_test(two_owners_behind_a_hook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
