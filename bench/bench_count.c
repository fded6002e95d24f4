/* bench_count.c: counting instructions with callgrind.
 *
 * Theory of operation. The program starts itself under `valgrind --tool=callgrind --collect-atstart=no`. That
 * child runs the sections; each ends with a dump, a file of its own in a directory of the parent:
 *
 *     desc: Trigger: Client Request: NAME;VARIANT;UNIT;UNITS;FUNCTION
 *     fn=(12) caller            a name stands once, with its number
 *     cfn=(7) weir_zalloc
 *     calls=2000 17             the next line ends in the instructions inside, `ret` included
 *     9 46000
 *     totals: 1234567
 *
 * What a function costs inside is its own instructions, not the caller's `call`. Client requests inside a
 * section add about ten instructions a pause. */
#include <ctype.h>
#include <dirent.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#ifdef BENCH_HAVE_VALGRIND
#include <valgrind/callgrind.h>
#else
#define RUNNING_ON_VALGRIND           0
#define CALLGRIND_TOGGLE_COLLECT      ((void)0)
#define CALLGRIND_DUMP_STATS_AT(text) ((void)(text))
#endif

#define LABEL_BYTES 200
#define LINE_BYTES  1024
#define DUMPS_MAX   256
#define WHO         "Client Request: "

extern char **environ;

static bool open_section, collecting;

bool bench_counting(void)
{
    return RUNNING_ON_VALGRIND != 0;
}

void bench_resume(void)
{
    if (!open_section || collecting) return;
    collecting = true;
    CALLGRIND_TOGGLE_COLLECT;
}

void bench_pause(void)
{
    if (!collecting) return;
    CALLGRIND_TOGGLE_COLLECT;
    collecting = false;
}

void bench_begin(void)
{
    open_section = true;
    bench_resume();
}

void bench_stop(void)
{
    bench_pause();
    open_section = false;
}

static void end_section(const char *name, const char *variant, const char *unit, double units,
                        const char *function)
{
    char label[LABEL_BYTES];
    bench_stop();
    snprintf(label, sizeof label, "%s;%s;%s;%.0f;%s", name, variant, unit, units, function);
    CALLGRIND_DUMP_STATS_AT(label);
}

void bench_end(const char *name, const char *variant, const char *unit, double units)
{
    end_section(name, variant, unit, units, "");
}

void bench_end_of(const char *name, const char *variant, const char *unit, const char *function)
{
    end_section(name, variant, unit, 1, function);
}

/* ---- the parent ---- */

struct dump {
    char label[LABEL_BYTES];
    char *name, *variant, *unit, *function; /* into the label */
    double units, total, inside, calls;
    long id; /* the function's number, -1: not seen */
    bool labelled, called;
};

static bool read_label(struct dump *d, const char *line)
{
    const char *at = strstr(line, WHO);
    if (at == NULL) return false;
    snprintf(d->label, sizeof d->label, "%s", at + strlen(WHO));
    d->label[strcspn(d->label, "\n")] = '\0';
    char *rest = d->label, *units;
    d->name = strsep(&rest, ";");
    d->variant = strsep(&rest, ";");
    d->unit = strsep(&rest, ";");
    units = strsep(&rest, ";");
    d->function = rest;
    if (rest == NULL) return false;
    d->units = strtod(units, NULL);
    return true;
}

/* A name with its number, "(7) weir_zalloc", or the number alone; whether it is the function's. */
static bool is_function(struct dump *d, const char *text)
{
    char *end;
    if (*text != '(') return false;
    long id = strtol(text + 1, &end, 10);
    if (end[0] == ')' && end[1] == ' ') {
        const char *name = end + 2;
        size_t n = strlen(d->function);
        if (n > 0 && strncmp(name, d->function, n) == 0 && (name[n] == '\n' || name[n] == '\'')) d->id = id;
    }
    return id == d->id;
}

/* One line of the dump's body. `counts`: the calls on the line before, to the function. */
static void read_line(struct dump *d, const char *line, double *counts)
{
    if (*counts > 0) {
        const char *cost = strrchr(line, ' ');
        d->calls += *counts;
        d->inside += cost != NULL ? strtod(cost, NULL) : 0;
        *counts = 0;
        return;
    }
    if (strncmp(line, "fn=", 3) == 0)
        (void)is_function(d, line + 3);
    else if (strncmp(line, "cfn=", 4) == 0)
        d->called = is_function(d, line + 4);
    else if (strncmp(line, "calls=", 6) == 0 && d->called)
        *counts = strtod(line + 6, NULL);
    else if (strncmp(line, "totals:", 7) == 0)
        d->total = strtod(line + 7, NULL);
}

static void emit_dump(const struct dump *d)
{
    double units = d->function[0] != '\0' ? d->calls : d->units;
    double sum = d->function[0] != '\0' ? d->inside : d->total;
    if (units > 0 && sum > 0)
        bench_emit(d->name, d->variant, "instructions", sum / units, d->unit);
    else
        bench_note("%s, %s: nothing was counted", d->name, d->variant);
}

static void read_dump(const char *path)
{
    struct dump d = {.id = -1};
    char line[LINE_BYTES];
    double counts = 0;
    FILE *f = fopen(path, "r");
    if (f == NULL) return;
    while (fgets(line, sizeof line, f) != NULL) {
        if (!d.labelled)
            d.labelled = read_label(&d, line);
        else
            read_line(&d, line, &counts);
    }
    fclose(f);
    if (d.labelled) emit_dump(&d);
}

/* The dumps in the order in which they were made, or their removal. */
static void each_dump(const char *prefix, bool keep)
{
    char path[LINE_BYTES];
    for (int i = 1; i <= DUMPS_MAX; i++) {
        snprintf(path, sizeof path, "%s.%d", prefix, i);
        if (access(path, R_OK) != 0) break;
        if (keep)
            read_dump(path);
        else
            unlink(path);
    }
    if (!keep) unlink(prefix);
}

static int run_valgrind(char **argv)
{
    pid_t pid;
    int status = -1;
    if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0) return -1;
    if (waitpid(pid, &status, 0) != pid) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool count_into(const char *prefix, const struct bench_options *o)
{
    char self[LINE_BYTES], out[LINE_BYTES + 32];
    char *argv[BENCH_NAMES + 16];
    static char *const name[] = {
#define BENCH_TEXT(id, text, what) text,
        BENCH_MAP(BENCH_TEXT)
#undef BENCH_TEXT
    };
    unsigned n = 0;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) return false;
    self[length] = '\0';
    snprintf(out, sizeof out, "--callgrind-out-file=%s", prefix);
    argv[n++] = "valgrind";
    argv[n++] = "-q";
    argv[n++] = "--tool=callgrind";
    argv[n++] = "--collect-atstart=no";
    argv[n++] = out;
    argv[n++] = self;
    if (o->quick) argv[n++] = "--quick";
    for (unsigned i = 0; i < BENCH_NAMES; i++)
        if (o->wanted[i]) argv[n++] = name[i];
    argv[n] = NULL;
    return run_valgrind(argv) == 0;
}

bool bench_count_again(const struct bench_options *o)
{
#ifndef BENCH_HAVE_VALGRIND
    (void)o;
    bench_note("no instruction counts: built without valgrind's headers");
    return false;
#else
    const char *tmp = getenv("TMPDIR");
    char dir[LINE_BYTES / 2], prefix[LINE_BYTES / 2 + 8];
    snprintf(dir, sizeof dir, "%s/weir-bench-XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    if (mkdtemp(dir) == NULL) {
        bench_note("no instruction counts: no directory can be made in %s", tmp != NULL ? tmp : "/tmp");
        return false;
    }
    snprintf(prefix, sizeof prefix, "%s/out", dir);
    bool good = count_into(prefix, o);
    if (good)
        each_dump(prefix, true);
    else
        bench_note("no instruction counts: valgrind is not installed, or failed");
    each_dump(prefix, false);
    rmdir(dir);
    return good;
#endif
}
