/* netdev_contract.h: what every driver must do, as one suite. A driver's test provides a rig, with a peer at
 * the other end of the device's wire, and calls weir_contract_run. */
#ifndef WEIR_NETDEV_CONTRACT_H
#define WEIR_NETDEV_CONTRACT_H

#include <stdint.h>

#include "weir/netdev.h"

/* Frames of the suite carry this type (IEEE 802, local experiments); the peer must pass over all others. */
#define CONTRACT_ETHERTYPE 0x88B5u

struct contract_rig {
    const char *name;
    struct weir_netdev *dev;

    /* Makes a fresh, closed device with its peer; NULL, or why the suite must be skipped on this machine. */
    const char *(*build)(struct contract_rig *);

    /* Makes the peer ready, right after dev was opened. May be NULL. */
    void (*opened)(struct contract_rig *);
    void (*destroy)(struct contract_rig *);

    /* Puts a frame on the wire towards the device. 0: there was no room. */
    int (*peer_send)(struct contract_rig *, const uint8_t *frame, uint32_t bytes);

    /* The next frame that the device has transmitted: bytes, 0 when there is none. */
    uint32_t (*peer_recv)(struct contract_rig *, uint8_t *frame, uint32_t cap);

    /* Moves time on, so that whatever is on the wire arrives. May be NULL. */
    void (*settle)(struct contract_rig *);

    const struct weir_plat *plat;
    uint16_t offloads; /* that the stack is said to be able to use */
};

/* Runs the suite; what main returns. */
int weir_contract_run(struct contract_rig *);

#endif
