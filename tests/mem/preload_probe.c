/* preload_probe.c: a program for preload_test.py: asks its malloc, whichever it is, for what the standard
 * promises, and for what programs rely on besides. `preload_probe CASE`; 0 iff it held. Random, by WEIR_SEED. */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS   600u
#define THREADS 4u
#define FORKS   24u
#define RING    64u
#define ALIGN   (2 * sizeof(void *))

#define must(what)                                                                                           \
    do {                                                                                                     \
        if (!(what)) {                                                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                                       \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

/* What the compiler can't follow, it can't leave out or warn of. */
static void *volatile opaque;
static void *hide(void *p)
{
    opaque = p;
    return opaque;
}

static size_t far_too_much(void)
{
    static volatile size_t size = SIZE_MAX;
    return size;
}

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static uint64_t seed(void)
{
    const char *text = getenv("WEIR_SEED");
    uint64_t s = text ? strtoull(text, NULL, 0) : 1;
    printf("preload_probe: WEIR_SEED=%llu\n", (unsigned long long)s);
    return s;
}

/* ---- single calls ---- */

struct slot {
    unsigned char *p;
    size_t size;
    unsigned char tag;
};

static size_t some_size(uint64_t *s)
{
    switch (next(s) % 16) {
    case 0:
        return 200000 + next(s) % 200000; /* round the border of large ones */
    case 1:
        return next(s) % 3000000;
    case 2:
    case 3:
        return next(s) % 40000;
    default:
        return next(s) % 700;
    }
}

static void check(const struct slot *x)
{
    for (size_t i = 0; i<x->size; i += x->size> 5000 ? 499 : 1)
        must(x->p[i] == (unsigned char)(x->tag + i));
    if (x->size > 0) must(x->p[x->size - 1] == (unsigned char)(x->tag + x->size - 1));
}

static void fill(struct slot *x, uint64_t *s)
{
    x->tag = (unsigned char)next(s);
    for (size_t i = 0; i < x->size; i++)
        x->p[i] = (unsigned char)(x->tag + i);
}

static void get(struct slot *x, uint64_t *s)
{
    size_t align = ALIGN;
    x->size = some_size(s);
    switch (next(s) % 6) {
    case 0:
        x->p = calloc(1 + x->size / 8, 8);
        for (size_t i = 0; i < x->size; i++)
            must(x->p[i] == 0);
        break;
    case 1:
        align = ALIGN << next(s) % 14;
        must(posix_memalign((void **)&x->p, align, x->size) == 0);
        break;
    case 2:
        align = ALIGN << next(s) % 9;
        x->p = aligned_alloc(align, (x->size + align) / align * align);
        break;
    case 3:
        align = 4096;
        x->p = next(s) % 2 ? valloc(x->size) : pvalloc(x->size);
        break;
    default:
        x->p = malloc(x->size);
    }
    must(x->p != NULL && (uintptr_t)x->p % align == 0);
    must(malloc_usable_size(x->p) >= x->size);
    fill(x, s);
}

static void resize(struct slot *x, uint64_t *s)
{
    size_t size = 1 + (next(s) % 3 ? some_size(s) : x->size * 2);
    struct slot old = *x;
    x->p = next(s) % 2 ? realloc(x->p, size) : reallocarray(x->p, size, 1);
    must(x->p != NULL && (uintptr_t)x->p % ALIGN == 0);
    x->size = old.size < size ? old.size : size;
    check(x);
    x->size = size;
    fill(x, s);
}

static void calls(void)
{
    static struct slot slot[SLOTS];
    uint64_t s = seed();
    for (unsigned i = 0; i < 60000; i++) {
        struct slot *x = &slot[next(&s) % SLOTS];
        if (!x->p) {
            get(x, &s);
            continue;
        }
        check(x);
        if (next(&s) % 3 == 0) {
            resize(x, &s);
            continue;
        }
        free(x->p);
        x->p = NULL;
        if (i % 5000 == 0) (void)malloc_trim(0);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (slot[i].p) check(&slot[i]);
        free(slot[i].p);
    }
}

static void edges(void)
{
    void *p = hide(malloc(0)), *q = hide(malloc(0));
    must(p && q && p != q);
    free(p);
    free(q);
    free(NULL);
    errno = 0;
    must(hide(malloc(far_too_much() - 100)) == NULL && errno == ENOMEM);
    errno = 0;
    must(hide(calloc(far_too_much() / 2, 3)) == NULL && errno == ENOMEM);
    must(hide(reallocarray(NULL, far_too_much() / 2, 3)) == NULL);
    p = hide(realloc(NULL, 100));
    must(p != NULL);
    memset(p, 7, 100);
    must(hide(realloc(p, far_too_much() / 2 + 1)) == NULL);
    must(((char *)p)[99] == 7);
    must(realloc(p, 0) == NULL);
    must(posix_memalign(&p, 3, 8) == EINVAL && posix_memalign(&p, sizeof(void *) / 2, 8) == EINVAL);
    must(hide(memalign(far_too_much() / (SIZE_MAX / 100), 50)) != NULL);
    must(malloc_usable_size(NULL) == 0);
    void *untouched = &p;
    must(posix_memalign(&untouched, 24, 8) == EINVAL && posix_memalign(&untouched, 0, 8) == EINVAL);
    must(posix_memalign(&untouched, 64, far_too_much() - 100) == ENOMEM && untouched == &p);
    errno = 0;
    must(hide(aligned_alloc(far_too_much() / (SIZE_MAX / 3), 9)) == NULL && errno == EINVAL);
    for (size_t align = sizeof(void *); align <= 1u << 20; align *= 2) {
        must(posix_memalign(&p, align, 0) == 0 && p != NULL && (uintptr_t)p % align == 0);
        must(posix_memalign(&q, align, 0) == 0 && q != NULL && q != p);
        free(p);
        free(q);
    }
    p = hide(reallocarray(malloc(10), 5, 0));
    must(p == NULL);
    errno = 77;
    free(hide(malloc(2000000)));
    free(hide(malloc(20)));
    must(errno == 77);
}

/* One block from 300 KB to 80 MB, with neighbours that are in its way half of the time. */
static void growing(void)
{
    uint64_t s = seed();
    struct slot x = {malloc(300000), 300000, 0};
    void *in_the_way[64];
    unsigned n = 0;
    must(x.p != NULL);
    fill(&x, &s);
    while (x.size < 80u << 20) {
        size_t old = x.size;
        if (next(&s) % 2 && n < 64) in_the_way[n++] = malloc(270000);
        x.p = realloc(x.p, old + old / 7);
        must(x.p != NULL);
        check(&x);
        x.size = old + old / 7;
        fill(&x, &s);
    }
    x.p = realloc(x.p, 400000);
    x.size = 400000;
    check(&x);
    x.p = realloc(x.p, 4000);
    x.size = 4000;
    check(&x);
    free(x.p);
    while (n > 0)
        free(in_the_way[--n]);
}

/* ---- threads, and processes that begin in their middle ---- */

static _Atomic(unsigned char *) ring[RING];
static atomic_bool stop;

static void *hand_over(void *arg)
{
    uint64_t s = (uintptr_t)arg * 977 + 1;
    while (!atomic_load(&stop)) {
        size_t size = 16 + next(&s) % (next(&s) % 50 ? 1000 : 400000);
        unsigned char *p = malloc(size);
        must(p != NULL);
        p[0] = p[size - 1] = (unsigned char)size;
        memcpy(p + 1, &size, sizeof size);
        p = atomic_exchange(&ring[next(&s) % RING], p);
        if (!p) continue;
        memcpy(&size, p + 1, sizeof size);
        must(p[0] == (unsigned char)size && p[size - 1] == (unsigned char)size);
        free(p);
    }
    return NULL;
}

static void in_the_child(unsigned n)
{
    uint64_t s = n;
    void *p[50] = {NULL};
    for (unsigned i = 0; i < 2000; i++) {
        void **x = &p[next(&s) % 50];
        free(*x);
        must((*x = malloc(1 + next(&s) % 300000)) != NULL);
    }
    _exit(0);
}

static void threads(void)
{
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        must(pthread_create(&thread[i], NULL, hand_over, (void *)i) == 0);
    for (unsigned i = 0; i < FORKS; i++) {
        int status = 1;
        pid_t pid = fork();
        must(pid >= 0);
        if (pid == 0) in_the_child(i);
        must(waitpid(pid, &status, 0) == pid && status == 0);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        must(pthread_join(thread[i], NULL) == 0);
    for (unsigned i = 0; i < RING; i++)
        free(ring[i]);
}

/* ---- what is wrong ---- */

static void wrong(void)
{
    static char here[64];
    char *p = hide(malloc(100)), *q = hide(malloc(1000000));
    free(hide(here + 16)); /* NOLINT(clang-analyzer-unix.Malloc): what the library says to that is asked */
    free(hide(&p));
    free(hide((char *)p + 16));
    free(hide((char *)q + 65536));
    memset(p, 1, 100);
    free(p);
    free(q);
    free(hide(q));
    must(hide(realloc(here, 10)) == NULL);
    must(malloc_usable_size(hide(here)) == 0);
    p = malloc(100);
    must(p != NULL);
    free(p);
    free(hide(p));
    p = malloc(5000);
    must(p != NULL);
    free(p);
    free(hide(p));
}

static void *fill_up(size_t size, unsigned *n)
{
    void *chain = NULL;
    for (*n = 0;; ++*n) {
        errno = 0;
        void **p = malloc(size);
        if (!p) break;
        *p = chain;
        chain = p;
    }
    must(errno == ENOMEM);
    return chain;
}

static void let_go(void *chain)
{
    while (chain) {
        void *next_one = *(void **)chain;
        free(chain);
        chain = next_one;
    }
}

/* All memory, three times over, by blocks of one size and then another: none is lost. */
static void bound(void)
{
    const size_t size[] = {64, 3000, 100000, 500000};
    for (unsigned i = 0; i < 4; i++) {
        unsigned first = 0, again = 0;
        for (unsigned round = 0; round < 3; round++) {
            let_go(fill_up(size[i], round == 0 ? &first : &again));
            must(round == 0 || again == first);
        }
        printf("bound: %u blocks of %zu bytes\n", first, size[i]);
        must(first * size[i] > 0);
    }
}

static void load(void)
{
    void *lib = dlopen("libm.so.6", RTLD_NOW);
    must(lib != NULL);
    double (*root)(double) = NULL;
    *(void **)&root = dlsym(lib, "sqrt");
    must(root != NULL && root(16) > 3.99 && root(16) < 4.01);
    must(dlclose(lib) == 0);
    must(dlopen("libnothing-of-this-name.so", RTLD_NOW) == NULL && dlerror() != NULL);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"calls", calls}, {"edges", edges}, {"growing", growing}, {"threads", threads},
                 {"wrong", wrong}, {"bound", bound}, {"load", load}};
    for (unsigned i = 0; argc == 2 && i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(argv[1], cases[i].name) != 0) continue;
        cases[i].run();
        return 0;
    }
    fprintf(stderr, "usage: preload_probe calls|edges|growing|threads|wrong|bound|load\n");
    return 2;
}
