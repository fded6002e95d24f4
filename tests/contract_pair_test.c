/* contract_pair_test.c: the contract suite over a pair, synchronous and asynchronous. */
#include "contract_pairrig.h"

int main(void)
{
    static struct pairrig p;
    struct weir_pair_conf conf = {
        .delay_us = 300, .bits_per_s = 1000000000, .queue = 48, .max_frame = 1514, .mtu = 1500};
    pairrig_init(&p, "pair, synchronous", &conf, NULL);
    int failed = weir_contract_run(&p.rig);
    conf.async = 1;
    pairrig_init(&p, "pair, asynchronous", &conf, NULL);
    return failed + weir_contract_run(&p.rig);
}
