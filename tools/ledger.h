/* ledger.h: what an instance did with its bytes, for humans as a table and for scripts as JSON. */
#ifndef WEIR_TOOLS_LEDGER_H
#define WEIR_TOOLS_LEDGER_H

#include <jansson.h>
#include <stdio.h>
#include <weir/weir.h>

/* X(name, text): what the program knows beside the instance's own counters, each a uint64_t. */
#define WEIR_LEDGER_MAP(X)                                                                                   \
    X(zbuf_live, "zbufs that the application still held at the very end")                                    \
    X(zbuf_live_before_stop, "zbufs in use by anybody just before the instance stopped")                     \
    X(file_bytes_ref, "bytes of files written out of zbufs")                                                 \
    X(file_bytes_copied, "bytes of files written out of other memory")                                       \
    X(requests, "requests answered")                                                                         \
    X(chunk_hits, "pieces of files found in zbufs")                                                          \
    X(chunk_misses, "pieces of files read into zbufs")                                                       \
    X(file_calls, "system calls for files")                                                                  \
    X(device_calls, "system calls of the device")                                                            \
    X(system_calls, "system calls for files, device and sleeping")                                           \
    X(fault_lost, "frames lost by --fault, both directions")                                                 \
    X(fault_reordered, "frames held back by --fault until others had passed")                                \
    X(fault_duplicated, "frames doubled by --fault")                                                         \
    X(fault_corrupted, "frames of which --fault has flipped a bit")

struct weir_ledger {
    struct weir_stats stats;
#define WEIR_LEDGER_FIELD(name, text) uint64_t name;
    WEIR_LEDGER_MAP(WEIR_LEDGER_FIELD)
#undef WEIR_LEDGER_FIELD
};

/* Bytes of a mean transmitted frame, 0 without any. */
uint64_t weir_ledger_mean_frame(const struct weir_ledger *);

/* One object; the caller's. NULL: no memory. */
json_t *weir_ledger_json(const struct weir_ledger *);

/* A table of what isn't zero, and of what matters when it is. */
void weir_ledger_print(FILE *, const struct weir_ledger *);

/* Prints an object and a newline, and gives the object back. 0, or -1: the stream failed or there's no
 * object. */
int weir_json_print(FILE *, json_t *);

#endif
