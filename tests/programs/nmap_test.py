#!/usr/bin/env python3
"""nmap_test.py: what a scanner makes of it: one open port and no other, whichever way it asks; one host, and sequence
numbers that are hard to guess.
"""
import re

import programkit
from proofkit import SERVER

PORTS, OPEN = 100, 80
FEW = "79-81"
GUESS_LEAST = 200  # nmap calls 260 and more `good luck`; a counter has below 10


def nmap(*options):
    status, out, err = programkit.run("nmap", "-n", "--max-os-tries", "1", *options)
    if status != 0:
        raise programkit.Failed("nmap ended with %d: %s%s" % (status, out, err))
    return out


def states(out):
    """{port or protocol: state} by the lines of the table; those that are all alike are only counted."""
    table = {int(number): state for number, state in re.findall(r"^(\d+)(?:/\w+)? +([a-z|]+) ", out, re.MULTILINE)}
    alike = re.search(r"^Not shown: (\d+) ([a-z|]+)", out, re.MULTILINE)
    return table, (int(alike[1]), alike[2]) if alike else None


def scan(proof, name, options, want, want_alike=None):
    table, alike = states(nmap("-Pn", *options, SERVER))
    proof.show(name, table == want and alike == want_alike, "%s, the others %s" % (table, alike))


def examine(proof):
    strange = ("udp_port", "ip_proto", "ip_not_mine", "arp_not_mine", "rate")
    with programkit.serving(proof, "nmap", may_drop=programkit.LATE + strange):
        closed = states(nmap("-Pn", "-p", "81", SERVER))
        proof.canary("a port that is closed", closed == ({81: "closed"}, None), closed)
        ports, others = ("-p", "1-%d" % PORTS), (PORTS - 1, "closed")
        scan(proof, "connecting", ("-sT", *ports), {OPEN: "open"}, others)
        scan(proof, "SYNs", ("-sS", *ports), {OPEN: "open"}, others)
        quiet = {79: "closed", 80: "open|filtered", 81: "closed"}
        scan(proof, "FINs", ("-sF", "-p", FEW), quiet)
        scan(proof, "no flags", ("-sN", "-p", FEW), quiet)
        scan(proof, "FIN, PSH and URG", ("-sX", "-p", FEW), quiet)
        scan(proof, "ACKs", ("-sA", "-p", FEW), {p: "unfiltered" for p in (79, 80, 81)})
        scan(proof, "datagrams", ("-sU", "-p", FEW), {p: "closed" for p in (79, 80, 81)})
        scan(proof, "protocols", ("-sO", "-p", "1,6,17,47"), {1: "open", 6: "open", 17: "open", 47: "closed"})
        up = re.findall(r"^Nmap scan report for (\S+)$", nmap("-sn", "-PR", "10.9.0.0/29"), re.MULTILINE)
        proof.show("hosts that are up", sorted(up) == ["10.9.0.1", SERVER], up)
        guess = re.search(r"^TCP Sequence Prediction: Difficulty=(\d+)", nmap("-Pn", "-O", "-v", "-p", FEW, SERVER),
                          re.MULTILINE)
        proof.show("difficulty of guessing a sequence number", guess is not None and int(guess[1]) >= GUESS_LEAST,
                   "%s, at least %d" % (guess and guess[1], GUESS_LEAST))


if __name__ == "__main__":
    programkit.main(examine, "nmap")
