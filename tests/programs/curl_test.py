#!/usr/bin/env python3
"""curl_test.py: ranges, resumption, HEAD, HTTP/1.0, hundreds in parallel, a slow reader beside a fast one, refused
uploads, and an upload that comes back through the example echo.
"""
import os
import random
import subprocess
import threading

import programkit
import proofkit
from programkit import URL, curl, expect

BIG, BIG_BYTES = "big.bin", 8 << 20
PIECE, PIECE_BYTES = "piece.bin", 300000
RANGES, PARALLEL, AT_ONCE = 100, 200, 64
SLOW_RATE, SLOW_STEPS = 8 << 20, 16
TELNET_LINES = 1500
STDIN_SECONDS = 2
TELNET_ATTEMPTS = 5
ECHO_PORT = 7


def file_bytes(proof, name):
    with open(os.path.join(proof.root, name), "rb") as f:
        return f.read()


def ranges(proof):
    """Many ranges on one connection, each beside what the file has there."""
    whole, dice, wanted = file_bytes(proof, BIG), random.Random(1), []
    config = proof.path("ranges")
    with open(config, "w", encoding="ascii") as f:
        for i in range(RANGES):
            first = dice.randrange(BIG_BYTES)
            last = min(first + dice.choice((0, 1, 1459, 65535, 65536, 500000)), BIG_BYTES - 1)
            wanted.append(whole[first:last + 1])
            f.write('%surl = "%s/%s"\nrange = "%d-%d"\noutput = "%s"\nsilent\nfail\nnoproxy = "*"\n'
                    'write-out = "%%{http_code} %%{num_connects}\\n"\n'
                    % ("next\n" if i else "", URL, BIG, first, last, proof.path("range%d" % i)))
    status, out, err = programkit.run("curl", "-K", config)
    codes = [line.split() for line in out.splitlines()]
    proof.show("%d ranges" % RANGES, status == 0 and [c[0] for c in codes] == ["206"] * RANGES,
               "status %d %s" % (status, err))
    proof.show("on one connection", sum(int(c[1]) for c in codes) == 1, "%d" % sum(int(c[1]) for c in codes))
    wrong = [i for i in range(RANGES) if open(proof.path("range%d" % i), "rb").read() != wanted[i]]
    proof.show("the bytes of the ranges", not wrong, "wrong: %s" % wrong)


def resume(proof):
    part = proof.path("part")
    with open(part, "wb") as f:
        f.write(file_bytes(proof, BIG)[:BIG_BYTES // 3])
    told = curl("-C", "-", "-o", part, "-w", "%{http_code} %{size_download}", URL + "/" + BIG)
    expect(proof, "a resumed download", told, "206 %d" % (BIG_BYTES - BIG_BYTES // 3))
    programkit.same_file(proof, "what was resumed", os.path.join(proof.root, BIG), part)


def forms(proof):
    head = curl("-I", "-w", "%{size_download}", "%s/%s" % (URL, BIG))
    expect(proof, "HEAD", head, "HTTP/1.1 200 OK", "Content-Length: %d" % BIG_BYTES, "Accept-Ranges: bytes", "\r\n0")
    old = curl("-0", "-D", "-", "-o", proof.path("old"), "-w", "%{size_download}", "%s/%s" % (URL, PIECE))
    expect(proof, "HTTP/1.0", old, "Connection: close", str(PIECE_BYTES))
    programkit.same_file(proof, "what HTTP/1.0 got", os.path.join(proof.root, PIECE), proof.path("old"))
    kept = curl("-0", "-H", "Connection: keep-alive", "-w", "connects=%{num_connects} ", "-o", "/dev/null", "-o",
                "/dev/null", *["%s/%s" % (URL, PIECE)] * 2)
    expect(proof, "HTTP/1.0 that keeps the connection", kept, "connects=1 connects=0")
    cookie = curl("--tcp-fastopen", "-w", "%{http_code}", "-o", "/dev/null", "%s/%s" % (URL, PIECE))
    expect(proof, "a SYN with an option that asks for a cookie", cookie, "200")
    for what, options in (("PUT", ("-T", proof.path("old"))), ("POST", ("--data-binary", "@" + proof.path("old")))):
        status, out, err = programkit.run("curl", "-sS", "--noproxy", "*", "-m", "60", "-o", "/dev/null", "-w",
                                          "%{http_code}", *options, "%s/%s" % (URL, PIECE))
        proof.show("refused: " + what, status == 0 and out == "405", "status %d, HTTP %s %s" % (status, out, err))


def parallel(proof, name, *options):
    told = curl("-Z", "--parallel-max", str(AT_ONCE), *options, "-o", proof.path("par#1"), "-w", "%{http_code}\n",
                "%s/%s?[1-%d]" % (URL, PIECE, PARALLEL))
    proof.show(name, told[0] == 0 and told[1].split() == ["200"] * PARALLEL, "status %d" % told[0])
    want = file_bytes(proof, PIECE)
    wrong = [i for i in range(1, PARALLEL + 1) if open(proof.path("par%d" % i), "rb").read() != want]
    proof.show("the bytes of " + name, not wrong, "wrong: %s" % wrong)


def slow_reader(proof):
    """A reader that is held back, by its own limit and by a full pipe: others are served each time that it stands."""
    command = ["curl", "-sS", "-f", "-N", "--noproxy", "*", "--limit-rate", str(SLOW_RATE), "%s/%s" % (URL, BIG)]
    step, got, beside = BIG_BYTES // SLOW_STEPS, b"", 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=programkit.die_with_parent) as slow:
        for _ in range(SLOW_STEPS):
            got += slow.stdout.read(step)
            status, _, digest = proofkit.curl(PIECE)
            beside += status == 0 and digest == proof.hashes[PIECE]
        got += slow.stdout.read()
    proof.show("beside a slow reader", beside == SLOW_STEPS, "%d of %d downloads" % (beside, SLOW_STEPS))
    proof.show("what the slow reader got", slow.returncode == 0 and got == file_bytes(proof, BIG),
               "%d bytes, status %d" % (len(got), slow.returncode))


def send_by_telnet(text):
    """What comes back of what curl's telnet:// sends. Its stdin, a pipe that takes all at once, stays open for a while: at its
    end curl leaves, and until then it may hang in reading it, while its kernel has acknowledged all that came back."""
    with subprocess.Popen(["curl", "-sS", "-N", "-m", "5", "telnet://%s:%d" % (proofkit.SERVER, ECHO_PORT)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          preexec_fn=programkit.die_with_parent) as client:
        client.stdin.write(text)
        client.stdin.flush()
        end = threading.Timer(STDIN_SECONDS, client.stdin.close)
        end.start()
        got = client.stdout.read(len(text))
        end.cancel()
        client.terminate()
    return got


def upload(proof):
    """curl's telnet:// leaves a tail of its stdin unsent at times, with the kernel's own echo server too (2 of 120 uploads of
    60 kB, 5 of 25 of 1.1 MB), so it has some attempts; but whatever comes back must be right."""
    text = b"".join(b"line %08d of the upload\n" % i for i in range(TELNET_LINES))
    with programkit.example(proof, "echo", ECHO_PORT) as echo:
        got = b""
        for _ in range(TELNET_ATTEMPTS):
            got = send_by_telnet(text)
            proof.show("what telnet:// brings back is a part of what was sent", text.startswith(got), "%d bytes" % len(got))
            if got == text:
                break
        proof.show("an upload by telnet:// comes back", got == text, "%d of %d bytes" % (len(got), len(text)))
        echo.stop()


def canary(proof):
    status, _, _ = curl("-o", "/dev/null", URL + "/nothing-here")
    proof.canary("a file that is not there", status == 22, "status %d" % status)


def examine(proof):
    proof.make_file(BIG, BIG_BYTES)
    proof.make_file(PIECE, PIECE_BYTES)
    with programkit.serving(proof, "curl", may_drop=programkit.LATE):
        canary(proof)
        ranges(proof)
        resume(proof)
        forms(proof)
        parallel(proof, "%d downloads, %d at once" % (PARALLEL, AT_ONCE))
        parallel(proof, "as many, each on a connection of its own at once", "--parallel-immediate")
        slow_reader(proof)
    upload(proof)


if __name__ == "__main__":
    programkit.main(examine, "curl")
