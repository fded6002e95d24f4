/* conn.c: the tables of connections and listeners, and the lists threaded through them.
 *
 * Theory of operation. A cell is free (id 0), or live. A live connection is found by id, by its addresses and
 * ports (WEIR_C_HASHED), or on a list. Each list has a flag that says whether the cell is on it, so adding
 * twice is harmless, and a cell that is freed is unlinked first:
 *
 *     dirty    visited once after a burst: weir_tcp_output           (tcp_output.c empties it)
 *     ready    has events for the application                        (tcp_user.c takes from the front)
 *     blocked  found no neighbour, room or header block              (weir_tcp_unblock empties it)
 *     memwait  a write found no zbuf or descriptor, first come first (weir_tcp_memory takes from the front)
 *     accept   of its listener, established and not yet accepted
 *
 * Lists are singly linked. Unlinking from the middle walks the list: it happens only when a connection dies
 * while listed, so dirty, blocked and ready skip dead cells lazily instead: a cell on one of them is freed
 * when the list lets it go. To keep that simple, weir_conn_free unlinks by walking; the lists are short
 * outside of bursts. */
#include "tcp/conn.h"

#include <string.h>

#include "base/bits.h"
#include "tcp/fair.h"
#include "tcp/tcp.h"

void weir_tcp_carve(struct weir_tcp *t, struct weir_carve *cv, const struct weir_config *conf)
{
    uint32_t buckets = weir_pow2_ceil(conf->conns);
    uint32_t tw_buckets = weir_pow2_ceil(conf->timewait);
    t->mem.pbufs.base = weir_carve(cv, "pbufs", "packet descriptors", conf->pbufs, sizeof(struct weir_pbuf),
                                   _Alignof(struct weir_pbuf), WEIR_AREA_FAST);
    t->mem.txrecs.base = weir_carve(cv, "txrecs", "transmit records", conf->txrecs, sizeof(struct weir_txrec),
                                    _Alignof(struct weir_txrec), WEIR_AREA_FAST);
    t->conn =
        weir_carve(cv, "conns", "connections", conf->conns, sizeof(struct weir_conn), 64, WEIR_AREA_FAST);
    t->bucket = weir_carve(cv, "conn_table", "table of addresses and ports", buckets, sizeof(uint32_t), 64,
                           WEIR_AREA_FAST);
    t->node = weir_carve(cv, "timers", "timing wheel entries", conf->conns, sizeof(struct weir_wheel_node),
                         _Alignof(struct weir_wheel_node), WEIR_AREA_FAST);
    t->lis = weir_carve(cv, "listeners", "listening ports", conf->listeners, sizeof(struct weir_listener),
                        _Alignof(struct weir_listener), WEIR_AREA_FAST);
    t->tw = weir_carve(cv, "timewait", "connections in TIME-WAIT", conf->timewait, sizeof(struct weir_tw), 64,
                       WEIR_AREA_SLOW);
    t->tw_bucket = weir_carve(cv, "timewait_table", "table of TIME-WAIT", conf->timewait ? tw_buckets : 0,
                              sizeof(uint32_t), 64, WEIR_AREA_SLOW);
    t->bucket_mask = buckets - 1;
    t->tw_mask = tw_buckets - 1;
}

void weir_tcp_init(struct weir_tcp *t, const struct weir_config *conf, struct weir_ip *ip,
                   struct weir_stats *stats, const struct weir_sipkey keys[WEIR_TCP_KEYS], uint64_t now_us)
{
    t->conf = conf;
    t->ip = ip;
    t->stats = stats;
    t->mem.z = ip->z;
    t->mem.stats = stats;
    weir_cells_init(&t->mem.pbufs, t->mem.pbufs.base, conf->pbufs, sizeof(struct weir_pbuf));
    t->mem.share = conf->pbufs / 8;
    t->mem.recv_share =
        conf->window == WEIR_WINDOW_STRICT ? (uint32_t)weir_tcp_strict_pbufs(conf) : t->mem.share;
    t->mem.conns = conf->conns;
    weir_cells_init(&t->mem.txrecs, t->mem.txrecs.base, conf->txrecs, sizeof(struct weir_txrec));
    t->mem.txlists = t->n_conn = conf->conns;
    weir_press_init(&t->mem.press, &t->mem.pbufs);
    ip->strict = &t->mem.strict;
    t->mem.strict.limit_bytes = (uint64_t)conf->conns * weir_tcp_seg_limit(t, conf->rcvbuf_bytes);
    t->n_lis = conf->listeners;
    t->n_tw = conf->timewait;
    memset(t->bucket, 0, (t->bucket_mask + 1) * sizeof *t->bucket);
    if (t->n_lis) memset(t->lis, 0, t->n_lis * sizeof *t->lis);
    if (t->n_tw) memset(t->tw_bucket, 0, (t->tw_mask + 1) * sizeof *t->tw_bucket);
    t->now_us = now_us;
    t->now_ms = (uint32_t)(now_us / 1000);
    weir_wheel_init(&t->wheel, t->node, conf->conns, t->now_ms);
    t->wheel.watch = &t->next_known;
    t->key_table = keys[0];
    t->key_isn = keys[1];
    t->key_port = keys[2];
    t->key_ts = keys[3];
    t->key_cookie = keys[4];
    t->challenge_left = conf->challenge_acks;
    t->challenge_ms = t->now_ms;
    t->delack_ms = (conf->delack_us + 999) / 1000;
    t->warm.zbuf_bytes = weir_min_u32(16384, conf->zclass[conf->zclasses - 1].bytes);
}

struct weir_conn *weir_conn_new(struct weir_tcp *t)
{
    uint32_t i;
    uint32_t gen = 1;
    if (t->free_conn) {
        i = t->free_conn - 1;
        t->free_conn = t->conn[i].hash_next;
        gen = t->conn[i].lport; /* where weir_conn_free left it */
    } else if (t->fresh_conn < t->n_conn) {
        i = t->fresh_conn++;
    } else {
        return NULL;
    }
    struct weir_conn *c = &t->conn[i];
    memset(c, 0, sizeof *c);
    c->id = gen << WEIR_ID_INDEX_BITS | i;
    c->state = WEIR_TCP_CLOSED;
    c->rcvbuf = t->conf->rcvbuf_bytes;
    c->sndbuf = t->conf->sndbuf_bytes;
    c->rto_us = weir_max_u32(1000000, t->conf->rto_min_us);  /* RFC 6298 2.1 */
    c->mss = c->eff_mss = c->seg_max = WEIR_TCP_MSS_DEFAULT; /* until its interface is known */
    c->flags = WEIR_C_ARM_READ | WEIR_C_ARM_WRITE;
    weir_recvq_init(&c->rq, (uint16_t)t->conf->ooo_conn, weir_tcp_seg_limit(t, c->rcvbuf), c->rcvbuf);
    t->live++;
    return c;
}

/* Takes cell i (index) off a singly linked list; link(c) is the member that links it. */
#define UNLINK(t, first, last, member, i)                                                                    \
    do {                                                                                                     \
        uint32_t prev_ = 0;                                                                                  \
        for (uint32_t at_ = (first); at_; prev_ = at_, at_ = (t)->conn[at_ - 1].member) {                    \
            if (at_ - 1 != (i)) continue;                                                                    \
            uint32_t next_ = (t)->conn[at_ - 1].member;                                                      \
            if (prev_)                                                                                       \
                (t)->conn[prev_ - 1].member = next_;                                                         \
            else                                                                                             \
                (first) = next_;                                                                             \
            if ((last) == at_) (last) = prev_;                                                               \
            break;                                                                                           \
        }                                                                                                    \
    } while (0)

static void unlist(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t i = weir_conn_index(t, c);
    if (c->flags & WEIR_C_DIRTY) UNLINK(t, t->dirty_first, t->dirty_last, dirty_next, i);
    if (c->flags & WEIR_C_READY) UNLINK(t, t->ready_first, t->ready_last, ready_next, i);
    if (c->flags & WEIR_C_BLOCKED) UNLINK(t, t->blocked_first, t->blocked_last, blocked_next, i);
    if (c->flags & WEIR_C_MEMWAIT) UNLINK(t, t->memwait_first, t->memwait_last, memwait_next, i);
    if (c->listener) {
        struct weir_listener *l = &t->lis[c->listener - 1];
        if (c->flags & WEIR_C_HALF_OPEN) l->half_open--;
        if (c->flags & WEIR_C_QUEUED) {
            UNLINK(t, l->accept_first, l->accept_last, accept_next, i);
            l->queued--;
        }
    }
    c->flags &= ~(uint32_t)(WEIR_C_DIRTY | WEIR_C_READY | WEIR_C_BLOCKED | WEIR_C_MEMWAIT | WEIR_C_QUEUED |
                            WEIR_C_HALF_OPEN);
}

void weir_conn_free(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t i = weir_conn_index(t, c);
    uint32_t gen = (c->id >> WEIR_ID_INDEX_BITS & WEIR_ID_GEN_MASK) + 1;
    unlist(t, c);
    weir_conn_unhash(t, c);
    weir_wheel_cancel(&t->wheel, i);
    weir_sendq_clear(&c->sq, &t->mem);
    weir_txlist_clear(&c->tx, &t->mem);
    weir_recvq_clear(&c->rq, &t->mem);
    c->id = 0;
    c->flags = WEIR_C_DETACHED;
    c->lport = (uint16_t)(gen > WEIR_ID_GEN_MASK ? 1 : gen); /* the next life's generation */
    c->hash_next = t->free_conn;
    t->free_conn = i + 1;
    t->live--;
    t->stats->conns_closed++;
}

static uint32_t bucket_of(const struct weir_tcp *t, uint32_t laddr, uint16_t lport, uint32_t raddr,
                          uint16_t rport)
{
    return (uint32_t)weir_siphash_tuple(&t->key_table, laddr, raddr, lport, rport, 0) & t->bucket_mask;
}

struct weir_conn *weir_conn_lookup(const struct weir_tcp *t, uint32_t laddr, uint16_t lport, uint32_t raddr,
                                   uint16_t rport)
{
    for (uint32_t at = t->bucket[bucket_of(t, laddr, lport, raddr, rport)]; at;
         at = t->conn[at - 1].hash_next) {
        struct weir_conn *c = &t->conn[at - 1];
        if (weir_conn_is(c, laddr, lport, raddr, rport)) return c;
    }
    return NULL;
}

void weir_conn_hash(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t *b = &t->bucket[bucket_of(t, c->laddr, c->lport, c->raddr, c->rport)];
    c->hash_next = *b;
    *b = weir_conn_index(t, c) + 1;
    c->flags |= WEIR_C_HASHED;
}

void weir_conn_unhash(struct weir_tcp *t, struct weir_conn *c)
{
    if (!(c->flags & WEIR_C_HASHED)) return;
    uint32_t *link = &t->bucket[bucket_of(t, c->laddr, c->lport, c->raddr, c->rport)];
    while (*link && &t->conn[*link - 1] != c)
        link = &t->conn[*link - 1].hash_next;
    if (*link) *link = c->hash_next;
    c->flags &= ~(uint32_t)WEIR_C_HASHED;
}

struct weir_listener *weir_listener_lookup(const struct weir_tcp *t, uint32_t laddr, uint16_t lport)
{
    struct weir_listener *any = NULL;
    for (uint32_t i = 0; i < t->n_lis; i++) {
        struct weir_listener *l = &t->lis[i];
        if (!l->id || l->port != lport) continue;
        if (l->addr == laddr) return l;
        if (l->addr == 0) any = l;
    }
    return any;
}

/* Room enough that a woken writer makes a worthwhile write: a quarter of the buffer, a quarter of the
 * descriptors. */
static bool room_to_write(const struct weir_tcp *t, const struct weir_conn *c)
{
    if (c->state != WEIR_TCP_ESTABLISHED && c->state != WEIR_TCP_CLOSE_WAIT) return false;
    if (c->sq.closed) return false;
    uint32_t used = c->sq.end - c->sq.una;
    if (used > c->sndbuf - c->sndbuf / 4) return false;
    return c->sq.n <= c->sq.max - c->sq.max / 4 && (c->fair == 0 || weir_fair_again(t, c));
}

bool weir_conn_can_write(const struct weir_tcp *t, const struct weir_conn *c)
{
    return room_to_write(t, c) && weir_sendq_room(&c->sq, &t->mem);
}

void weir_conn_writable(struct weir_tcp *t, struct weir_conn *c)
{
    bool waits = (c->flags & WEIR_C_MEMWAIT) && c->sq.n > 0; /* an empty queue is owed a descriptor */
    if (!(c->flags & WEIR_C_ARM_WRITE) || waits || !room_to_write(t, c)) return;
    if (!weir_sendq_room(&c->sq, &t->mem)) {
        weir_conn_memwait(t, c, false); /* no acknowledgement may come that asks again */
        return;
    }
    c->flags &= ~(uint32_t)WEIR_C_ARM_WRITE;
    weir_conn_event(t, c, WEIR_EV_WRITE);
}

void weir_conn_block(struct weir_tcp *t, struct weir_conn *c)
{
    if (c->flags & WEIR_C_BLOCKED) return;
    c->flags |= WEIR_C_BLOCKED;
    WEIR_CONN_APPEND(t, t->blocked_first, t->blocked_last, blocked_next, c); /* first come, first served */
}

void weir_conn_block_last(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t i = weir_conn_index(t, c);
    if (!(c->flags & WEIR_C_BLOCKED) || t->blocked_last == i + 1) return;
    UNLINK(t, t->blocked_first, t->blocked_last, blocked_next, i);
    WEIR_CONN_APPEND(t, t->blocked_first, t->blocked_last, blocked_next, c);
}

void weir_conn_memwait(struct weir_tcp *t, struct weir_conn *c, bool copies)
{
    c->flags &= ~(uint32_t)(WEIR_C_MEMCOPY | WEIR_C_MEMPASS);
    c->flags |= WEIR_C_ARM_WRITE | (copies ? WEIR_C_MEMCOPY : 0);
    t->empty_waits |= c->sq.n == 0;
    if (c->flags & WEIR_C_MEMWAIT) return;
    c->flags |= WEIR_C_MEMWAIT;
    WEIR_CONN_APPEND(t, t->memwait_first, t->memwait_last, memwait_next, c);
}

void weir_listener_event(struct weir_tcp *t, struct weir_listener *l)
{
    if (l->ready) return;
    l->ready = 1;
    l->ready_next = t->lis_ready;
    t->lis_ready = (uint32_t)(l - t->lis) + 1;
}

void weir_tcp_unblock(struct weir_tcp *t)
{
    uint32_t at = t->blocked_first;
    t->blocked_room = t->blocked_record = false;
    t->blocked_first = t->blocked_last = 0;
    while (at) {
        struct weir_conn *c = &t->conn[at - 1];
        at = c->blocked_next;
        c->flags &= ~(uint32_t)WEIR_C_BLOCKED;
        weir_conn_dirty(t, c);
    }
}

/* Received segments come from below the floor that weir_zalloc keeps, and by writing them on an application
 * could move all of them into send queues: two instances that do so can't receive what would empty them. The
 * half lets an application that has all segments in its hands write them, one after the other. */
bool weir_tcp_may_pass(const struct weir_tcp *t)
{
    const struct weir_zpool *z = t->mem.z;
    if (weir_tcp_few_to_send(t)) return true;
    unsigned cls = weir_zpool_class_for(z, WEIR_RX_ZBUF_BYTES);
    return weir_zpool_can(z, weir_min_u32(cls, z->classes - 1), WEIR_TAKE_APP, 1);
}

/* Hysteresis: a sixteenth of the descriptors must be back before anybody is woken, and a segment for copies
 * before those are who copy. Who writes by reference does not wait for that: the segments may all lie with
 * the application, which gives them back when they are written. While only descriptors are left that are kept
 * for empty queues, the others need not be asked. */
void weir_tcp_memory(struct weir_tcp *t)
{
    uint32_t at = t->memwait_first;
    if (!at || !weir_pbuf_room(&t->mem, WEIR_OWNER_SENDQ) ||
        weir_cells_left(&t->mem.pbufs) <= t->mem.pbufs.count / 16 ||
        !(t->empty_waits || weir_pbuf_spare(&t->mem)))
        return;
    unsigned cls = weir_zpool_class_for(t->mem.z, t->warm.zbuf_bytes);
    bool zbuf = t->warm.left > 0 || weir_zpool_can(t->mem.z, cls, WEIR_TAKE_COPY, 1);
    bool pass = weir_tcp_may_pass(t) &&
                weir_strict_ok(&t->mem.strict, t->mem.z, t->mem.z->cls[t->mem.z->classes - 1].bytes);
    t->memwait_first = t->memwait_last = 0;
    t->empty_waits = false;
    while (at) {
        struct weir_conn *c = &t->conn[at - 1];
        at = c->memwait_next;
        if (((c->flags & WEIR_C_MEMCOPY) && !zbuf) || ((c->flags & WEIR_C_MEMPASS) && !pass)) {
            t->empty_waits |= c->sq.n == 0;
            WEIR_CONN_APPEND(t, t->memwait_first, t->memwait_last, memwait_next, c);
            continue;
        }
        c->flags &= ~(uint32_t)WEIR_C_MEMWAIT;
        weir_conn_writable(t, c);
    }
}
