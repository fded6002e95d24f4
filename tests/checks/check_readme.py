#!/usr/bin/env python3
"""check_readme.py: programs in the documents compile, and links between files lead somewhere."""
import os
import re

import checkkit
from checkkit import Canary

BLOCK = re.compile(r"^```c\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def compile_block(tree, text):
    argv = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", tree.path("include"), "-x", "c", "-"]
    status, output = checkkit.run(argv, text=text)
    return [output.strip()] if status else []


def examine(tree):
    items = []
    for path in tree.files(".md"):
        text = tree.text(path)
        problems = [p for block in BLOCK.findall(text) for p in compile_block(tree, block)]
        for target in LINK.findall(text):
            if "://" not in target and not os.path.exists(tree.path(os.path.dirname(path), target)):
                problems.append("link to nothing: " + target)
        items.append(checkkit.verdict(path, problems))
    return items


CANARIES = [
    Canary("broken-program", {"README.md": "```c\nint f(void) { return x; }\n```\n"}, "README.md"),
    Canary("dead-link", {"docs/a.md": "[a](../nowhere.md)\n"}, "link to nothing: ../nowhere.md"),
    Canary("good", {"README.md": "```c\nint f(void);\n```\n[a](docs/a.md) [b](https://example.org/x)\n", "docs/a.md": ""},
           None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
