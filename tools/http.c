/* http.c: requests.
 *
 * The bytes are parsed by http_parser 2.9.4, as Debian 12 ships it. Why that one: it reads piecewise without
 * a buffer or an allocation of its own, which a bounded server needs; it has been the parser of Node.js for
 * ten years, so that the tricks of request smuggling (two lengths, blanks in names, lone CR) have been found
 * and are refused; Debian keeps it patched. Its successor llhttp is not in Debian 12 as a library,
 * libmicrohttpd and libsoup bring sockets and threads of their own.
 *
 * Theory of operation. A reader goes through one request: the parser calls back with pieces of the target and
 * of headers, of which the few that matter are kept in fixed arrays. What is too long is cut and remembered
 * as a status, and reading goes on to the request's end so that the connection can, too. At the end the
 * parser is paused: the bytes behind it belong to the next request, for which the reader starts anew. */
#include "http.h"

#include <string.h>
#include <strings.h>

/* Values of reader.slot beyond the kept headers. */
enum { SLOT_HOST = WEIR_HTTP_KEPT, SLOT_NONE_MATCH, SLOT_OTHER };

static const struct {
    const char *name;
    int slot;
} header_table[] = {
    {"range", WEIR_HTTP_RANGE},
    {"if-range", WEIR_HTTP_IF_RANGE},
    {"if-modified-since", WEIR_HTTP_IF_MODIFIED},
    {"expect", WEIR_HTTP_EXPECT},
    {"host", SLOT_HOST},
    {"if-none-match", SLOT_NONE_MATCH},
};

static void refuse(struct weir_http_reader *r, int status)
{
    if (r->request.status == 0) r->request.status = status;
}

static int on_begin(http_parser *p)
{
    ((struct weir_http_reader *)p->data)->begun = true;
    return 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
    struct weir_http_reader *r = p->data;
    struct weir_http_request *q = &r->request;
    if (n > WEIR_HTTP_TARGET_MAX - q->target_bytes) {
        refuse(r, 414);
        n = WEIR_HTTP_TARGET_MAX - q->target_bytes;
    }
    memcpy(q->target + q->target_bytes, at, n);
    q->target_bytes += (uint32_t)n;
    q->target[q->target_bytes] = '\0';
    return 0;
}

static int on_field(http_parser *p, const char *at, size_t n)
{
    struct weir_http_reader *r = p->data;
    if (memchr(at, ' ', n) != NULL)
        return -1; /* as Debian builds it, the parser lets "Host : x" pass: RFC 9112 5.1 does not */
    if (r->in_value) {
        r->in_value = false;
        r->name_bytes = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (r->name_bytes < WEIR_HTTP_NAME_MAX) r->name[r->name_bytes++] = at[i];
    }
    return 0;
}

static int slot_of(const struct weir_http_reader *r)
{
    for (size_t i = 0; i < sizeof(header_table) / sizeof(header_table[0]); i++) {
        if (strlen(header_table[i].name) == r->name_bytes &&
            strncasecmp(header_table[i].name, r->name, r->name_bytes) == 0)
            return header_table[i].slot;
    }
    return SLOT_OTHER;
}

/* A header's first byte of value, or its empty value: what the name alone says. */
static void begin_value(struct weir_http_reader *r)
{
    r->in_value = true;
    r->value_bytes = 0;
    r->slot = slot_of(r);
    if (r->slot == SLOT_HOST) r->hosts++;
    if (r->slot == SLOT_NONE_MATCH) r->request.if_none_match = true;
    if (r->slot >= WEIR_HTTP_KEPT) return;
    r->request.value[r->slot][0] = '\0';
    if (r->given[r->slot])
        r->slot = SLOT_OTHER; /* twice: no way to tell which is meant */
    else
        r->given[r->slot] = true;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
    struct weir_http_reader *r = p->data;
    if (!r->in_value) begin_value(r);
    if (r->slot >= WEIR_HTTP_KEPT) return 0;
    char *value = r->request.value[r->slot];
    if (n >= WEIR_HTTP_VALUE_MAX - r->value_bytes) {
        value[0] = '\0';
        r->slot = SLOT_OTHER;
        return 0;
    }
    memcpy(value + r->value_bytes, at, n);
    r->value_bytes += (uint32_t)n;
    value[r->value_bytes] = '\0';
    return 0;
}

static bool has_body(const http_parser *p)
{
    return (p->flags & F_CHUNKED) != 0 || (p->content_length > 0 && p->content_length != UINT64_MAX);
}

/* Expect (RFC 9110 10.1.1), which HTTP/1.0 does not know. */
enum expectation { EXPECTS_NOTHING, EXPECTS_CONTINUE, EXPECTS_MORE };

static enum expectation expectation(const struct weir_http_request *q)
{
    static const char known[] = "100-continue";
    const char *value = q->value[WEIR_HTTP_EXPECT];
    if (q->http10 || value[0] == '\0') return EXPECTS_NOTHING;
    if (strncasecmp(value, known, sizeof(known) - 1) != 0) return EXPECTS_MORE;
    value += sizeof(known) - 1;
    return value[strspn(value, " \t")] == '\0' ? EXPECTS_CONTINUE : EXPECTS_MORE;
}

/* The head is whole: whatever refuses the request is known. A body that need not be read isn't, and a chunked
 * one never: nothing here has a use for it, and two readers that see its end at different places (an
 * extension with a lone LF in it) are how a request is hidden from the one in front. Nor is one that waits
 * for 100 Continue: no body changes an answer here, so the head alone determines the final status, and RFC
 * 9110 10.1.1 then lets that be sent at once instead. The body may come or not, so the connection ends. */
static int on_head(http_parser *p)
{
    struct weir_http_reader *r = p->data;
    struct weir_http_request *q = &r->request;
    q->head = p->method == HTTP_HEAD;
    q->http10 = p->http_major == 1 && p->http_minor == 0;
    q->keep_alive = http_should_keep_alive(p) != 0;
    enum expectation expects = expectation(q);
    if (p->http_major != 1)
        refuse(r, 505);
    else if (p->method != HTTP_GET && p->method != HTTP_HEAD)
        refuse(r, 405);
    else if ((p->http_minor >= 1 && r->hosts == 0) || r->hosts > 1)
        refuse(r, 400);
    else if (p->content_length != UINT64_MAX && p->content_length > WEIR_HTTP_BODY_MAX)
        refuse(r, 413);
    else if (expects == EXPECTS_MORE)
        refuse(r, 417);
    bool chunked = (p->flags & F_CHUNKED) != 0;
    if (chunked && q->http10) refuse(r, 400); /* RFC 9112 6.1 */
    if (!has_body(p) || (q->status == 0 && !chunked && expects == EXPECTS_NOTHING)) return 0;
    q->keep_alive = false; /* the body stands between us and the next request */
    return 1;
}

static int on_complete(http_parser *p)
{
    ((struct weir_http_reader *)p->data)->done = true;
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_message_complete = on_complete,
};

void weir_http_reader_init(struct weir_http_reader *r)
{
    r->request.status = 0;
    r->request.head = r->request.http10 = r->request.if_none_match = false;
    r->request.keep_alive = false;
    r->request.target_bytes = 0;
    r->request.target[0] = '\0';
    for (int i = 0; i < WEIR_HTTP_KEPT; i++)
        r->request.value[i][0] = '\0';
    r->name_bytes = r->value_bytes = r->hosts = 0;
    memset(r->given, 0, sizeof(r->given));
    r->slot = SLOT_OTHER;
    r->in_value = r->begun = r->done = false;
    http_parser_init(&r->parser, HTTP_REQUEST);
    r->parser.data = r;
    http_parser_set_max_header_size(WEIR_HTTP_HEAD_MAX);
}

/* What a request is refused with that the parser could not read. */
static int status_of(const struct weir_http_reader *r)
{
    switch (HTTP_PARSER_ERRNO(&r->parser)) {
    case HPE_HEADER_OVERFLOW:
        return r->request.target_bytes == 0 ? 414 : 431;
    case HPE_INVALID_METHOD:
        return 501;
    case HPE_INVALID_VERSION:
        return 505;
    default:
        return 400;
    }
}

size_t weir_http_feed(struct weir_http_reader *r, const char *bytes, size_t n)
{
    if (r->done || n == 0) return 0;
    size_t taken = http_parser_execute(&r->parser, &settings, bytes, n);
    enum http_errno e = HTTP_PARSER_ERRNO(&r->parser);
    if (e != HPE_OK && e != HPE_PAUSED) {
        refuse(r, status_of(r));
        r->request.keep_alive = false;
        r->done = true;
    }
    return taken < n ? taken : n;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path's bytes in a target: origin form, or absolute form as proxies get it (RFC 9112 3.2). */
static bool find_path(const char *target, size_t n, const char **path, size_t *bytes)
{
    struct http_parser_url url;
    if (n > 0 && target[0] == '/') {
        *path = target;
        for (*bytes = 0; *bytes < n && target[*bytes] != '?' && target[*bytes] != '#';)
            ++*bytes;
        return true;
    }
    http_parser_url_init(&url);
    if (n > WEIR_HTTP_TARGET_MAX || http_parser_parse_url(target, n, 0, &url) != 0 ||
        (url.field_set & (1u << UF_HOST)) == 0)
        return false;
    bool given = (url.field_set & (1u << UF_PATH)) != 0;
    *path = given ? target + url.field_data[UF_PATH].off : "/";
    *bytes = given ? url.field_data[UF_PATH].len : 1;
    return true;
}

int weir_http_path(const char *target, size_t n, char *out, size_t cap)
{
    const char *path;
    size_t bytes, used = 0;
    if (!find_path(target, n, &path, &bytes)) return 400;
    for (size_t i = 0; i < bytes; i++) {
        int c = (unsigned char)path[i];
        if (c == '%') {
            if (bytes - i < 3 || hex(path[i + 1]) < 0 || hex(path[i + 2]) < 0) return 400;
            c = hex(path[i + 1]) * 16 + hex(path[i + 2]);
            i += 2;
        }
        if (c == '\0') return 400;
        if (used == 0 && c == '/') continue;
        if (used + 1 >= cap) return 414;
        out[used++] = (char)c;
    }
    if (used == 0) out[used++] = '.';
    out[used] = '\0';
    return 0;
}

const char *weir_http_raw_path(const char *target, size_t n, size_t *bytes)
{
    const char *path;
    if (!find_path(target, n, &path, bytes)) {
        *bytes = 1;
        return "/";
    }
    while (*bytes > 1 && path[0] == '/' && path[1] == '/') {
        path++;
        --*bytes;
    }
    return path;
}
