#!/bin/bash
# runs: n, source, dir
mkdir -p $3; cd $3
for i in $(seq $1); do
  b=$(date +%s.%N)
  WEIR_MALLOC_STATS=1 LD_PRELOAD=/tmp/s2/lib0.so timeout -s STOP 150 gcc -std=c11 -O2 $2 -o out.o 2>err.txt; r=$?
  e=$(date +%s.%N); echo "$i $r $(echo "$e-$b"|bc) $(grep -c allocs= err.txt) $(grep -c 'failures=0 bad_frees=0' err.txt)" >> log
done
echo done >> log
