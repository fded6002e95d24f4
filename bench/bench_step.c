/* bench_step.c: the trap flag.
 *
 * Both counted calls have the same frame around them: set the flag, call through a pointer, clear the flag. So
 * what is counted beside the callee is the same number each time. The flag is set below the red zone, since the
 * compiler may keep something there. */
#include "bench_step.h"

#include <signal.h>

#define AROUND_MAX 100u

static volatile sig_atomic_t steps;

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)

static uint64_t around_get, around_put;

static void count_step(int signal_number)
{
    (void)signal_number;
    steps++;
}

static inline void flag_set(void)
{
    __asm__ volatile(
        "lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::
            : "memory", "cc");
}

static inline void flag_clear(void)
{
    __asm__ volatile(
        "lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq $-257, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::
            : "memory", "cc");
}

/* A function that is nothing but its return, for either signature. */
__asm__(".text\n\t.type bench_step_ret, @function\nbench_step_ret:\n\tret\n\t.size bench_step_ret, 1\n");
void *bench_step_ret_get(size_t size) __asm__("bench_step_ret");
void bench_step_ret_put(void *block, size_t size) __asm__("bench_step_ret");

static __attribute__((noinline)) uint64_t raw_get(void *(*get)(size_t size), size_t size, void **got)
{
    sig_atomic_t before = steps;
    flag_set();
    *got = get(size);
    flag_clear();
    return (uint64_t)(steps - before);
}

static __attribute__((noinline)) uint64_t raw_put(void (*put)(void *block, size_t size), void *block,
                                                  size_t size)
{
    sig_atomic_t before = steps;
    flag_set();
    put(block, size);
    flag_clear();
    return (uint64_t)(steps - before);
}

bool bench_step_open(const char **why)
{
    struct sigaction action = {.sa_handler = count_step};
    void *got;
    if (sigaction(SIGTRAP, &action, NULL) != 0) {
        *why = "SIGTRAP can't be had";
        return false;
    }
    around_get = raw_get(bench_step_ret_get, 0, &got) - 1;
    around_put = raw_put(bench_step_ret_put, NULL, 0) - 1;
    bool works = around_get < AROUND_MAX && around_put < AROUND_MAX; /* without stops: below 0, so huge */
    if (!works) *why = "the trap flag does not stop this processor after each instruction";
    return works;
}

uint64_t bench_step_get(void *(*get)(size_t size), size_t size, void **got)
{
    return raw_get(get, size, got) - around_get;
}

uint64_t bench_step_put(void (*put)(void *block, size_t size), void *block, size_t size)
{
    return raw_put(put, block, size) - around_put;
}

#else

bool bench_step_open(const char **why)
{
    *why = "instructions are counted one by one on x86-64 only, and not under ThreadSanitizer";
    return false;
}

uint64_t bench_step_get(void *(*get)(size_t size), size_t size, void **got)
{
    *got = get(size);
    return (uint64_t)steps;
}

uint64_t bench_step_put(void (*put)(void *block, size_t size), void *block, size_t size)
{
    put(block, size);
    return (uint64_t)steps;
}

#endif
