/* string.h of the freestanding check: the four functions that the core may ask of its environment, and no
 * other. */
#ifndef WEIR_BARE_STRING_H
#define WEIR_BARE_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
