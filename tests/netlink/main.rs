//! The two sockets of the real `sluiced`: programs made for the kernel's IPVS, unmodified (Debian's
//! `ipvsadm` by `sluicectl exec`, and Python scripts that use sockets as other programs do); what
//! is written down about changes; and clients that mean harm.
//!
//! The director's port goes nowhere (`net_null`): neither a network nor root is needed.

mod audit; // who changed what
mod captures; // recorded runs of ipvsadm
mod director;
mod hostile; // who holds up nobody
mod install; // what make install does
mod programs; // what else the library does
