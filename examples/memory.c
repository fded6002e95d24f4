/* memory.c: Weir's memory alone, without a network, in fixed bytes: what a device's firmware would do.
 *
 * 48 KB are everything that there is. The plan says what goes where, records come from a pool, the rest of the
 * bytes is one partition, and any address finds its way back without being told which of them it came from. */
#include <inttypes.h>
#include <stdio.h>

#include "weir/mem.h"
#include "weir/part.h"
#include "weir/policy.h"
#include "weir/pool.h"

#define ROUTES 200

struct route {
    uint32_t net, gateway;
    uint8_t prefix, metric;
};

#define GRANULE 512 /* what the map tells apart */
static _Alignas(GRANULE) unsigned char everything[48 << 10];

static struct weir_pool routes;
static struct weir_part rest;

static const struct weir_pool_conf routes_conf = {.name = "routes",
                                                  .cell_bytes = sizeof(struct route),
                                                  .cells_per_block = ROUTES,
                                                  .max_blocks = 1,
                                                  .level = 1};

static int open_routes(void *pool, void *base, size_t bytes)
{
    return weir_pool_open(pool, &routes_conf, base, bytes);
}

static int open_rest(void *part, void *base, size_t bytes)
{
    struct weir_part_conf conf = {.name = "rest", .policy = &weir_tlsf, .cut = {.level = 1}};
    return weir_part_open(part, &conf, base, bytes);
}

static int begin(struct weir_mem *mem)
{
    struct weir_plan plan;
    const struct weir_mem_item items[] = {{.name = "routes",
                                           .what = "routing table",
                                           .count = 1,
                                           .each_bytes = (uint32_t)weir_pool_bytes(&routes_conf, ROUTES),
                                           .keeper = &weir_pool_keeper,
                                           .obj = &routes,
                                           .open = open_routes}};
    const struct weir_mem_conf conf = {.granule_bytes = GRANULE,
                                       .slabs = 16,
                                       .item = items,
                                       .items = 1,
                                       .rest = {.name = "rest",
                                                .what = "everything else",
                                                .count = 1,
                                                .each_bytes = 8192,
                                                .keeper = &weir_part_keeper,
                                                .obj = &rest,
                                                .open = open_rest}};
    const struct weir_area area = {.base = everything, .bytes = sizeof everything};
    int err = weir_mem_plan(&conf, &plan);
    if (err == 0) err = weir_mem_open(mem, &area, 1, &conf);
    if (err == 0) err = weir_mem_seal(mem); /* nothing is laid out after this */
    if (err != 0) fprintf(stderr, "memory: %s %s\n", weir_strerror(err), plan.why);
    for (uint32_t i = 0; err == 0 && i < plan.rows; i++)
        printf("planned  %-8s %6" PRIu64 " bytes  %s\n", plan.row[i].name, plan.row[i].bytes,
               plan.row[i].what);
    return err;
}

int main(void)
{
    struct weir_mem mem;
    struct weir_pool_info pool;
    struct weir_part_info part;
    if (begin(&mem) != 0) return 1;

    struct route *route = weir_pool_get(&routes);
    char *name = weir_part_alloc(&rest, 100, 0);
    if (route == NULL || name == NULL) return 1;
    *route = (struct route){.net = 0x0a000000, .prefix = 8, .metric = 1};
    snprintf(name, 100, "a route to the inner network");

    weir_pool_info(&routes, &pool);
    weir_part_info(&rest, &part);
    printf("in use   routes %" PRIu64 " of %" PRIu32 ", rest %" PRIu64 " of %" PRIu64 " bytes\n",
           pool.stat.live, pool.cells, part.stat.live_bytes, part.stat.configured_bytes);

    printf("refused  %s\n", weir_strerror(weir_mem_free(&mem, &route->gateway))); /* inside a cell */
    printf("refused  %s\n", weir_strerror(weir_mem_free(&mem, &mem)));            /* not Weir's */
    int freed = weir_mem_free(&mem, route) == 0 && weir_mem_free(&mem, name) == 0;
    printf("refused  %s\n", weir_strerror(weir_mem_free(&mem, route))); /* twice */
    return freed && weir_mem_close(&mem) == 0 ? 0 : 1;
}
