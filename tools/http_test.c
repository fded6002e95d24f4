/* http_test.c: requests however they are cut, ranges, paths, dates and replies. */
#include "http.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MANY 24000

/* Feeds a text in pieces of `step` bytes; how many bytes were taken. */
static size_t feed(struct weir_http_reader *r, const char *text, size_t step)
{
    size_t n = strlen(text), at = 0;
    weir_http_reader_init(r);
    while (at < n && !r->done) {
        size_t part = n - at < step ? n - at : step;
        size_t took = weir_http_feed(r, text + at, part);
        assert_true(took <= part);
        at += took;
    }
    return at;
}

static const struct {
    const char *text;
    int status;
    bool keep_alive;
    const char *target;
} request_table[] = {
    {"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", 0, true, "/a"},
    {"\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", 0, true, "/a"},
    {"HEAD /a?b HTTP/1.1\r\nHOST: h\r\nConnection: close\r\n\r\n", 0, false, "/a?b"},
    {"GET / HTTP/1.0\r\n\r\n", 0, false, "/"},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, true, "/"},
    {"GET / HTTP/1.1\r\n\r\n", 400, true, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, true, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 0, true, "/"},
    {"GET / HTTP/1.1\r\nHo st: a\r\n\r\n", 400, false, "/"},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, false, "/"},
    {"GET / XTTP/1.1\r\nHost: a\r\n\r\n", 400, false, "/"},
    {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, false, ""},
    {"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, true, "/"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", 405, false, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 0, true, "/"},
    /* Waits for 100 Continue before its body: the answer comes at once, and the body's place is not known. */
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-Continue \r\n\r\n", 0, false, "/"},
    {"HEAD / HTTP/1.1\r\nExpect: 100-continue\r\nHost: a\r\nContent-Length: 3\r\n\r\n", 0, false, "/"},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", 405, false, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", 0, true,
     "/"}, /* no body: nothing to wait for */
    {"GET / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", 0, false, "/"},
    {"GET / HTTP/1.0\r\nExpect: wonders\r\n\r\n", 0, false, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n", 417, true, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continued\r\nContent-Length: 3\r\n\r\n", 417, false, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n", 413, false, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, false, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 0, false, "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\nq\r\nA\r\n0\r\n\r\n", 0, false,
     "/"},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, false,
     "/"},
    {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 0, true, "/"},
    {"nonsense\r\n\r\n", 501, false, ""},
};

static void requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(request_table) / sizeof(request_table[0]); i++) {
        for (size_t step = 1; step < 200; step += 7) {
            static struct weir_http_reader r;
            feed(&r, request_table[i].text, step);
            if (!r.done || r.request.status != request_table[i].status ||
                r.request.keep_alive != request_table[i].keep_alive)
                fail_msg("row %zu, step %zu: done %d, status %d, keep-alive %d", i, step, r.done,
                         r.request.status, r.request.keep_alive);
            if (r.request.status == 0) assert_string_equal(r.request.target, request_table[i].target);
        }
    }
}

static void headers_kept(void **state)
{
    static struct weir_http_reader r;
    (void)state;
    feed(&r,
         "GET / HTTP/1.1\r\nHost: a\r\nRANGE: bytes=0-1\r\nRanges: x\r\nIf-Modified-Since:  then\r\n"
         "If-None-Match: *\r\nX-Rather-Long-Header-Name-That-Is-Cut: x\r\n\r\n",
         5);
    assert_string_equal(r.request.value[WEIR_HTTP_RANGE], "bytes=0-1");
    assert_string_equal(r.request.value[WEIR_HTTP_IF_MODIFIED], "then");
    assert_string_equal(r.request.value[WEIR_HTTP_IF_RANGE], "");
    assert_true(r.request.if_none_match);
    feed(&r, "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n", 100);
    assert_string_equal(r.request.value[WEIR_HTTP_RANGE], "");
    assert_false(r.request.if_none_match);
    feed(&r, "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\nRange: bytes=4-4\r\n\r\n",
         3);
    assert_string_equal(r.request.value[WEIR_HTTP_RANGE], "");
}

static void pipelined(void **state)
{
    static const char text[] =
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HT";
    static struct weir_http_reader r;
    (void)state;
    size_t first = feed(&r, text, sizeof(text));
    assert_true(r.done);
    assert_string_equal(r.request.target, "/1");
    assert_int_equal(weir_http_feed(&r, text + first, 5), 0); /* nothing more until init */
    size_t second = feed(&r, text + first, sizeof(text));
    assert_true(r.done && r.request.head);
    assert_string_equal(r.request.target, "/2");
    assert_int_equal(feed(&r, text + first + second, sizeof(text)), 9);
    assert_true(r.begun && !r.done);
}

/* "GET /aaa... HTTP/1.1" and "X: aaa..." of n bytes. */
static int status_of_long(size_t n, bool header, size_t step)
{
    static struct weir_http_reader r;
    static char text[MANY + 100];
    size_t at = (size_t)sprintf(text, header ? "GET / HTTP/1.1\r\nHost: a\r\nX: " : "GET /");
    memset(text + at, 'a', n);
    snprintf(text + at + n, sizeof(text) - at - n, "%s",
             header ? "\r\n\r\n" : " HTTP/1.1\r\nHost: a\r\n\r\n");
    feed(&r, text, step);
    assert_true(r.done);
    return r.request.status;
}

static void too_long(void **state)
{
    (void)state;
    for (size_t step = 1; step <= MANY; step = step * 3 + 1) {
        assert_int_equal(status_of_long(WEIR_HTTP_TARGET_MAX - 1, false, step), 0);
        assert_int_equal(status_of_long(WEIR_HTTP_TARGET_MAX, false, step), 414);
        assert_int_equal(status_of_long(MANY, false, step), 414);
        assert_int_equal(status_of_long(WEIR_HTTP_HEAD_MAX / 2, true, step), 0);
        assert_int_equal(status_of_long(MANY, true, step), 431);
    }
}

/* Neither its chunks nor what stands behind them is read. */
static void chunked_body(void **state)
{
    static struct weir_http_reader r;
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "0\r\nRange: bytes=1-2\r\nHost: b\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    (void)state;
    feed(&r, text, sizeof(text));
    assert_true(r.done && r.request.status == 0 && !r.request.keep_alive);
    assert_string_equal(r.request.target, "/");
    assert_string_equal(r.request.value[WEIR_HTTP_RANGE], "");
}

static void paths(void **state)
{
    static const struct {
        const char *target;
        int status;
        const char *path;
    } table[] = {
        {"/", 0, "."},
        {"/a/b.c", 0, "a/b.c"},
        {"///a", 0, "a"},
        {"/%2f%2Fa", 0, "a"},
        {"/a%20b?q=%00", 0, "a b"},
        {"/a#f", 0, "a"},
        {"/..%2f..", 0, "../.."},
        {"http://h:80/x/y?z", 0, "x/y"},
        {"http://h", 0, "."},
        {"/%", 400, NULL},
        {"/%4", 400, NULL},
        {"/%4g", 400, NULL},
        {"/a%00b", 400, NULL},
        {"*", 400, NULL},
        {"", 400, NULL},
        {"a/b", 400, NULL},
        {"/123456789012345678901234567890123", 414, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char path[32];
        if (weir_http_path(table[i].target, strlen(table[i].target), path, sizeof(path)) != table[i].status)
            fail_msg("%s", table[i].target);
        if (table[i].path != NULL) assert_string_equal(path, table[i].path);
    }
}

static void redirects_stay_here(void **state)
{
    size_t n;
    (void)state;
    assert_string_equal(weir_http_raw_path("//evil/x", 8, &n), "/evil/x");
    assert_int_equal(n, 7);
    assert_memory_equal(weir_http_raw_path("/a%20b?c", 8, &n), "/a%20b", 6);
    assert_int_equal(n, 6);
    assert_memory_equal(weir_http_raw_path("*", 1, &n), "/", 1);
    assert_int_equal(n, 1);
}

static void ranges(void **state)
{
    static const struct {
        const char *value;
        uint64_t size;
        int status;
        uint64_t first, last;
    } table[] = {
        {"bytes=0-0", 10, 206, 0, 0},
        {"bytes=2-5", 10, 206, 2, 5},
        {"BYTES= 2-5 ", 10, 206, 2, 5},
        {"bytes=2-", 10, 206, 2, 9},
        {"bytes=2-99", 10, 206, 2, 9},
        {"bytes=-3", 10, 206, 7, 9},
        {"bytes=-99", 10, 206, 0, 9},
        {"bytes=0-99999999999999999999999999", 10, 206, 0, 9},
        {"bytes=-99999999999999999999999999", 10, 206, 0, 9},
        {"bytes=9-", 10, 206, 9, 9},
        {"bytes=10-", 10, 416, 0, 0},
        {"bytes=99999999999999999999999999-", 10, 416, 0, 0},
        {"bytes=-0", 10, 416, 0, 0},
        {"bytes=0-", 0, 416, 0, 0},
        {"bytes=-5", 0, 200, 0, 0},
        {"bytes=5-2", 10, 200, 0, 0},
        {"bytes=0-1,3-4", 10, 200, 0, 0},
        {"bytes=-", 10, 200, 0, 0},
        {"bytes=", 10, 200, 0, 0},
        {"bytes=1", 10, 200, 0, 0},
        {"bytes=a-b", 10, 200, 0, 0},
        {"lines=1-2", 10, 200, 0, 0},
        {"", 10, 200, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        uint64_t first = 0, last = 0;
        int status = weir_http_range(table[i].value, table[i].size, &first, &last);
        if (status != table[i].status ||
            (status == 206 && (first != table[i].first || last != table[i].last)))
            fail_msg("%s: %d %" PRIu64 "-%" PRIu64, table[i].value, status, first, last);
    }
}

static void dates(void **state)
{
    char text[WEIR_HTTP_DATE_BYTES];
    int64_t t;
    (void)state;
    weir_http_date(text, 784111777);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_true(weir_http_date_parse(text, &t) && t == 784111777);
    assert_true(weir_http_date_parse("Sunday, 06-Nov-94 08:49:37 GMT", &t) && t == 784111777);
    assert_true(weir_http_date_parse("Sun Nov  6 08:49:37 1994", &t) && t == 784111777);
    assert_false(weir_http_date_parse("Sun, 06 Nov 1994 08:49:37 CET", &t));
    assert_false(weir_http_date_parse("yesterday", &t));
    weir_http_date(text, INT64_MAX);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void types(void **state)
{
    (void)state;
    assert_string_equal(weir_http_type("a/b.HTML"), "text/html; charset=utf-8");
    assert_string_equal(weir_http_type("x.tar.gz"), "application/gzip");
    assert_string_equal(weir_http_type("a.png/b"), "application/octet-stream");
    assert_string_equal(weir_http_type(".html"), "application/octet-stream");
    assert_string_equal(weir_http_type("x."), "application/octet-stream");
}

static void choices(void **state)
{
    struct weir_http_reply r = {.size = 100, .mtime = 784111777};
    static struct weir_http_request q;
    (void)state;
    weir_http_choose(&r, &q);
    assert_int_equal(r.status, 200);
    assert_true(r.first == 0 && r.last == 99);
    memcpy(q.value[WEIR_HTTP_RANGE], "bytes=5-6", sizeof("bytes=5-6"));
    weir_http_choose(&r, &q);
    assert_true(r.status == 206 && r.first == 5 && r.last == 6);
    memcpy(q.value[WEIR_HTTP_IF_RANGE], "Sun, 06 Nov 1994 08:49:37 GMT",
           sizeof("Sun, 06 Nov 1994 08:49:37 GMT"));
    weir_http_choose(&r, &q);
    assert_int_equal(r.status, 206);
    memcpy(q.value[WEIR_HTTP_IF_RANGE], "Sun, 06 Nov 1994 08:49:36 GMT",
           sizeof("Sun, 06 Nov 1994 08:49:36 GMT"));
    weir_http_choose(&r, &q);
    assert_int_equal(r.status, 200);
    memcpy(q.value[WEIR_HTTP_IF_MODIFIED], "Sun, 06 Nov 1994 08:49:36 GMT",
           sizeof("Sun, 06 Nov 1994 08:49:36 GMT"));
    weir_http_choose(&r, &q);
    assert_int_equal(r.status, 200);
    memcpy(q.value[WEIR_HTTP_IF_MODIFIED], "Sun, 06 Nov 1994 08:49:37 GMT",
           sizeof("Sun, 06 Nov 1994 08:49:37 GMT"));
    weir_http_choose(&r, &q);
    assert_int_equal(r.status, 304);
    q.if_none_match = true;
    weir_http_choose(&r, &q);
    assert_int_equal(r.status, 200);
}

static void replies(void **state)
{
    char out[WEIR_HTTP_REPLY_MAX], target[WEIR_HTTP_TARGET_MAX];
    struct weir_http_reply r = {.status = 206,
                                .keep_alive = true,
                                .mtime = 784111777,
                                .size = 100,
                                .first = 5,
                                .last = 6,
                                .type = "text/plain"};
    (void)state;
    out[weir_http_reply(out, sizeof(out), &r)] = '\0';
    assert_non_null(strstr(out, "HTTP/1.1 206 Partial Content\r\n"));
    assert_non_null(strstr(out, "\r\nContent-Range: bytes 5-6/100\r\nContent-Length: 2\r\n"));
    assert_non_null(strstr(out, "\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    assert_null(strstr(out, "Connection"));
    assert_string_equal(out + strlen(out) - 4, "\r\n\r\n");
    assert_int_equal(weir_http_reply(out, 100, &r), 0);
    r.status = 416;
    r.keep_alive = false;
    out[weir_http_reply(out, sizeof(out), &r)] = '\0';
    assert_non_null(strstr(out, "\r\nContent-Range: bytes */100\r\n"));
    assert_non_null(
        strstr(out, "\r\nContent-Length: 26\r\nConnection: close\r\n\r\n416 Range Not Satisfiable\n"));
    r.status = 304;
    out[weir_http_reply(out, sizeof(out), &r)] = '\0';
    assert_null(strstr(out, "Content-"));
    memset(target, 'a', sizeof(target));
    r.status = 301;
    r.location = target;
    r.location_bytes = sizeof(target);
    assert_true(weir_http_reply(out, sizeof(out), &r) > sizeof(target));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(headers_kept),
        cmocka_unit_test(pipelined),
        cmocka_unit_test(too_long),
        cmocka_unit_test(chunked_body),
        cmocka_unit_test(paths),
        cmocka_unit_test(redirects_stay_here),
        cmocka_unit_test(ranges),
        cmocka_unit_test(dates),
        cmocka_unit_test(types),
        cmocka_unit_test(choices),
        cmocka_unit_test(replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
