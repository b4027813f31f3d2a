"""Fragments: IPv4 and IPv6, of requests and replies, in every order."""

from frames import fragments, fragments6, ip4, pattern, put, tcp, udp
from scenario import CLIENT, CLIENT6, SERVER, SERVER6, VIP, VIP6, scenario


def orders(s, send, whole, cut):
    """The usual lot of a packet; `cut` makes the pieces."""

    def pieces(*cuts):
        return cut(whole, *cuts, ident=s.ident() & 0xFFFF)

    s.note("two, in order")
    send(*pieces(104))
    s.note("two, reversed")
    send(*reversed(pieces(104)))
    s.note("three, in order")
    send(*pieces(64, 128))
    s.note("three: last, first, middle")
    first, middle, last = pieces(64, 128)
    send(last, first, middle)
    s.note("three: middle, last, first")
    first, middle, last = pieces(64, 128)
    send(middle, last, first)
    s.note("a duplicate of the first, of the last")
    first, last = pieces(104)
    send(first, first, last)
    first, last = pieces(104)
    send(last, last, first)
    s.note("pieces of eight bytes at first")
    send(*pieces(8, 16, 24))
    s.note("eight bytes at last")
    send(*pieces(200))
    s.note("after it is complete, one piece again: waits for ever")
    first, last = pieces(104)
    send(first, last, last)


def overlaps(s, send, whole, cut, head):
    """Pieces that overlap, have a hole, end twice or go on behind the end."""

    def pieces(*cuts):
        return cut(whole, *cuts, ident=s.ident() & 0xFFFF)

    s.note("overlap: 0 to 104, 96 to the end")
    ident = s.ident()
    send(cut(whole, 104, ident=ident)[0], cut(whole, 96, ident=ident)[1])
    s.note("overlap: 0 to 96 inside 0 to 104, then the rest")
    ident = s.ident()
    send(cut(whole, 96, ident=ident)[0], *cut(whole, 104, ident=ident))
    s.note("a hole that stays")
    first, middle, last = pieces(64, 128)
    send(first, last)
    s.note("two ends that differ")
    ident = s.ident()
    short, long = cut(whole[:-16], 104, ident=ident), cut(whole, 104, ident=ident)
    send(short[1], long[1], long[0])
    s.note("no first piece at all; only a first piece")
    send(pieces(104)[1])
    send(pieces(104)[0])


@scenario
def fragments_nat(s):
    """NAT, IPv4: requests and replies in fragments."""
    s.service("udp", f"{VIP}:53", f"{SERVER}:5353 -m")
    s.service("tcp", f"{VIP}:80", f"{SERVER}:8080 -m")
    c, v, r = f"{CLIENT}:1001", f"{VIP}:53", f"{SERVER}:5353"
    s.title("UDP requests.")
    orders(s, s.client, udp(c, v, pattern(200)), fragments)
    overlaps(s, s.client, udp(c, v, pattern(200)), fragments, 20)
    s.title("UDP replies.")
    orders(s, s.server, udp(r, c, pattern(200)), fragments)
    overlaps(s, s.server, udp(r, c, pattern(200)), fragments, 20)
    s.title("TCP requests, the first of them a SYN with data; replies.")
    orders(s, s.client, tcp(c, f"{VIP}:80", "S", data=pattern(188)), fragments)
    orders(s, s.server, tcp(f"{SERVER}:8080", c, "A", data=pattern(188)), fragments)
    s.title("UDP without a checksum, with a wrong one; TOS, TTL 2, TTL 1.")
    for more in (
        dict(check=0),
        dict(check=0xBEEF),
        dict(ip=dict(tos=0xB8)),
        dict(ip=dict(ttl=2)),
        dict(ip=dict(ttl=1)),
    ):
        s.client(*fragments(udp(c, v, pattern(200), **more), 104, ident=s.ident()))
        s.server(*fragments(udp(r, c, pattern(200), **more), 104, ident=s.ident()))
    s.title("With options.")
    s.client(
        *fragments(udp(c, v, pattern(200), ip=dict(options=b"\x94\4\0\0")), 104, ident=s.ident())
    )
    s.client(
        *fragments(udp(c, v, pattern(200), ip=dict(options=b"\1\1\1\0")), 104, ident=s.ident())
    )
    s.title("DF set in every piece, in the first only.")
    first, last = fragments(udp(c, v, pattern(200)), 104, ident=s.ident())
    df = [
        ip4(CLIENT, VIP, 17, p[20:], ident=0x7777, mf=bool(p[6] & 0x20), offset=(p[7] * 8))
        for p in (first, last)
    ]
    s.client(*df)
    first, last = fragments(udp(c, v, pattern(200)), 104, ident=0x7778)
    s.client(ip4(CLIENT, VIP, 17, first[20:], ident=0x7778, mf=True), last)
    s.title("TOS differs between the pieces: ECN joins.")
    for tos in ((0, 2), (1, 2), (2, 3), (0, 3), (0x10, 0x20)):
        ident = s.ident()
        pieces = fragments(udp(c, v, pattern(200)), 104, ident=ident)
        s.client(
            *(
                ip4(
                    CLIENT,
                    VIP,
                    17,
                    p[20:],
                    ident=ident,
                    df=False,
                    tos=t,
                    mf=bool(p[6] & 0x20),
                    offset=p[7] * 8,
                )
                for p, t in zip(pieces, tos)
            )
        )
    s.title("Two datagrams in turn; the same identification from two clients.")
    a = fragments(udp(c, v, pattern(200)), 104, ident=501)
    b = fragments(udp(c, v, pattern(100)), 64, ident=502)
    s.client(a[0], b[0], a[1], b[1])
    a = fragments(udp(c, v, pattern(200)), 104, ident=503)
    b = fragments(udp("10.0.1.3:1001", v, pattern(200)), 104, ident=503)
    s.client(a[0], b[1], b[0], a[1])
    s.title("Large: 3000 bytes, a piece of another size at the end, the largest there is.")
    s.client(*fragments(udp(c, v, pattern(3000)), 1480, 2960, ident=s.ident()))
    s.server(*fragments(udp(r, c, pattern(3000)), 1480, 2960, ident=s.ident()))
    s.client(*fragments(udp(c, v, pattern(3000)), 800, 2200, ident=s.ident()))
    s.title("Behind the end of any packet; less than eight bytes in a piece that is not last.")
    s.client(ip4(CLIENT, VIP, 17, pattern(64), ident=0x7779, df=False, offset=65528))
    s.client(ip4(CLIENT, VIP, 17, pattern(12), ident=0x777A, df=False, mf=True))
    s.client(ip4(CLIENT, VIP, 17, b"", ident=0x777B, df=False, mf=True, offset=8))
    s.title("To a closed port, to the director, without a service, echo.")
    s.client(*fragments(udp(c, f"{VIP}:999", pattern(200)), 104, ident=s.ident()))
    s.client(*fragments(tcp(c, f"{VIP}:999", "S", data=pattern(100)), 64, ident=s.ident()))
    s.client(*fragments(udp(c, "10.0.1.1:999", pattern(200)), 104, ident=s.ident()))
    s.title(
        "Routed: a reply of nothing known, a request without a service; both orders, a lone piece."
    )
    s.server(*fragments(udp(f"{SERVER}:7", c, pattern(200)), 104, ident=s.ident()))
    s.server(*reversed(fragments(udp(f"{SERVER}:7", c, pattern(200)), 104, ident=s.ident())))
    s.server(fragments(udp(f"{SERVER}:7", c, pattern(200)), 104, ident=s.ident())[1])
    s.client(*fragments(udp(c, f"{SERVER}:7", pattern(200)), 104, ident=s.ident()))
    s.client(*reversed(fragments(udp(c, f"{SERVER}:7", pattern(200)), 104, ident=s.ident())))
    s.client(fragments(udp(c, f"{SERVER}:7", pattern(200)), 104, ident=s.ident())[1])
    s.do("connections", "stats")


@scenario
def fragments_dr(s):
    """DR, IPv4: requests in fragments."""
    s.service("udp", f"{VIP}:53", f"{SERVER} -g")
    s.service("tcp", f"{VIP}:80", f"{SERVER} -g")
    c = f"{CLIENT}:1001"
    s.title("UDP.")
    orders(s, s.client, udp(c, f"{VIP}:53", pattern(200)), fragments)
    overlaps(s, s.client, udp(c, f"{VIP}:53", pattern(200)), fragments, 20)
    s.title("TCP.")
    orders(s, s.client, tcp(c, f"{VIP}:80", "S", data=pattern(188)), fragments)
    s.title("Without a server.")
    s.service("udp", f"{VIP}:54")
    s.client(*fragments(udp(c, f"{VIP}:54", pattern(200)), 104, ident=s.ident()))
    s.client(*fragments(udp(c, f"{VIP}:54", pattern(1000)), 504, ident=s.ident()))
    s.do("connections", "stats")


@scenario
def fragments_6(s):
    """IPv6 NAT and DR: requests and replies in fragments."""
    s.service("udp", f"[{VIP6}]:53", f"[{SERVER6}]:5353 -m")
    s.service("tcp", f"[{VIP6}]:80", f"[{SERVER6}]:8080 -m")
    s.service("udp", f"[{VIP6}]:54", "[fd00:2::c]:54 -g")
    c, v, r = f"[{CLIENT6}]:1001", f"[{VIP6}]:53", f"[{SERVER6}]:5353"
    s.title("UDP requests.")
    orders(s, s.client, udp(c, v, pattern(200)), fragments6)
    overlaps(s, s.client, udp(c, v, pattern(200)), fragments6, 40)
    s.title("UDP replies.")
    orders(s, s.server, udp(r, c, pattern(200)), fragments6)
    overlaps(s, s.server, udp(r, c, pattern(200)), fragments6, 40)
    s.title("TCP requests, the first of them a SYN with data; replies.")
    orders(s, s.client, tcp(c, f"[{VIP6}]:80", "S", data=pattern(188)), fragments6)
    orders(s, s.server, tcp(f"[{SERVER6}]:8080", c, "A", data=pattern(188)), fragments6)
    s.title("DR.")
    orders(s, s.client, udp(c, f"[{VIP6}]:54", pattern(200)), fragments6)
    s.title("A hop-by-hop header in front; hop limit 1; traffic class.")
    hop = bytes([0]) + b"\1\4\0\0\0\0"
    whole = udp(c, v, pattern(200), ip=dict(chain=[(0, hop)]))
    s.client(*fragments6(whole, 104, ident=s.ident(), head=48))
    s.client(*fragments6(udp(c, v, pattern(200), ip=dict(ttl=1)), 104, ident=s.ident()))
    s.client(
        *fragments6(udp(c, v, pattern(200), ip=dict(tos=0xB8, flow=0xABCDE)), 104, ident=s.ident())
    )
    s.title("Large; a piece whose length is no multiple of eight; beyond the largest packet.")
    s.client(*fragments6(udp(c, v, pattern(3000)), 1448, 2896, ident=s.ident()))
    s.server(*fragments6(udp(r, c, pattern(3000)), 1448, 2896, ident=s.ident()))
    odd = fragments6(udp(c, v, pattern(200)), 104, ident=s.ident())[0][:-4]
    s.client(put(odd, 4, (len(odd) - 40).to_bytes(2, "big")))
    s.client(put(fragments6(udp(c, v, pattern(200)), 104, ident=s.ident())[1], 42, b"\xff\xf8"))
    s.title("To closed ports, to the director, routed; a lone later piece.")
    s.client(*fragments6(udp(c, f"[{VIP6}]:999", pattern(200)), 104, ident=s.ident()))
    s.client(*fragments6(tcp(c, f"[{VIP6}]:999", "S", data=pattern(100)), 64, ident=s.ident()))
    s.client(*fragments6(udp(c, "[fd00:1::1]:999", pattern(200)), 104, ident=s.ident()))
    s.client(*fragments6(udp(c, "[fd00:2::e]:7", pattern(200)), 104, ident=s.ident()))
    s.client(*reversed(fragments6(udp(c, "[fd00:2::e]:7", pattern(200)), 104, ident=s.ident())))
    s.client(fragments6(udp(c, "[fd00:2::e]:7", pattern(200)), 104, ident=s.ident())[1])
    s.server(*fragments6(udp("[fd00:2::e]:7", c, pattern(200)), 104, ident=s.ident()))
    s.do("connections", "stats")
