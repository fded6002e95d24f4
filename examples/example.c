#include "example.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <weir/tap.h>

#define MEM_BYTES ((uint64_t)64 << 20)

volatile sig_atomic_t example_stopping;
static struct weir *instance;
static const char *program;

static void on_signal(int number)
{
    example_stopping = number;
    weir_wake(instance); /* NOLINT(bugprone-signal-handler): made to be called from anywhere */
}

static _Noreturn void end(int status, const char *what, const char *why)
{
    fprintf(stderr, "%s: %s%s%s\n", program, what, why[0] != '\0' ? ": " : "", why);
    exit(status);
}

static void check(int e, const char *what)
{
    if (e != 0) end(1, what, weir_strerror(e));
}

/* Memory as the plan says, and an instance over it. */
static struct weir *open_instance(const struct weir_plat *plat)
{
    struct weir_config conf;
    struct weir_plan plan;
    struct weir_area area = {.kind = WEIR_AREA_ANY};
    check(weir_config_size(&conf, MEM_BYTES), "configuration");
    conf.conns = EXAMPLE_CONNS;
    conf.plat = plat;
    if (weir_plan(&conf, &plan) != 0) end(1, plan.why, "");
    area.bytes = (size_t)plan.total_bytes;
    if (posix_memalign(&area.base, plan.align_bytes, area.bytes) != 0) check(WEIR_ENOMEM, "memory");
    check(weir_start(&instance, &conf, &area, 1), "start");
    return instance;
}

enum { DEV, ADDR, HOST, PORT, TO, OPTIONS };

static void read_options(int argc, char **argv, bool with_to, const char **value)
{
    static const struct option table[] = {{"dev", 1, NULL, DEV},   {"addr", 1, NULL, ADDR},
                                          {"host", 1, NULL, HOST}, {"port", 1, NULL, PORT},
                                          {"to", 1, NULL, TO},     {0}};
    for (int o; (o = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (o == '?' || (o == TO && !with_to)) exit(2);
        value[o] = optarg;
    }
    if (optind < argc || value[DEV] == NULL || value[ADDR] == NULL || (with_to && value[TO] == NULL))
        end(2, "usage: --dev tap:NAME --addr CIDR [--host CIDR] [--port N]",
            with_to ? "and --to ADDR:PORT" : "");
}

struct weir *example_start(int argc, char **argv, const char *port, struct weir_addr *to, weir_id *listener)
{
    static struct weir_linux lin;
    static struct weir_tap tap;
    const char *value[OPTIONS] = {[PORT] = port};
    struct weir_ifaddr addr;
    struct weir_addr any = {.family = WEIR_IP4};
    program = argv[0];
    read_options(argc, argv, to != NULL, value);
    any.port = (uint16_t)strtoul(value[PORT], NULL, 10);
    if (strncmp(value[DEV], "tap:", 4) != 0 || weir_tap_init(&tap, value[DEV] + 4, value[HOST], 1) != 0)
        end(2, "--dev tap:NAME or --host CIDR is wrong", "");
    if (weir_ifaddr_parse(&addr, value[ADDR]) != 0 || (to != NULL && weir_addr_parse(to, value[TO]) != 0))
        end(2, "--addr CIDR or --to ADDR:PORT is wrong", "");
    check(weir_linux_open(&lin), "descriptors");
    struct weir *w = open_instance(&lin.plat);
    int e = weir_attach(w, &tap.dev, &addr);
    if (e != 0) end(1, tap.dev.error[0] != '\0' ? tap.dev.error : weir_strerror(e), "");
    check(weir_listen(w, &any, NULL, listener), "listen");
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    fprintf(stderr, "listening on %s, port %u\n", value[ADDR], any.port);
    return w;
}
