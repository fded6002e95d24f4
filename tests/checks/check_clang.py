#!/usr/bin/env python3
"""check_clang.py: what one compiler has built, the other one accepts with the same warnings as errors.

Reads the compilation database of the build and runs clang (or gcc where clang built it) over each C file.
"""
import json
import os
import shlex
import shutil

import checkkit
from checkkit import DatabaseCanary, Item


def other_compiler(argv):
    built_by = os.path.basename(os.path.realpath(shutil.which(argv[0]) or argv[0]))
    return "gcc" if "clang" in built_by else "clang"


def examine(tree):
    database = os.path.join(tree.build or "", "compile_commands.json")
    if not os.path.exists(database):
        return [Item("compilation database", "failed", database + " is missing")]
    with open(database, encoding="utf-8") as f:
        entries = [e for e in json.load(f) if e["file"].endswith(".c")]
    for program in ("gcc", "clang"):
        if not shutil.which(program):
            return [Item("both compilers", "skipped", program + " is not installed")]

    def one(entry):
        argv = shlex.split(entry["command"])
        other = other_compiler(argv)
        status, output = checkkit.run([other, *argv[1:], "-fsyntax-only"], cwd=entry["directory"])
        name = "%s by %s" % (os.path.relpath(entry["file"], tree.root), other)
        return checkkit.verdict(name, [output.strip()] if status else [])

    return checkkit.each(one, entries)


CANARIES = [
    # Both pass gcc; clang refuses the first.
    DatabaseCanary("self-assign", "int f(int x);\nint f(int x) { x = x; return x; }\n", "a.c by clang"),
    DatabaseCanary("good", "int f(int x);\nint f(int x) { return x; }\n", None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
