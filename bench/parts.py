"""The parts of the packet path alone: criterion's benchmarks of lb-core, and rte_hash."""

import glob
import json
import os
import re
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BENCHES = ["parse", "flows", "rewrite", "marks", "new_connections", "packets"]

# What the tables show: a title and, for each of its columns, the name that criterion has for it.
FINDS = [("one by one", "one by one"), ("in bursts of 32, as a worker does", "staged"),
         ("`dashmap`", "dashmap"), ("the standard `HashMap`, one thread alone", "HashMap"),
         ("`rte_hash`, bulk of 32, lock-free readers", "rte_hash"),
         ("not there, in bursts of 32", "staged, not there"),
         ("not there, `dashmap`", "dashmap, not there"),
         ("not there, `HashMap`", "HashMap, not there"),
         ("not there, `rte_hash`", "rte_hash, not there")]


def criterion_folder():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.path.join(target, "criterion")


def run_criterion(log):
    command = ["cargo", "bench", "--quiet", "-p", "lb-core"]
    for bench in BENCHES:
        command += ["--bench", bench]
    path = os.environ["PATH"] + ":" + os.path.expanduser("~/.cargo/bin")
    with open(log, "w") as out:
        subprocess.run([*command, "--", "--quick", "--noplot"], cwd=ROOT, check=True, stdout=out,
                       stderr=out, env={**os.environ, "PATH": path})


def read_criterion(since=0):
    """Nanoseconds by full name, for each element where there are several."""
    found = {}
    for path in glob.glob(criterion_folder() + "/**/new/estimates.json", recursive=True):
        if os.path.getmtime(path) < since:
            continue
        with open(path) as file:
            estimate = json.load(file)["mean"]["point_estimate"]
        with open(os.path.join(os.path.dirname(path), "benchmark.json")) as file:
            about = json.load(file)
        elements = (about.get("throughput") or {}).get("Elements", 1)
        found[about["full_id"]] = estimate / elements
    return found


def rte_hash(bench):
    out = os.path.join(bench.kept, "rte_hash")
    flags = subprocess.check_output(["pkg-config", "--cflags", "--libs", "libdpdk"], text=True)
    source = os.path.join(HERE, "parts", "rte_hash.c")
    subprocess.run(["cc", "-O3", "-march=native", "-o", out, source, *flags.split()], check=True)
    memory = ["--in-memory"] if bench.pages.are_used() else ["--no-huge", "--no-shconf"]
    command = [out, *memory, "--no-pci", "--no-telemetry", "-m", "640", "-l", str(bench.cpus[0])]
    said = subprocess.run(command, check=True, text=True, capture_output=True).stdout
    found = re.findall(r"^((?:find|insert).*) ([0-9.]+)$", said, flags=re.M)
    if len(found) != 6:
        raise RuntimeError(f"rte_hash said {said}")
    return {name: float(value) for name, value in found}


def memory(bench):
    out = os.path.join(bench.kept, "memory")
    source = os.path.join(HERE, "parts", "memory.c")
    subprocess.run(["cc", "-O2", "-march=native", "-pthread", "-o", out, source], check=True)
    said = subprocess.run([out], check=True, text=True, capture_output=True, timeout=120).stdout
    return {name: float(value) for name, value in map(str.split, said.splitlines())}


def measure(bench):
    began = time.time()
    run_criterion(os.path.join(bench.kept, "parts.log"))
    found = {**read_criterion(began), **rte_hash(bench)}
    return {**found, **memory(bench)} if len(bench.cpus) > 1 else found


def cell(parts, name):
    return f"{parts[name]:.1f}" if name in parts else ""


def tables(parts):
    """Tables by section."""
    sizes = (8192, 1000000)
    finds = [["", *[f"{size:,} flows{more}" for size in sizes for more in ("", ", two threads")]]]
    for title, name in FINDS:
        finds.append([title, *[cell(parts, f"find/{size}/{threads} threads/{name}")
                               for size in sizes for threads in (1, 2)]])
    for title, group in (("insertion with removal", "insert and remove"),
                         ("the same, `dashmap`", "insert and remove, dashmap"),
                         ("the same, `rte_hash`", "insert and remove, rte_hash")):
        finds.append([title, cell(parts, f"{group}/8192"), "", cell(parts, f"{group}/1000000"), ""])
    names = ["rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "dh", "sh", "mh", "lblc", "lblcr",
             "twos"]
    picks = [["", *names]]
    for count in (2, 100, 1000):
        picks.append([f"{count:,} servers", *[cell(parts, f"pick/{n}/{count}") for n in names]])
    stages = [["", "ns"]]
    for title, name in (("reading a frame: TCP", "parse/tcp"), ("UDP", "parse/udp"),
                        ("TCP over IPv6", "parse/tcp over IPv6"),
                        ("hash of a connection, IPv4", "hash/IPv4"), ("IPv6", "hash/IPv6"),
                        ("NAT, TCP", "nat/tcp"), ("NAT, UDP", "nat/udp"),
                        ("ipip", "tunnel/ipip"), ("gre", "tunnel/gre"),
                        ("gue", "tunnel/gue"),
                        ("gue with checksum, 1,440 bytes",
                         "tunnel/gue with checksum, 1,440 bytes"),
                        ("a mark, 1 rule", "marks/addresses/1"),
                        ("a mark, 1,000 rules", "marks/addresses/1000"),
                        ("a mark, 10,000 rules of 4 kinds", "marks/mixed/10000"),
                        ("a first packet, rr, 8 servers", "new connection/rr, 8 servers"),
                        ("a first packet, wlc, 1,000 servers", "new connection/wlc, 1000 servers"),
                        ("the end of a connection", "end of a connection/expiry")):
        value = parts.get(name)
        if value is not None and name.startswith("tunnel/"):
            alone = "frames of 1,440 bytes alone" if "1,440" in name else "frames alone"
            value -= parts.get("tunnel/" + alone, 0)
        stages.append([title, "" if value is None else f"{value:.1f}"])
    path = [["", "64 flows", "8,192 flows", "1,000,000 flows"]]
    for method in ("DR", "NAT", "IPIP", "GUE", "GRE"):
        cells = []
        for count in (64, 8192, 1000000):
            whole = parts.get(f"established {method}/{count} flows")
            alone = parts.get(f"established {method}/{count} flows, frames alone", 0)
            cells.append("" if whole is None else f"{whole - alone:.1f}")
        path.append([method, *cells])
    lines = [["", ""]]
    for title, name, unit in (
            ("a load from 1 GiB at random, one after the other", "random", "ns"),
            ("the same, 32 under way at a time", "prefetched", "ns"),
            ("reading in order, one core", "read", "GB/s"),
            ("a line that another core has just written, written here", "handed", "ns"),
            ("two cores add to one word, each addition", "added", "ns")):
        lines.append([title, cell(parts, f"memory/{name}") + f" {unit}"])
    return {"finds": finds, "picks": picks, "parts": stages, "path": path, "memory-lines": lines}
