/* rx.c: the receive pipeline. The stack takes a burst and walks each frame through the stages itself; a stage
 * answers PASS, DONE or DROP and never calls the layer above. Before the first stage the frame is offered to
 * tcp_fast.c, which takes what a connection expects next.
 *
 * Replacement. A device's posted buffers are zbufs with one reference (POSTED). A stage that keeps bytes adds
 * its own reference, and only if a zbuf could be taken to replace the posted one (weir_zpool_can). So after
 * each frame: a buffer that nobody kept is posted again as it is, one that was kept is replaced, and the
 * device never runs dry. That is why acknowledgements are always processed, whatever the pool looks like. */
#include "base/csum.h"
#include "base/order.h"
#include "stack/stack.h"
#include "wire/arp.h"
#include "wire/eth.h"
#include "wire/udphdr.h"

static void drop(struct weir *w, enum weir_drop why)
{
    w->stats.drops[why]++;
}

/* No listener of ours speaks UDP yet: every datagram that is well formed gets its port unreachable. */
static void udp_input(struct weir *w, const struct weir_rxpkt *pkt)
{
    struct weir_udphdr h;
    if (!weir_udphdr_parse(&h, pkt->l4, pkt->l4_here, pkt->l4_bytes))
        drop(w, WEIR_DROP_UDP_SHORT);
    else if (h.csum && h.bytes == pkt->l4_bytes && !weir_ip4_csum_ok(pkt))
        drop(w, WEIR_DROP_UDP_CSUM);
    else {
        drop(w, WEIR_DROP_UDP_PORT);
        weir_icmp_unreachable(&w->ip, pkt, WEIR_ICMP_PORT_UNREACHABLE);
    }
}

static void ip_input(struct weir *w, struct weir_ifc *ifc, const struct weir_frame *f, uint32_t at,
                     bool group)
{
    struct weir_rxpkt pkt; /* the rest is weir_ip4_input's */
    struct weir_icmp_note note;
    pkt.frame = f;
    pkt.ifc = ifc;
    if (weir_ip4_input(&w->ip, &pkt, at) != WEIR_V_PASS) return;
    if (group) { /* a link broadcast with our own IP address: RFC 1122 3.2.2.6 and 4.2.3.10 */
        drop(w, WEIR_DROP_IP_NOT_MINE);
        return;
    }
    switch (pkt.ip.proto) {
    case WEIR_PROTO_TCP:
        (void)weir_tcp_full_input(&w->tcp, &pkt);
        break;
    case WEIR_PROTO_UDP:
        udp_input(w, &pkt);
        break;
    case WEIR_PROTO_ICMP:
        if (weir_icmp_input(&w->ip, &pkt, &note) == WEIR_V_PASS) weir_tcp_icmp(&w->tcp, &note);
        break;
    default:
        drop(w, WEIR_DROP_IP_PROTO);
        break;
    }
}

static void ether_input(struct weir *w, struct weir_ifc *ifc, const struct weir_frame *f)
{
    const uint8_t *p = f->pieces[0].addr, *src = p + 6;
    uint32_t here = f->pieces[0].bytes;
    if (here < WEIR_ETH_BYTES) {
        drop(w, WEIR_DROP_ETH_SHORT);
        return;
    }
    uint16_t type = weir_be16(p + 12);
    bool group = weir_mac_is_group(p);
    if (!group && !weir_mac_equal(p, ifc->mac))
        drop(w, WEIR_DROP_ETH_NOT_MINE);
    else if (weir_mac_is_group(src) || weir_mac_equal(src, ifc->mac))
        drop(w, WEIR_DROP_ETH_SRC);
    else if (type == WEIR_ETHERTYPE_IP4)
        ip_input(w, ifc, f, WEIR_ETH_BYTES, group);
    else if (type == WEIR_ETHERTYPE_ARP)
        (void)weir_neigh_input(&ifc->neigh, p + WEIR_ETH_BYTES, here - WEIR_ETH_BYTES, w->ip.now_ms);
    else
        drop(w, WEIR_DROP_ETH_TYPE);
}

static WEIR_APART void frame_input(struct weir *w, struct weir_ifc *ifc, const struct weir_frame *f)
{
    if (f->n_pieces == 0 || f->n_pieces > WEIR_FRAME_PIECES_MAX)
        drop(w, WEIR_DROP_FRAME_PIECES);
    else if (ifc->ether)
        ether_input(w, ifc, f);
    else
        ip_input(w, ifc, f, 0, false);
}

/* Gives a posted zbuf to the device, or back to the pool if the device has no place for it. */
static bool post(struct weir *w, struct weir_ifc *ifc, struct weir_zhead *h)
{
    struct weir_netdev *dev = ifc->dev;
    if (dev->ops->rx_post(dev, weir_zpool_first(&w->z, h), weir_zpool_bytes(&w->z, h)) == 0) return true;
    (void)weir_zpool_unref(&w->z, h, WEIR_OWNER_POSTED);
    return false;
}

static bool post_new(struct weir *w, struct weir_ifc *ifc, uint32_t bytes)
{
    struct weir_zhead *h = weir_zpool_take(&w->z, bytes, WEIR_TAKE_POST);
    return h && post(w, ifc, h);
}

bool weir_rx_fill(struct weir *w, struct weir_ifc *ifc)
{
    uint32_t want;
    while ((want = ifc->dev->ops->rx_want(ifc->dev)) > 0)
        if (!post_new(w, ifc, want)) return false;
    return true;
}

/* Taken from a larger class than the device asks for, while its own has some again. */
static WEIR_APART bool too_large(const struct weir *w, const struct weir_zhead *h)
{
    const struct weir_zpool_class *c = &w->z.cls[weir_zpool_class_asked(&w->z, h)];
    return c < &w->z.cls[h->cls] && c->free > c->floor[WEIR_TAKE_POST];
}

/* After the stages: was the buffer kept? Then it is replaced by what the device asked for, whatever class it
 * got then. */
static inline void settle(struct weir *w, struct weir_ifc *ifc, struct weir_zhead *h)
{
    bool kept = h->stk != 1 || h->app != 0;
    if (kept || too_large(w, h)) h = weir_zpool_replace(&w->z, h);
    if (h) (void)post(w, ifc, h);
}

static WEIR_APART void settle_all(struct weir *w, struct weir_ifc *ifc, const struct weir_frame *f)
{
    for (unsigned k = 0; k < f->n_pieces; k++)
        settle(w, ifc, weir_zpool_head(&w->z, f->pieces[k].addr));
}

static WEIR_APART void burst(struct weir *w, struct weir_ifc *ifc)
{
    struct weir_netdev *dev = ifc->dev;
    unsigned n = dev->ops->rx_burst(dev, w->rx, w->asked);
    w->stats.rx_frames += n;
    if (n > 0) w->got = n;
    if (n == w->conf.rx_burst) w->more = true;
    for (const struct weir_frame *f = w->rx, *end = f + n; f < end; f++) {
        struct weir_zhead *h = f->n_pieces == 1 ? weir_zpool_head(&w->z, f->pieces[0].addr) : NULL;
        w->stats.rx_bytes_wire += f->bytes;
        if (!h || !weir_tcp_fast_frame(&w->tcp, ifc, f, h)) frame_input(w, ifc, f);
        if (h)
            settle(w, ifc, h);
        else
            settle_all(w, ifc, f);
    }
    if (dev->ops->rx_want(dev)) (void)weir_rx_fill(w, ifc);
}

static WEIR_APART void reap_and_burst(struct weir *w)
{
    for (uint32_t i = 0; i < w->ip.n_ifc; i++) {
        struct weir_ifc *ifc = &w->ip.ifc[i];
        if (ifc->dev->caps.async)
            while (weir_txq_reap(&ifc->txq, 64) == 64) {
            }
        burst(w, ifc);
    }
}

void weir_rx_all(struct weir *w)
{
    if (w->ip.n_ifc == 1 && w->ip.ifc[0].txq.sync)
        burst(w, &w->ip.ifc[0]);
    else
        reap_and_burst(w);
}
