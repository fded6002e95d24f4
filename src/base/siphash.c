/* siphash.c: SipHash-2-4. */
#include "base/siphash.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(struct state *s)
{
    s->v0 += s->v1;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v2 = rotl(s->v2, 32);
}

static inline struct state sip_begin(const struct weir_sipkey *key)
{
    return (struct state){key->k0 ^ 0x736f6d6570736575u, key->k1 ^ 0x646f72616e646f6du,
                          key->k0 ^ 0x6c7967656e657261u, key->k1 ^ 0x7465646279746573u};
}

static inline void sip_word(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t sip_end(struct state *s)
{
    s->v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* p[0..n) as a little-endian number; n at most 8. */
static uint64_t load_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

uint64_t weir_siphash(const struct weir_sipkey *key, const void *data, size_t n)
{
    const uint8_t *p = data;
    struct state s = sip_begin(key);
    size_t left = n;
    for (; left >= 8; left -= 8, p += 8)
        sip_word(&s, load_le(p, 8));
    sip_word(&s, load_le(p, left) | (uint64_t)n << 56);
    return sip_end(&s);
}

uint64_t weir_siphash_tuple(const struct weir_sipkey *key, uint32_t a, uint32_t b, uint16_t p, uint16_t q,
                            uint32_t salt)
{
    struct state s = sip_begin(key);
    sip_word(&s, a | (uint64_t)b << 32);
    sip_word(&s, (uint32_t)p << 16 | q | (uint64_t)salt << 32);
    sip_word(&s, (uint64_t)16 << 56);
    return sip_end(&s);
}
