"""A capture file with one ACK of each of the generator's flows, for net_pcap."""

import random
import socket
import struct
from array import array

VIP = socket.inet_aton("10.1.0.1")
CLIENTS = 0x0A400000  # 10.64.0.0
PORTS_PER_CLIENT = 64
FIRST_PORT = 1024
ACK = 0x10


def checksum(data):
    words = array("H", data)
    words.byteswap()
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(flow, mac):
    client = struct.pack("!I", CLIENTS + flow // PORTS_PER_CLIENT)
    port = FIRST_PORT + flow % PORTS_PER_CLIENT
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 46, 0, 0x4000, 64, 6, 0, client, VIP)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    tcp = struct.pack("!HHIIBBHHH", port, 80, 1, 1, 0x50, ACK, 65535, 0, 0) + bytes(6)
    pseudo = client + VIP + struct.pack("!BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    return mac + b"\x02\0\0\0\0\x01\x08\0" + ip + tcp


def write(path, count, mac):
    """In another order than that of the numbers: entries that were made one after the other must
    not be met one after the other, which no traffic does."""
    flows = list(range(count))
    random.Random(1).shuffle(flows)
    mac = bytes.fromhex(mac.replace(":", ""))
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, flow in enumerate(flows):
            data = frame(flow, mac)
            head = struct.pack("<IIII", number // 1000000, number % 1000000, len(data), len(data))
            out.write(head + data)
