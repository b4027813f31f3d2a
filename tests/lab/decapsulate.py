#!/usr/bin/env python3
"""decapsulate.py TUN PORT: the far end of the director's tunnels, for a real server in a lab.

Takes packets out of IP-in-IP (RFC 2003, 2473, 4213), GRE (RFC 2784) and GUE (variant 0, on UDP port
PORT) over IPv4 and IPv6, and hands them to the kernel through the device TUN. The kernel's sockets
put fragments together and check IP and UDP; what is special to the tunnel is checked here. Prints
"ready", then a line for each new kind of packet, and one for each packet that is refused.
"""

import fcntl
import os
import select
import socket
import struct
import sys

IPIP, IPV6, GRE = 4, 41, 47
UDP_NO_CHECK6_RX = 102
SO_RCVBUFFORCE = 33
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
ETHERTYPES = (0x0800, 0x86DD)
GUE_PROTOCOLS = (IPIP, IPV6)


class Refused(Exception):
    """The packet breaks the rules of its tunnel."""


def checksum(data):
    """The sum of the Internet checksum (RFC 1071), folded, not inverted."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2]))
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def from_ipip(data):
    return "ipip", data


def from_gre(data):
    flags, ethertype = struct.unpack_from("!HH", data)
    if flags & 0x7FFF:
        raise Refused(f"GRE flags {flags:#06x}")
    if ethertype not in ETHERTYPES:
        raise Refused(f"GRE protocol {ethertype:#06x}")
    if not flags:
        return "gre", data[4:]
    if checksum(data) != 0xFFFF:
        raise Refused("GRE checksum")
    return "gre with checksum", data[8:]


def from_gue(data):
    first, protocol, flags = struct.unpack_from("!BBH", data)
    # Neither options nor control messages: the director has no unfinished checksum to offload.
    if first or flags or protocol not in GUE_PROTOCOLS:
        raise Refused(f"GUE header {data[:4].hex()}")
    return "gue", data[4:]


def sockets(port):
    """Each socket, what takes packets out of its own, and whether they begin with IPv4's header."""
    for protocol, take in ((IPIP, from_ipip), (IPV6, from_ipip), (GRE, from_gre)):
        yield socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol), take, True
        yield socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol), take, False
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)
    udp.bind(("::", port))
    yield udp, from_gue, False


def main():
    name, port = sys.argv[1], int(sys.argv[2])
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TUN | IFF_NO_PI))
    by_number, poll, seen = {}, select.poll(), set()
    for opened, take, has_header in sockets(port):
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        by_number[opened.fileno()] = opened, take, has_header
        poll.register(opened, select.POLLIN)
    print("ready", flush=True)
    while True:
        for number, _ in poll.poll():
            opened, take, has_header = by_number[number]
            data, sender = opened.recvfrom(65535)
            data = data[(data[0] & 15) * 4 :] if has_header else data
            outer = "IPv4" if has_header or sender[0].startswith("::ffff:") else "IPv6"
            try:
                kind, inner = take(data)
                os.write(tun, inner)
            except (Refused, struct.error, OSError) as error:
                print(f"refused: {error} over {outer}: {data[:64].hex()}", flush=True)
                continue
            line = f"{kind}, IPv{inner[0] >> 4} over {outer}"
            if line not in seen:
                seen.add(line)
                print(line, flush=True)


if __name__ == "__main__":
    main()
