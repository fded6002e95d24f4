/* pool_rig.h: for tests only: a source of aligned blocks that counts, can fail and keeps what it lent apart; a lock
 * that notices unbalanced calls and calls of the source inside. */
#ifndef WEIR_POOL_RIG_H
#define WEIR_POOL_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "weir/pool.h"

#define RIG_BLOCKS 2048

struct pool_rig {
    void *lent[RIG_BLOCKS];
    size_t bytes[RIG_BLOCKS];
    unsigned out, takes, gives, refusals;
    unsigned fail_at; /* the so many-th take from now on fails, 0: none */
    bool dry;         /* every take fails */
    unsigned locked, entered, left, wrong;
    unsigned events[64];
};

static inline void *rig_take(void *ctx, size_t bytes, size_t align)
{
    struct pool_rig *r = ctx;
    if (r->locked != 0) r->wrong++;
    if (r->dry || (r->fail_at != 0 && --r->fail_at == 0)) {
        r->refusals++;
        return NULL;
    }
    void *block = r->out == RIG_BLOCKS ? NULL : aligned_alloc(align, (bytes + align - 1) / align * align);
    if (block == NULL) return NULL;
    memset(block, 0x6b, bytes);
    r->lent[r->out] = block;
    r->bytes[r->out++] = bytes;
    r->takes++;
    return block;
}

static inline void rig_give(void *ctx, void *block, size_t bytes)
{
    struct pool_rig *r = ctx;
    if (r->locked != 0) r->wrong++;
    r->gives++;
    for (unsigned i = 0; i < r->out; i++) {
        if (r->lent[i] != block) continue;
        if (r->bytes[i] != bytes) r->wrong++;
        free(block);
        r->out--;
        r->lent[i] = r->lent[r->out];
        r->bytes[i] = r->bytes[r->out];
        return;
    }
    r->wrong++;
}

static inline uintptr_t rig_enter(void *ctx)
{
    struct pool_rig *r = ctx;
    if (r->locked != 0) r->wrong++;
    r->locked = 1;
    return ++r->entered;
}

static inline void rig_leave(void *ctx, uintptr_t before)
{
    struct pool_rig *r = ctx;
    if (r->locked != 1 || before != r->entered) r->wrong++;
    r->locked = 0;
    r->left++;
}

static inline void rig_hook(void *ctx, struct weir_pool *p, enum weir_pool_event event, void *cell)
{
    struct pool_rig *r = ctx;
    (void)p;
    (void)cell;
    if (r->locked != 0) r->wrong++;
    r->events[event]++;
}

static inline struct weir_source rig_source(struct pool_rig *r)
{
    return (struct weir_source){r, rig_take, rig_give};
}

static inline struct weir_lock rig_lock(struct pool_rig *r)
{
    return (struct weir_lock){WEIR_LOCK_HOOK, r, rig_enter, rig_leave};
}

#endif
