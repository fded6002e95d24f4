#!/usr/bin/env python3
"""arping_test.py: requests, probes of RFC 5227 and requests to the address alone are answered, each once; nobody
answers for others; false claims to our address change nothing.
"""
import re

import programkit
from proofkit import SERVER

COUNT, MANY = 5, 2000
NOBODY, OTHER, OTHER_MAC = "10.9.0.99", "10.9.0.77", "02:00:00:00:00:77"


def arping(address, *options, count=COUNT):
    """(exit status, sent, received, extra, addresses of hardware that answered)"""
    status, out, err = programkit.run("arping", "-i", programkit.DEV, "-c", str(count), *options, address)
    numbers = re.search(r"(\d+) packets transmitted, (\d+) packets received.*\((-?\d+) extra\)", out)
    if numbers is None:
        raise programkit.Failed("arping ended with %d: %s%s" % (status, out, err))
    return (status, *[int(x) for x in numbers.groups()], set(re.findall(r"bytes from (\S+) \(", out)))


def answered(proof, name, told, count=COUNT):
    status, sent, received, extra, macs = told
    proof.show(name, status == 0 and sent == received == count and extra == 0 and len(macs) == 1,
               "%d of %d, %d too many, from %s" % (received, sent, extra, sorted(macs)))
    return macs


def silent(told):
    return told[0] == 1 and told[2] == 0


def examine(proof):
    wait = ("-W", "0.05")
    with programkit.serving(proof, "arping", may_drop=programkit.LATE + ("arp_bad", "arp_not_mine")):
        proof.canary("nobody's address", silent(arping(NOBODY, *wait)), "no answer")
        (mac,) = answered(proof, "requests", arping(SERVER, *wait)) or ("",)
        answered(proof, "only one answers", arping(SERVER, "-d", *wait))
        answered(proof, "probes, which come from 0.0.0.0", arping(SERVER, "-0", *wait))
        answered(proof, "requests to our hardware alone", arping(SERVER, "-t", mac, *wait))
        answered(proof, "requests of another host", arping(SERVER, "-S", OTHER, "-s", OTHER_MAC, *wait))
        proof.show("requests from 255.255.255.255", silent(arping(SERVER, "-b", *wait)), "no answer")
        arping(SERVER, "-S", SERVER, "-s", OTHER_MAC, *wait)
        programkit.still_served(proof, "requests that claim our address")
        arping(SERVER, "-P", "-S", SERVER, "-s", OTHER_MAC, *wait)
        programkit.still_served(proof, "replies that claim our address")
        status, out, _ = programkit.run("arping", "-q", "-i", programkit.DEV, "-c", str(MANY), "-W", "0.000001",
                                        SERVER)
        proof.show("%d requests in a row" % MANY, status == 0 and not out, "status %d" % status)
        answered(proof, "requests after all that", arping(SERVER, *wait))


if __name__ == "__main__":
    programkit.main(examine, "arping")
