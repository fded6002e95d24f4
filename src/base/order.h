/* order.h: big-endian loads and stores at any alignment. Pure. */
#ifndef WEIR_ORDER_H
#define WEIR_ORDER_H

#include <stdint.h>
#include <string.h>

/* A number as memory in network order holds it, and back. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define WEIR_NET16(x) __builtin_bswap16(x)
#define WEIR_NET32(x) __builtin_bswap32(x)
#define WEIR_NET64(x) __builtin_bswap64(x)
#else
#define WEIR_NET16(x) (x)
#define WEIR_NET32(x) (x)
#define WEIR_NET64(x) (x)
#endif

static inline uint16_t weir_be16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return WEIR_NET16(v);
}
static inline uint32_t weir_be32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return WEIR_NET32(v);
}
static inline uint64_t weir_be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return WEIR_NET64(v);
}
static inline void weir_put_be16(uint8_t *p, uint16_t v)
{
    v = WEIR_NET16(v);
    memcpy(p, &v, sizeof v);
}
static inline void weir_put_be32(uint8_t *p, uint32_t v)
{
    v = WEIR_NET32(v);
    memcpy(p, &v, sizeof v);
}

#endif
