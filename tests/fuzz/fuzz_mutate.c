/* fuzz_mutate.c: mutations for inputs that are records of 8 bytes (rxworld.h): whole records are inserted,
 * taken out, doubled, moved, taken from another input, or one is changed in place, so that what stands behind
 * keeps its meaning. Built for libFuzzer only. */
#include <string.h>

#include "fuzz.h"

#define RECORD 8u

size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t na, const uint8_t *b, size_t nb, uint8_t *out,
                                 size_t max, unsigned seed);

static unsigned draw(unsigned *seed, size_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return below > 0 ? (*seed >> 8) % (unsigned)below : 0;
}

static size_t insert(uint8_t *data, size_t records, size_t at, const uint8_t *from, size_t k)
{
    memmove(data + (at + k) * RECORD, data + at * RECORD, (records - at) * RECORD);
    memcpy(data + at * RECORD, from, k * RECORD);
    return records + k;
}

static size_t take_out(uint8_t *data, size_t records, size_t at, size_t k)
{
    memmove(data + at * RECORD, data + (at + k) * RECORD, (records - at - k) * RECORD);
    return records - k;
}

static void change(uint8_t *record, unsigned *seed)
{
    uint8_t bytes[RECORD];
    memcpy(bytes, record, RECORD);
    if (draw(seed, 2) == 0)
        bytes[draw(seed, RECORD)] = (uint8_t)draw(seed, 256);
    else
        (void)LLVMFuzzerMutate(bytes, RECORD, RECORD);
    memcpy(record, bytes, RECORD);
}

static size_t insert_new(uint8_t *data, size_t records, size_t at, unsigned *seed)
{
    uint8_t bytes[RECORD];
    for (unsigned i = 0; i < RECORD; i++)
        bytes[i] = draw(seed, 3) == 0 ? 0 : (uint8_t)draw(seed, 256);
    return insert(data, records, at, bytes, 1);
}

/* Some records once more, elsewhere. */
static size_t insert_old(uint8_t *data, size_t records, size_t at, size_t most, unsigned *seed)
{
    uint8_t copy[4 * RECORD];
    size_t k = 1 + draw(seed, 4), from = draw(seed, records);
    if (k > records - from) k = records - from;
    if (k > most) k = most;
    memcpy(copy, data + from * RECORD, k * RECORD);
    return insert(data, records, at, copy, k);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed)
{
    size_t records = n / RECORD, most = max / RECORD;
    if (most == 0) return n;
    if (records == 0) {
        memset(data, 0, RECORD);
        records = 1;
    }
    for (unsigned i = draw(&seed, 4) + 1; i > 0; i--) {
        size_t at = 1 + draw(&seed, records);
        unsigned how = draw(&seed, 8);
        if (how < 2 && records < most)
            records = insert_new(data, records, at, &seed);
        else if (how == 2 && records < most)
            records = insert_old(data, records, at, most - records, &seed);
        else if (how == 3 && at < records)
            records = take_out(data, records, at, 1 + draw(&seed, records - at < 4 ? records - at : 4));
        else
            change(data + draw(&seed, records) * RECORD, &seed);
    }
    return records * RECORD;
}

/* The beginning of one, a stretch of the other, the rest of the first. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t na, const uint8_t *b, size_t nb, uint8_t *out,
                                 size_t max, unsigned seed)
{
    size_t ra = na / RECORD, rb = nb / RECORD, most = max / RECORD;
    if (ra == 0 || rb < 2 || ra >= most) return 0;
    size_t at = 1 + draw(&seed, ra), from = 1 + draw(&seed, rb - 1), k = 1 + draw(&seed, rb - from);
    if (k > most - ra) k = most - ra;
    memcpy(out, a, ra * RECORD);
    return insert(out, ra, at, b + from * RECORD, k) * RECORD;
}
