/* csum_test.c: the checksum against a loop over 16-bit words, in any pieces at any alignment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/csum.h"
#include "base/order.h"
#include "base/test_seed.h"

/* RFC 1071 section 4.1, on words in network order. */
static uint16_t naive(uint32_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}

static void fill(struct weir_sim *sim, uint8_t *p, size_t n)
{
    static const uint8_t extremes[] = {0x00, 0xff};
    uint32_t kind = test_below(sim, 4);
    for (size_t i = 0; i < n; i++)
        p[i] = kind < 2 ? extremes[kind] : (uint8_t)test_u32(sim);
}

/* An exactly sized block whose bytes [skip, skip + n) are the data, so that a read outside is seen by ASan.
 */
static uint8_t *block(struct weir_sim *sim, size_t skip, size_t n)
{
    uint8_t *p = malloc(skip + n + (skip + n == 0));
    assert_non_null(p);
    fill(sim, p, skip + n);
    return p;
}

static void example_of_rfc1071(void **state)
{
    static const uint8_t p[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    (void)state;
    assert_int_equal(weir_csum_fold(weir_csum_add(0, p, sizeof p, 0)), 0xddf2);
    assert_int_equal(weir_csum_done(weir_csum_add(0, p, sizeof p, 0)), 0x220d);
}

/* A header as it was seen on a wire; its checksum is b861. */
static void header_of_ip4(void **state)
{
    static const uint8_t p[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                                0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
    uint64_t sum = weir_csum_add(0, p, 10, 0);
    (void)state;
    assert_int_equal(weir_csum_done(weir_csum_add(sum, p + 12, 8, 0)), 0xb861);
    assert_int_equal(weir_csum_done(weir_csum_add(0, p, sizeof p, 0)), 0);
}

static void every_short_length_and_alignment(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (size_t n = 0; n <= 200; n++) {
        for (size_t skip = 0; skip < 9; skip++) {
            uint8_t *p = block(&sim, skip, n);
            assert_int_equal(weir_csum_fold(weir_csum_add(0, p + skip, n, 0)), naive(0, p + skip, n));
            if (n == 20) assert_int_equal(weir_csum_fold(weir_csum_20(p + skip)), naive(0, p + skip, n));
            free(p);
        }
    }
}

static void pieces_at_any_split(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int round = 0; round < 4000; round++) {
        size_t n = test_below(&sim, round % 16 == 0 ? 70000 : 3000);
        size_t skip = test_below(&sim, 9);
        uint8_t *p = block(&sim, skip, n);
        uint64_t sum = 0;
        for (size_t at = 0; at < n;) {
            size_t piece = 1 + test_below(&sim, (uint32_t)(n - at));
            if (test_below(&sim, 2) == 0) piece = 1 + piece % 7;
            if (piece > n - at) piece = n - at;
            sum = weir_csum_add(sum, p + skip + at, piece, at & 1);
            at += piece;
        }
        assert_int_equal(weir_csum_fold(sum), naive(0, p + skip, n));
        free(p);
    }
}

static void large_and_full_of_carries(void **state)
{
    size_t n = (size_t)1 << 21;
    uint8_t *p = malloc(n);
    (void)state;
    assert_non_null(p);
    memset(p, 0xff, n);
    assert_int_equal(weir_csum_fold(weir_csum_add(0, p, n, 0)), 0xffff);
    assert_int_equal(weir_csum_fold(weir_csum_add(UINT64_MAX, p, n, 1)), 0xffff);
    p[n - 1] = 0xfe;
    assert_int_equal(weir_csum_fold(weir_csum_add(0, p, n, 0)), 0xfffe);
    assert_int_equal(weir_csum_fold(weir_csum_add(UINT64_MAX, p, n, 1)), 0xfeff);
    free(p);
}

/* The sum as a number modulo 2^16 - 1, of any 64 bits. */
static void fold_of_any_sum(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    static const uint64_t edges[] = {
        0, 1, 0xffff, 0x10000, 0xffffffff, 0x100000000, 0xffff0000ffff0000, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < 20000; i++) {
        uint64_t sum = i < sizeof edges / sizeof edges[0] ? edges[i] : weir_sim_random(&sim);
        uint8_t raw[8];
        memcpy(raw, &sum, sizeof raw);
        assert_int_equal(weir_csum_fold(sum), naive(0, raw, sizeof raw));
    }
}

static void numbers_count_as_their_bytes(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint8_t p[14];
        uint32_t a = test_u32(&sim), b = test_u32(&sim), bytes = test_below(&sim, 65536);
        uint8_t proto = (uint8_t)test_u32(&sim);
        uint64_t start = weir_sim_random(&sim);
        weir_put_be32(p, a);
        weir_put_be32(p + 4, b);
        weir_put_be16(p + 8, proto);
        weir_put_be32(p + 10, bytes);
        assert_int_equal(weir_csum_fold(weir_csum_add32(start, a)),
                         weir_csum_fold(weir_csum_add(start, p, 4, 0)));
        assert_int_equal(weir_csum_fold(weir_csum_add16(start, proto)),
                         weir_csum_fold(weir_csum_add(start, p + 8, 2, 0)));
        assert_int_equal(weir_csum_fold(weir_csum_pseudo4(a, b, proto, bytes)), naive(0, p, sizeof p));
    }
}

static void right_checksum_verifies_and_a_changed_bit_does_not(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 3000; i++) {
        uint8_t p[600];
        size_t n = 2 + test_below(&sim, sizeof p - 2);
        fill(&sim, p, n);
        weir_put_be16(p, 0);
        weir_put_be16(p, weir_csum_done(weir_csum_add(0, p, n, 0)));
        assert_int_equal(weir_csum_done(weir_csum_add(0, p, n, 0)), 0);
        p[test_below(&sim, (uint32_t)n)] ^= (uint8_t)(1u << test_below(&sim, 8));
        assert_int_not_equal(weir_csum_done(weir_csum_add(0, p, n, 0)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_of_rfc1071),
        cmocka_unit_test(header_of_ip4),
        cmocka_unit_test(every_short_length_and_alignment),
        cmocka_unit_test(pieces_at_any_split),
        cmocka_unit_test(large_and_full_of_carries),
        cmocka_unit_test(fold_of_any_sum),
        cmocka_unit_test(numbers_count_as_their_bytes),
        cmocka_unit_test(right_checksum_verifies_and_a_changed_bit_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
