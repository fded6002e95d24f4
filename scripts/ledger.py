#!/usr/bin/env python3
"""ledger.py: prints the memory ledger of `weir serve --json` and holds it against what was promised.

usage: ledger.py FILE [REF_BYTES_MIN]

Exit status 0: no file byte was copied, no zbuf is live, and at least REF_BYTES_MIN payload bytes went out by reference.
"""
import json
import sys

ROWS = [
    ("file_bytes_copied", "file bytes copied on send"),
    ("tx_bytes_ref", "bytes sent by reference"),
    ("tx_bytes_copied", "bytes sent by copy (response heads)"),
    ("rx_bytes", "bytes received"),
    ("rx_bytes_copied", "received bytes copied"),
    ("zbuf_allocs", "zbufs handed out"),
    ("zbuf_peak", "zbufs in use at the peak"),
    ("zbuf_live", "zbufs live after exit"),
    ("fallthroughs", "zbufs taken from a larger class"),
    ("retransmits", "segments sent again"),
]
MUST_BE_ZERO = ("file_bytes_copied", "zbuf_live")


def read_object(text):
    """The first JSON object in the text; lines for humans may stand around it."""
    start = text.find("{")
    if start < 0:
        raise ValueError("no JSON object")
    return json.JSONDecoder().raw_decode(text[start:])[0]


def drops(value):
    """Frames dropped, whether the ledger tells a sum or one number a reason."""
    return sum(value.values()) if isinstance(value, dict) else value


def problems(ledger, ref_bytes_min):
    found = ["%s is missing" % key if key not in ledger else "%s is %s, not 0" % (key, ledger[key])
             for key in MUST_BE_ZERO if ledger.get(key) != 0]
    if ledger.get("tx_bytes_ref", 0) < ref_bytes_min:
        found.append("tx_bytes_ref is %s, less than the %d file bytes downloaded"
                     % (ledger.get("tx_bytes_ref"), ref_bytes_min))
    return found


def main(argv):
    try:
        with open(argv[1], encoding="utf-8") as f:
            ledger = read_object(f.read())
    except (OSError, ValueError) as error:
        print("failed: the ledger can't be read: %s" % error)
        return 1
    print("Ledger")
    for key, text in ROWS:
        if key in ledger:
            print("  {:>15,}  {}".format(ledger[key], text))
    if "drops" in ledger:
        print("  {:>15,}  frames dropped".format(drops(ledger["drops"])))
    found = problems(ledger, int(argv[2]) if len(argv) > 2 else 0)
    for problem in found:
        print("failed: " + problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
