/* pbuf.c: descriptors come with one stack reference of the zbuf that their bytes lie in, and go with it. */
#include "pkt/pbuf.h"

#ifdef WEIR_WRAP_DECISIONS
bool weir_pbuf_room(const struct weir_pktmem *m, enum weir_owner owner)
{
    return weir_pbuf_room_inline(m, owner);
}
#endif

bool weir_pbuf_spare(const struct weir_pktmem *m)
{
    uint32_t kept = m->conns > m->senders ? m->conns - m->senders : 0;
    uint32_t may = m->pbufs.count - m->recv_share;
    return weir_cells_left(&m->pbufs) > kept && m->to_send < may && may - m->to_send > kept;
}
