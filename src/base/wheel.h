/* wheel.h: a hierarchical timing wheel (Varghese and Lauck, 1987) with one entry an owner.
 *
 * Times are 32-bit milliseconds in the order of weir_seq_lt. Owners are numbers 0 .. n-1, each with one node
 * in an array of the caller's. Four levels of 64 slots: an entry further away than 2^24 ms waits in the last
 * level and is filed again. Setting, cancelling and popping take constant time but for filing again, which an
 * entry undergoes at most three times a lap. Not thread-safe.
 *
 * The order of 32-bit times holds while they are less than 2^31 ms (24 days) apart. So time must be told, by
 * a pop, at least every 2^30 ms (12 days) while something is pending, and before something is set after a
 * longer pause; and an entry is set at most 2^30 ms after the time told last. */
#ifndef WEIR_WHEEL_H
#define WEIR_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_WHEEL_LEVELS 4
#define WEIR_WHEEL_SLOTS  64
#define WEIR_WHEEL_REFILE 128 /* entries that one pop files again at most */

/* prev and next are owner + 1, 0 ends; slot is level * 64 + slot + 1, 257: in the list of the due, 0: not
 * set. */
struct weir_wheel_node {
    uint32_t next, prev;
    uint32_t when_ms;
    uint32_t slot;
};

struct weir_wheel {
    struct weir_wheel_node *node;
    uint32_t n;
    uint32_t now_ms; /* everything due before it has been popped or is in the list of the due; may lag behind
                        the time told while there is more to pop */
    uint32_t pending;
    uint32_t due;     /* list of entries whose time has come, owner + 1 */
    uint32_t next_ms; /* with next_known: what weir_wheel_next found, and no entry was filed since */
    bool next_known;
    bool *watch; /* NULL, or set to false whenever next_known is: somebody keeps what he made of it */
    bool quiet;  /* at now_ms nothing has come but what is in the list of the due */
    uint64_t busy[WEIR_WHEEL_LEVELS]; /* bit s: slot s is not empty */
    uint32_t head[WEIR_WHEEL_LEVELS][WEIR_WHEEL_SLOTS];
};

/* node[0..n) is the caller's memory for as long as the wheel is used. */
void weir_wheel_init(struct weir_wheel *, struct weir_wheel_node *node, uint32_t n, uint32_t now_ms);

/* Sets or moves the one entry of an owner. A time that has passed is due at the next pop. */
void weir_wheel_set(struct weir_wheel *, uint32_t owner, uint32_t when_ms);

/* Takes the entry away; nothing happens if there is none. */
void weir_wheel_cancel(struct weir_wheel *, uint32_t owner);

static inline bool weir_wheel_pending(const struct weir_wheel *w, uint32_t owner)
{
    return w->node[owner].slot != 0;
}

/* One owner whose time is not after now_ms, taken off the wheel; false when there is none, or when
 * WEIR_WHEEL_REFILE entries were filed again: then weir_wheel_next is not after now_ms, and the next pop goes
 * on. Never early; entries of one poll come in no stated order. now_ms never goes back. */
bool weir_wheel_pop(struct weir_wheel *, uint32_t now_ms, uint32_t *owner);

/* Whether a pop at now_ms would find nothing, for a compare; false: it has to look. */
static inline bool weir_wheel_quiet(const struct weir_wheel *w, uint32_t now_ms)
{
    return w->quiet && w->due == 0 && w->now_ms == now_ms;
}

/* A time not after the earliest entry's (exact for entries of the first level, else the start of its slot),
 * or, when some entry is due already, a time that has passed; false when nothing is pending. A pop at this
 * time makes progress: it yields an owner or moves entries nearer. */
bool weir_wheel_look(struct weir_wheel *, uint32_t *when_ms);
static inline bool weir_wheel_next(struct weir_wheel *w, uint32_t *when_ms)
{
    if (!w->next_known) return weir_wheel_look(w, when_ms); /* known: something is pending, nothing due */
    *when_ms = w->next_ms;
    return true;
}

#endif
