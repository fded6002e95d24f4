/* tap.c: Linux TAP with vnet header.
 *
 * Theory of operation. The kernel hands over one frame a read and takes one a write, each behind a vnet
 * header (struct virtio_net_hdr, the form of 10 bytes: the 12-byte form adds num_buffers, which TAP does not
 * use). The header lets a TCP segment of up to 64 KB cross uncut, with its checksum left undone.
 *
 * A read that is given too little room cuts the frame silently, so no read happens without room for the
 * largest frame and SLACK more; one that comes back completely full has been cut and is dropped. Most frames
 * are small, though, and must not pin large buffers. So what is posted is a ladder:
 *
 *      iovec of one read:  | vnet header | first[last] | tail[0] | tail[1] | ... |
 *                            our stack     ~2K           rungs of growing size
 *
 * A small frame uses up one of the `first` buffers, of which there are enough for a burst. A larger one uses
 * up rungs from the front as well, and ends the burst: the next one would lie in larger rungs than it needs.
 * Where nothing can be posted in their places, reading goes on while what is left of the ladder has room for
 * the largest frame.
 *
 * Invariants
 *     tail_bytes = sum of bytes of the rungs whose addr is not NULL
 *     a read happens only if first.bytes + tail_bytes >= rx_frame + SLACK
 *
 * The device is synchronous: writev has copied the bytes when it returns. Rejected: io_uring and
 * IFF_MULTI_QUEUE, which need one more thread or ring for what a single read of 64 KB makes cheap already. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "weir/err.h"
#include "weir/tap.h"

#define ETHER_BYTES 14u
#define MTU         1500u
#define LARGE_FRAME (65535u + ETHER_BYTES)
#define SLACK       19u /* room beyond the largest frame: VLAN tags, and one byte by which a cut is noticed */
#define FIRST_BYTES                                                                                          \
    1536u               /* least size of a small buffer if there is such a class: a frame of the MTU fits    \
                         */
#define IFACES_MAX   64 /* interfaces looked at for an address in use */
#define VNET_BYTES   10
#define ALL_OFFLOADS (WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4 | WEIR_OFF_RX_CSUM | WEIR_OFF_RX_MERGE4)

_Static_assert(sizeof(struct virtio_net_hdr) == VNET_BYTES, "the vnet header has the form that is asked for");
_Static_assert(1 + WEIR_TAP_TAIL_MAX <= WEIR_FRAME_PIECES_MAX, "a ladder is at most a frame's pieces");

static struct weir_tap *tap_of(struct weir_netdev *dev)
{
    return (struct weir_tap *)(void *)dev;
}

/* ---- messages ---- */

static int __attribute__((format(printf, 3, 4))) fail(struct weir_tap *t, int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->dev.error, sizeof t->dev.error, format, args);
    va_end(args);
    return err;
}

static int fail_device(struct weir_tap *t, int e)
{
    if (e == ENOENT || e == ENODEV || e == ENXIO)
        return fail(t, WEIR_ENODEV,
                    "/dev/net/tun is missing: run \"modprobe tun\" as root, or start the container with "
                    "--device /dev/net/tun.");
    if (e == EACCES || e == EPERM)
        return fail(t, WEIR_EPERM,
                    "no right to open /dev/net/tun: run as root, or ask root for \"chmod 666 "
                    "/dev/net/tun\".");
    return fail(t, WEIR_EIO, "/dev/net/tun cannot be opened (%s): see the limits of this process.",
                strerror(e));
}

static int fail_iface(struct weir_tap *t, int e)
{
    if (e == EPERM || e == EACCES)
        return fail(t, WEIR_EPERM,
                    "no right to make %s: run as root or with CAP_NET_ADMIN, or let root run \"ip tuntap "
                    "add %s mode tap user NAME\".",
                    t->ifname, t->ifname);
    if (e == EBUSY)
        return fail(t, WEIR_EBUSY,
                    "the TAP device %s is in use by another program: stop it or choose another name.",
                    t->ifname);
    if (e == EINVAL)
        return fail(t, WEIR_EBUSY, "%s exists and is no single-queue TAP device: choose another name.",
                    t->ifname);
    return fail(t, WEIR_EIO, "the TAP device %s cannot be made (%s): choose another name.", t->ifname,
                strerror(e));
}

static int fail_setup(struct weir_tap *t, int e, const char *what)
{
    if (e == EPERM || e == EACCES)
        return fail(t, WEIR_EPERM,
                    "no right to set the %s of %s: run as root, or let root set it with \"ip\" before.", what,
                    t->ifname);
    return fail(t, WEIR_EIO, "the %s of %s cannot be set (%s): set it by hand with \"ip\".", what, t->ifname,
                strerror(e));
}

/* ---- the ladder ---- */

static uint32_t first_class(const struct weir_netdev_env *env)
{
    for (unsigned i = 0; i < env->n_zbuf_bytes; i++)
        if (env->zbuf_bytes[i] >= FIRST_BYTES) return env->zbuf_bytes[i];
    return env->n_zbuf_bytes ? env->zbuf_bytes[env->n_zbuf_bytes - 1] : 0;
}

/* The smallest class of at least `bytes`, else the largest. */
static uint32_t rung_class(const struct weir_netdev_env *env, uint32_t bytes)
{
    unsigned i = 0;
    while (i + 1 < env->n_zbuf_bytes && env->zbuf_bytes[i] < bytes)
        i++;
    return env->zbuf_bytes[i];
}

/* Rungs of growing size, one of each class above the small one, then the largest until `need` bytes are
 * there. The last is no larger than what is missing. False: too many. */
static bool build_rungs(struct weir_tap *t, const struct weir_netdev_env *env, uint32_t need)
{
    uint32_t rung = t->first_bytes, have = 0;
    for (t->rungs = 0; have < need; t->rungs++) {
        if (t->rungs == WEIR_TAP_TAIL_MAX) return false;
        rung = rung_class(env, rung + 1);
        uint32_t last = rung_class(env, need - have);
        uint32_t take = last >= need - have && last < rung ? last : rung;
        t->tail_want[t->rungs] = take;
        have += take;
    }
    return true;
}

static int build_ladder(struct weir_tap *t, const struct weir_netdev_env *env)
{
    uint32_t need = t->rx_frame + SLACK;
    uint32_t frames = env->rx_frames < 1 ? 1 : env->rx_frames;
    t->first_bytes = first_class(env);
    t->first_room = frames < WEIR_TAP_FIRST_MAX ? frames : WEIR_TAP_FIRST_MAX;
    t->n_first = t->tail_bytes = t->rungs = 0;
    memset(t->tail, 0, sizeof t->tail);
    if (t->first_bytes >= need) return 0;
    if (t->first_bytes > 0 && build_rungs(t, env, need - t->first_bytes)) return 0;
    unsigned least = 1;
    while (least * (WEIR_TAP_TAIL_MAX + 1) < need)
        least *= 2;
    return fail(t, WEIR_EINVAL,
                "frames of %u bytes do not fit into %u of the zbufs: add a class of %u bytes or more%s.",
                t->rx_frame, WEIR_TAP_TAIL_MAX + 1, least,
                t->rx_frame > MTU * 2 ? ", or turn offloads off" : "");
}

static bool ladder_ready(const struct weir_tap *t)
{
    return t->n_first > 0 && t->first[t->n_first - 1].bytes + t->tail_bytes >= t->rx_frame + SLACK;
}

static int empty_rung(const struct weir_tap *t)
{
    for (uint32_t i = 0; i < t->rungs; i++)
        if (!t->tail[i].addr) return (int)i;
    return -1;
}

static uint32_t tap_rx_want(struct weir_netdev *dev)
{
    const struct weir_tap *t = tap_of(dev);
    if (t->fd < 0) return 0;
    int rung = empty_rung(t);
    if (rung >= 0) return t->tail_want[rung];
    return t->n_first < t->first_room ? t->first_bytes : 0;
}

static int tap_rx_post(struct weir_netdev *dev, void *addr, uint32_t bytes)
{
    struct weir_tap *t = tap_of(dev);
    uint32_t want = tap_rx_want(dev);
    if (want == 0) return t->fd < 0 ? WEIR_EINVAL : WEIR_EAGAIN;
    if (bytes < want || bytes > INT_MAX / WEIR_FRAME_PIECES_MAX) return WEIR_EINVAL;
    int rung = empty_rung(t);
    if (rung < 0) {
        t->first[t->n_first++] = (struct weir_piece){addr, bytes};
    } else {
        t->tail[rung] = (struct weir_piece){addr, bytes};
        t->tail_bytes += bytes;
    }
    return 0;
}

static unsigned tap_rx_unpost(struct weir_netdev *dev, void **addr, unsigned n)
{
    struct weir_tap *t = tap_of(dev);
    unsigned got = 0;
    while (got < n && t->n_first > 0)
        addr[got++] = t->first[--t->n_first].addr;
    for (uint32_t i = 0; i < t->rungs && got < n; i++) {
        if (!t->tail[i].addr) continue;
        addr[got++] = t->tail[i].addr;
        t->tail_bytes -= t->tail[i].bytes;
        t->tail[i].addr = NULL;
    }
    return got;
}

/* ---- receive ---- */

/* Somebody has removed the interface. The handle would be readable for ever, so it goes; the buffers stay
 * posted until they are taken back. */
static void gone(struct weir_tap *t)
{
    close(t->fd);
    t->fd = -1;
    (void)fail(t, WEIR_ENODEV, "%s was removed while in use: start again to make it anew.", t->ifname);
}

/* One read into the whole ladder: bytes of the frame, 0 for one that had to be dropped, -1 when there is
 * none. */
static ssize_t read_frame(struct weir_tap *t, struct virtio_net_hdr *h)
{
    const struct weir_piece *first = &t->first[t->n_first - 1];
    struct iovec iov[2 + WEIR_TAP_TAIL_MAX] = {{h, sizeof *h}, {first->addr, first->bytes}};
    int n = 2;
    for (uint32_t i = 0; i < t->rungs; i++)
        if (t->tail[i].addr) iov[n++] = (struct iovec){t->tail[i].addr, t->tail[i].bytes};
    t->dev.calls_in++;
    ssize_t got = readv(t->fd, iov, n);
    if (got < 0) {
        if (errno == EBADFD) gone(t);
        return -1;
    }
    got -= VNET_BYTES;
    if (got >= (ssize_t)ETHER_BYTES && (size_t)got < (size_t)first->bytes + t->tail_bytes) return got;
    t->dev.rx_dropped++;
    return 0;
}

/* Takes the buffers that a frame of so many bytes lies in off the ladder. */
static uint16_t take_pieces(struct weir_tap *t, struct weir_piece *out, uint32_t bytes)
{
    uint16_t n = 1;
    out[0] = t->first[--t->n_first];
    if (out[0].bytes > bytes) out[0].bytes = bytes;
    bytes -= out[0].bytes;
    for (uint32_t i = 0; bytes > 0 && i < t->rungs; i++) {
        if (!t->tail[i].addr) continue;
        struct weir_piece p = t->tail[i];
        t->tail[i].addr = NULL;
        t->tail_bytes -= p.bytes;
        if (p.bytes > bytes) p.bytes = bytes;
        bytes -= p.bytes;
        out[n++] = p;
    }
    return n;
}

/* The kernel's hdr_len is only a hint (bytes of its linear part), so the headers of a merged segment are
 * measured. */
static void merged(struct weir_frame *f, const struct virtio_net_hdr *h)
{
    const struct weir_piece *p = &f->pieces[0];
    if (p->bytes < ETHER_BYTES + 20) return;
    uint32_t tcp = ETHER_BYTES + (p->addr[ETHER_BYTES] & 15u) * 4;
    if (tcp + 20 > p->bytes) return;
    uint32_t hdr = tcp + (p->addr[tcp + 12] >> 4) * 4u;
    if (hdr >= f->bytes || h->gso_size == 0) return;
    f->flags |= WEIR_FRAME_TSO4;
    f->hdr_bytes = (uint16_t)hdr;
    f->gso_bytes = h->gso_size;
}

static void read_vnet(struct weir_frame *f, const struct virtio_net_hdr *h)
{
    if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        if ((uint32_t)h->csum_start + h->csum_offset + 2 <= f->bytes) {
            f->flags |= WEIR_FRAME_CSUM_NEEDED;
            f->csum_start = h->csum_start;
            f->csum_field = h->csum_offset;
        }
    } else if (h->flags & VIRTIO_NET_HDR_F_DATA_VALID) {
        f->flags |= WEIR_FRAME_CSUM_GOOD;
    }
    if ((h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV4) merged(f, h);
}

static unsigned tap_rx_burst(struct weir_netdev *dev, struct weir_frame *out, unsigned n)
{
    struct weir_tap *t = tap_of(dev);
    struct weir_piece *pieces = t->rx_pieces;
    unsigned got = 0;
    for (unsigned reads = 0; reads < n && t->fd >= 0 && ladder_ready(t); reads++) {
        struct virtio_net_hdr h;
        ssize_t bytes = read_frame(t, &h);
        if (bytes < 0) break;
        if (bytes == 0) continue;
        struct weir_frame *f = &out[got++];
        *f = (struct weir_frame){.pieces = pieces, .bytes = (uint32_t)bytes};
        f->n_pieces = take_pieces(t, pieces, f->bytes);
        read_vnet(f, &h);
        pieces += f->n_pieces;
        if (f->n_pieces > 1) break; /* the next one like it is to find the small rungs posted again */
    }
    return got;
}

/* ---- transmit ---- */

static struct virtio_net_hdr vnet_of(const struct weir_frame *f)
{
    struct virtio_net_hdr h = {0};
    if (f->flags & WEIR_FRAME_CSUM_NEEDED) {
        h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        h.csum_start = f->csum_start;
        h.csum_offset = f->csum_field;
    }
    if (f->flags & WEIR_FRAME_TSO4) {
        h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
        h.gso_size = f->gso_bytes;
        h.hdr_len = f->hdr_bytes;
    }
    return h;
}

/* False: the kernel has no room now. A frame that it refuses for good is accepted and lost. */
static bool write_frame(struct weir_tap *t, const struct weir_frame *f)
{
    struct virtio_net_hdr h = vnet_of(f);
    struct iovec iov[1 + WEIR_FRAME_PIECES_MAX] = {{&h, sizeof h}};
    if (f->n_pieces > WEIR_FRAME_PIECES_MAX) {
        t->dev.tx_dropped++;
        return true;
    }
    for (unsigned i = 0; i < f->n_pieces; i++)
        iov[1 + i] = (struct iovec){f->pieces[i].addr, f->pieces[i].bytes};
    t->dev.calls_out++;
    if (writev(t->fd, iov, 1 + f->n_pieces) >= 0) return true;
    if (errno == EAGAIN || errno == EINTR) return false;
    t->dev.tx_dropped++;
    return true;
}

static unsigned tap_tx_burst(struct weir_netdev *dev, const struct weir_frame *frames, unsigned n)
{
    struct weir_tap *t = tap_of(dev);
    unsigned i = 0;
    while (t->fd >= 0 && i < n && write_frame(t, &frames[i]))
        i++;
    return i;
}

/* The kernel bounds what it holds by bytes of memory (the socket's send buffer), so there is no count to
 * tell. */
static unsigned tap_tx_room(struct weir_netdev *dev)
{
    return tap_of(dev)->fd >= 0 ? UINT_MAX : 0;
}

static unsigned tap_reap(struct weir_netdev *dev, void **addr, unsigned n)
{
    (void)dev, (void)addr, (void)n;
    return 0;
}

static int tap_wait_handle(struct weir_netdev *dev)
{
    return tap_of(dev)->fd;
}

/* ---- the interface ---- */

static struct ifreq request(const struct weir_tap *t)
{
    struct ifreq r;
    memset(&r, 0, sizeof r);
    memcpy(r.ifr_name, t->ifname, sizeof t->ifname);
    return r;
}

static void put_addr(struct ifreq *r, uint32_t addr)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(addr)};
    memcpy(&r->ifr_addr, &in, sizeof in);
}

static uint32_t get_addr(const struct ifreq *r)
{
    struct sockaddr_in in;
    memcpy(&in, &r->ifr_addr, sizeof in);
    return ntohl(in.sin_addr.s_addr);
}

static uint32_t mask_of(unsigned prefix)
{
    return ~(uint32_t)0 << (32 - prefix);
}

static int set_mtu(struct weir_tap *t, int sock)
{
    struct ifreq r = request(t);
    if (ioctl(sock, SIOCGIFMTU, &r) == 0 && r.ifr_mtu == (int)MTU) return 0;
    r.ifr_mtu = (int)MTU;
    return ioctl(sock, SIOCSIFMTU, &r) == 0 ? 0 : fail_setup(t, errno, "MTU");
}

static int set_up(struct weir_tap *t, int sock)
{
    struct ifreq r = request(t);
    if (ioctl(sock, SIOCGIFFLAGS, &r) != 0) return fail_setup(t, errno, "flags");
    if (r.ifr_flags & IFF_UP) return 0;
    r.ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(sock, SIOCSIFFLAGS, &r) == 0 ? 0 : fail_setup(t, errno, "state (up)");
}

/* Two interfaces in one network: replies would leave by the other. */
static int check_free(struct weir_tap *t, int sock)
{
    struct ifreq r[IFACES_MAX];
    struct ifconf c = {.ifc_len = (int)sizeof r, .ifc_req = r};
    if (ioctl(sock, SIOCGIFCONF, &c) != 0) return 0;
    for (size_t i = 0; i < (size_t)c.ifc_len / sizeof r[0]; i++) {
        uint32_t addr = get_addr(&r[i]);
        struct ifreq m = r[i];
        if (strncmp(r[i].ifr_name, t->ifname, IFNAMSIZ) == 0 || ioctl(sock, SIOCGIFNETMASK, &m) != 0)
            continue;
        uint32_t both = mask_of(t->host_prefix) & get_addr(&m);
        if ((addr ^ t->host_addr) & both) continue;
        return fail(t, WEIR_EBUSY,
                    "the network of the host address overlaps the one of interface %.15s: choose another.",
                    r[i].ifr_name);
    }
    return 0;
}

static int set_host(struct weir_tap *t, int sock)
{
    struct ifreq r = request(t), m = r;
    if (t->host_addr == 0) return 0;
    if (ioctl(sock, SIOCGIFADDR, &r) == 0 && ioctl(sock, SIOCGIFNETMASK, &m) == 0 &&
        get_addr(&r) == t->host_addr && get_addr(&m) == mask_of(t->host_prefix))
        return 0;
    int err = check_free(t, sock);
    if (err) return err;
    r = m = request(t);
    put_addr(&r, t->host_addr);
    put_addr(&m, mask_of(t->host_prefix));
    if (ioctl(sock, SIOCSIFADDR, &r) == 0 && ioctl(sock, SIOCSIFNETMASK, &m) == 0) return 0;
    return fail_setup(t, errno, "host address");
}

static int set_iface(struct weir_tap *t)
{
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0) return fail_setup(t, errno, "address");
    int err = set_mtu(t, sock);
    if (!err) err = set_host(t, sock);
    if (!err) err = set_up(t, sock);
    close(sock);
    return err;
}

static int set_tun(struct weir_tap *t, uint16_t offloads)
{
    struct ifreq r = request(t);
    int vnet_bytes = VNET_BYTES;
    unsigned features = 0;
    r.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(t->fd, TUNSETIFF, &r) != 0) return fail_iface(t, errno);
    if (offloads & WEIR_OFF_RX_CSUM) features |= TUN_F_CSUM;
    if (offloads & WEIR_OFF_RX_MERGE4) features |= TUN_F_TSO4;
    if (ioctl(t->fd, TUNSETVNETHDRSZ, &vnet_bytes) != 0 || ioctl(t->fd, TUNSETOFFLOAD, features) != 0)
        return fail(t, WEIR_EIO,
                    "the kernel refuses vnet headers on %s (%s): Linux 2.6.32 or later is needed.", t->ifname,
                    strerror(errno));
    return 0;
}

/* Merged segments come with their checksums undone, and so must cut ones be sent. */
static uint16_t usable(uint16_t offloads)
{
    if (!(offloads & WEIR_OFF_RX_CSUM)) offloads &= (uint16_t)~WEIR_OFF_RX_MERGE4;
    if (!(offloads & WEIR_OFF_TX_CSUM)) offloads &= (uint16_t)~WEIR_OFF_TX_TSO4;
    return offloads;
}

static int tap_open(struct weir_netdev *dev, const struct weir_netdev_env *env)
{
    struct weir_tap *t = tap_of(dev);
    dev->error[0] = 0;
    if (t->fd >= 0) return fail(t, WEIR_EBUSY, "%s is open already: close it first.", t->ifname);
    uint16_t offloads = usable((uint16_t)(dev->caps.offloads & env->offloads));
    t->rx_frame = offloads & WEIR_OFF_RX_MERGE4 ? LARGE_FRAME : MTU + ETHER_BYTES;
    int err = build_ladder(t, env);
    if (err) return err;
    t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (t->fd < 0) return fail_device(t, errno);
    err = set_tun(t, offloads);
    if (!err) err = set_iface(t);
    if (err) {
        close(t->fd);
        t->fd = -1;
        return err;
    }
    t->offered = dev->caps.offloads;
    dev->caps.offloads = offloads;
    return 0;
}

static void tap_close(struct weir_netdev *dev)
{
    struct weir_tap *t = tap_of(dev);
    if (t->fd >= 0) close(t->fd);
    t->fd = -1;
    t->n_first = t->tail_bytes = 0;
    memset(t->tail, 0, sizeof t->tail);
    dev->caps.offloads = t->offered;
}

static const struct weir_netdev_ops TAP_OPS = {
    .open = tap_open,
    .rx_want = tap_rx_want,
    .rx_post = tap_rx_post,
    .rx_burst = tap_rx_burst,
    .tx_room = tap_tx_room,
    .tx_burst = tap_tx_burst,
    .reap = tap_reap,
    .rx_unpost = tap_rx_unpost,
    .wait_handle = tap_wait_handle,
    .close = tap_close,
};

/* ---- names and addresses ---- */

static bool name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n < 1 || n >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] == 0x7f || strchr("/:%", name[i])) return false;
    return true;
}

/* An address of a host in its network, not the network's own or broadcast address. */
static bool host_ok(uint32_t addr, unsigned prefix)
{
    uint32_t host = addr & ~mask_of(prefix), top = addr >> 24;
    return top >= 1 && top <= 223 && top != 127 && host != 0 && host != ~mask_of(prefix);
}

static bool parse_cidr(struct weir_tap *t, const char *text)
{
    char addr[INET_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    struct in_addr in;
    unsigned prefix = 24;
    if (n >= sizeof addr) return false;
    memcpy(addr, text, n);
    addr[n] = 0;
    if (inet_pton(AF_INET, addr, &in) != 1) return false;
    if (slash) {
        size_t digits = strspn(slash + 1, "0123456789");
        if (digits < 1 || digits > 2 || slash[1 + digits] != 0) return false;
        prefix = (unsigned)strtoul(slash + 1, NULL, 10);
    }
    if (prefix < 1 || prefix > 30 || !host_ok(ntohl(in.s_addr), prefix)) return false;
    t->host_addr = ntohl(in.s_addr);
    t->host_prefix = (uint8_t)prefix;
    return true;
}

int weir_tap_init(struct weir_tap *t, const char *ifname, const char *host_cidr, int offload)
{
    memset(t, 0, sizeof *t);
    t->fd = -1;
    if (!ifname || !name_ok(ifname)) return WEIR_EINVAL;
    if (host_cidr && !parse_cidr(t, host_cidr)) return WEIR_EINVAL;
    memcpy(t->ifname, ifname, strlen(ifname) + 1);
    t->dev.ops = &TAP_OPS;
    t->dev.name = t->ifname;
    t->dev.caps = (struct weir_netdev_caps){
        .max_pieces = WEIR_FRAME_PIECES_MAX,
        .mtu = MTU,
        .max_piece_bytes = LARGE_FRAME,
        .max_frame = offload ? LARGE_FRAME : MTU + ETHER_BYTES,
        .base_align = 1,
        .link = WEIR_LINK_ETHER,
        .offloads = offload ? ALL_OFFLOADS : 0,
    };
    t->offered = t->dev.caps.offloads;
    return 0;
}
