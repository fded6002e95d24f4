/* rxworld.h: the world of fuzz_rx: one instance over a fuzzdev in virtual time, the peers around it and the
 * application on it. Made of four files:
 *
 *     fuzz_rx.c    the entry: begin, the list of operations, what must hold after each, the end
 *     rxpeer.c     the peers' operations: what arrives
 *     rxwatch.c    what the stack sends: learnt from, and held to what was written and promised
 *     rxapp.c      the application's operations
 *
 * Input. Records of 8 bytes. The first chooses the world (rx_mode in fuzz_rx.c), each other one is an
 * operation: byte 0 is code (low 5 bits) and a small number n (high 3 bits), the rest are its parameters, for
 * which each value means something. A record that is cut short is not run. Record-wise changes keep all else
 * in place, which fuzz_mutate.c makes use of. */
#ifndef WEIR_RXWORLD_H
#define WEIR_RXWORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "fuzz.h"
#include "fuzzdev.h"
#include "stack/stack.h"

#define RX_RECORD       8u
#define RX_RECORDS_MAX  192u /* operations of one input; the rest is not run */
#define RX_FLOWS        8u
#define RX_CONNS        10u
#define RX_CONNS_MAX    8u /* of the stack, in every world */
#define RX_PIECES       24u
#define RX_LISTENERS    3u
#define RX_SHADOW_BYTES 131072u /* > the largest send buffer, a power of two */
#define RX_PATCHES      4u
#define RX_OPTS_MAX     40u
#define RX_IP           0x0a000002u /* the stack's address, a /24 */
#define RX_GATEWAY      0x0a000001u

/* A peer's address and port, and the numbers that make its next segment plausible. */
struct rx_flow {
    uint32_t ip;
    uint16_t port, lport; /* lport: the stack's */
    bool active;          /* the stack connects to it */
    bool ts;              /* the peer's SYN offered timestamps */
    uint32_t nxt;         /* what the peer sends next */
    uint32_t tsval;
    uint32_t iss, seen_end;  /* the stack's first number, and what lies behind its highest */
    uint32_t last_ack, edge; /* told by the stack */
    uint32_t echo;           /* the stack's latest timestamp */
};

/* What one of the stack's connections has said and was given to say, by the connection's cell. */
struct rx_tcb {
    uint32_t id;             /* all below is about this connection */
    uint32_t last_ack, edge; /* valid with `told` */
    bool told;
    uint32_t written;                /* bytes in the shadow */
    uint8_t shadow[RX_SHADOW_BYTES]; /* what was written, by offset modulo its size */
};

/* A connection as the application knows it; it keeps the id after it has closed. */
struct rx_conn {
    weir_id id;
    bool open, reads; /* reads: at is known */
    uint32_t at;      /* sequence number of the next byte to be read */
};

/* A piece of the pool for which the application holds one reference, or held. */
struct rx_piece {
    uint8_t *addr;
    uint32_t bytes, sum, wrote; /* wrote: behind what was last written from it */
    bool held;
};

struct rx_patch {
    uint16_t at;
    uint8_t value, how;
};

/* What the next frame will be like. */
struct rx_prep {
    struct rx_patch patch[RX_PATCHES];
    unsigned n_patch;
    uint8_t opts[RX_OPTS_MAX], ip_opts[RX_OPTS_MAX];
    unsigned n_opts, n_ip_opts;
    uint16_t cut[FUZZDEV_CUTS];
    uint16_t frag;    /* the IP header's fragment word, 0: don't fragment */
    uint16_t flags;   /* enum weir_frame_flag */
    uint8_t gso;      /* * 8: gso_bytes */
    int32_t longer;   /* bytes behind the packet, or cut off it */
    bool csum_bad;    /* the transport's */
    bool ip_csum_bad; /* the IP header's */
    bool group;       /* to a group address of the link */
};

struct rx_world {
    struct weir_sim sim;
    struct fuzzdev dev;
    struct weir_config conf;
    struct weir *w;
    uint8_t *memory; /* rx_memory_bytes of it, then the canary */
    size_t bytes;

    struct rx_flow flow[RX_FLOWS];
    struct rx_tcb tcb[RX_CONNS_MAX];
    struct rx_conn conn[RX_CONNS];
    struct rx_piece piece[RX_PIECES];
    weir_id listener[RX_LISTENERS];
    struct rx_prep prep;

    bool alone;     /* there is no gateway */
    bool mute;      /* nobody answers ARP */
    bool foreign;   /* bytes may have come in that no flow's rule made: what is read proves nothing */
    bool careless;  /* the application wrote from memory that is not its own: what is sent proves nothing */
    unsigned posts; /* buffers that the device may want posted */
    unsigned hold;  /* operations that still go by without a poll */
    int events;     /* how many the next polls take */
};

extern struct rx_world rx;

/* One record: n, and the seven bytes behind. */
struct rx_op {
    uint8_t n;
    const uint8_t *r; /* r[0] .. r[6] */
};

/* ---- rxpeer.c ---- */
void rx_flows_init(uint8_t isn);
/* The byte of a peer's stream at a sequence number. */
uint8_t rx_byte(uint32_t seq);
/* Whole handshakes with a flow of its kind, without loss. */
void rx_shake(struct rx_flow *);
void rx_op_segment(const struct rx_op *);
void rx_op_data(const struct rx_op *);
void rx_op_ack(const struct rx_op *);
void rx_op_shake(const struct rx_op *);
void rx_op_tcp_options(const struct rx_op *);
void rx_op_ip_options(const struct rx_op *);
void rx_op_patch(const struct rx_op *);
void rx_op_cuts(const struct rx_op *);
void rx_op_frame(const struct rx_op *);
void rx_op_arp(const struct rx_op *);
void rx_op_icmp(const struct rx_op *);
void rx_op_udp(const struct rx_op *);
/* A frame of count records that follow, as they are behind headers of a chosen depth. */
void rx_op_raw(const struct rx_op *, const uint8_t *bytes, uint32_t n);

/* ---- rxwatch.c ---- */
void rx_sent(void *ctx, const uint8_t *bytes, const struct weir_frame *);
struct rx_flow *rx_flow_of(uint32_t ip, uint16_t port);
/* The application has written bytes that the stack took. */
void rx_written(const struct weir_conn *, const uint8_t *bytes, uint32_t n);

/* ---- rxapp.c ---- */
void rx_events(const struct weir_event *, int n);
void rx_accept_all(void);
weir_id rx_connect_to(const struct rx_flow *);
void rx_op_accept(const struct rx_op *);
void rx_op_connect(const struct rx_op *);
void rx_op_listen(const struct rx_op *);
void rx_op_close(const struct rx_op *);
void rx_op_recv(const struct rx_op *);
void rx_op_read(const struct rx_op *);
void rx_op_free(const struct rx_op *);
void rx_op_zalloc(const struct rx_op *);
void rx_op_write_ref(const struct rx_op *);
void rx_op_write_copy(const struct rx_op *);
void rx_op_set(const struct rx_op *);
void rx_op_look(const struct rx_op *);
/* Everything that the application has is given up. */
void rx_app_end(bool abort);
/* Every piece that it holds. */
void rx_app_free(void);

/* ---- fuzz_rx.c ---- */
/* One poll, and everything that must hold after it. */
void rx_poll(void);

#endif
