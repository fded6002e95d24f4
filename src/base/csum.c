/* csum.c: the Internet checksum.
 *
 * A one's complement sum of 16-bit words is the value of the bytes as a number modulo 2^16 - 1, and 2^16,
 * 2^32 and 2^64 are all 1 modulo that. So words of any of these sizes may be added, carries are added in at
 * the low end, and the bytes may be summed in the machine's order: swapping the two bytes of every word
 * multiplies the sum by 2^8, which is undone once, in the fold (RFC 1071 section 2 B). A piece that begins at
 * an odd offset is off by the same factor. A sum of words that are not all 0 never folds to 0.
 *
 * Loads go through memcpy: any alignment, on any machine. */
#include "base/csum.h"

#include <string.h>

#if UINTPTR_MAX > UINT32_MAX

/* 64-bit machines: words of 8 bytes. Sums and their carries are kept apart, so that each word costs an
 * addition and an addition with carry; two chains, so that neither waits for the other's carry. (A 128-bit
 * accumulator says the same, but gcc 12 makes five instructions a word of it instead of two.) */
struct chain {
    uint64_t sum, carries;
};

static inline void chain_add(struct chain *c, const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    c->sum += w;
    c->carries += c->sum < w;
}

/* The sum of p[0..n), n a multiple of 8. */
static uint64_t sum_words(const uint8_t *p, size_t n)
{
    struct chain a = {0, 0}, b = {0, 0};
    for (; n >= 64; n -= 64, p += 64) {
        chain_add(&a, p);
        chain_add(&b, p + 8);
        chain_add(&a, p + 16);
        chain_add(&b, p + 24);
        chain_add(&a, p + 32);
        chain_add(&b, p + 40);
        chain_add(&a, p + 48);
        chain_add(&b, p + 56);
    }
    for (; n >= 8; n -= 8, p += 8)
        chain_add(&a, p);
    return weir_csum_carry(weir_csum_carry(a.sum, b.sum), a.carries + b.carries);
}

#else

/* Smaller machines: words of 4 bytes, the carries gather in the upper half of 64 bits. */
static inline uint32_t load32(const uint8_t *p)
{
    uint32_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

static uint64_t sum_words(const uint8_t *p, size_t n)
{
    uint64_t a = 0;
    for (; n >= 16; n -= 16, p += 16) {
        a += load32(p);
        a += load32(p + 4);
        a += load32(p + 8);
        a += load32(p + 12);
    }
    for (; n >= 4; n -= 4, p += 4)
        a += load32(p);
    return a;
}

#endif

/* The sum of the last 0 to 7 bytes; a missing last byte counts as 0. */
static inline uint64_t sum_tail(const uint8_t *p, size_t n)
{
    uint64_t sum = 0;
    if (n & 4) {
        uint32_t w;
        memcpy(&w, p, sizeof w);
        sum += w;
        p += 4;
    }
    if (n & 2) {
        uint16_t w;
        memcpy(&w, p, sizeof w);
        sum += w;
        p += 2;
    }
    if (n & 1) {
        uint16_t w = 0;
        memcpy(&w, p, 1);
        sum += w;
    }
    return sum;
}

uint64_t weir_csum_add(uint64_t sum, const void *data, size_t n, unsigned odd)
{
    const uint8_t *p = data;
    size_t whole = n & ~(size_t)7;
    uint64_t piece = weir_csum_carry(sum_words(p, whole), sum_tail(p + whole, n - whole));
    if (odd & 1) piece = piece << 8 | piece >> 56;
    return weir_csum_carry(sum, piece);
}
