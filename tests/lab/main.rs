//! The lab: the real `sluiced` between real clients and real servers, in network namespaces.
//!
//! Every test makes its own network under its own prefix, starts a director from YAML text, drives
//! it with the real `sluiceadm` and `sluicectl`, and removes everything again. The network's
//! building blocks are the demo's: `net.sh`, beside this file. It needs root and says so.
//!
//! `SLUICE_PROGRAMS=FOLDER` tests the programs in that folder instead of those just built.

mod support {
    pub(crate) mod config;
    pub(crate) mod daemon;
    pub(crate) mod director;
    pub(crate) mod http;
    pub(crate) mod lab;
    pub(crate) mod pcap;
    pub(crate) mod sockets;
    pub(crate) mod tools;
    pub(crate) mod visits;
}

mod access; // users, groups, and what they may do
mod capture; // what passes, with what becomes of it
mod connections; // half-closed, reset and reused connections; servers that go away
mod daemons; // BIRD and keepalived beside the director
mod fragments; // of datagrams that are larger than the wire allows
mod ftp; // whose data connections the director must foresee
mod icmp; // echo, and errors of all kinds
mod ipv6; // neighbour discovery, and both families side by side
mod jumbo; // packets larger than 1500 bytes
mod keepalived; // drives the director as it drives the kernel's IPVS
mod kernel; // interfaces of the host's kernel, and addresses that come and go
mod lifecycle; // start, stop, restart, and what is refused
mod local_servers; // the director itself as a real server
mod marks; // rules in iptables' words
mod masquerading; // NAT: both directions through the director
mod memif; // two DPDK processes: testpmd generates and counts
mod metrics; // figures, and what Prometheus makes of them
mod neighbours; // ARP and echo
mod operating; // symptoms, and the commands that show their causes
mod operator; // looks at connections, ends them, empties a server
mod overload; // more connections than there is room for
mod page; // the status page in a browser
mod persistence; // clients that come again
mod reload; // a configuration that changes while traffic runs
mod routes; // gateways, and packets that are for no service
mod scheduling; // who gets the next connection
mod sctp; // associations
mod sessions; // connections that ended, written down
mod shell; // `make lab`, and the page that leads through it
mod supervision; // what systemd and its watchdog hear
mod synchronisation; // a director that takes the connections of another over
mod table; // replaced as a whole; rates
mod top; // the director, live on a terminal
mod topology; // several workers, several ports, routers
mod transfer; // load and long transfers
mod tunneling; // through IP-in-IP, GRE and GUE
mod vlan; // tagged frames, and hosts behind them
