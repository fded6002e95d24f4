/* config.h: what an instance is made of. Every table, queue and loop has its bound here; weir_plan turns the
 * bounds into bytes and refuses what can't work, naming the option.
 *
 * A member's comment gives unit, minimum and maximum; 0 is a value like any other unless it says otherwise.
 */
#ifndef WEIR_CONFIG_H
#define WEIR_CONFIG_H

#include <stdint.h>

#include "weir/plan.h"
#include "weir/plat.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_ZCLASSES_MAX  8
#define WEIR_IFACES_MAX    4
#define WEIR_ZCLASS_MIN    128u    /* a header block: Ethernet, IP and TCP with all options */
#define WEIR_ZCLASS_MAX    131072u /* usable bytes of the largest zbuf */
#define WEIR_ZHEAD_BYTES   32u     /* a zbuf's head */
#define WEIR_ZINSIDE_BYTES 64u     /* what a head takes of a segment when it lies inside: a cache line */

enum weir_zlayout {
    WEIR_ZLAYOUT_DENSE =
        0, /* heads in an array apart: a class of 16,384 has 16,384 usable bytes, page-aligned */
    WEIR_ZLAYOUT_INSIDE = 1 /* head at the front of its segment: usable bytes + 64 must be a power of two */
};

/* One size of zbuf. bytes: usable, WEIR_ZCLASS_MIN to WEIR_ZCLASS_MAX, a power of two (dense) or 64 less
 * (inside). count: at least 1; rounded up so that the class fills whole slabs of the largest class's size
 * (the plan shows the result: the bytes become segments, not waste). */
struct weir_zclass {
    uint32_t bytes;
    uint32_t count;
};

/* What receive windows promise. */
enum weir_window {
    WEIR_WINDOW_SHARED =
        0, /* more than there may be memory for, as on servers: connections are rarely all busy.
              What finds none is dropped before it is acknowledged, and the ladder cuts windows */
    WEIR_WINDOW_STRICT =
        1 /* nothing that there is no memory for: the plan has segments for every connection's
             receive buffer, in the worst way that a peer can fill it, or refuses */
};

struct weir_config {
    const struct weir_plat *plat; /* must be set before weir_start; weir_plan does not need it */

    /* Buffers */
    struct weir_zclass zclass[WEIR_ZCLASSES_MAX]; /* ascending by bytes */
    uint32_t zclasses;                            /* 1 to WEIR_ZCLASSES_MAX */
    enum weir_zlayout zlayout;
    uint32_t pbufs;  /* packet descriptors, 16 to 16,777,216 */
    uint32_t txrecs; /* transmit records, 4 to 16,777,216, at least conns: one is kept for each, the others
                        are shared */

    /* Connections */
    uint32_t conns;     /* open at once, also those not yet accepted, 1 to 1,048,576 */
    uint32_t listeners; /* 0 to 4,096 */
    uint32_t timewait;  /* connections in TIME-WAIT, 0 to 1,048,576; when full the oldest goes */
    uint32_t
        rcvbuf_bytes; /* received bytes that a connection may hold, unread or lent, 2,048 to 1,073,741,823 */
    uint32_t sndbuf_bytes; /* bytes queued and not yet acknowledged, 2,048 to 1,073,741,823 */
    uint32_t pbufs_conn;   /* descriptors of one connection's send queue, 4 to 65,535 */
    uint32_t txrecs_conn;  /* transmit records of one connection, 2 to 65,535 */
    uint32_t ooo_conn;     /* out-of-order pieces of one connection, 0 to 65,535 */
    uint32_t
        app_hold_bytes; /* received bytes lent to the application by all connections, at least rcvbuf_bytes */

    uint32_t window;         /* enum weir_window */
    uint32_t reset_after_ms; /* on the ladder's last rung for so long: the stuck connection that pins most is
                                reset, and one more each time that passes again; 0: never; up to 86,400,000 */

    /* Network */
    uint32_t ifaces;      /* 1 to WEIR_IFACES_MAX */
    uint32_t neighbours;  /* 2 to 65,536 */
    uint32_t neigh_queue; /* datagrams that wait for one neighbour, 0 to 16 */
    uint32_t rx_burst;    /* frames a poll takes from a device, 1 to 64 */
    uint32_t tx_burst;    /* frames handed to a device at once, 1 to 64 */

    /* Times */
    uint32_t msl_ms;       /* half of TIME-WAIT, 1 to 240,000 (RFC 9293 3.4.2 says 120,000) */
    uint32_t rto_min_us;   /* 1,000 to 1,000,000 (RFC 6298 2.4 says 1,000,000) */
    uint32_t rto_max_us;   /* 1,000,000 to 240,000,000 */
    uint32_t delack_us;    /* longest delay of an acknowledgement, 0 to 500,000 (RFC 9293 3.8.6.3) */
    uint32_t syn_retries;  /* 0 to 16 */
    uint32_t data_retries; /* time-outs in a row before a connection is given up, 1 to 32 */
    uint32_t keepalive_ms; /* idle time before the first probe where an application asks for it, 1,000 to
                              86,400,000 (RFC 9293 3.8.4 says at least 7,200,000 by default) */
    uint32_t keepalive_interval_ms; /* between probes, 1,000 to 86,400,000 */
    uint32_t keepalive_probes;      /* without an answer before the connection is given up, 1 to 64 */
    uint32_t challenge_acks;        /* per second, whole instance, 1 to 100,000 (RFC 5961 section 7) */
    uint32_t icmp_errors; /* ICMP errors and resets to nobody's segments, per second, 1 to 100,000 */
};

/* Fills in a configuration for an instance of about mem_bytes (at least 2 MiB): the buffers take what the
 * tables leave. 0, or WEIR_EINVAL when mem_bytes is less: *conf is then the smallest there is. No memory is
 * touched but *conf. */
int weir_config_size(struct weir_config *conf, uint64_t mem_bytes);

#ifdef __cplusplus
}
#endif
#endif
