/* contract_heap.h: the contract suite for policies: what every scheme of policy.h must hold to, bare at each
 * level of checks and under a partition. Needs no test library, so that it also runs where there is none
 * (contract_plain.c); contract_policy_test.c gives each case to cmocka.
 *
 * Adding a policy is one line in contract_policies.h. What a policy has not got, by its capabilities, is left out,
 * and that is printed. */
#ifndef WEIR_CONTRACT_HEAP_H
#define WEIR_CONTRACT_HEAP_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "weir/err.h"
#include "weir/part.h"

#define HEAP_AREAS      3
#define HEAP_AREA_BYTES 24576
#define HEAP_STATE      131072 /* the largest state that the suite has room for */
#define HEAP_GUARD      64

/* What is under test: a policy bare at a level, or inside a partition. */
struct heap_subject {
    const struct weir_policy *policy;
    uint32_t level;
    bool part;
    uint32_t traits; /* contract_policies.h */
};

/* One set-up heap. Where a partition is, `policy` and `state` are the adapter's. */
struct heap {
    struct heap_subject subject;
    const struct weir_policy *policy;
    struct weir_policy_conf conf;
    struct weir_part *part; /* NULL: bare */
    _Alignas(16) uint8_t state[HEAP_STATE];
    _Alignas(16) uint8_t mem[HEAP_AREAS][HEAP_GUARD + HEAP_AREA_BYTES + 2 * HEAP_GUARD];
    uint8_t *base[HEAP_AREAS]; /* where each area begins, somewhere behind its guard */
    uint64_t seed, step;       /* for the message */
    char failure[256];
    jmp_buf out;
};

/* A broken promise ends the case. */
#define HEAP_CHECK(h, holds)                                                                                 \
    do {                                                                                                     \
        if (!(holds)) heap_fail(h, __FILE__, __LINE__, #holds);                                              \
    } while (0)
_Noreturn void heap_fail(struct heap *h, const char *file, int line, const char *what);

/* splitmix64. */
static inline uint32_t heap_below(uint64_t *seed, uint32_t n)
{
    uint64_t x = *seed += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((x >> 32) % n);
}

/* Begins anew with `areas` areas of `bytes` bytes that begin `skew` bytes behind a multiple of 16. */
void heap_open(struct heap *h, const struct heap_subject *subject, uint32_t align, uint32_t areas,
               size_t bytes, uint32_t skew);
/* Around every area nobody has written. */
void heap_check_guards(struct heap *h);
/* The policy's invariants, and the partition's. */
void heap_check(struct heap *h);
static inline bool heap_can(const struct heap *h, uint32_t caps)
{
    return (h->policy->caps & caps) == caps;
}

/* contract_part.c: a partition in the shape of a policy; conf.extra is the policy inside. */
extern const struct weir_policy contract_part_policy;
struct weir_part *contract_part_of(void *state);
#define CONTRACT_PART_LOW 4096 /* its low-water mark */

/* ---- the cases ---- */

struct heap_case {
    const char *name;
    uint32_t caps;  /* that it needs */
    uint32_t level; /* that it needs at least */
    void (*run)(struct heap *h, const struct heap_subject *subject);
};
extern const struct heap_case heap_cases[];
extern const size_t heap_cases_n;

/* contract_model.c: `steps` operations at random against a naive model. */
void heap_property(struct heap *h, const struct heap_subject *subject, uint64_t seed, uint32_t steps);

/* The same, with the input in place of chance, until it is used up. */
void heap_property_of(struct heap *h, const struct heap_subject *subject, const uint8_t *input, size_t n);

/* Seeds for each subject and operations for each seed: WEIR_CONTRACT_SEEDS and WEIR_CONTRACT_STEPS, or what the
 * build can do in seconds: 100 seeds of 100,000 in release. */
uint32_t heap_seeds(void);
uint32_t heap_steps(void);

/* Whether the case is one for this subject. One that wants capabilities which the policy has not got is left out,
 * and a line says so; one that wants a higher level of checks is not this subject's. */
bool heap_applies(const struct heap_case *c, const struct heap_subject *subject);
/* NULL, also where the case does not apply, or what went wrong; the text stays until the next call. */
const char *heap_run_case(const struct heap_case *c, const struct heap_subject *subject);
const char *heap_run_seeds(const struct heap_subject *subject, uint64_t first, uint32_t seeds,
                           uint32_t steps);
const char *heap_run_input(const struct heap_subject *subject, const uint8_t *input, size_t n);
const char *heap_subject_name(const struct heap_subject *subject);

#endif
