/* bench_mem_peers.c: allocators that are not Weir's: the process's malloc, and one from a shared object.
 *
 * Which malloc that is was decided when the process started: the parent sets LD_PRELOAD for each peer, so a peer
 * serves the whole process as in a program that is linked with it. A library that is loaded with dlopen would lack
 * its static thread-local storage or get it a slower way. */
#include <dlfcn.h>
#include <stdlib.h>

#include "bench_mem.h"

#define SIZE_MAX_SERVED (1u << 30)

/* ---- malloc ---- */

static void *(*volatile obtain)(size_t size) = malloc;
static void (*volatile dispose)(void *block) = free;

static void dispose_hollow(void *block)
{
    (void)block;
#ifdef __x86_64__
    __asm__ volatile("xor %%eax, %%eax" ::: "eax"); /* with the return MEM_HOLLOW instructions */
#endif
}

static bool process_open(const struct mem_scheme *s, void *base, size_t bytes, size_t cell)
{
    (void)s, (void)base, (void)bytes, (void)cell;
    obtain = malloc;
    dispose = free;
    return true;
}

static void *process_get(size_t size)
{
    return obtain(size);
}

static void process_put(void *block, size_t size)
{
    (void)size;
    dispose(block);
}

static void process_hollow(void)
{
    obtain = mem_hollow_get;
    dispose = dispose_hollow;
}

const struct mem_scheme mem_process = {.name = "malloc",
                                       .what = "the process's malloc",
                                       .process = true,
                                       .least = 1,
                                       .most = SIZE_MAX_SERVED,
                                       .open = process_open,
                                       .get = process_get,
                                       .put = process_put,
                                       .hollow = process_hollow};

/* ---- beside ---- */

static struct {
    void *object;
    int (*open)(void *base, size_t bytes); /* 0: it can't */
    void *(*get)(size_t size);
    void (*put)(void *block);
} beside;

/* dlsym gives an object pointer; POSIX says that it holds a function's. */
static bool find(const char *name, void *function)
{
    void *found = dlsym(beside.object, name);
    *(void **)function = found;
    return found != NULL;
}

static void beside_reset(void)
{
    if (!find("mem_beside_open", &beside.open) || !find("mem_beside_get", &beside.get) ||
        !find("mem_beside_put", &beside.put))
        bench_die("the object has not all of mem_beside_open, mem_beside_get and mem_beside_put");
    obtain = beside.get;
    dispose = beside.put;
}

static bool beside_open(const struct mem_scheme *s, void *base, size_t bytes, size_t cell)
{
    (void)s, (void)cell;
    beside_reset();
    return beside.open(base, bytes) != 0;
}

static const struct mem_scheme beside_scheme = {.name = "beside",
                                                .what = "from a shared object",
                                                .least = 1,
                                                .most = SIZE_MAX_SERVED,
                                                .open = beside_open,
                                                .get = process_get,
                                                .put = process_put,
                                                .hollow = process_hollow};

const struct mem_scheme *mem_beside(const char *path)
{
    if (beside.object == NULL) beside.object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (beside.object == NULL) bench_die("%s can't be loaded: %s", path, dlerror());
    beside_reset();
    return &beside_scheme;
}
