/* trace_test.c: the bytes of the file, and that nothing else changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/csum.h"
#include "base/order.h"
#include "weir/pair.h"
#include "weir/trace.h"

#define FILE_HEAD  24u
#define FRAME_HEAD 16u
#define ALL        15u

static struct weir_sim sim;
static struct weir_pair pair;
static struct weir_trace trace;
static struct weir_netdev *dev, *peer;
static void *memory;
static uint8_t file[1 << 16], posts[64][2048];
static size_t file_bytes, file_room;

static int sink(void *ctx, const void *bytes, size_t n)
{
    assert_ptr_equal(ctx, &file_bytes);
    if (file_bytes + n > file_room) return -5;
    memcpy(file + file_bytes, bytes, n);
    file_bytes += n;
    return 0;
}

static void begin(uint32_t snap, uint8_t link)
{
    weir_sim_init(&sim, 3);
    sim.now_us = 12000345;
    file_bytes = 0;
    file_room = sizeof file;
    struct weir_pair_conf c = {
        .plat = &sim.plat, .queue = 16, .max_frame = 1514, .mtu = 1500, .offloads = ALL, .link = link};
    memory = malloc(weir_pair_bytes(&c));
    assert_int_equal(weir_pair_init(&pair, &c, memory, weir_pair_bytes(&c)), 0);
    weir_trace_init(&trace, &pair.end[0].dev, &sim.plat, sink, &file_bytes);
    trace.snap_bytes = snap;
    dev = &trace.dev;
    peer = &pair.end[1].dev;
    struct weir_netdev_env env = {
        .plat = &sim.plat, .zbuf_bytes = {2048}, .n_zbuf_bytes = 1, .rx_frames = 16, .offloads = ALL};
    assert_int_equal(peer->ops->open(peer, &env), 0);
    assert_int_equal(dev->ops->open(dev, &env), 0);
}

static void finish(void)
{
    dev->ops->close(dev);
    peer->ops->close(peer);
    free(memory);
}

/* A TCP segment in 7 pieces of odd lengths, its checksum field holding the pseudo-header's sum. */
static uint8_t bytes[101];
static struct weir_piece pieces[7];

static struct weir_frame segment(void)
{
    struct weir_frame f = {.pieces = pieces,
                           .bytes = sizeof bytes,
                           .n_pieces = 7,
                           .flags = WEIR_FRAME_CSUM_NEEDED,
                           .csum_start = 34,
                           .csum_field = 16};
    static const uint32_t CUT[8] = {0,  13, 14, 35,
                                    51, 52, 77, sizeof bytes}; /* 51: within the field, at 50 */
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    weir_put_be16(bytes + 50,
                  weir_csum_fold(weir_csum_pseudo4(0x0a090001, 0x0a090002, 6, sizeof bytes - 34)));
    for (unsigned i = 0; i < 7; i++)
        pieces[i] = (struct weir_piece){bytes + CUT[i], CUT[i + 1] - CUT[i]};
    return f;
}

static uint32_t u32(size_t at)
{
    uint32_t v;
    memcpy(&v, file + at, sizeof v);
    return v;
}

static void test_file_header(void **state)
{
    (void)state;
    begin(0, WEIR_LINK_ETHER);
    assert_int_equal(file_bytes, FILE_HEAD);
    assert_int_equal(u32(0), 0xA1B23C4D);
    assert_int_equal(u32(16), 262144);
    assert_int_equal(u32(20), 1);
    dev->ops->close(dev);
    struct weir_netdev_env env = {
        .plat = &sim.plat, .zbuf_bytes = {2048}, .n_zbuf_bytes = 1, .rx_frames = 16, .offloads = ALL};
    assert_int_equal(dev->ops->open(dev, &env), 0);
    assert_int_equal(file_bytes, FILE_HEAD); /* once a file */
    finish();
    begin(96, WEIR_LINK_RAW_IP);
    assert_int_equal(u32(16), 96);
    assert_int_equal(u32(20), 101);
    finish();
}

static void check_record(uint32_t n)
{
    assert_int_equal(u32(FILE_HEAD), 12);
    assert_int_equal(u32(FILE_HEAD + 4), 345000);
    assert_int_equal(u32(FILE_HEAD + 8), n);
    assert_int_equal(u32(FILE_HEAD + 12), sizeof bytes);
    assert_int_equal(file_bytes, FILE_HEAD + FRAME_HEAD + n);
}

static void test_checksums_are_completed_in_the_file_only(void **state)
{
    (void)state;
    begin(0, WEIR_LINK_ETHER);
    struct weir_frame f = segment();
    uint8_t before[sizeof bytes];
    memcpy(before, bytes, sizeof bytes);
    assert_int_equal(dev->ops->tx_burst(dev, &f, 1), 1);
    assert_memory_equal(bytes, before, sizeof bytes);
    check_record(sizeof bytes);
    uint8_t *p = file + FILE_HEAD + FRAME_HEAD;
    uint64_t sum = weir_csum_pseudo4(0x0a090001, 0x0a090002, 6, sizeof bytes - 34);
    assert_int_equal(weir_csum_done(weir_csum_add(sum, p + 34, sizeof bytes - 34, 0)), 0);
    memcpy(p + 50, bytes + 50, 2);
    assert_memory_equal(p, bytes, sizeof bytes);
    assert_int_equal(trace.frames, 1);
    finish();
}

static void test_received_frames_too(void **state)
{
    (void)state;
    begin(0, WEIR_LINK_ETHER);
    struct weir_frame f = segment(), got;
    assert_int_equal(peer->ops->tx_burst(peer, &f, 1), 1);
    assert_int_equal(file_bytes, FILE_HEAD);
    assert_int_equal(dev->ops->rx_post(dev, posts[0], 2048), 0);
    assert_int_equal(dev->ops->rx_burst(dev, &got, 1), 1);
    assert_int_equal(got.flags, WEIR_FRAME_CSUM_NEEDED);
    assert_memory_equal(posts[0], bytes, sizeof bytes); /* passed on undone */
    check_record(sizeof bytes);
    finish();
}

static void test_snap(void **state)
{
    (void)state;
    for (uint32_t snap = 49; snap <= 53; snap++) { /* around the checksum field */
        begin(snap, WEIR_LINK_ETHER);
        struct weir_frame f = segment();
        assert_int_equal(dev->ops->tx_burst(dev, &f, 1), 1);
        check_record(snap);
        finish();
    }
}

static void test_a_zero_sum_of_udp_is_written_as_ones(void **state)
{
    (void)state;
    begin(0, WEIR_LINK_ETHER);
    static uint8_t p[60];
    memset(p, 0, sizeof p);
    weir_put_be16(p + 40, 0xFFFF);
    struct weir_piece piece = {p, sizeof p};
    struct weir_frame f = {.pieces = &piece,
                           .bytes = sizeof p,
                           .n_pieces = 1,
                           .flags = WEIR_FRAME_CSUM_NEEDED,
                           .csum_start = 34,
                           .csum_field = 6};
    assert_int_equal(dev->ops->tx_burst(dev, &f, 1), 1);
    assert_int_equal(weir_be16(file + FILE_HEAD + FRAME_HEAD + 40), 0xFFFF);
    finish();
}

static void test_only_accepted_frames_are_written(void **state)
{
    (void)state;
    begin(0, WEIR_LINK_ETHER);
    for (unsigned i = 0; i < 20; i++) {
        struct weir_frame f = segment();
        assert_int_equal(dev->ops->tx_burst(dev, &f, 1), i < 16);
    }
    assert_int_equal(trace.frames, 16);
    finish();
}

static void test_a_failing_sink_stops_the_trace_not_the_traffic(void **state)
{
    (void)state;
    begin(0, WEIR_LINK_ETHER);
    file_room = file_bytes + 60;
    for (unsigned i = 0; i < 3; i++) {
        struct weir_frame f = segment();
        assert_int_equal(dev->ops->tx_burst(dev, &f, 1), 1);
    }
    assert_int_equal(trace.failed, -5);
    assert_int_equal(trace.frames, 0);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_header),
        cmocka_unit_test(test_checksums_are_completed_in_the_file_only),
        cmocka_unit_test(test_received_frames_too),
        cmocka_unit_test(test_snap),
        cmocka_unit_test(test_a_zero_sum_of_udp_is_written_as_ones),
        cmocka_unit_test(test_only_accepted_frames_are_written),
        cmocka_unit_test(test_a_failing_sink_stops_the_trace_not_the_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
