/* choose.c: initial sequence numbers (RFC 6528), ports (RFC 6056) and timestamp offsets (RFC 7323 5.4): what
 * an outsider must not guess. */
#include "tcp/tcp.h"

#define PORT_FIRST 49152u /* RFC 6335: dynamic ports */
#define PORT_COUNT 16384u

uint32_t weir_tcp_isn(const struct weir_tcp *t, uint32_t laddr, uint16_t lport, uint32_t raddr,
                      uint16_t rport)
{
    uint32_t m = (uint32_t)(t->now_us / 4); /* one every 4 microseconds */
    return m + (uint32_t)weir_siphash_tuple(&t->key_isn, laddr, raddr, lport, rport, 0);
}

static bool port_taken(const struct weir_tcp *t, uint32_t laddr, uint16_t port, uint32_t raddr,
                       uint16_t rport)
{
    return weir_conn_lookup(t, laddr, port, raddr, rport) || weir_tw_lookup(t, laddr, port, raddr, rport) ||
           weir_listener_lookup(t, laddr, port);
}

/* Algorithm 3, simple hash-based: consecutive ports to one destination, from an offset that differs by
 * destination. */
uint16_t weir_tcp_port(struct weir_tcp *t, uint32_t laddr, uint32_t raddr, uint16_t rport)
{
    uint32_t offset = (uint32_t)weir_siphash_tuple(&t->key_port, laddr, raddr, 0, rport, 0);
    for (uint32_t i = 0; i < PORT_COUNT; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + (offset + t->port_next++) % PORT_COUNT);
        if (!port_taken(t, laddr, port, raddr, rport)) return port;
    }
    return 0;
}

uint32_t weir_tcp_ts_offset(const struct weir_tcp *t, uint32_t laddr, uint32_t raddr)
{
    return (uint32_t)weir_siphash_tuple(&t->key_ts, laddr, raddr, 0, 0, 0);
}
