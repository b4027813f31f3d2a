"""walk.py: reads `walks` (rules, then packets) and prints each packet with the mark that
the kernel gave it, read off 32 counters of the chain FORWARD, one for each bit. Run by `record`,
which makes a namespace with the interfaces lan0, lan1 and wan0 and their other ends."""

import re
import shlex
import socket
import struct
import subprocess
import sys
import time

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "esp": 50}


def iptables(*words):
    done = subprocess.run(
        ["iptables-legacy", "-t", "mangle", *words], check=True, capture_output=True, text=True
    )
    return done.stdout


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(protocol, source, destination, later):
    (source, sport), (destination, dport) = (end.split(":") for end in (source, destination))
    ports = struct.pack("!HH", int(sport), int(dport))
    body = {
        "tcp": ports + struct.pack("!IIBBHHH", 1, 0, 5 << 4, 2, 1000, 0, 0),
        "udp": ports + struct.pack("!HH", 16, 0) + bytes(8),
        "sctp": ports + bytes(8) + struct.pack("!BBHI", 11, 0, 4, 0),
        "icmp": struct.pack("!BBHI", 8, 0, 0xF7FF, 0),
        "esp": bytes(24),
    }[protocol]
    ends = socket.inet_aton(source) + socket.inet_aton(destination)

    def header(check):
        return (
            struct.pack(
                "!BBHHHBBH",
                0x45,
                0,
                20 + len(body),
                7,
                3 if later else 0,
                64,
                PROTOCOLS[protocol],
                check,
            )
            + ends
        )

    return header(checksum(header(0))) + body


def mark(link, mac, bytes_):
    iptables("-Z", "FORWARD")
    link.send(mac + bytes(6) + b"\x08\x00" + bytes_)
    for _ in range(100):
        counts = [
            int(line.split()[0]) for line in iptables("-L", "FORWARD", "-nvx").splitlines()[2:]
        ]
        if counts[32]:
            return sum(1 << bit for bit in range(32) if counts[bit])
        time.sleep(0.01)
    sys.exit("walk.py: the packet was not forwarded")


def main():
    for bit in range(32):
        iptables("-A", "FORWARD", "-m", "mark", "--mark", f"{1 << bit:#x}/{1 << bit:#x}")
    iptables("-A", "FORWARD")
    links = {}
    for name in ("lan0", "lan1", "wan0"):
        with open(f"/sys/class/net/{name}/address") as file:
            mac = bytes.fromhex(file.read().strip().replace(":", ""))
        link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        link.bind((f"{name}-peer", 0))
        links[name] = (link, mac)
    iptables("-F", "PREROUTING")
    for line in open("walks"):
        line = line.strip()
        words = shlex.split(line)
        if line == "-":
            iptables("-F", "PREROUTING")
        elif line.startswith("-A"):
            iptables(*words)
        else:
            _, protocol, source, destination, *rest = words
            name = next((word for word in rest if re.fullmatch(r"\w+\d", word)), "lan0")
            found = mark(*links[name], packet(protocol, source, destination, "later" in rest))
            line = f"{line} = {found:#x}"
        print(line, flush=True)


main()
