/* tcp_io.c: writing and reading: where the application's bytes live decides whether they are copied (mission
 * rows M2 and M3), and received bytes are lent (M4). */
#include "base/bits.h"
#include "tcp/fair.h"
#include "tcp/tcp.h"

/* Bytes copied out of large segments before a read lends, while memory is short, and descriptors looked at. */
#define LEND_COPY_MAX  16384u
#define LEND_PBUFS_MAX 64u

/* 0 and *head for bytes to send by reference; 1 for memory that is not ours, to be copied; else an error. */
static int where(const struct weir_tcp *t, const void *data, size_t len, struct weir_zhead **head)
{
    const struct weir_zpool *z = t->mem.z;
    uintptr_t at = (uintptr_t)data;
    int r = weir_zpool_find(z, data, head);
    if (r == 0) {
        if ((*head)->app == 0) return WEIR_ENOTHELD;
        uint64_t left =
            weir_zpool_bytes(z, *head) - (uint64_t)((const uint8_t *)data - weir_zpool_first(z, *head));
        return len > left ? WEIR_ERANGE : 0;
    }
    if (r != WEIR_EFOREIGN) return r;
    for (uint32_t i = 0; i < t->n_area; i++)
        if (at - (uintptr_t)t->area[i].base < t->area[i].bytes) return WEIR_EFAULT;
    return 1;
}

/* Whether the connection takes data at all: 0 or an error. */
static int may_write(const struct weir_conn *c)
{
    if (c->error < 0 && c->state == WEIR_TCP_CLOSED) return c->error;
    if (c->sq.closed) return WEIR_EPIPE;
    switch (c->state) {
    case WEIR_TCP_ESTABLISHED:
    case WEIR_TCP_CLOSE_WAIT:
        return 0;
    case WEIR_TCP_SYN_SENT:
    case WEIR_TCP_SYN_RECEIVED:
        return WEIR_ENOTCONN;
    default:
        return WEIR_EPIPE;
    }
}

/* What a write that was cut short waits for. */
static void wait_to_write(struct weir_tcp *t, struct weir_conn *c, bool memory, bool copies, bool lent)
{
    c->flags |= WEIR_C_ARM_WRITE;
    if (!memory) return;
    weir_conn_memwait(t, c, copies);
    if (lent) c->flags |= WEIR_C_MEMPASS;
}

/* Whether a lent piece may go to a send queue. */
static bool may_pass(const struct weir_tcp *t, const struct weir_zhead *h)
{
    uint32_t bytes = h->lent_bytes & WEIR_LENT_PASSED ? 0 : weir_zpool_bytes(t->mem.z, h);
    return weir_strict_ok(&t->mem.strict, t->mem.z, bytes) && (t->mem.to_send == 0 || weir_tcp_may_pass(t));
}

/* The segment is a send queue's from now on. */
static void note_passed(struct weir_tcp *t, struct weir_zhead *h)
{
    if (t->mem.strict.limit_bytes == 0 || (h->lent_bytes & WEIR_LENT_PASSED)) return;
    h->lent_bytes |= WEIR_LENT_PASSED;
    t->mem.strict.passed_bytes += weir_zpool_bytes(t->mem.z, h);
}

/* Whether a lent piece, or any other, certainly may go to a send queue. */
static inline bool passes(const struct weir_tcp *t, const struct weir_zhead *h)
{
    return h->lent_id == 0 ||
           (t->mem.strict.limit_bytes == 0 && (t->mem.to_send == 0 || weir_tcp_few_to_send(t)));
}

/* The write of a server that answers: by reference, on an established connection whose queue is empty, all of
 * it. 0: the whole of weir_tcp_write has to look; nothing was done. */
static inline ptrdiff_t write_alone(struct weir_tcp *t, weir_id id, const void *data, size_t len)
{
    uint32_t left;
    struct weir_conn *c = weir_conn_by_id(t, id);
    if (!c || c->state != WEIR_TCP_ESTABLISHED || c->sq.closed || c->sq.n != 0) return 0;
    struct weir_zhead *h = weir_zpool_held(t->mem.z, data, &left);
    if (!h || len - 1 >= c->sndbuf || len > left || !passes(t, h)) return 0;
    if (weir_sendq_ref_alone(&c->sq, &t->mem, h, (uint8_t *)(uintptr_t)data, (uint32_t)len) < 0) return 0;
    c->tx_bytes_ref += len;
    t->stats->tx_bytes_ref += len;
    c->flags |= WEIR_C_SENT_DUE;
    weir_conn_dirty(t, c);
    return (ptrdiff_t)len;
}

static WEIR_APART ptrdiff_t write_full(struct weir_tcp *t, weir_id id, const void *data, size_t len)
{
    struct weir_zhead *head = NULL;
    struct weir_conn *c = weir_conn_by_id(t, id);
    if (!c) return weir_listener_by_id(t, id) ? WEIR_EISLISTEN : WEIR_ESTALE;
    if (len == 0 || len > PTRDIFF_MAX || !data) return WEIR_EINVAL;
    int r = may_write(c);
    if (r < 0) return r;
    int foreign = where(t, data, len, &head);
    if (foreign < 0) return foreign;

    uint32_t queued = c->sq.end - c->sq.una;
    uint32_t room = c->sndbuf > queued ? c->sndbuf - queued : 0;
    uint32_t n = len > room ? room : (uint32_t)len;
    bool copies = foreign != 0;
    if (n && (c->sq.n != 0 || n > WEIR_FAIR_LEAST)) n = weir_fair_send(t, c, head, data, n, &copies);
    weir_must(copies || head != NULL);
    bool lent = !copies && head->lent_id != 0;
    ptrdiff_t took = WEIR_EAGAIN;
    if (n && lent && !may_pass(t, head))
        took = WEIR_ENOMEM;
    else if (n)
        took = copies ? weir_sendq_copy(&c->sq, &t->mem, &t->warm, data, n)
                      : weir_sendq_ref_in(&c->sq, &t->mem, head, (uint8_t *)(uintptr_t)data, n);
    if (took < (ptrdiff_t)len)
        wait_to_write(t, c, took == WEIR_ENOMEM || (took > 0 && (size_t)took < n), copies, lent);
    if (took <= 0) return took;
    if (lent) note_passed(t, head);
    c->flags |= WEIR_C_SENT_DUE;
    *(copies ? &c->tx_bytes_copied : &c->tx_bytes_ref) += (uint64_t)took;
    *(copies ? &t->stats->tx_bytes_copied : &t->stats->tx_bytes_ref) += (uint64_t)took;
    weir_conn_dirty(t, c);
    return took;
}

ptrdiff_t weir_tcp_write(struct weir_tcp *t, weir_id id, const void *data, size_t len)
{
    if (!t->full_path && write_alone(t, id, data, len) != 0) return (ptrdiff_t)len;
    return write_full(t, id, data, len);
}

/* 0: there is something to read; 1: the end of the stream; else an error, and READ is armed where it can
 * follow. */
static int may_read(const struct weir_tcp *t, weir_id id, struct weir_conn **out)
{
    struct weir_conn *c = weir_conn_by_id(t, id);
    if (!c) return weir_listener_by_id(t, id) ? WEIR_EISLISTEN : WEIR_ESTALE;
    *out = c;
    if (c->error < 0 && c->state == WEIR_TCP_CLOSED) return c->error;
    if (c->state < WEIR_TCP_ESTABLISHED && c->state != WEIR_TCP_CLOSED) return WEIR_ENOTCONN;
    if (c->rq.bytes) return 0;
    if ((c->flags & WEIR_C_FIN_READ) || c->state == WEIR_TCP_CLOSED) return 1;
    c->flags |= WEIR_C_ARM_READ;
    return WEIR_EAGAIN;
}

void weir_tcp_update(struct weir_tcp *t, struct weir_conn *c)
{
    if (!weir_tcp_synchronised(c) || (c->flags & WEIR_C_FIN_READ)) return;
    if (!weir_tcp_window_opened(t, c)) return;
    c->flags |= WEIR_C_ACK_NOW;
    weir_conn_dirty(t, c);
}

/* Memory is short: what is lent stays where it is, so that it leaves large segments first. */
static WEIR_APART void lend_few(struct weir_tcp *t, struct weir_conn *c)
{
    struct weir_slicing may = {.bytes = LEND_COPY_MAX, .pbufs = LEND_PBUFS_MAX};
    weir_recvq_compact(&c->rq, &t->mem, &may);
    t->ladder.let_go++;
}

/* Fewer bytes were read than there was room for, so nobody asks again at once: READ is due with the next byte, with
 * the end of the stream, which may be behind these bytes already, or where some were left because of a limit,
 * when something is back. */
static inline void read_short(struct weir_tcp *t, struct weir_conn *c)
{
    c->flags |= WEIR_C_ARM_READ;
    if (c->rq.bytes) t->hold_wait = true;
    if ((c->flags & WEIR_C_FIN_READ) && !c->rq.bytes) weir_conn_readable(t, c);
}

static WEIR_APART int lend(struct weir_tcp *t, struct weir_conn *c, struct weir_iov *iov, int n)
{
    uint32_t may = t->conf->app_hold_bytes > t->lent ? t->conf->app_hold_bytes - t->lent : 0;
    uint32_t bytes = 0;
    if (t->mem.press.rung >= WEIR_RUNG_COPY) lend_few(t, c);
    unsigned k = may ? weir_recvq_lend(&c->rq, &t->mem, c->id, iov, (unsigned)n, may, &bytes) : 0;
    if (k == 0) {
        c->flags |= WEIR_C_ARM_READ;
        t->hold_wait = true;
        return WEIR_ENOMEM;
    }
    c->lent += bytes;
    t->lent += bytes;
    if ((int)k < n) read_short(t, c);
    return (int)k;
}

/* All that is queued on an established connection is one piece. false: lend has to look. */
static inline bool lend_only(struct weir_tcp *t, struct weir_conn *c, struct weir_iov *iov, int n)
{
    uint32_t hold = t->conf->app_hold_bytes, bytes;
    if (t->full_path || c->state != WEIR_TCP_ESTABLISHED || t->mem.press.rung >= WEIR_RUNG_COPY) return false;
    if (hold < t->lent || !weir_recvq_lend_only(&c->rq, &t->mem, c->id, iov, hold - t->lent, &bytes))
        return false;
    c->lent += bytes;
    t->lent += bytes;
    if (n > 1) c->flags |= WEIR_C_ARM_READ; /* read_short: no end of the stream was seen */
    return true;
}

static WEIR_APART int read_full(struct weir_tcp *t, weir_id id, struct weir_iov *iov, int n)
{
    struct weir_conn *c;
    if (!iov || n <= 0) return WEIR_EINVAL;
    int r = may_read(t, id, &c);
    if (r) return r == 1 ? 0 : r;
    return lend(t, c, iov, n);
}

int weir_tcp_read(struct weir_tcp *t, weir_id id, struct weir_iov *iov, int n)
{
    struct weir_conn *c = weir_conn_by_id(t, id);
    if (c && iov && n > 0 && lend_only(t, c, iov, n)) return 1;
    return read_full(t, id, iov, n);
}

ptrdiff_t weir_tcp_recv(struct weir_tcp *t, weir_id id, void *buf, size_t len)
{
    struct weir_conn *c;
    if (!buf || len == 0) return WEIR_EINVAL;
    int r = may_read(t, id, &c);
    if (r) return r == 1 ? 0 : r;
    uint32_t n = weir_recvq_copy(&c->rq, &t->mem, buf, len > 0x3fffffff ? 0x3fffffff : (uint32_t)len);
    weir_tcp_maybe_update(t, c);
    if (n < len) read_short(t, c);
    return (ptrdiff_t)n;
}

/* Readers that were refused because too much is lent: their bytes wait still, so READ is due as soon as
 * something is back. */
void weir_tcp_wake_held(struct weir_tcp *t)
{
    if (t->lent > t->conf->app_hold_bytes - t->conf->app_hold_bytes / 8) return;
    t->hold_wait = false;
    for (uint32_t i = 0; i < t->fresh_conn; i++) {
        struct weir_conn *c = &t->conn[i];
        if (c->id && c->rq.bytes && (c->flags & WEIR_C_ARM_READ)) weir_conn_readable(t, c);
    }
}
