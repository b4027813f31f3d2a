import errno, os, select, struct
from socket import *

SO_DOMAIN, SO_PROTOCOL, SOL_NETLINK, GET_INFO = 39, 38, 270, 15


def generic():
    nl = socket(AF_NETLINK, SOCK_RAW, 16)
    nl.settimeout(10)
    return nl


def message(kind, number, content=b"", sequence=1):
    header = 20 + len(content), kind, 1, sequence, 0
    return struct.pack("=IHHIIBBH", *header, number, 1, 0) + content


def get_family(name):
    name = name.encode() + b"\0"
    return message(16, 3, struct.pack("=HH", 4 + len(name), 2) + name + bytes(-len(name) % 4))


def command(number, sequence=1):
    return message(28, number, sequence=sequence)


def number(data):
    return struct.unpack_from("=I", data, 8)[0]


def attributes(data):
    found = {}
    while data:
        size, kind = struct.unpack_from("=HH", data)
        found[kind] = data[4:size]
        data = data[(size + 3) // 4 * 4:]
    return found


def family(data):
    found = attributes(data[20:])
    return found[2].rstrip(b"\0").decode(), struct.unpack("=H", found[1])[0]


def info(data):
    return struct.unpack("=I", attributes(data[20:])[1])[0]


def error(data):
    return struct.unpack_from("=i", data, 16)[0]
