/* script.h: TCP tests as scripts of segments with explicit time, about ten lines each.
 *
 * One instance of the stack, 10.9.0.2, stands over segdev.h in virtual time. The script is everything else:
 * the remote hosts 10.9.0.1 and others (it answers their ARP), and the application. A script says what the
 * remote sends (inject), what the stack must send (expect, silent), what the application does (write_bytes,
 * read_bytes, ...) and lets time pass (advance_ms). Segments are written as segtext.h tells. A segment that
 * nobody expected fails the case.
 *
 *     CASE(an_example)
 *     {
 *         START(.delack_us = 40000);
 *         listen_on(80);
 *         inject("S 0:0 <mss 1460>");
 *         expect("S. 0:0 ack 1 <mss 1460>");
 *         inject(". 1:1 ack 1");
 *         accept_conn();
 *         inject("P. 1:101 ack 1");
 *         expect_after(0, 45, ". 1:1 ack 101");
 *         read_bytes(100);
 *     }
 *     int main(void) { const struct CMUnitTest t[] = {T(an_example)}; return cmocka_run_group_tests(t, 0, 0);
 * }
 *
 * Payload is a function of the sequence number and checked both ways. These rules are checked for every
 * segment that the stack sends, in every case: checksums are right; nothing passes the peer's window (but for
 * one probing byte) or its MSS; nothing is sent that was not written; nothing is acknowledged that was not
 * injected; the right edge of the window that the stack offers never moves left. After each step of a script
 * the whole instance is checked (weir_stack_check), and that nothing was written behind its memory. Each case
 * ends with everything closed, and nothing may be left: no connection, descriptor, transmit record or zbuf.
 *
 * One world, global; tests are single-threaded. */
#ifndef WEIR_TEST_SCRIPT_H
#define WEIR_TEST_SCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "segdev.h"
#include "segtext.h"
#include "segwire.h"
#include "weir/plat.h"
#include "weir/weir.h"

#define SCRIPT_FLOWS    64u
#define SCRIPT_WEIR_IP  0x0a090002u /* 10.9.0.2 */
#define SCRIPT_PEER_IP  0x0a090001u /* 10.9.0.1 */
#define SCRIPT_PORT     80u
#define SCRIPT_PEER_ISS 1000000u

/* One connection as the remote side sees it. flow(n) chooses which one the script talks about. */
struct flow {
    bool used;
    uint32_t peer_ip;
    uint16_t peer_port, port; /* port 0: the stack has not chosen it yet */
    uint32_t peer_iss, iss;
    bool iss_known;
    weir_id id;   /* the application's, 0: none */
    uint16_t win; /* what injected segments say where the script does not */

    /* learned from the SYNs that went by */
    uint16_t mss; /* of the peer */
    bool peer_scaled, scaled, peer_ts, ts;
    uint8_t peer_scale, scale;

    /* of the peer */
    uint32_t sent_end;   /* highest sequence number injected */
    uint32_t acked;      /* highest acknowledgement injected */
    uint32_t edge_given; /* right edge of the window given to the stack */
    bool given;
    uint32_t ts_val; /* its latest timestamp, which it sends again where the script does not say */

    /* of the stack */
    uint32_t seen_end; /* highest sequence number that it sent */
    uint32_t last_ack;
    uint32_t edge_seen; /* right edge of the window that it offered */
    bool edge_known;
    uint32_t ts_latest;
    bool foreign_bytes; /* payload is not the function of the sequence number: the case looks itself */

    uint64_t written, read; /* by the application */
};

/* What a case wants of the instance; 0 means what the comment says. */
struct script_conf {
    int line;
    uint32_t rcvbuf;         /* 65,536 */
    uint32_t sndbuf;         /* 262,144 */
    uint32_t msl_ms;         /* 1,000 */
    uint32_t rto_min_us;     /* 200,000 */
    uint32_t rto_max_us;     /* 60,000,000 */
    uint32_t delack_us;      /* 40,000 */
    bool delack_off;         /* delack_us = 0 */
    uint32_t syn_retries;    /* 3 */
    uint32_t data_retries;   /* 5 */
    uint32_t challenge_acks; /* 1,000 */
    uint32_t icmp_errors;    /* 1,000 */
    uint32_t conns;          /* 64 */
    uint32_t timewait;       /* 64 */
    uint32_t ooo_conn;       /* 64 */
    uint32_t app_hold;       /* that of the size */
    uint16_t mtu;            /* 1,500 */
    uint64_t now_us;         /* 1 s: where the clock begins */
    bool no_arp;             /* the remote hosts do not answer ARP */
};

/* ---- cases ---- */

#define CASE(name)                                                                                           \
    static void name##_script(void);                                                                         \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        (void)state;                                                                                         \
        script_run(#name, __FILE__, name##_script);                                                          \
    }                                                                                                        \
    static void name##_script(void)
#define T(name) cmocka_unit_test_teardown(name, script_teardown)

/* First in a case: starts the instance. Members of struct script_conf may be named. */
#define START(...) script_start(&(const struct script_conf){.line = __LINE__, __VA_ARGS__})

void script_run(const char *name, const char *file, void (*script)(void));
int script_teardown(void **state);
void script_start(const struct script_conf *);

/* Ends the case with a message, the place and the segments so far. */
#define failed(...) script_fail(__LINE__, __VA_ARGS__)
void script_fail(int line, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

#define check(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) failed("%s", "not so: " #condition);                                               \
    } while (0)
#define check_eq(a, b) script_check(__LINE__, #a " == " #b, (int64_t)(a), (int64_t)(b), (int64_t)(b))
#define check_in(a, l, h)                                                                                    \
    script_check(__LINE__, #a " in " #l " .. " #h, (int64_t)(a), (int64_t)(l), (int64_t)(h))
void script_check(int line, const char *what, int64_t is, int64_t low, int64_t high);

/* ---- the remote side ---- */

/* Turns to connection n; its remote end is 10.9.0.1, port 40000 + n, until set_peer. Its sequence numbers
 * begin at iss. */
struct flow *flow(unsigned n);
struct flow *here(void);
void set_peer(uint32_t ip, uint16_t port);
/* A new connection between the same ports. */
void reincarnate(uint32_t peer_iss);

/* Sends a segment and lets the stack answer. Nothing that it sent before may be left unexpected. */
#define inject(...) script_inject(__LINE__, true, __VA_ARGS__)
/* The same without letting the stack run: several segments in one burst. */
#define inject_burst(...) script_inject(__LINE__, false, __VA_ARGS__)
void script_inject(int line, bool run, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A frame to be spoilt by the case and sent with inject_frame. It counts as sent by the remote side. */
struct script_frame {
    uint8_t b[SEG_FRAME_MAX];
    uint32_t n;
};
#define build(f, ...) script_build(__LINE__, f, __VA_ARGS__)
void script_build(int line, struct script_frame *f, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void inject_frame(const struct script_frame *f);

/* An ICMP message that quotes a segment which the stack is said to have sent, seq relative. mtu: for type 3,
 * code 4. */
void inject_icmp(uint8_t type, uint8_t code, uint16_t mtu, uint32_t seq);

/* The next segment must be this, and be there already. */
#define expect(...) script_expect(__LINE__, 0, 0, __VA_ARGS__)
/* The next segment must be this and come from low to high milliseconds after now. */
#define expect_after(low, high, ...) script_expect(__LINE__, low, high, __VA_ARGS__)
void script_expect(int line, uint64_t low_ms, uint64_t high_ms, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The next segment must be one of two. Returns 0 or 1. */
#define expect_either(a, b) script_either(__LINE__, a, b)
int script_either(int line, const char *a, const char *b);

/* The next segments carry [from, to), in order, however cut, with no gap, and nothing else. Returns how many.
 */
#define expect_stream(from, to) script_stream(__LINE__, from, to, false)
/* The same with a FIN at the end, alone or with the last bytes. */
#define expect_stream_fin(from, to) script_stream(__LINE__, from, to, true)
unsigned script_stream(int line, uint32_t from, uint32_t to, bool fin);

/* Within ms an acknowledgement up to `ack` goes out, alone. */
#define expect_acked(ack, ms) script_acked(__LINE__, ack, ms)
void script_acked(int line, uint32_t ack, uint64_t ms);

/* Nothing is sent for so long. */
#define silent(ms) script_silent(__LINE__, ms)
void script_silent(int line, uint64_t ms);

/* Forgets what was sent: where a standard leaves it open. drain_acks: only segments without payload, SYN,
 * FIN, RST. */
unsigned drain(void);
unsigned drain_acks(void);
/* How many segments wait to be expected, and the first of them (NULL: none). */
unsigned pending(void);
const struct seg *peek(void);
/* Takes the first one away, whatever it is; fails when there is none. */
#define take() script_take(__LINE__)
const struct seg *script_take(int line);

/* The device, to make it refuse frames (room). */
struct segdev *script_device(void);

/* ICMP messages that the stack has sent so far. */
unsigned icmp_seen(void);

/* ---- time ---- */

/* Time passes; whatever is sent meanwhile waits to be expected. */
void advance_ms(uint64_t ms);
void advance_us(uint64_t us);
uint64_t now_ms(void);
/* Time passes until something was sent, at most ms. Returns the milliseconds that went by. */
uint64_t await_segment(uint64_t ms);
/* Lets the stack run at this moment. */
void settle(void);

/* ---- the application ---- */

struct weir *stack(void);
struct weir_stats stats(void);
struct weir_conn_info info(void); /* of this flow's connection */

/* Stops the instance, which still holds so many zbufs for the application; the last thing in a case. */
void stop(int held);
void listen_on(uint16_t port);
void listen_with(uint16_t port, const struct weir_opts *);
weir_id listener(void);
void close_listener(void);
#define accept_conn() script_accept(__LINE__, 0)
#define accept_none() script_accept(__LINE__, WEIR_EAGAIN)
void script_accept(int line, int err);
void connect_out(const struct weir_opts *); /* to the flow's remote end, port 80 + n */

/* Opens the connection by the remote side (a listener on port 80) or by the stack, 10 ms apart, with these
 * options in the peer's SYN, as "<mss 1460>". Both leave an accepted, established connection and nothing
 * unexpected. */
#define passive_open(opts) script_passive(__LINE__, opts)
#define active_open(opts)  script_active(__LINE__, opts)
void script_passive(int line, const char *opts);
void script_active(int line, const char *opts);

/* Writes the next n bytes of the stream from ordinary memory or by reference; all must be taken. */
#define write_bytes(n) script_write(__LINE__, n, false)
#define write_ref(n)   script_write(__LINE__, n, true)
void script_write(int line, uint32_t n, bool by_ref);
/* Writes as much of n bytes as is taken. Returns what weir_write said; the stack runs. */
ptrdiff_t write_some(uint32_t n);

/* Exactly n bytes can be read, and they are right. read_lent borrows them and frees them at once. */
#define read_bytes(n) script_read(__LINE__, n, false)
#define read_lent(n)  script_read(__LINE__, n, true)
void script_read(int line, uint32_t n, bool lent);
#define read_end()      script_read_none(__LINE__, 0)
#define read_nothing()  script_read_none(__LINE__, WEIR_EAGAIN)
#define read_fails(err) script_read_none(__LINE__, err)
void script_read_none(int line, int expected);

void set_opt(enum weir_opt, intptr_t);
#define shut() script_shut(__LINE__)
void script_shut(int line);
#define close_conn() script_close(__LINE__, WEIR_CLOSE_GRACEFUL)
#define abort_conn() script_close(__LINE__, WEIR_CLOSE_ABORT)
void script_close(int line, enum weir_close_how);

/* An event of these bits has come for this flow's connection (expect_event takes it away), or none has. */
#define expect_event(mask)    script_event(__LINE__, mask, true)
#define expect_no_event(mask) script_event(__LINE__, mask, false)
void script_event(int line, uint32_t mask, bool wanted);
bool had_event(weir_id id, uint32_t mask);
/* The connection has failed with this error, and said so. */
#define expect_error(err) script_error(__LINE__, err)
void script_error(int line, int err);
#define expect_state(name) check_eq(info().state, name)
/* So many frames were dropped for this reason since the case began. */
#define expect_drops(reason, n) check_eq(stats().drops[reason], n)

#endif
