/* recovery.c: finding loss and answering it, on the transmit records: fast retransmit and NewReno (RFC
 * 5681 3.2, RFC 6582), limited transmit (RFC 3042) and the retransmission time-out (RFC 6298 5). It marks
 * records lost; the output sends what is marked. cwnd is compared with the records' pipe. */
#include "tcp/tcp.h"

#include "base/bits.h"

#define DUP_THRESHOLD 3u

/* The first segment that is not acknowledged was lost. */
static void lose_first(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t end = weir_seq_min(c->tx.una + weir_tcp_eff_mss(c), c->tx.nxt);
    (void)weir_txlist_lose(&c->tx, &t->mem, c->tx.una, end);
    c->flags |= WEIR_C_FORCE;
    weir_conn_dirty(t, c);
}

void weir_tcp_dupack(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t mss = weir_tcp_eff_mss(c);
    t->stats->dup_acks++;
    if (c->flags & WEIR_C_RTO) return; /* what is out was sent again; these are its echoes */
    if (c->flags & WEIR_C_RECOVERY) {
        c->cwnd = weir_min_u32(c->cwnd + mss, WEIR_CWND_MAX); /* a segment has left the network */
        weir_conn_dirty(t, c);
        return;
    }
    if (c->dupacks < DUP_THRESHOLD) c->dupacks++;
    if (c->dupacks < DUP_THRESHOLD) {
        /* Limited transmit: one new segment for each of the first two, beyond cwnd. */
        if (c->sq.end != c->tx.nxt && c->tx.pipe < c->cwnd + 2 * mss) {
            uint32_t cwnd = c->cwnd, nxt = c->tx.nxt;
            c->cwnd = weir_max_u32(cwnd, c->tx.pipe + mss);
            weir_tcp_output(t, c);
            c->cwnd = cwnd;
            c->limited += c->tx.nxt - nxt;
        }
        return;
    }
    /* RFC 6582 3.2 step 2, not again for losses of a window that was recovered, needs no comparison here:
     * both flags stand until `recover` is acknowledged. */
    uint32_t flight = c->tx.nxt - c->tx.una - c->limited; /* RFC 5681 3.2 step 2 */
    t->stats->fast_recoveries++;
    weir_cc_newreno.lost(c, flight);
    c->recover = c->tx.nxt - 1;
    c->flags |= WEIR_C_RECOVERY;
    c->cwnd = c->ssthresh + DUP_THRESHOLD * mss;
    lose_first(t, c);
    weir_tcp_rexmt_start(t, c);
}

static void leave_recovery(struct weir_conn *c)
{
    uint32_t mss = weir_tcp_eff_mss(c);
    c->cwnd = weir_min_u32(c->ssthresh, weir_max_u32(c->tx.pipe, mss) + mss);
    c->flags &= ~(uint32_t)WEIR_C_RECOVERY;
    c->dupacks = 0;
}

/* The next hole is lost too (RFC 6582 3.2 step 3). */
static void partial_ack(struct weir_tcp *t, struct weir_conn *c, uint32_t acked)
{
    uint32_t mss = weir_tcp_eff_mss(c);
    c->cwnd = c->cwnd > acked ? c->cwnd - acked : mss;
    if (acked >= mss) c->cwnd += mss;
    if (c->cwnd < mss) c->cwnd = mss;
    lose_first(t, c);
}

void weir_tcp_newack(struct weir_tcp *t, struct weir_conn *c, uint32_t acked, uint32_t flight)
{
    bool all = weir_seq_lt(c->recover, c->tx.una);
    c->limited = 0;
    if (c->flags & WEIR_C_RECOVERY) {
        if (all)
            leave_recovery(c);
        else
            partial_ack(t, c, acked);
        return;
    }
    if (all) c->flags &= ~(uint32_t)WEIR_C_RTO;
    c->dupacks = 0;
    weir_cc_newreno.acked(c, acked, flight + weir_tcp_segment_max(t, c) > c->cwnd);
}

void weir_tcp_timeout(struct weir_tcp *t, struct weir_conn *c)
{
    t->stats->timeouts++;
    c->timeouts++;
    if (c->tx.una != c->tx.nxt) {
        bool first = !(c->flags & WEIR_C_RTO) || weir_seq_lt(c->recover, c->tx.una);
        if (weir_tcp_synchronised(c))
            weir_cc_newreno.timeout(c, c->tx.nxt - c->tx.una, first && c->retries <= 1);
        (void)weir_txlist_lose(&c->tx, &t->mem, c->tx.una, c->tx.nxt);
        c->recover = c->tx.nxt - 1;
        c->flags = (c->flags & ~(uint32_t)WEIR_C_RECOVERY) | WEIR_C_RTO;
        c->dupacks = 0;
    }
    uint64_t rto = 2ull * c->rto_us; /* RFC 6298 5.5 */
    c->rto_us = rto > t->conf->rto_max_us ? t->conf->rto_max_us : (uint32_t)rto;
    c->flags |= WEIR_C_FORCE;
    weir_tcp_rexmt_start(t, c);
    weir_conn_dirty(t, c);
}
