"""The real sluiced under measurement: its configuration, its start, its own figures."""

import json
import os
import socket
import subprocess

from program import Failed, Program

RESIDENT = ("VmRSS:", "HugetlbPages:")

METHODS = {
    "dr": "-g",
    "nat": "-m",
    "ipip": "-i --tun-type ipip",
    "gue": "-i --tun-type gue --tun-port 6080 --tun-nocsum",
    "gre": "-i --tun-type gre --tun-nocsum",
}


def server(family, number):
    return f"10.0.10.{11 + number}" if family == 4 else f"fd00:3::{11 + number:x}"


def virtual_service(family, number):
    """As the generator has it."""
    if family == 6:
        return f"[fd00:1::{number + 1:x}]:80"
    number += 1
    return f"10.1.{number >> 8}.{number & 255}:80"


def service_lines(row):
    """Services and real servers, as ipvsadm-save writes them."""
    servers = max(1, row.servers)
    lines = []
    for number in range(row.services):
        service = virtual_service(row.family, number)
        lines.append(f"-A -t {service} -s {row.scheduler}")
        for place in range(servers):
            address = server(row.family, place)
            address = address if row.family == 4 else f"[{address}]:80"
            lines.append(f"-a -t {service} -r {address} {METHODS[row.method]}")
    return lines


def mark_lines(count):
    """Rules that no frame of the generator meets, each with a VIP of its own."""
    return [f"-A PREROUTING -d 10.2.{i >> 8}.{i & 255} -p tcp --dport 80 -j MARK --set-mark {i + 1}"
            for i in range(count)]


def configuration(bench, row, ports):
    """The whole file. `ports` are (name, device, mbufs or None)."""
    own, gateway, clients = ("10.0.10.1/24", "10.0.10.254", "10.64.0.0/10")
    if row.family == 6:
        own, gateway, clients = ("fd00:3::1/64", "fd00:3::fe", "fd00:2::/64")
    lan = ports[0][0]
    neighbours = [server(row.family, i) for i in range(max(1, row.servers))] + [gateway]
    text = [
        f"control: {{ socket: {bench.socket}, netlink_socket: {bench.socket}.nl, audit: off }}",
        f"eal: {{ memory: {row.packet_memory}M, "
        f"hugepages: {'require' if bench.pages.are_used() else 'off'} }}",
        f"workers: [{', '.join(str(cpu) for cpu in bench.cpus[:row.workers])}]",
        "idle: { mode: poll }",
        f"flows: {{ max: {row.flows_max} }}",
        f"destinations: {{ max: {max(65536, row.services * row.servers * 5 // 4)} }}",
        "ports:",
    ]
    for number, (name, device, mbufs) in enumerate(ports):
        text += [f"  - name: {name}", f'    device: "{device}"']
        text += [f"    addresses: [\"{own}\"]"] if number == 0 else []
        text += [f"    mbufs: {mbufs}"] if mbufs else []
    text += [f"routes: [ {{ to: \"{clients}\", via: \"{gateway}\" }} ]", "neighbours:"]
    for number, address in enumerate(neighbours):
        mac = f"02:00:00:00:01:{number:02x}"
        text.append(f'  - {{ port: {lan}, address: "{address}", mac: "{mac}" }}')
    if row.marks:
        text += ["marks:", "  rules: |"] + ["    " + line for line in mark_lines(row.marks)]
    text += ["services: |"] + ["  " + line for line in service_lines(row)]
    return "\n".join(text) + "\n"


class Director:
    """A running sluiced."""

    def __init__(self, bench, row, ports, state, generator):
        self.bench = bench
        self.state = state
        path = os.path.join(bench.folder, "sluice.yaml")
        with open(path, "w") as file:
            file.write(configuration(bench, row, ports))
        environment = {"GENERATOR": f"{generator} state={state.path}",
                       "LD_PRELOAD": bench.generator}
        command = [os.path.join(bench.programs, "sluiced"), "--config", path]
        self.program = Program(command, os.path.join(bench.folder, "sluiced.log"), environment)
        self.pid = self.program.child.pid

    def end(self):
        code = self.program.end()
        if code != 0:
            self.program.fail(f"sluiced ended with code {code}")

    def ask(self, *words):
        command = [os.path.join(self.bench.programs, "sluicectl"), "--socket", self.bench.socket]
        done = subprocess.run([*command, "--json", *words], text=True, capture_output=True,
                              check=False)
        if done.returncode != 0:
            raise Failed(f"sluicectl {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def is_ready(self):
        return "sluiced: ready:" in self.program.said()

    def status(self):
        return self.ask("status")

    def command(self, line):
        """One command on a connection of its own."""
        with Connection(self.bench.socket) as connection:
            connection.command(line)

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status") as file:
            lines = [line.split() for line in file]
        return 1024 * sum(int(words[1]) for words in lines if words[0] in RESIDENT)


class Connection:
    """A connection to the control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.answers = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answers.close()
        self.socket.close()

    def command(self, line):
        self.socket.sendall(line.encode() + b"\n")
        words = self.answers.readline().split()
        if len(words) != 6:
            raise Failed(f"the control socket ended at '{line}'")
        said = self.answers.read(int(words[3]) + int(words[5]))
        if words[1] != b"0":
            raise Failed(f"{line}: {said.decode().strip()}")
