/* udphdr.c: the UDP header. */
#include "wire/udphdr.h"

#include "base/order.h"

bool weir_udphdr_parse(struct weir_udphdr *h, const uint8_t *p, uint32_t n, uint32_t total)
{
    if (n < WEIR_UDP_BYTES) return false;
    h->sport = weir_be16(p);
    h->dport = weir_be16(p + 2);
    h->bytes = weir_be16(p + 4);
    h->csum = weir_be16(p + 6);
    return h->bytes >= WEIR_UDP_BYTES && h->bytes <= total;
}

void weir_udphdr_emit(uint8_t *p, const struct weir_udphdr *h)
{
    weir_put_be16(p, h->sport);
    weir_put_be16(p + 2, h->dport);
    weir_put_be16(p + 4, h->bytes);
    weir_put_be16(p + 6, h->csum);
}
