/* stack.h: one instance: configuration, plan, receive pipeline, poll loop. This room alone knows all others.
 *
 * Theory of operation. Receive is a pipeline that the stack drives (rx.c): each stage returns a verdict, none
 * calls upward. After the burst every connection that owes something is visited once (weir_tcp_output_all),
 * then each device gets one burst. A poll does this until there is something to tell the application or
 * nothing is left to do, and then sleeps (poll.c).
 *
 * Every byte of it lies in the areas handed to weir_start; layout.c carves them, first to count and then to
 * place. */
#ifndef WEIR_STACK_H
#define WEIR_STACK_H

#include <stdatomic.h>

#include "tcp/tcp.h"
#include "weir/weir.h"

#define WEIR_AREAS_MAX 8u

/* What an interface needs besides struct weir_ifc: memory that layout.c places and attach.c hands out. */
struct weir_ifc_memory {
    struct weir_frame *tx_frame;
    struct weir_piece *tx_piece;
    struct weir_neigh_entry *neigh;
    uint32_t *neigh_bucket;
    struct weir_neigh_wait *neigh_wait;
};

struct weir {
    struct weir_config conf;
    const struct weir_plat *plat;
    struct weir_area area[WEIR_AREAS_MAX];
    uint32_t n_area;
    uint64_t now_us, ms_us; /* of the last pass; where the millisecond began in which it was */
    struct weir_zpool z;
    struct weir_ip ip;
    struct weir_tcp tcp;
    struct weir_stats stats;
    struct weir_sipkey neigh_key;
    struct weir_ifc_memory mem[WEIR_IFACES_MAX];
    struct weir_frame *rx; /* conf.rx_burst of them */
    uint32_t neigh_resolved[WEIR_IFACES_MAX];
    uint32_t zwait; /* mask of classes that the application waits for */
    bool more;      /* a device had more to give than one burst */
    bool wakes;     /* every device is synchronous and ends the sleep when it has something to give */
    bool never;     /* next_us is but the day that it is at most */
    bool scheduled; /* a device knows when it has work (next_us) */
    bool waited;    /* since wait_us, in the last poll */
    bool little;    /* less than SPARSE_BYTES had moved since the wait before it */
    bool sparse;    /* after that wait: the next poll sends before it receives */
    uint64_t wait_us;
    uint64_t moved;   /* bytes on the wire, both ways, until then */
    uint64_t next_us; /* with tcp.next_known: when timers or neighbours are due, at most a day ahead */
    uint32_t got;     /* frames of the last pass that found any, at most conf.rx_burst */
    uint32_t asked;   /* frames that this pass asks a device for */
    _Atomic uint32_t
        sleeping;           /* set before the last look at the list of given zbufs, cleared after the sleep */
    _Atomic uint32_t woken; /* weir_wake was called */
};

/* ---- layout.c ---- */
/* The rows of the plan in their order, made twice. *w gets the places. NULL while counting. false: refused or
 * too small. */
struct weir *weir_layout(struct weir *scratch, struct weir_carve *, const struct weir_config *);
/* ---- check.c ---- */
/* Every option against its range and the others; false: plan->option and plan->why are set. */
bool weir_check_config(const struct weir_config *, struct weir_plan *);
/* ---- rx.c ---- */
/* Posts what the device wants; false: it wants more than could be had. */
bool weir_rx_fill(struct weir *, struct weir_ifc *);
/* Takes one burst off every device. */
void weir_rx_all(struct weir *);
/* ---- zapi.c ---- */
/* Carries out the releases of other threads. */
void weir_drain_given(struct weir *);
/* Whether the memory event is due. */
bool weir_memory_due(const struct weir *);
/* The same; fills it in, and then it is told. */
bool weir_memory_event(struct weir *, struct weir_event *);
/* The ladder has another rung than was told. */
bool weir_pressure_due(const struct weir *);
bool weir_pressure_event(struct weir *, struct weir_event *);
/* ---- refs.c ---- */
typedef void (*weir_ref_fn)(void *ctx, enum weir_owner, const uint8_t *addr, uint32_t bytes);
/* Every reference of the stack but those that devices hold (POSTED, TXDEV), one call each. */
void weir_refs_walk(const struct weir *, weir_ref_fn, void *ctx);
/* For tests and debug builds: 0, or the number of a broken invariant of the whole instance:
 * 1 the pool, 2 a send queue, 3 a record list, 4 a receive queue, 5 counts and owners disagree, from 6
 * weir_tcp_check's, 20 strict.pinned_bytes. Cost: everything. */
int weir_stack_check(const struct weir *);

#endif
