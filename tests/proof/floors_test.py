#!/usr/bin/env python3
"""floors_test.py: the floors on speed, for 256 MiB sent over TAP to curl by the release build.

    instructions in user mode   at most 0.2 a byte    callgrind, over the whole run, start and end included
    system calls                at most 40 a MiB      the ledger and, over the whole run, strace
    mean frame                  at least 32 KB        the ledger and the kernel's count of the device

The counts of strace and of the kernel must agree with the ledger's. The canary is a file of a few bytes: each
floor must be broken by it. The limits are on counts and not on time; how often the server sleeps and how the kernel
acknowledges moves the system calls by a few a MiB (26 to 36 seen, on idle and busy machines).
"""
import re
import shutil
import subprocess

import proofkit
from proofkit import MIB

FILE_BYTES = 256 * MIB
CANARY_BYTES = 100
INSTRUCTIONS_A_BYTE_MAX = 0.2
CALLS_A_MIB_MAX = 40
FRAME_BYTES_MIN = 32 << 10
CALLS_BESIDE = 400   # system calls that the ledger does not count: of start and end
FRAMES_AT_END = 8    # sent after the kernel's counters were read
TOP = 15


def transfer(proof, name, **how):
    """(seconds, the kernel's statistics, ledger) of one download."""
    with proofkit.Server(proof, **how) as server:
        seconds = proof.download(name)
        link = proofkit.link_statistics(server.dev)
        return seconds, link["rx"], server.stop()


# ---- callgrind ----

def instructions(proof, name, keep=False):
    """Instructions in user mode of the whole run."""
    out = proof.path("callgrind." + name)
    before = ["env", "LD_PRELOAD=" + proof.helper("openat2_lend"), "valgrind", "--tool=callgrind",
              "--log-file=" + proof.path("valgrind.log"), "--callgrind-out-file=" + out]
    transfer(proof, name, before=before)
    with open(out, encoding="utf-8") as f:
        total = int(re.search(r"^(?:summary|totals): (\d+)", f.read(), re.MULTILINE).group(1))
    if keep and shutil.which("callgrind_annotate"):
        tell_profile(out, total)
    return total


def tell_profile(out, total):
    told = proofkit.run("callgrind_annotate", "--auto=no", out)
    rows = re.findall(r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+\S*?:(\S+)(?: \[.*\])?$", told, re.MULTILINE)
    for count, function in rows[:TOP]:
        count = int(count.replace(",", ""))
        print("    %10d  %4.1f %%  %.5f a byte  %s" % (count, 100 * count / total, count / FILE_BYTES, function))


def show_instructions(proof):
    if not shutil.which("valgrind"):
        print("skipped: instructions a byte: valgrind is not installed")
        return
    total, small = instructions(proof, "bulk", keep=True), instructions(proof, "small")
    proof.canary("instructions a byte of a small file", small / CANARY_BYTES > INSTRUCTIONS_A_BYTE_MAX,
                 "%.4g" % (small / CANARY_BYTES))
    proof.at_most("instructions a byte", total / FILE_BYTES, INSTRUCTIONS_A_BYTE_MAX)
    print("    %d in all; %.4f a byte without those of the run with a small file (start and end: %d)" %
          (total, (total - small) / FILE_BYTES, small))


# ---- system calls ----

def traced_calls(proof, name):
    """(all system calls by strace, the ledger of that run), None where strace can't be had."""
    log = proof.path("calls." + name)
    around = ["strace", "-f", "-c", "-o", log]
    if not shutil.which("strace") or subprocess.run(around + ["true"], capture_output=True, check=False).returncode:
        return None
    ledger = transfer(proof, name, around=around)[2]
    with open(log, encoding="utf-8") as f:
        return int(re.search(r"(\d+)\s+(?:\d+\s+)?total$", f.read(), re.MULTILINE).group(1)), ledger


def show_calls(proof, small_ledger, ledgers):
    canary = small_ledger["system_calls"] * MIB / CANARY_BYTES
    proof.canary("system calls a MiB of a small file", canary > CALLS_A_MIB_MAX, "%.4g" % canary)
    for name, ledger in ledgers:
        proof.at_most("system calls a MiB, by the ledger, " + name, ledger["system_calls"] * MIB / FILE_BYTES,
                      CALLS_A_MIB_MAX)
    traced = traced_calls(proof, "bulk")
    if traced is None:
        print("skipped: system calls by strace: strace is not installed or may not trace")
        return
    total, ledger = traced
    proof.at_most("system calls a MiB, by strace, start and end included", total * MIB / FILE_BYTES, CALLS_A_MIB_MAX)
    beside = total - ledger["system_calls"]
    proof.show("strace and ledger agree", 0 <= beside <= CALLS_BESIDE,
               "%d and %d; %d beside the loop, at most %d" % (total, ledger["system_calls"], beside, CALLS_BESIDE))


# ---- frames ----

def show_frames(proof, small_ledger, ledgers):
    proof.canary("mean frame of a small file", small_ledger["mean_frame_bytes"] < FRAME_BYTES_MIN,
                 "%d bytes" % small_ledger["mean_frame_bytes"])
    for name, ledger, link in ledgers:
        mean = link["bytes"] / link["packets"]
        proof.show("mean frame, " + name, min(mean, ledger["mean_frame_bytes"]) >= FRAME_BYTES_MIN,
                   "%d bytes by the ledger, %d by the kernel, at least %d"
                   % (ledger["mean_frame_bytes"], mean, FRAME_BYTES_MIN))
        late = ledger["tx_frames"] - link["packets"]
        proof.show("kernel and ledger agree, " + name, 0 <= late <= FRAMES_AT_END,
                   "%d and %d frames" % (link["packets"], ledger["tx_frames"]))


def examine(proof):
    proof.make_file("bulk", FILE_BYTES)
    proof.make_file("small", CANARY_BYTES)
    small = transfer(proof, "small")[2]
    runs = [transfer(proof, "bulk") for _ in range(3)]
    names = ["run %d of %d" % (i + 1, len(runs)) for i in range(len(runs))]
    for name, (seconds, _, ledger) in zip(names, runs):
        print("    %s: %d MiB in %.2f s, %.1f Gbit/s, %d frames, %d system calls (%d device, %d file, %d sleep), "
              "%d sent again" % (name, FILE_BYTES // MIB, seconds, FILE_BYTES * 8 / seconds / 1e9,
                                 ledger["tx_frames"], ledger["system_calls"], ledger["device_calls"],
                                 ledger["file_calls"], ledger["waits"], ledger["retransmits"]))
    show_frames(proof, small, [(name, ledger, link) for name, (_, link, ledger) in zip(names, runs)])
    show_calls(proof, small, [(name, ledger) for name, (_, _, ledger) in zip(names, runs)])
    show_instructions(proof)


if __name__ == "__main__":
    proofkit.main(examine)
