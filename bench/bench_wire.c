#include "bench.h"
void bench_traffic_timed(const struct bench_options *o)
{
    (void)o;
}
