#!/usr/bin/env python3
"""check_cross.py: the core compiles without a warning for 32-bit and big-endian targets.

clang compiles for every target without its C library, since the core needs none; gcc -m32 does it a second time where
gcc-multilib is installed.
"""
import os
import shutil
import tempfile

import checkkit
from checkkit import Canary, Item

HERE = os.path.dirname(os.path.abspath(__file__))
WARN = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wvla", "-Werror"]
TARGETS = {"i386": ["--target=i686-linux-gnu"],
           "cortex-m3": ["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3"],
           "powerpc, big-endian": ["--target=powerpc-linux-gnu"],
           "s390x, big-endian 64-bit": ["--target=s390x-linux-gnu"]}


def why_no_m32():
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "probe.c")
        with open(source, "w", encoding="utf-8") as f:
            f.write("#include <string.h>\nint main(void) { return 0; }\n")
        status, _ = checkkit.run(["gcc", "-m32", source, "-o", source + ".out"])
    return "gcc-multilib is not installed" if status else None


def compilers(tree):
    """[(name, argv or None, why not)]"""
    found = []
    common = ["-std=c11", "-ffreestanding", "-I", tree.path("include"), "-I", tree.path("src"), *WARN]
    for name, argv in TARGETS.items():
        if shutil.which("clang"):
            bare = ["-nostdlibinc", "-isystem", os.path.join(HERE, "bare")]
            found.append((name, ["clang", *argv, *common, *bare], None))
        else:
            found.append((name, None, "clang is not installed"))
    why = why_no_m32()
    found.append(("gcc -m32", None if why else ["gcc", "-m32", "-march=i686", *common], why))
    return found


def examine(tree):
    sources = tree.core_sources()
    items = []
    for name, argv, why in compilers(tree) if sources else []:
        if argv is None:
            items.append(Item(name, "skipped", why))
            continue

        def one(path, argv=argv):
            status, output = checkkit.run([*argv, "-c", "-o", os.devnull, tree.path(path)])
            return output.strip() if status else None

        items.append(checkkit.verdict(name, [p for p in checkkit.each(one, sources) if p]))
    return items


CANARIES = [
    Canary("size-cut", {"src/mem/a.c": "#include <stddef.h>\n#include <stdint.h>\nsize_t weir_a(uint64_t);\n"
                                       "size_t weir_a(uint64_t x) { return x; }\n"}, "i386"),
    Canary("little-endian-only", {"src/mem/a.c": "_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, \"\");\n"},
           "big-endian"),
    Canary("good", {"src/mem/a.c": "#include <string.h>\nint weir_a(const char *);\n"
                                   "int weir_a(const char *p) { return memcmp(p, p + 1, 1); }\n"}, None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
