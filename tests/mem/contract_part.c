/* contract_part.c: a partition in the shape of a policy, so that the suite drives both alike. */
#include "contract_heap.h"

struct adapter {
    struct weir_part part;
    const struct weir_policy *inner;
    _Alignas(16) uint8_t state[];
};

struct weir_part *contract_part_of(void *state)
{
    struct adapter *a = state;
    return &a->part;
}

static const struct weir_policy *inner_of(const struct weir_policy_conf *conf, struct weir_policy_conf *cut)
{
    *cut = *conf;
    cut->extra = NULL;
    return conf->extra;
}

static size_t state_bytes(const struct weir_policy_conf *conf)
{
    struct weir_policy_conf cut;
    size_t inner = inner_of(conf, &cut)->state_bytes(&cut);
    return inner == 0 ? 0 : sizeof(struct adapter) + inner;
}

static int init(void *state, const struct weir_policy_conf *conf)
{
    struct adapter *a = state;
    struct weir_part_conf part = {.name = "contract", .low_bytes = CONTRACT_PART_LOW};
    part.policy = inner_of(conf, &part.cut);
    part.state = a->state;
    part.state_bytes = part.policy->state_bytes(&part.cut);
    a->inner = part.policy;
    return weir_part_open(&a->part, &part, NULL, 0);
}

static int add(void *state, void *base, size_t bytes)
{
    return weir_part_add(contract_part_of(state), base, bytes);
}

static int take_away(void *state, void *base)
{
    return weir_part_remove(contract_part_of(state), base);
}

static void *alloc(void *state, size_t size, size_t align, size_t *got)
{
    void *block = weir_part_alloc(contract_part_of(state), size, align);
    if (block != NULL) *got = (size_t)weir_part_usable(contract_part_of(state), block);
    return block;
}

/* What usable says of a bad block, free says as well. */
static ptrdiff_t release(void *state, void *block)
{
    ptrdiff_t bytes = weir_part_usable(contract_part_of(state), block);
    int err = weir_part_free(contract_part_of(state), block);
    if (err != 0) return err == bytes ? err : WEIR_EIO;
    return bytes;
}

static ptrdiff_t usable(const void *state, const void *block)
{
    const struct adapter *a = state;
    return weir_part_usable((struct weir_part *)(uintptr_t)&a->part, block);
}

static void stat(const void *state, struct weir_policy_stat *out)
{
    const struct adapter *a = state;
    struct weir_part_info info;
    (void)weir_part_info((struct weir_part *)(uintptr_t)&a->part, &info);
    a->inner->stat(a->part.state, out);
    out->free_bytes = info.stat.free_bytes;
    out->largest_free = info.stat.largest_free;
    out->live = info.stat.live;
    out->live_bytes = info.stat.live_bytes;
}

static size_t find_max(const void *state, size_t align)
{
    const struct adapter *a = state;
    return weir_part_find_max((struct weir_part *)(uintptr_t)&a->part, align);
}

static int walk(const void *state, weir_walk_fn fn, void *arg)
{
    const struct adapter *a = state;
    return weir_part_walk((struct weir_part *)(uintptr_t)&a->part, fn, arg);
}

static int check(const void *state)
{
    const struct adapter *a = state;
    return weir_part_check((struct weir_part *)(uintptr_t)&a->part);
}

/* resize is not among them: a partition's may move, so the suite calls weir_part_realloc itself. What the
 * policy inside can do is told by the subject's own table. */
const struct weir_policy contract_part_policy = {
    .name = "partition",
    .what = "a partition over the policy in conf.extra",
    .state_bytes = state_bytes,
    .init = init,
    .add = add,
    .remove = take_away,
    .alloc = alloc,
    .release = release,
    .usable = usable,
    .stat = stat,
    .find_max = find_max,
    .walk = walk,
    .check = check,
};
