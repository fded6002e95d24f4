/* tcphdr_test.c: the TCP header and its options, there and back, and every way in which they can be
 * malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/order.h"
#include "base/test_seed.h"
#include "wire/tcphdr.h"

#define PASS (-1)

/* PASS, or the reason of the refusal. */
static int parse(struct weir_tcphdr *h, const uint8_t *p, uint32_t n, uint32_t total)
{
    enum weir_drop why = WEIR_DROPS;
    uint8_t *block;
    bool ok = weir_tcphdr_parse(h, test_copy(p, n, &block), n, total, &why);
    free(block);
    assert_true(ok == (why == WEIR_DROPS));
    return ok ? PASS : (int)why;
}

static uint32_t emit(uint8_t out[WEIR_TCP_BYTES_MAX], const struct weir_tcphdr *h)
{
    uint32_t n = weir_tcphdr_bytes(h);
    uint8_t *block = malloc(n);
    assert_non_null(block);
    assert_in_range(n, WEIR_TCP_BYTES, WEIR_TCP_BYTES_MAX);
    assert_int_equal(n % 4, 0);
    assert_int_equal(weir_tcphdr_emit(block, h), n);
    memcpy(out, block, n);
    free(block);
    return n;
}

static struct weir_tcphdr random_header(struct weir_sim *sim)
{
    struct weir_tcphdr h;
    test_fill(sim, &h, sizeof h);
    h.opts = (uint8_t)test_below(sim, 32);
    h.wscale = (uint8_t)test_below(sim, 15);
    h.n_sack = (uint8_t)test_below(sim, 7);
    return h;
}

static uint32_t blocks_that_fit(const struct weir_tcphdr *h)
{
    uint32_t n = h->n_sack < WEIR_TCP_SACK_MAX ? h->n_sack : WEIR_TCP_SACK_MAX;
    bool mss = h->opts & WEIR_TCPOPT_MSS, ts = h->opts & WEIR_TCPOPT_TS, ws = h->opts & WEIR_TCPOPT_WSCALE;
    bool sack_ok = h->opts & WEIR_TCPOPT_SACK_OK;
    uint32_t others = (mss ? 4u : 0u) + (ts ? 12u : sack_ok ? 4u : 0u) + (ws ? 4u : 0u);
    if (!(h->opts & WEIR_TCPOPT_SACK)) return 0;
    while (others + 4 + 8 * n > 40)
        n--;
    return n;
}

static void same_options(const struct weir_tcphdr *got, const struct weir_tcphdr *want)
{
    uint32_t n = blocks_that_fit(want);
    unsigned plain = want->opts & ~(unsigned)WEIR_TCPOPT_SACK;
    assert_int_equal(got->opts, plain | (n > 0 ? WEIR_TCPOPT_SACK : 0));
    assert_int_equal(got->mss, want->opts & WEIR_TCPOPT_MSS ? want->mss : 0);
    assert_int_equal(got->wscale, want->opts & WEIR_TCPOPT_WSCALE ? want->wscale : 0);
    assert_int_equal(got->tsval, want->opts & WEIR_TCPOPT_TS ? want->tsval : 0);
    assert_int_equal(got->tsecr, want->opts & WEIR_TCPOPT_TS ? want->tsecr : 0);
    assert_int_equal(got->n_sack, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(got->sack[i].from, want->sack[i].from);
        assert_int_equal(got->sack[i].to, want->sack[i].to);
    }
}

static void there_and_back(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint8_t p[WEIR_TCP_BYTES_MAX];
        struct weir_tcphdr h = random_header(&sim), back;
        uint32_t n = emit(p, &h);
        assert_int_equal(parse(&back, p, n, n + test_below(&sim, 2000)), PASS);
        assert_true(back.sport == h.sport && back.dport == h.dport && back.seq == h.seq && back.ack == h.ack);
        assert_true(back.wnd == h.wnd && back.urg == h.urg && back.flags == h.flags);
        assert_int_equal(back.hdr_bytes, n);
        assert_int_equal(weir_be16(p + WEIR_TCP_CSUM_AT), 0);
        same_options(&back, &h);
    }
}

/* The layout that peers' header prediction looks for. */
static void layout_of_options(void **state)
{
    static const struct weir_tcphdr syn = {
        .flags = WEIR_TCP_SYN, .opts = 15, .mss = 1460, .wscale = 7, .tsval = 1};
    static const struct weir_tcphdr ack = {
        .flags = WEIR_TCP_ACK, .opts = WEIR_TCPOPT_TS, .tsval = 2, .tsecr = 3};
    static const uint8_t syn_opts[] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};
    static const uint8_t ack_opts[] = {1, 1, 8, 10, 0, 0, 0, 2, 0, 0, 0, 3};
    uint8_t p[WEIR_TCP_BYTES_MAX];
    (void)state;
    assert_int_equal(emit(p, &syn), 20 + sizeof syn_opts);
    assert_memory_equal(p + 20, syn_opts, sizeof syn_opts);
    assert_int_equal(p[12], 0xa0);
    assert_int_equal(emit(p, &ack), 20 + sizeof ack_opts);
    assert_memory_equal(p + 20, ack_opts, sizeof ack_opts);
}

/* A header with opt[0..n) as its options, filled up with zeros; returns its bytes. */
static uint32_t with_options(uint8_t p[WEIR_TCP_BYTES_MAX], const uint8_t *opt, uint32_t n)
{
    uint32_t hdr_bytes = WEIR_TCP_BYTES + (n + 3) / 4 * 4;
    memset(p, 0, WEIR_TCP_BYTES_MAX);
    p[12] = (uint8_t)(hdr_bytes / 4 << 4);
    if (n > 0) memcpy(p + WEIR_TCP_BYTES, opt, n);
    return hdr_bytes;
}

static void every_data_offset(void **state)
{
    (void)state;
    for (uint32_t words = 0; words < 16; words++) {
        for (uint32_t total = WEIR_TCP_BYTES; total <= 70; total++) {
            uint8_t p[70] = {0};
            struct weir_tcphdr h;
            int want = words < 5 || words * 4 > total ? WEIR_DROP_TCP_HEADER : PASS;
            p[12] = (uint8_t)(words << 4 | 0xf); /* the reserved bits say nothing */
            assert_int_equal(parse(&h, p, total, total), want);
        }
    }
}

static void cut_short_at_every_byte(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 200; i++) {
        uint8_t p[WEIR_TCP_BYTES_MAX];
        struct weir_tcphdr h = random_header(&sim), back;
        uint32_t bytes = emit(p, &h);
        for (uint32_t n = 0; n < bytes; n++) {
            assert_int_equal(parse(&back, p, n, bytes), WEIR_DROP_TCP_SHORT);
            assert_int_equal(parse(&back, p, n, n),
                             n < WEIR_TCP_BYTES ? WEIR_DROP_TCP_SHORT : WEIR_DROP_TCP_HEADER);
        }
    }
}

/* The lengths that each kind may have. */
static bool length_is_right(unsigned kind, unsigned bytes)
{
    switch (kind) {
    case 2:
        return bytes == 4;
    case 3:
        return bytes == 3;
    case 4:
        return bytes == 2;
    case 5:
        return bytes == 10 || bytes == 18 || bytes == 26 || bytes == 34;
    case 8:
        return bytes == 10;
    default:
        return bytes >= 2;
    }
}

/* Every kind with every length, at every place of a header of every size. */
static void every_kind_and_length(void **state)
{
    (void)state;
    for (unsigned kind = 2; kind < 256; kind = kind < 12 ? kind + 1 : kind + 61) {
        for (unsigned bytes = 0; bytes < 256; bytes = bytes < 42 ? bytes + 1 : bytes + 71) {
            for (uint32_t room = 4; room <= 40; room += 4) {
                for (uint32_t at = 0; at + 1 < room; at++) {
                    uint8_t p[WEIR_TCP_BYTES_MAX], opt[40];
                    struct weir_tcphdr h;
                    memset(opt, 1, sizeof opt);
                    opt[at] = (uint8_t)kind;
                    opt[at + 1] = (uint8_t)bytes;
                    uint32_t n = with_options(p, opt, room);
                    bool good = length_is_right(kind, bytes) && bytes <= room - at;
                    assert_int_equal(parse(&h, p, n, n), good ? PASS : WEIR_DROP_TCP_OPTIONS);
                }
            }
        }
    }
}

static void kind_without_length(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 256; kind++) {
        const uint8_t opt[4] = {1, 1, 1, (uint8_t)kind};
        uint8_t p[WEIR_TCP_BYTES_MAX];
        struct weir_tcphdr h;
        uint32_t n = with_options(p, opt, 4);
        assert_int_equal(parse(&h, p, n, n), kind < 2 ? PASS : WEIR_DROP_TCP_OPTIONS);
    }
}

static void particular_options(void **state)
{
    static const uint8_t behind_end[] = {0, 2, 1, 255}, twice[] = {2, 4, 1, 0, 2, 4, 2, 0},
                         wide[] = {3, 3, 255, 0};
    uint8_t p[WEIR_TCP_BYTES_MAX];
    struct weir_tcphdr h;
    uint32_t n = with_options(p, behind_end, sizeof behind_end);
    (void)state;
    assert_int_equal(parse(&h, p, n, n), PASS);
    assert_int_equal(h.opts, 0);
    n = with_options(p, twice, sizeof twice);
    assert_int_equal(parse(&h, p, n, n), PASS);
    assert_int_equal(h.mss, 0x200);
    n = with_options(p, wide, sizeof wide);
    assert_int_equal(parse(&h, p, n, n), PASS);
    assert_int_equal(h.wscale, 14);
    assert_int_equal(h.opts, WEIR_TCPOPT_WSCALE);
}

/* The short cut for a lone time stamp takes nothing that the long way would refuse or read otherwise. */
static void short_cut_and_long_way_agree(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint8_t opt[16] = {1, 1, 8, 10}, p[WEIR_TCP_BYTES_MAX], q[WEIR_TCP_BYTES_MAX];
        struct weir_tcphdr a, b;
        test_fill(&sim, opt + 4, 8);
        uint32_t n = with_options(p, opt, 12), m = with_options(q, opt, 16);
        assert_int_equal(parse(&a, p, n, n), PASS);
        assert_int_equal(parse(&b, q, m, m), PASS);
        assert_true(a.opts == WEIR_TCPOPT_TS && b.opts == a.opts && a.n_sack == 0);
        assert_true(a.tsval == weir_be32(opt + 4) && a.tsval == b.tsval);
        assert_true(a.tsecr == weir_be32(opt + 8) && a.tsecr == b.tsecr);
    }
}

/* Whatever passes keeps what the struct promises, and survives being written and read again. */
static void any_bytes(void **state)
{
    struct weir_sim sim = test_seed(__func__);
    int passed = 0;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        uint8_t p[64], again[WEIR_TCP_BYTES_MAX];
        struct weir_tcphdr h, back;
        uint32_t n = test_below(&sim, sizeof p + 1), total = n + test_below(&sim, 2) * test_below(&sim, 2000);
        test_fill(&sim, p, sizeof p);
        p[12] = (uint8_t)((5 + test_below(&sim, 4)) << 4);
        for (uint32_t at = 20; at < sizeof p; at++)
            if (test_below(&sim, 2) == 0) p[at] = (uint8_t)test_below(&sim, 12);
        if (parse(&h, p, n, total) != PASS) continue;
        passed++;
        assert_in_range(h.hdr_bytes, 20, 60);
        assert_true(h.hdr_bytes <= n && h.wscale <= 14 && h.n_sack <= WEIR_TCP_SACK_MAX);
        uint32_t m = emit(again, &h);
        assert_int_equal(parse(&back, again, m, m), PASS);
        same_options(&back, &h);
    }
    assert_true(passed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(layout_of_options),
        cmocka_unit_test(every_data_offset),
        cmocka_unit_test(cut_short_at_every_byte),
        cmocka_unit_test(every_kind_and_length),
        cmocka_unit_test(kind_without_length),
        cmocka_unit_test(particular_options),
        cmocka_unit_test(short_cut_and_long_way_agree),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
