#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    KEY_DEV = 256,
    KEY_ADDR,
    KEY_HOST,
    KEY_PORT,
    KEY_ROOT,
    KEY_MEM,
    KEY_ZBUF,
    KEY_CONNS,
    KEY_LEAST,
    KEY_TRACE,
    KEY_FAULT,
    KEY_SECONDS,
    KEY_JSON
};

static const struct argp_option option_table[] = {
    {"dev", KEY_DEV, "tap:NAME", 0, "the device: a TAP interface that is made if it's missing", 0},
    {"addr", KEY_ADDR, "CIDR", 0, "address of the server, such as 10.9.0.2/24", 0},
    {"host", KEY_HOST, "CIDR", 0, "address that the kernel's end of the device gets, such as 10.9.0.1/24", 0},
    {"port", KEY_PORT, "N", 0, "TCP port to listen on (80)", 0},
    {"root", KEY_ROOT, "DIR", 0, "folder whose files are served (.)", 0},
    {"mem", KEY_MEM, "SIZE", 0, "memory of the instance, all in all, such as 64m (64m)", 0},
    {"zbuf", KEY_ZBUF, "SIZE:N,...", 0, "sizes and counts of buffers, such as 2k:4096,16k:1024,64k:256", 0},
    {"conns", KEY_CONNS, "N", 0, "connections at once (one for each 64 KiB of --mem)", 0},
    {"trace", KEY_TRACE, "FILE", 0, "write every frame to a pcap file", 0},
    {"fault", KEY_FAULT, "LIST", 0, "loss=F,reorder=F,dup=F,corrupt=F,seed=N: spoil frames, fractions 0 to 1",
     0},
    {"seconds", KEY_SECONDS, "N", 0, "end after N seconds", 0},
    {"least", KEY_LEAST, NULL, 0,
     "the least memory with which that many connections all move, whatever --mem says", 0},
    {"json", KEY_JSON, NULL, 0, "report as one JSON object", 0},
    {0},
};

struct input {
    struct weir_options *o;
    bool device_needed;
};

bool weir_options_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    uint64_t v = 0;
    if (*text == '\0') return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
            return false;
    }
    *value = v;
    return v >= min && v <= max;
}

bool weir_options_size(const char *text, uint64_t *bytes)
{
    char digits[24];
    size_t n = strspn(text, "0123456789");
    unsigned shift = 0;
    uint64_t v;
    if (n == 0 || n >= sizeof(digits)) return false;
    switch (text[n]) {
    case 'k':
    case 'K':
        shift = 10;
        break;
    case 'm':
    case 'M':
        shift = 20;
        break;
    case 'g':
    case 'G':
        shift = 30;
        break;
    case '\0':
        break;
    default:
        return false;
    }
    if (shift > 0 && text[n + 1] != '\0') return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (!weir_options_number(digits, 1, UINT64_MAX >> shift, &v)) return false;
    *bytes = v << shift;
    return true;
}

/* "2k:100" */
static const char *read_class(const char *item, size_t n, struct weir_zclass *out)
{
    char text[48];
    uint64_t bytes, count;
    if (n >= sizeof(text)) return "an entry is too long";
    memcpy(text, item, n);
    text[n] = '\0';
    char *colon = strchr(text, ':');
    if (colon == NULL) return "an entry has the form SIZE:N";
    *colon = '\0';
    if (!weir_options_size(text, &bytes) || bytes < WEIR_ZCLASS_MIN || bytes > WEIR_ZCLASS_MAX)
        return "a size lies between 128 and 128k";
    if (!weir_options_number(colon + 1, 1, UINT32_MAX, &count)) return "a count is a number of at least 1";
    out->bytes = (uint32_t)bytes;
    out->count = (uint32_t)count;
    return NULL;
}

/* Into its place among n sorted classes; false: the size is there already. */
static bool insert_class(struct weir_zclass *classes, uint32_t n, struct weir_zclass item)
{
    uint32_t at = n;
    for (uint32_t i = 0; i < n; i++) {
        if (classes[i].bytes == item.bytes) return false;
    }
    for (; at > 0 && classes[at - 1].bytes > item.bytes; at--)
        classes[at] = classes[at - 1];
    classes[at] = item;
    return true;
}

const char *weir_options_zbuf(const char *text, struct weir_zclass *classes, uint32_t *n)
{
    *n = 0;
    for (;;) {
        struct weir_zclass item;
        size_t len = strcspn(text, ",");
        if (*n == WEIR_ZCLASSES_MAX) return "at most 8 sizes can be given";
        const char *wrong = read_class(text, len, &item);
        if (wrong != NULL) return wrong;
        if (!insert_class(classes, *n, item)) return "a size is given twice";
        ++*n;
        if (text[len] == '\0') return NULL;
        text += len + 1;
    }
}

static void wrong_usage(struct argp_state *state, const char *option, const char *arg, const char *what)
{
    argp_error(state, "%s %s: %s", option, arg, what);
}

static error_t read_number(struct argp_state *state, const char *option, const char *arg, uint64_t min,
                           uint64_t max, uint64_t *value)
{
    char what[96];
    if (weir_options_number(arg, min, max, value)) return 0;
    snprintf(what, sizeof(what), "a number from %llu to %llu is needed", (unsigned long long)min,
             (unsigned long long)max);
    wrong_usage(state, option, arg, what);
    return EINVAL;
}

static error_t read_device(struct weir_options *o, struct argp_state *state, const char *arg)
{
    size_t n = strlen(arg);
    if (n <= 4 || n > 4 + 15 || strncmp(arg, "tap:", 4) != 0 || strpbrk(arg + 4, "/: %\t\n") != NULL) {
        wrong_usage(state, "--dev", arg, "tap:NAME is needed, with a name of 1 to 15 characters");
        return EINVAL;
    }
    o->ifname = arg + 4;
    return 0;
}

static uint32_t number_of(const struct weir_ifaddr *a)
{
    return (uint32_t)a->ip[0] << 24 | (uint32_t)a->ip[1] << 16 | (uint32_t)a->ip[2] << 8 | a->ip[3];
}

/* Whether one host of the subnet could have the address: not the subnet's own, nor its broadcast, nor
 * loopback. */
static bool is_host(const struct weir_ifaddr *a)
{
    uint32_t part = number_of(a) & (UINT32_MAX >> a->prefix);
    return a->ip[0] > 0 && a->ip[0] < 224 && a->ip[0] != 127 && part != 0 && part != UINT32_MAX >> a->prefix;
}

static error_t read_address(struct weir_ifaddr *out, struct argp_state *state, const char *option,
                            const char *arg)
{
    if (weir_ifaddr_parse(out, arg) == 0 && is_host(out)) return 0;
    wrong_usage(state, option, arg, "the address of a host in its network, such as 10.9.0.2/24, is needed");
    return EINVAL;
}

static error_t read_fault(struct weir_options *o, struct argp_state *state, const char *arg)
{
    char why[160] = "";
    if (weir_fault_parse(&o->fault, arg, why, sizeof(why)) != 0) {
        wrong_usage(state, "--fault", arg, why);
        return EINVAL;
    }
    o->has_fault = true;
    return 0;
}

static error_t read_memory(struct weir_options *o, struct argp_state *state, const char *arg)
{
    if (weir_options_size(arg, &o->mem_bytes)) return 0;
    wrong_usage(state, "--mem", arg, "a size such as 64m is needed");
    return EINVAL;
}

static error_t read_zbuf(struct weir_options *o, struct argp_state *state, const char *arg)
{
    const char *wrong = weir_options_zbuf(arg, o->zclass, &o->zclasses);
    if (wrong == NULL) return 0;
    wrong_usage(state, "--zbuf", arg, wrong);
    return EINVAL;
}

static bool same_network(const struct weir_ifaddr *a, const struct weir_ifaddr *b)
{
    return a->prefix == b->prefix && (number_of(a) ^ number_of(b)) >> (32 - a->prefix) == 0;
}

static error_t check_all(const struct input *in, struct argp_state *state)
{
    const struct weir_options *o = in->o;
    if (in->device_needed && (o->ifname == NULL || o->addr.family == 0)) {
        argp_error(state, "%s", o->ifname == NULL ? "--dev tap:NAME is needed" : "--addr CIDR is needed");
        return EINVAL;
    }
    if (in->device_needed && o->least) {
        argp_error(state, "--least is for `weir plan`: a TAP device posts more than that leaves");
        return EINVAL;
    }
    if (o->host.family != 0 && o->addr.family != 0 && !same_network(&o->addr, &o->host)) {
        argp_error(state,
                   "--host is not in the network of --addr: the two ends of the device could not talk");
        return EINVAL;
    }
    if (o->host.family != 0 && o->addr.family != 0 &&
        memcmp(o->host.ip, o->addr.ip, sizeof(o->host.ip)) == 0) {
        argp_error(state, "--addr and --host are the same: the two ends of the device need an address each");
        return EINVAL;
    }
    return 0;
}

static error_t on_option(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;
    struct weir_options *o = in->o;
    uint64_t value = 0;
    error_t e = 0;
    switch (key) {
    case KEY_DEV:
        return read_device(o, state, arg);
    case KEY_ADDR:
        return read_address(&o->addr, state, "--addr", arg);
    case KEY_HOST:
        o->host_cidr = arg;
        return read_address(&o->host, state, "--host", arg);
    case KEY_PORT:
        e = read_number(state, "--port", arg, 1, 65535, &value);
        o->port = (uint16_t)value;
        return e;
    case KEY_ROOT:
        o->root = arg;
        return 0;
    case KEY_MEM:
        return read_memory(o, state, arg);
    case KEY_ZBUF:
        return read_zbuf(o, state, arg);
    case KEY_TRACE:
        o->trace = arg;
        return 0;
    case KEY_FAULT:
        return read_fault(o, state, arg);
    case KEY_SECONDS:
        return read_number(state, "--seconds", arg, 1, UINT32_MAX, &o->seconds);
    case KEY_CONNS:
        e = read_number(state, "--conns", arg, 1, 1u << 20, &value);
        o->conns = (uint32_t)value;
        return e;
    case KEY_LEAST:
        o->least = true;
        return 0;
    case KEY_JSON:
        o->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: no such argument", arg);
        return EINVAL;
    case ARGP_KEY_END:
        return check_all(in, state);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int weir_options_parse(struct weir_options *o, int argc, char **argv, const char *doc, bool device_needed,
                       unsigned argp_flags)
{
    const struct argp parser = {.options = option_table, .parser = on_option, .doc = doc};
    struct input in = {.o = o, .device_needed = device_needed};
    memset(o, 0, sizeof(*o));
    o->root = ".";
    o->port = 80;
    o->mem_bytes = WEIR_OPTIONS_MEM_DEFAULT;
    return argp_parse(&parser, argc, argv, argp_flags, NULL, &in);
}

int weir_options_config(const struct weir_options *o, struct weir_config *conf, char *why, size_t bytes)
{
    if (weir_config_size(conf, o->mem_bytes) != 0) {
        snprintf(why, bytes, "--mem: %llu bytes are too few, 2m is the least",
                 (unsigned long long)o->mem_bytes);
        return WEIR_EINVAL;
    }
    if (o->conns != 0) { /* as weir_config_size relates them */
        conf->conns = conf->timewait = o->conns;
        conf->txrecs = 4 * o->conns + 256;
        conf->pbufs = 8 * o->conns + 1024;
    }
    if (o->zclasses == 0) return 0;
    memset(conf->zclass, 0, sizeof(conf->zclass));
    memcpy(conf->zclass, o->zclass, o->zclasses * sizeof(o->zclass[0]));
    conf->zclasses = o->zclasses;
    return 0;
}

/* The least --mem, in MiB, in which the user's classes have room: the tables grow with it. */
static uint64_t mem_that_would_do(const struct weir_options *o, uint64_t total)
{
    struct weir_options more = *o;
    struct weir_config conf;
    struct weir_plan plan;
    char why[8];
    uint64_t mib = total >> 20;
    do {
        more.mem_bytes = ++mib << 20;
        if (weir_options_config(&more, &conf, why, sizeof(why)) != 0 || weir_plan(&conf, &plan) != 0) break;
    } while (plan.total_bytes > more.mem_bytes);
    return mib;
}

int weir_options_plan(const struct weir_options *o, struct weir_config *conf, struct weir_plan *plan,
                      char *why, size_t bytes)
{
    const char *option = o->zclasses > 0 ? "--zbuf" : "--mem";
    if (weir_options_config(o, conf, why, bytes) != 0) return WEIR_EPLAN;
    struct weir_config wish = *conf;
    if ((o->least ? weir_plan_least(&wish, conf, plan) : weir_plan(conf, plan)) != 0) {
        snprintf(why, bytes, "%s: %s", option, plan->why);
        return WEIR_EPLAN;
    }
    if (plan->total_bytes <= o->mem_bytes || o->least) return 0;
    snprintf(why, bytes,
             "%s: the instance would take %llu bytes, more than --mem allows; --mem %llum would do.", option,
             (unsigned long long)plan->total_bytes,
             (unsigned long long)mem_that_would_do(o, plan->total_bytes));
    return WEIR_EPLAN;
}
