"""What is measured: one row each. How it is measured stands in measure.py, by the row's `how`."""

from dataclasses import dataclass

PACKET_MEMORY = 256  # MiB


@dataclass
class Row:
    """What the generator plays, and what the director is told."""

    name: str
    section: str
    title: str
    how: str = "forward"
    flows: int = 1
    kind: str = "known"
    family: int = 4
    clients: str = "plain"
    replies: str = "same"
    mode: str = ""  # of testpmd
    method: str = "dr"
    scheduler: str = "rr"
    servers: int = 2
    services: int = 1
    marks: int = 0
    workers: int = 1
    room: int = 0  # for further connections
    is_short: bool = True  # a row of `make bench`, too

    @property
    def flows_max(self):
        return max(65536, self.flows + self.flows // 20 + self.room)

    @property
    def mbufs(self):
        """With net_pcap, which keeps the whole file in buffers of the pool."""
        return self.flows + self.flows // 20 + 20000 if self.how.startswith("file") else 0

    @property
    def packet_memory(self):
        return PACKET_MEMORY + self.mbufs * 2400 // 2**20

    @property
    def pages(self):
        """2 MiB pages that it takes."""
        table = self.flows_max * 164 // 2**20 + self.services * self.servers * 256 // 2**20
        return (self.packet_memory + table) // 2 + 100

    def words(self):
        """For the generator."""
        words = {"flows": self.flows, "kind": self.kind, "family": self.family,
                 "clients": self.clients, "replies": self.replies, "servers": self.servers,
                 "services": self.services}
        return " ".join(f"{name}={value}" for name, value in words.items()) + " hold=1"


def known(name, title, **rest):
    return Row(name, "known", title, **rest)


def all_rows():
    million = 1_000_000
    rows = [
        Row("null", "harness", "testpmd io, `net_null`, empty frames", how="null", mode="io"),
        Row("made-io", "harness", "testpmd io, frames made in place", how="made", mode="io",
            flows=million),
        Row("made-macswap", "harness", "testpmd macswap, frames made in place", how="made",
            mode="macswap", flows=million),
        Row("made-nat", "harness", "testpmd io, half requests, half replies", how="made", mode="io",
            flows=million, kind="nat"),
    ]
    for flows in (64, 8192, 131_072, million, 10_000_000):
        rows.append(known(f"dr-{flows}", f"direct routing, {flows:,} flows", flows=flows))
    rows += [
        known("dr-99991", "direct routing, 99,991 flows (a prime)", flows=99_991),
        known("dr-colliding", "direct routing, 1,000,000 flows, one CRC32C modulo 65,536",
              flows=million, clients="colliding"),
        known("dr6", "direct routing, IPv6, 1,000,000 flows", flows=million, family=6),
        known("nat-8192", "NAT, half requests, half replies, 8,192 flows", flows=8192,
            kind="nat", method="nat"),
        known("nat", "NAT, half requests, half replies, 1,000,000 flows", flows=million,
              kind="nat", method="nat"),
        known("ipip", "ipip, 1,000,000 flows", flows=million, method="ipip"),
        known("gue", "gue without checksum, 1,000,000 flows", flows=million, method="gue"),
        known("gre", "gre without checksum, 1,000,000 flows", flows=million, method="gre"),
        known("mix", "direct routing, 10 % of the packets of new connections", flows=million,
              kind="mix", how="new", room=9_000_000, scheduler="wlc", servers=8),
        known("big", "10,000 services, 100,000 real servers, 1,000 mark rules", flows=million,
              services=10_000, servers=10, marks=1000),
        Row("new", "new", "direct routing, wlc, 8 servers, 1,000,000 flows known", how="new",
            flows=million, kind="new", scheduler="wlc", servers=8, room=9_000_000),
    ]
    for flows in (8192, million):
        for mode in ("io", "macswap"):
            rows.append(Row(f"file-{mode}-{flows}", "file", f"testpmd {mode}, {flows:,} flows",
                            how="file_testpmd", flows=flows, mode=mode, is_short=flows < million))
        rows.append(Row(f"file-dr-{flows}", "file", f"direct routing, {flows:,} flows",
                        how="file_director", kind="none", flows=flows, is_short=flows < million))
    rows += [
        Row("two-dr", "two", "direct routing, 1,000,000 flows, symmetric RSS", flows=million,
            workers=2),
        Row("two-nat", "two", "NAT, 1,000,000 flows, symmetric RSS", flows=million, workers=2,
            kind="nat", method="nat"),
        Row("two-nat-other", "two", "NAT, 1,000,000 flows, every reply on the other worker",
            flows=million, workers=2, kind="nat", method="nat", replies="other"),
        Row("two-nat-8192", "two", "NAT, 8,192 flows, symmetric RSS", flows=8192, workers=2,
            kind="nat", method="nat"),
        Row("two-nat-other-8192", "two", "NAT, 8,192 flows, every reply on the other worker",
            flows=8192, workers=2, kind="nat", method="nat", replies="other"),
        Row("latency", "latency", "direct routing, 1,000,000 flows", how="latency", flows=million),
        Row("latency-nat", "latency", "NAT, 1,000,000 flows", how="latency", flows=million,
            kind="nat", method="nat"),
        Row("change", "change", "1,000 services of 2 real servers", how="change", flows=131_072,
            services=1000),
        Row("memory-4", "memory", "IPv4", how="memory", flows=million),
        Row("memory-6", "memory", "IPv6", how="memory", flows=million, family=6),
    ]
    for flows in (131_072, million):
        rows.append(Row(f"kernel-{flows}", "kernel", f"direct routing, {flows:,} flows",
                        how="kernel", flows=flows))
    return rows
