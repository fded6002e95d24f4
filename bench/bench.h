/* bench.h: what the benchmarks share: what is asked for, where figures go, how sections are counted.
 *
 * Single-threaded but for the processes that the timed part forks. */
#ifndef WEIR_BENCH_H
#define WEIR_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Benchmarks that can be named. X(NAME, name, what) */
#define BENCH_MAP(X)                                                                                         \
    X(POOL, "pool", "fixed cells: get and put, beside malloc")                                               \
    X(ZBUF, "zbuf", "buffers: allocate, free, find the head, count references, fall through")                \
    X(ECHO, "echo", "1-byte echo, whole server, 1 and 16 connections")                                       \
    X(SEND, "send", "bulk send")                                                                             \
    X(RECEIVE, "receive", "bulk receive")                                                                    \
    X(MEM, "mem", "schemes of memory beside other allocators: instructions, worst seen, bytes, footprint")
enum bench_name {
#define BENCH_ENUM(name, text, what) BENCH_##name,
    BENCH_MAP(BENCH_ENUM)
#undef BENCH_ENUM
        BENCH_NAMES
};

struct bench_options {
    bool wanted[BENCH_NAMES];
    bool json, quick;
    const char *
        subject; /* of `mem`: this process measures that one alone, NULL: all, each in a process of its own */
    const char *only;   /* of `mem`: that subject alone, NULL: all */
    const char *beside; /* a shared object with an allocator to stand beside, or NULL */
};

/* ---- figures (bench_report.c) ---- */

/* Keeps one figure. The texts are copied. */
void bench_emit(const char *name, const char *variant, const char *metric, double value, const char *unit);
/* Everything kept so far: one JSON object a line, or a table with the variants side by side. Whether stdout
 * took it. */
bool bench_print(bool json);
/* A sentence on stderr: why something is left out. Told once. */
void bench_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What is being done, on stderr if that is a terminal. */
void bench_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends the program with a sentence. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The median; orders the values. n >= 1. */
double bench_median(double *value, unsigned n);
double bench_seconds(void);

/* ---- counted sections (bench_count.c) ----
 *
 * Between begin and end, but for what lies between pause and resume, callgrind counts. end writes the counts
 * to a file of their own, whose label says what the figure is; the parent reads it. Without callgrind nothing
 * happens. */
bool bench_counting(void); /* whether this process runs under callgrind */
void bench_begin(void);
void bench_pause(void);
void bench_resume(void);
/* A section of pauses alone: what one takes is left out of all sums of this process that follow. */
void bench_count_pauses(void);
/* Nothing more is counted in this section; end does so too. */
void bench_stop(void);
/* The figure is the sum of instructions / units. Name, variant and unit without `;` and `,`. */
void bench_end(const char *name, const char *variant, const char *unit, double units);

/* The same for a loop of `turns` with one call in each, less what the last loop with the name "" took. */
void bench_end_loop(const char *name, const char *variant, double turns);
/* Where a turn is not a call: the unit's name too. */
void bench_end_turns(const char *name, const char *variant, const char *unit, double turns);

/* A loop with calls of an empty function that takes `inside` instructions: what lies around a call is less by
 * them. In place of the loop with the name "". */
void bench_end_hollow(unsigned inside, double turns);

#define BENCH_CALLS_MAX 8

/* Instructions inside a function, and what it calls, for each call of it. */
struct bench_call {
    const char *name, *variant, *function;
};

/* The same section gives a figure for each of these, 1 to BENCH_CALLS_MAX. Right only in the first section of
 * a process; see bench_count.c. */
void bench_end_calls(const struct bench_call *, unsigned n);

/* Runs this program again under callgrind and emits what it counted. False: it can't be had, with a note. */
bool bench_count_again(const struct bench_options *);

/* The same for one subject of `mem`, with LD_PRELOAD set to `preload` unless that is NULL. */
bool bench_count_subject(const struct bench_options *, const char *preload);

/* ---- the benchmarks ---- */

void bench_cells_counted(const struct bench_options *);
void bench_zbuf_counted(const struct bench_options *);
void bench_zbuf_timed(const struct bench_options *);
void bench_traffic_counted(const struct bench_options *);
void bench_traffic_timed(const struct bench_options *);
void bench_mem(const struct bench_options *);
void bench_mem_subject(const struct bench_options *); /* the process of one subject, also under callgrind */

#endif
