/* segtext.h: one line of text for a TCP segment, to be sent or expected.
 *
 *     FLAGS [SEQ:END] [ack N] [win N] [urg N] [<OPTION,OPTION,...>]
 *
 * FLAGS     of S F R P U E C and . for ACK; - for none. P is not compared.
 * SEQ:END   relative to the sender's initial sequence number; END - SEQ are the payload bytes (SYN and FIN
 * not counted) N         a number, relative for SEQ, END and ack; =N absolute; * any; >N and <N bounds
 * (expected segments only); e, e+N, e-N (timestamp echo): the latest value that the stack has sent, and so
 * far from it OPTION    mss N | wscale N | sackOK | ts VAL ECHO | sack FROM:TO | raw HEX | ... (others may be
 * there)
 *
 * What an expected segment leaves out may have any value, but for options: without <> none is expected,
 * except that a connection with timestamps carries them. A sent segment without <> gets timestamps where they
 * were agreed. */
#ifndef WEIR_TEST_SEGTEXT_H
#define WEIR_TEST_SEGTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "segwire.h"

enum num_kind { NUM_UNSET, NUM_ANY, NUM_REL, NUM_ABS, NUM_ABOVE, NUM_BELOW, NUM_ECHO };

struct num {
    enum num_kind kind;
    int64_t v;
};

struct segspec {
    uint8_t flags;
    struct num seq, end, ack, win, urg;
    bool opts_given, opts_open;
    unsigned opts; /* enum seg_opt */
    struct num mss, wscale, tsval, tsecr;
    unsigned n_sack;
    struct {
        struct num from, to;
    } sack[SEG_SACKS_MAX];
    uint8_t raw[SEG_OPTS_MAX];
    unsigned n_raw;
};

/* What relative numbers are relative to. */
struct segbase {
    uint32_t seq, ack; /* initial sequence numbers of the segment's sender and of its receiver */
    uint32_t echo;     /* latest timestamp of the stack */
};

/* NULL, or where reading stopped. */
const char *segspec_parse(struct segspec *, const char *text);

/* The value of a number that has one; NUM_UNSET and NUM_ANY give `other`. */
uint32_t num_value(const struct num *, uint32_t base, uint32_t other);

/* Fills in flags, numbers, options and payload length of *s from a specification; what is left out keeps its
 * value. */
void segspec_fill(struct seg *s, const struct segspec *, const struct segbase *);

/* NULL, or the name of the first part that differs. ts_agreed: the connection carries timestamps. */
const char *segspec_differs(const struct segspec *, const struct seg *, const struct segbase *,
                            bool ts_agreed);

/* The text of a segment, cut to cap bytes. */
void seg_text(char *out, size_t cap, const struct seg *, const struct segbase *);

#endif
