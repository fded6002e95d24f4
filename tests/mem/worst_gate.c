/* worst_gate.c: replays what the search for worst cases found, and fails when one of them has become dearer.
 *
 *     worst_gate FINDS             the gate: each find may take 3 % more instructions than the file says
 *     worst_gate --merge FINDS     candidates of worst_search from stdin: counts them and those of the file, and
 *                                  writes the dearest of each scheme and call to stdout
 *     worst_gate --recount FINDS   writes the file with the counts of this compiler made anew
 *
 * A line of the file: scheme, call, compiler=count one or more times, `:`, operations of which the last is the
 * one counted. A count holds for one compiler's major version and the release preset; a find without a count for
 * the compiler of this build is replayed, told and not judged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_step.h"
#include "worst_ops.h"
#include "worst_toy.h"

#define TOLERANCE_PERCENT 3u
#define FINDS_MAX         2000u
#define KEEP_A_GOAL       3u
#define TEXT_BYTES        (WORST_OPS_MAX * 8u + 300u)
#define COUNTS_BYTES      120u
#define SKIPPED           77

#define STRING2(x) #x
#define STRING(x)  STRING2(x)
#ifdef __clang__
#define COMPILER "clang-" STRING(__clang_major__)
#else
#define COMPILER "gcc-" STRING(__GNUC__)
#endif

struct find {
    const struct mem_scheme *s;
    char scheme[24], goal[16], counts[COUNTS_BYTES];
    struct worst_seq q;
    uint64_t count;
};

static struct find finds[FINDS_MAX];
static unsigned n_finds;

static void die(const char *what, const char *about)
{
    printf("failed: %s: %s\n", what, about);
    exit(1);
}

/* ---- the file ---- */

static bool read_find(struct find *f, const char *line)
{
    int at = 0;
    if (sscanf(line, "%23s %15s %n", f->scheme, f->goal, &at) != 2 || at == 0) return false;
    const char *ops = strchr(line + at, ':');
    if (ops == NULL || (size_t)(ops - line - at) >= sizeof f->counts) return false;
    memcpy(f->counts, line + at, (size_t)(ops - line - at));
    f->counts[ops - line - at] = '\0';
    f->s = worst_scheme(f->scheme);
    return f->s != NULL && worst_read(&f->q, ops + 1);
}

static void read_finds(const char *path)
{
    static char line[TEXT_BYTES];
    FILE *file = fopen(path, "r");
    if (file == NULL) die(path, "it can't be read");
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#' || line[0] == '\n') continue;
        if (n_finds == FINDS_MAX || !read_find(&finds[n_finds], line)) die("no find", line);
        n_finds++;
    }
    fclose(file);
}

/* The count that the file has for a compiler; 0: none. */
static uint64_t golden(const struct find *f, const char *compiler)
{
    const char *at = strstr(f->counts, compiler);
    size_t n = strlen(compiler);
    return at != NULL && at[n] == '=' ? strtoull(at + n + 1, NULL, 10) : 0;
}

/* ---- the gate ---- */

static bool dearer(uint64_t count, uint64_t before)
{
    return count * 100 > before * (100 + TOLERANCE_PERCENT);
}

/* Whether it is as it was. */
static bool judge(const struct find *f, uint64_t before)
{
    uint64_t count = worst_count(f->s, &f->q);
    bool good = count > 0 && !dearer(count, before);
    printf("%s: %s %s: %llu instructions, %llu by the file\n", good ? "ok" : "failed", f->scheme, f->goal,
           (unsigned long long)count, (unsigned long long)before);
    return good;
}

static bool gate(void)
{
    unsigned unknown = 0, bad = 0;
    for (const struct find *f = finds; f < finds + n_finds; f++) {
        uint64_t before = golden(f, COMPILER);
        if (before == 0)
            unknown++;
        else
            bad += !judge(f, before);
    }
    if (unknown > 0) printf("skipped: %u finds have no count for " COMPILER "\n", unknown);
    if (n_finds == 0) printf("failed: the file has no finds\n");
    if (unknown == n_finds && n_finds > 0) exit(SKIPPED);
    return n_finds > 0 && bad == 0;
}

/* The counter and the judge themselves: the toy's slow case made 10 % dearer must fail. */
static void canary(void)
{
    static struct find f;
    if (!read_find(&f, "toy get : a127 a782 a1024 f2 a33 a142 a24 a782")) die("canary", "it can't be read");
    uint64_t before = worst_count(f.s, &f.q), again = worst_count(f.s, &f.q);
    worst_toy_spins += worst_toy_spins / 10;
    uint64_t after = worst_count(f.s, &f.q);
    worst_toy_spins = 100;
    if (before < 200) die("canary", "the toy's slow case is not slow");
    if (before != again) die("canary", "two counts of one case differ");
    if (!dearer(after, before)) die("canary", "a tenth more was not noticed");
    printf("ok: canary: %llu, then %llu instructions\n", (unsigned long long)before,
           (unsigned long long)after);
}

/* ---- keeping ---- */

static void put_count(struct find *f, uint64_t count)
{
    char text[COUNTS_BYTES] = "", *rest = f->counts;
    size_t at = 0;
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        bool mine = strncmp(word, COMPILER "=", strlen(COMPILER "=")) == 0;
        if (*word == '\0' || mine || at + strlen(word) + 40 > sizeof text) continue;
        at += (size_t)snprintf(text + at, sizeof text - at, "%s ", word);
    }
    snprintf(text + at, sizeof text - at, COMPILER "=%llu ", (unsigned long long)count);
    memcpy(f->counts, text, sizeof text);
}

static void write_head(void)
{
    puts("# The worst cases that worst_search found, by scheme and call: compiler=instructions, operations. "
         "worst_gate replays\n"
         "# them in the release preset. New ones: cmake --build --preset release --target worst-finds. See "
         "docs/memory.");
}

static void write_find(struct find *f)
{
    static char ops[TEXT_BYTES];
    worst_write(&f->q, ops, sizeof ops);
    put_count(f, f->count);
    printf("%s %s %s: %s\n", f->scheme, f->goal, f->counts, ops);
}

static void read_candidates(void)
{
    static char line[TEXT_BYTES];
    while (n_finds < FINDS_MAX && fgets(line, sizeof line, stdin) != NULL) {
        struct find *f = &finds[n_finds];
        int at = 0;
        if (sscanf(line, "%23s %15s %*u %n", f->scheme, f->goal, &at) != 2 || at == 0)
            die("no candidate", line);
        f->s = worst_scheme(f->scheme);
        if (f->s == NULL || !worst_read(&f->q, line + at)) die("no candidate", line);
        n_finds++;
    }
}

/* By scheme and call, the dearest first, among equals the shorter. */
static int by_count(const void *a, const void *b)
{
    const struct find *x = a, *y = b;
    int order = strcmp(x->scheme, y->scheme);
    if (order == 0) order = strcmp(x->goal, y->goal);
    if (order == 0) order = (x->count < y->count) - (x->count > y->count);
    return order != 0 ? order : (x->q.n > y->q.n) - (x->q.n < y->q.n);
}

static void merge(void)
{
    unsigned kept = 0;
    write_head();
    read_candidates();
    for (struct find *f = finds; f < finds + n_finds; f++)
        f->count = worst_count(f->s, &f->q);
    qsort(finds, n_finds, sizeof finds[0], by_count);
    for (struct find *f = finds; f < finds + n_finds; f++) {
        const struct find *before = f == finds ? NULL : f - 1;
        bool same =
            before != NULL && strcmp(before->scheme, f->scheme) == 0 && strcmp(before->goal, f->goal) == 0;
        kept = same ? kept : 0;
        if (same && before->count == f->count) continue;
        if (kept++ < KEEP_A_GOAL) write_find(f);
    }
}

static void recount(void)
{
    write_head();
    for (struct find *f = finds; f < finds + n_finds; f++) {
        f->count = worst_count(f->s, &f->q);
        write_find(f);
    }
}

int main(int argc, char **argv)
{
    const char *why = NULL;
    if (argc < 2) {
        fputs("usage: worst_gate [--merge | --recount] FINDS\n", stderr);
        return 2;
    }
    if (!bench_step_open(&why)) {
        printf("skipped: %s\n", why);
        return SKIPPED;
    }
    read_finds(argv[argc - 1]);
    if (strcmp(argv[1], "--merge") == 0)
        merge();
    else if (strcmp(argv[1], "--recount") == 0)
        recount();
    else {
        canary();
        return gate() ? 0 : 1;
    }
    return 0;
}
