/* conn.h: one TCP connection, one listener, one TIME-WAIT entry, and the tables that hold them.
 *
 * Connections are cells of an array, named by index inside the instance and by weir_id outside:
 *
 *     id   [ 31: listener | 30..20: generation, never 0 | 19..0: index ]
 *
 * Lists (dirty, ready, blocked, waiting for memory, accept) are threaded through the cells by index + 1, so
 * they need no memory of their own and are bounded by the number of connections.
 *
 * What may happen in which state is told where it happens: segments in tcp_input.c, timers in tcp_timer.c,
 * calls of the application in tcp_user.c. */
#ifndef WEIR_CONN_H
#define WEIR_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/siphash.h"
#include "base/wheel.h"
#include "ip/ip4.h"
#include "pkt/pbuf.h"
#include "tcp/cc.h"
#include "tcp/recvq.h"
#include "tcp/sendq.h"
#include "tcp/txrec.h"
#include "weir/weir.h"

#define WEIR_ID_LISTENER   0x80000000u
#define WEIR_ID_INDEX_BITS 20u
#define WEIR_ID_GEN_MASK   0x7ffu

enum weir_conn_flag {
    WEIR_C_DETACHED = 1 << 0,  /* the application has given the id up */
    WEIR_C_PASSIVE = 1 << 1,   /* came from a listener */
    WEIR_C_QUEUED = 1 << 2,    /* established and not yet accepted */
    WEIR_C_DIRTY = 1 << 3,     /* on the list of those that owe something */
    WEIR_C_READY = 1 << 4,     /* on the list of those with events */
    WEIR_C_BLOCKED = 1 << 5,   /* on the list of those that could not send */
    WEIR_C_MEMWAIT = 1 << 6,   /* on the list of those whose write found no memory */
    WEIR_C_ACK_NOW = 1 << 7,   /* an acknowledgement is owed at once */
    WEIR_C_ACK_LATER = 1 << 8, /* one is owed at delack_ms */
    WEIR_C_NODELAY = 1 << 9,
    WEIR_C_CORK = 1 << 10,
    WEIR_C_KEEPALIVE = 1 << 11,
    WEIR_C_TS = 1 << 12,       /* timestamps were negotiated */
    WEIR_C_FIN_SEEN = 1 << 13, /* the peer's FIN came; it stands at fin_seq */
    WEIR_C_FIN_READ = 1 << 14, /* rcv_nxt has passed it */
    WEIR_C_RECOVERY = 1 << 15, /* fast recovery until `recover` is acknowledged */
    WEIR_C_RTO = 1 << 16,      /* time-out recovery until `recover` is acknowledged */
    WEIR_C_FORCE = 1 << 17, /* the next segment goes out whatever the windows say (retransmission, probe) */
    WEIR_C_SENT_DUE = 1 << 18,  /* the application is to be told when all is acknowledged */
    WEIR_C_TIMING = 1 << 19,    /* retransmission or persist timer runs until rexmt_ms */
    WEIR_C_KEEPING = 1 << 20,   /* the long timer runs until keep_ms (keep-alive, FIN-WAIT-2, TIME-WAIT) */
    WEIR_C_ARM_READ = 1 << 21,  /* the next readable moment is told */
    WEIR_C_ARM_WRITE = 1 << 22, /* the next writable moment is told */
    WEIR_C_HASHED = 1 << 23,    /* in the table of connections */
    WEIR_C_PERSIST = 1 << 24,   /* the running timer is the persist timer */
    WEIR_C_HALF_OPEN = 1 << 25, /* counted in its listener's half_open */
    WEIR_C_SHUT = 1 << 26,      /* the last window told was 0 */
    WEIR_C_MEMCOPY = 1 << 27,   /* with MEMWAIT: the write needs a zbuf to copy into, not only a descriptor */
    WEIR_C_MEMPASS = 1 << 28,   /* with MEMWAIT: it passes a lent piece on, see weir_tcp_may_pass */
    WEIR_C_CUT = 1 << 29 /* the ladder has told a window up to rcv_told only, before rcv_adv or less than
                            was free */
};

/* One connection. The first part is what every segment touches. */
struct weir_conn {
    uint32_t id; /* 0: the cell is free, and hash_next links the free list */
    uint32_t hash_next;
    uint32_t laddr, raddr;
    uint16_t lport, rport;
    uint8_t state; /* enum weir_tcp_state */
    uint8_t ifc;   /* index of the interface it leaves by */
    uint16_t mss;  /* payload bytes of a full segment sent, without options */
    uint32_t flags;
    uint32_t rcv_nxt;
    uint32_t
        rcv_adv; /* right edge of the window as promised; never moves left. What comes before it is taken */
    uint32_t snd_wnd, snd_wl1, snd_wl2;
    uint32_t max_snd_wnd;
    uint32_t cwnd, ssthresh;
    uint32_t next_hop;
    uint32_t ts_recent; /* RFC 7323 4.3 */
    uint8_t snd_wscale, rcv_wscale;
    uint8_t dupacks;
    uint8_t retries;       /* time-outs in a row */
    struct weir_txlist tx; /* tx.una and tx.nxt are SND.UNA and SND.NXT, SYN and FIN included */
    struct weir_sendq sq;
    struct weir_recvq rq;

    /* Timers: deadlines in milliseconds, valid while their flag is set. One wheel entry a connection. */
    uint32_t rexmt_ms, delack_ms, keep_ms;
    uint32_t srtt_us, rttvar_us, rto_us; /* RFC 6298; srtt 0: no sample yet */
    uint32_t heard_ms;                   /* when the peer was last heard */
    uint32_t ts_recent_ms;               /* when ts_recent was set */
    uint32_t recover;                    /* RFC 6582 */
    struct weir_cc cc;

    uint32_t iss, irs;
    uint32_t fin_seq;       /* of the peer's FIN, with FIN_SEEN */
    uint32_t last_ack_sent; /* RFC 7323's Last.ACK.sent */
    uint32_t rcv_told;      /* right edge of the window as told last, with CUT */
    uint32_t ts_offset;
    uint32_t rcvbuf, sndbuf;
    uint32_t lent;    /* received bytes that the application holds */
    uint32_t unacked; /* received since an acknowledgement was sent */

    uint32_t listener; /* index + 1 of the listener, while not accepted */
    uint32_t dirty_next, ready_next, blocked_next, memwait_next, accept_next; /* index + 1 */
    uint32_t events;                                                          /* enum weir_ev, not yet told */
    int32_t error;
    uint16_t eff_mss, seg_max; /* weir_tcp_eff_mss and weir_tcp_segment_max, by weir_tcp_set_mss */
    uint64_t user;
    uint64_t tx_bytes_ref, tx_bytes_copied, rx_bytes;
    uint32_t retransmits, timeouts;
    uint8_t keep_probes;
    uint8_t probes;   /* zero-window probes sent since the window closed */
    uint8_t syn_opts; /* what the peer's SYN offered, enum weir_tcpopt */
    uint8_t fair;     /* what a write was refused for, fair.c's; 0: nothing */
    uint32_t progress,
        progress_ms;  /* acknowledged and read bytes when the ladder last saw them change, and when */
    uint32_t limited; /* of what is out, sent by limited transmit since an acknowledgement was new */
};

struct weir_listener {
    uint32_t id;   /* 0: free */
    uint32_t addr; /* 0: any */
    uint16_t port;
    uint16_t next_gen;
    uint32_t backlog;
    uint32_t half_open, queued;
    uint32_t accept_first, accept_last; /* connection index + 1 */
    uint32_t ready_next;                /* index + 1, its own ready list */
    uint32_t rcvbuf, sndbuf;
    uint64_t user;
    uint32_t cookie_ms; /* when the last cookie was given out, with cookies */
    uint8_t nodelay, keepalive, ready, cookies;
};

/* A connection in TIME-WAIT whose id was given up: enough to acknowledge a FIN that is sent again and to
 * refuse old segments. */
struct weir_tw {
    uint32_t laddr, raddr;
    uint16_t lport, rport;
    uint32_t snd_nxt, rcv_nxt;
    uint32_t ts_recent, ts_offset;
    uint32_t expire_ms;
    uint32_t hash_next;  /* index + 1; also the free list */
    uint32_t prev, next; /* by age, index + 1 */
    uint32_t next_hop;
    uint8_t ifc, ts, used;
    uint8_t rcv_wscale;
    uint32_t rcv_wnd;
};
_Static_assert(sizeof(struct weir_tw) <= 64, "TIME-WAIT takes at most 64 bytes");
_Static_assert(sizeof(struct weir_conn) <= 376,
               "an idle connection takes at most 400 bytes with wheel and table");

#define WEIR_TCP_KEYS   5u
#define WEIR_CONN_HINTS 64u /* a power of two */

/* Where the ladder's work stands (ladder.c). */
struct weir_ladder {
    uint32_t at, left; /* the next cell that the sweep visits, and how many are left of its round */
    uint32_t round_ms; /* when the round began */
    uint32_t again_ms; /* with left = 0: when it may be repeated */
    uint32_t
        let_go;    /* counts releases and reads that nothing else counts and that may leave slices to move */
    uint64_t seen; /* what had happened until the round began, ladder.c's happened() */
    uint32_t last_ms;   /* since when the last rung is held, or since the last reset for it */
    uint16_t share;     /* of windows when the round began */
    uint8_t rung, told; /* when the last pass looked; as the application was told */
};

/* TCP of one instance. */
struct weir_tcp {
    const struct weir_config *conf; /* the instance's copy */
    struct weir_ip *ip;
    struct weir_stats *stats;
    struct weir_pktmem mem;
    struct weir_warm warm;
    const struct weir_area *area; /* the instance's memory: an address in it that is in no zbuf is refused */
    uint32_t n_area;
    uint64_t now_us;
    uint32_t now_ms;

    struct weir_conn *conn;
    uint32_t n_conn, free_conn, live;
    uint32_t fresh_conn; /* cells from here on were never used */
    uint32_t *bucket;    /* index + 1 */
    uint32_t bucket_mask;
    struct weir_conn *hint[WEIR_CONN_HINTS]; /* a connection found or NULL, see weir_conn_hinted */
    struct weir_listener *lis;
    uint32_t n_lis;
    struct weir_tw *tw;
    uint32_t *tw_bucket;
    uint32_t tw_mask, n_tw, tw_free, tw_fresh, tw_live, tw_first, tw_last;
    struct weir_wheel wheel;
    struct weir_wheel_node *node;
    bool
        next_known; /* the stack keeps when the next of these or a neighbour is due, and none became sooner */

    uint32_t dirty_first, dirty_last;
    uint32_t ready_first, ready_last, lis_ready;
    uint32_t blocked_first, blocked_last;
    bool blocked_room;   /* one of them waits for the device or a header block, and nobody tells when */
    bool blocked_record; /* one of them waits for a transmit record */
    uint32_t memwait_first, memwait_last;
    bool empty_waits; /* one of memwait may have an empty send queue, for which a descriptor is kept */

    uint32_t delack_ms; /* config.delack_us, rounded up */
    struct weir_sipkey key_table, key_isn, key_port, key_ts, key_cookie;
    uint32_t port_next;
    uint32_t challenge_left, challenge_ms; /* RFC 5961 section 7 */
    uint32_t lent;                         /* bytes lent to the application, all connections */
    bool hold_wait;                        /* a reader was refused because of it */
    bool closing;                          /* weir_stop: nothing new */
    struct weir_ladder ladder;
    bool full_path; /* for tests: tcp_fast.c and tcp_plain.c are not asked */
};

static inline uint32_t weir_conn_index(const struct weir_tcp *t, const struct weir_conn *c)
{
    return (uint32_t)(c - t->conn);
}

static inline bool weir_tcp_synchronised(const struct weir_conn *c)
{
    return c->state >= WEIR_TCP_ESTABLISHED;
}

/* ---- conn.c: the tables ---- */

/* Rows of the plan; called to count and to place. */
void weir_tcp_carve(struct weir_tcp *, struct weir_carve *, const struct weir_config *);
/* After placing, with keys already drawn. */
void weir_tcp_init(struct weir_tcp *, const struct weir_config *, struct weir_ip *, struct weir_stats *,
                   const struct weir_sipkey keys[WEIR_TCP_KEYS], uint64_t now_us);

/* A fresh connection in CLOSED with defaults; NULL: the table is full. */
struct weir_conn *weir_conn_new(struct weir_tcp *);
/* Gives the cell back: every queue, list and timer lets go first. */
void weir_conn_free(struct weir_tcp *, struct weir_conn *);
/* The connection or listener for an id; NULL: stale. */
static inline struct weir_conn *weir_conn_by_id(const struct weir_tcp *t, weir_id id)
{
    uint32_t i = id & ((1u << WEIR_ID_INDEX_BITS) - 1);
    if (i >= t->fresh_conn) return NULL;
    struct weir_conn *c = &t->conn[i]; /* none has an id with WEIR_ID_LISTENER; a free cell is DETACHED */
    return c->id == id && !(c->flags & WEIR_C_DETACHED) ? c : NULL;
}
static inline struct weir_listener *weir_listener_by_id(const struct weir_tcp *t, weir_id id)
{
    uint32_t i = id & ((1u << WEIR_ID_INDEX_BITS) - 1);
    if (!(id & WEIR_ID_LISTENER) || i >= t->n_lis) return NULL;
    return t->lis[i].id == id ? &t->lis[i] : NULL;
}

/* The table of addresses and ports. insert: the tuple must not be there. */
struct weir_conn *weir_conn_lookup(const struct weir_tcp *, uint32_t laddr, uint16_t lport, uint32_t raddr,
                                   uint16_t rport);
static inline bool weir_conn_is(const struct weir_conn *c, uint32_t laddr, uint16_t lport, uint32_t raddr,
                                uint16_t rport)
{
    return c->rport == rport && c->lport == lport && c->raddr == raddr && c->laddr == laddr;
}
static inline uint32_t weir_conn_hint(uint32_t raddr, uint32_t rport)
{
    return (rport ^ raddr) & (WEIR_CONN_HINTS - 1);
}
/* The table of addresses and ports behind hints to the connections found last. A hint is believed only if its
 * cell is hashed and has these addresses and ports, so it need not be taken back when a connection ends. It
 * is chosen by numbers that a stranger knows: he can spoil hints, and then the keyed table answers, as it
 * would without them. */
static inline struct weir_conn *weir_conn_hinted(struct weir_tcp *t, uint32_t laddr, uint16_t lport,
                                                 uint32_t raddr, uint16_t rport)
{
    struct weir_conn **hint = &t->hint[weir_conn_hint(raddr, rport)], *c = *hint;
    if (c && (c->flags & WEIR_C_HASHED) && weir_conn_is(c, laddr, lport, raddr, rport)) return c;
    c = weir_conn_lookup(t, laddr, lport, raddr, rport);
    if (c) *hint = c;
    return c;
}
void weir_conn_hash(struct weir_tcp *, struct weir_conn *);
void weir_conn_unhash(struct weir_tcp *, struct weir_conn *);
struct weir_listener *weir_listener_lookup(const struct weir_tcp *, uint32_t laddr, uint16_t lport);

/* index + 1 of one that is live. */
static inline uint32_t weir_conn_number(const struct weir_conn *c)
{
    return (c->id & ((1u << WEIR_ID_INDEX_BITS) - 1)) + 1;
}
/* Appends a cell to a list with a tail. */
#define WEIR_CONN_APPEND(t, first, last, member, c)                                                          \
    do {                                                                                                     \
        uint32_t me_ = weir_conn_number(c);                                                                  \
        (c)->member = 0;                                                                                     \
        if (last)                                                                                            \
            (t)->conn[(last)-1].member = me_;                                                                \
        else                                                                                                 \
            (first) = me_;                                                                                   \
        (last) = me_;                                                                                        \
    } while (0)

/* The connection owes a segment or an acknowledgement: it is visited once after the burst. */
static inline void weir_conn_dirty(struct weir_tcp *t, struct weir_conn *c)
{
    if (c->flags & WEIR_C_DIRTY) return;
    c->flags |= WEIR_C_DIRTY;
    WEIR_CONN_APPEND(t, t->dirty_first, t->dirty_last, dirty_next, c);
}
/* Tells the application; bits that are armed once (READ, WRITE) are the caller's to check. */
static inline void weir_conn_event(struct weir_tcp *t, struct weir_conn *c, uint32_t ev)
{
    if (c->flags & WEIR_C_DETACHED) return;
    c->events |= ev;
    if (c->listener) return; /* nobody has its id yet: told when it is accepted */
    if (c->flags & WEIR_C_READY) return;
    c->flags |= WEIR_C_READY;
    WEIR_CONN_APPEND(t, t->ready_first, t->ready_last, ready_next, c);
}
/* Fires READ if armed. */
static inline void weir_conn_readable(struct weir_tcp *t, struct weir_conn *c)
{
    if (!(c->flags & WEIR_C_ARM_READ)) return;
    c->flags &= ~(uint32_t)WEIR_C_ARM_READ;
    weir_conn_event(t, c, WEIR_EV_READ);
}
void weir_conn_writable(struct weir_tcp *, struct weir_conn *); /* fires WRITE if armed and true */
bool weir_conn_can_write(const struct weir_tcp *, const struct weir_conn *);
void weir_conn_block(struct weir_tcp *, struct weir_conn *);
/* One that is blocked gives up its place and waits behind the others. */
void weir_conn_block_last(struct weir_tcp *, struct weir_conn *);
void weir_conn_memwait(struct weir_tcp *, struct weir_conn *, bool copies);
/* Whether a lent piece may go to a send queue: not while the send queues have half of the segments that can
 * be received into, by their descriptors, and what is left is only what the application must leave to
 * receiving. */
bool weir_tcp_may_pass(const struct weir_tcp *);
/* They have less than that, so it may. */
static inline bool weir_tcp_few_to_send(const struct weir_tcp *t)
{
    const struct weir_zpool *z = t->mem.z;
    uint32_t headers = z->classes > 1 ? z->cls[0].count : 0;
    uint32_t half = (z->total - headers - weir_min_u32(z->posted, z->total - headers)) / 2;
    return t->mem.to_send < weir_max_u32(half, 1);
}
void weir_listener_event(struct weir_tcp *, struct weir_listener *);

/* Not 0 iff weir_tcp_unblock has anything to do. */
static inline uint32_t weir_tcp_blocked(const struct weir_tcp *t)
{
    return t->blocked_first | t->blocked_room | t->blocked_record;
}
/* Every connection that could not send is made dirty again. */
void weir_tcp_unblock(struct weir_tcp *);
/* Connections whose write found no memory are told, first come first served, while memory is there. */
void weir_tcp_memory(struct weir_tcp *);

/* Moves the wheel entry to the nearest running deadline. */
void weir_conn_timers(struct weir_tcp *, struct weir_conn *);
/* The same after one deadline was set: the entry stands at or before all others already. */
static inline void weir_conn_timer_at(struct weir_tcp *t, const struct weir_conn *c, uint32_t when_ms)
{
    uint32_t i = weir_conn_number(c) - 1;
    if (weir_wheel_pending(&t->wheel, i) && weir_seq_leq(t->node[i].when_ms, when_ms)) return;
    weir_wheel_set(&t->wheel, i, when_ms);
}

/* ---- states.c: the ends of connections ---- */

/* The connection is over: queues are emptied, it leaves the tables; the application is told (error < 0:
 * ERROR, 0: CLOSED) unless it has given the id up, and then the cell is freed: c is not to be used any more.
 */
void weir_conn_dead(struct weir_tcp *, struct weir_conn *, int error);
/* Sends a reset and ends it. */
void weir_conn_abort(struct weir_tcp *, struct weir_conn *, int error);
/* The handshake is complete. */
void weir_conn_established(struct weir_tcp *, struct weir_conn *);
/* Our FIN was acknowledged and the peer's was read: 2 MSL. c may be gone afterwards. */
void weir_conn_timewait(struct weir_tcp *, struct weir_conn *);

/* ---- timewait.c ---- */
struct weir_tw *weir_tw_lookup(const struct weir_tcp *, uint32_t laddr, uint16_t lport, uint32_t raddr,
                               uint16_t rport);
/* A new entry; the oldest goes when the table is full. Nothing happens with an empty table. */
void weir_tw_add(struct weir_tcp *, const struct weir_conn *);
void weir_tw_drop(struct weir_tcp *, struct weir_tw *);
/* Starts 2 MSL again. */
void weir_tw_restart(struct weir_tcp *, struct weir_tw *);
/* Drops at most budget entries whose time is over. */
void weir_tw_expire(struct weir_tcp *, unsigned budget);

/* ---- choose.c: sequence numbers and ports ---- */
uint32_t weir_tcp_isn(const struct weir_tcp *, uint32_t laddr, uint16_t lport, uint32_t raddr,
                      uint16_t rport); /* RFC 6528 */
uint16_t weir_tcp_port(struct weir_tcp *, uint32_t laddr, uint32_t raddr,
                       uint16_t rport); /* RFC 6056 3.3.3; 0: none left */
uint32_t weir_tcp_ts_offset(const struct weir_tcp *, uint32_t laddr,
                            uint32_t raddr); /* one per host pair, RFC 7323 5.4 */

#endif
