/* trace.h: a wrapper around any device that writes every frame to a pcap file (nanosecond format,
 * LINKTYPE_ETHERNET or LINKTYPE_RAW), with checksums completed in what it writes, never in what it passes.
 *
 * Times are those of the plat. A large segment is one frame in the file, as it crossed. */
#ifndef WEIR_TRACE_H
#define WEIR_TRACE_H

#include "weir/netdev.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where the bytes of the pcap file go; several calls a frame. 0, or negative: tracing stops, traffic goes on.
 */
typedef int (*weir_trace_sink)(void *ctx, const void *bytes, size_t n);

struct weir_trace {
    struct weir_netdev dev;
    uint32_t snap_bytes; /* of a frame that are written, 0: all; may be set before open */
    uint64_t frames;     /* written; may be read */
    int failed;          /* the sink's error, 0: none; may be read */
    struct weir_netdev *lower;
    weir_trace_sink sink;
    void *sink_ctx;
    const struct weir_plat *plat;
    uint8_t begun; /* the file's header is written */
};

/* Wraps `lower`, which must not be open yet and must outlive the wrapper. */
void weir_trace_init(struct weir_trace *, struct weir_netdev *lower, const struct weir_plat *,
                     weir_trace_sink, void *sink_ctx);

#ifdef __cplusplus
}
#endif
#endif
