/* rxapp.c: the application's operations. It uses ids and addresses that are gone as well as those that it
 * has, and knows which of its calls must fail. */
#include <string.h>

#include "rxworld.h"

#define COPY_BYTES 20000u

static uint32_t sum_of(const uint8_t *p, uint32_t n)
{
    uint32_t sum = 2166136261u; /* FNV-1a */
    for (uint32_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 16777619u;
    return sum;
}

static struct weir_addr address(uint32_t ip, uint16_t port)
{
    struct weir_addr a = {.family = WEIR_IP4, .port = port};
    for (unsigned i = 0; i < 4; i++)
        a.ip[i] = (uint8_t)(ip >> (24 - 8 * i));
    return a;
}

static uint32_t size_of(uint8_t b)
{
    static const uint32_t sizes[16] = {1,    2,    10,   100,  256,  536,  1000,  1460,
                                       1984, 2048, 2049, 4096, 8192, 9000, 16384, COPY_BYTES};
    return sizes[b & 15];
}

/* ---- connections ---- */

static struct rx_conn *conn_of(weir_id id)
{
    for (unsigned i = 0; i < RX_CONNS; i++)
        if (rx.conn[i].open && rx.conn[i].id == id) return &rx.conn[i];
    return NULL;
}

/* A place for one more; NULL: all are open. */
static struct rx_conn *conn_place(void)
{
    for (unsigned i = 0; i < RX_CONNS; i++)
        if (!rx.conn[i].open) return &rx.conn[i];
    return NULL;
}

static void conn_begin(struct rx_conn *c, weir_id id)
{
    FUZZ_CHECK(id != 0 && conn_of(id) == NULL);
    *c = (struct rx_conn){.id = id, .open = true};
}

static struct rx_conn *conn_at(uint8_t b)
{
    return &rx.conn[b % RX_CONNS];
}

static bool is_listener(weir_id id)
{
    for (unsigned i = 0; i < RX_LISTENERS; i++)
        if (rx.listener[i] != 0 && rx.listener[i] == id) return true;
    return false;
}

/* Each event names something that the application has. */
void rx_events(const struct weir_event *ev, int n)
{
    for (int i = 0; i < n; i++) {
        struct weir_conn_info info;
        FUZZ_CHECK(ev[i].mask != 0);
        if (ev[i].mask & (WEIR_EV_MEMORY | WEIR_EV_PRESSURE)) {
            FUZZ_CHECK(ev[i].id == 0);
            continue;
        }
        FUZZ_CHECK(is_listener(ev[i].id) || conn_of(ev[i].id) != NULL);
        FUZZ_CHECK(weir_info(rx.w, ev[i].id, &info) == 0);
        if (ev[i].mask & WEIR_EV_ERROR) FUZZ_CHECK(info.error < 0);
    }
}

static void accept_one(weir_id listener)
{
    struct rx_conn *c = conn_place();
    struct weir_addr peer;
    weir_id id = 0;
    if (c == NULL) return;
    int r = weir_accept(rx.w, listener, &id, &peer);
    if (is_listener(listener))
        FUZZ_CHECK(r == 0 || r == WEIR_EAGAIN);
    else
        FUZZ_CHECK(r == WEIR_ESTALE);
    if (r == 0) conn_begin(c, id);
}

void rx_accept_all(void)
{
    for (unsigned i = 0; i < RX_LISTENERS; i++)
        for (unsigned k = 0; k < RX_CONNS_MAX; k++)
            if (rx.listener[i] != 0) accept_one(rx.listener[i]);
}

void rx_op_accept(const struct rx_op *op)
{
    if (op->r[0] & 1)
        rx_accept_all();
    else
        accept_one(op->r[0] & 2 ? rx.conn[op->r[1] % RX_CONNS].id : rx.listener[op->r[1] % RX_LISTENERS]);
}

weir_id rx_connect_to(const struct rx_flow *f)
{
    struct rx_conn *c = conn_place();
    struct weir_addr a = address(f->ip, f->port);
    struct weir_opts opts = {.user = 7, .nodelay = 1};
    weir_id id = 0;
    if (c == NULL) return 0;
    int r = weir_connect(rx.w, &a, &opts, &id);
    FUZZ_CHECK(r == 0 || r == WEIR_EMFILE || (r == WEIR_ENETUNREACH && rx.alone) ||
               (r == WEIR_ENOMEM && rx.conf.window == WEIR_WINDOW_STRICT));
    if (r == 0) conn_begin(c, id);
    return id;
}

/* n: a flow. r: 1 for an address that can't be */
void rx_op_connect(const struct rx_op *op)
{
    static const uint32_t bad[4] = {RX_IP, 0, 0xe0000001u, 0x7f000001u};
    weir_id id;
    if ((op->r[0] & 1) == 0) {
        (void)rx_connect_to(&rx.flow[op->n]);
        return;
    }
    struct weir_addr a = address(bad[op->r[1] & 3], 80);
    FUZZ_CHECK(weir_connect(rx.w, &a, NULL, &id) == WEIR_EINVAL);
}

/* n: which. r: port, backlog */
void rx_op_listen(const struct rx_op *op)
{
    unsigned i = op->n % RX_LISTENERS;
    struct weir_addr a = address(op->r[2] & 1 ? RX_IP : 0, (uint16_t)(80 + (op->r[0] & 3)));
    struct weir_opts opts = {.backlog = op->r[1] & 7, .rcvbuf_bytes = op->r[3] & 1 ? 2048 : 0};
    if (rx.listener[i] != 0) return;
    int r = weir_listen(rx.w, &a, &opts, &rx.listener[i]);
    FUZZ_CHECK(r == 0 || r == WEIR_EADDRINUSE || r == WEIR_EMFILE);
    if (r != 0) rx.listener[i] = 0;
}

static void close_listener(unsigned i)
{
    if (rx.listener[i] == 0) return;
    FUZZ_CHECK(weir_close(rx.w, rx.listener[i], WEIR_CLOSE_GRACEFUL) == 0);
    rx.listener[i] = 0;
}

static void close_conn(struct rx_conn *c, enum weir_close_how how)
{
    int r = weir_close(rx.w, c->id, how);
    FUZZ_CHECK(r == (c->open ? 0 : WEIR_ESTALE));
    c->open = false;
}

/* n: 0 shutdown, 1 close, 2 abort, 3 a listener. r: which */
void rx_op_close(const struct rx_op *op)
{
    struct rx_conn *c = conn_at(op->r[0]);
    if (op->n % 4 == 3) {
        close_listener(op->r[0] % RX_LISTENERS);
    } else if (op->n % 4 == 0) {
        int r = weir_shutdown(rx.w, c->id);
        if (!c->open) FUZZ_CHECK(r == WEIR_ESTALE);
    } else {
        close_conn(c, op->n % 4 == 1 ? WEIR_CLOSE_GRACEFUL : WEIR_CLOSE_ABORT);
    }
}

/* ---- reading ---- */

static void verify(struct rx_conn *c, const uint8_t *p, uint32_t n)
{
    const struct weir_conn *tcb = weir_conn_by_id(&rx.w->tcp, c->id);
    if (!c->reads) {
        FUZZ_CHECK(tcb != NULL);
        c->at = tcb->irs + 1;
        c->reads = true;
    }
    for (uint32_t i = 0; i < n && !rx.foreign; i++)
        FUZZ_CHECK(p[i] == rx_byte(c->at + i));
    c->at += n;
}

/* r: which, length */
void rx_op_recv(const struct rx_op *op)
{
    static uint8_t buf[COPY_BYTES];
    struct rx_conn *c = conn_at(op->r[0]);
    uint32_t n = size_of(op->r[1]);
    ptrdiff_t r = weir_recv(rx.w, c->id, buf, n);
    FUZZ_CHECK(r <= (ptrdiff_t)n);
    if (!c->open) FUZZ_CHECK(r == WEIR_ESTALE);
    if (r > 0) verify(c, buf, (uint32_t)r);
}

static struct rx_piece *piece_place(void)
{
    for (unsigned i = 0; i < RX_PIECES; i++)
        if (!rx.piece[i].held) return &rx.piece[i];
    return NULL;
}

static unsigned places_left(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < RX_PIECES; i++)
        n += !rx.piece[i].held;
    return n;
}

static void hold(uint8_t *addr, uint32_t n)
{
    *piece_place() = (struct rx_piece){.addr = addr, .bytes = n, .sum = sum_of(addr, n), .held = true};
}

/* r: which, how many pieces */
void rx_op_read(const struct rx_op *op)
{
    struct weir_iov iov[8];
    struct rx_conn *c = conn_at(op->r[0]);
    unsigned n = (op->r[1] & 7) + 1u, left = places_left();
    if (n > left) n = left;
    if (n == 0) return;
    int r = weir_read(rx.w, c->id, iov, (int)n);
    FUZZ_CHECK(r <= (int)n);
    if (!c->open) FUZZ_CHECK(r == WEIR_ESTALE);
    for (int i = 0; i < r; i++) {
        FUZZ_CHECK(iov[i].len > 0 && iov[i].len <= weir_zsize(rx.w, iov[i].base));
        verify(c, iov[i].base, (uint32_t)iov[i].len);
        hold(iov[i].base, (uint32_t)iov[i].len);
    }
}

/* ---- zbufs ---- */

/* What is held was not changed by anybody. */
static void let_go(struct rx_piece *p, bool give)
{
    FUZZ_CHECK(sum_of(p->addr, p->bytes) == p->sum);
    FUZZ_CHECK((give ? weir_zgive(rx.w, p->addr) : weir_zfree(rx.w, p->addr)) == 0);
    p->held = false;
}

/* n: 0 free, 1 give, 2 one more reference, 3 what is not held. r: which, offset */
void rx_op_free(const struct rx_op *op)
{
    struct rx_piece *p = &rx.piece[op->r[0] % RX_PIECES];
    if (op->n % 4 == 3) {
        int local = 0;
        FUZZ_CHECK(weir_zfree(rx.w, &local) == WEIR_EFOREIGN);
        FUZZ_CHECK(weir_zfree(rx.w, rx.w) < 0);
        FUZZ_CHECK(weir_zgive(rx.w, &local) == WEIR_EFOREIGN);
        return;
    }
    if (!p->held) return;
    if (op->n % 4 == 2) {
        if (piece_place() == NULL) return;
        FUZZ_CHECK(weir_zref(rx.w, p->addr) == 0);
        hold(p->addr, p->bytes);
    } else {
        let_go(p, op->n % 4 == 1);
    }
}

/* n: 1 asks for the memory event where there is none. r: size */
void rx_op_zalloc(const struct rx_op *op)
{
    uint32_t n = size_of(op->r[0]);
    if (places_left() == 0) return;
    uint8_t *p = weir_zalloc(rx.w, n);
    if (p == NULL) {
        if (op->n & 1) (void)weir_zalloc_wait(rx.w, n);
        return;
    }
    FUZZ_CHECK(weir_zsize(rx.w, p) >= n && weir_zbusy(rx.w, p) == 0);
    for (uint32_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 31u + i / 251u + op->r[1]);
    hold(p, n);
    (void)weir_ztag(rx.w, p, op->r[1]);
}

/* ---- writing ---- */

static void wrote(const struct rx_conn *c, const uint8_t *bytes, size_t n, ptrdiff_t took)
{
    FUZZ_CHECK(took != 0 && took <= (ptrdiff_t)n);
    if (!c->open) FUZZ_CHECK(took == WEIR_ESTALE);
    const struct weir_conn *tcb = weir_conn_by_id(&rx.w->tcp, c->id);
    if (took <= 0) return;
    FUZZ_CHECK(tcb != NULL);
    rx_written(tcb, bytes, (uint32_t)took);
}

/* n: 1 from a piece that was let go, 2 from no zbuf at all, 3 behind what was last written of the piece; 4
 * and up: past its end. r: connection, piece, offset (2), length */
void rx_op_write_ref(const struct rx_op *op)
{
    struct rx_conn *c = conn_at(op->r[0]);
    struct rx_piece *p = &rx.piece[op->r[1] % RX_PIECES];
    uint32_t at = op->r[2] | (uint32_t)(op->r[3] & 15) << 8, n = size_of(op->r[4]);
    if (op->n % 4 == 2) {
        FUZZ_CHECK(weir_write(rx.w, c->id, rx.memory + at, 1) < 0); /* the instance's own tables */
        return;
    }
    if (p->addr == NULL || (!p->held && op->n % 4 != 1)) return;
    if (op->n % 4 == 3) at = p->wrote;
    if (p->bytes == 0 || (p->held && at >= p->bytes)) at = 0;
    if (p->held && (op->n & 4) == 0 && n > p->bytes - at) n = p->bytes - at;
    if (!p->held || n > p->bytes - at) rx.careless = true;
    ptrdiff_t took = weir_write(rx.w, c->id, p->addr + at, n);
    wrote(c, p->addr + at, n, took);
    if (took > 0) p->wrote = at + (uint32_t)took;
}

static void write_two(const struct rx_conn *c, const uint8_t *bytes, uint32_t n)
{
    struct weir_iov iov[2] = {{(void *)(uintptr_t)bytes, n / 2},
                              {(void *)(uintptr_t)(bytes + n / 2), n - n / 2}};
    wrote(c, bytes, n, weir_writev(rx.w, c->id, iov, 2));
}

/* n: 1 in two pieces. r: connection, length, what */
void rx_op_write_copy(const struct rx_op *op)
{
    static uint8_t buf[COPY_BYTES];
    struct rx_conn *c = conn_at(op->r[0]);
    uint32_t n = size_of(op->r[1]);
    for (uint32_t i = 0; i < n; i++)
        buf[i] = (uint8_t)(i * 7u + op->r[2] + i / 253u);
    if (op->n & 1)
        write_two(c, buf, n);
    else
        wrote(c, buf, n, weir_write(rx.w, c->id, buf, n));
}

/* ---- the rest ---- */

/* n: option. r: connection, value, 1: of a listener */
void rx_op_set(const struct rx_op *op)
{
    if (op->r[2] & 1) {
        int told = weir_set(rx.w, rx.listener[op->r[0] % RX_LISTENERS], (enum weir_opt)op->n, op->r[1]);
        FUZZ_CHECK(told == 0 || told == WEIR_EINVAL || told == WEIR_ESTALE);
        return;
    }
    static const intptr_t bytes[8] = {2048, 2047, 4096, 8192, 65536, 100000, 0x3fffffff, -1};
    struct rx_conn *c = conn_at(op->r[0]);
    enum weir_opt opt = (enum weir_opt)(op->n % 6);
    bool sizes = opt == WEIR_OPT_RCVBUF || opt == WEIR_OPT_SNDBUF;
    intptr_t value = sizes ? bytes[op->r[1] & 7] : op->r[1] & 1;
    if (opt == WEIR_OPT_SNDBUF && value > (intptr_t)RX_SHADOW_BYTES) value = RX_SHADOW_BYTES;
    int r = weir_set(rx.w, c->id, opt, value);
    bool large = opt == WEIR_OPT_RCVBUF && rx.conf.window == WEIR_WINDOW_STRICT &&
                 value > (intptr_t)rx.conf.rcvbuf_bytes;
    FUZZ_CHECK(r == (!c->open ? WEIR_ESTALE : sizes && (value < 2048 || large) ? WEIR_EINVAL : 0));
}

static void look_at_zbufs(void)
{
    struct weir_zinfo info[16];
    uint32_t cursor = 0;
    int n;
    while ((n = weir_census(rx.w, &cursor, info, 16)) > 0)
        for (int i = 0; i < n; i++)
            FUZZ_CHECK(info[i].app + info[i].stk > 0 && info[i].owners != 0);
}

/* Whatever can be asked changes nothing. r: connection */
void rx_op_look(const struct rx_op *op)
{
    struct rx_conn *c = conn_at(op->r[0]);
    struct weir_conn_info info;
    struct weir_stats stats;
    FUZZ_CHECK(weir_info(rx.w, c->id, &info) == (c->open ? 0 : WEIR_ESTALE));
    unsigned ready = weir_ready(rx.w, c->id);
    FUZZ_CHECK(c->open || ready == 0);
    FUZZ_CHECK((ready & WEIR_EV_ERROR) == 0 || info.error < 0);
    weir_stats(rx.w, &stats);
    FUZZ_CHECK(stats.conns_live <= rx.conf.conns && stats.timewait_live <= rx.conf.timewait);
    FUZZ_CHECK(stats.pbufs_peak <= rx.conf.pbufs && stats.txrecs_peak <= rx.conf.txrecs);
    look_at_zbufs();
}

void rx_app_free(void)
{
    for (unsigned i = 0; i < RX_PIECES; i++)
        if (rx.piece[i].held) let_go(&rx.piece[i], i % 2 != 0);
}

void rx_app_end(bool abort)
{
    rx_app_free();
    for (unsigned i = 0; i < RX_CONNS; i++)
        if (rx.conn[i].open) close_conn(&rx.conn[i], abort ? WEIR_CLOSE_ABORT : WEIR_CLOSE_GRACEFUL);
    for (unsigned i = 0; i < RX_LISTENERS; i++)
        close_listener(i);
}
