#!/usr/bin/env python3
"""ping_test.py: echoes of all sizes up to the MTU, with options and by the thousand; ping compares their bytes. What
is too long for a frame is refused by the kernel, and what comes in fragments, or to all, harms nobody.
"""
import re

import programkit
from proofkit import SERVER

SIZES = (0, 1, 56, 1000, 1472)
FULL = 1472  # with 20 bytes of IPv4 and 8 of ICMP a whole frame of 1500
COUNT, FLOOD, AHEAD = 20, 5000, 64
NOBODY, ALL = "10.9.0.99", "10.9.0.255"


def ping(address, *options):
    """(sent, received, what was said) with `count` or `-c` among the options."""
    status, out, err = programkit.run("ping", "-n", *options, address)
    numbers = re.search(r"(\d+) packets transmitted, (\d+) received", out)
    if numbers is None:
        raise programkit.Failed("ping ended with %d: %s%s" % (status, out, err))
    return int(numbers[1]), int(numbers[2]), out + err


def all_back(proof, name, told):
    sent, received, text = told
    good = sent == received > 0 and "wrong" not in text and "DUP!" not in text
    proof.show(name, good, "%d of %d came back" % (received, sent) + ("" if good else ": " + text))


def none_back(told):
    return told[1] == 0


def examine(proof):
    with programkit.serving(proof, "ping", may_drop=programkit.LATE + ("ip_fragment", "ip_not_mine", "arp_not_mine")) as server:
        proof.canary("nobody's address", none_back(ping(NOBODY, "-c", "2", "-i", "0.2", "-W", "0.2")), "no answer")
        for size in SIZES:
            all_back(proof, "%d bytes" % size,
                     ping(SERVER, "-c", str(COUNT), "-i", "0.002", "-M", "do", "-s", str(size)))
        sent, received, text = ping(SERVER, "-c", "1", "-W", "0.2", "-M", "do", "-s", str(FULL + 1))
        proof.show("a byte more that must not be cut", received == 0 and "too long" in text,
                   "%d of %d" % (received, sent))
        all_back(proof, "a pattern", ping(SERVER, "-c", "3", "-i", "0.002", "-p", "ff00a5", "-s", str(FULL)))
        all_back(proof, "a record of the route", ping(SERVER, "-c", "3", "-i", "0.002", "-R"))
        all_back(proof, "a record of times", ping(SERVER, "-c", "3", "-i", "0.002", "-T", "tsonly"))
        all_back(proof, "a life of one hop", ping(SERVER, "-c", "3", "-i", "0.002", "-t", "1"))
        all_back(proof, "any class of service", ping(SERVER, "-c", "3", "-i", "0.002", "-Q", "0xff"))
        all_back(proof, "a flood", ping(SERVER, "-q", "-f", "-c", str(FLOOD)))
        all_back(proof, "a flood of whole frames, %d ahead" % AHEAD,
                 ping(SERVER, "-q", "-f", "-c", str(FLOOD), "-l", str(AHEAD), "-s", str(FULL)))
        proof.show("to all: nobody answers", none_back(ping(ALL, "-b", "-c", "1", "-W", "0.2")), "no answer")
        ping(SERVER, "-c", "5", "-i", "0.002", "-W", "0.2", "-s", "65507")
    wanted = 2 * FLOOD + len(SIZES) * COUNT
    frames = server.ledger["tx_frames"]
    proof.show("the server sent the answers", frames >= wanted, "%d frames, at least %d" % (frames, wanted))


if __name__ == "__main__":
    programkit.main(examine, "ping")
