#!/usr/bin/env python3
"""examples_test.py: a large file through the example echo (nc) and through the example proxy (curl) arrives whole, and
none of its bytes is copied on the way out; the same over a device that loses, reorders, doubles and corrupts frames.

256 MiB over a clean device; with WEIR_PROOF_FAULTS=1 8 MiB over a faulty one, where TCP must mend each loss on both of the
example's connections. Any other size by WEIR_PROOF_MIB, another course of faults by WEIR_SEED.

Nothing of what is received is copied either. Over the faulty device a little may be: payload that lies badly in its
zbufs, such as 3,000 bytes in one of 2,048 and one of 16,384, is packed behind what waits already once a connection pins
more than its receive buffer, so that a peer's small segments can't pin large ones (recvq.c). The canary: a file of which one
bit is changed has another hash.
"""
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time

import proofkit
from proofkit import MIB, SERVER, Example, Failed

FAULTY = os.environ.get("WEIR_PROOF_FAULTS") == "1"
BULK_MIB = int(os.environ.get("WEIR_PROOF_MIB", "8" if FAULTY else "256"))
SEED = int(os.environ.get("WEIR_SEED", "1"))
FAULTS = "loss=0.02,reorder=0.02,dup=0.01,corrupt=0.001,seed=%d" % SEED
ECHO_PORT, PROXY_PORT, BEHIND_PORT = 7, 80, 9000
PIECE = 1 << 20
RECEIVE_PART = 256


def faults():
    return ["--fault", FAULTS] if FAULTY else []


def digest_of(stream):
    digest, count = hashlib.sha256(), 0
    while True:
        piece = stream.read1(PIECE)
        if not piece:
            return count, digest.hexdigest()
        digest.update(piece)
        count += len(piece)


def through_echo(path):
    """(seconds, bytes, hash) of what nc gets back."""
    begin = time.monotonic()
    with open(path, "rb") as file, subprocess.Popen(
            ["timeout", str(proofkit.CURL_SECONDS), "nc", "-N", SERVER, str(ECHO_PORT)], stdin=file,
            stdout=subprocess.PIPE) as nc:
        count, digest = digest_of(nc.stdout)
    return time.monotonic() - begin, count, digest


class Behind:
    """A server of one file over the kernel's TCP, at the host's end of the device: each request gets the file."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.create_server(("", BEHIND_PORT))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            with connection, open(self.path, "rb") as file:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
                                   % os.path.getsize(self.path))
                connection.sendfile(file)


def show(proof, name, got, size, ledger):
    """What both examples are held to; the ledger's `received` has the proxy's request and reply head as well."""
    seconds, count, digest = got
    whole = (count, digest) == (size, proof.hashes["bulk"])
    proof.show(name, whole, "%d bytes, sha256 %s, %.1f s, %.1f MB/s"
               % (count, "equal" if whole else "differs", seconds, count / seconds / 1e6))
    proof.show(name + ": memory", ledger["zbufs live"] == 0 and ledger["sent by reference"] >= size
               and ledger["received"] == ledger["sent by reference"] + ledger["copied on send"],
               ", ".join("%s %d" % item for item in ledger.items()))
    proof.at_most(name + ": copied on send", ledger["copied on send"], 0, " bytes")
    proof.at_most(name + ": copied on receive", ledger["copied on receive"], size // RECEIVE_PART if FAULTY else 0,
                  " bytes")


def show_echo(proof, path, size):
    with Example(proof, "echo", "--port", str(ECHO_PORT), *faults()) as echo:
        got = through_echo(path)
        show(proof, "%d MiB through echo" % BULK_MIB, got, size, echo.stop())


def show_proxy(proof, path, size):
    behind = proofkit.HOST.split("/", maxsplit=1)[0]
    with Example(proof, "proxy", "--port", str(PROXY_PORT), "--to", "%s:%d" % (behind, BEHIND_PORT),
                 *faults()) as proxy:
        Behind(path)
        begin = time.monotonic()
        status, count, digest = proofkit.curl("bulk")
        if status != 0:
            raise Failed("curl ended with %d after %d bytes" % (status, count))
        got = time.monotonic() - begin, count, digest
        show(proof, "%d MiB through proxy" % BULK_MIB, got, size, proxy.stop())


def show_canary(proof, path):
    """One bit of the file differs."""
    other = proof.path("other")
    shutil.copyfile(path, other)
    with open(other, "r+b") as file:
        file.seek(os.path.getsize(other) // 2)
        bit = file.read(1)[0] ^ 1
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([bit]))
    with open(other, "rb") as file:
        proof.canary("one bit of the file", digest_of(file)[1] != proof.hashes["bulk"], "changes its hash")
    os.unlink(other)


def examine(proof):
    size = BULK_MIB * MIB
    proof.make_file("bulk", size)
    path = os.path.join(proof.root, "bulk")
    show_canary(proof, path)
    show_echo(proof, path, size)
    show_proxy(proof, path, size)


if __name__ == "__main__":
    proofkit.main(examine, "nc", "timeout")
