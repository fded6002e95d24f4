/* part_rig.h: for tests: a partition over an array, and hooks that write down what they were called for. */
#ifndef WEIR_PART_RIG_H
#define WEIR_PART_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "weir/err.h"
#include "weir/part.h"

#define PART_RIG_BYTES 8192

/* What the hooks saw. */
struct part_heard {
    unsigned logs, suspends, aborts, order; /* order: one decimal digit a call, 1 log, 2 suspend, 3 abort */
    struct weir_part_report last;
    jmp_buf *out; /* where an abort jumps to */
};

struct part_rig {
    struct weir_part part;
    struct part_heard heard;
    _Alignas(16) uint8_t mem[PART_RIG_BYTES];
    _Alignas(16) uint8_t more[PART_RIG_BYTES];
};

static inline void part_heard_log(void *ctx, const struct weir_part_report *report)
{
    struct part_heard *h = ctx;
    h->logs++;
    h->order = h->order * 10 + 1;
    h->last = *report;
}

static inline void part_heard_suspend(void *ctx, const struct weir_part_report *report)
{
    struct part_heard *h = ctx;
    h->suspends++;
    h->order = h->order * 10 + 2;
    h->last = *report;
}

static inline void part_heard_abort(void *ctx, const struct weir_part_report *report)
{
    struct part_heard *h = ctx;
    h->aborts++;
    h->order = h->order * 10 + 3;
    h->last = *report;
    longjmp(*h->out, 1);
}

static inline struct weir_part_hooks part_rig_hooks(struct part_heard *h)
{
    return (struct weir_part_hooks){
        .ctx = h, .log = part_heard_log, .suspend = part_heard_suspend, .abort = part_heard_abort};
}

static inline struct weir_part_conf part_rig_conf(struct part_rig *rig)
{
    return (struct weir_part_conf){.name = "rig",
                                   .policy = &weir_firstfit_list,
                                   .cut = {.align_bytes = 8, .areas = 2, .level = 1},
                                   .hooks = part_rig_hooks(&rig->heard)};
}

static inline void part_rig_open_as(struct part_rig *rig, const struct weir_part_conf *conf)
{
    memset(&rig->heard, 0, sizeof rig->heard);
    assert_int_equal(weir_part_open(&rig->part, conf, rig->mem, sizeof rig->mem), 0);
}

static inline void part_rig_open(struct part_rig *rig)
{
    struct weir_part_conf conf = part_rig_conf(rig);
    part_rig_open_as(rig, &conf);
}

static inline struct weir_mem_stat part_rig_stat(const struct weir_part *part)
{
    struct weir_mem_stat stat;
    assert_int_equal(weir_part_stat(part, &stat), 0);
    return stat;
}

#endif
