/* script_world.h: the state behind script.h, for script.c and script_app.c only. */
#ifndef WEIR_TEST_SCRIPT_WORLD_H
#define WEIR_TEST_SCRIPT_WORLD_H

#include "script.h"

#define SCRIPT_CAPTURED      2048u
#define SCRIPT_IDS           512u
#define SCRIPT_LOG_LINES     80u
#define SCRIPT_LOG_BYTES     128u
#define SCRIPT_TRACE_DEFAULT 40u
#define SCRIPT_CANARY        0xc5
#define SCRIPT_BEHIND        8u /* bytes behind the plan's that must stay as they are */

struct script_events {
    weir_id id;
    uint32_t mask;
};

struct script_world {
    const char *name, *file;
    int line; /* of the script, where a function was last called with one */
    struct weir_sim sim;
    struct segdev dev;
    struct weir_config conf;
    struct weir *w;
    void *memory;
    size_t bytes; /* of the plan; canaries lie behind */
    weir_id listener;
    bool no_arp;

    struct flow flow[SCRIPT_FLOWS];
    unsigned at; /* the flow that the script talks about */

    struct seg *seg; /* SCRIPT_CAPTURED of them: a ring of what was sent and not yet expected */
    unsigned seg_head, seg_n;
    unsigned icmp;
    char broken[240]; /* the first rule that a sent segment broke */

    struct script_events ev[SCRIPT_IDS];
    unsigned n_ev;

    char log[SCRIPT_LOG_LINES][SCRIPT_LOG_BYTES];
    unsigned logged;
};

extern struct script_world world;

/* check_eq for the runner itself: told with the line of the script. */
#define INNER_EQ(a, b) script_check(0, #a " == " #b, (int64_t)(a), (int64_t)(b), (int64_t)(b))

/* Adds a line to what a failure prints. */
void script_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The bases of relative numbers in segments that the stack sends, or that are sent to it. */
struct segbase script_base(const struct flow *, bool to_stack);

/* Looks at a segment that the stack has sent: learns from it, and checks what always holds. */
void script_watch(struct flow *, const struct seg *);

void script_close_all(void);

#endif
