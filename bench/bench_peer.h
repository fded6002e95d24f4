/* bench_peer.h: the other end of the counted connections: a hand-made TCP client that never loses anything.
 * It opens its connections and then asks for one-byte echoes, acknowledges what it is sent, or sends as fast
 * as the window allows. Its work is never counted.
 *
 * It offers what a Linux client offers: timestamps, SACK, window scaling, an MSS of 1,460. Single-threaded;
 * all state lies in the struct. */
#ifndef WEIR_BENCH_PEER_H
#define WEIR_BENCH_PEER_H

#include <stdbool.h>
#include <stdint.h>

#define PEER_CONNS       16u
#define PEER_ACKS        128u
#define PEER_FRAME_BYTES 65536u
#define PEER_PORT        7u /* of the server */

enum peer_does { PEER_ECHO, PEER_TAKE, PEER_GIVE };

struct peer_conf {
    enum peer_does does;
    unsigned conns;         /* 1 to PEER_CONNS */
    uint32_t give_segments; /* PEER_GIVE: full segments in a frame, more than 1: merged */
    uint32_t give_frames;   /* PEER_GIVE: frames a turn */
    uint64_t warm_units;    /* echoes or payload bytes before counting */
    uint64_t count_units;   /* and while counting */
};

struct peer_conn {
    uint16_t port;
    uint8_t scale; /* of the windows that the server tells */
    bool asked, open, stamps, answered;
    uint32_t snd_nxt, snd_una, snd_end; /* snd_end: right edge of the server's window */
    uint32_t rcv_nxt, stamp_echo;
    uint32_t acks[PEER_ACKS]; /* owed, a ring */
    unsigned ack_head, n_acks;
    uint32_t unacked; /* segments that came since the last ACK */
};

struct peer {
    struct peer_conf conf;
    struct peer_conn conn[PEER_CONNS];
    uint64_t units; /* echoes, or payload bytes acknowledged to the one who sent them */
    uint64_t begun; /* units when counting began */
    uint64_t odd;   /* frames that were out of order or not understood */
    uint32_t given; /* frames of this turn */
    bool arp_owed, counting, over;
    uint32_t frame_bytes; /* of the frame made last */
    uint16_t gso_bytes;   /* of it: payload of a segment if it is merged, else 0 */
    uint16_t hdr_bytes;
    uint8_t frame[PEER_FRAME_BYTES];
};

extern const uint8_t peer_mac[6], peer_server_mac[6];
extern const uint8_t peer_ip[4], peer_server_ip[4];

/* `ports`: client ports begin there. */
void peer_init(struct peer *, const struct peer_conf *, uint16_t ports);
/* What the server transmitted: its first `here` bytes, all headers among them, of `bytes`. */
void peer_take(struct peer *, const uint8_t *frame, uint32_t here, uint32_t bytes);
/* A new turn, between two bursts of the server: counting begins, goes on, or is over. */
void peer_turn(struct peer *);
/* Makes the next frame for the server in peer.frame; false: none this turn. */
bool peer_next(struct peer *);
/* Units counted, once it is over. */
uint64_t peer_counted(const struct peer *);

#endif
