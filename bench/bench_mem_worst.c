/* bench_mem_worst.c: the dearest calls of a long run, counted exactly.
 *
 * Counting each call of a long run by the trap flag would take hours. So the same run is timed first, in forks of
 * one state, and those calls that took longest, by the least of three, are counted in a fourth fork. A call of
 * many instructions is among the slow ones; one that is slow for another reason does no harm. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_mem.h"
#include "bench_step.h"

#define TURNS        200000u
#define TURNS_QUICK  20000u
#define CALLS        (TURNS + MEM_LIVE_MAX)
#define TIMINGS      3u
#define CHOSEN       60u
#define CHOSEN_QUICK 20u

enum { GET, PUT, KINDS };

/* Shared with the forks. */
static struct shared {
    uint32_t took[KINDS][CALLS];
    uint8_t chosen[KINDS][CALLS];
    uint64_t worst[KINDS];
} * shared;
static struct mem_run run;

static uint64_t clock_now(void)
{
#ifdef __x86_64__
    return __builtin_ia32_rdtsc();
#else
    return 0; /* never asked: without the trap flag nothing is measured */
#endif
}

static void note_time(int kind, unsigned at, uint64_t began)
{
    uint64_t took = clock_now() - began;
    if (took < shared->took[kind][at]) shared->took[kind][at] = (uint32_t)took;
}

static void note_count(int kind, uint64_t count)
{
    if (count > shared->worst[kind]) shared->worst[kind] = count;
}

static void put_one(unsigned at, uint32_t slot, bool counting)
{
    if (counting && shared->chosen[PUT][at]) {
        note_count(PUT, bench_step_put(run.s->put, run.block[slot], run.size[slot]));
        return;
    }
    uint64_t began = clock_now();
    run.s->put(run.block[slot], run.size[slot]);
    if (!counting) note_time(PUT, at, began);
}

static void *get_one(unsigned at, uint32_t size, bool counting)
{
    void *block;
    if (counting && shared->chosen[GET][at]) {
        note_count(GET, bench_step_get(run.s->get, size, &block));
        return block;
    }
    uint64_t began = clock_now();
    block = run.s->get(size);
    if (!counting) note_time(GET, at, began);
    return block;
}

/* The run itself, from the first block to the last put. */
static void do_run(const struct mem_scheme *s, const struct mem_load *load, unsigned turns, bool counting)
{
    if (!mem_open(s, mem_ample(MEM_LIVE_MAX, load->most), load->most))
        bench_die("%s can't be opened", s->name);
    mem_run_begin(&run, s, load);
    for (unsigned i = 0; i < turns; i++) {
        struct mem_turn t = mem_run_next(&run);
        if (run.block[t.slot] != NULL) put_one(i, t.slot, counting);
        mem_run_took(&run, t, get_one(i, t.size, counting));
    }
    for (unsigned i = 0; i < MEM_LIVE_MAX; i++)
        if (run.block[i] != NULL) put_one(turns + i, i, counting);
}

static bool fork_run(const struct mem_scheme *s, const struct mem_load *load, unsigned turns, bool counting)
{
    int status = -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        do_run(s, load, turns, counting);
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* The slowest calls. Those that were never made have no time. */
static void choose(int kind, unsigned calls, unsigned chosen)
{
    for (unsigned i = 0; i < chosen; i++) {
        unsigned best = calls;
        for (unsigned k = 0; k < calls; k++) {
            uint32_t took = shared->took[kind][k];
            if (took == UINT32_MAX || shared->chosen[kind][k]) continue;
            if (best == calls || took > shared->took[kind][best]) best = k;
        }
        if (best < calls) shared->chosen[kind][best] = 1;
    }
}

/* What lies around a call in this scheme's adaptor. */
static uint64_t around(const struct mem_scheme *s, int kind)
{
    static char nowhere;
    void *block;
    s = mem_hollow(s);
    uint64_t count =
        kind == GET ? bench_step_get(s->get, MEM_CELL, &block) : bench_step_put(s->put, &nowhere, MEM_CELL);
    return count - MEM_HOLLOW;
}

static void worst_of(const struct mem_scheme *s, const struct mem_load *load, unsigned turns, unsigned chosen)
{
    static const char *const word[KINDS] = {"get", "put"};
    char name[40];
    memset(shared, 0, sizeof *shared);
    memset(shared->took, 0xff, sizeof shared->took);
    for (unsigned i = 0; i < TIMINGS; i++)
        if (!fork_run(s, load, turns, false)) return;
    choose(GET, turns, chosen);
    choose(PUT, turns + MEM_LIVE_MAX, chosen);
    if (!fork_run(s, load, turns, true)) return;
    for (int kind = 0; kind < KINDS; kind++) {
        snprintf(name, sizeof name, "mem-%s-worst-%s", load->name, word[kind]);
        mem_figure(name, "instructions", (double)(shared->worst[kind] - around(s, kind)),
                   "instructions/call");
    }
}

void mem_worst(const struct mem_scheme *s, bool quick)
{
    const char *why = NULL;
    if (!bench_step_open(&why)) {
        bench_note("no worst cases: %s", why);
        return;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) bench_die("no memory to share");
    for (unsigned i = 0; i < MEM_LOADS; i++)
        if (mem_serves(s, &mem_loads[i]))
            worst_of(s, &mem_loads[i], quick ? TURNS_QUICK : TURNS, quick ? CHOSEN_QUICK : CHOSEN);
}
