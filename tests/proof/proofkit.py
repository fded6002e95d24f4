"""proofkit.py: what the proofs share: a network namespace of one's own, the server in it, downloads, verdicts.

A proof is a program that shows a promise with the real `weir serve` over TAP. It prints one line for each thing shown,
`ok: name: figure` or `failed: name: figure`, and first lets its own measurement fail (`canary`), so that one that
has gone blind fails itself. Exit status: 0 all shown, 1 something not, 77 skipped with `skipped: reason`.

Nothing waits for an amount of time in order to be in step: the server's line `listening` is awaited in its pipe. Nothing
stays: the namespace dies with the proof, and with it the device and all processes.
"""
import argparse
import concurrent.futures
import ctypes
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

SKIP_STATUS = 77
INSIDE = "WEIR_PROOF_INSIDE"
MIB = 1 << 20
NET = "10.9.0"
SERVER = NET + ".2"
HOST = NET + ".1/24"
READY_SECONDS = 60   # the most that anything may take to start, under valgrind as well
STOP_SECONDS = 60
CURL_SECONDS = int(os.environ.get("WEIR_PROOF_SECONDS", "280"))  # the most that a transfer may take
PR_SET_PDEATHSIG = 1

ALONE = ["--pid", "--fork", "--kill-child", "--mount-proc"]  # processes of one's own as well, where /proc can be had
USER = ["--user", "--map-root-user"]
WAYS = [["--net"] + ALONE, USER + ["--net"] + ALONE, ["--net"], USER + ["--net"]]


class Failed(Exception):
    """The proof can't go on; its text says why."""


def skip(reason):
    print("skipped: " + reason)
    sys.exit(SKIP_STATUS)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            skip("%s is not installed" % program)


# ---- the namespace ----

def enter_namespace():
    """Runs this program again in a network namespace of its own, in which it may make a TAP device."""
    if os.environ.get(INSIDE):
        run("ip", "link", "set", "lo", "up")
        quiet_ipv6()
        return
    if not os.path.exists("/dev/net/tun"):
        skip("there is no /dev/net/tun")
    need("unshare", "ip", "curl")
    probe = ["sh", "-c", "ip tuntap add dev weirprobe mode tap"]
    for way in WAYS:
        command = ["unshare"] + way
        if subprocess.run(command + probe, capture_output=True, check=False).returncode == 0:
            os.execvpe("unshare", command + [sys.executable] + sys.argv, dict(os.environ, **{INSIDE: "1"}))
    skip("no right to make a network namespace with a TAP device in it")


def quiet_ipv6():
    """The kernel would send frames of its own, and wake who is measured."""
    try:
        with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as f:
            f.write("1")
    except OSError:
        pass


def run(*argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, check=True, **more).stdout


def link_statistics(name):
    """What the kernel says of an interface: from its side, so that what the server sent is `rx`."""
    return json.loads(run("ip", "-s", "-j", "link", "show", name))[0]["stats64"]


# ---- the server ----

def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """A program that listens on a device when the constructor is done. Its standard output is kept.

    around: a command that runs it and goes on (strace); before: one that turns into it (env, valgrind).
    """

    def __init__(self, proof, command, around=(), before=(), dev="weirproof0"):
        self.dev = dev
        self.out = tempfile.TemporaryFile(dir=proof.tmp)
        device = ["--dev", "tap:" + dev, "--addr", SERVER + "/24", "--host", HOST]
        tell_pid = ["sh", "-c", 'echo "pid $$" >&2; exec "$@"', "sh"]
        self.process = subprocess.Popen([*around, *tell_pid, *before, *command, *device], stdout=self.out,
                                        stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        self.told, self.ended, self.heard = "", False, threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()
        try:
            self.pid = int(self.wait_for("pid ").split()[1])
            self.wait_for("listening on ")
        except Failed:
            self.kill()
            raise

    def listen(self):
        """Reads what it says for as long as it runs: a full pipe would stop it."""
        for line in self.process.stderr:
            with self.heard:
                self.told += line.decode(errors="replace")
                self.heard.notify_all()
        with self.heard:
            self.ended = True
            self.heard.notify_all()

    def line_of(self, start):
        return next((line for line in self.told.split("\n") if line.startswith(start)), None)

    def wait_for(self, start):
        """The first line that starts so."""
        with self.heard:
            self.heard.wait_for(lambda: self.ended or self.line_of(start), READY_SECONDS)
            found = self.line_of(start)
            if not found:
                raise Failed("the server %s: %s" % ("ended before it listened" if self.ended else
                                                    "said nothing within %d s" % READY_SECONDS, self.told))
            return found

    def stop(self):
        """Ends it in order; what it printed."""
        os.kill(self.pid, signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed("the server did not stop within %d s" % STOP_SECONDS) from None
        if status != 0:
            raise Failed("the server ended with status %d: %s" % (status, self.told))
        self.out.seek(0)
        printed = self.out.read().decode()
        self.close()
        return printed

    def close(self):
        with self.heard:
            self.heard.wait_for(lambda: self.ended, STOP_SECONDS)
        self.process.stderr.close()
        self.out.close()

    def kill(self):
        if self.process.poll() is None:
            try:
                os.kill(getattr(self, "pid", self.process.pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.kill()
            self.process.wait()
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.out.closed:
            self.kill()


class Server(Program):
    """A `weir serve`."""

    def __init__(self, proof, *options, **more):
        super().__init__(proof, [proof.weir, "serve", "--root", proof.root, "--json", *options], **more)

    def stop(self):
        """Ends it in order; its ledger."""
        return json.loads(super().stop())


class Example(Program):
    """One of the examples, which lie beside the command."""

    def __init__(self, proof, name, *options, **more):
        super().__init__(proof, [os.path.join(os.path.dirname(proof.weir), name), *options], **more)

    def stop(self):
        """Ends it in order; its ledger: number by name, as its one line tells them."""
        line = super().stop()
        return {entry.rpartition(" ")[0]: int(entry.rpartition(" ")[2]) for entry in line.strip().split(", ")}


# ---- downloads ----

def curl(name, *options):
    """(exit status, bytes, sha256) of what curl got."""
    command = ["curl", "-sS", "-f", "--noproxy", "*", "-m", str(CURL_SECONDS), "http://%s/%s" % (SERVER, name)]
    digest, count = hashlib.sha256(), 0
    with subprocess.Popen(command + list(options), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as p:
        while True:
            piece = p.stdout.read1(MIB)
            if not piece:
                break
            digest.update(piece)
            count += len(piece)
    return p.returncode, count, digest.hexdigest()


class Proof:
    """The folder that is served, the command, and what was shown so far."""

    def __init__(self, args, tmp):
        self.weir, self.libs, self.tmp = os.path.abspath(args.weir), args.libs, tmp
        self.root = os.path.join(tmp, "root")
        self.hashes = {}
        self.failures = 0
        os.mkdir(self.root)

    def make_file(self, name, size):
        """A file of random bytes in the root, old enough that the server keeps its pieces."""
        digest, path = hashlib.sha256(), os.path.join(self.root, name)
        with open(path, "wb") as f:
            for at in range(0, size, MIB):
                piece = os.urandom(min(MIB, size - at))
                digest.update(piece)
                f.write(piece)
        os.utime(path, (1e9, 1e9))
        self.hashes[name] = digest.hexdigest()

    def path(self, name):
        return os.path.join(self.tmp, name)

    def helper(self, name):
        """A preloadable helper that the build made."""
        return os.path.join(self.libs, "lib%s.so" % name)

    def download(self, name, at_once=1):
        """Seconds that it took; fails unless every hash is right."""
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            got = list(pool.map(curl, [name] * at_once))
        for status, count, digest in got:
            if status != 0 or digest != self.hashes[name]:
                raise Failed("%s: curl ended with %d after %d bytes" % (name, status, count))
        return time.monotonic() - begin

    def show(self, name, good, figure):
        print("%s: %s: %s" % ("ok" if good else "failed", name, figure), flush=True)
        self.failures += not good

    def canary(self, name, tripped, figure):
        """What must go wrong did."""
        self.show("canary " + name, tripped, figure)

    def at_most(self, name, value, limit, unit=""):
        self.show(name, value <= limit, "%s%s, at most %s" % (figure(value), unit, figure(limit)))


def figure(value):
    return "{:,}".format(value) if isinstance(value, int) else "%.4g" % value


def main(examine, *programs):
    """Runs examine(proof) where it can be run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weir", required=True, help="the command to be shown")
    parser.add_argument("--libs", default=".", help="where the preloadable helpers are")
    parser.add_argument("--work", default=None, help="where temporary files may lie")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    need(*programs)
    enter_namespace()
    with tempfile.TemporaryDirectory(dir=args.work) as tmp:
        proof = Proof(args, tmp)
        try:
            examine(proof)
        except Failed as error:
            proof.show("the proof", False, str(error))
    sys.exit(1 if proof.failures else 0)
