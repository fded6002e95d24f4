/* ip4.h: IPv4: addresses and routes of an instance, the way out (a chain of calls down to the device's
 * burst), the checks on the way in, and ICMP. Fragments are counted and dropped; what is sent is never
 * fragmented (DF is set).
 *
 * Not thread-safe; time is an argument. Addresses are numbers (10.9.0.2 is 0x0a090002). */
#ifndef WEIR_IP4_H
#define WEIR_IP4_H

#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "base/verdict.h"
#include "link/neigh.h"
#include "mem/zpool.h"
#include "netdev/txq.h"
#include "pkt/strict.h"
#include "weir/config.h"
#include "wire/eth.h"
#include "wire/icmphdr.h"
#include "wire/ip4hdr.h"

/* The most bytes that a header block has in front of the transport header: Ethernet and IPv4, and two more so
 * that the IPv4 header is 4-byte aligned. There are fewer where the device wants its frames to begin on a
 * larger alignment. */
#define WEIR_L4_AT 36u /* 2 + 14 + 20 */
#define WEIR_BASE_ALIGN                                                                                      \
    64u /* largest alignment of a frame's first byte that can be served: zbufs begin on it */
#define WEIR_IP4_TTL 64u
#define WEIR_DATAGRAM_PIECES                                                                                 \
    3u /* payload pieces of a datagram, so that it fits the queue of its neighbour                           \
        */

struct weir_ifc {
    struct weir_netdev *dev;
    struct weir_txq txq;
    struct weir_neigh neigh;      /* Ethernet only */
    uint32_t addr, mask, gateway; /* gateway 0: none */
    uint16_t mtu;
    uint16_t ip_id;
    uint64_t mac_word;  /* mac, as weir_mac_word says it */
    uint32_t piece_max; /* a transmitted piece of so many bytes is never cut; 0: where there are boundaries */
    uint32_t l4_at;     /* of the transport header in a header block */
    uint8_t mac[6];
    uint8_t ether; /* 1: Ethernet, 0: raw IP */
    uint8_t up;
};

struct weir_ip {
    struct weir_ifc ifc[WEIR_IFACES_MAX];
    uint32_t n_ifc;
    struct weir_zpool *z;
    struct weir_stats *stats;
    const struct weir_strict *strict; /* what is set aside for received data; NULL: nothing */
    uint32_t errors_per_s;            /* ICMP errors and resets to nobody's segments */
    uint32_t error_tokens;            /* errors_per_s at the start */
    uint32_t error_ms;                /* when tokens were last added */
    uint32_t now_ms;                  /* set by the stack before each burst */
    bool at_once; /* the output phase: what is sent now is flushed before anything else happens */
};

/* A packet on its way in. The transport header is contiguous in the first piece as far as the frame's headers
 * go. */
struct weir_rxpkt {
    const struct weir_frame *frame;
    struct weir_ifc *ifc;
    struct weir_ip4hdr ip;
    const uint8_t *l4; /* first byte of the transport header, in piece 0 */
    uint32_t l4_at;    /* its offset in the frame */
    uint32_t l4_here;  /* contiguous bytes from l4 on */
    uint32_t l4_bytes; /* of the whole transport segment, header and payload, over all pieces */
};

/* A packet on its way out: l4[0..l4_bytes) in a header block from weir_ip4_block, then payload pieces. */
struct weir_outpkt {
    uint8_t *l4; /* from weir_ip4_block */
    uint32_t l4_bytes;
    const struct weir_piece *piece;
    uint32_t n_pieces;
    uint32_t payload_bytes;
    uint32_t src, dst;
    uint8_t proto, tos, ttl; /* ttl 0: WEIR_IP4_TTL */
    bool csum; /* a transport checksum is wanted at l4[csum_field]: left to the device where it can, done here
                  else */
    uint8_t csum_field;
    uint16_t gso_bytes; /* > 0: the device is to cut; only if its capabilities say TSO4 */
};

/* What an ICMP error says of a TCP segment that we are said to have sent. */
struct weir_icmp_note {
    uint32_t src, dst; /* of the quoted packet: src is ours */
    uint16_t sport, dport;
    uint32_t seq;
    uint8_t type, code;
    uint16_t mtu; /* with FRAG_NEEDED; 0: not told */
};

/* The interface and the next hop for dst; NULL: no route. Longest prefix, then the first interface with a
 * gateway. There is no route to groups, broadcasts, loopback or our own addresses. */
struct weir_ifc *weir_ip4_route(struct weir_ip *, uint32_t dst, uint32_t *next_hop);

/* The interface that has this address; NULL: none. */
struct weir_ifc *weir_ip4_local(struct weir_ip *, uint32_t addr);

/* Whether a packet of so many pieces (with the header block) could go out to next_hop now: OK, WAIT_NEIGH,
 * WAIT_ROOM, NO_NEIGH, or NO_ROUTE where the interface is down. mac is filled in for Ethernet. Whether a
 * header block is free, only weir_ip4_block tells. */
enum weir_send weir_ip4_ready(struct weir_ip *, struct weir_ifc *, uint32_t next_hop, uint32_t pieces,
                              uint8_t mac[6]);

/* Bytes of the headers in front of the transport's. */
static inline uint32_t weir_ip4_lower(const struct weir_ifc *ifc)
{
    return ifc->ether ? WEIR_ETH_BYTES + WEIR_IP4_BYTES : WEIR_IP4_BYTES;
}

/* Sets what follows from an interface's device and Ethernet address. */
void weir_ip4_note_ifc(struct weir_ifc *);

/* A header block for a frame that leaves by this interface: returns the place of the transport header in it,
 * with at least WEIR_ZCLASS_MIN - WEIR_L4_AT bytes from there on; NULL iff none is free. */
static inline uint8_t *weir_ip4_block(struct weir_ip *ip, const struct weir_ifc *ifc)
{
    struct weir_zhead *h = weir_zpool_take(ip->z, WEIR_ZCLASS_MIN, WEIR_TAKE_CONTROL);
    return h ? weir_zpool_first(ip->z, h) + ifc->l4_at : NULL;
}

/* The same for a frame that is sent (weir_ip4_send) before another block is asked for. */
static inline uint8_t *weir_ip4_block_now(struct weir_ip *ip, struct weir_ifc *ifc)
{
    struct weir_zhead *h = ip->at_once ? weir_txq_borrow(&ifc->txq) : NULL;
    if (!h) return weir_ip4_block(ip, ifc);
    ifc->txq.bare_next = true;
    return weir_zpool_first(ip->z, h) + ifc->l4_at;
}
void weir_ip4_block_drop(struct weir_ip *, uint8_t *l4);

/* Adds IP and link headers in front of l4 and pushes the frame. Only after weir_ip4_ready said OK for at
 * least as many pieces (1 + n_pieces), with the mac that it gave. Takes the block over; payload pieces get
 * their own references. */
void weir_ip4_send(struct weir_ip *, struct weir_ifc *, const uint8_t mac[6], const struct weir_outpkt *);

/* The same for datagrams (ICMP, resets to nobody): resolves and, while a neighbour is asked for, queues.
 * Takes the block (made for the interface of dst's route) over whatever happens; what can't be sent is
 * counted. At most WEIR_DATAGRAM_PIECES payload pieces, after cutting them to what the device takes. */
void weir_ip4_datagram(struct weir_ip *, const struct weir_outpkt *);

/* Checks the IPv4 packet at offset `at` of pkt->frame (pkt->frame and pkt->ifc are set) and fills in the rest
 * of *pkt. PASS: for us, not a fragment, from a possible address, of protocol TCP, UDP or ICMP (others are
 * answered with protocol unreachable); the transport header, as long as it says it is, lies in piece 0. */
enum weir_verdict weir_ip4_input(struct weir_ip *, struct weir_rxpkt *, uint32_t at);

/* The pieces of the transport segment from its byte `from` on, without what lies behind the IP packet: fills
 * in at most max of them and returns how many there are; max + 1: more. from <= l4_bytes. */
uint32_t weir_ip4_slices(const struct weir_rxpkt *, uint32_t from, struct weir_piece *out, uint32_t max);

/* The running sum (csum.h) of the transport segment with its pseudo-header; folded it is 0xffff for a right
 * checksum. */
uint64_t weir_ip4_l4_sum(const struct weir_rxpkt *);

/* Whether the transport checksum is good: by the device's word, or summed here. */
bool weir_ip4_csum_good(const struct weir_rxpkt *); /* summed here */
static inline bool weir_ip4_csum_ok(const struct weir_rxpkt *pkt)
{
    return (pkt->frame->flags & (WEIR_FRAME_CSUM_GOOD | WEIR_FRAME_CSUM_NEEDED)) != 0 ||
           weir_ip4_csum_good(pkt);
}

/* ICMP: answers echo by reference to the received bytes; an error that quotes a TCP segment from one of our
 * addresses gives PASS and *note; others are counted. */
enum weir_verdict weir_icmp_input(struct weir_ip *, const struct weir_rxpkt *, struct weir_icmp_note *note);

/* Tells the sender of pkt that it can't be delivered (type 3, code), quoting header and 8 bytes; never for an
 * error, a group or broadcast, and within the rate (RFC 1122 3.2.2, RFC 1812 4.3.2.8). */
void weir_icmp_unreachable(struct weir_ip *, const struct weir_rxpkt *, uint8_t code);

/* One token of the rate for errors and resets; false: none is left (counted as RATE). */
bool weir_ip4_may_err(struct weir_ip *);

#endif
