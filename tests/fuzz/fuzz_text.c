/* fuzz_text.c: fuzz targets for what reads text, chosen by FUZZ_PARSER when it is compiled: addresses and the
 * fault wrapper's options of the core; HTTP requests and the command line's sizes of the tools. */
#include "fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "weir/fault.h"
#include "weir/weir.h"
#ifdef FUZZ_TOOLS
#include "http.h"
#include "options.h"
#endif

#define TEXT_MAX 8192u

/* The input as a string in a block of its own size. */
static char *text_of(const uint8_t *p, size_t n)
{
    char *text = malloc(n + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, p, n);
    text[n] = 0;
    return text;
}

static void fuzz_addr(const uint8_t *p, size_t n)
{
    struct weir_ifaddr a;
    struct weir_addr b;
    char *text = text_of(p, n);
    if (weir_ifaddr_parse(&a, text) == 0) FUZZ_CHECK(a.family == WEIR_IP4 && a.prefix >= 1 && a.prefix <= 30);
    if (weir_addr_parse(&b, text) == 0) FUZZ_CHECK(b.family == WEIR_IP4);
    free(text);
}

static void fuzz_faultconf(const uint8_t *p, size_t n)
{
    struct weir_fault_conf c = {.seed = 1};
    char why[96];
    char *text = text_of(p, n);
    memset(why, 0x5a, sizeof why);
    if (weir_fault_parse(&c, text, why, sizeof why) == 0) {
        FUZZ_CHECK(c.loss_ppm <= 1000000 && c.reorder_ppm <= 1000000);
        FUZZ_CHECK(c.dup_ppm <= 1000000 && c.corrupt_ppm <= 1000000);
    } else {
        FUZZ_CHECK(memchr(why, 0, sizeof why) != NULL && why[0] != 0);
    }
    free(text);
}

#ifdef FUZZ_TOOLS
static void fuzz_zbufs(const uint8_t *p, size_t n)
{
    struct weir_zclass c[WEIR_ZCLASSES_MAX];
    uint32_t k = 0;
    uint64_t value;
    char *text = text_of(p, n);
    if (weir_options_zbuf(text, c, &k) == NULL) {
        FUZZ_CHECK(k >= 1 && k <= WEIR_ZCLASSES_MAX);
        for (uint32_t i = 0; i < k; i++) {
            FUZZ_CHECK(c[i].bytes >= WEIR_ZCLASS_MIN && c[i].bytes <= WEIR_ZCLASS_MAX && c[i].count >= 1);
            FUZZ_CHECK(i == 0 || c[i].bytes > c[i - 1].bytes);
        }
    }
    if (weir_options_number(text, 3, 70000, &value)) FUZZ_CHECK(value >= 3 && value <= 70000);
    (void)weir_options_size(text, &value);
    free(text);
}

/* What is made of a request that was read: path, range, head of the reply. */
static void answer(const struct weir_http_request *r, uint64_t size)
{
    char path[WEIR_HTTP_TARGET_MAX + 1], out[WEIR_HTTP_REPLY_MAX];
    struct weir_http_reply reply = {.now = 1700000000, .mtime = 1600000000, .size = size, .head = r->head};
    size_t raw_bytes = 0;
    const char *raw = weir_http_raw_path(r->target, r->target_bytes, &raw_bytes);
    FUZZ_CHECK(raw_bytes >= 1 && raw_bytes <= r->target_bytes && raw[0] == '/');
    FUZZ_CHECK(raw_bytes == 1 || raw[1] != '/'); /* as a Location it would name a host */
    int status = weir_http_path(r->target, r->target_bytes, path, sizeof path);
    FUZZ_CHECK(status == 0 || status == 400 || status == 414);
    if (status == 0) FUZZ_CHECK(memchr(path, 0, sizeof path) != NULL && path[0] != '/' && path[0] != 0);
    weir_http_choose(&reply, r);
    FUZZ_CHECK(reply.status != 206 || (reply.first <= reply.last && reply.last < size));
    reply.type = status == 0 ? weir_http_type(path) : "text/plain";
    FUZZ_CHECK(weir_http_reply(out, sizeof out, &reply) > 0);
    reply.status = 301;
    reply.location = raw;
    reply.location_bytes = raw_bytes;
    size_t bytes = weir_http_reply(out, sizeof out, &reply);
    FUZZ_CHECK(bytes > 0 && bytes <= sizeof out);
    FUZZ_CHECK(weir_http_reply(out, bytes - 1, &reply) == 0);
}

/* One request, in pieces of so many bytes; how many bytes it took. */
static size_t read_one(struct weir_http_reader *r, const uint8_t *p, size_t n, size_t piece)
{
    size_t at = 0;
    weir_http_reader_init(r);
    while (at < n && !r->done) {
        size_t k = n - at < piece ? n - at : piece;
        char *exact = malloc(k);
        FUZZ_CHECK(exact != NULL);
        memcpy(exact, p + at, k);
        size_t took = weir_http_feed(r, exact, k);
        free(exact);
        FUZZ_CHECK(took <= k && (took == k || r->done));
        at += took;
    }
    return at;
}

/* Read alike, up to where one of them learnt that nothing can come of it: bytes that no parser takes end the
 * connection, and how many were looked at before does not matter then. */
static void check_alike(const struct weir_http_reader *x, const struct weir_http_reader *y)
{
    const struct weir_http_request *a = &x->request, *b = &y->request;
    FUZZ_CHECK(x->done == y->done && a->target_bytes <= WEIR_HTTP_TARGET_MAX);
    if (!x->done) return;
    FUZZ_CHECK(a->status == b->status && a->keep_alive == b->keep_alive);
    if (a->status != 0) return;
    FUZZ_CHECK(a->target_bytes == b->target_bytes && memcmp(a->target, b->target, a->target_bytes) == 0);
    for (unsigned i = 0; i < WEIR_HTTP_KEPT; i++)
        FUZZ_CHECK(strcmp(a->value[i], b->value[i]) == 0);
}

/* The first byte chooses pieces and the file's size; then requests, one behind the other. However they are
 * cut they must be read alike. */
static void fuzz_http(const uint8_t *p, size_t n)
{
    static struct weir_http_reader whole, cut;
    if (n == 0) return;
    size_t piece = 1 + (p[0] & 31);
    uint64_t size = p[0] >> 5 == 7 ? UINT64_MAX : (uint64_t)(p[0] >> 5) * 500;
    for (size_t at = 1; at < n;) {
        size_t took = read_one(&whole, p + at, n - at, n), pieces = read_one(&cut, p + at, n - at, piece);
        check_alike(&whole, &cut);
        const struct weir_http_request *r = &whole.request;
        if (!whole.done || (r->status != 0 && !r->keep_alive)) return;
        FUZZ_CHECK(took == pieces && took > 0);
        if (r->status == 0) answer(r, size);
        at += took;
    }
}

static void fuzz_httpdate(const uint8_t *p, size_t n)
{
    char out[WEIR_HTTP_DATE_BYTES];
    int64_t seconds, again;
    uint64_t first = 1, last = 0;
    char *text = text_of(p, n);
    if (weir_http_date_parse(text, &seconds)) {
        weir_http_date(out, seconds);
        FUZZ_CHECK(weir_http_date_parse(out, &again) && again == seconds);
    }
    if (weir_http_range(text, 1000, &first, &last) == 206) FUZZ_CHECK(first <= last && last < 1000);
    if (weir_http_range(text, 0, &first, &last) == 206) __builtin_trap();
    free(text);
}
#endif

static const struct {
    const char *name;
    void (*run)(const uint8_t *p, size_t n);
} parsers[] = {
    {"addr", fuzz_addr},   {"faultconf", fuzz_faultconf},
#ifdef FUZZ_TOOLS
    {"zbufs", fuzz_zbufs}, {"http", fuzz_http},           {"httpdate", fuzz_httpdate},
#endif
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n > TEXT_MAX) return 0;
    for (size_t i = 0; i < sizeof parsers / sizeof parsers[0]; i++) {
        if (strcmp(parsers[i].name, FUZZ_PARSER) != 0) continue;
        parsers[i].run(data, n);
        return 0;
    }
    __builtin_trap(); /* FUZZ_PARSER names none of the parsers */
}
