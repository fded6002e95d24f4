#!/usr/bin/env python3
"""check_machines.py: the contract suite for policies runs on other machines than this: 32-bit, big-endian, and with
the core built freestanding and without assertions.

The core files that the suite needs are compiled for each, the suite as a plain program beside them, linked
statically, and run; what is not this machine's runs under qemu-user. What is not installed is skipped, with the reason.
"""
import glob
import os
import shutil
import tempfile

import checkkit
from checkkit import Canary, Item

PPC = "/usr/powerpc-linux-gnu"
WARN = ["-Wall", "-Wextra", "-Werror"]
# name: (compiler, flags, flags of the core's files only, what runs it, packages)
MACHINES = {
    "64-bit, freestanding, NDEBUG": ("gcc", [], ["-ffreestanding", "-fno-builtin", "-DNDEBUG"], [], "gcc"),
    "32-bit": ("gcc", ["-m32", "-march=i686"], [], [], "gcc-multilib"),
    "32-bit, freestanding, NDEBUG, small": ("gcc", ["-m32", "-march=i686"],
                                           ["-ffreestanding", "-fno-builtin", "-DNDEBUG", "-Os"], [],
                                           "gcc-multilib"),
    # By clang: Debian's gcc for other machines can't be installed beside gcc-multilib.
    "powerpc, 32-bit big-endian": ("clang", ["--target=powerpc-linux-gnu", "-isystem", PPC + "/include",
                                             "-B" + PPC + "/lib", "-L" + PPC + "/lib", "-Wno-unused-command-line-argument"],
                                   [], ["qemu-ppc"],
                                   "clang qemu-user binutils-powerpc-linux-gnu libc6-dev-powerpc-cross "
                                   "libgcc-12-dev-powerpc-cross"),
}
SUITE = ("contract_plain.c", "contract_heap.c", "contract_part.c", "contract_model.c", "contract_cases.c")
RUN = ["2", "3000"]  # seeds and steps: the property itself is looked at elsewhere, here it is the machine
PROBE = "#include <stdio.h>\nint main(void) { return printf(\"x\") != 1; }\n"


def core(tree):
    """The memory room; what of it the suite does not reach, the linker leaves out, and what that would call."""
    return sorted(os.path.relpath(f, tree.root) for f in glob.glob(tree.path("src", "mem", "*.c"))
                  if not f.endswith("_test.c"))


def why_not(machine, folder):
    """None, or why nothing can be built and run for this machine."""
    compiler, flags, _, runner, packages = MACHINES[machine]
    if not shutil.which(compiler) or (runner and not shutil.which(runner[0])):
        return "not installed: " + packages
    probe, program = os.path.join(folder, "probe.c"), os.path.join(folder, "probe")
    with open(probe, "w", encoding="utf-8") as f:
        f.write(PROBE)
    status, _ = checkkit.run([compiler, *flags, "-static", probe, "-o", program])
    if status or checkkit.run([*runner, program])[0]:
        return "not installed: " + packages
    return None


def build(tree, machine, folder):
    """(program, problems)"""
    compiler, flags, own, _, _ = MACHINES[machine]
    common = [compiler, *flags, "-std=c11", "-O1", *WARN, "-I", tree.path("include"), "-I", tree.path("src")]
    objects, problems = [], []
    jobs = [(f, own) for f in core(tree)] + [(os.path.join("tests", "mem", f), []) for f in SUITE]

    def one(job):
        path, more = job
        target = os.path.join(folder, path.replace("/", "_") + ".o")
        status, output = checkkit.run([*common, *more, "-ffunction-sections", "-c", tree.path(path), "-o", target])
        return target, output.strip() if status else None

    for target, problem in checkkit.each(one, [j for j in jobs if os.path.exists(tree.path(j[0]))]):
        objects.append(target)
        problems += [problem] if problem else []
    program = os.path.join(folder, "contract")
    if not problems:
        status, output = checkkit.run([compiler, *flags, "-static", "-Wl,--gc-sections", *objects, "-o", program])
        problems += [output.strip()] if status else []
    return program, problems


def look_at(tree, machine):
    with tempfile.TemporaryDirectory() as folder:
        why = why_not(machine, folder)
        if why is not None:
            return Item(machine, "skipped", why)
        program, problems = build(tree, machine, folder)
        if not problems:
            status, output = checkkit.run([*MACHINES[machine][3], program, *RUN], timeout_s=250)
            if status:
                problems = ["exit status %d: %s" % (status, output.strip()[-400:])]
    return checkkit.verdict(machine, problems)


def examine(tree):
    if not os.path.exists(tree.path("tests", "mem", SUITE[0])):
        return []
    return [look_at(tree, machine) for machine in MACHINES]


def plain(body):
    return {"tests/mem/contract_plain.c": "#include <stdint.h>\n#include <string.h>\nint main(void) { %s }\n" % body}


CANARIES = [
    Canary("little-endian-only", plain("uint32_t x = 1; unsigned char c; memcpy(&c, &x, 1); return c != 1;"), "powerpc"),
    Canary("pointer-of-64-bits", plain("return sizeof(void *) != 8;"), "32-bit:"),
    Canary("good", plain("return 0;"), None),
]

if __name__ == "__main__":
    checkkit.main(examine, CANARIES)
