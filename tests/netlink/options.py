# The options of linux/ip_vs.h, with its structures written by hand.
import ctypes

BASE = 1152
raw = socket(AF_INET, SOCK_DGRAM)
libc = ctypes.CDLL(None, use_errno=True)


def get(option, content, size=None):
    buffer = ctypes.create_string_buffer(content, max(len(content), size or 0))
    length = ctypes.c_uint32(size or len(content))
    if libc.getsockopt(raw.fileno(), 0, BASE + option, buffer, ctypes.byref(length)):
        return ctypes.get_errno()
    return buffer.raw[:length.value]


def set(option, content):
    return 0 if libc.setsockopt(raw.fileno(), 0, BASE + option, content, len(content)) == 0 else ctypes.get_errno()


def service(protocol, address, port, scheduler=b"", flags=0, timeout=0, mark=0):
    return (struct.pack("=HH", protocol, 0) + inet_aton(address) + struct.pack(">HH", port, 0)
            + struct.pack("=I16sII", mark, scheduler, flags, timeout) + b"\xff" * 4)


def server(address, port, method=3, weight=1, upper=0, lower=0):
    return inet_aton(address) + struct.pack(">HH", port, 0) + struct.pack("=IiII", method, weight, upper, lower)


assert get(0, bytes(64)) == b"IP Virtual Server version 1.2.1 (size=4096)\0"
assert get(0, bytes(63)) == errno.EINVAL
assert struct.unpack("=III", get(1, bytes(12))) == (0x010201, 4096, 1)
assert struct.unpack("=III", get(6, bytes(12))) == (900, 120, 300)
assert get(7, bytes(48)) == bytes(48)
web = service(6, "10.0.10.100", 80)
entry = get(3, web + bytes(60))
# As a kernel gave it for a service with the same settings on 10.0.0.100.
golden = bytes.fromhex("060000000a0000640050000000000000776c63000000000000000000000000000300000068010000ffffffff01000000")
assert entry[:48] == golden.replace(bytes([10, 0, 0, 100]), bytes([10, 0, 10, 100])), entry.hex()
assert len(entry) == 104
assert get(2, struct.pack("=II", 1, 0), 112) == struct.pack("=II", 1, 0) + entry
assert get(2, struct.pack("=II", 2, 0), 112) == errno.EINVAL
servers = get(4, web[:4] + web[4:12] + struct.pack("=III", 0, 1, 0)[:12], 120)
golden = "0a00020b1f90000000010000050000000a00000005000000"
golden = bytes.fromhex("0a000a531f90000000000000050000000a00000005000000")
assert servers[24:48] == golden and len(servers) == 120, servers.hex()
assert get(3, service(6, "10.0.10.101", 80) + bytes(60)) == errno.ESRCH
assert get(99 - 40, bytes(8)) == errno.EINVAL

dns = service(17, "10.0.10.100", 53, b"rr", 4)
assert set(2, dns) == 0
assert set(2, dns) == errno.EEXIST
assert set(2, dns[:-1]) == errno.EINVAL
assert set(2, service(47, "10.0.10.100", 53, b"rr")) == errno.EFAULT
assert set(2, service(6, "10.0.10.100", 81, b"nosuch")) == errno.ENOENT
assert set(3, service(6, "10.0.10.100", 81, b"rr")) == errno.ESRCH
assert set(7, dns + server("10.0.10.84", 53)) == 0
assert set(7, dns + server("10.0.10.84", 53)) == errno.EEXIST
assert set(7, dns + server("10.0.10.85", 53, weight=-1)) == errno.ERANGE
assert set(9, dns + server("10.0.10.84", 53, weight=7)) == 0
assert set(7, dns + server("10.0.10.85", 53)) == 0
assert set(8, dns + server("10.0.10.85", 53)) == 0
assert set(8, dns + server("10.0.10.85", 53)) == errno.ENOENT
assert set(10, struct.pack("=iii", 100, 0, 0)) == 0
assert set(10, struct.pack("=iii", -1, 0, 0)) == errno.EINVAL
assert set(15, service(0, "0.0.0.0", 0)) == 0
assert set(15, dns) == 0
assert set(12, struct.pack("=I16sI", 1, b"", 0)) == errno.ESRCH
assert set(1, b"") == errno.EINVAL
# Options that are not IPVS's are the kernel's.
raw.setsockopt(IPPROTO_IP, IP_TTL, 9)
assert raw.getsockopt(IPPROTO_IP, IP_TTL) == 9
