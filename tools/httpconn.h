/* httpconn.h: the connections of a file server over one instance. Bounded: a fixed table of connections, a
 * fixed cache, nothing allocated after open. */
#ifndef WEIR_TOOLS_HTTPCONN_H
#define WEIR_TOOLS_HTTPCONN_H

#include "filecache.h"
#include "http.h"

#include <stdbool.h>
#include <stdint.h>
#include <weir/weir.h>

#define WEIR_HTTPCONN_IN 2048u /* bytes received at a time */
#define WEIR_HTTPCONN_RUN                                                                                    \
    ((uint64_t)1 << 20) /* bytes of a file that a connection holds ahead of the stack, at most */

#define WEIR_HTTPCONN_TURN                                                                                   \
    16u /* requests that a connection is answered before the others have their turn and the stack its own */

#define WEIR_HTTPCONN_IDLE_US      60000000u /* between requests: closed */
#define WEIR_HTTPCONN_REQUEST_US   30000000u /* from a request's first byte to its last: 408 */
#define WEIR_HTTPCONN_STALL_US     60000000u /* of a reply, without a byte written or acknowledged: reset */
#define WEIR_HTTPCONN_LINGER_US    2000000u /* from the last acknowledgement to the peer's end of the stream */
#define WEIR_HTTPCONN_LINGER_BYTES 262144u  /* dropped between our end and the peer's */
#define WEIR_HTTPCONN_LOOK_US      1000000u /* how often it is looked whether a reply moves */

enum weir_httpconn_state {
    WEIR_HTTPCONN_FREE,
    WEIR_HTTPCONN_READ,  /* a request */
    WEIR_HTTPCONN_HEAD,  /* of the reply, copied: it lies in ordinary memory */
    WEIR_HTTPCONN_BODY,  /* of the reply, by reference */
    WEIR_HTTPCONN_LINGER /* we have ended, the peer has not */
};

/* The queue that a connection stands in. */
enum weir_httpconn_queue {
    WEIR_HTTPCONN_NOWHERE,
    WEIR_HTTPCONN_STARVED, /* waits for zbufs */
    WEIR_HTTPCONN_YIELDED, /* has had its turn, and more requests */
    WEIR_HTTPCONN_QUEUES
};

struct weir_httpconn {
    weir_id id;
    enum weir_httpconn_state state;
    enum weir_httpconn_queue queue;
    uint32_t next, prev;  /* of the free list; of its queue */
    uint64_t deadline_us; /* a request is overdue, or a reply is to be looked at */
    uint64_t moved_us;    /* of a reply: the last byte written or seen to be acknowledged */
    uint64_t pos, end;    /* of the file: the next byte to write, and where to stop */
    struct weir_file file;
    uint32_t n_ahead, first_ahead; /* pieces held, of which the first `first_ahead` are used up */
    uint32_t in_off, in_len, out_off, out_len;
    uint32_t lingered;
    uint32_t sndbuf; /* as last set, 0: the configuration's */
    uint32_t queued; /* of a reply: bytes not acknowledged at the last look */
    struct weir_chunk *ahead[WEIR_FILECACHE_RUN];
    struct weir_http_reader reader;
    char in[WEIR_HTTPCONN_IN];
    char out[WEIR_HTTP_REPLY_MAX];
};

struct weir_site {
    struct weir *w;
    weir_id listener;
    int root;
    struct weir_filecache cache;
    struct weir_httpconn *conn;
    uint32_t conns, top; /* places; those below top have been used */
    uint32_t live;
    uint32_t free_head;
    struct {
        uint32_t head, tail; /* UINT32_MAX: empty */
    } queue[WEIR_HTTPCONN_QUEUES];
    int ahead;             /* pieces a connection holds at most */
    uint64_t share_bytes;  /* of all zbufs for files: what the connections' queues may hold together */
    uint32_t sndbuf_bytes; /* of a connection that has all of it for itself */
    uint64_t now_us;       /* of the instance's clock, set before each call */
    int64_t wall_ns;       /* of the system's */
    uint64_t requests, file_bytes_ref, file_bytes_copied;
    uint64_t calls; /* system calls for files, without the cache's */
};

/* Takes the tables for conf's connections and buffers. root: a folder's descriptor, which stays the caller's.
 * 0, or -1: no memory. */
int weir_site_open(struct weir_site *, struct weir *, const struct weir_config *, int root);

/* Resets every connection and gives every zbuf back. */
void weir_site_close(struct weir_site *);

/* Deals with one event of weir_poll, of any kind. */
void weir_site_event(struct weir_site *, const struct weir_event *);

/* Gives another turn to each connection that had its turn and has more requests. To be called before the
 * events of a poll are dealt with. */
void weir_site_resume(struct weir_site *);

/* Lets the connections that wait for zbufs try again, the first come first. To be called after them. */
void weir_site_retry(struct weir_site *);

/* Whether the next poll may not sleep: somebody is to be resumed. */
bool weir_site_busy(const struct weir_site *);

/* Whether somebody waits for zbufs. */
bool weir_site_starved(const struct weir_site *);

/* Ends what is overdue. To be called about once a second. */
void weir_site_sweep(struct weir_site *);

#endif
