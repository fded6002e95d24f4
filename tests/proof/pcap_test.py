#!/usr/bin/env python3
"""pcap_test.py: --trace writes a pcap file that readers accept: every frame whole, every checksum right.

Read twice: by what follows here, which also holds the frames and bytes against the ledger, and by `tcpdump -vv` where
that is installed. The canary is the same file with one byte of one segment changed; both readers must find it.
"""
import re
import shutil
import struct
import subprocess

import proofkit
from proofkit import MIB

BULK_BYTES = 8 * MIB
MAGIC_NS = 0xA1B23C4D
FILE_HEADER, FRAME_HEADER = struct.Struct("=IHHIIII"), struct.Struct("=IIII")
FRAMES_AT_END = 8  # after the ledger was drawn up
ETHERNET, IP4, TCP = 14, b"\x08\x00", 6
COMPLAINTS = re.compile(r"bad cksum|bad udp cksum|\(incorrect|\[\||truncated|tcpdump: ", re.IGNORECASE)
SERVER_IP = bytes(map(int, proofkit.SERVER.split(".")))


def total(data):
    """The Internet checksum's sum, folded; 0xffff over bytes that contain a right checksum."""
    if len(data) % 2:
        data += b"\0"
    value = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


class Trace:
    """What a pcap file tells; `problems` says what is wrong with it."""

    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        self.problems, self.frames, self.payload, self.tcp = [], 0, {}, 0
        self.large, self.spot = 0, None  # the largest segment, and where its last byte lies
        magic, major, minor, _, _, _, link = FILE_HEADER.unpack_from(data)
        if (magic, major, minor, link) != (MAGIC_NS, 2, 4, 1):
            self.problems.append("a header of %#x, %d.%d, link type %d" % (magic, major, minor, link))
        at, before = FILE_HEADER.size, (0, 0)
        while at < len(data):
            s, ns, written, length = FRAME_HEADER.unpack_from(data, at)
            at += FRAME_HEADER.size
            if (s, ns) < before or ns >= 10 ** 9 or written != length or at + written > len(data):
                self.problems.append("frame %d: its header" % (self.frames + 1))
            before = s, ns
            self.look(data[at:at + written])
            at += written
            if self.payload and written > self.large:
                self.large, self.spot = written, at - 1

    def look(self, frame):
        self.frames += 1
        if frame[12:14] != IP4:
            return
        head = (frame[ETHERNET] & 15) * 4
        length = struct.unpack_from("!H", frame, ETHERNET + 2)[0]
        ip = frame[ETHERNET:ETHERNET + length]
        if len(ip) != length or total(ip[:head]) != 0xFFFF:
            self.problems.append("frame %d: its IP header" % self.frames)
        elif ip[9] == TCP:
            self.look_at_segment(ip[12:20], ip[head:])

    def look_at_segment(self, addresses, segment):
        self.tcp += 1
        if total(addresses + struct.pack("!HH", TCP, len(segment)) + segment) != 0xFFFF:
            self.problems.append("frame %d: its TCP checksum" % self.frames)
        if addresses[:4] == SERVER_IP:
            sequence = struct.unpack_from("!I", segment, 4)[0]
            self.payload[sequence] = len(segment) - (segment[12] >> 4) * 4


def tcpdump_complaints(path):
    """(segments whose checksum it finds right, its complaints); None where it is not installed."""
    if not shutil.which("tcpdump"):
        return None
    done = subprocess.run(["tcpdump", "-n", "-vv", "-r", path], capture_output=True, text=True, errors="replace",
                          check=False)
    complaints = [line.strip() for line in done.stdout.split("\n") if COMPLAINTS.search(line)]
    if done.returncode != 0:
        complaints.append(done.stderr.strip())
    return len(re.findall(r"cksum 0x[0-9a-f]+ \(correct\)", done.stdout)), complaints


def spoil(path, spoiled):
    """A copy with the last byte of the largest segment changed."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    data[Trace(path).spot] ^= 0x40
    with open(spoiled, "wb") as f:
        f.write(data)


def show_canary(proof, path):
    spoiled = proof.path("spoiled.pcap")
    spoil(path, spoiled)
    found = Trace(spoiled).problems
    proof.canary("a byte changed", len(found) > 0, "; ".join(found[:3]))
    told = tcpdump_complaints(spoiled)
    if told:
        proof.canary("a byte changed, by tcpdump", len(told[1]) > 0, "; ".join(told[1][:1])[:160])


def show_trace(proof, name, options):
    path = proof.path("wire.pcap")
    with proofkit.Server(proof, "--trace", path, *options) as server:
        proof.download("bulk")
        ledger = server.stop()
    trace, told = Trace(path), tcpdump_complaints(path)
    proof.show(name + ": frames and checksums", not trace.problems,
               "; ".join(trace.problems[:3]) or "%d frames, %d segments, all right" % (trace.frames, trace.tcp))
    wanted = ledger["tx_bytes_ref"] + ledger["tx_bytes_copied"]
    proof.show(name + ": bytes", sum(trace.payload.values()) == wanted,
               "%d of %d sent" % (sum(trace.payload.values()), wanted))
    counted = ledger["tx_frames"] + ledger["rx_frames"]
    proof.show(name + ": frames of the ledger", 0 <= trace.frames - counted <= FRAMES_AT_END,
               "%d and %d" % (trace.frames, counted))
    if told:
        proof.show(name + ": tcpdump", not told[1] and told[0] == trace.tcp,
                   "; ".join(told[1][:3]) or "%d of %d segments correct" % (told[0], trace.tcp))
    else:
        print("skipped: %s: tcpdump is not installed" % name)
    return path


def examine(proof):
    proof.make_file("bulk", BULK_BYTES)
    show_canary(proof, show_trace(proof, "large segments", []))


if __name__ == "__main__":
    proofkit.main(examine)
