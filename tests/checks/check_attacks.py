#!/usr/bin/env python3
"""check_attacks.py: each row of docs/attacks.md names tests, and each test that it names exists and runs."""
import os
import re

import checkkit
from checkkit import Canary

PAGE = os.path.join("docs", "attacks.md")
PART = re.compile(r"^`([a-z0-9_]+\.c)`: ((?:`[a-z0-9_]+`(?:, )?)+)$")


def rows(text):
    """The cells of each table row, without heads and rules."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        head = i + 1 < len(lines) and lines[i + 1].startswith("|--")
        if line.startswith("|") and not line.startswith("|--") and not head:
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_problems(text, file, name):
    if not re.search(r"^CASE\(%s\)$|void %s\(void \*\*state\)" % (name, name), text, re.MULTILINE):
        return ["%s has no test %s" % (file, name)]
    listed = re.sub(r"^CASE\(\w+\)$", "", text, flags=re.MULTILINE)
    if not re.search(r"\b\w+\(%s\b" % name, listed):
        return ["%s does not run %s" % (file, name)]
    return []


def cell_problems(tree, places, cell):
    problems = []
    for part in cell.split("; "):
        found = PART.match(part)
        if not found:
            return ["names no test: " + cell]
        file = found.group(1)
        if file not in places:
            problems.append("no file " + file)
            continue
        for name in re.findall(r"`([a-z0-9_]+)`", found.group(2)):
            problems += test_problems(tree.text(places[file]), file, name)
    return problems


def examine(tree):
    places = {os.path.basename(path): path for path in tree.files(".c")}
    if PAGE not in tree.files(".md"):
        return []
    return [checkkit.verdict(cells[0], cell_problems(tree, places, cells[-1])) for cells in rows(tree.text(PAGE))]


def page(row):
    return "| attack | what | test |\n|---|---|---|\n" + row + "\n"


TEST = "CASE(gone_wrong)\n{\n}\nint main(void) { T(gone_wrong); }\n"

CANARIES = [
    Canary("no-test", {"docs/attacks.md": page("| flood | drops | |")}, "names no test"),
    Canary("no-file", {"docs/attacks.md": page("| flood | drops | `a_cases.c`: `x` |")}, "no file a_cases.c"),
    Canary("no-such-test", {"docs/attacks.md": page("| flood | drops | `a_cases.c`: `gone` |"), "tests/a_cases.c": TEST},
           "has no test gone"),
    Canary("not-run", {"docs/attacks.md": page("| flood | drops | `a_cases.c`: `gone_wrong` |"),
                       "tests/a_cases.c": TEST.replace("T(gone_wrong)", "")}, "does not run gone_wrong"),
    Canary("unit-not-run", {"docs/attacks.md": page("| flood | drops | `a_test.c`: `gone` |"),
                            "src/a_test.c": "static void gone(void **state)\n{\n}\n"}, "does not run gone"),
    Canary("good", {"docs/attacks.md": page("| flood | drops | `a_cases.c`: `gone_wrong` |"), "tests/a_cases.c": TEST},
           None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
