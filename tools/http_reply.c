/* http_reply.c: what of a file answers a request, and the heads of replies. Several ranges at once are
 * answered with the whole file, which RFC 9110 14.2 allows. */
#include "http.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Digits into *value, saturating: beyond any file is beyond any file. False when there is none. */
static bool number(const char **text, uint64_t *value)
{
    const char *start = *text;
    *value = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        uint64_t digit = (uint64_t)(**text - '0');
        *value = *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *value * 10 + digit;
    }
    return *text != start;
}

static int suffix_range(uint64_t bytes, uint64_t size, uint64_t *first, uint64_t *last)
{
    if (bytes == 0) return 416;
    if (size == 0) return 200; /* it can be satisfied, but no Content-Range can say so */
    *first = bytes < size ? size - bytes : 0;
    *last = size - 1;
    return 206;
}

int weir_http_range(const char *value, uint64_t size, uint64_t *first, uint64_t *last)
{
    uint64_t from, to;
    if (strncasecmp(value, "bytes=", 6) != 0) return 200;
    value += 6 + strspn(value + 6, " \t");
    bool has_from = number(&value, &from);
    if (*value++ != '-') return 200;
    bool has_to = number(&value, &to);
    value += strspn(value, " \t");
    if (*value != '\0' || (!has_from && !has_to)) return 200;
    if (!has_from) return suffix_range(to, size, first, last);
    if (has_to && to < from) return 200;
    if (from >= size) return 416;
    *first = from;
    *last = has_to && to < size ? to : size - 1;
    return 206;
}

void weir_http_date(char *out, int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL || tm.tm_year > 9999 - 1900 || tm.tm_year < -1900) {
        t = 0;
        gmtime_r(&t, &tm);
    }
    strftime(out, WEIR_HTTP_DATE_BYTES, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

bool weir_http_date_parse(const char *text, int64_t *seconds)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %d %H:%M:%S %Y"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm tm;
        memset(&tm, 0, sizeof(tm));
        const char *end = strptime(text, forms[i], &tm);
        if (end != NULL && *end == '\0') {
            *seconds = (int64_t)timegm(&tm);
            return true;
        }
    }
    return false;
}

const char *weir_http_type(const char *path)
{
    static const struct {
        const char *extension, *type;
    } table[] = {
        {"html", "text/html; charset=utf-8"},
        {"htm", "text/html; charset=utf-8"},
        {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"mjs", "text/javascript; charset=utf-8"},
        {"json", "application/json"},
        {"txt", "text/plain; charset=utf-8"},
        {"md", "text/markdown; charset=utf-8"},
        {"csv", "text/csv; charset=utf-8"},
        {"xml", "application/xml"},
        {"svg", "image/svg+xml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"ico", "image/vnd.microsoft.icon"},
        {"pdf", "application/pdf"},
        {"wasm", "application/wasm"},
        {"gz", "application/gzip"},
        {"tar", "application/x-tar"},
        {"zip", "application/zip"},
        {"mp3", "audio/mpeg"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
        {"woff2", "font/woff2"},
    };
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && dot != name && i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcasecmp(dot + 1, table[i].extension) == 0) return table[i].type;
    }
    return "application/octet-stream";
}

static const char *status_text(int status)
{
    switch (status) {
#define CASE(number, name, text)                                                                             \
    case number:                                                                                             \
        return #text;
        HTTP_STATUS_MAP(CASE)
#undef CASE
    default:
        return "Unknown";
    }
}

/* A cursor over the reply; `over` once something didn't fit. */
struct sheet {
    char *at;
    size_t left;
    bool over;
};

__attribute__((format(printf, 2, 3))) static void put(struct sheet *s, const char *form, ...)
{
    va_list args;
    va_start(args, form);
    int n = vsnprintf(s->at, s->left, form, args);
    va_end(args);
    if (s->over || n < 0 || (size_t)n >= s->left) {
        s->over = true;
        return;
    }
    s->at += n;
    s->left -= (size_t)n;
}

static void put_date(struct sheet *s, const char *name, int64_t seconds)
{
    char date[WEIR_HTTP_DATE_BYTES];
    weir_http_date(date, seconds);
    put(s, "%s: %s\r\n", name, date);
}

static void put_file_headers(struct sheet *s, const struct weir_http_reply *r)
{
    put_date(s, "Last-Modified", r->mtime);
    if (r->status == 304) return;
    put(s, "Content-Type: %s\r\nAccept-Ranges: bytes\r\n", r->type);
    if (r->status == 206)
        put(s, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\nContent-Length: %" PRIu64 "\r\n",
            r->first, r->last, r->size, r->last - r->first + 1);
    else
        put(s, "Content-Length: %" PRIu64 "\r\n", r->size);
}

static void put_error_headers(struct sheet *s, const struct weir_http_reply *r, size_t body_bytes)
{
    if (r->status == 301) put(s, "Location: %.*s/\r\n", (int)r->location_bytes, r->location);
    if (r->status == 405) put(s, "Allow: GET, HEAD\r\n");
    if (r->status == 416) put(s, "Content-Range: bytes */%" PRIu64 "\r\n", r->size);
    put(s, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n", body_bytes);
}

size_t weir_http_reply(char *out, size_t cap, const struct weir_http_reply *r)
{
    struct sheet s = {.at = out, .left = cap};
    char body[64];
    bool file = r->status == 200 || r->status == 206 || r->status == 304;
    int body_bytes = snprintf(body, sizeof(body), "%d %s\n", r->status, status_text(r->status));
    put(&s, "HTTP/1.1 %d %s\r\nServer: weir\r\n", r->status, status_text(r->status));
    put_date(&s, "Date", r->now);
    if (file)
        put_file_headers(&s, r);
    else
        put_error_headers(&s, r, (size_t)body_bytes);
    if (!r->keep_alive)
        put(&s, "Connection: close\r\n");
    else if (r->http10)
        put(&s, "Connection: keep-alive\r\n");
    put(&s, "\r\n");
    if (!file && !r->head) put(&s, "%s", body);
    return s.over ? 0 : cap - s.left;
}

static bool range_applies(const struct weir_http_request *q, int64_t mtime)
{
    const char *condition = q->value[WEIR_HTTP_IF_RANGE];
    int64_t seconds;
    if (condition[0] == '\0') return true;
    return weir_http_date_parse(condition, &seconds) && seconds == mtime;
}

void weir_http_choose(struct weir_http_reply *r, const struct weir_http_request *q)
{
    const char *since = q->value[WEIR_HTTP_IF_MODIFIED];
    const char *range = q->value[WEIR_HTTP_RANGE];
    int64_t seconds;
    r->status = 200;
    r->first = 0;
    r->last = r->size > 0 ? r->size - 1 : 0;
    if (!q->if_none_match && since[0] != '\0' && weir_http_date_parse(since, &seconds) && r->mtime <= seconds)
        r->status = 304;
    else if (!q->head && range[0] != '\0' && range_applies(q, r->mtime))
        r->status = weir_http_range(range, r->size, &r->first, &r->last);
}
