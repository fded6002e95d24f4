/* contract_pairrig.h: the contract suite's rig for a pair's end and for whatever wraps one: the other end is
 * the peer. */
#ifndef WEIR_CONTRACT_PAIRRIG_H
#define WEIR_CONTRACT_PAIRRIG_H

#include "netdev_contract.h"
#include "weir/pair.h"
#include "weir/plat.h"

struct pairrig {
    struct contract_rig rig;
    struct weir_pair_conf conf;
    struct weir_sim sim;
    struct weir_pair pair;
    struct weir_netdev *(*wrap)(struct weir_netdev *lower); /* NULL: the end itself is tested */
    void *memory;
    uint8_t posts[64][2048];
    uint32_t next_post;
};

/* A rig over a pair of this configuration (its plat is set here). */
void pairrig_init(struct pairrig *, const char *name, const struct weir_pair_conf *,
                  struct weir_netdev *(*wrap)(struct weir_netdev *));

#endif
