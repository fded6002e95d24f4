/* cells.h: a fixed-cell pool in its static form, cells named by 32-bit numbers.
 *
 * Cells are numbered from 1; 0 is none. Never grows. A cell that was never used is taken only when the free
 * list is empty, so memory is touched as late as possible. Not thread-safe; constant time. 0 bytes a cell in
 * use: a free cell's first four bytes hold the next free cell's number. */
#ifndef WEIR_CELLS_H
#define WEIR_CELLS_H

#include <stdint.h>
#include <string.h>

/* Invariant: used + length(free list) + (count - fresh) = count. */
struct weir_cells {
    uint8_t *base;
    uint32_t cell_bytes; /* >= 4 */
    uint32_t count;
    uint32_t free;  /* first of the free list, 0: empty */
    uint32_t fresh; /* cells 1 .. fresh have been used at least once */
    uint32_t used, peak;
};

/* base: count * cell_bytes of the caller's memory, aligned for the cell's type. */
void weir_cells_init(struct weir_cells *, void *base, uint32_t count, uint32_t cell_bytes);

static inline void *weir_cells_at(const struct weir_cells *c, uint32_t number)
{
    return c->base + (uint64_t)(number - 1) * c->cell_bytes;
}

/* A cell's number, 0 iff all are in use. Contents are left as they were. */
uint32_t weir_cells_get(struct weir_cells *);

/* Gives a cell back; number must be in use. */
void weir_cells_put(struct weir_cells *, uint32_t number);

/* The same inline, for where a byte each way needs them; cell_bytes is the pool's, known to the compiler. *cell
 * gets the cell's place. */
static inline uint32_t weir_cells_get_here(struct weir_cells *c, uint32_t cell_bytes, void **cell)
{
    uint32_t number = c->free;
    *cell = c->base + (uint64_t)(number != 0 ? number - 1 : c->fresh) * cell_bytes;
    if (number != 0)
        memcpy(&c->free, *cell, sizeof c->free);
    else if (c->fresh < c->count)
        number = ++c->fresh;
    else
        return 0;
    if (++c->used > c->peak) c->peak = c->used;
    return number;
}
static inline void weir_cells_put_here(struct weir_cells *c, uint32_t cell_bytes, uint32_t number)
{
    memcpy(c->base + (uint64_t)(number - 1) * cell_bytes, &c->free, sizeof c->free);
    c->free = number;
    c->used--;
}
#ifdef WEIR_WRAP_DECISIONS
static inline uint32_t weir_cells_get_place(struct weir_cells *c, void **cell)
{
    uint32_t number = weir_cells_get(c);
    if (number != 0) *cell = weir_cells_at(c, number);
    return number;
}
#define weir_cells_get_here(c, cell_bytes, cell) weir_cells_get_place(c, cell)
#endif

static inline uint32_t weir_cells_left(const struct weir_cells *c)
{
    return c->count - c->used;
}

#endif
