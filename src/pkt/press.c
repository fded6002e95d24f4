/* press.c: the ladder's level. */
#include "pkt/press.h"

#include "base/bits.h"

void weir_press_levels(struct weir_press_levels *l, uint32_t inorder, uint32_t copy, uint32_t app,
                       uint32_t ooo, uint32_t all)
{
    uint32_t above = all > ooo ? all - ooo : 0;
    *l = (struct weir_press_levels){.enter = {[WEIR_RUNG_WINDOWS] = ooo + above / 4,
                                              [WEIR_RUNG_OOO] = ooo,
                                              [WEIR_RUNG_COPY] = copy + (app - copy) / 2,
                                              [WEIR_RUNG_REFUSE] = inorder + (copy - inorder) / 2},
                                    .bottom = inorder};
    l->leave[WEIR_RUNG_WINDOWS] = ooo + (uint32_t)((uint64_t)above * 3 / 8);
    l->leave[WEIR_RUNG_OOO] = ooo + above / 8;
    /* An application that holds all it may must not keep the last two rungs. */
    l->leave[WEIR_RUNG_COPY] = weir_max_u32(l->enter[WEIR_RUNG_COPY], app ? app - 1 : 0);
    l->leave[WEIR_RUNG_REFUSE] = weir_max_u32(l->enter[WEIR_RUNG_REFUSE], copy ? copy - 1 : 0);
}

void weir_press_init(struct weir_press *p, const struct weir_cells *pbufs)
{
    /* pbuf.c: sending and receiving leave an eighth to each other, data out of order two. */
    uint32_t n = pbufs->count;
    *p = (struct weir_press){.first = 1, .last = 0, .share = 256};
    weir_press_levels(&p->pbufs, 0, n / 16, n / 8, n / 4, n);
}

static uint32_t units(const struct weir_zpool_class *c, uint32_t n)
{
    return (uint32_t)((uint64_t)c->bytes * n >> 6);
}

/* How many are more than so many units. */
static uint32_t segments_above(const struct weir_zpool_class *c, uint32_t level)
{
    return (uint32_t)(((((uint64_t)level + 1) << 6) + c->bytes - 1) / c->bytes);
}

/* Floors of a class and of those above it. Whether all that can be free is above the first rung. */
static bool levels_from(struct weir_press *p, const struct weir_zpool *z, unsigned cls)
{
    uint32_t at[WEIR_TAKES] = {0}, all = 0;
    for (unsigned i = cls; i < z->classes; i++) {
        const struct weir_zpool_class *c = &z->cls[i];
        for (unsigned k = 0; k < WEIR_TAKES; k++)
            at[k] += units(c, c->floor[k]);
        all += units(c, c->count - weir_min_u32(p->posted[i], c->count));
    }
    weir_press_levels(&p->class[cls], at[WEIR_TAKE_INORDER], at[WEIR_TAKE_COPY], at[WEIR_TAKE_APP],
                      at[WEIR_TAKE_OOO], all);
    return all > p->class[cls].enter[WEIR_RUNG_WINDOWS];
}

void weir_press_asked(struct weir_press *p, const struct weir_zpool *z, const uint32_t free_before[])
{
    for (unsigned i = 0; i < z->classes; i++) {
        uint32_t took = free_before[i] - weir_min_u32(z->cls[i].free, free_before[i]);
        if (took == 0) continue;
        p->posted[i] += took;
        if (p->first > p->last) p->first = (uint8_t)i;
        p->first = (uint8_t)weir_min_u32(p->first, i);
        p->last = (uint8_t)weir_max_u32(p->last, i);
    }
}

bool weir_press_relevel(struct weir_press *p, const struct weir_zpool *z)
{
    uint32_t level = 0;
    bool sound = true;
    for (unsigned i = 0; i < z->classes; i++) {
        bool above = levels_from(p, z, i);
        if (i < p->first || i > p->last) continue;
        level = weir_max_u32(level, p->class[i].enter[WEIR_RUNG_WINDOWS]);
        sound = sound && above;
    }
    p->enough = segments_above(&z->cls[z->classes - 1], level);
    return sound;
}

static unsigned rung_at(const struct weir_press_levels *l, uint32_t free, unsigned now)
{
    unsigned r = WEIR_RUNGS - 1;
    while (r > WEIR_RUNG_NONE && free > (r <= now ? l->leave[r] : l->enter[r]))
        r--;
    return r;
}

/* How much of each window there is memory for: all where the first rung ends, nothing at the bottom. */
static uint32_t share_at(const struct weir_press_levels *l, uint32_t free)
{
    uint32_t top = l->leave[WEIR_RUNG_WINDOWS];
    if (free >= top) return 256;
    if (free <= l->bottom) return 0;
    return (uint32_t)(((uint64_t)(free - l->bottom) << 8) / (top - l->bottom));
}

/* The worst of the levels, one after the other. */
struct worst {
    unsigned now, rung;
    uint32_t share;
};

static void look(struct worst *w, const struct weir_press_levels *l, uint32_t free)
{
    w->rung = weir_max_u32(w->rung, rung_at(l, free, w->now));
    w->share = weir_min_u32(w->share, share_at(l, free));
}

/* Not short before, and not now: the one thing that costs while all is well. */
static bool ample(const struct weir_press *p, const struct weir_zpool *z, uint32_t pbufs_left)
{
    uint32_t free = 0;
    if (p->rung != WEIR_RUNG_NONE || pbufs_left <= p->pbufs.enter[WEIR_RUNG_WINDOWS]) return false;
    for (unsigned i = z->classes; i-- > p->first;) {
        free += units(&z->cls[i], z->cls[i].free);
        if (i <= p->last && free <= p->class[i].enter[WEIR_RUNG_WINDOWS]) return false;
    }
    return true;
}

bool weir_press_look(struct weir_press *p, const struct weir_zpool *z, const struct weir_cells *pbufs)
{
    uint32_t left = weir_cells_left(pbufs), free = 0;
    if (ample(p, z, left)) return false;
    struct worst w = {.now = p->rung, .rung = WEIR_RUNG_NONE, .share = 256};
    look(&w, &p->pbufs, left);
    for (unsigned i = z->classes; i-- > p->first;) {
        free += units(&z->cls[i], z->cls[i].free);
        if (i <= p->last) look(&w, &p->class[i], free);
    }
    bool changed = w.rung != p->rung;
    p->rung = (uint8_t)w.rung;
    p->share = (uint16_t)(w.rung == WEIR_RUNG_NONE ? 256 : w.share);
    return changed;
}
