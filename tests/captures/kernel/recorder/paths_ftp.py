"""The FTP helper by NAT."""

import struct

from frames import tcp
from scenario import CLIENT, CLIENT6, SERVER, SERVER6, VIP, VIP6, scenario


class Control:
    """A control connection of FTP, with the numbers that both ends count for themselves."""

    def __init__(self, s, client, vip, server, port):
        self.s = s
        c, v, r = (f"[{a}]" if ":" in a else a for a in (client, vip, server))
        self.c, self.v, self.r = f"{c}:{port}", f"{v}:21", f"{r}:21"
        # What each end thinks: next of the client, next of the server as either sees it.
        self.client_seq, self.server_seq, self.shift, self.client_shift = 1001, 5001, 0, 0
        s.client(tcp(self.c, self.v, "S"))
        s.server(tcp(self.r, self.c, "SA", seq=5000, ack=1001))
        s.client(tcp(self.c, self.v, "A", seq=1001, ack=5001))

    def says(self, text, **fields):
        data = text.encode() + b"\r\n"
        self.s.client(
            tcp(
                self.c,
                self.v,
                "PA",
                seq=self.client_seq,
                data=data,
                ack=self.server_seq + self.shift,
                **fields,
            )
        )
        self.client_seq += len(data)

    def hears(self, text, grows=0, **fields):
        data = text.encode() + b"\r\n"
        self.s.server(
            tcp(self.r, self.c, "PA", seq=self.server_seq, data=data, ack=self.client_seq, **fields)
        )
        self.server_seq += len(data)
        self.shift += grows
        # The client acknowledges what it saw.
        self.s.client(
            tcp(self.c, self.v, "A", seq=self.client_seq, ack=self.server_seq + self.shift)
        )

    def again(self, text):
        """The server says once more what it said last."""
        data = text.encode() + b"\r\n"
        self.s.server(
            tcp(
                self.r,
                self.c,
                "PA",
                seq=self.server_seq - len(data),
                data=data,
                ack=self.client_seq,
            )
        )


@scenario
def ftp(s):
    """FTP by NAT with the helper: passive, active, extended, lengths that change, SACK."""
    s.network("modprobe ip_vs_ftp")
    s.service("tcp", f"{VIP}:21", f"{SERVER}:21 -m")
    control = Control(s, CLIENT, VIP, SERVER, 30001)
    s.do("connections")
    s.title("Passive: the answer grows by one byte.")
    control.says("PASV")
    control.hears("227 Entering Passive Mode (10,0,2,11,200,10)", grows=1)
    s.do("connections")
    s.client(tcp(f"{CLIENT}:40001", f"{VIP}:51210", "S"))
    s.server(tcp(f"{SERVER}:51210", f"{CLIENT}:40001", "SA", seq=7000, ack=1001))
    s.client(tcp(f"{CLIENT}:40001", f"{VIP}:51210", "A", seq=1001, ack=7001))
    s.do("connections")
    s.title("Afterwards, on the control connection: numbers are moved both ways.")
    control.hears("150 ok")
    control.says("NOOP")
    control.hears("200 NOOP ok.")
    s.title("The answer is sent again.")
    control.again("200 NOOP ok.")
    s.title("SACK in the client's acknowledgement; two blocks; timestamps in front.")
    at = control.server_seq + control.shift
    for blocks in (1, 2):
        words = (
            b"\1\1"
            + bytes([5, 2 + 8 * blocks])
            + b"".join(
                struct.pack("!II", at + 100 * i, at + 100 * i + 50) for i in range(1, blocks + 1)
            )
        )
        s.client(tcp(control.c, control.v, "A", seq=control.client_seq, ack=at, options=words))
        s.client(
            tcp(
                control.c,
                control.v,
                "A",
                seq=control.client_seq,
                ack=at,
                options=(b"\1\1\x08\x0a" + bytes(8) + words),
            )
        )
        s.server(
            tcp(
                control.r,
                control.c,
                "A",
                seq=control.server_seq,
                ack=control.client_seq,
                options=b"\1\1"
                + bytes([5, 10])
                + struct.pack("!II", control.client_seq + 10, control.client_seq + 20),
            )
        )
    s.title("A second passive answer grows again.")
    control.says("PASV")
    control.hears("227 Entering Passive Mode (10,0,2,11,200,11).", grows=1)
    control.hears("150 ok")
    s.client(tcp(f"{CLIENT}:40002", f"{VIP}:51211", "S"))
    s.do("connections")
    s.title("Extended passive: only a port, which stays.")
    control.says("EPSV")
    control.hears("229 Entering Extended Passive Mode (|||51300|)")
    s.do("connections")
    s.client(tcp(f"{CLIENT}:40003", f"{VIP}:51300", "S"))
    s.server(tcp(f"{SERVER}:51300", f"{CLIENT}:40003", "SA", seq=7000, ack=1001))
    s.title("Active: PORT, then the server begins from port 20.")
    control.says("PORT 10,0,1,2,156,70")
    s.do("connections")
    s.server(tcp(f"{SERVER}:20", f"{CLIENT}:40006", "S"))
    s.client(tcp(f"{CLIENT}:40006", f"{VIP}:20", "SA", ack=1001))
    s.do("connections")
    s.title("Extended active.")
    control.says("EPRT |1|10.0.1.2|40007|")
    s.server(tcp(f"{SERVER}:20", f"{CLIENT}:40007", "S"))
    s.do("connections")
    s.title("A checksum that is wrong: with a helper it is dropped.")
    s.client(tcp(control.c, control.v, "A", seq=control.client_seq, ack=at, check=0xBEEF))
    s.server(
        tcp(control.r, control.c, "A", seq=control.server_seq, ack=control.client_seq, check=0xBEEF)
    )
    s.title("Other addresses and forms: not ours, too long, no end, small letters, spaces.")
    for text in (
        "PORT 10,0,1,3,156,80",
        "port 10,0,1,2,156,81",
        "PORT 10,0,1,2,156",
        "PORT 1,2,3,4,5,6,7",
        "PORT 10,0,1,2,256,1",
        "EPRT |2|fd00:1::2|40010|",
        "EPRT |1|10.0.1.2|99999|",
        "  PORT 10,0,1,2,156,83",
        "EPRT !1!10.0.1.2!40011!",
        "PORT 10,0,1,2,0,80",
    ):
        control.says(text)
    s.do("connections")
    for text in (
        "227 Entering Passive Mode (10,0,2,12,200,20)",
        "227 Entering Passive Mode 10,0,2,11,200,21",
        "227 =10,0,2,11,200,22",
        "229 Entering Extended Passive Mode (|||0|)",
        "229 Extended (!!!51301!)",
        "229 Entering (|1|10.0.2.11|51302|)",
        "227 nothing",
    ):
        control.hears(text)
    s.do("connections")
    s.title("The control connection ends.")
    s.client(
        tcp(
            control.c,
            control.v,
            "FA",
            seq=control.client_seq,
            ack=control.server_seq + control.shift,
        )
    )
    s.server(tcp(control.r, control.c, "FA", seq=control.server_seq, ack=control.client_seq + 1))
    s.do("connections", "stats")


@scenario
def ftp_shrinks(s):
    """FTP by NAT: the passive answer gets shorter; answers in two segments."""
    s.network(
        "modprobe ip_vs_ftp",
        "ip neigh add 10.0.2.211 lladdr 02:00:00:00:02:d3 dev lan1 nud permanent",
        "ip addr add 10.0.0.1/32 dev lo",
    )
    s.service("tcp", "10.0.0.1:21", "10.0.2.211:21 -m")
    control = Control(s, CLIENT, "10.0.0.1", "10.0.2.211", 30001)
    control.says("PASV")
    control.hears("227 Entering Passive Mode (10,0,2,211,200,10)", grows=-2)
    control.hears("150 ok")
    control.says("NOOP")
    s.client(tcp(f"{CLIENT}:40001", "10.0.0.1:51210", "S"))
    s.do("connections")
    s.title("The answer comes in two segments.")
    control.says("PASV")
    for part in (b"227 Entering Passive Mode (10,0,2,", b"211,200,11)\r\n"):
        s.server(
            tcp(
                control.r,
                control.c,
                "PA",
                seq=control.server_seq,
                data=part,
                ack=control.client_seq,
            )
        )
        control.server_seq += len(part)
    s.do("connections")
    s.title("Two answers in one segment.")
    control.hears("200 ok\r\n227 Entering Passive Mode (10,0,2,211,200,12)", grows=-2)
    control.hears("227 Entering Passive Mode (10,0,2,211,200,13)\r\n150 ok", grows=-2)
    s.do("connections", "stats")


@scenario
def ftp_6(s):
    """FTP by NAT over IPv6: the extended forms only."""
    s.network("modprobe ip_vs_ftp")
    s.service("tcp", f"[{VIP6}]:21", f"[{SERVER6}]:21 -m")
    control = Control(s, CLIENT6, VIP6, SERVER6, 30001)
    control.says("EPSV")
    control.hears("229 Entering Extended Passive Mode (|||51300|)")
    s.do("connections")
    s.client(tcp(f"[{CLIENT6}]:40001", f"[{VIP6}]:51300", "S"))
    s.server(tcp(f"[{SERVER6}]:51300", f"[{CLIENT6}]:40001", "SA", seq=7000, ack=1001))
    control.says("EPRT |2|fd00:1::2|40007|")
    s.do("connections")
    s.server(tcp(f"[{SERVER6}]:20", f"[{CLIENT6}]:40007", "S"))
    control.says("PASV")
    control.hears("227 Entering Passive Mode (10,0,2,11,200,10)")
    control.says("PORT 10,0,1,2,156,70")
    control.hears("200 ok")
    s.do("connections", "stats")


@scenario
def ftp_without_helper(s):
    """FTP by NAT without the helper: nothing is looked into."""
    s.service("tcp", f"{VIP}:21", f"{SERVER}:21 -m")
    control = Control(s, CLIENT, VIP, SERVER, 30001)
    control.says("PASV")
    control.hears("227 Entering Passive Mode (10,0,2,11,200,10)")
    s.client(tcp(f"{CLIENT}:40001", f"{VIP}:51210", "S"))
    s.do("connections")
