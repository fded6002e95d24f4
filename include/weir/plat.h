/* plat.h: the porter's whole contract. Clock, entropy, waiting, waking and the log reach Weir as arguments,
 * so that the same core runs on Linux, on bare metal and in virtual time.
 *
 * It is not an operating-system layer: Weir starts no threads and opens no files through it. */
#ifndef WEIR_PLAT_H
#define WEIR_PLAT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every member must be set, `wake` and `watch` may be NULL where nothing ever sleeps or has handles.
 * All but `wake` are called only by the thread that uses the instance; `wake` from any thread or interrupt.
 */
struct weir_plat {
    void *ctx; /* handed to each call */

    /* Microseconds since an arbitrary start; never goes back. Called a few times a poll. */
    uint64_t (*now_us)(void *ctx);

    /* Fills out[0..n) with unpredictable bytes. Called at start only, for keys. 0, or a negative weir_err:
     * then the start fails with it. */
    int (*entropy)(void *ctx, void *out, size_t n);

    /* Adds a device's wait handle to what `wait` sleeps on; on = 0 takes it away. 0 or a negative weir_err.
     */
    int (*watch)(void *ctx, int handle, int on);

    /* Sleeps until a watched handle is readable, `wake` was called since the last wait, or timeout_us passed
     * (< 0: no limit; 0: returns at once). May return early. A wake that came before the wait is not lost. */
    void (*wait)(void *ctx, int64_t timeout_us);

    /* Ends the current or the next wait. Any thread, any interrupt; never blocks. */
    void (*wake)(void *ctx);

    /* One line of text without a newline, for a human. May drop it. */
    void (*log)(void *ctx, const char *line);
};

/* Linux: monotonic clock, getrandom, epoll with an eventfd, stderr.
 * The caller owns the memory of `struct weir_linux`; open takes two file descriptors, close gives them back.
 */
struct weir_linux {
    struct weir_plat plat;
    int epoll_fd;
    int event_fd;
};

/* 0, or WEIR_EPERM / WEIR_EIO when the kernel gives no descriptor. Not thread-safe. */
int weir_linux_open(struct weir_linux *);
void weir_linux_close(struct weir_linux *);

/* Virtual time, seeded randomness; nothing here touches an operating system. `wait` moves the clock on to the
 * timeout (an unlimited wait, and the first one after a wake, leave it where it is). The caller owns the
 * memory and may set now_us at will, never backwards. */
struct weir_sim {
    struct weir_plat plat;
    uint64_t now_us;
    uint64_t rng;   /* state of the generator */
    unsigned wakes; /* how often wake was called */
    unsigned woken; /* 1: wake was called since the last wait */
};

void weir_sim_init(struct weir_sim *, uint64_t seed);

/* The next 64 bits of the generator of a simulation; the same seed gives the same sequence on every machine.
 */
uint64_t weir_sim_random(struct weir_sim *);

#ifdef __cplusplus
}
#endif
#endif
