/* udphdr.h: the UDP header (RFC 768), bytes <-> struct. Pure. */
#ifndef WEIR_UDPHDR_H
#define WEIR_UDPHDR_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_UDP_BYTES 8u

struct weir_udphdr {
    uint16_t sport, dport;
    uint16_t bytes; /* header and payload */
    uint16_t csum;  /* 0: none was made */
};

/* total: bytes of the datagram as IP counts them. false iff n < 8, or the length field is below 8 or above
 * total. */
bool weir_udphdr_parse(struct weir_udphdr *, const uint8_t *p, uint32_t n, uint32_t total);
void weir_udphdr_emit(uint8_t *p, const struct weir_udphdr *);

#endif
