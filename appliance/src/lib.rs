//! The programs around the director's logic: `sluiced`, `sluiceadm` and `sluicectl`.
//!
//! [`daemon`] tells the life of the director from configuration to shut-down. Its threads:
//!
//! | thread | does | file |
//! | --- | --- | --- |
//! | `worker-N`, on an lcore | receive, the core's stages, send | [`worker`] |
//! | main, DPDK's main lcore | neighbours, announcements, expiry | [`housekeeping`] |
//! | `control` | accepts connections to the control socket | [`control::server`] |
//! | `control-client` | one for each connection | [`control::server`] |
//! | `signals` | waits for the end, and writes down who wants it | [`signals`] |
//!
//! A frame stays on its worker from receive to send. Workers and main exchange ARP and neighbour
//! discovery through two queues ([`neighbourhood`]); commands change the core's control plane under
//! its lock and publish a new snapshot, which workers see at their next burst. Interfaces of the
//! host's kernel are devices as ports are ([`kernel`]); workers pass frames to and fro ([`relay`]).

#![deny(unsafe_code)]

pub mod arguments;
pub mod assemble;
pub mod capture;
pub mod captured_frame;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod decisions;
pub mod doctor;
#[allow(unsafe_code, reason = "the one module that calls C: it wraps DPDK's nouns safely")]
pub mod dpdk;
pub mod drain;
pub mod exec;
pub mod frame_ring;
pub mod housekeeping;
pub mod idle;
pub mod iproute;
pub mod kernel;
pub mod lcore_counters;
pub mod live;
pub mod lock;
pub mod logging;
pub mod machine;
pub mod manual;
pub mod metrics;
pub mod names;
pub mod needs;
pub mod neighbourhood;
pub mod nic_finder;
pub mod notify;
pub mod ports;
pub mod relay;
pub mod session_log;
pub mod setup;
pub mod signals;
pub mod sync_sockets;
pub mod top;

pub mod unplugged;
pub mod version;
pub mod watch;
pub mod watchdog;
pub mod worker;
