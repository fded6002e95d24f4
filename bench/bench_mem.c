/* bench_mem.c: the section `mem`: schemes of memory, Weir's and others, in one table.
 *
 * Theory of operation. Each subject is measured in processes of its own: this program starts itself with
 * `--subject NAME`, once under callgrind for sums of instructions (bench_mem_load.c, bench_mem_tree.c) and once
 * without, for single calls counted by the trap flag, bytes, footprints and times. Another library's malloc is
 * set as LD_PRELOAD for both, so it serves the process as it would serve a program; whether it really does is
 * asked first, in a process that looks where its malloc comes from. Inside, each measurement forks, so that none
 * begins with what another one left.
 *
 * The subject's process writes `name;metric;value;unit` a line; this one reads them from a pipe. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_mem.h"

#define PROBE      "WEIR_BENCH_PROBE"
#define LINE_BYTES 200
#define LIBS_MAX   3
#define PATH_BYTES 4096
#define OWN_LIB    "../lib/libweir-malloc.so" /* from where this program is */
#define BESIDE     "beside"

static const struct peer {
    const char *name, *part; /* part: of the file's name that its malloc comes from */
    const char *lib[LIBS_MAX];
} peers[] = {{"weir-malloc", "weir-malloc", {OWN_LIB}},
             {"glibc", "libc.so", {""}},
             {"mimalloc", "mimalloc", {"libmimalloc.so.2", "libmimalloc.so.3", "libmimalloc.so"}},
             {"jemalloc", "jemalloc", {"libjemalloc.so.2", "libjemalloc.so"}},
             {"tcmalloc", "tcmalloc", {"libtcmalloc_minimal.so.4", "libtcmalloc.so.4"}}};
#define PEERS (sizeof peers / sizeof peers[0])

/* ---- in the subject's process ---- */

void mem_figure(const char *name, const char *metric, double value, const char *unit)
{
    printf("%s;%s;%.10g;%s\n", name, metric, value, unit);
}

/* Whether this process's malloc is the peer's. */
static bool served_by(const struct peer *p)
{
    Dl_info from;
    void *function = dlsym(RTLD_DEFAULT, "malloc");
    return function != NULL && dladdr(function, &from) != 0 && strstr(from.dli_fname, p->part) != NULL;
}

static const struct mem_scheme *scheme_of(const struct bench_options *o)
{
    for (const struct peer *p = peers; p < peers + PEERS; p++)
        if (strcmp(p->name, o->subject) == 0) return served_by(p) ? &mem_process : NULL;
    if (o->beside != NULL && strcmp(o->subject, BESIDE) == 0) return mem_beside(o->beside);
    return mem_scheme_find(o->subject);
}

/* Runs a part in a process of its own; a part that dies leaves its figures out. */
static void apart(const struct mem_scheme *s, bool quick, void (*part)(const struct mem_scheme *, bool))
{
    int status = -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        part(s, quick);
        fflush(stdout);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        bench_note("%s: a part of its figures could not be measured", s->name);
}

static void bytes_apart(const struct mem_scheme *s, bool quick)
{
    (void)quick;
    mem_bytes(s);
}

void bench_mem_subject(const struct bench_options *o)
{
    const struct mem_scheme *s = scheme_of(o);
    if (getenv(PROBE) != NULL) exit(s != NULL ? 0 : 1);
    if (s == NULL) bench_die("no subject %s here", o->subject);
    if (bench_counting()) {
        mem_loads_counted(s, o->subject, o->quick);
        mem_trees_counted(s, o->subject, o->quick);
        return;
    }
    apart(s, o->quick, mem_worst);
    apart(s, o->quick, bytes_apart);
    apart(s, o->quick, mem_footprint);
    apart(s, o->quick, mem_trees_timed);
    apart(s, o->quick, mem_threads);
}

/* ---- in the first process ---- */

static void become_subject(const struct bench_options *o, const char *preload, bool probe)
{
    char *argv[] = {"weir-bench", "--subject", NULL, "mem", NULL, NULL, NULL, NULL};
    char subject[LINE_BYTES], beside[LINE_BYTES];
    unsigned n = 4;
    snprintf(subject, sizeof subject, "%s", o->subject);
    argv[2] = subject;
    if (o->quick) argv[n++] = "--quick";
    if (o->beside != NULL) {
        snprintf(beside, sizeof beside, "%s", o->beside);
        argv[n++] = "--beside";
        argv[n++] = beside;
    }
    if (preload[0] != '\0') setenv("LD_PRELOAD", preload, 1);
    if (probe) {
        setenv(PROBE, "1", 1);
        if (freopen("/dev/null", "w", stderr) == NULL) _exit(1); /* the dynamic linker's complaint */
    }
    execv("/proc/self/exe", argv);
    _exit(1);
}

static bool probe(const struct bench_options *o, const char *preload)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) become_subject(o, preload, true);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void read_figure(const char *variant, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    const char *name = strsep(&line, ";"), *metric = strsep(&line, ";"), *value = strsep(&line, ";");
    if (line != NULL) bench_emit(name, variant, metric, strtod(value, NULL), line);
}

static void run_subject(const struct bench_options *o, const char *preload)
{
    int ends[2], status = -1;
    char line[LINE_BYTES];
    if (pipe2(ends, O_CLOEXEC) != 0) bench_die("no pipe");
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        become_subject(o, preload, false);
    }
    close(ends[1]);
    FILE *f = fdopen(ends[0], "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        read_figure(o->subject, line);
    if (f != NULL) fclose(f);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        bench_note("%s: it could not be measured to the end", o->subject);
}

static bool asked_for(const struct bench_options *o, const char *subject)
{
    return o->only == NULL || strcmp(o->only, subject) == 0;
}

static void measure(const struct bench_options *o, const char *subject, const char *preload)
{
    struct bench_options one = *o;
    one.subject = subject;
    if (!asked_for(o, subject)) return;
    bench_progress("mem, %s", subject);
    (void)bench_count_subject(&one, preload[0] != '\0' ? preload : NULL);
    run_subject(&one, preload);
}

/* Weir's own lies beside this program; the others are found by name. */
static const char *library_path(const char *lib)
{
    static char path[PATH_BYTES];
    if (strcmp(lib, OWN_LIB) != 0) return lib;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(path, '/');
    size_t at = slash != NULL ? (size_t)(slash + 1 - path) : 0;
    snprintf(path + at, sizeof path - at, "%s", lib);
    return path;
}

static void measure_peer(const struct bench_options *o, const struct peer *p)
{
    struct bench_options one = *o;
    one.subject = p->name;
    if (!asked_for(o, p->name)) return;
    for (unsigned i = 0; i < LIBS_MAX && p->lib[i] != NULL; i++) {
        const char *path = library_path(p->lib[i]);
        if (!probe(&one, path)) continue;
        measure(o, p->name, path);
        return;
    }
    bench_note("%s is left out: %s", p->name,
               p->lib[0] == NULL || p->lib[0][0] == '\0' ? "something else serves malloc here"
                                                         : "it is not installed");
}

void bench_mem(const struct bench_options *o)
{
    if (!o->wanted[BENCH_MEM]) return;
    for (unsigned i = 0; mem_scheme_at(i) != NULL; i++)
        measure(o, mem_scheme_at(i)->name, "");
    for (const struct peer *p = peers; p < peers + PEERS; p++)
        measure_peer(o, p);
    if (o->beside != NULL) measure(o, BESIDE, "");
}
