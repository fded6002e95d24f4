/* cells.c: fixed cells named by number; see cells.h. */
#include "mem/cells.h"

#undef weir_cells_get_here

void weir_cells_init(struct weir_cells *c, void *base, uint32_t count, uint32_t cell_bytes)
{
    *c = (struct weir_cells){.base = base, .cell_bytes = cell_bytes, .count = count};
}

uint32_t weir_cells_get(struct weir_cells *c)
{
    void *cell;
    return weir_cells_get_here(c, c->cell_bytes, &cell);
}

void weir_cells_put(struct weir_cells *c, uint32_t number)
{
    weir_cells_put_here(c, c->cell_bytes, number);
}
