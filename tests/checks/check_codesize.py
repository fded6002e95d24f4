#!/usr/bin/env python3
"""check_codesize.py: what each scheme of memory takes in code on a Cortex-M3, held against codesize.golden.

The golden file names a scheme, its limit (`-`: none), its size and its sources. A size is the sum of .text, .rodata and .data over
the objects, at `-Os -mcpu=cortex-m3 -mthumb` with asserts off. It may grow by 2 % or 16 bytes, whichever is more, and never beyond its
limit. With --regenerate the sizes are measured and the file is written anew: the change is then a diff to be looked at.

Sizes belong to one compiler: with another major version than the file's the check is skipped.
"""
import os
import re
import shutil
import sys
import tempfile

import checkkit
from checkkit import Canary, Item

HERE = os.path.dirname(os.path.abspath(__file__))
CC, SIZE = "arm-none-eabi-gcc", "arm-none-eabi-size"
FLAGS = ["-std=c11", "-Os", "-mcpu=cortex-m3", "-mthumb", "-ffreestanding", "-DNDEBUG", "-fno-common"]
GOLDEN = "tests/checks/codesize.golden"
TOLERANCE, LEAST = 0.02, 16
COUNTED = re.compile(r"^\.(text|rodata|data)\b")


def compiler():
    """("arm-none-eabi-gcc 12", None) or (None, why not)"""
    if not shutil.which(CC) or not shutil.which(SIZE):
        return None, CC + " is not installed"
    status, version = checkkit.run([CC, "-dumpversion"])
    return ("%s %s" % (CC, version.split(".")[0]), None) if status == 0 else (None, CC + " does not run")


def read(tree):
    """(compiler, [(scheme, limit or None, size, sources)])"""
    made_by, rows = "", []
    for line in tree.text(GOLDEN).splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if words[0] == "compiler":
            made_by = " ".join(words[1:])
        else:
            rows.append((words[0], None if words[1] == "-" else int(words[1]), int(words[2]), words[3:]))
    return made_by, rows


def measure(tree, sources):
    """(bytes, None) or (None, what went wrong)"""
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            out = os.path.join(folder, source.replace("/", "_") + ".o")
            status, told = checkkit.run([CC, *FLAGS, "-nostdinc", "-isystem", builtin_headers(), "-isystem",
                                         os.path.join(HERE, "bare"), "-I", tree.path("include"), "-I",
                                         tree.path("src"), "-c", tree.path(source), "-o", out])
            if status:
                return None, told.strip()
            _, told = checkkit.run([SIZE, "-A", out])
            total += sum(int(line.split()[1]) for line in told.splitlines() if COUNTED.match(line))
    return total, None


def builtin_headers():
    """Where the compiler's own headers are (stdint.h and so on); a C library's are not wanted."""
    return checkkit.run([CC, "-print-file-name=include"])[1].strip()


def judge(tree, row):
    scheme, limit, golden, sources = row
    got, wrong = measure(tree, sources)
    if wrong:
        return Item(scheme, "failed", wrong)
    allowed = golden + max(LEAST, int(golden * TOLERANCE))
    problems = []
    if got > allowed:
        problems.append("%d bytes, golden %d, %d allowed" % (got, golden, allowed))
    if limit is not None and got > limit:
        problems.append("%d bytes, limit %d" % (got, limit))
    return checkkit.verdict("%s: %d bytes (golden %d%s)" % (scheme, got, golden, "" if limit is None else
                                                            ", limit %d" % limit), problems)


def examine(tree):
    made_by, rows = read(tree)
    have, why = compiler()
    if have and have != made_by:
        why = "the sizes are of %s, this is %s" % (made_by, have)
    if why:
        return [Item("code sizes", "skipped", why)]
    return checkkit.each(lambda row: judge(tree, row), rows)


def regenerate(root):
    tree = checkkit.Tree(root)
    have, why = compiler()
    if why:
        sys.exit(why)
    _, rows = read(tree)
    lines = [line for line in tree.text(GOLDEN).splitlines() if line.startswith("#")] + ["compiler " + have]
    for scheme, limit, _, sources in rows:
        got, wrong = measure(tree, sources)
        if wrong:
            sys.exit(wrong)
        lines.append("%-12s %5s %6d  %s" % (scheme, "-" if limit is None else limit, got, " ".join(sources)))
    with open(tree.path(GOLDEN), "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")


def canary(name, limit, golden, trips):
    """A function of about 20 bytes held against these figures."""
    source = "int weir_a(int);\nint weir_a(int x) { return x * x * 7 + 12345 / (x | 1); }\n"
    row = "compiler %s\na %s %d src/mem/a.c\n" % (compiler()[0] or CC, limit, golden)
    return Canary(name, {"src/mem/a.c": source, GOLDEN: row}, trips)


CANARIES = [
    canary("grown", "-", 1, "golden 1, 17 allowed"),
    canary("beyond its limit", "4", 100, "limit 4"),
    canary("good", "100", 100, None),
    Canary("no such source", {GOLDEN: "compiler %s\na - 9 src/mem/none.c\n" % (compiler()[0] or CC)}, "none.c"),
]

if __name__ == "__main__":
    if "--regenerate" in sys.argv:
        regenerate(os.path.join(HERE, "..", ".."))
        sys.exit(0)
    checkkit.main(examine, CANARIES)
