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
sent=$((5 * (32 << 20) + 4))
equal 'the ledger' "$(sed 's/copied on receive [0-9]*/copied on receive some/' "$tmp/echo.out")" \
    "sent by reference $sent, copied on send 0, received $sent, copied on receive some, zbufs live 0"

# Ended while a connection waits with what it has: nothing is held, and the peer is told.
start echo-busy "$echo" --dev tap:weir0 --addr "$net.2/24" --host "$net.1/24" --port 7
server=$started
exec {peer}<>/dev/tcp/"$net.2"/7
printf word >&"$peer"
IFS= read -r -N 4 -t "$ready_s" word <&"$peer"
equal 'a word before the end' "$word" word
stop "$server"
[[ $(cat "$tmp/echo-busy.out") == *', zbufs live 0' ]] || fail "$(cat "$tmp/echo-busy.out")"
exec {peer}<&-

# An interface that somebody removes ends it.
start echo-removed "$echo" --dev tap:weir0 --addr "$net.2/24" --host "$net.1/24" --port 7
ip link delete weir0
status=0
wait "$started" || status=$?
equal 'the status without its interface' "$status" 1
echo 'passed: 5 x 32 MiB came back'
