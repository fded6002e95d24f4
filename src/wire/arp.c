/* arp.c: ARP for IPv4 over Ethernet. */
#include "wire/arp.h"

#include <string.h>

#include "base/order.h"

#define ARP_ETHERNET    1u
#define ARP_IP4         0x0800u
#define ARP_LENGTHS_6_4 0x0604u

bool weir_arp_parse(struct weir_arp *a, const uint8_t *p, uint32_t n)
{
    if (n < WEIR_ARP_BYTES) return false;
    if (weir_be16(p) != ARP_ETHERNET || weir_be16(p + 2) != ARP_IP4) return false;
    if (weir_be16(p + 4) != ARP_LENGTHS_6_4) return false;
    a->op = weir_be16(p + 6);
    if (a->op != WEIR_ARP_REQUEST && a->op != WEIR_ARP_REPLY) return false;
    memcpy(a->sha, p + 8, 6);
    a->spa = weir_be32(p + 14);
    memcpy(a->tha, p + 18, 6);
    a->tpa = weir_be32(p + 24);
    return true;
}

void weir_arp_emit(uint8_t *p, const struct weir_arp *a)
{
    weir_put_be16(p, ARP_ETHERNET);
    weir_put_be16(p + 2, ARP_IP4);
    weir_put_be16(p + 4, ARP_LENGTHS_6_4);
    weir_put_be16(p + 6, a->op);
    memcpy(p + 8, a->sha, 6);
    weir_put_be32(p + 14, a->spa);
    memcpy(p + 18, a->tha, 6);
    weir_put_be32(p + 24, a->tpa);
}
