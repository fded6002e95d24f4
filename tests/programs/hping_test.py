#!/usr/bin/env python3
"""hping_test.py: single TCP segments of every kind to an open and to a closed port, and the answers of RFC 9293,
3.10.7.1 (CLOSED) and 3.10.7.2 (LISTEN), with their sequence numbers. At the end SYNs by the thousand.
"""
import re

import programkit
from proofkit import SERVER

OPEN, CLOSED = 80, 81
SEQ, ACK, DATA = 1000, 7777, 10
COUNT, FLOOD = 2, 3000
PORT_FIRST = 20000  # each case has a port of its own, so that what comes late is not taken for another's

# An answer is (flags, SEG.SEQ, SEG.ACK); ANY is chosen by the server, and without ACK the field is 0.
ANY, NONE = "any", None
FROM_ACK = ("R", ACK, 0)


def from_length(length):
    return ("RA", 0, SEQ + length)


# Name, flags, bytes of data, the answer of LISTEN, the answer of CLOSED
CASES = [
    ("SYN", "-S", 0, ("SA", ANY, SEQ + 1), from_length(1)),
    ("SYN with data", "-S", DATA, ("SA", ANY, SEQ + 1), from_length(1 + DATA)),
    ("SYN with the bits of ECN", "-SXY", 0, ("SA", ANY, SEQ + 1), from_length(1)),
    ("FIN", "-F", 0, NONE, from_length(1)),
    ("FIN, PSH and URG", "-FPU", 0, NONE, from_length(1)),
    ("FIN with data", "-F", DATA, NONE, from_length(1 + DATA)),
    ("nothing", "", 0, NONE, from_length(0)),
    ("data", "-P", DATA, NONE, from_length(DATA)),
    ("ACK", "-A", 0, FROM_ACK, FROM_ACK),
    ("ACK with data", "-AP", DATA, FROM_ACK, FROM_ACK),
    ("SYN and ACK", "-SA", 0, FROM_ACK, FROM_ACK),
    ("FIN and ACK", "-FA", 0, FROM_ACK, FROM_ACK),
    ("RST", "-R", 0, NONE, NONE),
    ("RST and ACK", "-RA", 0, NONE, NONE),
]


def hping(*options):
    """(sent, received, [(flags, seq, ack)])"""
    status, out, err = programkit.run("hping3", "-n", "-V", *options, SERVER)
    numbers = re.search(r"(\d+) packets transmitted, (\d+) packets received", out + err)
    if numbers is None:
        raise programkit.Failed("hping3 ended with %d: %s%s" % (status, out, err))
    answers = re.findall(r"flags=([A-Z]*) .*?\nseq=(\d+) ack=(\d+)", out)
    return int(numbers[1]), int(numbers[2]), [(f, int(s), int(a)) for f, s, a in answers]


def fits(answer, want):
    return answer[0] == want[0] and want[1] in (ANY, answer[1]) and answer[2] == want[2]


def segment(number, flags, data, port):
    options = ["-c", str(COUNT), "-i", "u2000", "-M", str(SEQ), "-L", str(ACK if "A" in flags else 0),
               "-d", str(data), "-s", str(PORT_FIRST + COUNT * number), "-p", str(port)]
    return hping(*options, *([flags] if flags else []))


def show(proof, name, told, want):
    sent, received, answers = told
    if want is NONE:
        good = received == 0
    else:
        good = sent == received == len(answers) and all(fits(a, want) for a in answers)
    proof.show(name, sent == COUNT and good, "%s, must be %s" % (answers or "no answer", want or "none"))


def examine(proof):
    with programkit.serving(proof, "hping3", may_drop=programkit.LATE) as server:
        sent, received, answers = segment(len(CASES) * 2, "-S", 0, CLOSED)
        proof.canary("an answer that is another", not fits(answers[0], CASES[0][3]), "%s" % answers[:1])
        for i, (name, flags, data, listen, closed) in enumerate(CASES):
            show(proof, name + " to the open port", segment(2 * i, flags, data, OPEN), listen)
            show(proof, name + " to a closed port", segment(2 * i + 1, flags, data, CLOSED), closed)
        sent, received, _ = hping("-q", "-S", "-p", str(OPEN), "-i", "u100", "-c", str(FLOOD))
        proof.show("SYNs by the thousand", sent == FLOOD and received == sent, "%d of %d answered" % (received, sent))
    # The kernel knows nothing of hping3's connections and resets each.
    opened = server.ledger["conns_opened"]
    proof.show("connections that were opened", opened == 1, "%d, only curl's" % opened)


if __name__ == "__main__":
    programkit.main(examine, "hping3")
