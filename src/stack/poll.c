/* poll.c: the loop. One pass: releases of other threads, receive, timers, output, events. A poll makes passes
 * until there is something to tell, nothing left to do, or the time is over; in between it sleeps.
 *
 * A pass costs a compare for each part that has nothing to do: with one short request and its answer, what is
 * not due is most of what a pass could look at. When the next timer or neighbour is due is kept until one of
 * them can be sooner: wheel, TIME-WAIT and neighbours clear weir_tcp.next_known themselves. What is seldom
 * needed stands in functions of its own, whose arguments the usual way would carry along.
 *
 * Sending first. Where little moves, a poll that follows one in which the instance slept finds no frame: what the
 * application did in between is sent at once, and the sleep, which a frame ends, is what looks at the devices.
 * For the same reason a poll that has slept asks for as many frames as came the last time: to ask for more would
 * mostly be answered by none, and if there are more, the next sleep is none. A request costs three calls into the
 * system so, instead of five. Under load polls do not sleep, and each receives first, a whole burst.
 *
 * The sleep. A giver pushes a zbuf on the list, then looks at `sleeping` and wakes; the owner sets
 * `sleeping`, then looks at the list once more. Both touch `sleeping` with a read-modify-write, so one of the
 * two sees the other and no release waits for a sleeper. weir_next sets it as well, since a foreign loop
 * sleeps after it; the poll that follows takes a wake away that may have come, or the loop's handle would
 * stay readable. That costs a wait of no length a round. Rejected: only where a giver says that it has woken.
 * It says so before it does, and the wake may come after the look. */
#include "base/bits.h"
#include "stack/stack.h"

#define TIMERS_A_PASS 256u
#define NEVER         INT64_MAX
#define ROOM_US       1000 /* until a device that had no room is asked again */
#define SPARSE_BYTES  8192 /* between two waits: more is bulk, whose frames come without being waited for */
#define SPARSE_US     5    /* a wait that took so long has waited for something */
#define SLEEP_MAX_US  86400000000 /* a day: the timing wheel must be told the time now and then */

static WEIR_APART void set_ms(struct weir *w)
{
    uint64_t ms = w->now_us / 1000;
    w->ms_us = ms * 1000;
    w->tcp.now_ms = w->ip.now_ms = w->z.now_ms = (uint32_t)ms;
}

static inline void set_time(struct weir *w)
{
    w->now_us = w->tcp.now_us = w->plat->now_us(w->plat->ctx);
    if (w->now_us - w->ms_us >= 1000) set_ms(w);
}

static inline uint32_t anything_given(const struct weir *w)
{
    return atomic_load_explicit(&w->z.given, memory_order_relaxed);
}

/* Timers; then answered or failed neighbours: whoever waits tries again. */
static WEIR_APART void run_due(struct weir *w)
{
    uint32_t next;
    if (!weir_tcp_timers_quiet(&w->tcp)) weir_tcp_timers(&w->tcp, TIMERS_A_PASS);
    for (uint32_t i = 0; i < w->ip.n_ifc; i++) {
        struct weir_ifc *ifc = &w->ip.ifc[i];
        if (ifc->ether) (void)weir_neigh_tick(&ifc->neigh, w->ip.now_ms, &next);
    }
}

static WEIR_APART void flush_from(struct weir *w, uint32_t i)
{
    for (; i < w->ip.n_ifc; i++)
        if (weir_txq_pending(&w->ip.ifc[i].txq)) weir_txq_flush(&w->ip.ifc[i].txq);
}

static inline void flush_all(struct weir *w)
{
    if (weir_txq_pending(&w->ip.ifc[0].txq))
        weir_txq_flush(&w->ip.ifc[0].txq); /* nothing pends where none is */
    if (w->ip.n_ifc > 1) flush_from(w, 1);
}

static uint64_t moved_bytes(const struct weir *w)
{
    return w->stats.rx_bytes_wire + w->stats.tx_bytes_wire;
}

/* Little has moved between the last two waits, the last was one, and a device will end the next. Asked once,
 * when the pass after a wait has the time. */
static bool is_sparse(const struct weir *w)
{
    return w->waited && w->wakes && w->little && w->now_us - w->wait_us >= SPARSE_US;
}

static WEIR_APART void look_closely(struct weir *w)
{
    (void)weir_press_look(&w->tcp.mem.press, &w->z, &w->tcp.mem.pbufs);
}

static inline void look_at_memory(struct weir *w)
{
    if (!weir_press_ample(&w->tcp.mem.press, &w->z, &w->tcp.mem.pbufs)) look_closely(w);
}

static WEIR_APART void catch_up(struct weir *w)
{
    if (anything_given(w)) {
        weir_drain_given(w);
        look_at_memory(w);
    }
    weir_tcp_unblock(&w->tcp); /* before those that this burst makes dirty */
}

static inline void begin_pass(struct weir *w)
{
    set_time(w);
    if ((anything_given(w) | weir_tcp_blocked(&w->tcp)) != 0) catch_up(w);
}

static WEIR_APART void climb(struct weir *w)
{
    if (weir_tcp_ladder_pass(&w->tcp)) w->more = true;
}

static inline void end_pass(struct weir *w)
{
    look_at_memory(w); /* before windows are told */
    if (!weir_tcp_ladder_idle(&w->tcp)) climb(w);
    if (w->tcp.dirty_first) weir_tcp_output_all(&w->tcp);
    flush_all(w);
    if (w->tcp.memwait_first) weir_tcp_memory(&w->tcp);
}

/* A pass that only sends. next_pass finds what is due, before one that receives. */
static WEIR_APART void send_pass(struct weir *w)
{
    begin_pass(w);
    end_pass(w);
}

/* The look before it receives is the caller's where the application may have taken memory since the last one;
 * where nobody may, memory that was ample is ample still. */
static WEIR_APART void whole_pass(struct weir *w)
{
    begin_pass(w);
    w->more = false;
    w->sparse = is_sparse(w);
    w->asked = w->got && w->sparse ? w->got : w->conf.rx_burst;
    if (w->tcp.mem.press.rung != WEIR_RUNG_NONE) look_at_memory(w);
    weir_rx_all(w);
    if (!w->tcp.next_known || w->now_us >= w->next_us) run_due(w);
    end_pass(w);
}

/* What a poll tells besides connections' events. */
static uint32_t rare_events(const struct weir *w)
{
    return w->zwait | (uint32_t)(w->tcp.ladder.rung ^ w->tcp.ladder.told) | w->tcp.lis_ready;
}

static WEIR_APART int collect_rare(struct weir *w, struct weir_event *ev, int n)
{
    int k = 0;
    if (n > 0 && w->zwait && weir_memory_event(w, ev)) k = 1;
    if (n > k && weir_pressure_event(w, ev + k)) k++;
    return n > k ? k + weir_tcp_events(&w->tcp, ev + k, n - k) : k;
}

static inline int collect(struct weir *w, struct weir_event *ev, int n)
{
    uint32_t rare = rare_events(w);
    if ((rare | w->tcp.ready_first) == 0) return 0;
    return rare ? collect_rare(w, ev, n) : weir_tcp_events(&w->tcp, ev, n);
}

/* The clock's time of a 32-bit millisecond deadline near now: not before it. */
static int64_t us_of(const struct weir *w, uint32_t when_ms)
{
    uint64_t now_ms = w->now_us / 1000;
    int32_t ahead = (int32_t)(when_ms - (uint32_t)now_ms);
    return ((int64_t)now_ms + (ahead < 0 ? 0 : ahead)) * 1000;
}

static void sooner(uint32_t ms, uint32_t *first_ms, bool *any)
{
    if (!*any || weir_seq_lt(ms, *first_ms)) *first_ms = ms;
    *any = true;
}

/* When timers or neighbours are due, kept for as long as none of them can be sooner (tcp.next_known). */
static WEIR_APART uint64_t find_due(struct weir *w)
{
    uint32_t ms, first_ms = 0;
    bool any = weir_tcp_next(&w->tcp, &first_ms),
         known = w->tcp.wheel.next_known || w->tcp.wheel.pending == 0;
    for (uint32_t i = 0; i < w->ip.n_ifc; i++) {
        struct weir_ifc *ifc = &w->ip.ifc[i];
        if (!ifc->ether) continue;
        if (weir_neigh_tick(&ifc->neigh, w->ip.now_ms, &ms)) sooner(ms, &first_ms, &any);
        known = known && ifc->neigh.next_known;
    }
    uint64_t tell_us = w->now_us + SLEEP_MAX_US, first_us = any ? (uint64_t)us_of(w, first_ms) : UINT64_MAX;
    w->next_us = first_us < tell_us ? first_us : tell_us;
    w->never = !any;
    w->tcp.next_known = known;
    return w->next_us;
}

/* What only some instances have to think of before they sleep: devices that know when they have work, the
 * ladder's last rung, connections that could not send. */
static WEIR_APART int64_t sooner_than(struct weir *w, int64_t next)
{
    uint32_t ms;
    if (weir_tcp_ladder_next(&w->tcp, &ms)) next = next < us_of(w, ms) ? next : us_of(w, ms);
    for (uint32_t i = 0; i < w->ip.n_ifc; i++) {
        struct weir_netdev *dev = w->ip.ifc[i].dev;
        uint64_t us = dev->ops->next_us ? dev->ops->next_us(dev) : UINT64_MAX;
        if (us < (uint64_t)next) next = (int64_t)us;
    }
    /* Records come back in a poll mostly, but an application that aborts a connection gives them back too. */
    bool again = w->tcp.blocked_room || (w->tcp.blocked_record && weir_cells_left(&w->tcp.mem.txrecs) > 0);
    if (again && next > (int64_t)w->now_us + ROOM_US) next = (int64_t)w->now_us + ROOM_US;
    return w->tcp.dirty_first || w->more ? (int64_t)w->now_us : next;
}

/* When there is something to do, whatever there is to tell. */
static inline int64_t next_pass(struct weir *w)
{
    uint64_t due = w->tcp.next_known ? w->next_us : find_due(w);
    int64_t next = due < (uint64_t)NEVER ? (int64_t)due : NEVER;
    uint32_t rare = w->tcp.dirty_first | w->tcp.blocked_room | w->tcp.blocked_record | w->tcp.ladder.rung;
    return (rare | w->more | w->scheduled) != 0 ? sooner_than(w, next) : next;
}

/* What a poll would tell, send or carry out at once: events that did not fit or came of a call, a reset that
 * a close has built. */
static bool owes(const struct weir *w)
{
    for (uint32_t i = 0; i < w->ip.n_ifc; i++)
        if (w->ip.ifc[i].txq.n > 0) return true;
    return weir_tcp_has_events(&w->tcp) || weir_memory_due(w) || weir_pressure_due(w) ||
           weir_tcp_ladder_due(&w->tcp);
}

/* Before any sleep: from now on givers wake. Whether one came before. */
static bool lie_down(struct weir *w)
{
    (void)atomic_exchange_explicit(&w->sleeping, 1, memory_order_seq_cst);
    return atomic_load_explicit(&w->z.given, memory_order_seq_cst) != 0 ||
           atomic_load_explicit(&w->woken, memory_order_seq_cst) != 0;
}

/* After a foreign loop's sleep. */
static void get_up(struct weir *w)
{
    if (!atomic_load_explicit(&w->sleeping, memory_order_relaxed)) return;
    atomic_store_explicit(&w->sleeping, 0, memory_order_relaxed);
    w->plat->wait(w->plat->ctx, 0);
}

int weir_next(struct weir *w, int64_t *next_us)
{
    int64_t next = next_pass(w);
    int handles = 0;
    if (w->never && next == (int64_t)w->next_us) next = NEVER;
    for (uint32_t i = 0; i < w->ip.n_ifc; i++)
        handles += w->ip.ifc[i].dev->ops->wait_handle(w->ip.ifc[i].dev) >= 0;
    weir_tcp_memory(&w->tcp); /* what the application gave back since may be what a writer waits for, */
    look_at_memory(w);        /* or what keeps windows shut */
    if (lie_down(w) || owes(w)) next = (int64_t)w->now_us;
    if (next_us) *next_us = next;
    return handles;
}

/* Sleeps until `until` at the latest, or for nothing if something came in the meantime. */
static WEIR_APART void sleep_until(struct weir *w, int64_t until)
{
    int64_t next = next_pass(w);
    if (next < until) until = next;
    bool due = lie_down(w);
    int64_t now = (int64_t)w->plat->now_us(w->plat->ctx);
    if (!due && until > now) {
        w->stats.waits++;
        w->waited = true;
        w->wait_us = (uint64_t)now;
        w->little = moved_bytes(w) - w->moved < SPARSE_BYTES;
        w->moved = moved_bytes(w);
        w->plat->wait(w->plat->ctx, until - now < SLEEP_MAX_US ? until - now : SLEEP_MAX_US);
    }
    atomic_store_explicit(&w->sleeping, 0, memory_order_relaxed);
}

/* Most polls are not: they are spared the locked exchange. */
static bool was_woken(struct weir *w)
{
    if (atomic_load_explicit(&w->woken, memory_order_relaxed) == 0) return false;
    return atomic_exchange_explicit(&w->woken, 0, memory_order_acquire) != 0;
}

/* Whether this poll need not receive before it sleeps. */
static bool sends_first(struct weir *w, int64_t timeout_us)
{
    bool first = w->sparse && !w->more && timeout_us != 0;
    w->sparse = w->waited = false;
    return first;
}

/* Whether a poll with nothing to tell returns. */
static inline bool is_over(const struct weir *w, int n, int64_t end)
{
    return (int64_t)w->now_us >= end || (n == 0 && weir_tcp_has_events(&w->tcp));
}

int weir_poll(struct weir *w, struct weir_event *ev, int n, int64_t timeout_us)
{
    if (ev == NULL ? n != 0 : n < 0) return WEIR_EINVAL;
    w->stats.polls++;
    get_up(w);
    if (sends_first(w, timeout_us)) {
        send_pass(w);
    } else {
        look_at_memory(w);
        whole_pass(w);
    }
    int64_t end = NEVER;
    if (timeout_us >= 0 && timeout_us < NEVER - (int64_t)w->now_us) end = (int64_t)w->now_us + timeout_us;
    for (;;) {
        int k = collect(w, ev, n);
        if (was_woken(w) || k > 0 || is_over(w, n, end)) return k;
        sleep_until(w, end);
        whole_pass(w);
    }
}

int weir_flush(struct weir *w)
{
    set_time(w);
    weir_tcp_output_all(&w->tcp);
    flush_all(w);
    return 0;
}

void weir_wake(struct weir *w)
{
    atomic_store_explicit(&w->woken, 1, memory_order_release);
    if (w->plat->wake) w->plat->wake(w->plat->ctx);
}
