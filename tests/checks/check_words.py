#!/usr/bin/env python3
"""check_words.py: no marks of unfinished work and no paths of one machine in the repository."""
import re

import checkkit
from checkkit import Canary

# Written in halves so that this file does not trip itself.
MARKS = ["TO" + "DO", "FIX" + "ME", "X" + "XX"]
PATHS = ["(?:^|[^A-Za-z0-9_.])/" + "work/", "/tmp/" + "bash_jobs", r"(?<![A-Za-z0-9_])\." + "library" + r"\b"]
FORBIDDEN = re.compile(r"\b(?:%s)\b|%s" % ("|".join(MARKS), "|".join(PATHS)))


def examine(tree):
    items = []
    for path in tree.files():
        if path.endswith((".png", ".pcap", ".bin")) or "/corpus/" in path:
            continue
        problems = ["line %d: %s" % (number, line.strip()[:100])
                    for number, line in enumerate(tree.text(path).split("\n"), 1) if FORBIDDEN.search(line)]
        items.append(checkkit.verdict(path, problems))
    return items


CANARIES = [Canary("mark-" + m[0], {"src/a.c": "/* %s: later */\n" % m}, "src/a.c") for m in MARKS] + [
    Canary("machine-path", {"README.md": "see " + "/work" + "/main\n"}, "README.md"),
    Canary("library-path", {"README.md": "see ." + "library\n"}, "README.md"),
    Canary("good", {"src/a.c": "/* mktemp XX" + "XXXX, network/x */\n"}, None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
