/* main.c: the `weir` command. */
#include "commands.h"

#include <argp.h>
#include <stdio.h>
#include <string.h>

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} command_table[] = {
    {"serve", weir_cmd_serve, "serve files over HTTP on a TAP device"},
    {"plan", weir_cmd_plan, "print the bytes that an instance takes"},
    {"selftest", weir_cmd_selftest, "transfer bytes between two instances in this process"},
};

#define COMMANDS (sizeof(command_table) / sizeof(command_table[0]))

static void print_usage(FILE *out)
{
    fputs("Usage: weir COMMAND [OPTION...]\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", command_table[i].name, command_table[i].what);
    fputs("\n`weir COMMAND --help' tells a command's options, `weir --version' the version.\n", out);
}

static int run(const struct command *c, int argc, char **argv)
{
    char name[32];
    snprintf(name, sizeof(name), "weir %s", c->name);
    argv[0] = name; /* what argp says in its messages */
    return c->run(argc, argv);
}

int main(int argc, char **argv)
{
    argp_err_exit_status = 2;
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("weir " WEIR_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], command_table[i].name) == 0) return run(&command_table[i], argc - 1, argv + 1);
    }
    fprintf(stderr, "weir: %s is no command; `weir --help' lists them\n", argv[1]);
    return 2;
}
