#!/usr/bin/env python3
"""echo_test.py: the instructions that one echo of a byte takes in the whole server, by weir-bench under callgrind.

    echo-1     at most 1,980    one connection, a sleep between two echoes
    echo-16    at most 1,530    sixteen connections, answered in one poll

Virtual time and the same keys each run: the counts repeat to 0.1 %, so what goes above by 3 % has been made
dearer. The canary is lwIP's figure or, where lwIP is not there, the figure without checksum offload: the same counting
must tell a costlier server from Weir's.
"""
import json
import os
import shutil

import proofkit

LIMITS = {"echo-1": 1980, "echo-16": 1530}
COSTLIER = ("lwip", "weir-no-offload")


def counts(proof):
    """{(name, variant): instructions an echo}"""
    found, bench = {}, os.path.join(os.path.dirname(proof.weir), "weir-bench")
    for line in proofkit.run(bench, "--json", "echo").splitlines():
        row = json.loads(line)
        if row["metric"] == "instructions":
            found[row["name"], row["variant"]] = row["value"]
    return found


def examine(proof):
    if not shutil.which("valgrind"):
        proofkit.skip("valgrind is not installed")
    found = counts(proof)
    if not found:
        proofkit.skip("weir-bench counts nothing: it was built without valgrind's headers")
    for name, limit in LIMITS.items():
        other = next(v for v in COSTLIER if (name, v) in found)
        proof.canary("instructions of %s, %s" % (name, other), found[name, other] > found[name, "weir"],
                     "%.0f" % found[name, other])
        proof.at_most("instructions of " + name, found[name, "weir"], limit)


if __name__ == "__main__":
    proofkit.main(examine)
