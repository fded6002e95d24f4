/* eth.c: the Ethernet II header. */
#include "wire/eth.h"

#include <string.h>

#include "base/order.h"

bool weir_eth_parse(struct weir_eth *h, const uint8_t *p, uint32_t n)
{
    if (n < WEIR_ETH_BYTES) return false;
    memcpy(h->dst, p, 6);
    memcpy(h->src, p + 6, 6);
    h->type = weir_be16(p + 12);
    return true;
}

void weir_eth_emit(uint8_t *p, const struct weir_eth *h)
{
    memcpy(p, h->dst, 6);
    memcpy(p + 6, h->src, 6);
    weir_put_be16(p + 12, h->type);
}
