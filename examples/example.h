/* example.h: what each example does first and last: options, memory, an instance on a TAP device, a listener,
 * signals; and in the end the ledger. */
#ifndef WEIR_EXAMPLE_H
#define WEIR_EXAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weir/weir.h>

#define EXAMPLE_CONNS                                                                                        \
    1024 /* connections of the instance; each can be told by a number of 1 to EXAMPLE_CONNS */
#define EXAMPLE_LOOK_US 1000000 /* how long to sleep at most: so soon it is seen that the device is gone */

/* Reads --dev tap:NAME --addr CIDR [--host CIDR] [--port N] [--fault loss=P,...], and --to ADDR:PORT if `to`
 * isn't NULL, starts an instance and listens. If it can't, ends the program with one sentence, with status 2
 * for wrong usage and 1 for all else. */
struct weir *example_start(int argc, char **argv, const char *port, struct weir_addr *to, weir_id *listener);

/* Whether to go on after weir_poll returned n: false after SIGINT and SIGTERM, on an error, and when the
 * device is gone. */
bool example_goes_on(int n);

/* Stops the instance and prints one line, what was copied and what not. The program's exit status: 0, or 1
 * with one sentence when it was an error that ended it, or zbufs are still held. */
int example_end(void);

#endif
