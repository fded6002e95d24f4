/* http.h: HTTP/1.1 as a server of files needs it: requests out of bytes, heads of replies into bytes. Pure
 * functions over the caller's memory: no socket, no file, no stack.
 *
 * One reader belongs to one connection and to the thread that serves it. */
#ifndef WEIR_TOOLS_HTTP_H
#define WEIR_TOOLS_HTTP_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_HTTP_TARGET_MAX 4096u  /* bytes of a request's target; longer: 414 */
#define WEIR_HTTP_HEAD_MAX   16384u /* bytes of a request's head; more: 431 */
#define WEIR_HTTP_BODY_MAX                                                                                   \
    65536u /* bytes of a body that is read and dropped to get at the next request; more: 413 */
#define WEIR_HTTP_NAME_MAX 24u /* longest header name that is looked at, with its end */
#define WEIR_HTTP_VALUE_MAX                                                                                  \
    128u /* longest value that is looked at, with its end; longer ones count as absent */
#define WEIR_HTTP_REPLY_MAX                                                                                  \
    5120u                        /* a reply's head with the body of an error: a redirect repeats the target */
#define WEIR_HTTP_DATE_BYTES 30u /* "Sun, 06 Nov 1994 08:49:37 GMT" with its end */

/* The headers that matter here; http_parser itself sees to Connection, Content-Length and Transfer-Encoding.
 */
enum weir_http_header {
    WEIR_HTTP_RANGE,
    WEIR_HTTP_IF_RANGE,
    WEIR_HTTP_IF_MODIFIED,
    WEIR_HTTP_EXPECT,
    WEIR_HTTP_KEPT
};

/* A request that has been read. */
struct weir_http_request {
    int status;         /* 0: it can be served; else the status that refuses it */
    bool head;          /* HEAD */
    bool keep_alive;    /* the connection may go on after the reply */
    bool http10;        /* HTTP/1.0: a connection that goes on must be announced */
    bool if_none_match; /* If-Modified-Since does not count then (RFC 9110 13.1.3) */
    uint32_t target_bytes;
    char target[WEIR_HTTP_TARGET_MAX + 1];
    char value[WEIR_HTTP_KEPT][WEIR_HTTP_VALUE_MAX]; /* "": absent */
};

struct weir_http_reader {
    http_parser parser;
    struct weir_http_request request;
    char name[WEIR_HTTP_NAME_MAX];
    uint32_t name_bytes, value_bytes;
    bool given[WEIR_HTTP_KEPT]; /* headers seen */
    int slot;                   /* where the value goes that is being read, see http.c */
    uint32_t hosts;             /* Host headers seen */
    bool in_value;              /* a value was the last thing read */
    bool begun;                 /* a byte of the request has come */
    bool done;
};

/* Makes the reader ready for a connection's next request. */
void weir_http_reader_init(struct weir_http_reader *);

/* Takes bytes up to the end of one request. Returns how many were taken; `done` is set when a whole request,
 * or the proof that there'll be none (request.status then), has been seen, and no more is taken until init.
 */
size_t weir_http_feed(struct weir_http_reader *, const char *bytes, size_t n);

/* The path within the root that a target names: decoded, without query and leading slashes, "." for the root
 * itself. 0, or 400 (a bad escape, a NUL, no path), 414 (longer than cap). */
int weir_http_path(const char *target, size_t n, char *out, size_t cap);

/* The path of a target as it came, without its query; several slashes in front become one, since a redirect
 * to
 * "//host" would lead elsewhere. */
const char *weir_http_raw_path(const char *target, size_t n, size_t *bytes);

/* A Range header's value over `size` bytes (RFC 9110 14.1.2). 206 and [*first, *last], or 416, or 200: the
 * header is to be ignored, because it is malformed or asks for several ranges, which are answered with the
 * whole. */
int weir_http_range(const char *value, uint64_t size, uint64_t *first, uint64_t *last);

/* "Sun, 06 Nov 1994 08:49:37 GMT" of seconds since 1970. out: WEIR_HTTP_DATE_BYTES. */
void weir_http_date(char *out, int64_t seconds);

/* Reads one of the three forms of RFC 9110 5.6.7. True and *seconds, or false. */
bool weir_http_date_parse(const char *text, int64_t *seconds);

/* The media type for a path's extension. Static. */
const char *weir_http_type(const char *path);

/* What the head of a reply says. */
struct weir_http_reply {
    int status;
    bool head; /* no body follows, whatever it says of one */
    bool keep_alive;
    bool http10;
    int64_t now;          /* seconds since 1970 */
    int64_t mtime;        /* 200, 206, 304: of the file */
    uint64_t size;        /* 200, 206, 416: of the file */
    uint64_t first, last; /* 206 */
    const char *type;     /* 200, 206 */
    const char *location; /* 301: a path, to which the slash is added that was missing */
    size_t location_bytes;
};

/* Writes the head, and for an error its short body. Returns the bytes written, 0 when cap doesn't suffice;
 * WEIR_HTTP_REPLY_MAX always does. */
size_t weir_http_reply(char *out, size_t cap, const struct weir_http_reply *);

/* What of a file answers a request: fills in status (200, 206, 304, 416) and the range, from the request's
 * headers. *reply must have size and mtime. */
void weir_http_choose(struct weir_http_reply *reply, const struct weir_http_request *);

#endif
