/* bench_mem_load.c: the loads of the section `mem`, and their instructions under callgrind. */
#include <stdio.h>
#include <sys/mman.h>

#include "bench_mem.h"

#define SEED        88172645463325252u
#define WARM_FACTOR 10u
#define TURNS       20000u
#define TURNS_QUICK 2000u

const struct mem_load mem_loads[MEM_LOADS] = {
    {"mixed", 16, 8192}, {"fixed", MEM_CELL, MEM_CELL}, {"small", 16, 512}};

bool mem_serves(const struct mem_scheme *s, const struct mem_load *load)
{
    if (s->cells) return load->least == load->most;
    return s->least <= load->least && load->most <= s->most;
}

/* xorshift64*, of which the upper half is used. */
uint32_t mem_random(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((((*state * 0x2545F4914F6CDD1Du) >> 32) * below) >> 32);
}

static uint32_t any_size(struct mem_run *r)
{
    uint32_t octaves = 0;
    while ((r->load->least << (octaves + 1)) <= r->load->most)
        octaves++;
    if (octaves == 0) return r->load->least;
    uint32_t low = r->load->least << mem_random(&r->random, octaves);
    return low + 1 + mem_random(&r->random, low);
}

void mem_run_begin(struct mem_run *r, const struct mem_scheme *s, const struct mem_load *load)
{
    *r = (struct mem_run){.s = s, .load = load, .random = SEED};
}

struct mem_turn mem_run_next(struct mem_run *r)
{
    uint32_t slot = mem_random(&r->random, MEM_LIVE_MAX);
    return (struct mem_turn){slot, any_size(r)};
}

/* The block of the turn's slot was put back, and this one was got. */
void mem_run_took(struct mem_run *r, struct mem_turn t, void *block)
{
    r->live_bytes += t.size;
    r->live_bytes -= r->size[t.slot];
    if (r->live_bytes > r->peak_bytes) r->peak_bytes = r->live_bytes;
    r->block[t.slot] = block;
    r->size[t.slot] = t.size;
}

void mem_run_end(struct mem_run *r)
{
    for (unsigned i = 0; i < MEM_LIVE_MAX; i++)
        if (r->block[i] != NULL) r->s->put(r->block[i], r->size[i]);
}

void *mem_area(void)
{
    static void *area;
    if (area == NULL) {
        area = mmap(NULL, MEM_AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
        if (area == MAP_FAILED) bench_die("no memory for an area");
    }
    return area;
}

bool mem_open(const struct mem_scheme *s, size_t bytes, size_t cell)
{
    return s->open(s, mem_area(), bytes, cell);
}

const struct mem_scheme *mem_hollow(const struct mem_scheme *s)
{
    if (s->hollow == NULL) return &mem_empty;
    s->hollow();
    return s;
}

/* ---- counted ---- */

__attribute__((noinline)) void *mem_counted_get(const struct mem_scheme *s, size_t size)
{
    bench_resume();
    void *block = s->get(size);
    bench_pause();
    return block;
}

__attribute__((noinline)) void mem_counted_put(const struct mem_scheme *s, void *block, size_t size)
{
    bench_resume();
    s->put(block, size);
    bench_pause();
}

enum what { NOTHING, GETS, PUTS };

static void put_plain(const struct mem_scheme *s, void *block, size_t size)
{
    s->put(block, size);
}

static void turns(struct mem_run *r, unsigned n, enum what counted)
{
    for (unsigned i = 0; i < n; i++) {
        struct mem_turn t = mem_run_next(r);
        if (r->block[t.slot] != NULL)
            (counted == PUTS ? mem_counted_put : put_plain)(r->s, r->block[t.slot], r->size[t.slot]);
        mem_run_took(r, t, counted == GETS ? mem_counted_get(r->s, t.size) : r->s->get(t.size));
    }
}

static void section(struct mem_run *r, unsigned n, enum what counted)
{
    bench_begin();
    bench_pause();
    turns(r, n, counted);
}

/* What callgrind counts around a call. The hollow get gives nothing, so a hollow put is asked for blocks that
 * there are none of: they are made up. */
static void count_around(const struct mem_scheme *s, unsigned n, enum what counted)
{
    static char nowhere;
    s = mem_hollow(s);
    bench_begin();
    bench_pause();
    for (unsigned i = 0; i < n; i++) {
        if (counted == PUTS)
            mem_counted_put(s, &nowhere, MEM_CELL);
        else
            (void)mem_counted_get(s, MEM_CELL);
    }
    bench_end_hollow(MEM_HOLLOW, n);
}

static void count_load(const struct mem_scheme *s, const struct mem_load *load, const char *variant,
                       bool quick)
{
    static struct mem_run r;
    unsigned n = quick ? TURNS_QUICK : TURNS;
    char name[40];
    for (enum what counted = GETS; counted <= PUTS; counted++) {
        count_around(s, n, counted);
        if (!mem_open(s, mem_ample(MEM_LIVE_MAX, load->most), load->most))
            bench_die("%s can't be opened", s->name);
        mem_run_begin(&r, s, load);
        turns(&r, WARM_FACTOR * MEM_LIVE_MAX, NOTHING);
        section(&r, n, counted);
        snprintf(name, sizeof name, "mem-%s-%s", load->name, counted == GETS ? "get" : "put");
        bench_end_loop(name, variant, n);
        mem_run_end(&r);
    }
}

void mem_loads_counted(const struct mem_scheme *s, const char *variant, bool quick)
{
    for (unsigned i = 0; i < MEM_LOADS; i++)
        if (mem_serves(s, &mem_loads[i])) count_load(s, &mem_loads[i], variant, quick);
}
