/* Tests of pbuf.c: a descriptor and its reference come and go together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mem/zfixture.h"
#include "pkt/pbuf.h"

#define PBUFS 3

struct bench {
    struct zfixture f;
    struct weir_pktmem m;
    struct weir_pbuf cell[PBUFS];
    struct weir_zhead *h;
    uint8_t *first;
};

static int open_bench(void **state)
{
    static struct bench b;
    struct weir_config conf = zfixture_config(WEIR_ZLAYOUT_DENSE, (const uint32_t[]){4, 4, 0, 0});
    zfixture_open(&b.f, &conf);
    memset(b.cell, 0xa5, sizeof b.cell);
    b.m = (struct weir_pktmem){.z = &b.f.z, .stats = &b.f.stats};
    weir_cells_init(&b.m.pbufs, b.cell, PBUFS, sizeof *b.cell);
    b.h = weir_zpool_take(&b.f.z, 1000, WEIR_TAKE_APP);
    b.first = weir_zpool_first(&b.f.z, b.h);
    *state = &b;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *b = *state;
    int broken = weir_zpool_check(&b->f.z);
    zfixture_close(&b->f);
    return broken;
}

static void a_descriptor_holds_one_reference(void **state)
{
    struct bench *b = *state;
    uint32_t n = weir_pbuf_new(&b->m, b->first + 10, 90, 0xfffffff0u, WEIR_OWNER_SENDQ);
    assert_int_not_equal(n, 0);
    const struct weir_pbuf *p = weir_pbuf_at(&b->m, n);
    assert_ptr_equal(p->addr, b->first + 10);
    assert_int_equal(p->bytes, 90);
    assert_int_equal(p->seq, 0xfffffff0u);
    assert_int_equal(p->next, 0);
    assert_int_equal(b->h->stk, 1);
    assert_int_equal(weir_zpool_app_unref(&b->f.z, b->h, 1), 1);
    assert_int_equal(b->f.z.live, 1);
    weir_pbuf_at(&b->m, n)->next = 77;
    assert_int_equal(weir_pbuf_drop(&b->m, n, WEIR_OWNER_SENDQ), 77);
    assert_int_equal(b->f.z.live, 0);
    assert_int_equal(b->m.pbufs.used, 0);
}

static void no_descriptor_no_reference(void **state)
{
    struct bench *b = *state;
    uint32_t n[PBUFS];
    for (unsigned i = 0; i < PBUFS; i++)
        n[i] = weir_pbuf_new(&b->m, b->first, 1, 0, WEIR_OWNER_RECVQ);
    assert_int_equal(weir_pbuf_new(&b->m, b->first, 1, 0, WEIR_OWNER_RECVQ), 0);
    assert_int_equal(b->h->stk, PBUFS);
    for (unsigned i = 0; i < PBUFS; i++)
        weir_pbuf_drop(&b->m, n[i], WEIR_OWNER_RECVQ);
    assert_int_equal(b->h->stk, 0);
    assert_int_equal(b->h->app, 1);
}

static void no_reference_no_descriptor(void **state)
{
    struct bench *b = *state;
    while (b->h->stk < UINT16_MAX)
        assert_true(weir_zpool_ref(&b->f.z, b->h, WEIR_OWNER_TXDEV));
    assert_int_equal(weir_pbuf_new(&b->m, b->first, 1, 0, WEIR_OWNER_SENDQ), 0);
    assert_int_equal(b->m.pbufs.used, 0);
    assert_false(weir_zpool_unref(&b->f.z, b->h, WEIR_OWNER_TXDEV));
    assert_int_not_equal(weir_pbuf_new(&b->m, b->first, 1, 0, WEIR_OWNER_SENDQ), 0);
    assert_int_equal(b->h->stk, UINT16_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_descriptor_holds_one_reference, open_bench, close_bench),
        cmocka_unit_test_setup_teardown(no_descriptor_no_reference, open_bench, close_bench),
        cmocka_unit_test_setup_teardown(no_reference_no_descriptor, open_bench, close_bench),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
