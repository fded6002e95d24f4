#!/usr/bin/env python3
"""netcat_test.py: nc -N, which ends its half of the connection and reads on: towards the server, through the echo,
and at both ends of the proxy, where Weir opens the second connection itself.
"""
import hashlib
import os
import subprocess

import programkit
import proofkit
from proofkit import SERVER

BIG, BIG_BYTES = "big.bin", 8 << 20
ECHO_PORT, PROXY_PORT, BEHIND_PORT = 7, 8080, 9000
SIZES = (0, 1, 1459, 1460, 1461, 65535, 1 << 20)


def nc(*arguments, feed=b""):
    """What nc -N got, as bytes."""
    done = subprocess.run(["timeout", "60", "nc", "-N", *arguments], input=feed, capture_output=True, check=False)
    if done.returncode != 0:
        raise programkit.Failed("nc ended with %d: %s" % (done.returncode, done.stderr))
    return done.stdout


def request(name, more=b""):
    return b"GET /%s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (name.encode(), more)


def to_the_server(proof):
    """Requests and the end of the stream in one segment: what was asked for comes before our end."""
    got = nc(SERVER, "80", feed=request(programkit.SMALL) * 3 + request(BIG, b"Connection: close\r\n"))
    digest = hashlib.sha256(got[-BIG_BYTES:]).hexdigest()
    proof.show("four requests and a FIN at once", got.count(b"HTTP/1.1 200 OK\r\n") == 4 and
               digest == proof.hashes[BIG], "%d bytes" % len(got))
    got = nc("-I", "1024", SERVER, "80", feed=request(BIG))
    proof.show("a small receive buffer", hashlib.sha256(got[-BIG_BYTES:]).hexdigest() == proof.hashes[BIG],
               "%d bytes" % len(got))
    status, _, err = programkit.run("nc", "-z", "-v", SERVER, "80")
    proof.show("a look at the open port", status == 0 and "succeeded" in err, err.strip())
    status, _, err = programkit.run("nc", "-z", "-v", SERVER, "81")
    proof.canary("a look at a closed port", status == 1 and "refused" in err, err.strip())


def through_echo(proof):
    with programkit.example(proof, "echo", ECHO_PORT) as echo:
        for size in SIZES:
            sent = os.urandom(size)
            got = nc(SERVER, str(ECHO_PORT), feed=sent)
            proof.show("%d bytes and a FIN through the echo" % size, got == sent, "%d came back" % len(got))
        echo.stop()


def through_proxy(proof):
    """A file each way at once, both ends an nc -N, so each half ends by itself."""
    names = [proof.path(x) for x in ("up", "down", "up.got", "down.got")]
    for name in names[:2]:
        with open(name, "wb") as f:
            f.write(os.urandom(BIG_BYTES))
    with programkit.example(proof, "proxy", PROXY_PORT, "--to",
                            "%s:%d" % (proofkit.HOST.partition("/")[0], BEHIND_PORT)) as proxy:
        with open(names[1], "rb") as down, open(names[2], "wb") as got:
            command = ["nc", "-4", "-n", "-v", "-N", "-l", str(BEHIND_PORT)]
            behind = programkit.Background(proof, command, "Listening on ", stdin=down, stdout=got)
        with behind, open(names[0], "rb") as up:
            with open(names[3], "wb") as f:
                f.write(nc(SERVER, str(PROXY_PORT), feed=up.read()))
            behind.wait()
        proxy.stop()
    programkit.same_file(proof, "upwards through the proxy", names[0], names[2])
    programkit.same_file(proof, "downwards through the proxy", names[1], names[3])


def examine(proof):
    proof.make_file(BIG, BIG_BYTES)
    with programkit.serving(proof, "nc", may_drop=programkit.LATE):
        to_the_server(proof)
    through_echo(proof)
    through_proxy(proof)


if __name__ == "__main__":
    programkit.main(examine, "nc")
