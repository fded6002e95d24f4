/* wheel.c: the hierarchical timing wheel.
 *
 * Theory of operation. A time is read as four digits of 6 bits and a rest above them; level L is a ring of 64
 * slots of 64^L ms each, one for every value of digit L.
 *
 *      31        24 23    18 17    12 11     6 5      0
 *     |    rest    | digit 3| digit 2| digit 1| digit 0|
 *
 * An entry lies on the level of the highest digit in which its time differs from now_ms, in the slot of that
 * digit. From this follows, for every entry in a slot, with cur = digit L of now_ms and start = the first ms
 * of the slot:
 *
 *   now_ms <= start <= when_ms,   start == now_ms only if slot == cur
 *   levels 0 to 2: slot >= cur, and the digits above L are those of now_ms
 *   level 3: the slots lie in a circle from cur on; an entry 64 or more of them away, which the circle can't
 * tell from a near one, waits in the last, cur + 63, and is filed again there slot == cur: the slot's time
 * has come. It is emptied before now_ms moves on. Filing puts nothing into it, because digit L would not
 * differ, so emptying ends at most one level has entries in its slot cur above level 0, and levels below are
 * filled from it
 *
 * Entries set to a time that has come already lie in the list of the due instead (slot SLOT_DUE).
 *
 * Time moves from the start of one busy slot to the next, found by the bits of `busy`: idle time costs
 * nothing. Two answers are kept, since a stack asks far more often than a millisecond ends: `quiet`, that a
 * pop found nothing at now_ms, until a pop looks again; and next_ms, until an entry is filed or taken away.
 *
 * Rejected: filing by distance (level from when - now) lets a slot hold entries of this lap and the next, so
 * that the start of a slot is no lower bound; emptying a whole slot at once, when its time comes, costs as
 * much as the slot holds, a million entries with a million keep-alives set in one burst. Here a pop files
 * WEIR_WHEEL_REFILE again and returns. */
#include "base/wheel.h"

#include <stddef.h>
#include <string.h>

#include "base/bits.h"

#define DIGIT_BITS 6u
#define DIGIT_MASK (WEIR_WHEEL_SLOTS - 1u)
#define TOP        (WEIR_WHEEL_LEVELS - 1u)
#define TOP_SHIFT  (TOP * DIGIT_BITS)
#define SLOT_DUE   (WEIR_WHEEL_LEVELS * WEIR_WHEEL_SLOTS + 1u)

_Static_assert(WEIR_WHEEL_SLOTS == 1u << DIGIT_BITS, "a slot for each value of a digit");
_Static_assert(WEIR_WHEEL_SLOTS == 64, "a bit of uint64_t for each slot");

static inline uint32_t digit(uint32_t when_ms, uint32_t level)
{
    return when_ms >> (level * DIGIT_BITS) & DIGIT_MASK;
}

void weir_wheel_init(struct weir_wheel *w, struct weir_wheel_node *node, uint32_t n, uint32_t now_ms)
{
    memset(w, 0, sizeof *w);
    w->node = node;
    w->n = n;
    w->now_ms = now_ms;
    if (n > 0) memset(node, 0, n * sizeof *node);
}

/* The head of the list that a node's slot number names. */
static inline uint32_t *head_of(struct weir_wheel *w, uint32_t slot)
{
    return slot == SLOT_DUE ? &w->due
                            : &w->head[(slot - 1) / WEIR_WHEEL_SLOTS][(slot - 1) % WEIR_WHEEL_SLOTS];
}

static void changed(struct weir_wheel *w)
{
    w->next_known = false;
    if (w->watch) *w->watch = false;
}

static void link_front(struct weir_wheel *w, uint32_t owner, uint32_t slot)
{
    struct weir_wheel_node *node = &w->node[owner];
    uint32_t *head = head_of(w, slot);
    changed(w);
    node->slot = slot;
    node->prev = 0;
    node->next = *head;
    if (*head != 0) w->node[*head - 1].prev = owner + 1;
    *head = owner + 1;
    if (slot != SLOT_DUE)
        w->busy[(slot - 1) / WEIR_WHEEL_SLOTS] |= (uint64_t)1 << ((slot - 1) % WEIR_WHEEL_SLOTS);
}

static void unlink_node(struct weir_wheel *w, uint32_t owner)
{
    struct weir_wheel_node *node = &w->node[owner];
    uint32_t *head = head_of(w, node->slot);
    changed(w);
    if (node->next != 0) w->node[node->next - 1].prev = node->prev;
    if (node->prev != 0)
        w->node[node->prev - 1].next = node->next;
    else
        *head = node->next;
    if (*head == 0 && node->slot != SLOT_DUE)
        w->busy[(node->slot - 1) / WEIR_WHEEL_SLOTS] &=
            ~((uint64_t)1 << ((node->slot - 1) % WEIR_WHEEL_SLOTS));
    node->slot = 0;
}

/* The slot number for a time after now_ms. */
static uint32_t slot_for(uint32_t now_ms, uint32_t when_ms)
{
    uint32_t level = weir_log2(now_ms ^ when_ms) / DIGIT_BITS;
    uint32_t at;
    if (level < TOP) {
        at = digit(when_ms, level);
    } else {
        uint32_t ahead = ((when_ms >> TOP_SHIFT) - (now_ms >> TOP_SHIFT)) & (UINT32_MAX >> TOP_SHIFT);
        at = (digit(now_ms, TOP) + weir_min_u32(ahead, WEIR_WHEEL_SLOTS - 1)) & DIGIT_MASK;
        level = TOP;
    }
    return level * WEIR_WHEEL_SLOTS + at + 1;
}

static void file(struct weir_wheel *w, uint32_t owner)
{
    uint32_t when_ms = w->node[owner].when_ms;
    link_front(w, owner, weir_seq_leq(when_ms, w->now_ms) ? SLOT_DUE : slot_for(w->now_ms, when_ms));
}

void weir_wheel_set(struct weir_wheel *w, uint32_t owner, uint32_t when_ms)
{
    if (weir_wheel_pending(w, owner))
        unlink_node(w, owner);
    else
        w->pending++;
    w->node[owner].when_ms = when_ms;
    file(w, owner);
}

void weir_wheel_cancel(struct weir_wheel *w, uint32_t owner)
{
    if (!weir_wheel_pending(w, owner)) return;
    unlink_node(w, owner);
    w->pending--;
}

/* The slot that comes first, among those with entries, and its first ms; false when all are empty. */
static bool first_slot(const struct weir_wheel *w, uint32_t *slot, uint32_t *start_ms)
{
    for (uint32_t level = TOP; level > 0; level--) {
        uint32_t cur = digit(w->now_ms, level);
        if (!(w->busy[level] >> cur & 1)) continue;
        *slot = level * WEIR_WHEEL_SLOTS + cur + 1; /* being emptied */
        *start_ms = w->now_ms;
        return true;
    }
    for (uint32_t level = 0; level < WEIR_WHEEL_LEVELS; level++) {
        if (w->busy[level] == 0) continue;
        uint32_t cur = digit(w->now_ms, level), shift = level * DIGIT_BITS;
        uint64_t from_cur = w->busy[level] >> cur | w->busy[level] << (-cur & DIGIT_MASK);
        uint32_t ahead = (uint32_t)__builtin_ctzll(from_cur);
        *slot = level * WEIR_WHEEL_SLOTS + ((cur + ahead) & DIGIT_MASK) + 1;
        *start_ms = ((w->now_ms >> shift) + ahead) << shift;
        return true;
    }
    return false;
}

/* Takes the first node off its list and off the wheel. */
static uint32_t take_first(struct weir_wheel *w, uint32_t head)
{
    uint32_t owner = head - 1;
    unlink_node(w, owner);
    w->pending--;
    return owner;
}

/* Nothing is left whose time has come. Entries that are set from now on are later, or go to the due. */
static bool nothing_at(struct weir_wheel *w, uint32_t now_ms)
{
    w->now_ms = now_ms;
    w->quiet = true;
    return false;
}

bool weir_wheel_pop(struct weir_wheel *w, uint32_t now_ms, uint32_t *owner)
{
    uint32_t slot, start_ms;
    w->quiet = false;
    changed(w);
    for (uint32_t filed = 0; filed < WEIR_WHEEL_REFILE; filed++) {
        if (w->due != 0) {
            *owner = take_first(w, w->due);
            return true;
        }
        if (!first_slot(w, &slot, &start_ms)) return nothing_at(w, now_ms);
        if (weir_seq_lt(now_ms, start_ms)) return nothing_at(w, weir_seq_max(w->now_ms, now_ms));
        w->now_ms = start_ms;
        uint32_t head = *head_of(w, slot);
        if (slot <= WEIR_WHEEL_SLOTS) {
            *owner = take_first(w, head);
            return true;
        }
        unlink_node(w, head - 1);
        file(w, head - 1);
    }
    return false;
}

bool weir_wheel_look(struct weir_wheel *w, uint32_t *when_ms)
{
    uint32_t slot;
    if (w->pending == 0) return false;
    if (w->due != 0) {
        *when_ms = w->node[w->due - 1].when_ms;
        return true;
    }
    if (!w->next_known) w->next_known = first_slot(w, &slot, &w->next_ms);
    *when_ms = w->next_ms;
    return w->next_known;
}
