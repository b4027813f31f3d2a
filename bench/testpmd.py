"""DPDK's own testpmd: what the same frames cost without a director."""

import os
import signal

from program import Program


class Testpmd:
    """testpmd with one forwarding core on one virtual device."""

    def __init__(self, bench, mode, device, mbufs, state=None, generator=""):
        memory = ["--in-memory"] if bench.pages.are_used() else ["--no-huge", "--no-shconf"]
        buffer_bytes = 2400 if bench.pages.are_used() else 4300
        megabytes = mbufs * buffer_bytes // 2**20 + 192
        command = ["dpdk-testpmd", *memory, "--no-pci", "--no-telemetry", "-m", str(megabytes),
                   "--lcores", f"0@{bench.main_cpu},1@{bench.cpus[0]}", f"--vdev={device}", "--",
                   f"--forward-mode={mode}", f"--total-num-mbufs={mbufs}", "--no-flush-rx",
                   "--auto-start", "--stats-period=1"]
        environment = {}
        if state:
            environment = {"GENERATOR": f"{generator} state={state.path}",
                           "LD_PRELOAD": bench.generator}
        self.state = state
        self.program = Program(command, os.path.join(bench.folder, "testpmd.log"), environment)

    def end(self):
        self.program.end(signal.SIGINT)

    def seconds(self):
        """Its own figures: packets received in each whole second but the first two."""
        lines = [line.split() for line in self.program.said().splitlines() if "Rx-pps:" in line]
        return [int(words[1]) for words in lines if int(words[1]) > 0][2:]
