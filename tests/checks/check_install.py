#!/usr/bin/env python3
"""check_install.py: what `cmake --install` leaves can be built against: by pkg-config, static and shared, and by
find_package, also after the installation was moved."""
import os
import shlex
import shutil
import tempfile

import checkkit
from checkkit import Item

HERE = os.path.dirname(os.path.abspath(__file__))
SAYS = "nothing can be done now"


def runs(name, program, library_path):
    status, output = checkkit.run([program], env=dict(os.environ, LD_LIBRARY_PATH=library_path))
    return checkkit.verdict(name, [] if status == 0 and SAYS in output else ["status %d: %s" % (status, output)])


def find_library_folder(prefix):
    for folder, _, names in os.walk(prefix):
        if "weir.pc" in names:
            return os.path.dirname(folder)
    return None


def by_pkg_config(prefix, library_path, static, folder):
    name = "pkg-config, " + ("static" if static else "shared")
    env = dict(os.environ, PKG_CONFIG_PATH=os.path.join(library_path, "pkgconfig"))
    status, found = checkkit.run(["pkg-config", "--cflags", "--libs", "weir"] + ["--static"] * static, env=env)
    if status or prefix not in found:
        return Item(name, "failed", found.strip())
    words = shlex.split(found)
    if static:  # -lweir would take the shared library that lies beside
        words = [os.path.join(library_path, "libweir.a") if w == "-lweir" else w for w in words]
    program = os.path.join(folder, "static" if static else "shared")
    source = os.path.join(HERE, "consumer", "consumer.c")
    status, output = checkkit.run(["gcc", "-std=c11", "-Wall", "-Werror", source, "-o", program, *words])
    return runs(name, program, library_path) if status == 0 else Item(name, "failed", output)


def by_find_package(prefix, library_path, folder):
    build = os.path.join(folder, "build")
    for argv in (["cmake", "-G", "Ninja", "-S", os.path.join(HERE, "consumer"), "-B", build, "-DCMAKE_PREFIX_PATH=" + prefix],
                 ["cmake", "--build", build]):
        status, output = checkkit.run(argv)
        if status:
            return [Item("find_package", "failed", output)]
    return [runs("find_package, " + kind, os.path.join(build, "consumer_" + kind), library_path)
            for kind in ("static", "shared")]


def examine(tree):
    with tempfile.TemporaryDirectory() as folder:
        first, prefix = os.path.join(folder, "first"), os.path.join(folder, "moved")
        status, output = checkkit.run(["cmake", "--install", tree.build, "--prefix", first])
        if status:
            return [Item("install", "failed", output)]
        shutil.move(first, prefix)
        library_path = find_library_folder(prefix)
        if library_path is None:
            return [Item("weir.pc", "failed", "not installed")]
        items = [by_pkg_config(prefix, library_path, static, folder) for static in (True, False)]
        items += by_find_package(prefix, library_path, folder)
        headers = {h for h in os.listdir(tree.path("include", "weir"))}
        missing = headers - set(os.listdir(os.path.join(prefix, "include", "weir")))
        return items + [checkkit.verdict("headers", sorted(missing))]


class NothingInstalled:
    """The canary: an empty build folder must not pass."""

    def run(self, _):
        with tempfile.TemporaryDirectory() as folder:
            items = examine(checkkit.Tree(folder, build=folder))
        tripped = any(i.verdict == "failed" for i in items)
        return checkkit.verdict("canary empty build", [] if tripped else ["did not trip"])


if __name__ == "__main__":
    checkkit.main(examine, [NothingInstalled()])
