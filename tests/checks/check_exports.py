#!/usr/bin/env python3
"""check_exports.py: libweir.so exports every function and constant of the public headers, and no other symbol.

The compiler, not a pattern, says which functions the headers declare; constants are declared `extern const` in column 0.
"""
import os
import re
import tempfile

import checkkit
from checkkit import Item, Tree

PROTOTYPE = re.compile(r"/\* (\S+):\d+:\S+ \*/ extern [^;]*?\b(\w+) \(")


CONSTANT = re.compile(r"^extern const [^;(]*?\b(\w+);", re.MULTILINE)


def declared(tree):
    """Functions and constants that the public headers declare."""
    names = set()
    for header in tree.files(".h"):
        if not header.startswith("include/weir/"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            listing, source = os.path.join(folder, "aux"), os.path.join(folder, "a.c")
            with open(source, "w", encoding="utf-8") as f:
                f.write('#include "%s"\n' % header[len("include/"):])
            checkkit.run(["gcc", "-std=c11", "-I", tree.path("include"), "-aux-info", listing, "-c", source, "-o", os.devnull])
            with open(listing, encoding="utf-8") as f:
                names |= {name for path, name in PROTOTYPE.findall(f.read()) if "/include/weir/" in path}
        names |= set(CONSTANT.findall(tree.text(header)))
    return names


def exported(library):
    return {line.split()[0] for line in checkkit.run(["nm", "-D", "-P", "--defined-only", library])[1].splitlines()}


def examine(tree):
    library = os.path.join(tree.build, "lib", "libweir.so")
    if not os.path.exists(library):
        return [Item("libweir.so", "failed", library + " is missing")]
    wanted, got = declared(tree), exported(library)
    if not wanted:
        return [Item("public headers", "failed", "no function found in them")]
    return [checkkit.verdict("nothing else is exported", sorted(got - wanted)),
            checkkit.verdict("every public function and constant is exported", sorted(wanted - got))]


class LibraryCanary:
    """A library built from `code` beside a header that declares weir_a, weir_b and the constant weir_c."""

    def __init__(self, name, code, trips):
        self.name, self.code, self.trips = name, code, trips

    def run(self, _):
        with tempfile.TemporaryDirectory() as root:
            for folder in ("include/weir", "lib"):
                os.makedirs(os.path.join(root, folder))
            with open(os.path.join(root, "include/weir/a.h"), "w", encoding="utf-8") as f:
                f.write("int weir_a(void);\nvoid *weir_b(int (*f)(void));\nextern const int weir_c;\n")
            source = os.path.join(root, "a.c")
            with open(source, "w", encoding="utf-8") as f:
                f.write(self.code)
            checkkit.run(["gcc", "-shared", "-fPIC", source, "-o", os.path.join(root, "lib", "libweir.so")])
            failed = [i.line() for i in examine(Tree(root, root)) if i.verdict == "failed"]
        good = not failed if self.trips is None else any(self.trips in line for line in failed)
        return checkkit.verdict("canary " + self.name, [] if good else ["failed items: %r" % failed])


BOTH = "int weir_a(void) { return 1; }\nvoid *weir_b(int (*f)(void)) { return f; }\n"
ALL = BOTH + "const int weir_c = 1;\n"
CANARIES = [
    LibraryCanary("inner-function", ALL + "int weir_zpool_take(void) { return 1; }\n", "weir_zpool_take"),
    LibraryCanary("missing", "int weir_a(void) { return 1; }\n", "weir_b"),
    LibraryCanary("missing-constant", BOTH, "weir_c"),
    LibraryCanary("good", ALL, None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
