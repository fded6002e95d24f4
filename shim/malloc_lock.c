/* malloc_lock.c: a lock of one word over futex, which needs no memory, works before libc is up, and can be set
 * free in the child of a fork by a store.
 *
 * States: 0 free; 1 held; 2 held, and somebody may sleep on it. Who wakes up takes it as 2, since others may
 * still sleep. While the process has one thread, a held lock could only be one that its own thread holds, and
 * nothing here calls back into the library: the word is left alone. The answer of that question is kept
 * between enter and leave, so that a thread that begins in between changes nothing.
 *
 * Fork. A library that registered its handlers before this one did runs them while all locks are held, in parent
 * and child, and they may ask for memory as they may of the C library. The thread that forks therefore passes:
 * while it holds all locks nobody else is inside.
 *
 * errno is the caller's: free keeps it, and a futex that need not sleep says EAGAIN. */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "malloc_shim.h"

#define SPINS 40
#define SOON  2000 /* turns of the processor until a lock that is still held is taken for stuck */

static _Atomic uintptr_t forking; /* the thread that holds all locks for its fork; 0: none */

/* Different for each thread, and the same in the child of a fork. */
static uintptr_t self(void)
{
    return (uintptr_t)&shim_mine;
}

static void futex(struct shim_lock *l, int op, uint32_t value)
{
    int saved = errno;
    (void)syscall(SYS_futex, &l->state, op, value, NULL, NULL, 0);
    errno = saved;
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* 1, or 0 iff this thread holds it, for its fork. */
static uintptr_t wait_for(struct shim_lock *l)
{
    if (atomic_load_explicit(&forking, memory_order_relaxed) == self()) return 0;
    for (int i = 0; i < SPINS; i++) {
        uint32_t is_free = 0;
        if (atomic_load_explicit(&l->state, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_weak_explicit(&l->state, &is_free, 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return 1;
        relax();
    }
    while (atomic_exchange_explicit(&l->state, 2, memory_order_acquire) != 0)
        futex(l, FUTEX_WAIT_PRIVATE, 2);
    return 1;
}

uintptr_t shim_lock_enter(void *lock)
{
    struct shim_lock *l = lock;
    uint32_t is_free = 0;
    if (__libc_single_threaded) return 0;
    if (!atomic_compare_exchange_strong_explicit(&l->state, &is_free, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return wait_for(l);
    return 1;
}

void shim_lock_leave(void *lock, uintptr_t before)
{
    struct shim_lock *l = lock;
    if (before == 0) return;
    if (atomic_exchange_explicit(&l->state, 0, memory_order_release) == 2) futex(l, FUTEX_WAKE_PRIVATE, 1);
}

void shim_lock_forking(bool now)
{
    atomic_store_explicit(&forking, now ? self() : 0, memory_order_relaxed);
}

bool shim_lock_soon(struct shim_lock *l)
{
    for (int i = 0; i < SOON; i++) {
        if (atomic_load_explicit(&l->state, memory_order_relaxed) == 0) return true;
        (void)sched_yield();
    }
    return false;
}

struct weir_lock shim_lock_hooks(struct shim_lock *l)
{
    return (struct weir_lock){
        .kind = WEIR_LOCK_HOOK, .ctx = l, .enter = shim_lock_enter, .leave = shim_lock_leave};
}
