#!/usr/bin/env python3
"""frames.py FLOWS SYN.pcap SYN_MAC ACK.pcap ACK_MAC: what `make bench` plays.

SYN.pcap has one SYN for each flow, ACK.pcap one ACK for each flow, all 60 bytes long, to TCP port
80 of 10.0.10.100. The ACKs come in another order than the SYNs: entries of a flow table that were
made one after the other must not be met one after the other, which no traffic does.
"""

import random
import socket
import struct
import sys
from array import array

VIP = socket.inet_aton("10.0.10.100")
CLIENTS = 0x0A400000  # 10.64.0.0
PORTS_PER_CLIENT = 64
FIRST_PORT = 1024
SYN, ACK = 0x02, 0x10


def checksum(data):
    words = array("H", data)
    words.byteswap()
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(flow, flags, mac):
    client = struct.pack("!I", CLIENTS + flow // PORTS_PER_CLIENT)
    port = FIRST_PORT + flow % PORTS_PER_CLIENT
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 46, 0, 0x4000, 64, 6, 0, client, VIP)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    tcp = struct.pack("!HHIIBBHHH", port, 80, 1, flags == ACK, 0x50, flags, 65535, 0, 0) + bytes(6)
    pseudo = client + VIP + struct.pack("!BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    return mac + b"\x02\0\0\0\0\x01\x08\0" + ip + tcp


def write(path, flows, flags, mac):
    mac = bytes.fromhex(mac.replace(":", ""))
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, flow in enumerate(flows):
            data = frame(flow, flags, mac)
            head = struct.pack("<IIII", number // 1000000, number % 1000000, len(data), len(data))
            out.write(head + data)


def main():
    count, syn_path, syn_mac, ack_path, ack_mac = sys.argv[1:]
    flows = list(range(int(count)))
    write(syn_path, flows, SYN, syn_mac)
    random.Random(1).shuffle(flows)
    write(ack_path, flows, ACK, ack_mac)


main()
