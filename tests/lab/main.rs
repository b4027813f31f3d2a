//! The lab: the real `sluiced` between real clients and real servers, in network namespaces.
//!
//! Every test makes its own network under its own prefix, starts a director from YAML text, drives
//! it with the real `sluiceadm` and `sluicectl`, and removes everything again. The network's
//! building blocks are the demo's: `net.sh`, beside this file. It needs root and says so.
//!
//! `SLUICE_PROGRAMS=FOLDER` tests the programs in that folder instead of those just built.

mod support {
    pub(crate) mod config;
    pub(crate) mod director;
    pub(crate) mod lab;
    pub(crate) mod pcap;
    pub(crate) mod sockets;
    pub(crate) mod tools;
}

mod connections; // half-closed, reset and reused connections; servers that go away
mod daemons; // BIRD and keepalived beside the director
mod ipv6; // neighbour discovery, and services of the other family
mod jumbo; // packets larger than 1500 bytes
mod kernel; // interfaces of the host's kernel, and addresses that come and go
mod lifecycle; // start, stop, restart, and what is refused
mod memif; // two DPDK processes: testpmd generates and counts
mod neighbours; // ARP and echo
mod scheduling; // who gets the next connection
mod topology; // several workers, several ports, routers
mod transfer;
mod vlan; // tagged frames, and hosts behind them // load and long transfers
