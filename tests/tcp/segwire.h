/* segwire.h: TCP segments in IPv4 in Ethernet, struct <-> frame, by a naive codec of the tests' own: an error
 * in the stack's wire/ or base/ can't cancel itself here. Pure. */
#ifndef WEIR_TEST_SEGWIRE_H
#define WEIR_TEST_SEGWIRE_H

#include <stdint.h>

#define SEG_PAYLOAD_MAX 1480u
#define SEG_OPTS_MAX    40u
#define SEG_SACKS_MAX   4u
#define SEG_FRAME_MAX   1536u
#define SEG_FRAME_MIN   60u /* shorter frames are padded, as an Ethernet does */
#define SEG_L3_AT       14u
#define SEG_L4_AT       34u /* where no IP options are */

enum {
    SEG_FIN = 1,
    SEG_SYN = 2,
    SEG_RST = 4,
    SEG_PSH = 8,
    SEG_ACK = 16,
    SEG_URG = 32,
    SEG_ECE = 64,
    SEG_CWR = 128
};

enum seg_opt {
    SEG_MSS = 1,
    SEG_WSCALE = 2,
    SEG_TS = 4,
    SEG_SACK_OK = 8,
    SEG_SACK = 16,
    SEG_RAW = 32,  /* bytes as they are, sent only */
    SEG_OTHER = 64 /* a kind not known here, received only */
};

struct seg {
    uint32_t src, dst;
    uint16_t sport, dport;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t win, urg;
    unsigned opts; /* enum seg_opt */
    uint16_t mss;
    uint8_t wscale;
    uint32_t tsval, tsecr;
    unsigned n_sack;
    struct {
        uint32_t from, to;
    } sack[SEG_SACKS_MAX];
    uint8_t raw[SEG_OPTS_MAX];
    unsigned n_raw;
    uint32_t opt_bytes; /* as received */
    uint32_t bytes;
    uint8_t payload[SEG_PAYLOAD_MAX];
};

/* Sequence numbers that a segment takes. */
uint32_t seg_len(const struct seg *);

/* The complete frame, checksums right, padded. frame has SEG_FRAME_MAX bytes. Returns its length. */
uint32_t seg_encode(uint8_t *frame, const struct seg *, const uint8_t dst[6], const uint8_t src[6]);

/* An IPv4 header without options and the Ethernet header in front of l4_bytes at SEG_L4_AT. Returns the
 * frame's length. */
uint32_t seg_wrap_ip(uint8_t *frame, uint32_t from, uint32_t to, uint8_t proto, uint32_t l4_bytes,
                     const uint8_t dst[6], const uint8_t src[6]);

/* Makes the IPv4 header's checksum right after a change; the header's length is believed. */
void seg_fix_ip(uint8_t *frame);
/* The same for TCP; the IPv4 lengths are believed. */
void seg_fix_tcp(uint8_t *frame);

/* Reads a TCP/IPv4 frame with every check that a frame of the stack must pass. NULL, or what is wrong. */
const char *seg_decode(struct seg *, const uint8_t *frame, uint32_t n);

/* The folded one's-complement sum of p[0..n) and start: 0xffff over bytes that hold a right checksum. */
uint16_t seg_sum(uint32_t start, const uint8_t *p, uint32_t n);

/* The byte of a stream at a sequence number relative to the initial one; to_weir 0 or 1. */
uint8_t seg_byte(unsigned to_weir, uint32_t rel);

#endif
