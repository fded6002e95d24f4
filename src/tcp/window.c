/* window.c: the receive window that is told (RFC 9293 3.8.6.2).
 *
 *     rcv_nxt          told                 rcv_adv                rcv_nxt + rcvbuf
 *       |---- queued ----|--------------------|-------------------------|
 *
 * What a connection may hold (unread and lent bytes) is rcvbuf. The right edge moves by worthwhile steps
 * only, and never left: rcv_adv is the furthest that was ever promised, and what comes before it is taken.
 * Without the ladder it is also what was told last.
 *
 * Memory short (the ladder's rung WINDOWS and above): of the window that would be told only a share is,
 * though at least two segments, which need no memory behind them: what finds none is dropped before it is
 * acknowledged. On the last rung nothing is: a peer waits behind a shut window for ever, but gives up on what
 * is dropped again and again. That is the one thing that moves the told edge left (rcv_told, with
 * WEIR_C_CUT); a peer slows down instead of losing what it sends. When memory is back the sweep (ladder.c)
 * tells those whose window was cut.
 *
 * Strict windows (config.window): a promise counts in segments. A byte that is queued or lent may pin a whole
 * segment, and recvq.c packs until it pins at most two bytes for each of payload; so half of what is left of
 * the connection's limit is promised, and the plan has the limits of all connections together. */
#include "base/bits.h"
#include "tcp/fair.h"
#include "tcp/tcp.h"

uint32_t weir_tcp_seg_limit(const struct weir_tcp *t, uint32_t rcvbuf)
{
    return t->conf->window == WEIR_WINDOW_STRICT ? weir_tcp_strict_bytes(t->conf, rcvbuf) : 0;
}

/* What the connection could take behind rcv_nxt. */
static uint32_t space(const struct weir_conn *c)
{
    uint32_t held = c->rq.bytes + c->lent;
    uint32_t free = c->rcvbuf > held ? c->rcvbuf - held : 0;
    if (c->rq.max_seg_bytes == 0) return free;
    uint64_t pins = (uint64_t)c->rq.seg_bytes + c->rq.lent_seg_bytes;
    uint64_t left = c->rq.max_seg_bytes > pins ? c->rq.max_seg_bytes - pins : 0;
    return left / 2 < free ? (uint32_t)(left / 2) : free;
}

/* The right edge by RFC 9293 3.8.6.2.2. */
static uint32_t right_edge(const struct weir_conn *c)
{
    uint32_t edge = c->rcv_nxt + space(c);
    uint32_t step = weir_max_u32(weir_min_u32(c->mss, c->rcvbuf / 2), 1u << c->rcv_wscale);
    return weir_seq_lt(edge, c->rcv_adv + step) ? c->rcv_adv : edge;
}

/* A window of wnd bytes as far as there is memory for it: all of it while the ladder is not trodden. */
static uint32_t cut(const struct weir_tcp *t, const struct weir_conn *c, uint32_t wnd)
{
    if (t->mem.press.rung == WEIR_RUNG_NONE || c->rq.max_seg_bytes != 0) return wnd; /* strict: there is */
    uint32_t least = 2u * c->mss, may = weir_fair_pins(t), held = c->rq.bytes + c->rq.ooo_bytes + c->lent;
    uint64_t pins = (uint64_t)c->rq.seg_bytes + c->rq.ooo_seg_bytes + c->rq.lent_seg_bytes;
    uint32_t room = pins < may ? (may - (uint32_t)pins) / 2 : 0;
    if (held < least) room = weir_max_u32(room, least);
    return weir_min_u32(weir_press_window(&t->mem.press, wnd, least), room);
}

bool weir_tcp_window_opened(const struct weir_tcp *t, const struct weir_conn *c)
{
    uint32_t told = c->flags & WEIR_C_CUT ? c->rcv_told : c->rcv_adv, wnd = right_edge(c) - c->rcv_nxt;
    uint32_t step = weir_max_u32(weir_min_u32(2u * c->mss, c->rcvbuf / 2), 1u << c->rcv_wscale);
    return weir_seq_leq(told + step, c->rcv_nxt + cut(t, c, wnd));
}

uint16_t weir_tcp_window(struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t all = right_edge(c) - c->rcv_nxt, left = cut(t, c, all);
    /* Rounded down, though the edge that is told may go back by less than a unit then (RFC 7323 2.4); what
     * was promised is still taken. Rounded up it would move right with each small segment, without end. */
    uint32_t wnd = weir_min_u32(left >> c->rcv_wscale, 65535);
    uint32_t edge = c->rcv_nxt + (wnd << c->rcv_wscale);
    if (left < all) {
        c->flags |= WEIR_C_CUT;
        c->rcv_told = edge;
        t->stats->windows_cut++;
    } else {
        c->flags &= ~(uint32_t)WEIR_C_CUT;
    }
    c->rcv_adv = weir_seq_max(c->rcv_adv, edge);
    if (wnd == 0 && !(c->flags & WEIR_C_SHUT)) t->stats->window_shut++;
    c->flags = wnd ? c->flags & ~(uint32_t)WEIR_C_SHUT : c->flags | WEIR_C_SHUT;
    return (uint16_t)wnd;
}
