/* options.h: the command line of `weir serve` and `weir plan`, by argp. Wrong usage ends the program with 2.
 */
#ifndef WEIR_TOOLS_OPTIONS_H
#define WEIR_TOOLS_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <weir/fault.h>
#include <weir/weir.h>

#define WEIR_OPTIONS_MEM_DEFAULT (64u << 20)

struct weir_options {
    const char *ifname;    /* of --dev tap:NAME */
    const char *host_cidr; /* NULL: the user sets the kernel's end up */
    const char *root;
    const char *trace;             /* NULL: none */
    struct weir_ifaddr addr, host; /* family 0: not given */
    uint16_t port;
    bool json;
    bool has_fault;
    struct weir_fault_conf fault;
    uint64_t mem_bytes;
    uint64_t seconds; /* 0: until a signal */
    uint32_t conns;   /* 0: what weir_config_size chooses */
    bool least;       /* only what the connections cannot do without */
    struct weir_zclass zclass[WEIR_ZCLASSES_MAX];
    uint32_t zclasses; /* 0: what weir_config_size chooses */
};

/* Reads a command line; device_needed: `serve`. argp_flags is for tests. 0, or an errno value with
 * ARGP_NO_EXIT. */
int weir_options_parse(struct weir_options *, int argc, char **argv, const char *doc, bool device_needed,
                       unsigned argp_flags);

/* "64m", "16384", "2k", "1g": binary multiples. True and *bytes. */
bool weir_options_size(const char *text, uint64_t *bytes);

/* "2k:N,16k:N,...": sizes once each, in any order; sorted on return. NULL, or what is wrong, in English. */
const char *weir_options_zbuf(const char *text, struct weir_zclass *classes, uint32_t *n);

/* A whole decimal number from min to max. */
bool weir_options_number(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* The configuration that the options ask for. 0, or WEIR_EINVAL with one sentence in why. */
int weir_options_config(const struct weir_options *, struct weir_config *, char *why, size_t bytes);

/* The configuration and its plan. 0, or WEIR_EPLAN with a sentence in why[0..bytes) that begins with the
 * option to change: --zbuf where the classes are the user's, else --mem. */
int weir_options_plan(const struct weir_options *, struct weir_config *, struct weir_plan *, char *why,
                      size_t bytes);

#endif
