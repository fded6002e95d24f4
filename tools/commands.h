/* commands.h: the subcommands of `weir`. Each returns the program's exit status: 0, 1 for an error told in
 * one sentence; wrong usage ends the program with 2. */
#ifndef WEIR_TOOLS_COMMANDS_H
#define WEIR_TOOLS_COMMANDS_H

int weir_cmd_serve(int argc, char **argv);
int weir_cmd_plan(int argc, char **argv);
int weir_cmd_selftest(int argc, char **argv);

#endif
