/* zapi.c: the application's side of zbufs: weir_zalloc and its kin over the pool, and releases from other
 * threads. */
#include "stack/stack.h"

/* An address outside the region of zbufs: in the instance's own tables, or foreign. The areas never change,
 * so that any thread may ask. */
static int outside(const struct weir *w, const void *data)
{
    for (uint32_t i = 0; i < w->n_area; i++)
        if ((uintptr_t)data - (uintptr_t)w->area[i].base < w->area[i].bytes) return WEIR_EFAULT;
    return WEIR_EFOREIGN;
}

/* The head for an address among a live zbuf's bytes, or NULL and *err. */
static struct weir_zhead *find(const struct weir *w, const void *data, int *err)
{
    struct weir_zhead *h = NULL;
    *err = weir_zpool_find(&w->z, data, &h);
    if (*err == WEIR_EFOREIGN) *err = outside(w, data);
    return h;
}

void *weir_zalloc(struct weir *w, size_t len)
{
    if (len == 0 || len > WEIR_ZCLASS_MAX) return NULL;
    struct weir_zhead *h = weir_zpool_take(&w->z, (uint32_t)len, WEIR_TAKE_APP);
    if (!h) return NULL;
    if (!weir_strict_ok(&w->tcp.mem.strict, &w->z, 0)) { /* it is set aside for receiving */
        (void)weir_zpool_app_unref(&w->z, h, 1);
        w->stats.pressure++;
        return NULL;
    }
    return weir_zpool_first(&w->z, h);
}

int weir_zalloc_wait(struct weir *w, size_t len)
{
    if (len == 0 || len > WEIR_ZCLASS_MAX) return WEIR_EINVAL;
    unsigned c = weir_zpool_class_for(&w->z, (uint32_t)len);
    if (c == w->z.classes) return WEIR_EINVAL;
    w->zwait |= 1u << c;
    return 0;
}

/* Classes that are waited for and can be had. Hysteresis: a thirty-second of the class is free again above
 * the application's floor. */
static uint32_t classes_back(const struct weir *w)
{
    uint32_t back = 0;
    if (!weir_strict_ok(&w->tcp.mem.strict, &w->z, 0)) return 0;
    for (unsigned c = 0; w->zwait >> c; c++) {
        uint32_t n = w->z.cls[c].count / 32;
        if ((w->zwait & 1u << c) && weir_zpool_can(&w->z, c, WEIR_TAKE_APP, n ? n : 1)) back |= 1u << c;
    }
    return back;
}

bool weir_memory_due(const struct weir *w)
{
    return classes_back(w) != 0;
}

bool weir_memory_event(struct weir *w, struct weir_event *ev)
{
    uint32_t back = classes_back(w);
    if (!back) return false;
    w->zwait &= ~back;
    *ev = (struct weir_event){.id = 0, .mask = WEIR_EV_MEMORY, .user = back};
    return true;
}

bool weir_pressure_due(const struct weir *w)
{
    return w->tcp.ladder.rung != w->tcp.ladder.told;
}

bool weir_pressure_event(struct weir *w, struct weir_event *ev)
{
    if (!weir_pressure_due(w)) return false;
    w->tcp.ladder.told = w->tcp.ladder.rung;
    *ev = (struct weir_event){.id = 0, .mask = WEIR_EV_PRESSURE, .user = w->tcp.ladder.rung};
    return true;
}

/* n of the application's references go; with the last one, bytes that were lent reopen their window. */
static int release(struct weir *w, struct weir_zhead *h, uint32_t n)
{
    uint32_t id = h->lent_id, bytes = h->lent_bytes, seg_bytes = weir_zpool_bytes(&w->z, h);
    if (n == h->app) h->lent_id = h->lent_bytes = 0;
    int r = weir_zpool_app_unref(&w->z, h, n);
    if (r == 1 && id) {
        if (bytes & WEIR_LENT_PASSED) w->tcp.mem.strict.passed_bytes -= seg_bytes;
        weir_tcp_returned(&w->tcp, id, bytes & ~WEIR_LENT_PASSED, seg_bytes);
    } else {
        w->tcp.ladder.let_go++; /* a send queue may have it alone now */
    }
    return r < 0 ? r : 0;
}

/* Why an address can't be freed. */
static WEIR_APART int not_held(const struct weir *w, const void *data)
{
    int r;
    return find(w, data, &r) ? WEIR_ENOTHELD : r;
}

static WEIR_APART int release_one(struct weir *w, struct weir_zhead *h)
{
    return release(w, h, 1);
}

/* Straight: what was never lent, and what a server that answers frees, a lent piece that is held once here and by
 * a send queue too. */
int weir_zfree(struct weir *w, const void *data)
{
    uint32_t left;
    struct weir_zhead *h = weir_zpool_held(&w->z, data, &left);
    if (!h) return not_held(w, data);
    uint32_t id = h->lent_id, bytes = h->lent_bytes;
    if (id == 0) {
        (void)weir_zpool_app_unref(&w->z, h, 1);
        w->tcp.ladder.let_go++; /* as in release */
        return 0;
    }
    if (h->app != 1 || h->stk == 0 || (bytes & WEIR_LENT_PASSED)) return release_one(w, h);
    h->app = 0;
    h->lent_id = h->lent_bytes = 0;
    weir_tcp_returned(&w->tcp, id, bytes, weir_zpool_bytes(&w->z, h));
    return 0;
}

int weir_zgive(struct weir *w, const void *data)
{
    /* The head's counts belong to the owner's thread: only the address is checked here. */
    struct weir_zhead *h = weir_zpool_head(&w->z, data);
    if (!h) return outside(w, data);
    uintptr_t at = (uintptr_t)data - (uintptr_t)weir_zpool_first(&w->z, h);
    uint64_t off = (uint64_t)((uintptr_t)data - (uintptr_t)w->z.base);
    if (at >= w->z.cls[w->z.slab[off >> w->z.slab_shift].cls].bytes) return WEIR_EFAULT;
    if (!weir_zpool_give(&w->z, h)) return 0;
    if (atomic_fetch_add_explicit(&w->sleeping, 0, memory_order_seq_cst) && w->plat->wake)
        w->plat->wake(w->plat->ctx);
    return 0;
}

void weir_drain_given(struct weir *w)
{
    uint32_t link = weir_zpool_given(&w->z), n;
    struct weir_zhead *h;
    while ((h = weir_zpool_given_next(&w->z, &link, &n)) != NULL) {
        uint32_t mine = n < h->app ? n : h->app;
        w->stats.gives_excess += n - mine;
        if (mine) (void)release(w, h, mine);
    }
}

int weir_zref(struct weir *w, const void *data)
{
    int r;
    struct weir_zhead *h = find(w, data, &r);
    if (!h) return r;
    if (h->app == 0) return WEIR_ENOTHELD;
    return weir_zpool_app_ref(&w->z, h);
}

size_t weir_zsize(const struct weir *w, const void *data)
{
    int r;
    const struct weir_zhead *h = find(w, data, &r);
    if (!h) return 0;
    return weir_zpool_bytes(&w->z, h) - (size_t)((const uint8_t *)data - weir_zpool_first(&w->z, h));
}

int weir_zbusy(const struct weir *w, const void *data)
{
    int r;
    const struct weir_zhead *h = find(w, data, &r);
    return h ? h->stk > 0 : r;
}

int weir_ztag(struct weir *w, const void *data, uint16_t tag)
{
    int r;
    struct weir_zhead *h = find(w, data, &r);
    if (!h) return r;
    if (h->app == 0) return WEIR_ENOTHELD;
    h->tag = tag;
    return 0;
}
