"""wires.py INTERFACE...: puts frames on wires, and says what a director sent because of each.

It holds the far ends of a director's wires. Each line of standard input is one frame:

    INTERFACE FRAME [INTERFACE PROBE MARK]...        in hex, parted by blanks

PROBE is an echo request whose payload begins with MARK. The first one is sent behind the frame: when
it is answered, the frame was dealt with. The others, one after the other, are for the other wires:
what left by a wire because of the frame left before the answer to that wire's probe. Then come the
frames that left, one a line, and a line with a dot; or "silent" instead of the dot, where a probe was
not answered.
"""

import os, socket, sys, time

PACKET_OUTGOING = 4
SILENCE_S = 3


class Wires:
    def __init__(self, names):
        self.names = names
        self.ears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self.ears.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.mouths = {}
        for name in names:
            self.mouths[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.mouths[name].bind((name, 0))

    def receive(self, until):
        """The next frame that came, and by which wire; nothing after that time."""
        while (left := until - time.monotonic()) > 0:
            self.ears.settimeout(left)
            try:
                frame, where = self.ears.recvfrom(65536)
            except (TimeoutError, socket.timeout):
                return None
            if where[0] in self.names and where[2] != PACKET_OUTGOING:
                return where[0], frame
        return None

    def forget(self):
        """Takes what came unasked out of the way."""
        self.ears.setblocking(False)
        try:
            while True:
                self.ears.recv(65536)
        except BlockingIOError:
            pass

    def exchange(self, name, frame, probes):
        self.forget()
        self.mouths[name].send(frame)
        for wire, probe, mark in probes:
            self.mouths[wire].send(probe)
            end, answered = time.monotonic() + SILENCE_S, False
            while not answered:
                got = self.receive(end)
                if not got:
                    yield "silent"
                    return
                answered = mark in got[1] and got[1][23:24] == b"\1"
                if not answered:
                    yield f"{got[0]} {got[1].hex()}"
        yield "."


def main():
    wires = Wires(sys.argv[1:])
    print("ready", flush=True)
    for line in sys.stdin:
        name, frame, *rest = line.split()
        probes = [
            (wire, bytes.fromhex(probe), bytes.fromhex(mark))
            for wire, probe, mark in zip(*[iter(rest)] * 3)
        ]
        print("\n".join(wires.exchange(name, bytes.fromhex(frame), probes)), flush=True)


main()
