"""This machine: what a result has to say of it, and its hugepages."""

import os
import platform
import subprocess
import sys

PAGES = "/proc/sys/vm/nr_hugepages"


def said(*command):
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    return done.stdout.strip()


def describe(root):
    with open("/proc/cpuinfo") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo") as file:
        memory_kib = int(next(line for line in file if line.startswith("MemTotal")).split()[1])
    caches = []
    for index in range(4):
        folder = f"/sys/devices/system/cpu/cpu0/cache/index{index}/"
        if os.path.exists(folder + "size"):
            words = [open(folder + name).read().strip() for name in ("level", "type", "size")]
            caches.append("L{} {} {}".format(*words))
    return {
        "cpus": os.cpu_count(),
        "model": models[0] if models else platform.machine(),
        "caches": ", ".join(caches),
        "memory_gib": round(memory_kib / 2**20),
        "system": f"{distribution()}, Linux {platform.release()}",
        "dpdk": said("pkg-config", "--modversion", "libdpdk"),
        "rust": said("rustc", "--version"),
        "virtual": said("systemd-detect-virt") or "unknown",
        "commit": commit(root),
    }


def distribution():
    with open("/etc/os-release") as file:
        names = [line for line in file if line.startswith("PRETTY_NAME=")]
    return names[0].split("=")[1].strip().strip('"') if names else platform.system()


def commit(root):
    commit = said("git", "-C", root, "rev-parse", "--short=12", "HEAD") or "unknown"
    changed = said("git", "-C", root, "status", "--porcelain", "--untracked-files=no")
    return commit + (" and changes" if changed else "")


class Hugepages:
    """Reserves 2 MiB pages for a run, and gives them back at its end."""

    def __init__(self, count):
        self.before = int(open(PAGES).read())
        self.kind = "4 KiB pages"
        if free_pages() < count:
            set_pages(self.before + count)
        if free_pages() >= count:
            self.kind = "2 MiB hugepages"
        else:
            print(f"bench: {count} hugepages cannot be had, so 4 KiB pages are used: everything "
                  "costs more, testpmd too", file=sys.stderr)
            self.give_back()

    def are_used(self):
        return self.kind == "2 MiB hugepages"

    def give_back(self):
        if int(open(PAGES).read()) != self.before:
            set_pages(self.before)


def free_pages():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("HugePages_Free"))


def set_pages(count):
    try:
        with open(PAGES, "w") as file:
            file.write(str(count))
    except PermissionError:
        subprocess.run(["sudo", "-n", "tee", PAGES], input=str(count), text=True, check=False,
                       stdout=subprocess.DEVNULL)
