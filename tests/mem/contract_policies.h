/* contract_policies.h: the policies that the contract suite and the fuzz target drive: weir_NAME of policy.h for
 * each line. CMakeLists.txt reads it too; adding a policy is adding its line. */
#ifndef WEIR_CONTRACT_POLICIES_H
#define WEIR_CONTRACT_POLICIES_H

#include "weir/policy.h"

/* clang-format off */
#define CONTRACT_POLICIES(X) \
    X(firstfit_list) \
    X(tlsf)
/* clang-format on */

#endif
