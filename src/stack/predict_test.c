/* predict_test.c: the short ways (tcp_fast.c, tcp_plain.c) against the full ones. Two instances with the same
 * entropy and clock, one of them held to the full path, get the same random segments and calls. After each
 * step their memory is compared word by word, all of it: a word may differ only by the distance between the
 * two areas, which makes it a pointer into its own, or by the distance between what lies outside of them. So
 * every table, list, count and byte is the same, and so is every frame that was sent.
 *
 * The peer sends what is expected mostly, and else that with one thing changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/csum.h"
#include "base/order.h"
#include "base/test_seed.h"
#include "fuzz/fuzzdev.h"
#include "simnet.h"
#include "stack/stack.h"
#include "wire/eth.h"
#include "wire/tcphdr.h"

#define SESSIONS   60u
#define STEPS      400u
#define OUR_IP     0x0a000001u
#define PEER_IP    0x0a000002u
#define FRAMES_MAX 512u
#define HEADERS    (WEIR_ETH_BYTES + 20u) /* as the peer builds them; a raw device gets no Ethernet header */

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};

/* What one instance sent in a step. */
struct sent {
    uint8_t bytes[4 * FUZZDEV_FRAME_BYTES];
    uint32_t n, frames;
    struct weir_frame frame[FRAMES_MAX]; /* without its pieces */
};

struct twin {
    struct weir *w;
    struct fuzzdev dev;
    struct sent sent;
    struct weir_event event[16];
    int events;
};

static struct world {
    struct weir_sim sim;
    struct twin twin[2]; /* the second one goes the full way */
    struct weir_area area[2];
    weir_id conn, listener;
    uint8_t *lent[64];
    unsigned n_lent;
    bool ts, raw;
    uint32_t offloads;
    uint32_t seq, ack; /* the peer's: what it sends next and what it has received */
    uint32_t una;      /* what it has acknowledged */
    uint32_t stamp;    /* our last timestamp */
    uint16_t wnd;
    bool silent;       /* the peer acknowledges nothing new: something was lost */
    uint64_t short_in; /* segments that were offered as expected */
} x;

static uint32_t rnd(uint32_t n)
{
    return test_below(&x.sim, n);
}

static void sink(void *ctx, const uint8_t *bytes, const struct weir_frame *f)
{
    struct sent *s = ctx;
    assert_true(s->frames < FRAMES_MAX && s->n + f->bytes <= sizeof s->bytes);
    memcpy(s->bytes + s->n, bytes, f->bytes);
    s->n += f->bytes;
    s->frame[s->frames] = *f;
    s->frame[s->frames++].pieces = NULL;
}

/* ---- the comparison ---- */

/* The pieces of the last burst have holes in them, which hold whatever was there; the frames are compared. */
static bool in_burst(size_t at)
{
    const struct weir *w = x.twin[0].w;
    size_t from = (size_t)((const uint8_t *)w->mem[0].tx_piece - (const uint8_t *)x.area[0].base);
    return at - from < WEIR_TXQ_PIECES(w->conf.tx_burst) * sizeof(struct weir_piece);
}

static void compare_memory(void)
{
    const uint64_t *a = x.area[0].base, *b = x.area[1].base;
    uint64_t apart = (uint64_t)((uintptr_t)b - (uintptr_t)a);
    uint64_t outside = (uint64_t)((uintptr_t)&x.twin[1] - (uintptr_t)&x.twin[0]);
    x.twin[1].w->tcp.full_path = false;
    for (size_t i = 0; i < x.area[0].bytes / 8; i++) {
        uint64_t d = b[i] - a[i];
        if (d != 0 && d != apart && d != outside && !in_burst(i * 8))
            fail_msg("byte %zu of %zu: %llx and %llx", i * 8, x.area[0].bytes, (unsigned long long)a[i],
                     (unsigned long long)b[i]);
    }
    x.twin[1].w->tcp.full_path = true;
}

static void compare_sent(void)
{
    const struct sent *a = &x.twin[0].sent, *b = &x.twin[1].sent;
    assert_int_equal(a->frames, b->frames);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->bytes, b->bytes, a->n);
    assert_memory_equal(a->frame, b->frame, a->frames * sizeof a->frame[0]);
}

/* The peer learns from what was sent. */
static void peer_reads(const uint8_t *p, uint32_t n)
{
    struct weir_tcphdr h;
    enum weir_drop why;
    if (x.raw) {
        p -= WEIR_ETH_BYTES;
        n += WEIR_ETH_BYTES;
    }
    if (n < HEADERS + WEIR_TCP_BYTES || (!x.raw && weir_be16(p + 12) != WEIR_ETHERTYPE_IP4) ||
        p[23] != WEIR_PROTO_TCP)
        return;
    uint32_t l4 = weir_be16(p + 16) - 20u;
    assert_true(weir_tcphdr_parse(&h, p + HEADERS, l4, l4, &why));
    uint32_t end = h.seq + (l4 - h.hdr_bytes) + ((h.flags & (WEIR_TCP_SYN | WEIR_TCP_FIN)) != 0);
    if ((h.flags & WEIR_TCP_SYN) || (int32_t)(end - x.ack) > 0) x.ack = end;
    if (h.opts & WEIR_TCPOPT_TS) x.stamp = h.tsval;
}

/* One poll of each, and everything is compared. */
static void step(void)
{
    for (int i = 0; i < 2; i++) {
        struct twin *t = &x.twin[i];
        t->sent.n = t->sent.frames = 0;
        memset(t->event, 0, sizeof t->event);
        t->events = weir_poll(t->w, t->event, 16, 0);
        (void)weir_flush(t->w);
    }
    assert_int_equal(x.twin[0].events, x.twin[1].events);
    assert_memory_equal(x.twin[0].event, x.twin[1].event, sizeof x.twin[0].event);
    compare_sent();
    compare_memory();
    assert_int_equal(weir_stack_check(x.twin[0].w), 0);
    const struct sent *s = &x.twin[0].sent;
    for (uint32_t i = 0, at = 0; i < s->frames; at += s->frame[i++].bytes)
        peer_reads(s->bytes + at, s->frame[i].bytes);
}

/* ---- the peer's frames ---- */

struct segment {
    uint32_t seq, ack, tsval, tsecr;
    uint16_t wnd, flags;
    uint8_t opts; /* 0: none, 1: timestamps as usual, 2: behind other NOPs, 3: SYN's */
    uint32_t bytes;
    uint16_t frame_flags, cut, spoil; /* spoil > 0: this byte is turned */
    uint8_t reserved, below;          /* enum below */
};

/* What is not as usual below TCP. */
enum below {
    USUAL,
    TO_GROUP,
    TO_OTHER,
    FROM_GROUP,
    FROM_US,
    OTHER_TYPE,
    LONGER_HEADER,
    TOS,
    MORE_FRAGMENTS,
    LATER_FRAGMENT,
    RESERVED_BIT,
    LAST_HOP,
    OTHER_PROTO,
    PADDED,
    CUT_SHORT,
    TOO_LONG,
    FROM_OURSELVES,
    FROM_NOBODY,
    TO_SOMEBODY,
    BELOWS
};

/* Changes a frame of n bytes; its length then. */
static uint32_t put_below(uint8_t *p, uint32_t n, enum below how)
{
    uint8_t *ip = p + WEIR_ETH_BYTES;
    static const uint8_t byte[BELOWS][2] = {[TO_OTHER] = {5, 9},
                                            [FROM_GROUP] = {6, 3},
                                            [OTHER_TYPE] = {13, 6},
                                            [LONGER_HEADER] = {14, 0x46},
                                            [TOS] = {15, 0xb8},
                                            [MORE_FRAGMENTS] = {20, 0x20},
                                            [LATER_FRAGMENT] = {21, 9},
                                            [RESERVED_BIT] = {20, 0xc0},
                                            [LAST_HOP] = {22, 1},
                                            [OTHER_PROTO] = {23, WEIR_PROTO_UDP},
                                            [FROM_OURSELVES] = {29, OUR_IP & 255},
                                            [FROM_NOBODY] = {26, 127},
                                            [TO_SOMEBODY] = {33, 77}};
    if (byte[how][0]) p[byte[how][0]] = byte[how][1];
    if (how == TO_GROUP) memset(p, 0xff, 6);
    if (how == FROM_US) memcpy(p + 6, our_mac, 6);
    if (how == PADDED) n += 1 + rnd(20);
    uint32_t total = weir_be16(ip + 2), less = 1 + rnd(total);
    if (how == CUT_SHORT) weir_put_be16(ip + 2, (uint16_t)(total - less));
    if (how == TOO_LONG) weir_put_be16(ip + 2, (uint16_t)(total + 1 + rnd(20)));
    weir_put_be16(ip + 10, 0);
    uint32_t summed =
        rnd(2) ? 20 : (uint32_t)(ip[0] & 15) * 4; /* which is another number with a longer header */
    weir_put_be16(ip + 10, weir_csum_done(weir_csum_add(0, ip, summed, 0)));
    return n;
}

static uint32_t put_options(uint8_t *p, const struct segment *s)
{
    uint32_t n = 0;
    if (s->opts == 3) {
        const uint8_t syn[8] = {2, 4, 1000 >> 8, 1000 & 255, 1, 3, 3, 2};
        memcpy(p, syn, 8);
        n = 8;
    }
    if (s->opts == 0 || (s->opts == 3 && !x.ts)) return n;
    const uint8_t usual[4] = {1, 1, 8, 10}, other[4] = {8, 10, 0, 0};
    memcpy(p + n, s->opts == 2 ? other : usual, 4);
    uint32_t at = n + (s->opts == 2 ? 2 : 4);
    weir_put_be32(p + at, s->tsval);
    weir_put_be32(p + at + 4, s->tsecr);
    if (s->opts == 2) p[at + 8] = p[at + 9] = 1;
    return n + 12;
}

static uint32_t put_frame(uint8_t *p, const struct segment *s)
{
    weir_eth_put(p, our_mac, peer_mac, WEIR_ETHERTYPE_IP4);
    uint8_t *tcp = p + HEADERS;
    uint32_t hdr = WEIR_TCP_BYTES + put_options(tcp + WEIR_TCP_BYTES, s), l4 = hdr + s->bytes;
    struct weir_ip4hdr ip = {.src = PEER_IP,
                             .dst = OUR_IP,
                             .total_bytes = (uint16_t)(20 + l4),
                             .frag = WEIR_IP4_DF,
                             .ttl = 64,
                             .proto = WEIR_PROTO_TCP};
    weir_ip4hdr_emit(p + WEIR_ETH_BYTES, &ip);
    weir_put_be32(tcp, (uint32_t)4000 << 16 | 80);
    weir_put_be32(tcp + 4, s->seq);
    weir_put_be32(tcp + 8, s->ack);
    weir_put_be16(tcp + 12, (uint16_t)(hdr << 10 | (uint32_t)s->reserved << 8 | s->flags));
    weir_put_be16(tcp + 14, s->wnd);
    weir_put_be32(tcp + 16, 0);
    for (uint32_t i = 0; i < s->bytes; i++)
        tcp[hdr + i] = (uint8_t)((s->seq + i) * 7);
    uint64_t sum = weir_csum_add(weir_csum_pseudo4(PEER_IP, OUR_IP, WEIR_PROTO_TCP, l4), tcp, l4, 0);
    weir_put_be16(tcp + 16, weir_csum_done(sum));
    uint32_t n = HEADERS + l4;
    if (s->below) n = put_below(p, n, (enum below)s->below);
    if (s->spoil) p[s->spoil % n] ^= 1;
    return n;
}

static void inject(const struct segment *s)
{
    static uint8_t bytes[FUZZDEV_FRAME_BYTES];
    uint32_t off = x.raw ? WEIR_ETH_BYTES : 0, n = put_frame(bytes, s) - off;
    for (int i = 0; i < 2; i++) {
        struct fuzzdev_frame *f = fuzzdev_next(&x.twin[i].dev);
        if (!f) return;
        memcpy(f->bytes, bytes + off, n);
        f->n = n;
        f->flags = s->frame_flags;
        f->cut[0] = (uint16_t)(s->cut > off ? s->cut - off : 0);
        if (s->frame_flags & WEIR_FRAME_CSUM_NEEDED) {
            f->csum_start = (uint16_t)(HEADERS - off);
            f->csum_field = WEIR_TCP_CSUM_AT;
        }
        fuzzdev_queue(&x.twin[i].dev);
    }
}

static struct segment expected(void)
{
    struct segment s = {.seq = x.seq,
                        .ack = x.ack,
                        .tsval = (uint32_t)(x.sim.now_us / 1000) + 77,
                        .tsecr = x.stamp,
                        .wnd = x.wnd,
                        .flags = WEIR_TCP_ACK,
                        .opts = x.ts,
                        .bytes = rnd(4) ? rnd(900) : 1};
    if (rnd(3) == 0) s.bytes = 0;
    if (x.silent || rnd(8) == 0) s.ack = x.una;
    if (s.bytes && rnd(2)) s.flags |= WEIR_TCP_PSH;
    if ((x.offloads & WEIR_OFF_RX_CSUM) && rnd(2)) s.frame_flags = WEIR_FRAME_CSUM_GOOD;
    return s;
}

/* One thing is otherwise than expected. */
static void change(struct segment *s)
{
    static const uint8_t flags[] = {WEIR_TCP_URG, WEIR_TCP_ECE, WEIR_TCP_CWR, WEIR_TCP_SYN};
    switch (rnd(20)) {
    case 0:
        s->seq += rnd(3000);
        break;
    case 1:
        s->seq -= rnd(3000);
        break;
    case 2:
        s->ack = x.una + rnd(x.ack - x.una + 1);
        break;
    case 3:
        s->ack += 1 + rnd(5);
        break;
    case 4:
        s->ack -= rnd(20000);
        break;
    case 5:
        s->wnd = (uint16_t)(rnd(4) ? rnd(10000) : 0);
        break;
    case 6:
        s->flags |= flags[rnd(sizeof flags)];
        break;
    case 7:
        s->flags &= (uint16_t)~WEIR_TCP_ACK;
        break;
    case 8:
        s->opts = (uint8_t)rnd(4);
        break;
    case 9:
        s->tsval -= rnd(1000);
        break;
    case 10:
        s->spoil = (uint16_t)(1 + rnd(HEADERS + 20 + s->bytes));
        break;
    case 11:
        s->cut = (uint16_t)(HEADERS + 20 + rnd(60 + s->bytes));
        break;
    case 12:
        s->reserved = (uint8_t)rnd(16);
        break;
    case 13:
        s->bytes = 900 + rnd(500);
        break;
    case 14:
        s->tsecr -= rnd(3) ? rnd(500) : s->tsecr;
        break;
    case 15:
    case 16:
    case 17:
    case 18:
        s->below = (uint8_t)(1 + rnd(BELOWS - 1));
        break;
    default:
        s->frame_flags = WEIR_FRAME_CSUM_NEEDED & (x.offloads & WEIR_OFF_RX_CSUM ? 0xffff : 0);
        break;
    }
}

static void peer_sends(void)
{
    struct segment s = expected();
    bool odd = rnd(4) == 0;
    if (odd) change(&s);
    inject(&s);
    if (odd) return;
    x.short_in++;
    x.seq += s.bytes;
    x.una = s.ack;
}

/* ---- the application's calls ---- */

static void both_write(bool by_reference)
{
    static const uint8_t foreign[4000] = {1, 2, 3};
    uint32_t n = rnd(3) ? 1 + rnd(50) : 1 + rnd(4000);
    ptrdiff_t took[2];
    for (int i = 0; i < 2; i++) {
        struct weir *w = x.twin[i].w;
        uint8_t *z = by_reference ? weir_zalloc(w, n) : NULL;
        if (z) memset(z, 0x33, n);
        took[i] = weir_write(w, x.conn, z ? z : foreign, n);
        if (z) (void)weir_zfree(w, z);
    }
    assert_int_equal(took[0], took[1]);
}

static void both_read(bool echoes)
{
    struct weir_iov iov[2][4];
    int n[2], max = 1 + (int)rnd(4);
    for (int i = 0; i < 2; i++) {
        struct weir *w = x.twin[i].w;
        n[i] = weir_read(w, x.conn, iov[i], max);
        for (int k = 0; k < n[i]; k++) {
            if (echoes) (void)weir_write(w, x.conn, iov[i][k].base, iov[i][k].len);
            (void)weir_zfree(w, iov[i][k].base);
        }
    }
    assert_int_equal(n[0], n[1]);
}

static void both_set(enum weir_opt opt)
{
    intptr_t on = (intptr_t)rnd(2);
    for (int i = 0; i < 2; i++)
        (void)weir_set(x.twin[i].w, x.conn, opt, on);
}

static void act(void)
{
    switch (rnd(30)) {
    case 0:
        both_set(WEIR_OPT_CORK);
        break;
    case 1:
        both_set(WEIR_OPT_NODELAY);
        break;
    case 2:
    case 3:
    case 4:
        both_write(true);
        break;
    case 5:
    case 6:
        both_write(false);
        break;
    case 7:
    case 8:
    case 9:
    case 10:
        both_read(true);
        break;
    case 11:
    case 12:
        both_read(false);
        break;
    case 13:
        x.sim.now_us += rnd(3) ? rnd(50000) : rnd(1500000);
        break;
    case 14:
        x.twin[0].dev.room = x.twin[1].dev.room = rnd(4) ? 32 : rnd(2);
        break;
    case 15:
        x.wnd = (uint16_t)(rnd(3) ? 8000 : rnd(2) * rnd(2000));
        break;
    case 16:
        x.silent = rnd(3) == 0;
        break;
    default:
        peer_sends();
        break;
    }
    if (rnd(3) == 0) return; /* several before the next poll */
    x.sim.now_us += rnd(300);
    step();
}

/* ---- a session ---- */

static void start(int i, const struct weir_netdev_caps *caps)
{
    struct twin *t = &x.twin[i];
    struct weir_plan plan;
    struct weir_config conf;
    struct weir_ifaddr addr = {.family = WEIR_IP4, .prefix = 24, .ip = {10, 0, 0, 1}};
    simnet_tiny(&conf, WEIR_ZLAYOUT_DENSE);
    conf.plat = &x.sim.plat;
    weir_sim_init(&x.sim, 99); /* the same keys */
    assert_int_equal(weir_plan(&conf, &plan), 0);
    size_t bytes = (size_t)weir_align_up(plan.total_bytes, plan.align_bytes);
    x.area[i] = (struct weir_area){.base = aligned_alloc(plan.align_bytes, bytes), .bytes = bytes};
    memset(x.area[i].base, 0, bytes);
    assert_int_equal(weir_start(&t->w, &conf, &x.area[i], 1), 0);
    t->w->tcp.full_path = i == 1;
    fuzzdev_init(&t->dev, caps, sink, &t->sent);
    assert_int_equal(weir_attach(t->w, &t->dev.dev, &addr), 0);
    struct weir_addr any = {.family = WEIR_IP4, .port = 80};
    assert_int_equal(weir_listen(t->w, &any, NULL, &x.listener), 0);
}

static void introduce(void)
{
    static const uint8_t request[28] = {0,  1, 8, 0, 6, 4, 0, 1, 2, 0, 0,  0, 0, 2,
                                        10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1};
    for (int i = 0; i < 2; i++) {
        struct fuzzdev_frame *f = fuzzdev_next(&x.twin[i].dev);
        weir_eth_put(f->bytes, our_mac, peer_mac, WEIR_ETHERTYPE_ARP);
        memcpy(f->bytes + WEIR_ETH_BYTES, request, sizeof request);
        f->n = WEIR_ETH_BYTES + sizeof request;
        fuzzdev_queue(&x.twin[i].dev);
    }
    step();
}

static void connect_peer(void)
{
    struct segment s = expected();
    weir_id id[2];
    s.flags = WEIR_TCP_SYN;
    s.opts = 3;
    s.bytes = 0;
    inject(&s);
    x.seq++;
    step();
    s = expected();
    s.bytes = 0;
    s.ack = x.una = x.ack;
    inject(&s);
    step();
    for (int i = 0; i < 2; i++)
        assert_int_equal(weir_accept(x.twin[i].w, x.listener, &id[i], NULL), 0);
    assert_int_equal(id[0], id[1]);
    x.conn = id[0];
}

static void session(uint64_t seed)
{
    static const uint32_t offloads[] = {0, WEIR_OFF_TX_CSUM | WEIR_OFF_RX_CSUM,
                                        WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM};
    memset(&x, 0, sizeof x);
    x.offloads = offloads[seed % 3];
    x.ts = seed % 2;
    x.raw = seed % 11 == 0;
    struct weir_netdev_caps caps = {.max_pieces = 8,
                                    .mtu = 1500,
                                    .max_piece_bytes = seed % 5 == 0 ? 600 : 0,
                                    .boundary = seed % 7 == 0 ? 1024 : 0,
                                    .max_frame = x.offloads & WEIR_OFF_TX_TSO4 ? 9000 : 1514,
                                    .base_align = seed % 4 == 0 ? 64 : 1,
                                    .link = x.raw ? WEIR_LINK_RAW_IP : WEIR_LINK_ETHER,
                                    .async = seed % 3 == 1,
                                    .offloads = (uint16_t)x.offloads};
    memcpy(caps.mac, our_mac, 6);
    start(0, &caps);
    start(1, &caps);
    weir_sim_init(&x.sim, seed);
    x.sim.now_us = 5000000;
    x.wnd = 8000;
    x.seq = (uint32_t)weir_sim_random(&x.sim);
    if (!x.raw) introduce();
    connect_peer();
    for (unsigned i = 0; i < STEPS; i++)
        act();
    step();
    for (int i = 0; i < 2; i++) {
        (void)weir_stop(x.twin[i].w);
        free(x.area[i].base);
    }
}

static void short_and_full_ways_agree(void **state)
{
    (void)state;
    struct weir_sim seeds = test_seed("predict_test");
    for (unsigned i = 0; i < SESSIONS; i++)
        session(weir_sim_random(&seeds) % 1000000 + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(short_and_full_ways_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
