/* siphash_test.c: SipHash-2-4 against its authors' vectors, and the form for tuples against the form for
 * bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/siphash.h"
#include "base/test_seed.h"

/* Key 00 01 .. 0f, message 00 01 .. (length - 1), for length 0 to 63 (Aumasson and Bernstein 2012, appendix A
 * has length 15). */
static const uint64_t vectors[64] = {
    0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d, 0xcf2794e0277187b7,
    0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137, 0x93f5f5799a932462, 0x9e0082df0ba9e4b0,
    0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7, 0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee,
    0xa129ca6149be45e5, 0x3f2acc7f57c29bdb, 0x699ae9f52cbe4794, 0x4bc1b3f0968dd39c, 0xbb6dc91da77961bd,
    0xbed65cf21aa2ee98, 0xd0f2cbb02e3b67c7, 0x93536795e3a33e88, 0xa80c038ccd5ccec8, 0xb8ad50c6f649af94,
    0xbce192de8a85b8ea, 0x17d835b85bbb15f3, 0x2f2e6163076bcfad, 0xde4daaaca71dc9a5, 0xa6a2506687956571,
    0xad87a3535c49ef28, 0x32d892fad841c342, 0x7127512f72f27cce, 0xa7f32346f95978e3, 0x12e0b01abb051238,
    0x15e034d40fa197ae, 0x314dffbe0815a3b4, 0x027990f029623981, 0xcadcd4e59ef40c4d, 0x9abfd8766a33735c,
    0x0e3ea96b5304a7d0, 0xad0c42d6fc585992, 0x187306c89bc215a9, 0xd4a60abcf3792b95, 0xf935451de4f21df2,
    0xa9538f0419755787, 0xdb9acddff56ca510, 0xd06c98cd5c0975eb, 0xe612a3cb9ecba951, 0xc766e62cfcadaf96,
    0xee64435a9752fe72, 0xa192d576b245165a, 0x0a8787bf8ecb74b2, 0x81b3e73d20b49b6f, 0x7fa8220ba3b2ecea,
    0x245731c13ca42499, 0xb78dbfaf3a8d83bd, 0xea1ad565322a1a0b, 0x60e61c23a3795013, 0x6606d7e446282b93,
    0x6ca4ecb15c5f91e1, 0x9f626da15c9625f3, 0xe51b38608ef25f57, 0x958a324ceb064572,
};

static const struct weir_sipkey counting_key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

static void vectors_of_all_lengths(void **state)
{
    (void)state;
    for (size_t n = 0; n < 64; n++) {
        for (size_t skip = 0; skip < 8; skip++) {
            uint8_t *p = malloc(skip + n + 1);
            assert_non_null(p);
            for (size_t i = 0; i < n; i++)
                p[skip + i] = (uint8_t)i;
            assert_true(weir_siphash(&counting_key, p + skip, n) == vectors[n]);
            free(p);
        }
    }
}

static void put_le32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static void tuple_equals_its_bytes(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 10000; i++) {
        struct weir_sipkey key = {weir_sim_random(&sim), weir_sim_random(&sim)};
        uint32_t a = test_u32(&sim), b = test_u32(&sim), salt = test_u32(&sim);
        uint16_t p = (uint16_t)test_u32(&sim), q = (uint16_t)test_u32(&sim);
        uint8_t bytes[16];
        put_le32(bytes, a);
        put_le32(bytes + 4, b);
        put_le32(bytes + 8, (uint32_t)p << 16 | q);
        put_le32(bytes + 12, salt);
        assert_true(weir_siphash_tuple(&key, a, b, p, q, salt) == weir_siphash(&key, bytes, sizeof bytes));
    }
}

/* One changed bit of a message changes about half of the bits. */
static void bits_avalanche(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    unsigned changed = 0;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t m[2] = {weir_sim_random(&sim), weir_sim_random(&sim)};
        uint64_t before = weir_siphash(&counting_key, m, sizeof m);
        m[i & 1] ^= (uint64_t)1 << test_below(&sim, 64);
        changed += (unsigned)__builtin_popcountll(before ^ weir_siphash(&counting_key, m, sizeof m));
    }
    assert_in_range(changed, 31000, 33000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_all_lengths),
        cmocka_unit_test(tuple_equals_its_bytes),
        cmocka_unit_test(bits_avalanche),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
