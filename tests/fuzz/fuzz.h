/* fuzz.h: the one entry of a fuzz target, called by libFuzzer and by fuzz_replay.c. */
#ifndef WEIR_FUZZ_H
#define WEIR_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A broken promise ends the run, in every build. */
#define FUZZ_CHECK(holds)                                                                                    \
    do {                                                                                                     \
        if (!(holds)) __builtin_trap();                                                                      \
    } while (0)

#endif
