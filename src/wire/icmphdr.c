/* icmphdr.c: the first eight bytes of ICMP. */
#include "wire/icmphdr.h"

#include "base/order.h"

bool weir_icmphdr_parse(struct weir_icmphdr *h, const uint8_t *p, uint32_t n)
{
    if (n < WEIR_ICMP_BYTES) return false;
    h->type = p[0];
    h->code = p[1];
    h->csum = weir_be16(p + 2);
    h->rest = weir_be32(p + 4);
    return true;
}

void weir_icmphdr_emit(uint8_t *p, const struct weir_icmphdr *h)
{
    p[0] = h->type;
    p[1] = h->code;
    weir_put_be16(p + 2, h->csum);
    weir_put_be32(p + 4, h->rest);
}
