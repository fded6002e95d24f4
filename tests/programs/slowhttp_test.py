#!/usr/bin/env python3
"""slowhttp_test.py: hundreds of clients that send their requests a few bytes a second, or read the answers so:
whoever else comes is served meanwhile as before.
"""
import re
import subprocess

import programkit
import proofkit
from programkit import URL

BIG, BIG_BYTES = "big.bin", 32 << 20
CONNECTIONS, SECONDS = 300, 4
MODES = {
    "slow heads": ("-H", "-x", "20"),
    "slow bodies": ("-B", "-s", "8192"),
    "many ranges": ("-R", "-a", "5", "-b", "3000"),
    "slow readers": ("-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "3"),
}


def attack(proof, name, options):
    """curl again and again, as long as the slow ones are there."""
    command = ["slowhttptest", *options, "-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-i", "1",
               "-l", str(SECONDS), "-p", "2", "-u", "%s/%s" % (URL, BIG)]
    served = 0
    with open(proof.path("slow.log"), "wb+") as log:
        with subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=programkit.die_with_parent) as slow:
            while slow.poll() is None:
                status, _, _ = programkit.run("curl", "-sS", "-f", "--noproxy", "*", "-m", "2", "-o", "/dev/null",
                                              "%s/%s" % (URL, programkit.SMALL))
                if status != 0:
                    proof.show("served beside %s" % name, False, "curl ended with %d after %d" % (status, served))
                    slow.terminate()
                    return
                served += 1
        log.seek(0)
        told = re.sub(r"\x1b\[[0-9;]*[mHJ]", "", log.read().decode("utf-8", "replace"))
    available = re.findall(r"^service available: +(\w+)", told, re.MULTILINE)
    good = slow.returncode == 0 and available and set(available) == {"YES"}
    proof.show("served beside %s" % name, good and served > 0, "%d times, available: %s" % (served, available))
    if not good:
        print(told)


def examine(proof):
    proof.make_file(BIG, BIG_BYTES)
    with programkit.serving(proof, "slowhttptest", may_drop=programkit.LATE) as server:
        for name, options in MODES.items():
            attack(proof, name, options)
    proof.show("the slow ones were there", server.ledger["conns_opened"] > len(MODES) * CONNECTIONS,
               "%d connections" % server.ledger["conns_opened"])


if __name__ == "__main__":
    programkit.main(examine, "slowhttptest")
