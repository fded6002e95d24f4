/* tcp_fixture.h: for tests: TCP of one instance with small tables, in virtual time, over the rig of ip_rig.h.
 * Connections leave by its interface 1, raw IP, so that no neighbour is asked for, and what they send is read
 * back from the device's log. */
#ifndef WEIR_TCP_FIXTURE_H
#define WEIR_TCP_FIXTURE_H

#include "base/bits.h"
#include "base/test_seed.h"
#include "ip/ip_rig.h"
#include "tcp/tcp.h"

#define FX_IFC 1u
#define FX_ISS 0xfffff000u /* the numbers pass 2^32 on the way */
#define FX_IRS 0xffffff00u
#define FX_MSS 1000u

static struct tcp_fixture {
    struct weir_config conf;
    struct weir_tcp t;
    struct weir_plan plan;
    struct weir_area area;
} fx;

static inline struct weir_config fx_config(void)
{
    return (struct weir_config){.zclass = {{256, 64}, {1024, 64}, {4096, 16}},
                                .zclasses = 3,
                                .pbufs = 64,
                                .txrecs = 64,
                                .conns = 8,
                                .listeners = 4,
                                .timewait = 8,
                                .rcvbuf_bytes = 32768,
                                .sndbuf_bytes = 32768,
                                .pbufs_conn = 32,
                                .txrecs_conn = 16,
                                .ooo_conn = 8,
                                .app_hold_bytes = 65536,
                                .msl_ms = 1000,
                                .rto_min_us = 200000,
                                .rto_max_us = 60000000,
                                .delack_us = 40000,
                                .syn_retries = 3,
                                .data_retries = 5,
                                .keepalive_ms = 10000,
                                .keepalive_interval_ms = 1000,
                                .keepalive_probes = 3,
                                .challenge_acks = 10,
                                .icmp_errors = RIG_RATE};
}

static inline void fx_time_us(uint64_t now_us)
{
    fx.t.now_us = now_us;
    fx.t.now_ms = (uint32_t)(now_us / 1000);
    g.ip.now_ms = g.f.z.now_ms = fx.t.now_ms;
}

static inline void fx_pass_ms(uint32_t ms)
{
    fx_time_us(fx.t.now_us + 1000ull * ms);
}

/* TCP's tables, planned and placed as the stack does it, in memory that is full of rubbish before. */
static inline void fx_open_tables(const struct weir_config *conf, uint64_t now_us)
{
    static const struct weir_sipkey keys[WEIR_TCP_KEYS] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}};
    struct weir_carve carve;
    memset(&fx, 0, sizeof fx);
    fx.conf = *conf;
    weir_carve_init(&carve, &fx.plan, NULL, 0);
    weir_tcp_carve(&fx.t, &carve, &fx.conf);
    size_t align = fx.plan.align_bytes, bytes = (size_t)fx.plan.total_bytes;
    fx.area.bytes = (bytes + align - 1) / align * align;
    fx.area.base = aligned_alloc(align, fx.area.bytes);
    if (fx.area.base == NULL) zfixture_die("no memory");
    memset(fx.area.base, 0xa5, fx.area.bytes);
    weir_carve_init(&carve, &fx.plan, &fx.area, 1);
    weir_tcp_carve(&fx.t, &carve, &fx.conf);
    if (carve.failed) zfixture_die("placing failed");
    weir_tcp_init(&fx.t, &fx.conf, &g.ip, &g.f.stats, keys, now_us);
    fx_time_us(now_us);
}

/* The default tables, at a time whose milliseconds wrap 32 bits a minute later. */
static inline int fx_open(void **state)
{
    struct weir_config conf = fx_config();
    if (rig_open(state) != 0) return 1;
    fx_open_tables(&conf, (0x100000000u - 60000) * 1000ull);
    return 0;
}

/* Other tables in the place of those of fx_open, which nothing may hold. */
static inline void fx_reopen(const struct weir_config *conf)
{
    uint64_t now_us = fx.t.now_us;
    free(fx.area.base);
    fx_open_tables(conf, now_us);
}

/* Every connection goes; whatever it held has come back then. */
static inline int fx_close(void **state)
{
    for (uint32_t i = 0; i < fx.t.fresh_conn; i++)
        if (fx.t.conn[i].id) weir_conn_free(&fx.t, &fx.t.conn[i]);
    weir_warm_drop(&fx.t.warm, &fx.t.mem);
    uint32_t left = fx.t.live + fx.t.mem.pbufs.used + fx.t.mem.txrecs.used + fx.t.wheel.pending +
                    fx.t.dirty_first + fx.t.dirty_last + fx.t.ready_first + fx.t.ready_last +
                    fx.t.blocked_first + fx.t.memwait_first + fx.t.memwait_last;
    for (uint32_t i = 0; i <= fx.t.bucket_mask; i++)
        left += fx.t.bucket[i];
    free(fx.area.base);
    if (left) fprintf(stderr, "TCP's tables are not empty at the end\n");
    return rig_close(state) != 0 || left != 0;
}

/* A connection in CLOSED with addresses, at FX_ISS, on no list and not hashed. */
static inline struct weir_conn *fx_conn(uint16_t rport)
{
    struct weir_conn *c = weir_conn_new(&fx.t);
    assert_non_null(c);
    c->ifc = FX_IFC;
    c->laddr = RIG_OUR_IP2;
    c->raddr = c->next_hop = RIG_PEER2;
    c->lport = 80;
    c->rport = rport;
    weir_tcp_set_mss(&fx.t, c, FX_MSS);
    return c;
}

/* The same, established and hashed: its handshake is over, nothing is out, the peer's window is 65,535 and
 * cwnd 10 segments. */
static inline struct weir_conn *fx_established(uint16_t rport)
{
    struct weir_conn *c = fx_conn(rport);
    weir_tcp_begin(&fx.t, c, weir_tcp_isn(&fx.t, c->laddr, c->lport, c->raddr, c->rport), FX_IRS);
    c->iss = FX_ISS;
    c->recover = c->iss;
    weir_txlist_init(&c->tx, c->iss + 1, (uint16_t)fx.conf.txrecs_conn);
    weir_sendq_init(&c->sq, c->iss + 1, (uint16_t)fx.conf.pbufs_conn);
    c->state = WEIR_TCP_ESTABLISHED;
    c->snd_wnd = c->max_snd_wnd = 65535;
    c->snd_wl1 = c->rcv_nxt;
    c->snd_wl2 = c->tx.una;
    weir_cc_newreno.open(c);
    weir_conn_hash(&fx.t, c);
    return c;
}

/* The byte of the stream at offset `at`. */
static inline uint8_t fx_byte(uint32_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) * 3 + (at >> 16));
}

/* Writes the next n bytes of the stream; how many were taken. */
static inline ptrdiff_t fx_write(struct weir_conn *c, uint32_t n)
{
    static uint8_t bytes[65536];
    uint32_t from = c->sq.end - (c->iss + 1);
    assert_in_range(n, 1, sizeof bytes);
    for (uint32_t i = 0; i < n; i++)
        bytes[i] = fx_byte(from + i);
    return weir_tcp_write(&fx.t, c->id, bytes, n);
}

/* The same, all of it. */
static inline void fx_queue(struct weir_conn *c, uint32_t n)
{
    assert_int_equal(fx_write(c, n), n);
}

static inline void fx_check(const struct weir_conn *c)
{
    assert_int_equal(weir_txlist_check(&c->tx, &fx.t.mem), 0);
    assert_int_equal(weir_sendq_check(&c->sq, &fx.t.mem), 0);
}

/* Segments sent so far. */
static inline uint32_t fx_sent(void)
{
    return rig_count(FX_IFC);
}

/* The segment sent `back` segments ago, 0: the last; *payload and the return value: what it carries. */
static inline uint32_t fx_segment(uint32_t back, struct weir_tcphdr *h, const uint8_t **payload)
{
    struct weir_ip4hdr ip;
    enum weir_drop why;
    (void)fx_sent();
    const struct rig_frame *f = rig_sent(&g.d[FX_IFC], back);
    assert_true(weir_ip4hdr_parse(&ip, f->bytes, f->len, f->len, &why));
    assert_int_equal(ip.total_bytes, f->len);
    uint32_t n = f->len - WEIR_IP4_BYTES;
    assert_true(weir_tcphdr_parse(h, f->bytes + WEIR_IP4_BYTES, n, n, &why));
    if (payload) *payload = f->bytes + WEIR_IP4_BYTES + h->hdr_bytes;
    return n - h->hdr_bytes;
}

/* A segment of the newest: its number, its payload's length and contents. */
static inline void fx_expect(const struct weir_conn *c, uint32_t back, uint32_t seq, uint32_t bytes)
{
    struct weir_tcphdr h;
    const uint8_t *p;
    uint32_t n = fx_segment(back, &h, &p);
    assert_int_equal(h.seq, seq);
    assert_int_equal(n, bytes);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(p[i], fx_byte(seq - (c->iss + 1) + i));
}

#endif
