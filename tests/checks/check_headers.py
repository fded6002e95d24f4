#!/usr/bin/env python3
"""check_headers.py: each header compiles alone and twice in a row, as C11; public ones also as C++11."""
import os
import tempfile

import checkkit
from checkkit import Canary, Item

FLAGS = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
LANGUAGES = {"C11": (["gcc", "-std=c11", "-Wpedantic", "-Wstrict-prototypes"], ".c"),
             "C++11": (["g++", "-std=c++11", "-Wpedantic"], ".cpp")}


def compile_alone(tree, header, language):
    argv, ending = LANGUAGES[language]
    prefix = "include/" if header.startswith("include/") else "src/"
    line = '#include "%s"\n' % header[len(prefix):]
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "alone" + ending)
        with open(source, "w", encoding="utf-8") as f:
            f.write(line + line + "extern int alone;\n")
        status, output = checkkit.run(argv + FLAGS + ["-I", tree.path("include"), "-I", tree.path("src"), source])
    return Item("%s as %s" % (header, language), *([] if status == 0 else ["failed", output.strip()]))


def examine(tree):
    work = []
    for header in tree.files(".h"):
        if header.startswith("include/"):
            work += [(header, "C11"), (header, "C++11")]
        elif header.startswith("src/"):
            work.append((header, "C11"))
    return checkkit.each(lambda job: compile_alone(tree, *job), work)


CANARIES = [
    Canary("needs-another-header", {"src/base/a.h": "uint32_t f(void);\n"}, "src/base/a.h as C11"),
    Canary("no-guard", {"src/base/a.h": "struct a { int x; };\n"}, "src/base/a.h as C11"),
    Canary("not-cplusplus", {"include/weir/a.h": "#ifndef A\n#define A\nint f(int class);\n#endif\n"},
           "a.h as C++11"),
    Canary("good", {"include/weir/a.h": "#ifndef A\n#define A\n#include <stdint.h>\nint f(uint32_t);\n#endif\n"}, None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
