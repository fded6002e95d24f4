/* zcarve.c: from the configured classes to a region with its slabs and heads. See zpool.h for the picture.
 *
 * What is refused here, each with the option's name and a value that would do:
 *     zclasses           outside 1 .. WEIR_ZCLASSES_MAX
 *     zlayout            not in its enum
 *     zclass[i].bytes    outside its range, not a power of two (less 64 in the inside layout), not above its
 *                        neighbour's
 *     zclass[i].count    0, or the class that makes the region reach 2^38 bytes, which is what
 *                        weir_zhead.first can tell
 *
 * The region begins with the largest class and every class fills whole slabs, so a class's start is a
 * multiple of its stride, and a segment is aligned to its stride up to the region's own alignment. */
#include "mem/zpool.h"

#include <string.h>

#include "base/bits.h"
#include "base/text.h"

#define REGION_ALIGN 4096u
#define REGION_LIMIT ((uint64_t)1 << 38) /* weir_zhead.first: 32 bits, units of 64 */
#define LINE_BYTES   64u

static const char *const bytes_option[] = {"zclass[0].bytes", "zclass[1].bytes", "zclass[2].bytes",
                                           "zclass[3].bytes", "zclass[4].bytes", "zclass[5].bytes",
                                           "zclass[6].bytes", "zclass[7].bytes"};
static const char *const count_option[] = {"zclass[0].count", "zclass[1].count", "zclass[2].count",
                                           "zclass[3].count", "zclass[4].count", "zclass[5].count",
                                           "zclass[6].count", "zclass[7].count"};
_Static_assert(sizeof bytes_option / sizeof *bytes_option == WEIR_ZCLASSES_MAX, "one name a class");
_Static_assert(sizeof count_option / sizeof *count_option == WEIR_ZCLASSES_MAX, "one name a class");
_Static_assert(REGION_LIMIT / WEIR_ZCLASS_MIN < UINT32_MAX,
               "heads have 32-bit numbers, and one is free for none");

/* "OPTION is GOT, RULE: VALUE would do." */
static bool refuse(struct weir_plan *plan, const char *option, uint64_t got, const char *rule, uint64_t value)
{
    struct weir_text t;
    plan->option = option;
    plan->would = value;
    weir_text_init(&t, plan->why, sizeof plan->why);
    weir_text_str(&t, option);
    weir_text_str(&t, " is ");
    weir_text_u64(&t, got);
    weir_text_str(&t, rule);
    weir_text_str(&t, ": ");
    weir_text_u64(&t, value);
    weir_text_str(&t, " would do.");
    return false;
}

/* What a segment has beyond its usable bytes. */
static uint32_t head_room(enum weir_zlayout layout)
{
    return layout == WEIR_ZLAYOUT_INSIDE ? WEIR_ZINSIDE_BYTES : 0;
}

static bool check_bytes(struct weir_plan *plan, const struct weir_config *conf, unsigned i)
{
    uint32_t room = head_room(conf->zlayout), got = conf->zclass[i].bytes;
    uint32_t high = WEIR_ZCLASS_MAX, low = weir_pow2_ceil(WEIR_ZCLASS_MIN + room); /* of strides */
    if (i > 0) low = 2 * (conf->zclass[i - 1].bytes + room);
    if (low > high)
        return refuse(plan, "zclasses", conf->zclasses, ", but no class can follow the largest possible", i);
    bool fits = got <= high - room && got + room >= low;
    if (fits && weir_is_pow2(got + room)) return true;
    uint32_t value = got > high - room ? high : weir_max_u32(weir_pow2_ceil(got + room), low);
    return refuse(plan, bytes_option[i], got,
                  room ? ", not 64 less than a power of two within bounds, ascending"
                       : ", not a power of two within bounds, ascending",
                  value - room);
}

/* Bytes of a class in the region: its segments, rounded up to whole slabs. */
static uint64_t class_bytes(const struct weir_config *conf, unsigned i)
{
    uint32_t room = head_room(conf->zlayout);
    uint64_t slab = conf->zclass[conf->zclasses - 1].bytes + room;
    return weir_align_up((uint64_t)conf->zclass[i].count * (conf->zclass[i].bytes + room), slab);
}

static bool check_counts(struct weir_plan *plan, const struct weir_config *conf)
{
    uint64_t sum = 0;
    unsigned big = 0;
    for (unsigned i = 0; i < conf->zclasses; i++) {
        if (conf->zclass[i].count == 0) return refuse(plan, count_option[i], 0, ", at least 1 is needed", 1);
        sum += class_bytes(conf, i);
        if (class_bytes(conf, i) >= class_bytes(conf, big)) big = i;
    }
    if (sum < REGION_LIMIT) return true;
    uint64_t slab = conf->zclass[conf->zclasses - 1].bytes + head_room(conf->zlayout);
    uint64_t others = sum - class_bytes(conf, big), share = REGION_LIMIT / WEIR_ZCLASSES_MAX;
    uint64_t left = others < REGION_LIMIT - slab ? REGION_LIMIT - slab - others : 0;
    if (left < share) left = share; /* then another class is refused next, and so on */
    return refuse(plan, count_option[big], conf->zclass[big].count,
                  ", so the zbufs reach 256 GiB, the most that one instance can address",
                  left / (conf->zclass[big].bytes + head_room(conf->zlayout)));
}

static bool check_config(struct weir_plan *plan, const struct weir_config *conf)
{
    if (conf->zclasses < 1 || conf->zclasses > WEIR_ZCLASSES_MAX)
        return refuse(plan, "zclasses", conf->zclasses, ", not 1 to 8",
                      conf->zclasses < 1 ? 1 : WEIR_ZCLASSES_MAX);
    if (conf->zlayout != WEIR_ZLAYOUT_DENSE && conf->zlayout != WEIR_ZLAYOUT_INSIDE)
        return refuse(plan, "zlayout", (uint64_t)conf->zlayout, ", not 0 (dense) or 1 (inside)",
                      WEIR_ZLAYOUT_DENSE);
    for (unsigned i = 0; i < conf->zclasses; i++)
        if (!check_bytes(plan, conf, i)) return false;
    return check_counts(plan, conf);
}
_Static_assert(WEIR_ZCLASSES_MAX == 8, "said in check_config's text");

/* Everything that doesn't depend on where the region lies. */
static void lay_out(struct weir_zpool *z, const struct weir_config *conf)
{
    memset(z, 0, sizeof *z);
    z->layout = conf->zlayout;
    z->classes = conf->zclasses;
    z->slab_shift = weir_log2(conf->zclass[z->classes - 1].bytes + head_room(z->layout));
    for (unsigned i = z->classes; i-- > 0;) {
        struct weir_zpool_class *c = &z->cls[i];
        c->bytes = conf->zclass[i].bytes;
        c->shift = (uint8_t)weir_log2(c->bytes + head_room(z->layout));
        c->hshift = z->layout == WEIR_ZLAYOUT_INSIDE ? c->shift : (uint8_t)weir_log2(WEIR_ZHEAD_BYTES);
        c->count = (uint32_t)(class_bytes(conf, i) >> c->shift);
        c->first_head = z->total;
        c->start = z->bytes;
        z->total += c->count;
        z->bytes += class_bytes(conf, i);
    }
    for (unsigned k = 0; k < sizeof z->class_of; k++) {
        unsigned i = 0;
        while (i < z->classes && k > 0 && z->cls[i].bytes <= 1u << (k - 1))
            i++;
        z->class_of[k] = (uint8_t)i;
    }
}

/* The rows. The data's are multiples of a slab and hence lie without a gap. */
static void take_rows(struct weir_zpool *z, struct weir_carve *carve)
{
    uint32_t align = weir_min_u32(REGION_ALIGN, 1u << z->slab_shift);
    for (unsigned i = z->classes; i-- > 0;) {
        void *p = weir_carve(carve, "zbuf_data", "bytes of the zbufs of one size", z->cls[i].count,
                             1u << z->cls[i].shift, align, WEIR_AREA_DMA);
        if (i == z->classes - 1) z->base = p;
    }
    z->slab = weir_carve(carve, "zbuf_slabs", "which size of zbuf lies where", z->bytes >> z->slab_shift,
                         sizeof(struct weir_zslab), _Alignof(struct weir_zslab), WEIR_AREA_FAST);
    if (z->layout == WEIR_ZLAYOUT_DENSE)
        z->heads = weir_carve(carve, "zbuf_heads", "references and state of each zbuf", z->total,
                              WEIR_ZHEAD_BYTES, LINE_BYTES, WEIR_AREA_FAST);
}

/* Both biases may lie before the object they point into; they are only added to. */
static void place_class(struct weir_zpool *z, unsigned i)
{
    struct weir_zpool_class *c = &z->cls[i];
    uintptr_t numbers = (uintptr_t)c->first_head << c->hshift;
    if (z->heads)
        c->bias = (uintptr_t)z->heads;
    else
        c->bias = (uintptr_t)z->base + (uintptr_t)c->start - numbers;
    uintptr_t segments = (uintptr_t)(c->start >> c->shift) << c->hshift;
    uint64_t end = c->start + ((uint64_t)c->count << c->shift);
    for (uint64_t off = c->start; off < end; off += (uint64_t)1 << z->slab_shift)
        z->slab[off >> z->slab_shift] = (struct weir_zslab){
            .bias = c->bias + numbers - segments, .shift = c->shift, .hshift = c->hshift, .cls = (uint8_t)i};
}

/* All segments of a class free, the lowest address first. */
static void free_class(struct weir_zpool *z, unsigned i)
{
    struct weir_zpool_class *c = &z->cls[i];
    c->free = c->low = c->count;
    for (uint32_t k = c->count; k-- > 0;) {
        uint64_t first = c->start + ((uint64_t)k << c->shift) + head_room(z->layout);
        struct weir_zhead *h = weir_zpool_by_number(z, c->first_head + k);
        memset(h, 0, sizeof *h);
        h->cls = (uint8_t)(i & 15);
        h->first = (uint32_t)(first / 64);
        h->u.next_free = c->free_head;
        c->free_head = c->first_head + k + 1;
    }
}

bool weir_zpool_carve(struct weir_zpool *z, struct weir_carve *carve, const struct weir_config *conf)
{
    if (!check_config(carve->plan, conf)) return false;
    lay_out(z, conf);
    take_rows(z, carve);
    if (carve->failed) return false;
    if (!carve->area) return true;
    for (unsigned i = 0; i < z->classes; i++) {
        place_class(z, i);
        free_class(z, i);
    }
    return true;
}

void weir_zpool_floor(struct weir_zpool *z, unsigned cls, const uint32_t floor[WEIR_TAKES])
{
    memcpy(z->cls[cls].floor, floor, sizeof z->cls[cls].floor);
}
