"""Scaling on paper: what 16 lcores and a NIC of 100 Gbit/s would do, from what was measured here.

Assumed, not measured: the driver of a NIC takes DRIVER ns of a packet (net_null takes what the row
`null` says), lcores disturb each other no more than two do here, memory scales with the sockets'
channels.
"""

LCORES = 16
LINE_RATE = 100e9 / ((64 + 20) * 8) / 1e6  # Mpps of 64-byte frames, with preamble and gap
DRIVER = 20.0
FLOWS = 100e6
STORES_PER_SECOND = 8  # of a connection's line, see lb-core/src/clock.rs
LOAD_CHANGES = 3  # at the real server's line in a connection's life: begins, inactive, ends


def director(results, name):
    """Nanoseconds of a packet that are the director's own."""
    whole, made = results.number(name, "ns"), results.number("made-io", "ns")
    return None if whole is None or made is None else whole - made


def table(results):
    """Lines of: what, from which inputs, result. None where inputs are missing."""
    parts, number = results.parts, results.number
    inputs = {
        "dr": director(results, "dr-1000000"), "dr10": director(results, "dr-10000000"),
        "nat": director(results, "nat"), "new": number("new", "connection_ns"),
        "two": results.scale("two-dr"), "bytes": number("memory-4", "bytes"),
        "same": number("two-nat-8192", "mpps"), "other": number("two-nat-other-8192", "mpps"),
        "end": parts.get("end of a connection/expiry"), "read": parts.get("memory/read"),
        "handed": parts.get("memory/handed"),
    }
    if any(value is None for value in inputs.values()):
        return None
    i = inputs
    share = min(1.0, i["two"] / 2)
    lines = [["", "inputs", f"{LCORES} lcores"]]

    def packets(title, ns):
        each = ns + DRIVER
        rate = LCORES * share * 1000 / each
        lines.append([title, f"{ns:.0f} + {DRIVER:.0f} ns, {share:.2f} of each lcore left beside "
                      "another", f"{rate:.0f} Mpps; {LINE_RATE / (share * 1000 / each):.1f} lcores "
                      f"fill the wire ({LINE_RATE:.0f} Mpps)"])

    packets("known connections, direct routing, 1 M", i["dr"])
    packets("the same, 10 M", i["dr10"])
    packets("NAT, 1 M", i["nat"])
    walk = FLOWS * 64 / (i["read"] * 1e9)
    spare = max(0.0, 1 - walk)
    lines += [
        ["memory read by workers at the wire's rate", "2 lines a packet",
         f"{LINE_RATE * 128 / 1000:.0f} GB/s"],
        ["memory written by them, 100 M connections, at most",
         f"{STORES_PER_SECOND} stores a second of each connection, or one a packet",
         f"{min(LINE_RATE * 1e6, STORES_PER_SECOND * FLOWS) * 64 / 1e9:.0f} GB/s"],
        ["the table, 100 M connections", f"{i['bytes']:.0f} bytes each",
         f"{FLOWS * i['bytes'] / 1e9:.1f} GB"],
        ["the sweeper's walk, 100 M connections", f"64 bytes each, {i['read']:.1f} GB/s",
         f"{walk:.2f} s of each second of one core"],
        ["connections that it can end meanwhile", f"{i['end']:.0f} ns each",
         f"{spare * 1000 / i['end']:.1f} M/s ({1000 / i['end']:.1f} M/s of an empty table)"],
        ["new connections, nothing shared", f"{i['new']:.0f} ns each",
         f"{LCORES * share * 1000 / i['new']:.1f} M/s"],
        ["new connections of one real server, at most",
         f"its line handed over {LOAD_CHANGES} times, {i['handed']:.0f} ns each",
         f"{1000 / (LOAD_CHANGES * i['handed']):.1f} M/s"],
        ["new connections of one service with rr, at most",
         f"its cursor handed over, {i['handed']:.0f} ns",
         f"{1000 / i['handed']:.1f} M/s"],
        ["new connections of one service with wlc and 8 servers",
         f"{i['new']:.0f} ns, and 8 lines that other lcores have written",
         f"{LCORES * share * 1000 / (i['new'] + 8 * i['handed']):.1f} M/s"],
        ["a NAT reply on another lcore than its request, 8,192 connections",
         f"{i['same']:.1f} and {i['other']:.1f} Mpps of two workers",
         f"{2000 / i['other'] - 2000 / i['same']:+.1f} ns a packet"],
    ]
    return lines
