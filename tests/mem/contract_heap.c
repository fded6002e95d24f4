/* contract_heap.c: the suite's heap: set-up, guards, and running a case until its first broken promise. */
#include "contract_heap.h"

#include <stdlib.h>

#define GUARD_BYTE 0xc9

static struct heap shared; /* one at a time: 200 KB are too much for a stack */

void heap_fail(struct heap *h, const char *file, int line, const char *what)
{
    const char *name = strrchr(file, '/') != NULL ? strrchr(file, '/') + 1 : file;
    (void)snprintf(h->failure, sizeof h->failure, "%s: align %u, seed %llu, step %llu: %s:%d: %s",
                   heap_subject_name(&h->subject), (unsigned)h->conf.align_bytes, (unsigned long long)h->seed,
                   (unsigned long long)h->step, name, line, what);
    longjmp(h->out, 1);
}

const char *heap_subject_name(const struct heap_subject *subject)
{
    static char name[64];
    (void)snprintf(name, sizeof name, "%s%s.level%u", subject->policy->name, subject->part ? ".part" : "",
                   (unsigned)subject->level);
    return name;
}

void heap_open(struct heap *h, const struct heap_subject *subject, uint32_t align, uint32_t areas,
               size_t bytes, uint32_t skew)
{
    h->subject = *subject;
    h->policy = subject->part ? &contract_part_policy : subject->policy;
    h->conf = (struct weir_policy_conf){.area_bytes = HEAP_AREA_BYTES,
                                        .align_bytes = align,
                                        .areas = HEAP_AREAS,
                                        .level = subject->level,
                                        .extra = subject->part ? subject->policy : NULL};
    if ((subject->policy->caps & WEIR_POLICY_AREAS) == 0) h->conf.areas = 1;
    size_t need = h->policy->state_bytes(&h->conf);
    HEAP_CHECK(h, need > 0 && need <= sizeof h->state);
    memset(h->state, 0xee, sizeof h->state);
    memset(h->mem, GUARD_BYTE, sizeof h->mem);
    HEAP_CHECK(h, h->policy->init(h->state, &h->conf) == 0);
    h->part = subject->part ? contract_part_of(h->state) : NULL;
    for (uint32_t i = 0; i < HEAP_AREAS; i++)
        h->base[i] = h->mem[i] + HEAP_GUARD + skew;
    for (uint32_t i = 0; i < areas; i++) {
        memset(h->base[i], 0x11, bytes);
        HEAP_CHECK(h, h->policy->add(h->state, h->base[i], bytes) == 0);
    }
    for (size_t i = need; i < sizeof h->state; i++)
        HEAP_CHECK(h, h->state[i] == 0xee);
}

void heap_check_guards(struct heap *h)
{
    for (uint32_t i = 0; i < HEAP_AREAS; i++) {
        const uint8_t *end = h->mem[i] + sizeof h->mem[i];
        for (const uint8_t *p = h->mem[i]; p < h->base[i]; p++)
            HEAP_CHECK(h, *p == GUARD_BYTE);
        for (const uint8_t *p = h->base[i] + HEAP_AREA_BYTES; p < end; p++)
            HEAP_CHECK(h, *p == GUARD_BYTE);
    }
}

void heap_check(struct heap *h)
{
    HEAP_CHECK(h, h->policy->check(h->state) == 0);
}

static uint32_t number(const char *name, uint32_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? (uint32_t)strtoul(text, NULL, 0) : otherwise;
}

#if defined(__SANITIZE_ADDRESS__)
#define SEEDS 1
#elif defined(NDEBUG)
#define SEEDS 100
#else
#define SEEDS 5
#endif

uint32_t heap_seeds(void)
{
    return number("WEIR_CONTRACT_SEEDS", SEEDS);
}

uint32_t heap_steps(void)
{
    return number("WEIR_CONTRACT_STEPS", 100000);
}

bool heap_applies(const struct heap_case *c, const struct heap_subject *subject)
{
    if (subject->level < c->level) return false;
    if ((subject->policy->caps & c->caps) == c->caps) return true;
    printf("left out: %s: %s has not got it\n", c->name, heap_subject_name(subject));
    return false;
}

const char *heap_run_case(const struct heap_case *c, const struct heap_subject *subject)
{
    if (!heap_applies(c, subject)) return NULL;
    shared.seed = shared.step = 0;
    if (setjmp(shared.out) != 0) return shared.failure;
    c->run(&shared, subject);
    return NULL;
}

const char *heap_run_seeds(const struct heap_subject *subject, uint64_t first, uint32_t seeds, uint32_t steps)
{
    if (setjmp(shared.out) != 0) return shared.failure;
    for (uint64_t seed = first; seed < first + seeds; seed++)
        heap_property(&shared, subject, seed, steps);
    return NULL;
}

const char *heap_run_input(const struct heap_subject *subject, const uint8_t *input, size_t n)
{
    if (setjmp(shared.out) != 0) return shared.failure;
    heap_property_of(&shared, subject, input, n);
    return NULL;
}
