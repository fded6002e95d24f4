/* simnet.h: for tests only. Two instances joined by a pair, in virtual time, in one process and one thread;
 * and the ends of connections between them, which send and check numbered bytes.
 *
 * Nothing here looks at the clock of the machine. Every wait is bounded: a step in which the clock stands
 * still too often, or a time that passes without the expected, fails the test that runs. Ends go by events
 * alone, so that an event that is lost or never armed shows as a transfer that stops. */
#ifndef SIMNET_H
#define SIMNET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "stack/stack.h"
#include "weir/fault.h"
#include "weir/pair.h"
#include "weir/weir.h"

#define SIMNET_EVENTS  16    /* events a poll at most */
#define SIMNET_ENDS    128   /* ends that events are told to */
#define SIMNET_CANARY  64    /* bytes behind each area that must stay as they are */
#define SIMNET_SCRATCH 65536 /* bytes of ordinary memory from which copied writes come */
#define SIMNET_PORT    7000
#define SECOND_US      1000000u

struct simnet_conf {
    struct weir_config stack[2];
    uint64_t seed, start_us;
    uint64_t delay_us, bits_per_s;
    uint32_t queue;    /* frames in flight one way */
    uint16_t offloads; /* of the cable */
    uint8_t async;
    int batch;                    /* events a poll, 0: SIMNET_EVENTS */
    bool gateway;                 /* side 1 reaches every other network through side 0 */
    bool check;                   /* weir_stack_check of both after every step */
    struct weir_fault_conf fault; /* all zero: no wrapper */
};

struct simend;

struct simnet {
    struct weir_sim sim;
    struct weir *w[2];
    struct weir_event ev[2][SIMNET_EVENTS]; /* what the last step told */
    int n_ev[2];
    struct simend *end[SIMNET_ENDS];
    weir_id listener[2];
    uint32_t in_hand; /* zbufs that ends hold to write from */
    struct simnet_conf conf;
    unsigned standing; /* steps since the clock moved */
    struct weir_pair pair;
    struct weir_fault fault;
    void *pair_memory;
    uint8_t *area[2];
    size_t area_bytes[2];
    uint8_t scratch[SIMNET_SCRATCH];
};

enum simnet_write { WRITE_REF, WRITE_COPY, WRITE_MIXED };

/* Numbered bytes: the same tag and offset give the same byte. */
struct simflow {
    uint32_t tag;
    uint64_t total, done;
};

/* One end of a connection. The test sets flows and ways after simnet_join; ready gathers what events told. */
struct simend {
    struct simnet *net;
    struct weir *w;
    weir_id id;
    int side;
    struct simflow out, in;
    enum simnet_write how;
    uint32_t chunk; /* bytes of a write */
    bool by_recv;   /* read by weir_recv instead of weir_read */
    bool keep_open; /* do not shut down after the last byte */
    unsigned ready; /* enum weir_ev, not yet used up */
    unsigned seen;  /* enum weir_ev, ever */
    bool shut, eof;
    int error;      /* what a call failed with */
    uint8_t *piece; /* being written, by reference */
    uint32_t at, left;
};

/* A configuration of about 2 MiB with timers fit for tests, in this layout. */
void simnet_config(struct weir_config *, enum weir_zlayout);
/* The least that still works: a few dozen zbufs. */
void simnet_tiny(struct weir_config *, enum weir_zlayout);
/* Both instances with config, 50 us and 1 Gbit/s apart. */
struct simnet_conf simnet_defaults(void);

struct simnet *simnet_open(const struct simnet_conf *);
/* Stops both; zbufs that the application still held are returned in held[2] (NULL: there must be none). */
void simnet_close(struct simnet *, int held[2]);

/* Moves the clock to where the first of them has work, at most to until_us, polls both once and hands events
 * to the ends. false: until_us has come, and nothing is left to do at it. */
bool simnet_step(struct simnet *, uint64_t until_us);
/* Steps for so long. */
void simnet_run(struct simnet *, uint64_t us);
/* weir_stack_check of both. */
void simnet_check(const struct simnet *);

/* A listener on SIMNET_PORT of this side. */
void simnet_listen(struct simnet *, int side, const struct weir_opts *);
void simnet_addr(struct weir_addr *, int side, uint16_t port);
/* A connection from this side to the other one's listener; both ends are told events from here on. */
void simnet_join(struct simnet *, int from, const struct weir_opts *, struct simend *client,
                 struct simend *server);
/* No events any more for this end: its id was closed. */
void simend_leave(struct simend *);
/* Closes gracefully and leaves. */
void simend_close(struct simend *);

/* What is to be sent through a connection, both ways. */
void simend_plan(struct simend *a, struct simend *b, uint32_t tag, uint64_t a_to_b, uint64_t b_to_a);
/* Writes and reads what can be. */
void simend_pump(struct simend *);
/* All written, acknowledged FIN apart, all read to the end of the stream. */
bool simend_done(const struct simend *);
/* Steps and pumps all n ends until all are done; fails when that takes longer. */
void simnet_transfer(struct simnet *, struct simend *const *, unsigned n, uint64_t within_us);
/* One connection, so many bytes each way, closed at the end: the stack works. */
void simnet_proof(struct simnet *, uint32_t tag, uint64_t bytes);

void simflow_fill(const struct simflow *, uint64_t at, uint8_t *out, size_t n);
/* Fails the test at the first byte that differs. */
void simflow_check(const struct simflow *, uint64_t at, const uint8_t *p, size_t n);

struct weir_stats simnet_stats(const struct simnet *, int side);
struct weir_conn_info simend_info(const struct simend *);

/* Nothing is left but the warm segment: no connection, no zbuf, no descriptor, no record. */
void simnet_empty(struct simnet *);

#endif
