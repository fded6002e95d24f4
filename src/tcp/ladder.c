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
 * A round visits every cell once and begins when the rung changes or windows may be a good deal larger. At COPY
 * and above slices become movable when devices and the application let them go, or when more are written; so a
 * round is repeated, if anything happened since it began, after as long a rest as it took, AGAIN_MS at least:
 *
 *     ... 64 cells a pass ][ rest: the instance may sleep ][ a round, if since the last one began anything ...
 *
 * Nothing happens while an instance sleeps. So a round that finds nothing and is followed by nothing is the last
 * one, and costs no wake.
 *
 * The last resort. On the last rung for config.reset_after_ms without an end, one connection is reset: of
 * those that have neither had anything acknowledged nor read in the second half of that time, the one that
 * pins most: the segments of its queues, each shared out among those that refer to it, which is what comes back
 * when it goes. It is told WEIR_ENOMEM. While others move, memory comes back without it, and then nobody is
 * reset (RFC 6429 allows it where a peer keeps its window shut). */
#include "tcp/tcp.h"

#include "base/bits.h"

#define SWEEP_CONNS 64u
#define SWEEP_BYTES 65536u /* copied a pass */
#define SWEEP_PBUFS 4096u /* descriptors looked at in a pass, and one queue more, which has 16 bits of them */
#define QUEUE_PBUFS 65536u
#define AGAIN_MS    64u
#define SHARE_STEP  32u /* of 256 */

static void note_progress(const struct weir_tcp *t, struct weir_conn *c)
{
    uint32_t progress = c->tx.una + c->rcv_nxt - c->rq.bytes;
    if (progress == c->progress) return;
    c->progress = progress;
    c->progress_ms = t->now_ms;
}

static void visit(struct weir_tcp *t, struct weir_conn *c, struct weir_slicing *may)
{
    unsigned rung = t->mem.press.rung;
    if (rung >= WEIR_RUNG_OOO) t->stats->ooo_dropped += weir_recvq_drop_ooo(&c->rq, &t->mem);
    if (rung >= WEIR_RUNG_COPY) {
        note_progress(t, c);
        weir_recvq_compact(&c->rq, &t->mem, may);
        weir_sendq_compact(&c->sq, &t->mem, may);
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
    struct weir_slicing may = {.bytes = SWEEP_BYTES, .pbufs = SWEEP_PBUFS + 2 * QUEUE_PBUFS};
    for (unsigned i = 0; i < SWEEP_CONNS && l->left > 0; i++, l->left--) {
        if (may.bytes == 0 || may.pbufs <= 2 * QUEUE_PBUFS) return;
        if (l->at >= t->fresh_conn) l->at = 0;
        struct weir_conn *c = &t->conn[l->at++];
        if (holds(c)) visit(t, c, &may);
    }
}

/* Whatever makes or frees slices moves this: frames, releases, copied writes and reads, and what ladder.let_go counts. */
static uint64_t happened(const struct weir_tcp *t)
{
    const struct weir_stats *s = t->stats;
    return s->rx_frames + s->zbuf_frees + s->tx_bytes_copied + s->rx_bytes_copied + t->ladder.let_go +
           ((uint64_t)t->lent << 32);
}

/* The rung or the windows want a round, also before the present one ends. */
static bool changed(const struct weir_tcp *t)
{
    return t->mem.press.rung != t->ladder.rung || t->mem.press.share >= t->ladder.share + SHARE_STEP;
}

/* Another one is wanted once this one has rested. */
static bool again(const struct weir_tcp *t)
{
    return t->ladder.rung >= WEIR_RUNG_COPY && t->ladder.left == 0 && t->ladder.seen != happened(t);
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
    l->seen = happened(t);
    l->left = t->fresh_conn;
}

/* The round is over. */
static void rest(struct weir_tcp *t)
{
    struct weir_ladder *l = &t->ladder;
    l->again_ms = t->now_ms + weir_max_u32(AGAIN_MS, t->now_ms - l->round_ms);
}

/* ---- the last resort ---- */

static uint64_t pinned_by(const struct weir_tcp *t, uint32_t first)
{
    uint64_t sum = 0;
    for (uint32_t at = first; at != 0; at = weir_pbuf_at(&t->mem, at)->next) {
        const struct weir_zhead *h = weir_zpool_head(t->mem.z, weir_pbuf_at(&t->mem, at)->addr);
        sum += weir_zpool_bytes(t->mem.z, h) / ((uint32_t)h->stk + h->app);
    }
    return sum;
}

static uint64_t pinned(const struct weir_tcp *t, const struct weir_conn *c)
{
    return pinned_by(t, c->sq.first) + pinned_by(t, c->rq.first) + pinned_by(t, c->rq.ooo_first);
}

/* Cost: every descriptor of those that do not move; once in reset_after_ms. */
static struct weir_conn *most_stuck(struct weir_tcp *t)
{
    struct weir_conn *most = NULL;
    uint64_t most_bytes = 0;
    for (uint32_t i = 0; i < t->fresh_conn; i++) {
        struct weir_conn *c = &t->conn[i];
        if (!holds(c)) continue;
        note_progress(t, c); /* the sweep may not have come to it since */
        if (t->now_ms - c->progress_ms < t->conf->reset_after_ms / 2) continue;
        uint64_t bytes = pinned(t, c);
        if (bytes <= most_bytes) continue;
        most = c;
        most_bytes = bytes;
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
    return !weir_tcp_ladder_idle(t) && (t->ladder.left > 0 || changed(t));
}

bool weir_tcp_ladder_deadline(const struct weir_tcp *t, uint32_t *when_ms)
{
    const struct weir_ladder *l = &t->ladder;
    bool rounds = again(t), resets = l->rung == WEIR_RUNGS - 1 && t->conf->reset_after_ms != 0;
    uint32_t reset_ms = l->last_ms + t->conf->reset_after_ms;
    *when_ms = rounds ? l->again_ms : reset_ms;
    if (rounds && resets) *when_ms = weir_seq_min(l->again_ms, reset_ms);
    return rounds || resets;
}

bool weir_tcp_ladder_pass(struct weir_tcp *t)
{
    struct weir_ladder *l = &t->ladder;
    if (changed(t) || (again(t) && weir_seq_leq(l->again_ms, t->now_ms))) begin_round(t);
    l->share = (uint16_t)weir_min_u32(l->share, t->mem.press.share);
    if (l->left > 0) {
        sweep(t);
        if (l->left == 0) rest(t);
    }
    last_resort(t);
    return l->left > 0;
}
