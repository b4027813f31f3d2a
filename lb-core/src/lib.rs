//! The director as pure logic: bytes and time in, verdicts out.
//!
//! # A packet's way
//!
//! [`worker::Worker::process`] takes a burst of frames through its stages; each is a file:
//! [`parse`] says what a frame is, [`hash`] and [`flow`] find its connection, [`connection`]
//! moves the connection's [`state`], `schedule` begins a new one ([`services`] knows for whom,
//! a scheduler of [`sched`] picks the real server, or `persistence` remembers it), `egress`
//! sends the packet to the real server, back to the client, or on its route, as [`forward`]
//! rewrites it and [`ways`] says where it goes out. Aside of that way: [`fragment`] makes later
//! fragments follow the first one's [`course`], [`ftp`] reads control connections, `related`
//! takes ICMP errors to whom they concern, `host` is for real servers on the director itself,
//! `options` are carried out, [`local`] and [`reply`]
//! answer what is for the director itself, `answers` tells the senders of what is refused. What
//! does not go on has a reason in [`drops`].
//!
//! # A command's way
//!
//! Every door translates to [`operations::Operations`]; [`control`] implements them: it keeps the
//! table of services as the kernel would, writes run-time settings into [`slots`], and publishes
//! a new [`snapshot`].
//!
//! # What is shared
//!
//! [`director::Director`] holds all that workers share: the [`flow`] table, [`slots`], [`counters`]
//! and the current snapshot. [`quiescence`] says when something removed may be used again.
//!
//! # What is not here
//!
//! No DPDK, no clock, no I/O, no threads: time and randomness are arguments, frames are
//! [`frame::Frame`]s. `unsafe` is one prefetch instruction.
#![deny(unsafe_code)]

pub mod address;
mod answers;
pub mod burst;
pub mod clock;
pub mod closings;
pub mod connection;
pub mod control;
pub mod counters;
pub mod course;
pub mod destination;
pub mod director;
mod drop_entry;
pub mod drops;
mod egress;
pub mod estimator;
pub mod expiry;
pub mod explain;
mod falls;
mod fast_path;
pub mod flow;
pub mod forward;
pub mod fragment;
pub mod frame;
pub mod ftp;
#[cfg(feature = "test-support")]
pub mod fuzz;
mod glance;
pub mod hash;
mod host;
pub mod interface;
pub mod ipvsadm;
pub mod limiter;
mod load;
pub mod local;
pub mod marks;
pub mod neighbour;
pub mod netlink;
pub mod next_hop;
pub mod operations;
mod options;
mod outcome;
pub mod overload;
pub mod parse;
mod persistence;
mod prefetch;
pub mod proc_files;
pub mod protocol;
pub mod punt;
pub mod quiescence;
mod rehearsal;
mod related;
pub mod reply;
pub mod route;
pub mod sched;
mod schedule;
pub mod service;
pub mod services;
pub mod settings;
pub mod sip;
pub mod slots;
pub mod snapshot;
pub mod state;
pub mod sync;
mod transition;
pub mod virtual_service;
pub mod waiting;
pub mod ways;
pub mod wire;
mod workbench;
pub mod worker;
