/* contract_policy_test.c: the contract suite's cases for one policy, CONTRACT_POLICY, as cmocka tests: bare at
 * each level of checks, and in a partition. A case that asks for what the policy has not got is left out and
 * told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "contract_heap.h"

#include "contract_policies.h"

extern const struct weir_policy CONTRACT_POLICY; /* also where no header has it */

#define TESTS_MAX 256

struct one {
    struct heap_subject subject;
    const struct heap_case *c; /* NULL: the property */
    char name[128];
};

static void run_case(void **state)
{
    const struct one *t = *state;
    const char *failure = heap_run_case(t->c, &t->subject);
    if (failure != NULL) fail_msg("%s", failure);
}

/* WEIR_SEED: the first seed. All of them at level 1, where every part is at work, and a quarter at the others. */
static void run_property(void **state)
{
    const struct one *t = *state;
    const char *text = getenv("WEIR_SEED");
    uint64_t first = text != NULL ? strtoull(text, NULL, 0) : 1;
    uint32_t seeds = t->subject.level == 1 ? heap_seeds() : (heap_seeds() + 3) / 4;
    printf("%s: WEIR_SEED=%llu and the next %u, %u operations each\n", heap_subject_name(&t->subject),
           (unsigned long long)first, (unsigned)seeds - 1, (unsigned)heap_steps());
    const char *failure = heap_run_seeds(&t->subject, first, seeds, heap_steps());
    if (failure != NULL) fail_msg("%s", failure);
}

static uint32_t traits_of(const struct weir_policy *policy)
{
#define CONTRACT_ROW(name, traits)                                                                           \
    if (policy == &weir_##name) return traits;
    CONTRACT_POLICIES(CONTRACT_ROW)
#undef CONTRACT_ROW
    return HEAP_ONE_SIZE; /* an adapter around a pool */
}

int main(void)
{
    const uint32_t traits = traits_of(&CONTRACT_POLICY);
    const struct heap_subject subjects[] = {{&CONTRACT_POLICY, 1, true, traits},
                                            {&CONTRACT_POLICY, 0, false, traits},
                                            {&CONTRACT_POLICY, 1, false, traits},
                                            {&CONTRACT_POLICY, 2, false, traits}};
    size_t first = (traits & HEAP_ONE_SIZE) != 0 ? 1 : 0;
    static struct one ones[TESTS_MAX];
    static struct CMUnitTest tests[TESTS_MAX];
    size_t n = 0;
    for (size_t s = first; s < sizeof subjects / sizeof subjects[0]; s++) {
        for (size_t i = 0; i <= heap_cases_n && n < TESTS_MAX; i++) {
            bool property = i == heap_cases_n;
            if (!property && !heap_applies(&heap_cases[i], &subjects[s])) continue;
            ones[n].subject = subjects[s];
            ones[n].c = property ? NULL : &heap_cases[i];
            (void)snprintf(ones[n].name, sizeof ones[n].name, "%s.%s", heap_subject_name(&subjects[s]),
                           property ? "random_operations_match_the_model" : heap_cases[i].name);
            tests[n] = (struct CMUnitTest){.name = ones[n].name,
                                           .test_func = property ? run_property : run_case,
                                           .initial_state = &ones[n]};
            n++;
        }
    }
    return _cmocka_run_group_tests(CONTRACT_NAME, tests, n, NULL, NULL);
}
