#!/usr/bin/env bash
# serve_tap_test.sh WEIR: `weir serve` over a TAP device, as curl sees it, and what its ledger says afterwards.
. "$(dirname "${BASH_SOURCE[0]}")/tap_shell.sh"
need curl python3 sha256sum
weir=$1
url=http://$net.2:8000
mib=32

mkdir -p "$tmp/root/sub"
random_file "$tmp/root/big.bin" "$mib"
echo hello >"$tmp/root/a.txt"
echo '<p>sub' >"$tmp/root/sub/index.html"
: >"$tmp/root/empty"
echo secret >"$tmp/secret"
ln -s ../secret "$tmp/root/way-out"
touch -d '2001-02-03 04:05:06 UTC' "$tmp/root/a.txt" "$tmp/root/big.bin"
expected=$(hash_of <"$tmp/root/big.bin")

start serve "$weir" serve --dev tap:weir0 --addr "$net.2/24" --host "$net.1/24" --port 8000 --root "$tmp/root" --json
serve=$started

status() { get -o /dev/null -w '%{http_code}' "$@"; }

equal 'the whole file' "$(get "$url/big.bin" | hash_of)" "$expected"

head=$(get -I "$url/a.txt")
for line in 'HTTP/1.1 200 OK' 'Content-Length: 6' 'Content-Type: text/plain; charset=utf-8' 'Accept-Ranges: bytes' \
    'Last-Modified: Sat, 03 Feb 2001 04:05:06 GMT'; do
    [[ $head == *"$line"$'\r'* ]] || fail "HEAD has no line $line"
done

equal 'a range' "$(get -r 1000000-20000000 "$url/big.bin" | hash_of)" \
    "$(tail -c +1000001 "$tmp/root/big.bin" | head -c 19000001 | hash_of)"
equal 'a suffix' "$(get -r -3 "$url/a.txt")" 'lo'
equal 'an open range' "$(get -r 4- "$url/a.txt")" 'o'
equal 'the status of a range' "$(status -r 0-0 "$url/a.txt")" 206
equal 'the status beyond the end' "$(status -r 6- "$url/a.txt")" 416
equal 'several ranges' "$(get -r 0-1,3-4 "$url/a.txt")" hello
equal 'an index' "$(get "$url/sub/")" '<p>sub'
equal 'a folder' "$(status "$url/sub")" 301
equal 'followed' "$(get -L "$url/sub")" '<p>sub'
equal 'an empty file' "$(get -w '%{http_code} %{size_download}' "$url/empty")" '200 0'
equal 'not modified' "$(status -z 'Sat, 03 Feb 2001 04:05:06 GMT' "$url/a.txt")" 304
equal 'modified' "$(status -z 'Sat, 03 Feb 2001 04:05:05 GMT' "$url/a.txt")" 200
equal 'nothing there' "$(status "$url/nope")" 404
equal 'up and out' "$(status --path-as-is "$url/../secret")" 403
equal 'up and out, written otherwise' "$(status --path-as-is "$url/%2e%2e/%2e%2e%2fsecret")" 403
equal 'a link out' "$(status "$url/way-out")" 403
equal 'a zero' "$(status "$url/a.txt%00")" 400
equal 'a post' "$(status -d x "$url/a.txt")" 405
equal 'a method of nobody' "$(status -X BREW "$url/a.txt")" 501
equal 'a long name' "$(status "$url/$(printf '%05000d' 0)")" 414
equal 'a long head' "$(status -H "X: $(printf '%020000d' 0)" "$url/a.txt")" 431
equal 'HTTP/1.0' "$(get -0 "$url/a.txt")" hello
equal 'two on one connection' "$(get -w '%{num_connects} ' "$url/a.txt" "$url/sub/" | tr '\n' ' ')" 'hello 1 <p>sub 0 '

jobs=()
for i in 1 2 3 4 5 6 7 8; do
    (get "$url/big.bin" | hash_of >"$tmp/hash.$i") &
    jobs+=($!)
done
wait "${jobs[@]}"
for i in 1 2 3 4 5 6 7 8; do equal "download $i of 8" "$(cat "$tmp/hash.$i")" "$expected"; done

# Half a download and then no more interest, while the server ends: nothing may be left.
# The process itself and not a function: a kill must reach curl, or it would outlive the test.
curl -sS --noproxy '*' -m 60 --limit-rate 100k "$url/big.bin" -o /dev/null >/dev/null 2>&1 &
slow=$!
equal 'beside a slow one' "$(get "$url/a.txt")" hello

stop "$serve"
kill "$slow" 2>/dev/null || true
wait "$slow" 2>/dev/null || true
ledger=$tmp/serve.out
equal file_bytes_copied "$(ledger "$ledger" file_bytes_copied)" 0
equal zbuf_live "$(ledger "$ledger" zbuf_live)" 0
bytes=$(ledger "$ledger" tx_bytes_ref)
[ "$bytes" -ge $((9 * (mib << 20))) ] || fail "only $bytes bytes were sent by reference"
hits=$(ledger "$ledger" chunk_hits)
[ "$hits" -gt 0 ] || fail "no buffer served two connections"
if ip link show weir0 >/dev/null 2>&1; then fail 'the device is still there'; fi

# A start that fails touches no file.
echo kept >"$tmp/trace.pcap"
status=0
"$weir" serve --dev tap:lo --addr "$net.2/24" --trace "$tmp/trace.pcap" 2>"$tmp/why" || status=$?
equal 'the status of a start that fails' "$status" 1
equal 'its lines' "$(wc -l <"$tmp/why")" 1
equal 'the file of its trace' "$(cat "$tmp/trace.pcap")" kept

# An interface that somebody removes ends the server.
start removed "$weir" serve --dev tap:weir0 --addr "$net.2/24" --host "$net.1/24" --root "$tmp/root" --json
ip link delete weir0
status=0
wait "$started" || status=$?
equal 'the status without its interface' "$status" 1
calls=$(ledger "$ledger" system_calls)
echo "passed: $bytes bytes by reference, $((calls / (bytes >> 20))) system calls a MiB, mean frame $(ledger "$ledger" mean_frame_bytes) bytes"
