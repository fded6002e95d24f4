#!/usr/bin/env python3
"""faults_test.py: a download over a device that loses, reorders, doubles and corrupts frames is whole.

Prints how long it took and what it took. 32 MiB, since a loss that only a time-out repairs costs 200 ms; any other
size by WEIR_PROOF_MIB, another course of faults by WEIR_SEED. The canaries: a device that loses everything gives nothing,
and on a clean one none of the marks of faults is there.
"""
import os

import proofkit
from proofkit import MIB

FAULTS = "loss=0.02,reorder=0.02,dup=0.01,corrupt=0.001,seed=%d"
BULK_MIB = int(os.environ.get("WEIR_PROOF_MIB", "32"))
SEED = int(os.environ.get("WEIR_SEED", "1"))
CANARY_SECONDS = 1
DROPS_OF_CORRUPTION = ("ip_csum", "tcp_csum", "ip_version", "ip_length", "tcp_length")


def faulty(proof, name, faults):
    with proofkit.Server(proof, *(["--fault", faults] if faults else [])) as server:
        return proof.download(name), server.stop()


def marks(ledger):
    """(segments sent again, frames that corruption had dropped, duplicate acknowledgements)"""
    corrupt = sum(ledger["drops"].get(reason, 0) for reason in DROPS_OF_CORRUPTION)
    return ledger["retransmits"], corrupt, ledger["dup_acks"]


def share(ledger, name):
    """Of the frames of both directions."""
    return ledger["fault_" + name] / (ledger["tx_frames"] + ledger["rx_frames"])


def show_counts(proof, ledger):
    """What the ledger tells of the faults is about what was asked for."""
    for name, asked in (("lost", 0.02), ("reordered", 0.02), ("duplicated", 0.01), ("corrupted", 0.001)):
        proof.show("frames " + name, 0.5 * asked < share(ledger, name) < 2 * asked,
                   "%d, %.3f %%" % (ledger["fault_" + name], 100 * share(ledger, name)))


def show_canaries(proof):
    with proofkit.Server(proof, "--fault", "loss=1") as server:
        status, count, _ = proofkit.curl("small", "--connect-timeout", str(CANARY_SECONDS))
        server.stop()
    proof.canary("a device that loses everything", status != 0 and count == 0, "curl's status %d" % status)
    _, ledger = faulty(proof, "small", None)
    told = [ledger[key] for key in ledger if key.startswith("fault_")]
    proof.canary("a clean device's ledger", told == [0] * 4, "faults %s" % told)
    proof.canary("a clean device", not any(marks(ledger)), "%d sent again, %d corrupt, %d duplicate acks"
                 % marks(ledger))


def examine(proof):
    proof.make_file("small", 100000)
    proof.make_file("bulk", BULK_MIB * MIB)
    show_canaries(proof)
    seconds, ledger = faulty(proof, "bulk", FAULTS % SEED)
    proof.show("%d MiB with %s" % (BULK_MIB, FAULTS % SEED), True, "sha256 equal, %.1f s, %.1f MB/s"
               % (seconds, BULK_MIB * MIB / seconds / 1e6))
    proof.show("there were faults", all(marks(ledger)), "%d segments sent again, %d frames dropped as corrupt, "
               "%d duplicate acks" % marks(ledger))
    show_counts(proof, ledger)
    proof.show("what mended them", ledger["fast_recoveries"] > 0, "%d fast recoveries, %d time-outs, %d frames sent"
               % (ledger["fast_recoveries"], ledger["timeouts"], ledger["tx_frames"]))
    proof.show("memory afterwards", ledger["zbuf_live"] == 0 and ledger["file_bytes_copied"] == 0,
               "%d zbufs live, %d file bytes copied, peak %d zbufs"
               % (ledger["zbuf_live"], ledger["file_bytes_copied"], ledger["zbuf_peak"]))


if __name__ == "__main__":
    proofkit.main(examine)
