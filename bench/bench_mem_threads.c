/* bench_mem_threads.c: one thread makes blocks and fills their heads, another reads and gives them back.
 *
 * A malloc is called from both. A scheme of Weir's belongs to one thread: there the consumer sends each block back
 * through a second ring and the owner puts it, which is what a share-nothing program does. A scheme with a lock
 * (`shared`) is called from both, under its lock. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "bench_mem.h"

#define RING         1024u /* a power of two */
#define BLOCKS       2000000u
#define BLOCKS_QUICK 100000u
#define ROUNDS       5u
#define SPINS        200u
#define PER_SEC      1e-6

struct ring {
    _Alignas(64) _Atomic uint32_t head;
    _Alignas(64) _Atomic uint32_t tail;
    _Alignas(64) void *slot[RING];
};

static struct ring there, back;
static const struct mem_scheme *scheme;
static unsigned blocks;

static bool push(struct ring *r, void *block)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&r->tail, memory_order_acquire) == RING) return false;
    r->slot[head % RING] = block;
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return true;
}

static void *pop(struct ring *r)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (tail == atomic_load_explicit(&r->head, memory_order_acquire)) return NULL;
    void *block = r->slot[tail % RING];
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return block;
}

/* With fewer processors than threads the other one must be let run. */
static void wait_a_little(unsigned *spins)
{
    if (++*spins % SPINS == 0) sched_yield();
}

static bool both_call(void)
{
    return scheme->process || scheme->shared;
}

static void *consume(void *arg)
{
    uint64_t *sum = arg;
    unsigned spins = 0;
    for (unsigned i = 0; i < blocks;) {
        uint64_t *block = pop(&there);
        if (block == NULL) {
            wait_a_little(&spins);
            continue;
        }
        *sum += *block;
        i++;
        if (both_call())
            scheme->put(block, MEM_CELL);
        else
            while (!push(&back, block))
                wait_a_little(&spins);
    }
    return NULL;
}

static void put_returned(unsigned *returned)
{
    for (void *block; (block = pop(&back)) != NULL; ++*returned)
        scheme->put(block, MEM_CELL);
}

static void produce(void)
{
    unsigned spins = 0, returned = 0;
    for (unsigned i = 0; i < blocks; i++) {
        uint64_t *block = scheme->get(MEM_CELL);
        if (block == NULL) bench_die("%s has no block for another thread", scheme->name);
        *block = i;
        put_returned(&returned);
        while (!push(&there, block)) {
            put_returned(&returned);
            wait_a_little(&spins);
        }
    }
    while (!both_call() && returned < blocks) {
        put_returned(&returned);
        wait_a_little(&spins);
    }
}

static double one_round(void)
{
    pthread_t consumer;
    uint64_t sum = 0, expected = (uint64_t)blocks * (blocks - 1) / 2;
    double began = bench_seconds();
    if (pthread_create(&consumer, NULL, consume, &sum) != 0) bench_die("no second thread");
    produce();
    pthread_join(consumer, NULL);
    if (sum != expected) bench_die("%s: blocks were written over", scheme->name);
    return blocks / (bench_seconds() - began) * PER_SEC;
}

void mem_threads(const struct mem_scheme *s, bool quick)
{
    double rate[ROUNDS];
    scheme = s;
    blocks = quick ? BLOCKS_QUICK : BLOCKS;
    if (MEM_CELL < s->least || MEM_CELL > s->most || !mem_open(s, mem_ample(2 * RING, MEM_CELL), MEM_CELL))
        return;
    for (unsigned r = 0; r < ROUNDS; r++)
        rate[r] = one_round();
    mem_figure("mem-two-threads", "rate", bench_median(rate, ROUNDS), "million blocks/s");
}
