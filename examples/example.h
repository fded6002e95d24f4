/* example.h: what each example does first: options, memory, an instance on a TAP device, a listener, signals.
 */
#ifndef WEIR_EXAMPLE_H
#define WEIR_EXAMPLE_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <weir/weir.h>

#define EXAMPLE_CONNS                                                                                        \
    1024 /* connections of the instance; each can be told by a number of 1 to EXAMPLE_CONNS */

/* Reads --dev tap:NAME --addr CIDR [--host CIDR] [--port N], and --to ADDR:PORT if `to` isn't NULL, starts an
 * instance and listens. Ends the program with a sentence if it can't, with status 2 for wrong usage. SIGINT
 * and SIGTERM then set example_stopping and wake the instance. */
struct weir *example_start(int argc, char **argv, const char *port, struct weir_addr *to, weir_id *listener);

extern volatile sig_atomic_t example_stopping;

#endif
