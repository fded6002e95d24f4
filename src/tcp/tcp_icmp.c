/* tcp_icmp.c: ICMP errors about our segments (RFC 9293 3.9.2.2, RFC 5927). An error is believed only if it
 * quotes a sequence number that is in flight. Hard errors end a connection only while it is being opened;
 * afterwards they are noted, and told if the connection then times out. */
#include "tcp/tcp.h"

#include "base/bits.h"

/* RFC 1191 3: a router that does not say; the next lower plateau below Ethernet. */
#define MTU_UNTOLD 1006u
#define MTU_MIN    (WEIR_TCP_MSS_MIN + WEIR_IP4_BYTES + WEIR_TCP_BYTES_MAX)

static void too_big(struct weir_tcp *t, struct weir_conn *c, uint32_t mtu)
{
    if (mtu == 0) mtu = MTU_UNTOLD;
    if (mtu < MTU_MIN) mtu = MTU_MIN;
    uint32_t mss = mtu - WEIR_IP4_BYTES - WEIR_TCP_BYTES;
    if (mss >= c->mss) return;
    weir_tcp_set_mss(t, c, mss);
    /* Not congestion: everything goes again in smaller segments, cwnd stays. */
    (void)weir_txlist_lose(&c->tx, &t->mem, c->tx.una, c->tx.nxt);
    c->flags |= WEIR_C_FORCE;
    weir_conn_dirty(t, c);
}

static int error_of(const struct weir_icmp_note *n)
{
    if (n->type == WEIR_ICMP_UNREACHABLE &&
        (n->code == WEIR_ICMP_PROTO_UNREACHABLE || n->code == WEIR_ICMP_PORT_UNREACHABLE))
        return WEIR_ECONNREFUSED;
    return n->code == 0 ? WEIR_ENETUNREACH : WEIR_EHOSTUNREACH;
}

void weir_tcp_icmp(struct weir_tcp *t, const struct weir_icmp_note *n)
{
    struct weir_conn *c = weir_conn_lookup(t, n->src, n->sport, n->dst, n->dport);
    if (!c || weir_seq_lt(n->seq, c->tx.una) || !weir_seq_lt(n->seq, c->tx.nxt)) {
        t->stats->drops[WEIR_DROP_ICMP_QUOTE]++;
        return;
    }
    if (n->type == WEIR_ICMP_UNREACHABLE && n->code == WEIR_ICMP_FRAG_NEEDED) {
        too_big(t, c, n->mtu);
        return;
    }
    int error = error_of(n);
    if (c->state == WEIR_TCP_SYN_SENT && error == WEIR_ECONNREFUSED)
        weir_conn_dead(t, c, error);
    else if (c->state == WEIR_TCP_SYN_SENT)
        c->error = error; /* soft: told if the attempt times out */
}
