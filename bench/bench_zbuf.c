#include "bench.h"
void bench_cells_counted(const struct bench_options*o){(void)o;}
void bench_zbuf_counted(const struct bench_options*o){(void)o;}
void bench_zbuf_timed(const struct bench_options*o){(void)o;}
void bench_traffic_timed(const struct bench_options*o){(void)o;}
