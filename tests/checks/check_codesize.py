#!/usr/bin/env python3
"""check_codesize.py: what each scheme of memory takes in code on a Cortex-M3, held against codesize.golden.

The golden file names a scheme, its target (`-`: none), its size, its sources, and after `:` the functions that a program calls (none:
everything is counted). A size is the sum of .text, .rodata and .data at `-Os -mcpu=cortex-m3 -mthumb` with asserts off; with functions
named, of what the linker keeps for them. It may grow by 2 % or 16 bytes, whichever is more. A target that is missed is told. With
--regenerate the sizes are measured and the file is written anew: the change is then a diff to be looked at.

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
CC, SIZE, LD = "arm-none-eabi-gcc", "arm-none-eabi-size", "arm-none-eabi-ld"
FLAGS = ["-std=c11", "-Os", "-mcpu=cortex-m3", "-mthumb", "-ffreestanding", "-DNDEBUG", "-fno-common",
         "-ffunction-sections", "-fdata-sections"]
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
    """(compiler, [(scheme, target or None, size, sources, functions)])"""
    made_by, rows = "", []
    for line in tree.text(GOLDEN).splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if words[0] == "compiler":
            made_by = " ".join(words[1:])
        else:
            files = words[3:words.index(":")] if ":" in words else words[3:]
            rows.append((words[0], None if words[1] == "-" else int(words[1]), int(words[2]), files,
                         words[len(files) + 4:]))
    return made_by, rows


def build(tree, source, out):
    return checkkit.run([CC, *FLAGS, "-isystem", os.path.join(HERE, "bare"), "-I", tree.path("include"), "-I",
                         tree.path("src"), "-c", tree.path(source), "-o", out])


def measure(tree, sources, functions):
    """(bytes, None) or (None, what went wrong)"""
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for source in sources:
            objects.append(os.path.join(folder, source.replace("/", "_") + ".o"))
            status, told = build(tree, source, objects[-1])
            if status:
                return None, told.strip()
        whole = os.path.join(folder, "whole.o")
        needed = [word for name in functions for word in ("-u", name)]
        status, told = checkkit.run([LD, "-r", *(["--gc-sections"] if functions else []), *needed, *objects, "-o", whole])
        missing = [name for name in functions if not defined(whole, name)]
        if status or missing:
            return None, told.strip() or "no function " + ", ".join(missing)
        _, told = checkkit.run([SIZE, "-A", whole])
    return sum(int(line.split()[1]) for line in told.splitlines() if COUNTED.match(line)), None


def defined(path, name):
    _, told = checkkit.run(["arm-none-eabi-nm", "--defined-only", path])
    return any(line.split()[-1] == name for line in told.splitlines() if line)


def judge(tree, row):
    scheme, target, golden, sources, functions = row
    got, wrong = measure(tree, sources, functions)
    if wrong:
        return Item(scheme, "failed", wrong)
    allowed = golden + max(LEAST, int(golden * TOLERANCE))
    aim = "" if target is None else ", target %d%s" % (target, " missed" if got > target else "")
    return checkkit.verdict("%s: %d bytes (golden %d%s)" % (scheme, got, golden, aim),
                            ["%d bytes, golden %d, %d allowed" % (got, golden, allowed)] if got > allowed else [])


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
    for scheme, target, _, sources, functions in rows:
        got, wrong = measure(tree, sources, functions)
        if wrong:
            sys.exit(wrong)
        lines.append("%-15s %5s %6d  %s" % (scheme, "-" if target is None else target, got,
                                            " ".join(sources + ([":"] + functions if functions else []))))
    with open(tree.path(GOLDEN), "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")


def canary(name, golden, functions, trips):
    """A function of about 20 bytes and a larger one held against these figures."""
    source = ("int weir_a(int);\nint weir_b(int);\nint weir_a(int x) { return x * x * 7 + 12345 / (x | 1); }\n"
              "int weir_b(int x) { return weir_a(x) + weir_a(x + 1) * weir_a(x ^ 3) - weir_a(~x) * 99 / (x | 5); }\n")
    row = "compiler %s\na 9 %d src/mem/a.c%s\n" % (compiler()[0] or CC, golden, functions)
    return Canary(name, {"src/mem/a.c": source, GOLDEN: row}, trips)


CANARIES = [
    canary("grown", 1, "", "golden 1, 17 allowed"),
    canary("all counts without functions", 40, "", "golden 40"),
    canary("good", 40, " : weir_a", None),
    canary("no such function", 40, " : weir_c", "failed"),
    Canary("no such source", {GOLDEN: "compiler %s\na - 9 src/mem/none.c\n" % (compiler()[0] or CC)}, "none.c"),
]

if __name__ == "__main__":
    if "--regenerate" in sys.argv:
        regenerate(os.path.join(HERE, "..", ".."))
        sys.exit(0)
    checkkit.main(examine, CANARIES)
