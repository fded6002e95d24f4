/* route.c: which interface and which next hop. The table is the interfaces' own subnets and gateways: at most
 * WEIR_IFACES_MAX of each, so a walk is the lookup. */
#include "base/bits.h"
#include "ip/ip4.h"
#include "ip/ip4class.h"

struct weir_ifc *weir_ip4_local(struct weir_ip *ip, uint32_t addr)
{
    for (uint32_t i = 0; i < ip->n_ifc; i++) {
        if (ip->ifc[i].up && ip->ifc[i].addr == addr) return &ip->ifc[i];
    }
    return NULL;
}

/* The longer prefix is the larger mask. */
static struct weir_ifc *on_link(struct weir_ip *ip, uint32_t dst)
{
    struct weir_ifc *best = NULL;
    for (uint32_t i = 0; i < ip->n_ifc; i++) {
        struct weir_ifc *c = &ip->ifc[i];
        if (!c->up || ((dst ^ c->addr) & c->mask) != 0) continue;
        if (best == NULL || c->mask > best->mask) best = c;
    }
    return best;
}

static struct weir_ifc *by_gateway(struct weir_ip *ip)
{
    for (uint32_t i = 0; i < ip->n_ifc; i++) {
        if (ip->ifc[i].up && ip->ifc[i].gateway != 0) return &ip->ifc[i];
    }
    return NULL;
}

struct weir_ifc *weir_ip4_route(struct weir_ip *ip, uint32_t dst, uint32_t *next_hop)
{
    if (!weir_ip4_is_host(dst) || weir_ip4_local(ip, dst) != NULL) return NULL;
    struct weir_ifc *c = on_link(ip, dst);
    if (c != NULL) {
        *next_hop = dst;
        return weir_ip4_is_directed(dst, c->addr, c->mask) ? NULL : c;
    }
    c = by_gateway(ip);
    if (c != NULL) *next_hop = c->gateway;
    return c;
}
