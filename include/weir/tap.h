/* tap.h: a Linux TAP device with vnet header, so that segments up to 64 KB cross in one call and checksums
 * are left to the kernel. The kernel's end of the device is an ordinary interface (`--host` of `weir serve`
 * gives it an address).
 *
 * Linux only. Needs /dev/net/tun and CAP_NET_ADMIN, or an existing persistent TAP device that the user owns.
 */
#ifndef WEIR_TAP_H
#define WEIR_TAP_H

#include "weir/netdev.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_TAP_FIRST_MAX 64 /* small buffers posted */
#define WEIR_TAP_TAIL_MAX                                                                                    \
    44 /* rungs: larger buffers posted behind the small one of the frame that is read                        \
        */

/* Complete so that the caller can own it; members are private but for `dev`. */
struct weir_tap {
    struct weir_netdev dev;
    char ifname[16];
    int fd;             /* -1: closed */
    uint32_t host_addr; /* IPv4, host byte order; 0: none */
    uint8_t host_prefix;
    uint16_t offered;                          /* caps.offloads before open, for the next open */
    uint32_t rx_frame;                         /* the largest frame that can arrive */
    uint32_t first_bytes;                      /* size of a small buffer */
    uint32_t first_room;                       /* how many are wanted */
    uint32_t n_first;                          /* posted */
    uint32_t rungs;                            /* of the ladder */
    uint32_t tail_bytes;                       /* sum over the posted rungs */
    uint32_t tail_want[WEIR_TAP_TAIL_MAX];     /* sizes of the rungs */
    struct weir_piece tail[WEIR_TAP_TAIL_MAX]; /* addr NULL: not posted */
    struct weir_piece first[WEIR_TAP_FIRST_MAX];
    struct weir_piece rx_pieces[WEIR_TAP_FIRST_MAX + WEIR_TAP_TAIL_MAX];
};

/* Prepares a device in the caller's memory; nothing is asked of the system before weir_attach opens it.
 * ifname: 1 to 15 characters, no blank, '/', ':' or '%'; the interface is made, and goes when the device is
 * closed, unless it existed before: then it stays, with the address that it was given. host_cidr:
 * "10.9.0.1/24" (prefix 1 to 30, 24 if there is none), the address to give to the kernel's end, or NULL for
 * none (the user sets it up). offload 0 turns checksum and segmentation offloads off.
 * 0, or WEIR_EINVAL for a bad name or address. */
int weir_tap_init(struct weir_tap *, const char *ifname, const char *host_cidr, int offload);

#ifdef __cplusplus
}
#endif
#endif
