"""What the kernel chooses for itself in a frame, set to 0: it differs from run to run."""

from frames import put

OWN = {bytes([10, 0, 1, 1]), bytes([10, 0, 2, 1])}
GUE_PORT = (6080).to_bytes(2, "big")


def masked(whole):
    kind, packet = whole[12:14], whole[14:]
    if kind == b"\x08\x00" and len(packet) >= 20:
        return whole[:14] + masked4(packet)
    if kind == b"\x86\xdd" and len(packet) >= 40:
        return whole[:14] + masked6(packet)
    return whole


def masked4(packet):
    length = (packet[0] & 15) * 4
    source, protocol, ttl = packet[12:16], packet[9], packet[8]
    first = not (packet[6] & 0x1F or packet[7])
    # What the director says itself, and the outer header of tunnels: the identification.
    if source in OWN or protocol == 1 and ttl == 64:
        packet = put(put(packet, 4, b"\0\0"), 10, b"\0\0")
    # The option with the time.
    options = packet[20:length]
    if options[:1] == b"\x44":
        packet = put(put(packet, 20, b"\x44" + bytes(len(options) - 1)), 10, b"\0\0")
    if first and source in OWN and protocol == 17:
        packet = packet[:length] + gue(packet[length:])
    # A reply with the time: its second and third stamp.
    if first and protocol == 1 and packet[length : length + 1] == b"\x0e":
        packet = put(put(packet, length + 2, b"\0\0"), length + 12, bytes(8))
    return packet


def masked6(packet):
    following, at = packet[6], 40
    while following in (0, 43, 44, 60) and len(packet) > at + 8:
        if following == 44:
            packet = put(packet, at + 4, bytes(4))
            if packet[at + 2] or packet[at + 3] & 0xF8:
                return packet
        length = 8 if following == 44 else 8 + packet[at + 1] * 8
        following, at = packet[at], at + length
    if following == 17 and packet[8:24] == bytes.fromhex("fd000002" + 23 * "0" + "1"):
        packet = packet[:at] + gue(packet[at:])
    return packet


def gue(datagram):
    """The source port, which is a hash with a secret, and so the checksum if there is one."""
    if datagram[2:4] != GUE_PORT:
        return datagram
    has_sum = datagram[6:8] != b"\0\0"
    return put(put(datagram, 0, b"\0\0"), 6, b"\0\1" if has_sum else b"\0\0")
