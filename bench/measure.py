"""How a row is measured: a function for each `how`. Each returns samples, which are numbers by
name, and the command that was measured."""

import os
import threading
import time
from contextlib import contextmanager

import frames
import kernel
from director import Connection, Director, virtual_service
from generator import PLAYING, State, percentile
from program import Failed
from testpmd import Testpmd

NULL = "net_null0,size=60,copy=0"
PCAP_MAC = "02:70:63:61:70:00"  # what net_pcap gives its first port
CHANGES_PER_SECOND = 100
LOAD = 0.5


def cost(packets_per_second):
    return {"mpps": packets_per_second / 1e6, "ns": 1e9 / packets_per_second}


@contextmanager
def running(bench, row, ports=(("lan0", NULL, None),), generator=None):
    """A director with all connections made and established, and a generator that holds."""
    state = State(os.path.join(bench.folder, "generator"))
    state.close()
    director = Director(bench, row, ports, state, generator or row.words())
    try:
        director.program.wait_until(lambda: director.is_ready() and state.open(), "ready", 60)
        director.program.wait_until(lambda: state.phase() >= PLAYING - 1, "all flows made", 60)
        director.program.wait_until(lambda: director.status()["flows"] == row.flows,
                                    f"{row.flows} connections", 10)
        yield director
        director.end()
    finally:
        if director.program.child.poll() is None:
            director.program.child.kill()
            director.program.child.wait()
        state.close()


def dropped(status):
    return sum(worker["dropped"] for worker in status["workers"])


def check(director, row, before, may_make=False):
    """The connections are still there, nothing was dropped, replies were those of rr."""
    status = director.status()
    lost = dropped(status) - dropped(before)
    if lost:
        director.program.fail(f"{lost} packets were dropped: {director.ask('drops')}")
    if not may_make and status["flows"] != row.flows:
        director.program.fail(f"the connections did not stay: {status['flows']}")
    strays = director.state.head()[2]
    if row.kind == "nat" and strays:
        director.program.fail(f"{strays} flows did not go where rr sends them")


def windows(bench, director, row, may_make=False):
    samples = []
    before = director.status()
    for _ in range(bench.windows):
        made, sent = director.state.window(bench.seconds)
        if not 0.98 < sent / made < 1.02:
            director.program.fail(f"of {made:.0f} packets per second {sent:.0f} were sent, "
                                  f"{director.status()['flows']} connections; dropped: "
                                  f"{director.ask('drops')}")
        samples.append(cost(sent))
    check(director, row, before, may_make)
    return samples


def forward(bench, row):
    with running(bench, row) as director:
        director.state.play()
        time.sleep(bench.settle + row.flows / 5e6)  # every flow came around
        return windows(bench, director, row), director.program.words()


def new(bench, row):
    """Connections end two seconds after their FIN, so the table soon stays as full as it is."""
    with running(bench, row) as director:
        director.command("--set 900 2 300")
        director.state.play()
        time.sleep(6)
        samples = windows(bench, director, row, may_make=True)
        for sample in samples:
            sample["flows"] = director.status()["flows"]
            if row.kind == "new":
                sample["connections"] = sample["mpps"] * 1e6 / 4
                sample["connection_ns"] = sample["ns"] * 4
        return samples, director.program.words()


def null(bench, row):
    return seconds_of(bench, Testpmd(bench, row.mode, NULL, 8192))


def seconds_of(bench, testpmd):
    try:
        testpmd.program.wait_until(lambda: len(testpmd.seconds()) >= bench.windows, "its figures")
        seconds = testpmd.seconds()[:bench.windows]
    finally:
        testpmd.end()
    return [cost(packets) for packets in seconds], testpmd.program.words()


def made(bench, row):
    state = State(os.path.join(bench.folder, "generator"))
    state.close()
    words = row.words().replace(" hold=1", "")
    testpmd = Testpmd(bench, row.mode, NULL, 8192, state, words)
    try:
        testpmd.program.wait_until(lambda: state.open() and state.phase() == PLAYING, "the set-up")
        time.sleep(bench.settle)
        samples = [cost(state.window(bench.seconds)[1]) for _ in range(bench.windows)]
    finally:
        testpmd.end()
        state.close()
    return samples, testpmd.program.words()


def capture(bench, row):
    path = os.path.join(bench.folder, f"{row.flows}.pcap")
    if not os.path.exists(path):
        frames.write(path, row.flows, PCAP_MAC)
    return f"net_pcap0,rx_pcap={path},infinite_rx=1"


def file_testpmd(bench, row):
    return seconds_of(bench, Testpmd(bench, row.mode, capture(bench, row), row.mbufs))


def file_director(bench, row):
    """The connections are made through a port of the generator, which is silent afterwards."""
    ports = [("lan0", capture(bench, row), row.mbufs), ("set0", NULL, None)]
    with running(bench, row, ports) as director:
        time.sleep(bench.settle + row.flows / 5e6)
        before, samples = director.status(), []
        for _ in range(bench.windows):
            first, began = sent_by(director, "lan0"), time.monotonic()
            time.sleep(bench.seconds)
            samples.append(cost((sent_by(director, "lan0") - first) / (time.monotonic() - began)))
        check(director, row, before)
        return samples, director.program.words()


def sent_by(director, name):
    ports = director.ask("ports")
    return next(port["counters"]["tx_packets"] for port in ports if port["name"] == name)


def paced(bench, director, seconds):
    """The generator at a part of what is possible: gaps, delays and losses meanwhile."""
    state = director.state
    state.set_rate(bench.fastest * LOAD)
    time.sleep(0.5)
    state.reset()
    time.sleep(seconds)
    delays = state.delays()
    return {
        "p50_us": percentile(delays, 0.5),
        "p99_us": percentile(delays, 0.99),
        "p999_us": percentile(delays, 0.999),
        "p9999_us": percentile(delays, 0.9999),
        "longest_gap_us": state.longest_gap_us(),
        "gap_p99999_us": percentile(state.gaps(), 0.99999),
        "lost": state.lost(),
    }


def latency(bench, row):
    samples = []
    with running(bench, row) as director:
        director.state.play()
        time.sleep(bench.settle)
        bench.fastest = director.state.window(bench.seconds)[1]
        for _ in range(bench.windows):
            samples.append({**paced(bench, director, bench.seconds),
                            "load_mpps": bench.fastest * LOAD / 1e6})
        return samples, director.program.words()


class Changes(threading.Thread):
    """Adds and removes a real server, by turns of the services, so often a second."""

    def __init__(self, bench, row):
        super().__init__(daemon=True)
        self.bench, self.row = bench, row
        self.is_over = threading.Event()
        self.done = 0
        self.failure = None

    def run(self):
        try:
            with Connection(self.bench.socket) as connection:
                due = time.monotonic()
                while not self.is_over.is_set() or self.done % 2:
                    service = virtual_service(4, self.done // 2 % self.row.services)
                    verb, end = ("-d", "") if self.done % 2 else ("-a", " -g")
                    connection.command(f"{verb} -t {service} -r 10.0.10.200{end}")
                    self.done += 1
                    due += 1 / CHANGES_PER_SECOND
                    time.sleep(max(0, due - time.monotonic()))
        except (Failed, OSError) as failure:
            self.failure = failure


def change(bench, row):
    """By turns without and with changes, at half of the load that is possible."""
    samples = []
    with running(bench, row) as director:
        director.state.play()
        time.sleep(bench.settle)
        bench.fastest = director.state.window(bench.seconds)[1]
        for _ in range(bench.windows):
            still = paced(bench, director, bench.seconds)
            changes = Changes(bench, row)
            changes.start()
            moved = paced(bench, director, bench.seconds)
            changes.is_over.set()
            changes.join()
            if changes.failure:
                raise changes.failure
            samples.append({**{f"still_{name}": value for name, value in still.items()}, **moved,
                            "changes": changes.done, "load_mpps": bench.fastest * LOAD / 1e6})
        return samples, director.program.words()


def memory(bench, row):
    """What a process with so many connections has more than one with none and little room."""
    small = type(row)("", "", "", family=row.family)
    with running(bench, small) as director:
        least = director.resident_bytes()
    with running(bench, row) as director:
        used = director.resident_bytes()
        status = director.status()
        room = row.flows_max - small.flows_max
        sample = {"bytes": (used - least) / room, "resident_mib": used / 2**20,
                  "flow_memory": status["flow_memory"], "flows": status["flows"]}
        return [sample], director.program.words()


def kernel_ipvs(bench, row):
    return kernel.measure(bench, row, bench.windows)


HOW = {
    "forward": forward,
    "new": new,
    "null": null,
    "made": made,
    "file_testpmd": file_testpmd,
    "file_director": file_director,
    "latency": latency,
    "change": change,
    "memory": memory,
    "kernel": kernel_ipvs,
}
