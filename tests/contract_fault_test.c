/* contract_fault_test.c: the contract suite over the fault wrapper without faults: it must then be a device
 * like any other, whatever the lower device is like. */
#include "contract_pairrig.h"
#include "mockdev.h"
#include "weir/fault.h"

static struct weir_netdev *wrap(struct weir_netdev *lower)
{
    static struct weir_fault fault;
    const struct weir_fault_conf none = {.seed = 1};
    weir_fault_init(&fault, lower, &none);
    return &fault.dev;
}

/* Over a device of hostile limits that reports the pieces of one frame at different times. */
static struct weir_netdev *wrap_mock(struct weir_netdev *lower)
{
    static struct mockdev mock;
    mockdev_init(&mock, lower, 11);
    mock.stingy = 3;
    return wrap(&mock.dev);
}

int main(void)
{
    static struct pairrig p;
    struct weir_pair_conf conf = {
        .delay_us = 300, .queue = 48, .max_frame = 65549, .mtu = 1500, .offloads = 15};
    pairrig_init(&p, "fault over a synchronous pair", &conf, wrap);
    int failed = weir_contract_run(&p.rig);
    conf = mockdev_hostile_pair(NULL);
    pairrig_init(&p, "fault over a hostile device", &conf, wrap_mock);
    return failed + weir_contract_run(&p.rig);
}
