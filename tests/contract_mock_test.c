/* contract_mock_test.c: the contract suite over a device of hostile limits, which at the same time watches
 * the suite; and a canary: the watching device must notice each kind of misuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "contract_pairrig.h"
#include "mockdev.h"

static struct pairrig p;
static struct mockdev mock;

static struct weir_netdev *wrap(struct weir_netdev *lower)
{
    mockdev_init(&mock, lower, 5);
    return &mock.dev;
}

static _Alignas(4096) uint8_t area[16384];

static struct weir_netdev *build_mock(void)
{
    assert_null(p.rig.build(&p.rig));
    struct weir_netdev *d = p.rig.dev;
    struct weir_netdev_env env = {.area = area,
                                  .area_bytes = sizeof area,
                                  .plat = p.rig.plat,
                                  .zbuf_bytes = {2048},
                                  .n_zbuf_bytes = 1,
                                  .rx_frames = 4};
    assert_int_equal(d->ops->open(d, &env), 0);
    p.rig.opened(&p.rig);
    mock.record = 1;
    return d;
}

struct misuse {
    struct weir_piece piece[3];
    uint16_t n, flags;
    uint32_t bytes;
    const char *what; /* part of what is said */
};

static _Alignas(4096) uint8_t outside[2048];

static void test_misuse_is_noticed(void **state)
{
    (void)state;
    const struct misuse bad[] = {
        {{{area, 0}, {area, 60}}, 2, 0, 60, "empty"},
        {{{area, 601}}, 1, 0, 601, "max_piece_bytes"},
        {{{area + 4032, 65}}, 1, 0, 65, "boundary"},
        {{{outside, 60}}, 1, 0, 60, "outside the area"},
        {{{area + 8192 + 64, 60}}, 1, 0, 60, "in a posted buffer"},
        {{{area, 60}}, 1, WEIR_FRAME_CSUM_GOOD, 60, "not for transmitting"},
        {{{area, 60}}, 1, WEIR_FRAME_CSUM_NEEDED, 60, "checksum left"},
        {{{area, 60}}, 1, WEIR_FRAME_TSO4, 60, "large segment"},
        {{{area, 20}, {area, 20}, {area, 20}}, 3, 0, 60, "number of pieces"},
        {{{area, 60}}, 0, 0, 60, "number of pieces"},
        {{{area + 32, 60}}, 1, 0, 60, "alignment"},
        {{{area, 60}}, 1, 0, 61, "not its pieces'"},
    };
    struct weir_netdev *d = build_mock();
    assert_int_equal(d->ops->rx_post(d, area + 8192, 2048), 0);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct misuse b = bad[i];
        struct weir_frame f = {.pieces = b.piece, .bytes = b.bytes, .n_pieces = b.n, .flags = b.flags};
        mock.broken = NULL;
        d->ops->tx_burst(d, &f, 1);
        assert_non_null(mock.broken);
        assert_non_null(strstr(mock.broken, b.what));
    }
    mock.broken = NULL;
    d->ops->rx_post(d, area + 8192 + 1024, 2048);
    assert_non_null(mock.broken);
    mock.broken = NULL;
    d->ops->rx_post(d, outside, 2048);
    assert_non_null(mock.broken);
    d->ops->close(d);
    p.rig.destroy(&p.rig);
}

static void test_proper_use_is_not(void **state)
{
    (void)state;
    struct weir_netdev *d = build_mock();
    struct weir_piece piece[2] = {{area + 64, 600}, {area + 1001, 600}};
    struct weir_frame f = {.pieces = piece, .bytes = 1200, .n_pieces = 2};
    assert_int_equal(d->ops->rx_post(d, area + 8192, 2048), 0);
    assert_int_equal(d->ops->tx_burst(d, &f, 1), 1);
    assert_null(mock.broken);
    assert_int_equal(mock.n_held, 2);
    d->ops->close(d);
    p.rig.destroy(&p.rig);
}

int main(void)
{
    struct weir_pair_conf conf = mockdev_hostile_pair(NULL);
    pairrig_init(&p, "hostile device", &conf, wrap);
    const struct CMUnitTest canaries[] = {
        cmocka_unit_test(test_misuse_is_noticed),
        cmocka_unit_test(test_proper_use_is_not),
    };
    int failed = cmocka_run_group_tests_name("canaries", canaries, NULL, NULL);
    return failed + weir_contract_run(&p.rig);
}
