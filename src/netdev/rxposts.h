/* rxposts.h: the posted buffers of a device that copies frames into them (struct weir_posts): a ring of one
 * size. A frame takes as many as it needs from the front.
 *
 * Invariant: n <= want <= WEIR_POSTS_MAX, and every buffer has at least want_bytes. Not thread-safe. */
#ifndef WEIR_RXPOSTS_H
#define WEIR_RXPOSTS_H

#include "weir/posts.h"

/* Chooses size and number for frames of up to frame_bytes: the smallest of env's sizes that holds one, or
 * that has 2,048 bytes where frames are larger; larger sizes if a frame would need more than
 * WEIR_FRAME_PIECES_MAX. Empties the ring. 0, or WEIR_EINVAL with a sentence in error[0..cap) that says what
 * would do. */
int weir_posts_plan(struct weir_posts *, const struct weir_netdev_env *, uint32_t frame_bytes, char *error,
                    size_t cap);

/* As rx_want, rx_post and rx_unpost of netdev.h. */
uint32_t weir_posts_want(const struct weir_posts *);
int weir_posts_add(struct weir_posts *, void *addr, uint32_t bytes);
unsigned weir_posts_take_back(struct weir_posts *, void **addr, unsigned n);

/* How many buffers from the front a frame of so many bytes takes, 0: they don't suffice. */
unsigned weir_posts_for(const struct weir_posts *, uint32_t bytes);

/* Copies f's bytes into the first k buffers (k = weir_posts_for(f->bytes) > 0), which leave the ring for
 * out[0..k). */
void weir_posts_fill(struct weir_posts *, const struct weir_frame *f, struct weir_piece *out, unsigned k);

#endif
