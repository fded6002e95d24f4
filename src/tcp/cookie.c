/* cookie.c: SYN cookies (Bernstein, 1996; RFC 4987 3.6): a handshake that is remembered by the peer instead
 * of by us, for when a listener's half-open connections have reached their bound.
 *
 *     iss    [ 31..27: period mod 32 | 26..24: MSS | 23..0: keyed hash of addresses, ports, peer's ISN,
 * period, MSS ] tsval  [ 31..5: our clock | 4: the peer scales | 3..0: its window scale ]    (where the peer
 * has timestamps)
 *
 * A period lasts 64 seconds and a cookie is taken in its own and the next. Whoever did not see our SYN-ACK
 * hits one of 2^24 values, in a window of two periods, and only while cookies were sent lately at all. The
 * low bits of the clock in a SYN-ACK are given up: RFC 7323 asks for a clock that does not run faster than 1
 * ms, and it is only set back, never on. Without timestamps there is no place for the window scale, so
 * neither end scales.
 *
 * Rejected: keeping the scale in the MSS bits as well. Three bits for both would leave too few sizes to be
 * useful. */
#include <string.h>

#include "base/bits.h"
#include "tcp/tcp.h"

#define PERIOD_MS 65536u
#define LATELY_MS (2 * PERIOD_MS)
#define HASH_MASK 0xffffffu
#define TS_BITS   0x1fu
#define TS_SCALES 0x10u

static const uint16_t sizes[8] = {WEIR_TCP_MSS_MIN, 536, 1000, 1220, 1360, 1440, 1460, 8940};

static uint32_t hash_of(const struct weir_tcp *t, const struct weir_seg *s, uint32_t irs, uint32_t period,
                        uint32_t size)
{
    uint32_t in[6] = {
        s->pkt->ip.dst, s->pkt->ip.src, (uint32_t)s->h.dport << 16 | s->h.sport, irs, period, size};
    return (uint32_t)weir_siphash(&t->key_cookie, in, sizeof in) & HASH_MASK;
}

static uint32_t size_index(uint32_t mss)
{
    uint32_t i = 7;
    while (i > 0 && sizes[i] > mss)
        i--;
    return i;
}

uint32_t weir_cookie_iss(const struct weir_tcp *t, const struct weir_seg *s)
{
    uint32_t period = t->now_ms / PERIOD_MS;
    uint32_t size = size_index(s->h.opts & WEIR_TCPOPT_MSS ? s->h.mss : WEIR_TCP_MSS_DEFAULT);
    return (period & 31) << 27 | size << 24 | hash_of(t, s, s->seq, period, size);
}

uint32_t weir_cookie_tsval(uint32_t now, const struct weir_tcphdr *syn)
{
    uint32_t bits = syn->opts & WEIR_TCPOPT_WSCALE ? TS_SCALES | syn->wscale : 0;
    uint32_t ts = (now & ~TS_BITS) | bits;
    return weir_seq_lt(now, ts) ? ts - (TS_BITS + 1) : ts;
}

bool weir_cookie_check(const struct weir_tcp *t, const struct weir_listener *l, const struct weir_seg *s,
                       struct weir_tcphdr *syn)
{
    uint32_t iss = s->h.ack - 1, irs = s->h.seq - 1;
    uint32_t size = iss >> 24 & 7, now = t->now_ms / PERIOD_MS;
    if (!l->cookies || t->now_ms - l->cookie_ms > LATELY_MS) return false;
    uint32_t age = (now - (iss >> 27)) & 31;
    if (age > 1 || hash_of(t, s, irs, now - age, size) != (iss & HASH_MASK)) return false;
    memset(syn, 0, sizeof *syn);
    syn->opts = WEIR_TCPOPT_MSS;
    syn->mss = sizes[size];
    if (!(s->h.opts & WEIR_TCPOPT_TS)) return true; /* its SYN had none either */
    uint32_t bits = s->h.tsecr;
    syn->opts |= WEIR_TCPOPT_TS;
    syn->tsval = s->h.tsval;
    if (bits & TS_SCALES) {
        syn->opts |= WEIR_TCPOPT_WSCALE;
        syn->wscale = (uint8_t)weir_min_u32(bits & 15, 14);
    }
    return true;
}
