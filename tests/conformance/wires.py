"""wires.py INTERFACE...: puts frames on wires, and says what a director sent because of each.

It holds the far ends of a director's wires. Each line of standard input is one frame:

    INTERFACE FRAME PROBE MARK        in hex, parted by blanks

PROBE is an echo request whose payload begins with MARK. It is sent behind the frame: when it is
answered, the frame was dealt with. Then come the frames that left, one a line, and a line with a dot;
or "silent" instead of the dot, where the probe was not answered.
"""

import os, socket, sys, time

PACKET_OUTGOING = 4
# How long after the answer to the probe something may still come out of another wire.
QUIET_S = 0.003
# The same where nothing has come yet: a busy machine may stop a director between two wires.
QUIET_AT_FIRST_S = 0.02
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

    def exchange(self, name, frame, probe, mark):
        self.forget()
        self.mouths[name].send(frame)
        self.mouths[name].send(probe)
        end, answered, quiet = time.monotonic() + SILENCE_S, False, QUIET_AT_FIRST_S
        while got := self.receive(end):
            if mark in got[1] and got[1][23:24] == b"\1":
                end, answered = time.monotonic() + quiet, True
            else:
                quiet = QUIET_S
                if answered:
                    end = time.monotonic() + quiet
                yield f"{got[0]} {got[1].hex()}"
        yield "." if answered else "silent"


def main():
    wires = Wires(sys.argv[1:])
    print("ready", flush=True)
    for line in sys.stdin:
        name, *rest = line.split()
        print("\n".join(wires.exchange(name, *map(bytes.fromhex, rest))), flush=True)


main()
