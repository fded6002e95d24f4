#!/usr/bin/env python3
"""bad_input_test.py: what `weir serve` and the examples say to what they can't do: one sentence, status 1 (wrong usage:
2), nothing left.

After each refusal no interface and no program may be there that was not there before, and in the end a good command line
serves. The canaries: a good command line is no refusal, and an interface or a process that stays is noticed.
"""
import json
import os
import re
import subprocess

import proofkit
from proofkit import HOST, SERVER

REFUSAL_SECONDS = 20
PROGRAMS = ("weir", "echo", "proxy")
DEV = "weirproof1"
BEHIND_TMPFS = 'mount -t tmpfs none /dev/net && exec "$@"'
CLOSED_NODE = 'mount -t tmpfs none /dev/net && mknod /dev/net/tun c 10 200 && chmod 0 /dev/net/tun && exec "$@"'


def options(**changed):
    """The good command line with some options changed, added or (None) left out."""
    chosen = {"dev": "tap:" + DEV, "addr": SERVER + "/24", "host": HOST, "root": "."}
    chosen.update(changed)
    return [word for name, value in chosen.items() if value is not None for word in ("--" + name, value)]


class Case:
    """A command line; status and a word of the sentence that it must get. program: an example beside the command."""

    def __init__(self, name, argv, status, word, before=(), program=None):
        self.name, self.argv, self.status, self.word, self.before = name, argv, status, word, list(before)
        self.program = program

    def command(self, proof):
        """What to run, and how its sentence begins."""
        if self.program is None:
            return [*self.before, proof.weir, "serve", *self.argv], "weir serve: "
        path = os.path.join(os.path.dirname(proof.weir), self.program)
        return [*self.before, path, *self.argv], path + ": "


USAGE = [
    Case("an unknown option", options() + ["--nonsense"], 2, "--nonsense"),
    Case("an argument", options() + ["more"], 2, "more"),
    Case("no device", options(dev=None), 2, "--dev"),
    Case("no address", options(addr=None), 2, "--addr"),
    Case("another kind of device", options(dev="eth:x"), 2, "--dev eth:x"),
    Case("a device without a name", options(dev="tap:"), 2, "--dev tap:"),
    Case("a device with a long name", options(dev="tap:" + "x" * 16), 2, "--dev"),
    Case("a prefix of 33", options(addr=SERVER + "/33"), 2, "--addr"),
    Case("an address of three numbers", options(addr="10.9.0/24"), 2, "--addr"),
    Case("an address above 255", options(addr="10.9.0.300/24"), 2, "--addr"),
    Case("an empty address", options(addr=""), 2, "--addr"),
    Case("a host that is a word", options(host="nonsense"), 2, "--host"),
    Case("port 0", options(port="0"), 2, "--port 0"),
    Case("port 65536", options(port="65536"), 2, "--port 65536"),
    Case("a time that is a word", options(seconds="soon"), 2, "--seconds soon"),
    Case("memory that is a word", options(mem="much"), 2, "--mem much"),
    Case("memory beyond 64 bits", options(mem="99999999999999999999g"), 2, "--mem"),
    Case("buffers without a count", options(zbuf="2k"), 2, "--zbuf 2k"),
    Case("no buffers of a size", options(zbuf="2k:0"), 2, "--zbuf 2k:0"),
    Case("a size twice", options(zbuf="2k:9,2048:9"), 2, "--zbuf"),
    Case("a size too small", options(zbuf="1:100"), 2, "--zbuf 1:100"),
    Case("a size too large", options(zbuf="256k:100"), 2, "--zbuf 256k:100"),
    Case("nine sizes", options(zbuf=",".join("%dk:9" % n for n in range(1, 10))), 2, "--zbuf"),
    Case("a loss of 2", options(fault="loss=2"), 2, "--fault"),
    Case("an unknown fault", options(fault="fire=0.1"), 2, "--fault"),
]

CONFIGURATION = [
    Case("too little memory", options(mem="1k"), 1, "--mem"),
    Case("more memory than there is", options(mem="8000000g"), 1, "--mem"),
    Case("too few buffers", options(zbuf="2k:4"), 1, "--zbuf"),
    Case("more buffers than memory", options(zbuf="2k:4000,64k:4000"), 1, "--zbuf"),
    Case("a host in another network", options(host="10.8.0.1/24"), (1, 2), "--host"),
    Case("the network's own address", options(addr="10.9.0.0/24"), (1, 2), "--addr"),
    Case("the network's broadcast address", options(addr="10.9.0.255/24"), (1, 2), "--addr"),
    Case("a loopback address", options(addr="127.0.0.2/8"), (1, 2), "--addr"),
    Case("a multicast address", options(addr="224.0.0.5/24"), (1, 2), "--addr"),
    Case("one address for both ends", options(addr=HOST), (1, 2), "--host"),
    Case("a root that is missing", options(root="/nonexistent"), 1, "--root /nonexistent"),
    Case("a root that is a file", options(root="/etc/passwd"), 1, "--root /etc/passwd"),
    Case("a trace in no folder", options(trace="/nonexistent/t.pcap"), 1, "--trace /nonexistent/t.pcap"),
    Case("a name that is no TAP device", options(dev="tap:lo"), 1, "lo"),
]


def example(name, status, word, *more, program="echo", **changed):
    return Case("%s: %s" % (program, name), options(root=None, **changed) + list(more), status, word,
                program=program)


EXAMPLES = [
    example("a port that is a word", 2, "--port abc", port="abc"),
    example("a port with a tail", 2, "--port 7x", port="7x"),
    example("port 0", 2, "--port 0", port="0"),
    example("port 65536", 2, "--port 65536", port="65536"),
    example("an empty port", 2, "--port", port=""),
    example("no device", 2, "--dev", dev=None),
    example("another kind of device", 2, "--dev eth:x", dev="eth:x"),
    example("a device without a name", 2, "--dev tap:", dev="tap:"),
    example("no address", 2, "--addr", addr=None),
    example("an address of three numbers", 2, "--addr", addr="10.9.0/24"),
    example("a host that is a word", 2, "--host nonsense", host="nonsense"),
    example("a loss of 2", 2, "--fault loss=2", fault="loss=2"),
    example("an unknown option", 2, "--nonsense", "--nonsense"),
    example("an option without its value", 2, "--port", "--port"),
    example("an argument", 2, "more", "more"),
    example("an option of the proxy", 2, "--to", to="10.9.0.1:80"),
    example("no server", 2, "--to", program="proxy"),
    example("a server without a port", 2, "--to 10.9.0.1", program="proxy", to="10.9.0.1"),
    example("a port that is a word", 2, "--port abc", program="proxy", to="10.9.0.1:80", port="abc"),
    example("a name that is no TAP device", 1, "lo", dev="tap:lo"),
    example("the network's own address", 1, "10.9.0.0/24", addr="10.9.0.0/24"),
]


def system_cases(proof):
    """What needs something of the system: namespaces of mounts, fewer rights, other devices."""
    closed = proof.path("closed")
    os.mkdir(closed, 0)
    hidden = ["unshare", "--mount", "sh", "-c"]
    fewer = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
    cases = [
        Case("/dev/net/tun is missing", options(), 1, "/dev/net/tun", hidden + [BEHIND_TMPFS, "sh"]),
        Case("no right to open /dev/net/tun", options(), 1, "/dev/net/tun", hidden + [CLOSED_NODE, "sh"] + fewer),
        Case("no right to make a device", options(), 1, "no right", fewer),
        Case("no right to read the root", options(root=closed), 1, "--root " + closed, fewer),
        Case("a device that another server has", options(dev="tap:weirproof0", addr="10.9.0.3/24"), 1, "weirproof0"),
        Case("echo: /dev/net/tun is missing", options(root=None), 1, "/dev/net/tun", hidden + [BEHIND_TMPFS, "sh"], "echo"),
        Case("echo: no right to make a device", options(root=None), 1, "no right", fewer, "echo"),
        Case("echo: a device that another server has", options(root=None, dev="tap:weirproof0", addr="10.9.0.3/24"), 1,
             "weirproof0", program="echo"),
        Case("a network that another interface has", options(addr="10.77.0.2/24", host="10.77.0.1/24"), 1, "lo"),
    ]
    for case in cases:
        if subprocess.run(case.before + ["true"], capture_output=True, check=False).returncode == 0:
            yield case
        else:
            print("skipped: %s: it can't be arranged here" % case.name)


def interfaces():
    return {link["ifname"] for link in json.loads(proofkit.run("ip", "-j", "link", "show"))}


def processes():
    """Of this namespace: pids of servers."""
    here, found = os.readlink("/proc/self/ns/net"), set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % pid, encoding="utf-8") as f:
                if f.read().strip() in PROGRAMS and os.readlink("/proc/%s/ns/net" % pid) == here:
                    found.add(int(pid))
        except OSError:
            pass
    return found


def sentences(text):
    """The lines that tell; argp's hint at --help is none."""
    return [line for line in text.split("\n") if line and not re.match(r"Try `.*' ", line)]


def wrongs(proof, case):
    """What is wrong with how a command line was refused."""
    interfaces_before, processes_before = interfaces(), processes()
    command, begins = case.command(proof)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=REFUSAL_SECONDS, check=False,
                              stdin=subprocess.DEVNULL, preexec_fn=proofkit.die_with_parent)
        status, told, out = done.returncode, done.stderr, done.stdout
    except subprocess.TimeoutExpired as late:
        return ["it was not refused: %s" % (late.stderr or b"").decode().strip()]
    wanted = case.status if isinstance(case.status, tuple) else (case.status,)
    found = [] if status in wanted else ["status %d, not %s" % (status, " or ".join(map(str, wanted)))]
    lines = sentences(told)
    if len(lines) != 1 or not lines[0].startswith(begins):
        found.append("%d sentences: %s" % (len(lines), told))
    if case.word not in told:
        found.append("%r is not told: %s" % (case.word, told.strip()))
    if out:
        found.append("it wrote %r" % out[:100])
    return found + leftovers(interfaces_before, processes_before)


def leftovers(interfaces_before, processes_before):
    found = ["interface %s stays" % name for name in interfaces() - interfaces_before]
    return found + ["process %d stays" % pid for pid in processes() - processes_before]


def show(proof, case):
    found = wrongs(proof, case)
    proof.show(case.name, not found, "; ".join(found) or "refused")


def show_canaries(proof):
    good = Case("good", options() + ["--seconds", "1"], 1, "--dev")
    proof.canary("a good command line", any("status 0" in w for w in wrongs(proof, good)), "is no refusal")
    before = interfaces(), processes()
    with proofkit.Server(proof, dev=DEV) as server:
        told = leftovers(*before)
        server.stop()
    proof.canary("what stays", len(told) == 2, ", ".join(told))
    proof.canary("what is gone", not leftovers(*before), "is gone")


def examine(proof):
    show_canaries(proof)
    for case in USAGE + CONFIGURATION + EXAMPLES:
        show(proof, case)
    proofkit.run("ip", "address", "add", "10.77.0.1/24", "dev", "lo")
    with proofkit.Server(proof) as server:
        for case in system_cases(proof):
            show(proof, case)
        server.stop()
    proof.make_file("after", 1000)
    with proofkit.Server(proof, dev=DEV) as server:
        proof.download("after")
        proof.show("a good command line afterwards", server.stop()["requests"] == 1, "it serves")


if __name__ == "__main__":
    proofkit.main(examine, "unshare", "setpriv")
