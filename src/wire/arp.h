/* arp.h: ARP for IPv4 over Ethernet (RFC 826), bytes <-> struct. Pure. */
#ifndef WEIR_ARP_H
#define WEIR_ARP_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_ARP_BYTES 28u
enum { WEIR_ARP_REQUEST = 1, WEIR_ARP_REPLY = 2 };

struct weir_arp {
    uint16_t op;
    uint8_t sha[6], tha[6];
    uint32_t spa, tpa; /* numbers */
};

/* false iff n < 28, or it is not Ethernet/IPv4 with lengths 6 and 4, or the operation is neither of the two.
 */
bool weir_arp_parse(struct weir_arp *, const uint8_t *p, uint32_t n);
/* Writes 28 bytes. */
void weir_arp_emit(uint8_t *p, const struct weir_arp *);

#endif
