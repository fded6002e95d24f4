#!/usr/bin/env python3
"""check_transfer.py: scripts/transfer.sh tells a good transfer from every kind of bad one and leaves nothing behind.

A stand-in plays `weir serve` over the loopback, with one fault at a time; the real one is run by ./run. Also: wrong usage of
./run and ./test ends with status 2.
"""
import os
import shutil
import socket
import tempfile

import checkkit
from checkkit import Item

HERE = os.path.dirname(os.path.abspath(__file__))
STANDIN = os.path.join(HERE, "standin_weir.py")
MIB = "2"

# fault -> (exit status, a word that must be in the output)
FAULTS = {
    "none": (0, "Verified: every hash equal"),
    "corrupt": (1, "failed: download"),
    "short": (1, "curl failed"),
    "copied": (1, "file_bytes_copied is 1, not 0"),
    "live": (1, "zbuf_live is 2, not 0"),
    "keyless": (1, "zbuf_live is missing"),
    "not-by-reference": (1, "less than"),
    "no-ledger": (1, "the ledger can't be read"),
    "dies": (1, "the server ended before it served"),
    "bad-exit": (1, "the server ended with status 3"),
}

USAGES = [(["./run", "--nonsense"], 2), (["./run", "--help"], 0), (["./test", "--nonsense"], 2),
          (["./test", "--quick", "--full"], 2), (["./test", "--help"], 0)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def transfer(tree, fault):
    status_wanted, word = FAULTS[fault]
    with tempfile.TemporaryDirectory() as tmp:
        env = dict(os.environ, STANDIN=fault, TMPDIR=tmp)
        status, output = checkkit.run([tree.path("scripts", "transfer.sh"), STANDIN, "--server", "127.0.0.1",
                                       "--port", free_port(), "--mib", MIB], env=env)
        left = os.listdir(tmp)
    wrong = []
    if status != status_wanted or word not in output:
        wrong.append("status %d, expected %d and %r in:\n%s" % (status, status_wanted, word, output))
    if left:
        wrong.append("left behind: %s" % left)
    return checkkit.verdict("transfer, fault: " + fault, wrong)


def usage(tree, argv, wanted):
    status, output = checkkit.run(argv, cwd=tree.root)
    wrong = [] if status == wanted and "usage:" in output else ["status %d: %s" % (status, output)]
    return checkkit.verdict(" ".join(argv), wrong)


def examine(tree):
    if not shutil.which("curl"):
        return [Item("transfer", "skipped", "curl is not installed")]
    return [transfer(tree, fault) for fault in FAULTS] + [usage(tree, *u) for u in USAGES]


# The faults are the canaries: each must be told from a good transfer by its own word.
if __name__ == "__main__":
    checkkit.main(examine, [])
