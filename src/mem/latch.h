/* latch.h: what struct weir_lock (block.h) asks for, done: nothing, interrupts masked, or the caller's hooks.
 *
 * Not a lock of its own: sections must not nest, must be bounded, and must call nobody. Interrupts can be
 * masked by a program on Cortex-M (PRIMASK, Armv7-M Architecture Reference Manual B5.2.3); elsewhere it is a
 * privilege, and WEIR_LOCK_MASK is refused. */
#ifndef WEIR_LATCH_H
#define WEIR_LATCH_H

#include <stdint.h>

#include "weir/block.h"
#include "weir/err.h"

#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
#define WEIR_LATCH_MASKS 1
static inline uintptr_t weir_latch_mask(void)
{
    uint32_t before;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(before) : : "memory");
    return before;
}
static inline void weir_latch_unmask(uintptr_t before)
{
    __asm__ volatile("msr primask, %0" : : "r"((uint32_t)before) : "memory");
}
#else
#define WEIR_LATCH_MASKS 0
static inline uintptr_t weir_latch_mask(void)
{
    return 0;
}
static inline void weir_latch_unmask(uintptr_t before)
{
    (void)before;
}
#endif

/* 0; WEIR_ENOTSUP: no mask here; WEIR_EINVAL: unknown kind, or a hook without its functions. */
static inline int weir_latch_check(const struct weir_lock *l)
{
    switch (l->kind) {
    case WEIR_LOCK_NONE:
        return WEIR_OK;
    case WEIR_LOCK_MASK:
        return WEIR_LATCH_MASKS ? WEIR_OK : WEIR_ENOTSUP;
    case WEIR_LOCK_HOOK:
        return l->enter && l->leave ? WEIR_OK : WEIR_EINVAL;
    }
    return WEIR_EINVAL;
}

static inline uintptr_t weir_latch_enter(const struct weir_lock *l)
{
    if (l->kind == WEIR_LOCK_NONE) return 0;
    return l->kind == WEIR_LOCK_HOOK ? l->enter(l->ctx) : weir_latch_mask();
}

static inline void weir_latch_leave(const struct weir_lock *l, uintptr_t before)
{
    if (l->kind == WEIR_LOCK_NONE) return;
    if (l->kind == WEIR_LOCK_HOOK)
        l->leave(l->ctx, before);
    else
        weir_latch_unmask(before);
}

#endif
