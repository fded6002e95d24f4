/* script_watch.c: what holds for every segment that the stack sends, whatever the case is about. */
#include <stdio.h>
#include <string.h>

#include "script_world.h"

#define MSS_LEAST                                                                                            \
    64u /* a peer's MSS below this may be taken for this: the stack's floor is its own choice                \
         */

static void broken(const struct flow *f, const struct seg *s, const char *rule)
{
    char text[SCRIPT_LOG_BYTES];
    struct segbase base = script_base(f, false);
    if (world.broken[0] != 0) return;
    seg_text(text, sizeof text, s, &base);
    snprintf(world.broken, sizeof world.broken, "%s: %s", rule, text);
}

static void learn_syn(struct flow *f, const struct seg *s)
{
    if (f->iss_known && f->iss != s->seq) broken(f, s, "a SYN was sent again with another sequence number");
    f->iss = s->seq;
    if (!f->iss_known) f->seen_end = f->acked = s->seq;
    f->iss_known = true;
    f->scaled = (s->opts & SEG_WSCALE) != 0;
    f->scale = s->wscale;
    f->ts = (s->opts & SEG_TS) != 0;
    if (s->wscale > 14) broken(f, s, "a window scale above 14");
    if ((s->flags & SEG_ACK) && ((f->scaled && !f->peer_scaled) || (f->ts && !f->peer_ts)))
        broken(f, s, "an option was agreed to that was not offered");
}

static void check_payload(const struct flow *f, const struct seg *s)
{
    uint32_t rel = s->seq - f->iss + ((s->flags & SEG_SYN) != 0), end = s->seq + s->bytes;
    uint32_t mss = f->mss < MSS_LEAST ? MSS_LEAST : f->mss;
    if (s->bytes + s->opt_bytes > mss) broken(f, s, "more bytes than the peer's MSS");
    if ((int32_t)(end - f->acked) <= 0) return; /* a probe with a byte that the peer has */
    if (rel - 1 + s->bytes > f->written) broken(f, s, "bytes that were never written");
    if (f->given && (int32_t)(end - f->edge_given) > 1) broken(f, s, "bytes past the peer's window");
    for (uint32_t i = 0; i < s->bytes && !f->foreign_bytes; i++)
        if (s->payload[i] != seg_byte(0, rel + i)) {
            broken(f, s, "payload that is not what was written");
            return;
        }
}

static void check_ack(struct flow *f, const struct seg *s)
{
    unsigned shift = f->peer_scaled && f->scaled && !(s->flags & SEG_SYN) ? f->scale : 0;
    uint32_t edge = s->ack + ((uint32_t)s->win << shift);
    if ((int32_t)(s->ack - f->sent_end) > 0) broken(f, s, "an acknowledgement of what was never sent");
    if ((int32_t)(s->ack - f->last_ack) < 0) broken(f, s, "an acknowledgement that goes back");
    f->last_ack = s->ack;
    /* A scaled window is told in units; RFC 7323 2.4 lets the edge go back by less than one. */
    if (f->edge_known && (int32_t)(edge - f->edge_seen) < 0 && (f->edge_seen - edge) >> shift != 0)
        broken(f, s, "the right edge of the window moved left");
    if (!f->edge_known || (int32_t)(edge - f->edge_seen) > 0) f->edge_seen = edge;
    f->edge_known = true;
}

void script_watch(struct flow *f, const struct seg *s)
{
    uint32_t end = s->seq + seg_len(s);
    if (s->flags & SEG_RST) return;
    if (s->flags & SEG_SYN) learn_syn(f, s);
    if (!f->iss_known) return;
    if (s->opts & SEG_TS) f->ts_latest = s->tsval;
    if ((s->opts & SEG_TS) && !(s->flags & SEG_SYN) && !f->peer_ts)
        broken(f, s, "timestamps that were not agreed to");
    if (s->bytes > 0) check_payload(f, s);
    if (s->flags & SEG_ACK) check_ack(f, s);
    if ((int32_t)(end - f->seen_end) > 0) f->seen_end = end;
}
