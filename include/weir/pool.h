/* pool.h: pools of cells of one size (mission row M5): allocate once, use many times.
 *
 * A pool is a bounded array of blocks, each of cells_per_block cells; a cell is got and put back in constant
 * time, and a cell in use carries no byte of the pool's. Blocks lie in the caller's memory (given with
 * weir_pool_open or weir_pool_add and never released) or come from a weir_source, by weir_pool_grow or, where
 * chosen, by a get that finds nothing. It is not for objects of several sizes: see small.h.
 *
 * Memory: the caller owns struct weir_pool and its tables (weir_pool_bytes) until weir_pool_close.
 * Threads and interrupts: as conf.lock says. With WEIR_LOCK_NONE one thread at a time and no handler. With a
 * lock, _get, _put, _get_many, _put_many, _why, _usable and _info may come from any context that the lock
 * holds off (an interrupt handler for WEIR_LOCK_MASK) as long as auto_grow_blocks and auto_trim are 0; all
 * others from threads only. docs/memory/pool.md has the layout, the figures and the worst cases. */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "weir/block.h"
#include "weir/err.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_POOL_BLOCKS_MAX 8192u
#define WEIR_POOL_CELLS_MAX  0x40000000u /* of one pool */
#define WEIR_POOL_CHAIN_MAX  8u          /* blocks looked at to find that of an address */
#define WEIR_POOL_BATCH      16u         /* cells that a bulk call moves while it holds the lock */

struct weir_pool;

/* What a debugging hook is told. GET and PUT make every call take the long way (about three times the instructions);
 * the others cost nothing until they happen. */
enum weir_pool_event {
    WEIR_POOL_GET = 1,   /* cell was handed out */
    WEIR_POOL_PUT = 2,   /* cell is about to come back, or to be refused */
    WEIR_POOL_GROWN = 4, /* cell: the new block's first */
    WEIR_POOL_TRIM = 8,  /* cell: the first of the block that goes back to the source */
    WEIR_POOL_LOW = 16,  /* free cells fell below low_water */
    WEIR_POOL_BAD = 32   /* cell was refused by a put, or its link was found overwritten */
};

struct weir_pool_conf {
    const char *name;    /* static, for reports; may be NULL */
    uint32_t cell_bytes; /* as the user needs it, 1 to 16,777,216 */
    uint32_t
        align_bytes; /* of each cell, a power of two up to 65,536; 0: a pointer's. The distance of cells is
                                 cell_bytes, at least a pointer's, rounded up to this and to a pointer's alignment */
    uint32_t
        cells_per_block; /* at least 1. With max_blocks > 1 rounded up to what fills the next power of two of
                                 bytes (weir_pool_info tells): a block's address then tells its place */
    uint32_t max_blocks; /* 1 to WEIR_POOL_BLOCKS_MAX. 1: the leanest form, without a directory */
    uint32_t level;      /* 0: no checks, puts trust their callers (but for the block, where there are many).
                                 1: in a block, on a boundary, in use: one bit a cell, apart from the cells.
                                 2: also, a free cell's bytes are filled and looked at before it goes out again;
                                 takes time with cell_bytes */
    uint32_t auto_grow_blocks; /* so many blocks, at a time, a get may take from the source when it finds no
                                  cell; its time is then the source's. 0: only weir_pool_grow grows */
    uint32_t keep_blocks; /* empty blocks that trimming leaves: a load that swings by less than keep_blocks *
                             cells_per_block cells never calls the source */
    uint32_t auto_trim;   /* 1: a put that leaves more than keep_blocks empty gives one back */
    uint32_t
        low_water; /* cells: one low event each time that fewer than so many are free after a get. Trimming
                             never goes below it. 0: none */
    struct weir_lock lock;
    struct weir_source source; /* take NULL: none */
    uint32_t hook_events;      /* enum weir_pool_event, those for which hook is called */
    void (*hook)(void *ctx, struct weir_pool *, enum weir_pool_event,
                 void *cell); /* never with the lock held;
                                                                                      must not use the pool */
    void *hook_ctx;
};

/* Members from here on are private to src/mem; the types are complete so that callers own them. */
struct weir_pool_block {
    uintptr_t base;  /* first cell */
    void *free;      /* cells that came back, last in first out, linked through their first bytes */
    uint32_t *bits;  /* one a cell, 1: in use. NULL at level 0 */
    uintptr_t fresh; /* cells [0, fresh) were handed out at least once; those behind it are untouched */
    int32_t more; /* puts until a list changes: cells in use, less one; 0 when all are. Kept where there are
                        many blocks; of one, what lives in the pool is in it */
    uint32_t cells;
    uint16_t next, prev;     /* on a list of blocks */
    uint16_t chain;          /* next block with the same slot of the directory */
    uint8_t where, borrowed; /* which list; whose memory */
};

struct weir_pool {
    void *(*get)(struct weir_pool *);
    int (*put)(struct weir_pool *, void *cell);
    uint64_t allocs;
    int32_t room;      /* gets until something is to be looked at: live = mark - room */
    uint32_t rotate;   /* stride = odd << rotate */
    uintptr_t inverse; /* of odd, modulo the machine's word */
    uintptr_t mask, mul;
    uint16_t *slots; /* the directory, NULL: one block */
    struct weir_pool_block *block;
    struct weir_pool_block *now;   /* gets take from it; block 0, which has no cell: from none */
    struct weir_pool_block own[2]; /* block 0 and the only one, where max_blocks is 1 */
    uint32_t slot_shift;

    uint32_t state; /* a mark while open */
    uint32_t stride, cells_per_block, span;
    uint32_t mark, low_mark, peak, total;
    uint32_t blocks, grown, empty, auto_blocks, spare, fresh_blocks, longest;
    uint16_t list[2][2]; /* head and tail: blocks with a free cell, empty blocks of the source's */
    uint8_t why;
    uint64_t failures, bad, takes, gives, lows, corrupt;
    uint64_t bytes, table_bytes; /* of cells; of tables */
    struct weir_pool_conf conf;
};

/* ---- life ---- */

/* Bytes for weir_pool_open: the tables, followed by `cells` cells of the caller's memory (0: tables alone).
 * 0 iff the configuration is refused or the sum overflows. Tables: with one block one bit a cell (none at
 * level 0); with more, about 60 bytes a block on 64-bit machines and one bit a cell. Pure. */
size_t weir_pool_bytes(const struct weir_pool_conf *, size_t cells);

/* The same as a constant expression for a pool of one block at level 0 or 1, wherever mem is aligned as
 * align_bytes and a pointer want it: an array of so many bytes holds exactly `cells` cells. */
#define WEIR_POOL_BYTES(cell_bytes, align_bytes, cells)                                                      \
    (WEIR_POOL_UP_(WEIR_POOL_UP_(((size_t)(cells) + 31) / 32 * 4, sizeof(void *)),                           \
                   WEIR_POOL_ALIGN_(align_bytes)) +                                                          \
     (size_t)(cells)*WEIR_POOL_STRIDE_(cell_bytes, align_bytes))

/* Begins a pool whose tables lie at mem (aligned as a pointer); what is left of `bytes` behind them becomes
 * caller's cells as by weir_pool_add (none fits: the pool begins empty). *conf is copied.
 * 0; WEIR_EINVAL: conf refused, mem misaligned or too small for the tables; WEIR_EMFILE: what is left needs
 * more than max_blocks blocks; WEIR_ENOTSUP: WEIR_LOCK_MASK on a machine without a mask. Time: the tables. */
int weir_pool_open(struct weir_pool *, const struct weir_pool_conf *, void *mem, size_t bytes);

/* Adds the caller's memory, which stays the caller's and is used until weir_pool_close. A pool of many blocks
 * cuts it where its span's powers of two cross it, so an area that is not aligned takes one block more; no
 * cell is lost. Cells added; WEIR_EINVAL: not one cell, or it overlaps a block; WEIR_EMFILE: more blocks than
 * are left, or WEIR_POOL_CHAIN_MAX areas lie within one span (nothing changed); WEIR_ESTALE. Threads only. */
int weir_pool_add(struct weir_pool *, void *mem, size_t bytes);

/* Takes up to `blocks` blocks from the source. Blocks taken, > 0; or none and WEIR_ENOMEM: the source has
 * none; WEIR_EMFILE: max_blocks; WEIR_ENOTSUP: no source, WEIR_EINVAL: 0 blocks, or the source's block is not
 * aligned as asked; WEIR_ESTALE. Threads only. Time a block: the source's and constant. */
int weir_pool_grow(struct weir_pool *, uint32_t blocks);

/* Gives empty blocks of the source's back, but for keep_blocks, and as long as low_water cells stay free.
 * Blocks given back, or WEIR_ESTALE. Threads only. Time a block: the source's and constant. */
int weir_pool_trim(struct weir_pool *);

/* Every cell in use is put back at once; blocks stay. Cells that were in use, or WEIR_ESTALE. Threads only,
 * and none may be in another call. Time: blocks and their bits. */
int weir_pool_clear(struct weir_pool *);

/* The end: blocks of the source's go back, the caller's memory is the caller's. 0; WEIR_EBUSY while a cell is
 * in use (nothing changed); WEIR_ESTALE. Afterwards gets return NULL and puts WEIR_ESTALE. Threads only. */
int weir_pool_close(struct weir_pool *);

/* ---- cells ---- */

/* A cell, its contents undefined, or NULL iff there is none: weir_pool_why says why. The pool must be open or
 * closed, never uninitialised. Constant time, but where auto_grow_blocks is set (the source's time) and where a
 * free cell's link was overwritten (levels 1 and 2: found and counted, the block's list is made again from its
 * bits in cells_per_block steps). Context: the head of this file. */
static inline void *weir_pool_get(struct weir_pool *p)
{
    return p->get(p);
}

/* Puts back what a get returned. 0, or nothing changed but the count and (levels 1 and 2):
 * WEIR_EFOREIGN: in no block; WEIR_EINTERIOR: in a block, not the start of a cell; WEIR_EFREE: not in use;
 * WEIR_ECORRUPT: the pool's counts disagree with its bits; WEIR_ESTALE: closed. Level 0: ESTALE, and with many
 * blocks also EFOREIGN and EINTERIOR. Constant time: at most WEIR_POOL_CHAIN_MAX blocks are looked at. */
static inline int weir_pool_put(struct weir_pool *p, void *cell)
{
    return p->put(p, cell);
}

/* Up to n cells to out[0..n). How many: fewer than n only if a get would now return NULL. The lock is left
 * after each WEIR_POOL_BATCH cells. */
uint32_t weir_pool_get_many(struct weir_pool *, void **out, uint32_t n);

/* Puts n cells back. 0, or the error of the first that was refused; the others are put all the same. */
int weir_pool_put_many(struct weir_pool *, void *const *cells, uint32_t n);

/* Usable bytes of a cell in use (at least cell_bytes), or an error as weir_pool_put. */
ptrdiff_t weir_pool_usable(const struct weir_pool *, const void *cell);

/* Why the last get, grow or add of this pool got nothing. */
enum weir_why weir_pool_why(const struct weir_pool *);

/* ---- looking ---- */

struct weir_pool_info {
    struct weir_mem_stat stat;
    const char *name;
    uint32_t cell_bytes;      /* distance of cells */
    uint32_t cells_per_block; /* of a block from the source */
    uint32_t block_bytes;     /* of the same */
    uint32_t cells;           /* in all blocks */
    uint32_t blocks, blocks_max, blocks_grown, blocks_empty;
    uint32_t chain_longest; /* most blocks that a put had to look at, since weir_pool_open */
    uint64_t saved;         /* calls to the source saved: allocs - source_takes */
    uint64_t corrupt;       /* links and fills that were found overwritten */
};

/* Constant time. A pool that is not open: zeros. */
void weir_pool_info(const struct weir_pool *, struct weir_pool_info *);

/* The peaks of the counts become what is live now. */
void weir_pool_peak_reset(struct weir_pool *);

/* Every cell, in the order of addresses; the tables are not shown. What walk returned, 0 at the end;
 * WEIR_ENOTSUP at level 0, which does not know what is in use; WEIR_ESTALE. Time: cells, and blocks squared.
 * Threads only. */
int weir_pool_walk(const struct weir_pool *, weir_walk_fn, void *arg);

/* For tests and debug builds: 0, or the number of a broken invariant (src/mem/pool.c). Time: as _walk. */
int weir_pool_check(const struct weir_pool *);

/* ---- pools without an opening call ---- */

/* Defines `name`, a static struct weir_pool of n cells for a `type`, ready before main: level 1, no lock.
 * WEIR_POOL_STATIC_BARE: level 0. C only. */
#define WEIR_POOL_STATIC(name, type, n)                                                                      \
    static uint32_t name##_bits[((n) + 31u) / 32u];                                                          \
    WEIR_POOL_DEFINE_(name, type, n, name##_bits, 1, sizeof name##_bits)
#define WEIR_POOL_STATIC_BARE(name, type, n) WEIR_POOL_DEFINE_(name, type, n, NULL, 0, 0)

/* ---- bare ---- */

/* The long ways of get, and the ways of a pool of one block at level 0 and 1. Not to be called. */
void *weir_pool_get_slow(struct weir_pool *);
void *weir_pool_marked(struct weir_pool *, void *cell);
void *weir_pool_get_one0(struct weir_pool *);
void *weir_pool_get_one1(struct weir_pool *);
int weir_pool_put_one0(struct weir_pool *, void *cell);
int weir_pool_put_one1(struct weir_pool *, void *cell);

/* The leanest get and put, inline: for open pools of one block, level 0, without lock, automatic trimming and hook
 * for GET and PUT, and for no others. May be mixed with the calls above; all counts stay exact. */
static inline void *weir_pool_get_bare(struct weir_pool *p)
{
    void *cell = p->own[1].free;
    if (cell == NULL) return weir_pool_get_slow(p);
    memcpy(&p->own[1].free, cell, sizeof cell);
    p->allocs++;
    if (--p->room < 0) return weir_pool_marked(p, cell);
    return cell;
}
static inline void weir_pool_put_bare(struct weir_pool *p, void *cell)
{
    memcpy(cell, &p->own[1].free, sizeof cell);
    p->own[1].free = cell;
    p->room++;
}

/* ---- what the macros are made of ---- */

#define WEIR_POOL_OPEN_         0x57504f4cu
#define WEIR_POOL_UP_(x, a)     (((x) + ((a)-1)) / (a) * (a))
#define WEIR_POOL_ALIGN_(a)     ((size_t)(a) > sizeof(void *) ? (size_t)(a) : sizeof(void *))
#define WEIR_POOL_LEAST_(c)     ((size_t)(c) > sizeof(void *) ? (size_t)(c) : sizeof(void *))
#define WEIR_POOL_STRIDE_(c, a) WEIR_POOL_UP_(WEIR_POOL_LEAST_(c), WEIR_POOL_ALIGN_(a))
#define WEIR_POOL_ODD_(s)       ((uintptr_t)(s) >> __builtin_ctz((unsigned)(s)))
#define WEIR_POOL_BETTER_(d, x) ((x) * ((uintptr_t)2 - (d) * (x))) /* doubles the bits that are right */
#define WEIR_POOL_INVERSE5_(d)  (((uintptr_t)3 * (d)) ^ (uintptr_t)2)
#define WEIR_POOL_INVERSE10_(d) WEIR_POOL_BETTER_(d, WEIR_POOL_INVERSE5_(d))
#define WEIR_POOL_INVERSE20_(d) WEIR_POOL_BETTER_(d, WEIR_POOL_INVERSE10_(d))
#define WEIR_POOL_INVERSE40_(d) WEIR_POOL_BETTER_(d, WEIR_POOL_INVERSE20_(d))
#define WEIR_POOL_INVERSE_(d)   WEIR_POOL_BETTER_(d, WEIR_POOL_INVERSE40_(d))
#define WEIR_POOL_DEFINE_(name_, type_, n_, bits_, level_, table_)                                           \
    static union name_##_cell {                                                                              \
        type_ cell;                                                                                          \
        void *link;                                                                                          \
    } name_##_cells[n_];                                                                                     \
    static struct weir_pool name_ = {                                                                        \
        .get = weir_pool_get_one##level_,                                                                    \
        .put = weir_pool_put_one##level_,                                                                    \
        .rotate = (uint32_t)__builtin_ctz((unsigned)sizeof(union name_##_cell)),                             \
        .inverse = WEIR_POOL_INVERSE_(WEIR_POOL_ODD_(sizeof(union name_##_cell))),                           \
        .block = name_.own,                                                                                  \
        .state = WEIR_POOL_OPEN_,                                                                            \
        .now = &name_.own[1],                                                                                \
        .stride = sizeof(union name_##_cell),                                                                \
        .cells_per_block = (n_),                                                                             \
        .span = (uint32_t)sizeof name_##_cells,                                                              \
        .low_mark = UINT32_MAX,                                                                              \
        .total = (n_),                                                                                       \
        .blocks = 1,                                                                                         \
        .fresh_blocks = 1,                                                                                   \
        .longest = 1,                                                                                        \
        .bytes = sizeof name_##_cells,                                                                       \
        .table_bytes = (table_),                                                                             \
        .conf = {.name = #name_,                                                                             \
                 .cell_bytes = sizeof(type_),                                                                \
                 .cells_per_block = (n_),                                                                    \
                 .max_blocks = 1,                                                                            \
                 .level = (level_)},                                                                         \
        .own = {{.fresh = 0},                                                                                \
                {.base = (uintptr_t)name_##_cells, .bits = (bits_), .cells = (n_), .borrowed = 1}}}

#ifdef __cplusplus
}
#endif
#endif
