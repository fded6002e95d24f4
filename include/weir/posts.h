/* posts.h: receive buffers posted to a device that copies frames into them: the pair and the fault wrapper.
 *
 * The type is public only because those devices lie in their caller's memory; all members are private. */
#ifndef WEIR_POSTS_H
#define WEIR_POSTS_H

#include "weir/netdev.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_POSTS_MAX 64 /* buffers posted at once */

struct weir_posts {
    struct weir_piece ring[WEIR_POSTS_MAX];
    unsigned head, n;
    uint32_t want_bytes; /* size of a buffer */
    uint32_t want;       /* how many are wanted */
};

#ifdef __cplusplus
}
#endif
#endif
