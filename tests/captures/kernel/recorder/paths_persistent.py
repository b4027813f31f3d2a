"""Templates, marks, one packet at a time, calls: what a director remembers of its clients."""

from frames import icmp, tcp, udp
from scenario import CLIENT, CLIENT6, SERVER, SERVER6, VIP, VIP6, scenario

FAR = "192.168.7"


def pair(method, port="", six=False):
    servers = ("[fd00:2::b]", "[fd00:2::c]") if six else ("10.0.2.11", "10.0.2.12")
    return [f"{server}{port} {method}" for server in servers]


def syn(s, client, *ports, vip=VIP):
    for port in ports:
        s.client(tcp(client, f"{vip}:{port}", "S"))


@scenario
def persistent_kinds(s):
    """Whose template a packet has: one port, all ports, FTP, masks; NAT and DR."""
    s.network("ip route add 192.168.0.0/16 via 10.0.1.254")
    s.service("tcp", f"{VIP}:80", *pair("-m", ":8080"), more=" -p 100")
    s.service("tcp", f"{VIP}:81", *pair("-g"), more=" -p 100 -M 255.255.255.0")
    s.service("tcp", f"{VIP}:82", *pair("-m", ":0"), more=" -p 100 -M 255.255.0.255")
    s.service("tcp", f"{VIP}:21", *pair("-g"), more=" -p 300")
    s.service("tcp", f"{VIP}:0", *pair("-g"), more=" -p 200")
    s.service("udp", f"{VIP}:0", *pair("-m", ":9"), more=" -p 60")
    s.title("One port, with a server port of its own; another client.")
    for source in (f"{CLIENT}:1001", f"{CLIENT}:1002", "10.0.1.3:1001", f"{CLIENT}:1003"):
        syn(s, source, 80)
    s.title("Masks.")
    for last in ("1", "200", "77"):
        syn(s, f"{FAR}.{last}:1001", 81, 82)
    syn(s, "192.168.8.1:1001", 81, 82)
    s.title("All ports; a port that has its own service; UDP has its own templates.")
    syn(s, f"{CLIENT}:1011", 8000, 80, 443, 999)
    syn(s, "10.0.1.3:1011", 443, 8000)
    s.client(udp(f"{CLIENT}:1012", f"{VIP}:53"), udp(f"{CLIENT}:1012", f"{VIP}:123"))
    s.client(udp("10.0.1.3:1012", f"{VIP}:53"))
    s.title("FTP: control, then data of a passive and an active server, and what is neither.")
    syn(s, f"{CLIENT}:1021", 21, 50000, 1024, 1023, 20)
    syn(s, "10.0.1.3:20", 21)
    s.do("connections", "persistent", "stats")


@scenario
def persistent_kinds_6(s):
    """The same in IPv6, and by tunnels to servers of the other family."""
    s.service("tcp", f"[{VIP6}]:80", *pair("-m", ":8080", six=True), more=" -p 100")
    s.service("tcp", f"[{VIP6}]:81", *pair("-g", six=True), more=" -p 100 -M 64")
    s.service("tcp", f"[{VIP6}]:0", *pair("-i"), more=" -p 100 -M 127")
    s.service("tcp", f"{VIP}:80", *pair("-i", six=True), more=" -p 100")
    for client in (CLIENT6, "fd00:1::3", "fd00:1::4"):
        for port in (1001, 1002):
            for vport in (80, 81, 443):
                s.client(tcp(f"[{client}]:{port}", f"[{VIP6}]:{vport}", "S"))
    s.client(tcp(f"{CLIENT}:1001", f"{VIP}:80", "S"), tcp("10.0.1.3:1001", f"{VIP}:80", "S"))
    s.do("connections", "persistent", "stats")


@scenario
def persistent_life(s):
    """A template's timer: new connections restart it, packets do not; it outlives its time while
    connections depend on it."""
    s.service("udp", f"{VIP}:53", *pair("-m"), more=" -p 20")
    s.service("tcp", f"{VIP}:80", *pair("-m"), more=" -p 6")
    s.do("--set 0 0 12")
    s.title("Nothing but packets of a known connection.")
    s.client(udp(f"{CLIENT}:1001", f"{VIP}:53"))
    s.do("wait 8")
    s.client(udp(f"{CLIENT}:1001", f"{VIP}:53"))
    s.do("wait 4", "connections")
    s.title("A new connection restarts it; after a reply it is assured.")
    s.client(udp(f"{CLIENT}:1002", f"{VIP}:53"))
    for server in (SERVER, "10.0.2.12"):
        s.server(udp(f"{server}:53", f"{CLIENT}:1002"))
    s.do("connections")
    s.title("Connections gone, the template stays, and then not.")
    s.do("wait 17", "connections", "wait 11", "connections")
    s.title("It outlives its time for the connection under it, by a minute.")
    c, v = f"{CLIENT}:2001", f"{VIP}:80"
    s.client(tcp(c, v, "S"))
    s.do("wait 12", "connections")
    s.title("The next connection restarts it with that minute.")
    s.client(tcp(f"{CLIENT}:2002", v, "S"))
    s.do("connections", "persistent")
    s.title("Established by the server's answer, assured.")
    for server in (SERVER, "10.0.2.12"):
        s.server(tcp(f"{server}:80", f"{CLIENT}:2002", "SA", ack=1001))
    s.client(tcp(f"{CLIENT}:2002", v, "A", seq=1001, ack=5001))
    s.do("connections")
    s.title("SYN on connections that are over, under a template: they go on.")
    s.client(tcp(f"{CLIENT}:2002", v, "R", seq=1001), tcp(f"{CLIENT}:2002", v, "S", seq=9000))
    s.do("connections", "stats")
    s.title("Another time for new templates only.")
    s.do(f"-E -t {VIP}:80 -s rr -p 500")
    s.client(tcp(f"{CLIENT}:2003", v, "S"), tcp("10.0.1.3:2003", v, "S"))
    s.do("connections")


@scenario
def persistent_servers(s):
    """Servers with weight 0, overloaded, removed, returned, and no server at all."""
    s.service("tcp", f"{VIP}:80", *pair("-m", ":8080"), "10.0.2.13:8080 -m", more=" -p 100")
    clients = [f"10.0.1.{last}" for last in range(2, 8)]
    for client in clients:
        syn(s, f"{client}:1001", 80)
    s.title("Weight 0: templates lead there all the same.")
    s.do(f"-e -t {VIP}:80 -r 10.0.2.12:8080 -m -w 0")
    for client in [*clients, "10.0.1.8", "10.0.1.9"]:
        syn(s, f"{client}:1002", 80)
    s.do("connections", "persistent")
    s.title("Unless they are told not to: they are buried.")
    s.do("sysctl net.ipv4.vs.expire_quiescent_template=1")
    for client in clients:
        syn(s, f"{client}:1003", 80)
    s.do("connections", "persistent")
    s.title("A removed server: buried too, and not revived when it returns.")
    s.do(f"-d -t {VIP}:80 -r 10.0.2.11:8080")
    for client in clients:
        syn(s, f"{client}:1004", 80)
    s.do(f"-a -t {VIP}:80 -r 10.0.2.11:8080 -m")
    for client in clients:
        syn(s, f"{client}:1005", 80)
    s.do("connections", "persistent")
    s.title("Overload: templates do not look at it.")
    s.do(f"-e -t {VIP}:80 -r 10.0.2.13:8080 -m -x 1")
    for client in [*clients, "10.0.1.10", "10.0.1.11"]:
        syn(s, f"{client}:1006", 80)
    s.title("expire_nodest_conn: a SYN to a server with weight 0 begins anew.")
    s.do("sysctl net.ipv4.vs.expire_nodest_conn=1")
    for client in clients[:2]:
        syn(s, f"{client}:1002", 80)
    s.title("No server.")
    for last in (11, 12, 13):
        s.do(f"-d -t {VIP}:80 -r 10.0.2.{last}:8080")
    syn(s, "10.0.1.12:1001", 80)
    s.do("wait 1")
    syn(s, f"{CLIENT}:1007", 80)
    s.do(f"-D -t {VIP}:80")
    syn(s, f"{CLIENT}:1008", 80)


@scenario
def one_packet(s):
    """One packet at a time: nothing is remembered, but templates."""
    s.service("udp", f"{VIP}:53", *pair("-g"), more=" -o")
    s.service("udp", f"{VIP}:54", *pair("-m"), more=" -o -p 100")
    s.service("udp", f"{VIP}:55", "10.0.2.11:55 -m -x 1", "10.0.2.12:55 -m -x 1", more=" -o")
    for vport in (53, 54, 55):
        for source in (f"{CLIENT}:1001", f"{CLIENT}:1001", f"{CLIENT}:1002", "10.0.1.3:1001"):
            s.client(udp(source, f"{VIP}:{vport}"))
        s.server(udp(f"{SERVER}:{vport}", f"{CLIENT}:1001"))
    s.do("connections", "persistent", "stats")


@scenario
def marks(s):
    """Services of a mark: ports, protocols, NAT and DR, persistent and not."""
    s.service("tcp", f"{VIP}:80", "10.0.2.18 -g")
    s.do("-A -f 10 -s rr -p 150")
    s.do(*(f"-a -f 10 -r {server}" for server in pair("-g")))
    s.title("No mark: the service of the address, and none.")
    syn(s, f"{CLIENT}:1001", 80, 443)
    s.title("A mark without a service.")
    s.do("mark lan0 9")
    syn(s, f"{CLIENT}:1002", 80, 443)
    s.title("One client, one server, whatever it asks for.")
    s.do("mark lan0 10")
    for client in (CLIENT, "10.0.1.3", "10.0.1.4"):
        syn(s, f"{client}:1003", 80, 443, 22)
        s.client(udp(f"{client}:1003", f"{VIP}:53"))
    s.client(tcp(f"{CLIENT}:1004", f"{VIP}:80", "A"), tcp(f"{CLIENT}:20", f"{VIP}:80", "S"))
    s.client(udp(f"{CLIENT}:1003", f"{VIP}:0"))
    s.do("connections", "persistent")
    s.title("NAT: persistent, the port stays whatever the server's is.")
    s.do("-A -f 11 -s rr -p 150", "-a -f 11 -r 10.0.2.14:8080 -m", "-a -f 11 -r 10.0.2.15:0 -m")
    s.do("mark lan0 11")
    for client in (CLIENT, "10.0.1.3"):
        syn(s, f"{client}:1005", 80, 443)
    s.title("NAT, not persistent: the server's port, or else the packet's.")
    s.do("-A -f 12 -s rr", "-a -f 12 -r 10.0.2.16:8080 -m", "-a -f 12 -r 10.0.2.17:0 -m")
    s.do("mark lan0 12")
    for port in (1006, 1007):
        syn(s, f"{CLIENT}:{port}", 80, 443)
        s.client(udp(f"{CLIENT}:{port}", f"{VIP}:53"))
    s.server(tcp("10.0.2.16:8080", f"{CLIENT}:1006", "SA"))
    s.title("A large mark, one packet at a time.")
    s.do("-A -f 4000000000 -s rr -o -p 60", "-a -f 4000000000 -r 10.0.2.19 -g")
    s.do("mark lan0 4000000000")
    s.client(udp(f"{CLIENT}:1008", f"{VIP}:53"))
    syn(s, f"{CLIENT}:1008", 80)
    s.title("IPv6 has its own services of a mark.")
    s.do("mark lan0 10")
    s.client(tcp(f"[{CLIENT6}]:1001", f"[{VIP6}]:80", "S"))
    s.do("-A -f 10 -6 -s rr -p 150 -M 64", "-a -f 10 -6 -r [fd00:2::b]:0 -m")
    for client in (CLIENT6, "fd00:1::3"):
        s.client(tcp(f"[{client}]:1002", f"[{VIP6}]:80", "S"))
        s.client(tcp(f"[{client}]:1002", f"[{VIP6}]:443", "S"))
    s.title("Edited and deleted: buried.")
    s.do("-d -f 10 -r 10.0.2.12")
    syn(s, f"{CLIENT}:1009", 80)
    syn(s, "10.0.1.3:1009", 80)
    s.do("connections", "persistent", "stats")


@scenario
def intercepted(s):
    """Marked packets for others are the director's own: transparent caches, and their bypass."""
    s.do("intercept 10")
    s.do("-A -f 10 -s rr", "-a -f 10 -r 10.0.2.14 -g", "-a -f 10 -r 10.0.2.15 -g")
    s.title("No mark: routed.")
    s.client(tcp(f"{CLIENT}:1001", "10.0.2.20:80", "S"))
    s.title("Marked: to a cache.")
    s.do("mark lan0 10")
    for port in (1002, 1003):
        c = f"{CLIENT}:{port}"
        for far in ("10.0.2.20", "10.0.2.21"):
            s.client(tcp(c, f"{far}:80", "S"), tcp(c, f"{far}:80", "A", seq=1001, ack=1))
        s.client(udp(c, "10.0.2.20:53"))
    s.client(tcp(f"{CLIENT}:1004", "10.0.2.20:80", "A"))
    s.title("No cache can: port unreachable, and with cache_bypass the packets go on.")
    s.do("-e -f 10 -r 10.0.2.14 -g -w 0", "-e -f 10 -r 10.0.2.15 -g -w 0")
    s.client(tcp(f"{CLIENT}:1005", "10.0.2.20:80", "S"), udp(f"{CLIENT}:1005", "10.0.2.20:53"))
    s.do("sysctl net.ipv4.vs.cache_bypass=1")
    c = f"{CLIENT}:1006"
    s.client(tcp(c, "10.0.2.20:80", "S"), tcp(c, "10.0.2.20:80", "A", seq=1001, ack=1))
    s.client(udp(c, "10.0.2.20:53"), udp(c, f"{VIP}:53"))
    s.client(tcp(c, "10.0.2.20:80", "S", ip=dict(ttl=1)))
    s.do("connections", "stats")


def message(call, first="INVITE sip:b@example.com SIP/2.0", name="Call-ID"):
    return f"{first}\r\nVia: SIP/2.0/UDP 10.0.1.2\r\n{name}: {call}\r\n\r\n".encode()


@scenario
def sip(s):
    """Calls: the Call-ID decides for all clients that the mask does not tell apart."""
    s.network("modprobe nf_conntrack_sip", "modprobe ip_vs_pe_sip")
    s.service("udp", f"{VIP}:5060", *pair("-m", ":5070"), more=" -p 100 --pe sip -M 255.255.255.0")
    s.service("udp", f"{VIP}:5061", *pair("-m", ":5071"), more=" -o -p 100 --pe sip")
    s.service("udp", f"{VIP}:5062", *pair("-m", ":5072"), more=" --pe sip")
    s.service("tcp", f"{VIP}:5060", *pair("-m"), more=" -p 100 --pe sip")
    vip = f"{VIP}:5060"
    s.title("Two calls, each of two clients.")
    for call in ("one@10.0.1.2", "two@10.0.1.2"):
        for client in ("10.0.1.2:5060", "10.0.1.3:5060", "10.0.1.2:5064"):
            s.client(udp(client, vip, message(call)))
    s.do("calls")
    s.title("Other ways to write it.")
    for number, data in enumerate(
        (
            message("one@10.0.1.2", name="i"),
            message("two@10.0.1.2", name="CALL-id"),
            message("one@10.0.1.2", name="call-id \t"),
            message("\r\n two@10.0.1.2"),
            b"x\nI:one@10.0.1.2\n",
            b"x\r\nInfo: x\r\nCall-ID:two@10.0.1.2\rTo: x\r",
            message("w-.!%*_+`'~()<>:\\\"/[]?{}@w"),
            message("word"),
        )
    ):
        s.client(udp(f"10.0.1.4:{6000 + number}", vip, data))
    s.do("calls")
    s.title("No Call-ID, or none that is one: silence.")
    for number, data in enumerate(
        (
            b"",
            b"x",
            message(""),
            message("a@"),
            message("a b"),
            message("a@b@c"),
            message("a" * 256),
            b"Call-ID: first@line\r\n\r\n",
            b"x\r\n Call-ID: a\r\n",
            b"x\r\nia: b\r\n",
            b"x\r\nCall-ID: cut",
            b"x\r\nCall-ID",
            b"x\r\nCall-ID:",
        )
    ):
        s.client(udp(f"10.0.1.5:{6000 + number}", vip, data))
    s.client(udp("10.0.1.5:6100", vip, message("a" * 100)))  # ipvsadm dies of longer ones
    s.client(tcp("10.0.1.5:6100", vip, "S"))
    s.do("calls", "stats")
    s.title("A server begins: a new call, a known one, no call.")
    for number, data in enumerate((message("new@rs"), message("one@10.0.1.2"), b"x")):
        s.server(udp("10.0.2.11:5070", f"10.0.1.6:{7000 + number}", data))
        s.server(udp("10.0.2.12:5070", f"10.0.1.2:{7000 + number}", data))
    s.server(udp("10.0.2.11:5070", "10.0.1.6:7100", message("ttl"), ip=dict(ttl=1)))
    s.server(udp("10.0.2.11:9999", "10.0.1.6:7100", message("stranger")))
    s.server(tcp("10.0.2.11:5070", "10.0.1.6:7100", "S"))
    s.client(udp("10.0.1.6:7000", vip, message("new@rs")))
    s.client(udp("10.0.1.7:7000", vip, message("new@rs")))
    s.title("One packet each; and without -p.")
    for vport, rport in ((5061, 5071), (5062, 5072)):
        for number in range(3):
            s.client(udp(f"10.0.1.8:{8000 + number % 2}", f"{VIP}:{vport}", message("ops")))
            s.server(udp(f"10.0.2.11:{rport}", f"10.0.1.8:{8000 + number}", message("ops")))
    s.client(udp("10.0.1.8:8009", f"{VIP}:5062", b"no message"))
    s.do("calls", "stats")
    s.title("An error begins no call.")
    s.do("sysctl net.ipv4.vs.schedule_icmp=1")
    about = udp(vip, "10.0.1.9:5060", message("error"))
    s.client(icmp("10.0.1.77", VIP, 3, 1, body=about))
    s.do("calls")
