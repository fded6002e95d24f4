#!/usr/bin/env python3
"""check_format.py: every C file is as clang-format 14 leaves it (other versions differ in detail: skipped)."""
import os
import re
import shutil

import checkkit
from checkkit import Canary, Item

VERSION = "14"
STYLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".clang-format")


def formatter():
    """(program, None) or (None, why not)."""
    for name in ("clang-format-" + VERSION, "clang-format"):
        program = shutil.which(name)
        if program:
            version = re.search(r"version (\d+)", checkkit.run([program, "--version"])[1])
            if version and version.group(1) == VERSION:
                return program, None
    return None, "clang-format %s is not installed" % VERSION


def examine(tree):
    program, why = formatter()
    if not program:
        return [Item("clang-format", "skipped", why)]

    def look(path):
        status, output = checkkit.run([program, "--dry-run", "-Werror", "--style=file:" + STYLE, tree.path(path)])
        lines = re.findall(r":(\d+):\d+: error:", output)
        return checkkit.verdict(path, ["clang-format -i would change lines " + ", ".join(lines[:10])] if status else [])

    return checkkit.each(look, tree.files(".c", ".h"))


CANARIES = [
    Canary("brace", {"src/a.c": "int f(void) {\n  return 1;\n}\n"}, "src/a.c"),
    Canary("good", {"src/a.c": "int f(void)\n{\n    return 1;\n}\n"}, None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
