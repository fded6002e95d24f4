/* tlsf.h: the bytes that TLSF's state takes, as a constant expression, for programs that place everything at
 * build time. The scheme itself is weir_tlsf of policy.h; docs/memory/tlsf.md tells how it works.
 *
 *     static _Alignas(max_align_t) unsigned char state[WEIR_TLSF_STATE_BYTES(65536, 8, 1, 1)];
 *     struct weir_policy_conf conf = {.area_bytes = 65536, .align_bytes = 8, .areas = 1, .level = 1};
 *     weir_tlsf.init(state, &conf);
 */
#ifndef WEIR_TLSF_H
#define WEIR_TLSF_H

#include <stddef.h>
#include <stdint.h>

#include "weir/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The largest area, in bytes: heads and links count in 32 bits. A larger one is refused with WEIR_EINVAL,
 * never cut; more memory is served as several areas. */
#define WEIR_TLSF_AREA_MAX 0xfff00000u

/* At most so many areas at a time: release and a request that the first area can't serve look at each. */
#define WEIR_TLSF_AREAS_MAX 64u

/* Bytes in front of each block, and of the smallest block with them. A request of n bytes takes
 * n + WEIR_TLSF_HEAD bytes, rounded up to the alignment, at least WEIR_TLSF_BLOCK_MIN. */
#define WEIR_TLSF_HEAD      4u
#define WEIR_TLSF_BLOCK_MIN 16u

/* floor(log2(x)) of a constant, x in 1 .. 2^32 - 1. */
#define WEIR_TLSF_LOG2_2(x)  ((x) >> 1 ? 1 : 0)
#define WEIR_TLSF_LOG2_4(x)  ((x) >> 2 ? 2 + WEIR_TLSF_LOG2_2((x) >> 2) : WEIR_TLSF_LOG2_2(x))
#define WEIR_TLSF_LOG2_8(x)  ((x) >> 4 ? 4 + WEIR_TLSF_LOG2_4((x) >> 4) : WEIR_TLSF_LOG2_4(x))
#define WEIR_TLSF_LOG2_16(x) ((x) >> 8 ? 8 + WEIR_TLSF_LOG2_8((x) >> 8) : WEIR_TLSF_LOG2_8(x))
#define WEIR_TLSF_LOG2(x)    ((x) >> 16 ? 16 + WEIR_TLSF_LOG2_16((x) >> 16) : WEIR_TLSF_LOG2_16(x))

/* Lists a doubling (a bit each in a machine word), and the size, as a power of two, up to which sizes one
 * word's bytes apart have a list each: 512 bytes on 64-bit machines, 128 on 32-bit ones. */
#if UINTPTR_MAX > 0xffffffffu
#define WEIR_TLSF_ROW_LOG2   6
#define WEIR_TLSF_EXACT_LOG2 9
#define WEIR_TLSF_ROWS       24
#define WEIR_TLSF_STATE_HEAD 96u
#define WEIR_TLSF_AREA_HEAD  272u
#else
#define WEIR_TLSF_ROW_LOG2   5
#define WEIR_TLSF_EXACT_LOG2 7
#define WEIR_TLSF_ROWS       26
#define WEIR_TLSF_STATE_HEAD 64u
#define WEIR_TLSF_AREA_HEAD  160u
#endif

/* Rows of lists for blocks of up to area bytes (an unsigned constant, 1 .. WEIR_TLSF_AREA_MAX). */
#define WEIR_TLSF_ROWS_OF(area)                                                                              \
    (WEIR_TLSF_LOG2((uint32_t)(area) | (1u << WEIR_TLSF_EXACT_LOG2)) - WEIR_TLSF_EXACT_LOG2 + 2)

/* Of one area: its lists, and at level 2 a bit for each place where a block can begin. */
#define WEIR_TLSF_SLOT_BYTES(area, align, level)                                                             \
    (((size_t)WEIR_TLSF_AREA_HEAD + ((size_t)WEIR_TLSF_ROWS_OF(area) << WEIR_TLSF_ROW_LOG2) * 4u +           \
      ((level) > 1u ? (size_t)(area) / (align) / 8u + 1u : 0u) + 15u) /                                      \
     16u * 16u)

/* The bytes that weir_tlsf.state_bytes says for areas of up to `area` bytes each, natural alignment align (4,
 * 8 or 16), so many areas, this level. Constant for constants. */
#define WEIR_TLSF_STATE_BYTES(area, align, areas, level)                                                     \
    (WEIR_TLSF_STATE_HEAD + (size_t)(areas)*WEIR_TLSF_SLOT_BYTES(area, align, level))

#ifdef __cplusplus
}
#endif
#endif
