/* The script's own language and codec: text to frame to text, and that each damage is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "segtext.h"

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};
static const struct segbase base = {.seq = 4000000000u, .ack = 77, .echo = 5000};

static uint32_t to_frame(uint8_t *frame, const char *text)
{
    struct segspec spec;
    static struct seg s;
    memset(&s, 0, sizeof s);
    s.src = 0x0a090001;
    s.dst = 0x0a090002;
    s.sport = 40000;
    s.dport = 80;
    assert_null(segspec_parse(&spec, text));
    segspec_fill(&s, &spec, &base);
    for (uint32_t i = 0; i < s.bytes; i++)
        s.payload[i] = seg_byte(1, i);
    return seg_encode(frame, &s, mac, mac);
}

static void text_survives_the_wire(void **state)
{
    static const char *const lines[] = {
        "S 0:0 win 65535 <mss 1460,sackOK,ts 100 5000,wscale 7>",
        "S. 0:0 ack 1 win 1000 <mss 536>",
        "P. 1:101 ack -5 win 0",
        "R 7:7 win 0",
        ". 1:1 ack 1 win 9 <sack 10:20,sack 30:45>",
        "F. 500000000:500000001 ack 1 win 1",
        "- 1:1 win 3",
        "SFRPUEC. 1:2 ack 1 win 3",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        uint8_t frame[SEG_FRAME_MAX];
        char text[200];
        static struct seg s;
        uint32_t n = to_frame(frame, lines[i]);
        assert_null(seg_decode(&s, frame, n));
        seg_text(text, sizeof text, &s, &base);
        assert_string_equal(text, lines[i]);
    }
}

static void patterns_match_what_they_say(void **state)
{
    static const struct {
        const char *sent, *pattern, *differs;
    } rows[] = {
        {"P. 1:101 ack 5 win 9", ". 1:101 ack 5 win 9", NULL},
        {"P. 1:101 ack 5 win 9", ". *:* ack * win *", NULL},
        {"P. 1:101 ack 5 win 9", ".", NULL},
        {"P. 1:101 ack 5 win 9", ". 1:102", "payload bytes"},
        {"P. 1:101 ack 5 win 9", ". 2:101", "sequence number"},
        {"P. 1:101 ack 5 win 9", ". =4000000001:101 ack =82", NULL},
        {"P. 1:101 ack 5 win 9", ". 1:101 ack 6", "acknowledgement"},
        {"P. 1:101 ack 5 win 9", ". 1:101 win >8", NULL},
        {"P. 1:101 ack 5 win 9", ". 1:101 win >9", "window"},
        {"P. 1:101 ack 5 win 9", ". 1:101 win <9", "window"},
        {"P. 1:101 ack 5 win 9", "F. 1:101", "flags"},
        {"P. 1:101 ack 5 win 9 <ts 1 2>", ". 1:101", "options"},
        {"P. 1:101 ack 5 win 9 <ts 1 2>", ". 1:101 <ts * 2>", NULL},
        {"P. 1:101 ack 5 win 9 <ts 1 2>", ". 1:101 <ts * 3>", "timestamp echo"},
        {"P. 1:101 ack 5 win 9 <ts 1 4990>", ". 1:101 <ts * e-10>", NULL},
        {"S 0:0 <mss 1460,wscale 7>", "S 0:0 <mss 1460>", "an option is too much"},
        {"S 0:0 <mss 1460,wscale 7>", "S 0:0 <mss 1460,...>", NULL},
        {"S 0:0 <mss 1460,wscale 7>", "S 0:0 <mss 1461,...>", "mss"},
        {"S 0:0 <mss 1460>", "S 0:0 <mss 1460,wscale 7>", "an option is missing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t frame[SEG_FRAME_MAX];
        struct segspec spec;
        static struct seg s;
        assert_null(seg_decode(&s, frame, to_frame(frame, rows[i].sent)));
        assert_null(segspec_parse(&spec, rows[i].pattern));
        const char *what = segspec_differs(&spec, &s, &base, false);
        if (rows[i].differs == NULL)
            assert_null(what);
        else
            assert_string_equal(what, rows[i].differs);
    }
}

static void agreed_timestamps_are_demanded(void **state)
{
    uint8_t frame[SEG_FRAME_MAX];
    struct segspec spec;
    static struct seg s;
    (void)state;
    assert_null(segspec_parse(&spec, ". 1:1"));
    assert_null(seg_decode(&s, frame, to_frame(frame, ". 1:1 ack 1")));
    assert_string_equal(segspec_differs(&spec, &s, &base, true), "options");
    assert_null(seg_decode(&s, frame, to_frame(frame, ". 1:1 ack 1 <ts 1 e>")));
    assert_null(segspec_differs(&spec, &s, &base, true));
    assert_int_equal(s.tsecr, 5000);
}

static void nonsense_is_refused(void **state)
{
    static const char *const lines[] = {"X 0:0",        "S 0",         "S 0:0 ack",       "S 0:0 <mss>",
                                        "S 0:0 <ts 1>", "S 0:0 <foo>", "S 0:0 <mss 1460", "S 0:0 win"};
    struct segspec spec;
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_non_null(segspec_parse(&spec, lines[i]));
}

static void every_changed_bit_is_seen(void **state)
{
    uint8_t frame[SEG_FRAME_MAX];
    static struct seg s;
    uint32_t n = to_frame(frame, "P. 1:21 ack 1 win 500 <ts 1 2>");
    (void)state;
    for (uint32_t bit = SEG_L3_AT * 8; bit < n * 8; bit++) {
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_non_null(seg_decode(&s, frame, n));
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_null(seg_decode(&s, frame, n));
}

static void raw_options_go_as_they_are(void **state)
{
    uint8_t frame[SEG_FRAME_MAX];
    static struct seg s;
    (void)state;
    assert_null(seg_decode(&s, frame, to_frame(frame, "S 0:0 <raw fd0401020304,mss 9>")));
    assert_int_equal(s.opts, SEG_MSS | SEG_OTHER);
    assert_string_equal(seg_decode(&s, frame, to_frame(frame, "S 0:0 <raw 0200>")),
                        "an option's length is wrong");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_survives_the_wire),         cmocka_unit_test(patterns_match_what_they_say),
        cmocka_unit_test(agreed_timestamps_are_demanded), cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(every_changed_bit_is_seen),      cmocka_unit_test(raw_options_go_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
