/* csum.h: the Internet checksum (RFC 1071), over memory in pieces.
 *
 * A running sum is kept in 64 bits in the machine's byte order and folded at the end. Pieces may have any
 * length and alignment: the caller tells whether a piece begins at an odd offset of what is summed. */
#ifndef WEIR_CSUM_H
#define WEIR_CSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/order.h"

/* sum + the sum of p[0..n), where p begins at an even (odd = 0) or odd offset. n up to 2^32 - 1. About n/8
 * additions. The result is a running sum for the next call. */
uint64_t weir_csum_add(uint64_t sum, const void *p, size_t n, unsigned odd);

static inline uint64_t weir_csum_carry(uint64_t a, uint64_t b)
{
    uint64_t s = a + b;
    return s + (s < b);
}

/* The sum of p[0..20), a header of IPv4 without options; the same as weir_csum_add(0, p, 20, 0), faster. */
static inline uint64_t weir_csum_20(const void *p)
{
    const uint8_t *at = p;
    uint32_t a, b, c, d, e; /* each for itself: an array would go through memory */
    memcpy(&a, at, 4);
    memcpy(&b, at + 4, 4);
    memcpy(&c, at + 8, 4);
    memcpy(&d, at + 12, 4);
    memcpy(&e, at + 16, 4);
    return (uint64_t)a + b + c + d + e;
}

/* sum + a 16-bit value given as a number (host order), as if it lay there in network order at an even offset.
 */
static inline uint64_t weir_csum_add16(uint64_t sum, uint16_t value)
{
    return weir_csum_carry(sum, WEIR_NET16(value));
}
static inline uint64_t weir_csum_add32(uint64_t sum, uint32_t value)
{
    return weir_csum_carry(sum, WEIR_NET32(value));
}

/* The sum of the IPv4 pseudo-header of TCP and UDP (RFC 9293 3.1); addresses as numbers. */
static inline uint64_t weir_csum_pseudo4(uint32_t src, uint32_t dst, uint8_t proto, uint32_t l4_bytes)
{
    return (uint64_t)WEIR_NET32(src) + WEIR_NET32(dst) + WEIR_NET32(l4_bytes) + WEIR_NET16((uint16_t)proto);
}

/* The running sum folded to 16 bits and NOT complemented, as a number to be stored with weir_put_be16. A
 * number plus itself with its halves swapped: the upper half of the result is their sum, its carry added in.
 */
static inline uint16_t weir_csum_fold(uint64_t sum)
{
    uint32_t half = (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);
    uint16_t quarter = (uint16_t)((half + (half << 16 | half >> 16)) >> 16);
    return WEIR_NET16(quarter);
}

/* The checksum: the folded sum's complement, as a number to be stored with weir_put_be16. Over data that
 * includes a right checksum it is 0. */
static inline uint16_t weir_csum_done(uint64_t sum)
{
    return (uint16_t)~weir_csum_fold(sum);
}

#endif
