/* ip4hdr.h: the IPv4 header (RFC 791), bytes <-> struct. Pure. */
#ifndef WEIR_IP4HDR_H
#define WEIR_IP4HDR_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/stats.h"

#define WEIR_IP4_BYTES 20u
#define WEIR_IP4_DF    0x4000u
#define WEIR_IP4_MF    0x2000u
enum { WEIR_PROTO_ICMP = 1, WEIR_PROTO_TCP = 6, WEIR_PROTO_UDP = 17 };

struct weir_ip4hdr {
    uint32_t src, dst;    /* numbers */
    uint16_t total_bytes; /* header and payload */
    uint16_t id;
    uint16_t frag;     /* flags (DF, MF) and offset in units of 8 bytes */
    uint8_t hdr_bytes; /* 20 to 60 */
    uint8_t tos, ttl, proto;
};

/* Checks version, lengths, header checksum and that options are well formed (each length inside the header; a
 * source route is refused, RFC 7126 4.3; others are skipped). p[0..n): contiguous bytes from the header on,
 * at least the whole header if the packet has one; total: bytes of the packet that were received, >= n.
 * False: *why is set. */
bool weir_ip4hdr_parse(struct weir_ip4hdr *, const uint8_t *p, uint32_t n, uint32_t total,
                       enum weir_drop *why);

/* Writes 20 bytes with the checksum; hdr_bytes is not read. */
void weir_ip4hdr_emit(uint8_t *p, const struct weir_ip4hdr *);

#endif
