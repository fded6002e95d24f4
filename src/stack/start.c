/* start.c: the beginning and the end of an instance, and the devices in between. */
#include <string.h>

#include "base/bits.h"
#include "stack/stack.h"

/* The class that devices are given for frames of usual size. */
static unsigned receive_class(const struct weir_zpool *z)
{
    unsigned c = weir_zpool_class_for(z, WEIR_RX_ZBUF_BYTES);
    return c < z->classes ? c : z->classes - 1;
}

/* Floors, as shares of what devices leave of a class: what uses memory must leave some to what frees it. Header
 * blocks are the smallest class: all but control leave a quarter of it alone. However few there are of the class
 * that frames are received into, each kind leaves at least one to the kind before it: were the last one copied
 * into, the acknowledgements that give it back could come only with data that nothing could take in, and two
 * instances might wait so for each other for ever. */
static void set_floors(struct weir *w)
{
    for (unsigned c = 0; c < w->z.classes; c++) {
        uint32_t count = w->z.cls[c].count;
        uint32_t n = count - weir_min_u32(w->tcp.mem.press.posted[c], count);
        uint32_t control = c == 0 && w->z.classes > 1 ? n / 4 : 0;
        uint32_t step = c == receive_class(&w->z);
        uint32_t floor[WEIR_TAKES] = {0, control, control + n / 32};
        uint32_t share[WEIR_TAKES] = {
            [WEIR_TAKE_COPY] = n / 16, [WEIR_TAKE_APP] = n / 8, [WEIR_TAKE_OOO] = n / 4};
        for (unsigned k = WEIR_TAKE_COPY; k < WEIR_TAKES; k++)
            floor[k] = weir_min_u32(n, weir_max_u32(control + share[k], floor[k - 1] + step));
        weir_zpool_floor(&w->z, c, floor);
    }
}

static bool areas_ok(const struct weir_area *area, unsigned n, uint32_t align)
{
    if (!area || n == 0 || n > WEIR_AREAS_MAX) return false;
    for (unsigned i = 0; i < n; i++)
        if (!area[i].base || (uintptr_t)area[i].base & (align - 1)) return false;
    return true;
}

static int draw_keys(const struct weir_plat *plat, struct weir_sipkey *keys, size_t n)
{
    return plat->entropy(plat->ctx, keys, n * sizeof *keys);
}

int weir_start(struct weir **out, const struct weir_config *conf, const struct weir_area *area, unsigned n)
{
    struct weir_plan plan;
    struct weir_carve cv;
    struct weir_sipkey keys[WEIR_TCP_KEYS + 1];
    if (!out || !conf || !conf->plat) return WEIR_EINVAL;
    int r = weir_plan(conf, &plan);
    if (r) return r;
    if (!areas_ok(area, n, plan.align_bytes)) return WEIR_EINVAL;
    if ((r = draw_keys(conf->plat, keys, WEIR_TCP_KEYS + 1)) < 0) return r;
    weir_carve_init(&cv, &plan, area, n);
    struct weir scratch;
    struct weir *w = weir_layout(&scratch, &cv, conf);
    if (!w) return WEIR_EINVAL;
    w->conf = *conf;
    w->plat = conf->plat;
    memcpy(w->area, area, n * sizeof *area);
    w->n_area = n;
    w->now_us = w->plat->now_us(w->plat->ctx);
    w->z.stats = &w->stats;
    w->ip.z = &w->z;
    w->ip.stats = &w->stats;
    w->ip.errors_per_s = w->ip.error_tokens = conf->icmp_errors;
    w->ip.now_ms = w->ip.error_ms = w->z.now_ms = (uint32_t)(w->now_us / 1000);
    weir_tcp_init(&w->tcp, &w->conf, &w->ip, &w->stats, keys, w->now_us);
    set_floors(w);
    w->tcp.area = w->area;
    w->tcp.n_area = n;
    w->neigh_key = keys[WEIR_TCP_KEYS];
    *out = w;
    return 0;
}

/* ---- devices ---- */

static void describe(const struct weir *w, struct weir_netdev_env *env)
{
    memset(env, 0, sizeof *env);
    env->area = w->z.base;
    env->area_bytes = (size_t)w->z.bytes;
    env->plat = w->plat;
    env->rx_frames = w->conf.rx_burst;
    env->offloads = WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM | WEIR_OFF_RX_MERGE4;
    for (unsigned c = w->z.classes > 1; c < w->z.classes; c++) /* header blocks are not for receiving */
        env->zbuf_bytes[env->n_zbuf_bytes++] = w->z.cls[c].bytes;
}

/* A locally administered address from the instance's key, where the device has none. */
static void choose_mac(const struct weir *w, const struct weir_netdev *dev, uint32_t i, uint8_t mac[6])
{
    static const uint8_t none[6];
    memcpy(mac, dev->caps.mac, 6);
    if (memcmp(mac, none, 6) != 0) return;
    uint64_t h = weir_siphash_tuple(&w->neigh_key, i, 0, 0, 0, 0);
    for (unsigned k = 0; k < 6; k++)
        mac[k] = (uint8_t)(h >> 8 * k);
    mac[0] = (uint8_t)((mac[0] & 0xfc) | 2);
}

static uint32_t ip_of(const uint8_t ip[16])
{
    return (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | ip[3];
}

static bool ifaddr_ok(const struct weir_ifaddr *a)
{
    if (a->family != WEIR_IP4 || a->prefix < 1 || a->prefix > 30) return false;
    uint32_t ip = ip_of(a->ip), mask = ~0u << (32 - a->prefix);
    if (ip == 0 || ip >= 0xe0000000u || ip >> 24 == 127) return false;
    return (ip & ~mask) != 0 && (ip & ~mask) != ~mask; /* neither the network nor its broadcast */
}

/* The device's limits that the stack's header blocks and pieces must fit. */
static bool caps_ok(const struct weir_netdev_caps *c)
{
    return c->max_pieces >= 2 && c->max_pieces <= WEIR_FRAME_PIECES_MAX && c->mtu >= 576 &&
           c->max_frame >= 590 && (c->max_piece_bytes == 0 || c->max_piece_bytes >= WEIR_ZCLASS_MIN) &&
           (c->boundary == 0 || (weir_is_pow2(c->boundary) && c->boundary >= WEIR_ZCLASS_MIN)) &&
           weir_is_pow2(c->base_align) && c->base_align <= WEIR_BASE_ALIGN;
}

static void unpost(struct weir *w, struct weir_netdev *dev)
{
    void *addr[16];
    unsigned n;
    while ((n = dev->ops->rx_unpost(dev, addr, 16)) > 0)
        for (unsigned i = 0; i < n; i++)
            (void)weir_zpool_unref(&w->z, weir_zpool_head(&w->z, addr[i]), WEIR_OWNER_POSTED);
}

static void detach(struct weir *w, struct weir_ifc *ifc)
{
    struct weir_netdev *dev = ifc->dev;
    int handle = dev->ops->wait_handle(dev);
    if (handle >= 0 && w->plat->watch) (void)w->plat->watch(w->plat->ctx, handle, 0);
    unpost(w, dev);
    dev->ops->close(dev);
    ifc->up = 0;
}

/* What a device takes to receive into is told to the ladder, and floors and levels go by what it leaves. The plan
 * can't know what a device posts: one that leaves too little, or less than strict windows promise, is refused. */
static bool post_first(struct weir *w, struct weir_ifc *ifc)
{
    uint32_t before[WEIR_ZCLASSES_MAX];
    for (unsigned c = 0; c < w->z.classes; c++)
        before[c] = w->z.cls[c].free;
    if (!weir_rx_fill(w, ifc)) return false;
    weir_press_asked(&w->tcp.mem.press, &w->z, before);
    w->tcp.mem.strict.posts = w->z.posted;
    set_floors(w);
    return weir_press_relevel(&w->tcp.mem.press, &w->z) && weir_strict_ok(&w->tcp.mem.strict, &w->z, 0);
}

int weir_attach(struct weir *w, struct weir_netdev *dev, const struct weir_ifaddr *a)
{
    struct weir_netdev_env env;
    if (!w || !dev || !a || !ifaddr_ok(a)) return WEIR_EINVAL;
    if (w->ip.n_ifc == w->conf.ifaces) return WEIR_EBUSY;
    if (weir_ip4_local(&w->ip, ip_of(a->ip))) return WEIR_EADDRINUSE;
    describe(w, &env);
    int r = dev->ops->open(dev, &env);
    if (r < 0) return r;
    uint32_t i = w->ip.n_ifc;
    struct weir_ifc *ifc = &w->ip.ifc[i];
    memset(ifc, 0, sizeof *ifc);
    ifc->dev = dev;
    ifc->addr = ip_of(a->ip);
    ifc->mask = ~0u << (32 - a->prefix);
    ifc->gateway = ip_of(a->gateway);
    ifc->mtu = dev->caps.mtu;
    ifc->ether = dev->caps.link == WEIR_LINK_ETHER;
    choose_mac(w, dev, i, ifc->mac);
    weir_ip4_note_ifc(ifc);
    weir_txq_init(&ifc->txq, dev, &w->z, &w->stats, w->mem[i].tx_frame, w->mem[i].tx_piece, w->conf.tx_burst);
    if (ifc->ether)
        weir_neigh_init(&ifc->neigh, &ifc->txq, &w->z, &w->stats, &w->neigh_key, w->mem[i].neigh,
                        w->conf.neighbours, w->mem[i].neigh_bucket, w->mem[i].neigh_wait, w->conf.neigh_queue,
                        ifc->mac, ifc->addr, ifc->mask);
    struct weir_press before = w->tcp.mem.press;
    uint32_t posts = w->tcp.mem.strict.posts;
    ifc->neigh.watch = &w->tcp.next_known;
    w->tcp.next_known = false;
    int handle = dev->ops->wait_handle(dev);
    if (!caps_ok(&dev->caps))
        r = WEIR_ENOTSUP;
    else if (!post_first(w, ifc))
        r = WEIR_ENOMEM;
    else if (handle >= 0 && w->plat->watch)
        r = w->plat->watch(w->plat->ctx, handle, 1);
    if (r < 0) {
        detach(w, ifc);
        w->tcp.mem.press = before;
        w->tcp.mem.strict.posts = posts;
        set_floors(w);
        return r;
    }
    ifc->up = 1;
    w->ip.n_ifc = i + 1;
    bool wakes = !dev->caps.async && (handle >= 0 || dev->ops->next_us);
    w->wakes = wakes && (w->wakes || i == 0);
    w->scheduled = w->scheduled || dev->ops->next_us;
    return 0;
}

/* References that an asynchronous device never reported are its no more once it is closed. */
static void reap_all(struct weir_ifc *ifc)
{
    weir_txq_flush(&ifc->txq);
    while (weir_txq_reap(&ifc->txq, 64)) {
    }
}

int weir_stop(struct weir *w)
{
    w->tcp.closing = true;
    for (uint32_t i = 0; i < w->tcp.fresh_conn; i++) {
        struct weir_conn *c = &w->tcp.conn[i];
        if (!c->id) continue;
        c->flags |= WEIR_C_DETACHED;
        weir_conn_abort(&w->tcp, c, WEIR_ECONNABORTED);
    }
    weir_warm_drop(&w->tcp.warm, &w->tcp.mem);
    weir_drain_given(w);
    for (uint32_t i = 0; i < w->ip.n_ifc; i++) {
        struct weir_ifc *ifc = &w->ip.ifc[i];
        reap_all(ifc);
        if (ifc->ether) weir_neigh_close(&ifc->neigh);
        detach(w, ifc);
    }
    w->ip.n_ifc = 0;
    int held = 0;
    for (uint32_t i = 0; i < w->z.total; i++)
        held += weir_zpool_by_number(&w->z, i)->app > 0;
    return held;
}
