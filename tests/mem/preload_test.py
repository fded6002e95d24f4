#!/usr/bin/env python3
"""preload_test.py: libweir-malloc.so under preload_probe: what the standard promises of each call, threads and forks in
their midst, wrong addresses told and survived or fatal as chosen, the bound, a limit on address space, the counts; and under preload_hazards: where it could hang.
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
    def __init__(self, probe, hazards, library):
        self.probe, self.hazards, self.library, self.failed = probe, hazards, os.path.abspath(library), 0

    def show(self, name, good, text):
        print("%s %s: %s" % ("ok    " if good else "FAILED", name, text), flush=True)
        self.failed += not good

    def run(self, case, limit=None, program=None, close_stderr=False, files=None, **options):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "WEIR_MALLOC"))}
        env.update({"LD_PRELOAD": self.library, "WEIR_MALLOC_STATS": "1"}, **options)
        env = {k: v for k, v in env.items() if v is not None}

        def before():
            if limit:
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            if files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
            if close_stderr:
                os.close(2)

        done = subprocess.run([program or self.probe, case], env=env, capture_output=True, timeout=SECONDS, check=False,
                              preexec_fn=before)
        return done.returncode, done.stdout.decode(), done.stderr.decode()


def counts(told):
    return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", told)}


def hazards(proof):
    """Each was seen to hang or to break something once, or could."""
    for case, times, options in (("handlers", 4, {}), ("starts", 4, {}), ("comings", 2, {}), ("moves", 1, {}),
                                 ("errno", 6, {"WEIR_MALLOC_ARENAS": "1"}), ("leaves", 20, {}), ("all_closed", 1, {}),
                                 ("locked", 1, {"WEIR_MALLOC_BYTES": "1g"}),
                                 ("no_stderr", 1, {"close_stderr": True}), ("runs_out", 4, {"WEIR_MALLOC_BYTES": "32m"})):
        ended = [proof.run(case, program=proof.hazards, WEIR_SEED=str(i + 1), **options) for i in range(times)]
        bad = [(i + 1, status, told[-300:]) for i, (status, _, told) in enumerate(ended) if status != 0]
        proof.show(case, not bad, "%d runs%s" % (times, "".join("; seed %d: status %d: %s" % b for b in bad[:1])))


def sentences(proof):
    """What an option says that isn't understood, and the same with a good one: nothing."""
    for name, value, remedy in (("BYTES", "64q", "set a number"), ("BYTES", "", "set a number"), ("BYTES", "-1", "set a number"),
                                ("BYTES", "1m", "set that or more"), ("ARENAS", "17", "set one of these"),
                                ("ARENAS", "two", "set one of these"), ("STATS", "yes", "neither 0 nor 1"),
                                ("ON_ERROR", "ignore", "neither log nor abort")):
        options = {"WEIR_MALLOC_STATS": None, "WEIR_MALLOC_" + name: value}
        status, _, told = proof.run("edges", **options)
        good = status == 0 and told.count("\n") == 1 and "WEIR_MALLOC_" + name in told and remedy in told
        proof.show("WEIR_MALLOC_%s=%s" % (name, value), good, told.strip() or "nothing said")
    status, _, told = proof.run("edges", WEIR_MALLOC_STATS="0", WEIR_MALLOC_BYTES="99999999999g", WEIR_MALLOC_ARENAS="16",
                                WEIR_MALLOC_ON_ERROR="log")
    proof.show("sound options are silent, too large a size too", status == 0 and told == "", told or "nothing said")
    status, _, told = proof.run("edges", files=64)
    proof.show("counts with 64 descriptors", status == 0 and counts(told).get("allocs", 0) > 0, told.strip()[:60])


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
    parser.add_argument("--hazards", required=True, help="preload_hazards")
    parser.add_argument("--library", required=True)
    options = parser.parse_args()
    proof = Proof(options.probe, options.hazards, options.library)
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
    hazards(proof)
    sentences(proof)
    return 1 if proof.failed else 0


if __name__ == "__main__":
    sys.exit(main())
