#!/usr/bin/env bash
# transfer.sh: serves a file of random bytes with `weir serve`, downloads it with curl once and then by several at once, compares hashes,
# stops the server, and prints its ledger. ./run calls it where a TAP device can be had, as root of its network
# namespace; the checks call it with a stand-in for weir.
#
# usage: transfer.sh WEIR [--tap NAME] [--net A.B.C] [--server IP] [--port N] [--mib N] [--keep]
#   --tap NAME     name of the TAP device (weir0)
#   --net A.B.C    its /24: the kernel's end gets .1, Weir's .2 (10.19.0)
#   --server IP    where curl finds the server, if not at .2
#   --port N       (80)
#   --mib N        size of the file (256)
#   --keep         serve again afterwards, until Ctrl-C
# Exit status: 0 all hashes equal and the ledger clean, 1 not so, 2 wrong usage.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/scripts/machine.sh"

at_once=8
ready_tries=100
stop_tries=100
weir=${1-} tap=weir0 net=10.19.0 server='' port=80 mib=256 keep=no
if [ -z "$weir" ]; then exit 2; fi
shift
while [ $# -gt 0 ]; do
    case "$1" in
    --tap) tap=$2 && shift ;;
    --net) net=$2 && shift ;;
    --server) server=$2 && shift ;;
    --port) port=$2 && shift ;;
    --mib) mib=$2 && shift ;;
    --keep) keep=yes ;;
    *) exit 2 ;;
    esac
    shift
done
server=${server:-$net.2}
url=http://$server:$port
pid=''
tmp=$(mktemp -d)

# The server dies with this script and nothing of it stays, however the script ends.
clean_up() {
    trap - EXIT
    if [ -n "$pid" ]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_server() {
    "$weir" serve --dev "tap:$tap" --addr "$net.2/24" --host "$net.1/24" --port "$port" --root "$tmp/root" --json \
        >"$tmp/ledger.json" 2>"$tmp/serve.log" &
    pid=$!
}

server_failed() {
    cat "$tmp/serve.log" >&2
    die "$1"
}

wait_until_ready() {
    local try
    for ((try = 0; try < ready_tries; try++)); do
        if curl -sf --noproxy '*' -o /dev/null --connect-timeout 1 -m 2 -I "$url/index.html"; then return 0; fi
        if ! kill -0 "$pid" 2>/dev/null; then server_failed "the server ended before it served"; fi
        sleep 0.1
    done
    server_failed "the server did not answer at $url"
}

# Ends the server in order; it must do so by itself and with success.
stop_server() {
    local status=0 try
    kill -TERM "$pid" 2>/dev/null || true
    for ((try = 0; try < stop_tries; try++)); do
        if ! kill -0 "$pid" 2>/dev/null; then break; fi
        sleep 0.1
    done
    if [ "$try" = "$stop_tries" ]; then
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        pid=''
        server_failed "the server did not stop within 10 s of SIGTERM"
    fi
    wait "$pid" || status=$?
    pid=''
    if [ "$status" != 0 ]; then server_failed "the server ended with status $status"; fi
}

hash_of() { sha256sum | cut -d ' ' -f 1; }

# The hash of what curl got, or the word that it failed with: never equal to a hash.
download() { curl -sfS --noproxy '*' -m 300 "$url/random.bin" 2>"$tmp/curl.$1" | hash_of || say "curl failed: $(cat "$tmp/curl.$1")"; }

milliseconds() { date +%s%3N; }

# download_all N: N at once; tells how long they took, and succeeds if every hash is the right one.
download_all() {
    local n=$1 begin wrong=0 i took jobs=()
    begin=$(milliseconds)
    for ((i = 1; i <= n; i++)); do
        download "$i" >"$tmp/hash.$i" &
        jobs+=($!)
    done
    wait "${jobs[@]}" || true
    took=$(($(milliseconds) - begin))
    for ((i = 1; i <= n; i++)); do
        if [ "$(cat "$tmp/hash.$i")" != "$expected" ]; then
            say "failed: download $i of $n: $(cat "$tmp/hash.$i")"
            wrong=1
        fi
    done
    if [ "$wrong" = 1 ]; then return 1; fi
    say "$n x $mib MiB downloaded and hashed in $((took / 1000)).$(printf %03d $((took % 1000))) s, sha256 equal"
}

keep_serving() {
    trap ':' INT
    start_server
    wait_until_ready
    say ""
    say "Serving until Ctrl-C. From another terminal of this machine:"
    say "  curl -O $url/random.bin    (or ping $server)"
    wait "$pid" || true
    say ""
    stop_server
    python3 "$top/scripts/ledger.py" "$tmp/ledger.json"
}

mkdir "$tmp/root"
say '<!doctype html><title>Weir</title><p>Served by Weir. <a href="random.bin">random.bin</a>' >"$tmp/root/index.html"
head -c "$((mib * 1048576))" /dev/urandom >"$tmp/root/random.bin"
expected=$(hash_of <"$tmp/root/random.bin")
say "A file of $mib MiB, sha256 $expected"

start_server
wait_until_ready
status=0
download_all 1 || status=1
download_all "$at_once" || status=1
stop_server
if ! python3 "$top/scripts/ledger.py" "$tmp/ledger.json" "$(((at_once + 1) * mib * 1048576))"; then status=1; fi
if [ "$status" = 0 ]; then say "Verified: every hash equal, 0 file bytes copied, 0 zbufs live."; fi
if [ "$keep" = yes ] && [ "$status" = 0 ]; then keep_serving; fi
exit "$status"
