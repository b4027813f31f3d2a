"""The kernel's IPVS in user-mode Linux (kernel/init), fed by XDP live frames (kernel/feed.c)."""

import os
import subprocess

from program import Program

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
RUN = 1_000_000  # frames, as in feed.c


def build(folder):
    """Not below /dev, which user-mode Linux covers with one of its own."""
    out = os.path.join(folder, "feed")
    source = os.path.join(HERE, "kernel", "feed.c")
    subprocess.run(["cc", "-O2", "-static", "-o", out, source], check=True)
    return out


def measure(bench, row, runs):
    """Samples of nanoseconds for each packet, and of feeding alone."""
    feed = build(bench.kept)
    kernel = subprocess.check_output([os.path.join(ROOT, "scripts", "kernel")], text=True).strip()
    megabytes = 512 + row.flows // 600
    command = ["taskset", "-c", str(bench.cpus[0]), os.path.join(kernel, "linux.uml"),
               f"mem={megabytes}M", "rootfstype=hostfs", "ro",
               "init=" + os.path.join(HERE, "kernel", "init"), "con=null", "con0=fd:0,fd:1",
               f"MODULES={kernel}/root", f"FEED={feed}", f"FLOWS={row.flows}", f"RUNS={runs}"]
    program = Program(command, os.path.join(bench.folder, "kernel.log"))
    try:
        program.wait_until(lambda: "\nEND" in program.said().replace("\r", ""), "its end", 180)
    finally:
        program.child.kill()
        program.child.wait()
    lines = program.said().replace("\r", "").split("FED\n", 1)[1].splitlines()
    words = [line.split() for line in lines if len(line.split()) == 2]
    told = {name: [float(value) for key, value in words if key == name]
            for name in ("ack", "feed", "sent", "connections", "syn")}
    fed = 2 * row.flows + runs * RUN
    if len(told["ack"]) != runs or told["connections"] != [row.flows] or told["sent"][0] < fed:
        program.fail(f"not {row.flows} connections and {fed} frames sent, but {told}")
    samples = [{"ns": ack, "mpps": 1000 / ack, "feed_ns": feed, "linux": lines[0]}
               for ack, feed in zip(told["ack"], told["feed"])]
    return samples, program.words()
