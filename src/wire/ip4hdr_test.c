/* ip4hdr_test.c: the IPv4 header, there and back, and every way in which it can be malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/csum.h"
#include "base/order.h"
#include "base/test_seed.h"
#include "wire/ip4hdr.h"

#define PASS (-1)

/* PASS, or the reason of the refusal. */
static int parse(struct weir_ip4hdr *h, const uint8_t *p, uint32_t n, uint32_t total)
{
    enum weir_drop why = WEIR_DROPS;
    uint8_t *block;
    bool ok = weir_ip4hdr_parse(h, test_copy(p, n, &block), n, total, &why);
    free(block);
    assert_true(ok == (why == WEIR_DROPS));
    return ok ? PASS : (int)why;
}

static void seal(uint8_t *p, uint32_t hdr_bytes)
{
    weir_put_be16(p + 10, 0);
    weir_put_be16(p + 10, weir_csum_done(weir_csum_add(0, p, hdr_bytes, 0)));
}

/* A header whose options are opt[0..n), filled up with zeros. Returns its bytes. */
static uint32_t with_options(uint8_t p[60], const uint8_t *opt, uint32_t n)
{
    static const struct weir_ip4hdr plain = {
        .src = 0x0a090002, .dst = 0x0a090001, .total_bytes = 100, .ttl = 64, .proto = WEIR_PROTO_TCP};
    uint32_t hdr_bytes = WEIR_IP4_BYTES + (n + 3) / 4 * 4;
    memset(p, 0, 60);
    weir_ip4hdr_emit(p, &plain);
    p[0] = (uint8_t)(0x40 | hdr_bytes / 4);
    if (n > 0) memcpy(p + WEIR_IP4_BYTES, opt, n);
    seal(p, hdr_bytes);
    return hdr_bytes;
}

static void known_bytes(void **state)
{
    static const uint8_t p[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                                0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
    struct weir_ip4hdr h;
    uint8_t again[WEIR_IP4_BYTES];
    (void)state;
    assert_int_equal(parse(&h, p, sizeof p, 0x73), PASS);
    assert_int_equal(h.src, 0xc0a80001);
    assert_int_equal(h.dst, 0xc0a800c7);
    assert_int_equal(h.total_bytes, 0x73);
    assert_int_equal(h.frag, WEIR_IP4_DF);
    assert_int_equal(h.hdr_bytes, 20);
    assert_int_equal(h.ttl, 64);
    assert_int_equal(h.proto, WEIR_PROTO_UDP);
    weir_ip4hdr_emit(again, &h);
    assert_memory_equal(again, p, sizeof p);
}

static void there_and_back(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 5000; i++) {
        struct weir_ip4hdr h, back;
        uint8_t p[WEIR_IP4_BYTES];
        test_fill(&sim, &h, sizeof h);
        h.hdr_bytes = WEIR_IP4_BYTES;
        if (h.total_bytes < WEIR_IP4_BYTES) h.total_bytes = WEIR_IP4_BYTES;
        weir_ip4hdr_emit(p, &h);
        assert_int_equal(parse(&back, p, sizeof p, h.total_bytes + test_below(&sim, 10)), PASS);
        assert_true(back.src == h.src && back.dst == h.dst && back.total_bytes == h.total_bytes);
        assert_true(back.id == h.id && back.frag == h.frag && back.hdr_bytes == h.hdr_bytes);
        assert_true(back.tos == h.tos && back.ttl == h.ttl && back.proto == h.proto);
    }
}

static void cut_short_at_every_byte(void **state)
{
    static const uint8_t nops[40] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    (void)state;
    for (uint32_t opt = 0; opt <= 40; opt += 4) {
        uint8_t p[60];
        struct weir_ip4hdr h;
        uint32_t hdr_bytes = with_options(p, nops, opt);
        for (uint32_t n = 0; n < hdr_bytes; n++) {
            assert_int_equal(parse(&h, p, n, 100), WEIR_DROP_IP_SHORT);
            assert_int_equal(parse(&h, p, n, n),
                             n < WEIR_IP4_BYTES ? WEIR_DROP_IP_SHORT : WEIR_DROP_IP_HEADER);
        }
        assert_int_equal(parse(&h, p, hdr_bytes, 100), PASS);
        assert_int_equal(h.hdr_bytes, hdr_bytes);
    }
}

static void every_first_byte(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 256; v++) {
        uint8_t p[60];
        struct weir_ip4hdr h;
        int want = v >> 4 != 4 ? WEIR_DROP_IP_VERSION : (v & 15) < 5 ? WEIR_DROP_IP_HEADER : PASS;
        with_options(p, NULL, 0);
        p[0] = (uint8_t)v;
        if (want == PASS) seal(p, (v & 15) * 4);
        assert_int_equal(parse(&h, p, sizeof p, 100), want);
    }
}

static void every_total_length(void **state)
{
    (void)state;
    for (uint32_t total = 24; total < 70; total++) {
        for (uint32_t field = 0; field < 80; field++) {
            static const uint8_t nops[4] = {1, 1, 1, 1};
            uint8_t p[60];
            struct weir_ip4hdr h;
            with_options(p, nops, 4);
            weir_put_be16(p + 2, (uint16_t)field);
            seal(p, 24);
            assert_int_equal(parse(&h, p, 24, total),
                             field >= 24 && field <= total ? PASS : WEIR_DROP_IP_LENGTH);
        }
    }
}

/* No changed bit of a sealed header passes unseen. */
static void every_changed_bit(void **state)
{
    uint8_t p[60];
    struct weir_ip4hdr h;
    uint32_t hdr_bytes = with_options(p, NULL, 0);
    (void)state;
    for (uint32_t bit = 0; bit < hdr_bytes * 8; bit++) {
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(parse(&h, p, sizeof p, 60), PASS);
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void options(void **state)
{
    static const struct {
        uint8_t n, opt[12];
        int want;
    } cases[] = {
        {4, {1, 1, 1, 0}, PASS},
        {4, {0, 131, 1, 255}, PASS},         /* nothing counts behind the end */
        {8, {7, 7, 4, 0, 0, 0, 0, 0}, PASS}, /* record route */
        {4, {148, 4, 0, 0}, PASS},           /* router alert */
        {4, {222, 4, 9, 9}, PASS},           /* unknown */
        {4, {1, 1, 222, 2}, PASS},           /* ends with the header */
        {4, {222, 0, 0, 0}, WEIR_DROP_IP_OPTIONS},
        {4, {222, 1, 0, 0}, WEIR_DROP_IP_OPTIONS},
        {4, {222, 5, 0, 0}, WEIR_DROP_IP_OPTIONS},
        {4, {222, 255, 0, 0}, WEIR_DROP_IP_OPTIONS},
        {4, {1, 1, 1, 222}, WEIR_DROP_IP_OPTIONS}, /* no room for its length */
        {4, {1, 1, 222, 3}, WEIR_DROP_IP_OPTIONS},
        {8, {131, 7, 4, 1, 2, 3, 4, 0}, WEIR_DROP_IP_OPTIONS},
        {8, {137, 7, 4, 1, 2, 3, 4, 0}, WEIR_DROP_IP_OPTIONS},
        {8, {1, 222, 3, 0, 137, 3, 4, 0}, WEIR_DROP_IP_OPTIONS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t p[60];
        struct weir_ip4hdr h;
        uint32_t hdr_bytes = with_options(p, cases[i].opt, cases[i].n);
        assert_int_equal(parse(&h, p, hdr_bytes, 100), cases[i].want);
    }
}

/* Whatever passes keeps what the struct promises. */
static void any_bytes(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    int passed = 0;
    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint8_t p[64];
        struct weir_ip4hdr h;
        uint32_t n = test_below(&sim, sizeof p + 1), total = n + test_below(&sim, 3) * test_below(&sim, 2000);
        test_fill(&sim, p, sizeof p);
        if (test_below(&sim, 4) > 0) p[0] = (uint8_t)(0x45 + test_below(&sim, 3));
        if (test_below(&sim, 4) > 0) weir_put_be16(p + 2, (uint16_t)test_below(&sim, total + 2));
        if (test_below(&sim, 4) > 0) seal(p, (p[0] & 15u) * 4);
        if (parse(&h, p, n, total) != PASS) continue;
        passed++;
        assert_in_range(h.hdr_bytes, 20, 60);
        assert_true(h.hdr_bytes <= n && h.hdr_bytes <= h.total_bytes && h.total_bytes <= total);
    }
    assert_true(passed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_bytes),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(cut_short_at_every_byte),
        cmocka_unit_test(every_first_byte),
        cmocka_unit_test(every_total_length),
        cmocka_unit_test(every_changed_bit),
        cmocka_unit_test(options),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
