#!/usr/bin/env python3
"""idle_test.py: an established connection that is idle costs no CPU: at most 20 ms over 10 s.

The one proof that has to take its time: what it measures is the CPU time that passes while nothing happens.
"""
import os
import socket
import subprocess
import time

import proofkit

IDLE_SECONDS = 10
CPU_MS_MAX = 20
TICK_MS = 1000 // os.sysconf("SC_CLK_TCK")
SPIN_SECONDS = 0.5
REQUEST = b"GET /small HTTP/1.1\r\nHost: proof\r\n\r\n"
FILE_BYTES = 1000


def stat_ms(pid):
    """User and system time by the kernel's ticks."""
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_MS


def schedule(pid):
    """(milliseconds on a CPU, times put on one), to the nanosecond; None where the kernel does not tell."""
    try:
        with open("/proc/%d/schedstat" % pid, encoding="ascii") as f:
            ran_ns, _, turns = map(int, f.read().split())
        return ran_ns / 1e6, turns
    except OSError:
        return None


def measure(pid, seconds):
    """(ms by ticks, ms by the scheduler, times it was run) of a process in so many seconds."""
    ticks, before = stat_ms(pid), schedule(pid)
    time.sleep(seconds)
    after = schedule(pid)
    ticks = stat_ms(pid) - ticks
    if before is None or after is None:
        return ticks, float(ticks), -1
    return ticks, after[0] - before[0], after[1] - before[1]


def ask(connection):
    """One request and its whole answer, on a connection that stays."""
    connection.sendall(REQUEST)
    got = b""
    while b"\r\n\r\n" not in got or len(got.partition(b"\r\n\r\n")[2]) < FILE_BYTES:
        piece = connection.recv(65536)
        if not piece:
            raise proofkit.Failed("the server closed the connection: %r" % got)
        got += piece
    if not got.startswith(b"HTTP/1.1 200 "):
        raise proofkit.Failed("an answer other than 200: %r" % got[:80])


def canary(proof):
    with subprocess.Popen(["sh", "-c", "while :; do :; done"], preexec_fn=proofkit.die_with_parent) as busy:
        ticks, ran, _ = measure(busy.pid, SPIN_SECONDS)
        busy.kill()
    proof.canary("a process that spins", max(ticks, ran) > CPU_MS_MAX, "%.1f ms in %g s" % (ran, SPIN_SECONDS))


def examine(proof):
    canary(proof)
    proof.make_file("small", FILE_BYTES)
    with proofkit.Server(proof) as server:
        with socket.create_connection((proofkit.SERVER, 80), timeout=5) as connection:
            ask(connection)
            ticks, ran, turns = measure(server.pid, IDLE_SECONDS)
            ask(connection)
        proof.at_most("CPU over %d idle seconds, by the scheduler" % IDLE_SECONDS, ran, CPU_MS_MAX, " ms")
        proof.at_most("the same, by ticks of %d ms" % TICK_MS, ticks, CPU_MS_MAX, " ms")
        proof.show("the connection was open all the time", True, "it answered before and after, %d wake-ups" % turns)
        ledger = server.stop()
    proof.show("it was one connection", ledger["conns_opened"] == 1, "%d" % ledger["conns_opened"])


if __name__ == "__main__":
    proofkit.main(examine)
