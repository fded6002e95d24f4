/* stats.h: counters of an instance, and the table of reasons for which frames are dropped. */
#ifndef WEIR_STATS_H
#define WEIR_STATS_H

#include <stdint.h>

#include "weir/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, name in lower case, text). Each received frame that is not used up ends in exactly one of these. */
#define WEIR_DROP_MAP(X)                                                                                     \
    X(ETH_SHORT, "eth_short", "Ethernet header truncated")                                                   \
    X(ETH_NOT_MINE, "eth_not_mine", "Ethernet address of another host")                                      \
    X(ETH_TYPE, "eth_type", "Ethernet type not handled")                                                     \
    X(ETH_SRC, "eth_src", "Ethernet source is a group or our own address")                                   \
    X(ARP_BAD, "arp_bad", "ARP packet malformed or from an impossible address")                              \
    X(ARP_NOT_MINE, "arp_not_mine", "ARP for another host")                                                  \
    X(IP_SHORT, "ip_short", "IP header truncated")                                                           \
    X(IP_VERSION, "ip_version", "IP version not handled")                                                    \
    X(IP_HEADER, "ip_header", "IP header length below 20 or past the packet")                                \
    X(IP_LENGTH, "ip_length", "IP total length past the frame or below the header")                          \
    X(IP_CSUM, "ip_csum", "IP header checksum wrong")                                                        \
    X(IP_OPTIONS, "ip_options", "IP options malformed or source route")                                      \
    X(IP_SRC, "ip_src", "IP source is broadcast, multicast, loopback, our own or otherwise impossible")      \
    X(IP_NOT_MINE, "ip_not_mine", "IP destination of another host")                                          \
    X(IP_FRAGMENT, "ip_fragment", "IP fragment")                                                             \
    X(IP_PROTO, "ip_proto", "IP protocol not handled")                                                       \
    X(ICMP_SHORT, "icmp_short", "ICMP message truncated")                                                    \
    X(ICMP_CSUM, "icmp_csum", "ICMP checksum wrong")                                                         \
    X(ICMP_TYPE, "icmp_type", "ICMP type not handled")                                                       \
    X(ICMP_QUOTE, "icmp_quote", "ICMP error that quotes no connection of ours or a wrong sequence number")   \
    X(UDP_SHORT, "udp_short", "UDP header truncated or length wrong")                                        \
    X(UDP_CSUM, "udp_csum", "UDP checksum wrong")                                                            \
    X(UDP_PORT, "udp_port", "UDP port with no listener")                                                     \
    X(TCP_SHORT, "tcp_short", "TCP header truncated")                                                        \
    X(TCP_HEADER, "tcp_header", "TCP data offset below 5 or past the segment")                               \
    X(TCP_CSUM, "tcp_csum", "TCP checksum wrong")                                                            \
    X(TCP_FLAGS, "tcp_flags", "TCP flags that make no sense in this state")                                  \
    X(TCP_PORT, "tcp_port", "TCP port with no listener")                                                     \
    X(TCP_BACKLOG, "tcp_backlog", "TCP connection request beyond the backlog")                               \
    X(TCP_CONNS, "tcp_conns", "TCP connection request while the table is full")                              \
    X(TCP_SEQ, "tcp_seq", "TCP segment outside the window")                                                  \
    X(TCP_PAWS, "tcp_paws", "TCP timestamp older than one seen (PAWS)")                                      \
    X(TCP_ACK, "tcp_ack", "TCP acknowledgement of what was never sent, or far in the past")                  \
    X(TCP_RST, "tcp_rst", "TCP reset that is not exactly in sequence (challenged)")                          \
    X(TCP_SYN, "tcp_syn", "TCP SYN on a synchronised connection (challenged)")                               \
    X(TCP_OPTIONS, "tcp_options", "TCP options malformed")                                                   \
    X(TCP_AFTER_CLOSE, "tcp_after_close", "TCP data after the application closed")                           \
    X(TCP_OOO_SHORT, "tcp_ooo_short", "TCP out-of-order data while memory is short")                         \
    X(TCP_OWN_LIMIT, "tcp_own_limit", "TCP payload beyond the segments that its connection may pin")         \
    X(TCP_REFUSED, "tcp_refused", "TCP connection request while memory is short")                            \
    X(TCP_DUPLICATE, "tcp_duplicate", "TCP payload received already")                                        \
    X(TCP_OOO_LIMIT, "tcp_ooo_limit", "TCP out-of-order data beyond its bound")                              \
    X(NO_ZBUF, "no_zbuf", "payload dropped, no zbuf to replace the one that it lies in")                     \
    X(NO_PBUF, "no_pbuf", "payload dropped, no packet descriptor")                                           \
    X(NO_HEADER, "no_header", "reply not sent, no header block")                                             \
    X(NO_ROUTE, "no_route", "reply not sent, no route to its destination")                                   \
    X(RATE, "rate", "reply not sent, rate limit")                                                            \
    X(NEIGH_QUEUE, "neigh_queue", "datagram dropped, queue of its unresolved neighbour full")                \
    X(NEIGH_FAILED, "neigh_failed", "datagram dropped, its neighbour did not answer")                        \
    X(TX_REFUSED, "tx_refused", "frame refused by the device")                                               \
    X(FRAME_PIECES, "frame_pieces", "frame in more pieces than its headers allow")

enum weir_drop {
#define WEIR_DROP_ENUM(name, lower, text) WEIR_DROP_##name,
    WEIR_DROP_MAP(WEIR_DROP_ENUM)
#undef WEIR_DROP_ENUM
        WEIR_DROPS
};

/* The name in lower case ("tcp_csum") and the text of a reason; "?" beyond the table. Any context. */
const char *weir_drop_name(enum weir_drop);
const char *weir_drop_text(enum weir_drop);

/* The ladder: what Weir does as the memory that received data needs runs short, each rung beside those below
 * it. A rung is left at a better level than the one at which it was reached; docs/memory/zbuf.md has the levels.
 * X(name, name in lower case, text). */
#define WEIR_RUNG_MAP(X)                                                                                     \
    X(NONE, "none", "memory is not short")                                                                   \
    X(WINDOWS, "windows", "receive windows are told smaller, also than was promised before")                 \
    X(OOO, "ooo", "data out of order is dropped")                                                            \
    X(COPY, "copy", "small slices are copied out of the large segments that they pin")                       \
    X(REFUSE, "refuse", "new connections are refused, windows shut; in the end one that is stuck is reset")

enum weir_rung {
#define WEIR_RUNG_ENUM(name, lower, text) WEIR_RUNG_##name,
    WEIR_RUNG_MAP(WEIR_RUNG_ENUM)
#undef WEIR_RUNG_ENUM
        WEIR_RUNGS
};

/* The name in lower case ("windows") and the text of a rung; "?" beyond the table. Any context. */
const char *weir_rung_name(enum weir_rung);
const char *weir_rung_text(enum weir_rung);

/* X(name, text), each a uint64_t of struct weir_stats. */
#define WEIR_STATS_MAP(X)                                                                                    \
    X(tx_frames, "frames sent")                                                                              \
    X(tx_bytes_wire, "bytes sent with headers")                                                              \
    X(rx_frames, "frames received")                                                                          \
    X(rx_bytes_wire, "bytes received with headers")                                                          \
    X(tx_bytes_ref, "payload bytes accepted by reference")                                                   \
    X(tx_bytes_copied, "payload bytes accepted by copy")                                                     \
    X(rx_bytes, "payload bytes delivered in order")                                                          \
    X(rx_bytes_copied, "received payload bytes copied, by weir_recv or to unpin large segments")             \
    X(tx_segments, "TCP segments or large segments sent with payload")                                       \
    X(tx_acks, "TCP segments sent without payload")                                                          \
    X(rx_segments, "TCP segments or merged segments received")                                               \
    X(retransmits, "segments sent again")                                                                    \
    X(retransmit_bytes, "payload bytes sent again")                                                          \
    X(timeouts, "retransmission time-outs")                                                                  \
    X(fast_recoveries, "fast recoveries entered")                                                            \
    X(zwin_probes, "zero-window probes sent")                                                                \
    X(keepalives, "keep-alive probes sent")                                                                  \
    X(dup_acks, "duplicate acknowledgements received")                                                       \
    X(ooo_segments, "segments received out of order and kept")                                               \
    X(challenge_acks, "challenge acknowledgements sent (RFC 5961)")                                          \
    X(syn_cookies_sent, "SYN-ACKs sent that nothing here remembers")                                         \
    X(syn_cookies_taken, "connections opened by a cookie")                                                   \
    X(resets_sent, "resets sent")                                                                            \
    X(resets_received, "connections reset by their peer")                                                    \
    X(conns_opened, "connections established")                                                               \
    X(conns_closed, "connections gone")                                                                      \
    X(zbuf_allocs, "zbufs handed out, to anybody")                                                           \
    X(zbuf_frees, "zbufs returned to their pool")                                                            \
    X(zbuf_peak, "most zbufs in use by others than a device's posted buffers")                               \
    X(fallthroughs, "zbufs taken from a larger class because the best one was used up")                      \
    X(pressure, "takes refused because a floor was reached")                                                 \
    X(gives, "releases from other threads")                                                                  \
    X(gives_excess, "releases from other threads beyond the application's references")                       \
    X(window_shut, "times a receive window closed")                                                          \
    X(windows_cut, "windows told smaller because memory was short")                                          \
    X(ooo_dropped, "bytes out of order that were dropped because memory was short")                          \
    X(slices_copied, "bytes copied out of segments that they pinned while memory was short")                 \
    X(ladder_resets, "connections reset because memory was short for config.reset_after_ms")                 \
    X(polls, "calls of weir_poll")                                                                           \
    X(waits, "sleeps in weir_poll")

struct weir_zclass_stats {
    uint32_t bytes, count, free, low; /* low: fewest free ever */
};

struct weir_stats {
#define WEIR_STATS_FIELD(name, text) uint64_t name;
    WEIR_STATS_MAP(WEIR_STATS_FIELD)
#undef WEIR_STATS_FIELD
    uint64_t drops[WEIR_DROPS];
    uint32_t zbuf_live;   /* zbufs that somebody holds, without those posted to devices */
    uint32_t zbuf_posted; /* zbufs posted to devices */
    uint32_t conns_live;
    uint32_t timewait_live;
    uint32_t pbufs_live, pbufs_peak;
    uint32_t txrecs_live, txrecs_peak;
    uint32_t rung;              /* enum weir_rung, now */
    uint64_t rungs[WEIR_RUNGS]; /* how often each was reached from below; rungs[0] stays 0 */
    uint32_t zclasses;
    struct weir_zclass_stats zclass[WEIR_ZCLASSES_MAX];
};

#ifdef __cplusplus
}
#endif
#endif
