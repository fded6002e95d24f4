/* rxposts.c: posted buffers into which frames are copied.
 *
 * Rejected: one posted buffer of max_frame bytes for each frame. With large segments every acknowledgement of
 * 66 bytes would pin a zbuf of 128 K. */
#include "netdev/rxposts.h"

#include <string.h>

#include "base/bits.h"
#include "base/text.h"
#include "mem/zpool.h"
#include "weir/err.h"

#define POST_BYTES WEIR_RX_ZBUF_BYTES /* posted buffers where frames are larger than that */

static uint32_t pieces_of(uint32_t frame, uint32_t bytes)
{
    return (frame - 1) / bytes + 1;
}

/* 0: none will do. */
static uint32_t choose(const struct weir_netdev_env *env, uint32_t frame)
{
    uint32_t least = weir_min_u32(frame, POST_BYTES), best = 0;
    for (unsigned i = 0; i < env->n_zbuf_bytes && best < least; i++) {
        uint32_t z = env->zbuf_bytes[i];
        if (z > 0 && pieces_of(frame, z) <= WEIR_FRAME_PIECES_MAX) best = z;
    }
    return best;
}

static int refuse(uint32_t frame, char *error, size_t cap)
{
    struct weir_text t;
    weir_text_init(&t, error, cap);
    weir_text_str(&t, "frames of ");
    weir_text_u64(&t, frame);
    weir_text_str(&t, " bytes do not fit into ");
    weir_text_u64(&t, WEIR_FRAME_PIECES_MAX);
    weir_text_str(&t, " of the zbufs: add a class of ");
    weir_text_u64(&t, weir_pow2_ceil(pieces_of(frame, WEIR_FRAME_PIECES_MAX)));
    weir_text_str(&t, " bytes or more.");
    return WEIR_EINVAL;
}

int weir_posts_plan(struct weir_posts *p, const struct weir_netdev_env *env, uint32_t frame_bytes,
                    char *error, size_t cap)
{
    uint32_t bytes = choose(env, frame_bytes);
    if (bytes == 0) return refuse(frame_bytes, error, cap);
    uint32_t frames = weir_max_u32(1, weir_min_u32(env->rx_frames, WEIR_POSTS_MAX));
    p->want_bytes = bytes;
    p->want = weir_min_u32(pieces_of(frame_bytes, bytes) * frames, WEIR_POSTS_MAX);
    p->head = p->n = 0;
    return 0;
}

uint32_t weir_posts_want(const struct weir_posts *p)
{
    return p->n < p->want ? p->want_bytes : 0;
}

int weir_posts_add(struct weir_posts *p, void *addr, uint32_t bytes)
{
    if (bytes < p->want_bytes) return WEIR_EINVAL;
    if (p->n >= p->want) return WEIR_EAGAIN;
    p->ring[(p->head + p->n++) % WEIR_POSTS_MAX] = (struct weir_piece){addr, bytes};
    return 0;
}

unsigned weir_posts_take_back(struct weir_posts *p, void **addr, unsigned n)
{
    unsigned i;
    for (i = 0; i < n && p->n > 0; i++)
        addr[i] = p->ring[(p->head + --p->n) % WEIR_POSTS_MAX].addr;
    return i;
}

unsigned weir_posts_for(const struct weir_posts *p, uint32_t bytes)
{
    uint64_t have = 0;
    for (unsigned i = 0; i < p->n && i < WEIR_FRAME_PIECES_MAX; i++) {
        have += p->ring[(p->head + i) % WEIR_POSTS_MAX].bytes;
        if (have >= bytes) return i + 1;
    }
    return 0;
}

void weir_posts_fill(struct weir_posts *p, const struct weir_frame *f, struct weir_piece *out, unsigned k)
{
    const struct weir_piece *from = f->pieces;
    uint32_t used = 0, left = f->bytes;
    for (unsigned i = 0; i < k; i++) {
        const struct weir_piece *to = &p->ring[p->head];
        out[i] = (struct weir_piece){to->addr, weir_min_u32(to->bytes, left)};
        for (uint32_t at = 0; at < out[i].bytes;) {
            uint32_t n = weir_min_u32(out[i].bytes - at, from->bytes - used);
            memcpy(to->addr + at, from->addr + used, n);
            at += n;
            used += n;
            if (used == from->bytes) from++, used = 0;
        }
        left -= out[i].bytes;
        p->head = (p->head + 1) % WEIR_POSTS_MAX;
        p->n--;
    }
}
