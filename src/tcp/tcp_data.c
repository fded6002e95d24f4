/* tcp_data.c: payload and FIN of a segment (RFC 9293 3.10.7.4, seventh and eighth check), and when to
 * acknowledge them. */
#include "tcp/tcp.h"

#include "base/bits.h"

/* The pieces of a frame that hold bytes [at, at + n). */
static unsigned gather(const struct weir_frame *f, uint32_t at, uint32_t n, struct weir_piece *out)
{
    unsigned k = 0;
    for (unsigned i = 0; i < f->n_pieces && n; i++) {
        struct weir_piece p = f->pieces[i];
        if (at >= p.bytes) {
            at -= p.bytes;
            continue;
        }
        p.addr += at;
        p.bytes = weir_min_u32(p.bytes - at, n);
        at = 0;
        n -= p.bytes;
        out[k++] = p;
    }
    return k;
}

static enum weir_drop drop_of(enum weir_recvq_result r)
{
    switch (r) {
    case WEIR_RECVQ_NO_ZBUF:
        return WEIR_DROP_NO_ZBUF;
    case WEIR_RECVQ_NO_PBUF:
        return WEIR_DROP_NO_PBUF;
    case WEIR_RECVQ_OOO_LIMIT:
        return WEIR_DROP_TCP_OOO_LIMIT;
    case WEIR_RECVQ_OWN_LIMIT:
        return WEIR_DROP_TCP_OWN_LIMIT;
    case WEIR_RECVQ_OOO_SHORT:
        return WEIR_DROP_TCP_OOO_SHORT;
    default:
        return WEIR_DROP_TCP_DUPLICATE;
    }
}

static enum weir_verdict payload(struct weir_tcp *t, struct weir_conn *c, const struct weir_seg *s)
{
    struct weir_piece piece[WEIR_FRAME_PIECES_MAX];
    unsigned n = gather(s->pkt->frame, s->pkt->l4_at + s->h.hdr_bytes + s->skip, s->bytes, piece);
    uint32_t before = c->rcv_nxt;
    bool disorder = c->rq.n_ooo > 0 || s->seq != before;
    enum weir_recvq_result r = weir_recvq_insert(&c->rq, &t->mem, &c->rcv_nxt, s->seq, piece, n, s->bytes);
    uint32_t delivered = c->rcv_nxt - before;
    if (r != WEIR_RECVQ_KEPT) t->stats->drops[drop_of(r)]++;
    if (delivered) {
        t->stats->rx_bytes += delivered;
        c->rx_bytes += delivered;
        weir_conn_readable(t, c);
    } else if (r == WEIR_RECVQ_KEPT) {
        t->stats->ooo_segments++;
    }
    weir_tcp_choose_ack(t, c, delivered, disorder);
    return r == WEIR_RECVQ_KEPT ? WEIR_V_DONE : WEIR_V_DROP;
}

/* The peer's FIN has been reached in order. c may be gone afterwards. */
static void fin_read(struct weir_tcp *t, struct weir_conn *c)
{
    c->rcv_nxt++;
    c->rcv_adv = weir_seq_max(c->rcv_adv, c->rcv_nxt);
    c->flags |= WEIR_C_FIN_READ;
    weir_tcp_ack_now(t, c);
    weir_conn_readable(t, c);
    switch (c->state) {
    case WEIR_TCP_ESTABLISHED:
        c->state = WEIR_TCP_CLOSE_WAIT;
        break;
    case WEIR_TCP_FIN_WAIT_1:
        c->state = WEIR_TCP_CLOSING;
        break;
    case WEIR_TCP_FIN_WAIT_2:
        weir_conn_timewait(t, c);
        break;
    default:
        break;
    }
}

enum weir_verdict weir_tcp_data_input(struct weir_tcp *t, struct weir_conn *c, struct weir_seg *s)
{
    enum weir_verdict v = WEIR_V_DONE;
    if (c->state == WEIR_TCP_TIME_WAIT) {
        weir_tcp_keep_start(t, c, 2 * t->conf->msl_ms);
        weir_tcp_ack_now(t, c);
        return WEIR_V_DONE;
    }
    bool takes = c->state == WEIR_TCP_ESTABLISHED || c->state == WEIR_TCP_FIN_WAIT_1 ||
                 c->state == WEIR_TCP_FIN_WAIT_2;
    if (!takes) { /* after the peer's FIN nothing can come (RFC 9293: ignore) */
        weir_tcp_ack_now(t, c);
        return WEIR_V_DONE;
    }
    if (s->bytes && (c->flags & WEIR_C_DETACHED)) {
        /* Nobody will ever read it (RFC 9293 3.10.7.4 with RFC 1122 4.2.2.13). */
        t->stats->drops[WEIR_DROP_TCP_AFTER_CLOSE]++;
        weir_conn_abort(t, c, WEIR_ECONNRESET);
        return WEIR_V_DROP;
    }
    if (s->bytes) v = payload(t, c, s);
    if (s->fin && !(c->flags & WEIR_C_FIN_SEEN)) {
        c->flags |= WEIR_C_FIN_SEEN;
        c->fin_seq = s->seq + s->bytes;
    }
    if ((c->flags & WEIR_C_FIN_SEEN) && !(c->flags & WEIR_C_FIN_READ)) {
        if (c->rcv_nxt == c->fin_seq)
            fin_read(t, c);
        else
            weir_tcp_ack_now(t, c);
    }
    return v;
}
