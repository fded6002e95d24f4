/* contract_trace_test.c: the contract suite over the trace wrapper. */
#include "contract_pairrig.h"
#include "weir/trace.h"

static int sink(void *ctx, const void *bytes, size_t n)
{
    (void)ctx, (void)bytes, (void)n;
    return 0;
}

static struct weir_netdev *wrap(struct weir_netdev *lower)
{
    static struct weir_trace trace;
    weir_trace_init(&trace, lower, ((struct weir_pair_end *)(void *)lower)->pair->conf.plat, sink, NULL);
    return &trace.dev;
}

int main(void)
{
    static struct pairrig p;
    struct weir_pair_conf conf = {.delay_us = 300, .queue = 48, .max_frame = 1514, .mtu = 1500, .async = 1};
    pairrig_init(&p, "trace over an asynchronous pair", &conf, wrap);
    return weir_contract_run(&p.rig);
}
