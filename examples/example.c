#include "example.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/fault.h>
#include <weir/tap.h>

#define MEM_BYTES ((uint64_t)64 << 20)

static volatile sig_atomic_t stopping;
static struct weir *instance;
static const char *program;
static struct weir_linux lin;
static struct weir_tap tap;
static struct weir_fault fault; /* around the device, with --fault */
static int failure;             /* of weir_poll */

static void on_signal(int number)
{
    stopping = number;
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

/* ---- options ---- */

enum { DEV, ADDR, HOST, PORT, FAULT, TO, OPTIONS };
static const char *const option_name[OPTIONS] = {"--dev", "--addr", "--host", "--port", "--fault", "--to"};

struct chosen {
    const char *value[OPTIONS];
    struct weir_ifaddr addr;
    uint16_t port;
};

/* Wrong usage: the option, what was given for it, and what is needed. */
static void need(bool good, const struct chosen *c, int option, const char *needed)
{
    char what[256];
    if (good) return;
    snprintf(what, sizeof what, "%s %.99s", option_name[option], c->value[option] ? c->value[option] : "");
    end(2, what, needed);
}

static void read_values(struct chosen *c, int argc, char **argv, bool with_to)
{
    static const struct option table[] = {{"dev", 1, NULL, DEV},
                                          {"addr", 1, NULL, ADDR},
                                          {"host", 1, NULL, HOST},
                                          {"port", 1, NULL, PORT},
                                          {"fault", 1, NULL, FAULT},
                                          {"to", 1, NULL, TO},
                                          {0}};
    for (int o; (o = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (o == '?') exit(2); /* getopt_long has told */
        if (o == TO && !with_to) end(2, "--to", "there is no such option here");
        c->value[o] = optarg;
    }
    if (optind < argc) end(2, argv[optind], "there are no arguments");
    if (c->value[DEV] == NULL || c->value[ADDR] == NULL || (with_to && c->value[TO] == NULL))
        end(2, "--dev tap:NAME and --addr CIDR are needed", with_to ? "--to ADDR:PORT too" : "");
}

static void read_port(struct chosen *c)
{
    const char *text = c->value[PORT];
    size_t digits = strspn(text, "0123456789");
    unsigned long port = digits > 0 && digits < 6 && text[digits] == '\0' ? strtoul(text, NULL, 10) : 0;
    need(port > 0 && port < 65536, c, PORT, "a number from 1 to 65535 is needed");
    c->port = (uint16_t)port;
}

static void read_options(struct chosen *c, int argc, char **argv, struct weir_addr *to)
{
    struct weir_ifaddr host;
    struct weir_fault_conf conf;
    char why[160];
    const char **value = c->value;
    read_values(c, argc, argv, to != NULL);
    read_port(c);
    need(weir_ifaddr_parse(&c->addr, value[ADDR]) == 0, c, ADDR, "an address such as 10.9.0.2/24 is needed");
    if (value[HOST] != NULL)
        need(weir_ifaddr_parse(&host, value[HOST]) == 0, c, HOST, "an address such as 10.9.0.1/24 is needed");
    if (to != NULL)
        need(weir_addr_parse(to, value[TO]) == 0, c, TO, "an address and port such as 10.9.0.1:80 is needed");
    bool named = strncmp(value[DEV], "tap:", 4) == 0;
    need(named && weir_tap_init(&tap, value[DEV] + 4, value[HOST], 1) == 0, c, DEV, "tap:NAME is needed");
    if (value[FAULT] == NULL) return;
    need(weir_fault_parse(&conf, value[FAULT], why, sizeof why) == 0, c, FAULT, why);
    weir_fault_init(&fault, &tap.dev, &conf);
}

/* ---- the instance ---- */

/* Memory as the plan says, and an instance over it. */
static void open_instance(void)
{
    struct weir_config conf;
    struct weir_plan plan;
    struct weir_area area = {.kind = WEIR_AREA_ANY};
    check(weir_config_size(&conf, MEM_BYTES), "configuration");
    conf.conns = EXAMPLE_CONNS;
    conf.plat = &lin.plat;
    if (weir_plan(&conf, &plan) != 0) end(1, plan.why, "");
    area.bytes = (size_t)plan.total_bytes;
    if (posix_memalign(&area.base, plan.align_bytes, area.bytes) != 0) check(WEIR_ENOMEM, "memory");
    check(weir_start(&instance, &conf, &area, 1), "start");
}

static void attach(const struct chosen *c)
{
    struct weir_netdev *dev = c->value[FAULT] != NULL ? &fault.dev : &tap.dev;
    int e = weir_attach(instance, dev, &c->addr);
    if (e == 0) return;
    if (dev->error[0] != '\0') end(1, dev->error, "");
    if (tap.dev.error[0] != '\0') end(1, tap.dev.error, "");
    end(1, c->value[ADDR], weir_strerror(e));
}

struct weir *example_start(int argc, char **argv, const char *port, struct weir_addr *to, weir_id *listener)
{
    struct chosen chosen = {.value = {[PORT] = port}};
    struct weir_addr any = {.family = WEIR_IP4};
    program = argv[0];
    read_options(&chosen, argc, argv, to);
    any.port = chosen.port;
    check(weir_linux_open(&lin), "descriptors");
    open_instance();
    attach(&chosen);
    check(weir_listen(instance, &any, NULL, listener), "listen");
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    fprintf(stderr, "listening on %s, port %u\n", chosen.value[ADDR], any.port);
    return instance;
}

bool example_goes_on(int n)
{
    failure = n < 0 ? n : 0;
    return n >= 0 && !stopping && tap.dev.error[0] == '\0';
}

int example_end(void)
{
    struct weir_stats s;
    weir_stats(instance, &s);
    int held = weir_stop(instance);
    printf("sent by reference %" PRIu64 ", copied on send %" PRIu64 ", received %" PRIu64
           ", copied on receive %" PRIu64 ", zbufs live %d\n",
           s.tx_bytes_ref, s.tx_bytes_copied, s.rx_bytes, s.rx_bytes_copied, held);
    if (failure != 0) end(1, "the loop", weir_strerror(failure));
    if (tap.dev.error[0] != '\0') end(1, tap.dev.error, "");
    return held != 0;
}
