/* text.h: building a short line of text in a caller's array, without the C library (the core has no printf).
 */
#ifndef WEIR_TEXT_H
#define WEIR_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* buf[0..cap) always ends in a zero byte; what does not fit is cut. */
struct weir_text {
    char *buf;
    size_t cap, len;
};

void weir_text_init(struct weir_text *, char *buf, size_t cap); /* cap >= 1 */
void weir_text_str(struct weir_text *, const char *);
void weir_text_u64(struct weir_text *, uint64_t);      /* decimal with commas between thousands: 16,384 */
void weir_text_ip4(struct weir_text *, uint32_t addr); /* 10.9.0.2 */

/* Reads a decimal number at *p of at most max, moves *p behind it. 0, or -1: no digit, or more than max. */
int weir_text_read(const char **p, uint64_t max, uint64_t *out);

#endif
