/* cc_newreno.c: slow start and congestion avoidance of RFC 5681, growing by bytes acknowledged (RFC 3465).
 *
 * Slow start grows by all that an acknowledgement covers. RFC 5681 allows one segment an acknowledgement;
 * peers that merge segments acknowledge 64 KB at once, and by that rule a window would open 45 times slower.
 * Rejected: L = 2 segments (RFC 3465), for the same reason. */
#include "tcp/cc.h"

#include "base/bits.h"
#include "tcp/tcp.h"

uint32_t weir_cc_initial(uint32_t mss)
{
    return weir_min_u32(10 * mss, weir_max_u32(2 * mss, 14600));
}

static void newreno_open(struct weir_conn *c)
{
    c->cwnd = weir_cc_initial(weir_tcp_eff_mss(c));
    c->ssthresh = WEIR_CWND_MAX;
    c->cc.acked = 0;
}

static void newreno_acked(struct weir_conn *c, uint32_t acked, int limited)
{
    weir_cc_newreno_acked(c, acked, limited != 0);
}

static uint32_t half(const struct weir_conn *c, uint32_t flight)
{
    return weir_max_u32(flight / 2, 2 * weir_tcp_eff_mss(c));
}

static void newreno_lost(struct weir_conn *c, uint32_t flight)
{
    c->ssthresh = half(c, flight);
    c->cwnd = c->ssthresh;
    c->cc.acked = 0;
}

static void newreno_timeout(struct weir_conn *c, uint32_t flight, int first)
{
    if (first) c->ssthresh = half(c, flight);
    c->cwnd = weir_tcp_eff_mss(c);
    c->cc.acked = 0;
}

static void newreno_idle(struct weir_conn *c)
{
    c->cwnd = weir_min_u32(c->cwnd, weir_cc_initial(weir_tcp_eff_mss(c)));
}

const struct weir_cc_ops weir_cc_newreno = {.name = "newreno",
                                            .open = newreno_open,
                                            .acked = newreno_acked,
                                            .lost = newreno_lost,
                                            .timeout = newreno_timeout,
                                            .idle = newreno_idle};
