/* worst_ops.c: sequences of allocations and releases: reading, writing, running, counting the last of them. */
#include "worst_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_step.h"

const char *const worst_goal_name[WORST_GOALS] = {"get", "get-aligned", "refused", "put"};

static _Alignas(4096) char area[WORST_AREA];
static const struct mem_scheme *counted; /* for calls that take no context */

bool worst_open(const struct mem_scheme *s)
{
    return s->open(s, area, s->cells ? WORST_CELLS : sizeof area, s->most);
}

void worst_forget(struct worst_live *live, unsigned at)
{
    live->n--;
    live->block[at] = live->block[live->n];
    live->size[at] = live->size[live->n];
}

void worst_keep(struct worst_live *live, void *block, size_t size)
{
    live->block[live->n] = block;
    live->size[live->n++] = size;
}

enum worst_goal worst_do(const struct mem_scheme *s, struct worst_live *live, struct worst_op op)
{
    if (op.kind == 'f') {
        if (live->n == 0) return WORST_NOTHING;
        unsigned at = worst_pick(live, op.arg);
        s->put(live->block[at], live->size[at]);
        worst_forget(live, at);
        return WORST_PUT;
    }
    void *block = op.kind == 'a' ? s->get(op.arg) : s->get_aligned(op.arg, WORST_ALIGN);
    if (block == NULL) return WORST_REFUSED;
    worst_keep(live, block, op.arg);
    return op.kind == 'a' ? WORST_GET : WORST_GET_ALIGNED;
}

static void *get_aligned(size_t size)
{
    return counted->get_aligned(size, WORST_ALIGN);
}

/* Instructions of one call in the state that is. */
static uint64_t count_one(const struct mem_scheme *s, struct worst_live *live, struct worst_op op)
{
    void *block;
    counted = s;
    if (op.kind == 'a') return bench_step_get(s->get, op.arg, &block);
    if (op.kind == 'n') return bench_step_get(get_aligned, op.arg, &block);
    if (live->n == 0) return 0;
    unsigned at = worst_pick(live, op.arg);
    return bench_step_put(s->put, live->block[at], live->size[at]);
}

/* What is around the scheme's own function: the same op with an empty one in its place. */
static uint64_t count_around(const struct mem_scheme *s, struct worst_op op)
{
    struct worst_live one = {1, {area}, {1}};
    if (s->hollow == NULL) return 0;
    s->hollow();
    return count_one(s, &one, op) - MEM_HOLLOW;
}

static void run(const struct mem_scheme *s, const struct worst_seq *q, struct worst_live *live)
{
    live->n = 0;
    for (unsigned i = 0; i + 1 < q->n; i++)
        (void)worst_do(s, live, q->op[i]);
}

uint64_t worst_count(const struct mem_scheme *s, const struct worst_seq *q)
{
    static struct worst_live live;
    if (q->n == 0) return 0;
    for (unsigned turn = 0; turn < 2; turn++) { /* the first resolves what the dynamic linker left open */
        if (!worst_open(s)) return 0;
        run(s, q, &live);
        if (turn == 0) (void)worst_do(s, &live, q->op[q->n - 1]);
    }
    uint64_t all = count_one(s, &live, q->op[q->n - 1]), around = count_around(s, q->op[q->n - 1]);
    return all > around ? all - around : 0;
}

bool worst_read(struct worst_seq *q, const char *text)
{
    q->n = 0;
    for (;;) {
        char *end;
        text += strspn(text, " \n");
        if (*text == '\0') return true;
        if (q->n == WORST_OPS_MAX || strchr("anf", *text) == NULL) return false;
        q->op[q->n].kind = *text;
        unsigned long arg = strtoul(text + 1, &end, 10);
        if (end == text + 1 || arg > WORST_SIZE_MAX) return false;
        q->op[q->n++].arg = (uint32_t)arg;
        text = end;
    }
}

void worst_write(const struct worst_seq *q, char *text, size_t bytes)
{
    size_t at = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < q->n && at < bytes; i++)
        at +=
            (size_t)snprintf(text + at, bytes - at, "%s%c%u", i == 0 ? "" : " ", q->op[i].kind, q->op[i].arg);
}
