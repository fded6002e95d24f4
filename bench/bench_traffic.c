/* bench_traffic.c: echo, bulk send and bulk receive, counted: which sessions there are. */
#include "bench.h"
#include "bench_serve.h"
#include "weir/netdev.h"

#define ALL_TX       (WEIR_OFF_TX_CSUM | WEIR_OFF_TX_TSO4)
#define CSUMS        (WEIR_OFF_TX_CSUM | WEIR_OFF_RX_CSUM)
#define ALL          (ALL_TX | WEIR_OFF_RX_CSUM | WEIR_OFF_RX_MERGE4)
#define ECHOES       20000u
#define ECHOES_WARM  200u
#define BULK_BYTES   (32u << 20)
#define BULK_WARM    (8u << 20)
#define QUICK        10u
#define MERGED       44u /* segments in a merged frame: what fits 64 KB */
#define GIVE_FRAMES  32u
#define GIVE_MERGED  8u
#define PORTS_STRIDE 100u

static const struct row {
    enum bench_name bench;
    struct serve_case weir; /* times and variant are filled in */
    bool lwip;
} rows[] = {
    {BENCH_ECHO,
     {{.does = PEER_ECHO, .conns = 1}, SERVE_ECHO, "echo-1", "weir", "instructions/echo", ALL},
     0},
    {BENCH_ECHO,
     {{.does = PEER_ECHO, .conns = 1}, SERVE_ECHO, "echo-1", "weir-no-offload", "instructions/echo", 0},
     1},
    {BENCH_ECHO,
     {{.does = PEER_ECHO, .conns = 16}, SERVE_ECHO, "echo-16", "weir", "instructions/echo", ALL},
     0},
    {BENCH_ECHO,
     {{.does = PEER_ECHO, .conns = 16}, SERVE_ECHO, "echo-16", "weir-no-offload", "instructions/echo", 0},
     1},
    {BENCH_SEND,
     {{.does = PEER_TAKE, .conns = 1}, SERVE_SOURCE, "send-64k", "weir", "instructions/byte", ALL},
     0},
    {BENCH_SEND,
     {{.does = PEER_TAKE, .conns = 1}, SERVE_SOURCE, "send-mtu", "weir", "instructions/byte", CSUMS},
     0},
    {BENCH_SEND,
     {{.does = PEER_TAKE, .conns = 1}, SERVE_SOURCE, "send-mtu", "weir-no-offload", "instructions/byte", 0},
     1},
    {BENCH_RECEIVE,
     {{.does = PEER_GIVE, .conns = 1, .give_segments = MERGED, .give_frames = GIVE_MERGED},
      SERVE_SINK,
      "receive-64k",
      "weir",
      "instructions/byte",
      ALL},
     1},
    {BENCH_RECEIVE,
     {{.does = PEER_GIVE, .conns = 1, .give_segments = 1, .give_frames = GIVE_FRAMES},
      SERVE_SINK,
      "receive-mtu",
      "weir",
      "instructions/byte",
      CSUMS},
     0},
    {BENCH_RECEIVE,
     {{.does = PEER_GIVE, .conns = 1, .give_segments = 1, .give_frames = GIVE_FRAMES},
      SERVE_SINK,
      "receive-mtu",
      "weir-no-offload",
      "instructions/byte",
      0},
     1},
};

static struct serve_case sized(const struct row *r, bool quick)
{
    struct serve_case k = r->weir;
    bool echo = r->bench == BENCH_ECHO;
    k.conf.warm_units = echo ? ECHOES_WARM : BULK_WARM;
    k.conf.count_units = (echo ? ECHOES : BULK_BYTES) / (quick ? QUICK : 1);
    return k;
}

void bench_traffic_counted(const struct bench_options *o)
{
    uint16_t ports = 20000;
    if (o->wanted[BENCH_ECHO] || o->wanted[BENCH_SEND] || o->wanted[BENCH_RECEIVE]) bench_count_pauses();
    for (const struct row *r = rows; r < rows + sizeof rows / sizeof rows[0]; r++) {
        if (!o->wanted[r->bench]) continue;
        struct serve_case k = sized(r, o->quick);
        bench_progress("%s, %s", k.name, k.variant);
        serve_count_weir(&k);
        if (!r->lwip || !bench_has_lwip()) continue;
        k.variant = "lwip";
        bench_progress("%s, %s", k.name, k.variant);
        serve_count_lwip(&k, ports = (uint16_t)(ports + PORTS_STRIDE));
    }
}
