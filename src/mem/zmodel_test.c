/* The pool against a naive model: random takes, references, releases from here and from elsewhere, with the
 * invariants checked after each step. The seed is printed; WEIR_SEED sets it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mem/zfixture.h"
#include "weir/err.h"

#define SEGMENTS_MAX 256
#define STEPS        30000
#define OWNED_MAX    6

struct seg {
    uint32_t app, given;         /* references; releases not yet carried out */
    uint32_t owned[WEIR_OWNERS]; /* of the stack */
    bool limbo;
    uint8_t fill; /* what the data are filled with */
};

struct model {
    struct zfixture f;
    struct weir_zpool *z;
    uint64_t seed;
    struct seg seg[SEGMENTS_MAX];
    uint32_t free[WEIR_ZCLASSES_MAX], peak;
    uint64_t fallthroughs, pressure, gives, excess;
};

static uint32_t rnd(struct model *m, uint32_t below)
{
    return zfixture_random(&m->seed, below);
}

static uint32_t stk_of(const struct seg *s)
{
    uint32_t sum = 0;
    for (unsigned o = 0; o < WEIR_OWNERS; o++)
        sum += s->owned[o];
    return sum;
}

static bool live(const struct seg *s)
{
    return s->app + stk_of(s) > 0;
}

static void fill(struct model *m, uint32_t n, uint8_t value)
{
    struct weir_zhead *h = weir_zpool_by_number(m->z, n);
    m->seg[n].fill = value;
    memset(weir_zpool_first(m->z, h), value, weir_zpool_bytes(m->z, h));
}

/* First and last byte: nobody else wrote there. */
static void check_fill(struct model *m, uint32_t n)
{
    struct weir_zhead *h = weir_zpool_by_number(m->z, n);
    const uint8_t *first = weir_zpool_first(m->z, h);
    assert_int_equal(first[0], m->seg[n].fill);
    assert_int_equal(first[weir_zpool_bytes(m->z, h) - 1], m->seg[n].fill);
}

/* After references went down. */
static void settle(struct model *m, uint32_t n)
{
    struct seg *s = &m->seg[n];
    if (live(s)) return;
    check_fill(m, n);
    if (s->given > 0)
        s->limbo = true;
    else
        m->free[weir_zpool_by_number(m->z, n)->cls]++;
}

static void take(struct model *m)
{
    enum weir_take kind = (enum weir_take)rnd(m, WEIR_TAKES);
    unsigned cls = rnd(m, 1 + rnd(m, m->z->classes)), got = cls; /* small ones more often */
    uint32_t high = m->z->cls[cls].bytes, low = cls ? m->z->cls[cls - 1].bytes : 0;
    while (got < m->z->classes && m->free[got] <= m->z->cls[got].floor[kind])
        got++;
    struct weir_zhead *h = weir_zpool_take(m->z, low + 1 + rnd(m, high - low), kind);
    m->fallthroughs += h && got != cls;
    m->pressure += !h;
    assert_int_equal(h == NULL, got == m->z->classes);
    if (!h) return;
    uint32_t n = weir_zpool_number(m->z, h);
    assert_int_equal(h->cls, got);
    assert_false(live(&m->seg[n]) || m->seg[n].limbo);
    m->free[got]--;
    if (kind == WEIR_TAKE_APP)
        m->seg[n].app = 1;
    else
        m->seg[n].owned[weir_take_owner(kind)] = 1;
    fill(m, n, (uint8_t)rnd(m, 256));
}

static void ref(struct model *m, uint32_t n)
{
    struct seg *s = &m->seg[n];
    enum weir_owner o = (enum weir_owner)(1 + rnd(m, WEIR_OWNERS - 1));
    if (!live(s) || stk_of(s) >= OWNED_MAX || o == WEIR_OWNER_POSTED) return;
    assert_true(weir_zpool_ref(m->z, weir_zpool_by_number(m->z, n), o));
    s->owned[o]++;
}

static void unref(struct model *m, uint32_t n)
{
    struct seg *s = &m->seg[n];
    unsigned o = rnd(m, WEIR_OWNERS);
    if (stk_of(s) == 0) return;
    while (s->owned[o] == 0)
        o = (o + 1) % WEIR_OWNERS;
    s->owned[o]--;
    bool freed = weir_zpool_unref(m->z, weir_zpool_by_number(m->z, n), (enum weir_owner)o);
    assert_int_equal(freed, !live(s) && s->given == 0);
    settle(m, n);
}

static void move(struct model *m, uint32_t n)
{
    struct seg *s = &m->seg[n];
    enum weir_owner from = (enum weir_owner)rnd(m, WEIR_OWNERS);
    enum weir_owner to = (enum weir_owner)(1 + rnd(m, WEIR_OWNERS - 1));
    if (s->owned[from] == 0 || to == WEIR_OWNER_POSTED) return;
    s->owned[from]--;
    s->owned[to]++;
    weir_zpool_move(m->z, weir_zpool_by_number(m->z, n), from, to);
}

static void app_ref(struct model *m, uint32_t n)
{
    if (!live(&m->seg[n]) || m->seg[n].app >= OWNED_MAX) return;
    assert_int_equal(weir_zpool_app_ref(m->z, weir_zpool_by_number(m->z, n)), 0);
    m->seg[n].app++;
}

/* Also of segments that are free or hold less: refused. */
static void app_unref(struct model *m, uint32_t n)
{
    struct seg *s = &m->seg[n];
    uint32_t less = 1 + rnd(m, 2);
    int got = weir_zpool_app_unref(m->z, weir_zpool_by_number(m->z, n), less);
    if (s->app < less) {
        assert_int_equal(got, WEIR_ENOTHELD);
        return;
    }
    s->app -= less;
    assert_int_equal(got, s->app == 0);
    settle(m, n);
}

/* One release from elsewhere, sometimes one too many, but never of a segment that nobody holds: its address
 * would have been refused. */
static void give(struct model *m, uint32_t n)
{
    struct seg *s = &m->seg[n];
    if (!live(s) || (s->given >= s->app && rnd(m, 4) != 0)) return;
    bool any = false;
    for (uint32_t i = 0; i < m->z->total; i++)
        any = any || m->seg[i].given > 0;
    assert_int_equal(weir_zpool_give(m->z, weir_zpool_by_number(m->z, n)), !any);
    s->given++;
}

static void carry_out(struct model *m, struct weir_zhead *h, uint32_t n)
{
    uint32_t number = weir_zpool_number(m->z, h);
    struct seg *s = &m->seg[number];
    uint32_t less = n < h->app ? n : h->app;
    assert_int_equal(n, s->given);
    assert_true(n > 0); /* each head is met once */
    m->gives += n;
    m->excess += n - less;
    s->given = 0;
    if (s->limbo) {
        s->limbo = false;
        settle(m, number);
        assert_int_equal(h->state, WEIR_Z_FREE);
    }
    if (less == 0) return;
    s->app -= less;
    assert_int_equal(weir_zpool_app_unref(m->z, h, less), s->app == 0);
    settle(m, number);
}

static void drain(struct model *m)
{
    uint32_t link = weir_zpool_given(m->z), n;
    struct weir_zhead *h;
    while ((h = weir_zpool_given_next(m->z, &link, &n)) != NULL)
        carry_out(m, h, n);
    assert_int_equal(weir_zpool_given(m->z), 0);
    for (uint32_t i = 0; i < m->z->total; i++)
        assert_int_equal(m->seg[i].given, 0);
}

static void compare(struct model *m)
{
    uint32_t held = 0, posted = 0;
    for (uint32_t n = 0; n < m->z->total; n++) {
        const struct weir_zhead *h = weir_zpool_by_number(m->z, n);
        struct seg *s = &m->seg[n];
        if (h->app != s->app || h->stk != stk_of(s)) fail_msg("segment %u: counts differ", n);
        if (h->state != (s->limbo ? WEIR_Z_LIMBO : live(s) ? WEIR_Z_LIVE : WEIR_Z_FREE))
            fail_msg("segment %u: state %u", n, h->state);
        held += live(s) || s->limbo;
        posted += s->owned[WEIR_OWNER_POSTED];
    }
    assert_int_equal(weir_zpool_check(m->z), 0);
    assert_int_equal(m->z->live, held);
    assert_int_equal(m->z->posted, posted);
    if (held - posted > m->peak) m->peak = held - posted;
    assert_int_equal(m->f.stats.zbuf_peak, m->peak);
    assert_int_equal(m->f.stats.zbuf_allocs - m->f.stats.zbuf_frees, held);
    assert_int_equal(m->f.stats.fallthroughs, m->fallthroughs);
    assert_int_equal(m->f.stats.pressure, m->pressure);
    assert_int_equal(m->f.stats.gives, m->gives);
}

static void step(struct model *m, bool filling)
{
    uint32_t n = rnd(m, m->z->total), what = rnd(m, 100);
    if (what < (filling ? 24 : 4))
        take(m);
    else if (what < 30)
        ref(m, n);
    else if (what < 54)
        unref(m, n);
    else if (what < 58)
        move(m, n);
    else if (what < 62)
        app_ref(m, n);
    else if (what < 84)
        app_unref(m, n);
    else if (what < 97)
        give(m, n);
    else
        drain(m);
}

static void finish(struct model *m)
{
    drain(m);
    for (uint32_t n = 0; n < m->z->total; n++) {
        struct weir_zhead *h = weir_zpool_by_number(m->z, n);
        for (unsigned o = 0; o < WEIR_OWNERS; o++)
            for (uint32_t k = m->seg[n].owned[o]; k > 0; k--)
                weir_zpool_unref(m->z, h, (enum weir_owner)o);
        if (h->app > 0) assert_int_equal(weir_zpool_app_unref(m->z, h, h->app), 1);
    }
    assert_int_equal(m->z->live, 0);
    assert_int_equal(m->z->posted, 0);
    assert_int_equal(weir_zpool_check(m->z), 0);
    for (unsigned i = 0; i < m->z->classes; i++)
        assert_int_equal(m->z->cls[i].free, m->z->cls[i].count);
}

static void random_use(enum weir_zlayout layout)
{
    static struct model m;
    memset(&m, 0, sizeof m);
    m.seed = zfixture_seed();
    struct weir_config conf = zfixture_config(layout, (const uint32_t[]){16, 8, 3, 0});
    zfixture_open(&m.f, &conf);
    m.z = &m.f.z;
    assert_true(m.z->total <= SEGMENTS_MAX);
    for (unsigned i = 0; i < m.z->classes; i++)
        m.free[i] = m.z->cls[i].count;
    weir_zpool_floor(m.z, 0, (const uint32_t[WEIR_TAKES]){0, 1, 2, 3, 4, 5});
    weir_zpool_floor(m.z, 1, (const uint32_t[WEIR_TAKES]){0, 0, 1, 1, 2, 2});
    for (unsigned i = 0; i < STEPS; i++) {
        step(&m, (i / 500) % 2 == 0);
        compare(&m);
    }
    printf("%u fall-throughs, %u refused, %u given, %u in excess\n", (unsigned)m.fallthroughs,
           (unsigned)m.pressure, (unsigned)m.gives, (unsigned)m.excess);
    /* The run has met what it is about. */
    assert_true(m.fallthroughs > 100 && m.pressure > 100 && m.excess > 100);
    finish(&m);
    zfixture_close(&m.f);
}

static void random_use_dense(void **state)
{
    (void)state;
    random_use(WEIR_ZLAYOUT_DENSE);
}

static void random_use_inside(void **state)
{
    (void)state;
    random_use(WEIR_ZLAYOUT_INSIDE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_dense),
        cmocka_unit_test(random_use_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
