#!/usr/bin/env python3
"""check_tally.py: scripts/tally.py counts right, and never calls nothing a success."""
import os
import sys
import tempfile
from xml.sax.saxutils import escape

import checkkit
from checkkit import Tree

HERE = os.path.dirname(os.path.abspath(__file__))
RUNNING = "[==========] Running 3 test(s).\n"
GOOD = RUNNING + "[ RUN      ] a\nnoise[       OK ] a\n[ RUN      ] b\n[       OK ] b\n" \
    "[ RUN      ] c\n[       OK ] c\n[==========] 3 test(s) run.\n[  PASSED  ] 3 test(s).\n"
MIXED = RUNNING + "[       OK ] a\n[  FAILED  ] b\n[  SKIPPED ] c\n[==========] 3 test(s) run.\n" \
    "[  PASSED  ] 1 test(s).\n[  SKIPPED ] 1 test(s), listed below:\n[  SKIPPED ] c\n 1 SKIPPED TEST(S)\n" \
    "[  FAILED  ] 1 test(s), listed below:\n[  FAILED  ] b\n 1 FAILED TEST(S)\n"
NAMED = "[==========] group: Running 1 test(s).\n[  FAILED  ] b\n[==========] group: 1 test(s) run.\n" \
    "[  PASSED  ] 0 test(s).\n[  FAILED  ] group: 1 test(s), listed below:\n[  FAILED  ] b\n"
CRASH = RUNNING + "[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\nSegmentation fault\n"

# (what, ctest status, [(program status, output)], last line, exit status)
CASES = [
    ("cases of a cmocka program", "0", [("run", GOOD)], "3 passed, 0 failed", 0),
    ("two groups in one program", "0", [("run", GOOD + GOOD)], "6 passed, 0 failed", 0),
    ("failed and skipped cases once each", "8", [("fail", MIXED)], "1 passed, 1 failed, 1 skipped", 1),
    ("a named group", "8", [("fail", NAMED)], "0 passed, 1 failed", 1),
    ("a crash after one case", "8", [("fail", CRASH)], "1 passed, 1 failed", 1),
    ("a leak found at exit", "8", [("fail", GOOD)], "3 passed, 1 failed", 1),
    ("a plain program", "0", [("run", "ok: x\nskipped: y: no compiler\n")], "1 passed, 0 failed, 1 skipped", 0),
    ("a plain program that fails", "8", [("fail", "failed: x\n")], "0 passed, 1 failed", 1),
    ("a skipped program", "0", [("run", GOOD), ("notrun", "skipped: no device\n")], "3 passed, 0 failed, 1 skipped", 0),
    ("a program that was never built", "8", [("absent", "")], "0 passed, 1 failed", 1),
    ("no test", "0", [], "0 passed, 1 failed", 1),
    ("only skipped tests", "0", [("notrun", "skipped: why\n")], "0 passed, 1 failed, 1 skipped", 1),
    ("ctest contradicts its report", "8", [("run", GOOD)], "3 passed, 1 failed", 1),
    ("no build", "build", None, "0 passed, 1 failed", 1),
    ("no report", "8", None, "0 passed, 1 failed", 1),
]


def report(programs):
    skipped = {"notrun": '<skipped message="SKIP_RETURN_CODE=77"/>',
               "absent": '<skipped message="Unable to find executable"/>'}
    cases = ['<testcase name="t%d" status="%s">%s<system-out>%s</system-out></testcase>'
             % (i, status.replace("absent", "notrun"), skipped.get(status, ""), escape(output))
             for i, (status, output) in enumerate(programs)]
    return "<testsuite>%s</testsuite>" % "".join(cases)


def look(tree, case):
    what, status, programs, last, expected = case
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "junit.xml")
        if programs is not None:
            with open(path, "w", encoding="utf-8") as f:
                f.write(report(programs))
        exit_status, output = checkkit.run([sys.executable, tree.path("scripts", "tally.py"),
                                            "debug=%s=%s" % (status, path)])
    got = output.rstrip().split("\n")[-1]
    wrong = [] if (got, exit_status) == (last, expected) else ["%r, status %d" % (got, exit_status)]
    return checkkit.verdict(what, wrong)


def examine(tree):
    items = [look(tree, case) for case in CASES]
    status, _ = checkkit.run([sys.executable, tree.path("scripts", "tally.py")])
    items.append(checkkit.verdict("no preset at all", [] if status == 1 else ["status %d" % status]))
    return items


def blind_tally():
    """The canary: a tally that always says the same must fail nearly every case."""
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "scripts"))
        with open(os.path.join(folder, "scripts", "tally.py"), "w", encoding="utf-8") as f:
            f.write("print('3 passed, 0 failed')\n")
        failed = sum(i.verdict == "failed" for i in examine(Tree(folder)))
    return checkkit.verdict("canary", [] if failed >= len(CASES) - 1 else ["a blind tally passed %d" % failed])


class Blind:
    def run(self, _):
        return blind_tally()


if __name__ == "__main__":
    checkkit.main(examine, [Blind()])
