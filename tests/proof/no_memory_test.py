#!/usr/bin/env python3
"""no_memory_test.py: once it listens, the server asks no memory of the system and none of malloc.

Three witnesses, each for the whole of a set of transfers: a preloaded malloc that counts (malloc_trace.c), strace
that lists mmap, brk, munmap, mremap and their kin, and the size of the address space. The canary has the server ask
for memory once while it transfers, and all three must tell.
"""
import mmap
import os
import re
import shutil
import struct
import subprocess

import proofkit
from proofkit import MIB

MAGIC = 0x77656972
KINDS = ("malloc", "calloc", "realloc", "aligned", "free")
HEAD = struct.Struct("=4I5Q5Q")
CALL = struct.Struct("=2Q8Q")
CALLS = 32
BYTES = HEAD.size + CALLS * CALL.size
ARMED_AT, CANARY_AT = 4, 8
AT_ONCE = 8

RUNS = [
    ("plain", []),
    ("little memory", ["--mem", "4m"]),
    ("faults", ["--fault", "loss=0.005,reorder=0.005,dup=0.005,corrupt=0.001,seed=7"]),
]


class Watch:
    """The page that malloc_trace.c shares."""

    def __init__(self, proof, name):
        self.path = proof.path(name)
        with open(self.path, "wb") as f:
            f.truncate(BYTES)
        with open(self.path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), BYTES)

    def head(self):
        fields = HEAD.unpack_from(self.page)
        return fields[0], dict(zip(KINDS, fields[4:9])), dict(zip(KINDS, fields[9:14]))

    def put(self, at, value):
        struct.pack_into("=I", self.page, at, value)

    def callers(self, pid, n):
        """Who made the first n calls, as far as names can be had."""
        told = []
        for i in range(min(n, CALLS)):
            kind, size, *addresses = CALL.unpack_from(self.page, HEAD.size + i * CALL.size)
            names = [name_of(pid, a) for a in addresses[2:] if a]
            told.append("%s(%d) from %s" % (KINDS[kind], size, " < ".join(names)))
        return told


def name_of(pid, address):
    """Function or file+offset of an address in a process."""
    with open("/proc/%d/maps" % pid, encoding="utf-8") as f:
        rows = [line.split(maxsplit=5) for line in f]
    for row in rows:
        low, high = (int(x, 16) for x in row[0].split("-"))
        if low <= address < high and len(row) == 6 and row[5].startswith("/"):
            path = row[5].strip()
            base = min(int(r[0].split("-")[0], 16) for r in rows if len(r) == 6 and r[5].strip() == path)
            if shutil.which("addr2line"):
                name = proofkit.run("addr2line", "-f", "-e", path, hex(address - base)).split("\n")[0]
                if name != "??":
                    return name
            return "%s+%#x" % (os.path.basename(path), address - base)
    return hex(address)


def size_kb(pid):
    """The address space, now and at its peak."""
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return tuple(int(kb) for kb in re.findall(r"^Vm(?:Peak|Size|Data):\s+(\d+) kB$", f.read(), re.MULTILINE))


def transfers(proof):
    """Everything that a server does all day."""
    proof.download("bulk")
    proof.download("bulk", AT_ONCE)
    for name, options in (("bulk", ["-I"]), ("bulk", ["-r", "5-100000"]), ("none", []), ("%2e%2e/x", []), ("", [])):
        proofkit.curl(name, *options)


def memory_calls(log):
    """The lines of strace from `listening` to the signal that ends the server."""
    calls, on = [], False
    with open(log, encoding="utf-8", errors="replace") as f:
        for line in f:
            if re.search(r'write\(2, "listening on', line):
                on = True
            elif "--- SIGTERM" in line:
                return calls
            elif on and not re.search(r"\bwrite\(", line):
                calls.append(line.strip())
    raise proofkit.Failed("strace's log does not tell where the server began and ended")


def strace_works(proof):
    probe = ["strace", "-f", "-e", "trace=%memory", "-o", proof.path("probe"), "true"]
    return shutil.which("strace") and subprocess.run(probe, capture_output=True, check=False).returncode == 0


def watched(proof, options, canary):
    """(malloc's counts, who called, lines of strace or None, growth of the address space in KB, ledger)."""
    watch, log = Watch(proof, "watch"), proof.path("strace.log")
    traced = strace_works(proof)
    around = ["strace", "-f", "-e", "trace=%memory,write", "-o", log] if traced else []
    before = ["env", "LD_PRELOAD=" + proof.helper("malloc_trace"), "WEIR_MALLOC_TRACE=" + watch.path]
    with proofkit.Server(proof, *options, around=around, before=before) as server:
        magic, at_start, _ = watch.head()
        if magic != MAGIC or at_start["malloc"] + at_start["calloc"] == 0:
            raise proofkit.Failed("the counting malloc is not in the server")
        sizes = size_kb(server.pid)
        watch.put(CANARY_AT, int(canary))
        watch.put(ARMED_AT, 1)
        transfers(proof)
        watch.put(ARMED_AT, 0)
        growth = tuple(b - a for a, b in zip(sizes, size_kb(server.pid)))
        counts = watch.head()[2]
        callers = watch.callers(server.pid, sum(counts.values()))
        ledger = server.stop()
    return counts, callers, memory_calls(log) if traced else None, growth, ledger


def show_canary(proof):
    counts, _, lines, growth, _ = watched(proof, [], True)
    proof.canary("one malloc and free", counts["malloc"] == 1 and counts["free"] == 1, str(counts))
    if lines is not None:
        seen = {word: sum(word + "(" in line for line in lines) for word in ("mmap", "mremap", "munmap", "brk")}
        proof.canary("each memory call, by strace", all(seen.values()), str(seen))
    proof.canary("a page that stays", growth[1] > 0, "%d KB" % growth[1])


def show_none(proof, name, options):
    counts, callers, lines, growth, ledger = watched(proof, options, False)
    sent = "%d MiB sent, %d requests" % (ledger["tx_bytes_ref"] // MIB, ledger["requests"])
    proof.show("%s: calls of malloc, calloc, realloc, free" % name, not any(counts.values()),
               "\n    ".join(["%d, %s" % (sum(counts.values()), sent)] + callers))
    if lines is not None:
        proof.show("%s: system calls for memory" % name, not lines, "\n    ".join(["%d" % len(lines)] + lines[:10]))
    proof.show("%s: growth of the address space" % name, not any(growth), "%d KB (peak %d KB)" % growth[1::-1])


def examine(proof):
    proof.make_file("bulk", 16 * MIB)
    if not strace_works(proof):
        print("skipped: system calls for memory: strace is not installed or may not trace")
    show_canary(proof)
    for name, options in RUNS:
        show_none(proof, name, options)


if __name__ == "__main__":
    proofkit.main(examine)
