/* tcp_segment.c: building segments: header and options in a header block, payload by reference to where the
 * send queue says it lives. Which segment is due is tcp_output.c's decision. */
#include "tcp/tcp.h"

#include "base/bits.h"

static void fill_options(struct weir_tcp *t, const struct weir_conn *c, struct weir_tcphdr *h)
{
    if (h->flags & WEIR_TCP_SYN) {
        const struct weir_ifc *ifc = &t->ip->ifc[c->ifc];
        bool answer = (h->flags & WEIR_TCP_ACK) != 0;
        h->opts = WEIR_TCPOPT_MSS;
        h->mss = (uint16_t)(ifc->mtu - WEIR_IP4_BYTES - WEIR_TCP_BYTES);
        if (!answer || (c->syn_opts & WEIR_TCPOPT_WSCALE)) {
            h->opts |= WEIR_TCPOPT_WSCALE;
            h->wscale = c->rcv_wscale;
        }
        if (!answer || (c->syn_opts & WEIR_TCPOPT_TS)) h->opts |= WEIR_TCPOPT_TS;
    } else if (c->flags & WEIR_C_TS) {
        h->opts = WEIR_TCPOPT_TS;
    }
    if (h->opts & WEIR_TCPOPT_TS) {
        h->tsval = t->now_ms + c->ts_offset;
        h->tsecr = h->flags & WEIR_TCP_ACK ? c->ts_recent : 0;
    }
}

/* A SYN's window is never scaled (RFC 7323 2.2). */
static uint16_t syn_window(struct weir_conn *c)
{
    uint32_t wnd = weir_min_u32(c->rcvbuf, 65535);
    c->rcv_adv = weir_seq_max(c->rcv_adv, c->rcv_nxt + wnd);
    return (uint16_t)wnd;
}

enum weir_send weir_tcp_segment(struct weir_tcp *t, struct weir_conn *c, uint32_t seq, uint32_t *bytes,
                                uint8_t flags)
{
    enum weir_send sent;
    if (!t->full_path && weir_tcp_plain(t, c, seq, *bytes, flags, &sent)) return sent;
    struct weir_piece piece[WEIR_FRAME_PIECES_MAX];
    struct weir_ifc *ifc = &t->ip->ifc[c->ifc];
    const struct weir_netdev_caps *caps = &ifc->dev->caps;
    uint32_t eff = weir_tcp_eff_mss(c);
    uint32_t n_pieces = 0;
    uint8_t mac[6];

    if (*bytes) {
        uint32_t want = *bytes, got = 0;
        n_pieces = weir_sendq_slice(&c->sq, &t->mem, seq, want, piece, caps->max_pieces - 1u,
                                    caps->max_piece_bytes, caps->boundary, &got);
        if (got < want) {
            flags &= (uint8_t) ~(WEIR_TCP_FIN | WEIR_TCP_PSH);
            if (got > eff) { /* whole segments only */
                got -= got % eff;
                n_pieces = weir_sendq_slice(&c->sq, &t->mem, seq, got, piece, caps->max_pieces - 1u,
                                            caps->max_piece_bytes, caps->boundary, &got);
            }
        }
        *bytes = got;
    }
    enum weir_send ready = weir_ip4_ready(t->ip, ifc, c->next_hop, 1 + n_pieces, mac);
    if (ready != WEIR_SEND_OK) return ready;
    uint8_t *l4 = weir_ip4_block_now(t->ip, ifc);
    if (!l4) return WEIR_SEND_WAIT_HEADER;

    struct weir_tcphdr h = {.sport = c->lport, .dport = c->rport, .seq = seq, .flags = flags};
    if (flags & WEIR_TCP_ACK) h.ack = c->rcv_nxt;
    h.wnd = flags & WEIR_TCP_SYN ? syn_window(c) : weir_tcp_window(t, c);
    fill_options(t, c, &h);
    struct weir_outpkt out = {.l4 = l4,
                              .l4_bytes = weir_tcphdr_emit(l4, &h),
                              .piece = piece,
                              .n_pieces = n_pieces,
                              .payload_bytes = *bytes,
                              .src = c->laddr,
                              .dst = c->raddr,
                              .proto = WEIR_PROTO_TCP,
                              .ttl = 64,
                              .csum = true,
                              .csum_field = WEIR_TCP_CSUM_AT,
                              .gso_bytes = (uint16_t)(*bytes > eff ? eff : 0)};
    weir_ip4_send(t->ip, ifc, mac, &out);
    weir_tcp_note_sent(t, c, h.flags, *bytes);
    return WEIR_SEND_OK;
}

uint32_t weir_tcp_bare_seq(const struct weir_conn *c)
{
    uint32_t edge = c->tx.una + c->snd_wnd;
    return weir_seq_lt(edge, c->tx.nxt) && weir_tcp_synchronised(c) ? edge : c->tx.nxt;
}

/* A segment that no connection sends. */
static void send_alone(struct weir_tcp *t, struct weir_ifc *ifc, uint32_t src, uint32_t dst,
                       const struct weir_tcphdr *h)
{
    uint8_t *l4 = weir_ip4_block(t->ip, ifc);
    if (!l4) {
        t->stats->drops[WEIR_DROP_NO_HEADER]++;
        return;
    }
    struct weir_outpkt out = {.l4 = l4,
                              .l4_bytes = weir_tcphdr_emit(l4, h),
                              .src = src,
                              .dst = dst,
                              .proto = WEIR_PROTO_TCP,
                              .ttl = 64,
                              .csum = true,
                              .csum_field = WEIR_TCP_CSUM_AT};
    weir_ip4_datagram(t->ip, &out);
}

/* The connection goes at once, so where its neighbour must be asked for first, after a long silence, the
 * reset waits as a datagram. */
void weir_tcp_reset(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t none = 0, seq = weir_tcp_bare_seq(c);
    uint8_t flags = WEIR_TCP_RST | WEIR_TCP_ACK;
    if (weir_tcp_segment(t, c, seq, &none, flags) != WEIR_SEND_WAIT_NEIGH) return;
    struct weir_tcphdr h = {
        .sport = c->lport, .dport = c->rport, .seq = seq, .ack = c->rcv_nxt, .flags = flags};
    fill_options(t, c, &h);
    t->stats->resets_sent++;
    send_alone(t, &t->ip->ifc[c->ifc], c->laddr, c->raddr, &h);
}

void weir_tcp_reset_reply(struct weir_tcp *t, const struct weir_seg *seg)
{
    if ((seg->h.flags & WEIR_TCP_RST) || t->closing) return;
    if (!weir_ip4_may_err(t->ip)) return;
    struct weir_tcphdr h = {.sport = seg->h.dport, .dport = seg->h.sport, .flags = WEIR_TCP_RST};
    if (seg->h.flags & WEIR_TCP_ACK) {
        h.seq = seg->h.ack;
    } else {
        h.flags |= WEIR_TCP_ACK;
        h.ack = seg->seq + seg->bytes + ((seg->h.flags & WEIR_TCP_SYN) != 0) +
                ((seg->h.flags & WEIR_TCP_FIN) != 0);
    }
    t->stats->resets_sent++;
    send_alone(t, seg->pkt->ifc, seg->pkt->ip.dst, seg->pkt->ip.src, &h);
}

void weir_tcp_tw_ack(struct weir_tcp *t, const struct weir_tw *w)
{
    struct weir_tcphdr h = {.sport = w->lport,
                            .dport = w->rport,
                            .seq = w->snd_nxt,
                            .ack = w->rcv_nxt,
                            .flags = WEIR_TCP_ACK,
                            .wnd = (uint16_t)weir_min_u32(w->rcv_wnd >> w->rcv_wscale, 65535)};
    if (w->ts) {
        h.opts = WEIR_TCPOPT_TS;
        h.tsval = t->now_ms + w->ts_offset;
        h.tsecr = w->ts_recent;
    }
    t->stats->tx_acks++;
    send_alone(t, &t->ip->ifc[w->ifc], w->laddr, w->raddr, &h);
}

void weir_tcp_cookie_reply(struct weir_tcp *t, struct weir_listener *l, const struct weir_seg *syn)
{
    const struct weir_rxpkt *pkt = syn->pkt;
    uint32_t next_hop;
    struct weir_ifc *ifc = weir_ip4_route(t->ip, pkt->ip.src, &next_hop);
    if (!ifc) {
        t->stats->drops[WEIR_DROP_NO_ROUTE]++;
        return;
    }
    struct weir_tcphdr h = {.sport = syn->h.dport,
                            .dport = syn->h.sport,
                            .seq = weir_cookie_iss(t, syn),
                            .ack = syn->seq + 1,
                            .flags = WEIR_TCP_SYN | WEIR_TCP_ACK,
                            .wnd = (uint16_t)weir_min_u32(l->rcvbuf, 65535),
                            .opts = WEIR_TCPOPT_MSS,
                            .mss = (uint16_t)(ifc->mtu - WEIR_IP4_BYTES - WEIR_TCP_BYTES)};
    if (syn->h.opts & WEIR_TCPOPT_TS) {
        h.opts |= WEIR_TCPOPT_TS;
        h.tsval = weir_cookie_tsval(t->now_ms + weir_tcp_ts_offset(t, pkt->ip.dst, pkt->ip.src), &syn->h);
        h.tsecr = syn->h.tsval;
        if (syn->h.opts & WEIR_TCPOPT_WSCALE) {
            h.opts |= WEIR_TCPOPT_WSCALE;
            h.wscale = weir_tcp_wscale(l->rcvbuf);
        }
    }
    l->cookies = 1;
    l->cookie_ms = t->now_ms;
    t->stats->syn_cookies_sent++;
    send_alone(t, ifc, pkt->ip.dst, pkt->ip.src, &h);
}

/* Between half the limit and all of it, differently each second: were it constant, a stranger could count our
 * answers on a connection of his own and learn whether his forgeries used any up (CVE-2016-5696). */
static uint32_t challenge_budget(const struct weir_tcp *t)
{
    uint32_t n = t->conf->challenge_acks;
    return n - (uint32_t)(weir_siphash_tuple(&t->key_port, t->now_ms, 0, 0, 0, 0) % (n / 2 + 1));
}

void weir_tcp_challenge(struct weir_tcp *t, struct weir_conn *c)
{
    if (t->now_ms - t->challenge_ms >= 1000) {
        t->challenge_ms = t->now_ms;
        t->challenge_left = challenge_budget(t);
    }
    if (!t->challenge_left) {
        t->stats->drops[WEIR_DROP_RATE]++;
        return;
    }
    t->challenge_left--;
    t->stats->challenge_acks++;
    c->flags |= WEIR_C_ACK_NOW;
    weir_conn_dirty(t, c);
}
