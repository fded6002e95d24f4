/* eth.h: the Ethernet II header, bytes <-> struct. Pure. */
#ifndef WEIR_ETH_H
#define WEIR_ETH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/order.h"

#define WEIR_ETH_BYTES     14u
#define WEIR_ETHERTYPE_IP4 0x0800u
#define WEIR_ETHERTYPE_ARP 0x0806u

struct weir_eth {
    uint8_t dst[6], src[6];
    uint16_t type;
};

/* false iff n < 14. */
bool weir_eth_parse(struct weir_eth *, const uint8_t *p, uint32_t n);
/* Writes 14 bytes. */
void weir_eth_emit(uint8_t *p, const struct weir_eth *);

/* The same as weir_eth_emit from its parts. */
static inline void weir_eth_put(uint8_t *p, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
    memcpy(p, dst, 6);
    memcpy(p + 6, src, 6);
    weir_put_be16(p + 12, type);
}

static inline bool weir_mac_equal(const uint8_t *a, const uint8_t *b)
{
    uint32_t x, y;
    uint16_t v, w;
    memcpy(&x, a, 4);
    memcpy(&y, b, 4);
    memcpy(&v, a + 4, 2);
    memcpy(&w, b + 4, 2);
    return ((x ^ y) | (uint32_t)(v ^ w)) == 0;
}

/* The address as a number to be compared with another one made so; reads two bytes more, p[0 .. 8). */
static inline uint64_t weir_mac_word(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return v << 16;
#else
    return v >> 16;
#endif
}

static inline bool weir_mac_is_group(const uint8_t mac[6])
{
    return mac[0] & 1;
}

#endif
