"""What the switches of net.ipv4.vs.* change."""

from frames import chunk, icmp, pattern, sctp, tcp, udp
from scenario import CLIENT, CLIENT6, SERVER, SERVER6, VIP, VIP6, scenario

OTHER, OTHER6 = "10.0.2.12", "fd00:2::c"


def switch(s, **values):
    s.do(*(f"sysctl net.ipv4.vs.{name}={value}" for name, value in values.items()))


@scenario
def secure_tcp(s):
    """secure_tcp: the other table of states; mode 1 is as 0 while there is memory."""
    v, r, w = f"{VIP}:80", f"{SERVER}:8080", f"{VIP}:81"
    s.service("tcp", v, f"{r} -m")
    s.service("tcp", w, "10.0.2.12:81 -g")
    for number, mode in enumerate((3, 1, 0, 3)):
        s.title(f"Mode {mode}: NAT, the whole life of a connection.")
        switch(s, secure_tcp=mode)
        c = f"{CLIENT}:{1000 + number}"
        s.client(tcp(c, v, "S"), tcp(c, v, "A"))
        s.do("connections")
        s.server(tcp(r, c, "SA"))
        s.client(tcp(c, v, "A"))
        s.do("connections")
        s.server(tcp(r, c, "A"))
        s.client(tcp(c, v, "A", data=b"x"), tcp(c, v, "FA"))
        s.server(tcp(r, c, "FA"))
        s.do("connections")
        s.title(f"Mode {mode}: resets of half-open ones, from either side.")
        for side in (0, 1):
            c = f"{CLIENT}:{1100 + 10 * number + side}"
            s.client(tcp(c, v, "S"))
            s.server(tcp(r, c, "SA"))
            if side:
                s.server(tcp(r, c, "R"))
            else:
                s.client(tcp(c, v, "R"))
        s.do("connections")
        s.title(f"Mode {mode}: DR, which is seen from one side.")
        c = f"{CLIENT}:{1200 + number}"
        s.client(tcp(c, w, "S"))
        s.do("connections")
        s.client(tcp(c, w, "S"), tcp(c, w, "A"))
        s.do("connections")
        s.client(tcp(c, w, "FA"), tcp(c, w, "A"))
        s.do("connections")
    s.title("Switched while connections are half-open.")
    switch(s, secure_tcp=0)
    c, d = f"{CLIENT}:1300", f"{CLIENT}:1301"
    s.client(tcp(c, v, "S"), tcp(d, w, "S"))
    switch(s, secure_tcp=3)
    s.client(tcp(c, v, "A"), tcp(d, w, "A"))
    s.do("connections")
    s.client(tcp(d, w, "S"))
    switch(s, secure_tcp=0)
    s.client(tcp(c, v, "A"), tcp(d, w, "A"))
    s.do("connections", "stats")


@scenario
def drop_packet(s):
    """drop_packet: which packets count, and which of them are dropped."""
    for letter, v in (("udp", f"{VIP}:53"), ("tcp", f"{VIP}:80"), ("sctp", f"{VIP}:90")):
        s.service(letter, v, f"{SERVER}:{v.split(':')[1]} -m")
    s.service("udp", f"{VIP}:54")
    switch(s, am_droprate=3, drop_packet=3)
    s.title("One in three that begin a connection, the first one first.")
    s.client(*(udp(f"{CLIENT}:{2000 + n}", f"{VIP}:53") for n in range(12)))
    s.do("connections")
    s.title("Packets of connections are never dropped, and do not count.")
    s.client(*(udp(f"{CLIENT}:2001", f"{VIP}:53") for _ in range(4)))
    s.server(udp(f"{SERVER}:53", f"{CLIENT}:2001"))
    s.title("The protocols have one count; what may begin nothing, or has no service, has none.")
    s.client(tcp(f"{CLIENT}:2100", f"{VIP}:80", "S"))
    s.client(tcp(f"{CLIENT}:2101", f"{VIP}:80", "A"), tcp(f"{CLIENT}:2101", f"{VIP}:82", "S"))
    s.client(sctp(f"{CLIENT}:2102", f"{VIP}:90", [chunk(1, bytes(16))], tag=0))
    s.client(udp(f"{CLIENT}:2103", f"{VIP}:55"), udp(f"{CLIENT}:2104", f"{VIP}:53"))
    s.do("connections")
    s.title("Packets to a service without servers count, and those from port 20.")
    s.client(*(udp(f"{CLIENT}:{2200 + n}", f"{VIP}:54") for n in range(3)))
    s.client(*(tcp(f"{CLIENT}:20", f"{VIP}:80", "S", seq=n) for n in range(3)))
    s.title("A SYN that begins anew counts: its old connection is gone, and it may be dropped.")
    s.client(tcp(f"{CLIENT}:2100", f"{VIP}:80", "S"), tcp(f"{CLIENT}:2300", f"{VIP}:80", "S"))
    s.client(tcp(f"{CLIENT}:2301", f"{VIP}:80", "S"), tcp(f"{CLIENT}:2300", f"{VIP}:80", "A"))
    s.client(tcp(f"{CLIENT}:2300", f"{VIP}:80", "R"), tcp(f"{CLIENT}:2301", f"{VIP}:80", "A"))
    s.client(tcp(f"{CLIENT}:2301", f"{VIP}:80", "R"))
    s.do("connections")
    s.client(*(tcp(f"{CLIENT}:{port}", f"{VIP}:80", "S") for port in (2300, 2301, 2300, 2301)))
    s.do("connections")
    s.client(*(udp(f"{CLIENT}:{2400 + n}", f"{VIP}:53") for n in range(3)))
    s.title("Off; automatic, while there is memory; less than one.")
    switch(s, drop_packet=0)
    s.client(*(udp(f"{CLIENT}:{2500 + n}", f"{VIP}:53") for n in range(4)))
    switch(s, drop_packet=1)
    s.client(*(udp(f"{CLIENT}:{2510 + n}", f"{VIP}:53") for n in range(4)))
    switch(s, am_droprate=-1, drop_packet=3)
    s.client(*(udp(f"{CLIENT}:{2520 + n}", f"{VIP}:53") for n in range(4)))
    switch(s, drop_packet=0, am_droprate=0)
    switch(s, drop_packet=3)
    s.client(*(udp(f"{CLIENT}:{2530 + n}", f"{VIP}:53") for n in range(4)))
    s.do("connections", "stats")


@scenario
def sloppy(s):
    """sloppy_tcp and sloppy_sctp: what else begins a connection."""
    s.service("tcp", f"{VIP}:80", f"{SERVER}:8080 -m", f"{OTHER}:80 -g")
    s.service("sctp", f"{VIP}:90", f"{SERVER}:90 -m", f"{OTHER}:90 -g")
    for number, value in enumerate((0, 1, -5)):
        s.title(f"sloppy_tcp and sloppy_sctp {value}.")
        switch(s, sloppy_tcp=value, sloppy_sctp=value)
        port = 3000 + 100 * number
        for flags in ("S", "A", "F", "FA", "R", "SR", "RA", "P", "-", "SA", "SF", "UPE"):
            for _ in range(2):
                s.client(tcp(f"{CLIENT}:{port}", f"{VIP}:80", flags))
                port += 1
        for kind in (*range(16), 0x40, 0x80, 0xC0, 0xC1, 0xFF):
            s.client(sctp(f"{CLIENT}:{port}", f"{VIP}:90", [chunk(kind, bytes(16))]))
            port += 1
        s.do("connections")


@scenario
def conn_reuse(s):
    """conn_reuse_mode: which old connections a SYN gives up."""
    for at, way in ((80, "-m"), (81, "-g")):
        v = f"{VIP}:{at}"
        s.service("tcp", v, f"{SERVER}:{at} {way}", f"{OTHER}:{at} {way}")
    for mode in (0, 1, 2, 3, 4, -1):
        switch(s, conn_reuse_mode=mode)
        port = 4000 + 100 * (mode & 7)
        for at in (80, 81):
            v = f"{VIP}:{at}"
            s.title(
                f"Mode {mode}, {'NAT' if at == 80 else 'DR'}: open, reset, half closed, closed."
            )
            for ends in ((), ("R",), ("FA",), ("FA", "server")):
                c = f"{CLIENT}:{port}"
                port += 1
                s.client(tcp(c, v, "S"))
                s.server(*(tcp(f"{r}:{at}", c, "SA") for r in (SERVER, OTHER) if at == 80))
                s.client(tcp(c, v, "A"))
                for end in ends:
                    if end == "server":
                        s.server(*(tcp(f"{r}:{at}", c, "FA") for r in (SERVER, OTHER) if at == 80))
                    else:
                        s.client(tcp(c, v, end))
                s.client(tcp(c, v, "S", seq=5000), tcp(c, v, "SR", seq=6000))
                s.client(tcp(c, v, "SA", seq=7000))
        s.do("connections")


@scenario
def expire_nodest_conn(s):
    """expire_nodest_conn: connections of servers that were removed, and of weight 0."""
    for value in (0, 1):
        switch(s, expire_nodest_conn=value)
        s.title(f"{value}: the server of half of the connections is removed.")
        for at in (80, 53):
            letter = "tcp" if at == 80 else "udp"
            s.service(letter, f"{VIP}:{at}", f"{SERVER}:{at} -m", f"{OTHER}:{at} -m")
        ports = range(5000 + 100 * value, 5004 + 100 * value)
        for port in ports:
            c = f"{CLIENT}:{port}"
            s.client(tcp(c, f"{VIP}:80", "S"), tcp(c, f"{VIP}:80", "A"), udp(c, f"{VIP}:53"))
        s.do(f"-d -t {VIP}:80 -r {SERVER}:80", f"-d -u {VIP}:53 -r {SERVER}:53")
        for port in ports:
            c = f"{CLIENT}:{port}"
            s.client(tcp(c, f"{VIP}:80", "A"), udp(c, f"{VIP}:53"))
            s.server(tcp(f"{SERVER}:80", c, "A"), udp(f"{SERVER}:53", c))
            s.server(tcp(f"{OTHER}:80", c, "A"), udp(f"{OTHER}:53", c))
        s.do("wait 1.5", "connections")
        s.client(*(tcp(f"{CLIENT}:{port}", f"{VIP}:80", "S") for port in ports))
        s.do("connections")
        s.title(f"{value}: the other one gets weight 0 while a third one is there.")
        s.do(f"-a -t {VIP}:80 -r 10.0.2.13:80 -m", f"-e -t {VIP}:80 -r {OTHER}:80 -m -w 0")
        for port in ports:
            c = f"{CLIENT}:{port}"
            s.client(tcp(c, f"{VIP}:80", "A"), tcp(c, f"{VIP}:80", "S"), tcp(c, f"{VIP}:80", "A"))
        s.do("connections", f"-D -t {VIP}:80", f"-D -u {VIP}:53")


@scenario
def schedule_icmp(s):
    """schedule_icmp: ICMP errors about packets of no connection."""
    from paths_icmp_errors import error

    s.service("tcp", f"{VIP}:80", f"{SERVER}:8080 -m")
    s.service("tcp", f"{VIP}:81", f"{OTHER}:81 -g")
    s.service("udp", f"{VIP}:53", f"{SERVER}:5353 -m")
    s.service("udp", f"{VIP}:54", "10.0.2.13:54 -i")
    s.service("udp", f"{VIP}:55")
    s.service("tcp", f"[{VIP6}]:80", f"[{SERVER6}]:8080 -m")
    s.service("udp", f"[{VIP6}]:53", f"[{OTHER6}]:53 -g")
    router, router6 = "10.0.1.77", "fd00:1::4d"
    for value in (0, 1):
        switch(s, schedule_icmp=value)
        s.title(f"schedule_icmp {value}: about packets of no connection, twice.")
        c, c6 = f"{CLIENT}:{6000 + value}", f"[{CLIENT6}]:{6000 + value}"
        for reply in (
            tcp(f"{VIP}:80", c, "A", data=pattern(32)),
            tcp(f"{VIP}:81", c, "R"),
            udp(f"{VIP}:53", c),
            udp(f"{VIP}:54", c),
            udp(f"{VIP}:55", c),
            udp(f"{VIP}:56", c),
            tcp(f"{VIP}:80", f"{CLIENT}:20", "A"),
        ):
            s.client(error(router, VIP, reply), error(router, VIP, reply, (11, 0)))
            s.client(error(router, VIP, reply, (5, 1), rest=0x0A000163))
        for reply in (tcp(f"[{VIP6}]:80", c6, "A"), udp(f"[{VIP6}]:53", c6)):
            s.client(icmp(router6, VIP6, 1, 0, body=reply), icmp(router6, VIP6, 3, 0, body=reply))
        s.do("connections", "stats")
        s.title(f"schedule_icmp {value}: the connections' own packets come after all.")
        s.client(tcp(c, f"{VIP}:80", "A"), tcp(c, f"{VIP}:80", "S"), tcp(c, f"{VIP}:81", "S"))
        s.client(udp(c, f"{VIP}:53"), udp(c, f"{VIP}:54"))
        s.client(tcp(c6, f"[{VIP6}]:80", "S"), udp(c6, f"[{VIP6}]:53"))
        s.do("connections", "stats")
    s.title("One that is left alone lives for three seconds.")
    s.client(error(router, VIP, udp(f"{VIP}:53", f"{CLIENT}:6100")))
    s.do("wait 4.5", "connections")
    s.title("A broken checksum; drop_packet.")
    s.client(error(router, VIP, udp(f"{VIP}:53", f"{CLIENT}:6200"), check=0xBEEF))
    s.client(error(router, VIP, udp(f"{VIP}:54", f"{CLIENT}:6200"), check=0xBEEF))
    switch(s, am_droprate=3, drop_packet=3)
    for port in range(6300, 6306):
        s.client(error(router, VIP, udp(f"{VIP}:53", f"{CLIENT}:{port}")))
    s.do("connections")


@scenario
def quiescent_template(s):
    """expire_quiescent_template: templates of a server with weight 0."""
    v = f"{VIP}:80"
    s.service("tcp", v, f"{SERVER}:80 -m", f"{OTHER}:80 -m", more=" -p 300")
    for value in (0, 1):
        switch(s, expire_quiescent_template=value)
        s.title(f"{value}: clients come back after their server got weight 0.")
        clients = [f"10.0.1.{4 + 4 * value + n}" for n in range(3)]
        s.client(*(tcp(f"{client}:7000", v, "S") for client in clients))
        s.do(f"-e -t {v} -r {SERVER}:80 -m -w 0")
        s.client(*(tcp(f"{client}:7001", v, "S") for client in clients))
        s.do("connections", f"-e -t {v} -r {SERVER}:80 -m -w 1")
        s.client(*(tcp(f"{client}:7002", v, "S") for client in clients))
        s.do("connections")
