"""Results: kept as JSON, shown as tables."""

import json
import statistics
from dataclasses import dataclass


@dataclass
class Column:
    """A column of a section's table: which number of the samples, and how it is shown."""

    head: str
    key: str
    form: str = "{:.1f}"
    of: str = "median"


def count(key, head):
    return Column(head, key, "{:,.0f}")


COST = [Column("Mpps", "mpps", "{:.2f}"), Column("ns/packet", "ns"),
        Column("least", "ns", of="min"), Column("most", "ns", of="max")]
TIMES = [Column("50 %", "p50_us"), Column("99 %", "p99_us"), Column("99.9 %", "p999_us")]

# Title and columns of each section, in the order in which they are shown.
SECTIONS = {
    "harness": ("What the harness costs", COST),
    "known": ("Packets of known connections, frames made in place", COST),
    "two": ("Two workers",
            [Column("Mpps", "mpps", "{:.2f}"), Column("least", "mpps", "{:.2f}", "min"),
             Column("most", "mpps", "{:.2f}", "max"), Column("of one", "scale", "x {:.2f}")]),
    "new": ("New connections, SYN to FIN and expiry",
            [count("connections", "connections/s"),
             Column("ns/connection", "connection_ns", "{:.0f}"),
             Column("least", "connection_ns", "{:.0f}", "min"),
             Column("most", "connection_ns", "{:.0f}", "max"), count("flows", "in the table")]),
    "file": ("Frames of a file, `net_pcap`", COST),
    "latency": ("Time in the director at half of the greatest rate, in us",
                [Column("Mpps", "load_mpps", "{:.2f}")] + TIMES),
    "change": ("100 changes a second at half of the greatest rate, times in us",
               [Column("Mpps", "load_mpps", "{:.2f}"), Column("99.9 % without", "still_p999_us"),
                Column("99.9 %", "p999_us"),
                Column("longest gap without", "still_longest_gap_us", "{:.0f}"),
                Column("longest gap", "longest_gap_us", "{:.0f}"),
                count("still_lost", "lost without"), count("lost", "lost")]),
    "memory": ("Memory for each connection",
               [Column("bytes", "bytes", "{:.0f}"),
                Column("resident MiB", "resident_mib", "{:.0f}")]),
    "kernel": ("The kernel's IPVS, user-mode Linux",
               COST + [Column("of it feeding", "feed_ns", "{:.0f}")]),
}


class Results:
    """The rows of a run, by name, and the machine that they were measured on."""

    def __init__(self, machine):
        self.machine = machine
        self.rows = {}
        self.parts = {}  # nanoseconds, see parts.py

    @classmethod
    def read(cls, path):
        with open(path) as file:
            told = json.load(file)
        results = cls(told["machine"])
        results.rows = told["rows"]
        results.parts = told.get("parts", {})
        return results

    def write(self, path):
        with open(path, "w") as file:
            told = {"machine": self.machine, "rows": self.rows, "parts": self.parts}
            json.dump(told, file, indent=1)
            file.write("\n")

    def sort(self, names):
        """Rows as they stand in rows.py; those that are not there any more go."""
        self.rows = {name: self.rows[name] for name in names if name in self.rows}

    def begin(self, row):
        self.rows.pop(row.name, None)

    def add(self, row, samples, command, facts):
        kept = self.rows.setdefault(row.name, {
            "section": row.section, "title": row.title, "flows": row.flows,
            "workers": row.workers, "generator": row.words(), "command": command, **facts,
            "samples": []})
        kept["samples"] += samples

    def number(self, name, key, of="median"):
        """The median, min or max of a number of the samples; None where there is none."""
        if key == "scale":
            return self.scale(name)
        values = [sample[key] for sample in self.rows.get(name, {}).get("samples", [])
                  if key in sample]
        return {"median": statistics.median, "min": min, "max": max}[of](values) if values else None

    def scale(self, name):
        ones = {"two-dr": "dr-1000000", "two-nat-8192": "nat-8192",
                "two-nat-other-8192": "nat-8192"}
        one = self.number(ones.get(name, "nat"), "mpps")
        mine = self.number(name, "mpps")
        return mine / one if one and mine else None

    def table(self, section):
        """Cells: a head, then a line for each row. None where there are no rows."""
        columns = SECTIONS[section][1]
        lines = [["", *[column.head for column in columns], "samples"]]
        for name, row in self.rows.items():
            if row["section"] == section:
                numbers = [self.number(name, column.key, column.of) for column in columns]
                cells = ["" if number is None else column.form.format(number)
                         for column, number in zip(columns, numbers)]
                lines.append([row["title"], *cells, str(len(row["samples"]))])
        return lines if len(lines) > 1 else None


def as_text(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]

    def padded(line):
        rest = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        return "  ".join([line[0].ljust(widths[0]), *rest])

    return "\n".join(padded(line) for line in lines)


def as_markdown(lines):
    head, *rest = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "| --- |" + " --: |" * (len(lines[0]) - 1), *rest])
