/* bench_lwip.c: the measured server over lwIP's raw interface, driven by one thread.
 *
 * lwIP is initialised without its thread, so nothing but this loop calls it; its core-locking check allows
 * that. Timers run once a turn and are not counted. Its receive buffers are allocated inside the counted
 * sections, as Weir's are, and filled outside.
 *
 * They are PBUF_RAM. Debian's library has a pool for PBUF_POOL whose cells hold 592 bytes while pbuf_alloc
 * reckons with 1,536, so a frame of the MTU would be written past its cell. (glibc's netinet/tcp.h, included
 * where the pools are made, defines TCP_MSS as 512.) Both kinds come from malloc there. */
#include "bench.h"
#include "bench_serve.h"

#ifndef BENCH_HAVE_LWIP

bool bench_has_lwip(void)
{
    return false;
}

void serve_count_lwip(const struct serve_case *k, uint16_t ports)
{
    (void)k, (void)ports;
}

_Noreturn void serve_tap_lwip(void (*ready)(void *ctx), void *ctx)
{
    (void)ready, (void)ctx;
    bench_die("built without lwIP");
}

void bench_lwip_cell(void) {}

void *bench_lwip_pbuf(uint16_t bytes)
{
    (void)bytes;
    return NULL;
}

void bench_lwip_pbuf_free(void *p)
{
    (void)p;
}

#else

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <lwip/etharp.h>
#include <lwip/ethip6.h>
#include <lwip/init.h>
#include <lwip/memp.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>

#define TURN_FRAMES 64u
#define FRAME_MAX   1514u
#define HEAD_BYTES  128u
#define TURNS_MAX   2000000u

bool bench_has_lwip(void)
{
    return true;
}

/* ---- memory alone ---- */

void bench_lwip_cell(void)
{
    void *cell = memp_malloc(MEMP_TCP_SEG);
    if (cell != NULL) memp_free(MEMP_TCP_SEG, cell);
}

void *bench_lwip_pbuf(uint16_t bytes)
{
    return pbuf_alloc(PBUF_RAW, bytes, PBUF_RAM);
}

void bench_lwip_pbuf_free(void *p)
{
    pbuf_free(p);
}

/* ---- the application ---- */

static uint8_t source_bytes[SERVE_PAGE_BYTES];

static void source(struct tcp_pcb *pcb)
{
    for (;;) {
        uint32_t room = tcp_sndbuf(pcb);
        u16_t n = room > 0xffff ? 0xffff : (u16_t)room;
        err_t e = ERR_MEM;
        while (n > 0 && (e = tcp_write(pcb, source_bytes, n, 0)) == ERR_MEM)
            n = n > TCP_MSS ? (u16_t)(n / 2) : 0;
        if (e != ERR_OK) return;
    }
}

static err_t on_sent(void *what, struct tcp_pcb *pcb, u16_t n)
{
    (void)n;
    if ((uintptr_t)what == SERVE_SOURCE) source(pcb);
    return ERR_OK;
}

static err_t on_recv(void *what, struct tcp_pcb *pcb, struct pbuf *p, err_t e)
{
    (void)e;
    if (p == NULL) {
        if ((uintptr_t)what != SERVE_SOURCE) return tcp_close(pcb);
        tcp_abort(pcb);
        return ERR_ABRT;
    }
    if ((uintptr_t)what == SERVE_ECHO) (void)tcp_write(pcb, p->payload, p->len, TCP_WRITE_FLAG_COPY);
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
}

static struct tcp_pcb *accepted[PEER_CONNS];
static unsigned n_accepted;

static err_t on_accept(void *what, struct tcp_pcb *pcb, err_t e)
{
    if (e != ERR_OK || pcb == NULL) return ERR_VAL;
    accepted[n_accepted++ % PEER_CONNS] = pcb;
    tcp_arg(pcb, what);
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    if ((uintptr_t)what == SERVE_ECHO) tcp_nagle_disable(pcb);
    if ((uintptr_t)what == SERVE_SOURCE) source(pcb);
    return ERR_OK;
}

static struct tcp_pcb *listen_to(enum serve_what what, uint16_t port)
{
    struct tcp_pcb *pcb = tcp_new();
    if (pcb == NULL || tcp_bind(pcb, IP_ANY_TYPE, port) != ERR_OK) bench_die("lwIP cannot bind");
    pcb = tcp_listen_with_backlog(pcb, TCP_DEFAULT_LISTEN_BACKLOG);
    if (pcb == NULL) bench_die("lwIP cannot listen");
    tcp_arg(pcb, (void *)(uintptr_t)what);
    tcp_accept(pcb, on_accept);
    return pcb;
}

/* ---- the interface ---- */

static struct netif interface;

static void bring_up(const uint8_t ip[4], netif_init_fn init)
{
    ip4_addr_t addr, mask, none;
    memset(source_bytes, 'x', sizeof source_bytes);
    lwip_init();
    IP4_ADDR(&addr, ip[0], ip[1], ip[2], ip[3]);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    IP4_ADDR(&none, 0, 0, 0, 0);
    if (netif_add(&interface, &addr, &mask, &none, NULL, init, ethernet_input) == NULL)
        bench_die("lwIP takes no interface");
    netif_set_default(&interface);
    netif_set_up(&interface);
    netif_set_link_up(&interface);
}

static void describe(struct netif *n, netif_linkoutput_fn output)
{
    n->name[0] = 'w', n->name[1] = 'b';
    n->mtu = 1500;
    n->hwaddr_len = 6;
    memcpy(n->hwaddr, peer_server_mac, 6);
    n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    n->output = etharp_output;
    n->output_ip6 = ethip6_output;
    n->linkoutput = output;
}

/* ---- counted ---- */

static struct peer peer;
static uint8_t frames[TURN_FRAMES][PEER_FRAME_BYTES];
static uint32_t frame_bytes[TURN_FRAMES];

static err_t counted_output(struct netif *n, struct pbuf *p)
{
    uint8_t head[HEAD_BYTES];
    (void)n;
    bench_pause();
    peer_take(&peer, head, pbuf_copy_partial(p, head, sizeof head, 0), p->tot_len);
    bench_resume();
    return ERR_OK;
}

static err_t counted_init(struct netif *n)
{
    describe(n, counted_output);
    return ERR_OK;
}

/* One frame comes in, in a buffer as a driver would take it. */
static void input(const uint8_t *bytes, uint32_t n)
{
    struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)n, PBUF_RAM);
    if (p == NULL) bench_die("lwIP has no memory");
    bench_pause();
    pbuf_take(p, bytes, (u16_t)n);
    bench_resume();
    if (interface.input(p, &interface) != ERR_OK) pbuf_free(p);
}

static unsigned collect(void)
{
    unsigned n = 0;
    for (; n < TURN_FRAMES && peer_next(&peer); n++) {
        memcpy(frames[n], peer.frame, peer.frame_bytes);
        frame_bytes[n] = peer.frame_bytes;
    }
    return n;
}

static void run_session(void)
{
    bool begun = false;
    for (unsigned turns = 0; !peer.over; turns++) {
        if (turns == TURNS_MAX) bench_die("the connection over lwIP makes no progress");
        bench_pause();
        sys_check_timeouts();
        unsigned n = collect();
        if (peer.counting && !begun) {
            begun = true;
            bench_begin();
        } else
            bench_resume();
        for (unsigned i = 0; i < n; i++)
            input(frames[i], frame_bytes[i]);
        bench_pause();
        peer_turn(&peer);
    }
    bench_stop();
}

void serve_count_lwip(const struct serve_case *k, uint16_t ports)
{
    static bool up;
    n_accepted = 0;
    peer_init(&peer, &k->conf, ports);
    if (!up) bring_up(peer_server_ip, counted_init);
    up = true;
    struct tcp_pcb *listener = listen_to(k->what, PEER_PORT);
    run_session();
    if (peer.odd > 0)
        bench_note("%s, lwip: left out, %llu frames were not as expected", k->name,
                   (unsigned long long)peer.odd);
    else
        bench_end(k->name, k->variant, k->unit, (double)peer_counted(&peer));
    tcp_close(listener);
    for (unsigned i = 0; i < n_accepted && i < PEER_CONNS; i++)
        tcp_abort(accepted[i]);
}

/* ---- over a TAP device ---- */

static int tap_fd;

static err_t tap_output(struct netif *n, struct pbuf *p)
{
    uint8_t flat[FRAME_MAX];
    const void *bytes = p->len == p->tot_len ? p->payload : flat;
    (void)n;
    if (p->tot_len > FRAME_MAX) return ERR_BUF;
    if (bytes == flat) pbuf_copy_partial(p, flat, p->tot_len, 0);
    return write(tap_fd, bytes, p->tot_len) == (ssize_t)p->tot_len ? ERR_OK : ERR_BUF;
}

static err_t tap_init(struct netif *n)
{
    describe(n, tap_output);
    return ERR_OK;
}

static void tap_open(void)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", SERVE_TAP_LWIP);
    tap_fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap_fd < 0 || ioctl(tap_fd, TUNSETIFF, &r) != 0) bench_die("lwIP's TAP device: %s", strerror(errno));
}

/* A frame straight into lwIP's buffer; false: there is none. */
static bool tap_input(void)
{
    struct pbuf *p = pbuf_alloc(PBUF_RAW, FRAME_MAX, PBUF_RAM);
    if (p == NULL) return false;
    ssize_t n = read(tap_fd, p->payload, FRAME_MAX);
    if (n > 0) pbuf_realloc(p, (u16_t)n);
    if (n <= 0 || interface.input(p, &interface) != ERR_OK) pbuf_free(p);
    return n > 0;
}

_Noreturn void serve_tap_lwip(void (*ready)(void *ctx), void *ctx)
{
    static const uint8_t ip[4] = {10, 77, 2, 2};
    tap_open();
    bring_up(ip, tap_init);
    listen_to(SERVE_ECHO, SERVE_ECHO);
    listen_to(SERVE_SINK, SERVE_SINK);
    listen_to(SERVE_SOURCE, SERVE_SOURCE);
    ready(ctx);
    for (;;) {
        struct pollfd f = {.fd = tap_fd, .events = POLLIN};
        (void)poll(&f, 1, (int)sys_timeouts_sleeptime());
        for (unsigned i = 0; i < TURN_FRAMES && tap_input(); i++) {
        }
        sys_check_timeouts();
    }
}

#endif
