/* malloc_trace.c: preloaded into a program, counts what it asks of malloc while another process says so.
 *
 * Theory of operation. The file named by WEIR_MALLOC_TRACE is shared with the one who watches. It sets
 * `armed`, and from then on each call is counted and the first CALLS of them kept with who called. If it sets
 * `canary`, the next writev of the program, which is in the midst of its work, asks for memory in every way
 * there is; that must be seen, here and by a tracer of system calls. The program runs on one thread, so plain
 * counters do.
 *
 * The allocator itself is glibc's, by the names that it keeps for such as us: dlsym would allocate. */
#include <execinfo.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC      0x77656972u
#define CALLS      32
#define CALLERS    8
#define PAGE_BYTES 4096

enum kind { KIND_MALLOC, KIND_CALLOC, KIND_REALLOC, KIND_ALIGNED, KIND_FREE, KINDS };

struct call {
    uint64_t kind, bytes;
    uint64_t caller[CALLERS];
};

struct watch { /* read by no_memory_test.py: the order is a format */
    uint32_t magic, armed, canary, reserved;
    uint64_t before[KINDS]; /* calls while not armed */
    uint64_t during[KINDS];
    struct call call[CALLS];
};

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static struct watch nobody;
static struct watch *volatile watch = &nobody;
static void *volatile taken; /* so that the compiler keeps the canary's calls */
static int within;

static void count(enum kind kind, size_t bytes)
{
    struct watch *w = watch;
    if (!__atomic_load_n(&w->armed, __ATOMIC_ACQUIRE)) {
        w->before[kind]++;
        return;
    }
    uint64_t n = 0;
    for (int i = 0; i < KINDS; i++)
        n += w->during[i];
    w->during[kind]++;
    if (n >= CALLS || within) return;
    within = 1;
    void *callers[CALLERS] = {NULL};
    (void)backtrace(callers, CALLERS);
    w->call[n].kind = kind;
    w->call[n].bytes = bytes;
    for (int i = 0; i < CALLERS; i++)
        w->call[n].caller[i] = (uintptr_t)callers[i];
    within = 0;
}

__attribute__((constructor)) static void open_watch(void)
{
    const char *path = getenv("WEIR_MALLOC_TRACE");
    void *callers[1];
    (void)backtrace(callers, 1); /* loads what it needs, now */
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof(struct watch), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) return;
    watch = at;
    watch->magic = MAGIC;
}

void *malloc(size_t bytes)
{
    count(KIND_MALLOC, bytes);
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    count(KIND_CALLOC, bytes);
    return __libc_calloc(n, bytes);
}

void *realloc(void *p, size_t bytes)
{
    count(KIND_REALLOC, bytes);
    return __libc_realloc(p, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
    count(KIND_ALIGNED, bytes);
    return __libc_memalign(align, bytes);
}

int posix_memalign(void **p, size_t align, size_t bytes)
{
    count(KIND_ALIGNED, bytes);
    *p = __libc_memalign(align, bytes);
    return *p ? 0 : 12; /* ENOMEM */
}

void free(void *p)
{
    if (p) count(KIND_FREE, 0);
    __libc_free(p);
}

/* Memory by each call that there is, given back at once but for one page, which must show in the size. */
static void sing(void)
{
    taken = malloc(1);
    free(taken);
    void *at = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at != MAP_FAILED) {
        void *moved = mremap(at, PAGE_BYTES, 2 * PAGE_BYTES, MREMAP_MAYMOVE);
        if (moved != MAP_FAILED)
            munmap(moved, 2 * PAGE_BYTES);
        else
            munmap(at, PAGE_BYTES);
    }
    (void)mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    taken = sbrk(PAGE_BYTES);
    taken = sbrk(-PAGE_BYTES);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    if (__atomic_exchange_n(&watch->canary, 0, __ATOMIC_ACQ_REL)) sing();
    return syscall(SYS_writev, fd, iov, n);
}
