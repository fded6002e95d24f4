/* fuzz_wire.c: a fuzz target for each parser of wire/, chosen by FUZZ_PARSER when it is compiled.
 *
 * Input: one byte, times 8 the bytes by which the packet is longer than what lies together, then the bytes of
 * the header. What a parser accepts must keep the promises of its struct, and be equal after it is emitted
 * and parsed again. */
#include "fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "base/csum.h"
#include "base/order.h"
#include "wire/arp.h"
#include "wire/eth.h"
#include "wire/icmphdr.h"
#include "wire/ip4hdr.h"
#include "wire/tcphdr.h"
#include "wire/udphdr.h"

#define SEALED_BYTES_MAX 60u

static void fuzz_eth(const uint8_t *p, uint32_t n, uint32_t total)
{
    struct weir_eth h;
    uint8_t again[WEIR_ETH_BYTES];
    (void)total;
    bool ok = weir_eth_parse(&h, p, n);
    FUZZ_CHECK(ok == (n >= WEIR_ETH_BYTES));
    if (!ok) return;
    weir_eth_emit(again, &h);
    FUZZ_CHECK(memcmp(again, p, sizeof again) == 0);
}

static void fuzz_arp(const uint8_t *p, uint32_t n, uint32_t total)
{
    struct weir_arp a;
    uint8_t again[WEIR_ARP_BYTES];
    (void)total;
    if (!weir_arp_parse(&a, p, n)) return;
    FUZZ_CHECK(n >= WEIR_ARP_BYTES);
    FUZZ_CHECK(a.op == WEIR_ARP_REQUEST || a.op == WEIR_ARP_REPLY);
    weir_arp_emit(again, &a);
    FUZZ_CHECK(memcmp(again, p, sizeof again) == 0);
}

static void fuzz_icmphdr(const uint8_t *p, uint32_t n, uint32_t total)
{
    struct weir_icmphdr h;
    uint8_t again[WEIR_ICMP_BYTES];
    (void)total;
    bool ok = weir_icmphdr_parse(&h, p, n);
    FUZZ_CHECK(ok == (n >= WEIR_ICMP_BYTES));
    if (!ok) return;
    weir_icmphdr_emit(again, &h);
    FUZZ_CHECK(memcmp(again, p, sizeof again) == 0);
}

static void fuzz_udphdr(const uint8_t *p, uint32_t n, uint32_t total)
{
    struct weir_udphdr h;
    uint8_t again[WEIR_UDP_BYTES];
    if (!weir_udphdr_parse(&h, p, n, total)) return;
    FUZZ_CHECK(h.bytes >= WEIR_UDP_BYTES && h.bytes <= total);
    weir_udphdr_emit(again, &h);
    FUZZ_CHECK(memcmp(again, p, sizeof again) == 0);
}

static void try_ip4hdr(const uint8_t *p, uint32_t n, uint32_t total)
{
    struct weir_ip4hdr h, back;
    enum weir_drop why = WEIR_DROPS;
    uint8_t again[WEIR_IP4_BYTES];
    bool ok = weir_ip4hdr_parse(&h, p, n, total, &why);
    FUZZ_CHECK(ok == (why == WEIR_DROPS));
    if (!ok) return;
    FUZZ_CHECK(h.hdr_bytes >= WEIR_IP4_BYTES && h.hdr_bytes <= n);
    FUZZ_CHECK(h.total_bytes >= h.hdr_bytes && h.total_bytes <= total);
    weir_ip4hdr_emit(again, &h);
    FUZZ_CHECK(weir_ip4hdr_parse(&back, again, sizeof again, total, &why));
    FUZZ_CHECK(back.src == h.src && back.dst == h.dst && back.frag == h.frag && back.id == h.id);
    FUZZ_CHECK(back.total_bytes == h.total_bytes && back.proto == h.proto && back.ttl == h.ttl &&
               back.tos == h.tos);
}

/* As it came, and with a right checksum, which chance would hardly find. */
static void fuzz_ip4hdr(const uint8_t *p, uint32_t n, uint32_t total)
{
    uint8_t sealed[SEALED_BYTES_MAX];
    try_ip4hdr(p, n, total);
    if (n < WEIR_IP4_BYTES) return;
    uint32_t hdr_bytes = (p[0] & 15u) * 4; /* at most 60 */
    if (hdr_bytes < WEIR_IP4_BYTES || hdr_bytes > n) return;
    memcpy(sealed, p, hdr_bytes);
    weir_put_be16(sealed + 10, 0);
    weir_put_be16(sealed + 10, weir_csum_done(weir_csum_add(0, sealed, hdr_bytes, 0)));
    try_ip4hdr(sealed, hdr_bytes, total);
}

static void fuzz_tcphdr(const uint8_t *p, uint32_t n, uint32_t total)
{
    struct weir_tcphdr h, back;
    enum weir_drop why = WEIR_DROPS;
    uint8_t again[WEIR_TCP_BYTES_MAX];
    bool ok = weir_tcphdr_parse(&h, p, n, total, &why);
    FUZZ_CHECK(ok == (why == WEIR_DROPS));
    if (!ok) return;
    FUZZ_CHECK(h.hdr_bytes >= WEIR_TCP_BYTES && h.hdr_bytes <= n && h.hdr_bytes <= total);
    FUZZ_CHECK(h.wscale <= 14 && h.n_sack <= WEIR_TCP_SACK_MAX);
    FUZZ_CHECK((h.n_sack > 0) == ((h.opts & WEIR_TCPOPT_SACK) != 0));
    uint32_t bytes = weir_tcphdr_emit(again, &h);
    FUZZ_CHECK(bytes == weir_tcphdr_bytes(&h) && bytes <= sizeof again);
    FUZZ_CHECK(weir_tcphdr_parse(&back, again, bytes, bytes, &why));
    FUZZ_CHECK(back.seq == h.seq && back.ack == h.ack && back.flags == h.flags && back.wnd == h.wnd);
    FUZZ_CHECK(((back.opts ^ h.opts) & ~WEIR_TCPOPT_SACK) == 0 && back.n_sack <= h.n_sack);
    FUZZ_CHECK(back.mss == h.mss && back.wscale == h.wscale);
    FUZZ_CHECK(back.tsval == h.tsval && back.tsecr == h.tsecr);
}

static const struct {
    const char *name;
    void (*run)(const uint8_t *p, uint32_t n, uint32_t total);
} parsers[] = {{"eth", fuzz_eth},       {"arp", fuzz_arp},       {"icmphdr", fuzz_icmphdr},
               {"udphdr", fuzz_udphdr}, {"ip4hdr", fuzz_ip4hdr}, {"tcphdr", fuzz_tcphdr}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0 || n > UINT16_MAX) return 0;
    uint32_t bytes = (uint32_t)n - 1;
    for (size_t i = 0; i < sizeof parsers / sizeof parsers[0]; i++) {
        if (strcmp(parsers[i].name, FUZZ_PARSER) != 0) continue;
        parsers[i].run(data + 1, bytes, bytes + data[0] * 8u);
        return 0;
    }
    __builtin_trap(); /* FUZZ_PARSER names none of the parsers */
}
