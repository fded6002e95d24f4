/* preload_hazards.c: a program for preload_test.py: where a malloc could hang, or break what isn't its own:
 * handlers of fork that ask for memory, processes that begin in the midst of threads in each way there is, exit
 * within a request, errno under contention, a kernel that refuses to move pages, descriptors that are somebody
 * else's. `preload_hazards CASE`; 0 iff it held. A case that hangs is ended by SIGALRM. Random, by WEIR_SEED. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_S   100u
#define WORKERS  3u
#define STARTERS 4u
#define STARTS   30u
#define FREES    100000u
#define FREERS   8u
#define RING     64u

#define must(what)                                                                                           \
    do {                                                                                                     \
        if (!(what)) {                                                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                                       \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static uint64_t seed;

/* ---- threads that ask for memory until they are told to stop ---- */

static _Atomic(unsigned char *) ring[RING];
static atomic_bool stop;
static pthread_t worker[WORKERS];

static size_t some_size(uint64_t *s)
{
    return 16 + next(s) % (next(s) % 40 ? 900 : 500000);
}

/* Released by whoever comes by, or made longer. */
static void *work(void *arg)
{
    uint64_t s = seed + (uintptr_t)arg * 977;
    while (!atomic_load(&stop)) {
        unsigned char *p = malloc(some_size(&s));
        must(p != NULL);
        *p = (unsigned char)((uintptr_t)p >> 4);
        p = atomic_exchange(&ring[next(&s) % RING], p);
        if (p) must(*p == (unsigned char)((uintptr_t)p >> 4));
        if (p && next(&s) % 4 == 0) p = realloc(p, some_size(&s));
        if (p) must(malloc_usable_size(p) >= 16);
        free(p);
    }
    return NULL;
}

static void begin_work(void)
{
    for (uintptr_t i = 0; i < WORKERS; i++)
        must(pthread_create(&worker[i], NULL, work, (void *)i) == 0);
}

static void end_work(void)
{
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WORKERS; i++)
        must(pthread_join(worker[i], NULL) == 0);
    for (unsigned i = 0; i < RING; i++)
        free(ring[i]);
}

/* ---- handlers of fork that were there before the library's ---- */

static bool ask_in_handlers;
static void *kept[3];

static void ask(void)
{
    static const size_t size[3] = {100, 30000, 400000};
    for (unsigned i = 0; i < 3 && ask_in_handlers; i++) {
        free(kept[i]);
        must((kept[i] = malloc(size[i])) != NULL);
        memset(kept[i], 1, size[i]);
    }
}

/* Before the constructor of any library. */
static void register_handlers(void)
{
    (void)pthread_atfork(ask, ask, ask);
}
__attribute__((section(".preinit_array"), used)) static void (*const first_of_all)(void) = register_handlers;

static void must_end_well(pid_t pid)
{
    int status = 1;
    must(pid > 0);
    while (waitpid(pid, &status, 0) != pid)
        must(errno == EINTR);
    must(status == 0);
}

static void handlers(void)
{
    ask_in_handlers = true;
    begin_work();
    for (unsigned i = 0; i < STARTS; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            free(malloc(1000));
            _exit(0);
        }
        must_end_well(pid);
    }
    end_work();
}

/* ---- processes in the midst of threads ---- */

extern char **environ;
static char *const nothing[] = {(char *)"true", NULL};

static void by_vfork(void)
{
    pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): whether it works is asked */
    if (pid == 0) {
        execv("/bin/true", nothing);
        _exit(127);
    }
    must_end_well(pid);
}

static void by_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        free(malloc(300000));
        execv("/bin/true", nothing);
        _exit(127);
    }
    must_end_well(pid);
}

static void by_spawn(void)
{
    pid_t pid = -1;
    must(posix_spawn(&pid, "/bin/true", NULL, NULL, nothing, environ) == 0);
    must_end_well(pid);
}

static void by_dlopen(void)
{
    void *lib = dlopen("libutil.so.1", RTLD_NOW);
    if (!lib) lib = dlopen("libm.so.6", RTLD_NOW);
    must(lib != NULL && dlclose(lib) == 0);
}

static void *start_some(void *arg)
{
    static void (*const way[STARTERS])(void) = {by_vfork, by_fork, by_spawn, by_dlopen};
    for (unsigned i = 0; i < STARTS; i++)
        way[(uintptr_t)arg]();
    return NULL;
}

static void starts(void)
{
    pthread_t starter[STARTERS];
    begin_work();
    for (uintptr_t i = 0; i < STARTERS; i++)
        must(pthread_create(&starter[i], NULL, start_some, (void *)i) == 0);
    for (unsigned i = 0; i < STARTERS; i++)
        must(pthread_join(starter[i], NULL) == 0);
    end_work();
}

/* ---- threads that come and go ---- */

static void *live_briefly(void *arg)
{
    uint64_t s = seed + (uintptr_t)arg;
    void *p[20];
    for (unsigned i = 0; i < 20; i++)
        must((p[i] = malloc(some_size(&s))) != NULL);
    free(atomic_exchange(&ring[next(&s) % RING], p[0]));
    for (unsigned i = 1; i < 20; i++)
        free(p[i]);
    return NULL;
}

static void comings(void)
{
    for (uintptr_t i = 0; i < 100; i++) {
        pthread_t some[8];
        for (uintptr_t k = 0; k < 8; k++)
            must(pthread_create(&some[k], NULL, live_briefly, (void *)(i * 8 + k)) == 0);
        free(malloc(1000));
        for (unsigned k = 0; k < 8; k++)
            must(pthread_join(some[k], NULL) == 0);
    }
    for (unsigned i = 0; i < RING; i++)
        free(ring[i]);
}

/* ---- errno ---- */

static void *free_much(void *arg)
{
    uint64_t s = seed + (uintptr_t)arg;
    for (unsigned i = 0; i < FREES; i++) {
        void *p = malloc(next(&s) % 600);
        errno = 77;
        free(p);
        must(errno == 77);
    }
    return NULL;
}

static void keeps_errno(void)
{
    pthread_t freer[FREERS];
    for (uintptr_t i = 0; i < FREERS; i++)
        must(pthread_create(&freer[i], NULL, free_much, (void *)i) == 0);
    for (unsigned i = 0; i < FREERS; i++)
        must(pthread_join(freer[i], NULL) == 0);
}

/* ---- the end of the program within a request ---- */

static void leave_now(int sig)
{
    (void)sig;
    exit(0); /* NOLINT(bugprone-signal-handler): programs do it, and it must not hang */
}

static void *idle(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void leaves(void)
{
    struct itimerval soon = {.it_value = {.tv_usec = 2000}};
    sigset_t set;
    must(sigemptyset(&set) == 0 && sigaddset(&set, SIGVTALRM) == 0);
    must(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    must(pthread_create(&worker[0], NULL, idle, NULL) == 0);
    must(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
    must(signal(SIGVTALRM, leave_now) != SIG_ERR && setitimer(ITIMER_VIRTUAL, &soon, NULL) == 0);
    for (uint64_t s = seed;;)
        free(malloc(next(&s) % 600));
}

/* ---- a kernel that moves no range of several mappings ---- */

static bool old_kernel;
static unsigned refused;

/* 1, or more where a border lies within. */
static unsigned mappings(uintptr_t from, uintptr_t to)
{
    static char text[1 << 18];
    size_t have = 0;
    unsigned n = 0;
    int fd = open("/proc/self/maps", O_RDONLY);
    must(fd >= 0);
    for (ssize_t got; have < sizeof text - 1 && (got = read(fd, text + have, sizeof text - 1 - have)) > 0;)
        have += (size_t)got;
    close(fd);
    text[have] = 0;
    for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char *end;
        uintptr_t begins = strtoull(line, &end, 16), ends = strtoull(end + 1, NULL, 16);
        n += begins < to && from < ends;
    }
    return n;
}

/* What the library calls. Before 6.17 a fixed place is unmapped first, and then what is to move is looked at. */
void *mremap(void *from, size_t old, size_t size, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    void *to = (flags & (MREMAP_FIXED | 4)) != 0 ? va_arg(more, void *) : NULL; /* 4: MREMAP_DONTUNMAP */
    va_end(more);
    if (old_kernel && mappings((uintptr_t)from, (uintptr_t)from + old) > 1) {
        refused++;
        if ((flags & MREMAP_FIXED) != 0) must(munmap(to, size) == 0);
        errno = EFAULT;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mremap, from, old, size, flags, to);
}

static unsigned char *grown(unsigned char *p, size_t old, size_t size)
{
    for (size_t i = 0; i < old; i += 509)
        p[i] = (unsigned char)(i / 509);
    p = realloc(p, size);
    must(p != NULL);
    for (size_t i = 0; i < old; i += 509)
        must(p[i] == (unsigned char)(i / 509));
    memset(p, 3, size);
    return p;
}

/* Moved, grown in place, so that it lies in two mappings, and moved again. */
static void moves(void)
{
    old_kernel = true;
    void *in_the_way[8]; /* some fill holes before it */
    unsigned char *p = malloc(300000);
    must(p != NULL && (in_the_way[0] = malloc(300000)) != NULL);
    p = grown(p, 300000, 600000);
    p = grown(p, 600000, 1200000);
    for (unsigned i = 1; i < 8; i++)
        must((in_the_way[i] = malloc(300000)) != NULL);
    p = grown(p, 1200000, 3000000);
    printf("moves: %u refused\n", refused);
    must(refused > 0);
    free(p);
    for (unsigned i = 0; i < 8; i++)
        free(in_the_way[i]);
}

/* ---- descriptors ---- */

/* Started with stderr closed: the program's next file gets its number. */
static void no_stderr(void)
{
    char name[] = "/tmp/weir_hazardXXXXXX", byte;
    int fd = mkstemp(name);
    if (fd != STDERR_FILENO || unlink(name) != 0) _exit(3);
    free(malloc(100));
    if (lseek(fd, 0, SEEK_END) != 0 || read(fd, &byte, 1) != 0) _exit(4);
    pid_t pid = fork();
    if (pid == 0) exit(0); /* its counts would be in the file */
    must_end_well(pid);
    if (lseek(fd, 0, SEEK_END) != 0) _exit(5);
}

/* Closes all descriptors, as a daemon does, and opens files until theirs have been used anew. */
static void all_closed(void)
{
    char name[] = "/tmp/weir_hazardXXXXXX";
    int told = dup(STDERR_FILENO);
    (void)told;
    for (int fd = STDERR_FILENO; fd < 1024; fd++)
        close(fd);
    int file = mkstemp(name);
    if (file < 0 || unlink(name) != 0) _exit(3);
    while (file < 1000 && dup(file) >= 0)
        file++;
    pid_t pid = fork();
    if (pid == 0) exit(0);
    must_end_well(pid);
    if (lseek(STDERR_FILENO, 0, SEEK_END) != 0) _exit(4);
}

/* ---- memory that runs out ---- */

/* Near the bound, threads take what others give back, and each request ends. */
static void *want_more(void *arg)
{
    uint64_t s = seed + (uintptr_t)arg;
    void *p[400] = {NULL};
    unsigned none = 0;
    for (unsigned i = 0; i < 4000; i++) {
        void **x = &p[next(&s) % 400];
        free(*x);
        *x = malloc(next(&s) % (next(&s) % 3 ? 120000 : 300));
        none += *x == NULL;
    }
    for (unsigned i = 0; i < 400; i++)
        free(p[i]);
    return none > 0 ? arg : NULL;
}

static void runs_out(void)
{
    for (uintptr_t i = 0; i < WORKERS; i++)
        must(pthread_create(&worker[i], NULL, want_more, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < WORKERS; i++)
        must(pthread_join(worker[i], NULL) == 0);
    must(malloc((size_t)1 << 40) == NULL && errno == ENOMEM);
}

/* ---- memory that must stay resident ---- */

/* With 1 GiB for the library: what was never asked for stays away. */
static void locked(void)
{
    char text[4096] = "";
    free(malloc(100));
    if (mlockall(MCL_CURRENT) != 0) {
        printf("locked: skipped, mlockall is not allowed here\n");
        return;
    }
    int fd = open("/proc/self/statm", O_RDONLY);
    must(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    unsigned long long resident =
        strtoull(strchr(text, ' '), NULL, 10) * (unsigned long long)sysconf(_SC_PAGESIZE);
    printf("locked: %llu bytes\n", resident);
    must(resident < 300u << 20);
    char *large = malloc(50 << 20);
    must(large != NULL);
    memset(large, 1, 50 << 20);
    free(large);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"handlers", handlers},   {"starts", starts},         {"comings", comings},
                 {"errno", keeps_errno},   {"leaves", leaves},         {"moves", moves},
                 {"no_stderr", no_stderr}, {"all_closed", all_closed}, {"runs_out", runs_out},
                 {"locked", locked}};
    const char *text = getenv("WEIR_SEED");
    seed = text ? strtoull(text, NULL, 0) : 1;
    (void)alarm(HANG_S);
    for (unsigned i = 0; argc == 2 && i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(argv[1], cases[i].name) != 0) continue;
        printf("preload_hazards: WEIR_SEED=%llu\n", (unsigned long long)seed);
        cases[i].run();
        return 0;
    }
    fprintf(stderr, "usage: preload_hazards CASE\n");
    return 2;
}
