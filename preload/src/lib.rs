//! The preload library `libsluice_ipvs.so`: an unmodified program that asks the kernel's IPVS asks
//! `sluiced` (see `docs/netlink.md`).
//!
//! It stands before the C library's functions. What a program does with sockets and files goes on
//! to them as it is, but for this:
//!
//! * A generic netlink socket on which the program asks for the family IPVS becomes, in its place,
//!   a connection to sluiced's netlink socket ([`sockets`]). It goes on looking like netlink.
//! * IPVS's socket options and its files in `/proc/net` are sluiced's ([`options`], [`files`]).
//! * `modprobe ip_vs` as a child of such a program does nothing ([`start`]).
//!
//! Where sluiced does not answer, it looks as if there were no IPVS at all. Nothing is led to the
//! IPVS of the host's kernel instead. Where it ends while a program runs, what the program asks is
//! refused ([`question`]) until there is a sluiced again.
//!
//! Nothing here allocates, locks, or panics: the functions are called in signal handlers and
//! between fork and exec. `unsafe` is what a C interface is made of.

mod descriptors;
mod door;
pub mod files;
mod message;
mod next;
pub mod options;
mod question;
pub mod sockets;
pub mod start;
