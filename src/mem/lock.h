/* lock.h: what stands around an operation on a control structure: nothing, masked interrupts, or the user's
 * hooks. Not a lock by itself: struct weir_lock (block.h) says which, and the porter brings the hooks. Sections must not nest,
 * must be bounded, and must call nobody.
 *
 * Interrupts can be masked by a program on Cortex-M (PRIMASK, Armv7-M Architecture Reference Manual B5.2.3);
 * elsewhere it is a privilege, and WEIR_LOCK_MASK is refused. */
#ifndef WEIR_LOCK_H
#define WEIR_LOCK_H

#include "weir/block.h"
#include "weir/err.h"

#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
#define WEIR_LOCK_HAS_MASK 1
static inline uintptr_t weir_mask_enter(void)
{
    uintptr_t before;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(before) : : "memory");
    return before;
}
static inline void weir_mask_leave(uintptr_t before)
{
    __asm__ volatile("msr primask, %0" : : "r"(before) : "memory");
}
#else
#define WEIR_LOCK_HAS_MASK 0
static inline uintptr_t weir_mask_enter(void)
{
    return 0;
}
static inline void weir_mask_leave(uintptr_t before)
{
    (void)before;
}
#endif

/* 0; WEIR_ENOTSUP: masks are not to be had here; WEIR_EINVAL: no such kind, or a hook is missing. */
static inline int weir_lock_check(const struct weir_lock *lock)
{
    switch (lock->kind) {
    case WEIR_LOCK_NONE:
        return WEIR_OK;
    case WEIR_LOCK_MASK:
        return WEIR_LOCK_HAS_MASK ? WEIR_OK : WEIR_ENOTSUP;
    case WEIR_LOCK_HOOK:
        return lock->enter != NULL && lock->leave != NULL ? WEIR_OK : WEIR_EINVAL;
    }
    return WEIR_EINVAL;
}

static inline uintptr_t weir_lock_enter(const struct weir_lock *lock)
{
    if (lock->kind == WEIR_LOCK_NONE) return 0;
    return lock->kind == WEIR_LOCK_HOOK ? lock->enter(lock->ctx) : weir_mask_enter();
}

static inline void weir_lock_leave(const struct weir_lock *lock, uintptr_t before)
{
    if (lock->kind == WEIR_LOCK_NONE) return;
    if (lock->kind == WEIR_LOCK_HOOK)
        lock->leave(lock->ctx, before);
    else
        weir_mask_leave(before);
}

#endif
