/* bringup.h: from options to a running instance on its device, and back. */
#ifndef WEIR_TOOLS_BRINGUP_H
#define WEIR_TOOLS_BRINGUP_H

#include "options.h"

#include <stdio.h>
#include <weir/tap.h>
#include <weir/trace.h>

/* Anonymous memory, prefaulted, with huge pages where there are any, not inherited by fork. */
struct weir_mapping {
    struct weir_area area;
    void *raw;
    size_t raw_bytes;
};

/* 0, or -1: the system doesn't give it. */
int weir_mapping_open(struct weir_mapping *, uint64_t bytes, uint32_t align_bytes);
void weir_mapping_close(struct weir_mapping *);

/* The devices stand one upon the other: tap, then trace (what it writes is what the wire carried), then
 * fault. */
struct weir_bringup {
    struct weir_linux lin;
    struct weir_tap tap;
    struct weir_trace trace;
    struct weir_fault fault;
    const char *trace_path; /* NULL: no trace */
    FILE *trace_file;
    int trace_error; /* errno of its opening or of a write */
    struct weir_config conf;
    struct weir_plan plan;
    struct weir_mapping mapping;
    struct weir *w;
    bool plat_open;
    char why[384];
};

/* 0, or -1 with one sentence in b->why and nothing left behind. */
int weir_bringup_open(struct weir_bringup *, const struct weir_options *);

/* Stops the instance; how many zbufs the application still held. */
int weir_bringup_close(struct weir_bringup *);

#endif
