#!/usr/bin/env python3
"""check_length.py: no file over 800 lines, no C function over 70.

A function is counted from its opening to its closing brace in column 0, which clang-format puts there.
"""
import checkkit
from checkkit import Canary

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70


def long_functions(lines):
    found, start = [], None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start is not None:
            if number - start + 1 > FUNCTION_LINES_MAX:
                found.append("function at line %d has %d lines" % (start, number - start + 1))
            start = None
    return found


def examine(tree):
    items = []
    for path in tree.files(".c", ".h", ".py", ".sh", ".cmake"):
        lines = tree.text(path).split("\n")
        problems = ["%d lines" % len(lines)] if len(lines) > FILE_LINES_MAX + 1 else []
        if path.endswith((".c", ".h")):
            problems += long_functions(lines)
        items.append(checkkit.verdict(path, problems))
    return items


def function_of(lines):
    return "int f(void)\n{\n" + "    g();\n" * (lines - 2) + "}\n"


CANARIES = [
    Canary("long-file", {"src/mem/a.c": "\n" * (FILE_LINES_MAX + 1)}, "802 lines"),
    Canary("long-function", {"src/mem/a.c": function_of(FUNCTION_LINES_MAX + 1)}, "function at line 2 has 71 lines"),
    Canary("good", {"src/mem/a.c": function_of(FUNCTION_LINES_MAX) * 2, "b.h": "\n" * FILE_LINES_MAX}, None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
