#!/usr/bin/env python3
"""standin_weir.py: plays `weir serve` over the loopback for check_transfer.py. STANDIN names its fault, if any."""
import http.server
import json
import os
import signal
import sys
import threading

FAULT = os.environ.get("STANDIN", "none")


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


class Handler(http.server.SimpleHTTPRequestHandler):
    sent = 0
    lock = threading.Lock()

    def copyfile(self, source, outputfile):
        data = source.read()
        if FAULT == "corrupt" and len(data) > 1000:
            with self.lock:
                if Handler.sent > 3 * len(data):
                    data = data[:500] + bytes([data[500] ^ 1]) + data[501:]
        outputfile.write(data[:-1] if FAULT == "short" else data)
        with self.lock:
            Handler.sent += len(data)

    def log_message(self, *_):
        pass


def ledger():
    told = {"file_bytes_copied": 0, "tx_bytes_ref": Handler.sent, "tx_bytes_copied": 4711, "zbuf_live": 0,
            "drops": {"tcp_csum": 1, "rate": 2}}
    if FAULT == "copied":
        told["file_bytes_copied"] = 1
    if FAULT == "live":
        told["zbuf_live"] = 2
    if FAULT == "keyless":
        del told["zbuf_live"]
    if FAULT == "not-by-reference":
        told["tx_bytes_ref"] = 12
    return told


def main():
    if FAULT == "dies":
        sys.exit("standin: the port is in use")
    assert sys.argv[1] == "serve" and option("--dev").startswith("tap:") and "--json" in sys.argv
    assert option("--addr").endswith(".2/24") and option("--host").endswith(".1/24")
    os.chdir(option("--root"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(option("--port"))), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()
    print("not JSON" if FAULT == "no-ledger" else json.dumps(ledger()))
    sys.exit(3 if FAULT == "bad-exit" else 0)


main()
