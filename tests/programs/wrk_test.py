#!/usr/bin/env python3
"""wrk_test.py: requests as fast as they go on 1, 16, 64 and 256 connections, kept and new for each request, a small
file and a large one: not one may fail.
"""
import re

import programkit
from programkit import URL

CONNECTIONS = (1, 16, 64, 256)
SECONDS = 1
LARGE, LARGE_BYTES = "large.bin", 1 << 20
KINDS = ("connect", "read", "write", "status", "timeout")
SCRIPT = """done = function(summary)
  local e = summary.errors
  print(string.format("report: %d %d %d %d %d %d", summary.requests, e.connect, e.read, e.write, e.status, e.timeout))
end
"""


def wrk(proof, name, connections, *options):
    """(requests, errors by kind) as wrk reports them."""
    told = programkit.run("wrk", "-t", "1", "-c", str(connections), "-d", "%ds" % SECONDS, "--timeout", "10s",
                          "-s", proof.path("report.lua"), *options, "%s/%s" % (URL, name))
    report = re.search(r"^report: (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", told[1], re.MULTILINE)
    if told[0] != 0 or report is None:
        raise programkit.Failed("wrk ended with %d: %s%s" % told)
    numbers = [int(x) for x in report.groups()]
    return numbers[0], {k: n for k, n in zip(KINDS, numbers[1:]) if n}


def examine(proof):
    with open(proof.path("report.lua"), "w", encoding="ascii") as f:
        f.write(SCRIPT)
    proof.make_file(LARGE, LARGE_BYTES)
    with programkit.serving(proof, "wrk", may_drop=programkit.LATE) as server:
        _, errors = wrk(proof, "nothing-here", 1)
        proof.canary("a file that is not there", errors.get("status", 0) > 0, errors)
        for kind, name, options in (("kept", programkit.SMALL, ()), ("large", LARGE, ()),
                                    ("new", programkit.SMALL, ("-H", "Connection: close"))):
            for connections in CONNECTIONS:
                requests, errors = wrk(proof, name, connections, *options)
                proof.show("%d connections, %s" % (connections, kind), requests > 0 and not errors,
                           "%d requests, errors: %s" % (requests, errors))
    proof.show("every connection is gone", server.ledger["conns_closed"] >= server.ledger["conns_opened"],
               "%d opened" % server.ledger["conns_opened"])


if __name__ == "__main__":
    programkit.main(examine, "wrk")
