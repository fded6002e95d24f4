#!/usr/bin/env python3
"""check_tidy.py: clang-tidy finds nothing (.clang-tidy says what it looks for). Takes minutes: ./test --full runs it."""
import json
import os
import re
import shutil

import checkkit
from checkkit import DatabaseCanary, Item

CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".clang-tidy")
FILE_TIMEOUT_S = 300


def examine(tree):
    database = os.path.join(tree.build or "", "compile_commands.json")
    if not shutil.which("clang-tidy"):
        return [Item("clang-tidy", "skipped", "clang-tidy is not installed")]
    if not os.path.exists(database):
        return [Item("compilation database", "failed", database + " is missing")]
    with open(database, encoding="utf-8") as f:
        sources = sorted({e["file"] for e in json.load(f) if e["file"].endswith(".c")})

    def one(source):
        argv = ["clang-tidy", "--quiet", "--config-file=" + CONFIG, "-p", tree.build, source]
        status, output = checkkit.run(argv, timeout_s=FILE_TIMEOUT_S)
        found = re.findall(r"^.*: (?:error|warning): .*$", output, re.MULTILINE)
        problems = (found or [output.strip()[-300:]]) if status else []
        return checkkit.verdict(os.path.relpath(source, tree.root), problems)

    return checkkit.each(one, sources)


CANARIES = [
    DatabaseCanary("null", "int f(int *p);\nint f(int *p) { if (!p) return *p; return 0; }\n",
                   "clang-analyzer-core.NullDereference"),
    DatabaseCanary("sizeof", "int f(void);\nint f(void) { return (int)sizeof(sizeof(int)); }\n",
                   "bugprone-sizeof-expression"),
    DatabaseCanary("good", "int f(const int *p);\nint f(const int *p) { return p ? *p : 0; }\n", None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
