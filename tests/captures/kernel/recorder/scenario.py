"""What a scenario is made of: lines of a capture without what came out."""

import frames

SCENARIOS = {}

CLIENT, CLIENT6 = "10.0.1.2", "fd00:1::2"
VIP, VIP6 = "10.0.0.100", "fd00::100"
SERVER, SERVER6 = "10.0.2.11", "fd00:2::b"


def scenario(function):
    """Makes the function the scenario of its name."""
    SCENARIOS[function.__name__.replace("_", "-")] = function
    return function


def every():
    import importlib

    for name in (
        "nat",
        "tunnels",
        "icmp_errors",
        "six",
        "direct",
        "pieces",
        "ftp",
        "other",
        "persistent",
        "settings",
        "random",
    ):
        try:
            importlib.import_module(f"paths_{name}")
        except ModuleNotFoundError as error:
            if error.name != f"paths_{name}":
                raise
    return SCENARIOS


class Scenario:
    def __init__(self, name):
        self.name, self.lines, self.about = name, [], (SCENARIOS[name].__doc__ or "").strip()
        self.surroundings, self.identification = [], 0

    def head(self, release):
        about = [f"# {line.strip()}" for line in self.about.split("\n")]
        return [
            *about,
            f"# Recorded by record-paths.py from Linux {release}.",
            *self.surroundings,
            "",
        ]

    def ident(self):
        """An identification for fragments that was not used yet."""
        self.identification += 1
        return self.identification

    def network(self, *lines):
        """What the director is in: before all the rest."""
        self.surroundings += lines

    def title(self, text):
        """Begins a case."""
        self.lines += ["", f"# {text}"]

    def note(self, text):
        self.lines.append(f"# {text}")

    def do(self, *lines):
        self.lines += lines

    def service(self, protocol, address, *servers, scheduler="rr", more=""):
        """`servers`: words behind -r."""
        letter = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}[protocol]
        self.do(f"-A {letter} {address} -s {scheduler}{more}")
        self.do(*(f"-a {letter} {address} -r {server}" for server in servers))

    def send(self, interface, packet, padding=b"", sender=None):
        whole = frames.frame(interface, packet, padding, sender)
        self.lines.append(f"> {interface} {whole.hex()} # {frames.describe(whole)}")

    def raw(self, interface, whole):
        self.lines.append(f"> {interface} {whole.hex()} # {frames.describe(whole)}")

    def client(self, *packets):
        for packet in packets:
            self.send("lan0", packet)

    def server(self, *packets):
        for packet in packets:
            self.send("lan1", packet)
