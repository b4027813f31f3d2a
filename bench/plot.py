"""Plots of the results, as SVG."""

import math
import os
from html import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 56, 50
COLOURS = ["#8899aa", "#aabbcc", "#1668a5", "#3a8f3a", "#c8501e", "#7d4fa0"]


def text(x, y, what, anchor="start", size=12):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">'
            f"{escape(str(what))}</text>")


def line(x1, y1, x2, y2, colour="#bbbbbb", width=1):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>')


def picture(title, parts, height=HEIGHT):
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
                      'font-family="sans-serif">',
                      f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
                      text(LEFT, 22, title, size=15), *parts, "</svg>"]) + "\n"


class Axis:
    """From values to places on the paper."""

    def __init__(self, least, most, begin, end, is_log=False):
        self.is_log = is_log
        self.least, self.most = self.scaled(least), self.scaled(most)
        self.begin, self.end = begin, end

    def scaled(self, value):
        return math.log10(value) if self.is_log else value

    def place(self, value):
        share = (self.scaled(value) - self.least) / ((self.most - self.least) or 1)
        return self.begin + share * (self.end - self.begin)


def steps(most):
    """Round values up to a little more than the most."""
    step = 10 ** math.floor(math.log10(most))
    step = next(part for part in (step / 5, step / 2, step, step * 2) if most / part <= 8)
    return [step * i for i in range(int(most / step) + 2)]


def lines_chart(title, x_name, y_name, series):
    """`series` are (name, [(x, y, least y, most y)]); x is logarithmic, and so is y where it spans
    much."""
    xs = sorted({x for _, points in series for x, *_ in points})
    ys = [y for _, points in series for _, *ends in points for y in ends]
    is_log = max(ys) / min(ys) > 12
    ticks = [t for t in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)] if is_log else steps(max(ys))
    if is_log:
        ticks = [t for i, t in enumerate(ticks) if ticks[min(i + 1, len(ticks) - 1)] >= min(ys)
                 and ticks[max(i - 1, 0)] <= max(ys)]
    x_axis = Axis(xs[0], xs[-1], LEFT, WIDTH - RIGHT, is_log=True)
    y_axis = Axis(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP, is_log)
    parts = []
    for tick in ticks:
        y = y_axis.place(tick)
        parts += [line(LEFT, y, WIDTH - RIGHT, y), text(LEFT - 6, y + 4, f"{tick:g}", "end")]
    last = 0
    for x in xs:
        at = x_axis.place(x)
        if at - last > 60:
            parts.append(text(at, HEIGHT - BOTTOM + 18, f"{x:,}", "middle", 10))
            last = at
    parts += [text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_name, "middle"),
              text(LEFT - 60, TOP - 14, y_name)]
    for number, (name, points) in enumerate(series):
        colour = COLOURS[(number + 2) % len(COLOURS)]
        places = [(x_axis.place(x), y_axis.place(y)) for x, y, *_ in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, _, least, most), (at, middle) in zip(points, places):
            parts += [line(at, y_axis.place(least), at, y_axis.place(most), colour),
                      f'<circle cx="{at:.1f}" cy="{middle:.1f}" r="3.5" fill="{colour}"/>']
        legend = TOP + 16 + 20 * number
        parts += [line(WIDTH - RIGHT + 12, legend - 4, WIDTH - RIGHT + 32, legend - 4, colour, 2),
                  text(WIDTH - RIGHT + 38, legend, name, size=11)]
    return picture(title, parts)


def bars_chart(title, x_name, bars):
    """`bars` are (name, [(part's name, value)]): each a bar of parts, one after the other."""
    left, row = 250, 26
    height = TOP + row * len(bars) + 90
    ticks = steps(max(sum(value for _, value in parts) for _, parts in bars))
    axis = Axis(0, ticks[-1], left, WIDTH - 30)
    kinds = list(dict.fromkeys(kind for _, parts in bars for kind, _ in parts))
    out = []
    for tick in ticks:
        x = axis.place(tick)
        out += [line(x, TOP, x, height - 80), text(x, height - 64, f"{tick:g}", "middle", 11)]
    out.append(text((left + WIDTH - 30) / 2, height - 46, x_name, "middle"))
    for number, (name, parts) in enumerate(bars):
        y, begin = TOP + row * number + 4, 0
        out.append(text(left - 8, y + 14, name, "end", 11))
        for kind, value in parts:
            colour = COLOURS[kinds.index(kind) % len(COLOURS)]
            x, end = axis.place(begin), axis.place(begin + max(0, value))
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{end - x:.1f}" height="18" '
                       f'fill="{colour}"/>')
            if end - x > 26:
                out.append(text((x + end) / 2, y + 13, f"{value:.3g}", "middle", 10)
                           .replace("<text", '<text fill="white"'))
            begin += max(0, value)
    for number, kind in enumerate(kinds if len(kinds) > 1 else []):
        x = 16 + number * 117
        out += [f'<rect x="{x}" y="{height - 26}" width="12" height="12" '
                f'fill="{COLOURS[number % len(COLOURS)]}"/>',
                text(x + 16, height - 15, kind, size=11)]
    return picture(title, out, height)


def by_flows(results):
    def points(pattern):
        rows = sorted((row["flows"], name) for name, row in results.rows.items()
                      if name == pattern.format(row["flows"]) and row["flows"] != 99_991)
        return [(flows, *[results.number(name, "ns", of) for of in ("median", "min", "max")])
                for flows, name in rows]

    series = [("direct routing", points("dr-{}")), ("kernel IPVS", points("kernel-{}")),
              ("net_pcap: director", points("file-dr-{}")),
              ("net_pcap: macswap", points("file-macswap-{}"))]
    series = [(name, found) for name, found in series if found]
    if sum(len(found) for _, found in series) < 2:
        return None
    return lines_chart("Cost of a packet by the number of connections", "connections",
                       "ns per packet, generator included", series)


def by_workers(results):
    bars = []
    for name, title in (("dr-1000000", "direct routing, 1 worker"), ("two-dr", "2 workers"),
                        ("nat", "NAT, 1 worker"), ("two-nat", "2 workers"),
                        ("two-nat-other", "2, replies on the other")):
        rate = results.number(name, "mpps")
        if rate:
            bars.append((title, [("Mpps", rate)]))
    return bars_chart("Rate by workers", "million packets per second", bars) if bars else None


def by_stage(results):
    """Where the time goes; the director's parts as they were measured alone, the rest is what they
    leave of the whole."""
    io, null = results.number("made-io", "ns"), results.number("null", "ns")
    if not io or not null:
        return None
    alone = results.parts
    before = alone.get("tunnel/frames alone", 0)
    bars = []
    for name, title, read, rewrite in (
            ("dr-8192", "direct routing, 8,192 flows", "tcp", 0),
            ("dr-1000000", "direct routing, 1,000,000 flows", "tcp", 0),
            ("nat", "NAT, 1,000,000 flows", "tcp", alone.get("nat/tcp", 0)),
            ("ipip", "ipip, 1,000,000 flows", "tcp", alone.get("tunnel/ipip", before) - before),
            ("gue", "gue, 1,000,000 flows", "tcp", alone.get("tunnel/gue", before) - before),
            ("gre", "gre, 1,000,000 flows", "tcp", alone.get("tunnel/gre", before) - before),
            ("dr6", "IPv6, 1,000,000 flows", "tcp over IPv6", 0)):
        whole = results.number(name, "ns")
        if not whole:
            continue
        flows = results.rows[name]["flows"]
        parts = [("reading", alone.get(f"parse/{read}", 0)),
                 ("hash, lookup", alone.get(f"find/{flows}/1 threads/staged", 0)),
                 ("rewriting", rewrite)]
        rest = whole - io - sum(value for _, value in parts)
        bars.append((title, [("device, testpmd", null), ("generator", io - null), *parts,
                             ("rest of director", rest)]))
    return bars_chart("Where the time of a packet goes", "ns per packet", bars) if bars else None


def write_all(results, folder):
    """Writes the plots that the results are enough for; returns their files."""
    made = []
    for name, draw in (("flows", by_flows), ("workers", by_workers), ("stages", by_stage)):
        drawn = draw(results)
        if drawn:
            path = os.path.join(folder, f"{name}.svg")
            with open(path, "w") as file:
                file.write(drawn)
            made.append(path)
    return made
