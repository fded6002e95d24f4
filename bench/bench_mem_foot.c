/* bench_mem_foot.c: bytes an object, and footprint over peak live bytes.
 *
 * A scheme with an area: as many objects as 16 MiB hold; the smallest area in which a load comes to its end,
 * found by bisection, the scheme's own state included. One of the process: what becomes resident, sampled, less
 * what was before the first call; every byte asked for is written to. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_mem.h"

#define TURNS        200000u
#define TURNS_QUICK  20000u
#define HELD_BYTES   (16u << 20)
#define OBJECTS      400000u
#define SAMPLE_EVERY 100u
#define BISECT_TO    64u
#define NUMBER_BYTES 100

/* ---- resident bytes ---- */

static double resident(void)
{
    char text[NUMBER_BYTES] = "", *end;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) bench_die("/proc/self/statm can't be read");
    close(fd);
    (void)strtoul(text, &end, 10);
    return (double)strtoul(end, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
}

/* ---- bytes an object ---- */

static double objects_in_area(const struct mem_scheme *s, uint32_t size)
{
    double n = 0;
    if (!mem_open(s, HELD_BYTES, size)) return 0;
    while (s->get(size) != NULL)
        n++;
    return n > 0 ? HELD_BYTES / n : 0;
}

static double objects_resident(const struct mem_scheme *s, uint32_t size)
{
    double before = resident();
    for (unsigned i = 0; i < OBJECTS; i++)
        memset(s->get(size), 1, size);
    return (resident() - before) / OBJECTS;
}

void mem_bytes(const struct mem_scheme *s)
{
    static const uint32_t sizes[] = {16, 24, 64};
    char name[40];
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (sizes[i] < s->least || sizes[i] > s->most) continue;
        double bytes = s->process ? objects_resident(s, sizes[i]) : objects_in_area(s, sizes[i]);
        snprintf(name, sizeof name, "mem-bytes-%u", sizes[i]);
        if (bytes > 0) mem_figure(name, "bytes", bytes, "bytes/object");
    }
}

/* ---- footprint ---- */

static struct mem_run run;

/* The whole load; false: something was refused. Resident bytes are sampled into *most unless that is NULL. */
static bool do_load(const struct mem_scheme *s, const struct mem_load *load, unsigned turns, double *most)
{
    mem_run_begin(&run, s, load);
    for (unsigned i = 0; i < turns; i++) {
        struct mem_turn t = mem_run_next(&run);
        if (run.block[t.slot] != NULL) s->put(run.block[t.slot], run.size[t.slot]);
        void *block = s->get(t.size);
        if (block == NULL) return false;
        if (most != NULL) {
            memset(block, 1, t.size);
            double now = i % SAMPLE_EVERY == 0 ? resident() : 0;
            if (now > *most) *most = now;
        }
        mem_run_took(&run, t, block);
    }
    return true;
}

static size_t smallest_area(const struct mem_scheme *s, const struct mem_load *load, unsigned turns)
{
    size_t too_small = 0, enough = MEM_AREA_BYTES;
    while (enough - too_small > BISECT_TO) {
        size_t middle = (too_small + enough) / 2;
        if (mem_open(s, middle, load->most) && do_load(s, load, turns, NULL))
            enough = middle;
        else
            too_small = middle;
    }
    if (!mem_open(s, enough, load->most) || !do_load(s, load, turns, NULL)) return 0;
    return enough;
}

static double peak_resident(const struct mem_scheme *s, const struct mem_load *load, unsigned turns)
{
    memset(&run, 1, sizeof run); /* resident before */
    double before = resident(), most = before;
    (void)do_load(s, load, turns, &most);
    return most - before;
}

static void footprint_of(const struct mem_scheme *s, const struct mem_load *load, unsigned turns)
{
    char name[40];
    double bytes = s->process ? peak_resident(s, load, turns) : (double)smallest_area(s, load, turns);
    snprintf(name, sizeof name, "mem-%s-footprint", load->name);
    if (bytes > 0)
        mem_figure(name, s->process ? "peak resident" : "smallest area", bytes / (double)run.peak_bytes,
                   "of peak live bytes");
}

void mem_footprint(const struct mem_scheme *s, bool quick)
{
    for (unsigned i = 0; i < MEM_LOADS; i++) {
        fflush(stdout);
        pid_t pid = fork(); /* each begins with an untouched heap */
        if (pid == 0) {
            if (mem_serves(s, &mem_loads[i])) footprint_of(s, &mem_loads[i], quick ? TURNS_QUICK : TURNS);
            fflush(stdout);
            _exit(0);
        }
        if (pid > 0) waitpid(pid, NULL, 0);
    }
}
