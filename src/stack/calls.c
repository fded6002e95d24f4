/* calls.c: the calls of weir.h on connections, and the counters: thin, since TCP does the work. */
#include <string.h>

#include "stack/stack.h"

static uint32_t ip_of(const struct weir_addr *a)
{
    return (uint32_t)a->ip[0] << 24 | (uint32_t)a->ip[1] << 16 | (uint32_t)a->ip[2] << 8 | a->ip[3];
}

int weir_listen(struct weir *w, const struct weir_addr *a, const struct weir_opts *o, weir_id *id)
{
    if (!a || a->family != WEIR_IP4) return WEIR_EINVAL;
    return weir_tcp_listen(&w->tcp, ip_of(a), a->port, o, id);
}

int weir_connect(struct weir *w, const struct weir_addr *a, const struct weir_opts *o, weir_id *id)
{
    if (!a || a->family != WEIR_IP4) return WEIR_EINVAL;
    return weir_tcp_connect(&w->tcp, ip_of(a), a->port, o, id);
}

int weir_accept(struct weir *w, weir_id listener, weir_id *id, struct weir_addr *peer)
{
    return weir_tcp_accept(&w->tcp, listener, id, peer);
}

ptrdiff_t weir_write(struct weir *w, weir_id id, const void *data, size_t len)
{
    return weir_tcp_write(&w->tcp, id, data, len);
}

ptrdiff_t weir_writev(struct weir *w, weir_id id, const struct weir_iov *iov, int n)
{
    ptrdiff_t sum = 0;
    if (!iov || n < 1 || n > 1024) return WEIR_EINVAL;
    for (int i = 0; i < n; i++) {
        if (iov[i].len == 0) continue;
        ptrdiff_t r = weir_tcp_write(&w->tcp, id, iov[i].base, iov[i].len);
        if (r < 0) return sum ? sum : r;
        sum += r;
        if ((size_t)r < iov[i].len) break;
    }
    return sum ? sum : WEIR_EINVAL;
}

int weir_read(struct weir *w, weir_id id, struct weir_iov *iov, int n)
{
    return weir_tcp_read(&w->tcp, id, iov, n);
}

ptrdiff_t weir_recv(struct weir *w, weir_id id, void *buf, size_t len)
{
    return weir_tcp_recv(&w->tcp, id, buf, len);
}

int weir_shutdown(struct weir *w, weir_id id)
{
    return weir_tcp_shutdown(&w->tcp, id);
}

int weir_close(struct weir *w, weir_id id, enum weir_close_how how)
{
    return weir_tcp_close(&w->tcp, id, how);
}

int weir_set(struct weir *w, weir_id id, enum weir_opt opt, intptr_t value)
{
    return weir_tcp_set(&w->tcp, id, opt, value);
}

int weir_info(const struct weir *w, weir_id id, struct weir_conn_info *out)
{
    return weir_tcp_info(&w->tcp, id, out);
}

unsigned weir_ready(const struct weir *w, weir_id id)
{
    return weir_tcp_ready(&w->tcp, id);
}

void weir_stats(const struct weir *w, struct weir_stats *out)
{
    *out = w->stats;
    out->zbuf_posted = w->z.posted;
    out->zbuf_live = w->z.live - w->z.posted;
    out->conns_live = w->tcp.live;
    out->timewait_live = w->tcp.tw_live;
    out->pbufs_live = w->tcp.mem.pbufs.used;
    out->pbufs_peak = w->tcp.mem.pbufs.peak;
    out->txrecs_live = w->tcp.mem.txrecs.used;
    out->txrecs_peak = w->tcp.mem.txrecs.peak;
    out->rung = w->tcp.mem.press.rung;
    out->zclasses = w->z.classes;
    for (uint32_t i = 0; i < w->z.classes; i++)
        out->zclass[i] = (struct weir_zclass_stats){w->z.cls[i].bytes, w->z.cls[i].count, w->z.cls[i].free,
                                                    w->z.cls[i].low};
}
