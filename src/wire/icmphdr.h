/* icmphdr.h: ICMP for IPv4 (RFC 792), the first eight bytes. Pure. */
#ifndef WEIR_ICMPHDR_H
#define WEIR_ICMPHDR_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_ICMP_BYTES 8u
enum {
    WEIR_ICMP_ECHO_REPLY = 0,
    WEIR_ICMP_UNREACHABLE = 3,
    WEIR_ICMP_QUENCH = 4,
    WEIR_ICMP_REDIRECT = 5,
    WEIR_ICMP_ECHO = 8,
    WEIR_ICMP_TIME_EXCEEDED = 11,
    WEIR_ICMP_PARAMETER = 12
};
enum { WEIR_ICMP_PROTO_UNREACHABLE = 2, WEIR_ICMP_PORT_UNREACHABLE = 3, WEIR_ICMP_FRAG_NEEDED = 4 };

struct weir_icmphdr {
    uint8_t type, code;
    uint16_t csum;
    uint32_t rest; /* identifier and sequence number, or unused and next-hop MTU */
};

/* false iff n < 8. The checksum is the caller's to verify: it covers the payload. */
bool weir_icmphdr_parse(struct weir_icmphdr *, const uint8_t *p, uint32_t n);
/* Writes 8 bytes with csum as given. */
void weir_icmphdr_emit(uint8_t *p, const struct weir_icmphdr *);

#endif
