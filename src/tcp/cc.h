/* cc.h: congestion control behind one small interface. An algorithm sets cwnd and ssthresh of its connection
 * in answer to four things that happen; when to retransmit what is recovery's business (recovery.c), not its.
 */
#ifndef WEIR_CC_H
#define WEIR_CC_H

#include <stdint.h>

#define WEIR_CWND_MAX 0x3fffffffu /* bytes; half the largest window, so that sums stay in 32 bits */

struct weir_conn;
struct weir_tcp;

/* An algorithm's own state in a connection. */
struct weir_cc {
    uint32_t acked; /* bytes acknowledged since cwnd last grew in congestion avoidance */
};

struct weir_cc_ops {
    const char *name;
    /* The handshake is complete, mss is known (RFC 6928). */
    void (*open)(struct weir_conn *);
    /* acked new bytes outside recovery; limited: cwnd was what held the sender back. */
    void (*acked)(struct weir_conn *, uint32_t acked, int limited);
    /* A loss was found by duplicate acknowledgements: sets ssthresh and cwnd to it. */
    void (*lost)(struct weir_conn *, uint32_t flight);
    /* A time-out; first: of this data. */
    void (*timeout)(struct weir_conn *, uint32_t flight, int first);
    /* Idle for longer than the RTO (restart window, RFC 5681 4.1). */
    void (*idle)(struct weir_conn *);
};

extern const struct weir_cc_ops weir_cc_newreno; /* RFC 5681 with byte counting as in RFC 3465 */

/* RFC 6928: 10 segments, at most 14,600 bytes or two segments. */
uint32_t weir_cc_initial(uint32_t mss);

#endif
