/* bench_report.c: figures kept, then printed as JSON lines or as a table. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define FIGURES_MAX 1024
#define TEXT_BYTES  40

static struct figure {
    char name[TEXT_BYTES], variant[TEXT_BYTES], metric[TEXT_BYTES], unit[TEXT_BYTES];
    double value;
    bool printed;
} figure[FIGURES_MAX];
static unsigned figures;

void bench_emit(const char *name, const char *variant, const char *metric, double value, const char *unit)
{
    if (figures == FIGURES_MAX) bench_die("more figures than there is room for");
    struct figure *f = &figure[figures++];
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->variant, sizeof f->variant, "%s", variant);
    snprintf(f->metric, sizeof f->metric, "%s", metric);
    snprintf(f->unit, sizeof f->unit, "%s", unit);
    f->value = value;
}

static void print_json(void)
{
    for (const struct figure *f = figure; f < figure + figures; f++)
        printf("{\"name\": \"%s\", \"variant\": \"%s\", \"metric\": \"%s\", \"value\": %.6g, \"unit\": "
               "\"%s\"}\n",
               f->name, f->variant, f->metric, f->value, f->unit);
}

static bool side_by_side(const struct figure *a, const struct figure *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->metric, b->metric) == 0 &&
           strcmp(a->unit, b->unit) == 0;
}

/* The first variant of a row is the one that the others are divided by. */
static void print_row(const struct figure *first)
{
    printf("%-18s %-22s", first->name, first->unit);
    for (struct figure *f = figure; f < figure + figures; f++) {
        if (f->printed || !side_by_side(first, f)) continue;
        printf("  %s %.4g", f->variant, f->value);
        if (f != first && first->value > 0) printf(" (%.2fx)", f->value / first->value);
        f->printed = true;
    }
    putchar('\n');
}

bool bench_print(bool json)
{
    if (json)
        print_json();
    else
        for (struct figure *f = figure; f < figure + figures; f++)
            if (!f->printed) print_row(f);
    return fflush(stdout) == 0 && !ferror(stdout);
}

static void say(const char *before, const char *format, va_list args)
{
    fputs(before, stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void bench_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("weir-bench: ", format, args);
    va_end(args);
}

void bench_progress(const char *format, ...)
{
    if (!isatty(STDERR_FILENO)) return;
    va_list args;
    va_start(args, format);
    say("  ", format, args);
    va_end(args);
}

void bench_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("weir-bench: ", format, args);
    va_end(args);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *value, unsigned n)
{
    qsort(value, n, sizeof *value, by_value);
    return n % 2 != 0 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2;
}

double bench_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
