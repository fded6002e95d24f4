/* contract_plain.c: the contract suite as a plain program, for machines without a test library: each policy's
 * cases and some seeds, bare and in a partition; the first failure ends it. Usage: contract_plain [SEEDS [STEPS]] */
#include <stdlib.h>

#include "contract_heap.h"
#include "contract_policies.h"

static const struct {
    const struct weir_policy *policy;
    uint32_t traits;
} policies[] = {
#define CONTRACT_ROW(name, traits) {&weir_##name, traits},
    CONTRACT_POLICIES(CONTRACT_ROW)
#undef CONTRACT_ROW
};

static int told(const char *failure)
{
    if (failure != NULL) printf("FAILED: %s\n", failure);
    return failure != NULL;
}

static int run(const struct heap_subject *subject, uint32_t seeds, uint32_t steps)
{
    for (size_t i = 0; i < heap_cases_n; i++)
        if (told(heap_run_case(&heap_cases[i], subject))) return 1;
    if (told(heap_run_seeds(subject, 1, seeds, steps))) return 1;
    printf("ok: %s\n", heap_subject_name(subject));
    return 0;
}

static int run_levels(const struct weir_policy *policy, uint32_t traits, uint32_t seeds, uint32_t steps)
{
    for (uint32_t level = 0; level <= 2; level++)
        for (int part = 0; part <= 1; part++)
            if (run(&(struct heap_subject){policy, level, part != 0, traits}, seeds, steps) != 0) return 1;
    return 0;
}

int main(int argc, char **argv)
{
    uint32_t seeds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 3;
    uint32_t steps = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 20000;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        if (run_levels(policies[i].policy, policies[i].traits, seeds, steps) != 0) return 1;
    return 0;
}
