/* contract_pairrig.c: the peer is the other end of a pair, posted with its own buffers. */
#include "contract_pairrig.h"

#include <stdlib.h>
#include <string.h>

#define POSTS (sizeof((struct pairrig *)0)->posts / sizeof((struct pairrig *)0)->posts[0])

static struct pairrig *of(struct contract_rig *r)
{
    return (struct pairrig *)(void *)r;
}

static struct weir_netdev *peer(struct contract_rig *r)
{
    return &of(r)->pair.end[1].dev;
}

static void post(struct pairrig *p)
{
    struct weir_netdev *d = &p->pair.end[1].dev;
    while (d->ops->rx_want(d) > 0)
        d->ops->rx_post(d, p->posts[p->next_post++ % POSTS], sizeof p->posts[0]);
}

static const char *build(struct contract_rig *r)
{
    struct pairrig *p = of(r);
    weir_sim_init(&p->sim, 7);
    p->conf.plat = &p->sim.plat;
    size_t n = weir_pair_bytes(&p->conf);
    p->memory = malloc(n);
    if (n == 0 || !p->memory || weir_pair_init(&p->pair, &p->conf, p->memory, n) != 0)
        return "no memory for the pair";
    r->plat = &p->sim.plat;
    struct weir_netdev *lower = &p->pair.end[0].dev;
    r->dev = p->wrap ? p->wrap(lower) : lower;
    return NULL;
}

static void opened(struct contract_rig *r)
{
    struct weir_netdev *d = peer(r);
    struct weir_netdev_env env = {
        .plat = r->plat, .zbuf_bytes = {sizeof of(r)->posts[0]}, .n_zbuf_bytes = 1, .rx_frames = POSTS};
    if (!of(r)->pair.end[1].open) d->ops->open(d, &env);
    post(of(r));
}

static void destroy(struct contract_rig *r)
{
    peer(r)->ops->close(peer(r));
    free(of(r)->memory);
}

static int peer_send(struct contract_rig *r, const uint8_t *frame, uint32_t bytes)
{
    static _Alignas(4096) uint8_t space[512][2048]; /* an asynchronous end reads late */
    static unsigned at;
    const struct weir_netdev_caps *c = &peer(r)->caps;
    struct weir_piece p[WEIR_FRAME_PIECES_MAX];
    struct weir_frame f = {.pieces = p, .bytes = bytes};
    void *done[64];
    while (peer(r)->ops->reap(peer(r), done, 64) > 0)
        continue;
    uint8_t *to = space[at++ % 512];
    memcpy(to, frame, bytes);
    for (uint32_t off = 0; off < bytes; f.n_pieces++) {
        uint32_t n = bytes - off < c->max_piece_bytes ? bytes - off : c->max_piece_bytes;
        p[f.n_pieces] = (struct weir_piece){to + off, n};
        off += n;
    }
    return (int)peer(r)->ops->tx_burst(peer(r), &f, 1);
}

static uint32_t peer_recv(struct contract_rig *r, uint8_t *frame, uint32_t cap)
{
    struct weir_frame f;
    if (peer(r)->ops->rx_burst(peer(r), &f, 1) == 0) return 0;
    if (f.bytes <= cap) memcpy(frame, f.pieces[0].addr, f.bytes);
    post(of(r));
    return f.bytes;
}

static void settle(struct contract_rig *r)
{
    of(r)->sim.now_us += 2000;
}

void pairrig_init(struct pairrig *p, const char *name, const struct weir_pair_conf *conf,
                  struct weir_netdev *(*wrap)(struct weir_netdev *))
{
    memset(p, 0, sizeof *p);
    p->rig = (struct contract_rig){.name = name,
                                   .build = build,
                                   .opened = opened,
                                   .destroy = destroy,
                                   .peer_send = peer_send,
                                   .peer_recv = peer_recv,
                                   .settle = settle,
                                   .offloads = 15};
    p->conf = *conf;
    p->wrap = wrap;
}
