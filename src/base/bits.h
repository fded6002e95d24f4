/* bits.h: powers of two, leading zeros, sequence-number order, checked sizes. Pure, no state. */
#ifndef WEIR_BITS_H
#define WEIR_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool weir_is_pow2(uint64_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

/* A function that must not be merged into its caller, whose short way would save its registers, too. */
#define WEIR_APART __attribute__((noinline))
/* One that is compiled again for each caller's constants. */
#define WEIR_TEMPLATE static inline __attribute__((always_inline))

/* Keeps a pointer in a register: compilers reckon it again from its index at each use. */
#define WEIR_KEEP(p) __asm__("" : "+r"(p))

/* A broken promise of a caller inside the stack: an assertion in debug builds, nothing in release. */
static inline void weir_must(bool kept)
{
#ifndef NDEBUG
    if (!kept) __builtin_trap();
#else
    (void)kept;
#endif
}

/* floor(log2(x)); x > 0. */
static inline unsigned weir_log2(uint32_t x)
{
    return 31u - (unsigned)__builtin_clz(x);
}

/* The smallest power of two >= x; x in 1 .. 2^31. */
static inline uint32_t weir_pow2_ceil(uint32_t x)
{
    return x <= 1 ? 1 : 2u << weir_log2(x - 1);
}

/* x rounded up to a multiple of the power of two a. */
static inline uint64_t weir_align_up(uint64_t x, uint64_t a)
{
    return (x + (a - 1)) & ~(a - 1);
}

static inline uint32_t weir_min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}
static inline uint32_t weir_max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Order of sequence numbers and 32-bit clocks, RFC 9293 3.4: right while they are less than 2^31 apart. */
static inline bool weir_seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}
static inline bool weir_seq_leq(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}
static inline uint32_t weir_seq_max(uint32_t a, uint32_t b)
{
    return weir_seq_lt(a, b) ? b : a;
}
static inline uint32_t weir_seq_min(uint32_t a, uint32_t b)
{
    return weir_seq_lt(a, b) ? a : b;
}

#endif
