/* script_app.c: the application's side of a script: calls of weir.h with their results checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script_world.h"

#define STREAM_PIECE 16384u

struct weir *stack(void)
{
    return world.w;
}

struct weir_stats stats(void)
{
    struct weir_stats s;
    weir_stats(world.w, &s);
    return s;
}

struct weir_conn_info info(void)
{
    struct weir_conn_info i;
    memset(&i, 0, sizeof i);
    int err = weir_info(world.w, here()->id, &i);
    if (err != 0) script_fail(0, "weir_info: %s", weir_strerror(err));
    return i;
}

static struct weir_addr address(uint32_t ip, uint16_t port)
{
    struct weir_addr a = {.family = WEIR_IP4, .port = port};
    for (unsigned i = 0; i < 4; i++)
        a.ip[i] = (uint8_t)(ip >> (24 - 8 * i));
    return a;
}

/* ---- opening ---- */

void listen_with(uint16_t port, const struct weir_opts *opts)
{
    struct weir_addr a = address(0, port);
    int err = weir_listen(world.w, &a, opts, &world.listener);
    if (err != 0) script_fail(0, "weir_listen: %s", weir_strerror(err));
}

void listen_on(uint16_t port)
{
    listen_with(port, NULL);
}

weir_id listener(void)
{
    return world.listener;
}

void close_listener(void)
{
    INNER_EQ(weir_close(world.w, world.listener, WEIR_CLOSE_GRACEFUL), 0);
    world.listener = 0;
    settle();
}

void script_accept(int line, int err)
{
    world.line = line;
    struct weir_addr peer;
    weir_id id = 0;
    int got = weir_accept(world.w, world.listener, &id, &peer);
    if (got != err) script_fail(line, "weir_accept: %s (%d), expected %d", weir_strerror(got), got, err);
    if (err != 0) return;
    if (peer.port != here()->peer_port)
        script_fail(line, "weir_accept gave port %u, not this flow's", peer.port);
    here()->id = id;
    settle();
}

void connect_out(const struct weir_opts *opts)
{
    here()->peer_port = (uint16_t)(SCRIPT_PORT + world.at);
    here()->port = 0;
    struct weir_addr a = address(here()->peer_ip, here()->peer_port);
    int err = weir_connect(world.w, &a, opts, &here()->id);
    if (err != 0) script_fail(0, "weir_connect: %s", weir_strerror(err));
    settle();
}

void script_passive(int line, const char *opts)
{
    world.line = line;
    if (world.listener == 0) listen_on(SCRIPT_PORT);
    script_inject(line, true, "S 0:0 %s", opts);
    script_expect(line, 0, 0, "S. 0:0 ack 1 <...>");
    advance_ms(10);
    script_inject(line, true, ". 1:1 ack 1");
    script_accept(line, 0);
    INNER_EQ(pending(), 0);
}

void script_active(int line, const char *opts)
{
    world.line = line;
    connect_out(NULL);
    script_expect(line, 0, 0, "S 0:0 <mss *,...>");
    advance_ms(10);
    script_inject(line, true, "S. 0:0 ack 1 %s", opts);
    script_expect(line, 0, 0, ". 1:1 ack 1");
    INNER_EQ(pending(), 0);
}

/* ---- bytes ---- */

static void fill(uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        p[i] = seg_byte(0, (uint32_t)here()->written + 1 + i);
}

ptrdiff_t write_some(uint32_t n)
{
    uint8_t *bytes = malloc(n);
    assert_non_null(bytes);
    fill(bytes, n);
    ptrdiff_t took = weir_write(world.w, here()->id, bytes, n);
    free(bytes);
    if (took > 0) here()->written += (uint64_t)took;
    settle();
    return took;
}

static ptrdiff_t write_piece_ref(int line, uint32_t n)
{
    uint8_t *z = weir_zalloc(world.w, n);
    if (z == NULL) script_fail(line, "weir_zalloc has nothing for %u bytes", n);
    fill(z, n);
    ptrdiff_t took = weir_write(world.w, here()->id, z, n);
    if (weir_zfree(world.w, z) != 0) script_fail(line, "weir_zfree refuses a zbuf that is held");
    if (took > 0) here()->written += (uint64_t)took;
    return took;
}

static ptrdiff_t write_piece_copy(uint32_t n)
{
    uint8_t bytes[STREAM_PIECE];
    fill(bytes, n);
    ptrdiff_t took = weir_write(world.w, here()->id, bytes, n);
    memset(bytes, 0xdd, n);
    if (took > 0) here()->written += (uint64_t)took;
    return took;
}

void script_write(int line, uint32_t n, bool by_ref)
{
    world.line = line;
    uint32_t most = by_ref ? 1024 : STREAM_PIECE;
    while (n > 0) {
        uint32_t now = n < most ? n : most;
        ptrdiff_t took = by_ref ? write_piece_ref(line, now) : write_piece_copy(now);
        if (took != (ptrdiff_t)now)
            script_fail(line, "weir_write took %ld of %u bytes (%s)", (long)took, now,
                        weir_strerror(took < 0 ? (int)took : 0));
        n -= now;
    }
    settle();
}

static void verify(int line, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != seg_byte(1, (uint32_t)here()->read + 1 + (uint32_t)i))
            script_fail(line, "byte %llu of the stream is wrong", (unsigned long long)here()->read + i);
    here()->read += n;
}

static uint32_t read_copied(int line, uint32_t n)
{
    uint8_t bytes[STREAM_PIECE];
    ptrdiff_t got = weir_recv(world.w, here()->id, bytes, n < sizeof bytes ? n : sizeof bytes);
    if (got <= 0)
        script_fail(line, "weir_recv: %ld (%s), %u bytes more expected", (long)got, weir_strerror((int)got),
                    n);
    verify(line, bytes, (size_t)got);
    return (uint32_t)got;
}

static uint32_t read_one_lent(int line, uint32_t n)
{
    struct weir_iov iov;
    int got = weir_read(world.w, here()->id, &iov, 1);
    if (got != 1) script_fail(line, "weir_read: %d (%s), %u bytes more expected", got, weir_strerror(got), n);
    verify(line, iov.base, iov.len);
    if (iov.len > n) script_fail(line, "weir_read lent %u bytes, at most %u expected", (unsigned)iov.len, n);
    if (weir_zfree(world.w, iov.base) != 0) script_fail(line, "weir_zfree refuses a lent piece");
    return (uint32_t)iov.len;
}

void script_read(int line, uint32_t n, bool lent)
{
    world.line = line;
    while (n > 0)
        n -= lent ? read_one_lent(line, n) : read_copied(line, n);
    settle();
}

void script_read_none(int line, int expected)
{
    world.line = line;
    uint8_t byte;
    ptrdiff_t got = weir_recv(world.w, here()->id, &byte, 1);
    if (got != expected)
        script_fail(line, "weir_recv: %ld (%s), expected %d (%s)", (long)got, weir_strerror((int)got),
                    expected, weir_strerror(expected));
    settle();
}

/* ---- closing ---- */

void set_opt(enum weir_opt opt, intptr_t value)
{
    INNER_EQ(weir_set(world.w, here()->id, opt, value), 0);
    settle();
}

void script_shut(int line)
{
    world.line = line;
    int err = weir_shutdown(world.w, here()->id);
    if (err != 0) script_fail(line, "weir_shutdown: %s", weir_strerror(err));
    settle();
}

void script_close(int line, enum weir_close_how how)
{
    world.line = line;
    int err = weir_close(world.w, here()->id, how);
    if (err != 0) script_fail(line, "weir_close: %s", weir_strerror(err));
    here()->id = 0;
    settle();
}

void script_close_all(void)
{
    for (unsigned i = 0; i < SCRIPT_FLOWS; i++)
        if (world.flow[i].used && world.flow[i].id != 0) {
            INNER_EQ(weir_close(world.w, world.flow[i].id, WEIR_CLOSE_ABORT), 0);
            world.flow[i].id = 0;
        }
    if (world.listener != 0) INNER_EQ(weir_close(world.w, world.listener, WEIR_CLOSE_GRACEFUL), 0);
    world.listener = 0;
}

/* ---- events ---- */

bool had_event(weir_id id, uint32_t mask)
{
    for (unsigned i = 0; i < world.n_ev; i++)
        if (world.ev[i].id == id && (world.ev[i].mask & mask) == mask) {
            world.ev[i].mask &= ~mask;
            return true;
        }
    return false;
}

void script_event(int line, uint32_t mask, bool wanted)
{
    world.line = line;
    settle();
    if (had_event(here()->id, mask) != wanted)
        script_fail(line, "event 0x%x %s", mask, wanted ? "did not come" : "came");
}

void script_error(int line, int err)
{
    script_event(line, WEIR_EV_ERROR, true);
    int is = info().error;
    if (is != err) script_fail(line, "the error is %s, expected %s", weir_strerror(is), weir_strerror(err));
}
