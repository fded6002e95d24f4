#!/usr/bin/env bash
# echo_tap_test.sh ECHO: what goes through the example echo comes back the same, from one and from four at once.
. "$(dirname "${BASH_SOURCE[0]}")/tap_shell.sh"
need nc sha256sum
echo=$1

random_file "$tmp/sent" 32
expected=$(hash_of <"$tmp/sent")

start echo "$echo" --dev tap:weir0 --addr "$net.2/24" --host "$net.1/24" --port 7
server=$started

through() { timeout 60 nc -N "$net.2" 7 <"$tmp/sent" | hash_of; }

equal 'the echo' "$(through)" "$expected"
jobs=()
for i in 1 2 3 4; do
    through >"$tmp/hash.$i" &
    jobs+=($!)
done
wait "${jobs[@]}"
for i in 1 2 3 4; do equal "echo $i of 4" "$(cat "$tmp/hash.$i")" "$expected"; done
equal 'a word' "$(printf word | timeout 20 nc -N "$net.2" 7)" word

stop "$server"
echo 'passed: 5 x 32 MiB came back'
