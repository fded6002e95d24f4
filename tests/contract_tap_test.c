/* contract_tap_test.c: the contract suite over TAP, with and without offloads. The peer is a packet socket on
 * the kernel's end of the device. */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netdev_contract.h"
#include "tapns.h"
#include "weir/tap.h"

static struct weir_tap tap;
static struct weir_linux linux_plat;
static int offload, sock = -1;

static const char *build(struct contract_rig *r)
{
    const char *why = tapns_enter();
    if (why) return why;
    if (weir_linux_open(&linux_plat) != 0) return "no platform";
    r->plat = &linux_plat.plat;
    weir_tap_init(&tap, "weirtap0", "10.9.0.1/24", offload);
    r->dev = &tap.dev;
    return NULL;
}

static void opened(struct contract_rig *r)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(CONTRACT_ETHERTYPE),
                             .sll_ifindex = (int)if_nametoindex(tap.ifname)};
    (void)r;
    if (sock >= 0) close(sock);
    sock = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(CONTRACT_ETHERTYPE));
    if (sock < 0 || bind(sock, (struct sockaddr *)&at, sizeof at) != 0) abort();
}

static void destroy(struct contract_rig *r)
{
    (void)r;
    if (sock >= 0) close(sock);
    sock = -1;
    weir_linux_close(&linux_plat);
}

static int peer_send(struct contract_rig *r, const uint8_t *frame, uint32_t bytes)
{
    (void)r;
    return send(sock, frame, bytes, 0) == (ssize_t)bytes;
}

static uint32_t peer_recv(struct contract_rig *r, uint8_t *frame, uint32_t cap)
{
    (void)r;
    ssize_t n = recv(sock, frame, cap, 0);
    return n < 0 ? 0 : (uint32_t)n;
}

/* Waits a moment for the kernel, but no longer than until something has arrived. */
static void settle(struct contract_rig *r)
{
    struct pollfd p[2] = {{.fd = sock, .events = POLLIN}, {.fd = tap.fd, .events = POLLIN}};
    (void)r;
    poll(p, 2, 1);
}

int main(void)
{
    struct contract_rig rig = {.name = "tap with offloads",
                               .build = build,
                               .opened = opened,
                               .destroy = destroy,
                               .peer_send = peer_send,
                               .peer_recv = peer_recv,
                               .settle = settle,
                               .offloads = 15};
    offload = 1;
    int failed = weir_contract_run(&rig);
    rig.name = "tap without offloads";
    offload = 0;
    return failed + weir_contract_run(&rig);
}
