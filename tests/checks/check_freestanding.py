#!/usr/bin/env python3
"""check_freestanding.py: the core asks its environment for memcpy, memmove, memset and memcmp, and for nothing else.

Each file of src/ (without tests and the Linux half) is compiled by gcc -ffreestanding against the compiler's own
headers and bare/string.h; no C library header is in reach. Then the symbols are looked at: whatever an object lacks must be one
of the four or a weir_ function that another file of the core has, in a room that layers.txt lets it see.
"""
import os
import tempfile

import checkkit
from checkkit import Canary, Item
from check_layers import Layers, TABLE

HERE = os.path.dirname(os.path.abspath(__file__))
ALLOWED = {"memcpy", "memmove", "memset", "memcmp"}
VARIANTS = {"debug": ["-O0"], "release": ["-O2", "-DNDEBUG"]}


def flags(tree):
    own = checkkit.run(["gcc", "-print-file-name=include"])[1].strip()
    return ["-std=c11", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-pic", "-nostdinc",
            "-isystem", own, "-isystem", os.path.join(HERE, "bare"), "-Wall", "-Wextra", "-Werror",
            "-I", tree.path("include"), "-I", tree.path("src")]


def symbols(objects):
    """(defined, undefined) names of an object file."""
    lines = [line.split() for line in checkkit.run(["nm", "-P", "-g", objects])[1].splitlines()]
    return ({w[0] for w in lines if w[1] != "U"}, {w[0] for w in lines if w[1] == "U"})


def compile_all(tree, folder, variant):
    """[(path, Item)], {path: (defined, undefined)}"""
    base = flags(tree)

    def one(path):
        obj = os.path.join(folder, path.replace("/", "_") + "." + variant + ".o")
        status, output = checkkit.run(["gcc", *base, *VARIANTS[variant], "-c", tree.path(path), "-o", obj])
        item = checkkit.verdict("%s (%s)" % (path, variant), [output.strip()] if status else [])
        return path, item, symbols(obj) if status == 0 else (set(), set())

    done = checkkit.each(one, tree.core_sources())
    return [item for _, item, _ in done], {path: s for path, _, s in done}


def link_items(table, variant):
    layers = Layers(TABLE)
    home = {name: path for path, (defined, _) in table.items() for name in defined}
    items = []
    for path, (_, undefined) in table.items():
        problems, seen = [], layers.seen_by(path)[1]
        for name in sorted(undefined - ALLOWED):
            if name not in home:
                problems.append("needs %s, which no file of the core has" % name)
            elif home[name].split("/")[1] not in seen:
                problems.append("calls %s of %s, against layers.txt" % (name, home[name]))
        items.append(checkkit.verdict("%s symbols (%s)" % (path, variant), problems))
    return items


def examine(tree):
    if not tree.core_sources():
        return []
    items = []
    with tempfile.TemporaryDirectory() as folder:
        for variant in VARIANTS:
            compiled, table = compile_all(tree, folder, variant)
            items += compiled + link_items(table, variant)
    return items


CANARIES = [
    Canary("stdio", {"src/mem/a.c": "#include <stdio.h>\nint weir_a(void) { return puts(\"\"); }\n"}, "src/mem/a.c"),
    Canary("malloc", {"src/mem/a.c": "void *malloc(__SIZE_TYPE__);\nvoid *weir_a(void);\n"
                                     "void *weir_a(void) { return malloc(1); }\n"}, "needs malloc"),
    Canary("missing", {"src/mem/a.c": "int weir_b(void);\nint weir_a(void);\nint weir_a(void) { return weir_b(); }\n"},
           "needs weir_b"),
    Canary("call-upward", {"src/mem/a.c": "int weir_b(void);\nint weir_a(void);\nint weir_a(void) { return weir_b(); }\n",
                           "src/tcp/b.c": "int weir_b(void);\nint weir_b(void) { return 1; }\n"}, "against layers.txt"),
    Canary("good", {"src/mem/a.c": "#include <string.h>\nvoid weir_a(char *);\n"
                                   "void weir_a(char *p) { memset(p, 0, 4096); }\n",
                    "src/plat/linux.c": "#include <stdio.h>\n"}, None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
