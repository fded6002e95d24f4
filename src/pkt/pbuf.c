/* pbuf.c: descriptors come with one stack reference of the zbuf that their bytes lie in, and go with it. */
#include "pkt/pbuf.h"

bool weir_pbuf_room(const struct weir_pktmem *m, enum weir_owner owner)
{
    uint32_t used = owner == WEIR_OWNER_SENDQ ? m->to_send : m->pbufs.used - m->to_send;
    uint32_t leaves = owner == WEIR_OWNER_OOO ? 2 * m->share : m->share;
    return used < m->pbufs.count - leaves && weir_cells_left(&m->pbufs) > 0;
}

bool weir_pbuf_spare(const struct weir_pktmem *m)
{
    uint32_t kept = m->conns > m->senders ? m->conns - m->senders : 0;
    uint32_t may = m->pbufs.count - m->share;
    return weir_cells_left(&m->pbufs) > kept && m->to_send < may && may - m->to_send > kept;
}

uint32_t weir_pbuf_new(struct weir_pktmem *m, uint8_t *addr, uint32_t n, uint32_t seq, enum weir_owner owner)
{
    uint32_t number = weir_pbuf_room(m, owner) ? weir_cells_get(&m->pbufs) : 0;
    if (number == 0) return 0;
    if (!weir_zpool_ref(m->z, weir_zpool_head(m->z, addr), owner)) {
        weir_cells_put(&m->pbufs, number);
        return 0;
    }
    m->to_send += owner == WEIR_OWNER_SENDQ;
    *weir_pbuf_at(m, number) = (struct weir_pbuf){.addr = addr, .bytes = n, .seq = seq};
    return number;
}

uint32_t weir_pbuf_drop(struct weir_pktmem *m, uint32_t number, enum weir_owner owner)
{
    const struct weir_pbuf *p = weir_pbuf_at(m, number);
    uint32_t next = p->next;
    (void)weir_zpool_unref(m->z, weir_zpool_head(m->z, p->addr), owner);
    weir_cells_put(&m->pbufs, number);
    m->to_send -= owner == WEIR_OWNER_SENDQ;
    return next;
}
