#include "segtext.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    char letter;
    uint8_t flag;
} flag_letters[] = {{'S', SEG_SYN}, {'F', SEG_FIN}, {'R', SEG_RST}, {'P', SEG_PSH},
                    {'U', SEG_URG}, {'E', SEG_ECE}, {'C', SEG_CWR}, {'.', SEG_ACK}};
#define FLAG_LETTERS (sizeof flag_letters / sizeof flag_letters[0])

static const char *skip_blanks(const char *p)
{
    while (*p == ' ')
        p++;
    return p;
}

/* Whether the word stands at *p, which moves behind it. */
static bool word(const char **p, const char *w)
{
    const char *at = skip_blanks(*p);
    size_t n = strlen(w);
    if (strncmp(at, w, n) != 0) return false;
    *p = at + n;
    return true;
}

static bool read_num(const char **p, struct num *out)
{
    static const struct {
        char sign;
        enum num_kind kind;
    } signs[] = {{'=', NUM_ABS}, {'>', NUM_ABOVE}, {'<', NUM_BELOW}, {'e', NUM_ECHO}};
    const char *at = skip_blanks(*p);
    *out = (struct num){.kind = NUM_REL};
    if (*at == '*') {
        out->kind = NUM_ANY;
        *p = at + 1;
        return true;
    }
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (*at == signs[i].sign) {
            out->kind = signs[i].kind;
            at++;
            break;
        }
    char *end;
    out->v = strtoll(at, &end, 10);
    bool number = end != at;
    *p = end;
    return number || out->kind == NUM_ECHO;
}

static bool read_pair(const char **p, struct num *a, struct num *b)
{
    return read_num(p, a) && word(p, ":") && read_num(p, b);
}

static bool read_flags(const char **p, uint8_t *flags)
{
    const char *at = skip_blanks(*p);
    *flags = 0;
    for (; *at != ' ' && *at != 0; at++) {
        size_t i = 0;
        while (i < FLAG_LETTERS && flag_letters[i].letter != *at)
            i++;
        if (i < FLAG_LETTERS)
            *flags |= flag_letters[i].flag;
        else if (*at != '-')
            return false;
    }
    *p = at;
    return true;
}

static bool read_raw(const char **p, struct segspec *s)
{
    const char *at = skip_blanks(*p);
    while (s->n_raw < sizeof s->raw && isxdigit((unsigned char)at[0]) && isxdigit((unsigned char)at[1])) {
        const char hex[3] = {at[0], at[1], '\0'};
        s->raw[s->n_raw++] = (uint8_t)strtoul(hex, NULL, 16);
        at += 2;
        if (*at == ',' || *at == '>') break;
    }
    *p = at;
    return s->n_raw > 0;
}

static bool read_opt(const char **p, struct segspec *s)
{
    if (word(p, "...")) return s->opts_open = true;
    if (word(p, "mss")) return s->opts |= SEG_MSS, read_num(p, &s->mss);
    if (word(p, "wscale")) return s->opts |= SEG_WSCALE, read_num(p, &s->wscale);
    if (word(p, "sackOK")) return s->opts |= SEG_SACK_OK, true;
    if (word(p, "ts")) return s->opts |= SEG_TS, read_num(p, &s->tsval) && read_num(p, &s->tsecr);
    if (word(p, "raw")) return s->opts |= SEG_RAW, read_raw(p, s);
    if (word(p, "sack") && s->n_sack < SEG_SACKS_MAX) {
        s->opts |= SEG_SACK;
        s->n_sack++;
        return read_pair(p, &s->sack[s->n_sack - 1].from, &s->sack[s->n_sack - 1].to);
    }
    return false;
}

static bool read_opts(const char **p, struct segspec *s)
{
    s->opts_given = true;
    while (!word(p, ">"))
        if (!word(p, ",") && !read_opt(p, s)) return false;
    return true;
}

const char *segspec_parse(struct segspec *s, const char *text)
{
    const char *p = text;
    memset(s, 0, sizeof *s);
    if (!read_flags(&p, &s->flags)) return p;
    for (p = skip_blanks(p); *p != 0; p = skip_blanks(p)) {
        bool good;
        if (word(&p, "ack"))
            good = read_num(&p, &s->ack);
        else if (word(&p, "win"))
            good = read_num(&p, &s->win);
        else if (word(&p, "urg"))
            good = read_num(&p, &s->urg);
        else if (word(&p, "<"))
            good = read_opts(&p, s);
        else
            good = read_pair(&p, &s->seq, &s->end);
        if (!good) return p;
    }
    return NULL;
}

uint32_t num_value(const struct num *n, uint32_t base, uint32_t other)
{
    if (n->kind == NUM_UNSET || n->kind == NUM_ANY) return other;
    return n->kind == NUM_ABS ? (uint32_t)n->v : base + (uint32_t)n->v;
}

static void fill_opts(struct seg *s, const struct segspec *spec, const struct segbase *base)
{
    s->opts = spec->opts;
    s->mss = (uint16_t)num_value(&spec->mss, 0, 0);
    s->wscale = (uint8_t)num_value(&spec->wscale, 0, 0);
    s->tsval = num_value(&spec->tsval, 0, 0);
    s->tsecr = num_value(&spec->tsecr, spec->tsecr.kind == NUM_ECHO ? base->echo : 0, 0);
    s->n_sack = spec->n_sack;
    for (unsigned i = 0; i < spec->n_sack; i++) {
        s->sack[i].from = num_value(&spec->sack[i].from, base->ack, 0);
        s->sack[i].to = num_value(&spec->sack[i].to, base->ack, 0);
    }
    s->n_raw = spec->n_raw;
    memcpy(s->raw, spec->raw, spec->n_raw);
}

void segspec_fill(struct seg *s, const struct segspec *spec, const struct segbase *base)
{
    s->flags = spec->flags;
    s->seq = num_value(&spec->seq, base->seq, s->seq);
    s->bytes = num_value(&spec->end, base->seq, s->seq) - s->seq;
    if (s->flags & SEG_ACK) s->ack = num_value(&spec->ack, base->ack, s->ack);
    s->win = (uint16_t)num_value(&spec->win, 0, s->win);
    s->urg = (uint16_t)num_value(&spec->urg, 0, 0);
    if (spec->opts_given) fill_opts(s, spec, base);
}

static bool num_is(const struct num *n, uint32_t value, uint32_t base)
{
    int64_t rel = (int32_t)(value - base);
    switch (n->kind) {
    case NUM_REL:
        return value == base + (uint32_t)n->v;
    case NUM_ABS:
        return value == (uint32_t)n->v;
    case NUM_ABOVE:
        return rel > n->v;
    case NUM_BELOW:
        return rel < n->v;
    default:
        return true;
    }
}

static const char *opts_differ(const struct segspec *spec, const struct seg *s, const struct segbase *base)
{
    if ((spec->opts & ~s->opts) != 0) return "an option is missing";
    if (!spec->opts_open && spec->opts != s->opts) return "an option is too much";
    if ((spec->opts & SEG_MSS) && !num_is(&spec->mss, s->mss, 0)) return "mss";
    if ((spec->opts & SEG_WSCALE) && !num_is(&spec->wscale, s->wscale, 0)) return "wscale";
    if (!(spec->opts & SEG_TS)) return NULL;
    if (!num_is(&spec->tsval, s->tsval, 0)) return "timestamp";
    return num_is(&spec->tsecr, s->tsecr, spec->tsecr.kind == NUM_ECHO ? base->echo : 0) ? NULL
                                                                                         : "timestamp echo";
}

const char *segspec_differs(const struct segspec *spec, const struct seg *s, const struct segbase *base,
                            bool ts_agreed)
{
    if (((spec->flags ^ s->flags) & ~SEG_PSH) != 0) return "flags";
    if (!num_is(&spec->seq, s->seq, base->seq)) return "sequence number";
    if (!num_is(&spec->end, s->seq + s->bytes, base->seq)) return "payload bytes";
    if ((s->flags & SEG_ACK) && !num_is(&spec->ack, s->ack, base->ack)) return "acknowledgement";
    if (!num_is(&spec->win, s->win, 0)) return "window";
    if (spec->opts_given) return opts_differ(spec, s, base);
    if (s->flags & SEG_RST) return NULL;
    return (s->opts & ~(unsigned)SEG_SACK) == (ts_agreed ? SEG_TS : 0u) ? NULL : "options";
}

static size_t opts_text(char *out, size_t cap, const struct seg *s, const struct segbase *base)
{
    size_t n = 0;
    const char *gap = "";
#define PUT(...)                                                                                             \
    do {                                                                                                     \
        if (n < cap) n += (size_t)snprintf(out + n, cap - n, __VA_ARGS__);                                   \
        gap = ",";                                                                                           \
    } while (0)
    if (s->opts & SEG_MSS) PUT("%smss %u", gap, s->mss);
    if (s->opts & SEG_SACK_OK) PUT("%ssackOK", gap);
    if (s->opts & SEG_TS) PUT("%sts %u %u", gap, s->tsval, s->tsecr);
    if (s->opts & SEG_WSCALE) PUT("%swscale %u", gap, s->wscale);
    for (unsigned i = 0; i < s->n_sack; i++)
        PUT("%ssack %d:%d", gap, (int)(s->sack[i].from - base->ack), (int)(s->sack[i].to - base->ack));
    if (s->opts & (SEG_RAW | SEG_OTHER)) PUT("%sother", gap);
#undef PUT
    return n;
}

void seg_text(char *out, size_t cap, const struct seg *s, const struct segbase *base)
{
    char flags[FLAG_LETTERS + 1], opts[160] = "";
    size_t n = 0;
    for (size_t i = 0; i < FLAG_LETTERS; i++)
        if (s->flags & flag_letters[i].flag) flags[n++] = flag_letters[i].letter;
    flags[n] = 0;
    opts_text(opts, sizeof opts, s, base);
    int seq = (int)(s->seq - base->seq);
    n = (size_t)snprintf(out, cap, "%s %d:%d", n > 0 ? flags : "-", seq, seq + (int)s->bytes);
    if ((s->flags & SEG_ACK) && n < cap)
        n += (size_t)snprintf(out + n, cap - n, " ack %d", (int)(s->ack - base->ack));
    if (n < cap) n += (size_t)snprintf(out + n, cap - n, " win %u", s->win);
    if (opts[0] != 0 && n < cap) snprintf(out + n, cap - n, " <%s>", opts);
}
