/* pbuf.h: the packet descriptor: where bytes live. Address and length; the owning zbuf is found from the
 * address.
 *
 * A descriptor in a queue holds one stack reference of its zbuf. Descriptors live in one fixed-cell pool of
 * the instance and are named by number, 0: none. */
#ifndef WEIR_PBUF_H
#define WEIR_PBUF_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/cells.h"
#include "mem/zpool.h"
#include "pkt/press.h"
#include "pkt/strict.h"
#include "weir/netdev.h"

struct weir_pbuf {
    uint8_t *addr;
    uint32_t bytes; /* > 0 */
    uint32_t seq;   /* sequence number of the first byte */
    uint32_t next;  /* in its queue */
};

/* What the queues of a connection draw on: one a stack instance. */
struct weir_pktmem {
    struct weir_zpool *z;
    struct weir_cells pbufs;  /* struct weir_pbuf */
    struct weir_cells txrecs; /* struct weir_txrec */
    uint32_t txlists;         /* lists for each of which a record is kept, 0: none */
    uint32_t txlists_used;    /* of them, those that have one */
    uint32_t to_send;         /* descriptors of send queues */
    uint32_t share;           /* descriptors that receiving leaves to sending, 0: none */
    uint32_t recv_share;      /* and sending to receiving: the same, or what strict windows have promised */
    uint32_t conns,
        senders; /* connections there can be, and those of them that hold descriptors of `to_send` */
    struct weir_press press;   /* how short all of this is */
    struct weir_strict strict; /* what is set aside for receiving, all zero without strict windows */
    struct weir_stats *stats;
};

static inline struct weir_pbuf *weir_pbuf_at(const struct weir_pktmem *m, uint32_t number)
{
    return (struct weir_pbuf *)(void *)m->pbufs.base + (number - 1);
}

#ifdef WEIR_WRAP_DECISIONS
bool weir_pbuf_room(const struct weir_pktmem *, enum weir_owner);
#endif

/* Sending and receiving each leave a share to the other, and data out of order two: two ends whose send queues
 * hold every descriptor could not take in what would empty them, and full receive queues would leave a proxy
 * nothing to write with. Whether this owner has less than its share. */
static inline bool weir_pbuf_share(const struct weir_pktmem *m, enum weir_owner owner)
{
    uint32_t used = owner == WEIR_OWNER_SENDQ ? m->to_send : m->pbufs.used - m->to_send;
    uint32_t leaves = owner == WEIR_OWNER_SENDQ ? m->recv_share
                      : owner == WEIR_OWNER_OOO ? 2 * m->share
                                                : m->share;
    return used < m->pbufs.count - leaves;
}

/* Whether a descriptor is left for this owner. */
static inline bool WEIR_DECISION(weir_pbuf_room)(const struct weir_pktmem *m, enum weir_owner owner)
{
    return weir_pbuf_share(m, owner) && weir_cells_left(&m->pbufs) > 0;
}

#ifndef WEIR_WRAP_DECISIONS
#define WEIR_PBUF_MAY weir_pbuf_share /* whether one is left, taking it will tell */
#else
#define WEIR_PBUF_MAY weir_pbuf_room
#endif

/* A descriptor for bytes[addr .. addr + n) of the zbuf h with one more stack reference of their zbuf for this
 * owner; 0 iff no descriptor is left for it or the zbuf's count is at its limit. next is 0. */
static inline uint32_t weir_pbuf_new_in(struct weir_pktmem *m, struct weir_zhead *h, uint8_t *addr,
                                        uint32_t n, uint32_t seq, enum weir_owner owner)
{
    void *cell;
    if (!WEIR_PBUF_MAY(m, owner)) return 0;
    uint32_t number = weir_cells_get_here(&m->pbufs, sizeof(struct weir_pbuf), &cell);
    if (number == 0) return 0;
    if (!weir_zpool_ref(m->z, h, owner)) {
        weir_cells_put_here(&m->pbufs, sizeof(struct weir_pbuf), number);
        return 0;
    }
    m->to_send += owner == WEIR_OWNER_SENDQ;
    struct weir_pbuf *p = cell;
    p->addr = addr;
    p->bytes = n;
    p->seq = seq;
    p->next = 0;
    return number;
}
/* The same, where the head is not known. */
static inline uint32_t weir_pbuf_new(struct weir_pktmem *m, uint8_t *addr, uint32_t n, uint32_t seq,
                                     enum weir_owner owner)
{
    return weir_pbuf_new_in(m, weir_zpool_head(m->z, addr), addr, n, seq, owner);
}

/* Whether a send queue that holds descriptors may take one more: not those that are kept for the connections
 * that hold none. Each can always send something so, however many others fill their queues and whose peers
 * read nothing. */
bool weir_pbuf_spare(const struct weir_pktmem *);

/* Gives descriptor and reference (of the zbuf h) back. Returns next. */
static inline uint32_t weir_pbuf_drop_in(struct weir_pktmem *m, struct weir_zhead *h, uint32_t number,
                                         enum weir_owner owner)
{
    uint32_t next = weir_pbuf_at(m, number)->next;
    (void)weir_zpool_unref(m->z, h, owner);
    weir_cells_put_here(&m->pbufs, sizeof(struct weir_pbuf), number);
    m->to_send -= owner == WEIR_OWNER_SENDQ;
    return next;
}
/* The same, where the head is not known. */
static inline uint32_t weir_pbuf_drop(struct weir_pktmem *m, uint32_t number, enum weir_owner owner)
{
    return weir_pbuf_drop_in(m, weir_zpool_head(m->z, weir_pbuf_at(m, number)->addr), number, owner);
}

#endif
