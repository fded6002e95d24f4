/* names.c: names and texts of drop reasons, rungs and TCP states, from their tables. */
#include "weir/stats.h"
#include "weir/weir.h"

static const char *const drop_names[WEIR_DROPS] = {
#define WEIR_DROP_NAME(name, lower, text) lower,
    WEIR_DROP_MAP(WEIR_DROP_NAME)
#undef WEIR_DROP_NAME
};

static const char *const drop_texts[WEIR_DROPS] = {
#define WEIR_DROP_TEXT(name, lower, text) text,
    WEIR_DROP_MAP(WEIR_DROP_TEXT)
#undef WEIR_DROP_TEXT
};

static const char *const rung_names[WEIR_RUNGS] = {
#define WEIR_RUNG_NAME(name, lower, text) lower,
    WEIR_RUNG_MAP(WEIR_RUNG_NAME)
#undef WEIR_RUNG_NAME
};

static const char *const rung_texts[WEIR_RUNGS] = {
#define WEIR_RUNG_TEXT(name, lower, text) text,
    WEIR_RUNG_MAP(WEIR_RUNG_TEXT)
#undef WEIR_RUNG_TEXT
};

static const char *const state_names[] = {
#define WEIR_TCP_STATE_NAME(name) #name,
    WEIR_TCP_STATE_MAP(WEIR_TCP_STATE_NAME)
#undef WEIR_TCP_STATE_NAME
};

#define STATES (sizeof state_names / sizeof state_names[0])

const char *weir_drop_name(enum weir_drop why)
{
    return (unsigned)why < WEIR_DROPS ? drop_names[why] : "?";
}

const char *weir_drop_text(enum weir_drop why)
{
    return (unsigned)why < WEIR_DROPS ? drop_texts[why] : "?";
}

const char *weir_rung_name(enum weir_rung rung)
{
    return (unsigned)rung < WEIR_RUNGS ? rung_names[rung] : "?";
}

const char *weir_rung_text(enum weir_rung rung)
{
    return (unsigned)rung < WEIR_RUNGS ? rung_texts[rung] : "?";
}

const char *weir_tcp_state_name(enum weir_tcp_state state)
{
    return (unsigned)state < STATES ? state_names[state] : "?";
}
