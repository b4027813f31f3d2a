#!/usr/bin/env python3
"""Records what the kernel's IPVS does with frames: paths/*.txt, which README.md explains.

    record-paths.py FOLDER            every scenario
    record-paths.py FOLDER NAME...    these
    record-paths.py FOLDER FILE.txt   plays a capture again, prints what is different this time

Needs root, ip, ipvsadm, bash and a FOLDER with the kernel (recorder/oracle.py). Works in a network
namespace of its own. The scenarios are in recorder/, written in terms of recorder/frames.py.
"""

import difflib, os, sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "recorder"))

from frames import describe, frame, icmp  # noqa: E402
from masks import masked  # noqa: E402
from oracle import Oracle  # noqa: E402
from scenario import Scenario, every  # noqa: E402

# Sent behind every frame: when it is answered, what came before was dealt with.
PROBES = {"lan0": ("10.0.1.30", "10.0.1.1"), "lan1": ("10.0.2.30", "10.0.2.1")}
QUIET_S = 0.006


def is_noise(whole):
    """What the kernel says of its own accord: ARP, neighbour discovery, multicast listeners."""
    kind, data = whole[12:14], whole[14:]
    if kind == b"\x86\xdd" and len(data) > 48:
        return (
            data[6] == 58
            and data[40] in (*range(130, 138), 143)
            or data[6] == 0
            and (data[40] == 58 and data[48] in (*range(130, 138), 143))
        )
    return kind not in (b"\x08\x00", b"\x86\xdd")


class Player:
    def __init__(self, oracle):
        self.oracle = oracle
        self.number = 0

    def probe(self, interface):
        self.number += 1
        source, destination = PROBES[interface]
        mark = b"probe %08d" % self.number
        probe = frame(interface, icmp(source, destination, 8, rest=self.number, body=mark))
        self.oracle.send(interface, probe)
        return mark

    def out(self, interface, whole):
        """Puts a frame in; what came out."""
        self.oracle.send(interface, whole)
        mark = self.probe(interface)
        came, timeout = [], 2
        while got := self.oracle.receive(timeout):
            where, each = got
            if mark in each and each[23:24] == b"\1":
                timeout = QUIET_S
            elif not is_noise(each) and b"probe " not in each:
                came.append((where, each))
        if timeout != QUIET_S:
            sys.exit("the kernel does not answer any more")
        return came

    def ipvs(self, words):
        code, lines = self.oracle.run(f"ipvsadm {words}")
        return [f"= error {code} {' '.join(lines)}"] if code else []

    def listing(self, words, is_sorted):
        lines = [line.split() for line in self.oracle.must(f"ipvsadm {words}")[2:]]
        lines = [" ".join(line) for line in lines if line]
        if is_sorted:  # but not by the time that is left, the second word
            lines.sort(key=lambda line: [*line.split()[:1], *line.split()[2:]])
        return [f"= {line}" for line in lines]

    def mark(self, interface, mark):
        """From here on all that comes by an interface has a mark, 0 for none."""
        self.oracle.must("modprobe -a sch_ingress cls_matchall act_skbedit")
        self.oracle.run(f"tc qdisc del dev {interface} ingress")
        self.oracle.must(f"tc qdisc add dev {interface} ingress")
        self.oracle.must(
            f"tc filter add dev {interface} parent ffff: matchall action skbedit mark {mark}"
        )
        return []

    def intercept(self, mark):
        """Packets with that mark are for the director, whoever they are for."""
        for family, everybody in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
            self.oracle.must(f"ip {family} rule add fwmark {mark} lookup 100")
            self.oracle.must(f"ip {family} route add local {everybody} dev lo table 100")
        return []

    def line(self, line):
        """What a line of a scenario brings about, in lines."""
        first = line.split(" ", 1)[0] if line else "#"
        if first == ">":
            _, interface, digits = line.split(" # ")[0].split()
            return [
                f"< {where} {each.hex()} # {describe(each)}"
                for where, each in self.out(interface, bytes.fromhex(digits))
            ]
        if first.startswith("-"):
            return self.ipvs(line)
        if first == "connections":
            return self.listing("-Lnc", True)
        if first == "calls":
            return self.listing("-Lnc --persistent-conn", True)
        if first == "persistent":
            return self.listing("-Ln --persistent-conn", False)[1:]
        if first == "mark":
            return self.mark(*line.split()[1:])
        if first == "intercept":
            return self.intercept(line.split()[1])
        if first == "stats":
            # The kernel sums up what its processors counted every two seconds.
            self.oracle.must("sleep 2.1")
            return self.listing("-Ln --stats --exact", False)[1:]
        if first == "sysctl":
            self.oracle.must(f"sysctl -qw {line.split(' ', 1)[1]}")
        elif first in ("ip", "modprobe"):
            self.oracle.must(line)
        elif first == "wait":
            self.oracle.must(f"sleep {line.split()[1]}")
        elif first != "#":
            sys.exit(f"{line}: no such line")
        return []

    def play(self, lines):
        for line in lines:
            yield line
            yield from self.line(line)


def comparable(line):
    """A line without what differs from run to run."""
    words = line.split(" # ")[0].split()
    if line.startswith("<"):
        words[2] = masked(bytes.fromhex(words[2])).hex()
    if line.startswith("=") and len(words) == 7 and ":" in words[2]:
        words[2] = "-"  # what is left of the time
    return " ".join(words)


def check(folder, name):
    """Plays a capture again; the lines that differ."""
    with open(name) as file:
        before = file.read().splitlines()
    oracle = Oracle(folder)
    after = list(Player(oracle).play([l for l in before if not l.startswith(("<", "="))]))
    oracle.close()
    lines = difflib.unified_diff(
        [comparable(line) for line in before],
        [comparable(line) for line in after],
        name,
        "this time",
        lineterm="",
        n=2,
    )
    return list(lines)


def record(folder, name, write):
    """Plays a scenario and writes its capture; how many frames went in and came out."""
    scenario = Scenario(name)
    write(scenario)
    oracle = Oracle(folder)
    release = oracle.must("uname -r")[0]
    played = list(Player(oracle).play([*scenario.head(release), *scenario.lines]))
    oracle.close()
    os.makedirs(os.path.join(HERE, "paths"), exist_ok=True)
    with open(os.path.join(HERE, "paths", f"{name}.txt"), "w") as file:
        file.write("\n".join(played) + "\n")
    return [sum(line.startswith(way) for line in played) for way in "><"]


def main():
    if len(sys.argv) < 2 or os.geteuid():
        sys.exit(__doc__)
    if not os.environ.get("RECORD_PATHS_NAMESPACE"):
        os.environ["RECORD_PATHS_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    folder, wanted = os.path.realpath(sys.argv[1]), sys.argv[2:]
    captures = [word for word in wanted if word.endswith(".txt")]
    scenarios = every()
    if unknown := set(wanted) - set(captures) - set(scenarios):
        sys.exit(f"no such scenario: {' '.join(sorted(unknown))}")
    different = 0
    for name in captures:
        lines = check(folder, name)
        different += bool(lines)
        print(f"{name}: {'different' if lines else 'the same'}", *lines, sep="\n", flush=True)
    for name in scenarios:
        if name in wanted or not wanted:
            sent, came = record(folder, name, scenarios[name])
            print(f"{name}: {sent} frames, {came} came out", flush=True)
    sys.exit(bool(different))


main()
