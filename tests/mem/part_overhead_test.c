/* part_overhead_test.c: the bytes that a block takes beside its own, for each policy at alignment 4, 8 and 16, as
 * measured from where blocks lie, printed beside the figures known for VxWorks' memPartLib. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "contract_policies.h"
#include "weir/part.h"

#define SIZES 512u

struct row {
    uint32_t align;
    size_t head;  /* of a block in use, measured */
    size_t least; /* that the smallest block takes, head and all */
    double mean;  /* beside the bytes asked, sizes 1 to SIZES alike */
};

static _Alignas(16) uint8_t mem[1 << 16], state[1 << 16];

/* What a request of this size takes: how much more of the memory is gone, by where the next block lies. */
static size_t taken_by(const struct weir_policy *policy, uint32_t align, size_t size, size_t *usable)
{
    struct weir_part part;
    struct weir_part_conf conf = {.policy = policy, .cut = {.align_bytes = align, .level = 1}};
    conf.state = state;
    conf.state_bytes = sizeof state;
    assert_int_equal(weir_part_open(&part, &conf, mem, sizeof mem), 0);
    uint8_t *a = weir_part_alloc(&part, size, 0), *b = weir_part_alloc(&part, size, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(((uintptr_t)a | (uintptr_t)b) % align, 0);
    *usable = (size_t)weir_part_usable(&part, a);
    assert_int_equal(weir_part_close(&part), 2);
    return (size_t)(a < b ? b - a : a - b);
}

static struct row measure(const struct weir_policy *policy, uint32_t align)
{
    size_t usable, sum = 0;
    struct row row = {.align = align};
    row.least = taken_by(policy, align, 1, &usable);
    row.head = taken_by(policy, align, 100, &usable) - usable;
    for (size_t size = 1; size <= SIZES; size++)
        sum += taken_by(policy, align, size, &usable) - size;
    row.mean = (double)sum / SIZES;
    return row;
}

static void overhead_at_each_alignment(void **unused)
{
    static const struct {
        const struct weir_policy *policy;
        uint32_t traits;
    } policies[] = {
#define CONTRACT_ROW(name, traits) {&weir_##name, traits},
        CONTRACT_POLICIES(CONTRACT_ROW)
#undef CONTRACT_ROW
    };
    (void)unused;
    printf("%-10s %9s %5s %6s %22s\n", "policy", "alignment", "head", "least", "mean beside 1..512");
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        for (uint32_t align = 4; align <= 16; align *= 2) {
            struct row row = measure(policies[i].policy, align);
            printf("%-10s %9u %5zu %6zu %22.2f\n", policies[i].policy->name, (unsigned)row.align, row.head,
                   row.least, row.mean);
            assert_int_equal(row.head, policies[i].policy->head_bytes);
            /* A head and, by rounding, half an alignment on the average; the smallest block adds a little. */
            if (policies[i].traits == 0) assert_true(row.mean < (double)row.head + align / 2.0 + 1.0);
        }
    }
    puts("VxWorks, overhead as known: 68K 8 at alignment 4, SPARC 12 at 8, MIPS 12 at 16, i960 16 at 16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(overhead_at_each_alignment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
