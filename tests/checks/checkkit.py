"""checkkit.py: what the checks share: the files of the tree, verdicts, canaries, the command line.

A check is a function examine(tree) that returns Items. Its canaries are small trees with one thing wrong (or, with
trips=None, nothing wrong); they run before the real tree on every call, so a check that has gone blind fails.

Exit status: 0 all ok (some items may be skipped), 1 something failed, 77 everything was skipped.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile

SKIP_STATUS = 77
IGNORED = {"build", ".git", ".cache", "__pycache__"}


class Item:
    """One thing looked at. verdict: "ok", "failed" or "skipped"; detail: why, for the last two."""

    def __init__(self, name, verdict="ok", detail=""):
        self.name, self.verdict, self.detail = name, verdict, detail

    def line(self):
        if self.verdict == "ok":
            return "ok: " + self.name
        return "%s: %s: %s" % (self.verdict, self.name, self.detail)


def verdict(name, problems):
    """ok without problems, else failed with all of them."""
    return Item(name, "failed", "\n    ".join(problems)) if problems else Item(name)


class Tree:
    """A source tree: root, and where it was built (None for a canary)."""

    def __init__(self, root, build=None):
        self.root, self.build = os.path.abspath(root), build

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def files(self, *endings):
        """Relative paths, sorted, of files that end so (all without endings)."""
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f not in IGNORED]
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), self.root)
                if name in IGNORED:  # .git is a file in a worktree
                    continue
                if not os.path.islink(os.path.join(folder, name)) and (not endings or name.endswith(endings)):
                    found.append(path)
        return sorted(found)

    def text(self, path):
        with open(self.path(path), encoding="utf-8", errors="replace") as f:
            return f.read()

    def core_sources(self):
        """The files that run on every target: src/ without tests and without the Linux half."""
        return [f for f in self.files(".c")
                if f.startswith("src/") and not f.endswith("_test.c") and f not in HOSTED_SOURCES]


# The only files of src/ that may need an operating system.
HOSTED_SOURCES = ("src/plat/linux.c",)


class Canary:
    """files: path -> text. trips: a word that a failed item's line must have; None: nothing may fail."""

    def __init__(self, name, files, trips):
        self.name, self.files, self.trips = name, files, trips

    def run(self, examine):
        with tempfile.TemporaryDirectory() as root:
            for path, text in self.files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                    f.write(text)
            items = examine(Tree(root, build=root))
        if items and all(i.verdict == "skipped" for i in items):
            return Item("canary " + self.name, "skipped", items[0].detail)
        failed = [i.line() for i in items if i.verdict == "failed"]
        if self.trips is None and failed:
            return Item("canary " + self.name, "failed", "tripped on a good input: " + failed[0])
        if self.trips is not None and not any(self.trips in line for line in failed):
            return Item("canary " + self.name, "failed", "did not trip, failed items: %r" % failed)
        return Item("canary " + self.name)


class DatabaseCanary(Canary):
    """One C file, a.c, with a compilation database that says how gcc built it."""

    def __init__(self, name, text, trips):
        super().__init__(name, {"a.c": text}, trips)

    def run(self, examine):
        def with_database(tree):
            entry = {"directory": tree.root, "file": tree.path("a.c"),
                     "command": "gcc -std=c11 -Wall -Wextra -Wconversion -Werror -c a.c -o " + os.devnull}
            with open(tree.path("compile_commands.json"), "w", encoding="utf-8") as f:
                json.dump([entry], f)
            return examine(tree)
        return super().run(with_database)


def run(argv, timeout_s=120, cwd=None, env=None, text=""):
    """(exit status, output and errors as one text); `text` is its input."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, cwd=cwd,
                          env=env, check=False, input=text.encode("utf-8"))
    return done.returncode, done.stdout.decode("utf-8", "replace")


def each(function, things):
    """function over things on every processor, in order."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        return list(pool.map(function, things))


def main(examine, canaries):
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", default=os.path.join(os.path.dirname(__file__), "..", ".."),
                        help="root of the tree to check")
    parser.add_argument("--build", default=None, help="its build folder, for checks of what was built")
    args = parser.parse_args()
    items = [c.run(examine) for c in canaries]
    real = examine(Tree(args.source, args.build))
    if not real:
        real = [Item("tree", "failed", "nothing found to check in " + args.source)]
    items += real
    for item in items:
        print(item.line())
    if any(i.verdict == "failed" for i in items):
        sys.exit(1)
    sys.exit(SKIP_STATUS if all(i.verdict == "skipped" for i in real) else 0)
