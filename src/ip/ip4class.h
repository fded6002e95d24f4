/* ip4class.h: kinds of IPv4 addresses (RFC 1122 3.2.1.3, RFC 6890), as numbers. Pure. */
#ifndef WEIR_IP4CLASS_H
#define WEIR_IP4CLASS_H

#include <stdbool.h>
#include <stdint.h>

/* Whether one host somewhere could have this address: not "this network" (0/8), loopback, a group, reserved
 * or broadcast. */
static inline bool weir_ip4_is_host(uint32_t addr)
{
    uint32_t net = addr >> 24;
    return net != 0 && net != 127 && net < 224;
}

/* Whether the address is in a subnet but no host's there: the network itself or its broadcast. Prefixes of up
 * to 30. */
static inline bool weir_ip4_is_directed(uint32_t addr, uint32_t net, uint32_t mask)
{
    return ((addr ^ net) & mask) == 0 && ((addr & ~mask) == 0 || (addr & ~mask) == ~mask);
}

#endif
