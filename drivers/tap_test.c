/* tap_test.c: what is TAP's own: the ladder, large segments with their vnet header both ways, addresses, and
 * what is said when it can't be had. The other end is a packet socket that speaks vnet headers as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/csum.h"
#include "base/order.h"
#include "tapns.h"
#include "weir/err.h"
#include "weir/tap.h"

#define ALL   15u
#define LARGE 60054u /* 54 bytes of headers and 60,000 of payload */
#define IFACE "weirtap1"

static struct weir_tap tap;
static int sock = -1;
static uint8_t posts[128][65536];
static unsigned at_post;

static const struct weir_netdev_env ENV = {
    .zbuf_bytes = {256, 2048, 4096, 16384, 65536}, .n_zbuf_bytes = 5, .rx_frames = 8, .offloads = ALL};

static void need_namespace(void)
{
    const char *why = tapns_enter();
    if (!why) return;
    print_message("skipped: %s\n", why);
    skip();
}

static void open_tap(int offload)
{
    need_namespace();
    assert_int_equal(weir_tap_init(&tap, IFACE, "10.9.0.1/24", offload), 0);
    int err = tap.dev.ops->open(&tap.dev, &ENV);
    if (err) print_message("%s\n", tap.dev.error);
    assert_int_equal(err, 0);
}

static void open_sock(void)
{
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = (int)if_nametoindex(IFACE)};
    int one = 1;
    sock = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_IP));
    assert_true(sock >= 0);
    assert_int_equal(setsockopt(sock, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one), 0);
    assert_int_equal(bind(sock, (struct sockaddr *)&at, sizeof at), 0);
}

static int finish(void **state)
{
    (void)state;
    if (sock >= 0) close(sock);
    sock = -1;
    if (tap.dev.ops) tap.dev.ops->close(&tap.dev);
    return 0;
}

static void post(void)
{
    uint32_t want;
    while ((want = tap.dev.ops->rx_want(&tap.dev)) > 0)
        assert_int_equal(tap.dev.ops->rx_post(&tap.dev, posts[at_post++ % 128], want), 0);
}

static unsigned receive(struct weir_frame *f, unsigned n)
{
    struct pollfd p = {.fd = tap.dev.ops->wait_handle(&tap.dev), .events = POLLIN};
    poll(&p, 1, 1000);
    return tap.dev.ops->rx_burst(&tap.dev, f, n);
}

/* A TCP segment of LARGE bytes whose checksum field holds the pseudo-header's sum. */
static uint8_t *large_segment(void)
{
    static uint8_t p[LARGE];
    static const uint8_t HEAD[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 0, 0x45};
    for (unsigned i = 0; i < LARGE; i++)
        p[i] = (uint8_t)(i * 7 + i / 251);
    memset(p + 14, 0, 40);
    memcpy(p, HEAD, sizeof HEAD);
    weir_put_be16(p + 16, LARGE - 14);
    p[22] = 64;
    p[23] = 6;
    weir_put_be32(p + 26, 0x0a090002);
    weir_put_be32(p + 30, 0x0a090001);
    weir_put_be16(p + 24, weir_csum_done(weir_csum_add(0, p + 14, 20, 0)));
    weir_put_be16(p + 36, 9);
    p[46] = 5 << 4;
    p[47] = 16;
    weir_put_be16(p + 50, weir_csum_fold(weir_csum_pseudo4(0x0a090002, 0x0a090001, 6, LARGE - 34)));
    return p;
}

static struct virtio_net_hdr large_header(void)
{
    return (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                   .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                   .hdr_len = 54,
                                   .gso_size = 1460,
                                   .csum_start = 34,
                                   .csum_offset = 16};
}

static void send_large(void)
{
    static uint8_t all[sizeof(struct virtio_net_hdr) + LARGE];
    struct virtio_net_hdr h = large_header();
    memcpy(all, &h, sizeof h);
    memcpy(all + sizeof h, large_segment(), LARGE);
    assert_int_equal(send(sock, all, sizeof all, 0), sizeof all);
}

/* ---- names and addresses ---- */

static void test_names_and_addresses(void **state)
{
    (void)state;
    static const char *const BAD_NAME[] = {"", "1234567890123456", "a/b", "a b", "a%d", "a:1", ".", ".."};
    static const char *const BAD_ADDR[] = {"",
                                           "10.9.0.1/",
                                           "10.9.0.1/0",
                                           "10.9.0.1/31",
                                           "10.9.0/24",
                                           "10.9.0.0/24",
                                           "10.9.0.255",
                                           "127.0.0.1/8",
                                           "224.0.0.1/24",
                                           "10.9.0.1/24x",
                                           "10.9.0.1/+8",
                                           "0.0.0.1/24",
                                           "300.1.1.1/24"};
    struct weir_tap t;
    for (unsigned i = 0; i < sizeof BAD_NAME / sizeof BAD_NAME[0]; i++)
        assert_int_equal(weir_tap_init(&t, BAD_NAME[i], NULL, 1), WEIR_EINVAL);
    for (unsigned i = 0; i < sizeof BAD_ADDR / sizeof BAD_ADDR[0]; i++)
        assert_int_equal(weir_tap_init(&t, "x", BAD_ADDR[i], 1), WEIR_EINVAL);
    assert_int_equal(weir_tap_init(&t, "123456789012345", "10.9.0.1", 1), 0);
    assert_int_equal(t.host_addr, 0x0a090001);
    assert_int_equal(t.host_prefix, 24);
}

static void test_zbufs_too_small_are_refused(void **state)
{
    (void)state;
    struct weir_netdev_env env = {
        .zbuf_bytes = {256, 1024}, .n_zbuf_bytes = 2, .rx_frames = 8, .offloads = ALL};
    weir_tap_init(&tap, IFACE, NULL, 1);
    assert_int_equal(tap.dev.ops->open(&tap.dev, &env), WEIR_EINVAL);
    assert_string_equal(tap.dev.error,
                        "frames of 65549 bytes do not fit into 45 of the zbufs: add a class of 2048 bytes "
                        "or more, or turn offloads off.");
}

/* ---- the ladder ---- */

static void test_ladder_grows(void **state)
{
    (void)state;
    open_tap(1);
    uint32_t sum = tap.first_bytes;
    assert_int_equal(tap.first_bytes, 2048);
    assert_int_equal(tap.tail_want[0], 4096);
    assert_int_equal(tap.tail_want[1], 16384);
    for (unsigned i = 0; i < tap.rungs; i++)
        sum += tap.tail_want[i];
    assert_true(sum > tap.dev.caps.max_frame + 14 && sum < 2 * tap.dev.caps.max_frame);
}

static void test_small_frames_take_small_buffers(void **state)
{
    (void)state;
    open_tap(1);
    open_sock();
    post();
    uint32_t tail = tap.tail_bytes;
    uint8_t p[sizeof(struct virtio_net_hdr) + 100] = {0};
    p[sizeof(struct virtio_net_hdr) + 12] = 8;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(send(sock, p, sizeof p, 0), sizeof p);
    struct weir_frame f[5];
    uint64_t calls = tap.dev.calls_in;
    assert_int_equal(receive(f, 5), 5);
    assert_int_equal(tap.dev.calls_in - calls, 5); /* the burst is full: no read that finds nothing */
    assert_int_equal(f[4].n_pieces, 1);
    assert_int_equal(tap.tail_bytes, tail);
    assert_int_equal(tap.dev.ops->rx_want(&tap.dev), 2048);
    assert_int_equal(tap.dev.ops->rx_burst(&tap.dev, f, 5), 0);
    assert_int_equal(tap.dev.calls_in - calls, 6);
}

static void test_no_read_while_the_ladder_is_short(void **state)
{
    (void)state;
    open_tap(1);
    open_sock();
    struct weir_frame f[4];
    uint64_t calls = tap.dev.calls_in;
    send_large();
    send_large();
    for (uint32_t want, got = 0; got < tap.rungs; got++) { /* one rung is missing */
        assert_int_equal(tap.dev.ops->rx_burst(&tap.dev, f, 4), 0);
        want = tap.dev.ops->rx_want(&tap.dev);
        assert_int_equal(tap.dev.ops->rx_post(&tap.dev, posts[at_post++ % 128], want), 0);
    }
    assert_int_equal(tap.dev.calls_in, calls);
    post();
    assert_int_equal(receive(f, 4), 1); /* the ladder is used up by one */
    assert_int_equal(f[0].bytes, LARGE);
    post();
    assert_int_equal(receive(f, 4), 1);
    assert_int_equal(f[0].bytes, LARGE);
    assert_int_equal(tap.dev.rx_dropped, 0);
}

static void raise_mtu(void)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {.ifr_mtu = 9000};
    memcpy(r.ifr_name, IFACE, sizeof IFACE);
    assert_int_equal(ioctl(s, SIOCSIFMTU, &r), 0);
    close(s);
}

/* The second of two frames of 3,000 bytes would lie in a rung of 16,384 if it were read before the first
 * one's rung is posted again. */
static void test_middling_frames_take_small_rungs(void **state)
{
    (void)state;
    open_tap(1);
    raise_mtu();
    open_sock();
    static uint8_t p[sizeof(struct virtio_net_hdr) + 3000];
    p[sizeof(struct virtio_net_hdr) + 12] = 8;
    struct weir_frame f[4];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(send(sock, p, sizeof p, 0), sizeof p);
    for (unsigned i = 0; i < 2; i++) {
        post();
        assert_int_equal(receive(f, 4), 1);
        assert_int_equal(f[0].n_pieces, 2);
        assert_int_equal(tap.dev.ops->rx_want(&tap.dev), 4096);
        assert_non_null(tap.tail[1].addr);
    }
}

/* The kernel cuts what does not fit and says nothing; somebody may have raised the MTU. */
static void test_cut_frames_are_dropped(void **state)
{
    (void)state;
    open_tap(0);
    raise_mtu();
    open_sock();
    post();
    static uint8_t p[sizeof(struct virtio_net_hdr) + 5000];
    p[sizeof(struct virtio_net_hdr) + 12] = 8;
    assert_int_equal(send(sock, p, sizeof p, 0), sizeof p);
    assert_int_equal(send(sock, p, 200, 0), 200);
    struct weir_frame f[4];
    assert_int_equal(receive(f, 4), 1);
    assert_int_equal(f[0].bytes, 200 - sizeof(struct virtio_net_hdr));
    assert_int_equal(tap.dev.rx_dropped, 1);
}

/* ---- large segments ---- */

static void test_large_segment_in(void **state)
{
    (void)state;
    open_tap(1);
    open_sock();
    post();
    send_large();
    struct weir_frame f;
    assert_int_equal(receive(&f, 1), 1);
    assert_int_equal(f.bytes, LARGE);
    assert_int_equal(f.flags, WEIR_FRAME_CSUM_NEEDED | WEIR_FRAME_TSO4);
    assert_int_equal(f.csum_start, 34);
    assert_int_equal(f.csum_field, 16);
    assert_int_equal(f.gso_bytes, 1460);
    assert_int_equal(f.hdr_bytes, 54);
    const uint8_t *want = large_segment();
    for (unsigned i = 0; i < f.n_pieces; want += f.pieces[i++].bytes)
        assert_memory_equal(f.pieces[i].addr, want, f.pieces[i].bytes);
}

/* Without offloads the kernel cuts the segment and finishes the checksums. */
static void test_large_segment_in_without_offloads(void **state)
{
    (void)state;
    open_tap(0);
    open_sock();
    send_large();
    uint32_t payload = 0;
    while (payload < LARGE - 54) {
        struct weir_frame f[8];
        post();
        unsigned n = receive(f, 8);
        assert_true(n > 0);
        for (unsigned i = 0; i < n; i++) {
            const uint8_t *p = f[i].pieces[0].addr;
            assert_int_equal(f[i].flags & ~WEIR_FRAME_CSUM_GOOD, 0);
            assert_true(f[i].n_pieces == 1 && f[i].bytes <= 1514);
            uint64_t sum = weir_csum_pseudo4(0x0a090002, 0x0a090001, 6, f[i].bytes - 34);
            assert_int_equal(weir_csum_done(weir_csum_add(sum, p + 34, f[i].bytes - 34, 0)), 0);
            payload += f[i].bytes - 54;
        }
    }
    assert_int_equal(payload, LARGE - 54);
}

static void test_large_segment_out(void **state)
{
    (void)state;
    open_tap(1);
    open_sock();
    uint8_t *p = large_segment();
    struct weir_piece pieces[3] = {{p, 54}, {p + 54, 30001}, {p + 30055, LARGE - 30055}};
    struct weir_frame f = {.pieces = pieces,
                           .bytes = LARGE,
                           .n_pieces = 3,
                           .flags = WEIR_FRAME_CSUM_NEEDED | WEIR_FRAME_TSO4,
                           .csum_start = 34,
                           .csum_field = 16,
                           .gso_bytes = 1460,
                           .hdr_bytes = 54};
    assert_int_equal(tap.dev.ops->tx_burst(&tap.dev, &f, 1), 1);
    assert_int_equal(tap.dev.calls_out, 1);
    static uint8_t got[sizeof(struct virtio_net_hdr) + LARGE + 1];
    struct pollfd w = {.fd = sock, .events = POLLIN};
    poll(&w, 1, 1000);
    assert_int_equal(recv(sock, got, sizeof got, 0), sizeof got - 1);
    struct virtio_net_hdr h;
    memcpy(&h, got, sizeof h);
    assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    assert_int_equal(h.gso_size, 1460);
    assert_int_equal(h.csum_start, 34);
    assert_memory_equal(got + sizeof h, p, LARGE);
    assert_int_equal(tap.dev.tx_dropped, 0);
}

static void test_what_the_kernel_refuses_is_lost(void **state)
{
    (void)state;
    open_tap(1);
    uint8_t p[60] = {0};
    struct weir_piece piece = {p, sizeof p};
    struct weir_frame f = {.pieces = &piece, .bytes = 60, .n_pieces = 1, .flags = WEIR_FRAME_CSUM_NEEDED};
    f.csum_start = 3000;
    assert_int_equal(tap.dev.ops->tx_burst(&tap.dev, &f, 1), 1);
    assert_int_equal(tap.dev.tx_dropped, 1);
    f.flags = 0;
    assert_int_equal(tap.dev.ops->tx_burst(&tap.dev, &f, 1), 1);
    assert_int_equal(tap.dev.tx_dropped, 1);
}

/* ---- the interface ---- */

static void test_interface_is_set_up_and_goes(void **state)
{
    (void)state;
    open_tap(1);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {0};
    memcpy(r.ifr_name, IFACE, sizeof IFACE);
    assert_int_equal(ioctl(s, SIOCGIFADDR, &r), 0);
    assert_int_equal(ntohl(((struct sockaddr_in *)(void *)&r.ifr_addr)->sin_addr.s_addr), 0x0a090001);
    assert_int_equal(ioctl(s, SIOCGIFNETMASK, &r), 0);
    assert_int_equal(ntohl(((struct sockaddr_in *)(void *)&r.ifr_addr)->sin_addr.s_addr), 0xffffff00);
    assert_int_equal(ioctl(s, SIOCGIFBRDADDR, &r), 0);
    assert_int_equal(ntohl(((struct sockaddr_in *)(void *)&r.ifr_addr)->sin_addr.s_addr), 0x0a0900ff);
    assert_int_equal(ioctl(s, SIOCGIFMTU, &r), 0);
    assert_int_equal(r.ifr_mtu, 1500);
    assert_int_equal(ioctl(s, SIOCGIFFLAGS, &r), 0);
    assert_true(r.ifr_flags & IFF_UP);
    close(s);
    tap.dev.ops->close(&tap.dev);
    assert_int_equal(if_nametoindex(IFACE), 0);
}

static void test_busy_name(void **state)
{
    (void)state;
    static struct weir_tap second;
    open_tap(1);
    weir_tap_init(&second, IFACE, NULL, 1);
    assert_int_equal(second.dev.ops->open(&second.dev, &ENV), WEIR_EBUSY);
    assert_non_null(strstr(second.dev.error, "in use by another program"));
    weir_tap_init(&second, "lo", NULL, 1);
    assert_int_equal(second.dev.ops->open(&second.dev, &ENV), WEIR_EBUSY);
    assert_non_null(strstr(second.dev.error, "no single-queue TAP device"));
    assert_int_equal(second.fd, -1);
}

static void test_overlapping_network(void **state)
{
    (void)state;
    static struct weir_tap second;
    open_tap(1);
    weir_tap_init(&second, "weirtap2", "10.9.200.1/16", 1);
    assert_int_equal(second.dev.ops->open(&second.dev, &ENV), WEIR_EBUSY);
    assert_non_null(strstr(second.dev.error, IFACE));
    assert_int_equal(if_nametoindex("weirtap2"), 0); /* nothing is left behind */
}

static void test_persistent_device_stays(void **state)
{
    (void)state;
    need_namespace();
    int fd = open("/dev/net/tun", O_RDWR);
    struct ifreq r = {0};
    memcpy(r.ifr_name, IFACE, sizeof IFACE);
    r.ifr_flags = IFF_TAP | IFF_NO_PI;
    assert_int_equal(ioctl(fd, TUNSETIFF, &r), 0);
    assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
    close(fd);
    open_tap(1);
    tap.dev.ops->close(&tap.dev);
    assert_true(if_nametoindex(IFACE) > 0);
    open_tap(1);
    assert_int_equal(ioctl(tap.fd, TUNSETPERSIST, 0), 0);
}

static void remove_interface(void)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg info;
    } ask = {.head = {.nlmsg_len = sizeof ask,
                      .nlmsg_type = RTM_DELLINK,
                      .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
             .info = {.ifi_index = (int)if_nametoindex(IFACE)}};
    char answer[256];
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    assert_true(fd >= 0);
    assert_int_equal(send(fd, &ask, sizeof ask, 0), (ssize_t)sizeof ask);
    assert_true(recv(fd, answer, sizeof answer, 0) > 0);
    close(fd);
    assert_int_equal(if_nametoindex(IFACE), 0);
}

/* Its handle would be readable for ever: whoever waits for it would spin. */
static void test_removed_while_open(void **state)
{
    (void)state;
    open_tap(1);
    post();
    struct weir_frame f;
    void *addr[256];
    struct pollfd wait = {.fd = tap.dev.ops->wait_handle(&tap.dev), .events = POLLIN};
    remove_interface();
    assert_int_equal(poll(&wait, 1, 0), 1);
    assert_int_equal(tap.dev.ops->rx_burst(&tap.dev, &f, 1), 0);
    assert_non_null(strstr(tap.dev.error, "was removed"));
    assert_true(tap.dev.ops->wait_handle(&tap.dev) < 0);
    assert_int_equal(poll(&wait, 1, 0), 1);
    assert_int_equal(wait.revents, POLLNVAL); /* nothing stays open */
    assert_int_equal(tap.dev.ops->rx_burst(&tap.dev, &f, 1), 0);
    assert_int_equal(tap.dev.ops->tx_room(&tap.dev), 0);
    assert_true(tap.dev.ops->rx_unpost(&tap.dev, addr, 256) > 0);
    tap.dev.ops->close(&tap.dev);
    assert_int_equal(tap.dev.caps.offloads, ALL);
    open_tap(1);
    assert_string_equal(tap.dev.error, "");
}

/* ---- in a child, since rights and mounts don't come back ---- */

static int open_in_child(int (*before)(void), const char *says)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (before() != 0) _exit(77);
        weir_tap_init(&tap, "weirtap3", "10.10.0.1/24", 1);
        int err = tap.dev.ops->open(&tap.dev, &ENV);
        _exit(err < 0 && strstr(tap.dev.error, says) ? -err : 99);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static int become_nobody(void)
{
    return setgid(65534) || setuid(65534);
}

static int hide_dev_net(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return -1;
    return mount("none", "/dev/net", "tmpfs", 0, NULL);
}

static void test_no_rights(void **state)
{
    (void)state;
    need_namespace();
    int code = open_in_child(become_nobody, "no right to");
    if (code == 77) {
        print_message("skipped: rights can't be given up here\n");
        skip();
    }
    assert_int_equal(code, -WEIR_EPERM);
}

static void test_no_device(void **state)
{
    (void)state;
    need_namespace();
    int code = open_in_child(hide_dev_net, "modprobe tun");
    if (code == 77) {
        print_message("skipped: /dev/net can't be hidden from a process here\n");
        skip();
    }
    assert_int_equal(code, -WEIR_ENODEV);
}

#define TAP_TEST(f) cmocka_unit_test_teardown(f, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TAP_TEST(test_names_and_addresses),
        TAP_TEST(test_zbufs_too_small_are_refused),
        TAP_TEST(test_ladder_grows),
        TAP_TEST(test_small_frames_take_small_buffers),
        TAP_TEST(test_no_read_while_the_ladder_is_short),
        TAP_TEST(test_middling_frames_take_small_rungs),
        TAP_TEST(test_cut_frames_are_dropped),
        TAP_TEST(test_large_segment_in),
        TAP_TEST(test_large_segment_in_without_offloads),
        TAP_TEST(test_large_segment_out),
        TAP_TEST(test_what_the_kernel_refuses_is_lost),
        TAP_TEST(test_interface_is_set_up_and_goes),
        TAP_TEST(test_busy_name),
        TAP_TEST(test_overlapping_network),
        TAP_TEST(test_persistent_device_stays),
        TAP_TEST(test_removed_while_open),
        TAP_TEST(test_no_rights),
        TAP_TEST(test_no_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
