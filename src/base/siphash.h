/* siphash.h: SipHash-2-4 (Aumasson and Bernstein, 2012), the keyed hash behind tables that peers can fill and
 * behind initial sequence numbers (RFC 6528) and ports (RFC 6056). */
#ifndef WEIR_SIPHASH_H
#define WEIR_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct weir_sipkey {
    uint64_t k0, k1;
};

/* The 64-bit hash of p[0..n); the same on every byte order. */
uint64_t weir_siphash(const struct weir_sipkey *, const void *p, size_t n);

/* The hash of a connection's addresses and ports, without building bytes: equal to weir_siphash over the 16
 * bytes {a, b, (uint32_t)p << 16 | q, salt} each stored little-endian. */
uint64_t weir_siphash_tuple(const struct weir_sipkey *, uint32_t a, uint32_t b, uint16_t p, uint16_t q,
                            uint32_t salt);

#endif
