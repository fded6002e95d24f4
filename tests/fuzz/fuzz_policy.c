/* fuzz_policy.c: requests, releases, changes of size, bad releases and areas as the input says, through any
 * policy, bare or in a partition, against the contract suite's model: every block's bytes carry its tag, and
 * every count is known. The first byte says which policy and level. */
#include <stdio.h>

#include "fuzz.h"
#include "mem/contract_heap.h"
#include "mem/contract_policies.h"

static const struct {
    const struct weir_policy *policy;
    uint32_t traits;
} policies[] = {
#define CONTRACT_ROW(name, traits) {&weir_##name, traits},
    CONTRACT_POLICIES(CONTRACT_ROW)
#undef CONTRACT_ROW
};

#define POLICIES (sizeof policies / sizeof policies[0])

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2 || n > 4096) return 0;
    struct heap_subject subject = {.level = data[0] % 3, .part = data[0] / 3 % 2 != 0};
    subject.policy = policies[data[0] / 6 % POLICIES].policy;
    subject.traits = policies[data[0] / 6 % POLICIES].traits;
    const char *failure = heap_run_input(&subject, data + 1, n - 1);
    if (failure != NULL) fprintf(stderr, "%s\n", failure);
    FUZZ_CHECK(failure == NULL);
    return 0;
}
