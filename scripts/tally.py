#!/usr/bin/env python3
"""tally.py: adds up what CTest ran. usage: tally.py PRESET=STATUS=JUNIT.xml ...

STATUS is ctest's exit status, or `build` where it never came to a test run. A cmocka program counts by its cases, any
other program once; lines `skipped: why` of a program that passed count as skipped with their reason. Nothing counts twice:
cmocka's closing summary is read where there is one, and the lines of single cases only where a program died before it.

A preset without a single test, without a report, or whose status contradicts its report, is a failure.
The last line is `N passed, N failed`, with `, N skipped` behind it when there are any.
"""
import os
import re
import sys
import xml.etree.ElementTree

SUMMARY = re.compile(r"^\[==========\](?: [^\n]*:)? (\d+) test\(s\) run\.$", re.MULTILINE)
PASSED = re.compile(r"^\[  PASSED  \] (\d+) test\(s\)\.$", re.MULTILINE)
LISTED = re.compile(r"^\[  (FAILED |SKIPPED)\s*\](?: [^\n]*:)? (\d+) test\(s\), listed below:$", re.MULTILINE)
CASE = re.compile(r"\[(       OK |  FAILED  |  SKIPPED )\] (\S+)$", re.MULTILINE)
REASON = re.compile(r"^skipped: (.*)$", re.MULTILINE)
TAIL_LINES = 40


class Count:
    def __init__(self):
        self.passed = self.failed = 0
        self.skips, self.faults = [], []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skips += other.skips
        self.faults += other.faults

    def line(self):
        text = "%d passed, %d failed" % (self.passed, self.failed)
        return text + (", %d skipped" % len(self.skips) if self.skips else "")


def cases(output):
    """(passed, failed, skipped names) of a cmocka program, None if it is none."""
    seen = CASE.findall(output)
    skipped = sorted({name for mark, name in seen if "SKIPPED" in mark})
    if SUMMARY.search(output) and PASSED.search(output):
        failed = sum(int(n) for mark, n in LISTED.findall(output) if "FAILED" in mark)
        return sum(map(int, PASSED.findall(output))), failed, skipped
    if seen or "[==========] Running" in output:
        failed = {name for mark, name in seen if "FAILED" in mark}
        return sum("OK" in mark for mark, _ in seen), len(failed), skipped
    return None


def count_program(name, status, output):
    count = Count()
    broken = status not in ("run", "notrun")
    found = cases(output)
    if status == "notrun":
        count.skips.append("%s: %s" % (name, "; ".join(REASON.findall(output)) or "it gives no reason"))
        return count
    if found:
        count.passed, count.failed, skipped = found
        reasons = REASON.findall(output)
        count.skips += ["%s, %s: %s" % (name, case, "; ".join(reasons) or "it gives no reason") for case in skipped]
    else:
        count.passed = 0 if broken else 1
        count.skips += ["%s: %s" % (name, why) for why in REASON.findall(output)]
    if broken and count.failed == 0:
        count.failed = 1  # it died, or a sanitizer spoke after its last case
    if count.failed:
        shown = [line for line in output.rstrip().split("\n") if not line.startswith(("ok: ", "[ RUN "))]
        count.faults.append("%s failed:\n    %s" % (name, "\n    ".join(shown[-TAIL_LINES:])))
    return count


def fault(text):
    count = Count()
    count.failed, count.faults = 1, [text]
    return count


def count_preset(preset, status, report):
    if status == "build":
        return fault("%s: it does not build" % preset)
    if not os.path.exists(report):
        return fault("%s: ctest left no report (status %s)" % (preset, status))
    total = Count()
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        name = "%s %s" % (preset, case.get("name"))
        status_told = case.get("status")
        if status_told == "notrun" and "SKIP_" not in case.find("skipped").get("message", ""):
            status_told = "missing"  # its program does not exist
        total.add(count_program(name, status_told, case.findtext("system-out") or ""))
    if total.passed + total.failed == 0:
        total.add(fault("%s: not one test ran" % preset))
    elif status != "0" and total.failed == 0:
        total.add(fault("%s: ctest says status %s, its report no failure" % (preset, status)))
    return total


def main(rows):
    total, lines = Count(), []
    for row in rows:
        preset, status, report = row.split("=", 2)
        count = count_preset(preset, status, report)
        lines.append("%-8s %s" % (preset, count.line()))
        total.add(count)
    if not rows:
        total.add(fault("no preset was run"))
    for text in total.faults:
        print(text)
    for text in sorted(set(total.skips)):
        print("skipped: " + text)
    print("\n".join(lines))
    print(total.line())
    return 1 if total.failed or total.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
