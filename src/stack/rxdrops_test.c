/* rxdrops_test.c: whole frames that a running instance must not take in: each is counted once, by its reason,
 * and dropped; at most an ICMP error or a reset answers, and the stack works as before. */
#include "simnet.h"

#include <string.h>

#include "base/csum.h"
#include "base/order.h"
#include "stack/stack.h"
#include "wire/eth.h"

#define ETH   14u
#define IP    (ETH)
#define L4    (ETH + 20u)
#define TEXT  10u
#define OTHER 0x0afffffeu /* an address of nobody */

/* A frame from side 1 to side 0. */
struct raw {
    uint8_t p[200];
    uint32_t n;
    uint32_t src, dst;
    uint8_t l4_fixed; /* 1: the transport checksum is made anew after spoiling */
    uint8_t ip_fixed;
};

static struct simnet *net;

static const struct weir_ifc *ifc(int side)
{
    return &net->w[side]->ip.ifc[0];
}

static void fix(struct raw *r, uint32_t l4_bytes, uint8_t proto, uint32_t field)
{
    if (r->l4_fixed) {
        weir_put_be16(r->p + L4 + field, 0);
        uint64_t sum = weir_csum_pseudo4(r->src, r->dst, proto, l4_bytes);
        weir_put_be16(r->p + L4 + field, weir_csum_done(weir_csum_add(sum, r->p + L4, l4_bytes, 0)));
    }
    if (!r->ip_fixed) return;
    weir_put_be32(r->p + IP + 12, r->src);
    weir_put_be32(r->p + IP + 16, r->dst);
    weir_put_be16(r->p + IP + 10, 0);
    weir_put_be16(r->p + IP + 10, weir_csum_done(weir_csum_add(0, r->p + IP, 20, 0)));
}

/* A good frame of this protocol, to a port with a listener. */
static void good(struct raw *r, uint8_t proto)
{
    uint32_t head = proto == 6 ? 20 : 8;
    memset(r, 0, sizeof *r);
    r->n = L4 + head + TEXT;
    r->src = ifc(1)->addr;
    r->dst = ifc(0)->addr;
    r->l4_fixed = r->ip_fixed = 1;
    memcpy(r->p, ifc(0)->mac, 6);
    memcpy(r->p + 6, ifc(1)->mac, 6);
    weir_put_be16(r->p + 12, WEIR_ETHERTYPE_IP4);
    r->p[IP] = 0x45;
    weir_put_be16(r->p + IP + 2, (uint16_t)(r->n - ETH));
    r->p[IP + 8] = 64;
    r->p[IP + 9] = proto;
    weir_put_be16(r->p + L4, 4000);
    weir_put_be16(r->p + L4 + 2, SIMNET_PORT);
    if (proto == 17) weir_put_be16(r->p + L4 + 4, (uint16_t)(head + TEXT));
    if (proto == 6) r->p[L4 + 12] = 5 << 4;
    if (proto == 6) r->p[L4 + 13] = 2;
}

enum what {
    ETH_CUT,
    ETH_OTHER,
    ETH_FROM_GROUP,
    ETH_FROM_US,
    ETH_TYPE,
    IP_CUT,
    IP_SIX,
    IP_HEADER,
    IP_LONG,
    IP_SUM,
    IP_FROM_ALL,
    IP_FROM_SUBNET,
    IP_FROM_GROUP,
    IP_FROM_LOOPBACK,
    IP_FROM_NOBODY,
    IP_FROM_US,
    IP_OTHER,
    IP_FRAGMENT,
    IP_PROTO,
    UDP_CUT,
    UDP_LONG,
    UDP_SUM,
    UDP_PORT,
    TCP_CUT,
    TCP_OFFSET,
    TCP_SUM,
    TCP_SYN_FIN,
    TCP_OPTION,
    WHATS
};

static const struct {
    const char *name;
    uint8_t proto;
    enum weir_drop why;
} table[WHATS] = {
    [ETH_CUT] = {"an Ethernet header of 13 bytes", 17, WEIR_DROP_ETH_SHORT},
    [ETH_OTHER] = {"another station's frame", 17, WEIR_DROP_ETH_NOT_MINE},
    [ETH_FROM_GROUP] = {"a group as its source", 17, WEIR_DROP_ETH_SRC},
    [ETH_FROM_US] = {"our station as its source", 17, WEIR_DROP_ETH_SRC},
    [ETH_TYPE] = {"an unknown type", 17, WEIR_DROP_ETH_TYPE},
    [IP_CUT] = {"an IP header of 19 bytes", 17, WEIR_DROP_IP_SHORT},
    [IP_SIX] = {"IP version 6 inside", 17, WEIR_DROP_IP_VERSION},
    [IP_HEADER] = {"an IP header length of 16", 17, WEIR_DROP_IP_HEADER},
    [IP_LONG] = {"an IP length past the frame", 17, WEIR_DROP_IP_LENGTH},
    [IP_SUM] = {"a wrong IP checksum", 17, WEIR_DROP_IP_CSUM},
    [IP_FROM_ALL] = {"from 255.255.255.255", 6, WEIR_DROP_IP_SRC},
    [IP_FROM_SUBNET] = {"from the subnet's broadcast", 6, WEIR_DROP_IP_SRC},
    [IP_FROM_GROUP] = {"from a multicast group", 6, WEIR_DROP_IP_SRC},
    [IP_FROM_LOOPBACK] = {"from 127.0.0.1", 6, WEIR_DROP_IP_SRC},
    [IP_FROM_NOBODY] = {"from 0.0.0.0", 6, WEIR_DROP_IP_SRC},
    [IP_FROM_US] = {"from our own address", 6, WEIR_DROP_IP_SRC},
    [IP_OTHER] = {"to another address", 6, WEIR_DROP_IP_NOT_MINE},
    [IP_FRAGMENT] = {"a fragment", 17, WEIR_DROP_IP_FRAGMENT},
    [IP_PROTO] = {"an unknown protocol", 99, WEIR_DROP_IP_PROTO},
    [UDP_CUT] = {"a UDP header of 7 bytes", 17, WEIR_DROP_UDP_SHORT},
    [UDP_LONG] = {"a UDP length past the packet", 17, WEIR_DROP_UDP_SHORT},
    [UDP_SUM] = {"a wrong UDP checksum", 17, WEIR_DROP_UDP_CSUM},
    [UDP_PORT] = {"a UDP port of nobody", 17, WEIR_DROP_UDP_PORT},
    [TCP_CUT] = {"a TCP header of 19 bytes", 6, WEIR_DROP_TCP_SHORT},
    [TCP_OFFSET] = {"a TCP header length of 16", 6, WEIR_DROP_TCP_HEADER},
    [TCP_SUM] = {"a wrong TCP checksum", 6, WEIR_DROP_TCP_CSUM},
    [TCP_SYN_FIN] = {"SYN and FIN together", 6, WEIR_DROP_TCP_FLAGS},
    [TCP_OPTION] = {"a TCP option past its header", 6, WEIR_DROP_TCP_OPTIONS},
};

static void cut_l4(struct raw *r, uint32_t bytes)
{
    r->n = L4 + bytes;
    weir_put_be16(r->p + IP + 2, (uint16_t)(20 + bytes));
    r->l4_fixed = 0;
}

static void spoil_link(struct raw *r, enum what what)
{
    if (what == ETH_CUT) r->n = 13;
    if (what == ETH_OTHER) r->p[5] ^= 1;
    if (what == ETH_FROM_GROUP) r->p[6] |= 1;
    if (what == ETH_FROM_US) memcpy(r->p + 6, r->p, 6);
    if (what == ETH_TYPE) weir_put_be16(r->p + 12, 0x88b5);
}

static void spoil_ip(struct raw *r, enum what what)
{
    if (what == IP_CUT) r->n = IP + 19;
    if (what == IP_SIX) r->p[IP] = 0x65;
    if (what == IP_HEADER) r->p[IP] = 0x44;
    if (what == IP_LONG) weir_put_be16(r->p + IP + 2, (uint16_t)(r->n - ETH + 1));
    if (what == IP_FROM_ALL) r->src = 0xffffffff;
    if (what == IP_FROM_SUBNET) r->src = r->dst | ~ifc(0)->mask;
    if (what == IP_FROM_GROUP) r->src = 0xe0000001;
    if (what == IP_FROM_LOOPBACK) r->src = 0x7f000001;
    if (what == IP_FROM_NOBODY) r->src = 0;
    if (what == IP_FROM_US) r->src = r->dst;
    if (what == IP_OTHER) r->dst = OTHER;
    if (what == IP_FRAGMENT) r->p[IP + 6] = 0x20;
    if (what == IP_PROTO) r->l4_fixed = 0;
}

static void spoil_l4(struct raw *r, enum what what)
{
    if (what == UDP_CUT) cut_l4(r, 7);
    if (what == UDP_LONG) weir_put_be16(r->p + L4 + 4, 8 + TEXT + 1);
    if (what == TCP_CUT) cut_l4(r, 19);
    if (what == TCP_OFFSET) r->p[L4 + 12] = 4 << 4;
    if (what == TCP_SYN_FIN) r->p[L4 + 13] = 3;
    if (what == TCP_OPTION) r->p[L4 + 12] = 6 << 4, r->p[L4 + 20] = 2, r->p[L4 + 21] = 44;
}

static void make(struct raw *r, enum what what)
{
    uint8_t proto = table[what].proto;
    good(r, proto);
    spoil_link(r, what);
    spoil_ip(r, what);
    spoil_l4(r, what);
    fix(r, (proto == 6 ? 20 : 8) + TEXT, proto, proto == 6 ? 16 : 6);
    if (what == IP_SUM) r->p[IP + 10] ^= 1;
    if (what == UDP_SUM) r->p[L4 + 6] ^= 1;
    if (what == TCP_SUM) r->p[L4 + 16] ^= 1;
}

/* Puts a frame on the cable at side 1. */
static void inject(struct raw *r)
{
    struct weir_netdev *dev = ifc(1)->dev;
    struct weir_piece piece = {r->p, r->n};
    struct weir_frame f = {.pieces = &piece, .bytes = r->n, .n_pieces = 1};
    assert_int_equal(dev->ops->tx_burst(dev, &f, 1), 1);
    simnet_run(net, 1000);
}

static uint64_t all_drops(const struct weir_stats *s)
{
    uint64_t sum = 0;
    for (int i = 0; i < WEIR_DROPS; i++)
        sum += s->drops[i];
    return sum;
}

static void counted_by_reason(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    c.check = true;
    c.offloads = 0;
    net = simnet_open(&c);
    simnet_listen(net, 0, NULL);
    simnet_proof(net, 3, 3000); /* and the neighbours know each other */
    simnet_run(net, 20 * SECOND_US);
    for (int i = 0; i < WHATS; i++) {
        struct raw r;
        make(&r, (enum what)i);
        struct weir_stats before = simnet_stats(net, 0);
        inject(&r);
        struct weir_stats after = simnet_stats(net, 0);
        if (after.drops[table[i].why] != before.drops[table[i].why] + 1)
            fail_msg("%s: not counted as %s", table[i].name, weir_drop_name(table[i].why));
        if (all_drops(&after) != all_drops(&before) + 1)
            fail_msg("%s: counted %llu times", table[i].name,
                     (unsigned long long)(all_drops(&after) - all_drops(&before)));
        if (after.tx_frames > before.tx_frames + 1 || after.conns_live != before.conns_live)
            fail_msg("%s: answered or taken in", table[i].name);
        if (after.zbuf_live > before.zbuf_live) fail_msg("%s: holds a zbuf", table[i].name);
    }
    simnet_proof(net, 5, 30000);
    simnet_close(net, NULL);
}

/* The canary: the frame from which all are made is a good one, and padding behind its packet is none of its
 * faults. */
static void a_good_frame_is_taken_in(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    struct raw r;
    c.offloads = 0;
    net = simnet_open(&c);
    simnet_listen(net, 0, NULL);
    simnet_proof(net, 3, 3000);
    good(&r, 6);
    fix(&r, 20 + TEXT, 6, 16);
    r.n += 20;
    struct weir_stats before = simnet_stats(net, 0);
    inject(&r);
    struct weir_stats after = simnet_stats(net, 0);
    assert_int_equal(all_drops(&after), all_drops(&before));
    assert_true(after.tx_frames > before.tx_frames); /* SYN-ACK, which side 1 resets */
    simnet_run(net, 10 * SECOND_US);
    simnet_close(net, NULL);
}

/* Payload that comes a second time lies before the window, or in part. */
static void doubled_payload_is_counted(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    c.fault = (struct weir_fault_conf){.dup_ppm = 200000, .seed = 3};
    net = simnet_open(&c);
    simnet_listen(net, 0, NULL);
    simnet_proof(net, 3, 100000);
    struct weir_stats s = simnet_stats(net, 0);
    assert_true(s.drops[WEIR_DROP_TCP_SEQ] + s.drops[WEIR_DROP_TCP_DUPLICATE] > 0);
    simnet_close(net, NULL);
}

/* An address that the instance has already is refused, and the device stays closed. */
static void an_address_in_use(void **state)
{
    (void)state;
    struct simnet_conf c = simnet_defaults();
    c.stack[0].ifaces = 2;
    net = simnet_open(&c);
    struct weir_ifaddr addr = {.family = WEIR_IP4, .prefix = 24};
    weir_put_be32(addr.ip, ifc(0)->addr);
    struct weir_netdev other = *ifc(0)->dev;
    assert_int_equal(weir_attach(net->w[0], &other, &addr), WEIR_EADDRINUSE);
    simnet_listen(net, 0, NULL);
    simnet_proof(net, 1, 1000);
    simnet_close(net, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_frame_is_taken_in),
        cmocka_unit_test(counted_by_reason),
        cmocka_unit_test(doubled_payload_is_counted),
        cmocka_unit_test(an_address_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
