#!/usr/bin/env python3
"""ab_test.py: a counted number of requests on 1, 16, 64 and 256 connections, new for each and kept: each is answered,
in full.
"""
import re

import programkit
from programkit import URL

CONNECTIONS = (1, 16, 64, 256)
REQUESTS = 3000
PIECE, PIECE_BYTES = "piece.bin", 100000


def ab(name, connections, requests, *options):
    """What ab reports, by name: numbers only."""
    told = programkit.run("ab", "-q", "-s", "30", "-c", str(connections), "-n", str(requests), *options,
                          "%s/%s" % (URL, name))
    if told[0] != 0:
        raise programkit.Failed("ab ended with %d: %s%s" % told)
    return {k: int(v) for k, v in re.findall(r"^([A-Z][A-Za-z0-9 -]+): +(\d+)", told[1], re.MULTILINE)}


def all_answered(proof, name, report, requests, size):
    good = (report["Complete requests"] == requests and report["Failed requests"] == 0 and
            "Write errors" not in report and "Non-2xx responses" not in report and
            report.get("HTML transferred", 0) >= requests * size)
    proof.show(name, good, "%d complete, %d failed, %d bytes" %
               (report["Complete requests"], report["Failed requests"], report.get("HTML transferred", 0)))


def examine(proof):
    proof.make_file(PIECE, PIECE_BYTES)
    with programkit.serving(proof, "ab", may_drop=programkit.LATE) as server:
        report = ab("nothing-here", 1, 10)
        bad = report.get("Non-2xx responses")
        proof.canary("a file that is not there", bad == 10, "%s of 10 are not 2xx" % bad)
        for connections in CONNECTIONS:
            all_answered(proof, "%d connections, new" % connections,
                         ab(programkit.SMALL, connections, REQUESTS), REQUESTS, programkit.SMALL_BYTES)
            kept = ab(programkit.SMALL, connections, REQUESTS, "-k")
            all_answered(proof, "%d connections, kept" % connections, kept, REQUESTS, programkit.SMALL_BYTES)
            proof.show("%d connections were kept" % connections, kept["Keep-Alive requests"] == REQUESTS,
                       "%d of %d requests" % (kept["Keep-Alive requests"], REQUESTS))
            all_answered(proof, "%d connections, pieces" % connections,
                         ab(PIECE, connections, REQUESTS // 3), REQUESTS // 3, PIECE_BYTES)
        all_answered(proof, "HEAD", ab(PIECE, CONNECTIONS[1], REQUESTS, "-i"), REQUESTS, 0)
    proof.show("every request is in the ledger", server.ledger["requests"] >= len(CONNECTIONS) * 2 * REQUESTS,
               "%d" % server.ledger["requests"])


if __name__ == "__main__":
    programkit.main(examine, "ab")
