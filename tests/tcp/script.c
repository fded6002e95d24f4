/* script.c: the world of a script, its clock, and the remote side: what is injected, captured, expected.
 *
 * Captured segments wait in a ring, oldest first, for the script to expect them. Rules that hold for every
 * segment are checked as it is captured, inside the stack's call, where a case can't be ended; the first one
 * broken is noted and ends the case when the stack has returned. */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/order.h"
#include "script_world.h"
#include "stack/stack.h"

struct script_world world;

static const uint8_t weir_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 1};

/* ---- telling ---- */

void script_log(const char *format, ...)
{
    char *line = world.log[world.logged++ % SCRIPT_LOG_LINES];
    int n = snprintf(line, SCRIPT_LOG_BYTES, "%9.3f  ", (double)world.sim.now_us / 1000.0);
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, SCRIPT_LOG_BYTES - (size_t)n, format, args);
    va_end(args);
}

void script_fail(int line, const char *format, ...)
{
    char text[600];
    line = line != 0 ? line : world.line;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_error("%s:%d: %s: %s\n", world.file, line, world.name, text);
    unsigned first = world.logged > SCRIPT_TRACE_DEFAULT ? world.logged - SCRIPT_TRACE_DEFAULT : 0;
    for (unsigned i = first; i < world.logged; i++)
        print_error("    %s\n", world.log[i % SCRIPT_LOG_LINES]);
    _fail(world.file, line);
    abort();
}

void script_check(int line, const char *what, int64_t is, int64_t low, int64_t high)
{
    if (is < low || is > high)
        script_fail(line, "not so: %s: it is %lld, not %lld to %lld", what, (long long)is, (long long)low,
                    (long long)high);
}

/* ---- flows ---- */

static void flow_init(struct flow *f, uint32_t ip, uint16_t port, uint32_t iss)
{
    memset(f, 0, sizeof *f);
    f->used = true;
    f->peer_ip = ip;
    f->peer_port = port;
    f->port = SCRIPT_PORT;
    f->peer_iss = iss;
    f->win = 65535;
    f->mss = 536;
    f->sent_end = iss;
    f->last_ack = iss;
}

struct flow *here(void)
{
    return &world.flow[world.at];
}

struct flow *flow(unsigned n)
{
    assert_true(n < SCRIPT_FLOWS);
    world.at = n;
    if (!here()->used) flow_init(here(), SCRIPT_PEER_IP, (uint16_t)(40000 + n), SCRIPT_PEER_ISS + n * 7919u);
    return here();
}

void set_peer(uint32_t ip, uint16_t port)
{
    here()->peer_ip = ip;
    here()->peer_port = port;
}

void reincarnate(uint32_t peer_iss)
{
    uint16_t port = here()->port;
    flow_init(here(), here()->peer_ip, here()->peer_port, peer_iss);
    here()->port = port;
}

struct segbase script_base(const struct flow *f, bool to_stack)
{
    uint32_t ours = f->iss_known ? f->iss : 0;
    return to_stack ? (struct segbase){f->peer_iss, ours, f->ts_latest}
                    : (struct segbase){ours, f->peer_iss, f->ts_latest};
}

static struct flow *flow_of(const struct seg *s)
{
    for (unsigned i = 0; i < SCRIPT_FLOWS; i++) {
        struct flow *f = &world.flow[i];
        if (!f->used || f->peer_ip != s->dst || f->peer_port != s->dport) continue;
        if (f->port == 0 && (s->flags & SEG_SYN)) f->port = s->sport;
        if (f->port == s->sport) return f;
    }
    return NULL;
}

/* ---- what the stack sends ---- */

static void answer_arp(const uint8_t *frame, uint32_t n)
{
    uint8_t reply[SEG_FRAME_MIN] = {0};
    if (n < 42 || weir_be16(frame + 20) != 1 || world.no_arp) return;
    memcpy(reply, frame + 6, 6);
    memcpy(reply + 6, peer_mac, 6);
    memcpy(reply + 12, frame + 12, 8);
    weir_put_be16(reply + 20, 2);
    memcpy(reply + 22, peer_mac, 6);
    memcpy(reply + 28, frame + 38, 4);
    memcpy(reply + 32, frame + 22, 10);
    segdev_inject(&world.dev, reply, sizeof reply);
}

static void captured_tcp(const uint8_t *frame, uint32_t n)
{
    struct seg *s = &world.seg[(world.seg_head + world.seg_n) % SCRIPT_CAPTURED];
    const char *why = seg_decode(s, frame, n);
    char text[SCRIPT_LOG_BYTES];
    if (why != NULL || world.seg_n == SCRIPT_CAPTURED || memcmp(frame, peer_mac, 6) != 0) {
        snprintf(world.broken, sizeof world.broken, "a frame was sent that is bad: %s",
                 why != NULL ? why : "(too many)");
        return;
    }
    world.seg_n++;
    struct flow *f = flow_of(s);
    struct segbase base = {0, 0, 0};
    if (f != NULL) {
        script_watch(f, s);
        base = script_base(f, false);
    }
    seg_text(text, sizeof text, s, &base);
    script_log("stack  %s%s", text, f == NULL ? " (of no flow)" : "");
}

static void captured(void *ctx, const uint8_t *frame, uint32_t n)
{
    (void)ctx;
    if (n >= SEG_L4_AT && weir_be16(frame + 12) == 0x0806)
        answer_arp(frame, n);
    else if (n >= SEG_L4_AT && frame[SEG_L3_AT + 9] == 1)
        world.icmp++;
    else
        captured_tcp(frame, n);
}

struct segdev *script_device(void)
{
    return &world.dev;
}

unsigned icmp_seen(void)
{
    return world.icmp;
}

unsigned pending(void)
{
    return world.seg_n;
}

const struct seg *peek(void)
{
    return world.seg_n > 0 ? &world.seg[world.seg_head] : NULL;
}

static const struct seg *pop(void)
{
    const struct seg *s = &world.seg[world.seg_head];
    world.seg_head = (world.seg_head + 1) % SCRIPT_CAPTURED;
    world.seg_n--;
    return s;
}

const struct seg *script_take(int line)
{
    world.line = line;
    if (world.seg_n == 0) script_fail(line, "a segment was expected, none was sent");
    return pop();
}

unsigned drain(void)
{
    unsigned n = world.seg_n;
    world.seg_n = 0;
    return n;
}

unsigned drain_acks(void)
{
    unsigned n = 0;
    while (world.seg_n > 0 && peek()->bytes == 0 && (peek()->flags & (SEG_SYN | SEG_FIN | SEG_RST)) == 0) {
        pop();
        n++;
    }
    return n;
}

/* ---- time ---- */

static void note_events(const struct weir_event *ev, int n)
{
    for (int i = 0; i < n; i++) {
        unsigned k = 0;
        while (k < world.n_ev && world.ev[k].id != ev[i].id)
            k++;
        if (k == world.n_ev && k < SCRIPT_IDS)
            world.ev[world.n_ev++] = (struct script_events){.id = ev[i].id};
        if (k < SCRIPT_IDS) world.ev[k].mask |= ev[i].mask;
    }
}

/* After each step: no invariant is broken, and nothing was written behind the memory of the plan. */
static void check_instance(void)
{
    const uint8_t *behind = (const uint8_t *)world.memory + world.bytes;
    int broken = weir_stack_check(world.w);
    if (broken != 0) script_fail(0, "invariant %d of the instance is broken", broken);
    for (unsigned i = 0; i < SCRIPT_BEHIND; i++)
        if (behind[i] != SCRIPT_CANARY) script_fail(0, "the memory behind the plan's was written");
}

void settle(void)
{
    struct weir_event ev[32];
    int n;
    unsigned rounds = 0;
    do {
        n = weir_poll(world.w, ev, 32, 0);
        if (n < 0) script_fail(0, "weir_poll returned %s", weir_strerror(n));
        note_events(ev, n);
    } while (++rounds < 64 && (rounds < 2 || n > 0 || world.dev.in_n > 0));
    if (world.broken[0] != 0) script_fail(0, "%s", world.broken);
    check_instance();
}

/* To the stack's next deadline, or to the end. */
static void step(uint64_t end_us)
{
    int64_t next;
    weir_next(world.w, &next);
    uint64_t to = next > (int64_t)world.sim.now_us ? (uint64_t)next : world.sim.now_us + 1000;
    world.sim.now_us = to < end_us ? to : end_us;
    settle();
}

void advance_us(uint64_t us)
{
    uint64_t end = world.sim.now_us + us;
    settle();
    while (world.sim.now_us < end)
        step(end);
}

void advance_ms(uint64_t ms)
{
    advance_us(ms * 1000);
}

uint64_t now_ms(void)
{
    return world.sim.now_us / 1000;
}

uint64_t await_segment(uint64_t ms)
{
    uint64_t start = world.sim.now_us;
    uint64_t end = world.sim.now_us + ms * 1000;
    while (world.seg_n == 0 && world.sim.now_us < end)
        step(end);
    return (world.sim.now_us - start) / 1000;
}

/* ---- injecting ---- */

static void no_leftovers(int line)
{
    if (world.seg_n > 0) script_fail(line, "%u segments were sent that nobody expected", world.seg_n);
}

static void learn_syn(struct flow *f, const struct seg *s)
{
    f->mss = (s->opts & SEG_MSS) ? s->mss : 536;
    f->peer_scaled = (s->opts & SEG_WSCALE) != 0;
    f->peer_scale = s->wscale > 14 ? 14 : s->wscale;
    f->peer_ts = (s->opts & SEG_TS) != 0;
}

static void note_sent(struct flow *f, const struct seg *s)
{
    uint32_t end = s->seq + seg_len(s);
    unsigned shift = f->peer_scaled && f->scaled && !(s->flags & SEG_SYN) ? f->peer_scale : 0;
    uint32_t edge = s->ack + ((uint32_t)s->win << shift);
    if (s->flags & SEG_SYN) learn_syn(f, s);
    if ((s->opts & SEG_TS) && ((s->flags & SEG_SYN) || (int32_t)(s->tsval - f->ts_val) > 0))
        f->ts_val = s->tsval;
    if ((int32_t)(end - f->sent_end) > 0) f->sent_end = end;
    if (!(s->flags & SEG_ACK) || !f->iss_known) return;
    if ((int32_t)(s->ack - f->acked) > 0) f->acked = s->ack;
    if (!f->given || (int32_t)(edge - f->edge_given) > 0) f->edge_given = edge;
    f->given = true;
}

static void make_segment(int line, struct seg *s, const char *text)
{
    struct flow *f = here();
    struct segspec spec;
    struct segbase base = script_base(f, true);
    const char *bad = segspec_parse(&spec, text);
    if (bad != NULL) script_fail(line, "the script's segment can't be read at: %s", bad);
    *s = (struct seg){
        .src = f->peer_ip, .dst = SCRIPT_WEIR_IP, .sport = f->peer_port, .dport = f->port, .win = f->win};
    s->ack = f->iss_known ? f->seen_end : 0;
    if (f->peer_ts && f->ts && !(spec.flags & SEG_SYN)) {
        s->opts = SEG_TS;
        s->tsval = f->ts_val;
        s->tsecr = f->ts_latest;
    }
    segspec_fill(s, &spec, &base);
    if (s->bytes > SEG_PAYLOAD_MAX) script_fail(line, "the script's segment has too many bytes: %s", text);
    uint32_t rel = s->seq - f->peer_iss + ((s->flags & SEG_SYN) != 0);
    for (uint32_t i = 0; i < s->bytes; i++)
        s->payload[i] = seg_byte(1, rel + i);
}

static void log_injected(const struct seg *s)
{
    char text[SCRIPT_LOG_BYTES];
    struct segbase base = script_base(here(), true);
    seg_text(text, sizeof text, s, &base);
    script_log("peer   %s", text);
}

static void build_v(int line, struct script_frame *f, const char *format, va_list args)
{
    char text[256];
    struct seg s;
    vsnprintf(text, sizeof text, format, args);
    make_segment(line, &s, text);
    note_sent(here(), &s);
    log_injected(&s);
    f->n = seg_encode(f->b, &s, weir_mac, peer_mac);
}

void script_build(int line, struct script_frame *f, const char *format, ...)
{
    world.line = line;
    va_list args;
    va_start(args, format);
    build_v(line, f, format, args);
    va_end(args);
}

static void queue_frame(int line, const uint8_t *frame, uint32_t n)
{
    if (!segdev_inject(&world.dev, frame, n))
        script_fail(line, "too many frames in one burst, or one is too long");
}

void inject_frame(const struct script_frame *f)
{
    no_leftovers(0);
    queue_frame(0, f->b, f->n);
    settle();
}

void script_inject(int line, bool run, const char *format, ...)
{
    world.line = line;
    struct script_frame f;
    va_list args;
    no_leftovers(line);
    va_start(args, format);
    build_v(line, &f, format, args);
    va_end(args);
    queue_frame(line, f.b, f.n);
    if (run) settle();
}

void inject_icmp(uint8_t type, uint8_t code, uint16_t mtu, uint32_t seq)
{
    struct script_frame f, quote;
    uint8_t *icmp = f.b + SEG_L4_AT;
    struct seg s = {
        .src = SCRIPT_WEIR_IP, .dst = here()->peer_ip, .sport = here()->port, .dport = here()->peer_port};
    s.seq = script_base(here(), false).seq + seq;
    s.flags = SEG_ACK;
    seg_encode(quote.b, &s, peer_mac, weir_mac);
    memset(icmp, 0, 8);
    icmp[0] = type;
    icmp[1] = code;
    weir_put_be16(icmp + 6, mtu);
    memcpy(icmp + 8, quote.b + SEG_L3_AT, 28);
    weir_put_be16(icmp + 2, (uint16_t)~seg_sum(0, icmp, 36));
    f.n = seg_wrap_ip(f.b, here()->peer_ip, SCRIPT_WEIR_IP, 1, 36, weir_mac, peer_mac);
    script_log("peer   ICMP %u %u mtu %u for seq %u", type, code, mtu, seq);
    inject_frame(&f);
}

/* ---- expecting ---- */

static void parse_expected(int line, struct segspec *spec, const char *text)
{
    const char *bad = segspec_parse(spec, text);
    if (bad != NULL) script_fail(line, "the expected segment can't be read at: %s", bad);
}

/* What differs between a captured segment and the text; NULL: nothing. */
static const char *differs(int line, const struct seg *s, const char *text)
{
    struct flow *f = here();
    struct segbase base = script_base(f, false);
    struct segspec spec;
    parse_expected(line, &spec, text);
    if (s->dst != f->peer_ip || s->dport != f->peer_port || s->sport != f->port) return "addresses or ports";
    return segspec_differs(&spec, s, &base, f->peer_ts && f->ts);
}

static void mismatch(int line, const struct seg *s, const char *wanted, const char *what)
{
    char text[200];
    struct segbase base = script_base(here(), false);
    seg_text(text, sizeof text, s, &base);
    script_fail(line, "%s\n  expected %s\n  got      %s", what, wanted, text);
}

void script_expect(int line, uint64_t low_ms, uint64_t high_ms, const char *format, ...)
{
    world.line = line;
    char text[256];
    va_list args;
    uint64_t start = world.sim.now_us;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (low_ms > 0 && world.seg_n > 0)
        script_fail(line, "too early: something was sent at once, expected after %u ms: %s", (unsigned)low_ms,
                    text);
    await_segment(high_ms);
    if (world.seg_n == 0) script_fail(line, "nothing was sent, expected: %s", text);
    const char *what = differs(line, peek(), text);
    if (what != NULL) mismatch(line, peek(), text, what);
    if (world.sim.now_us - start < low_ms * 1000)
        script_fail(line, "after %.3f ms, too early for: %s", (double)(world.sim.now_us - start) / 1000.0,
                    text);
    pop();
}

int script_either(int line, const char *a, const char *b)
{
    world.line = line;
    char both[300];
    snprintf(both, sizeof both, "%s\n  or       %s", a, b);
    if (world.seg_n == 0) script_fail(line, "nothing was sent, expected: %s", both);
    bool first = differs(line, peek(), a) == NULL;
    if (!first && differs(line, peek(), b) != NULL) mismatch(line, peek(), both, "neither");
    pop();
    return first ? 0 : 1;
}

unsigned script_stream(int line, uint32_t from, uint32_t to, bool fin)
{
    world.line = line;
    unsigned n = 0;
    bool ended = false;
    while (from < to || (fin && !ended)) {
        if (world.seg_n == 0) script_fail(line, "the stream stops at %u, expected up to %u", from, to);
        const struct seg *s = peek();
        ended = (s->flags & SEG_FIN) != 0;
        if (s->seq - script_base(here(), false).seq != from || (s->bytes == 0 && !ended) || (ended && !fin) ||
            (ended && from + s->bytes != to) || (s->flags & (SEG_SYN | SEG_RST | SEG_ACK)) != SEG_ACK)
            mismatch(line, s, "the next bytes of the stream", "not in the stream");
        from += s->bytes;
        pop();
        n++;
    }
    if (from != to) script_fail(line, "the stream goes to %u, expected up to %u", from, to);
    return n;
}

void script_acked(int line, uint32_t ack, uint64_t ms)
{
    world.line = line;
    await_segment(ms);
    const struct seg *s = script_take(line);
    uint32_t is = s->ack - here()->peer_iss;
    if (is != ack || s->bytes != 0 || s->flags != SEG_ACK)
        mismatch(line, s, "an acknowledgement alone", "not acknowledged so far");
}

void script_silent(int line, uint64_t ms)
{
    world.line = line;
    no_leftovers(line);
    await_segment(ms);
    if (world.seg_n > 0) script_fail(line, "silence was expected for %u ms", (unsigned)ms);
}

/* ---- life ---- */

static uint32_t or_default(uint32_t value, uint32_t other)
{
    return value != 0 ? value : other;
}

static void configure(const struct script_conf *c)
{
    struct weir_config *conf = &world.conf;
    if (weir_config_size(conf, 16u << 20) != 0) script_fail(c->line, "weir_config_size refuses 16 MiB");
    conf->plat = &world.sim.plat;
    conf->rcvbuf_bytes = or_default(c->rcvbuf, 65536);
    conf->sndbuf_bytes = or_default(c->sndbuf, 262144);
    conf->app_hold_bytes = or_default(c->app_hold, conf->app_hold_bytes);
    if (conf->app_hold_bytes < conf->rcvbuf_bytes) conf->app_hold_bytes = conf->rcvbuf_bytes;
    conf->conns = or_default(c->conns, 64);
    conf->listeners = 8;
    conf->timewait = or_default(c->timewait, 64);
    conf->ooo_conn = or_default(c->ooo_conn, 64);
    conf->msl_ms = or_default(c->msl_ms, 1000);
    conf->rto_min_us = or_default(c->rto_min_us, 200000);
    conf->rto_max_us = or_default(c->rto_max_us, 60000000);
    conf->delack_us = c->delack_off ? 0 : or_default(c->delack_us, 40000);
    conf->syn_retries = or_default(c->syn_retries, 3);
    conf->data_retries = or_default(c->data_retries, 5);
    conf->challenge_acks = or_default(c->challenge_acks, 1000);
    conf->icmp_errors = or_default(c->icmp_errors, 1000);
    conf->keepalive_ms = 10000;
    conf->keepalive_interval_ms = 1000;
    conf->keepalive_probes = 3;
}

/* The stack learns where the remote host is, so that ARP is not part of every case. */
static void say_hello(uint32_t ip)
{
    uint8_t arp[SEG_FRAME_MIN] = {0};
    memset(arp, 0xff, 6);
    memcpy(arp + 6, peer_mac, 6);
    weir_put_be16(arp + 12, 0x0806);
    weir_put_be16(arp + 14, 1);
    weir_put_be16(arp + 16, 0x0800);
    arp[18] = 6;
    arp[19] = 4;
    weir_put_be16(arp + 20, 1);
    memcpy(arp + 22, peer_mac, 6);
    weir_put_be32(arp + 28, ip);
    weir_put_be32(arp + 38, SCRIPT_WEIR_IP);
    segdev_inject(&world.dev, arp, sizeof arp);
}

void script_start(const struct script_conf *c)
{
    world.line = c->line;
    struct weir_plan plan;
    struct weir_ifaddr addr;
    weir_sim_init(&world.sim, 7);
    world.sim.now_us = c->now_us != 0 ? c->now_us : 1000000;
    world.no_arp = c->no_arp;
    configure(c);
    if (weir_plan(&world.conf, &plan) != 0)
        script_fail(c->line, "the plan refuses %s: %s", plan.option, plan.why);
    size_t align = plan.align_bytes < sizeof(void *) ? sizeof(void *) : plan.align_bytes;
    size_t bytes = (size_t)(plan.total_bytes + align - 1) / align * align;
    world.bytes = (size_t)plan.total_bytes;
    world.memory = aligned_alloc(align, bytes + align);
    memset((uint8_t *)world.memory + world.bytes, SCRIPT_CANARY, bytes + align - world.bytes);
    struct weir_area area = {.base = world.memory, .bytes = world.bytes, .kind = WEIR_AREA_ANY};
    int err = weir_start(&world.w, &world.conf, &area, 1);
    if (err != 0) script_fail(c->line, "weir_start: %s", weir_strerror(err));
    segdev_init(&world.dev, weir_mac, c->mtu != 0 ? c->mtu : 1500, captured, NULL);
    if (weir_ifaddr_parse(&addr, "10.9.0.2/24") != 0 ||
        (err = weir_attach(world.w, &world.dev.dev, &addr)) != 0)
        script_fail(c->line, "weir_attach: %s", weir_strerror(err));
    flow(0);
    if (!world.no_arp) say_hello(SCRIPT_PEER_IP);
    settle();
    no_leftovers(c->line);
}

/* Orphans (closed by the application, not by the peer) end with an exact reset. */
static void reset_flows(void)
{
    for (unsigned i = 0; i < SCRIPT_FLOWS; i++) {
        if (!world.flow[i].used || world.flow[i].port == 0) continue;
        struct flow *f = flow(i);
        drain();
        if (f->peer_ts && f->ts)
            inject("R. =%u:=%u ack =%u <ts %u e>", f->last_ack, f->last_ack, f->seen_end, f->ts_val);
        else
            inject("R. =%u:=%u ack =%u <>", f->last_ack, f->last_ack, f->seen_end);
    }
}

/* Zbufs that are neither posted nor the segment that copies are packed into. */
static unsigned leaked(void)
{
    struct weir_zinfo z[32];
    uint32_t cursor = 0;
    unsigned n = 0;
    int got;
    while ((got = weir_census(world.w, &cursor, z, 32)) > 0)
        for (int i = 0; i < got; i++)
            n += (z[i].owners & ~(1u << WEIR_OWNER_WARM | 1u << WEIR_OWNER_POSTED)) != 0;
    return n;
}

static void nothing_left(void)
{
    script_close_all();
    settle();
    reset_flows();
    advance_ms(2 * world.conf.msl_ms + 1000);
    drain();
    struct weir_stats s = stats();
    INNER_EQ(s.conns_live, 0);
    INNER_EQ(s.timewait_live, 0);
    INNER_EQ(s.pbufs_live, 0);
    INNER_EQ(s.txrecs_live, 0);
    INNER_EQ(leaked(), 0);
    script_check(0, "zbuf_live <= 1", s.zbuf_live, 0, 1); /* the segment that copies are packed into */
    INNER_EQ(weir_stop(world.w), 0);
    world.w = NULL;
}

void stop(int held)
{
    settle();
    script_check(0, "weir_stop", weir_stop(world.w), held, held);
    world.w = NULL;
    if (world.broken[0] != 0) script_fail(0, "%s", world.broken);
}

void script_run(const char *name, const char *file, void (*script)(void))
{
    const char *slash = strrchr(file, '/');
    script_teardown(NULL);
    world.name = name;
    world.file = slash != NULL ? slash + 1 : file;
    world.seg = calloc(SCRIPT_CAPTURED, sizeof *world.seg);
    assert_non_null(world.seg);
    script();
    if (world.w != NULL) settle();
    if (world.seg_n > 0) script_fail(0, "%u segments were sent at the end that nobody expected", world.seg_n);
    if (world.w != NULL) nothing_left();
}

int script_teardown(void **state)
{
    (void)state;
    free(world.seg);
    free(world.memory);
    memset(&world, 0, sizeof world);
    return 0;
}
