"""programkit.py: what the tests with programs of others share; the namespace, the server and the verdicts are
proofkit's.

Each test lets one program that nobody here wrote talk to the real `weir serve` (and to the examples echo and proxy)
over TAP, and shows what it reports. After each program `curl` must still be served, and the ledger must balance: no
zbuf held at the end, no byte of a file copied, and no frame dropped for a reason that the program gave no cause for.
"""
import contextlib
import filecmp
import os
import signal
import subprocess

import proofkit
from proofkit import SERVER, Failed, die_with_parent, main, need, skip  # pylint: disable=unused-import # for the tests

URL = "http://" + SERVER
DEV = "weirprog0"
PROGRAM_SECONDS = 120  # the most that one run of a program may take, with sanitizers as well
SMALL, SMALL_BYTES = "small", 1000
LATE = ("tcp_rst", "tcp_port")  # segments of a connection that one end has reset or forgotten meanwhile


def run(*command, feed=None, environment=None):
    """(exit status, what it said on stdout, and on stderr) of a program that ends by itself."""
    try:
        done = subprocess.run(command, input=feed, capture_output=True, timeout=PROGRAM_SECONDS, check=False,
                              env=environment)
    except subprocess.TimeoutExpired:
        raise Failed("%s did not end within %d s" % (" ".join(command), PROGRAM_SECONDS)) from None
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def expect(proof, name, told, *wanted):
    """Shows that a program's exit status is 0 and that each of these is in what it said."""
    status, out, err = told
    missing = [w for w in wanted if w not in out + err]
    good = status == 0 and not missing
    proof.show(name, good, "as expected" if good else "status %d, without %s: %s" % (status, missing, out + err))


def curl(*options):
    """(exit status, stdout, stderr) of a curl that fails on HTTP errors."""
    return run("curl", "-sS", "-f", "--noproxy", "*", "-m", "60", *options)


def still_served(proof, name):
    status, count, digest = proofkit.curl(SMALL)
    good = status == 0 and digest == proof.hashes[SMALL]
    proof.show("curl is served after " + name, good, "%d bytes, status %d" % (count, status))


def same_file(proof, name, one, other):
    good = os.path.exists(other) and filecmp.cmp(one, other, shallow=False)
    proof.show(name, good, "the same bytes" if good else "%s is not %s" % (other, one))


def balance(proof, name, ledger, may_drop):
    for key in ("zbuf_live", "file_bytes_copied"):
        proof.show("%s after %s" % (key, name), ledger[key] == 0, "%d, must be 0" % ledger[key])
    strange = {k: v for k, v in ledger["drops"].items() if k not in may_drop}
    proof.show("drops after " + name, not strange, "%s, beyond %s: %s" % (ledger["drops"], list(may_drop), strange))


@contextlib.contextmanager
def serving(proof, name, *options, may_drop=()):
    """`weir serve` for the time of a program; its ledger is `ledger` of what is given, afterwards."""
    if SMALL not in proof.hashes:
        proof.make_file(SMALL, SMALL_BYTES)
    with proofkit.Server(proof, *options, dev=DEV) as server:
        yield server
        still_served(proof, name)
        server.ledger = server.stop()
    balance(proof, name, server.ledger, may_drop)


class Background(proofkit.Server):
    """Another program that says `listening` or the like on stderr, until it ends."""

    def __init__(self, proof, command, ready, **more):  # pylint: disable=super-init-not-called
        self.out = subprocess.DEVNULL
        self.told = ""
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=die_with_parent, **more)
        self.pid = self.process.pid
        self.name = os.path.basename(command[0])
        self.proof = proof
        try:
            self.wait_for(ready)
        except Failed:
            self.kill()
            raise

    def close(self):
        self.process.stderr.close()

    def wait(self):
        """It ends by itself, and with success."""
        try:
            status = self.process.wait(proofkit.STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed("%s did not end" % self.name) from None
        self.proof.show("%s ended" % self.name, status == 0, "status %d" % status)
        self.close()

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        self.wait()

    def __exit__(self, *_):
        if not self.process.stderr.closed:
            self.kill()


def example(proof, program, port, *options):
    """One of the examples, which lie beside the command; weir_stop says whether it had zbufs left: so does its status."""
    command = [os.path.join(os.path.dirname(proof.weir), program), "--dev", "tap:" + DEV, "--addr", SERVER + "/24",
               "--host", proofkit.HOST, "--port", str(port)]
    return Background(proof, command + list(options), "listening on ", stdout=subprocess.DEVNULL)
