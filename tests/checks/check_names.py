#!/usr/bin/env python3
"""check_names.py: a file name stands for one file of the repository."""
import os

import checkkit
from checkkit import Canary

# Names that a tool or a habit demands in more than one folder; `run` is both ./run and .ci/run. Inputs of fuzzers
# (corpus) are named within their folder.
SHARED = {"CMakeLists.txt", "README.md", "run"}


def examine(tree):
    places = {}
    for path in tree.files():
        if os.path.basename(path) not in SHARED and "/corpus/" not in path:
            places.setdefault(os.path.basename(path), []).append(path)
    return [checkkit.verdict(name, [] if len(paths) == 1 else ["several files: " + ", ".join(paths)])
            for name, paths in sorted(places.items())]


CANARIES = [
    Canary("twice", {"src/mem/pool.c": "", "src/tcp/pool.c": ""}, "src/mem/pool.c, src/tcp/pool.c"),
    Canary("good", {"src/mem/CMakeLists.txt": "", "src/tcp/CMakeLists.txt": "", "src/mem/a.c": ""}, None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
