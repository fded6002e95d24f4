#include "bringup.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_BYTES ((size_t)2 << 20)

/* ---- memory ---- */

static int prefault(uint8_t *base, size_t bytes)
{
#ifdef MADV_POPULATE_WRITE
    if (madvise(base, bytes, MADV_POPULATE_WRITE) == 0) return 0;
    if (errno != EINVAL) return -1;
#endif
    for (size_t at = 0; at < bytes; at += 4096)
        ((volatile uint8_t *)base)[at] = 0;
    return 0;
}

int weir_mapping_open(struct weir_mapping *m, uint64_t bytes, uint32_t align_bytes)
{
    size_t align = align_bytes > HUGE_BYTES ? align_bytes : HUGE_BYTES;
    memset(m, 0, sizeof(*m));
    if (bytes == 0 || bytes > SIZE_MAX - 2 * align) return -1;
    m->raw_bytes = (size_t)bytes + align;
    /* Not MAP_NORESERVE: what the machine can't have is to be refused here, not to end in the kernel's
     * killer. */
    m->raw = mmap(NULL, m->raw_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m->raw == MAP_FAILED) {
        m->raw = NULL;
        return -1;
    }
    uint8_t *base = (uint8_t *)(((uintptr_t)m->raw + align - 1) / align * align);
    madvise(base, (size_t)bytes, MADV_HUGEPAGE);
    madvise(base, (size_t)bytes, MADV_DONTFORK);
    if (prefault(base, (size_t)bytes) != 0) {
        weir_mapping_close(m);
        return -1;
    }
    m->area.base = base;
    m->area.bytes = (size_t)bytes;
    m->area.kind = WEIR_AREA_ANY;
    return 0;
}

void weir_mapping_close(struct weir_mapping *m)
{
    if (m->raw != NULL) munmap(m->raw, m->raw_bytes);
    m->raw = NULL;
}

/* ---- devices ---- */

/* The file is made at the first write, which comes when the device is there: where the start fails before, no
 * file is left, and none is emptied. */
static int sink(void *ctx, const void *bytes, size_t n)
{
    struct weir_bringup *b = ctx;
    if (b->trace_file == NULL) b->trace_file = fopen(b->trace_path, "we");
    if (b->trace_file != NULL && fwrite(bytes, 1, n, b->trace_file) == n) return 0;
    b->trace_error = errno;
    return WEIR_EIO;
}

static struct weir_netdev *stack_devices(struct weir_bringup *b, const struct weir_options *o)
{
    struct weir_netdev *dev = &b->tap.dev;
    if (b->trace_path != NULL) {
        weir_trace_init(&b->trace, dev, &b->lin.plat, sink, b);
        dev = &b->trace.dev;
    }
    if (o->has_fault) {
        weir_fault_init(&b->fault, dev, &o->fault);
        dev = &b->fault.dev;
    }
    return dev;
}

static int attach(struct weir_bringup *b, const struct weir_options *o)
{
    struct weir_netdev *dev = stack_devices(b, o);
    int e = weir_attach(b->w, dev, &o->addr);
    if (b->trace_error != 0) {
        snprintf(b->why, sizeof(b->why), "--trace %s: %s", b->trace_path, strerror(b->trace_error));
        return -1;
    }
    if (e == 0) return 0;
    const char *told = dev->error[0] != '\0' ? dev->error : b->tap.dev.error;
    if (told[0] != '\0')
        snprintf(b->why, sizeof(b->why), "%s", told);
    else
        snprintf(b->why, sizeof(b->why), "--dev tap:%s: %s", o->ifname, weir_strerror(e));
    return -1;
}

/* ---- the instance ---- */

static int start(struct weir_bringup *b)
{
    if (weir_mapping_open(&b->mapping, b->plan.total_bytes, b->plan.align_bytes) != 0) {
        snprintf(b->why, sizeof(b->why), "--mem: the system does not give %llu bytes: %s",
                 (unsigned long long)b->plan.total_bytes, strerror(errno));
        return -1;
    }
    int e = weir_start(&b->w, &b->conf, &b->mapping.area, 1);
    if (e == 0) return 0;
    b->w = NULL;
    snprintf(b->why, sizeof(b->why), "the instance does not start: %s", weir_strerror(e));
    return -1;
}

static int prepare(struct weir_bringup *b, const struct weir_options *o)
{
    if (weir_options_plan(o, &b->conf, &b->plan, b->why, sizeof(b->why)) != 0) return -1;
    if (weir_tap_init(&b->tap, o->ifname, o->host_cidr, 1) != 0) {
        snprintf(b->why, sizeof(b->why), "--dev tap:%s: the name or the address is refused", o->ifname);
        return -1;
    }
    int e = weir_linux_open(&b->lin);
    if (e != 0) {
        snprintf(b->why, sizeof(b->why), "the kernel gives no file descriptors: %s", weir_strerror(e));
        return -1;
    }
    b->plat_open = true;
    b->conf.plat = &b->lin.plat;
    b->trace_path = o->trace;
    return 0;
}

int weir_bringup_open(struct weir_bringup *b, const struct weir_options *o)
{
    memset(b, 0, sizeof(*b));
    if (prepare(b, o) == 0 && start(b) == 0 && attach(b, o) == 0) return 0;
    weir_bringup_close(b);
    return -1;
}

int weir_bringup_close(struct weir_bringup *b)
{
    int held = b->w != NULL ? weir_stop(b->w) : 0;
    b->w = NULL;
    weir_mapping_close(&b->mapping);
    if (b->trace_file != NULL) {
        if (fclose(b->trace_file) != 0 && b->trace_error == 0) b->trace_error = errno;
        if (b->trace_error != 0)
            fprintf(stderr, "weir: the trace is not whole: %s\n", strerror(b->trace_error));
    }
    b->trace_file = NULL;
    if (b->plat_open) weir_linux_close(&b->lin);
    b->plat_open = false;
    return held;
}
