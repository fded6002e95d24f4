/* bench_count.c: counting instructions with callgrind.
 *
 * Theory of operation. The program starts itself under `valgrind --tool=callgrind --collect-atstart=no`. That
 * child runs the sections; each ends with a dump, a file of its own in a directory of the parent:
 *
 *     desc: Trigger: Client Request: s;NAME,VARIANT,UNIT,UNITS,N    a sum, with N pauses in it
 *                                    p;... N pauses alone
 *                                    h;... the loop alone, for each l;... a loop with a call in it; a name
 *                                    is a number of instructions that the loop alone had in place of a call
 *     desc: Trigger: Client Request: c;NAME,VARIANT,FUNCTION;...    or calls
 *     fn=(12) caller            a name stands once, with its number
 *     cfn=(7) weir_zalloc
 *     calls=2000 17             the next line ends in the instructions inside, `ret` included
 *     9 46000
 *     totals: 1234567
 *
 * What a function costs inside is its own instructions and those of what it calls, not the caller's `call`.
 * callgrind (3.19) forgets which functions it is in after a dump, so figures by function come from a child
 * of their own with one section, and which is instrumented from that section on: calls are counted also where
 * instructions are not collected, and those before would be too many. Sums are right in every section.
 *
 * A pause costs what is executed before collection is off, and after it is on again. The child first makes a
 * section of pauses alone, which says how much that is; it is taken off each sum for each pause in it. */
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
#define RUNNING_ON_VALGRIND             0
#define CALLGRIND_START_INSTRUMENTATION ((void)0)
#define CALLGRIND_TOGGLE_COLLECT        ((void)0)
#define CALLGRIND_DUMP_STATS_AT(text)   ((void)(text))
#endif

#define LABEL_BYTES 400
#define LINE_BYTES  1024
#define PATH_BYTES  512
#define DUMPS_MAX   256
#define WHO         "Client Request: "
#define PAUSES      10000u

extern char **environ;

static bool open_section, collecting;
static unsigned long long pauses; /* in this section */

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
    pauses++;
}

void bench_begin(void)
{
    CALLGRIND_START_INSTRUMENTATION; /* nothing new but where calls are counted */
    open_section = true;
    pauses = 0;
    bench_resume();
}

void bench_stop(void)
{
    bench_pause();
    open_section = false;
}

static void dump_sum(char kind, const char *name, const char *variant, const char *unit, double units)
{
    char label[LABEL_BYTES];
    bench_stop();
    snprintf(label, sizeof label, "%c;%s,%s,%s,%.0f,%llu", kind, name, variant, unit, units, pauses);
    CALLGRIND_DUMP_STATS_AT(label);
}

void bench_end(const char *name, const char *variant, const char *unit, double units)
{
    dump_sum('s', name, variant, unit, units);
}

void bench_count_pauses(void)
{
    bench_begin();
    for (unsigned i = 0;;) {
        bench_pause();
        if (++i == PAUSES) break;
        bench_resume();
    }
    dump_sum('p', "", "", "", PAUSES);
}

void bench_end_turns(const char *name, const char *variant, const char *unit, double turns)
{
    dump_sum(name[0] == '\0' ? 'h' : 'l', name, variant, unit, turns);
}

void bench_end_loop(const char *name, const char *variant, double turns)
{
    bench_end_turns(name, variant, "instructions/call", turns);
}

void bench_end_hollow(unsigned inside, double turns)
{
    char text[16];
    snprintf(text, sizeof text, "%u", inside);
    dump_sum('h', text, "", "instructions/call", turns);
}

void bench_end_calls(const struct bench_call *call, unsigned n)
{
    char label[LABEL_BYTES] = "c";
    bench_stop();
    for (unsigned i = 0; i < n; i++) {
        size_t at = strlen(label);
        snprintf(label + at, sizeof label - at, ";%s,%s,%s", call[i].name, call[i].variant, call[i].function);
    }
    CALLGRIND_DUMP_STATS_AT(label);
}

/* ---- the parent: reading dumps ---- */

struct called {
    char *name, *variant, *function; /* into the label */
    double inside, calls;
    long id; /* the function's number, -1: not seen */
};

struct dump {
    char label[LABEL_BYTES], kind;
    char *name, *variant, *unit; /* of a sum, into the label */
    double units, total, pauses;
    struct called call[BENCH_CALLS_MAX];
    unsigned n_calls;
    struct called *at; /* the function of the last cfn= line, if it is one of these */
    double counts;     /* of the calls= line before this one, if it was to `at` */
};

static void read_calls(struct dump *d, char *rest)
{
    for (char *part; d->n_calls < BENCH_CALLS_MAX && (part = strsep(&rest, ";")) != NULL;) {
        struct called *c = &d->call[d->n_calls++];
        c->id = -1;
        c->name = strsep(&part, ",");
        c->variant = strsep(&part, ",");
        c->function = part != NULL ? part : "";
    }
}

static void read_sum(struct dump *d, char *rest)
{
    d->name = strsep(&rest, ",");
    d->variant = strsep(&rest, ",");
    d->unit = strsep(&rest, ",");
    const char *units = strsep(&rest, ",");
    d->units = units != NULL ? strtod(units, NULL) : 0;
    d->pauses = rest != NULL ? strtod(rest, NULL) : 0;
}

static bool read_label(struct dump *d, const char *line)
{
    const char *at = strstr(line, WHO);
    if (at == NULL) return false;
    snprintf(d->label, sizeof d->label, "%s", at + strlen(WHO));
    d->label[strcspn(d->label, "\n")] = '\0';
    d->kind = d->label[0];
    if (d->kind == 'c')
        read_calls(d, d->label + 2);
    else if (d->kind != '\0')
        read_sum(d, d->label + 2);
    return true;
}

/* A function with its number, "(7) weir_zalloc", or the number alone: one of those asked for, or NULL. */
static struct called *find_called(struct dump *d, const char *text)
{
    char *end;
    if (*text != '(') return NULL;
    long id = strtol(text + 1, &end, 10);
    for (struct called *c = d->call; c < d->call + d->n_calls; c++) {
        size_t n = strlen(c->function);
        bool named = end[0] == ')' && end[1] == ' ' && strncmp(end + 2, c->function, n) == 0 &&
                     (end[2 + n] == '\n' || end[2 + n] == '@');
        if (named) c->id = id;
        if (c->id == id) return c;
    }
    return NULL;
}

static void read_line(struct dump *d, const char *line)
{
    if (d->counts > 0) {
        const char *cost = strrchr(line, ' ');
        d->at->calls += d->counts;
        d->at->inside += cost != NULL ? strtod(cost, NULL) : 0;
        d->counts = 0;
    } else if (strncmp(line, "fn=", 3) == 0)
        (void)find_called(d, line + 3);
    else if (strncmp(line, "cfn=", 4) == 0)
        d->at = find_called(d, line + 4);
    else if (strncmp(line, "calls=", 6) == 0 && d->at != NULL)
        d->counts = strtod(line + 6, NULL);
    else if (strncmp(line, "totals:", 7) == 0)
        d->total = strtod(line + 7, NULL);
}

static void emit(const char *name, const char *variant, const char *unit, double sum, double units)
{
    if (units > 0 && sum > 0)
        bench_emit(name, variant, "instructions", sum / units, unit);
    else
        bench_note("%s, %s: nothing was counted", name, variant);
}

static void emit_dump(const struct dump *d)
{
    static double loop, pause; /* instructions of a turn without a call, and of a pause */
    if (d->kind == 'p') pause = d->units > 0 ? d->total / d->units : 0;
    if (d->kind == 'h') loop = d->units > 0 ? d->total / d->units - strtod(d->name, NULL) : 0;
    if (d->kind == 's') emit(d->name, d->variant, d->unit, d->total - pause * d->pauses, d->units);
    if (d->kind == 'l') emit(d->name, d->variant, d->unit, d->total - loop * d->units, d->units);
    for (const struct called *c = d->call; c < d->call + d->n_calls; c++)
        emit(c->name, c->variant, "instructions/call", c->inside, c->calls);
}

static void read_dump(const char *path)
{
    struct dump d = {0};
    char line[LINE_BYTES];
    bool labelled = false;
    FILE *f = fopen(path, "r");
    if (f == NULL) return;
    while (fgets(line, sizeof line, f) != NULL) {
        if (labelled)
            read_line(&d, line);
        else
            labelled = read_label(&d, line);
    }
    fclose(f);
    if (labelled) emit_dump(&d);
}

/* Reads the dumps in the order in which they were made, and removes them. */
static void read_dumps(const char *prefix, bool good)
{
    char path[PATH_BYTES + 16];
    for (int i = 1; i <= DUMPS_MAX; i++) {
        snprintf(path, sizeof path, "%s.%d", prefix, i);
        if (access(path, R_OK) != 0) break;
        if (good) read_dump(path);
        unlink(path);
    }
    unlink(prefix);
}

/* ---- the parent: running the child ---- */

static int run_valgrind(char **argv)
{
    pid_t pid;
    int status = -1;
    if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0) return -1;
    if (waitpid(pid, &status, 0) != pid) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What a child is for. */
enum part { BY_FUNCTION, SUMS, SUBJECT };

static enum part part_of(unsigned name)
{
    return name == BENCH_POOL ? BY_FUNCTION : name == BENCH_MEM ? SUBJECT : SUMS;
}

/* argv of the child: those benchmarks that are wanted and counted this way. 0: none. */
static unsigned child_words(const struct bench_options *o, enum part part, char **argv)
{
    static char *const name[] = {
#define BENCH_TEXT(id, text, what) text,
        BENCH_MAP(BENCH_TEXT)
#undef BENCH_TEXT
    };
    static char words[4][PATH_BYTES] = {"--subject", "", "--beside", ""};
    unsigned n = 0, named = 0;
    if (o->quick) argv[n++] = "--quick";
    for (unsigned i = 0; part == SUBJECT && i < 4; i += 2) {
        const char *value = i == 0 ? o->subject : o->beside;
        if (value == NULL) continue;
        snprintf(words[i + 1], PATH_BYTES, "%s", value);
        argv[n++] = words[i];
        argv[n++] = words[i + 1];
    }
    for (unsigned i = 0; i < BENCH_NAMES; i++)
        if (o->wanted[i] && part_of(i) == part) argv[n + named++] = name[i];
    argv[n + named] = NULL;
    return named;
}

static bool run_part(const char *prefix, const struct bench_options *o, enum part part)
{
    char self[PATH_BYTES], out[PATH_BYTES + 32];
    char *argv[BENCH_NAMES + 13] = {"valgrind",
                                    "-q",
                                    "--tool=callgrind",
                                    "--collect-atstart=no",
                                    part == BY_FUNCTION ? "--instr-atstart=no" : "--instr-atstart=yes",
                                    out,
                                    self};
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (child_words(o, part, argv + 7) == 0) return true;
    if (length < 0) return false;
    self[length] = '\0';
    snprintf(out, sizeof out, "--callgrind-out-file=%s", prefix);
    bool good = run_valgrind(argv) == 0;
    read_dumps(prefix, good);
    return good;
}

static bool count_in(const char *tmp, const struct bench_options *o, enum part first, enum part last)
{
    char dir[PATH_BYTES - 8], prefix[PATH_BYTES];
    snprintf(dir, sizeof dir, "%s/weir-bench-XXXXXX", tmp);
    if (mkdtemp(dir) == NULL) {
        bench_note("no instruction counts: no directory can be made in %s", tmp);
        return false;
    }
    snprintf(prefix, sizeof prefix, "%s/out", dir);
    bool good = true;
    for (enum part part = first; good && part <= last; part++)
        good = run_part(prefix, o, part);
    if (!good) bench_note("no instruction counts: valgrind is not installed, or failed");
    rmdir(dir);
    return good;
}

static bool count_parts(const struct bench_options *o, enum part first, enum part last)
{
#ifdef BENCH_HAVE_VALGRIND
    const char *tmp = getenv("TMPDIR");
    return count_in(tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp", o, first, last);
#else
    (void)count_in, (void)o, (void)first, (void)last;
    bench_note("no instruction counts: built without valgrind's headers");
    return false;
#endif
}

bool bench_count_again(const struct bench_options *o)
{
    return count_parts(o, BY_FUNCTION, SUMS);
}

bool bench_count_subject(const struct bench_options *o, const char *preload)
{
    if (preload != NULL) setenv("LD_PRELOAD", preload, 1);
    bool good = count_parts(o, SUBJECT, SUBJECT);
    if (preload != NULL) unsetenv("LD_PRELOAD");
    return good;
}
