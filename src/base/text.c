/* text.c: short lines of text without the C library. */
#include "base/text.h"

#define DIGITS_MAX 20 /* of 2^64 - 1 */

static void text_char(struct weir_text *t, char c)
{
    if (t->len + 1 >= t->cap) return;
    t->buf[t->len++] = c;
    t->buf[t->len] = '\0';
}

void weir_text_init(struct weir_text *t, char *buf, size_t cap)
{
    *t = (struct weir_text){.buf = buf, .cap = cap, .len = 0};
    buf[0] = '\0';
}

void weir_text_str(struct weir_text *t, const char *s)
{
    while (*s != '\0')
        text_char(t, *s++);
}

/* The decimal digits of v, last first; returns how many. */
static unsigned digits(uint64_t v, char out[DIGITS_MAX])
{
    unsigned n = 0;
    do {
        out[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    return n;
}

void weir_text_u64(struct weir_text *t, uint64_t v)
{
    char d[DIGITS_MAX];
    unsigned n = digits(v, d);
    while (n > 0) {
        text_char(t, d[--n]);
        if (n > 0 && n % 3 == 0) text_char(t, ',');
    }
}

void weir_text_ip4(struct weir_text *t, uint32_t addr)
{
    for (unsigned shift = 24;; shift -= 8) {
        weir_text_u64(t, addr >> shift & 0xff);
        if (shift == 0) return;
        text_char(t, '.');
    }
}

int weir_text_read(const char **p, uint64_t max, uint64_t *out)
{
    const char *s = *p;
    uint64_t v = 0;
    if (*s < '0' || *s > '9') return -1;
    for (; *s >= '0' && *s <= '9'; s++) {
        uint64_t digit = (uint64_t)(*s - '0');
        if (digit > max || v > (max - digit) / 10) return -1;
        v = v * 10 + digit;
    }
    *p = s;
    *out = v;
    return 0;
}
