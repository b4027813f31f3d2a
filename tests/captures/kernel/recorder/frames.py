"""Frames from words, and words from frames.

Addresses say the family. An end is `10.0.1.2:1001` or `[fd00:1::2]:1001`. What builds a packet
takes the IP header's fields as `ip=dict(ttl=1)`. Wrong lengths and checksums can be asked for.
"""

import ipaddress, struct

MACS = {"lan0": bytes.fromhex("020000000061"), "lan1": bytes.fromhex("020000000161")}
NAMES = {1: "icmp", 6: "tcp", 17: "udp", 50: "esp", 51: "ah", 58: "icmp6", 132: "sctp"}
FLAGS = "FSRPAUEC"


def packed(address):
    return ipaddress.ip_address(address).packed


def end(text):
    address, port = text.rsplit(":", 1)
    return address.strip("[]"), int(port)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def pattern(length):
    return bytes(i % 256 for i in range(length))


def put(data, at, more):
    return data[:at] + more + data[at + len(more) :]


# --- headers -----------------------------------------------------------------------------------


def ip4(
    src,
    dst,
    protocol,
    body,
    ttl=64,
    tos=0,
    ident=0x1234,
    df=True,
    mf=False,
    offset=0,
    options=b"",
    total=None,
    check=None,
    ihl=None,
    version=4,
):
    options += b"\0" * (-len(options) % 4)
    length = 20 + len(options)
    bits = (0x4000 if df else 0) | (0x2000 if mf else 0) | offset // 8
    head = struct.pack(
        "!BBHHHBBH",
        version << 4 | (length // 4 if ihl is None else ihl),
        tos,
        length + len(body) if total is None else total,
        ident,
        bits,
        ttl,
        protocol,
        0,
    )
    head += packed(src) + packed(dst) + options
    return put(head, 10, struct.pack("!H", checksum(head) if check is None else check)) + body


def ip6(src, dst, next_header, body, ttl=64, tos=0, flow=0, length=None, chain=()):
    """`chain`: extension headers in front of the body, as (number, bytes behind "next header")."""
    numbers = [number for number, _ in chain] + [next_header]
    extension = b"".join(
        bytes([following]) + data for (_, data), following in zip(chain, numbers[1:])
    )
    body = extension + body
    head = struct.pack(
        "!IHBB",
        6 << 28 | tos << 20 | flow,
        len(body) if length is None else length,
        numbers[0],
        ttl,
    )
    return head + packed(src) + packed(dst) + body


def packet(src, dst, protocol, body, ip=None):
    return (ip6 if ":" in dst else ip4)(src, dst, protocol, body, **(ip or {}))


def pseudo(src, dst, protocol, length):
    if ":" in dst:
        return packed(src) + packed(dst) + struct.pack("!II", length, protocol)
    return packed(src) + packed(dst) + struct.pack("!BBH", 0, protocol, length)


# --- what is in them ---------------------------------------------------------------------------


def segment(
    src,
    dst,
    flags="S",
    seq=1000,
    ack=0,
    data=b"",
    options=b"",
    window=8192,
    urgent=0,
    check=None,
    offset=None,
):
    (source, sport), (destination, dport) = end(src), end(dst)
    options += b"\0" * (-len(options) % 4)
    bits = sum(1 << FLAGS.index(flag) for flag in flags if flag != "-")
    words = 5 + len(options) // 4 if offset is None else offset
    body = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, words << 4, bits, window, 0, urgent)
    body += options + data
    if check is None:
        check = checksum(pseudo(source, destination, 6, len(body)) + body)
    return put(body, 16, struct.pack("!H", check))


def tcp(src, dst, flags="S", ip=None, **fields):
    return packet(end(src)[0], end(dst)[0], 6, segment(src, dst, flags, **fields), ip)


def datagram(src, dst, data=b"data", check=None, length=None):
    (source, sport), (destination, dport) = end(src), end(dst)
    body = struct.pack("!HHHH", sport, dport, 8 + len(data) if length is None else length, 0) + data
    if check is None:
        check = checksum(pseudo(source, destination, 17, len(body)) + body) or 0xFFFF
    return put(body, 6, struct.pack("!H", check))


def udp(src, dst, data=b"data", ip=None, **fields):
    return packet(end(src)[0], end(dst)[0], 17, datagram(src, dst, data, **fields), ip)


def chunk(kind, value=b"", flags=0):
    return struct.pack("!BBH", kind, flags, 4 + len(value)) + value + b"\0" * (-len(value) % 4)


def sctp_body(sport, dport, chunks, tag=0x01020304, crc=None):
    body = struct.pack("!HHII", sport, dport, tag, 0) + b"".join(chunks)
    return put(body, 8, struct.pack("<I", crc32c(body) if crc is None else crc))


def sctp(src, dst, chunks, ip=None, **fields):
    (source, sport), (destination, dport) = end(src), end(dst)
    return packet(source, destination, 132, sctp_body(sport, dport, chunks, **fields), ip)


def icmp(src, dst, kind, code=0, rest=0, body=b"", ip=None, check=None):
    """ICMP or ICMPv6, as the addresses say."""
    six = ":" in dst
    data = struct.pack("!BBHI", kind, code, 0, rest) + body
    if check is None:
        check = checksum((pseudo(src, dst, 58, len(data)) if six else b"") + data)
    return packet(src, dst, 58 if six else 1, put(data, 2, struct.pack("!H", check)), ip)


def fragments(whole, *cuts, ident=0x7701):
    """An IPv4 packet in pieces; `cuts` are offsets in its payload."""
    header, body = whole[: (whole[0] & 15) * 4], whole[(whole[0] & 15) * 4 :]
    pieces = []
    for start, stop in zip((0, *cuts), (*cuts, len(body))):
        bits = start // 8 | (0x2000 if stop < len(body) else 0)
        head = put(
            put(header, 2, struct.pack("!H", len(header) + stop - start)),
            4,
            struct.pack("!HH", ident, bits),
        )
        head = put(head, 10, b"\0\0")
        pieces.append(put(head, 10, struct.pack("!H", checksum(head))) + body[start:stop])
    return pieces


def fragments6(whole, *cuts, ident=0x77010203, head=40):
    """An IPv6 packet in pieces; the `head` bytes in front of the fragment header are in each."""
    front, body = whole[:head], whole[head:]
    at = 6 if head == 40 else 40  # one extension header at most
    pieces = []
    for start, stop in zip((0, *cuts), (*cuts, len(body))):
        extra = struct.pack("!BBHI", front[at], 0, start | (stop < len(body)), ident)
        piece = put(front, at, b"\x2c") + extra + body[start:stop]
        pieces.append(put(piece, 4, struct.pack("!H", len(piece) - 40)))
    return pieces


def mac(interface, address):
    """Whoever sends with this address: on the link, or the router."""
    number = int(interface[3])
    raw = packed(address)
    near = (
        raw[:3] == bytes([10, 0, number + 1])
        if len(raw) == 4
        else (raw[:8] == packed(f"fd00:{number + 1}::")[:8])
    )
    return bytes([2, 0, 0, 0, number + 1, raw[-1] if near else 254])


def frame(interface, payload, padding=b"", sender=None):
    six = payload[0] >> 4 == 6
    raw = payload[8:24] if six else payload[12:16]
    source = mac(interface, sender or str(ipaddress.ip_address(raw)))
    return MACS[interface] + source + (b"\x86\xdd" if six else b"\x08\x00") + payload + padding


# --- words from frames -------------------------------------------------------------------------


def describe(whole):
    """One line about a frame: for people, not for programs."""
    kind = whole[12:14]
    try:
        if kind == b"\x08\x00":
            return about4(whole[14:])
        if kind == b"\x86\xdd":
            return about6(whole[14:])
    except (IndexError, struct.error, ValueError):
        return "cut off"
    return f"type {kind.hex()}"


def about4(data, inside=False):
    length = (data[0] & 15) * 4
    total, ident, bits = struct.unpack("!HHH", data[2:8])
    src, dst = (str(ipaddress.ip_address(data[at : at + 4])) for at in (12, 16))
    words = [f"len={total}"]
    words += [f"tos={data[1]:#x}"] * (data[1] != 0) + [f"id={ident:#x}"] * (ident != 0x1234)
    words += ["DF"] * bool(bits & 0x4000) + ["MF"] * bool(bits & 0x2000)
    words += [f"offset={(bits & 0x1FFF) * 8}"] * bool(bits & 0x1FFF)
    words += [f"ttl={data[8]}"] + [f"options={data[20:length].hex()}"] * (length > 20)
    words += ["IP-CHECKSUM-WRONG"] * (checksum(data[:length]) != 0)
    body = data[length:total]
    trailer = len(data) - total
    words += [f"trailer={trailer}"] * (trailer > 0 and not inside)
    complete = not bits & 0x3FFF and len(data) >= total
    rest = about(data[9], src, dst, body, not bits & 0x1FFF, complete)
    return f"{rest} ({' '.join(words)})"


def about6(data, inside=False):
    first, length, following, hops = struct.unpack("!IHBB", data[:8])
    src, dst = (str(ipaddress.ip_address(data[at : at + 16])) for at in (8, 24))
    words = [f"len={length}"]
    words += [f"tos={first >> 20 & 255:#x}"] * bool(first >> 20 & 255)
    words += [f"flow={first & 0xFFFFF:#x}"] * bool(first & 0xFFFFF) + [f"ttl={hops}"]
    trailer = len(data) - 40 - length
    words += [f"trailer={trailer}"] * (trailer > 0 and not inside)
    body, has_head, complete = data[40 : 40 + length], True, len(data) >= 40 + length
    while following in (0, 43, 44, 60) and len(body) >= 8:
        if following == 44:
            bits, ident = struct.unpack("!HI", body[2:8])
            words += [f"fragment {bits & 0xFFF8}{'+' if bits & 1 else ''} id={ident:#x}"]
            has_head, complete = bits < 8, complete and bits == 0
            following, body = body[0], body[8:]
        else:
            words += [
                {0: "hop-by-hop", 43: f"routing {body[2]}/{body[3]}", 60: "options"}[following]
            ]
            following, body = body[0], body[8 + body[1] * 8 :]
    return f"{about(following, src, dst, body, has_head, complete)} ({' '.join(words)})"


def about(protocol, src, dst, body, has_head, complete):
    name = NAMES.get(protocol, f"protocol {protocol}")
    if not has_head:
        return f"{name} {src} > {dst} later fragment"
    wrong = ""
    if complete and protocol in (6, 17, 58):
        wrong = " WRONG-CHECKSUM" * (checksum(pseudo(src, dst, protocol, len(body)) + body) != 0)
        wrong = wrong if protocol != 17 or body[6:8] != b"\0\0" else " no checksum"
    if complete and protocol == 1:
        wrong = " WRONG-CHECKSUM" * (checksum(body) != 0)
    if complete and protocol == 132:
        wrong = " WRONG-CHECKSUM" * (
            struct.pack("<I", crc32c(put(body, 8, bytes(4)))) != body[8:12]
        )
    if protocol in (4, 41):
        return f"{src} > {dst} tunnel [{(about4 if protocol == 4 else about6)(body)}]"
    if protocol == 47:
        (kind,) = struct.unpack("!H", body[2:4])
        skip = 8 if body[0] & 0x80 else 4
        inner = (about4 if kind == 0x800 else about6)(body[skip:])
        return f"{src} > {dst} gre {body[:skip].hex()} [{inner}]"
    if protocol in (1, 58):
        kind, code, _, rest = struct.unpack("!BBHI", body[:8])
        text = f"{name} {src} > {dst} {kind}/{code} rest={rest:#x}{wrong}"
        if protocol == 1 and kind in (3, 4, 5, 11, 12) or protocol == 58 and kind < 5:
            try:
                text += f" [{(about4 if protocol == 1 else about6)(body[8:], True)}]"
            except (IndexError, struct.error, ValueError):
                text += " [cut off]"
        return text
    if protocol not in (6, 17, 132) or len(body) < 4:
        return f"{name} {src} > {dst} {len(body)} bytes"
    sport, dport = struct.unpack("!HH", body[:4])
    b6 = "[%s]:%d" if ":" in src else "%s:%d"
    text = f"{name} {b6 % (src, sport)} > {b6 % (dst, dport)}"
    if protocol == 6 and len(body) >= 20:
        flags = "".join(f for i, f in enumerate(FLAGS) if body[13] >> i & 1) or "none"
        seq, ack = struct.unpack("!II", body[4:12])
        text += f" [{flags}] seq={seq} ack={ack} data={len(body) - (body[12] >> 4) * 4}"
    if protocol == 17 and dport == 6080 and len(body) > 32 and body[8:9] == b"\0":
        inner = (about4 if body[12] >> 4 == 4 else about6)(body[12:])
        return f"{text} gue {body[8:12].hex()}{wrong} [{inner}]"
    if protocol == 132 and len(body) > 12:
        text += f" chunk={body[12]}"
    return text + wrong
