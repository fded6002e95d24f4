"""programkit.py: what the tests with programs of others share; the namespace, the server and the verdicts are
proofkit's.

Each test lets one program that nobody here wrote talk to the real `weir serve` (and to the examples echo and proxy)
over TAP, and shows what it reports. After each program `curl` must still be served, and the ledger must balance: no
zbuf held at the end, no byte of a file copied, and no frame dropped for a reason that the program gave no cause for.
"""
import contextlib
import filecmp
import os
import subprocess
import threading

import proofkit
from proofkit import SERVER, Failed, die_with_parent, main  # pylint: disable=unused-import # main: for the tests

URL = "http://" + SERVER
DEV = "weirprog0"
PROGRAM_SECONDS = 120  # the most that one run of a program may take, with sanitizers as well
SMALL, SMALL_BYTES = "small", 1000

# What is sent again or comes late where programs end in the middle or the machine is busy: segments of connections
# that one end has reset or forgotten, and more SYNs at once than a listener takes.
LATE = ("tcp_rst", "tcp_port", "tcp_flags", "tcp_seq", "tcp_syn", "tcp_ack", "tcp_duplicate", "tcp_after_close",
        "tcp_backlog")


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


class Background:
    """Another program that says when it is ready, in a line on stderr, and ends by itself or when it is told to."""

    def __init__(self, proof, command, ready, **more):
        self.proof, self.name, self.told = proof, os.path.basename(command[0]), []
        self.known = threading.Event()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=die_with_parent, **more)
        self.listener = threading.Thread(target=self.listen, args=(ready,), daemon=True)
        self.listener.start()
        self.known.wait(proofkit.READY_SECONDS)
        if not any(ready in line for line in self.told):
            self.__exit__()
            raise Failed("%s did not get ready: %s" % (self.name, "".join(self.told)))

    def listen(self, ready):
        """Reads what it says for as long as it runs: a full pipe would stop it."""
        for line in self.process.stderr:
            self.told.append(line.decode("utf-8", "replace"))
            if ready in self.told[-1]:
                self.known.set()
        self.known.set()

    def wait(self):
        """It ends by itself, and with success."""
        try:
            status = self.process.wait(proofkit.STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed("%s did not end" % self.name) from None
        self.proof.show("%s ended" % self.name, status == 0, "status %d" % status)

    def stop(self):
        self.process.terminate()
        self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.listener.join()
        self.process.stderr.close()


def example(proof, program, port, *options):
    """One of the examples, which lie beside the command. Its exit status says whether it had zbufs left."""
    command = [os.path.join(os.path.dirname(proof.weir), program), "--dev", "tap:" + DEV, "--addr", SERVER + "/24",
               "--host", proofkit.HOST, "--port", str(port)]
    return Background(proof, command + list(options), "listening on ", stdout=subprocess.DEVNULL)
