//! Programs made for the kernel's IPVS, unmodified, on the real `sluiced`: Debian's `ipvsadm` by
//! `sluicectl exec`, and Python scripts that use sockets as other programs do.
//!
//! The director's port goes nowhere (`net_null`): neither a network nor root is needed.

mod captures; // recorded runs of ipvsadm
mod director;
mod programs; // what else the library does
