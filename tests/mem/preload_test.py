#!/usr/bin/env python3
"""preload_test.py: libweir-malloc.so under preload_probe: what the standard promises of each call, threads and forks in
their midst, wrong addresses told and survived or fatal as chosen, the bound, a limit on address space, the counts.
"""
import argparse
import os
import re
import resource
import signal
import subprocess
import sys

SECONDS = 120


class Proof:
    def __init__(self, probe, library):
        self.probe, self.library, self.failed = probe, os.path.abspath(library), 0

    def show(self, name, good, text):
        print("%s %s: %s" % ("ok    " if good else "FAILED", name, text), flush=True)
        self.failed += not good

    def run(self, case, limit=None, **options):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "WEIR_MALLOC"))}
        env.update({"LD_PRELOAD": self.library, "WEIR_MALLOC_STATS": "1"}, **options)
        env = {k: v for k, v in env.items() if v is not None}
        before = (lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))) if limit else None
        done = subprocess.run([self.probe, case], env=env, capture_output=True, timeout=SECONDS, check=False,
                              preexec_fn=before)
        return done.returncode, done.stdout.decode(), done.stderr.decode()


def counts(told):
    return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", told)}


def plain(proof, case, name=None, **options):
    status, out, told = proof.run(case, **options)
    c = counts(told)
    good = status == 0 and c.get("allocs", 0) > 0 and c.get("bad_frees") == 0
    proof.show(name or case, good, "%d requests, peak %d bytes" % (c["allocs"], c["peak_bytes"]) if good else
               "status %d: %s" % (status, told))
    return c, out


def wrong(proof):
    expected = ["does not belong", "does not belong", "not the start", "not the start", "free already",
                "realloc of", "free already", "free already"]
    status, _, told = proof.run("wrong")
    lines = [line for line in told.splitlines() if " of 0x" in line]
    good = status == 0 and len(lines) == len(expected) and all(e in line for e, line in zip(expected, lines))
    proof.show("wrong addresses are told, and it goes on", good, "%d lines, status %d%s" %
               (len(lines), status, "" if good else ": " + told))
    proof.show("and counted", counts(told).get("bad_frees") == len(expected), "%s of %d" %
               (counts(told).get("bad_frees"), len(expected)))
    status, _, told = proof.run("wrong", WEIR_MALLOC_ON_ERROR="abort")
    lines = [line for line in told.splitlines() if " of 0x" in line]
    proof.show("or the first one aborts", status == -signal.SIGABRT and len(lines) == 1, "status %d, %d line" %
               (status, len(lines)))


def bound(proof):
    for size in ("32m", "48M"):
        c, out = plain(proof, "bound", "bound of " + size, WEIR_MALLOC_BYTES=size)
        limit = int(size[:-1]) << 20
        used = [int(a) * int(b) for a, b in re.findall(r"(\d+) blocks of (\d+)", out)]
        good = c.get("reserve_bytes") == limit and len(used) == 4 and max(used) < limit and min(used) > limit // 3
        proof.show("of which programs get", good, "%s of %d bytes" % (used, limit))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probe", required=True)
    parser.add_argument("--library", required=True)
    options = parser.parse_args()
    proof = Proof(options.probe, options.library)
    for case in ("calls", "edges", "growing", "threads", "load"):
        plain(proof, case)
    plain(proof, "calls", "calls with one arena", WEIR_MALLOC_ARENAS="1")
    plain(proof, "threads", "threads with one arena", WEIR_MALLOC_ARENAS="1")
    c, _ = plain(proof, "calls", "calls in 1 GiB of address space", limit=1 << 30)
    proof.show("of which it reserved", 0 < c.get("reserve_bytes", 0) < 1 << 30, "%s bytes" % c.get("reserve_bytes"))
    status, _, told = proof.run("edges", WEIR_MALLOC_STATS=None)
    proof.show("without WEIR_MALLOC_STATS it is silent", status == 0 and told == "", told or "nothing said")
    wrong(proof)
    bound(proof)
    return 1 if proof.failed else 0


if __name__ == "__main__":
    sys.exit(main())
