//! The texts of `-h` and `-v`. They are ipvsadm's interface, so they name ipvsadm.

/// What `-v` prints, and the first line of `-h`.
pub(super) const VERSION: &str = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";

/// The rest of what `-h` prints.
pub(super) const USAGE: &str = include_str!("help.txt");
