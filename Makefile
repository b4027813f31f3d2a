# The commands people type. Each does all of its own set-up on a Debian 12 with Rust from rustup.
.PHONY: install uninstall deb image demo demo-clean lab test test-page conformance bench bench-full

# Builds a release and puts programs, library, units, manual pages and completions into the file
# system. PREFIX=/usr/local. DESTDIR=FOLDER: below it, for packages. PROGRAMS=FOLDER: those there.
install:
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" PROGRAMS="$(PROGRAMS)" scripts/install install

# Takes all of that away again; the configuration stays.
uninstall:
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" PROGRAMS="$(PROGRAMS)" scripts/install uninstall

# Builds a Debian package of it: target/deb/sluice.deb. VERSION: the package's version.
# PROGRAMS=FOLDER: of programs that are built already.
deb:
	@scripts/setup build deb
	@VERSION="$(VERSION)" PROGRAMS="$(PROGRAMS)" scripts/deb

# The Debian package in a new Debian, from its installation to its purge. Needs root.
.PHONY: test-package
test-package:
	@PROGRAMS="$(PROGRAMS)" tests/package/run

# Builds a disk that boots to the director, by BIOS and UEFI: target/image/sluice.img. Needs root.
# PACKAGE=FILE: of a package that is built already. PACKAGES="NAME...": more of Debian's in it.
image:
	@scripts/setup $(if $(PACKAGE),,build deb) image
	@PACKAGE="$(PACKAGE)" PACKAGES="$(PACKAGES)" MIRROR="$(MIRROR)" image/build

# Shows LVS direct routing on this machine, checks what it shows, leaves nothing behind.
# KEEP=1 leaves the network up to play with.
demo:
	@KEEP=$(KEEP) demo/run

# Removes what `make demo KEEP=1` left.
demo-clean:
	@demo/clean

# A shell in a small network with a running director, to try things out: docs/lab.md.
lab:
	@demo/lab

# Everything that is tested: ends with the line "N passed, N failed".
test:
	@tests/run

# The status page in a real browser (Debian's chromium). Needs root, as the lab does.
test-page:
	@scripts/setup build lab page
	@cargo test -p appliance --test lab page:: -- --ignored

# The director on emulated NICs of several kinds, and the image, in QEMU. ONLY=TEXT: the machines
# alone whose name has that.
.PHONY: test-machine
test-machine:
	@ONLY="$(ONLY)" tests/machine/run

# The disk of `make image` in QEMU: its configurations, power cuts, upgrades and their failures.
.PHONY: test-image
test-image:
	@tests/image/run

# The same commands and frames to the kernel's IPVS and to the director; they must do the same.
# SEED=N CASES=N: random cases alone. ONLY=TEXT: the cases alone whose name has that.
conformance:
	@SEED=$(SEED) CASES=$(CASES) ONLY=$(ONLY) tests/conformance/run

# What a packet costs, beside testpmd and the kernel's IPVS in the same run; some four minutes.
# ONLY=PATTERN: the rows alone whose name or section is like that (bench/run --list shows them).
bench:
	@bench/run $(if $(ONLY),--only "$(ONLY)")

# All rows, each in five rounds: half an hour.
bench-full:
	@bench/run --full $(if $(ONLY),--only "$(ONLY)")
