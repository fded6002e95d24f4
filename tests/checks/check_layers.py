#!/usr/bin/env python3
"""check_layers.py: no #include runs against the order of the rooms (layers.txt)."""
import os
import re

import checkkit
from checkkit import Canary

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.txt")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


class Layers:
    def __init__(self, path):
        self.order, self.only, self.outer, self.everything = [], {}, {}, set()
        with open(path, encoding="utf-8") as f:
            for line in f:
                words = line.split("#")[0].split()
                if words:
                    self.add(words[0], words[1:])

    def add(self, kind, words):
        if kind == "order":
            self.order += words
        elif kind == "only":
            self.only[words[0]] = set(words[1:])
        elif kind == "outer":
            self.outer[words[0]] = set(words[1:])
        elif kind == "all":
            self.everything |= set(words)
        else:
            raise ValueError("layers.txt: unknown kind of line: " + kind)

    def seen_by(self, path):
        """(folder, set of rooms that this file sees, or None for all); folder None: not in the table."""
        parts = path.split("/")
        if path.endswith("_test.c") or parts[0] in self.everything:
            return parts[0], None
        if parts[0] == "src":
            room = parts[1]
            if room not in self.order:
                return None, set()
            return room, self.only.get(room, set(self.order[:self.order.index(room)])) | {room}
        if parts[0] == "include":
            return "include", set()
        return (parts[0], self.outer[parts[0]]) if parts[0] in self.outer else (None, set())


def problem(layers, path, folder, seen, mark, target):
    """Why `path` may not include `target`, or None."""
    first = target.split("/")[0]
    if ".." in target.split("/"):
        return '%s includes "%s": no way round the table' % (path, target)
    if "/" not in target or first == "weir":
        return None
    if first in layers.order:
        if seen is None or first in seen:
            return None
        return "%s (%s) includes %s: only %s" % (path, folder, target, ", ".join(sorted(seen)) or "public headers")
    if mark == '"' and seen is not None and first != folder:
        return '%s includes "%s": not a room of the table' % (path, target)
    return None


def examine(tree):
    layers = Layers(TABLE)
    items = []
    for path in tree.files(".c", ".h"):
        folder, seen = layers.seen_by(path)
        problems = []
        if folder is None:
            problems.append("%s: its folder is not in layers.txt" % path)
        else:
            found = [problem(layers, path, folder, seen, m, t) for m, t in INCLUDE.findall(tree.text(path))]
            problems = [p for p in found if p]
        items.append(checkkit.verdict(path, problems))
    return items


CANARIES = [
    Canary("upward", {"src/mem/a.c": '#include "tcp/sendq.h"\n'}, "src/mem/a.c"),
    Canary("wire-sees-base-only", {"src/wire/a.h": '  #  include "mem/zpool.h"\n'}, "only base"),
    Canary("driver-into-tcp", {"drivers/a.c": '#include "tcp/sendq.h"\n'}, "netdev, pkt, plat"),
    Canary("tool-into-core", {"tools/a.c": '#include "base/bits.h"\n'}, "only public headers"),
    Canary("public-into-core", {"include/weir/a.h": '#include "base/bits.h"\n'}, "only public headers"),
    Canary("angle-brackets", {"examples/a.c": "#include <mem/zpool.h>\n"}, "only public headers"),
    Canary("dots", {"src/mem/a.c": '#include "../tcp/sendq.h"\n'}, "no way round"),
    Canary("unknown-room", {"src/attic/a.c": "\n"}, "not in layers.txt"),
    Canary("good", {"src/tcp/a.c": '#include "base/bits.h"\n#include "tcp/sendq.h"\n#include "weir/weir.h"\n',
                    "src/mem/a_test.c": '#include "stack/rx.h"\n', "tests/b.c": '#include "stack/rx.h"\n',
                    "drivers/c.c": '#include "netdev/txq.h"\n#include "local.h"\n#include <sys/ioctl.h>\n'}, None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
