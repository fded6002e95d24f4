/* bench_main.c: the program weir-bench: options, then the counted part and the timed part. Under callgrind it
 * runs the counted sections alone; see bench_count.c. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const struct {
    const char *name, *what;
} known[] = {
#define BENCH_ROW(id, text, what) {text, what},
    BENCH_MAP(BENCH_ROW)
#undef BENCH_ROW
};

static void usage(FILE *f)
{
    fputs(
        "usage: weir-bench [--json] [--list] [--quick] [NAME...]\n\n"
        "Runs the benchmarks that are named, or all, each beside its peers: instructions under callgrind,\n"
        "then times, interleaved, with real connections in a network namespace of its own.\n\n"
        "  --json   one object a line: name, variant, metric, value, unit\n"
        "  --list   the names and what they mean\n"
        "  --quick  a tenth of the work: for a look, not for figures\n"
        "  --beside FILE.so  `mem` also measures what this shared object has: mem_beside_open(base, bytes),\n"
        "           0 if it can't, mem_beside_get(bytes), mem_beside_put(block)\n"
        "  --only NAME  of `mem` this scheme or allocator alone\n"
        "  --help   this text\n\n"
        "Exit status: 0, 1 when something failed, 2 for wrong usage. What can't be measured here is left\n"
        "out, with a sentence on stderr.\n",
        f);
}

static void list(void)
{
    for (unsigned i = 0; i < BENCH_NAMES; i++)
        printf("%-8s %s\n", known[i].name, known[i].what);
}

static void want(struct bench_options *o, const char *name)
{
    for (unsigned i = 0; i < BENCH_NAMES; i++) {
        if (strcmp(known[i].name, name) == 0) {
            o->wanted[i] = true;
            return;
        }
    }
    fprintf(stderr, "weir-bench: no benchmark is named %s; --list tells the names\n", name);
    exit(2);
}

static void read_options(struct bench_options *o, int argc, char **argv)
{
    static const struct option table[] = {
        {"json", 0, NULL, 'j'},   {"list", 0, NULL, 'l'}, {"quick", 0, NULL, 'q'}, {"subject", 1, NULL, 's'},
        {"beside", 1, NULL, 'b'}, {"only", 1, NULL, 'o'}, {"help", 0, NULL, 'h'},  {0}};
    bool listed = false;
    for (int c; (c = getopt_long(argc, argv, "h", table, NULL)) != -1;) {
        if (c == 'j')
            o->json = true;
        else if (c == 'q')
            o->quick = true;
        else if (c == 'l')
            listed = true;
        else if (c == 's') /* by this program for itself: see bench_mem.c */
            o->subject = optarg;
        else if (c == 'b')
            o->beside = optarg;
        else if (c == 'o')
            o->only = optarg;
        else {
            usage(c == 'h' ? stdout : stderr);
            exit(c == 'h' ? 0 : 2);
        }
    }
    for (int i = optind; i < argc; i++)
        want(o, argv[i]);
    for (unsigned i = 0; optind == argc && i < BENCH_NAMES; i++)
        o->wanted[i] = true;
    if (listed) {
        list();
        exit(0);
    }
}

int main(int argc, char **argv)
{
    struct bench_options o = {0};
    read_options(&o, argc, argv);
    if (o.subject != NULL) {
        bench_mem_subject(&o);
        return 0;
    }
    if (bench_counting()) {
        bench_cells_counted(&o);
        bench_zbuf_counted(&o);
        bench_traffic_counted(&o);
        return 0;
    }
    bench_progress("counting instructions");
    (void)bench_count_again(&o);
    bench_zbuf_timed(&o);
    bench_traffic_timed(&o);
    bench_mem(&o);
    return bench_print(o.json) ? 0 : 1;
}
