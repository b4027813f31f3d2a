"""The generator (generator.c): building it, and reading what it says of itself."""

import mmap
import os
import struct
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))

# As in generator/state.h.
HEAD = struct.Struct("<6Q")
HZ, PHASE, STRAYS, RATE, RESET, QUEUES = range(6)
QUEUE_OFFSET, QUEUE_BYTES = 64, 5696
NOW, MADE, SENT, LOST, LONGEST_GAP = range(5)
GAPS, GAPS_AT = 64, 5
RESET_AT = GAPS_AT + GAPS
DELAYS, DELAYS_AT = 640, RESET_AT + 1
PLAYING = 3


def build(folder):
    """Compiles generator.so into the folder; returns its path."""
    out = os.path.join(folder, "generator.so")
    flags = subprocess.check_output(["pkg-config", "--cflags", "libdpdk"], text=True).split()
    source = os.path.join(HERE, "generator.c")
    command = ["cc", "-O3", "-march=native", "-shared", "-fPIC", "-o", out, source]
    subprocess.run(command + flags + ["-ldl"], check=True)
    return out


class State:
    """The generator's state of one run."""

    def __init__(self, path):
        self.path = path
        self.memory = None

    def open(self):
        """Whether the program has made it."""
        if self.memory is None and os.path.exists(self.path):
            with open(self.path, "r+b") as file:
                if os.fstat(file.fileno()).st_size >= QUEUE_OFFSET + QUEUE_BYTES:
                    self.memory = mmap.mmap(file.fileno(), 0)
        return self.memory is not None and self.head()[QUEUES] > 0

    def close(self):
        if self.memory is not None:
            self.memory.close()
            self.memory = None
        if os.path.exists(self.path):
            os.unlink(self.path)

    def head(self):
        return HEAD.unpack_from(self.memory)

    def write(self, place, value):
        struct.pack_into("<Q", self.memory, 8 * place, value)

    def queue(self, number, first=0, count=5):
        at = QUEUE_OFFSET + number * QUEUE_BYTES + 8 * first
        return struct.unpack_from(f"<{count}Q", self.memory, at)

    def queues(self):
        return range(self.head()[QUEUES])

    def phase(self):
        return self.head()[PHASE]

    def play(self):
        self.write(PHASE, PLAYING)

    def set_rate(self, frames_per_second):
        """Of all queues together; 0 is as fast as can be."""
        self.write(RATE, int(frames_per_second) // len(self.queues()))

    def reset(self):
        """Begins gaps, delays and losses anew."""
        self.write(RESET, self.head()[RESET] + 1)
        end = time.monotonic() + 5
        wanted = self.head()[RESET]
        while any(self.queue(q, RESET_AT, 1)[0] != wanted for q in self.queues()):
            if time.monotonic() > end:
                raise RuntimeError("the generator is not called any more")
            time.sleep(0.01)

    def made(self):
        return sum(self.queue(q)[MADE] for q in self.queues())

    def sent(self):
        return sum(self.queue(q)[SENT] for q in self.queues())

    def lost(self):
        return sum(self.queue(q)[LOST] for q in self.queues())

    def longest_gap_us(self):
        return max(self.queue(q)[LONGEST_GAP] for q in self.queues()) * 1e6 / self.head()[HZ]

    def window(self, seconds):
        """Packets per second that were made and sent meanwhile, all queues together."""
        before = [self.queue(q) for q in self.queues()]
        time.sleep(seconds)
        made = sent = 0.0
        for number, first in enumerate(before):
            last = self.queue(number)
            lasted = (last[NOW] - first[NOW]) / self.head()[HZ]
            if lasted <= 0:
                raise RuntimeError("the generator is not called any more")
            made += (last[MADE] - first[MADE]) / lasted
            sent += (last[SENT] - first[SENT]) / lasted
        return made, sent

    def gaps(self):
        """How many gaps between two calls were how long: [(longest of them in us, count)]."""
        total = [0] * GAPS
        for q in self.queues():
            total = [a + b for a, b in zip(total, self.queue(q, GAPS_AT, GAPS))]
        tick = 1e6 / self.head()[HZ]
        return [((2 << power) * tick, count) for power, count in enumerate(total) if count]

    def delays(self):
        """The same of the time from when a paced frame was due until it was sent."""
        total = [0] * DELAYS
        for q in self.queues():
            total = [a + b for a, b in zip(total, self.queue(q, DELAYS_AT, DELAYS))]
        tick = 1e6 / self.head()[HZ]

        def until(place):
            power, part = place // 16 - 1, place % 16 + 16
            return ((part + 1) << power) - 16

        return [(until(place) * tick, count) for place, count in enumerate(total) if count]


def percentile(histogram, share):
    """The value that this share of all (0 to 1) does not exceed."""
    total = sum(count for _, count in histogram)
    seen = 0
    for value, count in histogram:
        seen += count
        if seen >= share * total:
            return value
    raise RuntimeError("nothing was counted")
