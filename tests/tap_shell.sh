# tap_shell.sh: for the shell tests to source. Enters a network namespace of the test's own, where everything that it
# makes goes away with it, or ends with 77 and `skipped: reason`. Without sleeps: a program's readiness is a line read
# from a fifo.
set -euo pipefail

net=10.213.7
ready_s=20

skip() {
    echo "skipped: $1"
    exit 77
}

fail() {
    echo "failed: $1" >&2
    exit 1
}

need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

# Runs the test again inside the namespace; as another user's root where we are not root.
enter_namespace() {
    if [ -n "${WEIR_IN_NAMESPACE-}" ]; then
        ip link set lo up
        ip tuntap add dev weirprobe mode tap 2>/dev/null || skip "no TAP device can be made here"
        ip link delete weirprobe
        return
    fi
    need ip unshare
    [ -c /dev/net/tun ] || skip "there is no /dev/net/tun"
    local as=(--net)
    [ "$(id -u)" = 0 ] || as=(--user --map-root-user --net)
    unshare "${as[@]}" true 2>/dev/null || skip "no network namespace can be made here"
    WEIR_IN_NAMESPACE=1 exec unshare "${as[@]}" -- "$BASH" "$0" "$@"
}

enter_namespace "$@"
tmp=$(mktemp -d)

clean_up() {
    local pid
    trap - EXIT
    for pid in $(jobs -p); do kill -KILL "$pid" 2>/dev/null || true; done
    rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 143' TERM INT

# start NAME COMMAND...: in the background, output in $tmp/NAME.out, until a line of stderr begins with `listening`.
# Its pid is then in $started.
start() {
    local name=$1 line=''
    shift
    mkfifo "$tmp/$name.fifo"
    "$@" >"$tmp/$name.out" 2>"$tmp/$name.fifo" &
    started=$!
    exec {fifo}<"$tmp/$name.fifo"
    until [[ $line == listening* ]]; do
        if [ -n "$line" ]; then echo "$name: $line" >&2; fi
        IFS= read -r -t "$ready_s" line <&"$fifo" || fail "$name did not get ready"
    done
    cat <&"$fifo" >"$tmp/$name.err" &
    exec {fifo}<&-
}

# stop PID: in order, and with success.
stop() {
    local status=0
    kill -TERM "$1"
    wait "$1" || status=$?
    [ "$status" = 0 ] || fail "process $1 ended with status $status"
}

hash_of() { sha256sum | cut -d ' ' -f 1; }

get() { curl -sS --noproxy '*' -m 60 "$@"; }

random_file() { head -c "$(($2 << 20))" /dev/urandom >"$1"; }

equal() { [ "$2" = "$3" ] || fail "$1: $2 is not $3"; }

# ledger FILE KEY: a number of the ledger.
ledger() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }
