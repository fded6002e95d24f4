/* bench_peer.c: a TCP client of few words.
 *
 * Payload is all `x`, so its checksum follows from its length. Nothing is retransmitted and nothing may be
 * lost: a frame that is not the next one of its connection is counted in `odd`, and the figure is refused. */
#include "bench_peer.h"

#include <string.h>

#define ETHER_BYTES 14u
#define IP_BYTES    20u
#define TCP_BYTES   20u
#define SYN         2u
#define ACK         16u
#define PSH         8u
#define MSS         1460u
#define SCALE       7u
#define FIRST_SEQ   1000u
#define STAMP_BYTES 12u
#define ACK_EVERY   2u /* segments of the MTU */

const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 1}, peer_server_mac[6] = {2, 0, 0, 0, 0, 2};
const uint8_t peer_ip[4] = {10, 77, 0, 1}, peer_server_ip[4] = {10, 77, 0, 2};

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16), put16(p + 2, v);
}

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) << 16 | get16(p + 2);
}

void peer_init(struct peer *p, const struct peer_conf *conf, uint16_t ports)
{
    memset(p, 0, sizeof *p);
    memset(p->frame, 'x', sizeof p->frame);
    p->conf = *conf;
    for (unsigned i = 0; i < conf->conns; i++)
        p->conn[i] = (struct peer_conn){
            .port = (uint16_t)(ports + i), .snd_nxt = FIRST_SEQ, .snd_una = FIRST_SEQ, .snd_end = FIRST_SEQ};
}

/* ---- what the server sent ---- */

static void read_options(struct peer_conn *c, const uint8_t *o, uint32_t n)
{
    for (uint32_t at = 0; at < n && o[at] != 0;) {
        if (o[at] == 1) {
            at++;
            continue;
        }
        if (at + 1 >= n || o[at + 1] < 2 || o[at + 1] > n - at) return;
        if (o[at] == 3) c->scale = o[at + 2];
        if (o[at] == 8) c->stamps = true, c->stamp_echo = get32(o + at + 2);
        at += o[at + 1];
    }
}

static void owe_ack(struct peer *p, struct peer_conn *c, uint32_t bytes)
{
    if (p->conf.does != PEER_TAKE) return;
    if (++c->unacked < ACK_EVERY && bytes <= MSS) return;
    c->unacked = 0;
    if (c->n_acks == PEER_ACKS) c->n_acks--; /* the newest says it as well */
    c->acks[(c->ack_head + c->n_acks++) % PEER_ACKS] = c->rcv_nxt;
}

static void take_payload(struct peer *p, struct peer_conn *c, uint32_t seq, uint32_t bytes)
{
    if (bytes == 0) return;
    if (seq != c->rcv_nxt) {
        p->odd++;
        return;
    }
    c->rcv_nxt += bytes;
    c->answered = true;
    if (p->conf.does == PEER_ECHO) p->units++;
    if (p->conf.does == PEER_TAKE) p->units += bytes;
    owe_ack(p, c, bytes);
}

static void take_ack(struct peer *p, struct peer_conn *c, uint32_t ack, uint32_t window)
{
    uint32_t newly = ack - c->snd_una;
    if (newly > c->snd_nxt - c->snd_una) {
        p->odd++;
        return;
    }
    c->snd_una = ack;
    c->snd_end = ack + window;
    if (p->conf.does == PEER_GIVE && c->open) p->units += newly;
}

static void take_tcp(struct peer *p, struct peer_conn *c, const uint8_t *tcp, uint32_t bytes)
{
    uint32_t header = (uint32_t)(tcp[12] >> 4) * 4, seq = get32(tcp + 4);
    bool syn = (tcp[13] & SYN) != 0;
    read_options(c, tcp + TCP_BYTES, header - TCP_BYTES);
    take_ack(p, c, get32(tcp + 8), get16(tcp + 14) << (syn ? 0 : c->scale));
    if (syn && !c->open) {
        c->open = c->answered = true;
        c->rcv_nxt = seq + 1;
        c->acks[(c->ack_head + c->n_acks++) % PEER_ACKS] = c->rcv_nxt;
        return;
    }
    take_payload(p, c, seq, bytes - header);
}

void peer_take(struct peer *p, const uint8_t *f, uint32_t here, uint32_t bytes)
{
    if (here >= ETHER_BYTES && get16(f + 12) == 0x0806) {
        p->arp_owed = here >= ETHER_BYTES + 28 && f[ETHER_BYTES + 7] == 1 &&
                      memcmp(f + ETHER_BYTES + 24, peer_ip, 4) == 0;
        return;
    }
    if (here < ETHER_BYTES + IP_BYTES + TCP_BYTES || get16(f + 12) != 0x0800 || f[ETHER_BYTES + 9] != 6)
        return; /* others that a stack may say of itself */
    const uint8_t *tcp = f + ETHER_BYTES + IP_BYTES;
    uint32_t i = get16(tcp + 2) - p->conn[0].port, header = (uint32_t)(tcp[12] >> 4) * 4;
    uint32_t total = get16(f + ETHER_BYTES + 2);
    if (i >= p->conf.conns || header < TCP_BYTES || ETHER_BYTES + IP_BYTES + header > here ||
        (tcp[13] & 4) != 0 || total + ETHER_BYTES > bytes) {
        p->odd++;
        return;
    }
    take_tcp(p, &p->conn[i], tcp, total - IP_BYTES);
}

/* ---- what it is sent ---- */

static uint32_t sum_words(const uint8_t *p, uint32_t n, uint32_t sum)
{
    for (uint32_t i = 0; i + 1 < n; i += 2)
        sum += get16(p + i);
    return sum;
}

static uint32_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint32_t)sum;
}

static uint32_t payload_sum(uint32_t n)
{
    return fold((uint64_t)(n / 2) * ('x' * 256 + 'x') + (n % 2) * ('x' * 256));
}

static uint32_t put_options(const struct peer_conn *c, uint8_t *o, bool syn)
{
    static const uint8_t offer[] = {2, 4, MSS >> 8, MSS & 0xff, 1, 3, 3, SCALE, 1, 1, 4, 2};
    uint32_t n = 0;
    if (syn) memcpy(o, offer, n = sizeof offer);
    if (!syn && !c->stamps) return 0;
    o[n] = o[n + 1] = 1, o[n + 2] = 8, o[n + 3] = 10;
    put32(o + n + 4, c->snd_nxt); /* grows with what is sent: a clock good enough for PAWS */
    put32(o + n + 8, syn ? 0 : c->stamp_echo);
    return n + STAMP_BYTES;
}

static void put_ip(uint8_t *ip, uint32_t bytes)
{
    memset(ip, 0, IP_BYTES);
    ip[0] = 0x45, ip[6] = 0x40, ip[8] = 64, ip[9] = 6;
    put16(ip + 2, bytes);
    memcpy(ip + 12, peer_ip, 4);
    memcpy(ip + 16, peer_server_ip, 4);
    put16(ip + 10, ~fold(sum_words(ip, IP_BYTES, 0)) & 0xffff);
}

static void make_segment(struct peer *p, struct peer_conn *c, uint32_t flags, uint32_t ack, uint32_t payload)
{
    uint8_t *ip = p->frame + ETHER_BYTES, *tcp = ip + IP_BYTES;
    memcpy(p->frame, peer_server_mac, 6);
    memcpy(p->frame + 6, peer_mac, 6);
    put16(p->frame + 12, 0x0800);
    memset(tcp, 0, TCP_BYTES);
    put16(tcp, c->port);
    put16(tcp + 2, PEER_PORT);
    put32(tcp + 4, c->snd_nxt);
    put32(tcp + 8, ack);
    put16(tcp + 14, 0xffff);
    uint32_t header = TCP_BYTES + put_options(c, tcp + TCP_BYTES, (flags & SYN) != 0);
    tcp[12] = (uint8_t)(header / 4 << 4);
    tcp[13] = (uint8_t)flags;
    memset(tcp + header, 'x', TCP_BYTES + 40); /* a longer header stood here before */
    put_ip(ip, IP_BYTES + header + payload);
    uint32_t sum = sum_words(ip + 12, 8, 6 + header + payload);
    put16(tcp + 16, ~fold((uint64_t)sum_words(tcp, header, sum) + payload_sum(payload)) & 0xffff);
    p->hdr_bytes = (uint16_t)(ETHER_BYTES + IP_BYTES + header);
    p->frame_bytes = p->hdr_bytes + payload;
    p->gso_bytes = 0;
    c->snd_nxt += payload + ((flags & SYN) != 0);
}

static void make_arp(struct peer *p)
{
    uint8_t *a = p->frame + ETHER_BYTES;
    static const uint8_t reply[] = {0, 1, 8, 0, 6, 4, 0, 2};
    memcpy(p->frame, peer_server_mac, 6);
    memcpy(p->frame + 6, peer_mac, 6);
    put16(p->frame + 12, 0x0806);
    memcpy(a, reply, sizeof reply);
    memcpy(a + 8, peer_mac, 6);
    memcpy(a + 14, peer_ip, 4);
    memcpy(a + 18, peer_server_mac, 6);
    memcpy(a + 24, peer_server_ip, 4);
    p->frame_bytes = ETHER_BYTES + 28;
    p->gso_bytes = 0;
}

static bool give(struct peer *p, struct peer_conn *c)
{
    uint32_t segment = MSS - (c->stamps ? STAMP_BYTES : 0), bytes = segment * p->conf.give_segments;
    if (p->given >= p->conf.give_frames || (int32_t)(c->snd_end - c->snd_nxt - bytes) < 0) return false;
    p->given++;
    make_segment(p, c, ACK, c->rcv_nxt, bytes);
    if (p->conf.give_segments > 1) p->gso_bytes = (uint16_t)segment;
    return true;
}

static bool next_of(struct peer *p, struct peer_conn *c)
{
    if (!c->asked) {
        c->asked = true;
        make_segment(p, c, SYN, 0, 0);
        return true;
    }
    if (!c->open) return false;
    if (c->n_acks > 0) {
        c->n_acks--;
        make_segment(p, c, ACK, c->acks[c->ack_head++ % PEER_ACKS], 0);
        return true;
    }
    if (p->conf.does == PEER_GIVE) return give(p, c);
    if (p->conf.does == PEER_TAKE || !c->answered) return false;
    c->answered = false;
    make_segment(p, c, ACK | PSH, c->rcv_nxt, 1);
    return true;
}

bool peer_next(struct peer *p)
{
    if (p->arp_owed) {
        p->arp_owed = false;
        make_arp(p);
        return true;
    }
    for (unsigned i = 0; i < p->conf.conns; i++)
        if (next_of(p, &p->conn[i])) return true;
    return false;
}

void peer_turn(struct peer *p)
{
    p->given = 0;
    if (!p->counting && p->units >= p->conf.warm_units) {
        p->counting = true;
        p->begun = p->units;
    }
    if (p->counting && p->units - p->begun >= p->conf.count_units) p->over = true;
}

uint64_t peer_counted(const struct peer *p)
{
    return p->units - p->begun;
}
