/* press.h: how short the memory is that received data needs, as a rung of the ladder (enum weir_rung).
 *
 * It only looks: what a rung means is carried out where the memory is used (window.c tells windows,
 * recvq.c keeps data, syn.c opens connections, ladder.c sweeps over what is held already).
 *
 * Where the rungs are. Floors (zpool.h) say at which level of free segments each kind of user is turned away.
 * The ladder begins above them, so that peers are slowed down before anybody is turned away, and each further
 * rung stands a step above a floor:
 *
 *     free  |-----------------------------------------| all that is not posted
 *           | . . . . . . . . . . . . . .  WINDOWS ends | ooo + 3/8 of what is above it
 *           |================= WINDOWS                  | ooo + 1/4 of what is above it
 *           |============= OOO                          | the floor of data out of order
 *           |======= COPY                               | between those of the application and of copies
 *           |=== REFUSE                                 | between those of copies and of in-order data
 *           0
 *
 * An application may take what its floor leaves it, and copied writes theirs, without the last two rungs: it
 * is received data that goes below.
 *
 * A frame's bytes go to the class that its device asks for, or a larger one. So each class that devices ask
 * for is looked at together with those above it, and the worst of them counts; so do packet descriptors. */
#ifndef WEIR_PRESS_H
#define WEIR_PRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/cells.h"
#include "mem/zpool.h"
#include "weir/stats.h"

/* Levels at which a rung is reached and left; a rung holds while the free amount is at most that. */
struct weir_press_levels {
    uint32_t enter[WEIR_RUNGS], leave[WEIR_RUNGS]; /* [0] is not used; both fall from rung to rung */
    uint32_t bottom;                               /* in-order data is turned away here */
};

struct weir_press {
    uint8_t rung;                       /* enum weir_rung */
    uint8_t first, last;                /* classes that devices ask for; last < first: none is attached yet */
    uint16_t share;                     /* of each window that may be told, in 1/256; 256 without a rung */
    uint32_t posted[WEIR_ZCLASSES_MAX]; /* segments that devices hold to receive into */
    uint32_t enough; /* so many segments of the largest class are above the first rung of each of those */
    struct weir_press_levels pbufs;
    struct weir_press_levels class[WEIR_ZCLASSES_MAX]; /* a class and those above it, in units of 64 bytes */
};

/* Levels from the free amounts at which in-order data, copied writes, the application and data out of order
 * are turned away, ascending, and from all that can be free. */
void weir_press_levels(struct weir_press_levels *, uint32_t inorder, uint32_t copy, uint32_t app,
                       uint32_t ooo, uint32_t all);

/* Before the first device: pbufs are known, no class is asked for. */
void weir_press_init(struct weir_press *, const struct weir_cells *pbufs);

/* A device was attached and has taken segments to receive into: before that so many of each class were free.
 * Those classes are watched from now on. */
void weir_press_asked(struct weir_press *, const struct weir_zpool *, const uint32_t free_before[]);

/* After weir_press_asked, or when floors have changed: the levels of each class. false: even with all free that
 * devices leave a rung would be trodden, for ever. */
bool weir_press_relevel(struct weir_press *, const struct weir_zpool *);

/* Looks again. true iff the rung has changed. Cost: the classes that devices ask for, and a few comparisons
 * while memory is not short. */
bool weir_press_look(struct weir_press *, const struct weir_zpool *, const struct weir_cells *pbufs);
/* That it would find nothing, for a few compares. */
static inline bool weir_press_ample(const struct weir_press *p, const struct weir_zpool *z,
                                    const struct weir_cells *pbufs)
{
    /* Every class that devices ask for counts all above it. So enough of the largest class of all is enough.
     */
    return p->rung == WEIR_RUNG_NONE && weir_cells_left(pbufs) > p->pbufs.enter[WEIR_RUNG_WINDOWS] &&
           z->cls[z->classes - 1].free >= p->enough;
}
static inline bool weir_press_update(struct weir_press *p, const struct weir_zpool *z,
                                     const struct weir_cells *pbufs)
{
    return !weir_press_ample(p, z, pbufs) && weir_press_look(p, z, pbufs);
}

/* What of a window of n bytes may be told now: at least `least`, or n if that is less. Nothing on the last
 * rung: a peer whose segments were dropped for long would give up, one whose window is shut waits. */
static inline uint32_t weir_press_window(const struct weir_press *p, uint32_t n, uint32_t least)
{
    if (p->rung == WEIR_RUNG_REFUSE) return 0;
    if (p->share >= 256 || n <= least) return n;
    uint32_t cut = (uint32_t)((uint64_t)n * p->share >> 8);
    return cut > least ? cut : least;
}

#endif
