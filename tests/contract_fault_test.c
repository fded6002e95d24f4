/* contract_fault_test.c: the contract suite over the fault wrapper without faults: it must then be a device
 * like any other, whatever the lower device is like. */
#include "contract_pairrig.h"
#include "weir/fault.h"

static struct weir_netdev *wrap(struct weir_netdev *lower)
{
    static struct weir_fault fault;
    const struct weir_fault_conf none = {.seed = 1};
    weir_fault_init(&fault, lower, &none);
    return &fault.dev;
}

int main(void)
{
    static struct pairrig p;
    struct weir_pair_conf conf = {
        .delay_us = 300, .queue = 48, .max_frame = 65549, .mtu = 1500, .offloads = 15};
    pairrig_init(&p, "fault over a synchronous pair", &conf, wrap);
    int failed = weir_contract_run(&p.rig);
    struct weir_pair_conf hostile = {.delay_us = 300,
                                     .queue = 48,
                                     .max_frame = 1514,
                                     .mtu = 1500,
                                     .async = 1,
                                     .max_pieces = 3,
                                     .max_piece_bytes = 600,
                                     .boundary = 4096,
                                     .base_align = 64};
    pairrig_init(&p, "fault over an asynchronous pair", &hostile, wrap);
    return failed + weir_contract_run(&p.rig);
}
