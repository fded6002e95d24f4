/* bench_step.h: how many instructions one call takes, exactly, without valgrind.
 *
 * The processor is asked to stop after each instruction (the trap flag of x86), and a signal handler counts the
 * stops. What the counting itself takes was measured with a call that only returns, and is subtracted: a figure
 * is of the instructions from the callee's first to its `ret`, both included. A repeated string instruction
 * counts once a repetition, what the kernel does not at all. Slow, 2 to 12 us an instruction, and exact; not for
 * programs with more than one thread. Does not work under valgrind or a debugger. */
#ifndef BENCH_STEP_H
#define BENCH_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Takes SIGTRAP and learns what the counting takes. False: not on this machine; `why` is then a sentence. */
bool bench_step_open(const char **why);

/* Instructions of get(size); *got is what it returned. */
uint64_t bench_step_get(void *(*get)(size_t size), size_t size, void **got);

/* Instructions of put(block, size). */
uint64_t bench_step_put(void (*put)(void *block, size_t size), void *block, size_t size);

#endif
