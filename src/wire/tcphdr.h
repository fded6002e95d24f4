/* tcphdr.h: the TCP header and its options (RFC 9293 3.1 and 3.2, RFC 7323, RFC 2018), bytes <-> struct.
 * Pure. */
#ifndef WEIR_TCPHDR_H
#define WEIR_TCPHDR_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/stats.h"

#define WEIR_TCP_BYTES     20u
#define WEIR_TCP_BYTES_MAX 60u
#define WEIR_TCP_CSUM_AT   16u /* offset of the checksum field */
#define WEIR_TCP_SACK_MAX  4u

enum {
    WEIR_TCP_FIN = 1,
    WEIR_TCP_SYN = 2,
    WEIR_TCP_RST = 4,
    WEIR_TCP_PSH = 8,
    WEIR_TCP_ACK = 16,
    WEIR_TCP_URG = 32,
    WEIR_TCP_ECE = 64,
    WEIR_TCP_CWR = 128
};

enum weir_tcpopt { /* bits of weir_tcphdr.opts: the option is there */
                   WEIR_TCPOPT_MSS = 1,
                   WEIR_TCPOPT_WSCALE = 2,
                   WEIR_TCPOPT_TS = 4,
                   WEIR_TCPOPT_SACK_OK = 8,
                   WEIR_TCPOPT_SACK = 16
};

struct weir_tcphdr {
    uint16_t sport, dport;
    uint32_t seq, ack;
    uint16_t wnd; /* as on the wire, unscaled */
    uint16_t urg;
    uint8_t flags;
    uint8_t hdr_bytes; /* 20 to 60 */
    uint8_t opts;      /* enum weir_tcpopt */
    uint8_t wscale;    /* 0 to 14; larger values on the wire are read as 14 (RFC 7323 2.3) */
    uint16_t mss;
    uint32_t tsval, tsecr;
    uint8_t n_sack;
    struct {
        uint32_t from, to;
    } sack[WEIR_TCP_SACK_MAX];
};

/* p[0..n): contiguous bytes from the header on, the whole header if it is there; total: bytes of the segment.
 * Unknown options are skipped by their length; an option whose length is 0, 1, past the header or wrong for
 * its kind makes the segment malformed. Not checked here: the checksum. False: *why is WEIR_DROP_TCP_SHORT,
 * _HEADER or _OPTIONS. */
bool weir_tcphdr_parse(struct weir_tcphdr *, const uint8_t *p, uint32_t n, uint32_t total,
                       enum weir_drop *why);

/* Writes header and options (in the order MSS, SACK_OK, TS, WSCALE, SACK), with a checksum field of 0. NOPs
 * stand ahead of an option, so that each begins where the fast paths of common peers look for it: NOP NOP TS
 * alone, SACK_OK TS together. Returns the bytes written. hdr_bytes is not read. At most 60: SACK blocks that
 * do not fit are left out. */
uint32_t weir_tcphdr_emit(uint8_t *p, const struct weir_tcphdr *);

/* The bytes that emit would write. */
uint32_t weir_tcphdr_bytes(const struct weir_tcphdr *);

#endif
