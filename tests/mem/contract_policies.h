/* contract_policies.h: the policies that the contract suite and the fuzz target drive: weir_NAME of policy.h for
 * each line, and what the suite must know of it. CMakeLists.txt reads it too; adding a policy is adding its line. */
#ifndef WEIR_CONTRACT_POLICIES_H
#define WEIR_CONTRACT_POLICIES_H

#include "weir/policy.h"
#include "weir/small.h"

/* Sizes in classes up to a largest one: an area may be too small for a run, and what is free depends on which
 * classes the runs serve. */
#define HEAP_CLASSES  1u
#define HEAP_ONE_SIZE 2u /* every block is of one size, and the policy is none of a partition's */

/* clang-format off */
#define CONTRACT_POLICIES(X) \
    X(firstfit_list, 0) \
    X(tlsf, 0) \
    X(small_policy, HEAP_CLASSES)
/* clang-format on */

#endif
