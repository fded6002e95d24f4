/* csum.h: the Internet checksum (RFC 1071), over memory in pieces.
 *
 * A running sum is kept in 64 bits in the machine's byte order and folded at the end. Pieces may have any
 * length and alignment: the caller tells whether a piece begins at an odd offset of what is summed. */
#ifndef WEIR_CSUM_H
#define WEIR_CSUM_H

#include <stddef.h>
#include <stdint.h>

/* sum + the sum of p[0..n), where p begins at an even (odd = 0) or odd offset. n up to 2^32 - 1. About n/8
 * additions. The result is a running sum for the next call. */
uint64_t weir_csum_add(uint64_t sum, const void *p, size_t n, unsigned odd);

/* The sum of p[0..20), a header of IPv4 without options; the same as weir_csum_add(0, p, 20, 0), faster. */
uint64_t weir_csum_20(const void *p);

/* sum + a 16-bit value given as a number (host order), as if it lay there in network order at an even offset.
 */
uint64_t weir_csum_add16(uint64_t sum, uint16_t value);
uint64_t weir_csum_add32(uint64_t sum, uint32_t value);

/* The sum of the IPv4 pseudo-header of TCP and UDP (RFC 9293 3.1); addresses as numbers. */
uint64_t weir_csum_pseudo4(uint32_t src, uint32_t dst, uint8_t proto, uint32_t l4_bytes);

/* The running sum folded to 16 bits and NOT complemented, as a number to be stored with weir_put_be16. */
uint16_t weir_csum_fold(uint64_t sum);

/* The checksum: the folded sum's complement, as a number to be stored with weir_put_be16. Over data that
 * includes a right checksum it is 0. */
static inline uint16_t weir_csum_done(uint64_t sum)
{
    return (uint16_t)~weir_csum_fold(sum);
}

#endif
