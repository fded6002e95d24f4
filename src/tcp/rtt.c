/* rtt.c: round-trip time and retransmission time-out, RFC 6298, in microseconds. */
#include "tcp/tcp.h"

#include "base/bits.h"

#define GRANULARITY_US 1000u /* of the timer wheel */

void weir_tcp_rtt(struct weir_tcp *t, struct weir_conn *c, uint32_t rtt_us)
{
    if (rtt_us == 0) rtt_us = 1;
    if (rtt_us > t->conf->rto_max_us) rtt_us = t->conf->rto_max_us;
    if (c->srtt_us == 0) {
        c->srtt_us = rtt_us;
        c->rttvar_us = rtt_us / 2;
    } else {
        uint32_t err = c->srtt_us > rtt_us ? c->srtt_us - rtt_us : rtt_us - c->srtt_us;
        c->rttvar_us = (uint32_t)((3ull * c->rttvar_us + err) / 4);
        c->srtt_us = (uint32_t)((7ull * c->srtt_us + rtt_us) / 8);
        if (c->srtt_us == 0) c->srtt_us = 1;
    }
    uint64_t rto = (uint64_t)c->srtt_us + weir_max_u32(GRANULARITY_US, 4 * c->rttvar_us);
    if (rto < t->conf->rto_min_us) rto = t->conf->rto_min_us;
    if (rto > t->conf->rto_max_us) rto = t->conf->rto_max_us;
    c->rto_us = (uint32_t)rto;
}
