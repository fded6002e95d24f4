/* weir.h: one instance of the stack.
 *
 * An instance is used by at most one thread at a time; only calls marked (*) may come from any thread or
 * interrupt. All its memory is handed over at weir_start; nothing is asked of the system afterwards. The
 * application sits in one loop around weir_poll, which makes all progress and returns events. There are no
 * callbacks.
 *
 * Success is >= 0, failure a negative enum weir_err. */
#ifndef WEIR_H
#define WEIR_H

#include <stddef.h>
#include <stdint.h>

#include "weir/config.h"
#include "weir/err.h"
#include "weir/netdev.h"
#include "weir/plan.h"
#include "weir/plat.h"
#include "weir/stats.h"
#include "weir/zbuf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct weir;

/* A connection or listener: index and generation, never 0. An id of something that is gone is told, never
 * reused within 2,048 lives of its slot. */
typedef uint32_t weir_id;

enum weir_family { WEIR_IP4 = 4 };

/* An address and a port. IPv4 takes ip[0..3], in network order; the port is a plain number. */
struct weir_addr {
    uint8_t family; /* enum weir_family */
    uint16_t port;
    uint8_t ip[16];
};

/* An address of this instance on one device. */
struct weir_ifaddr {
    uint8_t family;
    uint8_t prefix; /* length, 1 to 30 */
    uint8_t ip[16];
    uint8_t gateway[16]; /* all zero: none */
};

/* Reads "10.9.0.2/24" or "10.9.0.2" (prefix 24). 0, or WEIR_EINVAL. */
int weir_ifaddr_parse(struct weir_ifaddr *, const char *text);

/* Reads "10.9.0.1:80". 0, or WEIR_EINVAL. */
int weir_addr_parse(struct weir_addr *, const char *text);

struct weir_iov {
    void *base;
    size_t len;
};

/* What an application chooses for a connection; a listener's connections inherit them. NULL: the defaults. */
struct weir_opts {
    uint64_t user;         /* told in events; a new connection has its listener's until weir_set */
    uint32_t rcvbuf_bytes; /* 0: the configuration's, which is the most with strict windows */
    uint32_t sndbuf_bytes;
    uint32_t backlog;  /* listeners: connections not yet accepted, 0 means 128 */
    uint8_t nodelay;   /* 1: no Nagle */
    uint8_t keepalive; /* 1: probe an idle peer */
};

enum weir_opt {
    WEIR_OPT_USER,    /* any value, told in events */
    WEIR_OPT_NODELAY, /* 0, 1: Nagle's algorithm off (RFC 9293 3.7.4) */
    WEIR_OPT_CORK, /* 0, 1: hold back the last partial segment until it is cleared or the connection is shut
                      down */
    WEIR_OPT_KEEPALIVE, /* 0, 1 */
    WEIR_OPT_RCVBUF,    /* bytes; a window already promised is not taken back */
    WEIR_OPT_SNDBUF     /* bytes */
};

enum weir_ev {
    WEIR_EV_ACCEPT = 1,    /* a listener has a connection to accept */
    WEIR_EV_OPEN = 2,      /* weir_connect succeeded */
    WEIR_EV_READ = 4,      /* bytes, or the end of the stream */
    WEIR_EV_WRITE = 8,     /* a write that was cut short can go on */
    WEIR_EV_SENT = 16,     /* everything written is acknowledged, FIN included if there was one */
    WEIR_EV_ERROR = 32,    /* the connection has failed; weir_info tells the reason, weir_close ends it */
    WEIR_EV_CLOSED = 64,   /* both directions have ended in order; the id is valid until weir_close */
    WEIR_EV_MEMORY = 128,  /* id 0: the zbufs waited for can be had; user: mask of their classes */
    WEIR_EV_PRESSURE = 256 /* id 0: the ladder has another rung; user: enum weir_rung. Nothing need be done */
};

struct weir_event {
    weir_id id;
    uint32_t mask; /* enum weir_ev */
    uint64_t user;
};

enum weir_close_how {
    WEIR_CLOSE_GRACEFUL = 0, /* send what is queued, then FIN; the id is gone for the application at once */
    WEIR_CLOSE_ABORT = 1     /* reset, drop everything */
};

/* TCP's states, RFC 9293 3.3.2. */
/* clang-format off */
#define WEIR_TCP_STATE_MAP(X)            \
    X(CLOSED)                            \
    X(LISTEN)                            \
    X(SYN_SENT)                          \
    X(SYN_RECEIVED)                      \
    X(ESTABLISHED)                       \
    X(FIN_WAIT_1)                        \
    X(FIN_WAIT_2)                        \
    X(CLOSE_WAIT)                        \
    X(CLOSING)                           \
    X(LAST_ACK)                          \
    X(TIME_WAIT)
/* clang-format on */
enum weir_tcp_state {
#define WEIR_TCP_STATE_ENUM(name) WEIR_TCP_##name,
    WEIR_TCP_STATE_MAP(WEIR_TCP_STATE_ENUM)
#undef WEIR_TCP_STATE_ENUM
};
/* "ESTABLISHED" and so on. Any context. */
const char *weir_tcp_state_name(enum weir_tcp_state);

struct weir_conn_info {
    struct weir_addr local, peer;
    enum weir_tcp_state state;
    int error;                 /* why it failed, 0 while it has not */
    uint32_t mss;              /* payload bytes of a full segment sent */
    uint32_t cwnd, ssthresh;   /* bytes */
    uint32_t snd_wnd, rcv_wnd; /* bytes, as last told by the peer and by us */
    uint32_t srtt_us, rttvar_us, rto_us;
    uint32_t queued_bytes;   /* written and not yet acknowledged */
    uint32_t unsent_bytes;   /* written and not yet sent */
    uint32_t readable_bytes; /* received in order and not yet read */
    uint32_t ooo_bytes;
    uint32_t lent_bytes; /* lent to the application */
    uint32_t retransmits, timeouts;
    uint64_t tx_bytes_ref, tx_bytes_copied, rx_bytes;
};

/* ---- life ---- */

/* Bytes that this configuration takes, with alignment and rows. 0, or WEIR_EPLAN: out->option and out->why
 * say what is refused and a value that would do. Touches nothing but *out. */
int weir_plan(const struct weir_config *, struct weir_plan *out);

/* The least configuration for the connections of *wish: everything that is theirs stays (conns, listeners, timewait,
 * rcvbuf_bytes, sndbuf_bytes, window, the sizes of the zbufs, times), everything that only buys speed gets the least
 * value that is not refused: one less of any of these is refused by its name. Connections take turns then, and all of
 * them move. 0 and the plan of *least, or WEIR_EPLAN: the plan says what of *wish is refused. */
int weir_plan_least(const struct weir_config *wish, struct weir_config *least, struct weir_plan *);

/* Starts an instance over the given areas, at least one, each aligned to the plan's align_bytes and together
 * as large as the plan says. The areas are the instance's until weir_stop. *conf may go after the call,
 * *conf->plat may not. 0, or WEIR_EINVAL (no area, misaligned, too small), WEIR_EPLAN, or the error of the
 * entropy source. */
int weir_start(struct weir **, const struct weir_config *, const struct weir_area *, unsigned n);

/* Resets every connection, closes the devices and returns how many zbufs the application still holds (>= 0);
 * their memory is the caller's again at once, whatever the number. */
int weir_stop(struct weir *);

/* Opens the device and gives it an address. The device must outlive the instance. 0, or WEIR_EINVAL,
 * WEIR_EBUSY (no free place for an interface: config.ifaces), WEIR_EADDRINUSE, WEIR_ENOTSUP (its capabilities
 * are too small), WEIR_ENOMEM (the zbufs that it posts can't be had, or leave too few to receive, to copy and to
 * write with: at least four, and what strict windows promise), or what the device's open or plat->watch returned.
 * After an error all is as it was. */
int weir_attach(struct weir *, struct weir_netdev *, const struct weir_ifaddr *);

/* Makes progress: receives, runs timers, sends, and fills up to n events. With nothing to tell it sleeps at
 * most timeout_us (< 0: no limit, 0: not at all). Returns the number of events; what didn't fit stays for the
 * next call. Bounded work: config.rx_burst frames a device, a bounded number of timers. n = 0 is allowed. */
int weir_poll(struct weir *, struct weir_event *, int n, int64_t timeout_us);

/* Sends now what weir_poll would send at its end: for an application that wrote and will not poll soon. 0. */
int weir_flush(struct weir *);

/* For a foreign loop, which calls it last before each sleep of its own, and weir_poll with timeout 0 after
 * it: *next_us gets the time (of the plat's clock) at which weir_poll must be called even if nothing becomes
 * readable, INT64_MAX: never; a time that has come: do not sleep. From this call to the next weir_poll every
 * weir_zgive and weir_wake calls the plat's wake, which ends the sleep if it is the plat's own to end: under
 * Linux the loop watches weir_linux.epoll_fd, which is readable when a device or a wake wants a poll, and no
 * longer after it. A call of weir_poll that follows costs one plat wait of no length. Returns the number of
 * devices that can be watched. */
int weir_next(struct weir *, int64_t *next_us);

/* (*) Ends the owner's sleep in weir_poll. */
void weir_wake(struct weir *);

void weir_stats(const struct weir *, struct weir_stats *);

/* ---- connections ---- */

/* Accepts connections on an address (all zero: any of the instance) and port (1 to 65,535).
 * 0 and *id, or WEIR_EINVAL, WEIR_EADDRNOTAVAIL, WEIR_EADDRINUSE, WEIR_EMFILE. */
int weir_listen(struct weir *, const struct weir_addr *, const struct weir_opts *, weir_id *id);

/* Begins to open a connection; WEIR_EV_OPEN or WEIR_EV_ERROR follows. The local port is chosen by RFC 6056.
 * 0 and *id, or WEIR_EINVAL, WEIR_ENETUNREACH, WEIR_EADDRNOTAVAIL (no port left), WEIR_EMFILE, and with strict
 * windows WEIR_ENOMEM: what was lent by connections that are gone is still held. */
int weir_connect(struct weir *, const struct weir_addr *, const struct weir_opts *, weir_id *id);

/* The next established connection of a listener. 0 and *id, peer (may be NULL), or WEIR_EAGAIN, WEIR_ESTALE.
 */
int weir_accept(struct weir *, weir_id listener, weir_id *id, struct weir_addr *peer);

/* Queues bytes; they are sent in the next weir_poll or weir_flush. Where they live decides: an address in a
 * zbuf that the application holds is sent by reference, and the bytes must stay as they are until
 * acknowledged (weir_zbusy; freeing is fine); any other memory is copied. Returns how many bytes were taken
 * (> 0), less than len when the queue has no more room, or
 *     WEIR_EAGAIN     nothing could be taken, the queue is full, or as large as its share of the memory that is left:
 *                     WEIR_EV_WRITE follows
 *     WEIR_ENOMEM     nothing could be taken, descriptors or zbufs are short: WEIR_EV_WRITE follows
 *     WEIR_EINVAL     len is 0 or above PTRDIFF_MAX
 *     WEIR_ERANGE     the bytes run past the end of their zbuf
 *     WEIR_EFAULT     the address is in Weir's memory but in no zbuf
 *     WEIR_ENOTHELD   in a zbuf that the application has freed
 *     WEIR_ENOTCONN   not established yet
 *     WEIR_EPIPE      after weir_shutdown
 *     WEIR_ESTALE, WEIR_EISLISTEN, or the error with which the connection failed. */
ptrdiff_t weir_write(struct weir *, weir_id, const void *data, size_t len);

/* The same for several pieces, in order; stops at the first that is cut short or fails. The sum taken, or the
 * first piece's error when nothing was. n: 1 to 1,024. */
ptrdiff_t weir_writev(struct weir *, weir_id, const struct weir_iov *, int n);

/* Lends up to n pieces of received bytes, in order. Each is freed with weir_zfree (or weir_zgive), whatever
 * the order, and may be written to any connection as it is. Returns the number of pieces, 0 at the end of the
 * stream, or WEIR_EAGAIN (nothing now; WEIR_EV_READ follows), WEIR_ENOMEM (config.app_hold_bytes are lent
 * already), WEIR_ENOTCONN, WEIR_ESTALE, WEIR_EISLISTEN, or the error with which the connection failed.
 *
 * Fewer pieces than n are all there were: nobody need ask again, WEIR_EV_READ follows with the next byte or the
 * end of the stream. Where it was config.app_hold_bytes that cut the answer short, it follows when something is
 * back. The same goes for weir_recv and fewer bytes than len. */
int weir_read(struct weir *, weir_id, struct weir_iov *, int n);

/* Copies received bytes, up to len >= 1. Returns the number, 0 at the end of the stream, or weir_read's
 * errors. */
ptrdiff_t weir_recv(struct weir *, weir_id, void *, size_t len);

/* Ends the sending direction after what is queued. Reading goes on. 0, or WEIR_ENOTCONN, WEIR_ESTALE,
 * WEIR_EISLISTEN. */
int weir_shutdown(struct weir *, weir_id);

/* Gives the id up. A listener's connections that were not accepted are reset. Unread bytes make a graceful
 * close a reset (RFC 9293 3.10.4). Pieces already lent stay the application's. 0 or WEIR_ESTALE. */
int weir_close(struct weir *, weir_id, enum weir_close_how);

/* 0, or WEIR_EINVAL, WEIR_ESTALE. */
int weir_set(struct weir *, weir_id, enum weir_opt, intptr_t);

/* 0 or WEIR_ESTALE. */
int weir_info(const struct weir *, weir_id, struct weir_conn_info *);

/* The levels now, whatever was armed: a mask of WEIR_EV_ACCEPT, READ, WRITE, ERROR, CLOSED; 0 for a stale id.
 */
unsigned weir_ready(const struct weir *, weir_id);

#ifdef __cplusplus
}
#endif
#endif
