/* config.c: a configuration from a number of bytes. Tables take about a sixteenth, buffers the rest; the plan
 * itself says what fits, so nothing here can drift from what weir_start takes. */
#include <string.h>

#include "base/bits.h"
#include "stack/stack.h"

#define MEM_MIN (2u << 20)

static uint32_t clamp(uint64_t x, uint32_t min, uint32_t max)
{
    return x < min ? min : x > max ? max : (uint32_t)x;
}

static void fill_times(struct weir_config *c)
{
    c->msl_ms = 30000;
    c->rto_min_us = 200000;
    c->rto_max_us = 60000000;
    c->delack_us = 40000;
    c->syn_retries = 6;
    c->data_retries = 15;
    c->keepalive_ms = 7200000;
    c->keepalive_interval_ms = 75000;
    c->keepalive_probes = 9;
    c->challenge_acks = 1000;
    c->icmp_errors = 1000;
    c->reset_after_ms = 300000;
}

static void fill_tables(struct weir_config *c, uint64_t mem)
{
    c->conns = clamp(mem >> 16, 16, 1u << 20);
    c->listeners = 16;
    c->timewait = c->conns;
    c->txrecs = 4 * c->conns + 256;
    c->pbufs = 8 * c->conns + 1024;
    c->rcvbuf_bytes = clamp(mem >> 6, 32768, 1u << 20);
    c->sndbuf_bytes = clamp(mem >> 5, 65536, 4u << 20);
    c->pbufs_conn = 512;
    c->txrecs_conn = 256;
    c->ooo_conn = 256;
    c->app_hold_bytes = clamp(mem >> 2, 65536, 1u << 30);
    c->ifaces = 1;
    c->neighbours = 64;
    c->neigh_queue = 4;
    c->rx_burst = 32;
    c->tx_burst = 32;
}

/* Shares of the buffers by class, in sixteenths. The least instance has no 64 KB class: a few segments would
 * take all. */
static const struct share {
    uint32_t bytes, sixteenths;
} large[] = {{256, 1}, {2048, 3}, {16384, 4}, {65536, 8}}, small[] = {{256, 2}, {2048, 6}, {16384, 8}};

static void fill_zbufs(struct weir_config *c, const struct share *s, uint32_t n, uint64_t bytes)
{
    uint32_t slab = s[n - 1].bytes;
    c->zclasses = n;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t slabs = bytes / 16 * s[i].sixteenths / slab;
        c->zclass[i] = (struct weir_zclass){s[i].bytes, clamp(slabs, 1, 1u << 22) * (slab / s[i].bytes)};
    }
}

int weir_config_size(struct weir_config *c, uint64_t mem)
{
    struct weir_plan plan;
    int r = mem < MEM_MIN ? WEIR_EINVAL : 0;
    if (r) mem = MEM_MIN;
    const struct share *shares = mem < (16u << 20) ? small : large;
    uint32_t n = mem < (16u << 20) ? 3 : 4;
    memset(c, 0, sizeof *c);
    fill_times(c);
    fill_tables(c, mem);
    /* The zbufs' own heads and slab table grow with them: ask the plan, and give back what is too much. */
    for (uint64_t buffers = mem; buffers > mem / 4; buffers -= mem / 64) {
        fill_zbufs(c, shares, n, buffers);
        if (weir_plan(c, &plan) == 0 && plan.total_bytes <= mem) break;
    }
    return r;
}
