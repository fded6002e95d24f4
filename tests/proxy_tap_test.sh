#!/usr/bin/env bash
# proxy_tap_test.sh PROXY: bytes pass the example proxy unchanged both ways, and either end may be the first to end.
. "$(dirname "${BASH_SOURCE[0]}")/tap_shell.sh"
need nc python3 sha256sum
proxy=$1

random_file "$tmp/up" 32
random_file "$tmp/down" 32
up=$(hash_of <"$tmp/up")
down=$(hash_of <"$tmp/down")

# Behind the proxy: a server that reads to the end of the stream and only then sends the file. Another sends the
# file and ends first, and only then reads: each works only if a half-close goes through.
cat >"$tmp/server.py" <<'END'
import hashlib, socket, sys
address, port, order, name = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
listener = socket.create_server((address, port))
print("listening", file=sys.stderr, flush=True)
s, _ = listener.accept()
def read():
    h = hashlib.sha256()
    while True:
        b = s.recv(1 << 20)
        if not b:
            return print(h.hexdigest())
        h.update(b)
def write():
    with open(name, "rb") as f:
        s.sendfile(f)
    s.shutdown(socket.SHUT_WR)
for do in ((read, write) if order == "read-first" else (write, read)):
    do()
END
cat >"$tmp/client.py" <<'END'
import hashlib, socket, sys
address, port, order, name = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
s = socket.create_connection((address, port), 60)
s.settimeout(60)
def read():
    h = hashlib.sha256()
    while True:
        b = s.recv(1 << 20)
        if not b:
            return print(h.hexdigest())
        h.update(b)
def write():
    with open(name, "rb") as f:
        s.sendfile(f)
    s.shutdown(socket.SHUT_WR)
for do in ((write, read) if order == "read-first" else (read, write)):
    do()
END

# The kernel's address comes with the device, so the servers listen on any.
for order in read-first write-first; do
    port=$((9000 + ${#order}))
    start "server-$order" python3 "$tmp/server.py" 0.0.0.0 "$port" "$order" "$tmp/down"
    server=$started
    start "proxy-$order" "$proxy" --dev tap:weir0 --addr "$net.2/24" --host "$net.1/24" --port 8080 --to "$net.1:$port"
    through=$started
    equal "$order: down" "$(python3 "$tmp/client.py" "$net.2" 8080 "$order" "$tmp/up")" "$down"
    wait "$server" || fail "$order: the server failed"
    equal "$order: up" "$(cat "$tmp/server-$order.out")" "$up"
    stop "$through"
done

# Nobody behind it: the client is told, and the proxy goes on.
start proxy-alone "$proxy" --dev tap:weir0 --addr "$net.2/24" --host "$net.1/24" --port 8080 --to "$net.1:9"
if timeout 20 nc -N "$net.2" 8080 </dev/null | grep -q .; then fail 'bytes from nowhere'; fi
stop "$started"
echo 'passed: 2 x 32 MiB each way'
