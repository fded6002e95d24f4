/* fair.h: how much of the memory that is left one connection may take for itself.
 *
 * It takes nothing and remembers nothing: it answers from what is free now, so nobody has a share that lies
 * idle. The floors (zpool.h) stand below it, the buffer sizes of a connection above. */
#ifndef WEIR_FAIR_H
#define WEIR_FAIR_H

#include "tcp/conn.h"

struct weir_tcp;

/* A connection's first bytes to send are its own, whatever is left. */
#define WEIR_FAIR_LEAST 4096u

/* Of n more bytes that the send queue of an open connection has room for, how many memory leaves it: at `at` in the
 * zbuf h, or to be copied (*copies; h and at are not looked at then). While memory is short a small slice of a large zbuf, whose
 * reference would pin too much, is to be copied instead: *copies is set. What is behind the last bytes in the same zbuf is not held
 * up. Notes in the connection what it was refused for. Cost: the classes of zbufs. */
uint32_t weir_fair_send(const struct weir_tcp *, struct weir_conn *, const struct weir_zhead *h,
                        const uint8_t *at, uint32_t n, bool *copies);

/* Whether a connection that was refused would be taken a worthwhile write from again. */
bool weir_fair_again(const struct weir_tcp *, const struct weir_conn *);

/* Bytes of segments that what one connection has received may pin, unread, out of order and lent, while memory is short:
 * at least one segment. */
uint32_t weir_fair_pins(const struct weir_tcp *);

#endif
