/* rtt.h: round-trip time and retransmission time-out, RFC 6298, in microseconds. Inline: each acknowledgement
 * of something new gives a sample, and with a request and its answer that is one a round trip. */
#ifndef WEIR_RTT_H
#define WEIR_RTT_H

#include "base/bits.h"
#include "tcp/conn.h"

#define WEIR_RTT_GRANULARITY_US 1000u /* of the timer wheel */
/* A sample of the round-trip time (RFC 6298 2). None of the products passes 32 bits: rto_max_us is 240,000,000
 * at most, and bounds all three. */
static inline void weir_tcp_rtt(struct weir_tcp *t, struct weir_conn *c, uint32_t rtt_us)
{
    uint32_t most = t->conf->rto_max_us, least = t->conf->rto_min_us;
    if (rtt_us - 1 >= most) rtt_us = rtt_us ? most : 1;
    if (c->srtt_us == 0) {
        c->srtt_us = rtt_us;
        c->rttvar_us = rtt_us / 2;
    } else { /* neither of two numbers above 0 makes srtt 0 */
        uint32_t err = c->srtt_us > rtt_us ? c->srtt_us - rtt_us : rtt_us - c->srtt_us;
        c->rttvar_us = (3 * c->rttvar_us + err) / 4;
        c->srtt_us = (7 * c->srtt_us + rtt_us) / 8;
    }
    uint32_t var = 4 * c->rttvar_us, rto = c->srtt_us + WEIR_RTT_GRANULARITY_US;
    if (var > WEIR_RTT_GRANULARITY_US) rto = c->srtt_us + var;
    c->rto_us = least;
    if (rto > least) c->rto_us = rto > most ? most : rto;
}

#endif
