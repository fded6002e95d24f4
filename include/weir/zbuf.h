/* zbuf.h: buffers from Weir's pool, by the address of their data.
 *
 * A zbuf is one segment of a pool that was cut before the instance started. The application allocates one,
 * fills it, and hands the address of its data to weir_write: no copy is made. It may free it at once; the
 * segment returns to its pool when the last byte written from it is acknowledged. An address anywhere inside
 * a zbuf stands for it.
 *
 * The application's references and the stack's are counted apart: a free beyond the application's own is
 * refused. Unless marked (*), calls belong to the thread that uses the instance. */
#ifndef WEIR_ZBUF_H
#define WEIR_ZBUF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir;

/* Who holds references to zbufs. The sum over the owners equals the counts in the head. */
#define WEIR_OWNER_MAP(X)                                                                                    \
    X(APP, "application", "allocated or borrowed by the application")                                        \
    X(SENDQ, "sendq", "bytes queued to be sent or not yet acknowledged")                                     \
    X(RECVQ, "recvq", "received in order, not yet read")                                                     \
    X(OOO, "ooo", "received out of order")                                                                   \
    X(TXWAIT, "txwait", "in the burst that waits for the device")                                            \
    X(TXDEV, "txdev", "held by an asynchronous device")                                                      \
    X(POSTED, "posted", "posted to a device for receiving")                                                  \
    X(REASM, "reassembly", "fragments of datagrams")                                                         \
    X(DATAGRAM, "datagram", "datagrams that wait for a neighbour")                                           \
    X(WARM, "warm", "the segment that copied writes are packed into")

enum weir_owner {
#define WEIR_OWNER_ENUM(name, text, what) WEIR_OWNER_##name,
    WEIR_OWNER_MAP(WEIR_OWNER_ENUM)
#undef WEIR_OWNER_ENUM
        WEIR_OWNERS
};

/* Short text of an owner, "?" beyond the table. Any context. */
const char *weir_owner_name(enum weir_owner);

/* A zbuf with at least len usable bytes: the best fitting class, and when that is used up the next larger one
 * that has a free segment. One reference, the application's. Returns the address of its first byte; NULL iff
 * len is 0 or larger than the largest class, or every class that fits is down to the floor that is kept for
 * the stack (weir_zalloc_wait then arms the memory event). Bytes are not cleared. Constant time in the number
 * of segments. */
void *weir_zalloc(struct weir *, size_t len);

/* Asks for one WEIR_EV_MEMORY event once weir_zalloc(len) can succeed again. 0, or WEIR_EINVAL: no class fits
 * len. */
int weir_zalloc_wait(struct weir *, size_t len);

/* Takes one of the application's references away. `data`: any address inside.
 * 0, or WEIR_EFOREIGN (not this instance's memory), WEIR_EFAULT (its memory, but inside no zbuf's bytes),
 * WEIR_ENOTHELD (the application holds no reference; nothing is changed). Constant time. */
int weir_zfree(struct weir *, const void *data);

/* (*) Does what weir_zfree does from any thread or interrupt; the owner carries it out in its next poll, and
 * is woken if it sleeps. 0, or WEIR_EFOREIGN, WEIR_EFAULT at once; a give beyond the application's references
 * is counted and ignored when the owner sees it. One atomic addition, and a push for the first giver of a
 * zbuf; never blocks. */
int weir_zgive(struct weir *, const void *data);

/* Adds one of the application's references. 0, or the errors of weir_zfree, or WEIR_EOVERFLOW at 65,535. */
int weir_zref(struct weir *, const void *data);

/* Bytes from `data` to the end of its zbuf; 0 iff it is not inside a zbuf that somebody holds. Constant time.
 */
size_t weir_zsize(const struct weir *, const void *data);

/* 1 while the stack holds references (bytes may still be sent from it or are queued), 0 when not, or the
 * errors of weir_zfree but WEIR_ENOTHELD. */
int weir_zbusy(const struct weir *, const void *data);

/* One live zbuf, as the census tells it. */
struct weir_zinfo {
    const void *first;     /* its first byte */
    uint32_t bytes;        /* usable */
    uint32_t app, stk;     /* references of the application and of the stack */
    uint32_t owners;       /* bit mask over enum weir_owner */
    uint32_t pinned_bytes; /* bytes of it that the stack's queues use; the rest is pinned with them */
    uint32_t age_ms;       /* since it was taken */
    uint16_t tag;          /* weir_ztag */
};

/* Live zbufs from *cursor on (0 at first), up to n of them; *cursor moves on. Returns how many, 0 at the end.
 * Costs a walk over every queue of the instance. */
int weir_census(const struct weir *, uint32_t *cursor, struct weir_zinfo *, int n);

/* Marks a zbuf with a number of the application's own, told by the census. 0 or the errors of weir_zfree. */
int weir_ztag(struct weir *, const void *data, uint16_t tag);

#ifdef __cplusplus
}
#endif
#endif
