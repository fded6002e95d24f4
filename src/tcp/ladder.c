/* ladder.c: what the ladder's rung (press.h) demands of what connections hold already.
 *
 * Theory of operation. New data meets the rung where it is used: windows are cut when they are told, data out
 * of order is not kept, small pieces are packed, new connections are refused. What is held from better times
 * is visited by a sweep over the table of connections, a bounded number of cells and bytes a pass:
 *
 *     rung at the visit    done to the connection
 *     OOO and above        its data out of order is dropped
 *     COPY and above       small slices in its queues leave the large segments that they pin
 *     any                  if its window was cut and may be larger now, the peer is told
 *
 * A round visits every cell once. One begins when the rung changes, when windows may be a good deal larger,
 * and after AGAIN_MS at COPY and above, since segments become movable when devices and the application let
 * them go.
 *
 * The last resort. On the last rung for config.reset_after_ms without an end, one connection is reset: of
 * those that have neither had anything acknowledged nor read in the second half of that time, the one that
 * pins most. It is told WEIR_ENOMEM. While others move, memory comes back without it, and then nobody is
 * reset (RFC 6429 allows it where a peer keeps its window shut). */
#include "tcp/tcp.h"

#include "base/bits.h"

#define SWEEP_CONNS 64u
#define SWEEP_BYTES 65536u /* copied a pass */
#define AGAIN_MS    64u
#define SHARE_STEP  32u /* of 256 */

static void note_progress(const struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t progress = c->tx.una + c->rcv_nxt - c->rq.bytes;
    if (progress == c->progress) return;
    c->progress = progress;
    c->progress_ms = t->now_ms;
}

static void visit(struct weir_tcp *t, struct weir_conn *c, uint64_t copied_max)
{
    unsigned rung = t->mem.press.rung;
    if (rung >= WEIR_RUNG_OOO) t->stats->ooo_dropped += weir_recvq_drop_ooo(&c->rq, &t->mem);
    if (rung >= WEIR_RUNG_COPY) {
        note_progress(t, c);
        if (t->stats->slices_copied < copied_max) weir_recvq_compact(&c->rq, &t->mem, SWEEP_BYTES);
        if (t->stats->slices_copied < copied_max) weir_sendq_compact(&c->sq, &t->mem, SWEEP_BYTES);
    }
    if (c->flags & WEIR_C_CUT) weir_tcp_maybe_update(t, c);
}

/* Also one that is over, while the application has not read the last of it. */
static bool holds(const struct weir_conn *c)
{
    return c->id && (weir_tcp_synchronised(c) || c->rq.n > 0);
}

static void sweep(struct weir_tcp *t)
{
    struct weir_ladder *l = &t->ladder;
    uint64_t copied_max = t->stats->slices_copied + SWEEP_BYTES;
    for (unsigned i = 0; i < SWEEP_CONNS && l->left > 0; i++, l->left--) {
        if (l->at >= t->fresh_conn) l->at = 0;
        struct weir_conn *c = &t->conn[l->at++];
        if (holds(c)) visit(t, c, copied_max);
    }
}

static bool round_due(const struct weir_tcp *t)
{
    const struct weir_ladder *l = &t->ladder;
    const struct weir_press *p = &t->mem.press;
    return p->rung != l->rung || p->share >= l->share + SHARE_STEP ||
           (p->rung >= WEIR_RUNG_COPY && t->now_ms - l->round_ms >= AGAIN_MS);
}

static void begin_round(struct weir_tcp *t)
{
    struct weir_ladder *l = &t->ladder;
    unsigned rung = t->mem.press.rung;
    for (unsigned r = l->rung + 1u; r <= rung; r++)
        t->stats->rungs[r]++;
    if (rung == WEIR_RUNGS - 1 && l->rung != rung) l->last_ms = t->now_ms;
    l->rung = (uint8_t)rung;
    l->share = t->mem.press.share;
    l->round_ms = t->now_ms;
    l->left = t->fresh_conn;
}

/* ---- the last resort ---- */

static uint64_t pinned(const struct weir_conn *c)
{
    return (uint64_t)(c->sq.end - c->sq.una) + c->rq.seg_bytes + c->rq.ooo_seg_bytes;
}

static struct weir_conn *most_stuck(struct weir_tcp *t)
{
    struct weir_conn *most = NULL;
    for (uint32_t i = 0; i < t->fresh_conn; i++) {
        struct weir_conn *c = &t->conn[i];
        if (!holds(c) || pinned(c) == 0) continue;
        note_progress(t, c); /* the sweep may not have come to it since */
        if (t->now_ms - c->progress_ms < t->conf->reset_after_ms / 2) continue;
        if (most == NULL || pinned(c) > pinned(most)) most = c;
    }
    return most;
}

static void last_resort(struct weir_tcp *t)
{
    struct weir_ladder *l = &t->ladder;
    if (l->rung != WEIR_RUNGS - 1 || t->conf->reset_after_ms == 0) return;
    if (t->now_ms - l->last_ms < t->conf->reset_after_ms) return;
    l->last_ms = t->now_ms;
    struct weir_conn *c = most_stuck(t);
    if (c == NULL) return;
    t->stats->ladder_resets++;
    weir_conn_abort(t, c, WEIR_ENOMEM);
}

bool weir_tcp_ladder_due(const struct weir_tcp *t)
{
    const struct weir_ladder *l = &t->ladder;
    if (weir_tcp_ladder_idle(t)) return false;
    return l->left > 0 || t->mem.press.rung != l->rung || t->mem.press.share >= l->share + SHARE_STEP;
}

bool weir_tcp_ladder_pass(struct weir_tcp *t)
{
    struct weir_ladder *l = &t->ladder;
    if (round_due(t)) begin_round(t);
    l->share = (uint16_t)weir_min_u32(l->share, t->mem.press.share);
    sweep(t);
    last_resort(t);
    return l->left > 0;
}
