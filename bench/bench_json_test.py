#!/usr/bin/env python3
"""bench_json_test.py WEIR_BENCH: what weir-bench prints can be read by a program, and wrong usage is refused."""
import json
import shutil
import subprocess
import sys

SKIPPED = 77
KEYS = {"name", "variant", "metric", "value", "unit"}
COUNTED = {"pool-get", "pool-put", "zbuf-alloc", "zbuf-free", "zbuf-head", "zbuf-ref", "zbuf-unref",
           "zbuf-fallthrough"}
MEM = {"mem-mixed-get", "mem-mixed-put", "mem-mixed-worst-get", "mem-mixed-worst-put", "mem-mixed-footprint", "mem-bytes-16",
       "mem-tree-16", "mem-two-threads"}
INSTRUCTIONS_MAX = 1000  # of one call: more means that something else was counted with it


def run(*words):
    return subprocess.run([sys.argv[1], *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100,
                          universal_newlines=True)


def check(what, good):
    if not good:
        sys.exit("failed: " + what)


def check_figure(figure):
    check("the keys of %r" % figure, set(figure) == KEYS)
    check("a value above 0 in %r" % figure, isinstance(figure["value"], (int, float)) and figure["value"] > 0)
    if figure["metric"] == "instructions":
        check("a likely count in %r" % figure, figure["value"] < INSTRUCTIONS_MAX)


def check_mem():
    """A scheme with an area and a malloc: one process each, whose figures arrive."""
    for subject in "tlsf", "glibc":
        told = run("--json", "--quick", "--only", subject, "mem")
        check("mem, status 0, stderr: " + told.stderr, told.returncode == 0)
        figures = [json.loads(line) for line in told.stdout.splitlines()]
        check("mem, one subject", {f["variant"] for f in figures} == {subject})
        missing = MEM - {f["name"] for f in figures}
        step = "no worst cases: " in told.stderr
        check("mem, all of %s" % sorted(missing), all("worst" in name and step for name in missing))
        for figure in figures:
            check("the keys of %r" % figure, set(figure) == KEYS and figure["value"] > 0)


def main():
    check("an unknown name ends with 2", run("nothing-of-this-name").returncode == 2)
    check("an unknown option ends with 2", run("--nothing").returncode == 2)
    listed = run("--list")
    check("--list", listed.returncode == 0 and listed.stdout.startswith("pool"))
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed")
        sys.exit(SKIPPED)
    told = run("--json", "--quick", "pool", "zbuf")
    check("status 0, stderr: " + told.stderr, told.returncode == 0)
    if "built without valgrind's headers" in told.stderr:
        print("skipped: " + told.stderr.strip())
        sys.exit(SKIPPED)
    check("quiet in a pipe: " + told.stderr, told.stderr == "")
    figures = [json.loads(line) for line in told.stdout.splitlines()]
    for figure in figures:
        check_figure(figure)
    check_mem()
    weir = {f["name"] for f in figures if f["variant"] == "weir" and f["metric"] == "instructions"}
    check("all of %s" % sorted(COUNTED - weir), COUNTED <= weir)


if __name__ == "__main__":
    main()
