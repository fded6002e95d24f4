/* bench_serve.h: the server that is measured, once over Weir and once over lwIP: echo, source and sink, each
 * on its port. In the counted part all three stand on the peer's port, one at a time. */
#ifndef WEIR_BENCH_SERVE_H
#define WEIR_BENCH_SERVE_H

#include "bench_peer.h"
#include "weir/weir.h"

enum serve_what { SERVE_NONE, SERVE_ECHO = 7, SERVE_SINK = 9, SERVE_SOURCE = 19 }; /* their ports */

#define SERVE_PAGES      16u
#define SERVE_PAGE_BYTES 65536u

/* ---- over Weir (bench_weir.c) ---- */

struct serve {
    struct weir *w;
    void *memory;
    uint8_t *page[SERVE_PAGES]; /* what the source sends, by reference: a file that is in memory */
    unsigned turn;
};

/* An instance without a device. Ends the program if there can be none. */
void serve_start(struct serve *, const struct weir_plat *);
/* An instance over this device. Ends the program if there can be none. */
void serve_open(struct serve *, const struct weir_plat *, struct weir_netdev *, const char *addr);
void serve_listen(struct serve *, enum serve_what, uint16_t port);
/* What the application does with the events of one poll. */
void serve_events(struct serve *, const struct weir_event *, int n);
void serve_close(struct serve *);

/* One counted session. Name, variant and unit as for bench_end. */
struct serve_case {
    struct peer_conf conf;
    enum serve_what what;
    const char *name, *variant, *unit;
    uint16_t offloads; /* enum weir_offload, Weir only */
};
void serve_count_weir(const struct serve_case *);
/* The same; `finish` ends the section, or goes on counting in it. */
void serve_run_weir(const struct serve_case *, void (*finish)(const struct serve_case *, double units));
void serve_count_lwip(const struct serve_case *, uint16_t ports);

/* ---- over a TAP device, in a process of its own (bench_weir.c, bench_lwip.c, bench_linux.c) ----
 *
 * Calls ready(ctx) once clients may connect; does not return. */
_Noreturn void serve_tap_weir(void (*ready)(void *ctx), void *ctx);
_Noreturn void serve_tap_lwip(void (*ready)(void *ctx), void *ctx);
_Noreturn void serve_sockets(void (*ready)(void *ctx), void *ctx);

bool bench_has_lwip(void);
/* lwIP's fixed cells (of a TCP segment's descriptor): get and put, once. Without lwIP nothing happens. */
void bench_lwip_cell(void);
/* Its packet buffers; NULL: no memory. */
void *bench_lwip_pbuf(uint16_t bytes);
void bench_lwip_pbuf_free(void *);

#define SERVE_HOST_WEIR "10.77.1.1/24"
#define SERVE_ADDR_WEIR "10.77.1.2"
#define SERVE_HOST_LWIP "10.77.2.1/24"
#define SERVE_ADDR_LWIP "10.77.2.2"
#define SERVE_HOST_VETH "10.77.3.1/24"
#define SERVE_ADDR_VETH "10.77.3.2"
#define SERVE_TAP_WEIR  "wbweir"
#define SERVE_TAP_LWIP  "wblwip"

#endif
