/* cells.c: fixed cells named by number; see cells.h. */
#include "mem/cells.h"

#include <string.h>

void weir_cells_init(struct weir_cells *c, void *base, uint32_t count, uint32_t cell_bytes)
{
    *c = (struct weir_cells){.base = base, .cell_bytes = cell_bytes, .count = count};
}

uint32_t weir_cells_get(struct weir_cells *c)
{
    uint32_t number = c->free;
    if (number != 0)
        memcpy(&c->free, weir_cells_at(c, number), sizeof c->free);
    else if (c->fresh < c->count)
        number = ++c->fresh;
    else
        return 0;
    if (++c->used > c->peak) c->peak = c->used;
    return number;
}

void weir_cells_put(struct weir_cells *c, uint32_t number)
{
    memcpy(weir_cells_at(c, number), &c->free, sizeof c->free);
    c->free = number;
    c->used--;
}
