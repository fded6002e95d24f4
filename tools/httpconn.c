/* httpconn.c
 *
 * Theory of operation. A connection goes round
 *
 *   READ --request--> HEAD --written--> BODY --written--> READ            (keep-alive)
 *                       `-- no body ------------------------^  `--> LINGER --> gone
 *
 * as far as it gets without waiting, whenever an event names it. It reads no request while a reply is under
 * way, so that pipelined requests wait in TCP's window. Each round ends in one of these: WAIT, when the stack
 * has said EAGAIN or ENOMEM and will tell; STARVED, when the file cache has no zbuf; YIELD, when it has been
 * answered WEIR_HTTPCONN_TURN requests; GONE.
 *
 * The body's bytes are never touched: the cache reads them into zbufs, and weir_writev gets their addresses.
 * What the stack takes it holds itself; a connection keeps only the pieces that it has yet to offer (`ahead`,
 * at most WEIR_HTTPCONN_RUN bytes), and gives each back as soon as it's taken. A connection that holds pieces
 * asks for no more, so those that wait for zbufs hold none, and they come free as the others write: no circle
 * of waiting.
 *
 * The starved stand in one queue and are served first come, first served. They try when the memory event
 * comes and whenever the loop has gone round. No deadline ends them: they wait for us, not for their peer.
 * Those that yielded stand in another, and each has its next turn in the next round. */
#include "httpconn.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

enum outcome { GO, WAIT, STARVED, YIELD, GONE };

/* ---- tables ---- */

/* The class that files are read into: the largest of up to 64 KB. What is larger is left to receiving. */
static uint32_t chunk_class(const struct weir_config *conf)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < conf->zclasses; i++) {
        if (conf->zclass[i].bytes <= 65536 && conf->zclass[i].bytes > conf->zclass[best].bytes) best = i;
    }
    return best;
}

int weir_site_open(struct weir_site *s, struct weir *w, const struct weir_config *conf, int root)
{
    const struct weir_zclass *class = &conf->zclass[chunk_class(conf)];
    uint32_t slots = class->count - class->count / 4; /* the rest is for others */
    uint64_t ahead = WEIR_HTTPCONN_RUN / class->bytes;
    memset(s, 0, sizeof(*s));
    s->w = w;
    s->root = root;
    s->conns = conf->conns;
    for (int q = 0; q < WEIR_HTTPCONN_QUEUES; q++)
        s->queue[q].head = s->queue[q].tail = NONE;
    ahead = ahead > slots / 4 ? slots / 4 : ahead;
    s->ahead = ahead > WEIR_FILECACHE_RUN ? WEIR_FILECACHE_RUN : ahead > 0 ? (int)ahead : 1;
    s->share_bytes = (uint64_t) class->bytes * (slots / 2);
    s->sndbuf_bytes = conf->sndbuf_bytes;
    s->conn = calloc(s->conns, sizeof(*s->conn));
    if (s->conn == NULL || weir_filecache_open(&s->cache, w, class->bytes, slots) != 0) {
        free(s->conn);
        return -1;
    }
    s->free_head = NONE;
    return 0;
}

/* Places are taken from below, so that memory is touched for as many as were ever open at once. */
static struct weir_httpconn *conn_get(struct weir_site *s)
{
    uint32_t i = s->free_head;
    if (i != NONE)
        s->free_head = s->conn[i].next;
    else if (s->top < s->conns)
        i = s->top++;
    else
        return NULL;
    s->live++;
    return &s->conn[i];
}

static uint32_t index_of(const struct weir_site *s, const struct weir_httpconn *c)
{
    return (uint32_t)(c - s->conn);
}

static void queue_add(struct weir_site *s, struct weir_httpconn *c, enum weir_httpconn_queue q, bool first)
{
    uint32_t i = index_of(s, c);
    c->queue = q;
    c->prev = first ? NONE : s->queue[q].tail;
    c->next = first ? s->queue[q].head : NONE;
    *(c->prev == NONE ? &s->queue[q].head : &s->conn[c->prev].next) = i;
    *(c->next == NONE ? &s->queue[q].tail : &s->conn[c->next].prev) = i;
}

static void queue_remove(struct weir_site *s, struct weir_httpconn *c)
{
    *(c->prev == NONE ? &s->queue[c->queue].head : &s->conn[c->prev].next) = c->next;
    *(c->next == NONE ? &s->queue[c->queue].tail : &s->conn[c->next].prev) = c->prev;
    c->queue = WEIR_HTTPCONN_NOWHERE;
}

static void reply_end(struct weir_site *s, struct weir_httpconn *c)
{
    while (c->first_ahead < c->n_ahead)
        weir_filecache_put(&s->cache, c->ahead[c->first_ahead++]);
    c->first_ahead = c->n_ahead = 0;
    if (c->file.fd >= 0) s->calls++;
    weir_file_close(&c->file);
}

static enum outcome conn_end(struct weir_site *s, struct weir_httpconn *c, enum weir_close_how how)
{
    if (c->queue != WEIR_HTTPCONN_NOWHERE) queue_remove(s, c);
    reply_end(s, c);
    weir_close(s->w, c->id, how);
    c->id = 0;
    c->state = WEIR_HTTPCONN_FREE;
    c->next = s->free_head;
    s->free_head = index_of(s, c);
    s->live--;
    return GONE;
}

static void expect_request(struct weir_site *s, struct weir_httpconn *c)
{
    weir_http_reader_init(&c->reader);
    c->state = WEIR_HTTPCONN_READ;
    c->deadline_us = s->now_us + WEIR_HTTPCONN_IDLE_US;
}

void weir_site_close(struct weir_site *s)
{
    for (uint32_t i = 0; i < s->top; i++) {
        if (s->conn[i].state != WEIR_HTTPCONN_FREE) conn_end(s, &s->conn[i], WEIR_CLOSE_ABORT);
    }
    if (s->listener != 0) weir_close(s->w, s->listener, WEIR_CLOSE_ABORT);
    weir_filecache_close(&s->cache);
    free(s->conn);
    s->conn = NULL;
    s->listener = 0;
    s->top = s->conns = 0;
}

/* ---- replies ---- */

static int find_file(struct weir_site *s, struct weir_httpconn *c, struct weir_http_reply *r)
{
    const struct weir_http_request *q = &c->reader.request;
    char path[WEIR_HTTP_TARGET_MAX + 1];
    const char *type_path;
    if (q->status != 0) return q->status;
    int status = weir_http_path(q->target, q->target_bytes, path, sizeof(path));
    if (status == 0) status = weir_docroot_file(s->root, path, &c->file, &type_path, &s->calls);
    if (status == 301) r->location = weir_http_raw_path(q->target, q->target_bytes, &r->location_bytes);
    if (status == 0) r->type = weir_http_type(type_path);
    return status;
}

static int64_t floor_seconds(int64_t ns)
{
    return ns / 1000000000 - (ns % 1000000000 < 0);
}

static void choose_bytes(struct weir_httpconn *c, struct weir_http_reply *r)
{
    int64_t mtime = floor_seconds(c->file.key.mtime_ns);
    r->size = c->file.key.size;
    r->mtime = mtime < r->now ? mtime : r->now; /* RFC 9110 8.8.2.1: not after Date */
    weir_http_choose(r, &c->reader.request);
    bool body = !r->head && r->size > 0 && (r->status == 200 || r->status == 206);
    if (body) {
        c->pos = r->first;
        c->end = r->last + 1;
    }
}

/* A reply has moved on: patience begins anew. */
static void moved(struct weir_site *s, struct weir_httpconn *c)
{
    c->moved_us = s->now_us;
    c->deadline_us = s->now_us + WEIR_HTTPCONN_LOOK_US;
    c->queued = UINT32_MAX;
}

/* The whole answer to a request that has been read: its head, and what of which file follows. */
static void answer(struct weir_site *s, struct weir_httpconn *c)
{
    const struct weir_http_request *q = &c->reader.request;
    struct weir_http_reply r = {
        .head = q->head,
        .keep_alive = q->keep_alive,
        .http10 = q->http10,
        .now = floor_seconds(s->wall_ns),
    };
    c->pos = c->end = 0;
    r.status = find_file(s, c, &r);
    if (r.status == 0) choose_bytes(c, &r);
    c->out_off = 0;
    c->out_len = (uint32_t)weir_http_reply(c->out, sizeof(c->out), &r);
    c->state = WEIR_HTTPCONN_HEAD;
    moved(s, c);
    s->requests++;
}

static enum outcome reply_done(struct weir_site *s, struct weir_httpconn *c)
{
    reply_end(s, c);
    if (c->reader.request.keep_alive) {
        expect_request(s, c);
        return GO;
    }
    if (weir_shutdown(s->w, c->id) != 0) return conn_end(s, c, WEIR_CLOSE_ABORT);
    c->state = WEIR_HTTPCONN_LINGER;
    c->lingered = 0;
    moved(s, c);
    return GO;
}

/* ---- states ---- */

/* What a call that took nothing means. */
static enum outcome blocked(struct weir_site *s, struct weir_httpconn *c, ptrdiff_t e)
{
    if (e == WEIR_EAGAIN || e == WEIR_ENOMEM) return WAIT;
    return conn_end(s, c, WEIR_CLOSE_ABORT);
}

static enum outcome do_read(struct weir_site *s, struct weir_httpconn *c)
{
    if (c->in_off == c->in_len) {
        ptrdiff_t n = weir_recv(s->w, c->id, c->in, sizeof(c->in));
        if (n == 0) return conn_end(s, c, WEIR_CLOSE_GRACEFUL);
        if (n < 0) return blocked(s, c, n);
        c->in_off = 0;
        c->in_len = (uint32_t)n;
    }
    bool begun = c->reader.begun;
    c->in_off += (uint32_t)weir_http_feed(&c->reader, c->in + c->in_off, c->in_len - c->in_off);
    if (!begun && c->reader.begun) c->deadline_us = s->now_us + WEIR_HTTPCONN_REQUEST_US;
    if (c->reader.done) answer(s, c);
    return GO;
}

static enum outcome do_head(struct weir_site *s, struct weir_httpconn *c)
{
    ptrdiff_t n = weir_write(s->w, c->id, c->out + c->out_off, c->out_len - c->out_off);
    if (n < 0) return blocked(s, c, n);
    moved(s, c);
    c->out_off += (uint32_t)n;
    if (c->out_off < c->out_len) return GO;
    if (c->pos == c->end) return reply_done(s, c);
    c->state = WEIR_HTTPCONN_BODY;
    return GO;
}

/* The pieces held, as far as the reply goes. */
static int body_iov(const struct weir_httpconn *c, struct weir_iov *iov)
{
    uint64_t at = c->pos;
    int n = 0;
    for (uint32_t i = c->first_ahead; i < c->n_ahead && at < c->end; i++) {
        const struct weir_chunk *k = c->ahead[i];
        uint64_t stop = k->offset + k->bytes < c->end ? k->offset + k->bytes : c->end;
        iov[n].base = k->data + (at - k->offset);
        iov[n++].len = (size_t)(stop - at);
        at = stop;
    }
    return n;
}

/* Counts what was written, by where it lies and not by what we meant. */
static void count_bytes(struct weir_site *s, const struct weir_iov *iov, int n, size_t taken)
{
    for (; n > 0 && taken > 0; n--, iov++) {
        size_t part = iov->len < taken ? iov->len : taken;
        *(weir_zsize(s->w, iov->base) >= iov->len ? &s->file_bytes_ref : &s->file_bytes_copied) += part;
        taken -= part;
    }
}

static void move_on(struct weir_site *s, struct weir_httpconn *c, size_t taken)
{
    c->pos += taken;
    while (c->first_ahead < c->n_ahead) {
        struct weir_chunk *k = c->ahead[c->first_ahead];
        if (c->pos < k->offset + k->bytes && c->pos < c->end) break;
        weir_filecache_put(&s->cache, k);
        c->first_ahead++;
    }
}

/* Connections share the zbufs: readers that shut their windows would otherwise hold all of them between them,
 * and nobody else be served. Half of a connection's part may wait in its send queue, half be held ahead.
 * Returns the pieces to hold. */
static int take_part(struct weir_site *s, struct weir_httpconn *c)
{
    uint64_t half = s->share_bytes / (s->live ? s->live : 1) / 2;
    if (half < s->cache.chunk_bytes) half = s->cache.chunk_bytes;
    uint32_t sndbuf = half < s->sndbuf_bytes ? (uint32_t)half : s->sndbuf_bytes;
    if (sndbuf != c->sndbuf && weir_set(s->w, c->id, WEIR_OPT_SNDBUF, (intptr_t)sndbuf) == 0)
        c->sndbuf = sndbuf;
    uint64_t pieces = half / s->cache.chunk_bytes;
    return pieces < (uint64_t)s->ahead ? (int)pieces : s->ahead;
}

static enum outcome do_body(struct weir_site *s, struct weir_httpconn *c)
{
    struct weir_iov iov[WEIR_FILECACHE_RUN];
    if (c->first_ahead == c->n_ahead) {
        int most = take_part(s, c);
        int got = weir_filecache_take(&s->cache, &c->file, c->pos, c->end, s->wall_ns, c->ahead, most);
        c->first_ahead = 0;
        c->n_ahead = got > 0 ? (uint32_t)got : 0;
        if (got < 0) return got == WEIR_ENOMEM ? STARVED : conn_end(s, c, WEIR_CLOSE_ABORT);
        c->deadline_us = s->now_us + WEIR_HTTPCONN_STALL_US;
    }
    int n = body_iov(c, iov);
    ptrdiff_t taken = weir_writev(s->w, c->id, iov, n);
    if (taken < 0) return blocked(s, c, taken);
    count_bytes(s, iov, n, (size_t)taken);
    moved(s, c);
    move_on(s, c, (size_t)taken);
    return c->pos == c->end ? reply_done(s, c) : GO;
}

static enum outcome do_linger(struct weir_site *s, struct weir_httpconn *c)
{
    ptrdiff_t n = weir_recv(s->w, c->id, c->in, sizeof(c->in));
    if (n == 0) return conn_end(s, c, WEIR_CLOSE_GRACEFUL);
    if (n < 0) return blocked(s, c, n);
    c->lingered += (uint32_t)n;
    return c->lingered < WEIR_HTTPCONN_LINGER_BYTES ? GO : conn_end(s, c, WEIR_CLOSE_ABORT);
}

static enum outcome step(struct weir_site *s, struct weir_httpconn *c)
{
    switch (c->state) {
    case WEIR_HTTPCONN_READ:
        return do_read(s, c);
    case WEIR_HTTPCONN_HEAD:
        return do_head(s, c);
    case WEIR_HTTPCONN_BODY:
        return do_body(s, c);
    case WEIR_HTTPCONN_LINGER:
        return do_linger(s, c);
    default:
        return GONE;
    }
}

/* As far as it gets in one turn. Each GO moves bytes, of which the stack's queues hold a bounded number; but
 * in these lie thousands of small requests, each with its system calls. */
static enum outcome pump(struct weir_site *s, struct weir_httpconn *c)
{
    uint64_t most = s->requests + WEIR_HTTPCONN_TURN;
    enum outcome o;
    do
        o = step(s, c);
    while (o == GO && (c->state != WEIR_HTTPCONN_READ || s->requests < most));
    return o == GO ? YIELD : o;
}

static void run(struct weir_site *s, struct weir_httpconn *c)
{
    enum outcome o = pump(s, c);
    if (o == STARVED || o == YIELD)
        queue_add(s, c, o == STARVED ? WEIR_HTTPCONN_STARVED : WEIR_HTTPCONN_YIELDED, false);
}

/* ---- events ---- */

static void accept_all(struct weir_site *s)
{
    weir_id id;
    while (weir_accept(s->w, s->listener, &id, NULL) == 0) {
        struct weir_httpconn *c = conn_get(s);
        if (c == NULL) {
            weir_close(s->w, id, WEIR_CLOSE_ABORT);
            continue;
        }
        c->id = id;
        c->queue = WEIR_HTTPCONN_NOWHERE;
        c->file.fd = -1;
        c->n_ahead = c->first_ahead = c->in_off = c->in_len = c->sndbuf = 0;
        weir_set(s->w, id, WEIR_OPT_USER, (intptr_t)index_of(s, c) + 1);
        expect_request(s, c);
        run(s, c); /* bytes may have come already, and an event for them carries the listener's number */
    }
}

void weir_site_event(struct weir_site *s, const struct weir_event *e)
{
    if (e->id == 0) return; /* memory: weir_site_retry follows each round */
    if (e->id == s->listener) {
        accept_all(s);
        return;
    }
    if (e->user == 0 || e->user > s->top || s->conn[e->user - 1].id != e->id)
        return; /* told before it was accepted, or after it was given up */
    struct weir_httpconn *c = &s->conn[e->user - 1];
    if ((e->mask & WEIR_EV_ERROR) != 0)
        conn_end(s, c, WEIR_CLOSE_ABORT);
    else if (c->queue == WEIR_HTTPCONN_NOWHERE)
        run(s, c);
}

bool weir_site_busy(const struct weir_site *s)
{
    return s->queue[WEIR_HTTPCONN_YIELDED].head != NONE;
}

bool weir_site_starved(const struct weir_site *s)
{
    return s->queue[WEIR_HTTPCONN_STARVED].head != NONE;
}

void weir_site_resume(struct weir_site *s)
{
    uint32_t last = s->queue[WEIR_HTTPCONN_YIELDED].tail;
    for (bool more = last != NONE; more;) {
        uint32_t i = s->queue[WEIR_HTTPCONN_YIELDED].head;
        queue_remove(s, &s->conn[i]);
        run(s, &s->conn[i]);
        more = i != last;
    }
}

void weir_site_retry(struct weir_site *s)
{
    while (weir_site_starved(s)) {
        struct weir_httpconn *c = &s->conn[s->queue[WEIR_HTTPCONN_STARVED].head];
        queue_remove(s, c);
        enum outcome o = pump(s, c);
        if (o == YIELD) queue_add(s, c, WEIR_HTTPCONN_YIELDED, false);
        if (o != STARVED) continue;
        queue_add(s, c, WEIR_HTTPCONN_STARVED, true);
        return;
    }
}

/* Looks at a reply under way. What the stack has taken may lie in its queue for long: a slow peer that
 * acknowledges is waited for, also after our end of the stream. A reset is only for what's not acknowledged:
 * it would take from the peer what it has yet to read. */
static void look(struct weir_site *s, struct weir_httpconn *c)
{
    struct weir_conn_info info = {.queued_bytes = 0};
    weir_info(s->w, c->id, &info);
    if (info.queued_bytes < c->queued) {
        if (c->queued != UINT32_MAX) c->moved_us = s->now_us;
        c->queued = info.queued_bytes;
    }
    bool all_there = c->state == WEIR_HTTPCONN_LINGER && c->queued == 0;
    c->deadline_us = s->now_us + WEIR_HTTPCONN_LOOK_US;
    if (s->now_us - c->moved_us >= (all_there ? WEIR_HTTPCONN_LINGER_US : WEIR_HTTPCONN_STALL_US))
        conn_end(s, c, all_there ? WEIR_CLOSE_GRACEFUL : WEIR_CLOSE_ABORT);
}

static void overdue(struct weir_site *s, struct weir_httpconn *c)
{
    if (c->state != WEIR_HTTPCONN_READ) {
        look(s, c);
        return;
    }
    if (!c->reader.begun) {
        conn_end(s, c, WEIR_CLOSE_GRACEFUL);
        return;
    }
    c->reader.request.status = 408;
    c->reader.request.keep_alive = false;
    answer(s, c);
    run(s, c);
}

void weir_site_sweep(struct weir_site *s)
{
    for (uint32_t i = 0; i < s->top; i++) {
        struct weir_httpconn *c = &s->conn[i];
        if (c->state != WEIR_HTTPCONN_FREE && c->queue == WEIR_HTTPCONN_NOWHERE &&
            s->now_us >= c->deadline_us)
            overdue(s, c);
    }
}
