/* addr.c: addresses as people write them. */
#include <stdbool.h>
#include <string.h>

#include "base/text.h"
#include "weir/weir.h"

#define PREFIX_DEFAULT 24u
#define PREFIX_MAX     30u
#define PORT_MAX       65535u

/* A decimal number of 0 .. max without leading zeros, which some programs take for octal. */
static bool read_number(const char **p, uint64_t max, uint64_t *out)
{
    const char *start = *p;
    if (weir_text_read(p, max, out) != 0) return false;
    return *start != '0' || *p == start + 1;
}

static bool read_ip4(const char **p, uint8_t ip[16])
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t octet;
        if (i > 0 && *(*p)++ != '.') return false;
        if (!read_number(p, 255, &octet)) return false;
        ip[i] = (uint8_t)octet;
    }
    return true;
}

int weir_ifaddr_parse(struct weir_ifaddr *out, const char *text)
{
    struct weir_ifaddr a = {.family = WEIR_IP4};
    uint64_t prefix = PREFIX_DEFAULT;
    if (!read_ip4(&text, a.ip)) return WEIR_EINVAL;
    if (*text == '/') {
        text++;
        if (!read_number(&text, PREFIX_MAX, &prefix) || prefix == 0) return WEIR_EINVAL;
    }
    if (*text != '\0') return WEIR_EINVAL;
    a.prefix = (uint8_t)prefix;
    *out = a;
    return 0;
}

int weir_addr_parse(struct weir_addr *out, const char *text)
{
    struct weir_addr a = {.family = WEIR_IP4};
    uint64_t port;
    if (!read_ip4(&text, a.ip) || *text++ != ':') return WEIR_EINVAL;
    if (!read_number(&text, PORT_MAX, &port) || port == 0 || *text != '\0') return WEIR_EINVAL;
    a.port = (uint16_t)port;
    *out = a;
    return 0;
}
