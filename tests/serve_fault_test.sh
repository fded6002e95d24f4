#!/usr/bin/env bash
# serve_fault_test.sh WEIR: downloads over a device that loses, reorders, doubles and corrupts frames are whole.
. "$(dirname "${BASH_SOURCE[0]}")/tap_shell.sh"
need curl python3 sha256sum
weir=$1
url=http://$net.2:8000

mkdir "$tmp/root"
random_file "$tmp/root/big.bin" 16
expected=$(hash_of <"$tmp/root/big.bin")

start serve "$weir" serve --dev tap:weir0 --addr "$net.2/24" --host "$net.1/24" --port 8000 --root "$tmp/root" --json \
    --trace "$tmp/wire.pcap" --fault loss=0.02,reorder=0.02,dup=0.01,corrupt=0.001,seed=7
serve=$started

equal 'the file' "$(get "$url/big.bin" | hash_of)" "$expected"
(get "$url/big.bin" | hash_of >"$tmp/hash.1") &
one=$!
equal 'one of two' "$(get "$url/big.bin" | hash_of)" "$expected"
wait "$one"
equal 'the other' "$(cat "$tmp/hash.1")" "$expected"

stop "$serve"
ledger=$tmp/serve.out
equal file_bytes_copied "$(ledger "$ledger" file_bytes_copied)" 0
equal zbuf_live "$(ledger "$ledger" zbuf_live)" 0
again=$(ledger "$ledger" retransmits)
[ "$again" -gt 0 ] || fail 'nothing was sent again: were there faults?'
[ "$(stat -c %s "$tmp/wire.pcap")" -gt $((48 << 20)) ] || fail 'the trace lacks frames'
equal "the trace's first bytes" "$(head -c 4 "$tmp/wire.pcap" | od -An -tx1 | tr -d ' ')" 4d3cb2a1
echo "passed: $again segments sent again"
