"""Tunnels: every encapsulation, IPv4 and IPv6, inside and outside."""

from frames import fragments, fragments6, pattern, tcp, udp
from scenario import CLIENT, CLIENT6, SERVER, SERVER6, VIP, VIP6, scenario

KINDS = {
    "ipip": "",
    "gue": " --tun-type gue --tun-port 6080",
    "gue-csum": " --tun-type gue --tun-port 6080 --tun-csum",
    "gue-remcsum": " --tun-type gue --tun-port 6080 --tun-remcsum",
    "gre": " --tun-type gre",
    "gre-csum": " --tun-type gre --tun-csum",
}
# What a tunnel adds behind the outer IP header.
ADDED = {"ipip": 0, "gue": 12, "gue-csum": 12, "gue-remcsum": 12, "gre": 4, "gre-csum": 8}


def services(s, vip, server):
    """A TCP and a UDP service on port 4001, 4002, ... for each kind."""
    v = f"[{vip}]" if ":" in vip else vip
    r = f"[{server}]" if ":" in server else server
    for number, (name, words) in enumerate(KINDS.items()):
        port = 4001 + number
        s.note(f"Port {port} is {name}.")
        for protocol in ("tcp", "udp"):
            s.service(protocol, f"{v}:{port}", f"{r}:{port} -i{words}")
    return [(name, 4001 + number) for number, name in enumerate(KINDS)]


def fields(s, client, vip, kinds):
    """What of the inner header goes to the outer one."""
    six = ":" in vip
    c, v = (f"[{client}]", f"[{vip}]") if six else (client, vip)
    for name, port in kinds:
        to = f"{v}:{port}"
        s.title(f"{name}: TCP, UDP with and without a checksum, wrong checksums, no data.")
        s.client(tcp(f"{c}:1001", to, "S"), tcp(f"{c}:1001", to, "A", data=b"odd"))
        s.client(udp(f"{c}:1002", to), udp(f"{c}:1002", to, check=0), udp(f"{c}:1002", to, b""))
        s.client(udp(f"{c}:1002", to, check=0xBEEF), tcp(f"{c}:1001", to, "A", check=0xBEEF))
        if not six:
            s.title(f"{name}: DF clear; identification 0.")
            s.client(udp(f"{c}:1002", to, ip=dict(df=False)))
            s.client(udp(f"{c}:1002", to, ip=dict(df=False, ident=0)))
        s.title(f"{name}: TOS and ECN.")
        for tos in (1, 2, 3, 0xB8, 0xBB):
            s.client(udp(f"{c}:1002", to, ip=dict(tos=tos)))
        if six:
            s.title(f"{name}: a flow label.")
            s.client(udp(f"{c}:1002", to, ip=dict(flow=0xABCDE, tos=0x20)))
        s.title(f"{name}: hops.")
        for ttl in (255, 2, 1):
            s.client(udp(f"{c}:1002", to, ip=dict(ttl=ttl)))
        if not six:
            s.title(f"{name}: inner options.")
            s.client(udp(f"{c}:1002", to, ip=dict(options=b"\1\1\1\0")))
            s.client(udp(f"{c}:1002", to, ip=dict(options=b"\x94\4\0\0", df=False)))
    s.title("A reply that passes the director is routed.")
    s.server(tcp(f"{v}:4001", f"{c}:1001", "SA"), udp(f"{v}:4001", f"{c}:1002"))


def sizes(s, client, vip, kinds, mtu, outer):
    """The largest that fits, one more, much more; DF set and clear."""
    six = ":" in vip
    c, v = (f"[{client}]", f"[{vip}]") if six else (client, vip)
    head = 48 if six else 28
    for name, port in kinds:
        to = f"{v}:{port}"
        fits = mtu - outer - ADDED[name] - head
        s.title(f"{name}: a packet of {fits + head} bytes fits, one more does not.")
        s.client(udp(f"{c}:1002", to, pattern(fits)), udp(f"{c}:1002", to, pattern(fits + 1)))
        s.client(tcp(f"{c}:1001", to, "S"))
        s.client(tcp(f"{c}:1001", to, "A", data=pattern(fits - 12 + 1)))
        if not six:
            s.title(f"{name}: DF clear: the outer packet is fragmented.")
            for length in (fits, fits + 1, 1472):
                s.client(udp(f"{c}:1002", to, pattern(length), ip=dict(df=False)))
            s.client(udp(f"{c}:1002", to, pattern(1200), ip=dict(df=False, options=b"\1\1\1\0")))
        else:
            s.client(udp(f"{c}:1002", to, pattern(1452)))


@scenario
def tun_4in4(s):
    """Tunnels, IPv4 in IPv4: ipip, GUE and GRE with and without checksums."""
    kinds = services(s, VIP, SERVER)
    fields(s, CLIENT, VIP, kinds)
    s.do("connections")
    s.title("The source port of GUE follows the flow.")
    for port in range(1101, 1109):
        s.client(udp(f"{CLIENT}:{port}", f"{VIP}:4002"), udp(f"{CLIENT}:{port}", f"{VIP}:4002"))
    s.do("stats")


@scenario
def tun_4in4_mtu(s):
    """Tunnels, IPv4 in IPv4, where the link to the servers carries 1000 bytes."""
    s.network("ip link set lan1 mtu 1000")
    kinds = services(s, VIP, SERVER)
    sizes(s, CLIENT, VIP, kinds, 1000, 20)
    s.title("Without path MTU discovery DF is not copied, and large packets are fragmented.")
    s.do("sysctl net.ipv4.vs.pmtu_disc=0")
    for _, port in kinds:
        to = f"{VIP}:{port}"
        s.client(udp(f"{CLIENT}:1002", to), udp(f"{CLIENT}:1002", to, pattern(1200)))
    s.client(udp(f"{CLIENT}:1002", f"{VIP}:4001", pattern(1200), ip=dict(df=False)))
    s.do("connections", "stats")


@scenario
def tun_4in4_mtu_1500(s):
    """Tunnels, IPv4 in IPv4, on links that carry 1500 bytes."""
    sizes(s, CLIENT, VIP, services(s, VIP, SERVER), 1500, 20)


@scenario
def tun_4in4_fragments(s):
    """Tunnels, IPv4 in IPv4: packets that come in fragments."""
    for name, port in services(s, VIP, SERVER):
        to = f"{VIP}:{port}"
        whole = udp(f"{CLIENT}:1002", to, pattern(200))
        s.title(f"{name}: two fragments; reversed; three; a small and a large one.")
        s.client(*fragments(whole, 104))
        s.client(*reversed(fragments(whole, 104)))
        s.client(*fragments(whole, 64, 128))
        s.client(*fragments(udp(f"{CLIENT}:1002", to, pattern(1800)), 1480))
        s.client(*fragments(udp(f"{CLIENT}:1002", to, pattern(1800)), 400))
        s.client(*fragments(tcp(f"{CLIENT}:1001", to, "S", data=pattern(100)), 40))


@scenario
def tun_6in6(s):
    """Tunnels, IPv6 in IPv6: ipip, GUE and GRE with and without checksums."""
    kinds = services(s, VIP6, SERVER6)
    fields(s, CLIENT6, VIP6, kinds)
    s.do("connections", "stats")


@scenario
def tun_6in6_mtu(s):
    """Tunnels, IPv6 in IPv6, on links of 1500 bytes."""
    sizes(s, CLIENT6, VIP6, services(s, VIP6, SERVER6), 1500, 40)


@scenario
def tun_6in6_mtu_1400(s):
    """Tunnels, IPv6 in IPv6, where the link to the servers carries 1400 bytes."""
    s.network("ip link set lan1 mtu 1400")
    sizes(s, CLIENT6, VIP6, services(s, VIP6, SERVER6), 1400, 40)


@scenario
def tun_6in6_mtu_1300(s):
    """Tunnels, IPv6 in IPv6, where less than IPv6's least MTU would be left inside."""
    s.network("ip link set lan1 mtu 1300")
    kinds = services(s, VIP6, SERVER6)
    for name, port in kinds:
        to = f"[{VIP6}]:{port}"
        s.title(f"{name}: small, at the limit, beyond it.")
        s.client(udp(f"[{CLIENT6}]:1002", to))
        for length in (1200, 1212 - ADDED[name], 1213 - ADDED[name], 1232, 1233):
            s.client(udp(f"[{CLIENT6}]:1002", to, pattern(length)))


@scenario
def tun_6in4(s):
    """Tunnels, IPv6 in IPv4."""
    kinds = services(s, VIP6, SERVER)
    fields(s, CLIENT6, VIP6, kinds)
    s.do("connections", "stats")
    sizes(s, CLIENT6, VIP6, kinds, 1500, 20)


@scenario
def tun_4in6(s):
    """Tunnels, IPv4 in IPv6."""
    kinds = services(s, VIP, SERVER6)
    fields(s, CLIENT, VIP, kinds)
    s.do("connections", "stats")


@scenario
def tun_4in6_mtu(s):
    """Tunnels, IPv4 in IPv6, on links of 1500 bytes; DF set and clear."""
    sizes(s, CLIENT, VIP, services(s, VIP, SERVER6), 1500, 40)


@scenario
def tun_6_fragments(s):
    """Tunnels, IPv6 in IPv6 and in IPv4: packets that come in fragments."""
    s.service("udp", f"[{VIP6}]:4001", f"[{SERVER6}]:4001 -i")
    s.service("udp", f"[{VIP6}]:4002", f"[{SERVER6}]:4002 -i --tun-type gue --tun-port 6080")
    s.service("udp", f"[{VIP6}]:4003", f"{SERVER}:4003 -i")
    s.service("udp", f"[{VIP6}]:4004", f"{SERVER}:4004 -i --tun-type gre --tun-csum")
    for port in (4001, 4002, 4003, 4004):
        to = f"[{VIP6}]:{port}"
        whole = udp(f"[{CLIENT6}]:1002", to, pattern(200))
        s.title(f"Port {port}: two, reversed, three, and one that fills its link.")
        s.client(*fragments6(whole, 104))
        s.client(*reversed(fragments6(whole, 104, ident=2)))
        s.client(*fragments6(whole, 64, 128, ident=3))
        s.client(*fragments6(udp(f"[{CLIENT6}]:1002", to, pattern(1800)), 1448, ident=4))
        s.client(*fragments6(udp(f"[{CLIENT6}]:1002", to, pattern(1800)), 1240, ident=5))
